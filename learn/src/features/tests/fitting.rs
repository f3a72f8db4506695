//! What is fitted, what is picked, what is refused.

use super::*;

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
        "number from 1 to 8, 2 missing (1 of them infinite) replaced by the median 3, standardised by mean 4 and deviation 2.94392"
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
        ("age", "whole number from 20 to 59, standardised by mean"),
        ("row", "left out: whole numbers that are different in every row"),
        ("customer_id", "left out: whole numbers that are different in every row"),
        ("price_in_cents", "whole number from 0 to 3481000"),
        ("colour", "category of 3 values, one-hot"),
        ("name", "left out: text with 60 values in 60 rows: nearly every one occurs only once"),
        (
            "day",
            "date from 2024-01-01 to 2024-12-01 as month, weekday (sine and cosine of what comes round again); year, hour never changes",
        ),
        ("digits", "left out: text with 60 values in 60 rows"),
        ("same", "left out: the same value \"x\" in all 60 training rows"),
        ("zero", "left out: the same value 0 in all 60 training rows"),
        ("nothing", "left out: no value in any training row"),
        ("blank", "left out: no value in any training row"),
        ("list", "left out: lists of the one value 1"),
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
        "no feature is left to learn \"y\" from (\"none\" left out: no value in any training row)",
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
        &numbers_of("y"),
        &["age".into()],
        std::slice::from_ref(&batch),
        Takes::Numbers,
    );
    assert!(ignored.unwrap_err().to_string().contains("column \"age\" divides the rows"));
    for train in [vec![], vec![batch.slice(0, 0)]] {
        let message =
            Features::fit(&FeaturesSpec::default(), batch.schema_ref(), &numbers_of("y"), &[], &train, Takes::Numbers)
                .unwrap_err()
                .to_string();
        assert!(message.contains("no training rows"), "{message}");
    }
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
fn categories_held_as_dictionaries_give_the_features_of_plain_ones() {
    let rows = 5_000_usize;
    let of = |stream: u64, row: usize| Stream::new(11, stream).bits(row as u64) as usize;
    let word = |row: usize| (of(1, row) % 9 > 0).then(|| format!("w{}", of(2, row) % (1 + row / 50)));
    let plain = table(vec![
        ("one_hot", Arc::new(StringArray::from_iter((0..rows).map(|row| word(row).map(|word| word[..2].to_owned()))))),
        ("ordinal", Arc::new(StringArray::from_iter((0..rows).map(word)))),
        ("hashed", Arc::new(StringArray::from_iter((0..rows).rev().map(word)))),
        ("target", Arc::new(Int32Array::from_iter((0..rows).map(|row| word(row).map(|word| word.len() as i32))))),
        ("embedded", Arc::new(Int64Array::from_iter((0..rows).map(|row| Some(of(3, row) as i64 % 80))))),
        ("y", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| (of(4, row) % 100) as f64)))),
    ]);
    let spec: FeaturesSpec = serde_json::from_str(
        r#"{"crosses": [["one_hot", "target"]], "columns": {
            "one_hot": {"category": {"encode": "one_hot"}},
            "ordinal": {"category": {"encode": "ordinal", "count_min": 4}},
            "hashed": {"category": {"encode": {"hashing": {"buckets": 30}}}},
            "target": {"category": {"encode": {"target": {}}}},
            "embedded": {"category": {"encode": {"embedding": {}}}}
        }}"#,
    )
    .unwrap();
    let batches: Vec<RecordBatch> = (0..rows).step_by(700).map(|at| plain.slice(at, 700.min(rows - at))).collect();
    let names = spec.categories();
    let held = |batch: &RecordBatch| crate::repeated::as_dictionaries(batch, &names).unwrap();
    let held: Vec<RecordBatch> = batches.iter().map(held).collect();
    let dictionaries = |batch: &RecordBatch| {
        batch.columns().iter().filter(|column| matches!(column.data_type(), DataType::Dictionary(..))).count()
    };
    assert_eq!(held.iter().map(dictionaries).max(), Some(5));
    // Every third row, so that dictionaries have values that no training row has.
    let chosen: Vec<u32> = (0..rows as u32).step_by(3).collect();
    let fit = |batches: &[RecordBatch]| {
        let train = TrainingRows::some(batches, &chosen);
        Features::fit(&spec, batches[0].schema_ref(), &numbers_of("y"), &[], train, Takes::Numbers).unwrap()
    };
    let features = fit(&batches);
    assert_eq!(fit(&held), features);
    for (plain, held) in batches.iter().zip(&held) {
        assert_eq!(bits(&features.encode(held).unwrap()), bits(&features.encode(plain).unwrap()));
    }
}
