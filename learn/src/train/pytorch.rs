//! Do twenty steps of ours follow PyTorch's, for every optimiser, loss and way of clipping?
//!
//! The losses are PyTorch 2.15.0's (CPU) at steps 1, 2, 5, 10, 15 and 20 of `z = f(x @ w0 + b0) @ w1 + b1`, weights and
//! rows by the formulas below, biases 0, batches of rows 0-5 and 6-11 in turn, weight decay on the weights only.

use super::rate::Plateau;
use super::rule::Rule;
use crate::features::Encoded;
use crate::kernels::Targets;
use crate::net::tests::{numeric, target};
use crate::net::{Batch, Chance, Head, Network, Place, design};
use crate::spec::*;

/// What is followed: the network, and how it is trained.
struct Case {
    activation: Activation,
    classes: usize,
    spec: TrainSpec,
    /// One per class; none for all 1.
    class_weights: &'static [f32],
}

impl Case {
    fn new(activation: Activation, classes: usize, optimizer: Optimizer) -> Self {
        let spec = TrainSpec { optimizer, batch_size: 6.into(), epochs: 10, ..TrainSpec::default() };
        Self { activation, classes, spec, class_weights: &[] }
    }

    fn loss(mut self, loss: Loss) -> Self {
        self.spec.loss = loss;
        self
    }

    fn decay(mut self, weight_decay: f64) -> Self {
        self.spec.weight_decay = weight_decay;
        self
    }

    /// The fused kernels, and in a build with them Burn's operations.
    fn follows(self, expected: [f64; 6]) {
        let places = [
            Place::Cpu,
            #[cfg(feature = "burn")]
            Place::FLEX,
        ];
        for place in places {
            let losses = self.losses(place);
            for (at, expected) in [0, 1, 4, 9, 14, 19].into_iter().zip(expected) {
                let found: f64 = losses[at];
                let error = (found / expected - 1.0).abs();
                assert!(error < 1e-4, "{place:?}, {:?}, step {}: {found} for {expected}", self.spec, at + 1);
            }
        }
    }

    fn losses(&self, place: Place) -> Vec<f64> {
        let net = NetSpec::Dense(DenseSpec { hidden: vec![7], activation: self.activation, ..DenseSpec::default() });
        let numeric = numeric(5, &[]);
        let head = Head::of(&target(self.classes), self.spec.loss).unwrap();
        let design = design(&net, &numeric, head.smoothed(self.spec.label_smoothing).unwrap()).unwrap();
        let mut weights = design.initial_weights(0);
        for (name, k) in [("dense.0.weight", 1), ("dense.1.weight", 4)] {
            let tensor = weights.tensors.get_mut(name).unwrap();
            let columns = tensor.shape[1];
            for (at, x) in tensor.data.iter_mut().enumerate() {
                *x = (((at / columns * 5 + at % columns * 3 + k) % 13) as f64 * 0.1 - 0.6) as f32;
            }
        }
        let numbers = (0..60).map(|n| ((n / 5 * 7 + n % 5 * 3) % 11) as f32 * 0.25 - 1.25).collect();
        let encoded = Encoded { rows: 12, numbers, ..Encoded::default() };
        let value = |row: usize| ((row * 4 % 9) as f64 * 0.3 - 1.0) as f32;
        let class = |row: usize| (row * 5 % self.classes.max(1)) as f32;
        let answers: Vec<f32> = (0..12).map(|row| if self.classes == 0 { value(row) } else { class(row) }).collect();
        let each: Vec<f32> =
            answers.iter().map(|class| self.class_weights.get(*class as usize).copied().unwrap_or(1.0)).collect();
        let rule = Rule::new(&self.spec, 12);
        let plateau = Plateau::default();
        let first = rule.step(0, 0, &plateau);
        let mut net = Network::new(place, (&design, &numeric), &weights, &Default::default(), 6, &first).unwrap();
        let steps = (0..20).map(|step| {
            let (epoch, number) = (step / 2, step % 2);
            let rows: Vec<u32> = (0..6).map(|row| row + 6 * number as u32).collect();
            let batch = Batch { numeric: &numeric, encoded: &encoded, rows: &rows };
            let within = number * 6..number * 6 + 6;
            let targets = Targets { values: &answers[within.clone()], weights: &each[within], mixed: None };
            let chance = Chance { seed: 5, step: step as u64 };
            f64::from(net.step(batch, targets, &rule.step(epoch, number, &plateau), chance).unwrap())
        });
        steps.collect()
    }
}

fn sgd(momentum: f64) -> Optimizer {
    Optimizer::Sgd(SgdSpec { learning_rate: 0.1, momentum, nesterov: false })
}

fn adam() -> Optimizer {
    Optimizer::Adam(AdamSpec { learning_rate: 0.01, ..AdamSpec::default() })
}

/// `F.cross_entropy`, `F.binary_cross_entropy_with_logits` and `F.mse_loss` with Adam and SGD.
#[test]
fn activations_and_usual_losses() {
    use Activation as A;
    let mse = Loss::MeanSquaredError;
    Case::new(A::Relu, 3, adam()).follows([1.550408, 1.20901, 1.316919, 0.990256, 0.931859, 0.816498]);
    Case::new(A::LeakyRelu, 3, sgd(0.9))
        .decay(0.01)
        .follows([1.55286, 1.191523, 0.953406, 0.731829, 0.356996, 0.483815]);
    Case::new(A::Sigmoid, 2, adam()).decay(0.01).follows([0.70473, 0.701057, 0.698245, 0.687711, 0.686125, 0.671805]);
    Case::new(A::Tanh, 0, sgd(0.0)).follows([0.854203, 0.852241, 0.787866, 0.700935, 0.742006, 0.665039]);
    Case::new(A::Tanh, 3, adam()).loss(mse).follows([0.331156, 0.277474, 0.289705, 0.209718, 0.207738, 0.140998]);
    Case::new(A::Relu, 2, sgd(0.9)).loss(mse).follows([0.261036, 0.263491, 0.254349, 0.239858, 0.234258, 0.212758]);
    Case::new(A::Sigmoid, 0, sgd(0.9)).follows([0.742125, 0.695477, 0.707067, 0.680505, 0.664753, 0.627743]);
}

/// `SGD(lr=0.1, momentum=0.9, nesterov=True)`, `AdamW(lr=0.01, weight_decay=0.1)`, `Adagrad(lr=0.05)`, `Adadelta(lr=1)`,
/// `RMSprop(lr=0.01)` and `RMSprop(lr=0.01, alpha=0.9, momentum=0.9, centered=True)`, all but AdamW with
/// `weight_decay=0.01`; `SGD(lr=0.1, momentum=0.9)` with `0.01 * w.sign()` added to the gradients.
#[test]
fn optimizers() {
    let check = |optimizer: Optimizer, decay: f64, expected: [f64; 6]| {
        Case::new(Activation::Tanh, 3, optimizer).decay(decay).follows(expected);
    };
    let nesterov = Optimizer::Sgd(SgdSpec { learning_rate: 0.1, momentum: 0.9, nesterov: true });
    check(nesterov, 0.01, [1.644078, 1.296108, 0.778969, 0.433636, 0.414177, 0.272594]);
    let adamw = Optimizer::Adamw(AdamwSpec { learning_rate: 0.01, weight_decay: 0.1, ..AdamwSpec::default() });
    check(adamw, 0.0, [1.644078, 1.350569, 1.399361, 1.049989, 0.9914, 0.775549]);
    let adagrad = Optimizer::Adagrad(AdagradSpec { learning_rate: 0.05, ..AdagradSpec::default() });
    check(adagrad, 0.01, [1.644078, 1.303089, 1.04391, 0.763966, 0.685302, 0.578962]);
    let adadelta = Optimizer::Adadelta(AdadeltaSpec::default());
    check(adadelta, 0.01, [1.644078, 1.354557, 1.58104, 1.246853, 1.428761, 1.121513]);
    let rmsprop = Optimizer::Rmsprop(RmspropSpec::default());
    check(rmsprop, 0.01, [1.644078, 1.274786, 0.73975, 0.555657, 0.474314, 0.37863]);
    let centered = RmspropSpec { alpha: 0.9, momentum: 0.9, centered: true, ..RmspropSpec::default() };
    check(Optimizer::Rmsprop(centered), 0.01, [1.644078, 1.318731, 0.686459, 0.355862, 0.37491, 0.270624]);
    let mut l1 = Case::new(Activation::Tanh, 3, sgd(0.9));
    l1.spec.l1 = 0.01;
    l1.follows([1.644078, 1.324362, 0.893441, 0.465544, 0.421124, 0.274941]);
}

/// `F.l1_loss`, `F.huber_loss(delta=0.5)`, the mean of `max(0.8 e, -0.2 e)` for `e = y - z`, `F.cross_entropy` with
/// `label_smoothing=0.1`, binary cross-entropy of `0.8 y + 0.1`, the means of `-(1 - p)^2 ln p`, and the mean of
/// `cross_entropy(reduction="none")` times 0.5, 1 and 2 by class; `SGD(lr=0.1, momentum=0.9)`.
#[test]
fn losses() {
    let case = |classes: usize, loss: Loss| Case::new(Activation::Tanh, classes, sgd(0.9)).loss(loss);
    case(0, Loss::MeanAbsoluteError).follows([0.849732, 0.748341, 0.738118, 0.638049, 0.639502, 0.572357]);
    case(0, Loss::Huber(HuberSpec { delta: 0.5 })).follows([0.303732, 0.259605, 0.26228, 0.23554, 0.252075, 0.221344]);
    case(0, Loss::Quantile(QuantileSpec { quantile: 0.8 }))
        .follows([0.501168, 0.399972, 0.318812, 0.244852, 0.293718, 0.196975]);
    let smoothed = |classes: usize, smoothing: f64| {
        let mut case = case(classes, Loss::Auto);
        case.spec.label_smoothing = smoothing;
        case
    };
    smoothed(3, 0.1).follows([1.598928, 1.307047, 0.955547, 0.589611, 0.563888, 0.477346]);
    smoothed(2, 0.2).follows([0.73554, 0.71819, 0.704573, 0.643519, 0.682765, 0.593094]);
    let focal = Loss::Focal(FocalSpec { gamma: 2.0 });
    case(3, focal).follows([1.080557, 0.711176, 0.277124, 0.121835, 0.106996, 0.062611]);
    case(2, focal).follows([0.215647, 0.193492, 0.183625, 0.147742, 0.180725, 0.127139]);
    let mut weighted = case(3, Loss::Auto);
    weighted.class_weights = &[0.5, 1.0, 2.0];
    weighted.follows([2.009625, 1.492674, 0.757578, 0.400447, 0.321642, 0.134608]);
}

/// `clip_grad_norm_(0.3)` with `Adam(lr=0.01)` and `SGD(lr=0.1, momentum=0.9)`, `clip_grad_value_(0.05)` and one step for
/// the mean gradient of two batches with the latter.
#[test]
fn clipping_and_accumulation() {
    let clipped = |optimizer: Optimizer, clip_norm: Option<f64>, clip_value: Option<f64>, expected: [f64; 6]| {
        let mut case = Case::new(Activation::Tanh, 3, optimizer);
        (case.spec.clip_norm, case.spec.clip_value) = (clip_norm, clip_value);
        case.follows(expected);
    };
    clipped(adam(), Some(0.3), None, [1.644078, 1.351095, 1.405801, 1.03821, 0.998509, 0.742494]);
    clipped(sgd(0.9), Some(0.3), None, [1.644078, 1.350186, 1.415316, 0.840213, 0.595889, 0.40484]);
    clipped(sgd(0.9), None, Some(0.05), [1.644078, 1.353004, 1.388991, 0.854341, 0.561389, 0.473058]);
    let mut accumulated = Case::new(Activation::Tanh, 3, sgd(0.9));
    accumulated.spec.accumulate = 2;
    accumulated.follows([1.644078, 1.35865, 1.377256, 0.852203, 0.520158, 0.45326]);
}
