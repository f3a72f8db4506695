//! How do weights come from rows?
//!
//! Training is a function of the job alone: the order of rows is drawn from (seed, epoch), dropout from (seed, step),
//! augmentation from (seed, epoch, place), and no sum depends on the number of threads. So a run that was stopped or killed
//! and goes on from its checkpoint ends with the same bits.

mod ahead;
mod augment;
mod check;
mod checkpoint;
mod diverged;
mod ensemble;
mod events;
mod fingerprint;
mod memory;
mod order;
mod prepared;
mod ranges;
mod rate;
mod rule;
mod run;
mod spool;
mod start;
mod sweep;
mod trees;
mod usual;
mod watch;

pub use check::check_device;
pub use events::{EpochRecord, Flow, Part, TrainEvent, TrainJob, Trained};
pub use fingerprint::of_part as fingerprint;
pub use memory::{MemoryNeed, memory_need};
pub use spool::{SPOOL_FILES_MAX, Spool, SpoolWriter};
pub use sweep::{RateCurve, RatePoint, RateSweep};

use crate::spec::{Balance, BatchSize, NetSpec, TrainSpec};
use crate::{Error, Result};

/// Trains a network and gives the weights of its best epoch. The same job gives the same weights, bit for bit, also
/// across a stop and a resume.
///
/// Errors name the setting, the row, or the epoch and step; a run that diverges says what to try.
pub fn train(job: TrainJob, on: &mut dyn FnMut(&TrainEvent) -> Flow) -> Result<Trained> {
    if job.spool.is_some() {
        check_spool(&job)?;
    }
    match job.net {
        net if net.is_trees() => trees::Run::new(job)?.run(on),
        NetSpec::Ensemble(spec) => ensemble::train_ensemble(&job, spec, on),
        _ => run::Run::new(job)?.run(on),
    }
}

/// Whether a network of this kind learns from rows that memory cannot hold, batch by batch. Trees and ensembles look at all rows
/// at once, an autoencoder at those of one class.
pub fn reads_spool(net: &NetSpec) -> bool {
    !net.is_trees() && !matches!(net, NetSpec::Ensemble(_) | NetSpec::Autoencoder(_))
}

fn check_spool(job: &TrainJob) -> Result<()> {
    if !reads_spool(job.net) {
        return Err(Error::Internal("rows on disk were given to what reads them in memory".into()));
    }
    let (key, instead) = match (job.train.batch_size, job.train.balance) {
        (BatchSize::Full, _) => ("batch_size: full", "take a number of rows"),
        (_, Balance::Oversample) => ("balance: oversample", "take weights"),
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("train.{key} needs all rows in memory, which do not fit; {instead}")))
}

/// Finds a step size for a network by trying all of a range on a fresh one, a step each. The job's own step size,
/// schedule, accumulation and checkpoint do not matter. Ends with an error where `on` says stop.
pub fn find_learning_rate(
    job: TrainJob,
    sweep: &RateSweep,
    on: &mut dyn FnMut(&RatePoint) -> Flow,
) -> Result<RateCurve> {
    if job.net.is_trees() {
        return Err(trees::refuse_sweep(job.train));
    }
    let train = TrainSpec { accumulate: 1, ..job.train.clone() };
    run::Run::new(TrainJob { train: &train, checkpoint: None, resume: false, spool: None, ..job })?.sweep(sweep, on)
}

#[cfg(test)]
mod pytorch;
#[cfg(test)]
mod pytorch_families;
#[cfg(test)]
mod tests;
