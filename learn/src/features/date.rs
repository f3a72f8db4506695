//! How does a date become numbers? Parts of the calendar in UTC, as they are or as a place on a circle.

use std::f64::consts::TAU;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};
use serde_json::Value;

use super::column::{ColumnKind, DateInput};
use super::fit::{Fitted, Training};
use super::holidays::Holidays;
use super::number::{self, Fill};
use super::numeric::{Affine, NumberInput, NumericPart};
use super::prepared::Prepared;
use super::values::{counted, each_date};
use crate::spec::{DatePart, DateSpec, Scale};
use crate::{Error, Result};

/// What a date in text has to look like.
pub(super) const EXPECTED: &str = "a date like 2024-01-31 or 2024-01-31T12:00:00Z";

/// Seconds since 1970 (UTC) of text in ISO 8601: `2024-01-31`, `2024/1/31 8:30`, `2024-01-31T08:30:00.5+08:00`. Without
/// an offset it is UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (year, rest) = digits(text, 4, 4)?;
    let separator = rest.chars().next().filter(|c| matches!(c, '-' | '/'))?;
    let (month, rest) = digits(rest.strip_prefix(separator)?, 1, 2)?;
    let (day, rest) = digits(rest.strip_prefix(separator)?, 1, 2)?;
    let midnight = NaiveDate::from_ymd_opt(year as i32, month, day)?.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    if rest.is_empty() {
        return Some(midnight);
    }
    let (hour, rest) = digits(rest.strip_prefix(['T', 't', ' '])?, 1, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let mut second = 0;
    if let Some(more) = rest.strip_prefix(':') {
        (second, rest) = digits(more, 2, 2)?;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if rest.len() == fraction.len() {
                return None;
            }
        }
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(midnight + i64::from(hour * 3600 + minute * 60 + second) - offset(rest.trim_start())?)
}

/// Seconds east of UTC of `Z`, `+08:00`, `+0800`, `-05` or nothing.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first() {
        None => return Some(0),
        Some(b'Z' | b'z') if text.len() == 1 => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return None,
    };
    let (hours, rest) = digits(&text[1..], 2, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() { (0, "") } else { digits(rest, 2, 2)? };
    (rest.is_empty() && hours <= 18 && minutes <= 59).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

/// A whole number of `least` to `most` digits at the start, and what follows.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(length);
    (length >= least).then(|| number.parse().ok().map(|number| (number, rest)))?
}

/// Whether the calendar reaches there.
pub(crate) fn holds(seconds: i64) -> bool {
    (DateTime::<Utc>::MIN_UTC.timestamp()..=DateTime::<Utc>::MAX_UTC.timestamp()).contains(&seconds)
}

/// ISO 8601; the date alone at midnight.
pub(crate) fn iso(seconds: i64) -> String {
    let Some(time) = DateTime::<Utc>::from_timestamp(seconds, 0) else { return String::new() };
    let format = if seconds.rem_euclid(86_400) == 0 { "%Y-%m-%d" } else { "%Y-%m-%dT%H:%M:%SZ" };
    time.format(format).to_string()
}

/// Writes the numbers of a date, one slot per input; NaN where missing.
pub(super) fn write(seconds: Option<i64>, parts: &[DateInput], out: &mut [f32]) {
    let Some(time) = seconds.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0)) else {
        out.fill(f32::NAN);
        return;
    };
    let time = time.naive_utc();
    let mut slots = out.iter_mut();
    for input in parts {
        let value = part(&time, input.part);
        let numbers = match period(input.part).filter(|_| input.cyclical) {
            Some((first, length)) => {
                let angle = TAU * (value - first) / length;
                [angle.sin() as f32, angle.cos() as f32]
            }
            None => [value as f32; 2],
        };
        slots.by_ref().zip(numbers).take(input.inputs()).for_each(|(slot, x)| *slot = x);
    }
}

fn part(time: &NaiveDateTime, part: DatePart) -> f64 {
    f64::from(match part {
        DatePart::Year => return f64::from(time.year()),
        DatePart::Month => time.month(),
        DatePart::Day => time.day(),
        DatePart::Weekday => time.weekday().num_days_from_monday(),
        DatePart::DayOfYear => time.ordinal(),
        DatePart::Hour => time.hour(),
        DatePart::Minute => time.minute(),
    })
}

/// First value and length of the round of a part that comes round again.
fn period(part: DatePart) -> Option<(f64, f64)> {
    match part {
        DatePart::Year => None,
        DatePart::Month => Some((1.0, 12.0)),
        DatePart::Day => Some((1.0, 31.0)),
        DatePart::Weekday => Some((0.0, 7.0)),
        DatePart::DayOfYear => Some((1.0, 366.0)),
        DatePart::Hour => Some((0.0, 24.0)),
        DatePart::Minute => Some((0.0, 60.0)),
    }
}

fn word(part: DatePart) -> &'static str {
    match part {
        DatePart::Year => "year",
        DatePart::Month => "month",
        DatePart::Day => "day",
        DatePart::Weekday => "weekday",
        DatePart::DayOfYear => "day_of_year",
        DatePart::Hour => "hour",
        DatePart::Minute => "minute",
    }
}

/// The time stamps of the training rows.
pub(super) fn read(training: &Training<'_>) -> Result<Vec<Option<i64>>> {
    let mut dates = Vec::with_capacity(training.rows);
    training.each(EXPECTED, |array| each_date(array, &mut |_, seconds| dates.push(seconds)))?;
    Ok(dates)
}

/// Fits a date. Where `auto`, parts that never change are left out; nothing if none is left.
pub(super) fn fit(
    training: &Training<'_>,
    spec: &DateSpec,
    dates: &[Option<i64>],
    auto: bool,
) -> Result<Option<Fitted>> {
    if spec.parts.is_empty() {
        return Err(Error::invalid(format!("column \"{}\": the list of date parts is empty", training.name)));
    }
    let present: Vec<i64> = dates.iter().copied().flatten().collect();
    let (Some(&min), Some(&max)) = (present.iter().min(), present.iter().max()) else {
        return Err(training.without_values());
    };
    let missing = (dates.len() - present.len()) as u64;
    let (mut parts, mut numbers, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    for &part in &spec.parts {
        let input = DateInput { part, cyclical: spec.cyclical && period(part).is_some() };
        if parts.contains(&input) {
            continue;
        }
        let mut columns = vec![vec![0.0; present.len()]; input.inputs()];
        for (row, &seconds) in present.iter().enumerate() {
            let mut slots = [0.0; 2];
            write(Some(seconds), &[input], &mut slots[..input.inputs()]);
            columns.iter_mut().zip(slots).for_each(|(column, x)| column[row] = x);
        }
        if auto && columns.iter().all(|column| column.iter().all(|x| *x == column[0])) {
            dropped.push(word(part));
            continue;
        }
        for (column, suffix) in columns.iter_mut().zip([".sin", ".cos"]) {
            let suffix = if input.cyclical { suffix } else { "" };
            numbers.push(input_of(format!("{}.{}{suffix}", training.name, word(part)), input, column));
        }
        parts.push(input);
    }
    let Some(first) = numbers.first_mut() else { return Ok(None) };
    first.indicator = auto && training.often_missing(missing);
    let holidays = holidays(training.name, spec)?;
    let indicator = if first.indicator { ", and an input that says whether it was missing" } else { "" };
    let names: Vec<&str> = parts.iter().map(|input| word(input.part)).collect();
    let how = format!(
        "date from {} to {}{} as {}{}{}{}{indicator}",
        iso(min),
        iso(max),
        if missing > 0 { format!(", {} missing", counted(missing, "value")) } else { String::new() },
        names.join(", "),
        if parts.iter().any(|input| input.cyclical) { " (sine and cosine of what comes round again)" } else { "" },
        holidays
            .as_ref()
            .map_or_else(String::new, |days| format!(", and whether it is one of {} holidays", days.len())),
        if dropped.is_empty() { String::new() } else { format!("; {} never changes", dropped.join(", ")) },
    );
    let kind = ColumnKind::Date { min: iso(min), max: iso(max), parts };
    let example = Value::from(iso(present[present.len() / 2]));
    if let Some(days) = &holidays {
        let mut flags: Vec<f32> = present.iter().map(|&seconds| days.flag(Some(seconds))).collect();
        let impute = number::fill(Fill::Mean, &mut flags);
        let (name, clip) = (format!("{}.holiday", training.name), [f32::NEG_INFINITY, f32::INFINITY]);
        numbers.push(NumberInput { name, impute, indicator: false, clip, affine: Affine::IDENTITY });
    }
    let inputs = NumericPart { numbers, ..NumericPart::default() };
    let prepared = holidays.map_or(Prepared::Plain, Prepared::Holidays);
    Ok(Some(Fitted { kind, prepared, example, missing, inputs, how }))
}

/// The days that are unlike others, where there are some.
fn holidays(column: &str, spec: &DateSpec) -> Result<Option<Holidays>> {
    if spec.holidays.is_empty() {
        return Ok(None);
    }
    let wrong = |message| Error::invalid(format!("column \"{column}\": {message}"));
    Holidays::try_from(spec.holidays.clone()).map(Some).map_err(wrong)
}

/// Plain parts are standardised; sine and cosine are in range already. A missing one becomes the mean.
fn input_of(name: String, input: DateInput, values: &mut [f32]) -> NumberInput {
    let affine = if input.cyclical { Affine::IDENTITY } else { number::affine(Scale::Standard, values).0 };
    NumberInput {
        name,
        impute: number::fill(Fill::Mean, values),
        indicator: false,
        clip: [f32::NEG_INFINITY, f32::INFINITY],
        affine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_iso_8601() {
        // Seconds from `date -u -d TEXT +%s`.
        for (text, seconds) in [
            ("1970-01-01", Some(0)),
            ("2024-02-29", Some(1_709_164_800)),
            ("2024/2/29", Some(1_709_164_800)),
            (" 2024-02-29 ", Some(1_709_164_800)),
            ("2023-02-29", None),
            ("1999-12-31T23:59:59Z", Some(946_684_799)),
            ("2000-01-01 07:59:59+08:00", Some(946_684_799)),
            ("2000-01-01 00:00", Some(946_684_800)),
            ("1999-12-31 19:00:00.250-0500", Some(946_684_800)),
            ("1999-12-31 19:00:00 -05", Some(946_684_800)),
            ("1969-12-31T23:59:59", Some(-1)),
            ("2024-13-01", None),
            ("2024-01-01T24:00:00", None),
            ("2024-01-01T12:00:00.", None),
            ("2024-01-01T12:00:00+99:00", None),
            ("2024-01/01", None),
            ("20240101", None),
            ("01.02.2024", None),
            ("2024", None),
            ("2024-01-01x", None),
            ("", None),
            ("二〇二四-01-01", None),
        ] {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }

    #[test]
    fn parts_around_new_year() {
        let all = [
            DatePart::Year,
            DatePart::Month,
            DatePart::Day,
            DatePart::Weekday,
            DatePart::DayOfYear,
            DatePart::Hour,
            DatePart::Minute,
        ];
        let inputs = all.map(|part| DateInput { part, cyclical: false });
        for (text, expected) in [
            ("2023-12-31T23:59:59", [2023.0, 12.0, 31.0, 6.0, 365.0, 23.0, 59.0]),
            ("2024-01-01T00:00:00", [2024.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0]),
            ("2024-12-31T00:00:00", [2024.0, 12.0, 31.0, 1.0, 366.0, 0.0, 0.0]),
            ("1969-12-31T23:59:59", [1969.0, 12.0, 31.0, 2.0, 365.0, 23.0, 59.0]),
        ] {
            let mut out = [0.0; 7];
            write(parse(text), &inputs, &mut out);
            assert_eq!(out, expected, "{text}");
        }
    }

    #[test]
    fn december_lies_beside_january() {
        let months = [DateInput { part: DatePart::Month, cyclical: true }];
        let place = |text| {
            let mut out = [0.0; 2];
            write(parse(text), &months, &mut out);
            out
        };
        let distance = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        // The chord of one twelfth of the unit circle is 2 sin(15 degrees) = 0.5176.
        assert!((distance(place("2023-12-31"), place("2024-01-01")) - 0.5176).abs() < 1e-4);
        assert!((distance(place("2024-06-01"), place("2024-07-01")) - 0.5176).abs() < 1e-4);
        assert!((distance(place("2024-01-01"), place("2024-07-01")) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn iso_and_parse_agree() {
        for seconds in [-62_135_596_800, -1, 0, 86_399, 951_782_400, 4_102_444_799] {
            assert_eq!(parse(&iso(seconds)), Some(seconds));
        }
        assert!(!holds(i64::MAX) && !holds(i64::MIN) && iso(i64::MAX).is_empty());
        let (first, last) = (DateTime::<Utc>::MIN_UTC.timestamp(), DateTime::<Utc>::MAX_UTC.timestamp());
        for (seconds, reached) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
            assert_eq!((holds(seconds), iso(seconds).is_empty()), (reached, !reached), "{seconds}");
        }
    }
}
