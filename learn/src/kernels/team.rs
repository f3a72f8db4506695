//! Who shares the work of a step? Threads that wait for it awake: a step has sections of 20 microseconds, and waking a
//! sleeping thread costs more than that.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Looks at the flag before the thread gives its core to others.
const SPINS: usize = 2_000;
/// Times it gives its core away before it goes to sleep.
const YIELDS: usize = 200;

type Work = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// The work of this round; valid while `round` is ahead of what the workers have acknowledged.
    work: UnsafeCell<Option<(Work, usize)>>,
    round: AtomicUsize,
    done: AtomicUsize,
    asleep: Vec<AtomicBool>,
    quit: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` is written by `Team::run` alone, before `round` is moved (release) and after all workers acknowledged
// the round before (acquire of `done`); workers read it only after they saw `round` move (acquire).
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `work` is to a `Sync` closure, and is used only while `Team::run` borrows it.
unsafe impl Send for Shared {}

/// Threads that share the sections of a step. Dropping it ends them.
pub(crate) struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads()).finish()
    }
}

impl Team {
    /// A team of this many threads, the caller's included. Where the system refuses one, the team is smaller.
    pub(crate) fn new(threads: usize) -> Self {
        let extra = threads.saturating_sub(1);
        let shared = Arc::new(Shared {
            work: UnsafeCell::new(None),
            round: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            asleep: (0..extra).map(|_| AtomicBool::new(false)).collect(),
            quit: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("learn-{number}")).spawn(move || worker(&shared, number)).ok()
        };
        let workers = (1..=extra).map_while(start).collect();
        Self { shared, workers }
    }

    /// Threads, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(0)` here and `work(1)` to `work(threads - 1)` on the others, and waits for all of them. Parts for
    /// which there is no thread are done here too.
    pub(crate) fn run(&mut self, threads: usize, work: &(dyn Fn(usize) + Sync)) {
        if threads <= 1 || self.workers.is_empty() {
            return (0..threads.max(1)).for_each(work);
        }
        // SAFETY: only the lifetime is forgotten; `Wait` below keeps `work` borrowed until every worker is done with it.
        let pointer: Work = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Work>(work) };
        // SAFETY: no worker reads `work` now: all have acknowledged the last round (see `Wait`).
        unsafe { *self.shared.work.get() = Some((pointer, threads)) };
        self.shared.done.store(0, Ordering::Relaxed);
        self.shared.round.fetch_add(1, Ordering::SeqCst);
        self.wake();
        let wait = Wait { shared: &self.shared, workers: self.workers.len() };
        work(0);
        // Parts for which the system gave no thread.
        (self.threads()..threads).for_each(work);
        drop(wait);
        let panic = self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Calls `work(start, part)` on contiguous parts of `data`, a whole number of `unit`s each, one part per thread.
    pub(crate) fn split(
        &mut self,
        threads: usize,
        data: &mut [f32],
        unit: usize,
        work: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let units = data.len() / unit;
        let length = units.div_ceil(threads.max(1)) * unit;
        if threads <= 1 || length == 0 {
            return work(0, data);
        }
        let parts: Vec<Mutex<&mut [f32]>> = data.chunks_mut(length).map(Mutex::new).collect();
        self.run(threads, &|thread| {
            if let Some(part) = parts.get(thread) {
                work(thread * length, &mut part.lock().unwrap_or_else(PoisonError::into_inner));
            }
        });
    }

    fn wake(&self) {
        for (worker, asleep) in self.workers.iter().zip(&self.shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.shared.round.fetch_add(1, Ordering::SeqCst);
        self.wake();
        for worker in self.workers.drain(..) {
            // A worker's panic was passed on by `run`.
            let _ = worker.join();
        }
    }
}

/// Waits for the workers, also where the caller's own part panics: they still borrow the work.
struct Wait<'a> {
    shared: &'a Shared,
    workers: usize,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut looks = 0;
        while self.shared.done.load(Ordering::Acquire) != self.workers {
            looks += 1;
            if looks < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

fn worker(shared: &Shared, number: usize) {
    let mut seen = 0;
    loop {
        wait_for_round(shared, number, seen);
        seen += 1;
        if shared.quit.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: `round` moved, so `work` is this round's and stays until this worker acknowledges it.
        let work = unsafe { *shared.work.get() };
        if let Some((work, threads)) = work
            && number < threads
        {
            // SAFETY: `Team::run` borrows the closure until every worker has acknowledged.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*work)(number) }));
            if let Err(panic) = result {
                *shared.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        shared.done.fetch_add(1, Ordering::Release);
    }
}

fn wait_for_round(shared: &Shared, number: usize, seen: usize) {
    for look in 0..SPINS + YIELDS {
        if shared.round.load(Ordering::Acquire) != seen {
            return;
        }
        if look < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
    let asleep = &shared.asleep[number - 1];
    asleep.store(true, Ordering::SeqCst);
    // The flag is up before the last look, and `run` looks at it after moving the round: one of the two sees the other.
    while shared.round.load(Ordering::SeqCst) == seen {
        std::thread::park();
    }
    asleep.store(false, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_does_its_part_in_every_round() {
        let mut team = Team::new(3);
        let counts: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
        for round in 0..5_000 {
            let threads = 1 + round % 3;
            team.run(threads, &|thread| {
                counts[thread].fetch_add(1, Ordering::Relaxed);
            });
        }
        let found: Vec<usize> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(found, [5_000, 3_333, 1_666]);
    }

    #[test]
    fn parts_cover_the_data_once() {
        let mut team = Team::new(2);
        for (length, unit) in [(0, 3), (3, 3), (9, 3), (12, 3), (40, 1)] {
            let mut data = vec![0.0; length];
            team.split(2, &mut data, unit, &|start, part| {
                for (n, x) in part.iter_mut().enumerate() {
                    *x += (start + n) as f32;
                }
            });
            assert_eq!(data, (0..length).map(|n| n as f32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let mut team = Team::new(2);
        for thread in [0, 1] {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                team.run(2, &|t| assert_ne!(t, thread, "part {thread} fails"));
            }));
            assert!(caught.is_err());
        }
        let count = AtomicUsize::new(0);
        team.run(2, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
