//! Why a model answers as it does, in SQL: `explain('model', 'table')` as a table, `attributions('model')` and
//! `baseline('model')` for every row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array, ListArray, StringArray, StructArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use data::{RowFunction, RowSignature, TableFunction};
use futures::StreamExt;
use learn::{Column, ColumnKind, ExplainSpec, Explainer, Explanation, Predictions, Task};

use crate::failure::{Failure, Fault, Result};

use super::{Models, Named, in_sql, schema};

/// Rows that are explained before the next are read.
const ROWS_AT_ONCE: usize = 1_024;
/// Bytes that the table of one call may take, about.
const TABLE_BYTES_MAX: usize = 256 << 20;
/// How values are written.
const FORMAT: FormatOptions<'static> = FormatOptions::new();

/// A whole number among the words of a call.
fn number(word: &str, what: &str) -> Result<usize> {
    word.parse().map_err(|_| Failure::input(format!("\"{word}\" is no number of {what}; write a whole number")))
}

fn spec(permutations: Option<&String>) -> Result<ExplainSpec> {
    let usual = ExplainSpec::default();
    let permutations = permutations.map(|word| number(word, "permutations")).transpose()?;
    Ok(ExplainSpec { permutations: permutations.unwrap_or(usual.permutations), ..usual })
}

impl Named {
    /// What its columns contributed to its answers.
    fn explained(&self, spec: ExplainSpec, rows: &RecordBatch) -> Result<Explanation> {
        let background = crate::pipeline::background(&self.folder, &self.model)?;
        Ok(Explainer::new(&self.model, &background, spec)?.explain(rows)?)
    }

    /// What it reads, and whether that can be explained.
    fn columns(&self) -> Result<&[Column]> {
        learn::check_explainable(self.model.features())?;
        Ok(self.model.features().columns())
    }
}

/// The columns of a row by falling size of what they contributed.
fn by_size(contributions: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contributions.len()).collect();
    order.sort_by(|&a, &b| contributions[b].abs().total_cmp(&contributions[a].abs()));
    order
}

/// `attributions('model')`, `attributions('model', 5)`, `attributions('model', 5, 256)`: the columns that contributed most to
/// the answer for a row, and how much; how many of them, and how many orders of the columns are tried.
#[derive(Debug)]
pub(super) struct Attributions(pub(super) Arc<Models>);

impl Attributions {
    fn read(&self, words: &[String]) -> Result<(Arc<Named>, usize, ExplainSpec)> {
        let (model, top, permutations) = match words {
            [model] => (model, None, None),
            [model, top] => (model, Some(top), None),
            [model, top, permutations] => (model, Some(top), Some(permutations)),
            _ => return Err(Failure::input("attributions takes a model in single quotes: attributions('churn', 5)")),
        };
        let top = top.map(|word| number(word, "columns")).transpose()?;
        Ok((self.0.get(model)?, top.unwrap_or(usize::MAX), spec(permutations)?))
    }

    fn answer(&self, words: &[String], rows: &RecordBatch) -> Result<ArrayRef> {
        let (named, top, spec) = self.read(words)?;
        let columns = named.columns()?;
        let explanation = named.explained(spec, rows)?;
        let (mut names, mut figures, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for contributions in explanation.contributions.chunks_exact(columns.len().max(1)) {
            let order = by_size(contributions);
            let shown = &order[..top.min(order.len())];
            names.extend(shown.iter().map(|&column| columns[column].name.as_str()));
            figures.extend(shown.iter().map(|&column| contributions[column]));
            lengths.push(shown.len());
        }
        let values: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from_iter_values(names)), Arc::new(Float64Array::from(figures))];
        let wrong = |e| Failure::new(Fault::Ours, format!("attributions as a list: {e}"));
        let values = StructArray::try_new(attribution_fields(), values, None).map_err(wrong)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(attribution(), offsets, Arc::new(values), None).map_err(wrong)?))
    }
}

fn attribution_fields() -> Fields {
    vec![Field::new("feature", DataType::Utf8, false), Field::new("attribution", DataType::Float64, false)].into()
}

fn attribution() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(attribution_fields()), false))
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

impl RowFunction for Attributions {
    fn name(&self) -> &str {
        "attributions"
    }

    fn signature(&self, words: &[String]) -> data::Result<RowSignature> {
        let read = self.read(words).and_then(|(named, ..)| named.columns().map(names));
        let columns = read.map_err(|failure| in_sql(self.name(), failure))?;
        Ok(RowSignature { columns, answer: DataType::List(attribution()) })
    }

    fn call(&self, words: &[String], rows: &RecordBatch) -> data::Result<ArrayRef> {
        self.answer(words, rows).map_err(|failure| in_sql(self.name(), failure))
    }
}

/// `baseline('model')`, `baseline('model', 256)`: what `attributions` is counted from, the mean answer for the background
/// rows.
#[derive(Debug)]
pub(super) struct Baseline(pub(super) Arc<Models>);

impl Baseline {
    fn read(&self, words: &[String]) -> Result<(Arc<Named>, ExplainSpec)> {
        match words {
            [model] => Ok((self.0.get(model)?, spec(None)?)),
            [model, permutations] => Ok((self.0.get(model)?, spec(Some(permutations))?)),
            _ => Err(Failure::input("baseline takes a model in single quotes: baseline('churn')")),
        }
    }

    fn answer(&self, words: &[String], rows: &RecordBatch) -> Result<ArrayRef> {
        let (named, spec) = self.read(words)?;
        let background = crate::pipeline::background(&named.folder, &named.model)?;
        let base = Explainer::new(&named.model, &background, spec)?.base()?;
        let answers = named.model.predict(rows)?;
        let of = |class: usize| base.get(class).copied().unwrap_or(f64::NAN);
        Ok(Arc::new(match answers {
            Predictions::Values(values) => Float64Array::from(vec![of(0); values.len()]),
            Predictions::Classes { classes, .. } => {
                Float64Array::from_iter_values(classes.iter().map(|&class| of(class as usize)))
            }
        }))
    }
}

impl RowFunction for Baseline {
    fn name(&self) -> &str {
        "baseline"
    }

    fn signature(&self, words: &[String]) -> data::Result<RowSignature> {
        let read = self.read(words).and_then(|(named, _)| named.columns().map(names));
        let columns = read.map_err(|failure| in_sql(self.name(), failure))?;
        Ok(RowSignature { columns, answer: DataType::Float64 })
    }

    fn call(&self, words: &[String], rows: &RecordBatch) -> data::Result<ArrayRef> {
        self.answer(words, rows).map_err(|failure| in_sql(self.name(), failure))
    }
}

/// `explain('model', 'table')`, `explain('model', 'table', 256)`: for every row and column of a table what the column
/// contributed to the answer.
#[derive(Debug)]
pub(super) struct ExplanationOf(pub(super) Arc<Models>);

/// A call of it.
struct Call<'w> {
    named: Arc<Named>,
    model: &'w str,
    table: &'w str,
    spec: ExplainSpec,
}

impl ExplanationOf {
    fn read<'w>(&self, words: &'w [String]) -> Result<Call<'w>> {
        let (model, table, permutations) = match words {
            [model, table] => (model, table, None),
            [model, table, permutations] => (model, table, Some(permutations)),
            _ => {
                return Err(Failure::input(
                    "write explain('model', 'table'), with a number of permutations as the third where that is wanted",
                ));
            }
        };
        crate::pipeline::check_table(&self.0.project, table)?;
        let named = self.0.get(model)?;
        named.columns()?;
        Ok(Call { named, model, table, spec: spec(permutations)? })
    }

    async fn tell(&self, words: &[String], rows_max: usize) -> Result<Vec<RecordBatch>> {
        let call = self.read(words)?;
        let columns = call.named.columns()?.len().max(1);
        let mut rows = crate::pipeline::rows_in_order(&self.0.project, call.table, "").await?;
        let (mut told, mut seen, mut bytes) = (Vec::new(), 0, 0);
        while seen * columns < rows_max {
            let Some(batch) = rows.batches.next().await else { break };
            let batch = batch?;
            for start in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
                let wanted = rows_max.div_ceil(columns) - seen;
                if wanted == 0 {
                    break;
                }
                let length = ROWS_AT_ONCE.min(batch.num_rows() - start).min(wanted);
                let some = call.table_of(batch.slice(start, length), seen).await?;
                bytes += some.get_array_memory_size();
                if bytes > TABLE_BYTES_MAX {
                    return Err(call.too_much(seen));
                }
                told.push(some);
                seen += length;
            }
        }
        Ok(told)
    }
}

impl Call<'_> {
    /// What there is to tell of rows, `before` of which came before them. The work is done beside the threads that wait.
    async fn table_of(&self, rows: RecordBatch, before: usize) -> Result<RecordBatch> {
        let (named, spec) = (Arc::clone(&self.named), self.spec);
        let work = move || {
            let explanation = named.explained(spec, &rows)?;
            table(&named, &rows, &explanation, before)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|died| Failure::new(Fault::Ours, format!("the thread that explains answers died: {died}")))?
    }

    fn too_much(&self, seen: usize) -> Failure {
        let (model, table) = (self.model, self.table);
        Failure::new(
            Fault::Exhausted,
            format!(
                "what is to tell of \"{table}\" takes more than {} MB after {seen} rows; explain fewer with LIMIT, or name \
                 the rows: SELECT *, attributions('{model}') FROM {table} WHERE ...",
                TABLE_BYTES_MAX >> 20
            ),
        )
    }
}

fn columns_told(named: &Named) -> SchemaRef {
    let is_value = named.model.target().task == Task::Regression;
    let mut columns = vec![("row_number", DataType::UInt64)];
    columns.push(("prediction", if is_value { DataType::Float32 } else { DataType::Utf8 }));
    if !is_value {
        columns.push(("confidence", DataType::Float32));
    }
    columns.push(("base", DataType::Float64));
    columns.push(("column", DataType::Utf8));
    columns.push(("value", DataType::Utf8));
    columns.push(("contribution", DataType::Float64));
    schema(&columns)
}

/// A row for each row and column, those that contributed most first.
fn table(named: &Named, rows: &RecordBatch, explanation: &Explanation, before: usize) -> Result<RecordBatch> {
    let columns = named.columns()?;
    let cells = Cells::of(columns, rows)?;
    let width = columns.len().max(1);
    let order: Vec<usize> = explanation.contributions.chunks_exact(width).flat_map(by_size).collect();
    let count = rows.num_rows();
    let each_row = move || (0..count).flat_map(move |row| std::iter::repeat_n(row, width));
    let each = || each_row().zip(order.iter().copied());
    let answers = &explanation.answers;
    let prediction: ArrayRef = match answers {
        Predictions::Values(values) => Arc::new(Float32Array::from_iter_values(each_row().map(|row| values[row]))),
        Predictions::Classes { .. } => Arc::new(StringArray::from_iter(each_row().map(|row| answers.label(row)))),
    };
    let mut told: Vec<ArrayRef> =
        vec![Arc::new(UInt64Array::from_iter_values(each_row().map(|row| (before + row + 1) as u64))), prediction];
    if let Predictions::Classes { .. } = answers {
        let shares: Vec<Option<f32>> = (0..count).map(|row| answers.confidence(row)).collect();
        told.push(Arc::new(Float32Array::from_iter(each_row().map(|row| shares[row]))));
    }
    told.push(Arc::new(Float64Array::from_iter_values(each_row().map(|row| explanation.base[row]))));
    told.push(Arc::new(StringArray::from_iter_values(each().map(|(_, column)| columns[column].name.as_str()))));
    told.push(Arc::new(each().map(|(row, column)| cells.text(row, column)).collect::<StringArray>()));
    let contribution = |(row, column): (usize, usize)| explanation.contributions[row * width + column];
    told.push(Arc::new(Float64Array::from_iter_values(each().map(contribution))));
    RecordBatch::try_new(columns_told(named), told)
        .map_err(|e| Failure::new(Fault::Ours, format!("a table of contributions: {e}")))
}

/// A column's values, and how they are written; nothing for pictures.
type Cell<'a> = Option<(&'a ArrayRef, ArrayFormatter<'a>)>;

/// Values as text.
struct Cells<'a> {
    columns: Vec<Cell<'a>>,
}

impl<'a> Cells<'a> {
    fn of(columns: &[Column], rows: &'a RecordBatch) -> Result<Self> {
        let cells = |column: &Column| -> Result<Cell<'a>> {
            let Some(array) = rows.column_by_name(&column.name) else { return Ok(None) };
            if matches!(column.kind, ColumnKind::Image { .. }) {
                return Ok(None);
            }
            let failed = |e| Failure::new(Fault::Ours, format!("a value as text: {e}"));
            Ok(Some((array, ArrayFormatter::try_new(array, &FORMAT).map_err(failed)?)))
        };
        Ok(Self { columns: columns.iter().map(cells).collect::<Result<_>>()? })
    }

    fn text(&self, row: usize, column: usize) -> Option<String> {
        let (array, format) = self.columns[column].as_ref()?;
        if array.is_null(row) {
            return None;
        }
        format.value(row).try_to_string().ok() // a date beyond the calendar has no text
    }
}

#[async_trait]
impl TableFunction for ExplanationOf {
    fn name(&self) -> &str {
        "explain"
    }

    fn schema(&self, words: &[String]) -> data::Result<SchemaRef> {
        let call = self.read(words).map_err(|failure| in_sql(self.name(), failure))?;
        Ok(columns_told(&call.named))
    }

    async fn rows(&self, words: &[String]) -> data::Result<Vec<RecordBatch>> {
        self.first_rows(words, usize::MAX).await
    }

    async fn first_rows(&self, words: &[String], rows_max: usize) -> data::Result<Vec<RecordBatch>> {
        self.tell(words, rows_max).await.map_err(|failure| in_sql(self.name(), failure))
    }
}
