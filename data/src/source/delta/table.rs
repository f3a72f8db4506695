//! A table of Delta Lake: its versions, and what is wrong with it in our words.

use std::error::Error as StdError;
use std::num::NonZero;
use std::path::Path;

use chrono::DateTime;
use delimited::types;
use delta_kernel::history_manager::error::{LogHistoryError, NearestTimestamp};
use delta_kernel::history_manager::{HistoryCommitType, latest_version_as_of};
use delta_kernel::object_store::Error as StoreError;
use delta_kernel::{Engine as _, KernelError, Snapshot, SnapshotRef};
use delta_kernel_default_engine::executor::tokio::TokioBackgroundExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use reqwest::Url;

use super::store;
use crate::error::{Error, Result};
use crate::source::BATCH_ROWS;
use crate::spec::DeltaSpec;

/// The root as the kernel knows it: every name is below the table's folder, wherever that is.
const ROOT: &str = "file:///";
/// The folder of the log below it.
const LOG: &str = "/_delta_log/";
/// Figures of a version in the name of its file.
const VERSION_FIGURES: usize = 20;
/// Files of the log that are read at a time.
const FILES_AHEAD: NonZero<usize> = match NonZero::new(16) {
    Some(files) => files,
    None => NonZero::<usize>::MIN,
};
const BATCH: NonZero<usize> = match NonZero::new(BATCH_ROWS) {
    Some(rows) => rows,
    None => NonZero::<usize>::MIN,
};

/// Which version is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Newest,
    Version(u64),
    /// The newest that is not of later than this, in milliseconds since 1970 UTC.
    Time(i64),
}

impl At {
    pub(super) fn of(spec: &DeltaSpec) -> Result<Self> {
        match (spec.version, spec.time.as_deref()) {
            (Some(_), Some(_)) => {
                Err(Error::invalid("a Delta table is read at a version or at a time; leave one of them out"))
            }
            (Some(version), None) => Ok(Self::Version(version)),
            (None, Some(text)) => match types::timestamp(text.trim()) {
                Some(micros) => Ok(Self::Time(micros.div_euclid(1_000))),
                None => Err(Error::invalid(format!(
                    "time: \"{text}\" is no point in time; write it as 2026-11-01T00:00:00Z"
                ))),
            },
            (None, None) => Ok(Self::Newest),
        }
    }
}

/// A table that can be asked. What it is asked runs on a thread of its own, which ends with it.
pub(super) struct Table {
    /// What messages call it.
    pub(super) place: String,
    pub(super) root: Url,
    pub(super) engine: DefaultEngine<TokioBackgroundExecutor>,
}

/// Versions of which there is something in a log.
struct Versions {
    first: u64,
    last: u64,
    /// The first with all that came before it.
    whole: Option<u64>,
}

impl Table {
    pub(super) fn open(spec: &DeltaSpec, base: &Path) -> Result<Self> {
        let (store, place) = store::open(spec, base)?;
        let engine = DefaultEngineBuilder::new(store).with_buffer_size(FILES_AHEAD).with_batch_size(BATCH).build();
        let root = Url::parse(ROOT).map_err(|e| Error::internal("the root of a Delta table", e))?;
        Ok(Self { place, root, engine })
    }

    /// The table as it is in a version.
    ///
    /// # Errors
    /// A version that never was or was cleaned away, a time before the first one, what the kernel cannot read.
    pub(super) fn snapshot(&self, at: At) -> Result<SnapshotRef> {
        match at {
            At::Newest => self.build(None),
            At::Version(version) => self.build(Some(version)),
            At::Time(millis) => {
                let newest = self.build(None)?;
                let found = latest_version_as_of(&newest, &self.engine, millis, HistoryCommitType::Published);
                let version = found.map_err(|error| self.told_time(&error, millis))?.version;
                match version == newest.version() {
                    true => Ok(newest),
                    false => self.build(Some(version)),
                }
            }
        }
    }

    /// The newest version, where another one is known.
    pub(super) fn newer(&self, known: &SnapshotRef) -> Result<SnapshotRef> {
        let newest = Snapshot::builder_from(SnapshotRef::clone(known)).build(&self.engine);
        newest.map_err(|error| self.told(&error))
    }

    fn build(&self, version: Option<u64>) -> Result<SnapshotRef> {
        let builder = Snapshot::builder_for(ROOT);
        let builder = match version {
            Some(version) => builder.at_version(version),
            None => builder,
        };
        let fault = match builder.build(&self.engine) {
            Ok(snapshot) if is_whole(&snapshot) => return Ok(snapshot),
            Ok(_) => None,
            Err(error) => Some(self.told(&error)),
        };
        if let Some(fault @ (Error::Unreachable(_) | Error::Unsupported(_) | Error::Invalid(_))) = fault {
            return Err(fault);
        }
        let place = &self.place;
        Err(match (self.versions()?, version, fault) {
            (None, ..) => Error::invalid(format!("{place} is no Delta table: there is no version in its _delta_log")),
            (Some(Versions { first, last, whole: None }), ..) => Error::corrupt(
                Path::new(place),
                format!(
                    "its log was cleaned of what is needed: there are versions {first} to {last}, but no checkpoint, \
                     and not version 0"
                ),
            ),
            (Some(Versions { last, whole: Some(first), .. }), Some(version), _) if version > last => {
                Error::NotFound(format!("{place} has no version {version}; there are {first} to {last}"))
            }
            (Some(Versions { last, whole: Some(first), .. }), Some(version), _) if version < first => {
                Error::NotFound(format!(
                    "{place} has no version {version} any more, as its log was cleaned; there are {first} to {last}"
                ))
            }
            (_, _, Some(fault)) => fault,
            (_, _, None) => Error::corrupt(Path::new(place), "versions are missing from its log"),
        })
    }

    /// What there is in the log; nothing where there is no version.
    fn versions(&self) -> Result<Option<Versions>> {
        let log = self.root.join(LOG).map_err(|e| Error::internal("the log of a Delta table", e))?;
        let (mut first, mut last, mut checkpoint) = (u64::MAX, None::<u64>, None::<u64>);
        for file in self.engine.storage_handler().list_from(&log).map_err(|error| self.told(&error))? {
            let file = file.map_err(|error| self.told(&error))?;
            let name = file.location.path().strip_prefix(LOG).unwrap_or_default();
            let Some((number, kind)) = name.split_once('.') else { continue };
            let version = number.parse::<u64>().ok().filter(|_| number.len() == VERSION_FIGURES);
            let Some(version) = version else { continue };
            let is_checkpoint = kind.starts_with("checkpoint.");
            if kind == "json" || is_checkpoint {
                first = first.min(version);
                last = last.max(Some(version));
            }
            if is_checkpoint {
                checkpoint = Some(checkpoint.map_or(version, |other| other.min(version)));
            }
        }
        let whole = if first == 0 { Some(0) } else { checkpoint };
        Ok(last.map(|last| Versions { first, last, whole }))
    }

    /// Why a time has no version.
    fn told_time(&self, error: &KernelError, millis: i64) -> Error {
        let KernelError::LogHistory(history) = error.without_backtrace() else { return self.told(error) };
        let place = &self.place;
        match &**history {
            LogHistoryError::TimestampOutOfRange { nearest_timestamp: NearestTimestamp::Earliest(first), .. } => {
                Error::NotFound(format!(
                    "{place} has no version of {}; the first that is there is of {}",
                    written(millis),
                    written(*first)
                ))
            }
            LogHistoryError::TimestampOutOfRange { .. } => {
                Error::NotFound(format!("{place} has no version of {}", written(millis)))
            }
            _ => self.told(error),
        }
    }

    /// An error of the kernel in our words.
    pub(super) fn told(&self, error: &KernelError) -> Error {
        self.told_of(&self.place, error)
    }

    /// An error of the kernel in our words, about the table or one of its files.
    pub(super) fn told_of(&self, place: &str, error: &KernelError) -> Error {
        if let Some(ours) = cause::<Error>(error) {
            return ours.clone();
        }
        if let Some(file) = missing(error) {
            return Error::NotFound(format!(
                "{}: its file {file} is gone; VACUUM takes away the files of old versions, so name a newer version or time",
                self.place
            ));
        }
        if let Some(io) = cause::<std::io::Error>(error) {
            return Error::io(place, std::io::Error::new(io.kind(), io.to_string()));
        }
        let first_line = |text: String| {
            let line = text.lines().next().unwrap_or_default().trim_end_matches('.');
            line.replace(ROOT, &format!("{}/", self.place))
        };
        match error.without_backtrace() {
            KernelError::Unsupported(what) => {
                Error::Unsupported(format!("{place}: this Delta table cannot be read: {}", first_line(what.clone())))
            }
            KernelError::MaxCatalogVersion(_) => Error::Unsupported(format!(
                "{place}: a catalog keeps the versions of this Delta table (feature catalogManaged), and catalogs are not \
                 asked; read a copy of it"
            )),
            other => Error::corrupt(
                Path::new(place),
                format!("the Delta table cannot be read ({})", first_line(other.to_string())),
            ),
        }
    }
}

/// Whether nothing that came before is missing: the kernel reads what there is of a log.
fn is_whole(snapshot: &Snapshot) -> bool {
    let log = snapshot.log_segment();
    log.checkpoint_version.is_some() || log.listed.ascending_commit_files.first().is_none_or(|first| first.version == 0)
}

/// The name of a file that is not there.
fn missing(error: &KernelError) -> Option<&str> {
    match (error.without_backtrace(), cause::<StoreError>(error)) {
        (KernelError::FileNotFound(path), _) | (_, Some(StoreError::NotFound { path, .. })) => Some(path),
        _ => None,
    }
}

/// The first error of a kind among those that led to one.
fn cause<E: StdError + 'static>(error: &KernelError) -> Option<&E> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = behind(error);
    }
    None
}

/// The error that led to one. The kernel does not name all of them as sources, and boxes some.
fn behind<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    let boxed = || error.downcast_ref::<Box<KernelError>>().map(|error| &**error);
    match error.downcast_ref::<KernelError>().or_else(boxed).map(KernelError::without_backtrace) {
        Some(KernelError::ObjectStore(error)) => Some(error),
        Some(KernelError::LogHistory(error)) => Some(&**error),
        Some(error) => error.source(),
        None => error.source(),
    }
}

/// A point in time as people read it.
fn written(millis: i64) -> String {
    let time = DateTime::from_timestamp_millis(millis);
    time.map_or_else(|| format!("{millis} ms"), |time| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
