//! What type do texts have? Finds the narrowest one that all values of a column fit, and reads values of it.

use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{Datelike, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Days from the first day of our era to 1970-01-01.
pub const DAYS_TO_1970: i32 = 719_163;

/// Digits of whole numbers that an `i64` holds, whatever they are.
const INTEGER_DIGITS: usize = 18;
/// Digits of whole numbers that an `f64` holds exactly, whatever they are.
const EXACT_DIGITS: usize = 15;
/// Powers of ten that an `f64` holds exactly, as many as it may be divided by here.
const TENS: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const MICROSECONDS_OF_DAY: i64 = 86_400_000_000;

/// The type of a column of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 64 bits.
    Integer,
    /// A real number.
    Number,
    /// A day, `2026-01-31`.
    Date,
    /// A point in time, `2026-01-31 12:00:00`, with or without an offset; microseconds since 1970 UTC.
    Timestamp,
    /// Text as it is.
    Text,
}

/// The types that all values seen so far fit.
#[derive(Debug, Clone, Copy)]
pub struct Inference {
    boolean: bool,
    integer: bool,
    number: bool,
    date: bool,
    timestamp: bool,
    seen: bool,
}

impl Default for Inference {
    fn default() -> Self {
        Self { boolean: true, integer: true, number: true, date: true, timestamp: true, seen: false }
    }
}

impl Inference {
    /// Takes a value into account that is not missing.
    #[inline]
    pub fn see(&mut self, text: &str) {
        self.seen = true;
        // Whole numbers first: most values are, and they rule out the rest at once.
        self.integer = self.integer && looks_integer(text);
        if self.integer {
            (self.boolean, self.date, self.timestamp) = (false, false, false);
            return;
        }
        self.number = self.number && looks_number(text);
        self.boolean = self.boolean && boolean(text).is_some();
        self.date = self.date && date(text).is_some();
        self.timestamp = self.timestamp && timestamp(text).is_some();
    }

    /// The narrowest type; text where there were no values.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self { seen: false, .. } => ColumnType::Text,
            Self { integer: true, .. } => ColumnType::Integer,
            Self { number: true, .. } => ColumnType::Number,
            Self { boolean: true, .. } => ColumnType::Boolean,
            Self { date: true, .. } => ColumnType::Date,
            Self { timestamp: true, .. } => ColumnType::Timestamp,
            _ => ColumnType::Text,
        }
    }
}

impl ColumnType {
    /// Its values as Arrow has them.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Text => DataType::Utf8,
        }
    }

    /// For messages: "holds whole numbers".
    pub fn plural(self) -> &'static str {
        match self {
            Self::Boolean => "true and false",
            Self::Integer => "whole numbers",
            Self::Number => "numbers",
            Self::Date => "dates",
            Self::Timestamp => "time stamps",
            Self::Text => "text",
        }
    }
}

/// A whole number that loses nothing by being one: no plus sign, no leading zeros (telephone numbers, post codes).
fn looks_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let plain = match digits {
        [] => false,
        [b'0', _, ..] => false,
        _ => digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit),
    };
    plain && (digits.len() < 19 || text.parse::<i64>().is_ok())
}

/// A number that loses nothing by being one.
fn looks_number(text: &str) -> bool {
    if looks_integer(text) {
        return true;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
    match unsigned {
        [b'0', b'0'..=b'9', ..] => false,
        _ if unsigned.iter().all(u8::is_ascii_digit) => false, // too long for an integer: an identifier
        _ => number(text).is_some(),
    }
}

/// `true` or `false`, in any case.
#[inline]
pub fn boolean(text: &str) -> Option<bool> {
    match text.len() {
        4 if text.eq_ignore_ascii_case("true") => Some(true),
        5 if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A whole number of 64 bits.
#[inline]
pub fn integer(text: &str) -> Option<i64> {
    let (is_negative, digits) = sign(text.as_bytes());
    match whole(digits) {
        Some(value) if digits.len() <= INTEGER_DIGITS => Some(if is_negative { -value } else { value }),
        _ => text.parse().ok(),
    }
}

/// A real number, the nearest one to what is written.
#[inline]
pub fn number(text: &str) -> Option<f64> {
    let (is_negative, unsigned) = sign(text.as_bytes());
    // Both are exact, so that the quotient is rounded once: Clinger, How to read floating point numbers accurately (1990).
    match short_decimal(unsigned) {
        Some((digits, decimals)) => {
            let value = digits as f64 / TENS[decimals];
            Some(if is_negative { -value } else { value })
        }
        None => text.parse().ok(),
    }
}

/// The digits of a decimal as a whole number, and how many of them stand behind the point; nothing where it is written in
/// another way, or has too many of them to be exact.
#[inline]
fn short_decimal(unsigned: &[u8]) -> Option<(u64, usize)> {
    if unsigned.len() > EXACT_DIGITS + 1 {
        return None;
    }
    let (mut digits, mut count, mut point) = (0, 0, None);
    for (at, &byte) in unsigned.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let decimals = point.map_or(0, |at| unsigned.len() - at - 1);
    (1..=EXACT_DIGITS).contains(&count).then_some((digits, decimals))
}

/// Whether there is a minus, and what stands behind it.
#[inline]
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        _ => (false, text),
    }
}

/// The value of digits; those of more than 18 may be anything.
#[inline]
fn whole(digits: &[u8]) -> Option<i64> {
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    (!digits.is_empty()).then_some(value)
}

/// Days since 1970-01-01 of `2026-01-31`.
#[inline]
pub fn date(text: &str) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else { return None };
    let year = whole(&[y1, y2, y3, y4])? as i32;
    let date = NaiveDate::from_ymd_opt(year, whole(&[m1, m2])? as u32, whole(&[d1, d2])? as u32)?;
    Some(date.num_days_from_ce() - DAYS_TO_1970)
}

/// Microseconds since 1970 UTC of `2026-01-31 12:00:00.5+01:00`; seconds, fraction and offset may be left out.
pub fn timestamp(text: &str) -> Option<i64> {
    let (day, rest) = text.split_at_checked(10)?;
    match *rest.as_bytes() {
        [] => date(day).map(|days| i64::from(days) * MICROSECONDS_OF_DAY),
        [b' ' | b'T', h1, h2, b':', m1, m2] => moment(day, [[h1, h2], [m1, m2], [b'0'; 2]]),
        [b' ' | b'T', h1, h2, b':', m1, m2, b':', s1, s2] => moment(day, [[h1, h2], [m1, m2], [s1, s2]]),
        [b' ' | b'T', _, _, b':', ..] if day.as_bytes()[4] == b'-' && day.as_bytes()[7] == b'-' => {
            string_to_datetime(&Utc, text).ok().map(|time| time.timestamp_micros())
        }
        _ => None,
    }
}

/// Hour, minute and second of a day.
#[inline]
fn moment(day: &str, time: [[u8; 2]; 3]) -> Option<i64> {
    let [hour, minute, second] = time.map(|digits| whole(&digits));
    let within = |value: Option<i64>, end: i64| value.filter(|value| *value < end);
    let seconds = (within(hour, 24)? * 60 + within(minute, 60)?) * 60 + within(second, 61)?; // 60: a leap second
    Some(i64::from(date(day)?) * MICROSECONDS_OF_DAY + seconds * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_type_that_fits_all_is_taken() {
        let check = |values: &[&str], expected: ColumnType| {
            let mut inference = Inference::default();
            values.iter().for_each(|value| inference.see(value));
            assert_eq!(inference.column_type(), expected, "{values:?}");
        };
        check(&[], ColumnType::Text);
        check(&["1", "-5", "0"], ColumnType::Integer);
        check(&["9223372036854775807"], ColumnType::Integer);
        check(&["9223372036854775808"], ColumnType::Text);
        check(&["1", "2.5"], ColumnType::Number);
        check(&["2.5", "1"], ColumnType::Number);
        check(&["1e-3", "inf", "-Infinity"], ColumnType::Number);
        check(&["0.5", ".5", "+1.5"], ColumnType::Number);
        check(&["007", "123"], ColumnType::Text);
        check(&["+491234"], ColumnType::Text);
        check(&["true", "FALSE"], ColumnType::Boolean);
        check(&["true", "1"], ColumnType::Text);
        check(&["1", "true"], ColumnType::Text);
        check(&["2026-01-31", "1969-12-31"], ColumnType::Date);
        check(&["2026-02-31"], ColumnType::Text);
        check(&["2026-01-31", "2026-01-31 10:00:00"], ColumnType::Timestamp);
        check(&["2026-01-31T10:00", "2023-11-16 18:17:03.9799600"], ColumnType::Timestamp);
        check(&["1.5", "2026-01-31"], ColumnType::Text);
        check(&["a", "1"], ColumnType::Text);
    }

    #[test]
    fn values_are_read() {
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("2000-03-01"), Some(11_017));
        assert_eq!(date("中文中-1"), None);
        assert_eq!(timestamp("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(timestamp("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(timestamp("1970-01-01 00:01"), Some(60_000_000));
        assert_eq!(timestamp("1600-01-01 00:00:00"), Some(-11_676_096_000_000_000));
        assert_eq!(timestamp("2026-01-31 at noon"), None);
        assert_eq!(timestamp("2026-02-31 10:00:00"), None);
        assert_eq!(timestamp("2026-01-31 24:00:00"), None);
        assert_eq!(timestamp("2026-01-31 中:00"), None);
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!((integer("+7"), integer("007"), integer("-"), integer("")), (Some(7), Some(7), None, None));
        assert_eq!(
            (number("."), number("-."), number(""), number("1.2.3"), number("1,5")),
            (None, None, None, None, None)
        );
    }

    #[test]
    fn short_ways_give_what_the_long_ones_give() {
        let mut state = 1_u64;
        let mut draw = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        for _ in 0..50_000 {
            let length = draw(19);
            let text: String = (0..length).map(|_| char::from(b"00123456789.-"[draw(13) as usize])).collect();
            assert_eq!(number(&text).map(f64::to_bits), text.parse().ok().map(f64::to_bits), "{text:?}");
            assert_eq!(integer(&text), text.parse().ok(), "{text:?}");
            let parts = [draw(2_400), draw(14), draw(33), draw(26), draw(62), draw(62)];
            let [year, month, day, hour, minute, second] = parts;
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
            let expected = string_to_datetime(&Utc, &text).ok().map(|time| time.timestamp_micros());
            assert_eq!(timestamp(&text), expected, "{text}");
        }
    }
}
