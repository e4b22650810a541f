//! Stage 3: from a presented token to a verified one.

use crate::{clock, refusal::Refusal, route::Routed};
use airgate_identity::{PresentedToken, VerifiedToken, Verifier};
use http::HeaderMap;

/// A routed request of a verified principal. Made only by [`authenticate`].
#[derive(Debug)]
pub struct Authenticated {
    routed: Routed,
    token: VerifiedToken,
}

impl Authenticated {
    pub(crate) fn routed(&self) -> &Routed {
        &self.routed
    }
    pub(crate) fn token(&self) -> &VerifiedToken {
        &self.token
    }
}

/// # Errors
/// The check that the token failed; 503 where the issuer's keys can't be had.
pub(crate) async fn authenticate(
    verifier: &Verifier,
    routed: Routed,
    headers: &HeaderMap,
) -> Result<Authenticated, Refusal> {
    let presented = PresentedToken::from_headers(headers).map_err(Refusal::Token)?;
    let token = verifier.verify(&presented, clock::unix_now()).await.map_err(Refusal::Token)?;
    Ok(Authenticated { routed, token })
}
