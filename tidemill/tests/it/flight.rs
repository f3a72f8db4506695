//! Arrow Flight SQL both ways: our server asked by ADBC and by our own source, which also reads a server that is not ours.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type};
use data::{Engine, EngineSpec, FlightSqlSpec, Sink, SourceSpec, WireSpec};
use futures::StreamExt;
use tempfile::TempDir;

use crate::databases::{DAY, MICROS_PER_DAY, ROWS, check, column, rows, runtime};
use crate::servers::{PASSWORD, certificate, free_port};
use crate::support::{Project, SqlServer, finish, optional, skipped};

const KEY: &str = "a key of tide & mill";
/// How long to wait for what another thread does.
const WITHIN: Duration = Duration::from_secs(30);

fn start(project: &Project) -> SqlServer {
    SqlServer::start(project, "--flight-port", "grpc", Some(KEY))
}

fn spec(port: &str, more: serde_json::Value) -> FlightSqlSpec {
    let mut text = serde_json::json!({ "url": format!("grpc://127.0.0.1:{port}") });
    text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(text).unwrap()
}

/// A table of our own server.
fn ours(port: &str, table: &str) -> FlightSqlSpec {
    spec(port, serde_json::json!({ "user": "reader", "password": KEY, "table": table }))
}

fn ask(spec: &FlightSqlSpec, sql: &str) -> data::Result<RecordBatch> {
    runtime().block_on(rows(&SourceSpec::FlightSql(spec.clone()), sql))
}

fn texts(found: &RecordBatch) -> Vec<Option<&str>> {
    found.column(0).as_string::<i32>().iter().collect()
}

fn integers(found: &RecordBatch) -> Vec<i64> {
    found.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// The error of a source has all these words, and no password.
fn wrong(spec: &FlightSqlSpec, words: &[&str]) {
    let error = ask(spec, "SELECT * FROM t").unwrap_err().to_string();
    words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in: {error}"));
    assert!(!error.contains(PASSWORD) && !error.contains(KEY) && !error.contains("bug"), "{error}");
}

/// As `column`, of texts by which other arrays are made.
fn words(value: impl Fn(i64) -> String) -> Vec<Option<String>> {
    column(value)
}

fn lists(value: impl Fn(i64) -> Vec<Option<i64>>) -> Vec<Option<Vec<Option<i64>>>> {
    column(value)
}

fn pairs() -> StructArray {
    let fields = Fields::from(vec![Field::new("n", DataType::Int64, true), Field::new("word", DataType::Utf8, true)]);
    let present: Vec<bool> = (1..=ROWS).map(|n| n % 7 != 0).collect();
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(column::<Int64Array, _>(|n| -n)), Arc::new(column::<StringArray, _>(|n| format!("词{n}")))];
    StructArray::new(fields, arrays, Some(NullBuffer::from(present)))
}

/// Ten thousand rows of every type that a server of ours can hold.
fn every_type() -> RecordBatch {
    let kind = words(|n| format!("kind {}", n % 10));
    let kind: DictionaryArray<Int32Type> = kind.iter().map(Option::as_deref).collect();
    let fixed = column::<Decimal128Array, _>(|n| i128::from(n - 5000) * 625);
    let columns = vec![
        ("id", Arc::new((1..=ROWS).map(Some).collect::<Int64Array>()) as ArrayRef),
        ("b", Arc::new(column::<BooleanArray, _>(|n| n % 2 == 0))),
        ("i1", Arc::new(column::<Int8Array, _>(|n| (n % 256 - 128) as i8))),
        ("i4", Arc::new(column::<Int32Array, _>(|n| (n * 1000 - 7) as i32))),
        ("u2", Arc::new(column::<UInt16Array, _>(|n| n as u16))),
        ("u8", Arc::new(column::<UInt64Array, _>(|n| u64::MAX - n as u64))),
        ("f4", Arc::new(column::<Float32Array, _>(|n| (n as f64 / 7.0) as f32))),
        ("f8", Arc::new(column::<Float64Array, _>(|n| n as f64 / 7.0))),
        ("fixed", Arc::new(fixed.with_precision_and_scale(20, 4).unwrap())),
        ("txt", Arc::new(column::<StringArray, _>(|n| format!("Zeile {n} 数据 🦀")))),
        ("long", Arc::new(LargeStringArray::from_iter(words(|n| format!("long {n}"))))),
        ("kind", Arc::new(kind)),
        ("raw", Arc::new(column::<BinaryArray, _>(|n| (n as u32).to_be_bytes()))),
        ("d", Arc::new(column::<Date32Array, _>(|n| (DAY + n) as i32))),
        ("ts", Arc::new(column::<TimestampMicrosecondArray, _>(|n| (DAY + n) * MICROS_PER_DAY + n))),
        ("tz", Arc::new(column::<TimestampMillisecondArray, _>(|n| n * 86_400_500).with_timezone("+08:00"))),
        ("ns", Arc::new(column::<TimestampNanosecondArray, _>(|n| n * 86_400_000_000_001))),
        ("tm", Arc::new(column::<Time64MicrosecondArray, _>(|n| n * 1_000_000 % MICROS_PER_DAY))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists(|n| vec![Some(n), None])))),
        ("list8", Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(lists(|n| vec![Some(-n)])))),
        ("pair", Arc::new(pairs())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn our_source_reads_our_server_value_by_value() {
    let project = Project::new("sources:\n  every: { parquet: every.parquet }\n");
    let written = every_type();
    let mut file = Sink::create(&project.path("every.parquet"), &written.schema()).unwrap();
    file.write(&written).unwrap();
    file.finish().unwrap();
    let server = start(&project);
    let found = ask(&ours(&server.port, "every"), "SELECT * FROM t ORDER BY id").unwrap();
    let expected = vec![
        ("id", Arc::new((1..=ROWS).map(Some).collect::<Int64Array>()) as ArrayRef),
        ("b", Arc::new(column::<BooleanArray, _>(|n| n % 2 == 0))),
        ("i1", Arc::new(column::<Int64Array, _>(|n| n % 256 - 128))),
        ("i4", Arc::new(column::<Int64Array, _>(|n| n * 1000 - 7))),
        ("u2", Arc::new(column::<Int64Array, _>(|n| n))),
        ("u8", Arc::new(column::<UInt64Array, _>(|n| u64::MAX - n as u64))),
        ("f4", Arc::new(column::<Float32Array, _>(|n| (n as f64 / 7.0) as f32))),
        ("f8", Arc::new(column::<Float64Array, _>(|n| n as f64 / 7.0))),
        ("fixed", Arc::new(column::<Float64Array, _>(|n| (n - 5000) as f64 / 16.0))),
        ("txt", Arc::new(column::<StringArray, _>(|n| format!("Zeile {n} 数据 🦀")))),
        ("long", Arc::new(column::<StringArray, _>(|n| format!("long {n}")))),
        ("kind", Arc::new(column::<StringArray, _>(|n| format!("kind {}", n % 10)))),
        ("raw", Arc::new(column::<BinaryArray, _>(|n| (n as u32).to_be_bytes()))),
        ("d", Arc::new(column::<Date32Array, _>(|n| (DAY + n) as i32))),
        ("ts", Arc::new(column::<TimestampMicrosecondArray, _>(|n| (DAY + n) * MICROS_PER_DAY + n))),
        ("tz", Arc::new(column::<TimestampMicrosecondArray, _>(|n| n * 86_400_500_000))),
        ("ns", Arc::new(column::<TimestampNanosecondArray, _>(|n| n * 86_400_000_000_001))),
        ("tm", Arc::new(column::<Time64MicrosecondArray, _>(|n| n * 1_000_000 % MICROS_PER_DAY))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists(|n| vec![Some(n), None])))),
        ("list8", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists(|n| vec![Some(-n)])))),
        ("pair", Arc::new(pairs())),
    ];
    check(&found, expected);
    assert_eq!(server.stop(), 0);
}

#[test]
fn conditions_reach_our_server_with_bound_values() {
    let project = Project::new("sources:\n  people: { csv: { path: people.csv } }\n");
    let text = "id,name,born,seen,share\n1,O'Neil,1990-02-03,2026-01-01 10:00:00,0.5\n2,Li,1991-02-03,2026-01-01 11:00:00,1.5\n3,,,,\n";
    project.write("people.csv", text.as_bytes());
    let server = start(&project);
    let source = ours(&server.port, "people");
    let ids = |sql: &str| integers(&ask(&source, &format!("SELECT id FROM t WHERE {sql} ORDER BY id")).unwrap());
    assert_eq!(ids("name = 'O''Neil'"), [1]);
    assert_eq!(ids("name IN ('Li', 'x'' OR 1 = 1 --')"), [2]);
    assert_eq!(ids("name IS NULL"), [3]);
    assert_eq!(ids("id >= 2 AND id < 3 AND share > 1.0"), [2]);
    assert_eq!(ids("born > DATE '1990-02-03'"), [2]);
    assert_eq!(ids("seen <= TIMESTAMP '2026-01-01 10:00:00'"), [1]);
    assert_eq!(integers(&ask(&source, "SELECT count(*) FROM t").unwrap()), [3]);
    assert_eq!(ask(&source, "SELECT name FROM t LIMIT 2").unwrap().num_rows(), 2);
    let query = |sql: &str| FlightSqlSpec { table: None, query: Some(sql.to_owned()), ..source.clone() };
    let grown = query("SELECT id, share * 2 AS twice FROM people WHERE id < 3 -- the third is none\n;");
    let twice = ask(&grown, "SELECT twice FROM t WHERE id = 2").unwrap();
    assert_eq!(twice.column(0).as_primitive::<arrow::datatypes::Float64Type>().values(), &[3.0]);
}

#[test]
fn what_goes_wrong_with_our_server_is_said() {
    let project = Project::new("sources:\n  orders: { csv: { path: orders.csv } }\n");
    project.write("orders.csv", b"id,price\n1,2.5\n");
    let server = start(&project);
    let good = ours(&server.port, "orders");
    let at = format!("flight_sql at 127.0.0.1:{}", server.port);
    let token = |token: &str| spec(&server.port, serde_json::json!({ "token": token, "table": "orders" }));
    assert_eq!(ask(&token(KEY), "SELECT * FROM t").unwrap().num_rows(), 1);
    wrong(&ours(&server.port, "oders"), &[&at, "no table \"oders\"", "did you mean \"orders\"?"]);
    let query = |sql: &str| FlightSqlSpec { table: None, query: Some(sql.to_owned()), ..good.clone() };
    wrong(&query("SELECT prise FROM orders"), &[&at, "no column \"prise\"", "did you mean \"price\"?"]);
    wrong(&query("SELEC 1"), &[&at, "SQL"]);
    wrong(&query("SELECT 1) AS x; DROP TABLE orders; --"), &[&at]);
    wrong(
        &FlightSqlSpec { password: Some("nonsense".into()), ..good.clone() },
        &[&at, "the password is wrong", "user"],
    );
    wrong(&token("nonsense"), &[&at, "the token is wrong", "token"]);
    wrong(&spec(&server.port, serde_json::json!({ "table": "orders" })), &[&at, "log in", "see user and password"]);
    wrong(&FlightSqlSpec { query: Some("SELECT 1".into()), ..good.clone() }, &["table and query"]);
    let elsewhere = format!("grpc://127.0.0.1:{}", free_port());
    wrong(&FlightSqlSpec { url: elsewhere.as_str().into(), ..good.clone() }, &["flight_sql at 127.0.0.1", "refused"]);
    let encrypted = format!("grpc+tls://127.0.0.1:{}", server.port);
    wrong(&FlightSqlSpec { url: encrypted.as_str().into(), ..good.clone() }, &[&at]);
    let http = format!("http://127.0.0.1:{}", server.port);
    wrong(&FlightSqlSpec { url: http.as_str().into(), ..good }, &["is no address of Flight SQL", "grpc://host:port"]);
}

/// The whole way from another server's rows to a model.
#[test]
fn a_model_is_trained_from_rows_of_another_server() {
    let project = Project::small(300);
    let server = start(&project);
    let source = format!(
        "sources:\n  rows: {{ flight_sql: {{ url: \"grpc://127.0.0.1:{}\", user: reader, password: \"${{KEY}}\", table: rows }} }}\n",
        server.port
    );
    let other =
        Project::new(&crate::support::SMALL.replace("sources:\n  rows: { csv: { path: rows.csv } }\n", &source));
    let done = finish(other.command(&["run", "--json"]).env("KEY", KEY));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let accuracy = done.json()["models"]["kind"]["metrics"]["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.7, "{accuracy}");
    assert!(!done.stdout.contains(KEY) && !done.stderr.contains(KEY));
}

#[test]
fn the_driver_of_adbc_reads_everything_and_changes_nothing() {
    let Some(python) = optional("TIDEMILL_PYTHON", "a driver of Flight SQL") else { return };
    if !finish(Command::new(&python).args(["-c", "import adbc_driver_flightsql.dbapi, pyarrow"])).stderr.is_empty() {
        skipped(&format!("{python} lacks adbc-driver-flightsql"));
        return;
    }
    let project = Project::small(300);
    let yaml = crate::support::SMALL.to_owned() + "tables:\n  reds: SELECT * FROM rows WHERE colour = 'red'\n";
    project.write("tidemill.yaml", yaml.as_bytes());
    project.ok(&["run", "-q"]);
    let server = start(&project);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/flight_client.py");
    let done = finish(Command::new(python).arg(script).args([&server.port, KEY]));
    assert_eq!((done.code, done.stdout.as_str()), (0, "fine\n"), "{}", done.stderr);
}

/// A query ends with its reader, queries are bounded, and the server answers those that run before it ends.
#[test]
fn queries_are_bounded_and_end_with_their_readers() {
    runtime().block_on(async {
        let server = Engine::new(&EngineSpec::default()).unwrap();
        server.add_table("many", "SELECT value FROM generate_series(1, 1000000000000)").await.unwrap();
        server.add_table("few", "SELECT value FROM generate_series(1, 3)").await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let stop = Arc::new(tokio::sync::Notify::new());
        let told = Arc::clone(&stop);
        let wire = WireSpec { password: None, connections_max: 2 };
        let served = Arc::new(server).serve_flight(listener, wire, async move { told.notified().await });
        let served = tokio::spawn(served);

        let client = Engine::new(&EngineSpec::default()).unwrap();
        let here = Path::new(".");
        for name in ["many", "few"] {
            let source = SourceSpec::FlightSql(spec(&port, serde_json::json!({ "table": name, "timeout_s": 5 })));
            client.add_source(name, &source, here).await.unwrap();
        }
        let begin = Instant::now();
        // A place is free a moment after its connection was closed.
        let open = async || loop {
            let mut rows = client.query("SELECT value FROM many").await.unwrap().batches;
            match rows.next().await.unwrap() {
                Ok(_) => break rows,
                Err(error) => assert!(begin.elapsed() < WITHIN, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let (mut first, second) = (open().await, open().await);
        let few = async || client.query("SELECT value FROM few").await.unwrap().collect().await;
        let error = few().await.unwrap_err().to_string();
        assert!(error.contains("flight_sql at 127.0.0.1"), "{error}");
        drop(second);
        let found = loop {
            match few().await {
                Ok(found) => break found,
                Err(error) => assert!(begin.elapsed() < WITHIN, "the query runs without its reader: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);

        stop.notify_one();
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_ok() {
            assert!(begin.elapsed() < WITHIN, "who is stopped takes no more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(first.next().await.unwrap().unwrap().num_rows() > 0, "what runs goes on");
        assert!(!served.is_finished());
        drop(first);
        tokio::time::timeout(WITHIN, served).await.unwrap().unwrap().unwrap();
    });
}

/// A server of pyarrow's, ended when dropped; its certificate lies in the folder.
struct Foreign {
    child: Child,
    folder: TempDir,
    port: String,
}

impl Foreign {
    /// None where it is missing.
    fn start(encryption: &str) -> Option<Self> {
        let python = optional("TIDEMILL_PYTHON", "a server of Flight SQL")?;
        if !finish(Command::new(&python).args(["-c", "import pyarrow.flight"])).stderr.is_empty() {
            skipped(&format!("{python} lacks pyarrow.flight"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/flight_server.py");
        let mut server = Command::new(python);
        server.arg(script).arg(folder.path()).args([PASSWORD, encryption]);
        let error = std::fs::File::create(folder.path().join("errors")).unwrap();
        let mut child = server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(error).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let server = Self { child, folder, port: line.trim().to_owned() };
        assert!(!server.port.is_empty(), "{}", std::fs::read_to_string(server.folder.path().join("errors")).unwrap());
        Some(server)
    }

    fn table(&self, name: &str) -> FlightSqlSpec {
        spec(&self.port, serde_json::json!({ "user": "reader", "password": PASSWORD, "table": name }))
    }

    /// What it was asked, by lines.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_server_that_is_not_ours_is_read() {
    let Some(server) = Foreign::start("plain") else { return };
    let people = ask(&server.table("people"), "SELECT * FROM t ORDER BY id").unwrap();
    check(
        &people,
        vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec![Some("O'Neil"), Some("Li"), None, Some("数据 🦀")]))),
            ("share", Arc::new(Float32Array::from(vec![Some(0.5), None, Some(2.25), Some(-1.0)]))),
            (
                "seen",
                Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(1_500_000), None, Some(MICROS_PER_DAY)])),
            ),
            ("price", Arc::new(Float64Array::from(vec![Some(1.25), Some(-0.01), None, Some(7.0)]))),
        ],
    );
    // It prepares nothing: the engine looks at all rows itself, and still asks for what it needs alone.
    let found = ask(&server.table("people"), "SELECT name FROM t WHERE name = 'O''Neil'").unwrap();
    assert_eq!(texts(&found), [Some("O'Neil")]);
    let missing = ask(&server.table("people"), "SELECT id FROM t WHERE name IS NULL").unwrap();
    assert_eq!(integers(&missing), [3]);
    let log = server.log();
    for sql in ["SELECT \"name\" FROM \"people\"\n", "FROM \"people\" WHERE \"name\" IS NULL\n"] {
        assert!(log.contains(sql), "no {sql:?} in {log}");
    }
    assert!(!log.contains("Neil"), "no value is pasted: {log}");
    // It prepares this table's queries, with question marks.
    let found = ask(&server.table("bound"), "SELECT name FROM t WHERE name IN ('Li', 'x') AND id < 7").unwrap();
    assert_eq!(texts(&found), [Some("Li")]);
    let log = server.log();
    assert!(log.contains(" FROM \"bound\" WHERE \"name\" IN (?, ?)"), "{log}");
    assert!(log.contains("values [{\"1\": \"Li\", \"2\": \"x\""), "{log}");
    let there = ask(&server.table("elsewhere"), "SELECT id FROM t ORDER BY id").unwrap();
    assert_eq!(integers(&there), [1, 2, 3, 4], "its rows are on another port");
}

#[test]
fn what_goes_wrong_with_other_servers_is_said() {
    let Some(server) = Foreign::start("plain") else { return };
    wrong(&server.table("poeple"), &["there is no table poeple", "did you mean \"people\"?"]);
    let traceback = ask(&server.table("poeple"), "SELECT * FROM t").unwrap_err().to_string();
    assert!(!traceback.contains('\n'), "{traceback}");
    wrong(&server.table("on the web"), &["https://files.example/x.arrow", "not fetched"]);
    let hasty = FlightSqlSpec { timeout_s: 1, ..server.table("stalls") };
    wrong(&hasty, &["sent nothing for 1 seconds", "timeout_s"]);
    let nobody = FlightSqlSpec { password: Some("nonsense".into()), ..server.table("people") };
    wrong(&nobody, &["nobody knows you here", "see user and password"]);
    runtime().block_on(async {
        let engine = Engine::new(&EngineSpec::default()).unwrap();
        let source = SourceSpec::FlightSql(server.table("changes"));
        engine.add_source("t", &source, Path::new(".")).await.unwrap();
        let rows = async |sql: &str| engine.query(sql).await.unwrap().collect().await;
        let error = rows("SELECT id FROM t").await.unwrap_err().to_string();
        assert!(error.contains("column \"id\" is no longer what it was"), "{error}");
        assert!(rows("SELECT name FROM t").await.is_ok(), "what is not read has not changed for anybody");
    });
    // A port where nobody speaks: the connection is made, and nothing comes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    wrong(&spec(&port, serde_json::json!({ "table": "t", "timeout_s": 1 })), &["flight_sql at 127.0.0.1", "1 seconds"]);
}

#[test]
fn encrypted_servers_are_trusted_where_their_certificate_is_named() {
    let Some(server) = Foreign::start("tls") else { return };
    let url = format!("grpc+tls://127.0.0.1:{}", server.port);
    let ca = server.folder.path().join("server.crt").display().to_string();
    let trusting = FlightSqlSpec { url: url.as_str().into(), ca: Some(ca), ..server.table("people") };
    assert_eq!(integers(&ask(&trusting, "SELECT id FROM t ORDER BY id").unwrap()), [1, 2, 3, 4]);
    let wary = FlightSqlSpec { ca: None, ..trusting.clone() };
    wrong(&wary, &["flight_sql at 127.0.0.1"]);
    wrong(&FlightSqlSpec { ca: Some("missing.crt".into()), ..trusting }, &["missing.crt"]);
}
