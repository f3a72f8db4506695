//! Which file of a folder has the weights, and which part of them?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::read_file;
use crate::{Error, Result, Weights};

/// Where the libraries write weights, best first.
const NAMES: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors",
    "weights.safetensors",
];
/// How the names of other files of weights end.
const ENDINGS: [&str; 4] = ["safetensors", "pth", "pt", "bin"];
/// Bytes an index may have.
const INDEX_BYTES_MAX: u64 = 100_000_000;

/// Which file of the folder has which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Reads the weights of a folder.
pub(super) fn read(folder: &Path) -> Result<Weights> {
    let file = weights_file(folder)?;
    match file.extension().is_some_and(|ending| ending == "json") {
        true => read_shards(folder, &file),
        false => read_file(&file),
    }
}

/// The one file of weights in a folder.
fn weights_file(folder: &Path) -> Result<PathBuf> {
    if let Some(file) = NAMES.iter().map(|name| folder.join(name)).find(|file| file.is_file()) {
        return Ok(file);
    }
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.is_file() && path.extension().is_some_and(|e| ENDINGS.iter().any(|ending| e == *ending)) {
            found.push(path);
        }
    }
    found.sort();
    let names = |found: &[PathBuf]| {
        let names = found.iter().filter_map(|file| file.file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join(", ")
    };
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::NotFound(format!(
            "{}: no weights in this folder; expected {}, or one file *.{}",
            folder.display(),
            NAMES[..4].join(", "),
            ENDINGS.join(", *.")
        ))),
        _ => Err(Error::invalid(format!(
            "{}: more than one file of weights ({}); name one of them",
            folder.display(),
            names(&found)
        ))),
    }
}

/// Reads the files an index names, and of each the tensors the index says it has.
fn read_shards(folder: &Path, index: &Path) -> Result<Weights> {
    let corrupt = |reason: String| Error::Corrupt { path: index.into(), reason };
    let text = super::text(index, INDEX_BYTES_MAX)?;
    let Index { weight_map } =
        serde_json::from_str(&text).map_err(|e| corrupt(format!("not an index of weights: {e}")))?;
    let mut tensors = BTreeMap::new();
    for file in weight_map.values().collect::<BTreeSet<_>>() {
        // An index must not lead out of its folder.
        if Path::new(file).file_name() != Some(file.as_ref()) {
            return Err(corrupt(format!("\"{}\" is not the name of a file of this folder", file.escape_debug())));
        }
        let mut shard = read_file(&folder.join(file))?;
        for name in weight_map.iter().filter(|(_, of)| *of == file).map(|(name, _)| name) {
            let tensor = shard.tensors.remove(name);
            let tensor =
                tensor.ok_or_else(|| corrupt(format!("\"{file}\" lacks tensor \"{}\"", name.escape_debug())))?;
            tensors.insert(name.clone(), tensor);
        }
    }
    Ok(Weights { tensors })
}
