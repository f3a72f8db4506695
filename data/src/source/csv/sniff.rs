//! How is a file of text delimited, and does it have a header? Looks at its first lines.

use std::path::Path;

use super::dialect;
use super::records::{Dialect, Records};
use crate::error::{Error, Result};
use crate::source::types::Inference;
use crate::spec::{ColumnType, CsvSpec};

/// Lines looked at.
const LINES: usize = 100;
/// Delimiters that are tried, the likeliest first.
const CANDIDATES: [char; 4] = [',', '\t', ';', '|'];

/// The spec of a file of delimited text: its delimiter and whether its first line names the columns.
pub(crate) fn sniff(path: &Path) -> Result<CsvSpec> {
    let mut spec = CsvSpec::new(path.to_string_lossy());
    let usual = dialect(&spec, path)?.delimiter as char;
    let mut best = (1, usual);
    for candidate in std::iter::once(usual).chain(CANDIDATES) {
        let width = width(path, Dialect { delimiter: candidate as u8, ..dialect(&spec, path)? })?;
        if width > best.0 {
            best = (width, candidate);
        }
    }
    if best.1 != usual {
        spec.delimiter = Some(best.1);
    }
    spec.header = has_header(path, dialect(&spec, path)?)?;
    Ok(spec)
}

/// Fields of each of the first lines if all have the same number, otherwise 1.
fn width(path: &Path, dialect: Dialect) -> Result<usize> {
    let mut records = Records::open(path, dialect)?;
    let mut width = None;
    match records.next(LINES) {
        Ok(Some(block)) => {
            for row in 0..block.rows() {
                let count = block.record(row).count();
                if *width.get_or_insert(count) != count {
                    return Ok(1);
                }
            }
            Ok(width.unwrap_or(1))
        }
        // What cannot be read with this delimiter may be with another; the fault is told when the file is read.
        Ok(None) | Err(_) => Ok(1),
    }
}

/// A first line of texts over a column of anything narrower, or of names where all is text, is a header.
fn has_header(path: &Path, dialect: Dialect) -> Result<bool> {
    let mut records = Records::open(path, dialect)?;
    let Ok(Some(block)) = records.next(LINES) else { return Ok(true) };
    let first: Vec<_> = block.record(0).collect();
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
pub(super) fn refuse_other_delimiter(path: &Path, used: Dialect) -> Result<()> {
    for candidate in CANDIDATES.iter().copied().filter(|&candidate| candidate as u8 != used.delimiter) {
        let width = width(path, Dialect { delimiter: candidate as u8, ..used })?;
        if width > 1 {
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
        check("a.csv", "a|b|c\n\"x|y\"|2|3\n", Some('|'), true);
    }
}
