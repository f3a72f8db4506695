//! Which files does a path mean, and what bytes are in them once unpacked?

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::NotText;
use crate::error::{Error, Result, did_you_mean};

/// Files of one source, at most.
const FILES_MAX: usize = 100_000;
/// Names of a folder that are looked at for a "did you mean".
const NAMES_MAX: usize = 10_000;

/// A place inside a file, for messages: `a.csv, line 3`.
pub(crate) struct Place<'a>(pub(crate) &'a Path, pub(crate) u64);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}", self.0.display(), self.1)
    }
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

/// The files that a path or a pattern means, sorted by name.
pub(crate) fn files(base: &Path, path: &str) -> Result<Vec<PathBuf>> {
    let full = base.join(path);
    if !path.contains(['*', '?', '[']) || full.exists() {
        return Ok(vec![file(base, path)?]);
    }
    let pattern = Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(path);
    let found = glob::glob(&pattern.to_string_lossy())
        .map_err(|e| Error::invalid(format!("\"{path}\" is no pattern of file names: {e}")))?;
    let mut files = Vec::new();
    for entry in found {
        let entry = entry.map_err(|e| Error::io(e.path().to_owned(), std::io::Error::from(e.error().kind())))?;
        if entry.is_file() {
            files.push(entry);
        }
        if files.len() > FILES_MAX {
            return Err(Error::Exhausted(format!(
                "\"{path}\" means more than {FILES_MAX} files; use fewer, larger ones"
            )));
        }
    }
    match files.is_empty() {
        true => Err(Error::NotFound(format!("no file is called like {}", full.display()))),
        false => Ok(files),
    }
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
    let near = match names.iter().find(|name| stem(name) == stem(&asked)) {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None => did_you_mean(&asked, names.iter().map(String::as_str)),
    };
    Error::NotFound(format!("no file {}{near}", path.display()))
}

/// A file's name up to its first dot.
fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The extension that tells the format, in lower case, without `.gz` and `.zst`: `csv` for `a.CSV.gz`.
pub(crate) fn extension(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    plain.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_owned())
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// By the extension.
pub(crate) fn packing(path: &Path) -> Packing {
    match path.extension().map(|extension| extension.to_ascii_lowercase()) {
        Some(extension) if extension == "gz" => Packing::Gzip,
        Some(extension) if extension == "zst" => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// The bytes of a file, unpacked as they are read.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(|e| missing(path, e))?;
    Ok(match packing(path) {
        Packing::Plain => Box::new(file),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(std::io::BufReader::with_capacity(1 << 17, file))),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(file).map_err(|e| Error::io(path, e))?),
    })
}

/// Fills the buffer as far as the file goes; short counts mean its end, so that batches do not depend on timing.
pub(crate) fn read_fully(input: &mut dyn Read, path: &Path, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(path, error)),
        }
    }
    Ok(filled)
}

/// Why reading failed: the machine, or a packed file that is not whole.
pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    if let Some(fault) = error.get_ref().and_then(|fault| fault.downcast_ref::<NotText>()) {
        return Error::invalid(format!("{}: {fault}", path.display()));
    }
    match packing(path) != Packing::Plain && error.raw_os_error().is_none() {
        true => Error::corrupt(path, format!("cannot be unpacked, it was cut off or changed ({error})")),
        false => Error::io(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_names_its_nearest_neighbour() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("customers.csv"), "a\n1\n").expect("written");
        let check = |asked: &str, end: &str| {
            let error = files(folder.path(), asked).expect_err("no such file");
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
    fn a_pattern_means_its_files_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.csv", "a.csv", "c.txt"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let found = files(folder.path(), "*.csv").expect("two files");
        let names: Vec<_> = found.iter().map(|path| path.file_name().expect("a name").to_string_lossy()).collect();
        assert_eq!(names, ["a.csv", "b.csv"]);
    }

    #[test]
    fn the_extension_looks_through_the_packing() {
        let check = |name: &str, expected: &str| assert_eq!(extension(Path::new(name)), expected);
        check("a/b.CSV.gz", "csv");
        check("b.parquet.zst", "parquet");
        check("b.tsv", "tsv");
        check("t10k-images-idx3-ubyte.gz", "");
    }
}
