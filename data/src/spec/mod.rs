//! Where can rows come from? Plain structs of the project file, one for each kind of source.

mod database;
mod expect;
mod files;
mod stream;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use delimited::ColumnType;

pub use self::database::{DatabaseSpec, FlightSqlSpec, Secret, SqliteSpec, Tls};
pub use self::expect::{
    DriftCheck, Expectation, ForeignKeyCheck, FreshCheck, MatchesCheck, NotNullCheck, OnFailure, OneOfCheck,
    RangeCheck, RowCountCheck, Scalar, SqlCheck, UniqueCheck,
};
pub use self::files::{ArrowSpec, AvroSpec, DeltaSpec, ExcelSpec, LogsSpec, StoreSpec, TextFileSpec, TextFolderSpec};
pub use self::stream::{
    HostSpec, IngestSpec, KafkaProtocol, KafkaSecurity, KafkaSpec, MqttSpec, NatsSpec, OnError, PrometheusSpec,
    PrometheusWriteSpec, RedisSpec, SaslMechanism, StreamSpec, StreamStart, SyslogSpec, UnknownKeys,
};

/// Where rows come from. Paths are relative to the project's folder, or URLs of object stores and web servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceSpec {
    /// Text separated by commas, tabs or another character.
    Csv(CsvSpec),
    /// One JSON object per line.
    Json(JsonSpec),
    /// Parquet files.
    Parquet(ParquetSpec),
    /// A table of Delta Lake.
    Delta(DeltaSpec),
    /// A sheet of a workbook, of Excel or OpenDocument.
    Excel(ExcelSpec),
    /// Avro files.
    Avro(AvroSpec),
    /// Arrow files and streams.
    Arrow(ArrowSpec),
    /// Plain text, one row per line.
    Text(TextFileSpec),
    /// Log files, one row per event, with their templates.
    Logs(LogsSpec),
    /// A folder of texts, one folder per class.
    Texts(TextFolderSpec),
    /// A folder of pictures, one folder per class.
    Images(ImagesSpec),
    /// The two IDX files of MNIST: pictures and labels.
    Idx(IdxSpec),
    /// A table or a query of PostgreSQL.
    Postgres(DatabaseSpec),
    /// A table or a query of MySQL or MariaDB.
    #[serde(alias = "mariadb")]
    Mysql(DatabaseSpec),
    /// A table or a query of a SQLite file.
    Sqlite(SqliteSpec),
    /// A table or a query of a server that speaks Arrow Flight SQL.
    FlightSql(FlightSqlSpec),
    /// A Redis stream.
    Redis(RedisSpec),
    /// A stream of NATS JetStream.
    Nats(NatsSpec),
    /// Topics of an MQTT broker.
    Mqtt(MqttSpec),
    /// Topics of Kafka.
    Kafka(KafkaSpec),
    /// Rows that are sent to this server by HTTP.
    Ingest(IngestSpec),
    /// Samples that a Prometheus server sends to this server.
    PrometheusWrite(PrometheusWriteSpec),
    /// A range query of a Prometheus server.
    Prometheus(PrometheusSpec),
    /// Messages of syslog that are sent to this machine.
    Syslog(SyslogSpec),
    /// Figures of this machine.
    Host(HostSpec),
    /// A small real data set that comes with the program.
    Sample(SampleSpec),
}

/// Text separated by commas, tabs or another character; also packed (`.gz`, `.zst`, `.bz2`, `.zip`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSpec {
    /// The file, a pattern such as `logs/*.csv`, a folder, or a URL (`s3://`, `gs://`, `az://`, `hdfs://`, `https://`); all
    /// files must have the same columns. Folders called `year=2026` are columns too.
    pub path: String,
    /// What stands between two values; by extension where absent: a tab for `.tsv`, a comma otherwise.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// The first line holds the column names.
    #[serde(default = "yes")]
    pub header: bool,
    /// Column names, where the file has none or others are wanted.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Types of single columns, where they are not to be found out from the values.
    #[serde(default)]
    pub types: BTreeMap<String, ColumnType>,
    /// Texts that mean "no value".
    #[serde(default = "null_values")]
    pub null_values: Vec<String>,
    /// Takes blanks around values away.
    #[serde(default = "yes")]
    pub trim: bool,
    /// Encloses values that hold the delimiter or line breaks; null where quotes are ordinary characters.
    #[serde(default = "quote")]
    pub quote: Option<char>,
    /// Lines that start with it are left out.
    #[serde(default)]
    pub comment: Option<char>,
    /// Which characters the bytes mean.
    #[serde(default)]
    pub encoding: Encoding,
    /// Rows from which the types of the columns are found out.
    #[serde(default = "sample_rows")]
    pub sample_rows: usize,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl CsvSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            delimiter: None,
            header: true,
            columns: Vec::new(),
            types: BTreeMap::new(),
            null_values: null_values(),
            trim: true,
            quote: quote(),
            comment: None,
            encoding: Encoding::Auto,
            sample_rows: sample_rows(),
            store: None,
        }
    }
}

/// Which characters the bytes of a text mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// UTF-8, UTF-16 or GB 18030, as the first bytes of a file look.
    #[default]
    Auto,
    /// UTF-8.
    Utf8,
    /// UTF-16; little-endian where no mark says otherwise.
    Utf16,
    /// GB 18030, and so GBK and GB 2312: Chinese.
    Gb18030,
    /// Big5: traditional Chinese.
    Big5,
    /// Shift JIS: Japanese.
    ShiftJis,
    /// Windows 1252, and so Latin 1: Western European.
    Latin1,
}

/// One JSON object per line; also packed (`.gz`, `.zst`, `.bz2`, `.zip`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonSpec {
    /// The file, a pattern such as `logs/*.jsonl`, a folder, or a URL.
    pub path: String,
    /// Lines from which the keys and their types are found out.
    #[serde(default = "sample_rows")]
    pub sample_rows: usize,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl JsonSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), sample_rows: sample_rows(), store: None }
    }
}

/// Parquet files; packed ones and those of other machines are kept in a temporary file while they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetSpec {
    /// The file, a pattern such as `year=*/*.parquet`, a folder, or a URL.
    pub path: String,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl ParquetSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), store: None }
    }
}

/// A folder of pictures, one folder per class: columns `image`, `label` (the folder's name) and `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagesSpec {
    /// The folder that holds the folders of the classes.
    pub path: String,
}

/// The two IDX files of MNIST, plain or gzip: columns `image` (raw pixels) and `label` ("0" to "9").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdxSpec {
    /// The file of the pictures, `…-images-idx3-ubyte.gz`.
    pub images: String,
    /// The file of the labels, `…-labels-idx1-ubyte.gz`.
    pub labels: String,
}

/// A small real data set that comes with the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleSpec {
    /// Which one.
    pub name: SampleName,
}

/// The data sets that come with the program (from the crate `smartcore`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SampleName {
    /// 1,797 handwritten digits of 8x8 grey pixels (`image`) and their `label`.
    Digits,
    /// 150 irises, four lengths each, and their `species`.
    Iris,
    /// 569 tumours, 30 measures each, and their `diagnosis`.
    BreastCancer,
    /// 442 patients, ten standardised measures each, and the `progression` of their diabetes.
    Diabetes,
}

fn yes() -> bool {
    true
}

fn quote() -> Option<char> {
    Some('"')
}

fn null_values() -> Vec<String> {
    ["", "NA", "NaN", "null", "?"].map(str::to_owned).to_vec()
}

fn sample_rows() -> usize {
    50_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_tagged_by_its_kind_and_refuses_unknown_keys() {
        let spec: SourceSpec = serde_json::from_str(r#"{"csv": {"path": "a.csv"}}"#).expect("a path is enough");
        assert_eq!(spec, SourceSpec::Csv(CsvSpec::new("a.csv")));
        let spec: SourceSpec = serde_json::from_str(r#"{"sample": {"name": "breast_cancer"}}"#).expect("a sample");
        assert_eq!(spec, SourceSpec::Sample(SampleSpec { name: SampleName::BreastCancer }));
        let error = serde_json::from_str::<SourceSpec>(r#"{"csv": {"path": "a.csv", "delimeter": ";"}}"#);
        assert!(error.expect_err("a misspelt key").to_string().contains("unknown field `delimeter`"));
    }
}
