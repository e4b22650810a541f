//! For people: what a token holds, and every check it fails, not only the first.

use crate::rig::*;
use airgate_identity::{Algorithm, Inspection, KeySource, Outcome, Place, Verifier};
use airgate_testkit::{TestCa, TestIssuer};
use serde_json::json;

fn inspect(verifier: &Verifier, token: &str) -> Inspection {
    runtime().block_on(verifier.inspect(token, None, NOW)).expect("all issuers")
}

fn failed(inspection: &Inspection) -> Vec<(&str, &str)> {
    let lines = inspection.checks.iter().filter(|line| line.outcome != Outcome::Pass);
    lines.map(|line| (line.check, line.code.unwrap_or("-"))).collect()
}

#[test]
fn a_good_token_passes_every_check_once() {
    let rig = Rig::new(Algorithm::EdDsa);
    let inspection = inspect(&rig.verifier, &rig.issuer.token(rig.claims()));
    assert!(inspection.accepted && failed(&inspection).is_empty(), "{inspection:?}");
    assert_eq!(inspection.issuer.as_deref(), Some("airflow"));
    let names: Vec<&str> = inspection.checks.iter().map(|line| line.check).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "{names:?}");
    for check in ["form", "issuer", "type", "algorithm", "key", "signature", "audience", "expiry", "revocation"] {
        assert!(names.contains(&check), "{check} in {names:?}");
    }
}

#[test]
fn every_failed_check_is_told_with_the_next_step() {
    let rig = Rig::new(Algorithm::EdDsa);
    let mut claims = rig.claims();
    (claims["aud"], claims["exp"], claims["iat"]) = (json!("elsewhere"), json!(NOW - 60), json!(NOW - 7200));
    claims["try_number"] = json!("one");
    let token = TestIssuer::new(Algorithm::EdDsa).token(claims);
    let inspection = inspect(&rig.verifier, &token);
    assert_eq!(
        failed(&inspection),
        [
            ("signature", "signature_invalid"),
            ("audience", "audience_mismatch"),
            ("expiry", "token_expired"),
            ("lifetime", "token_too_long_lived"),
            ("job", "claims_malformed"),
        ]
    );
    assert!(!inspection.accepted);
    let failed: Vec<_> = inspection.checks.iter().filter(|line| line.outcome == Outcome::Fail).collect();
    assert!(
        failed.iter().all(|line| !line.detail.is_empty() && line.advice.as_ref().is_some_and(|next| !next.is_empty()))
    );
}

/// INVARIANT: an inspection says "accepted" only of what the gateway accepts.
#[test]
fn an_inspection_and_the_gateway_agree() {
    let rig = Rig::new(Algorithm::Es256);
    let thief = TestIssuer::new(Algorithm::Es256);
    let good = rig.issuer.token(rig.claims());
    let mut tokens =
        vec![good.clone(), thief.token(rig.claims()), "opaque".to_owned(), String::new(), good[..40].to_owned()];
    for claim in ["iss", "aud", "exp", "sub", "iat", "nbf", "jti", "dag_id", "map_index"] {
        for value in [json!(null), json!(7), json!("x"), json!([]), json!(NOW + 100_000), json!(AUDIENCE)] {
            tokens.push(rig.issuer.token(rig.claims_but(claim, value)));
        }
    }
    for (member, value) in
        [("alg", json!("none")), ("crit", json!([])), ("typ", json!("dpop+jwt")), ("kid", json!("x"))]
    {
        let mut header = rig.issuer.header();
        header[member] = value;
        tokens.push(rig.issuer.token_with(header, rig.claims()));
    }
    let mut accepted = 0;
    for token in &tokens {
        let inspection = inspect(&rig.verifier, token);
        let gateway = !token.is_empty() && verify(&rig.verifier, token, NOW).is_ok();
        assert_eq!(inspection.accepted, gateway, "{token}: {inspection:?}");
        accepted += usize::from(gateway);
    }
    assert!(accepted > 1 && accepted < tokens.len() / 2, "{accepted} of {}", tokens.len());
}

#[test]
fn what_could_be_a_credential_is_cut_out() {
    let rig = Rig::new(Algorithm::EdDsa);
    let inner = rig.issuer.token(rig.claims());
    let mut claims = rig.claims();
    claims["access_token"] = json!("hunter2");
    claims["nested"] = json!({ "client_secret": "hunter2", "list": [inner.clone(), "plain"], "password": ["hunter2"] });
    claims["long"] = json!("y".repeat(1000));
    claims["token_use"] = json!("access");
    let token = rig.issuer.token(claims);
    let inspection = inspect(&rig.verifier, &token);
    let text = serde_json::to_string(&inspection).expect("JSON");
    let signature = token.rsplit('.').next().expect("a signature");
    assert!(!text.contains("hunter2") && !text.contains(&inner) && !text.contains(signature), "{text}");
    assert!(text.contains("plain") && text.contains("\"token_use\":\"access\"") && text.contains("800 more"), "{text}");
}

#[test]
fn offline_fetches_nothing_and_says_what_it_does_not_know() {
    let (issuer, ca) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new());
    let server = issuer.serve(&ca);
    let (_folder, path) = trusted(&ca);
    let verifier = timed(config(&issuer, remote(Place::KeySet(server.url().to_owned()), path)), &Hand::new());
    verifier.stay_offline();
    let token = issuer.token(issuer.job_claims("d", "t", AUDIENCE, NOW));
    let inspection = inspect(&verifier, &token);
    let unknown: Vec<&str> =
        inspection.checks.iter().filter(|line| line.outcome == Outcome::Unknown).map(|line| line.check).collect();
    assert_eq!(unknown, ["key"]);
    assert!(!inspection.accepted, "what is not known is not accepted");
    assert_eq!(server.hits(), 0);
    let (_folder, path) = key_file(&issuer.jwks());
    let by_file = timed(config(&issuer, KeySource::File(path)), &Hand::new());
    by_file.stay_offline();
    assert!(inspect(&by_file, &token).accepted);
}

#[test]
fn a_probe_goes_the_way_to_the_keys_and_says_what_it_sees() {
    let (issuer, ca) = (TestIssuer::new(Algorithm::EdDsa), TestCa::new());
    let mut keys = issuer.jwks();
    let mut private = TestIssuer::new(Algorithm::EdDsa).with_kid("private").jwk();
    private["d"] = json!("hunter2");
    let mut other = TestIssuer::new(Algorithm::Es256).with_kid("other").jwk();
    other["use"] = json!("enc");
    keys["keys"].as_array_mut().expect("keys").extend([private, other]);
    let server = airgate_testkit::KeyServer::start(&ca, keys);
    let (_folder, path) = trusted(&ca);
    let verifier = timed(config(&issuer, remote(Place::KeySet(server.url().to_owned()), path)), &Hand::new());
    let probes = runtime().block_on(verifier.probe(None, NOW));
    let probe = &probes[0];
    assert_eq!(probe.keys, [("test-1".to_owned(), vec!["EdDSA"])]);
    assert_eq!((probe.refused.len(), probe.ignored), (1, 1));
    let step = &probe.steps[0];
    assert!(step.ok && step.what == "key set" && !step.certificate.is_empty(), "{step:?}");
    assert!(step.tls.as_deref().is_some_and(|version| version.starts_with("TLSv1_")), "{step:?}");
    assert!(step.date.is_some(), "{step:?}");
    assert!(runtime().block_on(verifier.probe(Some("nobody"), NOW)).is_empty());
}
