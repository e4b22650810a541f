//! The crate as its users see it.
#![allow(clippy::unwrap_used)]

mod assertion;
mod contract;
mod lab;
