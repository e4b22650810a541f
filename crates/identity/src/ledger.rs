//! Each check of a token, told apart: verification stops at the first that fails, an inspection goes on and lists them all.

use crate::error::{Fault, TokenError};
use serde::Serialize;

/// The checks of a token, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Three base64url parts, and no header parameter that is never accepted.
    Form,
    /// The claims are a JSON object, each member once.
    Claims,
    /// `iss` (a SPIFFE ID's trust domain) is that of an issuer.
    Issuer,
    /// `typ`
    Type,
    /// `alg`
    Algorithm,
    /// `kid`
    Key,
    /// The signature is the key's.
    Signature,
    /// The introspection endpoint's word.
    Introspection,
    /// `sub`
    Subject,
    /// `aud`
    Audience,
    /// `exp`
    Expiry,
    /// `nbf`, `iat`
    NotBefore,
    /// From `iat` to `exp`.
    Lifetime,
    /// That it is an access token.
    AccessToken,
    /// What the issuer's configuration asks for.
    Required,
    /// What is known of the provider.
    Profile,
    /// The configured attributes have types that compare.
    Attributes,
    /// The task instance that it names, where it names one.
    Job,
    /// `cnf`
    Confirmation,
    /// It is not on the list of revoked tokens.
    Revocation,
}

impl Check {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Introspection => "introspection",
            Self::Subject => "subject",
            Self::Audience => "audience",
            Self::Expiry => "expiry",
            Self::NotBefore => "not before",
            Self::Lifetime => "lifetime",
            Self::AccessToken => "access token",
            Self::Required => "required",
            Self::Profile => "profile",
            Self::Attributes => "attributes",
            Self::Job => "job",
            Self::Confirmation => "confirmation",
            Self::Revocation => "revocation",
        }
    }
}

/// Proof that every check passed. Made only by [`FirstFault::finish`].
pub(crate) struct Clean(());

/// Takes the outcome of each check.
pub(crate) trait Ledger {
    /// The value, where the check passed; `None` where it failed and the ledger wants to hear the rest.
    ///
    /// # Errors
    /// The fault, where the first one ends it all.
    fn note<T, E: Into<TokenError>>(&mut self, check: Check, outcome: Result<T, E>) -> Result<Option<T>, TokenError>;
}

/// Ends at the first fault.
pub(crate) struct FirstFault(());

impl FirstFault {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// INVARIANT: called only where no `note` returned an error; the callers leave with `?` then.
    pub(crate) fn finish(self) -> Clean {
        Clean(())
    }
}

impl Ledger for FirstFault {
    fn note<T, E: Into<TokenError>>(&mut self, _: Check, outcome: Result<T, E>) -> Result<Option<T>, TokenError> {
        outcome.map(Some).map_err(Into::into)
    }
}

/// Hears them all.
#[derive(Default)]
pub(crate) struct All(pub(crate) Vec<(Check, Option<TokenError>)>);

impl Ledger for All {
    fn note<T, E: Into<TokenError>>(&mut self, check: Check, outcome: Result<T, E>) -> Result<Option<T>, TokenError> {
        match outcome {
            Ok(value) => {
                self.0.push((check, None));
                Ok(Some(value))
            }
            Err(error) => {
                self.0.push((check, Some(error.into())));
                Ok(None)
            }
        }
    }
}

/// So that checks can say what they found by [`Fault`] alone.
pub(crate) type Outcome<T> = Result<T, Fault>;
