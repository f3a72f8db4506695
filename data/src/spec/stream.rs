//! Which streams are collected, and how are their rows kept?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ColumnType, Secret};

/// What the rows of a stream look like, and how they are kept: in Parquet segments below the data folder, each row at least
/// once, with the columns `_offset` (its place in the stream), `_received` and `_sequence` (1, 2, 3 ... as they were stored).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSpec {
    /// Types of the columns by name; where there are none, they are found out from the first rows and then fixed.
    pub columns: BTreeMap<String, ColumnType>,
    /// Rows from which the columns are found out, at most.
    pub sample_rows: usize,
    /// What becomes of a row with a key that is no column.
    pub unknown_keys: UnknownKeys,
    /// Columns whose values say that two rows are the same one, `_offset` among the possible ones: of these the source shows
    /// the one that was stored last.
    pub key: Vec<String>,
    /// The column that says when it happened; adds the column `_late`.
    pub event_time: Option<String>,
    /// Seconds that a row may come after others that happened later; rows beyond are kept and marked in `_late`.
    pub lateness_s: u64,
    /// Seconds that the clocks of senders may be ahead of ours; rows beyond are kept, but make no others late.
    pub clock_skew_s: u64,
    /// Rows of a segment, at most.
    pub segment_rows_max: usize,
    /// Bytes of messages that wait for their segment, at most.
    pub segment_bytes_max: usize,
    /// Milliseconds that a message waits for its segment, at most.
    pub segment_age_ms_max: u64,
    /// Bytes of all segments together; the oldest are removed beyond it. All are kept where it is absent.
    pub retention_bytes_max: Option<u64>,
    /// Days after which a segment is removed; kept for good where it is absent.
    pub retention_days: Option<u64>,
    /// Bytes of `poison.jsonl`, where messages that are no rows are kept aside; beyond it they are only counted.
    pub poison_bytes_max: u64,
}

impl Default for StreamSpec {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            sample_rows: 1_000,
            unknown_keys: UnknownKeys::Refuse,
            key: Vec::new(),
            event_time: None,
            lateness_s: 0,
            clock_skew_s: 60,
            segment_rows_max: 100_000,
            segment_bytes_max: 32 << 20,
            segment_age_ms_max: 10_000,
            retention_bytes_max: None,
            retention_days: None,
            poison_bytes_max: 16 << 20,
        }
    }
}

/// What becomes of a row with a key that is no column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownKeys {
    /// The row is kept aside, or refused.
    #[default]
    Refuse,
    /// The key is left out.
    Ignore,
}

/// Where a stream begins that is read for the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamStart {
    /// With the oldest message that is there.
    #[default]
    Oldest,
    /// With the next message that comes.
    New,
}

/// A Redis stream, read as a member of a consumer group; entries are acknowledged once their rows are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSpec {
    /// The server and the number of its database: `redis://reader@cache.example:6379/0`.
    pub url: Secret,
    /// The user's password, where it is not in the URL; best as `${NAME}` from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The key of the stream.
    pub stream: String,
    /// The consumer group; made where it is missing.
    #[serde(default = "tidemill")]
    pub group: String,
    /// The name in the group. What was delivered to it and not acknowledged is read again at the next start.
    #[serde(default = "tidemill")]
    pub consumer: String,
    /// The field of an entry that holds the message; where it is absent, the fields are the columns.
    #[serde(default)]
    pub field: Option<String>,
    /// Where a new group begins.
    #[serde(default)]
    pub start: StreamStart,
    /// Seconds to wait for the server, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
    /// What the rows look like, and how they are kept.
    #[serde(default)]
    pub rows: StreamSpec,
}

/// A stream of NATS JetStream, read by a durable consumer; messages are acknowledged once their rows are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatsSpec {
    /// The server: `nats://reader@nats.example:4222`, `tls://` for an encrypted connection.
    pub url: Secret,
    /// The user's password, where it is not in the URL; best as `${NAME}` from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token, in place of user and password.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The stream.
    pub stream: String,
    /// Only messages of these subjects, such as `orders.>`.
    #[serde(default)]
    pub subject: Option<String>,
    /// The durable consumer; made where it is missing.
    #[serde(default = "tidemill")]
    pub consumer: String,
    /// Where a new consumer begins.
    #[serde(default)]
    pub start: StreamStart,
    /// Seconds after which the server sends a message again that was not acknowledged; more than a segment waits.
    #[serde(default = "ack_wait_s")]
    pub ack_wait_s: u64,
    /// Seconds to wait for the server, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
    /// What the rows look like, and how they are kept.
    #[serde(default)]
    pub rows: StreamSpec,
}

/// Topics of an MQTT broker (version 5), at quality of service 1 in a session that lasts; messages are acknowledged once their
/// rows are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttSpec {
    /// The broker: `mqtt://reader@broker.example:1883`, `mqtts://` for an encrypted connection.
    pub url: Secret,
    /// The user's password, where it is not in the URL; best as `${NAME}` from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Topics, such as `hall/+/temperature` or `machines/#`.
    pub topics: Vec<String>,
    /// The session's name; no two clients of a broker may have the same.
    #[serde(default = "tidemill")]
    pub client_id: String,
    /// File of the certificates (PEM) that are trusted, in place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// Seconds for which the broker keeps messages while nobody collects them.
    #[serde(default = "session_s")]
    pub session_s: u32,
    /// Seconds to wait for the broker, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
    /// What the rows look like, and how they are kept.
    #[serde(default)]
    pub rows: StreamSpec,
}

/// Topics of Kafka, read as a member of a consumer group; offsets are committed once the rows are durable. A message may come twice:
/// with `_offset` as the `key` of the rows it is shown once. One without a value (a tombstone) is no row, and kept aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSpec {
    /// Brokers to begin with, such as `kafka-1.example:9092`; they name the others.
    pub servers: Vec<String>,
    /// The topics.
    pub topics: Vec<String>,
    /// The consumer group; made where it is missing. Its members share the partitions.
    #[serde(default = "tidemill")]
    pub group: String,
    /// The name in the group (`group.instance.id`), another one for each member. With it a member that is back within `session_s` has
    /// its partitions at once; without it the group waits so long for one that was killed.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// Seconds after which the others of the group get the partitions of a member that is not heard of.
    #[serde(default = "group_session_s")]
    pub session_s: u64,
    /// Where a partition begins that the group never read; one that is added while it reads begins with its oldest message.
    #[serde(default)]
    pub start: StreamStart,
    /// How the connections are encrypted, and who we are.
    #[serde(default)]
    pub security: KafkaSecurity,
    /// Seconds to wait for the broker, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
    /// What the rows look like, and how they are kept.
    #[serde(default)]
    pub rows: StreamSpec,
}

/// How connections to Kafka are encrypted, and who we are: `{protocol: sasl_ssl, mechanism: scram_sha_512, user: reader, password:
/// "${KAFKA_PASSWORD}"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSecurity {
    /// What the brokers speak (`security.protocol`).
    pub protocol: KafkaProtocol,
    /// File of the certificates (PEM) that are trusted, in place of the system's.
    pub ca: Option<String>,
    /// File of our own certificate and those above it (PEM), where the brokers ask for one.
    pub certificate: Option<String>,
    /// File of the key of our certificate (PEM), not encrypted.
    pub key: Option<String>,
    /// How the password is shown to the brokers (`sasl.mechanism`).
    pub mechanism: SaslMechanism,
    /// The user.
    pub user: Option<String>,
    /// The user's password; best as `${NAME}` from the environment.
    pub password: Option<Secret>,
}

/// What the brokers of Kafka speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KafkaProtocol {
    /// Neither encrypted nor with a user.
    #[default]
    Plaintext,
    /// Encrypted.
    Ssl,
    /// With a user, not encrypted: with the mechanism `plain` everybody on the way reads the password.
    SaslPlaintext,
    /// Encrypted, with a user.
    SaslSsl,
}

/// How a password is shown to Kafka.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaslMechanism {
    /// As it is (`PLAIN`).
    #[default]
    Plain,
    /// Without telling it (`SCRAM-SHA-256`).
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// Without telling it (`SCRAM-SHA-512`).
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
}

/// Rows that are sent to `POST /ingest/NAME` of `tidemill serve`: JSON lines, a JSON array, or an Arrow IPC stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngestSpec {
    /// What becomes of a request in which something is no row.
    pub on_error: OnError,
    /// Bytes of requests that wait to be stored; the next one is refused with 503.
    pub queue_bytes_max: usize,
    /// What the rows look like, and how they are kept.
    pub rows: StreamSpec,
}

impl Default for IngestSpec {
    fn default() -> Self {
        Self { on_error: OnError::Refuse, queue_bytes_max: 64 << 20, rows: StreamSpec::default() }
    }
}

/// What becomes of a request in which something is no row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// All of it is refused with 400, and nothing is stored.
    #[default]
    Refuse,
    /// What is no row is kept aside in `poison.jsonl`, the rest is stored.
    KeepAside,
}

/// Samples that a Prometheus server sends to `POST /api/v1/write` of `tidemill serve` (remote write 1.0): columns `time`,
/// `metric`, `value`, one for each of `labels`, and `labels` with all others as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusWriteSpec {
    /// Labels that become columns of their own.
    pub labels: Vec<String>,
    /// Only metrics whose names begin with one of these; all where there are none.
    pub metrics: Vec<String>,
    /// Bytes of requests that wait to be stored; the next one is refused with 503.
    pub queue_bytes_max: usize,
    /// How the rows are kept; `columns` are given.
    pub rows: StreamSpec,
}

impl Default for PrometheusWriteSpec {
    fn default() -> Self {
        let rows = StreamSpec::default();
        Self { labels: Vec::new(), metrics: Vec::new(), queue_bytes_max: 64 << 20, rows }
    }
}

/// A range query of a Prometheus server, step by step: columns `time`, `metric`, one for each label, and `value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusSpec {
    /// The server: `http://prometheus.example:9090`.
    pub url: Secret,
    /// A token that is sent as `Authorization: Bearer TOKEN`; best as `${NAME}` from the environment.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The query in PromQL.
    pub query: String,
    /// Begin of the time that is read, such as `2026-01-31 00:00:00` (UTC) or `2026-01-31T00:00:00+08:00`.
    #[serde(default)]
    pub start: Option<String>,
    /// End of the time that is read; now where it is absent.
    #[serde(default)]
    pub end: Option<String>,
    /// Seconds before the end that are read, in place of a begin.
    #[serde(default)]
    pub last_s: Option<u64>,
    /// Seconds from one value of a series to the next.
    #[serde(default = "step_s")]
    pub step_s: u64,
    /// Labels that become columns; all that the newest values have where there are none.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Seconds to wait for an answer, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
}

/// Figures of this machine, one row every few seconds: processors, memory, disks, network, temperature and the processes that
/// take most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostSpec {
    /// Seconds from one row to the next.
    pub every_s: u64,
    /// How the rows are kept; `columns` are given.
    pub rows: StreamSpec,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self { every_s: 10, rows: StreamSpec::default() }
    }
}

/// Messages of syslog (RFC 5424 and RFC 3164) that are sent to this machine: columns `time`, `facility`, `severity`, `host`,
/// `program`, `pid`, `message_id`, `structured_data` (JSON) and `message`. Syslog tells no sender that a message is stored: what
/// comes by TCP is lost where this program dies before it is written; what comes by UDP also where there is no room for it, which
/// is counted as far as the system tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogSpec {
    /// Address and port for datagrams, such as `0.0.0.0:514`.
    pub udp: Option<String>,
    /// Address and port for connections (RFC 6587: lengths or line breaks), such as `0.0.0.0:601`. Anyone who reaches it can send
    /// rows, unencrypted.
    pub tcp: Option<String>,
    /// How far the clocks of times without an offset are ahead of UTC, such as `+08:00`.
    pub utc_offset: String,
    /// Bytes of a message, at most; what is beyond is left out.
    pub message_bytes_max: usize,
    /// Bytes of messages that wait to be stored. Beyond it connections are not read and datagrams are lost.
    pub queue_bytes_max: usize,
    /// Connections that are read at once; others wait.
    pub connections_max: usize,
    /// How the rows are kept; `columns` are given.
    pub rows: StreamSpec,
}

impl Default for SyslogSpec {
    fn default() -> Self {
        Self {
            udp: None,
            tcp: None,
            utc_offset: "+00:00".to_owned(),
            message_bytes_max: 64 << 10,
            queue_bytes_max: 64 << 20,
            connections_max: 1_000,
            rows: StreamSpec::default(),
        }
    }
}

fn tidemill() -> String {
    "tidemill".to_owned()
}

fn timeout_s() -> u64 {
    30
}

fn ack_wait_s() -> u64 {
    60
}

fn session_s() -> u32 {
    7 * 86_400
}

fn group_session_s() -> u64 {
    45
}

fn step_s() -> u64 {
    60
}
