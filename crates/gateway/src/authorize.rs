//! Stage 4: policy says permit or deny, with reasons.

use crate::{authenticate::Authenticated, refusal::Refusal, route::Routed};
use airgate_identity::VerifiedToken;
use airgate_policy::{AccessRequest, Decision, Permit, Policy};

/// A request that policy permitted, with the very method and path that it saw. Made only by [`authorize`].
#[derive(Debug)]
pub struct Permitted {
    authenticated: Authenticated,
    permit: Permit,
}

impl Permitted {
    pub(crate) fn routed(&self) -> &Routed {
        self.authenticated.routed()
    }
    pub(crate) fn token(&self) -> &VerifiedToken {
        self.authenticated.token()
    }
    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }
}

/// # Errors
/// The denial, with what to change.
pub(crate) fn authorize(policy: &Policy, authenticated: Authenticated) -> Result<Permitted, Refusal> {
    let routed = authenticated.routed();
    let request = AccessRequest {
        token: authenticated.token(),
        route: &routed.route().name,
        method: routed.method().as_str(),
        path: routed.path().as_str(),
    };
    match policy.decide(&request) {
        Decision::Permit(permit) => Ok(Permitted { authenticated, permit }),
        Decision::Deny(denial) => Err(Refusal::Denied(denial)),
    }
}
