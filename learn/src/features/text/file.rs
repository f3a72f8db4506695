//! Which tokenizers come in files? WordPiece (BERT), byte-pair encoding (GPT-2), and all that a `tokenizer.json` of
//! Hugging Face describes; run by the `tokenizers` crate, kept as one `tokenizer.json` within the model.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::features::TextInput;
use crate::spec::{BytePairSpec, TokenizerFileSpec, WordPieceSpec};
use crate::{Error, Result};

/// Largest file of a tokenizer, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Most tokens of a vocabulary; each becomes a row of learned numbers.
const TOKENS_MAX: usize = 1_000_000;

/// A tokenizer from a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct FileTokenizer {
    /// Its `tokenizer.json`.
    json: Arc<Value>,
    inner: Arc<tokenizers::Tokenizer>,
    /// Added to its token numbers: 0 where its token 0 is the padding, 1 where token 0 is a word, since 0 is padding here.
    offset: i32,
    /// Number of token numbers, padding included.
    cardinality: usize,
    /// Stands in for a text without tokens.
    unknown: i32,
}

impl PartialEq for FileTokenizer {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl TryFrom<Value> for FileTokenizer {
    type Error = String;

    fn try_from(json: Value) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::from_str(&json.to_string()).map_err(|e| e.to_string())?;
        inner.with_truncation(None).map_err(|e| e.to_string())?;
        inner.with_padding(None);
        let vocabulary = inner.get_vocab(true);
        let last = vocabulary.values().max().ok_or("its vocabulary is empty")?;
        let is_padding =
            |token: &str| matches!(token.to_lowercase().as_str(), "[pad]" | "<pad>" | "<|pad|>" | "<blank>");
        let stated = json.pointer("/padding/pad_id").and_then(Value::as_u64) == Some(0);
        let offset = i32::from(!(stated || inner.id_to_token(0).is_some_and(|token| is_padding(&token))));
        let cardinality = *last as usize + 1 + offset as usize;
        if cardinality > TOKENS_MAX {
            return Err(format!("{cardinality} tokens, {TOKENS_MAX} are allowed"));
        }
        let unknown = ["[UNK]", "<unk>", "<|endoftext|>", "</s>"];
        let unknown = unknown.iter().find_map(|token| vocabulary.get(*token)).map_or(1, |&id| id as i32 + offset);
        Ok(Self { json: Arc::new(json), inner: Arc::new(inner), offset, cardinality, unknown })
    }
}

impl From<FileTokenizer> for Value {
    fn from(tokenizer: FileTokenizer) -> Self {
        Arc::unwrap_or_clone(tokenizer.json)
    }
}

impl FileTokenizer {
    /// Number of token numbers, padding included.
    pub(crate) fn cardinality(&self) -> usize {
        self.cardinality
    }

    /// The number of a token that is not in its vocabulary.
    pub(crate) fn unknown(&self) -> i32 {
        self.unknown
    }

    /// The pieces of a text, special tokens left out.
    pub(super) fn pieces(&self, text: &str) -> Vec<String> {
        // Encoding fails for broken pairs and truncation only, of which there are none.
        self.inner.encode_fast(text, false).map_or(Vec::new(), |encoding| encoding.get_tokens().to_vec())
    }

    /// How many tokens a text has, special ones included.
    pub(super) fn count(&self, text: &str) -> usize {
        self.inner.encode_fast(text, true).map_or(0, |encoding| encoding.len())
    }

    /// Writes the token numbers of a text: the first ones where it is longer, its last special tokens kept.
    pub(crate) fn write(&self, text: &str, out: &mut [i32]) {
        out.fill(TextInput::PADDING);
        let Ok(encoding) = self.inner.encode_fast(text, true) else { return };
        let (ids, special) = (encoding.get_ids(), encoding.get_special_tokens_mask());
        let number = |id: u32| id as i32 + self.offset;
        match ids.len() <= out.len() {
            true => out.iter_mut().zip(ids).for_each(|(slot, &id)| *slot = number(id)),
            false => {
                let last = special.iter().rev().take_while(|&&special| special == 1).count().min(out.len());
                let kept = ids[..out.len() - last].iter().chain(&ids[ids.len() - last..]);
                out.iter_mut().zip(kept).for_each(|(slot, &id)| *slot = number(id));
            }
        }
        if ids.is_empty()
            && let Some(first) = out.first_mut()
        {
            *first = self.unknown;
        }
    }

    /// BERT's: cleaned, cut at blanks and punctuation, in lower case without accents where asked, then the longest known
    /// pieces (Devlin et al. 2019; `BertTokenizer`).
    pub(super) fn word_piece(spec: &WordPieceSpec) -> Result<Self> {
        let text = read(&spec.vocabulary)?;
        let vocabulary: Map<String, Value> =
            text.lines().map(str::trim_end).zip(0_u32..).map(|(token, id)| (token.to_owned(), json!(id))).collect();
        let special = |token: &str| {
            let missing = || {
                Error::invalid(format!(
                    "{}: no token {token}, which a vocabulary of BERT's kind has; one token in each line",
                    spec.vocabulary
                ))
            };
            vocabulary.get(token).cloned().ok_or_else(missing)
        };
        let (cls, sep) = (special("[CLS]")?, special("[SEP]")?);
        special("[UNK]")?;
        Self::described(
            &spec.vocabulary,
            json!({
                "version": "1.0",
                "added_tokens": [],
                "normalizer": {
                    "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                    "lowercase": spec.lower_case,
                },
                "pre_tokenizer": { "type": "BertPreTokenizer" },
                "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls] },
                "model": {
                    "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100, "vocab": vocabulary,
                },
            }),
        )
    }

    /// GPT-2's: bytes as characters, joined by the merges in their order (Radford et al. 2019; Sennrich et al. 2016).
    pub(super) fn byte_pair(spec: &BytePairSpec) -> Result<Self> {
        Self::described(&spec.merges, pairs(spec)?)
    }

    /// The tokenizer of a folder of Hugging Face: its `tokenizer.json`, else the vocabulary of BERT's kind (`vocab.txt`,
    /// with `do_lower_case` of `tokenizer_config.json`) or that of RoBERTa's (`vocab.json` and `merges.txt`).
    ///
    /// # Errors
    /// A folder with none of these files, or with broken ones, by name.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let has = |name: &str| folder.join(name).is_file();
        if has("tokenizer.json") {
            return Self::read(&TokenizerFileSpec { path: path("tokenizer.json") });
        }
        if has("vocab.txt") {
            let lower_case = has("tokenizer_config.json")
                && matches!(
                    serde_json::from_str::<Value>(&read(&path("tokenizer_config.json"))?),
                    Ok(config) if config.get("do_lower_case") == Some(&json!(true))
                );
            return Self::word_piece(&WordPieceSpec { vocabulary: path("vocab.txt"), lower_case });
        }
        if has("vocab.json") && has("merges.txt") {
            let spec = BytePairSpec { vocabulary: path("vocab.json"), merges: path("merges.txt") };
            return Self::described(&spec.merges, between(&spec, ["<s>", "</s>"])?);
        }
        Err(Error::NotFound(format!(
            "{}: no tokenizer in this folder; expected tokenizer.json, vocab.txt, or vocab.json with merges.txt",
            folder.display()
        )))
    }

    /// A `tokenizer.json`.
    pub(super) fn read(spec: &TokenizerFileSpec) -> Result<Self> {
        let json = serde_json::from_str(&read(&spec.path)?)
            .map_err(|e| Error::invalid(format!("{}: no tokenizer.json: {e}", spec.path)))?;
        Self::described(&spec.path, json)
    }

    fn described(path: &str, json: Value) -> Result<Self> {
        Self::try_from(json).map_err(|reason| Error::invalid(format!("{path}: no tokenizer: {reason}")))
    }
}

/// The `tokenizer.json` of byte-pair encoding.
fn pairs(spec: &BytePairSpec) -> Result<Value> {
    let vocabulary: Map<String, Value> = serde_json::from_str(&read(&spec.vocabulary)?)
        .map_err(|e| Error::invalid(format!("{}: no vocab.json of pieces and numbers: {e}", spec.vocabulary)))?;
    let merges = read(&spec.merges)?;
    let merges: Vec<&str> =
        merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty()).collect();
    Ok(json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": merges },
    }))
}

/// The same between a first and a last token, as RoBERTa has it.
fn between(spec: &BytePairSpec, ends: [&str; 2]) -> Result<Value> {
    let mut described = pairs(spec)?;
    let number = |token: &str| {
        let missing = || Error::invalid(format!("{}: no token {token}, which RoBERTa has", spec.vocabulary));
        described.pointer("/model/vocab").and_then(|all| all.get(token)).cloned().ok_or_else(missing)
    };
    let (first, last) = (number(ends[0])?, number(ends[1])?);
    described["post_processor"] = json!({
        "type": "RobertaProcessing", "cls": [ends[0], first], "sep": [ends[1], last],
        "trim_offsets": true, "add_prefix_space": false,
    });
    Ok(described)
}

fn read(path: &str) -> Result<String> {
    let path = Path::new(path);
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if length > FILE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{}: {length} bytes, a tokenizer's file has {FILE_BYTES_MAX} at most",
            path.display()
        )));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{}: not UTF-8 text", path.display())))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
