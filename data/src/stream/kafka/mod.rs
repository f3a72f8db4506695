//! Topics of Kafka, read as a member of a consumer group of the classic protocol.
//!
//! Offsets are committed for what was handed out and is durable, and for nothing else. When the group takes a partition from
//! us, what of it was not committed is read again by whoever has it next: rows may be there twice, none is lost.

mod faults;
mod offsets;
mod security;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use krafka::admin::{DescribeTopicsOptions, ListTopicsOptions};
use krafka::auth::AuthConfig;
use krafka::consumer::{
    AutoOffsetReset, Consumer as Member, ConsumerRecord, IsolationLevel, OffsetAndMetadata,
    PartitionAssignmentStrategy, TopicPartition,
};
use krafka::error::{ErrorCode, KrafkaError};
use krafka::{CloseOptions, Kafka};

use self::faults::{Origin, has_moved_on};
use self::offsets::{Group, Look, Partition};
use super::collect::{ASKED_BYTES, ASKED_MAX, Consumer, WAIT};
use super::decode::{Body, Message};
use crate::error::{Error, Result, did_you_mean};
use crate::spec::{KafkaSpec, StreamStart};

/// Bytes of an answer of a broker, and of a batch of messages once it is unpacked, at most.
const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a partition in an answer, about; at least one batch comes.
const PARTITION_BYTES: i32 = 1 << 20;
/// How long a connection to one broker may take, where `timeout_s` is no shorter.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the sink may take before the group gives our partitions to others.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(300);
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// Between two looks at which partitions there are; the client asks for them every five minutes.
const COUNTED_EVERY: Duration = Duration::from_secs(60);
/// How long leaving the group may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
/// How long the group is waited for at most. It waits itself for members that are busy, as long as they said.
const PATIENCE_MAX: Duration = Duration::from_secs(600);
/// The port of a server without one.
const PORT: u16 = 9_092;
/// What stands for the end and the begin of a partition where a broker is asked for the offset of a time.
const END: i64 = -1;
const BEGIN: i64 = -2;

pub(super) struct KafkaConsumer {
    spec: KafkaSpec,
    servers: String,
    auth: AuthConfig,
    origin: Origin,
    /// The partitions that there were at first.
    first: BTreeSet<Partition>,
    /// Messages that the brokers no longer had when we wanted to read them.
    dropped: u64,
    /// How long the group is waited for: longer each time, for whoever gives up and asks again may begin a wait anew.
    patience: Duration,
    connection: Option<Connection>,
}

struct Connection {
    kafka: Kafka,
    member: Arc<Member>,
    group: Arc<Group>,
    /// When the group last had us as a member, or we began to ask for it.
    belonged: Instant,
    partitions: BTreeSet<Partition>,
    counted: Instant,
    /// Requests for messages that failed, as far as it was looked into.
    failed: u64,
    looked: Instant,
    /// How the partitions were when it was looked last.
    before: BTreeMap<Partition, Look>,
}

impl KafkaConsumer {
    pub(super) fn new(spec: &KafkaSpec, base: &Path) -> Result<Self> {
        let servers = spec.servers.iter().map(|server| address(server)).collect::<Result<Vec<_>>>()?;
        if servers.is_empty() {
            return Err(Error::invalid("servers: name at least one, as host:port"));
        }
        if spec.topics.is_empty() {
            return Err(Error::invalid("topics: name at least one"));
        }
        let is_name = |name: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            (1..=249).contains(&name.len()) && name.chars().all(allowed)
        };
        if let Some(topic) = spec.topics.iter().find(|topic| !is_name(topic)) {
            return Err(Error::invalid(format!(
                "topics: \"{topic}\" is no name of a topic: up to 249 letters, digits, dots, underscores and dashes"
            )));
        }
        if spec.group.is_empty() {
            return Err(Error::invalid("group: it needs a name"));
        }
        Ok(Self {
            spec: spec.clone(),
            servers: servers.join(","),
            auth: security::auth(&spec.security, base)?,
            origin: Origin::new(spec, &servers),
            first: BTreeSet::new(),
            dropped: 0,
            patience: patience_at_first(spec),
            connection: None,
        })
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.spec.timeout_s)
    }

    fn member(&self) -> Result<Arc<Member>> {
        let connection = self.connection.as_ref().ok_or_else(|| self.origin.lost())?;
        Ok(Arc::clone(&connection.member))
    }

    /// A connection to brokers that have our topics, and the partitions of these.
    async fn client(&self) -> Result<(Kafka, BTreeSet<Partition>)> {
        let timeout = self.timeout();
        let builder = Kafka::builder(self.servers.clone()).client_id("tidemill").security(self.auth.clone());
        let builder = builder.request_timeout(timeout).connect_timeout(timeout.min(CONNECT_WITHIN));
        let kafka = builder.max_response_size(RESPONSE_BYTES_MAX).connect().await;
        let kafka = kafka.map_err(|e| self.origin.fault(&e))?;
        let admin = kafka.admin().default_api_timeout(timeout);
        let described = admin.describe_topics(self.spec.topics.clone(), DescribeTopicsOptions::default()).await;
        let described = described.map_err(|e| self.origin.fault(&e))?;
        let mut partitions = BTreeSet::new();
        for topic in &self.spec.topics {
            match described.get(topic) {
                Some(Ok(found)) => partitions.extend(found.partitions.iter().map(|one| (topic.clone(), one.partition))),
                None | Some(Err(KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. })) => {
                    let known = admin.list_topics(ListTopicsOptions::default()).await.unwrap_or_default();
                    let near = did_you_mean(topic, known.iter().map(String::as_str));
                    return Err(Error::NotFound(format!("{}: there is no topic \"{topic}\"{near}", self.origin)));
                }
                Some(Err(KrafkaError::Broker { code: ErrorCode::TopicAuthorizationFailed, .. })) => {
                    return Err(self.origin.forbidden(topic));
                }
                Some(Err(error)) => return Err(self.origin.fault(error)),
            }
        }
        Ok((kafka, partitions))
    }

    /// Asks for membership; the group is joined while we wait for messages.
    async fn join(&self, kafka: Kafka, partitions: BTreeSet<Partition>) -> Result<Connection> {
        let session = Duration::from_secs(self.spec.session_s);
        let group = Arc::new(Group::default());
        let mut builder = kafka
            .consumer(self.spec.group.clone())
            .enable_auto_commit(false)
            // A partition without an offset is ours to begin: see `begin`.
            .auto_offset_reset(AutoOffsetReset::None)
            .isolation_level(IsolationLevel::ReadCommitted)
            // Eager ones: a member of a cooperative group is taken for dead where others are slow to join.
            .partition_assignment_strategies([
                PartitionAssignmentStrategy::RoundRobin,
                PartitionAssignmentStrategy::Range,
            ])
            .session_timeout(session)
            .heartbeat_interval((session / 3).min(HEARTBEAT_MAX))
            .max_poll_interval(POLL_INTERVAL_MAX)
            .max_poll_records(ASKED_MAX as i32)
            .max_buffered_records(ASKED_MAX as i32)
            .fetch_max_bytes(ASKED_BYTES as i32)
            .max_partition_fetch_bytes(PARTITION_BYTES)
            .max_decompressed_size(RESPONSE_BYTES_MAX)
            .metrics_push(false)
            .rebalance_listener(Arc::clone(&group));
        if let Some(id) = &self.spec.instance_id {
            builder = builder.group_instance_id(id.clone());
        }
        let member = builder.build().await.map_err(|e| self.origin.fault(&e))?;
        member.subscribe(self.spec.topics.clone()).await.map_err(|e| self.origin.fault(&e))?;
        let now = Instant::now();
        Ok(Connection {
            kafka,
            member: Arc::new(member),
            group,
            belonged: now,
            partitions,
            counted: now,
            failed: 0,
            looked: now,
            before: BTreeMap::new(),
        })
    }

    /// Leaves the group. What was handed out is durable, or was forgotten before: it is committed as far as the group still
    /// knows us.
    async fn leave(&mut self) {
        let Some(Connection { member, group, .. }) = self.connection.take() else { return };
        let written = group.offsets();
        let leaving = async {
            let _again = member.commit_offsets(written).await; // or it comes again
            let _expires = member.close_with(CloseOptions::new().timeout(LEAVE_WITHIN)).await;
        };
        let _late = tokio::time::timeout(LEAVE_WITHIN, leaving).await;
    }

    /// Sets where partitions begin that the group never read, or that lost what it would read next. The group keeps it: one
    /// that begins at the end begins there after a restart too.
    async fn begin(&mut self, partitions: &[Partition]) -> Result<()> {
        let member = self.member()?;
        let places = partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition));
        let places: Vec<(&str, i32)> = places.collect();
        let committed = member.committed(&places).await.map_err(|e| self.origin.fault(&e))?;
        let is_at_end = |(topic, partition): &(&str, i32)| {
            let place = ((*topic).to_owned(), *partition);
            self.spec.start == StreamStart::New && self.first.contains(&place) && !committed.contains_key(&place)
        };
        let (late, early): (Vec<_>, Vec<_>) = places.into_iter().partition(is_at_end);
        let (mut begins, mut dropped) = (Vec::new(), 0);
        for (places, time) in [(late, END), (early, BEGIN)] {
            for ((topic, partition), offset) in member.offsets_for_times(&places, time).await {
                let offset = offset.map_err(|e| self.origin.fault(&e))?;
                let place = (topic, partition);
                if let Some(next) = committed.get(&place) {
                    dropped += u64::try_from(offset - next.offset).unwrap_or(0);
                }
                begins.push((TopicPartition::new(place.0, partition), OffsetAndMetadata::new(offset)));
            }
        }
        match member.commit_offsets(begins.clone()).await {
            Ok(()) => {}
            Err(error) if has_moved_on(&error) => return Ok(()),
            Err(error) => return Err(self.origin.fault(&error)),
        }
        self.dropped += dropped;
        for (place, begin) in begins {
            let _taken = member.seek(&place.topic, place.partition, begin.offset).await; // by another member meanwhile
        }
        Ok(())
    }

    /// The client does not see that a topic has more partitions: then a new connection joins the group anew.
    async fn count(&mut self) -> Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if connection.counted.elapsed() < COUNTED_EVERY {
            return Ok(());
        }
        connection.counted = Instant::now();
        let mut partitions = BTreeSet::new();
        for topic in &self.spec.topics {
            let found =
                connection.member.fetch_metadata(Some(topic.as_str())).await.map_err(|e| self.origin.fault(&e))?;
            let all = found.topics.iter().flat_map(|topic| topic.partitions_iter());
            partitions.extend(all.map(|one| (topic.clone(), one.partition)));
        }
        match partitions == connection.partitions {
            true => Ok(()),
            false => Err(self.origin.changed()),
        }
    }

    /// Nothing came. The client tells neither of brokers that are gone nor of messages that are kept from us: it is looked for
    /// here.
    async fn look(&mut self) -> Result<()> {
        let timeout = self.timeout();
        let patience = self.patience;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if !connection.group.is_in() && connection.belonged.elapsed() > patience {
            self.patience = (patience * 2).min(PATIENCE_MAX).max(patience);
            return Err(self.origin.outside(patience));
        }
        let failed = connection.member.metrics().consumer.errors;
        if failed > connection.failed {
            connection.failed = failed;
            // Partitions may be elsewhere by now: this also makes the client know where.
            let admin = connection.kafka.admin().default_api_timeout(timeout);
            admin.list_topics(ListTopicsOptions::default()).await.map_err(|e| self.origin.fault(&e))?;
        }
        if connection.looked.elapsed() < timeout {
            return Ok(());
        }
        connection.looked = Instant::now();
        let assigned = connection.member.assignment().await;
        let places = assigned.iter().flat_map(|(topic, all)| all.iter().map(move |one| (topic.as_str(), *one)));
        let places: Vec<(&str, i32)> = places.collect();
        let mut looks = BTreeMap::new();
        for (place, end) in connection.member.offsets_for_times(&places, END).await {
            let position = connection.member.position(&place.0, place.1).await;
            let look = match (&end, position) {
                (Ok(end), Some(position)) => Look::At { position, end: *end },
                _ => Look::NoAnswer,
            };
            if look.is_stuck(connection.before.get(&place)) {
                return Err(match end {
                    Err(error) => self.origin.fault(&error),
                    Ok(_) => self.origin.kept(&place, position),
                });
            }
            looks.insert(place, look);
        }
        connection.before = looks;
        Ok(())
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn connect(&mut self) -> Result<()> {
        let (kafka, partitions) = self.client().await?;
        self.leave().await;
        if self.first.is_empty() {
            self.first = partitions.clone();
        }
        self.connection = Some(self.join(kafka, partitions).await?);
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Message>> {
        if let Some(connection) = self.connection.as_mut().filter(|connection| connection.group.is_in()) {
            connection.belonged = Instant::now();
            self.patience = patience_at_first(&self.spec);
        }
        self.count().await?;
        let records = match self.member()?.poll(WAIT).await {
            Ok(records) => records,
            Err(KrafkaError::NoOffset { partitions }) => {
                self.begin(&partitions).await?;
                Vec::new()
            }
            Err(error) => return Err(self.origin.fault(&error)),
        };
        if records.is_empty() {
            self.look().await?;
        }
        if let Some(connection) = &self.connection {
            connection.group.hand_out(&records);
        }
        Ok(records.into_iter().map(message).collect())
    }

    fn lost(&self) -> u64 {
        self.dropped
    }

    async fn commit(&mut self) -> Result<()> {
        let Some(Connection { member, group, .. }) = &self.connection else { return Ok(()) };
        let written = group.offsets();
        if written.is_empty() {
            return Ok(());
        }
        match member.commit_offsets(written).await {
            Ok(()) => {}
            // The group has given our partitions away, and they are read from the committed offsets on: also by us, where we
            // get them again. The client joins again by itself; a new connection would make all others join again too.
            Err(error) if has_moved_on(&error) => {}
            Err(error) => return Err(self.origin.fault(&error)),
        }
        group.forget();
        Ok(())
    }

    fn forget(&mut self) {
        if let Some(connection) = &self.connection {
            connection.group.forget();
        }
    }

    fn is_ready(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.group.is_in())
    }

    async fn close(&mut self) {
        self.forget(); // it may not be durable
        self.leave().await;
    }
}

/// A member that was killed is waited for by the group as long as its session lasts.
fn patience_at_first(spec: &KafkaSpec) -> Duration {
    Duration::from_secs(spec.timeout_s.saturating_add(spec.session_s))
}

/// `host:port` of a server, whose port may be left out.
fn address(server: &str) -> Result<String> {
    let wrong = || Err(Error::invalid(format!("servers: \"{server}\" is no broker; write host:port")));
    if server.is_empty() || server.contains(|c: char| c == ',' || c == '/' || c.is_whitespace()) {
        return wrong();
    }
    let is_ipv6 = |host: &str| host.starts_with('[') && host.ends_with(']');
    match server.rsplit_once(':') {
        None => Ok(format!("{server}:{PORT}")),
        Some(_) if is_ipv6(server) => Ok(format!("{server}:{PORT}")),
        Some((host, port)) if !host.is_empty() && (!host.contains(':') || is_ipv6(host)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(server.to_owned()),
            _ => wrong(),
        },
        Some(_) => wrong(),
    }
}

/// Offsets are written so that they sort as texts.
fn message(record: ConsumerRecord) -> Message {
    let offset = format!("{}/{:05}/{:019}", record.topic, record.partition, record.offset);
    Message { offset, body: Body::Bytes(record.value.map(|value| value.to_vec()).unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_leave_its_port_out() {
        let check = |server: &str, expected: Option<&str>| {
            let found = address(server);
            assert_eq!(found.as_deref().ok(), expected, "{server}");
            if let Err(error) = found {
                assert!(error.to_string().contains("write host:port"), "{error}");
            }
        };
        check("kafka.example", Some("kafka.example:9092"));
        check("kafka.example:19092", Some("kafka.example:19092"));
        check("[::1]", Some("[::1]:9092"));
        check("[::1]:7", Some("[::1]:7"));
        for wrong in ["", "a,b", "kafka://a:9092", "a b", "a:", ":9092", "a:0", "a:70000", "::1"] {
            check(wrong, None);
        }
    }

    #[test]
    fn offsets_sort_as_texts_and_a_tombstone_is_empty() {
        let record = |partition, offset, value: Option<&'static str>| {
            message(ConsumerRecord::new("orders", partition, offset, None, value.map(Into::into)))
        };
        let places = [(0, 9), (0, 10), (2, 0), (10, 0)];
        let offsets = places.map(|(partition, offset)| record(partition, offset, None).offset);
        assert!(offsets.is_sorted(), "{offsets:?}");
        assert_eq!(offsets[1], "orders/00000/0000000000000000010");
        assert!(matches!(record(0, 0, None).body, Body::Bytes(bytes) if bytes.is_empty()));
        assert!(matches!(record(0, 0, Some("{}")).body, Body::Bytes(bytes) if bytes == b"{}"));
    }

    #[test]
    fn wrong_settings_are_told_before_anybody_is_asked() {
        let check = |spec: serde_json::Value, expected: &str| {
            let spec: KafkaSpec = serde_json::from_value(spec).unwrap();
            let error = KafkaConsumer::new(&spec, Path::new(".")).err().map(|error| error.to_string());
            assert!(error.as_deref().is_some_and(|error| error.contains(expected)), "{expected}: {error:?}");
        };
        check(serde_json::json!({ "servers": [], "topics": ["a"] }), "servers: name at least one");
        check(serde_json::json!({ "servers": ["a"], "topics": [] }), "topics: name at least one");
        check(serde_json::json!({ "servers": ["a"], "topics": ["a/b"] }), "\"a/b\" is no name of a topic");
        check(serde_json::json!({ "servers": ["a"], "topics": ["a"], "group": "" }), "group: it needs a name");
    }
}
