//! Opaque tokens (RFC 7662): who is asked, how we say who we are, how long an answer is remembered.

use crate::rig::*;
use airgate_identity::{Algorithm, HttpSettings, IntrospectionConfig, IssuerConfig, KeySource, TokenError, Verifier};
use airgate_testkit::{KeyAnswer, KeyServer, TestCa, TestIssuer};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use std::{collections::HashMap, path::PathBuf, time::Duration};
use tempfile::TempDir;

const OPAQUE: &str = "mF_9.B5f-4.1JqM.opaque";

struct Asked {
    issuer: TestIssuer,
    ca: TestCa,
    server: KeyServer,
    hand: Hand,
    folder: TempDir,
    /// Of the key that authenticates us.
    public_pem: String,
}

impl Asked {
    fn new() -> Self {
        let ca = TestCa::new();
        let server = KeyServer::start(&ca, json!({ "active": false }));
        let (folder, _) = trusted(&ca);
        let key = rcgen::KeyPair::generate().expect("a P-256 key");
        std::fs::write(folder.path().join("client.key"), key.serialize_pem()).expect("a written file");
        let public_pem = key.public_key_pem();
        Self { issuer: TestIssuer::new(Algorithm::EdDsa), ca, server, hand: Hand::new(), folder, public_pem }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn introspection(&self) -> IntrospectionConfig {
        IntrospectionConfig {
            url: format!("{}/introspect", self.server.origin()),
            http: HttpSettings { ca_file: Some(self.path("ca.pem")), ..HttpSettings::default() },
            client_id: "airgate".to_owned(),
            key: Some(self.path("client.key")),
            key_id: Some("key-1".to_owned()),
            audience: self.issuer.issuer().to_owned(),
            cache_max: Duration::from_secs(30),
            concurrency_max: 8,
        }
    }

    fn config(&self, introspection: IntrospectionConfig) -> IssuerConfig {
        let mut config = config(&self.issuer, KeySource::Introspection);
        config.lifetime_max = Duration::from_secs(3_600);
        config.introspection = Some(introspection);
        config
    }

    fn verifier(&self) -> Verifier {
        timed(self.config(self.introspection()), &self.hand)
    }

    fn says(&self, answer: &Value) {
        self.server.answer(KeyAnswer::Body(answer.to_string()));
    }
}

/// What an issuer says of an active token of a client (as npm `oidc-provider` does: without `sub`).
fn active() -> Value {
    json!({
        "active": true, "client_id": "svc-etl", "exp": NOW + 600, "iat": NOW, "iss": "https://issuer.test", "aud": AUDIENCE,
        "scope": "read", "token_type": "Bearer",
    })
}

fn but(claim: &str, value: Value) -> Value {
    let mut out = active();
    if value.is_null() {
        out.as_object_mut().expect("an object").remove(claim);
    } else {
        out[claim] = value;
    }
    out
}

#[test]
fn an_active_token_is_accepted_and_its_client_is_the_subject() {
    let asked = Asked::new();
    asked.says(&active());
    let token = verify(&asked.verifier(), OPAQUE, NOW).expect("an active token");
    assert_eq!((token.issuer(), token.iss(), token.subject()), ("airflow", "https://issuer.test", "svc-etl"));
    assert_eq!(token.attribute("scope"), Some(&json!("read")));
    asked.says(&but("sub", json!("user-1")));
    assert_eq!(verify(&asked.verifier(), OPAQUE, NOW).expect("an active token").subject(), "user-1");
}

#[test]
fn we_authenticate_with_an_assertion_of_our_own_and_send_the_token_in_the_body_alone() {
    let asked = Asked::new();
    asked.says(&active());
    let verifier = asked.verifier();
    assert_eq!(code(&verifier, OPAQUE), "ok");
    assert_eq!(code(&verifier, "another-token"), "ok");
    let questions = asked.server.asked();
    let mut ids = Vec::new();
    for (question, token) in questions.iter().zip([OPAQUE, "another-token"]) {
        assert_eq!((question.method.as_str(), question.path.as_str()), ("POST", "/introspect"));
        assert_eq!(question.authorization, None, "no shared secret");
        let form: HashMap<String, String> = form_urlencoded::parse(question.body.as_bytes()).into_owned().collect();
        assert_eq!(form["token"], token);
        assert_eq!(form["token_type_hint"], "access_token");
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let key = DecodingKey::from_ec_pem(asked.public_pem.as_bytes()).expect("a public key");
        let mut rules = Validation::new(jsonwebtoken::Algorithm::ES256);
        rules.set_audience(&["https://issuer.test"]);
        rules.set_issuer(&["airgate"]);
        (rules.validate_exp, rules.leeway) = (false, 0);
        let assertion = jsonwebtoken::decode::<Value>(&form["client_assertion"], &key, &rules).expect("our assertion");
        assert_eq!(assertion.header.kid.as_deref(), Some("key-1"));
        assert_eq!((assertion.claims["sub"].as_str(), &assertion.claims["exp"]), (Some("airgate"), &json!(NOW + 60)));
        ids.push(assertion.claims["jti"].clone());
    }
    assert!(ids.len() == 2 && ids[0] != ids[1], "no assertion is used twice: {ids:?}");
}

#[test]
fn we_authenticate_with_a_certificate_where_that_is_configured() {
    let asked = Asked::new();
    asked.says(&active());
    let (certificate, key, thumbprint) = asked.ca.issue_client("airgate");
    std::fs::write(asked.path("client.pem"), certificate).expect("a written file");
    std::fs::write(asked.path("tls.key"), key).expect("a written file");
    let mut introspection = asked.introspection();
    introspection.key = None;
    introspection.http.certificate = Some((asked.path("client.pem"), asked.path("tls.key")));
    let verifier = timed(asked.config(introspection), &asked.hand);
    assert_eq!(code(&verifier, OPAQUE), "ok");
    let question = asked.server.asked().remove(0);
    assert_eq!(question.certificate, Some(thumbprint));
    assert!(
        question.body.contains("client_id=airgate") && !question.body.contains("client_assertion"),
        "{}",
        question.body
    );
}

#[test]
fn answers_are_checked_like_claims() {
    let asked = Asked::new();
    for (answer, expected) in [
        (json!({ "active": false }), "token_inactive"),
        (json!({ "active": false, "exp": NOW + 600, "aud": AUDIENCE }), "token_inactive"),
        (but("exp", json!(null)), "claims_malformed"),
        (but("exp", json!("1900000000")), "claims_malformed"),
        (but("exp", json!(NOW - 31)), "token_expired"),
        (but("exp", json!(NOW + 100_000)), "token_too_long_lived"),
        (but("nbf", json!(NOW + 31)), "token_not_yet_valid"),
        (but("aud", json!(null)), "claims_malformed"),
        (but("aud", json!("https://elsewhere")), "audience_mismatch"),
        (but("iss", json!("https://evil.test")), "issuer_unknown"),
        (but("iss", json!(7)), "issuer_unknown"),
        (but("iss", json!(null)), "ok"),
        (but("client_id", json!(null)), "claims_malformed"),
        (but("cnf", json!({ "jkt": "x" })), "claims_malformed"),
        (but("cnf", json!({ "jkt": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" })), "proof_missing"),
        (but("active", json!("true")), "introspection_unavailable"),
        (but("active", json!(1)), "introspection_unavailable"),
        (but("active", json!(null)), "introspection_unavailable"),
        (json!([]), "introspection_unavailable"),
    ] {
        asked.says(&answer);
        assert_eq!(code(&asked.verifier(), OPAQUE), expected, "{answer}");
    }
    asked.server.answer(KeyAnswer::Body("{\"active\":false,\"active\":true}".to_owned()));
    assert_eq!(code(&asked.verifier(), OPAQUE), "introspection_unavailable", "a member twice");
}

/// Where the issuer is asked about its JSON Web Tokens too, its word counts and not the token's.
#[test]
fn what_is_said_of_a_json_web_token_counts_and_not_what_it_says() {
    let asked = Asked::new();
    let token = asked.issuer.token(asked.issuer.job_claims("d", "t", AUDIENCE, NOW));
    for (answer, expected) in [
        (active(), "ok"),
        (json!({ "active": false }), "token_inactive"),
        (but("aud", json!("https://elsewhere")), "audience_mismatch"),
        (but("iss", json!("https://evil.test")), "issuer_unknown"),
        (but("exp", json!(NOW - 31)), "token_expired"),
    ] {
        asked.says(&answer);
        assert_eq!(code(&asked.verifier(), &token), expected, "{answer}");
    }
    asked.says(&active());
    assert_eq!(verify(&asked.verifier(), &token, NOW).expect("an active token").subject(), "svc-etl");
    let of_another = asked.issuer.token(json!({ "iss": "https://evil.test", "aud": AUDIENCE, "sub": "x", "exp": NOW }));
    let before = asked.server.hits();
    assert_eq!(code(&asked.verifier(), &of_another), "issuer_unknown");
    assert_eq!(asked.server.hits(), before, "and is shown to nobody");
}

#[test]
fn an_endpoint_that_does_not_answer_refuses_with_that_reason() {
    let mut asked = Asked::new();
    for (answer, part) in [
        (KeyAnswer::Status(401), "answered 401"),
        (KeyAnswer::Status(500), "answered 500"),
        (KeyAnswer::Redirect("https://localhost/elsewhere".to_owned()), "answered 302"),
        (KeyAnswer::Body("x".repeat(300 * 1024)), "longer than 256 KiB"),
    ] {
        asked.server.answer(answer);
        let error: TokenError = verify(&asked.verifier(), OPAQUE, NOW).expect_err("no answer");
        assert!(error.is_unavailable() && error.to_string().contains(part), "{part}: {error}");
        assert!(!error.public().contains("localhost") && !error.to_string().contains(OPAQUE), "{error}");
    }
    asked.server.stop();
    let error = verify(&asked.verifier(), OPAQUE, NOW).expect_err("nobody there");
    assert!(error.to_string().contains("can't connect"), "{error}");
}

#[test]
fn answers_are_remembered_no_longer_than_the_bound_and_the_token() {
    let asked = Asked::new();
    asked.says(&active());
    let verifier = asked.verifier();
    let ask = |now: u64| verify(&verifier, OPAQUE, now).map_or_else(|error| error.code(), |_| "ok");
    assert_eq!((ask(NOW), ask(NOW)), ("ok", "ok"));
    assert_eq!(asked.server.hits(), 1);
    // Revoked at the issuer: noticed when the bound has passed.
    asked.says(&json!({ "active": false }));
    asked.hand.pass(Duration::from_secs(29));
    assert_eq!(ask(NOW + 29), "ok");
    asked.hand.pass(Duration::from_secs(1));
    assert_eq!(ask(NOW + 30), "token_inactive");
    // "Not active" is remembered for 10 s.
    assert_eq!((ask(NOW + 31), asked.server.hits()), ("token_inactive", 2));
    asked.says(&but("exp", json!(NOW + 45)));
    asked.hand.pass(Duration::from_secs(10));
    assert_eq!((ask(NOW + 40), asked.server.hits()), ("ok", 3));
    // The token lives five more seconds: so does the answer.
    asked.says(&json!({ "active": false }));
    asked.hand.pass(Duration::from_secs(5));
    assert_eq!((ask(NOW + 45), asked.server.hits()), ("token_inactive", 4));
}

#[test]
fn nothing_is_remembered_where_the_bound_is_zero() {
    let asked = Asked::new();
    asked.says(&active());
    let introspection = IntrospectionConfig { cache_max: Duration::ZERO, ..asked.introspection() };
    let verifier = timed(asked.config(introspection), &asked.hand);
    assert_eq!((code(&verifier, OPAQUE), code(&verifier, OPAQUE)), ("ok", "ok"));
    assert_eq!(asked.server.hits(), 2);
}

#[test]
fn one_question_serves_all_that_wait_and_too_many_are_refused() {
    let asked = Asked::new();
    asked.says(&active());
    let introspection = IntrospectionConfig { concurrency_max: 2, ..asked.introspection() };
    let verifier = timed(asked.config(introspection), &asked.hand);
    asked.server.hold();
    let codes = runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        // 20 with one token are one question; of four further tokens, one finds a place.
        for token in std::iter::repeat_n(OPAQUE.to_owned(), 20).chain((0..4).map(|n| format!("other-{n}"))) {
            let verifier = verifier.clone();
            tasks.spawn(async move { check(&verifier, &token, NOW).await.map_or_else(|error| error.code(), |_| "ok") });
        }
        // All of them have been polled once, and hold their places, when the answers come.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        asked.server.release();
        tasks.join_all().await
    });
    let count = |code: &str| codes.iter().filter(|one| **one == code).count();
    assert_eq!((count("ok"), count("introspection_unavailable")), (21, 3), "{codes:?}");
    assert_eq!(asked.server.hits(), 2);
}

/// A JSON Web Token is never shown to an introspection endpoint that is not its issuer's, however badly it is made.
#[test]
fn a_token_is_shown_to_its_own_issuer_alone() {
    let asked = Asked::new();
    asked.says(&active());
    let other = TestIssuer::new(Algorithm::EdDsa).with_issuer("https://other.test");
    let (_folder, path) = key_file(&other.jwks());
    let mut of_other = config(&other, KeySource::File(path));
    of_other.name = "other".to_owned();
    let verifier = Verifier::new(vec![asked.config(asked.introspection()), of_other]).expect("a verifier");
    let good = other.token(other.job_claims("d", "t", AUDIENCE, NOW));
    let stranger = TestIssuer::new(Algorithm::EdDsa).with_issuer("https://nobody.test");
    for (token, expected) in [
        (good.clone(), "ok"),
        (format!("{}x", good), "token_malformed"),
        (good.replacen("ey", "e", 1), "token_malformed"),
        (stranger.token(stranger.job_claims("d", "t", AUDIENCE, NOW)), "issuer_unknown"),
    ] {
        let got = code(&verifier, &token);
        assert!(got == expected || (expected == "token_malformed" && got == "signature_invalid"), "{got} {expected}");
    }
    assert_eq!(asked.server.hits(), 0, "none of them was shown to it");
    // And on a route that does not take its tokens, it is not asked about opaque ones either.
    let only_other = verifier.expect(Some(&["other".to_owned()])).expect("an issuer");
    let code = runtime().block_on(verifier.verify(&presented(OPAQUE), &only_other, &facts(NOW)));
    assert_eq!(code.map_err(|error| error.code()).err(), Some("token_malformed"));
    assert_eq!(asked.server.hits(), 0);
    // Its own JSON Web Tokens it is asked about, where the configuration says so.
    let own = asked.issuer.token(asked.issuer.job_claims("d", "t", AUDIENCE, NOW));
    assert_eq!(crate::rig::code(&verifier, &own), "ok");
    assert_eq!(asked.server.hits(), 1);
}

#[test]
fn two_issuers_that_could_be_asked_are_not_asked_at_all() {
    let asked = Asked::new();
    asked.says(&active());
    let mut second = asked.config(asked.introspection());
    (second.name, second.issuers) = ("second".to_owned(), vec!["https://second.test".to_owned()]);
    let verifier = Verifier::new(vec![asked.config(asked.introspection()), second]).expect("a verifier");
    assert_eq!(code(&verifier, OPAQUE), "token_malformed");
    assert_eq!(asked.server.hits(), 0);
}

#[test]
fn what_can_not_work_is_said_at_once() {
    let asked = Asked::new();
    let with = |change: &dyn Fn(&mut IntrospectionConfig)| {
        let mut introspection = asked.introspection();
        change(&mut introspection);
        errors(vec![asked.config(introspection)]).remove(0)
    };
    std::fs::write(asked.path("none.key"), "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n")
        .expect("written");
    for (error, part) in [
        (with(&|one| one.key = None), "not how to authenticate"),
        (with(&|one| one.key = Some(asked.path("missing.key"))), "missing.key"),
        (with(&|one| one.key = Some(asked.path("none.key"))), "no private key"),
        (with(&|one| one.url = "http://localhost/introspect".to_owned()), "not https"),
    ] {
        assert!(error.contains(part) && !error.contains("hunter2"), "{part}: {error}");
    }
    let mut neither = asked.config(asked.introspection());
    neither.introspection = None;
    assert!(errors(vec![neither])[0].contains("neither keys nor an introspection endpoint"));
}
