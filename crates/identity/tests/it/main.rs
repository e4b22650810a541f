//! Tests of the verifier through its public interface.

mod configuration;
mod files;
mod properties;
mod refusals;
mod remote;
mod rig;
