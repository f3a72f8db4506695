//! Each check on rows that have its fault, and on rows that do not; then on real data with known faults.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::ErrorKind;

fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn whole(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: impl IntoIterator<Item = impl AsRef<str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true)).collect();
    let values = columns.into_iter().map(|(_, values)| values).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).expect("a table")
}

fn run(target: Option<&str>, train: &RecordBatch, test: &[RecordBatch]) -> AuditReport {
    // In two batches, so that rows are counted across them.
    let half = train.num_rows() / 2;
    let train = [train.slice(0, half), train.slice(half, train.num_rows() - half)];
    audit(&AuditRequest { table: "t", target, train: &train, test }).expect("an audit")
}

/// Numbers without any order that are the same in every run.
fn noise(n: usize, seed: u64) -> impl Iterator<Item = f64> {
    (0..n as u64).map(move |row| (crate::hash::mix(row * 31 + seed) >> 11) as f64 / (1u64 << 53) as f64)
}

/// Exactly these findings: severity, check, and how the message begins.
fn check(report: &AuditReport, expected: &[(Severity, &str, &str)]) {
    let found: Vec<_> = report.findings.iter().map(|f| (f.severity, f.check.as_str(), f.message.as_str())).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1), "{found:?}");
        assert!(found.2.starts_with(expected.2), "{}\n{}", found.2, expected.2);
    }
}

use Severity::{Error, Info, Warning};

#[test]
fn sound_rows_have_no_findings() {
    let n = 200;
    let rows = table(vec![
        ("x", floats(noise(n, 1))),
        ("c", texts(noise(n, 2).map(|x| ["a", "b", "c"][(x * 3.0) as usize]))),
        ("y", texts(noise(n, 3).map(|x| if x > 0.4 { "yes" } else { "no" }))),
    ]);
    let test = table(vec![("x", floats(noise(50, 9))), ("c", texts(["a"; 50])), ("y", texts(["no"; 50]))]);
    let report = run(Some("y"), &rows, &[test]);
    check(&report, &[]);
    assert!(!report.has_errors());
    assert_eq!((report.table.as_str(), report.profile.rows, report.profile.columns.len()), ("t", 200, 3));
}

#[test]
fn tables_without_rows_or_target_are_errors() {
    let rows = table(vec![("age", whole([])), ("y", whole([]))]);
    check(&run(Some("y"), &rows, &[]), &[(Error, "empty", "table \"t\" has no rows")]);
    let report = audit(&AuditRequest { table: "t", target: None, train: &[], test: &[] }).expect("an audit");
    assert!(report.has_errors());
    let rows = table(vec![("age", whole([1, 2, 2])), ("y", whole([1, 2, 3]))]);
    let message = "no target column \"agee\" in table \"t\"; did you mean \"age\"?";
    check(&run(Some("agee"), &rows, &[]), &[(Error, "target", message)]);
}

#[test]
fn unusable_targets_are_errors() {
    let x = || ("x", floats(noise(40, 1)));
    let of = |values: ArrayRef| run(Some("y"), &table(vec![x(), ("y", values)]), &[]);
    let report = of(Arc::new((0..40).map(|row| (row % 8 != 0).then_some(row as f64 * 0.5)).collect::<Float64Array>()));
    check(&report, &[(Error, "target", "the target \"y\" has no value in 5 of 40 rows (12.5 %); leave them out")]);
    assert_eq!(report.findings[0].rows, [0, 8, 16, 24, 32]);
    let report = of(floats((0..40).map(|row| if row == 7 { f64::INFINITY } else { f64::from(row) })));
    check(&report, &[(Error, "target", "the target \"y\" is infinite in 1 of 40 rows")]);
    check(
        &of(whole([3; 40])),
        &[(Error, "target", "the target \"y\" is \"3\" in every row; there is nothing to learn")],
    );
    let names = (0..40).map(|row| format!("name {row}"));
    check(&of(texts(names)), &[(Error, "target", "the target \"y\" is a different text in every row")]);
}

#[test]
fn columns_are_checked() {
    let n = 100;
    let gaps: StringArray = (0..n).map(|row| (row % 4 != 0).then_some(["a", "b"][row % 2])).collect();
    let mut far: Vec<f64> = noise(n, 1).collect();
    far[60] = 100.0;
    let mut infinite: Vec<f64> = noise(n, 2).collect();
    infinite[3] = f64::NEG_INFINITY;
    let rows = table(vec![
        ("gaps", Arc::new(gaps)),
        ("same", whole([5; 100])),
        ("id", whole(1000..1100)),
        ("far", floats(far)),
        ("infinite", floats(infinite)),
        ("nothing", Arc::new(StringArray::from(vec![None::<&str>; n]))),
    ]);
    let report = run(None, &rows, &[]);
    check(
        &report,
        &[
            (Warning, "missing", "column \"gaps\" has no value in 25 of 100 rows (25.0 %)"),
            (Warning, "constant", "column \"same\" has the same value in every row, \"5\""),
            (Warning, "identifier", "column \"id\" has as many values as rows (100)"),
            (Warning, "infinite", "column \"infinite\" is infinite in 1 of 100 rows (1.0 %)"),
            (Warning, "missing", "column \"nothing\" has no values at all"),
            (Info, "outliers", "column \"far\" lies outside of "),
        ],
    );
    assert_eq!(report.findings[3].rows, [3]);
    assert_eq!((report.findings[5].rows.as_slice(), report.findings[5].value), ([60].as_slice(), 0.01));
}

#[test]
fn repeated_rows_are_found() {
    let mut x: Vec<f64> = noise(100, 1).collect();
    let mut y: Vec<&str> = noise(100, 2).map(|x| if x > 0.5 { "yes" } else { "no" }).collect();
    (x[50], y[50]) = (x[7], y[7]);
    (x[70], y[70]) = (x[8], if y[8] == "yes" { "no" } else { "yes" });
    let rows = table(vec![("x", floats(x.clone())), ("y", texts(&y))]);
    let other = if y[5] == "yes" { "no" } else { "yes" };
    let test = table(vec![("x", floats([x[3], x[5], 9.0])), ("y", texts([y[3], other, "no"]))]);
    let report = run(Some("y"), &rows, &[test]);
    check(
        &report,
        &[
            (Warning, "duplicates", "1 of 100 rows (1.0 %) repeat an earlier row"),
            (Warning, "conflicts", "2 of 100 rows (2.0 %) equal others in all but the target \"y\""),
            (Warning, "overlap", "2 of 3 test rows (66.7 %) are among the training rows, 1 with the same target"),
        ],
    );
    let rows: Vec<_> = report.findings.iter().map(|finding| finding.rows.as_slice()).collect();
    assert_eq!(rows, [[50].as_slice(), &[8, 70], &[0, 1]]);
}

#[test]
fn equal_pictures_are_found() {
    let pictures: Vec<Vec<u8>> = (0..30u8).map(|n| vec![n % 29; 50]).collect();
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(&pictures));
    let rows = table(vec![("image", images), ("y", texts((0..30).map(|n| ["a", "b"][n % 29 % 2])))]);
    let report = run(Some("y"), &rows, &[rows.slice(3, 1)]);
    check(
        &report,
        &[
            (Warning, "duplicates", "1 of 30 rows (3.3 %) repeat an earlier row"),
            (Warning, "overlap", "1 of 1 test rows (100.0 %) are among the training rows, all of them"),
        ],
    );
}

#[test]
fn classes_are_weighed() {
    let rows = table(vec![
        ("x", floats(noise(300, 1))),
        ("y", texts((0..300).map(|row| if row < 10 { "rare" } else { "usual" }))),
    ]);
    let test = table(vec![("x", floats([5.0, 6.0])), ("y", texts(["usual", "new"]))]);
    check(
        &run(Some("y"), &rows, &[test]),
        &[
            (
                Warning,
                "imbalance",
                "the target \"y\" is \"rare\" in only 10 rows (3.3 %) and \"usual\" in 290 (96.7 %)",
            ),
            (Warning, "schema", "the target \"y\" has values in 1 test rows that no training row has, such as \"new\""),
        ],
    );
}

#[test]
fn features_that_give_the_target_away_are_found() {
    let n = 400;
    let y: Vec<f64> = noise(n, 1).collect();
    let class = |y: f64| ["low", "mid", "high"][(y * 3.0) as usize];
    let columns = |target: ArrayRef| {
        table(vec![
            ("code", texts(y.iter().map(|&y| ["L", "M", "H"][(y * 3.0) as usize]))),
            ("scaled", floats(y.iter().map(|y| 3.0 * y + 1.0))),
            ("curved", floats(y.iter().map(|y| (5.0 * y).exp()))),
            ("noise", floats(noise(n, 2))),
            ("key", texts((0..n).map(|row| format!("k{row}")))),
            ("y", target),
        ])
    };
    let report = run(Some("y"), &columns(texts(y.iter().map(|&y| class(y)))), &[]);
    let leaks = |report: &AuditReport| -> Vec<String> {
        let leaks = report.findings.iter().filter(|f| f.check == "leak" && f.severity == Warning);
        leaks.filter_map(|finding| finding.column.clone()).collect()
    };
    assert_eq!(leaks(&report)[..1], ["code"]);
    let report = run(Some("y"), &columns(floats(y.iter().copied())), &[]);
    assert_eq!(leaks(&report), ["scaled", "curved"]);
    let keys: Vec<_> = report.findings.iter().filter(|f| f.check == "identifier").map(|f| f.column.clone()).collect();
    assert_eq!(keys, [Some("key".to_owned())]);
}

#[test]
fn a_value_that_tells_a_class_is_mentioned() {
    let n = 400;
    let y: Vec<bool> = noise(n, 1).map(|x| x > 0.7).collect();
    let told: Vec<&str> =
        y.iter().zip(noise(n, 2)).map(|(&y, x)| if y && x > 0.5 { "closed" } else { "open" }).collect();
    let rows =
        table(vec![("state", texts(told)), ("x", floats(noise(n, 4))), ("y", whole(y.iter().map(|&y| i64::from(y))))]);
    let message = "where column \"state\" is \"closed\", the target \"y\" is always \"1\" (";
    check(&run(Some("y"), &rows, &[]), &[(Info, "leak", message)]);
}

#[test]
fn test_rows_must_have_the_same_columns() {
    let rows =
        table(vec![("x", floats(noise(30, 1))), ("y", texts(noise(30, 2).map(|x| if x > 0.5 { "a" } else { "b" })))]);
    let test = table(vec![("x", floats([1.0]))]);
    check(&run(Some("y"), &rows, &[test]), &[(Error, "schema", "column \"y\" is missing in the test rows")]);
    let other = [rows.clone(), table(vec![("x", texts(["a"])), ("y", texts(["a"]))])];
    let error =
        audit(&AuditRequest { table: "t", target: None, train: &other, test: &[] }).expect_err("two kinds of rows");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// All rows of a file of real data.
fn real(folder: &str, file: &str) -> Option<Vec<RecordBatch>> {
    let path = crate::testing::real_data(folder)?.join(file);
    let reader =
        crate::source::reader(&crate::detect(&path).expect("known"), std::path::Path::new("/")).expect("readable");
    Some(crate::source::testing::read_all(reader.as_ref()).expect("rows"))
}

#[test]
fn adult_has_its_known_faults() {
    let Some(train) = real("adult", "adult-train.csv.gz") else { return };
    let request = AuditRequest { table: "adult", target: Some("column_15"), train: &train, test: &[] };
    let report = audit(&request).expect("an audit");
    assert!(!report.has_errors());
    let found: Vec<_> = report.findings.iter().map(|f| f.message.as_str()).collect();
    // 24 duplicates and 1,836 missing work classes are the figures that pandas finds.
    assert!(found.contains(&"column \"column_2\" has no value in 1,836 of 32,561 rows (5.6 %)"), "{found:#?}");
    assert!(
        found.iter().any(|message| message.starts_with("24 of 32,561 rows (less than 0.1 %) repeat")),
        "{found:#?}"
    );
    assert!(!report.findings.iter().any(|f| f.check == "leak" && f.severity == Warning), "{found:#?}");
}

#[test]
fn titanic_and_machine_failures_have_theirs() {
    let Some(train) = real("titanic", "train.csv") else { return };
    let request = AuditRequest { table: "titanic", target: Some("Survived"), train: &train, test: &[] };
    let report = audit(&request).expect("an audit");
    let of = |check: &str| -> Vec<_> {
        report.findings.iter().filter(|f| f.check == check).filter_map(|f| f.column.as_deref()).collect()
    };
    assert_eq!((of("identifier"), of("missing")), (vec!["PassengerId", "Name"], vec!["Age", "Cabin", "Embarked"]));
    let Some(train) = real("ai4i2020", "ai4i2020.csv.gz") else { return };
    let request = AuditRequest { table: "machines", target: Some("Machine_failure"), train: &train, test: &[] };
    let report = audit(&request).expect("an audit");
    let leak = report.findings.iter().find(|f| f.check == "leak" && f.column.as_deref() == Some("HDF"));
    let leak = leak.expect("heat dissipation failures are failures");
    assert!(leak.message.contains("always \"1\" (115 rows, 33.9 % of that class)"), "{}", leak.message);
}
