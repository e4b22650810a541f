//! What the verifier is told about issuers, resolved.

use crate::{Algorithm, ClaimPath, Requirement, profile::Profile};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// One trusted issuer. Nothing here is optional that the design forbids to be.
///
/// [`ProfileName::config`](crate::ProfileName::config) makes one from what a provider's profile knows; what is given wins.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// The name in the configuration (`airflow`).
    pub name: String,
    /// What is known of the provider.
    pub profile: Profile,
    /// The exact `iss` claims that lead here. Only a SPIFFE trust domain may have none.
    pub issuers: Vec<String>,
    /// Which audiences are accepted: a token must name at least one.
    pub audiences: Vec<String>,
    /// Where a token names its audience: `aud`, but for providers that have none.
    pub audience_claim: ClaimPath,
    /// The algorithms that tokens of this issuer may use.
    pub algorithms: Vec<Algorithm>,
    /// The kinds of token, by their `typ`.
    pub token_types: Vec<TokenType>,
    /// A token without `kid` is accepted where exactly one key fits its algorithm.
    pub kid_optional: bool,
    /// Where its public keys come from.
    pub keys: KeySource,
    /// Whom to ask about opaque tokens.
    pub introspection: Option<IntrospectionConfig>,
    /// What its tokens must say.
    pub required: Vec<Requirement>,
    /// Names that policy uses, and where their values are. `roles` holds the roles.
    pub attributes: BTreeMap<String, ClaimPath>,
    /// `task`, `worker`, `client`: what a token of this issuer proves.
    pub assurance: String,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// The longest time from `iat` to `exp` that is accepted.
    pub lifetime_max: Duration,
    /// Tokens that are refused though they are good: a `jti`, or a token's SHA-256 digest, a line.
    pub revoked_file: Option<PathBuf>,
    /// When keys are fetched, and how long they serve.
    pub timing: Timing,
}

/// Where an issuer's public keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Over https; plain http only with `danger_allow_http`.
    Remote(Remote),
    /// A JSON Web Key Set in a file; changes are noticed within a second.
    File(PathBuf),
    /// None: every token is introspected.
    Introspection,
}

/// Keys that are fetched.
#[derive(Debug, Clone)]
pub struct Remote {
    /// What is at which address.
    pub place: Place,
    /// How it is fetched.
    pub http: HttpSettings,
}

/// Three things that are told apart: the issuer's name, its discovery document's address, its key set's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The key set itself.
    KeySet(String),
    /// A discovery document, which names the key set.
    Discovery(String),
    /// The issuer's name: the discovery document is where OpenID Connect Discovery §4 puts it, or else RFC 8414 §3.1.
    Issuer(String),
}

impl Place {
    /// The address, or the name that it is made from.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::KeySet(url) | Self::Discovery(url) | Self::Issuer(url) => url,
        }
    }
}

/// How an issuer is spoken to.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// PEM certificates to trust instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// Hosts besides that of the configured address, to which a discovery document or a redirect may lead.
    pub hosts: Vec<String>,
    /// Most redirects that are followed: none by default. Each must lead to a host that is named.
    pub redirects_max: usize,
    /// Accept `http:`: whoever can change the answers can then forge any identity of this issuer.
    pub danger_allow_http: bool,
    /// A file with a bearer token for these requests (a Kubernetes API server asks for one).
    pub token_file: Option<PathBuf>,
    /// PEM files of a certificate and its key, shown in the TLS handshake.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// RFC 7662.
#[derive(Debug, Clone)]
pub struct IntrospectionConfig {
    /// The endpoint.
    pub url: String,
    /// How it is reached. With a certificate, this authenticates us (RFC 8705 §2).
    pub http: HttpSettings,
    /// Our name there.
    pub client_id: String,
    /// PKCS#8 PEM (Ed25519, P-256 or RSA) for `private_key_jwt` (RFC 7523 §2.2); none: the certificate authenticates us.
    pub key: Option<PathBuf>,
    /// The `kid` that the assertion's header names, where the server wants one.
    pub key_id: Option<String>,
    /// Whom the assertion is for: the issuer's name.
    pub audience: String,
    /// The longest time that an answer is remembered; never longer than the token's `exp`.
    pub cache_max: Duration,
    /// Questions under way at a time; one more is refused.
    pub concurrency_max: usize,
}

/// What kind of token the header's `typ` announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// `at+jwt` (RFC 9068): an access token, by its own word.
    AccessToken,
    /// `JWT`, or no `typ`: any token. What makes it an access token must be required of its claims.
    Jwt,
    /// `airgate-job+jwt`: a job assertion of our provider.
    JobAssertion,
}

impl TokenType {
    /// As in the configuration, and in a JWS header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::Jwt => "JWT",
            Self::JobAssertion => "airgate-job+jwt",
        }
    }
}

/// How often keys are fetched, and how long they serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// A fetch that takes longer has failed. 5 s.
    pub fetch_timeout: Duration,
    /// The least time between two fetches that unknown `kid`s cause in vain. 10 s.
    pub cool_down: Duration,
    /// The least time between any two fetches that are not due. 1 s.
    pub retry_interval: Duration,
    /// How often keys are fetched where the answer names no time. 5 min.
    pub refresh_interval: Duration,
    /// They are fetched no more often than this, whatever the answer says. 1 min.
    pub refresh_min: Duration,
    /// And no less often: how late a removed key is noticed. 1 h.
    pub refresh_max: Duration,
    /// How often a file may be looked at. 1 s.
    pub file_interval: Duration,
    /// How long known keys serve after they should have been fetched again, while the source can't be had. 1 h.
    pub stale_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            fetch_timeout: Duration::from_secs(5),
            cool_down: Duration::from_secs(10),
            retry_interval: Duration::from_secs(1),
            refresh_interval: Duration::from_mins(5),
            refresh_min: Duration::from_mins(1),
            refresh_max: Duration::from_hours(1),
            file_interval: Duration::from_secs(1),
            stale_max: Duration::from_hours(1),
        }
    }
}

/// DPoP for all issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopConfig {
    /// How old a proof may be. 60 s.
    pub age_max: Duration,
    /// How far the caller's clock may be ahead. 5 s.
    pub leeway: Duration,
    /// Proofs that are remembered, so that none is used twice; one more is refused. 200,000.
    pub replays_max: usize,
    /// How long a nonce of ours is good. 5 min.
    pub nonce_lifetime: Duration,
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self {
            age_max: Duration::from_secs(60),
            leeway: Duration::from_secs(5),
            replays_max: 200_000,
            nonce_lifetime: Duration::from_mins(5),
        }
    }
}

/// What is wrong with a configured issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("issuer `{issuer}`: {problem}")]
pub struct IssuerError {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// The setting that is at fault.
    pub key: &'static str,
    /// What is wrong, with the value.
    pub problem: String,
    /// The next step.
    pub help: String,
}

impl IssuerError {
    pub(crate) fn new(issuer: &str, key: &'static str, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { issuer: issuer.to_owned(), key, problem: problem.into(), help: help.into() }
    }
}
