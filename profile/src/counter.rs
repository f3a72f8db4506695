//! How many different values does a column have, and which are the most frequent? Exact up to a bound, estimates beyond.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::state::{CountState, CounterState};

/// Different values up to which the count is exact.
pub(crate) const EXACT_MAX: usize = 10_000;

/// Values in a list of the most frequent ones.
const TOP_MAX: usize = 10;

/// Characters of a value that are kept.
const LABEL_CHARS_MAX: usize = 100;

/// Counts values by their hashes.
pub(crate) struct Counter {
    counts: HashMap<u64, Count, BuildHasherDefault<Already>>,
    /// Values that are kept to be shown: at most so many, no list of the most frequent ones if there are more.
    labels_max: usize,
    /// Takes over beyond `EXACT_MAX`.
    sketch: Option<HyperLogLog>,
}

struct Count {
    rows: u64,
    label: Box<str>,
}

impl Counter {
    /// A counter that keeps up to `labels_max` values; with `EXACT_MAX`, the most frequent ones of any number.
    pub(crate) fn new(labels_max: usize) -> Self {
        Self { counts: HashMap::default(), labels_max, sketch: None }
    }

    /// Adds a row; `label` writes the value if it is to be kept.
    pub(crate) fn add(&mut self, hash: u64, label: impl FnOnce() -> String) {
        self.add_rows(hash, 1, label);
    }

    fn add_rows(&mut self, hash: u64, rows: u64, label: impl FnOnce() -> String) {
        if let Some(sketch) = &mut self.sketch {
            sketch.add(hash);
            if self.labels_max < EXACT_MAX {
                return;
            }
        }
        if let Some(count) = self.counts.get_mut(&hash) {
            count.rows += rows;
            return;
        }
        let kept = self.counts.len() < self.labels_max || self.labels_max >= EXACT_MAX;
        let label = if kept { shorten(label()) } else { Box::default() };
        self.counts.insert(hash, Count { rows, label });
        if self.counts.len() > EXACT_MAX {
            self.sketch();
        }
        if self.counts.len() >= 2 * EXACT_MAX {
            self.prune();
        }
    }

    /// The sketch, made of what was counted so far if there was none.
    fn sketch(&mut self) -> &mut HyperLogLog {
        let (counts, labels_max) = (&mut self.counts, self.labels_max);
        self.sketch.get_or_insert_with(|| {
            let mut sketch = HyperLogLog::new();
            counts.keys().for_each(|&hash| sketch.add(hash));
            if labels_max < EXACT_MAX {
                *counts = HashMap::default();
            }
            sketch
        })
    }

    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let labels: usize = self.counts.values().map(|count| count.label.len()).sum();
        labels + self.counts.capacity() * size_of::<(u64, Count)>() + self.sketch.as_ref().map_or(0, |_| 1 << PRECISION)
    }

    /// What another counter of the same kind has to know to go on.
    pub(crate) fn state(self) -> CounterState {
        let count = |(hash, count): (u64, Count)| CountState { hash, rows: count.rows, label: count.label.into() };
        CounterState {
            counts: self.counts.into_iter().map(count).collect(),
            registers: self.sketch.map(|sketch| sketch.registers.into_vec()),
        }
    }

    /// Adds what another counter counted.
    pub(crate) fn merge(&mut self, other: CounterState) {
        for count in other.counts {
            self.add_rows(count.hash, count.rows, || count.label);
        }
        if let Some(registers) = other.registers {
            let own = &mut self.sketch().registers;
            own.iter_mut().zip(registers).for_each(|(own, other)| *own = other.max(*own));
        }
    }

    /// Takes the median count off every value and forgets those with nothing left, so that what stays is a lower bound
    /// and every value of more than a 10,000th of the rows stays (Anderson et al. 2017, "A High-Performance Algorithm for
    /// Identifying Frequent Items in Data Streams").
    fn prune(&mut self) {
        let mut rows: Vec<u64> = self.counts.values().map(|count| count.rows).collect();
        let middle = rows.len() / 2;
        let median = *rows.select_nth_unstable(middle).1;
        self.counts.retain(|_, count| {
            count.rows = count.rows.saturating_sub(median);
            count.rows > 0
        });
    }

    /// Different values, and whether that is an estimate.
    pub(crate) fn distinct(&self) -> (u64, bool) {
        match &self.sketch {
            None => (self.counts.len() as u64, false),
            Some(sketch) => (sketch.estimate().max(EXACT_MAX as u64 + 1), true),
        }
    }

    /// The most frequent values, falling; none if all are rare.
    pub(crate) fn top(self) -> Vec<(String, u64)> {
        if self.counts.len() > self.labels_max && self.labels_max < EXACT_MAX {
            return Vec::new();
        }
        let all = self.counts.len();
        let mut top: Vec<(u64, Box<str>)> = self.counts.into_values().map(|count| (count.rows, count.label)).collect();
        top.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        top.truncate(TOP_MAX);
        if all > TOP_MAX && top.first().is_some_and(|(rows, _)| *rows == 1) {
            return Vec::new();
        }
        top.into_iter().map(|(rows, label)| (label.into(), rows)).collect()
    }
}

fn shorten(label: String) -> Box<str> {
    match label.char_indices().nth(LABEL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &label[..end]).into(),
        None => label.into(),
    }
}

/// A hasher of keys that are hashes already.
#[derive(Default)]
pub struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = crate::hash::hash_bytes(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Number of registers as a power of two: a standard error of 1.04 / sqrt(4096) = 1.6 %.
const PRECISION: u32 = 12;

/// HyperLogLog (Flajolet et al. 2007) with the estimator of Ertl 2017, "New cardinality estimation algorithms for
/// HyperLogLog sketches", algorithm 6, which needs no correction for small numbers.
struct HyperLogLog {
    registers: Box<[u8]>,
}

impl HyperLogLog {
    fn new() -> Self {
        Self { registers: vec![0; 1 << PRECISION].into() }
    }

    fn add(&mut self, hash: u64) {
        let rank = ((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() as u8 + 1;
        if let Some(register) = self.registers.get_mut((hash >> (64 - PRECISION)) as usize) {
            *register = rank.max(*register);
        }
    }

    fn estimate(&self) -> u64 {
        const RANKS: usize = 64 - PRECISION as usize;
        let mut counts = [0.0; RANKS + 2];
        for &register in &self.registers {
            counts[usize::from(register).min(RANKS + 1)] += 1.0;
        }
        let m = self.registers.len() as f64;
        let mut z = m * tau(1.0 - counts[RANKS + 1] / m);
        for count in counts[1..=RANKS].iter().rev() {
            z = 0.5 * (z + count);
        }
        z += m * sigma(counts[0] / m);
        (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_integer;

    fn count(values: impl Iterator<Item = u64>, labels_max: usize) -> Counter {
        let mut counter = Counter::new(labels_max);
        values.for_each(|value| counter.add(hash_integer(value), || value.to_string()));
        counter
    }

    #[test]
    fn exact_up_to_ten_thousand_and_within_five_percent_beyond() {
        for exact in [0, 1, 9_999, 10_000] {
            assert_eq!(count(0..exact, EXACT_MAX).distinct(), (exact, false));
        }
        for many in [10_001, 12_000, 20_000, 50_000, 300_000, 1_000_000_u64] {
            let (distinct, approximate) = count((0..many).chain(0..many / 2), 0).distinct();
            let error = distinct as f64 / many as f64 - 1.0;
            assert!(approximate && error.abs() < 0.05, "{many}: {distinct}");
        }
    }

    #[test]
    fn frequent_values_are_found_among_a_million_rare_ones() {
        let rare = (0..1_000_000).map(|i| i + 1_000);
        let counter = count(rare.flat_map(|i| [i, i % 3].into_iter().take(1 + usize::from(i % 10 == 0))), EXACT_MAX);
        assert!(counter.counts.len() < 2 * EXACT_MAX, "memory has a bound");
        let top = counter.top();
        let mut three: Vec<&str> = top[..3].iter().map(|(value, _)| value.as_str()).collect();
        three.sort_unstable();
        assert_eq!(three, ["0", "1", "2"]);
        // 100,000 rows of three values; what is taken off is at most the rows divided by 10,000.
        assert!(top[..3].iter().all(|(_, rows)| (33_000..=33_334).contains(rows)), "{top:?}");
    }

    #[test]
    fn top_values_fall_and_are_left_out_where_nothing_repeats() {
        let top = count([5, 7, 7, 9, 9, 1].into_iter(), EXACT_MAX).top();
        assert_eq!(top, [("7".into(), 2), ("9".into(), 2), ("1".into(), 1), ("5".into(), 1)]);
        assert!(count(0..11, EXACT_MAX).top().is_empty(), "eleven values, each once");
        assert_eq!(count(0..10, EXACT_MAX).top().len(), 10);
        assert!(count((0..200).chain(0..200), 100).top().is_empty(), "more values than are kept");
        assert_eq!(count((0..99).chain(0..99), 100).top().len(), 10);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(shorten("é".repeat(100)).chars().count(), 100);
        assert_eq!(&*shorten("é".repeat(101)), format!("{}…", "é".repeat(100)));
    }
}
