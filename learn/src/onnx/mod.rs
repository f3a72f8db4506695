//! How does a model leave the house? As one ONNX file that holds the numeric part of the features and the network, so
//! that raw rows go in.
//!
//! *Good for*: our own models. *Not for*: reading foreign files, running (`model`).

mod ensemble;
mod graph;
mod network;
mod numeric;
mod plan;
mod proto;
mod seal;
mod trees;

use prost::Message;
use serde_json::json;

use crate::features::{CategoryInput, TextInput, Vocabulary};
use crate::net::{Design, Head, design};
use crate::spec::{Loss, NetSpec};
use crate::{Error, Features, Result, Target, Task, Weights};

use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
pub(crate) use seal::is_whole;

/// Version of the operators.
const OPSET: i64 = 18;
/// Version of the format that came with this opset (ONNX 1.13).
const IR_VERSION: i64 = 8;

/// The bytes of an ONNX file (opset 18).
///
/// Inputs: `numbers` float32 `[batch, numbers]`, `codes` int64 `[batch, categories]` and one uint8
/// `[batch, height, width, channels]` per image column under the column's name (with a number behind it where that is
/// taken), one float32 `[batch, terms]` per text column of weighted terms and one int64 `[batch, length]` per text column of
/// tokens under its name, `series` float32 `[batch, steps, series]`; in this order and each where there is one.
///
/// Output: `probabilities` float32 `[batch, classes]`, or `prediction` float32 `[batch]` in the target's units.
///
/// `metadata_props`: `task`, `target`, `labels` (a JSON list), `threshold`, and `features`, a JSON object with the
/// `columns` (kind, vocabulary, tokenizer, what is prepared of them), what is `combined` of several, the columns that
/// `neighbours` fill, and the order of columns in `numbers`, `codes` and `series`.
///
/// # Errors
/// Weights of another network, a loss that does not fit the target, features without columns.
pub fn export_onnx(
    features: &Features,
    target: &Target,
    net: &NetSpec,
    loss: Loss,
    weights: &Weights,
    threshold: Option<f32>,
) -> Result<Vec<u8>> {
    let design = design(net, features.numeric(), Head::of(target, loss)?)?;
    design.check(weights)?;
    let (output, axes) = output(target);
    let mut graph = graph::Graph::new(output);
    let answers = match &design {
        Design::Trees(design) => {
            let raw = numeric::write_raw(&mut graph, features.numeric());
            trees::write(&mut graph, &raw, design, &design.ensemble(weights)?, target)
        }
        design => {
            let inputs = numeric::write(&mut graph, features.numeric());
            write_design(&mut graph, &inputs, design, weights, target)?
        }
    };
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        producer_name: Some("tidemill".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        doc_string: Some(format!(
            "Predicts \"{}\" from raw rows: the preparation of numbers is inside.",
            target.column
        )),
        graph: Some(graph.finish(&answers, output, &axes)),
        metadata_props: metadata(features, target, threshold)?,
    };
    Ok(seal::seal(model.encode_to_vec()))
}

/// Adds a network's nodes on the numeric part's outputs; gives the answers `[batch, classes]` or `[batch]`.
fn write_design(
    graph: &mut graph::Graph,
    inputs: &numeric::Inputs,
    design: &Design,
    weights: &Weights,
    target: &Target,
) -> Result<graph::Value> {
    match design {
        Design::Dense(layers) => network::write(graph, inputs, layers, weights, target),
        Design::Plan(plan) => plan::write(graph, inputs, plan, weights, target),
        Design::Ensemble(ensemble) => ensemble::write(graph, inputs, ensemble, weights, target),
        Design::Trees(trees) => Ok(trees::write(graph, &inputs.raw, trees, &trees.ensemble(weights)?, target)),
    }
}

/// Name of the output and its axes after the batch.
pub(crate) fn output(target: &Target) -> (&'static str, Vec<usize>) {
    match target.task {
        Task::Regression => ("prediction", vec![]),
        Task::Binary | Task::Multiclass => ("probabilities", vec![target.labels.len()]),
    }
}

fn metadata(features: &Features, target: &Target, threshold: Option<f32>) -> Result<Vec<StringStringEntryProto>> {
    let broken = |e: serde_json::Error| Error::Internal(format!("metadata of the ONNX file: {e}"));
    let part = features.numeric();
    let codes = part.categories.iter().map(|category| match category {
        CategoryInput::OneHot { name, .. } | CategoryInput::Ordinal { name, .. } => name,
        CategoryInput::Embedding(column) => &column.name,
    });
    let description = json!({
        "columns": serde_json::to_value(features.columns()).map_err(broken)?,
        "combined": serde_json::to_value(features.combined()).map_err(broken)?,
        "neighbours": features.filled_by_neighbours(),
        "numbers": part.numbers.iter().map(|number| &number.name).collect::<Vec<_>>(),
        "codes": codes.collect::<Vec<_>>(),
        "images": part.images.iter().map(|image| &image.name).collect::<Vec<_>>(),
        "terms": part.bags.iter().map(|bag| &bag.name).collect::<Vec<_>>(),
        "texts": part.texts.iter().map(|text| &text.name).collect::<Vec<_>>(),
        "series": part.series.iter().map(|series| &series.name).collect::<Vec<_>>(),
        "padding_token": TextInput::PADDING,
        "unknown_token": TextInput::UNKNOWN,
        "missing_number": "NaN",
        "unknown_code": Vocabulary::UNKNOWN,
        "missing_code": Vocabulary::MISSING,
        "first_code": Vocabulary::FIRST,
    });
    let mut entries = vec![
        ("task", serde_json::to_value(target.task).map_err(broken)?.as_str().unwrap_or_default().to_owned()),
        ("target", target.column.clone()),
        ("features", description.to_string()),
    ];
    if !target.labels.is_empty() {
        entries.push(("labels", json!(target.labels).to_string()));
    }
    if let (Task::Binary, Some(threshold)) = (target.task, threshold) {
        entries.push(("threshold", threshold.to_string()));
    }
    let entry = |(key, value): (&str, String)| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    Ok(entries.into_iter().map(entry).collect())
}
