//! From a presented token to a verified principal: issuers, key sets, JSON Web Tokens, introspection, proofs of possession.
//!
//! A [`PresentedToken`] is what a caller sent; a [`VerifiedToken`] is proof that [`Verifier::verify`] checked it, and its
//! presenter. There is no other way to make one. No check is optional: issuer, audience, expiry, key and algorithm are all
//! mandatory, and a token that is bound to a key is no good without the proof.

mod algorithm;
mod authority;
mod claims;
mod config;
mod confirm;
mod discovery;
mod dpop;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http_client;
mod inspect;
mod introspection;
mod json;
mod jwk;
mod jws;
mod key_store;
mod ledger;
mod nonce;
mod path;
mod presented;
mod profile;
mod replay;
mod revoked;
mod source;
mod state;
mod trap;
mod verified;
mod verifier;
#[cfg(test)]
mod wycheproof;

pub use algorithm::Algorithm;
pub use config::{
    DpopConfig, HttpSettings, IntrospectionConfig, IssuerConfig, IssuerError, KeySource, Place, Remote, Timing,
    TokenType,
};
pub use confirm::{CertificateThumbprint, ProofRule, Proven};
pub use dpop::{DPOP_ALGORITHMS, Facts, RequestTarget};
pub use error::{Challenge, TokenError};
pub use inspect::{CheckLine, Inspection, Outcome, Probe, ProbeStep};
pub use ledger::Check;
pub use path::{ClaimPath, Must, Requirement};
pub use presented::{PresentedToken, Scheme, Tolerance};
pub use profile::{Given, Profile, ProfileName};
pub use state::{IssuerState, Serving};
pub use trap::Trap;
pub use verified::{JobPrincipal, Principal, VerifiedToken};
pub use verifier::{Expectation, MonotonicClock, Verifier, VerifierConfig};
