//! Where does the network live: in our kernels on the CPU, or in Burn's operations on a device?

use burn::tensor::Device;

use super::{Batch, Chance, FusedNet, Layers, PlainNet};
use crate::kernels::Update;
use crate::{Error, Result, Weights};

/// A network that learns.
#[derive(Debug)]
pub(crate) enum Network {
    /// By the fused kernels.
    Fused(Box<FusedNet>),
    /// By Burn's plain operations.
    Plain(PlainNet),
}

/// Where a network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The CPU, by the fused kernels.
    Cpu,
    /// The CPU, by Burn's own operations: the reference that every other device follows.
    Flex,
}

impl Network {
    /// A network with these weights and moments that learns up to `rows` rows at a time.
    pub(crate) fn new(
        place: Place,
        layers: &Layers,
        weights: &Weights,
        moments: &[Weights; 2],
        rows: usize,
        update: &Update,
    ) -> Result<Self> {
        match place {
            Place::Cpu => {
                let unknown =
                    layers.dense.iter().filter_map(|layer| layer.activation).find(|known| !known.from_output());
                if let Some(activation) = unknown {
                    return Err(Error::Unsupported(format!(
                        "network.dense.activation is {activation:?}, whose gradient this network cannot find; choose another"
                    )));
                }
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                let mut net = FusedNet::new(layers, weights, rows, update, threads)?;
                net.restore(moments)?;
                Ok(Self::Fused(Box::new(net)))
            }
            Place::Flex => {
                let mut net = PlainNet::new(layers, weights, Device::flex())?;
                net.restore(moments);
                Ok(Self::Plain(net))
            }
        }
    }

    /// Where, in words.
    pub(crate) fn device(&self) -> String {
        match self {
            Self::Fused(net) if net.threads() == 1 => "cpu, 1 thread".to_owned(),
            Self::Fused(net) => format!("cpu, {} threads", net.threads()),
            Self::Plain(_) => "cpu, Burn's own operations".to_owned(),
        }
    }

    /// As `FusedNet::step`.
    pub(crate) fn step(&mut self, batch: Batch, targets: &[f32], update: &Update, chance: Chance) -> Result<f32> {
        match self {
            Self::Fused(net) => Ok(net.step(batch, targets, update, chance)),
            Self::Plain(net) => net.step(batch, targets, update, chance),
        }
    }

    /// As `FusedNet::logits`.
    pub(crate) fn logits(&mut self, batch: Batch, out: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Fused(net) => net.logits(batch, out),
            Self::Plain(net) => net.logits(batch, out)?,
        }
        Ok(())
    }

    /// The learned numbers.
    pub(crate) fn weights(&self) -> Result<Weights> {
        match self {
            Self::Fused(net) => Ok(net.weights()),
            Self::Plain(net) => net.weights(),
        }
    }

    /// What the optimiser remembers.
    pub(crate) fn moments(&self) -> Result<[Weights; 2]> {
        match self {
            Self::Fused(net) => Ok(net.moments()),
            Self::Plain(net) => net.moments(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Encoded;
    use crate::net::tests::{numeric, target};
    use crate::net::{initial_weights, layers};
    use crate::spec::{Activation, DenseSpec, Loss, NetSpec};

    /// Ten steps of both networks from the same weights on the same rows, dropout included.
    fn check(activation: Activation, classes: usize, loss: Loss, update: &dyn Fn(i32) -> Update, dropout: f64) {
        let place = format!("{activation:?}, {classes} classes, {loss:?}, {:?}, dropout {dropout}", update(1));
        let spec = NetSpec::Dense(DenseSpec { hidden: vec![20, 7], activation, dropout });
        let numeric = numeric(4, &[(6, 2), (3, 1)]);
        let layers = layers(&spec, &numeric, &target(classes), loss).unwrap();
        let count = 30;
        let numbers = (0..count * 4).map(|n| ((n * 29) % 23) as f32 / 7.0 - 1.6).collect();
        let codes = (0..count * 2).map(|n| ((n * 5 + n / 7) % if n % 2 == 0 { 6 } else { 3 }) as i32).collect();
        let encoded = Encoded { rows: count, numbers, codes, ..Encoded::default() };
        let weights = initial_weights(&layers, 3);
        let make = |place| Network::new(place, &layers, &weights, &Default::default(), 10, &update(1)).unwrap();
        let mut networks = [make(Place::Cpu), make(Place::Flex)];
        for step in 0..10u32 {
            let rows: Vec<u32> = (0..10).map(|row| (row * 7 + step * 3) % count as u32).collect();
            let answer =
                |row: &u32| if classes == 0 { *row as f32 / 15.0 - 1.0 } else { (row % classes as u32) as f32 };
            let targets: Vec<f32> = rows.iter().map(answer).collect();
            let batch = Batch { numeric: &numeric, encoded: &encoded, rows: &rows };
            let chance = Chance { seed: 9, step: u64::from(step) };
            let update = update(step as i32 + 1);
            let [fused, plain] = networks.each_mut().map(|net| net.step(batch, &targets, &update, chance).unwrap());
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
        let [fused, plain] = networks.each_ref().map(|net| {
            let [first, second] = net.moments().unwrap();
            [shapes(net.weights().unwrap()), shapes(first), shapes(second)]
        });
        assert_eq!(fused, plain, "{place}");
    }

    #[test]
    fn the_fused_kernels_do_what_the_plain_operations_do() {
        let adam = |step: i32| Update::Adam {
            step_size: (0.01 / (1.0 - 0.9f64.powi(step))) as f32,
            root: (1.0 / (1.0 - 0.999f64.powi(step)).sqrt()) as f32,
            first: [0.9, 0.1],
            second: [0.999, 0.001],
            epsilon: 1e-5,
            decay: 0.01,
        };
        let sgd = |_: i32| Update::Sgd { learning_rate: 0.05, momentum: 0.0, decay: 0.01 };
        let momentum = |_: i32| Update::Sgd { learning_rate: 0.05, momentum: 0.9, decay: 0.0 };
        for activation in [Activation::Sigmoid, Activation::Relu, Activation::LeakyRelu, Activation::Tanh] {
            check(activation, 0, Loss::Auto, &adam, 0.0);
            check(activation, 2, Loss::Auto, &sgd, 0.0);
            check(activation, 4, Loss::Auto, &momentum, 0.3);
        }
        check(Activation::Relu, 2, Loss::MeanSquaredError, &adam, 0.2);
        check(Activation::Relu, 4, Loss::MeanSquaredError, &adam, 0.0);
        check(Activation::Tanh, 2, Loss::CategoricalCrossEntropy, &momentum, 0.0);
    }
}
