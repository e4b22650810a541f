use crate::entry::EntryError;
use airgate_tlog::{CheckpointError, VerifierKeyError};
use std::io;
use std::path::{Path, PathBuf};

/// Why the log, or its key, can't be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file operation failed.
    #[error("audit log: can't {what} `{}`: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// Another process has the log open.
    #[error("audit log: `{}` is in use by another process; one log has one writer", .folder.display())]
    Locked {
        /// The log's folder.
        folder: PathBuf,
    },
    /// Others than its owner may read the signing key.
    #[error("audit log: key `{}` is readable by others (mode {mode:04o}); run `chmod 600` on it", .path.display())]
    KeyMode {
        /// The key's file.
        path: PathBuf,
        /// Its mode's permission bits.
        mode: u32,
    },
    /// The file is no PKCS#8 PEM of an Ed25519 key.
    #[error("audit log: `{}` holds no PKCS#8 PEM Ed25519 private key", .path.display())]
    KeyMalformed {
        /// The key's file.
        path: PathBuf,
    },
    /// The origin can't be the name of a key.
    #[error("audit log: origin `{origin}`: {source}")]
    Origin {
        /// The configured origin.
        origin: String,
        /// What is wrong with it.
        source: VerifierKeyError,
    },
    /// The key was loaded for another origin than the configuration's.
    #[error("audit log: the key signs for `{key}`, the log's origin is `{config}`")]
    OriginMismatch {
        /// The key's name.
        key: String,
        /// The configuration's origin.
        config: String,
    },
    /// A part of the journal that was durable can't be read any more.
    #[error("audit log: `{}` is damaged at byte {offset}: {detail}; restore the file from a copy", .file.display())]
    Damaged {
        /// The journal's segment.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// A durable entry is not one this version can read.
    #[error("audit log: entry {index}: {source}")]
    Entry {
        /// The entry.
        index: u64,
        /// What is wrong with it.
        source: EntryError,
    },
    /// The published checkpoint is not accepted under the log's own key.
    #[error("audit log: `checkpoint` in `{}` is not this log's: {source}", .folder.display())]
    Checkpoint {
        /// The log's folder.
        folder: PathBuf,
        /// Why not.
        source: CheckpointError,
    },
    /// Checkpoint, tiles and journal do not describe the same log.
    #[error("audit log: `{}` contradicts itself: {detail}; nothing was changed, restore it from a copy", .folder.display())]
    Contradiction {
        /// The log's folder.
        folder: PathBuf,
        /// Which parts disagree.
        detail: String,
    },
    /// A thread of the log could not be started, or died.
    #[error("audit log: {0}")]
    Thread(String),
    /// Entries were still waiting for the disk when the log was closed.
    #[error("audit log: closed while the disk refuses writes: {0}")]
    ClosedUnavailable(String),
}

/// The log can't take an entry now; the request must be refused with 503. (`reason` is for our own log.)
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit log is unavailable: {reason}")]
pub struct Unavailable {
    /// Why, for our own log: never for the caller.
    pub reason: String,
}

impl Unavailable {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Io { what, path, source }
}
