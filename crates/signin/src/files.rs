//! Reading files that hold keys: bounded, private, wiped after use.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use zeroize::Zeroizing;

/// No keytab or key file of ours comes near this.
const SIZE_BYTES_MAX: u64 = 1024 * 1024;

/// Tells one version of a file from another: a file put in its place, or written anew, has another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// The file's stamp now; None if it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|m| Self::from_metadata(&m))
    }

    fn from_metadata(m: &std::fs::Metadata) -> Self {
        Self { device: m.dev(), inode: m.ino(), size: m.size(), modified: (m.mtime(), m.mtime_nsec()) }
    }
}

/// Reads a private file. Refuses one that others than its owner may read or write.
///
/// # Errors
/// A sentence with the path, what is wrong, and the next step.
pub(crate) fn read_private(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Stamp), String> {
    let shown = path.display();
    // The open file is what is checked: the path could name another one a moment later.
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("`{shown}` does not exist: check the path"),
        _ => format!("`{shown}` cannot be opened ({e}): let the gateway's account read it"),
    })?;
    let facts = file.metadata().map_err(|e| format!("`{shown}` cannot be looked at ({e})"))?;
    if !facts.is_file() {
        return Err(format!("`{shown}` is not a regular file"));
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("`{shown}` has mode {mode:04o} and others can reach it: run `chmod 600 {shown}`"));
    }
    if facts.len() > SIZE_BYTES_MAX {
        return Err(format!("`{shown}` has {} bytes, more than any key file should", facts.len()));
    }
    // Room for the whole file at once: a buffer that grows leaves copies behind that are not wiped.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(facts.len()).unwrap_or(0) + 1));
    file.take(SIZE_BYTES_MAX).read_to_end(&mut content).map_err(|e| format!("`{shown}` cannot be read ({e})"))?;
    Ok((content, Stamp::from_metadata(&facts)))
}
