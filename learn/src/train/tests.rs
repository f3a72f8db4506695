//! Training as a whole.
