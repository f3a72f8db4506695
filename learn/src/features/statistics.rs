//! What figures say of a series what a model would have to find out? Of the values read, which end with the row's own time.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::spec::SeriesStatistic;

/// Figures of a series, in this order: statistics, sine and cosine of every round, differences of seasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Figures of all values.
    pub statistics: Vec<SeriesStatistic>,
    /// Lengths of rounds in steps.
    pub fourier: Vec<f32>,
    /// Lengths of seasons in steps.
    pub seasons: Vec<usize>,
    /// The model does not read the values step by step.
    pub alone: bool,
}

impl Statistics {
    /// Numbers they become.
    pub(crate) fn width(&self) -> usize {
        self.statistics.len() + 2 * self.fourier.len() + self.seasons.len()
    }

    /// What each number is called.
    pub(crate) fn names(&self) -> Vec<String> {
        let rounds = self.fourier.iter().flat_map(|round| [format!("sin_{round}"), format!("cos_{round}")]);
        let seasons = self.seasons.iter().map(|season| format!("less_{season}_before"));
        self.statistics.iter().map(|&statistic| word(statistic).to_owned()).chain(rounds).chain(seasons).collect()
    }

    /// Writes the figures of the values, oldest first, NaN where missing: `[width]`, NaN where too few values are there.
    pub(crate) fn write(&self, values: &[f32], out: &mut [f32]) {
        let present: Vec<(f64, f64)> =
            values.iter().enumerate().filter(|(_, x)| !x.is_nan()).map(|(i, &x)| (i as f64, f64::from(x))).collect();
        let (head, rest) = out.split_at_mut(self.statistics.len());
        for (slot, &statistic) in head.iter_mut().zip(&self.statistics) {
            *slot = figure(statistic, values, &present) as f32;
        }
        let (rounds, seasons) = rest.split_at_mut(2 * self.fourier.len());
        for (pair, &length) in rounds.chunks_exact_mut(2).zip(&self.fourier) {
            let [sine, cosine] = wave(&present, values.len(), f64::from(length));
            (pair[0], pair[1]) = (sine as f32, cosine as f32);
        }
        for (slot, &season) in seasons.iter_mut().zip(&self.seasons) {
            *slot = before(values, season) as f32;
        }
    }
}

/// The word of the settings.
fn word(statistic: SeriesStatistic) -> &'static str {
    match statistic {
        SeriesStatistic::Mean => "mean",
        SeriesStatistic::Std => "std",
        SeriesStatistic::Min => "min",
        SeriesStatistic::Max => "max",
        SeriesStatistic::Slope => "slope",
        SeriesStatistic::Last => "last",
        SeriesStatistic::LastDifference => "last_difference",
    }
}

fn mean(of: impl Iterator<Item = f64>, n: usize) -> f64 {
    of.sum::<f64>() / n as f64
}

fn figure(statistic: SeriesStatistic, values: &[f32], present: &[(f64, f64)]) -> f64 {
    let n = present.len();
    let numbers = || present.iter().map(|(_, x)| *x);
    match statistic {
        _ if n == 0 => f64::NAN,
        SeriesStatistic::Mean => mean(numbers(), n),
        SeriesStatistic::Std => {
            let middle = mean(numbers(), n);
            mean(numbers().map(|x| (x - middle).powi(2)), n).sqrt()
        }
        SeriesStatistic::Min => numbers().fold(f64::INFINITY, f64::min),
        SeriesStatistic::Max => numbers().fold(f64::NEG_INFINITY, f64::max),
        SeriesStatistic::Slope if n < 2 => f64::NAN,
        SeriesStatistic::Slope => {
            let (time, middle) = (mean(present.iter().map(|(i, _)| *i), n), mean(numbers(), n));
            let both: f64 = present.iter().map(|(i, x)| (i - time) * (x - middle)).sum();
            both / present.iter().map(|(i, _)| (i - time).powi(2)).sum::<f64>()
        }
        SeriesStatistic::Last => values.last().map_or(f64::NAN, |&x| f64::from(x)),
        SeriesStatistic::LastDifference => before(values, 1),
    }
}

/// The newest value less the one so many steps before; NaN where one of them is missing.
fn before(values: &[f32], steps: usize) -> f64 {
    let place = |back: usize| values.len().checked_sub(back + 1).map_or(f64::NAN, |at| f64::from(values[at]));
    place(0) - place(steps)
}

/// Sine and cosine of the wave of this length in the values less their mean; the newest value is at phase 0.
fn wave(present: &[(f64, f64)], steps: usize, length: f64) -> [f64; 2] {
    if present.is_empty() {
        return [f64::NAN; 2];
    }
    let n = present.len() as f64;
    let middle = mean(present.iter().map(|(_, x)| *x), present.len());
    let mut sums = [0.0; 2];
    for (i, x) in present {
        let angle = TAU * (i - (steps - 1) as f64) / length;
        sums[0] += (x - middle) * angle.sin();
        sums[1] += (x - middle) * angle.cos();
    }
    sums.map(|sum| 2.0 * sum / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_numpy() {
        use SeriesStatistic::*;
        let of = Statistics {
            statistics: vec![Mean, Std, Min, Max, Slope, Last, LastDifference],
            fourier: vec![4.0],
            seasons: vec![4, 9],
            alone: true,
        };
        let mut out = vec![0.0; of.width()];
        // numpy: mean, std, min, max, polyfit(t, x, 1)[0] of x = [1, 4, 2, -1, 3, 5] at t = [0, 1, 2, 4, 5, 7], of 8 steps.
        let nan = f32::NAN;
        of.write(&[1.0, 4.0, 2.0, nan, -1.0, 3.0, nan, 5.0], &mut out);
        let expected = [2.333_333_3, 1.972_026_6, -1.0, 5.0, 0.277_511_96, 5.0];
        for (found, expected) in out.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{out:?}");
        }
        // The value before the last is missing, the one four before is missing, nine steps are not there.
        assert!(out[6].is_nan() && out[9].is_nan() && out[10].is_nan(), "{out:?}");
        of.write(&[nan; 8], &mut out);
        assert!(out.iter().all(|x| x.is_nan()));
    }

    #[test]
    fn a_wave_is_found_at_its_length_alone() {
        let of = Statistics { statistics: vec![], fourier: vec![12.0, 6.0], seasons: vec![12], alone: true };
        let values: Vec<f32> = (0..24).map(|i| 7.0 + 3.0 * (TAU * f64::from(i - 23) / 12.0).sin() as f32).collect();
        let mut out = [0.0; 5];
        of.write(&values, &mut out);
        for (found, expected) in out.iter().zip([3.0, 0.0, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-5, "{out:?}");
        }
    }
}
