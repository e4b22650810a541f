//! What must hold for any input at all. `make fuzz` looks for inputs for which it does not; those in `fuzz/seeds` run with
//! every test.
//!
//! Each function takes bytes and panics where a promise is broken. What is accepted is read once more with a lenient reader
//! and judged by rules that are written apart from those under test.

use crate::{
    Algorithm, DpopConfig, Facts, Given, IssuerConfig, KeySource, PresentedToken, ProfileName, RequestTarget, Verifier,
    dpop::{self, Asked, DpopState, Proof},
    jwk::{self, Selection},
};
use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::{
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

pub(crate) const NOW: u64 = 1_800_000_000;
const ISS: &str = "https://issuer.test";
const AUDIENCE: &str = "https://gw.test";
const LEEWAY_S: u64 = 30;
const LIFETIME_MAX_S: u64 = 15 * 60;
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// The key that signs what the fuzzer writes, so that its claims are looked at and not only its signature.
static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed"));

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `HEADER\nCLAIMS`, signed; anything else as it is, with whether it was signed here.
pub(crate) fn as_token(bytes: &[u8]) -> Option<(String, bool)> {
    let Some(break_at) = bytes.iter().position(|b| *b == b'\n') else {
        return Some((str::from_utf8(bytes).ok()?.to_owned(), false));
    };
    let input = format!("{}.{}", encode(&bytes[..break_at]), encode(&bytes[break_at + 1..]));
    let signature = encode(KEY.sign(input.as_bytes()).as_ref());
    Some((format!("{input}.{signature}"), true))
}

/// A part of a token that was accepted, by the lenient reader.
fn part(token: &str, position: usize) -> Map<String, Value> {
    let part = token.split('.').nth(position).expect("an accepted token has three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("an accepted token is base64url");
    serde_json::from_slice(&bytes).expect("an accepted token is JSON")
}

/// A verifier with one issuer, whose key is known here.
pub(crate) struct Rig {
    pub(crate) verifier: Verifier,
    pub(crate) runtime: tokio::runtime::Runtime,
    _folder: Folder,
}

/// The folder of the key set, removed with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        static RIGS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("airgate-fuzz-{}-{}", std::process::id(), RIGS.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(KEY.public_key().as_ref()), "kid": "k" });
        let path = folder.join("jwks.json");
        std::fs::write(&path, json!({ "keys": [jwk] }).to_string()).expect("a file");
        let given = Given {
            url: Some(ISS.to_owned()),
            audiences: vec![AUDIENCE.to_owned()],
            keys: Some(KeySource::File(path)),
            ..Given::default()
        };
        let mut config: IssuerConfig = ProfileName::Airflow.config("fuzz", &given).expect("a good configuration");
        config.algorithms = vec![Algorithm::EdDsa];
        let verifier = Verifier::new(vec![config]).expect("a verifier");
        // No file is looked at again: nothing but the input decides.
        verifier.stay_offline();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { verifier, runtime, _folder: Folder(folder) }
    }
}

/// A token, or the header and the claims of one.
///
/// # Panics
/// Where a token is accepted that must not be.
pub fn token(bytes: &[u8]) {
    thread_local! { static RIG: Rig = Rig::new(); }
    let Some((text, is_signed)) = as_token(bytes) else { return };
    let Ok(presented) = PresentedToken::bare(&text) else { return };
    RIG.with(|rig| {
        let expected = rig.verifier.expect(None).expect("an expectation");
        let target = RequestTarget { scheme: "https", authority: "gw.test", path: "/" };
        let facts = Facts { method: "GET", target, client_certificate: None, now: NOW };
        let first = rig.runtime.block_on(rig.verifier.verify(&presented, &expected, &facts));
        let again = rig.runtime.block_on(rig.verifier.verify(&presented, &expected, &facts));
        assert_eq!(first.is_ok(), again.is_ok(), "a memory of tokens changes no verdict");
        let Ok(verified) = first else { return };
        assert!(is_signed, "accepted without the key's signature");
        judge_header(&part(&text, 0));
        let claims = part(&text, 1);
        judge_claims(&claims);
        assert_eq!(Some(verified.subject()), claims["sub"].as_str());
        assert!(!verified.subject().is_empty());
    });
}

fn judge_header(header: &Map<String, Value>) {
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["kid"], "k");
    let typ = header["typ"].as_str().expect("a `typ`").to_ascii_lowercase();
    assert_eq!(typ.trim_start_matches("application/"), "airgate-job+jwt");
    for name in ["crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "enc"] {
        assert!(!header.contains_key(name), "`{name}` in a header that was accepted");
    }
}

fn judge_claims(claims: &Map<String, Value>) {
    assert_eq!(claims["iss"], ISS);
    let audience = &claims["aud"];
    assert!(audience == AUDIENCE || audience.as_array().is_some_and(|all| all.iter().any(|one| one == AUDIENCE)));
    let expires_at = claims["exp"].as_u64().expect("a whole `exp`");
    assert!(expires_at + LEEWAY_S > NOW, "expired");
    for name in ["iat", "nbf"] {
        let time = claims.get(name).map_or(0, |time| time.as_u64().expect("a whole number"));
        assert!(time <= NOW + LEEWAY_S, "`{name}` is in the future");
    }
    let issued_at = claims.get("iat").and_then(Value::as_u64).unwrap_or(NOW);
    assert!(expires_at.saturating_sub(issued_at) <= LIFETIME_MAX_S, "it lives too long");
    assert!(!claims.contains_key("cnf"), "a bound token was accepted without a proof");
    // Half a job is none.
    let names = ["dag_id", "task_id", "run_id"];
    let numbers = ["map_index", "try_number"];
    if names.iter().chain(&numbers).chain(&["ti_id"]).any(|name| claims.contains_key(*name)) {
        assert!(
            names.iter().all(|name| claims[*name].as_str().is_some_and(|text| !text.is_empty())),
            "a job without a name"
        );
        assert!(numbers.iter().all(|name| claims[*name].is_i64() || claims[*name].is_u64()), "a job without a number");
    }
}

/// A key set.
///
/// # Panics
/// Where a key is used that must not be.
pub fn key_set(bytes: &[u8]) {
    let selections = [
        Selection::default(),
        Selection { purposes: &["sig", "jwt-svid"], purpose_required: true, kid_optional: false },
        Selection { kid_optional: true, ..Selection::default() },
    ];
    for selection in selections {
        let Ok(set) = jwk::read_set(bytes, selection) else { continue };
        let read: Value = serde_json::from_slice(bytes).expect("a set that was accepted is JSON");
        let members = read["keys"].as_array().expect("a set has keys");
        assert!(members.len() <= 100);
        assert!(set.keys.len() + set.refused.len() + set.ignored <= 2 * members.len());
        for (kid, key) in &set.keys {
            // Ignored and refused keys may have the same name; of the others there is one.
            let mut named = members.iter().filter(|one| one["kid"] == *kid && is_usable(one, selection));
            assert!(named.next().is_some(), "the key `{kid}` is not in the set");
            for algorithm in key.algorithms() {
                let public = key.for_algorithm(algorithm).expect("an algorithm of the key");
                assert!(public.verify_sig(b"message", &[0; 64]).is_err(), "a signature of nothing is accepted");
            }
        }
        for word in &set.refused {
            assert!(word.len() < 1024 && !word.contains(char::is_control), "an unfit line for a log: {word:?}");
        }
    }
}

fn is_usable(jwk: &Value, selection: Selection) -> bool {
    let is_public = PRIVATE_MEMBERS.iter().all(|name| jwk.get(name).is_none());
    let is_meant = match jwk.get("use") {
        None => !selection.purpose_required,
        Some(purpose) => purpose.as_str().is_some_and(|purpose| selection.purposes.contains(&purpose)),
    };
    let verifies =
        jwk.get("key_ops").is_none_or(|all| all.as_array().is_some_and(|all| all.contains(&json!("verify"))));
    let is_large_enough = jwk["kty"] != "RSA" || jwk["n"].as_str().is_some_and(|n| n.len() >= 342);
    is_public && is_meant && verifies && is_large_enough
}

/// A DPoP proof, or the header and the claims of one.
///
/// # Panics
/// Where a proof is accepted that must not be, or twice.
pub fn proof(bytes: &[u8]) {
    let Some((text, is_signed)) = as_token(bytes) else { return };
    let state = DpopState::new(DpopConfig { replays_max: 16, ..DpopConfig::default() });
    // Bound to the key that the proof names: what remains is everything else about it.
    let Ok(read) = Proof::read(&text) else { return };
    let jkt = read.thumbprint;
    let asked = Asked { token: "the-token", jkt: &jkt, nonce: false, issuer: "fuzz" };
    let target = RequestTarget { scheme: "https", authority: "gw.test", path: "/api/orders" };
    let facts = Facts { method: "POST", target, client_certificate: None, now: NOW };
    if dpop::check(&state, &text, &asked, &facts).is_err() {
        return;
    }
    assert!(is_signed, "accepted without the key's signature");
    assert!(dpop::check(&state, &text, &asked, &facts).is_err(), "the same proof was accepted twice");
    let other = Asked { jkt: &[0; 32], ..asked };
    assert!(dpop::check(&state, &text, &other, &facts).is_err(), "another key's proof was accepted");
    let header = part(&text, 0);
    assert!(header["typ"].as_str().is_some_and(|typ| typ.to_ascii_lowercase().ends_with("dpop+jwt")));
    let jwk = header["jwk"].as_object().expect("a key");
    assert_eq!(jwk["x"], encode(KEY.public_key().as_ref()), "signed with another key than the one it names");
    assert!(PRIVATE_MEMBERS.iter().all(|name| !jwk.contains_key(*name)), "a private key in a proof");
    judge_proof(&part(&text, 1));
}

fn judge_proof(claims: &Map<String, Value>) {
    assert_eq!(claims["htm"], "POST");
    let htu = claims["htu"].as_str().expect("a URL").split(['?', '#']).next().unwrap_or_default();
    let authority = htu.strip_suffix("/api/orders").expect("the path, case and all").to_ascii_lowercase();
    let port = authority.strip_prefix("https://gw.test").expect("the host");
    let port = port.strip_prefix(':').unwrap_or(port);
    assert!(port.is_empty() || port.trim_start_matches('0') == "443", "{htu}");
    let issued_at = claims["iat"].as_u64().expect("a whole `iat`");
    assert!(issued_at + 60 >= NOW && issued_at <= NOW + 5, "its time is {issued_at}");
    assert_eq!(claims["ath"], encode(digest(&SHA256, b"the-token").as_ref()));
    assert!(claims["jti"].as_str().is_some_and(|jti| (1..=256).contains(&jti.len())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
        let files = std::fs::read_dir(&folder).expect("the seeds");
        files
            .map(|file| file.expect("a file").path())
            .map(|path| (path.clone(), std::fs::read(path).expect("it")))
            .collect()
    }

    fn run(target: &str, judge: fn(&[u8])) {
        let seeds = seeds(target);
        assert!(seeds.len() >= 3, "there are seeds for {target}");
        for (path, bytes) in seeds {
            println!("{}", path.display());
            judge(&bytes);
        }
    }

    #[test]
    fn what_was_found_before_is_not_found_again() {
        run("token", token);
        run("key_set", key_set);
        run("proof", proof);
    }

    /// A judge that sees only refusals judges nothing.
    #[test]
    fn the_good_seeds_are_accepted() {
        let good = |target: &str| {
            let found = seeds(target).into_iter().find(|(path, _)| path.ends_with("good"));
            found.expect("a good seed").1
        };
        let (text, _) = as_token(&good("token")).expect("a text");
        let rig = Rig::new();
        let target = RequestTarget { scheme: "https", authority: "gw.test", path: "/" };
        let facts = Facts { method: "GET", target, client_certificate: None, now: NOW };
        let expected = rig.verifier.expect(None).expect("an expectation");
        let presented = PresentedToken::bare(&text).expect("a token");
        rig.runtime.block_on(rig.verifier.verify(&presented, &expected, &facts)).expect("a good token");

        let set = jwk::read_set(&good("key_set"), Selection::default()).expect("a set");
        assert_eq!((set.keys.len(), set.refused.len(), set.ignored), (4, 2, 1), "{:?}", set.refused);

        let (text, _) = as_token(&good("proof")).expect("a text");
        let read = Proof::read(&text).unwrap_or_else(|fault| panic!("{fault}"));
        let asked = Asked { token: "the-token", jkt: &read.thumbprint, nonce: false, issuer: "fuzz" };
        let target = RequestTarget { scheme: "https", authority: "gw.test", path: "/api/orders" };
        let facts = Facts { method: "POST", target, client_certificate: None, now: NOW };
        dpop::check(&DpopState::new(DpopConfig::default()), &text, &asked, &facts).expect("a good proof");
    }
}
