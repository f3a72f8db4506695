//! Who may ask? Without a key only this machine, and only pages of this server; with one, who sends it.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::{App, reply};

/// Who may ask.
pub(crate) struct Access {
    key: Option<String>,
    loopback: bool,
}

impl Access {
    /// `host`: the address the server listens on.
    pub(crate) fn new(key: Option<String>, host: IpAddr) -> Self {
        Self { key, loopback: host.is_loopback() }
    }

    /// The status and the reason of a refusal.
    fn refusal(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        if path.starts_with("/health/") {
            return None;
        }
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        // A page of a foreign site may reach a loopback server by a name that resolves to it (DNS rebinding).
        if self.loopback && !is_loopback_name(host) {
            return Some((StatusCode::FORBIDDEN, "this server answers to localhost and loopback addresses only"));
        }
        if *method != Method::GET && *method != Method::HEAD {
            let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, rest)| rest));
            if origin.is_some_and(|origin| !origin.eq_ignore_ascii_case(host)) {
                return Some((StatusCode::FORBIDDEN, "a page of another site may not ask this server to act"));
            }
        }
        let key = self.key.as_deref()?;
        let sent = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        (!same(sent.as_bytes(), key.as_bytes()))
            .then_some((StatusCode::UNAUTHORIZED, "send the key: authorization: Bearer KEY"))
    }
}

/// Compares in a time that does not tell how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.access.refusal(request.method(), request.uri().path(), request.headers()) {
        Some((status, reason)) => reply::error(status, reason),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, method: &Method, headers: &[(header::HeaderName, &str)], expected: Option<u16>) {
        let headers: HeaderMap = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let refused = access.refusal(method, "/predict", &headers).map(|(status, _)| status.as_u16());
        assert_eq!(refused, expected, "{method} {headers:?}");
    }

    #[test]
    fn a_loopback_server_answers_to_loopback_names_and_its_own_pages() {
        let access = Access::new(None, IpAddr::from([127, 0, 0, 1]));
        for (host, expected) in [
            ("127.0.0.1:8000", None),
            ("localhost", None),
            ("[::1]:8000", None),
            ("evil.example:8000", Some(403)),
            ("127.0.0.1.evil.example", Some(403)),
            ("", Some(403)),
        ] {
            check(&access, &Method::GET, &[(header::HOST, host)], expected);
        }
        let host = (header::HOST, "localhost:8000");
        check(&access, &Method::POST, &[host.clone(), (header::ORIGIN, "http://localhost:8000")], None);
        check(&access, &Method::POST, &[host.clone(), (header::ORIGIN, "https://evil.example")], Some(403));
        check(&access, &Method::POST, &[host, (header::ORIGIN, "null")], Some(403));
    }

    #[test]
    fn with_a_key_only_who_sends_it_is_answered() {
        let access = Access::new(Some("correct horse battery".into()), IpAddr::from([0, 0, 0, 0]));
        let host = (header::HOST, "models.example");
        check(&access, &Method::GET, std::slice::from_ref(&host), Some(401));
        check(&access, &Method::GET, &[host.clone(), (header::AUTHORIZATION, "Bearer wrong")], Some(401));
        check(&access, &Method::GET, &[host, (header::AUTHORIZATION, "Bearer correct horse battery")], None);
    }
}
