//! A range query of a Prometheus server: a row for each value of each series, asked for in pieces that it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use delimited::types::timestamp;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::runtime::Handle;

use super::{BATCH_ROWS, Emit, Reader, batch, project, tls_config};
use crate::error::{Error, Result};
use crate::spec::PrometheusSpec;

/// Points of a series that are asked for at once; servers refuse more than 11,000.
const POINTS_MAX: i64 = 1_000;
/// Largest answer, in bytes.
const BODY_BYTES_MAX: usize = 256 << 20;
const MICROS: i64 = 1_000_000;
/// The label that names the metric.
const NAME: &str = "__name__";

/// A range query, its columns known.
#[derive(Debug)]
pub(crate) struct PrometheusReader {
    asked: Asked,
    labels: Vec<String>,
    schema: SchemaRef,
}

/// What is asked, from when to when, in microseconds.
#[derive(Debug)]
struct Asked {
    spec: PrometheusSpec,
    client: Client,
    url: Url,
    start: i64,
    end: i64,
    step: i64,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

impl PrometheusReader {
    /// Finds out which labels there are, where none are named.
    pub(crate) fn open(spec: &PrometheusSpec) -> Result<Self> {
        let asked = Asked::new(spec)?;
        let mut labels = spec.labels.clone();
        if labels.is_empty() {
            let newest = asked.pieces().last().unwrap_or((asked.start, asked.end));
            let found = runtime()?.block_on(asked.ask(newest))?;
            if found.is_empty() {
                return Err(Error::invalid(format!(
                    "{}: the query gives no values at the end of its time; name the labels, or see query, start and end",
                    spec.url
                )));
            }
            let names: BTreeSet<String> = found.into_iter().flat_map(|series| series.metric.into_keys()).collect();
            labels = names.into_iter().filter(|name| name != NAME).collect();
        }
        if let Some(taken) = labels.iter().find(|name| ["time", "metric", "value"].contains(&name.as_str())) {
            return Err(Error::invalid(format!(
                "label \"{taken}\" has the name of a column of our own; rename it with label_replace in the query, and name \
                 the labels that are wanted"
            )));
        }
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let time = Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), false);
        let mut fields = vec![time, text("metric")];
        fields.extend(labels.iter().map(|name| text(name)));
        fields.push(Field::new("value", DataType::Float64, false));
        Ok(Self { asked, labels, schema: Arc::new(Schema::new(fields)) })
    }

    /// A series must have no label that is no column, or two series would look like one.
    fn check(&self, series: &Series) -> Result<()> {
        let is_known = |name: &&String| *name == NAME || self.labels.contains(name);
        match series.metric.keys().find(|name| !is_known(name)) {
            Some(name) if self.asked.spec.labels.is_empty() => Err(Error::invalid(format!(
                "{}: label \"{name}\" occurs, which the newest values do not have; name the labels that are wanted",
                self.asked.spec.url
            ))),
            _ => Ok(()),
        }
    }
}

impl Reader for PrometheusReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        let (runtime, schema) = (runtime()?, project(&self.schema, projection)?);
        let mut rows = Rows::new(self.labels.len());
        for piece in self.asked.pieces() {
            for series in runtime.block_on(self.asked.ask(piece))? {
                self.check(&series)?;
                for (time, value) in &series.values {
                    let value = number(value)
                        .ok_or_else(|| Error::invalid(format!("{}: \"{value}\" is no number", self.asked.spec.url)))?;
                    rows.add((time * MICROS as f64).round() as i64, &series.metric, &self.labels, value);
                    if rows.count >= BATCH_ROWS && rows.hand_out(&schema, projection, emit)? {
                        return Ok(());
                    }
                }
            }
        }
        rows.hand_out(&schema, projection, emit).map(drop)
    }
}

impl Asked {
    fn new(spec: &PrometheusSpec) -> Result<Self> {
        let point = |key: &str, text: &str| {
            let text = text.strip_suffix('Z').map_or_else(|| text.to_owned(), |plain| format!("{plain}+00:00"));
            timestamp(&text).ok_or_else(|| {
                Error::invalid(format!("{key}: \"{text}\" is no point in time; write 2026-01-31 12:00:00"))
            })
        };
        let end = match &spec.end {
            Some(text) => point("end", text)?,
            None => chrono::Utc::now().timestamp_micros(),
        };
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(MICROS);
        let start = match (&spec.start, spec.last_s) {
            (Some(text), None) => point("start", text)?,
            (None, Some(last)) => end.saturating_sub(seconds(last)),
            _ => return Err(Error::invalid("say from when: either start or last_s")),
        };
        if start > end {
            return Err(Error::invalid("start comes after end"));
        }
        let mut url = Url::parse(spec.url.reveal())
            .map_err(|e| Error::invalid(format!("url: {} is no address ({e}); write http://host:9090", spec.url)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::invalid(format!("url: {} is not http:// or https://", spec.url)));
        }
        let path = format!("{}/api/v1/query_range", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let tls = if url.scheme() == "https" { tls_config(None)? } else { no_tls()? };
        let timeout = Duration::from_secs(spec.timeout_s.max(1));
        let client = Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none()).timeout(timeout);
        let client = client.build().map_err(|e| Error::internal("a client of HTTP", e))?;
        Ok(Self { spec: spec.clone(), client, url, start, end, step: seconds(spec.step_s.max(1)) })
    }

    /// The time in pieces, each from its first to its last point.
    fn pieces(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        let (start, end, step) = (self.start, self.end, self.step);
        let points = (end - start) / step + 1;
        (0..points).step_by(POINTS_MAX as usize).map(move |first| {
            let last = (first + POINTS_MAX - 1).min(points - 1);
            (start + first * step, start + last * step)
        })
    }

    /// The series of a piece.
    async fn ask(&self, (first, last): (i64, i64)) -> Result<Vec<Series>> {
        let place = &self.spec.url;
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("query", &self.spec.query)
            .append_pair("start", &written(first))
            .append_pair("end", &written(last))
            .append_pair("step", &self.spec.step_s.max(1).to_string());
        let mut request = self.client.get(url);
        if let Some(token) = &self.spec.token {
            request = request.bearer_auth(token.reveal());
        }
        let lost = |e: reqwest::Error| {
            let why = cause(&e.without_url());
            Error::Unreachable(format!(
                "{place} cannot be reached: {why}; see whether the server runs, or raise timeout_s"
            ))
        };
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Error::Exhausted(format!(
                    "{place}: an answer has more than {BODY_BYTES_MAX} bytes; ask for fewer series"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Result<Answer, _> = serde_json::from_slice(&body);
        match (status.as_u16(), answer) {
            (200, Ok(Answer { data: Some(data), .. })) => Ok(data.result),
            (401 | 403, _) => {
                Err(Error::invalid(format!("{place} refuses us ({status}); see token, or user and password in url")))
            }
            (400 | 422, Ok(Answer { error: Some(why), .. })) => Err(Error::invalid(format!("{place}: query: {why}"))),
            (500.., Ok(Answer { error: Some(why), .. })) => Err(Error::Unreachable(format!("{place}: {why}"))),
            (500.., _) => Err(Error::Unreachable(format!("{place} answers {status}"))),
            _ => Err(Error::invalid(format!("{place} answers {status} and nothing of Prometheus; see url"))),
        }
    }
}

/// The innermost reason, which says most.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Seconds since 1970 with what is behind the point.
fn written(micros: i64) -> String {
    format!("{}.{:06}", micros.div_euclid(MICROS), micros.rem_euclid(MICROS))
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

fn no_tls() -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::internal("encryption", e))?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|e| Error::internal("Prometheus is asked outside the engine's runtime", e))
}

/// Values that become arrays.
struct Rows {
    times: TimestampMicrosecondBuilder,
    metrics: StringBuilder,
    labels: Vec<StringBuilder>,
    values: Float64Builder,
    count: usize,
}

impl Rows {
    fn new(labels: usize) -> Self {
        Self {
            times: TimestampMicrosecondBuilder::new(),
            metrics: StringBuilder::new(),
            labels: (0..labels).map(|_| StringBuilder::new()).collect(),
            values: Float64Builder::new(),
            count: 0,
        }
    }

    fn add(&mut self, time: i64, metric: &BTreeMap<String, String>, labels: &[String], value: f64) {
        self.times.append_value(time);
        self.metrics.append_option(metric.get(NAME));
        for (column, label) in self.labels.iter_mut().zip(labels) {
            column.append_option(metric.get(label));
        }
        self.values.append_value(value);
        self.count += 1;
    }

    /// Gives a batch away; true when no more are wanted.
    fn hand_out(&mut self, schema: &SchemaRef, projection: &[usize], emit: &mut Emit) -> Result<bool> {
        let rows = std::mem::take(&mut self.count);
        let mut all: Vec<ArrayRef> = vec![Arc::new(self.times.finish()), Arc::new(self.metrics.finish())];
        all.extend(self.labels.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        all.push(Arc::new(self.values.finish()));
        if rows == 0 {
            return Ok(false);
        }
        let columns = projection.iter().map(|&at| Arc::clone(&all[at])).collect();
        Ok(emit(batch(schema, columns, rows)?).is_break())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: serde_json::Value) -> Result<Asked> {
        Asked::new(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn the_time_is_asked_for_in_pieces_without_gap_or_overlap() {
        let of = |seconds: i64, step: u64| {
            let spec = serde_json::json!({ "url": "http://p:9090/base/", "query": "up", "start": "1970-01-01 00:00:10",
                "end": format!("{}", chrono::DateTime::from_timestamp(10 + seconds, 0).unwrap().format("%F %T")), "step_s": step });
            let asked = asked(spec).unwrap();
            assert_eq!(asked.url.path(), "/base/api/v1/query_range");
            asked.pieces().map(|(first, last)| (first / MICROS, last / MICROS)).collect::<Vec<_>>()
        };
        assert_eq!(of(0, 60), [(10, 10)]);
        assert_eq!(of(59, 60), [(10, 10)]);
        assert_eq!(of(999, 1), [(10, 1_009)]);
        assert_eq!(of(1_000, 1), [(10, 1_009), (1_010, 1_010)]);
        assert_eq!(of(5_000, 2), [(10, 2_008), (2_010, 4_008), (4_010, 5_010)]);
    }

    #[test]
    fn wrong_settings_are_named() {
        let check = |key: &str, value: serde_json::Value, expected: &str| {
            let mut spec = serde_json::json!({ "url": "http://p:9090", "query": "up", "last_s": 60 });
            spec[key] = value;
            let error = asked(spec).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("start", "2026-01-31".into(), "either start or last_s");
        check("last_s", serde_json::Value::Null, "either start or last_s");
        check("end", "yesterday".into(), "end: \"yesterday\" is no point in time");
        check("url", "ftp://p".into(), "is not http:// or https://");
    }
}
