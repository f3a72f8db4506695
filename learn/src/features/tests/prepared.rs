//! What columns become before they are scaled. Figures named as scikit-learn's are of its version 1.9.1.

use super::*;
use crate::features::target_encoding::fold_of;

/// Values with repetitions, on both sides of 0 and one far out.
const SAMPLE: [f64; 11] = [-3.0, -1.0, -0.5, 0.0, 0.25, 0.25, 0.25, 1.0, 2.0, 7.0, 40.0];

/// Values among them, between them and beyond.
const ASKED: [f64; 10] = [-10.0, -3.0, -2.0, -0.5, 0.1, 0.2, 3.0, 39.0, 40.0, 100.0];

fn fit_number(number: &str, values: &[f64]) -> Features {
    fit(&format!(r#"{{"columns": {{"a": {{"number": {number}}}}}}}"#), &table(vec![("a", floats(values))])).unwrap()
}

fn close(found: &[f32], expected: &[f32], tolerance: f32, of: &str) {
    let apart = |(a, b): (&f32, &f32)| (a - b).abs() > tolerance * b.abs().max(1.0);
    assert!(
        found.len() == expected.len() && !found.iter().zip(expected).any(apart),
        "{of}: {found:?}, not {expected:?}"
    );
}

#[test]
fn numbers_are_scaled_as_by_scikit_learn() {
    let check = |number: &str, expected: [f32; 10]| {
        let features = fit_number(number, &SAMPLE);
        close(&dense(&features, &table(vec![("a", floats(&ASKED))])), &expected, 2e-5, number);
    };
    // RobustScaler().
    check(
        r#"{"scale": "robust"}"#,
        [-5.857_143, -1.8571429, -1.2857143, -0.4285714, -0.0857143, -0.0285714, 1.5714286, 22.142857, 22.714286, 57.0],
    );
    // QuantileTransformer(n_quantiles=5), and of 1,000, which are as many as there are rows.
    check(
        r#"{"scale": {"quantile": {"quantiles": 5}}}"#,
        [0.0, 0.0, 0.0909091, 0.2272727, 0.425, 0.475, 0.7597403, 0.9935065, 1.0, 1.0],
    );
    check(r#"{"scale": {"quantile": {}}}"#, [0.0, 0.0, 0.05, 0.2, 0.34, 0.38, 0.82, 0.9969697, 1.0, 1.0]);
    // QuantileTransformer(output_distribution="normal").
    check(
        r#"{"scale": {"quantile": {"to": "normal"}}}"#,
        [
            -5.1993376, -5.1993376, -1.6448536, -0.8416212, -0.4124631, -0.3054808, 0.9153651, 2.7444843, 5.1993376,
            5.1993376,
        ],
    );
    // PowerTransformer(), whose lambda is 0.23737815.
    check(
        r#"{"scale": "yeo_johnson"}"#,
        [
            -14.158_871,
            -2.3024173,
            -1.3493527,
            -0.331549,
            -0.0790068,
            -0.046018,
            0.4878354,
            2.0498525,
            2.07166,
            2.9620921,
        ],
    );
    let features = fit_number(r#"{"scale": "yeo_johnson"}"#, &SAMPLE);
    let Prepared::Curve(Curve::YeoJohnson { lambda }) = features.columns()[0].prepared else { panic!("no power") };
    close(&[lambda], &[0.23737815], 1e-6, "lambda");
}

#[test]
fn logarithms_modes_and_ends_of_the_training_rows() {
    let rows = [f64::NAN, 3.0, 3.0, 1.0, 1.0, -7.0, 100.0];
    let batch = table(vec![("a", floats(&rows))]);
    let raw = |number: &str| {
        let features = fit_number(number, &rows);
        (features.encode(&batch).unwrap().numbers, features)
    };
    // sign(x) ln(1 + |x|).
    let (found, _) = raw(r#"{"scale": "log"}"#);
    assert!(found[0].is_nan());
    close(&found[1..], &[4.0, 4.0, 2.0, 2.0, -8.0, 101.0_f32].map(|x: f32| x.signum() * x.abs().ln()), 1e-6, "log");
    // 1 and 3 are as frequent: the lower one.
    let (_, features) = raw(r#"{"impute": "mode", "scale": "none"}"#);
    assert_eq!(dense(&features, &batch)[0], 1.0);
    assert!(how(&features, "a").contains("1 missing replaced by the most frequent value 1"));
    // numpy.quantile([3, 3, 1, 1, -7, 100], [0.1, 0.9]) is [-3, 51.5].
    let features = fit_number(r#"{"winsorize": [0.1, 0.9], "scale": "none"}"#, &rows);
    close(&dense(&features, &batch)[1..], &[3.0, 3.0, 1.0, 1.0, -3.0, 51.5], 1e-6, "winsorize");
    // What is clipped is bent afterwards, and so are its ends.
    let features = fit_number(r#"{"winsorize": [0.1, 0.9], "scale": "log"}"#, &rows);
    let input = &features.numeric().numbers[0];
    close(&input.clip, &[-(4.0_f32.ln()), 52.5_f32.ln()], 1e-6, "bent ends");
    // The largest values that there are stay finite, and so does what is scaled.
    for scale in [r#""log""#, r#""yeo_johnson""#, r#"{"quantile": {"to": "normal"}}"#] {
        let wide = [-9e36, 1e-40, 9e36, 1e30, f64::INFINITY, -1e30];
        let features = fit_number(&format!(r#"{{"scale": {scale}}}"#), &wide);
        assert!(dense(&features, &table(vec![("a", floats(&wide))])).iter().all(|x| x.is_finite()), "{scale}");
    }
}

#[test]
fn bins_are_those_of_scikit_learn() {
    let codes = |bins: &str| {
        let features = fit_number(&format!(r#"{{"bins": {bins}}}"#), &SAMPLE);
        let encoded = features.encode(&table(vec![("a", floats(&ASKED))])).unwrap();
        assert_eq!(dense(&features, &table(vec![("a", floats(&[f64::NAN]))]))[..2], [0.0, 1.0]);
        encoded.codes.iter().map(|code| code - Vocabulary::FIRST).collect::<Vec<_>>()
    };
    // KBinsDiscretizer(4, encode="ordinal", strategy="quantile", quantile_method="linear"), and strategy="uniform".
    assert_eq!(codes(r#"{"count": 4}"#), [0, 0, 0, 0, 1, 1, 3, 3, 3, 3]);
    assert_eq!(codes(r#"{"count": 4, "by": "width"}"#), [0, 0, 0, 0, 0, 0, 0, 3, 3, 3]);
    let features = fit_number(r#"{"bins": {"count": 50}}"#, &[1.0, 1.0, 1.0, 2.0]);
    assert_eq!(features.dense_width(), 17 + 2, "{}", how(&features, "a"));
}

/// Ten rows of a category, one of them missing, and their target.
fn categories(y: ArrayRef) -> RecordBatch {
    let c: Vec<Option<&str>> =
        ["a", "a", "a", "b", "b", "b", "c", "c", "", "d"].map(|c| (!c.is_empty()).then_some(c)).to_vec();
    table(vec![("c", words(&c)), ("y", y)])
}

fn fit_target(target: &str, batch: &RecordBatch) -> (Features, Target) {
    let kind = if batch.schema().field(1).data_type() == &DataType::Utf8 {
        crate::spec::TaskSpec::Classification
    } else {
        crate::spec::TaskSpec::Regression
    };
    let fitted = Target::fit(kind, "y", std::slice::from_ref(batch)).unwrap();
    let spec = format!(r#"{{"columns": {{"c": {{"category": {{"encode": {{"target": {target}}}}}}}}}}}"#);
    let spec: FeaturesSpec = serde_json::from_str(&spec).unwrap();
    let rows = std::slice::from_ref(batch);
    (Features::fit(&spec, batch.schema_ref(), &fitted, &[], rows, Takes::Numbers).unwrap(), fitted)
}

const Y: [f64; 10] = [1.0, 2.0, 4.0, 3.0, 5.0, 8.0, 0.0, 1.0, 7.0, 2.0];

#[test]
fn means_of_the_target_are_those_of_scikit_learn() {
    let asked = table(vec![("c", words(&[Some("a"), Some("b"), Some("c"), Some("d"), None, Some("z")]))]);
    // TargetEncoder(smooth=2.0).fit(c, y).transform(asked), of numbers, of y > 2.5 as yes and no, of three classes.
    let (features, _) = fit_target(r#"{"smoothing": 2}"#, &categories(floats(&Y)));
    let expected = [2.72, 4.52, 1.9, 2.8666667, 4.5333333, 3.3];
    close(&features.encode(&asked).unwrap().numbers, &expected, 1e-6, "numbers");
    let classes = Y.map(|y| Some(if y > 2.5 { "yes" } else { "no" }));
    let (features, _) = fit_target(r#"{"smoothing": 2}"#, &categories(words(&classes)));
    close(&features.encode(&asked).unwrap().numbers, &[0.4, 0.8, 0.25, 0.3333333, 0.6666667, 0.5], 1e-6, "two classes");
    let classes = ["u", "v", "w", "u", "v", "w", "u", "v", "w", "w"].map(Some);
    let (features, _) = fit_target(r#"{"smoothing": 2}"#, &categories(words(&classes)));
    let found = features.encode(&asked).unwrap().numbers;
    close(&found[..6], &[0.32, 0.32, 0.36, 0.32, 0.32, 0.36], 1e-6, "three classes");
    close(&found[12..], &[0.2, 0.2, 0.6, 0.3, 0.3, 0.4], 1e-6, "missing and unknown of three classes");
    let names: Vec<&str> = features.numeric().numbers.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["c.u", "c.v", "c.w"]);
}

#[test]
fn a_training_row_is_given_the_target_of_others() {
    let spec = r#"{"smoothing": 2, "folds": 3, "seed": 7}"#;
    let batch = categories(floats(&Y));
    let (features, target) = fit_target(spec, &batch);
    let encode = |y: &[f64]| {
        let rows = categories(floats(y));
        features.encode_training(&target, &[rows.slice(0, 4), rows.slice(4, 6)]).unwrap().numbers
    };
    // The parts that the seed draws, and for each TargetEncoder(smooth=2.0) fitted on the other two.
    assert_eq!(fold_of(10, 3, 7), [0, 1, 0, 1, 0, 2, 2, 0, 2, 1]);
    let expected =
        [3.1111111, 3.107_143, 3.1111111, 5.107_143, 4.5833333, 3.2857143, 2.047619, 2.4444444, 2.5714286, 3.7142857];
    let found = encode(&Y);
    close(&found, &expected, 1e-6, "training rows");
    for row in 0..10 {
        let mut poisoned = Y;
        poisoned[row] = 1e9;
        let again = encode(&poisoned);
        assert_eq!(again[row].to_bits(), found[row].to_bits(), "row {row} sees its own target");
        assert_ne!(again, found, "nobody sees the target of row {row}");
    }
}

#[test]
fn a_category_of_noise_says_nothing_of_the_training_target() {
    // 2,000 values of one or two rows: means that held a row's own target would tell it.
    let draw = |stream: u64, row: usize| Stream::new(3, stream).bits(row as u64);
    let c: Vec<String> = (0..3_000).map(|row| format!("v{}", draw(1, row) % 2_000)).collect();
    let y: Vec<f64> = (0..3_000).map(|row| (draw(2, row) % 1_000) as f64).collect();
    let batch = table(vec![("c", Arc::new(StringArray::from(c))), ("y", floats(&y))]);
    let (features, target) = fit_target(r#"{"smoothing": 0}"#, &batch);
    let correlation = |found: Vec<f32>| {
        let n = found.len() as f64;
        let (a, b) = (found.iter().map(|&x| f64::from(x)).sum::<f64>() / n, y.iter().sum::<f64>() / n);
        let sum =
            |f: &dyn Fn(f64, f64) -> f64| found.iter().zip(&y).map(|(&x, &y)| f(f64::from(x) - a, y - b)).sum::<f64>();
        sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
    };
    let out_of_fold = correlation(features.encode_training(&target, std::slice::from_ref(&batch)).unwrap().numbers);
    let own = correlation(features.encode(&batch).unwrap().numbers);
    assert!(out_of_fold.abs() < 0.1 && own > 0.5, "{out_of_fold} {own}");
}

#[test]
fn hashes_stay_what_they_are() {
    let batch = table(vec![("c", words(&[Some("a"), Some("foobar"), Some(""), None, Some("a")]))]);
    let features =
        fit(r#"{"columns": {"c": {"category": {"encode": {"hashing": {"buckets": 10}}}}}}"#, &batch).unwrap();
    // FNV-1a of 64 bits, from its authors' test vectors: "" cbf29ce484222325, "a" af63dc4c8601ec8c, "foobar" 85944171f73967e8.
    let code = |hash: u64| 2 + (hash % 10) as i32;
    let expected = [
        code(0xaf63_dc4c_8601_ec8c),
        code(0x8594_4171_f739_67e8),
        code(0xcbf2_9ce4_8422_2325),
        1,
        code(0xaf63_dc4c_8601_ec8c),
    ];
    assert_eq!(features.encode(&batch).unwrap().codes, expected);
    assert_eq!(features.dense_width(), 12);
    let wide = fit(r#"{"columns": {"c": {"category": {"encode": {"hashing": {"buckets": 1000}}}}}}"#, &batch).unwrap();
    assert_eq!((wide.dense_width(), wide.embedded()[0].cardinality, wide.embedded()[0].dimension), (0, 1_002, 50));
}

#[test]
fn neighbours_are_those_of_scikit_learn() {
    let column = |values: [Option<f64>; 6]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let batch = table(vec![
        ("a", column([Some(1.0), Some(3.0), Some(2.0), Some(8.0), None, Some(1.5)])),
        ("b", column([Some(2.0), None, Some(2.5), Some(8.0), Some(7.0), Some(1.0)])),
        ("c", column([None, Some(30.0), Some(20.0), Some(80.0), Some(70.0), Some(12.0)])),
    ]);
    // KNNImputer(n_neighbors) on the standardised columns, its answers brought back: rows 5, 2 and 1 of a, b and c.
    for (count, expected) in [(1, [8.0, 2.5, 12.0]), (2, [5.5, 1.75, 16.0])] {
        let number = format!(r#"{{"number": {{"scale": "none", "impute": {{"neighbours": {{"count": {count}}}}}}}}}"#);
        let spec = format!(r#"{{"columns": {{"a": {number}, "b": {number}, "c": {number}}}}}"#);
        let features = fit(&spec, &batch).unwrap();
        let numbers = features.encode(&batch).unwrap().numbers;
        close(&[numbers[12], numbers[4], numbers[2]], &expected, 1e-6, "neighbours");
        let rest: Vec<f32> = [0, 1, 3, 5, 17].map(|at| numbers[at]).to_vec();
        assert_eq!(rest, [1.0, 2.0, 3.0, 30.0, 12.0]);
        let nothing = table(vec![("a", floats(&[f64::NAN])), ("b", floats(&[f64::NAN])), ("c", floats(&[f64::NAN]))]);
        // Nothing to compare: the mean of all rows.
        close(&dense(&features, &nothing), &[3.1, 4.1, 42.4], 1e-6, "no neighbour");
    }
    let spec = r#"{"columns": {"a": {"number": {"indicator": true, "impute": {"neighbours": {}}}}}}"#;
    let features = fit(spec, &batch).unwrap();
    let encoded = features.encode(&batch).unwrap();
    assert!(encoded.numbers.chunks(4).map(|row| row[3]).eq([0.0, 0.0, 0.0, 0.0, 1.0, 0.0]), "{encoded:?}");
    let alone = table(vec![("a", floats(&[1.0, f64::NAN, 3.0]))]);
    let message =
        fit(r#"{"columns": {"a": {"number": {"impute": {"neighbours": {}}}}}}"#, &alone).unwrap_err().to_string();
    assert!(message.contains("column \"a\": neighbours are found by other numbers"), "{message}");
}
