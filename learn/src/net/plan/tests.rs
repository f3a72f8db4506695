//! Every family against the plain loops in `f64`, and every gradient against central differences of them.

use std::collections::BTreeMap;

use super::reference::Reference;
use super::{Plan, PlanNet, Role};
use crate::features::{Affine, ImageInput, NumericPart, SeriesInput, TextInput};
use crate::kernels::{Decay, Update};
use crate::net::tests::{numeric, target};
use crate::net::{Batch, Chance, Design, Head, design, efficientnet};
use crate::pretrained::efficientnet::{Block, EfficientNetLite};
use crate::pretrained::tests::folder;
use crate::random::uniform;
use crate::spec::*;
use crate::{Encoded, ImageBlock, SeriesBlock, TokenBlock, Weights};

const ROWS: usize = 5;
const CHANCE: Chance = Chance { seed: 5, step: 3 };

/// Rows that hold one of each: numbers, embedded categories, a picture, a text, series.
pub(crate) fn mixed(part: &NumericPart, rows: usize) -> Encoded {
    let random = |stream: u64, n: usize| uniform(17, stream, n as u64);
    let tokens = |text: &TextInput| {
        let token = |n: usize| {
            let (row, at) = (n / text.length, n % text.length);
            let length = 1 + row * 3 % text.length;
            if at < length { 1 + (random(3, n) * (text.vocabulary - 1) as f32) as i32 } else { 0 }
        };
        TokenBlock { length: text.length, tokens: (0..rows * text.length).map(token).collect() }
    };
    let series = |(number, series): (usize, &SeriesInput)| {
        let value = |n: usize| if n % 11 == 3 { f32::NAN } else { random(40 + number as u64, n) * 2.0 - 1.0 };
        SeriesBlock { steps: series.steps, values: (0..rows * series.steps).map(value).collect() }
    };
    let image = |image: &ImageInput| {
        let pixels = (0..rows * image.values()).map(|n| (random(4, n) * 256.0) as u8).collect();
        ImageBlock { values: image.values(), pixels }
    };
    let width = part.categories.len();
    Encoded {
        rows,
        numbers: (0..rows * part.numbers.len()).map(|n| random(1, n) * 4.0 - 2.0).collect(),
        codes: (0..rows * width).map(|n| (random(2, n) * 5.0) as i32).collect(),
        images: part.images.iter().map(image).collect(),
        texts: part.texts.iter().map(tokens).collect(),
        series: part.series.iter().enumerate().map(series).collect(),
        ..Encoded::default()
    }
}

pub(crate) fn picture(size: usize, channels: usize) -> NumericPart {
    let affine = Affine { shift: 127.5, scale: 1.0 / 127.5 };
    let image = ImageInput { name: "picture".into(), height: size, width: size, channels, affine };
    NumericPart { images: vec![image], ..numeric(0, &[]) }
}

pub(crate) fn text(length: usize) -> NumericPart {
    NumericPart {
        texts: vec![TextInput { name: "text".into(), length, vocabulary: 13, unknown: 1 }],
        ..numeric(0, &[])
    }
}

pub(crate) fn series(steps: usize, count: usize) -> NumericPart {
    let affine = Affine { shift: 0.1, scale: 1.5 };
    let one = |n: usize| SeriesInput { name: format!("s{n}"), steps, impute: 0.25, affine };
    NumericPart { series: (0..count).map(one).collect(), ..numeric(0, &[]) }
}

/// One small network of each family with the rows it reads.
pub(crate) fn families() -> Vec<(&'static str, NetSpec, NumericPart)> {
    use NetSpec as N;
    let dense = |normalization, residual, activation| {
        N::Dense(DenseSpec { hidden: vec![6, 6], activation, dropout: 0.0, normalization, residual })
    };
    let conv = |normalization, activation| {
        let blocks = vec![vec![3, 4], vec![5]];
        N::Conv(ConvSpec { blocks, kernel: 3, normalization, activation, hidden: vec![6], dropout: 0.0 })
    };
    let recurrent = |cell, bidirectional, pooling| {
        let spec = RecurrentSpec { cell, bidirectional, pooling, ..RecurrentSpec::default() };
        N::Recurrent(RecurrentSpec { units: vec![5, 4], dimension: 6, hidden: vec![3], dropout: 0.0, ..spec })
    };
    let transformer = |pooling| {
        let spec = TransformerSpec { width: 8, layers: 2, heads: 2, feed_forward: 12, ..TransformerSpec::default() };
        N::Transformer(TransformerSpec { pooling, dropout: 0.0, ..spec })
    };
    let bert = |name: &str, pooling| {
        N::Bert(BertSpec { folder: folder(name).to_string_lossy().into_owned(), pooling, dropout: 0.0 })
    };
    let (relu, gelu) = (Activation::Relu, Activation::Gelu);
    let mixed_text = NumericPart { texts: text(6).texts, ..numeric(3, &[(5, 2)]) };
    let text_conv = TextConvSpec { dimension: 6, widths: vec![2, 3, 4], channels: 4, dropout: 0.0 };
    let wide = WideAndDeepSpec { hidden: vec![7, 4], activation: Activation::Tanh, dropout: 0.0 };
    let autoencoder =
        AutoencoderSpec { hidden: vec![6], code: 2, activation: Activation::Tanh, ..AutoencoderSpec::default() };
    vec![
        ("batch norm", dense(Normalization::Batch, false, relu), numeric(4, &[(5, 3)])),
        ("layer norm", dense(Normalization::Layer, true, gelu), numeric(4, &[])),
        ("silu", dense(Normalization::None, true, Activation::Silu), numeric(4, &[])),
        ("words", dense(Normalization::None, false, relu), mixed_text.clone()),
        ("wide and deep", N::WideAndDeep(wide), numeric(4, &[(5, 2)])),
        ("autoencoder", N::Autoencoder(autoencoder), numeric(4, &[])),
        ("conv", conv(Normalization::None, relu), picture(8, 1)),
        ("conv, batch norm", conv(Normalization::Batch, relu), picture(9, 3)),
        ("conv, layer norm", conv(Normalization::Layer, gelu), picture(8, 3)),
        ("conv, gelu", conv(Normalization::None, gelu), picture(8, 1)),
        ("lenet", N::Lenet(LenetSpec { dropout: 0.0 }), picture(28, 1)),
        ("resnet 20", N::Resnet(ResnetSpec { depth: 20, dropout: 0.0 }), picture(8, 3)),
        ("resnet 18", N::Resnet(ResnetSpec { depth: 18, dropout: 0.0 }), picture(32, 3)),
        ("text conv", N::TextConv(text_conv), mixed_text.clone()),
        ("lstm on text", recurrent(CellSpec::Lstm, false, Pooling::Last), text(7)),
        ("both ways on text", recurrent(CellSpec::Lstm, true, Pooling::Last), mixed_text),
        ("gru on text", recurrent(CellSpec::Gru, true, Pooling::Max), text(7)),
        ("lstm on series", recurrent(CellSpec::Lstm, true, Pooling::Mean), series(6, 3)),
        ("gru on series", recurrent(CellSpec::Gru, false, Pooling::Last), series(6, 2)),
        ("transformer on text", transformer(Pooling::Mean), text(9)),
        ("transformer on series", transformer(Pooling::First), series(5, 3)),
        ("bert", bert("bert", Pooling::Mean), text(9)),
        ("roberta", bert("roberta", Pooling::First), NumericPart { texts: text(16).texts, ..numeric(2, &[]) }),
        ("distilbert", bert("distilbert", Pooling::Max), text(7)),
        (
            "efficientnet lite0",
            N::EfficientnetLite0(EfficientnetLite0Spec { weights: None, dropout: 0.0 }),
            picture(32, 3),
        ),
    ]
}

/// How many classes a network gets where so many are asked for: an autoencoder has two.
pub(crate) fn classes_of(net: &NetSpec, asked: usize) -> usize {
    if matches!(net, NetSpec::Autoencoder(_)) { 2 } else { asked }
}

pub(crate) fn plan(net: &NetSpec, part: &NumericPart, classes: usize) -> Plan {
    match design(net, part, Head::of(&target(classes_of(net, classes)), Loss::Auto).unwrap()).unwrap() {
        Design::Plan(plan) => plan,
        Design::Dense(_) | Design::Trees(_) | Design::Ensemble(_) => panic!("{net:?} is no plan"),
    }
}

/// First weights with biases and statistics that are not at rest.
pub(crate) fn weights(plan: &Plan) -> Weights {
    let mut weights = super::initial_weights(plan, 3);
    let flat = weights.tensors.values_mut().filter(|tensor| tensor.shape.len() == 1);
    for (number, tensor) in flat.enumerate() {
        for (n, x) in tensor.data.iter_mut().enumerate() {
            *x += 0.2 * uniform(9, number as u64, n as u64);
        }
    }
    weights
}

fn wide(weights: &Weights) -> BTreeMap<String, Vec<f64>> {
    let wide = |data: &[f32]| data.iter().map(|x| f64::from(*x)).collect();
    weights.tensors.iter().map(|(name, tensor)| (name.clone(), wide(&tensor.data))).collect()
}

fn sgd(learning_rate: f32, momentum: f32, l2: f32) -> Update {
    let decay = Decay { l2, ..Decay::NONE };
    Update::Sgd { learning_rate, momentum, nesterov: false, decay }
}

#[test]
fn answers_are_those_of_the_plain_loops() {
    for (name, net, part) in families() {
        for classes in [0, 2, 3] {
            let plan = plan(&net, &part, classes);
            let weights = weights(&plan);
            let encoded = mixed(&part, ROWS);
            let rows: Vec<u32> = (0..ROWS as u32).rev().collect();
            let batch = Batch { numeric: &part, encoded: &encoded, rows: &rows };
            let mut found = Vec::new();
            PlanNet::new(plan.clone(), &weights, 3, &Update::NONE, 2).unwrap().logits(batch, &mut found);
            let expected = Reference { plan: &plan, weights: wide(&weights), learning: false }.logits(batch);
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-4, "{name}, {classes} classes: {found} for {expected}");
            }
        }
    }
}

#[test]
fn gradients_follow_central_differences_in_f64() {
    // The deep ones have no operation that the others do not have.
    let deep = ["resnet 18", "efficientnet lite0"];
    for (name, net, part) in families().into_iter().filter(|(name, ..)| !deep.contains(name)) {
        for classes in [0, 3] {
            let classes = classes_of(&net, classes);
            check_gradients(name, &plan(&net, &part, classes), &part, classes);
        }
    }
    let (plan, part) = bottlenecks();
    check_gradients("bottlenecks", &plan, &part, 3);
}

/// The shortest EfficientNet that has every kind of block.
pub(crate) fn bottlenecks() -> (Plan, NumericPart) {
    let part = picture(7, 3);
    let blocks = [(32, 3, 1, 3, 2), (3, 3, 2, 5, 1)].map(|(inputs, outputs, expansion, kernel, stride)| Block {
        inputs,
        outputs,
        expansion,
        kernel,
        stride,
    });
    let small = EfficientNetLite { pixels: 7, dropout: 0.0, blocks: blocks.to_vec() };
    let head = Head::of(&target(3), Loss::Auto).unwrap();
    (efficientnet(&small, 0.0, &part, head).unwrap(), part)
}

#[test]
fn gradients_pass_through_what_is_frozen_and_leave_it_alone() {
    let cases: [(&str, &[&str]); 6] = [
        ("bert", &["words*", "layer.0.*"]),
        ("bert", &["layer.1.*", "positions.weight"]),
        ("conv, batch norm", &["norm.0.1.weight", "conv.0.1.*"]),
        ("resnet 20", &["*norm*"]),
        ("lstm on text", &["recurrent.1.*"]),
        ("wide and deep", &["embedding*"]),
    ];
    for (name, patterns) in cases {
        let (_, net, part) = families().into_iter().find(|(family, ..)| *family == name).unwrap();
        let mut plan = plan(&net, &part, 3);
        let learned = plan.learned();
        plan.freeze(&patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>()).unwrap();
        assert!(plan.learned() < learned, "{name}");
        check_gradients(name, &plan, &part, 3);
    }
}

#[test]
fn patterns_that_fit_nothing_or_all_are_refused() {
    let (_, net, part) = families().into_iter().find(|(family, ..)| *family == "bert").unwrap();
    let freeze = |pattern: &str| plan(&net, &part, 3).freeze(&[pattern.to_owned()]).unwrap_err().to_string();
    let message = freeze("word.weight");
    assert!(message.contains("no tensor fits \"word.weight\"; did you mean \"words.weight\"?"), "{message}");
    assert!(message.contains("the network has words.weight, positions.weight"), "{message}");
    assert!(freeze("*").contains("nothing to learn"));
}

/// SGD with step size 1 moves every weight by just its gradient. A few numbers of every tensor are looked at.
fn check_gradients(name: &str, plan: &Plan, part: &NumericPart, classes: usize) {
    let weights = weights(plan);
    let encoded = mixed(part, ROWS);
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let batch = Batch { numeric: part, encoded: &encoded, rows: &rows };
    let targets: Vec<f32> =
        (0..ROWS).map(|row| if classes == 0 { row as f32 * 0.4 - 1.0 } else { (row % classes) as f32 }).collect();
    let step = sgd(1.0, 0.0, 0.0);
    let mut learner = PlanNet::new(plan.clone(), &weights, ROWS, &step, 2).unwrap();
    let loss = learner.step(batch, targets[..].into(), &step.into(), CHANCE);
    let after = learner.weights();
    let mut reference = Reference { plan, weights: wide(&weights), learning: true };
    let expected = reference.loss(batch, &targets);
    assert!((f64::from(loss) / expected - 1.0).abs() < 1e-4, "{name}: loss {loss} for {expected}");
    for parameter in plan.parameters.iter().filter(|parameter| parameter.role == Role::Frozen) {
        assert_eq!(after.tensors[&parameter.name], weights.tensors[&parameter.name], "{name}: {}", parameter.name);
    }
    for parameter in plan.parameters.iter().filter(|parameter| parameter.role.is_learned()) {
        let before = &weights.tensors[&parameter.name].data;
        let (mut off, mut norm) = (0.0f64, 0.0f64);
        for at in (0..before.len()).step_by(before.len().div_ceil(if name == "resnet 20" { 2 } else { 12 })) {
            let moved = f64::from(before[at]) - f64::from(after.tensors[&parameter.name].data[at]);
            let mut shifted = |h: f64| {
                reference.weights.get_mut(&parameter.name).unwrap()[at] = f64::from(before[at]) + h;
                reference.loss(batch, &targets)
            };
            let gradient = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
            shifted(0.0);
            off += (moved - gradient).powi(2);
            norm += gradient.powi(2);
        }
        let error = off.sqrt() / norm.sqrt().max(1e-3);
        assert!(error < 1e-3, "{name}: the gradient of {} is off by {error}", parameter.name);
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads_or_on_the_way_here() {
    for (name, net, part) in families() {
        let plan = plan(&net, &part, 3);
        let encoded = mixed(&part, 9);
        let learn = |threads: usize, stop: usize| {
            let step = sgd(0.05, 0.9, 0.01);
            let mut learner = PlanNet::new(plan.clone(), &weights(&plan), 5, &step, threads).unwrap();
            for number in 0..4 {
                if number == stop {
                    let (weights, memory) = (learner.weights(), learner.memory());
                    learner = PlanNet::new(plan.clone(), &weights, 5, &step, threads).unwrap();
                    learner.restore(&memory).unwrap();
                }
                let rows: Vec<u32> = (0..5).map(|n| (n * 2 + number as u32) % 9).collect();
                let targets: Vec<f32> = rows.iter().map(|row| (*row as usize % classes_of(&net, 3)) as f32).collect();
                let batch = Batch { numeric: &part, encoded: &encoded, rows: &rows };
                learner.step(batch, targets[..].into(), &step.into(), Chance { step: number as u64, ..CHANCE });
            }
            learner.weights()
        };
        let once = learn(1, 9);
        assert_eq!(once, learn(2, 9), "{name}: two threads");
        assert_eq!(once, learn(3, 2), "{name}: three threads, stopped between");
    }
}
