//! How large is the step size at a step? For all schedules but `on_plateau` a function of the schedule and the step alone.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::watch::Metric;
use crate::spec::{OneCycleSchedule, PlateauSchedule, Schedule};

/// The optimiser's steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    /// In one epoch.
    pub(super) per_epoch: u64,
    /// In all epochs.
    pub(super) total: u64,
}

/// What `on_plateau` remembers; exact numbers as their bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plateau {
    factor: u64,
    best: Option<u64>,
    /// Epochs since the last gain or fall.
    waited: usize,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 1f64.to_bits(), best: None, waited: 0 }
    }
}

impl Plateau {
    /// Takes in the watched figure of an epoch; true where the step size falls.
    pub(super) fn watch(&mut self, schedule: &Schedule, metric: Metric, value: f64) -> bool {
        let Schedule::OnPlateau(PlateauSchedule { patience, factor, min_delta, min_fraction, .. }) = schedule else {
            return false;
        };
        if self.best.is_none_or(|best| metric.gain(f64::from_bits(best), value) > *min_delta) {
            (self.best, self.waited) = (Some(value.to_bits()), 0);
            return false;
        }
        self.waited += 1;
        if self.waited < *patience {
            return false;
        }
        let before = f64::from_bits(self.factor);
        let after = (before * factor).max(*min_fraction);
        (self.factor, self.waited) = (after.to_bits(), 0);
        after < before
    }
}

/// The share of the optimizer's `learning_rate` that step `step`, from 0, takes.
pub(super) fn fraction(schedule: &Schedule, plateau: &Plateau, step: u64, steps: Steps) -> f64 {
    let (epochs, count) = warm_up(schedule);
    let rise = (epochs * steps.per_epoch as f64).round() as u64 + count as u64;
    if step < rise {
        return (step + 1) as f64 / rise as f64;
    }
    // From 0 to below 1 in the steps after the rise.
    let progress = (step - rise) as f64 / steps.total.saturating_sub(rise).max(1) as f64;
    let progress = progress.min(1.0);
    match schedule {
        Schedule::Constant(_) => 1.0,
        Schedule::Step(of) => {
            let falls = step / (of.every_epochs as u64 * steps.per_epoch).max(1);
            of.factor.powi(falls.min(100_000) as i32)
        }
        Schedule::Linear(of) => between(1.0, of.final_fraction, progress),
        Schedule::Cosine(of) => half_cosine(1.0, of.final_fraction, progress),
        Schedule::OneCycle(of) => one_cycle(of, step, steps.total),
        Schedule::OnPlateau(_) => f64::from_bits(plateau.factor),
    }
}

/// Whether the step sizes of a schedule depend on the number of epochs.
pub(super) fn depends_on_epochs(schedule: &Schedule) -> bool {
    matches!(schedule, Schedule::Linear(_) | Schedule::Cosine(_) | Schedule::OneCycle(_))
}

/// Epochs and steps of the rise at the beginning.
pub(super) fn warm_up(schedule: &Schedule) -> (f64, usize) {
    match schedule {
        Schedule::Constant(of) => (of.warm_up_epochs, of.warm_up_steps),
        Schedule::Step(of) => (of.warm_up_epochs, of.warm_up_steps),
        Schedule::Linear(of) => (of.warm_up_epochs, of.warm_up_steps),
        Schedule::Cosine(of) => (of.warm_up_epochs, of.warm_up_steps),
        Schedule::OnPlateau(of) => (of.warm_up_epochs, of.warm_up_steps),
        Schedule::OneCycle(_) => (0.0, 0),
    }
}

/// As PyTorch's `OneCycleLR` with `anneal_strategy="cos"`: the peak is at step `rise * total - 1`, the end at the last.
fn one_cycle(of: &OneCycleSchedule, step: u64, total: u64) -> f64 {
    let peak = (of.rise * total as f64 - 1.0).max(0.0);
    let last = total.saturating_sub(1) as f64;
    let step = step as f64;
    if step <= peak {
        let progress = if peak == 0.0 { 1.0 } else { step / peak };
        return half_cosine(of.initial_fraction, 1.0, progress);
    }
    half_cosine(1.0, of.final_fraction, ((step - peak) / (last - peak).max(1e-9)).min(1.0))
}

fn between(from: f64, to: f64, progress: f64) -> f64 {
    from + (to - from) * progress
}

fn half_cosine(from: f64, to: f64, progress: f64) -> f64 {
    between(from, to, 0.5 - 0.5 * (PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::*;

    fn check(schedule: Schedule, steps: Steps, expected: &[f64]) {
        for (step, expected) in expected.iter().enumerate() {
            let found = fraction(&schedule, &Plateau::default(), step as u64, steps);
            assert!((found - expected).abs() < 1e-7, "{schedule:?} at step {step}: {found} for {expected}");
        }
    }

    /// `param_groups[0]["lr"]` before each step of PyTorch 2.15.0 with `lr=1`: `CosineAnnealingLR(T_max=12, eta_min=0.1)`,
    /// `LinearLR(1.0, 0.25, total_iters=12)`, `StepLR(6, 0.5)`, `OneCycleLR(max_lr=1, total_steps=12)`, and `LinearLR(0.25,
    /// 1.0, 3)` followed after 4 steps by `CosineAnnealingLR(T_max=8)`.
    #[test]
    fn the_rates_are_those_of_pytorch() {
        let twelve = Steps { per_epoch: 3, total: 12 };
        let cosine = |final_fraction, warm_up_epochs, warm_up_steps| {
            Schedule::Cosine(CosineSchedule { final_fraction, warm_up_epochs, warm_up_steps })
        };
        let quarter = [
            1.0, 0.98466662, 0.93971143, 0.86819805, 0.775, 0.66646857, 0.55, 0.43353143, 0.325, 0.23180195,
            0.16028857, 0.11533338,
        ];
        check(cosine(0.1, 0.0, 0), twelve, &quarter);
        let warm =
            [0.25, 0.5, 0.75, 1.0, 1.0, 0.96193977, 0.85355339, 0.69134172, 0.5, 0.30865828, 0.14644661, 0.03806023];
        check(cosine(0.0, 0.0, 4), twelve, &warm);
        check(cosine(0.0, 1.0, 1), twelve, &warm);
        let linear = LinearSchedule { final_fraction: 0.25, ..LinearSchedule::default() };
        check(Schedule::Linear(linear), twelve, &[1.0, 0.9375, 0.875, 0.8125, 0.75, 0.6875, 0.625, 0.5625, 0.5]);
        let step = StepSchedule { every_epochs: 2, factor: 0.5, ..StepSchedule::default() };
        let halves = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25];
        check(Schedule::Step(step), twelve, &halves);
        let cycle = [
            0.04, 0.34978965, 0.87928516, 0.99441544, 0.93301297, 0.81174565, 0.647379, 0.4626371, 0.283061,
            0.13347753, 0.03456699, 4e-06,
        ];
        check(Schedule::OneCycle(OneCycleSchedule::default()), twelve, &cycle);
    }

    /// `ReduceLROnPlateau(mode="max", factor=0.5, patience=1, threshold=0.01, threshold_mode="abs", min_lr=0.2)` of PyTorch
    /// 2.15.0, whose patience counts from 0.
    #[test]
    fn a_plateau_lowers_the_rate_as_in_pytorch() {
        let of = PlateauSchedule { patience: 2, factor: 0.5, min_delta: 0.01, min_fraction: 0.2, ..Default::default() };
        let schedule = Schedule::OnPlateau(of);
        let mut plateau = Plateau::default();
        let rates: Vec<f64> = [0.5, 0.6, 0.6, 0.605, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.8]
            .into_iter()
            .map(|value| {
                let before = fraction(&schedule, &plateau, 9, Steps { per_epoch: 1, total: 12 });
                let fell = plateau.watch(&schedule, Metric::Accuracy, value);
                let after = fraction(&schedule, &plateau, 9, Steps { per_epoch: 1, total: 12 });
                assert_eq!(fell, after < before);
                after
            })
            .collect();
        assert_eq!(rates, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]);
    }

    #[test]
    fn no_schedule_gives_an_impossible_rate_in_a_run_of_any_length() {
        let warm = ConstantSchedule { warm_up_epochs: 0.5, warm_up_steps: 3 };
        let all = [
            Schedule::Constant(warm),
            Schedule::Step(StepSchedule { warm_up_steps: 2, ..StepSchedule::default() }),
            Schedule::Linear(LinearSchedule { warm_up_epochs: 3.0, ..LinearSchedule::default() }),
            Schedule::Cosine(CosineSchedule::default()),
            Schedule::OneCycle(OneCycleSchedule::default()),
            Schedule::OnPlateau(PlateauSchedule::default()),
        ];
        for (per_epoch, epochs) in [(1, 1), (1, 2), (3, 1), (7, 50)] {
            let steps = Steps { per_epoch, total: per_epoch * epochs };
            for schedule in &all {
                for step in 0..steps.total {
                    let rate = fraction(schedule, &Plateau::default(), step, steps);
                    assert!(rate > 0.0 && rate <= 1.0, "{schedule:?} at step {step} of {steps:?}: {rate}");
                }
            }
        }
    }
}
