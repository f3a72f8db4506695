//! The product: commands, project file, pipeline, server, watching, pages. The only crate that knows the command line,
//! HTTP, the environment, settings files, processes and exit codes.

pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod failure;
mod http;
mod jobs;
mod machine;
mod news;
mod pipeline;
pub mod planner;
mod serve;
pub mod terminal;
pub mod ui;
