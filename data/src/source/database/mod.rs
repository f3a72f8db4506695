//! How do rows get out of a database? By one query per reading: columns, conditions and limits are the database's work.

mod cells;
mod flight_sql;
mod mysql;
mod postgres;
mod query;
mod sqlite;
mod tls;

pub(crate) use self::flight_sql::FlightSqlReader;
pub(crate) use self::mysql::MysqlReader;
pub(crate) use self::postgres::PostgresReader;
pub(crate) use self::sqlite::{SqliteReader, tables as sqlite_tables};
pub(crate) use self::tls::config as tls_config;

use std::future::Future;
use std::time::Duration;

use arrow::datatypes::DataType;
use tokio::runtime::Handle;

use self::cells::Rows;
use crate::error::{Error, Result};
use crate::source::Emit;

/// The runtime of the engine that this thread works for.
fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|e| Error::internal("a database is read outside the engine's runtime", e))
}

/// What comes before the time is over.
async fn in_time<T>(timeout: Duration, place: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Unreachable(format!(
            "{place} sent nothing for {} seconds; see whether it is busy or gone, or raise timeout_s",
            timeout.as_secs()
        ))),
    }
}

/// Hands out batches of what `more` reads, until it says that there is no more or `emit` breaks.
fn hand_out(mut rows: Rows, emit: &mut Emit, mut more: impl FnMut(&mut Rows) -> Result<bool>) -> Result<()> {
    loop {
        let goes_on = more(&mut rows)?;
        if let Some(batch) = rows.take()?
            && emit(batch).is_break()
        {
            return Ok(());
        }
        if !goes_on {
            return Ok(());
        }
    }
}

/// Refuses to read columns that are no longer what they were.
fn check_same<C: PartialEq>(
    place: &str,
    [before, now]: [&[C]; 2],
    wanted: &[usize],
    name: impl Fn(&C) -> &str,
) -> Result<()> {
    match wanted.iter().find(|&&index| now.get(index) != Some(&before[index])) {
        None => Ok(()),
        Some(&index) => Err(Error::Conflict(format!(
            "{place}: column \"{}\" is no longer what it was when the source was opened; run again",
            name(&before[index])
        ))),
    }
}

/// A value that its column cannot hold.
fn misfit(place: &str, column: &str, kind: &DataType, what: &str) -> Error {
    Error::invalid(format!(
        "{place}: column \"{column}\" holds {what}, which is no value of {kind}; select it in a query that replaces it"
    ))
}

/// A date as every database reads it.
fn written_date(days: i32) -> String {
    let date = chrono::NaiveDate::from_num_days_from_ce_opt(days.saturating_add(delimited::types::DAYS_TO_1970));
    date.map_or_else(|| days.to_string(), |date| date.to_string())
}

/// A point in time in UTC, likewise.
fn written_timestamp(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    time.map_or_else(|| micros.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}
