//! The project with every default filled in, as YAML that reads back as the same project.

use serde_json::{Map, Value};

use super::form::child;
use super::place::{join, join_index};
use super::shape::Found;

/// Width up to which a list stands on one line.
const LINE_CHARS: usize = 100;

/// `value` as YAML; values that equal the default of their key are marked, and variables stand as they were written.
pub(super) fn yaml(value: &Value, found: &Found, schema: &Value) -> String {
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut writer = Writer { found, definitions, out: String::new() };
    if let Value::Object(entries) = value {
        writer.entries(entries, Some(schema), "", 0);
    }
    writer.out
}

/// `value` as YAML, without anything about defaults.
pub(super) fn plain(value: &Value) -> String {
    yaml(value, &Found::default(), &Value::Null)
}

/// `value` with variables as they were written: what may be shown and stored.
pub(super) fn shown(value: &Value, found: &Found, path: &str) -> Value {
    if let Some(written) = found.written(path) {
        return Value::String(written.to_owned());
    }
    match value {
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), shown(value, found, &join(path, key)))).collect()
        }
        Value::Array(values) => {
            values.iter().enumerate().map(|(index, value)| shown(value, found, &join_index(path, index))).collect()
        }
        value => value.clone(),
    }
}

struct Writer<'a> {
    found: &'a Found,
    definitions: &'a Map<String, Value>,
    out: String,
}

impl<'a> Writer<'a> {
    fn entries(&mut self, entries: &Map<String, Value>, schema: Option<&'a Value>, path: &str, indent: usize) {
        for (key, value) in entries {
            let path = join(path, key);
            let schema = schema.and_then(|schema| child(self.definitions, schema, key));
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str(&scalar_text(key));
            self.out.push(':');
            self.value(value, schema, &path, indent);
        }
    }

    /// What stands after `key:`, with the end of the line.
    fn value(&mut self, value: &Value, schema: Option<&'a Value>, path: &str, indent: usize) {
        if let Some(written) = self.found.written(path) {
            self.text(written, indent);
            self.out.push('\n');
            return;
        }
        match value {
            Value::Object(entries) if !entries.is_empty() => {
                self.out.push('\n');
                self.entries(entries, schema, path, indent + 2);
                return;
            }
            Value::Array(values) if !values.is_empty() => self.list(values, path, indent),
            Value::Object(_) => self.out.push_str(" {}"),
            Value::Array(_) => self.out.push_str(" []"),
            Value::String(text) => self.text(&escape(text), indent),
            other => {
                self.out.push(' ');
                self.out.push_str(&other.to_string());
            }
        }
        let is_one_line = !self.out.ends_with('\n');
        if is_one_line {
            if schema.and_then(|schema| schema.get("default")) == Some(value) {
                self.out.push_str(" # default");
            }
            self.out.push('\n');
        }
    }

    /// A list of single values on one line where it fits, else one to a line.
    fn list(&mut self, values: &[Value], path: &str, indent: usize) {
        let items: Vec<String> =
            values.iter().enumerate().map(|(index, value)| self.item(value, path, index)).collect();
        let line = items.join(", ");
        if line.len() <= LINE_CHARS {
            self.out.push_str(&format!(" [{line}]"));
            return;
        }
        self.out.push('\n');
        for item in items {
            self.out.push_str(&format!("{}- {item}\n", " ".repeat(indent + 2)));
        }
    }

    fn item(&self, value: &Value, path: &str, index: usize) -> String {
        match (self.found.written(&join_index(path, index)), value) {
            (Some(written), _) => scalar_text(written),
            (None, Value::String(text)) => scalar_text(&escape(text)),
            (None, _) => self.flow(value, &join_index(path, index)),
        }
    }

    /// A value on one line, as JSON, which is YAML too; variables stand as they were written.
    fn flow(&self, value: &Value, path: &str) -> String {
        match (self.found.written(path), value) {
            (Some(written), _) => scalar_text(written),
            (None, Value::Object(entries)) => {
                let entry = |(key, value): (&String, &Value)| {
                    format!("{}: {}", scalar_text(key), self.flow(value, &join(path, key)))
                };
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
            (None, Value::Array(values)) => {
                let item = |(at, value)| self.flow(value, &join_index(path, at));
                format!("[{}]", values.iter().enumerate().map(item).collect::<Vec<_>>().join(", "))
            }
            (None, Value::String(text)) => scalar_text(&escape(text)),
            (None, other) => other.to_string(),
        }
    }

    /// Text of several lines as a block where that keeps it as it is.
    fn text(&mut self, text: &str, indent: usize) {
        let fits = |line: &str| !line.ends_with([' ', '\t']) && !line.chars().any(char::is_control);
        let body = text.strip_suffix('\n').unwrap_or(text);
        let is_block = body.contains('\n')
            && !body.starts_with([' ', '\n', '\t'])
            && !body.ends_with('\n')
            && body.split('\n').all(fits);
        if !is_block {
            self.out.push(' ');
            self.out.push_str(&scalar_text(text));
            return;
        }
        self.out.push_str(if text.ends_with('\n') { " |" } else { " |-" });
        for line in body.split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.out.push_str(&" ".repeat(indent + 2));
                self.out.push_str(line);
            }
        }
    }
}

/// A dollar sign that is no variable.
pub(super) fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// Text on one line: plain where YAML reads it back as this text, in double quotes otherwise.
pub(super) fn scalar_text(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.');
    let inside = |c: char| is_word(c) || matches!(c, '-' | ' ' | '(' | ')' | '+' | '=' | '<' | ';');
    let reads_back = super::yaml::core_schema(text) == super::yaml::Plain::Text;
    let is_old_boolean = matches!(
        text.to_ascii_lowercase().as_str(),
        "yes" | "no" | "on" | "off" | "y" | "n" | "true" | "false" | "null"
    );
    let is_plain = text.starts_with(is_word) && text.ends_with(is_word) && text.chars().all(inside);
    if is_plain && reads_back && !is_old_boolean && !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
