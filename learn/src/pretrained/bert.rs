//! Which transformer encoder does a folder of Hugging Face hold, and which of its tensors are which of ours?
//!
//! BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and its descendants, DistilBERT (Sanh et al. 2019), and what is
//! distilled into their form, as MiniLM. They differ in names; what they compute is the same. Two things are folded into
//! the table of positions: the vector of the first type of token, which all tokens of a single text have, and RoBERTa's
//! first positions, which no token has.

use std::path::Path;

use serde_json::Value;

use super::layout::{linear, side_by_side};
use super::report::compare;
use crate::{Error, Result, Tensor, Weights};

/// Bytes a `config.json` may have.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Layers of the largest published ones, and room.
const LAYERS_MAX: usize = 64;
/// Width of the largest published ones, and room.
const WIDTH_MAX: usize = 8_192;
/// Tokens and positions.
const COUNT_MAX: usize = 1_000_000;

/// Whose names the tensors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BertFamily {
    /// BERT, MiniLM.
    Bert,
    /// RoBERTa, XLM-RoBERTa, CamemBERT.
    Roberta,
    /// DistilBERT.
    DistilBert,
}

/// The function inside the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BertActivation {
    /// x times the normal distribution's share below x, exact.
    Gelu,
    /// The same by the hyperbolic tangent.
    GeluNew,
    /// max(0, x).
    Relu,
}

/// The figures of a transformer encoder, as its folder's `config.json` states them.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Whose names the tensors have.
    pub family: BertFamily,
    /// Length of the vector of a token (`hidden_size`).
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of attention; they divide the width.
    pub heads: usize,
    /// Units of the fully connected layer inside each layer (`intermediate_size`).
    pub feed_forward: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Tokens a text may have.
    pub length: usize,
    /// Rows of the table of positions before that of a text's first token: RoBERTa's padding and what precedes it.
    pub first_position: usize,
    /// Rows of the table of token types; 0 where there is none.
    pub types: usize,
    /// The number of the padding.
    pub padding: usize,
    /// The function inside the layers.
    pub activation: BertActivation,
    /// What layer normalisation adds to the variance.
    pub epsilon: f32,
}

impl BertConfig {
    /// Reads the `config.json` of a folder; refuses by name what is not one of the families or computes something else.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = super::text(&path, CONFIG_BYTES_MAX)?;
        let config: Value = serde_json::from_str(&text)
            .map_err(|e| Error::Corrupt { path: path.clone(), reason: format!("not a config.json: {e}") })?;
        Self::parse(&Fields { config: &config, path: &path })
    }

    fn parse(fields: &Fields<'_>) -> Result<Self> {
        let family = match fields.text("model_type")? {
            "bert" => BertFamily::Bert,
            "roberta" | "xlm-roberta" | "camembert" => BertFamily::Roberta,
            "distilbert" => BertFamily::DistilBert,
            other => {
                return Err(fields.unsupported(format!(
                    "model_type \"{}\"; bert, roberta, xlm-roberta, camembert and distilbert are read",
                    other.escape_debug()
                )));
            }
        };
        fields.refuse_other("position_embedding_type", &["absolute"])?;
        for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
            if fields.config.get(key) == Some(&Value::Bool(true)) {
                return Err(fields.unsupported(format!("{key}: true; only encoders are read")));
            }
        }
        if fields.config.get("quantization_config").is_some_and(|value| !value.is_null()) {
            return Err(fields.unsupported("quantised weights; take the folder with those of floats".into()));
        }
        let distil = family == BertFamily::DistilBert;
        let key = |bert: &'static str, distilled: &'static str| if distil { distilled } else { bert };
        let padding = fields.number("pad_token_id", Some(usize::from(family == BertFamily::Roberta)), 0..=COUNT_MAX)?;
        let first_position = if family == BertFamily::Roberta { padding + 1 } else { 0 };
        let positions = fields.number("max_position_embeddings", Some(512), first_position + 1..=COUNT_MAX)?;
        let config = Self {
            family,
            width: fields.number(key("hidden_size", "dim"), None, 1..=WIDTH_MAX)?,
            layers: fields.number(key("num_hidden_layers", "n_layers"), None, 1..=LAYERS_MAX)?,
            heads: fields.number(key("num_attention_heads", "n_heads"), None, 1..=WIDTH_MAX)?,
            feed_forward: fields.number(key("intermediate_size", "hidden_dim"), None, 1..=4 * WIDTH_MAX)?,
            vocabulary: fields.number("vocab_size", None, 1..=COUNT_MAX)?,
            length: positions - first_position,
            first_position,
            types: if distil { 0 } else { fields.number("type_vocab_size", Some(2), 0..=COUNT_MAX)? },
            padding,
            activation: fields.activation(key("hidden_act", "activation"))?,
            epsilon: if distil { 1e-12 } else { fields.epsilon()? },
        };
        match config.width.is_multiple_of(config.heads) {
            true => Ok(config),
            false => {
                Err(fields
                    .invalid(format!("a width of {} cannot be divided into {} heads", config.width, config.heads)))
            }
        }
    }

    /// How many numbers of tokens there are for us, with whom 0 is padding: one more where the family has a word there.
    pub fn tokens(&self) -> usize {
        self.vocabulary + self.shift()
    }

    fn shift(&self) -> usize {
        usize::from(self.padding != 0)
    }

    /// The tensors as those of our network on texts of `length` tokens of `tokens` different ones: `words.weight`,
    /// `positions.weight`, `norm.*`, and per layer `layer.N.attention.qkv.*`, `.attention.output.*`, `.norm1.*`,
    /// `.inner.*`, `.outer.*`, `.norm2.*`.
    ///
    /// `path` is where they come from, for errors that list what is missing, misshapen or of another network.
    pub fn weights(&self, path: &Path, published: Weights, tokens: usize, length: usize) -> Result<Weights> {
        if length > self.length || tokens > self.tokens() {
            return Err(Error::Internal(format!(
                "texts of {length} tokens of {tokens} are asked of a network that reads {} of {}",
                self.length,
                self.tokens()
            )));
        }
        let published = self.canonical(published);
        compare(&path.display().to_string(), &self.expected(), &published, is_known)?;
        let mut ours = Weights::default();
        let mut add = |name: String, tensor: Tensor| ours.tensors.insert(name, tensor);
        let names = self.names();
        let mut words = published.get(names.words)?.clone();
        words.data.splice(..0, std::iter::repeat_n(0.0, self.shift() * self.width));
        words.data.truncate(tokens * self.width);
        words.shape[0] = tokens;
        add("words.weight".into(), words);
        let mut positions = published.get(names.positions)?.clone();
        positions.data.drain(..self.first_position * self.width);
        positions.data.truncate(length * self.width);
        positions.shape[0] = length;
        if self.types > 0 {
            let types = &published.get(TYPES)?.data[..self.width];
            for vector in positions.data.chunks_exact_mut(self.width) {
                vector.iter_mut().zip(types).for_each(|(x, of_type)| *x += of_type);
            }
        }
        add("positions.weight".into(), positions);
        for part in ["weight", "bias"] {
            let get = |name: &str| Ok(linear(published.get(&format!("{name}.{part}"))?));
            add(format!("norm.{part}"), get("embeddings.LayerNorm")?);
            for layer in 0..self.layers {
                let of = |name: &str| get(&names.of_layer(layer, name));
                let joined: Vec<Tensor> = names.attention.iter().map(|name| of(name)).collect::<Result<_>>()?;
                add(format!("layer.{layer}.attention.qkv.{part}"), side_by_side(&joined));
                for (ours, theirs) in OURS.iter().zip(names.rest) {
                    add(format!("layer.{layer}.{ours}.{part}"), of(theirs)?);
                }
            }
        }
        Ok(ours)
    }

    /// Names without the prefix of the whole model, and TensorFlow's names of gain and bias as PyTorch's.
    fn canonical(&self, published: Weights) -> Weights {
        let rename = |(name, tensor): (String, Tensor)| {
            let name = ["bert.", "roberta.", "distilbert.", "model."]
                .iter()
                .fold(name.as_str(), |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
            let name = match name.rsplit_once('.') {
                Some((of, "gamma")) => format!("{of}.weight"),
                Some((of, "beta")) => format!("{of}.bias"),
                _ => name.to_owned(),
            };
            (name, tensor)
        };
        Weights { tensors: published.tensors.into_iter().map(rename).collect() }
    }

    /// Name and shape of every tensor that is read.
    fn expected(&self) -> Vec<(String, Vec<usize>)> {
        let (names, width) = (self.names(), self.width);
        let mut expected = vec![
            (names.words.to_owned(), vec![self.vocabulary, width]),
            (names.positions.to_owned(), vec![self.first_position + self.length, width]),
            ("embeddings.LayerNorm.weight".to_owned(), vec![width]),
            ("embeddings.LayerNorm.bias".to_owned(), vec![width]),
        ];
        if self.types > 0 {
            expected.push((TYPES.to_owned(), vec![self.types, width]));
        }
        for layer in 0..self.layers {
            let mut linear = |name: &str, inputs: usize, outputs: usize| {
                let name = names.of_layer(layer, name);
                expected.push((format!("{name}.weight"), vec![outputs, inputs]));
                expected.push((format!("{name}.bias"), vec![outputs]));
            };
            names.attention.iter().for_each(|name| linear(name, width, width));
            let [output, norm1, inner, outer, norm2] = names.rest;
            linear(output, width, width);
            linear(inner, width, self.feed_forward);
            linear(outer, self.feed_forward, width);
            for norm in [norm1, norm2] {
                let name = names.of_layer(layer, norm);
                expected.extend(["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![width])));
            }
        }
        expected
    }

    fn names(&self) -> &'static Names {
        match self.family {
            BertFamily::Bert | BertFamily::Roberta => &BERT,
            BertFamily::DistilBert => &DISTIL_BERT,
        }
    }
}

/// Our names of the parts of a layer behind queries, keys and values, in the order of `Names::rest`.
const OURS: [&str; 5] = ["attention.output", "norm1", "inner", "outer", "norm2"];
const TYPES: &str = "embeddings.token_type_embeddings.weight";

/// How a family calls its tensors.
struct Names {
    words: &'static str,
    positions: &'static str,
    layer: &'static str,
    attention: [&'static str; 3],
    rest: [&'static str; 5],
}

impl Names {
    fn of_layer(&self, layer: usize, name: &str) -> String {
        format!("{}.{layer}.{name}", self.layer)
    }
}

const BERT: Names = Names {
    words: "embeddings.word_embeddings.weight",
    positions: "embeddings.position_embeddings.weight",
    layer: "encoder.layer",
    attention: ["attention.self.query", "attention.self.key", "attention.self.value"],
    rest: [
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ],
};

const DISTIL_BERT: Names = Names {
    words: "embeddings.word_embeddings.weight",
    positions: "embeddings.position_embeddings.weight",
    layer: "transformer.layer",
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    rest: ["attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"],
};

/// Whether a tensor belongs to a head that the network was trained with, or is no learned number.
fn is_known(name: &str) -> bool {
    let heads = ["pooler.", "cls.", "classifier.", "lm_head.", "qa_outputs.", "pre_classifier.", "vocab_"];
    heads.iter().any(|head| name.starts_with(head))
        || matches!(name, "embeddings.position_ids" | "embeddings.token_type_ids" | "logit_scale")
}

/// The keys of a `config.json`.
struct Fields<'a> {
    config: &'a Value,
    path: &'a Path,
}

impl Fields<'_> {
    fn invalid(&self, reason: String) -> Error {
        Error::invalid(format!("{}: {reason}", self.path.display()))
    }

    fn unsupported(&self, reason: String) -> Error {
        Error::Unsupported(format!("{}: not read: {reason}", self.path.display()))
    }

    fn text(&self, key: &str) -> Result<&str> {
        self.config.get(key).and_then(Value::as_str).ok_or_else(|| self.invalid(format!("{key} is missing")))
    }

    /// A key that may be absent and otherwise must have one of these values.
    fn refuse_other(&self, key: &str, expected: &[&str]) -> Result<()> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(value)) if expected.contains(&value.as_str()) => Ok(()),
            Some(value) => Err(self.unsupported(format!("{key}: {value}; only {} is", expected.join(", ")))),
        }
    }

    fn number(&self, key: &str, default: Option<usize>, range: std::ops::RangeInclusive<usize>) -> Result<usize> {
        let value = match (self.config.get(key), default) {
            (None | Some(Value::Null), Some(default)) => default,
            (None | Some(Value::Null), None) => return Err(self.invalid(format!("{key} is missing"))),
            (Some(value), _) => value
                .as_u64()
                .and_then(|value| usize::try_from(value).ok())
                .ok_or_else(|| self.invalid(format!("{key} is {value}, expected a whole number")))?,
        };
        match range.contains(&value) {
            true => Ok(value),
            false => Err(self.invalid(format!("{key} is {value}, expected {} to {}", range.start(), range.end()))),
        }
    }

    fn epsilon(&self) -> Result<f32> {
        let value = match self.config.get("layer_norm_eps") {
            None => 1e-12,
            Some(value) => value.as_f64().unwrap_or(f64::NAN),
        };
        match value > 0.0 && value < 1.0 {
            true => Ok(value as f32),
            false => Err(self.invalid(format!("layer_norm_eps is {value}, expected above 0 to below 1"))),
        }
    }

    fn activation(&self, key: &str) -> Result<BertActivation> {
        match self.text(key)? {
            "gelu" => Ok(BertActivation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(BertActivation::GeluNew),
            "relu" => Ok(BertActivation::Relu),
            other => Err(self.unsupported(format!("{key} \"{}\"; gelu, gelu_new and relu are", other.escape_debug()))),
        }
    }
}

#[cfg(test)]
mod tests;
