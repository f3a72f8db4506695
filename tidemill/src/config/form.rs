//! Which forms may a value have? A JSON Schema taken apart for checking, and said in words.

use serde_json::{Map, Value};

use super::schema::{ALIASES, resolve, tagged};

/// One of the forms a value may have.
pub(super) enum Form<'a> {
    Null,
    /// Whatever YAML can say.
    Any,
    Boolean,
    Integer(&'a Value),
    Number(&'a Value),
    Text(&'a Value),
    /// A fixed word.
    Word(&'a str),
    List(&'a Value),
    /// A mapping of free keys to values of one schema.
    Names(&'a Value),
    /// A mapping of known keys.
    Struct(&'a Value),
    /// A mapping of one key, the name of a variant.
    Variant(&'a str, &'a Value),
}

/// The forms of a schema, with references, unions and lists of types taken apart.
pub(super) fn forms<'a>(definitions: &'a Map<String, Value>, schema: &'a Value) -> Vec<Form<'a>> {
    let schema = resolve(schema, definitions);
    if schema == &Value::Bool(true) {
        return vec![Form::Any];
    }
    let union = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    if let Some(union) = union {
        let is_enum = schema.get("oneOf").is_some();
        return union
            .iter()
            .flat_map(|part| match tagged(part) {
                Some((key, content)) if is_enum => vec![Form::Variant(key, content)],
                _ => forms(definitions, part),
            })
            .collect();
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![Form::Word(word)];
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(Value::as_str).map(Form::Word).collect();
    }
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(kind)) => vec![kind.as_str()],
        _ => Vec::new(),
    };
    let form = |kind| match kind {
        "null" => Form::Null,
        "boolean" => Form::Boolean,
        "integer" => Form::Integer(schema),
        "number" => Form::Number(schema),
        "array" => Form::List(schema),
        "object" => match schema.get("additionalProperties") {
            Some(values @ Value::Object(_)) => Form::Names(values),
            _ => Form::Struct(schema),
        },
        _ => Form::Text(schema),
    };
    kinds.into_iter().map(form).collect()
}

/// The schema of the value under `key` in a mapping of `schema`.
pub(super) fn child<'a>(definitions: &'a Map<String, Value>, schema: &'a Value, key: &str) -> Option<&'a Value> {
    forms(definitions, schema).into_iter().find_map(|form| match form {
        Form::Struct(schema) => schema.get("properties")?.get(key),
        Form::Names(values) => Some(values),
        Form::Variant(name, content) if name == key => Some(content),
        _ => None,
    })
}

/// What was expected, in words.
pub(super) fn wanted(forms: &[Form<'_>]) -> String {
    let mut parts = Vec::new();
    if names(forms).next().is_some() {
        parts.push(format!("one of {}", words(forms)));
    }
    for form in forms {
        parts.push(match form {
            Form::Null | Form::Word(_) | Form::Variant(..) => continue,
            Form::Any => "any value".to_owned(),
            Form::Boolean => "true or false".to_owned(),
            Form::Integer(schema) => format!("an integer{}", range(schema)),
            Form::Number(schema) => format!("a number{}", range(schema)),
            Form::Text(_) => "text".to_owned(),
            Form::List(_) => "a list".to_owned(),
            Form::Names(_) => "a mapping of names".to_owned(),
            Form::Struct(schema) => match schema.get("properties").and_then(Value::as_object) {
                Some(keys) if !keys.is_empty() => {
                    let keys: Vec<_> = keys.keys().map(String::as_str).collect();
                    format!("a mapping with the keys {}", keys.join(", "))
                }
                _ => "an empty mapping".to_owned(),
            },
        });
    }
    parts.join(", or ")
}

/// The schema of the list that a form is.
pub(super) fn as_list<'a>(form: &Form<'a>) -> Option<&'a Value> {
    match form {
        Form::List(schema) => Some(schema),
        _ => None,
    }
}

/// The key that a spelling stands for.
pub(super) fn canonical(key: &str, is_known: impl Fn(&str) -> bool) -> &str {
    let meant = ALIASES.iter().find(|(alias, name)| *alias == key && is_known(name));
    meant.map_or(key, |(_, name)| name)
}

/// The fixed word that `text` stands for.
pub(super) fn word<'a>(text: &'a str, forms: &[Form<'a>]) -> Option<&'a str> {
    let is_word = |name: &str| forms.iter().any(|form| matches!(form, Form::Word(word) if *word == name));
    let name = canonical(text, is_word);
    is_word(name).then_some(name)
}

/// The fixed words and the names of variants.
pub(super) fn names<'a>(forms: &[Form<'a>]) -> impl Iterator<Item = &'a str> {
    forms.iter().filter_map(|form| match form {
        Form::Word(word) => Some(*word),
        Form::Variant(key, _) => Some(*key),
        _ => None,
    })
}

/// The same in one line.
pub(super) fn words(forms: &[Form<'_>]) -> String {
    names(forms).collect::<Vec<_>>().join(", ")
}

fn bound(schema: &Value, keyword: &str) -> Option<f64> {
    schema.get(keyword).and_then(Value::as_f64)
}

/// Whether a number is in the range of its schema.
pub(super) fn in_range(number: f64, schema: &Value) -> bool {
    bound(schema, "minimum").is_none_or(|min| number >= min)
        && bound(schema, "maximum").is_none_or(|max| number <= max)
        && bound(schema, "exclusiveMinimum").is_none_or(|min| number > min)
        && bound(schema, "exclusiveMaximum").is_none_or(|max| number < max)
}

/// ` from 0 to below 1` and the like, in words.
pub(super) fn range(schema: &Value) -> String {
    let low = match (bound(schema, "exclusiveMinimum"), bound(schema, "minimum")) {
        (Some(above), _) => format!(" above {above}"),
        (None, Some(min)) => format!(" from {min}"),
        (None, None) => String::new(),
    };
    let high = match (bound(schema, "exclusiveMaximum"), bound(schema, "maximum")) {
        (Some(below), _) if low.starts_with(" above") => format!(" and below {below}"),
        (Some(below), _) => format!(" to below {below}"),
        (None, Some(max)) => format!(" to {max}"),
        (None, None) if low.is_empty() => String::new(),
        (None, None) if low.starts_with(" from") => return low.replace(" from", " of at least"),
        (None, None) => String::new(),
    };
    if low.is_empty() && !high.is_empty() { format!(" up{high}") } else { format!("{low}{high}") }
}
