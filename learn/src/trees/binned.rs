//! What do trees have to grow on, and what becomes of one that has grown?

use std::sync::Arc;

use rayon::prelude::*;

use super::bins::{Binned, Binning, MISSING};
use super::design::TreeDesign;
use super::ensemble::{Ensemble, Node, Tree};
use super::inputs::{Ranks, Source};
use crate::features::Encoded;
use crate::net::HeadActivation;
use crate::{Error, Result};

/// Rows whose leaf is found at a time.
const CHUNK_ROWS: usize = 1 << 13;

/// Rows and their answers for trees.
pub(crate) struct TreeRows<'a> {
    pub(crate) encoded: &'a Encoded,
    pub(crate) rows: &'a [u32],
    /// Class numbers or standardised values of `rows`.
    pub(crate) targets: Vec<f32>,
    /// What each of `rows` counts; empty where all count 1.
    pub(crate) weights: Vec<f32>,
}

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

/// Training and validation rows in bins, the trees so far and what they answer.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) binned: Arc<Binned>,
    /// Of each output, of each input in bins, whether its trees may ask about it: categories only in the order of that output.
    pub(crate) usable: Vec<Vec<bool>>,
    width: usize,
    outputs: usize,
    /// Sums of the trees' answers for the training rows `[rows, outputs]`.
    pub(crate) scores: Vec<f32>,
    /// The validation rows in bins, and the sums of the answers for them `[rows, outputs]`.
    held_out: Vec<Vec<u8>>,
    pub(crate) held_out_scores: Vec<f32>,
    pub(crate) ensemble: Ensemble,
}

impl Ground {
    /// Puts the rows into at most `bins` bins. No tree yet: the answers are `base`.
    pub(crate) fn new(
        design: &TreeDesign,
        training: &TreeRows,
        (held_out, held_out_rows): (&Encoded, &[u32]),
        (bins, min_rows, seed): (usize, usize, u64),
        base: Vec<f32>,
    ) -> Self {
        let (inputs, outputs) = (&design.inputs, design.head.outputs);
        let TreeRows { encoded, rows, targets, .. } = training;
        let ranks = Ranks::fit(inputs, encoded, rows, &|n, column| match design.head.activation {
            HeadActivation::Softmax => f64::from(u8::from(targets[n] as usize == column)),
            _ => f64::from(targets[n]),
        });
        let binned = Binned::fit(&Binning { inputs, ranks: &ranks, encoded, rows, bins, min_rows, seed });
        let sources = inputs.sources();
        let is_usable = |output: usize, feature: u32| match sources[feature as usize] {
            Source::Rank(_, column) => column == output,
            _ => true,
        };
        let of = |output| binned.features.iter().map(|bins| is_usable(output, bins.feature)).collect();
        Self {
            usable: (0..outputs).map(of).collect(),
            width: inputs.width(),
            outputs,
            scores: base.repeat(rows.len()),
            held_out: binned.columns_of(inputs, &ranks, held_out, held_out_rows),
            held_out_scores: base.repeat(held_out_rows.len()),
            ensemble: Ensemble { ranks, base, trees: vec![] },
            binned: Arc::new(binned),
        }
    }

    /// Goes on from these trees.
    pub(crate) fn restore(&mut self, ensemble: Ensemble) -> Result<()> {
        if (&ensemble.ranks, &ensemble.base) != (&self.ensemble.ranks, &self.ensemble.base) {
            return Err(Error::Internal("the trees of a checkpoint were grown on other rows".into()));
        }
        for tree in ensemble.trees {
            let nodes = self.binned_nodes(&tree)?;
            self.add_training(&nodes);
            self.add_held_out(&nodes);
            self.ensemble.trees.push(tree);
        }
        Ok(())
    }

    /// The output that the next tree answers.
    pub(crate) fn output(&self) -> usize {
        self.ensemble.trees.len() % self.outputs
    }

    /// Adds the answers of the next tree for the training rows.
    pub(crate) fn add_training(&mut self, nodes: &[BinnedNode]) {
        let output = self.output();
        add(nodes, &self.binned.columns, &mut self.scores, output, self.outputs);
    }

    /// Keeps the next tree, whose answers for the training rows are added already.
    pub(crate) fn keep(&mut self, nodes: &[BinnedNode]) {
        self.add_held_out(nodes);
        let tree = self.tree(nodes);
        self.ensemble.trees.push(tree);
    }

    fn add_held_out(&mut self, nodes: &[BinnedNode]) {
        let output = self.output();
        add(nodes, &self.held_out, &mut self.held_out_scores, output, self.outputs);
    }

    /// A tree on raw values.
    fn tree(&self, nodes: &[BinnedNode]) -> Tree {
        let node = |(at, node): (usize, &BinnedNode)| {
            if node.left as usize == at {
                return Node { feature: 0, threshold: f32::INFINITY, left: node.left };
            }
            let bins = &self.binned.features[node.slot as usize];
            // Behind the last threshold only missing values go right.
            let threshold = bins.thresholds.get(usize::from(node.bin)).copied().unwrap_or(f32::MAX);
            let to_right = if node.missing_left { 0 } else { self.width as u32 };
            Node { feature: bins.feature + to_right, threshold, left: node.left }
        };
        let values = nodes.iter().map(|node| node.value).collect();
        Tree { nodes: nodes.iter().enumerate().map(node).collect(), values }
    }

    /// The same the other way.
    fn binned_nodes(&self, tree: &Tree) -> Result<Vec<BinnedNode>> {
        let (features, width) = (&self.binned.features, self.width as u32);
        let node = |(at, (node, &value)): (usize, (&Node, &f32))| {
            if node.left as usize == at {
                return Ok(BinnedNode::leaf(at, value));
            }
            let feature = node.feature % width;
            let slot = features.binary_search_by_key(&feature, |bins| bins.feature);
            let slot = slot.map_err(|_| Error::Internal("a tree asks about an input that is not in bins".into()))?;
            let bin = features[slot].thresholds.partition_point(|&threshold| threshold < node.threshold);
            let (slot, bin, missing_left) = (slot as u32, bin as u8, node.feature < width);
            Ok(BinnedNode { slot, bin, missing_left, left: node.left, value })
        };
        tree.nodes.iter().zip(&tree.values).enumerate().map(node).collect()
    }
}

/// Adds a tree's answers to one of the outputs.
fn add(nodes: &[BinnedNode], columns: &[Vec<u8>], scores: &mut [f32], output: usize, outputs: usize) {
    scores.par_chunks_mut(CHUNK_ROWS * outputs).enumerate().for_each(|(chunk, scores)| {
        for (n, scores) in scores.chunks_exact_mut(outputs).enumerate() {
            let (row, mut at) = (chunk * CHUNK_ROWS + n, 0);
            while nodes[at].left as usize != at {
                let node = &nodes[at];
                let is_left = node.is_left(columns[node.slot as usize][row]);
                at = node.left as usize + usize::from(!is_left);
            }
            scores[output] += nodes[at].value;
        }
    });
}
