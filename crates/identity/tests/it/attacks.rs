//! Attacks on tokens that have worked elsewhere, one named test each. Every row first shows that the same token without the
//! attack is accepted, so that none passes for another reason.

use crate::rig::*;
use airgate_identity::{Algorithm, Given, KeySource, Place, PresentedToken, ProfileName, Tolerance, Verifier};
use airgate_testkit::{KeyAnswer, Prover, TestCa, TestIssuer};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use serde_json::{Value, json};
use std::time::Duration;

/// A good token with one change to its header.
fn with_header(rig: &Rig, change: impl FnOnce(&mut Value)) -> String {
    let mut header = rig.issuer.header();
    assert_eq!(rig.code(&rig.issuer.token_with(header.clone(), rig.claims())), "ok", "without the attack");
    change(&mut header);
    rig.issuer.token_with(header, rig.claims())
}

/// A good token with one change to its claims.
fn with_claims(rig: &Rig, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = rig.claims();
    assert_eq!(rig.code(&rig.issuer.token(claims.clone())), "ok", "without the attack");
    change(&mut claims);
    rig.issuer.token(claims)
}

/// The code for a good token under a key set with one change.
fn with_keys(algorithm: Algorithm, change: impl FnOnce(&mut Value)) -> &'static str {
    let issuer = TestIssuer::new(algorithm);
    let spare = TestIssuer::new(Algorithm::EdDsa).with_kid("spare");
    let mut keys = json!({ "keys": [issuer.jwk(), spare.jwk()] });
    let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
    let ask = |keys: &Value| {
        let (_folder, path) = key_file(keys);
        let mut config = config(&issuer, KeySource::File(path));
        config.algorithms = Algorithm::ALL.to_vec();
        code(&Verifier::new(vec![config]).expect("a verifier"), &token)
    };
    assert_eq!(ask(&keys), "ok", "without the attack");
    change(&mut keys);
    ask(&keys)
}

#[test]
fn algorithm_none() {
    let rig = Rig::new(Algorithm::EdDsa);
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let token = with_header(&rig, |header| header["alg"] = json!(name));
        let unsigned = format!("{}.", token.rsplit_once('.').expect("a token").0);
        for token in [token, unsigned] {
            let code = rig.code(&token);
            assert!(matches!(code, "algorithm_not_allowed" | "token_malformed"), "{name}: {code}");
        }
    }
}

/// The public key, which everybody has, as the secret of an HMAC.
#[test]
fn algorithm_confusion_by_hmac_with_the_public_key() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let rig = Rig::new(algorithm);
        let secrets = [rig.issuer.jwk().to_string(), rig.issuer.jwks().to_string(), rig.issuer.bare_jwk().to_string()];
        for secret in secrets {
            let header = json!({ "alg": "HS256", "kid": rig.issuer.kid(), "typ": "airgate-job+jwt" });
            let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", encode(&header), encode(&rig.claims()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(rig.code(&token), "algorithm_not_allowed");
        }
    }
}

#[test]
fn algorithm_confusion_between_kinds_of_signature() {
    for (algorithm, others) in [
        (Algorithm::Rs256, ["PS256", "RS384", "RS512"]),
        (Algorithm::Ps256, ["RS256", "PS384", "PS512"]),
        (Algorithm::Es256, ["ES384", "EdDSA", "ES256K"]),
        (Algorithm::Es384, ["ES256", "ES512", "RS384"]),
    ] {
        let rig = Rig::with(algorithm, |config| config.algorithms = Algorithm::ALL.to_vec());
        for other in others {
            let token = with_header(&rig, |header| header["alg"] = json!(other));
            assert_eq!(rig.code(&token), "algorithm_not_allowed", "{algorithm:?} {other}");
        }
    }
}

/// Ed25519 has two names (RFC 9864 §2.2): a key that bears one is for no other.
#[test]
fn a_name_of_an_algorithm_that_is_not_the_keys() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    for (of_key, of_token, expected) in [
        (json!("EdDSA"), "EdDSA", "ok"),
        (json!("Ed25519"), "Ed25519", "ok"),
        (json!(null), "EdDSA", "ok"),
        (json!(null), "Ed25519", "ok"),
        (json!("EdDSA"), "Ed25519", "algorithm_not_allowed"),
        (json!("Ed25519"), "EdDSA", "algorithm_not_allowed"),
    ] {
        let mut keys = issuer.jwks();
        let key = keys["keys"][0].as_object_mut().expect("a key");
        key.remove("alg");
        if !of_key.is_null() {
            key.insert("alg".to_owned(), of_key.clone());
        }
        let (_folder, path) = key_file(&keys);
        let verifier = Verifier::new(vec![config(&issuer, KeySource::File(path))]).expect("a verifier");
        let mut header = issuer.header();
        header["alg"] = json!(of_token);
        let token = issuer.token_with(header, issuer.job_claims("d", "t", AUDIENCE, NOW));
        assert_eq!(code(&verifier, &token), expected, "{of_key} {of_token}");
    }
}

#[test]
fn an_algorithm_that_the_key_allows_and_the_issuer_does_not() {
    let rig = Rig::with(Algorithm::Rs256, |config| config.algorithms = vec![Algorithm::Es256]);
    assert_eq!(rig.code(&rig.issuer.token(rig.claims())), "algorithm_not_allowed");
}

#[test]
fn exp_as_text() {
    let rig = Rig::new(Algorithm::EdDsa);
    for value in
        [json!("1900000000"), json!(""), json!(true), json!([1_900_000_000]), json!({}), json!(1.9e9), json!(-1)]
    {
        assert_eq!(rig.code(&with_claims(&rig, |claims| claims["exp"] = value.clone())), "claims_malformed", "{value}");
    }
}

#[test]
fn no_exp_no_aud_no_iss_no_sub() {
    let rig = Rig::new(Algorithm::EdDsa);
    for claim in ["exp", "aud", "iss", "sub"] {
        let token = with_claims(&rig, |claims| drop(claims.as_object_mut().expect("an object").remove(claim)));
        assert_eq!(rig.code(&token), "claims_malformed", "{claim}");
    }
}

#[test]
fn no_kid() {
    let without = |header: &mut Value| drop(header.as_object_mut().expect("an object").remove("kid"));
    let rig = Rig::new(Algorithm::EdDsa);
    assert_eq!(rig.code(&with_header(&rig, without)), "token_malformed");
    // Where the configuration lets the one fitting key serve, it must be the one.
    let lenient = Rig::with(Algorithm::EdDsa, |config| config.kid_optional = true);
    assert_eq!(lenient.code(&with_header(&lenient, without)), "ok");
    let (one, two) = (TestIssuer::new(Algorithm::EdDsa), TestIssuer::new(Algorithm::EdDsa).with_kid("test-2"));
    let (_folder, path) = key_file(&json!({ "keys": [one.jwk(), two.jwk()] }));
    let mut config = config(&one, KeySource::File(path));
    config.kid_optional = true;
    let verifier = Verifier::new(vec![config]).expect("a verifier");
    let token = one.token_with(json!({ "alg": "EdDSA", "typ": "JWT" }), one.job_claims("d", "t", AUDIENCE, NOW));
    assert_eq!(code(&verifier, &token), "key_unknown", "which of the two can't be told");
}

#[test]
fn a_key_without_kid_serves_only_where_that_is_configured() {
    let issuer = TestIssuer::new(Algorithm::Es256);
    let mut key = issuer.jwk();
    key.as_object_mut().expect("an object").remove("kid");
    let (_folder, path) = key_file(&json!({ "keys": [key] }));
    let mut config = config(&issuer, KeySource::File(path));
    assert!(errors(vec![config.clone()])[0].contains("no `kid`"));
    config.kid_optional = true;
    let verifier = Verifier::new(vec![config]).expect("a verifier");
    let unnamed =
        issuer.token_with(json!({ "alg": "ES256", "typ": "JWT" }), issuer.job_claims("d", "t", AUDIENCE, NOW));
    assert_eq!(code(&verifier, &unnamed), "ok");
    assert_eq!(
        code(&verifier, &issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW))),
        "key_unknown",
        "a `kid` is meant"
    );
}

#[test]
fn crit_that_nobody_understands() {
    let rig = Rig::new(Algorithm::EdDsa);
    for crit in [json!(["exp"]), json!(["b64"]), json!(["x"]), json!([]), json!("exp"), json!(null)] {
        assert_eq!(
            rig.code(&with_header(&rig, |header| header["crit"] = crit.clone())),
            "token_header_refused",
            "{crit}"
        );
    }
}

/// CVE-2018-0114: the token brings the key that it is signed with.
#[test]
fn an_embedded_key() {
    let (rig, thief) = (Rig::new(Algorithm::EdDsa), TestIssuer::new(Algorithm::EdDsa));
    let mut header = thief.header();
    header["jwk"] = thief.bare_jwk();
    assert_eq!(rig.code(&thief.token_with(header, rig.claims())), "token_header_refused");
    assert_eq!(rig.code(&thief.token(rig.claims())), "signature_invalid");
}

#[test]
fn a_token_that_says_where_its_key_is() {
    let rig = Rig::new(Algorithm::EdDsa);
    let (thief, ca) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new());
    let server = thief.serve(&ca);
    for member in ["jku", "x5u"] {
        let mut header = thief.header();
        header[member] = json!(server.url());
        assert_eq!(rig.code(&thief.token_with(header, rig.claims())), "token_header_refused", "{member}");
    }
    let certificate = with_header(&rig, |header| header["x5c"] = json!(["MIIB"]));
    assert_eq!(rig.code(&certificate), "token_header_refused");
    assert_eq!(server.hits(), 0, "nothing was fetched from where the token says");
}

#[test]
fn a_kid_that_is_a_path_or_a_query() {
    let rig = Rig::new(Algorithm::EdDsa);
    for kid in [
        "../../dev/null",
        "/etc/passwd",
        "test-1' OR '1'='1",
        "test-1\u{0}",
        "TEST-1",
        " test-1",
        "https://evil.test/k",
    ] {
        assert_eq!(rig.code(&with_header(&rig, |header| header["kid"] = json!(kid))), "key_unknown", "{kid}");
    }
}

#[test]
fn a_key_for_something_else() {
    let code = |member: &'static str, value: Value| with_keys(Algorithm::Es256, |keys| keys["keys"][0][member] = value);
    assert_eq!(code("use", json!("enc")), "key_unknown");
    assert_eq!(code("key_ops", json!(["encrypt"])), "key_unknown");
    assert_eq!(code("key_ops", json!(["sign"])), "key_unknown");
    assert_eq!(code("alg", json!("ES384")), "key_unknown");
    assert_eq!(code("alg", json!("ECDH-ES")), "key_unknown");
    assert_eq!(code("crv", json!("P-384")), "key_unknown");
    assert_eq!(code("crv", json!("secp256k1")), "key_unknown");
    assert_eq!(code("kty", json!("RSA")), "key_unknown");
}

#[test]
fn two_keys_of_one_name() {
    let other = TestIssuer::new(Algorithm::EdDsa).jwk();
    let code = with_keys(Algorithm::EdDsa, |keys| keys["keys"].as_array_mut().expect("keys").push(other));
    assert_eq!(code, "key_unknown", "neither of the two is used");
}

#[test]
fn a_private_key_in_the_set() {
    for member in ["d", "k", "p", "dp"] {
        assert_eq!(
            with_keys(Algorithm::EdDsa, |keys| keys["keys"][0][member] = json!("AAAA")),
            "key_unknown",
            "{member}"
        );
    }
}

#[test]
fn weak_rsa_keys() {
    let number = |octets: &[u8]| json!(URL_SAFE_NO_PAD.encode(octets));
    for (member, value) in [("n", number(&[0xff; 128])), ("e", json!("AQ")), ("e", json!("Aw"))] {
        assert_eq!(
            with_keys(Algorithm::Rs256, |keys| keys["keys"][0][member] = value.clone()),
            "key_unknown",
            "{value}"
        );
    }
}

#[test]
fn base64_that_has_two_readings() {
    let rig = Rig::new(Algorithm::EdDsa);
    let good = rig.issuer.token(rig.claims());
    assert_eq!(rig.code(&good), "ok", "without the attack");
    let parts: Vec<&str> = good.split('.').collect();
    let (h, c, s) = (parts[0], parts[1], parts[2]);
    for token in [
        format!("{h}=.{c}.{s}"),
        format!("{h}.{c}==.{s}"),
        format!("{h}.{c}.{s}=="),
        format!("{h}.{c}.{}", s.replace('-', "+").replace('_', "/") + "+"),
        format!("{h}.{c}.{s}A"),
        format!("{h}.{c}.."),
    ] {
        assert_ne!(rig.code(&token), "ok", "{token}");
    }
}

#[test]
fn a_member_twice() {
    let rig = Rig::new(Algorithm::EdDsa);
    let (header, claims) = (rig.issuer.header().to_string(), rig.claims().to_string());
    assert_eq!(rig.code(&rig.issuer.token_raw(&header, &claims)), "ok", "without the attack");
    for (header, claims) in [
        (header.replacen('{', "{\"alg\":\"none\",", 1), claims.clone()),
        (header.replacen('{', "{\"kid\":\"x\",", 1), claims.clone()),
        (header.clone(), claims.replacen('{', "{\"sub\":\"admin\",", 1)),
        (header.clone(), claims.replacen('{', "{\"su\\u0062\":\"admin\",", 1)),
        (header.clone(), claims.replacen('}', ",\"aud\":\"x\"}", 1)),
    ] {
        assert_eq!(rig.code(&rig.issuer.token_raw(&header, &claims)), "token_malformed", "{header} {claims}");
    }
}

#[test]
fn times_that_are_no_whole_numbers() {
    let rig = Rig::new(Algorithm::EdDsa);
    for claim in ["exp", "nbf", "iat"] {
        for value in [json!(1.5), json!("1"), json!(-1), json!(null), json!([]), json!(1e300)] {
            let token = with_claims(&rig, |claims| claims[claim] = value.clone());
            assert_eq!(rig.code(&token), "claims_malformed", "{claim} {value}");
        }
    }
}

#[test]
fn a_token_of_the_future_the_past_or_for_ever() {
    let rig = Rig::new(Algorithm::EdDsa);
    for (claim, value, expected) in [
        ("exp", NOW - 31, "token_expired"),
        ("nbf", NOW + 31, "token_not_yet_valid"),
        ("iat", NOW + 31, "token_not_yet_valid"),
        ("exp", u64::MAX, "token_too_long_lived"),
        ("iat", 0, "token_too_long_lived"),
    ] {
        assert_eq!(rig.code(&with_claims(&rig, |claims| claims[claim] = json!(value))), expected, "{claim} {value}");
    }
}

#[test]
fn an_oversized_token() {
    let rig = Rig::new(Algorithm::EdDsa);
    let token = with_claims(&rig, |claims| claims["padding"] = json!("x".repeat(10_000)));
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().expect("a header value"));
    let error = PresentedToken::from_request(&headers, None, Tolerance::default()).expect_err("too long");
    assert_eq!(error.code(), "token_malformed");
}

#[test]
fn json_that_is_nested_without_end() {
    let rig = Rig::new(Algorithm::EdDsa);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(2_500), "]".repeat(2_500));
    assert_eq!(rig.code(&rig.issuer.token_raw(&rig.issuer.header().to_string(), &deep)), "token_malformed");
    assert_eq!(rig.code(&rig.issuer.token_raw(&deep, &rig.claims().to_string())), "token_malformed");
}

#[test]
fn two_tokens_in_one_request() {
    let rig = Rig::new(Algorithm::EdDsa);
    let (mine, yours) = (rig.issuer.token(rig.claims()), rig.issuer.token(rig.claims_but("sub", json!("another"))));
    let ask = |fields: &[(&'static str, String)], query: Option<String>| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a header value"));
        }
        PresentedToken::from_request(&headers, query.as_deref(), Tolerance::default())
            .map_or_else(|e| e.code(), |_| "ok")
    };
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    assert_eq!(ask(&[bearer(&mine)], None), "ok", "without the attack");
    assert_eq!(ask(&[bearer(&mine), bearer(&yours)], None), "token_repeated");
    assert_eq!(ask(&[bearer(&mine), bearer(&mine)], None), "token_repeated");
    assert_eq!(ask(&[bearer(&format!("{mine}, Bearer {yours}"))], None), "token_malformed");
    assert_eq!(ask(&[bearer(&mine)], Some(format!("access_token={yours}"))), "token_misplaced");
    assert_eq!(ask(&[bearer(&mine), ("cookie", format!("session={yours}"))], None), "token_misplaced");
    assert_eq!(ask(&[], Some(format!("access_token={mine}"))), "token_misplaced", "a token in a URL is in every log");
}

#[test]
fn a_token_of_another_kind() {
    let rig = Rig::new(Algorithm::EdDsa);
    let now_known = ["dpop+jwt", "logout+jwt", "secevent+jwt", "rt+jwt", "airgate-receipt+jwt", "kb+jwt", "JWE", "x"];
    for typ in now_known {
        assert_eq!(rig.code(&with_header(&rig, |header| header["typ"] = json!(typ))), "token_type_refused", "{typ}");
    }
    let proof = Prover::new(Algorithm::EdDsa).proof("GET", "https://gw.example/", "x", NOW);
    assert_eq!(rig.code(&proof), "token_header_refused", "a DPoP proof as a token");
}

#[test]
fn an_id_token_as_an_access_token() {
    let issuer = TestIssuer::new(Algorithm::Es256);
    let (_folder, path) = key_file(&issuer.jwks());
    let given = Given {
        url: Some(issuer.issuer().to_owned()),
        audiences: vec![AUDIENCE.to_owned()],
        keys: Some(KeySource::File(path)),
        ..Given::default()
    };
    let mut config = ProfileName::Oidc.config("idp", &given).expect("a good issuer");
    config.algorithms = vec![Algorithm::Es256];
    let verifier = Verifier::new(vec![config]).expect("a verifier");
    let claims = json!({ "iss": issuer.issuer(), "aud": AUDIENCE, "sub": "u", "iat": NOW, "exp": NOW + 60, "jti": "1", "client_id": "c" });
    assert_eq!(code(&verifier, &issuer.token_of(Some("at+jwt"), claims.clone())), "ok", "without the attack");
    assert_eq!(code(&verifier, &issuer.token_of(Some("JWT"), claims.clone())), "token_type_refused");
    assert_eq!(code(&verifier, &issuer.token_of(None, claims)), "token_type_refused");
}

#[test]
fn the_token_of_one_issuer_under_the_name_of_another() {
    let TwoIssuers { one, other, verifier, .. } = TwoIssuers::new();
    let forged = one.token(other.job_claims("d", "t", AUDIENCE, NOW));
    let good = other.token(other.job_claims("d", "t", AUDIENCE, NOW));
    assert_eq!(verify(&verifier, &good, NOW).expect("a good token").issuer(), "other", "without the attack");
    assert_eq!(code(&verifier, &forged), "signature_invalid", "both have a key `test-1`");
}

/// CVE-2026-33496, CVE-2021-32701: what was verified for one audience must be no hit for another.
#[test]
fn a_remembered_token_at_a_route_that_does_not_take_it() {
    let rig = Rig::new(Algorithm::EdDsa);
    let token = rig.issuer.token(rig.claims());
    assert_eq!(rig.code(&token), "ok", "and remembered");
    let (folder, path) = key_file(&rig.issuer.jwks());
    let mut elsewhere = config(&rig.issuer, KeySource::File(path));
    elsewhere.audiences = vec!["api://elsewhere".to_owned()];
    let other = Verifier::new(vec![elsewhere]).expect("a verifier");
    assert_eq!(code(&other, &token), "audience_mismatch");
    drop(folder);
    let nobody = rig.verifier.expect(Some(&[])).expect("no issuer");
    let outcome = runtime().block_on(rig.verifier.verify(&presented(&token), &nobody, &facts(NOW)));
    assert_eq!(outcome.map_err(|error| error.code()).err(), Some("issuer_unknown"));
}

/// Two people with one e-mail address are two principals, and so are two issuers' subjects of one name.
#[test]
fn identity_by_email() {
    let (one, other) =
        (TestIssuer::new(Algorithm::EdDsa), TestIssuer::new(Algorithm::EdDsa).with_issuer("https://other.test"));
    let claims = |issuer: &TestIssuer, sub: &str| json!({ "iss": issuer.issuer(), "aud": AUDIENCE, "sub": sub, "exp": NOW + 60, "email": "admin@corp.example" });
    let (_a, one_keys) = key_file(&one.jwks());
    let (_b, other_keys) = key_file(&other.jwks());
    let mut second = config(&other, KeySource::File(other_keys));
    second.name = "other".to_owned();
    let verifier = Verifier::new(vec![config(&one, KeySource::File(one_keys)), second]).expect("a verifier");
    let who = |issuer: &TestIssuer, sub: &str| {
        let token = verify(&verifier, &issuer.token(claims(issuer, sub)), NOW).expect("a good token");
        (token.iss().to_owned(), token.subject().to_owned())
    };
    let all = [who(&one, "a"), who(&one, "b"), who(&other, "a")];
    assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2], "{all:?}");
}

/// Keys over the network: what an attacker on the way, or at the endpoint, may try.
#[test]
fn key_sets_by_redirect_by_size_and_in_the_clear() {
    let (issuer, ca) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new());
    let server = issuer.serve(&ca);
    let (_folder, path) = trusted(&ca);
    let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
    let ask = || {
        let keys = remote(Place::KeySet(server.url().to_owned()), path.clone());
        code(&timed(config(&issuer, keys), &Hand::new()), &token)
    };
    assert_eq!(ask(), "ok", "without the attack");
    for answer in [
        KeyAnswer::Redirect("https://evil.test/keys".to_owned()),
        KeyAnswer::Redirect(server.url().to_owned()),
        KeyAnswer::Body(format!("{}{}", issuer.jwks(), " ".repeat(256 * 1024))),
        KeyAnswer::With(issuer.jwks().to_string(), vec![("content-encoding", "gzip".to_owned())]),
    ] {
        server.answer(answer.clone());
        assert_eq!(ask(), "keys_unavailable", "{answer:?}");
    }
    let plain = KeySource::Remote(airgate_identity::Remote {
        place: Place::KeySet(server.url().replace("https", "http")),
        http: airgate_identity::HttpSettings::default(),
    });
    assert!(errors(vec![config(&issuer, plain)])[0].contains("not https"));
}

/// A key that is retired while tokens of it are still good: they end with the key, not with their `exp`.
#[test]
fn a_key_that_is_retired_before_its_tokens_expire() {
    let (issuer, ca, hand) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new(), Hand::new());
    let server = issuer.serve(&ca);
    let (_folder, path) = trusted(&ca);
    let verifier = timed(config(&issuer, remote(Place::KeySet(server.url().to_owned()), path)), &hand);
    let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
    assert_eq!(code(&verifier, &token), "ok");
    let successor = TestIssuer::new(Algorithm::EdDsa).with_kid("next");
    server.answer_keys(&successor.jwks());
    hand.pass(Duration::from_secs(301));
    runtime().block_on(async {
        let began = std::time::Instant::now();
        while check(&verifier, &token, NOW).await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10), "the key was never noticed to be gone");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(code(&verifier, &token), "key_unknown");
}

/// Tokens in logs, errors and debug output. Everything that can be printed is, at every level.
#[test]
fn tokens_in_messages() {
    let rig = Rig::new(Algorithm::EdDsa);
    let good = rig.issuer.token(rig.claims());
    let bad = [
        TestIssuer::new(Algorithm::EdDsa).token(rig.claims()),
        rig.issuer.token(rig.claims_but("exp", json!(1))),
        rig.issuer.token(rig.claims_but("aud", json!("x"))),
        with_header(&rig, |header| header["crit"] = json!([])),
        format!("{good}.x"),
    ];
    let mut said = format!("{:?}", verify(&rig.verifier, &good, NOW).expect("a good token"));
    said += &format!("{:?} {:?}", presented(&good), rig.verifier);
    for token in &bad {
        let error = verify(&rig.verifier, token, NOW).expect_err("a bad token");
        said += &format!("{error} {error:?} {} {} {}", error.public(), error.help(), error.advice());
    }
    for part in bad.iter().chain([&good]).flat_map(|token| token.split('.')).filter(|part| part.len() > 16) {
        assert!(!said.contains(part), "{part} in {said}");
    }
}

/// No fault of a key source lets a token pass: it is refused, with a reason that says whose fault it is.
#[test]
fn a_key_source_that_fails_opens_nothing() {
    let (issuer, ca) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new());
    let mut server = issuer.serve(&ca);
    server.stop();
    let (_folder, path) = trusted(&ca);
    let verifier = timed(config(&issuer, remote(Place::KeySet(server.url().to_owned()), path)), &Hand::new());
    let error = verify(&verifier, &issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW)), NOW).expect_err("no keys");
    assert!(error.is_unavailable() && error.code() == "keys_unavailable", "{error}");
}
