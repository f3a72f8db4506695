//! How does a tree grow? Leaf by leaf: the one with the largest gain is divided next (Shi 2007; Ke et al. 2017).

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;

use super::binned::BinnedNode;
use super::bins::Binned;
use super::histogram::{Histogram, Sums, Units, subtract};
use super::split::{Leaf, Limits, Split};
use crate::random::Stream;

/// Leaves of fewer rows are looked at by one core.
const SMALL_ROWS: usize = 512;
/// Rows of which a leaf is divided by every core.
const PARALLEL_ROWS: usize = 1 << 15;

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
    pub(crate) order: Growth,
}

/// Which leaf is divided next?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// The one with the largest gain: for trees of few leaves.
    BestFirst,
    /// The last one made: for trees that grow to their end, with no more histograms than the tree is deep.
    DepthFirst,
}

/// What the questions of a tree may be about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// Of each input in bins, whether any question may be about it.
    pub(crate) active: &'a [bool],
    /// How many of them are drawn for each question, and where chance comes from; all where absent.
    pub(crate) drawn: Option<(usize, Stream)>,
}

/// Grows trees on the same rows, in memory that is kept from tree to tree.
#[derive(Debug)]
pub(crate) struct Grower {
    pub(crate) binned: Arc<Binned>,
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
    pub(crate) fn new(binned: Arc<Binned>, shape: Shape) -> Self {
        let empty = (vec![], vec![], vec![], vec![], vec![]);
        let (rows, pairs, spare_rows, spare_pairs, pool) = empty;
        Self { binned, shape, rows, pairs, spare_rows, spare_pairs, pool }
    }

    /// A tree on these rows (one may come several times), whose pairs are `pairs[row]` in `units`. The leaves' values are
    /// still 0.
    pub(crate) fn grow(
        &mut self,
        rows: &[u32],
        pairs: &[u64],
        units: Units,
        choice: Choice,
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
        self.examine(&mut root, None, units, choice);
        let (mut open, mut leaves) = (Vec::new(), Vec::new());
        self.sort(root, &mut open, &mut leaves);
        while open.len() + leaves.len() < self.shape.leaves {
            let Some((at, split)) = self.next(&open) else { break };
            let parent = open.remove(at);
            let left = nodes.len();
            nodes.extend([BinnedNode::leaf(left, 0.0), BinnedNode::leaf(left + 1, 0.0)]);
            let Split { slot, bin, missing_left, .. } = split;
            let node = BinnedNode { slot: slot as u32, bin, missing_left, left: left as u32, value: 0.0 };
            nodes[parent.grown.node] = node;
            let is_last = open.len() + leaves.len() + 2 >= self.shape.leaves;
            let (one, other) = self.divide(parent, &node, split, left, (units, choice, is_last));
            self.sort(one, &mut open, &mut leaves);
            self.sort(other, &mut open, &mut leaves);
        }
        leaves.extend(open.iter().map(|open| open.grown));
        self.pool.extend(open.into_iter().map(|open| open.histogram));
        (nodes, leaves)
    }

    /// A leaf that can be divided waits for it; another one stays a leaf, and its histogram serves the next.
    fn sort(&mut self, leaf: Open, open: &mut Vec<Open>, leaves: &mut Vec<Grown>) {
        if leaf.best.is_some() {
            return open.push(leaf);
        }
        leaves.push(leaf.grown);
        if !leaf.histogram.is_empty() {
            self.pool.push(leaf.histogram);
        }
    }

    /// The leaf that is divided next: of leaves with the same gain the first.
    fn next(&self, open: &[Open]) -> Option<(usize, Split)> {
        let mut splits = open.iter().enumerate().filter_map(|(at, open)| Some((at, open.best?)));
        if self.shape.order == Growth::DepthFirst {
            return splits.next_back();
        }
        splits.fold(None, |best: Option<(usize, Split)>, found| match best {
            Some(best) if best.1.gain >= found.1.gain => Some(best),
            _ => Some(found),
        })
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
        (units, choice, is_last): (Units, Choice, bool),
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
        self.examine(small, Some(large), units, choice);
        (one, other)
    }

    /// Fills the histogram of a leaf, takes it off that of its sibling, and finds the best splits of both.
    fn examine(&self, leaf: &mut Open, sibling: Option<&mut Open>, units: Units, choice: Choice) {
        let Grown { start, end, .. } = leaf.grown;
        let (rows, pairs) = (&self.rows[start..end], &self.pairs[start..end]);
        let figures = |open: &Open| {
            let figures = Leaf::new(open.grown.sums, open.grown.end - open.grown.start, units, &self.shape.limits);
            figures.can_split().then_some(figures)
        };
        let mine = figures(leaf);
        let theirs = sibling.as_deref().and_then(figures);
        let inputs = choice.inputs(leaf.grown.node);
        let of_sibling = sibling.as_deref().map(|sibling| choice.inputs(sibling.grown.node)).unwrap_or_default();
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
        let best = |figures: Option<Leaf>, asked: &[bool], first: usize, histograms: &[Histogram]| {
            self.best(figures?, asked, first, histograms)
        };
        let at_once = if rows.len() < SMALL_ROWS { tasks.len() } else { 1 };
        let found: Vec<_> = (tasks.into_par_iter().with_min_len(at_once))
            .map(|(block, part, large)| {
                part.fill([0; 256]);
                block.add(rows, pairs, part);
                subtract(large, part);
                (best(mine, &inputs, block.first, part), best(theirs, &of_sibling, block.first, large))
            })
            .collect();
        // Where the drawn inputs divide nothing, all of them are asked.
        let of_all = |figures: Option<Leaf>, histogram: &[Histogram]| {
            figures.filter(|_| choice.drawn.is_some()).and_then(|of| self.best(of, choice.active, 0, histogram))
        };
        leaf.best = found.iter().fold(None, |best, found| Split::better(best, found.0));
        leaf.best = leaf.best.or_else(|| of_all(mine, &leaf.histogram));
        if let Some(sibling) = sibling {
            sibling.best = found.iter().fold(None, |best, found| Split::better(best, found.1));
            sibling.best = sibling.best.or_else(|| of_all(theirs, &sibling.histogram));
        }
    }

    /// The best question about inputs from `first` on that may be asked.
    fn best(&self, figures: Leaf, asked: &[bool], first: usize, histograms: &[Histogram]) -> Option<Split> {
        let slots = (first..).zip(histograms).filter(|(slot, _)| asked[*slot]);
        slots.fold(None, |best, (slot, histogram)| {
            Split::better(best, figures.best(slot, &self.binned.features[slot], histogram))
        })
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

impl Choice<'_> {
    /// Of each input in bins, whether the question of this node may be about it.
    fn inputs(&self, node: usize) -> Cow<'_, [bool]> {
        let Some((count, stream)) = self.drawn else { return Cow::Borrowed(self.active) };
        let mut slots: Vec<usize> = (0..self.active.len()).filter(|slot| self.active[*slot]).collect();
        let count = count.min(slots.len());
        let mut drawn = vec![false; self.active.len()];
        for place in 0..count {
            let left = (slots.len() - place) as u64;
            let counter = (node * self.active.len() + place) as u64;
            slots.swap(place, place + stream.below(counter, left) as usize);
            drawn[slots[place]] = true;
        }
        Cow::Owned(drawn)
    }
}

impl Sums {
    pub(crate) fn and(self, other: Self) -> Self {
        Self { gradient: self.gradient + other.gradient, hessian: self.hessian + other.hessian }
    }
}
