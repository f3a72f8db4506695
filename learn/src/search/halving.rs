//! Many trials for a few epochs, the better ones for more: asynchronous successive halving (Li et al., "A system for
//! massively parallel hyperparameter tuning", MLSys 2020, algorithm 2), decided in rounds so that it can be repeated.

use std::collections::BTreeMap;

use crate::spec::HalvingSpec;

/// Epochs of each rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rungs {
    epochs: Vec<usize>,
    factor: usize,
}

impl Rungs {
    /// `epochs_min`, and `factor` times as many from rung to rung, up to the epochs of a whole trial.
    pub(super) fn new(spec: &HalvingSpec, epochs: usize) -> Self {
        let mut rungs = vec![];
        let mut next = spec.epochs_min.max(1);
        while next < epochs {
            rungs.push(next);
            next = next.saturating_mul(spec.factor.max(2));
        }
        rungs.push(epochs);
        Self { epochs: rungs, factor: spec.factor.max(2) }
    }

    pub(super) fn epochs(&self, rung: usize) -> usize {
        self.epochs[rung.min(self.epochs.len() - 1)]
    }

    /// The open jobs of the first round that has any. Decides all rounds from the first one on, each by the costs of those
    /// before it.
    pub(super) fn next(&self, done: &BTreeMap<(usize, usize), f64>, trials: usize, size: usize) -> Vec<(usize, usize)> {
        // Of each rung: what its finished trials cost, and which of them have gone on.
        let mut rungs: Vec<Vec<(f64, usize)>> = vec![vec![]; self.epochs.len()];
        let mut gone_on: Vec<Vec<usize>> = vec![vec![]; self.epochs.len()];
        let mut begun = 0;
        loop {
            let mut round = Vec::new();
            while round.len() < size {
                if let Some((trial, rung)) = self.promotion(&rungs, &gone_on) {
                    gone_on[rung].push(trial);
                    round.push((trial, rung + 1));
                } else if begun < trials {
                    round.push((begun, 0));
                    begun += 1;
                } else {
                    break;
                }
            }
            let open: Vec<_> = round.iter().copied().filter(|job| !done.contains_key(job)).collect();
            if round.is_empty() || !open.is_empty() {
                return open;
            }
            for (trial, rung) in round {
                rungs[rung].push((done[&(trial, rung)], trial));
                rungs[rung].sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            }
        }
    }

    /// A trial among the best of its rung that has not gone on yet; the highest rung first.
    fn promotion(&self, rungs: &[Vec<(f64, usize)>], gone_on: &[Vec<usize>]) -> Option<(usize, usize)> {
        (0..rungs.len() - 1).rev().find_map(|rung| {
            let best = rungs[rung].iter().take(rungs[rung].len() / self.factor);
            let mut open = best.filter(|(cost, trial)| cost.is_finite() && !gone_on[rung].contains(trial));
            open.next().map(|(_, trial)| (*trial, rung))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_multiply_up_to_the_whole_trial() {
        let rungs = |epochs_min, factor, epochs| Rungs::new(&HalvingSpec { epochs_min, factor }, epochs).epochs;
        assert_eq!(rungs(1, 3, 30), [1, 3, 9, 27, 30]);
        assert_eq!(rungs(2, 2, 16), [2, 4, 8, 16]);
        assert_eq!(rungs(5, 3, 5), [5]);
        assert_eq!(rungs(50, 3, 5), [5]);
    }

    #[test]
    fn the_better_third_goes_on_and_failures_do_not() {
        let rungs = Rungs::new(&HalvingSpec { epochs_min: 1, factor: 3 }, 9);
        let mut done = BTreeMap::new();
        // Trial 5 is best, 0 fails.
        let cost = |trial: usize| if trial == 0 { f64::INFINITY } else { (trial as f64 - 5.0).abs() };
        let mut visited = Vec::new();
        loop {
            let jobs = rungs.next(&done, 9, 4);
            if jobs.is_empty() {
                break;
            }
            // One at a time, the last first: the round stays the same.
            let job = *jobs.last().unwrap();
            visited.push(job);
            done.insert(job, cost(job.0));
        }
        let of = |rung: usize| {
            let mut trials: Vec<usize> = visited.iter().filter(|job| job.1 == rung).map(|job| job.0).collect();
            trials.sort_unstable();
            trials
        };
        assert_eq!(of(0), (0..9).collect::<Vec<_>>());
        assert!(of(1).contains(&5) && of(1).len() >= 3 && !of(1).contains(&0), "{visited:?}");
        assert_eq!(of(2), [5]);
    }
}
