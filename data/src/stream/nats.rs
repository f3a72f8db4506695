//! NATS JetStream, read by a durable pull consumer.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer as Pull, DeliverPolicy};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Subject};
use async_trait::async_trait;
use futures::StreamExt;

use super::address::Address;
use super::collect::{Appetite, Consumer, WAIT};
use super::decode::{Body, Message};
use crate::error::{Error, Result};
use crate::spec::{NatsSpec, StreamStart};

/// Messages that may be delivered and not acknowledged, beyond those of a segment.
const PENDING_MORE: usize = 4_000;

pub(super) struct NatsConsumer {
    spec: NatsSpec,
    address: Address,
    /// For messages: the stream and its server.
    place: String,
    connection: Option<(Client, Pull<Config>)>,
    /// Where to acknowledge what was handed out.
    unacknowledged: Vec<Subject>,
    appetite: Appetite,
}

impl NatsConsumer {
    pub(super) fn new(spec: &NatsSpec) -> Result<Self> {
        let address = Address::parse(&spec.url, spec.password.as_ref(), &[("nats", 4222), ("tls", 4222)])?;
        if spec.ack_wait_s.saturating_mul(1_000) <= spec.rows.segment_age_ms_max {
            return Err(Error::invalid(format!(
                "ack_wait_s: {} is no longer than a message waits for its segment (segment_age_ms_max: {}); raise it",
                spec.ack_wait_s, spec.rows.segment_age_ms_max
            )));
        }
        let place = format!("stream \"{}\" of {}", spec.stream, spec.url);
        let (spec, unacknowledged, appetite) = (spec.clone(), Vec::new(), Appetite::default());
        Ok(Self { spec, address, place, connection: None, unacknowledged, appetite })
    }

    fn lost(&self, why: impl std::fmt::Display) -> Error {
        Error::Unreachable(format!("{} cannot be reached: {why}; see whether the server runs", self.place))
    }

    async fn client(&self) -> Result<Client> {
        let timeout = Duration::from_secs(self.spec.timeout_s);
        let mut options = ConnectOptions::new().connection_timeout(timeout).request_timeout(Some(timeout));
        options = options.name("tidemill").max_reconnects(1).require_tls(self.address.scheme == "tls");
        if let Some(token) = &self.spec.token {
            options = options.token(token.reveal().to_owned());
        } else if let Some(user) = &self.address.user {
            options = options.user_and_password(user.clone(), self.address.password.clone().unwrap_or_default());
        }
        let host = match self.address.host.contains(':') {
            true => format!("[{}]", self.address.host),
            false => self.address.host.clone(),
        };
        let server = format!("{}://{host}:{}", self.address.scheme, self.address.port);
        options.connect(server).await.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Error::invalid(format!("{}: {error}; see user and password, or token", self.place))
            }
            ConnectErrorKind::ServerParse => Error::invalid(format!("{}: {error}", self.place)),
            _ => self.lost(error),
        })
    }

    async fn consumer(&self, client: &Client) -> Result<Pull<Config>> {
        let stream = async_nats::jetstream::new(client.clone()).get_stream(&self.spec.stream).await;
        let stream = stream.map_err(|error| match error.kind() {
            GetStreamErrorKind::Request => self.lost(format!("JetStream does not answer ({error})")),
            _ => Error::NotFound(format!("{}: there is no such stream ({error})", self.place)),
        })?;
        let pending = self.spec.rows.segment_rows_max.saturating_add(PENDING_MORE);
        let wanted = Config {
            durable_name: Some(self.spec.consumer.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(self.spec.ack_wait_s),
            max_ack_pending: i64::try_from(pending).unwrap_or(i64::MAX),
            filter_subject: self.spec.subject.clone().unwrap_or_default(),
            deliver_policy: match self.spec.start {
                StreamStart::Oldest => DeliverPolicy::All,
                StreamStart::New => DeliverPolicy::New,
            },
            ..Config::default()
        };
        let made = stream.get_or_create_consumer(&self.spec.consumer, wanted).await;
        made.map_err(|error| Error::invalid(format!("{}: consumer \"{}\": {error}", self.place, self.spec.consumer)))
    }

    fn open(&self) -> Result<(Client, Pull<Config>)> {
        let open = self.connection.clone().filter(|(client, _)| client.connection_state() == State::Connected);
        open.ok_or_else(|| self.lost("the connection is lost"))
    }
}

#[async_trait]
impl Consumer for NatsConsumer {
    async fn connect(&mut self) -> Result<()> {
        self.connection = None;
        let client = self.client().await?;
        let consumer = self.consumer(&client).await?;
        self.connection = Some((client, consumer));
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Message>> {
        let (_, consumer) = self.open()?;
        let asked = consumer.fetch().max_messages(self.appetite.messages()).expires(WAIT).messages().await;
        let mut batch = asked.map_err(|e| self.lost(e))?;
        let mut messages = Vec::new();
        let end = tokio::time::Instant::now() + WAIT * 2; // the server may be gone and say nothing
        while let Ok(Some(message)) = tokio::time::timeout_at(end, batch.next()).await {
            let message = message.map_err(|e| self.lost(e))?;
            let sequence = message.info().map_err(|e| self.lost(e))?.stream_sequence;
            self.unacknowledged.extend(message.reply.clone());
            messages.push(Message { offset: sequence.to_string(), body: Body::Bytes(message.payload.to_vec()) });
        }
        self.appetite.ate(&messages);
        Ok(messages)
    }

    async fn commit(&mut self) -> Result<()> {
        if self.unacknowledged.is_empty() {
            return Ok(());
        }
        let (client, _) = self.open()?;
        for subject in &self.unacknowledged {
            client.publish(subject.clone(), "".into()).await.map_err(|e| self.lost(e))?;
        }
        client.flush().await.map_err(|e| self.lost(e))?;
        self.unacknowledged.clear();
        Ok(())
    }

    fn forget(&mut self) {
        self.unacknowledged.clear();
    }

    fn is_full(&self) -> bool {
        let allowed = self.connection.as_ref().map(|(_, consumer)| consumer.cached_info().config.max_ack_pending);
        allowed.is_some_and(|allowed| allowed > 0 && self.unacknowledged.len() as i64 >= allowed)
    }
}
