//! Senders of messages: the protocols of Redis, NATS and MQTT as far as the tests need them, each waiting for its answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::servers::PASSWORD;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(port: u16) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

/// A client of Redis.
pub struct Redis(BufReader<TcpStream>);

impl Redis {
    pub fn new(port: u16) -> Self {
        let mut client = Self(open(port));
        assert_eq!(client.ask(&["AUTH", PASSWORD]), "OK");
        client
    }

    /// One command, one simple answer: the text of a status, a number, or a text.
    pub fn ask(&mut self, words: &[&str]) -> String {
        self.send(words);
        self.answer()
    }

    /// Sends a command without waiting for its answer.
    pub fn send(&mut self, words: &[&str]) {
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let rest = line[1..].trim_end().to_owned();
        match &line[..1] {
            "$" if rest == "-1" => "nil".to_owned(),
            "$" => {
                let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut text).unwrap();
                String::from_utf8(text[..text.len() - 2].to_vec()).unwrap()
            }
            "*" => (0..rest.parse::<usize>().unwrap_or(0)).map(|_| self.answer()).collect::<Vec<_>>().join(" "),
            "-" => panic!("Redis: {rest}"),
            _ => rest,
        }
    }

    /// Adds entries to a stream, many commands on their way at once.
    pub fn add<'a>(&mut self, stream: &str, entries: impl Iterator<Item = Vec<(&'a str, String)>>) {
        let entries: Vec<_> = entries.collect();
        for some in entries.chunks(500) {
            for fields in some {
                let mut words = vec!["XADD", stream, "*"];
                fields.iter().for_each(|(name, value)| words.extend([*name, value.as_str()]));
                self.send(&words);
            }
            some.iter().for_each(|_| drop(self.answer()));
        }
    }

    /// Entries that were delivered to the group and not acknowledged.
    pub fn pending(&mut self, stream: &str) -> u64 {
        self.ask(&["XPENDING", stream, "tidemill"]).split(' ').next().unwrap().parse().unwrap()
    }
}

/// A client of NATS.
pub struct Nats(BufReader<TcpStream>);

impl Nats {
    pub fn new(port: u16) -> Self {
        let mut client = Self(open(port));
        let hello = json!({ "verbose": false, "pedantic": false, "user": "reader", "pass": PASSWORD, "headers": true });
        client.line(); // INFO
        client.write(format!("CONNECT {hello}\r\nSUB answers 1\r\nPING\r\n").as_bytes());
        assert_eq!(client.line(), "PONG");
        client
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next answer to what was published.
    fn answer(&mut self) -> Value {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "PING" => self.write(b"PONG\r\n"),
                "MSG" => {
                    let mut body = vec![0; words[words.len() - 1].parse::<usize>().unwrap() + 2];
                    self.0.read_exact(&mut body).unwrap();
                    return serde_json::from_slice(&body[..body.len() - 2]).unwrap();
                }
                "HMSG" | "-ERR" | "" => panic!("NATS: {line:?}"),
                _ => {}
            }
        }
    }

    fn publish(&mut self, subject: &str, body: &[u8]) {
        let mut text = format!("PUB {subject} answers {}\r\n", body.len()).into_bytes();
        text.extend_from_slice(body);
        text.extend_from_slice(b"\r\n");
        self.write(&text);
    }

    /// Asks JetStream's own interface.
    pub fn api(&mut self, subject: &str, body: &Value) -> Value {
        self.publish(&format!("$JS.API.{subject}"), body.to_string().as_bytes());
        let answer = self.answer();
        assert!(answer.get("error").is_none(), "{answer}");
        answer
    }

    pub fn make_stream(&mut self, name: &str) {
        let config = json!({ "name": name, "subjects": [format!("{name}.>")], "storage": "file" });
        self.api(&format!("STREAM.CREATE.{name}"), &config);
    }

    /// Adds messages to a stream, many on their way at once.
    pub fn add(&mut self, subject: &str, bodies: impl Iterator<Item = Vec<u8>>) {
        let bodies: Vec<_> = bodies.collect();
        for some in bodies.chunks(200) {
            some.iter().for_each(|body| self.publish(subject, body));
            for _ in some {
                let answer = self.answer();
                assert!(answer["seq"].is_u64(), "{answer}");
            }
        }
    }
}

/// A client of MQTT 3.1.1 that publishes at quality of service 1.
pub struct Mqtt(BufReader<TcpStream>);

impl Mqtt {
    pub fn new(port: u16, id: &str) -> Self {
        let mut client = Self(open(port));
        let mut body = text("MQTT");
        body.extend([4, 0b1100_0010, 0, 60]); // version, user and password and a clean session, seconds
        [id, "reader", PASSWORD].iter().for_each(|part| body.extend(text(part)));
        client.send(0x10, &body);
        assert_eq!(client.packet(), (0x20, vec![0, 0]));
        client
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        let mut packet = vec![kind];
        let mut length = body.len();
        loop {
            let more = if length >= 128 { 128 } else { 0 };
            packet.push((length % 128) as u8 | more);
            length /= 128;
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.0.get_mut().write_all(&packet).unwrap();
    }

    fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2]; // all that comes is shorter than 128 bytes
        self.0.read_exact(&mut head).unwrap();
        let mut body = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut body).unwrap();
        (head[0], body)
    }

    /// Publishes messages; all are the broker's when it comes back.
    pub fn add(&mut self, topic: &str, bodies: impl Iterator<Item = Vec<u8>>) {
        let bodies: Vec<_> = bodies.collect();
        for some in bodies.chunks(15) {
            for (number, payload) in some.iter().enumerate() {
                let mut body = text(topic);
                body.extend((number as u16 + 1).to_be_bytes());
                body.extend_from_slice(payload);
                self.send(0x32, &body);
            }
            some.iter().for_each(|_| assert_eq!(self.packet().0, 0x40));
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
