//! Do the rows keep what the project file promises of them? Expectations, checked by the engine in bounded memory.
//!
//! All conditions on single rows are counted in one pass over the table; keys are grouped, which spills to disk; failing
//! rows are looked for only where there are any. Names go to the engine as columns and values as literals, never as SQL.

mod conditions;
mod drift;
mod failing;
mod keys;
mod statistics;
mod suggest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::prelude::{DataFrame, Expr, lit, when};
use futures::StreamExt;
use profile::as_numbers;
use serde::{Deserialize, Serialize};

use self::conditions::{Condition, condition};
pub(crate) use self::conditions::{Family, type_of};
pub use self::drift::ColumnDrift;
pub(crate) use self::drift::{Values, compare, compared};
use self::failing::Keeper;
pub(crate) use self::keys::repeated;
pub use self::suggest::suggest;
use crate::audit::words::{counted, part, percent, share};
use crate::engine::{Engine, retell};
use crate::error::Result;
use crate::spec::{Expectation, FreshCheck, OnFailure, RowCountCheck, Scalar, SqlCheck};

/// Hours that a moment may lie ahead: days without a zone begin up to 14 hours early. What is farther ahead would seem fresh
/// for ever.
const AHEAD_H_MAX: f64 = 24.0;

/// How an expectation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectationStatus {
    /// It holds.
    Passed,
    /// It does not hold, and that is to be said only.
    Warned,
    /// It does not hold.
    Failed,
    /// There was nothing to compare with.
    NotChecked,
}

/// An expectation and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectationResult {
    /// Its name among those of the table: `range-age`.
    pub name: String,
    /// Its kind: `not_null`, `unique`, `range`, `matches`, `one_of`, `foreign_key`, `row_count`, `fresh`, `drift`, `sql`.
    pub kind: String,
    /// The columns it is about.
    pub columns: Vec<String>,
    /// How it ended.
    pub status: ExpectationStatus,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub observed: String,
    /// Rows, values or columns that were looked at.
    pub checked: u64,
    /// Those of them that fail.
    pub failing: u64,
    /// The share that may fail.
    pub at_most: f64,
    /// The file that holds the first failing rows.
    pub failing_rows: Option<PathBuf>,
}

impl ExpectationResult {
    /// What was expected and found, in one line.
    pub fn message(&self) -> String {
        let rows = self.failing_rows.as_ref();
        let rows = rows.map_or_else(String::new, |path| format!("; the first of them are in {}", path.display()));
        format!("{}: {}{rows}", self.expected, self.observed)
    }
}

/// What an expectation asks for that cannot be: its place in the list, the key below its kind, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectationFault {
    /// Place in the list, from 0.
    pub index: usize,
    /// The key, `column` or `columns[1]`; empty for the whole.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What to check.
pub struct ExpectRequest<'a> {
    /// The engine that knows the table, and those that its expectations name.
    pub engine: &'a Engine,
    /// The table.
    pub table: &'a str,
    /// What has to hold.
    pub all: &'a [Expectation],
    /// The tables that drift is measured against, by place in the list; none where there is nothing to compare with.
    pub references: &'a BTreeMap<usize, String>,
    /// The time, milliseconds since 1970 UTC.
    pub now_unix_ms: i64,
    /// The folder for failing rows, which is there; none keeps none.
    pub folder: Option<&'a Path>,
}

/// What can be told to be wrong by the columns alone, before any row is read.
///
/// # Errors
/// A table that the engine does not know.
pub async fn faults(request: &ExpectRequest<'_>) -> Result<Vec<ExpectationFault>> {
    let frame = request.engine.frame(request.table).await?;
    let mut faults = Vec::new();
    for (index, check) in request.all.iter().enumerate() {
        let mut fault = |(key, message)| faults.push(ExpectationFault { index, key, message });
        if let Err(found) = condition(&frame, request.table, check) {
            fault(found);
            continue;
        }
        if let Expectation::ForeignKey(key) = check {
            let other = request.engine.frame(&key.table).await?;
            if let Err(found) = keys::fits(&frame, &other, key) {
                fault(found);
            }
        }
    }
    Ok(faults)
}

/// Checks the expectations of a table.
///
/// # Errors
/// A source that cannot be read, SQL that is wrong, a full disk, a bound on memory or disk. Rows that fail are results.
pub async fn expect(request: &ExpectRequest<'_>) -> Result<Vec<ExpectationResult>> {
    let frame = request.engine.frame(request.table).await?;
    let conditions: Vec<Condition> = request
        .all
        .iter()
        .map(|check| condition(&frame, request.table, check).map_err(|(_, why)| crate::Error::Invalid(why)))
        .collect::<Result<_>>()?;
    let counts = count_all(&frame, &conditions, request.engine).await?;
    let mut keeper = Keeper::new(request.folder)?;
    let mut results = Vec::new();
    for (index, (check, condition)) in request.all.iter().zip(conditions).enumerate() {
        let name = keeper.name(check);
        let found = Checking { request, frame: &frame, counts: &counts, index, check, name: &name, condition }
            .found(&mut keeper)
            .await?;
        results.push(judge(check, name, found));
    }
    Ok(results)
}

/// What one pass over the table says.
struct Counts {
    rows: u64,
    /// Looked at and failing, by place of the expectation.
    of: BTreeMap<usize, (u64, u64)>,
    /// The latest moment, seconds since 1970 UTC, by place.
    latest: BTreeMap<usize, f64>,
}

/// What was found of one expectation.
#[derive(Default)]
struct Outcome {
    checked: u64,
    failing: u64,
    expected: String,
    observed: String,
    failing_rows: Option<PathBuf>,
    is_unknown: bool,
}

async fn count_all(frame: &DataFrame, conditions: &[Condition], engine: &Engine) -> Result<Counts> {
    let one = |condition: &Expr| when(condition.clone(), lit(1_i64)).end();
    let mut figures = vec![count(lit(1_i64)).alias("rows")];
    for (index, condition) in conditions.iter().enumerate() {
        match condition {
            Condition::Rows { checked, failing } => {
                let ends = [("checked", one(checked)), ("failing", one(failing))];
                for (name, case) in ends {
                    figures.push(count(case.map_err(|e| retell(&e, Some(engine)))?).alias(format!("{name} {index}")));
                }
            }
            Condition::Latest(column) => figures.push(max(column.clone()).alias(format!("latest {index}"))),
            Condition::Whole => {}
        }
    }
    let batches = engine.answer(frame.clone().aggregate(Vec::new(), figures)).await?.collect().await?;
    let whole = |name: &str| number(&batches, name).unwrap_or(0);
    let mut counts = Counts { rows: whole("rows"), of: BTreeMap::new(), latest: BTreeMap::new() };
    for (index, condition) in conditions.iter().enumerate() {
        match condition {
            Condition::Rows { .. } => {
                let figures = (whole(&format!("checked {index}")), whole(&format!("failing {index}")));
                counts.of.insert(index, figures);
            }
            Condition::Latest(_) => {
                let latest = batches.iter().filter_map(|batch| batch.column_by_name(&format!("latest {index}")));
                let latest = latest.filter_map(|array| as_numbers(array)).flatten().find(|value| value.is_finite());
                counts.latest.extend(latest.map(|latest| (index, latest)));
            }
            Condition::Whole => {}
        }
    }
    Ok(counts)
}

/// The whole number in the one row of an answer.
fn number(batches: &[RecordBatch], name: &str) -> Option<u64> {
    let array = batches.iter().filter(|batch| batch.num_rows() > 0).find_map(|batch| batch.column_by_name(name))?;
    let array = arrow::compute::cast(array, &DataType::Int64).ok()?;
    let array = array.as_primitive::<Int64Type>();
    (!array.is_null(0)).then(|| array.value(0).unsigned_abs())
}

/// One expectation on its way.
struct Checking<'a> {
    request: &'a ExpectRequest<'a>,
    frame: &'a DataFrame,
    counts: &'a Counts,
    index: usize,
    check: &'a Expectation,
    name: &'a str,
    condition: Condition,
}

impl Checking<'_> {
    async fn found(&self, keeper: &mut Keeper<'_>) -> Result<Outcome> {
        match self.check {
            Expectation::Unique(check) => {
                self.keys(keys::repeated(self.request.engine, self.frame, check).await?, keeper).await
            }
            Expectation::ForeignKey(check) => {
                self.keys(keys::orphans(self.request.engine, self.frame, check).await?, keeper).await
            }
            Expectation::RowCount(check) => Ok(row_count(check, self.counts.rows)),
            Expectation::Fresh(check) => {
                let latest = self.counts.latest.get(&self.index).copied();
                Ok(fresh(check, latest, self.request.now_unix_ms))
            }
            Expectation::Drift(check) => match self.request.references.get(&self.index) {
                Some(name) => drift::drift(self.request.engine, self.frame, name, check).await,
                None => Ok(Outcome {
                    expected: drift::expected(check, "the last snapshot"),
                    observed: "there is no snapshot yet to compare with; tidemill run takes one".to_owned(),
                    is_unknown: true,
                    ..Outcome::default()
                }),
            },
            Expectation::Sql(check) => self.sql(check, keeper).await,
            _ => self.rows(keeper).await,
        }
    }

    /// A condition on single rows.
    async fn rows(&self, keeper: &mut Keeper<'_>) -> Result<Outcome> {
        let (checked, failing) = self.counts.of.get(&self.index).copied().unwrap_or_default();
        let unit = if matches!(self.check, Expectation::NotNull(_)) { "row" } else { "value" };
        let mut found = Outcome {
            checked,
            failing,
            expected: expected(self.check),
            observed: observed(unit, checked, failing),
            ..Outcome::default()
        };
        if let Condition::Rows { failing: condition, .. } = &self.condition
            && failing > 0
        {
            let rows = keeper.first(self.frame, condition, self.request.engine).await?;
            found.failing_rows = keeper.keep(self.name, rows).await?;
        }
        Ok(found)
    }

    async fn keys(&self, found: keys::Found, keeper: &mut Keeper<'_>) -> Result<Outcome> {
        let unit = if matches!(self.check, Expectation::Unique(_)) { "row" } else { "value" };
        let mut outcome = Outcome {
            checked: found.checked,
            failing: found.failing,
            expected: expected(self.check),
            observed: observed(unit, found.checked, found.failing),
            ..Outcome::default()
        };
        if let Some(condition) = &found.first {
            let rows = keeper.first(self.frame, condition, self.request.engine).await?;
            outcome.failing_rows = keeper.keep(self.name, rows).await?;
        }
        Ok(outcome)
    }

    async fn sql(&self, check: &SqlCheck, keeper: &mut Keeper<'_>) -> Result<Outcome> {
        let mut rows = self.request.engine.query(&check.query).await?;
        let (mut failing, mut kept) = (0_u64, keeper.open(self.name, &rows.schema)?);
        while let Some(batch) = rows.batches.next().await {
            let batch = batch?;
            failing += batch.num_rows() as u64;
            if let Some(kept) = &mut kept {
                kept.add(&batch)?;
            }
        }
        Ok(Outcome {
            checked: self.counts.rows,
            failing,
            expected: expected(self.check),
            observed: match failing {
                0 => "the query has none".to_owned(),
                n => format!("the query has {}", counted(n, "row")),
            },
            failing_rows: match kept {
                Some(kept) if failing > 0 => Some(kept.finish()?),
                _ => None,
            },
            ..Outcome::default()
        })
    }
}

fn judge(check: &Expectation, name: String, found: Outcome) -> ExpectationResult {
    let is_broken = match check {
        Expectation::Drift(check) => {
            found.checked > 0 && share(found.failing, found.checked) >= check.columns_share && found.failing > 0
        }
        _ => found.failing as f64 > check.at_most() * found.checked as f64,
    };
    let status = match (found.is_unknown, is_broken, check.on_failure()) {
        (true, ..) => ExpectationStatus::NotChecked,
        (_, false, _) => ExpectationStatus::Passed,
        (_, true, OnFailure::Warn) => ExpectationStatus::Warned,
        (_, true, OnFailure::Fail) => ExpectationStatus::Failed,
    };
    ExpectationResult {
        name,
        kind: check.kind().to_owned(),
        columns: check.columns().into_iter().map(|(_, name)| name.to_owned()).collect(),
        status,
        expected: found.expected,
        observed: found.observed,
        checked: found.checked,
        failing: found.failing,
        at_most: check.at_most(),
        failing_rows: found.failing_rows,
    }
}

fn observed(unit: &str, checked: u64, failing: u64) -> String {
    match failing {
        0 => format!("all {} do", counted(checked, unit)),
        _ => format!("{} {}", part(failing, checked, unit), if failing == 1 { "does not" } else { "do not" }),
    }
}

/// What is expected, as a sentence that `observed` goes on with.
fn expected(check: &Expectation) -> String {
    let but = match check.at_most() {
        0.0 => String::new(),
        share => format!(", but for {} at most", percent(share)),
    };
    let text = match check {
        Expectation::NotNull(check) => format!("every row has a value in column \"{}\"", check.column),
        Expectation::Unique(check) => match check.columns.as_slice() {
            [one] => format!("column \"{one}\" tells rows apart"),
            several => format!("columns {} together tell rows apart", quoted(several)),
        },
        Expectation::Range(check) => {
            let ends = match (&check.min, &check.max) {
                (Some(min), Some(max)) => format!("lie between {} and {}", plain(min), plain(max)),
                (Some(min), None) => format!("are {} or more", plain(min)),
                (None, Some(max)) => format!("are {} or less", plain(max)),
                (None, None) => "are any".to_owned(),
            };
            format!("values of column \"{}\" {ends}", check.column)
        }
        Expectation::Matches(check) => format!("values of column \"{}\" match {}", check.column, check.pattern),
        Expectation::OneOf(check) => {
            let shown: Vec<String> = check.values.iter().take(8).map(Scalar::to_string).collect();
            let more = if check.values.len() > shown.len() { ", …" } else { "" };
            format!("values of column \"{}\" are one of {}{more}", check.column, shown.join(", "))
        }
        Expectation::ForeignKey(check) => format!(
            "values of column \"{}\" stand in column \"{}\" of \"{}\"",
            check.column,
            check.other_column(),
            check.table
        ),
        Expectation::Sql(check) => match &check.name {
            Some(name) => format!("no row says otherwise: {name}"),
            None => format!("no rows of: {}", check.query.split_whitespace().collect::<Vec<_>>().join(" ")),
        },
        Expectation::RowCount(_) | Expectation::Fresh(_) | Expectation::Drift(_) => String::new(),
    };
    format!("{text}{but}")
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// A value without the quotes around texts.
fn plain(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

fn row_count(check: &RowCountCheck, rows: u64) -> Outcome {
    let expected = match (check.min, check.max) {
        (Some(min), Some(max)) if min == max => counted(min, "row"),
        (Some(min), Some(max)) => format!("{} to {}", counted(min, ""), counted(max, "row")),
        (Some(min), None) => format!("at least {}", counted(min, "row")),
        (None, Some(max)) => format!("at most {}", counted(max, "row")),
        (None, None) => "any number of rows".to_owned(),
    };
    let fits = check.min.is_none_or(|min| rows >= min) && check.max.is_none_or(|max| rows <= max);
    Outcome {
        checked: 1,
        failing: u64::from(!fits),
        expected,
        observed: format!("there are {}", counted(rows, "row")),
        ..Outcome::default()
    }
}

fn fresh(check: &FreshCheck, latest: Option<f64>, now_unix_ms: i64) -> Outcome {
    let age_h = latest.map(|latest| (now_unix_ms as f64 / 1e3 - latest) / 3_600.0);
    let moment = latest.and_then(|latest| chrono::DateTime::from_timestamp(latest as i64, 0));
    let moment = moment.map(|moment| moment.format("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    Outcome {
        checked: 1,
        failing: u64::from(age_h.is_none_or(|age| age > check.within_h || age < -AHEAD_H_MAX)),
        expected: format!("the latest \"{}\" is {} h old at most", check.column, check.within_h),
        observed: match age_h {
            None => "there is none".to_owned(),
            Some(age) if age < -AHEAD_H_MAX => {
                format!("it is of {moment}, {:.1} h ahead: a clock is wrong, or a time zone", -age)
            }
            Some(age) => format!("it is of {moment}, {age:.1} h ago"),
        },
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests;
