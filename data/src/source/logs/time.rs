//! When did it happen? Reads the points in time that logs begin their lines with, in the usual forms or in a given one.

use chrono::format::{Item, Parsed, StrftimeItems, parse_and_remainder};
use chrono::{Datelike, NaiveDate};
use delimited::types::DAYS_TO_1970;

use crate::error::{Error, Result};

const MICROS: i64 = 1_000_000;
/// Seconds since 1970 that are taken for a point in time: from 2001-09-09 to the end of 2099.
const EPOCH_S: std::ops::Range<i64> = 1_000_000_000..4_102_444_800;
const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const WEEKDAYS: [&[u8; 3]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];

/// A point in time as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Microseconds since 1970.
    Epoch(i64),
    Wall(Wall),
}

/// What a calendar and a clock on the wall show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wall {
    pub(super) year: Option<i32>,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) micros_of_day: i64,
    /// Seconds that the clock is ahead of UTC.
    pub(super) offset_s: Option<i64>,
    /// As syslog writes it: `Jan 31 12:00:00`.
    pub(super) is_bsd: bool,
    /// As ISO 8601 writes it, with a `T`.
    pub(super) is_iso: bool,
}

/// What a file leaves unsaid: the year, and where the clock hangs.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Of the next time that has none.
    year: Option<i32>,
    /// The newest that a file can know of: (year, month, day).
    newest: (i32, u32, u32),
    month: u32,
    offset_s: i64,
}

impl Clock {
    /// `year` of the first time that has none, where it is known; otherwise the last one before the file was written.
    pub(super) fn new(year: Option<i32>, written: NaiveDate, offset_s: i64) -> Self {
        let day = written.succ_opt().unwrap_or(written); // a clock may be ahead, or hang elsewhere
        Self { year, newest: (day.year(), day.month(), day.day()), month: 0, offset_s }
    }

    /// Microseconds since 1970 UTC; none for a day that no calendar has. To be asked in the order of the lines: after
    /// December comes the next year.
    pub(super) fn micros(&mut self, stamp: &Stamp) -> Option<i64> {
        let wall = match stamp {
            Stamp::Epoch(micros) => return Some(*micros),
            Stamp::Wall(wall) => wall,
        };
        let year = wall.year.unwrap_or_else(|| self.unsaid_year(wall));
        let days = NaiveDate::from_ymd_opt(year, wall.month, wall.day)?.num_days_from_ce() - DAYS_TO_1970;
        let offset_s = wall.offset_s.unwrap_or(self.offset_s);
        Some((i64::from(days) * 86_400 - offset_s) * MICROS + wall.micros_of_day)
    }

    fn unsaid_year(&mut self, wall: &Wall) -> i32 {
        let (newest, month, day) = self.newest;
        let mut year = self.year.unwrap_or(if (wall.month, wall.day) <= (month, day) { newest } else { newest - 1 });
        match (self.month, wall.month) {
            (11..=12, 1..=2) => year += 1,
            (1..=2, 11..=12) => year -= 1, // a line that comes late
            _ => {}
        }
        (self.year, self.month) = (Some(year), wall.month);
        year
    }
}

/// Reads a point in time at the beginning of a text, in any of the usual forms; and how many bytes it takes.
pub(super) fn stamp(text: &[u8]) -> Option<(Stamp, usize)> {
    let first = *text.first()?;
    let mut reading = Reading { text, at: 0 };
    let wall = match first {
        b'0'..=b'9' => {
            let digits = text.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
            match digits {
                10 | 13 | 16 | 19 => return epoch(text, digits),
                1 | 2 | 4 | 6 | 8 => reading.by_figures(digits)?,
                _ => return None,
            }
        }
        b'A'..=b'Z' => reading.by_names()?,
        _ => return None,
    };
    Some((Stamp::Wall(wall), reading.at))
}

fn epoch(text: &[u8], digits: usize) -> Option<(Stamp, usize)> {
    let mut reading = Reading { text, at: 0 };
    let number = reading.number(digits)?;
    let micros = match digits {
        10 => number.checked_mul(MICROS)? + reading.fraction(b".")?,
        13 => number.checked_mul(1_000)?,
        16 => number,
        _ => number / 1_000,
    };
    let is_whole =
        !reading.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (is_whole && EPOCH_S.contains(&(micros / MICROS))).then_some((Stamp::Epoch(micros), reading.at))
}

/// A text that is read from its beginning.
struct Reading<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reading<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn takes(&mut self, wanted: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|byte| wanted.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    /// A number of exactly so many figures.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let text = self.text.get(self.at..self.at + digits)?;
        let number = text.iter().try_fold(0_i64, |number, byte| {
            let figure = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(figure)
        })?;
        self.at += digits;
        Some(number)
    }

    /// A number of one or two figures, within a range.
    fn short(&mut self, range: std::ops::RangeInclusive<i64>) -> Option<u32> {
        let is_long = self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit);
        let number = self.number(1 + usize::from(is_long))?;
        range.contains(&number).then_some(number as u32)
    }

    /// A name of three letters, as its place in a list.
    fn name(&mut self, names: &[&[u8; 3]]) -> Option<u32> {
        let found = self.text.get(self.at..self.at + 3)?;
        let at = names.iter().position(|name| name.eq_ignore_ascii_case(found))?;
        self.at += 3;
        Some(at as u32)
    }

    /// Microseconds of a fraction behind one of these characters; 0 where there is none.
    fn fraction(&mut self, marks: &[u8]) -> Option<i64> {
        let is_there = self.peek().is_some_and(|byte| marks.contains(&byte))
            && self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit);
        if !is_there {
            return Some(0);
        }
        self.at += 1;
        let (mut micros, mut scale) = (0, MICROS / 10);
        while let Some(byte) = self.peek().filter(u8::is_ascii_digit) {
            micros += i64::from(byte - b'0') * scale;
            scale /= 10;
            self.at += 1;
        }
        Some(micros)
    }

    /// A date that begins with so many figures, and a time of day.
    fn by_figures(&mut self, digits: usize) -> Option<Wall> {
        let mut wall = Wall::default();
        match digits {
            8 => {
                wall.year = Some(self.number(4).filter(|year| (1970..2100).contains(year))? as i32);
                (wall.month, wall.day) = (self.number(2)? as u32, self.number(2)? as u32);
            }
            6 => {
                wall.year = Some(2_000 + self.number(2)? as i32);
                (wall.month, wall.day) = (self.number(2)? as u32, self.number(2)? as u32);
            }
            4 => {
                wall.year = Some(self.number(4).filter(|year| (1970..2100).contains(year))? as i32);
                let mark = self.takes(b"-/.")?;
                wall.month = self.short(1..=12)?;
                self.takes(&[mark])?;
                wall.day = self.short(1..=31)?;
            }
            _ => self.day_first(&mut wall)?,
        }
        let between = self.takes(b"T -_:,")?;
        wall.is_iso = digits == 4 && between == b'T';
        if matches!(between, b' ' | b',') {
            self.blanks();
        }
        self.time_of_day(&mut wall)?;
        self.offset(&mut wall);
        (matches!(wall.month, 1..=12) && matches!(wall.day, 1..=31)).then_some(wall)
    }

    /// `31/Jan/2026`, `31 Jan 2026`, `26/01/31` or `01-31`.
    fn day_first(&mut self, wall: &mut Wall) -> Option<()> {
        let first = self.short(0..=99)?;
        let mark = self.takes(b"/- .")?;
        if let Some(month) = self.name(&MONTHS) {
            (wall.day, wall.month) = (first, month + 1);
            self.takes(&[mark])?;
            wall.year = Some(self.number(4)? as i32);
            return Some(());
        }
        let second = self.short(1..=31).filter(|_| mark != b' ')?;
        match self.takes(&[mark]) {
            Some(_) => {
                wall.day = self.short(1..=31)?;
                wall.year = Some(2_000 + first as i32);
                wall.month = second;
            }
            None => (wall.month, wall.day) = (first, second),
        }
        Some(())
    }

    /// `Jan 31 12:00:00`, `Sat Jan 31 12:00:00 2026`, `Jan 31, 2026 12:00:00 PM`.
    fn by_names(&mut self) -> Option<Wall> {
        let mut wall = Wall::default();
        let has_weekday = self.name(&WEEKDAYS).is_some();
        if has_weekday {
            self.takes(b",");
            self.takes(b" ")?;
            if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                let digits = self.text[self.at..].iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
                return self.by_figures(digits);
            }
        }
        wall.month = self.name(&MONTHS)? + 1;
        self.takes(b" ")?;
        self.blanks();
        wall.day = self.short(1..=31)?;
        self.takes(b",");
        self.takes(b" ")?;
        let is_year = self
            .text
            .get(self.at..self.at + 5)
            .is_some_and(|next| next[..4].iter().all(u8::is_ascii_digit) && next[4] == b' ');
        if is_year {
            wall.year = Some(self.number(4)? as i32);
            self.at += 1;
        }
        self.time_of_day(&mut wall)?;
        if wall.year.is_none() {
            wall.year = self.year_behind();
        }
        self.offset(&mut wall);
        wall.is_bsd = !has_weekday && !is_year;
        Some(wall)
    }

    /// ` 2026` behind a time of day.
    fn year_behind(&mut self) -> Option<i32> {
        let from = self.at;
        let year = self.takes(b" ").and_then(|_| self.number(4)).filter(|year| (1970..2100).contains(year));
        let year = year.filter(|_| !self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b':'));
        if year.is_none() {
            self.at = from;
        }
        year.map(|year| year as i32)
    }

    /// `12:00:00.123`, `12.00.00.123`, `120000`, `1:00:00 PM`.
    fn time_of_day(&mut self, wall: &mut Wall) -> Option<()> {
        let from = self.at;
        let hour = self.short(0..=23)?;
        let Some(mark) = self.takes(b":.") else {
            self.at = from;
            let compact = self.number(6)?;
            let (hour, minute, second) = (compact / 10_000, compact / 100 % 100, compact % 100);
            let fraction = self.fraction(b".,")?;
            wall.micros_of_day = (hour * 3_600 + minute * 60 + second) * MICROS + fraction;
            return (hour < 24 && minute < 60 && second <= 60 && !self.is_figure()).then_some(());
        };
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        let mut second = 0;
        if self.takes(&[mark]).is_some() {
            second = self.short(0..=60)?;
        } else if mark == b'.' {
            return None;
        }
        let fraction = self.fraction(b".,:")?;
        let mut hour = i64::from(hour);
        let half = self.text.get(self.at..self.at + 3).filter(|half| half[0] == b' ' && half[2] == b'M');
        if let Some(half) = half.filter(|half| matches!(half[1], b'A' | b'P') && (1..=12).contains(&hour)) {
            hour = hour % 12 + if half[1] == b'P' { 12 } else { 0 };
            self.at += 3;
        }
        wall.micros_of_day = (hour * 3_600 + minute * 60 + i64::from(second)) * MICROS + fraction;
        (!self.is_figure()).then_some(())
    }

    fn is_figure(&self) -> bool {
        self.peek().is_some_and(|byte| byte.is_ascii_digit())
    }

    /// `Z`, `+08:00`, `+0800`, ` +0800`, ` UTC`, where it is there.
    fn offset(&mut self, wall: &mut Wall) {
        let from = self.at;
        if self.takes(b"Z").is_some() {
            wall.offset_s = Some(0);
            return;
        }
        let has_blank = self.takes(b" ").is_some();
        let rest = &self.text[self.at..];
        let is_ended = |at: usize| !rest.get(at).is_some_and(u8::is_ascii_alphanumeric);
        if [&b"UTC"[..], b"GMT"].iter().any(|name| rest.starts_with(name)) && is_ended(3) {
            (wall.offset_s, self.at) = (Some(0), self.at + 3);
            return;
        }
        let sign = match self.takes(b"+-") {
            Some(b'-') => -1,
            Some(_) => 1,
            None => {
                self.at = from;
                return;
            }
        };
        let offset = self.number(2).filter(|hours| *hours <= 15).and_then(|hours| {
            let has_colon = self.takes(b":").is_some();
            let minutes = self.number(2).filter(|minutes| *minutes < 60);
            match minutes {
                None if has_colon || has_blank => None,
                minutes => Some(sign * (hours * 3_600 + minutes.unwrap_or(0) * 60)),
            }
        });
        match offset.filter(|_| !self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric())) {
            Some(offset) => wall.offset_s = Some(offset),
            None => self.at = from,
        }
    }

    fn blanks(&mut self) {
        while self.takes(b" ").is_some() {}
    }
}

/// A form of points in time that was given, as `strftime` writes it.
#[derive(Debug, Clone)]
pub(super) struct TimeFormat(Vec<Item<'static>>);

impl TimeFormat {
    /// # Errors
    /// A form that cannot be read.
    pub(super) fn new(format: &str) -> Result<Self> {
        match StrftimeItems::new(format).parse_to_owned() {
            Ok(items) => Ok(Self(items)),
            Err(_) => Err(Error::invalid(format!(
                "time_format: \"{format}\" is no form of a time; write one such as \"%d.%m.%Y %H:%M:%S%.f\""
            ))),
        }
    }

    /// As [`stamp`].
    pub(super) fn stamp(&self, text: &str) -> Option<(Stamp, usize)> {
        let mut parsed = Parsed::new();
        let rest = parse_and_remainder(&mut parsed, text, self.0.iter()).ok()?;
        let length = text.len() - rest.len();
        if let Some(seconds) = parsed.timestamp() {
            let micros = seconds.checked_mul(MICROS)? + i64::from(parsed.nanosecond().unwrap_or(0) / 1_000);
            return Some((Stamp::Epoch(micros), length));
        }
        let time = parsed.to_naive_time().ok()?;
        let date = match parsed.to_naive_date() {
            Ok(date) => (Some(date.year()), date.month(), date.day()),
            Err(_) if parsed.year().is_none() => (None, parsed.month()?, parsed.day()?),
            Err(_) => return None,
        };
        let micros = time.signed_duration_since(chrono::NaiveTime::MIN).num_microseconds()?;
        let wall = Wall {
            year: date.0,
            month: date.1,
            day: date.2,
            micros_of_day: micros,
            offset_s: parsed.offset().map(i64::from),
            ..Wall::default()
        };
        Some((Stamp::Wall(wall), length))
    }
}

/// Seconds ahead of UTC of an offset such as `+08:00`.
pub(crate) fn offset_s(text: &str) -> Result<i64> {
    let mut wall = Wall::default();
    let mut reading = Reading { text: text.as_bytes(), at: 0 };
    reading.offset(&mut wall);
    match wall.offset_s.filter(|_| reading.at == text.len()) {
        Some(offset) => Ok(offset),
        None => Err(Error::invalid(format!("utc_offset: \"{text}\" is no offset; write one such as \"+08:00\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let mut clock = Clock::new(None, NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(), 0);
        let (stamp, length) = stamp(text.as_bytes())?;
        let time = chrono::DateTime::from_timestamp_micros(clock.micros(&stamp)?).unwrap();
        Some(format!("{}|{}", time.format("%F %T%.6f"), &text[length..]))
    }

    #[test]
    fn the_usual_forms_are_read() {
        for (text, expected) in [
            ("2026-01-31T12:00:01Z x", "2026-01-31 12:00:01.000000| x"),
            ("2026-01-31T12:00:01.25+08:00 x", "2026-01-31 04:00:01.250000| x"),
            ("2026-01-31 12:00:01,250 x", "2026-01-31 12:00:01.250000| x"),
            ("2026-01-31 12:00:01 +0100 x", "2026-01-31 11:00:01.000000| x"),
            ("2026-01-31 12:00 x", "2026-01-31 12:00:00.000000| x"),
            ("2026/01/31 12:00:01 [error]", "2026-01-31 12:00:01.000000| [error]"),
            ("2005-06-03-15.42.50.675872 R02", "2005-06-03 15:42:50.675872| R02"),
            ("20171223-22:15:29:606|Step", "2017-12-23 22:15:29.606000||Step"),
            ("20260131T120001Z x", "2026-01-31 12:00:01.000000| x"),
            ("081109 203615 148 INFO", "2008-11-09 20:36:15.000000| 148 INFO"),
            ("17/06/09 20:10:40 INFO", "2017-06-09 20:10:40.000000| INFO"),
            ("01-17 16:13:38.811  1702", "2026-01-17 16:13:38.811000|  1702"),
            ("Jan 31 12:00:01 node1", "2026-01-31 12:00:01.000000| node1"),
            ("Dec  1 02:00:01 node1", "2025-12-01 02:00:01.000000| node1"),
            ("Sun Dec 04 04:47:44 2005] x", "2005-12-04 04:47:44.000000|] x"),
            ("Wed Oct 11 14:32:52.123456 2000] x", "2000-10-11 14:32:52.123456|] x"),
            ("Jan 31, 2026 1:00:01 PM org.x", "2026-01-31 13:00:01.000000| org.x"),
            ("10/Oct/2000:13:55:36 -0700] x", "2000-10-10 20:55:36.000000|] x"),
            ("31-Jan-2026 12:00:01.250 INFO", "2026-01-31 12:00:01.250000| INFO"),
            ("31 Jan 2026 12:00:01.250 # x", "2026-01-31 12:00:01.250000| # x"),
            ("Sat, 31 Jan 2026 12:00:01 GMT x", "2026-01-31 12:00:01.000000| x"),
            ("1117838570 x", "2005-06-03 22:42:50.000000| x"),
            ("1117838570.5 x", "2005-06-03 22:42:50.500000| x"),
            ("1117838570123 x", "2005-06-03 22:42:50.123000| x"),
            ("1117838570123456789 x", "2005-06-03 22:42:50.123456| x"),
            ("2026-01-31 12:00:60 x", "2026-01-31 12:01:00.000000| x"),
            ("2026-01-31 12:00:01 -5 x", "2026-01-31 12:00:01.000000| -5 x"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "2026-01-31",
            "2026-02-30 12:00:00",
            "2026-13-01 12:00:00",
            "12:00:00 x",
            "31 12:00:00",
            "9999999999 x",
            "0000000000 x",
            "Jan",
            "Monday",
            "May we go",
            "1.2.3.4 x",
            "2026-01-31 25:00:00",
            "99 bottles",
            "1117838570a",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn after_december_comes_the_next_year_and_a_clock_may_jump_back() {
        let mut clock = Clock::new(None, NaiveDate::from_ymd_opt(2026, 1, 5).unwrap(), 8 * 3_600);
        let mut year = |text: &str| {
            let (stamp, _) = stamp(text.as_bytes()).unwrap();
            chrono::DateTime::from_timestamp_micros(clock.micros(&stamp).unwrap()).unwrap().format("%F %H").to_string()
        };
        assert_eq!(year("Dec 30 12:00:00"), "2025-12-30 04");
        assert_eq!(year("Jan  2 12:00:00"), "2026-01-02 04");
        assert_eq!(year("Dec 31 12:00:00"), "2025-12-31 04");
        assert_eq!(year("Jan  1 12:00:00"), "2026-01-01 04");
        assert_eq!(year("Jan  1 04:00:00"), "2025-12-31 20");
        let mut given = Clock::new(Some(2020), NaiveDate::from_ymd_opt(2026, 1, 5).unwrap(), 0);
        let (leap, _) = stamp(b"Feb 29 00:00:00").unwrap();
        assert_eq!(given.micros(&leap), Some(1_582_934_400_000_000));
    }

    #[test]
    fn a_given_form_is_read() {
        let format = TimeFormat::new("%d.%m.%Y %H:%M:%S%.f").unwrap();
        let (found, length) = format.stamp("31.01.2026 12:00:01.25 x").unwrap();
        let mut clock = Clock::new(None, NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(), 0);
        assert_eq!((clock.micros(&found), length), (Some(1_769_860_801_250_000), 22));
        assert!(format.stamp("2026-01-31").is_none());
        let (found, _) = TimeFormat::new("%d %b %H:%M").unwrap().stamp("31 Jan 12:00 x").unwrap();
        assert_eq!(clock.micros(&found), Some(1_769_860_800_000_000));
        assert_eq!(offset_s("-03:30").unwrap(), -12_600);
        assert!(offset_s("CET").is_err() && offset_s("").is_err() && TimeFormat::new("%Q").is_err());
    }
}
