//! What changed between two sets of rows? Columns by name, with their types, figures and distributions; rows by their keys.
//!
//! Each side is read once and profiled as it streams by; rows are compared by keys where those are named.

mod keys;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use arrow::datatypes::Schema;
use futures::StreamExt;
use profile::{ColumnProfile, Profiler, TableProfile};
use serde::Serialize;

pub use self::keys::{KeyedDifference, RowDifference};
use crate::engine::{Engine, quoted};
use crate::error::Result;
use crate::expect::{ColumnDrift, Values, compare, compared};
use crate::spec::DriftCheck;

/// One of the two sets of rows.
#[derive(Debug, Clone, Copy)]
pub struct DiffSide<'a> {
    /// Its name in the engine.
    pub table: &'a str,
    /// What messages call it.
    pub shown: &'a str,
}

/// What to compare.
pub struct DiffRequest<'a> {
    /// The engine that knows both.
    pub engine: &'a Engine,
    /// The rows to compare with.
    pub before: DiffSide<'a>,
    /// The rows that are compared.
    pub after: DiffSide<'a>,
    /// Columns that together tell rows apart; none compares no single rows.
    pub keys: &'a [String],
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Rows before.
    pub rows_before: u64,
    /// Rows after.
    pub rows_after: u64,
    /// The columns before, in their order, and then those that were added.
    pub columns: Vec<ColumnDifference>,
    /// The rows by their keys, where keys were named.
    pub by_key: Option<KeyedDifference>,
}

impl Difference {
    /// The columns whose values are said to be distributed in another way.
    pub fn drifted(&self) -> impl Iterator<Item = &ColumnDifference> {
        self.columns.iter().filter(|column| column.drift.as_ref().is_some_and(|drift| drift.drifts))
    }
}

/// What became of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnState {
    /// It is in both, with one type.
    Kept,
    /// It is in the rows after alone.
    Added,
    /// It is in the rows before alone.
    Removed,
    /// It is in both, with another type.
    Retyped,
}

/// A column before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDifference {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub state: ColumnState,
    /// What it held.
    pub before: Option<ColumnProfile>,
    /// What it holds.
    pub after: Option<ColumnProfile>,
    /// How far its values lie from those before: as the expectation `drift` measures it, with its defaults. None where they
    /// cannot be compared: values of two kinds, values that name rows.
    pub drift: Option<ColumnDrift>,
}

/// Compares two sets of rows; what is kept in memory has a bound, sorting by keys goes to disk.
///
/// # Errors
/// Rows that cannot be read; keys that are not there, have no value or do not tell rows apart; a bound on memory or disk.
pub async fn diff(request: &DiffRequest<'_>) -> Result<Difference> {
    let DiffRequest { engine, before, after, .. } = *request;
    let check = DriftCheck::default();
    let frames = (engine.frame(before.table).await?, engine.frame(after.table).await?);
    let both = compared(&frames.1, &frames.0, &check, before.shown)?;
    keys::check(request, &frames).await?;
    let fresh = || both.iter().map(|(name, family)| (name.as_str(), Values::of(*family))).collect();
    let was = scan(engine, before.table, fresh()).await?;
    let is = scan(engine, after.table, fresh()).await?;
    let (rows_before, rows_after) = (was.profile.rows, is.profile.rows);
    let columns = columns(was, is, &check);
    let by_key = match request.keys {
        [] => None,
        _ => Some(keys::by_key(request, &columns, rows_before).await?),
    };
    Ok(Difference { rows_before, rows_after, columns, by_key })
}

/// One side, read once.
struct Scanned<'a> {
    profile: TableProfile,
    values: HashMap<&'a str, Values>,
}

async fn scan<'a>(engine: &Engine, table: &str, mut values: HashMap<&'a str, Values>) -> Result<Scanned<'a>> {
    let mut rows = engine.query(&format!("SELECT * FROM {}", quoted(table))).await?;
    let (schema, mut profiler) = (rows.schema.clone(), Profiler::new(&rows.schema));
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        profiler.update_with(&batch, &mut |column, hashes| {
            if let Some(values) = name_of(&schema, column).and_then(|name| values.get_mut(name)) {
                values.add(batch.column(column), || Cow::Borrowed(hashes));
            }
        })?;
    }
    Ok(Scanned { profile: profiler.finish(), values })
}

fn name_of(schema: &Schema, column: usize) -> Option<&str> {
    schema.fields().get(column).map(|field| field.name().as_str())
}

fn columns(mut was: Scanned<'_>, mut is: Scanned<'_>, check: &DriftCheck) -> Vec<ColumnDifference> {
    let past_rows = usize::try_from(was.profile.rows).unwrap_or(usize::MAX);
    let mut after: HashMap<String, ColumnProfile> = HashMap::new();
    let mut order = Vec::new();
    for column in is.profile.columns {
        order.push(column.name.clone());
        after.insert(column.name.clone(), column);
    }
    let mut all = Vec::new();
    for before in was.profile.columns {
        let (name, after) = (before.name.clone(), after.remove(&before.name));
        let drift = match (was.values.remove(name.as_str()), is.values.remove(name.as_str())) {
            (Some(past), Some(now)) => compare(past, now, past_rows, check),
            _ => None,
        };
        let state = match &after {
            None => ColumnState::Removed,
            Some(after) if after.data_type != before.data_type => ColumnState::Retyped,
            Some(_) => ColumnState::Kept,
        };
        all.push(ColumnDifference { name, state, before: Some(before), after, drift });
    }
    let added = order.iter().filter_map(|name| after.remove_entry(name));
    all.extend(added.map(|(name, after)| ColumnDifference {
        name,
        state: ColumnState::Added,
        before: None,
        after: Some(after),
        drift: None,
    }));
    all
}
