//! Gradient boosting: every tree follows the gradient that those before it have left (Friedman 2001), with second
//! derivatives (Chen and Guestrin 2016) on histograms (Ke et al. 2017).

use std::borrow::Cow;

use rayon::prelude::*;

use super::binned::{Ground, TreeRows};
use super::design::TreeDesign;
use super::ensemble::Ensemble;
use super::grow::{Choice, Grower, Shape};
use super::histogram::{Sums, Units};
use super::objective::Objective;
use super::{Growing, ROWS_STREAM};
use crate::Result;
use crate::features::Encoded;
use crate::random::{Stream, permutation};
use crate::spec::GradientBoostingSpec;

/// Streams from here on draw the inputs of trees, one per tree.
const FEATURES_STREAM: u64 = 0x6665_6174_7500_0000;
/// Rows whose gradients are packed at a time.
const CHUNK_ROWS: usize = 1 << 13;

/// Boosting between two trees.
#[derive(Debug)]
pub(crate) struct Booster {
    spec: GradientBoostingSpec,
    seed: u64,
    outputs: usize,
    objective: Objective,
    grower: Grower,
    ground: Ground,
    gradients: Vec<[f32; 2]>,
    pairs: Vec<u64>,
}

impl Booster {
    /// Puts the rows into bins. No tree yet.
    pub(crate) fn new(
        (design, spec): (&TreeDesign, &GradientBoostingSpec),
        training: TreeRows,
        held_out: (&Encoded, &[u32]),
        seed: u64,
    ) -> Self {
        let (rows, outputs) = (training.rows.len(), design.head.outputs);
        let base = Objective::base(design.head, &training.targets, &training.weights);
        let ground = Ground::new(design, &training, held_out, (spec.bins, spec.min_rows_per_leaf, seed), base);
        let TreeRows { targets, weights, .. } = training;
        Self {
            spec: spec.clone(),
            seed,
            outputs,
            objective: Objective { head: design.head, targets, weights },
            grower: Grower::new(ground.binned.clone(), Shape::boosted(spec)),
            ground,
            gradients: vec![[0.0; 2]; rows * outputs],
            pairs: vec![0; rows],
        }
    }

    fn tree(&mut self, units: Units) {
        let number = self.ground.ensemble.trees.len() as u64;
        let (output, outputs) = (self.ground.output(), self.outputs);
        let active = self.active(output, number);
        let all = self.objective.targets.len() as u32;
        let drawn: Vec<u32> = match self.spec.row_fraction < 1.0 {
            true => {
                let stream = Stream::new(self.seed, ROWS_STREAM + number / outputs as u64);
                let is_drawn = |row: &u32| f64::from(stream.uniform(u64::from(*row))) < self.spec.row_fraction;
                (0..all).filter(is_drawn).collect()
            }
            false => (0..all).collect(),
        };
        let choice = Choice { active: &active, drawn: None };
        let (mut nodes, leaves) = self.grower.grow(&drawn, &self.pairs, units, choice);
        for leaf in &leaves {
            let rows = &self.grower.rows[leaf.start..leaf.end];
            let rate = self.spec.learning_rate;
            let value = match self.objective.leaf_value(rows, &self.ground.scores) {
                Some(value) => (rate * f64::from(value)) as f32,
                None => (rate * self.value(leaf.sums, units)) as f32,
            };
            nodes[leaf.node].value = value;
            if drawn.len() == self.objective.targets.len() {
                rows.iter().for_each(|&row| self.ground.scores[row as usize * outputs + output] += value);
            }
        }
        if drawn.len() < self.objective.targets.len() {
            self.ground.add_training(&nodes);
        }
        self.ground.keep(&nodes);
    }

    fn value(&self, sums: Sums, units: Units) -> f64 {
        let hessian = sums.hessian as f64 * units.hessian + self.spec.l2;
        if hessian > 0.0 { -(sums.gradient as f64 * units.gradient) / hessian } else { 0.0 }
    }

    /// The inputs that a tree may ask about.
    fn active(&self, output: usize, number: u64) -> Vec<bool> {
        let usable = &self.ground.usable[output];
        let slots: Vec<usize> = (0..usable.len()).filter(|&slot| usable[slot]).collect();
        let count = (slots.len() as f64 * self.spec.feature_fraction).ceil() as usize;
        if count >= slots.len() {
            return usable.clone();
        }
        let mut active = vec![false; usable.len()];
        let order = permutation(self.seed, FEATURES_STREAM + number, slots.len() as u32);
        order[..count].iter().for_each(|&at| active[slots[at as usize]] = true);
        active
    }
}

impl Growing for Booster {
    fn restore(&mut self, ensemble: Ensemble) -> Result<()> {
        self.ground.restore(ensemble)
    }

    fn step(&mut self) -> Result<f64> {
        let rows = self.objective.targets.len();
        let totals = self.objective.gradients(&self.ground.scores, &mut self.gradients);
        for (output, [gradients, hessians]) in totals.outputs.into_iter().enumerate() {
            let units = Units::new(gradients, hessians, rows);
            let (outputs, all) = (self.outputs, &self.gradients);
            self.pairs.par_iter_mut().enumerate().with_min_len(CHUNK_ROWS).for_each(|(row, pair)| {
                let [gradient, hessian] = all[row * outputs + output];
                *pair = units.pack(gradient, hessian);
            });
            self.tree(units);
        }
        Ok(totals.loss / rows as f64)
    }

    fn ensemble(&self) -> &Ensemble {
        &self.ground.ensemble
    }

    fn held_out_outputs(&self) -> Cow<'_, [f32]> {
        Cow::Borrowed(&self.ground.held_out_scores)
    }
}
