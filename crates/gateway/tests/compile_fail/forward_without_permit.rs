//! A request that is only authenticated can't be forwarded.
use airgate_gateway::{Authenticated, Outgoing, forward};
use airgate_signin::Credential;

async fn bypass(authenticated: Authenticated, credential: Credential, outgoing: Outgoing) {
    let _ = forward(authenticated, credential, outgoing).await;
}

fn main() {}
