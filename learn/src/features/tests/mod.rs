//! What holds for any features: the same row gives the same numbers, however it comes.

mod fitting;
mod pictures;
mod prepared;
mod series;
mod texts;
mod useful;

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use ::image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use arrow::array::*;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::*;

use super::*;
use crate::random::Stream;

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn words(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn fit(spec: &str, batch: &RecordBatch) -> Result<Features> {
    fit_for(Takes::Numbers, spec, batch)
}

fn fit_for(takes: Takes, spec: &str, batch: &RecordBatch) -> Result<Features> {
    let spec: FeaturesSpec = serde_json::from_str(spec).unwrap();
    Features::fit(&spec, batch.schema_ref(), &numbers_of("y"), &[], std::slice::from_ref(batch), takes)
}

/// A target of numbers in this column.
fn numbers_of(column: &str) -> Target {
    Target { column: column.into(), task: crate::Task::Regression, labels: vec![], mean: 0.0, scale: 1.0 }
}

fn fit_auto(batch: &RecordBatch) -> Features {
    fit("{}", batch).unwrap()
}

/// The dense input of all rows.
fn dense(features: &Features, batch: &RecordBatch) -> Vec<f32> {
    let encoded = features.encode(batch).unwrap();
    let rows: Vec<u32> = (0..encoded.rows as u32).collect();
    let mut out = vec![f32::NAN; rows.len() * features.dense_width()];
    features.write_dense(&encoded, &rows, &mut out);
    out
}

fn how(features: &Features, column: &str) -> String {
    let choice = features.choices().into_iter().find(|choice| choice.column == column).unwrap();
    choice.how
}

fn picture_file(width: u32, height: u32, shade: u8, colour: bool) -> Vec<u8> {
    let picture = match colour {
        true => DynamicImage::from(RgbImage::from_pixel(width, height, ::image::Rgb([shade, 0, 255]))),
        false => DynamicImage::from(GrayImage::from_pixel(width, height, ::image::Luma([shade]))),
    };
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A text of some words, Chinese characters and marks, or nothing.
fn prose(draw: u64) -> String {
    let words = ["The ", "tide ", "turns, ", "mill", "水", "车 ", "don't ", "3.14 ", "é", "! ", "ＡＢ ", "\t"];
    (0..draw % 14).map(|i| words[(draw >> (4 * i + 4)) as usize % words.len()]).collect()
}

/// A list of some numbers, with holes.
fn list(draw: u64) -> Vec<Option<f32>> {
    (0..draw % 9).map(|i| (draw >> (i + 8) & 3 != 0).then(|| (draw >> (3 * i + 8)) as f32 / 1e9)).collect()
}

/// Every kind of column, with missing values and other oddities, drawn from a seed.
fn mixed(seed: u64, rows: usize) -> RecordBatch {
    let draw = |column: u64, row: usize| Stream::new(seed, column).bits(row as u64);
    let some = |column: u64, row: usize| !draw(column + 100, row).is_multiple_of(7);
    let kinds = ["red", "green", "blue", "", "紫", "red "];
    let pixels = FixedSizeBinaryArray::try_from_iter((0..rows).map(|row| draw(8, row).to_le_bytes()[..6].to_vec()));
    let files: Vec<Vec<u8>> = (0..rows)
        .map(|row| picture_file(1 + (draw(9, row) % 9) as u32, 3, draw(10, row) as u8, row % 2 == 0))
        .collect();
    let number = |row: usize| match draw(1, row) % 11 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => -1e300,
        x => x as f64 / 3.0,
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("float", Arc::new(Float64Array::from_iter((0..rows).map(|row| some(1, row).then(|| number(row)))))),
        ("small", Arc::new(Int8Array::from_iter((0..rows).map(|row| some(2, row).then(|| draw(2, row) as i8))))),
        (
            "text",
            Arc::new(StringArray::from_iter(
                (0..rows).map(|row| some(3, row).then(|| kinds[draw(3, row) as usize % 6])),
            )),
        ),
        ("yes", Arc::new(BooleanArray::from_iter((0..rows).map(|row| some(4, row).then(|| draw(4, row) % 2 == 0))))),
        (
            "when",
            Arc::new(TimestampMicrosecondArray::from_iter(
                (0..rows).map(|row| some(5, row).then(|| (draw(5, row) >> 8) as i64 / 40)),
            )),
        ),
        ("many", Arc::new(UInt16Array::from_iter_values((0..rows).map(|row| draw(6, row) as u16 % 300)))),
        (
            "coded",
            Arc::new(
                (0..rows)
                    .map(|row| some(7, row).then(|| kinds[draw(7, row) as usize % 4]))
                    .collect::<DictionaryArray<Int16Type>>(),
            ),
        ),
        ("prose", Arc::new(StringArray::from_iter((0..rows).map(|row| some(11, row).then(|| prose(draw(11, row))))))),
        ("terms", Arc::new(StringArray::from_iter_values((0..rows).map(|row| prose(draw(12, row)))))),
        ("hashed", Arc::new(StringArray::from_iter_values((0..rows).map(|row| prose(draw(13, row)))))),
        (
            "steps",
            Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(
                (0..rows).map(|row| some(14, row).then(|| list(draw(14, row)))),
            )),
        ),
        (
            "flat",
            Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>((0..rows).map(|row| {
                let drawn = draw(15, row);
                Some((0..drawn % 7).map(move |i| (i != 2).then(|| (drawn >> 60) as i64 * i as i64)))
            }))),
        ),
        ("pixels", Arc::new(pixels.unwrap())),
        ("files", Arc::new(BinaryArray::from_iter_values(files))),
    ];
    let batch = table(columns);
    let metadata = HashMap::from([("tidemill.image".to_owned(), "1x2x3".to_owned())]);
    let fields = batch
        .schema()
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "pixels" => field.as_ref().clone().with_metadata(metadata.clone()),
            _ => field.as_ref().clone(),
        })
        .collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec()).unwrap()
}

const MIXED: &str = r#"{"columns": {
    "small": {"number": {"impute": "mean", "indicator": true, "scale": "robust", "clip": [-100, 90]}},
    "many": {"category": {"encode": {"embedding": {}}, "values_max": 250}},
    "coded": {"category": {"encode": "ordinal"}},
    "when": {"date": {"parts": ["year", "day_of_year", "minute"]}},
    "files": {"image": {"width": 4, "height": 3, "scale": "standard"}},
    "prose": {"text": {"count_min": 1, "length_max": 5}},
    "terms": {"text": {"encode": "tf_idf", "count_min": 1}},
    "hashed": {"text": {"encode": "hashing", "vocabulary_max": 40}},
    "steps": {"series": {"steps": 5, "scale": "robust"}},
    "flat": {"series": {"impute": {"constant": -1}}}
}}"#;

/// Encoded values of every kind, numbers as their bits.
fn bits(encoded: &Encoded) -> impl PartialEq + std::fmt::Debug + use<> {
    let exact = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let terms = |block: &BagBlock| {
        (0..block.rows()).map(|row| (block.row(row).0.to_vec(), exact(block.row(row).1))).collect::<Vec<_>>()
    };
    (
        exact(&encoded.numbers),
        encoded.codes.clone(),
        encoded.images.clone(),
        encoded.texts.clone(),
        encoded.bags.iter().map(terms).collect::<Vec<_>>(),
        encoded.series.iter().map(|block| (block.steps, exact(&block.values))).collect::<Vec<_>>(),
    )
}

#[test]
fn a_batch_is_encoded_as_its_rows_are_bit_for_bit() {
    for (seed, rows) in [(1, 2), (2, 60), (3, 150)] {
        let batch = mixed(seed, rows);
        for takes in [Takes::Numbers, Takes::Sequences] {
            let features = fit_for(takes, MIXED, &batch).unwrap();
            let whole = features.encode(&batch).unwrap();
            let mut one_by_one = Encoded::default();
            for row in 0..rows {
                one_by_one.append(features.encode(&batch.slice(row, 1)).unwrap());
            }
            assert_eq!(bits(&whole), bits(&one_by_one));
            assert_eq!((whole.rows, one_by_one.rows), (rows, rows));
            let backwards: Vec<u32> = (0..rows as u32).rev().collect();
            assert_eq!(bits(&whole.take(&backwards).take(&backwards)), bits(&whole));
            assert!(dense(&features, &batch).iter().all(|x| x.is_finite()), "seed {seed}");
        }
    }
}

#[test]
fn many_rows_are_encoded_as_few_are() {
    let batch = table(vec![
        ("a", Arc::new(Int64Array::from_iter_values((0..10_000).map(|i| i % 1_237)))),
        ("b", Arc::new(StringArray::from_iter_values((0..10_000).map(|i| format!("v{}", i % 50))))),
    ]);
    let features = fit_auto(&batch);
    let whole = features.encode(&batch).unwrap();
    let mut parts = features.encode(&batch.slice(0, 1_500)).unwrap();
    parts.append(features.encode(&batch.slice(1_500, 0)).unwrap());
    parts.append(features.encode(&batch.slice(1_500, 8_500)).unwrap());
    assert_eq!(whole, parts);
}

#[test]
fn features_survive_their_file() {
    let batch = mixed(5, 80);
    let features = fit_for(Takes::Sequences, MIXED, &batch).unwrap();
    let file = serde_json::to_string(&features).unwrap();
    let again: Features = serde_json::from_str(&file).unwrap();
    assert_eq!(again, features);
    assert_eq!(bits(&again.encode(&batch).unwrap()), bits(&features.encode(&batch).unwrap()));
    let exact = |features: &Features| dense(features, &batch).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(exact(&again), exact(&features));
    let broken = file.replacen(r#""values":["#, r#""values":["more","#, 1);
    assert!(serde_json::from_str::<Features>(&broken).unwrap_err().to_string().contains("do not fit together"));
}

#[test]
fn a_column_of_another_width_and_order_is_encoded_alike() {
    let batch = table(vec![
        ("a", Arc::new(Int64Array::from(vec![Some(1), None, Some(250), Some(7)]))),
        ("b", words(&[Some("x"), Some("y"), None, Some("x")])),
        ("c", Arc::new(Date32Array::from(vec![Some(19_000), Some(-3), None, Some(0)]))),
        ("d", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
    ]);
    let features = fit_auto(&batch);
    let expected = dense(&features, &batch);
    assert!(expected.iter().all(|x| x.is_finite()));
    let variants: [(&str, &[DataType]); 4] = [
        ("a", &[DataType::UInt8, DataType::Float32, DataType::Float64, DataType::Decimal128(10, 2), DataType::Int16]),
        (
            "b",
            &[
                DataType::LargeUtf8,
                DataType::Utf8View,
                DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8)),
            ],
        ),
        (
            "c",
            &[
                DataType::Date64,
                DataType::Timestamp(TimeUnit::Second, None),
                DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())),
                DataType::Utf8,
            ],
        ),
        ("d", &[DataType::Int8, DataType::Float64, DataType::Utf8]),
    ];
    for (column, kinds) in variants {
        for kind in kinds {
            let mut columns: Vec<(&str, ArrayRef)> = vec![("more", floats(&[0.0; 4]))];
            for field in batch.schema_ref().fields().iter().rev() {
                let array = batch.column_by_name(field.name()).unwrap();
                let array = if field.name() == column { cast(array, kind).unwrap() } else { array.clone() };
                columns.push((field.name(), array));
            }
            assert_eq!(dense(&features, &table(columns)), expected, "{column} as {kind}");
        }
    }
}

#[test]
fn fitting_sees_training_rows_only_and_all_of_their_batches() {
    let batch = mixed(9, 90);
    let (first, second) = (batch.slice(0, 40), batch.slice(40, 50));
    let spec: FeaturesSpec = serde_json::from_str(MIXED).unwrap();
    let fit = |train: &[RecordBatch]| {
        Features::fit(&spec, &batch.schema(), &numbers_of("y"), &[], train, Takes::Sequences).unwrap()
    };
    assert_eq!(
        fit(&[first.clone(), second.clone()]),
        fit(&[concat_batches(&batch.schema(), [&first, &second]).unwrap()])
    );
    // A slice of a poisoned table: what lies outside of it must not be read.
    let poison = table(vec![
        ("a", floats(&[1.0, 2.0, 3.0, 1e30, f64::NAN])),
        ("b", words(&[Some("x"), Some("y"), Some("x"), Some("poison"), None])),
    ]);
    let clean = table(vec![("a", floats(&[1.0, 2.0, 3.0])), ("b", words(&[Some("x"), Some("y"), Some("x")]))]);
    assert_eq!(fit_auto(&poison.slice(0, 3)), fit_auto(&clean));
    let features = fit_auto(&clean);
    let encoded = features.encode(&poison).unwrap();
    assert_eq!(encoded.codes, [2, 3, 2, 0, 1]);
    assert_eq!(encoded.numbers[..4], [1.0, 2.0, 3.0, 1e30]);
    assert!(encoded.numbers[4].is_nan());
}

#[test]
fn a_row_that_does_not_fit_is_refused_with_its_place() {
    let batch = table(vec![
        ("age", floats(&[1.0, 2.0, 3.0])),
        ("colour", words(&[Some("a"), Some("b"), Some("a")])),
        ("day", words(&[Some("2024-01-01"), Some("2024-01-02"), Some("2023-01-01")])),
        ("yes", Arc::new(BooleanArray::from(vec![true, false, true]))),
    ]);
    let features = fit_auto(&batch);
    assert_eq!(
        features.columns().iter().map(|column| column.kind.word()).collect::<Vec<_>>(),
        ["number", "category", "date", "boolean"]
    );
    let check = |column: &str, name: &str, array: ArrayRef, expected: &str| {
        let rows = array.len();
        let columns = batch
            .schema()
            .fields()
            .iter()
            .map(|field| match field.name() == column {
                true => (name.to_owned(), array.clone()),
                false => (field.name().clone(), batch.column_by_name(field.name()).unwrap().slice(0, rows)),
            })
            .collect::<Vec<_>>();
        let columns = columns.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
        let outcome = features.encode(&table(columns)).map(|encoded| encoded.rows);
        assert!(outcome.as_ref().is_err_and(|error| error.to_string().contains(expected)), "{outcome:?}");
    };
    check("age", "aeg", floats(&[1.0]), "no column \"age\" in the rows, which the model reads; did you mean \"aeg\"?");
    check(
        "age",
        "age",
        words(&[None, Some("12"), Some("x")]),
        "column \"age\", row 3: \"x\" is text, expected a number",
    );
    check("age", "age", words(&[Some("12")]), "column \"age\", row 1: \"12\" is text, expected a number");
    check(
        "age",
        "age",
        Arc::new(BooleanArray::from(vec![true])),
        "column \"age\", row 1: true is a boolean, expected a number",
    );
    check(
        "colour",
        "colour",
        Arc::new(BinaryArray::from(vec![b"a".as_ref()])),
        "column \"colour\", row 1: the value is binary data, expected text",
    );
    check(
        "day",
        "day",
        words(&[Some("2024-01-01"), Some("soon\n")]),
        "column \"day\", row 2: \"soon\\n\" is text, expected a date",
    );
    check("day", "day", floats(&[3.0]), "column \"day\", row 1: 3.0 is a number, expected a date");
    check(
        "yes",
        "yes",
        Arc::new(Int64Array::from(vec![0, 1, 2])),
        "column \"yes\", row 3: 2 is a number, expected true or false",
    );
    check(
        "yes",
        "yes",
        words(&[Some("YES"), Some("maybe")]),
        "column \"yes\", row 2: \"maybe\" is text, expected true or false",
    );
}

#[test]
fn columns_without_any_value_fit_everywhere() {
    // Readers of files can only guess their type.
    let batch = table(vec![
        ("age", floats(&[1.0, 2.0, 3.0])),
        ("colour", words(&[Some("a"), Some("b"), Some("a")])),
        ("day", words(&[Some("2024-01-01"), Some("2024-01-02"), Some("2023-01-01")])),
        ("yes", Arc::new(BooleanArray::from(vec![true, false, true]))),
    ]);
    let features = fit_auto(&batch);
    let blank = |array: ArrayRef| {
        table(batch.schema().fields().iter().map(|field| (field.name().as_str(), array.clone())).collect())
    };
    for array in [
        Arc::new(NullArray::new(2)) as ArrayRef,
        words(&[None, None]),
        Arc::new(BinaryArray::from_opt_vec(vec![None, None])),
    ] {
        let encoded = features.encode(&blank(array)).unwrap();
        assert!(encoded.numbers.iter().all(|x| x.is_nan()) && encoded.codes == [1, 1]);
    }
    let empty = features.encode(&batch.slice(0, 0)).unwrap();
    assert_eq!((empty.rows, empty.numbers.len(), empty.codes.len()), (0, 0, 0));
}

#[test]
fn a_request_of_one_row_is_encoded_in_microseconds() {
    let columns = (0..14)
        .map(|i| (format!("c{i}"), if i % 2 == 0 { floats(&[0.0, 1.0]) } else { words(&[Some("a"), Some("b")]) }));
    let columns: Vec<(String, ArrayRef)> = columns.collect();
    let mut spec = FeaturesSpec::default();
    for (name, array) in &columns {
        let kind = if array.data_type() == &DataType::Utf8 { r#"{"category": {}}"# } else { r#"{"number": {}}"# };
        spec.columns.insert(name.clone(), serde_json::from_str(kind).unwrap());
    }
    let batch = table(columns.iter().map(|(name, array)| (name.as_str(), array.clone())).collect());
    let features =
        Features::fit(&spec, batch.schema_ref(), &numbers_of("y"), &[], std::slice::from_ref(&batch), Takes::Numbers)
            .unwrap();
    let row = batch.slice(1, 1);
    let best = (0..200)
        .map(|_| {
            let start = std::time::Instant::now();
            std::hint::black_box(features.encode(std::hint::black_box(&row)).unwrap());
            start.elapsed()
        })
        .min()
        .unwrap();
    // About 1 microsecond; the bound is loose, for busy machines.
    assert!(best.as_micros() < 50, "{best:?}");
}
