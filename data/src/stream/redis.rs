//! Redis streams, read as a member of a consumer group.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, Value};

use super::collect::{Appetite, Consumer, WAIT};
use super::decode::{Body, Message};
use crate::error::{Error, Result};
use crate::spec::{RedisSpec, StreamStart};

/// Entries acknowledged with one command.
const ACKNOWLEDGED_MAX: usize = 1_000;

pub(super) struct RedisConsumer {
    spec: RedisSpec,
    client: Client,
    /// For messages: the stream and its server.
    place: String,
    connection: Option<MultiplexedConnection>,
    /// Entries handed out and not acknowledged.
    unacknowledged: Vec<String>,
    /// After which entry we read those that were delivered to us before; none when there are no more.
    earlier: Option<String>,
    appetite: Appetite,
}

impl RedisConsumer {
    pub(super) fn new(spec: &RedisSpec) -> Result<Self> {
        let url = spec.url.reveal();
        if url.starts_with("rediss://") {
            return Err(Error::Unsupported(format!(
                "{}: encrypted connections of Redis are not in this build; use redis:// through a tunnel",
                spec.url
            )));
        }
        let wrong = |e: RedisError| Error::invalid(format!("{} is no address of Redis: {}", spec.url, words(&e)));
        let mut info = url.into_connection_info().map_err(wrong)?;
        if let Some(password) = &spec.password {
            let settings = info.redis_settings().clone().set_password(password.reveal());
            info = info.set_redis_settings(settings);
        }
        let client = Client::open(info).map_err(wrong)?;
        let place = format!("stream \"{}\" of {}", spec.stream, spec.url);
        let spec = spec.clone();
        let (connection, unacknowledged, appetite) = (None, Vec::new(), Appetite::default());
        Ok(Self { spec, client, place, connection, unacknowledged, earlier: None, appetite })
    }

    fn fault(&self, error: &RedisError) -> Error {
        let (place, reason) = (&self.place, words(error));
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => {
                Error::invalid(format!("{place}: {reason}; see user and password"))
            }
            (_, Some("NOPERM")) => Error::invalid(format!("{place}: the user may not read it: {reason}")),
            (_, Some("WRONGTYPE")) => Error::invalid(format!("{place}: the key holds no stream ({reason})")),
            (_, Some("NOGROUP" | "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN")) => {
                Error::Unreachable(format!("{place}: {reason}"))
            }
            (_, Some(_)) => Error::invalid(format!("{place}: {reason}")),
            _ => Error::Unreachable(format!("{place} cannot be reached: {reason}; see whether the server runs")),
        }
    }

    fn open(&self) -> Result<MultiplexedConnection> {
        let lost = || Error::Unreachable(format!("{}: the connection is lost", self.place));
        self.connection.clone().ok_or_else(lost)
    }

    async fn ask(&self, command: &redis::Cmd) -> Result<Value> {
        let mut connection = self.open()?;
        command.query_async(&mut connection).await.map_err(|e| self.fault(&e))
    }

    /// Entries after one that was delivered before, or new ones.
    async fn read(&mut self, after: &str) -> Result<Vec<Entry>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.spec.group).arg(&self.spec.consumer).arg("COUNT").arg(self.appetite.messages());
        command.arg("BLOCK").arg(WAIT.as_millis() as u64);
        command.arg("STREAMS").arg(&self.spec.stream).arg(after);
        Ok(entries(self.ask(&command).await?))
    }

    /// The message of an entry; none where the entry was removed from the stream meanwhile.
    fn message(&self, entry: Entry) -> Option<Message> {
        let (offset, fields) = (entry.id, entry.fields?);
        let body = match &self.spec.field {
            // Without that field there is nothing in it, which is told where messages that are no rows are.
            Some(field) => {
                let found = fields.into_iter().find(|(name, _)| name == field);
                Body::Bytes(found.map(|(_, value)| value).unwrap_or_default())
            }
            None => Body::Fields(fields),
        };
        Some(Message { offset, body })
    }
}

#[async_trait]
impl Consumer for RedisConsumer {
    async fn connect(&mut self) -> Result<()> {
        self.connection = None;
        let timeout = Duration::from_secs(self.spec.timeout_s);
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout + WAIT));
        let opened = self.client.get_multiplexed_async_connection_with_config(&config).await;
        self.connection = Some(opened.map_err(|e| self.fault(&e))?);
        let begin = match self.spec.start {
            StreamStart::Oldest => "0",
            StreamStart::New => "$",
        };
        let mut make = redis::cmd("XGROUP");
        make.arg("CREATE").arg(&self.spec.stream).arg(&self.spec.group).arg(begin).arg("MKSTREAM");
        let mut connection = self.open()?;
        match make.query_async::<Value>(&mut connection).await {
            Err(error) if error.code() != Some("BUSYGROUP") => return Err(self.fault(&error)),
            _ => {}
        }
        self.earlier = Some("0".to_owned());
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Message>> {
        let entries = match self.earlier.clone() {
            None => self.read(">").await?,
            Some(after) => {
                let entries = self.read(&after).await?;
                self.earlier = entries.last().map(|entry| entry.id.clone());
                entries
            }
        };
        self.unacknowledged.extend(entries.iter().map(|entry| entry.id.clone()));
        let messages: Vec<Message> = entries.into_iter().filter_map(|entry| self.message(entry)).collect();
        self.appetite.ate(&messages);
        Ok(messages)
    }

    async fn commit(&mut self) -> Result<()> {
        while !self.unacknowledged.is_empty() {
            let count = self.unacknowledged.len().min(ACKNOWLEDGED_MAX);
            let mut command = redis::cmd("XACK");
            command.arg(&self.spec.stream).arg(&self.spec.group).arg(&self.unacknowledged[..count]);
            self.ask(&command).await?;
            self.unacknowledged.drain(..count);
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.unacknowledged.clear();
    }
}

/// An entry of a stream; without fields where it was removed.
struct Entry {
    id: String,
    fields: Option<Vec<(String, Vec<u8>)>>,
}

/// The entries of the one stream that was asked for: `[[stream, [[id, [name, value, ...]], ...]]]`.
fn entries(reply: Value) -> Vec<Entry> {
    let list = |value: Value| match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    };
    let stream = list(reply).into_iter().next().map(list).unwrap_or_default();
    let entries = stream.into_iter().nth(1).map(list).unwrap_or_default();
    let entry = |entry: Value| {
        let mut parts = list(entry).into_iter();
        let id = String::from_utf8_lossy(&bytes(parts.next()?)).into_owned();
        let fields = match parts.next() {
            Some(Value::Array(fields)) => {
                let mut fields = fields.into_iter().map(bytes);
                let mut pairs = Vec::new();
                while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                    pairs.push((String::from_utf8_lossy(&name).into_owned(), value));
                }
                Some(pairs)
            }
            _ => None,
        };
        Some(Entry { id, fields })
    };
    entries.into_iter().filter_map(entry).collect()
}

/// The bytes of a text.
fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.into_bytes(),
        Value::Int(number) => number.to_string().into_bytes(),
        _ => Vec::new(),
    }
}

/// What happened, without the address.
fn words(error: &RedisError) -> String {
    error.detail().map_or_else(|| error.to_string(), str::to_owned)
}
