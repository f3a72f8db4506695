//! Segments, columns, keys and lateness, without a server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use super::decode::{Body, Message};
use super::figures::Figures;
use super::writer::Writer;
use super::*;
use crate::source::testing::lines;
use crate::spec::{IngestSpec, UnknownKeys};
use crate::{Engine, EngineSpec, Error, ErrorKind, Result};

fn message(offset: impl ToString, text: impl Into<Vec<u8>>) -> Message {
    Message { offset: offset.to_string(), body: Body::Bytes(text.into()) }
}

fn declared(columns: &[(&str, ColumnType)]) -> StreamSpec {
    let columns: BTreeMap<String, ColumnType> =
        columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    StreamSpec { columns, ..StreamSpec::default() }
}

fn source(rows: &StreamSpec) -> SourceSpec {
    SourceSpec::Ingest(IngestSpec { rows: rows.clone(), ..IngestSpec::default() })
}

/// Opens, takes the messages, and cuts.
fn store(streams: &Path, spec: &StreamSpec, messages: Vec<Message>) -> Result<Collected> {
    let figures = Arc::new(Figures::default());
    let mut writer = Writer::open(&streams.join("s"), spec, None, Arc::clone(&figures))?;
    writer.take(messages)?;
    writer.cut()?;
    writer.tidy()?;
    Ok(figures.read())
}

fn rows(streams: &Path, spec: &StreamSpec, sql: &str) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::new(&EngineSpec::default())?;
        engine.add_stream("s", &source(spec), &streams.join("s")).await?;
        Ok(lines(&engine.query(sql).await?.collect().await?))
    })
}

#[test]
fn rows_are_there_once_they_are_cut_and_go_on_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let spec = declared(&[("a", ColumnType::Integer), ("b", ColumnType::Text)]);
    let error = rows(folder.path(), &StreamSpec::default(), "SELECT * FROM s").unwrap_err();
    assert!(error.to_string().contains("there are no rows yet"), "{error}");
    assert_eq!(rows(folder.path(), &spec, "SELECT a, b FROM s").unwrap(), [""; 0]);
    store(folder.path(), &spec, vec![message("1-0", "{\"a\":1,\"b\":\"数据 🦀\"}\n{\"a\":null}")]).unwrap();
    store(folder.path(), &spec, vec![message("2-0", "[{\"b\":\"x\"}]")]).unwrap();
    let found = rows(folder.path(), &spec, "SELECT a, b, _offset, _sequence FROM s ORDER BY _sequence").unwrap();
    assert_eq!(found, ["1|数据 🦀|1-0|1", "||1-0/1|2", "|x|2-0|3"]);
    let whole = rows(folder.path(), &spec, "SELECT * FROM s").unwrap();
    assert_eq!(whole.len(), 3, "also without a plan");
}

#[test]
fn columns_are_found_once_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let spec = StreamSpec::default();
    let first = "{\"t\":\"2026-01-31T10:00:00Z\",\"n\":1.5,\"i\":2,\"o\":{\"x\":[1]},\"s\":\"007\"}\nnonsense";
    let counted = store(folder.path(), &spec, vec![message(1, first)]).unwrap();
    assert_eq!((counted.rows, counted.poison), (1, 1));
    let second = "{\"i\":\"x\"}\n{\"other\":1}\n{\"n\":3}";
    let counted = store(folder.path(), &spec, vec![message(2, second)]).unwrap();
    assert_eq!((counted.rows, counted.poison), (1, 2));
    let found = rows(folder.path(), &spec, "SELECT t, n, i, o, s FROM s ORDER BY _sequence").unwrap();
    assert_eq!(found, ["2026-01-31T10:00:00|1.5|2|{\"x\":[1]}|007", "|3.0|||"]);
    let poison = std::fs::read_to_string(folder.path().join("s/poison.jsonl")).unwrap();
    let reasons: Vec<String> = poison
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let bad: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{}:{} {} {}", bad["offset"].as_str().unwrap(), bad["line"], bad["reason"], bad["message"])
        })
        .collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].starts_with("1:2 \"no JSON object"), "{reasons:?}");
    assert!(reasons[1].contains("column \\\"i\\\": \\\"x\\\" where the column holds whole numbers"), "{reasons:?}");
    assert!(reasons[2].contains("no column \\\"other\\\"") && reasons[2].contains("{\\\"other\\\":1}"), "{reasons:?}");
}

#[test]
fn columns_may_be_added_but_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let one = declared(&[("a", ColumnType::Integer)]);
    store(folder.path(), &one, vec![message(1, "{\"a\":1}")]).unwrap();
    let two = declared(&[("a", ColumnType::Integer), ("A", ColumnType::Number)]);
    store(folder.path(), &two, vec![message(2, "{\"a\":2,\"A\":0.5}")]).unwrap();
    assert_eq!(rows(folder.path(), &two, "SELECT a, \"A\" FROM s ORDER BY a").unwrap(), ["1|", "2|0.5"]);
    let check = |spec: &StreamSpec, expected: &str| {
        for error in
            [store(folder.path(), spec, Vec::new()).unwrap_err(), rows(folder.path(), spec, "SELECT 1").unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.to_string().contains(expected), "{error}");
        }
    };
    check(
        &declared(&[("a", ColumnType::Text), ("A", ColumnType::Number)]),
        "column \"a\" holds whole numbers, not text",
    );
    check(&one, "column \"A\" is no longer declared");
}

#[test]
fn of_rows_with_one_key_the_last_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let columns = declared(&[("id", ColumnType::Integer), ("v", ColumnType::Text)]);
    let spec = StreamSpec { key: vec!["id".to_owned()], ..columns };
    let lines = "{\"id\":1,\"v\":\"old\"}\n{\"id\":2,\"v\":\"b\"}\n{\"v\":\"no key\"}";
    let counted = store(folder.path(), &spec, vec![message(1, lines)]).unwrap();
    assert_eq!((counted.rows, counted.poison), (2, 1));
    store(folder.path(), &spec, vec![message(2, "{\"id\":1,\"v\":\"new\"}")]).unwrap();
    assert_eq!(rows(folder.path(), &spec, "SELECT id, v FROM s ORDER BY id").unwrap(), ["1|new", "2|b"]);
    assert_eq!(
        rows(folder.path(), &spec, "SELECT count(*) FROM s WHERE v = 'old'").unwrap(),
        ["0"],
        "not by a filter first"
    );
    let again = StreamSpec { key: vec!["_offset".to_owned()], ..spec };
    store(folder.path(), &again, vec![message(2, "{\"id\":1,\"v\":\"newest\"}")]).unwrap();
    let found = rows(folder.path(), &again, "SELECT id, v FROM s ORDER BY _offset").unwrap();
    assert_eq!(found, ["1|old", "2|b", "1|newest"], "by its place in the stream");
    let unknown = StreamSpec { key: vec!["ID".to_owned()], ..again };
    let error = store(folder.path(), &unknown, Vec::new()).unwrap_err();
    assert!(error.to_string().contains("key: no column \"ID\"; did you mean \"id\"?"), "{error}");
}

#[test]
fn late_rows_are_marked_and_a_clock_ahead_makes_no_others_late() {
    let folder = tempfile::tempdir().unwrap();
    let spec = StreamSpec {
        event_time: Some("at".to_owned()),
        lateness_s: 60,
        ..declared(&[("at", ColumnType::Timestamp), ("n", ColumnType::Integer)])
    };
    let row = |n: u32, at: &str| format!("{{\"at\":\"{at}\",\"n\":{n}}}\n");
    let text = [
        row(1, "2026-01-31T12:00:00Z"),
        row(2, "2026-01-31T11:59:00Z"),
        row(3, "2026-01-31T11:58:59Z"),
        row(4, "2999-01-01T00:00:00Z"),
        row(5, "2026-01-31T12:10:00Z"),
        "{\"n\":6}".to_owned(),
    ];
    let counted = store(folder.path(), &spec, vec![message(1, text.concat())]).unwrap();
    assert_eq!((counted.rows, counted.late, counted.ahead), (6, 1, 1));
    // The latest event is known after a restart too.
    store(folder.path(), &spec, vec![message(2, row(7, "2026-01-31T12:08:00Z") + &row(8, "2026-01-31T12:09:00Z"))])
        .unwrap();
    let found = rows(folder.path(), &spec, "SELECT n, _late FROM s ORDER BY n").unwrap();
    assert_eq!(found, ["1|false", "2|false", "3|true", "4|false", "5|false", "6|", "7|true", "8|false"]);
}

#[test]
fn small_segments_are_joined_and_old_ones_removed() {
    let folder = tempfile::tempdir().unwrap();
    let spec = StreamSpec { segment_rows_max: 10_000, ..declared(&[("n", ColumnType::Integer)]) };
    let figures = Arc::new(Figures::default());
    let mut writer = Writer::open(&folder.path().join("s"), &spec, None, figures).unwrap();
    for n in 0..100 {
        writer.take(vec![message(n, format!("{{\"n\":{n}}}"))]).unwrap();
        writer.cut().unwrap();
        writer.tidy().unwrap();
        let live = list(&folder.path().join("s")).unwrap().live;
        assert!(live.len() <= 32, "{} files", live.len());
        assert_eq!((live[0].first, live[live.len() - 1].last), (1, n + 1));
        assert!(live.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
    }
    drop(writer);
    let found = rows(folder.path(), &spec, "SELECT count(*), sum(n), min(_sequence), max(_sequence) FROM s").unwrap();
    assert_eq!(found, ["100|4950|1|100"]);
    let little = StreamSpec { retention_bytes_max: Some(1), ..spec };
    let counted = store(folder.path(), &little, vec![message(100, "{\"n\":100}")]).unwrap();
    assert_eq!(counted.removed, 100);
    assert_eq!(rows(folder.path(), &little, "SELECT n, _sequence FROM s").unwrap(), ["100|101"]);
}

#[test]
fn what_a_crash_leaves_is_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let spec = declared(&[("n", ColumnType::Integer)]);
    store(folder.path(), &spec, vec![message(1, "{\"n\":1}")]).unwrap();
    let stream = folder.path().join("s");
    std::fs::write(stream.join(".segment-2.tmp"), "PAR1 and then nothing").unwrap();
    std::fs::write(stream.join("poison.jsonl"), "{\"cut").unwrap();
    assert_eq!(rows(folder.path(), &spec, "SELECT n FROM s").unwrap(), ["1"]);
    let counted = store(folder.path(), &spec, vec![message(2, "{\"n\":2}\n{\"n\":\"x\"}")]).unwrap();
    assert_eq!((counted.rows, counted.poison), (1, 1));
    assert!(!stream.join(".segment-2.tmp").exists());
    assert_eq!(rows(folder.path(), &spec, "SELECT n FROM s ORDER BY n").unwrap(), ["1", "2"]);
    let poison = std::fs::read_to_string(stream.join("poison.jsonl")).unwrap();
    let last = poison.lines().last().unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(last).is_ok(), "{last}");
}

#[test]
fn one_process_adds_rows() {
    let folder = tempfile::tempdir().unwrap();
    let spec = declared(&[("n", ColumnType::Integer)]);
    let writer = Writer::open(&folder.path().join("s"), &spec, None, Arc::default()).unwrap();
    let error = store(folder.path(), &spec, Vec::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.to_string().contains("this process already"), "{error}");
    drop(writer);
    store(folder.path(), &spec, Vec::new()).unwrap();
}

#[test]
fn poison_beyond_its_bound_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let spec = StreamSpec { poison_bytes_max: 400, ..declared(&[("n", ColumnType::Integer)]) };
    let counted = store(folder.path(), &spec, vec![message(1, "x\n".repeat(100))]).unwrap();
    assert_eq!(counted.poison, 100);
    assert!(counted.poison_dropped > 90 && counted.poison_dropped < 100, "{counted:?}");
    assert!(std::fs::metadata(folder.path().join("s/poison.jsonl")).unwrap().len() <= 400);
}

#[test]
fn unknown_keys_may_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let spec = StreamSpec { unknown_keys: UnknownKeys::Ignore, ..declared(&[("n", ColumnType::Integer)]) };
    let counted = store(folder.path(), &spec, vec![message(1, "{\"n\":1,\"m\":2}")]).unwrap();
    assert_eq!((counted.rows, counted.poison), (1, 0));
}

fn arrow_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn arrow_streams_are_rows_too() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::new(vec![Field::new("n", DataType::Int32, true), Field::new("s", DataType::Utf8, true)]);
    let numbers = arrow::array::Int32Array::from(vec![Some(1), None]);
    let texts = StringArray::from(vec![Some("a"), Some("🦀")]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(texts)]).unwrap();
    let bytes = arrow_stream(&batch);
    let spec = declared(&[("n", ColumnType::Integer), ("s", ColumnType::Text)]);
    let cut = bytes[..bytes.len() / 2].to_vec();
    let messages = vec![message(1, "{\"n\":0}"), message(2, bytes.clone()), message(3, cut), message(4, "{\"n\":9}")];
    let counted = store(folder.path(), &spec, messages).unwrap();
    assert_eq!((counted.rows, counted.poison), (4, 1));
    let found = rows(folder.path(), &spec, "SELECT n, s, _offset FROM s ORDER BY _sequence").unwrap();
    assert_eq!(found, ["0||1", "1|a|2", "|🦀|2/1", "9||4"]);
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 0xff;
        let folder = tempfile::tempdir().unwrap();
        store(folder.path(), &spec, vec![message(1, flipped)]).unwrap(); // whatever comes of it: no panic, no error
        if place > 300 {
            break;
        }
    }
    let wide = Schema::new(vec![Field::new("n", DataType::Utf8, true)]);
    let wide = RecordBatch::try_new(Arc::new(wide), vec![Arc::new(StringArray::from(vec!["x"]))]).unwrap();
    assert_eq!(store(folder.path(), &spec, vec![message(5, arrow_stream(&wide))]).unwrap().poison, 1);
}

#[test]
fn columns_of_arrow_streams_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![7]))]).unwrap();
    let batch = concat_batches(batch.schema_ref(), [&batch, &batch]).unwrap();
    store(folder.path(), &StreamSpec::default(), vec![message(1, arrow_stream(&batch))]).unwrap();
    assert_eq!(rows(folder.path(), &StreamSpec::default(), "SELECT n FROM s").unwrap(), ["7", "7"]);
}

fn pushed(ingest: &Ingest, bodies: &[(&str, Option<&str>)]) -> Vec<Result<Stored>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let push = |(body, request): &(&str, Option<&str>)| {
        runtime.block_on(ingest.push(body.as_bytes().to_vec(), request.map(str::to_owned)))
    };
    bodies.iter().map(push).collect()
}

#[test]
fn a_request_is_stored_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let spec = declared(&[("n", ColumnType::Integer)]);
    let ingest = Ingest::open("s", &source(&spec), &folder.path().join("s")).unwrap();
    let answers = pushed(
        &ingest,
        &[
            ("{\"n\":1}\n{\"n\":2}", Some("a")),
            ("{\"n\":3}\n\n{\"n\":\"x\"}", None),
            ("", None),
            ("{\"n\":1}\n{\"n\":2}", Some("a")),
        ],
    );
    assert_eq!(answers[0].as_ref().unwrap(), &Stored { rows: 2, kept_aside: 0 });
    let error = answers[1].as_ref().unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid, "{error}");
    assert!(error.to_string().starts_with("line 3: column \"n\": \"x\""), "{error}");
    assert!(matches!(answers[2], Err(Error::Invalid(_))));
    assert!(answers[3].is_ok());
    drop(ingest);
    let by_offset = StreamSpec { key: vec!["_offset".to_owned()], ..spec.clone() };
    assert_eq!(rows(folder.path(), &spec, "SELECT count(*) FROM s").unwrap(), ["4"]);
    assert_eq!(
        rows(folder.path(), &by_offset, "SELECT count(*) FROM s").unwrap(),
        ["2"],
        "sent again by the same name"
    );
}

#[test]
fn a_refused_request_does_not_say_what_the_columns_are() {
    let folder = tempfile::tempdir().unwrap();
    let ingest = Ingest::open("s", &source(&StreamSpec::default()), &folder.path().join("s")).unwrap();
    let answers = pushed(&ingest, &[("{\"wrong\":1}\nx", None), ("{\"right\":1}", None), ("{\"wrong\":1}", None)]);
    assert!(answers[0].is_err() && answers[1].is_ok() && answers[2].is_err(), "{answers:?}");
}

/// A file system of 2 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost_or_half_there() {
    let disk = SmallDisk(tempfile::tempdir().unwrap());
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=2m", "tidemill-test"]).arg(disk.0.path());
    if !mount.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: this test mounts a small tmpfs, which is not allowed here");
        return;
    }
    let spec = declared(&[("n", ColumnType::Integer)]);
    let mut writer = Writer::open(&disk.0.path().join("s"), &spec, None, Arc::default()).unwrap();
    writer.take(vec![message(1, "{\"n\":1}")]).unwrap();
    writer.cut().unwrap();
    let filler = disk.0.path().join("filler");
    std::fs::write(&filler, vec![1; 4 << 20]).unwrap_err();
    writer.take(vec![message(2, "{\"n\":2}")]).unwrap();
    let error = writer.cut().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(rows(disk.0.path(), &spec, "SELECT n FROM s").unwrap(), ["1"], "what was there still answers");
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(writer.cut().unwrap(), 1, "what waited is written once there is room");
    assert_eq!(rows(disk.0.path(), &spec, "SELECT n FROM s ORDER BY n").unwrap(), ["1", "2"]);
    drop(writer);
    let ingest = Ingest::open("s", &source(&spec), &disk.0.path().join("s")).unwrap();
    std::fs::write(&filler, vec![1; 4 << 20]).unwrap_err();
    let answers = pushed(&ingest, &[("{\"n\":3}", None)]);
    assert_eq!(answers[0].as_ref().unwrap_err().kind(), ErrorKind::Exhausted, "{answers:?}");
    std::fs::remove_file(&filler).unwrap();
    assert!(pushed(&ingest, &[("{\"n\":4}", None)])[0].is_ok());
    assert_eq!(rows(disk.0.path(), &spec, "SELECT n FROM s ORDER BY n").unwrap(), ["1", "2", "4"]);
}
