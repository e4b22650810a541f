use super::{ReadError, bundle, checkpoint_note, io_error, missing};
use crate::disk::{Disk, RealDisk};
use crate::entry::{Entry, EntryBody, GatewayEvent, rfc3339};
use crate::tiles;
use airgate_tlog::{
    Checkpoint, CheckpointError, EMPTY_ROOT, Edge, Hash, TILE_WIDTH, TilePath, VerifierKey, consistency_proof,
    leaf_hash, node_from_tile, verify_consistency,
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// What [`verify`] checks besides the log itself.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// A signed checkpoint that was kept from before: the log must be an extension of it.
    pub since_checkpoint: Option<String>,
}

/// What was checked, and what the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The log's name.
    pub origin: String,
    /// Entries under the checkpoint.
    pub size: u64,
    /// The root, base64.
    pub root: String,
    /// Time of the first entry, RFC 3339.
    pub first_time: Option<String>,
    /// Time of the last entry, RFC 3339.
    pub last_time: Option<String>,
    /// Permitted requests.
    pub intents: u64,
    /// How many of them have ended.
    pub outcomes: u64,
    /// Refused requests.
    pub refusals: u64,
    /// Notes of the gateway about itself.
    pub gateway: u64,
    /// Intents that have no outcome yet. Only requests of the running gateway can be among them.
    pub open_intents: Vec<u64>,
    /// Size of the older checkpoint that the log was found to extend.
    pub extends_size: Option<u64>,
}

/// The first thing that is wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry's bytes are not what the tile says, or the tile is wrong.
    #[error("entry {index}: its bytes in `{bundle}` do not match `{tile}`")]
    EntryHash {
        /// The first entry that does not match.
        index: u64,
        /// The bundle that holds it.
        bundle: String,
        /// The tile that holds its hash.
        tile: String,
    },
    /// A tile above the first level is not what follows from the level below.
    #[error("`{tile}` does not follow from the tiles below it")]
    Tile {
        /// The tile.
        tile: String,
    },
    /// All tiles agree, and lead to another root than the signed one.
    #[error("the entries lead to the root `{computed}`, the checkpoint is signed for `{signed}`")]
    Root {
        /// What follows from the entries.
        computed: String,
        /// What the checkpoint says.
        signed: String,
    },
    /// An entry is not in the entry format.
    #[error("entry {index}: {detail}")]
    Entry {
        /// The entry.
        index: u64,
        /// What is wrong.
        detail: String,
    },
    /// An intent that should have an outcome by now.
    #[error("intent {intent} has no outcome, though the gateway was started anew at entry {started}")]
    NoOutcome {
        /// The intent.
        intent: u64,
        /// The `started` note after it.
        started: u64,
    },
    /// The older checkpoint is not accepted.
    #[error("the older checkpoint: {0}")]
    OldCheckpoint(CheckpointError),
    /// The log is not an extension of the older checkpoint: it was rewritten, or cut.
    #[error("the log, with {size} entries, does not extend the older checkpoint of {old_size}: {detail}")]
    Rewritten {
        /// Entries now.
        size: u64,
        /// Entries then.
        old_size: u64,
        /// How it fails.
        detail: String,
    },
}

/// Checks the published log in `folder` with nothing but its files and the public key.
pub fn verify(folder: &Path, key: &VerifierKey, options: &VerifyOptions) -> Result<VerifyReport, VerifyError> {
    verify_on(&RealDisk, folder, key, options)
}

/// [`verify`] on another disk than the machine's own.
pub fn verify_on(
    disk: &dyn Disk,
    folder: &Path,
    key: &VerifierKey,
    options: &VerifyOptions,
) -> Result<VerifyReport, VerifyError> {
    let note = checkpoint_note(disk, folder)?;
    let checkpoint = Checkpoint::open(&note, key).map_err(ReadError::from)?;
    let mut check = Check { disk, folder, size: checkpoint.size, counts: Counts::default() };
    let computed = check.tree()?;
    if computed != checkpoint.root {
        let (computed, signed) = (computed.to_string(), checkpoint.root.to_string());
        return Err(VerifyError::Root { computed, signed });
    }
    let extends_size = match &options.since_checkpoint {
        Some(old) => Some(check.extends(&checkpoint, old, key)?),
        None => None,
    };
    let counts = check.counts;
    Ok(VerifyReport {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root.to_string(),
        first_time: counts.first_time.map(rfc3339),
        last_time: counts.last_time.map(rfc3339),
        intents: counts.intents,
        outcomes: counts.outcomes,
        refusals: counts.refusals,
        gateway: counts.gateway,
        open_intents: counts.open.into_iter().collect(),
        extends_size,
    })
}

struct Check<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    size: u64,
    counts: Counts,
}

impl Check<'_> {
    /// Recomputes the whole tree from the entries, and compares every tile on the way.
    fn tree(&mut self) -> Result<Hash, VerifyError> {
        let (mut edge, mut full) = (Edge::default(), Vec::new());
        for number in 0..self.size.div_ceil(TILE_WIDTH as u64) {
            let entries = bundle(self.disk, self.folder, number, self.size)?;
            let (tile, hashes) = self.tile(0, number)?;
            let first = number * TILE_WIDTH as u64;
            for ((index, entry), expected) in (first..).zip(&entries).zip(&hashes) {
                let leaf = leaf_hash(entry);
                if leaf != *expected {
                    let bundle = TilePath::Entries { index: number, width: tile.width() }.to_string();
                    return Err(VerifyError::EntryHash { index, bundle, tile: tile.to_string() });
                }
                self.counts.entry(index, entry)?;
                edge.push(leaf, &mut full);
            }
            for above in full.drain(..).filter(|tile| tile.level > 0) {
                self.compare(above.level, above.index, &above.hashes)?;
            }
        }
        for (level, index, hashes) in edge.partial_tiles().filter(|(level, ..)| *level > 0) {
            self.compare(level, index, hashes)?;
        }
        Ok(edge.root())
    }

    fn compare(&self, level: u8, index: u64, expected: &[Hash]) -> Result<(), VerifyError> {
        let (tile, hashes) = self.tile(level, index)?;
        if hashes == expected { Ok(()) } else { Err(VerifyError::Tile { tile: tile.to_string() }) }
    }

    fn tile(&self, level: u8, index: u64) -> Result<(TilePath, Vec<Hash>), ReadError> {
        let (path, hashes) =
            tiles::hashes(self.disk, self.folder, level, index, self.size).map_err(io_error(self.folder))?;
        Ok((path, hashes.ok_or_else(|| missing(path))?))
    }

    fn extends(&self, now: &Checkpoint, old: &str, key: &VerifierKey) -> Result<u64, VerifyError> {
        let old = Checkpoint::open(old, key).map_err(VerifyError::OldCheckpoint)?;
        let rewritten = |detail: &dyn std::fmt::Display| VerifyError::Rewritten {
            size: now.size,
            old_size: old.size,
            detail: detail.to_string(),
        };
        if old.size == 0 && old.root == EMPTY_ROOT {
            return Ok(0);
        }
        let proof = consistency_proof(old.size, now.size, |level, index| self.node(level, index))?
            .ok_or_else(|| rewritten(&"entries are missing at the end"))?;
        verify_consistency(old.size, now.size, &proof, &old.root, &now.root).map_err(|error| rewritten(&error))?;
        Ok(old.size)
    }

    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        super::show::node(self.disk, self.folder, self.size, level, index)
    }
}

#[derive(Default)]
struct Counts {
    intents: u64,
    outcomes: u64,
    refusals: u64,
    gateway: u64,
    first_time: Option<Timestamp>,
    last_time: Option<Timestamp>,
    open: BTreeSet<u64>,
}

impl Counts {
    fn entry(&mut self, index: u64, bytes: &[u8]) -> Result<(), VerifyError> {
        let entry = Entry::parse(bytes).map_err(|error| VerifyError::Entry { index, detail: error.to_string() })?;
        self.first_time.get_or_insert(entry.time);
        self.last_time = Some(entry.time);
        match entry.body {
            EntryBody::Intent(_) => {
                self.intents += 1;
                self.open.insert(index);
            }
            EntryBody::Refusal(_) => self.refusals += 1,
            EntryBody::Outcome { intent, .. } => {
                self.outcomes += 1;
                if !self.open.remove(&intent) {
                    let detail = format!("it ends intent {intent}, which is no intent, or has ended before");
                    return Err(VerifyError::Entry { index, detail });
                }
            }
            EntryBody::Gateway(note) => {
                self.gateway += 1;
                // A start closes what the run before left open, before it is noted.
                if note.event == GatewayEvent::Started
                    && let Some(intent) = self.open.first()
                {
                    return Err(VerifyError::NoOutcome { intent: *intent, started: index });
                }
            }
        }
        Ok(())
    }
}

/// Gives `node_from_tile` the reader's own words.
pub(super) fn tile_node(
    level: u8,
    index: u64,
    mut tile: impl FnMut(u8, u64) -> Result<Vec<Hash>, ReadError>,
) -> Result<Option<Hash>, ReadError> {
    node_from_tile(level, index, &mut tile)
}
