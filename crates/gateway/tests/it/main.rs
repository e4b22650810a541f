//! The gateway as its callers and upstreams meet it: a real data plane, a real audit log, an upstream on raw sockets.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod audit_faults;
mod bypass;
mod connections;
mod drill;
mod forwarding;
mod lab;
mod proofs;
mod refusals;
mod rig;
mod upstream_faults;
