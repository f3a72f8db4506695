//! Do twenty steps of every family follow PyTorch's?
//!
//! The losses are PyTorch 2.15.0's (CPU) at steps 1, 2, 5, 10, 15 and 20, as `bench/train/follow.py` prints them: weights
//! and rows by the formulas below, which it has too, biases 0; cross-entropy of three classes, six rows a step.

use super::rate::Plateau;
use super::rule::Rule;
use crate::features::NumericPart;
use crate::net::plan::tests::{families, plan};
use crate::net::plan::{Plan, PlanNet, initial_weights};
use crate::net::{Batch, Chance};
use crate::spec::{AdamSpec, Optimizer, SgdSpec, TrainSpec};
use crate::{Encoded, ImageBlock, SeriesBlock, TokenBlock, Weights};

const ROWS: usize = 6;

/// `SGD(lr=0.02, momentum=0.9)` and `Adam(lr=0.003)`.
const LOSSES: [(&str, [f64; 6], [f64; 6]); 14] = [
    (
        "batch norm",
        [0.903866, 0.856553, 0.737235, 0.576042, 0.468787, 0.336569],
        [0.903866, 0.870901, 0.787720, 0.690588, 0.617034, 0.564753],
    ),
    (
        "layer norm",
        [1.043708, 1.023349, 0.881828, 0.599325, 0.383274, 0.220135],
        [1.043708, 1.021178, 0.957198, 0.861192, 0.776556, 0.700719],
    ),
    (
        "wide and deep",
        [1.181962, 1.159803, 0.993278, 0.595771, 0.302461, 0.153347],
        [1.181962, 1.159166, 1.092662, 0.988562, 0.892664, 0.803795],
    ),
    (
        "conv",
        [1.121369, 1.117042, 1.093780, 1.078857, 1.058354, 1.029236],
        [1.121369, 1.101921, 1.078487, 1.053938, 1.023401, 0.986010],
    ),
    (
        "conv, batch norm",
        [2.034996, 1.504695, 0.784695, 0.517675, 0.210156, 0.048955],
        [2.034996, 1.762030, 1.225667, 0.830079, 0.687886, 0.581667],
    ),
    (
        "lenet",
        [1.217059, 1.206756, 1.330508, 0.362115, 0.005906, 0.003417],
        [1.217059, 1.467066, 1.174705, 0.808817, 0.608435, 0.289929],
    ),
    (
        "resnet 20",
        [1.032168, 1.188076, 0.370362, 0.024846, 0.004621, 0.001860],
        [1.032168, 1.312444, 0.276957, 0.019312, 0.005090, 0.002329],
    ),
    (
        "text conv",
        [0.944047, 0.936640, 0.879477, 0.724489, 0.569839, 0.450115],
        [0.944047, 0.936619, 0.915320, 0.881264, 0.848984, 0.818358],
    ),
    (
        "lstm on text",
        [1.091150, 1.091000, 1.089810, 1.086736, 1.085177, 1.083123],
        [1.091150, 1.089224, 1.083310, 1.072590, 1.060510, 1.045194],
    ),
    (
        "gru on text",
        [1.090114, 1.089970, 1.088358, 1.085673, 1.082582, 1.079341],
        [1.090114, 1.086766, 1.080955, 1.070172, 1.057250, 1.042209],
    ),
    (
        "lstm on series",
        [1.101689, 1.101287, 1.100109, 1.100022, 1.099883, 1.099799],
        [1.101689, 1.100145, 1.099095, 1.097622, 1.096507, 1.095595],
    ),
    (
        "gru on series",
        [1.115385, 1.113871, 1.106418, 1.098996, 1.098836, 1.098653],
        [1.115385, 1.110539, 1.100311, 1.098646, 1.098613, 1.098621],
    ),
    (
        "transformer on text",
        [1.923935, 1.795464, 1.295374, 1.149857, 1.138566, 1.067016],
        [1.923935, 1.786574, 1.512727, 1.214977, 1.081374, 0.984898],
    ),
    (
        "transformer on series",
        [1.344308, 1.264838, 0.876269, 0.513447, 0.294734, 0.161673],
        [1.344308, 1.220548, 0.951768, 0.660984, 0.471350, 0.332710],
    ),
];

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

#[test]
fn twenty_steps_of_every_family_follow_pytorch() {
    let sgd = Optimizer::Sgd(SgdSpec { learning_rate: 0.02, momentum: 0.9, nesterov: false });
    let adam = Optimizer::Adam(AdamSpec { learning_rate: 0.003, ..AdamSpec::default() });
    let families = families();
    for (name, by_sgd, by_adam) in LOSSES {
        let (_, net, part) = families.iter().find(|(family, ..)| *family == name).unwrap();
        let (plan, encoded) = (plan(net, part, 3), rows(part));
        let targets: Vec<f32> = (0..ROWS).map(|row| (row * 5 % 3) as f32).collect();
        let rows: Vec<u32> = (0..ROWS as u32).collect();
        for (optimizer, expected) in [(&sgd, by_sgd), (&adam, by_adam)] {
            let spec = TrainSpec { optimizer: optimizer.clone(), ..TrainSpec::default() };
            let rule = Rule::new(&spec, ROWS);
            let step_rule = |step: usize| rule.step(step, 0, &Plateau::default());
            let mut network = PlanNet::new(plan.clone(), &weights(&plan), ROWS, &step_rule(0).update, 2).unwrap();
            let losses: Vec<f32> = (0..20)
                .map(|step| {
                    let batch = Batch { numeric: part, encoded: &encoded, rows: &rows };
                    network.step(batch, targets[..].into(), &step_rule(step), Chance { seed: 1, step: 0 })
                })
                .collect();
            for (at, expected) in [0, 1, 4, 9, 14, 19].into_iter().zip(expected) {
                let found = f64::from(losses[at]);
                let error = (found / expected - 1.0).abs();
                assert!(error < 1e-3, "{name}, {optimizer:?}, step {}: {found} for {expected}", at + 1);
            }
        }
    }
}
