//! Which samples does a Prometheus server send? Remote write 1.0: a `WriteRequest` of protobuf in one block of Snappy.

use std::collections::BTreeMap;

use prost::Message as _;

use super::cells::Cell;
use super::decode::{Columns, Decoded, Rows};
use crate::error::{Error, Result};
use crate::spec::{ColumnType, PrometheusWriteSpec};

/// Largest request once it is unpacked, in bytes.
const UNPACKED_BYTES_MAX: usize = 32 << 20;
/// A series that has ended is told by this value, which is none of its own.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// The label that names the metric.
const NAME: &str = "__name__";
/// Columns before and after those of labels.
const BEFORE: [(&str, ColumnType); 2] = [("time", ColumnType::Timestamp), ("metric", ColumnType::Text)];
const AFTER: [(&str, ColumnType); 2] = [("value", ColumnType::Number), ("labels", ColumnType::Text)];

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// The columns of such a source.
pub(super) fn columns(spec: &PrometheusWriteSpec) -> Vec<(String, ColumnType)> {
    let owned = |(name, kind): (&str, ColumnType)| (name.to_owned(), kind);
    let labels = spec.labels.iter().map(|label| (label.clone(), ColumnType::Text));
    BEFORE.into_iter().map(owned).chain(labels).chain(AFTER.into_iter().map(owned)).collect()
}

/// The samples of a request as rows.
pub(super) fn decode(
    spec: &PrometheusWriteSpec,
    columns: &Columns,
    body: &[u8],
    offset: &str,
    received: i64,
) -> Result<Decoded> {
    let wrong = |why: String| Error::invalid(format!("no remote write request of Prometheus: {why}"));
    let length = snap::raw::decompress_len(body).map_err(|e| wrong(e.to_string()))?;
    if length > UNPACKED_BYTES_MAX {
        return Err(wrong(format!("it has {length} bytes once unpacked, {UNPACKED_BYTES_MAX} at most are taken")));
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| wrong(e.to_string()))?;
    let request = WriteRequest::decode(unpacked.as_slice()).map_err(|e| wrong(e.to_string()))?;
    let mut rows = Rows::new(columns);
    let mut number = 0;
    for series in &request.timeseries {
        let mut labels: BTreeMap<&str, &str> =
            series.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
        let metric = labels.remove(NAME).unwrap_or_default();
        if !spec.metrics.is_empty() && !spec.metrics.iter().any(|wanted| metric.starts_with(wanted.as_str())) {
            continue;
        }
        let text = |text: &str| Cell::Text(text.to_owned());
        let chosen: Vec<Cell> =
            spec.labels.iter().map(|label| labels.remove(label.as_str()).map_or(Cell::Null, text)).collect();
        let others = serde_json::to_string(&labels).map_err(|e| Error::internal("labels as JSON", e))?;
        for sample in series.samples.iter().filter(|sample| sample.value.to_bits() != STALE) {
            let mut cells = vec![Cell::Integer(sample.timestamp.saturating_mul(1_000)), text(metric)];
            cells.extend(chosen.iter().cloned());
            cells.extend([Cell::Number(sample.value), text(&others)]);
            rows.add(cells, offset, number);
            number += 1;
        }
    }
    let mut decoded = Decoded { rows: number, ..Decoded::default() };
    if number > 0 {
        decoded.batches.push(rows.take(received)?);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::lines;
    use crate::spec::StreamSpec;

    fn request() -> Vec<u8> {
        let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
        let sample = |value, timestamp| Sample { value, timestamp };
        let first = TimeSeries {
            labels: vec![label(NAME, "up"), label("instance", "机房:1"), label("job", "node")],
            samples: vec![sample(1.0, 1_000), sample(f64::from_bits(STALE), 2_000)],
        };
        let second =
            TimeSeries { labels: vec![label(NAME, "load"), label("job", "x")], samples: vec![sample(-0.5, -1)] };
        let bytes = WriteRequest { timeseries: vec![first, second] }.encode_to_vec();
        snap::raw::Encoder::new().compress_vec(&bytes).unwrap()
    }

    fn read(spec: &PrometheusWriteSpec, body: &[u8]) -> Result<Vec<String>> {
        let columns = Columns::new(columns(spec), &StreamSpec::default()).unwrap();
        Ok(lines(&decode(spec, &columns, body, "r", 0)?.batches))
    }

    #[test]
    fn samples_become_rows_with_their_labels() {
        let spec = PrometheusWriteSpec { labels: vec!["instance".to_owned()], ..PrometheusWriteSpec::default() };
        let rows = read(&spec, &request()).unwrap();
        assert_eq!(
            rows,
            [
                "1970-01-01T00:00:01|up|机房:1|1.0|{\"job\":\"node\"}|r|1970-01-01T00:00:00",
                "1969-12-31T23:59:59.999|load||-0.5|{\"job\":\"x\"}|r/1|1970-01-01T00:00:00",
            ]
        );
        let spec = PrometheusWriteSpec { metrics: vec!["lo".to_owned()], ..spec };
        assert_eq!(read(&spec, &request()).unwrap().len(), 1);
    }

    #[test]
    fn hostile_requests_are_refused() {
        let spec = PrometheusWriteSpec::default();
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]; // says that it has four gigabytes
        let noise = snap::raw::Encoder::new().compress_vec(&[0xff; 100]).unwrap();
        for body in [&bomb[..], &[], &noise, &request()[..20]] {
            let error = read(&spec, body).unwrap_err();
            assert!(error.to_string().contains("remote write"), "{error}");
        }
    }
}
