//! From a presented token to a verified principal: issuers, key sets, JSON Web Tokens.
#![allow(missing_docs, clippy::todo)]
use std::{path::PathBuf, sync::Arc, time::Duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm { EdDsa, Es256, Rs256, Ps256 }
impl Algorithm {
    /// The JWS name (RFC 7518 §3.1, RFC 8037 §3.1).
    pub fn as_str(self) -> &'static str { match self { Self::EdDsa => "EdDSA", Self::Es256 => "ES256", Self::Rs256 => "RS256", Self::Ps256 => "PS256" } }
}

#[derive(Debug, Clone)]
pub enum KeySource {
    /// https only, unless `danger_allow_http`.
    Url { url: String, ca_file: Option<PathBuf>, danger_allow_http: bool },
    File(PathBuf),
}

/// One trusted issuer. Nothing here is optional that the design forbids to be.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// The name in the configuration (`airflow`).
    pub name: String,
    /// The exact `iss` claim.
    pub issuer: String,
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: KeySource,
    /// `task`, `worker`, `client`: what a token of this issuer proves.
    pub assurance: String,
    pub leeway: Duration,
    pub lifetime_max: Duration,
}

/// A token as the caller sent it. No `Display`, no `Serialize`; `Debug` shows `Secret(..)`.
pub struct PresentedToken(#[allow(dead_code)] secrecy::SecretString);
impl PresentedToken {
    /// From the request's headers: exactly one `Authorization: Bearer`.
    pub fn from_headers(headers: &http::HeaderMap) -> Result<Self, TokenError> { let _ = headers; todo!() }
}

#[derive(Debug, Clone)]
pub struct JobPrincipal { pub dag_id: String, pub run_id: String, pub task_id: String, pub map_index: i64, pub try_number: i64, pub ti_id: Option<String> }

/// The verified party. Keyed by (issuer, subject).
#[derive(Debug, Clone)]
pub enum Principal { Job(JobPrincipal), Workload }

/// Made only by `Verifier::verify`.
#[derive(Debug, Clone)]
pub struct VerifiedToken(Arc<()>);
impl VerifiedToken {
    /// The issuer's name in the configuration.
    pub fn issuer(&self) -> &str { todo!() }
    pub fn subject(&self) -> &str { todo!() }
    pub fn principal(&self) -> &Principal { todo!() }
    pub fn assurance(&self) -> &str { todo!() }
    pub fn token_id(&self) -> Option<&str> { todo!() }
    pub fn sha256_hex(&self) -> &str { todo!() }
    /// Seconds since 1970.
    pub fn expires_at(&self) -> u64 { todo!() }
    /// All claims, verified.
    pub fn claims(&self) -> &serde_json::Map<String, serde_json::Value> { let _ = &self.0; todo!() }
}

/// Why a token was refused: a closed set. `code()` is stable (`token_expired`), `public()` is what the caller may
/// see (names the failed check), `Display` is the whole detail for the log. No variant ever holds token text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError { #[error("stub")] Stub }
impl TokenError {
    pub fn code(&self) -> &'static str { todo!() }
    pub fn public(&self) -> String { todo!() }
    /// True where the fault is ours (key set unreachable and stale): 503 instead of 401.
    pub fn is_unavailable(&self) -> bool { todo!() }
    /// One of each variant, for the generated reference page and exhaustive tests.
    pub fn examples() -> Vec<TokenError> { todo!() }
}

#[derive(Debug, thiserror::Error)]
pub enum IssuerError { #[error("stub")] Stub }

/// All issuers with their key sets. Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<()>);
impl Verifier {
    /// Reads key files at once; key URLs are fetched by `start` and on an unknown `kid`.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, Vec<IssuerError>> { let _ = issuers; todo!() }
    /// Background refresh on the given runtime, until the handle is dropped with it.
    pub fn start(&self, runtime: &tokio::runtime::Handle) { let _ = (runtime, &self.0); todo!() }
    /// `now`: seconds since 1970.
    pub async fn verify(&self, token: &PresentedToken, now: u64) -> Result<VerifiedToken, TokenError> { let _ = (token, now); todo!() }
}
