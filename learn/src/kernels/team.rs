//! Who shares the work of a step? Threads that wait for it awake: a step has sections of 20 microseconds, and waking a
//! sleeping thread costs more than that.
//!
//! Each part of a section belongs to one thread, so that its weights stay in that thread's cache. But where the system
//! gave the thread's core to somebody else, whoever called takes the part over rather than wait: on a busy machine a
//! step is then as slow as one thread, not as slow as the scheduler.

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
    /// The work of this round, for those who claimed a part of it.
    work: UnsafeCell<Option<Work>>,
    round: AtomicUsize,
    quit: AtomicBool,
    posts: Vec<Post>,
    /// Per thread: the next item of its range (see `Team::each`).
    next: Vec<AtomicUsize>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Where a worker and the caller meet; a cache line of its own, so that they do not slow down one another.
#[repr(align(128))]
#[derive(Default)]
struct Post {
    /// The last round whose part was taken, by the worker or by the caller.
    claimed: AtomicUsize,
    /// The last round whose part the worker finished.
    done: AtomicUsize,
    asleep: AtomicBool,
}

impl Post {
    /// Takes the part of `round`, where nobody has.
    fn claim(&self, round: usize) -> bool {
        let last = self.claimed.load(Ordering::Acquire);
        last < round && self.claimed.compare_exchange(last, round, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

// SAFETY: `work` is written by `Team::run` alone, before it publishes a round (release) and after every part of the round
// before was finished. A worker reads it only after it claimed a part of the current round: from then on `run` waits
// for it. A claim of an older round fails, because `run` had that part claimed before it went on.
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
            quit: AtomicBool::new(false),
            posts: (0..extra).map(|_| Post::default()).collect(),
            next: (0..=extra).map(|_| AtomicUsize::new(0)).collect(),
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

    /// Calls `work` once with each of `0..threads`: `work(0)` here, the others on threads of their own where those are
    /// awake in time, else here; waits for all of them.
    pub(crate) fn run(&mut self, threads: usize, work: &(dyn Fn(usize) + Sync)) {
        let helpers = self.workers.len().min(threads.saturating_sub(1));
        if helpers == 0 {
            return (0..threads.max(1)).for_each(work);
        }
        let shared = &*self.shared;
        let round = shared.round.load(Ordering::Relaxed) + 1;
        // SAFETY: only the lifetime is forgotten; `Wait` below keeps `work` borrowed until every worker is done with it.
        let pointer: Work = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Work>(work) };
        // SAFETY: no worker reads `work` now (see `Shared`).
        unsafe { *shared.work.get() = Some(pointer) };
        for post in &shared.posts[helpers..] {
            post.claimed.store(round, Ordering::Release); // no part for these
        }
        shared.round.store(round, Ordering::SeqCst);
        self.wake(helpers);
        let wait = Wait { posts: &shared.posts[..helpers], round };
        work(0);
        (helpers + 1..threads).for_each(work);
        for (number, post) in wait.posts.iter().enumerate() {
            if post.claim(round) {
                post.done.store(round, Ordering::Relaxed);
                work(number + 1);
            }
        }
        drop(wait);
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
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

    /// Calls `work(thread, item)` once with each of `0..items`. Every thread has a range of its own, so that what it left in
    /// its cache the last time is there; who is done takes from the others, so that a busy core holds nobody up. No two calls
    /// with the same `thread` at a time.
    pub(crate) fn each(&mut self, threads: usize, items: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let threads = threads.min(items).clamp(1, self.threads());
        let shared = Arc::clone(&self.shared);
        let end = |of: usize| items * (of + 1) / threads;
        for (of, next) in shared.next.iter().take(threads).enumerate() {
            next.store(items * of / threads, Ordering::Relaxed); // `run` publishes it
        }
        self.run(threads, &|thread| {
            for of in (thread..threads).chain(0..thread) {
                loop {
                    let item = shared.next[of].fetch_add(1, Ordering::Relaxed);
                    if item >= end(of) {
                        break;
                    }
                    work(thread, item);
                }
            }
        });
    }

    fn wake(&self, workers: usize) {
        for (worker, post) in self.workers.iter().zip(&self.shared.posts).take(workers) {
            if post.asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.shared.round.fetch_add(1, Ordering::SeqCst);
        self.wake(self.workers.len());
        for worker in self.workers.drain(..) {
            // A worker's panic was passed on by `run`.
            let _ = worker.join();
        }
    }
}

/// Waits for the workers, also where the caller's own part panics: they still borrow the work.
struct Wait<'a> {
    posts: &'a [Post],
    round: usize,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        for post in self.posts {
            // After a panic there may be parts that nobody took: nobody may take them any more.
            if post.claim(self.round) {
                continue;
            }
            let mut looks = 0;
            while post.done.load(Ordering::Acquire) != self.round {
                looks += 1;
                if looks < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
    }
}

fn worker(shared: &Shared, number: usize) {
    let post = &shared.posts[number - 1];
    let _small = super::FlushDenormals::new();
    let mut seen = 0;
    loop {
        seen = next_round(shared, post, seen);
        if shared.quit.load(Ordering::SeqCst) {
            return;
        }
        if !post.claim(seen) {
            continue;
        }
        // SAFETY: the part of this round is claimed, so `work` stays what it is until `done` says so (see `Shared`).
        if let Some(work) = unsafe { *shared.work.get() } {
            // SAFETY: `Team::run` borrows the closure until this part is done.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*work)(number) }));
            if let Err(panic) = result {
                *shared.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        post.done.store(seen, Ordering::Release);
    }
}

/// Waits for another round than `seen`, and gives its number.
fn next_round(shared: &Shared, post: &Post, seen: usize) -> usize {
    for look in 0..SPINS + YIELDS {
        let round = shared.round.load(Ordering::Acquire);
        if round != seen {
            return round;
        }
        if look < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
    post.asleep.store(true, Ordering::SeqCst);
    // The flag is up before the last look, and `run` looks at it after moving the round: one of the two sees the other.
    loop {
        let round = shared.round.load(Ordering::SeqCst);
        if round != seen {
            post.asleep.store(false, Ordering::SeqCst);
            return round;
        }
        std::thread::park();
    }
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
    fn every_item_is_done_once_and_no_thread_does_two_at_a_time() {
        let mut team = Team::new(3);
        for items in [0, 1, 2, 50] {
            let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            let busy = [0; 3].map(AtomicUsize::new);
            team.each(3, items, &|thread, item| {
                assert_eq!(busy[thread].fetch_add(1, Ordering::SeqCst), 0);
                counts[item].fetch_add(1, Ordering::SeqCst);
                busy[thread].fetch_sub(1, Ordering::SeqCst);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 1));
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
