//! What stands in front of a message? Its time, level, host, program and process, as far as they can be told by their looks.

use super::syslog::{SEVERITIES, Syslog, priority, tag};
use super::time::{Stamp, stamp};

/// Words at whose beginning a time is looked for.
pub(super) const PLACES: usize = 8;
/// Bytes of a line in which its head has to be.
const HEAD_BYTES_MAX: usize = 1_024;
/// Longest name of a host or a program, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The head of a line, and its message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Head<'a> {
    pub(super) stamp: Option<Stamp>,
    /// Number of the word that the time begins in.
    pub(super) place: usize,
    pub(super) level: Option<&'static str>,
    pub(super) host: Option<&'a str>,
    pub(super) program: Option<&'a str>,
    pub(super) pid: Option<&'a str>,
    pub(super) message: &'a str,
}

/// How times are found: at the beginning of a text, and how long they are.
pub(super) type FindTime<'a> = dyn Fn(&str) -> Option<(Stamp, usize)> + 'a;

/// In the usual forms.
pub(super) fn usual(text: &str) -> Option<(Stamp, usize)> {
    stamp(text.as_bytes())
}

impl<'a> Head<'a> {
    /// Reads the head of a line.
    pub(super) fn read(line: &'a str, find_time: &FindTime) -> Self {
        if let Some((_, rest)) = priority(line) {
            let found = Syslog::read(line);
            if found.stamp.is_some() || rest.starts_with("1 ") {
                return Self::of_syslog(found);
            }
        }
        if let Some(head) = glog(line) {
            return head;
        }
        let Some(found) = find(line, find_time) else {
            let mut head = Self { message: line, ..Self::default() };
            head.items(line, false);
            return head;
        };
        let (mut place, mut begin, mut end, mut shown) = (found.place, found.begin, found.end, found.stamp);
        // Seconds since 1970 may stand in front of what syslog writes.
        if matches!(shown, Stamp::Epoch(_))
            && let Some(again) = find(&line[end..], find_time)
        {
            (begin, shown, end) = (end + again.begin, again.stamp, end + again.end);
        }
        let mut head = Self { stamp: Some(found.stamp), ..Self::default() };
        std::mem::swap(&mut head.place, &mut place);
        let is_syslog = matches!(shown, Stamp::Wall(wall) if wall.is_bsd || wall.is_iso);
        if is_syslog && head.syslog(&line[end..], shown) {
            return head;
        }
        if is_access(&line[..begin], &line[end..]) {
            head.host = line.split(' ').next();
            head.message = line[end..].trim_start_matches(']').trim_start();
            return head;
        }
        head.level = found_before(&line[..begin]);
        head.items(&line[end..], true);
        head
    }

    fn of_syslog(found: Syslog<'a>) -> Self {
        let Syslog { stamp, host, program, pid, message, severity, .. } = found;
        Self { stamp, place: 0, level: severity, host, program, pid, message }
    }

    /// Host and program behind a time, where it looks so; a time as ISO 8601 writes it stands before other things too.
    fn syslog(&mut self, rest: &'a str, shown: Stamp) -> bool {
        let found = Syslog::behind_time(rest);
        let is_bsd = matches!(shown, Stamp::Wall(wall) if wall.is_bsd);
        let is_sure = match is_bsd {
            true => found.host.is_some() || found.program.is_some(),
            false => {
                found.host.is_some_and(|host| level(host.trim_end_matches(':')).is_none()) && found.program.is_some()
            }
        };
        if is_sure {
            (self.host, self.program, self.pid) = (found.host, found.program, found.pid);
            self.level = leading_level(found.message);
            self.message = found.message;
        }
        is_sure
    }

    /// Level, process, thread and program behind the time, in any order; then comes the message.
    fn items(&mut self, text: &'a str, has_time: bool) {
        let mut rest = text;
        let mut in_brackets = None;
        loop {
            rest = skip_marks(rest);
            let Some(word) = rest.split([' ', '\t']).next().filter(|word| !word.is_empty()) else { break };
            if self.level.is_none()
                && let Some((found, length)) = level_item(rest, word)
            {
                self.level = Some(found);
                rest = &rest[length..];
                if rest.starts_with(':') || word.ends_with(':') {
                    rest = skip_marks(rest);
                    break;
                }
                continue;
            }
            if !has_time {
                break;
            }
            if let Some(length) = self.number(rest, word) {
                rest = &rest[length..];
                continue;
            }
            if let Some(inner) = bracket(rest).filter(|_| in_brackets.is_none()) {
                rest = &rest[inner.len() + 2..];
                match inner.split_once(':').and_then(|(module, name)| Some((module, level(name)?))) {
                    Some((module, found)) if self.level.is_none() => {
                        (self.program, self.level) = (Some(module), Some(found)); // Apache: [core:error]
                    }
                    _ => in_brackets = Some(inner),
                }
                continue;
            }
            match self.named(rest, word) {
                Some(length) => rest = &rest[length..],
                None => break,
            }
        }
        let is_name = |name: &&str| !name.is_empty() && !name.contains(' ') && name.len() <= NAME_BYTES_MAX;
        self.program = self.program.or(in_brackets.filter(is_name));
        // A line that is all head is all message.
        self.message = if rest.trim().is_empty() { text.trim() } else { rest };
    }

    /// A process: `[1234]`, `[pid 1234:tid 5]`, `1234#0:`, or a number before a level or another number.
    fn number(&mut self, rest: &'a str, word: &'a str) -> Option<usize> {
        let is_number = |text: &str| (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(inner) = bracket(rest) {
            let named = inner.strip_prefix("pid ").unwrap_or(inner);
            let number = named.split([':', ' ']).next().filter(|number| is_number(number))?;
            let is_pid = number.len() == inner.len() || named.len() < inner.len();
            if is_pid && self.pid.is_none() {
                self.pid = Some(number);
                return Some(inner.len() + 2);
            }
            return None;
        }
        let bare = word.trim_end_matches(':');
        if let Some((process, thread)) = bare.split_once('#')
            && is_number(process)
            && is_number(thread)
            && self.pid.is_none()
        {
            self.pid = Some(process);
            return Some(word.len());
        }
        if !is_number(word) {
            return None;
        }
        let mut words = rest[word.len()..].split([' ', '\t']).filter(|word| !word.is_empty());
        let next = words.next().unwrap_or_default();
        let is_level = |word: &str| level_item(word, word).is_some() || letter_level(word).is_some();
        let is_before = is_level(next) || (is_number(next) && words.next().is_some_and(is_level));
        if !is_before {
            return None;
        }
        let behind = rest[word.len()..].trim_start();
        let has_letter = letter_level(next).is_some();
        if has_letter && self.level.is_none() {
            self.level = letter_level(next);
        }
        self.pid = self.pid.or(Some(word));
        Some(if has_letter { rest.len() - behind.len() + next.len() } else { word.len() })
    }

    /// `program[pid]:`, and behind a level `program:`, `package.Class -` or `package.module [`.
    fn named(&mut self, rest: &'a str, word: &'a str) -> Option<usize> {
        if let Some((program, pid, message)) = tag(rest)
            && (self.level.is_some() || pid.is_some())
            && self.program.is_none()
        {
            self.program = program;
            self.pid = self.pid.or(pid);
            return Some(rest.len() - message.len());
        }
        self.level?;
        let is_name = word.len() <= NAME_BYTES_MAX
            && word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._$:/-".contains(&byte));
        let behind = rest[word.len()..].trim_start();
        let is_program = ["- ", ": ", "| "].iter().any(|mark| behind.starts_with(mark))
            || (behind.starts_with('[') && word.contains('.'));
        if self.program.is_some() || !is_name || !is_program {
            return None;
        }
        self.program = Some(word);
        Some(word.len())
    }
}

/// A time and where it was.
struct Found {
    stamp: Stamp,
    place: usize,
    begin: usize,
    end: usize,
}

/// The first time at the beginning of a word, behind brackets, quotes or a key.
fn find(line: &str, find_time: &FindTime) -> Option<Found> {
    let mut begin = 0;
    for place in 0..PLACES {
        begin += line[begin..].len() - line[begin..].trim_start().len();
        let word = line[begin..].split([' ', '\t']).next().filter(|word| !word.is_empty())?;
        if begin > HEAD_BYTES_MAX {
            return None;
        }
        let inner = begin + before_time(word);
        if let Some((stamp, length)) = find_time(&line[inner..]) {
            // A number is a time only where nothing else but a mark stands before it.
            let is_first = place == 0 || (place == 1 && line[..begin].trim().len() <= 1) || inner > begin;
            if is_first || matches!(stamp, Stamp::Wall(_)) {
                return Some(Found { stamp, place, begin: inner, end: inner + length });
            }
        }
        begin += word.len();
    }
    None
}

/// What stands before a time in its word: brackets and quotes, or a key.
fn before_time(word: &str) -> usize {
    const KEYS: [&str; 7] = ["time=", "ts=", "t=", "timestamp=", "datetime=", "date=", "at="];
    let key = KEYS.iter().find(|key| word.starts_with(**key)).map_or(0, |key| key.len());
    let marks = word[key..].bytes().take_while(|byte| b"[(\"'<{|".contains(byte)).count();
    key + marks
}

/// `host ident user [time] "request" ...`: the access log of Apache or nginx.
fn is_access(before: &str, behind: &str) -> bool {
    before.ends_with(" [") && behind.starts_with("] \"") && before.split(' ').count() >= 4
}

/// Blanks and marks between the items of a head.
fn skip_marks(text: &str) -> &str {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '|', ']', ')', ',', ';', '"', '>']);
        let next = match trimmed.strip_prefix(['-', ':', '*', '#']) {
            Some(behind) if behind.is_empty() || behind.starts_with([' ', '\t']) => behind,
            _ => trimmed,
        };
        if next.len() == rest.len() {
            return rest;
        }
        rest = next;
    }
}

/// What stands in brackets at the beginning; there may be others inside.
fn bracket(text: &str) -> Option<&str> {
    if !text.starts_with('[') {
        return None;
    }
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().take(HEAD_BYTES_MAX) {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[1..at]);
        }
    }
    None
}

/// The level that a word names, whatever its case.
pub(super) fn level(word: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 17] = [
        ("trace", "trace"),
        ("verbose", "trace"),
        ("warn", "warning"),
        ("err", "error"),
        ("severe", "error"),
        ("crit", "critical"),
        ("fatal", "critical"),
        ("failure", "error"),
        ("emerg", "emergency"),
        ("panic", "emergency"),
        ("information", "info"),
        ("informational", "info"),
        ("dbg", "debug"),
        ("inf", "info"),
        ("wrn", "warning"),
        ("fine", "debug"),
        ("finest", "trace"),
    ];
    if !(3..=13).contains(&word.len()) {
        return None;
    }
    let severity = SEVERITIES.iter().find(|name| name.eq_ignore_ascii_case(word)).copied();
    severity.or_else(|| NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level))
}

/// The level that a letter stands for, as Android and glog write it.
fn letter_level(word: &str) -> Option<&'static str> {
    Some(match word {
        "V" => "trace",
        "D" => "debug",
        "I" => "info",
        "W" => "warning",
        "E" => "error",
        "F" => "critical",
        _ => return None,
    })
}

/// A level at the beginning, and how long it is: in capitals, in brackets, before a colon or behind its key.
fn level_item(rest: &str, word: &str) -> Option<(&'static str, usize)> {
    if let Some(inner) = bracket(rest) {
        return level(inner.trim()).map(|found| (found, inner.len() + 2));
    }
    for key in ["level=", "lvl=", "severity="] {
        if let Some(value) = word.strip_prefix(key) {
            return level(value.trim_matches(['"', ','])).map(|found| (found, word.len()));
        }
    }
    let end = word.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (name, behind) = word.split_at(end);
    let is_capital = name.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_item = match behind {
        "" => is_capital,
        ":" | "|" | "," => true,
        _ => false,
    };
    if name == "LOG" && behind == ":" {
        return Some(("info", word.len())); // PostgreSQL
    }
    level(name).filter(|_| is_item).map(|found| (found, word.len()))
}

/// The level in front of a message that keeps it.
fn leading_level(message: &str) -> Option<&'static str> {
    let word = message.split([' ', '\t']).next().unwrap_or_default();
    level_item(message, word).map(|(found, _)| found)
}

/// The last level in what stands before the time.
fn found_before(text: &str) -> Option<&'static str> {
    text.split([' ', '\t']).rev().find_map(|word| level(word.trim_matches(['[', ']', '(', ')', ':', '|', '-'])))
}

/// Whether a word may be the name or the address of a machine.
pub(super) fn is_host(word: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&word.len())
        && !word.ends_with(':')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:/@".contains(&byte))
        && word.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// glog and Kubernetes: `I0131 12:00:00.123456 1234 file.go:12] message`.
fn glog(line: &str) -> Option<Head<'_>> {
    let level = letter_level(line.get(..1)?)?;
    let rest = line
        .get(1..)
        .filter(|rest| rest.as_bytes().iter().take(4).filter(|byte| byte.is_ascii_digit()).count() == 4)?;
    let dated = format!("{}-{}", &rest[..2], rest.get(2..rest.len().min(28)).filter(|text| text.is_ascii())?);
    let (found, length) = stamp(dated.as_bytes())?;
    let rest = rest.get(length - 1..)?.trim_start();
    let (pid, rest) = rest.split_once(' ')?;
    let (program, message) = rest.split_once("] ")?;
    let is_pid = pid.bytes().all(|byte| byte.is_ascii_digit());
    let is_file = program.len() <= NAME_BYTES_MAX && program.contains(':') && !program.contains(' ');
    (is_pid && is_file).then_some(Head {
        stamp: Some(found),
        place: 0,
        level: Some(level),
        host: None,
        program: program.split(':').next(),
        pid: Some(pid),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `level|host|program|pid|message`, `-` for what is not there; the place of the time first.
    fn read(line: &str) -> String {
        let head = Head::read(line, &usual);
        let shown = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let place = head.stamp.map_or("-".to_owned(), |_| head.place.to_string());
        [place, shown(head.level), shown(head.host), shown(head.program), shown(head.pid), head.message.to_owned()]
            .join("|")
    }

    #[test]
    fn heads_of_the_usual_forms_are_read() {
        for (line, expected) in [
            ("2026-01-31 12:00:00,123 INFO started", "0|info|-|-|-|started"),
            ("2026-01-31 12:00:00,123 [main] WARN  c.Foo - slow", "0|warning|-|c.Foo|-|slow"),
            ("2026-01-31 12:00:00 ERROR c.Foo: no route", "0|error|-|c.Foo|-|no route"),
            ("[2026-01-31 12:00:00] [error] [1234] no route", "0|error|-|-|1234|no route"),
            ("[2026-01-31T12:00:00Z INFO  tidemill::serve] ready", "0|info|-|-|-|tidemill::serve] ready"),
            (
                "081109 203615 148 INFO dfs.DataNode$P: PacketResponder 1",
                "0|info|-|dfs.DataNode$P|148|PacketResponder 1",
            ),
            (
                "nova-api.log 2017-05-16 00:00:00.008 25746 INFO nova.wsgi [req-1 - -] 10.1.1.1 \"GET /\"",
                "1|info|-|nova.wsgi|25746|10.1.1.1 \"GET /\"",
            ),
            (
                "2015-07-29 17:41:44,747 - INFO  [QuorumPeer[myid=1]/0:Fast@774] - Notification time out: 3200",
                "0|info|-|QuorumPeer[myid=1]/0:Fast@774|-|Notification time out: 3200",
            ),
            ("17/06/09 20:10:40 INFO executor.Backend: Registered", "0|info|-|executor.Backend|-|Registered"),
            (
                "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: failure; uid=0",
                "0|-|combo|sshd(pam_unix)|19939|failure; uid=0",
            ),
            ("Jun 14 15:16:01 combo last message repeated 2 times", "0|-|combo|-|-|last message repeated 2 times"),
            ("Jun 14 15:16:01 combo app: ERROR: gone", "0|error|combo|app|-|ERROR: gone"),
            ("<11>Jun 14 15:16:01 combo su: no", "0|error|combo|su|-|no"),
            (
                "<165>1 2003-10-11T22:14:15.003Z m.example.com ev 12 ID47 - An event",
                "0|notice|m.example.com|ev|12|An event",
            ),
            ("2026-01-31T12:00:00.123456+08:00 node1 cron[12]: run", "0|-|node1|cron|12|run"),
            (
                "- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session closed",
                "1|-|dn228/dn228|crond(pam_unix)|2915|session closed",
            ),
            (
                "127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 2326",
                "3|-|127.0.0.1|-|-|\"GET / HTTP/1.0\" 200 2326",
            ),
            ("2026/01/31 12:00:00 [error] 1234#0: *5 open() failed", "0|error|-|-|1234|*5 open() failed"),
            ("[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok", "0|notice|-|-|-|workerEnv.init() ok"),
            (
                "[Wed Oct 11 14:32:52.123456 2000] [core:error] [pid 35708:tid 43] [client 1.2.3.4] no file",
                "0|error|-|core|35708|no file",
            ),
            ("01-17 16:13:38.811  1702  2395 D WindowManager: on screen", "0|debug|-|WindowManager|1702|on screen"),
            ("I0131 12:00:00.123456   1234 server.go:12] Started kubelet", "0|info|-|server.go|1234|Started kubelet"),
            ("time=\"2026-01-31T12:00:00Z\" level=info msg=\"done\"", "0|info|-|-|-|msg=\"done\""),
            ("2026-01-31 12:00:00.123 UTC [1234] LOG:  statement: SELECT 1", "0|info|-|-|1234|statement: SELECT 1"),
            ("2026-01-31 12:00:00 12 34 56", "0|-|-|-|-|12 34 56"),
            ("2026-01-31 12:00:00 1702 INFO up", "0|info|-|-|1702|up"),
            ("1117838570 instruction cache parity error", "0|-|-|-|-|instruction cache parity error"),
            ("ERROR: no such file", "-|error|-|-|-|no such file"),
            ("no head at all 12:00", "-|-|-|-|-|no head at all 12:00"),
            ("2026-01-31 12:00:00", "0|-|-|-|-|"),
            ("2026-01-31 12:00:00 INFO", "0|info|-|-|-|INFO"),
            ("2026-01-31 12:00:00 数据中心 温度 31", "0|-|-|-|-|数据中心 温度 31"),
            ("", "-|-|-|-|-|"),
            ("[", "-|-|-|-|-|["),
            ("user 1234567890 logged in", "-|-|-|-|-|user 1234567890 logged in"),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn no_line_is_too_odd() {
        let seeds = [
            "2026-01-31 12:00:00 [é] ü: [",
            "<13>1 - [é",
            "Jan 31 12:00:00 ü[1]: é",
            "I0131 12:00é:00.1 1 a:1] x",
            "[[[[é]",
        ];
        for seed in seeds {
            for (cut, _) in seed.char_indices() {
                let line = &seed[cut..];
                let head = Head::read(line, &usual);
                assert!(line.contains(head.message), "{line}");
            }
        }
    }
}
