//! Which weights have others published, and which of our networks are they?
//!
//! *Good for*: reading safetensors and PyTorch files and folders of Hugging Face.
//! *Not for*: our own files (`weights`), what a network computes (`net`).
//!
//! Files of weights come from strangers: nothing in them is executed, memory grows with the size of the file, and every
//! length a file states is compared with what is there.

mod bert;
pub mod efficientnet;
mod fault;
mod folder;
mod format;
mod layout;
mod pickle;
mod report;
mod safetensors;
mod sentence;
mod torch;
mod zip;

use std::path::Path;

use efficientnet::EfficientNetLite;

pub use bert::{BertActivation, BertConfig, BertFamily};
pub(crate) use report::compare;
pub use sentence::SentenceEncoder;

use crate::features::NumericPart;
use crate::spec::{EfficientnetLite0Spec, NetSpec};
use crate::{Error, Result, Weights};

/// Reads published weights as `f32`, under the names they were published with.
///
/// `path` is a file of safetensors, a file of `torch.save` (`.pth`, `.pt`, `.bin`; a state dict, or a checkpoint with one
/// under `state_dict`, `model` and the like), or a folder with one of these or with an index of several. Half and double
/// floats, integers and booleans are converted. Refuses a file that asks to run anything, by the name of that; errors name
/// the file, the tensor and the reason.
pub fn read(path: impl AsRef<Path>) -> Result<Weights> {
    let path = path.as_ref();
    match path.is_dir() {
        true => folder::read(path),
        false => read_file(path),
    }
}

/// The published weights that a network begins with, under our names; none where it begins with random ones.
pub(crate) fn start(net: &NetSpec, numeric: &NumericPart) -> Result<Option<Weights>> {
    match (net, numeric.texts.as_slice()) {
        (NetSpec::Bert(spec), [text]) => {
            let folder = Path::new(&spec.folder);
            BertConfig::read(folder)?.weights(folder, read(folder)?, text.vocabulary, text.length).map(Some)
        }
        (NetSpec::EfficientnetLite0(EfficientnetLite0Spec { weights: Some(path), .. }), _) => {
            let path = Path::new(path);
            EfficientNetLite::of_size(0)?.weights(path, &read(path)?).map(Some)
        }
        _ => Ok(None),
    }
}

fn read_file(path: &Path) -> Result<Weights> {
    // A pipe or a device has no size that memory could be bounded by.
    let about = path.metadata().map_err(|e| Error::io(path, e))?;
    if !about.is_file() {
        return Err(Error::invalid(format!("{}: not a file", path.display())));
    }
    let file = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    parse(&file).map_err(|fault| fault.at(path))
}

/// Reads a file of weights, whose kind its first bytes tell.
fn parse(file: &[u8]) -> fault::Parsed<Weights> {
    let kinds: [(&[u8], &str); 4] = [
        (b"\x89HDF", "HDF5 (Keras); save it as safetensors"),
        (b"GGUF", "GGUF; take the safetensors of the same model"),
        (b"\x80", "a pickle that is not of torch.save"),
        (b"\x08", "ONNX"),
    ];
    match file {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => torch::read_zip(file),
        _ if file.starts_with(torch::MAGIC) => torch::read_legacy(file),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(file),
        _ => {
            let kind = kinds
                .iter()
                .find(|(magic, _)| file.starts_with(magic))
                .map(|(_, kind)| format!("; it looks like {kind}"));
            fault::broken(format!(
                "not a file of weights, expected safetensors or torch.save{}",
                kind.unwrap_or_default()
            ))
        }
    }
}

/// A text file of a model's folder.
fn text(path: &Path, bytes_max: u64) -> Result<String> {
    let bytes = path.metadata().map_err(|e| Error::io(path, e))?.len();
    if bytes > bytes_max {
        return Err(Error::Corrupt { path: path.into(), reason: format!("{bytes} bytes, {bytes_max} are allowed") });
    }
    std::fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
pub(crate) mod tests;
