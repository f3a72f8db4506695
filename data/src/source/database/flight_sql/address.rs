//! Where is a server, and who are we to it? Also where else it says that rows are to be had.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_flight::Location;
use reqwest::Url;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::super::{in_time, tls};
use crate::error::{Error, Result};
use crate::source::files::file;
use crate::source::remote::{is_inside, is_own};
use crate::spec::{FlightSqlSpec, Secret};

/// How a server says that rows come over the connection that there is.
const SAME_CONNECTION: &str = "arrow-flight-reuse-connection:";

/// How to get there.
#[derive(Debug, Clone)]
pub(super) struct Server {
    at: Address,
    ca: Option<PathBuf>,
    pub(super) login: Login,
    pub(super) timeout: Duration,
}

/// Host and port as a URL writes them.
#[derive(Debug, Clone, PartialEq)]
struct Address {
    host: String,
    port: u16,
    is_encrypted: bool,
}

/// Who we are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Login {
    Nobody,
    Token(Secret),
    User(String, Secret),
}

impl Server {
    pub(super) fn of(spec: &FlightSqlSpec, base: &Path) -> Result<Self> {
        let (at, url) = Address::of(spec.url.reveal()).ok_or_else(|| {
            Error::invalid(format!(
                "url: {} is no address of Flight SQL; write it as grpc://host:port, or grpc+tls://host:port where the \
                 connection is encrypted",
                spec.url
            ))
        })?;
        let ca = spec.ca.as_deref().map(|ca| file(base, ca)).transpose()?;
        let timeout = Duration::from_secs(spec.timeout_s.max(1));
        Ok(Self { at, ca, login: Login::of(spec, &url)?, timeout })
    }

    /// For messages.
    pub(super) fn place(&self) -> String {
        format!("flight_sql at {}:{}", self.at.host, self.at.port)
    }

    pub(super) async fn connect(&self) -> Result<Channel> {
        let place = self.place();
        let scheme = if self.at.is_encrypted { "https" } else { "http" };
        let wrong = |e: tonic::transport::Error| Error::invalid(format!("{place}: {}", causes(&e)));
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}:{}", self.at.host, self.at.port)).map_err(wrong)?;
        let mut endpoint = endpoint.connect_timeout(self.timeout).http2_adaptive_window(true);
        endpoint = endpoint.user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION"))).map_err(wrong)?;
        if self.at.is_encrypted {
            let trusted = ClientTlsConfig::new().trust_anchors(tls::roots(self.ca.as_deref())?.roots);
            endpoint = endpoint.tls_config(trusted).map_err(wrong)?;
        }
        in_time(self.timeout, &place, async {
            let connected = endpoint.connect().await;
            connected.map_err(|e| Error::Unreachable(format!("{place}: {}", causes(&e))))
        })
        .await
    }

    /// The server where a ticket is taken; none where that is this one.
    ///
    /// # Errors
    /// A place that we do not go to: of another protocol, without the encryption that this one has, or of our own network.
    pub(super) async fn elsewhere(&self, locations: &[Location]) -> Result<Option<Self>> {
        let known: Vec<Address> = locations.iter().filter_map(|at| Some(Address::of(&at.uri)?.0)).collect();
        if locations.is_empty()
            || locations.iter().any(|at| at.uri.starts_with(SAME_CONNECTION))
            || known.contains(&self.at)
        {
            return Ok(None);
        }
        let shown = || locations.iter().map(|at| at.uri.as_str()).collect::<Vec<_>>().join(", ");
        let Some(at) = known.into_iter().next() else {
            return Err(Error::Unsupported(format!(
                "{} keeps rows at {}, where they are not fetched: only grpc:// and grpc+tls:// are",
                self.place(),
                shown()
            )));
        };
        if self.at.is_encrypted && !at.is_encrypted {
            let place = self.place();
            return Err(Error::invalid(format!("{place} keeps rows at {}, which is not encrypted", shown())));
        }
        if !self.is_own().await && at.is_own(self.timeout).await {
            return Err(Error::invalid(format!(
                "{} keeps rows at {}, an address of this machine or its own network, where servers hide secrets",
                self.place(),
                shown()
            )));
        }
        Ok(Some(Self { at, ..self.clone() }))
    }

    async fn is_own(&self) -> bool {
        self.at.is_own(self.timeout).await
    }
}

impl Address {
    /// An address, and the URL that it stands in.
    fn of(url: &str) -> Option<(Self, Url)> {
        let url = Url::parse(url).ok()?;
        let is_encrypted = match url.scheme() {
            "grpc" | "grpc+tcp" => false,
            "grpc+tls" => true,
            _ => return None,
        };
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let port = url.port().filter(|_| is_bare)?;
        Some((Self { host, port, is_encrypted }, url))
    }

    /// Whether it is of this machine or its own network; a name by its addresses.
    async fn is_own(&self, timeout: Duration) -> bool {
        if is_own(&self.host) {
            return true;
        }
        let found = tokio::net::lookup_host((self.host.trim_matches(['[', ']']), self.port));
        match tokio::time::timeout(timeout, found).await {
            Ok(Ok(mut addresses)) => addresses.any(|address| is_inside(address.ip())),
            _ => false, // nor will it be reached
        }
    }
}

impl Login {
    fn of(spec: &FlightSqlSpec, url: &Url) -> Result<Self> {
        let part = |text: &str| {
            decoded(text).ok_or_else(|| Error::invalid(format!("url: {} has a % that is no character", spec.url)))
        };
        let named = if url.username().is_empty() { None } else { Some(part(url.username())?) };
        let user = spec.user.clone().or(named);
        let password = match (&spec.password, url.password()) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(password)) => Some(Secret::from(part(password)?.as_str())),
            (None, None) => None,
        };
        match (user, password, &spec.token) {
            (None, None, None) => Ok(Self::Nobody),
            (None, None, Some(token)) => Ok(Self::Token(token.clone())),
            (Some(user), _, None) if user.contains(':') => Err(Error::invalid("user: no name may hold a colon")),
            (Some(user), password, None) => Ok(Self::User(user, password.unwrap_or_else(|| Secret::from("")))),
            (None, Some(_), None) => Err(Error::invalid("a password needs a user; set user")),
            (_, _, Some(_)) => Err(Error::invalid("a source has token and user or password; leave one of them out")),
        }
    }
}

/// A part of a URL with its characters as they are; none where a `%` is wrong.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// What went wrong, and why; a text that says nothing is left out.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if text != "transport error" && !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: serde_json::Value) -> FlightSqlSpec {
        serde_json::from_value(text).unwrap()
    }

    fn server(text: serde_json::Value) -> Result<Server> {
        Server::of(&spec(text), Path::new("/"))
    }

    #[test]
    fn addresses_name_host_port_and_encryption() {
        let check = |url: &str, expected: Option<(&str, u16, bool)>| {
            let found = server(serde_json::json!({ "url": url }));
            let found = found.as_ref().ok().map(|found| (found.at.host.as_str(), found.at.port, found.at.is_encrypted));
            assert_eq!(found, expected, "{url}");
        };
        check("grpc://db.example:31337", Some(("db.example", 31_337, false)));
        check("grpc+tcp://127.0.0.1:1/", Some(("127.0.0.1", 1, false)));
        check("grpc+tls://[::1]:31337", Some(("[::1]", 31_337, true)));
        for wrong in
            ["db.example:31337", "grpc://db.example", "http://db:1", "grpc://:1", "grpc://db:1/shop", "grpc+unix:///x"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn who_we_are_stands_in_one_place() {
        let check = |text: serde_json::Value, expected: Login| assert_eq!(server(text).unwrap().login, expected);
        let user = |name: &str, password: &str| Login::User(name.to_owned(), Secret::from(password));
        check(serde_json::json!({ "url": "grpc://db:1" }), Login::Nobody);
        check(serde_json::json!({ "url": "grpc://db:1", "token": "x" }), Login::Token(Secret::from("x")));
        check(serde_json::json!({ "url": "grpc://me:a%40b%25@db:1" }), user("me", "a@b%"));
        check(serde_json::json!({ "url": "grpc://me@db:1", "password": "x" }), user("me", "x"));
        check(serde_json::json!({ "url": "grpc://me:y@db:1", "user": "you", "password": "x" }), user("you", "x"));
        check(serde_json::json!({ "url": "grpc://db:1", "user": "数据" }), user("数据", ""));
        let wrong = |text: serde_json::Value, words: &str| {
            let error = server(text).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hunter2"), "no {words:?} in {error}");
        };
        wrong(serde_json::json!({ "url": "http://me:hunter2@db:1" }), "http://me:***@db:1 is no address of Flight SQL");
        wrong(serde_json::json!({ "url": "grpc://me:hunter2%zz@db:1" }), "is no character");
        wrong(serde_json::json!({ "url": "grpc://db:1", "password": "hunter2" }), "needs a user");
        wrong(serde_json::json!({ "url": "grpc://me@db:1", "token": "hunter2" }), "leave one of them out");
        wrong(serde_json::json!({ "url": "grpc://db:1", "user": "a:b" }), "colon");
    }

    #[test]
    fn rows_elsewhere_are_fetched_where_that_is_safe() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let there = server(serde_json::json!({ "url": "grpc+tls://192.0.2.1:31337" })).unwrap();
        let here = server(serde_json::json!({ "url": "grpc://127.0.0.1:31337" })).unwrap();
        let ask = |server: &Server, uris: &[&str]| {
            let locations: Vec<Location> = uris.iter().map(|uri| Location { uri: (*uri).to_owned() }).collect();
            let found = runtime.block_on(server.elsewhere(&locations));
            found.map(|found| found.map(|server| server.place())).map_err(|error| error.to_string())
        };
        assert_eq!(ask(&there, &[]), Ok(None));
        assert_eq!(ask(&there, &["arrow-flight-reuse-connection://?"]), Ok(None));
        assert_eq!(ask(&there, &["grpc+tls://192.0.2.9:1", "grpc+tls://192.0.2.1:31337"]), Ok(None));
        let other = Ok(Some("flight_sql at 192.0.2.9:1".to_owned()));
        assert_eq!(ask(&there, &["https://a.example/x", "grpc+tls://192.0.2.9:1"]), other);
        assert_eq!(ask(&here, &["grpc://127.0.0.1:2"]), Ok(Some("flight_sql at 127.0.0.1:2".to_owned())));
        let refused = |uri: &str, words: &str| {
            let error = ask(&there, &[uri]).unwrap_err();
            assert!(error.contains(words) && error.contains(uri), "no {words:?} in {error}");
        };
        refused("https://a.example/x.arrow", "only grpc:// and grpc+tls:// are");
        refused("grpc://192.0.2.9:1", "not encrypted");
        refused("grpc+tls://169.254.169.254:80", "its own network");
        refused("grpc+tls://localhost:80", "its own network");
    }
}
