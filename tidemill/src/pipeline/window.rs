//! Windows over time: rows in the order of their key and time become rows that know what came before them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Builder, ListBuilder, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use arrow::util::display::array_value_to_string;

use crate::config::{WindowSpec, did_you_mean};
use crate::failure::{Failure, Fault, Result};

/// Where a model version keeps how its windows were made.
pub(super) const FILE: &str = "window.json";

/// Keys and times of rows, in a form that can be compared.
type Bytes = Box<[u8]>;

/// How the windows of a model version were made; nothing where it has none.
pub(crate) fn window_of(folder: &Path) -> Result<Option<WindowSpec>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
    let broken =
        |e: serde_json::Error| Failure::new(Fault::Ours, format!("{}: {e}; restore the folder", path.display()));
    serde_json::from_slice(&text).map(Some).map_err(broken)
}

/// Which rows get a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// Every so many rows of a series, of those that have a value in this column.
    Learning(&'a str),
    /// All of them, to be answered.
    Answering,
}

/// Rows with their windows, and the same rows as they were.
pub(crate) struct Windowed {
    /// Each named column holds lists.
    pub windows: RecordBatch,
    /// As they came.
    pub rows: RecordBatch,
}

/// The ORDER BY that [`Windows`] needs.
pub(crate) fn order_by(spec: &WindowSpec) -> String {
    let columns: Vec<String> = spec.key.iter().chain([&spec.order]).map(|name| data::quoted(name)).collect();
    format!(" ORDER BY {}", columns.join(", "))
}

/// Makes windows of rows that come ordered by key and time, batch by batch; holds the last `steps` rows of one key.
pub(crate) struct Windows<'a> {
    spec: &'a WindowSpec,
    /// The table, for messages.
    table: &'a str,
    wanted: Wanted<'a>,
    /// Places of the key columns, of the order and of the columns of numbers.
    key: Vec<usize>,
    order: usize,
    columns: Vec<usize>,
    /// Where a missing value makes a row history only.
    target: Option<usize>,
    keys: RowConverter,
    orders: RowConverter,
    /// Key and time of the row before.
    last: Option<(Bytes, Bytes)>,
    /// Values of the last rows of this key, oldest first: `[rows, columns]`.
    history: VecDeque<f32>,
    /// Rows of this key so far.
    seen: usize,
    /// Where the windows go.
    schema: SchemaRef,
}

impl<'a> Windows<'a> {
    /// Windows of a table with these columns.
    ///
    /// # Errors
    /// A name that is no column, a column that does not hold numbers or cannot be ordered.
    pub(crate) fn new(spec: &'a WindowSpec, table: &'a str, schema: &Schema, wanted: Wanted<'a>) -> Result<Self> {
        let find = |what: &str, name: &str| {
            schema.index_of(name).map_err(|_| {
                let hint = did_you_mean(name, schema.fields().iter().map(|field| field.name().as_str()));
                Failure::new(Fault::Input, format!("window.{what}: no column \"{name}\" in \"{table}\"{hint}"))
            })
        };
        let key = spec.key.iter().map(|name| find("key", name)).collect::<Result<Vec<_>>>()?;
        let order = find("order", &spec.order)?;
        let columns = spec.columns.iter().map(|name| find("columns", name)).collect::<Result<Vec<_>>>()?;
        for &column in &columns {
            let field = schema.field(column);
            if !field.data_type().is_numeric() {
                let (name, kind) = (field.name(), field.data_type());
                let message =
                    format!("window.columns: column \"{name}\" holds values of type {kind}, windows are of numbers");
                return Err(Failure::input(message));
            }
        }
        let target = match wanted {
            Wanted::Learning(target) => schema.index_of(target).ok(),
            Wanted::Answering => None,
        };
        let sortable = |places: &[usize]| {
            let fields = places.iter().map(|&place| SortField::new(schema.field(place).data_type().clone())).collect();
            RowConverter::new(fields)
                .map_err(|e| Failure::input(format!("window: rows cannot be ordered by this: {e}")))
        };
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)));
        let field = |(place, field): (usize, &Arc<Field>)| match columns.contains(&place) {
            true => Arc::new(Field::new(field.name(), list.clone(), true)),
            false => field.clone(),
        };
        Ok(Self {
            spec,
            table,
            wanted,
            order,
            target,
            keys: sortable(&key)?,
            orders: sortable(&[order])?,
            last: None,
            history: VecDeque::new(),
            seen: 0,
            schema: Arc::new(Schema::new(schema.fields().iter().enumerate().map(field).collect::<Vec<_>>())),
            key,
            columns,
        })
    }

    /// The wanted rows of the next batch with their windows.
    ///
    /// # Errors
    /// A key or time without a value, a time that comes twice.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<Windowed> {
        let ours = |e: arrow::error::ArrowError| Failure::new(Fault::Ours, format!("windows: {e}"));
        let of = |places: &[usize]| places.iter().map(|&place| batch.column(place).clone()).collect::<Vec<ArrayRef>>();
        let keys = match self.key.is_empty() {
            true => None,
            false => Some(self.keys.convert_columns(&of(&self.key)).map_err(ours)?),
        };
        let orders = self.orders.convert_columns(&of(&[self.order])).map_err(ours)?;
        let numbers = |&place: &usize| cast(batch.column(place), &DataType::Float32).map_err(ours);
        let numbers = self.columns.iter().map(numbers).collect::<Result<Vec<_>>>()?;
        let mut lists: Vec<_> = numbers.iter().map(|_| ListBuilder::new(Float32Builder::new())).collect();
        let mut kept = Vec::new();
        for row in 0..batch.num_rows() {
            self.follow(batch, row, keys.as_ref(), &orders)?;
            for array in &numbers {
                let array = array.as_primitive::<Float32Type>();
                self.history.push_back(if array.is_null(row) { f32::NAN } else { array.value(row) });
            }
            if self.history.len() > self.spec.steps * self.columns.len() {
                self.history.drain(..self.columns.len());
            }
            self.seen += 1;
            if self.is_wanted(batch, row) {
                kept.push(row as u32);
                for (column, list) in lists.iter_mut().enumerate() {
                    let values = self.history.iter().skip(column).step_by(self.columns.len());
                    // A missing value is null again.
                    values.for_each(|&x| list.values().append_option((!x.is_nan()).then_some(x)));
                    list.append(true);
                }
            }
        }
        let rows = take_record_batch(batch, &UInt32Array::from(kept)).map_err(ours)?;
        let mut arrays = rows.columns().to_vec();
        for (&place, mut list) in self.columns.iter().zip(lists) {
            arrays[place] = Arc::new(list.finish());
        }
        let windows = RecordBatch::try_new(self.schema.clone(), arrays).map_err(ours)?;
        Ok(Windowed { windows, rows })
    }

    /// Goes on to a row: a new key begins with an empty history, within a key time goes on.
    fn follow(&mut self, batch: &RecordBatch, row: usize, keys: Option<&Rows>, orders: &Rows) -> Result<()> {
        let parts = self.spec.key.iter().zip(&self.key).map(|(name, place)| ("key", name, *place));
        for (what, name, place) in parts.chain([("order", &self.spec.order, self.order)]) {
            if batch.column(place).is_null(row) {
                return Err(Failure::input(format!(
                    "window.{what}: column \"{name}\" of \"{}\" has a row without a value; leave such rows out in the \
                     table's SQL: WHERE \"{name}\" IS NOT NULL",
                    self.table
                )));
            }
        }
        let key = keys.map_or(&[][..], |keys| keys.row(row).data());
        let order = orders.row(row).data();
        let same = matches!(&self.last, Some((last, _)) if **last == *key);
        if let Some((_, last)) = &self.last
            && same
            && **last >= *order
        {
            let twice = **last == *order;
            let shown = |place: usize| array_value_to_string(batch.column(place), row).unwrap_or_default();
            let of: Vec<String> =
                self.spec.key.iter().zip(&self.key).map(|(name, &place)| format!("{name} {}", shown(place))).collect();
            let (order, time, table) = (&self.spec.order, shown(self.order), self.table);
            let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(", ")) };
            return Err(match twice {
                true => Failure::input(format!(
                    "window: \"{table}\" has two rows{of} with {order} {time}; name what tells them apart in window.key, or \
                     leave one out in the table's SQL"
                )),
                false => Failure::new(Fault::Ours, format!("windows: {order} {time}{of} came too late")),
            });
        }
        if !same {
            self.history.clear();
            self.seen = 0;
        }
        self.last = Some((key.into(), order.into()));
        Ok(())
    }

    fn is_wanted(&self, batch: &RecordBatch, row: usize) -> bool {
        let Some(more) = self.seen.checked_sub(self.spec.min_steps.max(1)) else { return false };
        match self.wanted {
            Wanted::Answering => true,
            Wanted::Learning(_) => {
                let has_target = self.target.is_none_or(|target| batch.column(target).is_valid(row));
                has_target && more.is_multiple_of(self.spec.stride.max(1))
            }
        }
    }
}

/// The rows of a table with their windows, for learning.
pub(super) fn windowed(
    spec: &WindowSpec,
    table: &str,
    target: &str,
    batches: Vec<RecordBatch>,
) -> Result<Vec<RecordBatch>> {
    let Some(first) = batches.first() else { return Ok(batches) };
    let mut windows = Windows::new(spec, table, &first.schema(), Wanted::Learning(target))?;
    let mut out = Vec::with_capacity(batches.len());
    for batch in batches {
        let windowed = windows.push(&batch)?.windows;
        if windowed.num_rows() > 0 {
            out.push(windowed);
        }
    }
    if out.is_empty() {
        return Err(Failure::input(format!(
            "window: no row of \"{table}\" has {} values so far and a value of \"{target}\"; lower min_steps",
            spec.min_steps
        )));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn spec() -> WindowSpec {
        let columns = vec!["x".to_owned()];
        WindowSpec { key: vec!["k".into()], order: "t".into(), steps: 3, columns, stride: 1, min_steps: 1 }
    }

    /// Rows of key, time, value and target.
    fn rows(rows: &[(&str, i64, f64, Option<i64>)]) -> RecordBatch {
        let array: [(&str, ArrayRef); 4] = [
            ("k", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)))),
            ("t", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)))),
            ("x", Arc::new(Float64Array::from_iter(rows.iter().map(|row| (!row.2.is_nan()).then_some(row.2))))),
            ("y", Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>())),
        ];
        RecordBatch::try_from_iter_with_nullable(array.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    fn shown(batches: &[RecordBatch]) -> Vec<String> {
        let row = |batch: &RecordBatch, row: usize| {
            let cell = |name: &str| array_value_to_string(batch.column_by_name(name).unwrap(), row).unwrap();
            format!("{}{} {}", cell("k"), cell("t"), cell("x"))
        };
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| row(batch, at))).collect()
    }

    const ROWS: [(&str, i64, f64, Option<i64>); 7] = [
        ("a", 1, 1.0, Some(0)),
        ("a", 2, 2.0, None),
        ("a", 4, f64::NAN, Some(0)),
        ("a", 7, 4.0, Some(0)),
        ("b", 1, 9.0, Some(1)),
        ("b", 2, 8.0, Some(1)),
        ("b", 3, 7.0, Some(1)),
    ];

    #[test]
    fn a_window_holds_the_last_values_of_its_key_and_nothing_later() {
        let check = |spec: &WindowSpec, expected: &[&str]| {
            // However the rows are cut into batches.
            for size in [1, 2, 7] {
                let batches = ROWS.chunks(size).map(rows).collect();
                assert_eq!(shown(&windowed(spec, "rows", "y", batches).unwrap()), expected, "{size}");
            }
        };
        // The row without a target is history only.
        check(
            &spec(),
            &["a1 [1.0]", "a4 [1.0, 2.0, ]", "a7 [2.0, , 4.0]", "b1 [9.0]", "b2 [9.0, 8.0]", "b3 [9.0, 8.0, 7.0]"],
        );
        check(&WindowSpec { min_steps: 3, ..spec() }, &["a4 [1.0, 2.0, ]", "a7 [2.0, , 4.0]", "b3 [9.0, 8.0, 7.0]"]);
        check(&WindowSpec { stride: 2, ..spec() }, &["a1 [1.0]", "a4 [1.0, 2.0, ]", "b1 [9.0]", "b3 [9.0, 8.0, 7.0]"]);
        let spec = spec();
        let mut answering = Windows::new(&spec, "rows", rows(&ROWS).schema_ref(), Wanted::Answering).unwrap();
        let found = answering.push(&rows(&ROWS)).unwrap();
        assert_eq!((found.windows.num_rows(), found.rows), (7, rows(&ROWS)));
    }

    #[test]
    fn other_rows_do_not_change_a_window() {
        let poisoned: Vec<_> =
            ROWS.iter().map(|&(k, t, x, y)| if k == "b" { (k, t, 1e9, y) } else { (k, t, x, y) }).collect();
        let of = |all: &[_]| shown(&windowed(&spec(), "rows", "y", vec![rows(all)]).unwrap())[..3].to_vec();
        assert_eq!(of(&poisoned), of(&ROWS));
        // Nor do later ones.
        assert_eq!(of(&ROWS)[..2], shown(&windowed(&spec(), "rows", "y", vec![rows(&ROWS[..3])]).unwrap())[..2]);
    }

    #[test]
    fn what_cannot_be_a_window_is_refused_with_its_place() {
        let check = |spec: WindowSpec, batch: RecordBatch, expected: &str| {
            let message = windowed(&spec, "rows", "y", vec![batch]).unwrap_err().message;
            assert!(message.contains(expected), "{message}");
        };
        let all = || rows(&ROWS);
        check(WindowSpec { key: vec!["kk".into()], ..spec() }, all(), "window.key: no column \"kk\" in \"rows\"");
        check(WindowSpec { order: "time".into(), ..spec() }, all(), "window.order: no column \"time\" in \"rows\"");
        check(
            WindowSpec { columns: vec!["k".into()], ..spec() },
            all(),
            "window.columns: column \"k\" holds values of type Utf8, windows are of numbers",
        );
        check(spec(), rows(&[("a", 1, 1.0, Some(0)), ("a", 1, 2.0, Some(0))]), "two rows of k a with t 1");
        check(WindowSpec { min_steps: 3, ..spec() }, rows(&ROWS[..2]), "has 3 values so far");
        let holes = RecordBatch::try_from_iter_with_nullable([
            ("k", Arc::new(StringArray::from(vec!["a"])) as ArrayRef, true),
            ("t", Arc::new(Int64Array::from(vec![None])) as ArrayRef, true),
            ("x", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef, true),
        ]);
        check(spec(), holes.unwrap(), "window.order: column \"t\" of \"rows\" has a row without a value");
    }
}
