//! Proofs of possession, challenges and metadata, as a caller meets them.

use crate::rig::{AUDIENCE, Answer, HOST, Options, Rig, Tls, unix_now};
use airgate_gateway::Accepts;
use airgate_identity::{Algorithm, KeySource, ProofRule, Tolerance, Verifier};
use airgate_testkit::{Prover, TestCa, TestIssuer};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

fn with(accepts: Accepts) -> Rig {
    Rig::with(Options { accepts, ..Options::default() })
}

fn dpop_rig(dpop_nonce: bool) -> (Rig, Prover) {
    (with(Accepts { proof: ProofRule::Dpop, dpop_nonce, ..Accepts::default() }), Prover::new(Algorithm::Es256))
}

fn bound(rig: &Rig, cnf: Value) -> String {
    let mut claims = rig.claims();
    claims["cnf"] = cnf;
    rig.issuer.token(claims)
}

fn url(rig: &Rig, path: &str) -> String {
    format!("http://{HOST}:{}{path}", rig.address.port())
}

/// With the port, as a caller that is not on the default one sends it.
fn get(rig: &Rig, path: &str, fields: &str) -> Answer {
    rig.send(&format!("GET {path} HTTP/1.1\r\nHost: {HOST}:{}\r\n{fields}\r\n", rig.address.port()))
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem()["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_dpop_request_is_served_and_its_record_says_so() {
    let (mut rig, prover) = dpop_rig(false);
    let token = bound(&rig, json!({ "jkt": prover.thumbprint() }));
    let proof = prover.proof("GET", &url(&rig, "/api/orders"), &token, unix_now());
    let fields = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
    let answer = get(&rig, "/api/orders", &fields);
    assert_eq!(answer.status, 200, "{answer:?}");
    let arrived = &rig.upstream.received()[0].head;
    assert!(!arrived.to_ascii_lowercase().contains("dpop") && !arrived.contains(&token), "{arrived}");
    assert_eq!(code(&get(&rig, "/api/orders", &fields)), (401, "proof_replayed".to_owned()));
    // A proof is for one URL and one method.
    let fresh = prover.proof("GET", &url(&rig, "/api/orders"), &token, unix_now());
    let elsewhere = get(&rig, "/api/other", &format!("Authorization: DPoP {token}\r\nDPoP: {fresh}\r\n"));
    assert_eq!(code(&elsewhere), (401, "proof_refused".to_owned()));
    let challenge = elsewhere.fields("www-authenticate");
    assert!(challenge[0].starts_with("DPoP realm=\"airgate\", error=\"invalid_dpop_proof\""), "{challenge:?}");
    let entries = rig.entries();
    let intent = entries.iter().find(|entry| entry["kind"] == "intent").unwrap();
    assert_eq!(intent["principal"]["proof"], "dpop");
    assert_eq!(intent["principal"]["iss"], "https://issuer.test");
    assert!(entries.iter().any(|entry| entry["code"] == "proof_replayed"));
}

#[test]
fn a_route_that_asks_for_dpop_refuses_bearer_tokens_and_says_how() {
    let (rig, prover) = dpop_rig(false);
    let bearer = get(&rig, "/api/orders", &format!("Authorization: Bearer {}\r\n", rig.token()));
    assert_eq!(code(&bearer), (401, "proof_missing".to_owned()));
    let stolen = bound(&rig, json!({ "jkt": prover.thumbprint() }));
    let downgraded = get(&rig, "/api/orders", &format!("Authorization: Bearer {stolen}\r\n"));
    assert_eq!(code(&downgraded), (401, "proof_missing".to_owned()));
    for answer in [bearer, downgraded, get(&rig, "/api/orders", "")] {
        let challenges = answer.fields("www-authenticate");
        assert_eq!(challenges.len(), 1, "{challenges:?}");
        assert!(challenges[0].starts_with("DPoP ") && challenges[0].contains("algs=\"ES256 EdDSA"), "{challenges:?}");
    }
    assert!(rig.upstream.received().is_empty());
}

#[test]
fn nonces_are_asked_for_given_and_renewed() {
    let (rig, prover) = dpop_rig(true);
    let token = bound(&rig, json!({ "jkt": prover.thumbprint() }));
    let ask = |nonce: Option<&str>| {
        let mut claims = prover.claims("GET", &url(&rig, "/api/orders"), &token, unix_now());
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        let proof = prover.proof_with(&prover.header(), &claims);
        get(&rig, "/api/orders", &format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n"))
    };
    let first = ask(None);
    assert_eq!(code(&first), (401, "proof_nonce_required".to_owned()));
    assert!(first.fields("www-authenticate")[0].contains("error=\"use_dpop_nonce\""), "{first:?}");
    let nonce = first.field("dpop-nonce").expect("a nonce").to_owned();
    assert_eq!(first.field("cache-control"), Some("no-store"));
    assert_eq!(ask(Some(&nonce)).status, 200);
    assert_eq!(code(&ask(Some("made-up"))), (401, "proof_nonce_required".to_owned()));
}

fn mtls_rig(required: bool) -> (Rig, Tls, TestCa) {
    let authority = TestCa::new();
    let tls = Tls::new().with_clients(&authority, required);
    let accepts = Accepts { proof: ProofRule::Mtls, ..Accepts::default() };
    (Rig::with(Options { accepts, tls: Some(tls.files.clone()), ..Options::default() }), tls, authority)
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_served_over_that_certificate_alone() {
    let (mut rig, tls, authority) = mtls_rig(false);
    let (certificate, key, thumbprint) = authority.issue_client("task");
    let (other, other_key, _) = authority.issue_client("another task");
    let token = bound(&rig, json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint) }));
    let request = format!("GET /api/orders HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let send = |certificate| rig.send_tls(&tls.caller(b"http/1.1", certificate), &request);
    assert_eq!(send(Some((&certificate, &key))).unwrap().status, 200);
    for certificate in [None, Some((other.as_str(), other_key.as_str()))] {
        let refused = send(certificate).unwrap();
        assert_eq!(code(&refused), (401, "proof_missing".to_owned()));
        assert!(refused.fields("www-authenticate")[0].starts_with("Bearer "), "{refused:?}");
    }
    // A certificate of an authority that is not configured does not even get a connection.
    let (forged, forged_key, _) = TestCa::new().issue_client("task");
    assert!(send(Some((&forged, &forged_key))).is_err());
    let entries = rig.entries();
    let proofs: Vec<&Value> =
        entries.iter().filter(|entry| entry["kind"] == "intent").map(|entry| &entry["principal"]["proof"]).collect();
    assert_eq!(proofs, ["mtls"]);
}

#[test]
fn a_listener_can_require_certificates_and_resumes_no_session() {
    let (rig, tls, authority) = mtls_rig(true);
    let (certificate, key, thumbprint) = authority.issue_client("task");
    let token = bound(&rig, json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint) }));
    let request = format!("GET /api/orders HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert!(rig.send_tls(&tls.caller(b"http/1.1", None), &request).is_err(), "refused in the handshake");
    // One caller that keeps what is needed to resume: nothing is, or an expired certificate could come back.
    let caller = tls.caller(b"http/1.1", Some((&certificate, &key)));
    for _ in 0..3 {
        let name = rustls_pki_types::ServerName::try_from(HOST).unwrap();
        let session = rustls::ClientConnection::new(std::sync::Arc::clone(&caller), name).unwrap();
        let mut stream = rustls::StreamOwned::new(session, rig.connect());
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let answer = crate::rig::read_answer(&mut std::io::BufReader::new(&mut stream), false).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn tokens_in_queries_and_cookies_are_refused_unless_the_route_says_they_are_the_apps() {
    let mut rig = Rig::start();
    let (token, apps) = (rig.token(), TestIssuer::new(Algorithm::EdDsa).token(json!({ "sub": "session" })));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for (path, fields) in [
        (format!("/api/orders?access_token={token}"), String::new()),
        (format!("/api/orders?access_token={apps}"), bearer.clone()),
        (format!("/api/orders?t={apps}"), bearer.clone()),
        ("/api/orders".to_owned(), format!("{bearer}Cookie: session={apps}\r\n")),
        ("/api/orders".to_owned(), format!("{bearer}X-Copy: {token}\r\n")),
        ("/api/orders".to_owned(), format!("{bearer}{bearer}")),
    ] {
        let answer = get(&rig, &path, &fields);
        let (status, code) = code(&answer);
        assert!(status == 400 && matches!(code.as_str(), "token_misplaced" | "token_repeated"), "{path}: {code}");
        assert!(answer.fields("www-authenticate")[0].contains("error=\"invalid_request\""), "{answer:?}");
    }
    assert!(rig.upstream.received().is_empty());
    let whole = serde_json::to_string(&rig.entries()).unwrap();
    assert!(!whole.contains(&token[20..60]) && !whole.contains(&apps[20..60]), "no token in the log");

    let app_tokens = Tolerance { query: true, cookie: true };
    let rig = with(Accepts { app_tokens, ..Accepts::default() });
    let token = rig.token();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let answer = get(&rig, &format!("/api/orders?t={apps}"), &format!("{bearer}Cookie: session={apps}\r\n"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let arrived = rig.upstream.received().remove(0).head;
    assert!(arrived.contains(&format!("?t={apps}")) && arrived.contains(&format!("session={apps}")), "{arrived}");
    // The caller's own never passes there.
    assert_eq!(code(&get(&rig, &format!("/api/orders?t={token}"), &bearer)), (400, "token_misplaced".to_owned()));
    let in_cookie = get(&rig, "/api/orders", &format!("Cookie: session={token}\r\n"));
    assert_eq!(code(&in_cookie), (401, "token_missing".to_owned()));
}

#[test]
fn a_route_takes_the_tokens_of_its_own_issuers() {
    let folder = tempfile::tempdir().unwrap();
    let issuers = [("one", "https://one.test"), ("two", "https://two.test")]
        .map(|(name, url)| (name, TestIssuer::new(Algorithm::EdDsa).with_issuer(url)));
    let configs = issuers.iter().map(|(name, issuer)| {
        let path = folder.path().join(name);
        std::fs::write(&path, issuer.jwks().to_string()).unwrap();
        issuer.config(if *name == "one" { "airflow" } else { name }, AUDIENCE, KeySource::File(path))
    });
    let verifier = Verifier::new(configs.collect()).unwrap();
    let accepts = Accepts { issuers: Some(vec!["airflow".into()]), ..Accepts::default() };
    let rig = Rig::with(Options { accepts, verifier: Some(verifier), ..Options::default() });
    let send = |issuer: &TestIssuer| {
        let token = issuer.token(issuer.job_claims("nightly_orders", "load", AUDIENCE, unix_now()));
        get(&rig, "/api/orders", &format!("Authorization: Bearer {token}\r\n"))
    };
    assert_eq!(send(&issuers[0].1).status, 200);
    assert_eq!(code(&send(&issuers[1].1)), (401, "issuer_unknown".to_owned()));
    let document: Value = serde_json::from_slice(&get(&rig, "/.well-known/oauth-protected-resource", "").body).unwrap();
    assert_eq!(document["authorization_servers"], json!(["https://one.test"]));
}

#[test]
fn every_challenge_leads_to_the_metadata_of_its_route() {
    let rig = Rig::start();
    let address = format!("http://{HOST}:{}/.well-known/oauth-protected-resource", rig.address.port());
    let stranger = rig.issuer.token(rig.issuer.job_claims("other_dag", "load", AUDIENCE, unix_now()));
    for (fields, status, error) in [
        (String::new(), 401, None),
        ("Authorization: Bearer x\r\n".to_owned(), 401, Some("invalid_token")),
        (format!("Authorization: Bearer {stranger}\r\n"), 403, Some("insufficient_scope")),
    ] {
        let answer = get(&rig, "/api/orders", &fields);
        assert_eq!(answer.status, status);
        let challenges = answer.fields("www-authenticate");
        assert_eq!(challenges.len(), 2, "both schemes are taken here: {challenges:?}");
        assert!(challenges[0].starts_with("Bearer realm=\"airgate\"") && challenges[1].starts_with("DPoP "));
        assert!(
            challenges.iter().all(|one| one.contains(&format!("resource_metadata=\"{address}\""))),
            "{challenges:?}"
        );
        match error {
            None => assert!(!challenges[0].contains("error"), "{challenges:?}"),
            Some(error) => {
                assert!(challenges[0].contains(&format!("error=\"{error}\", error_description=\"")), "{challenges:?}");
                assert!(!challenges[1].contains("error="), "the error goes with the scheme that was used");
            }
        }
    }
    let answer = get(&rig, "/.well-known/oauth-protected-resource", "");
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")));
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["resource"], format!("http://{HOST}:{}", rig.address.port()));
    assert_eq!(document["authorization_servers"], json!(["https://issuer.test"]));
    assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    assert!(document.get("dpop_bound_access_tokens_required").is_none(), "{document}");
    // Not a document of ours: an ordinary request, which needs a token.
    for path in
        ["/.well-known/oauth-protected-resource/api", "/.well-known/oauth-protected-resources", "/.well-known/x"]
    {
        assert_eq!(get(&rig, path, "").status, 401, "{path}");
    }
    assert!(rig.upstream.received().is_empty());
}

#[test]
fn an_origin_behind_a_proxy_is_what_callers_prove_and_are_told() {
    let origin = Some("https://orders.corp.example".to_owned());
    let rig = with(Accepts { proof: ProofRule::Dpop, origin, ..Accepts::default() });
    let prover = Prover::new(Algorithm::EdDsa);
    let token = bound(&rig, json!({ "jkt": prover.thumbprint() }));
    let ask = |url: &str| {
        let proof = prover.proof("GET", url, &token, unix_now());
        get(&rig, "/api/orders", &format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n"))
    };
    assert_eq!(ask("https://orders.corp.example/api/orders").status, 200);
    assert_eq!(code(&ask(&url(&rig, "/api/orders"))), (401, "proof_refused".to_owned()));
    let document: Value = serde_json::from_slice(&get(&rig, "/.well-known/oauth-protected-resource", "").body).unwrap();
    assert_eq!(document["resource"], "https://orders.corp.example");
    assert_eq!(document["dpop_bound_access_tokens_required"], true);
}

/// What the caller sees never helps an attacker; the entry holds the whole reason.
#[test]
fn the_caller_is_told_the_check_and_the_log_the_reason() {
    let mut rig = Rig::start();
    let now = unix_now();
    let with = |claim: &str, value: Value| {
        let mut claims = rig.claims();
        claims[claim] = value;
        rig.issuer.token(claims)
    };
    let tokens = [
        with("iss", json!("https://elsewhere.test")),
        with("aud", json!("https://elsewhere.test")),
        with("exp", json!(now - 300)),
        TestIssuer::new(Algorithm::EdDsa).token(rig.claims()),
    ];
    let mut told = String::new();
    for token in &tokens {
        let answer = get(&rig, "/api/orders", &format!("Authorization: Bearer {token}\r\n"));
        assert_eq!(answer.status, 401);
        told += &answer.fields("www-authenticate").join(" ");
        told += std::str::from_utf8(&answer.body).unwrap();
    }
    for secret in ["elsewhere.test", AUDIENCE, "`airflow`", "test-1"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    let reasons: String =
        rig.entries().iter().filter_map(|entry| entry["reason"].as_str().map(str::to_owned)).collect();
    for part in ["elsewhere.test", AUDIENCE, "`airflow`", "test-1", "300 s ago"] {
        assert!(reasons.contains(part), "{part} in {reasons}");
    }
}
