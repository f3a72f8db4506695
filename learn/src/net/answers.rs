//! What does the network itself answer? For the check that its ONNX file answers the same.

use super::batch::Batch;
use super::{Combination, Design, Head, HeadActivation, Network, Place, design};
use crate::features::{Encoded, NumericPart};
use crate::kernels::{Update, sigmoid_rows, softmax_rows};
use crate::spec::{Loss, MemberSpec, NetSpec};
use crate::{Result, Target, Weights};

/// The network's own answers on all rows of `encoded`, without dropout: for classes the probabilities `[rows, classes]`
/// in label order, for numbers the values `[rows]` in the target's units. Refuses weights of another network.
pub fn network_answers(
    net: &NetSpec,
    numeric: &NumericPart,
    target: &Target,
    loss: Loss,
    weights: &Weights,
    encoded: &Encoded,
) -> Result<Vec<f32>> {
    let design = design(net, numeric, Head::of(target, loss)?)?;
    if let Design::Trees(trees) = &design {
        return Ok(answers(trees.head, target, trees.outputs(weights, encoded)?));
    }
    if let NetSpec::Ensemble(spec) = net {
        design.check(weights)?;
        let combination = Combination::read(weights, spec.members.len(), spec.combine)?;
        let member = |(at, member): (usize, &MemberSpec)| {
            network_answers(&member.network, numeric, target, loss, &weights.member(at), encoded)
        };
        let answers: Vec<Vec<f32>> = spec.members.iter().enumerate().map(member).collect::<Result<_>>()?;
        return Ok(combination.apply(target, &answers));
    }
    let still = Update::NONE.into();
    let mut network = Network::new(Place::Cpu, (&design, numeric), weights, &Default::default(), 1, &still)?;
    let rows: Vec<u32> = (0..encoded.rows as u32).collect();
    let mut logits = Vec::with_capacity(encoded.rows * design.head().outputs);
    network.logits(Batch { numeric, encoded, rows: &rows }, &mut logits)?;
    Ok(answers(design.head(), target, logits))
}

/// From the last layer's outputs `[rows, outputs]` to answers.
fn answers(head: Head, target: &Target, mut logits: Vec<f32>) -> Vec<f32> {
    match head.activation {
        HeadActivation::Linear => {
            let (scale, mean) = (target.scale as f32, target.mean as f32);
            logits.iter_mut().for_each(|value| *value = *value * scale + mean);
            logits
        }
        HeadActivation::Sigmoid => {
            sigmoid_rows(&mut logits);
            logits.into_iter().flat_map(|p| [1.0 - p, p]).collect()
        }
        HeadActivation::Softmax => {
            softmax_rows(&mut logits, head.outputs);
            logits
        }
    }
}
