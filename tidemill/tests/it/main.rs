//! Everything from outside: the command as a person or a program would use it. One executable, so that it links once.

#![allow(unreachable_pub, reason = "one executable, nothing to publish")]

mod agree;
mod browser;
mod resume;
mod run;
mod serve;
mod support;
mod tidy;
mod wrong_input;
