use super::{ReadError, bundle, checkpoint_note, io_error, missing, published_size, tail};
use crate::disk::{Disk, RealDisk};
use crate::entry::{Link, as_value, link};
use crate::tiles;
use airgate_tlog::{
    Checkpoint, Hash, TILE_WIDTH, TilePath, VerifierKey, inclusion_proof, leaf_hash, tile_width, verify_inclusion,
};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// That an entry is under a checkpoint: enough to check it with code that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inclusion {
    /// Entries under the checkpoint.
    pub size: u64,
    /// The root, base64.
    pub root: String,
    /// RFC 6962 inclusion proof, base64, from the leaf upwards.
    pub proof: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// One entry, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownEntry {
    /// Its index.
    pub index: u64,
    /// What it says.
    pub entry: Value,
    /// Hash of its leaf, base64.
    pub leaf_hash: String,
    /// The index of the intent's outcome, or of the outcome's intent.
    pub partner_index: Option<u64>,
    /// What that entry says.
    pub partner: Option<Value>,
    /// The verified proof; `None` where the entry is durable and not yet published.
    pub inclusion: Option<Inclusion>,
}

/// Entry `index` of the log in `folder`, checked against the checkpoint, with its partner and its proof.
pub fn show(folder: &Path, key: &VerifierKey, index: u64) -> Result<ShownEntry, ReadError> {
    show_on(&RealDisk, folder, key, index)
}

/// [`show`] on another disk than the machine's own.
pub fn show_on(disk: &dyn Disk, folder: &Path, key: &VerifierKey, index: u64) -> Result<ShownEntry, ReadError> {
    // Unpublished entries are few: those of one publish interval.
    let mut unpublished = tail::read(disk, folder, published_size(disk, folder)?).map_err(io_error(folder))?;
    let note = checkpoint_note(disk, folder)?;
    let checkpoint = Checkpoint::open(&note, key)?;
    let size = checkpoint.size;
    unpublished.retain(|(index, _)| *index >= size);
    let log_size = unpublished.last().map_or(size, |(last, _)| last + 1);
    let bytes = if index < size {
        bundle(disk, folder, index / TILE_WIDTH as u64, size)?.swap_remove((index % TILE_WIDTH as u64) as usize)
    } else {
        let found = unpublished.iter().find(|(at, _)| *at == index);
        found.map(|(_, bytes)| bytes.clone()).ok_or(ReadError::NoEntry { index, size: log_size })?
    };
    let leaf = leaf_hash(&bytes);
    let inclusion = if index < size {
        let proof = inclusion_proof(index, size, |level, at| node(disk, folder, size, level, at))?.unwrap_or_default();
        verify_inclusion(index, size, &leaf, &proof, &checkpoint.root).map_err(|_| ReadError::NotIncluded { index })?;
        let proof = proof.iter().map(Hash::to_string).collect();
        Some(Inclusion { size, root: checkpoint.root.to_string(), proof, checkpoint: note })
    } else {
        None
    };
    let partner = partner(disk, folder, size, &unpublished, index, &bytes)?;
    Ok(ShownEntry {
        index,
        entry: as_value(&bytes),
        leaf_hash: leaf.to_string(),
        partner_index: partner.as_ref().map(|(index, _)| *index),
        partner: partner.map(|(_, bytes)| as_value(&bytes)),
        inclusion,
    })
}

/// The outcome of an intent, which comes after it; the intent of an outcome, whose index it names.
fn partner(
    disk: &dyn Disk,
    folder: &Path,
    size: u64,
    unpublished: &[(u64, Vec<u8>)],
    index: u64,
    bytes: &[u8],
) -> Result<Option<(u64, Vec<u8>)>, ReadError> {
    let width = TILE_WIDTH as u64;
    match link(bytes) {
        Ok(Link::Outcome(intent)) if intent < size => {
            let mut entries = bundle(disk, folder, intent / width, size)?;
            Ok(Some((intent, entries.swap_remove((intent % width) as usize))))
        }
        Ok(Link::Outcome(intent)) => Ok(unpublished.iter().find(|(at, _)| *at == intent).cloned()),
        Ok(Link::Intent) => {
            let ends = |bytes: &[u8]| matches!(link(bytes), Ok(Link::Outcome(intent)) if intent == index);
            for number in index / width..size.div_ceil(width) {
                let entries = bundle(disk, folder, number, size)?;
                if let Some(at) = entries.iter().position(|entry| ends(entry)) {
                    return Ok(Some((number * width + at as u64, entries[at].clone())));
                }
            }
            Ok(unpublished.iter().find(|(_, bytes)| ends(bytes)).cloned())
        }
        _ => Ok(None),
    }
}

/// The hash of a complete subtree, from the tiles.
pub(super) fn node(disk: &dyn Disk, folder: &Path, size: u64, level: u8, index: u64) -> Result<Hash, ReadError> {
    let mut read = TilePath::Hashes { level: 0, index: 0, width: 1 };
    let found = super::verify::tile_node(level, index, |level, index| {
        let (path, hashes) = tiles::hashes(disk, folder, level, index, size).map_err(io_error(folder))?;
        read = path;
        debug_assert!(tile_width(level, index, size) > 0);
        hashes.ok_or_else(|| missing(path))
    })?;
    found.ok_or_else(|| missing(read))
}
