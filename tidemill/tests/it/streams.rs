//! Streams as sources, against the real servers: every type value by value, faults in words, servers that come and go,
//! collectors that are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::*;
use arrow::compute::concat_batches;
use data::{Engine, EngineSpec, SourceSpec};
use serde_json::{Value, json};

use crate::publish::{Mqtt, Nats, Redis};
use crate::servers::{Broker, PASSWORD, free_port};
use crate::support::{Done, Project, finish};

pub const ROWS: i64 = 10_000;
/// Milliseconds after which a collector is killed, at the latest.
const LONGEST_MS: u64 = 600;
/// 2000-01-01 in days since 1970.
const DAY: i64 = 10_957;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A project with one source called `s`.
pub fn project(kind: &str, spec: &Value) -> Project {
    Project::new(&json!({ "sources": { "s": { kind: spec } } }).to_string())
}

fn redis(server: &Broker, rows: Value) -> Value {
    json!({ "url": format!("redis://127.0.0.1:{}", server.port), "password": PASSWORD, "stream": "clicks", "timeout_s": 5,
        "rows": rows })
}

fn nats(server: &Broker, rows: Value) -> Value {
    json!({ "url": format!("nats://reader@127.0.0.1:{}", server.port), "password": PASSWORD, "stream": "orders",
        "ack_wait_s": 15, "timeout_s": 5, "rows": rows })
}

fn mqtt(server: &Broker, rows: Value) -> Value {
    json!({ "url": format!("mqtt://reader@127.0.0.1:{}", server.port), "password": PASSWORD, "topics": ["hall/#"],
        "timeout_s": 5, "rows": rows })
}

/// The rows of a query over the source, whose settings may differ from those it was collected with.
pub fn rows(project: &Project, kind: &str, spec: &Value, sql: &str) -> RecordBatch {
    let source: SourceSpec = serde_json::from_value(json!({ kind: spec })).unwrap();
    let folder = project.path(".tidemill/streams/s");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = Engine::new(&EngineSpec::default()).unwrap();
        engine.add_stream("s", &source, &folder).await.unwrap();
        let rows = engine.query(sql).await.unwrap();
        let schema = Arc::clone(&rows.schema);
        concat_batches(&schema, &rows.collect().await.unwrap()).unwrap()
    })
}

/// The whole numbers of the first column.
pub fn integers(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
}

pub fn every_type() -> Value {
    json!({ "id": "integer", "b": "boolean", "i": "integer", "f": "number", "d": "date", "t": "timestamp", "s": "text" })
}

/// Row `n` with every type; every seventh has no values but its number.
pub fn object(n: i64) -> Value {
    if n % 7 == 0 {
        return if n % 2 == 0 {
            json!({ "id": n })
        } else {
            json!({ "id": n, "b": null, "i": null, "s": null, "t": null })
        };
    }
    let day = chrono::DateTime::from_timestamp((DAY + n) * 86_400, (n * 1_000) as u32).unwrap();
    json!({
        "id": n, "b": n % 2 == 0, "i": n * 1_234_567_890_123, "f": n as f64 / 7.0, "d": day.format("%F").to_string(),
        "t": day.format("%FT%T%.6fZ").to_string(), "s": format!("Zeile {n} 数据 🦀 \"\\\n"),
    })
}

fn column<A: FromIterator<Option<T>>, T>(value: impl Fn(i64) -> T) -> A {
    (1..=ROWS).map(|n| (n % 7 != 0).then(|| value(n))).collect()
}

/// All rows are there, value by value.
pub fn check_every_type(found: &RecordBatch) {
    let expected: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new((1..=ROWS).map(Some).collect::<Int64Array>())),
        ("b", Arc::new(column::<BooleanArray, _>(|n| n % 2 == 0))),
        ("i", Arc::new(column::<Int64Array, _>(|n| n * 1_234_567_890_123))),
        ("f", Arc::new(column::<Float64Array, _>(|n| n as f64 / 7.0))),
        ("d", Arc::new(column::<Date32Array, _>(|n| (DAY + n) as i32))),
        ("t", Arc::new(column::<TimestampMicrosecondArray, _>(|n| (DAY + n) * MICROS_PER_DAY + n))),
        ("s", Arc::new(column::<StringArray, _>(|n| format!("Zeile {n} 数据 🦀 \"\\\n")))),
    ];
    assert_eq!(found.num_rows() as i64, ROWS);
    for (name, expected) in expected {
        let found = found.column_by_name(name).unwrap();
        assert_eq!(found.data_type(), expected.data_type(), "{name}");
        for row in 0..found.len() {
            assert_eq!(&found.slice(row, 1), &expected.slice(row, 1), "{name}, row {row}");
        }
    }
}

/// All columns of every type.
pub const ALL: &str = "SELECT id, b, i, f, d, t, s FROM s ORDER BY id";

pub fn bodies() -> impl Iterator<Item = Vec<u8>> {
    (1..=ROWS).map(|n| object(n).to_string().into_bytes())
}

/// What a collector counted for the source.
pub fn counted(done: &Done) -> Value {
    done.json()["sources"]["s"].clone()
}

#[test]
fn redis_gives_every_type_value_by_value() {
    let Some(server) = Broker::redis() else { return };
    let mut client = Redis::new(server.port);
    // As fields, where an empty text is no value for all but texts.
    let fields = |n: i64| {
        let object = object(n);
        let text = |name| match &object[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let names = ["id", "b", "i", "f", "d", "t", "s"].into_iter();
        names.filter(|name| *name != "s" || !object["s"].is_null()).map(|name| (name, text(name))).collect()
    };
    client.add("clicks", (1..=ROWS).map(fields));
    let spec = redis(&server, json!({ "columns": every_type() }));
    let plain = project("redis", &spec);
    let done = plain.ok(&["collect", "--until-idle", "1s", "--json"]);
    assert_eq!(counted(&done)["rows"], ROWS);
    check_every_type(&rows(&plain, "redis", &spec, ALL));
    assert_eq!(client.pending("clicks"), 0, "all are acknowledged");
    // As a message in a field, of another group that finds the columns out.
    client.add("messages", (1..=ROWS).map(|n| vec![("json", object(n).to_string())]));
    let mut spec = redis(&server, json!({}));
    (spec["stream"], spec["field"]) = (json!("messages"), json!("json"));
    let found = project("redis", &spec);
    found.ok(&["collect", "s", "--until-idle", "1s"]);
    check_every_type(&rows(&found, "redis", &spec, ALL));
    let shown = found.ok(&["sql", "SELECT count(*) AS n FROM s", "--json"]).json();
    assert_eq!(shown["rows"][0]["n"], ROWS.to_string());
}

#[test]
fn nats_gives_every_type_value_by_value() {
    let Some(server) = Broker::nats() else { return };
    let mut client = Nats::new(server.port);
    client.make_stream("orders");
    client.add("orders.new", bodies());
    let spec = nats(&server, json!({ "columns": every_type() }));
    let project = project("nats", &spec);
    assert_eq!(counted(&project.ok(&["collect", "--until-idle", "1s", "--json"]))["rows"], ROWS);
    check_every_type(&rows(&project, "nats", &spec, ALL));
    let state = client.api("CONSUMER.INFO.orders.tidemill", &json!({}));
    assert_eq!((&state["num_ack_pending"], &state["num_pending"]), (&json!(0), &json!(0)), "{state}");
    let offsets = rows(&project, "nats", &spec, "SELECT count(DISTINCT _offset), min(CAST(_offset AS BIGINT)) FROM s");
    assert_eq!(integers(&offsets), [ROWS]);
}

#[test]
fn mqtt_gives_every_type_value_by_value() {
    let Some(server) = Broker::mosquitto() else { return };
    let spec = mqtt(&server, json!({ "columns": every_type() }));
    let project = project("mqtt", &spec);
    project.ok(&["collect", "--until-idle", "500ms"]); // makes the session, which then keeps what comes
    Mqtt::new(server.port, "sender").add("hall/3/temperature", bodies());
    assert_eq!(counted(&project.ok(&["collect", "--until-idle", "1s", "--json"]))["rows"], ROWS);
    check_every_type(&rows(&project, "mqtt", &spec, ALL));
    assert_eq!(
        counted(&project.ok(&["collect", "--until-idle", "500ms", "--json"]))["rows"],
        0,
        "all are acknowledged"
    );
}

#[test]
fn poison_is_kept_aside_late_rows_are_marked_and_duplicates_are_one() {
    let Some(server) = Broker::nats() else { return };
    let mut client = Nats::new(server.port);
    client.make_stream("orders");
    let event = |n: i64, minute: u32| format!("{{\"id\":{n},\"at\":\"2026-01-31T12:{minute:02}:00Z\"}}").into_bytes();
    let messages = [
        event(1, 0),
        event(2, 30),
        b"no json".to_vec(),
        event(3, 10),
        b"{\"id\":\"x\"}".to_vec(),
        vec![0xff, 0xfe, 0x00],
        event(2, 31),
        Vec::new(),
        event(4, 29),
    ];
    client.add("orders.new", messages.into_iter());
    let spec = nats(
        &server,
        json!({ "columns": { "id": "integer", "at": "timestamp" }, "key": ["id"], "event_time": "at", "lateness_s": 600 }),
    );
    let project = project("nats", &spec);
    let counted = counted(&project.ok(&["collect", "--until-idle", "1s", "--json"]));
    assert_eq!(
        (&counted["rows"], &counted["poison"], &counted["late"]),
        (&json!(5), &json!(4), &json!(1)),
        "{counted}"
    );
    let found = rows(&project, "nats", &spec, "SELECT id FROM s ORDER BY id");
    assert_eq!(integers(&found), [1, 2, 3, 4]);
    let late = rows(&project, "nats", &spec, "SELECT id FROM s WHERE _late ORDER BY id");
    assert_eq!(integers(&late), [3]);
    let poison = std::fs::read_to_string(project.path(".tidemill/streams/s/poison.jsonl")).unwrap();
    assert_eq!(poison.lines().count(), 4, "{poison}");
    assert!(poison.contains("\"offset\":\"3\"") && poison.contains("no json"), "{poison}");
}

#[test]
fn faults_of_servers_are_told_in_words() {
    let nobody = free_port();
    let check = |kind: &str, mut spec: Value, change: &dyn Fn(&mut Value), expected: &[&str]| {
        change(&mut spec);
        let done = project(kind, &spec).run(&["collect", "--until-idle", "200ms"]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        for part in expected {
            assert!(done.stderr.contains(part), "{kind}: {part:?} is not in {}", done.stderr);
        }
        assert!(!done.stderr.contains(PASSWORD), "{}", done.stderr);
    };
    let columns = || json!({ "columns": { "id": "integer" } });
    let unreachable = |scheme: &'static str| {
        move |spec: &mut Value| spec["url"] = format!("{scheme}://reader@127.0.0.1:{nobody}").into()
    };
    let wrong = |spec: &mut Value| spec["password"] = "wrong".into();
    if let Some(server) = Broker::redis() {
        let spec = || redis(&server, columns());
        check("redis", spec(), &unreachable("redis"), &["source \"s\"", "cannot be reached"]);
        check("redis", spec(), &wrong, &["see user and password"]);
        check("redis", spec(), &|spec| spec["password"] = Value::Null, &["see user and password"]);
        Redis::new(server.port).ask(&["SET", "clicks", "no stream"]);
        check("redis", spec(), &|_| (), &["holds no stream"]);
    }
    if let Some(server) = Broker::nats() {
        let spec = || nats(&server, columns());
        check("nats", spec(), &unreachable("nats"), &["source \"s\"", "cannot be reached"]);
        check("nats", spec(), &wrong, &["see user and password"]);
        check("nats", spec(), &|_| (), &["there is no such stream"]);
        check("nats", spec(), &|spec| spec["ack_wait_s"] = 1.into(), &["segment_age_ms_max: 10000"]);
    }
    if let Some(server) = Broker::mosquitto() {
        let spec = || mqtt(&server, columns());
        check("mqtt", spec(), &unreachable("mqtt"), &["source \"s\"", "cannot be reached"]);
        check("mqtt", spec(), &wrong, &["see user and password"]);
    }
}

#[test]
fn one_stream_that_fails_does_not_end_the_others() {
    let Some(server) = Broker::redis() else { return };
    Redis::new(server.port).add("clicks", (1..=10).map(|n| vec![("id", n.to_string())]));
    let spec = redis(&server, json!({ "columns": { "id": "integer" } }));
    let mut broken = spec.clone();
    broken["url"] = format!("redis://127.0.0.1:{}", free_port()).into();
    let project = Project::new(&json!({ "sources": { "s": { "redis": spec }, "b": { "redis": broken } } }).to_string());
    let done = project.run(&["collect", "--until-idle", "1s", "--json"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("source \"b\""), "{}", done.stderr);
    let document = done.json();
    assert_eq!(document["sources"]["s"]["rows"], 10);
    assert!(document["errors"][0].as_str().unwrap().contains("source \"b\""), "{document}");
    let other = project.run(&["collect", "x"]);
    assert!(other.code == 1 && other.stderr.contains("no source \"x\""), "{}", other.stderr);
}

/// A collector in the background, asked to stop at the end.
pub struct Collector(std::process::Child);

impl Collector {
    pub fn start(project: &Project) -> Self {
        let mut command = project.command(&["collect", "-q", "--json"]);
        let child = command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        Self(child)
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it counted once it ended by SIGTERM.
    pub fn stop(self) -> Value {
        crate::support::signal(self.0.id(), "TERM");
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["sources"]["s"].clone()
    }
}

/// Waits until so many rows are there.
#[allow(clippy::disallowed_methods, reason = "what another process wrote is no event of this one")]
pub fn wait_for(project: &Project, kind: &str, spec: &Value, count: i64) {
    let begin = Instant::now();
    while !project.path(".tidemill/streams/s/schema.json").exists()
        || integers(&rows(project, kind, spec, "SELECT count(*) FROM s"))[0] < count
    {
        assert!(begin.elapsed() < Duration::from_secs(60), "{count} rows do not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server goes away while a collector reads, and comes back.
fn comes_back(kind: &str, mut server: Broker, spec: &Value, end: fn(&mut Broker), add: &dyn Fn(u16, i64, i64)) {
    let project = project(kind, spec);
    let collector = Collector::start(&project);
    if kind == "mqtt" {
        wait_for_session(&server);
    }
    add(server.port, 1, 1_000);
    wait_for(&project, kind, spec, 1_000);
    end(&mut server);
    server.start();
    add(server.port, 1_001, 2_000);
    wait_for(&project, kind, spec, 2_000);
    let counted = collector.stop();
    assert!(counted["reconnects"].as_u64().unwrap() >= 1, "{counted}");
    let ids = integers(&rows(&project, kind, spec, "SELECT id FROM s ORDER BY id"));
    assert_eq!(ids, (1..=2_000).collect::<Vec<_>>());
}

/// Until the collector has subscribed: the broker says so in its log.
#[allow(clippy::disallowed_methods, reason = "what another process does is no event of this one")]
fn wait_for_session(server: &Broker) {
    let begin = Instant::now();
    let log = || std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
    while !log().contains("as tidemill") {
        assert!(begin.elapsed() < Duration::from_secs(30), "no session: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
}

pub fn short() -> Value {
    json!({ "columns": { "id": "integer" }, "key": ["id"], "segment_age_ms_max": 100 })
}

pub fn id(n: i64) -> Vec<u8> {
    format!("{{\"id\":{n}}}").into_bytes()
}

#[test]
fn redis_killed_in_the_middle_comes_back() {
    let Some(server) = Broker::redis() else { return };
    let spec = redis(&server, short());
    comes_back("redis", server, &spec, Broker::kill, &|port, first, last| {
        Redis::new(port).add("clicks", (first..=last).map(|n| vec![("id", n.to_string())]));
    });
}

#[test]
fn nats_killed_in_the_middle_comes_back() {
    let Some(server) = Broker::nats() else { return };
    Nats::new(server.port).make_stream("orders");
    let mut spec = nats(&server, short());
    spec["ack_wait_s"] = json!(2);
    comes_back("nats", server, &spec, Broker::kill, &|port, first, last| {
        Nats::new(port).add("orders.new", (first..=last).map(id));
    });
}

#[test]
fn mosquitto_stopped_in_the_middle_comes_back() {
    let Some(server) = Broker::mosquitto() else { return };
    let spec = mqtt(&server, short());
    // It keeps sessions on the disk when it ends; a crash of its own may lose what it had acknowledged.
    comes_back("mqtt", server, &spec, Broker::stop, &|port, first, last| {
        Mqtt::new(port, "sender").add("hall/1", (first..=last).map(id));
    });
}

/// Kills, at least; more by `TIDEMILL_KILLS`.
#[allow(clippy::disallowed_methods, reason = "tests may look at the environment")]
pub fn kills() -> usize {
    std::env::var("TIDEMILL_KILLS").ok().map_or(20, |kills| kills.parse().unwrap())
}

/// Waits for a moment that differs from time to time.
#[allow(clippy::disallowed_methods, reason = "a kill comes at any point, not at an event")]
pub fn some_moment(turn: usize, longest_ms: u64) {
    let random = (turn as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) % longest_ms;
    std::thread::sleep(Duration::from_millis(random));
}

/// Rows are sent all the time while the collector is killed again and again, after `longest_ms` or less; in the end each is there,
/// and once by its key.
pub fn survives_kills(kind: &str, spec: &Value, longest_ms: u64, mut add: impl FnMut(i64, i64) + Send) {
    let project = project(kind, spec);
    project.ok(&["collect", "--until-idle", "300ms"]);
    let is_over = AtomicBool::new(false);
    let mut sent = 0;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut last = 0;
            while !is_over.load(Ordering::Relaxed) {
                add(last + 1, last + 20);
                last += 20;
                some_moment(last as usize, 4);
            }
            last
        });
        for turn in 0..kills() {
            let collector = Collector::start(&project);
            some_moment(turn, longest_ms);
            collector.kill();
        }
        is_over.store(true, Ordering::Relaxed);
        sent = sending.join().unwrap();
    });
    let idle = if kind == "nats" { "4s" } else { "1s" }; // what was not acknowledged comes again after ack_wait_s
    project.ok(&["collect", "--until-idle", idle]);
    let ids = integers(&rows(&project, kind, spec, "SELECT id FROM s ORDER BY id"));
    assert_eq!(gaps(&ids, sent), [], "none is lost");
    assert_eq!(ids, (1..=sent).collect::<Vec<_>>(), "none is there twice");
    let mut plain = spec.clone();
    plain["rows"]["key"] = json!([]);
    let stored = integers(&rows(&project, kind, &plain, "SELECT count(*) FROM s"))[0];
    println!("{kind}: {} kills, {sent} rows sent, {stored} stored, {} by key", kills(), ids.len());
}

/// The first and the last of the numbers that are missing, of each gap.
fn gaps(ids: &[i64], last: i64) -> Vec<(i64, i64)> {
    let all = std::iter::once(&0).chain(ids).chain(std::iter::once(&(last + 1))).copied().collect::<Vec<_>>();
    all.windows(2).filter(|pair| pair[1] > pair[0] + 1).map(|pair| (pair[0] + 1, pair[1] - 1)).collect()
}

#[test]
fn kills_of_the_collector_lose_no_row_of_redis() {
    let Some(server) = Broker::redis() else { return };
    let spec = redis(&server, short());
    let mut client = Redis::new(server.port);
    survives_kills("redis", &spec, LONGEST_MS, |first, last| {
        client.add("clicks", (first..=last).map(|n| vec![("id", n.to_string())]));
    });
    assert_eq!(Redis::new(server.port).pending("clicks"), 0);
}

#[test]
fn kills_of_the_collector_lose_no_row_of_nats() {
    let Some(server) = Broker::nats() else { return };
    let mut client = Nats::new(server.port);
    client.make_stream("orders");
    let mut spec = nats(&server, short());
    spec["ack_wait_s"] = json!(2);
    survives_kills("nats", &spec, LONGEST_MS, |first, last| client.add("orders.new", (first..=last).map(id)));
}

#[test]
fn kills_of_the_collector_lose_no_row_of_mqtt() {
    let Some(server) = Broker::mosquitto() else { return };
    let spec = mqtt(&server, short());
    let port = server.port;
    let mut client: Option<Mqtt> = None;
    survives_kills("mqtt", &spec, LONGEST_MS, move |first, last| {
        let client = client.get_or_insert_with(|| Mqtt::new(port, "sender"));
        client.add("hall/1", (first..=last).map(id));
    });
}

#[test]
fn this_machine_tells_how_it_is() {
    let spec = json!({ "every_s": 1 });
    let project = project("host", &spec);
    let done = finish(&mut project.command(&["collect", "--for", "3500ms", "--json"]));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let found = counted(&done)["rows"].as_u64().unwrap();
    assert!((2..=4).contains(&found), "{found} rows in 3.5 s");
    let sql = "SELECT count(*) FROM s WHERE cpu_share BETWEEN 0 AND 1 AND cpus >= 1 AND memory_used_bytes > 0 AND \
               memory_used_bytes <= memory_total_bytes AND processes >= 1 AND top_memory_bytes > 0 AND host IS NOT NULL AND \
               top_memory_process IS NOT NULL AND time <= _received + INTERVAL '1 second'";
    assert_eq!(integers(&rows(&project, "host", &spec, sql)), [found as i64]);
    let mut times =
        integers(&rows(&project, "host", &spec, "SELECT CAST(time AS BIGINT) AS micros FROM s ORDER BY micros"));
    times.dedup();
    assert!(times.windows(2).all(|pair| (900_000..2_500_000).contains(&(pair[1] - pair[0]))), "{times:?}");
}
