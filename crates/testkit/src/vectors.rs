//! Where the test vectors of other projects lie.

use std::path::PathBuf;

/// The folder `name` of the vectors: under `AIRGATE_VECTORS`, or `../shared/vectors` from the project's root.
///
/// `None`, and one line on stderr, where it is missing: the vectors are not part of the project.
#[must_use]
pub fn vectors(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AIRGATE_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no test vectors `{name}` (set AIRGATE_VECTORS to the folder that holds them)");
    None
}
