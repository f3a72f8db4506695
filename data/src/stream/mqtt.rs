//! Topics of an MQTT broker, at quality of service 1 in a session that lasts.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Filter, Packet, Publish, RetainForwardRule, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::collect::{Consumer, WAIT};
use super::decode::{Body, Message};
use crate::error::{Error, Result};
use crate::source::tls_config;
use crate::spec::MqttSpec;

/// Messages that the broker may send before one is acknowledged.
const RECEIVE_MAX: u16 = 8_192;
/// Brokers that do not ask how many they may send, send so many.
const RECEIVE_FEW: usize = 20;
/// Largest message, in bytes; the broker keeps larger ones to itself.
const MESSAGE_BYTES_MAX: u32 = 16 << 20;
/// Messages handed out at once.
const HANDED_MAX: usize = 1_000;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

pub(super) struct MqttConsumer {
    spec: MqttSpec,
    address: Address,
    tls: Option<Arc<rustls::ClientConfig>>,
    connection: Option<(AsyncClient, EventLoop)>,
    /// Came, but was not handed out yet.
    ready: VecDeque<Publish>,
    /// Handed out and not acknowledged; their payloads are gone.
    unacknowledged: Vec<(Publish, u64)>,
    /// Durable, but the connection was lost before we could say so: packet and what was in it.
    written: HashMap<u16, u64>,
    is_quiet: bool,
}

impl MqttConsumer {
    pub(super) fn new(spec: &MqttSpec, base: &Path) -> Result<Self> {
        let address = Address::parse(&spec.url, spec.password.as_ref(), &[("mqtt", 1883), ("mqtts", 8883)])?;
        if spec.topics.is_empty() {
            return Err(Error::invalid("topics: name at least one, or # for all"));
        }
        let ca = spec.ca.as_ref().map(|ca| base.join(ca));
        let tls = match address.scheme == "mqtts" {
            true => Some(Arc::new(tls_config(ca.as_deref())?)),
            false => None,
        };
        Ok(Self {
            spec: spec.clone(),
            address,
            tls,
            connection: None,
            ready: VecDeque::new(),
            unacknowledged: Vec::new(),
            written: HashMap::new(),
            is_quiet: false,
        })
    }

    fn options(&self) -> MqttOptions {
        let mut options = MqttOptions::new(&self.spec.client_id, &self.address.host, self.address.port);
        options.set_clean_start(false).set_session_expiry_interval(Some(self.spec.session_s));
        options.set_receive_maximum(Some(RECEIVE_MAX)).set_max_packet_size(Some(MESSAGE_BYTES_MAX));
        options.set_manual_acks(true).set_keep_alive(KEEP_ALIVE).set_connection_timeout(self.spec.timeout_s);
        if let Some(user) = &self.address.user {
            options.set_credentials(user, self.address.password.clone().unwrap_or_default());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        options
    }

    fn fault(&self, error: &ConnectionError) -> Error {
        let url = &self.spec.url;
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned,
            ) => Error::invalid(format!("{url} refuses us: {error}; see user and password")),
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion,
            ) => Error::Unsupported(format!("{url} does not speak version 5 of MQTT")),
            ConnectionError::Tls(_) => Error::invalid(format!("{url}: {error}; see mqtts:// and ca")),
            _ => Error::Unreachable(format!("{url} cannot be reached: {error}; see whether the broker runs")),
        }
    }

    /// What happens next; none when nothing did until then.
    async fn event(&mut self, until: Instant) -> Result<Option<Event>> {
        let lost = || Error::Unreachable(format!("{}: the connection is lost", self.spec.url));
        let (_, events) = self.connection.as_mut().ok_or_else(lost)?;
        match timeout_at(until, events.poll()).await {
            Err(_) => Ok(None),
            Ok(Ok(event)) => Ok(Some(event)),
            Ok(Err(error)) => {
                self.connection = None; // or the next poll would connect by itself, without subscribing
                Err(self.fault(&error))
            }
        }
    }

    /// Takes what came; what was written before the connection was lost is acknowledged at once.
    fn came(&mut self, publish: Publish) -> Result<()> {
        let known = self.written.remove(&publish.pkid).is_some_and(|hash| publish.dup && hash == hash_of(&publish));
        match (known, &self.connection) {
            (true, Some((client, _))) => client
                .try_ack(&publish)
                .map_err(|e| Error::Unreachable(format!("{}: cannot acknowledge: {e}", self.spec.url))),
            _ => {
                self.ready.push_back(publish);
                Ok(())
            }
        }
    }

    /// Waits for the answer to our subscription.
    async fn subscribe(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(self.spec.timeout_s);
        let filter = |topic: &String| Filter {
            // What the broker retains comes once, not at every start.
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
            ..Filter::new(topic.clone(), QoS::AtLeastOnce)
        };
        let filters: Vec<Filter> = self.spec.topics.iter().map(filter).collect();
        let url = self.spec.url.clone();
        if let Some((client, _)) = &self.connection {
            let wrong = |e| Error::invalid(format!("topics: {e}"));
            client.try_subscribe_many(filters).map_err(wrong)?;
        }
        loop {
            match self.event(end).await? {
                Some(Event::Incoming(Packet::SubAck(answer))) => {
                    let mut answers = answer.return_codes.iter().zip(&self.spec.topics);
                    return match answers.find(|(code, _)| !matches!(code, SubscribeReasonCode::Success(_))) {
                        None => Ok(()),
                        Some((code, topic)) => {
                            Err(Error::invalid(format!("{url} refuses topic \"{topic}\": {code:?}; see its rights")))
                        }
                    };
                }
                Some(Event::Incoming(Packet::Publish(publish))) => self.came(publish)?,
                Some(_) => {}
                None => return Err(Error::Unreachable(format!("{url} does not answer to a subscription"))),
            }
        }
    }
}

#[async_trait]
impl Consumer for MqttConsumer {
    async fn connect(&mut self) -> Result<()> {
        self.ready.clear(); // the broker sends it again
        self.written.extend(self.unacknowledged.drain(..).map(|(publish, hash)| (publish.pkid, hash)));
        self.connection = Some(AsyncClient::new(self.options(), usize::from(RECEIVE_MAX) + 16));
        let end = Instant::now() + Duration::from_secs(self.spec.timeout_s);
        loop {
            match self.event(end).await? {
                Some(Event::Incoming(Packet::ConnAck(answer))) => {
                    if !answer.session_present {
                        self.written.clear();
                    }
                    break;
                }
                Some(_) => {}
                None => return Err(Error::Unreachable(format!("{} does not answer", self.spec.url))),
            }
        }
        self.subscribe().await
    }

    async fn next(&mut self) -> Result<Vec<Message>> {
        let end = Instant::now() + WAIT;
        while self.ready.len() < HANDED_MAX {
            match self.event(end).await? {
                Some(Event::Incoming(Packet::Publish(publish))) => self.came(publish)?,
                Some(_) => {}
                None => break,
            }
        }
        let count = self.ready.len().min(HANDED_MAX);
        let taken: Vec<Publish> = self.ready.drain(..count).collect();
        self.is_quiet = taken.is_empty();
        let hand_out = |mut publish: Publish| {
            let hash = hash_of(&publish);
            let offset = format!("{}#{}", String::from_utf8_lossy(&publish.topic), publish.pkid);
            let body = Body::Bytes(std::mem::take(&mut publish.payload).to_vec());
            self.unacknowledged.push((publish, hash));
            Message { offset, body }
        };
        Ok(taken.into_iter().map(hand_out).collect())
    }

    async fn commit(&mut self) -> Result<()> {
        let place = self.spec.url.clone();
        let lost = || Error::Unreachable(format!("{place}: the connection is lost"));
        let acknowledged = std::mem::take(&mut self.unacknowledged);
        let mut sent = acknowledged.iter().filter(|(publish, _)| publish.qos == QoS::AtLeastOnce).count();
        if sent == 0 {
            return Ok(());
        }
        let asked = self
            .connection
            .as_ref()
            .is_some_and(|(client, _)| acknowledged.iter().all(|(publish, _)| client.try_ack(publish).is_ok()));
        self.unacknowledged = acknowledged; // for those that come again, should the connection be lost now
        if !asked {
            return Err(lost());
        }
        let end = Instant::now() + Duration::from_secs(self.spec.timeout_s);
        while sent > 0 {
            match self.event(end).await? {
                Some(Event::Outgoing(Outgoing::PubAck(_))) => sent -= 1,
                Some(Event::Incoming(Packet::Publish(publish))) => self.came(publish)?,
                Some(_) => {}
                None => return Err(lost()),
            }
        }
        self.unacknowledged.clear();
        Ok(())
    }

    fn forget(&mut self) {
        self.unacknowledged.clear();
    }

    fn is_full(&self) -> bool {
        let waiting = self.unacknowledged.len();
        waiting >= usize::from(RECEIVE_MAX) || (self.is_quiet && waiting >= RECEIVE_FEW)
    }
}

fn hash_of(publish: &Publish) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&publish.topic[..], &publish.payload[..]).hash(&mut hasher);
    hasher.finish()
}
