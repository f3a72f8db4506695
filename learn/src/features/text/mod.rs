//! How does a text become an input? Cut into tokens, which become numbers in their order, or weighted terms without one.

mod contrast;
mod file;
mod terms;
mod tokenizer;
mod words;

use arrow::array::Array;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bag::{BagBlock, BagInput};
use super::category::Counts;
use super::column::{ColumnKind, Vocabulary};
use super::fit::{Fitted, Training};
use super::numeric::{NumericPart, TextInput, TokenBlock};
use super::prepared::Prepared;
use super::values::{Mismatch, counted, each_text};
use crate::hash::QuickMap;
use crate::spec::{Takes, TextEncoding, TextSpec};
use crate::{Error, Result};

pub use file::FileTokenizer;
pub use terms::Ngrams;
use terms::{Rarity, Terms, inverse_document_frequency, push_hashed, push_weighted};
pub use tokenizer::Tokenizer;

/// What a text column has to hold.
pub(super) const EXPECTED: &str = "text";

/// Longest input, in tokens.
const LENGTH_MAX: usize = 4_096;
/// Most tokens or terms kept.
const VOCABULARY_MAX: usize = 1_000_000;
/// Tokens kept where nothing else is asked.
const TOKENS_KEPT: usize = 20_000;
/// Terms kept where nothing else is asked: each is an input of the network.
const TERMS_KEPT: usize = 5_000;
/// Places of hashed terms where nothing else is asked.
const PLACES: usize = 4_096;
/// Different tokens or terms that are counted; beyond, those seen once are forgotten (Manku and Motwani 2002).
const COUNTED_MAX: usize = 4_000_000;
/// Most tokens of a term.
const NGRAM_MAX: usize = 8;
/// Longest example, in characters.
const EXAMPLE_MAX: usize = 1_000;

/// What tokens become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextCode {
    /// Token numbers in their order: 0 padding, 1 unknown, then the vocabulary; those of its file where the tokenizer
    /// comes in one.
    Tokens {
        /// Tokens per text.
        length: usize,
        /// Known tokens, the most frequent first, from number 2 on; empty where the tokenizer comes in a file.
        vocabulary: Vocabulary,
    },
    /// Terms weighted by their frequency.
    TfIdf {
        /// The terms, by their place.
        terms: Vocabulary,
        /// Inverse document frequency of each.
        idf: Vec<f32>,
        /// How terms are made.
        #[serde(default)]
        ngrams: Ngrams,
    },
    /// Terms at the places of their hashes.
    Hashing {
        /// Number of places.
        width: usize,
        /// How terms are made.
        #[serde(default)]
        ngrams: Ngrams,
    },
}

impl TextCode {
    /// Input of the network for a column: token numbers or weighted terms.
    pub(super) fn input(&self, name: &str, tokenizer: &Tokenizer) -> NumericPart {
        let name = name.to_owned();
        let mut part = NumericPart::default();
        match self {
            Self::Tokens { length, vocabulary } => {
                let (vocabulary, unknown) = match tokenizer {
                    Tokenizer::File(file) => (file.cardinality(), file.unknown()),
                    _ => (vocabulary.cardinality(), TextInput::UNKNOWN),
                };
                part.texts.push(TextInput { name, length: *length, vocabulary, unknown });
            }
            Self::TfIdf { terms, .. } => part.bags.push(BagInput { name, width: terms.values().len() }),
            Self::Hashing { width, .. } => part.bags.push(BagInput { name, width: *width }),
        }
        part
    }
}

/// Fits a text.
pub(super) fn fit(training: &Training<'_>, spec: &TextSpec) -> Result<Fitted> {
    let name = training.name;
    let encoding = settle(training, spec)?;
    let tokenizer = Tokenizer::of(&spec.tokenizer, training.takes)
        .map_err(|e| Error::invalid(format!("column \"{name}\": {e}")))?;
    let mut about = About::default();
    training.each(EXPECTED, |array| each_text(array, &mut |_, text| about.add(text)))?;
    if about.present == 0 {
        return Err(training.without_values());
    }
    let (code, how) = match encoding {
        TextEncoding::Auto | TextEncoding::Tokens => fit_tokens(training, spec, &tokenizer)?,
        TextEncoding::TfIdf => fit_terms(training, spec, &tokenizer)?,
        TextEncoding::Hashing => {
            let width = spec.vocabulary_max.unwrap_or(PLACES);
            let ngrams = ngrams(spec);
            (TextCode::Hashing { width, ngrams }, format!("{} hashed to {width} places", described(ngrams)))
        }
    };
    let missing = training.rows as u64 - about.present;
    let how = format!(
        "text of {}{}, {how}",
        tokenizer.describe(),
        if missing > 0 { format!(", {missing} missing") } else { String::new() }
    );
    let inputs = code.input(name, &tokenizer);
    let (kind, prepared) = (ColumnKind::Text { tokenizer, code }, Prepared::Plain);
    Ok(Fitted { kind, prepared, example: Value::from(about.example), missing, inputs, how })
}

/// The encoding, once the spec has been checked.
fn settle(training: &Training<'_>, spec: &TextSpec) -> Result<TextEncoding> {
    let name = training.name;
    let refuse = |message: String| Err(Error::invalid(format!("column \"{name}\": {message}")));
    if !(1..=LENGTH_MAX).contains(&spec.length_max) {
        return refuse(format!("length_max is {}, expected 1 to {LENGTH_MAX}", spec.length_max));
    }
    if let Some(given) = spec.vocabulary_max.filter(|given| !(1..=VOCABULARY_MAX).contains(given)) {
        return refuse(format!("vocabulary_max is {given}, expected 1 to {VOCABULARY_MAX}"));
    }
    let ranges = [("ngram_range", Some(spec.ngram_range)), ("character_ngrams", spec.character_ngrams)];
    for (key, [least, most]) in ranges.into_iter().filter_map(|(key, range)| Some((key, range?))) {
        if !(1..=most).contains(&least) || most > NGRAM_MAX {
            return refuse(format!(
                "{key} is [{least}, {most}], expected the least and the most of a term, 1 to {NGRAM_MAX}"
            ));
        }
    }
    let encoding = match (spec.encode, training.takes) {
        (TextEncoding::Auto, Takes::Sequences | Takes::TokensOf(_)) => TextEncoding::Tokens,
        (TextEncoding::Auto, Takes::Numbers) => TextEncoding::TfIdf,
        (encoding, _) => encoding,
    };
    match encoding == TextEncoding::TfIdf || !spec.class_contrast {
        true => Ok(encoding),
        false => refuse("class_contrast weighs the terms of tf_idf: set encode to tf_idf, or leave it out".into()),
    }
}

/// What the training rows hold, whatever becomes of it.
#[derive(Default)]
struct About {
    present: u64,
    example: String,
}

impl About {
    fn add(&mut self, text: Option<&str>) {
        let Some(text) = text else { return };
        self.present += 1;
        if self.example.is_empty() {
            self.example = text.chars().take(EXAMPLE_MAX).collect();
        }
    }
}

/// Counts tokens or terms within [`COUNTED_MAX`].
#[derive(Default)]
struct Counter(QuickMap<String, u64>);

impl Counter {
    fn add(&mut self, token: &str) {
        match self.0.get_mut(token) {
            Some(count) => *count += 1,
            None => {
                if self.0.len() >= COUNTED_MAX {
                    self.0.retain(|_, count| *count > 1);
                }
                self.0.insert(token.to_owned(), 1);
            }
        }
    }

    /// The most frequent ones with their counts; those of the same count by the alphabet.
    fn frequent(self, count_min: u64, most: usize) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> = self.0.into_iter().filter(|(_, count)| *count >= count_min).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(most);
        all
    }
}

fn nothing_left(training: &Training<'_>, spec: &TextSpec, what: &str) -> Error {
    Error::invalid(format!(
        "column \"{}\": no {what} occurs {} times in the {} training rows; lower count_min",
        training.name, spec.count_min, training.rows
    ))
}

fn fit_tokens(training: &Training<'_>, spec: &TextSpec, tokenizer: &Tokenizer) -> Result<(TextCode, String)> {
    let mut lengths = vec![0_u64; spec.length_max + 1];
    let mut counter = Counter::default();
    training.each(EXPECTED, |array| {
        each_text(array, &mut |_, text| {
            let text = text.unwrap_or_default();
            let mut length = 0;
            match tokenizer {
                Tokenizer::File(file) => length = file.count(text),
                _ => tokenizer.each(text, &mut |token| {
                    counter.add(token);
                    length += 1;
                    length < spec.length_max
                }),
            }
            lengths[length.min(spec.length_max)] += 1;
        })
    })?;
    let length = covering(&lengths, training.rows as u64);
    if let Tokenizer::File(file) = tokenizer {
        if let Some(given) = spec.vocabulary_max {
            return Err(Error::invalid(format!(
                "column \"{}\": vocabulary_max is {given}, but the tokenizer has its vocabulary from a file; leave it out",
                training.name
            )));
        }
        let how = format!("{length} tokens at most, vocabulary of {} from its file", file.cardinality());
        return Ok((TextCode::Tokens { length, vocabulary: Vocabulary::default() }, how));
    }
    let (distinct, all) = (counter.0.len(), counter.0.values().sum::<u64>());
    let known = counter.frequent(spec.count_min, spec.vocabulary_max.unwrap_or(TOKENS_KEPT));
    if known.is_empty() {
        return Err(nothing_left(training, spec, "token"));
    }
    let share = 100.0 - 100.0 * known.iter().map(|(_, count)| count).sum::<u64>() as f64 / all.max(1) as f64;
    let how = format!(
        "{length} tokens at most, vocabulary of {} from {distinct} different ones ({share:.1} % of all unknown)",
        known.len()
    );
    let vocabulary = Vocabulary::from(known.into_iter().map(|(token, _)| token).collect::<Vec<_>>());
    Ok((TextCode::Tokens { length, vocabulary }, how))
}

/// The least length that 99 of 100 texts do not exceed. `lengths` counts texts by their length.
fn covering(lengths: &[u64], texts: u64) -> usize {
    let mut covered = 0;
    let enough = |count: &u64| {
        covered += count;
        covered * 100 >= texts * 99
    };
    lengths.iter().position(enough).unwrap_or(lengths.len() - 1).max(1)
}

fn fit_terms(training: &Training<'_>, spec: &TextSpec, tokenizer: &Tokenizer) -> Result<(TextCode, String)> {
    let mut counter = Counter::default();
    let mut texts = 0;
    let mut of_text: Vec<String> = Vec::new();
    let of = Terms { tokenizer, ngrams: ngrams(spec) };
    training.each(EXPECTED, |array| {
        each_text(array, &mut |_, text| {
            let Some(text) = text else { return };
            texts += 1;
            of_text.clear();
            of.each(text, &mut |term, _| of_text.push(term.to_owned()));
            of_text.sort_unstable();
            of_text.dedup();
            of_text.iter().for_each(|term| counter.add(term));
        })
    })?;
    let distinct = counter.0.len();
    let known = counter.frequent(spec.count_min, spec.vocabulary_max.unwrap_or(TERMS_KEPT));
    if known.is_empty() {
        return Err(nothing_left(training, spec, "term"));
    }
    let mut idf: Vec<f32> = known.iter().map(|&(_, with_term)| inverse_document_frequency(texts, with_term)).collect();
    let terms = Vocabulary::from(known.into_iter().map(|(term, _)| term).collect::<Vec<_>>());
    let mut weights = "TF-IDF";
    if spec.class_contrast {
        weights = "TF-IDF by the contrast of classes";
        let contrasts = contrast::of_classes(training, of, &terms)?;
        idf.iter_mut().zip(contrasts).for_each(|(weight, contrast)| *weight *= contrast);
    }
    let how = format!(
        "{}, the weights ({weights}) of {} of {}",
        described(ngrams(spec)),
        counted(terms.values().len() as u64, "term"),
        distinct
    );
    Ok((TextCode::TfIdf { terms, idf, ngrams: ngrams(spec) }, how))
}

fn ngrams(spec: &TextSpec) -> Ngrams {
    Ngrams { tokens: spec.ngram_range, characters: spec.character_ngrams }
}

fn described(ngrams: Ngrams) -> String {
    let of_tokens = match ngrams.tokens {
        [1, 1] => "each by itself".to_owned(),
        [1, most] => format!("each and up to {most} side by side"),
        [least, most] if least == most => format!("{most} side by side"),
        [least, most] => format!("{least} to {most} side by side"),
    };
    let of_characters = ngrams.characters.map(|[least, most]| format!(" and {least} to {most} characters"));
    of_tokens + &of_characters.unwrap_or_default()
}

/// Writes the token numbers of a column: `[rows, length]`. Every row has a token, an unknown one where it has no text, so
/// that networks always have something to read.
pub(super) fn encode_tokens(
    array: Option<&dyn Array>,
    rows: usize,
    tokenizer: &Tokenizer,
    vocabulary: &Vocabulary,
    block: &mut TokenBlock,
) -> Result<(), Mismatch> {
    let length = block.length;
    block.tokens = vec![TextInput::PADDING; rows * length];
    let tokens = &mut block.tokens;
    let mut write = |row: usize, text: Option<&str>| {
        let out = &mut tokens[row * length..][..length];
        match tokenizer {
            Tokenizer::File(file) => file.write(text.unwrap_or_default(), out),
            _ => write_tokens(tokenizer, vocabulary, text.unwrap_or_default(), out),
        }
    };
    match array {
        Some(array) => each_text(array, &mut write),
        None => {
            (0..rows).for_each(|row| write(row, None));
            Ok(())
        }
    }
}

fn write_tokens(tokenizer: &Tokenizer, vocabulary: &Vocabulary, text: &str, out: &mut [i32]) {
    let mut length = 0;
    tokenizer.each(text, &mut |token| {
        if let Some(slot) = out.get_mut(length) {
            *slot = vocabulary.find(token).unwrap_or(TextInput::UNKNOWN);
            length += 1;
        }
        length < out.len()
    });
    if length == 0
        && let Some(first) = out.first_mut()
    {
        *first = TextInput::UNKNOWN;
    }
}

/// Adds the weighted terms of each row to a block.
pub(super) fn encode_bag(
    array: Option<&dyn Array>,
    rows: usize,
    tokenizer: &Tokenizer,
    code: &TextCode,
    block: &mut BagBlock,
) -> Result<(), Mismatch> {
    let mut push = |_: usize, text: Option<&str>| match code {
        TextCode::TfIdf { terms, idf, ngrams } => {
            push_weighted(Terms { tokenizer, ngrams: *ngrams }, &Rarity { terms, idf }, text, block);
        }
        TextCode::Hashing { ngrams, .. } => push_hashed(Terms { tokenizer, ngrams: *ngrams }, text, block),
        TextCode::Tokens { .. } => {}
    };
    match array {
        Some(array) => each_text(array, &mut push),
        None => {
            (0..rows).for_each(|row| push(row, None));
            Ok(())
        }
    }
}

/// Distinct values from which a column may be of texts.
const VALUES_MIN: usize = 21;
/// Words that texts have on average.
const WORDS_MIN: f64 = 3.0;
/// Tokens looked at of each value.
const LOOKED_AT: usize = 32;

/// Whether values read like texts: mostly different, of several words, which occur again in other values. Names of rows
/// and numbers of parts do not.
pub(super) fn looks_like_text(counts: &Counts) -> bool {
    let distinct = counts.values.len();
    if distinct < VALUES_MIN || (distinct as u64) * 2 < counts.present {
        return false;
    }
    let tokenizer = Tokenizer::Words { lower_case: true };
    let (mut words, mut seen) = (0_u64, Counter::default());
    for value in counts.values.keys() {
        let mut looked_at = 0;
        tokenizer.each(value, &mut |token| {
            if words::is_word(token) {
                words += 1;
                seen.add(token);
            }
            looked_at += 1;
            looked_at < LOOKED_AT
        });
    }
    let again: u64 = seen.0.values().filter(|count| **count > 1).sum();
    words as f64 >= WORDS_MIN * distinct as f64 && again * 2 >= words
}
