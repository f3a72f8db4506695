//! How does a category become an input? A vocabulary from the training rows, then one-hot, ordinal or an embedding.

use std::hash::Hasher;

use arrow::array::Array;
use serde_json::Value;

use super::column::{ColumnKind, Fnv, Vocabulary};
use super::fit::{Fitted, Training};
use super::number;
use super::numeric::{Affine, CategoryInput, EmbeddedColumn, NumberInput, NumericPart};
use super::prepared::Prepared;
use super::target_encoding::{Averaged, TargetTable};
use super::values::{Mismatch, counted, dictionary, each_text, sort_values};
use crate::hash::QuickMap;
use crate::spec::{CategoryEncoding, CategorySpec, HashingSpec, TargetEncodingSpec};
use crate::{Error, Result};

/// What a category has to hold.
pub(super) const EXPECTED: &str = "text, a whole number or a boolean";

/// More values than this become an embedding where `auto` chooses.
pub(super) const ONE_HOT_MAX: usize = 64;

/// Most values a vocabulary can keep.
const VALUES_MAX: usize = 100_000;

/// Longest embedding.
const DIMENSION_MAX: usize = 4_096;

/// How often each value occurs in the training rows.
#[derive(Default)]
pub(super) struct Counts {
    /// Rows per value.
    pub(super) values: QuickMap<String, u64>,
    /// Rows with a value.
    pub(super) present: u64,
    /// Bytes of all values together.
    pub(super) bytes: u64,
}

/// Counts the values of a column.
pub(super) fn count(training: &Training<'_>) -> Result<Counts> {
    let mut counts = Counts::default();
    training.each(EXPECTED, |array| {
        let Some((words, keys)) = dictionary(array) else {
            return each_text(array, &mut |_, value| counts.add(value, 1));
        };
        let mut rows = vec![0; words.len()];
        keys.into_iter().flatten().for_each(|key| rows[key] += 1);
        each_text(words, &mut |key, value| counts.add(value, rows[key]))
    })?;
    Ok(counts)
}

impl Counts {
    /// Counts rows with this value.
    pub(super) fn add(&mut self, value: Option<&str>, rows: u64) {
        let Some(value) = value.filter(|_| rows > 0) else { return };
        self.present += rows;
        self.bytes += value.len() as u64 * rows;
        match self.values.get_mut(value) {
            Some(count) => *count += rows,
            None => drop(self.values.insert(value.to_owned(), rows)),
        }
    }
}

/// Fits a category.
pub(super) fn fit(training: &Training<'_>, spec: &CategorySpec, counts: Counts) -> Result<Fitted> {
    let name = training.name;
    if spec.values_max == 0 || spec.values_max > VALUES_MAX {
        let given = spec.values_max;
        return Err(Error::invalid(format!("column \"{name}\": values_max is {given}, expected 1 to {VALUES_MAX}")));
    }
    if counts.present == 0 {
        return Err(training.without_values());
    }
    if let CategoryEncoding::Hashing(hashing) = spec.encode {
        return hashed(training, hashing, &counts);
    }
    let missing = training.rows as u64 - counts.present;
    let known = Known::of(name, spec, counts)?;
    let words = known.words(missing);
    let Known { values, example, .. } = known;
    if let CategoryEncoding::Target(target) = spec.encode {
        return by_target(training, target, values, (example, missing, &words));
    }
    let (category, encoding) = encoded_as(name, spec.encode, values.values().len(), values.cardinality())?;
    let how = format!("{words}, {encoding}");
    let kind = ColumnKind::Category { values };
    let inputs = NumericPart { categories: vec![category], ..NumericPart::default() };
    Ok(Fitted { kind, prepared: Prepared::Plain, example, missing, inputs, how })
}

/// The values that are kept.
pub(super) struct Known {
    pub(super) values: Vocabulary,
    /// The most frequent one.
    pub(super) example: Value,
    /// Values that are not kept, and their rows.
    rare: u64,
    rare_rows: u64,
}

impl Known {
    /// The frequent values, in order.
    pub(super) fn of(name: &str, spec: &CategorySpec, counts: Counts) -> Result<Self> {
        let distinct = counts.values.len();
        let mut frequent: Vec<(String, u64)> = counts.values.into_iter().collect();
        frequent.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let example = frequent.first().map_or(Value::Null, |(value, _)| Value::from(value.as_str()));
        frequent.retain(|(_, count)| *count >= spec.count_min);
        frequent.truncate(spec.values_max);
        if frequent.is_empty() {
            let least = spec.count_min;
            return Err(Error::invalid(format!(
                "column \"{name}\": none of its {distinct} values occurs in {least} training rows; lower count_min"
            )));
        }
        let known_rows: u64 = frequent.iter().map(|(_, count)| count).sum();
        let mut values: Vec<String> = frequent.into_iter().map(|(value, _)| value).collect();
        sort_values(&mut values);
        let rare = (distinct - values.len()) as u64;
        Ok(Self { values: Vocabulary::from(values), example, rare, rare_rows: counts.present - known_rows })
    }

    /// How many values there are, in words.
    pub(super) fn words(&self, missing: u64) -> String {
        format!(
            "category of {}{}{}",
            counted(self.values.values().len() as u64, "value"),
            if missing > 0 { format!(", {missing} missing") } else { String::new() },
            match self.rare {
                0 => String::new(),
                rare => format!(
                    ", {} counted as unknown ({})",
                    counted(rare, "rarer value"),
                    counted(self.rare_rows, "row")
                ),
            },
        )
    }
}

/// Values by their hash alone.
fn hashed(training: &Training<'_>, spec: HashingSpec, counts: &Counts) -> Result<Fitted> {
    let HashingSpec { buckets } = spec;
    if !(2..=VALUES_MAX).contains(&buckets) {
        let name = training.name;
        return Err(Error::invalid(format!("column \"{name}\": buckets is {buckets}, expected 2 to {VALUES_MAX}")));
    }
    let cardinality = buckets + Vocabulary::FIRST as usize;
    let (category, encoding) = encoded_as(training.name, CategoryEncoding::Auto, buckets, cardinality)?;
    let most = counts.values.iter().max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
    let example = most.map_or(Value::Null, |(value, _)| Value::from(value.as_str()));
    let missing = training.rows as u64 - counts.present;
    let how = format!(
        "category of {}{} in {buckets} buckets by their hash, {encoding}",
        counted(counts.values.len() as u64, "value"),
        if missing > 0 { format!(", {missing} missing") } else { String::new() },
    );
    let kind = ColumnKind::Category { values: Vocabulary::default() };
    let inputs = NumericPart { categories: vec![category], ..NumericPart::default() };
    Ok(Fitted { kind, prepared: Prepared::Hashed { buckets }, example, missing, inputs, how })
}

/// The bucket's code of a value.
pub(super) fn bucket(value: &str, buckets: usize) -> i32 {
    let mut hash = Fnv::default();
    hash.write(value.as_bytes());
    Vocabulary::FIRST + (hash.finish() % buckets.max(1) as u64) as i32
}

/// Values as means of the target.
fn by_target(
    training: &Training<'_>,
    spec: TargetEncodingSpec,
    values: Vocabulary,
    (example, missing, words): (Value, u64, &str),
) -> Result<Fitted> {
    let averaged = Averaged::of(training.target, &training.batches())?;
    let mut codes = Vec::with_capacity(training.rows);
    training.each(EXPECTED, |array| encode(array, |value| values.code(value), &mut |_, code| codes.push(code)))?;
    let table = TargetTable::fit(training.name, spec, &codes, values.cardinality(), &averaged)?;
    let middle = table.means(Vocabulary::UNKNOWN).to_vec();
    let (mut sums, mut squares) = (vec![0.0; middle.len()], vec![0.0; middle.len()]);
    table.cross_fitted(&codes, &averaged, &mut |_, means| {
        for (class, (&mean, &all)) in means.iter().zip(&middle).enumerate() {
            let apart = f64::from(mean) - f64::from(all);
            sums[class] += apart;
            squares[class] += apart * apart;
        }
    });
    let n = codes.len() as f64;
    let input = |class: usize| {
        let apart = sums[class] / n;
        let deviation = (squares[class] / n - apart * apart).max(0.0).sqrt();
        let scale = (1.0 / deviation) as f32;
        let scale = if scale.is_finite() { scale } else { 1.0 };
        let label = if middle.len() > 1 { training.target.label(class as u32).unwrap_or_default() } else { "target" };
        NumberInput {
            name: format!("{}.{label}", training.name),
            impute: middle[class],
            indicator: false,
            clip: [f32::NEG_INFINITY, f32::INFINITY],
            affine: Affine { shift: (f64::from(middle[class]) + apart) as f32, scale },
        }
    };
    let numbers = (0..middle.len()).map(input).collect();
    let how = format!(
        "{words}, each the mean of \"{}\" of its rows and {} rows of the mean {}, of training rows by the other {} of {} parts",
        training.target.column,
        number::shown(table.smoothing),
        number::shown(middle[0]),
        table.folds - 1,
        table.folds,
    );
    let kind = ColumnKind::Category { values };
    let inputs = NumericPart { numbers, ..NumericPart::default() };
    Ok(Fitted { kind, prepared: Prepared::Target(table), example, missing, inputs, how })
}

/// The input of so many known values (and codes), and how in words.
pub(super) fn encoded_as(
    name: &str,
    encoding: CategoryEncoding,
    known: usize,
    cardinality: usize,
) -> Result<(CategoryInput, String)> {
    let name = name.to_owned();
    let dimension = match encoding {
        CategoryEncoding::Auto if known > ONE_HOT_MAX => None,
        CategoryEncoding::Auto | CategoryEncoding::OneHot => {
            return Ok((CategoryInput::OneHot { name, cardinality }, "one-hot".into()));
        }
        CategoryEncoding::Ordinal => {
            // The known codes come to lie from 0 to 1; missing and unknown below.
            let scale = 1.0 / (known.max(2) - 1) as f32;
            let affine = Affine { shift: Vocabulary::FIRST as f32, scale };
            return Ok((CategoryInput::Ordinal { name, affine }, "by its place in their order".into()));
        }
        CategoryEncoding::Embedding(spec) => spec.dimension,
        CategoryEncoding::Hashing(_) | CategoryEncoding::Target(_) => None,
    };
    let dimension = dimension.unwrap_or_else(|| known.div_ceil(2).clamp(1, 50));
    if dimension == 0 || dimension > DIMENSION_MAX {
        return Err(Error::invalid(format!(
            "column \"{name}\": an embedding of dimension {dimension} is not possible, expected 1 to {DIMENSION_MAX}"
        )));
    }
    let how = format!("a learned vector of {} each", counted(dimension as u64, "number"));
    Ok((CategoryInput::Embedding(EmbeddedColumn { name, cardinality, dimension }), how))
}

/// Calls `set` with the code of each row: that of the value, or of a missing one.
pub(super) fn encode(
    array: &dyn Array,
    code: impl Fn(&str) -> i32,
    set: &mut dyn FnMut(usize, i32),
) -> Result<(), Mismatch> {
    let code = |value: Option<&str>| value.map_or(Vocabulary::MISSING, &code);
    // A dictionary holds each value once: look up once what some row has.
    let Some((words, keys)) = dictionary(array) else {
        return each_text(array, &mut |row, value| set(row, code(value)));
    };
    let (mut has_row, mut codes) = (vec![false; words.len()], vec![Vocabulary::MISSING; words.len()]);
    keys.iter().flatten().for_each(|&key| has_row[key] = true);
    each_text(words, &mut |key, value| {
        if has_row[key] {
            codes[key] = code(value);
        }
    })?;
    keys.iter().enumerate().for_each(|(row, key)| set(row, key.map_or(Vocabulary::MISSING, |key| codes[key])));
    Ok(())
}
