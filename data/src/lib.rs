//! Here is a query, give me rows.
//!
//! *Good for*: sources, the one SQL engine, column profiles, audits, files of answers.
//! *Not for*: what is learned from rows (`learn`), what is kept (`store`), settings, printing, HTTP (`tidemill`).
//!
//! Rows cross the border as Arrow record batches; no type of DataFusion does.

mod audit;
#[cfg(feature = "cluster")]
mod cluster;
mod detect;
mod diff;
mod engine;
mod error;
mod expect;
mod flight;
mod npy;
mod sink;
mod source;
mod spec;
mod stream;
mod whole_file;
mod wire;

pub use audit::{AuditReport, AuditRequest, Depth, Finding, Severity, audit};
#[cfg(feature = "cluster")]
pub use cluster::{Executor, Scheduler};
pub use detect::detect;
pub use diff::{
    ColumnDifference, ColumnState, DiffRequest, DiffSide, Difference, KeyedDifference, RowDifference, diff,
};
pub use engine::{
    ClusterSpec, CreateModel, Cursor, Engine, EngineSpec, IfModelExists, ModelAnswer, ModelNames, ModelOption,
    RowFunction, RowSignature, Rows, TableFunction, create_model, literal, quoted,
};
pub use error::{Error, ErrorKind, Result};
pub use expect::{
    ColumnDrift, ExpectRequest, ExpectationFault, ExpectationResult, ExpectationStatus, expect,
    faults as expectation_faults, suggest,
};
pub use npy::NpyWriter;
pub use profile::{ColumnKind, ColumnProfile, Histogram, IMAGE_METADATA, Profiler, TableProfile};
pub use sink::Sink;
pub use spec::{
    ArrowSpec, AvroSpec, ColumnType, CsvSpec, DatabaseSpec, DeltaSpec, DriftCheck, Encoding, ExcelSpec, Expectation,
    FlightSqlSpec, ForeignKeyCheck, FreshCheck, IdxSpec, ImagesSpec, JsonSpec, LogsSpec, MatchesCheck, NotNullCheck,
    OnFailure, OneOfCheck, ParquetSpec, RangeCheck, RowCountCheck, SampleName, SampleSpec, Scalar, Secret, SourceSpec,
    SqlCheck, SqliteSpec, StoreSpec, TextFileSpec, TextFolderSpec, Tls, UniqueCheck,
};
pub use wire::WireSpec;

pub use spec::{
    HostSpec, IngestSpec, KafkaProtocol, KafkaSecurity, KafkaSpec, MqttSpec, NatsSpec, OnError, PrometheusSpec,
    PrometheusWriteSpec, RedisSpec, SaslMechanism, StreamSpec, StreamStart, SyslogSpec, UnknownKeys,
};
pub use stream::{Collected, Figures, Ingest, Stored, Until, collect};

#[cfg(test)]
mod testing {
    //! What the tests of all modules share.

    use std::path::PathBuf;

    /// A folder of real data, where `TIDEMILL_DATA` names the folder that holds it; says so where it does not.
    #[allow(clippy::disallowed_methods)] // tests have no settings
    pub(crate) fn real_data(name: &str) -> Option<PathBuf> {
        let folder = std::env::var("TIDEMILL_DATA").ok().map(|root| PathBuf::from(root).join(name));
        match folder.filter(|folder| folder.is_dir()) {
            Some(folder) => Some(folder),
            None => {
                println!("skipped: TIDEMILL_DATA names no folder with {name}");
                None
            }
        }
    }
}
