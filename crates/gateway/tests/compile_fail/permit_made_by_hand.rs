//! `Permitted` has private fields: only the stage that asked policy makes one.
use airgate_gateway::{Authenticated, Permitted};
use airgate_policy::Permit;

fn forge(authenticated: Authenticated, permit: Permit) -> Permitted {
    Permitted { authenticated, permit }
}

fn main() {}
