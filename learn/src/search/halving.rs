//! Successive halving (Jamieson and Talwalkar 2016, algorithm 1; the rungs as in Hyperband's brackets, Li et al. 2018):
//! many points for a short time, one in `factor` of them for `factor` times as long, up to the longest.

use crate::spec::HalvingSpec;
use crate::{Error, Result};

use super::Asked;
use super::space::Point;

/// How many trials there are of each length, shortest first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rungs {
    resource: String,
    /// Trials and what each takes.
    rungs: Vec<(usize, usize)>,
}

impl Rungs {
    /// Rungs for so many points; each takes at most `longest`.
    pub(super) fn new(spec: &HalvingSpec, points: usize, longest: usize) -> Result<Self> {
        let factor = spec.factor;
        let least = spec.min.unwrap_or(1).max(1);
        if factor < 2 {
            return Err(Error::invalid(format!("halving's factor is {factor}, expected at least 2")));
        }
        if least > longest {
            return Err(Error::invalid(format!(
                "halving begins at {least}, above {longest}, the model's own {}",
                spec.resource
            )));
        }
        // As many rungs as leave one point for the last and do not fall below the shortest.
        let mut levels = 1;
        while points / power(factor, levels) >= 1 && longest / power(factor, levels) >= least {
            levels += 1;
        }
        let rung = |level: usize| {
            let length = (longest / power(factor, levels - 1 - level)).max(least);
            ((points / power(factor, level)).max(1), length)
        };
        Ok(Self { resource: spec.resource.clone(), rungs: (0..levels).map(rung).collect() })
    }

    pub(super) fn resource(&self) -> &str {
        &self.resource
    }

    /// Trials of all rungs.
    pub(super) fn trials(&self) -> usize {
        self.rungs.iter().map(|(count, _)| count).sum()
    }

    /// The trials of the next rung: the best of the one before, the earlier of equals first. Those that failed do not go on.
    pub(super) fn next(
        &self,
        asked: &[Asked],
        scores: &[Option<f64>],
        first: impl FnOnce(usize) -> Vec<Point>,
    ) -> Vec<Asked> {
        let mut start = 0;
        let mut before: Option<Vec<usize>> = None;
        for (count, length) in &self.rungs {
            let wanted = before
                .as_ref()
                .map_or(*count, |before| before.iter().filter(|at| scores[**at].is_some()).count().min(*count));
            if start == scores.len() {
                let with = |point: Point| Asked { point, resource: Some(*length) };
                return match before {
                    None => first(wanted).into_iter().map(with).collect(),
                    Some(before) => best(&before, scores, wanted).map(|at| with(asked[at].point.clone())).collect(),
                };
            }
            before = Some((start..(start + wanted).min(scores.len())).collect());
            start += wanted;
        }
        Vec::new()
    }
}

/// The best `count` of these trials.
fn best(trials: &[usize], scores: &[Option<f64>], count: usize) -> impl Iterator<Item = usize> {
    let mut good: Vec<(f64, usize)> = trials.iter().filter_map(|at| Some((scores[*at]?, *at))).collect();
    good.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    good.into_iter().take(count).map(|(_, at)| at)
}

fn power(factor: usize, exponent: usize) -> usize {
    factor.saturating_pow(u32::try_from(exponent).unwrap_or(u32::MAX))
}
