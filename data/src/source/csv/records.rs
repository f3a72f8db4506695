//! Where do the records and fields of delimited text begin and end? Finds them in place, copies nothing.

use std::borrow::Cow;
use std::io::Read;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::source::{Input, Place, read_fully};
use crate::spec::Encoding;

/// Text that is read at once, in bytes.
const BUFFER_BYTES: usize = 1 << 20;
/// Longest record, in bytes: beyond it a quote is open that nobody closes.
const RECORD_BYTES_MAX: usize = 64 << 20;
/// Most columns of a table.
pub(super) const COLUMNS_MAX: usize = 200_000;

/// Which characters mean what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) quote: Option<u8>,
    pub(crate) comment: Option<u8>,
    pub(crate) trim: bool,
    pub(crate) encoding: Encoding,
}

/// A field of a block; `quotes` says that doubled quotes in it stand for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: u32,
    end: u32,
    quotes: bool,
}

/// Some records.
pub(crate) struct Block<'a> {
    text: &'a str,
    spans: &'a [Span],
    /// Where the fields of each record end in `spans`.
    ends: &'a [usize],
    /// The line on which each record begins, counted from 1.
    pub(crate) lines: &'a [u64],
    quote: char,
}

impl<'a> Block<'a> {
    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The fields of a record.
    pub(crate) fn record(&self, row: usize) -> impl Iterator<Item = Cow<'a, str>> {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        let (text, quote) = (self.text, self.quote);
        self.spans[begin..self.ends[row]].iter().map(move |span| value(text, *span, quote))
    }

    /// A column of records that all have `width` fields.
    pub(super) fn column(&self, column: usize, width: usize) -> impl Iterator<Item = Cow<'a, str>> {
        let (text, quote) = (self.text, self.quote);
        self.spans.iter().skip(column).step_by(width.max(1)).map(move |span| value(text, *span, quote))
    }
}

#[inline]
fn value(text: &str, span: Span, quote: char) -> Cow<'_, str> {
    let raw = text.get(span.start as usize..span.end as usize).unwrap_or_default();
    if !span.quotes {
        return Cow::Borrowed(raw);
    }
    let one = quote.to_string();
    Cow::Owned(raw.replace(&one.repeat(2), &one))
}

/// The records of a file, block by block.
pub(crate) struct Records {
    input: Box<dyn Read + Send>,
    path: PathBuf,
    dialect: Dialect,
    /// Fields of every record, once it is known.
    pub(super) width: Option<usize>,
    buffer: Vec<u8>,
    filled: usize,
    start: usize,
    ended: bool,
    /// What ends a line: a line feed, or in files of old Macs a carriage return.
    line_feed: u8,
    /// Line of the next record, counted from 1.
    line: u64,
    spans: Vec<Span>,
    ends: Vec<usize>,
    lines: Vec<u64>,
}

impl Records {
    pub(crate) fn open(path: &Input, dialect: Dialect) -> Result<Self> {
        let mut records = Self {
            input: crate::source::open_text(path, dialect.encoding)?,
            path: path.to_path_buf(),
            dialect,
            width: None,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            start: 0,
            ended: false,
            line_feed: b'\n',
            line: 1,
            spans: Vec::new(),
            ends: Vec::new(),
            lines: Vec::new(),
        };
        records.fill()?;
        match records.buffer.get(..records.filled) {
            Some([]) | None => return Err(Error::invalid(format!("{} is empty", path.display()))),
            Some([0xef, 0xbb, 0xbf, ..]) => records.start = 3,
            Some(_) => {}
        }
        let text = &records.buffer[..records.filled];
        if text.contains(&b'\r') && !text.contains(&b'\n') {
            records.line_feed = b'\r';
        }
        Ok(records)
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// At most `rows_max` records, fewer where they are long; none at the end of the file.
    pub(crate) fn next(&mut self, rows_max: usize) -> Result<Option<Block<'_>>> {
        loop {
            let end = self.scan(rows_max)?;
            if !self.ends.is_empty() {
                let begin = std::mem::replace(&mut self.start, end);
                let text = match std::str::from_utf8(&self.buffer[begin..end]) {
                    Ok(text) => text,
                    Err(error) => return Err(self.not_utf8(begin + error.valid_up_to(), begin)),
                };
                let quote = self.dialect.quote.unwrap_or(b'"') as char;
                return Ok(Some(Block { text, spans: &self.spans, ends: &self.ends, lines: &self.lines, quote }));
            }
            self.start = end;
            if self.ended {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Finds the records from `start` on, and says where they end.
    fn scan(&mut self, rows_max: usize) -> Result<usize> {
        self.spans.clear();
        self.ends.clear();
        self.lines.clear();
        let mut at = self.start;
        while self.ends.len() < rows_max {
            let mut scan = Scan {
                bytes: &self.buffer[..self.filled],
                ended: self.ended,
                line_feed: self.line_feed,
                dialect: self.dialect,
                offset: self.start,
                width: self.width.unwrap_or(COLUMNS_MAX),
                spans: &mut self.spans,
                line: self.line,
            };
            let before = scan.spans.len();
            match scan.record(at) {
                Ok(Some(Found::Record { next, fields })) => {
                    let line = std::mem::replace(&mut self.line, scan.line);
                    if fields != self.width.unwrap_or(fields) || fields > COLUMNS_MAX {
                        return Err(self.ragged(line, fields));
                    }
                    self.ends.push(self.spans.len());
                    self.lines.push(line);
                    at = next;
                }
                Ok(Some(Found::Nothing { next })) => {
                    self.line = scan.line;
                    at = next;
                }
                Ok(None) => {
                    self.spans.truncate(before);
                    break;
                }
                Err(fault) => return Err(self.fault(&fault)),
            }
        }
        Ok(at)
    }

    /// Reads on behind what is not used up yet.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        if self.filled == self.buffer.len() {
            if self.buffer.len() >= RECORD_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "{}: a record of more than {} MB begins; a quote may be open, or the line ends missing",
                    Place(&self.path, self.line),
                    RECORD_BYTES_MAX >> 20
                )));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = read_fully(self.input.as_mut(), &self.path, &mut self.buffer[self.filled..])?;
        self.filled += count;
        self.ended = self.filled < self.buffer.len();
        Ok(())
    }

    fn ragged(&self, line: u64, found: usize) -> Error {
        let place = Place(&self.path, line);
        match self.width {
            Some(width) => {
                let remedy = if found < width { "add what is missing" } else { "quote values that hold the delimiter" };
                let fields = if found == 1 { "field" } else { "fields" };
                Error::invalid(format!("{place}: {found} {fields} where {width} were expected; {remedy}"))
            }
            None => Error::invalid(format!("{place}: more than {COLUMNS_MAX} columns")),
        }
    }

    fn fault(&self, fault: &Fault) -> Error {
        match fault {
            Fault::OpenQuote(line) => Error::invalid(format!(
                "{}: a quote is opened and never closed; close it, or set quote: null if quotes are ordinary characters",
                Place(&self.path, *line)
            )),
            Fault::AfterQuote(line) => Error::invalid(format!(
                "{}: text follows a closing quote; double the quotes inside of values, or set quote: null if they are \
                 ordinary characters",
                Place(&self.path, *line)
            )),
        }
    }

    fn not_utf8(&self, at: usize, begin: usize) -> Error {
        let first = self.lines.first().copied().unwrap_or(1);
        let line = first + self.buffer[begin..at].iter().filter(|&&byte| byte == self.line_feed).count() as u64;
        let byte = self.buffer.get(at).copied().unwrap_or_default();
        Error::invalid(format!(
            "{}: byte 0x{byte:02x} is not UTF-8; set encoding, or save the file as UTF-8",
            Place(&self.path, line)
        ))
    }
}

enum Found {
    Record {
        next: usize,
        fields: usize,
    },
    /// An empty line or a comment.
    Nothing {
        next: usize,
    },
}

enum Fault {
    OpenQuote(u64),
    AfterQuote(u64),
}

/// Looks for one record; `None` means that more text is needed, or that there is none.
struct Scan<'a> {
    bytes: &'a [u8],
    ended: bool,
    line_feed: u8,
    dialect: Dialect,
    /// What positions in spans are counted from.
    offset: usize,
    /// Fields beyond it are counted, not kept.
    width: usize,
    spans: &'a mut Vec<Span>,
    line: u64,
}

/// What stands behind a field.
enum After {
    Field(usize),
    Record(usize),
}

impl Scan<'_> {
    fn record(&mut self, mut at: usize) -> Result<Option<Found>, Fault> {
        let begin = at;
        if at == self.bytes.len() {
            return Ok(None);
        }
        if self.dialect.comment == Some(self.bytes[at]) {
            return Ok(self.comment(at));
        }
        let mut fields = 0;
        loop {
            at = self.skip_blanks(at);
            if self.bytes.get(at).is_none() && !self.ended {
                return Ok(None);
            }
            if fields > 0 && self.dialect.delimiter == b' ' {
                match self.line_end(at) {
                    None => return Ok(None),
                    Some(Some(next)) => return Ok(Some(Found::Record { next: self.end_line(next), fields })),
                    Some(None) => {}
                }
            }
            let quoted = self.dialect.quote.is_some() && self.bytes.get(at).copied() == self.dialect.quote;
            let field = if quoted { self.quoted(at)? } else { self.plain(at) };
            let Some((span, after)) = field else { return Ok(None) };
            fields += 1;
            if fields <= self.width {
                self.spans.push(span);
            }
            match after {
                After::Field(next) => at = next,
                After::Record(next) => {
                    let next = self.end_line(next);
                    if fields == 1 && !quoted && span.start == span.end && next > begin {
                        self.spans.pop();
                        return Ok(Some(Found::Nothing { next }));
                    }
                    return Ok(Some(Found::Record { next, fields }));
                }
            }
        }
    }

    fn comment(&mut self, at: usize) -> Option<Found> {
        match self.bytes[at..].iter().position(|&byte| byte == self.line_feed) {
            Some(length) => Some(Found::Nothing { next: self.end_line(at + length + 1) }),
            None if self.ended => Some(Found::Nothing { next: self.bytes.len() }),
            None => None,
        }
    }

    fn end_line(&mut self, next: usize) -> usize {
        self.line += 1;
        next
    }

    #[inline]
    fn skip_blanks(&self, mut at: usize) -> usize {
        let delimiter = self.dialect.delimiter;
        if self.dialect.trim || delimiter == b' ' {
            while matches!(self.bytes.get(at), Some(&byte) if byte == b' ' || (byte == b'\t' && delimiter != b'\t')) {
                at += 1;
            }
        }
        at
    }

    /// Where the next line begins if a line ends here; the outer `None` asks for more text.
    #[inline]
    fn line_end(&self, at: usize) -> Option<Option<usize>> {
        match (self.bytes.get(at), self.bytes.get(at + 1)) {
            (None, _) => self.ended.then_some(Some(at)),
            (Some(&byte), _) if byte == self.line_feed => Some(Some(at + 1)),
            (Some(b'\r'), Some(b'\n')) => Some(Some(at + 2)),
            (Some(b'\r'), None) => self.ended.then_some(Some(at + 1)),
            _ => Some(None),
        }
    }

    #[inline]
    fn plain(&self, start: usize) -> Option<(Span, After)> {
        let delimiter = self.dialect.delimiter;
        let mut at = start;
        let after = loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let stop = rest.iter().position(|&byte| byte == delimiter || byte == b'\n' || byte == b'\r');
            at += stop.unwrap_or(rest.len());
            if self.bytes.get(at) == Some(&delimiter) {
                break After::Field(at + 1);
            }
            match self.line_end(at)? {
                Some(next) => break After::Record(next),
                None => at += 1, // a carriage return of its own is part of the value
            }
        };
        let mut end = at;
        while self.dialect.trim && end > start && matches!(self.bytes[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        Some((self.span(start, end, false), after))
    }

    fn quoted(&mut self, open: usize) -> Result<Option<(Span, After)>, Fault> {
        let quote = self.bytes[open];
        let opened = self.line;
        let (mut at, mut doubled, mut breaks) = (open + 1, false, 0);
        let end = loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|&byte| byte == quote) else {
                return if self.ended { Err(Fault::OpenQuote(opened)) } else { Ok(None) };
            };
            breaks += rest[..length].iter().filter(|&&byte| byte == self.line_feed).count() as u64;
            at += length;
            match self.bytes.get(at + 1) {
                Some(&next) if next == quote => {
                    doubled = true;
                    at += 2;
                }
                None if !self.ended => return Ok(None),
                _ => break at,
            }
        };
        self.line += breaks;
        let span = self.span(open + 1, end, doubled);
        let at = self.skip_blanks(end + 1);
        let spaced = self.dialect.delimiter == b' ' && at > end + 1;
        if self.bytes.get(at) == Some(&self.dialect.delimiter) {
            return Ok(Some((span, After::Field(at + 1))));
        }
        match self.line_end(at) {
            None => Ok(None), // the whole record is looked at again
            Some(Some(next)) => Ok(Some((span, After::Record(next)))),
            Some(None) if spaced => Ok(Some((span, After::Field(at)))),
            Some(None) => Err(Fault::AfterQuote(self.line)),
        }
    }

    #[inline]
    fn span(&self, start: usize, end: usize, quotes: bool) -> Span {
        Span { start: (start - self.offset) as u32, end: (end - self.offset) as u32, quotes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect =
        Dialect { delimiter: b',', quote: Some(b'"'), comment: None, trim: true, encoding: Encoding::Auto };

    fn records(text: &[u8], dialect: Dialect) -> Result<Vec<(u64, Vec<String>)>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).expect("written");
        let mut records = Records::open(&Input::here(&path), dialect)?;
        let mut all = Vec::new();
        while let Some(block) = records.next(2)? {
            for row in 0..block.rows() {
                all.push((block.lines[row], block.record(row).map(Cow::into_owned).collect()));
            }
        }
        Ok(all)
    }

    fn check(text: &str, dialect: Dialect, expected: &[(u64, &[&str])]) {
        let found = records(text.as_bytes(), dialect).expect("readable");
        let expected: Vec<(u64, Vec<String>)> =
            expected.iter().map(|(line, fields)| (*line, fields.iter().map(|&f| f.to_owned()).collect())).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn fields_are_found() {
        check("a,b\n1,2\n", PLAIN, &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a,b\r\n1,2", PLAIN, &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a, b , c\n", PLAIN, &[(1, &["a", "b", "c"])]);
        check("a,,\n,,\n", PLAIN, &[(1, &["a", "", ""]), (2, &["", "", ""])]);
        check("a,b,", PLAIN, &[(1, &["a", "b", ""])]);
        check("\n\na\n\nb\n\n", PLAIN, &[(3, &["a"]), (5, &["b"])]);
        check("\u{feff}a,b\n", PLAIN, &[(1, &["a", "b"])]);
        check("a,b\r1,2\r\r3,4", PLAIN, &[(1, &["a", "b"]), (2, &["1", "2"]), (4, &["3", "4"])]);
        check("a\rb,c\n", PLAIN, &[(1, &["a\rb", "c"])]);
        check("中文,数据\n", PLAIN, &[(1, &["中文", "数据"])]);
        check(" a ,b\n", Dialect { trim: false, ..PLAIN }, &[(1, &[" a ", "b"])]);
        check("a\t b\n", Dialect { delimiter: b'\t', ..PLAIN }, &[(1, &["a", "b"])]);
        check("# x,y\na,b\n#\n", Dialect { comment: Some(b'#'), ..PLAIN }, &[(2, &["a", "b"])]);
    }

    #[test]
    fn quotes_hold_delimiters_line_breaks_and_quotes() {
        check("\"a,b\",c\n", PLAIN, &[(1, &["a,b", "c"])]);
        check("x, \"a, b\" , c\n", PLAIN, &[(1, &["x", "a, b", "c"])]);
        check("\"a\nb\",c\nd,e\n", PLAIN, &[(1, &["a\nb", "c"]), (3, &["d", "e"])]);
        check("\"say \"\"hi\"\"\",\"\"\n", PLAIN, &[(1, &["say \"hi\"", ""])]);
        check("\"\"\nb\n", PLAIN, &[(1, &[""]), (2, &["b"])]);
        check("5\" pipe,2\n", PLAIN, &[(1, &["5\" pipe", "2"])]);
        check("\"a,b\n", Dialect { quote: None, ..PLAIN }, &[(1, &["\"a", "b"])]);
    }

    #[test]
    fn runs_of_blanks_are_one_delimiter_where_it_is_a_blank() {
        let blank = Dialect { delimiter: b' ', ..PLAIN };
        check(
            "1 1  -0.0007 100.0  \n  2 \"a b\" 3 4\n",
            blank,
            &[(1, &["1", "1", "-0.0007", "100.0"]), (2, &["2", "a b", "3", "4"])],
        );
    }

    #[test]
    fn faults_name_the_line() {
        let check = |text: &[u8], end: &str| {
            let error = records(text, PLAIN).expect_err("a fault").to_string();
            assert!(error.contains(end), "{error}");
        };
        check(b"", "a.csv is empty");
        check(b"a,b\n\"c,d\n", "a.csv, line 2: a quote is opened and never closed");
        check(b"a,b\n\"c\"d,e\n", "a.csv, line 2: text follows a closing quote");
        check(b"a,b\nc,d\ncaf\xe9,e\n", "a.csv, line 3: byte 0xe9 is not UTF-8");
    }

    #[test]
    fn records_longer_than_the_buffer_are_whole() {
        let long = "x".repeat(3 * BUFFER_BYTES);
        let text = format!("a,b\n{long},\"{long}\n\"\nc,d\n");
        let found = records(text.as_bytes(), PLAIN).expect("readable");
        assert_eq!(found.len(), 3);
        assert_eq!((found[1].1[0].len(), found[1].1[1].len()), (long.len(), long.len() + 1));
        assert_eq!(found[2], (4, vec!["c".to_owned(), "d".to_owned()]));
    }
}
