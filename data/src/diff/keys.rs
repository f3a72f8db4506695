//! Which rows came, went or changed? Both sides are joined by their keys, sorted, so that what memory cannot hold goes to
//! disk; only the rows that differ leave the engine.

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use profile::{ColumnKind, ColumnProfile};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ColumnDifference, ColumnState, DiffRequest, DiffSide};
use crate::audit::words::counted;
use crate::engine::quoted;
use crate::error::{Error, Result};
use crate::expect::{Family, repeated, type_of};
use crate::spec::{OnFailure, UniqueCheck};

/// Rows of each kind that are shown.
const EXAMPLES_MAX: usize = 10;
/// Characters of a value that is shown.
const VALUE_CHARACTERS_MAX: usize = 100;
/// Columns of rows that are compared one by one: each is a condition of one query.
const COLUMNS_MAX: usize = 500;

/// What became of the rows, told apart by their keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyedDifference {
    /// The columns that tell rows apart.
    pub keys: Vec<String>,
    /// Rows that are as they were.
    pub same: u64,
    /// Keys that are in the rows after alone.
    pub added: u64,
    /// Keys that are in the rows before alone.
    pub removed: u64,
    /// Rows of a key in both that have another value in some column.
    pub changed: u64,
    /// In how many rows a column of both has another value; columns with none are left out.
    pub changed_columns: Vec<(String, u64)>,
    /// The first rows that were added, in the order of the keys, at most ten.
    pub first_added: Vec<RowDifference>,
    /// The first rows that were removed.
    pub first_removed: Vec<RowDifference>,
    /// The first rows that changed.
    pub first_changed: Vec<RowDifference>,
}

/// A row that differs; values as text, cut after 100 characters, null where there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowDifference {
    /// Its key.
    pub key: Map<String, Value>,
    /// What stood there: the other columns of a row that was removed, the columns that changed.
    pub before: Map<String, Value>,
    /// What stands there: the other columns of a row that was added, the columns that changed.
    pub after: Map<String, Value>,
}

/// Whether the keys are there, fit, and tell the rows of each side apart.
pub(super) async fn check(request: &DiffRequest<'_>, (before, after): &(DataFrame, DataFrame)) -> Result<()> {
    for key in request.keys {
        let families = [(before, request.before), (after, request.after)].map(|(frame, side)| {
            let data_type = type_of(frame, side.shown, key).map_err(Error::NotFound)?;
            Ok::<_, Error>((Family::of(&data_type), data_type))
        });
        let [was, is] = families;
        let ((was, data_type), (is, _)) = (was?, is?);
        if was == Family::Other {
            return Err(Error::invalid(format!("column \"{key}\" holds {data_type}, which cannot tell rows apart")));
        }
        if was != is {
            return Err(Error::invalid(format!(
                "key \"{key}\" holds {} in \"{}\", but {} in \"{}\"; CAST one of them in a table's SQL",
                was.name(),
                request.before.shown,
                is.name(),
                request.after.shown
            )));
        }
    }
    if request.keys.is_empty() {
        return Ok(());
    }
    tells_apart(request, before, request.before).await?;
    tells_apart(request, after, request.after).await
}

async fn tells_apart(request: &DiffRequest<'_>, frame: &DataFrame, side: DiffSide<'_>) -> Result<()> {
    let unique = UniqueCheck { columns: request.keys.to_vec(), at_most: 0.0, on_failure: OnFailure::Fail };
    let found = repeated(request.engine, frame, &unique).await?;
    let rows = frame.clone().count().await.map_err(|e| crate::engine::retell(&e, Some(request.engine)))? as u64;
    let (names, shown) = (names(request.keys), side.shown);
    if found.checked < rows {
        return Err(Error::invalid(format!(
            "{names} cannot be the key: {} of \"{shown}\" without a value; compare a table that leaves them out",
            counted(rows - found.checked, "row")
        )));
    }
    if found.failing > 0 {
        return Err(Error::invalid(format!(
            "{names} cannot be the key: {} of \"{shown}\" with the key of an earlier one; name more columns",
            counted(found.failing, "row")
        )));
    }
    Ok(())
}

fn names(keys: &[String]) -> String {
    keys.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ")
}

/// The query and where its columns stand.
struct Joined {
    sql: String,
    /// Columns that both have and that are compared.
    compared: Vec<String>,
    /// The other columns of each side.
    before: Vec<String>,
    after: Vec<String>,
}

impl Joined {
    fn new(request: &DiffRequest<'_>, columns: &[ColumnDifference]) -> Self {
        let others = || columns.iter().filter(|column| !request.keys.contains(&column.name));
        let of = |missing: ColumnState| others().filter(move |column| column.state != missing);
        let before: Vec<String> = of(ColumnState::Added).map(|column| column.name.clone()).collect();
        let after: Vec<String> = of(ColumnState::Removed).map(|column| column.name.clone()).collect();
        let (mut compared, mut tests) = (Vec::new(), Vec::new());
        for column in others() {
            if let Some(test) = test(column) {
                compared.push(column.name.clone());
                tests.push(test);
            }
        }
        let keys: Vec<String> = request.keys.iter().map(|key| quoted(key)).collect();
        let first = &keys[0];
        let mut shown = vec![format!("b.{first} IS NULL AS \"gone\""), format!("a.{first} IS NULL AS \"new\"")];
        let mut differs = vec![format!("b.{first} IS NULL"), format!("a.{first} IS NULL")];
        shown.extend(tests.iter().enumerate().map(|(at, test)| format!("{test} AS \"differs {at}\"")));
        differs.extend(tests);
        let key = |(at, key): (usize, &String)| format!("coalesce(a.{key}, b.{key}) AS \"key {at}\"");
        shown.extend(keys.iter().enumerate().map(key));
        for (side, columns) in [("a", &before), ("b", &after)] {
            let column = |(at, column): (usize, &String)| format!("{side}.{} AS \"{side} {at}\"", quoted(column));
            shown.extend(columns.iter().enumerate().map(column));
        }
        let on: Vec<String> = keys.iter().map(|key| format!("a.{key} = b.{key}")).collect();
        let order: Vec<String> = (0..keys.len()).map(|at| format!("\"key {at}\"")).collect();
        let sql = format!(
            "SELECT {} FROM {} AS a FULL OUTER JOIN {} AS b ON {} WHERE {} ORDER BY {}",
            shown.join(", "),
            quoted(request.before.table),
            quoted(request.after.table),
            on.join(" AND "),
            differs.join(" OR "),
            order.join(", ")
        );
        Self { sql, compared, before, after }
    }
}

/// The condition that a column differs, in brackets (IS DISTINCT FROM binds less than OR does); none where its values cannot
/// be compared.
fn test(column: &ColumnDifference) -> Option<String> {
    let (was, is) = (column.before.as_ref()?, column.after.as_ref()?);
    let name = quoted(&column.name);
    let is_plain = |of: &ColumnProfile| {
        matches!(of.kind, ColumnKind::Number | ColumnKind::Boolean | ColumnKind::Date) || of.data_type == "Utf8"
    };
    match column.state {
        ColumnState::Kept => Some(format!("(a.{name} IS DISTINCT FROM b.{name})")),
        // numbers of two widths are compared as they are, a number and a text as texts
        _ if was.kind == is.kind && is_plain(was) => Some(format!("(a.{name} IS DISTINCT FROM b.{name})")),
        _ if is_plain(was) && is_plain(is) => {
            Some(format!("(CAST(a.{name} AS VARCHAR) IS DISTINCT FROM CAST(b.{name} AS VARCHAR))"))
        }
        _ => None,
    }
}

/// The rows that differ: how many, and the first of them.
pub(super) async fn by_key(
    request: &DiffRequest<'_>,
    columns: &[ColumnDifference],
    rows_before: u64,
) -> Result<KeyedDifference> {
    if columns.len() > COLUMNS_MAX {
        return Err(Error::Unsupported(format!(
            "rows of more than {COLUMNS_MAX} columns are not compared by key; compare tables that select fewer"
        )));
    }
    let joined = Joined::new(request, columns);
    let mut found = Found {
        keys: request.keys,
        changes: vec![0; joined.compared.len()],
        joined: &joined,
        counts: [0; 3],
        first: Default::default(),
    };
    let mut rows = request.engine.query_by_sorting(&joined.sql).await?;
    while let Some(batch) = rows.batches.next().await {
        found.add(&batch?)?;
    }
    let Found {
        changes, counts: [added, removed, changed], first: [first_added, first_removed, first_changed], ..
    } = found;
    let columns = joined.compared.iter().cloned().zip(changes);
    Ok(KeyedDifference {
        keys: request.keys.to_vec(),
        same: rows_before.saturating_sub(removed + changed),
        added,
        removed,
        changed,
        changed_columns: columns.filter(|(_, rows)| *rows > 0).collect(),
        first_added,
        first_removed,
        first_changed,
    })
}

/// What was found so far: added, removed, changed.
struct Found<'a> {
    keys: &'a [String],
    joined: &'a Joined,
    changes: Vec<u64>,
    counts: [u64; 3],
    first: [Vec<RowDifference>; 3],
}

impl Found<'_> {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let options = FormatOptions::default();
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns: Vec<ArrayFormatter<'_>> =
            columns.collect::<Result<_, _>>().map_err(|e| Error::internal("a value as text", e))?;
        let is_true = |row: usize, column: usize| {
            batch.column(column).as_boolean_opt().is_some_and(|values| !values.is_null(row) && values.value(row))
        };
        let compared = self.joined.compared.len();
        let keys_at = 2 + compared;
        let before_at = keys_at + self.keys.len();
        let after_at = before_at + self.joined.before.len();
        for row in 0..batch.num_rows() {
            let differs = |at: usize| is_true(row, 2 + at);
            let kind = match (is_true(row, 1), is_true(row, 0)) {
                (true, _) => 0,
                (_, true) => 1,
                _ => 2,
            };
            self.counts[kind] += 1;
            if kind == 2 {
                (0..compared).filter(|at| differs(*at)).for_each(|at| self.changes[at] += 1);
            }
            if self.first[kind].len() >= EXAMPLES_MAX {
                continue;
            }
            let cell = |column: usize| match batch.column(column).is_null(row) {
                true => Value::Null,
                false => Value::String(shortened(&columns[column].value(row).to_string())),
            };
            let changed: Vec<&String> =
                self.joined.compared.iter().enumerate().filter(|(at, _)| differs(*at)).map(|(_, name)| name).collect();
            let side = |names: &[String], at: usize, is_there: bool| -> Map<String, Value> {
                let wanted = |(_, name): &(usize, &String)| is_there && (kind != 2 || changed.contains(name));
                let named = names.iter().enumerate().filter(wanted);
                named.map(|(place, name)| (name.clone(), cell(at + place))).collect()
            };
            let key = self.keys.iter().enumerate().map(|(at, name)| (name.clone(), cell(keys_at + at)));
            let example = RowDifference {
                key: key.collect(),
                before: side(&self.joined.before, before_at, kind != 0),
                after: side(&self.joined.after, after_at, kind != 1),
            };
            self.first[kind].push(example);
        }
        Ok(())
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
