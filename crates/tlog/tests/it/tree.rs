//! Trees, tiles and proofs against `tlog_tiles`, a port of Go's own code.

use airgate_tlog::{
    Checkpoint, EMPTY_ROOT, Edge, FullTile, Hash, ProofError, TILE_WIDTH, TilePath, bundle_entries, consistency_proof,
    inclusion_proof, leaf_hash, node_from_tile, push_entry, root_from_nodes, tile_from_bytes, tile_to_bytes,
    tile_width, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// A log as its tiles: everything is answered from them, as a client would.
struct Tiled {
    edge: Edge,
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Tiled {
    fn new(size: u64) -> Self {
        let (mut edge, mut full, mut tiles) = (Edge::default(), Vec::new(), BTreeMap::new());
        for index in 0..size {
            edge.push(leaf_hash(&entry(index)), &mut full);
        }
        for FullTile { level, index, hashes } in full {
            assert_eq!(hashes.len(), TILE_WIDTH);
            assert!(tiles.insert((level, index), hashes).is_none(), "tile {level}/{index} was made twice");
        }
        for (level, index, hashes) in edge.partial_tiles() {
            assert!(tiles.insert((level, index), hashes.to_vec()).is_none());
        }
        for ((level, index), hashes) in &tiles {
            assert_eq!(hashes.len(), tile_width(*level, *index, size), "tile {level}/{index} of {size}");
        }
        Self { edge, tiles }
    }

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let mut read = |level, index| Ok::<_, Infallible>(self.tiles[&(level, index)].clone());
        Ok(node_from_tile(level, index, &mut read)?.expect("a complete subtree"))
    }
}

#[derive(Default)]
struct Oracle(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Oracle {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl Oracle {
    fn new(size: u64) -> Self {
        let mut oracle = Self::default();
        for index in 0..size {
            let more = tlog_tiles::stored_hashes(index, &entry(index), &oracle).unwrap();
            oracle.0.extend(more);
        }
        oracle
    }
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

#[test]
fn roots_of_all_small_sizes_agree_with_the_oracle() {
    let oracle = Oracle::new(700);
    let mut edge = Edge::default();
    assert_eq!(edge.root(), EMPTY_ROOT);
    for size in 1..=700 {
        edge.push(leaf_hash(&entry(size - 1)), &mut Vec::new());
        assert_eq!(theirs(&edge.root()), tlog_tiles::tree_hash(size, &oracle).unwrap(), "size {size}");
    }
}

#[test]
fn roots_agree_where_tile_levels_begin() {
    let oracle = Oracle::new(65_536 + 256);
    for size in [255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_536 + 256] {
        let log = Tiled::new(size);
        assert_eq!(theirs(&log.edge.root()), tlog_tiles::tree_hash(size, &oracle).unwrap(), "size {size}");
        assert_eq!(root_from_nodes(size, |level, index| log.node(level, index)).unwrap(), log.edge.root());
        let again = Edge::from_tiles(size, |level, index, _| Ok::<_, Infallible>(log.tiles[&(level, index)].clone()));
        assert_eq!(again.unwrap().unwrap().root(), log.edge.root(), "size {size}");
    }
}

#[test]
fn paths_agree_with_the_oracle_and_read_back() {
    for index in [0, 1, 67, 255, 999, 1_000, 1_234_067, 999_999, 1_000_000, u64::MAX / 256] {
        for width in [1_u16, 17, 255, 256] {
            for level in [0_u8, 1, 7] {
                let path = TilePath::Hashes { level, index, width };
                let oracle = tlog_tiles::Tile::new(8, level, index, u32::from(width), false).path();
                assert_eq!(path.to_string(), oracle.replacen("tile/8/", "tile/", 1));
                assert_eq!(path.to_string().parse(), Ok(path));
            }
            let path = TilePath::Entries { index, width };
            assert_eq!(path.to_string().parse(), Ok(path));
        }
    }
    let example = TilePath::Hashes { level: 0, index: 1_234_067, width: 256 };
    assert_eq!(example.to_string(), "tile/0/x001/x234/067");
}

#[test]
fn refuses_other_spellings_of_a_path() {
    for bad in [
        "",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/0/x001/67",
        "tile/0/001/067",
        "tile/00/001",
        "tile/0/x000/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/007",
        "tile/0/001.p/",
        "tile/8/000",
        "tile/0/../checkpoint",
        "tile/0/+01",
        "tile/-1/001",
        "tile/entries/1",
        "/tile/0/001",
        "tile/0/001/",
    ] {
        assert!(bad.parse::<TilePath>().is_err(), "{bad}");
    }
}

#[test]
fn refuses_bundles_that_end_inside_an_entry() {
    let mut bundle = Vec::new();
    push_entry(&mut bundle, b"one").unwrap();
    push_entry(&mut bundle, b"").unwrap();
    assert_eq!(bundle_entries(&bundle).unwrap(), [b"one".as_slice(), b""]);
    for end in [1, 2, 4, 6] {
        assert!(bundle_entries(&bundle[..end]).is_err(), "cut at {end}");
    }
    assert!(push_entry(&mut bundle, &vec![0; 65_536]).is_err());
}

#[test]
fn checkpoint_text_agrees_with_the_oracle() {
    let checkpoint = Checkpoint {
        origin: "gw.test/audit".to_owned(),
        size: 17,
        root: leaf_hash(b"root"),
        extensions: vec!["extension".to_owned()],
    };
    let text = checkpoint.to_text();
    let oracle = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((oracle.origin(), oracle.size(), oracle.hash().0), ("gw.test/audit", 17, checkpoint.root.0));
    assert_eq!(Checkpoint::from_text(&text).unwrap(), checkpoint);
}

#[test]
fn refuses_malformed_checkpoints() {
    let root = leaf_hash(b"root").to_string();
    for bad in [
        String::new(),
        format!("o\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        "o\n1\nAAAA\n".to_owned(),
        format!("o\n1\n{root}\n\n"),
        "o\n1\n".to_owned(),
    ] {
        assert!(Checkpoint::from_text(&bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn inclusion_proofs_hold_and_mutations_do_not(
        size in 1_u64..1_500, pick in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let index = pick.index(size as usize) as u64;
        let log = Tiled::new(size);
        let root = log.edge.root();
        let leaf = leaf_hash(&entry(index));
        let proof = inclusion_proof(index, size, |level, at| log.node(level, at)).unwrap().unwrap();
        prop_assert_eq!(verify_inclusion(index, size, &leaf, &proof, &root), Ok(()));
        let oracle = tlog_tiles::prove_record(size, index, &Oracle::new(size)).unwrap();
        prop_assert_eq!(proof.iter().map(theirs).collect::<Vec<_>>(), oracle);
        prop_assert_eq!(
            verify_inclusion(index, size, &leaf_hash(b"another"), &proof, &root), Err(ProofError::RootMismatch)
        );
        prop_assert!(verify_inclusion(size, size, &leaf, &proof, &root).is_err());
        let mut longer = proof.clone();
        longer.push(leaf);
        prop_assert!(verify_inclusion(index, size, &leaf, &longer, &root).is_err());
        if !proof.is_empty() {
            prop_assert!(verify_inclusion(index, size, &leaf, &proof[1..], &root).is_err());
            let mut flipped = proof.clone();
            let at = bit.index(flipped.len() * 256);
            flipped[at / 256].0[at % 256 / 8] ^= 1 << (at % 8);
            prop_assert!(verify_inclusion(index, size, &leaf, &flipped, &root).is_err());
        }
    }

    #[test]
    fn consistency_proofs_hold_and_mutations_do_not(
        new in 1_u64..1_500, pick in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let old = pick.index(new as usize) as u64 + 1;
        let (before, after) = (Tiled::new(old).edge.root(), Tiled::new(new));
        let root = after.edge.root();
        let proof = consistency_proof(old, new, |level, at| after.node(level, at)).unwrap().unwrap();
        prop_assert_eq!(verify_consistency(old, new, &proof, &before, &root), Ok(()));
        let oracle = tlog_tiles::prove_tree(new, old, &Oracle::new(new)).unwrap();
        prop_assert_eq!(proof.iter().map(theirs).collect::<Vec<_>>(), oracle);
        prop_assert!(verify_consistency(old, new, &proof, &leaf_hash(b"another"), &root).is_err());
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert!(verify_consistency(old, new, &longer, &before, &root).is_err());
        if !proof.is_empty() {
            prop_assert!(verify_consistency(old, new, &proof[1..], &before, &root).is_err());
            let mut flipped = proof.clone();
            let at = bit.index(flipped.len() * 256);
            flipped[at / 256].0[at % 256 / 8] ^= 1 << (at % 8);
            prop_assert!(verify_consistency(old, new, &flipped, &before, &root).is_err());
        }
    }

    #[test]
    fn tiles_read_back(width in 1_usize..=256) {
        let hashes: Vec<Hash> = (0..width).map(|n| leaf_hash(&[n as u8])).collect();
        let bytes = tile_to_bytes(&hashes);
        prop_assert_eq!(tile_from_bytes(&bytes, width), Some(hashes));
        prop_assert_eq!(tile_from_bytes(&bytes[1..], width), None);
    }

    #[test]
    fn parsers_take_any_text_without_a_panic(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = text.parse::<TilePath>();
        let _ = Checkpoint::from_text(&text);
        let _ = Checkpoint::peek_unverified(&text);
        let _ = bundle_entries(&bytes);
    }
}
