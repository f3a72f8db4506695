//! Networks on sequences, the words of a text or the steps of series: convolutions, recurrent layers, transformers.

use super::Head;
use super::picture::beside_table;
use super::plan::{Builder, Cell, ConvLayer, NodeId, Pick, Plan, RecurrentLayer, Window};
use crate::features::{NumericPart, TextInput};
use crate::spec::{Activation, CellSpec, Pooling, RecurrentSpec, TextConvSpec, TransformerSpec};
use crate::{Error, Result};

/// Layers of a network at most.
const LAYERS_MAX: usize = 48;

/// A sequence: its vectors `[steps, width]`, and its tokens where it is a text.
#[derive(Debug, Clone, Copy)]
struct Sequence {
    vectors: NodeId,
    tokens: Option<NodeId>,
}

/// Convolutions of several widths over the words, and the largest value of each channel.
pub(super) fn text_conv(spec: &TextConvSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.text_conv", &[spec.dimension, spec.channels], spec.dropout)?;
    if spec.widths.is_empty() || spec.widths.iter().any(|width| !(1..=15).contains(width)) {
        return Err(Error::invalid(format!("network.text_conv.widths is {:?}, expected 1 to 15 each", spec.widths)));
    }
    let mut plan = Builder::new(numeric);
    let Sequence { vectors, tokens } = sequence(&mut plan, "text_conv", Some(spec.dimension))?;
    let vectors = plan.dropout(vectors, spec.dropout);
    let &[steps, width] = plan.shape(vectors) else {
        return Err(Error::Internal("a sequence is no sequence".into()));
    };
    let picture = plan.reshape(vectors, vec![steps, 1, width]);
    let mut parts = Vec::new();
    for (number, &width) in spec.widths.iter().enumerate() {
        let window = Window { kernel: [width, 1], stride: [1, 1], padding: [(width - 1) / 2, 0, width / 2, 0] };
        let activation = Some(Activation::Relu);
        let layer = ConvLayer { outputs: spec.channels, window, groups: 1, activation, bias: true };
        let seen = plan.conv(&format!("conv.{number}"), picture, layer)?;
        parts.push(plan.max(seen, tokens));
    }
    let joined = plan.concat(&parts).ok_or_else(|| Error::Internal("no convolution".into()))?;
    let mut value = beside_table(&mut plan, joined)?;
    value = plan.dropout(value, spec.dropout);
    plan.finish(value, head)
}

/// Recurrent layers.
pub(super) fn recurrent(spec: &RecurrentSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.recurrent", &spec.hidden, spec.dropout)?;
    check_layers("network.recurrent.units", spec.units.len())?;
    super::check_hidden("network.recurrent", &spec.units, spec.dropout)?;
    let mut plan = Builder::new(numeric);
    let Sequence { vectors, tokens } = sequence(&mut plan, "recurrent", Some(spec.dimension))?;
    let cell = match spec.cell {
        CellSpec::Lstm => Cell::Lstm,
        CellSpec::Gru => Cell::Gru,
    };
    let mut value = vectors;
    for (number, &units) in spec.units.iter().enumerate() {
        let layer = RecurrentLayer { cell, units, both: spec.bidirectional };
        value = plan.recurrent(&format!("recurrent.{number}"), value, tokens, layer)?;
        value = plan.dropout(value, spec.dropout);
    }
    value = match (spec.pooling, spec.bidirectional) {
        // The reader from the end has read all at the first step.
        (Pooling::Last, true) => ends(&mut plan, value, tokens)?,
        (pooling, _) => pooled(&mut plan, pooling, value, tokens),
    };
    value = beside_table(&mut plan, value)?;
    for (number, &units) in spec.hidden.iter().enumerate() {
        value = plan.linear(&format!("dense.{number}"), value, units, Some(Activation::Relu))?;
        value = plan.dropout(value, spec.dropout);
    }
    plan.finish(value, head)
}

/// Last and first step side by side: each direction's last word is among them.
fn ends(plan: &mut Builder, value: NodeId, tokens: Option<NodeId>) -> Result<NodeId> {
    let last = plan.pick(Pick::Last, value, tokens);
    let first = plan.pick(Pick::First, value, None);
    plan.concat(&[last, first]).ok_or_else(|| Error::Internal("two values side by side are none".into()))
}

/// A transformer encoder with the normalisation before each part (Xiong et al. 2020), which needs no warm-up.
pub(super) fn transformer(spec: &TransformerSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.transformer", &[spec.width, spec.feed_forward], spec.dropout)?;
    check_layers("network.transformer.layers", spec.layers)?;
    let mut plan = Builder::new(numeric);
    let Sequence { vectors, tokens } = sequence(&mut plan, "transformer", Some(spec.width))?;
    let steps = plan.shape(vectors)[0];
    let mut value = match plan.shape(vectors)[1] == spec.width {
        true => vectors,
        false => plan.linear("input", vectors, spec.width, None)?,
    };
    value = plan.positions("positions", value, steps);
    value = plan.dropout(value, spec.dropout);
    for number in 0..spec.layers {
        let name = format!("layer.{number}");
        let normal = plan.layer_norm(&format!("{name}.norm1"), value, 1e-5);
        let seen = plan.attention(&format!("{name}.attention"), normal, tokens, spec.heads, spec.dropout)?;
        let seen = plan.dropout(seen, spec.dropout);
        value = plan.add(seen, value, None);
        let normal = plan.layer_norm(&format!("{name}.norm2"), value, 1e-5);
        let inner = plan.linear(&format!("{name}.inner"), normal, spec.feed_forward, Some(spec.activation))?;
        let inner = plan.dropout(inner, spec.dropout);
        let outer = plan.linear(&format!("{name}.outer"), inner, spec.width, None)?;
        let outer = plan.dropout(outer, spec.dropout);
        value = plan.add(outer, value, None);
    }
    value = plan.layer_norm("norm", value, 1e-5);
    value = pooled(&mut plan, spec.pooling, value, tokens);
    value = beside_table(&mut plan, value)?;
    plan.finish(value, head)
}

/// What of a sequence goes on: `[width]`.
pub(super) fn pooled(plan: &mut Builder, pooling: Pooling, value: NodeId, tokens: Option<NodeId>) -> NodeId {
    match pooling {
        Pooling::Last => plan.pick(Pick::Last, value, tokens),
        Pooling::First => plan.pick(Pick::First, value, None),
        Pooling::Mean => plan.mean(value, tokens),
        Pooling::Max => plan.max(value, tokens),
    }
}

/// The one sequence that the rows hold: a text's words as vectors of `dimension`, or the series side by side.
fn sequence(plan: &mut Builder, family: &str, dimension: Option<usize>) -> Result<Sequence> {
    let texts = &plan.numeric.texts;
    match (texts.as_slice(), plan.numeric.series.is_empty()) {
        ([text], true) => {
            let tokens = plan.tokens(0);
            let width = dimension.unwrap_or(text.vocabulary.min(64));
            let vectors = plan.vectors("words", tokens, text, width);
            Ok(Sequence { vectors, tokens: Some(tokens) })
        }
        ([], false) => {
            let vectors = plan.series().ok_or_else(|| Error::Internal("series that are none".into()))?;
            Ok(Sequence { vectors, tokens: None })
        }
        ([], true) => Err(Error::invalid(format!(
            "network.{family} reads a text or series, but no column is one; name a text column under \
             features.columns, or add a window"
        ))),
        (several, _) => Err(several_sequences(family, several, plan.numeric)),
    }
}

/// The one text that the rows hold.
pub(super) fn one_text<'a>(plan: &Builder<'a>, family: &str) -> Result<&'a TextInput> {
    match plan.numeric.texts.as_slice() {
        [text] if plan.numeric.series.is_empty() => Ok(text),
        [] => Err(Error::invalid(format!(
            "network.{family} reads a text, but no column is one; name a text column under features.columns"
        ))),
        several => Err(several_sequences(family, several, plan.numeric)),
    }
}

fn several_sequences(family: &str, texts: &[TextInput], numeric: &NumericPart) -> Error {
    let names: Vec<_> = texts.iter().map(|text| format!("\"{}\"", text.name)).collect();
    Error::invalid(format!(
        "network.{family} reads one text or series, but the rows hold the texts {}{}; leave all but one out under \
         features.exclude",
        names.join(", "),
        if numeric.series.is_empty() { "" } else { " and series" }
    ))
}

fn check_layers(name: &str, layers: usize) -> Result<()> {
    match (1..=LAYERS_MAX).contains(&layers) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name}: {layers} layers, expected 1 to {LAYERS_MAX}"))),
    }
}
