//! Proofs of transparency-dev/merkle, good and mutated.

use airgate_tlog::{Hash, verify_consistency, verify_inclusion};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// `None`, with a line about it, where the vectors are not on this machine.
fn folder(name: &str) -> Option<PathBuf> {
    let given = std::env::vars_os().find(|(key, _)| key == "AIRGATE_VECTORS").map(|(_, value)| PathBuf::from(value));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = given.unwrap_or_else(|| root.join("../shared/vectors")).join("merkle").join(name);
    if !folder.is_dir() {
        eprintln!("skipped: no Merkle vectors in `{}` (set AIRGATE_VECTORS)", folder.display());
        return None;
    }
    Some(folder)
}

fn cases(folder: &Path, found: &mut Vec<(PathBuf, Value)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cases(&path, found);
        } else {
            let case = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            found.push((path, case));
        }
    }
}

/// Hashes of another length than SHA-256's make a proof that is refused before any arithmetic.
fn hash(value: &Value) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(value.as_str().unwrap_or_default()).ok()?)
}

/// Where only their equality matters, some cases put words for roots: any hash of them is as equal as they are.
fn root(value: &Value) -> Option<Hash> {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).ok()?;
    Some(Hash::from_slice(&bytes).unwrap_or_else(|| airgate_tlog::leaf_hash(&bytes)))
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

fn run(name: &str, holds: impl Fn(&Value) -> bool) {
    let Some(folder) = folder(name) else { return };
    let mut all = Vec::new();
    cases(&folder, &mut all);
    assert!(all.len() > 50, "only {} cases", all.len());
    for (path, case) in &all {
        let expected = !case["wantErr"].as_bool().unwrap();
        assert_eq!(holds(case), expected, "{}: {}", path.display(), case["desc"]);
    }
}

#[test]
fn inclusion_proofs_of_others() {
    run("inclusion", |case| {
        let (Some(leaf), Some(proof), Some(root)) =
            (hash(&case["leafHash"]), hashes(&case["proof"]), hash(&case["root"]))
        else {
            return false;
        };
        let (index, size) = (case["leafIdx"].as_u64().unwrap(), case["treeSize"].as_u64().unwrap());
        verify_inclusion(index, size, &leaf, &proof, &root).is_ok()
    });
}

#[test]
fn consistency_proofs_of_others() {
    run("consistency", |case| {
        let (Some(proof), Some(old_root), Some(new_root)) =
            (hashes(&case["proof"]), root(&case["root1"]), root(&case["root2"]))
        else {
            return false;
        };
        let (old, new) = (case["size1"].as_u64().unwrap(), case["size2"].as_u64().unwrap());
        verify_consistency(old, new, &proof, &old_root, &new_root).is_ok()
    });
}
