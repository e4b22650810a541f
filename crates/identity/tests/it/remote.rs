//! Keys over https: one fetch for all, a cool-down, and limits on what the endpoint may do.

use crate::rig::*;
use airgate_identity::{Algorithm, Place, Timing, TokenError, Verifier};
use airgate_testkit::{KeyAnswer, KeyServer, TestCa, TestIssuer};
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;

struct Far {
    issuer: TestIssuer,
    server: KeyServer,
    verifier: Verifier,
    hand: Hand,
    _folder: TempDir,
}

impl Far {
    fn new() -> Self {
        Self::with(Timing::default())
    }

    fn with(timing: Timing) -> Self {
        let (issuer, ca, hand) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new(), Hand::new());
        let server = issuer.serve(&ca);
        let (folder, path) = trusted(&ca);
        let mut config = config(&issuer, remote(Place::KeySet(server.url().to_owned()), path));
        config.timing = timing;
        let verifier = timed(config, &hand);
        Self { issuer, server, verifier, hand, _folder: folder }
    }

    fn token(&self, kid: &str) -> String {
        let header = json!({ "alg": "EdDSA", "kid": kid, "typ": "airgate-job+jwt" });
        self.issuer.token_with(header, self.issuer.job_claims("d", "t", AUDIENCE, NOW))
    }

    fn error(&self, kid: &str) -> TokenError {
        verify(&self.verifier, &self.token(kid), NOW).expect_err("a token that is refused")
    }

    fn code(&self, kid: &str) -> &'static str {
        code(&self.verifier, &self.token(kid))
    }
}

#[test]
fn one_fetch_serves_all_that_wait_even_when_the_first_caller_goes_away() {
    let remote = Far::new();
    let background =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    remote.server.hold();
    remote.verifier.start(background.handle());
    let (token, verifier) = (remote.token("test-1"), &remote.verifier);
    // A caller that asks, and is dropped with its runtime before the answer.
    runtime().block_on(async {
        let asked = check(verifier, &token, NOW);
        assert!(tokio::time::timeout(Duration::from_millis(20), asked).await.is_err());
    });
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    runtime().block_on(async {
                        let mut tasks = tokio::task::JoinSet::new();
                        for _ in 0..25 {
                            let (verifier, token) = (verifier.clone(), token.clone());
                            tasks.spawn(async move { check(&verifier, &token, NOW).await.is_ok() });
                        }
                        // The first 25 wait for the held fetch once each has been polled.
                        tokio::task::yield_now().await;
                        remote.server.release();
                        tasks.join_all().await.into_iter().filter(|ok| *ok).count()
                    })
                })
            })
            .collect();
        let good: usize = callers.into_iter().map(|caller| caller.join().expect("no panic")).sum();
        assert_eq!(good, 100);
    });
    assert_eq!(remote.server.hits(), 1);
}

#[test]
fn a_flood_of_unknown_kids_costs_one_fetch_per_cool_down() {
    let remote = Far::new();
    assert_eq!(remote.code("test-1"), "ok");
    let loaded = remote.server.hits();
    for cool_down in 1..=3 {
        for _ in 0..3 {
            for kid in 0..50 {
                assert_eq!(remote.code(&format!("invented-{kid}")), "key_unknown");
            }
            remote.hand.pass(Duration::from_secs(3));
        }
        assert_eq!(remote.server.hits(), loaded + cool_down, "one for each cool-down, however many ask");
        remote.hand.pass(Duration::from_secs(1));
    }
    assert_eq!(remote.code("test-1"), "ok");
}

#[test]
fn finds_a_new_key_at_once_but_after_a_fetch_in_vain_not_before_the_cool_down() {
    let remote = Far::new();
    assert_eq!(remote.code("test-1"), "ok");
    assert_eq!(remote.code("invented"), "key_unknown");
    let mut both = remote.issuer.jwks();
    let mut second = remote.issuer.jwk();
    second["kid"] = json!("test-2");
    both["keys"].as_array_mut().expect("an array").push(second);
    remote.server.answer_keys(&both);
    assert_eq!(remote.code("test-2"), "key_unknown");
    remote.hand.pass(Duration::from_secs(10));
    assert_eq!(remote.code("test-2"), "ok");
    // An issuer that changes its keys is no flood: the fetch that finds them starts no cool-down.
    for number in 3..6 {
        let mut key = remote.issuer.jwk();
        key["kid"] = json!(format!("test-{number}"));
        remote.server.answer_keys(&json!({ "keys": [key] }));
        assert_eq!(remote.code(&format!("test-{number}")), "ok");
    }
}

#[test]
fn a_dead_endpoint_serves_known_keys_for_a_bounded_time() {
    let mut remote = Far::new();
    assert_eq!(remote.code("test-1"), "ok");
    remote.server.stop();
    // They are due after five minutes; an hour more they serve.
    remote.hand.pass(Duration::from_secs(300 + 3599));
    assert_eq!(remote.code("test-1"), "ok");
    remote.hand.pass(Duration::from_secs(2));
    let error = remote.error("test-1");
    assert_eq!((error.code(), error.is_unavailable()), ("keys_unavailable", true), "{error}");
    assert!(error.to_string().contains("can't connect") && !error.public().contains("localhost"), "{error}");
}

#[test]
fn an_unknown_kid_is_not_called_unknown_while_the_endpoint_is_dead() {
    let mut remote = Far::new();
    assert_eq!(remote.code("test-1"), "ok");
    remote.server.stop();
    remote.hand.pass(Duration::from_secs(11));
    assert_eq!(remote.code("test-2"), "keys_unavailable");
    assert_eq!(remote.code("test-1"), "ok");
}

#[test]
fn finds_an_endpoint_that_came_up_late() {
    let remote = Far::new();
    remote.server.answer(KeyAnswer::Status(503));
    assert_eq!(remote.code("test-1"), "keys_unavailable");
    remote.server.answer_keys(&remote.issuer.jwks());
    assert_eq!(remote.code("test-1"), "keys_unavailable", "less than a second later");
    assert_eq!(remote.server.hits(), 1);
    remote.hand.pass(Duration::from_secs(1));
    assert_eq!(remote.code("test-1"), "ok");
}

#[test]
fn refuses_answers_that_are_no_key_set() {
    let remote = Far::new();
    let elsewhere = remote.server.url().to_owned();
    for (answer, part) in [
        (KeyAnswer::Redirect(elsewhere), "answered 302"),
        (KeyAnswer::Status(204), "answered 204"),
        (KeyAnswer::Status(500), "answered 500"),
        (KeyAnswer::Body(format!("{}{}", remote.issuer.jwks(), " ".repeat(256 * 1024))), "longer than 256 KiB"),
        (KeyAnswer::Body("<html>".to_owned()), "not a JSON object"),
        (KeyAnswer::Body(String::new()), "not a JSON object"),
        (KeyAnswer::Body("{\"keys\":[],\"keys\":[]}".to_owned()), "a member twice"),
        (KeyAnswer::Body(json!({ "keys": vec![remote.issuer.jwk(); 101] }).to_string()), "more than 100 keys"),
    ] {
        let before = remote.server.hits();
        remote.server.answer(answer);
        let error = remote.error("test-1");
        assert!(error.is_unavailable() && error.to_string().contains(part), "{part}: {error}");
        assert_eq!(remote.server.hits(), before + 1, "{part}");
        remote.hand.pass(Duration::from_secs(1));
    }
    remote.server.answer_keys(&remote.issuer.jwks());
    assert_eq!(remote.code("test-1"), "ok");
}

#[test]
fn a_silent_endpoint_is_given_up_in_time() {
    let remote = Far::with(Timing { fetch_timeout: Duration::from_millis(100), ..Timing::default() });
    remote.server.answer(KeyAnswer::Silence);
    let error = remote.error("test-1");
    assert!(error.is_unavailable() && error.to_string().contains("within 100ms"), "{error}");
}

#[test]
fn refuses_an_endpoint_of_another_authority() {
    let (issuer, ca, other) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new(), TestCa::new());
    let server = issuer.serve(&ca);
    let (_folder, path) = trusted(&other);
    let keys = remote(Place::KeySet(server.url().to_owned()), path);
    let verifier = timed(config(&issuer, keys), &Hand::new());
    let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
    let error = verify(&verifier, &token, NOW).expect_err("no keys");
    assert!(error.is_unavailable() && error.to_string().contains("no TLS"), "{error}");
    assert_eq!(server.hits(), 0);
}

#[test]
fn an_empty_answer_takes_every_key_away() {
    let remote = Far::new();
    assert_eq!(remote.code("test-1"), "ok");
    remote.server.answer_keys(&json!({ "keys": [] }));
    remote.hand.pass(Duration::from_secs(11));
    assert_eq!(remote.code("other"), "key_unknown");
    assert_eq!(remote.code("test-1"), "key_unknown");
}

#[test]
fn start_fetches_without_being_asked() {
    let remote = Far::new();
    let runtime = runtime();
    remote.verifier.start(runtime.handle());
    runtime.block_on(async {
        // The token waits for the flight that `start` began; had it begun none, it would begin one of its own.
        tokio::task::yield_now().await;
        assert!(check(&remote.verifier, &remote.token("test-1"), NOW).await.is_ok());
    });
    assert_eq!(remote.server.hits(), 1);
}
