//! The verifier against two libraries that nobody here wrote: npm `jose` and PyPI `joserfc`.
//!
//! Runs where `AIRGATE_PEERS` names the folder that `lab/peers.py` made. `AIRGATE_SEED` chooses other mutants; the keys, and so
//! the tokens' very bytes, are new in each run.

mod mutants;
mod text;

use crate::rig::{AUDIENCE, NOW, everything, facts, key_file, runtime};
use airgate_identity::{Algorithm, Given, KeySource, PresentedToken, ProfileName, Verifier};
use airgate_testkit::{Peer, Peers, TestIssuer, peers};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use mutants::{Mutant, Random, Source};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tempfile::TempDir;

const ISSUER: &str = "https://issuer.test";
/// Seconds that clocks may differ, for all judges.
const LEEWAY: u64 = 30;
/// Seconds from issue to expiry, for all judges that know such a bound.
const LIFETIME: u64 = 3600;
/// Tokens in one question to a judge.
const BATCH: usize = 500;
const SEED: u64 = 0x00a1_5ea7;

/// One library, as maker and as judge.
struct Library {
    name: &'static str,
    peer: Peer,
}

/// Both, with a key set that holds keys of each and of our own testkit.
struct Court {
    libraries: [Library; 2],
    verifier: Verifier,
    /// (maker, algorithm, token)
    good: Vec<(String, String, String)>,
    odd: Vec<(String, String)>,
    /// Public keys as JWK and as PEM.
    public: Vec<(Value, String)>,
    signers: Vec<TestIssuer>,
    _folder: TempDir,
}

impl Court {
    fn new(peers: &Peers) -> Self {
        let mut libraries = [
            Library { name: "jose", peer: Peer::start("jose", &mut peers.node("judge.mjs")) },
            Library { name: "joserfc", peer: Peer::start("joserfc", &mut peers.python("judge.py")) },
        ];
        let (mut good, mut odd, mut public) = (Vec::new(), Vec::new(), Vec::new());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        for library in &mut libraries {
            let made = library.peer.ask(&json!({ "do": "make", "issuer": ISSUER, "audience": AUDIENCE, "now": NOW }));
            public.extend(list(&made["keys"]).iter().map(|key| (key["jwk"].clone(), text(&key["pem"]))));
            let tokens = list(&made["tokens"]);
            good.extend(tokens.iter().map(|one| (library.name.to_owned(), text(&one["alg"]), text(&one["token"]))));
            odd.extend(list(&made["odd"]).iter().map(|one| (text(&one["what"]), text(&one["token"]))));
        }
        let signers: Vec<TestIssuer> =
            Algorithm::ALL.map(|one| TestIssuer::new(one).with_kid(&format!("own-{}", one.as_str()))).into();
        good.extend(signers.iter().map(|signer| {
            let alg = text(&signer.header()["alg"]);
            ("own".to_owned(), alg, signer.token_of(Some("at+jwt"), claims()))
        }));
        let keys: Vec<Value> =
            public.iter().map(|(jwk, _)| jwk.clone()).chain(signers.iter().map(TestIssuer::jwk)).collect();
        let (folder, path) = key_file(&json!({ "keys": keys }));
        let mut court = Self { libraries, verifier: verifier(path), good, odd, public, signers, _folder: folder };
        court.instruct(&keys);
        court
    }

    /// The same keys, issuer, audience and clock for all.
    fn instruct(&mut self, keys: &[Value]) {
        let mut algorithms: Vec<&str> = Algorithm::ALL.iter().map(|one| one.as_str()).collect();
        algorithms.push("Ed25519");
        let question = json!({
            "do": "expect", "keys": keys, "issuer": ISSUER, "audience": AUDIENCE, "now": NOW, "leeway": LEEWAY,
            "lifetime": LIFETIME, "algorithms": algorithms,
        });
        for library in &mut self.libraries {
            let _ = library.peer.ask(&question);
        }
    }

    /// What each says of each: none where it accepts, else why not.
    fn judge(&mut self, mutants: &[Mutant]) -> Vec<Verdict> {
        let mut out = Vec::new();
        for batch in mutants.chunks(BATCH) {
            let tokens: Vec<String> = batch.iter().map(|mutant| STANDARD.encode(&mutant.token)).collect();
            for library in &mut self.libraries {
                library.peer.tell(&json!({ "do": "judge", "tokens": tokens }));
            }
            let ours: Vec<Option<String>> = batch.iter().map(|mutant| self.refuses(&mutant.token)).collect();
            let theirs = self.libraries.each_ref().map(|library| {
                let answer = library.peer.hear();
                let refused = answer["refused"].as_array().expect("a list").clone();
                assert_eq!(refused.len(), batch.len(), "{}", library.name);
                refused
            });
            for (at, ours) in ours.into_iter().enumerate() {
                let theirs = [0, 1].map(|library: usize| theirs[library][at].as_str().map(str::to_owned));
                out.push(Verdict { ours, theirs });
            }
        }
        out
    }

    /// Why we refuse it: twice the same, anew and from what is remembered.
    fn refuses(&self, token: &[u8]) -> Option<String> {
        let once = || {
            let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).map_err(|_| "no header value")?;
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let presented =
                PresentedToken::from_request(&headers, None, Default::default()).map_err(|error| error.code())?;
            let (expected, facts) = (everything(&self.verifier), facts(NOW));
            let verified = runtime().block_on(self.verifier.verify(&presented, &expected, &facts));
            verified.map(|_| ()).map_err(|error| error.code())
        };
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let first = once();
            assert_eq!(first, once(), "the second time");
            first
        }));
        match judged {
            Ok(verdict) => verdict.err().map(str::to_owned),
            Err(_) => panic!("the verifier panicked on {}", String::from_utf8_lossy(token)),
        }
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "service", "client_id": "service", "jti": "1", "iat": NOW - 10,
        "nbf": NOW - 10, "exp": NOW + 600,
    })
}

fn verifier(keys: std::path::PathBuf) -> Verifier {
    let given = Given {
        url: Some(ISSUER.to_owned()),
        audiences: vec![AUDIENCE.to_owned()],
        keys: Some(KeySource::File(keys)),
        ..Given::default()
    };
    let mut config = ProfileName::Oidc.config("op", &given).expect("a good issuer");
    config.algorithms = Algorithm::ALL.to_vec();
    assert_eq!((config.leeway.as_secs(), config.lifetime_max.as_secs()), (LEEWAY, LIFETIME));
    Verifier::new(vec![config]).expect("a verifier")
}

/// Why each refuses a token; none: it accepts.
struct Verdict {
    ours: Option<String>,
    theirs: [Option<String>; 2],
}

#[test]
fn tokens_of_every_library_and_algorithm_are_verified() {
    let Some(peers) = peers() else { return };
    let mut court = Court::new(&peers);
    let mutants: Vec<Mutant> = court
        .good
        .iter()
        .map(|(maker, alg, token)| Mutant { kind: "good", what: format!("{maker} {alg}"), token: token.clone().into() })
        .collect();
    // Nine algorithms of each maker; the libraries know EdDSA under its new name too (RFC 9864).
    assert_eq!(mutants.len(), 10 + 10 + 9);
    for (mutant, verdict) in mutants.iter().zip(court.judge(&mutants)) {
        assert_eq!(verdict.ours, None, "{}", mutant.what);
        assert_eq!(verdict.theirs, [None, None], "{}: our own tokens must be good to others", mutant.what);
    }
}

#[test]
fn what_either_library_refuses_is_refused() {
    let Some(peers) = peers() else { return };
    let seed = std::env::var_os("AIRGATE_SEED")
        .map_or(SEED, |text| text.to_str().and_then(|text| text.parse().ok()).expect("AIRGATE_SEED is a number"));
    let mut court = Court::new(&peers);
    let signers = std::mem::take(&mut court.signers);
    let mut source = Source {
        random: Random(seed),
        good: court.good.iter().map(|(_, _, token)| token.clone()).collect(),
        signers,
        public: court.public.clone(),
        audience: AUDIENCE.to_owned(),
        leeway: LEEWAY,
        now: NOW,
    };
    let mut mutants = source.mutants();
    let odd = court.odd.iter();
    mutants.extend(odd.map(|(what, token)| Mutant { kind: "odd", what: what.clone(), token: token.clone().into() }));
    let verdicts = court.judge(&mutants);
    let report = Report::new(&mutants, &verdicts);
    println!("seed {seed}\n{}", report.table);
    assert!(report.failures.is_empty(), "accepted here, refused elsewhere:\n{}", report.failures.join("\n"));
    // A judge that refuses everything, or nothing, would prove nothing.
    assert!(mutants.len() > 5000 && report.good_to_all > 200, "{} of {}", report.good_to_all, mutants.len());
    assert!(report.refused.iter().all(|refused| *refused > mutants.len() / 3), "{:?}", report.refused);
}

#[derive(Default)]
struct Report {
    table: String,
    failures: Vec<String>,
    good_to_all: usize,
    /// By us, and by each library.
    refused: [usize; 3],
}

impl Report {
    fn new(mutants: &[Mutant], verdicts: &[Verdict]) -> Self {
        let mut out = Self::default();
        // Mutants; refused by us, by each library; refused only by us.
        let mut kinds: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
        let mut only_by_us: BTreeMap<&str, usize> = BTreeMap::new();
        for (mutant, verdict) in mutants.iter().zip(verdicts) {
            let [jose, joserfc] = verdict.theirs.each_ref().map(Option::is_some);
            let ours = verdict.ours.is_some();
            let is_ours_alone = ours && !jose && !joserfc;
            let flags = [true, ours, jose, joserfc, is_ours_alone].map(usize::from);
            for key in [mutant.kind, "total"] {
                let counts = kinds.entry(key).or_default();
                counts.iter_mut().zip(flags).for_each(|(count, flag)| *count += flag);
            }
            out.good_to_all += usize::from(!ours && !jose && !joserfc);
            if is_ours_alone {
                *only_by_us.entry(verdict.ours.as_deref().unwrap_or_default()).or_default() += 1;
            }
            if !ours && (jose || joserfc) {
                out.failures.push(failure(mutant, verdict));
            }
        }
        let heads = ["mutants", "we", "jose", "joserfc", "only we"];
        let _ = writeln!(out.table, "{:32}{}", "refused by", heads.map(|head| format!("{head:>9}")).concat());
        for (kind, counts) in &kinds {
            let _ = writeln!(out.table, "{kind:32}{}", counts.map(|count| format!("{count:>9}")).concat());
        }
        let _ = writeln!(out.table, "only by us: {only_by_us:?}\naccepted by all: {}", out.good_to_all);
        let total = kinds.get("total").copied().unwrap_or_default();
        out.refused = [total[1], total[2], total[3]];
        out
    }
}

fn failure(mutant: &Mutant, verdict: &Verdict) -> String {
    let Mutant { kind, what, token } = mutant;
    format!("{kind}: {what}\n    {:?}\n    {}", verdict.theirs, String::from_utf8_lossy(token))
}
