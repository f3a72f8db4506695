//! Plain fully connected layers.

use burn::tensor::{Device, Int, Tensor as BurnTensor, TensorData};

use super::{Passed, Shard, Values, activate, product, value};
use crate::Result;
use crate::kernels::dropout_mask;
use crate::net::fused::DROPOUT_STREAM;
use crate::net::{Batch, Chance, Layers};
use crate::random::Stream;
use crate::spec::Precision;

/// One forward pass.
pub(super) fn forward(
    layers: &Layers,
    shard: Shard,
    values: &Values,
    (device, precision): (&Device, Precision),
    chance: Option<Chance>,
) -> Result<Passed> {
    let Batch { numeric, encoded, rows: numbers } = shard.batch;
    let rows = numbers.len();
    let mut dense = vec![0.0; rows * layers.dense_inputs];
    numeric.write_dense(encoded, numbers, &mut dense);
    let tables = layers.embeddings.len();
    let mut codes = vec![0; rows * tables];
    numeric.write_codes(encoded, numbers, &mut codes);
    let mut parts = Vec::new();
    if layers.dense_inputs > 0 {
        parts.push(BurnTensor::<2>::from_data(TensorData::new(dense, [rows, layers.dense_inputs]), device));
    }
    for (number, table) in layers.embeddings.iter().enumerate() {
        let codes: Vec<i32> = codes.iter().skip(number).step_by(tables).copied().collect();
        let codes = BurnTensor::<1, Int>::from_data(TensorData::new(codes, [rows]), device);
        parts.push(value(values, &table.weight)?.select(0, codes));
    }
    let mut x = BurnTensor::cat(parts, 1);
    for (number, layer) in layers.dense.iter().enumerate() {
        x = product(x, value(values, &layer.weight)?, precision) + value(values, &layer.bias)?;
        x = activate(x, layer.activation);
        if let Some(chance) = chance.filter(|_| layers.dropout > 0.0 && layer.activation.is_some()) {
            // The fused network draws its mask for rows that begin at a cache line.
            let stride = layer.outputs.next_multiple_of(16);
            let mut mask = vec![0.0; rows * stride];
            let stream = Stream::new(chance.seed, DROPOUT_STREAM + number as u64);
            dropout_mask(stream.bits(chance.step), layers.dropout, shard.first * stride, &mut mask);
            let mask: Vec<f32> = mask.chunks(stride).flat_map(|row| row[..layer.outputs].to_vec()).collect();
            x = x * BurnTensor::<2>::from_data(TensorData::new(mask, [rows, layer.outputs]), device);
        }
    }
    Ok(Passed { logits: x, statistics: Values::new() })
}
