//! How do weights come from rows?

mod events;

pub use events::{EpochRecord, Flow, Part, TrainEvent, TrainJob, Trained};

use crate::{Error, Result};

/// Trains a network. The same job gives the same weights, bit for bit, also across a stop and a resume.
pub fn train(job: TrainJob, on: &mut dyn FnMut(&TrainEvent) -> Flow) -> Result<Trained> {
    let _ = (job, on);
    Err(Error::Unsupported("training is being written".into()))
}
