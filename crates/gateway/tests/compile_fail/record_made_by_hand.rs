//! `Recorded` has private fields: only the stage that wrote the entry makes one.
use airgate_gateway::{Permitted, Recorded};

fn forge(permitted: Permitted) -> Recorded<Permitted> {
    Recorded { inner: permitted, entry: unreachable!() }
}

fn main() {}
