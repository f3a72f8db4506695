//! With which numbers does training begin: random ones, published ones, those of a file?

use super::TrainJob;
use crate::net::{Design, HeadLoss, reset_score};
use crate::pretrained;
use crate::{Error, Result, Weights};

/// The weights of step 0. Random ones are a function of the seed; published ones (of the network's folder or file) take
/// their places, then those of `train.start_from`.
pub(super) fn weights(job: &TrainJob, design: &Design) -> Result<Weights> {
    let mut weights = design.initial_weights(job.train.seed);
    let last = design.last_layer();
    if let Some(published) = pretrained::start(job.net, job.numeric)? {
        take(&mut weights, published, &last)?;
    }
    if let Some(path) = &job.train.start_from {
        let shapes = design.shapes().into_iter().filter(|(name, _)| !last.contains(name));
        let expected: Vec<(String, Vec<usize>)> = shapes.map(|(name, shape)| (name.to_owned(), shape)).collect();
        let found = pretrained::read(path)?;
        pretrained::compare(&format!("train.start_from: {path}"), &expected, &found, |name| last.contains(&name))?;
        take(&mut weights, found, &last)?;
    }
    if design.head().loss == HeadLoss::Reconstruction {
        reset_score(&mut weights);
    }
    Ok(weights)
}

/// Puts tensors in the places of those of their names; one of the last layer only where the shape is the same.
fn take(weights: &mut Weights, from: Weights, last: &[&str]) -> Result<()> {
    for (name, tensor) in from.tensors {
        match weights.tensors.get_mut(&name) {
            Some(ours) if ours.shape == tensor.shape => *ours = tensor,
            _ if last.contains(&name.as_str()) => {}
            _ => return Err(Error::Internal(format!("published tensor \"{name}\" has no place in the network"))),
        }
    }
    Ok(())
}
