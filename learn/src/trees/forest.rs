//! Random forests (Breiman 2001): trees that are grown to their end, each on rows drawn with replacement, each question the
//! best of some inputs drawn for it. A split by squared error of 0 and 1 is the one by the Gini index.

use std::borrow::Cow;
use std::collections::VecDeque;

use rayon::prelude::*;

use super::binned::{BinnedNode, Ground, TreeRows};
use super::design::TreeDesign;
use super::ensemble::{Ensemble, NODES_MAX};
use super::grow::{Choice, Grower, Shape};
use super::histogram::Units;
use super::objective::Objective;
use super::{Growing, ROWS_STREAM};
use crate::features::Encoded;
use crate::net::{Head, HeadActivation, row_loss};
use crate::random::Stream;
use crate::spec::RandomForestSpec;
use crate::{Error, Result};

/// Streams from here on draw the inputs of questions, one per tree.
const QUESTIONS_STREAM: u64 = 0x666f_7265_7374_0000;
/// Probabilities of forests are at least so much away from 0 and 1: no tree has seen all there is.
pub(crate) const LEAST: f32 = 1e-6;

/// A forest between two trees.
#[derive(Debug)]
pub(crate) struct Forest {
    spec: RandomForestSpec,
    seed: u64,
    /// The trees in all.
    trees: usize,
    /// The rows and what they should be answered.
    objective: Objective,
    /// One for each thread.
    growers: Vec<Grower>,
    /// Trees that were grown beside others.
    ready: VecDeque<Vec<BinnedNode>>,
    ground: Ground,
}

impl Forest {
    /// Puts the rows into bins. No tree yet.
    pub(crate) fn new(
        (design, spec): (&TreeDesign, &RandomForestSpec),
        training: TreeRows,
        held_out: (&Encoded, &[u32]),
        seed: u64,
    ) -> Self {
        let base = vec![0.0; design.head.outputs];
        let ground = Ground::new(design, &training, held_out, (spec.bins, spec.min_rows_per_leaf, seed), base);
        let trees = spec.trees * design.head.outputs;
        let grower = || Grower::new(ground.binned.clone(), Shape::forest(spec));
        let TreeRows { targets, weights, .. } = training;
        Self {
            spec: spec.clone(),
            seed,
            trees,
            objective: Objective { head: design.head, targets, weights },
            growers: (0..rayon::current_num_threads().clamp(1, trees)).map(|_| grower()).collect(),
            ready: VecDeque::new(),
            ground,
        }
    }

    /// The next tree; the others that the threads grow meanwhile wait.
    fn tree(&mut self) -> Vec<BinnedNode> {
        if let Some(nodes) = self.ready.pop_front() {
            return nodes;
        }
        let number = self.ground.ensemble.trees.len();
        let count = self.growers.len().min(self.trees - number);
        let (spec, seed, objective, ground) = (&self.spec, self.seed, &self.objective, &self.ground);
        let of = Growth { spec, seed, objective, usable: &ground.usable };
        let growers = self.growers[..count].par_iter_mut().with_max_len(1);
        let grown: Vec<_> = growers.enumerate().map(|(at, grower)| of.grow(grower, number + at)).collect();
        self.ready.extend(grown);
        self.ready.pop_front().unwrap_or_default()
    }
}

/// What a tree grows from: nothing but its number and this.
#[derive(Clone, Copy)]
struct Growth<'a> {
    spec: &'a RandomForestSpec,
    seed: u64,
    objective: &'a Objective,
    usable: &'a [Vec<bool>],
}

impl Growth<'_> {
    fn grow(self, grower: &mut Grower, number: usize) -> Vec<BinnedNode> {
        let outputs = self.objective.head.outputs;
        let (round, output) = ((number / outputs) as u64, number % outputs);
        let rows = self.drawn(round);
        let value = |row: u32| self.objective.value(row as usize, output);
        let weight = |row: u32| self.objective.weight(row as usize);
        let (mut gradients, mut hessians) = (0.0, 0.0);
        for &row in &rows {
            gradients += f64::from((weight(row) * value(row)).abs());
            hessians += f64::from(weight(row));
        }
        let units = Units::new(gradients, hessians, rows.len());
        let all = 0..self.objective.targets.len() as u32;
        let pairs: Vec<u64> = all.map(|row| units.pack(-weight(row) * value(row), weight(row))).collect();
        let active = &self.usable[output];
        let stream = Stream::new(self.seed, QUESTIONS_STREAM + number as u64);
        let choice = Choice { active, drawn: Some((self.asked(active), stream)) };
        let (mut nodes, leaves) = grower.grow(&rows, &pairs, units, choice);
        for leaf in leaves {
            let (mut sum, mut weights) = (0.0, 0.0);
            for &row in &grower.rows[leaf.start..leaf.end] {
                sum += f64::from(weight(row)) * f64::from(value(row));
                weights += f64::from(weight(row));
            }
            nodes[leaf.node].value = if weights > 0.0 { (sum / weights) as f32 } else { 0.0 };
        }
        nodes
    }

    /// Rows drawn with replacement, in order: some come several times, a third not at all.
    fn drawn(self, round: u64) -> Vec<u32> {
        let all = self.objective.targets.len();
        let count = ((all as f64 * self.spec.row_fraction).round() as u64).max(1);
        let stream = Stream::new(self.seed, ROWS_STREAM + round);
        let mut times = vec![0u32; all];
        (0..count).for_each(|n| times[stream.below(n, all as u64) as usize] += 1);
        (0u32..).zip(times).flat_map(|(row, times)| std::iter::repeat_n(row, times as usize)).collect()
    }

    /// How many inputs a question may be about.
    fn asked(self, active: &[bool]) -> usize {
        let all = active.iter().filter(|is_active| **is_active).count() as f64;
        let count = match (self.spec.features_per_split, self.objective.head.activation) {
            (Some(share), _) => all * share,
            (None, HeadActivation::Linear) => all / 3.0,
            (None, _) => all.sqrt(),
        };
        (count.round() as usize).max(1)
    }
}

impl Growing for Forest {
    fn restore(&mut self, ensemble: Ensemble) -> Result<()> {
        self.ground.restore(ensemble)
    }

    fn step(&mut self) -> Result<f64> {
        let head = self.objective.head;
        for _ in 0..head.outputs {
            let nodes = self.tree();
            self.ground.add_training(&nodes);
            self.ground.keep(&nodes);
        }
        if self.ground.ensemble.nodes() > NODES_MAX {
            return Err(Error::invalid(format!(
                "the trees have more than {NODES_MAX} nodes; raise network.random_forest.min_rows_per_leaf or lower its trees"
            )));
        }
        let outputs = link(&self.ground.scores, head, self.ground.ensemble.trees.len());
        Ok(self.objective.mean_loss(&outputs))
    }

    fn ensemble(&self) -> &Ensemble {
        &self.ground.ensemble
    }

    fn held_out_outputs(&self) -> Cow<'_, [f32]> {
        Cow::Owned(link(&self.ground.held_out_scores, self.objective.head, self.ground.ensemble.trees.len()))
    }
}

/// What goes to the head, from the sums of `trees` trees `[rows, outputs]`: the mean value; the logit of the mean share of the
/// second class, or the logarithm of the mean shares of all classes, from which the head makes these shares again.
pub(crate) fn link(sums: &[f32], head: Head, trees: usize) -> Vec<f32> {
    let part = head.outputs as f32 / trees.max(1) as f32;
    let mean = sums.iter().map(|sum| sum * part);
    match head.activation {
        HeadActivation::Linear => mean.collect(),
        HeadActivation::Sigmoid => mean.map(|p| p.clamp(LEAST, 1.0 - LEAST)).map(|p| p.ln() - (1.0 - p).ln()).collect(),
        HeadActivation::Softmax => mean.map(|p| p.max(LEAST).ln()).collect(),
    }
}

impl Objective {
    /// What output `output` should be for a row.
    fn value(&self, row: usize, output: usize) -> f32 {
        match self.head.activation {
            HeadActivation::Softmax => f32::from(u8::from(self.targets[row] as usize == output)),
            _ => self.targets[row],
        }
    }

    /// Mean loss of rows with these outputs.
    fn mean_loss(&self, outputs: &[f32]) -> f64 {
        let rows = outputs.chunks_exact(self.head.outputs).zip(&self.targets).enumerate();
        let loss = |(row, (outputs, target)): (usize, (&[f32], &f32))| {
            f64::from(self.weight(row)) * row_loss(self.head, outputs, &[*target])
        };
        rows.map(loss).sum::<f64>() / self.targets.len().max(1) as f64
    }
}
