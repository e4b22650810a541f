//! Keys in a file: changes are noticed, and a broken file serves no longer than it may.

use crate::rig::*;
use airgate_identity::{Algorithm, KeySource, Verifier};
use airgate_testkit::TestIssuer;
use std::time::Duration;

#[test]
fn follows_the_file_within_a_second() {
    let (old, new) =
        (TestIssuer::new(Algorithm::EdDsa).with_kid("old"), TestIssuer::new(Algorithm::EdDsa).with_kid("new"));
    let (_folder, path) = key_file(&old.jwks());
    let hand = Hand::new();
    let verifier = timed(config(&old, KeySource::File(path.clone())), &hand);
    let code = |issuer: &TestIssuer| code(&verifier, &issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW)));
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
    let verifier = timed(config(&issuer, KeySource::File(path.clone())), &hand);
    let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
    let code = || code(&verifier, &token);
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

#[test]
fn a_revoked_token_is_refused_within_a_second_also_where_it_was_remembered() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let (folder, path) = key_file(&issuer.jwks());
    let list = folder.path().join("revoked.txt");
    std::fs::write(&list, "# stolen\n").expect("a written file");
    let mut config = config(&issuer, KeySource::File(path));
    config.revoked_file = Some(list.clone());
    let verifier = Verifier::new(vec![config]).expect("a verifier");
    let token = |task: &str| issuer.token(issuer.job_claims("d", task, AUDIENCE, NOW));
    let (stolen, other, third) = (token("stolen"), token("other"), token("third"));
    let runtime = runtime();
    verifier.start(runtime.handle());
    runtime.block_on(async {
        let good = check(&verifier, &stolen, NOW).await.expect("not revoked yet");
        assert!(check(&verifier, &other, NOW).await.is_ok() && check(&verifier, &third, NOW).await.is_ok());
        let lines = format!("{} # by the audit log\nd-third-{NOW}\n", good.sha256_hex());
        std::fs::write(&list, lines).expect("a written file");
        let began = std::time::Instant::now();
        while check(&verifier, &stolen, NOW).await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10), "never revoked");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
        for (token, expected) in [(&stolen, "token_revoked"), (&third, "token_revoked"), (&other, "ok")] {
            let code = check(&verifier, token, NOW).await.map_or_else(|error| error.code(), |_| "ok");
            assert_eq!(code, expected);
        }
        // What can't be read takes nothing back.
        std::fs::remove_file(&list).expect("removed");
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(check(&verifier, &stolen, NOW).await.is_err());
    });
}

#[test]
fn a_list_of_revoked_tokens_that_is_not_there_is_an_error() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let (folder, path) = key_file(&issuer.jwks());
    let mut config = config(&issuer, KeySource::File(path));
    config.revoked_file = Some(folder.path().join("missing.txt"));
    assert!(errors(vec![config])[0].contains("missing.txt"));
}
