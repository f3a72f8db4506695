//! How is a text divided where a record ends? Only quotes are looked at, which most texts hardly have.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};

use crate::marks::Marks;
use crate::{Dialect, Fault, FaultKind};

/// Bytes of a piece, about.
const PIECE_BYTES: usize = 1 << 20;
/// Longest record, in bytes: beyond it a quote is open that nobody closes.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Some records, all of them whole.
#[derive(Debug)]
pub struct Piece {
    pub(crate) text: Vec<u8>,
    /// Where its records begin that were not taken yet.
    pub(crate) begin: usize,
    /// The line on which the text begins, counted from 1.
    pub(crate) line: u64,
    pub(crate) line_feed: u8,
}

impl Piece {
    /// Bytes that were not taken yet.
    pub fn bytes(&self) -> usize {
        self.text.len() - self.begin
    }

    /// The line of what is at this place.
    pub(crate) fn line(&self, at: usize) -> u64 {
        self.line + memchr_iter(self.line_feed, &self.text[..at]).count() as u64
    }
}

/// A text, piece by piece.
pub struct Pieces {
    input: Box<dyn Read + Send>,
    dialect: Dialect,
    piece_bytes: usize,
    /// What was read behind the last piece, the beginning of a record.
    ahead: Vec<u8>,
    line: u64,
    /// What ends a line: a line feed, or in files of old Macs a carriage return. Known once something was read.
    line_feed: Option<u8>,
    has_ended: bool,
    /// Memory of pieces that are done with.
    spare: Vec<Vec<u8>>,
}

impl Pieces {
    /// The pieces of what is read; a mark of UTF-8 at its beginning is left out.
    pub fn new(input: Box<dyn Read + Send>, dialect: Dialect) -> Self {
        Self {
            input,
            dialect,
            piece_bytes: PIECE_BYTES,
            ahead: Vec::new(),
            line: 1,
            line_feed: None,
            has_ended: false,
            spare: Vec::new(),
        }
    }

    /// Takes a piece back that is done with: memory of the next ones, which is dearer new than what is read into it.
    pub fn reuse(&mut self, piece: Piece) {
        self.spare.push(piece.text);
    }

    #[cfg(test)]
    pub(crate) fn of_bytes(self, piece_bytes: usize) -> Self {
        Self { piece_bytes, ..self }
    }

    /// The next piece, as large as its bytes may be; none at the end. Reading fails, or a record is longer than 64 MB.
    pub fn read(&mut self) -> Result<Option<Piece>, Fault> {
        let mut text = self.spare.pop().unwrap_or_default();
        text.clear();
        text.append(&mut self.ahead);
        while !self.has_ended {
            if text.len() >= RECORD_BYTES_MAX {
                return Err(self.fault(FaultKind::Long(RECORD_BYTES_MAX >> 20)));
            }
            let bytes = self.piece_bytes.max(2 * text.len());
            self.fill(&mut text, bytes)?;
            if !self.has_ended
                && let Some(end) = self.end(&text)
            {
                self.ahead.extend_from_slice(&text[end..]);
                text.truncate(end);
                break;
            }
        }
        if text.is_empty() {
            return Ok(None);
        }
        let line_feed = self.line_feed.unwrap_or(b'\n');
        let piece = Piece { text, begin: 0, line: self.line, line_feed };
        self.line = piece.line(piece.text.len());
        Ok(Some(piece))
    }

    /// Reads until there are so many bytes; fewer mean the end, so that pieces do not depend on timing.
    fn fill(&mut self, text: &mut Vec<u8>, bytes: usize) -> Result<(), Fault> {
        let wanted = bytes.saturating_sub(text.len());
        text.reserve_exact(wanted);
        let read = (&mut self.input).take(wanted as u64).read_to_end(text);
        self.has_ended = read.map_err(|error: io::Error| self.fault(FaultKind::Read(error)))? < wanted;
        if self.line_feed.is_none() {
            if text.starts_with(b"\xef\xbb\xbf") {
                text.drain(..3);
            }
            let is_old_mac = memchr(b'\r', text).is_some() && memchr(b'\n', text).is_none();
            self.line_feed = Some(if is_old_mac { b'\r' } else { b'\n' });
        }
        Ok(())
    }

    fn fault(&self, kind: FaultKind) -> Fault {
        Fault { line: self.line, kind }
    }

    /// Behind the last line break that ends a record.
    fn end(&self, text: &[u8]) -> Option<usize> {
        let line_feed = self.line_feed.unwrap_or(b'\n');
        let last_break = |part: &Range<usize>| memrchr(line_feed, &text[part.clone()]).map(|at| part.start + at + 1);
        match self.dialect.quote {
            Some(quote) => self.unquoted(text, quote).iter().rev().find_map(last_break),
            None => last_break(&(0..text.len())),
        }
    }

    /// The parts of a text that are in no quoted field. Quotes mean here what they mean to [`crate::Records`].
    fn unquoted(&self, text: &[u8], quote: u8) -> Vec<Range<usize>> {
        let mut quotes = Marks::new(text, [quote]);
        let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
        loop {
            let open = quotes.next(at);
            if open == text.len() {
                parts.push(begin..open);
                return parts;
            }
            at = open + 1;
            if !self.opens(&text[begin..open], begin == 0) {
                continue;
            }
            parts.push(begin..open);
            // The quote that ends the field: those that are doubled stand for themselves.
            loop {
                let close = quotes.next(at);
                match text.get(close + 1) {
                    None => return parts, // what was not read yet tells whether it ends
                    Some(&next) if next == quote => at = close + 2,
                    Some(_) => {
                        (begin, at) = (close + 1, close + 1);
                        break;
                    }
                }
            }
        }
    }

    /// Whether a quote opens a field behind `before`: what stands behind the last quoted field, or behind the beginning.
    fn opens(&self, before: &[u8], is_beginning: bool) -> bool {
        let line_feed = self.line_feed.unwrap_or(b'\n');
        let is_usual = before.last().is_some_and(|&last| last == self.dialect.delimiter || last == line_feed);
        if is_usual && self.dialect.comment.is_none() {
            return true;
        }
        if let Some(comment) = self.dialect.comment {
            let line = match memrchr(line_feed, before) {
                Some(at) => &before[at + 1..],
                None if is_beginning => before,
                None => &[],
            };
            if line.first() == Some(&comment) {
                return false;
            }
        }
        let blanks = before.iter().rev().take_while(|&&byte| self.dialect.skips(byte)).count();
        let (before, blanks) = before.split_at(before.len() - blanks);
        let delimiter = self.dialect.delimiter;
        match before.last() {
            Some(&last) => last == delimiter || last == line_feed || blanks.contains(&delimiter),
            // Behind a quoted field any blank is as good as one that delimits.
            None => is_beginning || (delimiter == b' ' && !blanks.is_empty()),
        }
    }
}
