//! Is this folder the version that was registered? `manifest.json` lists every file with its size and SHA-256 (FIPS 180-4);
//! `manifest.sha256` does the same for the manifest, so that `sha256sum -c manifest.sha256` checks it by hand.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result, VersionSummary, files};

pub(crate) const MANIFEST: &str = "manifest.json";
const CHECKSUM: &str = "manifest.sha256";
/// Of this layout; raised when a reader of the old one could not read the new.
const FORMAT: u32 = 1;
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 8;
const REMEDY: &str = "restore the folder from a copy, or roll back to another version";

/// What `manifest.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of this file.
    pub format: u32,
    /// The model's name.
    pub model: String,
    /// The version's number.
    pub version: u32,
    /// When it was registered, milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// What the caller said of it.
    pub summary: VersionSummary,
    /// Every file but the manifest and its checksum, sorted by path.
    pub files: Vec<ManifestFile>,
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Inside the folder, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

/// Checks every file of a version's folder against its manifest. Files the manifest does not list are none of its business.
///
/// # Errors
/// `Corrupt`, naming the file that is missing, cut off or changed and what differs; `Unsupported` for a newer layout.
pub fn verify(folder: impl AsRef<Path>) -> Result<Manifest> {
    let folder = folder.as_ref();
    let manifest = Manifest::read(folder)?;
    for listed in &manifest.files {
        let path = folder.join(&listed.path);
        let found = measure(&path, &listed.path).map_err(|error| match error {
            Error::Io { ref source, .. } if source.kind() == io::ErrorKind::NotFound => missing(&path),
            error => error,
        })?;
        if found.bytes != listed.bytes {
            let reason = format!("has {} bytes, the manifest says {}; {REMEDY}", found.bytes, listed.bytes);
            return Err(Error::corrupt(path, reason));
        }
        if found.sha256 != listed.sha256 {
            let reason = format!("has SHA-256 {}, the manifest says {}; {REMEDY}", found.sha256, listed.sha256);
            return Err(Error::corrupt(path, reason));
        }
    }
    Ok(manifest)
}

impl Manifest {
    /// Reads and checks the manifest alone, not the files it lists.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let text = read_small(&path)?;
        let line = read_small(&folder.join(CHECKSUM))?;
        if String::from_utf8_lossy(&line).split_whitespace().next() != Some(&hex(&Sha256::digest(&text))) {
            return Err(Error::corrupt(path, format!("does not match \"{CHECKSUM}\" beside it; {REMEDY}")));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| match format_of(&text) {
            Some(format) if format > FORMAT => newer(&path, format),
            _ => Error::corrupt(&path, format!("{error}; {REMEDY}")),
        })?;
        if manifest.format > FORMAT {
            return Err(newer(&path, manifest.format));
        }
        // A folder can come from anywhere: nothing outside it is read on a manifest's word.
        match manifest.files.iter().find(|listed| !stays_inside(&listed.path)) {
            Some(listed) => Err(Error::corrupt(path, format!("lists \"{}\", outside the folder", listed.path))),
            None => Ok(manifest),
        }
    }

    pub(crate) fn new(model: &str, version: u32, summary: VersionSummary, files: Vec<ManifestFile>) -> Self {
        let created_unix_ms = crate::database::now_unix_ms();
        Self { format: FORMAT, model: model.to_owned(), version, created_unix_ms, summary, files }
    }

    /// Writes the manifest and its checksum, durable.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Internal(format!("a manifest cannot be written: {error}")))?;
        text.push(b'\n');
        let checksum = format!("{}  {MANIFEST}\n", hex(&Sha256::digest(&text)));
        files::write_atomic(folder.join(MANIFEST), &text)?;
        files::write_atomic(folder.join(CHECKSUM), checksum.as_bytes())
    }

    /// Size of the listed files together.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|listed| listed.bytes).sum()
    }
}

/// Measures every file in the folder and makes it and its folders durable.
///
/// # Errors
/// `Invalid` for a folder without files, with links, with a manifest of the caller's, too deep or with too many files.
pub(crate) fn seal(folder: &Path) -> Result<Vec<ManifestFile>> {
    let mut sealed = Vec::new();
    seal_folder(folder, "", 0, &mut sealed)?;
    if sealed.is_empty() {
        return Err(Error::Invalid(format!("\"{}\" holds no file; write the version's files first", folder.display())));
    }
    Ok(sealed)
}

fn seal_folder(folder: &Path, prefix: &str, depth: usize, sealed: &mut Vec<ManifestFile>) -> Result<()> {
    for path in files::entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::Invalid(format!("file name \"{}\" is not UTF-8", path.display())))?;
        let inside = format!("{prefix}{name}");
        let kind = fs::symlink_metadata(&path).map_err(|source| Error::io(&path, source))?.file_type();
        if inside == MANIFEST || inside == CHECKSUM {
            return Err(Error::Invalid(format!(
                "\"{}\" is written by the store; name yours otherwise",
                path.display()
            )));
        } else if kind.is_dir() && depth < DEPTH_MAX {
            seal_folder(&path, &format!("{inside}/"), depth + 1, sealed)?;
        } else if kind.is_file() && sealed.len() < FILES_MAX {
            sealed.push(measure(&path, &inside)?);
            let file = File::open(&path).map_err(|source| Error::io(&path, source))?;
            files::sync_file(&file, &path)?;
        } else {
            return Err(Error::Invalid(format!(
                "\"{}\" cannot be kept: a version holds at most {FILES_MAX} files, {DEPTH_MAX} folders deep, no links",
                path.display()
            )));
        }
    }
    files::sync_folder(folder)
}

/// Size and SHA-256 of a file, read in pieces.
pub(crate) fn measure(path: &Path, inside: &str) -> Result<ManifestFile> {
    let place = |source| Error::io(path, source);
    if !fs::symlink_metadata(path).map_err(place)?.is_file() {
        return Err(Error::corrupt(path, "is no regular file"));
    }
    let mut file = File::open(path).map_err(place)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&piece[..read]);
                bytes += read as u64;
            }
            Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(place(source)),
        }
    }
    Ok(ManifestFile { path: inside.to_owned(), bytes, sha256: hex(&hasher.finalize()) })
}

fn read_small(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => Error::io(path, source),
    })?;
    let mut text = Vec::new();
    file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut text).map_err(|source| Error::io(path, source))?;
    match text.len() as u64 > MANIFEST_BYTES_MAX {
        true => Err(Error::corrupt(path, format!("has more than {MANIFEST_BYTES_MAX} bytes; {REMEDY}"))),
        false => Ok(text),
    }
}

fn stays_inside(path: &str) -> bool {
    let clean = !path.is_empty() && !path.contains(['\\', '\0']);
    clean && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn format_of(text: &[u8]) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    value.get("format")?.as_u64()?.try_into().ok()
}

fn newer(path: &Path, format: u32) -> Error {
    Error::Unsupported(format!(
        "{}: written by a newer release of tidemill (layout {format}, this one knows {FORMAT}); use that release",
        path.display()
    ))
}

fn missing(path: &Path) -> Error {
    Error::corrupt(path, format!("is missing; {REMEDY}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing into a String cannot fail
        text
    })
}
