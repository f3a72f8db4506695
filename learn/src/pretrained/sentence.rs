//! Where does a sentence lie? Vectors by a published encoder, near to one another where sentences mean the same.

use std::fmt;
use std::path::Path;

use super::BertConfig;
use crate::features::{Encoded, FileTokenizer, NumericPart, TextInput, TokenBlock};
use crate::kernels::Update;
use crate::net::plan::{Builder, PlanNet};
use crate::net::{Batch, Head, HeadActivation, HeadLoss, bert_encoder};
use crate::{Error, Result};

/// Tokens read of a sentence where the folder's `sentence_bert_config.json` does not say.
const LENGTH: usize = 256;
/// Bytes of that file.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Sentences worked on at once.
const ROWS: usize = 32;
/// Shorter vectors have no direction (`torch.nn.functional.normalize`).
const NORM_MIN: f32 = 1e-12;

/// A published encoder with its tokenizer: sentences to vectors of length 1, the mean of their tokens' (Reimers and
/// Gurevych 2019).
pub struct SentenceEncoder {
    tokenizer: FileTokenizer,
    net: PlanNet,
    numeric: NumericPart,
    width: usize,
}

impl fmt::Debug for SentenceEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentenceEncoder").field("width", &self.width).finish_non_exhaustive()
    }
}

impl SentenceEncoder {
    /// Reads a folder of Hugging Face. `length_max` is the most tokens read of a sentence; where it is none, what the
    /// folder's `sentence_bert_config.json` says, else 256; never more than the encoder has positions.
    ///
    /// # Errors
    /// A folder that is no encoder of BERT's kind, by file and key or tensor.
    pub fn read(folder: impl AsRef<Path>, length_max: Option<usize>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = BertConfig::read(folder)?;
        let tokenizer = FileTokenizer::of_folder(folder)?;
        let length = match length_max {
            Some(length) => length,
            None => stated_length(folder)?.unwrap_or(LENGTH),
        };
        let text = TextInput {
            name: "sentence".into(),
            length: length.clamp(1, config.length),
            vocabulary: tokenizer.cardinality(),
            unknown: tokenizer.unknown(),
        };
        let weights = config.weights(folder, super::read(folder)?, text.vocabulary, text.length)?;
        let numeric = NumericPart { texts: vec![text], ..NumericPart::default() };
        let mut plan = Builder::new(&numeric);
        let (value, tokens) = bert_encoder(&mut plan, &config, 0.0)?;
        plan.mean(value, Some(tokens));
        let (activation, loss) = (HeadActivation::Linear, HeadLoss::SquaredError);
        let plan = plan.end(Head { outputs: config.width, activation, loss, smoothing: 0.0 })?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let net = PlanNet::new(plan, &weights, ROWS, &Update::NONE, threads)?;
        Ok(Self { tokenizer, net, numeric, width: config.width })
    }

    /// Length of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// A vector of length 1 per sentence, in their order: `[sentences, width]`. The scalar product of two is their
    /// similarity, -1 to 1.
    pub fn encode(&mut self, sentences: &[impl AsRef<str>]) -> Result<Vec<Vec<f32>>> {
        let Some(text) = self.numeric.texts.first() else { return Err(Error::Internal("a text is gone".into())) };
        let length = text.length;
        let mut tokens = vec![TextInput::PADDING; sentences.len() * length];
        for (sentence, slots) in sentences.iter().zip(tokens.chunks_exact_mut(length)) {
            self.tokenizer.write(sentence.as_ref(), slots);
        }
        // Sentences of like length together: a batch is as long as its longest one.
        let filled = |row: &u32| tokens[*row as usize * length..][..length].iter().filter(|token| **token != 0).count();
        let mut rows: Vec<u32> = (0..sentences.len() as u32).collect();
        rows.sort_by_cached_key(filled);
        let block = TokenBlock { length, tokens };
        let encoded = Encoded { rows: sentences.len(), texts: vec![block], ..Encoded::default() };
        let mut vectors = vec![Vec::new(); sentences.len()];
        for rows in rows.chunks(ROWS) {
            let mut out = Vec::with_capacity(rows.len() * self.width);
            self.net.logits(Batch { numeric: &self.numeric, encoded: &encoded, rows }, &mut out);
            for (row, vector) in rows.iter().zip(out.chunks_exact_mut(self.width)) {
                let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(NORM_MIN);
                vector.iter_mut().for_each(|x| *x /= norm);
                vectors[*row as usize] = vector.to_vec();
            }
        }
        Ok(vectors)
    }
}

/// What `sentence_bert_config.json` says, where there is one.
fn stated_length(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join("sentence_bert_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = super::text(&path, CONFIG_BYTES_MAX)?;
    let config: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| Error::Corrupt { path, reason: format!("not a configuration of sentences: {e}") })?;
    Ok(config.get("max_seq_length").and_then(serde_json::Value::as_u64).and_then(|length| usize::try_from(length).ok()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::pretrained::tests::folder;

    /// Written by `bench/pretrained/folders.py`.
    #[derive(Deserialize)]
    struct Expected {
        sentences: Vec<String>,
        vectors: Vec<Vec<f32>>,
    }

    #[test]
    fn sentences_lie_where_transformers_puts_them() {
        for name in ["bert", "roberta", "distilbert"] {
            let file = std::fs::read_to_string(folder(name).join("expected.json")).unwrap();
            let Expected { sentences, vectors } = serde_json::from_str(&file).unwrap();
            let mut encoder = SentenceEncoder::read(folder(name), None).unwrap();
            assert_eq!(encoder.width(), 8);
            let found = encoder.encode(&sentences).unwrap();
            assert_eq!(found.len(), vectors.len());
            for (sentence, (found, expected)) in sentences.iter().zip(found.iter().zip(&vectors)) {
                let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 2e-6, "{name}: \"{sentence}\" is off by {off}");
            }
            // Alone as among others, and in any order.
            let alone = encoder.encode(&sentences[2..3]).unwrap();
            let off = alone[0].iter().zip(&found[2]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-6, "{name}: alone off by {off}");
            assert_eq!(encoder.encode(&[""; 0]).unwrap(), Vec::<Vec<f32>>::new());
        }
    }

    #[test]
    fn longer_sentences_are_cut_to_what_the_encoder_reads() {
        let mut encoder = SentenceEncoder::read(folder("bert"), Some(4)).unwrap();
        let vectors = encoder.encode(&["the tide", "the tide turns the mill by the sea"]).unwrap();
        assert_eq!(vectors[0], vectors[1]);
        assert_eq!(SentenceEncoder::read(folder("bert"), Some(9_999)).unwrap().numeric.texts[0].length, 16);
    }
}
