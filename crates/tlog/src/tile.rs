use crate::hash::{HASH_BYTES, Hash, node_hash};
use crate::proof::root_from_nodes;
use std::fmt;
use std::str::FromStr;

/// Hashes in a full tile, entries in a full bundle (C2SP tlog-tiles: tiles of height 8).
pub const TILE_WIDTH: usize = 256;
const TILE_HEIGHT: u8 = 8;
/// Largest entry: its length is a `u16` in the bundle.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;
/// Tile levels of a tree with 2^64 entries.
const TILE_LEVELS: u8 = 8;

/// The address of a tile or an entry bundle (C2SP tlog-tiles). `width` is [`TILE_WIDTH`] when full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// `tile/<level>/<index>[.p/<width>]`
    Hashes {
        /// Tile level: a hash in it covers 256^level entries.
        level: u8,
        /// Position in its level.
        index: u64,
        /// Hashes in it, 1 to 256.
        width: u16,
    },
    /// `tile/entries/<index>[.p/<width>]`
    Entries {
        /// Position: its first entry is 256 times this.
        index: u64,
        /// Entries in it, 1 to 256.
        width: u16,
    },
}

impl TilePath {
    /// The same tile when it is full.
    pub fn full(self) -> Self {
        let width = TILE_WIDTH as u16;
        match self {
            Self::Hashes { level, index, .. } => Self::Hashes { level, index, width },
            Self::Entries { index, .. } => Self::Entries { index, width },
        }
    }

    /// How many hashes or entries it holds.
    pub fn width(self) -> u16 {
        match self {
            Self::Hashes { width, .. } | Self::Entries { width, .. } => width,
        }
    }

    /// Whether it is full, and so never changes again.
    pub fn is_full(self) -> bool {
        usize::from(self.width()) == TILE_WIDTH
    }

    /// The folder that holds its partial forms, `…/<index>.p`.
    pub fn partial_folder(self) -> String {
        format!("{}.p", self.full())
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Hashes { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
        };
        // Groups of three digits, all but the last prefixed with `x`: 1234067 is `x001/x234/067`.
        let digits = index.to_string();
        let digits = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        for start in (0..digits.len()).step_by(3) {
            let group = &digits[start..start + 3];
            if start + 3 < digits.len() {
                write!(f, "x{group}/")?;
            } else {
                f.write_str(group)?;
            }
        }
        if usize::from(width) != TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

/// The text is not the one spelling of a tile's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path")]
pub struct TilePathError;

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        let rest = text.strip_prefix("tile/").ok_or(TilePathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse::<u16>().map_err(|_| TilePathError)?),
            None => (rest, TILE_WIDTH as u16),
        };
        let digits: String = index.split('/').map(|group| group.strip_prefix('x').unwrap_or(group)).collect();
        let index: u64 = digits.parse().map_err(|_| TilePathError)?;
        let path = match kind {
            "entries" => Self::Entries { index, width },
            level => Self::Hashes { level: level.parse().map_err(|_| TilePathError)?, index, width },
        };
        let in_range = usize::from(width) <= TILE_WIDTH
            && width > 0
            && !matches!(path, Self::Hashes { level, .. } if level >= TILE_LEVELS);
        // One address has one spelling: whatever does not print back as it was read is refused.
        if in_range && path.to_string() == text { Ok(path) } else { Err(TilePathError) }
    }
}

/// How many hashes tile `index` of `level` holds in a tree of `size` entries (0: the tile does not exist yet).
/// Entry bundles are as wide as the level 0 tile of the same index.
pub fn tile_width(level: u8, index: u64, size: u64) -> usize {
    let hashes = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
    let before = index.saturating_mul(TILE_WIDTH as u64);
    usize::try_from(hashes.saturating_sub(before)).unwrap_or(usize::MAX).min(TILE_WIDTH)
}

/// The hash of the complete subtree `(level, index)`, from the tile that holds it; `tile(level, index)` reads a tile.
/// `None`: the tile is too short.
pub fn node_from_tile<E>(
    level: u8,
    index: u64,
    tile: &mut impl FnMut(u8, u64) -> Result<Vec<Hash>, E>,
) -> Result<Option<Hash>, E> {
    let (tile_level, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
    let first = index << height;
    let hashes = tile(tile_level, first / TILE_WIDTH as u64)?;
    let start = (first % TILE_WIDTH as u64) as usize;
    Ok(hashes.get(start..start + (1 << height)).map(complete_root))
}

/// The root of a complete subtree: a power of two of hashes.
fn complete_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row[0]
}

/// A tile's file: its hashes, one after the other.
pub fn tile_to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads a tile's file; `None` when its length is not `width` hashes.
pub fn tile_from_bytes(bytes: &[u8], width: usize) -> Option<Vec<Hash>> {
    if bytes.len() != width * HASH_BYTES {
        return None;
    }
    bytes.chunks_exact(HASH_BYTES).map(Hash::from_slice).collect()
}

/// Why an entry bundle can't be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The bundle ends inside an entry.
    #[error("the bundle ends inside an entry")]
    Truncated,
    /// The entry is longer than a `u16` can say.
    #[error("the entry is longer than {ENTRY_BYTES_MAX} bytes")]
    EntryTooLong,
}

/// Appends one entry to a bundle: `u16` big-endian length, then the bytes.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong)?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in order.
pub fn bundle_entries(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let (mut entries, mut rest) = (Vec::new(), bundle);
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<2>().ok_or(BundleError::Truncated)?;
        let (entry, tail) =
            tail.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(BundleError::Truncated)?;
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}

/// A tile that has just become full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Tile level.
    pub level: u8,
    /// Position in its level.
    pub index: u64,
    /// Its 256 hashes.
    pub hashes: Vec<Hash>,
}

/// The right edge of a growing tree: the unfinished tile of every level. All that is needed to append and to know the
/// root, at most 8 times 255 hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Rebuilds the edge of a tree of `size` from its tiles. `None`: a tile has another width than `size` asks for.
    pub fn from_tiles<E>(
        size: u64,
        mut tile: impl FnMut(u8, u64, usize) -> Result<Vec<Hash>, E>,
    ) -> Result<Option<Self>, E> {
        let mut levels = Vec::new();
        for level in 0..TILE_LEVELS {
            let hashes = size >> (u32::from(level) * u32::from(TILE_HEIGHT));
            if hashes == 0 {
                break;
            }
            let width = (hashes % TILE_WIDTH as u64) as usize;
            let row = if width == 0 { Vec::new() } else { tile(level, hashes / TILE_WIDTH as u64, width)? };
            if row.len() != width {
                return Ok(None);
            }
            levels.push(row);
        }
        Ok(Some(Self { size, levels }))
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; tiles that it completes are put into `full`, lowest level first.
    pub fn push(&mut self, leaf: Hash, full: &mut Vec<FullTile>) {
        let mut hash = leaf;
        for level in 0..TILE_LEVELS {
            if self.levels.len() == usize::from(level) {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let row = &mut self.levels[usize::from(level)];
            row.push(hash);
            if row.len() < TILE_WIDTH {
                break;
            }
            hash = complete_root(row);
            let index = self.size >> (u32::from(level + 1) * u32::from(TILE_HEIGHT)).min(63);
            full.push(FullTile { level, index, hashes: std::mem::take(row) });
        }
        self.size += 1;
    }

    /// The unfinished tiles: level, index and hashes.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (u8, u64, &[Hash])> {
        (0_u8..).zip(&self.levels).filter(|(_, row)| !row.is_empty()).map(|(level, row)| {
            let hashes = self.size >> (u32::from(level) * u32::from(TILE_HEIGHT));
            (level, hashes / TILE_WIDTH as u64, row.as_slice())
        })
    }

    /// The root of the tree so far.
    pub fn root(&self) -> Hash {
        // Every complete subtree that the root of `size` is folded from ends in the unfinished tile of its level.
        let node = |level: u8, index: u64| {
            let (tile_level, height) = (usize::from(level / TILE_HEIGHT), level % TILE_HEIGHT);
            let start = ((index << height) % TILE_WIDTH as u64) as usize;
            Ok::<_, std::convert::Infallible>(complete_root(&self.levels[tile_level][start..start + (1 << height)]))
        };
        match root_from_nodes(self.size, node) {
            Ok(root) => root,
            Err(never) => match never {},
        }
    }
}
