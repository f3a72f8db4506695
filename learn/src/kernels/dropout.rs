//! Which hidden units are left out in a step? A function of (key, place), so that nothing has to be remembered.

use super::simd::versions;
use super::team::Team;

/// Numbers below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 13;

/// Bits that are random in every place: the hash `lowbias32` (Wellons 2018), twice, with half of the key before each.
#[inline(always)]
fn bits(place: u32, key: [u32; 2]) -> u32 {
    let round = |mut x: u32| {
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^ (x >> 16)
    };
    round(round(place ^ key[0]) ^ key[1])
}

versions! {
    /// Fills `mask` with 0 (left out, with probability `share`) and `1 / (1 - share)` (kept), for the places from
    /// `first` on.
    pub(super) fn fill(key: [u32; 2], share: f64, first: u32, mask: &mut [f32]) {
        let threshold = (share * 4_294_967_296.0) as u32;
        let kept = (1.0 / (1.0 - share)) as f32;
        for (n, slot) in mask.iter_mut().enumerate() {
            *slot = if bits(first.wrapping_add(n as u32), key) < threshold { 0.0 } else { kept };
        }
    }
}

/// The mask of a layer in a step: 0 where a unit is left out, `1 / (1 - share)` where it is kept (inverted dropout,
/// Srivastava et al. 2014). `mask` begins at the place `first`.
pub(crate) fn dropout_mask(key: u64, share: f64, first: usize, mask: &mut [f32]) {
    fill([key as u32, (key >> 32) as u32], share, first as u32, mask);
}

/// The same by several threads.
pub(crate) fn dropout_mask_on(team: &mut Team, key: u64, share: f64, mask: &mut [f32]) {
    let threads = if mask.len() < SPLIT_MIN { 1 } else { team.threads() };
    team.split(threads, mask, 1, &|start, part| fill([key as u32, (key >> 32) as u32], share, start as u32, part));
}

versions! {
    /// `values *= factors`.
    pub(crate) fn multiply(values: &mut [f32], factors: &[f32]) {
        values.iter_mut().zip(factors).for_each(|(x, y)| *x *= y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_share_is_left_out_and_the_key_decides_which() {
        for share in [0.1, 0.25, 0.5, 0.9] {
            let mut mask = vec![0.0; 100_000];
            dropout_mask(0x0123_4567_89ab_cdef, share, 0, &mut mask);
            let left_out = mask.iter().filter(|x| **x == 0.0).count() as f64 / 1e5;
            // Four standard deviations of a binomial share.
            assert!((left_out - share).abs() < 4.0 * (share * (1.0 - share) / 1e5).sqrt(), "{share}: {left_out}");
            let mean = mask.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
            assert!((mean - 1.0).abs() < 0.05, "{share}: mean {mean}");
            let mut again = vec![0.0; 100_000];
            dropout_mask(0x0123_4567_89ab_cdef, share, 0, &mut again);
            assert_eq!(mask, again);
            again.fill(7.0);
            dropout_mask_on(&mut Team::new(3), 0x0123_4567_89ab_cdef, share, &mut again);
            assert_eq!(mask, again);
            dropout_mask(0x0123_4567_89ab_cdee, share, 0, &mut again);
            let same = mask.iter().zip(&again).filter(|(a, b)| a == b).count() as f64 / 1e5;
            assert!((same - (share * share + (1.0 - share).powi(2))).abs() < 0.01, "{share}: {same} the same");
        }
    }
}
