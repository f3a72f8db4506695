//! What does the server answer? Routes: convert, one call inward, convert back.

mod access;
mod api;
mod health;
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
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::config::Project;
use crate::jobs::Jobs;
use crate::serve::Endpoints;

/// Bytes of a request's body after decompression.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// What the routes share; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    /// The project that is served.
    pub project: Arc<Project>,
    /// Runs and versions.
    pub store: store::Store,
    /// Who answers.
    pub endpoints: Endpoints,
    /// Training in the background.
    pub jobs: Jobs,
    /// The figures of `/metrics`.
    pub metrics: PrometheusHandle,
    /// Who may ask.
    pub access: Arc<access::Access>,
}

pub(crate) use access::Access;

/// All routes. The listener and the shutdown are the caller's.
pub(crate) fn app(state: App) -> Router {
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    Router::new()
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
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(RequestDecompressionLayer::new())
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::custom(reply::panicked))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .with_state(state)
}
