//! What does the user want? The project file: read, checked, and handed out as parts that are right.
//!
//! *Good for*: `tidemill.yaml`, `--set`, `${VAR}`, the JSON Schema and the reference of its keys, `tidemill init`.
//! *Not for*: opening files of data, training, serving. Nobody downstream checks a project again.
//!
//! The way: `yaml` (text to tree, with places) -> `overrides` (`--set`) -> `shape` (keys, types, ranges, by the schema of
//! the structs) -> serde (`raw`) -> `resolve` (names and what belongs together) -> [`Project`].

mod bounds;
mod create_model;
mod edit;
mod environment;
mod expect;
mod form;
mod init;
mod models;
mod overrides;
mod place;
mod raw;
#[cfg(test)]
mod reference;
mod render;
mod resolve;
mod schema;
mod shape;
mod sql;
#[cfg(test)]
mod tests;
mod tune;
mod yaml;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(crate) use create_model::{Created, created};
pub use environment::Environment;
pub use expect::TableExpectations;
pub(crate) use expect::{expectations_yaml, is_file};
pub use init::{InitRequest, init};
pub(crate) use place::did_you_mean;
pub use place::{ConfigError, ConfigErrors, Place};
pub use raw::{ClusterSpec, MemorySpec, ServerSpec, SnapshotsSpec, VersionSpec, WindowSpec};
#[cfg(feature = "cluster")]
pub(crate) use resolve::host_and_port;
pub(crate) use resolve::snapshot_name;
pub use resolve::{EndpointSpec, ModelSpec, NamedSource, TableSpec};
pub use schema::json_schema;
use serde_json::Value;
pub(crate) use sql::tables_read;
pub(crate) use tune::Setting;

/// Name of the project file in its folder.
pub const FILE_NAME: &str = "tidemill.yaml";
/// Largest project file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A project that is right: every name in it points somewhere, every value is in its range.
///
/// It holds values of the environment: print [`Project::render`] or [`Project::shown`], never the parts.
#[derive(Clone)]
pub struct Project {
    /// The project file.
    pub file: PathBuf,
    /// Its folder; relative paths of sources start here.
    pub folder: PathBuf,
    /// Where Tidemill writes: `.tidemill` in the folder.
    pub data_folder: PathBuf,
    /// Sources, in the order of the file.
    pub sources: Vec<NamedSource>,
    /// Tables, each after those that it reads.
    pub tables: Vec<TableSpec>,
    /// What has to hold for tables and sources, in the order of the file.
    pub expectations: Vec<TableExpectations>,
    /// Models, in the order of the file.
    pub models: Vec<ModelSpec>,
    /// Endpoints, in the order of the file; one for each model where the file has none.
    pub endpoints: Vec<EndpointSpec>,
    /// Limits of the server.
    pub server: ServerSpec,
    /// What is kept of the rows that models learned from.
    pub snapshots: SnapshotsSpec,
    /// What is held in memory.
    pub memory: MemorySpec,
    /// Other machines that do a part of the work.
    pub cluster: ClusterSpec,
    filled: Value,
    found: shape::Found,
    /// What was read, to lay other settings over it.
    root: yaml::Node,
    text: String,
}

/// What some tables need.
pub struct Needs<'a> {
    /// The sources read.
    pub sources: Vec<&'a NamedSource>,
    /// The tables, each after those that it reads.
    pub tables: Vec<&'a TableSpec>,
    /// The snapshots read: table and number.
    pub snapshots: Vec<(String, u32)>,
}

impl Project {
    /// Reads and checks the project file at `path` (or `tidemill.yaml` in the folder `path`), with the arguments of
    /// `--set` laid over it.
    ///
    /// # Errors
    /// All that is wrong with it, up to 20 errors with their places.
    pub fn load(path: &Path, sets: &[String], environment: Environment<'_>) -> Result<Self, ConfigErrors> {
        let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        let text = read(&file).map_err(|error| ConfigErrors::new(&file, "", vec![error]))?;
        Self::parse(&text, &file, sets, environment)
    }

    /// As [`Project::load`], from a text; `file` gives the folder, and the name in messages.
    ///
    /// # Errors
    /// As [`Project::load`].
    pub fn parse(text: &str, file: &Path, sets: &[String], environment: Environment<'_>) -> Result<Self, ConfigErrors> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::stages(text, file, sets, environment).map_err(|errors| ConfigErrors::new(file, text, errors))
    }

    fn stages(
        text: &str,
        file: &Path,
        sets: &[String],
        environment: Environment<'_>,
    ) -> Result<Self, Vec<ConfigError>> {
        let root = yaml::parse_file(text, environment)?.filter(|root| !root.is_null());
        let Some(mut root) = root else {
            return Err(vec![empty()]);
        };
        overrides::apply(&mut root, sets, environment)?;
        let schema = schema::described();
        let (raw, found, parts) = Self::read_tree(&root, text, &schema)?;
        let reading = |root: &yaml::Node| Self::read_tree(root, text, &schema).map(drop);
        tune::check(&root, &raw, &found, &reading)?;
        Self::assemble(raw, found, parts, (root, text.to_owned()), file)
    }

    /// The same project with these settings of a model laid over it, as `--set` does.
    ///
    /// # Errors
    /// As [`Project::load`], with the settings as their places.
    pub(crate) fn with(&self, model: &str, settings: &[Setting]) -> Result<Self, ConfigErrors> {
        let mut root = self.root.clone();
        let made = tune::lay(&mut root, model, settings).map_err(|error| vec![error]).and_then(|()| {
            let (raw, found, parts) = Self::read_tree(&root, &self.text, &schema::described())?;
            Self::assemble(raw, found, parts, (root, self.text.clone()), &self.file)
        });
        made.map_err(|errors| ConfigErrors::new(&self.file, &self.text, errors))
    }

    /// The whole number under a key path of a model, where there is one.
    pub(crate) fn whole_number(&self, model: &str, path: &str) -> Option<usize> {
        tune::number_at(&self.filled["models"][model], path)
    }

    fn read_tree(
        root: &yaml::Node,
        text: &str,
        schema: &Value,
    ) -> Result<(raw::RawProject, shape::Found, resolve::Parts), Vec<ConfigError>> {
        let (value, found) = shape::check(root, schema)?;
        let raw: raw::RawProject = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().iter().fold(String::new(), |path, segment| match segment {
                serde_path_to_error::Segment::Seq { index } => place::join_index(&path, *index),
                serde_path_to_error::Segment::Map { key } => place::join(&path, key),
                serde_path_to_error::Segment::Enum { variant } => place::join(&path, variant),
                serde_path_to_error::Segment::Unknown => path,
            });
            // serde's words may hold the value, which may come from the environment
            let message = match found.written(&path) {
                Some(written) => format!("{path}: {written:?} is not what is wanted here"),
                None => format!("{path}: {}", error.inner()),
            };
            vec![ConfigError::new(found.value_place(&path), message)]
        })?;
        let parts = resolve::resolve(&raw, &found, text)?;
        Ok((raw, found, parts))
    }

    fn assemble(
        raw: raw::RawProject,
        found: shape::Found,
        parts: resolve::Parts,
        (root, text): (yaml::Node, String),
        file: &Path,
    ) -> Result<Self, Vec<ConfigError>> {
        let (folder, data_folder) = resolve::folders(file);
        let filled = raw::RawProject { endpoints: resolve::all_endpoints(&raw), ..raw };
        let filled = serde_json::to_value(filled)
            .map_err(|error| vec![ConfigError::new(Place::File, format!("the project cannot be written: {error}"))])?;
        let resolve::Parts { sources, tables, expectations, mut models, endpoints, server, snapshots, memory, cluster } =
            parts;
        models.iter_mut().for_each(|model| resolve::files_from(&folder, model));
        let file = file.to_owned();
        let project = Self {
            file,
            folder,
            data_folder,
            sources,
            tables,
            expectations,
            models,
            endpoints,
            server,
            snapshots,
            memory,
            cluster,
            filled,
            found,
            root,
            text,
        };
        Ok(project)
    }

    /// The project as YAML with every default filled in, and marked as such; variables stand as they were written.
    /// Loading it gives the same project, which renders the same text.
    pub fn render(&self) -> String {
        let head = "# The project with every default filled in; values marked \"default\" are the defaults.\n";
        format!("{head}{}", render::yaml(&self.filled, &self.found, &schema::described()))
    }

    /// The same as JSON: what may be printed and stored beside a run.
    pub fn shown(&self) -> Value {
        render::shown(&self.filled, &self.found, "")
    }

    /// What these tables and sources need, the tables in the order in which they can be made. A name the project does not
    /// have is left to the SQL engine, which knows how to say so.
    pub fn needs(&self, names: &[&str]) -> Needs<'_> {
        let mut wanted: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut tables: Vec<&TableSpec> = Vec::new();
        for table in self.tables.iter().rev() {
            if wanted.contains(&table.name) {
                wanted.extend(sql::tables_read(&table.sql));
                tables.push(table);
            }
        }
        tables.reverse();
        let sources = self.sources.iter().filter(|source| wanted.contains(&source.name)).collect();
        let mut snapshots: Vec<(String, u32)> = Vec::new();
        for (table, number) in wanted.iter().filter_map(|name| snapshot_name(name)) {
            if !snapshots.iter().any(|(known, taken)| (known.as_str(), *taken) == (table, number)) {
                snapshots.push((table.to_owned(), number));
            }
        }
        Needs { sources, tables, snapshots }
    }

    /// Where the rows of a stream are kept.
    pub fn stream_folder(&self, source: &str) -> PathBuf {
        self.data_folder.join("streams").join(source)
    }

    /// Whether there is a table or source of this name; a snapshot's name counts like its table's.
    pub fn has_table(&self, name: &str) -> bool {
        let name = snapshot_name(name).map_or(name, |(table, _)| table);
        self.tables.iter().any(|table| table.name == name) || self.sources.iter().any(|source| source.name == name)
    }

    /// Errors at key paths of the file that are found out later: by looking at what it names.
    pub(crate) fn errors_at(&self, wrong: Vec<(String, String)>) -> ConfigErrors {
        let error = |(path, message): (String, String)| {
            let message = format!("{path}: {message}");
            ConfigError::new(self.found.value_place(&path), message)
        };
        ConfigErrors::new(&self.file, &self.text, wrong.into_iter().map(error).collect())
    }

    /// The model of this name.
    ///
    /// # Errors
    /// `no model "incme"; did you mean "income"?`
    pub fn model(&self, name: &str) -> Result<&ModelSpec, ConfigError> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let names = || self.models.iter().map(|model| model.name.as_str());
            let known = names().collect::<Vec<_>>().join(", ");
            ConfigError::new(Place::File, format!("no model {name:?}{}", did_you_mean(name, names())))
                .note(format!("models: {known}"))
        })
    }
}

/// The settings as arguments of `--set`.
pub(crate) fn as_arguments(model: &str, settings: &[Setting]) -> Vec<String> {
    let model = place::join("models", model);
    let written = |value: &Value| match value {
        Value::String(text) => render::scalar_text(&render::escape(text)),
        other => render::escape(&other.to_string()),
    };
    settings.iter().map(|(path, value)| format!("{model}.{path}={}", written(value))).collect()
}

/// The settings as the part of the model's section in a project file.
pub(crate) fn as_yaml(settings: &[Setting]) -> String {
    render::plain(&tune::section(settings))
}

fn empty() -> ConfigError {
    let remedy = "tidemill init --from FILE --target COLUMN writes one that works";
    ConfigError::new(Place::File, format!("the project file is empty; {remedy}"))
}

/// The text of the file.
fn read(file: &Path) -> Result<String, ConfigError> {
    let refuse = |message: String| ConfigError::new(Place::File, message);
    let unreadable = |error: std::io::Error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            return refuse(format!("the project file cannot be read: {error}"));
        }
        let other = file.with_extension("yml");
        refuse(match other.file_name() {
            Some(name) if other.exists() => format!("no such project file; did you mean {:?}?", name.to_string_lossy()),
            _ => "no such project file; tidemill init --from FILE --target COLUMN writes one".to_owned(),
        })
    };
    let mut bytes = Vec::new();
    File::open(file).map_err(unreadable)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!("the project file is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        refuse(format!("the project file is not UTF-8 text; the first wrong byte is in line {line}"))
    })
}
