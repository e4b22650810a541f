//! JSON Web Keys and Key Sets (RFC 7517): which keys are used, parsed once.

use crate::{Algorithm, error::shown, json::strict_object};
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
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
    /// Its `alg`, where it has one.
    name: Option<String>,
    /// Entra ID names in each key for which tenant's tokens it is.
    pub(crate) issuer: Option<String>,
}

impl Key {
    pub(crate) fn for_algorithm(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.uses.iter().find(|(known, _)| *known == algorithm).map(|(_, key)| key)
    }

    /// Whether a header may call the algorithm so. Ed25519 has two names (RFC 9864 §2.2): a key that bears one of them is for
    /// no other, as with every algorithm.
    pub(crate) fn is_called(&self, algorithm: &str) -> bool {
        self.name.as_ref().is_none_or(|name| name == algorithm)
    }

    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.uses.iter().map(|(algorithm, _)| *algorithm)
    }
}

/// The usable keys of a set, and a word about each of the others (never with key material).
#[derive(Default)]
pub(crate) struct KeySet {
    pub(crate) keys: HashMap<String, Arc<Key>>,
    /// Keys without `kid`, where such are accepted.
    unnamed: Vec<Arc<Key>>,
    /// Keys that are at fault.
    pub(crate) refused: Vec<String>,
    /// Keys for something else than checking tokens: nothing is wrong with them.
    pub(crate) ignored: usize,
}

impl KeySet {
    /// The one key that fits, where there is exactly one.
    pub(crate) fn single(&self, algorithm: Algorithm) -> Option<&Arc<Key>> {
        let mut fitting = self.keys.values().chain(&self.unnamed).filter(|key| key.for_algorithm(algorithm).is_some());
        fitting.next().filter(|_| fitting.next().is_none())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.unnamed.is_empty()
    }
}

/// Which keys of a set are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection {
    /// The `use`s that say "for tokens": `sig`, and `jwt-svid` in a SPIFFE bundle.
    pub(crate) purposes: &'static [&'static str],
    /// A key that says nothing of its use is not used.
    pub(crate) purpose_required: bool,
    pub(crate) kid_optional: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self { purposes: &["sig"], purpose_required: false, kid_optional: false }
    }
}

/// What became of one key.
enum Read {
    Usable(Option<String>, Key),
    Ignored,
}

/// # Errors
/// What is wrong with the set as a whole. A single bad key is refused alone.
pub(crate) fn read_set(bytes: &[u8], selection: Selection) -> Result<KeySet, &'static str> {
    let set = strict_object(bytes).ok_or("it is not a JSON object, or has a member twice")?;
    let Some(Value::Array(members)) = set.get("keys") else { return Err("it has no array `keys`") };
    if members.len() > KEYS_MAX {
        return Err("it holds more than 100 keys");
    }
    let mut out = KeySet::default();
    let mut named: Vec<(String, Arc<Key>)> = Vec::new();
    for (position, member) in members.iter().enumerate() {
        match member.as_object().ok_or("it is not an object").and_then(|jwk| read_member(jwk, selection)) {
            Ok(Read::Usable(Some(kid), key)) => named.push((kid, Arc::new(key))),
            Ok(Read::Usable(None, key)) => out.unnamed.push(Arc::new(key)),
            Ok(Read::Ignored) => out.ignored += 1,
            Err(problem) => {
                let kid = member.get("kid").and_then(Value::as_str).unwrap_or("");
                out.refused.push(format!("key {position} (`kid` {}): {problem}", shown(kid)));
            }
        }
    }
    let mut seen = HashSet::new();
    // Two keys of one name: which one a token means can't be told, so neither is used.
    let twice: HashSet<String> =
        named.iter().filter(|(kid, _)| !seen.insert(kid)).map(|(kid, _)| kid.clone()).collect();
    out.refused.extend(twice.iter().map(|kid| format!("the keys with the `kid` {}: more than one has it", shown(kid))));
    out.keys = named.into_iter().filter(|(kid, _)| !twice.contains(kid)).collect();
    Ok(out)
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str, problem: &'static str) -> Result<&'a str, &'static str> {
    jwk.get(name).and_then(Value::as_str).ok_or(problem)
}

fn octets(jwk: &Map<String, Value>, name: &str, problem: &'static str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text(jwk, name, problem)?).map_err(|_| problem)
}

fn read_member(jwk: &Map<String, Value>, selection: Selection) -> Result<Read, &'static str> {
    check_public(jwk)?;
    match jwk.get("use") {
        None if selection.purpose_required => return Ok(Read::Ignored),
        None => {}
        Some(Value::String(purpose)) if selection.purposes.contains(&purpose.as_str()) => {}
        // RFC 7517 §4.2: `enc`, or what a profile defines (`x509-svid`).
        Some(Value::String(_)) => return Ok(Read::Ignored),
        Some(_) => return Err("its `use` is not a text"),
    }
    let kid = match jwk.get("kid") {
        None if selection.kid_optional => None,
        None => return Err("it has no `kid`"),
        Some(Value::String(kid)) if kid.is_empty() || kid.len() > KID_BYTES_MAX => {
            return Err("its `kid` is empty or longer than 256 bytes");
        }
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err("its `kid` is not a text"),
    };
    if let Some(operations) = jwk.get("key_ops") {
        let operations = operations.as_array().ok_or("its `key_ops` is not an array")?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err("its `key_ops` has no `verify`");
        }
    }
    let mut key = read_public(jwk)?;
    key.issuer = match jwk.get("issuer") {
        None => None,
        Some(Value::String(issuer)) => Some(issuer.clone()),
        Some(_) => return Err("its `issuer` is not a text"),
    };
    Ok(Read::Usable(kid, key))
}

/// RFC 7518 §6.2.2, §6.3.2, §6.4.1, RFC 8037 §2: what only the owner of the key may have. Whoever published it has given the
/// key away, so nothing signed with it proves anything.
fn check_public(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| jwk.contains_key(*name)) {
        return Err("it holds private or symmetric key material");
    }
    Ok(())
}

/// The public key of a JWK that stands alone: in a DPoP proof's header, which must hold nothing private either.
pub(crate) fn read_public(jwk: &Map<String, Value>) -> Result<Key, &'static str> {
    check_public(jwk)?;
    let stated = match jwk.get("alg") {
        None => None,
        Some(name) => Some(
            name.as_str()
                .and_then(Algorithm::from_jose)
                .ok_or("its `alg` is none of EdDSA, ES256, ES384, RS256-512, PS256-512")?,
        ),
    };
    let mut uses = match text(jwk, "kty", "it has no `kty`")? {
        "OKP" => read_ed25519(jwk)?,
        "EC" => read_ec(jwk)?,
        "RSA" => read_rsa(jwk)?,
        _ => return Err("its `kty` is none of OKP, EC, RSA"),
    };
    if let Some(stated) = stated {
        uses.retain(|(algorithm, _)| *algorithm == stated);
    }
    if uses.is_empty() {
        return Err("its `alg` does not fit its `kty`");
    }
    let name = jwk.get("alg").and_then(Value::as_str).map(str::to_owned);
    Ok(Key { uses, name, issuer: None })
}

/// RFC 7638 §3: the members that define the key, in lexicographic order, without white space.
pub(crate) fn thumbprint_input(jwk: &Map<String, Value>) -> Option<String> {
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let parts: Option<Vec<String>> = members
        .iter()
        // The values have been read as base64url or fixed names by then: nothing in them needs escaping.
        .map(|name| Some(format!("\"{name}\":{}", Value::String(jwk.get(*name)?.as_str()?.to_owned()))))
        .collect();
    Some(format!("{{{}}}", parts?.join(",")))
}

type Uses = Vec<(Algorithm, ParsedPublicKey)>;

fn curve_key(algorithm: Algorithm, point: Vec<u8>, problem: &'static str) -> Result<Uses, &'static str> {
    let parameters = algorithm.of_curve().ok_or(problem)?;
    let key = ParsedPublicKey::new(parameters, point).map_err(|_| problem)?;
    Ok(vec![(algorithm, key)])
}

fn read_ed25519(jwk: &Map<String, Value>) -> Result<Uses, &'static str> {
    if text(jwk, "crv", "it has no `crv`")? != "Ed25519" {
        return Err("its `crv` is not Ed25519");
    }
    let x = octets(jwk, "x", "its `x` is not base64url")?;
    if x.len() != 32 {
        return Err("its `x` is not 32 bytes");
    }
    curve_key(Algorithm::EdDsa, x, "it is not a point of Ed25519")
}

fn read_ec(jwk: &Map<String, Value>) -> Result<Uses, &'static str> {
    let (algorithm, size, length, off) = match text(jwk, "crv", "it has no `crv`")? {
        "P-256" => (Algorithm::Es256, 32, "its `x` or `y` is not 32 bytes", "it is not a point of P-256"),
        "P-384" => (Algorithm::Es384, 48, "its `x` or `y` is not 48 bytes", "it is not a point of P-384"),
        _ => return Err("its `crv` is neither P-256 nor P-384"),
    };
    let x = octets(jwk, "x", "its `x` is not base64url")?;
    let y = octets(jwk, "y", "its `y` is not base64url")?;
    // RFC 7518 §6.2.1.2: full size, leading zeros included.
    if x.len() != size || y.len() != size {
        return Err(length);
    }
    curve_key(algorithm, [&[4_u8], x.as_slice(), y.as_slice()].concat(), off)
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
    let usable = Algorithm::ALL.into_iter().filter_map(|algorithm| Some((algorithm, algorithm.of_rsa()?)));
    usable
        .map(|(algorithm, parameters)| {
            let key = components.to_parsed_public_key(parameters).map_err(|_| "it is not an RSA key")?;
            Ok((algorithm, key))
        })
        .collect()
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
    use serde_json::json;

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

    /// RFC 7638 §3.1, RFC 8037 §A.3.
    #[test]
    fn thumbprints_are_those_of_the_standards() {
        use aws_lc_rs::digest::{SHA256, digest};
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
        let okp = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        for (jwk, expected) in
            [(rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), (okp, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
        {
            let input = thumbprint_input(jwk.as_object().expect("an object")).expect("a key");
            assert_eq!(URL_SAFE_NO_PAD.encode(digest(&SHA256, input.as_bytes())), expected);
        }
    }
}
