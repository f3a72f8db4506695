//! How deep may a query go? Threads with room for the planner of the SQL engine.

/// Stack of threads that plan queries: the planner goes down into an expression call by call, and one of thousands of
/// parts is that many deep. It costs only what is used of it.
pub(crate) const STACK_BYTES: usize = 256 << 20;

/// A thread that may plan queries.
pub fn thread(name: impl Into<String>) -> std::thread::Builder {
    std::thread::Builder::new().name(name.into()).stack_size(STACK_BYTES)
}
