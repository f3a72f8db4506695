//! Which files hold the rows, and how are they reached where they lie on another machine?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ColumnType, Encoding, Secret};

/// A sheet of a workbook: Excel (`.xlsx`, `.xlsm`, `.xlsb`, `.xls`) or OpenDocument (`.ods`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExcelSpec {
    /// The file, a pattern such as `reports/*.xlsx`, a folder, or a URL.
    pub path: String,
    /// The sheet; the first one where absent.
    #[serde(default)]
    pub sheet: Option<String>,
    /// The first row with values holds the column names.
    #[serde(default = "super::yes")]
    pub header: bool,
    /// The cells that are read, such as `B3:F200`; all where absent.
    #[serde(default)]
    pub range: Option<String>,
    /// Rows of the sheet, or of the range, that are left out at its top.
    #[serde(default)]
    pub skip_rows: usize,
    /// Types of single columns, where they are not to be found out from the cells.
    #[serde(default)]
    pub types: BTreeMap<String, ColumnType>,
    /// Texts of cells that mean "no value"; empty cells and errors such as `#DIV/0!` always do.
    #[serde(default = "super::null_values")]
    pub null_values: Vec<String>,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl ExcelSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            sheet: None,
            header: true,
            range: None,
            skip_rows: 0,
            types: BTreeMap::new(),
            null_values: super::null_values(),
            store: None,
        }
    }
}

/// A table of Delta Lake as it is in one of its versions; read by binaries that were built with `--features delta`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeltaSpec {
    /// The table's folder, or its URL (`s3://`, `gs://`, `az://`, `hdfs://`).
    pub path: String,
    /// The version that is read; the newest where absent.
    #[serde(default)]
    pub version: Option<u64>,
    /// Reads the newest version of this moment, such as `2026-11-01T00:00:00Z`, in place of a numbered one; UTC where it has no
    /// offset.
    #[serde(default)]
    pub time: Option<String>,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl DeltaSpec {
    /// The newest version of a table.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), version: None, time: None, store: None }
    }
}

/// Avro files (object container files).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AvroSpec {
    /// The file, a pattern such as `events/*.avro`, a folder, or a URL.
    pub path: String,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl AvroSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), store: None }
    }
}

/// Arrow files (IPC, also called Feather 2) and streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArrowSpec {
    /// The file, a pattern such as `parts/*.arrow`, a folder, or a URL.
    pub path: String,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl ArrowSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), store: None }
    }
}

/// Plain text, one row per line: columns `line` (its number, from 1), `text` and `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextFileSpec {
    /// The file, a pattern such as `logs/*.log`, a folder, or a URL.
    pub path: String,
    /// Which characters the bytes mean.
    #[serde(default)]
    pub encoding: Encoding,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl TextFileSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), encoding: Encoding::Auto, store: None }
    }
}

/// A folder of texts, one folder per class, one row per file: columns `text`, `label` (the folder's name) and `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextFolderSpec {
    /// The folder that holds the folders of the classes.
    pub path: String,
    /// Which characters the bytes mean.
    #[serde(default)]
    pub encoding: Encoding,
}

impl TextFolderSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), encoding: Encoding::Auto }
    }
}

/// Log files, one row per event: a line, with the lines that continue it. Columns `time`, `level` (as syslog names it: `error`,
/// `warning`, ...), `host`, `program` and `pid` as far as a line has them; `template_id`, `template` (the first line of the
/// message with `<*>` for what differs) and `parameters` (what stands there); `message` (without what stands in front of it),
/// `line` (all of it), `line_number` (from 1) and `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsSpec {
    /// The file, a pattern such as `logs/*.log.gz`, a folder, or a URL.
    pub path: String,
    /// How lines are written, such as `{time} {level} [{program}] {message}`, with the fields `time`, `level`, `host`, `program`,
    /// `pid`, `message` and `_` for what is not wanted; other lines continue the one before. Found out where it is absent.
    #[serde(default)]
    pub format: Option<String>,
    /// How times are written, such as `%d.%m.%Y %H:%M:%S%.f`; in one of the usual forms where it is absent.
    #[serde(default)]
    pub time_format: Option<String>,
    /// Year of the first time that is written without one; the last such day before the file was written where it is absent.
    #[serde(default)]
    pub year: Option<i32>,
    /// How far the clocks of times without an offset are ahead of UTC, such as `+08:00`.
    #[serde(default = "utc")]
    pub utc_offset: String,
    /// Lines that begin no event of their own belong to the one before: indented ones, and those without a time where the
    /// others have one.
    #[serde(default = "super::yes")]
    pub join_lines: bool,
    /// Bytes of an event, at most: what a longer line has beyond is left out, and lines beyond are events of their own.
    #[serde(default = "event_bytes_max")]
    pub event_bytes_max: usize,
    /// Percent of a line's words that must be equal for it to follow a template.
    #[serde(default = "similarity_percent")]
    pub similarity_percent: u8,
    /// Templates, at most; events of the rarest beyond have none.
    #[serde(default = "templates_max")]
    pub templates_max: usize,
    /// Which characters the bytes mean; bytes that mean none become U+FFFD.
    #[serde(default)]
    pub encoding: Encoding,
    /// How the files are reached, where `path` is a URL.
    #[serde(default)]
    pub store: Option<StoreSpec>,
}

impl LogsSpec {
    /// The defaults, for a path.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            format: None,
            time_format: None,
            year: None,
            utc_offset: utc(),
            join_lines: true,
            event_bytes_max: event_bytes_max(),
            similarity_percent: similarity_percent(),
            templates_max: templates_max(),
            encoding: Encoding::Auto,
            store: None,
        }
    }
}

fn utc() -> String {
    "+00:00".to_owned()
}

fn event_bytes_max() -> usize {
    1 << 20
}

fn similarity_percent() -> u8 {
    40
}

fn templates_max() -> usize {
    2_000
}

/// How files of an object store, of HDFS or of a web server are reached. Nothing is taken from the environment by itself, but
/// what HDFS's client looks for there: write `${NAME}` where a value is to come from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSpec {
    /// The server, where it is not the one of Amazon, Google or Azure: `https://minio.example:9000`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The region of an S3 bucket; `us-east-1` where absent.
    #[serde(default)]
    pub region: Option<String>,
    /// The account of Azure's storage.
    #[serde(default)]
    pub account: Option<String>,
    /// S3: the access key; HTTP: the user's name. Nobody in particular asks where there is no key and no token.
    #[serde(default)]
    pub access_key: Option<Secret>,
    /// S3: the secret of the access key; Azure: the account's key; HTTP: the user's password.
    #[serde(default)]
    pub secret_key: Option<Secret>,
    /// S3: the token of a session; Google and HTTP: a bearer token; Azure: a shared access signature.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Google: the key of a service account, as JSON.
    #[serde(default)]
    pub service_account: Option<Secret>,
    /// HDFS: the user who asks; where absent that of `HADOOP_USER_NAME`, or else of this process.
    #[serde(default)]
    pub user: Option<String>,
    /// HDFS: properties of Hadoop, such as `dfs.ha.namenodes.NAME` and `dfs.namenode.rpc-address.NAME.NODE` of a name service,
    /// before those of `core-site.xml` and `hdfs-site.xml` in `HADOOP_CONF_DIR` (or `HADOOP_HOME`). Tokens are read from
    /// `HADOOP_TOKEN_FILE_LOCATION`. For `hadoop.security.authentication: kerberos` the machine needs MIT Kerberos
    /// (`libgssapi_krb5.so.2`) and a ticket (`kinit`) or a keytab (`KRB5_CLIENT_KTNAME`).
    #[serde(default)]
    pub hadoop: BTreeMap<String, String>,
    /// Takes a server by `http://` too: everybody on the way can read and change what it sends.
    #[serde(default)]
    pub allow_http: bool,
    /// Follows a web server's redirect to this machine and to addresses of its own network (loopback, link-local).
    #[serde(default)]
    pub allow_local_redirects: bool,
    /// File of the certificates (PEM) that are trusted, in place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// Seconds to wait for the server, when connecting and for the next bytes, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
}

impl Default for StoreSpec {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            account: None,
            access_key: None,
            secret_key: None,
            token: None,
            service_account: None,
            user: None,
            hadoop: BTreeMap::new(),
            allow_http: false,
            allow_local_redirects: false,
            ca: None,
            timeout_s: timeout_s(),
        }
    }
}

fn timeout_s() -> u64 {
    30
}
