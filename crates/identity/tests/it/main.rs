//! Tests of the verifier through its public interface.

mod attacks;
mod cache;
mod configuration;
mod discovery;
mod files;
mod inspection;
mod introspection;
mod peers;
mod profiles;
mod proofs;
mod properties;
mod refusals;
mod remote;
mod rig;
