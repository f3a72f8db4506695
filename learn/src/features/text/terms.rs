//! Which terms does a text have, and how much does each weigh? Tokens and pairs of neighbours, weighted by term frequency
//! and inverse document frequency (Salton and Buckley 1988), or hashed (Weinberger et al. 2009).

use super::tokenizer::Tokenizer;
use crate::features::bag::BagBlock;
use crate::features::column::Vocabulary;

/// Tokens of a text that are read for its terms.
const TOKENS_MAX: usize = 100_000;

/// Calls `f` with every token of a text and every pair of neighbours ("not good"). Punctuation parts neighbours.
pub(super) fn each_term(tokenizer: &Tokenizer, text: &str, f: &mut dyn FnMut(&str)) {
    let (mut pair, mut count) = (String::new(), 0);
    tokenizer.each(text, &mut |token| {
        count += 1;
        if !token.chars().any(char::is_alphanumeric) {
            pair.clear();
            return count < TOKENS_MAX;
        }
        f(token);
        let before = pair.len();
        if before > 0 {
            pair.push(' ');
            pair.push_str(token);
            f(&pair);
            pair.clear();
        }
        pair.push_str(token);
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
pub(super) fn push_weighted(tokenizer: &Tokenizer, rarity: &Rarity<'_>, text: Option<&str>, block: &mut BagBlock) {
    let mut found: Vec<u32> = Vec::new();
    each_term(tokenizer, text.unwrap_or_default(), &mut |term| {
        found.extend(rarity.terms.find(term).map(|code| (code - Vocabulary::FIRST) as u32));
    });
    found.sort_unstable();
    let weights: Vec<(u32, f64)> = found
        .chunk_by(|a, b| a == b)
        .map(|run| {
            let idf = rarity.idf.get(run[0] as usize).copied().unwrap_or(1.0);
            (run[0], (1.0 + (run.len() as f64).ln()) * f64::from(idf))
        })
        .collect();
    push_normalised(&weights, block);
}

/// Adds a text as a row: every term adds 1 or -1 to the place its hash says, what comes together is dampened and brought
/// to length 1. The sign lets terms that meet in one place cancel rather than add.
pub(super) fn push_hashed(tokenizer: &Tokenizer, text: Option<&str>, block: &mut BagBlock) {
    let width = block.width.max(1) as u64;
    let mut found: Vec<(u32, i32)> = Vec::new();
    each_term(tokenizer, text.unwrap_or_default(), &mut |term| {
        let hash = fnv(term);
        // The sign from a bit that does not choose the place.
        found.push(((hash % width) as u32, if hash >> 63 == 0 { 1 } else { -1 }));
    });
    found.sort_unstable();
    let weights: Vec<(u32, f64)> = found
        .chunk_by(|a, b| a.0 == b.0)
        .map(|run| (run[0].0, f64::from(run.iter().map(|(_, sign)| sign).sum::<i32>())))
        .filter(|(_, sum)| *sum != 0.0)
        .map(|(place, sum)| (place, sum.signum() * (1.0 + sum.abs().ln())))
        .collect();
    push_normalised(&weights, block);
}

fn push_normalised(weights: &[(u32, f64)], block: &mut BagBlock) {
    let length = weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
    block.push(weights.iter().map(|&(term, weight)| (term, (weight / length) as f32)));
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

    const WORDS: Tokenizer = Tokenizer::Words { lower_case: true };

    #[test]
    fn terms_are_words_and_neighbours_within_a_clause() {
        let mut found = Vec::new();
        each_term(&WORDS, "Not good, not bad. 好看", &mut |term| found.push(term.to_owned()));
        assert_eq!(found, ["not", "good", "not good", "not", "bad", "not bad", "好", "看", "好 看"]);
    }

    #[test]
    fn weights_are_those_of_scikit_learn() {
        // TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(["a b", "a", "a c"]) with one-letter words allowed:
        // idf of a: ln(4/4) + 1 = 1, of b: ln(4/2) + 1.
        let terms = Vocabulary::from(["a", "b"].map(str::to_owned).to_vec());
        let idf = [inverse_document_frequency(3, 3), inverse_document_frequency(3, 1)];
        assert_eq!(idf, [1.0, 1.693_147_2]);
        let mut block = BagBlock::new(2);
        push_weighted(&WORDS, &Rarity { terms: &terms, idf: &idf }, Some("a a b, unknown"), &mut block);
        push_weighted(&WORDS, &Rarity { terms: &terms, idf: &idf }, None, &mut block);
        let (found, weights) = block.row(0);
        // Twice a: 1 + ln 2 = 1.693147, as much as b.
        assert_eq!((found, weights), (&[0, 1][..], &[0.5_f32.sqrt(); 2][..]));
        assert_eq!(block.row(1).0.len(), 0);
    }

    #[test]
    fn hashed_terms_have_fixed_places_and_length_one() {
        let mut block = BagBlock::new(50);
        push_hashed(&WORDS, Some("the tide turns the mill"), &mut block);
        push_hashed(&WORDS, Some("the tide turns the mill"), &mut block);
        push_hashed(&WORDS, Some(""), &mut block);
        assert_eq!(block.row(0), block.row(1));
        let length: f32 = block.row(0).1.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-6 && block.row(0).0.iter().all(|&place| place < 50));
        assert!(block.row(0).1.iter().any(|&x| x < 0.0) && block.row(2).0.is_empty());
    }
}
