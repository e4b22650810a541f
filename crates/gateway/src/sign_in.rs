//! Stage 6: the credential of the mapped Windows identity.

use crate::{
    authorize::Permitted,
    clock,
    record::Recorded,
    refusal::{Refusal, Refused},
};
use airgate_signin::{Credential, OnBehalfOf};

/// Runs after the intent is durable: what the KDC issued for whom is then never without a record.
///
/// # Errors
/// Why there is no credential; the entry is closed with it.
pub(crate) async fn sign_in(
    recorded: Recorded<Permitted>,
    request_id: &str,
) -> Result<(Recorded<Permitted>, Credential), Refused> {
    let permitted = recorded.get();
    let token = permitted.token();
    let who = OnBehalfOf {
        windows_identity: permitted.permit().windows_identity(),
        issuer: token.issuer(),
        subject: token.subject(),
        claims: token.claims(),
        request_id,
        now: clock::unix_now(),
    };
    match permitted.routed().route().upstream.sign_in.credential(&who).await {
        Ok(credential) => Ok((recorded, credential)),
        Err(error) => Err(recorded.refuse(Refusal::SignIn(error))),
    }
}
