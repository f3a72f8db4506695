//! How are lines written, where somebody said so? Fields in braces and what stands between them.

use super::head::{FindTime, Head, level};
use crate::error::{Error, Result};

const FIELDS: [(&str, Field); 7] = [
    ("time", Field::Time),
    ("level", Field::Level),
    ("host", Field::Host),
    ("program", Field::Program),
    ("pid", Field::Pid),
    ("message", Field::Message),
    ("_", Field::Any),
];

/// A form such as `{time} {level} [{program}] {message}`.
#[derive(Debug, Clone)]
pub(super) struct Layout(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// A blank in it stands for any number of them.
    Literal(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Time,
    Level,
    Host,
    Program,
    Pid,
    Message,
    Any,
}

impl Layout {
    /// # Errors
    /// A form that is none, with what to write.
    pub(super) fn new(format: &str) -> Result<Self> {
        let wrong = |why: String| {
            Error::invalid(format!("format: {why}; write one such as \"{{time}} {{level}} [{{program}}] {{message}}\""))
        };
        let (mut pieces, mut rest) = (Vec::new(), format);
        while !rest.is_empty() {
            let Some(begin) = rest.find('{') else {
                pieces.push(literal(rest));
                break;
            };
            if begin > 0 {
                pieces.push(literal(&rest[..begin]));
            }
            let Some((name, behind)) = rest[begin + 1..].split_once('}') else {
                return Err(wrong(format!("\"{}\" is not closed", &rest[begin..])));
            };
            let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
                return Err(wrong(format!("there is no field \"{name}\", only {}", known.join(", "))));
            };
            if matches!(pieces.last(), Some(Piece::Field(before)) if *before != Field::Time) {
                return Err(wrong(format!("nothing stands before {{{name}}} that would tell where it begins")));
            }
            if *field != Field::Any && pieces.contains(&Piece::Field(*field)) {
                return Err(wrong(format!("{{{name}}} stands in it twice")));
            }
            pieces.push(Piece::Field(*field));
            rest = behind;
        }
        match pieces.contains(&Piece::Field(Field::Message)) {
            true => Ok(Self(pieces)),
            false => Err(wrong("there is no {message} in it".to_owned())),
        }
    }

    /// The head of a line that is written so, and the level as it is written; none of another line.
    pub(super) fn read<'a>(&self, line: &'a str, find_time: &FindTime) -> Option<(Head<'a>, Option<&'a str>)> {
        let (mut head, mut written, mut rest) = (Head::default(), None, line);
        for (at, piece) in self.0.iter().enumerate() {
            let field = match piece {
                Piece::Literal(literal) => {
                    rest = behind(rest, literal)?;
                    continue;
                }
                Piece::Field(field) => *field,
            };
            let length = match (field, self.0.get(at + 1)) {
                (Field::Time, _) => {
                    let (stamp, length) = find_time(rest)?;
                    head.stamp = Some(stamp);
                    length
                }
                (_, Some(Piece::Literal(next))) => find(rest, next)?,
                _ => rest.len(),
            };
            let (value, after) = rest.split_at(length);
            rest = after;
            let given = Some(value.trim()).filter(|value| !value.is_empty());
            match field {
                Field::Level => (head.level, written) = (given.and_then(level), given),
                Field::Host => head.host = given,
                Field::Program => head.program = given,
                Field::Pid => head.pid = given,
                Field::Message => head.message = value,
                Field::Time | Field::Any => {}
            }
        }
        Some((head, written))
    }
}

fn literal(text: &str) -> Piece {
    let mut single = text.replace('\t', " ");
    while single.contains("  ") {
        single = single.replace("  ", " ");
    }
    Piece::Literal(single)
}

/// What follows a literal.
fn behind<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    let mut rest = text;
    for c in literal.chars() {
        rest = match c {
            ' ' => {
                let trimmed = rest.trim_start_matches([' ', '\t']);
                let is_there = trimmed.len() < rest.len() || text.len() == rest.len() || rest.is_empty();
                is_there.then_some(trimmed)?
            }
            c => rest.strip_prefix(c)?,
        };
    }
    Some(rest)
}

/// Where a literal begins.
fn find(text: &str, literal: &str) -> Option<usize> {
    let first = literal.chars().next()?;
    let is_first = |c: char| if first == ' ' { c == ' ' || c == '\t' } else { c == first };
    let mut begins = text.char_indices().filter(|(_, c)| is_first(*c)).map(|(at, _)| at);
    begins
        .find(|&at| behind(&text[at..], literal).is_some())
        .or_else(|| literal.trim().is_empty().then_some(text.len()))
}

#[cfg(test)]
mod tests {
    use super::super::head::usual;
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_said_to_be_written() {
        let layout = Layout::new("{time} - {level}  [{program}:{_}@{pid}] - {message}").unwrap();
        let line = "2015-07-29 17:41:44,747 - INFO  [QuorumPeer[myid=1]/0:0:0:Fast@774] - Notification: 3200";
        let (head, written) = layout.read(line, &usual).unwrap();
        assert_eq!((head.level, written, head.pid), (Some("info"), Some("INFO"), Some("774")));
        assert_eq!((head.program, head.message), (Some("QuorumPeer[myid=1]/0"), "Notification: 3200"));
        assert!(head.stamp.is_some());
        assert!(layout.read("\tat java.lang.Thread.run", &usual).is_none());
        let plain = Layout::new("{host} {level} {message}").unwrap();
        let (head, written) = plain.read("数据   odd  some text ", &usual).unwrap();
        assert_eq!((head.host, head.level, written, head.message), (Some("数据"), None, Some("odd"), "some text "));
        assert_eq!(plain.read("a b", &usual).unwrap().0.message, "");
    }

    #[test]
    fn forms_that_are_none_are_told() {
        for (format, expected) in [
            ("{time} {level}", "there is no {message} in it"),
            ("{time", "\"{time\" is not closed"),
            ("{tiem} {message}", "no field \"tiem\""),
            ("{host}{message}", "nothing stands before {message}"),
            ("{host} {host} {message}", "{host} stands in it twice"),
        ] {
            let error = Layout::new(format).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
