//! Logs as tables, and messages of syslog that are sent to us by real programs.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use serde_json::{Value, json};

use crate::servers::free_port;
use crate::streams::{Collector, integers, project, rows, wait_for};
use crate::support::{Project, finish, signal, skipped};

#[test]
fn a_log_becomes_a_project_and_a_table() {
    let project = Project::new("");
    let line = |n: usize| {
        let (level, message) = match n % 5 {
            0 => ("ERROR", format!("disk sd{} failed after {n} tries", ["a", "b", "c"][n % 3])),
            1 => ("WARN", format!("fan {} at {} rpm", n % 8, 900 + n)),
            _ => ("INFO", format!("job {n} done in {}ms", n * 7 % 900)),
        };
        let frame =
            if n.is_multiple_of(5) { "java.io.IOException: gone\n\tat c.Disk.read(Disk.java:12)\n" } else { "" };
        format!("2026-01-31 12:{:02}:{:02},{:03} {level} c.Store: {message}\n{frame}", n / 60 % 60, n % 60, n % 1000)
    };
    let text: String = (0..500).map(line).collect();
    project.write("app.log", text.as_bytes());
    project.ok(&["init", "--force", "--from", "app.log", "--target", "level"]);
    let written = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    for part in
        ["{logs: {path: app.log}}", "- line # holds what all other columns say", "- parameters # is a list of texts"]
    {
        assert!(written.contains(part), "{part}: {written}");
    }
    let shown = project.ok(&[
        "sql",
        "SELECT template_id, level, template, count(*) AS n, min(parameters[1]) AS first FROM app GROUP BY 1, 2, 3 ORDER BY 1",
        "--json",
    ]);
    let expected = json!([
        { "template_id": "1", "level": "error", "template": "disk <*> failed after <*> tries", "n": "100", "first": "sda" },
        { "template_id": "2", "level": "warning", "template": "fan <*> at <*> rpm", "n": "100", "first": "0" },
        { "template_id": "3", "level": "info", "template": "job <*> done in <*>ms", "n": "300", "first": "102" },
    ]);
    assert_eq!(shown.json()["rows"], expected);
    let trained = project.ok(&["run", "--set", "models.level.train.epochs=3", "--json"]);
    assert!(trained.stdout.contains("\"level\""), "{}", trained.stdout);
}

fn syslog(port: u16, more: Value) -> Value {
    let mut spec = json!({ "udp": format!("127.0.0.1:{port}"), "tcp": format!("127.0.0.1:{port}"),
        "rows": { "segment_age_ms_max": 200 } });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

/// A connection, as soon as somebody listens; then datagrams are read too.
#[allow(clippy::disallowed_methods, reason = "what another process does is no event of this one")]
fn connected(port: u16) -> TcpStream {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(60), "nobody listens: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn messages_of_logger_are_rows() {
    if Command::new("logger").arg("--version").output().is_err() {
        return skipped("there is no logger (Debian: bsdutils)");
    }
    let port = free_port();
    let spec = syslog(port, json!({}));
    let project = project("syslog", &spec);
    let collector = Collector::start(&project);
    drop(connected(port));
    let send = |arguments: &[&str]| {
        let port = port.to_string();
        let done = finish(Command::new("logger").args(["-n", "127.0.0.1", "-P", &port]).args(arguments));
        assert_eq!(done.code, 0, "{}", done.stderr);
    };
    let data = ["--sd-id", "disk@1", "--sd-param", "name=\"sd\\\"a\"", "--msgid", "ID7"];
    send(
        &[&["--udp", "--rfc5424", "-p", "local3.err", "-t", "store", "--id=4711"][..], &data, &["disk gone 磁盘"]]
            .concat(),
    );
    send(&["--tcp", "--rfc5424", "-p", "mail.notice", "-t", "post", "over tcp"]);
    send(&["--tcp", "--octet-count", "--rfc5424", "-p", "user.info", "-t", "count", "two\nlines"]);
    send(&["--udp", "--rfc3164", "-p", "auth.warning", "-t", "sshd", "--id=12", "old habits"]);
    send(&["--tcp", "--rfc3164", "-p", "daemon.debug", "-t", "old", "old habits by tcp"]);
    wait_for(&project, "syslog", &spec, 5);
    let counted = collector.stop();
    assert_eq!(
        (&counted["rows"], &counted["lost"], &counted["poison"]),
        (&json!(5), &json!(0), &json!(0)),
        "{counted}"
    );
    let sql = "SELECT *, extract(epoch FROM (_received - time)) AS age FROM s ORDER BY program";
    let found = rows(&project, "syslog", &spec, sql);
    let some = |texts: &[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(texts(&found, "program"), some(&["count", "old", "post", "sshd", "store"]));
    assert_eq!(texts(&found, "facility"), some(&["user", "daemon", "mail", "auth", "local3"]));
    assert_eq!(texts(&found, "severity"), some(&["info", "debug", "notice", "warning", "error"]));
    assert_eq!(texts(&found, "message")[1..], some(&["old habits by tcp", "over tcp", "old habits", "disk gone 磁盘"]));
    assert_eq!(texts(&found, "pid")[3..], some(&["12", "4711"]));
    assert_eq!(texts(&found, "message_id")[4].as_deref(), Some("ID7"));
    let data: Value = serde_json::from_str(texts(&found, "structured_data")[4].as_ref().unwrap()).unwrap();
    assert_eq!(data["disk@1"]["name"], "sd\"a");
    assert!(texts(&found, "host").iter().all(Option::is_some));
    let ages = found.column_by_name("age").unwrap();
    let ages = arrow::compute::cast(ages, &arrow::datatypes::DataType::Float64).unwrap();
    // RFC 3164 has whole seconds of a clock that hangs here.
    let of_5424 = [0, 2, 4].map(|row| ages.as_primitive::<arrow::datatypes::Float64Type>().value(row));
    assert!(of_5424.iter().all(|age| age.abs() < 30.0), "{of_5424:?}");
}

#[test]
fn what_was_read_from_connections_is_stored_when_the_collector_is_stopped() {
    const MESSAGES: usize = 60_000;
    let port = free_port();
    let rows_spec = json!({ "segment_age_ms_max": 100, "segment_bytes_max": 1 << 20 });
    let spec = syslog(port, json!({ "queue_bytes_max": 256 << 10, "rows": rows_spec }));
    let project = project("syslog", &spec);
    let collector = Collector::start(&project);
    std::thread::scope(|scope| {
        for part in 0..3 {
            let mut stream = connected(port);
            scope.spawn(move || {
                let mut text = Vec::new();
                for n in (0..MESSAGES).filter(|n| n % 3 == part) {
                    let message =
                        format!("<13>1 2026-01-31T12:00:00Z node{part} app {n} - - line {n} {}", "x".repeat(300));
                    match part {
                        0 => text.extend_from_slice(format!("{} {message}", message.len()).as_bytes()),
                        _ => text.extend_from_slice(format!("{message}\n").as_bytes()),
                    }
                }
                stream.write_all(&text).unwrap(); // it waits while we cannot store it
            });
        }
    });
    // All is with us or in the system's buffers now, which a stop may cut: what we read has to be there in one piece.
    wait_for(&project, "syslog", &spec, MESSAGES as i64);
    let counted = collector.stop();
    assert_eq!((&counted["rows"], &counted["lost"]), (&json!(MESSAGES), &json!(0)), "{counted}");
    let found = rows(&project, "syslog", &spec, "SELECT CAST(pid AS BIGINT) AS n FROM s ORDER BY n");
    assert_eq!(integers(&found), (0..MESSAGES as i64).collect::<Vec<_>>());
    let orders = rows(
        &project,
        "syslog",
        &spec,
        "SELECT count(*) FROM (SELECT CAST(pid AS BIGINT) AS n, \
        lag(CAST(pid AS BIGINT)) OVER (PARTITION BY host ORDER BY _sequence) AS before FROM s) WHERE n < before",
    );
    assert_eq!(integers(&orders), [0], "each connection in its order");
}

#[test]
#[cfg(target_os = "linux")]
fn datagrams_that_are_lost_are_counted() {
    const MESSAGES: usize = 5_000;
    let port = free_port();
    let spec = syslog(port, json!({}));
    let project = project("syslog", &spec);
    let collector = Collector::start(&project);
    drop(connected(port));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    signal(collector.id(), "STOP");
    for n in 0..MESSAGES {
        let message = format!("<13>1 2026-01-31T12:00:00Z node app {n} - - {}", "x".repeat(500));
        socket.send_to(message.as_bytes(), ("127.0.0.1", port)).unwrap();
    }
    signal(collector.id(), "CONT");
    wait_for(&project, "syslog", &spec, 1);
    let counted = collector.stop();
    let (stored, lost) = (counted["rows"].as_u64().unwrap(), counted["lost"].as_u64().unwrap());
    assert!(lost > 0 && stored > 0 && stored + lost == MESSAGES as u64, "{counted}");
}

#[test]
fn garbage_is_kept_as_messages_and_wrong_settings_are_told() {
    let port = free_port();
    let spec = syslog(port, json!({ "message_bytes_max": 1_000 }));
    let gathered = project("syslog", &spec);
    let collector = Collector::start(&gathered);
    let mut stream = connected(port);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n\xff\xfe\x00\n<13>ok\n<13>").unwrap();
    stream.write_all(&vec![b'y'; 3_000_000]).unwrap();
    stream.write_all(b"\n<13>last: cut off").unwrap();
    drop(stream);
    wait_for(&gathered, "syslog", &spec, 5);
    collector.stop();
    let found = rows(
        &gathered,
        "syslog",
        &spec,
        "SELECT message, program, octet_length(message) AS n FROM s ORDER BY _sequence",
    );
    let messages = texts(&found, "message");
    assert_eq!((messages[0].as_deref(), messages[2].as_deref()), (Some("GET / HTTP/1.1"), Some("ok")));
    assert_eq!((messages[3].as_ref().unwrap().len(), messages[4].as_deref()), (996, Some("cut off")));
    let check = |spec: Value, expected: &str| {
        let done = project("syslog", &spec).run(&["collect", "--until-idle", "200ms"]);
        assert!(done.code != 0 && done.stderr.contains(expected), "{expected}: {}", done.stderr);
    };
    check(json!({}), "say where to listen");
    check(json!({ "udp": "nowhere" }), "cannot listen on udp nowhere");
    check(json!({ "tcp": "127.0.0.1:5514", "utc_offset": "CET" }), "utc_offset: \"CET\" is no offset");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    check(json!({ "tcp": taken.local_addr().unwrap().to_string() }), "another program listens there");
}
