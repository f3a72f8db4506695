//! How much came, and what became of it? Counters that whoever watches may read while rows are collected.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What was counted since a stream was opened.
#[derive(Debug, Default)]
pub struct Figures {
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) poison: AtomicU64,
    pub(crate) poison_dropped: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) ahead: AtomicU64,
    pub(crate) removed: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) trouble: Mutex<Option<String>>,
}

/// The same as numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Rows that are durable.
    pub rows: u64,
    /// Bytes of messages that came.
    pub bytes: u64,
    /// Files that were written.
    pub segments: u64,
    /// Messages, or lines of them, that are no rows.
    pub poison: u64,
    /// Of these, how many there was no room to keep aside for.
    pub poison_dropped: u64,
    /// Rows that came after others that happened later, by more than they may.
    pub late: u64,
    /// Rows from a clock that is ahead of ours by more than it may.
    pub ahead: u64,
    /// Rows that were removed by the retention.
    pub removed: u64,
    /// How often the server was lost and found again.
    pub reconnects: u64,
    /// Messages that were lost on their way to us, as far as that is known: datagrams for which there was no room, what the
    /// brokers of Kafka dropped before it was read.
    pub lost: u64,
    /// What is wrong just now.
    pub trouble: Option<String>,
}

impl Figures {
    /// What was counted so far.
    pub fn read(&self) -> Collected {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Collected {
            rows: read(&self.rows),
            bytes: read(&self.bytes),
            segments: read(&self.segments),
            poison: read(&self.poison),
            poison_dropped: read(&self.poison_dropped),
            late: read(&self.late),
            ahead: read(&self.ahead),
            removed: read(&self.removed),
            reconnects: read(&self.reconnects),
            lost: read(&self.lost),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(crate) fn is_troubled(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
