//! How do tensors of other libraries lie, and how do ours?

use crate::Tensor;

/// The weight of a linear layer `[outputs, inputs]` as `[inputs, outputs]`.
pub(super) fn linear(tensor: &Tensor) -> Tensor {
    let &[outputs, inputs] = tensor.shape.as_slice() else { return tensor.clone() };
    let mut data = Vec::with_capacity(tensor.data.len());
    for input in 0..inputs {
        data.extend((0..outputs).map(|output| tensor.data[output * inputs + input]));
    }
    Tensor { shape: vec![inputs, outputs], data }
}

/// The weight of a convolution `[outputs, inputs / groups, height, width]` as `[height, width, inputs / groups, outputs]`.
pub(super) fn convolution(tensor: &Tensor) -> Tensor {
    let &[outputs, inputs, height, width] = tensor.shape.as_slice() else { return tensor.clone() };
    let mut data = Vec::with_capacity(tensor.data.len());
    for place in 0..height * width {
        for input in 0..inputs {
            data.extend((0..outputs).map(|output| tensor.data[(output * inputs + input) * height * width + place]));
        }
    }
    Tensor { shape: vec![height, width, inputs, outputs], data }
}

/// Tensors of the same first axes side by side along the last one.
pub(super) fn side_by_side(parts: &[Tensor]) -> Tensor {
    let Some((first, _)) = parts.split_first() else { return Tensor { shape: vec![0], data: vec![] } };
    let width = |tensor: &Tensor| tensor.shape.last().copied().unwrap_or(1);
    let mut shape = first.shape.clone();
    let rows = shape[..shape.len().saturating_sub(1)].iter().product();
    if let Some(last) = shape.last_mut() {
        *last = parts.iter().map(width).sum();
    }
    let row = |row: usize| parts.iter().flat_map(move |part| &part.data[row * width(part)..][..width(part)]);
    let data = (0..rows).flat_map(row).copied().collect();
    Tensor { shape, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: data.to_vec() }
    }

    #[test]
    fn layouts_are_turned_into_ours() {
        let weight = tensor(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = linear(&weight);
        assert_eq!(turned, tensor(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        let joined = side_by_side(&[turned.clone(), tensor(&[3, 1], &[7.0, 8.0, 9.0])]);
        assert_eq!(joined, tensor(&[3, 3], &[1.0, 4.0, 7.0, 2.0, 5.0, 8.0, 3.0, 6.0, 9.0]));
        assert_eq!(side_by_side(&[tensor(&[1], &[1.0]), tensor(&[2], &[2.0, 3.0])]), tensor(&[3], &[1.0, 2.0, 3.0]));
        // Two outputs, one input, kernel 1 x 2: a depthwise one.
        let kernel = tensor(&[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(convolution(&kernel), tensor(&[1, 2, 1, 2], &[1.0, 3.0, 2.0, 4.0]));
        // One output, two inputs.
        let kernel = tensor(&[1, 2, 2, 1], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(convolution(&kernel), tensor(&[2, 1, 2, 1], &[1.0, 3.0, 2.0, 4.0]));
    }
}
