//! With which numbers does a plan begin?

use super::{Init, Parameter, Plan};
use crate::random::Stream;
use crate::spec::Activation;
use crate::{Tensor, Weights};

/// Streams of random numbers from here on belong to the first weights, one per tensor.
const STREAM: u64 = 0x0077_6569_6768_7473;

/// The first weights of a plan. A function of the plan and the seed alone.
pub(crate) fn initial_weights(plan: &Plan, seed: u64) -> Weights {
    let tensor = |(number, parameter): (usize, &Parameter)| {
        let stream = Stream::new(seed, STREAM + 1 + number as u64);
        let tensor = Tensor { shape: parameter.shape.clone(), data: draw(parameter, stream) };
        (parameter.name.clone(), tensor)
    };
    Weights { tensors: plan.parameters.iter().enumerate().map(tensor).collect() }
}

fn draw(parameter: &Parameter, stream: Stream) -> Vec<f32> {
    let numbers = parameter.len() as u64;
    let uniform = |bound: f32| (0..numbers).map(|n| (2.0 * stream.uniform(n) - 1.0) * bound).collect();
    match parameter.init {
        Init::Constant(x) => vec![x; parameter.len()],
        Init::Uniform(bound) => uniform(bound),
        Init::Normal(deviation) => (0..numbers).map(|n| deviation * normal(stream, n)).collect(),
        Init::Fan { inputs, outputs, activation } => uniform(match activation {
            Some(Activation::Sigmoid | Activation::Tanh) | None => (6.0 / (inputs + outputs) as f32).sqrt(),
            Some(
                Activation::Relu | Activation::Relu6 | Activation::LeakyRelu | Activation::Gelu | Activation::Silu,
            ) => (6.0 / inputs as f32).sqrt(),
        }),
    }
}

/// A number of the standard normal distribution (Box and Muller 1958).
fn normal(stream: Stream, n: u64) -> f32 {
    let (a, b) = (1.0 - f64::from(stream.uniform(2 * n)), f64::from(stream.uniform(2 * n + 1)));
    ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}
