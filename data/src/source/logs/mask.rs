//! Which parts of a word are numbers, addresses or identifiers? They differ from line to line and say nothing about its kind.

use std::ops::Range;

/// What stands in a template for what differs.
pub(super) const ANY: &str = "<*>";
/// Figures and letters of base 16 without `0x`, at least, among them a figure: hashes and identifiers.
const HEX_MIN: usize = 6;
/// Letters and figures of other identifiers, at least, and figures among them.
const IDENTIFIER_MIN: usize = 16;
const IDENTIFIER_FIGURES_MIN: usize = 4;
const UUID_LENGTH: usize = 36;
/// Letters of a unit behind a number, at most: `12ms`.
const UNIT_MAX: usize = 3;

/// Finds the parts, in order; parts with a single `.`, `:`, `-`, `,`, `/` or `_` between them are one.
pub(super) fn parts(word: &str, found: &mut Vec<Range<usize>>) {
    found.clear();
    let bytes = word.as_bytes();
    if !bytes.iter().any(|byte| byte.is_ascii_digit() || *byte == b'*') {
        return;
    }
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(ANY.as_bytes()) {
            found.push(at..at + ANY.len());
            at += ANY.len();
            continue;
        }
        let signed = usize::from(is_sign(bytes, at));
        let run = at + signed;
        let end = run + bytes[run..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if end == run {
            at += 1;
            continue;
        }
        match uuid_end(bytes, run)
            .or_else(|| address_end(bytes, run))
            .or_else(|| variable_end(&bytes[run..end]).map(|length| run + length))
        {
            Some(stop) => {
                match found.last_mut() {
                    Some(last) if last.end + 1 == at && is_joiner(bytes[last.end]) => last.end = stop,
                    _ => found.push(at..stop),
                }
                at = stop.max(end);
            }
            None => at = end,
        }
    }
}

/// The word with [`ANY`] in place of its parts.
pub(super) fn masked(word: &str, parts: &[Range<usize>], out: &mut String) {
    let mut from = 0;
    for part in parts {
        out.push_str(&word[from..part.start]);
        out.push_str(ANY);
        from = part.end;
    }
    out.push_str(&word[from..]);
}

fn is_joiner(byte: u8) -> bool {
    matches!(byte, b'.' | b':' | b'-' | b',' | b'/' | b'_')
}

/// A sign of a number, not a dash between two words or numbers.
fn is_sign(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[at], b'-' | b'+')
        && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
        && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric())
}

/// The end of a time, a hardware address or an IPv6 address: base 16 with at least two colons.
fn address_end(bytes: &[u8], from: usize) -> Option<usize> {
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || **byte == b':';
    let mut end = from + bytes[from..].iter().take_while(is_part).count();
    while end > from && bytes[end - 1] == b':' {
        end -= 1;
    }
    let part = &bytes[from..end];
    let colons = part.iter().filter(|byte| **byte == b':').count();
    let is_whole = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (colons >= 2 && is_whole && part.iter().any(u8::is_ascii_digit)).then_some(end)
}

/// The end of a UUID, which need not have a figure in each of its groups.
fn uuid_end(bytes: &[u8], from: usize) -> Option<usize> {
    let uuid = bytes.get(from..from + UUID_LENGTH)?;
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    let is_whole = !bytes.get(from + UUID_LENGTH).is_some_and(u8::is_ascii_alphanumeric);
    (is_whole && uuid.iter().enumerate().all(fits)).then_some(from + UUID_LENGTH)
}

/// How much of a run of letters and figures differs.
fn variable_end(run: &[u8]) -> Option<usize> {
    let figures = run.iter().filter(|byte| byte.is_ascii_digit()).count();
    if figures == 0 {
        return None;
    }
    let leading = run.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &run[leading..];
    let is_hex = |run: &[u8]| run.iter().all(u8::is_ascii_hexdigit);
    let is_all = rest.is_empty()
        || (leading == 1 && matches!(run, [b'0', b'x' | b'X', hex @ ..] if !hex.is_empty() && is_hex(hex)))
        || (run.len() >= HEX_MIN && is_hex(run))
        || (run.len() >= IDENTIFIER_MIN && figures >= IDENTIFIER_FIGURES_MIN)
        || (leading > 0 && matches!(rest, [b'T' | b'x', rest @ ..] if rest.iter().all(u8::is_ascii_digit)));
    match is_all {
        true => Some(run.len()),
        false if leading > 0 && rest.len() <= UNIT_MAX && rest.iter().all(u8::is_ascii_alphabetic) => Some(leading),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_addresses_and_identifiers_are_masked() {
        for (word, expected) in [
            ("started", "started"),
            ("42", "<*>"),
            ("-42", "<*>"),
            ("blk_-6952295868487656571", "blk_<*>"),
            ("blk_38865049064139660", "blk_<*>"),
            ("/10.0.0.1:50010", "/<*>"),
            ("rhost=218.188.2.4", "rhost=<*>"),
            ("10.5%", "<*>%"),
            ("123ms,", "<*>ms,"),
            ("0x7ffd3a", "<*>"),
            ("d41d8cd98f00b204e9800998ecf8427e", "<*>"),
            ("113d3a99-c3da-401f-bd62-cc2caa5b96d2", "<*>"),
            ("[instance:b9000564-fe1a-409b-b8cc-1e88b294cd1d]", "[instance:<*>]"),
            ("00:1b:21:3c:9d:f8", "<*>"),
            ("[fe80::21b:21ff]:", "[<*>]:"),
            ("12:00:01.250", "<*>"),
            ("2026-01-31T12:00:00Z", "<*>Z"),
            ("2026/01/31", "<*>"),
            ("1024x768", "<*>"),
            ("eth0", "eth0"),
            ("node12", "node12"),
            ("sha256", "sha256"),
            ("第3次", "第<*>次"),
            ("uid=0", "uid=<*>"),
            ("(3/10)", "(<*>)"),
            ("a<*>b", "a<*>b"),
            ("*", "*"),
            ("a-b", "a-b"),
            ("1-", "<*>-"),
        ] {
            let (mut found, mut out) = (Vec::new(), String::new());
            parts(word, &mut found);
            masked(word, &found, &mut out);
            assert_eq!(out, expected, "{word}");
        }
    }
}
