//! Which figures has the optimiser at a step?

use super::rate::{Plateau, Steps, fraction};
use crate::kernels::Update;
use crate::spec::{Optimizer, TrainSpec};

/// The steps of a run.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    spec: &'a TrainSpec,
    steps: Steps,
}

impl<'a> Rule<'a> {
    /// For epochs of so many rows.
    pub(super) fn new(spec: &'a TrainSpec, rows: usize) -> Self {
        let per_epoch = rows.div_ceil(spec.batch_size) as u64;
        Self { spec, steps: Steps { per_epoch, total: per_epoch * spec.epochs as u64 } }
    }

    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    /// The step size of step `step`, from 0.
    pub(super) fn learning_rate(&self, step: u64, plateau: &Plateau) -> f64 {
        self.spec.optimizer.learning_rate() * fraction(&self.spec.schedule, plateau, step, self.steps)
    }

    /// The optimiser's step number `step`, from 0.
    pub(super) fn update(&self, step: u64, plateau: &Plateau) -> Update {
        let (rate, decay) = (self.learning_rate(step, plateau), self.spec.weight_decay as f32);
        match &self.spec.optimizer {
            Optimizer::Sgd(sgd) => Update::Sgd { learning_rate: rate as f32, momentum: sgd.momentum as f32, decay },
            Optimizer::Adam(adam) => {
                let count = (step + 1) as f64;
                Update::Adam {
                    step_size: (rate / (1.0 - adam.beta1.powf(count))) as f32,
                    root: (1.0 / (1.0 - adam.beta2.powf(count)).sqrt()) as f32,
                    // The rests are taken in f64: 1 - 0.999 in f32 is wrong in the fifth digit.
                    first: [adam.beta1 as f32, (1.0 - adam.beta1) as f32],
                    second: [adam.beta2 as f32, (1.0 - adam.beta2) as f32],
                    epsilon: adam.epsilon as f32,
                    decay,
                }
            }
        }
    }
}
