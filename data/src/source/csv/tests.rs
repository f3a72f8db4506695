//! CSV as people have it: blanks behind commas, question marks, quotes, and all the ways in which it is broken.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::source::Reader;
use crate::source::testing::{lines, read_all};

/// Reads `text` as `a.csv` with these settings.
fn read_with(text: impl AsRef<[u8]>, set: impl FnOnce(&mut CsvSpec)) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.csv"), text).expect("written");
    let mut spec = CsvSpec::new("a.csv");
    set(&mut spec);
    let reader = CsvReader::open(&spec, folder.path())?;
    let batches = read_all(&reader)?;
    Ok((Arc::clone(reader.schema()), batches))
}

fn check(text: &str, types: &[DataType], expected: &[&str]) {
    let (schema, batches) = read_with(text, |_| ()).expect("readable");
    let found: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(found, types, "{text:?}");
    assert_eq!(lines(&batches), expected, "{text:?}");
}

fn check_error(text: &[u8], set: impl FnOnce(&mut CsvSpec), expected: &str) {
    let error = read_with(text, set).expect_err("a fault");
    assert_eq!(error.kind(), crate::ErrorKind::Invalid);
    assert!(error.to_string().ends_with(expected), "{error}\n{expected}");
}

#[test]
fn values_have_types() {
    use DataType::{Boolean, Date32, Float64, Int64, Utf8};
    check("a,b\n1,x\n2,y\n", &[Int64, Utf8], &["1|x", "2|y"]);
    check("a, b\n1, ?\nNA, 2.5\n", &[Int64, Float64], &["1|", "|2.5"]);
    check("a,b\ntrue,2026-01-31\n,\n", &[Boolean, Date32], &["true|2026-01-31", "|"]);
    check("a\n\"1\"\n\"x, y\"\n", &[Utf8], &["1", "x, y"]);
    check("zip\n00123\n45678\n", &[Utf8], &["00123", "45678"]);
    check("a,b\n,1\n,2\n", &[Utf8, Int64], &["|1", "|2"]);
    check("年龄,名字\n3,小明\n", &[Int64, Utf8], &["3|小明"]);
}

#[test]
fn settings_are_followed() {
    let (schema, batches) = read_with("1;x\n2;y\n", |spec| {
        spec.delimiter = Some(';');
        spec.header = false;
        spec.columns = vec!["n".into(), "t".into()];
        spec.types = [("n".to_owned(), ColumnType::Number)].into();
    })
    .expect("readable");
    assert_eq!(schema.field(0).data_type(), &DataType::Float64);
    assert_eq!(lines(&batches), ["1.0|x", "2.0|y"]);
    let (schema, _) = read_with("1,2,3\n", |spec| spec.header = false).expect("readable");
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["column_1", "column_2", "column_3"]);
    let (schema, _) = read_with("a,,a\n1,2,3\n", |_| ()).expect("readable");
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["a", "column_2", "a_2"]);
}

#[test]
fn faults_name_file_line_and_remedy() {
    check_error(b"", |_| (), "a.csv is empty");
    check_error(b"a,b\n", |_| (), "a.csv has a header but no rows");
    check_error(
        b"a;b\n1;2\n3;4\n",
        |_| (),
        "has one column if \",\" is the delimiter, but each line holds \";\"; set delimiter: \";\"",
    );
    check_error(b"a\tb\n1\t2\n", |_| (), "set delimiter: \"\\t\"");
    check_error(b"a,b\n1,2\n\n3\n", |_| (), "a.csv, line 4: 1 field where 2 were expected; add what is missing");
    check_error(
        b"a,b\n1,2,3\n",
        |_| (),
        "a.csv, line 2: 3 fields where 2 were expected; quote values that hold the delimiter",
    );
    check_error(
        b"a,b\n1,\xff\n",
        |_| (),
        "a.csv, line 2: byte 0xff is not UTF-8; set encoding, or save the file as UTF-8",
    );
    check_error(
        b"a,b\n1,2\n3,x\n",
        |spec| spec.sample_rows = 1,
        "a.csv, line 3: column \"b\" holds whole numbers in the first 1 rows, but here \"x\"; set sample_rows: 3 or more, \
         types: {\"b\": text}, or add the value to null_values",
    );
    check_error(b"a,b\n1,2\n", |spec| spec.columns = vec!["x".into()], "a.csv has 2 columns, but columns: names 1");
    check_error(b"a,b\n1,2\n", |spec| spec.delimiter = Some('、'), "it must be one ASCII character of a line");
}

#[test]
fn files_of_one_source_have_the_same_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("1.csv"), "a,b\n1,2\n").expect("written");
    std::fs::write(folder.path().join("2.csv"), "a,b\n3,4.5\n").expect("written");
    let reader = CsvReader::open(&CsvSpec::new("*.csv"), folder.path()).expect("readable");
    assert_eq!(lines(&read_all(&reader).expect("rows")), ["1|2.0", "3|4.5"]);
    std::fs::write(folder.path().join("3.csv"), "a,c\n3,4.5\n").expect("written");
    let error = CsvReader::open(&CsvSpec::new("*.csv"), folder.path()).expect_err("another header").to_string();
    assert!(error.contains("3.csv: column 2 is called \"c\", but in "), "{error}");
}

#[test]
fn packed_files_are_unpacked_and_broken_ones_refused() {
    use std::io::Write;
    let folder = tempfile::tempdir().expect("a folder");
    let text = "a\n".to_owned() + &"12345\n".repeat(50_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("packed");
    let gzip = gzip.finish().expect("packed");
    std::fs::write(folder.path().join("a.csv.gz"), &gzip).expect("written");
    std::fs::write(folder.path().join("a.csv.zst"), zstd::encode_all(text.as_bytes(), 1).expect("packed"))
        .expect("written");
    std::fs::write(folder.path().join("cut.csv.gz"), &gzip[..gzip.len() / 2]).expect("written");
    for name in ["a.csv.gz", "a.csv.zst"] {
        let reader = CsvReader::open(&CsvSpec::new(name), folder.path()).expect("readable");
        let rows: usize = read_all(&reader).expect("rows").iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 50_000, "{name}");
    }
    let error = CsvReader::open(&CsvSpec::new("cut.csv.gz"), folder.path()).expect_err("cut off");
    assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
}

#[test]
fn very_wide_tables_stay_within_bounds() {
    let width = 100_000;
    let header: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
    let row = vec!["1"; width].join(",");
    let text = format!("{}\n{row}\n{row}\n", header.join(","));
    let (schema, batches) = read_with(text, |_| ()).expect("readable");
    assert_eq!((schema.fields().len(), batches.iter().map(RecordBatch::num_rows).sum::<usize>()), (width, 2));
}

#[test]
fn pieces_of_a_file_come_in_order_and_faults_name_their_lines() {
    let row = |id: usize| match id % 1_000 {
        0 => format!("{id},\"two\nlines, and a comma\"\n"),
        _ => format!("{id},{}\n", "x".repeat(id % 40)),
    };
    let text = |rows: usize| "id,t\n".to_owned() + &(0..rows).map(row).collect::<String>();
    let whole = text(200_000);
    assert!(whole.len() > 4 << 20, "several pieces");
    let (_, batches) = read_with(&whole, |_| ()).expect("readable");
    let ids = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert!(ids.eq(0..200_000));
    assert!(batches.iter().all(|batch| (1..=BATCH_ROWS).contains(&batch.num_rows())));

    // 150,000 rows and 150 line breaks within them stand before it, and the header.
    let broken = text(150_000) + "a,b\n" + &whole["id,t\n".len()..];
    check_error(
        broken.as_bytes(),
        |_| (),
        "a.csv, line 150152: column \"id\" holds whole numbers in the first 50000 rows, but here \"a\"; set sample_rows: \
         150152 or more, types: {\"id\": text}, or add the value to null_values",
    );

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.csv"), broken).expect("written");
    let reader = CsvReader::open(&CsvSpec::new("a.csv"), folder.path()).expect("readable");
    let mut taken = 0;
    let read = reader.read(&[1], &mut |batch| {
        taken += batch.num_rows();
        ControlFlow::Break(())
    });
    assert!(read.is_ok() && taken > 0, "what is behind the rows that are wanted is not looked at");
}
