//! The loss in Burn's operations.

use burn::tensor::{Device, Tensor as BurnTensor, TensorData, activation};

use crate::kernels::Targets;
use crate::net::{Head, HeadActivation, HeadLoss};

/// The mean loss of a batch, as in `kernels::loss`.
pub(super) fn loss(head: Head, outputs: BurnTensor<2>, targets: Targets, device: &Device) -> BurnTensor<1> {
    use {HeadActivation as A, HeadLoss as L};
    let rows = outputs.dims()[0];
    let tensor = |data: Vec<f32>| {
        let columns = data.len() / rows;
        BurnTensor::<2>::from_data(TensorData::new(data, [rows, columns]), device)
    };
    let mut expected = targets.values.to_vec();
    if head.activation == A::Softmax {
        expected = vec![0.0; rows * head.outputs];
        targets.values.iter().enumerate().for_each(|(row, class)| expected[row * head.outputs + *class as usize] = 1.0);
    }
    let expected = tensor(expected);
    let smoothed = {
        let among = if head.activation == A::Softmax { head.outputs } else { 2 };
        expected.clone() * (1.0 - head.smoothing) + head.smoothing / among as f32
    };
    let squared = |error: BurnTensor<2>| (error.clone() * error).mean_dim(1);
    // ln of the right class' probability, and of the classes' by their share.
    let ln_p = |share: BurnTensor<2>| match head.activation {
        A::Softmax => (activation::log_softmax(outputs.clone(), 1) * share).sum_dim(1),
        // t ln s(x) + (1 - t) ln s(-x)
        _ => {
            let positive = activation::log_sigmoid(outputs.clone()) * share.clone();
            positive + activation::log_sigmoid(outputs.clone().neg()) * (share.neg() + 1.0)
        }
    };
    let losses = match (head.activation, head.loss) {
        (A::Linear, L::AbsoluteError) => (outputs - expected).abs().mean_dim(1),
        (A::Linear, L::Huber { delta }) => {
            let error = (outputs - expected).abs();
            let near = error.clone().clamp_max(delta);
            (near.clone() * (error - near * 0.5)).mean_dim(1)
        }
        (A::Linear, L::Quantile { quantile }) => {
            let error = expected - outputs;
            (error.clone().clamp_min(0.0) * quantile - error.clamp_max(0.0) * (1.0 - quantile)).mean_dim(1)
        }
        (A::Linear, _) => squared(outputs - expected),
        (_, L::Reconstruction) => outputs.exp().mean_dim(1),
        (A::Sigmoid, L::SquaredError) => squared(activation::sigmoid(outputs) - expected),
        (A::Softmax, L::SquaredError) => squared(activation::softmax(outputs, 1) - expected),
        (_, L::Focal { gamma }) => {
            let ln_p = ln_p(expected);
            let rest = ln_p.clone().exp().neg() + 1.0;
            rest.powf_scalar(gamma) * ln_p.neg()
        }
        (_, _) => ln_p(smoothed).neg(),
    };
    let weighted = match targets.weights {
        [] => losses,
        weights => losses * tensor(weights.to_vec()),
    };
    weighted.mean()
}
