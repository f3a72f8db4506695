//! Which version answers? The champion is the newest promotion that was not rolled back; every promotion is kept.

use rusqlite::{Connection, Transaction, params};
use serde::Serialize;

use crate::database::now_unix_ms;
use crate::error::Fault;
use crate::{Error, Result, Store, Version, check_model_name, verify, versions};

const PROMOTIONS_LISTED_MAX: usize = 1_000;

/// A version was made champion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promotion {
    /// The version.
    pub version: u32,
    /// When, milliseconds since 1970 UTC.
    pub promoted_unix_ms: i64,
    /// When it was rolled back, if it was.
    pub rolled_back_unix_ms: Option<i64>,
}

impl Store {
    /// The model's champion; none for a model without versions.
    ///
    /// # Errors
    /// `Invalid` for a bad model name.
    pub fn champion(&self, model: &str) -> Result<Option<Version>> {
        check_model_name(model)?;
        let champions = self.inner.read(|connection| Ok(standing(connection, model)?))?;
        champions.first().map(|number| self.version(model, *number)).transpose()
    }

    /// Makes a version the champion, after checking its files. Promoting the champion changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` when a file of the version is damaged: the champion stays as it was.
    pub fn promote(&self, model: &str, number: u32) -> Result<Version> {
        self.inner.check_writable()?;
        verify(self.version(model, number)?.folder)?;
        self.inner.write(|transaction| {
            versions::check_registered(transaction, model, number)?;
            match standing(transaction, model)?.first() {
                Some(champion) if *champion == number => Ok(()),
                _ => insert(transaction, model, number),
            }
        })?;
        self.version(model, number)
    }

    /// Makes the champion before the present one champion again, after checking its files; again for the one before that.
    ///
    /// # Errors
    /// `Conflict` when there is none before it, `Corrupt` when a file of that one is damaged.
    pub fn rollback(&self, model: &str) -> Result<Version> {
        check_model_name(model)?;
        self.inner.check_writable()?;
        let before = self.inner.read(|connection| Ok(standing(connection, model)?))?;
        let [_, earlier, ..] = before[..] else {
            return Err(Error::Conflict(match before.first() {
                Some(only) => format!(
                    "model \"{model}\" has no champion before version {only}; promote the version you want instead"
                ),
                None => format!("model \"{model}\" has no version yet; train it first"),
            }));
        };
        verify(self.version(model, earlier)?.folder)?;
        self.inner.write(|transaction| {
            // Checked again under the write lock: another thread may have promoted while the files were read.
            if standing(transaction, model)? != before {
                return Err(Fault::Ours(Error::Conflict(format!(
                    "the champion of model \"{model}\" was changed by another request; look at it and try again"
                ))));
            }
            transaction.execute(
                "UPDATE promotions SET rolled_back_unix_ms = ?2 WHERE id = (
                     SELECT max(id) FROM promotions WHERE model = ?1 AND rolled_back_unix_ms IS NULL)",
                params![model, now_unix_ms()],
            )?;
            Ok(())
        })?;
        self.version(model, earlier)
    }

    /// The promotions of a model, newest first, at most 1,000.
    ///
    /// # Errors
    /// `Invalid` for a bad model name.
    pub fn promotions(&self, model: &str) -> Result<Vec<Promotion>> {
        check_model_name(model)?;
        self.inner.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT version, promoted_unix_ms, rolled_back_unix_ms FROM promotions
                 WHERE model = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let rows = statement.query_map(params![model, PROMOTIONS_LISTED_MAX as i64], |row| {
                Ok(Promotion { version: row.get(0)?, promoted_unix_ms: row.get(1)?, rolled_back_unix_ms: row.get(2)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// Makes the first version of a model its champion.
pub(crate) fn promote_first(transaction: &Transaction<'_>, model: &str, number: u32) -> Result<(), Fault> {
    match standing(transaction, model)?.is_empty() {
        true => insert(transaction, model, number),
        false => Ok(()),
    }
}

fn insert(transaction: &Transaction<'_>, model: &str, number: u32) -> Result<(), Fault> {
    transaction.execute(
        "INSERT INTO promotions (model, version, promoted_unix_ms) VALUES (?1, ?2, ?3)",
        params![model, number, now_unix_ms()],
    )?;
    Ok(())
}

/// The champion and the one before it, as far as there are any.
fn standing(connection: &Connection, model: &str) -> rusqlite::Result<Vec<u32>> {
    let mut statement = connection.prepare_cached(
        "SELECT version FROM promotions WHERE model = ?1 AND rolled_back_unix_ms IS NULL ORDER BY id DESC LIMIT 2",
    )?;
    statement.query_map([model], |row| row.get(0))?.collect()
}
