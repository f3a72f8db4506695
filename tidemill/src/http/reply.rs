//! Replies that are not answers: a failure as status and `{"error": "text"}`.

use std::any::Any;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::failure::{Failure, Fault};

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.fault {
            Fault::Usage | Fault::Input => StatusCode::BAD_REQUEST,
            Fault::NotFound => StatusCode::NOT_FOUND,
            Fault::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Fault::Conflict | Fault::Stopped => StatusCode::CONFLICT,
            Fault::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
            Fault::Ours => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = if self.fault == Fault::Ours {
            tracing::error!(message = %self.message, "a request failed");
            "the server failed to answer; its log says why".to_owned()
        } else {
            self.message
        };
        let mut response = error(status, &message);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// `{"error": "text"}` with this status.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

pub(super) async fn no_such_route(request: Request) -> Response {
    error(StatusCode::NOT_FOUND, &format!("nothing at {}; see /openapi.json", request.uri().path()))
}

pub(super) async fn no_such_method(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    error(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not for {path}; see /openapi.json"))
}

#[allow(clippy::needless_pass_by_value, reason = "the layer gives the panic away")]
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to answer; its log says why")
}
