//! Burn's operations against the kernels: every family, on the CPU and on the GPUs of the build.

use super::*;
use crate::features::NumericPart;
use crate::net::plan::PlanNet;
use crate::net::plan::tests::{families, mixed, plan, weights};
use crate::spec::{Activation, ConvSpec, NetSpec, Normalization, RecurrentSpec, TransformerSpec};

const ROWS: usize = 7;
const BATCH: usize = 5;

/// Some steps of both from the same weights: losses, weights, statistics and answers.
fn check_follows(accelerator: Accelerator, name: &str, net: &NetSpec, part: &NumericPart, frozen: &[String]) {
    let mut plan = plan(net, part, 3);
    if !frozen.is_empty() {
        plan.freeze(frozen).unwrap();
    }
    let weights = weights(&plan);
    let encoded = mixed(part, ROWS);
    let update =
        Update::Sgd { learning_rate: 0.02, momentum: 0.9, nesterov: false, decay: Decay { l2: 0.01, ..Decay::NONE } };
    let rule = StepRule { clip_norm: Some(2.0), ..update.into() };
    let mut ours = PlanNet::new(plan.clone(), &weights, BATCH, &update, 2).unwrap();
    let mut plain = PlainNet::new(accelerator, &Design::Plan(plan), &weights).unwrap();
    for step in 0..3 {
        let rows: Vec<u32> = (0..BATCH).map(|n| ((n * 2 + step) % ROWS) as u32).collect();
        let targets: Vec<f32> = rows.iter().map(|row| (row % 3) as f32).collect();
        let batch = Batch { numeric: part, encoded: &encoded, rows: &rows };
        let chance = Chance { seed: 5, step: step as u64 };
        let expected = ours.step(batch, targets[..].into(), &rule, chance);
        let found = plain.step(batch, targets[..].into(), &rule, chance).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-3, "{name}, step {step}: loss {found} for {expected}");
    }
    let (expected, found) = (ours.weights(), plain.weights().unwrap());
    assert_eq!(expected.tensors.keys().collect::<Vec<_>>(), found.tensors.keys().collect::<Vec<_>>(), "{name}");
    for ((tensor, expected), (_, found)) in expected.tensors.iter().zip(&found.tensors) {
        assert_eq!(expected.shape, found.shape, "{name}, {tensor}");
        let distance = |with: &[f32]| {
            let squares = expected.data.iter().zip(with).map(|(x, y)| f64::from(x - y).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let (off, size) = (distance(&found.data), distance(&vec![0.0; found.data.len()]));
        assert!(off < 1e-3 * size.max(0.1), "{name}: {tensor} is off by {off} of {size}");
    }
    let rows: Vec<u32> = (0..ROWS as u32).rev().collect();
    let batch = Batch { numeric: part, encoded: &encoded, rows: &rows };
    let [mut expected, mut found] = [Vec::new(), Vec::new()];
    ours.logits(batch, &mut expected);
    plain.logits(batch, &mut found).unwrap();
    assert_eq!(expected.len(), found.len(), "{name}");
    for (expected, found) in expected.iter().zip(&found) {
        assert!((expected - found).abs() < 2e-3 * expected.abs().max(1.0), "{name}: {found} for {expected}");
    }
}

/// Those of the families, and some that leave out at random.
fn check_families(kind: Kind) {
    let accelerator = Accelerator { kind, number: 0 };
    let of = |family: &str| families().into_iter().find(|(name, ..)| *name == family).unwrap().2;
    let conv = ConvSpec {
        blocks: vec![vec![3], vec![5]],
        normalization: Normalization::Batch,
        activation: Activation::LeakyRelu,
        hidden: vec![6],
        dropout: 0.3,
        ..ConvSpec::default()
    };
    let transformer = TransformerSpec { width: 8, layers: 2, heads: 2, feed_forward: 12, ..TransformerSpec::default() };
    let recurrent = RecurrentSpec { units: vec![5, 4], dropout: 0.4, ..RecurrentSpec::default() };
    let random = [
        ("conv with dropout", NetSpec::Conv(conv), of("conv, batch norm")),
        ("transformer with dropout", NetSpec::Transformer(TransformerSpec { dropout: 0.2, ..transformer }), of("bert")),
        ("recurrent with dropout", NetSpec::Recurrent(recurrent), of("gru on series")),
    ];
    for (name, net, part) in families().into_iter().chain(random) {
        check_follows(accelerator, name, &net, &part, &[]);
    }
    for (name, pattern) in [("conv, batch norm", "*norm*"), ("bert", "layer.0.*")] {
        let (_, net, part) = families().into_iter().find(|(family, ..)| *family == name).unwrap();
        check_follows(accelerator, name, &net, &part, &[pattern.to_owned()]);
    }
}

#[test]
fn the_cpu_follows_the_kernels() {
    check_families(Kind::Flex);
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_follows_the_kernels() {
    check_families(Kind::Vulkan);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_follows_the_kernels() {
    check_families(Kind::Cuda);
}

#[cfg(feature = "rocm")]
#[test]
fn rocm_follows_the_kernels() {
    check_families(Kind::Rocm);
}

#[cfg(feature = "metal")]
#[test]
fn metal_follows_the_kernels() {
    check_families(Kind::Metal);
}
