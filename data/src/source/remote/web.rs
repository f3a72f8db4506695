//! A file of a web server. A stream that broke off is taken up where it was, if the server can tell that the file is the same.

use std::fmt;
use std::path::Path;

use futures::StreamExt;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode, Url};

use super::{Fault, Opened, is_silence, reason};
use crate::error::{Error, Result};
use crate::spec::StoreSpec;

/// A file of a web server.
#[derive(Clone)]
pub(super) struct WebFile {
    url: Url,
    /// The URL without its query, which may hold a key.
    place: String,
    client: Client,
    user: Option<(String, String)>,
    token: Option<String>,
}

impl fmt::Debug for WebFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebFile").field("place", &self.place).finish()
    }
}

impl WebFile {
    pub(super) fn new(path: &str, spec: &StoreSpec, base: &Path) -> Result<Self> {
        let mut url = Url::parse(path).map_err(|e| Error::invalid(format!("this is no URL of a file: {e}")))?;
        url.set_fragment(None);
        let mut shown = url.clone();
        shown.set_query(None);
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user {
            return Err(Error::invalid(format!(
                "{}://...: a URL must not hold a password; set store: access_key (the user) and secret_key",
                url.scheme()
            )));
        }
        if url.scheme() == "http" && !spec.allow_http && (spec.secret_key.is_some() || spec.token.is_some()) {
            return Err(Error::invalid(format!(
                "{shown} is not encrypted, and would be sent a key; write https://, or set store: allow_http if that is meant"
            )));
        }
        let user = match (&spec.access_key, &spec.secret_key) {
            (Some(user), password) => {
                Some((user.reveal().to_owned(), password.as_ref().map(|p| p.reveal().to_owned()).unwrap_or_default()))
            }
            _ => None,
        };
        let token = spec.token.as_ref().map(|token| token.reveal().to_owned());
        Ok(Self { client: super::client::client(&url, spec, base, true)?, place: shown.to_string(), url, user, token })
    }

    /// What messages call it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Its bytes from a place on, of the same state of the file.
    pub(super) async fn get(&self, from: u64, tag: Option<&str>) -> Result<Opened, Fault> {
        let mut request = self.client.get(self.url.clone());
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        } else if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            if let Some(tag) = tag {
                request = request.header(IF_RANGE, tag);
            }
        }
        let response = request.send().await.map_err(|error| self.fault(error))?;
        self.check(&response, from)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let tag = header(ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| header(LAST_MODIFIED));
        let bytes = response.content_length();
        let file = self.clone();
        let stream = futures::stream::try_unfold((response, file), |(mut response, file)| async move {
            match response.chunk().await {
                Ok(Some(chunk)) => Ok(Some((Vec::<u8>::from(chunk), (response, file)))),
                Ok(None) => Ok(None),
                Err(error) => Err(file.fault(error)),
            }
        });
        Ok(Opened { stream: stream.boxed(), bytes, tag })
    }

    /// Whether the answer is what was asked for.
    fn check(&self, response: &Response, from: u64) -> Result<(), Fault> {
        let (place, status) = (&self.place, response.status());
        let code = status.as_u16();
        match status {
            StatusCode::PARTIAL_CONTENT if from > 0 => {
                let begins = format!("bytes {from}-");
                let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
                match range.is_some_and(|range| range.starts_with(&begins)) {
                    true => Ok(()),
                    false => {
                        Err(Fault::Final(Error::Unreachable(format!("{place}: another part came than was asked for"))))
                    }
                }
            }
            _ if status.is_success() && from > 0 => Err(Fault::Final(Error::Unreachable(format!(
                "{place} broke off after {from} bytes, and the server does not go on from there: the file changed, or it cannot"
            )))),
            _ if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Err(Fault::Final(Error::NotFound(format!("no file {place}: the server says {code}"))))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Fault::Final(Error::invalid(format!(
                "{place}: the server refuses it ({code}); set store: access_key (the user) and secret_key, or token"
            )))),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Fault::Broken(format!("the server is busy ({code})")))
            }
            _ if status.is_server_error() => Err(Fault::Broken(format!("the server says {code}"))),
            _ => {
                Err(Fault::Final(Error::invalid(format!("{place}: the server says {code} where a file was expected"))))
            }
        }
    }

    fn fault(&self, error: reqwest::Error) -> Fault {
        let error = error.without_url();
        if is_silence(&error) {
            return Fault::Silent;
        }
        match error.is_redirect() {
            true => Fault::Final(Error::invalid(format!("{}: {}", self.place, reason(&error)))),
            false => Fault::Broken(reason(&error)),
        }
    }
}
