//! Small tables written by hand: a log of JSON and a few Parquet files. What real writers write is read in tidemill's tests.

use std::fs::File;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use arrow::array::{Date32Array, Int32Array, Int64Array, ListArray, StringArray};
use arrow::datatypes::Int32Type;
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::*;
use crate::ErrorKind;
use crate::source::testing::{lines, read_all};
use crate::source::{Comparison, Test, Value};
use crate::spec::StoreSpec;

/// Rows 1 and 3, as a deletion vector within the log.
const SECOND_AND_FOURTH: &str = "^Bg9^0rr910000000000iXQKl0rr91000315c8Xg0rri4";

/// A table in a folder `orders`.
struct Lake {
    folder: TempDir,
}

impl Lake {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("orders/_delta_log")).unwrap();
        Self { folder }
    }

    /// With the columns `id` and `name`.
    fn of_names() -> (Self, Vec<Json>) {
        (
            Self::new(),
            vec![protocol(1, 2, &[]), metadata(&[field("id", "long"), field("name", "string")], &[], json!({}))],
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("orders").join(name)
    }

    fn commit(&self, version: u64, actions: &[Json]) {
        let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
        std::fs::write(self.path(&format!("_delta_log/{version:020}.json")), text).unwrap();
    }

    /// Says when a version was written.
    fn date(&self, version: u64, unix_ms: u64) {
        let log = File::options().write(true).open(self.path(&format!("_delta_log/{version:020}.json"))).unwrap();
        log.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)).unwrap();
    }

    /// Writes a file; the action that adds it, written so many milliseconds after 1970.
    fn file(&self, name: &str, unix_ms: u64, rows: &RecordBatch) -> Json {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(rows).unwrap();
        writer.close().unwrap();
        let size = path.metadata().unwrap().len();
        json!({ "path": name, "partitionValues": {}, "size": size, "modificationTime": unix_ms, "dataChange": true })
    }

    fn open(&self, spec: &DeltaSpec) -> Result<DeltaReader> {
        DeltaReader::open(spec, self.folder.path(), false)
    }

    fn newest(&self) -> DeltaReader {
        self.open(&DeltaSpec::new("orders")).unwrap()
    }

    fn fault(&self, spec: &DeltaSpec) -> Error {
        self.open(spec).and_then(|reader| read_all(&reader)).unwrap_err()
    }
}

fn protocol(reader: u64, writer: u64, features: &[&str]) -> Json {
    match features {
        [] => json!({ "protocol": { "minReaderVersion": reader, "minWriterVersion": writer } }),
        _ => json!({ "protocol": {
            "minReaderVersion": reader, "minWriterVersion": writer, "readerFeatures": features, "writerFeatures": features,
        } }),
    }
}

fn field(name: &str, kind: &str) -> Json {
    json!({ "name": name, "type": kind, "nullable": true, "metadata": {} })
}

fn metadata(fields: &[Json], partitions: &[&str], configuration: Json) -> Json {
    let schema = json!({ "type": "struct", "fields": fields }).to_string();
    json!({ "metaData": {
        "id": "6d0f7d3e-0000-4000-8000-000000000001",
        "format": { "provider": "parquet", "options": {} },
        "schemaString": schema,
        "partitionColumns": partitions,
        "configuration": configuration,
        "createdTime": 0,
    } })
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn ids(ids: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(ids.to_vec()))
}

fn names(names: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(names.to_vec()))
}

fn at_version(version: u64) -> DeltaSpec {
    DeltaSpec { version: Some(version), ..DeltaSpec::new("orders") }
}

fn at_time(time: &str) -> DeltaSpec {
    DeltaSpec { time: Some(time.to_owned()), ..DeltaSpec::new("orders") }
}

fn read(
    reader: &DeltaReader,
    projection: &[usize],
    conditions: &[Condition],
    limit: Option<usize>,
) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let wanted = Wanted { projection, conditions, limit };
    let mut keep = |batch| {
        batches.push(batch);
        ControlFlow::Continue(())
    };
    reader.read_where(&wanted, &mut keep).unwrap();
    batches
}

#[test]
fn every_version_is_read_in_the_order_of_its_writing() {
    let (lake, mut first) = Lake::of_names();
    let old = lake.file("z.parquet", 1, &rows(vec![("id", ids(&[1, 2])), ("name", names(&[Some("eins"), None]))]));
    first.push(json!({ "add": old }));
    lake.commit(0, &first);
    let new = lake.file("a.parquet", 2, &rows(vec![("name", names(&[Some("数据 3")])), ("id", ids(&[3]))]));
    lake.commit(1, &[json!({ "add": new })]);
    lake.commit(2, &[json!({ "remove": { "path": "z.parquet", "deletionTimestamp": 3, "dataChange": true } })]);
    let check = |spec: &DeltaSpec, version: u64, expected: &[&str]| {
        let reader = lake.open(spec).unwrap();
        assert_eq!(reader.version(), Some(version));
        assert_eq!(lines(&read_all(&reader).unwrap()), expected);
    };
    check(&at_version(0), 0, &["1|eins", "2|"]);
    check(&at_version(1), 1, &["1|eins", "2|", "3|数据 3"]);
    check(&DeltaSpec::new("orders/"), 2, &["3|数据 3"]);
    let reader = lake.open(&at_version(1)).unwrap();
    assert_eq!(lines(&read(&reader, &[1, 0], &[], None)), ["eins|1", "|2", "数据 3|3"]);
    assert_eq!(lines(&read(&reader, &[1], &[], Some(2))), ["eins", ""]);
    assert!(read(&reader, &[1], &[], Some(0)).is_empty());
    let counted: usize = read(&reader, &[], &[], None).iter().map(RecordBatch::num_rows).sum();
    assert_eq!(counted, 3);
    assert!(format!("{reader:?}").contains("orders"));
}

#[test]
fn a_source_that_lives_long_follows_its_table_where_it_may() {
    let (lake, mut first) = Lake::of_names();
    let row = |name: &str, id: i64| json!({ "add": lake.file(name, id as u64, &rows(vec![("id", ids(&[id])), ("name", names(&[None]))])) });
    first.push(row("a.parquet", 1));
    lake.commit(0, &first);
    let open = |spec: &DeltaSpec, follows| DeltaReader::open(spec, lake.folder.path(), follows).unwrap();
    let newest = DeltaSpec::new("orders");
    let (live, pinned, old) = (open(&newest, true), open(&newest, false), open(&at_version(0), true));
    let now = |reader: &DeltaReader| lines(&read(reader, &[0], &[], None));
    assert_eq!((now(&live), live.version()), (vec!["1".to_owned()], None));
    lake.commit(1, &[row("b.parquet", 2)]);
    assert_eq!(now(&live), ["1", "2"]);
    assert_eq!((now(&pinned), pinned.version()), (vec!["1".to_owned()], Some(0)));
    assert_eq!((now(&old), old.version()), (vec!["1".to_owned()], Some(0)));
    lake.commit(2, &[metadata(&[field("id", "string"), field("name", "string")], &[], json!({}))]);
    let error = read_all(&live).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("the columns of version 2 are no longer those"), "{error}");
}

#[test]
fn partitions_are_columns_and_files_that_conditions_rule_out_are_not_opened() {
    let lake = Lake::new();
    let fields = [field("city", "string"), field("id", "long"), field("year", "integer"), field("day", "date")];
    let begin = [protocol(1, 2, &[]), metadata(&fields, &["city", "year"], json!({}))];
    let day = |days: i32| -> ArrayRef { Arc::new(Date32Array::from(vec![days])) };
    let part = |name: &str, path: &str, at: u64, id: i64, values: Json| {
        let mut add = lake.file(name, at, &rows(vec![("id", ids(&[id])), ("day", day(id as i32))]));
        (add["path"], add["partitionValues"]) = (json!(path), values);
        let stats =
            json!({ "numRecords": 1, "minValues": { "id": id }, "maxValues": { "id": id }, "nullCount": { "id": 0 } });
        add["stats"] = json!(stats.to_string());
        json!({ "add": add })
    };
    // Hive writes `ü` as %C3%BC into the name of the folder, and the log writes each % as %25.
    let (name, path) = ("city=M%C3%BCnchen/year=2026/a.parquet", "city=M%25C3%25BCnchen/year=2026/a.parquet");
    let munich = part(name, path, 1, 1, json!({ "city": "München", "year": "2026" }));
    let nowhere = "city=__HIVE_DEFAULT_PARTITION__/year=2025/b.parquet";
    let nowhere = part(nowhere, nowhere, 2, 2, json!({ "city": null, "year": "2025" }));
    let gone = part("c.parquet", "c.parquet", 3, 3, json!({ "city": "Köln", "year": "2024" }));
    std::fs::remove_file(lake.path("c.parquet")).unwrap();
    lake.commit(0, &[&begin[..], &[munich, nowhere]].concat());
    lake.commit(1, &[gone]);
    let reader = lake.open(&at_version(0)).unwrap();
    assert_eq!(lines(&read_all(&reader).unwrap()), ["München|1|2026|1970-01-02", "|2|2025|1970-01-03"]);
    assert_eq!(lines(&read(&reader, &[2, 0], &[], None)), ["2026|München", "2025|"]);
    let error = lake.fault(&DeltaSpec::new("orders"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("c.parquet is gone; VACUUM"), "{error}");

    let reader = lake.newest();
    let compare = |column, comparison, value| Condition { column, test: Test::Compare(comparison, value) };
    let check = |condition: Condition, expected: &[&str]| {
        assert!(reader.takes(&condition), "{condition:?}");
        assert_eq!(lines(&read(&reader, &[1], &[condition], Some(1))), expected);
    };
    check(compare(0, Comparison::Equal, Value::Text("München".into())), &["1"]);
    check(compare(2, Comparison::GreaterOrEqual, Value::Integer(2025)), &["1", "2"]);
    check(compare(1, Comparison::Less, Value::Integer(3)), &["1", "2"]);
    check(Condition { column: 0, test: Test::Missing }, &["2"]);
    check(Condition { column: 2, test: Test::In(vec![Value::Integer(2025), Value::Integer(2020)]) }, &["2"]);
    assert!(!reader.takes(&compare(2, Comparison::Equal, Value::Integer(i64::MAX))), "no such year");
    let many = (0..200).map(Value::Integer).collect();
    assert!(!reader.takes(&Condition { column: 1, test: Test::In(many) }), "too many to ask for");
}

#[test]
fn deleted_rows_stay_away() {
    let lake = Lake::new();
    let begin = [protocol(3, 7, &["deletionVectors"]), metadata(&[field("id", "long")], &[], json!({}))];
    let mut add = lake.file("a.parquet", 1, &rows(vec![("id", ids(&[0, 1, 2, 3, 4]))]));
    add["stats"] = json!(json!({ "numRecords": 5 }).to_string());
    lake.commit(0, &[&begin[..], &[json!({ "add": add })]].concat());
    add["deletionVector"] =
        json!({ "storageType": "i", "pathOrInlineDv": SECOND_AND_FOURTH, "sizeInBytes": 36, "cardinality": 2 });
    let remove = json!({ "remove": { "path": "a.parquet", "deletionTimestamp": 2, "dataChange": true } });
    lake.commit(1, &[remove, json!({ "add": add })]);
    assert_eq!(lines(&read_all(&lake.open(&at_version(0)).unwrap()).unwrap()), ["0", "1", "2", "3", "4"]);
    assert_eq!(lines(&read_all(&lake.newest()).unwrap()), ["0", "2", "4"]);
    let above = Condition { column: 0, test: Test::Compare(Comparison::Greater, Value::Integer(1)) };
    assert!(lines(&read(&lake.newest(), &[0], &[above], None)).iter().all(|id| id != "3"));
}

#[test]
fn deleted_rows_are_counted_from_the_beginning_of_their_file() {
    let check = |first: u64, expected: &[&str]| {
        let left = without(rows(vec![("id", ids(&[10, 11, 12]))]), &[1, 3, 5], first).unwrap();
        assert_eq!(lines(&[left]), expected, "from {first}");
    };
    check(0, &["10", "12"]);
    check(3, &["11"]);
    check(6, &["10", "11", "12"]);
}

#[test]
fn renamed_columns_and_names_within_lists_are_those_of_the_table() {
    let lake = Lake::new();
    let mapped = |name: &str, kind: Json, id: u64| {
        let metadata = json!({ "delta.columnMapping.id": id, "delta.columnMapping.physicalName": format!("col-{id}") });
        json!({ "name": name, "type": kind, "nullable": true, "metadata": metadata })
    };
    let list = json!({ "type": "array", "elementType": "integer", "containsNull": true });
    let fields = [mapped("número", json!("long"), 1), mapped("parts", list, 2)];
    let configuration = json!({ "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2" });
    let parts: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(7), None]), None]));
    let kinds = [("col-1", DataType::Int64, "1"), ("col-2", parts.data_type().clone(), "2")];
    let fields_of_file = kinds.map(|(name, kind, id)| {
        Field::new(name, kind, true).with_metadata([("PARQUET:field_id".to_owned(), id.to_owned())].into())
    });
    let schema = Arc::new(Schema::new(fields_of_file.to_vec()));
    let add = lake.file("a.parquet", 1, &RecordBatch::try_new(schema, vec![ids(&[1, 2]), parts]).unwrap());
    lake.commit(0, &[protocol(2, 5, &[]), metadata(&fields, &[], configuration), json!({ "add": add })]);
    let reader = lake.newest();
    let item = Field::new("element", DataType::Int32, true);
    let expected =
        [Field::new("número", DataType::Int64, true), Field::new("parts", DataType::List(Arc::new(item)), true)];
    assert_eq!(reader.schema().as_ref(), &Schema::new(expected.to_vec()), "no notes of the kernel are left");
    assert_eq!(lines(&read_all(&reader).unwrap()), ["1|[7, ]", "2|"]);
}

#[test]
fn the_newest_version_of_a_moment_is_read() {
    let (lake, mut first) = Lake::of_names();
    let row = |name: &str, id: i64| json!({ "add": lake.file(name, id as u64, &rows(vec![("id", ids(&[id])), ("name", names(&[None]))])) });
    first.push(row("a.parquet", 0));
    lake.commit(0, &first);
    for version in 1..4 {
        lake.commit(version, &[row(&format!("{version}.parquet"), version as i64)]);
    }
    (0..4).for_each(|version| lake.date(version, 1_000_000_000_000 + version * 60_000));
    let check = |time: &str, version: u64| {
        assert_eq!(lake.open(&at_time(time)).unwrap().version(), Some(version), "{time}");
    };
    check("2001-09-09T01:46:40Z", 0);
    check("2001-09-09 01:47:39.999", 0);
    check("2001-09-09T03:47:40+02:00", 1);
    check("2001-09-09T01:49:00Z", 2);
    check("2026-11-01", 3);
    let error = lake.fault(&at_time("2001-09-09T01:46:39Z"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let expected = "has no version of 2001-09-09T01:46:39.000Z; the first that is there is of 2001-09-09T01:46:40.000Z";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn times_that_commits_tell_count_before_those_of_files() {
    let lake = Lake::new();
    let protocol = json!({ "protocol": {
        "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["inCommitTimestamp"],
    } });
    let configuration = json!({ "delta.enableInCommitTimestamps": "true" });
    let commit = |version: u64| {
        let unix_ms = 1_000_000_000_000 + version * 60_000;
        json!({ "commitInfo": { "timestamp": unix_ms, "inCommitTimestamp": unix_ms, "operation": "WRITE" } })
    };
    let add = json!({ "add": lake.file("a.parquet", 1, &rows(vec![("id", ids(&[1]))])) });
    lake.commit(0, &[commit(0), protocol, metadata(&[field("id", "long")], &[], configuration), add]);
    lake.commit(1, &[commit(1)]);
    lake.commit(2, &[commit(2)]);
    let check = |time: &str, version: u64| {
        assert_eq!(lake.open(&at_time(time)).unwrap().version(), Some(version), "{time}");
    };
    check("2001-09-09T01:46:40Z", 0);
    check("2001-09-09T01:48:00Z", 1);
    check("2001-09-09T01:48:40Z", 2);
    assert_eq!(lake.fault(&at_time("2001-09-09T01:46:39Z")).kind(), ErrorKind::NotFound);
}

#[test]
fn what_cannot_be_read_is_told() {
    let (lake, mut first) = Lake::of_names();
    let add = lake.file("a.parquet", 1, &rows(vec![("id", ids(&[1])), ("name", names(&[None]))]));
    first.push(json!({ "add": add.clone() }));
    lake.commit(0, &first);
    lake.commit(1, &[json!({ "remove": { "path": "a.parquet", "deletionTimestamp": 2, "dataChange": true } })]);
    std::fs::create_dir(lake.folder.path().join("plain")).unwrap();
    std::fs::write(lake.folder.path().join("file"), "x").unwrap();
    let check = |spec: DeltaSpec, kind: ErrorKind, expected: &str| {
        let error = lake.fault(&spec);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "no {expected:?} in: {error}");
    };
    let path = DeltaSpec::new;
    check(
        path("plain"),
        ErrorKind::Invalid,
        "plain is no Delta table, as there is no folder _delta_log in it; did you mean { parquet:",
    );
    check(path("order"), ErrorKind::NotFound, "did you mean \"orders\"?");
    check(path("file"), ErrorKind::Invalid, "is a file; a Delta table is a folder");
    check(path("https://host/orders"), ErrorKind::Invalid, "does not list its files");
    let store = DeltaSpec { store: Some(StoreSpec::default()), ..path("orders") };
    check(store, ErrorKind::Invalid, "remove it");
    let both = DeltaSpec { time: Some("2026-11-01".into()), ..at_version(1) };
    check(both, ErrorKind::Invalid, "at a version or at a time; leave one of them out");
    check(at_time("yesterday"), ErrorKind::Invalid, "\"yesterday\" is no point in time");
    check(at_version(2), ErrorKind::NotFound, "orders has no version 2; there are 0 to 1");

    let feature = [protocol(3, 7, &["teleport"]), metadata(&[field("id", "long")], &[], json!({}))];
    lake.commit(2, &feature);
    check(path("orders"), ErrorKind::Unsupported, "teleport");
    lake.commit(2, &[protocol(1, 2, &[]), json!({ "add": { "path": "b" } })]);
    check(path("orders"), ErrorKind::Corrupt, "orders: the Delta table cannot be read");
    let mut far = add.clone();
    far["path"] = json!("file:///etc/passwd");
    lake.commit(2, &[json!({ "add": far })]);
    check(path("orders"), ErrorKind::Unsupported, "has rows in a file outside its folder (file:///etc/passwd)");
    let mut broken = add;
    broken["path"] = json!("broken.parquet");
    std::fs::write(lake.path("broken.parquet"), vec![7_u8; broken["size"].as_u64().unwrap() as usize]).unwrap();
    lake.commit(2, &[json!({ "add": broken })]);
    check(path("orders"), ErrorKind::Corrupt, "orders/broken.parquet: the Delta table cannot be read");
    std::fs::remove_file(lake.path("_delta_log/00000000000000000001.json")).unwrap();
    check(path("orders"), ErrorKind::Corrupt, "orders: the Delta table cannot be read");
    std::fs::remove_file(lake.path("_delta_log/00000000000000000000.json")).unwrap();
    check(path("orders"), ErrorKind::Corrupt, "its log was cleaned of what is needed: there are versions 2 to 2");
    std::fs::remove_file(lake.path("_delta_log/00000000000000000002.json")).unwrap();
    check(path("orders"), ErrorKind::Invalid, "is no Delta table: there is no version in its _delta_log");
}

#[test]
fn the_program_can_be_used_from_any_folder() {
    let (lake, mut first) = Lake::of_names();
    let add = lake.file("a.parquet", 1, &rows(vec![("id", ids(&[1])), ("name", names(&[Some("x")]))]));
    first.push(json!({ "add": add }));
    lake.commit(0, &first);
    let odd = lake.folder.path().join("100 % ümläut #1");
    std::fs::rename(lake.path(""), &odd).unwrap();
    let reader = DeltaReader::open(&DeltaSpec::new("100 % ümläut #1"), lake.folder.path(), false).unwrap();
    assert_eq!(lines(&read_all(&reader).unwrap()), ["1|x"]);
    let full = DeltaReader::open(&DeltaSpec::new(odd.to_str().unwrap()), Path::new("elsewhere"), false).unwrap();
    assert_eq!(lines(&read_all(&full).unwrap()), ["1|x"]);
}

#[test]
fn values_come_in_the_type_of_their_column_or_not_at_all() {
    let long = Field::new("year", DataType::Int64, true);
    let year: ArrayRef = Arc::new(Int32Array::from(vec![2026]));
    assert_eq!(typed(&year, &long, "orders").unwrap().data_type(), &DataType::Int64);
    let error = typed(&names(&[Some("soon")]), &long, "orders").unwrap_err();
    assert!(error.to_string().starts_with("orders: column \"year\" of type Utf8 cannot be read"), "{error}");
}
