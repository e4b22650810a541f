//! What is wrong with issuers is said at once, and nothing weak is accepted in silence.

use crate::rig::*;
use airgate_identity::{Algorithm, HttpSettings, KeySource, Place, Profile, Remote, TokenType, Verifier};
use airgate_testkit::TestIssuer;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::Duration;

fn url(url: &str, danger_allow_http: bool) -> KeySource {
    let http = HttpSettings { danger_allow_http, ..HttpSettings::default() };
    KeySource::Remote(Remote { place: Place::KeySet(url.to_owned()), http })
}

#[test]
fn collects_everything_that_is_empty_or_unknown() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let mut bad = config(&issuer, url("https://localhost/keys", false));
    bad.issuers = vec![];
    bad.audiences = vec![];
    bad.algorithms = vec![];
    bad.token_types = vec![];
    bad.lifetime_max = Duration::ZERO;
    bad.assurance = "high".to_owned();
    assert_eq!(
        errors(vec![bad]),
        [
            "issuer `airflow`: `url` is empty",
            "issuer `airflow`: `audiences` is empty",
            "issuer `airflow`: `algorithms` is empty",
            "issuer `airflow`: `token_types` is empty",
            "issuer `airflow`: `lifetime_max` is empty",
            "issuer `airflow`: unknown assurance `high`",
        ]
    );
    let good = || config(&issuer, url("https://localhost/keys", false));
    assert_eq!(
        errors(vec![good(), good()]),
        [
            "issuer `airflow`: another issuer has the same name `airflow`",
            "issuer `airflow`: another issuer has the same url `https://issuer.test`",
        ]
    );
}

#[test]
fn refuses_key_urls_that_are_not_plainly_https() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    for (place, danger, expected) in [
        ("https://localhost/keys", false, None),
        ("https://[::1]:8443/keys?x=1", false, None),
        ("http://localhost/keys", true, None),
        ("http://localhost/keys", false, Some("it is not https")),
        ("ftp://localhost/keys", true, Some("it does not start with `https://`")),
        ("localhost/keys", false, Some("it is not a URL")),
        ("/keys", false, Some("it does not start with `https://`")),
        ("https://user:secret@localhost/keys", false, Some("it holds a user name or password")),
        ("", false, Some("it is not a URL")),
    ] {
        let result = Verifier::new(vec![config(&issuer, url(place, danger))]);
        match expected {
            None => assert!(result.is_ok(), "{place}: {result:?}"),
            Some(part) => {
                let text = result.expect_err(place)[0].to_string();
                assert!(text.contains(part) && !text.contains("secret"), "{place}: {text}");
            }
        }
    }
}

#[test]
fn refuses_authorities_that_cannot_be_read() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let (_folder, empty) = key_file(&json!({}));
    for file in [empty.with_file_name("missing.pem"), empty] {
        let keys = remote(Place::KeySet("https://localhost/".to_owned()), file);
        let errors = errors(vec![config(&issuer, keys)]);
        assert!(errors[0].contains("can't set up TLS"), "{errors:?}");
    }
}

#[test]
fn refuses_key_files_without_a_usable_key() {
    let issuer = TestIssuer::new(Algorithm::Es256);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut keys = issuer.jwks();
        change(&mut keys["keys"][0]);
        keys
    };
    let own = |name: &'static str, value: Value| with(&move |key: &mut Value| key[name] = value.clone());
    let many = json!({ "keys": vec![issuer.jwk(); 101] });
    for (keys, part) in [
        (json!([]), "not a JSON object"),
        (json!({}), "no array `keys`"),
        (json!({ "keys": {} }), "no array `keys`"),
        (json!({ "keys": [] }), "no usable key"),
        (json!({ "keys": [7] }), "it is not an object"),
        (many, "more than 100 keys"),
        (own("d", json!("secret")), "private or symmetric"),
        (own("k", json!("secret")), "private or symmetric"),
        (own("kid", json!(null)), "`kid` is not a text"),
        (with(&|key| drop(key.as_object_mut().expect("an object").remove("kid"))), "no `kid`"),
        (own("kid", json!("")), "`kid` is empty"),
        (own("kid", json!("x".repeat(257))), "longer than 256"),
        (own("use", json!("enc")), "no usable key"),
        (own("use", json!(["sig"])), "`use` is not a text"),
        (own("issuer", json!(7)), "`issuer` is not a text"),
        (own("key_ops", json!(["sign"])), "no `verify`"),
        (own("key_ops", json!("verify")), "not an array"),
        (own("alg", json!("ES512")), "`alg` is none of"),
        (own("alg", json!("HS256")), "`alg` is none of"),
        (own("alg", json!("ES384")), "does not fit its `kty`"),
        (own("alg", json!("RS256")), "does not fit its `kty`"),
        (own("kty", json!("oct")), "`kty` is none of"),
        (own("kty", json!("OKP")), "`crv` is not Ed25519"),
        (own("crv", json!("P-384")), "not 48 bytes"),
        (own("crv", json!("P-521")), "neither P-256 nor P-384"),
        (own("x", json!("AAAA")), "not 32 bytes"),
        (own("x", issuer.jwk()["y"].clone()), "not a point"),
        (json!({ "keys": [issuer.jwk(), issuer.jwk()] }), "more than one has it"),
    ] {
        let (_folder, path) = key_file(&keys);
        let errors = errors(vec![config(&issuer, KeySource::File(path))]);
        assert!(errors[0].contains(part) && !errors[0].contains("secret"), "{part}: {errors:?}");
    }
}

#[test]
fn refuses_weak_rsa_keys() {
    let issuer = TestIssuer::new(Algorithm::Rs256);
    let number = |octets: &[u8]| json!(URL_SAFE_NO_PAD.encode(octets));
    for (name, value, part) in [
        ("e", json!("AQ"), "exponent"),
        ("e", json!("Aw"), "exponent"),
        ("e", json!("AQAA"), "exponent"),
        ("e", json!("AAEAAQ"), "exponent"),
        ("e", json!("AQAAAAAAAQ"), "exponent"),
        ("e", json!(""), "exponent"),
        ("n", json!(""), "empty"),
        ("n", number(&[0xff; 255]), "2048 to 8192"),
        ("n", number(&[0xff; 1025]), "2048 to 8192"),
        ("n", number(&[&[0][..], &[0xff; 256]].concat()), "zero octet"),
        ("n", number(&[&[0xff; 255][..], &[0xfe]].concat()), "even"),
    ] {
        let mut keys = issuer.jwks();
        keys["keys"][0][name] = value;
        let (_folder, path) = key_file(&keys);
        let errors = errors(vec![config(&issuer, KeySource::File(path))]);
        assert!(errors[0].contains(part), "{name} {part}: {errors:?}");
    }
}

#[test]
fn one_bad_key_does_not_take_the_others_with_it() {
    let rig = TestIssuer::new(Algorithm::EdDsa);
    let twin = TestIssuer::new(Algorithm::EdDsa).with_kid("twin");
    let mut private = TestIssuer::new(Algorithm::EdDsa).with_kid("private").jwk();
    private["d"] = json!("AAAA");
    let (_folder, path) = key_file(&json!({ "keys": [private, twin.jwk(), rig.jwk(), twin.jwk(), 7] }));
    let verifier = Verifier::new(vec![config(&rig, KeySource::File(path))]).expect("a verifier");
    let claims = || rig.job_claims("d", "t", AUDIENCE, NOW);
    assert!(verify(&verifier, &rig.token(claims()), NOW).is_ok());
    for kid in ["twin", "private"] {
        let token = twin.token_with(json!({ "alg": "EdDSA", "kid": kid }), claims());
        assert_eq!(verify(&verifier, &token, NOW).expect_err(kid).code(), "key_unknown");
    }
}

#[test]
fn a_plain_issuer_says_what_makes_a_token_an_access_token() {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let (_folder, path) = key_file(&issuer.jwks());
    let mut plain = config(&issuer, KeySource::File(path));
    plain.profile = Profile::Oidc;
    plain.token_types = vec![TokenType::Jwt];
    assert!(errors(vec![plain.clone()])[0].contains("may be an ID token"));
    plain.token_types = vec![TokenType::AccessToken];
    assert!(Verifier::new(vec![plain]).is_ok());
}
