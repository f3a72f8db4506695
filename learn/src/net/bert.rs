//! Published transformer encoders: BERT (Devlin et al. 2019) and what has its form.

use std::path::Path;

use super::Head;
use super::picture::beside_table;
use super::plan::{Builder, NodeId, Plan};
use super::sequence::{one_text, pooled};
use crate::features::NumericPart;
use crate::pretrained::{BertActivation, BertConfig};
use crate::spec::{Activation, BertSpec};
use crate::{Error, Result};

/// The encoder of a folder, what is pooled of it, and a last layer. What a published head had between (BERT's `pooler`) is
/// left out.
pub(super) fn bert(spec: &BertSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.bert", &[], spec.dropout)?;
    let config = BertConfig::read(Path::new(&spec.folder))?;
    let mut plan = Builder::new(numeric);
    let (value, tokens) = encoder(&mut plan, &config, spec.dropout)?;
    let value = pooled(&mut plan, spec.pooling, value, Some(tokens));
    let value = beside_table(&mut plan, value)?;
    let value = plan.dropout(value, spec.dropout);
    plan.finish(value, head)
}

/// The vectors of a text's tokens `[length, width]` behind the last layer, and the tokens. Every layer is normalised behind
/// its two parts, as the first transformers were. The names are those of [`BertConfig::weights`].
pub(crate) fn encoder(plan: &mut Builder, config: &BertConfig, dropout: f64) -> Result<(NodeId, NodeId)> {
    let text = one_text(plan, "bert")?;
    if text.vocabulary > config.tokens() {
        return Err(Error::invalid(format!(
            "column \"{}\": its tokenizer has {} tokens, the network of network.bert.folder knows {}; leave the tokenizer \
             out, so that it is that of the folder",
            text.name,
            text.vocabulary,
            config.tokens()
        )));
    }
    if text.length > config.length {
        return Err(Error::invalid(format!(
            "column \"{}\": texts have up to {} tokens, the network of network.bert.folder reads {}; lower \
             features.columns.{}.text.length_max",
            text.name, text.length, config.length, text.name
        )));
    }
    let activation = match config.activation {
        BertActivation::Gelu => Activation::Gelu,
        BertActivation::Relu => Activation::Relu,
        BertActivation::GeluNew => {
            return Err(Error::Unsupported(
                "network.bert.folder: its activation is gelu_new (by the hyperbolic tangent); gelu and relu are computed".into(),
            ));
        }
    };
    let tokens = plan.tokens(0);
    let mut value = plan.vectors("words", tokens, text, config.width);
    value = plan.positions("positions", value, text.length);
    value = plan.layer_norm("norm", value, config.epsilon);
    value = plan.dropout(value, dropout);
    for number in 0..config.layers {
        let name = format!("layer.{number}");
        let seen = plan.attention(&format!("{name}.attention"), value, Some(tokens), config.heads, dropout)?;
        let seen = plan.dropout(seen, dropout);
        value = plan.add(seen, value, None);
        value = plan.layer_norm(&format!("{name}.norm1"), value, config.epsilon);
        let inner = plan.linear(&format!("{name}.inner"), value, config.feed_forward, Some(activation))?;
        let outer = plan.linear(&format!("{name}.outer"), inner, config.width, None)?;
        let outer = plan.dropout(outer, dropout);
        value = plan.add(outer, value, None);
        value = plan.layer_norm(&format!("{name}.norm2"), value, config.epsilon);
    }
    Ok((value, tokens))
}
