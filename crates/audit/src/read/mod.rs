//! The reading side: needs the log's folder and, to trust what it reads, the public key. It never writes, and works while the
//! log is being written.

mod search;
mod show;
mod tail;
mod verify;

pub use search::{Attached, FoundCall, Query, search, search_on};
pub use show::{Inclusion, ShownEntry, show, show_on};
pub use verify::{VerifyError, VerifyOptions, VerifyReport, verify, verify_on};

use crate::disk::Disk;
use crate::tiles;
use airgate_tlog::{Checkpoint, CheckpointError, TilePath};
use std::io;
use std::path::{Path, PathBuf};

/// Why the log can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file operation failed.
    #[error("can't read the log in `{}`: {source}", .folder.display())]
    Io {
        /// The log's folder.
        folder: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// No checkpoint: no log, or one that has not published yet.
    #[error("`{}` holds no `checkpoint`: it is no log's folder, or nothing was published yet", .folder.display())]
    NoCheckpoint {
        /// The folder.
        folder: PathBuf,
    },
    /// The checkpoint is not accepted.
    #[error("`checkpoint`: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A file that the checkpoint covers is missing or shorter than it must be.
    #[error("`{path}` is missing or too short")]
    Tile {
        /// Its path in the log's folder.
        path: String,
    },
    /// The log has no such entry.
    #[error("there is no entry {index}; the log has {size}")]
    NoEntry {
        /// What was asked for.
        index: u64,
        /// Entries in the log, unpublished ones included.
        size: u64,
    },
    /// The entry is not the one under the checkpoint.
    #[error("entry {index} is not the one that the checkpoint covers")]
    NotIncluded {
        /// The entry.
        index: u64,
    },
}

fn io_error(folder: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let folder = folder.to_owned();
    move |source| ReadError::Io { folder, source }
}

fn checkpoint_note(disk: &dyn Disk, folder: &Path) -> Result<String, ReadError> {
    tiles::checkpoint(disk, folder)
        .map_err(io_error(folder))?
        .ok_or_else(|| ReadError::NoCheckpoint { folder: folder.to_owned() })
}

/// How many entries are published, for finding one's way; 0 before the first checkpoint.
fn published_size(disk: &dyn Disk, folder: &Path) -> Result<u64, ReadError> {
    match tiles::checkpoint(disk, folder).map_err(io_error(folder))? {
        Some(note) => Ok(Checkpoint::peek_unverified(&note)?.size),
        None => Ok(0),
    }
}

fn missing(path: TilePath) -> ReadError {
    ReadError::Tile { path: path.to_string() }
}

/// The entries of bundle `index` in the tree of `size`.
fn bundle(disk: &dyn Disk, folder: &Path, index: u64, size: u64) -> Result<Vec<Vec<u8>>, ReadError> {
    let (path, entries) = tiles::entries(disk, folder, index, size).map_err(io_error(folder))?;
    entries.ok_or_else(|| missing(path))
}
