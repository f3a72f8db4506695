//! What bytes are in a file once it is unpacked? They come as they are read, and no more of them than a file can mean.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::{NamedTempFile, TempPath};

use super::NotText;
use super::files::{Input, Origin, missing};
use crate::error::{Error, Result};

/// Bytes that unpackers read at once.
const BUFFER_BYTES: usize = 1 << 17;
/// Bytes that a file may unpack to, whatever its size.
const UNPACKED_BYTES_FREE: u64 = 1 << 30;
/// Beyond that, as many times its size: texts shrink to a twentieth, what was made to fill a machine to a thousandth.
const RATIO_MAX: u64 = 500;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    /// An archive of files; it is not unpacked but opened.
    Zip,
}

/// By the extension.
pub(crate) fn packing(path: &Path) -> Packing {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    match extension.as_deref().and_then(|extension| extension.to_str()) {
        Some("gz") => Packing::Gzip,
        Some("zst") => Packing::Zstd,
        Some("bz2") => Packing::Bzip2,
        Some("zip") => Packing::Zip,
        _ => Packing::Plain,
    }
}

/// The bytes of a file, unpacked as they are read.
pub(crate) fn open(input: &Input) -> Result<Box<dyn Read + Send>> {
    let packed = raw(input)?;
    let packing = packing(input);
    if matches!(packing, Packing::Plain | Packing::Zip) {
        return Ok(packed);
    }
    let count = Arc::new(AtomicU64::new(0));
    let packed = BufReader::with_capacity(BUFFER_BYTES, Counted { input: packed, count: Arc::clone(&count) });
    let unpacked: Box<dyn Read + Send> = match packing {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed).map_err(|e| unreadable(input, e))?),
        _ => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
    };
    Ok(Box::new(Bounded {
        input: unpacked,
        path: input.to_path_buf(),
        packed: count,
        unpacked: 0,
        free: UNPACKED_BYTES_FREE,
    }))
}

/// The bytes of a file as they are kept.
pub(crate) fn raw(input: &Input) -> Result<Box<dyn Read + Send>> {
    match &input.origin {
        Origin::Here => {
            let file = File::open(&**input).map_err(|e| missing(input, e))?;
            let bytes = file.metadata().map_err(|e| Error::io(&**input, e))?.len();
            Ok(Box::new(Fixed { file, left: bytes }))
        }
        Origin::There(object) => Ok(Box::new(object.open()?)),
        Origin::Within(member) => member.open(),
    }
}

/// A copy of a file's unpacked bytes that can be read from any place; it is gone when the path is dropped.
pub(crate) fn spool(input: &Input, bytes: Box<dyn Read + Send>, bytes_max: u64, ending: &str) -> Result<TempPath> {
    let mut bytes = bytes.take(bytes_max.saturating_add(1));
    let mut copy = NamedTempFile::with_suffix(ending).map_err(|e| Error::io(std::env::temp_dir(), e))?;
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        let count = read_fully(&mut bytes, input, &mut buffer)?;
        if count == 0 {
            return Ok(copy.into_temp_path());
        }
        total += count as u64;
        if total > bytes_max {
            return Err(Error::Exhausted(format!(
                "{} is larger than {} MB once it is fetched and unpacked; fetch and unpack it yourself",
                input.display(),
                bytes_max >> 20
            )));
        }
        copy.write_all(&buffer[..count]).map_err(|e| Error::io(copy.path(), e))?;
    }
}

/// Fills the buffer as far as the file goes; short counts mean its end, so that batches do not depend on timing.
pub(crate) fn read_fully(input: &mut dyn Read, path: &Path, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(path, error)),
        }
    }
    Ok(filled)
}

/// Why reading failed: the machine, another one, or a packed file that is not whole.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    if let Some(own) = error.get_ref().and_then(|fault| fault.downcast_ref::<Error>()) {
        return own.clone();
    }
    if let Some(fault) = error.get_ref().and_then(|fault| fault.downcast_ref::<NotText>()) {
        return Error::invalid(format!("{}: {fault}", path.display()));
    }
    match packing(path) != Packing::Plain && error.raw_os_error().is_none() {
        true => Error::corrupt(path, format!("cannot be unpacked, it was cut off or changed ({error})")),
        false => Error::io(path, error),
    }
}

/// A file as long as it was when it was opened: what others write behind it meanwhile is not half read.
struct Fixed {
    file: File,
    left: u64,
}

impl Read for Fixed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let count = self.file.read(&mut out[..room])?;
        if count == 0 {
            let text = format!("the file became {} bytes shorter while it was read", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Counts what is read.
struct Counted<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Unpacked bytes, as many as the packed ones can mean.
struct Bounded<R> {
    input: R,
    path: PathBuf,
    packed: Arc<AtomicU64>,
    unpacked: u64,
    free: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(out)?;
        self.unpacked += count as u64;
        match self.unpacked > self.free.max(self.packed.load(Ordering::Relaxed).saturating_mul(RATIO_MAX)) {
            true => Err(io::Error::other(bomb(&self.path))),
            false => Ok(count),
        }
    }
}

/// Whether bytes were packed to fill the machine that unpacks them.
pub(super) fn is_bomb(packed: u64, unpacked: u64) -> bool {
    unpacked > UNPACKED_BYTES_FREE.max(packed.saturating_mul(RATIO_MAX))
}

/// What is said of that.
pub(super) fn bomb(path: &Path) -> Error {
    Error::invalid(format!(
        "{}: it unpacks to more than {RATIO_MAX} times its size, as files do that are made to fill a machine; if it is \
         meant, unpack it yourself",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(packing: Packing, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        match packing {
            Packing::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
                packer.write_all(text).unwrap();
                packer.finish().unwrap();
            }
            Packing::Zstd => {
                let mut packer = zstd::stream::write::Encoder::new(&mut bytes, 1).unwrap();
                packer.include_checksum(true).unwrap(); // as the usual program does
                packer.write_all(text).unwrap();
                packer.finish().unwrap();
            }
            Packing::Bzip2 => {
                let mut packer = bzip2::write::BzEncoder::new(&mut bytes, bzip2::Compression::fast());
                packer.write_all(text).unwrap();
                packer.finish().unwrap();
            }
            Packing::Plain | Packing::Zip => bytes = text.to_vec(),
        }
        bytes
    }

    fn read(path: &Path) -> Result<Vec<u8>> {
        let mut bytes = vec![0; 1 << 20];
        let count = read_fully(&mut open(&Input::here(path))?, path, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    #[test]
    fn packed_files_come_back_and_those_cut_off_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let text = "数据,1.5\n".repeat(20_000);
        for (packing, ending) in [(Packing::Gzip, "gz"), (Packing::Zstd, "zst"), (Packing::Bzip2, "bz2")] {
            let path = folder.path().join(format!("a.csv.{ending}"));
            let bytes = packed(packing, text.as_bytes());
            std::fs::write(&path, &bytes).unwrap();
            assert!(read(&path).unwrap() == text.as_bytes(), "{ending}");
            // Two packed files behind one another are one file, as the usual programs have it.
            std::fs::write(&path, [&bytes[..], &bytes[..]].concat()).unwrap();
            assert_eq!(read(&path).unwrap().len(), 2 * text.len(), "{ending}");
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            let error = read(&path).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{ending}: {error}");
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let kind = read(&path).map(|bytes| bytes.len()).unwrap_err().kind();
            assert_eq!(kind, crate::ErrorKind::Corrupt, "{ending}");
        }
    }

    #[test]
    fn what_unpacks_to_far_too_much_is_refused() {
        let zeros = vec![0; 4 << 20];
        let bounded = |free: u64| {
            let count = Arc::new(AtomicU64::new(0));
            let bytes = io::Cursor::new(packed(Packing::Zstd, &zeros));
            let counted = BufReader::new(Counted { input: bytes, count: Arc::clone(&count) });
            let input = zstd::stream::read::Decoder::with_buffer(counted).unwrap();
            let mut bounded = Bounded { input, path: "a.csv.zst".into(), packed: count, unpacked: 0, free };
            io::copy(&mut bounded, &mut io::sink())
        };
        assert_eq!(bounded(4 << 20).unwrap(), 4 << 20);
        let error = unreadable(Path::new("a.csv.zst"), bounded(1 << 20).unwrap_err()).to_string();
        assert!(error.contains("more than 500 times its size"), "{error}");
        assert!(is_bomb(1 << 20, 2 << 30) && !is_bomb(1 << 20, 1 << 29) && !is_bomb(1 << 30, 400 << 30));
    }

    #[test]
    fn a_file_that_grows_is_read_as_far_as_it_went_and_one_that_shrinks_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "a\n1\n").unwrap();
        let mut input = open(&Input::here(&path)).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"2\n3").unwrap();
        let mut text = String::new();
        input.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\n1\n");
        let mut input = open(&Input::here(&path)).unwrap();
        file.set_len(2).unwrap();
        let error = unreadable(&path, input.read_to_string(&mut text).unwrap_err()).to_string();
        assert!(error.ends_with("a.csv: the file became 5 bytes shorter while it was read"), "{error}");
    }
}
