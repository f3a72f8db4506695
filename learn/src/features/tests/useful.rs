//! What is made of several columns, of days and of series, and what is left out.

use super::*;

fn places() -> RecordBatch {
    let nan = f64::NAN;
    table(vec![
        ("n", floats(&[1.0, 2.0, nan, 4.0, -5.0, 6.0])),
        ("m", floats(&[3.0, 1.0, 1.0, f64::INFINITY, 2.0, 0.5])),
        ("lat", floats(&[48.137, 52.52, 91.0, 48.137, 48.0, 47.0])),
        ("lon", floats(&[11.575, 13.405, 0.0, nan, 11.0, 10.0])),
        ("colour", words(&[Some("red"), Some("red"), Some("blue"), None, Some("blue"), Some("red")])),
        ("wet", Arc::new(BooleanArray::from(vec![true, false, true, true, false, true]))),
    ])
}

const TOGETHER: &str = r#"{
    "exclude": ["lat", "lon"],
    "columns": {"n": {"number": {"bins": {"count": 2}}}},
    "products": [["m", "wet"]],
    "crosses": [["colour", "wet"], ["n", "wet"]],
    "distances": [{"from": ["lat", "lon"], "to": {"point": [52.52, 13.405]}}]
}"#;

#[test]
fn several_columns_become_one_feature() {
    let batch = places();
    let features = fit(TOGETHER, &batch).unwrap();
    let encoded = features.encode(&batch).unwrap();
    let names: Vec<&str> = features.combined().iter().map(|combined| combined.name.as_str()).collect();
    assert_eq!(names, ["m * wet", "colour & wet", "n & wet", "distance lat, lon to 52.52, 13.405"]);
    // Numbers: m, wet, the product, the distance.
    let column = |at: usize| encoded.numbers.chunks(4).map(|row| row[at]).collect::<Vec<_>>();
    let product = column(2);
    assert!(product[3].is_nan() && [0, 1, 2, 4, 5].map(|row| product[row]) == [3.0, 0.0, 1.0, 0.0, 0.5], "{product:?}");
    let km = column(3);
    // haversine_distances of scikit-learn; 91 degrees north are no place, and one longitude is missing.
    assert!((km[0] - 504.3386).abs() < 0.01 && km[1] < 0.01 && km[2].is_nan() && km[3].is_nan(), "{km:?}");
    // Codes: n, colour, colour & wet, n & wet. Known pairs in order: blue false, blue true, red false, red true.
    let column = |at: usize| encoded.codes.chunks(4).map(|row| row[at]).collect::<Vec<_>>();
    assert_eq!(column(2), [5, 4, 3, 1, 2, 5]);
    // Bins: divided at 2, the missing one has no pair.
    assert_eq!(column(0), [2, 3, 1, 3, 2, 3]);
    assert_eq!(column(3)[2], 1);
    let unseen = table(vec![
        ("wet", words(&[Some("no")])),
        ("colour", words(&[Some("green")])),
        ("n", floats(&[1.0])),
        ("m", floats(&[2.0])),
        ("lat", Arc::new(NullArray::new(1))),
        ("lon", floats(&[0.0])),
    ]);
    let encoded = features.encode(&unseen).unwrap();
    assert_eq!(encoded.codes[1..3], [0, 0]);
    assert!(encoded.numbers[3].is_nan() && encoded.numbers[2] == 0.0);
    assert!(dense(&features, &unseen).iter().all(|x| x.is_finite()));
    // What is read for others only has no inputs, but a request has to bring it.
    assert!(features.columns().iter().any(|column| column.name == "lat"));
    assert_eq!(how(&features, "lat"), "read only for features.distances");
    let missing = features.encode(&batch.project(&[0, 1, 2, 4, 5]).unwrap()).unwrap_err().to_string();
    assert!(missing.contains("no column \"lon\" in the rows"), "{missing}");
}

#[test]
fn what_cannot_be_combined_is_said() {
    let batch = places();
    let check = |spec: &str, expected: &str| {
        let message = fit(spec, &batch).unwrap_err().to_string();
        assert!(message.contains(expected), "{spec}: {message}");
    };
    check(
        r#"{"products": [["n", "lta"]]}"#,
        "features.products: no column \"lta\" in the table; did you mean \"lat\"?",
    );
    check(r#"{"products": [["n", "colour"]]}"#, "column \"colour\" is read as a category, a product takes a number");
    check(r#"{"crosses": [["n", "colour"]]}"#, "a cross takes a category, a boolean or a number with bins");
    check(
        r#"{"distances": [{"from": ["lat", "lon"], "to": {"point": [99, 0]}}]}"#,
        "99, 0 is no latitude and longitude",
    );
    check(r#"{"columns": {"n": {"number": {"bins": {"count": 1}}}}}"#, "column \"n\": bins.count is 1");
    check(
        r#"{"columns": {"n": {"number": {"winsorize": [0.9, 0.1]}}}}"#,
        "winsorize [0.9, 0.1] is not a range of shares",
    );
    check(r#"{"columns": {"n": {"number": {"winsorize": [0, 1], "clip": [0, 1]}}}}"#, "keep one");
    check(r#"{"columns": {"n": {"number": {"scale": {"quantile": {"quantiles": 1}}}}}}"#, "quantiles is 1");
    check(r#"{"columns": {"colour": {"category": {"encode": {"hashing": {"buckets": 1}}}}}}"#, "buckets is 1");
    check(r#"{"select": {"correlation_max": 2}}"#, "features.select: correlation_max is 2");
}

#[test]
fn holidays_are_an_input_of_a_date() {
    let batch =
        table(vec![("day", words(&[Some("2024-02-10T08:00:00Z"), Some("2023-12-25"), Some("2024-02-11"), None]))]);
    let spec = r#"{"columns": {"day": {"date": {"parts": ["month"], "holidays": ["2024-02-10", "12-25"]}}}}"#;
    let features = fit(spec, &batch).unwrap();
    let flags: Vec<f32> = dense(&features, &batch).chunks(3).map(|row| row[2]).collect();
    assert_eq!(flags, [1.0, 1.0, 0.0, 2.0 / 3.0]);
    let wrong = fit(r#"{"columns": {"day": {"date": {"holidays": ["2024-02-30"]}}}}"#, &batch).unwrap_err().to_string();
    assert!(wrong.contains("column \"day\": holiday \"2024-02-30\" is no day"), "{wrong}");
}

#[test]
fn series_have_figures_beside_their_steps_or_alone() {
    let lists = |values: Vec<Option<Vec<Option<f32>>>>| {
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(values)) as ArrayRef
    };
    let batch = table(vec![(
        "s",
        lists(vec![Some(vec![Some(9.0), Some(1.0), Some(3.0), Some(8.0)]), Some(vec![Some(2.0), Some(4.0)]), None]),
    )]);
    let spec = |more: &str| {
        format!(
            r#"{{"columns": {{"s": {{"series": {{"steps": 3, "statistics": ["mean", "last_difference"]{more}}}}}}}}}"#
        )
    };
    let features = fit(&spec(""), &batch).unwrap();
    let found = features.encode(&batch).unwrap().numbers;
    // Of the newest three values: what came before is not looked at.
    assert_eq!(found[..5], [1.0, 3.0, 8.0, 4.0, 5.0]);
    assert!(found[5].is_nan() && found[6..10] == [2.0, 4.0, 3.0, 2.0] && found[10..].iter().all(|x| x.is_nan()));
    let alone = fit(&spec(r#", "figures_alone": true"#), &batch).unwrap();
    assert_eq!(alone.encode(&batch).unwrap().numbers[..4], [4.0, 5.0, 3.0, 2.0]);
    let sequences = fit_for(Takes::Sequences, &spec(""), &batch).unwrap();
    let encoded = sequences.encode(&batch).unwrap();
    assert_eq!(
        (encoded.numbers[..2].to_vec(), encoded.series[0].values[..3].to_vec()),
        (vec![4.0, 5.0], vec![1.0, 3.0, 8.0])
    );
    let message = fit(&spec(r#", "seasons": [3]"#), &batch).unwrap_err().to_string();
    assert!(message.contains("column \"s\": seasons has 3 steps"), "{message}");
}

/// A target of two classes, a column that tells it, a copy of it, one that hardly varies, and noise.
fn telling() -> RecordBatch {
    let draw = |stream: u64, row: usize| Stream::new(11, stream).bits(row as u64) % 1_000;
    let rows = 600;
    let y: Vec<Option<&str>> = (0..rows).map(|row| Some(if draw(1, row) < 500 { "no" } else { "yes" })).collect();
    let tells: Vec<f64> = (0..rows).map(|row| draw(1, row) as f64 + draw(2, row) as f64 / 2.0).collect();
    let copy: Vec<f64> = tells.iter().map(|x| 3.0 - 2.0 * x).collect();
    let still: Vec<f64> = (0..rows).map(|row| if row == 5 { 1.01 } else { 1.0 }).collect();
    let noise: Vec<f64> = (0..rows).map(|row| draw(3, row) as f64).collect();
    let kind: Vec<Option<&str>> = (0..rows).map(|row| Some(["a", "b", "c"][draw(4, row) as usize % 3])).collect();
    table(vec![
        ("y", words(&y)),
        ("tells", floats(&tells)),
        ("copy", floats(&copy)),
        ("still", floats(&still)),
        ("noise", floats(&noise)),
        ("kind", words(&kind)),
    ])
}

#[test]
fn what_says_little_is_left_out_with_the_reason() {
    let batch = telling();
    let target = Target::fit(crate::spec::TaskSpec::Classification, "y", std::slice::from_ref(&batch)).unwrap();
    let read = |spec: &str| {
        let spec: FeaturesSpec = serde_json::from_str(spec).unwrap();
        let rows = std::slice::from_ref(&batch);
        let features = Features::fit(&spec, batch.schema_ref(), &target, &[], rows, Takes::Numbers).unwrap();
        assert_eq!(dense(&features, &batch).len(), 600 * features.dense_width());
        let names: Vec<String> = features.columns().iter().map(|column| column.name.clone()).collect();
        (names.join(" "), features)
    };
    let (names, features) = read(r#"{"select": {"variance_min": 0.001}}"#);
    assert_eq!(names, "tells copy noise kind");
    assert!(how(&features, "still").starts_with("left out: its variance 0.00000016"), "{}", how(&features, "still"));
    let (names, features) = read(r#"{"select": {"correlation_max": 0.95}}"#);
    assert_eq!(names, "tells still noise kind");
    assert_eq!(how(&features, "copy"), "left out: its correlation with \"tells\" is -1, above 0.95");
    let (names, features) = read(r#"{"select": {"mutual_information_top": 2}}"#);
    assert_eq!(names, "tells copy");
    assert!(how(&features, "noise").contains("is not among the 2 highest"));
    // What is left out is still read where something kept is made of it.
    let spec = r#"{"products": [["tells", "noise"]], "select": {"mutual_information_top": 3}}"#;
    let (names, features) = read(spec);
    assert_eq!((names.as_str(), features.combined().len()), ("tells copy noise", 1));
    assert_eq!(features.numeric().numbers.len(), 3);
}

#[test]
fn steps_say_what_was_fitted() {
    let batch = places();
    let features = fit(TOGETHER, &batch).unwrap();
    let steps = features.steps();
    let line = |name: &str| {
        let found = steps.iter().find(|steps| steps.name == name).unwrap();
        found.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(line("n"), "read min=-5 max=6, bins bins=2 edges=[2.0], one hot inputs=4");
    assert_eq!(line("colour"), "vocabulary values=2 first=[blue, red], one hot inputs=4");
    assert!(line("lat").ends_with("read for others") && line("m").starts_with("read min=0.5 max=3, impute value=1"));
    assert!(line("colour & wet").starts_with("cross of=[colour, wet] values=4 first=[blue & false, "));
    let inputs: usize = steps.iter().map(|steps| steps.inputs).sum();
    assert_eq!(inputs, features.dense_width());
}

/// Every kind of column, places on the earth and beyond, and a target of numbers.
fn every_kind(seed: u64, rows: usize) -> RecordBatch {
    let batch = mixed(seed, rows);
    let draw = |column: u64, row: usize| Stream::new(seed, column).bits(row as u64) % 10_000;
    let degrees = |column: u64, most: f64| -> ArrayRef {
        let of = |row: usize| match draw(column, row) % 13 {
            0 => None,
            1 => Some(f64::NAN),
            2 => Some(1e9),
            _ => Some(draw(column, row) as f64 / 10_000.0 * most),
        };
        Arc::new(Float64Array::from_iter((0..rows).map(of)))
    };
    let y: ArrayRef = Arc::new(Float32Array::from_iter_values((0..rows).map(|row| draw(43, row) as f32 / 7.0)));
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (name, array) in [("lat", degrees(41, 80.0)), ("lon", degrees(42, 170.0)), ("y", y)] {
        fields.push(Arc::new(Field::new(name, array.data_type().clone(), true)));
        columns.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Every way of preparing columns, in two parts.
const EVERY_WAY: [&str; 2] = [
    r#"{"columns": {
        "float": {"number": {"impute": "mode", "winsorize": [0.05, 0.9], "scale": {"quantile": {"to": "normal", "quantiles": 9}}}},
        "small": {"number": {"impute": {"neighbours": {"count": 3, "rows_max": 20}}, "indicator": true, "scale": "yeo_johnson"}},
        "text": {"category": {"encode": {"target": {"smoothing": 3, "folds": 4}}}},
        "many": {"category": {"encode": {"hashing": {"buckets": 100}}}},
        "coded": {"category": {"encode": {"hashing": {"buckets": 3}}}},
        "when": {"date": {"parts": ["hour", "weekday", "month", "day_of_year"], "holidays": ["02-29", "1971-03-04"]}},
        "flat": {"series": {"statistics": ["mean", "std", "min", "max", "slope", "last", "last_difference"], "fourier": [3], "seasons": [2]}},
        "steps": {"series": {"steps": 5, "statistics": ["slope"], "figures_alone": true}},
        "files": {"image": {"width": 4, "height": 3}}},
      "exclude": ["lat", "lon"],
      "products": [["float", "small"], ["yes", "float"]],
      "crosses": [["text", "yes"], ["text", "coded"]],
      "distances": [{"from": ["lat", "lon"], "to": {"point": [31, 121]}}]}"#,
    r#"{"columns": {
        "float": {"number": {"scale": "log", "impute": {"neighbours": {}}}},
        "small": {"number": {"bins": {"count": 5}}},
        "text": {"category": {}},
        "many": {"category": {"encode": {"target": {}}}},
        "flat": {"series": {"fourier": [2, 5], "scale": "robust"}},
        "files": {"image": {"width": 4, "height": 3}}},
      "crosses": [["small", "yes"], ["many", "small"]],
      "distances": [{"from": ["lat", "lon"], "to": {"columns": ["lon", "lat"]}}],
      "select": {"variance_min": 1e-9, "correlation_max": 0.999, "mutual_information_top": 12}}"#,
];

#[test]
fn every_way_of_preparing_gives_rows_what_it_gives_batches() {
    for (seed, spec) in [(1, EVERY_WAY[0]), (2, EVERY_WAY[1]), (3, EVERY_WAY[0]), (4, EVERY_WAY[1])] {
        let batch = every_kind(seed, 120);
        let rows = std::slice::from_ref(&batch);
        let spec: FeaturesSpec = serde_json::from_str(spec).unwrap();
        for takes in [Takes::Numbers, Takes::Sequences] {
            let target = Target::fit(crate::spec::TaskSpec::Regression, "y", rows).unwrap();
            let features = Features::fit(&spec, batch.schema_ref(), &target, &[], rows, takes).unwrap();
            let file = serde_json::to_string(&features).unwrap();
            let again: Features = serde_json::from_str(&file).unwrap();
            // As text: what is missing in a row that is kept is not even equal to itself.
            assert_eq!(serde_json::to_string(&again).unwrap(), file, "seed {seed}");
            // Rows that it was fitted on, and others with values that it never saw.
            for batch in [&batch, &every_kind(seed + 100, 150)] {
                let whole = features.encode(batch).unwrap();
                let mut one_by_one = Encoded::default();
                for row in 0..batch.num_rows() {
                    one_by_one.append(again.encode(&batch.slice(row, 1)).unwrap());
                }
                assert_eq!(bits(&whole), bits(&one_by_one), "seed {seed}");
                assert!(dense(&features, batch).iter().all(|x| x.is_finite()), "seed {seed}");
            }
            let training = features.encode_training(&target, &[batch.slice(0, 50), batch.slice(50, 70)]).unwrap();
            assert_eq!((training.rows, training.numbers.len()), (120, 120 * features.numeric().numbers.len()));
        }
    }
}

#[test]
fn garbage_in_other_rows_changes_nothing_that_is_fitted_and_no_training_row() {
    for (seed, spec) in [(5, EVERY_WAY[0]), (6, EVERY_WAY[1])] {
        let training = every_kind(seed, 120);
        let spec: FeaturesSpec = serde_json::from_str(spec).unwrap();
        let fitted = |rest: &RecordBatch| {
            // One table, of which the training rows are a part: what lies outside must not be read.
            let all = concat_batches(&training.schema(), [rest, &training, rest]).unwrap();
            let rows = [all.slice(rest.num_rows(), 120)];
            let target = Target::fit(crate::spec::TaskSpec::Regression, "y", &rows).unwrap();
            let features = Features::fit(&spec, &all.schema(), &target, &[], &rows, Takes::Numbers).unwrap();
            let encoded = features.encode_training(&target, &rows).unwrap();
            (serde_json::to_string(&features).unwrap(), bits(&encoded))
        };
        let clean = fitted(&every_kind(seed + 50, 30));
        let poison = |name: &str, array: &ArrayRef| -> ArrayRef {
            match array.data_type() {
                DataType::Float64 if name != "y" => floats(&vec![-9e36; array.len()]),
                DataType::Float32 => Arc::new(Float32Array::from(vec![1e30; array.len()])),
                DataType::Utf8 => words(&vec![Some("poison"); array.len()]),
                _ => new_null_array(array.data_type(), array.len()),
            }
        };
        let rest = every_kind(seed + 60, 40);
        let fields = rest.schema();
        let arrays =
            fields.fields().iter().zip(rest.columns()).map(|(field, array)| poison(field.name(), array)).collect();
        assert!(clean == fitted(&RecordBatch::try_new(fields, arrays).unwrap()), "seed {seed}");
    }
}

#[test]
fn features_of_before_still_load() {
    let file = r#"{"columns": [{"name": "a", "kind": {"number": {"min": 0.0, "max": 1.0, "integer": false}}, "missing": 0,
        "example": 0.5}, {"name": "c", "kind": {"category": {"values": ["x", "y"]}}, "missing": 0, "example": "x"}],
        "choices": [], "numeric": {"numbers": [{"name": "a", "impute": 0.5, "indicator": false, "clip": [null, 1.0],
        "affine": {"shift": 0.5, "scale": 2.0}}], "categories": [{"one_hot": {"name": "c", "cardinality": 4}}], "images": []}}"#;
    let features: Features = serde_json::from_str(file).unwrap();
    let batch = table(vec![("a", floats(&[1.0, f64::NAN])), ("c", words(&[Some("y"), Some("z")]))]);
    assert_eq!(dense(&features, &batch), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    // Nothing is written that an older program would not know.
    let again = serde_json::to_string(&features).unwrap();
    assert!(!again.contains("prepared") && !again.contains("combined") && !again.contains("neighbours"), "{again}");
}
