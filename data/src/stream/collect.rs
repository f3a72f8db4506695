//! How do rows get out of a stream for good? Read, decode, write, and only then tell the server: at least once, in bounded
//! memory. While the disk is slow or full nothing is read; while the server is gone it is sought again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::decode::Message;
use super::figures::Figures;
use super::given_columns;
use super::host::HostConsumer;
use super::kafka::KafkaConsumer;
use super::mqtt::MqttConsumer;
use super::nats::NatsConsumer;
use super::redis::RedisConsumer;
use super::syslog::SyslogConsumer;
use super::writer::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::SourceSpec;

/// How long a consumer waits for the next message before it looks up.
pub(crate) const WAIT: Duration = Duration::from_millis(200);
/// Between two attempts to reach a server or to write.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Messages asked for at once, and about how many bytes they may have.
pub(crate) const ASKED_MAX: usize = 2_000;
pub(crate) const ASKED_BYTES: usize = 4 << 20;

/// One that reads a stream.
#[async_trait]
pub(crate) trait Consumer: Send {
    /// Connects, also anew. What was handed out and not committed before may come again.
    async fn connect(&mut self) -> Result<()>;

    /// The next messages; none after [`WAIT`].
    async fn next(&mut self) -> Result<Vec<Message>>;

    /// Says that all that was handed out so far is durable.
    async fn commit(&mut self) -> Result<()>;

    /// Forgets what was handed out and not committed: it is to come again.
    fn forget(&mut self) {}

    /// What came already and would be lost at the end; nothing comes afterwards.
    async fn rest(&mut self) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    /// Messages of which it is known that they were lost on their way to us.
    fn lost(&self) -> u64 {
        0
    }

    /// Whether nothing more comes before a commit.
    fn is_full(&self) -> bool {
        false
    }

    /// Whether messages can come; until then silence does not count.
    fn is_ready(&self) -> bool {
        true
    }

    /// Says goodbye to the server, so that it does not wait for us. Nothing comes afterwards.
    async fn close(&mut self) {}
}

/// How many messages are asked for next, by the size of the last ones.
#[derive(Debug)]
pub(crate) struct Appetite(usize);

impl Default for Appetite {
    fn default() -> Self {
        Self(100)
    }
}

impl Appetite {
    pub(crate) fn messages(&self) -> usize {
        self.0
    }

    pub(crate) fn ate(&mut self, messages: &[Message]) {
        let bytes: usize = messages.iter().map(Message::bytes).sum();
        if !messages.is_empty() {
            self.0 = (ASKED_BYTES / (bytes / messages.len()).max(1)).clamp(1, ASKED_MAX);
        }
    }
}

/// When collecting ends.
#[derive(Debug, Clone, Default)]
pub struct Until {
    /// Raised from outside: what was read is written and committed first.
    pub stop: Arc<AtomicBool>,
    /// After no message came for so long.
    pub idle: Option<Duration>,
}

impl Until {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits, but not beyond the end.
    async fn pause(&self, time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time && !self.is_stopped() {
            tokio::time::sleep(WAIT.min(time)).await;
        }
    }
}

/// Collects a stream into its folder until it is time to end.
///
/// # Errors
/// A server that is not there at the first attempt, or refuses us; columns other than the stored ones; a folder that another
/// process adds rows to. A server or a disk that fails later is tried again until `until` says otherwise.
pub async fn collect(
    source: &SourceSpec,
    base: &Path,
    folder: &Path,
    until: &Until,
    figures: &Arc<Figures>,
) -> Result<()> {
    let (Some(spec), Some(consumer)) = (source.stream(), consumer(source, base)?) else {
        return Err(Error::invalid("nothing is collected from this kind of source"));
    };
    let (spec, folder, given, counted) = (spec.clone(), folder.to_owned(), given_columns(source), Arc::clone(figures));
    let writer = blocking(move || Writer::open(&folder, &spec, given, counted)).await??;
    let figures = Arc::clone(figures);
    let mut collecting = Collecting { writer: Some(writer), consumer, until: until.clone(), figures };
    let done = collecting.run().await;
    collecting.consumer.close().await;
    done
}

fn consumer(source: &SourceSpec, base: &Path) -> Result<Option<Box<dyn Consumer>>> {
    Ok(Some(match source {
        SourceSpec::Redis(spec) => Box::new(RedisConsumer::new(spec)?),
        SourceSpec::Nats(spec) => Box::new(NatsConsumer::new(spec)?),
        SourceSpec::Mqtt(spec) => Box::new(MqttConsumer::new(spec, base)?),
        SourceSpec::Kafka(spec) => Box::new(KafkaConsumer::new(spec, base)?),
        SourceSpec::Syslog(spec) => Box::new(SyslogConsumer::new(spec)?),
        SourceSpec::Host(spec) => Box::new(HostConsumer::new(spec)),
        _ => return Ok(None),
    }))
}

struct Collecting {
    /// Away only while a thread works with it.
    writer: Option<Writer>,
    consumer: Box<dyn Consumer>,
    until: Until,
    figures: Arc<Figures>,
}

impl Collecting {
    async fn run(&mut self) -> Result<()> {
        self.consumer.connect().await?;
        let mut pause = PAUSE_MIN;
        loop {
            let rows = self.figures.rows.load(Ordering::Relaxed);
            let Err(error) = self.read().await else { return Ok(()) };
            if !is_passing(&error) {
                return Err(error);
            }
            self.figures.is_troubled(Some(error.to_string()));
            // What was read is written before the server sends it again; what cannot be written is read again.
            let is_written = self.work(Writer::cut).await.is_ok();
            if !is_written {
                self.work(|writer| {
                    writer.forget();
                    Ok(())
                })
                .await?;
                self.consumer.forget();
            }
            if rows < self.figures.rows.load(Ordering::Relaxed) {
                pause = PAUSE_MIN;
            }
            loop {
                if self.until.is_stopped() {
                    return Err(error);
                }
                self.until.pause(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                match self.consumer.connect().await {
                    Ok(()) => break,
                    Err(again) if is_passing(&again) => self.figures.is_troubled(Some(again.to_string())),
                    Err(other) => return Err(other),
                }
            }
            self.figures.reconnects.fetch_add(1, Ordering::Relaxed);
            self.figures.is_troubled(None);
        }
    }

    /// Reads until the end, or until the server is lost.
    async fn read(&mut self) -> Result<()> {
        self.consumer.commit().await?; // what was written when the server was lost
        let mut last = Instant::now();
        loop {
            let is_stopped = self.until.is_stopped();
            if !is_stopped {
                let messages = self.consumer.next().await?;
                if !messages.is_empty() {
                    last = Instant::now();
                    self.work(|writer| writer.take(messages)).await?;
                } else if !self.consumer.is_ready() {
                    last = Instant::now();
                }
            }
            let is_over = is_stopped || self.until.idle.is_some_and(|idle| last.elapsed() >= idle);
            if is_over {
                let rest = self.consumer.rest().await?;
                self.work(|writer| writer.take(rest)).await?;
            }
            self.figures.lost.store(self.consumer.lost(), Ordering::Relaxed);
            let (is_empty, is_due) = self.writer.as_ref().map_or((true, false), |w| (w.is_empty(), w.is_due()));
            if !is_empty && (is_due || is_over || self.consumer.is_full()) {
                self.cut().await?;
                self.consumer.commit().await?;
                if let Err(error) = self.work(Writer::tidy).await {
                    self.figures.is_troubled(Some(error.to_string())); // the rows are there, in more files than needed
                }
            }
            if is_over {
                return self.consumer.commit().await;
            }
        }
    }

    /// Writes what waits; while the disk is full or fails, tries again.
    async fn cut(&mut self) -> Result<()> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.work(Writer::cut).await {
                Ok(_) => {
                    self.figures.is_troubled(None);
                    return Ok(());
                }
                Err(error) if matches!(error, Error::Io { .. }) && !self.until.is_stopped() => {
                    self.figures.is_troubled(Some(error.to_string()));
                    self.until.pause(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Does something with the writer on a thread that may block.
    async fn work<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Writer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(mut writer) = self.writer.take() else {
            return Err(Error::Internal("the writer of a stream is gone".to_owned()));
        };
        let (writer, done) = blocking(move || {
            let done = act(&mut writer);
            (writer, done)
        })
        .await?;
        self.writer = Some(writer);
        done
    }
}

/// Whether it may be better in a while.
fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Unreachable(_)) && error.kind() == ErrorKind::Io
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(act).await.map_err(|e| Error::internal("a thread that wrote a stream died", e))
}
