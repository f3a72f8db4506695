//! What holds for any features: the same row gives the same numbers, however it comes.

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
    let spec: FeaturesSpec = serde_json::from_str(spec).unwrap();
    Features::fit(&spec, batch.schema_ref(), "y", &[], std::slice::from_ref(batch))
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
    format!("{}: {}", choice.feature, choice.how)
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
    "files": {"image": {"width": 4, "height": 3, "scale": "standard"}}
}}"#;

#[test]
fn a_batch_is_encoded_as_its_rows_are_bit_for_bit() {
    for (seed, rows) in [(1, 2), (2, 60), (3, 150)] {
        let batch = mixed(seed, rows);
        let features = fit(MIXED, &batch).unwrap();
        let whole = features.encode(&batch).unwrap();
        let mut one_by_one = Encoded::default();
        for row in 0..rows {
            one_by_one.append(features.encode(&batch.slice(row, 1)).unwrap());
        }
        let bits = |encoded: &Encoded| encoded.numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&whole), bits(&one_by_one));
        assert_eq!((&whole.codes, &whole.images, whole.rows), (&one_by_one.codes, &one_by_one.images, rows));
        assert!(dense(&features, &batch).iter().all(|x| x.is_finite()), "seed {seed}");
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
    let features = fit(MIXED, &batch).unwrap();
    let file = serde_json::to_string(&features).unwrap();
    let again: Features = serde_json::from_str(&file).unwrap();
    assert_eq!(again, features);
    let bits = |features: &Features| dense(features, &batch).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&again), bits(&features));
    assert_eq!(again.encode(&batch).unwrap().codes, features.encode(&batch).unwrap().codes);
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
    let fit = |train: &[RecordBatch]| Features::fit(&spec, &batch.schema(), "y", &[], train).unwrap();
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
fn numbers_are_filled_clipped_and_scaled_as_said() {
    let batch = table(vec![(
        "a",
        Arc::new(Float64Array::from(vec![Some(1.0), Some(3.0), None, Some(8.0), Some(f64::INFINITY)])),
    )]);
    let check = |number: &str, expected: &[f32]| {
        let features = fit(&format!(r#"{{"columns": {{"a": {{"number": {number}}}}}}}"#), &batch).unwrap();
        let dense = dense(&features, &batch);
        let close = dense.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close && dense.len() == expected.len(), "{number}: {dense:?}");
        features
    };
    check(r#"{"scale": "none"}"#, &[1.0, 3.0, 3.0, 8.0, 3.0]);
    check(r#"{"scale": "none", "impute": "mean"}"#, &[1.0, 3.0, 4.0, 8.0, 4.0]);
    check(r#"{"scale": "none", "impute": {"constant": -1}, "clip": [0, 5]}"#, &[1.0, 3.0, 0.0, 5.0, 0.0]);
    check(r#"{"scale": "none", "indicator": true}"#, &[1.0, 0.0, 3.0, 0.0, 3.0, 1.0, 8.0, 0.0, 3.0, 1.0]);
    check(r#"{"scale": "min_max"}"#, &[0.0, 2.0 / 7.0, 2.0 / 7.0, 1.0, 2.0 / 7.0]);
    // Mean 4, squares 9 + 1 + 16 over 3 values.
    let deviation = (26.0_f32 / 3.0).sqrt();
    let features =
        check("{}", &[-3.0 / deviation, -1.0 / deviation, -1.0 / deviation, 4.0 / deviation, -1.0 / deviation]);
    assert_eq!(
        how(&features, "a"),
        "number: number from 1 to 8, 2 missing (1 of them infinite) replaced by the median 3, standardised by mean 4 and deviation 2.94392"
    );
    let column = &features.columns()[0];
    assert_eq!((column.missing, &column.example), (2, &serde_json::json!(3.0)));
    assert_eq!(column.kind, ColumnKind::Number { min: 1.0, max: 8.0, integer: false });
}

#[test]
fn a_vocabulary_keeps_the_frequent_values_in_order() {
    let values = ["10", "9", "9", "b", "b", "b", "a", "a", "10", "z"].map(Some);
    let batch = table(vec![("a", words(&values))]);
    let check = |category: &str, expected: &[&str]| {
        let features = fit(&format!(r#"{{"columns": {{"a": {{"category": {category}}}}}}}"#), &batch).unwrap();
        let ColumnKind::Category { values } = &features.columns()[0].kind else { panic!("no category") };
        assert_eq!(values.values(), expected, "{category}");
        features
    };
    check("{}", &["9", "10", "a", "b", "z"]);
    check(r#"{"count_min": 2}"#, &["9", "10", "a", "b"]);
    let features = check(r#"{"values_max": 2}"#, &["10", "b"]);
    assert!(how(&features, "a").contains("3 rarer values counted as unknown (5 rows)"), "{}", how(&features, "a"));
    let two = table(vec![("a", words(&[Some("b"), Some("never"), None]))]);
    assert_eq!(features.encode(&two).unwrap().codes, [3, 0, 1]);
    assert_eq!(dense(&features, &two), [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    let features = check(r#"{"encode": "ordinal", "values_max": 3}"#, &["9", "10", "b"]);
    assert_eq!(
        dense(&features, &table(vec![("a", words(&[Some("9"), Some("10"), Some("b"), None, Some("?")]))])),
        [0.0, 0.5, 1.0, -0.5, -1.0]
    );
    let features = check(r#"{"encode": {"embedding": {"dimension": 3}}}"#, &["9", "10", "a", "b", "z"]);
    assert_eq!(
        (features.dense_width(), features.embedded()[0].cardinality, features.embedded()[0].dimension),
        (0, 7, 3)
    );
    // Whole numbers and floats are the same words.
    let ints = table(vec![("a", Arc::new(Int64Array::from(vec![10, 9, 11])) as ArrayRef)]);
    let encoded = features.encode(&ints).unwrap();
    assert_eq!(
        (&encoded.codes[..], features.encode(&table(vec![("a", floats(&[10.0, 9.0, 11.0]))])).unwrap()),
        (&[3, 2, 0][..], encoded.clone())
    );
}

#[test]
fn auto_says_what_it_picked_and_what_it_left_out() {
    let n = 60;
    let text = |f: &dyn Fn(usize) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values((0..n).map(f))) };
    let whole = |f: &dyn Fn(i64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..n as i64).map(f))) };
    let batch = table(vec![
        ("age", whole(&|i| 20 + i % 40)),
        ("row", whole(&|i| i + 1_000_000)),
        ("customer_id", whole(&|i| (i * 7_919_993) % 1_000_003)),
        ("price_in_cents", whole(&|i| i * i * 1_000)),
        ("colour", text(&|i| format!("c{}", i % 3))),
        ("name", text(&|i| format!("name {i}"))),
        ("day", text(&|i| format!("2024-{:02}-01", 1 + i % 12))),
        ("digits", text(&|i| i.to_string())),
        ("same", text(&|_| "x".into())),
        ("zero", floats(&[0.0; 60])),
        ("nothing", Arc::new(NullArray::new(n))),
        ("blank", words(&[None; 60])),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..n).map(|_| Some(vec![Some(1)]))))),
        ("bytes", Arc::new(FixedSizeBinaryArray::try_from_iter((0..n).map(|_| [1_u8, 2])).unwrap())),
        ("y", whole(&|i| i % 2)),
    ]);
    let features = fit_auto(&batch);
    for (column, expected) in [
        ("age", "number: whole number from 20 to 59, standardised by mean"),
        ("row", "left out: whole numbers that are different in every row"),
        ("customer_id", "left out: whole numbers that are different in every row"),
        ("price_in_cents", "number: whole number from 0 to 3481000"),
        ("colour", "category: category of 3 values, one-hot"),
        ("name", "left out: text with 60 values in 60 rows: nearly every one occurs only once"),
        (
            "day",
            "date: date from 2024-01-01 to 2024-12-01 as month, weekday (sine and cosine of what comes round again); year, hour never changes",
        ),
        ("digits", "left out: text with 60 values in 60 rows"),
        ("same", "left out: the same value \"x\" in all 60 training rows"),
        ("zero", "left out: the same value 0 in all 60 training rows"),
        ("nothing", "left out: no value in any training row"),
        ("blank", "left out: no value in any training row"),
        ("list", "left out: values of type List"),
        ("bytes", "left out: bytes of which no picture size is known"),
    ] {
        let how = how(&features, column);
        assert!(how.starts_with(expected), "{column}: {how}");
    }
    assert_eq!(features.choices().len(), 14);
    // The numbers of the rows are all there is.
    let only = table(vec![("row", whole(&|i| i)), ("y", whole(&|i| 2 * i + 1))]);
    assert_eq!(fit_auto(&only).dense_width(), 1);
    // Named by the user.
    assert_eq!(fit(r#"{"include": ["row", "age"]}"#, &batch).unwrap().dense_width(), 2);
}

#[test]
fn pictures_are_brought_to_one_size() {
    let files = |pictures: &[(u32, u32, u8, bool)]| -> RecordBatch {
        let files: Vec<Vec<u8>> =
            pictures.iter().map(|&(w, h, shade, colour)| picture_file(w, h, shade, colour)).collect();
        table(vec![("p", Arc::new(BinaryArray::from_iter_values(files)))])
    };
    let check = |spec: &str, batch: &RecordBatch, size: (usize, usize, usize), pixels: &[u8]| {
        let features = fit(&format!(r#"{{"columns": {{"p": {{"image": {spec}}}}}}}"#), batch).unwrap();
        let image = &features.numeric().images[0];
        assert_eq!((image.height, image.width, image.channels), size, "{spec}");
        let encoded = features.encode(batch).unwrap();
        assert_eq!(encoded.images[0].pixels.len(), batch.num_rows() * image.values());
        assert_eq!(&encoded.images[0].pixels[..pixels.len()], pixels, "{spec}");
    };
    check("{}", &files(&[(3, 2, 200, false), (40, 50, 9, true)]), (2, 3, 1), &[200; 6]);
    check("{}", &files(&[(2, 1, 200, true)]), (1, 2, 3), &[200, 0, 255, 200, 0, 255]);
    check(r#"{"channels": "rgb"}"#, &files(&[(1, 1, 77, false)]), (1, 1, 3), &[77, 77, 77]);
    // Luma of (200, 0, 255) by Rec. 709: 0.2126 * 200 + 0.0722 * 255 = 60.9.
    check(r#"{"channels": "grey"}"#, &files(&[(1, 1, 200, true)]), (1, 1, 1), &[61]);
    check("{}", &files(&[(200, 100, 5, false)]), (32, 64, 1), &[5; 64 * 32]);
    check("{}", &files(&[(1, 300, 5, false)]), (64, 1, 1), &[5; 64]);
    check(r#"{"width": 5}"#, &files(&[(10, 4, 5, false)]), (2, 5, 1), &[5; 10]);
    check(r#"{"width": 2, "height": 7}"#, &files(&[(10, 4, 5, false)]), (7, 2, 1), &[5; 14]);
    // Scaling: grey 0 and 255 have mean 127.5 and deviation 127.5.
    let two = files(&[(1, 1, 0, false), (1, 1, 255, false)]);
    for (scale, expected) in [("unit", [0.0, 1.0]), ("symmetric", [-1.0, 1.0]), ("standard", [-1.0, 1.0])] {
        let features = fit(&format!(r#"{{"columns": {{"p": {{"image": {{"scale": "{scale}"}}}}}}}}"#), &two).unwrap();
        assert_eq!(dense(&features, &two), expected, "{scale}");
    }
}

#[test]
fn raw_pixels_and_files_of_one_picture_are_the_same() {
    let raw = |size: Option<&str>, rows: &[&[u8]]| {
        let array = FixedSizeBinaryArray::try_from_iter(rows.iter().map(|row| row.to_vec())).unwrap();
        let field = Field::new("p", array.data_type().clone(), true);
        let metadata = size.map(|size| ("tidemill.image".to_owned(), size.to_owned())).into_iter().collect();
        let schema = Arc::new(Schema::new(vec![field.with_metadata(metadata)]));
        RecordBatch::try_new(schema, vec![Arc::new(array)]).unwrap()
    };
    let batch = raw(Some("2x2x1"), &[&[7, 7, 7, 7], &[1, 2, 3, 4]]);
    let features = fit_auto(&batch);
    assert_eq!(features.encode(&batch).unwrap().images[0].pixels, [7, 7, 7, 7, 1, 2, 3, 4]);
    assert_eq!(features.encode(&raw(None, &[&[9, 8, 7, 6]])).unwrap().images[0].pixels, [9, 8, 7, 6]);
    assert_eq!(features.encode(&raw(Some("1x1x1"), &[&[5]])).unwrap().images[0].pixels, [5; 4]);
    let file = table(vec![("p", Arc::new(BinaryArray::from_iter_values([picture_file(2, 2, 7, false)])))]);
    assert_eq!(features.encode(&file).unwrap().images[0].pixels, [7; 4]);
    let wrong = |batch: RecordBatch, expected: &str| {
        let message = features.encode(&batch).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    wrong(raw(None, &[&[1, 2]]), "holds 2 bytes per row, expected 4 (raw pixels of 2x2x1)");
    wrong(raw(Some("3x3x1"), &[&[1, 2]]), "states pictures of 3x3x1 but holds 2 bytes");
    wrong(table(vec![("p", words(&[Some("cat.png")]))]), "row 1: \"cat.png\" is text, expected pictures");
    wrong(table(vec![("p", Arc::new(BinaryArray::from_opt_vec(vec![None])))]), "row 1: no picture");
}

#[test]
fn a_broken_picture_is_named_by_row_and_file() {
    let good = picture_file(40, 40, 3, true);
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    // A header that promises 60,000 x 60,000 pixels.
    let mut bomb = good.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let features = fit_auto(&table(vec![("p", Arc::new(BinaryArray::from_iter_values([&good])))]));
    for (bad, reason) in [
        (b"hello".to_vec(), "not a picture"),
        (vec![], "not a picture"),
        (cut, "a broken picture"),
        (bomb, "a broken picture"),
    ] {
        let mut rows = vec![good.clone(); 100];
        rows[83] = bad.clone();
        let mut paths = vec![Some("good.png"); 100];
        paths[83] = Some("cats/7.png");
        let batch = table(vec![("p", Arc::new(BinaryArray::from_iter_values(&rows))), ("path", words(&paths))]);
        let message = features.encode(&batch).unwrap_err().to_string();
        assert!(message.contains(&format!("column \"p\", row 84 (cats/7.png): {reason}")), "{message}");
        let first = batch.slice(83, 1);
        let message = fit("{}", &first).unwrap_err().to_string();
        assert!(message.contains(&format!("row 1 (cats/7.png): {reason}")), "{message}");
    }
}

#[test]
fn what_cannot_be_fitted_is_refused_with_its_place() {
    let batch = table(vec![
        ("age", words(&[Some("41"), Some("old"), Some("43")])),
        ("size", floats(&[1.0, 2.0, 3.0])),
        ("none", Arc::new(Float64Array::from(vec![None, None, None]))),
        ("y", floats(&[1.0, 2.0, 3.0])),
    ]);
    let check = |spec: &str, expected: &str| {
        let message = fit(spec, &batch).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(
        r#"{"columns": {"agee": "auto"}}"#,
        "features.columns: no column \"agee\" in the table; did you mean \"age\"?",
    );
    check(r#"{"include": ["siz"]}"#, "features.include: no column \"siz\" in the table; did you mean \"size\"?");
    check(r#"{"exclude": ["sizes"]}"#, "features.exclude: no column \"sizes\" in the table; did you mean \"size\"?");
    check(r#"{"include": ["y"]}"#, "column \"y\" is the target and cannot be a feature");
    check(r#"{"include": ["size"], "columns": {"age": "auto"}}"#, "column \"age\" is not under features.include");
    check(r#"{"exclude": ["size"], "columns": {"size": "auto"}}"#, "is under features.exclude as well");
    check(
        r#"{"exclude": ["size", "age", "none"]}"#,
        "no feature is left to learn \"y\" from (the table has no other column)",
    );
    check(
        r#"{"include": ["none"]}"#,
        "no feature is left to learn \"y\" from (\"none\": no value in any training row)",
    );
    check(r#"{"columns": {"age": {"number": {}}}}"#, "column \"age\", row 2: \"old\" is text, expected a number");
    check(
        r#"{"columns": {"age": {"date": {}}}}"#,
        "column \"age\", row 1: \"41\" is text, expected a date like 2024-01-31",
    );
    check(r#"{"columns": {"age": {"boolean": {}}}}"#, "column \"age\", row 1: \"41\" is text, expected true or false");
    check(r#"{"columns": {"age": {"image": {}}}}"#, "column \"age\", row 2: \"old\" is text, expected pictures");
    check(r#"{"columns": {"size": {"date": {}}}}"#, "column \"size\", row 1: 1.0 is a number, expected a date");
    check(r#"{"columns": {"none": {"number": {}}}}"#, "column \"none\" has no value in the 3 training rows");
    check(r#"{"columns": {"none": {"category": {}}}}"#, "column \"none\" has no value in the 3 training rows");
    check(r#"{"columns": {"size": {"number": {"clip": [3, 1]}}}}"#, "clip [3, 1] is not a range");
    check(r#"{"columns": {"size": {"number": {"impute": {"constant": 1e300}}}}}"#, "can not stand in");
    check(r#"{"columns": {"size": {"category": {"count_min": 2}}}}"#, "none of its 3 values occurs in 2 training rows");
    check(r#"{"columns": {"size": {"category": {"values_max": 0}}}}"#, "values_max is 0, expected 1 to 100000");
    check(
        r#"{"columns": {"age": {"category": {"encode": {"embedding": {"dimension": 0}}}}}}"#,
        "an embedding of dimension 0",
    );
    let ignored = Features::fit(
        &serde_json::from_str(r#"{"include": ["age"]}"#).unwrap(),
        batch.schema_ref(),
        "y",
        &["age".into()],
        &[batch.clone()],
    );
    assert!(ignored.unwrap_err().to_string().contains("column \"age\" divides the rows"));
    for train in [vec![], vec![batch.slice(0, 0)]] {
        let message =
            Features::fit(&FeaturesSpec::default(), batch.schema_ref(), "y", &[], &train).unwrap_err().to_string();
        assert!(message.contains("no training rows"), "{message}");
    }
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
    // Columns without any value fit everywhere, as readers of files guess their type.
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
fn one_row_trains_nothing_and_breaks_nothing() {
    let batch = mixed(4, 1);
    assert!(fit("{}", &batch).is_ok(), "pictures are left");
    let batch = table(vec![("a", floats(&[1.0])), ("b", words(&[Some("x")]))]);
    let message = fit("{}", &batch).unwrap_err().to_string();
    assert!(message.contains("no feature is left") && message.contains("in all 1 training row"), "{message}");
    let features = fit(r#"{"columns": {"a": {"number": {}}, "b": {"category": {}}}}"#, &batch).unwrap();
    assert_eq!(dense(&features, &batch), [0.0, 0.0, 0.0, 1.0]);
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
    let features = Features::fit(&spec, batch.schema_ref(), "y", &[], std::slice::from_ref(&batch)).unwrap();
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
