//! Into which tokens is a text cut? By rules of our own, or by a tokenizer that comes in a file.

use serde::{Deserialize, Serialize};

use super::file::FileTokenizer;
use super::words::{each_word, fold};
use crate::Result;
use crate::spec::{Takes, TokenizerSpec};

/// How a text is cut into tokens; it is saved with the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// Words, numbers and punctuation; Chinese characters one by one.
    Words {
        /// Upper and lower case are the same.
        lower_case: bool,
    },
    /// Single characters; a run of white space is one blank.
    Characters {
        /// Upper and lower case are the same.
        lower_case: bool,
    },
    /// Pieces of words by a vocabulary from a file.
    File(FileTokenizer),
}

impl Tokenizer {
    /// The tokenizer of a spec for a model that takes texts so; reads its files.
    pub(super) fn of(spec: &TokenizerSpec, takes: Takes<'_>) -> Result<Self> {
        Ok(match spec {
            TokenizerSpec::Auto => match takes {
                Takes::TokensOf(folder) => Self::File(FileTokenizer::of_folder(folder)?),
                Takes::Numbers | Takes::Sequences => Self::Words { lower_case: true },
            },
            TokenizerSpec::Words(spec) => Self::Words { lower_case: spec.lower_case },
            TokenizerSpec::Characters(spec) => Self::Characters { lower_case: spec.lower_case },
            TokenizerSpec::WordPiece(spec) => Self::File(FileTokenizer::word_piece(spec)?),
            TokenizerSpec::BytePair(spec) => Self::File(FileTokenizer::byte_pair(spec)?),
            TokenizerSpec::File(spec) => Self::File(FileTokenizer::read(spec)?),
        })
    }

    /// The characters of the same texts.
    pub(super) fn characters(&self) -> Self {
        let lower_case = match self {
            Self::Words { lower_case } | Self::Characters { lower_case } => *lower_case,
            Self::File(_) => true,
        };
        Self::Characters { lower_case }
    }

    /// What it gives, in words.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Words { .. } => "words",
            Self::Characters { .. } => "characters",
            Self::File(_) => "pieces of words",
        }
    }

    /// Calls `f` with each token until it says `false`. Special tokens are left out.
    pub(super) fn each(&self, text: &str, f: &mut dyn FnMut(&str) -> bool) {
        let mut folded = String::new();
        match self {
            Self::Words { lower_case } => {
                fold(text, *lower_case, &mut folded);
                each_word(&folded, f);
            }
            Self::Characters { lower_case } => {
                fold(text, *lower_case, &mut folded);
                each_character(&folded, f);
            }
            Self::File(tokenizer) => {
                for token in tokenizer.pieces(text) {
                    if !f(&token) {
                        return;
                    }
                }
            }
        }
    }
}

fn each_character(folded: &str, f: &mut dyn FnMut(&str) -> bool) {
    let mut words = folded.split_whitespace();
    let mut next = words.next();
    while let Some(word) = next {
        for (at, c) in word.char_indices() {
            if !f(&word[at..at + c.len_utf8()]) {
                return;
            }
        }
        next = words.next();
        if next.is_some() && !f(" ") {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_single_and_blanks_are_one() {
        let mut found = String::new();
        Tokenizer::Characters { lower_case: true }.each("  Ab\n\t 酒é ", &mut |token| {
            found.push_str(token);
            found.push('|');
            true
        });
        assert_eq!(found, "a|b| |酒|é|");
    }
}
