//! Keys in a file: changes are noticed, and a broken file serves no longer than it may.

use crate::rig::*;
use airgate_identity::{Algorithm, KeySource};
use airgate_testkit::TestIssuer;
use std::time::Duration;

#[test]
fn follows_the_file_within_a_second() {
    let (old, new) =
        (TestIssuer::new(Algorithm::EdDsa).with_kid("old"), TestIssuer::new(Algorithm::EdDsa).with_kid("new"));
    let (_folder, path) = key_file(&old.jwks());
    let hand = Hand::new();
    let verifier = timed(config(&old, Algorithm::EdDsa, KeySource::File(path.clone())), &hand);
    let code = |issuer: &TestIssuer| {
        let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
        verify(&verifier, &token, NOW).map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!((code(&old), code(&new)), ("ok", "key_unknown"));
    std::fs::write(&path, new.jwks().to_string()).expect("a written file");
    assert_eq!((code(&old), code(&new)), ("ok", "key_unknown"), "looked at less than a second ago");
    hand.pass(Duration::from_secs(1));
    assert_eq!((code(&old), code(&new)), ("key_unknown", "ok"));
}

#[test]
fn a_broken_file_serves_known_keys_for_a_bounded_time() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let (_folder, path) = key_file(&issuer.jwks());
    let hand = Hand::new();
    let verifier = timed(config(&issuer, Algorithm::EdDsa, KeySource::File(path.clone())), &hand);
    let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
    let code = || verify(&verifier, &token, NOW).map_or_else(|error| error.code(), |_| "ok");
    for breakage in ["{", "{\"keys\":7}", &" ".repeat(300 * 1024)] {
        std::fs::write(&path, breakage).expect("a written file");
        hand.pass(Duration::from_secs(60));
        assert_eq!(code(), "ok");
    }
    std::fs::remove_file(&path).expect("the file is removed");
    hand.pass(Duration::from_secs(3600));
    assert_eq!(code(), "keys_unavailable");
    std::fs::write(&path, issuer.jwks().to_string()).expect("a written file");
    hand.pass(Duration::from_secs(1));
    assert_eq!(code(), "ok");
}
