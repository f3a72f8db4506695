//! Explain: the training rows that a version keeps, against which its answers are explained.

use std::path::Path;

use arrow::record_batch::RecordBatch;
use learn::{Features, Model};
use serde_json::{Map, Value};

use crate::failure::{Failure, Fault, Result};
use crate::serve::rows;

/// The rows in a version's folder: a list of objects, as requests send them.
pub(super) const FILE: &str = "background.json";
/// Bytes that the rows may take, about: of rows with pictures and long texts fewer are kept.
const BYTES_MAX: usize = 4 << 20;

/// The rows as a version keeps them; nothing where none are wanted, or where columns say nothing of an answer.
pub(super) fn background_rows(features: &Features, batches: &[RecordBatch]) -> Result<Option<Value>> {
    if learn::check_explainable(features).is_err() {
        return Ok(None);
    }
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for batch in batches {
        for row in 0..batch.num_rows() {
            let object = rows::as_json(features, batch, row)?;
            bytes += object.to_string().len();
            if bytes > BYTES_MAX && !kept.is_empty() {
                return Ok(Some(Value::Array(kept)));
            }
            kept.push(object);
        }
    }
    Ok((!kept.is_empty()).then_some(Value::Array(kept)))
}

/// The background rows of a version; where it keeps none, one row of a usual value of each column.
pub(crate) fn background(folder: &Path, model: &Model) -> Result<RecordBatch> {
    let path = folder.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return usual(model),
        Err(error) => return Err(Failure::io(&path, &error)),
    };
    let broken = |why: String| Failure::new(Fault::Ours, format!("{}: {why}; restore the folder", path.display()));
    let kept: Value = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    rows::from_json(model.features(), &kept).map_err(|failure| broken(failure.message))
}

fn usual(model: &Model) -> Result<RecordBatch> {
    let columns = model.features().columns();
    let row: Map<String, Value> = columns.iter().map(|column| (column.name.clone(), column.example.clone())).collect();
    rows::from_json(model.features(), &Value::Object(row)).map_err(|_| {
        Failure::new(
            Fault::Unsupported,
            "this version keeps no training rows to explain answers against, and a picture has no usual value; train it \
             again, with evaluate.background_rows_max above 0",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use learn::Target;
    use learn::spec::{FeaturesSpec, NetSpec, TaskSpec};

    use super::*;

    fn table(texts: &[&str]) -> RecordBatch {
        let numbers = |by: f64| Float64Array::from_iter_values((0..texts.len()).map(|n| (n % 9) as f64 * by));
        let columns: [(&str, ArrayRef); 3] = [
            ("n", Arc::new(numbers(0.5))),
            ("colour", Arc::new(StringArray::from(texts.to_vec()))),
            ("y", Arc::new(numbers(1.5))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn features(batch: &RecordBatch) -> Features {
        let train = std::slice::from_ref(batch);
        let target = Target::fit(TaskSpec::Regression, "y", train).unwrap();
        let network = NetSpec::default();
        Features::fit(&FeaturesSpec::default(), &batch.schema(), &target, &[], train, network.takes()).unwrap()
    }

    #[test]
    fn rows_are_kept_as_requests_send_them_and_read_back_the_same() {
        let batch = table(&["red", "blue", "red", "blue", "red", "red", "blue", "blue"].repeat(10));
        let features = features(&batch);
        let kept = background_rows(&features, &[batch.slice(0, 5), batch.slice(5, 3)]).unwrap().unwrap();
        assert_eq!(kept.as_array().unwrap().len(), 8);
        assert_eq!(kept[1], serde_json::json!({"n": 0.5, "colour": "blue"}));
        let read = rows::from_json(&features, &kept).unwrap();
        assert_eq!(features.encode(&read).unwrap(), features.encode(&batch.slice(0, 8)).unwrap());
        assert_eq!(background_rows(&features, &[]).unwrap(), None);
    }

    #[test]
    fn of_large_rows_fewer_are_kept() {
        let features = features(&table(&["red", "blue"].repeat(20)));
        let long = ["x".repeat(BYTES_MAX / 2), "y".repeat(BYTES_MAX / 2), "z".to_owned()];
        let kept = background_rows(&features, &[table(&long.each_ref().map(String::as_str))]).unwrap().unwrap();
        assert_eq!(kept.as_array().unwrap().len(), 1);
    }
}
