//! Which entries does a zip archive have, and what do they hold?
//!
//! PyTorch writes every entry stored and the directory in the 64-bit form; re-packed archives are deflated. Nothing else
//! of the format (APPNOTE 6.3) is read: no encryption, no parts, no other method.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::DeflateDecoder;

use super::fault::{Fault, Parsed, broken, refused};

/// How many times the size of its archive what is inflated may have: weights hardly shrink, and a bomb shrinks a thousandfold.
const INFLATED_RATIO_MAX: usize = 64;
/// What may be inflated of the smallest archive.
const INFLATED_BYTES_MIN: usize = 1 << 20;

/// An archive in memory and its directory.
pub(super) struct Archive<'a> {
    file: &'a [u8],
    entries: BTreeMap<String, Entry>,
    /// Bytes that may still be inflated.
    inflatable: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    method: u16,
    crc: u32,
    packed: usize,
    size: usize,
    header: usize,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    pub(super) fn open(file: &'a [u8]) -> Parsed<Self> {
        let (mut at, count) = directory(file)?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, entry, next) = directory_entry(file, at)?;
            if entries.insert(name.clone(), entry).is_some() {
                return broken(format!("the archive has \"{name}\" twice"));
            }
            at = next;
        }
        let inflatable = file.len().saturating_mul(INFLATED_RATIO_MAX).max(INFLATED_BYTES_MIN);
        Ok(Self { file, entries, inflatable })
    }

    /// The names of the entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What the entry of this name holds; none where there is no such entry.
    pub(super) fn entry(&mut self, name: &str) -> Parsed<Option<Cow<'a, [u8]>>> {
        let Some(&entry) = self.entries.get(name) else { return Ok(None) };
        let cut = || Fault::Broken(format!("entry \"{name}\" reaches beyond the end of the file"));
        if u32_at(self.file, entry.header)? != 0x0403_4b50 {
            return broken(format!("entry \"{name}\" does not begin where the directory says"));
        }
        let texts = [26, 28].map(|field| u16_at(self.file, entry.header + field));
        let [name_length, extra_length] = texts;
        let start = entry.header + 30 + usize::from(name_length?) + usize::from(extra_length?);
        let end = start.checked_add(entry.packed).ok_or_else(cut)?;
        let packed = self.file.get(start..end).ok_or_else(cut)?;
        let bytes = match entry.method {
            0 if entry.size != entry.packed => {
                return broken(format!("entry \"{name}\" is stored, but has two sizes"));
            }
            0 => Cow::Borrowed(packed),
            8 => Cow::Owned(self.inflate(name, packed, entry.size)?),
            method => return refused(format!("entry \"{name}\" is packed by method {method}; store or deflate it")),
        };
        // Writers that compute no checksum leave it 0.
        let mut crc = flate2::Crc::new();
        if entry.crc != 0 {
            crc.update(&bytes);
            if crc.sum() != entry.crc {
                return broken(format!("entry \"{name}\" was changed: its checksum is another"));
            }
        }
        Ok(Some(bytes))
    }

    fn inflate(&mut self, name: &str, packed: &[u8], size: usize) -> Parsed<Vec<u8>> {
        if size > self.inflatable {
            return refused(format!(
                "entry \"{name}\" says it becomes {size} bytes, more than {INFLATED_RATIO_MAX} times its archive"
            ));
        }
        self.inflatable -= size;
        let mut bytes = Vec::new();
        // One byte more than is said, so that a longer one is noticed; memory grows with what really comes.
        let whole = DeflateDecoder::new(packed).take(size as u64 + 1).read_to_end(&mut bytes);
        match whole {
            Ok(length) if length == size => Ok(bytes),
            Ok(length) => broken(format!("entry \"{name}\" says it becomes {size} bytes, it became {length}")),
            Err(error) => broken(format!("entry \"{name}\" cannot be inflated: {error}")),
        }
    }
}

/// Where the directory begins, and how many entries it has.
fn directory(file: &[u8]) -> Parsed<(usize, usize)> {
    // The end record is 22 bytes and a comment of up to 65,535.
    let last = file.len().checked_sub(22).ok_or_else(|| Fault::Broken("not a whole zip archive: too short".into()))?;
    let end = (last.saturating_sub(usize::from(u16::MAX))..=last)
        .rev()
        .find(|&at| file[at..].starts_with(b"PK\x05\x06"))
        .ok_or_else(|| Fault::Broken("not a whole zip archive: it has no directory, the file is cut off".into()))?;
    let (mut count, mut start) = (u64::from(u16_at(file, end + 10)?), u64::from(u32_at(file, end + 16)?));
    let locator = end.checked_sub(20).filter(|&at| file[at..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let wide = index(u64_at(file, locator + 8)?)?;
        if u32_at(file, wide)? != 0x0606_4b50 {
            return broken("the zip archive's 64-bit directory is not where it is said to be");
        }
        (count, start) = (u64_at(file, at(wide, 32)?)?, u64_at(file, at(wide, 48)?)?);
    }
    // An entry of the directory takes 46 bytes or more.
    if count > (file.len() / 46) as u64 {
        return broken(format!("the zip archive says it has {count} entries, more than fit into it"));
    }
    Ok((index(start)?, index(count)?))
}

/// The entry of the directory at this place, its name, and where the next one begins.
fn directory_entry(file: &[u8], start: usize) -> Parsed<(String, Entry, usize)> {
    if u32_at(file, start)? != 0x0201_4b50 {
        return broken("the zip archive's directory has fewer entries than it says");
    }
    let [name_length, extra_length, comment_length] =
        [u16_at(file, at(start, 28)?)?, u16_at(file, at(start, 30)?)?, u16_at(file, at(start, 32)?)?].map(usize::from);
    let name_start = at(start, 46)?;
    let name = std::str::from_utf8(slice(file, name_start, name_length)?)
        .map_err(|_| Fault::Broken("the zip archive has an entry whose name is not UTF-8".into()))?;
    if u16_at(file, at(start, 8)?)? & 1 != 0 {
        return refused(format!("entry \"{name}\" is encrypted"));
    }
    let extra = slice(file, name_start + name_length, extra_length)?;
    let mut wide = wide_fields(extra)?.into_iter();
    let mut field = |place: usize| -> Parsed<usize> {
        match u32_at(file, at(start, place)?)? {
            u32::MAX => match wide.next() {
                Some(value) => index(value),
                None => broken(format!("entry \"{name}\" lacks its 64-bit sizes")),
            },
            value => index(value.into()),
        }
    };
    // The 64-bit fields are there only for those that do not fit, in this order.
    let (size, packed, header) = (field(24)?, field(20)?, field(42)?);
    // So that adding the fixed parts of a header cannot overflow.
    if header > file.len() {
        return broken(format!("entry \"{name}\" begins beyond the end of the file"));
    }
    let entry = Entry { method: u16_at(file, start + 10)?, crc: u32_at(file, start + 16)?, packed, size, header };
    Ok((name.to_owned(), entry, name_start + name_length + extra_length + comment_length))
}

/// The numbers of the extra field 1: sizes and offset of 64 bits.
fn wide_fields(mut extra: &[u8]) -> Parsed<Vec<u64>> {
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let body = slice(extra, 4, length)?;
        if kind == 1 {
            return Ok(body.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number)).collect());
        }
        extra = &extra[4 + length..];
    }
    Ok(Vec::new())
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Parsed<&[u8]> {
    start
        .checked_add(length)
        .and_then(|end| bytes.get(start..end))
        .ok_or_else(|| Fault::Broken("the zip archive is cut off".into()))
}

fn number<const N: usize>(bytes: &[u8], start: usize) -> Parsed<[u8; N]> {
    let mut number = [0; N];
    number.copy_from_slice(slice(bytes, start, N)?);
    Ok(number)
}

fn u16_at(bytes: &[u8], start: usize) -> Parsed<u16> {
    number(bytes, start).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], start: usize) -> Parsed<u32> {
    number(bytes, start).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], start: usize) -> Parsed<u64> {
    number(bytes, start).map(u64::from_le_bytes)
}

fn at(start: usize, offset: usize) -> Parsed<usize> {
    start.checked_add(offset).ok_or_else(|| Fault::Broken("the zip archive is cut off".into()))
}

fn index(value: u64) -> Parsed<usize> {
    usize::try_from(value).map_err(|_| Fault::Broken(format!("the zip archive says {value} where a place is expected")))
}
