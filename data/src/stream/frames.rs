//! Where does a message of syslog end on a connection? RFC 6587: its length stands in front of it, or a line break behind it;
//! both may come on one connection.

/// Figures of a length, at most.
const DIGITS_MAX: u8 = 9;

/// Cuts what comes into messages, of which it keeps so many bytes; the rest of a longer one is left out.
#[derive(Debug)]
pub(super) struct Frames {
    bytes_max: usize,
    kept: Vec<u8>,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Between,
    /// In a length, as far as it was read.
    Length {
        octets: usize,
        digits: u8,
    },
    /// In a message of which so many bytes are to come.
    Octets(usize),
    /// In a message that a line break ends.
    Line,
}

impl Frames {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Vec::new(), at: At::Between }
    }

    /// Takes what came; hands out the messages that are whole.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Vec<u8>)) {
        while let Some(&byte) = bytes.first() {
            match self.at {
                At::Between => match byte {
                    b'\n' | b'\r' | 0 => bytes = &bytes[1..],
                    b'1'..=b'9' => self.at = At::Length { octets: 0, digits: 0 },
                    _ => self.at = At::Line,
                },
                At::Length { octets, digits } => match byte {
                    b'0'..=b'9' if digits < DIGITS_MAX => {
                        self.keep(&bytes[..1]);
                        self.at = At::Length { octets: octets * 10 + usize::from(byte - b'0'), digits: digits + 1 };
                        bytes = &bytes[1..];
                    }
                    b' ' => {
                        self.kept.clear();
                        self.at = At::Octets(octets);
                        bytes = &bytes[1..];
                    }
                    _ => self.at = At::Line, // a message that begins with a number
                },
                At::Octets(left) => {
                    let (part, rest) = bytes.split_at(left.min(bytes.len()));
                    self.keep(part);
                    bytes = rest;
                    self.at = At::Octets(left - part.len());
                    if left == part.len() {
                        each(self.end());
                    }
                }
                At::Line => {
                    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | 0));
                    self.keep(&bytes[..end.unwrap_or(bytes.len())]);
                    bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
                    if end.is_some() {
                        each(self.end());
                    }
                }
            }
        }
    }

    /// What came of a message that the end of the connection cut, or that needs no line break there.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        Some(self.end()).filter(|message| !message.is_empty())
    }

    fn keep(&mut self, part: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end(&mut self) -> Vec<u8> {
        self.at = At::Between;
        let mut message = std::mem::take(&mut self.kept);
        while message.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            message.pop();
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], step: usize, bytes_max: usize) -> Vec<String> {
        let (mut frames, mut found) = (Frames::new(bytes_max), Vec::new());
        bytes.chunks(step).for_each(|chunk| frames.push(chunk, |message| found.push(message)));
        found.extend(frames.finish());
        found.into_iter().map(|message| String::from_utf8_lossy(&message).into_owned()).collect()
    }

    #[test]
    fn messages_end_by_their_length_or_a_line_break() {
        let check = |bytes: &[u8], bytes_max: usize, expected: &[&str]| {
            for step in [1, 2, 3, 7, 1_000] {
                assert_eq!(cut(bytes, step, bytes_max), expected, "{step}");
            }
        };
        check(b"<13>a\n<13>b\r\n\n<13>c", 100, &["<13>a", "<13>b", "<13>c"]);
        check(b"6 <13>a\n7 <13>b\nc5 <13>d<13>e\n", 100, &["<13>a", "<13>b\nc", "<13>d", "<13>e"]);
        check(b"<13>a\0<13>b\0", 100, &["<13>a", "<13>b"]);
        check(b"12:00 no length\n", 100, &["12:00 no length"]);
        check(b"99999999999 x\n", 100, &["99999999999 x"]);
        check(b"20 <13>too long a one  5 <13>b<13>also too long\n<13>c\n", 6, &["<13>to", "<13>b", "<13>al", "<13>c"]);
        check(b"50 <13>cut off", 100, &["<13>cut off"]);
        check(b"", 100, &[]);
    }
}
