//! Which files does a path mean? One file, a pattern, a folder, the members of an archive, or files of another machine.

use std::ops::{ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{self, Member};
use super::hive::Folders;
use super::packing::{Packing, packing};
use super::remote::{self, Object};
use crate::error::{Error, Result, did_you_mean};
use crate::spec::StoreSpec;

/// Files of one source, at most.
pub(super) const FILES_MAX: usize = 100_000;
/// Names of a folder that are looked at for a "did you mean".
const NAMES_MAX: usize = 10_000;
/// Folders below a folder, at most.
const DEPTH_MAX: usize = 32;
/// Files whose columns are looked at before any is read, where there are many or they are far away.
const SAMPLED_MAX: usize = 8;

/// A place inside a file, for messages: `a.csv, line 3`.
pub(crate) struct Place<'a>(pub(crate) &'a Path, pub(crate) u64);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}", self.0.display(), self.1)
    }
}

/// A file that rows come from. As a path it is what messages call it, and what its extension is told by.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    name: PathBuf,
    pub(super) origin: Origin,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// On this machine, under the name.
    Here,
    /// In an object store, in HDFS or on a web server.
    There(Arc<Object>),
    /// In an archive.
    Within(Arc<Member>),
}

impl Input {
    /// A file of this machine.
    pub(crate) fn here(path: impl Into<PathBuf>) -> Self {
        Self { name: path.into(), origin: Origin::Here }
    }

    /// A file of another machine, under a name that shows no secret.
    pub(super) fn there(name: impl Into<PathBuf>, object: Object) -> Self {
        Self { name: name.into(), origin: Origin::There(Arc::new(object)) }
    }

    /// A member of an archive.
    pub(super) fn within(name: impl Into<PathBuf>, member: Member) -> Self {
        Self { name: name.into(), origin: Origin::Within(Arc::new(member)) }
    }

    /// Whether it can be opened by its name.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.origin, Origin::Here)
    }

    /// Whether it has to be fetched.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.origin, Origin::There(_))
    }
}

impl Deref for Input {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.name
    }
}

/// The files of a source, in order of their names, and what their folders say.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) inputs: Vec<Input>,
    pub(crate) folders: Folders,
}

impl Files {
    /// The files that a path means. Of folders and archives, those with one of these endings.
    pub(crate) fn find(base: &Path, path: &str, store: Option<&StoreSpec>, endings: &[&str]) -> Result<Self> {
        let (found, root) = match remote::is_url(path) {
            true => remote::find(base, path, store, endings)?,
            false if store.is_some() => return Err(needs_no_store(path)),
            false => local(base, path, endings)?,
        };
        let is_one = found.is_one;
        let mut inputs = Vec::with_capacity(found.inputs.len());
        for input in found.inputs {
            match packing(&input) == Packing::Zip {
                true => inputs.extend(archive::members(&input, endings)?),
                false => inputs.push(input),
            }
            if inputs.len() > FILES_MAX {
                return Err(too_many(path));
            }
        }
        let folders = if is_one { Folders::default() } else { Folders::of(&inputs, &root)? };
        Ok(Self { inputs, folders })
    }

    /// The first of them.
    pub(crate) fn first(&self) -> Result<&Input> {
        self.inputs.first().ok_or_else(|| Error::Internal("a source of no files".to_owned()))
    }

    /// Looks at files until `look` has seen enough. Where folders have values, files that cannot be read are passed over
    /// as long as one can: a query may leave their folders out.
    pub(crate) fn look(&self, mut look: impl FnMut(&Input) -> Result<ControlFlow<()>>) -> Result<()> {
        let has_values = !self.folders.fields().is_empty();
        let few = has_values || self.inputs.iter().any(Input::is_there);
        let step = if few { self.inputs.len().div_ceil(SAMPLED_MAX).max(1) } else { 1 };
        let (mut is_seen, mut fault) = (false, None);
        for input in self.inputs.iter().step_by(step) {
            match look(input) {
                Ok(ControlFlow::Break(())) => return Ok(()),
                Ok(ControlFlow::Continue(())) => is_seen = true,
                Err(error) if has_values => fault = fault.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        match fault {
            Some(error) if !is_seen => Err(error),
            _ => Ok(()),
        }
    }
}

/// Why keys of a server are refused for files of this machine.
pub(super) fn needs_no_store(path: &str) -> Error {
    Error::invalid(format!(
        "{path}: store says how URLs are reached (s3://, gs://, az://, hdfs://, http://, https://), and this is none; remove \
         it"
    ))
}

/// What a path meant, before archives are opened.
pub(super) struct Found {
    pub(super) inputs: Vec<Input>,
    /// The path named this one file.
    pub(super) is_one: bool,
}

/// The one existing file that this path means.
pub(crate) fn file(base: &Path, path: &str) -> Result<PathBuf> {
    let full = base.join(path);
    match std::fs::metadata(&full) {
        Ok(found) if found.is_file() => Ok(full),
        Ok(_) => Err(Error::invalid(format!("{} is a folder, not a file", full.display()))),
        Err(error) => Err(missing(&full, error)),
    }
}

/// Files of this machine, and the folder that the names of their folders are counted from.
fn local(base: &Path, path: &str, endings: &[&str]) -> Result<(Found, PathBuf)> {
    let full = base.join(path);
    if full.is_dir() {
        let mut paths = Vec::new();
        walk(&full, endings, DEPTH_MAX, &mut paths)?;
        paths.sort();
        return match paths.is_empty() {
            true => Err(Error::invalid(format!(
                "{} is a folder, not a file, and none of its files ends in .{}",
                full.display(),
                endings.join(", .")
            ))),
            false => Ok((Found { inputs: paths.into_iter().map(Input::here).collect(), is_one: false }, full)),
        };
    }
    if !path.contains(['*', '?', '[']) || full.exists() {
        return Ok((Found { inputs: vec![Input::here(file(base, path)?)], is_one: true }, base.to_owned()));
    }
    let pattern = Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(path);
    let found = glob::glob(&pattern.to_string_lossy())
        .map_err(|e| Error::invalid(format!("\"{path}\" is no pattern of file names: {e}")))?;
    let mut inputs = Vec::new();
    for entry in found {
        let entry = entry.map_err(|e| Error::io(e.path().to_owned(), std::io::Error::from(e.error().kind())))?;
        if entry.is_file() {
            inputs.push(Input::here(entry));
        }
        if inputs.len() > FILES_MAX {
            return Err(too_many(path));
        }
    }
    match inputs.is_empty() {
        true => Err(Error::NotFound(format!("no file is called like {}", full.display()))),
        false => Ok((Found { inputs, is_one: false }, base.to_owned())),
    }
}

/// The files of a folder and of the folders in it; hidden ones and those that begin with `_` are left out, as other
/// programs keep notes in them.
fn walk(folder: &Path, endings: &[&str], depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_'])) {
            continue;
        }
        if path.is_dir() && depth > 0 {
            walk(&path, endings, depth - 1, paths)?;
        } else if path.is_file() && ends(&path, endings) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(too_many(&folder.to_string_lossy()));
        }
    }
    Ok(())
}

/// Whether a file of a folder or an archive is meant by its ending; archives may hold some that are.
pub(super) fn ends(path: &Path, endings: &[&str]) -> bool {
    packing(path) == Packing::Zip || endings.contains(&extension(path).as_str())
}

pub(super) fn too_many(path: &str) -> Error {
    Error::Exhausted(format!("\"{path}\" means more than {FILES_MAX} files; use fewer, larger ones"))
}

/// Why a file cannot be found, with the nearest name beside it.
pub(crate) fn missing(path: &Path, error: std::io::Error) -> Error {
    if !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) {
        return Error::io(path, error);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Error::NotFound(format!("no file {}: there is no folder {}", path.display(), folder.display()));
    };
    let names: Vec<String> =
        entries.take(NAMES_MAX).filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
    let asked = path.file_name().unwrap_or_default().to_string_lossy();
    Error::NotFound(format!("no file {}{}", path.display(), nearest(&asked, &names)))
}

/// `; did you mean "x"?`, with a name that is alike, or the same but for its endings.
pub(super) fn nearest(asked: &str, names: &[String]) -> String {
    match names.iter().find(|name| stem(name) == stem(asked)) {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None => did_you_mean(asked, names.iter().map(String::as_str)),
    }
}

/// A file's name up to its first dot.
fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The extension that tells the format, in lower case, without that of the packing: `csv` for `a.CSV.gz`.
pub(crate) fn extension(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = [".gz", ".zst", ".bz2", ".zip"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
    plain.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path, path: &str) -> Result<Vec<String>> {
        let found = Files::find(base, path, None, &["csv", "tsv"])?;
        Ok(found.inputs.iter().map(|path| path.strip_prefix(base).unwrap().to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_missing_file_names_its_nearest_neighbour() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("customers.csv"), "a\n1\n").expect("written");
        let check = |asked: &str, end: &str| {
            let error = names(folder.path(), asked).expect_err("no such file");
            assert_eq!(error.kind(), crate::ErrorKind::NotFound);
            assert!(error.to_string().ends_with(end), "{error}");
        };
        check("custmers.csv", "custmers.csv; did you mean \"customers.csv\"?");
        check("customers.csv.gz", "customers.csv.gz; did you mean \"customers.csv\"?");
        check("unlike.parquet", "unlike.parquet");
        check("*.json", "*.json");
        let error = file(folder.path(), ".").expect_err("a folder");
        assert!(error.to_string().ends_with("is a folder, not a file"), "{error}");
    }

    #[test]
    fn a_pattern_means_its_files_in_order_and_a_folder_those_of_the_format() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.csv", "a.csv", "c.txt", "deep/er/d.tsv.gz", "_notes.csv", ".hidden/e.csv"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        assert_eq!(names(folder.path(), "[ab].csv").expect("two files"), ["a.csv", "b.csv"]);
        assert_eq!(names(folder.path(), ".").expect("three files"), ["a.csv", "b.csv", "deep/er/d.tsv.gz"]);
        assert_eq!(names(folder.path(), "deep/**/*.gz").expect("a file"), ["deep/er/d.tsv.gz"]);
        let error = Files::find(folder.path(), "deep", None, &["parquet"]).expect_err("no such files").to_string();
        assert!(error.ends_with("deep is a folder, not a file, and none of its files ends in .parquet"), "{error}");
        let error = Files::find(folder.path(), "a.csv", Some(&StoreSpec::default()), &["csv"]).expect_err("no URL");
        assert!(error.to_string().contains("remove it"), "{error}");
    }

    #[test]
    fn the_extension_looks_through_the_packing() {
        let check = |name: &str, expected: &str| assert_eq!(extension(Path::new(name)), expected);
        check("a/b.CSV.gz", "csv");
        check("b.parquet.zst", "parquet");
        check("b.jsonl.bz2", "jsonl");
        check("b.csv.zip", "csv");
        check("b.tsv", "tsv");
        check("t10k-images-idx3-ubyte.gz", "");
    }
}
