//! Text to tree: YAML with the place of every key and value, and with bounds on depth, size and aliases.
//!
//! Events are pulled one at a time, so that nesting never becomes recursion in the parser.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::environment::{Environment, interpolate};
use super::place::{ConfigError, Place, join, join_index};

/// Nesting of mappings and lists.
const DEPTH_MAX: usize = 48;
/// Values in the tree, with every alias counted as what it stands for.
const NODES_MAX: usize = 100_000;
/// Keys of one mapping.
const KEYS_MAX: usize = 10_000;
/// Bytes of text in the tree, with aliases and variables counted as what they stand for.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: NodeValue,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum NodeValue {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

/// A single value: as it was written, and with its variables filled in.
#[derive(Debug, Clone, Default)]
pub(super) struct Scalar {
    pub(super) written: String,
    pub(super) text: String,
    /// Written without quotes, so that `5` is a number.
    pub(super) plain: bool,
    /// Holds a value of the environment, which must not be printed; it is a number where a number is wanted.
    pub(super) from_environment: bool,
}

/// A scalar by the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text,
}

impl Scalar {
    /// The type of the value as written; a value of the environment is text.
    pub(super) fn kind(&self) -> Plain {
        if self.plain && !self.from_environment { core_schema(&self.text) } else { Plain::Text }
    }

    /// True for an empty value or an unquoted `null`.
    pub(super) fn is_null(&self) -> bool {
        self.kind() == Plain::Null
    }
}

impl Node {
    /// True for an empty value or an unquoted `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar(scalar) if scalar.is_null())
    }
}

/// The type of an unquoted scalar.
pub(super) fn core_schema(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Boolean(true),
        "false" | "False" | "FALSE" => return Plain::Boolean(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        _ => {}
    }
    if let Ok(integer) = text.parse() {
        return Plain::Integer(integer);
    }
    if text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && let Ok(float) = text.parse()
    {
        return Plain::Float(float);
    }
    Plain::Text
}

/// Reads a project file of one document; `None` where there is nothing in it.
///
/// # Errors
/// Every duplicate key and unset variable, or the first place that is no YAML.
pub(super) fn parse_file(text: &str, environment: Environment<'_>) -> Result<Option<Node>, Vec<ConfigError>> {
    parse(text, environment, None)
}

/// Reads the value of `--set PATH=VALUE`; `argument` is the whole argument, for messages.
///
/// # Errors
/// As [`parse_file`], with the argument as the place.
pub(super) fn parse_argument(
    value: &str,
    argument: &str,
    environment: Environment<'_>,
) -> Result<Option<Node>, Vec<ConfigError>> {
    parse(value, environment, Some(argument))
}

fn parse(text: &str, environment: Environment<'_>, argument: Option<&str>) -> Result<Option<Node>, Vec<ConfigError>> {
    let mut builder = Builder {
        environment,
        argument,
        errors: Vec::new(),
        frames: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
        bytes: 0,
        documents: 0,
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.scan_error(&error, text)),
        };
        if let Err(error) = step {
            builder.errors.push(error);
            break;
        }
    }
    if builder.errors.is_empty() { Ok(builder.root) } else { Err(builder.errors) }
}

struct Builder<'a> {
    environment: Environment<'a>,
    argument: Option<&'a str>,
    errors: Vec<ConfigError>,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    bytes: usize,
    documents: usize,
    root: Option<Node>,
}

/// A mapping or list that is not closed yet.
struct Frame {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Place)> },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), ConfigError> {
        let place = self.place(span.start, span.end);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(ConfigError::new(
                        place,
                        "a second document begins here; a project file is one document",
                    ));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.wants_key() {
                    return self.key(&text, place);
                }
                let scalar = self.scalar(&text, style, tag.as_deref(), &place)?;
                self.add(Node { place, value: NodeValue::Scalar(scalar) }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => self.open(place, anchor, tag.as_deref(), Content::List(Vec::new()))?,
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map { entries: Vec::new(), key: None };
                self.open(place, anchor, tag.as_deref(), content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(id) => self.alias(id, place)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn place(&self, start: Marker, end: Marker) -> Place {
        match self.argument {
            Some(argument) => Place::Set(argument.to_owned()),
            None => {
                let width = if start.line() == end.line() { end.col().saturating_sub(start.col()).max(1) } else { 1 };
                Place::At { line: start.line(), column: start.col() + 1, width }
            }
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, place: Place) -> Result<(), ConfigError> {
        self.count(1, text.len(), &place)?;
        let path = self.path();
        if let Some(Frame { content: Content::Map { entries, key }, .. }) = self.frames.last_mut() {
            if entries.len() >= KEYS_MAX {
                return Err(ConfigError::new(place, format!("more than {KEYS_MAX} keys in one mapping")));
            }
            if text != "<<"
                && let Some(first) = entries.iter().find(|entry| entry.key == text)
            {
                let within = if path.is_empty() { "the project file".to_owned() } else { path };
                let mut error = ConfigError::new(place.clone(), format!("the key {text:?} is in {within} twice"));
                if let Place::At { line, column, .. } = first.key_place {
                    error = error.note(format!("first at line {line}, column {column}"));
                }
                self.errors.push(error);
            }
            *key = Some((text.to_owned(), place));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: &Place,
    ) -> Result<Scalar, ConfigError> {
        let is_text = match tag {
            None => false,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
            Some(tag) => return Err(tag_error(tag, place)),
        };
        let (filled, from_environment) = match interpolate(text, self.environment) {
            Ok(filled) => filled,
            Err(message) => {
                let path = self.value_path();
                let message = if path.is_empty() { message } else { format!("{path}: {message}") };
                self.errors.push(ConfigError::new(place.clone(), message));
                (String::new(), true)
            }
        };
        self.count(1, text.len() + filled.len(), place)?;
        let plain = style == ScalarStyle::Plain && !is_text;
        Ok(Scalar { written: text.to_owned(), text: filled, plain, from_environment })
    }

    fn open(&mut self, place: Place, anchor: usize, tag: Option<&Tag>, content: Content) -> Result<(), ConfigError> {
        if let Some(tag) = tag {
            return Err(tag_error(tag, &place));
        }
        if self.wants_key() {
            return Err(ConfigError::new(place, "a key has to be a single word, not a mapping or a list"));
        }
        if self.frames.len() >= DEPTH_MAX {
            return Err(ConfigError::new(place, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.count(1, 0, &place)?;
        self.frames.push(Frame { place, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), ConfigError> {
        let Some(Frame { place, anchor, content }) = self.frames.pop() else { return Ok(()) };
        let value = match content {
            Content::List(nodes) => NodeValue::List(nodes),
            Content::Map { entries, .. } => NodeValue::Map(merge(entries)?),
        };
        self.add(Node { place, value }, anchor)
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<(), ConfigError> {
        if self.wants_key() {
            return Err(ConfigError::new(place, "an alias cannot be a key"));
        }
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(ConfigError::new(place, "this alias stands inside what it stands for"));
        };
        let (nodes, bytes) = size(&node);
        if self.frames.len() + depth(&node) > DEPTH_MAX {
            return Err(ConfigError::new(place, format!("nested deeper than {DEPTH_MAX} levels by this alias")));
        }
        self.count(nodes, bytes, &place)?;
        self.add(node, 0)
    }

    /// Puts a finished value into the open mapping or list, or makes it the root.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), ConfigError> {
        if anchor > 0 {
            let (nodes, bytes) = size(&node);
            self.count(nodes, bytes, &node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            Some(Content::List(nodes)) => nodes.push(node),
            Some(Content::Map { entries, key }) => {
                if let Some((key, key_place)) = key.take() {
                    entries.push(Entry { key, key_place, node });
                }
            }
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, bytes: usize, place: &Place) -> Result<(), ConfigError> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes <= NODES_MAX && self.bytes <= TEXT_BYTES_MAX {
            return Ok(());
        }
        let message = format!("too large: more than {NODES_MAX} values or {} MiB of text", TEXT_BYTES_MAX >> 20);
        Err(ConfigError::new(place.clone(), message).note("aliases and variables count as what they stand for"))
    }

    /// The path of the innermost open mapping or list.
    fn path(&self) -> String {
        let inner = self.frames.len().saturating_sub(1);
        self.frames[..inner].iter().fold(String::new(), step)
    }

    /// The path of the value that comes next.
    fn value_path(&self) -> String {
        self.frames.iter().fold(String::new(), step)
    }

    fn scan_error(&self, error: &ScanError, text: &str) -> ConfigError {
        let mark = *error.marker();
        let place = self.place(mark, mark);
        let line = text.lines().nth(mark.line().saturating_sub(1)).unwrap_or_default();
        // the scanner stops at the tab, or at the value before it
        let around = text.lines().enumerate().skip(mark.line().saturating_sub(1)).take(2);
        let tab = around.map(|(index, line)| (index, indent(line))).find(|(_, indent)| indent.contains('\t'));
        if let Some((index, indent)) = tab {
            let place = match place {
                Place::At { .. } => Place::At { line: index + 1, column: 1, width: indent.chars().count() },
                other => other,
            };
            return ConfigError::new(place, "a tab indents this line; YAML is indented with spaces");
        }
        let message = match error.info() {
            "while parsing node, found unknown anchor" => "this alias stands for no anchor before it".to_owned(),
            info => format!("not valid YAML: {info}"),
        };
        let error = ConfigError::new(place, message);
        if line.trim_start().starts_with(['@', '`', '%']) || line.contains(": @") || line.contains(": %") {
            return error.note("a value that begins with one of @ ` % needs quotes");
        }
        error
    }
}

/// The white space that a line begins with.
fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

fn step(path: String, frame: &Frame) -> String {
    match &frame.content {
        Content::List(nodes) => join_index(&path, nodes.len()),
        Content::Map { key: Some((key, _)), .. } => join(&path, key),
        Content::Map { key: None, .. } => path,
    }
}

fn tag_error(tag: &Tag, place: &Place) -> ConfigError {
    ConfigError::new(place.clone(), format!("the tag {:?} is not known here; leave it out", tag.to_string()))
}

/// Takes the mappings under `<<` in, after the keys written out, which win.
fn merge(entries: Vec<Entry>) -> Result<Vec<Entry>, ConfigError> {
    let (merged, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key == "<<");
    for Entry { key_place, node, .. } in merged {
        let maps = match node.value {
            NodeValue::List(nodes) => nodes,
            _ => vec![node],
        };
        for map in maps {
            let NodeValue::Map(entries) = map.value else {
                return Err(ConfigError::new(key_place, "\"<<\" takes an alias of a mapping, or a list of them"));
            };
            for entry in entries {
                if own.len() >= KEYS_MAX {
                    return Err(ConfigError::new(key_place, format!("more than {KEYS_MAX} keys in one mapping")));
                }
                if !own.iter().any(|known| known.key == entry.key) {
                    own.push(entry);
                }
            }
        }
    }
    Ok(own)
}

/// Values and bytes of text under a node.
fn size(node: &Node) -> (usize, usize) {
    let sum = |(nodes, bytes), (n, b)| (nodes + n, bytes + b);
    match &node.value {
        NodeValue::Scalar(scalar) => (1, scalar.written.len() + scalar.text.len()),
        NodeValue::List(nodes) => nodes.iter().map(size).fold((1, 0), sum),
        NodeValue::Map(entries) => {
            entries.iter().map(|entry| sum(size(&entry.node), (1, entry.key.len()))).fold((1, 0), sum)
        }
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        NodeValue::Scalar(_) => 0,
        NodeValue::List(nodes) => 1 + nodes.iter().map(depth).max().unwrap_or(0),
        NodeValue::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.node)).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::place::ConfigErrors;
    use super::*;

    fn environment(name: &str) -> Option<String> {
        (name == "N").then(|| "7".to_owned())
    }

    /// The tree in one line: text in quotes, other scalars by their type.
    fn show(node: &Node) -> String {
        let parts = |parts: Vec<String>| parts.join(", ");
        match &node.value {
            NodeValue::Scalar(scalar) => match scalar.kind() {
                Plain::Text => format!("{:?}", scalar.text),
                other => format!("{other:?}"),
            },
            NodeValue::List(nodes) => format!("[{}]", parts(nodes.iter().map(show).collect())),
            NodeValue::Map(entries) => {
                let entry = |entry: &Entry| format!("{}: {}", entry.key, show(&entry.node));
                format!("{{{}}}", parts(entries.iter().map(entry).collect()))
            }
        }
    }

    fn check(text: &str, expected: &str) {
        let found = match parse_file(text, &environment) {
            Ok(node) => node.as_ref().map_or("nothing".to_owned(), show),
            Err(errors) => format!("error: {}", ConfigErrors::new(Path::new("t"), text, errors)),
        };
        assert!(found.starts_with(expected), "{text}\ngave: {found}\nexpected: {expected}");
    }

    #[test]
    fn scalars_have_the_types_of_yaml_1_2() {
        check(
            "[1, -2, +3, 0.5, 1e3, .5, true, False, null, ~, ]",
            "[Integer(1), Integer(-2), Integer(3), Float(0.5), Float(1000.0), Float(0.5), Boolean(true), Boolean(false), Null, Null]",
        );
        check(
            "[yes, no, on, 'true', \"1\", 1_000, 1.2.3, nan, inf, 0x]",
            "[\"yes\", \"no\", \"on\", \"true\", \"1\", \"1_000\", \"1.2.3\", \"nan\", \"inf\", \"0x\"]",
        );
        check("[.nan, -.inf, !!str 5]", "[Float(NaN), Float(-inf), \"5\"]");
        check("a: |\n  x\n  y\nb: >\n  x\n  y\n", "{a: \"x\\ny\\n\", b: \"x y\\n\"}");
        check("a:\nb: ''", "{a: Null, b: \"\"}");
        check("a: ${N}\nb: '${N}'\nc: ${M:-x}", "{a: \"7\", b: \"7\", c: \"x\"}");
    }

    #[test]
    fn nothing_is_nothing() {
        check("", "nothing");
        check("# only a comment\n", "nothing");
        check("---\n", "Null");
    }

    #[test]
    fn anchors_aliases_and_merges() {
        check("a: &x {b: 1}\nc: *x", "{a: {b: Integer(1)}, c: {b: Integer(1)}}");
        check(
            "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}",
            "{a: {b: Integer(1), c: Integer(2)}, d: {c: Integer(3), b: Integer(1)}}",
        );
        check("a: &x [*x]", "error: this alias stands inside what it stands for\n --> t:1:8");
        check("a: *x", "error: this alias stands for no anchor before it\n --> t:1:4");
        check("a: {<<: 5}", "error: \"<<\" takes an alias of a mapping");
    }

    #[test]
    fn hostile_texts_meet_a_bound() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        check(&laughs, "error: too large: more than 100000 values or 8 MiB of text\n --> t:5:");
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), vec!["*a"; 1000].join(","));
        check(&long, "error: too large");
        check(&format!("a: {}", "[".repeat(60)), "error: nested deeper than 48 levels\n --> t:1:51");
        check(&"- ".repeat(100_000), "error: nested deeper than 48 levels\n --> t:1:97");
        check(&format!("{}x", "? ".repeat(100_000)), "error: a key has to be a single word");
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        check("a: 1\n\tb: 2", "error: a tab indents this line; YAML is indented with spaces\n --> t:2:1");
        check("a: {b: 1", "error: not valid YAML: ");
        check("a: 'x", "error: not valid YAML: ");
        check("a: 1\n---\nb: 2", "error: a second document begins here; a project file is one document\n --> t:2:1");
        check("a: !secret x", "error: the tag \"!secret\" is not known here; leave it out\n --> t:1:");
        check("{a: 1}: 2", "error: a key has to be a single word, not a mapping or a list\n --> t:1:1");
    }

    #[test]
    fn every_duplicate_key_and_unset_variable_is_found() {
        let text = "a: 1\nb: {c: 1, c: 2}\na: 3\nd: [1, '${M}']\n";
        let errors = parse_file(text, &environment).unwrap_err();
        let found: Vec<_> = errors.iter().map(|error| (error.message.as_str(), error.notes.clone())).collect();
        let unset = "d[1]: the environment variable \"M\" is not set; set it, or give it a default: ${M:-default}";
        assert_eq!(
            found,
            [
                ("the key \"c\" is in b twice", vec!["first at line 2, column 5".to_owned()]),
                ("the key \"a\" is in the project file twice", vec!["first at line 1, column 1".to_owned()]),
                (unset, vec![]),
            ]
        );
        assert_eq!(errors[0].place, Place::At { line: 2, column: 11, width: 1 });
        assert_eq!(errors[2].place, Place::At { line: 4, column: 8, width: 6 });
    }

    #[test]
    fn broken_texts_never_panic() {
        let seed = "a: &x {b: [1, 'two', \"${N}\"], c: |\n    d\n  }\ne: *x\n? f\n: - g\n  - !!str h\n";
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound as u64) as usize
        };
        let marks: Vec<char> = "{}[]:,-?&*!|>'\"%@`#\n\t \\${}<~.0é\u{0}\u{feff}".chars().collect();
        for _ in 0..4_000 {
            let mut text: Vec<char> = seed.chars().collect();
            for _ in 0..=next(5) {
                let at = next(text.len());
                match next(3) {
                    0 => text[at] = marks[next(marks.len())],
                    1 => text.insert(at, marks[next(marks.len())]),
                    _ => drop(text.remove(at)),
                }
            }
            let text: String = text.into_iter().collect();
            let _ = parse_file(&text, &environment);
        }
    }
}
