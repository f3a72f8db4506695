//! Tests that need more than one part: the registry as a whole, crashes, faults, several processes.

pub(crate) mod faults;
