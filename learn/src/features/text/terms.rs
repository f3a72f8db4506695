//! Which terms does a text have, and how much does each weigh? Tokens and neighbours, weighted by term frequency and inverse document frequency (Salton and Buckley 1988), or hashed (Weinberger et al. 2009).

use serde::{Deserialize, Serialize};

use super::tokenizer::Tokenizer;
use crate::features::bag::BagBlock;
use crate::features::column::Vocabulary;

/// Tokens of a text that are read for its terms.
const TOKENS_MAX: usize = 100_000;

/// How terms are made, as it is saved with a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ngrams {
    /// Least and most tokens of a term.
    pub tokens: [usize; 2],
    /// Least and most characters of more terms.
    pub characters: Option<[usize; 2]>,
}

impl Default for Ngrams {
    /// What models had before it could be chosen.
    fn default() -> Self {
        Self { tokens: crate::spec::PAIRS, characters: None }
    }
}

/// Parts terms of characters from those of tokens: no token begins with it and holds a letter.
const OF_CHARACTERS: char = '=';

/// The terms of texts: of tokens, and of characters where they are wanted.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) ngrams: Ngrams,
}

impl Terms<'_> {
    /// Calls `f` with every term of a text and whether it is one of characters: "not", "good", "not good". Punctuation parts
    /// words; of characters all are part of terms.
    pub(super) fn each(self, text: &str, f: &mut dyn FnMut(&str, bool)) {
        let are_words = !matches!(self.tokenizer, Tokenizer::Characters { .. });
        side_by_side(self.tokenizer, are_words, self.ngrams.tokens, text, &mut |term| f(term, false));
        let Some(lengths) = self.ngrams.characters else { return };
        let mut marked = String::new();
        side_by_side(&self.tokenizer.characters(), false, lengths, text, &mut |term| {
            marked.clear();
            marked.push(OF_CHARACTERS);
            marked.push_str(term);
            f(&marked, true);
        });
    }
}

fn side_by_side(
    tokenizer: &Tokenizer,
    are_words: bool,
    [least, most]: [usize; 2],
    text: &str,
    f: &mut dyn FnMut(&str),
) {
    // The clause so far, and where its tokens begin.
    let (mut clause, mut starts, mut count) = (String::new(), Vec::new(), 0);
    tokenizer.each(text, &mut |token| {
        count += 1;
        if are_words && !token.chars().any(char::is_alphanumeric) {
            clause.clear();
            starts.clear();
            return count < TOKENS_MAX;
        }
        if are_words && !clause.is_empty() {
            clause.push(' ');
        }
        starts.push(clause.len());
        clause.push_str(token);
        for length in least..=most.min(starts.len()) {
            f(&clause[starts[starts.len() - length]..]);
        }
        count < TOKENS_MAX
    });
}

/// The terms that weigh, and how much by their rarity.
pub(super) struct Rarity<'a> {
    pub(super) terms: &'a Vocabulary,
    /// Inverse document frequency of each term.
    pub(super) idf: &'a [f32],
}

/// ln((1 + n) / (1 + df)) + 1, as if one more text had every term.
pub(super) fn inverse_document_frequency(texts: u64, with_term: u64) -> f32 {
    (((1 + texts) as f64 / (1 + with_term) as f64).ln() + 1.0) as f32
}

/// Adds a text as a row: (1 + ln count) x idf for each known term, brought to length 1.
pub(super) fn push_weighted(of: Terms, rarity: &Rarity<'_>, text: Option<&str>, block: &mut BagBlock) {
    let mut found: [Vec<u32>; 2] = Default::default();
    of.each(text.unwrap_or_default(), &mut |term, of_characters| {
        let code = rarity.terms.find(term).map(|code| (code - Vocabulary::FIRST) as u32);
        found[usize::from(of_characters)].extend(code);
    });
    let weights = found.map(|mut found| {
        found.sort_unstable();
        let runs = found.chunk_by(|a, b| a == b);
        let weight = |run: &[u32]| {
            let idf = rarity.idf.get(run[0] as usize).copied().unwrap_or(1.0);
            (run[0], (1.0 + (run.len() as f64).ln()) * f64::from(idf))
        };
        runs.map(weight).collect()
    });
    push_together(weights, block);
}

/// Adds a text as a row: every term adds 1 or -1 to the place its hash says, what comes together is dampened and brought
/// to length 1. The sign lets terms that meet in one place cancel rather than add.
pub(super) fn push_hashed(of: Terms, text: Option<&str>, block: &mut BagBlock) {
    let width = block.width.max(1) as u64;
    let mut found: [Vec<(u32, i32)>; 2] = Default::default();
    of.each(text.unwrap_or_default(), &mut |term, of_characters| {
        let hash = fnv(term);
        // The sign from a bit that does not choose the place.
        let signed = ((hash % width) as u32, if hash >> 63 == 0 { 1 } else { -1 });
        found[usize::from(of_characters)].push(signed);
    });
    let weights = found.map(|mut found| {
        found.sort_unstable();
        let sums =
            found.chunk_by(|a, b| a.0 == b.0).map(|run| (run[0].0, run.iter().map(|(_, sign)| sign).sum::<i32>()));
        let sums = sums.map(|(place, sum)| (place, f64::from(sum))).filter(|(_, sum)| *sum != 0.0);
        sums.map(|(place, sum)| (place, sum.signum() * (1.0 + sum.abs().ln()))).collect()
    });
    push_together(weights, block);
}

/// Terms of tokens and of characters, each brought to length 1, then both together; either may be none.
fn push_together([tokens, characters]: [Vec<(u32, f64)>; 2], block: &mut BagBlock) {
    let (tokens, characters) = (normalised(tokens), normalised(characters));
    if characters.is_empty() {
        return block.push(tokens.into_iter().map(|(term, weight)| (term, weight as f32)));
    }
    let mut all = [tokens, characters].concat();
    all.sort_unstable_by_key(|(term, _)| *term);
    // Hashes of both kinds may meet in one place.
    let sums = all.chunk_by(|a, b| a.0 == b.0).map(|run| (run[0].0, run.iter().map(|(_, weight)| weight).sum()));
    block.push(normalised(sums.collect()).into_iter().map(|(term, weight)| (term, weight as f32)));
}

fn normalised(mut weights: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
    let length = weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
    weights.iter_mut().for_each(|(_, weight)| *weight /= length);
    weights
}

/// FNV-1a with a last mixing step (of MurmurHash3), since its upper bits alone are not even.
fn fnv(term: &str) -> u64 {
    let hash = term
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: Ngrams = Ngrams { tokens: [1, 2], characters: None };
    const WORDS: Terms = Terms { tokenizer: &Tokenizer::Words { lower_case: true }, ngrams: PAIRS };

    #[test]
    fn terms_are_words_and_neighbours_within_a_clause() {
        let terms = |of: Terms, text: &str| {
            let mut found = Vec::new();
            of.each(text, &mut |term, _| found.push(term.to_owned()));
            found
        };
        let found = terms(WORDS, "Not good, not bad. 好看");
        assert_eq!(found, ["not", "good", "not good", "not", "bad", "not bad", "好", "看", "好 看"]);
        let found = terms(Terms { ngrams: Ngrams { tokens: [2, 3], ..PAIRS }, ..WORDS }, "not so bad, yes it is");
        assert_eq!(found, ["not so", "so bad", "not so bad", "yes it", "it is", "yes it is"]);
        let ngrams = Ngrams { tokens: [3, 4], ..PAIRS };
        let characters = Terms { tokenizer: &Tokenizer::Characters { lower_case: true }, ngrams };
        assert_eq!(terms(characters, "So-so!"), ["so-", "o-s", "so-s", "-so", "o-so", "so!", "-so!"]);
        assert_eq!(terms(characters, "a  bc"), ["a b", " bc", "a bc"]);
        let both = Terms { ngrams: Ngrams { tokens: [1, 1], characters: Some([3, 3]) }, ..WORDS };
        assert_eq!(terms(both, "So, it"), ["so", "it", "=so,", "=o, ", "=, i", "= it"]);
    }

    #[test]
    fn weights_are_those_of_scikit_learn() {
        // TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(["a b", "a", "a c"]) with one-letter words allowed:
        // idf of a: ln(4/4) + 1 = 1, of b: ln(4/2) + 1.
        let terms = Vocabulary::from(["a", "b"].map(str::to_owned).to_vec());
        let idf = [inverse_document_frequency(3, 3), inverse_document_frequency(3, 1)];
        assert_eq!(idf, [1.0, 1.693_147_2]);
        let mut block = BagBlock::new(2);
        push_weighted(WORDS, &Rarity { terms: &terms, idf: &idf }, Some("a a b, unknown"), &mut block);
        push_weighted(WORDS, &Rarity { terms: &terms, idf: &idf }, None, &mut block);
        let (found, weights) = block.row(0);
        // Twice a: 1 + ln 2 = 1.693147, as much as b.
        assert_eq!((found, weights), (&[0, 1][..], &[0.5_f32.sqrt(); 2][..]));
        assert_eq!(block.row(1).0.len(), 0);
    }

    #[test]
    fn terms_of_tokens_and_of_characters_count_alike() {
        let terms = Vocabulary::from(["so", "=so", "=o "].map(str::to_owned).to_vec());
        let of = Terms { ngrams: Ngrams { tokens: [1, 1], characters: Some([2, 2]) }, ..WORDS };
        let mut block = BagBlock::new(3);
        push_weighted(of, &Rarity { terms: &terms, idf: &[1.0, 3.0, 4.0] }, Some("so it"), &mut block);
        let expected = [1.0, 0.6, 0.8].map(|weight: f32| weight * 0.5_f32.sqrt());
        let (found, weights) = block.row(0);
        assert!(found == [0, 1, 2] && weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{weights:?}");
        let mut hashed = BagBlock::new(64);
        push_hashed(of, Some("so it"), &mut hashed);
        let length: f32 = hashed.row(0).1.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-6 && hashed.row(0).0.is_sorted());
    }

    #[test]
    fn hashed_terms_have_fixed_places_and_length_one() {
        let mut block = BagBlock::new(50);
        push_hashed(WORDS, Some("the tide turns the mill"), &mut block);
        push_hashed(WORDS, Some("the tide turns the mill"), &mut block);
        push_hashed(WORDS, Some(""), &mut block);
        assert_eq!(block.row(0), block.row(1));
        let length: f32 = block.row(0).1.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-6 && block.row(0).0.iter().all(|&place| place < 50));
        assert!(block.row(0).1.iter().any(|&x| x < 0.0) && block.row(2).0.is_empty());
    }
}
