//! Were the bytes of texts read as the wrong characters? UTF-8 read as Latin 1 or GBK, GBK read as Latin 1, characters that
//! were replaced. Told by reading the characters back: what turns into well-formed text of the other encoding was that.

use encoding_rs::{Encoding, GBK, WINDOWS_1252};
use profile::ColumnProfile;

use super::table::{Table, is_text};
use super::words::{Examples, counted, percent, share};
use super::{Finding, Severity};

/// Values of a column that are looked at.
const VALUES_MAX: usize = 10_000;
/// Values of all columns together.
const VALUES_ALL_MAX: usize = 2_000_000;
/// Characters of a value that are looked at.
const CHARS_MAX: usize = 4_000;
/// More broken values than this are worth a look.
const MANY: f64 = 0.01;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Replaced,
    Utf8AsLatin,
    Utf8AsGbk,
    GbkAsLatin,
}

impl Fault {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Replaced => (
                "characters that were replaced because they could not be read (U+FFFD)",
                "what they were is lost: read the source again in its own encoding",
            ),
            Self::Utf8AsLatin => ("UTF-8 that was read as Latin 1", "read the source as UTF-8"),
            Self::Utf8AsGbk => ("UTF-8 that was read as GBK", "read the source as UTF-8"),
            Self::GbkAsLatin => ("GBK that was read as Latin 1", "read the source as GB 18030"),
        }
    }
}

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    let texts: Vec<(usize, &ColumnProfile)> = table
        .profile
        .columns
        .iter()
        .enumerate()
        .filter(|(index, _)| is_text(table.schema.field(*index).data_type()))
        .collect();
    let rows = table.sampled((VALUES_ALL_MAX / texts.len().max(1)).clamp(100, VALUES_MAX));
    for (index, column) in texts {
        let values = table.texts(index, &rows);
        let mut found: Vec<(Fault, Examples)> = Vec::new();
        for (row, text) in &values.texts {
            let Some(fault) = fault(text) else { continue };
            match found.iter_mut().find(|(known, _)| *known == fault) {
                Some((_, rows)) => rows.add(*row),
                None => {
                    let mut rows = Examples::default();
                    rows.add(*row);
                    found.push((fault, rows));
                }
            }
        }
        for (fault, rows) in found {
            let all = values.texts.len() as u64;
            let part = share(rows.count, all);
            let (what, remedy) = fault.words();
            let sample = if values.is_all { "" } else { " looked at" };
            findings.push(Finding {
                severity: if part >= MANY { Severity::Warning } else { Severity::Info },
                check: "encoding".into(),
                column: Some(column.name.clone()),
                message: format!(
                    "column \"{}\" has {what} in {} of {}{sample}; {remedy}",
                    column.name,
                    percent(part),
                    counted(all, "value")
                ),
                value: part,
                rows: rows.rows,
            });
        }
    }
}

fn fault(text: &str) -> Option<Fault> {
    if text.is_ascii() {
        return None;
    }
    let text = match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    // Three characters of GBK are two replaced ones of UTF-8.
    if text.contains('\u{fffd}') || text.contains("锟斤拷") {
        return Some(Fault::Replaced);
    }
    for run in text.split(|c: char| c.is_ascii()).filter(|run| !run.is_empty()) {
        if reads_as_utf8(WINDOWS_1252, run, |back| back.chars().all(|c| !c.is_control())) {
            return Some(Fault::Utf8AsLatin);
        }
        // Two characters of Chinese may turn into UTF-8 by chance; into Chinese of several characters they do not.
        let is_chinese = |back: &str| {
            let hanzi = back.chars().filter(|c| ('\u{4e00}'..='\u{9fff}').contains(c)).count();
            hanzi >= 2
                && back
                    .chars()
                    .all(|c| ('\u{3000}'..='\u{9fff}').contains(&c) || ('\u{ff00}'..='\u{ffef}').contains(&c))
        };
        if run.chars().count() >= 3 && reads_as_utf8(GBK, run, is_chinese) {
            return Some(Fault::Utf8AsGbk);
        }
        if is_gbk_as_latin(run) {
            return Some(Fault::GbkAsLatin);
        }
    }
    None
}

/// Whether the characters come from bytes that are UTF-8. A run may end in the middle of a character.
fn reads_as_utf8(encoding: &'static Encoding, run: &str, is_likely: impl Fn(&str) -> bool) -> bool {
    let (bytes, _, had_errors) = encoding.encode(run);
    if had_errors {
        return false;
    }
    let (back, is_cut) = match std::str::from_utf8(&bytes) {
        Ok(back) => (back, false),
        Err(error) if error.error_len().is_none() => {
            (std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(), true)
        }
        Err(_) => return false,
    };
    let length = back.chars().count();
    // What was cut off must not be all there is: a single accented letter is one.
    length > 0 && (!is_cut || length >= 2) && !back.is_ascii() && is_likely(back)
}

/// Four and more letters of Latin 1 without an ordinary one among them, whose bytes are frequent Chinese characters.
fn is_gbk_as_latin(run: &str) -> bool {
    let letters: Vec<u32> = run.chars().map(u32::from).collect();
    let is_high = letters.iter().all(|c| (0xa1..=0xfe).contains(c));
    if !is_high || letters.len() < 4 || !letters.len().is_multiple_of(2) {
        return false;
    }
    // GB 2312's first level, 0xB0A1 to 0xD7F9, has the frequent ones; 0xA1 to 0xA3 the marks.
    letters.chunks(2).all(|pair| (0xb0..=0xd7).contains(&pair[0]) || (0xa1..=0xa3).contains(&pair[0]))
        && letters.chunks(2).filter(|pair| (0xb0..=0xd7).contains(&pair[0])).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_wrongly_is_told_from_what_only_looks_odd() {
        let as_latin = |text: &str| WINDOWS_1252.decode(text.as_bytes()).0.into_owned();
        let check = |text: &str, expected: Option<Fault>| assert_eq!(fault(text), expected, "{text}");
        check(&as_latin("café au lait"), Some(Fault::Utf8AsLatin));
        check(&as_latin("it’s"), Some(Fault::Utf8AsLatin));
        check(&as_latin("中文数据"), Some(Fault::Utf8AsLatin));
        check(&GBK.decode("数据处理".as_bytes()).0, Some(Fault::Utf8AsGbk));
        check(&WINDOWS_1252.decode(&GBK.encode("中文数据").0).0, Some(Fault::GbkAsLatin));
        check("caf\u{fffd}", Some(Fault::Replaced));
        check("锟斤拷锟斤拷", Some(Fault::Replaced));
        for fine in [
            "café",
            "naïve",
            "São Paulo",
            "ÄÖÜß",
            "Ærøskøbing",
            "Ångström",
            "¿Qué?",
            "10 °C ± 2",
            "“quoted” – text…",
            "«да»",
            "中文数据中心的机房",
            "联通",
            "这家酒店很好，早餐不错。",
            "ＡＢＣ１２３",
            "日本語のテキスト",
            "한국어",
            "😀👍🏽",
            "Größe: 5 µm²",
            "¡¡¡ÑÑÑ!!!",
        ] {
            check(fine, None);
        }
    }
}
