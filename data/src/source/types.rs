//! What type do texts have? Finds the narrowest one that all values of a column fit, and reads values of it.

use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{Datelike, NaiveDate, Utc};

use crate::spec::ColumnType;

/// Days from the first day of our era to 1970-01-01.
pub(crate) const DAYS_TO_1970: i32 = 719_163;

/// The types that all values seen so far fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inference {
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
    pub(crate) fn see(&mut self, text: &str) {
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
    pub(crate) fn column_type(&self) -> ColumnType {
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
    pub(crate) fn arrow(self) -> DataType {
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
    pub(crate) fn plural(self) -> &'static str {
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

#[inline]
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.len() {
        4 if text.eq_ignore_ascii_case("true") => Some(true),
        5 if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[inline]
pub(crate) fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

#[inline]
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Days since 1970-01-01 of `2026-01-31`.
pub(crate) fn date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(
        text.get(..4)?.parse().ok()?,
        text.get(5..7)?.parse().ok()?,
        text.get(8..)?.parse().ok()?,
    )?;
    Some(date.num_days_from_ce() - DAYS_TO_1970)
}

/// Microseconds since 1970 UTC of `2026-01-31 12:00:00.5+01:00`; seconds, fraction and offset may be left out.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    match bytes.get(10..) {
        None | Some([]) => date(text).map(|days| i64::from(days) * 86_400_000_000),
        Some([b' ' | b'T', _, _, b':', _, _]) => {
            let full = format!("{text}:00");
            string_to_datetime(&Utc, &full).ok().map(|time| time.timestamp_micros())
        }
        Some([b' ' | b'T', _, _, b':', ..]) => string_to_datetime(&Utc, text).ok().map(|time| time.timestamp_micros()),
        Some(_) => None,
    }
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
    }
}
