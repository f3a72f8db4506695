//! Where does the network live: in our kernels on the CPU, or in Burn's operations on a device?

use super::device::Place;
use super::plan::PlanNet;
use super::{Batch, Chance, Design, FusedNet, Memory, PlainNet, StepRule, tabular};
use crate::features::NumericPart;
use crate::kernels::Targets;
use crate::{Error, Result, Weights};

/// A network that learns.
#[derive(Debug)]
pub(crate) enum Network {
    /// Fully connected layers by their own kernels.
    Fused(Box<FusedNet>),
    /// Any network, operation by operation.
    Plan(Box<PlanNet>),
    /// By Burn's plain operations.
    Plain(Box<PlainNet>),
}

impl Network {
    /// A network with these weights and this memory that learns up to `rows` rows at a time by rules of this kind.
    /// The fused kernels move weights layer by layer: where the whole gradient is wanted, a plan has it.
    pub(crate) fn new(
        place: Place,
        (design, numeric): (&Design, &NumericPart),
        weights: &Weights,
        memory: &Memory,
        rows: usize,
        rule: &StepRule,
    ) -> Result<Self> {
        let threads = crate::threads::threads();
        let planned = |plan| {
            let mut net = PlanNet::new(plan, weights, rows, &rule.update, threads)?;
            net.restore(memory)?;
            Ok(Self::Plan(Box::new(net)))
        };
        match (place, design) {
            (Place::Cpu, Design::Dense(layers)) if rule.needs_gradient() => planned(tabular::plain(layers, numeric)?),
            (Place::Cpu, Design::Dense(layers)) => {
                let mut net = FusedNet::new(layers, weights, rows, &rule.update, threads)?;
                net.restore(memory)?;
                Ok(Self::Fused(Box::new(net)))
            }
            (Place::Cpu, Design::Plan(plan)) => planned(plan.clone()),
            (_, Design::Trees(_)) => Err(Error::Internal("decision trees reached the training of networks".into())),
            (_, Design::Ensemble(_)) => {
                Err(Error::invalid("an ensemble is trained member by member; it has no step of its own"))
            }
            (Place::Burn(accelerator), _) => {
                let mut net = PlainNet::new(accelerator, design, weights)?;
                net.restore(memory)?;
                Ok(Self::Plain(Box::new(net)))
            }
        }
    }

    /// Where, in words.
    pub(crate) fn device(&self) -> String {
        match self {
            Self::Fused(net) => on_threads(net.threads()),
            Self::Plan(net) => on_threads(net.threads()),
            Self::Plain(net) => net.device(),
        }
    }

    /// As `FusedNet::step`, by the whole rule.
    pub(crate) fn step(&mut self, batch: Batch, targets: Targets, rule: &StepRule, chance: Chance) -> Result<f32> {
        match self {
            Self::Fused(_) if rule.needs_gradient() => {
                Err(Error::Internal("the fused network was made for steps layer by layer".into()))
            }
            Self::Fused(net) => Ok(net.step(batch, targets, &rule.update, chance)),
            Self::Plan(net) => Ok(net.step(batch, targets, rule, chance)),
            Self::Plain(net) => net.step(batch, targets, rule, chance),
        }
    }

    /// As `FusedNet::logits`.
    pub(crate) fn logits(&mut self, batch: Batch, out: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Fused(net) => net.logits(batch, out),
            Self::Plan(net) => net.logits(batch, out),
            Self::Plain(net) => net.logits(batch, out)?,
        }
        Ok(())
    }

    /// The learned numbers.
    pub(crate) fn weights(&self) -> Result<Weights> {
        match self {
            Self::Fused(net) => Ok(net.weights()),
            Self::Plan(net) => Ok(net.weights()),
            Self::Plain(net) => net.weights(),
        }
    }

    /// What is kept beside the weights.
    pub(crate) fn memory(&self) -> Result<Memory> {
        match self {
            Self::Fused(net) => Ok(net.memory()),
            Self::Plan(net) => Ok(net.memory()),
            Self::Plain(net) => net.memory(),
        }
    }
}

fn on_threads(threads: usize) -> String {
    if threads == 1 { "cpu, 1 thread".to_owned() } else { format!("cpu, {threads} threads") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Encoded;
    use crate::kernels::Mixed;
    use crate::kernels::optimizer_examples::{KINDS, example};
    use crate::net::initial_weights;
    use crate::net::tests::{layers_of, numeric, target};
    use crate::spec::{Activation, DenseSpec, FocalSpec, HuberSpec, Loss, NetSpec, QuantileSpec};

    /// The fused kernels beside the same network as a plan, and in a build with them beside Burn's operations. A plan draws
    /// other units to leave out.
    fn check(activation: Activation, classes: usize, loss: Loss, update: &dyn Fn(i32) -> StepRule, dropout: f64) {
        let network = (activation, classes, loss, dropout);
        if dropout == 0.0 {
            let whole = |step| StepRule { clip_norm: Some(f32::MAX), ..update(step) };
            check_pair(network, update, Place::Cpu, &whole);
        }
        #[cfg(feature = "burn")]
        check_pair(network, update, Place::FLEX, update);
    }

    /// Ten steps of both networks from the same weights on the same rows.
    fn check_pair(
        (activation, classes, loss, dropout): (Activation, usize, Loss, f64),
        update: &dyn Fn(i32) -> StepRule,
        peer: Place,
        peer_update: &dyn Fn(i32) -> StepRule,
    ) {
        let rules = [update, peer_update];
        let place = format!("{activation:?}, {classes} classes, {loss:?}, {:?}, {peer:?}, {dropout}", update(1));
        let spec = NetSpec::Dense(DenseSpec { hidden: vec![20, 7], activation, dropout, ..DenseSpec::default() });
        let numeric = numeric(4, &[(6, 2), (3, 1)]);
        let layers = layers_of(&spec, &numeric, &target(classes), loss);
        let design = Design::Dense(layers.clone());
        let count = 30;
        let numbers = (0..count * 4).map(|n| ((n * 29) % 23) as f32 / 7.0 - 1.6).collect();
        let codes = (0..count * 2).map(|n| ((n * 5 + n / 7) % if n % 2 == 0 { 6 } else { 3 }) as i32).collect();
        let encoded = Encoded { rows: count, numbers, codes, ..Encoded::default() };
        let weights = initial_weights(&layers, 3);
        let make = |place, rule: &dyn Fn(i32) -> StepRule| {
            Network::new(place, (&design, &numeric), &weights, &Default::default(), 10, &rule(1)).unwrap()
        };
        let mut networks = [make(Place::Cpu, update), make(peer, peer_update)];
        for step in 0..10u32 {
            let rows: Vec<u32> = (0..10).map(|row| (row * 7 + step * 3) % count as u32).collect();
            let answer =
                |row: &u32| if classes == 0 { *row as f32 / 15.0 - 1.0 } else { (row % classes as u32) as f32 };
            let values: Vec<f32> = rows.iter().map(answer).collect();
            let weights: Vec<f32> = rows.iter().map(|row| (row % 3) as f32 * 0.7).collect();
            let second: Vec<f32> = values.iter().rev().copied().collect();
            let mixed = (step % 3 == 0).then_some(Mixed { values: &second, weights: &weights });
            let targets = Targets { values: &values, weights: if step % 2 == 0 { &weights } else { &[] }, mixed };
            let batch = Batch { numeric: &numeric, encoded: &encoded, rows: &rows };
            let chance = Chance { seed: 9, step: u64::from(step) };
            let mut losses = networks
                .iter_mut()
                .zip(rules)
                .map(|(net, rule)| net.step(batch, targets, &rule(step as i32 + 1), chance).unwrap());
            let (fused, plain) = (losses.next().unwrap(), losses.next().unwrap());
            assert!((fused / plain - 1.0).abs() < 1e-4, "{place}, step {step}: {fused} for {plain}");
        }
        let rows: Vec<u32> = (0..count as u32).collect();
        let batch = Batch { numeric: &numeric, encoded: &encoded, rows: &rows };
        let [fused, plain] = networks.each_mut().map(|net| {
            let mut out = Vec::new();
            net.logits(batch, &mut out).unwrap();
            out
        });
        for (fused, plain) in fused.iter().zip(&plain) {
            assert!((fused - plain).abs() < 1e-3 * plain.abs().max(1.0), "{place}: {fused} for {plain}");
        }
        let shapes =
            |weights: Weights| weights.tensors.into_iter().map(|(name, t)| (name, t.shape)).collect::<Vec<_>>();
        let [fused, plain] =
            networks.each_ref().map(|net| (shapes(net.weights().unwrap()), net.memory().unwrap().map(shapes)));
        assert_eq!(fused, plain, "{place}");
    }

    #[test]
    fn the_fused_kernels_do_what_plans_and_plain_operations_do() {
        let rule = |kind: usize| move |step: i32| StepRule::from(example(kind, step));
        let (sgd, momentum, adam) = (rule(0), rule(1), rule(3));
        for activation in [Activation::Sigmoid, Activation::Relu, Activation::LeakyRelu, Activation::Tanh] {
            check(activation, 0, Loss::Auto, &adam, 0.0);
            check(activation, 2, Loss::Auto, &sgd, 0.0);
            check(activation, 4, Loss::Auto, &momentum, 0.3);
        }
        check(Activation::Relu, 2, Loss::MeanSquaredError, &adam, 0.2);
        check(Activation::Relu, 4, Loss::MeanSquaredError, &adam, 0.0);
        check(Activation::Tanh, 2, Loss::CategoricalCrossEntropy, &momentum, 0.0);
        for kind in 0..KINDS {
            check(Activation::Tanh, 3, Loss::Auto, &rule(kind), 0.1);
        }
        for loss in [
            Loss::MeanAbsoluteError,
            Loss::Huber(HuberSpec { delta: 0.4 }),
            Loss::Quantile(QuantileSpec { quantile: 0.8 }),
        ] {
            check(Activation::Tanh, 0, loss, &sgd, 0.0);
        }
        for classes in [2, 4] {
            check(Activation::Tanh, classes, Loss::Focal(FocalSpec { gamma: 1.5 }), &adam, 0.0);
        }
    }
}
