//! Which keys stand twice, and which point nowhere? Grouped by the engine, which spills what memory cannot hold.

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::prelude::{DataFrame, Expr, ident, lit};

use super::conditions::{Family, Fault, present, type_of};
use super::number;
use crate::engine::{Engine, retell};
use crate::error::{Error, Result};
use crate::spec::{ForeignKeyCheck, UniqueCheck};

/// Failing keys whose rows are kept.
const KEYS_MAX: usize = 50;
/// Name of the column that counts; no table of a project has one like it.
const ROWS: &str = "tidemill: rows";
const THERE: &str = "tidemill: there";
const KEY: &str = "tidemill: key";

/// What was found.
pub(crate) struct Found {
    pub(crate) checked: u64,
    pub(crate) failing: u64,
    /// Says which rows have one of the first failing keys.
    pub(super) first: Option<Expr>,
}

/// Rows that have the key of an earlier one.
pub(crate) async fn repeated(engine: &Engine, frame: &DataFrame, check: &UniqueCheck) -> Result<Found> {
    let told = |e| retell(&e, Some(engine));
    let mut has_key = lit(true);
    for column in &check.columns {
        let data_type = type_of(frame, "", column).map_err(Error::Invalid)?;
        has_key = has_key.and(present(column, &data_type));
    }
    let keys: Vec<Expr> = check.columns.iter().map(|column| ident(column.as_str())).collect();
    let groups = frame
        .clone()
        .filter(has_key)
        .and_then(|rows| rows.aggregate(keys, vec![count(lit(1_i64)).alias(ROWS)]))
        .map_err(told)?;
    let figures = vec![sum(ident(ROWS)).alias("rows"), count(lit(1_i64)).alias("keys")];
    let batches = engine.answer(groups.clone().aggregate(Vec::new(), figures)).await?.collect().await?;
    let (rows, different) = (number(&batches, "rows").unwrap_or(0), number(&batches, "keys").unwrap_or(0));
    if rows == different {
        return Ok(Found { checked: rows, failing: 0, first: None });
    }
    let twice = groups.filter(ident(ROWS).gt(lit(1_i64))).and_then(|twice| twice.limit(0, Some(KEYS_MAX)));
    let first = engine.answer(twice).await?.collect().await?;
    Ok(Found { checked: rows, failing: rows - different, first: among(&check.columns, &first)? })
}

/// Values that the other table does not have.
pub(super) async fn orphans(engine: &Engine, frame: &DataFrame, check: &ForeignKeyCheck) -> Result<Found> {
    let told = |e| retell(&e, Some(engine));
    let other = engine.frame(&check.table).await?;
    let keys = |frame: &DataFrame, column: &str, rows: i64, there: i64| {
        let data_type = type_of(frame, "", column).map_err(Error::Invalid)?;
        let figures = vec![ident(column).alias(KEY), lit(rows).alias(ROWS), lit(there).alias(THERE)];
        frame.clone().filter(present(column, &data_type)).and_then(|rows| rows.select(figures)).map_err(told)
    };
    let here = keys(frame, &check.column, 1, 0)?;
    let there = keys(&other, check.other_column(), 0, 1)?;
    let figures = vec![sum(ident(ROWS)).alias(ROWS), max(ident(THERE)).alias(THERE)];
    let groups = here.union(there).and_then(|keys| keys.aggregate(vec![ident(KEY)], figures)).map_err(told)?;
    let all = groups.clone().aggregate(Vec::new(), vec![sum(ident(ROWS)).alias("rows")]);
    let all = number(&engine.answer(all).await?.collect().await?, "rows").unwrap_or(0);
    let orphans = groups.filter(ident(THERE).eq(lit(0_i64))).map_err(told)?;
    let figures = vec![sum(ident(ROWS)).alias("rows")];
    let failing = engine.answer(orphans.clone().aggregate(Vec::new(), figures)).await?.collect().await?;
    let failing = number(&failing, "rows").unwrap_or(0);
    if failing == 0 {
        return Ok(Found { checked: all, failing, first: None });
    }
    let first = orphans.select(vec![ident(KEY).alias(&check.column)]).and_then(|keys| keys.limit(0, Some(KEYS_MAX)));
    let first = engine.answer(first).await?.collect().await?;
    Ok(Found { checked: all, failing, first: among(std::slice::from_ref(&check.column), &first)? })
}

/// Whether both columns can hold the same values.
pub(super) fn fits(frame: &DataFrame, other: &DataFrame, check: &ForeignKeyCheck) -> Result<(), Fault> {
    let key = if check.other.is_some() { "other" } else { "column" };
    let here = type_of(frame, "", &check.column).map_err(|why| ("column".to_owned(), why))?;
    let there = type_of(other, &check.table, check.other_column()).map_err(|why| (key.to_owned(), why))?;
    let (a, b) = (Family::of(&here), Family::of(&there));
    match a == b && a != Family::Other {
        true => Ok(()),
        false => Err((
            key.to_owned(),
            format!(
                "column \"{}\" holds {}, column \"{}\" of \"{}\" holds {}; CAST one of them in a table's SQL",
                check.column,
                a.name(),
                check.other_column(),
                check.table,
                b.name()
            ),
        )),
    }
}

/// The condition that a row has one of these keys.
fn among(columns: &[String], keys: &[RecordBatch]) -> Result<Option<Expr>> {
    let mut any: Option<Expr> = None;
    for batch in keys {
        for row in 0..batch.num_rows() {
            let mut all: Option<Expr> = None;
            for column in columns {
                let Some(array) = batch.column_by_name(column) else { continue };
                let value = ScalarValue::try_from_array(array, row).map_err(|e| retell(&e, None))?;
                let same = ident(column.as_str()).eq(lit(value));
                all = Some(all.map_or(same.clone(), |all| all.and(same)));
            }
            if let Some(all) = all {
                any = Some(any.map_or(all.clone(), |any| any.or(all)));
            }
        }
    }
    Ok(any)
}
