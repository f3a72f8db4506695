//! How do rows that are sent to us become durable before we say so? Requests wait in a bounded queue; one thread writes all
//! that wait as one segment and then answers each.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::decode::{Body, Decoded, Message, decode};
use super::figures::Figures;
use super::given_columns;
use super::known::Known;
use super::remote_write;
use super::writer::{Writer, now};
use crate::error::{Error, Result};
use crate::spec::{OnError, PrometheusWriteSpec, SourceSpec};

/// Requests that wait to be stored.
const REQUESTS_MAX: usize = 1_024;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Rows that are durable.
    pub rows: usize,
    /// Lines that are no rows and were kept aside.
    pub kept_aside: usize,
}

/// A stream that rows are sent to. A cheap handle; the last one waits for what is being written.
#[derive(Clone)]
pub struct Ingest {
    inner: Arc<Inner>,
}

struct Inner {
    kind: Kind,
    known: Arc<Known>,
    figures: Arc<Figures>,
    queue: Option<SyncSender<Job>>,
    queued_bytes: Arc<AtomicUsize>,
    queue_bytes_max: usize,
    /// Numbers requests that have no name of their own.
    requests: AtomicUsize,
    began: i64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Kind {
    Rows(OnError),
    Samples(Box<PrometheusWriteSpec>),
}

struct Job {
    decoded: Decoded,
    held: Held,
    reply: oneshot::Sender<Result<()>>,
}

/// Bytes of the queue that a request takes until it is answered.
struct Held {
    bytes: usize,
    queued: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None; // the thread ends once it has answered what waits
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _panicked = thread.join();
        }
    }
}

impl Ingest {
    /// Opens the stream of a source in its folder and starts its thread.
    ///
    /// # Errors
    /// Columns other than the stored ones; a folder that another process adds rows to; a source that nothing is sent to.
    pub fn open(name: &str, source: &SourceSpec, folder: &Path) -> Result<Self> {
        let (kind, spec, queue_bytes_max) = match source {
            SourceSpec::Ingest(spec) => (Kind::Rows(spec.on_error), &spec.rows, spec.queue_bytes_max),
            SourceSpec::PrometheusWrite(spec) => {
                (Kind::Samples(Box::new(spec.clone())), &spec.rows, spec.queue_bytes_max)
            }
            _ => return Err(Error::invalid(format!("nothing is sent to source \"{name}\": it is collected"))),
        };
        let figures = Arc::new(Figures::default());
        let writer = Writer::open(folder, spec, given_columns(source), Arc::clone(&figures))?;
        let known = writer.known();
        let (queue, jobs) = sync_channel(REQUESTS_MAX);
        let (rows_max, bytes_max) = (spec.segment_rows_max, spec.segment_bytes_max);
        let thread = std::thread::Builder::new()
            .name(format!("stream-{name}"))
            .spawn(move || store_all(writer, &jobs, rows_max, bytes_max))
            .map_err(|e| Error::internal("no thread for a stream", e))?;
        let inner = Inner {
            kind,
            known,
            figures,
            queue: Some(queue),
            queued_bytes: Arc::default(),
            queue_bytes_max,
            requests: AtomicUsize::new(0),
            began: now(),
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether samples of Prometheus are sent to it.
    pub fn is_prometheus(&self) -> bool {
        matches!(self.inner.kind, Kind::Samples(_))
    }

    /// What was counted so far.
    pub fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    /// Stores the rows of a request's body; comes back when they are durable. `request` names the request, so that one that
    /// is sent again has the same offsets.
    ///
    /// # Errors
    /// `Invalid` with the line where something is no row (then nothing is stored), `Busy` where too much waits already,
    /// `Exhausted` where the disk is full.
    pub async fn push(&self, body: Vec<u8>, request: Option<String>) -> Result<Stored> {
        let held = self.hold(body.len())?;
        let inner = Arc::clone(&self.inner);
        let decoded = tokio::task::spawn_blocking(move || inner.decode(body, request)).await;
        let decoded = decoded.map_err(|e| Error::internal("a request cannot be read", e))??;
        let stored = Stored { rows: decoded.rows, kept_aside: decoded.bad.len() };
        if stored.rows == 0 && stored.kept_aside == 0 {
            return Ok(stored);
        }
        let (reply, answer) = oneshot::channel();
        let stopped = || Error::Busy("the stream is being closed; try again in a second".to_owned());
        let job = Job { decoded, held, reply };
        self.inner.queue.as_ref().ok_or_else(stopped)?.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => self.inner.full(),
            TrySendError::Disconnected(_) => stopped(),
        })?;
        answer.await.map_err(|_| stopped())??;
        Ok(stored)
    }

    fn hold(&self, bytes: usize) -> Result<Held> {
        let inner = &self.inner;
        let before = inner.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        let held = Held { bytes, queued: Arc::clone(&inner.queued_bytes) };
        // One alone may be larger: its bound is that of a body.
        match before > 0 && before + bytes > inner.queue_bytes_max {
            true => Err(inner.full()),
            false => Ok(held),
        }
    }
}

impl Inner {
    fn full(&self) -> Error {
        Error::Busy(format!(
            "more than {} bytes wait to be stored (queue_bytes_max); try again in a second",
            self.queue_bytes_max
        ))
    }

    fn decode(&self, body: Vec<u8>, request: Option<String>) -> Result<Decoded> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let offset = request.unwrap_or_else(|| format!("{}-{number}", self.began));
        let on_error = match &self.kind {
            Kind::Samples(spec) => {
                let columns =
                    self.known.columns().ok_or_else(|| Error::Internal("samples without columns".to_owned()))?;
                return remote_write::decode(spec, &columns, &body, &offset, now());
            }
            Kind::Rows(on_error) => *on_error,
        };
        let message = [Message { offset, body: Body::Bytes(body) }];
        let mut columns = self.known.seen_in(&message)?;
        loop {
            let Some(found) = columns else {
                return Err(Error::invalid(
                    "line 1: there is no row in it; send JSON objects, an array of them, or an Arrow IPC stream",
                ));
            };
            let decoded = decode(&found, &message, now())?;
            if let Some(bad) = decoded.bad.first().filter(|_| on_error == OnError::Refuse) {
                return Err(Error::invalid(format!("line {}: {}; nothing was stored", bad.line, bad.reason)));
            }
            // Another request may have been the first meanwhile.
            let adopted = self.known.adopt(&found);
            if adopted == found {
                return Ok(decoded);
            }
            columns = Some(adopted);
        }
    }
}

/// Writes what waits, as much of it as a segment holds, and answers.
fn store_all(mut writer: Writer, jobs: &Receiver<Job>, rows_max: usize, bytes_max: usize) {
    while let Ok(first) = jobs.recv() {
        let mut waiting = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let mut next = Some(first);
        let mut done = Ok(());
        while let Some(job) = next.take() {
            rows += job.decoded.rows;
            bytes += job.held.bytes;
            done = done.and_then(|()| writer.add(job.decoded, job.held.bytes));
            waiting.push((job.reply, job.held));
            if rows < rows_max && bytes < bytes_max {
                next = jobs.try_recv().ok();
            }
        }
        let done = done.and_then(|()| writer.cut().map(drop));
        if done.is_err() {
            writer.forget(); // who sent it is told so
        }
        for (reply, held) in waiting {
            drop(held);
            let _gone = reply.send(done.clone());
        }
        let _ = writer.tidy(); // more files than needed do no harm; tried again after the next segment
    }
}
