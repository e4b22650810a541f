//! Verified tokens are remembered, and never for longer, or for more, than they were verified for.

use crate::rig::*;
use airgate_identity::{Algorithm, Expectation, Facts, KeySource, Place, RequestTarget, Verifier, VerifierConfig};
use airgate_testkit::{KeyAnswer, TestCa, TestIssuer};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[test]
fn a_second_look_is_at_what_the_first_has_verified() {
    let look = |tokens_max| {
        let issuer = TestIssuer::new(Algorithm::Es384);
        let (_folder, path) = key_file(&issuer.jwks());
        let settings = VerifierConfig { tokens_max, ..VerifierConfig::default() };
        let config = config(&issuer, KeySource::File(path));
        let verifier = Verifier::with(vec![config], settings, Arc::new(Instant::now)).expect("a verifier");
        let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
        let (first, second) = (verify(&verifier, &token, NOW), verify(&verifier, &token, NOW));
        // One and the same, not one like the other.
        std::ptr::eq(first.expect("good").claims(), second.expect("good").claims())
    };
    assert!(look(100) && !look(0));
}

/// An issuer at a URL, with a hand on the clock.
struct Remembered {
    issuer: TestIssuer,
    server: airgate_testkit::KeyServer,
    verifier: Verifier,
    hand: Hand,
    _folder: tempfile::TempDir,
}

impl Remembered {
    fn new() -> Self {
        let (issuer, ca, hand) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new(), Hand::new());
        let server = issuer.serve(&ca);
        let (folder, path) = trusted(&ca);
        let verifier = timed(config(&issuer, remote(Place::KeySet(server.url().to_owned()), path)), &hand);
        Self { issuer, server, verifier, hand, _folder: folder }
    }

    fn token(&self) -> String {
        self.issuer.token(self.issuer.job_claims("d", "t", AUDIENCE, NOW))
    }
}

#[test]
fn expiry_is_looked_at_each_time() {
    let rig = Remembered::new();
    let token = rig.token();
    for (now, expected) in [(NOW, true), (NOW + 149, true), (NOW + 150, false), (NOW + 149, true)] {
        assert_eq!(verify(&rig.verifier, &token, now).is_ok(), expected, "{now}");
    }
}

#[test]
fn a_change_of_keys_forgets_what_was_verified_under_the_old_ones() {
    let rig = Remembered::new();
    let token = rig.token();
    assert_eq!(code(&rig.verifier, &token), "ok");
    // The key is taken away; the next fetch notices, and the token that it signed is good no more.
    let successor = TestIssuer::new(Algorithm::EdDsa).with_kid("test-2");
    rig.server.answer_keys(&successor.jwks());
    assert_eq!(code(&rig.verifier, &token), "ok", "not noticed yet");
    let new = successor.token(successor.job_claims("d", "t", AUDIENCE, NOW));
    assert_eq!(code(&rig.verifier, &new), "ok");
    assert_eq!(code(&rig.verifier, &token), "key_unknown");
    // A key of the same name with other material: another key.
    let impostor = TestIssuer::new(Algorithm::EdDsa).with_kid("test-2");
    rig.server.answer_keys(&impostor.jwks());
    rig.hand.pass(Duration::from_secs(11));
    assert_eq!(
        code(
            &rig.verifier,
            &rig.issuer
                .token_with(json!({ "alg": "EdDSA", "kid": "x", "typ": "JWT" }), json!({ "iss": rig.issuer.issuer() }))
        ),
        "key_unknown"
    );
    assert_eq!(code(&rig.verifier, &new), "signature_invalid");
}

#[test]
fn keys_that_are_too_old_serve_remembered_tokens_no_longer() {
    let mut rig = Remembered::new();
    let token = rig.token();
    assert_eq!(code(&rig.verifier, &token), "ok");
    rig.server.stop();
    rig.hand.pass(Duration::from_secs(300 + 3_599));
    assert_eq!(code(&rig.verifier, &token), "ok");
    rig.hand.pass(Duration::from_secs(2));
    assert_eq!(code(&rig.verifier, &token), "keys_unavailable");
}

#[test]
fn a_set_of_keys_that_did_not_change_forgets_nothing() {
    let rig = Remembered::new();
    let token = rig.token();
    assert_eq!(code(&rig.verifier, &token), "ok");
    rig.hand.pass(Duration::from_secs(301));
    assert_eq!(code(&rig.verifier, &token), "ok", "and asks in the background");
    rig.server.answer(KeyAnswer::Status(500));
    assert_eq!(code(&rig.verifier, &token), "ok");
}

/// INVARIANT: what was verified for one route is verified anew for another that accepts other issuers.
#[test]
fn a_token_that_one_route_accepts_is_no_hit_on_another() {
    let TwoIssuers { one, verifier, .. } = TwoIssuers::new();
    let ask = |expected: &Expectation, token: &str| {
        let outcome = runtime().block_on(verifier.verify(&presented(token), expected, &facts(NOW)));
        outcome.map_or_else(|error| error.code(), |_| "ok")
    };
    let expect = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        verifier.expect(Some(&names)).expect("issuers of the configuration")
    };
    let (all, only_one, only_other, both) =
        (everything(&verifier), expect(&["airflow"]), expect(&["other"]), expect(&["other", "airflow"]));
    let token = one.token(one.job_claims("d", "t", AUDIENCE, NOW));
    for (expected, wanted) in [
        (&all, "ok"),
        (&only_other, "issuer_unknown"),
        (&only_one, "ok"),
        (&only_other, "issuer_unknown"),
        (&both, "ok"),
        (&only_other, "issuer_unknown"),
    ] {
        assert_eq!(ask(expected, &token), wanted, "{expected:?}");
    }
    assert!(verifier.expect(Some(&["nobody".to_owned()])).is_err());
}

/// A remembered token is still proven at each use, whatever was shown the first time.
#[test]
fn a_remembered_token_is_proven_each_time() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let rig = Remembered::new();
    let mut claims = rig.issuer.job_claims("d", "t", AUDIENCE, NOW);
    claims["cnf"] = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 32]) });
    let token = rig.issuer.token(claims);
    let ask = |certificate: Option<[u8; 32]>| {
        let target = RequestTarget { scheme: "https", authority: "gw.example", path: "/" };
        let facts = Facts { method: "GET", target, client_certificate: certificate.as_ref(), now: NOW };
        let outcome = runtime().block_on(rig.verifier.verify(&presented(&token), &everything(&rig.verifier), &facts));
        outcome.map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!((ask(Some([7; 32])), ask(Some([8; 32])), ask(None)), ("ok", "proof_missing", "proof_missing"));
    assert_eq!(ask(Some([7; 32])), "ok");
}
