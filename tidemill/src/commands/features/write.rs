//! The features of every row in a file: a matrix or a table, written while the next rows are read.

use std::path::Path;
use std::sync::mpsc;

use data::{NpyWriter, Sink};
use learn::{Encoded, Features};

use crate::config::{Project, WindowSpec};
use crate::failure::{Failure, Result};
use crate::pipeline::{self, Writer};

/// Rows of a table, a source or a file, and how their windows are made.
pub(super) type Input<'a> = (&'a str, Option<&'a WindowSpec>);

/// Writes the features of all rows of `input`. How many rows.
pub(super) async fn write(project: &Project, input: Input<'_>, features: &Features, output: &Path) -> Result<u64> {
    if output.extension().is_some_and(|extension| extension == "npy") {
        if !features.is_dense() {
            return Err(no_matrix(output));
        }
        let mut file = NpyWriter::create(output, features.dense_width())?;
        // Memory of blocks that are written is used again: fresh memory costs as much as what is written into it.
        let (written, spare) = mpsc::channel::<Vec<f32>>();
        let writer = Writer::begin(move |blocks: mpsc::Receiver<Vec<f32>>| {
            for block in blocks {
                file.write(&block)?;
                let _ended = written.send(block);
            }
            file.finish()
        })?;
        let dense = |rows: &Encoded| {
            let mut block = spare.try_recv().unwrap_or_default();
            features.write_all(rows, &mut block);
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

async fn all<T: Send + 'static>(
    project: &Project,
    (input, window): Input<'_>,
    features: &Features,
    writer: Writer<T, ()>,
    block: impl Fn(&Encoded) -> Result<T>,
) -> Result<u64> {
    let mut rows = 0;
    let mut add = |read: pipeline::Windowed| {
        let encoded = features.encode(&read.windows)?;
        rows += encoded.rows as u64;
        writer.add(block(&encoded)?);
        Ok(())
    };
    let columns: Vec<String> = features.columns().iter().map(|column| column.name.clone()).collect();
    pipeline::each_batch(project, input, Some(&columns), window, &mut add).await?;
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
