//! How is a text or a series of numbers prepared?

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Impute, NetSpec, Scale};

/// Tokens and pairs of neighbours.
pub(crate) const PAIRS: [usize; 2] = [1, 2];

/// Preparation of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextSpec {
    /// How a text is cut into tokens.
    pub tokenizer: TokenizerSpec,
    /// How tokens become numbers.
    pub encode: TextEncoding,
    /// Most tokens read of a text, 1 to 4,096; fewer where 99 of 100 training rows have fewer.
    pub length_max: usize,
    /// Tokens (or terms) kept, the most frequent of the training rows; where absent 20,000 for `tokens`, 5,000 for
    /// `tf_idf`, 4,096 for `hashing`. 1 to 1,000,000.
    pub vocabulary_max: Option<usize>,
    /// Tokens seen fewer times in the training rows (for `tf_idf`: terms in fewer texts) count as unknown.
    pub count_min: u64,
    /// Least and most tokens side by side that make a term of `tf_idf` and `hashing`, each 1 to 8. Punctuation parts words;
    /// of characters blanks and punctuation are part of terms.
    pub ngram_range: [usize; 2],
    /// Least and most characters side by side that make more terms of `tf_idf` and `hashing`, each 1 to 8: parts of words and
    /// what is between them. They count as much as the terms of tokens together.
    pub character_ngrams: Option<[usize; 2]>,
    /// Terms of `tf_idf` count the more the more unevenly the two classes of the target have them in the training rows: times 1
    /// and the logarithm of the ratio (after Wang and Manning 2012).
    pub class_contrast: bool,
}

impl Default for TextSpec {
    fn default() -> Self {
        Self {
            tokenizer: TokenizerSpec::default(),
            encode: TextEncoding::Auto,
            length_max: 128,
            vocabulary_max: None,
            count_min: 2,
            ngram_range: PAIRS,
            character_ngrams: None,
            class_contrast: false,
        }
    }
}

/// How a text is cut into tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerSpec {
    /// That of the network's folder where it has one (`bert`), else `words`.
    #[default]
    Auto,
    /// Words, numbers and punctuation by the rules of Unicode (UAX 29); Chinese characters one by one.
    Words(WordsSpec),
    /// Single characters.
    Characters(CharactersSpec),
    /// Pieces of words by a vocabulary of BERT's kind, between `[CLS]` and `[SEP]`.
    WordPiece(WordPieceSpec),
    /// Pieces of words by byte-pair encoding of GPT-2's kind.
    BytePair(BytePairSpec),
    /// A tokenizer of Hugging Face.
    File(TokenizerFileSpec),
}

/// Words, numbers and punctuation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WordsSpec {
    /// Upper and lower case are the same.
    pub lower_case: bool,
}

impl Default for WordsSpec {
    fn default() -> Self {
        Self { lower_case: true }
    }
}

/// Single characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CharactersSpec {
    /// Upper and lower case are the same.
    pub lower_case: bool,
}

impl Default for CharactersSpec {
    fn default() -> Self {
        Self { lower_case: true }
    }
}

/// Pieces of words by a vocabulary of BERT's kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordPieceSpec {
    /// The vocabulary, one piece in each line (`vocab.txt`).
    pub vocabulary: String,
    /// Upper and lower case are the same, accents are left out; as the vocabulary was made.
    #[serde(default = "yes")]
    pub lower_case: bool,
}

/// Pieces of words by byte-pair encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BytePairSpec {
    /// The numbers of the pieces (`vocab.json`).
    pub vocabulary: String,
    /// Which pieces are joined, in order (`merges.txt`).
    pub merges: String,
}

/// A tokenizer of Hugging Face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFileSpec {
    /// The file (`tokenizer.json`).
    pub path: String,
}

impl TokenizerSpec {
    /// The files it names.
    pub fn paths_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Auto | Self::Words(_) | Self::Characters(_) => vec![],
            Self::WordPiece(spec) => vec![&mut spec.vocabulary],
            Self::BytePair(spec) => vec![&mut spec.vocabulary, &mut spec.merges],
            Self::File(spec) => vec![&mut spec.path],
        }
    }
}

/// How tokens become numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextEncoding {
    /// `tokens` for networks that read sequences, `tf_idf` for all others.
    #[default]
    Auto,
    /// The numbers of the tokens in their order, for networks that read sequences.
    Tokens,
    /// A weight for each token and each pair of neighbours (or as `ngram_range` says): more where a text says it often, less
    /// where many texts do.
    TfIdf,
    /// As `tf_idf`, without a vocabulary: terms share a fixed number of places, which nothing has to be fitted for.
    Hashing,
}

/// Preparation of a series of numbers: a column of lists, oldest value first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesSpec {
    /// Values read of a list, 1 to 4,096: the newest of longer ones; shorter ones are filled up before their first value
    /// as if it were missing. Where absent, the length of the longest list of the training rows.
    pub steps: Option<usize>,
    /// What stands in for a missing value.
    pub impute: Impute,
    /// Brings the values to a common range; one scale for all steps.
    pub scale: Scale,
    /// Figures of the values read, each an input of its own.
    pub statistics: Vec<SeriesStatistic>,
    /// Lengths of rounds in steps, such as 24 for a day of hours: adds how strongly the values go up and down with each,
    /// as sine and cosine (Fourier).
    pub fourier: Vec<f64>,
    /// Lengths of seasons in steps: adds the newest value less the one a season before.
    pub seasons: Vec<usize>,
    /// Reads the figures alone, without the values step by step.
    pub figures_alone: bool,
}

/// A figure of a series, of the values that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeriesStatistic {
    /// The mean.
    Mean,
    /// The standard deviation.
    Std,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// How much is added per step, by least squares.
    Slope,
    /// The newest value.
    Last,
    /// The newest value less the one before it.
    LastDifference,
}

fn yes() -> bool {
    true
}

/// What a model takes of texts and series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes<'a> {
    /// Numbers without an order: texts as weighted terms, every step of a series as a number of its own.
    Numbers,
    /// Texts token by token, series step by step.
    Sequences,
    /// Texts token by token, cut by the tokenizer of this folder; every step of a series as a number of its own.
    TokensOf(&'a Path),
}

impl NetSpec {
    /// What the network takes of texts and series.
    pub fn takes(&self) -> Takes<'_> {
        match self {
            Self::TextConv(_) | Self::Recurrent(_) | Self::Transformer(_) => Takes::Sequences,
            Self::Ensemble(spec) if spec.members.iter().any(|member| member.network.takes() == Takes::Sequences) => {
                Takes::Sequences
            }
            Self::Bert(spec) => Takes::TokensOf(Path::new(&spec.folder)),
            _ => Takes::Numbers,
        }
    }
}
