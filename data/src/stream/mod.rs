//! How do streams become tables? Messages are collected, or sent to us, into Parquet segments; the source reads those.
//!
//! *Good for*: Redis streams, NATS JetStream, MQTT, Kafka, rows sent by HTTP, samples of Prometheus, syslog, figures of this
//! machine. Each row is there at least once: a server is told that a message is ours after its rows are durable. Senders of
//! syslog are told nothing.
//! *Not for*: answering while a row is on its way.
//!
//! ```text
//! STREAMS/NAME/segment-FIRST-LAST.parquet   rows by number; whole or not there (written beside, synced, renamed)
//! STREAMS/NAME/schema.json                  the columns, once a row is stored
//! STREAMS/NAME/poison.jsonl                 messages that are no rows, up to a bound
//! STREAMS/NAME/lock                         held by the one process that adds rows
//! ```

mod address;
mod cells;
mod collect;
mod decode;
mod figures;
mod frames;
mod host;
mod ingest;
mod kafka;
mod known;
mod lock;
mod mqtt;
mod nats;
mod objects;
mod poison;
mod redis;
mod remote_write;
mod segments;
mod syslog;
#[cfg(test)]
mod tests;
mod writer;

pub use self::collect::{Until, collect};
pub(crate) use self::decode::SEQUENCE;
pub use self::figures::{Collected, Figures};
pub use self::ingest::{Ingest, Stored};
pub(crate) use self::known::{Known, stored_schema};
pub(crate) use self::segments::list;
use crate::spec::{ColumnType, SourceSpec, StreamSpec};

impl SourceSpec {
    /// How the rows of a stream are kept; none for sources that are no streams.
    pub fn stream(&self) -> Option<&StreamSpec> {
        match self {
            Self::Redis(spec) => Some(&spec.rows),
            Self::Nats(spec) => Some(&spec.rows),
            Self::Mqtt(spec) => Some(&spec.rows),
            Self::Kafka(spec) => Some(&spec.rows),
            Self::Ingest(spec) => Some(&spec.rows),
            Self::PrometheusWrite(spec) => Some(&spec.rows),
            Self::Syslog(spec) => Some(&spec.rows),
            Self::Host(spec) => Some(&spec.rows),
            _ => None,
        }
    }

    /// Whether rows are sent to it by HTTP.
    pub fn is_sent_to(&self) -> bool {
        matches!(self, Self::Ingest(_) | Self::PrometheusWrite(_))
    }
}

/// The columns of a source whose columns are always the same.
pub(crate) fn given_columns(source: &SourceSpec) -> Option<Vec<(String, ColumnType)>> {
    match source {
        SourceSpec::PrometheusWrite(spec) => Some(remote_write::columns(spec)),
        SourceSpec::Syslog(_) => Some(syslog::columns()),
        SourceSpec::Host(_) => Some(host::columns()),
        _ => None,
    }
}
