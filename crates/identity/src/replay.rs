//! The DPoP proofs that were used, for as long as they could be used again. Bounded, also for a single key.

use aws_lc_rs::digest::{Context, SHA256};
use std::collections::{HashMap, HashSet, VecDeque};

/// The window is kept in this many parts: memory is given back a part at a time.
const PARTS: u64 = 4;
/// One key may take this share of all places.
const SHARE: usize = 8;

/// Why a proof can't be remembered. It must be refused then: what is not remembered could be used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    OneKey,
}

pub(crate) struct Replays {
    part_s: u64,
    max: usize,
    /// Newest first.
    parts: VecDeque<Part>,
}

#[derive(Default)]
struct Part {
    began_at: u64,
    seen: HashSet<u128>,
    by_key: HashMap<u64, usize>,
}

impl Replays {
    /// `window_s`: how long after its first use a proof could still be taken for fresh.
    pub(crate) fn new(window_s: u64, max: usize) -> Self {
        Self { part_s: window_s.div_ceil(PARTS).max(1), max, parts: VecDeque::new() }
    }

    /// True: it was not seen before, and is remembered now.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn insert(&mut self, key: &[u8; 32], jti: &str, now: u64) -> Result<bool, Full> {
        self.turn(now);
        let (name, owner) = names(key, jti);
        if self.parts.iter().any(|part| part.seen.contains(&name)) {
            return Ok(false);
        }
        if self.parts.iter().map(|part| part.seen.len()).sum::<usize>() >= self.max {
            return Err(Full::All);
        }
        let of_owner: usize = self.parts.iter().filter_map(|part| part.by_key.get(&owner)).sum();
        if of_owner >= (self.max / SHARE).max(1) {
            return Err(Full::OneKey);
        }
        if let Some(newest) = self.parts.front_mut() {
            newest.seen.insert(name);
            *newest.by_key.entry(owner).or_default() += 1;
        }
        Ok(true)
    }

    /// INVARIANT: a part is dropped only when all that is in it was seen more than a window ago.
    fn turn(&mut self, now: u64) {
        let is_current = self.parts.front().is_some_and(|part| now < part.began_at.saturating_add(self.part_s));
        if !is_current {
            self.parts.push_front(Part { began_at: now, ..Part::default() });
        }
        let (part_s, window) = (self.part_s, self.part_s * PARTS);
        // The last entry of a part may have come at the end of the part.
        self.parts.retain(|part| now < part.began_at.saturating_add(part_s + window + 1));
    }
}

/// (the proof's name, its key's name). Truncated digests: two proofs of one name would have the second refused, and nobody
/// can make them collide with another key's.
fn names(key: &[u8; 32], jti: &str) -> (u128, u64) {
    let mut context = Context::new(&SHA256);
    context.update(key);
    context.update(jti.as_bytes());
    let digest = context.finish();
    let name = digest.as_ref().iter().take(16).fold(0, |name: u128, byte| name << 8 | u128::from(*byte));
    let owner = key.iter().take(8).fold(0, |owner: u64, byte| owner << 8 | u64::from(*byte));
    (name, owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn remembers_each_proof_for_the_window() {
        let mut replays = Replays::new(65, 1000);
        assert_eq!(replays.insert(&[1; 32], "a", 1000), Ok(true));
        assert_eq!(replays.insert(&[2; 32], "a", 1000), Ok(true), "another key's");
        for now in [1000, 1001, 1030, 1064, 1065] {
            assert_eq!(replays.insert(&[1; 32], "a", now), Ok(false), "{now}");
        }
        assert_eq!(replays.insert(&[1; 32], "a", 1200), Ok(true), "long after it could be used");
        assert!(replays.parts.len() <= 6, "{}", replays.parts.len());
    }

    #[test]
    fn is_bounded_for_all_and_for_each() {
        let mut replays = Replays::new(60, 80);
        let mut key = [0; 32];
        for at in 0..10 {
            assert_eq!(replays.insert(&key, &at.to_string(), 7), Ok(true));
        }
        assert_eq!(replays.insert(&key, "one more", 7), Err(Full::OneKey));
        for owner in 1..8 {
            key[0] = owner;
            for at in 0..10 {
                assert_eq!(replays.insert(&key, &at.to_string(), 7), Ok(true));
            }
        }
        key[0] = 9;
        assert_eq!(replays.insert(&key, "x", 7), Err(Full::All));
        assert_eq!(replays.insert(&key, "x", 200), Ok(true), "room again when the window has passed");
    }

    proptest! {
        /// INVARIANT: whatever comes in between, no proof is taken twice within its window.
        #[test]
        fn never_takes_a_proof_twice_within_the_window(
            steps in prop::collection::vec((0..6_u64, 0..8_u8), 1..200),
            window in 1..40_u64,
        ) {
            let mut replays = Replays::new(window, 100_000);
            let mut now = 1_000_000;
            let mut taken: HashMap<u8, u64> = HashMap::new();
            for (pass, jti) in steps {
                now += pass;
                let taken_now = replays.insert(&[0; 32], &jti.to_string(), now) == Ok(true);
                if let Some(at) = taken.get(&jti) {
                    prop_assert!(!taken_now || now - at > window, "taken again after {} of {} s", now - at, window);
                }
                if taken_now {
                    taken.insert(jti, now);
                }
            }
        }
    }
}
