//! Which layers does a network have, what comes out of it, and with which numbers does it begin?

mod answers;
mod autoencoder;
mod batch;
mod bert;
mod design;
mod device;
mod efficientnet;
mod ensemble;
mod fused;
mod head;
mod init;
mod network;
mod objective;
mod picture;
#[cfg(feature = "burn")]
mod plain;
#[cfg(not(feature = "burn"))]
#[path = "plain/absent.rs"]
mod plain;
pub(crate) mod plan;
mod rule;
mod sequence;
mod tabular;

pub use answers::network_answers;
pub(crate) use autoencoder::{calibrate, reset_score};
pub(crate) use batch::Batch;
pub(crate) use bert::encoder as bert_encoder;
pub(crate) use design::{Design, design};
pub(crate) use device::{Accelerator, Kind, Place, Which};
#[cfg(test)]
pub(crate) use efficientnet::network as efficientnet;
pub use ensemble::{Alone, Together, together};
pub(crate) use ensemble::{Combination, Ensemble};
pub(crate) use fused::Chance;
use fused::FusedNet;
pub(crate) use head::{Head, HeadActivation, HeadLoss, standardised};
pub(crate) use init::initial_weights;
pub(crate) use network::Network;
pub(crate) use objective::{loss_and_gradient, row_loss};
use plain::PlainNet;
pub(crate) use plain::{best as best_accelerator, check as check_accelerator};
pub(crate) use rule::StepRule;

use crate::features::NumericPart;
use crate::spec::{Activation, DenseSpec};
use crate::{Error, Result, Weights};

/// Hidden layers a network may have.
const HIDDEN_LAYERS_MAX: usize = 64;
/// Units a hidden layer may have.
const UNITS_MAX: usize = 65_536;
/// Learned numbers a network may have: 1 GiB of `f32`, of which training keeps four.
const PARAMETERS_MAX: usize = 1 << 28;

/// What is kept beside the weights from step to step, by their names, in the order of [`MEMORY`]; empty where there is
/// none.
pub(crate) type Memory = [Weights; 4];
/// The optimiser's three moments, and the gradient of a step that has more batches to come.
pub(crate) const MEMORY: [&str; 4] = ["first", "second", "third", "gradient"];

/// The layers of a network in the order of their work. The input is `[dense input, embeddings in order]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layers {
    /// Width of the dense input, before the embeddings.
    pub(crate) dense_inputs: usize,
    /// Learned vectors of categories, in the order of their columns.
    pub(crate) embeddings: Vec<EmbeddingLayer>,
    /// Fully connected layers, first to last; the last one gives the logits or the value.
    pub(crate) dense: Vec<DenseLayer>,
    /// Share of the hidden units left out at random while training.
    pub(crate) dropout: f64,
    /// What becomes of the last layer's outputs.
    pub(crate) head: Head,
}

/// A table of learned vectors, one per code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbeddingLayer {
    /// Name of its tensor `[cardinality, dimension]`.
    pub(crate) weight: String,
    /// The column.
    pub(crate) column: String,
    /// Number of codes.
    pub(crate) cardinality: usize,
    /// Length of a vector.
    pub(crate) dimension: usize,
}

/// `activation(x W + b)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DenseLayer {
    /// Name of the tensor `[inputs, outputs]`.
    pub(crate) weight: String,
    /// Name of the tensor `[outputs]`.
    pub(crate) bias: String,
    /// Width of the input.
    pub(crate) inputs: usize,
    /// Width of the output.
    pub(crate) outputs: usize,
    /// None for the last layer, whose outputs go to the head.
    pub(crate) activation: Option<Activation>,
}

impl Layers {
    /// Width of the network's input: the dense input and the embeddings.
    pub(crate) fn inputs(&self) -> usize {
        self.dense_inputs + self.embeddings.iter().map(|embedding| embedding.dimension).sum::<usize>()
    }

    /// How many numbers are learned.
    pub(crate) fn parameters(&self) -> usize {
        self.shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Name and shape of every tensor.
    pub(crate) fn shapes(&self) -> Vec<(&str, Vec<usize>)> {
        let tables = self.embeddings.iter().map(|e| (e.weight.as_str(), vec![e.cardinality, e.dimension]));
        let dense = self.dense.iter().flat_map(|layer| {
            [(layer.weight.as_str(), vec![layer.inputs, layer.outputs]), (layer.bias.as_str(), vec![layer.outputs])]
        });
        tables.chain(dense).collect()
    }

    /// Refuses weights that are not this network's, listing every missing, extra and misshapen tensor.
    pub(crate) fn check(&self, weights: &Weights) -> Result<()> {
        check_weights(&self.shapes(), weights)
    }
}

/// Refuses weights of other names or shapes, listing every missing, extra and misshapen tensor.
pub(crate) fn check_weights(shapes: &[(&str, Vec<usize>)], weights: &Weights) -> Result<()> {
    let mut wrong = Vec::new();
    for (name, shape) in shapes {
        match weights.tensors.get(*name) {
            None => wrong.push(format!("\"{name}\" is missing")),
            Some(tensor) if tensor.shape != *shape => {
                wrong.push(format!("\"{name}\" is {:?}, the network has {shape:?}", tensor.shape));
            }
            Some(_) => {}
        }
    }
    for name in weights.tensors.keys().filter(|name| !shapes.iter().any(|(known, _)| known == name)) {
        wrong.push(format!("\"{name}\" is not in the network"));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::invalid(format!("these weights belong to another network: {}", wrong.join(", ")))),
    }
}

/// The layers of a dense network on these features and this head. Refuses impossible sizes, naming the setting.
pub(crate) fn layers(spec: &DenseSpec, numeric: &NumericPart, head: Head) -> Result<Layers> {
    check_hidden("network.dense", &spec.hidden, spec.dropout)?;
    let embeddings: Vec<EmbeddingLayer> = numeric
        .embedded()
        .map(|column| EmbeddingLayer {
            weight: format!("embedding.{}.weight", column.name),
            column: column.name.clone(),
            cardinality: column.cardinality,
            dimension: column.dimension,
        })
        .collect();
    let mut layers =
        Layers { dense_inputs: numeric.dense_width(), embeddings, dense: vec![], dropout: spec.dropout, head };
    let mut inputs = layers.inputs();
    if inputs == 0 {
        return Err(Error::invalid("the network has no inputs; add a column to features.include"));
    }
    let hidden = spec.hidden.iter().map(|&units| (units, Some(spec.activation)));
    for (number, (outputs, activation)) in hidden.chain([(head.outputs, None)]).enumerate() {
        let (weight, bias) = (format!("dense.{number}.weight"), format!("dense.{number}.bias"));
        layers.dense.push(DenseLayer { weight, bias, inputs, outputs, activation });
        inputs = outputs;
    }
    let parameters = layers.parameters();
    if parameters > PARAMETERS_MAX {
        return Err(Error::invalid(format!(
            "the network would have {parameters} parameters, {PARAMETERS_MAX} are allowed; lower network.dense.hidden"
        )));
    }
    Ok(layers)
}

/// Refuses impossible layers of the section `path` by the name of the key.
fn check_hidden(path: &str, hidden: &[usize], dropout: f64) -> Result<()> {
    if hidden.len() > HIDDEN_LAYERS_MAX {
        let layers = hidden.len();
        return Err(Error::invalid(format!("{path}.hidden has {layers} layers, {HIDDEN_LAYERS_MAX} are allowed")));
    }
    if let Some((number, units)) = hidden.iter().enumerate().find(|(_, units)| !(1..=UNITS_MAX).contains(*units)) {
        return Err(Error::invalid(format!("{path}.hidden[{number}] is {units}, expected 1 to {UNITS_MAX}")));
    }
    if !(0.0..1.0).contains(&dropout) {
        return Err(Error::invalid(format!("{path}.dropout is {dropout}, expected 0 to below 1")));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::features::{Affine, CategoryInput, EmbeddedColumn, NumberInput};
    use crate::spec::{Loss, NetSpec};
    use crate::{Target, Task};

    /// A target of this many classes, or of numbers with mean 3 and scale 2.
    pub(crate) fn target(classes: usize) -> Target {
        let task = match classes {
            0 => Task::Regression,
            2 => Task::Binary,
            _ => Task::Multiclass,
        };
        let (mean, scale) = if classes == 0 { (3.0, 2.0) } else { (0.0, 1.0) };
        let labels = (0..classes).map(|class| format!("class {class}")).collect();
        Target { column: "answer".into(), task, labels, mean, scale }
    }

    /// The layers of a dense network.
    pub(crate) fn layers_of(net: &NetSpec, numeric: &NumericPart, target: &Target, loss: Loss) -> Layers {
        match design(net, numeric, Head::of(target, loss).unwrap()).unwrap() {
            Design::Dense(layers) => layers,
            Design::Plan(_) | Design::Trees(_) | Design::Ensemble(_) => panic!("not a dense network"),
        }
    }

    /// Plain numbers and embedded categories (cardinality, dimension).
    pub(crate) fn numeric(numbers: usize, embedded: &[(usize, usize)]) -> NumericPart {
        let number = |n: usize| NumberInput {
            name: format!("n{n}"),
            impute: 0.0,
            indicator: false,
            clip: [f32::NEG_INFINITY, f32::INFINITY],
            affine: Affine::IDENTITY,
        };
        let category = |(n, &(cardinality, dimension))| {
            CategoryInput::Embedding(EmbeddedColumn { name: format!("c{n}"), cardinality, dimension })
        };
        NumericPart {
            numbers: (0..numbers).map(number).collect(),
            categories: embedded.iter().enumerate().map(category).collect(),
            ..NumericPart::default()
        }
    }

    #[test]
    fn layers_follow_the_spec_and_are_named_as_the_weights() {
        let spec = DenseSpec { hidden: vec![8, 4], ..DenseSpec::default() };
        let found = layers_of(&NetSpec::Dense(spec), &numeric(3, &[(10, 2)]), &target(3), Loss::Auto);
        let expected = [
            ("embedding.c0.weight", vec![10, 2]),
            ("dense.0.weight", vec![5, 8]),
            ("dense.0.bias", vec![8]),
            ("dense.1.weight", vec![8, 4]),
            ("dense.1.bias", vec![4]),
            ("dense.2.weight", vec![4, 3]),
            ("dense.2.bias", vec![3]),
        ];
        assert_eq!(found.shapes(), expected);
        assert_eq!(found.parameters(), 20 + 40 + 8 + 32 + 4 + 12 + 3);
    }

    #[test]
    fn impossible_networks_are_refused_by_the_name_of_the_setting() {
        let check = |spec: DenseSpec, columns: usize, expected: &str| {
            let head = Head::of(&target(2), Loss::Auto).unwrap();
            let error = design(&NetSpec::Dense(spec), &numeric(columns, &[]), head).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        let dense = DenseSpec::default;
        check(DenseSpec { hidden: vec![8, 0], ..dense() }, 3, "network.dense.hidden[1] is 0");
        check(DenseSpec { hidden: vec![1; 65], ..dense() }, 3, "65 layers");
        check(DenseSpec { dropout: 1.0, ..dense() }, 3, "network.dense.dropout is 1");
        check(DenseSpec { dropout: f64::NAN, ..dense() }, 3, "network.dense.dropout is NaN");
        check(DenseSpec { hidden: vec![65_536; 2], ..dense() }, 3, "4295360513 parameters");
        check(dense(), 0, "no inputs");
    }

    #[test]
    fn foreign_weights_are_listed() {
        let layers = layers_of(&NetSpec::default(), &numeric(3, &[]), &target(2), Loss::Auto);
        let mut weights = initial_weights(&layers, 1);
        assert!(layers.check(&weights).is_ok());
        let bias = weights.tensors.remove("dense.0.bias").unwrap();
        weights.tensors.insert("dense.9.bias".into(), bias);
        weights.tensors.get_mut("dense.1.bias").unwrap().shape = vec![1, 64];
        let message = layers.check(&weights).unwrap_err().to_string();
        for part in ["\"dense.0.bias\" is missing", "\"dense.1.bias\" is [1, 64]", "\"dense.9.bias\" is not in"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
