//! Which columns does a model read, and as what? Settles the spec and the types, looks at the training rows.

use std::borrow::Cow;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use rayon::prelude::*;
use serde_json::Value;

use super::column::{Choice, Column, ColumnKind};
use super::combined::{self, Combined};
use super::numeric::NumericPart;
use super::prepared::Prepared;
use super::training_rows::TrainingRows;
use super::values::{Mismatch, complaint, is_binary, is_number, is_text};
use super::{Features, PATH_COLUMN, auto, category, date, image, neighbours, number, select, series, text};
use crate::error::did_you_mean;
use crate::spec::{CategoryEncoding, CategorySpec, FeatureSpec, FeaturesSpec, NumberSpec, Takes};
use crate::{Error, Result, Target};

/// The training rows of one column.
pub(super) struct Training<'a> {
    pub(super) name: &'a str,
    pub(super) field: &'a Field,
    /// Its part of each batch, and the batch.
    pub(super) arrays: Vec<(&'a dyn Array, &'a RecordBatch)>,
    pub(super) rows: usize,
    /// What is to be predicted.
    pub(super) target: &'a Target,
    /// What the model takes of texts and series.
    pub(super) takes: Takes<'a>,
}

/// A fitted column with its inputs of the numeric part.
pub(super) struct Fitted {
    pub(super) kind: ColumnKind,
    pub(super) prepared: Prepared,
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
    fn new(field: &'a Field, train: &'a [RecordBatch], target: &'a Target, takes: Takes<'a>) -> Result<Self> {
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

    /// The training rows.
    pub(super) fn batches(&self) -> Vec<RecordBatch> {
        self.arrays.iter().map(|(_, batch)| (*batch).clone()).collect()
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

/// What is fitted, column by column, before it becomes one.
#[derive(Default)]
struct Parts {
    columns: Vec<(Column, NumericPart)>,
    combined: Vec<(Combined, NumericPart)>,
    choices: Vec<Choice>,
    /// Columns that only number the rows were left out.
    identifiers: bool,
}

impl Parts {
    /// All inputs side by side: those of the columns, then those of several columns.
    fn assemble(&self) -> Features {
        let mut numeric = NumericPart::default();
        self.columns.iter().for_each(|(_, inputs)| numeric.append(inputs.clone()));
        self.combined.iter().for_each(|(_, inputs)| numeric.append(inputs.clone()));
        Features {
            columns: self.columns.iter().map(|(column, _)| column.clone()).collect(),
            combined: self.combined.iter().map(|(combined, _)| combined.clone()).collect(),
            neighbours: None,
            choices: self.choices.clone(),
            numeric,
        }
    }

    /// Takes features out, with the reasons. Columns of which others are made are still read.
    fn leave_out(&mut self, reasons: &[(String, String)]) {
        let why = |name: &str| reasons.iter().find(|(left_out, _)| left_out == name).map(|(_, why)| why);
        self.combined.retain(|(combined, _)| why(&combined.name).is_none());
        let sources: Vec<String> =
            self.combined.iter().flat_map(|(combined, _)| combined.sources()).map(str::to_owned).collect();
        self.columns.retain(|(column, _)| why(&column.name).is_none() || sources.contains(&column.name));
        for (column, inputs) in self.columns.iter_mut().filter(|(column, _)| why(&column.name).is_some()) {
            set_apart(column, inputs);
        }
        for choice in &mut self.choices {
            if let Some(why) = why(&choice.column) {
                choice.feature = "left out".into();
                choice.how = format!("left out: {why}");
            }
        }
    }
}

/// Makes a column one that is read for others only. A number keeps its bins: crosses are made of them.
fn set_apart(column: &mut Column, inputs: &mut NumericPart) {
    *inputs = NumericPart::default();
    column.prepared = match std::mem::take(&mut column.prepared) {
        Prepared::Bins { edges } | Prepared::Apart { edges } => Prepared::Apart { edges },
        _ => Prepared::Apart { edges: vec![] },
    };
}

/// See [`Features::fit`].
pub(super) fn fit(
    spec: &FeaturesSpec,
    schema: &Schema,
    target: &Target,
    ignore: &[String],
    train: TrainingRows<'_>,
    takes: Takes<'_>,
) -> Result<Features> {
    check_names(spec, schema, &target.column, ignore)?;
    if train.is_empty() {
        return Err(Error::invalid("there are no training rows to fit the features on"));
    }
    let fields: Vec<&Field> = schema
        .fields()
        .iter()
        .map(AsRef::as_ref)
        .filter(|field| *field.name() != target.column && !ignore.contains(field.name()))
        .collect();
    let mut parts = fit_fields(spec, &fields, train, target, takes, Identifiers::LeftOut)?;
    if parts.columns.is_empty() && parts.identifiers {
        // The numbers of the rows are all there is: then they are what to learn from.
        parts = fit_fields(spec, &fields, train, target, takes, Identifiers::Kept)?;
    }
    let columns: Vec<Column> = parts.columns.iter().map(|(column, _)| column.clone()).collect();
    let is_of_several =
        combined::is_asked(spec, &columns) || neighbours::is_asked(spec) || select::is_asked(&spec.select);
    let train = if is_of_several { train.whole()? } else { Cow::Borrowed([].as_slice()) };
    for (combined, inputs, choice) in combined::fit(spec, &columns, &train)? {
        parts.combined.push((combined, inputs));
        parts.choices.push(choice);
    }
    let reasons = select::left_out(&spec.select, &parts.assemble(), target, &train)?;
    parts.leave_out(&reasons);
    let mut features = parts.assemble();
    if !reasons.is_empty() && features.numeric == NumericPart::default() {
        return Err(select::nothing_left(&reasons));
    }
    features.neighbours = neighbours::fit(spec, &features, &train)?;
    check_left(features, &target.column)
}

/// What becomes of columns that number the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identifiers {
    Kept,
    LeftOut,
}

/// A column to be fitted.
struct Asked<'a> {
    field: &'a Field,
    /// The model reads it by itself.
    read: bool,
    /// The list of the settings under which other features are made of it.
    source: Option<&'static str>,
}

/// What a column became.
enum Made {
    Read(Box<Fitted>),
    /// Read only for what is made of it, under this list, and why it is not read by itself.
    Apart(Box<Fitted>, &'static str, String),
    LeftOut(String),
    Identifier(String),
}

/// What each field becomes; every core fits columns.
fn fit_fields(
    spec: &FeaturesSpec,
    fields: &[&Field],
    train: TrainingRows<'_>,
    target: &Target,
    takes: Takes<'_>,
    found: Identifiers,
) -> Result<Parts> {
    let sources = combined::sources(spec);
    let asked = fields.iter().filter_map(|field| {
        let name = field.name();
        let source = sources.iter().find(|(_, source)| *source == name).map(|(list, _)| *list);
        let read = (spec.include.is_empty() || spec.include.contains(name)) && !spec.exclude.contains(name);
        (read || source.is_some()).then_some(Asked { field, read, source })
    });
    let asked: Vec<Asked<'_>> = asked.collect();
    let made = asked.par_iter().map(|asked| {
        let mut names = vec![asked.field.name().as_str(), PATH_COLUMN]; // pictures may be told by their paths
        if reads_target(asked.field, spec.columns.get(asked.field.name())) {
            names.push(&target.column);
        }
        let train = train.columns(&names)?;
        let training = Training::new(asked.field, &train, target, takes)?;
        make(spec, asked, &training, found)
    });
    let made: Vec<Result<Made>> = made.collect();
    let mut parts = Parts::default();
    // In order, so that of several wrong columns the first is named.
    for (asked, made) in asked.iter().zip(made) {
        let name = asked.field.name();
        match made? {
            Made::Read(fitted) => parts.add(name, *fitted),
            Made::Apart(fitted, list, why) => parts.add_apart(name, *fitted, list, &why),
            Made::LeftOut(reason) => parts.without(name, &reason),
            Made::Identifier(reason) => {
                parts.identifiers = true;
                parts.without(name, &reason);
            }
        }
    }
    Ok(parts)
}

/// Whether what is to be predicted is looked at to make this feature.
fn reads_target(field: &Field, spec: Option<&FeatureSpec>) -> bool {
    match spec.unwrap_or(&FeatureSpec::Auto) {
        FeatureSpec::Auto => is_text(field.data_type()), // of which texts may be made
        FeatureSpec::Category(spec) => matches!(spec.encode, CategoryEncoding::Target(_)),
        FeatureSpec::Text(_) => true,
        _ => false,
    }
}

fn make(spec: &FeaturesSpec, asked: &Asked<'_>, training: &Training<'_>, found: Identifiers) -> Result<Made> {
    let name = asked.field.name();
    let apart = |list, why| Ok(Made::Apart(Box::new(fit_apart(training, list)?), list, why));
    if let (false, Some(list)) = (asked.read, asked.source) {
        return apart(list, String::new());
    }
    let kept = found == Identifiers::Kept || spec.include.contains(name);
    let outcome = fit_column(training, spec.columns.get(name).unwrap_or(&FeatureSpec::Auto), kept)?;
    match (outcome, asked.source) {
        (Outcome::Read(fitted), _) => Ok(Made::Read(fitted)),
        (Outcome::LeftOut(reason) | Outcome::Identifier(reason), Some(list)) => {
            apart(list, format!(" (by itself it is left out: {reason})"))
        }
        (Outcome::LeftOut(reason), None) => Ok(Made::LeftOut(reason)),
        (Outcome::Identifier(reason), None) => Ok(Made::Identifier(reason)),
    }
}

/// A column that is read only for what is made of it, under this list of the settings.
fn fit_apart(training: &Training<'_>, list: &str) -> Result<Fitted> {
    match training.field.data_type() {
        kind if kind.is_null() => Err(training.without_values()),
        kind if is_number(kind) => number::fit(training, &NumberSpec::default(), number::read(training)?, false),
        arrow::datatypes::DataType::Boolean => number::fit_boolean(training, false),
        kind if is_text(kind) => category::fit(training, &CategorySpec::default(), category::count(training)?),
        kind => {
            let (name, holds) = (training.name, super::values::holds(kind));
            Err(Error::invalid(format!(
                "features.{list}: column \"{name}\" holds {holds}, of which no feature can be made with another"
            )))
        }
    }
}

impl Parts {
    fn add(&mut self, name: &str, fitted: Fitted) {
        let Fitted { kind, prepared, example, missing, inputs, how } = fitted;
        self.choices.push(Choice { column: name.into(), feature: kind.word().into(), how });
        self.columns.push((Column { name: name.into(), kind, missing, example, prepared }, inputs));
    }

    fn add_apart(&mut self, name: &str, fitted: Fitted, list: &str, why: &str) {
        self.add(name, fitted);
        let (Some((column, inputs)), Some(choice)) = (self.columns.last_mut(), self.choices.last_mut()) else {
            return;
        };
        set_apart(column, inputs);
        choice.how = format!("read only for features.{list}{why}");
    }

    fn without(&mut self, name: &str, reason: &str) {
        let how = format!("left out: {reason}");
        self.choices.push(Choice { column: name.into(), feature: "left out".into(), how });
    }
}

fn fit_column(training: &Training<'_>, spec: &FeatureSpec, asked: bool) -> Result<Outcome> {
    let fitted = match spec {
        FeatureSpec::Auto => return auto::fit(training, asked),
        FeatureSpec::Number(spec) => number::fit(training, spec, number::read(training)?, false)?,
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
    let mut others = vec![("exclude", spec.exclude.iter().collect::<Vec<_>>())];
    others.extend(combined::sources(spec).into_iter().map(|(list, name)| (list, vec![name])));
    for (list, names) in lists.iter().chain(&others) {
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
    for (list, name) in combined::sources(spec) {
        if *name == *target || ignore.contains(name) {
            let reason = if *name == *target { "is the target" } else { "divides the rows" };
            return Err(Error::invalid(format!("features.{list}: column \"{name}\" {reason} and cannot be a feature")));
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
