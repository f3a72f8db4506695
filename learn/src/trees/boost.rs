//! Gradient boosting: every tree follows the gradient that those before it have left (Friedman 2001), with second
//! derivatives (Chen and Guestrin 2016) on histograms (Ke et al. 2017).

use rayon::prelude::*;

use super::bins::{Binned, Binning};
use super::design::TreeDesign;
use super::ensemble::{Ensemble, Node, Tree};
use super::grow::{BinnedNode, Grower, Shape};
use super::histogram::{Sums, Units};
use super::inputs::{Ranks, Source};
use super::objective::Objective;
use crate::features::Encoded;
use crate::net::{Head, HeadActivation};
use crate::random::{Stream, permutation};
use crate::spec::GradientBoostingSpec;
use crate::{Error, Result};

/// Streams of random numbers from here on draw the rows of trees, one per tree.
const ROWS_STREAM: u64 = 0x626f_6f73_7400;
/// Streams from here on draw the inputs of trees, one per tree.
const FEATURES_STREAM: u64 = 0x6665_6174_7500_0000;
/// Rows whose leaf is found at a time.
const CHUNK_ROWS: usize = 1 << 13;

/// Rows and their answers for boosting.
pub(crate) struct BoostRows<'a> {
    pub(crate) encoded: &'a Encoded,
    pub(crate) rows: &'a [u32],
    /// Class numbers or standardised values of `rows`.
    pub(crate) targets: Vec<f32>,
    /// What each of `rows` counts; empty where all count 1.
    pub(crate) weights: Vec<f32>,
}

/// Boosting between two trees.
#[derive(Debug)]
pub(crate) struct Booster {
    spec: GradientBoostingSpec,
    seed: u64,
    outputs: usize,
    objective: Objective,
    grower: Grower,
    /// The inputs in bins that the trees of each output may use.
    usable: Vec<Vec<usize>>,
    width: usize,
    /// Outputs of the training rows so far, `[rows, outputs]`.
    scores: Vec<f32>,
    gradients: Vec<[f32; 2]>,
    pairs: Vec<u64>,
    /// The validation rows in bins, and their outputs so far `[rows, outputs]`.
    held_out: Vec<Vec<u8>>,
    held_out_scores: Vec<f32>,
    ensemble: Ensemble,
}

impl Booster {
    /// Puts the rows into bins. No tree yet.
    pub(crate) fn new(
        (design, spec): (&TreeDesign, &GradientBoostingSpec),
        training: BoostRows,
        (held_out, held_out_rows): (&Encoded, &[u32]),
        seed: u64,
    ) -> Self {
        let (inputs, head, outputs) = (&design.inputs, design.head, design.head.outputs);
        let BoostRows { encoded, rows, targets, weights } = training;
        let ranks = ranks(design, encoded, rows, &targets);
        let binned = Binned::fit(&Binning {
            inputs,
            ranks: &ranks,
            encoded,
            rows,
            bins: spec.bins,
            min_rows: spec.min_rows_per_leaf,
            seed,
        });
        let held_out = binned.columns_of(inputs, &ranks, held_out, held_out_rows);
        let usable = usable(&binned, &inputs.sources(), outputs);
        let objective = Objective { head, targets, weights };
        let base = objective.base();
        let scores = base.repeat(rows.len());
        Self {
            spec: spec.clone(),
            seed,
            outputs,
            grower: Grower::new(binned, Shape::boosted(spec)),
            usable,
            width: inputs.width(),
            gradients: vec![[0.0; 2]; scores.len()],
            pairs: vec![0; rows.len()],
            held_out,
            held_out_scores: base.repeat(held_out_rows.len()),
            ensemble: Ensemble { ranks, base, trees: vec![] },
            objective,
            scores,
        }
    }

    /// Goes on from these trees.
    pub(crate) fn restore(&mut self, ensemble: Ensemble) -> Result<()> {
        if (&ensemble.ranks, &ensemble.base) != (&self.ensemble.ranks, &self.ensemble.base) {
            return Err(Error::Internal("the trees of a checkpoint were grown on other rows".into()));
        }
        for (number, tree) in ensemble.trees.iter().enumerate() {
            let nodes = self.binned_nodes(tree)?;
            let output = number % self.outputs;
            add(&nodes, &self.grower.binned.columns, &mut self.scores, output, self.outputs);
            add(&nodes, &self.held_out, &mut self.held_out_scores, output, self.outputs);
        }
        self.ensemble = ensemble;
        Ok(())
    }

    /// Grows a tree for every output. Gives the mean loss of the training rows before.
    pub(crate) fn step(&mut self) -> f64 {
        let rows = self.objective.targets.len();
        let totals = self.objective.gradients(&self.scores, &mut self.gradients);
        for output in 0..self.outputs {
            let [gradients, hessians] = totals.outputs[output];
            let units = Units::new(gradients, hessians, rows);
            let (outputs, all) = (self.outputs, &self.gradients);
            self.pairs.par_iter_mut().enumerate().with_min_len(CHUNK_ROWS).for_each(|(row, pair)| {
                let [gradient, hessian] = all[row * outputs + output];
                *pair = units.pack(gradient, hessian);
            });
            self.tree(output, units);
        }
        totals.loss / rows as f64
    }

    fn tree(&mut self, output: usize, units: Units) {
        let number = self.ensemble.trees.len() as u64;
        let active = self.active(output, number);
        let all = self.objective.targets.len() as u32;
        let drawn: Vec<u32> = match self.spec.row_fraction < 1.0 {
            true => {
                let stream = Stream::new(self.seed, ROWS_STREAM + number / self.outputs as u64);
                let is_drawn = |row: &u32| f64::from(stream.uniform(u64::from(*row))) < self.spec.row_fraction;
                (0..all).filter(is_drawn).collect()
            }
            false => (0..all).collect(),
        };
        let (mut nodes, leaves) = self.grower.grow(&drawn, &self.pairs, units, &active);
        for leaf in &leaves {
            let rows = &self.grower.rows[leaf.start..leaf.end];
            let rate = self.spec.learning_rate;
            let value = match self.objective.leaf_value(rows, &self.scores) {
                Some(value) => (rate * f64::from(value)) as f32,
                None => (rate * self.value(leaf.sums, units)) as f32,
            };
            nodes[leaf.node].value = value;
            if drawn.len() == self.objective.targets.len() {
                rows.iter().for_each(|&row| self.scores[row as usize * self.outputs + output] += value);
            }
        }
        if drawn.len() < self.objective.targets.len() {
            add(&nodes, &self.grower.binned.columns, &mut self.scores, output, self.outputs);
        }
        add(&nodes, &self.held_out, &mut self.held_out_scores, output, self.outputs);
        let tree = self.kept(&nodes);
        self.ensemble.trees.push(tree);
    }

    fn value(&self, sums: Sums, units: Units) -> f64 {
        let hessian = sums.hessian as f64 * units.hessian + self.spec.l2;
        if hessian > 0.0 { -(sums.gradient as f64 * units.gradient) / hessian } else { 0.0 }
    }

    /// The inputs that a tree may use.
    fn active(&self, output: usize, number: u64) -> Vec<bool> {
        let usable = &self.usable[output];
        let mut active = vec![false; self.grower.binned.features.len()];
        let count = (usable.len() as f64 * self.spec.feature_fraction).ceil() as usize;
        match count < usable.len() {
            true => {
                let order = permutation(self.seed, FEATURES_STREAM + number, usable.len() as u32);
                order[..count].iter().for_each(|&at| active[usable[at as usize]] = true);
            }
            false => usable.iter().for_each(|&slot| active[slot] = true),
        }
        active
    }

    /// A tree on raw values.
    fn kept(&self, nodes: &[BinnedNode]) -> Tree {
        let node = |(at, node): (usize, &BinnedNode)| {
            if node.left as usize == at {
                return Node { feature: 0, threshold: f32::INFINITY, left: node.left };
            }
            let bins = &self.grower.binned.features[node.slot as usize];
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
        let (features, width) = (&self.grower.binned.features, self.width as u32);
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

    /// The trees so far.
    pub(crate) fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Outputs of the validation rows `[rows, outputs]`.
    pub(crate) fn held_out_scores(&self) -> &[f32] {
        &self.held_out_scores
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

fn ranks(design: &TreeDesign, encoded: &Encoded, rows: &[u32], targets: &[f32]) -> Vec<Ranks> {
    let Head { activation, .. } = design.head;
    Ranks::fit(&design.inputs, encoded, rows, &|n, column| match activation {
        HeadActivation::Softmax => f64::from(u8::from(targets[n] as usize == column)),
        _ => f64::from(targets[n]),
    })
}

/// The inputs in bins that each output's trees may use: categories in the order of that output.
fn usable(binned: &Binned, sources: &[Source], outputs: usize) -> Vec<Vec<usize>> {
    let is_usable = |output: usize, slot: usize| match sources[binned.features[slot].feature as usize] {
        Source::Rank(_, column) => column == output,
        _ => true,
    };
    let slots = 0..binned.features.len();
    (0..outputs).map(|output| slots.clone().filter(|&slot| is_usable(output, slot)).collect()).collect()
}
