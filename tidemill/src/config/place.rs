//! What is wrong with the project file, and where? Places, and errors that point at them.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Errors kept of one reading of the project file; the rest is counted.
const ERRORS_MAX: usize = 20;
/// Characters of a line of the file that an error shows.
const LINE_CHARS_MAX: usize = 160;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The file as a whole.
    File,
    /// In the file; line and column count characters from 1.
    At {
        /// Line from 1.
        line: usize,
        /// Column from 1, in characters.
        column: usize,
        /// Characters to underline, at least 1.
        width: usize,
    },
    /// On the command line: the text after `--set`.
    Set(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What, in one line: the thing, what was expected, what was found, the nearest right spelling.
    pub message: String,
    /// More that helps: known keys, the other place of a clash.
    pub notes: Vec<String>,
}

impl ConfigError {
    /// An error without notes.
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), notes: Vec::new() }
    }

    /// The same with one more note.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// All that is wrong with a project file; at least one error, at most 20.
#[derive(Debug, Clone)]
pub struct ConfigErrors {
    file: PathBuf,
    lines: Vec<String>,
    errors: Vec<ConfigError>,
    left_out: usize,
}

impl ConfigErrors {
    /// Errors of `file` with this `text`, which the lines shown are taken from; in the order of their places.
    pub(super) fn new(file: &Path, text: &str, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| match &error.place {
            Place::File => (0, 0, 0),
            Place::At { line, column, .. } => (1, *line, *column),
            Place::Set(_) => (2, 0, 0),
        });
        errors.dedup();
        let left_out = errors.len().saturating_sub(ERRORS_MAX);
        errors.truncate(ERRORS_MAX);
        let lines = text.lines().map(str::to_owned).collect();
        Self { file: file.to_owned(), lines, errors, left_out }
    }

    /// The errors, in the order of their places.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// The project file they are about.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the command line alone is wrong: every error is in an argument of `--set`.
    pub fn is_usage(&self) -> bool {
        self.errors.iter().all(|error| matches!(error.place, Place::Set(_)))
    }

    /// The text for a terminal that shows colours, `to_string` without; both begin with the first message, so that
    /// `error: ` goes before them.
    pub fn coloured(&self) -> String {
        self.text(&Paint { error: "\u{1b}[1;31m", bold: "\u{1b}[1m", gutter: "\u{1b}[1;34m", reset: "\u{1b}[0m" })
    }

    fn text(&self, paint: &Paint) -> String {
        let mut out = String::new();
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                let Paint { error, reset, .. } = paint;
                let _ = write!(out, "\n{error}error{reset}: ");
            }
            self.one(error, paint, &mut out);
        }
        if self.left_out > 0 {
            let _ = write!(out, "\nand {} more", self.left_out);
        }
        while out.ends_with('\n') {
            out.pop();
        }
        out
    }

    fn one(&self, error: &ConfigError, paint: &Paint, out: &mut String) {
        let Paint { error: red, bold, gutter, reset } = paint;
        let file = self.file.display();
        let _ = writeln!(out, "{bold}{}{reset}", error.message);
        let mut margin = 1;
        match &error.place {
            Place::File => {
                let _ = writeln!(out, " {gutter}-->{reset} {file}");
            }
            Place::Set(text) => {
                let _ = writeln!(out, " {gutter}-->{reset} --set {text}");
            }
            Place::At { line, column, width } => {
                margin = line.to_string().len();
                let pad = " ".repeat(margin);
                let _ = writeln!(out, "{pad}{gutter}-->{reset} {file}:{line}:{column}");
                if let Some((shown, caret)) = self.shown_line(*line, *column, *width) {
                    let _ = writeln!(out, "{pad} {gutter}|{reset}");
                    let _ = writeln!(out, "{gutter}{line} |{reset} {shown}");
                    let _ = writeln!(out, "{pad} {gutter}|{reset} {red}{caret}{reset}");
                }
            }
        }
        for note in &error.notes {
            let _ = writeln!(out, "{} {gutter}={reset} {note}", " ".repeat(margin));
        }
    }

    /// The line as far as it is shown, and the carets under it.
    fn shown_line(&self, line: usize, column: usize, width: usize) -> Option<(String, String)> {
        let text = self.lines.get(line.checked_sub(1)?)?;
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let start = if column > LINE_CHARS_MAX { column - LINE_CHARS_MAX / 2 } else { 0 };
        let shown: String = text.chars().skip(start).take(LINE_CHARS_MAX).map(clean).collect();
        let before = (column - 1).saturating_sub(start);
        let room = shown.chars().count().saturating_sub(before).max(1);
        let caret = format!("{}{}", " ".repeat(before), "^".repeat(width.clamp(1, room)));
        Some((shown.trim_end().to_owned(), caret))
    }
}

struct Paint {
    error: &'static str,
    bold: &'static str,
    gutter: &'static str,
    reset: &'static str,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&Paint { error: "", bold: "", gutter: "", reset: "" }))
    }
}

impl std::error::Error for ConfigErrors {}

/// `path.key`, with the key in quotes where a dot in it would mislead.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// `path[index]`.
pub(super) fn join_index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// `; did you mean "..."?` or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// The candidate that `word` was most probably meant to be: one in three letters wrong at most.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let words = ["epochs", "batch_size", "seed"];
        assert_eq!(nearest("epohcs", words), Some("epochs"));
        assert_eq!(nearest("Epochs", words), Some("epochs"));
        assert_eq!(nearest("batchsize", words), Some("batch_size"));
        assert_eq!(nearest("momentum", words), None);
    }

    #[test]
    fn paths_quote_what_would_mislead() {
        assert_eq!(join("models", "income"), "models.income");
        assert_eq!(join("columns", "capital.gain"), "columns.\"capital.gain\"");
        assert_eq!(join_index(&join("", "hidden"), 2), "hidden[2]");
    }

    #[test]
    fn errors_are_sorted_bounded_and_point_at_the_line() {
        let text = "a: 1\nbee: 2\n";
        let at = |line, column| Place::At { line, column, width: 3 };
        let mut errors = vec![ConfigError::new(Place::Set("a=3".into()), "late")];
        errors.push(ConfigError::new(at(2, 1), "wrong").note("known keys: a, b"));
        let one = ConfigErrors::new(Path::new("t.yaml"), text, errors);
        let expected =
            "wrong\n --> t.yaml:2:1\n  |\n2 | bee: 2\n  | ^^^\n  = known keys: a, b\n\nerror: late\n --> --set a=3";
        assert_eq!(one.to_string(), expected);
        assert!(one.coloured().contains("\u{1b}[1;31merror\u{1b}[0m: "));
        assert!(!one.is_usage());
        let many = (1..=25).map(|line| ConfigError::new(at(line, 1), format!("e{line}"))).collect();
        let many = ConfigErrors::new(Path::new("t.yaml"), text, many);
        assert_eq!(many.errors().len(), 20);
        assert!(many.to_string().ends_with("and 5 more"), "{many}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = "x".repeat(500);
        let place = Place::At { line: 1, column: 400, width: 400 };
        let shown = ConfigErrors::new(Path::new("t"), &text, vec![ConfigError::new(place, "m")]).to_string();
        assert!(shown.lines().all(|line| line.len() < 180), "{shown}");
    }
}
