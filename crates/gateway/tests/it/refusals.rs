//! Every refusal: its status, its code, its entry, and that nothing reached the upstream.

use crate::rig::{AUDIENCE, Answer, HOST, Options, Rig, unix_now};
use airgate_gateway::Limits;
use airgate_identity::Algorithm;
use airgate_testkit::TestIssuer;
use serde_json::json;

fn with_authorization(rig: &Rig, authorization: &str) -> Answer {
    rig.send(&format!("GET /api/orders HTTP/1.1\r\nHost: {HOST}\r\n{authorization}\r\n"))
}

/// Refused with this status and code, with an entry that says the same, and nothing sent upstream.
fn expect(rig: &Rig, answer: &Answer, status: u16, code: &str) {
    let problem = answer.problem();
    assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
    assert_eq!(problem["type"], format!("urn:airgate:problem:{code}"));
    assert_eq!(problem["status"], status);
    assert_eq!(problem["entry"], answer.entry());
    assert_eq!(problem["request_id"].as_str(), answer.field("airgate-request-id"));
    for text in ["title", "detail", "help"] {
        assert!(problem[text].as_str().is_some_and(|t| t.len() > 3), "{text} of {problem}");
    }
    assert_eq!(rig.upstream.received(), vec![], "nothing may reach the upstream");
}

#[test]
fn tokens_are_refused_with_401_naming_the_failed_check() {
    let mut rig = Rig::start();
    let now = unix_now();
    let claims = |changes: serde_json::Value| {
        let mut all = rig.claims();
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    };
    let stranger = TestIssuer::new(Algorithm::EdDsa).with_kid("stranger");
    let good = rig.token();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let cases = [
        (String::new(), "token_missing"),
        ("Authorization: Basic YTpi\r\n".to_owned(), "token_missing"),
        (bearer("not-a-token"), "token_malformed"),
        (bearer(""), "token_malformed"),
        (bearer(&rig.issuer.token_of(Some("JWT"), rig.claims())), "token_type_refused"),
        (
            bearer(&rig.issuer.token(claims(json!({ "exp": now - 120, "iat": now - 240, "nbf": now - 240 })))),
            "token_expired",
        ),
        (bearer(&rig.issuer.token(claims(json!({ "iss": "https://other.example" })))), "issuer_unknown"),
        (bearer(&rig.issuer.token(claims(json!({ "aud": "https://elsewhere.example" })))), "audience_mismatch"),
        (bearer(&stranger.token(claims(json!({ "iss": rig.issuer.issuer() })))), "key_unknown"),
        (bearer(&format!("{signed}.{flipped}{}", &signature[1..])), "signature_invalid"),
    ];
    for (authorization, code) in &cases {
        let answer = with_authorization(&rig, authorization);
        let challenge = answer.field("www-authenticate").unwrap_or_default().to_owned();
        assert!(challenge.starts_with("Bearer realm=\"airgate\""), "{code}: {challenge}");
        assert_eq!(challenge.contains("error=\"invalid_token\""), *code != "token_missing", "{code}: {challenge}");
        if answer.problem()["code"] == "token_missing" && authorization.contains("Basic") {
            continue;
        }
        expect(&rig, &answer, 401, code);
    }
    let entries = rig.entries();
    let refused: Vec<_> = entries.iter().filter(|e| e["kind"] == "refusal").collect();
    assert_eq!(refused.len(), cases.len());
    let whole = serde_json::to_string(&entries).unwrap();
    assert!(!whole.contains(signature), "no token text in the log");
}

#[test]
fn what_no_grant_allows_is_403_with_the_reason() {
    let mut rig = Rig::start();
    let denied = rig.get("/payroll/2026");
    expect(&rig, &denied, 403, "not_in_role");
    let problem = denied.problem();
    let text = format!("{} {}", problem["detail"], problem["help"]);
    for part in ["/payroll/2026", "writer", "GET"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(problem["grant"], "nightly-orders");

    let stranger = rig.issuer.token(rig.issuer.job_claims("other_dag", "load", AUDIENCE, unix_now()));
    let answer = with_authorization(&rig, &format!("Authorization: Bearer {stranger}\r\n"));
    expect(&rig, &answer, 403, "no_grant");

    let entries = rig.entries();
    let entry = entries.iter().find(|e| e["code"] == "not_in_role").unwrap();
    assert_eq!(entry["principal"]["job"]["dag_id"], "nightly_orders");
    assert_eq!(entry["route"], "orders");
    assert_eq!(entry["status"], 403);
}

#[test]
fn targets_are_refused_before_the_token_is_looked_at() {
    let rig = Rig::start();
    for (request, status, code) in [
        ("GET /api/orders HTTP/1.1\r\nHost: nowhere.example\r\n\r\n", 404, "route_unknown"),
        ("GET /api/../payroll HTTP/1.1\r\nHost: orders.example\r\n\r\n", 400, "path_not_canonical"),
        ("GET /api/%2e%2e/payroll HTTP/1.1\r\nHost: orders.example\r\n\r\n", 400, "path_not_canonical"),
        ("GET /api%5Cpayroll HTTP/1.1\r\nHost: orders.example\r\n\r\n", 400, "path_not_canonical"),
        ("GET //api HTTP/1.1\r\nHost: orders.example\r\n\r\n", 400, "path_not_canonical"),
        ("GET /api/orders::$DATA HTTP/1.1\r\nHost: orders.example\r\n\r\n", 400, "path_not_canonical"),
        ("GET http://orders.example/api/orders HTTP/1.1\r\nHost: orders.example\r\n\r\n", 400, "target_malformed"),
        ("GET /api/orders HTTP/1.1\r\nHost: a\r\nHost: orders.example\r\n\r\n", 400, "host_malformed"),
        ("GET /api/orders HTTP/1.1\r\n\r\n", 400, "host_malformed"),
        ("TRACE /api/orders HTTP/1.1\r\nHost: orders.example\r\n\r\n", 405, "method_refused"),
        ("CONNECT orders.example:443 HTTP/1.1\r\nHost: orders.example\r\n\r\n", 405, "method_refused"),
    ] {
        let answer = rig.send(request);
        expect(&rig, &answer, status, code);
    }
    let long = format!("GET /api/{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "x".repeat(7000));
    expect(&rig, &rig.send(&long), 414, "target_too_long");
}

#[test]
fn oversized_requests_are_refused() {
    let rig = Rig::with(Options {
        limits: Limits { body_bytes_max: 1000, ..Options::default().limits },
        ..Options::default()
    });
    let announced = rig.send(&rig.request("POST", "/api/orders", "Content-Length: 1001\r\n"));
    expect(&rig, &announced, 413, "body_too_large");

    let wide = rig.request("GET", "/api/orders", &format!("X-Big: {}\r\n", "x".repeat(70_000)));
    expect(&rig, &rig.send(&wide), 431, "headers_too_large");
    // Far beyond the limit it is hyper that answers, before there is a request.
    let endless = rig.request("GET", "/api/orders", &format!("X-Big: {}\r\n", "x".repeat(1_000_000)));
    let mut stream = rig.connect();
    let _ = std::io::Write::write_all(&mut stream, endless.as_bytes());
    let answer = crate::rig::read_answer(&mut std::io::BufReader::new(stream), false);
    assert!(answer.is_err() || answer.unwrap().status == 431, "a head of 1 MB must not pass");
    assert_eq!(rig.upstream.received(), vec![]);

    let many = (0..200).fold(String::new(), |all, n| all + &format!("X-{n}: y\r\n"));
    assert_eq!(rig.send(&rig.request("GET", "/api/orders", &many)).status, 431);
    assert_eq!(rig.upstream.received(), vec![]);
}

/// A body that announces no length is counted as it comes: its request is recorded by then, and its entry tells the end.
#[test]
fn a_chunked_body_beyond_the_limit_is_cut_off() {
    let limits = Limits { body_bytes_max: 1000, ..Options::default().limits };
    let mut rig = Rig::with(Options { limits, ..Options::default() });
    let head = rig.request("POST", "/api/orders", "Transfer-Encoding: chunked\r\n");
    let chunk = format!("190\r\n{}\r\n", "x".repeat(400));
    let answer = rig.send(&format!("{head}{}0\r\n\r\n", chunk.repeat(3)));
    assert_eq!((answer.status, answer.problem()["code"].as_str()), (413, Some("body_too_large")));
    assert!(rig.upstream.received().iter().all(|r| r.body.is_empty()), "the upstream got no whole request");
    let entries = rig.entries();
    let end = crate::rig::outcome(&entries, answer.entry());
    assert_eq!((end["ending"].as_str(), end["status"].as_u64()), (Some("refused"), Some(413)));
}

#[test]
fn every_code_is_in_the_reference() {
    let all = airgate_gateway::problems();
    let mut codes: Vec<_> = all.iter().map(|p| (p.code, p.status)).collect();
    for code in [
        "token_missing",
        "token_expired",
        "no_grant",
        "route_unknown",
        "path_not_canonical",
        "audit_unavailable",
        "upstream_answer_timeout",
        "kdc_timeout",
    ] {
        assert!(codes.iter().any(|(c, _)| *c == code), "{code}");
    }
    codes.dedup();
    assert_eq!(codes.len(), all.len());
}
