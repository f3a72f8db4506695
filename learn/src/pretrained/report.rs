//! How do the weights of a file differ from those a network expects?

use crate::{Error, Result, Weights};

/// Refuses weights of `what` in which an expected tensor is missing or has another shape, or which have more than is
/// expected; `known` says which further tensors are of no use to us. Every difference is listed.
pub(crate) fn compare(
    what: &str,
    expected: &[(String, Vec<usize>)],
    found: &Weights,
    known: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut wrong = Vec::new();
    for (name, shape) in expected {
        match found.tensors.get(name) {
            None => wrong.push(format!("\"{name}\" {shape:?} is missing")),
            Some(tensor) if tensor.shape != *shape => {
                wrong.push(format!("\"{name}\" is {:?}, expected {shape:?}", tensor.shape));
            }
            Some(_) => {}
        }
    }
    let is_expected = |name: &str| expected.iter().any(|(known, _)| known == name);
    for name in found.tensors.keys().filter(|name| !is_expected(name) && !known(name)) {
        wrong.push(format!("\"{}\" is not expected", name.escape_debug()));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::invalid(format!("{what}: these are other weights: {}", wrong.join(", ")))),
    }
}
