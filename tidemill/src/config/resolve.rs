//! Does the project make sense? Names that point somewhere, parts that fit together, tables in the order of their needs.

use std::path::{Path, PathBuf};

use data::SourceSpec;
use learn::spec::{EvaluateSpec, FeatureSpec, FeaturesSpec, NetSpec, SplitSpec, TaskSpec, TrainSpec, TuneSpec};

use serde::Serialize;

use super::expect::TableExpectations;
use super::place::{ConfigError, Place, did_you_mean, join};
use super::raw::{
    ClusterSpec, MemorySpec, Named, RawEndpoint, RawModel, RawProject, RawTable, ServerSpec, SnapshotsSpec,
    VersionSpec, WindowSpec,
};
use super::shape::Found;
use super::sql::tables_read;

/// A table made by SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// A SELECT over sources and the tables before it.
    pub sql: String,
}

/// A source and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedSource {
    /// The name that SQL knows.
    pub name: String,
    /// Where the rows are; paths in it are relative to the project's folder.
    pub spec: SourceSpec,
}

/// A model to train, checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSpec {
    /// Its name: lower-case letters, digits, `_` and `-`, 64 at most.
    pub name: String,
    /// The table or source with its rows.
    pub table: String,
    /// The column to predict.
    pub target: String,
    /// Classification, regression, or `auto`.
    pub task: TaskSpec,
    /// Windows over time.
    pub window: Option<WindowSpec>,
    /// The columns read.
    pub features: FeaturesSpec,
    /// Training, validation and test.
    pub split: SplitSpec,
    /// The network.
    pub network: NetSpec,
    /// Training.
    pub train: TrainSpec,
    /// Evaluation.
    pub evaluate: EvaluateSpec,
    /// What a search tries.
    pub tune: Option<TuneSpec>,
}

/// Where a model answers, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSpec {
    /// Its name, the last part of `/predict/NAME`; the same letters as a model's.
    pub name: String,
    /// The model that answers.
    pub model: String,
    /// The version that answers.
    pub version: VersionSpec,
    /// Answers with less confidence are marked as uncertain, 0 to 1.
    pub confidence_min: f64,
    /// Requests that may wait.
    pub queue_max: usize,
}

/// The parts of a project that is right.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts {
    pub(super) sources: Vec<NamedSource>,
    pub(super) tables: Vec<TableSpec>,
    pub(super) expectations: Vec<TableExpectations>,
    pub(super) models: Vec<ModelSpec>,
    pub(super) endpoints: Vec<EndpointSpec>,
    pub(super) server: ServerSpec,
    pub(super) snapshots: SnapshotsSpec,
    pub(super) memory: MemorySpec,
    pub(super) cluster: ClusterSpec,
}

/// The folder of a project file, and the folder in it that holds what Tidemill writes.
pub(super) fn folders(file: &Path) -> (PathBuf, PathBuf) {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let data = folder.join(".tidemill");
    (folder, data)
}

/// The parts of `host:port`.
pub(crate) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains(['/', '@', ' ']);
    Some((host, port.parse().ok().filter(|port| *port != 0 && plain)?))
}

/// Files that features, network and training name, as seen from the project's folder.
pub(super) fn files_from(folder: &Path, model: &mut ModelSpec) {
    let texts = model.features.columns.values_mut().filter_map(|feature| match feature {
        FeatureSpec::Text(text) => Some(text),
        _ => None,
    });
    let of_features = texts.flat_map(|text| text.tokenizer.paths_mut());
    for path in of_features.chain(model.network.paths_mut()).chain(model.train.start_from.as_mut()) {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
}

/// Checks what serde cannot: names, order, and what belongs together.
///
/// # Errors
/// All that is wrong, each with its place.
pub(super) fn resolve(raw: &RawProject, found: &Found, text: &str) -> Result<Parts, Vec<ConfigError>> {
    let mut check = Check { raw, found, text, errors: Vec::new() };
    check.names();
    let tables = check.tables();
    for (table, all) in &raw.expectations.0 {
        check.expectations(table, all);
    }
    for (table, column) in &raw.snapshots.cursors {
        let path = join("snapshots.cursors", table);
        check.table_exists_by_key(&path, table);
        if column.is_empty() {
            check.at_value(&path, format!("{path} is empty; it names the column that grows with every row"));
        }
    }
    if let Some(scheduler) = &raw.cluster.scheduler
        && host_and_port(scheduler).is_none()
    {
        check.at_value("cluster.scheduler", format!("\"{scheduler}\" is no host:port, such as 10.0.0.7:50050"));
    }
    for (name, model) in &raw.models.0 {
        check.model(name, model);
    }
    for (name, endpoint) in &raw.endpoints.0 {
        check.endpoint(name, endpoint);
    }
    if !check.errors.is_empty() {
        return Err(check.errors);
    }
    let source = |(name, spec): &(String, SourceSpec)| NamedSource { name: name.clone(), spec: spec.clone() };
    Ok(Parts {
        sources: raw.sources.0.iter().map(source).collect(),
        tables,
        expectations: raw.expectations.0.iter().map(expected).collect(),
        models: raw.models.0.iter().map(|(name, model)| ready(name, model)).collect(),
        endpoints: all_endpoints(raw).0.iter().map(|(name, endpoint)| answer(name, endpoint)).collect(),
        server: raw.server.clone(),
        snapshots: raw.snapshots.clone(),
        memory: raw.memory.clone(),
        cluster: raw.cluster.clone(),
    })
}

impl RawProject {
    /// Whether there is a table or source of this name; a snapshot's name counts like its table's.
    fn has_table(&self, name: &str) -> bool {
        let name = snapshot_name(name).map_or(name, |(table, _)| table);
        self.sources.contains(name) || self.tables.contains(name)
    }
}

/// Table and number of a snapshot's name, `table@number`.
pub(crate) fn snapshot_name(name: &str) -> Option<(&str, u32)> {
    let (table, number) = name.rsplit_once('@')?;
    Some((table, number.parse().ok().filter(|number| *number > 0)?))
}

/// The endpoints written, or one for each model.
pub(super) fn all_endpoints(raw: &RawProject) -> Named<RawEndpoint> {
    if !raw.endpoints.0.is_empty() {
        return raw.endpoints.clone();
    }
    Named(raw.models.names().map(|name| (name.to_owned(), RawEndpoint::of(name))).collect())
}

fn expected((table, all): &(String, Vec<data::Expectation>)) -> TableExpectations {
    TableExpectations { table: table.clone(), all: all.clone() }
}

fn ready(name: &str, model: &RawModel) -> ModelSpec {
    let RawModel { table, target, task, window, features, split, network, train, evaluate, tune } = model.clone();
    let name = name.to_owned();
    ModelSpec { name, table, target, task, window, features, split, network, train, evaluate, tune }
}

fn answer(name: &str, endpoint: &RawEndpoint) -> EndpointSpec {
    let RawEndpoint { model, version, confidence_min, queue_max } = endpoint.clone();
    EndpointSpec { name: name.to_owned(), model, version, confidence_min, queue_max }
}

pub(super) struct Check<'a> {
    pub(super) raw: &'a RawProject,
    pub(super) found: &'a Found,
    text: &'a str,
    errors: Vec<ConfigError>,
}

impl<'a> Check<'a> {
    pub(super) fn at_value(&mut self, path: &str, message: String) {
        self.errors.push(ConfigError::new(self.found.value_place(path), message));
    }

    pub(super) fn at_key(&mut self, path: &str, message: String) {
        self.errors.push(ConfigError::new(self.found.key_place(path), message));
    }

    /// Names of sources and tables that SQL can say; names of models and endpoints that a URL and a folder can.
    fn names(&mut self) {
        let raw = self.raw;
        let sections = [("source", raw.sources.names().collect::<Vec<_>>()), ("table", raw.tables.names().collect())];
        for (kind, names) in sections {
            for name in names {
                let path = join(&format!("{kind}s"), name);
                if RESERVED.contains(&name) {
                    self.at_key(&path, format!("{name:?} cannot be the name of a {kind}: it is a word of SQL"));
                } else if !is_sql_name(name) {
                    let allowed = "lower-case letters, digits and _, not first a digit, 64 at most";
                    self.at_key(&path, format!("{name:?} cannot be the name of a {kind}: {allowed}"));
                }
            }
        }
        for name in raw.tables.names().filter(|name| raw.sources.contains(name)) {
            let path = join("tables", name);
            let error = ConfigError::new(
                self.found.key_place(&path),
                format!("{name:?} is the name of both a source and a table; rename one of them"),
            );
            let note = match self.found.key_place(&join("sources", name)) {
                Place::At { line, column, .. } => format!("the source is at line {line}, column {column}"),
                _ => "the source is not in the file itself".to_owned(),
            };
            self.errors.push(error.note(note));
        }
        let sections =
            [("model", raw.models.names().collect::<Vec<_>>()), ("endpoint", raw.endpoints.names().collect())];
        for (kind, names) in sections {
            for name in names.into_iter().filter(|name| !is_name(name)) {
                let allowed = "lower-case letters, digits, _ and -, 1 to 64 of them";
                let path = join(&format!("{kind}s"), name);
                self.at_key(&path, format!("{name:?} cannot be the name of {}: {allowed}", article(kind)));
            }
        }
    }

    /// The tables, each after those that it reads.
    fn tables(&mut self) -> Vec<TableSpec> {
        let tables = &self.raw.tables.0;
        let mut needs = Vec::new();
        for (name, RawTable { sql }) in tables {
            let path = join(&join("tables", name), "sql");
            if sql.trim().is_empty() {
                self.at_value(&path, format!("the SQL of table {name:?} is empty"));
            }
            let read = tables_read(sql);
            for unknown in read.iter().filter(|read| !self.raw.has_table(read)) {
                self.unknown_in_sql(name, &path, sql, unknown);
            }
            needs.push(read);
        }
        let mut order = Vec::new();
        let mut trail = Vec::new();
        for index in 0..tables.len() {
            self.visit(index, &needs, &mut trail, &mut order);
        }
        let table = |index: usize| {
            let (name, RawTable { sql }) = &tables[index];
            TableSpec { name: name.clone(), sql: sql.clone() }
        };
        order.into_iter().map(table).collect()
    }

    fn unknown_in_sql(&mut self, name: &str, path: &str, sql: &str, unknown: &str) {
        let mut place = self.found.value_place(path);
        if let Place::At { line, column, width } = &mut place
            && let Some((at, start)) = find_word(self.text, *line, *column, sql.lines().count() + 1, unknown)
        {
            (*line, *column, *width) = (at, start, unknown.chars().count());
        }
        let hint = did_you_mean(unknown, self.raw.sources.names().chain(self.raw.tables.names()));
        let shown = if self.found.written(path).is_some_and(|written| !written.contains(unknown)) {
            "a name from the environment that is no source or table".to_owned()
        } else {
            format!("{unknown:?}, which is no source or table{hint}")
        };
        self.errors.push(ConfigError::new(place, format!("table {name:?} reads from {shown}")));
    }

    /// Depth first, in the order of the file; `trail` holds the tables that are being visited.
    fn visit(&mut self, index: usize, needs: &[Vec<String>], trail: &mut Vec<usize>, order: &mut Vec<usize>) {
        if order.contains(&index) {
            return;
        }
        let tables = &self.raw.tables.0;
        if let Some(start) = trail.iter().position(|seen| *seen == index) {
            let names: Vec<_> = trail[start..].iter().chain([&index]).map(|&at| tables[at].0.as_str()).collect();
            let message = format!("tables depend on one another in a circle: {}", names.join(" -> "));
            let path = join("tables", names[0]);
            if !self.errors.iter().any(|error| error.message.starts_with("tables depend on one another")) {
                self.at_key(&path, message);
            }
            return;
        }
        trail.push(index);
        for need in &needs[index] {
            if let Some(at) = tables.iter().position(|(name, _)| name == need) {
                self.visit(at, needs, trail, order);
            }
        }
        trail.pop();
        order.push(index);
    }

    pub(super) fn table_exists(&mut self, path: &str, name: &str) {
        let place = self.found.value_place(path);
        self.table_exists_at(place, path, name);
    }

    pub(super) fn table_exists_by_key(&mut self, path: &str, name: &str) {
        let place = self.found.key_place(path);
        self.table_exists_at(place, path, name);
    }

    fn table_exists_at(&mut self, place: Place, path: &str, name: &str) {
        let raw = self.raw;
        if raw.has_table(name) {
            return;
        }
        let names = || raw.tables.names().chain(raw.sources.names());
        let message = match self.found.written(path) {
            Some(written) => format!("{path}: {written:?} is no table and no source"),
            None => format!("{path}: no table or source {name:?}{}", did_you_mean(name, names())),
        };
        let known = names().collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        let error = ConfigError::new(place, message);
        self.errors.push(error.note(format!("tables and sources: {known}")));
    }

    fn endpoint(&mut self, name: &str, endpoint: &RawEndpoint) {
        let path = join(&join("endpoints", name), "model");
        let models = &self.raw.models;
        if models.contains(&endpoint.model) {
            return;
        }
        let message = match self.found.written(&path) {
            Some(written) => format!("{path}: {written:?} is no model"),
            None => format!("{path}: no model {:?}{}", endpoint.model, did_you_mean(&endpoint.model, models.names())),
        };
        let known = models.names().collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        let error = ConfigError::new(self.found.value_place(&path), message);
        self.errors.push(error.note(format!("models: {known}")));
    }
}

/// Words of SQL that cannot name a table without quotes.
const RESERVED: [&str; 38] = [
    "all",
    "and",
    "as",
    "between",
    "by",
    "case",
    "create",
    "cross",
    "delete",
    "distinct",
    "drop",
    "else",
    "except",
    "exists",
    "fetch",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "left",
    "limit",
    "not",
    "null",
    "on",
    "or",
    "order",
    "select",
    "table",
    "union",
    "update",
    "where",
];

/// Whether SQL can say this name without quotes.
pub(super) fn is_sql_name(name: &str) -> bool {
    name.len() <= 64
        && !RESERVED.contains(&name)
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether a model or an endpoint may have this name: lower-case letters, digits, `_` and `-`, 1 to 64 of them.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// Line and column, both from 1, of a whole word in the lines from a place on, upper or lower case alike.
fn find_word(text: &str, line: usize, column: usize, lines: usize, word: &str) -> Option<(usize, usize)> {
    for (index, text) in text.lines().enumerate().skip(line.checked_sub(1)?).take(lines) {
        let lower: Vec<char> = text.chars().map(|c| c.to_ascii_lowercase()).collect();
        let wanted: Vec<char> = word.chars().collect();
        let first = if index + 1 == line { column - 1 } else { 0 };
        let is_part =
            |at: Option<usize>| at.and_then(|at| lower.get(at)).is_some_and(|c| c.is_alphanumeric() || *c == '_');
        let last = (lower.len() + 1).saturating_sub(wanted.len());
        let found = (first..last.max(first)).find(|&at| {
            lower.get(at..at + wanted.len()) == Some(wanted.as_slice())
                && !is_part(at.checked_sub(1))
                && !is_part(Some(at + wanted.len()))
        });
        if let Some(at) = found {
            return Some((index + 1, at + 1));
        }
    }
    None
}
