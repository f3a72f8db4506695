//! How is a file of text delimited, and does it have a header? Looks at its first lines.

use std::path::Path;

use delimited::{Dialect, Inference};

use super::text::Text;
use super::{ENDINGS, dialect};
use crate::error::{Error, Result};
use crate::source::files::Files;
use crate::source::{Input, sniff_encoding};
use crate::spec::{ColumnType, CsvSpec, Encoding};

/// Lines looked at.
const LINES: usize = 100;
/// Delimiters that are tried, the likeliest first.
const CANDIDATES: [char; 4] = [',', '\t', ';', '|'];

/// The spec of a file of delimited text: its delimiter, its quotes, and whether its first line names the columns.
pub(crate) fn sniff(path: &Path) -> Result<CsvSpec> {
    let mut spec = CsvSpec::new(path.to_string_lossy());
    let files = Files::find(Path::new(""), &spec.path, None, &ENDINGS)?; // the first member of an archive
    let path = files.first()?;
    let usual = dialect(&spec, path)?;
    let mut best = (1, usual);
    for candidate in std::iter::once(usual.delimiter).chain(CANDIDATES.map(|character| character as u8)) {
        let quoted = Dialect { delimiter: candidate, ..usual };
        let unquoted = Dialect { quote: None, ..quoted };
        let (width, dialect) = match width(path, quoted, Encoding::Auto, LINES)? {
            Some(width) => (width, quoted),
            None => (width(path, unquoted, Encoding::Auto, LINES)?.unwrap_or(1), unquoted),
        };
        if width > best.0 {
            best = (width, dialect);
        }
    }
    let blank = Dialect { delimiter: b' ', ..usual };
    if best.0 == 1 && width(path, blank, Encoding::Auto, LINES)? > Some(2) && !has_header(path, blank)? {
        best.1 = blank; // numbers of a measuring device; words with blanks between them are text
    }
    let unquoted = Dialect { quote: None, ..best.1 };
    if best.0 > 1
        && width(path, best.1, Encoding::Auto, spec.sample_rows)?.is_none()
        && width(path, unquoted, Encoding::Auto, spec.sample_rows)?.is_some()
    {
        best.1 = unquoted;
    }
    if best.1.delimiter != usual.delimiter {
        spec.delimiter = Some(best.1.delimiter as char);
    }
    spec.quote = best.1.quote.map(char::from);
    spec.header = has_header(path, best.1)?;
    spec.encoding = sniff_encoding(path)?;
    Ok(spec)
}

/// Fields of each of the first lines; none if they cannot be read like this, or differ.
fn width(path: &Input, dialect: Dialect, encoding: Encoding, lines: usize) -> Result<Option<usize>> {
    let mut text = Text::open(path, dialect, encoding)?;
    let (mut width, mut seen) = (None, 0);
    // What cannot be read like this may be otherwise; a fault is told when the file is read.
    while seen < lines {
        let Ok(piece) = text.next() else { return Ok(None) };
        let Some(piece) = piece else { break };
        let mut records = piece.records(dialect, None);
        while seen < lines {
            let Ok(block) = records.next(lines - seen) else { return Ok(None) };
            let Some(block) = block else { break };
            for row in 0..block.rows() {
                let count = block.record(row).count();
                if *width.get_or_insert(count) != count {
                    return Ok(None);
                }
            }
            seen += block.rows();
        }
    }
    Ok(width)
}

/// A first line of texts over a column of anything narrower, or of names where all is text, is a header.
fn has_header(path: &Input, dialect: Dialect) -> Result<bool> {
    let Ok(Some(first)) = Text::open(path, dialect, Encoding::Auto)?.take_first() else { return Ok(true) };
    let kind = |text: &str| {
        let mut inference = Inference::default();
        inference.see(text);
        inference.column_type()
    };
    let values = first.iter().filter(|text| !text.is_empty() && kind(text) != ColumnType::Text).count();
    let unique: std::collections::HashSet<_> = first.iter().collect();
    Ok(values == 0 && unique.len() == first.len())
}

/// A table of one column whose every line holds another delimiter was meant to have more columns.
pub(super) fn refuse_other_delimiter(path: &Input, used: Dialect, encoding: Encoding) -> Result<()> {
    for candidate in CANDIDATES.iter().copied().filter(|&candidate| candidate as u8 != used.delimiter) {
        let width = width(path, Dialect { delimiter: candidate as u8, ..used }, encoding, LINES)?;
        if width > Some(1) {
            let shown = if candidate == '\t' { "\\t".to_owned() } else { candidate.to_string() };
            return Err(Error::invalid(format!(
                "{} has one column if \"{}\" is the delimiter, but each line holds \"{shown}\"; set delimiter: \"{shown}\"",
                path.display(),
                if used.delimiter == b'\t' { "\\t".to_owned() } else { (used.delimiter as char).to_string() },
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_that_are_ordinary_characters_are_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |text: &str, quote: Option<char>| {
            let path = folder.path().join("a.tsv");
            std::fs::write(&path, text).expect("written");
            assert_eq!(sniff(&path).expect("a spec").quote, quote, "{text:?}");
        };
        check("n\tt\n1\t\"so\" he said\n", None);
        check(&format!("n\tt\n{}2\t\"so\" he said\n", "1\tx\n".repeat(500)), None);
        check("n\tt\n1\t\"a\tb\"\n", Some('"'));
        check("t\n\"a\tb\"\n\"c\td\"\n", Some('"'));
    }

    #[test]
    fn delimiter_and_header_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |name: &str, text: &str, delimiter: Option<char>, header: bool| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            let spec = sniff(&path).expect("a spec");
            assert_eq!((spec.delimiter, spec.header), (delimiter, header), "{text:?}");
        };
        check("a.csv", "a,b\n1,2\n", None, true);
        check("a.csv", "a;b\n1;2,5\n", Some(';'), true);
        check("a.csv", "a\tb\n1\t2\n", Some('\t'), true);
        check("a.tsv", "a\tb\n1\t2\n", None, true);
        check("a.csv", "39, State-gov, 77516\n50, Self-emp, 83311\n", None, false);
        check("a.csv", "name\nAnna\n", None, true);
        check("a.txt", "1 1 -0.7  100.0 \n1 2 0.5  99.0 \n", Some(' '), false);
        check("a.txt", "a fine day\nso it is\n", None, true);
        check("a.csv", "a|b|c\n\"x|y\"|2|3\n", Some('|'), true);
    }
}
