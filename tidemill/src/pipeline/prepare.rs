//! Prepare: audit the rows, divide them, fit the features on the training part, encode all parts.

use arrow::array::UInt32Array;
use arrow::compute::{BatchCoalescer, concat_batches, take_record_batch};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use data::{AuditReport, AuditRequest, Depth, Severity};
use learn::spec::{CrossValidationSpec, FoldsBy, SplitSpec};
use learn::{Encoded, Features, Others, Part, Split, Target, Task, TrainingRows};
use rayon::prelude::*;

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};
use crate::terminal::count;

use super::Progress;
use super::collect::{Beyond, Tables};

/// Rows per batch after dividing: bounds the copies that are alive at one time.
const BATCH_ROWS: usize = 8_192;
/// Batches that one thread divides: each leaves at most one batch that is not full.
const BATCHES_AT_ONCE: usize = 32;

impl Divided {
    fn without_test(&self) -> Seen {
        Seen { task: self.task, train: self.train.clone(), validation: self.validation.clone() }
    }
}

/// Everything training and evaluation need.
pub(crate) struct Prepared {
    pub features: Features,
    pub target: Target,
    pub audit: AuditReport,
    pub train: Set,
    pub validation: Set,
    pub test: Set,
    /// The test rows as they were collected, to show the worst answers.
    pub test_rows: Vec<RecordBatch>,
    /// Some training rows as they were collected, to explain answers against.
    pub background: Vec<RecordBatch>,
    /// All other rows as they were collected, where cross-validation is asked for.
    pub folds: Option<Seen>,
    /// Training rows beyond `train`, where memory does not hold all.
    pub beyond: Option<(Beyond, Others)>,
}

/// Training and validation rows as they were collected.
pub(crate) struct Seen {
    /// As all rows show it.
    pub task: Task,
    pub train: Vec<RecordBatch>,
    pub validation: Vec<RecordBatch>,
}

/// One part of the rows, encoded.
pub(crate) struct Set {
    pub encoded: Encoded,
    /// Class index or value of each row.
    pub truth: Vec<f32>,
}

impl Set {
    pub(super) fn part(&self) -> Part<'_> {
        Part { encoded: &self.encoded, target: &self.truth, rows: (0..self.len() as u32).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.encoded.rows
    }
}

impl Prepared {
    pub(super) fn describe(&self) -> String {
        format!(
            "{} training, {} validation, {} test rows; {} inputs from {} columns",
            count(self.train.len() as u64),
            count(self.validation.len() as u64),
            count(self.test.len() as u64),
            count(self.features.dense_width() as u64),
            self.features.columns().len(),
        )
    }
}

/// The three parts as collected.
struct Divided {
    /// As all rows show it; the training part alone might be taken for another.
    task: Task,
    train: Vec<RecordBatch>,
    validation: Vec<RecordBatch>,
    test: Vec<RecordBatch>,
    beyond: Option<(Beyond, Others)>,
}

pub(super) fn prepare(spec: &ModelSpec, tables: Tables, on: &mut dyn FnMut(Progress)) -> Result<Prepared> {
    let divided = divide(spec, tables)?;
    let report = audit(spec, &divided, Depth::Quick)?;
    refuse_bad_data(&report, on)?;
    let Fitted { features, target } = fit(spec, divided.task, &divided.train)?;
    for choice in features.choices() {
        on(Progress::Note(&format!("  {}: {}", choice.column, choice.how)));
    }
    let folds = spec.evaluate.cross_validation.is_some().then(|| divided.without_test());
    let background = background(spec, &divided.train)?;
    let train = encode_training(&features, &target, &divided.train)?;
    let validation = encode(&features, &target, divided.validation)?;
    let test_rows = divided.test.clone();
    let test = encode(&features, &target, divided.test)?;
    let beyond = divided.beyond;
    Ok(Prepared { features, target, audit: report, train, validation, test, test_rows, background, folds, beyond })
}

/// The training rows that are kept with the version.
fn background(spec: &ModelSpec, train: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let rows: usize = train.iter().map(RecordBatch::num_rows).sum();
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    let drawn = learn::background_rows(rows, spec.evaluate.background_rows_max, spec.train.seed);
    let mut ascending = drawn.clone();
    ascending.sort_unstable();
    let taken = take(train, &ascending)?;
    let Some(first) = taken.first() else { return Ok(Vec::new()) };
    let taken = concat_batches(first.schema_ref(), &taken)
        .map_err(|e| Failure::new(Fault::Ours, format!("cannot gather background rows: {e}")))?;
    let places: UInt32Array = drawn.iter().map(|row| ascending.partition_point(|other| other < row) as u32).collect();
    let rows = take_record_batch(&taken, &places);
    Ok(vec![rows.map_err(|e| Failure::new(Fault::Ours, format!("cannot order background rows: {e}")))?])
}

/// The training and validation rows, audited; nothing looks at the test rows.
pub(super) fn without_test(spec: &ModelSpec, tables: Tables, on: &mut dyn FnMut(Progress)) -> Result<Seen> {
    let divided = Divided { test: Vec::new(), ..divide(spec, tables)? };
    refuse_bad_data(&audit(spec, &divided, Depth::Quick)?, on)?;
    Ok(divided.without_test())
}

/// What is fitted on training rows, and on nothing else.
pub(super) struct Fitted {
    pub features: Features,
    pub target: Target,
}

/// Fits target and features on training rows.
pub(super) fn fit(spec: &ModelSpec, task: Task, train: &[RecordBatch]) -> Result<Fitted> {
    fit_on(spec, task, train, train.into())
}

/// Fits target and features on the training rows of a table.
fn fit_on(spec: &ModelSpec, task: Task, table: &[RecordBatch], train: TrainingRows<'_>) -> Result<Fitted> {
    let target = Target::fit(task.into(), &spec.target, &train.columns(&[&spec.target])?)?;
    let schema = schema_of(table, spec)?;
    let takes = spec.network.takes();
    let features = Features::fit(&spec.features, &schema, &target, &ignored(spec), train, takes)?;
    Ok(Fitted { features, target })
}

/// The features alone, as training would fit them, for `tidemill features`.
pub(crate) fn features_only(spec: &ModelSpec, tables: &Tables) -> Result<Features> {
    let (task, parts) = parts(spec, tables)?;
    let train = match &parts {
        Some(split) => TrainingRows::some(&tables.main, &split.train),
        None => (&tables.main).into(),
    };
    Ok(fit_on(spec, task, &tables.main, train)?.features)
}

/// The columns of which features can be made, the target and what divides the rows; nothing where all of the table may be.
pub(super) fn columns_read(spec: &ModelSpec) -> Option<Vec<String>> {
    let mut columns: Vec<String> = spec.features.columns_read()?.into_iter().map(str::to_owned).collect();
    columns.push(spec.target.clone());
    columns.extend(ignored(spec));
    if let SplitSpec::Time(split) = &spec.split {
        columns.push(split.column.clone());
    }
    Some(columns)
}

/// The audit alone, for `tidemill audit`.
pub(crate) fn audit_only(spec: &ModelSpec, tables: Tables) -> Result<AuditReport> {
    audit(spec, &divide(spec, tables)?, Depth::Full)
}

fn audit(spec: &ModelSpec, divided: &Divided, depth: Depth) -> Result<AuditReport> {
    let train: Vec<RecordBatch> = divided.train.iter().chain(&divided.validation).cloned().collect();
    let (table, target) = (spec.table.as_str(), Some(spec.target.as_str()));
    Ok(data::audit(&AuditRequest { table, target, train: &train, test: &divided.test, depth })?)
}

fn refuse_bad_data(report: &AuditReport, on: &mut dyn FnMut(Progress)) -> Result<()> {
    for finding in &report.findings {
        if finding.severity == Severity::Warning {
            on(Progress::Warning(&finding.message));
        }
    }
    match report.findings.iter().find(|finding| finding.severity == Severity::Error) {
        Some(error) => Err(Failure::new(Fault::Input, format!("the data cannot be used: {}", error.message))),
        None => Ok(()),
    }
}

/// Columns that are no features although the table has them.
fn ignored(spec: &ModelSpec) -> Vec<String> {
    let mut ignored = match &spec.split {
        SplitSpec::Column(split) => vec![split.column.clone()],
        SplitSpec::Group(split) => vec![split.column.clone()],
        SplitSpec::Tables(split) => split.group.iter().cloned().collect(),
        SplitSpec::Fraction(_) | SplitSpec::Time(_) => Vec::new(),
    };
    if let Some(window) = &spec.window {
        ignored.extend(window.key.iter().filter(|key| !ignored.contains(key)).cloned().collect::<Vec<_>>());
    }
    if let Some(CrossValidationSpec { by: FoldsBy::Group(by), .. }) = &spec.evaluate.cross_validation
        && !ignored.contains(&by.column)
    {
        ignored.push(by.column.clone());
    }
    ignored
}

fn schema_of(batches: &[RecordBatch], spec: &ModelSpec) -> Result<arrow::datatypes::SchemaRef> {
    let first = batches.first().ok_or_else(|| Failure::input(format!("table \"{}\" has no rows", spec.table)))?;
    Ok(first.schema())
}

/// What is to be learned, and which rows are for what; nothing where the parts are tables.
fn parts(spec: &ModelSpec, tables: &Tables) -> Result<(Task, Option<Split>)> {
    let main = &tables.main;
    if main.iter().all(|batch| batch.num_rows() == 0) {
        return Err(Failure::input(format!("table \"{}\" has no rows", spec.table)));
    }
    let task = Target::fit(spec.task, &spec.target, main)?.task;
    let parts = match (&spec.split, &tables.validation) {
        (SplitSpec::Tables(_), Some(_)) => None,
        (by, _) => Some(learn::split(by, &spec.target, task, main, spec.train.seed)?),
    };
    Ok((task, parts))
}

fn divide(spec: &ModelSpec, tables: Tables) -> Result<Divided> {
    let (task, parts) = parts(spec, &tables)?;
    let (main, none) = (&tables.main, Split::default());
    let others = |beyond: Beyond| -> Result<_> {
        let others = Others::new(&spec.split, beyond.drawn.clone(), main, parts.as_ref().unwrap_or(&none))?;
        Ok((beyond, others))
    };
    let beyond = tables.beyond.map(others).transpose()?;
    let (main, held_out) = (tables.main, (tables.validation, tables.test));
    let divided = match (parts, held_out) {
        (None, (Some(validation), Some(test))) => Divided { task, train: main, validation, test, beyond },
        (Some(Split { train, validation, .. }), (_, Some(test))) => {
            let [train, validation] = copied(main, [&train, &validation])?;
            Divided { task, train, validation, test, beyond }
        }
        (parts, _) => {
            let Split { train, validation, test } = parts.unwrap_or_default();
            let [train, validation, test] = copied(main, [&train, &validation, &test])?;
            Divided { task, train, validation, test, beyond }
        }
    };
    for (name, part) in [("validation", &divided.validation), ("test", &divided.test)] {
        if part.iter().all(|batch| batch.num_rows() == 0) {
            return Err(Failure::input(format!("the {name} part has no rows; change split in the project file")));
        }
    }
    Ok(divided)
}

/// Copies of these rows of all batches, ascending, in batches of bounded size.
pub(super) fn take(batches: &[RecordBatch], rows: &[u32]) -> Result<Vec<RecordBatch>> {
    let [taken] = copied(batches.to_vec(), [rows])?;
    Ok(taken)
}

/// Copies of the rows of each part, ascending, in batches of bounded size, made on several threads. Each batch is let go before
/// the next is copied, so that memory does not hold all rows twice.
fn copied<const PARTS: usize>(batches: Vec<RecordBatch>, parts: [&[u32]; PARTS]) -> Result<[Vec<RecordBatch>; PARTS]> {
    let mut groups: Vec<(usize, Vec<RecordBatch>)> = Vec::with_capacity(batches.len() / BATCHES_AT_ONCE + 1);
    let mut before = 0;
    for batch in batches {
        let rows = batch.num_rows();
        match groups.last_mut() {
            Some((_, group)) if group.len() < BATCHES_AT_ONCE => group.push(batch),
            _ => groups.push((before, vec![batch])),
        }
        before += rows;
    }
    let of_group = |(mut before, batches): (usize, Vec<RecordBatch>)| {
        let mut taking = parts.map(|rows| Taking::from(rows, before));
        for batch in batches {
            taking.iter_mut().try_for_each(|part| part.push(&batch, before))?;
            before += batch.num_rows();
        }
        taking.iter_mut().try_for_each(Taking::finish)?;
        Ok(taking.map(|part| part.taken))
    };
    let copies: Vec<Result<_, ArrowError>> = groups.into_par_iter().map(of_group).collect();
    let mut all = [const { Vec::new() }; PARTS];
    for group in copies {
        let group = group.map_err(|e| Failure::new(Fault::Ours, format!("cannot divide the rows: {e}")))?;
        all.iter_mut().zip(group).for_each(|(all, part)| all.extend(part));
    }
    Ok(all)
}

/// A part of the rows that is being copied.
struct Taking<'r> {
    /// Those that are still to come.
    rows: &'r [u32],
    copies: Option<BatchCoalescer>,
    taken: Vec<RecordBatch>,
}

impl<'r> Taking<'r> {
    /// Nothing yet of batches whose first row is this one.
    fn from(rows: &'r [u32], before: usize) -> Self {
        let earlier = rows.partition_point(|&row| (row as usize) < before);
        Self { rows: &rows[earlier..], copies: None, taken: Vec::new() }
    }

    /// Copies its rows of the next batch, whose first row is this one.
    fn push(&mut self, batch: &RecordBatch, before: usize) -> std::result::Result<(), ArrowError> {
        let Some(wanted) = learn::rows_of_batch(&mut self.rows, before, batch.num_rows()) else { return Ok(()) };
        let copies = self.copies.get_or_insert_with(|| BatchCoalescer::new(batch.schema(), BATCH_ROWS));
        copies.push_batch_with_filter(batch.clone(), &wanted)?;
        while let Some(full) = copies.next_completed_batch() {
            self.taken.push(full);
        }
        Ok(())
    }

    fn finish(&mut self) -> std::result::Result<(), ArrowError> {
        if let Some(copies) = &mut self.copies {
            copies.finish_buffered_batch()?;
            self.taken.extend(copies.next_completed_batch());
        }
        Ok(())
    }
}

/// The rows that the features were fitted on.
pub(super) fn encode_training(features: &Features, target: &Target, batches: &[RecordBatch]) -> Result<Set> {
    Ok(Set { encoded: features.encode_training(target, batches)?, truth: target.encode(batches)? })
}

pub(super) fn encode(features: &Features, target: &Target, batches: Vec<RecordBatch>) -> Result<Set> {
    let mut set = Set { encoded: Encoded::default(), truth: Vec::new() };
    for batch in batches {
        set.encoded.append(features.encode(&batch)?);
        set.truth.extend(target.encode(std::slice::from_ref(&batch))?);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, UInt32Array};
    use arrow::datatypes::UInt32Type;

    use super::*;

    #[test]
    fn rows_are_copied_in_order_whatever_batches_they_are_in() {
        let mut before = 0;
        let batches: Vec<RecordBatch> = (0..1_000_u32)
            .map(|n| {
                let values: UInt32Array = (before..before + n * 7 % 50).collect();
                before += n * 7 % 50;
                RecordBatch::try_from_iter([("n", Arc::new(values) as _)]).unwrap()
            })
            .collect();
        let parts: [Vec<u32>; 4] =
            [1, 2, 3, 1_000].map(|nth| (0..before).filter(|row| row % nth == 0 && row % 5_000 > 30).collect());
        let taken = copied(batches, parts.each_ref().map(Vec::as_slice)).unwrap();
        for (rows, taken) in parts.iter().zip(taken) {
            assert!(taken.iter().all(|batch| (1..=BATCH_ROWS).contains(&batch.num_rows())));
            let values = taken.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt32Type>().values().to_vec());
            assert!(values.eq(rows.iter().copied()));
        }
    }
}
