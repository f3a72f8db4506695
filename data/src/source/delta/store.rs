//! Where do a table's log and files lie? In a folder of this machine, or under a key of a bucket or of HDFS: what the kernel
//! asks for is looked for below that, and nowhere else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use delta_kernel::object_store::local::LocalFileSystem;
use delta_kernel::object_store::path::Path as Location;
use delta_kernel::object_store::{
    Attributes, CopyOptions, Error as StoreError, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result as StoreResult,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::error::{Error, Result};
use crate::source::files::{missing, needs_no_store};
use crate::source::is_url;
use crate::source::remote::{Bucket, runtime};
use crate::spec::DeltaSpec;

/// The folder with a table's log.
const LOG: &str = "_delta_log";

/// Who reads a table's files, by names from its root, and what messages call the table.
pub(super) fn open(spec: &DeltaSpec, base: &Path) -> Result<(Arc<dyn ObjectStore>, String)> {
    match is_url(&spec.path) {
        true => objects(spec, base),
        false => folder(spec, base),
    }
}

fn folder(spec: &DeltaSpec, base: &Path) -> Result<(Arc<dyn ObjectStore>, String)> {
    if spec.store.is_some() {
        return Err(needs_no_store(&spec.path));
    }
    let full = base.join(spec.path.trim_end_matches('/'));
    let place = full.display().to_string();
    let found = std::fs::metadata(&full).map_err(|e| missing(&full, e))?;
    if !found.is_dir() {
        return Err(Error::invalid(format!("{place} is a file; a Delta table is a folder, that which holds {LOG}")));
    }
    if !full.join(LOG).is_dir() {
        return Err(no_table(&place));
    }
    let store = LocalFileSystem::new_with_prefix(&full).map_err(|e| Error::invalid(format!("{place}: {e}")))?;
    Ok((Arc::new(store), place))
}

fn objects(spec: &DeltaSpec, base: &Path) -> Result<(Arc<dyn ObjectStore>, String)> {
    if spec.path.starts_with("http://") || spec.path.starts_with("https://") {
        return Err(Error::invalid(format!(
            "{} is on a web server, which does not list its files; a Delta table is a folder of this machine, or one of \
             s3://, gs://, az:// or hdfs://",
            spec.path
        )));
    }
    let (bucket, key) = Bucket::open(&spec.path, &spec.store.clone().unwrap_or_default(), base)?;
    let objects = Objects { bucket, root: key.trim_matches('/').to_owned() };
    let place = objects.to_string();
    match runtime()?.block_on(objects.has_log())? {
        true => Ok((Arc::new(objects), place)),
        false => Err(no_table(&place)),
    }
}

fn no_table(place: &str) -> Error {
    Error::invalid(format!(
        "{place} is no Delta table, as there is no folder {LOG} in it; did you mean {{ parquet: \"{place}\" }}?"
    ))
}

/// The objects below a key, for reading alone: by the client and the keys that all our sources have.
#[derive(Debug, Clone)]
struct Objects {
    bucket: Bucket,
    /// The key, without `/` at its ends; empty where the bucket itself is the table.
    root: String,
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str([self.bucket.place(), self.root.as_str()].join("/").trim_end_matches('/'))
    }
}

impl Objects {
    /// The key of a name below the root.
    fn key(&self, name: &str) -> String {
        [self.root.as_str(), name].join("/").trim_matches('/').to_owned()
    }

    /// Whether there is anything in the folder of the log.
    async fn has_log(&self) -> Result<bool> {
        let key = self.key(LOG);
        let mut listed = self.bucket.store().list(Some(&self.bucket.location(&key)?));
        match self.bucket.in_time(listed.next()).await? {
            Some(Ok(_)) => Ok(true),
            None => Ok(false),
            Some(Err(error)) => match self.bucket.explain(error, &key) {
                // A store with folders says that there is none; others say that of a bucket alone.
                Error::NotFound(told) if told.starts_with("no file") => Ok(false),
                told => Err(told),
            },
        }
    }

    /// What comes, as long as the server is not silent for too long.
    fn in_time<T: Send + 'static>(
        &self,
        items: BoxStream<'static, object_store::Result<T>>,
        key: String,
    ) -> BoxStream<'static, StoreResult<T>> {
        let next = move |(mut items, objects): (BoxStream<'static, object_store::Result<T>>, Self)| {
            let key = key.clone();
            async move {
                let next = objects.bucket.in_time(items.next()).await.map_err(ours)?;
                match next.transpose().map_err(|error| objects.failed(error, &key))? {
                    Some(item) => Ok::<_, StoreError>(Some((item, (items, objects)))),
                    None => Ok(None),
                }
            }
        };
        stream::try_unfold((items, self.clone()), next).boxed()
    }

    /// The objects below a name, beyond another one where it is given.
    fn listed(
        &self,
        prefix: Option<&Location>,
        offset: Option<&Location>,
    ) -> StoreResult<BoxStream<'static, StoreResult<ObjectMeta>>> {
        let key = self.key(prefix.map_or("", |prefix| prefix.as_ref()));
        let place = self.bucket.location(&key).map_err(ours)?;
        let place = (!key.is_empty()).then_some(&place);
        let listed = match offset {
            None => self.bucket.store().list(place),
            Some(offset) => {
                let offset = self.bucket.location(&self.key(offset.as_ref())).map_err(ours)?;
                self.bucket.store().list_with_offset(place, &offset)
            }
        };
        let objects = self.clone();
        Ok(self.in_time(listed, key).map(move |found| objects.below(found?)).boxed())
    }

    /// An object as the kernel knows it, by its name from the root.
    fn below(&self, found: object_store::ObjectMeta) -> StoreResult<ObjectMeta> {
        let key = found.location.as_ref();
        let location = Location::parse(key.strip_prefix(self.root.as_str()).unwrap_or(key))?;
        let object_store::ObjectMeta { last_modified, size, e_tag, version, .. } = found;
        Ok(ObjectMeta { location, last_modified, size, e_tag, version })
    }

    /// The error as the kernel wants it: that something is not there is not always a fault.
    fn failed(&self, error: object_store::Error, key: &str) -> StoreError {
        match error {
            object_store::Error::NotFound { source, .. } => {
                StoreError::NotFound { path: format!("{}/{key}", self.bucket.place()), source }
            }
            error => ours(self.bucket.explain(error, key)),
        }
    }
}

/// An error in our words, on its way through the kernel.
fn ours(error: Error) -> StoreError {
    StoreError::Generic { store: "tidemill", source: Box::new(error) }
}

fn not_written() -> StoreError {
    StoreError::NotSupported { source: "a Delta table is read here, and never written".into() }
}

/// What is asked, in the words of the version of `object_store` that asks servers.
fn asked(options: GetOptions) -> object_store::GetOptions {
    let range = options.range.map(|range| match range {
        GetRange::Bounded(range) => object_store::GetRange::Bounded(range),
        GetRange::Offset(from) => object_store::GetRange::Offset(from),
        GetRange::Suffix(bytes) => object_store::GetRange::Suffix(bytes),
    });
    object_store::GetOptions {
        if_match: options.if_match,
        if_none_match: options.if_none_match,
        if_modified_since: options.if_modified_since,
        if_unmodified_since: options.if_unmodified_since,
        range,
        version: options.version,
        head: options.head,
        ..object_store::GetOptions::default()
    }
}

#[async_trait]
impl ObjectStore for Objects {
    async fn get_opts(&self, location: &Location, options: GetOptions) -> StoreResult<GetResult> {
        let key = self.key(location.as_ref());
        let place = self.bucket.location(&key).map_err(ours)?;
        let opened = self.bucket.in_time(self.bucket.store().get_opts(&place, asked(options))).await.map_err(ours)?;
        let opened = opened.map_err(|error| self.failed(error, &key))?;
        let (meta, range) = (self.below(opened.meta.clone())?, opened.range.clone());
        let payload = GetResultPayload::Stream(self.in_time(opened.into_stream(), key));
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.listed(prefix, None).unwrap_or_else(refused)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Location>,
        offset: &Location,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.listed(prefix, Some(offset)).unwrap_or_else(refused)
    }

    async fn list_with_delimiter(&self, _: Option<&Location>) -> StoreResult<ListResult> {
        let (operation, implementer) = ("list_with_delimiter".to_owned(), self.to_string());
        Err(StoreError::NotImplemented { operation, implementer })
    }

    async fn put_opts(&self, _: &Location, _: PutPayload, _: PutOptions) -> StoreResult<PutResult> {
        Err(not_written())
    }

    async fn put_multipart_opts(&self, _: &Location, _: PutMultipartOptions) -> StoreResult<Box<dyn MultipartUpload>> {
        Err(not_written())
    }

    fn delete_stream(&self, _: BoxStream<'static, StoreResult<Location>>) -> BoxStream<'static, StoreResult<Location>> {
        refused(not_written())
    }

    async fn copy_opts(&self, _: &Location, _: &Location, _: CopyOptions) -> StoreResult<()> {
        Err(not_written())
    }
}

/// A stream of one error.
fn refused<T: Send + 'static>(error: StoreError) -> BoxStream<'static, StoreResult<T>> {
    stream::once(std::future::ready(Err(error))).boxed()
}
