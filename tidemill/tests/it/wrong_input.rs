//! Wrong input: each is answered by a message that names the thing, the place and the remedy; nothing is half-written.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Project, SMALL, Server, skipped};

/// A run on these rows fails with exit code 1, says all of `expected`, and registers nothing.
fn refused(rows: &[u8], expected: &[&str]) {
    refused_with(SMALL, rows, expected);
}

fn refused_with(yaml: &str, rows: &[u8], expected: &[&str]) {
    let project = Project::new(yaml);
    project.write("rows.csv", rows);
    let done = project.run(&["run", "-q"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    for text in expected {
        assert!(done.stderr.contains(text), "no {text:?} in: {}", done.stderr);
    }
    assert!(!done.stderr.contains("panicked") && !done.stderr.contains("bug"), "{}", done.stderr);
    assert!(!project.version("kind", 1).exists(), "nothing is registered");
}

/// Forty good rows, then these.
fn rows(more: &str) -> Vec<u8> {
    let mut text = String::from("x,colour,kind\n");
    for n in 0..40 {
        text += &format!("{},{},{}\n", n, ["red", "blue"][n % 2], ["up", "down"][n / 20]);
    }
    (text + more).into_bytes()
}

#[test]
fn missing_file() {
    let project = Project::small(20);
    std::fs::rename(project.path("rows.csv"), project.path("row.csv")).unwrap();
    let done = project.run(&["run", "-q"]);
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("rows.csv") && done.stderr.contains("did you mean") && done.stderr.contains("row.csv"),
        "{}",
        done.stderr
    );
}

#[test]
fn empty_file() {
    refused(b"", &["rows.csv", "empty"]);
}

#[test]
fn header_only() {
    refused(b"x,colour,kind\n", &["rows.csv", "no rows"]);
}

#[test]
fn wrong_delimiter() {
    refused(b"x;colour;kind\n1;red;up\n2;blue;down\n", &["rows.csv", "delimiter", ";"]);
}

#[test]
fn ragged_rows() {
    refused(&rows("1,red\n"), &["rows.csv", "line 42", "2", "3"]);
}

#[test]
fn not_utf_8() {
    let mut bytes = rows("");
    bytes.extend(b"1,caf\xe9,up\n");
    refused(&bytes, &["rows.csv", "line 42", "UTF-8"]);
}

#[test]
fn a_target_that_is_missing() {
    refused_with(&SMALL.replace("target: kind", "target: kinds"), &rows(""), &["kinds", "did you mean \"kind\""]);
}

#[test]
fn a_target_that_is_constant() {
    let text = String::from_utf8(rows("")).unwrap().replace("down", "up");
    refused(text.as_bytes(), &["kind", "same value \"up\"", "name another target"]);
}

#[test]
fn a_target_that_is_all_unique() {
    let text: String = (0..40).map(|n| format!("{n},red,name{n}\n")).collect();
    refused(format!("x,colour,kind\n{text}").as_bytes(), &["kind", "all 40 values are different"]);
}

#[test]
fn a_class_with_one_row() {
    refused(&rows("5,red,sideways\n"), &["kind", "sideways", "one row"]);
}

#[test]
fn text_where_numbers_were() {
    let mut text = String::from_utf8(rows("")).unwrap();
    for n in 0..3000 {
        text += &format!("{n},red,{}\n", ["up", "down"][n % 2]);
    }
    text += "many,red,up\n";
    let yaml = SMALL.replace("path: rows.csv", "path: rows.csv, sample_rows: 1000");
    refused_with(&yaml, text.as_bytes(), &["rows.csv", "line 3042", "\"x\"", "many"]);
}

#[test]
fn text_where_numbers_were_in_rows_to_answer() {
    let project = Project::small(200);
    project.ok(&["run", "-q"]);
    let input = project.write("new.csv", b"x,colour\nmany,red\n");
    let output = project.path("out.csv");
    let done = project.run(&["predict", "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("\"x\"") && done.stderr.contains("many"), "{}", done.stderr);
    assert!(!output.exists(), "no half-written answers");
}

#[test]
fn not_a_number_and_infinity_count_as_missing_and_are_said() {
    let project = Project::small(200);
    let mut text = std::fs::read_to_string(project.path("rows.csv")).unwrap();
    text += "NaN,red,up\ninf,red,up\n-inf,blue,down\n";
    project.write("rows.csv", text.as_bytes());
    let done = project.ok(&["run"]);
    assert!(done.stderr.contains("infinit"), "{}", done.stderr);
    let loss = project.ok(&["models", "--json"]).stdout;
    assert!(!loss.contains("NaN"), "{loss}");
}

#[test]
fn an_image_that_is_no_image() {
    let project = Project::new(
        "sources:\n  shapes: { images: { path: shapes } }\nmodels:\n  shape:\n    table: shapes\n    target: label\n    train: { epochs: 1 }\n",
    );
    for n in 0..12u8 {
        let class = if n % 2 == 0 { "dark" } else { "light" };
        let pixels = vec![if n % 2 == 0 { n } else { 255 - n }; 64];
        project.write(&format!("shapes/{class}/{n}.bmp"), &bitmap(&pixels));
    }
    project.write("shapes/dark/broken.png", b"this is no picture");
    let done = project.run(&["run", "-q"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("broken.png"), "{}", done.stderr);
    std::fs::remove_file(project.path("shapes/dark/broken.png")).unwrap();
    project.ok(&["run", "-q"]);
}

/// A grey 8 x 8 bitmap file.
fn bitmap(pixels: &[u8]) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    file.extend((54u32 + 192).to_le_bytes());
    file.extend([0; 4]);
    file.extend(54u32.to_le_bytes());
    file.extend(40u32.to_le_bytes());
    file.extend(8u32.to_le_bytes());
    file.extend(8u32.to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(24u16.to_le_bytes());
    file.extend([0; 24]);
    file.extend(pixels.iter().flat_map(|&pixel| [pixel; 3]));
    file
}

#[test]
fn a_request_with_a_wrong_feature() {
    let project = Project::small(200);
    project.ok(&["run", "-q"]);
    let server = Server::of(&project);
    for (input, expected) in [
        (r#"{"x": 1}"#, "\"colour\" is missing"),
        (r#"{"x": 1, "color": "red"}"#, "did you mean \"color\""),
        (r#"{"x": 1, "colour": "red", "size": 3}"#, "\"size\", which is no feature"),
        (r#"{"x": "one", "colour": "red"}"#, "expected a number"),
        (r#"{"x": 1, "colour": ["red"]}"#, "expected text"),
        (r#"[1, "red", 3]"#, "3 values"),
        (r#"[[1]]"#, "1 values"),
        ("[]", "no rows"),
        ("7", "list"),
    ] {
        let body: serde_json::Value = serde_json::from_str(&format!("{{\"input\": {input}}}")).unwrap();
        let (status, reply) = server.post("/predict", &body);
        let error = reply["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(expected), "{input}: {status} {reply}");
    }
    let (status, reply) = server.post("/predict", &serde_json::json!({ "inputs": [1, "red"] }));
    assert!(status == 400 && reply["error"].as_str().unwrap().contains("input"), "{reply}");
    assert_eq!(server.post("/predict/nobody", &serde_json::json!({ "input": [1, "red"] })).0, 404);
    assert_eq!(server.post("/predict", &serde_json::json!({ "input": [1, "red"] })).0, 200, "it still answers");
}

#[test]
fn a_full_disk() {
    let project = Project::small(400);
    project.ok(&["run", "-q"]);
    let data = project.path("small-disk");
    std::fs::create_dir(&data).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"])
        .arg(&data)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        skipped("a full disk: mounting a small tmpfs needs root");
        return;
    }
    for name in ["tidemill.yaml", "rows.csv"] {
        std::fs::copy(project.path(name), data.join(name)).unwrap();
    }
    let done = crate::support::finish(crate::support::tidemill().args(["run", "-q", "-p"]).arg(&data));
    let versions = data.join(".tidemill/models/kind/1").exists();
    let unmounted = Command::new("umount").arg(&data).status().unwrap().success();
    assert!(unmounted && done.code == 1 && !versions, "{}", done.stderr);
    let said = done.stderr.to_lowercase();
    assert!(said.contains("space") || said.contains("full"), "{}", done.stderr);
    assert!(!said.contains("panicked"), "{}", done.stderr);
}

#[test]
fn a_second_process() {
    let project = Project::small(100);
    project.ok(&["run", "-q"]);
    let server = Server::of(&project);
    let done = project.run(&["run", "-q"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains(&server.id().to_string()) && done.stderr.contains(".tidemill"), "{}", done.stderr);
    project.ok(&["models"]); // readers may look beside a writer
}

#[test]
fn a_truncated_model_folder() {
    let project = Project::small(100);
    project.ok(&["run", "-q"]);
    let weights = project.version("kind", 1).join("model.onnx");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let server = Server::of(&project);
    let (status, reply) = server.get("/health/ready");
    assert!(status == 503 && reply.contains("model.onnx"), "{status} {reply}");
    assert_eq!(server.get("/health/live").0, 200);
    let (status, reply) = server.post("/predict", &serde_json::json!({ "input": [1, "red"] }));
    assert!(status == 503 && reply["error"].as_str().unwrap().contains("model.onnx"), "{reply}");
}

#[test]
fn a_port_in_use() {
    let project = Project::small(100);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let done = project.run(&["serve", "--port", &port]);
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains(&port) && done.stderr.contains("in use") && done.stderr.contains("--port"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_door_open_to_other_machines_needs_a_key() {
    let project = Project::small(100);
    let done = project.run(&["serve", "--host", "0.0.0.0", "--port", "0"]);
    assert!(done.code == 2 && done.stderr.contains("TIDEMILL_KEY"), "{}", done.stderr);
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let project = Project::small(100);
    for arguments in [&["runn"][..], &["run", "--wrong"], &["promote", "kind"], &["run", "-q", "-v"], &["predict"]] {
        assert_eq!(project.run(arguments).code, 2, "{arguments:?}");
    }
    assert_eq!(project.run(&["--help"]).code, 0);
}

#[test]
fn a_wrong_project_file_is_refused_with_its_place() {
    let project = Project::new(&SMALL.replace("epochs: 8", "epohcs: 8"));
    let done = project.run(&["config"]);
    assert_eq!(done.code, 1);
    for text in ["tidemill.yaml:8:", "epohcs", "did you mean \"epochs\""] {
        assert!(done.stderr.contains(text), "no {text:?} in: {}", done.stderr);
    }
    assert_eq!(crate::support::finish(crate::support::tidemill().args(["config", "-p", "nowhere"])).code, 1);
}

#[test]
fn a_reader_that_hangs_up_does_not_matter() {
    let project = Project::small(30);
    let mut child = project.command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let _nobody = child.stdin.take().map(|mut input| input.write_all(b""));
    let done = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"));
}

#[cfg(not(feature = "delta"))]
#[test]
fn tables_of_delta_lake_say_what_they_need() {
    let project = Project::new("sources:\n  orders: { delta: { path: lake/orders, version: 12 } }\n");
    let done = project.run(&["sql", "SELECT * FROM orders"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    let expected = "this binary was built without Delta Lake; build with `cargo build --features delta`";
    assert!(done.stderr.contains(expected), "{}", done.stderr);
}
