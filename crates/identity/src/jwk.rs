//! JSON Web Key Sets (RFC 7517 §5): which keys of a set are used, parsed once.

use crate::{Algorithm, error::shown, json::strict_object};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A set with more keys is refused as a whole.
const KEYS_MAX: usize = 100;
const KID_BYTES_MAX: usize = 256;

/// A public key, parsed once for each algorithm it may be used with.
pub(crate) struct Key {
    uses: Vec<(Algorithm, ParsedPublicKey)>,
}

impl Key {
    pub(crate) fn for_algorithm(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.uses.iter().find(|(known, _)| *known == algorithm).map(|(_, key)| key)
    }
}

/// The usable keys of a set, and a word about each of the others (never with key material).
#[derive(Default)]
pub(crate) struct KeySet {
    pub(crate) keys: HashMap<String, Arc<Key>>,
    pub(crate) refused: Vec<String>,
}

/// # Errors
/// What is wrong with the set as a whole. A single bad key is refused alone.
pub(crate) fn read_set(bytes: &[u8]) -> Result<KeySet, &'static str> {
    let set = strict_object(bytes).ok_or("it is not a JSON object, or has a member twice")?;
    let Some(Value::Array(members)) = set.get("keys") else { return Err("it has no array `keys`") };
    if members.len() > KEYS_MAX {
        return Err("it holds more than 100 keys");
    }
    let mut usable: Vec<(String, Arc<Key>)> = Vec::new();
    let mut refused = Vec::new();
    for (position, member) in members.iter().enumerate() {
        let read = member.as_object().ok_or("it is not an object").and_then(read_key);
        match read {
            Ok((kid, key)) => usable.push((kid, Arc::new(key))),
            Err(problem) => {
                let kid = member.get("kid").and_then(Value::as_str).unwrap_or("");
                refused.push(format!("key {position} (`kid` {}): {problem}", shown(kid)));
            }
        }
    }
    let mut seen = HashSet::new();
    // Two keys of one name: which one a token means can't be told, so neither is used.
    let twice: HashSet<String> =
        usable.iter().filter(|(kid, _)| !seen.insert(kid)).map(|(kid, _)| kid.clone()).collect();
    refused.extend(twice.iter().map(|kid| format!("the keys with the `kid` {}: more than one has it", shown(kid))));
    let keys = usable.into_iter().filter(|(kid, _)| !twice.contains(kid)).collect();
    Ok(KeySet { keys, refused })
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str, problem: &'static str) -> Result<&'a str, &'static str> {
    jwk.get(name).and_then(Value::as_str).ok_or(problem)
}

fn octets(jwk: &Map<String, Value>, name: &str, problem: &'static str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text(jwk, name, problem)?).map_err(|_| problem)
}

fn read_key(jwk: &Map<String, Value>) -> Result<(String, Key), &'static str> {
    // RFC 7518 §6.2.2, §6.3.2, §6.4.1, RFC 8037 §2: what only the owner of the key may have. Whoever published it has
    // given the key away, so nothing signed with it proves anything.
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| jwk.contains_key(*name)) {
        return Err("it holds private or symmetric key material");
    }
    let kid = text(jwk, "kid", "it has no `kid`")?;
    if kid.is_empty() || kid.len() > KID_BYTES_MAX {
        return Err("its `kid` is empty or longer than 256 bytes");
    }
    if let Some(purpose) = jwk.get("use")
        && purpose != "sig"
    {
        return Err("its `use` is not `sig`");
    }
    if let Some(operations) = jwk.get("key_ops") {
        let operations = operations.as_array().ok_or("its `key_ops` is not an array")?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err("its `key_ops` has no `verify`");
        }
    }
    let stated = match jwk.get("alg") {
        None => None,
        Some(name) => Some(
            name.as_str().and_then(Algorithm::from_jose).ok_or("its `alg` is none of EdDSA, ES256, RS256, PS256")?,
        ),
    };
    let mut uses = match text(jwk, "kty", "it has no `kty`")? {
        "OKP" => read_ed25519(jwk)?,
        "EC" => read_p256(jwk)?,
        "RSA" => read_rsa(jwk)?,
        _ => return Err("its `kty` is none of OKP, EC, RSA"),
    };
    if let Some(stated) = stated {
        uses.retain(|(algorithm, _)| *algorithm == stated);
    }
    if uses.is_empty() {
        return Err("its `alg` does not fit its `kty`");
    }
    Ok((kid.to_owned(), Key { uses }))
}

type Uses = Vec<(Algorithm, ParsedPublicKey)>;

fn read_ed25519(jwk: &Map<String, Value>) -> Result<Uses, &'static str> {
    if text(jwk, "crv", "it has no `crv`")? != "Ed25519" {
        return Err("its `crv` is not Ed25519");
    }
    let x = octets(jwk, "x", "its `x` is not base64url")?;
    if x.len() != 32 {
        return Err("its `x` is not 32 bytes");
    }
    let key = ParsedPublicKey::new(&ED25519, x).map_err(|_| "it is not a point of Ed25519")?;
    Ok(vec![(Algorithm::EdDsa, key)])
}

fn read_p256(jwk: &Map<String, Value>) -> Result<Uses, &'static str> {
    if text(jwk, "crv", "it has no `crv`")? != "P-256" {
        return Err("its `crv` is not P-256");
    }
    let x = octets(jwk, "x", "its `x` is not base64url")?;
    let y = octets(jwk, "y", "its `y` is not base64url")?;
    // RFC 7518 §6.2.1.2: full size, leading zeros included.
    if x.len() != 32 || y.len() != 32 {
        return Err("its `x` or `y` is not 32 bytes");
    }
    let point = [&[4_u8], x.as_slice(), y.as_slice()].concat();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| "it is not a point of P-256")?;
    Ok(vec![(Algorithm::Es256, key)])
}

fn read_rsa(jwk: &Map<String, Value>) -> Result<Uses, &'static str> {
    let n = octets(jwk, "n", "its `n` is not base64url")?;
    let e = octets(jwk, "e", "its `e` is not base64url")?;
    // RFC 7518 §6.3.1.1: the fewest octets, so no leading zero.
    let (Some(first), Some(last)) = (n.first(), n.last()) else { return Err("its `n` is empty") };
    if *first == 0 {
        return Err("its `n` starts with a zero octet");
    }
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return Err("its modulus is not 2048 to 8192 bits long");
    }
    if last % 2 == 0 {
        return Err("its modulus is even");
    }
    check_exponent(&e)?;
    if has_roca_structure(&n) {
        return Err("its modulus has the structure of CVE-2017-15361 (ROCA): its private key can be computed");
    }
    let components = RsaPublicKeyComponents { n, e };
    let parse = |parameters| components.to_parsed_public_key(parameters).map_err(|_| "it is not an RSA key");
    Ok(vec![
        (Algorithm::Rs256, parse(&RSA_PKCS1_2048_8192_SHA256)?),
        (Algorithm::Ps256, parse(&RSA_PSS_2048_8192_SHA256)?),
    ])
}

/// FIPS 186-5 §A.1.1: odd, more than 2^16. The upper bound (2^33) is that of the library; it bounds the work.
fn check_exponent(e: &[u8]) -> Result<(), &'static str> {
    if e.len() > 5 || e.first().is_none_or(|first| *first == 0) {
        return Err("its exponent is out of range");
    }
    let value = e.iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
    if !(65_537..1 << 33).contains(&value) || value % 2 == 0 {
        return Err("its exponent is out of range");
    }
    Ok(())
}

/// The fingerprint of "The Return of Coppersmith's Attack" (CCS 2017) §3: modulo each of these primes, the modulus is a
/// power of 65537. A sound key has a chance below 2^-27.
fn has_roca_structure(n: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.iter().all(|prime| {
        let residue = n.iter().fold(0_u32, |rest, octet| (rest * 256 + u32::from(*octet)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * (65_537 % prime) % prime;
            power == residue
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_structure_of_roca_from_that_of_other_numbers() {
        // 65537 to the powers 0, 1 and 2.
        for n in [&[1_u8][..], &[1, 0, 1], &[1, 0, 2, 0, 1]] {
            assert!(has_roca_structure(n), "{n:?}");
        }
        for n in [&[2_u8][..], &[1, 0, 3], &[0xff; 256]] {
            assert!(!has_roca_structure(n), "{n:?}");
        }
    }
}
