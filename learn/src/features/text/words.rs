//! Where does a word begin and end? The word boundaries of Unicode (UAX 29), which give Chinese characters one by one,
//! keep `don't` and `3.14` whole and part everything else from punctuation.

use unicode_segmentation::UnicodeSegmentation;

/// Writes `text` into `out` as it is compared: full-width letters and digits as plain ones, the apostrophe as typed, in
/// lower case where asked.
pub(super) fn fold(text: &str, lower_case: bool, out: &mut String) {
    out.clear();
    for c in text.chars() {
        let c = match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            '\u{3000}' => ' ',
            '\u{2019}' => '\'',
            c => c,
        };
        match lower_case {
            true => out.extend(c.to_lowercase()),
            false => out.push(c),
        }
    }
}

/// Calls `f` with each word, number and punctuation mark until it says `false`.
pub(super) fn each_word<'a>(folded: &'a str, f: &mut dyn FnMut(&'a str) -> bool) {
    for segment in folded.split_word_bounds() {
        if segment.chars().all(|c| c.is_whitespace() || c.is_control()) {
            continue;
        }
        if !parts(segment, f) {
            return;
        }
    }
}

/// Parts what UAX 29 leaves together at a full stop or colon without a blank ("fine.But"); numbers stay whole.
fn parts<'a>(segment: &'a str, f: &mut dyn FnMut(&'a str) -> bool) -> bool {
    let bytes = segment.as_bytes();
    let mut start = 0;
    for (at, byte) in segment.bytes().enumerate() {
        if !matches!(byte, b'.' | b':') || bytes.len() == 1 {
            continue;
        }
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        if digit(at.checked_sub(1)) && digit(Some(at + 1)) {
            continue;
        }
        if (start < at && !f(&segment[start..at])) || !f(&segment[at..=at]) {
            return false;
        }
        start = at + 1;
    }
    start == segment.len() || f(&segment[start..])
}

/// Whether a token says something: two letters or more, or a character of a script without spaces.
pub(super) fn is_word(token: &str) -> bool {
    let mut letters = token.chars().filter(|c| c.is_alphabetic());
    letters.next().is_some_and(|first| is_ideograph(first) || letters.next().is_some())
}

/// Chinese characters and Japanese kana.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_marks_are_parted_in_any_language() {
        let check = |text: &str, expected: &[&str]| {
            let mut folded = String::new();
            fold(text, true, &mut folded);
            let mut words = Vec::new();
            each_word(&folded, &mut |word| {
                words.push(word);
                true
            });
            assert_eq!(words, expected, "{text}");
        };
        check("It isn't bad, is it?", &["it", "isn't", "bad", ",", "is", "it", "?"]);
        check("It isn\u{2019}t", &["it", "isn't"]);
        check(
            "Pays 1,234.50 at 10:30 on 2024-01-02",
            &["pays", "1,234.50", "at", "10", ":", "30", "on", "2024", "-", "01", "-", "02"],
        );
        check("fine.But well-made", &["fine", ".", "but", "well", "-", "made"]);
        check("酒店装修一般，15.4寸ＩＢＭ", &["酒", "店", "装", "修", "一", "般", ",", "15.4", "寸", "ibm"]);
        check("Дом Straße naïve", &["дом", "straße", "naïve"]);
        check("e\u{301}te\u{301} 👩‍👩‍👧 :)", &["e\u{301}te\u{301}", "👩‍👩‍👧", ":", ")"]);
        check("", &[]);
        check(" \t\u{3000}\n\u{0}", &[]);
        check("...", &[".", ".", "."]);
    }

    #[test]
    fn reading_stops_when_told() {
        let mut words = Vec::new();
        each_word("a.b c d", &mut |word| {
            words.push(word);
            words.len() < 2
        });
        assert_eq!(words, ["a", "."]);
    }
}
