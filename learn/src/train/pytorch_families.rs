//! Do twenty steps of every family follow PyTorch's?
//!
//! The losses in `pytorch_families.tsv` are PyTorch 2.15.0's (CPU, float64) at steps 1, 2, 5, 10, 15 and 20, as
//! `bench/train/follow.py` prints them: weights and rows by the formulas below, which it has too, biases 0; cross-entropy of
//! three classes, six rows a step.

use super::rate::Plateau;
use super::rule::Rule;
use crate::features::NumericPart;
use crate::net::plan::tests::{classes_of, families, plan};
use crate::net::plan::{Plan, PlanNet, initial_weights};
use crate::net::{Batch, Chance};
use crate::spec::{AdadeltaSpec, AdagradSpec, AdamSpec, AdamwSpec, Optimizer, RmspropSpec, SgdSpec, TrainSpec};
use crate::{Encoded, ImageBlock, SeriesBlock, TokenBlock, Weights};

const ROWS: usize = 6;

/// Family, optimiser, six losses.
const LOSSES: &str = include_str!("pytorch_families.tsv");

fn weights(plan: &Plan) -> Weights {
    let mut weights = initial_weights(plan, 0);
    for (index, parameter) in plan.parameters.iter().enumerate() {
        let numbers = &mut weights.tensors.get_mut(&parameter.name).unwrap().data;
        match &parameter.shape[..] {
            [fan @ .., _] if !fan.is_empty() => {
                let scale = (1.5 / (fan.iter().product::<usize>() as f64).sqrt()).min(1.0);
                for (i, x) in numbers.iter_mut().enumerate() {
                    let step = (i * 7 + i * i * 3 + index * 5) % 31;
                    *x = ((step as f64 - 15.0) / 15.0 * scale) as f32;
                }
            }
            _ if parameter.name.ends_with(".bias") => numbers.fill(0.0),
            // Gains and statistics stay as they begin.
            _ => {}
        }
    }
    weights
}

fn rows(part: &NumericPart) -> Encoded {
    let number = |n: usize, width: usize| ((n / width * 7 + n % width * 3) % 11) as f32 * 0.25 - 1.25;
    let width = part.numbers.len();
    Encoded {
        rows: ROWS,
        numbers: (0..ROWS * width).map(|n| number(n, width)).collect(),
        codes: part.categories.first().map_or(vec![], |_| (0..ROWS).map(|row| (row * 3 % 5) as i32).collect()),
        images: (part.images.iter())
            .map(|image| {
                let pixels = (0..ROWS * image.values()).map(|n| ((n * 7 + n * n % 251) % 256) as u8).collect();
                ImageBlock { values: image.values(), pixels }
            })
            .collect(),
        texts: (part.texts.iter())
            .map(|text| {
                let length = |n: usize| 1 + n / text.length * 3 % text.length;
                let token = |n: usize| if n % text.length < length(n) { 1 + (n * 5 % 12) as i32 } else { 0 };
                TokenBlock { length: text.length, tokens: (0..ROWS * text.length).map(token).collect() }
            })
            .collect(),
        series: (part.series.iter().enumerate())
            .map(|(s, series)| {
                let value = |n: usize| ((n * 7 + s * 3) % 11) as f32 * 0.25 - 1.25;
                SeriesBlock { steps: series.steps, values: (0..ROWS * series.steps).map(value).collect() }
            })
            .collect(),
        ..Encoded::default()
    }
}

/// The optimiser by its name in the file, with its step size times `rate`.
fn optimizer(name: &str, rate: f64) -> Optimizer {
    let sgd = |momentum, nesterov| Optimizer::Sgd(SgdSpec { learning_rate: 0.02 * rate, momentum, nesterov });
    match name {
        "sgd" => sgd(0.0, false),
        "momentum" => sgd(0.9, false),
        "nesterov" => sgd(0.9, true),
        "adam" => Optimizer::Adam(AdamSpec { learning_rate: 0.003 * rate, ..AdamSpec::default() }),
        "adamw" => {
            Optimizer::Adamw(AdamwSpec { learning_rate: 0.003 * rate, weight_decay: 0.1, ..AdamwSpec::default() })
        }
        "adagrad" => Optimizer::Adagrad(AdagradSpec { learning_rate: 0.01 * rate, ..AdagradSpec::default() }),
        "adadelta" => Optimizer::Adadelta(AdadeltaSpec { learning_rate: rate, ..AdadeltaSpec::default() }),
        "rmsprop" => Optimizer::Rmsprop(RmspropSpec { learning_rate: 0.001 * rate, ..RmspropSpec::default() }),
        other => panic!("no optimiser {other:?}"),
    }
}

#[test]
fn twenty_steps_of_every_family_by_every_optimiser_follow_pytorch() {
    let families = families();
    let order: Vec<u32> = (0..ROWS as u32).collect();
    let (mut followed, mut strayed) = (0, Vec::new());
    for line in LOSSES.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, by, expected @ ..] = &fields[..] else { panic!("a line of losses: {line:?}") };
        let (_, net, part) = families.iter().find(|(family, ..)| family == name).unwrap();
        let (plan, encoded) = (plan(net, part, 3), rows(part));
        let targets: Vec<f32> = (0..ROWS).map(|row| (row * 5 % classes_of(net, 3)) as f32).collect();
        let rate = match (*name, *by) {
            ("resnet 20", "sgd") => 0.1,
            ("resnet 20", "adadelta") => 0.2,
            ("resnet 20", "rmsprop") => 0.02,
            _ => 1.0,
        };
        let spec = TrainSpec { optimizer: optimizer(by, rate), ..TrainSpec::default() };
        let rule = Rule::new(&spec, ROWS);
        let step_rule = |step: usize| rule.step(step, 0, &Plateau::default());
        let mut network = PlanNet::new(plan.clone(), &weights(&plan), ROWS, &step_rule(0).update, 2).unwrap();
        let mut step = |step: usize| {
            let batch = Batch { numeric: part, encoded: &encoded, rows: &order };
            network.step(batch, targets[..].into(), &step_rule(step), Chance { seed: 1, step: 0 })
        };
        let losses: Vec<f32> = (0..20).map(&mut step).collect();
        for (at, expected) in [0, 1, 4, 9, 14, 19].into_iter().zip(expected) {
            let (found, expected) = (f64::from(losses[at]), expected.parse::<f64>().unwrap());
            if (found - expected).abs() >= 1e-3 * expected {
                strayed.push(format!("{name}, {by}, step {}: {found} for {expected}", at + 1));
            }
            followed += 1;
        }
    }
    assert!(strayed.is_empty(), "{}", strayed.join("\n"));
    assert_eq!(followed, 15 * 8 * 6);
}
