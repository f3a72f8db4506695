//! Which decision trees?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gradient-boosted trees: each follows the gradient that those before it have left. They read raw values, missing ones
/// too; an epoch is one tree (one per class where there are several). Of `train` only `loss`, `class_weights`, `balance`,
/// `label_smoothing`, `seed` and `early_stopping` without its `patience` matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradientBoostingSpec {
    /// Trees at most (of each class where there are more than two).
    pub trees: usize,
    /// What of a tree's answer is added, above 0.
    pub learning_rate: f64,
    /// Leaves of a tree at most; the leaf with the largest gain is split next.
    pub leaves: usize,
    /// Most splits from the root to a leaf; as many as there are leaves where absent.
    pub max_depth: Option<usize>,
    /// Training rows that a leaf has at least, counted by their share of the Hessian.
    pub min_rows_per_leaf: usize,
    /// Sum of second derivatives that a leaf has at least.
    pub min_hessian_per_leaf: f64,
    /// L2 penalty of the leaves' values, at least 0.
    pub l2: f64,
    /// What a split has to gain, at least 0.
    pub min_gain: f64,
    /// Bins of a number at most, 2 to 255; between them lie the thresholds that are tried. Missing values have their own.
    pub bins: usize,
    /// Share of the training rows that a tree learns from, drawn anew for each; above 0, at most 1.
    pub row_fraction: f64,
    /// Share of the inputs that a tree may use, drawn anew for each; above 0, at most 1.
    pub feature_fraction: f64,
    /// Trees without a gain of the validation figure before training ends; in place of `train.early_stopping.patience`.
    pub patience: usize,
}

impl Default for GradientBoostingSpec {
    fn default() -> Self {
        Self {
            trees: 100,
            learning_rate: 0.1,
            leaves: 31,
            max_depth: None,
            min_rows_per_leaf: 20,
            min_hessian_per_leaf: 1e-3,
            l2: 0.0,
            min_gain: 0.0,
            bins: 255,
            row_fraction: 1.0,
            feature_fraction: 1.0,
            patience: 30,
        }
    }
}

/// A random forest (Breiman 2001): the mean of trees, each grown on rows drawn with replacement, each question the best of
/// some inputs drawn for it. They read raw values, missing ones too; an epoch is one tree (one per class where there are more
/// than two). All trees are kept: more of them do not over-fit. Of `train` only `class_weights`, `balance` and `seed` matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomForestSpec {
    /// Trees (of each class where there are more than two).
    pub trees: usize,
    /// Most splits from the root to a leaf; 256 where absent.
    pub max_depth: Option<usize>,
    /// Training rows that a leaf has at least.
    pub min_rows_per_leaf: usize,
    /// Bins of a number at most, 2 to 255; between them lie the thresholds that are tried. Missing values have their own.
    pub bins: usize,
    /// Rows drawn for a tree, as a share of the training rows; above 0, at most 1.
    pub row_fraction: f64,
    /// Share of the inputs that a question may be about, drawn anew for each; above 0, at most 1. Where absent, the square root
    /// of their number for classes and a third of them for values.
    pub features_per_split: Option<f64>,
}

impl Default for RandomForestSpec {
    fn default() -> Self {
        Self {
            trees: 100,
            max_depth: None,
            min_rows_per_leaf: 2,
            bins: 255,
            row_fraction: 1.0,
            features_per_split: None,
        }
    }
}
