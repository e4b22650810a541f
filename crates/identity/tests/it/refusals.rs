//! Each check of a token, by a token that fails it alone.

use crate::rig::*;
use airgate_identity::{Algorithm, Principal};
use airgate_testkit::TestIssuer;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const ALGORITHMS: [Algorithm; 9] = Algorithm::ALL;

#[test]
fn accepts_a_good_token_of_each_algorithm() {
    for algorithm in ALGORITHMS {
        let rig = Rig::new(algorithm);
        let text = rig.issuer.token(rig.claims());
        let token = verify(&rig.verifier, &text, NOW).expect("a good token");
        assert_eq!((token.issuer(), token.assurance()), ("airflow", "task"));
        assert_eq!(token.subject(), "airflow:dag:nightly_orders:task:load");
        assert_eq!(token.token_id(), Some("nightly_orders-load-1800000000"));
        assert_eq!(token.expires_at(), NOW + 120);
        assert_eq!(token.sha256_hex().len(), 64);
        assert_eq!(Value::Object(token.claims().clone()), rig.claims());
        let Principal::Job(job) = token.principal() else { panic!("{:?}", token.principal()) };
        assert_eq!(
            (job.dag_id.as_str(), job.task_id.as_str(), job.map_index, job.try_number),
            ("nightly_orders", "load", -1, 1)
        );
        assert!(!format!("{token:?}").contains(&text[..20]), "{token:?}");
    }
}

#[test]
fn refuses_claims_by_the_check_they_fail() {
    let rig = Rig::new(Algorithm::EdDsa);
    for (claim, value, expected) in [
        ("iss", json!(null), "claims_malformed"),
        ("iss", json!(7), "claims_malformed"),
        ("iss", json!("https://issuer.test/"), "issuer_unknown"),
        ("iss", json!("HTTPS://ISSUER.TEST"), "issuer_unknown"),
        ("aud", json!(null), "claims_malformed"),
        ("aud", json!(7), "claims_malformed"),
        ("aud", json!([AUDIENCE, 7]), "claims_malformed"),
        ("aud", json!([]), "audience_mismatch"),
        ("aud", json!("api://airgate2"), "audience_mismatch"),
        ("aud", json!("API://AIRGATE"), "audience_mismatch"),
        ("aud", json!(["x", AUDIENCE]), "ok"),
        ("sub", json!(null), "claims_malformed"),
        ("sub", json!(""), "claims_malformed"),
        ("sub", json!(7), "claims_malformed"),
        ("jti", json!(7), "claims_malformed"),
        ("jti", json!(null), "ok"),
        ("exp", json!(null), "claims_malformed"),
        ("exp", json!("1900000000"), "claims_malformed"),
        ("exp", json!(1_800_000_060.5), "claims_malformed"),
        ("exp", json!(-1), "claims_malformed"),
        ("exp", json!(true), "claims_malformed"),
        ("exp", json!(NOW - 30), "token_expired"),
        ("exp", json!(NOW - 29), "ok"),
        ("exp", json!(NOW + 300), "ok"),
        ("exp", json!(NOW + 301), "token_too_long_lived"),
        ("exp", json!(u64::MAX), "token_too_long_lived"),
        ("nbf", json!("0"), "claims_malformed"),
        ("nbf", json!(NOW + 30), "ok"),
        ("nbf", json!(NOW + 31), "token_not_yet_valid"),
        ("nbf", json!(u64::MAX), "token_not_yet_valid"),
        ("nbf", json!(null), "ok"),
        ("iat", json!(1.5), "claims_malformed"),
        ("iat", json!(NOW + 30), "ok"),
        ("iat", json!(NOW + 31), "token_not_yet_valid"),
        ("iat", json!(NOW - 181), "token_too_long_lived"),
        ("iat", json!(0), "token_too_long_lived"),
        ("iat", json!(null), "ok"),
    ] {
        let token = rig.issuer.token(rig.claims_but(claim, value.clone()));
        assert_eq!(rig.code(&token), expected, "{claim} {value}");
    }
    let mut claims = rig.claims_but("iat", json!(null));
    claims["exp"] = json!(NOW + 301);
    assert_eq!(rig.code(&rig.issuer.token(claims)), "token_too_long_lived", "from now, without iat");
}

#[test]
fn refuses_headers_by_the_check_they_fail() {
    let rig = Rig::new(Algorithm::EdDsa);
    let jwk = rig.issuer.jwk();
    for (member, value, expected) in [
        ("alg", json!(null), "token_malformed"),
        ("alg", json!(7), "token_malformed"),
        ("alg", json!("none"), "algorithm_not_allowed"),
        ("alg", json!("None"), "algorithm_not_allowed"),
        ("alg", json!("HS256"), "algorithm_not_allowed"),
        ("alg", json!("eddsa"), "algorithm_not_allowed"),
        ("alg", json!("ES256"), "algorithm_not_allowed"),
        ("alg", json!("Ed25519"), "algorithm_not_allowed"),
        ("kid", json!(null), "token_malformed"),
        ("alg", json!("RS256"), "algorithm_not_allowed"),
        ("kid", json!(""), "token_malformed"),
        ("kid", json!(1), "token_malformed"),
        ("kid", json!("test-2"), "key_unknown"),
        ("kid", json!("TEST-1"), "key_unknown"),
        ("kid", json!("../test-1"), "key_unknown"),
        ("crit", json!([]), "token_header_refused"),
        ("crit", json!(["exp"]), "token_header_refused"),
        ("b64", json!(true), "token_header_refused"),
        ("jwk", jwk, "token_header_refused"),
        ("jku", json!("https://evil.test/keys"), "token_header_refused"),
        ("x5u", json!("https://evil.test/x5u"), "token_header_refused"),
        ("x5c", json!(["MII"]), "token_header_refused"),
        ("zip", json!("DEF"), "token_header_refused"),
        ("enc", json!("A256GCM"), "token_header_refused"),
        ("typ", json!(null), "ok"),
        ("typ", json!("jwt"), "ok"),
        ("typ", json!("at+jwt"), "claims_malformed"),
        ("typ", json!("application/at+JWT"), "claims_malformed"),
        ("typ", json!("airgate-job+jwt"), "ok"),
        ("typ", json!("dpop+jwt"), "token_type_refused"),
        ("typ", json!("logout+jwt"), "token_type_refused"),
        ("typ", json!("JOSE"), "token_type_refused"),
        ("typ", json!("éééééééééééééé"), "token_type_refused"),
        ("typ", json!(""), "token_type_refused"),
        ("typ", json!(7), "token_malformed"),
        ("cty", json!("json"), "ok"),
        ("cty", json!(7), "token_malformed"),
        ("x5t", json!("hOBcHZi846VCHTJbFAs52Go9VTQ"), "ok"),
        ("x5t", json!(["hOBcHZi846VCHTJbFAs52Go9VTQ"]), "token_malformed"),
        ("x5t#S256", json!({}), "token_malformed"),
        ("x", json!("unknown parameters are ignored"), "ok"),
    ] {
        let mut header = rig.issuer.header();
        if value.is_null() {
            header.as_object_mut().expect("an object").remove(member);
        } else {
            header[member] = value.clone();
        }
        assert_eq!(rig.code(&rig.issuer.token_with(header, rig.claims())), expected, "{member} {value}");
    }
}

#[test]
fn refuses_duplicate_members_and_other_than_objects() {
    let rig = Rig::new(Algorithm::EdDsa);
    let (header, claims) = (rig.issuer.header().to_string(), rig.claims().to_string());
    let twice = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    for (header, claims, expected) in [
        (header.clone(), claims.clone(), "ok"),
        (twice(&header, "\"alg\":\"none\""), claims.clone(), "token_malformed"),
        (twice(&header, "\"k\\u0069d\":\"x\""), claims.clone(), "token_malformed"),
        (twice(&header, "\"x\":{\"y\":1,\"y\":1}"), claims.clone(), "token_malformed"),
        (header.clone(), twice(&claims, "\"sub\":\"admin\""), "token_malformed"),
        (header.clone(), twice(&claims, "\"x\":[{\"y\":1,\"y\":1}]"), "token_malformed"),
        (header.clone(), format!("{claims} {{}}"), "token_malformed"),
        (header.clone(), "[]".to_owned(), "token_malformed"),
        (header.clone(), String::new(), "token_malformed"),
        ("null".to_owned(), claims.clone(), "token_malformed"),
        (format!("\u{feff}{header}"), claims.clone(), "token_malformed"),
    ] {
        assert_eq!(rig.code(&rig.issuer.token_raw(&header, &claims)), expected, "{header} {claims}");
    }
}

#[test]
fn refuses_other_encodings_of_a_good_token() {
    let rig = Rig::new(Algorithm::EdDsa);
    let good = rig.issuer.token(rig.claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (h, c, s) = (parts[0], parts[1], parts[2]);
    // 64 bytes are 86 characters with four bits left over: another last character can decode to the same signature.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(&s[85..]).expect("a base64url character");
    let trailing = format!("{h}.{c}.{}{}", &s[..85], &alphabet[last + 1..last + 2]);
    for (token, why) in [
        (trailing, "bits left over"),
        (format!("{h}.{c}.{s}=="), "padding"),
        (format!("{h}.{c}"), "two parts"),
        (format!("{h}.{c}.{s}."), "four parts"),
        (format!("{h}.{c}.{s}.x"), "four parts"),
        (format!("{h}.{c}~.{s}"), "a character of no base64"),
        (format!("{h}+.{c}.{s}"), "a character of plain base64"),
        (format!(".{c}.{s}"), "no header"),
        ("...".to_owned(), "nothing"),
    ] {
        assert_eq!(rig.code(&token), "token_malformed", "{why}");
    }
    assert_eq!(rig.code(&format!("{h}.{c}.")), "signature_invalid");
    assert_eq!(rig.code(&format!("{h}.{c}.{}", &s[..84])), "signature_invalid");
}

#[test]
fn refuses_what_another_key_has_signed() {
    for algorithm in ALGORITHMS {
        let rig = Rig::new(algorithm);
        let thief = TestIssuer::new(algorithm);
        assert_eq!(rig.code(&thief.token(rig.claims())), "signature_invalid", "{algorithm:?}");
    }
}

#[test]
fn refuses_an_algorithm_that_the_key_is_not_for() {
    // RS256 and PS256 share a kind of key: the key's own `alg` decides.
    let rig = Rig::with(Algorithm::Rs256, |config| config.algorithms = ALGORITHMS.to_vec());
    for name in ["PS256", "RS384", "RS512", "PS512", "ES256", "EdDSA"] {
        let header = json!({ "alg": name, "kid": rig.issuer.kid(), "typ": "JWT" });
        assert_eq!(rig.code(&rig.issuer.token_with(header, rig.claims())), "algorithm_not_allowed", "{name}");
    }
}

#[test]
fn a_job_is_named_in_full_or_not_at_all() {
    let task = Rig::new(Algorithm::EdDsa);
    for claim in ["dag_id", "run_id", "task_id", "map_index", "try_number"] {
        for value in [json!(null), json!([]), json!(1.5), json!("")] {
            let token = task.issuer.token(task.claims_but(claim, value.clone()));
            assert_eq!(task.code(&token), "claims_malformed", "{claim} {value}");
        }
    }
    for (claim, value) in [
        ("map_index", json!("1")),
        ("map_index", json!(-2)),
        ("try_number", json!("1")),
        ("try_number", json!(-1)),
        ("try_number", json!(u64::MAX)),
        ("dag_id", json!(7)),
        ("ti_id", json!(7)),
    ] {
        assert_eq!(
            task.code(&task.issuer.token(task.claims_but(claim, value.clone()))),
            "claims_malformed",
            "{claim} {value}"
        );
    }
    let bare = json!({ "iss": task.issuer.issuer(), "sub": "s", "aud": AUDIENCE, "exp": NOW + 60 });
    let token = verify(&task.verifier, &task.issuer.token(bare), NOW).expect("a workload");
    assert_eq!(token.principal(), &Principal::Workload);
    // An issuer that can't speak for tasks makes no job, whatever it claims.
    let client = Rig::with(Algorithm::EdDsa, |config| config.assurance = "client".to_owned());
    let token = verify(&client.verifier, &client.issuer.token(client.claims()), NOW).expect("a workload");
    assert_eq!(token.principal(), &Principal::Workload);
}

#[test]
fn errors_hold_no_token_text_and_no_control_characters() {
    let rig = Rig::new(Algorithm::EdDsa);
    let hostile = "x\r\n\u{1b}[31m".repeat(100);
    let mut header = rig.issuer.header();
    header["kid"] = json!(hostile);
    for token in [
        rig.issuer.token(rig.claims_but("iss", json!(hostile))),
        rig.issuer.token(rig.claims_but("aud", json!(hostile))),
        rig.issuer.token_with(header, rig.claims()),
        rig.issuer.token(rig.claims_but("exp", json!(hostile))),
        format!("{}.x.y", URL_SAFE_NO_PAD.encode("{}")),
    ] {
        let error = verify(&rig.verifier, &token, NOW).expect_err("a bad token");
        for text in [error.to_string(), error.public(), format!("{error:?}")] {
            assert!(!text.chars().any(char::is_control) && text.len() < 600, "{text}");
            assert!(!token.split('.').any(|part| part.len() > 8 && text.contains(part)), "{text}");
        }
    }
}
