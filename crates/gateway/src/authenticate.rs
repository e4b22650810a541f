//! Stage 3: from a presented token to a verified one, and to its presenter.

use crate::{accept::Peer, clock, refusal::Refusal, route::Routed};
use airgate_identity::{Facts, PresentedToken, VerifiedToken, Verifier};
use http::request::Parts;

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
/// The check that the token, its presentation or the proof of possession failed; 503 where the issuer's keys can't be had.
pub(crate) async fn authenticate(
    verifier: &Verifier,
    routed: Routed,
    head: &Parts,
    peer: &Peer,
) -> Result<Authenticated, Refusal> {
    let accepts = &routed.route().accepts;
    let presented =
        PresentedToken::from_request(&head.headers, routed.query(), accepts.tolerance).map_err(Refusal::Token)?;
    let facts = Facts {
        method: routed.method().as_str(),
        target: routed.target(peer.scheme),
        client_certificate: peer.certificate.as_ref(),
        now: clock::unix_now(),
    };
    let token = verifier.verify(&presented, accepts, &facts).await.map_err(Refusal::Token)?;
    Ok(Authenticated { routed, token })
}
