//! The log as its users see it: written, read, killed, starved of disk.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod common;
mod faults;
mod kill;
mod log;
mod sim;
mod stranger;
