//! Is there room for what is to be trained? Then it is.

use learn::spec::BatchSize;
use learn::{Flow, MemoryNeed, TrainEvent, TrainJob, Trained};

use crate::failure::{Failure, Result};
use crate::machine;

/// Trains, where there is memory for it.
pub(super) fn fit(job: TrainJob, on: &mut dyn FnMut(&TrainEvent) -> Flow) -> Result<Trained> {
    let need = learn::memory_need(&job)?;
    if let Some(available) = machine::memory_available_bytes()
        && need.total() > available
    {
        return Err(Failure::input(too_large(need, available, job.train.batch_size)));
    }
    Ok(learn::train(job, on)?)
}

fn too_large(need: MemoryNeed, available: u64, batch: BatchSize) -> String {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let knob = match (need.weights >= need.batch, batch) {
        (true, _) => "take a smaller network".to_owned(),
        (false, BatchSize::Rows(rows)) => format!("lower train.batch_size (now {rows}) or take a smaller network"),
        (false, BatchSize::Full) => "set train.batch_size to a number of rows (now full)".to_owned(),
    };
    format!(
        "training would take about {:.1} GB of memory ({:.1} for the weights, {:.1} for a batch), {:.1} GB are available; {knob}",
        gigabytes(need.total()),
        gigabytes(need.weights),
        gigabytes(need.batch),
        gigabytes(available),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_a_network_is_told_with_need_have_and_knob() {
        let text = |weights, batch, size| too_large(MemoryNeed { weights, batch }, 4_000_000_000, size);
        let of_network = text(9_000_000_000, 100_000_000, BatchSize::Rows(32));
        assert!(
            of_network.contains("about 9.1 GB of memory (9.0 for the weights, 0.1 for a batch), 4.0 GB are available")
        );
        assert!(of_network.ends_with("take a smaller network"));
        let of_batch = text(1_000_000, 9_000_000_000, BatchSize::Rows(65_536));
        assert!(of_batch.ends_with("lower train.batch_size (now 65536) or take a smaller network"));
        let of_all = text(1_000_000, 9_000_000_000, BatchSize::Full);
        assert!(of_all.ends_with("set train.batch_size to a number of rows (now full)"));
    }
}
