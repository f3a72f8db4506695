//! Which step size suits a network? A sweep over all of them, from one so small that nothing happens to one so large that
//! the loss breaks away (Smith 2017, section 3.3).

use serde::{Deserialize, Serialize};

use super::Flow;
use super::augment::Place;
use super::prepared::{Prepared, Rows};
use super::run::Run;
use crate::net::{Batch, Chance};
use crate::{Error, Result};

/// How much of the mean loss is kept from step to step.
const SMOOTHING: f64 = 0.95;
/// The sweep ends where the mean loss is so many times its smallest.
const BREAKS_AWAY: f64 = 4.0;
/// The suggestion is this share of the step size with the smallest mean loss: the mean lags behind, and there the loss is
/// about to rise.
const SHARE: f64 = 0.1;

/// A sweep over step sizes, each the same factor above the one before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateSweep {
    /// The first step size, above 0.
    pub from: f64,
    /// The last one, above the first.
    pub to: f64,
    /// Steps, at least 20.
    pub steps: usize,
}

impl Default for RateSweep {
    fn default() -> Self {
        Self { from: 1e-6, to: 10.0, steps: 300 }
    }
}

/// A step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    /// The step size.
    pub learning_rate: f64,
    /// Loss of the batch before the step.
    pub loss: f64,
    /// Mean of the losses so far, the late ones counting most.
    pub mean_loss: f64,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateCurve {
    /// The steps, up to where the loss broke away.
    pub points: Vec<RatePoint>,
    /// A step size to begin with: a tenth of that with the smallest mean loss.
    pub suggestion: f64,
    /// Whether the loss broke away before the last step size.
    pub broke_away: bool,
}

impl RateSweep {
    fn check(&self) -> Result<()> {
        let is_good = self.from > 0.0 && self.to > self.from && self.to.is_finite() && self.steps >= 20;
        match is_good {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "a sweep from {} to {} in {} steps; it has to begin above 0, end above its beginning and have at least 20 \
                 steps",
                self.from, self.to, self.steps
            ))),
        }
    }

    fn rate(&self, step: usize) -> f64 {
        self.from * (self.to / self.from).powf(step as f64 / (self.steps - 1) as f64)
    }
}

impl Run<'_> {
    /// Makes one step per step size, on the batches in the order of training. `on` is asked after each step whether to go
    /// on; a sweep that is stopped has no result.
    pub(super) fn sweep(mut self, sweep: &RateSweep, on: &mut dyn FnMut(&RatePoint) -> Flow) -> Result<RateCurve> {
        sweep.check()?;
        let mut points: Vec<RatePoint> = Vec::with_capacity(sweep.steps);
        let (mut kept, mut best) = (0.0, f64::INFINITY);
        let mut broke_away = false;
        let batches = self.rule.batches();
        let mut order = Vec::new();
        for step in 0..sweep.steps {
            if step % batches == 0 {
                order = self.order.of(step / batches);
            }
            let rows = order.chunks(self.rule.batch()).nth(step % batches).unwrap_or_default();
            let learning_rate = sweep.rate(step);
            let loss = self.sweep_step(rows, step as u64, learning_rate)?;
            kept = SMOOTHING * kept + (1.0 - SMOOTHING) * loss;
            let mean_loss = kept / (1.0 - SMOOTHING.powf((step + 1) as f64));
            if !mean_loss.is_finite() || mean_loss > BREAKS_AWAY * best {
                broke_away = true;
                break;
            }
            best = best.min(mean_loss);
            let point = RatePoint { learning_rate, loss, mean_loss };
            points.push(point);
            if on(&point) == Flow::Stop {
                return Err(Error::invalid("the sweep over step sizes was stopped"));
            }
        }
        let lowest = points.iter().min_by(|a, b| a.mean_loss.total_cmp(&b.mean_loss));
        let lowest = lowest.ok_or_else(|| Error::invalid("the first step of the sweep has no finite loss"))?;
        let suggestion = SHARE * lowest.learning_rate;
        Ok(RateCurve { points, suggestion, broke_away })
    }

    fn sweep_step(&mut self, rows: &[u32], step: u64, rate: f64) -> Result<f64> {
        let Self { job, rule, augmenter, class_weights, targets, .. } = self;
        let plain = Batch { numeric: job.numeric, encoded: job.training.encoded, rows };
        let (epoch, number) = (step as usize / rule.batches(), step as usize % rule.batches());
        let all = Rows { targets: &targets[0], class_weights, augmenter: *augmenter };
        let mut prepared = Prepared::default();
        all.prepare(plain, Place { epoch, first: number * rule.batch() }, &mut prepared);
        let (batch, targets) = prepared.view(plain);
        let chance = Chance { seed: job.train.seed, step };
        Ok(f64::from(self.net.step(batch, targets, &self.rule.alone(step, rate), chance)?))
    }
}
