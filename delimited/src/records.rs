//! Where do the records and fields of a piece begin and end? Finds them in place, copies nothing.

use std::borrow::Cow;

use memchr::memchr;

use crate::marks::Marks;
use crate::{Dialect, Fault, FaultKind, Piece};

/// Most columns of a table.
pub const COLUMNS_MAX: usize = 200_000;
/// Says in `Span::end` that doubled quotes stand for one.
const QUOTES: u32 = 1 << 31;

/// A field of a block.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    /// And [`QUOTES`].
    end: u32,
}

/// Some records.
pub struct Block<'r> {
    piece: &'r Piece,
    /// Where `text` is in the piece.
    begin: usize,
    text: &'r str,
    spans: &'r [Span],
    /// Where the fields of each record end in `spans`.
    ends: &'r [usize],
    quote: char,
}

impl<'r> Block<'r> {
    /// Records.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The fields of a record.
    pub fn record(&self, row: usize) -> impl Iterator<Item = Cow<'r, str>> {
        let (text, quote) = (self.text, self.quote);
        self.spans[self.first(row)..self.ends[row]].iter().map(move |span| value(text, *span, quote))
    }

    /// A column of records that all have `width` fields.
    pub fn column(&self, column: usize, width: usize) -> impl Iterator<Item = Cow<'r, str>> {
        let (text, quote) = (self.text, self.quote);
        self.spans.iter().skip(column).step_by(width.max(1)).map(move |span| value(text, *span, quote))
    }

    /// The line on which a record begins, counted from 1.
    pub fn line(&self, row: usize) -> u64 {
        let start = self.spans.get(self.first(row)).map_or(0, |span| span.start as usize);
        self.piece.line(self.begin + start)
    }

    fn first(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1] }
    }
}

#[inline]
fn value(text: &str, span: Span, quote: char) -> Cow<'_, str> {
    let raw = text.get(span.start as usize..(span.end & !QUOTES) as usize).unwrap_or_default();
    if span.end & QUOTES == 0 { Cow::Borrowed(raw) } else { Cow::Owned(single(raw, quote)) }
}

#[cold]
fn single(raw: &str, quote: char) -> String {
    let one = quote.to_string();
    raw.replace(&one.repeat(2), &one)
}

/// The records of a piece, block by block.
pub struct Records<'p> {
    piece: &'p Piece,
    dialect: Dialect,
    /// Fields of every record, where that is known.
    width: Option<usize>,
    at: usize,
    /// What may end a field.
    stops: Marks<'p, 3>,
    quotes: Marks<'p, 1>,
    spans: Vec<Span>,
    ends: Vec<usize>,
}

/// What stands behind a field.
enum After {
    Field(usize),
    Record(usize),
}

impl Piece {
    /// Its records; those with other than `width` fields are a fault, where it is given.
    pub fn records(&self, dialect: Dialect, width: Option<usize>) -> Records<'_> {
        let stops = Marks::new(&self.text, [dialect.delimiter, b'\n', b'\r']);
        let quotes = Marks::new(&self.text, [dialect.quote.unwrap_or(b'"')]);
        Records { piece: self, dialect, width, at: self.begin, stops, quotes, spans: Vec::new(), ends: Vec::new() }
    }

    /// The fields of its first record, which is taken away; none where there is none.
    pub fn take_first(&mut self, dialect: Dialect) -> Result<Option<Vec<String>>, Fault> {
        let mut records = self.records(dialect, None);
        let fields = records.next(1)?.map(|block| block.record(0).map(Cow::into_owned).collect());
        self.begin = records.at;
        Ok(fields)
    }
}

impl Records<'_> {
    /// At most `rows_max` records; none at the end of the piece.
    pub fn next(&mut self, rows_max: usize) -> Result<Option<Block<'_>>, Fault> {
        self.spans.clear();
        self.ends.clear();
        let (begin, text) = (self.at, self.piece.text.as_slice());
        while self.ends.len() < rows_max && self.at < text.len() {
            let start = self.at;
            let fields = self.record(text, begin)?;
            if fields == 0 {
                continue; // an empty line or a comment
            }
            match self.width {
                Some(width) if width != fields => return Err(self.fault(start, FaultKind::Fields(fields, width))),
                None if fields > COLUMNS_MAX => return Err(self.fault(start, FaultKind::Columns)),
                _ => self.ends.push(self.spans.len()),
            }
        }
        if self.ends.is_empty() {
            return Ok(None);
        }
        let bytes = &text[begin..self.at];
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            self.fault(begin + at, FaultKind::NotUtf8(bytes.get(at).copied().unwrap_or_default()))
        })?;
        let quote = self.dialect.quote.unwrap_or(b'"') as char;
        Ok(Some(Block { piece: self.piece, begin, text, spans: &self.spans, ends: &self.ends, quote }))
    }

    fn fault(&self, at: usize, kind: FaultKind) -> Fault {
        Fault { line: self.piece.line(at), kind }
    }

    /// Goes on behind the record that begins here, and says how many fields it has. Their places count from `begin`.
    #[inline]
    fn record(&mut self, text: &[u8], begin: usize) -> Result<usize, Fault> {
        let (start, dialect, line_feed) = (self.at, self.dialect, self.piece.line_feed);
        if dialect.comment == Some(text[start]) {
            self.at = memchr(line_feed, &text[start..]).map_or(text.len(), |length| start + length + 1);
            return Ok(0);
        }
        let width = self.width.unwrap_or(COLUMNS_MAX);
        let (mut at, mut fields) = (start, 0);
        loop {
            at = skip_blanks(text, at, dialect);
            if fields > 0
                && dialect.delimiter == b' '
                && let Some(next) = line_end(text, at, line_feed)
            {
                self.at = next;
                return Ok(fields);
            }
            let is_quoted = dialect.quote.is_some() && text.get(at).copied() == dialect.quote;
            let (from, to, quotes, after) = match is_quoted {
                true => self.quoted(text, at, dialect)?,
                false => self.plain(text, at, dialect, line_feed),
            };
            fields += 1;
            if fields <= width {
                let end = (to - begin) as u32 | if quotes { QUOTES } else { 0 };
                self.spans.push(Span { start: (from - begin) as u32, end });
            }
            match after {
                After::Field(next) => at = next,
                After::Record(next) => {
                    self.at = next;
                    if fields == 1 && !is_quoted && from == to && next > start {
                        self.spans.pop();
                        return Ok(0);
                    }
                    return Ok(fields);
                }
            }
        }
    }

    #[inline]
    fn plain(&mut self, text: &[u8], start: usize, dialect: Dialect, line_feed: u8) -> (usize, usize, bool, After) {
        let mut at = start;
        let after = loop {
            at = self.stops.next(at);
            if text.get(at) == Some(&dialect.delimiter) {
                break After::Field(at + 1);
            }
            match line_end(text, at, line_feed) {
                Some(next) => break After::Record(next),
                None => at += 1, // a carriage return of its own is part of the value
            }
        };
        let mut end = at;
        while dialect.trim && end > start && matches!(text[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        (start, end, false, after)
    }

    #[inline]
    fn quoted(&mut self, text: &[u8], open: usize, dialect: Dialect) -> Result<(usize, usize, bool, After), Fault> {
        let quote = text[open];
        let (mut at, mut doubled) = (open + 1, false);
        let end = loop {
            at = self.quotes.next(at);
            if at == text.len() {
                return Err(self.fault(open, FaultKind::OpenQuote));
            }
            if text.get(at + 1) != Some(&quote) {
                break at;
            }
            doubled = true;
            at += 2;
        };
        let at = skip_blanks(text, end + 1, dialect);
        let is_spaced = dialect.delimiter == b' ' && at > end + 1;
        let after = if text.get(at) == Some(&dialect.delimiter) {
            After::Field(at + 1)
        } else if let Some(next) = line_end(text, at, self.piece.line_feed) {
            After::Record(next)
        } else if is_spaced {
            After::Field(at)
        } else {
            return Err(self.fault(end, FaultKind::AfterQuote));
        };
        Ok((open + 1, end, doubled, after))
    }
}

#[inline]
fn skip_blanks(text: &[u8], mut at: usize, dialect: Dialect) -> usize {
    while text.get(at).is_some_and(|&byte| dialect.skips(byte)) {
        at += 1;
    }
    at
}

/// Where the next line begins if a line ends here.
#[inline]
fn line_end(text: &[u8], at: usize, line_feed: u8) -> Option<usize> {
    match (text.get(at), text.get(at + 1)) {
        (None, _) => Some(at),
        (Some(&byte), _) if byte == line_feed => Some(at + 1),
        (Some(b'\r'), Some(b'\n')) => Some(at + 2),
        (Some(b'\r'), None) => Some(at + 1),
        _ => None,
    }
}
