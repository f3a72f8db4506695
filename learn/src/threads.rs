//! How many threads may work at a network? All cores, unless several networks share them.

use std::cell::Cell;

thread_local! {
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Does `work` on this thread, with networks that it makes taking `most` threads at most. What they learn does not depend
/// on the number of threads.
pub fn on_threads<T>(most: usize, work: impl FnOnce() -> T) -> T {
    /// Puts the bound back, also where the work panics.
    struct Bound(usize);
    impl Drop for Bound {
        fn drop(&mut self) {
            MOST.set(self.0);
        }
    }
    let _bound = Bound(MOST.replace(most.max(1)));
    work()
}

/// Threads for what is made on this thread.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_the_work_and_no_longer() {
        let free = threads();
        assert_eq!(on_threads(1, threads), 1);
        assert_eq!(on_threads(usize::MAX, threads), free);
        assert_eq!(threads(), free);
        assert!(std::panic::catch_unwind(|| on_threads(1, || std::panic::resume_unwind(Box::new(())))).is_err());
        assert_eq!(threads(), free);
    }
}
