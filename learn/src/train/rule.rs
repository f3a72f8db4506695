//! Which figures has a step?

use super::rate::{Plateau, Steps, fraction};
use crate::kernels::{Decay, Update};
use crate::net::StepRule;
use crate::spec::{Optimizer, TrainSpec};

/// The batches of a run, and the steps they make.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    spec: &'a TrainSpec,
    /// Rows of an epoch.
    rows: usize,
    /// Rows of a batch, but for the last one of an epoch.
    batch: usize,
    steps: Steps,
}

impl<'a> Rule<'a> {
    /// For epochs of so many rows.
    pub(super) fn new(spec: &'a TrainSpec, rows: usize) -> Self {
        let batch = spec.batch_size.rows(rows);
        let per_epoch = rows.div_ceil(batch).div_ceil(spec.accumulate) as u64;
        Self { spec, rows, batch, steps: Steps { per_epoch, total: per_epoch * spec.epochs as u64 } }
    }

    /// Rows of a batch, but for the last one of an epoch.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// Batches of an epoch.
    pub(super) fn batches(&self) -> usize {
        self.rows.div_ceil(self.batch)
    }

    /// What becomes of the gradient of batch `number` of epoch `epoch`, both from 0. The batches of a step count by their
    /// rows, so that the step is that of one large batch.
    pub(super) fn step(&self, epoch: usize, number: usize, plateau: &Plateau) -> StepRule {
        let group = number / self.spec.accumulate;
        let first = group * self.spec.accumulate;
        let end = (first + self.spec.accumulate).min(self.batches());
        let rows = |batches: usize| (batches * self.batch).min(self.rows);
        let step = epoch as u64 * self.steps.per_epoch + group as u64;
        StepRule {
            share: (rows(number + 1) - rows(number)) as f32 / (rows(end) - rows(first)) as f32,
            steps: number + 1 == end,
            ..self.alone(step, self.rate(step, plateau))
        }
    }

    /// The optimiser's step number `step`, from 0, of one batch at step size `rate`.
    pub(super) fn alone(&self, step: u64, rate: f64) -> StepRule {
        StepRule {
            clip_norm: self.spec.clip_norm.map(|most| most as f32),
            clip_value: self.spec.clip_value.map(|most| most as f32),
            ..StepRule::from(self.update(step, rate))
        }
    }

    /// The step size of batch `number` of epoch `epoch`.
    pub(super) fn learning_rate(&self, epoch: usize, number: usize, plateau: &Plateau) -> f64 {
        self.rate(epoch as u64 * self.steps.per_epoch + (number / self.spec.accumulate) as u64, plateau)
    }

    fn rate(&self, step: u64, plateau: &Plateau) -> f64 {
        self.spec.optimizer.learning_rate() * fraction(&self.spec.schedule, plateau, step, self.steps)
    }

    fn update(&self, step: u64, rate: f64) -> Update {
        let decay = Decay { l2: self.spec.weight_decay as f32, l1: self.spec.l1 as f32 };
        // The rests to 1 are taken in f64: 1 - 0.999 in f32 is wrong in the fifth digit.
        let mean = |keep: f64| [keep as f32, (1.0 - keep) as f32];
        let adam = |beta1: f64, beta2: f64, epsilon: f64, kept: f64| {
            let count = (step + 1) as f64;
            Update::Adam {
                step_size: (rate / (1.0 - beta1.powf(count))) as f32,
                root: (1.0 / (1.0 - beta2.powf(count)).sqrt()) as f32,
                first: mean(beta1),
                second: mean(beta2),
                epsilon: epsilon as f32,
                kept: kept as f32,
                decay,
            }
        };
        let learning_rate = rate as f32;
        match &self.spec.optimizer {
            Optimizer::Sgd(of) => {
                Update::Sgd { learning_rate, momentum: of.momentum as f32, nesterov: of.nesterov, decay }
            }
            Optimizer::Adam(of) => adam(of.beta1, of.beta2, of.epsilon, 1.0),
            Optimizer::Adamw(of) => adam(of.beta1, of.beta2, of.epsilon, 1.0 - rate * of.weight_decay),
            Optimizer::Adagrad(of) => Update::Adagrad { learning_rate, epsilon: of.epsilon as f32, decay },
            Optimizer::Adadelta(of) => {
                Update::Adadelta { learning_rate, mean: mean(of.rho), epsilon: of.epsilon as f32, decay }
            }
            Optimizer::Rmsprop(of) => Update::Rmsprop {
                learning_rate,
                mean: mean(of.alpha),
                momentum: of.momentum as f32,
                centered: of.centered,
                epsilon: of.epsilon as f32,
                decay,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::BatchSize;

    #[test]
    fn the_batches_of_a_step_count_by_their_rows() {
        let spec = TrainSpec { batch_size: 10.into(), accumulate: 3, epochs: 2, ..TrainSpec::default() };
        // 5 batches of 10, 10, 10 and 10, 4 rows.
        let rule = Rule::new(&spec, 44);
        let plateau = Plateau::default();
        let found: Vec<_> = (0..5).map(|n| rule.step(0, n, &plateau)).map(|step| (step.share, step.steps)).collect();
        let third = 10.0 / 30.0;
        let expected = [(third, false), (third, false), (third, true), (10.0 / 14.0, false), (4.0 / 14.0, true)];
        assert_eq!(found, expected);
        assert_eq!((rule.batches(), rule.steps), (5, Steps { per_epoch: 2, total: 4 }));
    }

    #[test]
    fn a_full_batch_holds_every_row() {
        let spec = TrainSpec { batch_size: BatchSize::Full, ..TrainSpec::default() };
        let rule = Rule::new(&spec, 44);
        assert_eq!((rule.batch(), rule.batches()), (44, 1));
        let step = rule.step(3, 0, &Plateau::default());
        assert!(!step.needs_gradient() && step.steps);
    }
}
