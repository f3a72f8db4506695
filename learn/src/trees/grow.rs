//! How does a tree grow? Leaf by leaf: the one with the largest gain is divided next (Shi 2007; Ke et al. 2017).

use rayon::prelude::*;

use super::bins::{Binned, MISSING};
use super::histogram::{Histogram, Sums, Units, subtract};
use super::split::{Leaf, Limits, Split};

/// Rows of which a leaf is divided by every core.
const PARALLEL_ROWS: usize = 1 << 15;

/// A node on binned rows. Siblings lie side by side; a leaf is its own left child.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BinnedNode {
    pub(crate) slot: u32,
    pub(crate) bin: u8,
    pub(crate) missing_left: bool,
    pub(crate) left: u32,
    pub(crate) value: f32,
}

impl BinnedNode {
    /// A leaf at this place.
    pub(crate) fn leaf(at: usize, value: f32) -> Self {
        Self { slot: 0, bin: 0, missing_left: false, left: at as u32, value }
    }

    pub(crate) fn is_left(&self, bin: u8) -> bool {
        (bin <= self.bin) | ((bin == MISSING) & self.missing_left)
    }
}

/// A leaf of a grown tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grown {
    pub(crate) node: usize,
    /// Where its rows lie in [`Grower::rows`].
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) sums: Sums,
}

/// The shape of trees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) leaves: usize,
    pub(crate) max_depth: usize,
    pub(crate) limits: Limits,
}

/// Grows trees on the same rows, in memory that is kept from tree to tree.
#[derive(Debug)]
pub(crate) struct Grower {
    pub(crate) binned: Binned,
    shape: Shape,
    /// The rows of the tree that grows, those of a leaf side by side.
    pub(crate) rows: Vec<u32>,
    /// Their pairs of gradient and second derivative.
    pairs: Vec<u64>,
    spare_rows: Vec<u32>,
    spare_pairs: Vec<u64>,
    pool: Vec<Vec<Histogram>>,
}

/// A leaf that may be divided.
#[derive(Debug)]
struct Open {
    grown: Grown,
    depth: usize,
    histogram: Vec<Histogram>,
    best: Option<Split>,
}

impl Grower {
    pub(crate) fn new(binned: Binned, shape: Shape) -> Self {
        let empty = (vec![], vec![], vec![], vec![], vec![]);
        let (rows, pairs, spare_rows, spare_pairs, pool) = empty;
        Self { binned, shape, rows, pairs, spare_rows, spare_pairs, pool }
    }

    /// A tree on these rows, whose pairs are `pairs[row]` in `units`, that asks only about the `active` inputs. The leaves'
    /// values are still 0.
    pub(crate) fn grow(
        &mut self,
        rows: &[u32],
        pairs: &[u64],
        units: Units,
        active: &[bool],
    ) -> (Vec<BinnedNode>, Vec<Grown>) {
        self.begin(rows, pairs);
        let sums = self.pairs.iter().fold(Sums::default(), |sum, &pair| sum.and(Sums::unpack(pair)));
        let mut nodes = vec![BinnedNode::leaf(0, 0.0)];
        let mut root = Open {
            grown: Grown { node: 0, start: 0, end: rows.len(), sums },
            depth: 0,
            histogram: self.take(),
            best: None,
        };
        self.examine(&mut root, None, units, active);
        let mut open = vec![root];
        while open.len() < self.shape.leaves {
            let Some((at, split)) = next(&open) else { break };
            let node = open[at].grown.node;
            let left = nodes.len();
            nodes.extend([BinnedNode::leaf(left, 0.0), BinnedNode::leaf(left + 1, 0.0)]);
            let Split { slot, bin, missing_left, .. } = split;
            nodes[node] = BinnedNode { slot: slot as u32, bin, missing_left, left: left as u32, value: 0.0 };
            let parent = std::mem::replace(&mut open[at], Open::nothing());
            let is_last = open.len() + 1 >= self.shape.leaves;
            let (one, other) = self.divide(parent, &nodes[node], split, left, (units, active, is_last));
            open[at] = one;
            open.push(other);
        }
        let leaves = open.iter().map(|open| open.grown).collect();
        self.pool.extend(open.into_iter().map(|open| open.histogram).filter(|histogram| !histogram.is_empty()));
        (nodes, leaves)
    }

    fn begin(&mut self, rows: &[u32], pairs: &[u64]) {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        self.pairs.clear();
        self.pairs.extend(rows.iter().map(|&row| pairs[row as usize]));
        self.spare_rows.resize(rows.len(), 0);
        self.spare_pairs.resize(rows.len(), 0);
    }

    fn take(&mut self) -> Vec<Histogram> {
        self.pool.pop().unwrap_or_else(|| vec![[0; 256]; self.binned.features.len()])
    }

    /// Divides a leaf: its children's rows, histograms and best splits.
    fn divide(
        &mut self,
        parent: Open,
        node: &BinnedNode,
        split: Split,
        left: usize,
        (units, active, is_last): (Units, &[bool], bool),
    ) -> (Open, Open) {
        let Grown { start, end, sums, .. } = parent.grown;
        let middle = start + self.partition(start, end, node);
        let child = |node, start, end, sums| Open {
            grown: Grown { node, start, end, sums },
            depth: parent.depth + 1,
            histogram: Vec::new(),
            best: None,
        };
        let mut one = child(left, start, middle, split.left);
        let mut other = child(left + 1, middle, end, sums.less(split.left));
        if is_last || parent.depth + 1 >= self.shape.max_depth {
            self.pool.push(parent.histogram);
            return (one, other);
        }
        let (small, large) = match middle - start <= end - middle {
            true => (&mut one, &mut other),
            false => (&mut other, &mut one),
        };
        small.histogram = self.take();
        large.histogram = parent.histogram;
        self.examine(small, Some(large), units, active);
        (one, other)
    }

    /// Fills the histogram of a leaf, takes it off that of its sibling, and finds the best splits of both.
    fn examine(&self, leaf: &mut Open, sibling: Option<&mut Open>, units: Units, active: &[bool]) {
        let Grown { start, end, .. } = leaf.grown;
        let (rows, pairs) = (&self.rows[start..end], &self.pairs[start..end]);
        let figures = |open: &Open| {
            let figures = Leaf::new(open.grown.sums, open.grown.end - open.grown.start, units, &self.shape.limits);
            figures.can_split().then_some(figures)
        };
        let mine = figures(leaf);
        let theirs = sibling.as_deref().and_then(figures);
        let (mut histogram, mut larger) = (leaf.histogram.as_mut_slice(), [].as_mut_slice());
        let mut sibling = sibling;
        if let Some(sibling) = &mut sibling {
            larger = sibling.histogram.as_mut_slice();
        }
        let mut tasks = Vec::with_capacity(self.binned.blocks.len());
        for block in &self.binned.blocks {
            let (part, rest) = histogram.split_at_mut(block.width);
            let (large, after) = larger.split_at_mut(block.width.min(larger.len()));
            (histogram, larger) = (rest, after);
            tasks.push((block, part, large));
        }
        let best = |figures: Option<Leaf>, first: usize, histograms: &[Histogram]| {
            let figures = figures?;
            let slots = (first..).zip(histograms).filter(|(slot, _)| active[*slot]);
            slots.fold(None, |best, (slot, histogram)| {
                Split::better(best, figures.best(slot, &self.binned.features[slot], histogram))
            })
        };
        let found: Vec<_> = (tasks.into_par_iter())
            .map(|(block, part, large)| {
                part.fill([0; 256]);
                block.add(rows, pairs, part);
                subtract(large, part);
                (best(mine, block.first, part), best(theirs, block.first, large))
            })
            .collect();
        leaf.best = found.iter().fold(None, |best, found| Split::better(best, found.0));
        if let Some(sibling) = sibling {
            sibling.best = found.iter().fold(None, |best, found| Split::better(best, found.1));
        }
    }

    /// Puts the rows that go left before the others, each in their order. Gives how many go left.
    fn partition(&mut self, start: usize, end: usize, node: &BinnedNode) -> usize {
        let column = self.binned.columns[node.slot as usize].as_slice();
        let rows = &mut self.rows[start..end];
        let pairs = &mut self.pairs[start..end];
        let (spare_rows, spare_pairs) = (&mut self.spare_rows[start..end], &mut self.spare_pairs[start..end]);
        let part = match rows.len() < PARALLEL_ROWS {
            true => rows.len().max(1),
            false => rows.len().div_ceil(rayon::current_num_threads()),
        };
        let tasks = rows.par_chunks(part).zip(pairs.par_chunks(part));
        let spare = spare_rows.par_chunks_mut(part).zip(spare_pairs.par_chunks_mut(part));
        let lefts: Vec<usize> = (tasks.zip(spare))
            .map(|((rows, pairs), (spare_rows, spare_pairs))| {
                let (mut left, mut right) = (0, rows.len());
                for (&row, &pair) in rows.iter().zip(pairs) {
                    let is_left = node.is_left(column[row as usize]);
                    let at = if is_left { left } else { right - 1 };
                    (spare_rows[at], spare_pairs[at]) = (row, pair);
                    left += usize::from(is_left);
                    right -= usize::from(!is_left);
                }
                left
            })
            .collect();
        let total = lefts.iter().sum();
        let (mut left, mut right) = (0, total);
        for (number, &count) in lefts.iter().enumerate() {
            let from = number * part..((number + 1) * part).min(rows.len());
            let (low, high) = (from.start + count, from.end - from.start - count);
            rows[left..left + count].copy_from_slice(&spare_rows[from.start..low]);
            pairs[left..left + count].copy_from_slice(&spare_pairs[from.start..low]);
            let turned = spare_rows[low..from.end].iter().rev().zip(spare_pairs[low..from.end].iter().rev());
            let slots = rows[right..right + high].iter_mut().zip(&mut pairs[right..right + high]);
            slots.zip(turned).for_each(|(slot, value)| (*slot.0, *slot.1) = (*value.0, *value.1));
            left += count;
            right += high;
        }
        total
    }
}

impl Open {
    fn nothing() -> Self {
        let grown = Grown { node: 0, start: 0, end: 0, sums: Sums::default() };
        Self { grown, depth: 0, histogram: Vec::new(), best: None }
    }
}

/// The leaf with the largest gain, the first of equals.
fn next(open: &[Open]) -> Option<(usize, Split)> {
    let splits = open.iter().enumerate().filter_map(|(at, open)| Some((at, open.best?)));
    splits.fold(None, |best: Option<(usize, Split)>, found| match best {
        Some(best) if best.1.gain >= found.1.gain => Some(best),
        _ => Some(found),
    })
}

impl Sums {
    pub(crate) fn and(self, other: Self) -> Self {
        Self { gradient: self.gradient + other.gradient, hessian: self.hessian + other.hessian }
    }
}
