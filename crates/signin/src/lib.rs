//! Signing in to IIS as the mapped Windows identity: Kerberos delegation, signed assertion, none.
#![allow(missing_docs, clippy::todo)]
use std::{path::PathBuf, sync::Arc, time::Duration};

#[derive(Debug, Clone)]
pub struct KerberosConfig {
    /// `HTTP/iis01.corp.example@CORP.EXAMPLE`
    pub spn: String,
    pub keytab: PathBuf,
    /// The gateway's own account in the keytab (`svc-gw@CORP.EXAMPLE`).
    pub principal: String,
    /// Longest that one request waits for the KDC (default 5 s).
    pub kdc_timeout: Duration,
    /// Longest that a user's credential is used before it is made anew (default 15 min).
    pub credential_lifetime_max: Duration,
}
#[derive(Debug, Clone)]
pub struct AssertionConfig {
    /// The `iss` of our assertions: where `/.well-known/jwks.json` is served.
    pub issuer: String,
    pub audience: String,
    /// PKCS#8 PEM (Ed25519 or P-256), made if absent, mode 0600.
    pub key: PathBuf,
    /// At most 5 minutes.
    pub lifetime: Duration,
}
#[derive(Debug, Clone)]
pub enum SignInConfig { None, Kerberos(KerberosConfig), BearerAssertion(AssertionConfig) }

/// Why a sign-in failed: a closed set. `code()` is stable, `public()` what the caller may see, `Display` the detail
/// for the log (KDC's words included). No variant ever holds a ticket or token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignInError { #[error("stub")] Stub }
impl SignInError {
    /// `kdc_unavailable`, `kdc_timeout`, `sign_in_busy`, `identity_refused`, `delegation_refused`, `gateway_credential`, `mutual_authentication_failed`, `no_identity`, ...
    pub fn code(&self) -> &'static str { todo!() }
    pub fn public(&self) -> String { todo!() }
    /// 503 (try again later: KDC away or busy), 502 (upstream failed mutual authentication) or 500-like 502 for configuration.
    pub fn status(&self) -> u16 { todo!() }
    pub fn examples() -> Vec<SignInError> { todo!() }
}

/// Who the request is for: all that a sign-in may put into its credential.
#[derive(Debug, Clone)]
pub struct OnBehalfOf<'a> {
    pub windows_identity: Option<&'a str>,
    /// The principal's issuer and subject, and claims to hand on (dag_id, run_id, ...), for assertions.
    pub issuer: &'a str,
    pub subject: &'a str,
    pub claims: &'a serde_json::Map<String, serde_json::Value>,
    pub request_id: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

/// One upstream's way of signing in. Cheap to clone.
#[derive(Clone)]
pub struct SignIn(Arc<()>);
impl SignIn {
    pub fn new(upstream: &str, config: SignInConfig) -> Result<Self, SignInError> { let _ = (upstream, config); todo!() }
    /// `none`, `kerberos`, `bearer_assertion`: part of the pool's key, and of the log.
    pub fn mode(&self) -> &'static str { todo!() }
    /// May talk to the KDC, off the caller's thread, within `kdc_timeout`; single flight per identity; cached.
    pub async fn credential(&self, who: &OnBehalfOf<'_>) -> Result<Credential, SignInError> { let _ = (who, &self.0); todo!() }
    /// The public keys of assertions, as JWKs; empty for other modes.
    pub fn public_jwks(&self) -> Vec<serde_json::Value> { todo!() }
}

/// Ready to sign in one identity. Makes a fresh header for every attempt.
pub struct Credential(());
impl Credential {
    /// The `Authorization` header of one attempt (marked sensitive), and what checks the answer. None: send no header.
    pub async fn authorization(&self) -> Result<(Option<http::HeaderValue>, AnswerCheck), SignInError> { let () = self.0; todo!() }
}
/// Checks one answer: mutual authentication for Kerberos, nothing for the others. Fails closed.
pub struct AnswerCheck(());
impl AnswerCheck {
    pub fn check(self, status: http::StatusCode, headers: &http::HeaderMap) -> Result<(), SignInError> { let () = self.0; let _ = (status, headers); todo!() }
}
