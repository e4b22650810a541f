//! Nonces for DPoP proofs (RFC 9449 §9). None is stored: each says when it was made, and only we can have made it.

use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// What a nonce is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Current,
    /// Still good; the caller should take the current one from now on.
    Previous,
    Unknown,
}

/// Made with a key that dies with the process: proofs that were made before a restart are not good after it.
pub(crate) struct Nonces {
    /// None where there was no randomness: then no nonce is good.
    key: Option<hmac::Key>,
    lifetime_s: u64,
}

impl Nonces {
    pub(crate) fn new(lifetime_s: u64) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        if key.is_none() {
            tracing::error!("no randomness for DPoP nonces: proofs that need one are refused");
        }
        Self { key, lifetime_s: lifetime_s.max(1) }
    }

    pub(crate) fn current(&self, now: u64) -> String {
        self.make(now / self.lifetime_s)
    }

    fn make(&self, slot: u64) -> String {
        let Some(key) = &self.key else { return String::new() };
        let tag = hmac::sign(key, &slot.to_be_bytes());
        URL_SAFE_NO_PAD.encode([&slot.to_be_bytes()[..], tag.as_ref()].concat())
    }

    pub(crate) fn tell(&self, nonce: &str, now: u64) -> Told {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return Told::Unknown };
        let Some((slot, tag)) = bytes.split_first_chunk::<8>() else { return Told::Unknown };
        if self.key.as_ref().is_none_or(|key| hmac::verify(key, slot, tag).is_err()) {
            return Told::Unknown;
        }
        let (slot, current) = (u64::from_be_bytes(*slot), now / self.lifetime_s);
        match current.checked_sub(slot) {
            Some(0) => Told::Current,
            Some(1) => Told::Previous,
            Some(_) | None => Told::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_good_for_one_to_two_lives_and_only_ours() {
        let (ours, others) = (Nonces::new(300), Nonces::new(300));
        let nonce = ours.current(900_000);
        for (now, expected) in [
            (900_000, Told::Current),
            (900_299, Told::Current),
            (900_300, Told::Previous),
            (900_599, Told::Previous),
            (900_600, Told::Unknown),
            (899_999, Told::Unknown),
        ] {
            assert_eq!(ours.tell(&nonce, now), expected, "{now}");
        }
        assert_eq!(others.tell(&nonce, 900_000), Told::Unknown);
        for bad in ["", "x", "AAAA", &nonce[1..], &format!("{nonce}A"), &ours.make(u64::MAX)] {
            assert_eq!(ours.tell(bad, 900_000), Told::Unknown, "{bad}");
        }
    }
}
