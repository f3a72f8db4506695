//! Which files are in a ZIP archive? Its members are read where they lie; nothing is ever written by a member's name.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Crc;
use tempfile::TempPath;
use zip::{CompressionMethod, ZipArchive};

use super::files::{FILES_MAX, Input, ends, missing};
use super::packing::{Packing, bomb, is_bomb, packing, raw, spool};
use crate::error::{Error, Result};

/// Largest archive that is fetched from another machine, in bytes.
const FETCHED_BYTES_MAX: u64 = 16 << 30;
/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 17;

/// A file in an archive.
#[derive(Debug)]
pub(crate) struct Member {
    /// What messages call it.
    name: PathBuf,
    archive: Arc<Archive>,
    is_deflated: bool,
    /// Where its bytes begin.
    start: u64,
    packed: u64,
    unpacked: u64,
    crc: u32,
}

/// The file of an archive; one that was fetched is gone when nobody reads it any more.
#[derive(Debug)]
struct Archive {
    path: PathBuf,
    _fetched: Option<TempPath>,
}

/// The members that have one of these endings; all where none has.
pub(super) fn members(archive: &Input, endings: &[&str]) -> Result<Vec<Input>> {
    let whole = match archive.is_here() {
        true => Archive { path: archive.to_path_buf(), _fetched: None },
        false => {
            let fetched = spool(archive, raw(archive)?, FETCHED_BYTES_MAX, ".zip")?;
            Archive { path: fetched.to_path_buf(), _fetched: Some(fetched) }
        }
    };
    let whole = Arc::new(whole);
    let broken = |e: zip::result::ZipError| Error::corrupt(archive, format!("no ZIP archive, or cut off ({e})"));
    let file = File::open(&whole.path).map_err(|e| missing(&whole.path, e))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    if zip.len() > FILES_MAX {
        return Err(Error::Exhausted(format!("{} holds more than {FILES_MAX} files", archive.display())));
    }
    if zip.has_overlapping_files().map_err(broken)? {
        return Err(Error::invalid(format!(
            "{}: files in it share bytes, as in archives that are made to fill a machine; pack it anew",
            archive.display()
        )));
    }
    let mut found = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some(inner) = entry.enclosed_name().filter(|_| !is_upward(&name)) else {
            return Err(Error::invalid(format!(
                "{}: the name \"{name}\" leads out of the archive, which no honest program writes; pack it anew",
                archive.display()
            )));
        };
        if !entry.is_file() || is_note(&inner) {
            continue;
        }
        let shown = archive.join(&inner);
        let start = entry.data_start().ok_or_else(|| Error::internal("a member without a place", &name))?;
        let member = Member {
            is_deflated: is_deflated(&shown, entry.encrypted(), entry.compression())?,
            name: shown.clone(),
            archive: Arc::clone(&whole),
            start,
            packed: entry.compressed_size(),
            unpacked: entry.size(),
            crc: entry.crc32(),
        };
        if is_bomb(member.packed, member.unpacked) {
            return Err(bomb(&shown));
        }
        found.push(Input::within(shown, member));
    }
    found.sort_by(|a, b| a.cmp(b));
    if found.iter().any(|input| ends(input, endings)) {
        found.retain(|input| ends(input, endings));
    }
    match found.iter().find(|input| packing(input) == Packing::Zip) {
        Some(inner) => {
            Err(Error::Unsupported(format!("{}: an archive in an archive; unpack the outer one", inner.display())))
        }
        None if found.is_empty() => Err(Error::invalid(format!("{} holds no files", archive.display()))),
        None => Ok(found),
    }
}

/// What the first member is called.
pub(crate) fn first_member(path: &Path) -> Result<PathBuf> {
    let found = members(&Input::here(path), &[])?;
    found.first().map(|input| input.to_path_buf()).ok_or_else(|| Error::Internal("an archive of nothing".to_owned()))
}

/// Whether a name begins at the root, or has a part that means the folder above.
fn is_upward(name: &str) -> bool {
    name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..")
}

/// What systems put into archives on their own.
fn is_note(name: &Path) -> bool {
    name.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.starts_with('.') || part == "__MACOSX"
    })
}

fn is_deflated(name: &Path, is_encrypted: bool, method: CompressionMethod) -> Result<bool> {
    match method {
        _ if is_encrypted => {
            Err(Error::Unsupported(format!("{} is encrypted; unpack it with its password", name.display())))
        }
        CompressionMethod::Stored => Ok(false),
        CompressionMethod::Deflated => Ok(true),
        other => Err(Error::Unsupported(format!(
            "{} is packed by {other}, of which ZIP archives are not read; pack it by deflate, or as .gz, .zst or .bz2",
            name.display()
        ))),
    }
}

impl Member {
    /// Its bytes, unpacked as they are read and compared with the checksum at their end.
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>> {
        let path = &self.archive.path;
        let mut file = File::open(path).map_err(|e| missing(path, e))?;
        file.seek(SeekFrom::Start(self.start)).map_err(|e| Error::io(path, e))?;
        let packed = BufReader::with_capacity(BUFFER_BYTES, file.take(self.packed));
        let input: Box<dyn Read + Send> = match self.is_deflated {
            true => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
            false => Box::new(packed),
        };
        let (name, crc) = (self.name.clone(), Crc::new());
        Ok(Box::new(Checked { input, name, crc, left: self.unpacked, expected: self.crc, is_done: false }))
    }
}

/// Bytes whose number and checksum are known beforehand.
struct Checked {
    input: Box<dyn Read + Send>,
    name: PathBuf,
    crc: Crc,
    left: u64,
    expected: u32,
    is_done: bool,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.is_done || out.is_empty() {
            return Ok(0);
        }
        let changed = |why: String| {
            let reason = format!("cannot be unpacked, it was cut off or changed ({why})");
            io::Error::other(Error::corrupt(&self.name, reason))
        };
        let count = self.input.read(out).map_err(|e| changed(e.to_string()))?;
        self.crc.update(&out[..count]);
        match self.left.checked_sub(count as u64) {
            None => Err(changed("it is longer than announced".to_owned())),
            Some(left) if count > 0 => {
                self.left = left;
                Ok(count)
            }
            Some(0) if self.crc.sum() == self.expected => {
                self.is_done = true;
                Ok(0)
            }
            Some(0) => Err(changed("its checksum is another one".to_owned())),
            Some(left) => Err(changed(format!("{left} bytes are missing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn pack(path: &Path, files: &[(&str, &[u8])]) {
        let mut zip = ZipWriter::new(File::create(path).unwrap());
        for (index, (name, bytes)) in files.iter().enumerate() {
            let method = if index % 2 == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn read(input: &Input) -> Result<String> {
        let mut text = String::new();
        super::super::packing::open(input)?
            .read_to_string(&mut text)
            .map_err(|e| super::super::packing::unreadable(input, e))?;
        Ok(text)
    }

    #[test]
    fn members_are_read_where_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let long = "数据,1\n".repeat(50_000);
        let notes: &[u8] = b"see a.csv";
        pack(
            &path,
            &[("b/b.csv", long.as_bytes()), ("a.csv", b"x\n1\n"), ("readme.md", notes), ("__MACOSX/._a.csv", b"")],
        );
        let found = members(&Input::here(&path), &["csv"]).unwrap();
        let names: Vec<_> = found.iter().map(|input| input.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names, [Path::new("a.zip/a.csv"), Path::new("a.zip/b/b.csv")]);
        assert_eq!(read(&found[0]).unwrap(), "x\n1\n");
        assert!(read(&found[1]).unwrap() == long);
        assert_eq!(members(&Input::here(&path), &["parquet"]).unwrap().len(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn archives_made_to_harm_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let check = |expected: &str| {
            let found = members(&Input::here(&path), &["csv"]).and_then(|found| found.iter().map(read).collect());
            let error: Error = found.map(|texts: Vec<String>| texts.len()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        for name in ["../a.csv", "/etc/a.csv", "a/../../b.csv", "..\\a.csv"] {
            pack(&path, &[(name, b"x\n1\n")]);
            check("leads out of the archive");
        }
        pack(&path, &[("inner.zip", b"PK")]);
        check("an archive in an archive");
        pack(&path, &[]);
        check("holds no files");
        std::fs::write(&path, "a,b\n1,2\n").unwrap();
        check("no ZIP archive");
        // A member that says it is larger than what its bytes can mean, at both places where its size stands.
        pack(&path, &[("a.csv", "x\n".repeat(1_000).as_bytes())]);
        let bytes = std::fs::read(&path).unwrap();
        let mut lying = bytes.clone();
        let size = 2_000u32.to_le_bytes();
        for at in (0..bytes.len() - 4).filter(|&at| bytes[at..at + 4] == size) {
            lying[at..at + 4].copy_from_slice(&u32::MAX.saturating_sub(1).to_le_bytes());
        }
        std::fs::write(&path, &lying).unwrap();
        check("more than 500 times its size");
        for at in (0..bytes.len() - 4).filter(|&at| bytes[at..at + 4] == size) {
            lying[at..at + 4].copy_from_slice(&1_000u32.to_le_bytes());
        }
        std::fs::write(&path, &lying).unwrap();
        check("it is longer than announced");
        std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
        check("no ZIP archive, or cut off");
    }

    #[test]
    fn a_flipped_bit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        pack(&path, &[("a.csv", b"x\n"), ("b.csv", "text that is stored as it is\n".as_bytes())]);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(6).position(|window| window == b"stored").unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let found = members(&Input::here(&path), &["csv"]).unwrap();
        let error = read(&found[1]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        assert!(error.to_string().contains("its checksum is another one"), "{error}");
    }
}
