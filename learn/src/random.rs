//! Where does chance come from? A generator without state: number `counter` of stream `stream` of seed `seed`.
//!
//! It is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) addressed by
//! position: its n-th output depends on the start value and n alone. So the order of an epoch or the dropout mask of a
//! step can be drawn again after a resume without replaying what came before. Not for secrets.

/// The golden ratio's fraction in 64 bits: the step of SplitMix64's counter.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's output function: a bijection in which every bit of the input moves every bit of the output.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One endless row of random numbers, read at any place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    start: u64,
}

impl Stream {
    /// The stream of this number (say, an epoch, or a step and a layer) of a seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { start: mix(mix(seed.wrapping_add(STEP)) ^ mix(stream.wrapping_mul(STEP).wrapping_add(1))) }
    }

    /// 64 random bits.
    pub(crate) fn bits(self, counter: u64) -> u64 {
        mix(self.start.wrapping_add(counter.wrapping_add(1).wrapping_mul(STEP)))
    }

    /// A number from 0 to below 1, a multiple of 2^-24.
    pub(crate) fn uniform(self, counter: u64) -> f32 {
        (self.bits(counter) >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    /// A whole number from 0 to below `bound` (Lemire 2019, without the rejection step: bias below `bound` / 2^64).
    pub(crate) fn below(self, counter: u64, bound: u64) -> u64 {
        ((u128::from(self.bits(counter)) * u128::from(bound)) >> 64) as u64
    }
}

/// Number `counter` of a stream, from 0 to below 1.
pub(crate) fn uniform(seed: u64, stream: u64, counter: u64) -> f32 {
    Stream::new(seed, stream).uniform(counter)
}

/// `0..n` in random order, each order as likely as the next (Fisher and Yates).
pub(crate) fn permutation(seed: u64, stream: u64, n: u32) -> Vec<u32> {
    let stream = Stream::new(seed, stream);
    let mut order: Vec<u32> = (0..n).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, stream.below(last as u64, last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outputs_are_those_of_splitmix64() {
        // The published first outputs of SplitMix64 for the start value 1234567.
        let expected =
            [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821];
        let stream = Stream { start: 1_234_567 };
        assert_eq!(std::array::from_fn(|i| stream.bits(i as u64)), expected);
    }

    #[test]
    fn a_permutation_holds_every_row_once_and_follows_seed_and_stream() {
        for n in [0, 1, 2, 3, 10, 1000] {
            let mut rows = permutation(42, 7, n);
            rows.sort_unstable();
            assert_eq!(rows, (0..n).collect::<Vec<_>>());
        }
        assert_eq!(permutation(42, 7, 100), permutation(42, 7, 100));
        assert_ne!(permutation(42, 7, 100), permutation(42, 8, 100));
        assert_ne!(permutation(42, 7, 100), permutation(43, 7, 100));
    }

    #[test]
    fn permutations_are_fair() {
        // 6,000 orders of three things: each of the six about 1,000 times; chi-square with 5 degrees of freedom is
        // below 25.7 but for one case in 10,000.
        let mut counts = std::collections::BTreeMap::new();
        for stream in 0..6_000 {
            *counts.entry(permutation(1, stream, 3)).or_insert(0_i32) += 1;
        }
        let chi: f64 = counts.values().map(|&count| f64::from((count - 1_000).pow(2)) / 1_000.0).sum();
        assert!(counts.len() == 6 && chi < 25.7, "{counts:?}");
    }

    #[test]
    fn uniform_numbers_have_the_right_mean_and_spread() {
        for seed in 0..20 {
            let numbers: Vec<f64> = (0..10_000).map(|i| f64::from(uniform(seed, 3, i))).collect();
            assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
            let mean = numbers.iter().sum::<f64>() / 1e4;
            let variance = numbers.iter().map(|x| (x - 0.5).powi(2)).sum::<f64>() / 1e4;
            assert!((mean - 0.5).abs() < 0.015 && (variance - 1.0 / 12.0).abs() < 0.005, "{mean} {variance}");
        }
    }
}
