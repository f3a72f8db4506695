//! A row of a request is encoded as the row of a file is.

use arrow::array::{BooleanArray, Int16Array, TimestampSecondArray};
use arrow::datatypes::Int64Type;
use learn::spec::{FeaturesSpec, Takes, TaskSpec};
use learn::{Encoded, Target};

use super::*;

/// Values of a seed, as good as random.
fn draw(seed: u64, column: u64, row: usize) -> u64 {
    let mut z = (seed << 40 ^ column << 20 ^ row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// Columns of every kind that a request can bring, with nulls, NaN, infinities, empty texts and dates out of range.
fn table(seed: u64, rows: usize) -> RecordBatch {
    let some = |column: u64, row: usize| !draw(seed, column + 30, row).is_multiple_of(6);
    let number = |column: u64, row: usize| match draw(seed, column, row) % 12 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => -1e300,
        x => x as f64 * 0.1 - 0.3,
    };
    let float = |column: u64| -> ArrayRef {
        Arc::new(Float64Array::from_iter((0..rows).map(|row| some(column, row).then(|| number(column, row)))))
    };
    let words = ["red", "green", "", "紫", "blue "];
    let text = |column: u64, kinds: u64| -> ArrayRef {
        let word = |row: usize| match draw(seed, column, row) % kinds {
            at if at < 5 => words[at as usize].to_owned(),
            at => format!("word {at}"),
        };
        Arc::new(StringArray::from_iter((0..rows).map(|row| some(column, row).then(|| word(row)))))
    };
    // Some 300,000 years from now is beyond the calendar.
    let seconds = |row: usize| {
        if draw(seed, 6, row).is_multiple_of(15) { 9_000_000_000_000 } else { (draw(seed, 6, row) >> 33) as i64 }
    };
    let lists =
        |row: usize| (0..draw(seed, 8, row) % 7).map(move |i| (i != 2).then(|| (draw(seed, 9, row) >> i) as i64 % 90));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bent", float(1)),
        ("filled", float(2)),
        ("ranked", cast(&float(3), &DataType::Float32).unwrap()),
        (
            "whole",
            Arc::new(Int16Array::from_iter((0..rows).map(|row| some(4, row).then(|| draw(seed, 4, row) as i16)))),
        ),
        ("colour", text(5, 5)),
        ("when", Arc::new(TimestampSecondArray::from_iter((0..rows).map(|row| some(6, row).then(|| seconds(row)))))),
        ("street", text(7, 60)),
        (
            "steps",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
                (0..rows).map(|row| some(8, row).then(|| lists(row))),
            )),
        ),
        (
            "wet",
            Arc::new(BooleanArray::from_iter(
                (0..rows).map(|row| some(10, row).then(|| draw(seed, 10, row).is_multiple_of(2))),
            )),
        ),
        ("lat", float(11)),
        ("y", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| draw(seed, 12, row) as f64 % 97.0)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

const EVERY_WAY: &str = r#"{"columns": {
    "bent": {"number": {"scale": "yeo_johnson", "impute": "mode", "winsorize": [0.1, 0.9]}},
    "filled": {"number": {"scale": "log", "indicator": true, "impute": {"neighbours": {"count": 2, "rows_max": 50}}}},
    "ranked": {"number": {"scale": {"quantile": {"to": "normal", "quantiles": 20}}}},
    "whole": {"number": {"bins": {"count": 5}}},
    "colour": {"category": {"encode": {"target": {"smoothing": 2}}}},
    "street": {"category": {"encode": {"hashing": {"buckets": 9}}}},
    "when": {"date": {"holidays": ["12-25"]}},
    "steps": {"series": {"statistics": ["mean", "std", "slope", "last_difference"], "fourier": [3], "seasons": [2]}}},
  "products": [["bent", "ranked"], ["filled", "whole"]],
  "crosses": [["colour", "wet"], ["whole", "colour"]],
  "distances": [{"from": ["lat", "ranked"], "to": {"columns": ["bent", "lat"]}}]}"#;

fn bits(encoded: &Encoded) -> (Vec<u32>, Vec<i32>) {
    (encoded.numbers.iter().map(|x| x.to_bits()).collect(), encoded.codes.clone())
}

#[test]
fn a_row_of_a_request_is_encoded_as_that_of_a_file_bit_for_bit() {
    for seed in 1..4 {
        let batch = table(seed, 90);
        let spec: FeaturesSpec = serde_json::from_str(EVERY_WAY).unwrap();
        let target = Target::fit(TaskSpec::Regression, "y", std::slice::from_ref(&batch)).unwrap();
        let rows = std::slice::from_ref(&batch);
        let features = Features::fit(&spec, batch.schema_ref(), &target, &[], rows, Takes::Numbers).unwrap();
        for batch in [&batch, &table(seed + 10, 90)] {
            let whole = features.encode(batch).unwrap();
            let mut requests = Vec::new();
            for row in 0..batch.num_rows() {
                let sent = as_json(&features, batch, row).unwrap();
                // Through text, as it comes over the wire.
                let sent: Value = serde_json::from_str(&sent.to_string()).unwrap();
                let alone = features.encode(&from_json(&features, &sent).unwrap()).unwrap();
                assert_eq!(bits(&alone), bits(&whole.take(&[row as u32])), "seed {seed}, row {row}: {sent}");
                requests.push(sent);
            }
            let together = features.encode(&from_json(&features, &Value::Array(requests)).unwrap()).unwrap();
            assert_eq!(bits(&together), bits(&whole), "seed {seed}");
        }
    }
}
