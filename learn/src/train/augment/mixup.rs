//! Two pictures in one, with the answers of both (Zhang et al. 2018). The loss of a row is that of its own answer times
//! its share and that of the other one times the rest.

use super::{Chances, Kind};

/// What a row is mixed with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    /// The other row of the batch; may be the row itself.
    pub(super) other: usize,
    /// Share of the row's own picture and answer, 0 to 1.
    pub(super) own: f32,
}

/// The pairs of a batch of so many rows.
pub(super) fn pairs(alpha: f64, rows: usize, chance: Chances) -> Vec<Pair> {
    let pair = |row| {
        let mut draws = chance.of(row, Kind::Mixup);
        Pair { other: draws.below(rows), own: draws.beta(alpha) as f32 }
    };
    (0..rows).map(pair).collect()
}

/// Mixes pictures of `values` pixels each, all at once: each with the other as it was before.
pub(super) fn mix(pairs: &[Pair], values: usize, pixels: &mut [u8]) {
    let before = pixels.to_vec();
    for (pair, out) in pairs.iter().zip(pixels.chunks_exact_mut(values.max(1))) {
        let other = &before[pair.other * values..][..values];
        for (pixel, &other) in out.iter_mut().zip(other) {
            *pixel = (pair.own * f32::from(*pixel) + (1.0 - pair.own) * f32::from(other)).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn pictures_are_mixed_in_their_shares() {
        let pairs = [Pair { other: 1, own: 0.75 }, Pair { other: 0, own: 0.5 }, Pair { other: 2, own: 0.1 }];
        let mut pixels = [0, 100, 200, 40, 9, 255];
        mix(&pairs, 2, &mut pixels);
        assert_eq!(pixels, [50, 85, 100, 70, 9, 255]);
    }

    #[test]
    fn pairs_are_of_the_batch_and_follow_place_and_epoch() {
        let of = |epoch, first| pairs(0.4, 50, Chances { epoch: Stream::new(9, epoch), first });
        assert!(of(0, 0).iter().all(|pair| pair.other < 50 && (0.0..=1.0).contains(&pair.own)));
        assert_eq!(of(0, 0), of(0, 0));
        assert_ne!(of(0, 0), of(1, 0));
        assert_eq!(of(0, 0)[10..], of(0, 10)[..40]);
    }
}
