//! How do the bytes of files on other machines get here? As a stream that is read as it comes, goes on where it broke off,
//! and ends when the server is silent for too long.

mod client;
mod hdfs;
mod objects;
mod web;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::runtime::Handle;

pub(in crate::source) use self::client::{is_inside, is_own};
pub(in crate::source) use self::objects::Bucket;
use self::web::WebFile;
use super::files::{Found, Input};
use crate::error::{Error, Result};
use crate::spec::StoreSpec;

/// Times that a broken stream is taken up again without having brought anything.
const RETRIES_MAX: u32 = 3;
/// How long the first of them waits; each further one twice as long as the one before.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Whether a path means files of another machine.
pub(crate) fn is_url(path: &str) -> bool {
    ["s3://", "gs://", "az://", "hdfs://", "viewfs://", "http://", "https://"]
        .iter()
        .any(|scheme| path.starts_with(scheme))
}

/// The files that a URL means, and the part of their names that comes before folders.
pub(super) fn find(base: &Path, path: &str, store: Option<&StoreSpec>, endings: &[&str]) -> Result<(Found, PathBuf)> {
    let spec = store.cloned().unwrap_or_default();
    let runtime = runtime()?;
    if path.starts_with("http://") || path.starts_with("https://") {
        let file = WebFile::new(path, &spec, base)?;
        let root = PathBuf::from(file.place());
        let object = Object { source: Source::Web(file), timeout: waiting(&spec) };
        let input = Input::there(root.clone(), object);
        return Ok((Found { inputs: vec![input], is_one: true }, root));
    }
    let (bucket, key) = Bucket::open(path, &spec, base)?;
    let (keys, is_one) = runtime.block_on(bucket.find(&key, endings))?;
    let input = |key: String| {
        let name = format!("{}/{key}", bucket.place());
        Input::there(name, Object { source: Source::Bucket(bucket.clone(), key), timeout: waiting(&spec) })
    };
    Ok((Found { inputs: keys.into_iter().map(input).collect(), is_one }, PathBuf::from(bucket.place())))
}

fn waiting(spec: &StoreSpec) -> Duration {
    Duration::from_secs(spec.timeout_s.max(1))
}

/// The runtime of the engine that this thread works for.
pub(in crate::source) fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|e| Error::internal("a server is read outside the engine's runtime", e))
}

/// A file of another machine.
#[derive(Debug)]
pub(crate) struct Object {
    source: Source,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Source {
    Bucket(Bucket, String),
    Web(WebFile),
}

/// What a server sends of a file.
struct Opened {
    stream: BoxStream<'static, Result<Vec<u8>, Fault>>,
    /// Length of the whole file, where the server told it.
    bytes: Option<u64>,
    /// What tells this state of the file from others; without it nothing is taken up again.
    tag: Option<String>,
}

/// Why no bytes came.
#[derive(Debug)]
enum Fault {
    /// Another try would end like this one.
    Final(Error),
    /// The server was silent for too long.
    Silent,
    /// The connection broke, or the server was busy.
    Broken(String),
}

impl Object {
    /// Its bytes, from the beginning.
    pub(crate) fn open(&self) -> Result<Body> {
        let mut body = Body {
            source: self.source.clone(),
            place: self.place(),
            timeout: self.timeout,
            runtime: runtime()?,
            stream: futures::stream::empty().boxed(),
            bytes: None,
            tag: None,
            chunk: Vec::new(),
            at: 0,
            read: 0,
            retries: 0,
        };
        body.connect()?;
        Ok(body)
    }

    fn place(&self) -> String {
        match &self.source {
            Source::Bucket(bucket, key) => format!("{}/{key}", bucket.place()),
            Source::Web(file) => file.place().to_owned(),
        }
    }
}

/// The bytes of a file of another machine; a chunk of them is held at a time.
pub(crate) struct Body {
    source: Source,
    place: String,
    timeout: Duration,
    runtime: Handle,
    stream: BoxStream<'static, Result<Vec<u8>, Fault>>,
    bytes: Option<u64>,
    tag: Option<String>,
    chunk: Vec<u8>,
    at: usize,
    /// Bytes that came so far.
    read: u64,
    /// Tries since the last bytes.
    retries: u32,
}

impl Body {
    /// Asks for the bytes from where we are.
    fn connect(&mut self) -> Result<()> {
        loop {
            let asked = async {
                match &self.source {
                    Source::Bucket(bucket, key) => bucket.get(key, self.read, self.tag.as_deref()).await,
                    Source::Web(file) => file.get(self.read, self.tag.as_deref()).await,
                }
            };
            // The client has a clock of its own; this one is for what it does not see.
            let limit = self.timeout * 2 + Duration::from_secs(5);
            let opened = self.runtime.block_on(async { tokio::time::timeout(limit, asked).await });
            match opened.unwrap_or(Err(Fault::Silent)) {
                Ok(opened) if self.read > 0 => {
                    self.stream = opened.stream;
                    return Ok(());
                }
                Ok(opened) => {
                    (self.stream, self.bytes, self.tag) = (opened.stream, opened.bytes, opened.tag);
                    return Ok(());
                }
                Err(fault) => self.wait_after(fault)?,
            }
        }
    }

    /// Waits before another try, or says that there is none.
    fn wait_after(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Final(error) => Err(error),
            Fault::Silent => Err(silent(&self.place, self.timeout)),
            Fault::Broken(reason) if self.retries >= RETRIES_MAX || (self.read > 0 && self.tag.is_none()) => {
                let so_far = match self.bytes {
                    Some(bytes) => format!(" after {} of {bytes} bytes", self.read),
                    None if self.read > 0 => format!(" after {} bytes", self.read),
                    None => String::new(),
                };
                Err(Error::Unreachable(format!("{} cannot be read{so_far}: {reason}", self.place)))
            }
            Fault::Broken(_) => {
                let pause = RETRY_AFTER * (1 << self.retries);
                self.retries += 1;
                self.runtime.block_on(async { tokio::time::sleep(pause).await });
                Ok(())
            }
        }
    }

    /// The next bytes; none at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let (stream, limit) = (&mut self.stream, self.timeout);
            let next = self.runtime.block_on(async { tokio::time::timeout(limit, stream.next()).await });
            let fault = match next {
                Err(_) => Fault::Silent,
                Ok(Some(Ok(chunk))) => {
                    self.read += chunk.len() as u64;
                    self.retries = 0;
                    if self.bytes.is_some_and(|bytes| self.read > bytes) {
                        return Err(Error::Unreachable(format!("{} sent more bytes than it announced", self.place)));
                    }
                    return Ok(Some(chunk));
                }
                Ok(Some(Err(fault))) => fault,
                Ok(None) if self.bytes.is_none_or(|bytes| self.read == bytes) => return Ok(None),
                Ok(None) => Fault::Broken("the server ended it".to_owned()),
            };
            self.wait_after(fault)?;
            self.connect()?;
        }
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.next().map_err(io::Error::other)? {
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.chunk.len() - self.at);
        out[..count].copy_from_slice(&self.chunk[self.at..][..count]);
        self.at += count;
        Ok(count)
    }
}

fn silent(place: &str, timeout: Duration) -> Error {
    Error::Unreachable(format!(
        "{place} sent nothing for {} seconds; see whether the server is busy or gone, or raise store: timeout_s",
        timeout.as_secs()
    ))
}

/// Whether a server was silent for too long.
fn is_silence(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The innermost reason, which says most.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
