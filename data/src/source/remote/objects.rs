//! Objects of a bucket: S3 and what speaks like it, Google's and Azure's storage.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};

use super::client::{Connector, client, server};
use super::{Fault, Opened, is_silence, reason, silent};
use crate::error::{Error, Result};
use crate::source::files::{FILES_MAX, ends, nearest, too_many};
use crate::spec::StoreSpec;

/// Objects that are looked at for a pattern, at most.
const LISTED_MAX: usize = 5_000_000;
/// Objects that are looked at for a "did you mean".
const NAMES_MAX: usize = 1_000;
/// What servers call a key that is wrong or has no right; in listings they are told in the text alone.
const REFUSALS: [&str; 6] = [
    "AccessDenied",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AuthenticationFailed",
    "ExpiredToken",
    "InvalidToken",
];
/// Times that a request is sent again.
const RETRIES_MAX: usize = 3;

/// A bucket that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// `s3://name`.
    place: String,
    timeout: Duration,
}

impl Bucket {
    /// The bucket of a URL, and the key or pattern in it.
    pub(super) fn open(path: &str, spec: &StoreSpec, base: &Path) -> Result<(Self, String)> {
        let (scheme, rest) = path.split_once("://").unwrap_or(("s3", path));
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || name.contains(['@', '?', '#', '*']) {
            return Err(Error::invalid(format!("{path} names no bucket; write {scheme}://BUCKET/FILE")));
        }
        if key.split('/').any(|part| part == ".." || part == ".") {
            return Err(Error::invalid(format!("{path}: a name must not hold ../ or ./; write the whole name")));
        }
        let store = match scheme {
            "gs" => google(name, spec, base),
            "az" => azure(name, spec, base),
            _ => amazon(name, spec, base),
        };
        let place = format!("{scheme}://{name}");
        let store = store.map_err(|e| e.at(&place))?;
        Ok((Self { store, place, timeout: super::waiting(spec) }, key.to_owned()))
    }

    /// What messages call it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The keys that a key, a pattern or a folder means, in order; and whether it is the one that was named.
    pub(super) async fn find(&self, key: &str, endings: &[&str]) -> Result<(Vec<String>, bool)> {
        let wild = key.find(['*', '?', '[']);
        if wild.is_none() && !key.is_empty() && !key.ends_with('/') {
            let location = self.location(key)?;
            let found = self.in_time(self.store.head(&location)).await?;
            return match found {
                Ok(_) => Ok((vec![key.to_owned()], true)),
                Err(error) => Err(self.missing(key, error).await),
            };
        }
        let folder = key[..wild.unwrap_or(key.len())].rsplit_once('/').map_or("", |(folder, _)| folder);
        let pattern = wild.map(|_| glob::Pattern::new(key)).transpose();
        let pattern = pattern.map_err(|e| Error::invalid(format!("\"{key}\" is no pattern of names: {e}")))?;
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
        let prefix = self.location(folder)?;
        let mut listed = self.store.list((!folder.is_empty()).then_some(&prefix));
        let (mut keys, mut seen) = (Vec::new(), 0usize);
        while let Some(object) = self.in_time(listed.next()).await? {
            let object = object.map_err(|error| self.explain(error, key))?;
            let found = object.location.as_ref();
            let is_meant = match &pattern {
                Some(pattern) => pattern.matches_with(found, options),
                None => !is_note(&found[folder.len()..]) && ends(Path::new(found), endings),
            };
            seen += 1;
            if is_meant && !found.ends_with('/') {
                keys.push(found.to_owned());
            }
            if seen > LISTED_MAX || keys.len() > FILES_MAX {
                return Err(too_many(&format!("{}/{key}", self.place)));
            }
        }
        keys.sort();
        match keys.is_empty() {
            true if pattern.is_some() => {
                Err(Error::NotFound(format!("no file is called like {}/{key}; {seen} were looked at", self.place)))
            }
            true => Err(Error::NotFound(format!(
                "{}/{key} holds no files that end in .{}; {seen} were looked at",
                self.place,
                endings.join(", .")
            ))),
            false => Ok((keys, false)),
        }
    }

    /// The bytes of an object from a place on, of the same state of it.
    pub(super) async fn get(&self, key: &str, from: u64, tag: Option<&str>) -> Result<Opened, Fault> {
        let options = GetOptions {
            range: (from > 0).then_some(GetRange::Offset(from)),
            if_match: tag.filter(|_| from > 0).map(str::to_owned),
            ..GetOptions::default()
        };
        let location = self.location(key).map_err(Fault::Final)?;
        let opened = self.store.get_opts(&location, options).await.map_err(|error| self.fault(error, key))?;
        let (bytes, tag) = (Some(opened.meta.size), opened.meta.e_tag.clone());
        let (bucket, key) = (self.clone(), key.to_owned());
        let stream = opened.into_stream().map_ok(Vec::<u8>::from).map_err(move |error| bucket.fault(error, &key));
        Ok(Opened { stream: stream.boxed(), bytes, tag })
    }

    fn location(&self, key: &str) -> Result<Key> {
        Key::parse(key).map_err(|e| Error::invalid(format!("{}/{key}: {e}", self.place)))
    }

    /// What comes before the time is over. The client has a clock of its own; this one is for what it does not see.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let limit = self.timeout * 2 + Duration::from_secs(5);
        tokio::time::timeout(limit, work).await.map_err(|_| silent(&self.place, self.timeout))
    }

    /// Why an object cannot be had: the answer itself has no text, that of a listing has. With the nearest name beside it.
    async fn missing(&self, key: &str, error: object_store::Error) -> Error {
        use object_store::Error as E;
        let is_missing = matches!(error, E::NotFound { .. });
        let is_told = !is_missing && !matches!(error, E::PermissionDenied { .. } | E::Unauthenticated { .. });
        let explained = self.explain(error, key);
        if is_told {
            return explained;
        }
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
        let Ok(prefix) = self.location(folder) else { return explained };
        let listed = self.store.list((!folder.is_empty()).then_some(&prefix)).take(NAMES_MAX);
        let keys: Result<Vec<_>> = match self.in_time(listed.try_collect::<Vec<_>>()).await {
            Ok(listed) => listed.map_err(|error| self.explain(error, key)),
            Err(error) => Err(error),
        };
        match keys {
            Ok(_) if !is_missing => explained,
            Ok(keys) => {
                let below = |key: &str| key.strip_prefix(folder).unwrap_or(key).trim_start_matches('/').to_owned();
                let names: Vec<String> = keys.iter().map(|object| below(object.location.as_ref())).collect();
                Error::NotFound(format!("no file {}/{key}{}", self.place, nearest(name, &names)))
            }
            Err(error) => error, // no bucket, or no right to look into it
        }
    }

    fn fault(&self, error: object_store::Error, key: &str) -> Fault {
        use object_store::Error as E;
        let is_final = matches!(
            error,
            E::NotFound { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::InvalidPath { .. }
        );
        match error {
            E::Precondition { .. } => {
                Fault::Final(Error::Unreachable(format!("{}/{key} changed while it was read; run again", self.place)))
            }
            error if is_silence(&error) => Fault::Silent,
            error if is_final => Fault::Final(self.explain(error, key)),
            error => Fault::Broken(told(&error)),
        }
    }

    /// The error in our words.
    fn explain(&self, error: object_store::Error, key: &str) -> Error {
        use object_store::Error as E;
        let place = &self.place;
        let told = told(&error);
        let has = |codes: &[&str]| codes.iter().any(|code| told.contains(code));
        let is_bucket = has(&["NoSuchBucket", "ContainerNotFound", "bucket does not exist"]);
        let is_refused = has(&REFUSALS) || matches!(error, E::PermissionDenied { .. } | E::Unauthenticated { .. });
        match error {
            error if is_silence(&error) => silent(place, self.timeout),
            _ if is_bucket => Error::NotFound(format!("there is no bucket {place} ({told})")),
            E::NotFound { .. } => Error::NotFound(format!("no file {place}/{key}")),
            _ if is_refused => Error::invalid(format!(
                "{place}/{key}: the server refuses it ({told}); check store: access_key, secret_key, token and region"
            )),
            _ => Error::Unreachable(format!("{place}/{key} cannot be read: {told}")),
        }
    }
}

/// What the server says of an error, without the request that it was: codes of S3 and its kin, or the innermost reason.
fn told(error: &object_store::Error) -> String {
    let text = error.to_string();
    let between = |tag: &str| {
        let begin = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = text[begin..].find('<')? + begin;
        Some(text[begin..end].trim().to_owned()).filter(|part| !part.is_empty())
    };
    match (between("Code"), between("Message")) {
        (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
        (Some(code), None) => code,
        _ => reason(error),
    }
}

/// Names that are kept for other programs, as in folders of this machine.
fn is_note(below: &str) -> bool {
    below.split('/').any(|part| part.starts_with(['.', '_']))
}

/// Why a bucket cannot be asked.
enum Setup {
    Ours(Error),
    Theirs(object_store::Error),
}

impl Setup {
    fn at(self, place: &str) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Theirs(error) => Error::invalid(format!("{place}: {}", reason(&error))),
        }
    }
}

impl From<Error> for Setup {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<object_store::Error> for Setup {
    fn from(error: object_store::Error) -> Self {
        Self::Theirs(error)
    }
}

fn retry(spec: &StoreSpec) -> RetryConfig {
    let retry_timeout = Duration::from_secs(spec.timeout_s.max(1));
    RetryConfig { max_retries: RETRIES_MAX, retry_timeout, ..RetryConfig::default() }
}

fn options(spec: &StoreSpec) -> ClientOptions {
    ClientOptions::new().with_allow_http(spec.allow_http)
}

fn connector(usual: &str, spec: &StoreSpec, base: &Path) -> Result<Connector> {
    let server = server(spec.endpoint.as_deref().unwrap_or(usual), spec)?;
    Ok(Connector(client(&server, spec, base, false)?))
}

fn amazon(bucket: &str, spec: &StoreSpec, base: &Path) -> Result<Arc<dyn ObjectStore>, Setup> {
    let region = spec.region.as_deref().unwrap_or("us-east-1");
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_retry(retry(spec))
        .with_client_options(options(spec))
        .with_http_connector(connector("https://s3.amazonaws.com", spec, base)?);
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder = match (&spec.access_key, &spec.secret_key) {
        (Some(key), Some(secret)) => builder.with_access_key_id(key.reveal()).with_secret_access_key(secret.reveal()),
        (None, None) => builder.with_skip_signature(true),
        (Some(_), None) => return Err(Error::invalid("store: access_key is set, but no secret_key").into()),
        (None, Some(_)) => return Err(Error::invalid("store: secret_key is set, but no access_key").into()),
    };
    if let Some(token) = &spec.token {
        builder = builder.with_token(token.reveal());
    }
    Ok(Arc::new(builder.build()?))
}

fn google(bucket: &str, spec: &StoreSpec, base: &Path) -> Result<Arc<dyn ObjectStore>, Setup> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_retry(retry(spec))
        .with_client_options(options(spec))
        .with_http_connector(connector("https://storage.googleapis.com", spec, base)?);
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder = match (&spec.service_account, &spec.token) {
        (Some(key), _) => builder.with_service_account_key(key.reveal()),
        (None, Some(token)) => builder.with_bearer_token(token.reveal()),
        (None, None) => builder.with_skip_signature(true),
    };
    Ok(Arc::new(builder.build()?))
}

fn azure(container: &str, spec: &StoreSpec, base: &Path) -> Result<Arc<dyn ObjectStore>, Setup> {
    let Some(account) = &spec.account else {
        return Err(Error::invalid(format!("az://{container}: set store: account, the account of the storage")).into());
    };
    let usual = format!("https://{account}.blob.core.windows.net");
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(container)
        .with_account(account)
        .with_retry(retry(spec))
        .with_client_options(options(spec))
        .with_http_connector(connector(&usual, spec, base)?);
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder = match (&spec.secret_key, &spec.token) {
        (Some(key), _) => builder.with_access_key(key.reveal()),
        (None, Some(token)) => builder.with_config(AzureConfigKey::SasKey, token.reveal()),
        (None, None) => builder.with_skip_signature(true),
    };
    Ok(Arc::new(builder.build()?))
}
