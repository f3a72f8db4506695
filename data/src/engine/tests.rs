//! Queries over real sources: order, types, memory, and errors in words.

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;

use super::*;
use crate::source::testing::lines;
use crate::spec::{CsvSpec, JsonSpec, ParquetSpec, SampleName, SampleSpec};
use crate::{IMAGE_METADATA, Sink};

const TITANIC: &str = "PassengerId,Age,Name\n1,22,\"Braund, Mr.\"\n2,,Anna\n3,0.42,小明\n";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

async fn engine_with(text: &str) -> Result<(tempfile::TempDir, Engine)> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.csv"), text).expect("written");
    let engine = Engine::new(&EngineSpec::default())?;
    engine.add_source("people", &SourceSpec::Csv(CsvSpec::new("a.csv")), folder.path()).await?;
    Ok((folder, engine))
}

async fn rows(engine: &Engine, sql: &str) -> Result<Vec<String>> {
    Ok(lines(&engine.query(sql).await?.collect().await?))
}

#[test]
fn queries_answer() {
    run(async {
        let (_folder, engine) = engine_with(TITANIC).await.expect("an engine");
        let check = async |sql: &str, expected: &[&str]| {
            assert_eq!(rows(&engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")), expected, "{sql}");
        };
        check("SELECT * FROM people", &["1|22.0|Braund, Mr.", "2||Anna", "3|0.42|小明"]).await;
        check("SELECT * FROM people LIMIT 2", &["1|22.0|Braund, Mr.", "2||Anna"]).await;
        check("SELECT * FROM people LIMIT 0", &[]).await;
        check("SELECT COUNT(*) FROM people", &["3"]).await;
        check("select Sum(PassengerId) as s, avg(\"Age\") from people", &["6|11.21"]).await;
        check("SELECT Name FROM people WHERE Age IS NULL", &["Anna"]).await;
        check("SELECT upper(Name) AS n FROM people ORDER BY PassengerId DESC LIMIT 1", &["小明"]).await;
        engine.add_table("adults", "SELECT Name AS who FROM people WHERE Age >= 18").await.expect("a table");
        check("SELECT * FROM adults", &["Braund, Mr."]).await;
        check("SELECT a.who FROM adults a JOIN people p ON a.who = p.Name", &["Braund, Mr."]).await;
    });
}

#[test]
fn errors_name_the_thing_and_the_remedy() {
    run(async {
        let (folder, engine) = engine_with(TITANIC).await.expect("an engine");
        let check = async |sql: &str, expected: &str| {
            let error = rows(&engine, sql).await.expect_err("a fault");
            assert_eq!(error.to_string(), expected, "{sql}");
        };
        check("SELECT Agee FROM people", "no column \"Agee\" in table \"people\"; did you mean \"Age\"?").await;
        check("SELECT age FROM people", "no column \"age\" in table \"people\"; did you mean \"Age\"?").await;
        check("SELECT * FROM peple", "no table \"peple\"; did you mean \"people\"?").await;
        check("SELECT * FROM x", "no table \"x\"; there are \"people\"").await;
        let error = rows(&engine, "SELEC 1").await.expect_err("no SQL").to_string();
        assert!(error.starts_with("SQL: expected: an SQL statement"), "{error}");
        let error = rows(&engine, "DROP TABLE people").await.expect_err("no query").to_string();
        assert!(error.starts_with("SQL: only SELECT can be used here"), "{error}");
        let error = rows(&engine, "SELECT nosuch(1)").await.expect_err("no function").to_string();
        assert!(error.starts_with("SQL: ") && error.contains("nosuch"), "{error}");
        let again = SourceSpec::Csv(CsvSpec::new("a.csv"));
        let error = engine.add_source("people", &again, folder.path()).await.expect_err("taken");
        assert_eq!(error.kind(), crate::ErrorKind::Conflict);
        assert_eq!(engine.schema("people").await.expect("a schema").field(1).name(), "Age");
        assert_eq!(engine.schema("peeple").await.expect_err("none").kind(), crate::ErrorKind::NotFound);
    });
}

#[test]
fn a_fault_far_inside_a_file_reaches_who_reads_it() {
    run(async {
        let text = "n\n".to_owned() + &"1\n".repeat(60_000) + "oops\n";
        let (_folder, engine) = engine_with(&text).await.expect("an engine");
        let error = rows(&engine, "SELECT sum(n) FROM people").await.expect_err("a fault").to_string();
        assert!(error.contains("a.csv, line 60002: column \"n\" holds whole numbers"), "{error}");
        assert_eq!(rows(&engine, "SELECT n FROM people LIMIT 2").await.expect("the first rows"), ["1", "1"]);
    });
}

#[test]
fn the_order_of_rows_is_that_of_the_file_every_time() {
    run(async {
        let text = "n,g\n".to_owned() + &(0..100_000).map(|n| format!("{n},{}\n", n % 7)).collect::<String>();
        let (_folder, engine) = engine_with(&text).await.expect("an engine");
        let batches =
            engine.query("SELECT n FROM people WHERE n % 2 = 0").await.expect("rows").collect().await.expect("rows");
        let numbers: Vec<i64> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert!(numbers.iter().copied().eq((0..100_000).step_by(2)));
        let groups = rows(&engine, "SELECT g, count(*) FROM people GROUP BY g").await.expect("rows");
        for _ in 0..3 {
            assert_eq!(rows(&engine, "SELECT g, count(*) FROM people GROUP BY g").await.expect("rows"), groups);
        }
    });
}

#[test]
fn parquet_keeps_types_and_pictures_and_may_be_packed() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Engine::new(&EngineSpec::default()).expect("an engine");
        let digits = SourceSpec::Sample(SampleSpec { name: SampleName::Digits });
        engine.add_source("digits", &digits, folder.path()).await.expect("a source");
        let mut rows = engine.query("SELECT image AS picture, label FROM digits").await.expect("rows");
        assert_eq!(rows.schema.field(0).metadata()[IMAGE_METADATA], "8x8x1");
        let mut sink = Sink::create(&folder.path().join("d.parquet"), &rows.schema).expect("a sink");
        while let Some(batch) = rows.batches.next().await {
            sink.write(&batch.expect("rows")).expect("written");
        }
        sink.finish().expect("written");
        let bytes = std::fs::read(folder.path().join("d.parquet")).expect("read");
        std::fs::write(folder.path().join("d.parquet.zst"), zstd::encode_all(bytes.as_slice(), 1).expect("packed"))
            .expect("written");
        for path in ["d.parquet", "d.parquet.zst", "d.par*et"] {
            let engine = Engine::new(&EngineSpec::default()).expect("an engine");
            let spec = SourceSpec::Parquet(ParquetSpec::new(path));
            engine.add_source("p", &spec, folder.path()).await.expect("a source");
            let rows = engine.query("SELECT * FROM p").await.expect("rows");
            drop(engine); // the rows live on
            assert_eq!(rows.schema.field(0).metadata()[IMAGE_METADATA], "8x8x1", "{path}");
            let batches = rows.collect().await.expect("rows");
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1797, "{path}");
            assert_eq!(batches[0].column(1).as_string::<i32>().value(9), "9");
        }
        std::fs::write(folder.path().join("cut.parquet"), &bytes[..bytes.len() / 2]).expect("written");
        std::fs::write(folder.path().join("no.parquet"), "a,b\n1,2\n").expect("written");
        for (path, expected) in
            [("cut.parquet", "the Parquet file was cut off or changed"), ("no.parquet", "is no Parquet file")]
        {
            let spec = SourceSpec::Parquet(ParquetSpec::new(path));
            let error = engine.add_source("p", &spec, folder.path()).await.expect_err("a fault").to_string();
            assert!(error.contains(expected), "{error}");
        }
    });
}

#[test]
fn results_have_plain_types() {
    run(async {
        let (_folder, engine) = engine_with(TITANIC).await.expect("an engine");
        let sql = "SELECT arrow_cast(Name, 'Utf8View') AS v, arrow_cast(Name, 'Dictionary(Int32, Utf8)') AS d, \
                   CAST(Age AS DECIMAL(10, 2)) AS n, CAST(Name AS VARCHAR) AS c, NULL AS nothing FROM people";
        let rows = engine.query(sql).await.expect("rows");
        let types: Vec<String> = rows.schema.fields().iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!(types, ["Utf8", "Utf8", "Float64", "Utf8", "Utf8"]);
        let batches = rows.collect().await.expect("rows");
        assert_eq!(batches[0].column(2).as_primitive::<Float64Type>().value(2), 0.42);
        assert_eq!(batches[0].column(1).as_string::<i32>().value(2), "小明");
    });
}

#[test]
fn memory_has_a_bound() {
    run(async {
        let text = "n,t\n".to_owned()
            + &(0..200_000).map(|n| format!("{n},{:>040}\n", n * 7919 % 200_000)).collect::<String>();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.csv"), text).expect("written");
        let spec = EngineSpec { memory_bytes_max: 2 << 20, disk_bytes_max: 1 << 20, ..EngineSpec::default() };
        let engine = Engine::new(&spec).expect("an engine");
        engine.add_source("a", &SourceSpec::Csv(CsvSpec::new("a.csv")), folder.path()).await.expect("a source");
        let error = rows(&engine, "SELECT t, count(*) FROM a GROUP BY t").await.expect_err("too much");
        assert_eq!(error.kind(), crate::ErrorKind::Exhausted, "{error}");
        assert_eq!(rows(&engine, "SELECT count(*) FROM a").await.expect("streams"), ["200000"]);
    });
}

#[test]
fn very_wide_tables_can_be_queried() {
    run(async {
        let names: Vec<String> = (0..100_000).map(|column| format!("c{column}")).collect();
        let text = format!("{}\n{}\n", names.join(","), vec!["1"; names.len()].join(","));
        let (_folder, engine) = engine_with(&text).await.expect("an engine");
        for sql in ["SELECT * FROM people", "select * from \"people\" limit 1"] {
            let batches = engine.query(sql).await.expect("rows").collect().await.expect("rows");
            assert_eq!((batches[0].num_columns(), batches[0].num_rows()), (100_000, 1));
        }
        assert_eq!(rows(&engine, "SELECT c0 * 2 + c99999, count(*) OVER () FROM people").await.expect("rows"), ["3|1"]);
        let error = rows(&engine, "SELECT * FROM people WHERE c0 = 1").await.expect_err("too many to plan");
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported, "{error}");
    });
}

#[test]
fn json_can_be_joined_with_text() {
    run(async {
        let (folder, engine) = engine_with(TITANIC).await.expect("an engine");
        std::fs::write(folder.path().join("b.jsonl"), "{\"PassengerId\": 3, \"ok\": true}\n").expect("written");
        engine.add_source("b", &SourceSpec::Json(JsonSpec::new("b.jsonl")), folder.path()).await.expect("a source");
        let found =
            rows(&engine, "SELECT people.Name, b.ok FROM people JOIN b USING (PassengerId)").await.expect("rows");
        assert_eq!(found, ["小明|true"]);
    });
}

#[test]
fn adult_is_what_it_is_known_to_be() {
    let Some(folder) = crate::testing::real_data("adult") else { return };
    run(async {
        let engine = Engine::new(&EngineSpec::default()).expect("an engine");
        for (name, path) in [("train", "adult-train.csv.gz"), ("test", "adult-test.csv.gz")] {
            let mut spec = CsvSpec::new(path);
            spec.header = false;
            engine.add_source(name, &SourceSpec::Csv(spec), &folder).await.expect("a source");
        }
        let count = "SELECT count(*), sum(CASE WHEN column_15 LIKE '>50K%' THEN 1 ELSE 0 END) FROM";
        assert_eq!(rows(&engine, &format!("{count} train")).await.expect("rows"), ["32561|7841"]);
        assert_eq!(rows(&engine, &format!("{count} test")).await.expect("rows"), ["16281|3846"]);
        let missing =
            "SELECT count(*) - count(column_2), count(*) - count(column_7), count(*) - count(column_14) FROM train";
        assert_eq!(rows(&engine, missing).await.expect("rows"), ["1836|1843|583"]);
    });
}

#[test]
fn parts_of_files_are_read_on_several_threads_and_rows_keep_their_order() {
    use std::fs::File;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::properties::WriterProperties;
    use datafusion::physical_plan::ExecutionPlanProperties;

    let folder = tempfile::tempdir().expect("a folder");
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    for (name, first) in [("a.parquet", 0), ("b.parquet", 20_000)] {
        let groups = WriterProperties::builder().set_max_row_group_row_count(Some(500)).build();
        let file = File::create(folder.path().join(name)).expect("a file");
        let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(groups)).expect("a writer");
        let numbers: Int64Array = (first..first + 20_000).collect();
        writer
            .write(&RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers)]).expect("rows"))
            .expect("written");
        writer.close().expect("written");
    }
    run(async {
        let engine = Engine::new(&EngineSpec { threads_reading: 4, ..EngineSpec::default() }).expect("an engine");
        let source = SourceSpec::Parquet(ParquetSpec::new("*.parquet"));
        engine.add_source("p", &source, folder.path()).await.expect("a source");
        let table = engine.session.table_provider(TableReference::bare("p")).await.expect("a table");
        let state = engine.session.state();
        for turn in 0..5 {
            let plan = table.scan(&state, None, &[], None).await.expect("a plan");
            let parts = ahead::parts(&plan, 8_192).expect("a plan").expect("more than one part");
            assert!(parts.output_partitioning().partition_count() > 10);
            let rows = ahead::in_order(parts, 4, &state).expect("rows");
            let batches: Vec<RecordBatch> = rows.map(|batch| batch.expect("rows")).collect().await;
            let numbers =
                batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
            assert!(numbers.eq(0..40_000), "turn {turn}");
        }
    });
}
