//! What does the server answer? Routes: convert, one call inward, convert back.

mod access;
mod api;
mod health;
mod ingest;
mod openapi;
mod pages;
mod predict;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::routing::{get, post};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::config::Project;
use crate::failure::{Failure, Fault, Result};
use crate::jobs::Jobs;
use crate::serve::Endpoints;
use crate::ui;

/// What the routes share; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    /// The project that is served.
    pub project: Arc<Project>,
    /// Runs and versions.
    pub store: store::Store,
    /// Who answers.
    pub endpoints: Endpoints,
    /// Sources that rows are sent to.
    pub ingests: Ingests,
    /// Training in the background.
    pub jobs: Jobs,
    /// The figures of `/metrics`.
    pub metrics: PrometheusHandle,
    /// Who may ask.
    pub access: Arc<access::Access>,
}

/// Starts counting for `/metrics`; one process serves once.
pub(crate) fn metrics_handle() -> Result<PrometheusHandle> {
    let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
    PrometheusBuilder::new()
        .set_buckets(&seconds)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| Failure::new(Fault::Ours, format!("cannot count for /metrics: {e}")))
}

pub(crate) use access::Access;
pub(crate) use ingest::Ingests;

/// All routes. The listener and the shutdown are the caller's.
pub(crate) fn app(state: App) -> Router {
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let limits = state.project.server.clone();
    Router::new()
        .route("/ingest/{source}", post(ingest::rows))
        .route(ingest::WRITE, post(ingest::samples))
        .route("/predict", post(predict::only))
        .route("/predict/{endpoint}", post(predict::named))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/api/runs/{id}", get(api::run))
        .route("/api/models/{model}/train", post(api::train))
        .route("/api/models/{model}/promote", post(api::promote))
        .route("/api/models/{model}/rollback", post(api::rollback))
        .merge(pages::routes())
        .fallback(reply::no_such_route)
        .method_not_allowed_fallback(reply::no_such_method)
        .layer(middleware::from_fn_with_state(state.clone(), access::check))
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(limits.body_bytes_max))
        .layer(RequestDecompressionLayer::new())
        .layer(middleware::map_request(ingest::packed_by_snappy))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            Duration::from_millis(limits.request_timeout_ms),
        ))
        .layer(CatchPanicLayer::custom(reply::panicked))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .layer(header(header::CONTENT_SECURITY_POLICY, ui::CONTENT_SECURITY_POLICY))
        .with_state(state)
}
