//! What an upstream's sign-in is configured with.

use std::{path::PathBuf, time::Duration};

/// Kerberos delegation with the gateway's own keytab.
#[derive(Debug, Clone)]
pub struct KerberosConfig {
    /// `HTTP/iis01.corp.example@CORP.EXAMPLE`
    pub spn: String,
    /// The gateway's keytab: it can become any user that may be delegated, so mode 0600 is required.
    pub keytab: PathBuf,
    /// The gateway's own account in the keytab (`svc-gw@CORP.EXAMPLE`).
    pub principal: String,
    /// Longest that one request waits for the KDC (default 5 s).
    pub kdc_timeout: Duration,
    /// Longest that a user's credential is used before it is made anew (default 15 min). Kerberos does not notice a
    /// disabled user before that.
    pub credential_lifetime_max: Duration,
}

/// A signed JWT in `Authorization: Bearer`.
#[derive(Debug, Clone)]
pub struct AssertionConfig {
    /// The `iss` of our assertions: where `/.well-known/jwks.json` is served.
    pub issuer: String,
    /// The `aud` of our assertions: the app.
    pub audience: String,
    /// PKCS#8 PEM (Ed25519 or P-256), made if absent (P-256), mode 0600.
    pub key: PathBuf,
    /// At most 5 minutes.
    pub lifetime: Duration,
}

/// How an upstream is signed in to.
#[derive(Debug, Clone)]
pub enum SignInConfig {
    /// Not at all: the upstream is anonymous.
    None,
    /// As the mapped Windows identity.
    Kerberos(KerberosConfig),
    /// By an assertion about the principal.
    BearerAssertion(AssertionConfig),
}
