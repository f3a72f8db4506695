//! How do messages become segments? They are decoded, wait in bounded memory, and are written at once when it is time.
//! Who reads a stream says that messages are his only after [`Writer::cut`] has said that their rows are durable.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::decode::{Bad, Columns, Decoded, Message, decode};
use super::figures::Figures;
use super::known::{Known, stored_schema};
use super::lock::Lock;
use super::poison::Poison;
use super::segments::{self, Segment};
use crate::error::{Error, Result};
use crate::source::batch;
use crate::spec::{ColumnType, StreamSpec};

/// Segments that are joined into one, at least.
const JOINED_MIN: usize = 16;
/// How long a file stays after its rows were joined into another: somebody may be about to read it.
const GRACE: Duration = Duration::from_secs(60);
const MICROS: i64 = 1_000_000;

/// The one place where rows of a stream are written.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    spec: StreamSpec,
    known: Arc<Known>,
    is_kept: bool,
    segments: Vec<Segment>,
    /// Files to remove, and since when.
    doomed: VecDeque<(PathBuf, Instant)>,
    /// Number of the last row that is durable.
    last: u64,
    /// Latest event so far, as far as its clock can be believed.
    watermark: Option<i64>,
    /// Messages that came before the columns were known.
    waiting: Vec<Message>,
    buffer: Vec<Buffered>,
    rows: usize,
    bytes: usize,
    since: Option<Instant>,
    poison: Poison,
    figures: Arc<Figures>,
    /// Dropped last.
    _lock: Lock,
}

/// Rows that wait, and for each whether it is late.
#[derive(Debug)]
struct Buffered {
    rows: RecordBatch,
    late: Option<BooleanArray>,
}

impl Writer {
    /// Opens a stream's folder, or makes it; removes what a crash left half-written.
    pub(crate) fn open(
        folder: &Path,
        spec: &StreamSpec,
        given: Option<Vec<(String, ColumnType)>>,
        figures: Arc<Figures>,
    ) -> Result<Self> {
        make_folder(folder)?;
        let lock = Lock::take(folder)?;
        let known = Arc::new(Known::open(folder, spec, given)?);
        let listing = segments::list(folder)?;
        for path in &listing.unfinished {
            fs::remove_file(path).map_err(|e| Error::io(path, e))?;
        }
        let newest = listing.live.last();
        let watermark = newest.map(|segment| segments::watermark(&segment.path)).transpose()?.flatten();
        let last = newest.map_or(0, |segment| segment.last);
        let mut writer = Self {
            folder: folder.to_owned(),
            spec: spec.clone(),
            known,
            is_kept: false,
            segments: listing.live,
            doomed: VecDeque::new(),
            last,
            watermark,
            waiting: Vec::new(),
            buffer: Vec::new(),
            rows: 0,
            bytes: 0,
            since: None,
            poison: Poison::open(folder, spec.poison_bytes_max),
            figures,
            _lock: lock,
        };
        for (path, joined) in listing.covered {
            let is_old = joined.elapsed().is_ok_and(|age| age > GRACE);
            let now = Instant::now();
            writer.doomed.push_back((path, if is_old { now.checked_sub(GRACE).unwrap_or(now) } else { now }));
        }
        writer.sweep();
        Ok(writer)
    }

    /// The columns, which may not be known yet.
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Takes messages over; they are durable after the next [`Writer::cut`].
    pub(crate) fn take(&mut self, messages: Vec<Message>) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        self.begin(messages.iter().map(Message::bytes).sum());
        match self.known.columns() {
            Some(columns) => self.decode(&columns, &messages),
            None => {
                self.waiting.extend(messages);
                match self.waiting.len() >= self.spec.sample_rows {
                    true => self.settle(),
                    false => Ok(()),
                }
            }
        }
    }

    /// Takes rows over that were decoded elsewhere, from messages of so many bytes.
    pub(crate) fn add(&mut self, decoded: Decoded, bytes: usize) -> Result<()> {
        self.begin(bytes);
        let now = now();
        for bad in &decoded.bad {
            self.keep_aside(bad, now)?;
        }
        for rows in decoded.batches {
            let late = self.late(&rows, now)?;
            self.rows += rows.num_rows();
            self.buffer.push(Buffered { rows, late });
        }
        Ok(())
    }

    fn begin(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.since.get_or_insert_with(Instant::now);
        self.figures.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether anything waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// Whether what waits is to be written now.
    pub(crate) fn is_due(&self) -> bool {
        let age_max = Duration::from_millis(self.spec.segment_age_ms_max);
        self.rows.max(self.waiting.len()) >= self.spec.segment_rows_max
            || self.bytes >= self.spec.segment_bytes_max
            || self.since.is_some_and(|since| since.elapsed() >= age_max)
    }

    /// Makes durable what waits; where it fails, all of it waits on.
    pub(crate) fn cut(&mut self) -> Result<u64> {
        self.settle()?;
        self.poison.sync()?;
        let columns = self.known.columns().filter(|_| self.rows > 0);
        if let Some(columns) = columns {
            if !self.is_kept {
                self.known.keep()?;
                self.is_kept = true;
            }
            let schema = stored_schema(&columns, &self.spec);
            let mut next = self.last + 1;
            let numbered = self.buffer.iter().map(|waiting| {
                let first = next;
                next += waiting.rows.num_rows() as u64;
                let mut arrays: Vec<ArrayRef> = waiting.rows.columns().to_vec();
                arrays.push(Arc::new((first..next).map(|number| number as i64).collect::<Int64Array>()));
                if let Some(late) = &waiting.late {
                    arrays.push(Arc::new(late.clone()));
                }
                batch(&schema, arrays, waiting.rows.num_rows())
            });
            let segment = segments::write(&self.folder, self.last + 1, &schema, numbered, self.watermark)?;
            self.last = segment.last;
            self.segments.push(segment);
            self.figures.segments.fetch_add(1, Ordering::Relaxed);
        }
        let stored = self.rows as u64;
        self.figures.rows.fetch_add(stored, Ordering::Relaxed);
        self.forget();
        Ok(stored)
    }

    /// Drops what waits.
    pub(crate) fn forget(&mut self) {
        self.buffer.clear();
        self.waiting.clear();
        (self.rows, self.bytes, self.since) = (0, 0, None);
    }

    /// Joins small segments, and removes what is beyond the retention; for when nobody waits for an answer.
    pub(crate) fn tidy(&mut self) -> Result<()> {
        if let Some(run) = self.run_to_join()
            && let Some(columns) = self.known.columns()
        {
            let schema = stored_schema(&columns, &self.spec);
            let mut joined = segments::join(&self.folder, &self.segments[run..], &schema)?;
            let parts = self.segments.split_off(run);
            joined.written = parts.last().map_or(joined.written, |part| part.written);
            self.segments.push(joined);
            self.doomed.extend(parts.into_iter().map(|part| (part.path, Instant::now())));
        }
        self.retain();
        self.sweep();
        Ok(())
    }

    /// Where the last segments begin that are small enough, and many enough, to be joined.
    fn run_to_join(&self) -> Option<usize> {
        [256, 16].into_iter().find_map(|part| {
            let small = (self.spec.segment_rows_max as u64 / part).max(1);
            let run = self.segments.iter().rev().take_while(|segment| segment.rows() <= small).count();
            let begin = self.segments.len() - run;
            let is_gapless = self.segments[begin..].windows(2).all(|pair| pair[0].last + 1 == pair[1].first);
            (run >= JOINED_MIN && is_gapless).then_some(begin)
        })
    }

    /// Removes the oldest segments beyond the retention; the newest stays, it says where to go on.
    fn retain(&mut self) {
        let mut total: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let bytes_max = self.spec.retention_bytes_max.unwrap_or(u64::MAX);
        let age_max = self.spec.retention_days.map(|days| Duration::from_secs(days * 86_400));
        let is_old = |written: SystemTime| age_max.is_some_and(|max| written.elapsed().is_ok_and(|age| age > max));
        while self.segments.len() > 1 && (total > bytes_max || is_old(self.segments[0].written)) {
            let oldest = self.segments.remove(0);
            total -= oldest.bytes;
            // What was joined into it goes first: without it those files would count again.
            self.doomed.retain(|(path, _)| {
                let is_part = oldest.covers(path);
                if is_part {
                    let _ = fs::remove_file(path); // as below
                }
                !is_part
            });
            let _ = fs::remove_file(&oldest.path); // tried again at the next start
            self.figures.removed.fetch_add(oldest.rows(), Ordering::Relaxed);
        }
    }

    /// Removes files whose rows are elsewhere for a while.
    fn sweep(&mut self) {
        while self.doomed.front().is_some_and(|(_, since)| since.elapsed() >= GRACE) {
            if let Some((path, _)) = self.doomed.pop_front() {
                let _ = fs::remove_file(path); // it no longer counts; tried again at the next start
            }
        }
    }

    /// Decodes what came before the columns were known.
    fn settle(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let columns = self.known.seen_in(&self.waiting)?.map(|columns| self.known.adopt(&columns));
        let messages = std::mem::take(&mut self.waiting);
        match columns {
            Some(columns) => self.decode(&columns, &messages),
            None => {
                let now = now();
                for message in messages {
                    self.keep_aside(&Bad::whole(message), now)?;
                }
                Ok(())
            }
        }
    }

    fn decode(&mut self, columns: &Columns, messages: &[Message]) -> Result<()> {
        let decoded = decode(columns, messages, now())?;
        self.add(decoded, 0)
    }

    fn keep_aside(&mut self, bad: &Bad, now: i64) -> Result<()> {
        self.figures.poison.fetch_add(1, Ordering::Relaxed);
        if !self.poison.keep(bad, now)? {
            self.figures.poison_dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Which rows come after others that happened later, by more than they may.
    fn late(&mut self, rows: &RecordBatch, now: i64) -> Result<Option<BooleanArray>> {
        let Some(name) = &self.spec.event_time else { return Ok(None) };
        let events = rows.column_by_name(name).ok_or_else(|| Error::Internal(format!("no column {name} of events")))?;
        let micros = cast(events, &DataType::Timestamp(TimeUnit::Microsecond, None))
            .map_err(|e| Error::internal("points in time", e))?;
        let allowed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(MICROS);
        let (lateness, newest) = (allowed(self.spec.lateness_s), now.saturating_add(allowed(self.spec.clock_skew_s)));
        let micros = micros.as_primitive::<TimestampMicrosecondType>();
        let (mut late, mut ahead) = (Vec::with_capacity(micros.len()), 0);
        for event in micros {
            let Some(event) = event else {
                late.push(None);
                continue;
            };
            late.push(Some(self.watermark.is_some_and(|mark| event < mark.saturating_sub(lateness))));
            if event > newest {
                ahead += 1;
            } else {
                self.watermark = Some(self.watermark.map_or(event, |mark| mark.max(event)));
            }
        }
        let count = late.iter().filter(|late| **late == Some(true)).count();
        self.figures.late.fetch_add(count as u64, Ordering::Relaxed);
        self.figures.ahead.fetch_add(ahead, Ordering::Relaxed);
        Ok(Some(BooleanArray::from(late)))
    }
}

/// Microseconds since 1970.
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// Makes the folder and those above it, durable.
fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folder(parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::io(folder, error)),
            _ => return segments::sync_folder(parent),
        }
    }
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))
}
