//! With which numbers does a network begin?

use std::collections::BTreeMap;

use super::Layers;
use crate::random;
use crate::spec::Activation;
use crate::{Tensor, Weights};

/// Half the range of a fresh embedding vector's numbers.
const EMBEDDING_BOUND: f64 = 0.05;
/// Streams of random numbers from here on belong to the first weights, one per tensor.
const STREAM: u64 = 0x0077_6569_6768_7473;

/// The first weights: uniform with the variance of He et al. 2015 before ReLU and its like (2 / inputs) and of Glorot and Bengio
/// 2010 elsewhere (2 / (inputs + outputs)); biases are 0. A function of the layers and the seed alone.
pub(crate) fn initial_weights(layers: &Layers, seed: u64) -> Weights {
    let mut tensors = BTreeMap::new();
    let mut stream = STREAM;
    let mut uniform = |shape: Vec<usize>, bound: f64| {
        stream += 1;
        let numbers = shape.iter().product::<usize>() as u64;
        let data = (0..numbers).map(|n| (2.0 * random::uniform(seed, stream, n) - 1.0) * bound as f32).collect();
        Tensor { shape, data }
    };
    for table in &layers.embeddings {
        tensors.insert(table.weight.clone(), uniform(vec![table.cardinality, table.dimension], EMBEDDING_BOUND));
    }
    for layer in &layers.dense {
        let (inputs, outputs) = (layer.inputs as f64, layer.outputs as f64);
        let bound = match layer.activation {
            Some(
                Activation::Relu | Activation::Relu6 | Activation::LeakyRelu | Activation::Gelu | Activation::Silu,
            ) => (6.0 / inputs).sqrt(),
            Some(Activation::Sigmoid | Activation::Tanh) | None => (6.0 / (inputs + outputs)).sqrt(),
        };
        tensors.insert(layer.weight.clone(), uniform(vec![layer.inputs, layer.outputs], bound));
        tensors.insert(layer.bias.clone(), Tensor { shape: vec![layer.outputs], data: vec![0.0; layer.outputs] });
    }
    Weights { tensors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::{layers_of, numeric, target};
    use crate::spec::{DenseSpec, Loss, NetSpec};

    #[test]
    fn the_first_weights_have_the_published_variance_and_follow_the_seed() {
        let check = |activation: Activation, expected: f64| {
            let spec = DenseSpec { hidden: vec![200], activation, dropout: 0.0, ..DenseSpec::default() };
            let layers = layers_of(&NetSpec::Dense(spec), &numeric(300, &[]), &target(2), Loss::Auto);
            let weights = initial_weights(&layers, 7);
            let data = &weights.get("dense.0.weight").unwrap().data;
            let variance = data.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / data.len() as f64;
            assert!((variance / expected - 1.0).abs() < 0.02, "{activation:?}: {variance} for {expected}");
            assert_eq!(weights, initial_weights(&layers, 7));
            assert_ne!(weights, initial_weights(&layers, 8));
        };
        check(Activation::Relu, 2.0 / 300.0);
        check(Activation::LeakyRelu, 2.0 / 300.0);
        check(Activation::Tanh, 2.0 / 500.0);
        check(Activation::Sigmoid, 2.0 / 500.0);
    }
}
