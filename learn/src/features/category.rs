//! How does a category become an input? A vocabulary from the training rows, then one-hot, ordinal or an embedding.

use std::collections::HashMap;

use arrow::array::Array;
use serde_json::Value;

use super::column::{ColumnKind, Vocabulary};
use super::fit::{Fitted, Training};
use super::numeric::{Affine, CategoryInput, EmbeddedColumn, NumericPart};
use super::values::{Mismatch, counted, dictionary, each_text, sort_values};
use crate::spec::{CategoryEncoding, CategorySpec};
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
    pub(super) values: HashMap<String, u64>,
    /// Rows with a value.
    pub(super) present: u64,
    /// Bytes of all values together.
    pub(super) bytes: u64,
}

/// Counts the values of a column.
pub(super) fn count(training: &Training<'_>) -> Result<Counts> {
    let mut counts = Counts::default();
    training.each(EXPECTED, |array| each_text(array, &mut |_, value| counts.add(value)))?;
    Ok(counts)
}

impl Counts {
    fn add(&mut self, value: Option<&str>) {
        let Some(value) = value else { return };
        self.present += 1;
        self.bytes += value.len() as u64;
        match self.values.get_mut(value) {
            Some(count) => *count += 1,
            None => drop(self.values.insert(value.to_owned(), 1)),
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
    let missing = training.rows as u64 - counts.present;
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
    let (known, values) = (values.len(), Vocabulary::from(values));
    let (category, encoding) = encoded_as(name, spec.encode, &values)?;
    let how = format!(
        "category of {}{}{}, {encoding}",
        counted(known as u64, "value"),
        if missing > 0 { format!(", {missing} missing") } else { String::new() },
        match distinct - known {
            0 => String::new(),
            rare => format!(
                ", {} counted as unknown ({})",
                counted(rare as u64, "rarer value"),
                counted(counts.present - known_rows, "row")
            ),
        },
    );
    let kind = ColumnKind::Category { values };
    let inputs = NumericPart { categories: vec![category], ..NumericPart::default() };
    Ok(Fitted { kind, example, missing, inputs, how })
}

fn encoded_as(name: &str, encoding: CategoryEncoding, values: &Vocabulary) -> Result<(CategoryInput, String)> {
    let (known, cardinality) = (values.values().len(), values.cardinality());
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

/// Calls `set` with the code of each row.
pub(super) fn encode(array: &dyn Array, values: &Vocabulary, set: &mut dyn FnMut(usize, i32)) -> Result<(), Mismatch> {
    let code = |value: Option<&str>| value.map_or(Vocabulary::MISSING, |value| values.code(value));
    // A dictionary holds each value once: look it up once.
    let Some((words, keys)) = dictionary(array) else {
        return each_text(array, &mut |row, value| set(row, code(value)));
    };
    let mut codes = vec![Vocabulary::MISSING; words.len()];
    each_text(words, &mut |key, value| codes[key] = code(value))?;
    keys.iter().enumerate().for_each(|(row, key)| set(row, key.map_or(Vocabulary::MISSING, |key| codes[key])));
    Ok(())
}
