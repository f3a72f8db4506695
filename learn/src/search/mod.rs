//! Which setting is to be tried next?
//!
//! *Good for*: choosing points of a space of settings by what other points were worth. *Not for*: trying them (whoever
//! asks), what a path means.
//!
//! A search is a function of its spec and of what the finished jobs were worth: jobs come in rounds, each decided by the
//! rounds before it alone. So neither the number of trials at a time nor a stop in the middle changes what is tried.

mod grid;
mod halving;
mod space;
mod tpe;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::spec::{StrategySpec, TuneSpec};
use crate::{Error, Result};

use grid::Grid;
use halving::Rungs;
use space::Space;

/// Jobs of a round where the rounds before decide: few, so that little is tried on old knowledge.
const ROUND: usize = 4;

/// Something to do: train trial `trial` to the end of rung `rung`.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchJob {
    /// Number of the trial, from 0.
    pub trial: usize,
    /// Its rung, from 0; there is one rung only but for halving.
    pub rung: usize,
    /// The epochs of the rung; all that the trial has where absent.
    pub epochs: Option<usize>,
    /// Values by path.
    pub setting: Map<String, Value>,
}

/// What finished jobs were worth, by trial and rung; none for a job that failed.
pub type Worths = BTreeMap<(usize, usize), Option<f64>>;

/// A search for the best setting.
#[derive(Debug, Clone)]
pub struct Search {
    space: Space,
    strategy: StrategySpec,
    grid: Option<Grid>,
    trials: usize,
    seed: u64,
}

impl Search {
    /// Refuses spaces that are empty or have impossible ranges, naming the path.
    pub fn new(spec: &TuneSpec) -> Result<Self> {
        let space = Space::new(&spec.space)?;
        if spec.trials == 0 {
            return Err(Error::invalid("tune.trials is 0, expected at least 1"));
        }
        let grid = match &spec.strategy {
            StrategySpec::Grid(grid) => Some(Grid::new(&space, grid.points, spec.trials, spec.seed)?),
            _ => None,
        };
        if let StrategySpec::Halving(halving) = &spec.strategy
            && (halving.factor < 2 || halving.epochs_min == 0)
        {
            return Err(Error::invalid(
                "tune.strategy.halving needs a factor of at least 2 and epochs_min of at least 1",
            ));
        }
        let trials = grid.as_ref().map_or(spec.trials, |grid| grid.len().min(spec.trials));
        Ok(Self { space, strategy: spec.strategy.clone(), grid, trials, seed: spec.seed })
    }

    /// Settings that will be tried at most.
    pub fn trials(&self) -> usize {
        self.trials
    }

    /// The jobs to do next, of one round; none where the search is over. `epochs` are those of a whole trial, `higher`
    /// says whether more is better.
    pub fn next(&self, done: &Worths, epochs: usize, higher: bool) -> Vec<SearchJob> {
        // Less is better from here on; a trial that failed is as bad as can be.
        let cost = |worth: &Option<f64>| match worth.filter(|worth| worth.is_finite()) {
            Some(worth) if higher => -worth,
            Some(worth) => worth,
            None => f64::INFINITY,
        };
        let done: BTreeMap<(usize, usize), f64> = done.iter().map(|(job, worth)| (*job, cost(worth))).collect();
        match &self.strategy {
            StrategySpec::Grid(_) | StrategySpec::Random(_) => {
                let open = (0..self.trials).filter(|trial| !done.contains_key(&(*trial, 0)));
                open.map(|trial| self.job(trial, 0, None, self.free(trial))).collect()
            }
            StrategySpec::Tpe(tpe) => self.next_by_estimate(tpe, &done),
            StrategySpec::Halving(halving) => {
                let rungs = Rungs::new(halving, epochs);
                let jobs = rungs.next(&done, self.trials, ROUND);
                let job = |(trial, rung)| self.job(trial, rung, Some(rungs.epochs(rung)), self.free(trial));
                jobs.into_iter().map(job).collect()
            }
        }
    }

    /// The setting of a trial that does not look at others.
    fn free(&self, trial: usize) -> Vec<f64> {
        match &self.grid {
            Some(grid) => grid.point(trial),
            None => self.space.random(self.seed, trial),
        }
    }

    fn next_by_estimate(&self, tpe: &crate::spec::TpeSpec, done: &BTreeMap<(usize, usize), f64>) -> Vec<SearchJob> {
        let mut points: Vec<Vec<f64>> = Vec::with_capacity(self.trials);
        let mut costs: Vec<f64> = Vec::with_capacity(self.trials);
        while points.len() < self.trials {
            let first = points.len();
            let random = first < tpe.random_trials;
            let round = match random {
                true => first..tpe.random_trials.min(self.trials),
                false => first..(first + ROUND).min(self.trials),
            };
            for trial in round.clone() {
                let point = match random {
                    true => self.space.random(self.seed, trial),
                    false => tpe::choose(&self.space, &points[..first], &costs, tpe.candidates, self.seed, trial),
                };
                points.push(point);
            }
            let open: Vec<usize> = round.clone().filter(|trial| !done.contains_key(&(*trial, 0))).collect();
            if !open.is_empty() {
                return open.into_iter().map(|trial| self.job(trial, 0, None, points[trial].clone())).collect();
            }
            costs.extend(round.map(|trial| done[&(trial, 0)]));
        }
        Vec::new()
    }

    fn job(&self, trial: usize, rung: usize, epochs: Option<usize>, point: Vec<f64>) -> SearchJob {
        SearchJob { trial, rung, epochs, setting: self.space.setting(&point) }
    }
}

#[cfg(test)]
mod tests;
