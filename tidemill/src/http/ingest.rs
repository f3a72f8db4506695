//! `POST /ingest/{source}` and `POST /api/v1/write`: rows come in, and are durable before we say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data::{Collected, Ingest};
use serde::Deserialize;
use serde_json::json;

use crate::config::{Project, did_you_mean};
use crate::failure::{Failure, Result};

use super::App;

/// Where a Prometheus server sends its samples.
pub(super) const WRITE: &str = "/api/v1/write";
/// Longest name of a request, in bytes.
const REQUEST_NAME_BYTES_MAX: usize = 200;

/// The sources that rows are sent to, each open or with the reason why not; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Ingests {
    all: Arc<BTreeMap<String, Result<Ingest, Failure>>>,
}

impl Ingests {
    /// Opens what the project has of them. One that cannot be opened troubles only who sends to it.
    pub(crate) fn open(project: &Project) -> Self {
        let sources = project.sources.iter().filter(|source| source.spec.is_sent_to());
        let open = |source: &crate::config::NamedSource| {
            let opened = Ingest::open(&source.name, &source.spec, &project.stream_folder(&source.name));
            let at = |error| Failure::from(error).at(format!("source \"{}\"", source.name));
            (source.name.clone(), opened.map_err(at))
        };
        Self { all: Arc::new(sources.map(open).collect()) }
    }

    /// Why some are not open.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = &Failure> {
        self.all.values().filter_map(|opened| opened.as_ref().err())
    }

    /// Where each is sent to.
    pub(crate) fn routes(&self) -> Vec<String> {
        let route = |(name, opened): (&String, &Result<Ingest, Failure>)| match opened {
            Ok(ingest) if ingest.is_prometheus() => format!("{WRITE}?source={name}"),
            _ => format!("/ingest/{name}"),
        };
        self.all.iter().map(route).collect()
    }

    /// What was counted of each.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (&str, Collected)> {
        let open = self.all.iter().filter_map(|(name, opened)| Some((name.as_str(), opened.as_ref().ok()?)));
        open.map(|(name, ingest)| (name, ingest.figures().read()))
    }

    fn get(&self, name: &str, is_prometheus: bool) -> Result<&Ingest> {
        match self.all.get(name) {
            Some(Ok(ingest)) if ingest.is_prometheus() == is_prometheus => Ok(ingest),
            Some(Ok(_)) if is_prometheus => {
                Err(Failure::input(format!("source \"{name}\" takes rows: POST /ingest/{name}")))
            }
            Some(Ok(_)) => Err(Failure::input(format!("source \"{name}\" takes samples: POST {WRITE}?source={name}"))),
            Some(Err(failure)) => Err(Failure::new(failure.fault, failure.message.clone())),
            None => {
                let near = did_you_mean(name, self.all.keys().map(String::as_str));
                Err(Failure::not_found(format!("nothing is sent to a source \"{name}\"{near}")))
            }
        }
    }

    /// The one that samples go to where none is named.
    fn only_prometheus(&self) -> Result<&str> {
        let all = self.all.iter().filter(|(_, opened)| opened.as_ref().is_ok_and(Ingest::is_prometheus));
        let names: Vec<&str> = all.map(|(name, _)| name.as_str()).collect();
        match names.as_slice() {
            [one] => Ok(one),
            [] => Err(Failure::not_found("the project has no source prometheus_write that is open")),
            several => Err(Failure::input(format!(
                "several sources take samples: {WRITE}?source=NAME, of {}",
                several.join(", ")
            ))),
        }
    }
}

/// Rows: JSON lines, a JSON array, or an Arrow IPC stream. A request that is sent again with the same `Idempotency-Key` has
/// the same offsets.
pub(super) async fn rows(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let request = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default().to_owned());
    if request.as_ref().is_some_and(|request| request.is_empty() || request.len() > REQUEST_NAME_BYTES_MAX) {
        return Err(Failure::input(format!("idempotency-key: 1 to {REQUEST_NAME_BYTES_MAX} visible characters")));
    }
    let ingest = app.ingests.get(&name, false)?.clone();
    let stored = ingest.push(body.into(), request).await?;
    Ok(Json(json!({ "source": name, "rows": stored.rows, "kept_aside": stored.kept_aside })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    #[serde(default)]
    source: Option<String>,
}

/// Samples of a Prometheus server, remote write 1.0.
pub(super) async fn samples(State(app): State<App>, Query(target): Query<Target>, body: Bytes) -> Result<Response> {
    let name = match &target.source {
        Some(name) => name.as_str(),
        None => app.ingests.only_prometheus()?,
    };
    let ingest = app.ingests.get(name, true)?.clone();
    ingest.push(body.into(), None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Remote write says that its body is packed by Snappy, as an encoding that layers would refuse: it is its format.
pub(super) async fn packed_by_snappy(mut request: Request) -> Request {
    let is_snappy = request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "snappy");
    if is_snappy && request.uri().path() == WRITE {
        request.headers_mut().remove(header::CONTENT_ENCODING);
    }
    request
}

/// Figures of the streams for `/metrics`.
pub(super) fn count(ingests: &Ingests) {
    for (name, counted) in ingests.figures() {
        let figures = [
            ("tidemill_ingest_rows_total", counted.rows),
            ("tidemill_ingest_bytes_total", counted.bytes),
            ("tidemill_ingest_kept_aside_total", counted.poison),
            ("tidemill_ingest_late_total", counted.late),
        ];
        for (figure, value) in figures {
            metrics::counter!(figure, "source" => name.to_owned()).absolute(value);
        }
    }
}
