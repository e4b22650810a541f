//! A record of what was not permitted is no proof.
use airgate_gateway::{Authenticated, Outgoing, Recorded, forward};
use airgate_signin::Credential;

async fn bypass(recorded: Recorded<Authenticated>, credential: Credential, outgoing: Outgoing) {
    let _ = forward(recorded, credential, outgoing).await;
}

fn main() {}
