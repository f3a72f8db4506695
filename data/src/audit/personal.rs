//! Does a column hold what belongs to persons? E-mail addresses, telephone, identity, card and account numbers, addresses of
//! machines, told by their form and, where they have one, by their checksum. No value is shown.

use std::net::Ipv6Addr;

use profile::{ColumnProfile, TableProfile};

use super::table::{Sampled, Table, is_text};
use super::words::{Examples, counted, percent, share};
use super::{Finding, Severity};

/// Values of a column that are looked at.
const VALUES_MAX: usize = 5_000;
/// Values of all columns together.
const VALUES_ALL_MAX: usize = 2_000_000;
/// Characters of a value that are looked at.
const CHARS_MAX: usize = 2_000;
/// Fewer hits are a coincidence, or one person's signature.
const HITS_MIN: u64 = 3;
/// A smaller share of the values is, too.
const SHARE_MIN: f64 = 0.005;
/// Of numbers with the form of a card's one in ten has its checksum by chance: so many must have it.
const VALID_MIN: f64 = 0.5;
/// A form without a checksum has to be that of most values.
const MOST: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Email,
    Phone,
    ResidentId,
    Card,
    Iban,
    Ip,
}

const KINDS: [Kind; 6] = [Kind::Email, Kind::Phone, Kind::ResidentId, Kind::Card, Kind::Iban, Kind::Ip];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Email => "e-mail addresses",
            Self::Phone => "telephone numbers",
            Self::ResidentId => "Chinese resident identity numbers (their check digits are right)",
            Self::Card => "payment card numbers (their check digits are right)",
            Self::Iban => "bank account numbers (IBAN; their check digits are right)",
            Self::Ip => "IP addresses",
        }
    }
}

/// What a value has of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Nothing,
    /// The form, but not the checksum.
    Alike,
    /// Among other words.
    Inside,
    /// It is the value.
    Whole,
}

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    let columns: Vec<(usize, &ColumnProfile)> = table
        .features()
        .filter(|(index, _)| {
            let data_type = table.schema.field(*index).data_type();
            is_text(data_type) || data_type.is_integer()
        })
        .collect();
    let values_max = (VALUES_ALL_MAX / columns.len().max(1)).clamp(100, VALUES_MAX);
    let rows = table.sampled(values_max);
    for (index, column) in columns {
        let values = table.texts(index, &rows);
        for kind in KINDS {
            let is_number = !is_text(table.schema.field(index).data_type());
            if !is_number || matches!(kind, Kind::Phone | Kind::ResidentId | Kind::Card) {
                findings.extend(look_for(kind, column, &values));
            }
        }
    }
}

/// Takes the most frequent values out of the profile of columns that hold personal data, but for their first letters.
pub(super) fn mask(profile: &mut TableProfile, findings: &[Finding]) {
    let is_personal = |name: &str| {
        let mut about = findings.iter().filter(|finding| finding.column.as_deref() == Some(name));
        about.any(|finding| finding.check == "personal" && finding.severity == Severity::Warning)
    };
    for column in profile.columns.iter_mut().filter(|column| is_personal(&column.name)) {
        for (value, _) in &mut column.top {
            *value = value.chars().take(2).chain(['…']).collect();
        }
    }
}

fn look_for(kind: Kind, column: &ColumnProfile, values: &Sampled) -> Option<Finding> {
    let (mut whole, mut inside, mut alike) = (0_u64, Examples::default(), 0_u64);
    for (row, text) in &values.texts {
        match look(kind, text) {
            Look::Nothing => {}
            Look::Alike => alike += 1,
            Look::Inside => inside.add(*row),
            Look::Whole => {
                whole += 1;
                inside.add(*row);
            }
        }
    }
    let (hits, all) = (inside.count, values.texts.len() as u64);
    let part = share(hits, all);
    if hits < HITS_MIN || part < SHARE_MIN {
        return None;
    }
    let is_found = match kind {
        Kind::Email => true,
        Kind::ResidentId | Kind::Card | Kind::Iban => share(hits, hits + alike) >= VALID_MIN,
        Kind::Phone if share(whole, all) >= MOST => !counts_up(values),
        // Among words a number of this form is one; a column of numbers in which some have it is not.
        Kind::Phone => whole * 10 < hits,
        Kind::Ip if share(whole, all) >= MOST => !are_versions(values),
        Kind::Ip => whole * 10 < hits && !are_versions(values),
    };
    if !is_found {
        return None;
    }
    let name = &column.name;
    let sample = if values.is_all { "" } else { " looked at" };
    let severity = if kind == Kind::Ip { Severity::Info } else { Severity::Warning };
    Some(Finding {
        severity,
        check: "personal".into(),
        column: Some(name.clone()),
        message: format!(
            "column \"{name}\" has {} in {} of {}{sample}: personal data; leave the column out, replace it in the table's \
             SQL, or make sure that it may be used",
            kind.name(),
            percent(part),
            counted(all, "value"),
        ),
        value: part,
        rows: inside.rows,
    })
}

fn look(kind: Kind, text: &str) -> Look {
    let text = match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
    .trim();
    match kind {
        Kind::Email => emails(text),
        Kind::Phone => phones(text),
        Kind::ResidentId => best(text, is_id_char, resident_id),
        Kind::Card => numbers(text, card),
        Kind::Iban => ibans(text),
        Kind::Ip => best(text, |c| c.is_ascii_hexdigit() || matches!(c, '.' | ':'), ip),
    }
}

fn is_id_char(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, 'X' | 'x')
}

/// The best look of the runs of a text; `Whole` where the run is the text.
fn best(text: &str, is_part: impl Fn(char) -> bool, look: impl Fn(&str) -> Option<bool>) -> Look {
    let parts = text.split(|c: char| !is_part(c)).map(str::trim).filter(|part| !part.is_empty());
    let looks = parts.map(|part| match look(part) {
        None => Look::Nothing,
        Some(false) => Look::Alike,
        Some(true) if part.len() == text.len() => Look::Whole,
        Some(true) => Look::Inside,
    });
    looks.max().unwrap_or(Look::Nothing)
}

/// An address: a name, `@`, and a host that ends in letters. `icon@2x.png` is a file.
fn emails(text: &str) -> Look {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
    for (at, _) in text.match_indices('@') {
        let name = text[..at].rsplit(|c: char| !is_name(c)).next().unwrap_or_default().trim_matches('.');
        let host = text[at + 1..].split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).next();
        let host = host.unwrap_or_default().trim_end_matches(['.', '-']);
        let labels: Vec<&str> = host.split('.').collect();
        let [.., last] = labels.as_slice() else { continue };
        let is_file = ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js"].contains(&last.to_lowercase().as_str());
        let is_host = labels.len() >= 2 && labels.iter().all(|label| !label.is_empty());
        if !name.is_empty() && is_host && last.len() >= 2 && last.chars().all(|c| c.is_ascii_alphabetic()) && !is_file {
            return if name.len() + 1 + host.len() == text.len() { Look::Whole } else { Look::Inside };
        }
    }
    Look::Nothing
}

/// Numbers with a plus and a country, Chinese mobile numbers, and North American ones with their marks.
fn phones(text: &str) -> Look {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ' ' | '(' | ')' | '.');
    let mut found = Look::Nothing;
    for part in text.split(|c: char| !is_part(c)) {
        let part = part.trim_matches([' ', '-', '.']);
        let digits: String = part.chars().filter(char::is_ascii_digit).collect();
        let before = text[..part.as_ptr() as usize - text.as_ptr() as usize].chars().next_back();
        if digits.len() < 8 || before.is_some_and(|c| c.is_alphanumeric() && c.is_ascii()) {
            continue;
        }
        let international = part.starts_with('+') && part.matches('+').count() == 1 && digits.len() <= 15;
        if international || is_chinese_mobile(part, &digits) || is_north_american(part, &digits) {
            found = found.max(if part.len() == text.len() { Look::Whole } else { Look::Inside });
        }
    }
    found
}

fn is_chinese_mobile(part: &str, digits: &str) -> bool {
    let groups: Vec<usize> = part.split(['-', ' ']).map(str::len).collect();
    let is_mobile = digits.len() == 11 && digits.starts_with('1') && !matches!(&digits[1..2], "0" | "1" | "2");
    is_mobile && !part.contains(['.', '(', '+']) && matches!(groups.as_slice(), [11] | [3, 4, 4])
}

/// `(415) 555-2671` or `415-555-2671`: neither the area nor the exchange begins with 0 or 1.
fn is_north_american(part: &str, digits: &str) -> bool {
    let groups: Vec<&str> = part.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let begins = groups.iter().take(2).all(|group| !group.starts_with(['0', '1']));
    digits.len() == 10 && lengths == [3, 3, 4] && begins && !part.contains('+')
}

/// Numbers that differ by little count something.
fn counts_up(values: &Sampled) -> bool {
    let numbers: Vec<i64> = values.texts.iter().filter_map(|(_, text)| text.trim().parse().ok()).collect();
    let (Some(low), Some(high)) = (numbers.iter().min(), numbers.iter().max()) else { return false };
    numbers.len() * 2 > values.texts.len() && (high - low) as f64 <= 20.0 * values.rows as f64
}

/// GB 11643-1999: region, date of birth, sequence, and a check digit by ISO 7064 MOD 11-2.
fn resident_id(word: &str) -> Option<bool> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &[u8; 11] = b"10X98765432";
    let (body, last) = word.split_at_checked(17).filter(|(_, last)| last.len() == 1)?;
    if !body.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| body[from..to].parse::<u32>().unwrap_or(0);
    let is_region = matches!(number(0, 2), 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83);
    let born = chrono::NaiveDate::from_ymd_opt(number(6, 10) as i32, number(10, 12), number(12, 14));
    let is_born = born.is_some() && (1900..2100).contains(&number(6, 10));
    let sum: u32 = body.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let is_checked = CHECKS.get((sum % 11) as usize).copied() == last.to_ascii_uppercase().bytes().next();
    Some(is_region && is_born && is_checked)
}

/// Runs of digits, also in groups with one blank or hyphen between them.
fn numbers(text: &str, look: impl Fn(&str) -> Option<bool>) -> Look {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-');
    let mut found = Look::Nothing;
    for part in text.split(|c: char| !is_part(c)) {
        let part = part.trim_matches([' ', '-']);
        let groups: Vec<&str> = part.split([' ', '-']).collect();
        let is_grouped = groups.len() == 1 || groups.iter().all(|group| (3..=6).contains(&group.len()));
        let before = text[..part.as_ptr() as usize - text.as_ptr() as usize].chars().next_back();
        if !is_grouped || before.is_some_and(char::is_alphabetic) {
            continue;
        }
        let seen = match look(&groups.concat()) {
            None => Look::Nothing,
            Some(false) => Look::Alike,
            Some(true) if part.len() == text.len() => Look::Whole,
            Some(true) => Look::Inside,
        };
        found = found.max(seen);
    }
    found
}

/// A number with the length and first digits of a card network, and Luhn's check digit (ISO/IEC 7812-1).
fn card(digits: &str) -> Option<bool> {
    let first = |n: usize| digits.get(..n).and_then(|first| first.parse::<u32>().ok()).unwrap_or(0);
    let is_network = match digits.len() {
        13 => first(1) == 4,
        14 => matches!(first(3), 300..=305) || matches!(first(2), 36 | 38),
        15 => matches!(first(2), 34 | 37),
        16 => {
            first(1) == 4
                || matches!(first(2), 51..=55 | 62 | 65)
                || matches!(first(4), 2221..=2720 | 3528..=3589 | 6011)
                || matches!(first(3), 644..=649)
        }
        17 | 18 => first(2) == 62,
        19 => first(2) == 62 || first(1) == 4,
        _ => false,
    };
    if !is_network || digits.bytes().all(|digit| digit == b'0' || Some(digit) == digits.bytes().next()) {
        return None;
    }
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let digits = digits.bytes().rev().map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits.enumerate().map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit }).sum();
    Some(sum.is_multiple_of(10))
}

/// Lengths of account numbers by country, ISO 13616.
const IBAN_LENGTHS: &[(&str, usize)] = &[
    ("AE", 23),
    ("AT", 20),
    ("BE", 16),
    ("BG", 22),
    ("CH", 21),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("EE", 20),
    ("ES", 24),
    ("FI", 18),
    ("FR", 27),
    ("GB", 22),
    ("GR", 27),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IS", 26),
    ("IT", 27),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PL", 28),
    ("PT", 25),
    ("RO", 24),
    ("SA", 24),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("TR", 26),
];

/// Account numbers that begin with a word: a country, two digits, and so many characters as the country has.
fn ibans(text: &str) -> Look {
    let mut found = Look::Nothing;
    for (start, _) in text.char_indices().filter(|(_, c)| c.is_ascii_uppercase()) {
        if text[..start].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric()) {
            continue;
        }
        let country = text.get(start..start + 2).unwrap_or_default();
        let Some((_, length)) = IBAN_LENGTHS.iter().find(|(name, _)| *name == country) else { continue };
        let characters = text[start..].char_indices().filter(|(_, c)| *c != ' ');
        let letters: String = characters.clone().take(*length).map(|(_, c)| c).collect();
        let end = characters.clone().nth(*length);
        let goes_on = end.is_some_and(|(at, c)| c.is_ascii_alphanumeric() && !text[start..start + at].ends_with(' '));
        if goes_on {
            continue;
        }
        let seen = match iban(&letters, *length) {
            None => Look::Nothing,
            Some(false) => Look::Alike,
            Some(true) if start == 0 && end.is_none() => Look::Whole,
            Some(true) => Look::Inside,
        };
        found = found.max(seen);
    }
    found
}

/// The check digits by ISO 7064 MOD 97-10.
fn iban(letters: &str, length: usize) -> Option<bool> {
    let has_form = letters.len() == length
        && letters.bytes().skip(2).take(2).all(|c| c.is_ascii_digit())
        && letters.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    if !has_form {
        return None;
    }
    let turned = letters.bytes().skip(4).chain(letters.bytes().take(4));
    let rest = turned.fold(0_u64, |rest, c| match c {
        b'0'..=b'9' => (rest * 10 + u64::from(c - b'0')) % 97,
        c => (rest * 100 + u64::from(c - b'A') + 10) % 97,
    });
    Some(rest == 1)
}

fn ip(word: &str) -> Option<bool> {
    let word = word.trim_end_matches(['.', ':']);
    if octets(word).is_some() {
        return Some(true);
    }
    // a port behind the address
    if let Some((host, port)) = word.rsplit_once(':')
        && !host.contains(':')
        && port.bytes().all(|c| c.is_ascii_digit())
    {
        return octets(host).map(|_| true);
    }
    let is_long = word.matches(':').count() >= 3 && word.len() >= 9;
    (is_long && word.parse::<Ipv6Addr>().is_ok()).then_some(true)
}

fn octets(word: &str) -> Option<[u8; 4]> {
    Some(word.parse::<std::net::Ipv4Addr>().ok()?.octets())
}

/// `1.2.3.4` may be a version: those have small numbers throughout.
fn are_versions(values: &Sampled) -> bool {
    let addresses: Vec<[u8; 4]> = values
        .texts
        .iter()
        .flat_map(|(_, text)| text.split(|c: char| !(c.is_ascii_digit() || c == '.')))
        .filter_map(octets)
        .collect();
    let small = addresses.iter().filter(|octets| octets.iter().all(|octet| *octet < 64) && octets[0] != 10).count();
    !addresses.is_empty() && small * 2 > addresses.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_all(kind: Kind, cases: &[(&str, Look)]) {
        for (text, expected) in cases {
            assert_eq!(look(kind, text), *expected, "{kind:?} {text}");
        }
    }

    /// By the worked example of GB 11643-1999.
    #[test]
    fn addresses_and_identities() {
        use Look::{Alike, Inside, Nothing, Whole};
        check_all(
            Kind::Email,
            &[
                ("ann.b+c@mail.example.com", Whole),
                ("write to ann@example.org.", Inside),
                ("联系：ann@example.cn，谢谢", Inside),
                ("@ann thanks", Nothing),
                ("icon@2x.png", Nothing),
                ("5 apples @ 2.50", Nothing),
                ("a@b", Nothing),
            ],
        );
        check_all(
            Kind::ResidentId,
            &[
                ("11010519491231002X", Whole), // GB 11643-1999's own example
                ("身份证 440524198001010013。", Inside),
                ("440524188001010014", Alike), // born in 1880
                ("110105194912310021", Alike),
                ("990105194912310023", Alike), // no such region
                ("20260101000000001", Nothing),
                ("2026010100000000123", Nothing),
            ],
        );
    }

    /// By the test numbers that card networks publish, and the examples of ISO 13616.
    #[test]
    fn numbers_of_accounts_telephones_and_machines() {
        use Look::{Alike, Inside, Nothing, Whole};
        check_all(
            Kind::Card,
            &[
                ("4111111111111111", Whole),
                ("4111 1111 1111 1111", Whole),
                ("card 5555-5555-5555-4444 please", Inside),
                ("378282246310005", Whole),
                ("4111111111111112", Alike),
                ("1234567890123456", Nothing),
                ("0000000000000000", Nothing),
                ("1700000000000", Nothing),
            ],
        );
        check_all(
            Kind::Iban,
            &[
                ("GB82 WEST 1234 5698 7654 32", Whole),
                ("DE89370400440532013000", Whole),
                ("pay to DE89 3704 0044 0532 0130 00 please", Inside),
                ("DE88370400440532013000", Alike),
                ("DE8937040044053201300", Nothing),
                ("DESCRIPTION OF A THING", Nothing),
            ],
        );
        check_all(
            Kind::Phone,
            &[
                ("+49 30 901820", Whole),
                ("13812345678", Whole),
                ("电话13812345678。", Inside),
                ("(415) 555-2671", Whole),
                ("2026-01-31", Nothing),
                ("12345678901", Nothing),
                ("138123456789", Nothing),
                ("A13812345678", Nothing),
                ("123-456-7890", Nothing),
            ],
        );
        check_all(
            Kind::Ip,
            &[
                ("192.168.0.1", Whole),
                ("from 10.250.11.53:50010 to", Inside),
                ("2001:db8::ff00:42:8329", Whole),
                ("12:34:56", Nothing),
                ("256.1.1.1", Nothing),
                ("1.2.3", Nothing),
                ("aa:bb:cc:dd:ee:ff", Nothing),
            ],
        );
    }
}
