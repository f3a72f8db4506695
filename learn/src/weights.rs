//! The learned numbers of a network, by name, and their file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::{Error, Result};

/// An `f32` tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub data: Vec<f32>,
}

/// The learned numbers of a network, by name: `dense.0.weight` `[inputs, outputs]`, `dense.0.bias` `[outputs]`, ...,
/// `embedding.COLUMN.weight` `[cardinality, dimension]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// How many numbers there are.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.data.len()).sum()
    }

    /// The tensor of this name, or an error that names it.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::NotFound(format!("no tensor \"{name}\" among the weights")))
    }

    /// Writes a safetensors file: a reader sees the old file or the new, never half of one.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
        write_atomically(path, &to_bytes(tensors, None)?)
    }

    /// Reads a safetensors file of `f32` tensors.
    pub fn load(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Ok(from_bytes(path, &file)?.0)
    }
}

/// A safetensors file of these tensors, with a text beside them.
pub(crate) fn to_bytes<'a>(
    tensors: impl Iterator<Item = (String, &'a Tensor)>,
    text: Option<(&str, String)>,
) -> Result<Vec<u8>> {
    let bytes: Vec<(String, &Tensor, Vec<u8>)> =
        tensors.map(|(name, t)| (name, t, t.data.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let mut views = Vec::new();
    for (name, tensor, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
        views.push((name, view.map_err(|e| Error::Internal(format!("tensor \"{name}\": {e}")))?));
    }
    let texts = text.map(|(key, value)| HashMap::from([(key.to_owned(), value)]));
    safetensors::serialize(views, texts).map_err(|e| Error::Internal(format!("weights: {e}")))
}

/// The tensors and texts of a safetensors file.
pub(crate) fn from_bytes(path: &Path, file: &[u8]) -> Result<(Weights, HashMap<String, String>)> {
    let corrupt = |reason: String| Error::Corrupt { path: path.into(), reason };
    let unreadable = |e| corrupt(format!("not a whole safetensors file: {e}"));
    let (_, header) = SafeTensors::read_metadata(file).map_err(unreadable)?;
    let parsed = SafeTensors::deserialize(file).map_err(unreadable)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in parsed.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(corrupt(format!("tensor \"{name}\" is {:?}, expected F32", view.dtype())));
        }
        let data = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
    }
    Ok((Weights { tensors }, header.metadata().clone().unwrap_or_default()))
}

/// Writes beside the file, makes that durable, and renames it into place.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_added_extension("part");
    let mut file = File::create(&beside).map_err(|e| Error::io(&beside, e))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| Error::io(&beside, e))?;
    drop(file);
    std::fs::rename(&beside, path).map_err(|e| Error::io(path, e))?;
    // The rename is durable only when its folder is; a relative name without a folder lies in the current one.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_was_saved_and_a_cut_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let tensor = Tensor { shape: vec![2, 3], data: vec![0.5, -1.0, f32::MIN_POSITIVE, 3e38, 0.0, -0.0] };
        let weights = Weights { tensors: BTreeMap::from([("dense.0.weight".to_owned(), tensor)]) };
        weights.save(&path).unwrap();
        assert_eq!(Weights::load(&path).unwrap(), weights);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(Weights::load(&path), Err(Error::Corrupt { .. })));
    }
}
