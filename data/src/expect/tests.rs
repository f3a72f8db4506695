//! Each expectation over rows that keep it and rows that break it; counts by hand.

use super::*;
use crate::{CsvSpec, EngineSpec, SourceSpec};

const ORDERS: &str = "\
id,shop,age,mail,day,state,price,ahead
1,10,30,a@b.example,2026-01-01,new,1.5,2026-01-08
2,10,200,b@b.example,2026-01-02,done,2.5,2026-01-08
3,11,,nobody,2026-01-03,gone,3.5,2026-01-08
3,12,-1,c@b.example,2026-01-04,new,,2026-01-08
5,,40,,2026-01-05,,NaN,2026-01-08
";

const SHOPS: &str = "number,name\n10,north\n11,south\n";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

struct Place {
    folder: tempfile::TempDir,
    engine: Engine,
}

impl Place {
    async fn new(spec: &EngineSpec, tables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(spec).unwrap();
        for (name, text) in tables {
            std::fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
            let source = SourceSpec::Csv(CsvSpec::new(format!("{name}.csv")));
            engine.add_source(name, &source, folder.path()).await.unwrap();
        }
        Self { folder, engine }
    }

    async fn check_all(&self, table: &str, all: &[Expectation], reference: Option<&str>) -> Vec<ExpectationResult> {
        let failing = self.folder.path().join("failing");
        std::fs::create_dir_all(&failing).unwrap();
        let references = reference.map(|name| (0, name.to_owned())).into_iter().collect();
        let request = ExpectRequest {
            engine: &self.engine,
            table,
            all,
            references: &references,
            now_unix_ms: 1_767_700_800_000, // 2026-01-06 12:00 UTC
            folder: Some(&failing),
        };
        assert_eq!(faults(&request).await.unwrap(), []);
        expect(&request).await.unwrap()
    }
}

fn spec(text: &str) -> Expectation {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

async fn orders() -> Place {
    Place::new(&EngineSpec::default(), &[("orders", ORDERS), ("shops", SHOPS)]).await
}

#[test]
fn each_kind_counts_what_fails() {
    run(async {
        let place = orders().await;
        let check = async |text: &str, checked: u64, failing: u64, ids: &[&str]| {
            let result = place.check_all("orders", &[spec(text)], None).await.remove(0);
            assert_eq!((result.checked, result.failing), (checked, failing), "{text}: {result:?}");
            let expected = if failing > 0 { ExpectationStatus::Failed } else { ExpectationStatus::Passed };
            assert_eq!(result.status, expected, "{text}");
            let rows = result.failing_rows.as_ref().map(|path| std::fs::read_to_string(path).unwrap());
            let rows = rows.unwrap_or_default();
            let found: Vec<&str> = rows.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
            assert_eq!(found, ids, "{text}");
        };
        check(r#"{"not_null": {"column": "age"}}"#, 5, 1, &["3"]).await;
        check(r#"{"not_null": {"column": "price"}}"#, 5, 2, &["3", "5"]).await;
        check(r#"{"not_null": {"column": "day"}}"#, 5, 0, &[]).await;
        check(r#"{"unique": {"columns": ["id"]}}"#, 5, 1, &["3", "3"]).await;
        check(r#"{"unique": {"columns": ["id", "shop"]}}"#, 4, 0, &[]).await;
        check(r#"{"range": {"column": "age", "min": 0, "max": 150}}"#, 4, 2, &["2", "3"]).await;
        check(r#"{"range": {"column": "age", "min": -1}}"#, 4, 0, &[]).await;
        check(r#"{"range": {"column": "price", "max": 2.5}}"#, 3, 1, &["3"]).await;
        check(r#"{"range": {"column": "day", "min": "2026-01-02", "max": "2026-01-04"}}"#, 5, 2, &["1", "5"]).await;
        check(r#"{"matches": {"column": "mail", "pattern": "^[a-z]+@[a-z.]+$"}}"#, 4, 1, &["3"]).await;
        check(r#"{"matches": {"column": "id", "pattern": "^[1-3]$"}}"#, 5, 1, &["5"]).await;
        check(r#"{"one_of": {"column": "state", "values": ["new", "done"]}}"#, 4, 1, &["3"]).await;
        check(r#"{"one_of": {"column": "shop", "values": [10, 11, 12]}}"#, 4, 0, &[]).await;
        check(r#"{"foreign_key": {"column": "shop", "table": "shops", "other": "number"}}"#, 4, 1, &["3"]).await;
        check(r#"{"row_count": {"min": 5, "max": 5}}"#, 1, 0, &[]).await;
        check(r#"{"row_count": {"min": 6}}"#, 1, 1, &[]).await;
        check(r#"{"fresh": {"column": "day", "within_h": 36}}"#, 1, 0, &[]).await;
        check(r#"{"fresh": {"column": "day", "within_h": 35.9}}"#, 1, 1, &[]).await;
        check(r#"{"fresh": {"column": "ahead", "within_h": 1}}"#, 1, 1, &[]).await;
        check(r#"{"sql": {"query": "SELECT id FROM orders WHERE age > 100"}}"#, 5, 1, &["2"]).await;
        check(r#"{"sql": {"query": "SELECT id FROM orders WHERE age > 1000"}}"#, 5, 0, &[]).await;
    });
}

#[test]
fn many_are_checked_together_and_their_files_have_names_of_their_own() {
    run(async {
        let place = orders().await;
        let all = [
            spec(r#"{"range": {"column": "age", "min": 0}}"#),
            spec(r#"{"range": {"column": "age", "max": 150, "on_failure": "warn"}}"#),
            spec(r#"{"range": {"column": "age", "max": 150, "at_most": 0.25}}"#),
            spec(r#"{"sql": {"query": "SELECT * FROM orders WHERE age < 0", "name": "no/age below 0"}}"#),
        ];
        let results = place.check_all("orders", &all, None).await;
        use ExpectationStatus::{Failed, Passed, Warned};
        assert_eq!(results.iter().map(|result| result.status).collect::<Vec<_>>(), [Failed, Warned, Passed, Failed]);
        let names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
        assert_eq!(names, ["range-age", "range-age-2", "range-age-3", "sql-no_age_below_0"]);
        let message = results[0].message();
        assert!(
            message.starts_with("values of column \"age\" are 0 or more: 1 of 4 values (25.0 %) does not; the first"),
            "{message}"
        );
        assert!(message.ends_with("failing-range-age.csv"), "{message}");
        let none = place.check_all("orders", &all[2..3], None).await;
        assert_eq!(none[0].failing, 1, "allowed, and counted all the same");
        let left = std::fs::read_dir(place.folder.path().join("failing")).unwrap().count();
        assert_eq!(left, 1, "what an earlier check left is gone");
    });
}

#[test]
fn names_and_values_are_no_sql() {
    run(async {
        let text = "\"a\"\"b; DROP\",Größe.x\n\"it's\",1\n' OR '1'='1,2\n";
        let place = Place::new(&EngineSpec::default(), &[("odd", text)]).await;
        let all = [
            spec(r#"{"one_of": {"column": "a\"b; DROP", "values": ["it's", "' OR '1'='1"]}}"#),
            spec(r#"{"one_of": {"column": "a\"b; DROP", "values": ["' OR 1=1 --"]}}"#),
            spec(r#"{"range": {"column": "Größe.x", "max": 1}}"#),
            spec(r#"{"unique": {"columns": ["Größe.x", "a\"b; DROP"]}}"#),
        ];
        let failing: Vec<u64> = place.check_all("odd", &all, None).await.iter().map(|found| found.failing).collect();
        assert_eq!(failing, [0, 2, 1, 0]);
    });
}

#[test]
fn what_cannot_be_asked_of_a_column_is_said_before_rows_are_read() {
    run(async {
        let place = orders().await;
        let check = async |text: &str, key: &str, words: &str| {
            let all = [spec(text)];
            let request = ExpectRequest {
                engine: &place.engine,
                table: "orders",
                all: &all,
                references: &BTreeMap::new(),
                now_unix_ms: 0,
                folder: None,
            };
            let found = faults(&request).await.unwrap();
            assert!(found.len() == 1 && found[0].key == key && found[0].message.contains(words), "{text}: {found:?}");
        };
        check(
            r#"{"not_null": {"column": "agee"}}"#,
            "column",
            "no column \"agee\" in table \"orders\"; did you mean \"age\"?",
        )
        .await;
        check(r#"{"unique": {"columns": ["id", "zzzzzzzz"]}}"#, "columns[1]", "its columns are \"id\", \"shop\"").await;
        check(r#"{"range": {"column": "state", "min": 1}}"#, "column", "holds text, which has no range").await;
        check(r#"{"range": {"column": "age", "min": "old"}}"#, "min", "\"old\" cannot be compared").await;
        check(r#"{"range": {"column": "day", "max": "tomorrow"}}"#, "max", "is no date").await;
        check(r#"{"fresh": {"column": "state", "within_h": 1}}"#, "column", "not dates").await;
        check(r#"{"one_of": {"column": "age", "values": [1, "x"]}}"#, "values[1]", "holds numbers").await;
        check(
            r#"{"foreign_key": {"column": "shop", "table": "shops", "other": "nmber"}}"#,
            "other",
            "did you mean \"number\"?",
        )
        .await;
        check(r#"{"foreign_key": {"column": "state", "table": "shops", "other": "number"}}"#, "other", "CAST").await;
    });
}

#[test]
fn keys_that_memory_cannot_hold_are_counted_on_disk() {
    run(async {
        let mut text = String::from("key\n");
        (0..300_000_u64).for_each(|n| text += &format!("a-long-key-that-takes-some-room-{:09}\n", n * 7919 % 299_993));
        let spec_small = EngineSpec { memory_bytes_max: 24 << 20, ..EngineSpec::default() };
        let place = Place::new(&spec_small, &[("keys", &text)]).await;
        let found = place.check_all("keys", &[spec(r#"{"unique": {"columns": ["key"]}}"#)], None).await.remove(0);
        // 7919 and 299,993 have no common divisor: 299,993 keys, of which the first seven come twice.
        assert_eq!((found.checked, found.failing), (300_000, 7));
    });
}

#[test]
fn drift_is_told_from_chance() {
    run(async {
        let table = |n: usize, shift: f64, kinds: &[&str]| {
            let mut text = String::from("x,kind,id\n");
            for i in 0..n {
                let x = ((i * 7919) % n) as f64 / n as f64 + shift;
                text += &format!("{x},{},row{i}\n", kinds[i % kinds.len()]);
            }
            text
        };
        let (few, many) = (table(500, 0.0, &["a", "b"]), table(5_000, 0.0, &["a", "b"]));
        let (alike, moved) = (table(700, 0.001, &["b", "a"]), table(700, 0.5, &["a", "b"]));
        let (other, new) = (table(700, 0.0, &["a", "b", "b", "b"]), table(700, 0.9, &["a", "c"]));
        let tables =
            [("few", &few), ("many", &many), ("alike", &alike), ("moved", &moved), ("other", &other), ("new", &new)];
        let tables: Vec<(&str, &str)> = tables.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let place = Place::new(&EngineSpec::default(), &tables).await;
        let check = async |table: &str, reference: &str, drifted: u64, words: &str| {
            let all = [spec(&format!(r#"{{"drift": {{"against": "{reference}"}}}}"#))];
            let found = place.check_all(table, &all, Some(reference)).await.remove(0);
            // x and kind; the column that names rows is not compared
            assert_eq!((found.checked, found.failing), (2, drifted), "{table} {reference}: {found:?}");
            assert!(found.observed.contains(words), "{}", found.observed);
            let expected = if drifted > 0 { ExpectationStatus::Failed } else { ExpectationStatus::Passed };
            assert_eq!(found.status, expected, "half of the columns is enough");
        };
        check("alike", "few", 0, "none of 2 columns drifts").await;
        check("alike", "many", 0, "none of 2 columns drifts").await;
        check("moved", "few", 1, "\"x\": Kolmogorov-Smirnov p = ").await;
        check("moved", "many", 1, "\"x\": normed Wasserstein 1.7").await; // 0.5 in units of 1/sqrt(12)
        check("other", "few", 1, "\"kind\": chi-square p = ").await;
        check("other", "many", 1, "\"kind\": Jensen-Shannon 0.1").await;
        check("new", "many", 2, "2 of 2 columns drift").await;
        let all = [spec(r#"{"drift": {"columns": ["kind"], "on_failure": "warn"}}"#)];
        let found = place.check_all("other", &all, None).await.remove(0);
        assert_eq!(found.status, ExpectationStatus::NotChecked);
        assert!(found.observed.contains("no snapshot yet"), "{}", found.observed);
    });
}
