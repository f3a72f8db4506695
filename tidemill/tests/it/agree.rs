//! `/predict`, `tidemill predict` and ONNX Runtime give the same answers.

use serde_json::{Value, json};

use crate::support::{Project, Server, finish, optional};

/// Probabilities of the second class by ONNX Runtime, from the model's own description of its inputs.
const ONNX_RUNTIME: &str = r#"
import csv, json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
features = json.loads(session.get_modelmeta().custom_metadata_map["features"])
rows = list(csv.DictReader(open(sys.argv[2])))
kinds = {column["name"]: column["kind"] for column in features["columns"]}
def code(name, text):
    if text == "":
        return 1
    known = kinds[name]["category"]["values"]
    return known.index(text) + 2 if text in known else 0
feeds = {
    "numbers": np.array([[float(row[name] or "nan") for name in features["numbers"]] for row in rows], np.float32),
    "codes": np.array([[code(name, row[name]) for name in features["codes"]] for row in rows], np.int64),
}
print(json.dumps(session.run(["probabilities"], feeds)[0][:, 1].tolist()))
"#;

#[test]
fn server_files_and_onnx_runtime_agree() {
    let project = Project::small(1_500);
    project.ok(&["run", "-q"]);
    let mut text = String::from("x,colour\n");
    let mut input = Vec::new();
    for n in 0..1_000 {
        let x = (n as f64) / 400.0 - 1.25;
        let colour = ["red", "green", "blue", "violet"][n % 4];
        text += &format!("{x},{colour}\n");
        input.push(json!([x, colour]));
    }
    let rows = project.write("new.csv", text.as_bytes());

    let output = project.path("answers.jsonl");
    project.ok(&["predict", "--input", rows.to_str().unwrap(), "--output", output.to_str().unwrap()]);
    let by_file: Vec<f64> = std::fs::read_to_string(&output)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["probability_up"].as_f64().unwrap())
        .collect();

    let server = Server::of(&project);
    let (status, reply) = server.post("/predict", &json!({ "input": input, "proba": true }));
    assert_eq!(status, 200, "{reply}");
    let by_request: Vec<f64> =
        reply["probabilities"].as_array().unwrap().iter().map(|shares| shares["up"].as_f64().unwrap()).collect();
    agree(&by_file, &by_request);

    let Some(python) = optional("TIDEMILL_PYTHON", "ONNX Runtime") else { return };
    let onnx = project.version("kind", 1).join("model.onnx");
    let done = finish(std::process::Command::new(python).args(["-c", ONNX_RUNTIME]).arg(onnx).arg(rows));
    assert_eq!(done.code, 0, "{}", done.stderr);
    agree(&by_file, &serde_json::from_str::<Vec<f64>>(&done.stdout).unwrap());
}

fn agree(a: &[f64], b: &[f64]) {
    assert_eq!((a.len(), b.len()), (1_000, 1_000));
    let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(most < 1e-5, "{most}");
}
