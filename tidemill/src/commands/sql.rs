//! `tidemill sql`: a query over the sources and tables of the project.

use std::io::{IsTerminal, Read};
use std::path::Path;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use data::{Rows, Sink};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::cli::{Common, Sql};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count, table};

/// Longest query, in bytes.
const QUERY_BYTES_MAX: u64 = 1 << 20;
/// Longest value of a cell that is shown, in characters.
const CELL_CHARACTERS_MAX: usize = 60;

/// Shows the rows of a query, or writes them to a file.
pub fn sql(common: &Common, args: &Sql, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    if args.query.is_none() && args.output.is_none() && !terminal.json() && std::io::stdin().is_terminal() {
        return super::shell::shell(common, project, args.rows, terminal);
    }
    let query = query(args)?;
    let runtime = pipeline::runtime()?;
    if let Some(wanted) = data::create_model(&query)? {
        if args.output.is_some() {
            return Err(Failure::new(Fault::Usage, "CREATE MODEL gives no rows; leave --output out"));
        }
        return super::create_model::create(common, &project, &wanted, &runtime, terminal);
    }
    runtime.block_on(async {
        let rows = pipeline::query(&project, &query).await?;
        match &args.output {
            Some(_) => write(rows, args, terminal).await,
            None => show(rows, args.rows, terminal).await,
        }
    })
}

fn query(args: &Sql) -> Result<String> {
    let text = match args.query.as_deref() {
        Some(query) if query != "-" => query.to_owned(),
        _ => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(QUERY_BYTES_MAX + 1).read_to_string(&mut text);
            read.map_err(|e| Failure::new(Fault::Usage, format!("the query on standard input: {e}")))?;
            text
        }
    };
    match text.len() as u64 {
        _ if text.trim().is_empty() => {
            Err(Failure::new(Fault::Usage, "no query; give one, or - and one on standard input"))
        }
        0..=QUERY_BYTES_MAX => Ok(text),
        _ => Err(Failure::new(Fault::Usage, format!("a query may have {QUERY_BYTES_MAX} bytes"))),
    }
}

/// Writes all rows to a file. How many there were.
pub(super) async fn write_rows(mut rows: Rows, path: &Path) -> Result<u64> {
    let mut sink = Sink::create(path, &rows.schema)?;
    let mut written = 0;
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        sink.write(&batch)?;
        written += batch.num_rows() as u64;
    }
    sink.finish()?;
    Ok(written)
}

async fn write(rows: Rows, args: &Sql, terminal: &Terminal) -> Result<()> {
    let path = args.output.as_deref().ok_or_else(|| Failure::new(Fault::Ours, "no file to write to"))?;
    let written = write_rows(rows, path).await?;
    terminal.result(format!("{} rows written to {}", count(written), path.display()));
    terminal.document(&json!({ "rows": written, "output": path }));
    Ok(())
}

/// The first rows, in columns or as a document; says where there are more.
pub(super) async fn show(mut rows: Rows, rows_max: usize, terminal: &Terminal) -> Result<()> {
    let names: Vec<String> = rows.schema.fields().iter().map(|field| field.name().clone()).collect();
    let (mut cells, mut has_more) = (Vec::new(), false);
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        let room = rows_max - cells.len();
        has_more = batch.num_rows() > room;
        cells.extend(shown(&batch.slice(0, batch.num_rows().min(room)))?);
        if has_more {
            break;
        }
    }
    if terminal.json() {
        let object = |row: Vec<Option<String>>| {
            let cells =
                names.iter().zip(row).map(|(name, cell)| (name.clone(), cell.map_or(Value::Null, Value::String)));
            Value::Object(cells.collect())
        };
        let rows: Vec<Value> = cells.into_iter().map(object).collect();
        terminal.document(&json!({ "columns": names, "rows": rows, "has_more": has_more }));
        return Ok(());
    }
    let rows = cells.len();
    let found = if rows == 1 { "row".to_owned() } else { format!("{} rows", count(rows as u64)) };
    let short = |cell: Option<String>| {
        let text = cell.unwrap_or_default().replace(['\n', '\r', '\t'], " ");
        match text.char_indices().nth(CELL_CHARACTERS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    let lines = cells.into_iter().map(|row| row.into_iter().map(short).collect());
    terminal.result(table(&std::iter::once(names).chain(lines).collect::<Vec<_>>()));
    match has_more {
        true => terminal.note(format!("the first {found}; more with --rows, all with --output FILE")),
        false if rows == 1 => terminal.note("1 row"),
        false => terminal.note(found),
    }
    Ok(())
}

/// Each value as text, none where it is missing.
fn shown(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let options = FormatOptions::default();
    let failed = |e: arrow::error::ArrowError| Failure::new(Fault::Ours, format!("a value as text: {e}"));
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).map_err(failed));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let cell = |row: usize, column: usize| {
        (!batch.column(column).is_null(row)).then(|| columns[column].value(row).to_string())
    };
    Ok((0..batch.num_rows()).map(|row| (0..columns.len()).map(|column| cell(row, column)).collect()).collect())
}
