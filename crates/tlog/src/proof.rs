use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not in a tree of that size; or the old size is zero, or larger than the new one.
    #[error("the position lies outside the tree")]
    OutOfRange,
    /// The proof has too few or too many hashes.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    RootMismatch,
}

/// Splits `[start, start + size)` into its complete aligned subtrees, left to right, as `(level, index)`.
fn subtrees(start: u64, size: u64) -> impl Iterator<Item = (u8, u64)> {
    let mut at = start;
    let mut rest = size;
    std::iter::from_fn(move || {
        let level = u8::try_from(rest.checked_ilog2()?).ok()?;
        let item = (level, at >> level);
        at += 1 << level;
        rest -= 1 << level;
        Some(item)
    })
}

/// The Merkle tree hash of `[start, start + size)`; `start` is a multiple of the least power of two >= `size`.
fn range_hash<E>(start: u64, size: u64, node: &mut impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    let mut parts = Vec::with_capacity(64);
    for (level, index) in subtrees(start, size) {
        parts.push(node(level, index)?);
    }
    Ok(parts.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT))
}

/// The root of the tree of `size` entries; `node(level, index)` gives the hash of a complete subtree.
pub fn root_from_nodes<E>(size: u64, mut node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    range_hash(0, size, &mut node)
}

/// The largest power of two smaller than `size`, which is at least 2 (RFC 6962 §2.1: `k`).
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// RFC 6962 §2.1.1: the path from leaf `index` to the root of the tree of `size`. `None`: the index is outside.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut start, mut rest, mut proof) = (0, size, Vec::with_capacity(64));
    while rest > 1 {
        let k = split(rest);
        if index - start < k {
            proof.push(range_hash(start + k, rest - k, &mut node)?);
            rest = k;
        } else {
            proof.push(range_hash(start, k, &mut node)?);
            start += k;
            rest -= k;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// RFC 6962 §2.1.2: that the tree of `old` entries is a prefix of the tree of `new`. `None`: `old` is larger.
pub fn consistency_proof<E>(
    old: u64,
    new: u64,
    mut node: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut start, mut rest, mut known, mut proof) = (0, new, true, Vec::with_capacity(65));
    while old - start != rest {
        let k = split(rest);
        if old - start <= k {
            proof.push(range_hash(start + k, rest - k, &mut node)?);
            rest = k;
        } else {
            proof.push(range_hash(start, k, &mut node)?);
            start += k;
            rest -= k;
            known = false;
        }
    }
    if !known {
        proof.push(range_hash(start, rest, &mut node)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// RFC 9162 §2.1.3.2: checks that `leaf` is entry `index` of the tree of `size` with `root`.
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for part in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(part, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, part);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// RFC 9162 §2.1.4.2: checks that the tree (`old`, `old_root`) is a prefix of the tree (`new`, `new_root`).
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    // Every tree extends the empty one: a proof of that says nothing, so it is no proof.
    if old == 0 || old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == new {
        if !proof.is_empty() {
            return Err(ProofError::WrongLength);
        }
        return if old_root == new_root { Ok(()) } else { Err(ProofError::RootMismatch) };
    }
    let trailing = old.trailing_zeros();
    let (mut position, mut last) = ((old - 1) >> trailing, (new - 1) >> trailing);
    // A prefix that is one complete subtree is its own first hash, so the proof leaves it out.
    let (first, rest) =
        if old.is_power_of_two() { (old_root, proof) } else { proof.split_first().ok_or(ProofError::WrongLength)? };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for part in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if position & 1 == 1 || position == last {
            old_hash = node_hash(part, &old_hash);
            new_hash = node_hash(part, &new_hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, part);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::RootMismatch) }
}
