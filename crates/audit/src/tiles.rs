//! Reading the published files.

use crate::disk::Disk;
use airgate_tlog::{Hash, TilePath, bundle_entries, tile_from_bytes, tile_width};
use std::io;
use std::path::Path;

/// A full bundle of largest entries, and no more.
const BUNDLE_BYTES_MAX: u64 = 256 * (2 + u16::MAX as u64);
pub(crate) const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

/// The file of a tile, or of the full tile where the partial one has given way to it (C2SP tlog-tiles allows that).
fn read(disk: &dyn Disk, folder: &Path, path: TilePath) -> io::Result<Option<Vec<u8>>> {
    if let Some(bytes) = disk.read(&folder.join(path.to_string()), 0, BUNDLE_BYTES_MAX)? {
        return Ok(Some(bytes));
    }
    if path.is_full() { Ok(None) } else { disk.read(&folder.join(path.full().to_string()), 0, BUNDLE_BYTES_MAX) }
}

/// A tile of the tree of `size`: its path, and its hashes; `None` when it is missing or too short.
pub(crate) fn hashes(
    disk: &dyn Disk,
    folder: &Path,
    level: u8,
    index: u64,
    size: u64,
) -> io::Result<(TilePath, Option<Vec<Hash>>)> {
    let width = tile_width(level, index, size);
    let path = TilePath::Hashes { level, index, width: width as u16 };
    let bytes = read(disk, folder, path)?;
    let hashes = bytes.and_then(|bytes| tile_from_bytes(&bytes, bytes.len() / airgate_tlog::HASH_BYTES));
    let hashes = hashes.filter(|hashes| hashes.len() >= width).map(|mut hashes| {
        hashes.truncate(width);
        hashes
    });
    Ok((path, hashes))
}

/// The entry bundle `index` of the tree of `size`: its path, and its entries; `None` when it is missing or too short.
pub(crate) fn entries(
    disk: &dyn Disk,
    folder: &Path,
    index: u64,
    size: u64,
) -> io::Result<(TilePath, Option<Vec<Vec<u8>>>)> {
    let width = tile_width(0, index, size);
    let path = TilePath::Entries { index, width: width as u16 };
    let Some(bytes) = read(disk, folder, path)? else { return Ok((path, None)) };
    let entries = bundle_entries(&bytes).ok().filter(|entries| entries.len() >= width);
    Ok((path, entries.map(|entries| entries[..width].iter().map(|entry| entry.to_vec()).collect())))
}

/// The checkpoint's file as text; `None` where there is none.
pub(crate) fn checkpoint(disk: &dyn Disk, folder: &Path) -> io::Result<Option<String>> {
    let bytes = disk.read(&folder.join("checkpoint"), 0, CHECKPOINT_BYTES_MAX)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
