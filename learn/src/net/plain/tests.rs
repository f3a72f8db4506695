//! Burn's operations against the kernels: every family, on the CPU and on the GPUs of the build.

use super::device::check;
use super::*;
use crate::features::NumericPart;
use crate::net::device::Which;
use crate::net::plan::PlanNet;
use crate::net::plan::tests::{bottlenecks, families, mixed, plan, weights};
use crate::spec::{Activation, ConvSpec, NetSpec, Normalization, RecurrentSpec, TransformerSpec};

const ROWS: usize = 7;
const BATCH: usize = 5;

fn accelerator(kind: Kind, precision: Precision) -> Accelerator {
    Accelerator { kind, which: Which::One(0), precision }
}

/// Steps of both from the same weights, as many as `steps`: losses, moves of weights and statistics; then answers.
fn check_follows(accelerator: Accelerator, name: &str, (plan, part): (Plan, NumericPart), steps: usize) {
    let weights = weights(&plan);
    let encoded = mixed(&part, ROWS);
    let update =
        Update::Sgd { learning_rate: 0.02, momentum: 0.9, nesterov: false, decay: Decay { l2: 0.01, ..Decay::NONE } };
    let rule = StepRule { clip_norm: Some(2.0), ..update.into() };
    let mut ours = PlanNet::new(plan.clone(), &weights, BATCH, &update, 2).unwrap();
    let mut plain = PlainNet::new(accelerator, &Design::Plan(plan), &weights).unwrap();
    let all: Vec<u32> = (0..ROWS as u32).rev().collect();
    let batch = Batch { numeric: &part, encoded: &encoded, rows: &all };
    check_answers(name, &mut ours, &mut plain, batch, 1e-3);
    // Exponentials of GPUs are right to some units in the last place, and gradients are differences of them.
    let most = if accelerator.kind == Kind::Flex { 2e-3 } else { 1e-2 };
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
        check_moves(&format!("{name}, step {step}"), &before, &after, &plain.weights().unwrap(), most);
        before = after;
    }
    check_answers(name, &mut ours, &mut plain, batch, 2e-3);
}

/// Answers of both, this far from one another at most.
fn check_answers(name: &str, ours: &mut PlanNet, plain: &mut PlainNet, batch: Batch, most: f32) {
    let [mut expected, mut found] = [Vec::new(), Vec::new()];
    ours.logits(batch, &mut expected);
    plain.logits(batch, &mut found).unwrap();
    assert_eq!(expected.len(), found.len(), "{name}");
    for (expected, found) in expected.iter().zip(&found) {
        assert!((expected - found).abs() < most * expected.abs().max(1.0), "{name}: {found} for {expected}");
    }
}

/// What is off is little beside what moved.
fn check_moves(place: &str, before: &Weights, after: &Weights, found: &Weights, most: f64) {
    assert_eq!(after.tensors.keys().collect::<Vec<_>>(), found.tensors.keys().collect::<Vec<_>>(), "{place}");
    for (name, after) in &after.tensors {
        let (before, found) = (&before.tensors[name], &found.tensors[name]);
        assert_eq!(after.shape, found.shape, "{place}, {name}");
        let distance = |from: &[f32]| {
            let squares = after.data.iter().zip(from).map(|(x, y)| f64::from(x - y).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let (off, moved) = (distance(&found.data), distance(&before.data));
        assert!(off < most * moved + 1e-5, "{place}: {name} is off by {off} after a move of {moved}");
    }
}

/// Those of the families, and some that leave out at random.
fn check_families(kind: Kind) {
    let accelerator = accelerator(kind, Precision::F32);
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
            // Norms over eight numbers, some of which are left out, make much of a GPU's last digits.
            "transformer with dropout" if kind != Kind::Flex => 1,
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

/// Losses of some steps with momentum, and the weights after them.
fn learn(mut net: PlainNet, part: &NumericPart) -> (Vec<f32>, Weights) {
    let update = Update::Sgd { learning_rate: 0.02, momentum: 0.9, nesterov: false, decay: Decay::NONE };
    let encoded = mixed(part, ROWS);
    let loss = |step: usize| {
        let rows: Vec<u32> = (0..BATCH).map(|n| ((n * 2 + step) % ROWS) as u32).collect();
        let answers: Vec<f32> = rows.iter().map(|row| (row % 3) as f32).collect();
        let (weights, second): (Vec<f32>, Vec<f32>) =
            rows.iter().map(|r| (0.5 + *r as f32 / 4.0, (r % 2) as f32)).unzip();
        let mixed = (step == 1).then_some(crate::kernels::Mixed { values: &second, weights: &weights });
        let targets = Targets { values: &answers, weights: &weights, mixed };
        let batch = Batch { numeric: part, encoded: &encoded, rows: &rows };
        net.step(batch, targets, &StepRule::from(update), Chance { seed: 5, step: step as u64 }).unwrap()
    };
    let losses = (0..4).map(loss).collect();
    (losses, net.weights().unwrap())
}

/// Networks of every kind of product; `dropout` where they leave out at random. Without batch norm, whose statistics are each
/// device's own.
fn some(dropout: f64) -> Vec<(&'static str, Plan, NumericPart)> {
    let conv = ConvSpec {
        normalization: Normalization::None,
        blocks: vec![vec![3], vec![5]],
        hidden: vec![6],
        dropout,
        ..ConvSpec::default()
    };
    let transformer =
        TransformerSpec { width: 8, layers: 2, heads: 2, feed_forward: 12, dropout, ..TransformerSpec::default() };
    let recurrent = RecurrentSpec { units: vec![5, 4], dropout, ..RecurrentSpec::default() };
    let nets = [
        ("conv", NetSpec::Conv(conv)),
        ("bert", NetSpec::Transformer(transformer)),
        ("gru on series", NetSpec::Recurrent(recurrent)),
    ];
    let of = |family: &str| families().into_iter().find(|(name, ..)| *name == family).unwrap().2;
    nets.into_iter().map(|(name, net)| (name, plan(&net, &of(name), 3), of(name))).collect()
}

/// Devices that share a batch learn what one does: two and three of them have five rows, in parts of other sizes.
#[test]
fn devices_that_share_a_batch_learn_as_one() {
    for (name, plan, part) in some(0.3) {
        let (weights, place) = (weights(&plan), accelerator(Kind::Flex, Precision::F32));
        let on = |count: usize| {
            let design = Design::Plan(plan.clone());
            learn(PlainNet::on(vec![Device::flex(); count], place, &design, &weights).unwrap(), &part)
        };
        let (losses, after) = on(1);
        for count in [2, 3, 7] {
            let (found, weights_found) = on(count);
            for (found, expected) in found.iter().zip(&losses) {
                assert!(
                    (found / expected - 1.0).abs() < 1e-5,
                    "{name} on {count} devices: loss {found} for {expected}"
                );
            }
            check_moves(&format!("{name} on {count} devices"), &weights, &after, &weights_found, 2e-3);
        }
    }
}

/// Halves follow whole numbers as far as their digits go, on every device of this build that has them.
#[test]
fn half_precision_follows_single_precision() {
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_built());
    for (kind, precision) in kinds.flat_map(|kind| [(kind, Precision::Bf16), (kind, Precision::F16)]) {
        if let Err(error) = check(accelerator(kind, precision)) {
            eprintln!("skipped: {error}");
            continue;
        }
        for (name, plan, part) in some(0.0) {
            let weights = weights(&plan);
            let on = |precision: Precision| {
                let mut net =
                    PlainNet::new(accelerator(kind, precision), &Design::Plan(plan.clone()), &weights).unwrap();
                // The first scale overflows here, which would leave out steps.
                net.scale.factor = 128.0;
                learn(net, &part).0
            };
            let (expected, found) = (on(Precision::F32), on(precision));
            assert_ne!(expected, found, "{name}: {kind:?} computed in f32");
            for (found, expected) in found.iter().zip(&expected) {
                let place = format!("{name}, {kind:?}, {precision:?}: loss {found} for {expected}");
                assert!((found / expected - 1.0).abs() < 3e-2, "{place}");
            }
        }
    }
}

#[test]
fn a_gradient_that_overflows_makes_no_step_and_halves_the_scale() {
    let (_, plan, part) = some(0.0).remove(2);
    let start = weights(&plan);
    let place = accelerator(Kind::Flex, Precision::F16);
    let design = Design::Plan(plan);
    let mut net = PlainNet::new(place, &design, &start).unwrap();
    net.scale.factor = f32::MAX;
    let (_, after) = learn(net, &part);
    for (name, tensor) in &after.tensors {
        assert_eq!(tensor.data, start.tensors[name].data, "{name} moved");
    }
    let mut net = PlainNet::new(place, &design, &start).unwrap();
    let mut memory = net.memory().unwrap();
    memory[3].tensors.get_mut(SCALE).unwrap().data = vec![512.0, SCALE_STEPS - 1.0];
    net.restore(&memory).unwrap();
    assert!(net.scale.holds(true));
    assert_eq!(net.scale, LossScale { factor: 1024.0, steps: 0.0 });
    assert!(!net.scale.holds(false));
    assert_eq!(net.scale, LossScale { factor: 512.0, steps: 0.0 });
}

#[test]
fn every_device_of_this_build_follows_the_kernels() {
    Kind::ALL.into_iter().filter(|kind| kind.is_built()).for_each(check_families);
}
