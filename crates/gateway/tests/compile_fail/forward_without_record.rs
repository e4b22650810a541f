//! A request that is permitted but not recorded can't be forwarded.
use airgate_gateway::{Outgoing, Permitted, forward};
use airgate_signin::Credential;

async fn bypass(permitted: Permitted, credential: Credential, outgoing: Outgoing) {
    let _ = forward(permitted, credential, outgoing).await;
}

fn main() {}
