//! The log as its users see it: written, read, killed, starved of disk.

mod common;
mod faults;
mod log;
mod sim;
