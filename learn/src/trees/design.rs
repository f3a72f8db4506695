//! What do trees that somebody asked for consist of?

use super::ensemble::{Ensemble, NODES_MAX};
use super::forest::link;
use super::grow::{Growth, Shape};
use super::inputs::Inputs;
use super::split::Limits;
use crate::features::{Encoded, NumericPart};
use crate::net::{Head, HeadActivation, HeadLoss};
use crate::spec::{GradientBoostingSpec, RandomForestSpec};
use crate::{Error, Result, Weights};

/// Trees that an ensemble may have.
const TREES_MAX: usize = 100_000;
/// Leaves that a tree may have.
const LEAVES_MAX: usize = 65_536;
/// Questions from a root to a leaf: the ONNX file has nodes for each.
const DEPTH_MAX: usize = 256;

/// Trees before they are grown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TreeDesign {
    pub(crate) inputs: Inputs,
    pub(crate) head: Head,
    pub(crate) kind: TreeKind,
}

/// How trees come about and what their leaves hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TreeKind {
    /// Each leaf holds what is added to one output.
    Boosted(GradientBoostingSpec),
    /// Each leaf holds the mean of its rows; what counts is the mean of the trees.
    Forest(RandomForestSpec),
}

impl TreeDesign {
    /// Boosted trees on these features. Refuses impossible settings by name.
    pub(crate) fn boosted(spec: &GradientBoostingSpec, numeric: &NumericPart, head: Head) -> Result<Self> {
        let at = |key: &str| format!("network.gradient_boosting.{key}");
        within(&at("trees"), spec.trees as f64, [1.0, TREES_MAX as f64])?;
        within(&at("leaves"), spec.leaves as f64, [2.0, LEAVES_MAX as f64])?;
        within(&at("max_depth"), spec.max_depth.unwrap_or(1) as f64, [1.0, DEPTH_MAX as f64])?;
        within(&at("bins"), spec.bins as f64, [2.0, 255.0])?;
        within(&at("patience"), spec.patience as f64, [1.0, f64::MAX])?;
        within(&at("learning_rate"), spec.learning_rate, [f64::MIN_POSITIVE, f64::MAX])?;
        for (key, value) in [("row_fraction", spec.row_fraction), ("feature_fraction", spec.feature_fraction)] {
            within(&at(key), value, [f64::MIN_POSITIVE, 1.0])?;
        }
        let at_least_0 =
            [("min_hessian_per_leaf", spec.min_hessian_per_leaf), ("l2", spec.l2), ("min_gain", spec.min_gain)];
        for (key, value) in at_least_0 {
            within(&at(key), value, [0.0, f64::MAX])?;
        }
        let nodes = spec.trees.saturating_mul(head.outputs).saturating_mul(2 * spec.leaves);
        if nodes > NODES_MAX {
            return Err(Error::invalid(format!(
                "the trees could have {nodes} nodes, {NODES_MAX} are allowed; lower network.gradient_boosting.trees or leaves"
            )));
        }
        if matches!(head.loss, HeadLoss::Focal { .. }) {
            return Err(Error::invalid("train.loss is focal, which gradient_boosting does not know; take auto"));
        }
        if head.loss == HeadLoss::SquaredError && head.activation != HeadActivation::Linear {
            return Err(Error::invalid(
                "train.loss is mean_squared_error of classes, which gradient_boosting does not know; take auto",
            ));
        }
        let inputs = Inputs::new(numeric, head.outputs)?;
        Ok(Self { inputs, head, kind: TreeKind::Boosted(spec.clone()) })
    }

    /// A random forest on these features. Refuses impossible settings by name.
    pub(crate) fn forest(spec: &RandomForestSpec, numeric: &NumericPart, head: Head) -> Result<Self> {
        let at = |key: &str| format!("network.random_forest.{key}");
        within(&at("trees"), spec.trees as f64, [1.0, TREES_MAX as f64])?;
        within(&at("max_depth"), spec.max_depth.unwrap_or(1) as f64, [1.0, DEPTH_MAX as f64])?;
        within(&at("bins"), spec.bins as f64, [2.0, 255.0])?;
        within(&at("row_fraction"), spec.row_fraction, [f64::MIN_POSITIVE, 1.0])?;
        within(&at("features_per_split"), spec.features_per_split.unwrap_or(1.0), [f64::MIN_POSITIVE, 1.0])?;
        let is_known = match head.activation {
            HeadActivation::Linear => head.loss == HeadLoss::SquaredError,
            _ => head.loss == HeadLoss::CrossEntropy,
        };
        if !is_known || head.smoothing != 0.0 {
            return Err(Error::invalid(
                "a random_forest gives the means of its leaves, whatever the loss; set train.loss to auto and \
                 train.label_smoothing to 0",
            ));
        }
        let inputs = Inputs::new(numeric, head.outputs)?;
        Ok(Self { inputs, head, kind: TreeKind::Forest(spec.clone()) })
    }

    /// How many trees there will be of every output.
    pub(crate) fn trees(&self) -> usize {
        match &self.kind {
            TreeKind::Boosted(spec) => spec.trees,
            TreeKind::Forest(spec) => spec.trees,
        }
    }

    /// Training rows that a leaf has at least.
    pub(crate) fn min_rows_per_leaf(&self) -> usize {
        match &self.kind {
            TreeKind::Boosted(spec) => spec.min_rows_per_leaf.max(1),
            TreeKind::Forest(spec) => spec.min_rows_per_leaf.max(1),
        }
    }

    /// About how many leaves have sums of their own while trees grow from so many rows: of a forest one per level of the tree
    /// of each thread.
    pub(crate) fn open_leaves(&self, rows: u64) -> usize {
        match &self.kind {
            TreeKind::Boosted(spec) => spec.leaves,
            TreeKind::Forest(spec) => {
                let levels = 2 * (rows.max(1).ilog2() as usize + 1);
                spec.max_depth.unwrap_or(DEPTH_MAX).min(levels) * rayon::current_num_threads()
            }
        }
    }

    /// How many numbers are learned at most from so many rows.
    pub(crate) fn parameters(&self, rows: usize) -> usize {
        let leaves = match &self.kind {
            TreeKind::Boosted(spec) => spec.leaves,
            TreeKind::Forest(_) => rows / self.min_rows_per_leaf(),
        };
        // A leaf has a value; a question an input and a threshold.
        self.trees().saturating_mul(self.head.outputs).saturating_mul(leaves.max(1).saturating_mul(3) - 2)
    }

    /// The trees of these weights; refuses those of another network.
    pub(crate) fn ensemble(&self, weights: &Weights) -> Result<Ensemble> {
        Ensemble::from_weights(weights, &self.inputs, self.head.outputs)
    }

    /// No trees yet.
    pub(crate) fn initial_weights(&self) -> Weights {
        let ensemble = Ensemble { ranks: vec![], base: vec![0.0; self.head.outputs], trees: vec![] };
        ensemble.weights(self.inputs.rank_columns)
    }

    /// What goes to the head: `[rows, outputs]`.
    pub(crate) fn outputs(&self, weights: &Weights, encoded: &Encoded) -> Result<Vec<f32>> {
        let ensemble = self.ensemble(weights)?;
        let sums = ensemble.sums(&self.inputs, encoded);
        Ok(match self.kind {
            TreeKind::Boosted(_) => sums,
            TreeKind::Forest(_) => link(&sums, self.head, ensemble.trees.len()),
        })
    }
}

impl Shape {
    pub(super) fn boosted(spec: &GradientBoostingSpec) -> Self {
        Self {
            leaves: spec.leaves,
            max_depth: spec.max_depth.unwrap_or(DEPTH_MAX),
            limits: Limits {
                min_rows: spec.min_rows_per_leaf,
                min_hessian: spec.min_hessian_per_leaf,
                l2: spec.l2,
                min_gain: spec.min_gain,
            },
            order: Growth::BestFirst,
        }
    }

    pub(super) fn forest(spec: &RandomForestSpec) -> Self {
        Self {
            leaves: usize::MAX,
            max_depth: spec.max_depth.unwrap_or(DEPTH_MAX),
            limits: Limits { min_rows: spec.min_rows_per_leaf, min_hessian: 0.0, l2: 0.0, min_gain: 0.0 },
            order: Growth::DepthFirst,
        }
    }
}

fn within(name: &str, value: f64, [low, high]: [f64; 2]) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let range = match (low, high) {
        (f64::MIN_POSITIVE, f64::MAX) => "above 0".to_owned(),
        (f64::MIN_POSITIVE, high) => format!("above 0 and at most {high}"),
        (low, f64::MAX) => format!("at least {low}"),
        (low, high) => format!("{low} to {high}"),
    };
    Err(Error::invalid(format!("{name} is {value}, expected {range}")))
}
