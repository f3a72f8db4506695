//! Which words of BigQuery ML does SQL know? `ML.PREDICT`, `ML.EXPLAIN_PREDICT`, `ML.EVALUATE` and `ML.FEATURE_IMPORTANCE`
//! become queries with our functions; `CREATE MODEL` is taken apart for who trains. Words are found among the tokens of SQL,
//! so that strings and comments stay what they are.

mod calls;
mod create;

use std::borrow::Cow;
use std::fmt::Debug;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer, Word};

pub(super) use self::calls::rewritten;
pub use self::create::{CreateModel, IfModelExists, ModelOption, create_model};
use crate::error::{Error, Result};

/// What a model answers, for the columns of `ML.PREDICT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAnswer {
    /// The column that it was trained to predict.
    pub label: String,
    /// It answers classes, each with a probability.
    pub has_classes: bool,
}

/// Who knows the models that SQL names.
pub trait ModelNames: Debug + Send + Sync {
    /// What a model answers.
    ///
    /// # Errors
    /// A model that is not there, or cannot answer rows; a message without a place.
    fn answer(&self, model: &str) -> Result<ModelAnswer>;
}

/// A token and where it stands.
struct Piece {
    token: Token,
    /// Bytes of the text.
    from: usize,
    to: usize,
    place: Location,
}

/// The tokens of a text, without blanks and comments.
struct Pieces<'s> {
    text: &'s str,
    all: Vec<Piece>,
}

impl<'s> Pieces<'s> {
    /// Nothing where the text is no SQL: who plans it says why.
    fn of(text: &'s str) -> Option<Self> {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
        let mut offsets = Offsets { text, at: 0, line: 1, column: 1 };
        let mut all = Vec::new();
        for token in tokens {
            let (from, to) = (offsets.of(token.span.start), offsets.of(token.span.end));
            if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
                all.push(Piece { token: token.token, from, to, place: token.span.start });
            }
        }
        Some(Self { text, all })
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.all.get(at).map(|piece| &piece.token)
    }

    fn word(&self, at: usize) -> Option<&Word> {
        match self.token(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Whether a word without quotes stands there, in upper or lower case.
    fn is(&self, at: usize, wanted: &str) -> bool {
        self.word(at).is_some_and(|word| word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    }

    fn is_mark(&self, at: usize, mark: &Token) -> bool {
        self.token(at) == Some(mark)
    }

    /// The bracket that closes the one at this place.
    fn closing(&self, open: usize, end: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for at in open..end {
            match self.token(at)? {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(at);
            }
        }
        None
    }

    /// The parts between commas that stand in no further brackets.
    fn parts(&self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let (mut parts, mut start, mut depth) = (Vec::new(), from, 0_i64);
        for at in from..to {
            match self.token(at) {
                Some(Token::LParen | Token::LBracket | Token::LBrace) => depth += 1,
                Some(Token::RParen | Token::RBracket | Token::RBrace) => depth -= 1,
                Some(Token::Comma) if depth == 0 => {
                    parts.push((start, at));
                    start = at + 1;
                }
                _ => {}
            }
        }
        if start < to || !parts.is_empty() {
            parts.push((start, to));
        }
        parts
    }

    /// The text of these tokens and what stands between them.
    fn text(&self, from: usize, to: usize) -> &'s str {
        match (self.all.get(from), to.checked_sub(1).and_then(|last| self.all.get(last))) {
            (Some(first), Some(last)) if first.from <= last.to => &self.text[first.from..last.to],
            _ => "",
        }
    }

    /// `line 1, column 15`; the end where there is no such token.
    fn place(&self, at: usize) -> String {
        match self.all.get(at) {
            Some(piece) => format!("line {}, column {}", piece.place.line, piece.place.column),
            None => "the end".to_owned(),
        }
    }

    /// What stands there, for messages.
    fn found(&self, at: usize) -> String {
        match self.all.get(at) {
            Some(piece) => format!("\"{}\" at {}", &self.text[piece.from..piece.to], self.place(at)),
            None => "the end".to_owned(),
        }
    }

    /// An error of the query at a token.
    fn wrong(&self, at: usize, message: impl std::fmt::Display) -> Error {
        Error::Invalid(format!("SQL, {}: {message}", self.place(at)))
    }

    /// The name of a model that stands alone between two places.
    fn model(&self, from: usize, to: usize) -> Result<&str> {
        match self.word(from) {
            Some(word) if to == from + 1 => Ok(&word.value),
            Some(_) if self.is_mark(from + 1, &Token::Period) => {
                Err(self.wrong(from, "a model has one name, without a data set before it"))
            }
            Some(_) if to > from + 1 => Err(self
                .wrong(from + 1, "a model's name with other characters than letters, digits and _ stands in quotes")),
            _ => Err(self.wrong(from, format!("expected the name of a model, found {}", self.found(from)))),
        }
    }
}

/// The text with other words in place of some tokens; as it is where none is replaced.
pub(super) fn replaced<'s>(text: &'s str, mut other: impl FnMut(&Token) -> Option<String>) -> Cow<'s, str> {
    let Some(pieces) = Pieces::of(text) else { return Cow::Borrowed(text) };
    let (mut out, mut kept) = (String::new(), 0);
    for piece in &pieces.all {
        if let Some(word) = other(&piece.token) {
            out += &text[kept..piece.from];
            out += &word;
            kept = piece.to;
        }
    }
    match kept {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(out + &text[kept..]),
    }
}

/// Bytes of places that come one after the other.
struct Offsets<'s> {
    text: &'s str,
    at: usize,
    line: u64,
    column: u64,
}

impl Offsets<'_> {
    fn of(&mut self, place: Location) -> usize {
        for c in self.text[self.at..].chars() {
            if (self.line, self.column) >= (place.line, place.column) {
                break;
            }
            self.at += c.len_utf8();
            (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.at
    }
}
