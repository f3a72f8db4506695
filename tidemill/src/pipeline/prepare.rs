//! Prepare: audit the rows, divide them, fit the features on the training part, encode all parts.

use arrow::compute::interleave_record_batch;
use arrow::record_batch::RecordBatch;
use data::{AuditReport, AuditRequest, Depth, Severity};
use learn::spec::{CrossValidationSpec, FoldsBy, SplitSpec};
use learn::{Encoded, Features, Others, Part, Split, Target, Task};

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};
use crate::terminal::count;

use super::Progress;
use super::collect::{Beyond, Tables};

/// Rows per batch after dividing: bounds the copies that are alive at one time.
const BATCH_ROWS: usize = 8_192;

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
    let train = encode_training(&features, &target, &divided.train)?;
    let validation = encode(&features, &target, divided.validation)?;
    let test_rows = divided.test.clone();
    let test = encode(&features, &target, divided.test)?;
    let beyond = divided.beyond;
    Ok(Prepared { features, target, audit: report, train, validation, test, test_rows, folds, beyond })
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
    let target = Target::fit(task.into(), &spec.target, train)?;
    let schema = schema_of(train, spec)?;
    let takes = spec.network.takes();
    let features = Features::fit(&spec.features, &schema, &target, &ignored(spec), train, takes)?;
    Ok(Fitted { features, target })
}

/// The features alone, as training would fit them, for `tidemill features`.
pub(crate) fn features_only(spec: &ModelSpec, tables: Tables) -> Result<Features> {
    let divided = divide(spec, tables)?;
    Ok(fit(spec, divided.task, &divided.train)?.features)
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

fn divide(spec: &ModelSpec, tables: Tables) -> Result<Divided> {
    let main = &tables.main;
    if main.iter().all(|batch| batch.num_rows() == 0) {
        return Err(Failure::input(format!("table \"{}\" has no rows", spec.table)));
    }
    let task = Target::fit(spec.task, &spec.target, main)?.task;
    let seed = spec.train.seed;
    let parts = match (&spec.split, &tables.validation) {
        (SplitSpec::Tables(_), Some(_)) => None,
        (by, _) => Some(learn::split(by, &spec.target, task, main, seed)?),
    };
    let none = Split::default();
    let others = |beyond: Beyond| -> Result<_> {
        let others = Others::new(&spec.split, beyond.drawn.clone(), main, parts.as_ref().unwrap_or(&none))?;
        Ok((beyond, others))
    };
    let beyond = tables.beyond.map(others).transpose()?;
    let part = |rows: &[u32]| take(main, rows);
    let divided = match (parts, tables.validation, tables.test) {
        (None, Some(validation), Some(test)) => Divided { task, train: tables.main, validation, test, beyond },
        (Some(Split { train, validation, .. }), _, Some(test)) => {
            Divided { task, train: part(&train)?, validation: part(&validation)?, test, beyond }
        }
        (parts, ..) => {
            let Split { train, validation, test } = parts.unwrap_or_default();
            Divided { task, train: part(&train)?, validation: part(&validation)?, test: part(&test)?, beyond }
        }
    };
    for (name, part) in [("validation", &divided.validation), ("test", &divided.test)] {
        if part.iter().all(|batch| batch.num_rows() == 0) {
            return Err(Failure::input(format!("the {name} part has no rows; change split in the project file")));
        }
    }
    Ok(divided)
}

/// Copies of these rows of all batches, in batches of bounded size.
pub(super) fn take(batches: &[RecordBatch], rows: &[u32]) -> Result<Vec<RecordBatch>> {
    let mut starts = Vec::with_capacity(batches.len());
    let mut start = 0;
    for batch in batches {
        starts.push(start);
        start += batch.num_rows();
    }
    let all: Vec<&RecordBatch> = batches.iter().collect();
    rows.chunks(BATCH_ROWS)
        .map(|chunk| {
            let places: Vec<(usize, usize)> = chunk
                .iter()
                .map(|&row| {
                    let batch = starts.partition_point(|&start| start <= row as usize) - 1;
                    (batch, row as usize - starts[batch])
                })
                .collect();
            interleave_record_batch(&all, &places)
                .map_err(|e| Failure::new(Fault::Ours, format!("cannot divide the rows: {e}")))
        })
        .collect()
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
