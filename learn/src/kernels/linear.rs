//! A fully connected layer over rows in plain order: what follows attention or a recurrent layer. Bias and activation
//! are put on in one pass.

use super::activation::{activate, activate_with_slope, gradient};
use super::dropout::multiply;
use super::elementwise::{add_columns, add_here};
use super::matmul::{Strided, matmul, matmul_then};
use super::shared::Shared;
use super::team::Team;
use crate::spec::Activation;

/// Numbers below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 13;

/// Sizes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinearShape {
    /// Rows of the batch, positions included.
    pub(crate) rows: usize,
    /// Width of the input.
    pub(crate) inputs: usize,
    /// Width of the output.
    pub(crate) outputs: usize,
    /// None for sums.
    pub(crate) activation: Option<Activation>,
}

/// `out = activation(x W + b)` with `x` `[rows, inputs]`, `weight` `[inputs, outputs]`, `bias` `[outputs]`. Where the
/// activation is not `has_gradient_of_output` and the layer is to learn, `slopes` `[rows, outputs]` takes the activation's
/// derivative.
pub(crate) fn linear_forward(
    team: &mut Team,
    shape: LinearShape,
    x: &[f32],
    (weight, bias): (&[f32], &[f32]),
    out: &mut [f32],
    slopes: Option<&mut [f32]>,
) {
    let LinearShape { rows, inputs, outputs, activation } = shape;
    assert!(x.len() == rows * inputs && out.len() == rows * outputs && bias.len() == outputs);
    assert!(slopes.as_ref().is_none_or(|slopes| slopes.len() == out.len()));
    let a = Strided { data: x, row: inputs, column: 1 };
    let b = Strided { data: weight, row: outputs, column: 1 };
    let slopes = slopes.map(Shared::of);
    matmul_then(team, [rows, outputs, inputs], a, b, out, &|out, rows, columns| {
        for row in rows {
            let (start, count) = (row * outputs + columns.start, columns.len());
            // SAFETY: the block is this thread's own.
            let (out, slopes) = unsafe { (out.part(start, count), slopes.map(|slopes| slopes.part(start, count))) };
            add_here(out, &bias[columns.clone()]);
            match (activation, slopes) {
                (None, _) => {}
                (Some(activation), Some(slopes)) if !activation.has_gradient_of_output() => {
                    activate_with_slope(activation, out, slopes);
                }
                (Some(activation), _) => activate(activation, out),
            }
        }
    });
}

/// Where the gradients of a layer go: they are added, but for that of the input, which is written.
#[derive(Debug)]
pub(crate) struct LinearGradients<'a> {
    /// `[inputs, outputs]`.
    pub(crate) weight: &'a mut [f32],
    /// `[outputs]`.
    pub(crate) bias: &'a mut [f32],
    /// `[rows, inputs]`.
    pub(crate) x: Option<&'a mut [f32]>,
}

/// Back through `linear_forward`. `kept` is its output, or its `slopes` where the activation is not `has_gradient_of_output`;
/// `delta` `[rows, outputs]`, the gradient of its output, becomes that of its sums.
pub(crate) fn linear_backward(
    team: &mut Team,
    shape: LinearShape,
    x: &[f32],
    weight: &[f32],
    kept: &[f32],
    delta: &mut [f32],
    to: LinearGradients,
) {
    let LinearShape { rows, inputs, outputs, activation } = shape;
    assert!(x.len() == rows * inputs && delta.len() == rows * outputs);
    if let Some(activation) = activation {
        assert_eq!(kept.len(), delta.len());
        let threads = if delta.len() < SPLIT_MIN { 1 } else { team.threads() };
        team.split(threads, delta, outputs, &|start, part| {
            let kept = &kept[start..][..part.len()];
            if activation.has_gradient_of_output() { gradient(activation, kept, part) } else { multiply(part, kept) }
        });
    }
    add_columns(team, delta, to.bias);
    let columns = Strided { data: x, row: 1, column: inputs };
    let sums = Strided { data: delta, row: outputs, column: 1 };
    matmul(team, [inputs, outputs, rows], columns, sums, to.weight, outputs, true);
    if let Some(x_gradient) = to.x {
        let turned = Strided { data: weight, row: 1, column: outputs };
        matmul(team, [rows, inputs, outputs], sums, turned, x_gradient, inputs, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;
    use crate::kernels::numbers::{check_gradients, close, dot, normal64, numbers};

    fn reference(shape: LinearShape, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let activate = |x: f64| match shape.activation {
            None => x,
            Some(Activation::Relu) => x.max(0.0),
            Some(Activation::Tanh) => x.tanh(),
            Some(Activation::Gelu) => x * normal64(x),
            Some(Activation::Silu) => x / (1.0 + (-x).exp()),
            other => panic!("{other:?} is not tested here"),
        };
        let LinearShape { rows, inputs, outputs, .. } = shape;
        let sum = |row: usize, output: usize| {
            (0..inputs).map(|n| x[row * inputs + n] * weight[n * outputs + output]).sum::<f64>() + bias[output]
        };
        (0..rows * outputs).map(|n| activate(sum(n / outputs, n % outputs))).collect()
    }

    #[test]
    fn a_layer_follows_f64_forward_and_backward_at_any_number_of_threads() {
        let activations =
            [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Gelu), Some(Activation::Silu)];
        at_every_level(|level| {
            for (rows, inputs, outputs) in [(1, 1, 1), (5, 3, 17), (34, 20, 9), (130, 33, 70)] {
                for activation in activations {
                    let shape = LinearShape { rows, inputs, outputs, activation };
                    let place = format!("{level}, {shape:?}");
                    let (x, bias) = (numbers(rows * inputs, 1), numbers(outputs, 3));
                    let weight: Vec<f32> = numbers(inputs * outputs, 2).iter().map(|x| 0.5 * x).collect();
                    let weights = numbers(rows * outputs, 4);
                    let runs = [1, 2, 3].map(|threads| {
                        let mut team = Team::new(threads);
                        let [mut out, mut slopes] = [vec![f32::NAN; rows * outputs], vec![f32::NAN; rows * outputs]];
                        linear_forward(&mut team, shape, &x, (&weight, &bias), &mut out, Some(&mut slopes));
                        let mut delta = weights.clone();
                        let mut found = [&x, &weight, &bias].map(|values| vec![0.0; values.len()]);
                        let [to_x, to_weight, to_bias] = &mut found;
                        let to = LinearGradients { weight: to_weight, bias: to_bias, x: Some(to_x) };
                        let has_gradient_of_output = activation.is_none_or(Activation::has_gradient_of_output);
                        let kept = if has_gradient_of_output { &out } else { &slopes };
                        linear_backward(&mut team, shape, &x, &weight, kept, &mut delta, to);
                        let mut answers = vec![0.0; rows * outputs];
                        linear_forward(&mut team, shape, &x, (&weight, &bias), &mut answers, None);
                        assert_eq!(out, answers, "{place}");
                        (out, found)
                    });
                    assert!(runs[0] == runs[1] && runs[1] == runs[2], "{place}: threads");
                    let (out, found) = &runs[0];
                    let wide = [&x, &weight, &bias].map(|values| crate::kernels::numbers::wide(values));
                    close(out, &reference(shape, &wide[0], &wide[1], &wide[2]), 1e-5, &place);
                    if (rows, activation) == (130, Some(Activation::Relu)) {
                        continue; // some sum is 0 to within the distance of the differences
                    }
                    let loss = |v: &[Vec<f64>]| dot(&reference(shape, &v[0], &v[1], &v[2]), &weights);
                    let values = [x.clone(), weight.clone(), bias.clone()];
                    check_gradients(&values, &found.each_ref().map(Vec::as_slice), 8, &place, loss);
                }
            }
        });
    }
}
