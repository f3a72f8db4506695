//! How are the tables kept? One SQLite file in WAL mode, every commit synced, the schema numbered by `user_version`.

use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use serde_json::Value;

use crate::error::Fault;
use crate::{Error, Inner, Result, files};

/// Entry `n` takes the schema from version `n` to `n + 1`. Entries are never changed, only added.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE models (
        name TEXT PRIMARY KEY,
        next_version INTEGER NOT NULL CHECK (next_version >= 1)
    ) STRICT;

    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model TEXT NOT NULL,
        kind TEXT NOT NULL,
        config TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'interrupted', 'stopped', 'succeeded', 'failed')),
        version INTEGER,
        why TEXT,
        started_unix_ms INTEGER NOT NULL,
        finished_unix_ms INTEGER
    ) STRICT;
    CREATE INDEX runs_of_model ON runs (model, id);

    CREATE TABLE epochs (
        run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        epoch INTEGER NOT NULL CHECK (epoch >= 0),
        recorded_unix_ms INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (run, epoch)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE versions (
        model TEXT NOT NULL REFERENCES models (name),
        number INTEGER NOT NULL CHECK (number >= 1),
        run INTEGER REFERENCES runs (id) ON DELETE SET NULL,
        created_unix_ms INTEGER NOT NULL,
        task TEXT NOT NULL,
        metric TEXT NOT NULL,
        higher_is_better INTEGER NOT NULL,
        validation_score REAL,
        test_score REAL,
        validation TEXT NOT NULL,
        test TEXT NOT NULL,
        train_seconds REAL NOT NULL,
        predict_microseconds_per_row REAL NOT NULL,
        size_bytes INTEGER NOT NULL,
        PRIMARY KEY (model, number)
    ) STRICT;
    CREATE INDEX versions_of_run ON versions (run);

    CREATE TABLE promotions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model TEXT NOT NULL,
        version INTEGER NOT NULL,
        promoted_unix_ms INTEGER NOT NULL,
        rolled_back_unix_ms INTEGER,
        FOREIGN KEY (model, version) REFERENCES versions (model, number)
    ) STRICT;
    CREATE INDEX promotions_of_model ON promotions (model, id);

    CREATE TABLE failures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model TEXT NOT NULL,
        run INTEGER REFERENCES runs (id) ON DELETE SET NULL,
        why TEXT NOT NULL,
        failed_unix_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX failures_of_model ON failures (model, id);
    CREATE INDEX failures_of_run ON failures (run);
",
    "
    ALTER TABLE versions ADD COLUMN cross_validation TEXT;
",
    "
    CREATE TABLE trials (
        run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL CHECK (number >= 0),
        recorded_unix_ms INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (run, number)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE snapshots (
        table_name TEXT NOT NULL,
        number INTEGER NOT NULL CHECK (number >= 1),
        content TEXT NOT NULL,
        query TEXT NOT NULL,
        sources TEXT NOT NULL,
        columns TEXT NOT NULL,
        rows INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        taken_unix_ms INTEGER NOT NULL,
        PRIMARY KEY (table_name, number)
    ) STRICT;
    CREATE INDEX snapshots_of_content ON snapshots (content);

    CREATE TABLE version_snapshots (
        model TEXT NOT NULL,
        version INTEGER NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (content, model, version),
        FOREIGN KEY (model, version) REFERENCES versions (model, number)
    ) STRICT, WITHOUT ROWID;
",
];

const BUSY_TIMEOUT_MS: u64 = 5_000;
/// A WAL that one slow reader let grow is cut back to this size afterwards.
const WAL_BYTES_KEPT: i64 = 16 << 20;

/// The database file of a data folder.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("tidemill.db")
}

/// Opens the database for writing, making or migrating it as needed.
pub(crate) fn open(folder: &Path) -> Result<Connection> {
    let path = path(folder);
    let opened = || -> Result<Connection, Fault> {
        files::step(&path)?;
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(Fault::Ours(Error::Unsupported(format!(
                "\"{}\" is on a file system that cannot keep a database (no shared memory); use a local disk",
                folder.display()
            ))));
        }
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        migrate(&mut connection, &path, MIGRATIONS)?;
        Ok(connection)
    };
    let connection = opened().map_err(|fault| fault.at(&path))?;
    files::sync_folder(folder)?;
    Ok(connection)
}

/// Opens the database for reading; it must be of exactly this schema.
pub(crate) fn open_read_only(folder: &Path) -> Result<Connection> {
    let path = path(folder);
    if !path.is_file() {
        return Err(Error::NotFound(format!(
            "no \"tidemill.db\" in data folder \"{}\"; \"tidemill run\" makes it",
            folder.display()
        )));
    }
    let opened = || -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        let version = schema_version(&connection)?;
        if version < MIGRATIONS.len() {
            return Err(Fault::Ours(Error::Unsupported(format!(
                "\"{}\" is of an older release (schema {version}, this one reads {}); open it once for writing, for \
                 example with \"tidemill run\", to bring it up to date",
                path.display(),
                MIGRATIONS.len()
            ))));
        }
        refuse_newer(version, &path, MIGRATIONS.len())?;
        Ok(connection)
    };
    opened().map_err(|fault| fault.at(&path))
}

/// Each step and its number are one transaction: a crash leaves the schema before it or after it.
fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), Fault> {
    let version = schema_version(connection)?;
    refuse_newer(version, path, migrations.len())?;
    for (step, sql) in migrations.iter().enumerate().skip(version) {
        files::step(path)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", step as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn refuse_newer(version: usize, path: &Path, known: usize) -> Result<(), Error> {
    match version > known {
        true => Err(Error::Unsupported(format!(
            "\"{}\" was written by a newer release of tidemill (schema {version}, this one knows {known}); use that \
             release, or another data folder",
            path.display()
        ))),
        false => Ok(()),
    }
}

fn schema_version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX)) // a negative number is not ours: refused as newer
}

impl Inner {
    /// Runs queries that change nothing.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T> {
        work(&self.connection()).map_err(|fault| fault.at(&path(&self.folder)))
    }

    /// Runs one transaction: all of it is durable when this returns, or nothing happened.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T> {
        self.check_writable()?;
        let path = path(&self.folder);
        let mut connection = self.connection();
        let written = || -> Result<T, Fault> {
            files::step(&path)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            files::step(&path)?;
            transaction.commit()?;
            Ok(value)
        };
        written().map_err(|fault| fault.at(&path))
    }

    /// Refuses what changes the folder when it was opened for reading.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(Error::Conflict(format!(
                "data folder \"{}\" was opened for reading only; open it for writing to change it",
                self.folder.display()
            ))),
        }
    }

    /// A thread that panicked rolled its transaction back on the way: the connection is still good.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970, UTC; 0 for a clock before that. Shown to people only: order is by id.
pub(crate) fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// JSON as text for a column, refused when longer than `bytes_max`.
pub(crate) fn json_text(what: &str, value: &impl serde::Serialize, bytes_max: usize) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|error| Error::Invalid(format!("{what} is no JSON: {error}")))?;
    match text.len() > bytes_max {
        true => Err(Error::Invalid(format!("{what} has {} bytes; at most {bytes_max} are kept", text.len()))),
        false => Ok(text),
    }
}

/// A JSON column of the row; text that is none (another program wrote it) is an error of the conversion, never a panic.
pub(crate) fn json_column(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Value> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

/// The same where the column may be empty.
pub(crate) fn optional_json_column(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<Value>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => json_column(row, column).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Store};

    const STEPS: &[&str] =
        &["CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD COLUMN y INTEGER", "CREATE TABLE b (z TEXT)"];

    #[test]
    fn migrates_from_every_version_and_keeps_the_rows() {
        for from in 0..=STEPS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, Path::new("db"), &STEPS[..from]).ok().unwrap();
            if from > 0 {
                connection.execute("INSERT INTO a (x) VALUES (7)", []).unwrap();
            }
            migrate(&mut connection, Path::new("db"), STEPS).ok().unwrap();
            assert_eq!(schema_version(&connection).unwrap(), 3);
            let sum: i64 = connection.query_row("SELECT ifnull(sum(x), 0) FROM a", [], |row| row.get(0)).unwrap();
            assert_eq!(sum, if from > 0 { 7 } else { 0 });
            connection.execute("INSERT INTO b VALUES ('x')", []).unwrap();
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = &[STEPS[0], "CREATE TABLE c (x INTEGER); this is no SQL"];
        assert!(migrate(&mut connection, Path::new("db"), steps).is_err());
        assert_eq!(schema_version(&connection).unwrap(), 1);
        let left: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'c'", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn opens_an_empty_database_of_version_0() {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(path(folder.path())).unwrap().execute_batch("VACUUM").unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.runs(10).unwrap().is_empty());
        let settings = |name: &str| store.inner.connection().pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        assert_eq!(settings("user_version").unwrap(), MIGRATIONS.len() as i64);
        assert_eq!(settings("synchronous").unwrap(), 2);
        assert_eq!(settings("foreign_keys").unwrap(), 1);
    }

    #[test]
    fn newer_and_older_schemas_are_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let check = |version: i64, open: fn(&Path) -> Result<Store>, expected: &str| {
            let connection = Connection::open(path(folder.path())).unwrap();
            connection.pragma_update(None, "user_version", version).unwrap();
            drop(connection);
            let error = open(folder.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(999, |path| Store::open(path), "newer release of tidemill (schema 999");
        check(999, |path| Store::read_only(path), "newer release");
        check(-1, |path| Store::open(path), "newer release");
        check(0, |path| Store::read_only(path), "older release");
    }

    #[test]
    fn a_damaged_database_is_corrupt_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(path(folder.path()), vec![b'x'; 8192]).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("tidemill.db: "), "{error}");
        assert!(error.to_string().contains("move it away"), "{error}");
    }
}
