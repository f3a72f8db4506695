//! Which keys, types and ranges may a project file have? The one description that checking, editors and docs share.
//!
//! schemars derives it from the structs; the ranges below are added, since serde does not know them.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::RawProject;

/// Words that stand for another one: type or property owner, what may be written, what it means.
pub(super) const ALIASES: &[(&str, &str)] =
    &[("optimiser", "optimizer"), ("mse", "mean_squared_error"), ("cross_entropy", "categorical_cross_entropy")];

/// Bounds of single keys: type, key, keywords of JSON Schema.
fn bounds() -> Vec<(&'static str, &'static str, Value)> {
    let share = || json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 1 });
    let below_one = || json!({ "minimum": 0, "exclusiveMaximum": 1 });
    let above_zero = || json!({ "exclusiveMinimum": 0 });
    let count = |max: u64| json!({ "minimum": 1, "maximum": max });
    vec![
        ("CsvSpec", "sample_rows", count(100_000_000)),
        ("JsonSpec", "sample_rows", count(100_000_000)),
        ("FractionSplit", "validation", share()),
        ("FractionSplit", "test", share()),
        ("TimeSplit", "validation", share()),
        ("TimeSplit", "test", share()),
        ("TablesSplit", "validation_fraction", share()),
        (
            "DenseSpec",
            "hidden",
            json!({ "maxItems": 64, "items": { "type": "integer", "minimum": 1, "maximum": 65_536 } }),
        ),
        ("DenseSpec", "dropout", below_one()),
        ("TrainSpec", "epochs", count(1_000_000)),
        ("TrainSpec", "batch_size", count(1 << 20)),
        ("TrainSpec", "weight_decay", json!({ "minimum": 0 })),
        ("TrainSpec", "device", json!({ "enum": ["auto", "cpu"] })),
        ("SgdSpec", "learning_rate", above_zero()),
        ("SgdSpec", "momentum", below_one()),
        ("AdamSpec", "learning_rate", above_zero()),
        ("AdamSpec", "beta1", below_one()),
        ("AdamSpec", "beta2", below_one()),
        ("AdamSpec", "epsilon", above_zero()),
        ("EarlyStopping", "patience", count(1_000_000)),
        ("EarlyStopping", "min_delta", json!({ "minimum": 0 })),
        ("EvaluateSpec", "importance_rows_max", json!({ "maximum": 1_000_000 })),
        ("EvaluateSpec", "worst_max", json!({ "maximum": 1_000 })),
        ("CategorySpec", "values_max", count(100_000)),
        ("EmbeddingSpec", "dimension", count(1_024)),
        ("ImageSpec", "width", count(1_024)),
        ("ImageSpec", "height", count(1_024)),
        ("GroupSplit", "validation", share()),
        ("GroupSplit", "test", share()),
        ("WindowSpec", "steps", count(4_096)),
        ("WindowSpec", "columns", json!({ "minItems": 1 })),
        ("WindowSpec", "stride", count(1_000_000)),
        ("WindowSpec", "min_steps", count(4_096)),
        ("TextSpec", "length_max", count(4_096)),
        ("TextSpec", "vocabulary_max", count(1_000_000)),
        ("SeriesSpec", "steps", count(4_096)),
        ("DateSpec", "parts", json!({ "minItems": 1 })),
        ("RawEndpoint", "confidence_min", json!({ "minimum": 0, "maximum": 1 })),
        ("RawEndpoint", "queue_max", count(1_000_000)),
        ("ServerSpec", "body_bytes_max", json!({ "minimum": 1_024, "maximum": 1_u64 << 32 })),
        ("ServerSpec", "request_timeout_ms", count(3_600_000)),
        ("ServerSpec", "drain_timeout_ms", json!({ "maximum": 3_600_000 })),
    ]
}

/// The description of the file with ranges, without short forms: what checking and docs go by.
pub(super) fn described() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<RawProject>().to_value();
    for (kind, key, keywords) in bounds() {
        let pointer = format!("/$defs/{kind}/properties/{key}");
        if let (Some(Value::Object(property)), Value::Object(keywords)) = (schema.pointer_mut(&pointer), keywords) {
            property.extend(keywords);
        }
    }
    if let Some(Value::Array(variants)) = schema.pointer_mut("/$defs/Threshold/oneOf") {
        for at in variants.iter_mut().filter_map(|variant| variant.pointer_mut("/properties/at")) {
            at["minimum"] = json!(0);
            at["maximum"] = json!(1);
        }
    }
    schema
}

/// The JSON Schema of the project file, with every short form, for editors.
pub fn json_schema() -> Value {
    let plain = described();
    let empty = Map::new();
    let definitions = plain.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut schema = editable(&plain, definitions);
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        let variable = json!({
            "type": "string", "pattern": "\\$\\{",
            "description": "A value from the environment: ${NAME} or ${NAME:-default}."
        });
        definitions.insert("Variable".into(), variable);
    }
    schema["title"] = json!("Tidemill project file");
    schema
}

/// The schema under `$ref`, or itself.
pub(super) fn resolve<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}

/// The schema of what a variant of an enum holds.
pub(super) fn variant<'a>(schema: &'a Value, kind: &str, name: &str) -> Option<&'a Value> {
    let definitions = schema.get("$defs")?.as_object()?;
    let variants = definitions.get(kind)?.get("oneOf")?.as_array()?;
    let content = variants.iter().filter_map(tagged).find(|(key, _)| *key == name)?.1;
    Some(resolve(content, definitions))
}

/// Whether a mapping of this schema may be left empty.
pub(super) fn is_optional_struct(schema: &Value) -> bool {
    schema.get("type") == Some(&json!("object"))
        && schema.get("additionalProperties").is_none_or(|additional| !additional.is_object())
        && schema.get("required").and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// The only required key of a struct, where it takes a text or a word: that text may stand for the struct.
pub(super) fn short_key<'a>(schema: &'a Value, definitions: &Map<String, Value>) -> Option<&'a str> {
    let [key] = schema.get("required")?.as_array()?.as_slice() else { return None };
    let key = key.as_str()?;
    let kind = resolve(schema.get("properties")?.get(key)?, definitions);
    let words = kind.get("oneOf").and_then(Value::as_array);
    let is_word = words.is_some_and(|words| words.iter().all(|word| word.get("const").is_some_and(Value::is_string)));
    (is_word || kind.get("type")? == "string").then_some(key)
}

/// A variant of an enum that holds something: its name and the schema of what it holds.
pub(super) fn tagged(schema: &Value) -> Option<(&str, &Value)> {
    let [key] = schema.get("required")?.as_array()?.as_slice() else { return None };
    let properties = schema.get("properties")?.as_object()?;
    let key = key.as_str()?;
    (properties.len() == 1 && schema.get("additionalProperties") == Some(&json!(false)))
        .then_some((key, properties.get(key)?))
}

/// A copy that takes short forms, other spellings and variables too.
fn editable(schema: &Value, definitions: &Map<String, Value>) -> Value {
    let Value::Object(object) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (keyword, value) in object {
        let value = match (keyword.as_str(), value) {
            ("$defs", Value::Object(inner)) => inner
                .iter()
                .map(|(name, definition)| (name.clone(), with_short_text(definition, definitions)))
                .collect(),
            ("properties", Value::Object(inner)) => {
                let mut inner: Map<_, _> =
                    inner.iter().map(|(key, value)| (key.clone(), editable(value, definitions))).collect();
                for (alias, canonical) in ALIASES {
                    if let Some(copy) = inner.get(*canonical).cloned() {
                        inner.insert((*alias).into(), copy);
                    }
                }
                Value::Object(inner)
            }
            ("oneOf" | "anyOf", Value::Array(variants)) => Value::Array(editable_variants(variants, definitions)),
            ("items" | "additionalProperties", value) => editable(value, definitions),
            (_, value) => value.clone(),
        };
        out.insert(keyword.clone(), value);
    }
    if let Some(Value::Array(variants)) = out.remove("oneOf") {
        out.insert("anyOf".into(), Value::Array(variants));
    }
    if is_number(schema) {
        let notes: Map<_, _> = ["description", "default"]
            .iter()
            .filter_map(|key| out.remove(*key).map(|value| ((*key).to_owned(), value)))
            .collect();
        let mut either = json!({ "anyOf": [Value::Object(out), { "$ref": "#/$defs/Variable" }] });
        if let Value::Object(either) = &mut either {
            either.extend(notes);
        }
        return either;
    }
    Value::Object(out)
}

/// A struct with one required text may be written as that text.
fn with_short_text(definition: &Value, definitions: &Map<String, Value>) -> Value {
    let full = editable(definition, definitions);
    let Some(key) = short_key(definition, definitions) else { return full };
    json!({ "anyOf": [{ "type": "string", "description": format!("Short for {{{key}: ...}}.") }, full] })
}

fn editable_variants(variants: &[Value], definitions: &Map<String, Value>) -> Vec<Value> {
    let mut out = Vec::new();
    for variant in variants {
        let mut copy = editable(variant, definitions);
        if let Some((key, content)) = tagged(variant) {
            let content = resolve(content, definitions);
            if is_optional_struct(content) {
                out.push(json!({ "const": key, "description": format!("Short for {{{key}: {{}}}}.") }));
            } else if is_number(content) {
                out.push(json!({ "type": "number", "description": format!("Short for {{{key}: ...}}.") }));
            }
        }
        if let Some(word) = variant.get("const").and_then(Value::as_str)
            && let Some((alias, _)) = ALIASES.iter().find(|(_, canonical)| *canonical == word)
        {
            copy["const"] = json!(alias);
            out.push(copy.clone());
            copy["const"] = json!(word);
        }
        out.push(copy);
    }
    out
}

fn is_number(schema: &Value) -> bool {
    let is = |kind: &Value| kind == "integer" || kind == "number" || kind == "boolean";
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is),
        Some(kind) => is(kind),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_belongs_to_a_key_that_exists() {
        let schema = described();
        for (kind, key, keywords) in bounds() {
            let property = &schema["$defs"][kind]["properties"][key];
            assert!(property.is_object(), "{kind}.{key}");
            for (keyword, value) in keywords.as_object().unwrap() {
                assert_eq!(&property[keyword], value, "{kind}.{key}");
            }
        }
        assert_eq!(schema.pointer("/$defs/Threshold/oneOf/2/properties/at/maximum"), Some(&json!(1)));
    }

    #[test]
    fn every_other_spelling_is_known_to_serde_too() {
        let train = |text: &str| serde_json::from_str::<learn::spec::TrainSpec>(text).unwrap();
        for (alias, name) in ALIASES {
            if *name == "optimizer" {
                let write = |key: &str| train(&format!("{{\"{key}\": {{\"sgd\": {{}}}}}}"));
                assert_eq!(write(alias), write(name));
            } else {
                let write = |word: &str| train(&format!("{{\"loss\": \"{word}\"}}"));
                assert_eq!(write(alias), write(name), "{alias}");
            }
        }
    }

    #[test]
    fn editors_get_every_key_short_form_and_variable() {
        let schema = json_schema();
        let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("{path}\n{schema:#}"));
        assert_eq!(at("/$schema"), "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(at("/additionalProperties"), false);
        assert_eq!(at("/properties/models/additionalProperties/$ref"), "#/$defs/RawModel");
        assert_eq!(at("/$defs/RawModel/properties/target/description"), "The column to predict.");
        assert_eq!(at("/$defs/RawModel/required"), &json!(["table", "target"]));
        assert_eq!(at("/$defs/RawTable/anyOf/0/type"), "string", "a table may be its SQL");
        assert_eq!(at("/$defs/CsvSpec/anyOf/0/type"), "string", "a source may be its path");
        assert_eq!(at("/$defs/SampleSpec/anyOf/0/type"), "string", "a sample may be its name");
        assert_eq!(at("/$defs/NetSpec/anyOf/0/const"), "dense");
        assert_eq!(at("/$defs/TrainSpec/properties/epochs/default"), 30);
        assert_eq!(at("/$defs/TrainSpec/properties/epochs/anyOf/0/minimum"), 1);
        assert_eq!(at("/$defs/TrainSpec/properties/epochs/anyOf/1/$ref"), "#/$defs/Variable");
        assert_eq!(at("/$defs/TrainSpec/properties/optimiser/$ref"), "#/$defs/Optimizer");
        assert_eq!(at("/$defs/DenseSpec/properties/hidden/items/anyOf/0/maximum"), 65_536);
        let losses: Vec<_> =
            at("/$defs/Loss/anyOf").as_array().unwrap().iter().map(|loss| loss["const"].clone()).collect();
        assert!(losses.contains(&json!("mse")) && losses.contains(&json!("mean_squared_error")), "{losses:?}");
        assert!(at("/$defs/Threshold/anyOf").as_array().unwrap().iter().any(|form| form["type"] == "number"));
    }

    #[test]
    fn every_reference_points_somewhere() {
        fn references(schema: &Value, found: &mut Vec<String>) {
            match schema {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let schema = json_schema();
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
