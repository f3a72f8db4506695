//! What have we got? The registered versions of each model, best first, and why others did not become one.

use std::cmp::Ordering;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde_json::Value;

use crate::database::{json_column, json_text, now_unix_ms, optional_json_column};
use crate::error::Fault;
use crate::manifest::Manifest;
use crate::staging::PrimaryMetric;
use crate::{Error, Inner, Result, RunId, Store, champion, check_model_name, runs, snapshots};

const VERSIONS_LISTED_MAX: i64 = 10_000;
const FAILURES_KEPT_PER_MODEL: i64 = 100;
const METRICS_BYTES_MAX: usize = 1 << 20;

/// One registered version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Version {
    /// The model's name.
    pub model: String,
    /// The version's number, from 1.
    pub number: u32,
    /// Whether it is the model's champion now.
    pub champion: bool,
    /// The run that made it, if it is still remembered.
    pub run: Option<RunId>,
    /// When it was registered, milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// `regression`, `binary` or `multiclass`.
    pub task: String,
    /// What versions are compared by.
    pub primary: PrimaryMetric,
    /// All metrics on the validation rows.
    pub validation: Value,
    /// All metrics on the test rows.
    pub test: Value,
    /// What cross-validation found, where it was asked for.
    pub cross_validation: Option<Value>,
    /// How long training took.
    pub train_seconds: f64,
    /// How long one row takes to answer.
    pub predict_microseconds_per_row: f64,
    /// Size of its files.
    pub size_bytes: u64,
    /// Its folder, absolute.
    pub folder: PathBuf,
}

/// A version that did not come to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The model's name.
    pub model: String,
    /// The run that should have made it.
    pub run: Option<RunId>,
    /// What went wrong.
    pub why: String,
    /// When, milliseconds since 1970 UTC.
    pub failed_unix_ms: i64,
}

/// The versions of a model in order of merit, and what failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leaderboard {
    /// The model's name.
    pub model: String,
    /// Best validation score first; without one last; then those compared by another metric than the newest version is.
    pub versions: Vec<Version>,
    /// Newest first, at most 100.
    pub failures: Vec<Failure>,
}

impl Store {
    /// The versions of a model, or of all, newest first; at most 10,000. None for a model that is not known.
    ///
    /// # Errors
    /// `Invalid` for a bad model name.
    pub fn versions(&self, model: Option<&str>) -> Result<Vec<Version>> {
        model.map_or(Ok(()), check_model_name)?;
        self.inner.read(|connection| {
            let mut statement = connection
                .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR model = ?1 ORDER BY rowid DESC LIMIT ?2"))?;
            let rows = statement.query_map(params![model, VERSIONS_LISTED_MAX], |row| self.inner.version_of(row))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// One version.
    ///
    /// # Errors
    /// `NotFound`, naming the versions there are; `Invalid` for a bad model name.
    pub fn version(&self, model: &str, number: u32) -> Result<Version> {
        check_model_name(model)?;
        self.inner.read(|connection| {
            let sql = format!("{SELECT} WHERE model = ?1 AND number = ?2");
            match connection.query_row(&sql, params![model, number], |row| self.inner.version_of(row)).optional()? {
                Some(version) => Ok(version),
                None => Err(Fault::Ours(no_version(connection, model, number)?)),
            }
        })
    }

    /// Remembers that a version did not come to be; the newest 100 of a model are kept.
    ///
    /// # Errors
    /// `Invalid` for a bad model name, `NotFound` for an unknown run, `Exhausted`.
    pub fn record_failure(&self, model: &str, run: Option<RunId>, why: &str) -> Result<()> {
        check_model_name(model)?;
        if let Some(run) = run {
            self.run(run)?;
        }
        self.inner.write(|transaction| {
            transaction.execute(
                "INSERT INTO failures (model, run, why, failed_unix_ms) VALUES (?1, ?2, ?3, ?4)",
                params![model, run.map(|run| run.0), runs::shorten(why), now_unix_ms()],
            )?;
            transaction.execute(
                "DELETE FROM failures WHERE model = ?1
                 AND id <= (SELECT id FROM failures WHERE model = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                params![model, FAILURES_KEPT_PER_MODEL],
            )?;
            Ok(())
        })
    }

    /// The versions of a model in order of merit, and what failed. Empty for a model that is not known.
    ///
    /// # Errors
    /// `Invalid` for a bad model name.
    pub fn leaderboard(&self, model: &str) -> Result<Leaderboard> {
        let mut versions = self.versions(Some(model))?;
        if let Some(metric) = versions.iter().max_by_key(|version| version.number).map(|newest| newest.primary.clone())
        {
            versions.sort_by(|left, right| merit(&metric, left, right));
        }
        let failures = self.inner.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM failures WHERE model = ?1 ORDER BY id DESC LIMIT ?2")?;
            let rows = statement.query_map(params![model, FAILURES_KEPT_PER_MODEL], |row| {
                Ok(Failure {
                    model: row.get("model")?,
                    run: row.get::<_, Option<i64>>("run")?.map(RunId),
                    why: row.get("why")?,
                    failed_unix_ms: row.get("failed_unix_ms")?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        Ok(Leaderboard { model: model.to_owned(), versions, failures })
    }
}

impl Inner {
    /// Where a version lives.
    pub(crate) fn version_folder(&self, model: &str, number: u32) -> PathBuf {
        self.folder.join("models").join(model).join(number.to_string())
    }

    /// The next number of a model: above every one that was given, and above every folder that is there.
    pub(crate) fn next_number(&self, model: &str) -> Result<u32> {
        let mut number: u32 = self.read(|connection| {
            let sql = "SELECT next_version FROM models WHERE name = ?1";
            Ok(connection.query_row(sql, [model], |row| row.get(0)).optional()?.unwrap_or(1))
        })?;
        while self.version_folder(model, number).symlink_metadata().is_ok() {
            number = number.saturating_add(1);
        }
        Ok(number)
    }

    /// Lists a version whose folder is in its place already.
    pub(crate) fn register(&self, manifest: &Manifest) -> Result<()> {
        let summary = &manifest.summary;
        let finite = |score: Option<f64>| score.filter(|score| score.is_finite());
        let validation = json_text("the validation metrics", &summary.validation, METRICS_BYTES_MAX)?;
        let test = json_text("the test metrics", &summary.test, METRICS_BYTES_MAX)?;
        let folds = summary.cross_validation.as_ref();
        let folds = folds.map(|found| json_text("the cross-validation", found, METRICS_BYTES_MAX)).transpose()?;
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO models (name, next_version) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET next_version = max(next_version, excluded.next_version)",
                params![manifest.model, i64::from(manifest.version) + 1],
            )?;
            transaction.execute(
                "INSERT INTO versions VALUES (?1, ?2, (SELECT id FROM runs WHERE id = ?3 AND model = ?1),
                                              ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                params![
                    manifest.model,
                    manifest.version,
                    summary.run.map(|run| run.0),
                    manifest.created_unix_ms,
                    summary.task,
                    summary.primary.name,
                    summary.primary.higher_is_better,
                    finite(summary.primary.validation),
                    finite(summary.primary.test),
                    validation,
                    test,
                    summary.train_seconds,
                    summary.predict_microseconds_per_row,
                    i64::try_from(manifest.size_bytes()).unwrap_or(i64::MAX),
                    folds,
                ],
            )?;
            snapshots::link(transaction, &manifest.model, manifest.version, &summary.snapshots)?;
            champion::promote_first(transaction, &manifest.model, manifest.version)?;
            Ok(())
        })
    }

    /// Whether a version is listed.
    pub(crate) fn is_registered(&self, model: &str, number: u32) -> Result<bool> {
        self.read(|connection| Ok(exists(connection, model, number)?))
    }

    fn version_of(&self, row: &Row<'_>) -> rusqlite::Result<Version> {
        let model: String = row.get("model")?;
        let number = row.get("number")?;
        Ok(Version {
            folder: self.version_folder(&model, number),
            model,
            number,
            champion: row.get("champion")?,
            run: row.get::<_, Option<i64>>("run")?.map(RunId),
            created_unix_ms: row.get("created_unix_ms")?,
            task: row.get("task")?,
            primary: PrimaryMetric {
                name: row.get("metric")?,
                higher_is_better: row.get("higher_is_better")?,
                validation: row.get("validation_score")?,
                test: row.get("test_score")?,
            },
            validation: json_column(row, "validation")?,
            test: json_column(row, "test")?,
            cross_validation: optional_json_column(row, "cross_validation")?,
            train_seconds: row.get("train_seconds")?,
            predict_microseconds_per_row: row.get("predict_microseconds_per_row")?,
            size_bytes: row.get::<_, i64>("size_bytes")?.unsigned_abs(),
        })
    }
}

/// Refuses a version that is not listed, inside a transaction.
pub(crate) fn check_registered(transaction: &Transaction<'_>, model: &str, number: u32) -> Result<(), Fault> {
    match exists(transaction, model, number)? {
        true => Ok(()),
        false => Err(Fault::Ours(no_version(transaction, model, number)?)),
    }
}

const SELECT: &str = "SELECT *, number IS (
    SELECT version FROM promotions WHERE model = versions.model AND rolled_back_unix_ms IS NULL
    ORDER BY id DESC LIMIT 1) AS champion FROM versions";

fn exists(connection: &Connection, model: &str, number: u32) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM versions WHERE model = ?1 AND number = ?2)";
    connection.query_row(sql, params![model, number], |row| row.get(0))
}

fn no_version(connection: &Connection, model: &str, number: u32) -> rusqlite::Result<Error> {
    let sql = "SELECT group_concat(number, ', ') FROM
               (SELECT number FROM versions WHERE model = ?1 ORDER BY number DESC LIMIT 10)";
    let known: Option<String> = connection.query_row(sql, [model], |row| row.get(0))?;
    Ok(Error::NotFound(match known {
        Some(known) => format!("model \"{model}\" has no version {number}; the newest it has: {known}"),
        None => format!("model \"{model}\" has no version yet; train it first"),
    }))
}

/// Versions compared by `metric` first, the better score first, the older first where they are equal.
fn merit(metric: &PrimaryMetric, left: &Version, right: &Version) -> Ordering {
    let comparable = |version: &Version| {
        version.primary.name == metric.name && version.primary.higher_is_better == metric.higher_is_better
    };
    let worst = if metric.higher_is_better { f64::NEG_INFINITY } else { f64::INFINITY };
    let score = |version: &Version| version.primary.validation.unwrap_or(worst);
    let by_score = match metric.higher_is_better {
        true => score(right).total_cmp(&score(left)),
        false => score(left).total_cmp(&score(right)),
    };
    comparable(right).cmp(&comparable(left)).then(by_score).then(left.number.cmp(&right.number))
}
