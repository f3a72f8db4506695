//! Everything from outside: the command as a person or a program would use it. One executable, so that it links once.

#![allow(unreachable_pub, reason = "one executable, nothing to publish")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic, and says what it left out"
)]

mod agree;
mod audit;
mod auto;
mod browser;
#[cfg(feature = "cluster")]
mod cluster;
mod databases;
#[cfg(feature = "delta")]
mod delta;
mod features;
mod files;
mod flight;
mod functions;
mod ingest;
#[cfg(feature = "kafka-brokers")]
mod kafka;
mod logs;
mod memory;
mod metrics;
mod objects;
mod publish;
#[cfg(feature = "kafka-brokers")]
mod relay;
mod resume;
mod run;
mod serve;
mod servers;
mod snapshots;
mod sql;
mod streams;
mod support;
mod tidy;
mod tune;
mod wire;
mod wrong_input;
