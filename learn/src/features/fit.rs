//! Which columns does a model read, and as what? Settles the spec and the types, looks at the training rows.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use serde_json::Value;

use super::column::{Choice, Column, ColumnKind};
use super::numeric::NumericPart;
use super::values::{Mismatch, complaint, is_binary};
use super::{Features, auto, category, date, image, number, series, text};
use crate::error::did_you_mean;
use crate::spec::{FeatureSpec, FeaturesSpec, Takes};
use crate::{Error, Result};

/// The training rows of one column.
pub(super) struct Training<'a> {
    pub(super) name: &'a str,
    pub(super) field: &'a Field,
    /// Its part of each batch, and the batch.
    pub(super) arrays: Vec<(&'a dyn Array, &'a RecordBatch)>,
    pub(super) rows: usize,
    /// Name of the target column.
    pub(super) target: &'a str,
    /// What the model takes of texts and series.
    pub(super) takes: Takes<'a>,
}

/// A fitted column with its inputs of the numeric part.
pub(super) struct Fitted {
    pub(super) kind: ColumnKind,
    pub(super) example: Value,
    pub(super) missing: u64,
    pub(super) inputs: NumericPart,
    pub(super) how: String,
}

/// What `auto` made of a column.
pub(super) enum Outcome {
    /// The model reads it.
    Read(Box<Fitted>),
    /// The model does not, for this reason.
    LeftOut(String),
    /// Numbers the rows; read only where there is nothing else.
    Identifier(String),
}

impl<'a> Training<'a> {
    fn new(field: &'a Field, train: &'a [RecordBatch], target: &'a str, takes: Takes<'a>) -> Result<Self> {
        let name = field.name();
        let arrays = train
            .iter()
            .map(|batch| batch.column_by_name(name).map(|array| (array.as_ref(), batch)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::NotFound(format!("no column \"{name}\" in the training rows")))?;
        let rows = arrays.iter().map(|(array, _)| array.len()).sum();
        Ok(Self { name, field, arrays, rows, target, takes })
    }

    /// Calls `read` with each array; turns a mismatch into an error with the row.
    pub(super) fn each(
        &self,
        expected: &str,
        mut read: impl FnMut(&'a dyn Array) -> Result<(), Mismatch>,
    ) -> Result<()> {
        let mut before = 0;
        for (array, _) in &self.arrays {
            read(*array).map_err(|mismatch| complaint(self.name, *array, before, mismatch, expected))?;
            before += array.len();
        }
        Ok(())
    }

    /// Rows without a value, floats' NaN not counted.
    pub(super) fn nulls(&self) -> usize {
        self.arrays.iter().map(|(array, _)| array.logical_null_count()).sum()
    }

    /// Whether values are missing in at least one row of a hundred.
    pub(super) fn often_missing(&self, missing: u64) -> bool {
        missing > 0 && missing.saturating_mul(100) >= self.rows as u64
    }

    /// The error for a column that holds nothing to fit.
    pub(super) fn without_values(&self) -> Error {
        let (name, rows) = (self.name, self.rows);
        Error::invalid(format!(
            "column \"{name}\" has no value in the {rows} training rows; leave it out under features.exclude"
        ))
    }
}

/// See [`Features::fit`].
pub(super) fn fit(
    spec: &FeaturesSpec,
    schema: &Schema,
    target: &str,
    ignore: &[String],
    train: &[RecordBatch],
    takes: Takes<'_>,
) -> Result<Features> {
    check_names(spec, schema, target, ignore)?;
    if train.iter().all(|batch| batch.num_rows() == 0) {
        return Err(Error::invalid("there are no training rows to fit the features on"));
    }
    let fields: Vec<&Field> = schema
        .fields()
        .iter()
        .map(AsRef::as_ref)
        .filter(|field| {
            let name = field.name();
            let asked = spec.include.is_empty() || spec.include.contains(name);
            asked && name != target && !ignore.contains(name) && !spec.exclude.contains(name)
        })
        .collect();
    let (features, identifiers) = fit_fields(spec, &fields, train, target, takes, Identifiers::LeftOut)?;
    match features.columns.is_empty() && identifiers {
        // The numbers of the rows are all there is: then they are what to learn from.
        true => check_left(fit_fields(spec, &fields, train, target, takes, Identifiers::Kept)?.0, target),
        false => check_left(features, target),
    }
}

/// What becomes of columns that number the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identifiers {
    Kept,
    LeftOut,
}

/// The features, and whether identifiers were left out.
fn fit_fields(
    spec: &FeaturesSpec,
    fields: &[&Field],
    train: &[RecordBatch],
    target: &str,
    takes: Takes<'_>,
    found: Identifiers,
) -> Result<(Features, bool)> {
    let mut features = Features { columns: vec![], choices: vec![], numeric: NumericPart::default() };
    let mut identifiers = false;
    for field in fields {
        let training = Training::new(field, train, target, takes)?;
        let asked = found == Identifiers::Kept || spec.include.contains(field.name());
        let column = field.name().clone();
        let outcome = fit_column(&training, spec.columns.get(field.name()).unwrap_or(&FeatureSpec::Auto), asked)?;
        identifiers |= matches!(outcome, Outcome::Identifier(_));
        match outcome {
            Outcome::Read(fitted) => {
                let Fitted { kind, example, missing, inputs, how } = *fitted;
                features.choices.push(Choice { column: column.clone(), feature: kind.word().into(), how });
                features.columns.push(Column { name: column, kind, missing, example });
                features.numeric.append(inputs);
            }
            Outcome::LeftOut(reason) | Outcome::Identifier(reason) => {
                let how = format!("left out: {reason}");
                features.choices.push(Choice { column, feature: "left out".into(), how });
            }
        }
    }
    Ok((features, identifiers))
}

fn fit_column(training: &Training<'_>, spec: &FeatureSpec, asked: bool) -> Result<Outcome> {
    let fitted = match spec {
        FeatureSpec::Auto => return auto::fit(training, asked),
        FeatureSpec::Number(spec) => number::fit(training, spec, &number::read(training)?, false)?,
        FeatureSpec::Category(spec) => category::fit(training, spec, category::count(training)?)?,
        FeatureSpec::Boolean(_) => number::fit_boolean(training, false)?,
        FeatureSpec::Date(spec) => match date::fit(training, spec, &date::read(training)?, false)? {
            Some(fitted) => fitted,
            None => return Err(training.without_values()),
        },
        FeatureSpec::Image(spec) => {
            if !is_binary(training.field.data_type()) {
                training.each(image::EXPECTED, |_| Err(Mismatch::Type))?;
            }
            image::fit(training, spec)?
        }
        FeatureSpec::Text(spec) => text::fit(training, spec)?,
        FeatureSpec::Series(spec) => series::fit(training, spec)?,
    };
    Ok(Outcome::Read(Box::new(fitted)))
}

/// Every name in the spec is a column that can be a feature.
fn check_names(spec: &FeaturesSpec, schema: &Schema, target: &str, ignore: &[String]) -> Result<()> {
    let known = || schema.fields().iter().map(|field| field.name().as_str());
    let lists = [("include", spec.include.iter().collect::<Vec<_>>()), ("columns", spec.columns.keys().collect())];
    let excluded = [("exclude", spec.exclude.iter().collect::<Vec<_>>())];
    for (list, names) in lists.iter().chain(&excluded) {
        for name in names {
            if !known().any(|column| column == name.as_str()) {
                let hint = did_you_mean(name, known());
                return Err(Error::NotFound(format!("features.{list}: no column \"{name}\" in the table{hint}")));
            }
        }
    }
    for (list, names) in &lists {
        for &name in names {
            let reason = match name {
                name if name == target => "is the target and cannot be a feature",
                name if ignore.contains(name) => "divides the rows and cannot be a feature",
                name if spec.exclude.contains(name) => "is under features.exclude as well; name it in one place",
                name if !spec.include.is_empty() && !spec.include.contains(name) => {
                    "is not under features.include; name it there too"
                }
                _ => continue,
            };
            return Err(Error::invalid(format!("features.{list}: column \"{name}\" {reason}")));
        }
    }
    let mut names: Vec<&str> = known().collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let name = pair[0];
            Err(Error::invalid(format!("two columns are called \"{name}\"; rename one in the table's SQL")))
        }
        None => Ok(()),
    }
}

/// A model has to read something.
fn check_left(features: Features, target: &str) -> Result<Features> {
    if !features.columns.is_empty() {
        return Ok(features);
    }
    let reasons: Vec<String> =
        features.choices.iter().take(10).map(|choice| format!("\"{}\" {}", choice.column, choice.how)).collect();
    let reasons = match reasons.is_empty() {
        true => "the table has no other column".to_owned(),
        false => reasons.join("; "),
    };
    Err(Error::invalid(format!("no feature is left to learn \"{target}\" from ({reasons})")))
}
