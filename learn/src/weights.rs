//! The learned numbers of a network, by name, and their file.

use std::collections::BTreeMap;
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

    /// Writes a safetensors file. The caller sees to it that nobody reads a half-written one.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes: BTreeMap<&String, Vec<u8>> =
            self.tensors.iter().map(|(name, t)| (name, t.data.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
        let views = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name])
                    .map(|view| (name.clone(), view))
                    .map_err(|e| Error::Internal(format!("tensor \"{name}\": {e}")))
            })
            .collect::<Result<Vec<_>>>()?;
        let file = safetensors::serialize(views, None).map_err(|e| Error::Internal(format!("weights: {e}")))?;
        std::fs::write(path, file).map_err(|e| Error::io(path, e))
    }

    /// Reads a safetensors file of `f32` tensors.
    pub fn load(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let corrupt = |reason: String| Error::Corrupt { path: path.into(), reason };
        let parsed = SafeTensors::deserialize(&file).map_err(|e| corrupt(format!("not a safetensors file: {e}")))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in parsed.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(corrupt(format!("tensor \"{name}\" is {:?}, expected F32", view.dtype())));
            }
            let data = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
        }
        Ok(Self { tensors })
    }
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
