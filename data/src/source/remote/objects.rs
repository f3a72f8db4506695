//! Objects of a bucket: S3 and what speaks like it, Google's and Azure's storage; HDFS too.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};

use super::client::{Connector, client, server};
use super::{Fault, Opened, hdfs, is_silence, reason, silent};
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
/// A `*` stands for a name, not for folders.
const LITERAL: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A bucket that can be asked.
#[derive(Debug, Clone)]
pub(in crate::source) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// `s3://name`.
    place: String,
    timeout: Duration,
    /// Folders are there by themselves, and may be named without a `/` at their end.
    has_folders: bool,
}

impl Bucket {
    /// The bucket of a URL, and the key or pattern in it.
    pub(in crate::source) fn open(path: &str, spec: &StoreSpec, base: &Path) -> Result<(Self, String)> {
        let (scheme, rest) = path.split_once("://").unwrap_or(("s3", path));
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        let has_folders = hdfs::is_scheme(scheme);
        let is_wrong = name.contains(['@', '?', '#', '*']);
        if is_wrong && has_folders {
            return Err(Error::invalid(format!(
                "{path} names no name node; write {scheme}://HOST:8020/FILE, and who asks in store: user"
            )));
        }
        if is_wrong || (name.is_empty() && !has_folders) {
            return Err(Error::invalid(format!("{path} names no bucket; write {scheme}://BUCKET/FILE")));
        }
        if key.split('/').any(|part| part == ".." || part == ".") {
            return Err(Error::invalid(format!("{path}: a name must not hold ../ or ./; write the whole name")));
        }
        let place = format!("{scheme}://{name}");
        let store = match scheme {
            "hdfs" | "viewfs" => hdfs::store(&place, spec)?,
            "gs" => google(name, spec, base).map_err(|e| e.at(&place))?,
            "az" => azure(name, spec, base).map_err(|e| e.at(&place))?,
            _ => amazon(name, spec, base).map_err(|e| e.at(&place))?,
        };
        Ok((Self { store, place, timeout: super::waiting(spec), has_folders }, key.to_owned()))
    }

    /// What messages call it.
    pub(in crate::source) fn place(&self) -> &str {
        &self.place
    }

    /// Whom to ask, for readers that find their files by themselves.
    #[cfg(feature = "delta")]
    pub(in crate::source) fn store(&self) -> &dyn ObjectStore {
        self.store.as_ref()
    }

    /// The keys that a key, a pattern or a folder means, in order; and whether it is the one that was named.
    pub(super) async fn find(&self, key: &str, endings: &[&str]) -> Result<(Vec<String>, bool)> {
        if key.contains(['*', '?', '[']) || key.is_empty() || key.ends_with('/') {
            return Ok((self.listed(key, endings).await?, false));
        }
        let location = self.location(key)?;
        let Err(error) = self.in_time(self.store.head(&location)).await? else {
            return Ok((vec![key.to_owned()], true));
        };
        let is_missing = matches!(error, object_store::Error::NotFound { .. });
        match is_missing && self.is_folder(&location).await? {
            true => Ok((self.listed(&format!("{key}/"), endings).await?, false)),
            false => Err(self.missing(key, error).await),
        }
    }

    /// Whether a name is that of a folder with anything in it.
    async fn is_folder(&self, location: &Key) -> Result<bool> {
        if !self.has_folders {
            return Ok(false);
        }
        let mut listed = self.store.list(Some(location));
        Ok(matches!(self.in_time(listed.next()).await?, Some(Ok(_))))
    }

    /// The keys that a pattern or a folder means, in order.
    async fn listed(&self, key: &str, endings: &[&str]) -> Result<Vec<String>> {
        let wild = key.find(['*', '?', '[']);
        let folder = key[..wild.unwrap_or(key.len())].rsplit_once('/').map_or("", |(folder, _)| folder);
        let pattern = wild.map(|_| pattern(key)).transpose()?;
        let (mut keys, seen) = match &pattern {
            Some(_) if self.has_folders && !key.contains("**") => self.level_by_level(key, folder).await?,
            Some(pattern) => self.all_below(key, folder, |found| pattern.matches_with(found, LITERAL)).await?,
            None => {
                let is_meant = |found: &str| !is_note(&found[folder.len()..]) && ends(Path::new(found), endings);
                self.all_below(key, folder, is_meant).await?
            }
        };
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
            false => Ok(keys),
        }
    }

    /// Those of a folder and of the folders in it that are meant, and how many were looked at.
    async fn all_below(
        &self,
        key: &str,
        folder: &str,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<(Vec<String>, usize)> {
        let prefix = self.location(folder)?;
        let mut listed = self.store.list((!folder.is_empty()).then_some(&prefix));
        let (mut keys, mut seen) = (Vec::new(), 0);
        while let Some(object) = self.in_time(listed.next()).await? {
            let object = object.map_err(|error| self.explain(error, key))?;
            let found = object.location.as_ref();
            seen += 1;
            if is_meant(found) && !found.ends_with('/') {
                keys.push(found.to_owned());
            }
            self.check_count(key, seen, keys.len())?;
        }
        Ok((keys, seen))
    }

    /// Those that a pattern means, where a store has folders: only into folders that it means is looked, as the others may
    /// be all of a file system, or not ours to look into.
    async fn level_by_level(&self, key: &str, folder: &str) -> Result<(Vec<String>, usize)> {
        let ends: Vec<usize> = key.match_indices('/').map(|(at, _)| at).filter(|at| *at > folder.len()).collect();
        let (mut folders, mut keys, mut seen) = (vec![folder.to_owned()], Vec::new(), 0);
        for end in ends.into_iter().chain([key.len()]) {
            let level = pattern(&key[..end])?;
            let mut next = Vec::new();
            for folder in &folders {
                let prefix = self.location(folder)?;
                let listed = self.store.list_with_delimiter((!folder.is_empty()).then_some(&prefix));
                let listed = self.in_time(listed).await?.map_err(|error| self.explain(error, key))?;
                let is_meant = |found: &&Key| level.matches_with(found.as_ref(), LITERAL);
                let files = listed.objects.iter().map(|object| &object.location);
                seen += listed.objects.len() + listed.common_prefixes.len();
                match end == key.len() {
                    true => keys.extend(files.filter(is_meant).map(|found| found.to_string())),
                    false => next.extend(listed.common_prefixes.iter().filter(is_meant).map(|found| found.to_string())),
                }
                self.check_count(key, seen, keys.len())?;
            }
            folders = next;
        }
        Ok((keys, seen))
    }

    fn check_count(&self, key: &str, seen: usize, kept: usize) -> Result<()> {
        match seen > LISTED_MAX || kept > FILES_MAX {
            true => Err(too_many(&format!("{}/{key}", self.place))),
            false => Ok(()),
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
        let asked = self.guarded(self.store.get_opts(&location, options)).await.map_err(Fault::Final)?;
        let opened = asked.map_err(|error| self.fault(error, key))?;
        let (bytes, tag) = (Some(opened.meta.size), opened.meta.e_tag.clone());
        let (bucket, key) = (self.clone(), key.to_owned());
        let stream = AssertUnwindSafe(opened.into_stream()).catch_unwind().map(move |chunk| match chunk {
            Ok(Ok(chunk)) => Ok(Vec::<u8>::from(chunk)),
            Ok(Err(error)) => Err(bucket.fault(error, &key)),
            Err(_) => Err(Fault::Final(bucket.nonsense())),
        });
        Ok(Opened { stream: stream.boxed(), bytes, tag })
    }

    pub(in crate::source) fn location(&self, key: &str) -> Result<Key> {
        Key::parse(key).map_err(|e| Error::invalid(format!("{}/{key}: {e}", self.place)))
    }

    /// What comes before the time is over. The client has a clock of its own; this one is for what it does not see.
    pub(in crate::source) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let limit = self.timeout * 2 + Duration::from_secs(5);
        tokio::time::timeout(limit, self.guarded(work)).await.map_err(|_| silent(&self.place, self.timeout))?
    }

    /// Answers at which another library gives up are no answers.
    async fn guarded<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        AssertUnwindSafe(work).catch_unwind().await.map_err(|_| self.nonsense())
    }

    fn nonsense(&self) -> Error {
        Error::Unreachable(format!("{} sent what no such server should; see whether it is one", self.place))
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
        // A folder that is not ours to look into says nothing of a file beside it.
        let is_told = |found: &object_store::Result<_>| std::future::ready(found.is_ok() || !self.has_folders);
        let listed = self.store.list((!folder.is_empty()).then_some(&prefix)).filter(is_told).take(NAMES_MAX);
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
        if let Some(explained) = hdfs::explained(&error, &self.place, key) {
            return Fault::Final(explained);
        }
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
    pub(in crate::source) fn explain(&self, error: object_store::Error, key: &str) -> Error {
        use object_store::Error as E;
        let place = &self.place;
        if let Some(explained) = hdfs::explained(&error, place, key) {
            return explained;
        }
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
    if let Some(error) = hdfs::of(error) {
        return hdfs::told(error);
    }
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

fn pattern(key: &str) -> Result<glob::Pattern> {
    glob::Pattern::new(key).map_err(|e| Error::invalid(format!("\"{key}\" is no pattern of names: {e}")))
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
