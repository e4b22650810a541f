//! Proofs of possession: DPoP (RFC 9449) and client certificates (RFC 8705), by a request that lacks one thing alone.

use crate::rig::*;
use airgate_identity::{
    Algorithm, DpopConfig, Expectation, Facts, KeySource, PresentedToken, ProofRule, Proven, RequestTarget, TokenError,
    VerifiedToken, Verifier, VerifierConfig,
};
use airgate_testkit::{Prover, TestIssuer};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use tempfile::TempDir;

const URL: &str = "https://gw.example/api/orders";

/// A gateway, an issuer, and the holder of a key.
struct Bound {
    issuer: TestIssuer,
    prover: Prover,
    verifier: Verifier,
    expected: Expectation,
    _folder: TempDir,
}

/// One request to `GET https://gw.example/api/orders`.
struct Request<'a> {
    scheme: &'a str,
    token: &'a str,
    proofs: &'a [&'a str],
    certificate: Option<[u8; 32]>,
    now: u64,
}

impl Bound {
    fn new() -> Self {
        Self::with(Algorithm::Es256, DpopConfig::default())
    }

    fn with(algorithm: Algorithm, dpop: DpopConfig) -> Self {
        let issuer = TestIssuer::new(Algorithm::EdDsa);
        let (folder, path) = key_file(&issuer.jwks());
        let config = config(&issuer, KeySource::File(path));
        let settings = VerifierConfig { dpop, ..VerifierConfig::default() };
        let verifier = Verifier::with(vec![config], settings, Arc::new(Instant::now)).expect("a verifier");
        let expected = everything(&verifier);
        Self { issuer, prover: Prover::new(algorithm), verifier, expected, _folder: folder }
    }

    fn token(&self, cnf: Option<Value>) -> String {
        let mut claims = self.issuer.job_claims("nightly_orders", "load", AUDIENCE, NOW);
        if let Some(cnf) = cnf {
            claims["cnf"] = cnf;
        }
        self.issuer.token(claims)
    }

    fn bound(&self) -> String {
        self.token(Some(json!({ "jkt": self.prover.thumbprint() })))
    }

    fn ask(&self, request: &Request<'_>) -> Result<VerifiedToken, TokenError> {
        let mut headers = HeaderMap::new();
        let authorization = format!("{} {}", request.scheme, request.token);
        headers.insert(http::header::AUTHORIZATION, authorization.parse().expect("a header value"));
        for proof in request.proofs {
            headers.append(HeaderName::from_static("dpop"), proof.parse().expect("a header value"));
        }
        let presented = PresentedToken::from_request(&headers, None, self.expected.tolerance)?;
        let target = RequestTarget { scheme: "https", authority: "gw.example", path: "/api/orders" };
        let client_certificate = request.certificate.as_ref();
        let facts = Facts { method: "GET", target, client_certificate, now: request.now };
        runtime().block_on(self.verifier.verify(&presented, &self.expected, &facts))
    }

    fn dpop(&self, token: &str, proof: &str) -> Result<VerifiedToken, TokenError> {
        self.ask(&Request { scheme: "DPoP", token, proofs: &[proof], certificate: None, now: NOW })
    }

    fn code(&self, token: &str, proof: &str) -> &'static str {
        self.dpop(token, proof).map_or_else(|error| error.code(), |_| "ok")
    }

    fn good_proof(&self, token: &str) -> String {
        self.prover.proof("GET", URL, token, NOW)
    }
}

#[test]
fn a_bound_token_is_accepted_with_its_proof() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es384, Algorithm::Ps256, Algorithm::Rs256] {
        let bound = Bound::with(algorithm, DpopConfig::default());
        let token = bound.bound();
        let verified = bound.dpop(&token, &bound.good_proof(&token)).expect("a good proof");
        assert_eq!(verified.proven(), Proven { dpop: true, mtls: false });
        assert_eq!(verified.next_nonce(), None);
    }
}

#[test]
fn a_bound_token_without_its_proof_is_refused() {
    let bound = Bound::new();
    let (token, bearer) = (bound.bound(), bound.token(None));
    let proof = bound.good_proof(&token);
    let ask = |scheme: &str, token: &str, proofs: &[&str]| {
        let request = Request { scheme, token, proofs, certificate: None, now: NOW };
        bound.ask(&request).map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(ask("Bearer", &token, &[]), "proof_missing");
    assert_eq!(ask("Bearer", &token, &[&proof]), "proof_missing", "a downgrade to Bearer");
    assert_eq!(ask("DPoP", &token, &[]), "proof_missing");
    assert_eq!(ask("DPoP", &token, &[&proof, &proof]), "token_repeated");
    assert_eq!(
        ask("DPoP", &bearer, &[&bound.good_proof(&bearer)]),
        "proof_refused",
        "a token that is bound to nothing"
    );
    assert_eq!(ask("Bearer", &bearer, &[&bound.good_proof(&bearer)]), "proof_refused");
    assert_eq!(ask("Bearer", &bearer, &[]), "ok");
    // A binding that can't be proven here must not be passed over.
    for cnf in [json!({ "kid": "x" }), json!({}), json!("x"), json!({ "jkt": "short" })] {
        assert_eq!(ask("Bearer", &bound.token(Some(cnf.clone())), &[]), "claims_malformed", "{cnf}");
    }
}

/// RFC 9449 §4.3, check by check.
#[test]
fn refuses_proofs_by_the_check_they_fail() {
    let bound = Bound::new();
    let token = bound.bound();
    let other = Prover::new(Algorithm::Es256);
    let hash_of_other = other.claims("GET", URL, "another-token", NOW)["ath"].clone();
    for (part, member, value) in [
        ("claims", "htm", json!("POST")),
        ("claims", "htm", json!("get")),
        ("claims", "htm", json!(null)),
        ("claims", "htu", json!("https://gw.example/api/payroll")),
        ("claims", "htu", json!("http://gw.example/api/orders")),
        ("claims", "htu", json!("https://evil.example/api/orders")),
        ("claims", "htu", json!("https://gw.example:8443/api/orders")),
        ("claims", "htu", json!("https://user@gw.example/api/orders")),
        ("claims", "htu", json!("/api/orders")),
        ("claims", "htu", json!(null)),
        ("claims", "iat", json!(NOW - 61)),
        ("claims", "iat", json!(NOW + 6)),
        ("claims", "iat", json!(NOW.to_string())),
        ("claims", "iat", json!(null)),
        ("claims", "jti", json!(null)),
        ("claims", "jti", json!("")),
        ("claims", "jti", json!(7)),
        ("claims", "jti", json!("x".repeat(257))),
        ("claims", "ath", json!(null)),
        ("claims", "ath", hash_of_other),
        ("claims", "nonce", json!(7)),
        ("header", "typ", json!("JWT")),
        ("header", "typ", json!(null)),
        ("header", "alg", json!("none")),
        ("header", "alg", json!("HS256")),
        ("header", "alg", json!("ES384")),
        ("header", "alg", json!("RS512")),
        ("header", "alg", json!(null)),
        ("header", "jwk", json!(null)),
        ("header", "jwk", json!("x")),
        ("header", "jwk", other.header()["jwk"].clone()),
        ("header", "crit", json!(["exp"])),
        ("header", "jku", json!("https://evil.example")),
        ("header", "x5c", json!(["MII"])),
    ] {
        let (mut header, mut claims) = (bound.prover.header(), bound.prover.claims("GET", URL, &token, NOW));
        let place = if part == "header" { &mut header } else { &mut claims };
        if value.is_null() {
            place.as_object_mut().expect("an object").remove(member);
        } else {
            place[member] = value.clone();
        }
        assert_eq!(bound.code(&token, &bound.prover.proof_with(&header, &claims)), "proof_refused", "{member} {value}");
    }
    // What is only another way to write the same.
    for (member, value) in [
        ("htu", json!("HTTPS://GW.example/api/orders?x=1#y")),
        ("htu", json!("https://gw.example:443/api/orders")),
        ("iat", json!(NOW - 60)),
        ("iat", json!(NOW + 5)),
        ("more", json!("unknown members are ignored")),
    ] {
        let mut claims = bound.prover.claims("GET", URL, &token, NOW);
        claims[member] = value.clone();
        assert_eq!(
            bound.code(&token, &bound.prover.proof_with(&bound.prover.header(), &claims)),
            "ok",
            "{member} {value}"
        );
    }
}

#[test]
fn refuses_forged_and_private_proof_keys() {
    let bound = Bound::new();
    let (token, thief) = (bound.bound(), Prover::new(Algorithm::Es256));
    // The thief shows the right key, and signs with its own.
    let forged = thief.proof_with(&bound.prover.header(), &bound.prover.claims("GET", URL, &token, NOW));
    assert_eq!(bound.code(&token, &forged), "proof_refused");
    assert_eq!(bound.code(&token, &thief.proof("GET", URL, &token, NOW)), "proof_refused", "its own key");
    let mut header = bound.prover.header();
    header["jwk"]["d"] = json!("AAAA");
    let private = bound.prover.proof_with(&header, &bound.prover.claims("GET", URL, &token, NOW));
    assert_eq!(bound.code(&token, &private), "proof_refused");
    for odd in ["", "x", "a.b.c", &format!("{}.x", bound.good_proof(&token)), &bound.good_proof(&token)[..40]] {
        assert_eq!(bound.code(&token, odd), "proof_refused", "{odd}");
    }
}

#[test]
fn a_proof_is_good_once() {
    let bound = Bound::new();
    let token = bound.bound();
    let proof = bound.good_proof(&token);
    assert_eq!(bound.code(&token, &proof), "ok");
    assert_eq!(bound.code(&token, &proof), "proof_replayed");
    assert_eq!(bound.code(&token, &bound.good_proof(&token)), "ok");
    // A proof that failed is not used up: who guesses can't burn another's.
    let mut claims = bound.prover.claims("GET", URL, &token, NOW);
    let good = bound.prover.proof_with(&bound.prover.header(), &claims);
    claims["htm"] = json!("POST");
    assert_eq!(bound.code(&token, &bound.prover.proof_with(&bound.prover.header(), &claims)), "proof_refused");
    assert_eq!(bound.code(&token, &good), "ok");
}

#[test]
fn the_memory_of_proofs_is_bounded_and_refuses_when_full() {
    let bound = Bound::with(Algorithm::EdDsa, DpopConfig { replays_max: 16, ..DpopConfig::default() });
    let token = bound.bound();
    let codes: Vec<&str> = (0..4).map(|_| bound.code(&token, &bound.good_proof(&token))).collect();
    assert_eq!(codes, ["ok", "ok", "proof_memory_full", "proof_memory_full"], "an eighth for each key");
    let error = bound.dpop(&token, &bound.good_proof(&token)).expect_err("no room");
    assert!(error.is_unavailable());
}

#[test]
fn a_route_can_ask_for_nonces() {
    let mut bound = Bound::new();
    bound.expected.dpop_nonce = true;
    let token = bound.bound();
    let with_nonce = |nonce: &str, now: u64| {
        let mut claims = bound.prover.claims("GET", URL, &token, now);
        claims["nonce"] = json!(nonce);
        let proof = bound.prover.proof_with(&bound.prover.header(), &claims);
        bound.ask(&Request { scheme: "DPoP", token: &token, proofs: &[&proof], certificate: None, now })
    };
    let error = bound.dpop(&token, &bound.good_proof(&token)).expect_err("no nonce");
    assert_eq!(error.code(), "proof_nonce_required");
    let nonce = error.nonce().expect("a nonce to use").to_owned();
    assert_eq!(with_nonce(&nonce, NOW).expect("a good proof").next_nonce(), None);
    // Older than one life: still good, and the next one comes along. Older than two: refused, with the next one.
    let later = NOW + 100;
    let fresh = bound.verifier.dpop_nonce(NOW);
    let aged = bound.verifier.dpop_nonce(later - 300);
    assert_eq!(
        with_nonce(&aged, later).expect("a good proof").next_nonce(),
        Some(bound.verifier.dpop_nonce(later).as_str())
    );
    let old = with_nonce(&bound.verifier.dpop_nonce(later - 600), later).expect_err("an old nonce");
    assert_eq!((old.code(), old.nonce().is_some()), ("proof_nonce_required", true));
    for made_up in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(with_nonce(made_up, NOW).expect_err("a made-up nonce").code(), "proof_nonce_required", "{made_up}");
    }
    // Another gateway's, or this one's before a restart.
    assert_ne!(Bound::new().verifier.dpop_nonce(NOW), fresh);
}

#[test]
fn a_token_that_is_bound_to_a_certificate_needs_that_certificate() {
    let bound = Bound::new();
    let cnf = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 32]) });
    let token = bound.token(Some(cnf));
    let ask = |certificate| bound.ask(&Request { scheme: "Bearer", token: &token, proofs: &[], certificate, now: NOW });
    assert_eq!(ask(Some([7; 32])).expect("its certificate").proven(), Proven { dpop: false, mtls: true });
    assert_eq!(ask(None).expect_err("no certificate").code(), "proof_missing");
    assert_eq!(ask(Some([8; 32])).expect_err("another's certificate").code(), "proof_missing");
    // A certificate says nothing about a token that is not bound to it.
    let bearer = bound.token(None);
    let request = Request { scheme: "Bearer", token: &bearer, proofs: &[], certificate: Some([7; 32]), now: NOW };
    assert_eq!(bound.ask(&request).expect("a bearer token").proven(), Proven::default());
}

#[test]
fn a_token_that_is_bound_twice_is_proven_twice() {
    let bound = Bound::new();
    let both = json!({ "jkt": bound.prover.thumbprint(), "x5t#S256": URL_SAFE_NO_PAD.encode([7; 32]) });
    let token = bound.token(Some(both));
    let ask = |certificate, proofs: &[&str]| {
        let request = Request { scheme: "DPoP", token: &token, proofs, certificate, now: NOW };
        bound.ask(&request).map(|verified| verified.proven()).map_err(|error| error.code())
    };
    assert_eq!(ask(Some([7; 32]), &[&bound.good_proof(&token)]), Ok(Proven { dpop: true, mtls: true }));
    assert_eq!(ask(None, &[&bound.good_proof(&token)]), Err("proof_missing"));
    assert_eq!(ask(Some([7; 32]), &[]), Err("proof_missing"));
}

#[test]
fn a_route_can_require_a_proof() {
    for (rule, bearer, dpop, mtls) in [
        (ProofRule::AsBound, "ok", "ok", "ok"),
        (ProofRule::Dpop, "proof_missing", "ok", "proof_missing"),
        (ProofRule::Mtls, "proof_missing", "proof_missing", "ok"),
        (ProofRule::Either, "proof_missing", "ok", "ok"),
    ] {
        let mut bound = Bound::new();
        bound.expected.proof = rule;
        let ask = |scheme: &str, token: &str, proofs: &[&str]| {
            let request = Request { scheme, token, proofs, certificate: Some([7; 32]), now: NOW };
            bound.ask(&request).map_or_else(|error| error.code(), |_| "ok")
        };
        let to_key = bound.bound();
        let to_certificate = bound.token(Some(json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 32]) })));
        assert_eq!(ask("Bearer", &bound.token(None), &[]), bearer, "{rule:?}");
        assert_eq!(ask("DPoP", &to_key, &[&bound.good_proof(&to_key)]), dpop, "{rule:?}");
        assert_eq!(ask("Bearer", &to_certificate, &[]), mtls, "{rule:?}");
    }
}

#[test]
fn errors_about_proofs_hold_no_token_and_no_proof() {
    let bound = Bound::new();
    let token = bound.bound();
    let hostile = "x\r\n\u{1b}[31m".repeat(100);
    for member in ["htm", "htu"] {
        let mut claims = bound.prover.claims("GET", URL, &token, NOW);
        claims[member] = json!(hostile);
        let proof = bound.prover.proof_with(&bound.prover.header(), &claims);
        let error = bound.dpop(&token, &proof).expect_err("a bad proof");
        for text in [error.to_string(), error.public(), format!("{error:?}")] {
            assert!(!text.chars().any(char::is_control) && text.len() < 600, "{text}");
            let parts = token.split('.').chain(proof.split('.'));
            assert!(!parts.into_iter().any(|part| part.len() > 8 && text.contains(part)), "{text}");
        }
    }
}
