//! Which rows train, which choose, which judge?

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rayon::prelude::*;

use crate::error::did_you_mean;
use crate::features::values::{
    Mismatch, complaint, counted, each_date, each_number, each_text, is_date, is_number, sort_values,
};
use crate::hash::QuickMap;
use crate::random::permutation;
use crate::spec::{ColumnSplit, SplitSpec, TablesSplit, TimeSplit};
use crate::{Error, Result, Task};

/// Stream of the seed that shuffles the rows before they are divided.
const SHUFFLE_STREAM: u64 = 0x7370_6c69_7400;

/// Stream of the seed that shuffles groups before they are divided.
const GROUP_STREAM: u64 = 0x6772_6f75_7000;

/// Values of the split column that an error names.
const NAMED_MAX: usize = 5;

/// Wrong values of the split column that are kept for the error.
const OTHERS_MAX: usize = 1_000;

/// Row numbers of each part, ascending; they count through all batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows the weights are fitted on.
    pub train: Vec<u32>,
    /// Rows that choose the best epoch.
    pub validation: Vec<u32>,
    /// Rows that judge.
    pub test: Vec<u32>,
}

/// Divides the rows of `batches`. A test fraction of 0 leaves `test` empty. For `tables`, `test` stays empty, and `validation` too where it has its own table.
///
/// By fraction, the same seed gives the same parts. Stratified, every class of at least four rows is in every part, a
/// class of three in training and test; the sizes of the parts are the rounded fractions wherever that allows.
///
/// # Errors
/// A part without rows, rows that belong to no part, a column that is missing or cannot be ordered.
pub fn split(spec: &SplitSpec, target: &str, task: Task, batches: &[RecordBatch], seed: u64) -> Result<Split> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let Ok(rows) = u32::try_from(rows) else {
        return Err(Error::Unsupported(format!("{rows} rows are more than a model can learn from at once (2^32)")));
    };
    let divide = |validation, test, stratify| {
        let classes = match stratify && task != Task::Regression {
            true => classes(target, batches)?,
            false => vec![0; rows as usize],
        };
        by_fraction(&classes, [validation, test], stratify && task != Task::Regression, seed)
    };
    match spec {
        SplitSpec::Fraction(spec) => {
            // No test rows where they come from a table of their own.
            match spec.test == 0.0 {
                true => check_fraction("validation", spec.validation)?,
                false => check_fractions(spec.validation, spec.test)?,
            }
            divide(spec.validation, spec.test, spec.stratify)
        }
        SplitSpec::Tables(spec) if spec.validation.is_none() => {
            check_fraction("validation_fraction", spec.validation_fraction)?;
            match spec {
                TablesSplit { group: Some(group), .. } => {
                    by_group(group, [spec.validation_fraction, 0.0], batches, seed)
                }
                _ => divide(spec.validation_fraction, 0.0, spec.stratify),
            }
        }
        SplitSpec::Tables(_) if rows == 0 => Err(too_few(0, 1)),
        SplitSpec::Tables(_) => Ok(Split { train: (0..rows).collect(), ..Split::default() }),
        SplitSpec::Column(spec) => by_column(spec, batches),
        SplitSpec::Time(spec) => {
            check_fractions(spec.validation, spec.test)?;
            by_time(spec, batches)
        }
        SplitSpec::Group(spec) => {
            check_fractions(spec.validation, spec.test)?;
            by_group(&spec.column, [spec.validation, spec.test], batches, seed)
        }
    }
}

fn check_fraction(name: &str, fraction: f64) -> Result<()> {
    match fraction > 0.0 && fraction < 1.0 {
        true => Ok(()),
        false => Err(Error::invalid(format!("split: {name} is {fraction}, expected above 0 and below 1"))),
    }
}

fn check_fractions(validation: f64, test: f64) -> Result<()> {
    check_fraction("validation", validation)?;
    check_fraction("test", test)?;
    match validation + test < 1.0 {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "split: validation {validation} and test {test} leave no rows for training; together they have to be below 1"
        ))),
    }
}

fn too_few(rows: usize, needed: usize) -> Error {
    Error::invalid(format!("split: the table has {rows} rows, at least {needed} are needed to fill every part"))
}

/// The class of each row, numbered as they come; a row without a value is of a class of its own.
pub(crate) fn classes(target: &str, batches: &[RecordBatch]) -> Result<Vec<u32>> {
    let starts = batches.iter().scan(0, |before, batch| Some(std::mem::replace(before, *before + batch.num_rows())));
    let starts: Vec<usize> = starts.collect();
    let found: Vec<_> =
        batches.par_iter().zip(starts).map(|(batch, before)| classes_of_batch(target, batch, before)).collect();
    let mut known: QuickMap<String, u32> = QuickMap::default();
    let mut classes = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for found in found {
        let (labels, rows) = found?;
        let number = |label| {
            let next = known.len() as u32;
            *known.entry(label).or_insert(next)
        };
        let numbers: Vec<u32> = labels.into_iter().map(number).collect();
        classes.extend(rows.into_iter().map(|class| numbers[class as usize]));
    }
    Ok(classes)
}

/// The labels of a batch as they come, and which of them each row has.
fn classes_of_batch(target: &str, batch: &RecordBatch, before: usize) -> Result<(Vec<String>, Vec<u32>)> {
    let array = column(batch, target, "target")?;
    let mut known: QuickMap<String, u32> = QuickMap::default();
    let (mut labels, mut rows) = (Vec::new(), Vec::with_capacity(batch.num_rows()));
    each_text(array, &mut |_, label| {
        let label = label.map(str::trim).unwrap_or_default();
        let class = known.get(label).copied().unwrap_or_else(|| {
            let next = labels.len() as u32;
            labels.push(label.to_owned());
            known.insert(label.to_owned(), next);
            next
        });
        rows.push(class);
    })
    .map_err(|mismatch| complaint(target, array, before, mismatch, "classes"))?;
    Ok((labels, rows))
}

pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str, what: &str) -> Result<&'a dyn Array> {
    batch.column_by_name(name).map(AsRef::as_ref).ok_or_else(|| {
        let hint = did_you_mean(name, batch.schema_ref().fields().iter().map(|field| field.name().as_str()));
        Error::NotFound(format!("no {what} column \"{name}\" in the table{hint}"))
    })
}

/// At random: test rows first, then validation, the rest trains.
pub(crate) fn by_fraction(classes: &[u32], [validation, test]: [f64; 2], stratify: bool, seed: u64) -> Result<Split> {
    let mut counts = vec![0_usize; classes.iter().max().map_or(0, |&class| class as usize + 1)];
    classes.iter().for_each(|&class| counts[class as usize] += 1);
    let mut members: Vec<Vec<u32>> = counts.iter().map(|&count| Vec::with_capacity(count)).collect();
    for row in permutation(seed, SHUFFLE_STREAM, classes.len() as u32) {
        members[classes[row as usize] as usize].push(row);
    }
    // A class that trains on one row cannot be told from a slip.
    let kept = if stratify { 2 } else { 1 };
    let room: Vec<usize> = counts.iter().map(|count| count.saturating_sub(kept)).collect();
    let test_seats = seats(&counts, &room, test);
    let room: Vec<usize> = room.iter().zip(&test_seats).map(|(room, taken)| room - taken).collect();
    let validation_seats = seats(&counts, &room, validation);
    let mut parts = vec![0_u8; classes.len()];
    for ((rows, test), validation) in members.into_iter().zip(test_seats).zip(validation_seats) {
        rows[..test].iter().for_each(|&row| parts[row as usize] = 2);
        rows[test..test + validation].iter().for_each(|&row| parts[row as usize] = 1);
    }
    let rows = |wanted: u8| (0..parts.len() as u32).filter(|&row| parts[row as usize] == wanted).collect();
    let split = Split { train: rows(0), validation: rows(1), test: rows(2) };
    let needed = if test > 0.0 { 2 + kept } else { 1 + kept };
    if split.train.is_empty() || split.validation.is_empty() || (test > 0.0 && split.test.is_empty()) {
        return Err(too_few(classes.len(), needed));
    }
    Ok(split)
}

/// Rows that each class gives to a part: its share, at least one where there is room; largest remainders (Hamilton's
/// method) bring the sum to the rounded fraction of all rows.
fn seats(counts: &[usize], room: &[usize], fraction: f64) -> Vec<usize> {
    if fraction <= 0.0 {
        return vec![0; counts.len()];
    }
    let quota = |class: usize| counts[class] as f64 * fraction;
    let total = (counts.iter().sum::<usize>() as f64 * fraction).round().max(1.0) as usize;
    let mut seats: Vec<usize> =
        (0..counts.len()).map(|class| (quota(class) as usize).max(1).min(room[class])).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    loop {
        let sum: usize = seats.iter().sum();
        let (more, less) = (total.saturating_sub(sum), sum.saturating_sub(total));
        let owed = |class: &usize| quota(*class) - seats[*class] as f64;
        order.sort_by(|a, b| owed(b).total_cmp(&owed(a)).then(a.cmp(b)));
        let gain: Vec<usize> = order.iter().copied().filter(|&class| seats[class] < room[class]).take(more).collect();
        // Who has most above its share, and more than one row, gives one back.
        let spare = |class: &usize| seats[*class] > 1;
        let give: Vec<usize> = order.iter().rev().copied().filter(spare).take(less).collect();
        if gain.is_empty() && give.is_empty() {
            return seats;
        }
        gain.into_iter().for_each(|class| seats[class] += 1);
        give.into_iter().for_each(|class| seats[class] -= 1);
    }
}

/// Whole groups in an order by the seed: test first, then validation, the rest trains. The order of the rows does not
/// matter.
fn by_group(name: &str, [validation, test]: [f64; 2], batches: &[RecordBatch], seed: u64) -> Result<Split> {
    let groups = groups(name, batches)?;
    let rows: usize = groups.iter().map(Vec::len).sum();
    let needed = if test > 0.0 { 3 } else { 2 };
    if groups.len() < needed {
        return Err(Error::invalid(format!(
            "split: column \"{name}\" names {}, at least {needed} are needed to fill every part",
            counted(groups.len() as u64, "group")
        )));
    }
    let mut order = permutation(seed, GROUP_STREAM, groups.len() as u32).into_iter().peekable();
    let mut left = groups.len();
    // To the nearer side of the share; at least one group, and one for each part that comes after.
    let mut part = |fraction: f64, after: usize| {
        let (mut taken, share) = (Vec::new(), rows as f64 * fraction);
        while let Some(&group) = order.peek().filter(|_| left > after) {
            let next = &groups[group as usize];
            if !taken.is_empty() && taken.len() as f64 + next.len() as f64 / 2.0 > share {
                break;
            }
            taken.extend_from_slice(next);
            left -= 1;
            order.next();
        }
        taken.sort_unstable();
        taken
    };
    let test = if test > 0.0 { part(test, 2) } else { Vec::new() };
    let validation = part(validation, 1);
    let mut train: Vec<u32> = order.flat_map(|group| groups[group as usize].iter().copied()).collect();
    train.sort_unstable();
    Ok(Split { train, validation, test })
}

/// The rows of each group, the groups in the order of their names.
fn groups(name: &str, batches: &[RecordBatch]) -> Result<Vec<Vec<u32>>> {
    let mut groups: QuickMap<String, Vec<u32>> = QuickMap::default();
    let (mut before, mut missing) = (0, None);
    for batch in batches {
        let array = column(batch, name, "group")?;
        each_text(array, &mut |row, value| {
            let row = before + row as u32;
            match value {
                None => drop(missing.get_or_insert(row)),
                Some(value) => match groups.get_mut(value) {
                    Some(rows) => rows.push(row),
                    None => drop(groups.insert(value.to_owned(), vec![row])),
                },
            }
        })
        .map_err(|mismatch| complaint(name, array, before as usize, mismatch, "the name of a group"))?;
        before += batch.num_rows() as u32;
    }
    if let Some(row) = missing {
        return Err(Error::invalid(format!(
            "split: column \"{name}\" names no group in row {}; leave such rows out in the table's SQL: WHERE \"{name}\" \
             IS NOT NULL",
            row + 1
        )));
    }
    let mut named: Vec<(String, Vec<u32>)> = groups.into_iter().collect();
    named.sort_unstable();
    Ok(named.into_iter().map(|(_, rows)| rows).collect())
}

/// By the values of a column.
fn by_column(spec: &ColumnSplit, batches: &[RecordBatch]) -> Result<Split> {
    let names = [spec.train.trim(), spec.validation.trim(), spec.test.trim()];
    if let Some(twice) = (1..3).find(|&part| names[..part].contains(&names[part])) {
        return Err(Error::invalid(format!("split: two parts are named by the same value \"{}\"", names[twice])));
    }
    let mut parts: [Vec<u32>; 3] = Default::default();
    // Values that name no part: how many rows, and the first of them.
    let mut others: BTreeMap<String, (u64, u32)> = BTreeMap::new();
    let mut before = 0;
    for batch in batches {
        let array = column(batch, &spec.column, "split")?;
        each_text(array, &mut |row, value| {
            let (row, value) = (before + row as u32, value.map(str::trim).unwrap_or_default());
            let room = others.len() < OTHERS_MAX;
            match names.iter().position(|name| *name == value) {
                Some(part) => parts[part].push(row),
                None => match others.get_mut(value) {
                    Some((count, _)) => *count += 1,
                    None if room => drop(others.insert(value.to_owned(), (1, row))),
                    None => {}
                },
            }
        })
        .map_err(|mismatch| complaint(&spec.column, array, before as usize, mismatch, "the name of a part"))?;
        before += batch.num_rows() as u32;
    }
    if let Some(empty) = parts.iter().position(Vec::is_empty) {
        let filled = (0..3).filter(|&part| !parts[part].is_empty()).map(|part| names[part].to_owned());
        let values: Vec<String> = others.into_keys().filter(|value| !value.is_empty()).chain(filled).collect();
        return Err(without_rows(&spec.column, names[empty], ["training", "validation", "test"][empty], values));
    }
    if let Some((value, (count, row))) = others.first_key_value() {
        let value = if value.is_empty() { "no value".to_owned() } else { format!("\"{value}\"") };
        return Err(Error::invalid(format!(
            "split: column \"{}\" has {value} in {} (the first is row {}), which names no part; expected \"{}\", \"{}\" \
             or \"{}\", or leave them out in the table's SQL",
            spec.column,
            counted(*count, "row"),
            row + 1,
            names[0],
            names[1],
            names[2],
        )));
    }
    let [train, validation, test] = parts;
    Ok(Split { train, validation, test })
}

fn without_rows(column: &str, name: &str, part: &str, mut values: Vec<String>) -> Error {
    sort_values(&mut values);
    let shown: Vec<String> = values.iter().take(NAMED_MAX).map(|value| format!("\"{value}\"")).collect();
    Error::invalid(format!(
        "split: no row of column \"{column}\" is \"{name}\", which names the {part} rows; its values are {}{}{}",
        if shown.is_empty() { "all missing".into() } else { shown.join(", ") },
        if values.len() > NAMED_MAX { ", ..." } else { "" },
        did_you_mean(name, values.iter().map(String::as_str)),
    ))
}

/// The newest rows are kept for validation and test; rows of the same time stay together.
fn by_time(spec: &TimeSplit, batches: &[RecordBatch]) -> Result<Split> {
    let times = times(&spec.column, batches)?;
    let n = times.len();
    if n < 3 {
        return Err(too_few(n, 3));
    }
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_by(|&a, &b| times[a as usize].total_cmp(&times[b as usize]));
    let ordered: Vec<f64> = order.iter().map(|&row| times[row as usize]).collect();
    let part = |fraction: f64| ((n as f64 * fraction).round() as usize).max(1);
    let cut = |place: usize| cut(&ordered, place);
    let test = cut(n - part(spec.test));
    let validation = cut(test.saturating_sub(part(spec.validation)));
    if validation == 0 || validation >= test || test >= n {
        let distinct = 1 + ordered.windows(2).filter(|pair| pair[0] != pair[1]).count();
        return Err(Error::invalid(format!(
            "split: column \"{}\" cannot fill training, validation and test: its {n} rows have {distinct} different times, \
             and rows of the same time stay together",
            spec.column
        )));
    }
    let sorted = |rows: &[u32]| {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows
    };
    Ok(Split {
        train: sorted(&order[..validation]),
        validation: sorted(&order[validation..test]),
        test: sorted(&order[test..]),
    })
}

/// Where rows in order can be cut near a place: at the nearer end of a run of equal times; at the earlier one where both
/// are as near. At the end of all rows where there is but one time.
pub(crate) fn cut(times: &[f64], place: usize) -> usize {
    let n = times.len();
    let place = place.clamp(1, n - 1);
    let first = (0..place).rev().take_while(|&p| times[p] == times[place]).last().unwrap_or(place);
    let last = (place..n).find(|&p| times[p] != times[first]).unwrap_or(n);
    match first > 0 && (place - first <= last - place || last == n) {
        true => first,
        false => last,
    }
}

/// What each row is ordered by.
pub(crate) fn times(name: &str, batches: &[RecordBatch]) -> Result<Vec<f64>> {
    let expected = "a date, a time stamp or a number to order by";
    let mut times = Vec::new();
    for batch in batches {
        let array = column(batch, name, "split")?;
        let before = times.len();
        let kind = array.data_type();
        let read = if is_date(kind) {
            // All of a time stamp, not its seconds alone.
            let whole = match kind {
                DataType::Date32 => cast(array, &DataType::Int32),
                _ => cast(array, &DataType::Int64),
            };
            whole.map_err(|_| Mismatch::Type).and_then(|whole| each_number(&whole, &mut |_, x| times.push(x)))
        } else if is_number(kind) {
            each_number(array, &mut |_, x| times.push(x))
        } else {
            each_date(array, &mut |_, seconds| times.push(seconds.map_or(f64::NAN, |seconds| seconds as f64)))
        };
        read.map_err(|mismatch| complaint(name, array, before, mismatch, expected))?;
    }
    if let Some(row) = times.iter().position(|time| time.is_nan()) {
        let count = times.iter().filter(|time| time.is_nan()).count();
        return Err(Error::invalid(format!(
            "split: column \"{name}\" has no value in {} (the first is row {}); leave them out in the table's SQL: \
             WHERE \"{name}\" IS NOT NULL",
            counted(count as u64, "row"),
            row + 1
        )));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};

    use super::*;
    use crate::spec::{FractionSplit, GroupSplit};

    fn batch(name: &str, array: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([(name, array)]).unwrap()
    }

    fn words(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn fraction(validation: f64, test: f64) -> SplitSpec {
        SplitSpec::Fraction(FractionSplit { validation, test, stratify: true })
    }

    fn check_whole(split: &Split, rows: u32) {
        let mut all = [&split.train[..], &split.validation, &split.test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..rows).collect::<Vec<_>>());
        for part in [&split.train, &split.validation, &split.test] {
            assert!(part.is_sorted());
        }
    }

    #[test]
    fn every_class_is_in_every_part_and_the_parts_have_the_rounded_size() {
        for (counts, validation, test, sizes) in [
            (vec![50, 30, 20], 0.15, 0.15, (15, 15)),
            (vec![7, 7, 7], 0.2, 0.1, (4, 3)),
            (vec![96, 4], 0.1, 0.1, (10, 10)),
            (vec![4, 4], 0.1, 0.1, (2, 2)),
            (vec![1000, 5, 5, 5], 0.1, 0.3, (102, 305)),
        ] {
            let labels: Vec<String> =
                counts.iter().enumerate().flat_map(|(class, &n)| vec![format!("c{class}"); n]).collect();
            let rows = batch("y", words(&labels.iter().map(String::as_str).collect::<Vec<_>>()));
            let split = split(&fraction(validation, test), "y", Task::Multiclass, &[rows], 42).unwrap();
            check_whole(&split, labels.len() as u32);
            assert_eq!((split.validation.len(), split.test.len()), sizes, "{counts:?}");
            for part in [&split.train, &split.validation, &split.test] {
                for class in 0..counts.len() {
                    let n = part.iter().filter(|&&row| labels[row as usize] == format!("c{class}")).count();
                    let share = counts[class] as f64 / labels.len() as f64 * part.len() as f64;
                    assert!(
                        n >= 1 && (n as f64 - share).abs() <= 2.0,
                        "{counts:?}: class {class} has {n}, not {share}"
                    );
                }
            }
        }
    }

    #[test]
    fn small_classes_train_first() {
        // One row: training. Two: training. Three: two in training, one in test. Four: every part.
        let labels = ["a", "b", "b", "c", "c", "c", "d", "d", "d", "d"];
        let split = split(&fraction(0.15, 0.15), "y", Task::Multiclass, &[batch("y", words(&labels))], 1).unwrap();
        let of = |rows: &[u32]| rows.iter().map(|&row| labels[row as usize]).collect::<Vec<_>>();
        assert_eq!(of(&split.train), ["a", "b", "b", "c", "c", "d", "d"]);
        assert_eq!((of(&split.validation), of(&split.test)), (vec!["d"], vec!["c", "d"]));
    }

    #[test]
    fn the_seed_alone_decides() {
        let rows = |sizes: &[usize]| -> Vec<RecordBatch> {
            sizes.iter().map(|&n| batch("y", Arc::new(Float64Array::from(vec![0.5; n])))).collect()
        };
        let divide =
            |sizes: &[usize], seed| split(&fraction(0.2, 0.1), "y", Task::Regression, &rows(sizes), seed).unwrap();
        assert_eq!(divide(&[100], 7), divide(&[30, 0, 70], 7));
        assert_ne!(divide(&[100], 7), divide(&[100], 8));
        let split = divide(&[100], 7);
        check_whole(&split, 100);
        assert_eq!((split.validation.len(), split.test.len()), (20, 10));
        let three = divide(&[3], 7);
        assert_eq!((three.train.len(), three.validation.len(), three.test.len()), (1, 1, 1));
    }

    #[test]
    fn tables_keep_a_share_for_validation_only_where_it_has_no_table() {
        let rows = [batch("y", words(&["a", "b"].repeat(50)))];
        let tables = |validation: Option<&str>| {
            SplitSpec::Tables(TablesSplit {
                test: "t".into(),
                validation: validation.map(str::to_owned),
                validation_fraction: 0.1,
                stratify: true,
                group: None,
            })
        };
        let parts = split(&tables(None), "y", Task::Binary, &rows, 1).unwrap();
        assert_eq!((parts.train.len(), parts.validation.len(), parts.test.len()), (90, 10, 0));
        assert_eq!(split(&fraction(0.1, 0.0), "y", Task::Binary, &rows, 1).unwrap(), parts);
        let parts = split(&tables(Some("v")), "y", Task::Binary, &rows, 1).unwrap();
        assert_eq!((parts.train.len(), parts.validation.len(), parts.test.len()), (100, 0, 0));
    }

    #[test]
    fn a_column_names_the_parts() {
        let spec = |train: &str, validation: &str, test: &str| {
            SplitSpec::Column(ColumnSplit {
                column: "part".into(),
                train: train.into(),
                validation: validation.into(),
                test: test.into(),
            })
        };
        let rows = [batch("part", words(&["train", " test"])), batch("part", words(&["validation", "train"]))];
        let parts = split(&spec("train", "validation", "test"), "y", Task::Binary, &rows, 1).unwrap();
        assert_eq!(parts, Split { train: vec![0, 3], validation: vec![2], test: vec![1] });
        let numbers = [batch("part", Arc::new(Int64Array::from(vec![0, 1, 2, 0])))];
        let parts = split(&spec("0", "1", "2"), "y", Task::Binary, &numbers, 1).unwrap();
        assert_eq!(parts.train, [0, 3]);
    }

    #[test]
    fn groups_stay_whole_and_fill_their_share() {
        let groups: Vec<String> = (0..40).flat_map(|group| vec![format!("g{group}"); 5 + group % 7]).collect();
        let rows: Vec<&str> = groups.iter().map(String::as_str).collect();
        let spec = SplitSpec::Group(GroupSplit { column: "g".into(), validation: 0.2, test: 0.1 });
        let divide =
            |rows: &[&str], seed| split(&spec, "y", Task::Regression, &[batch("g", words(rows))], seed).unwrap();
        let names = |rows: &[&str], part: &[u32]| -> Vec<String> {
            let mut names: Vec<String> = part.iter().map(|&row| rows[row as usize].to_owned()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let parts = divide(&rows, 7);
        check_whole(&parts, rows.len() as u32);
        let share = |part: &[u32]| part.len() as f64 / rows.len() as f64;
        assert!((share(&parts.validation) - 0.2).abs() < 0.02 && (share(&parts.test) - 0.1).abs() < 0.02, "{parts:?}");
        let all = [names(&rows, &parts.train), names(&rows, &parts.validation), names(&rows, &parts.test)];
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 40);
        assert_ne!(parts, divide(&rows, 8));
        // Rows in another order: the same groups in the same parts.
        let backwards: Vec<&str> = rows.iter().rev().copied().collect();
        assert_eq!(names(&backwards, &divide(&backwards, 7).test), all[2]);
        // Groups that are larger than their share still fill every part.
        let three = divide(&["a", "a", "a", "b", "b", "b", "c", "c", "c"], 1);
        assert_eq!((three.train.len(), three.validation.len(), three.test.len()), (3, 3, 3));
        let tables: SplitSpec =
            serde_json::from_str(r#"{"tables": {"test": "t", "validation_fraction": 0.3, "group": "g"}}"#).unwrap();
        let parts = split(&tables, "y", Task::Regression, &[batch("g", words(&rows))], 7).unwrap();
        assert!(parts.test.is_empty() && (share(&parts.validation) - 0.3).abs() < 0.02);
        let apart = [names(&rows, &parts.train), names(&rows, &parts.validation)].concat();
        assert_eq!(apart.len(), 40);
        let message =
            |rows: ArrayRef| split(&spec, "y", Task::Regression, &[batch("g", rows)], 1).unwrap_err().to_string();
        assert!(message(words(&["a", "b"])).contains("names 2 groups, at least 3 are needed"));
        let holes: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        assert!(message(holes).contains("names no group in row 2"));
    }

    #[test]
    fn time_keeps_equal_times_together_and_tests_on_the_newest() {
        let spec = |validation, test| SplitSpec::Time(TimeSplit { column: "t".into(), validation, test });
        let check = |array: ArrayRef, validation, test, expected: [&[u32]; 3]| {
            let parts = split(&spec(validation, test), "y", Task::Regression, &[batch("t", array)], 1).unwrap();
            assert_eq!([&parts.train[..], &parts.validation, &parts.test], expected);
        };
        let dates = |days: &[i32]| -> ArrayRef { Arc::new(Date32Array::from(days.to_vec())) };
        check(dates(&[5, 4, 3, 2, 1]), 0.2, 0.2, [&[2, 3, 4], &[1], &[0]]);
        // Three rows of day 9: the nearer end of the run is its start.
        check(dates(&[1, 2, 3, 4, 5, 6, 7, 9, 9, 9]), 0.2, 0.2, [&[0, 1, 2, 3, 4], &[5, 6], &[7, 8, 9]]);
        check(words(&["2024-01-03", "2024-01-01", "2024-01-02"]), 0.3, 0.3, [&[1], &[2], &[0]]);
        // Milliseconds of one second are three times, not one.
        check(Arc::new(TimestampMillisecondArray::from(vec![1003, 1001, 1002])), 0.3, 0.3, [&[1], &[2], &[0]]);
        check(Arc::new(Float64Array::from(vec![0.1, 0.3, 0.2])), 0.3, 0.3, [&[0], &[2], &[1]]);
    }

    #[test]
    fn what_cannot_be_divided_is_refused_with_its_place() {
        let check = |spec: &SplitSpec, rows: RecordBatch, expected: &str| {
            let message = split(spec, "y", Task::Binary, &[rows], 1).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let column: SplitSpec = serde_json::from_str(r#"{"column": {"column": "part"}}"#).unwrap();
        let time: SplitSpec = serde_json::from_str(r#"{"time": {"column": "t"}}"#).unwrap();
        let y = || batch("y", words(&["a", "b", "a", "b"]));
        check(&fraction(0.0, 0.1), y(), "validation is 0, expected above 0");
        check(&fraction(0.1, f64::NAN), y(), "test is NaN, expected above 0");
        check(&fraction(0.5, 0.5), y(), "leave no rows for training");
        check(&fraction(0.1, 0.1), y(), "the table has 4 rows, at least 4 are needed to fill every part");
        check(&fraction(0.1, 0.1), y().slice(0, 0), "the table has 0 rows");
        check(&fraction(0.1, 0.1), batch("why", words(&["a"])), "no target column \"y\" in the table");
        check(&column, batch("parts", words(&["a"])), "no split column \"part\" in the table; did you mean \"parts\"?");
        check(
            &column,
            batch("part", words(&["train", "test", "valid"])),
            "no row of column \"part\" is \"validation\", which names the validation rows; its values are \"test\", \
             \"train\", \"valid\"",
        );
        check(
            &column,
            batch("part", words(&["train", "test", "validation", "later"])),
            "\"later\" in 1 row (the first is row 4)",
        );
        check(
            &time,
            batch("t", words(&["2024-01-01", "soon", "2024-01-01"])),
            "row 2: \"soon\" is text, expected a date",
        );
        check(&time, batch("t", Arc::new(Int64Array::from(vec![7, 7, 7, 7]))), "its 4 rows have 1 different times");
        check(
            &time,
            batch("t", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
            "no value in 1 row (the first is row 2)",
        );
    }
}
