//! The nodes of the network: embeddings, fully connected layers, the head.

use super::graph::{Graph, Value, float, int};
use super::numeric::Inputs;
use crate::net::{HeadActivation, Layers};
use crate::spec::Activation;
use crate::{Error, Result, Target, Weights};

/// Adds the network's nodes on the numeric part's outputs; gives the answers `[batch, classes]` or `[batch]`.
pub(super) fn write(
    graph: &mut Graph,
    inputs: &Inputs,
    layers: &Layers,
    weights: &Weights,
    target: &Target,
) -> Result<Value> {
    let tensor =
        |graph: &mut Graph, name: &str| weights.get(name).map(|tensor| graph.floats(name, &tensor.shape, &tensor.data));
    if !inputs.texts.is_empty() || inputs.series.is_some() {
        return Err(Error::Internal("texts or series reached a network that reads no sequences".into()));
    }
    let mut beside: Vec<Value> = inputs.dense(graph).into_iter().collect();
    for (embedding, codes) in layers.embeddings.iter().zip(&inputs.embedded) {
        let table = tensor(graph, &embedding.weight)?;
        beside.push(graph.node_with("Gather", &[&table, codes], vec![int("axis", 0)]));
    }
    let joined = graph.beside(&beside);
    let mut value = joined.ok_or_else(|| Error::Internal("a network without inputs reached the ONNX writer".into()))?;
    for layer in &layers.dense {
        let (weight, bias) = (tensor(graph, &layer.weight)?, tensor(graph, &layer.bias)?);
        // Not `Gemm`: RTen packs the weights of `MatMul` once and adds the bias in the same pass.
        let product = graph.node("MatMul", &[&value, &weight]);
        value = graph.node("Add", &[&product, &bias]);
        value = match layer.activation {
            Some(activation) => write_activation(graph, &value, activation),
            None => value,
        };
    }
    Ok(write_head(graph, &value, layers.head.activation, target))
}

pub(super) fn write_activation(graph: &mut Graph, value: &Value, activation: Activation) -> Value {
    match activation {
        Activation::Sigmoid => graph.node("Sigmoid", &[value]),
        Activation::Relu => graph.node("Relu", &[value]),
        Activation::Relu6 => {
            let [lowest, highest] = [0.0, 6.0].map(|x: f32| graph.floats("/bound", &[], &[x]));
            graph.node("Clip", &[value, &lowest, &highest])
        }
        Activation::LeakyRelu => graph.node_with("LeakyRelu", &[value], vec![float("alpha", 0.01)]),
        Activation::Tanh => graph.node("Tanh", &[value]),
        Activation::Gelu => write_gelu(graph, value),
        Activation::Silu => {
            let share = graph.node("Sigmoid", &[value]);
            graph.node("Mul", &[value, &share])
        }
    }
}

/// The opset has no `Gelu` yet: in the order in which PyTorch writes it, which RTen knows and does in one pass.
fn write_gelu(graph: &mut Graph, value: &Value) -> Value {
    let root = graph.floats("/root_of_two", &[], &[std::f32::consts::SQRT_2]);
    let scaled = graph.node("Div", &[value, &root]);
    let error = graph.node("Erf", &[&scaled]);
    let one = graph.floats("/one", &[], &[1.0]);
    let share = graph.node("Add", &[&error, &one]);
    let double = graph.node("Mul", &[value, &share]);
    let half = graph.floats("/half", &[], &[0.5]);
    graph.node("Mul", &[&double, &half])
}

pub(super) fn write_head(graph: &mut Graph, value: &Value, head: HeadActivation, target: &Target) -> Value {
    match head {
        HeadActivation::Softmax => graph.node_with("Softmax", &[value], vec![int("axis", 1)]),
        HeadActivation::Sigmoid => {
            let second = graph.node("Sigmoid", &[value]);
            let one = graph.floats("/one", &[], &[1.0]);
            let first = graph.node("Sub", &[&one, &second]);
            graph.node_with("Concat", &[&first, &second], vec![int("axis", 1)])
        }
        HeadActivation::Linear => {
            let scale = graph.floats("/target_scale", &[], &[target.scale as f32]);
            let mean = graph.floats("/target_mean", &[], &[target.mean as f32]);
            let scaled = graph.node("Mul", &[value, &scale]);
            let moved = graph.node("Add", &[&scaled, &mean]);
            let axes = graph.ints("/axes", &[1], &[1]);
            graph.node("Squeeze", &[&moved, &axes])
        }
    }
}
