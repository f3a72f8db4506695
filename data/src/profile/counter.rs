//! How many different values are there, and which are frequent? Exact up to a bound, an estimate beyond it.

use crate::hash::HashedMap;

/// Registers of the estimate, as a power of two: a standard error of 1.04 / sqrt(4096) = 1.6 %.
const REGISTER_BITS: u32 = 12;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// Values that are named in a profile.
const TOP_MAX: usize = 20;

/// Counts values by their hashes.
pub(super) struct Counter {
    counts: HashedMap<Entry>,
    capacity: usize,
    /// HyperLogLog (Flajolet et al. 2007), once there are more values than can be counted.
    registers: Vec<u8>,
    /// New values are still taken in.
    open: bool,
}

struct Entry {
    count: u64,
    value: Box<str>,
}

impl Counter {
    /// Counts `capacity` values exactly.
    pub(super) fn new(capacity: usize) -> Self {
        Self { counts: HashedMap::default(), capacity, registers: Vec::new(), open: true }
    }

    /// Adds a value; `name` is asked for only where it is new.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, name: impl FnOnce() -> Box<str>) {
        if !self.registers.is_empty() {
            register(&mut self.registers, hash);
        }
        if let Some(entry) = self.counts.get_mut(&hash) {
            entry.count += 1;
        } else if self.open {
            if self.counts.len() == self.capacity {
                self.make_room(hash);
            }
            if self.open {
                self.counts.insert(hash, Entry { count: 1, value: name() });
            }
        }
    }

    /// Lets the rarest values go (lossy counting, Manku and Motwani 2002), or takes no more where all are rare.
    fn make_room(&mut self, hash: u64) {
        if self.registers.is_empty() {
            self.registers = vec![0; REGISTERS];
            self.counts.keys().for_each(|&hash| register(&mut self.registers, hash));
            register(&mut self.registers, hash);
        }
        let rarest = self.counts.values().map(|entry| entry.count).min().unwrap_or_default();
        self.counts.retain(|_, entry| entry.count > rarest);
        self.open = self.counts.len() > self.capacity / 20;
    }

    /// How many different values, and whether that is an estimate.
    pub(super) fn distinct(&self) -> (u64, bool) {
        match self.registers.is_empty() {
            true => (self.counts.len() as u64, false),
            false => (estimate(&self.registers), true),
        }
    }

    /// The most frequent values, falling; in alphabetical order where equally frequent.
    pub(super) fn top(self) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> =
            self.counts.into_values().map(|entry| (entry.value.into_string(), entry.count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(TOP_MAX);
        all
    }
}

fn register(registers: &mut [u8], hash: u64) {
    let index = (hash >> (64 - REGISTER_BITS)) as usize;
    let zeros = ((hash << REGISTER_BITS) | 1 << (REGISTER_BITS - 1)).leading_zeros() + 1;
    registers[index] = registers[index].max(zeros as u8);
}

/// The harmonic mean of the registers; linear counting where many are empty (Flajolet et al. 2007, figure 3).
fn estimate(registers: &[u8]) -> u64 {
    let m = registers.len() as f64;
    let sum: f64 = registers.iter().map(|&zeros| (-f64::from(zeros)).exp2()).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let empty = registers.iter().filter(|&&zeros| zeros == 0).count() as f64;
    let found = if raw <= 2.5 * m && empty > 0.0 { m * (m / empty).ln() } else { raw };
    found.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    fn count(values: impl Iterator<Item = u64>, capacity: usize) -> Counter {
        let mut counter = Counter::new(capacity);
        values.for_each(|value| counter.add(mix(value + 1), || value.to_string().into()));
        counter
    }

    #[test]
    fn few_values_are_counted_exactly() {
        let counter = count((0..1000).map(|n| n % 7), 10);
        assert_eq!(counter.distinct(), (7, false));
        let top = counter.top();
        assert_eq!((top.len(), &top[0], &top[6]), (7, &("0".to_owned(), 143), &("6".to_owned(), 142)));
    }

    #[test]
    fn many_values_are_estimated() {
        for distinct in [20_000, 300_000] {
            let (found, approximate) = count((0..distinct).chain(0..distinct), 10_000).distinct();
            let off = (found as f64 / distinct as f64 - 1.0).abs();
            assert!(approximate && off < 0.05, "{found} for {distinct}");
        }
    }

    #[test]
    fn frequent_values_survive_among_many() {
        let values = (0..200_000).map(|n| if n % 4 == 0 { 7 } else { n + 100 });
        let top = count(values, 1_000).top();
        assert_eq!(top[0].0, "7");
        assert!(top[0].1 > 49_000, "{}", top[0].1);
    }
}
