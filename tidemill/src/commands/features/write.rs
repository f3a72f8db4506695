//! The features of every row in a file: a matrix or a table, written while the next rows are read.

use std::path::Path;
use std::sync::{Mutex, mpsc};

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::Float32Type;
use arrow::record_batch::RecordBatch;
use data::{NpyWriter, Sink};
use futures::StreamExt;
use learn::{Encoded, Features};
use rayon::prelude::*;

use crate::config::{Project, WindowSpec};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline::{self, Writer};

/// Batches of held rows whose features are made at one time.
const BATCHES_AT_ONCE: usize = 16;

/// Rows of a table, a source or a file.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    /// How their windows are made.
    pub(super) window: Option<&'a WindowSpec>,
    /// All of them, where they were read before.
    pub(super) held: Option<Vec<RecordBatch>>,
}

/// Writes the features of all rows of `input`. How many rows.
pub(super) async fn write(project: &Project, input: Input<'_>, features: &Features, output: &Path) -> Result<u64> {
    if output.extension().is_some_and(|extension| extension == "npy") {
        if !features.is_dense() {
            return Err(no_matrix(output));
        }
        let mut file = NpyWriter::create(output, features.dense_width())?;
        // Memory of blocks that are written is used again: fresh memory costs as much as what is written into it.
        let (written, spare) = mpsc::channel::<Vec<f32>>();
        let spare = Mutex::new(spare);
        let writer = Writer::begin(move |blocks: mpsc::Receiver<Vec<f32>>| {
            for block in blocks {
                file.write(&block)?;
                let _ended = written.send(block);
            }
            file.finish()
        })?;
        let dense = |rows: &Encoded| {
            let mut block = spare.lock().ok().and_then(|spare| spare.try_recv().ok()).unwrap_or_default();
            features.write_all_dense(rows, &mut block);
            Ok(block)
        };
        return all(project, input, features, writer, dense).await;
    }
    if !Sink::takes(output) {
        let output = output.display();
        return Err(Failure::input(format!("{output}: features are written as .npy, .csv, .tsv, .jsonl or .parquet")));
    }
    let mut sink = Sink::create(output, &features.table(&Encoded::default())?.schema())?;
    let writer = Writer::begin(move |blocks| {
        blocks.into_iter().try_for_each(|block| sink.write(&block))?;
        sink.finish()
    })?;
    all(project, input, features, writer, |rows| Ok(features.table(rows)?)).await
}

/// The same file by the machines of the cluster, which know the version by its name.
pub(super) async fn write_on_cluster(
    project: &Project,
    input: &str,
    version: &str,
    features: &Features,
    output: &Path,
) -> Result<u64> {
    let query = format!("SELECT features({}) AS made FROM {}", data::literal(version), data::quoted(input));
    let mut read = pipeline::query(project, &query).await?;
    let mut file = match output.extension().is_some_and(|extension| extension == "npy") {
        true if !features.is_dense() => return Err(no_matrix(output)),
        true => File::Matrix(NpyWriter::create(output, features.dense_width())?),
        false => File::Table(Sink::create(output, &features.table(&Encoded::default())?.schema())?),
    };
    let mut rows = 0;
    while let Some(batch) = read.batches.next().await {
        let made = batch?;
        let made = made.column(0).as_struct_opt().ok_or_else(|| Failure::new(Fault::Ours, "features are no table"))?;
        rows += made.len() as u64;
        match &mut file {
            File::Matrix(file) => file.write(&row_by_row(made)?)?,
            File::Table(file) => file.write(&RecordBatch::from(made))?,
        }
    }
    match file {
        File::Matrix(file) => file.finish()?,
        File::Table(file) => file.finish()?,
    }
    Ok(rows)
}

enum File {
    Matrix(NpyWriter),
    Table(Sink),
}

/// Columns of numbers as rows, one after the other.
fn row_by_row(made: &StructArray) -> Result<Vec<f32>> {
    let width = made.num_columns();
    let mut rows = vec![0.0; made.len() * width];
    for (place, column) in made.columns().iter().enumerate() {
        let column = column.as_primitive_opt::<Float32Type>();
        let column = column.ok_or_else(|| Failure::new(Fault::Ours, "features of a matrix that are no numbers"))?;
        rows.iter_mut().skip(place).step_by(width).zip(column.values()).for_each(|(cell, value)| *cell = *value);
    }
    Ok(rows)
}

async fn all<T: Send + 'static>(
    project: &Project,
    input: Input<'_>,
    features: &Features,
    writer: Writer<T, ()>,
    block: impl Fn(&Encoded) -> Result<T> + Sync,
) -> Result<u64> {
    let mut rows = 0;
    let made = |batch: &RecordBatch| block(&features.encode(batch)?);
    match input.held {
        Some(batches) => {
            for batches in batches.chunks(BATCHES_AT_ONCE) {
                let blocks: Vec<Result<T>> = batches.par_iter().map(made).collect();
                for block in blocks {
                    writer.add(block?);
                }
                rows += batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
            }
        }
        None => {
            let columns: Vec<String> = features.columns().iter().map(|column| column.name.clone()).collect();
            let mut each = |read: pipeline::Windowed| {
                rows += read.windows.num_rows() as u64;
                writer.add(made(&read.windows)?);
                Ok(())
            };
            pipeline::each_batch(project, input.name, Some(&columns), input.window, &mut each).await?;
        }
    }
    writer.end()?;
    Ok(rows)
}

fn no_matrix(output: &Path) -> Failure {
    Failure::input(format!(
        "{}: the model reads more than numbers (embedded categories, texts or series), which a matrix cannot hold; write a \
         .parquet",
        output.display()
    ))
}
