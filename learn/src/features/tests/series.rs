//! What becomes of lists of numbers.

use super::*;

fn lists(values: Vec<Option<Vec<Option<f32>>>>) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(values))
}

fn some(values: &[f32]) -> Option<Vec<Option<f32>>> {
    Some(values.iter().map(|&x| Some(x)).collect())
}

fn series(takes: Takes, spec: &str, batch: &RecordBatch) -> Result<Features> {
    fit_for(takes, &format!(r#"{{"columns": {{"s": {{"series": {spec}}}}}}}"#), batch)
}

#[test]
fn the_newest_values_are_read_and_the_beginning_is_filled_up() {
    let batch =
        table(vec![("s", lists(vec![some(&[1.0, 2.0, 3.0]), some(&[4.0]), None, Some(vec![Some(5.0), None])]))]);
    let nan = f32::NAN;
    let check = |spec: &str, expected: &[f32]| {
        let features = series(Takes::Sequences, spec, &batch).unwrap();
        let encoded = features.encode(&batch).unwrap();
        let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
        let values = &encoded.series[0].values;
        assert!(values.len() == expected.len() && values.iter().zip(expected).all(same), "{spec}: {values:?}");
        features
    };
    let features = check("{}", &[1.0, 2.0, 3.0, nan, nan, 4.0, nan, nan, nan, nan, 5.0, nan]);
    // Median and moments of 1 to 5.
    let input = &features.numeric().series[0];
    assert_eq!((input.steps, input.impute, input.affine.shift), (3, 3.0, 3.0));
    assert_eq!(features.columns()[0].kind, ColumnKind::Series { steps: 3, min: 1.0, max: 5.0, flat: false });
    assert_eq!(features.columns()[0].example, serde_json::json!([1.0, 2.0, 3.0]));
    assert_eq!((features.dense_width(), features.columns()[0].missing), (0, 1));
    let mut row = [0.0; 3];
    features.numeric().write_series(&features.encode(&batch).unwrap(), 1, &mut row);
    assert_eq!((row[0], row[1], row[2]), (0.0, 0.0, 1.0 / 2.0_f32.sqrt()));
    let features =
        check(r#"{"steps": 2, "impute": {"constant": 0}, "scale": "none"}"#, &[2.0, 3.0, nan, 4.0, nan, nan, 5.0, nan]);
    let how = how(&features, "s");
    assert!(how.contains("series of 2 steps from 2 to 5") && how.contains("of lists of up to 3 the newest"), "{how}");
}

#[test]
fn models_that_read_no_sequences_get_every_step_as_a_number() {
    let batch = table(vec![("s", lists(vec![some(&[1.0, 2.0]), some(&[4.0]), None]))]);
    let features = series(Takes::Numbers, r#"{"scale": "none"}"#, &batch).unwrap();
    let names: Vec<&str> = features.numeric().numbers.iter().map(|number| number.name.as_str()).collect();
    assert_eq!(names, ["s.-1", "s.0"]);
    assert_eq!(dense(&features, &batch), [1.0, 2.0, 2.0, 4.0, 2.0, 2.0]);
    let fixed: ArrayRef =
        Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(7), Some(8), Some(9)])], 3));
    assert_eq!(dense(&features, &table(vec![("s", fixed)])), [8.0, 9.0]);
    let auto = fit_auto(&batch);
    assert_eq!(auto.columns()[0].kind.word(), "series");
}

#[test]
fn what_is_no_list_of_numbers_is_refused_with_its_place() {
    let batch = table(vec![("s", lists(vec![some(&[1.0])]))]);
    let features = series(Takes::Sequences, "{}", &batch).unwrap();
    let check = |found: Result<Features>, expected: &str| {
        let message = found.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(series(Takes::Sequences, r#"{"steps": 0}"#, &batch), "column \"s\": steps is 0, expected 1 to 4096");
    check(series(Takes::Sequences, "{}", &table(vec![("s", floats(&[1.0]))])), "expected lists of numbers");
    check(
        series(Takes::Sequences, "{}", &table(vec![("s", lists(vec![None, Some(vec![None])]))])),
        "column \"s\" has no value in the 2 training rows",
    );
    let wrong = features.encode(&table(vec![("s", words(&[Some("1, 2")]))])).unwrap_err().to_string();
    assert!(wrong.contains("column \"s\", row 1: \"1, 2\" is text, expected lists of numbers"), "{wrong}");
    let blank = features.encode(&table(vec![("s", Arc::new(NullArray::new(2)))])).unwrap();
    assert!(blank.series[0].values.len() == 2 && blank.series[0].values.iter().all(|x| x.is_nan()));
}
