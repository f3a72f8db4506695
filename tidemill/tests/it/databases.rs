//! Databases as sources, against the real servers: every type value by value, conditions that travel, faults in words.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use data::{DatabaseSpec, Engine, EngineSpec, SourceSpec};
use futures::StreamExt;

use crate::servers::{Database, PASSWORD, free_port};
use crate::support::Project;

pub const ROWS: i64 = 10_000;
/// 2000-01-01 in days since 1970.
pub const DAY: i64 = 10_957;
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

fn spec(url: String) -> DatabaseSpec {
    let text = serde_json::json!({ "url": url, "password": PASSWORD });
    serde_json::from_value(text).unwrap()
}

fn postgres(server: &Database, table: &str) -> DatabaseSpec {
    let url = format!("postgres://reader@127.0.0.1:{}/shop", server.port);
    DatabaseSpec { table: Some(table.to_owned()), ..spec(url) }
}

fn mysql(server: &Database, table: &str) -> DatabaseSpec {
    let url = format!("mysql://reader@127.0.0.1:{}/shop", server.port);
    DatabaseSpec { table: Some(table.to_owned()), ..spec(url) }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The rows of a query over a source called `t`.
pub async fn rows(source: &SourceSpec, sql: &str) -> data::Result<RecordBatch> {
    let engine = Engine::new(&EngineSpec::default())?;
    engine.add_source("t", source, std::path::Path::new(".")).await?;
    let rows = engine.query(sql).await?;
    let schema = Arc::clone(&rows.schema);
    Ok(concat_batches(&schema, &rows.collect().await?).unwrap())
}

/// Each row's value, none in every seventh row.
pub fn column<A: FromIterator<Option<T>>, T>(value: impl Fn(i64) -> T) -> A {
    (1..=ROWS).map(|n| (n % 7 != 0).then(|| value(n))).collect()
}

/// The columns of the batch are these, by name and value by value.
pub fn check(found: &RecordBatch, expected: Vec<(&str, ArrayRef)>) {
    let names: Vec<&str> = found.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for ((name, expected), found) in expected.iter().zip(found.columns()) {
        assert_eq!(found.data_type(), expected.data_type(), "{name}");
        assert_eq!(found.len(), expected.len(), "{name}");
        for row in 0..found.len() {
            let (found, expected) = (found.slice(row, 1), expected.slice(row, 1));
            assert_eq!(&found, &expected, "{name}, row {row}");
        }
    }
}

const POSTGRES: &str = "
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE every AS SELECT n AS id,
  n % 2 = 0 AS b, (n - 5000)::int2 AS i2, (n * 1000 - 7)::int4 AS i4, n::int8 * 1234567890123 AS i8,
  (n / 7.0::float8)::float4 AS f4, n / 7.0::float8 AS f8, ((n - 5000) / 16.0)::numeric(20, 4) AS fixed,
  (n - 5000)::numeric / 8 AS free, 'Zeile ' || n || ' 数据 🦀' AS txt, ('v' || n)::varchar(20) AS vc, ('c' || n % 10)::char(4) AS ch,
  '2000-01-01'::date + n AS d, '2000-01-01'::timestamp + n * interval '1 day' + n * interval '1 microsecond' AS ts,
  '2000-01-01 00:00:00+00'::timestamptz + n * interval '1 day' AS tz, '00:00'::time + (n * interval '1 second') AS tm,
  decode(lpad(to_hex(n), 8, '0'), 'hex') AS raw, json_build_object('n', n)::jsonb AS js,
  lpad(to_hex(n), 32, '0')::uuid AS id2, (CASE WHEN n % 2 = 0 THEN 'low' ELSE 'high' END)::mood AS m, ARRAY[n, -n] AS list
FROM generate_series(1, 10000) AS n;
UPDATE every SET b = NULL, i2 = NULL, i4 = NULL, i8 = NULL, f4 = NULL, f8 = NULL, fixed = NULL, free = NULL, txt = NULL,
  vc = NULL, ch = NULL, d = NULL, ts = NULL, tz = NULL, tm = NULL, raw = NULL, js = NULL, id2 = NULL, m = NULL, list = NULL
WHERE n_is_missing(id);
";

#[test]
fn postgres_gives_every_type_value_by_value() {
    let Some(server) = Database::postgres() else { return };
    server.sql("shop", &POSTGRES.replace("n_is_missing(id)", "id % 7 = 0"));
    let source = SourceSpec::Postgres(postgres(&server, "every"));
    let sql = "SELECT *, CAST(fixed AS VARCHAR) AS exact FROM t ORDER BY id";
    let found = runtime().block_on(rows(&source, sql)).unwrap();
    let n = |n: i64| n;
    check(
        &found,
        vec![
            ("id", Arc::new((1..=ROWS).map(Some).collect::<Int64Array>()) as ArrayRef),
            ("b", Arc::new(column::<BooleanArray, _>(|n| n % 2 == 0))),
            ("i2", Arc::new(column::<Int64Array, _>(|n| n - 5000))),
            ("i4", Arc::new(column::<Int64Array, _>(|n| n * 1000 - 7))),
            ("i8", Arc::new(column::<Int64Array, _>(|n| n * 1_234_567_890_123))),
            ("f4", Arc::new(column::<Float32Array, _>(|n| (n as f64 / 7.0) as f32))),
            ("f8", Arc::new(column::<Float64Array, _>(|n| n as f64 / 7.0))),
            ("fixed", Arc::new(column::<Float64Array, _>(|n| (n - 5000) as f64 / 16.0))),
            ("free", Arc::new(column::<Float64Array, _>(|n| (n - 5000) as f64 / 8.0))),
            ("txt", Arc::new(column::<StringArray, _>(|n| format!("Zeile {n} 数据 🦀")))),
            ("vc", Arc::new(column::<StringArray, _>(|n| format!("v{n}")))),
            ("ch", Arc::new(column::<StringArray, _>(|n| format!("c{}  ", n % 10)))),
            ("d", Arc::new(column::<Date32Array, _>(|n| (DAY + n) as i32))),
            ("ts", Arc::new(column::<TimestampMicrosecondArray, _>(|n| (DAY + n) * MICROS_PER_DAY + n))),
            ("tz", Arc::new(column::<TimestampMicrosecondArray, _>(|n| (DAY + n) * MICROS_PER_DAY))),
            ("tm", Arc::new(column::<Time64MicrosecondArray, _>(|n| n * 1_000_000 % MICROS_PER_DAY))),
            ("raw", Arc::new(column::<BinaryArray, _>(|n| (n as u32).to_be_bytes()))),
            ("js", Arc::new(column::<StringArray, _>(|n| format!("{{\"n\": {n}}}")))),
            ("id2", Arc::new(column::<StringArray, _>(|n| uuid(&format!("{n:032x}"))))),
            ("m", Arc::new(column::<StringArray, _>(|n| if n % 2 == 0 { "low" } else { "high" }.to_owned()))),
            ("list", Arc::new(column::<StringArray, _>(|n| format!("{{{n},-{n}}}")))),
            ("exact", Arc::new(column::<StringArray, _>(|x| exact(n(x) - 5000)))),
        ],
    );
}

/// A sixteenth of a whole number, with four digits behind the point.
fn exact(sixteenths: i64) -> String {
    let digits = (sixteenths * 625).unsigned_abs();
    format!("{}{}.{:04}", if sixteenths < 0 { "-" } else { "" }, digits / 10_000, digits % 10_000)
}

fn uuid(hex: &str) -> String {
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

const MARIADB: &str = "
CREATE TABLE every (id int, b boolean, i2 smallint, i4 int unsigned, i8 bigint, u8 bigint unsigned, f4 float, f8 double, fixed decimal(20, 4), txt text,
  vc varchar(20), d date, ts datetime(6), tz timestamp NULL, tm time, raw varbinary(8), js json, m enum('low', 'high'), bits bit(12),
  y year);
SET time_zone = '+00:00';
INSERT INTO every SELECT seq, seq % 2 = 0, seq - 5000, seq * 400000, seq * 1234567890123, 18446744073709551615 - seq, seq / 7e0, seq / 7e0,
  (seq - 5000) / 16, concat('Zeile ', seq, ' 数据 🦀'), concat('v', seq), date_add('2000-01-01', INTERVAL seq DAY),
  date_add(date_add('2000-01-01', INTERVAL seq DAY), INTERVAL seq MICROSECOND), date_add('2000-01-01', INTERVAL seq DAY),
  sec_to_time(seq * 100 - 5000), unhex(lpad(hex(seq), 8, '0')), json_object('n', seq), if(seq % 2 = 0, 'low', 'high'), seq % 4096,
  1990 + seq % 50
FROM (SELECT CAST(seq AS signed) AS seq FROM seq_1_to_10000) AS numbers;
UPDATE every SET b = NULL, i2 = NULL, i4 = NULL, i8 = NULL, u8 = NULL, f4 = NULL, f8 = NULL, fixed = NULL, txt = NULL, vc = NULL, d = NULL,
  ts = NULL, tz = NULL, tm = NULL, raw = NULL, js = NULL, m = NULL, bits = NULL, y = NULL WHERE id % 7 = 0;
";

#[test]
fn mariadb_gives_every_type_value_by_value() {
    let Some(server) = Database::mariadb() else { return };
    server.sql("shop", MARIADB);
    let source = SourceSpec::Mysql(mysql(&server, "every"));
    let sql = "SELECT *, CAST(fixed AS VARCHAR) AS exact FROM t ORDER BY id";
    let found = runtime().block_on(rows(&source, sql)).unwrap();
    let time = |n: i64| {
        let seconds = n * 100 - 5000;
        let (sign, size) = (if seconds < 0 { "-" } else { "" }, seconds.abs());
        format!("{sign}{:02}:{:02}:{:02}", size / 3600, size / 60 % 60, size % 60)
    };
    check(
        &found,
        vec![
            ("id", Arc::new((1..=ROWS).map(Some).collect::<Int64Array>()) as ArrayRef),
            ("b", Arc::new(column::<Int64Array, _>(|n| i64::from(n % 2 == 0)))),
            ("i2", Arc::new(column::<Int64Array, _>(|n| n - 5000))),
            ("i4", Arc::new(column::<Int64Array, _>(|n| n * 400_000))),
            ("i8", Arc::new(column::<Int64Array, _>(|n| n * 1_234_567_890_123))),
            ("u8", Arc::new(column::<UInt64Array, _>(|n| u64::MAX - n as u64))),
            ("f4", Arc::new(column::<Float32Array, _>(|n| (n as f64 / 7.0) as f32))),
            ("f8", Arc::new(column::<Float64Array, _>(|n| n as f64 / 7.0))),
            ("fixed", Arc::new(column::<Float64Array, _>(|n| (n - 5000) as f64 / 16.0))),
            ("txt", Arc::new(column::<StringArray, _>(|n| format!("Zeile {n} 数据 🦀")))),
            ("vc", Arc::new(column::<StringArray, _>(|n| format!("v{n}")))),
            ("d", Arc::new(column::<Date32Array, _>(|n| (DAY + n) as i32))),
            ("ts", Arc::new(column::<TimestampMicrosecondArray, _>(|n| (DAY + n) * MICROS_PER_DAY + n))),
            ("tz", Arc::new(column::<TimestampMicrosecondArray, _>(|n| (DAY + n) * MICROS_PER_DAY))),
            ("tm", Arc::new(column::<StringArray, _>(time))),
            ("raw", Arc::new(column::<BinaryArray, _>(|n| (n as u32).to_be_bytes()))),
            ("js", Arc::new(column::<StringArray, _>(|n| format!("{{\"n\": {n}}}")))),
            ("m", Arc::new(column::<StringArray, _>(|n| if n % 2 == 0 { "low" } else { "high" }.to_owned()))),
            ("bits", Arc::new(column::<UInt64Array, _>(|n| (n % 4096) as u64))),
            ("y", Arc::new(column::<Int64Array, _>(|n| 1990 + n % 50))),
            ("exact", Arc::new(column::<StringArray, _>(|n| exact(n - 5000)))),
        ],
    );
}

/// Conditions, columns and limits are asked of the server, with values that are bound.
#[test]
fn what_a_query_does_not_need_stays_in_the_database() {
    let table = "CREATE TABLE people (id int, name text, born date, seen timestamp, rest text);
        INSERT INTO people VALUES (1, 'O''Neil', '1990-02-03', '2026-01-01 10:00:00', 'x'), (2, 'Li', '1991-02-03',
        '2026-01-01 11:00:00', 'y'), (3, NULL, NULL, NULL, 'z');";
    let servers = [(Database::postgres(), '"', ""), (Database::mariadb(), '`', "SET time_zone = '+00:00';")];
    for (server, quote, before) in servers {
        let Some(server) = server else { continue };
        server.sql("shop", &format!("{before} {table}"));
        let is_postgres = quote == '"';
        let source = if is_postgres {
            SourceSpec::Postgres(postgres(&server, "people"))
        } else {
            SourceSpec::Mysql(mysql(&server, "people"))
        };
        let ids = |sql: &str| {
            let found = runtime().block_on(rows(&source, &format!("SELECT id FROM t WHERE {sql}"))).unwrap();
            found.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        };
        assert_eq!(ids("name = 'O''Neil'"), [1]);
        assert_eq!(ids("name IN ('Li', 'x'' OR 1 = 1 --')"), [2]);
        assert_eq!(ids("name IS NULL"), [3]);
        assert_eq!(ids("id >= 2 AND id < 3"), [2]);
        assert_eq!(ids("born > DATE '1990-02-03'"), [2]);
        assert_eq!(ids("seen <= TIMESTAMP '2026-01-01 10:00:00'"), [1]);
        let log = server.log();
        let name = |name: &str| format!("{quote}{name}{quote}");
        let place = if is_postgres { "$1::text" } else { "?" };
        let (id, person) = (name("id"), name("name"));
        let expected = format!("SELECT {id}, {person} FROM {} WHERE {person} = {place}", name("people"));
        assert!(log.contains(&expected), "no {expected} in {log}");
        let limited = runtime().block_on(rows(&source, "SELECT rest FROM t LIMIT 2")).unwrap();
        assert_eq!(limited.num_rows(), 2);
        assert!(server.log().contains(&format!("SELECT {} FROM {} LIMIT 2", name("rest"), name("people"))));
        let counted = runtime().block_on(rows(&source, "SELECT count(*) FROM t")).unwrap();
        assert_eq!(counted.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 3);
    }
}

#[test]
fn faults_of_postgres_are_named() {
    let Some(server) = Database::postgres() else { return };
    server.sql(
        "shop",
        "CREATE TABLE orders (id int, price numeric); INSERT INTO orders VALUES (1, 'NaN'); CREATE SEQUENCE s;",
    );
    let good = postgres(&server, "orders");
    let query = |sql: &str| DatabaseSpec { table: None, query: Some(sql.to_owned()), ..good.clone() };
    let check = |spec: DatabaseSpec, expected: &[&str]| {
        let error = runtime().block_on(rows(&SourceSpec::Postgres(spec), "SELECT * FROM t")).unwrap_err();
        let text = error.to_string();
        expected.iter().for_each(|part| assert!(text.contains(part), "no {part:?} in: {text}"));
        assert!(!text.contains(PASSWORD) && !text.contains("bug"), "{text}");
    };
    let url = |text: &str| {
        serde_json::from_value::<DatabaseSpec>(serde_json::json!({"url": text, "table": "orders"})).unwrap()
    };
    check(postgres(&server, "oders"), &["\"oders\" does not exist", "did you mean \"orders\"?"]);
    check(
        query("SELECT prise FROM orders"),
        &["column \"prise\" does not exist", "orders.price", "line 1, character 8"],
    );
    check(query("SELEC 1"), &["syntax error at or near \"1\", in line 1, character 7 of the query"]);
    check(query("SELECT nextval('s')"), &["read-only transaction"]);
    check(DatabaseSpec { timeout_s: 1, ..query("SELECT pg_sleep(20)") }, &["sent nothing for 1 seconds", "timeout_s"]);
    let at = format!("127.0.0.1:{}", server.port);
    check(url(&format!("postgres://reader:wrong@{at}/shop")), &["password authentication failed", &at]);
    check(
        DatabaseSpec { password: good.password.clone(), ..url(&format!("postgres://reader@{at}/shoop")) },
        &["database \"shoop\" does not exist"],
    );
    check(url(&format!("postgres://reader@127.0.0.1:{}/shop", free_port())), &["postgres at 127.0.0.1", "refused"]);
    check(url("http://127.0.0.1/shop"), &["is no address of PostgreSQL", "postgres://user@host"]);
    check(DatabaseSpec { query: Some("SELECT 1".into()), ..good.clone() }, &["table and query"]);
    // Encrypted connections: trusted where the certificate is named, refused where it is not.
    let encrypted = |ca: Option<String>| DatabaseSpec { tls: data::Tls::On, ca, ..good.clone() };
    let certificate = server.folder.path().join("server.crt").display().to_string();
    let ids = runtime().block_on(rows(&SourceSpec::Postgres(encrypted(Some(certificate))), "SELECT id FROM t"));
    assert_eq!(ids.unwrap().num_rows(), 1);
    check(encrypted(None), &["postgres at 127.0.0.1"]);
}

#[test]
fn a_table_that_changes_and_a_server_that_dies_are_said() {
    let Some(mut server) = Database::postgres() else { return };
    server.sql("shop", "CREATE TABLE t1 (a int, b int); INSERT INTO t1 VALUES (1, 2);");
    let runtime = runtime();
    let engine = Engine::new(&EngineSpec::default()).unwrap();
    let here = std::path::Path::new(".");
    let many = "SELECT n AS a, repeat('x', 1000) AS b FROM generate_series(1, 3000000) AS n";
    let many = DatabaseSpec { table: None, query: Some(many.to_owned()), ..postgres(&server, "t1") };
    runtime.block_on(async {
        engine.add_source("t1", &SourceSpec::Postgres(postgres(&server, "t1")), here).await.unwrap();
        engine.add_source("many", &SourceSpec::Postgres(many), here).await.unwrap();
        server.sql("shop", "ALTER TABLE t1 ALTER b TYPE text;");
        // What is not read has not changed for anybody.
        assert_eq!(engine.query("SELECT a FROM t1").await.unwrap().collect().await.unwrap()[0].num_rows(), 1);
        let error = engine.query("SELECT b FROM t1").await.unwrap().collect().await.unwrap_err().to_string();
        assert!(error.contains("column \"b\" is no longer what it was"), "{error}");
        let mut rows = engine.query("SELECT * FROM many").await.unwrap();
        assert!(rows.batches.next().await.unwrap().unwrap().num_rows() > 0);
        server.kill();
        let mut rest = rows.batches;
        let error = loop {
            match rest.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.to_string(),
                None => panic!("all rows of a server that died"),
            }
        };
        assert!(error.contains("postgres at 127.0.0.1"), "{error}");
    });
}

/// The whole way from a database to a model, and no password in what is written or printed.
#[test]
fn a_model_is_trained_from_a_database() {
    let Some(server) = Database::postgres() else { return };
    let rows = "SELECT n, (n * 7919 % 2001) / 1000.0 - 1 AS x FROM generate_series(1, 400) AS n";
    server.sql(
        "shop",
        &format!("CREATE TABLE rows AS SELECT x, CASE WHEN x > 0 THEN 'up' ELSE 'down' END AS kind FROM ({rows}) AS r"),
    );
    let project = Project::new(&format!(
        "sources:\n  rows: {{ postgres: {{ url: \"postgres://reader@127.0.0.1:{}/shop\", password: \"${{SHOP_PASSWORD}}\", table: \
         rows }} }}\nmodels:\n  kind:\n    table: rows\n    target: kind\n    network: {{ dense: {{ hidden: [8] }} }}\n    train: {{ \
         epochs: 15, batch_size: 16 }}\n",
        server.port
    ));
    let run = |arguments: &[&str]| crate::support::finish(project.command(arguments).env("SHOP_PASSWORD", PASSWORD));
    let done = run(&["run", "--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let accuracy = done.json()["models"]["kind"]["metrics"]["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
    let shown = run(&["config"]);
    assert!(shown.stdout.contains("${SHOP_PASSWORD}") && !shown.stdout.contains(PASSWORD), "{}", shown.stdout);
    for entry in walk(project.folder.path()) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()), "{}", entry.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
