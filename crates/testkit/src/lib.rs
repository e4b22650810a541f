//! What tests share: an issuer of tokens, an upstream that misbehaves on demand, a clock. Development only.
//!
//! Everything here panics with a reason rather than return an error: a test has nobody to hand an error to.

mod ca;
mod issuer;
mod key_server;
pub mod log;
mod peers;
mod prover;
pub mod upstream;
mod vectors;
mod verified;

pub use ca::TestCa;
pub use issuer::TestIssuer;
pub use key_server::{Asked, KeyAnswer, KeyServer};
pub use peers::{Peer, Peers, peers};
pub use prover::Prover;
pub use vectors::vectors;
pub use verified::{verified, verified_with, verify_bearer};
