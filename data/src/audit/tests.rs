mod full;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use profile::hash::hash_integer;

use super::*;
use crate::IMAGE_METADATA;

const N: usize = 200;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn floats(n: usize, value: impl Fn(usize) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..n).map(value)))
}

fn integers(n: usize, value: impl Fn(usize) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..n).map(value)))
}

fn texts(n: usize, value: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..n).map(value)))
}

/// Between 0 and 1, different for every seed and row.
fn noise(seed: u64, row: usize) -> f64 {
    (hash_integer((seed << 32) + row as u64) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A table in which nothing is wrong: two features, two classes.
fn sound(n: usize) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("size", floats(n, |i| noise(1, i))),
        ("colour", texts(n, |i| ["red", "green", "blue"][i % 3].into())),
        ("class", texts(n, |i| if noise(2, i) < 0.4 { "yes".into() } else { "no".into() })),
    ]
}

fn with(name: &'static str, array: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    let mut columns = sound(array.len());
    match columns.iter_mut().find(|(other, _)| *other == name) {
        Some(column) => column.1 = array,
        None => columns.push((name, array)),
    }
    columns
}

fn found(target: &str, train: &[RecordBatch], test: &[RecordBatch]) -> Vec<Finding> {
    audit(&AuditRequest { table: "things", target: Some(target), train, test, depth: Depth::Quick }).unwrap().findings
}

/// The only finding of a table with this column instead of a sound one.
fn only(name: &'static str, array: ArrayRef) -> Finding {
    let mut findings = found("class", &[batch(with(name, array))], &[]);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.remove(0)
}

fn check(finding: &Finding, severity: Severity, check: &str, value: f64, words: &str) {
    assert_eq!((finding.severity, finding.check.as_str()), (severity, check), "{finding:?}");
    assert!((finding.value - value).abs() < 1e-9, "{finding:?}");
    assert!(finding.message.contains(words), "{}", finding.message);
    assert!(finding.rows.len() <= 10);
}

#[test]
fn a_sound_table_has_no_findings() {
    let all = batch(sound(N));
    let report = audit(&AuditRequest {
        table: "things",
        target: Some("class"),
        train: &[all.slice(0, 60), all.slice(60, 0), all.slice(60, 90)],
        test: &[all.slice(150, 50)],
        depth: Depth::Full,
    });
    let report = report.unwrap();
    assert_eq!(report.findings, []);
    assert!(!report.has_errors());
    assert_eq!((report.table.as_str(), report.profile.rows), ("things", 150));
    let report =
        audit(&AuditRequest { table: "things", target: None, train: &[all], test: &[], depth: Depth::Full }).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn no_rows_is_an_error() {
    let empty = batch(sound(N)).slice(0, 0);
    for train in [vec![], vec![empty.clone()]] {
        let findings = found("class", &train, &[]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        check(&findings[0], Severity::Error, "empty", 0.0, "table \"things\" has no rows to train on");
    }
    let findings = found("klass", &[empty], &[]);
    assert_eq!(findings.iter().map(|f| f.check.as_str()).collect::<Vec<_>>(), ["empty", "target"]);
}

#[test]
fn one_row_is_no_panic() {
    let findings = found("class", &[batch(sound(1))], &[batch(sound(1))]);
    assert_eq!(findings[0].check, "target");
    assert!(findings[0].message.contains("the same value in all 1 training row:"), "{}", findings[0].message);
}

#[test]
fn a_missing_target_is_named_with_the_nearest_column() {
    let findings = found("clas", &[batch(sound(N))], &[]);
    check(
        &findings[0],
        Severity::Error,
        "target",
        0.0,
        "no target column \"clas\" in table \"things\"; did you mean \"class\"?",
    );
    let findings = found("zzzzzz", &[batch(sound(N))], &[]);
    check(&findings[0], Severity::Error, "target", 0.0, "its columns are \"size\", \"colour\", \"class\"");
}

#[test]
fn a_target_must_have_finite_values_and_more_than_one() {
    let class: ArrayRef = Arc::new(StringArray::from_iter((0..N).map(|i| match i {
        3 | 77 => None,
        i => Some(if noise(2, i) < 0.4 { "yes" } else { "no" }),
    })));
    let finding = only("class", class.clone());
    check(
        &finding,
        Severity::Error,
        "target",
        0.01,
        "no value in 2 of 200 training rows (1.0 %): rows 4, 78; leave them out",
    );
    assert_eq!(finding.rows, [3, 77]);
    let findings = found("class", &[batch(sound(N))], &[batch(with("class", class))]);
    assert!(findings.iter().any(|f| f.check == "target" && f.message.contains("2 of 200 test rows")), "{findings:?}");

    let finding = only("class", floats(N, |i| if i == 9 { f64::INFINITY } else { noise(3, i) }));
    check(&finding, Severity::Error, "target", 0.005, "is infinite in 1 of 200 training rows (0.5 %): row 10;");
    assert_eq!(finding.rows, [9]);
    let finding = only("class", floats(N, |i| if i == 9 { f64::NAN } else { noise(3, i) }));
    check(&finding, Severity::Error, "target", 0.005, "no value in 1 of 200 training rows");
    let finding = only("class", texts(N, |_| "no".into()));
    check(&finding, Severity::Error, "target", 1.0, "the same value in all 200 training rows");
    let nothing: ArrayRef = Arc::new(StringArray::new_null(N));
    check(&only("class", nothing), Severity::Error, "target", 1.0, "no value in 200 of 200 training rows");
}

#[test]
fn missing_values_are_told_and_many_are_a_warning() {
    let gaps =
        |n: usize| -> ArrayRef { Arc::new(Float64Array::from_iter((0..N).map(|i| (i >= n).then(|| noise(4, i))))) };
    check(
        &only("gaps", gaps(4)),
        Severity::Info,
        "missing",
        0.02,
        "column \"gaps\" has no value in 4 of 200 rows (2.0 %)",
    );
    check(&only("gaps", gaps(60)), Severity::Info, "missing", 0.3, "60 of 200");
    let finding = only("gaps", gaps(61));
    check(&finding, Severity::Warning, "missing", 0.305, "leave it out, or add a missing indicator");
    assert_eq!((finding.column.as_deref(), finding.rows), (Some("gaps"), (0..10).collect()));
    check(&only("gaps", gaps(N)), Severity::Warning, "missing", 1.0, "check where it comes from");
    check(
        &only("gaps", floats(N, |i| if i < 4 { f64::NAN } else { noise(4, i) })),
        Severity::Info,
        "missing",
        0.02,
        "4 of",
    );
}

#[test]
fn infinite_constant_and_identifying_columns_are_warnings() {
    let finding = only("ratio", floats(N, |i| if i % 100 == 7 { f64::NEG_INFINITY } else { noise(4, i) }));
    check(&finding, Severity::Warning, "infinite", 0.01, "is infinite in 2 of 200 rows (1.0 %); they count as missing");
    assert_eq!(finding.rows, [7, 107]);
    check(
        &only("same", integers(N, |_| 3)),
        Severity::Warning,
        "constant",
        1.0,
        "has the same value \"3\" in all 200 rows",
    );
    check(&only("row", integers(N, |i| i as i64)), Severity::Warning, "identifier", 1.0, "in each of 200 rows");
    let sparse = |i: usize| (hash_integer(i as u64) >> 20) as i64;
    check(&only("user_id", integers(N, sparse)), Severity::Warning, "identifier", 1.0, "column \"user_id\"");
    check(&only("name", texts(N, |i| format!("n{i}"))), Severity::Warning, "identifier", 1.0, "left out");
    // Measurements may differ in every row, and one value beside gaps says where the gaps are.
    assert_eq!(found("class", &[batch(with("weight", integers(N, sparse)))], &[]), []);
    assert_eq!(found("class", &[batch(with("length", floats(N, |i| i as f64)))], &[]), []);
    let flag: ArrayRef = Arc::new(BooleanArray::from_iter((0..N).map(|i| (noise(9, i) < 0.9).then_some(true))));
    assert_eq!(only("flag", flag).check, "missing");
}

#[test]
fn identifiers_are_found_beyond_exact_counting() {
    let n = 20_000;
    assert_eq!(only("name", texts(n, |i| format!("n{i}"))).check, "identifier");
    assert_eq!(found("class", &[batch(with("name", texts(n, |i| format!("n{}", i % (n - 1)))))], &[]), []);
}

#[test]
fn duplicates_and_conflicts_are_counted_with_rows() {
    let rows = batch(sound(N));
    let findings = found("class", &[rows.clone(), rows.slice(20, 10)], &[]);
    assert_eq!(findings.len(), 1);
    check(&findings[0], Severity::Warning, "duplicates", 10.0 / 210.0, "10 of 210 rows (4.8 %) repeat an earlier row:");
    assert_eq!(findings[0].rows, (200..210).collect::<Vec<u64>>());
    // A row number does not make a row another one.
    let numbered = |n: usize, at: i64| integers(n, |i| i as i64 + at);
    let mut twice = sound(N);
    twice.push(("row", numbered(N, 0)));
    let mut again: Vec<_> = sound(N).into_iter().map(|(name, array)| (name, array.slice(20, 10))).collect();
    again.push(("row", numbered(10, 500)));
    let findings = found("class", &[batch(twice), batch(again)], &[]);
    let names: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(names, ["duplicates", "identifier"]);
    assert!(findings[0].message.contains("identifiers aside"));

    let other = |class: &str| {
        let mut columns: Vec<_> = sound(N).into_iter().map(|(name, array)| (name, array.slice(0, 2))).collect();
        columns[2].1 = texts(2, |_| class.into());
        batch(columns)
    };
    let findings = found("class", &[rows, other("maybe")], &[]);
    let conflict = findings.iter().find(|finding| finding.check == "conflicts").unwrap();
    check(
        conflict,
        Severity::Warning,
        "conflicts",
        4.0 / 202.0,
        "4 of 202 rows (2.0 %) have the features of another row",
    );
    assert_eq!(conflict.rows, [0, 1, 200, 201]);
}

#[test]
fn missing_values_are_equal_in_duplicates() {
    let gaps: ArrayRef = Arc::new(Float64Array::from_iter((0..N).map(|i| match i {
        0 => None,
        1 => Some(f64::NAN),
        i => Some(noise(5, i)),
    })));
    let findings =
        found("class", &[batch(vec![("gaps", gaps), ("class", texts(N, |i| format!("c{}", i / 2 % 2)))])], &[]);
    let duplicates = findings.iter().find(|finding| finding.check == "duplicates").unwrap();
    assert_eq!(duplicates.rows, [1]);
}

#[test]
fn outliers_lie_beyond_three_interquartile_ranges() {
    // Quartiles of 0..1: about 0.25 and 0.75, fences at about -1.25 and 2.25.
    let far = |n: usize| floats(N, move |i| if i < n { 100.0 + i as f64 } else { noise(6, i) });
    let finding = only("wide", far(3));
    check(
        &finding,
        Severity::Info,
        "outliers",
        0.015,
        "column \"wide\" has outliers in 3 of 200 rows (1.5 %): below -1.",
    );
    assert_eq!(finding.rows, [2, 1, 0], "the farthest first");
    check(&only("wide", far(11)), Severity::Warning, "outliers", 0.055, "clip them");
    assert_eq!(
        found("class", &[batch(with("mostly", floats(N, |i| if i % 5 == 0 { noise(7, i) } else { 0.0 })))], &[]),
        []
    );
    // A quantity to predict is looked at as well.
    check(&only("class", far(3)), Severity::Info, "outliers", 0.015, "column \"class\"");
}

#[test]
fn small_classes_are_a_warning() {
    let class = |rare: usize| texts(N, move |i| if i < rare { "rare".into() } else { "often".into() });
    check(
        &only("class", class(9)),
        Severity::Warning,
        "imbalance",
        0.045,
        "\"rare\", has 9 of 200 training rows (4.5 %)",
    );
    assert_eq!(found("class", &[batch(with("class", class(10)))], &[]), []);
    // Of thirty classes of the same size each has 3.3 %.
    assert_eq!(found("class", &[batch(with("class", texts(600, |i| format!("c{}", i % 30))))], &[]), []);
    check(
        &only("class", texts(600, |i| format!("c{}", if i < 2 { 29 } else { i % 29 }))),
        Severity::Warning,
        "imbalance",
        2.0 / 600.0,
        "the smallest class of 30 classes",
    );
    check(&only("class", integers(N, |i| i64::from(i < 5))), Severity::Warning, "imbalance", 0.025, "\"1\", has 5 of");
}

#[test]
fn a_feature_that_gives_the_target_away_is_a_warning() {
    let no = |i: usize| noise(2, i) >= 0.4;
    check(
        &only("code", texts(N, |i| if no(i) { "0".into() } else { "1".into() })),
        Severity::Warning,
        "leak",
        1.0,
        "tells the class",
    );
    check(
        &only("code", integers(N, |i| i64::from(no(i)) * 4 + (i % 4) as i64)),
        Severity::Warning,
        "leak",
        1.0,
        "in 100.0 %",
    );
    // Two rows of 200 otherwise: 99 % is good, but no proof.
    assert_eq!(found("class", &[batch(with("code", integers(N, |i| i64::from(no(i) == (i > 1)))))], &[]), []);
    let finding = only("score", floats(N, |i| f64::from(no(i)) + 0.001 * noise(8, i)));
    check(&finding, Severity::Warning, "leak", finding.value, "rise and fall together");
    // Every value once: that tells nothing.
    assert_eq!(found("class", &[batch(with("many", texts(N, |i| format!("m{}", i / 2))))], &[]), []);

    let price = |i: usize| 1000.0 * noise(3, i);
    let mut columns = with("class", floats(N, price));
    columns.push(("tax", floats(N, |i| -0.19 * price(i) + noise(8, i) * 0.01)));
    let findings = found("class", &[batch(columns)], &[]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].value > 0.999 && findings[0].value <= 1.0 && findings[0].column.as_deref() == Some("tax"));
    // A straight line of one feature is what a first lesson learns.
    assert_eq!(
        found("y", &[batch(vec![("x", floats(N, price)), ("y", floats(N, |i| 2.0 * price(i) + 1.0))])], &[]),
        []
    );
}

#[test]
fn training_rows_among_the_test_rows() {
    let all = batch(sound(1000));
    let train = [all.slice(0, 500)];
    let findings = found("class", &train, &[all.slice(500, 497), all.slice(0, 3)]);
    check(
        &findings[0],
        Severity::Info,
        "overlap",
        3.0 / 500.0,
        "3 of 500 test rows (0.6 %) have the features of a training row",
    );
    assert_eq!(findings[0].rows, [497, 498, 499]);
    let findings = found("class", &train, &[all.slice(490, 100)]);
    check(&findings[0], Severity::Warning, "overlap", 0.1, "10 of 100 test rows");
    // Columns in another order, another class: still the same features.
    let mut other: Vec<_> = sound(5).into_iter().rev().collect();
    other[0].1 = texts(5, |_| "no".into());
    check(&found("class", &train, &[batch(other)])[0], Severity::Warning, "overlap", 1.0, "5 of 5 test rows");
}

fn pictures(from: usize, n: usize) -> RecordBatch {
    let pixels = (from..from + n).map(|i| (0..784).map(|p| (hash_integer((i * 784 + p) as u64) >> 56) as u8).collect());
    let pixels: Vec<Vec<u8>> = pixels.collect();
    let pixels: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(pixels.iter()).unwrap());
    let label = texts(n, |i| ((from + i) % 10).to_string());
    let metadata = HashMap::from([(IMAGE_METADATA.to_owned(), "28x28x1".to_owned())]);
    let image = Field::new("image", pixels.data_type().clone(), false).with_metadata(metadata);
    let schema = Schema::new(vec![image, Field::new("label", label.data_type().clone(), false)]);
    RecordBatch::try_new(Arc::new(schema), vec![pixels, label]).unwrap()
}

#[test]
fn pictures_are_compared_by_their_pixels() {
    assert_eq!(found("label", &[pictures(0, 300)], &[pictures(300, 50)]), []);
    let findings = found("label", &[pictures(0, 300)], &[pictures(290, 50)]);
    check(&findings[0], Severity::Warning, "overlap", 0.2, "10 of 50 test rows");
    let findings = found("label", &[pictures(0, 300), pictures(7, 1)], &[]);
    check(&findings[0], Severity::Warning, "duplicates", 1.0 / 301.0, "1 of 301 rows");
    let plain = RecordBatch::try_from_iter([
        ("image", texts(50, |i| format!("{i}.png"))),
        ("label", texts(50, |i| (i % 10).to_string())),
    ]);
    let findings = found("label", &[pictures(0, 300)], &[plain.unwrap()]);
    check(&findings[0], Severity::Error, "schema", 1.0, "holds pictures of 28x28x1 in the training rows");
}

#[test]
fn test_rows_need_the_columns_of_the_training_rows() {
    let train = [batch(sound(N))];
    let mut other = sound(N);
    other[0].0 = "siz";
    let findings = found("class", &train, &[batch(other)]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    check(&findings[0], Severity::Error, "schema", 1.0, "no column \"size\"; did you mean \"siz\"?");
    let findings = found("class", &train, &[batch(with("size", texts(N, |i| i.to_string())))]);
    check(
        &findings[0],
        Severity::Error,
        "schema",
        1.0,
        "column \"size\" holds numbers in the training rows of table \"things\", but text",
    );
    // The same in another width is the same.
    let whole = with("size", Arc::new(arrow::array::Float32Array::from_iter_values((0..N).map(|i| 2.0 + i as f32))));
    assert_eq!(found("class", &train, &[batch(whole)]), []);
}

#[test]
fn findings_are_sorted_and_alike_ones_put_together() {
    let mut columns = with("class", texts(N, |i| if i < 3 { "rare".into() } else { "often".into() }));
    let names: Vec<String> = (0..21).map(|i| format!("same{i}")).collect();
    columns.extend(names.iter().map(|name| (name.clone().leak() as &str, integers(N, |_| 3))));
    columns.push(("wide", floats(N, |i| if i == 50 { 100.0 } else { noise(6, i) })));
    let findings = found("class", &[batch(columns.clone())], &[batch(sound(5))]);
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, ["schema", "imbalance", "constant", "outliers"], "{findings:#?}");
    assert!(
        findings[0].message.starts_with("22 columns have the finding \"schema\" (\"same0\", "),
        "{}",
        findings[0].message
    );
    assert!(
        findings[0].message.contains(" and 12 more); the worst: the test rows of table"),
        "{}",
        findings[0].message
    );
    columns.pop();
    columns.truncate(columns.len() - 1);
    let findings = found("class", &[batch(columns)], &[]);
    assert_eq!(findings.len(), 21, "twenty constants are told one by one");
}

#[test]
fn large_tables_are_audited_in_moments() {
    let n = 50_000;
    let mut columns = sound(n);
    for (index, name) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        columns.push((name, integers(n, move |i| (noise(index as u64 + 20, i) * 90.0) as i64)));
    }
    for (index, name) in ["g", "h", "i", "j", "k", "l"].into_iter().enumerate() {
        columns.push((name, texts(n, move |i| format!("word{}", (noise(index as u64 + 40, i) * 40.0) as i64))));
    }
    let table = batch(columns);
    let start = std::time::Instant::now();
    assert_eq!(found("class", &[table], &[]), []);
    println!("50,000 rows of 15 columns: {:?}", start.elapsed());
    let (train, test) = (pictures(0, 60_000), pictures(60_000, 10_000));
    let start = std::time::Instant::now();
    assert_eq!(found("label", &[train], &[test]), []);
    println!("60,000 and 10,000 pictures: {:?}", start.elapsed());
}

const ADULT: &str = "age workclass fnlwgt education education_num marital_status occupation relationship race sex \
                     capital_gain capital_loss hours_per_week native_country income";

#[tokio::test]
async fn adult_is_audited_as_pandas_counts() {
    let Some(folder) = crate::testing::real_data("adult") else { return };
    let engine = crate::Engine::new(&crate::EngineSpec::default()).unwrap();
    let mut parts = Vec::new();
    for name in ["train", "test"] {
        let mut spec = crate::CsvSpec::new(format!("adult-{name}.csv.gz"));
        (spec.header, spec.columns) = (false, ADULT.split(' ').map(str::to_owned).collect());
        engine.add_source(name, &crate::SourceSpec::Csv(spec), &folder).await.unwrap();
        parts.push(engine.query(&format!("SELECT * FROM {name}")).await.unwrap().collect().await.unwrap());
    }
    let start = std::time::Instant::now();
    let findings = found("income", &parts[0], &parts[1]);
    println!("32,561 and 16,281 rows of Adult: {:?}", start.elapsed());
    let of = |check: &str, column: Option<&str>| {
        let is = |finding: &&Finding| finding.check == check && finding.column.as_deref() == column;
        findings.iter().find(is).unwrap_or_else(|| panic!("no finding {check} {column:?}: {findings:#?}"))
    };
    // pandas: duplicated(), isna(), nunique() of income by features, features of test rows in the training rows,
    // and rows beyond the quartiles (quantile) by three times their distance.
    let duplicates = of("duplicates", None);
    check(duplicates, Severity::Warning, "duplicates", 24.0 / 32561.0, "24 of 32,561 rows (0.07 %)");
    assert_eq!(duplicates.rows, [4881, 5104, 9171, 11631, 13084, 15059, 17040, 18555, 18698, 21318]);
    let overlap = of("overlap", None);
    check(overlap, Severity::Info, "overlap", 26.0 / 16281.0, "26 of 16,281 test rows");
    assert_eq!(overlap.rows, [1668, 1781, 1854, 1863, 2373, 4152, 5078, 5782, 5907, 6432]);
    let conflicts = of("conflicts", Some("income"));
    check(conflicts, Severity::Warning, "conflicts", 2.0 / 32561.0, "2 of 32,561 rows");
    assert_eq!(conflicts.rows, [848, 22761]);
    for (column, missing) in [("workclass", 1836), ("occupation", 1843), ("native_country", 583)] {
        check(of("missing", Some(column)), Severity::Info, "missing", f64::from(missing) / 32561.0, "has no value");
    }
    check(of("outliers", Some("fnlwgt")), Severity::Info, "outliers", 152.0 / 32561.0, "152 of 32,561 rows (0.5 %)");
    check(
        of("outliers", Some("hours_per_week")),
        Severity::Warning,
        "outliers",
        4379.0 / 32561.0,
        "below 25 or above 60",
    );
    assert_eq!(findings.len(), 8, "{findings:#?}");
}
