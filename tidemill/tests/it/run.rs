//! The main job through the command line: run, its JSON, the leaderboard, promote, predict, report, doctor.

use serde_json::Value;

use crate::support::{Project, SMALL, finish, real_data, tidemill};

#[test]
fn a_run_registers_a_version_that_is_better_than_guessing() {
    let project = Project::small(600);
    let done = project.ok(&["run", "--json"]);
    let report = &done.json()["models"]["kind"];
    assert_eq!(report["version"], 1);
    assert!(report["metrics"]["test"]["accuracy"].as_f64().unwrap() > 0.9, "{report}");
    assert!(report["metrics"]["validation"]["accuracy"].is_number());
    for stage in ["collect", "prepare", "train", "evaluate", "deploy"] {
        assert!(report["seconds"][stage].as_f64().unwrap() >= 0.0, "{stage}");
    }
    assert!(report["peak_rss_bytes"].as_u64().unwrap() > 1_000_000);
    for file in [
        "manifest.json",
        "model.onnx",
        "weights.safetensors",
        "features.json",
        "profile.json",
        "evaluation.json",
        "report.html",
    ] {
        assert!(project.version("kind", 1).join(file).metadata().unwrap().len() > 0, "{file}");
    }
}

#[test]
fn boosted_trees_are_trained_checked_registered_and_answer() {
    let project = Project::small(600);
    let trees = ["--set", "models.kind.network={gradient_boosting: {trees: 40, min_rows_per_leaf: 5}}"];
    let done = project.ok(&[&["run", "--json"], &trees[..]].concat());
    let report = &done.json()["models"]["kind"];
    assert!(report["metrics"]["test"]["accuracy"].as_f64().unwrap() > 0.9, "{report}");
    for file in ["model.onnx", "weights.safetensors", "importance.json", "report.html"] {
        assert!(project.version("kind", 1).join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let weights = || std::fs::read(project.version("kind", 1).join("weights.safetensors")).unwrap();
    let again = Project::small(600);
    again.ok(&[&["run", "-q"], &trees[..]].concat());
    assert!(weights() == std::fs::read(again.version("kind", 1).join("weights.safetensors")).unwrap());
}

#[test]
fn the_first_lines_of_training_say_what_will_happen() {
    let project = Project::small(300);
    let done = project.ok(&["run"]);
    assert!(done.stderr.contains("training on 210 rows: 8 epochs of 14 batches"), "{}", done.stderr);
    assert!(done.stderr.contains("best so far, saved"), "{}", done.stderr);
    assert!(done.stdout.contains("\"kind\" version 1: "), "{}", done.stdout);
}

#[test]
fn versions_are_listed_promoted_and_rolled_back() {
    let project = Project::small(300);
    project.ok(&["run", "-q"]);
    project.ok(&["run", "-q", "--set", "models.kind.train.epochs=1"]);
    let champion = |project: &Project| -> Vec<(u64, bool)> {
        let board = project.ok(&["models", "--json"]).json();
        let lines = board["models"].as_array().unwrap().clone();
        let mut lines: Vec<(u64, bool)> =
            lines.iter().map(|line| (line["number"].as_u64().unwrap(), line["champion"] == true)).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(champion(&project), [(1, true), (2, false)]);
    project.ok(&["promote", "kind", "2"]);
    assert_eq!(champion(&project), [(1, false), (2, true)]);
    project.ok(&["rollback", "kind"]);
    assert_eq!(champion(&project), [(1, true), (2, false)]);
    assert!(project.run(&["rollback", "kind"]).stderr.contains("no"), "nothing to go back to is said");
    assert_eq!(project.run(&["promote", "kind", "9"]).code, 1);
}

#[test]
fn a_failed_run_is_on_the_leaderboard_with_its_reason() {
    let project = Project::small(300);
    let done = project.run(&["run", "-q", "--set", "models.kind.train.optimizer.adam.learning_rate=1e30"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    let board = project.ok(&["models"]).stdout;
    assert!(board.contains("learning_rate"), "{board}");
}

#[test]
fn predict_answers_every_row_in_order_in_each_format() {
    let project = Project::small(500);
    project.ok(&["run", "-q"]);
    let input = project.write("new.csv", b"x,colour\n0.9,red\n-0.9,blue\n,green\n0.5,purple\n");
    for name in ["out.csv", "out.jsonl", "out.parquet"] {
        let output = project.path(name);
        let done = project.ok(&[
            "predict",
            "--json",
            "--input",
            input.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ]);
        assert_eq!(done.json()["rows"], 4, "{name}");
        assert!(output.metadata().unwrap().len() > 50, "{name}");
    }
    let csv = std::fs::read_to_string(project.path("out.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "x,colour,prediction,confidence,probability_down,probability_up");
    assert!(lines[1].starts_with("0.9,red,up,"), "{csv}");
    assert!(lines[2].starts_with("-0.9,blue,down,"), "{csv}");
    let json = std::fs::read_to_string(project.path("out.jsonl")).unwrap();
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let confidence: f64 = lines[1].split(',').nth(3).unwrap().parse().unwrap();
    assert!((first["confidence"].as_f64().unwrap() - confidence).abs() < 1e-7);
    let again = project.ok(&[
        "predict",
        "--json",
        "--input",
        project.path("out.parquet").to_str().unwrap(),
        "--output",
        project.path("again.csv").to_str().unwrap(),
        "--only-answers",
    ]);
    assert_eq!(again.json()["rows"], 4, "answers can be read back as a source");
}

#[test]
fn the_report_is_one_file_that_loads_nothing() {
    let project = Project::small(300);
    project.ok(&["run", "-q"]);
    for lang in ["en", "zh"] {
        let output = project.path(&format!("report-{lang}.html"));
        project.ok(&["report", "kind", "--lang", lang, "--output", output.to_str().unwrap()]);
        let html = std::fs::read_to_string(&output).unwrap();
        assert!(html.contains(&format!("lang=\"{lang}")), "{lang}");
        let markup: String =
            html.split("<script").map(|part| part.split_once("</script>").map_or(part, |(_, rest)| rest)).collect();
        for loads in ["src=\"http", "href=\"http", "src=\"/", "src='http"] {
            assert!(!markup.contains(loads), "{lang}: {loads}");
        }
    }
}

#[test]
fn init_writes_a_project_that_runs() {
    let project = Project::small(300);
    std::fs::remove_file(project.path("tidemill.yaml")).unwrap();
    let rows = project.path("rows.csv");
    project.ok(&["init", "--from", rows.to_str().unwrap(), "--target", "kind"]);
    let yaml = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    assert!(yaml.contains("# "), "it is commented:\n{yaml}");
    let done = project.ok(&["run", "--json", "--set", "models.kind.train.epochs=2"]);
    assert_eq!(done.json()["models"]["kind"]["version"], 1);
    assert_eq!(
        project.run(&["init", "--from", rows.to_str().unwrap(), "--target", "kind"]).code,
        1,
        "nothing is overwritten"
    );
}

#[test]
fn config_prints_every_default_and_is_a_project_file_again() {
    let project = Project::small(30);
    let printed = project.ok(&["config"]).stdout;
    assert!(printed.contains("patience: 5") && printed.contains("weight_decay:"), "{printed}");
    let again = Project::new(&printed);
    assert_eq!(again.ok(&["config"]).stdout, printed);
    let schema = project.ok(&["schema", "--json"]).json();
    assert!(schema["$schema"].is_string() && schema["properties"]["models"].is_object());
}

#[test]
fn doctor_says_success() {
    let done = finish(tidemill().arg("doctor"));
    assert!(done.code == 0 && done.stdout.contains("SUCCESS"), "{}{}", done.stdout, done.stderr);
}

#[test]
fn the_line_example_learns_its_line() {
    let project = Project::new(include_str!("../../../examples/line/tidemill.yaml"));
    project.write("line.csv", include_bytes!("../../../examples/line/line.csv"));
    let report = project.ok(&["run", "--json"]).json();
    let metrics = report["models"].as_object().unwrap().values().next().unwrap()["metrics"]["test"].clone();
    assert!(metrics["r2"].as_f64().unwrap() > 0.98, "{metrics}");
}

#[test]
fn adult_reaches_the_published_range_in_two_epochs() {
    let Some(_) = real_data("UCI Adult") else { return };
    let project = Project::new(include_str!("../../../examples/adult/tidemill.yaml"));
    let done = project.ok(&[
        "run",
        "--json",
        "-q",
        "--set",
        "models.income.train.epochs=2",
        "--set",
        "models.income.evaluate.importance_rows_max=0",
    ]);
    let auc = done.json()["models"]["income"]["metrics"]["test"]["auc"].as_f64().unwrap();
    assert!(auc > 0.895, "{auc}");
}

#[test]
fn cross_validation_is_in_the_json_on_the_leaderboard_and_in_the_report() {
    let project = Project::small(400);
    let by = "models.kind.evaluate.cross_validation={folds: 3}";
    let done = project.ok(&["run", "--json", "--set", by]);
    assert!(done.stderr.contains("cross-validation over 3 folds: auc 0."), "{}", done.stderr);
    let found = &done.json()["models"]["kind"]["cross_validation"];
    assert_eq!(found["folds"].as_array().unwrap().len(), 3);
    let rows: u64 = found["folds"].as_array().unwrap().iter().map(|fold| fold["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, 340, "the 60 test rows are in no fold");
    let (auc, deviation) = (&found["metrics"]["auc"]["mean"], &found["metrics"]["auc"]["standard_deviation"]);
    assert!(auc.as_f64().unwrap() > 0.9 && deviation.as_f64().unwrap() < 0.1, "{found}");
    let board = project.ok(&["models"]).stdout;
    assert!(board.contains(" ± "), "{board}");
    let report = std::fs::read_to_string(project.version("kind", 1).join("report.html")).unwrap();
    assert!(report.contains("Cross-validation"));
    let plain = std::fs::read(project.version("kind", 1).join("weights.safetensors")).unwrap();
    project.ok(&["run", "-q"]);
    let weights = std::fs::read(project.version("kind", 2).join("weights.safetensors")).unwrap();
    assert!(plain == weights, "the final model is trained as without folds");
}

/// Test rows may hold anything: what folds say depends on the other rows alone.
#[test]
fn folds_never_see_test_rows() {
    let found = |poison: bool| {
        let project = Project::small(300);
        let text = std::fs::read_to_string(project.path("rows.csv")).unwrap();
        let part = |n: usize| ["train", "test", "train", "validation"][n % 4];
        let line = |(n, line): (usize, &str)| match (n, part(n)) {
            (0, _) => format!("{line},part\n"),
            (_, "test") if poison => {
                let (x, colour, kind) = ("1e6", "violet", if line.ends_with("up") { "down" } else { "up" });
                format!("{x},{colour},{kind},test\n")
            }
            (_, part) => format!("{line},{part}\n"),
        };
        let text: String = text.lines().enumerate().map(line).collect();
        project.write("rows.csv", text.as_bytes());
        let split = "models.kind.split={column: {column: part}}";
        let by = "models.kind.evaluate.cross_validation={folds: 3, by: random}";
        let done = project.ok(&["run", "--json", "--set", split, "--set", by]).json();
        let run = &done["models"]["kind"];
        (run["cross_validation"]["metrics"].clone(), run["metrics"]["test"]["auc"].as_f64().unwrap())
    };
    let (clean, poisoned) = (found(false), found(true));
    assert_eq!(clean.0, poisoned.0);
    assert!(poisoned.1 < clean.1, "the poison was there");
}

#[test]
fn folds_that_cannot_be_made_are_refused_with_the_key() {
    let project = Project::small(300);
    let check = |value: &str, expected: &str| {
        let done = project.run(&["run", "-q", "--set", &format!("models.kind.evaluate.cross_validation={value}")]);
        assert_ne!(done.code, 0);
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    };
    check("{folds: 1}", "folds");
    check("{by: {group: {column: colour}}}", "3 groups of column \"colour\" cannot fill 5 folds");
    check("{by: {group: {column: kind}}}", "rows cannot be divided by it");
    check("{by: {time: {column: x2}}}", "no split column \"x2\"");
}

#[test]
fn a_query_of_thousands_of_parts_does_not_exhaust_the_stack() {
    let parts: Vec<String> = (0..4_000).map(|n| format!("x = {n}")).collect();
    let query = format!("SELECT * FROM rows WHERE {}", parts.join(" OR "));
    let yaml =
        SMALL.replace("models:", &format!("tables:\n  some: {query}\nmodels:")).replace("table: rows", "table: some");
    let project = Project::new(&yaml);
    let rows: String = (0..60).map(|n| format!("{n},red,{}\n", ["up", "down"][n / 30])).collect();
    project.write("rows.csv", format!("x,colour,kind\n{rows}").as_bytes());
    let done = project.run(&["run", "-q"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
}
