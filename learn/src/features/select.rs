//! Which features are of little use? By the training rows: those that hardly vary, that repeat another, that tell nothing of
//! the target.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::RecordBatch;

use super::values::short;
use super::{Encoded, Features, number};
use crate::spec::SelectSpec;
use crate::{Error, Result, Target, Task};

/// Most training rows that are looked at; evenly spread where there are more.
const ROWS_MAX: usize = 50_000;

/// Ranges that numbers are sorted into before they are counted.
const RANGES: usize = 16;

/// A feature and its place among the encoded ones.
struct Candidate {
    name: String,
    numbers: Range<usize>,
    code: Option<usize>,
}

/// Whether features are left out by what they are worth.
pub(super) fn is_asked(spec: &SelectSpec) -> bool {
    spec != &SelectSpec::default()
}

/// The features to leave out, with the reason.
pub(super) fn left_out(
    spec: &SelectSpec,
    features: &Features,
    target: &Target,
    train: &[RecordBatch],
) -> Result<Vec<(String, String)>> {
    check(spec)?;
    if !is_asked(spec) {
        return Ok(Vec::new());
    }
    let encoded = features.encode_training(target, train)?;
    let step = encoded.rows.div_ceil(ROWS_MAX).max(1);
    let picked: Vec<u32> = (0..encoded.rows as u32).step_by(step).collect();
    let rows = Rows { features, encoded: encoded.take(&picked) };
    let mut candidates = candidates(features);
    let mut left_out = Vec::new();
    let mut leave = |candidates: &mut Vec<Candidate>, why: &dyn Fn(&Candidate) -> Option<String>| {
        candidates.retain(|candidate| match why(candidate) {
            Some(reason) => {
                left_out.push((candidate.name.clone(), reason));
                false
            }
            None => true,
        });
    };
    if let Some(least) = spec.variance_min {
        leave(&mut candidates, &|candidate| {
            let found = rows.variance(candidate);
            (found < least).then(|| format!("its variance {} is below {least}", short(found)))
        });
    }
    if let Some(most) = spec.correlation_max {
        let repeats = rows.repeats(&candidates, most);
        leave(&mut candidates, &|candidate| repeats.get(&candidate.name).cloned());
    }
    if let Some(top) = spec.mutual_information_top {
        let truth = target.encode(train)?;
        let truth: Vec<f32> = picked.iter().map(|&row| truth[row as usize]).collect();
        let classes = match target.task {
            Task::Regression => ranges(&truth),
            Task::Binary | Task::Multiclass => truth.iter().map(|&class| class as u32).collect(),
        };
        let found: Vec<f64> = candidates.iter().map(|candidate| rows.information(candidate, &classes)).collect();
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|&a, &b| found[b].total_cmp(&found[a]));
        let reasons: HashMap<String, String> = order
            .iter()
            .skip(top)
            .map(|&at| {
                let reason = format!("its mutual information {} is not among the {top} highest", short(found[at]));
                (candidates[at].name.clone(), reason)
            })
            .collect();
        leave(&mut candidates, &|candidate| reasons.get(&candidate.name).cloned());
    }
    Ok(left_out)
}

fn check(spec: &SelectSpec) -> Result<()> {
    let wrong = |key: &str, given: String, expected: &str| {
        Err(Error::invalid(format!("features.select: {key} is {given}, expected {expected}")))
    };
    match *spec {
        SelectSpec { variance_min: Some(least), .. } if !(least >= 0.0 && least.is_finite()) => {
            wrong("variance_min", least.to_string(), "a number from 0 on")
        }
        SelectSpec { correlation_max: Some(most), .. } if !(most > 0.0 && most <= 1.0) => {
            wrong("correlation_max", most.to_string(), "a number above 0, 1 at most")
        }
        SelectSpec { mutual_information_top: Some(0), .. } => wrong("mutual_information_top", "0".into(), "1 at least"),
        _ => Ok(()),
    }
}

/// What is judged: all but pictures, texts, and series that are read step by step.
fn candidates(features: &Features) -> Vec<Candidate> {
    let (mut number, mut code) = (0, 0);
    let mut candidate = |name: &str, numbers: usize, has_code: bool| {
        let found =
            Candidate { name: name.to_owned(), numbers: number..number + numbers, code: has_code.then_some(code) };
        number += numbers;
        code += usize::from(has_code);
        found
    };
    let mut candidates = Vec::new();
    for column in &features.columns {
        let found = candidate(&column.name, column.numbers(), column.cardinality().is_some());
        if !column.is_sequence() {
            candidates.push(found);
        }
    }
    for combined in &features.combined {
        candidates.push(candidate(&combined.name, combined.numbers(), combined.cardinality().is_some()));
    }
    candidates.retain(|candidate| !candidate.numbers.is_empty() || candidate.code.is_some());
    candidates
}

/// The training rows that are looked at.
struct Rows<'a> {
    features: &'a Features,
    encoded: Encoded,
}

impl Rows<'_> {
    /// A column of numbers, missing ones as they are filled.
    fn filled(&self, place: usize) -> impl Iterator<Item = f64> + '_ {
        let impute = self.features.numeric.numbers[place].impute;
        self.raw(place).map(move |x| f64::from(if x.is_nan() { impute } else { x }))
    }

    fn raw(&self, place: usize) -> impl Iterator<Item = f32> + '_ {
        self.encoded.numbers.chunks_exact(self.features.numeric.numbers.len()).map(move |row| row[place])
    }

    fn codes(&self, place: usize) -> impl Iterator<Item = u32> + '_ {
        self.encoded.codes.chunks_exact(self.features.numeric.categories.len()).map(move |row| row[place] as u32)
    }

    fn variance(&self, candidate: &Candidate) -> f64 {
        let n = self.encoded.rows as f64;
        let of_number = |place: usize| {
            let mean = self.filled(place).sum::<f64>() / n;
            self.filled(place).map(|x| (x - mean).powi(2)).sum::<f64>() / n
        };
        let of_codes = |place: usize| {
            let shares = counts(self.codes(place)).into_values().map(|rows| f64::from(rows) / n);
            shares.map(|share| share * (1.0 - share)).fold(0.0, f64::max)
        };
        let numbers = candidate.numbers.clone().map(of_number).fold(0.0, f64::max);
        numbers.max(candidate.code.map_or(0.0, of_codes))
    }

    /// The single numbers that repeat one before them, with what to say of them.
    fn repeats(&self, candidates: &[Candidate], most: f64) -> HashMap<String, String> {
        let mut kept: Vec<(&str, Vec<f64>)> = Vec::new();
        let mut repeats = HashMap::new();
        for candidate in candidates.iter().filter(|candidate| candidate.numbers.len() == 1) {
            let values = standardised(self.filled(candidate.numbers.start).collect());
            let correlation = |other: &[f64]| values.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
            let found = kept.iter().map(|(name, other)| (*name, correlation(other)));
            match found.into_iter().find(|(_, correlation)| correlation.abs() > most) {
                Some((name, correlation)) => {
                    let correlation = short((correlation * 1e4).round() / 1e4);
                    let reason = format!("its correlation with \"{name}\" is {correlation}, above {most}");
                    repeats.insert(candidate.name.clone(), reason);
                }
                None => kept.push((&candidate.name, values)),
            }
        }
        repeats
    }

    /// Mutual information with the target in nats, less what chance alone would give (Miller 1955).
    fn information(&self, candidate: &Candidate, classes: &[u32]) -> f64 {
        let numbers = candidate.numbers.clone().map(|place| {
            let values: Vec<f32> = self.raw(place).collect();
            mutual_information(&ranges(&values), classes)
        });
        let codes = candidate.code.map(|place| mutual_information(&self.codes(place).collect::<Vec<_>>(), classes));
        numbers.chain(codes).fold(0.0, f64::max)
    }
}

/// Mean 0 and length 1; all 0 where nothing varies.
fn standardised(mut values: Vec<f64>) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter_mut().for_each(|x| *x -= mean);
    let length = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    values.iter_mut().for_each(|x| *x = if length > 0.0 { *x / length } else { 0.0 });
    values
}

/// The range of each value, by quantiles; one of its own for missing ones.
fn ranges(values: &[f32]) -> Vec<u32> {
    let mut present: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    present.sort_unstable_by(f32::total_cmp);
    let mut edges: Vec<f32> =
        (1..RANGES).map(|i| number::quantile_of_sorted(&present, i as f64 / RANGES as f64)).collect();
    edges.dedup();
    let range = |x: &f32| if x.is_nan() { 0 } else { 1 + edges.partition_point(|edge| edge <= x) as u32 };
    values.iter().map(range).collect()
}

fn counts<K: std::hash::Hash + Eq>(values: impl Iterator<Item = K>) -> HashMap<K, u32> {
    let mut counts = HashMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts
}

fn mutual_information(x: &[u32], y: &[u32]) -> f64 {
    let n = x.len().max(1) as f64;
    let (of_x, of_y) = (counts(x.iter()), counts(y.iter()));
    let mut both: Vec<((&u32, &u32), u32)> = counts(x.iter().zip(y)).into_iter().collect();
    // A sum of floats depends on its order, that of a map on chance.
    both.sort_unstable();
    let term = |((x, y), rows): &((&u32, &u32), u32)| {
        let (rows, alone) = (f64::from(*rows), f64::from(of_x[x]) * f64::from(of_y[y]));
        rows / n * (rows * n / alone).ln()
    };
    let chance = (of_x.len() as f64 - 1.0) * (of_y.len() as f64 - 1.0) / (2.0 * n);
    (both.iter().map(term).sum::<f64>() - chance).max(0.0)
}

/// The error of a selection that left nothing.
pub(super) fn nothing_left(reasons: &[(String, String)]) -> Error {
    let shown: Vec<String> = reasons.iter().take(10).map(|(name, why)| format!("\"{name}\": {why}")).collect();
    Error::invalid(format!("features.select leaves nothing to learn from ({})", shown.join("; ")))
}
