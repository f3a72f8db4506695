//! Which lines of a file are one event? A line with its head, and those that continue it, such as the frames of a stack.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::ops::Range;
use std::path::PathBuf;

use super::form::Form;
use super::head::{Head, PLACES};
use super::time::{Clock, Stamp};
use crate::error::Result;
use crate::source::files::Input;
use crate::source::packing::unreadable;
use crate::source::{open_lossy, read_fully};
use crate::spec::Encoding;

/// Bytes of a file that are looked at to tell whether its lines begin with times.
const SAMPLE_BYTES: usize = 1 << 16;
/// Bytes of a line that its template is found from; bounds the memory of all templates.
const TEMPLATE_BYTES_MAX: usize = 8 << 10;
/// Share of the lines that do, in a file where lines without a time continue another one: one in so many.
const TIMED_SHARE: usize = 4;
/// Share of them whose time stands in the same place: one in so many.
const PLACE_SHARE: usize = 10;
/// How lines begin that continue another one without being indented.
const CONTINUING: [&str; 2] = ["Caused by: ", "... "];

/// An event: its text, and what its head says.
#[derive(Debug, Default)]
pub(super) struct Event {
    /// Its lines, joined by line breaks.
    pub(super) text: String,
    /// Number of its first line, from 1.
    pub(super) number: u64,
    /// Microseconds since 1970 UTC.
    pub(super) time: Option<i64>,
    level: Option<&'static str>,
    written_level: Option<Range<usize>>,
    host: Option<Range<usize>>,
    program: Option<Range<usize>>,
    pid: Option<Range<usize>>,
    message: usize,
}

impl Event {
    pub(super) fn level(&self) -> Option<&str> {
        self.level.or_else(|| self.part(&self.written_level))
    }

    pub(super) fn host(&self) -> Option<&str> {
        self.part(&self.host)
    }

    pub(super) fn program(&self) -> Option<&str> {
        self.part(&self.program)
    }

    pub(super) fn pid(&self) -> Option<&str> {
        self.part(&self.pid)
    }

    /// What follows the head, with the lines that continue it.
    pub(super) fn message(&self) -> &str {
        self.text.get(self.message..).unwrap_or_default().trim_end()
    }

    /// The first line of the message, as much of it as a template may have.
    pub(super) fn first_line(&self) -> &str {
        let line = self.message().lines().next().unwrap_or_default();
        &line[..line.floor_char_boundary(TEMPLATE_BYTES_MAX)]
    }

    fn part(&self, range: &Option<Range<usize>>) -> Option<&str> {
        range.clone().and_then(|range| self.text.get(range))
    }

    fn begin(&mut self, line: &str, number: u64, head: &Head, written: Option<&str>, time: Option<i64>) {
        let place = |part: &str| (part.as_ptr() as usize).checked_sub(line.as_ptr() as usize).unwrap_or(line.len());
        let range = |part: Option<&str>| part.map(|part| place(part)..place(part) + part.len());
        self.text.clear();
        self.text.push_str(line);
        (self.number, self.time, self.level) = (number, time, head.level);
        (self.written_level, self.host, self.program) = (range(written), range(head.host), range(head.program));
        (self.pid, self.message) = (range(head.pid), place(head.message));
    }
}

/// The events of a file, one after the other.
pub(super) struct Events<'a> {
    input: BufReader<Box<dyn Read + Send>>,
    path: PathBuf,
    form: &'a Form,
    clock: Clock,
    bytes_max: usize,
    /// Where times stand at the beginning of an event; none where lines without a time are events too.
    places: Option<[bool; PLACES]>,
    raw: Vec<u8>,
    number: u64,
    current: Event,
    next: Option<Event>,
}

impl<'a> Events<'a> {
    /// Opens a file and looks at its first lines.
    pub(super) fn open(file: &Input, form: &'a Form, encoding: Encoding, bytes_max: usize) -> Result<Self> {
        let mut input = open_lossy(file, encoding)?;
        let mut sample = vec![0; SAMPLE_BYTES];
        let filled = read_fully(&mut input, file, &mut sample)?;
        sample.truncate(filled);
        let places = places(&sample, form);
        let input: Box<dyn Read + Send> = Box::new(Cursor::new(sample).chain(input));
        Ok(Self {
            input: BufReader::with_capacity(1 << 17, input),
            path: file.to_path_buf(),
            form,
            clock: form.clock(file),
            bytes_max,
            places,
            raw: Vec::new(),
            number: 0,
            current: Event::default(),
            next: None,
        })
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Option<&Event>> {
        let mut has_begun = match self.next.take() {
            Some(event) => {
                self.current = event;
                true
            }
            None => false,
        };
        while self.read_line()? {
            let lossy = String::from_utf8_lossy(&self.raw); // a byte that went wrong is no reason to stop
            let line = trimmed(&lossy, self.number == 1);
            if line.is_empty() {
                continue;
            }
            let is_indented = line.starts_with([' ', '\t']);
            let (head, written) = self.form.head(line);
            let has_time = head.as_ref().is_some_and(|head| self.has_time(head));
            let begins = match (&head, self.places) {
                _ if !self.form.joins => true,
                (None, _) => false,
                (Some(_), _) if has_time || self.form.is_given() => true,
                (Some(_), Some(_)) => false,
                (Some(_), None) => !is_indented && !CONTINUING.iter().any(|begin| line.starts_with(begin)),
            };
            if has_begun && !begins && self.current.text.len() + line.len() < self.bytes_max {
                self.current.text.push('\n');
                self.current.text.push_str(line);
                continue;
            }
            let head = head.unwrap_or_else(|| Head { message: line, ..Head::default() });
            let stamp: Option<Stamp> = head.stamp.filter(|_| has_time || self.form.is_given() || self.places.is_none());
            let time = stamp.and_then(|stamp| self.clock.micros(&stamp));
            if !has_begun {
                self.current.begin(line, self.number, &head, written, time);
                has_begun = true;
                continue;
            }
            let mut next = Event::default();
            next.begin(line, self.number, &head, written, time);
            self.next = Some(next);
            return Ok(Some(&self.current));
        }
        Ok(has_begun.then_some(&self.current))
    }

    fn has_time(&self, head: &Head) -> bool {
        head.stamp.is_some() && self.places.is_some_and(|places| places.get(head.place).copied().unwrap_or(false))
    }

    /// Reads a line, as much of it as an event may have; whether there was one.
    fn read_line(&mut self) -> Result<bool> {
        self.raw.clear();
        let mut is_any = false;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&self.path, error)),
            };
            if chunk.is_empty() {
                break;
            }
            is_any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = self.bytes_max.saturating_sub(self.raw.len());
            self.raw.extend_from_slice(&part[..part.len().min(room)]);
            let taken = part.len() + usize::from(end.is_some());
            self.input.consume(taken);
            if end.is_some() {
                break;
            }
        }
        self.number += u64::from(is_any);
        Ok(is_any)
    }
}

/// A line without what surrounds it: a mark at the beginning of a file, zeros of a machine that fell, the line break.
fn trimmed(line: &str, is_first: bool) -> &str {
    let line = if is_first { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
    line.trim_start_matches('\0').trim_end_matches(|c: char| c == '\0' || c.is_whitespace())
}

/// Where the times stand in a file most of whose lines have one, as far as its first bytes show.
fn places(sample: &[u8], form: &Form) -> Option<[bool; PLACES]> {
    let text = String::from_utf8_lossy(sample);
    let (mut lines, mut counts) = (0, [0; PLACES]);
    for line in text.lines().map(|line| trimmed(line, false)).filter(|line| !line.is_empty()) {
        let stamped = form.head(line).0.filter(|head| head.stamp.is_some());
        lines += usize::from(stamped.is_some() || !line.starts_with([' ', '\t']));
        if let Some(count) = stamped.and_then(|head| counts.get_mut(head.place)) {
            *count += 1;
        }
    }
    let timed: usize = counts.iter().sum();
    let is_timed = timed > 0 && timed * TIMED_SHARE >= lines;
    is_timed.then(|| counts.map(|count| count > 0 && count * PLACE_SHARE >= timed))
}
