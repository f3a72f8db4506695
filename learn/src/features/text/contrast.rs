//! Which terms tell two classes apart?

use super::terms::Terms;
use super::{EXPECTED, Training};
use crate::features::column::Vocabulary;
use crate::features::values::each_text;
use crate::spec::TaskSpec;
use crate::{Error, Result, Target};

/// For each term 1 and the absolute logarithm of the ratio of its shares in the two classes of the target, as if each class had
/// one more text with every term. Wang and Manning 2012 (section 2) take the logarithm alone; with the 1, as in the inverse
/// document frequency, terms that both classes have count too: on Chinese reviews, five folds, 0.9035 right for 0.9003, and
/// 0.8968 without contrast.
pub(super) fn of_classes(training: &Training<'_>, of: Terms<'_>, terms: &Vocabulary) -> Result<Vec<f32>> {
    let batches = training.batches();
    let target = Target::fit(TaskSpec::Classification, &training.target.column, &batches).ok();
    let target = target.filter(|target| target.labels.len() == 2).ok_or_else(|| refused(training))?;
    let mut classes = target.encode(&batches)?.into_iter();
    let mut counts = [vec![1u64; terms.values().len()], vec![1u64; terms.values().len()]];
    let mut codes = Vec::new();
    training.each(EXPECTED, |array| {
        each_text(array, &mut |_, text| {
            let (Some(class), Some(text)) = (classes.next(), text) else { return };
            codes.clear();
            of.each(text, &mut |term, _| {
                codes.extend(terms.find(term).map(|code| (code - Vocabulary::FIRST) as usize));
            });
            codes.sort_unstable();
            codes.dedup();
            codes.iter().for_each(|code| counts[class as usize][*code] += 1);
        })
    })?;
    let sums = counts.each_ref().map(|counts| counts.iter().sum::<u64>() as f64);
    let ratio = |(first, second): (&u64, &u64)| (*first as f64 / sums[0]) / (*second as f64 / sums[1]);
    Ok(counts[0].iter().zip(&counts[1]).map(|pair| (1.0 + ratio(pair).ln().abs()) as f32).collect())
}

fn refused(training: &Training<'_>) -> Error {
    Error::invalid(format!(
        "column \"{}\": class_contrast needs a target of two classes, and \"{}\" has not two; leave it out",
        training.name, training.target.column
    ))
}
