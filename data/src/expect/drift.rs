//! Have the rows changed against others? Column by column, as Evidently does it: tests against few reference rows,
//! distances against many.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use arrow::array::Array;
use datafusion::prelude::{DataFrame, Expr, ident};
use futures::StreamExt;
use profile::hash::{MISSING, hash_column};
use profile::{Already, Sample, as_numbers};
use serde::Serialize;

use super::Outcome;
use super::conditions::Family;
use super::statistics::{chi_square, jensen_shannon, kolmogorov_smirnov, normed_wasserstein};
use crate::audit::words::counted;
use crate::engine::{Engine, retell};
use crate::error::{Error, Result};
use crate::spec::DriftCheck;

/// Reference rows up to which a test is made.
const TEST_ROWS_MAX: usize = 1_000;
/// Values of a column of numbers that are kept; of more, a random sample.
const VALUES_MAX: usize = 20_000;
/// Different values of a column of categories; one with more names rows, and is not compared.
const CATEGORIES_MAX: usize = 10_000;
/// Columns that are compared.
const COLUMNS_MAX: usize = 500;
/// Drifted columns that a message names.
const SHOWN_MAX: usize = 5;

/// What is expected, in words.
pub(super) fn expected(check: &DriftCheck, reference: &str) -> String {
    match check.columns.as_slice() {
        [] => format!("the rows are distributed as those of {reference}"),
        [one] => format!("column \"{one}\" is distributed as in {reference}"),
        several => format!("columns {} are distributed as in {reference}", super::quoted(several)),
    }
}

/// Compares a table with a reference, which the engine knows under `name`.
pub(super) async fn drift(engine: &Engine, frame: &DataFrame, name: &str, check: &DriftCheck) -> Result<Outcome> {
    let reference = engine.frame(name).await?;
    let shown = check.against.as_ref().map_or("the last snapshot".to_owned(), |against| format!("\"{against}\""));
    let columns = compared(frame, &reference, check, &shown)?;
    let past = gather(engine, &reference, &columns).await?;
    let now = gather(engine, frame, &columns).await?;
    let expected = expected(check, &shown);
    if past.rows == 0 {
        let observed = format!("{shown} has no rows to compare with");
        return Ok(Outcome { expected, observed, is_unknown: true, ..Outcome::default() });
    }
    let (mut checked, mut drifted) = (0, Vec::new());
    let parts = columns.iter().zip(past.columns).zip(now.columns);
    for (((column, _), past_values), now_values) in parts {
        let Some(found) = compare(past_values, now_values, past.rows, check) else { continue };
        checked += 1;
        if found.drifts {
            drifted.push((found.strength(), format!("\"{column}\": {}", found.words())));
        }
    }
    drifted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown: Vec<&str> = drifted.iter().take(SHOWN_MAX).map(|(_, words)| words.as_str()).collect();
    let more = if drifted.len() > SHOWN_MAX { ", …" } else { "" };
    let observed = match (checked, drifted.len()) {
        (0, _) => "there is no column that can be compared".to_owned(),
        (all, 0) => format!("none of {} drifts", counted(all, "column")),
        (all, n) => format!(
            "{n} of {} {} ({}{more})",
            counted(all, "column"),
            if n == 1 { "drifts" } else { "drift" },
            shown.join(", ")
        ),
    };
    let failing = drifted.len() as u64;
    Ok(Outcome { checked, failing, expected, observed, is_unknown: checked == 0, ..Outcome::default() })
}

/// The columns that both have, with what their values are.
pub(crate) fn compared(
    frame: &DataFrame,
    reference: &DataFrame,
    check: &DriftCheck,
    shown: &str,
) -> Result<Vec<(String, Family)>> {
    let family = |frame: &DataFrame, name: &str| {
        let fields = frame.schema().fields();
        fields.iter().find(|field| field.name() == name).map(|field| Family::of(field.data_type()))
    };
    let wanted: BTreeSet<&str> = check.columns.iter().map(String::as_str).collect();
    let mut columns = Vec::new();
    for field in frame.schema().fields() {
        let name = field.name();
        let is_wanted = wanted.contains(name.as_str());
        if !wanted.is_empty() && !is_wanted {
            continue;
        }
        match (Family::of(field.data_type()), family(reference, name)) {
            (Family::Other, _) => {}
            (here, Some(there)) if here == there => columns.push((name.clone(), here)),
            (here, Some(there)) if is_wanted => {
                return Err(Error::invalid(format!(
                    "column \"{name}\" holds {}, but {} in {shown}; CAST one of them",
                    here.name(),
                    there.name()
                )));
            }
            (_, None) if is_wanted => {
                return Err(Error::NotFound(format!("{shown} has no column \"{name}\" to compare with")));
            }
            _ => {}
        }
    }
    columns.truncate(COLUMNS_MAX);
    Ok(columns)
}

struct Gathered {
    rows: usize,
    columns: Vec<Values>,
}

/// What is kept of the values of a column.
pub(crate) enum Values {
    Numbers(Sample),
    /// Nothing where there are too many different ones.
    Categories(Option<HashMap<u64, u64, BuildHasherDefault<Already>>>),
}

impl Values {
    pub(crate) fn of(family: Family) -> Self {
        match family {
            Family::Number | Family::Moment => Self::Numbers(Sample::new(VALUES_MAX)),
            _ => Self::Categories(Some(HashMap::default())),
        }
    }

    /// Adds values; `hashes` gives those of [`hash_column`].
    pub(crate) fn add<'h>(&mut self, array: &dyn Array, hashes: impl FnOnce() -> Cow<'h, [u64]>) {
        match self {
            Self::Numbers(sample) => {
                let numbers = as_numbers(array).unwrap_or_default();
                numbers.into_iter().filter(|value| value.is_finite()).for_each(|value| sample.add(value));
            }
            Self::Categories(Some(counts)) => {
                for hash in hashes().iter().filter(|hash| **hash != MISSING) {
                    *counts.entry(*hash).or_insert(0) += 1;
                }
                if counts.len() > CATEGORIES_MAX {
                    *self = Self::Categories(None);
                }
            }
            Self::Categories(None) => {}
        }
    }
}

/// One pass over a table; what is kept has a bound.
async fn gather(engine: &Engine, frame: &DataFrame, columns: &[(String, Family)]) -> Result<Gathered> {
    let mut gathered = Gathered { rows: 0, columns: columns.iter().map(|(_, family)| Values::of(*family)).collect() };
    if columns.is_empty() {
        return Ok(gathered);
    }
    let names: Vec<Expr> = columns.iter().map(|(name, _)| ident(name.as_str())).collect();
    let frame = frame.clone().select(names).map_err(|e| retell(&e, Some(engine)))?;
    let mut rows = engine.answer(Ok(frame)).await?;
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        gathered.rows += batch.num_rows();
        for (values, array) in gathered.columns.iter_mut().zip(batch.columns()) {
            values.add(array, || Cow::Owned(hash_column(array)));
        }
    }
    Ok(gathered)
}

/// How far the values of a column lie from those of a reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDrift {
    /// `Kolmogorov-Smirnov`, `chi-square`, `normed Wasserstein` or `Jensen-Shannon`.
    pub measure: &'static str,
    /// The probability that a test gives, or a distance.
    pub value: f64,
    /// `value` is a probability: the smaller, the farther.
    pub is_probability: bool,
    /// The value from which on the columns are said to differ.
    pub limit: f64,
    /// The columns are said to differ.
    pub drifts: bool,
}

impl ColumnDrift {
    fn tested(measure: &'static str, p: f64, check: &DriftCheck) -> Self {
        Self { measure, value: p, is_probability: true, limit: check.p_value, drifts: p < check.p_value }
    }

    fn measured(measure: &'static str, distance: f64, check: &DriftCheck) -> Self {
        let drifts = distance >= check.distance;
        Self { measure, value: distance, is_probability: false, limit: check.distance, drifts }
    }

    /// To sort by: how far beyond the border.
    fn strength(&self) -> f64 {
        let (over, under) = if self.is_probability { (self.limit, self.value) } else { (self.value, self.limit) };
        over / under.max(1e-300)
    }

    /// `Kolmogorov-Smirnov p = 0.0123` or `Jensen-Shannon 0.123`.
    pub fn words(&self) -> String {
        match self.is_probability {
            true => format!("{} p = {}", self.measure, short(self.value)),
            false => format!("{} {:.3}", self.measure, self.value),
        }
    }
}

/// Nothing where one side has no values, or names rows.
pub(crate) fn compare(past: Values, now: Values, past_rows: usize, check: &DriftCheck) -> Option<ColumnDrift> {
    let has_few = past_rows <= TEST_ROWS_MAX;
    match (past, now) {
        (Values::Numbers(past), Values::Numbers(now)) => {
            let sorted = |mut sample: Sample| {
                sample.values.sort_unstable_by(f64::total_cmp);
                sample.values
            };
            let (past, now) = (sorted(past), sorted(now));
            if past.is_empty() || now.is_empty() {
                return None;
            }
            Some(match has_few {
                true => ColumnDrift::tested("Kolmogorov-Smirnov", kolmogorov_smirnov(&past, &now).1, check),
                false => ColumnDrift::measured("normed Wasserstein", normed_wasserstein(&past, &now), check),
            })
        }
        (Values::Categories(Some(past)), Values::Categories(Some(now))) => {
            let keys: BTreeSet<u64> = past.keys().chain(now.keys()).copied().collect();
            let counts = |of: &HashMap<u64, u64, _>| -> Vec<u64> {
                keys.iter().map(|key| of.get(key).copied().unwrap_or(0)).collect()
            };
            let (past, now) = (counts(&past), counts(&now));
            let names_rows = |counts: &[u64]| {
                let rows: u64 = counts.iter().sum();
                let different = counts.iter().filter(|count| **count > 0).count() as u64;
                rows == 0 || (rows > 20 && different * 10 > rows * 9)
            };
            if names_rows(&past) || names_rows(&now) {
                return None;
            }
            Some(match has_few {
                true => ColumnDrift::tested("chi-square", chi_square(&past, &now).1, check),
                false => ColumnDrift::measured("Jensen-Shannon", jensen_shannon(&past, &now), check),
            })
        }
        _ => None,
    }
}

fn short(p: f64) -> String {
    if p < 1e-4 { format!("{p:.0e}") } else { format!("{p:.4}") }
}
