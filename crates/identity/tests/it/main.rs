//! Tests of the verifier through its public interface.

mod configuration;
mod files;
mod profiles;
mod properties;
mod refusals;
mod remote;
mod rig;
