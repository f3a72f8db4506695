//! Deploy: one folder with everything a model version is, checked and registered.

use arrow::array::{Array, BinaryArray, FixedSizeBinaryArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use learn::evaluate::Worst;
use learn::{Evaluation, Model, Trained};
use serde_json::{Map, Value, json};
use store::{PrimaryMetric, RunId, Version, VersionSummary};

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};
use crate::ui;

use super::Place;
use super::cross_validation::CrossValidation;
use super::evaluate::Judged;
use super::prepare::Prepared;

/// What a version is made of.
pub(super) struct Parts<'a> {
    pub prepared: &'a Prepared,
    pub trained: &'a Trained,
    pub judged: &'a Judged,
    /// What cross-validation found, where it was asked for.
    pub folds: Option<&'a CrossValidation>,
    /// What `network: auto` tried.
    pub tried: &'a [super::Tried],
    /// The snapshots of its rows.
    pub snapshots: &'a [super::Frozen],
    pub train_seconds: f64,
    /// Seconds of the stages before this one.
    pub stages: Vec<(String, f64)>,
}

pub(super) fn deploy(place: &Place, spec: &ModelSpec, run: RunId, promote: bool, parts: &Parts) -> Result<Version> {
    let Parts { prepared, trained, judged, .. } = parts;
    let staging = place.store.stage(&spec.name)?;
    let folder = staging.path().to_path_buf();
    let write = |name: &str, value: Value| -> Result<()> {
        let text = serde_json::to_vec_pretty(&value).map_err(|e| Failure::new(Fault::Ours, format!("{name}: {e}")))?;
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| Failure::io(&path, &e))
    };
    Model::save(&folder, &prepared.features, &prepared.target, &judged.onnx)?;
    trained.weights.save(&folder.join("weights.safetensors"))?;
    write("audit.json", json!(prepared.audit))?;
    write("profile.json", json!(prepared.audit.profile))?;
    write("history.json", json!(trained.history))?;
    let mut evaluation = json!({ "validation": judged.validation, "test": judged.test });
    if let Some(folds) = parts.folds {
        evaluation["cross_validation"] = json!(folds);
    }
    write("evaluation.json", evaluation)?;
    if !parts.tried.is_empty() {
        write("auto.json", json!(parts.tried))?;
    }
    write("importance.json", json!(judged.importance))?;
    write("worst.json", json!(worst_rows(prepared, judged)))?;
    write("usage.json", usage(spec, prepared)?)?;
    if let Some(rows) = super::explain::background_rows(&prepared.features, &prepared.background)? {
        write(super::explain::FILE, rows)?;
    }
    write("stages.json", json!(parts.stages))?;
    if let Some(window) = &spec.window {
        write(super::window::FILE, json!(window))?;
    }
    let mut view = ui::VersionView::read(&folder, &spec.name, staging.number()?)?;
    view.target = Some(prepared.target.clone());
    view.settings = place.project.shown()["models"][&spec.name].clone();
    view.parameters = Some(trained.parameters as u64);
    view.stages.clone_from(&parts.stages);
    let path = folder.join("report.html");
    std::fs::write(&path, ui::report(&view, ui::Lang::En)).map_err(|e| Failure::io(&path, &e))?;
    let version = staging.commit(summary(place, spec, run, parts)?)?;
    if promote && !version.champion {
        return Ok(place.store.promote(&spec.name, version.number)?);
    }
    Ok(version)
}

fn summary(place: &Place, spec: &ModelSpec, run: RunId, parts: &Parts) -> Result<VersionSummary> {
    let Parts { prepared, trained, judged, train_seconds, .. } = parts;
    let (metric, higher_is_better) = learn::evaluate::main_metric(prepared.target.task);
    let figure = |of: &Evaluation| of.metrics.get(metric).copied();
    let details = json!({
        "target": prepared.target,
        "spec": place.project.shown()["models"][&spec.name],
        "parameters": trained.parameters,
        "device": trained.device,
        "best_epoch": trained.best_epoch,
        "onnx_difference_max": judged.difference,
        "snapshots": parts.snapshots.iter().map(|frozen| &frozen.name).collect::<Vec<_>>(),
        "tidemill": env!("CARGO_PKG_VERSION"),
    });
    Ok(VersionSummary {
        run: Some(run),
        task: json!(prepared.target.task).as_str().unwrap_or_default().to_owned(),
        primary: PrimaryMetric {
            name: metric.to_owned(),
            higher_is_better,
            validation: figure(&judged.validation),
            test: figure(&judged.test),
        },
        validation: json!(judged.validation.metrics),
        test: json!(judged.test.metrics),
        cross_validation: parts.folds.map(|folds| json!(folds)),
        snapshots: parts.snapshots.iter().map(|frozen| frozen.content.clone()).collect(),
        train_seconds: *train_seconds,
        predict_microseconds_per_row: judged.predict_microseconds_per_row,
        details: details.as_object().cloned().unwrap_or_default(),
    })
}

/// The rows answered worst, with what they look like.
fn worst_rows(prepared: &Prepared, judged: &Judged) -> Vec<Value> {
    let row_of = |mut row: usize| {
        prepared.test_rows.iter().find_map(|batch| {
            if row < batch.num_rows() {
                return Some((batch, row));
            }
            row -= batch.num_rows();
            None
        })
    };
    let show = |answer: &Worst| {
        let mut shown = json!(answer);
        if let Some((batch, row)) = row_of(answer.row as usize) {
            shown["values"] = values(batch, row, &prepared.target.column);
            shown["picture"] = json!(picture(batch, row));
        }
        shown
    };
    judged.worst.iter().map(show).collect()
}

/// The columns of a row as text, without the target and without pictures.
fn values(batch: &RecordBatch, row: usize, target: &str) -> Value {
    let options = FormatOptions::default().with_null("");
    let mut shown = Map::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name() == target || is_picture(column.as_ref()) {
            continue;
        }
        if let Ok(format) = ArrayFormatter::try_new(column.as_ref(), &options) {
            shown.insert(field.name().clone(), Value::String(format.value(row).to_string()));
        }
    }
    Value::Object(shown)
}

fn is_picture(column: &dyn Array) -> bool {
    column.as_any().is::<FixedSizeBinaryArray>() || column.as_any().is::<BinaryArray>()
}

/// The first picture of a row as `data:` URL.
fn picture(batch: &RecordBatch, row: usize) -> Option<String> {
    let schema = batch.schema();
    let (field, column) =
        schema.fields().iter().zip(batch.columns()).find(|(_, column)| is_picture(column.as_ref()))?;
    let png = learn::picture_png(field, column.as_ref(), row)?;
    use base64::Engine as _;
    Some(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png)))
}

/// How to ask: the endpoint and one row of the test part.
fn usage(spec: &ModelSpec, prepared: &Prepared) -> Result<Value> {
    let first = prepared.test_rows.iter().find(|batch| batch.num_rows() > 0);
    let input = match first {
        Some(batch) => crate::serve::rows::as_json(&prepared.features, batch, 0)?,
        None => Value::Null,
    };
    Ok(json!({ "endpoint": spec.name, "input": input }))
}
