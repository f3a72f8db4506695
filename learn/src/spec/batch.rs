//! How many rows has a step?

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most rows of a batch that can be asked for by number.
const ROWS_MAX: usize = 1 << 20;

/// Rows per step: a number, or the word `full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// So many, at least 1.
    Rows(usize),
    /// All training rows: batch gradient descent.
    Full,
}

impl BatchSize {
    /// Rows per step of `rows` training rows.
    pub fn rows(self, rows: usize) -> usize {
        match self {
            Self::Rows(count) => count.min(rows),
            Self::Full => rows,
        }
        .max(1)
    }
}

impl From<usize> for BatchSize {
    fn from(rows: usize) -> Self {
        Self::Rows(rows)
    }
}

impl Serialize for BatchSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rows(rows) => serializer.serialize_u64(*rows as u64),
            Self::Full => serializer.serialize_str("full"),
        }
    }
}

impl<'de> Deserialize<'de> for BatchSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Rows(usize),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Rows(rows) => Ok(Self::Rows(rows)),
            Written::Word(word) if word == "full" => Ok(Self::Full),
            Written::Word(word) => Err(D::Error::invalid_value(Unexpected::Str(&word), &"a number of rows or full")),
        }
    }
}

impl JsonSchema for BatchSize {
    fn schema_name() -> Cow<'static, str> {
        "BatchSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "integer", "minimum": 1, "maximum": ROWS_MAX },
                { "const": "full", "description": "All training rows: batch gradient descent." }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_the_word_full_are_read_and_written() {
        for (text, expected) in [("32", BatchSize::Rows(32)), ("\"full\"", BatchSize::Full)] {
            assert_eq!(serde_json::from_str::<BatchSize>(text).unwrap(), expected);
            assert_eq!(serde_json::to_string(&expected).unwrap(), text);
        }
        let message = serde_json::from_str::<BatchSize>("\"half\"").unwrap_err().to_string();
        assert!(message.contains("\"half\", expected a number of rows or full"), "{message}");
        assert_eq!(
            [BatchSize::Rows(32).rows(100), BatchSize::Rows(32).rows(7), BatchSize::Full.rows(100)],
            [32, 7, 100]
        );
    }
}
