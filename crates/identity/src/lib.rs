//! From a presented token to a verified principal: issuers, key sets, JSON Web Tokens.
//!
//! A [`PresentedToken`] is what a caller sent; a [`VerifiedToken`] is proof that [`Verifier::verify`] checked it. There
//! is no other way to make one. No check is optional: issuer, audience, expiry, key and algorithm are all mandatory.

mod claims;
mod error;
mod fetch;
mod json;
mod jwk;
mod jws;
mod key_store;
mod presented;
mod source;
mod verified;
mod verifier;
#[cfg(test)]
mod wycheproof;

pub use error::{IssuerError, TokenError};
pub use presented::PresentedToken;
pub use verified::{JobPrincipal, Principal, VerifiedToken};
pub use verifier::{MonotonicClock, Timing, Verifier};

use std::{path::PathBuf, time::Duration};

/// A JWS algorithm that an issuer may use. There is no `none` and no HMAC: a gateway that can check a token must not be
/// able to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256,
    /// RSASSA-PSS with SHA-256 (RFC 7518 §3.5).
    Ps256,
}

impl Algorithm {
    /// The name in a JWS header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    pub(crate) fn from_jose(name: &str) -> Option<Self> {
        match name {
            // RFC 9864 §2.2 gives EdDSA on this curve a name of its own; the key's curve is checked either way.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }
}

/// Where an issuer's public keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A JSON Web Key Set over https; plain http only with `danger_allow_http`.
    Url {
        /// The key set itself, not a discovery document.
        url: String,
        /// PEM certificates to trust for this URL instead of the platform's.
        ca_file: Option<PathBuf>,
        /// Accept an `http:` URL: whoever can change its answers can then forge any identity of this issuer.
        danger_allow_http: bool,
    },
    /// A JSON Web Key Set in a file; changes are noticed within a second.
    File(PathBuf),
}

/// One trusted issuer. Nothing here is optional that the design forbids to be.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// The name in the configuration (`airflow`).
    pub name: String,
    /// The exact `iss` claim.
    pub issuer: String,
    /// A token must name at least one of these in `aud`.
    pub audiences: Vec<String>,
    /// The algorithms that tokens of this issuer may use.
    pub algorithms: Vec<Algorithm>,
    /// Where its public keys come from.
    pub keys: KeySource,
    /// `task`, `worker`, `client`: what a token of this issuer proves.
    pub assurance: String,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// The longest time from `iat` to `exp` that is accepted.
    pub lifetime_max: Duration,
}
