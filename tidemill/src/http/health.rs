//! Is it alive, is it ready, how is it doing?

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{App, ingest};

pub(super) async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

/// Ready when every endpoint answers; otherwise 503 with the reason of each that does not.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let endpoints: Vec<_> = app
        .endpoints
        .status()
        .into_iter()
        .map(|line| {
            json!({
                "endpoint": line.endpoint, "model": line.model, "version": line.version,
                "ready": line.version.is_some(), "trouble": line.trouble,
            })
        })
        .collect();
    let ready = endpoints.iter().all(|line| line["ready"] == true);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "status": if ready { "ready" } else { "not ready" }, "endpoints": endpoints })))
        .into_response()
}

pub(super) async fn metrics(State(app): State<App>) -> Response {
    for line in app.endpoints.status() {
        metrics::gauge!("tidemill_requests_pending", "endpoint" => line.endpoint.clone()).set(line.pending as f64);
        let ready = if line.version.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("tidemill_endpoint_ready", "endpoint" => line.endpoint).set(ready);
    }
    ingest::count(&app.ingests);
    metrics::gauge!("tidemill_resident_memory_peak_bytes").set(crate::machine::peak_rss_bytes() as f64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response()
}
