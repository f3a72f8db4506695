//! What becomes of messages that are no rows? They are kept aside in `poison.jsonl`, as far as its bound goes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::decode::Bad;
use crate::error::{Error, Result};

/// Bytes of a message that are kept.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The file of a stream's messages that are no rows.
#[derive(Debug)]
pub(crate) struct Poison {
    path: PathBuf,
    bytes_max: u64,
    bytes: u64,
    file: Option<File>,
    is_synced: bool,
}

impl Poison {
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> Self {
        let path = folder.join("poison.jsonl");
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        Self { path, bytes_max, bytes, file: None, is_synced: true }
    }

    /// Keeps a message aside; false where there is no room left.
    pub(crate) fn keep(&mut self, bad: &Bad, received: i64) -> Result<bool> {
        let time = chrono::DateTime::from_timestamp_micros(received).map(|time| time.to_rfc3339());
        let message = String::from_utf8_lossy(&bad.bytes);
        let line = json!({ "received": time, "offset": bad.offset, "line": bad.line, "reason": bad.reason, "message": message });
        let line = format!("{line}\n");
        if self.bytes + line.len() as u64 > self.bytes_max {
            return Ok(false);
        }
        let fault = |e| Error::io(&self.path, e);
        if self.file.is_none() {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(fault)?;
            if self.bytes > 0 {
                file.write_all(b"\n").map_err(fault)?; // the last line may be what a crash left of it
            }
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes()).map_err(fault)?;
        }
        self.bytes += line.len() as u64;
        self.is_synced = false;
        Ok(true)
    }

    /// Makes what was kept durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if let Some(file) = self.file.as_ref().filter(|_| !self.is_synced) {
            file.sync_all().map_err(|e| Error::io(&self.path, e))?;
            self.is_synced = true;
        }
        Ok(())
    }
}
