//! What does a network that somebody asked for consist of, and what does it begin with?

use super::ensemble::{Ensemble, ensemble};
use super::plan::Plan;
use super::{
    Head, Layers, autoencoder, bert, check_weights, efficientnet, initial_weights, layers, picture, plan, sequence,
    tabular,
};
use crate::features::NumericPart;
use crate::spec::{DenseSpec, NetSpec, Normalization};
use crate::trees::TreeDesign;
use crate::{Error, Result, Weights};

/// A network before it has weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Design {
    /// Plain fully connected layers, which have kernels of their own.
    Dense(Layers),
    /// Any other network.
    Plan(Plan),
    /// Decision trees.
    Trees(TreeDesign),
    /// Several networks, each with weights of its own.
    Ensemble(Ensemble),
}

/// What `net` becomes on these features and this head. Refuses impossible sizes, naming setting or layer.
pub(crate) fn design(net: &NetSpec, numeric: &NumericPart, head: Head) -> Result<Design> {
    let plan = match net {
        NetSpec::Dense(spec) if is_plain(spec, numeric) => return Ok(Design::Dense(layers(spec, numeric, head)?)),
        NetSpec::Linear(_) if is_plain(&linear(), numeric) => {
            return Ok(Design::Dense(layers(&linear(), numeric, head)?));
        }
        NetSpec::GradientBoosting(spec) => return TreeDesign::boosted(spec, numeric, head).map(Design::Trees),
        NetSpec::RandomForest(spec) => return TreeDesign::forest(spec, numeric, head).map(Design::Trees),
        NetSpec::Ensemble(spec) => return Ok(Design::Ensemble(ensemble(spec, numeric, head)?)),
        NetSpec::Auto(_) => {
            return Err(Error::invalid(
                "network auto is decided by a run of the whole model; here one network is needed",
            ));
        }
        NetSpec::Dense(spec) => tabular::dense(spec, numeric, head),
        NetSpec::Linear(_) => tabular::dense(&linear(), numeric, head),
        NetSpec::WideAndDeep(spec) => tabular::wide_and_deep(spec, numeric, head),
        NetSpec::Autoencoder(spec) => autoencoder::autoencoder(spec, numeric, head),
        NetSpec::Conv(spec) => picture::conv(spec, numeric, head),
        NetSpec::Lenet(spec) => picture::lenet(spec, numeric, head),
        NetSpec::Resnet(spec) => picture::resnet(spec, numeric, head),
        NetSpec::TextConv(spec) => sequence::text_conv(spec, numeric, head),
        NetSpec::Recurrent(spec) => sequence::recurrent(spec, numeric, head),
        NetSpec::Transformer(spec) => sequence::transformer(spec, numeric, head),
        NetSpec::EfficientnetLite0(spec) => efficientnet::lite0(spec, numeric, head),
        NetSpec::Bert(spec) => bert::bert(spec, numeric, head),
    };
    plan.map(Design::Plan)
}

fn linear() -> DenseSpec {
    DenseSpec { hidden: vec![], ..DenseSpec::default() }
}

/// Whether the dense kernels know all of it.
fn is_plain(spec: &DenseSpec, numeric: &NumericPart) -> bool {
    let layers =
        spec.normalization == Normalization::None && !spec.residual && spec.activation.has_gradient_of_output();
    layers && numeric.texts.is_empty() && numeric.series.is_empty()
}

impl Design {
    /// What becomes of the last layer's outputs.
    pub(crate) fn head(&self) -> Head {
        match self {
            Self::Dense(layers) => layers.head,
            Self::Plan(plan) => plan.head,
            Self::Trees(trees) => trees.head,
            Self::Ensemble(ensemble) => ensemble.head,
        }
    }

    /// How many numbers are learned; trees and the members of an ensemble say it themselves.
    pub(crate) fn parameters(&self) -> usize {
        match self {
            Self::Dense(layers) => layers.parameters(),
            Self::Plan(plan) => plan.learned(),
            Self::Trees(_) | Self::Ensemble(_) => 0,
        }
    }

    /// Refuses weights that are not this network's, listing every missing, extra and misshapen tensor.
    pub(crate) fn check(&self, weights: &Weights) -> Result<()> {
        match self {
            Self::Trees(trees) => trees.ensemble(weights).map(|_| ()),
            Self::Ensemble(ensemble) => ensemble.check(weights),
            plain => check_weights(&plain.shapes(), weights),
        }
    }

    /// The same, of which the tensors whose names fit one of the patterns are not learned. Refuses a pattern without one.
    pub(crate) fn frozen(self, patterns: &[String], numeric: &NumericPart) -> Result<Self> {
        let mut plan = match self {
            design if patterns.is_empty() => return Ok(design),
            // The dense kernels move every weight.
            Self::Dense(layers) => tabular::plain(&layers, numeric)?,
            Self::Plan(plan) => plan,
            Self::Ensemble(_) | Self::Trees(_) => {
                return Err(Error::invalid(
                    "train.freeze is for a single network; an ensemble has it under its members",
                ));
            }
        };
        plan.freeze(patterns)?;
        Ok(Self::Plan(plan))
    }

    /// Name and shape of every tensor; of an ensemble its members know them.
    pub(crate) fn shapes(&self) -> Vec<(&str, Vec<usize>)> {
        match self {
            Self::Dense(layers) => layers.shapes(),
            Self::Plan(plan) => plan.shapes(),
            // Members of an ensemble are asked one by one; trees say themselves what fits.
            Self::Ensemble(_) | Self::Trees(_) => vec![],
        }
    }

    /// The tensors of the last layer; none of an ensemble.
    pub(crate) fn last_layer(&self) -> Vec<&str> {
        match self {
            Self::Dense(layers) => layers.dense.last().map_or(vec![], |last| vec![&last.weight, &last.bias]),
            Self::Plan(plan) => plan.last_layer(),
            Self::Ensemble(_) | Self::Trees(_) => vec![],
        }
    }

    /// The first weights: a function of the design and the seed alone.
    pub(crate) fn initial_weights(&self, seed: u64) -> Weights {
        match self {
            Self::Dense(layers) => initial_weights(layers, seed),
            Self::Plan(plan) => plan::initial_weights(plan, seed),
            Self::Trees(trees) => trees.initial_weights(),
            Self::Ensemble(ensemble) => ensemble.initial_weights(seed),
        }
    }
}
