//! What does the network see of some rows? Their answers, what each counts, and the rows as they were changed.

use super::augment::{Augmenter, Changed, Place};
use super::order::weigh;
use crate::kernels::Targets;
use crate::net::Batch;

/// What batches of training rows are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The answers of all rows.
    pub(super) targets: &'a [f32],
    /// What a row counts by its class; empty where all count 1.
    pub(super) class_weights: &'a [f32],
    /// Where rows are changed at random.
    pub(super) augmenter: Option<Augmenter<'a>>,
}

/// A batch as it is learned from.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    answers: Vec<f32>,
    /// What each row counts; empty where all count 1.
    weights: Vec<f32>,
    changed: Option<Changed>,
}

impl Rows<'_> {
    /// Prepares a batch in the room of an earlier one.
    pub(super) fn prepare(self, batch: Batch, place: Place, into: &mut Prepared) {
        into.answers.clear();
        into.answers.extend(batch.rows.iter().map(|row| self.targets[*row as usize]));
        weigh(self.class_weights, &into.answers, &mut into.weights);
        let targets = Targets { values: &into.answers, weights: &into.weights, mixed: None };
        into.changed = self.augmenter.map(|augmenter| augmenter.change(batch, targets, place));
    }
}

impl Prepared {
    /// The answers of the rows as they came.
    pub(super) fn answers(&self) -> &[f32] {
        &self.answers
    }

    /// What is learned from, where `batch` are the rows as they came.
    pub(super) fn view<'b>(&'b self, batch: Batch<'b>) -> (Batch<'b>, Targets<'b>) {
        let targets = Targets { values: &self.answers, weights: &self.weights, mixed: None };
        match &self.changed {
            Some(changed) => changed.batch(batch.numeric, targets),
            None => (batch, targets),
        }
    }
}
