//! Signing in to IIS as the mapped Windows identity: Kerberos delegation, signed assertion, none.
//!
//! A [`SignIn`] belongs to one upstream. [`SignIn::credential`] makes sure that all that needs the KDC is done, off the
//! caller's thread and within a limit; [`Credential::authorization`] then makes a header for one attempt without any
//! I/O, and the [`AnswerCheck`] that goes with it says whether the answer came from the upstream it was meant for.
//!
//! - [`kerberos`]: S4U2Self and S4U2Proxy with the gateway's own keytab: no password of anyone is known here.
//! - [`assertion`]: a short-lived signed JWT that the app checks with the gateway's public keys.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod assertion;
mod config;
mod error;
mod files;
pub mod kerberos;

use std::{fmt, sync::Arc};

pub use config::{AssertionConfig, KerberosConfig, SignInConfig};
pub use error::SignInError;

use assertion::{AssertionSigner, Subject};
use kerberos::{Kerberos, KerberosCheck, KerberosCredential};

/// Who the request is for: all that a sign-in may put into its credential.
#[derive(Debug, Clone)]
pub struct OnBehalfOf<'a> {
    /// `svc-orders@corp.example` (user principal name), `svc-orders` or `CORP\svc-orders`.
    pub windows_identity: Option<&'a str>,
    /// The principal's issuer, for assertions.
    pub issuer: &'a str,
    /// The principal's subject, for assertions.
    pub subject: &'a str,
    /// Claims to hand on in assertions: those named in [`assertion::JOB_CLAIMS`], and no others.
    pub claims: &'a serde_json::Map<String, serde_json::Value>,
    /// The request id minted by the gateway.
    pub request_id: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

/// One upstream's way of signing in. Cheap to clone.
#[derive(Clone)]
pub struct SignIn(Mode);

#[derive(Clone)]
enum Mode {
    None,
    Kerberos(Arc<Kerberos>),
    BearerAssertion(Arc<AssertionSigner>),
}

impl SignIn {
    /// Checks the configuration and the files it names; makes the assertion key if there is none. Asks no KDC, so that a
    /// gateway starts while its KDC is away.
    ///
    /// # Errors
    /// [`SignInError::Configuration`] and [`SignInError::GatewayCredential`], each with the next step.
    pub fn new(upstream: &str, config: SignInConfig) -> Result<Self, SignInError> {
        let mode = match config {
            SignInConfig::None => Mode::None,
            SignInConfig::Kerberos(config) => Mode::Kerberos(Kerberos::new(upstream, config)?),
            SignInConfig::BearerAssertion(config) => Mode::BearerAssertion(Arc::new(AssertionSigner::new(config)?)),
        };
        Ok(Self(mode))
    }

    /// `none`, `kerberos`, `bearer_assertion`: part of the pool's key, and of the log.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match self.0 {
            Mode::None => "none",
            Mode::Kerberos(_) => "kerberos",
            Mode::BearerAssertion(_) => "bearer_assertion",
        }
    }

    /// What signs in this identity. May talk to the KDC: off the caller's thread, within `kdc_timeout`, one at a time for
    /// one identity; the result is cached. Needs a tokio runtime with its time driver.
    ///
    /// # Errors
    /// Every [`SignInError`] but those of the answer.
    pub async fn credential(&self, who: &OnBehalfOf<'_>) -> Result<Credential, SignInError> {
        Ok(Credential(match &self.0 {
            Mode::None => Kind::None,
            Mode::Kerberos(kerberos) => Kind::Kerberos(
                Kerberos::credential(kerberos, who.windows_identity.ok_or(SignInError::NoIdentity)?).await?,
            ),
            Mode::BearerAssertion(signer) => Kind::BearerAssertion(signer.clone(), Box::new(Subject::new(who))),
        }))
    }

    /// The public keys of assertions, as JWKs; empty for other modes.
    #[must_use]
    pub fn public_jwks(&self) -> Vec<serde_json::Value> {
        match &self.0 {
            Mode::None | Mode::Kerberos(_) => Vec::new(),
            Mode::BearerAssertion(signer) => vec![signer.public_jwk()],
        }
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignIn({})", self.mode())
    }
}

/// Ready to sign in one identity. Makes a fresh header for every attempt.
pub struct Credential(Kind);

enum Kind {
    None,
    Kerberos(KerberosCredential),
    BearerAssertion(Arc<AssertionSigner>, Box<Subject>),
}

impl Credential {
    /// The `Authorization` header of one attempt (marked sensitive), and what checks the answer. None: send no header.
    ///
    /// Never send one header twice: upstreams refuse a replayed token, and each check belongs to one token.
    ///
    /// # Errors
    /// As [`SignIn::credential`]: a credential that expired since is made anew.
    pub async fn authorization(&self) -> Result<(Option<http::HeaderValue>, AnswerCheck), SignInError> {
        Ok(match &self.0 {
            Kind::None => (None, AnswerCheck(Check::Nothing)),
            Kind::Kerberos(credential) => {
                let (header, check) = credential.authorization().await?;
                (Some(header), AnswerCheck(Check::Kerberos(Box::new(check))))
            }
            Kind::BearerAssertion(signer, subject) => {
                (Some(signer.authorization(subject)?), AnswerCheck(Check::Refusal))
            }
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::None => "Credential(none)",
            Kind::Kerberos(_) => "Credential(kerberos, ..)",
            Kind::BearerAssertion(..) => "Credential(bearer_assertion, ..)",
        })
    }
}

/// Checks one answer. Fails closed.
#[must_use = "an answer that was not checked may be another server's"]
pub struct AnswerCheck(Check);

enum Check {
    /// `none`: whatever the upstream answers is its answer to an anonymous request, a 401 included.
    Nothing,
    /// `bearer_assertion`: TLS says who answered; a 401 means that our assertion was refused.
    Refusal,
    Kerberos(Box<KerberosCheck>),
}

impl AnswerCheck {
    /// Mutual authentication for Kerberos; that the sign-in was not refused for every mode but `none`.
    ///
    /// # Errors
    /// [`SignInError::UpstreamRefusedSignIn`] for a 401, [`SignInError::MutualAuthenticationFailed`] for any other status
    /// without a right `WWW-Authenticate: Negotiate` token.
    pub fn check(self, status: http::StatusCode, headers: &http::HeaderMap) -> Result<(), SignInError> {
        match self.0 {
            Check::Nothing => Ok(()),
            Check::Refusal if status == http::StatusCode::UNAUTHORIZED => Err(SignInError::UpstreamRefusedSignIn {
                detail: "the upstream answered 401 to a signed assertion".to_owned(),
            }),
            Check::Refusal => Ok(()),
            Check::Kerberos(check) => check.check(status, headers),
        }
    }
}

impl fmt::Debug for AnswerCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Check::Nothing => "AnswerCheck(nothing)",
            Check::Refusal => "AnswerCheck(refusal)",
            Check::Kerberos(_) => "AnswerCheck(kerberos, ..)",
        })
    }
}
