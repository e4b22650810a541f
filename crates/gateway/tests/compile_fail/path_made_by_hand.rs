//! A path that was not checked is no canonical path.
use airgate_gateway::CanonicalPath;

fn forge() -> CanonicalPath {
    CanonicalPath("/a/../b".to_owned())
}

fn main() {}
