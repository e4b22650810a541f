//! The tree, tiles and notes against public vectors and code that is not ours.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod note;
mod tree;
mod vectors;
