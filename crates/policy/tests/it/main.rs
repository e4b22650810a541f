//! Tests of the policy engine through its public interface.

mod compile;
mod decide;
mod properties;
mod rig;
