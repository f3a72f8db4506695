//! Has the tree the keys and types of a project file? Every unknown key, wrong type and wrong range at once.
//!
//! Walks the tree beside the JSON Schema of the structs (`schema.rs`), so that the structs stay the one definition.
//! Gives back the tree with every short form written out, as JSON for serde, and the place of every path.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use super::form::{Form, as_list, canonical, forms, in_range, names, wanted, word, words};
use super::place::{ConfigError, Place, did_you_mean, join, join_index};
use super::schema::{is_optional_struct, resolve, short_key};
use super::yaml::{Entry, Node, NodeValue, Plain, Scalar, core_schema};

/// What was found in the file, by path.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    places: BTreeMap<String, Origin>,
}

#[derive(Debug, Clone)]
struct Origin {
    key: Option<Place>,
    value: Place,
    written: Option<String>,
}

impl Found {
    /// The place of the value under `path`, or of the nearest mapping around it.
    pub(super) fn value_place(&self, path: &str) -> Place {
        self.nearest(path).map_or(Place::File, |origin| origin.value.clone())
    }

    /// The place of the key under `path`, or of the nearest mapping around it.
    pub(super) fn key_place(&self, path: &str) -> Place {
        self.nearest(path).map_or(Place::File, |origin| origin.key.clone().unwrap_or_else(|| origin.value.clone()))
    }

    /// The text as written, where it differs from the value: it holds `${VAR}` or `$$`.
    pub(super) fn written(&self, path: &str) -> Option<&str> {
        self.places.get(path)?.written.as_deref()
    }

    /// `value` in quotes, or the text as written where the value came from the environment.
    pub(super) fn shown(&self, path: &str, value: &str) -> String {
        format!("{:?}", self.written(path).unwrap_or(value))
    }

    fn nearest(&self, path: &str) -> Option<&Origin> {
        let mut path = path;
        loop {
            if let Some(origin) = self.places.get(path) {
                return Some(origin);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// Checks `root` against the described schema.
///
/// # Errors
/// All unknown keys, wrong types and wrong ranges.
pub(super) fn check(root: &Node, schema: &Value) -> Result<(Value, Found), Vec<ConfigError>> {
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut shape = Shape { definitions, errors: Vec::new(), found: Found::default() };
    let value = shape.node(root, schema, "");
    if shape.errors.is_empty() { Ok((value, shape.found)) } else { Err(shape.errors) }
}

struct Shape<'a> {
    definitions: &'a Map<String, Value>,
    errors: Vec<ConfigError>,
    found: Found,
}

impl<'a> Shape<'a> {
    fn node(&mut self, node: &Node, schema: &'a Value, path: &str) -> Value {
        let written = match &node.value {
            NodeValue::Scalar(scalar) if scalar.from_environment || scalar.written != scalar.text => {
                Some(scalar.written.clone())
            }
            _ => None,
        };
        let origin = self.found.places.entry(path.to_owned());
        let origin = origin.or_insert_with(|| Origin { key: None, value: node.place.clone(), written: None });
        origin.value = node.place.clone();
        origin.written = written;
        let forms = forms(self.definitions, schema);
        if forms.iter().any(|form| matches!(form, Form::Any)) {
            return self.anything(node, path);
        }
        match &node.value {
            NodeValue::Scalar(scalar) => self.scalar(scalar, node, &forms, path),
            NodeValue::List(nodes) => match forms.iter().find_map(|form| as_list(form)) {
                Some(schema) => self.list(node, nodes, schema, path),
                None => self.refuse(node, &forms, path),
            },
            NodeValue::Map(entries) => self.map(entries, node, &forms, path),
        }
    }

    /// A value whose key is known only when it is tried. It is printed and stored, so that it cannot be a secret.
    fn anything(&mut self, node: &Node, path: &str) -> Value {
        match &node.value {
            NodeValue::Scalar(scalar) if scalar.from_environment => {
                self.wrong(node, path, "a value that does not come from the environment");
                Value::Null
            }
            NodeValue::Scalar(scalar) => match scalar.kind() {
                Plain::Null => Value::Null,
                Plain::Boolean(value) => json!(value),
                Plain::Integer(value) => json!(value),
                Plain::Float(value) => json!(value),
                Plain::Text => json!(scalar.text),
            },
            NodeValue::List(nodes) => {
                nodes.iter().enumerate().map(|(at, node)| self.anything(node, &join_index(path, at))).collect()
            }
            NodeValue::Map(entries) => {
                let value = |entry: &Entry| (entry.key.clone(), self.anything(&entry.node, &join(path, &entry.key)));
                entries.iter().map(value).collect()
            }
        }
    }

    fn scalar(&mut self, scalar: &Scalar, node: &Node, forms: &[Form<'a>], path: &str) -> Value {
        if scalar.is_null() && forms.iter().any(|form| matches!(form, Form::Null)) {
            return Value::Null;
        }
        if let Some(word) = word(&scalar.text, forms) {
            let is_section = forms.iter().any(|form| matches!(form, Form::Struct(_)));
            return if is_section { json!({}) } else { json!(word) };
        }
        if let Some(found) = self.typed(scalar, node, forms, path) {
            return found;
        }
        for form in forms {
            match form {
                Form::Text(schema) if !scalar.is_null() || !scalar.text.is_empty() => {
                    return self.text(scalar, node, schema, path);
                }
                Form::Variant(key, content)
                    if *key == scalar.text && is_optional_struct(resolve(content, self.definitions)) =>
                {
                    return json!({ *key: {} });
                }
                Form::Struct(schema) if !scalar.is_null() => {
                    if let Some(key) = short_key(schema, self.definitions) {
                        let inner = self.node(node, &schema["properties"][key], &join(path, key));
                        self.found.places.entry(path.to_owned()).and_modify(|origin| origin.written = None);
                        return json!({ key: inner });
                    }
                }
                _ => {}
            }
        }
        self.refuse(node, forms, path)
    }

    /// A number or boolean where one is wanted; a value of the environment is read as one.
    fn typed(&mut self, scalar: &Scalar, node: &Node, forms: &[Form<'a>], path: &str) -> Option<Value> {
        let takes_text = forms.iter().any(|form| matches!(form, Form::Text(_)));
        let kind = match scalar.kind() {
            Plain::Text if scalar.from_environment && !takes_text => core_schema(&scalar.text),
            kind => kind,
        };
        for form in forms {
            let (schema, number) = match (form, kind) {
                (Form::Boolean, Plain::Boolean(value)) => return Some(json!(value)),
                (Form::Integer(schema), Plain::Integer(value)) => (schema, Number::from(value)),
                (Form::Integer(schema), Plain::Float(value)) if value.fract() == 0.0 && value.abs() < 9e15 => {
                    (schema, Number::from(value as i64))
                }
                (Form::Number(schema), Plain::Integer(value)) => (schema, Number::from_f64(value as f64)?),
                (Form::Number(schema), Plain::Float(value)) => (schema, Number::from_f64(value)?),
                (Form::Variant(key, content), Plain::Integer(_) | Plain::Float(_)) => {
                    let content = resolve(content, self.definitions);
                    if content.get("type") == Some(&json!("number")) {
                        let inner = self.node(node, content, &join(path, key));
                        self.found.places.entry(path.to_owned()).and_modify(|origin| origin.written = None);
                        return Some(json!({ *key: inner }));
                    }
                    continue;
                }
                _ => continue,
            };
            if !in_range(number.as_f64()?, schema) {
                self.refuse(node, forms, path);
            }
            return Some(Value::Number(number));
        }
        None
    }

    fn text(&mut self, scalar: &Scalar, node: &Node, schema: &Value, path: &str) -> Value {
        let length = scalar.text.chars().count() as u64;
        let limit = |keyword| schema.get(keyword).and_then(Value::as_u64);
        if limit("minLength").is_some_and(|min| length < min) || limit("maxLength").is_some_and(|max| length > max) {
            let wanted = match limit("maxLength") {
                Some(1) => "a single character".to_owned(),
                _ => "text of another length".to_owned(),
            };
            self.wrong(node, path, &wanted);
        }
        json!(scalar.text)
    }

    fn list(&mut self, node: &Node, nodes: &[Node], schema: &'a Value, path: &str) -> Value {
        let limit = |keyword| schema.get(keyword).and_then(Value::as_u64);
        let count = nodes.len() as u64;
        let (min, max) = (limit("minItems").unwrap_or(0), limit("maxItems").unwrap_or(u64::MAX));
        if count < min || count > max {
            let wanted = match (min, max) {
                (min, max) if min == max => format!("a list of {min} values"),
                (min, _) if count < min => format!("a list of at least {min}"),
                (_, max) => format!("a list of at most {max}"),
            };
            let place = node.place.clone();
            self.errors.push(ConfigError::new(place, format!("{path}: expected {wanted}, found {count}")));
        }
        let items = &schema["items"];
        nodes.iter().enumerate().map(|(index, node)| self.node(node, items, &join_index(path, index))).collect()
    }

    fn map(&mut self, entries: &[Entry], node: &Node, forms: &[Form<'a>], path: &str) -> Value {
        for form in forms {
            match form {
                Form::Struct(schema) => return self.keys(entries, schema, path),
                Form::Names(values) => {
                    let mut out = Map::new();
                    for entry in entries {
                        let value = self.entry(entry, &entry.key, values, path);
                        out.insert(entry.key.clone(), value);
                    }
                    return Value::Object(out);
                }
                _ => {}
            }
        }
        if forms.iter().any(|form| matches!(form, Form::Variant(..))) {
            return self.variant(entries, node, forms, path);
        }
        self.refuse(node, forms, path)
    }

    fn entry(&mut self, entry: &Entry, key: &str, schema: &'a Value, path: &str) -> Value {
        let path = join(path, key);
        let origin = Origin { key: Some(entry.key_place.clone()), value: entry.node.place.clone(), written: None };
        self.found.places.insert(path.clone(), origin);
        self.node(&entry.node, schema, &path)
    }

    /// The known keys of a struct.
    fn keys(&mut self, entries: &[Entry], schema: &'a Value, path: &str) -> Value {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object);
        let mut out = Map::new();
        for entry in entries {
            let key = canonical(&entry.key, |name| known.is_some_and(|known| known.contains_key(name)));
            let Some(inner) = known.and_then(|known| known.get(key)) else {
                self.unknown_key(entry, known.unwrap_or(&empty), path);
                continue;
            };
            let rival =
                entries.iter().find(|other| other.key != entry.key && canonical(&other.key, |name| name == key) == key);
            match rival {
                Some(rival) if is_override(&rival.key_place) => continue,
                Some(rival) if !is_override(&entry.key_place) && entry.key != key => {
                    let message = format!("{:?} and {:?} are the same key of {}", rival.key, entry.key, within(path));
                    self.errors.push(ConfigError::new(entry.key_place.clone(), message));
                    continue;
                }
                _ => {}
            }
            let required = schema.get("required").and_then(Value::as_array);
            let is_required = required.is_some_and(|required| required.iter().any(|name| name == key));
            let takes_null = forms(self.definitions, inner).iter().any(|form| matches!(form, Form::Null));
            if entry.node.is_null() && !is_required && !takes_null && is_empty(&entry.node) {
                continue; // `train:` with nothing below it: all defaults
            }
            let value = self.entry(entry, key, inner, path);
            out.insert(key.to_owned(), value);
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let is_there = entries.iter().any(|entry| entry.key == key);
            if !is_there {
                let mut error =
                    ConfigError::new(self.found.key_place(path), format!("{} needs the key {key:?}", within(path)));
                if let Some(meaning) = schema.pointer(&format!("/properties/{key}/description")).and_then(Value::as_str)
                {
                    error = error.note(format!("{key}: {meaning}"));
                }
                self.errors.push(error);
            }
        }
        Value::Object(out)
    }

    fn unknown_key(&mut self, entry: &Entry, known: &Map<String, Value>, path: &str) {
        let names = || known.keys().map(String::as_str);
        let hint = did_you_mean(&entry.key, names());
        let message = format!("unknown key {:?} in {}{hint}", entry.key, within(path));
        let list = names().collect::<Vec<_>>().join(", ");
        let note = if list.is_empty() { "it takes no keys".to_owned() } else { format!("known keys: {list}") };
        self.errors.push(ConfigError::new(entry.key_place.clone(), message).note(note));
    }

    /// A mapping of one key: the variant of an enum. One from `--set` wins over one of the file.
    fn variant(&mut self, entries: &[Entry], node: &Node, forms: &[Form<'a>], path: &str) -> Value {
        let mut chosen: Vec<&Entry> = entries.iter().filter(|entry| is_override(&entry.key_place)).collect();
        if chosen.is_empty() {
            chosen = entries.iter().collect();
        }
        let [entry] = chosen.as_slice() else {
            let message = format!("{path}: expected one of {}, found {}", words(forms), found_keys(entries));
            self.errors.push(ConfigError::new(node.place.clone(), message));
            return Value::Null;
        };
        for form in forms {
            match form {
                Form::Variant(key, content) if *key == entry.key => {
                    let is_optional = is_optional_struct(resolve(content, self.definitions));
                    if entry.node.is_null() && is_optional {
                        return json!({ *key: {} });
                    }
                    let value = self.entry(entry, key, content, path);
                    return json!({ *key: value });
                }
                Form::Word(word) if *word == entry.key && entry.node.is_null() => return json!(word),
                _ => {}
            }
        }
        let hint = did_you_mean(&entry.key, names(forms));
        let message = format!("unknown choice {:?} in {path}{hint}", entry.key);
        let error = ConfigError::new(entry.key_place.clone(), message).note(format!("choices: {}", words(forms)));
        self.errors.push(error);
        Value::Null
    }

    /// Says what was expected and what was found.
    fn refuse(&mut self, node: &Node, forms: &[Form<'a>], path: &str) -> Value {
        if let NodeValue::Scalar(scalar) = &node.value
            && scalar.kind() == Plain::Text
            && names(forms).next().is_some()
        {
            let holds_more = forms.iter().find_map(|form| match form {
                Form::Variant(key, content) if *key == scalar.text => Some(resolve(content, self.definitions)),
                _ => None,
            });
            if let Some(content) = holds_more {
                let inner = wanted(&super::form::forms(self.definitions, content));
                let message = format!("{path}: {:?} needs {inner}", scalar.written);
                self.errors.push(ConfigError::new(node.place.clone(), message));
                return Value::Null;
            }
            let hint = if scalar.from_environment { String::new() } else { did_you_mean(&scalar.text, names(forms)) };
            let message = format!("{path}: unknown choice {:?}{hint}", scalar.written);
            let error = ConfigError::new(node.place.clone(), message).note(format!("choices: {}", words(forms)));
            self.errors.push(error);
        } else {
            let wanted = wanted(forms);
            self.wrong(node, path, &wanted);
        }
        Value::Null
    }

    fn wrong(&mut self, node: &Node, path: &str, wanted: &str) {
        let found = match &node.value {
            NodeValue::Scalar(scalar) if scalar.is_null() && scalar.written.is_empty() => "nothing".to_owned(),
            NodeValue::Scalar(scalar) if scalar.from_environment => {
                format!("{:?}, which is something else", scalar.written)
            }
            NodeValue::Scalar(scalar) if scalar.kind() == Plain::Text => format!("the text {:?}", scalar.written),
            NodeValue::Scalar(scalar) => scalar.written.clone(),
            NodeValue::List(_) => "a list".to_owned(),
            NodeValue::Map(_) => "a mapping".to_owned(),
        };
        let path = if path.is_empty() { "the project file".to_owned() } else { path.to_owned() };
        self.errors.push(ConfigError::new(node.place.clone(), format!("{path}: expected {wanted}, found {found}")));
    }
}

fn is_override(place: &Place) -> bool {
    matches!(place, Place::Set(_))
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, NodeValue::Scalar(scalar) if scalar.written.is_empty() || scalar.is_null())
}

fn within(path: &str) -> &str {
    if path.is_empty() { "the project file" } else { path }
}

fn found_keys(entries: &[Entry]) -> String {
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
    if keys.is_empty() { "none".to_owned() } else { keys.join(" and ") }
}
