//! Which rows are nearly the same? Texts with nearly the same words by MinHash (Broder 1997, "On the resemblance and
//! containment of documents"; bands as in Indyk and Motwani 1998), rows of numbers by coarse steps. Training rows among
//! themselves, and test rows that nearly repeat a training row.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use arrow::array::RecordBatch;
use profile::hash::{MISSING, add_column, hash_bytes, hash_column, hash_integer};
use profile::{Already, ColumnKind, ColumnProfile, as_numbers};

use super::table::{Sampled, Table, key, picked, stretches, texts_of};
use super::words::{Examples, counted, part, share};
use super::{Finding, Severity};

/// Training rows that are looked at, and half as many test rows.
const ROWS_MAX: usize = 12_000;
/// Columns of text that are looked at.
const TEXTS_MAX: usize = 3;
/// Characters of a text that are looked at.
const CHARS_MAX: usize = 2_000;
/// Characters of a shingle: a word or two, and of Chinese a phrase.
const SHINGLE: usize = 5;
/// Texts with fewer shingles are too short to be nearly the same.
const SHINGLES_MIN: usize = 20;
/// Minima of a text's signature, in bands of four: texts of which 80 % is the same meet in one with 99.98 %.
const MINIMA: usize = 64;
const BAND: usize = 4;
/// So much of the signature must agree: 81 %, give or take five.
const AGREE_MIN: usize = 52;
/// Texts of a bucket that another one is held against.
const BUCKET_MAX: usize = 8;

/// A step of a column of numbers, in its standard deviations.
const STEP: f64 = 0.02;
/// With fewer columns of real quantities rows meet by chance.
const NUMBERS_MIN: usize = 3;
/// A column with fewer different numbers is a grade.
const DISTINCT_MIN: u64 = 20;
/// So many times more rows must meet than would by chance.
const TIMES_CHANCE: f64 = 10.0;

/// A smaller share of the rows is not worth a word.
const SHARE_MIN: f64 = 0.005;
/// From this share on it changes what is learned, or what test rows say.
const MANY: f64 = 0.05;

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    let prose: Vec<(usize, &ColumnProfile)> =
        table.features().filter(|(_, column)| column.kind == ColumnKind::Text).take(TEXTS_MAX).collect();
    for (index, column) in prose {
        texts(table, index, column, findings);
    }
    numbers(table, findings);
}

/// Rows that were met twice.
#[derive(Default)]
struct Met {
    /// Training rows that nearly repeat an earlier one.
    train: Examples,
    /// Those of them that have another target.
    contrary: u64,
    /// Test rows that nearly repeat a training row.
    test: Examples,
}

/// Some training rows, each once, and whether they are all there are: rows that are quite the same are a finding of their own.
fn different(table: &Table) -> (Vec<u64>, bool) {
    let rows = table.sampled(ROWS_MAX);
    let is_all = rows.len() as u64 == table.rows;
    (table.different(rows), is_all)
}

fn texts(table: &Table, index: usize, column: &ColumnProfile, findings: &mut Vec<Finding>) {
    let (rows, is_all) = different(table);
    let train = table.texts(index, &rows);
    let mut buckets = Buckets::default();
    let mut met = Met::default();
    let mut looked_at = 0;
    for (row, text) in &train.texts {
        let Some(signature) = Signature::of(text) else { continue };
        looked_at += 1;
        if let Some(earlier) = buckets.nearest(&signature) {
            met.train.add(*row);
            met.contrary += u64::from(table.target_of(*row) != table.target_of(earlier));
        }
        buckets.add(*row, signature);
    }
    let (test, test_rows) = test_texts(table, &column.name);
    let exact = table.exact_test_rows();
    for (row, text) in test.texts.iter().filter(|(row, _)| !exact.contains(row)) {
        if Signature::of(text).is_some_and(|signature| buckets.nearest(&signature).is_some()) {
            met.test.add(*row);
        }
    }
    let what = format!("nearly the words of another row in column \"{}\"", column.name);
    tell(Some(&column.name), &what, &met, (looked_at, is_all), (test_rows, test.is_all), findings);
}

fn tell(
    column: Option<&str>,
    what: &str,
    met: &Met,
    (train, is_all): (u64, bool),
    (test, is_all_test): (u64, bool),
    findings: &mut Vec<Finding>,
) {
    let looked = |is_all: bool| if is_all { "" } else { " looked at" };
    let severity = |share: f64| if share >= MANY { Severity::Warning } else { Severity::Info };
    let found = share(met.train.count, train);
    if met.train.count >= 2 && found >= SHARE_MIN {
        let contrary = match met.contrary {
            0 => String::new(),
            n => format!(", {} of them with another target", counted(n, "")),
        };
        findings.push(Finding {
            severity: severity(found),
            check: "near_duplicates".into(),
            column: column.map(str::to_owned),
            message: format!(
                "{}{} have {what}{contrary}: they count more than others, and parts that are split at random share them; \
                 keep one of each, or split by a column that keeps them together",
                part(met.train.count, train, "different row"),
                looked(is_all),
            ),
            value: found,
            rows: met.train.rows.clone(),
        });
    }
    let found = share(met.test.count, test);
    if met.test.count >= 2 && found >= SHARE_MIN {
        findings.push(Finding {
            severity: severity(found),
            check: "near_overlap".into(),
            column: column.map(str::to_owned),
            message: format!(
                "{}{} have {}: the model has nearly seen the answer, and its test figures look better than they are; split \
                 by a column or a time that keeps such rows together",
                part(met.test.count, test, "test row"),
                looked(is_all_test),
                what.replace("another row", "a training row"),
            ),
            value: found,
            rows: met.test.rows.clone(),
        });
    }
}

/// Some texts of the test rows, and how many rows those are.
fn test_texts(table: &Table, name: &str) -> (Sampled, u64) {
    let all: u64 = table.test.iter().map(|batch| batch.num_rows() as u64).sum();
    let rows = stretches(all, ROWS_MAX / 2);
    let column = table.test.first().and_then(|batch| batch.schema_ref().index_of(name).ok());
    let texts = column.map(|column| texts_of(table.test, column, &rows)).unwrap_or_default();
    (Sampled { texts, is_all: rows.len() as u64 == all, rows: all }, rows.len() as u64)
}

/// The least hash of a text's shingles under each of 64 permutations.
struct Signature([u32; MINIMA]);

impl Signature {
    fn of(text: &str) -> Option<Self> {
        let mut letters: Vec<char> = Vec::new();
        for c in text.chars().take(CHARS_MAX) {
            match c.is_whitespace() {
                true if letters.last() == Some(&' ') => {}
                true => letters.push(' '),
                false => letters.extend(c.to_lowercase()),
            }
        }
        let mut shingles = HashSet::<u64, BuildHasherDefault<Already>>::default();
        let mut bytes = [0; 4 * SHINGLE];
        for window in letters.windows(SHINGLE) {
            for (at, c) in window.iter().enumerate() {
                bytes[4 * at..4 * at + 4].copy_from_slice(&u32::from(*c).to_le_bytes());
            }
            shingles.insert(hash_bytes(&bytes));
        }
        if shingles.len() < SHINGLES_MIN {
            return None;
        }
        let mut minima = [u32::MAX; MINIMA];
        // Multiply-shift: odd factors make as many permutations.
        let factors: [u64; MINIMA] = std::array::from_fn(|at| hash_integer(at as u64) | 1);
        for shingle in shingles {
            for (least, factor) in minima.iter_mut().zip(factors) {
                *least = (*least).min((shingle.wrapping_mul(factor) >> 32) as u32);
            }
        }
        Some(Self(minima))
    }

    fn agrees(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count() >= AGREE_MIN
    }
}

/// Signatures by their bands.
#[derive(Default)]
struct Buckets {
    rows: Vec<(u64, Signature)>,
    places: HashMap<u64, Vec<u32>, BuildHasherDefault<Already>>,
}

impl Buckets {
    fn keys(signature: &Signature) -> impl Iterator<Item = u64> {
        signature.0.chunks(BAND).enumerate().map(|(band, minima)| {
            minima.iter().fold(hash_integer(band as u64), |key, least| hash_integer(key ^ u64::from(*least)))
        })
    }

    /// The first row that is nearly the same.
    fn nearest(&self, signature: &Signature) -> Option<u64> {
        let places = Self::keys(signature).filter_map(|key| self.places.get(&key)).flatten();
        let near =
            places.filter_map(|place| self.rows.get(*place as usize)).filter(|(_, other)| signature.agrees(other));
        near.map(|(row, _)| *row).min()
    }

    fn add(&mut self, row: u64, signature: Signature) {
        let place = self.rows.len() as u32;
        for key in Self::keys(&signature) {
            let bucket = self.places.entry(key).or_default();
            if bucket.len() < BUCKET_MAX {
                bucket.push(place);
            }
        }
        self.rows.push((row, signature));
    }
}

/// A column of numbers and its steps.
struct Steps<'a> {
    name: &'a str,
    index: usize,
    mean: f64,
    step: f64,
}

fn numbers(table: &Table, findings: &mut Vec<Finding>) {
    let steps: Vec<Steps> = table
        .features()
        .filter(|(index, column)| {
            let is_grade = column.distinct <= DISTINCT_MIN;
            column.kind == ColumnKind::Number && !is_grade && !table.identifiers.contains(index)
        })
        .filter_map(|(index, column)| {
            let (mean, std) = (column.mean?, column.std.filter(|std| *std > 0.0)?);
            Some(Steps { name: &column.name, index, mean, step: STEP * std })
        })
        .collect();
    if steps.len() < NUMBERS_MIN {
        return;
    }
    let (rows, is_all) = different(table);
    let test: u64 = table.test.iter().map(|batch| batch.num_rows() as u64).sum();
    let test_rows = stretches(test, ROWS_MAX / 2);
    let mut met = Met::default();
    let (mut near, mut near_test) = (HashMap::new(), HashSet::new());
    let mut chance = 0.0;
    // Two grids: what a border of one parts, the other keeps together.
    for shift in [0.0, 0.5] {
        let Some(cells) = cells(table, table.train, &rows, &steps, shift, &mut chance) else { return };
        let mut first: HashMap<u64, u64, BuildHasherDefault<Already>> = HashMap::default();
        for (row, cell) in rows.iter().zip(&cells) {
            match first.get(cell) {
                Some(earlier) => {
                    near.insert(*row, *earlier);
                }
                None => {
                    first.insert(*cell, *row);
                }
            }
        }
        let Some(cells) = self::cells(table, table.test, &test_rows, &steps, shift, &mut 0.0) else { continue };
        near_test
            .extend(test_rows.iter().zip(&cells).filter(|(_, cell)| first.contains_key(cell)).map(|(row, _)| *row));
    }
    let exact = table.exact_test_rows();
    near_test.iter().filter(|row| !exact.contains(row)).for_each(|row| met.test.add(*row));
    for (row, earlier) in near {
        met.train.add(row);
        met.contrary += u64::from(table.target_of(row) != table.target_of(earlier));
    }
    let by_chance = |rows: usize, others: usize| TIMES_CHANCE * chance * rows as f64 * others as f64;
    if (met.train.count as f64) < by_chance(rows.len(), rows.len()) / 2.0 {
        met.train = Examples::default();
    }
    if (met.test.count as f64) < by_chance(test_rows.len(), rows.len()) {
        met.test = Examples::default();
    }
    if !table.has_classes() {
        met.contrary = 0; // quantities differ a little as a rule
    }
    let test = (test_rows.len() as u64, test_rows.len() as u64 == test);
    tell(
        None,
        "nearly the numbers of another row and all its other values",
        &met,
        (rows.len() as u64, is_all),
        test,
        findings,
    );
}

/// The cell of each row: its numbers by steps, its other values as they are. `chance` becomes the probability that two rows
/// share a cell if the columns have nothing to do with one another. Nothing where a column is missing.
fn cells(
    table: &Table,
    batches: &[RecordBatch],
    rows: &[u64],
    steps: &[Steps],
    shift: f64,
    chance: &mut f64,
) -> Option<Vec<u64>> {
    let mut cells = vec![0; rows.len()];
    let schema = batches.first()?.schema();
    *chance = 1.0;
    for (index, column) in table.features() {
        if table.identifiers.contains(&index) && !table.hashed.contains(&index) {
            continue;
        }
        let place = schema.index_of(&column.name).ok()?;
        let step = steps.iter().find(|step| step.index == index);
        let mut values = Vec::with_capacity(rows.len());
        for array in picked(batches, place, rows) {
            match (step, as_numbers(&array)) {
                (Some(step), Some(numbers)) => values.extend(numbers.into_iter().map(|value| match value.is_nan() {
                    true => MISSING,
                    false => hash_integer(((value - step.mean) / step.step + shift).floor() as i64 as u64),
                })),
                _ => values.extend(hash_column(&array)),
            }
        }
        if values.len() != rows.len() {
            return None;
        }
        let mut counts: HashMap<u64, u64, BuildHasherDefault<Already>> = HashMap::default();
        values.iter().for_each(|value| *counts.entry(*value).or_insert(0) += 1);
        let shares = counts.values().map(|count| (*count as f64 / rows.len().max(1) as f64).powi(2));
        *chance *= shares.sum::<f64>();
        add_column(
            &mut cells,
            &values,
            step.map_or_else(|| key(table.schema.field(index)), |step| hash_bytes(step.name.as_bytes())),
        );
    }
    Some(cells)
}
