//! `POST /ingest/{source}`: rows are durable before the answer, a request is stored whole or not at all, kills lose nothing.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray};
use serde_json::{Value, json};

use crate::streams::{ALL, check_every_type, every_type, integers, kills, object, project, rows, some_moment};
use crate::support::{Project, Server, agent, read};

/// Two rows as pyarrow 26 writes them: `n` of 32 bits (1, -2) and `s` ("数据 🦀", none).
const ARROW_STREAM: &[u8] = include_bytes!("pyarrow.arrows");

fn post(server: &Server, path: &str, body: &[u8]) -> (u16, Value) {
    let (status, text) = read(agent().post(server.url(path)).send(body));
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[test]
fn every_type_comes_back_value_by_value() {
    let spec = json!({ "rows": { "columns": every_type() } });
    let project = project("ingest", &spec);
    let server = Server::of(&project);
    let lines = |range: std::ops::RangeInclusive<i64>| range.map(|n| format!("{}\n", object(n))).collect::<String>();
    for first in (1..=5_000).step_by(500) {
        let (status, reply) = post(&server, "/ingest/s", lines(first..=first + 499).as_bytes());
        assert_eq!((status, &reply["rows"]), (200, &json!(500)), "{reply}");
    }
    let array: Vec<Value> = (5_001..=10_000).map(object).collect();
    let (status, reply) = post(&server, "/ingest/s", json!(array).to_string().as_bytes());
    assert_eq!((status, &reply["rows"], &reply["kept_aside"]), (200, &json!(5_000), &json!(0)), "{reply}");
    check_every_type(&rows(&project, "ingest", &spec, ALL));
    let figures = server.get("/metrics").1;
    assert!(figures.contains("tidemill_ingest_rows_total{source=\"s\"} 10000"), "{figures}");
    assert!(server.get("/openapi.json").1.contains("/ingest/s"));
    assert_eq!(server.stop(), 0);
}

#[test]
fn arrow_streams_are_taken_too() {
    let spec = json!({});
    let project = project("ingest", &spec);
    let server = Server::of(&project);
    let (status, reply) = post(&server, "/ingest/s", ARROW_STREAM);
    assert_eq!((status, &reply["rows"]), (200, &json!(2)), "{reply}");
    let found = rows(&project, "ingest", &spec, "SELECT n, s FROM s ORDER BY _sequence");
    assert_eq!(integers(&found), [1, -2]);
    let texts = found.column(1).as_string::<i32>();
    assert!(texts.value(0) == "数据 🦀" && texts.is_null(1));
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_stored() {
    let spec = json!({ "rows": { "columns": { "id": "integer", "s": "text" } } });
    let project = project("ingest", &spec);
    let server = Server::of(&project);
    let check = |body: &str, expected: &str| {
        let (status, reply) = post(&server, "/ingest/s", body.as_bytes());
        let error = reply["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(expected), "{body}: {status} {reply}");
    };
    check("{\"id\":1}\n\n{\"id\":\"x\"}\n", "line 3: column \"id\": \"x\" where the column holds whole numbers");
    check("{\"id\":1}\n{\"di\":2}", "line 2: no column \"di\"; did you mean \"id\"?");
    check("{\"id\":1}\n{\"id\":", "line 2: no JSON object");
    check("[{\"id\":1},\n7]", "line 2: 7 where an object was expected");
    check("", "there is nothing in it");
    check(&format!("{{\"s\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000)), "line 1: no JSON object");
    assert_eq!(integers(&rows(&project, "ingest", &spec, "SELECT count(*) FROM s")), [0]);
    assert_eq!(post(&server, "/ingest/nobody", b"{}").0, 404);
    assert_eq!(server.get("/ingest/s").0, 405);
    assert_eq!(post(&server, "/api/v1/write", b"").0, 404, "no source takes samples");
}

#[test]
fn what_is_no_row_may_be_kept_aside() {
    let spec = json!({ "on_error": "keep_aside", "rows": { "columns": { "id": "integer" } } });
    let project = project("ingest", &spec);
    let server = Server::of(&project);
    let (status, reply) = post(&server, "/ingest/s", b"{\"id\":1}\nnonsense\n{\"id\":2}");
    assert_eq!((status, &reply["rows"], &reply["kept_aside"]), (200, &json!(2), &json!(1)), "{reply}");
    let poison = std::fs::read_to_string(project.path(".tidemill/streams/s/poison.jsonl")).unwrap();
    assert!(poison.contains("nonsense") && poison.contains("\"line\":2"), "{poison}");
}

#[test]
fn the_key_is_needed_and_a_second_server_is_told_who_writes() {
    let spec = json!({ "rows": { "columns": { "id": "integer" } } });
    let project = project("ingest", &spec);
    let key = "correct horse battery";
    let server = Server::start(project.command(&["serve", "--port", "0"]).env("TIDEMILL_KEY", key));
    let asked = |key: Option<&str>| {
        let mut request = agent().post(server.url("/ingest/s"));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        read(request.send("{\"id\":1}")).0
    };
    assert_eq!([asked(None), asked(Some("wrong")), asked(Some(key))], [401, 401, 200]);
    let done = project.run(&["collect", "s"]);
    assert!(done.code == 1 && done.stderr.contains("sent to tidemill serve"), "{}", done.stderr);
}

#[test]
fn streams_are_collected_beside_a_server_that_takes_rows() {
    let project =
        Project::new(&json!({ "sources": { "s": { "ingest": {} }, "h": { "host": { "every_s": 1 } } } }).to_string());
    let server = Server::of(&project);
    assert_eq!(post(&server, "/ingest/s", b"{\"id\":1}").0, 200);
    project.ok(&["collect", "--for", "1500ms"]);
    assert_eq!(post(&server, "/ingest/s", b"{\"id\":2}").0, 200);
    let joined = project.ok(&["sql", "SELECT count(DISTINCT s.id) AS n FROM s, h", "--json"]).json();
    assert_eq!(joined["rows"][0]["n"], "2");
}

/// Clients send rows all the time while the server is killed again and again: what was acknowledged is there, and once.
#[test]
fn kills_of_the_server_lose_no_acknowledged_row() {
    let spec = json!({ "rows": { "columns": { "id": "integer" }, "key": ["id"] } });
    let project = project("ingest", &spec);
    let acknowledged = Mutex::new(BTreeSet::new());
    let address = Mutex::new(String::new());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..3_i64 {
            let (acknowledged, address, is_over) = (&acknowledged, &address, &is_over);
            scope.spawn(move || {
                let agent = agent();
                let mut next = client;
                while !is_over.load(Ordering::Relaxed) {
                    let ids: Vec<i64> = (0..5).map(|step| next + 3 * step).collect();
                    let body: String = ids.iter().map(|id| format!("{{\"id\":{id}}}\n")).collect();
                    let url = format!("{}/ingest/s", address.lock().unwrap());
                    // One that was not answered is sent again, as a client would.
                    match agent.post(&url).send(&body) {
                        Ok(response) if response.status().as_u16() == 200 => {
                            acknowledged.lock().unwrap().extend(ids);
                            next += 15;
                        }
                        _ => some_moment(next as usize, 10),
                    }
                }
            });
        }
        for turn in 0..kills() {
            let server = Server::of(&project);
            *address.lock().unwrap() = server.address.clone();
            some_moment(turn, 400);
            drop(server); // at once, without a word
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let acknowledged: Vec<i64> = acknowledged.into_inner().unwrap().into_iter().collect();
    let found = integers(&rows(&project, "ingest", &spec, "SELECT id FROM s ORDER BY id"));
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "none is there twice");
    let there: BTreeSet<i64> = found.iter().copied().collect();
    let lost: Vec<&i64> = acknowledged.iter().filter(|id| !there.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged rows are lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() > kills(), "{} rows", acknowledged.len());
    println!("ingest: {} kills, {} rows acknowledged, {} there", kills(), acknowledged.len(), found.len());
}
