//! Networks on tables that are more than a row of plain layers: normalised, residual, wide and deep. Every column takes
//! part: pictures and series as a row of numbers, texts as the mean of their words' vectors.

use super::plan::{Builder, NodeId, Plan};
use super::{Head, Layers};
use crate::features::NumericPart;
use crate::spec::{DenseSpec, Normalization, WideAndDeepSpec};
use crate::{Error, Result};

/// Length of a word's vector where a network has no say in it.
const WORD_DIMENSION: usize = 64;

/// Fully connected layers with normalisation and residual connections.
pub(super) fn dense(spec: &DenseSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.dense", &spec.hidden, spec.dropout)?;
    let mut plan = Builder::new(numeric);
    let mut value = everything(&mut plan)?;
    for (number, &units) in spec.hidden.iter().enumerate() {
        let name = format!("dense.{number}");
        let before = value;
        let fused = (spec.normalization == Normalization::None).then_some(spec.activation);
        value = plan.linear(&name, value, units, fused)?;
        value = normalized(&mut plan, &format!("norm.{number}"), value, spec.normalization, spec.activation);
        value = plan.dropout(value, spec.dropout);
        if spec.residual && plan.shape(before) == plan.shape(value) {
            value = plan.add(value, before, None);
        }
    }
    plan.finish(value, head)
}

/// A dense network that has kernels of its own, for steps that need the whole gradient; with the same weights.
pub(super) fn plain(layers: &Layers, numeric: &NumericPart) -> Result<Plan> {
    let mut plan = Builder::new(numeric);
    let mut value = everything(&mut plan)?;
    for (number, layer) in layers.dense.iter().enumerate() {
        value = plan.linear(&format!("dense.{number}"), value, layer.outputs, layer.activation)?;
        if layer.activation.is_some() {
            value = plan.dropout(value, layers.dropout);
        }
    }
    plan.end(layers.head)
}

/// A linear model beside fully connected layers. The sum of two linear layers on two inputs is one on both.
pub(super) fn wide_and_deep(spec: &WideAndDeepSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.wide_and_deep", &spec.hidden, spec.dropout)?;
    let mut plan = Builder::new(numeric);
    let wide = everything(&mut plan)?;
    let mut deep = wide;
    for (number, &units) in spec.hidden.iter().enumerate() {
        deep = plan.linear(&format!("dense.{number}"), deep, units, Some(spec.activation))?;
        deep = plan.dropout(deep, spec.dropout);
    }
    let both = if deep == wide { Some(wide) } else { plan.concat(&[wide, deep]) };
    plan.finish(both.unwrap_or(wide), head)
}

/// The normalisation, then the activation that was not fused into the layer before.
pub(super) fn normalized(
    plan: &mut Builder,
    name: &str,
    value: NodeId,
    normalization: Normalization,
    activation: crate::spec::Activation,
) -> NodeId {
    match normalization {
        Normalization::None => value,
        Normalization::Batch if activation == crate::spec::Activation::Relu => {
            plan.batch_norm(name, value, Some(activation))
        }
        Normalization::Batch => {
            let value = plan.batch_norm(name, value, None);
            plan.activate(value, activation)
        }
        Normalization::Layer => {
            let value = plan.layer_norm(name, value, 1e-5);
            plan.activate(value, activation)
        }
    }
}

/// All that a row holds as one row of numbers.
pub(super) fn everything(plan: &mut Builder) -> Result<NodeId> {
    let mut parts: Vec<NodeId> = plan.table().into_iter().collect();
    for number in 0..plan.numeric.images.len() {
        let picture = plan.image(number);
        parts.push(plan.flatten(picture));
    }
    if let Some(series) = plan.series() {
        parts.push(plan.flatten(series));
    }
    for (number, text) in plan.numeric.texts.iter().enumerate() {
        let tokens = plan.tokens(number);
        let words = plan.vectors(&format!("words.{}", text.name), tokens, text, WORD_DIMENSION);
        parts.push(plan.mean(words, Some(tokens)));
    }
    plan.concat(&parts).ok_or_else(|| Error::invalid("the network has no inputs; add a column to features.include"))
}
