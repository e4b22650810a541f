//! The airgate command: configuration, wiring, verbs.
fn main() {}
