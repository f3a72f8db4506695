//! Kafka as a source, against the brokers of librdkafka: every type value by value, groups that share the work, faults in words,
//! brokers that come and go, collectors that are killed. Those brokers have neither users nor encryption.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};

use crate::relay::Relay;
use crate::servers::{PASSWORD, certificate, free_port};
use crate::streams::{
    ALL, Collector, ROWS, bodies, check_every_type, counted, every_type, id, integers, project, rows, short,
    survives_kills, wait_for,
};
use crate::support::Project;

/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const SESSION_S: u64 = 4;

/// Brokers in this process that have a topic of two partitions.
struct Brokers {
    cluster: MockCluster<'static, DefaultProducerContext>,
    relay: Relay,
}

impl Brokers {
    fn new(count: i32) -> Self {
        let cluster = MockCluster::new(count).unwrap();
        cluster.create_topic("orders", 2, 1).unwrap();
        // Of newer versions the brokers read the old form. Without LeaveGroup a member is gone when its session ends.
        for (key, newest) in
            [(RDKafkaApiKey::JoinGroup, 5), (RDKafkaApiKey::SyncGroup, 3), (RDKafkaApiKey::LeaveGroup, 2)]
        {
            cluster.apiversion(key, Some(0), Some(newest)).unwrap();
        }
        let relay = Relay::new(&cluster.bootstrap_servers());
        Self { cluster, relay }
    }

    /// Sessions are short: a new member is let in when those of members that were killed are over. They are longer than the three
    /// seconds for which these brokers wait for others when a group begins.
    fn spec(&self, rows: Value) -> Value {
        let servers = self.relay.servers();
        json!({ "servers": servers, "topics": ["orders"], "session_s": SESSION_S, "timeout_s": 5, "rows": rows })
    }

    fn sender(&self) -> Sender {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("compression.type", "lz4");
        config.set("linger.ms", "5").set("reconnect.backoff.max.ms", "500");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Sender { producer: config.create().unwrap(), runtime }
    }
}

struct Sender {
    producer: FutureProducer,
    runtime: tokio::runtime::Runtime,
}

impl Sender {
    /// Sends messages to the partitions in turn; all are acknowledged when it comes back.
    fn send(&self, values: impl Iterator<Item = Vec<u8>>) {
        self.send_some(values.map(Some));
    }

    fn send_some(&self, values: impl Iterator<Item = Option<Vec<u8>>>) {
        let queue = |(at, value): (usize, Option<Vec<u8>>)| {
            let mut record = FutureRecord::<str, Vec<u8>>::to("orders").key("key").partition((at % 2) as i32);
            if let Some(value) = &value {
                record = record.payload(value);
            }
            match self.producer.send_result(record) {
                Ok(acknowledged) => acknowledged,
                Err((error, _)) => panic!("{error}"),
            }
        };
        let waiting: Vec<_> = values.enumerate().map(queue).collect();
        for acknowledged in waiting {
            if let Err((error, _)) = self.runtime.block_on(acknowledged).unwrap() {
                panic!("{error}");
            }
        }
    }
}

/// The ids that are there, each once by its key.
fn ids(project: &Project, spec: &Value) -> Vec<i64> {
    match project.path(".tidemill/streams/s/schema.json").exists() {
        true => integers(&rows(project, "kafka", spec, "SELECT id FROM s ORDER BY id")),
        false => Vec::new(),
    }
}

#[allow(clippy::disallowed_methods, reason = "what another process does is no event of this one")]
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn kafka_gives_every_type_value_by_value_and_goes_on_where_it_was() {
    let brokers = Brokers::new(3);
    let sender = brokers.sender();
    sender.send(bodies());
    let spec = brokers.spec(json!({ "columns": every_type(), "key": ["_offset"] }));
    let project = project("kafka", &spec);
    let collect = |expected: i64| {
        let done = project.ok(&["collect", "--until-idle", "1s", "--json"]);
        assert_eq!(counted(&done)["rows"], expected, "{}", done.stdout);
    };
    collect(ROWS);
    check_every_type(&rows(&project, "kafka", &spec, ALL));
    let half = ROWS / 2;
    let sql = format!(
        "SELECT count(DISTINCT _offset) FROM s WHERE _offset BETWEEN 'orders/00000/0000000000000000000' AND \
         'orders/00001/{:019}'",
        half - 1
    );
    assert_eq!(integers(&rows(&project, "kafka", &spec, &sql)), [ROWS]);
    collect(0);
    sender.send((ROWS + 1..=ROWS + 5).map(id));
    collect(5);
    assert_eq!(ids(&project, &spec), (1..=ROWS + 5).collect::<Vec<_>>());
}

#[test]
fn a_group_that_begins_with_new_messages_misses_none_after_its_first_start() {
    let brokers = Brokers::new(1);
    let sender = brokers.sender();
    sender.send((1..=10).map(id));
    let mut spec = brokers.spec(short());
    spec["start"] = json!("new");
    let project = project("kafka", &spec);
    project.ok(&["collect", "--until-idle", "500ms"]);
    sender.send((11..=15).map(id));
    project.ok(&["collect", "--until-idle", "1s"]);
    assert_eq!(ids(&project, &spec), [11, 12, 13, 14, 15]);
}

#[test]
fn two_members_share_the_work_and_one_takes_over_what_the_other_leaves() {
    let brokers = Brokers::new(1);
    let sender = brokers.sender();
    let spec = brokers.spec(short());
    let projects = [project("kafka", &spec), project("kafka", &spec)];
    let [first, second] = projects.each_ref().map(Collector::start);
    let all = || projects.iter().flat_map(|project| ids(project, &spec)).collect::<BTreeSet<i64>>();
    let (begin, mut last) = (Instant::now(), 0);
    while projects.iter().any(|project| ids(project, &spec).is_empty()) {
        assert!(begin.elapsed() < PATIENCE, "one does all the work");
        sender.send((last + 1..=last + 100).map(id));
        last += 100;
        pause(200);
    }
    first.kill();
    sender.send((last + 1..=last + 200).map(id));
    last += 200;
    let begin = Instant::now();
    while (all().len() as i64) < last {
        assert!(begin.elapsed() < PATIENCE, "{} of {last}", all().len());
        pause(100);
    }
    second.stop();
    assert_eq!(all(), (1..=last).collect());
}

#[test]
fn messages_of_kafka_that_are_no_rows_are_kept_aside() {
    let brokers = Brokers::new(1);
    let values = [Some(id(1)), Some(b"no json".to_vec()), None, Some(vec![0xff, 0xfe, 0]), Some(id(2))];
    brokers.sender().send_some(values.into_iter());
    let spec = brokers.spec(short());
    let project = project("kafka", &spec);
    let counted = counted(&project.ok(&["collect", "--until-idle", "1s", "--json"]));
    assert_eq!((&counted["rows"], &counted["poison"]), (&json!(2), &json!(3)), "{counted}");
    assert_eq!(ids(&project, &spec), [1, 2]);
    let poison = std::fs::read_to_string(project.path(".tidemill/streams/s/poison.jsonl")).unwrap();
    assert_eq!(poison.lines().count(), 3, "{poison}");
    for part in ["no json", "there is nothing in it", "\"offset\":\"orders/00001/0000000000000000000\""] {
        assert!(poison.contains(part), "{part} is not in {poison}");
    }
}

#[test]
fn faults_of_kafka_are_told_in_words() {
    let brokers = Brokers::new(1);
    let nobody = format!("127.0.0.1:{}", free_port());
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let ca = folder.path().join("server.crt").display().to_string();
    let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        let mut spec = brokers.spec(short());
        change(&mut spec);
        let done = project("kafka", &spec).run(&["collect", "--until-idle", "2s"]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        for part in expected {
            assert!(done.stderr.contains(part), "{part:?} is not in {}", done.stderr);
        }
        assert!(!done.stderr.contains(PASSWORD), "{}", done.stderr);
    };
    let security = |security: Value| move |spec: &mut Value| spec["security"] = security.clone();
    check(&|spec| spec["servers"] = json!([nobody]), &["source \"s\"", "cannot be reached", "run and speak plaintext"]);
    check(&|spec| spec["servers"] = json!(["kafka://a"]), &["\"kafka://a\" is no broker; write host:port"]);
    check(&|spec| spec["topics"] = json!(["oders"]), &["there is no topic \"oders\"; did you mean \"orders\"?"]);
    check(&security(json!({ "protocol": "ssl", "ca": ca })), &["cannot be reached", "security.protocol"]);
    check(&security(json!({ "protocol": "ssl", "ca": "nothere.pem" })), &["nothere.pem"]);
    let mut login = json!({ "protocol": "sasl_plaintext", "mechanism": "scram_sha_256", "user": "reader" });
    login["password"] = json!(PASSWORD);
    check(&security(login), &["cannot be reached", "security.protocol"]);
    check(&security(json!({ "password": PASSWORD })), &["security.password: there is no user"]);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    brokers.cluster.request_errors(RDKafkaApiKey::Heartbeat, &[refused]);
    check(&|_| (), &["the user may not read it as group \"tidemill\""]);
    brokers.cluster.topic_error("orders", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    check(&|_| (), &["the user may not read topic \"orders\""]);
}

#[test]
fn a_broker_that_goes_away_and_comes_back_is_found_again() {
    let brokers = Brokers::new(1);
    let sender = brokers.sender();
    let spec = brokers.spec(short());
    let project = project("kafka", &spec);
    let collector = Collector::start(&project);
    sender.send((1..=1_000).map(id));
    wait_for(&project, "kafka", &spec, 1_000);
    brokers.cluster.broker_down(-1).unwrap();
    pause(3_000);
    brokers.cluster.broker_up(-1).unwrap();
    sender.send((1_001..=2_000).map(id));
    wait_for(&project, "kafka", &spec, 2_000);
    let counted = collector.stop();
    // The client may have found it again before anything had to be told.
    assert_eq!((&counted["trouble"], &counted["lost"]), (&Value::Null, &json!(0)), "{counted}");
    assert_eq!(ids(&project, &spec), (1..=2_000).collect::<Vec<_>>());
}

#[test]
fn what_the_brokers_dropped_before_it_was_read_is_counted() {
    let brokers = Brokers::new(1);
    let sender = brokers.sender();
    let spec = brokers.spec(json!({ "columns": { "id": "integer", "pad": "text" }, "key": ["id"] }));
    // Of each partition the brokers of the test keep 5 MB, and digits by chance are not packed by much.
    let wide = |n: i64| {
        let digits = (0..100).map(|place| ((n * 100 + place) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
        json!({ "id": n, "pad": digits.collect::<String>() }).to_string().into_bytes()
    };
    let project = project("kafka", &spec);
    let collect = || counted(&project.ok(&["collect", "--until-idle", "1s", "--json"]));
    sender.send((1..=10).map(wide));
    let all = collect();
    assert_eq!((&all["rows"], &all["lost"]), (&json!(10), &json!(0)));
    const LAST: i64 = 12_000;
    (11..=LAST).step_by(500).for_each(|first| sender.send((first..(first + 500).min(LAST + 1)).map(wide)));
    let lost = collect()["lost"].as_i64().unwrap();
    let there = ids(&project, &spec);
    assert!(lost > 0, "all is there");
    assert_eq!((there.len() as i64 + lost, there.last()), (LAST, Some(&LAST)));
}

#[test]
fn a_group_that_moved_on_is_joined_again_and_read_from_what_it_knows() {
    let brokers = Brokers::new(1);
    brokers.sender().send((1..=1_000).map(id));
    // The first commit says where the group begins.
    let (fine, moved) =
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    brokers.cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[fine, moved]);
    let spec = brokers.spec(short());
    let project = project("kafka", &spec);
    let collect = || counted(&project.ok(&["collect", "--until-idle", "1s", "--json"]))["rows"].as_u64().unwrap();
    assert!(collect() > 1_000, "rows that were not committed come again");
    assert_eq!(ids(&project, &spec), (1..=1_000).collect::<Vec<_>>());
    assert_eq!(collect(), 0, "all are committed");
}

#[test]
fn messages_that_the_broker_keeps_are_asked_for_again() {
    let brokers = Brokers::new(1);
    brokers.sender().send((1..=10).map(id));
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    brokers.cluster.request_errors(RDKafkaApiKey::Fetch, &[refused; 1_000]);
    let mut spec = brokers.spec(short());
    spec["timeout_s"] = json!(1);
    let project = project("kafka", &spec);
    let collector = Collector::start(&project);
    pause(8_000);
    brokers.cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    wait_for(&project, "kafka", &spec, 10);
    let counted = collector.stop();
    assert!(counted["reconnects"].as_u64().unwrap() >= 1, "{counted}");
    assert_eq!(ids(&project, &spec), (1..=10).collect::<Vec<_>>());
}

#[test]
fn kills_of_the_collector_lose_no_row_of_kafka() {
    let brokers = Brokers::new(1);
    let sender = brokers.sender();
    let spec = brokers.spec(short());
    // Longer lives than elsewhere: the group lets a member in when the session of the one that was killed is over.
    survives_kills("kafka", &spec, 3_000 * SESSION_S, move |first, last| {
        sender.send((first..=last).map(id));
        pause(60); // the brokers of the test keep 5 MB of a partition
    });
}
