//! The pages docs/project-file.md and docs/project-file.zh.md: every key, its type, default and meaning, written from the
//! schema. The tests hold them equal to the code; `TIDEMILL_BLESS=1 cargo test -p tidemill config` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::form::{Form, forms, range};
use super::schema::{ALIASES, described, is_optional_struct, resolve, short_key};

/// Chinese for the descriptions of the structs: English, a tab, Chinese.
const CHINESE: &str = include_str!("reference.zh.tsv");
const INTRODUCTION: &str = include_str!("reference.md");
const INTRODUCTION_ZH: &str = include_str!("reference.zh.md");

struct Page<'a> {
    definitions: &'a Map<String, Value>,
    /// English to the language of the page; `None` for English.
    words: Option<BTreeMap<&'a str, &'a str>>,
    said: BTreeSet<String>,
    out: String,
}

/// The page, and all the English texts that it says.
fn page(schema: &Value, introduction: &str, words: Option<BTreeMap<&str, &str>>) -> (String, BTreeSet<String>) {
    let definitions = schema["$defs"].as_object().expect("the schema has definitions");
    let mut page = Page { definitions, words, said: BTreeSet::new(), out: introduction.trim_end().to_owned() };
    page.out.push('\n');
    page.keys(schema, "");
    (page.out, page.said)
}

impl Page<'_> {
    /// The text in the language of the page.
    fn say(&mut self, english: &str) -> String {
        let english = english.replace('\n', " "); // where the code breaks the line
        let text = self.words.as_ref().and_then(|words| words.get(english.as_str())).map(|text| (*text).to_owned());
        self.said.insert(english.clone());
        text.unwrap_or(english)
    }

    /// The keys of a struct, then what is below each of them.
    fn keys(&mut self, schema: &Value, path: &str) {
        let Some(keys) = schema.get("properties").and_then(Value::as_object) else { return };
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let head = ["key", "type", "default", "meaning"].map(|word| self.say(word));
        let _ = writeln!(self.out, "\n| {} |\n|---|---|---|---|", head.join(" | "));
        for (key, schema) in keys {
            let kind = self.kind(schema);
            let default = match schema.get("default") {
                _ if required.contains(&key.as_str()) => self.say("required"),
                Some(default) if is_section(default) => self.say("see there"),
                Some(default) => format!("`{default}`"),
                None => String::new(),
            };
            let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            let mut meaning = if meaning.is_empty() { String::new() } else { self.say(meaning) };
            if let Some((alias, _)) = ALIASES.iter().find(|(_, name)| name == key) {
                let _ = write!(meaning, " {} `{alias}`.", self.say("Also written"));
            }
            let _ = writeln!(self.out, "| `{key}` | {kind} | {default} | {} |", cell(&meaning));
        }
        for (key, schema) in keys {
            self.below(schema, &join(path, key));
        }
    }

    /// The section about a value that is more than a number or a text.
    fn below(&mut self, schema: &Value, path: &str) {
        if path.contains("[].") && path.starts_with("models.") {
            return; // the networks of an ensemble are described where the network of a model is
        }
        let all = forms(self.definitions, schema);
        let is_choice = all.iter().any(|form| matches!(form, Form::Variant(..)));
        if is_choice {
            self.heading(schema, path);
            self.choices(schema);
        }
        for form in &all {
            match form {
                Form::Names(values) => {
                    let placeholder = match path {
                        "models.NAME.features.columns" => "COLUMN",
                        "models.NAME.tune.parameters" => "PATH",
                        "expectations" => "TABLE",
                        _ => "NAME",
                    };
                    self.below(values, &join(path, placeholder));
                }
                Form::List(inner) if !path.contains("[]") => self.below(&inner["items"], &format!("{path}[]")),
                Form::Struct(inner) => {
                    self.heading(schema, path);
                    if let Some(key) = short_key(inner, self.definitions) {
                        let text = self.say("A text alone stands for");
                        let _ = writeln!(self.out, "\n{text} `{{{key}: ...}}`.");
                    }
                    self.keys(inner, path);
                }
                Form::Variant(key, content) => {
                    let inner = resolve(content, self.definitions);
                    if inner.get("properties").and_then(Value::as_object).is_some_and(|keys| !keys.is_empty()) {
                        self.below(content, &join(path, key));
                    }
                }
                _ => {}
            }
        }
    }

    fn heading(&mut self, schema: &Value, path: &str) {
        let level = "#".repeat((path.split('.').count()).clamp(2, 4));
        let _ = writeln!(self.out, "\n{level} {path}");
        let inner = resolve(schema, self.definitions);
        if let Some(text) = inner.get("description").and_then(Value::as_str) {
            let text = self.say(text);
            let _ = writeln!(self.out, "\n{text}");
        }
    }

    /// The choices of an enum that has any with something inside.
    fn choices(&mut self, schema: &Value) {
        let inner = resolve(schema, self.definitions);
        let head = ["choice", "meaning"].map(|word| self.say(word));
        let _ = writeln!(self.out, "\n| {} |\n|---|---|", head.join(" | "));
        for variant in inner["oneOf"].as_array().into_iter().flatten() {
            let meaning = variant.get("description").and_then(Value::as_str).unwrap_or_default();
            let meaning = self.say(meaning);
            let written = match super::schema::tagged(variant) {
                Some((key, content)) => {
                    let content = resolve(content, self.definitions);
                    if is_optional_struct(content) {
                        format!("`{key}`, `{{{key}: {{...}}}}`")
                    } else if let Some(short) = short_key(content, self.definitions) {
                        format!("`{{{key}: {}}}`, `{{{key}: {{...}}}}`", short.to_uppercase())
                    } else if content.get("type").is_some_and(|kind| kind == "number") {
                        let kind = self.kind(content);
                        format!("`{{{key}: ...}}`: {kind}")
                    } else {
                        format!("`{{{key}: {{...}}}}`")
                    }
                }
                None => format!("`{}`", variant["const"].as_str().unwrap_or_default()),
            };
            let _ = writeln!(self.out, "| {written} | {} |", cell(&meaning));
        }
    }

    /// A type in words; the words of a choice are explained in the same place.
    fn kind(&mut self, schema: &Value) -> String {
        let mut parts = Vec::new();
        let inner = resolve(schema, self.definitions);
        let words: Vec<(String, String)> = inner["oneOf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|variant| {
                let text = variant.get("description").and_then(Value::as_str).unwrap_or_default();
                Some((variant.get("const")?.as_str()?.to_owned(), text.to_owned()))
            })
            .collect();
        let all = forms(self.definitions, schema);
        if all.iter().any(|form| matches!(form, Form::Variant(..))) {
            return self.say("a choice, see below");
        }
        for form in &all {
            let part = match form {
                Form::Null => self.say("or nothing"),
                Form::Any => self.say("any values"),
                Form::Boolean => self.say("true or false"),
                Form::Integer(schema) => self.number("integer", schema),
                Form::Number(schema) => self.number("number", schema),
                Form::Text(schema) if schema.get("maxLength") == Some(&Value::from(1)) => self.say("a character"),
                Form::Text(_) => self.say("text"),
                Form::Word(word) => match words.iter().find(|(name, text)| name == word && !text.is_empty()) {
                    Some((_, text)) => {
                        let text = self.say(text);
                        format!("`{word}`: {}", text.trim_end_matches(['.', '。']))
                    }
                    None => format!("`{word}`"),
                },
                Form::List(schema) => {
                    let inner = self.kind(&schema["items"]);
                    let between = if inner.contains("<br>") { "<br>" } else { " " };
                    format!("{}{between}{inner}", self.say("a list of"))
                }
                Form::Names(values) if is_words(&forms(self.definitions, values)) => {
                    let inner = self.kind(values);
                    format!("{}<br>{inner}", self.say("a mapping of columns to"))
                }
                Form::Names(_) => self.say("a mapping of names, see below"),
                Form::Struct(_) => self.say("a mapping, see below"),
                Form::Variant(..) => continue,
            };
            parts.push(part);
        }
        parts.join("<br>")
    }

    fn number(&mut self, kind: &str, schema: &Value) -> String {
        let kind = self.say(kind);
        let range = range(schema);
        if self.words.is_none() {
            return format!("{kind}{range}");
        }
        let range = range
            .replace(" of at least ", "，至少 ")
            .replace(" above ", "，大于 ")
            .replace(" and below ", " 且小于 ")
            .replace(" from ", "，从 ")
            .replace(" up to ", "，至多 ")
            .replace(" to below ", " 到小于 ")
            .replace(" to ", " 到 ");
        format!("{kind}{range}")
    }
}

fn is_words(all: &[Form<'_>]) -> bool {
    all.iter().all(|form| matches!(form, Form::Word(_)))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A default that is a mapping of its own, described below.
fn is_section(default: &Value) -> bool {
    default.as_object().is_some_and(|entries| !entries.is_empty())
}

fn check(name: &str, written: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("TIDEMILL_BLESS").is_some() {
        std::fs::write(&path, written).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == written,
        "docs/{name} is not what the code says; TIDEMILL_BLESS=1 cargo test -p tidemill config writes it"
    );
}

#[test]
fn the_english_page_is_what_the_code_says() {
    let (text, _) = page(&described(), INTRODUCTION, None);
    check("project-file.md", &text);
}

#[test]
fn the_chinese_page_is_what_the_code_says() {
    let words: BTreeMap<&str, &str> = CHINESE.lines().filter_map(|line| line.split_once('\t')).collect();
    let (text, said) = page(&described(), INTRODUCTION_ZH, Some(words.clone()));
    let missing: Vec<&str> = said.iter().map(String::as_str).filter(|english| !words.contains_key(english)).collect();
    assert!(missing.is_empty(), "reference.zh.tsv has no Chinese for:\n{}", missing.join("\n"));
    let gone: Vec<&str> = words.into_keys().filter(|english| !said.contains(*english)).collect();
    assert!(gone.is_empty(), "reference.zh.tsv has Chinese for what is not said any more:\n{}", gone.join("\n"));
    check("project-file.zh.md", &text);
}
