//! Which characters do the bytes of a file of text mean? Whatever they are, they are read as UTF-8 from here on.

use std::fmt;
use std::io::{self, Read};

use encoding_rs::{BIG5, DecoderResult, GB18030, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::{Input, open, read_fully};
use crate::error::{Error, Result};
use crate::spec::Encoding;

/// Bytes that are looked at to tell an encoding.
const SAMPLE_BYTES: usize = 1 << 16;
/// Bytes decoded at once.
const CHUNK_BYTES: usize = 1 << 16;
/// Share of a text's pairs of bytes that are among the characters of everyday Chinese, at least: letters with accents pair
/// with plain ones instead.
const EVERYDAY_MIN: f64 = 0.9;
/// Control characters, and bytes that are no UTF-8, from which on a file is taken for none of text; and one in so many of its
/// bytes. Some logs part their fields by control characters, others were written in an encoding nobody knows: none does both.
const NO_TEXT_MIN: usize = 8;
const NO_TEXT_ONE_IN: usize = 40;

/// The text of a file as UTF-8, unpacked and decoded as it is read.
pub(crate) fn open_text(path: &Input, encoding: Encoding) -> Result<Box<dyn Read + Send>> {
    open_decoded(path, encoding, false)
}

/// The same of a file in which bytes may have gone wrong: those of another encoding become U+FFFD. UTF-8 comes as it is.
pub(crate) fn open_lossy(path: &Input, encoding: Encoding) -> Result<Box<dyn Read + Send>> {
    open_decoded(path, encoding, true)
}

fn open_decoded(path: &Input, encoding: Encoding, is_lossy: bool) -> Result<Box<dyn Read + Send>> {
    let (decoder, sample, input) = match encoding {
        Encoding::Utf8 => return open(path),
        Encoding::Auto | Encoding::Utf16 => {
            let mut input = open(path)?;
            let mut sample = vec![0; SAMPLE_BYTES];
            let filled = read_fully(&mut input, path, &mut sample)?;
            sample.truncate(filled);
            let found = detect(&sample);
            if is_lossy && encoding == Encoding::Auto && found == UTF_8 {
                check_text(path, &sample)?;
            }
            let is_unmarked = encoding == Encoding::Utf16 && found != UTF_16BE;
            (if is_unmarked { UTF_16LE } else { found }, sample, input)
        }
        Encoding::Gb18030 => (GB18030, Vec::new(), open(path)?),
        Encoding::Big5 => (BIG5, Vec::new(), open(path)?),
        Encoding::ShiftJis => (SHIFT_JIS, Vec::new(), open(path)?),
        Encoding::Latin1 => (WINDOWS_1252, Vec::new(), open(path)?),
    };
    let input = io::Cursor::new(sample).chain(input);
    if decoder == UTF_8 {
        return Ok(Box::new(input));
    }
    let name = decoder.name();
    let decoder = decoder.new_decoder_with_bom_removal();
    let (raw, text) = (vec![0; CHUNK_BYTES], vec![0; 4 * CHUNK_BYTES]);
    Ok(Box::new(Decoded {
        input,
        decoder,
        name,
        raw,
        pending: 0..0,
        text,
        ready: 0..0,
        read: 0,
        is_ended: false,
        is_lossy,
    }))
}

/// The encoding that the settings of a source would name, for a file that is not UTF-8.
pub(crate) fn sniff_encoding(path: &Input) -> Result<Encoding> {
    let mut sample = vec![0; SAMPLE_BYTES];
    let filled = read_fully(&mut open(path)?, path, &mut sample)?;
    let found = detect(&sample[..filled]);
    Ok(match found {
        _ if found == GB18030 => Encoding::Gb18030,
        _ if found == UTF_16LE || found == UTF_16BE => Encoding::Utf16,
        _ => Encoding::Auto,
    })
}

/// By the marks and habits of a file's first bytes; UTF-8 where nothing else is sure.
fn detect(sample: &[u8]) -> &'static encoding_rs::Encoding {
    match sample {
        [0xff, 0xfe, ..] => return UTF_16LE,
        [0xfe, 0xff, ..] => return UTF_16BE,
        [0xef, 0xbb, 0xbf, ..] => return UTF_8,
        _ => {}
    }
    // Most characters of most texts are below 256: in UTF-16 every other byte is 0.
    let zeros = |from: usize| sample.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    // Zeros on both sides are none of a text, such as those that a machine left that fell.
    if even + odd > sample.len() / 8 && even.abs_diff(odd) > sample.len() / 16 {
        return if odd > even { UTF_16LE } else { UTF_16BE };
    }
    match std::str::from_utf8(sample) {
        Ok(_) => UTF_8,
        Err(error) if error.error_len().is_none() => UTF_8, // a character that the sample cuts
        Err(_) if is_gb18030(sample) => GB18030,
        Err(_) => UTF_8,
    }
}

/// Refuses what is no text in any encoding. Zeros say nothing: a machine that fell leaves some.
fn check_text(path: &Input, sample: &[u8]) -> Result<()> {
    let written = sample.iter().filter(|byte| **byte != 0).count();
    // Tabs and ends of lines and pages are texts', and what begins colours (ESC) is on terminals.
    let controls = sample.iter().filter(|byte| matches!(**byte, 1..=8 | 14..=26 | 28..=31 | 127)).count();
    let wrong: usize = sample.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    let is_many = |count: usize| count >= NO_TEXT_MIN && count * NO_TEXT_ONE_IN >= written;
    if is_many(controls) && is_many(wrong) {
        return Err(Error::invalid(format!(
            "{}: this is no text: of its first {} bytes {controls} are control characters and {wrong} are no UTF-8; if it is one \
             all the same, set its encoding",
            path.display(),
            sample.len()
        )));
    }
    Ok(())
}

/// Whether all of it is GB 18030, and nearly all pairs are of the characters that are used every day (GB 2312).
fn is_gb18030(sample: &[u8]) -> bool {
    let (mut pairs, mut everyday) = (0usize, 0usize);
    let mut rest = sample;
    loop {
        rest = match *rest {
            [] | [0x81..=0xfe] => break,
            [byte, ref rest @ ..] if byte < 0x80 => rest,
            [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, ref rest @ ..] => rest,
            [0x81..=0xfe, 0x30..=0x39, ..] if rest.len() < 4 => break,
            [first @ 0x81..=0xfe, second @ (0x40..=0x7e | 0x80..=0xfe), ref rest @ ..] => {
                pairs += 1;
                everyday += usize::from((0xa1..=0xf7).contains(&first) && second >= 0xa1);
                rest
            }
            _ => return false,
        };
    }
    everyday as f64 >= EVERYDAY_MIN * pairs as f64 && pairs > 0
}

/// Bytes that are no text of the encoding.
#[derive(Debug)]
pub(crate) struct NotText {
    name: &'static str,
    at: u64,
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} at byte {}; set another encoding, or save it as UTF-8", self.name, self.at)
    }
}

impl std::error::Error for NotText {}

/// Text that is decoded as it is read.
struct Decoded<R> {
    input: R,
    decoder: encoding_rs::Decoder,
    name: &'static str,
    raw: Vec<u8>,
    /// Of `raw`: not decoded.
    pending: std::ops::Range<usize>,
    text: Vec<u8>,
    /// Of `text`: not handed out.
    ready: std::ops::Range<usize>,
    /// Bytes of the file before `pending`.
    read: u64,
    is_ended: bool,
    /// Wrong bytes are replaced.
    is_lossy: bool,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() && !out.is_empty() {
            if self.pending.is_empty() {
                if self.is_ended {
                    return Ok(0);
                }
                let count = self.input.read(&mut self.raw)?;
                self.is_ended = count == 0;
                self.pending = 0..count;
            }
            let raw = &self.raw[self.pending.clone()];
            if self.is_lossy {
                let (_, taken, written, _) = self.decoder.decode_to_utf8(raw, &mut self.text, self.is_ended);
                self.pending.start += taken;
                self.ready = 0..written;
                continue;
            }
            let (result, taken, written) =
                self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.is_ended);
            self.read += taken as u64;
            if let DecoderResult::Malformed(bad, after) = result {
                let at = self.read.saturating_sub(u64::from(bad) + u64::from(after));
                return Err(io::Error::new(io::ErrorKind::InvalidData, NotText { name: self.name, at }));
            }
            self.pending.start += taken;
            self.ready = 0..written;
        }
        let count = self.ready.len().min(out.len());
        out[..count].copy_from_slice(&self.text[self.ready.start..][..count]);
        self.ready.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "名称,价格\n\"数据中心 🦀, 上海\",3\nLi,4\n";

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn files_are_read_in_their_encoding() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let check = |bytes: &[u8], encoding: Encoding, expected: &str| {
            std::fs::write(&path, bytes).unwrap();
            let mut text = String::new();
            open_text(&Input::here(&path), encoding).unwrap().read_to_string(&mut text).unwrap();
            assert!(text.trim_start_matches('\u{feff}') == expected, "{encoding:?}: {text:.200}");
        };
        let long = TEXT.repeat(5_000);
        check(long.as_bytes(), Encoding::Auto, &long);
        let (gb, ..) = GB18030.encode(&long);
        check(&gb, Encoding::Auto, &long);
        check(&gb, Encoding::Gb18030, &long);
        check(&[&[0xff, 0xfe][..], &utf16(&long, u16::to_le_bytes)].concat(), Encoding::Auto, &long);
        check(&[&[0xfe, 0xff][..], &utf16(&long, u16::to_be_bytes)].concat(), Encoding::Utf16, &long);
        check(&utf16("a,b\n1,2\n", u16::to_le_bytes), Encoding::Auto, "a,b\n1,2\n");
        check(&utf16("a,b\n1,2\n", u16::to_be_bytes), Encoding::Auto, "a,b\n1,2\n");
        check(&utf16("数据", u16::to_le_bytes), Encoding::Utf16, "数据");
        check(b"caf\xe9,Z\xfcrich\n", Encoding::Latin1, "café,Zürich\n");
        let (big5, ..) = BIG5.encode("資料,價格\n");
        check(&big5, Encoding::Big5, "資料,價格\n");
        let (jis, ..) = SHIFT_JIS.encode("データ,価格\n");
        check(&jis, Encoding::ShiftJis, "データ,価格\n");
    }

    #[test]
    fn accents_are_not_taken_for_chinese() {
        let (gb, ..) = GB18030.encode(TEXT);
        assert!(is_gb18030(&gb) && is_gb18030(&gb[..gb.len() / 2 + 1]));
        for text in ["Zürich, Genève, São Paulo\n", "Müller,Schröder,Weiß\n", "naïve façade\n"] {
            let (latin, ..) = WINDOWS_1252.encode(text);
            assert!(!is_gb18030(&latin), "{text}");
        }
        assert!(!is_gb18030(b"a,b\n1,2\n") && !is_gb18030(b"\xff\xff"));
    }

    #[test]
    fn what_is_no_text_is_refused_where_wrong_bytes_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let lossy = |bytes: &[u8], encoding| {
            std::fs::write(&path, bytes).unwrap();
            open_lossy(&Input::here(&path), encoding).map(drop)
        };
        // As good as random (Knuth's generator): what is packed or compiled looks like this.
        let draw =
            |n: u64| (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 40) as u8;
        let noise: Vec<u8> = (0..3_000_u64).map(|n| draw(draw(n).into()) ^ draw(n * 77)).collect();
        let error = lossy(&noise, Encoding::Auto).unwrap_err().to_string();
        assert!(
            error.contains("a.log: this is no text: of its first 3000 bytes") && error.contains("encoding"),
            "{error}"
        );
        lossy(&noise, Encoding::Latin1).unwrap();
        let log = "2026-01-02 03:04:05 INFO Z\u{fc}rich: started\n".repeat(50);
        let (latin, ..) = WINDOWS_1252.encode(&log);
        let fix = "8=FIX.4.2\x019=65\x0135=A\x0149=SERVER\x0156=CLIENT\x0110=062\x01\n".repeat(50);
        let fallen = [log.as_bytes(), &[0; 5_000][..], log.as_bytes()].concat();
        let (gb, ..) = GB18030.encode(TEXT);
        let texts: [&[u8]; 7] = [log.as_bytes(), &latin, fix.as_bytes(), &fallen, &gb, b"a\x01\xff", &noise[..20]];
        texts.into_iter().for_each(|bytes| lossy(bytes, Encoding::Auto).unwrap());
        lossy(&utf16(TEXT, u16::to_le_bytes), Encoding::Auto).unwrap();
    }

    #[test]
    fn bytes_of_another_encoding_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, b"ab\xff\xffcd").unwrap();
        let error =
            open_text(&Input::here(&path), Encoding::Gb18030).unwrap().read_to_string(&mut String::new()).unwrap_err();
        assert_eq!(error.to_string(), "no gb18030 at byte 2; set another encoding, or save it as UTF-8");
    }
}
