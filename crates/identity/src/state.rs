//! How the issuers are: for readiness, and for people.

use serde::Serialize;

/// Whether an issuer's tokens can be checked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Serving {
    /// Its keys were fetched when they were last wanted.
    Fresh,
    /// Its keys can't be fetched; the known ones serve for a bounded time.
    Stale,
    /// No keys, or too old: its tokens are refused.
    Unavailable,
    /// It has no keys here: each token is introspected.
    Introspection,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuerState {
    /// The name in the configuration.
    pub issuer: String,
    /// Whether its tokens can be checked now.
    pub serving: Serving,
    /// The usable keys.
    pub kids: Vec<String>,
    /// A word about each key that is at fault.
    pub refused: Vec<String>,
    /// Seconds since the keys were last fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
    /// Seconds for which the known keys serve if they can't be fetched again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serves_for_s: Option<u64>,
    /// Why the last fetch failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}
