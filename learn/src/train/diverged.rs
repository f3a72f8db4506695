//! The loss is no number any more: which rows gave it, and what should be tried?

use super::check::named;
use crate::net::{Batch, Head, Network, row_loss};
use crate::spec::{Schedule, TrainSpec};
use crate::{Error, Result};

/// The rows of a batch whose loss is not finite by the weights as they are, in words; nothing where it is all of them
/// (then the weights are at fault) or none.
pub(super) fn rows(net: &mut Network, head: Head, batch: Batch, targets: &[f32]) -> Result<String> {
    let mut outputs = Vec::with_capacity(batch.rows.len() * head.outputs);
    net.logits(batch, &mut outputs)?;
    let per_row = targets.len() / batch.rows.len().max(1);
    let judged = batch.rows.iter().zip(outputs.chunks_exact(head.outputs)).zip(targets.chunks_exact(per_row.max(1)));
    // Training adds up in f32: what is beyond its range is no number there.
    let bad = judged.filter(|((_, outputs), targets)| !(row_loss(head, outputs, targets) as f32).is_finite());
    let bad: Vec<u32> = bad.map(|((row, _), _)| *row).collect();
    Ok(if bad.is_empty() || bad.len() == batch.rows.len() { String::new() } else { named(bad) })
}

/// Training cannot go on; `rate` is the step size of this step, `rows` the rows at fault in words.
pub(super) fn error(spec: &TrainSpec, rate: f64, place: &str, loss: f64, rows: &str) -> Error {
    let (name, peak) = (spec.optimizer.name(), spec.optimizer.learning_rate());
    let taken = match &spec.schedule {
        Schedule::Constant(_) if rate == peak => String::new(),
        schedule => format!("; schedule {} has come to {rate:.3e}", schedule.name()),
    };
    let at_fault = if rows.is_empty() { String::new() } else { format!(", by training {rows}") };
    Error::invalid(format!(
        "training diverged in {place}: the loss is {loss}{at_fault}; lower train.optimizer.{name}.learning_rate (now \
         {peak}, try {}{taken}), or see that the features are scaled",
        peak / 10.0
    ))
}
