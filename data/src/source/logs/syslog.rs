//! How is a message of syslog written? RFC 5424, and the older habits that RFC 3164 tells of.

use serde_json::{Map, Value};

use super::head::is_host;
pub(crate) use super::time::offset_s;
use super::time::{Clock, Stamp, stamp};

/// Names of the severities, from 0.
pub(crate) const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
/// Names of the facilities, from 0.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// What a message says, as far as it does.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Syslog<'a> {
    pub(crate) facility: Option<&'static str>,
    pub(crate) severity: Option<&'static str>,
    pub(super) stamp: Option<Stamp>,
    pub(crate) host: Option<&'a str>,
    pub(crate) program: Option<&'a str>,
    pub(crate) pid: Option<&'a str>,
    pub(crate) message_id: Option<&'a str>,
    /// Elements by their ids, values by their names.
    pub(crate) structured_data: Option<Map<String, Value>>,
    pub(crate) message: &'a str,
}

impl<'a> Syslog<'a> {
    /// Reads a message with its priority in front; what is not written as it should be is all message.
    pub(crate) fn read(text: &'a str) -> Self {
        let Some((priority, rest)) = priority(text) else { return Self::bsd(text) };
        let mut found = Self::rfc5424(rest).unwrap_or_else(|| Self::bsd(rest));
        found.facility = FACILITIES.get(usize::from(priority / 8)).copied();
        found.severity = Some(SEVERITIES[usize::from(priority % 8)]);
        found
    }

    /// What follows the priority, by RFC 5424.
    fn rfc5424(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("1 ")?;
        let mut fields = rest.splitn(6, ' ');
        let mut next = || fields.next().filter(|field| !field.is_empty());
        let (time, host, program, pid, message_id, rest) = (next()?, next()?, next()?, next()?, next()?, next()?);
        let given = |field: &'a str| Some(field).filter(|field| *field != "-");
        let stamp = match given(time) {
            None => None,
            Some(time) => Some(stamp(time.as_bytes()).filter(|(_, length)| *length == time.len())?.0),
        };
        let (structured_data, rest) = structured_data(rest)?;
        let message = rest.strip_prefix(' ').unwrap_or(rest);
        Some(Self {
            stamp,
            host: given(host),
            program: given(program),
            pid: given(pid),
            message_id: given(message_id),
            structured_data,
            message: message.strip_prefix('\u{feff}').unwrap_or(message),
            ..Self::default()
        })
    }

    /// What follows the priority, by RFC 3164: time, host, program, message; or as much of it as there is.
    fn bsd(text: &'a str) -> Self {
        let Some((found, length)) = stamp(text.as_bytes()) else {
            let (program, pid, message) = tag(text).unwrap_or((None, None, text));
            return Self { program, pid, message, ..Self::default() };
        };
        Self { stamp: Some(found), ..Self::behind_time(&text[length..]) }
    }

    /// What follows the time: host, program, message.
    pub(super) fn behind_time(text: &'a str) -> Self {
        let rest = text.strip_prefix(':').unwrap_or(text).trim_start(); // Cisco writes a colon behind the time
        let first = rest.split(' ').next().unwrap_or_default();
        let (host, rest) = match is_host(first) {
            true => (Some(first), rest[first.len()..].trim_start()),
            false => (None, rest),
        };
        let (program, pid, message) = tag(rest).unwrap_or((None, None, rest));
        Self { host, program, pid, message, ..Self::default() }
    }

    /// The time, where it is written; a year or an offset that is not written is that of now and here.
    pub(crate) fn micros(&self, now: i64, offset_s: i64) -> Option<i64> {
        let today = chrono::DateTime::from_timestamp_micros(now)?.date_naive();
        Clock::new(None, today, offset_s).micros(self.stamp.as_ref()?)
    }
}

/// The number in `<34>`, and what follows.
pub(super) fn priority(text: &str) -> Option<(u8, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u8 = number.parse().ok().filter(|number| is_number && *number < 192)?;
    Some((number, rest))
}

/// `program[pid]: message` or `program: message`.
pub(super) fn tag(text: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
    const LENGTH_MAX: usize = 128;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./-()@#+%$".contains(byte);
    let end = text.bytes().take(LENGTH_MAX).take_while(is_name).count();
    let (name, rest) = text.split_at(end);
    let (pid, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((pid, rest)) if !pid.is_empty() && pid.len() <= LENGTH_MAX && !pid.contains(' ') => (Some(pid), rest),
        _ => (None, rest),
    };
    let rest = match rest.strip_prefix(':') {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => rest,
        None if pid.is_some() && rest.starts_with(' ') => rest,
        _ => return None,
    };
    (!name.is_empty()).then(|| (Some(name), pid, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// `-`, or `[id name="value" ...]` once or more; and what follows.
fn structured_data(text: &str) -> Option<(Option<Map<String, Value>>, &str)> {
    if let Some(rest) = text.strip_prefix('-') {
        return (rest.is_empty() || rest.starts_with(' ')).then_some((None, rest));
    }
    let (mut elements, mut rest) = (Map::new(), text);
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']'])?;
        let (id, mut parameters) = element.split_at(end);
        let mut values = Map::new();
        rest = loop {
            parameters = parameters.trim_start_matches(' ');
            if let Some(rest) = parameters.strip_prefix(']') {
                break rest;
            }
            let (name, value) = parameters.split_once("=\"")?;
            let (value, behind) = quoted(value)?;
            add(&mut values, name, value);
            parameters = behind;
        };
        elements.insert(id.to_owned(), Value::Object(values));
    }
    (!elements.is_empty() && (rest.is_empty() || rest.starts_with(' '))).then_some((Some(elements), rest))
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '"' | '\\' | ']' if is_escaped => value.push(c),
            '"' => return Some((value, &text[at + 1..])),
            '\\' if !is_escaped => {
                is_escaped = true;
                continue;
            }
            c => {
                if is_escaped {
                    value.push('\\');
                }
                value.push(c);
            }
        }
        is_escaped = false;
    }
    None
}

/// A name may come more than once.
fn add(values: &mut Map<String, Value>, name: &str, value: String) {
    match values.get_mut(name) {
        None => {
            values.insert(name.to_owned(), Value::String(value));
        }
        Some(Value::Array(all)) => all.push(Value::String(value)),
        Some(one) => *one = Value::Array(vec![one.take(), Value::String(value)]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_rfc_5424_are_read() {
        let text = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 8710 ID47 \
                    [exampleSDID@32473 iut=\"3\" eventSource=\"App \\\"x\\\" \\] \\n\"][b ip=\"1\" ip=\"2\"] \u{feff}An event ü";
        let found = Syslog::read(text);
        assert_eq!((found.facility, found.severity), (Some("local4"), Some("notice")));
        assert_eq!((found.host, found.program), (Some("mymachine.example.com"), Some("evntslog")));
        assert_eq!((found.pid, found.message_id), (Some("8710"), Some("ID47")));
        assert_eq!(found.micros(0, 0), Some(1_065_910_455_003_000));
        let expected =
            json!({ "exampleSDID@32473": { "iut": "3", "eventSource": "App \"x\" ] \\n" }, "b": { "ip": ["1", "2"] } });
        assert_eq!(found.structured_data.map(Value::Object), Some(expected));
        assert_eq!(found.message, "An event ü");
        let bare = Syslog::read("<0>1 - - - - - -");
        assert_eq!((bare.severity, bare.stamp, bare.host, bare.message), (Some("emergency"), None, None, ""));
    }

    #[test]
    fn messages_of_rfc_3164_and_of_no_rule_are_read() {
        let found = Syslog::read("<34>Oct 11 22:14:15 mymachine su[231]: 'su root' failed");
        assert_eq!((found.facility, found.severity), (Some("auth"), Some("critical")));
        assert_eq!((found.host, found.program, found.pid), (Some("mymachine"), Some("su"), Some("231")));
        assert_eq!(found.message, "'su root' failed");
        let now = 1_769_860_800_000_000; // 2026-01-31
        assert_eq!(found.micros(now, 0), Some(1_760_220_855_000_000), "the last October");
        let found = Syslog::read("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!");
        assert_eq!((found.host, found.program, found.message), (Some("10.0.0.99"), None, "Use the BFG!"));
        let found = Syslog::read("<13>app: started");
        assert_eq!((found.program, found.message), (Some("app"), "started"));
        for text in ["", "no syslog at all", "<999>x", "<>", "<13", "<1234>x y"] {
            let found = Syslog::read(text);
            assert_eq!((found.severity, found.message), (None, text));
        }
        for broken in ["1 x y", "1 - - - - - [a", "1 - - - - - [a b=\"c]", "1 - - - - -x", "1 2003-10-11 h p 1 2 -"] {
            let text = format!("<13>{broken}");
            assert_eq!(Syslog::read(&text).message, broken, "{broken}");
        }
    }
}
