//! Which network?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AutoSpec, EnsembleSpec, GradientBoostingSpec, RandomForestSpec};

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetSpec {
    /// Fully connected layers.
    Dense(DenseSpec),
    /// Linear or logistic regression: no hidden layer.
    Linear(LinearSpec),
    /// A linear model beside fully connected layers (Cheng et al. 2016).
    WideAndDeep(WideAndDeepSpec),
    /// Blocks of convolutions over a picture, each followed by a pool, then fully connected layers.
    Conv(ConvSpec),
    /// LeNet-5 (LeCun et al. 1998), with ReLU and max pools.
    Lenet(LenetSpec),
    /// A residual network over a picture (He et al. 2016).
    Resnet(ResnetSpec),
    /// Convolutions of several widths over the words of a text, and their largest values (Kim 2014).
    TextConv(TextConvSpec),
    /// LSTM or GRU layers over the words of a text or the steps of series.
    Recurrent(RecurrentSpec),
    /// A transformer encoder over the words of a text or the steps of series (Vaswani et al. 2017).
    Transformer(TransformerSpec),
    /// Gradient-boosted decision trees over histograms (Friedman 2001; Ke et al. 2017): often the best for tables.
    GradientBoosting(GradientBoostingSpec),
    /// The mean of many decision trees, each grown on other rows (Breiman 2001).
    RandomForest(RandomForestSpec),
    /// Several networks that answer together.
    Ensemble(EnsembleSpec),
    /// Whatever does best on the validation rows in a given time.
    Auto(AutoSpec),
    /// Gives back its input through a narrow code and tells unusual rows by the error: for anomalies of which there are too few
    /// to learn from (Hinton and Salakhutdinov 2006).
    Autoencoder(AutoencoderSpec),
    /// A published transformer encoder of BERT's kind (Devlin et al. 2019), with its tokenizer and its weights.
    Bert(BertSpec),
    /// EfficientNet-Lite0 over a colour picture (Tan and Le 2019), with published weights or from scratch.
    EfficientnetLite0(EfficientnetLite0Spec),
}

impl Default for NetSpec {
    fn default() -> Self {
        Self::Dense(DenseSpec::default())
    }
}

impl NetSpec {
    /// Whether it is made of decision trees.
    pub fn is_trees(&self) -> bool {
        matches!(self, Self::GradientBoosting(_) | Self::RandomForest(_))
    }
}

/// Fully connected layers; the last one (classes or one value) is added by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DenseSpec {
    /// Units of each hidden layer, first to last; none for a linear model.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Share of the hidden units left out at random while training, 0 to below 1.
    pub dropout: f64,
    /// Normalises the sums of each hidden layer before its activation.
    pub normalization: Normalization,
    /// Adds the input of a hidden layer to its output where both have as many units.
    pub residual: bool,
}

impl Default for DenseSpec {
    fn default() -> Self {
        Self {
            hidden: vec![128, 64],
            activation: Activation::Relu,
            dropout: 0.0,
            normalization: Normalization::None,
            residual: false,
        }
    }
}

/// Brings the sums of a layer to mean 0 and variance 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Left as they are.
    #[default]
    None,
    /// Over the rows of a batch (Ioffe and Szegedy 2015).
    Batch,
    /// Over the units of a layer (Ba et al. 2016).
    Layer,
}

/// Linear or logistic regression.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LinearSpec {}

/// A linear model beside fully connected layers; both are added up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WideAndDeepSpec {
    /// Units of each hidden layer, first to last.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Share of the hidden units left out at random while training, 0 to below 1.
    pub dropout: f64,
}

impl Default for WideAndDeepSpec {
    fn default() -> Self {
        Self { hidden: vec![128, 64], activation: Activation::Relu, dropout: 0.1 }
    }
}

/// An encoder, a narrow code and a decoder that is the encoder's mirror image. It learns from the rows of the usual class alone;
/// the error of a row becomes the probability of the other class by the validation rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AutoencoderSpec {
    /// The class whose rows are usual; where absent, the one with more training rows.
    pub usual: Option<String>,
    /// Units of each hidden layer of the encoder, first to last; the decoder has the same from last to first.
    pub hidden: Vec<usize>,
    /// Numbers of the code: fewer than the columns need, so that only what is usual passes.
    pub code: usize,
    /// Activation of the hidden layers; code and output have none.
    pub activation: Activation,
    /// Share of the input's numbers left out at random while training, which have to be given back all the same, 0 to below 1
    /// (Vincent et al. 2008).
    pub noise: f64,
    /// Share of the hidden units left out at random while training, 0 to below 1.
    pub dropout: f64,
}

impl Default for AutoencoderSpec {
    fn default() -> Self {
        Self { usual: None, hidden: vec![64, 32], code: 8, activation: Activation::Relu, noise: 0.0, dropout: 0.0 }
    }
}

/// Blocks of convolutions, as VGG has them (Simonyan and Zisserman 2015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvSpec {
    /// Channels of the convolutions of each block; a 2 x 2 max pool ends a block.
    pub blocks: Vec<Vec<usize>>,
    /// Height and width of the kernels: 1, 3, 5 or 7.
    pub kernel: usize,
    /// Normalises the sums of each convolution before its activation.
    pub normalization: Normalization,
    /// Activation of all layers.
    pub activation: Activation,
    /// Units of the fully connected layers behind the blocks.
    pub hidden: Vec<usize>,
    /// Share of the numbers left out at random while training before each fully connected layer, 0 to below 1.
    pub dropout: f64,
}

impl Default for ConvSpec {
    fn default() -> Self {
        Self {
            blocks: vec![vec![32, 32], vec![64, 64]],
            kernel: 3,
            normalization: Normalization::Batch,
            activation: Activation::Relu,
            hidden: vec![128],
            dropout: 0.3,
        }
    }
}

/// LeNet-5.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LenetSpec {
    /// Share of the numbers left out at random while training before each fully connected layer, 0 to below 1.
    pub dropout: f64,
}

/// A residual network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResnetSpec {
    /// Layers: 18 for pictures of some 64 pixels and more; 20, 32, 44 or 56, with fewer channels, for small ones.
    pub depth: usize,
    /// Share of the numbers left out at random while training before the last layer, 0 to below 1.
    pub dropout: f64,
}

impl Default for ResnetSpec {
    fn default() -> Self {
        Self { depth: 20, dropout: 0.0 }
    }
}

/// Convolutions over the words of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextConvSpec {
    /// Length of the vector of a word.
    pub dimension: usize,
    /// Words that a convolution sees at once, one convolution each.
    pub widths: Vec<usize>,
    /// Channels of each convolution.
    pub channels: usize,
    /// Share of the words' vectors and of the channels left out at random while training, 0 to below 1.
    pub dropout: f64,
}

impl Default for TextConvSpec {
    fn default() -> Self {
        Self { dimension: 128, widths: vec![3, 4, 5], channels: 100, dropout: 0.5 }
    }
}

/// Recurrent layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecurrentSpec {
    /// The cell.
    pub cell: CellSpec,
    /// Units of each layer and direction, first to last.
    pub units: Vec<usize>,
    /// Reads from both ends.
    pub bidirectional: bool,
    /// What of the last layer's outputs goes on.
    pub pooling: Pooling,
    /// Length of the vector of a word.
    pub dimension: usize,
    /// Units of the fully connected layers behind.
    pub hidden: Vec<usize>,
    /// Share of the numbers left out at random while training between the layers, 0 to below 1.
    pub dropout: f64,
}

impl Default for RecurrentSpec {
    fn default() -> Self {
        Self {
            cell: CellSpec::Lstm,
            units: vec![64],
            bidirectional: false,
            pooling: Pooling::Last,
            dimension: 128,
            hidden: vec![],
            dropout: 0.1,
        }
    }
}

/// A recurrent cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellSpec {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997).
    #[default]
    Lstm,
    /// Gated recurrent unit (Cho et al. 2014).
    Gru,
}

/// What of a sequence goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The last step.
    Last,
    /// The first step.
    First,
    /// The mean of all steps.
    #[default]
    Mean,
    /// The largest value of each number over all steps.
    Max,
}

/// A transformer encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerSpec {
    /// Length of the vector of a step.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of attention of each layer; they divide the width.
    pub heads: usize,
    /// Units of the fully connected layer inside each layer.
    pub feed_forward: usize,
    /// Activation of that layer.
    pub activation: Activation,
    /// What of the last layer's outputs goes on.
    pub pooling: Pooling,
    /// Share of the numbers left out at random while training, 0 to below 1.
    pub dropout: f64,
}

impl Default for TransformerSpec {
    fn default() -> Self {
        Self {
            width: 128,
            layers: 2,
            heads: 4,
            feed_forward: 256,
            activation: Activation::Gelu,
            pooling: Pooling::Mean,
            dropout: 0.1,
        }
    }
}

/// A published transformer encoder: BERT, RoBERTa, DistilBERT and what has their form, as MiniLM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BertSpec {
    /// A folder of Hugging Face: `config.json`, a tokenizer, weights. It is read for training; what was trained holds all
    /// it needs.
    pub folder: String,
    /// What of the last layer's outputs goes on: `first` is that of `[CLS]`.
    #[serde(default)]
    pub pooling: Pooling,
    /// Share of the numbers left out at random while training, 0 to below 1.
    #[serde(default = "tenth")]
    pub dropout: f64,
}

/// EfficientNet-Lite0: mobile inverted bottlenecks with ReLU6.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EfficientnetLite0Spec {
    /// Published weights to begin with (`efficientnet-lite0-*.pth`), which want pictures with `scale: symmetric`, best of
    /// 224 x 224 pixels; random ones where absent. It is read for training; what was trained holds all it needs.
    pub weights: Option<String>,
    /// Share of the numbers left out at random while training before the last layer, 0 to below 1.
    pub dropout: f64,
}

impl Default for EfficientnetLite0Spec {
    fn default() -> Self {
        Self { weights: None, dropout: 0.2 }
    }
}

fn tenth() -> f64 {
    0.1
}

impl NetSpec {
    /// The files and folders it names.
    pub fn paths_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Bert(spec) => vec![&mut spec.folder],
            Self::EfficientnetLite0(spec) => spec.weights.iter_mut().collect(),
            Self::Ensemble(spec) => spec.members.iter_mut().flat_map(super::MemberSpec::paths_mut).collect(),
            _ => vec![],
        }
    }
}

/// An activation function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// max(0, x).
    #[default]
    Relu,
    /// max(0, x), 6 at most.
    Relu6,
    /// x above 0, 0.01 x below.
    LeakyRelu,
    /// Hyperbolic tangent.
    Tanh,
    /// x times the normal distribution's share below x (Hendrycks and Gimpel 2016), exact.
    Gelu,
    /// x times its sigmoid (Elfwing et al. 2018).
    Silu,
}
