//! Burn's operations against the kernels: every family, on the CPU and on the GPUs of the build.

use super::*;
use crate::features::NumericPart;
use crate::net::plan::PlanNet;
use crate::net::plan::tests::{bottlenecks, families, mixed, plan, weights};
use crate::spec::{Activation, ConvSpec, NetSpec, Normalization, RecurrentSpec, TransformerSpec};

const ROWS: usize = 7;
const BATCH: usize = 5;

/// Steps of both from the same weights, as many as `steps`: losses, moves of weights and statistics; then answers.
fn check_follows(accelerator: Accelerator, name: &str, (plan, part): (Plan, NumericPart), steps: usize) {
    let weights = weights(&plan);
    let encoded = mixed(&part, ROWS);
    let update =
        Update::Sgd { learning_rate: 0.02, momentum: 0.9, nesterov: false, decay: Decay { l2: 0.01, ..Decay::NONE } };
    let rule = StepRule { clip_norm: Some(2.0), ..update.into() };
    let mut ours = PlanNet::new(plan.clone(), &weights, BATCH, &update, 2).unwrap();
    let mut plain = PlainNet::new(accelerator, &Design::Plan(plan), &weights).unwrap();
    let mut before = weights;
    for step in 0..steps {
        let rows: Vec<u32> = (0..BATCH).map(|n| ((n * 2 + step) % ROWS) as u32).collect();
        let targets: Vec<f32> = rows.iter().map(|row| (row % 3) as f32).collect();
        let batch = Batch { numeric: &part, encoded: &encoded, rows: &rows };
        let chance = Chance { seed: 5, step: step as u64 };
        let expected = ours.step(batch, targets[..].into(), &rule, chance);
        let found = plain.step(batch, targets[..].into(), &rule, chance).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-3, "{name}, step {step}: loss {found} for {expected}");
        let after = ours.weights();
        check_moves(&format!("{name}, step {step}"), &before, &after, &plain.weights().unwrap());
        before = after;
    }
    let rows: Vec<u32> = (0..ROWS as u32).rev().collect();
    let batch = Batch { numeric: &part, encoded: &encoded, rows: &rows };
    let [mut expected, mut found] = [Vec::new(), Vec::new()];
    ours.logits(batch, &mut expected);
    plain.logits(batch, &mut found).unwrap();
    assert_eq!(expected.len(), found.len(), "{name}");
    for (expected, found) in expected.iter().zip(&found) {
        assert!((expected - found).abs() < 2e-3 * expected.abs().max(1.0), "{name}: {found} for {expected}");
    }
}

/// What is off is little beside what moved.
fn check_moves(place: &str, before: &Weights, after: &Weights, found: &Weights) {
    assert_eq!(after.tensors.keys().collect::<Vec<_>>(), found.tensors.keys().collect::<Vec<_>>(), "{place}");
    for (name, after) in &after.tensors {
        let (before, found) = (&before.tensors[name], &found.tensors[name]);
        assert_eq!(after.shape, found.shape, "{place}, {name}");
        let distance = |from: &[f32]| {
            let squares = after.data.iter().zip(from).map(|(x, y)| f64::from(x - y).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let (off, moved) = (distance(&found.data), distance(&before.data));
        assert!(off < 2e-3 * moved + 1e-5, "{place}: {name} is off by {off} after a move of {moved}");
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
        // Where many layers normalise over five numbers, single precision has two right digits of a gradient at first
        // and none some steps later.
        let steps = match name {
            "efficientnet lite0" => 0,
            "resnet 18" | "resnet 20" => 1,
            _ => 3,
        };
        check_follows(accelerator, name, (plan(&net, &part, 3), part), steps);
    }
    check_follows(accelerator, "bottlenecks", bottlenecks(), 3);
    for (name, pattern) in [("conv, batch norm", "*norm*"), ("bert", "layer.0.*")] {
        let (_, net, part) = families().into_iter().find(|(family, ..)| *family == name).unwrap();
        let mut plan = plan(&net, &part, 3);
        plan.freeze(&[pattern.to_owned()]).unwrap();
        check_follows(accelerator, &format!("{name} without {pattern}"), (plan, part), 3);
    }
}

#[test]
fn every_device_of_this_build_follows_the_kernels() {
    Kind::ALL.into_iter().filter(|kind| kind.is_built()).for_each(check_families);
}
