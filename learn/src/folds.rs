//! Which rows judge which model in cross-validation?

use arrow::array::RecordBatch;

use crate::random::permutation;
use crate::spec::{CrossValidationSpec, FoldsBy};
use crate::split::{by_fraction, classes, cut, times};
use crate::{Error, Result, Split, Task};

/// Stream of the seed that shuffles rows and groups before they are dealt out.
const SHUFFLE_STREAM: u64 = 0x666f_6c64_7300;
/// Share of a fold's training rows that chooses the best epoch.
const CHOOSING: f64 = 0.1;
/// Folds at most.
const FOLDS_MAX: usize = 100;

/// The folds of the rows of `batches`, which hold no test rows: of each, `test` are the rows that are judged, `train` and
/// `validation` those that a model learns from and chooses its best epoch by. Every row is judged once, but for folds by
/// time, where the oldest rows are only learned from and nothing is learned from rows as new as the judged ones.
///
/// The same seed gives the same folds.
///
/// # Errors
/// Fewer rows, groups or different times than folds; a column that is missing or cannot be ordered.
pub fn folds(
    spec: &CrossValidationSpec,
    target: &str,
    task: Task,
    batches: &[RecordBatch],
    seed: u64,
) -> Result<Vec<Split>> {
    let k = spec.folds;
    if !(2..=FOLDS_MAX).contains(&k) {
        return Err(Error::invalid(format!("cross_validation.folds is {k}, expected 2 to {FOLDS_MAX}")));
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let folds = match &spec.by {
        FoldsBy::Random => dealt(&vec![0; rows], k, false, seed)?,
        FoldsBy::Stratified if task == Task::Regression => dealt(&vec![0; rows], k, false, seed)?,
        FoldsBy::Stratified => dealt(&classes(target, batches)?, k, true, seed)?,
        FoldsBy::Group(by) => grouped(&by.column, &classes(&by.column, batches)?, k, seed)?,
        FoldsBy::Time(by) => ordered(&by.column, &times(&by.column, batches)?, k)?,
    };
    let whole = |fold: &Split| !fold.train.is_empty() && !fold.validation.is_empty() && !fold.test.is_empty();
    match folds.iter().all(whole) {
        true => Ok(folds),
        false => Err(too_few(&format!("{rows} rows"), k)),
    }
}

fn too_few(what: &str, k: usize) -> Error {
    Error::invalid(format!("cross-validation: {what} cannot fill {k} folds; lower evaluate.cross_validation.folds"))
}

/// Rows in random order, dealt out class by class like cards.
fn dealt(classes: &[u32], k: usize, stratify: bool, seed: u64) -> Result<Vec<Split>> {
    let mut members = vec![Vec::new(); classes.iter().max().map_or(0, |&class| class as usize + 1)];
    for row in permutation(seed, SHUFFLE_STREAM, classes.len() as u32) {
        members[classes[row as usize] as usize].push(row);
    }
    let mut fold_of = vec![0; classes.len()];
    for (place, row) in members.into_iter().flatten().enumerate() {
        fold_of[row as usize] = place % k;
    }
    let chosen = |rest: &[u32], fold: usize| {
        let classes: Vec<u32> = rest.iter().map(|&row| classes[row as usize]).collect();
        let parts = by_fraction(&classes, [CHOOSING, 0.0], stratify, seed.wrapping_add(fold as u64))?;
        Ok(parts.validation.iter().map(|&place| rest[place as usize]).collect())
    };
    judged_in_turn(&fold_of, k, &chosen)
}

/// Whole groups, the largest first, each to the fold with the fewest rows.
fn grouped(column: &str, groups: &[u32], k: usize, seed: u64) -> Result<Vec<Split>> {
    let mut sizes = vec![0_usize; groups.iter().max().map_or(0, |&group| group as usize + 1)];
    groups.iter().for_each(|&group| sizes[group as usize] += 1);
    // One more than folds: each fold has to leave a group to learn from and one to choose by.
    if sizes.len() <= k.max(2) {
        return Err(too_few(&format!("the {} groups of column \"{column}\"", sizes.len()), k));
    }
    let shuffled = permutation(seed, SHUFFLE_STREAM, sizes.len() as u32);
    let mut order: Vec<usize> = shuffled.iter().map(|&group| group as usize).collect();
    order.sort_by_key(|&group| std::cmp::Reverse(sizes[group])); // keeps the shuffled order among equals
    let (mut fold_of_group, mut filled) = (vec![0; sizes.len()], vec![0; k]);
    for group in order {
        let fold = (0..k).min_by_key(|&fold| filled[fold]).unwrap_or_default();
        fold_of_group[group] = fold;
        filled[fold] += sizes[group];
    }
    let fold_of: Vec<usize> = groups.iter().map(|&group| fold_of_group[group as usize]).collect();
    let chosen = |rest: &[u32], fold: usize| {
        let wanted = (rest.len() as f64 * CHOOSING).round().max(1.0) as usize;
        let mut left = shuffled.iter().map(|&group| group as usize).filter(|&group| fold_of_group[group] != fold);
        let (mut taken, mut count) = (vec![false; sizes.len()], 0);
        while let Some(group) = left.next().filter(|_| count < wanted) {
            taken[group] = true;
            count += sizes[group];
        }
        Ok(rest.iter().copied().filter(|&row| taken[groups[row as usize] as usize]).collect())
    };
    judged_in_turn(&fold_of, k, &chosen)
}

/// Rows that choose the best epoch, of the rows that are not in this fold.
type Chosen<'a> = &'a dyn Fn(&[u32], usize) -> Result<Vec<u32>>;

fn judged_in_turn(fold_of: &[usize], k: usize, chosen: Chosen) -> Result<Vec<Split>> {
    let of = |fold: usize| {
        let (test, rest): (Vec<u32>, Vec<u32>) =
            (0..fold_of.len() as u32).partition(|&row| fold_of[row as usize] == fold);
        if rest.len() < 2 {
            return Ok(Split::default());
        }
        let validation = chosen(&rest, fold)?;
        let train = rest.into_iter().filter(|row| validation.binary_search(row).is_err()).collect();
        Ok(Split { train, validation, test })
    };
    (0..k).map(of).collect()
}

/// Blocks of time, one more than folds: the first is only learned from. Rows of the same time stay together.
fn ordered(column: &str, times: &[f64], k: usize) -> Result<Vec<Split>> {
    let n = times.len();
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_by(|&a, &b| times[a as usize].total_cmp(&times[b as usize]));
    let sorted: Vec<f64> = order.iter().map(|&row| times[row as usize]).collect();
    let distinct = if n == 0 { 0 } else { 1 + sorted.windows(2).filter(|pair| pair[0] != pair[1]).count() };
    let refuse = || too_few(&format!("the {distinct} different times of column \"{column}\""), k);
    if n < k + 2 {
        return Err(refuse());
    }
    let cuts: Vec<usize> = (1..=k).map(|block| cut(&sorted, n * block / (k + 1))).chain([n]).collect();
    if cuts.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(refuse());
    }
    let rows = |from: usize, to: usize| {
        let mut rows = order[from..to].to_vec();
        rows.sort_unstable();
        rows
    };
    let fold = |(&begin, &end): (&usize, &usize)| {
        if begin < 2 {
            return Err(refuse());
        }
        let newest = ((begin as f64 * CHOOSING).round() as usize).max(1);
        let middle = cut(&sorted[..begin], begin - newest);
        // All of one time: there is no older and newer to tell apart.
        let middle = if middle >= begin { begin - newest } else { middle };
        Ok(Split { train: rows(0, middle), validation: rows(middle, begin), test: rows(begin, end) })
    };
    cuts.iter().zip(&cuts[1..]).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::spec::FoldColumn;

    fn rows(labels: &[String], times: &[i64]) -> RecordBatch {
        let labels: ArrayRef = Arc::new(StringArray::from(labels.to_vec()));
        let times: ArrayRef = Arc::new(Int64Array::from(times.to_vec()));
        RecordBatch::try_from_iter([("label", labels), ("time", times)]).unwrap()
    }

    /// 103 rows of 3 classes that are not equally frequent, 26 times in no order.
    fn example() -> (Vec<String>, Vec<i64>, RecordBatch) {
        let labels: Vec<String> = (0..103).map(|n| format!("c{}", [0, 0, 0, 1, 1, 2][n % 6])).collect();
        let times: Vec<i64> = (0..103).map(|n| (n * 37 % 103) / 4).collect();
        let batch = rows(&labels, &times);
        (labels, times, batch)
    }

    fn divide(by: FoldsBy, k: usize, seed: u64) -> Vec<Split> {
        let (_, _, batch) = example();
        let parts = [batch.slice(0, 40), batch.slice(40, 63)];
        folds(&CrossValidationSpec { folds: k, by }, "label", Task::Multiclass, &parts, seed).unwrap()
    }

    fn by(column: &str) -> FoldColumn {
        FoldColumn { column: column.into() }
    }

    /// Every part is ascending, no row is in two parts of a fold.
    fn check_apart(folds: &[Split]) {
        for fold in folds {
            let mut all = [&fold.train[..], &fold.validation, &fold.test].concat();
            assert!(
                [&fold.train, &fold.validation, &fold.test].iter().all(|part| part.is_sorted() && !part.is_empty())
            );
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }

    #[test]
    fn every_row_is_judged_once_and_the_rest_is_learned_from() {
        for by in [FoldsBy::Random, FoldsBy::Stratified, FoldsBy::Group(by("time"))] {
            for k in [2, 3, 5, 10] {
                let folds = divide(by.clone(), k, 7);
                check_apart(&folds);
                let mut judged: Vec<u32> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
                judged.sort_unstable();
                assert_eq!(judged, (0..103).collect::<Vec<_>>(), "{by:?} {k}");
                for fold in &folds {
                    assert_eq!(fold.train.len() + fold.validation.len() + fold.test.len(), 103, "{by:?} {k}");
                    assert!((fold.test.len() as f64 - 103.0 / k as f64).abs() <= 4.0, "{by:?} {k}");
                    let share = fold.validation.len() as f64 / (103 - fold.test.len()) as f64;
                    assert!((0.05..0.2).contains(&share), "{by:?} {k}: {share}");
                }
            }
            assert_eq!(divide(by.clone(), 5, 7), divide(by.clone(), 5, 7));
            assert_ne!(divide(by.clone(), 5, 7), divide(by.clone(), 5, 8));
        }
    }

    #[test]
    fn classes_have_the_same_share_in_every_fold() {
        let (labels, _, _) = example();
        for fold in divide(FoldsBy::Stratified, 5, 1) {
            for (class, all) in [("c0", 52.0), ("c1", 34.0), ("c2", 17.0)] {
                let count = |part: &[u32]| part.iter().filter(|&&row| labels[row as usize] == class).count() as f64;
                assert!((count(&fold.test) - all / 5.0).abs() <= 1.0, "{class}: {}", count(&fold.test));
                assert!(count(&fold.validation) >= 1.0);
            }
        }
    }

    #[test]
    fn groups_are_never_shared() {
        let (_, times, _) = example();
        for fold in divide(FoldsBy::Group(by("time")), 5, 1) {
            let groups =
                |part: &[u32]| part.iter().map(|&row| times[row as usize]).collect::<std::collections::BTreeSet<_>>();
            let parts = [groups(&fold.train), groups(&fold.validation), groups(&fold.test)];
            assert!(
                parts[0].is_disjoint(&parts[1]) && parts[0].is_disjoint(&parts[2]) && parts[1].is_disjoint(&parts[2])
            );
        }
    }

    #[test]
    fn nothing_is_learned_from_the_future() {
        let (_, times, _) = example();
        let folds = divide(FoldsBy::Time(by("time")), 5, 1);
        check_apart(&folds);
        let ends = |part: &[u32]| {
            let of = || part.iter().map(|&row| times[row as usize]);
            (of().min().unwrap(), of().max().unwrap())
        };
        for fold in &folds {
            assert!(ends(&fold.train).1 < ends(&fold.validation).0, "{fold:?}");
            assert!(ends(&fold.validation).1 < ends(&fold.test).0, "{fold:?}");
        }
        for pair in folds.windows(2) {
            assert!(ends(&pair[0].test).1 < ends(&pair[1].test).0);
            assert!(pair[1].train.len() > pair[0].train.len());
        }
        assert_eq!(ends(&folds[4].test).1, 25);
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let check = |by: FoldsBy, k: usize, n: usize, expected: &str| {
            let labels: Vec<String> = (0..n).map(|n| format!("c{}", n % 2)).collect();
            let batch = rows(&labels, &vec![7; n]);
            let spec = CrossValidationSpec { folds: k, by };
            let message = folds(&spec, "label", Task::Binary, &[batch], 1).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(FoldsBy::Random, 1, 10, "folds is 1, expected 2 to 100");
        check(FoldsBy::Random, 5, 3, "3 rows cannot fill 5 folds");
        check(FoldsBy::Group(by("label")), 2, 10, "the 2 groups of column \"label\" cannot fill 2 folds");
        check(FoldsBy::Time(by("time")), 2, 10, "the 1 different times of column \"time\" cannot fill 2 folds");
        check(FoldsBy::Time(by("times")), 2, 10, "did you mean \"time\"?");
    }
}
