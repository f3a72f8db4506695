//! The rows of a batch as the values of the nodes that read them.

use super::{Node, Op};
use crate::net::Batch;

/// How many tokens each row's text has, at least 1.
pub(crate) fn lengths(batch: Batch<'_>, column: usize) -> impl Iterator<Item = usize> + '_ {
    let block = &batch.encoded.texts[column];
    batch.rows.iter().map(|&row| {
        let tokens = &block.tokens[row as usize * block.length..][..block.length];
        tokens.iter().rposition(|&token| token != 0).map_or(1, |last| last + 1)
    })
}

/// The whole numbers of a node of tokens or of a code: `[rows, size]`.
pub(crate) fn write_codes(node: &Node, batch: Batch, size: usize, out: &mut [i32]) {
    let Batch { numeric, encoded, rows } = batch;
    for (slots, &row) in out.chunks_exact_mut(size.max(1)).zip(rows) {
        match node.op {
            Op::Tokens(column) => {
                let block = &encoded.texts[column];
                slots.copy_from_slice(&block.tokens[row as usize * block.length..][..size]);
            }
            Op::Code(number) => slots[0] = numeric.embedded_code(encoded, row as usize, number),
            _ => {}
        }
    }
}

/// The numbers of a node of the table, of pictures or of series: `[rows, size]`.
pub(crate) fn write_numbers(node: &Node, batch: Batch, size: usize, out: &mut [f32]) {
    let Batch { numeric, encoded, rows } = batch;
    for (slots, &row) in out.chunks_exact_mut(size.max(1)).zip(rows) {
        match node.op {
            Op::Table => numeric.write_table(encoded, row as usize, slots),
            Op::Image(column) => numeric.write_image(encoded, column, row as usize, slots),
            Op::Series => numeric.write_series(encoded, row as usize, slots),
            _ => {}
        }
    }
}
