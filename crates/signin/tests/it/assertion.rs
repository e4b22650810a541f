//! Bearer assertions, checked by a library that is not ours.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use airgate_signin::{AssertionConfig, OnBehalfOf, SignIn, SignInConfig};
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, jwk::Jwk};
use serde_json::{Map, Value, json};

const NOW: u64 = 1_800_000_000;

fn config(key: PathBuf) -> AssertionConfig {
    AssertionConfig {
        issuer: "https://gw.corp.example".to_owned(),
        audience: "https://iis01.corp.example".to_owned(),
        key,
        lifetime: Duration::from_secs(120),
    }
}

fn sign_in(key: &Path) -> SignIn {
    SignIn::new("app", SignInConfig::BearerAssertion(config(key.to_owned()))).unwrap()
}

async fn assertion(sign_in: &SignIn, who: &OnBehalfOf<'_>) -> String {
    let (header, check) = sign_in.credential(who).await.unwrap().authorization().await.unwrap();
    let header = header.unwrap();
    assert!(header.is_sensitive());
    check.check(StatusCode::OK, &HeaderMap::new()).unwrap();
    header.to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned()
}

fn verify(sign_in: &SignIn, token: &str, algorithm: Algorithm) -> TokenData<Map<String, Value>> {
    let jwk: Jwk = serde_json::from_value(sign_in.public_jwks().remove(0)).unwrap();
    assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), jwk.common.key_id.clone().unwrap());
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&["https://iis01.corp.example"]);
    validation.set_issuer(&["https://gw.corp.example"]);
    validation.validate_exp = false; // the clock of the test is not the machine's
    let token =
        jsonwebtoken::decode::<Map<String, Value>>(token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
    assert_eq!(token.header.kid, jwk.common.key_id);
    token
}

fn who<'a>(claims: &'a Map<String, Value>) -> OnBehalfOf<'a> {
    OnBehalfOf {
        windows_identity: Some("svc-orders@corp.example"),
        issuer: "https://airflow.example/airgate",
        subject: "nightly_orders/load",
        claims,
        request_id: "0199-req",
        now: NOW,
    }
}

#[tokio::test]
async fn says_who_and_which_job_and_nothing_that_the_principal_added() {
    let folder = tempfile::tempdir().unwrap();
    let sign_in = sign_in(&folder.path().join("assertion.key"));
    let claims = json!({
        "dag_id": "nightly_orders", "run_id": "r1", "task_id": "load", "map_index": -1, "try_number": 2,
        "aud": "https://elsewhere", "sub": "admin", "exp": 9_999_999_999_u64, "windows_identity": "admin", "extra": "x",
    });
    let token = assertion(&sign_in, &who(claims.as_object().unwrap())).await;
    let data = verify(&sign_in, &token, Algorithm::ES256);
    assert_eq!(data.header.typ.as_deref(), Some("airgate-assertion+jwt"));
    let mut seen = data.claims;
    let jti = seen.remove("jti").unwrap();
    assert!(jti.as_str().unwrap().len() >= 22);
    assert_eq!(
        Value::Object(seen),
        json!({
            "iss": "https://gw.corp.example", "aud": "https://iis01.corp.example",
            "sub": "https://airflow.example/airgate|nightly_orders/load",
            "iat": NOW, "nbf": NOW, "exp": NOW + 120, "txn": "0199-req", "windows_identity": "svc-orders@corp.example",
            "dag_id": "nightly_orders", "run_id": "r1", "task_id": "load", "map_index": -1, "try_number": 2,
        })
    );
}

#[tokio::test]
async fn every_attempt_has_an_id_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let sign_in = sign_in(&folder.path().join("assertion.key"));
    let claims = Map::new();
    let credential = sign_in.credential(&who(&claims)).await.unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let (header, check) = credential.authorization().await.unwrap();
        check.check(StatusCode::OK, &HeaderMap::new()).unwrap();
        let token = header.unwrap().to_str().unwrap()["Bearer ".len()..].to_owned();
        assert!(seen.insert(verify(&sign_in, &token, Algorithm::ES256).claims["jti"].to_string()));
    }
}

#[tokio::test]
async fn claims_that_are_no_text_or_too_long_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let sign_in = sign_in(&folder.path().join("assertion.key"));
    let claims =
        json!({"dag_id": "x".repeat(2000), "run_id": ["r"], "task_id": {"a": 1}, "try_number": null, "map_index": 3});
    let token = assertion(&sign_in, &who(claims.as_object().unwrap())).await;
    let seen = verify(&sign_in, &token, Algorithm::ES256).claims;
    assert_eq!(seen["map_index"], 3);
    for name in ["dag_id", "run_id", "task_id", "try_number"] {
        assert!(!seen.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn two_issuers_cannot_make_one_subject() {
    let folder = tempfile::tempdir().unwrap();
    let sign_in = sign_in(&folder.path().join("assertion.key"));
    let claims = Map::new();
    let mut subjects = Vec::new();
    for (issuer, subject) in [("https://a|b", "c"), ("https://a", "b|c")] {
        let token = assertion(&sign_in, &OnBehalfOf { issuer, subject, ..who(&claims) }).await;
        subjects.push(verify(&sign_in, &token, Algorithm::ES256).claims["sub"].to_string());
    }
    assert_ne!(subjects[0], subjects[1]);
}

#[tokio::test]
async fn makes_the_key_once_private_and_reads_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("assertion.key");
    let first = sign_in(&key);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");
    assert_eq!(sign_in(&key).public_jwks(), first.public_jwks());
    let claims = Map::new();
    verify(&sign_in(&key), &assertion(&first, &who(&claims)).await, Algorithm::ES256);
}

/// RFC 8410 §10.3: an Ed25519 key in PKCS#8.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";

#[tokio::test]
async fn signs_with_ed25519_if_the_key_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("assertion.key");
    fs::write(&key, ED25519).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let sign_in = sign_in(&key);
    let claims = Map::new();
    verify(&sign_in, &assertion(&sign_in, &who(&claims)).await, Algorithm::EdDSA);
}

#[tokio::test]
async fn a_401_means_that_the_assertion_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sign_in = sign_in(&folder.path().join("assertion.key"));
    let claims = Map::new();
    for (status, wanted) in [(401, Some("upstream_refused_sign_in")), (403, None), (500, None)] {
        let (_, check) = sign_in.credential(&who(&claims)).await.unwrap().authorization().await.unwrap();
        let result = check.check(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        assert_eq!(result.err().map(|e| e.code()), wanted, "{status}");
    }
}

#[test]
fn refuses_a_key_or_a_lifetime_that_would_weaken_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("assertion.key");
    let said =
        |config: AssertionConfig| SignIn::new("app", SignInConfig::BearerAssertion(config)).unwrap_err().to_string();
    for seconds in [0, 301] {
        assert!(
            said(AssertionConfig { lifetime: Duration::from_secs(seconds), ..config(key.clone()) })
                .contains("`lifetime`")
        );
    }
    assert!(said(AssertionConfig { issuer: String::new(), ..config(key.clone()) }).contains("`issuer`"));
    assert!(said(AssertionConfig { audience: String::new(), ..config(key.clone()) }).contains("`audience`"));
    assert!(!key.exists(), "a refused configuration makes no key");

    fs::write(&key, ED25519).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(said(config(key.clone())).contains("chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for content in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        fs::write(&key, content).unwrap();
        let message = said(config(key.clone()));
        assert!(message.contains("openssl") && !message.contains("AAAA"), "{message}");
    }
    assert!(said(config(folder.path().join("none/assertion.key"))).contains("folder"));
}
