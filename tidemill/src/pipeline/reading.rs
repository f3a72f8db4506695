//! Reading: rows of a table, a source or a file as a model reads them, batch by batch.

use std::path::Path;

use arrow::record_batch::RecordBatch;
use data::{Engine, Rows};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::config::{Project, WindowSpec};
use crate::failure::{Failure, Fault, Result};

use super::collect::{chosen, in_order, rows_of};
use super::window::{Wanted, Windowed, Windows, order_by};

/// Batches that are read ahead.
const AHEAD_BATCHES: usize = 2;

/// Calls `on` with each batch of `input`, the next of which is read meanwhile: a table or source of the project by name, or
/// else a file. Where columns are named and all there, these are enough.
pub(crate) async fn each_batch(
    project: &Project,
    input: &str,
    columns: Option<&[String]>,
    window: Option<&WindowSpec>,
    on: &mut dyn FnMut(Windowed) -> Result<()>,
) -> Result<()> {
    let rows =
        open(project, input, columns.filter(|_| window.is_none()), &window.map(order_by).unwrap_or_default()).await?;
    let mut windows = match window {
        Some(window) => Some(Windows::new(window, input, &rows.schema, Wanted::Answering)?),
        None => None,
    };
    let (batches, mut next) = mpsc::channel::<data::Result<RecordBatch>>(AHEAD_BATCHES);
    let reader = tokio::spawn(async move {
        let mut rows = rows;
        while let Some(batch) = rows.batches.next().await {
            if batches.send(batch).await.is_err() {
                return; // nobody wants more
            }
        }
    });
    while let Some(batch) = next.recv().await {
        let batch = batch?;
        on(match &mut windows {
            None => Windowed { windows: batch.clone(), rows: batch },
            Some(windows) => windows.push(&batch)?,
        })?;
    }
    reader.await.map_err(|died| Failure::new(Fault::Ours, format!("the task that read rows died: {died}")))
}

async fn open(project: &Project, input: &str, columns: Option<&[String]>, order_by: &str) -> Result<Rows> {
    if project.has_table(input) {
        return rows_of(project, input, order_by, columns).await;
    }
    let source = data::detect(Path::new(input))?;
    let engine = Engine::new(&in_order())?;
    engine.add_source("input", &source, Path::new(".")).await?;
    chosen(&engine, "input", order_by, columns).await
}
