//! What is kept of trees, and what do they answer?
//!
//! As tensors: `trees.nodes` `[trees]`, how many nodes each tree has; over the nodes of all trees `trees.feature`,
//! `trees.threshold`, `trees.left` and `trees.value` `[nodes]`; `base` `[outputs]`; `ranks.NUMBER`
//! `[codes, columns]` for every category.
//!
//! A row goes right where its input is above the threshold; the right child lies behind the left one, children are counted
//! from the root of their tree, and a leaf, whose threshold is infinite, is its own left child. Missing values go left; an
//! input's number plus the number of inputs stands for the same input with missing values going right.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::inputs::{Inputs, Ranks};
use crate::features::Encoded;
use crate::{Error, Result, Tensor, Weights};

/// Nodes that all trees may have together, which keeps them below a gigabyte.
pub(crate) const NODES_MAX: usize = 1 << 24;
/// Rows answered at a time.
const CHUNK_ROWS: usize = 256;

/// Trees over the inputs of rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ensemble {
    pub(crate) ranks: Vec<Ranks>,
    /// What is answered without any tree, one per output.
    pub(crate) base: Vec<f32>,
    pub(crate) trees: Vec<Tree>,
}

/// One tree.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// `[nodes]`; what counts are those of leaves.
    pub(crate) values: Vec<f32>,
}

/// A question, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    pub(crate) feature: u32,
    pub(crate) threshold: f32,
    pub(crate) left: u32,
}

impl Tree {
    /// The leaf of a row with these inputs.
    pub(crate) fn leaf(&self, row: &[f32]) -> usize {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            let left = node.left as usize;
            if left == at {
                return at;
            }
            let feature = node.feature as usize;
            let is_missing_right = feature >= row.len();
            let x = row[if is_missing_right { feature - row.len() } else { feature }];
            at = left + usize::from(if x.is_nan() { is_missing_right } else { x > node.threshold });
        }
    }

    /// Questions from the root to the farthest leaf.
    pub(crate) fn depth(&self) -> usize {
        let mut depths = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            let left = node.left as usize;
            if left != at {
                let depth = depths[left].max(depths[at] + 1);
                (depths[left], depths[left + 1]) = (depth, depth);
            }
        }
        depths.into_iter().max().unwrap_or(0)
    }
}

impl Ensemble {
    /// Sums over the trees and the base for all rows: `[rows, outputs]`. A tree of one value adds to output `number %
    /// outputs`.
    pub(crate) fn sums(&self, inputs: &Inputs, encoded: &Encoded) -> Vec<f32> {
        let (width, outputs) = (inputs.width(), self.base.len());
        let mut sums = vec![0.0; encoded.rows * outputs];
        let chunks = sums.par_chunks_mut(CHUNK_ROWS * outputs).enumerate();
        chunks.for_each(|(chunk, sums)| {
            let mut row = vec![0.0; width];
            for (n, sums) in sums.chunks_exact_mut(outputs).enumerate() {
                inputs.write_row(&self.ranks, encoded, chunk * CHUNK_ROWS + n, &mut row);
                for (number, tree) in self.trees.iter().enumerate() {
                    sums[number % outputs] += tree.values[tree.leaf(&row)];
                }
                sums.iter_mut().zip(&self.base).for_each(|(sum, base)| *sum += base);
            }
        });
        sums
    }

    pub(crate) fn nodes(&self) -> usize {
        self.trees.iter().map(|tree| tree.nodes.len()).sum()
    }

    /// How many numbers are learned: a leaf has a value, a question an input and a threshold.
    pub(crate) fn learned(&self) -> usize {
        let of = |tree: &Tree| {
            let leaves = tree.nodes.len().div_ceil(2);
            2 * (tree.nodes.len() - leaves) + leaves
        };
        self.trees.iter().map(of).sum::<usize>() + self.base.len()
    }

    /// As tensors.
    pub(crate) fn weights(&self, columns: usize) -> Weights {
        let nodes = || self.trees.iter().flat_map(|tree| &tree.nodes);
        let count = self.nodes();
        let counts = self.trees.iter().map(|tree| tree.nodes.len() as f32).collect::<Vec<_>>();
        let values: Vec<f32> = self.trees.iter().flat_map(|tree| tree.values.iter().copied()).collect();
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, shape: &[usize], data: Vec<f32>| {
            tensors.insert(name, Tensor { shape: shape.to_vec(), data });
        };
        add("trees.nodes".into(), &[counts.len()], counts);
        add("trees.feature".into(), &[count], nodes().map(|node| node.feature as f32).collect());
        add("trees.threshold".into(), &[count], nodes().map(|node| node.threshold).collect());
        add("trees.left".into(), &[count], nodes().map(|node| node.left as f32).collect());
        add("trees.value".into(), &[count], values);
        add("base".into(), &[self.base.len()], self.base.clone());
        for (number, ranks) in self.ranks.iter().enumerate() {
            add(format!("ranks.{number}"), &[ranks.codes, columns], ranks.places.clone());
        }
        Weights { tensors }
    }

    /// From tensors, which are not trusted: refuses those that are no trees over these inputs with so many outputs.
    pub(crate) fn from_weights(weights: &Weights, inputs: &Inputs, outputs: usize) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(format!("these weights belong to another network: {what}"));
        let get = |name: &str| {
            let tensor = weights.tensors.get(name).ok_or_else(|| wrong(&format!("\"{name}\" is missing")))?;
            match tensor.shape.iter().product::<usize>() == tensor.data.len() {
                true => Ok(tensor),
                false => Err(wrong(&format!("\"{name}\" has not the numbers of its shape"))),
            }
        };
        let base = get("base")?.data.clone();
        let (feature, threshold) = (&get("trees.feature")?.data, &get("trees.threshold")?.data);
        let (left, value, counts) = (&get("trees.left")?.data, &get("trees.value")?.data, &get("trees.nodes")?.data);
        let count = feature.len();
        let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        if base.len() != outputs || counts.iter().any(|count| *count < 1.0) || total != count as f64 {
            return Err(wrong("the tensors of the trees do not fit together or to the target"));
        }
        if [threshold.len(), left.len(), value.len()] != [count; 3] {
            return Err(wrong("the tensors of the trees have different lengths"));
        }
        let (mut trees, mut start) = (Vec::with_capacity(counts.len()), 0);
        for nodes in counts.iter().map(|count| *count as usize) {
            let node = |at: usize| Node {
                feature: feature[start + at] as u32,
                threshold: threshold[start + at],
                left: left[start + at] as u32,
            };
            let tree = Tree { nodes: (0..nodes).map(node).collect(), values: value[start..start + nodes].to_vec() };
            let is_leaf = |at: usize, node: &Node| node.left as usize == at && node.threshold == f32::INFINITY;
            let is_question =
                |at: usize, node: &Node| node.left as usize > at && (node.left as usize) < nodes.saturating_sub(1);
            let good = tree.nodes.iter().enumerate().all(|(at, node)| {
                (node.feature as usize) < 2 * inputs.width() && (is_leaf(at, node) || is_question(at, node))
            });
            if !good {
                return Err(wrong("a node of a tree points nowhere"));
            }
            trees.push(tree);
            start += nodes;
        }
        let ranks = |number: usize| {
            let tensor = get(&format!("ranks.{number}"))?;
            match tensor.shape[..] {
                [codes, columns] if codes > 0 && columns == inputs.rank_columns => {
                    Ok(Ranks { codes, places: tensor.data.clone() })
                }
                _ => Err(wrong(&format!("\"ranks.{number}\" is {:?}", tensor.shape))),
            }
        };
        let ranks = (0..inputs.numeric.categories.len()).map(ranks).collect::<Result<Vec<_>>>()?;
        let known = 6 + ranks.len();
        match weights.tensors.len() == known {
            true => Ok(Self { ranks, base, trees }),
            false => Err(wrong("there are tensors that are not in the network")),
        }
    }
}
