//! How do rows get out of files? One connector per file; each reads on a thread of its own and never ahead of its reader.

mod archive;
mod avro;
mod condition;
mod csv;
mod database;
#[cfg(feature = "delta")]
mod delta;
mod excel;
mod files;
mod hive;
mod idx;
mod images;
mod ipc;
mod json;
mod logs;
mod many;
mod packing;
mod parquet;
mod prometheus;
mod remote;
mod sample;
mod stream;
mod table;
mod text;
mod texts;

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

pub(crate) use self::archive::first_member;
pub(crate) use self::condition::{Comparison, Condition, Test, Value};
pub(crate) use self::csv::sniff as sniff_csv;
pub(crate) use self::database::{sqlite_tables, tls_config};
pub(crate) use self::excel::is_workbook;
pub(crate) use self::files::{Input, Place, extension, missing};
pub(crate) use self::ipc::{stream_in_memory, unpacked_bytes};
pub(crate) use self::logs::{looks_like_log, syslog};
pub(crate) use self::packing::{open, read_fully};
pub(crate) use self::parquet::open as open_parquet;
pub(crate) use self::remote::is_url;
#[cfg(feature = "cluster")]
pub(crate) use self::stream::StreamTable;
pub(crate) use self::stream::open as open_stream;
pub(crate) use self::table::ReadTable;
pub(crate) use self::text::{NotText, open_lossy, open_text, sniff_encoding};
use crate::error::{Error, Result};
use crate::spec::{DeltaSpec, SourceSpec};

/// Rows in a batch, at most.
pub(crate) const BATCH_ROWS: usize = 8_192;
/// Bytes of pictures in a batch, about.
pub(crate) const BATCH_BYTES: usize = 8 << 20;

/// Something that reads rows from its beginning to its end, as often as asked.
pub(crate) trait Reader: Debug + Send + Sync {
    /// All columns.
    fn schema(&self) -> &SchemaRef;

    /// The version that every reading gives, of a source that has several.
    fn version(&self) -> Option<u64> {
        None
    }

    /// Hands out batches with the columns of `projection` until there are no more, or `emit` breaks.
    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()>;

    /// Whether [`Reader::read_where`] leaves rows out that break this condition.
    fn takes(&self, _condition: &Condition) -> bool {
        false
    }

    /// As `read`, without rows that break a condition, as far as it takes them; where there are none of those, no more
    /// than `limit` rows need come.
    fn read_where(&self, wanted: &Wanted, emit: &mut Emit) -> Result<()> {
        self.read(wanted.projection, emit)
    }
}

/// What is wanted of a source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The columns.
    pub(crate) projection: &'a [usize],
    /// Conditions that rows have to meet; those that `takes` agreed to.
    pub(crate) conditions: &'a [Condition],
    /// Rows, at most.
    pub(crate) limit: Option<usize>,
}

/// Takes a batch; breaks when no more are wanted.
pub(crate) type Emit<'a> = dyn FnMut(RecordBatch) -> ControlFlow<()> + 'a;

/// Opens a source that we read ourselves; Parquet is read by the engine. Of versions that a source has, the newest is read each
/// time, or always that which was the newest now.
pub(crate) fn reader(source: &SourceSpec, base: &Path, follows_versions: bool) -> Result<Arc<dyn Reader>> {
    Ok(match source {
        SourceSpec::Csv(spec) => Arc::new(csv::CsvReader::open(spec, base)?),
        SourceSpec::Json(spec) => Arc::new(json::JsonReader::open(spec, base)?),
        SourceSpec::Delta(spec) => return delta_reader(spec, base, follows_versions),
        SourceSpec::Excel(spec) => Arc::new(excel::ExcelReader::open(spec, base)?),
        SourceSpec::Avro(spec) => Arc::new(avro::AvroReader::open(spec, base)?),
        SourceSpec::Arrow(spec) => Arc::new(ipc::ArrowReader::open(spec, base)?),
        SourceSpec::Text(spec) => Arc::new(texts::TextReader::open(spec, base)?),
        SourceSpec::Logs(spec) => Arc::new(logs::LogsReader::open(spec, base)?),
        SourceSpec::Texts(spec) => Arc::new(texts::TextsReader::open(spec, base)?),
        SourceSpec::Images(spec) => Arc::new(images::ImagesReader::open(spec, base)?),
        SourceSpec::Idx(spec) => Arc::new(idx::IdxReader::open(spec, base)?),
        SourceSpec::Postgres(spec) => Arc::new(database::PostgresReader::open(spec, base)?),
        SourceSpec::Mysql(spec) => Arc::new(database::MysqlReader::open(spec, base)?),
        SourceSpec::Sqlite(spec) => Arc::new(database::SqliteReader::open(spec, base)?),
        SourceSpec::FlightSql(spec) => Arc::new(database::FlightSqlReader::open(spec, base)?),
        SourceSpec::Prometheus(spec) => Arc::new(prometheus::PrometheusReader::open(spec)?),
        SourceSpec::Sample(spec) => Arc::new(sample::SampleReader::open(spec)?),
        SourceSpec::Parquet(spec) => return Err(Error::internal("a Parquet source has no reader", &spec.path)),
        SourceSpec::Redis(_)
        | SourceSpec::Nats(_)
        | SourceSpec::Mqtt(_)
        | SourceSpec::Kafka(_)
        | SourceSpec::Ingest(_)
        | SourceSpec::PrometheusWrite(_)
        | SourceSpec::Syslog(_)
        | SourceSpec::Host(_) => return Err(Error::Internal("a stream has no reader".to_owned())),
    })
}

#[cfg(feature = "delta")]
fn delta_reader(spec: &DeltaSpec, base: &Path, follows_versions: bool) -> Result<Arc<dyn Reader>> {
    Ok(Arc::new(delta::DeltaReader::open(spec, base, follows_versions)?))
}

#[cfg(not(feature = "delta"))]
fn delta_reader(spec: &DeltaSpec, _base: &Path, _follows_versions: bool) -> Result<Arc<dyn Reader>> {
    Err(Error::Unsupported(format!(
        "{}: this binary was built without Delta Lake; build with `cargo build --features delta`",
        spec.path
    )))
}

/// A batch of these columns; `rows` counts where there are none.
pub(crate) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| Error::internal("columns do not fit together", e))
}

/// The schema of these columns.
pub(crate) fn project(schema: &SchemaRef, projection: &[usize]) -> Result<SchemaRef> {
    schema.project(projection).map(Arc::new).map_err(|e| Error::internal("a column was asked for that is not there", e))
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of the connectors share.

    use super::*;

    /// All batches of all columns.
    pub(crate) fn read_all(reader: &dyn Reader) -> Result<Vec<RecordBatch>> {
        let all: Vec<usize> = (0..reader.schema().fields().len()).collect();
        let mut batches = Vec::new();
        reader.read(&all, &mut |batch| {
            batches.push(batch);
            ControlFlow::Continue(())
        })?;
        Ok(batches)
    }

    /// The rows as text, one line each, values joined by `|`.
    pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
        let mut lines = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let cell =
                    |column: &ArrayRef| arrow::util::display::array_value_to_string(column, row).expect("a value");
                lines.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join("|"));
            }
        }
        lines
    }
}
