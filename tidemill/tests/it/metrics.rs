//! A real Prometheus: it sends what it sees to a server of ours, and answers range queries.

use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use data::{Engine, EngineSpec, PrometheusSpec, SourceSpec};
use serde_json::{Value, json};

use crate::servers::{Broker, free_port};
use crate::streams::{integers, project, rows};
use crate::support::{Server, agent, read};

const KEY: &str = "correct horse battery";

fn range(port: u16, change: &dyn Fn(&mut Value)) -> data::Result<arrow::record_batch::RecordBatch> {
    let mut spec =
        json!({ "url": format!("http://127.0.0.1:{port}"), "query": "up", "last_s": 60, "step_s": 1, "timeout_s": 5 });
    change(&mut spec);
    let spec: PrometheusSpec = serde_json::from_value(spec).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::new(&EngineSpec::default())?;
        engine.add_source("p", &SourceSpec::Prometheus(spec), std::path::Path::new(".")).await?;
        let rows = engine.query("SELECT * FROM p ORDER BY time").await?;
        let schema = rows.schema.clone();
        Ok(concat_batches(&schema, &rows.collect().await?).unwrap())
    })
}

/// Waits until a query of ours over what Prometheus sent counts so many rows.
#[allow(clippy::disallowed_methods, reason = "what another program sends is no event of this one")]
fn wait_for(count: impl Fn() -> i64, at_least: i64) {
    let begin = Instant::now();
    while count() < at_least {
        assert!(begin.elapsed() < Duration::from_secs(60), "{at_least} rows do not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A Prometheus that answers.
#[allow(clippy::disallowed_methods, reason = "when another program is ready is no event of this one")]
fn prometheus(send_to: &str) -> Option<Broker> {
    let server = Broker::prometheus(send_to, KEY)?;
    let begin = Instant::now();
    while read(agent().get(format!("http://127.0.0.1:{}/-/ready", server.port)).call()).0 != 200 {
        assert!(begin.elapsed() < Duration::from_secs(60), "Prometheus is not ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    Some(server)
}

#[test]
fn samples_come_by_remote_write_and_by_range_queries_and_are_the_same() {
    let spec = json!({ "labels": ["instance", "job"], "metrics": ["up", "scrape_", "prometheus_build_info"] });
    let project = project("prometheus_write", &spec);
    let server = Server::start(project.command(&["serve", "--port", "0"]).env("TIDEMILL_KEY", KEY));
    let Some(prometheus) = prometheus(&server.url("/api/v1/write")) else { return };
    let count =
        || integers(&rows(&project, "prometheus_write", &spec, "SELECT count(*) FROM s WHERE metric = 'up'"))[0];
    wait_for(count, 5);
    let sql = "SELECT time, value, instance, job, labels FROM s WHERE metric = 'up' ORDER BY time";
    let sent = rows(&project, "prometheus_write", &spec, sql);
    assert!(sent.column(1).as_primitive::<Float64Type>().values().iter().all(|value| *value == 1.0));
    let text = |column: usize, row: usize| sent.column(column).as_string::<i32>().value(row).to_owned();
    assert_eq!(text(2, 0), format!("localhost:{}", prometheus.port));
    assert_eq!((text(3, 0), text(4, 0)), ("self".to_owned(), "{}".to_owned()));
    let info = rows(
        &project,
        "prometheus_write",
        &spec,
        "SELECT labels FROM s WHERE metric = 'prometheus_build_info' LIMIT 1",
    );
    let labels: Value = serde_json::from_str(info.column(0).as_string::<i32>().value(0)).unwrap();
    assert!(labels["version"].is_string() && labels.get("instance").is_none(), "{labels}");
    let others = "SELECT count(*) FROM s WHERE metric NOT LIKE 'up%' AND metric NOT LIKE 'scrape_%' AND metric <> 'prometheus_build_info'";
    assert_eq!(integers(&rows(&project, "prometheus_write", &spec, others)), [0], "only what was asked for");
    // The samples themselves, as the server's own query gives them.
    let times: Vec<i64> = sent.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
    let url = format!("http://127.0.0.1:{}/api/v1/query?query=up%5B5m%5D", prometheus.port);
    let answer: Value = serde_json::from_str(&read(agent().get(&url).call()).1).unwrap();
    let own = answer["data"]["result"][0]["values"].as_array().unwrap();
    let own: Vec<i64> = own.iter().map(|pair| (pair[0].as_f64().unwrap() * 1e6).round() as i64).collect();
    assert!(times.iter().all(|time| own.contains(time)), "{times:?} are not among {own:?}");
    let found = range(prometheus.port, &|_| ()).unwrap();
    let names: Vec<&str> = found.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["time", "metric", "instance", "job", "value"]);
    assert!(found.num_rows() >= 5, "{} rows", found.num_rows());
    assert_eq!(found.column(3).as_string::<i32>().value(0), "self");
}

#[test]
fn long_ranges_are_asked_for_in_pieces() {
    let Some(prometheus) = prometheus("http://127.0.0.1:9/none") else { return };
    let points = 25_001;
    let found = range(prometheus.port, &|spec| {
        spec["query"] = "vector(time()) * 2".into();
        (spec["last_s"], spec["end"]) = (json!(25_000), json!("2026-01-31 12:00:00"));
        spec["labels"] = json!(["none"]);
    });
    let found = found.unwrap();
    assert_eq!(found.num_rows(), points);
    let times = found.column(0).as_primitive::<TimestampMicrosecondType>();
    let values = found.column(3).as_primitive::<Float64Type>();
    let end = chrono::DateTime::parse_from_rfc3339("2026-01-31T12:00:00Z").unwrap().timestamp();
    for row in 0..points {
        let second = end - 25_000 + row as i64;
        assert_eq!((times.value(row), values.value(row)), (second * 1_000_000, second as f64 * 2.0), "row {row}");
    }
    assert!(found.column(1).null_count() == points && found.column(2).null_count() == points);
}

#[test]
fn faults_of_prometheus_are_told_in_words() {
    let Some(prometheus) = prometheus("http://127.0.0.1:9/none") else { return };
    let check = |port: u16, change: &dyn Fn(&mut Value), expected: &str| {
        let error = range(port, change).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(prometheus.port, &|spec| spec["query"] = "rate(up".into(), "query: ");
    check(prometheus.port, &|spec| spec["query"] = "none_of_that".into(), "the query gives no values");
    check(prometheus.port, &|spec| spec["last_s"] = Value::Null, "either start or last_s");
    check(free_port(), &|_| (), "cannot be reached");
    let elsewhere = |spec: &mut Value| spec["url"] = format!("http://127.0.0.1:{}/elsewhere", prometheus.port).into();
    check(prometheus.port, &elsewhere, "nothing of Prometheus");
}
