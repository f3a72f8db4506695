//! What does a model read? Its columns, for forms, the API's description, the ONNX file and error messages.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::prepared::Prepared;
use super::text::{TextCode, Tokenizer};
use crate::hash::QuickMap;
use crate::spec::DatePart;

/// A column that a model reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the table.
    pub name: String,
    /// What it holds and what training rows held.
    pub kind: ColumnKind,
    /// Training rows without a value.
    pub missing: u64,
    /// A usual value: the median, the most frequent category; null for pictures.
    pub example: Value,
    /// What is made of it before it becomes numbers for a network.
    #[serde(default, skip_serializing_if = "Prepared::is_plain")]
    pub prepared: Prepared,
}

/// What a column holds and what training rows held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A number.
    Number {
        /// Lowest value of the training rows.
        min: f32,
        /// Highest value of the training rows.
        max: f32,
        /// Whether the column's type holds whole numbers only.
        integer: bool,
    },
    /// One of a set of values.
    Category {
        /// The known values, in order of their codes (from 2 on).
        values: Vocabulary,
    },
    /// True or false.
    Boolean,
    /// A date or time stamp, read in UTC.
    Date {
        /// Earliest of the training rows, ISO 8601.
        min: String,
        /// Latest of the training rows, ISO 8601.
        max: String,
        /// The parts read, each one number or a sine and a cosine.
        parts: Vec<DateInput>,
    },
    /// A picture, brought to this size.
    Image {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// 1 (grey) or 3 (red, green, blue).
        channels: usize,
        /// Height, width and channels of raw pixels in the training rows; none where they were picture files.
        raw: Option<[usize; 3]>,
    },
    /// A text.
    Text {
        /// How it is cut into tokens.
        tokenizer: Tokenizer,
        /// What the tokens become.
        code: TextCode,
    },
    /// A list of numbers over time.
    Series {
        /// Values read: the newest ones.
        steps: usize,
        /// Lowest value of the training rows.
        min: f32,
        /// Highest value of the training rows.
        max: f32,
        /// Each step is a number of its own, since the model does not read sequences.
        flat: bool,
    },
}

impl ColumnKind {
    /// The kind in one word: `number`, `category`, `boolean`, `date`, `image`, `text`, `series`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Number { .. } => "number",
            Self::Category { .. } => "category",
            Self::Boolean => "boolean",
            Self::Date { .. } => "date",
            Self::Image { .. } => "image",
            Self::Text { .. } => "text",
            Self::Series { .. } => "series",
        }
    }

    /// Numbers it is where nothing more is made of it.
    pub(super) fn numbers(&self) -> usize {
        match self {
            Self::Number { .. } | Self::Boolean => 1,
            Self::Date { parts, .. } => parts.iter().map(|part| part.inputs()).sum(),
            Self::Series { steps, flat: true, .. } => *steps,
            Self::Category { .. } | Self::Image { .. } | Self::Text { .. } | Self::Series { .. } => 0,
        }
    }
}

/// One part of a date as the network reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateInput {
    /// The part.
    pub part: DatePart,
    /// As sine and cosine of its place in the round; otherwise as the plain number.
    pub cyclical: bool,
}

impl DateInput {
    /// Numbers it becomes.
    pub(crate) fn inputs(self) -> usize {
        if self.cyclical { 2 } else { 1 }
    }
}

/// What was picked for a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The column.
    pub column: String,
    /// `number`, `category`, `boolean`, `date`, `image`, `text`, `series` or `left out`.
    pub feature: String,
    /// In words: what it is read as and what was fitted, or `left out: ` and why.
    pub how: String,
}

/// Known values of a category (or tokens of texts), in order; the first has code 2.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Vocabulary {
    values: Vec<String>,
    codes: QuickMap<Box<str>, i32>,
}

impl Vocabulary {
    /// Code of a value that is not in the vocabulary.
    pub const UNKNOWN: i32 = 0;
    /// Code of a missing value.
    pub const MISSING: i32 = 1;
    /// Code of the first known value.
    pub const FIRST: i32 = 2;

    /// The known values.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Number of codes: the known values, unknown and missing.
    pub fn cardinality(&self) -> usize {
        self.values.len() + Self::FIRST as usize
    }

    /// The code of a value.
    pub fn code(&self, value: &str) -> i32 {
        self.find(value).unwrap_or(Self::UNKNOWN)
    }

    /// The code of a value, nothing where it is not known.
    pub(crate) fn find(&self, value: &str) -> Option<i32> {
        self.codes.get(value).copied()
    }
}

impl From<Vec<String>> for Vocabulary {
    fn from(values: Vec<String>) -> Self {
        let codes = values.iter().zip(Self::FIRST..).map(|(value, code)| (value.as_str().into(), code)).collect();
        Self { values, codes }
    }
}

impl From<Vocabulary> for Vec<String> {
    fn from(vocabulary: Vocabulary) -> Self {
        vocabulary.values
    }
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

/// FNV-1a, which says in which bucket a value is, today and later.
#[derive(Debug, Clone)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
