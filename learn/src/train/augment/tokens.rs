//! A text of which some words are not known: the network must not rest on any single one of them, and learns what an
//! unknown word means (word dropout; Iyyer et al. 2015, section 2.2, Bowman et al. 2016).

use super::Draws;
use crate::features::{BagBlock, TextInput};

/// Makes this share of the tokens unknown; padding stays.
pub(super) fn forget(share: f64, input: &TextInput, tokens: &mut [i32], mut draws: Draws) {
    // A tokenizer from a file may mark the beginning with a token that networks read the whole text from.
    let kept = usize::from(input.unknown != TextInput::UNKNOWN);
    for token in tokens.iter_mut().skip(kept).filter(|token| **token != TextInput::PADDING) {
        if draws.uniform() < share {
            *token = input.unknown;
        }
    }
}

/// Leaves this share of the terms out of every row. The rest weighs more, so that the row keeps its length: that is how a
/// text without these terms would be written.
pub(super) fn leave_out(share: f64, block: &BagBlock, draws: impl Fn(usize) -> Draws) -> BagBlock {
    let mut left = BagBlock::new(block.width);
    let length = |weights: &mut dyn Iterator<Item = f32>| weights.map(|x| x * x).sum::<f32>().sqrt();
    for row in 0..block.rows() {
        let mut draws = draws(row);
        let (terms, weights) = block.row(row);
        let pairs = terms.iter().copied().zip(weights.iter().copied());
        let kept: Vec<(u32, f32)> = pairs.filter(|_| draws.uniform() >= share).collect();
        let (before, after) = (length(&mut weights.iter().copied()), length(&mut kept.iter().map(|(_, x)| *x)));
        let factor = if after > 0.0 { before / after } else { 1.0 };
        left.push(kept.into_iter().map(|(term, weight)| (term, factor * weight)));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn draws(row: usize) -> Draws {
        Draws::new(Stream::new(row as u64, 0))
    }

    #[test]
    fn the_share_of_words_becomes_unknown_and_padding_stays() {
        let mut input = TextInput { name: "text".into(), length: 1_200, vocabulary: 100, unknown: TextInput::UNKNOWN };
        let text: Vec<i32> = (0..1_200).map(|n| if n < 1_000 { 2 + n % 98 } else { 0 }).collect();
        let mut changed = text.clone();
        forget(0.2, &input, &mut changed, draws(3));
        let unknown = changed.iter().filter(|token| **token == 1).count();
        assert!((150..250).contains(&unknown), "{unknown}");
        assert!(changed.iter().zip(&text).all(|(new, old)| new == old || (*new == 1 && *old != 0)));
        // Of a tokenizer from a file the first token stays, and unknown is a number of its own.
        input.unknown = 50;
        for row in 0..50 {
            let mut changed = text.clone();
            forget(0.5, &input, &mut changed, draws(row));
            assert!(changed[0] == 2 && changed.contains(&50) && !changed.contains(&1));
        }
    }

    #[test]
    fn rows_keep_their_length_and_lose_terms() {
        let mut block = BagBlock::new(9);
        (0..400).for_each(|_| block.push([(1, 0.6), (4, 0.8)]));
        block.push([]);
        let left = leave_out(0.5, &block, draws);
        assert_eq!((left.width, left.rows()), (9, 401));
        let mut seen = [0; 4];
        for row in 0..400 {
            match left.row(row) {
                (&[1, 4], &[a, b]) if (a, b) == (0.6, 0.8) => seen[0] += 1,
                (&[1], &[one]) | (&[4], &[one]) if (one - 1.0).abs() < 1e-6 => seen[1] += 1,
                (&[], &[]) => seen[2] += 1,
                other => panic!("{other:?}"),
            }
        }
        // A quarter keeps both, half keeps one, a quarter none.
        assert!(
            (70..130).contains(&seen[0]) && (160..240).contains(&seen[1]) && (70..130).contains(&seen[2]),
            "{seen:?}"
        );
        assert!(left.row(400).0.is_empty());
    }
}
