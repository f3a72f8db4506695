//! Published transformer encoders of BERT's kind on a text: layer normalisation behind each part (Devlin et al. 2019).

use std::path::Path;

use super::Head;
use super::picture::beside_table;
use super::plan::{Builder, NodeId, Plan};
use super::sequence::pooled;
use crate::features::NumericPart;
use crate::pretrained::{BertActivation, BertConfig};
use crate::spec::{Activation, BertSpec, Freeze, Pooling};
use crate::{Error, Result, Weights};

/// The encoder of a folder on the one text that the rows hold, beside the table, and a head.
pub(super) fn bert(spec: &BertSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.bert", &[], spec.dropout)?;
    let folder = Path::new(&spec.folder);
    let config = BertConfig::read(folder)?;
    let mut plan = Builder::new(numeric);
    let pooled = encoder(&mut plan, &config, folder, spec.pooling, spec.dropout)?;
    let mut value = beside_table(&mut plan, pooled)?;
    value = plan.dropout(value, spec.dropout);
    let frozen = match spec.freeze {
        Freeze::None => vec![],
        Freeze::Layers(count) if count <= config.layers => frozen(count),
        Freeze::Layers(count) => {
            return Err(Error::invalid(format!(
                "network.bert.freeze.layers is {count}, the network of {} has {}",
                spec.folder, config.layers
            )));
        }
        Freeze::All => frozen(config.layers),
    };
    frozen.iter().for_each(|prefix| plan.freeze(prefix));
    plan.finish(value, head)
}

/// What the names of the embeddings and the first layers begin with.
fn frozen(layers: usize) -> Vec<String> {
    let embeddings = ["words.", "positions.", "norm."].map(str::to_owned);
    embeddings.into_iter().chain((0..layers).map(|layer| format!("layer.{layer}."))).collect()
}

/// The encoder, and of its last layer's vectors `[tokens, width]` what `pooling` says: `[width]`.
pub(super) fn encoder(
    plan: &mut Builder,
    config: &BertConfig,
    folder: &Path,
    pooling: Pooling,
    dropout: f64,
) -> Result<NodeId> {
    let [text] = plan.numeric.texts.as_slice() else {
        let count = plan.numeric.texts.len();
        return Err(Error::invalid(format!(
            "network.bert reads one text, but the rows hold {count}; name one under features.include, as \
             features.columns.NAME.text"
        )));
    };
    check_text(config, folder, &text.name, text.vocabulary, text.length)?;
    let activation = match config.activation {
        BertActivation::Gelu => Activation::Gelu,
        BertActivation::Relu => Activation::Relu,
        BertActivation::GeluNew => {
            return Err(Error::Unsupported(format!(
                "{}: its layers use gelu_new, which networks here do not have; gelu and relu are",
                folder.display()
            )));
        }
    };
    let tokens = plan.tokens(0);
    let vectors = plan.vectors("words", tokens, text, config.width);
    let mut value = plan.positions("positions", vectors, text.length);
    value = plan.layer_norm("norm", value, config.epsilon);
    value = plan.dropout(value, dropout);
    for layer in 0..config.layers {
        let name = format!("layer.{layer}");
        let seen = plan.attention(&format!("{name}.attention"), value, Some(tokens), config.heads, dropout)?;
        let seen = plan.dropout(seen, dropout);
        let sum = plan.add(seen, value, None);
        value = plan.layer_norm(&format!("{name}.norm1"), sum, config.epsilon);
        let inner = plan.linear(&format!("{name}.inner"), value, config.feed_forward, Some(activation))?;
        let outer = plan.linear(&format!("{name}.outer"), inner, config.width, None)?;
        let outer = plan.dropout(outer, dropout);
        let sum = plan.add(outer, value, None);
        value = plan.layer_norm(&format!("{name}.norm2"), sum, config.epsilon);
    }
    Ok(pooled(plan, pooling, value, Some(tokens)))
}

/// Refuses a text column that was cut into other tokens than the encoder knows, or into more.
fn check_text(config: &BertConfig, folder: &Path, column: &str, tokens: usize, length: usize) -> Result<()> {
    let folder = folder.display();
    if tokens > config.tokens() {
        return Err(Error::invalid(format!(
            "column \"{column}\" has {tokens} different tokens, the network of {folder} knows {}; take the tokenizer of \
             the same folder (features.columns.{column}.text.tokenizer.file.path: {folder})",
            config.tokens()
        )));
    }
    if length > config.length {
        return Err(Error::invalid(format!(
            "column \"{column}\" has texts of up to {length} tokens, the network of {folder} reads {}; set \
             features.columns.{column}.text.length_max",
            config.length
        )));
    }
    Ok(())
}

/// The published weights of the encoder that `spec` names, for the texts of `numeric`.
pub(crate) fn published(spec: &BertSpec, numeric: &NumericPart) -> Result<Weights> {
    let folder = Path::new(&spec.folder);
    let [text] = numeric.texts.as_slice() else { return Err(Error::Internal("a network of texts without one".into())) };
    BertConfig::read(folder)?.weights(folder, crate::pretrained::read(folder)?, text.vocabulary, text.length)
}
