//! Where does each JSON object of a text begin and end? Objects one after another, or in one array; each with its line.

use serde_json::{Deserializer, Map, Value};

/// An object, or what stands in its place.
pub(crate) struct Found<'a> {
    /// The line on which it begins, from 1.
    pub(crate) line: u64,
    pub(crate) text: &'a [u8],
    pub(crate) object: Result<Map<String, Value>, String>,
}

/// The objects of a text; after something that is none it goes on with the next line.
pub(crate) struct Objects<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
    /// Begins with a bracket: commas stand between the objects, and a bracket after them.
    in_array: bool,
    is_first: bool,
}

impl<'a> Objects<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(text);
        let mut objects = Self { text, at: 0, line: 1, in_array: false, is_first: true };
        objects.skip_blanks();
        if objects.peek() == Some(b'[') {
            objects.in_array = true;
            objects.at += 1;
        }
        objects
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek().filter(u8::is_ascii_whitespace) {
            self.line += u64::from(byte == b'\n');
            self.at += 1;
        }
    }

    fn go_to(&mut self, end: usize) {
        self.line += self.text[self.at..end].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at = end;
    }

    /// What is between two objects of an array; the reason where it is something else, none at the end.
    fn separator(&mut self) -> Option<Result<(), String>> {
        self.skip_blanks();
        match (self.peek(), self.is_first) {
            (Some(b']'), _) => {
                self.at += 1;
                self.skip_blanks();
                let more = self.at < self.text.len();
                more.then(|| Err("something follows after the array".to_owned()))
            }
            (None, _) => Some(Err("the array is cut off".to_owned())),
            (Some(b','), false) => {
                self.at += 1;
                self.skip_blanks();
                Some(Ok(()))
            }
            (Some(_), true) => Some(Ok(())),
            (Some(_), false) => Some(Err("a comma is missing between two objects".to_owned())),
        }
    }

    /// Ends here: what follows cannot be told apart.
    fn give_up(&mut self, reason: String) -> Found<'a> {
        let rest = &self.text[self.at.min(self.text.len())..];
        self.at = self.text.len();
        self.in_array = false;
        Found { line: self.line, text: rest, object: Err(reason) }
    }
}

impl<'a> Iterator for Objects<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if self.in_array {
            match self.separator() {
                None => {
                    self.in_array = false;
                    return None;
                }
                Some(Err(reason)) => return Some(self.give_up(reason)),
                Some(Ok(())) => self.is_first = false,
            }
        }
        self.skip_blanks();
        let (begin, line) = (self.at, self.line);
        if begin >= self.text.len() {
            return self.in_array.then(|| self.give_up("the array is cut off".to_owned()));
        }
        let mut values = Deserializer::from_slice(&self.text[begin..]).into_iter::<Value>();
        let value = values.next()?;
        let length = values.byte_offset();
        let object = match value {
            Ok(Value::Object(object)) => {
                self.go_to(begin + length);
                Ok(object)
            }
            Ok(other) => {
                self.go_to(begin + length.max(1));
                let shown: String = other.to_string().chars().take(40).collect();
                Err(format!("{shown} where an object was expected"))
            }
            Err(error) => {
                if self.in_array {
                    return Some(self.give_up(reason(&error)));
                }
                let rest = &self.text[begin..];
                let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
                self.go_to(begin + end);
                Err(reason(&error))
            }
        };
        Some(Found { line, text: self.text[begin..self.at].trim_ascii_end(), object })
    }
}

/// The parser's words, without its own count of lines.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    format!("no JSON object ({})", text.split(" at line ").next().unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `line: keys` of objects, `line! reason` of what is none.
    fn found(text: &str) -> Vec<String> {
        let tell = |found: Found| match found.object {
            Ok(object) => format!("{}: {}", found.line, object.keys().cloned().collect::<Vec<_>>().join(",")),
            Err(reason) => format!("{}! {reason}", found.line),
        };
        Objects::of(text.as_bytes()).map(tell).collect()
    }

    #[test]
    fn objects_stand_one_after_another_or_in_an_array() {
        assert_eq!(found("{\"a\":1}\n\n{\"b\":2}{\"c\":3}\n"), ["1: a", "3: b", "3: c"]);
        assert_eq!(found("\u{feff}{\n  \"a\": 1,\n  \"b\": 2\n}\n{\"c\": 3}"), ["1: a,b", "5: c"]);
        assert_eq!(found(" [ {\"a\":1},\n {\"b\":2} ]\n"), ["1: a", "2: b"]);
        assert_eq!(found("[]"), [""; 0]);
        assert_eq!(found("  \n"), [""; 0]);
    }

    #[test]
    fn what_is_no_object_is_told_with_its_line_and_the_rest_goes_on() {
        assert_eq!(
            found("{\"a\":1}\n{\"a\":\n{\"b\":2}\n7\n{\"c\":3}"),
            ["1: a", "2! no JSON object (expected `,` or `}`)", "3: b", "4! 7 where an object was expected", "5: c"]
        );
        assert_eq!(found("{\"a\":1}\nxyz\n{\"b\":2}"), ["1: a", "2! no JSON object (expected value)", "3: b"]);
        assert_eq!(found("[{\"a\":1} {\"b\":2}]"), ["1: a", "1! a comma is missing between two objects"]);
        assert_eq!(found("[{\"a\":1},"), ["1: a", "1! the array is cut off"]);
        assert_eq!(found("[{\"a\":1}]x"), ["1: a", "1! something follows after the array"]);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(found(&deep), ["1! no JSON object (recursion limit exceeded)"]);
    }
}
