//! Training in the background of the server: one job at a time, owned here, stopped at shutdown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::failure::{Failure, Fault, Result};
use crate::machine::allow_huge_pages;

/// The one place for a job; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Jobs {
    running: Arc<Mutex<Option<Job>>>,
    stop: Arc<AtomicBool>,
}

struct Job {
    model: String,
    thread: JoinHandle<()>,
}

impl Jobs {
    /// Starts `work` on a thread of its own, which is to look at the flag now and then. A second job is refused.
    pub(crate) fn start(&self, model: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = running.as_ref().filter(|job| !job.thread.is_finished()) {
            let message = format!("model \"{}\" is being trained; one run at a time", job.model);
            return Err(Failure::new(Fault::Conflict, message));
        }
        let stop = Arc::clone(&self.stop);
        let thread = crate::planner::thread(format!("train-{model}"))
            .spawn(move || {
                allow_huge_pages(true);
                work(&stop);
                allow_huge_pages(false);
            })
            .map_err(|e| Failure::new(Fault::Ours, format!("cannot start a thread: {e}")))?;
        *running = Some(Job { model: model.to_owned(), thread });
        Ok(())
    }

    /// Asks the job to stop at its next batch and waits for it.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let job = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(job) = job {
            let _panicked = job.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_second_job_waits_its_turn_and_stop_ends_the_first() {
        let jobs = Jobs::default();
        let (started, wait) = channel();
        jobs.start("a", move |stop| {
            started.send(()).unwrap();
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        })
        .unwrap();
        wait.recv().unwrap();
        assert_eq!(jobs.start("b", |_| ()).unwrap_err().fault, Fault::Conflict);
        jobs.stop();
        jobs.start("c", |_| ()).unwrap();
        jobs.stop();
    }
}
