//! How are figures, times and sizes written on a page?

use super::words::{Lang, Word as W};

/// Four significant digits, thousands apart, no trailing zeros: `12,345`, `0.9786`, `1.2e-7`.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e12).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    group(text)
}

/// A whole number, thousands apart: `70,000`.
pub(crate) fn count(value: u64) -> String {
    group(&value.to_string())
}

fn group(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::from(sign);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A score with four decimals where it lies between 0 and 1, otherwise four significant digits: `0.9780`, `12.41`.
pub(crate) fn score(value: f64) -> String {
    if (-1.0..=1.0).contains(&value) { format!("{value:.4}") } else { number(value) }
}

/// A share of 1 as percent: `97.8 %`.
pub(crate) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "–".to_owned();
    }
    let value = share * 100.0;
    let text = if value == 0.0 || (value.abs() >= 99.95 && value.abs() < 100.05) {
        format!("{value:.0}")
    } else if value.abs() < 0.1 {
        "<0.1".to_owned()
    } else {
        format!("{value:.1}")
    };
    format!("{text} %")
}

/// A duration: `12 µs`, `1.2 ms`, `3.4 s`, `2 min 5 s`, `1 h 3 min`.
pub(crate) fn seconds(lang: Lang, value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return "–".to_owned();
    }
    let (ms, s, min, h) =
        (lang.text(W::UnitMs), lang.text(W::UnitSecond), lang.text(W::UnitMinute), lang.text(W::UnitHour));
    let whole = value.round() as u64;
    match value {
        v if v < 0.000_01 => format!("{:.1} {}", v * 1e6, lang.text(W::UnitMicrosecond)),
        v if v < 0.001 => format!("{:.0} {}", v * 1e6, lang.text(W::UnitMicrosecond)),
        v if v < 0.1 => format!("{:.1} {ms}", v * 1e3),
        v if v < 1.0 => format!("{:.0} {ms}", v * 1e3),
        v if v < 10.0 => format!("{v:.1} {s}"),
        v if v < 60.0 => format!("{v:.0} {s}"),
        v if v < 3600.0 => format!("{} {min} {} {s}", whole / 60, whole % 60),
        _ => format!("{} {h} {} {min}", whole / 3600, whole % 3600 / 60),
    }
}

/// A size: `812 B`, `1.4 MB`.
pub(crate) fn bytes(value: u64) -> String {
    let mut size = value as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if size < 1000.0 {
            return if unit == "B" { format!("{value} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// The first letter as a capital, for the start of a line.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// At most `characters` characters, the rest as `…`.
pub(crate) fn shorten(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

/// An RFC 3339 time as `2026-11-23 22:15`; anything else as it is.
pub(crate) fn time(text: &str) -> String {
    let bytes = text.as_bytes();
    if text.is_ascii() && bytes.len() >= 16 && bytes[10] == b'T' {
        format!("{} {}", &text[..10], &text[11..16])
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_people_read_them() {
        let check = |value: f64, text: &str| assert_eq!(number(value), text);
        check(0.0, "0");
        check(12345.0, "12,345");
        check(-1_234_567.0, "-1,234,567");
        check(0.978_61, "0.9786");
        check(2.5, "2.5");
        check(0.000_001, "1.000e-6");
        check(f64::NAN, "–");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(percent(0.978), "97.8 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.000_2), "<0.1 %");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(1_400_000), "1.4 MB");
        assert_eq!(score(0.978), "0.9780");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!((capital("loss"), capital("")), ("Loss".into(), String::new()));
        assert_eq!(time("2026-11-23T22:15:57Z"), "2026-11-23 22:15");
        assert_eq!(time("日曜日日曜日"), "日曜日日曜日");
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        let check = |value: f64, text: &str| assert_eq!(seconds(Lang::En, value), text);
        check(0.000_002_5, "2.5 µs");
        check(0.000_31, "310 µs");
        check(0.012, "12.0 ms");
        check(3.44, "3.4 s");
        check(125.0, "2 min 5 s");
        check(3_800.0, "1 h 3 min");
        check(-1.0, "–");
    }
}
