//! Beyond: the training rows that memory does not hold, encoded into files that a network reads batch by batch.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use data::{Engine, ParquetSpec, SourceSpec};
use futures::StreamExt;
use learn::{Drawn, Others, SPOOL_FILES_MAX, Spool, SpoolWriter};

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};
use crate::machine::disk_free_bytes;
use crate::terminal::{bytes, count};

use super::collect::{Beyond, in_order, rows_bytes_max};
use super::prepare::Prepared;
use super::{Place, Progress};

/// Folder of a run with its encoded rows.
const FOLDER: &str = "rows";
/// Bytes of a file of encoded rows, at least; two are in memory at a time.
const FILE_BYTES_MIN: u64 = 16 << 20;
/// What may be held of rows is shared: one part in so many is for a file of encoded rows.
const FILE_SHARE: u64 = 8;

/// Encodes all training rows into files, where they can be read and the model can learn from there.
pub(super) fn spool(
    place: &Place,
    spec: &ModelSpec,
    prepared: &Prepared,
    (beyond, others): (Beyond, Others),
    (folder, stop): (&Path, &AtomicBool),
    on: &mut dyn FnMut(Progress),
) -> Result<Option<Spool>> {
    let why_not = match (&beyond.frozen, learn::reads_spool(&spec.network)) {
        (Some(file), true) => {
            on(Progress::Note(&format!(
                "{}; the network learns from all other training rows too",
                beyond.describe(spec)
            )));
            return encode(place, spec, prepared, (&beyond.drawn, file, others), (folder, stop), on).map(Some);
        }
        (None, _) => "snapshots are off, from which the others could be read",
        (_, false) => "this kind of model needs its rows in memory",
    };
    on(Progress::Warning(&format!("{}, and no others; {why_not}", beyond.describe(spec))));
    Ok(None)
}

fn encode(
    place: &Place,
    spec: &ModelSpec,
    prepared: &Prepared,
    (drawn, file, mut others): (&Drawn, &Path, Others),
    (folder, stop): (&Path, &AtomicBool),
    on: &mut dyn FnMut(Progress),
) -> Result<Spool> {
    let Prepared { features, target, train, .. } = prepared;
    let per_row = (train.encoded.memory_bytes() / train.len().max(1) + 4) as u64;
    let need = per_row.saturating_mul(drawn.rows);
    if let Some(free) = disk_free_bytes(folder)
        && need > free
    {
        let message = format!(
            "the encoded training rows take about {} on disk, {} are free; make room, or raise memory.rows_bytes_max",
            bytes(need),
            bytes(free)
        );
        return Err(Failure::new(Fault::Exhausted, message));
    }
    let each = (rows_bytes_max(place.project) as u64 / FILE_SHARE).max(FILE_BYTES_MIN);
    let files = usize::try_from(need.div_ceil(each)).unwrap_or(SPOOL_FILES_MAX).clamp(1, SPOOL_FILES_MAX);
    let mut writer = SpoolWriter::create(&folder.join(FOLDER), (features.numeric(), target), files, spec.train.seed)?;
    writer.push(&train.encoded, &train.truth)?;
    place.runtime.block_on(async {
        let engine = Engine::new(&in_order())?;
        let rows = SourceSpec::Parquet(ParquetSpec::new(file.to_string_lossy()));
        engine.add_source("rows", &rows, &place.project.folder).await?;
        let mut rows = engine.query("SELECT * FROM rows").await?;
        while let Some(batch) = rows.batches.next().await {
            if stop.load(Ordering::Relaxed) {
                return Err(super::stopped(spec));
            }
            let batch = others.of(&batch?)?;
            if batch.num_rows() > 0 {
                let truth = target.encode(std::slice::from_ref(&batch))?;
                writer.push(&features.encode(&batch)?, &truth)?;
            }
        }
        Ok(())
    })?;
    let spool = writer.finish()?;
    let files = if spool.files() == 1 { "a file".to_owned() } else { format!("{} files", spool.files()) };
    let (rows, size) = (count(spool.rows() as u64), bytes(spool.bytes()));
    on(Progress::Note(&format!("{rows} training rows encoded into {files} ({size})")));
    Ok(spool)
}
