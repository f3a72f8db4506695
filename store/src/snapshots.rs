//! What was a model trained on? Rows frozen in one Parquet file per content, named by its SHA-256 and shared by all that
//! have the same rows.
//!
//! ```text
//! DATA/snapshots/<sha256>.parquet   the rows
//! DATA/snapshots/<sha256>.json      what the caller said of them: table, query, sources, columns, profile
//! ```
//!
//! A snapshot is `table@number`, numbered by table from 1. It is written in `staging/`, moved to its place, described, and
//! only then listed; it is taken off the list before its files go. A crash between leaves rows that are described but not
//! listed, which the next open lists, or rows that are not described, which it removes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::database::{json_column, json_text, now_unix_ms};
use crate::error::Fault;
use crate::{Error, Inner, Result, Store, files, manifest};

const FOLDER: &str = "snapshots";
const SNAPSHOTS_LISTED_MAX: i64 = 10_000;
const COLUMN_BYTES_MAX: usize = 4 << 20;
const SUMMARY_BYTES_MAX: u64 = 256 << 20;

/// What the caller says of frozen rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotSummary {
    /// The table or source that was read.
    pub table: String,
    /// The SQL that gave the rows.
    pub query: String,
    /// Where they came from, without secrets.
    pub sources: Value,
    /// Names and types of the columns, in order.
    pub columns: Value,
    /// Rows.
    pub rows: u64,
    /// What the columns hold.
    pub profile: Value,
}

/// Rows that were frozen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// The table or source that was read.
    pub table: String,
    /// The snapshot's number among those of the table, from 1.
    pub number: u32,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub content: String,
    /// The SQL that gave the rows.
    pub query: String,
    /// Where they came from.
    pub sources: Value,
    /// Names and types of the columns, in order.
    pub columns: Value,
    /// Rows.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// When it was taken, milliseconds since 1970 UTC.
    pub taken_unix_ms: i64,
    /// Models and versions that learned from these rows.
    pub versions: Vec<(String, u32)>,
    /// The file, absolute.
    pub path: PathBuf,
}

impl Snapshot {
    /// `table@number`.
    pub fn name(&self) -> String {
        format!("{}@{}", self.table, self.number)
    }
}

/// What pruning took away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Names of the snapshots.
    pub snapshots: Vec<String>,
    /// Size of the files that are gone.
    pub bytes: u64,
}

/// Rows being frozen; dropped without [`StagedSnapshot::commit`], nothing of them remains.
#[derive(Debug)]
pub struct StagedSnapshot {
    store: Store,
    folder: PathBuf,
}

impl Store {
    /// Makes a place for rows to be frozen.
    ///
    /// # Errors
    /// `Exhausted` for a full disk, `Conflict` when opened for reading.
    pub fn stage_snapshot(&self) -> Result<StagedSnapshot> {
        self.inner.check_writable()?;
        let number = self.inner.staged.fetch_add(1, Ordering::Relaxed);
        let folder = self.inner.folder.join("staging").join(format!("snapshot-{number}"));
        files::create_folder(&folder)?;
        Ok(StagedSnapshot { store: self.clone(), folder })
    }

    /// The snapshots of a table, or of all, newest first; at most 10,000.
    ///
    /// # Errors
    /// As reading from the store.
    pub fn snapshots(&self, table: Option<&str>) -> Result<Vec<Snapshot>> {
        self.inner.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{SELECT} WHERE ?1 IS NULL OR table_name = ?1 ORDER BY rowid DESC LIMIT ?2"
            ))?;
            let rows = statement.query_map(params![table, SNAPSHOTS_LISTED_MAX], |row| self.inner.snapshot_of(row))?;
            let mut snapshots = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            for snapshot in &mut snapshots {
                snapshot.versions = versions_of(connection, &snapshot.content)?;
            }
            Ok(snapshots)
        })
    }

    /// One snapshot.
    ///
    /// # Errors
    /// `NotFound`, naming the snapshots there are.
    pub fn snapshot(&self, table: &str, number: u32) -> Result<Snapshot> {
        let found = self.snapshots(Some(table))?;
        let known: Vec<String> = found.iter().map(Snapshot::name).collect();
        found.into_iter().find(|snapshot| snapshot.number == number).ok_or_else(|| match known.is_empty() {
            true => Error::NotFound(format!("no snapshot \"{table}@{number}\": there is none of \"{table}\"")),
            false => Error::NotFound(format!("no snapshot \"{table}@{number}\"; there are: {}", known.join(", "))),
        })
    }

    /// What the columns of a snapshot hold, as the caller of [`StagedSnapshot::commit`] said.
    ///
    /// # Errors
    /// `Corrupt` where the description is gone or no description.
    pub fn snapshot_profile(&self, snapshot: &Snapshot) -> Result<Value> {
        Ok(read_summary(&described(&snapshot.path))?.profile)
    }

    /// Takes snapshots away that no version learned from, but for the newest `unused_kept` of each table.
    ///
    /// # Errors
    /// `Invalid` for 0: the newest snapshot of a table always stays.
    pub fn prune_snapshots(&self, unused_kept: usize) -> Result<Pruned> {
        if unused_kept == 0 {
            return Err(Error::Invalid("the newest snapshot of a table always stays; keep 1 at least".into()));
        }
        let registering = self.inner.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = self.inner.write(|transaction| {
            let mut statement = transaction.prepare(
                "DELETE FROM snapshots WHERE rowid IN (
                     SELECT rowid FROM (SELECT rowid, content, row_number() OVER (
                         PARTITION BY table_name ORDER BY number DESC) AS age FROM snapshots)
                     WHERE age > ?1 AND content NOT IN (SELECT content FROM version_snapshots))
                 RETURNING table_name || '@' || number",
            )?;
            let kept = i64::try_from(unused_kept).unwrap_or(i64::MAX);
            let rows = statement.query_map([kept], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
        })?;
        let bytes = self.inner.sweep_snapshots()?;
        drop(registering);
        Ok(Pruned { snapshots: gone, bytes })
    }
}

impl StagedSnapshot {
    /// Where the Parquet file is to be written.
    pub fn path(&self) -> PathBuf {
        self.folder.join("rows.parquet")
    }

    /// Freezes the rows. Where the newest snapshot of the table has the same rows by the same query, it is that one.
    ///
    /// # Errors
    /// `Io` where nothing was written, `Exhausted` for a full disk.
    pub fn commit(self, summary: &SnapshotSummary) -> Result<Snapshot> {
        let path = self.path();
        let file = fs::File::open(&path).map_err(|source| Error::io(&path, source))?;
        files::sync_file(&file, &path)?;
        let written = manifest::measure(&path, "rows.parquet")?; // the slow part, under no lock
        let inner = &self.store.inner;
        let registering = inner.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = files::create_folder(&inner.folder.join(FOLDER))?;
        let place = folder.join(format!("{}.parquet", written.sha256));
        files::rename(&path, &place)?; // of equal content one replaces the other
        files::sync_folder(&folder)?;
        let text = serde_json::to_vec(summary)
            .map_err(|error| Error::Internal(format!("a snapshot cannot be described: {error}")))?;
        files::write_atomic(described(&place), &text)?;
        let number = inner.list_snapshot(summary, &written.sha256, written.bytes)?;
        drop(registering);
        self.store.snapshot(&summary.table, number)
    }
}

impl Drop for StagedSnapshot {
    fn drop(&mut self) {
        let _ = files::remove_folder(&self.folder); // what cannot be removed now is removed on the next open
    }
}

const SELECT: &str =
    "SELECT table_name, number, content, query, sources, columns, rows, bytes, taken_unix_ms FROM snapshots";

impl Inner {
    fn list_snapshot(&self, summary: &SnapshotSummary, content: &str, bytes: u64) -> Result<u32> {
        let sources = json_text("the sources of a snapshot", &summary.sources, COLUMN_BYTES_MAX)?;
        let columns = json_text("the columns of a snapshot", &summary.columns, COLUMN_BYTES_MAX)?;
        self.write(|transaction| {
            let newest = newest(transaction, &summary.table)?;
            if let Some((number, query, same)) = &newest
                && (query, same.as_str()) == (&summary.query, content)
            {
                return Ok(*number);
            }
            let number = newest.map_or(1, |(number, ..)| number + 1);
            transaction.execute(
                "INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    summary.table,
                    number,
                    content,
                    summary.query,
                    sources,
                    columns,
                    i64::try_from(summary.rows).unwrap_or(i64::MAX),
                    i64::try_from(bytes).unwrap_or(i64::MAX),
                    now_unix_ms(),
                ],
            )?;
            Ok(number)
        })
    }

    fn snapshot_of(&self, row: &Row<'_>) -> rusqlite::Result<Snapshot> {
        let content: String = row.get("content")?;
        let whole = |name: &str| row.get::<_, i64>(name).map(|value| u64::try_from(value).unwrap_or_default());
        Ok(Snapshot {
            table: row.get("table_name")?,
            number: row.get("number")?,
            query: row.get("query")?,
            sources: json_column(row, "sources")?,
            columns: json_column(row, "columns")?,
            rows: whole("rows")?,
            bytes: whole("bytes")?,
            taken_unix_ms: row.get("taken_unix_ms")?,
            versions: Vec::new(),
            path: self.folder.join(FOLDER).join(format!("{content}.parquet")),
            content,
        })
    }

    /// Brings files and rows together after a crash; a description without a row is listed again.
    pub(crate) fn repair_snapshots(&self) -> Result<()> {
        let listed = self.listed_contents()?;
        for path in files::entries(&self.folder.join(FOLDER))? {
            let Some(content) = content_of(&path, "json").filter(|content| !listed.contains(content)) else { continue };
            let rows = path.with_extension("parquet");
            if let (Ok(summary), Ok(found)) = (read_summary(&path), fs::metadata(&rows)) {
                self.list_snapshot(&summary, &content, found.len())?;
            }
        }
        self.sweep_snapshots().map(drop)
    }

    /// Removes the files of contents that are not listed; how large they were.
    fn sweep_snapshots(&self) -> Result<u64> {
        let listed = self.listed_contents()?;
        let mut bytes = 0;
        for extension in ["json", "parquet"] {
            for path in files::entries(&self.folder.join(FOLDER))? {
                if content_of(&path, extension).is_some_and(|content| !listed.contains(&content)) {
                    bytes += fs::metadata(&path).map_or(0, |found| found.len());
                    files::remove_file(&path)?;
                }
            }
        }
        Ok(bytes)
    }

    fn listed_contents(&self) -> Result<BTreeSet<String>> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT DISTINCT content FROM snapshots")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// Number, query and content of the newest snapshot of a table.
fn newest(transaction: &Transaction<'_>, table: &str) -> Result<Option<(u32, String, String)>, Fault> {
    let sql = "SELECT number, query, content FROM snapshots WHERE table_name = ?1 ORDER BY number DESC LIMIT 1";
    Ok(transaction.query_row(sql, [table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?)
}

/// Notes what rows a version learned from.
pub(crate) fn link(transaction: &Transaction<'_>, model: &str, version: u32, contents: &[String]) -> Result<(), Fault> {
    for content in contents {
        transaction
            .execute("INSERT OR IGNORE INTO version_snapshots VALUES (?1, ?2, ?3)", params![model, version, content])?;
    }
    Ok(())
}

fn versions_of(connection: &Connection, content: &str) -> Result<Vec<(String, u32)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT model, version FROM version_snapshots WHERE content = ?1 ORDER BY model, version LIMIT 10000",
    )?;
    let rows = statement.query_map([content], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The description beside a file of rows.
fn described(rows: &Path) -> PathBuf {
    rows.with_extension("json")
}

/// The content that a file of this extension is named by.
fn content_of(path: &Path, extension: &str) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let is_digest = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_digest && path.extension()? == extension).then(|| stem.to_owned())
}

fn read_summary(path: &Path) -> Result<SnapshotSummary> {
    let size = fs::metadata(path).map_err(|source| Error::io(path, source))?.len();
    if size > SUMMARY_BYTES_MAX {
        return Err(Error::corrupt(path, format!("has {size} bytes, more than a description may have")));
    }
    let text = fs::read(path).map_err(|source| Error::io(path, source))?;
    serde_json::from_slice(&text).map_err(|error| Error::corrupt(path, format!("describes no snapshot: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorKind;

    fn summary(table: &str, rows: u64) -> SnapshotSummary {
        SnapshotSummary {
            table: table.into(),
            query: format!("SELECT * FROM {table}"),
            sources: json!({"csv": {"path": "a.csv"}}),
            columns: json!([["a", "Int64"]]),
            rows,
            profile: json!({"rows": rows}),
        }
    }

    fn freeze(store: &Store, table: &str, bytes: &[u8]) -> Snapshot {
        let staged = store.stage_snapshot().unwrap();
        fs::write(staged.path(), bytes).unwrap();
        staged.commit(&summary(table, bytes.len() as u64)).unwrap()
    }

    fn files_of(store: &Store) -> usize {
        files::entries(&store.folder().join(FOLDER)).unwrap().len()
    }

    #[test]
    fn equal_rows_are_kept_once_and_the_same_again_is_no_new_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let first = freeze(&store, "sales", b"rows");
        assert_eq!((first.name().as_str(), first.rows, first.bytes), ("sales@1", 4, 4));
        assert_eq!(fs::read(&first.path).unwrap(), b"rows");
        assert_eq!(freeze(&store, "sales", b"rows"), first);
        let other = freeze(&store, "orders", b"rows");
        assert_eq!((other.number, &other.content), (1, &first.content));
        let second = freeze(&store, "sales", b"more rows");
        assert_eq!(second.number, 2);
        assert_eq!(freeze(&store, "sales", b"rows").number, 3, "what was there before comes back");
        let names: Vec<String> = store.snapshots(Some("sales")).unwrap().iter().map(Snapshot::name).collect();
        assert_eq!(names, ["sales@3", "sales@2", "sales@1"]);
        assert_eq!(files_of(&store), 4, "two contents, each with its description");
        assert_eq!(store.snapshot_profile(&second).unwrap(), json!({"rows": 9}));
        assert!(files::entries(&folder.path().join("staging")).unwrap().is_empty());
        let error = store.snapshot("sales", 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("there are: sales@3, sales@2, sales@1"), "{error}");
    }

    #[test]
    fn pruning_keeps_the_newest_and_what_versions_learned_from() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let contents: Vec<String> =
            (0..5_u8).map(|n| freeze(&store, "sales", &vec![n; 100 + usize::from(n)]).content).collect();
        let staging = store.stage("churn").unwrap();
        fs::write(staging.path().join("model.onnx"), "onnx").unwrap();
        let learned =
            crate::VersionSummary { snapshots: vec![contents[1].clone()], ..crate::tests::summary(None, 0.5) };
        staging.commit(learned).unwrap();
        let pruned = store.prune_snapshots(2).unwrap();
        assert_eq!(pruned.snapshots, ["sales@1", "sales@3"]);
        assert!(pruned.bytes > 100 + 102);
        let left = store.snapshots(None).unwrap();
        assert_eq!(left.iter().map(|snapshot| snapshot.number).collect::<Vec<_>>(), [5, 4, 2]);
        assert_eq!(left[2].versions, [("churn".to_owned(), 1)]);
        assert!(left.iter().all(|snapshot| snapshot.path.is_file()));
        assert_eq!(files_of(&store), 6);
        assert_eq!(store.prune_snapshots(2).unwrap(), Pruned::default());
        assert_eq!(store.prune_snapshots(0).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn what_a_crash_left_behind_is_listed_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let kept = freeze(&store, "sales", b"rows");
        let half = folder.path().join(FOLDER).join(format!("{}.parquet", "ab".repeat(32)));
        fs::write(&half, b"moved, but not described").unwrap();
        store.inner.write(|transaction| Ok(transaction.execute("DELETE FROM snapshots", []).map(drop)?)).unwrap();
        drop(store.stage_snapshot().unwrap());
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        let found = store.snapshots(None).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name(), &found[0].content, found[0].bytes), (kept.name(), &kept.content, 4));
        assert!(!half.exists());
    }

    #[test]
    fn a_reader_freezes_nothing_and_nothing_written_is_no_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.stage_snapshot().unwrap().commit(&summary("sales", 0)).unwrap_err().kind(), ErrorKind::Io);
        let reader = Store::read_only(folder.path()).unwrap();
        assert_eq!(reader.stage_snapshot().unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(reader.snapshots(None).unwrap(), []);
    }
}
