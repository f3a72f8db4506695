//! Two tables and what changed between them; counts by hand.

use serde_json::json;

use super::*;
use crate::{CsvSpec, EngineSpec, SourceSpec};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Compares two texts of CSV.
async fn compared(spec: &EngineSpec, before: &str, after: &str, keys: &[&str]) -> Result<Difference> {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(spec).unwrap();
    for (name, text) in [("old", before), ("new", after)] {
        std::fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
        let source = SourceSpec::Csv(CsvSpec::new(format!("{name}.csv")));
        engine.add_source(name, &source, folder.path()).await.unwrap();
    }
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    let side = |table| DiffSide { table, shown: table };
    diff(&DiffRequest { engine: &engine, before: side("old"), after: side("new"), keys: &keys }).await
}

const OLD: &str = "id,age,plan,gone,code\n1,20,gold,x,7\n2,30,blue,x,8\n3,40,gold,x,9\n4,,blue,y,10\n";
const NEW: &str =
    "id,age,plan,code,came\n2,30,blue,8,1\n3,41,gold,nine,1\n4,5,red,10,0\n6,60,gold,11,0\n5,50,gold,12,0\n";

#[test]
fn columns_and_rows_are_compared() {
    run(async {
        let found = compared(&EngineSpec::default(), OLD, NEW, &["id"]).await.unwrap();
        assert_eq!((found.rows_before, found.rows_after), (4, 5));
        let states: Vec<(&str, ColumnState)> =
            found.columns.iter().map(|column| (column.name.as_str(), column.state)).collect();
        assert_eq!(
            states,
            [
                ("id", ColumnState::Kept),
                ("age", ColumnState::Kept),
                ("plan", ColumnState::Kept),
                ("gone", ColumnState::Removed),
                ("code", ColumnState::Retyped),
                ("came", ColumnState::Added),
            ]
        );
        let age = &found.columns[1];
        let mean = |profile: &Option<ColumnProfile>| profile.as_ref().unwrap().mean;
        assert_eq!((mean(&age.before), mean(&age.after)), (Some(30.0), Some(37.2)));
        let drift = age.drift.as_ref().unwrap();
        assert!(drift.is_probability && !drift.drifts && drift.value > 0.2, "{drift:?}");
        assert!(found.columns[4].drift.is_none(), "numbers and texts have no distance");

        let rows = found.by_key.unwrap();
        assert_eq!((rows.same, rows.added, rows.removed, rows.changed), (1, 2, 1, 2));
        let changes = [("age", 2), ("plan", 1), ("code", 1)].map(|(name, rows)| (name.to_owned(), rows));
        assert_eq!(rows.changed_columns, changes);
        let keys = |rows: &[RowDifference]| rows.iter().map(|row| row.key["id"].clone()).collect::<Vec<_>>();
        assert_eq!(keys(&rows.first_added), ["5", "6"], "in the order of the keys");
        assert_eq!(json!(rows.first_removed[0].before), json!({"age": "20", "plan": "gold", "gone": "x", "code": "7"}));
        assert_eq!(json!(rows.first_removed[0].after), json!({}));
        assert_eq!(json!(rows.first_changed[0].before), json!({"age": "40", "code": "9"}));
        assert_eq!(json!(rows.first_changed[1].before), json!({"age": null, "plan": "blue"}));
        assert_eq!(json!(rows.first_changed[1].after), json!({"age": "5", "plan": "red"}));
    });
}

#[test]
fn the_same_rows_in_another_order_are_the_same() {
    run(async {
        let turned = "code,plan,gone,age,id\n10,blue,y,,4\n9,gold,x,40,3\n8,blue,x,30,2\n7,gold,x,20,1\n";
        let found = compared(&EngineSpec::default(), OLD, turned, &["plan", "id"]).await.unwrap();
        assert!(found.columns.iter().all(|column| column.state == ColumnState::Kept && column.before == column.after));
        assert_eq!(found.drifted().count(), 0);
        let rows = found.by_key.unwrap();
        assert_eq!((rows.same, rows.added, rows.removed, rows.changed), (4, 0, 0, 0));
        let found = compared(&EngineSpec::default(), OLD, OLD, &[]).await.unwrap();
        assert_eq!((found.rows_after, found.by_key), (4, None));
    });
}

#[test]
fn keys_that_are_none_are_named() {
    run(async {
        let check = async |after: &str, keys: &[&str], words: &[&str]| {
            let error = compared(&EngineSpec::default(), OLD, after, keys).await.unwrap_err().to_string();
            words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
        };
        check(NEW, &["idd"], &["no column \"idd\"", "\"old\"", "did you mean \"id\"?"]).await;
        check(NEW, &["gone"], &["no column \"gone\"", "\"new\""]).await;
        check(NEW, &["plan"], &["\"plan\" cannot be the key", "2 rows of \"old\"", "name more columns"]).await;
        check(NEW, &["age"], &["\"age\" cannot be the key", "1 row of \"old\" without a value"]).await;
        check(NEW, &["code"], &["holds numbers in \"old\", but text in \"new\"", "CAST"]).await;
    });
}

/// 80,000 rows of 1,000 bytes with 192 MB of memory, of which each of six sorts has its share: sorting goes to disk.
#[test]
fn memory_has_a_bound() {
    run(async {
        let table = |changed: usize| {
            let mut text = String::from("id,value,text\n");
            for i in 0..40_000 {
                let id = (i * 7919) % 40_000; // 7919 is prime: every number once
                let value = if id % 1_000 == 7 { id + changed } else { id };
                text += &format!("{id},{value},{id:>01000}\n");
            }
            text
        };
        let spec = EngineSpec { memory_bytes_max: 192 << 20, ..EngineSpec::default() };
        let rows = compared(&spec, &table(0), &table(1), &["id"]).await.unwrap().by_key.unwrap();
        assert_eq!((rows.same, rows.added, rows.removed, rows.changed), (39_960, 0, 0, 40));
        assert_eq!(rows.first_changed.len(), 10);
        assert_eq!(json!(rows.first_changed[1].after), json!({"value": "1008"}));
        let no_disk = EngineSpec { disk_bytes_max: 1 << 20, ..spec };
        let error = compared(&no_disk, &table(0), &table(1), &["id"]).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Exhausted, "it is on disk that the rest is: {error}");
    });
}
