//! Does ONNX Runtime give our answers, for every kind of features, head and network?

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Case, cases, encoded, flat, target, tree_cases};
use crate::features::NumericPart;
use crate::net::network_answers;
use crate::net::plan::tests as plans;
use crate::spec::Loss;
use crate::{Encoded, Features, export_onnx};

/// Checks the files with the `onnx` package and runs them with ONNX Runtime.
const SCRIPT: &str = r#"
import json, pathlib, sys
import numpy as np, onnx, onnxruntime
folder = pathlib.Path(sys.argv[1])
for case in json.loads((folder / "cases.json").read_text()):
    model = onnx.load(folder / case["file"])
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 18 and model.producer_name == "tidemill"
    notes = {entry.key: entry.value for entry in model.metadata_props}
    json.loads(notes["features"])
    session = onnxruntime.InferenceSession(folder / case["file"], providers=["CPUExecutionProvider"])
    # By position: a column's name may be taken.
    feeds = {}
    for wanted, given in zip(session.get_inputs(), case["inputs"], strict=True):
        data = [float("nan") if x is None else x for x in given["data"]]
        feeds[wanted.name] = np.array(data, dtype=given["type"]).reshape(given["shape"])
        fits = [a == b or isinstance(a, str) for a, b in zip(wanted.shape, given["shape"], strict=True)]
        assert wanted.shape[0] == "batch" and all(fits), (case["name"], wanted.shape, given["shape"])
    (answers,) = session.run(None, feeds)
    expected = np.array(case["expected"], dtype="float32").reshape(answers.shape)
    worst = float(np.max(np.abs(answers - expected) / np.maximum(1, np.abs(expected))))
    assert worst < case["tolerance"], (case["name"], worst)
    print(f"{case['name']}: at most {worst:.1e} apart")
print("agreed")
"#;

/// The rows as ONNX Runtime takes them, in the order of the file's inputs.
fn inputs(part: &NumericPart, rows: &Encoded) -> Vec<Value> {
    let n = rows.rows;
    let input = |kind: &str, shape: &[usize], data: Value| {
        let shape: Vec<usize> = [n].iter().chain(shape).copied().collect();
        json!({"type": kind, "shape": shape, "data": data})
    };
    let mut inputs = Vec::new();
    if !part.numbers.is_empty() {
        inputs.push(input("float32", &[part.numbers.len()], json!(rows.numbers)));
    }
    if !part.categories.is_empty() {
        inputs.push(input("int64", &[part.categories.len()], json!(rows.codes)));
    }
    for (image, block) in part.images.iter().zip(&rows.images) {
        inputs.push(input("uint8", &[image.height, image.width, image.channels], json!(block.pixels)));
    }
    for block in &rows.bags {
        let mut terms = vec![0.0; n * block.width];
        terms.chunks_exact_mut(block.width).enumerate().for_each(|(row, out)| block.write(row, out));
        inputs.push(input("float32", &[block.width], json!(terms)));
    }
    for block in &rows.texts {
        inputs.push(input("int64", &[block.length], json!(block.tokens)));
    }
    if let Some(first) = rows.series.first() {
        let at = |step: usize| rows.series.iter().map(move |block| (block, step));
        let values: Vec<f32> = (0..n)
            .flat_map(|row| (0..first.steps).map(move |step| row * first.steps + step))
            .flat_map(|step| at(step).map(|(block, step)| block.values[step]))
            .collect();
        inputs.push(input("float32", &[first.steps, rows.series.len()], json!(values)));
    }
    inputs
}

/// Dense networks with every kind of features and every head, and trees; 100 rows each.
fn dense_cases(folder: &Path) -> Vec<Value> {
    let case = |(number, case): (usize, Case)| {
        let file = format!("dense_{number}.onnx");
        std::fs::write(folder.join(&file), case.onnx()).unwrap();
        let rows = encoded(&case.features, 100, 9);
        let expected = case.model().predict_encoded(&rows).unwrap();
        let inputs = inputs(case.features.numeric(), &rows);
        json!({"name": case.name, "file": file, "inputs": inputs, "expected": flat(&expected), "tolerance": 2e-6})
    };
    cases().into_iter().chain(tree_cases()).enumerate().map(case).collect()
}

/// The networks of every family, 100 rows each.
fn family_cases(folder: &Path) -> Vec<Value> {
    let mut cases = Vec::new();
    for (name, net, part) in plans::families() {
        for classes in [0, 3].map(|asked| plans::classes_of(&net, asked)) {
            let features = Features { numeric: part.clone(), ..Features::default() };
            let weights = plans::weights(&plans::plan(&net, &part, classes));
            let target = target(classes);
            let onnx = export_onnx(&features, &target, &net, Loss::Auto, &weights, None).unwrap();
            let (file, name) = (format!("family_{}.onnx", cases.len()), format!("{name}, {classes} classes"));
            std::fs::write(folder.join(&file), onnx).unwrap();
            let rows = plans::mixed(&part, 100);
            let expected = network_answers(&net, &part, &target, Loss::Auto, &weights, &rows).unwrap();
            let inputs = inputs(&part, &rows);
            cases.push(json!({"name": name, "file": file, "inputs": inputs, "expected": expected, "tolerance": 1e-4}));
        }
    }
    cases
}

#[test]
#[allow(clippy::disallowed_methods, reason = "which Python has onnx and onnxruntime is a matter of the machine")]
fn onnx_runtime_gives_the_same_answers() {
    let Some(python) = std::env::var_os("TIDEMILL_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "TIDEMILL_PYTHON is not set: a Python with onnx and onnxruntime");
        println!("skipped: TIDEMILL_PYTHON is not set to a Python with onnx and onnxruntime");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut cases = dense_cases(folder.path());
    cases.extend(family_cases(folder.path()));
    std::fs::write(folder.path().join("cases.json"), Value::from(cases).to_string()).unwrap();
    let output = Command::new(python).arg("-c").arg(SCRIPT).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.ends_with(b"agreed\n"), "{said}");
    println!("{}", String::from_utf8_lossy(&output.stdout));
}
