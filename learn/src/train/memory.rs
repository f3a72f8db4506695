//! How much memory will training take, beside the rows that are there already?

use super::TrainJob;
use super::order::Order;
use super::rule::Rule;
use crate::Result;
use crate::features::BagBlock;
use crate::net::{Design, Head, design};
use crate::spec::{NetSpec, TrainSpec};
use crate::trees::TreeDesign;

/// Bytes of a number.
const NUMBER_BYTES: u64 = 4;
/// Bytes of a row beside its bins: gradients, outputs, and its place in the tree that grows.
const TREE_ROW_BYTES: u64 = 64;
/// Bytes of the sums of an input in a leaf.
const HISTOGRAM_BYTES: u64 = 2048;

/// Bytes that training will take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryNeed {
    /// For what grows with the network or the trees: weights, gradients, what the optimizer remembers, the best weights.
    pub weights: u64,
    /// For what grows with the rows of a batch: the values of all layers and their gradients; of trees with all rows.
    pub batch: u64,
}

impl MemoryNeed {
    /// Both together.
    pub fn total(self) -> u64 {
        self.weights.saturating_add(self.batch)
    }
}

/// Roughly what this job will take; of an ensemble, what its largest member takes.
///
/// # Errors
/// Settings that no network can be made of.
pub fn memory_need(job: &TrainJob) -> Result<MemoryNeed> {
    need(job, job.net, job.train)
}

fn need(job: &TrainJob, net: &NetSpec, train: &TrainSpec) -> Result<MemoryNeed> {
    if let NetSpec::Ensemble(spec) = net {
        let members = spec.members.iter().map(|member| {
            let own = member.train.as_ref().unwrap_or(train);
            need(job, &member.network, &TrainSpec { loss: train.loss, ..own.clone() })
        });
        let needs = members.collect::<Result<Vec<_>>>()?;
        return Ok(needs.into_iter().max_by_key(|need| need.total()).unwrap_or_default());
    }
    let rows = Order::new(train, job.target, &job.training)?.count();
    let design = design(net, job.numeric, Head::of(job.target, train.loss)?)?;
    let (learned, per_row) = match &design {
        Design::Dense(layers) => {
            let units = layers.dense.iter().map(|layer| layer.outputs).sum::<usize>();
            (layers.parameters(), job.numeric.dense_width() + units)
        }
        Design::Plan(plan) => (plan.learned(), plan.nodes.iter().map(|node| node.size(usize::MAX)).sum()),
        Design::Trees(trees) => return Ok(of_trees(trees, job, rows)),
        Design::Ensemble(_) => (0, 0),
    };
    let rule = Rule::new(train, rows);
    let moments = rule.step(0, 0, &Default::default()).update.moments().into_iter().filter(|kept| *kept).count();
    // The weights at work, their gradients, the best ones and those of the checkpoint that is written.
    let copies = 4 + moments as u64;
    // Values, their gradients, and what a layer keeps for its way back.
    let numbers = (per_row as u64).saturating_mul(rule.batch() as u64).saturating_mul(3);
    Ok(MemoryNeed {
        weights: copies.saturating_mul(learned as u64).saturating_mul(NUMBER_BYTES),
        batch: numbers.saturating_mul(NUMBER_BYTES),
    })
}

/// Every input that can be asked about has a byte per row by itself and one beside the others; a tree's open leaves have sums per
/// input. Of the terms of texts, most are too rare for a leaf and left out.
fn of_trees(trees: &TreeDesign, job: &TrainJob, rows: usize) -> MemoryNeed {
    let terms: usize = job.training.encoded.bags.iter().map(|bag| bag.width).sum();
    let entries: usize = job.training.encoded.bags.iter().map(BagBlock::entries).sum();
    let asked = terms.min(entries / trees.min_rows_per_leaf());
    let (rows, inputs) = (rows as u64, (trees.inputs.width() - terms + asked) as u64);
    let per_row = 2 * inputs + TREE_ROW_BYTES * trees.head.outputs as u64;
    MemoryNeed {
        weights: (trees.open_leaves(rows) as u64).saturating_mul(inputs).saturating_mul(HISTOGRAM_BYTES),
        batch: per_row.saturating_mul(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Setup;
    use super::*;
    use crate::spec::{BatchSize, DenseSpec, GradientBoostingSpec};

    fn of(setup: &Setup) -> MemoryNeed {
        memory_need(&setup.job(None, false)).unwrap()
    }

    #[test]
    fn it_grows_with_the_network_and_with_the_batch() {
        let mut setup = Setup::busy();
        let small = of(&setup);
        setup.spec.batch_size = BatchSize::Full;
        let full = of(&setup);
        assert!(full.weights == small.weights && full.batch > small.batch);
        setup.net = NetSpec::Dense(DenseSpec { hidden: vec![5_000, 5_000], ..DenseSpec::default() });
        // 25 million weights between the layers, at least four times in memory.
        assert!(of(&setup).weights >= 4 * 4 * 25_000_000);
        setup.net = NetSpec::GradientBoosting(GradientBoostingSpec::default());
        assert!(of(&setup).total() > 0);
    }
}
