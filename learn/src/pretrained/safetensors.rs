//! Which tensors do safetensors files hold, in whatever number format?

use std::collections::BTreeMap;

use safetensors::SafeTensors;

use super::fault::{Fault, Parsed};
use super::format::Format;
use crate::{Tensor, Weights};

/// Reads a whole file. The crate refuses headers over 100 MB, holes, overlaps, and lengths that are not the shape's.
pub(super) fn read(file: &[u8]) -> Parsed<Weights> {
    let parsed = SafeTensors::deserialize(file)
        .map_err(|error| Fault::Broken(format!("not a whole safetensors file: {error}")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in parsed.iter() {
        let format = Format::of_safetensors(view.dtype()).ok_or_else(|| {
            Fault::Refused(format!(
                "tensor \"{}\" is {:?}; save it as F32, F16 or BF16",
                name.escape_debug(),
                view.dtype()
            ))
        })?;
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data: format.numbers(view.data()) });
    }
    Ok(Weights { tensors })
}
