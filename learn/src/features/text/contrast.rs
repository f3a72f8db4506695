//! Which terms tell two classes apart?

use super::terms::Terms;
use super::{EXPECTED, Training};
use crate::error::did_you_mean;
use crate::features::column::Vocabulary;
use crate::features::values::{complaint, each_text};
use crate::{Error, Result};

/// For each term 1 and the absolute logarithm of the ratio of its shares in the two classes of the target, as if each class had
/// one more text with every term. Wang and Manning 2012 (section 2) take the logarithm alone; with the 1, as in the inverse
/// document frequency, terms that both classes have count too: on Chinese reviews, five folds, 0.9035 right for 0.9003, and
/// 0.8968 without contrast.
pub(super) fn of_classes(training: &Training<'_>, of: Terms<'_>, terms: &Vocabulary) -> Result<Vec<f32>> {
    let mut counts = [vec![1u64; terms.values().len()], vec![1u64; terms.values().len()]];
    let mut classes: Vec<String> = Vec::new();
    let mut codes = Vec::new();
    let mut before = 0;
    for (array, batch) in &training.arrays {
        let target = batch.column_by_name(training.target).ok_or_else(|| {
            let known = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
            Error::NotFound(format!("no target column \"{}\"{}", training.target, did_you_mean(training.target, known)))
        })?;
        let mut rows = Vec::with_capacity(batch.num_rows());
        let read = each_text(target, &mut |_, label| rows.push(class(&mut classes, label)));
        if read.is_err() || classes.len() > 2 {
            return Err(refused(training));
        }
        each_text(*array, &mut |row, text| {
            let (Some(text), Some(class)) = (text, rows[row]) else { return };
            codes.clear();
            of.each(text, &mut |term, _| {
                codes.extend(terms.find(term).map(|code| (code - Vocabulary::FIRST) as usize))
            });
            codes.sort_unstable();
            codes.dedup();
            codes.iter().for_each(|code| counts[class][*code] += 1);
        })
        .map_err(|mismatch| complaint(training.name, *array, before, mismatch, EXPECTED))?;
        before += array.len();
    }
    if classes.len() < 2 {
        return Err(refused(training));
    }
    let sums = counts.each_ref().map(|counts| counts.iter().sum::<u64>() as f64);
    let ratio = |(first, second): (&u64, &u64)| (*first as f64 / sums[0]) / (*second as f64 / sums[1]);
    Ok(counts[0].iter().zip(&counts[1]).map(|pair| (1.0 + ratio(pair).ln().abs()) as f32).collect())
}

/// The number of a label, of the first three.
fn class(classes: &mut Vec<String>, label: Option<&str>) -> Option<usize> {
    let label = label.map(str::trim).filter(|label| !label.is_empty())?;
    let found = classes.iter().position(|known| known == label);
    found.or_else(|| {
        if classes.len() < 3 {
            classes.push(label.to_owned());
        }
        Some(classes.len() - 1).filter(|class| *class < 2)
    })
}

fn refused(training: &Training<'_>) -> Error {
    Error::invalid(format!(
        "column \"{}\": class_contrast needs a target of two classes, and \"{}\" has not two; leave it out",
        training.name, training.target
    ))
}
