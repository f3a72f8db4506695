//! The project file as the user wrote it: sections by name, defaults filled in, nothing checked against one another.

use std::collections::BTreeMap;
use std::fmt;

use data::{Expectation, SourceSpec};
use learn::spec::{EvaluateSpec, FeaturesSpec, NetSpec, SplitSpec, TaskSpec, TrainSpec, TuneSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A project: where data comes from, what is made of it, which models learn from it, and where they answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProject {
    /// Files and folders that rows are read from, each under a name that SQL knows.
    pub(super) sources: Named<SourceSpec>,
    /// Tables made by SQL over sources and other tables.
    pub(super) tables: Named<RawTable>,
    /// What has to hold for the rows of a table or source: checked by `tidemill audit` and before every training.
    pub(super) expectations: Named<Vec<Expectation>>,
    /// Models to train.
    pub(super) models: Named<RawModel>,
    /// Where models answer requests; where absent, each model has one of its own name.
    pub(super) endpoints: Named<RawEndpoint>,
    /// Limits of the server.
    pub(super) server: ServerSpec,
    /// What is kept of the rows that models learned from.
    pub(super) snapshots: SnapshotsSpec,
    /// What is held in memory.
    pub(super) memory: MemorySpec,
    /// Other machines that do a part of the work.
    pub(super) cluster: ClusterSpec,
}

/// A table made by SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    /// A SELECT over sources and other tables.
    pub(super) sql: String,
}

/// A model to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    /// The table or source with the rows to learn from.
    pub(super) table: String,
    /// The column to predict.
    pub(super) target: String,
    /// What kind of answer the model gives.
    #[serde(default)]
    pub(super) task: TaskSpec,
    /// Makes each row one of a series: columns become lists of their last values.
    #[serde(default)]
    pub(super) window: Option<WindowSpec>,
    /// Which columns the model reads, and how each is prepared.
    #[serde(default)]
    #[schemars(schema_with = "features_schema")]
    pub(super) features: FeaturesSpec,
    /// How rows are divided into training, validation and test.
    #[serde(default)]
    pub(super) split: SplitSpec,
    /// The network.
    #[serde(default)]
    pub(super) network: NetSpec,
    /// How the network is trained.
    #[serde(default)]
    pub(super) train: TrainSpec,
    /// How answers are judged.
    #[serde(default)]
    pub(super) evaluate: EvaluateSpec,
    /// What `tidemill tune` tries.
    #[serde(default)]
    pub(super) tune: Option<TuneSpec>,
}

/// Windows over time: in each row, the named columns become lists of their last values up to this row, oldest first, never
/// of a later row or of another key. Other columns stay as they are. Rows without a target are history for later rows and
/// no rows of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Columns that say which series a row belongs to (a machine, a customer); none where the table is one series. They are
    /// not read as features.
    #[serde(default)]
    pub key: Vec<String>,
    /// The column that orders the rows of a series: a date, a time stamp, a number or text that sorts by time.
    pub order: String,
    /// Values of a window.
    pub steps: usize,
    /// The columns of numbers that become windows.
    pub columns: Vec<String>,
    /// Every how many rows of a series training, validation and test get one; predictions are made for every row.
    #[serde(default = "one")]
    pub stride: usize,
    /// Rows with fewer values so far are left out; shorter windows than `steps` are filled up before their first value.
    #[serde(default = "one")]
    pub min_steps: usize,
}

fn one() -> usize {
    1
}

/// `auto` may stand for the features too: every column but the target, each as its type suggests.
fn features_schema(generator: &mut SchemaGenerator) -> Schema {
    let spec = generator.subschema_for::<FeaturesSpec>();
    json_schema!({ "anyOf": [{ "const": "auto", "description": "Every column, each as its type suggests." }, spec] })
}

/// Where a model answers requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEndpoint {
    /// The model that answers.
    pub(super) model: String,
    /// The version that answers.
    #[serde(default)]
    pub(super) version: VersionSpec,
    /// Answers with less confidence are marked as uncertain, 0 to 1; classification only.
    #[serde(default)]
    pub(super) confidence_min: f64,
    /// Requests that may wait; the next one is refused with 503.
    #[serde(default = "queue_max")]
    pub(super) queue_max: usize,
}

fn queue_max() -> usize {
    1024
}

impl RawEndpoint {
    /// The endpoint a model has by itself.
    pub(super) fn of(model: &str) -> Self {
        Self { model: model.to_owned(), version: VersionSpec::Champion, confidence_min: 0.0, queue_max: queue_max() }
    }
}

/// Which version of a model answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VersionSpec {
    /// The one that was promoted last.
    #[default]
    Champion,
    /// This one, from 1.
    Number(u64),
}

impl Serialize for VersionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Champion => serializer.serialize_str("champion"),
            Self::Number(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for VersionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "`champion` or the number of a version, from 1")]
        enum Either {
            Number(std::num::NonZeroU64),
            Word(Word),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Word {
            Champion,
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Number(number) => Self::Number(number.get()),
            Either::Word(Word::Champion) => Self::Champion,
        })
    }
}

impl JsonSchema for VersionSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VersionSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Which version of a model answers.",
            "oneOf": [
                { "type": "string", "const": "champion", "description": "The one that was promoted last." },
                { "type": "integer", "minimum": 1, "description": "This one, from 1." }
            ]
        })
    }
}

/// Limits of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSpec {
    /// Largest request body, in bytes after decompression; a larger one is refused with 413.
    pub body_bytes_max: usize,
    /// Time a request may take, in milliseconds; a slower one is ended with 503.
    pub request_timeout_ms: u64,
    /// Time that open requests have to finish once the server is told to stop, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for ServerSpec {
    fn default() -> Self {
        Self { body_bytes_max: 64 << 20, request_timeout_ms: 30_000, drain_timeout_ms: 10_000 }
    }
}

/// What is kept of the rows that models learned from: a file of the data folder for each content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotsSpec {
    /// Every run freezes the rows it learns from and is judged on.
    pub enabled: bool,
    /// The newest snapshots of each table that are kept although no version learned from them.
    pub unused_kept: usize,
    /// Tables and sources that `tidemill data take --incremental` and `tidemill collect --every` read only beyond their last
    /// snapshot, and for each the column that says how far that went: a number, a date or text that grows with every row.
    /// Rows that are changed, or come late with a value that was passed already, are not seen: take a whole snapshot where
    /// there are such.
    pub cursors: BTreeMap<String, String>,
}

impl Default for SnapshotsSpec {
    fn default() -> Self {
        Self { enabled: true, unused_kept: 5, cursors: BTreeMap::new() }
    }
}

/// What is held in memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemorySpec {
    /// Bytes of rows that a run holds. Of a larger table it holds a random sample of this size, to which features are fitted
    /// and by which the model is judged; a network learns from all its other training rows, read from the snapshot. Where it
    /// is absent: a quarter of the machine's memory, rounded down to a power of two.
    pub rows_bytes_max: Option<u64>,
}

/// The cluster that runs queries, expectations, profiles, features and predictions; training stays on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSpec {
    /// `host:port` of its scheduler (`tidemill cluster scheduler`); where absent, this machine does everything.
    pub scheduler: Option<String>,
    /// Parts that a query is divided into; each is the work of one thread of an executor.
    pub parts: usize,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self { scheduler: None, parts: 16 }
    }
}

/// Values by name, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// The names, in the order of the file.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is one of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Names<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Named(all))
            }
        }
        deserializer.deserialize_map(Names(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
