//! RFC 6962 Merkle tree, C2SP tlog-tiles, checkpoints and signed notes. Pure: no input or output.
//!
//! An auditor can link this crate alone: everything it needs to check a log (signature, root, inclusion, consistency)
//! is here, and nothing here reads a file, a clock or a socket.

mod checkpoint;
mod hash;
mod note;
mod proof;
mod tile;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::{EMPTY_ROOT, HASH_BYTES, Hash, leaf_hash, node_hash};
pub use note::{NoteError, SignerKey, VerifierKey, VerifierKeyError, open_note};
pub use proof::{
    ProofError, consistency_proof, inclusion_proof, root_from_nodes, verify_consistency, verify_inclusion,
};
pub use tile::{
    BundleError, ENTRY_BYTES_MAX, Edge, FullTile, TILE_WIDTH, TilePath, bundle_entries, node_from_tile, push_entry,
    tile_from_bytes, tile_to_bytes, tile_width,
};
