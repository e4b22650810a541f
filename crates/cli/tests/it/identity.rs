//! `airgate token inspect`, `airgate issuer check`, and the listener for operators.

use crate::{
    fixture::{Folder, inspect, shown},
    serve::{Served, Upstream, folder, token},
};
use airgate_testkit::{KeyAnswer, KeyServer, TestCa, TestIssuer};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Output,
    time::{Duration, Instant},
};

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(output)))
}

fn failed(inspection: &Value) -> Vec<&str> {
    let checks = inspection["checks"].as_array().expect("a list");
    checks.iter().filter(|line| line["outcome"] != "pass").filter_map(|line| line["code"].as_str()).collect()
}

#[test]
fn a_good_token_is_accepted_and_shown_without_its_signature() {
    let (folder, issuer) = folder(1);
    let token = token(&issuer);
    let signature = token.rsplit('.').next().expect("a signature").to_owned();
    for text in [token.clone(), format!("Bearer {token}\n"), format!("Authorization: Bearer {token}")] {
        let output = inspect(&folder, &text, &["--config", "airgate.toml"]);
        let said = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        for part in ["nightly_orders", "issuer  airflow", "signature", "pass", "accepted"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains(&signature) && !said.contains(&token), "{said}");
    }
    folder.write("token.txt", &token, 0o600);
    let by_file = ["token", "inspect", "--file", "token.txt", "--config", "airgate.toml", "--route", "open", "--json"];
    let output = folder.airgate(&by_file);
    assert_eq!((output.status.code(), &json_of(&output)["accepted"]), (Some(0), &json!(true)), "{}", shown(&output));
    // Without a configuration it is only read.
    let output = inspect(&folder, &token, &[]);
    assert!(output.status.code() == Some(0) && shown(&output).contains("not checked"), "{}", shown(&output));
}

#[test]
fn a_refused_token_says_each_check_and_the_next_step() {
    let (folder, issuer) = folder(1);
    let mut claims = issuer.job_claims("nightly_orders", "load", "https://elsewhere.example", 1_700_000_000);
    claims["password"] = json!("hunter2");
    let output = inspect(&folder, &issuer.token(claims.clone()), &["--config", "airgate.toml", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let inspection = json_of(&output);
    assert_eq!(failed(&inspection), ["audience_mismatch", "token_expired"]);
    assert!(!shown(&output).contains("hunter2"), "{}", shown(&output));
    let output = inspect(&folder, &issuer.token(claims), &["--config", "airgate.toml"]);
    let said = shown(&output);
    assert!(
        said.contains("next: audience:") && said.contains("next: expiry:") && said.contains("not accepted"),
        "{said}"
    );
    let stranger = TestIssuer::new(airgate_identity::Algorithm::EdDsa);
    let output = inspect(&folder, &token(&stranger), &["--config", "airgate.toml", "--json"]);
    assert_eq!(failed(&json_of(&output)), ["signature_invalid"]);
    for odd in ["opaque-token", "a.b.c", "ey.ey.ey"] {
        let output = inspect(&folder, odd, &["--config", "airgate.toml", "--json"]);
        assert_eq!((output.status.code(), failed(&json_of(&output))), (Some(1), vec!["token_malformed"]), "{odd}");
    }
}

#[test]
fn a_token_on_the_command_line_is_refused_and_not_repeated() {
    let (folder, issuer) = folder(1);
    let token = token(&issuer);
    let output = folder.airgate(&["token", "inspect", &token, "--config", "airgate.toml"]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("history") && !shown(&output).contains(&token[..20]), "{}", shown(&output));
    for (args, part) in [
        (&["token", "inspect", "--file", "missing.txt"][..], "missing.txt"),
        (
            &["token", "inspect", "--file", "jwks.json", "--config", "airgate.toml", "--route", "nowhere"],
            "no route `nowhere`",
        ),
        (&["token", "inspect", "--file", "jwks.json", "--config", "missing.toml"], "missing.toml"),
    ] {
        let output = folder.airgate(args);
        assert!(output.status.code() == Some(2) && shown(&output).contains(part), "{}", shown(&output));
    }
    assert_eq!(inspect(&folder, "  \n", &[]).status.code(), Some(2));
}

/// A configuration whose issuer is found by discovery on a server of its own.
struct Found {
    folder: Folder,
    issuer: TestIssuer,
    server: KeyServer,
}

fn found() -> Found {
    let ca = TestCa::new();
    let server = KeyServer::start(&ca, json!({}));
    let origin = server.origin().to_owned();
    let issuer = TestIssuer::new(airgate_identity::Algorithm::Es256).with_issuer(&origin);
    let (folder, _) = folder(1);
    folder.write("ca.pem", ca.pem(), 0o644);
    let config = std::fs::read_to_string(folder.path().join("airgate.toml")).expect("the configuration");
    let section = format!(
        "[issuer.idp]\nurl = \"{origin}\"\naudiences = [\"https://gw.example\"]\nalgorithms = [\"ES256\"]\nca_file = \"ca.pem\"\n\n[upstream.open]"
    );
    folder.write("airgate.toml", &config.replace("[upstream.open]", &section), 0o644);
    let document = json!({ "issuer": origin, "jwks_uri": format!("{origin}/keys") }).to_string();
    server.answer_at("/.well-known/openid-configuration", KeyAnswer::Body(document));
    let fields = vec![("cache-control", "max-age=300".to_owned())];
    server.answer_at("/keys", KeyAnswer::With(issuer.jwks().to_string(), fields));
    Found { folder, issuer, server }
}

#[test]
fn an_issuer_is_checked_step_by_step() {
    let Found { folder, server, .. } = found();
    let check = |more: &[&str]| folder.airgate(&[&["issuer", "check", "--config", "airgate.toml"], more].concat());
    let output = check(&[]);
    let said = shown(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "discovery",
        "key set",
        "TLS 1.3, the certificate ends in",
        "as ours",
        "max-age=300",
        "test-1: ES256",
        "ok: 0 failures",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let lines = json_of(&check(&["idp", "--json"]));
    assert!(lines.as_array().expect("a list").iter().all(|line| line["issuer"] == "idp"), "{lines}");
    // What can be wrong, each with the next step.
    let date = vec![("date", "Sat, 01 Jan 2000 00:00:00 GMT".to_owned())];
    let other = TestIssuer::new(airgate_identity::Algorithm::EdDsa);
    for (path, answer, check_name, part) in [
        ("/keys", KeyAnswer::Status(500), "key set", "answered 500"),
        ("/keys", KeyAnswer::Body("{}".to_owned()), "key set", "no array `keys`"),
        ("/keys", KeyAnswer::With(other.jwks().to_string(), date), "clock", "s behind ours"),
        ("/keys", KeyAnswer::Body(other.jwks().to_string()), "keys", "no key can check a token"),
        ("/.well-known/openid-configuration", KeyAnswer::Body("{}".to_owned()), "discovery", "no `issuer`"),
    ] {
        server.answer_at(path, answer);
        let output = check(&["idp", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        let lines = json_of(&output);
        let line = lines
            .as_array()
            .expect("a list")
            .iter()
            .find(|line| line["check"] == check_name && line["result"] == "fail");
        let line = line.unwrap_or_else(|| panic!("no failed {check_name} in {lines}"));
        assert!(line["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{line}");
        assert!(line["next"].as_str().is_some_and(|next| next.len() > 10), "{line}");
    }
    let output = check(&["nobody"]);
    assert!(output.status.code() == Some(2) && shown(&output).contains("no issuer `nobody`"), "{}", shown(&output));
}

#[test]
fn a_token_is_inspected_with_live_keys_or_offline() {
    let Found { folder, issuer, server } = found();
    let claims = |now: i64| json!({ "iss": issuer.issuer(), "aud": "https://gw.example", "sub": "etl", "client_id": "etl", "iat": now, "exp": now + 60, "jti": "1" });
    let token = issuer.token_of(Some("at+jwt"), claims(jiff_now()));
    let live = inspect(&folder, &token, &["--config", "airgate.toml", "--json"]);
    assert_eq!((live.status.code(), &json_of(&live)["accepted"]), (Some(0), &json!(true)), "{}", shown(&live));
    let asked = server.hits();
    let offline = inspect(&folder, &token, &["--config", "airgate.toml", "--offline", "--json"]);
    assert_eq!(
        (offline.status.code(), &json_of(&offline)["accepted"]),
        (Some(3), &json!(false)),
        "{}",
        shown(&offline)
    );
    assert_eq!((failed(&json_of(&offline)), server.hits()), (vec!["keys_unavailable"], asked));
}

fn jiff_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// (status, body) of a GET on the listener for operators.
fn ask(address: &str, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON"))
}

#[test]
fn readiness_shows_each_issuer_and_lives_apart_from_the_callers() {
    let Found { folder, server, .. } = found();
    let config = std::fs::read_to_string(folder.path().join("airgate.toml")).expect("the configuration");
    folder.write("airgate.toml", &format!("{config}\n[admin]\naddress = \"127.0.0.1:0\"\n"), 0o644);
    server.answer_at("/keys", KeyAnswer::Status(500));
    let _upstream = Upstream::start();
    let served = Served::start(&folder);
    let admin = served.logged("health and readiness")["address"].as_str().expect("an address").to_owned();
    assert_eq!(ask(&admin, "/healthz"), (200, json!({ "alive": true })));
    let state = |name: &str| {
        let (status, ready) = ask(&admin, "/readyz");
        let issuers = ready["issuers"].as_array().expect("a list").clone();
        let found = issuers.into_iter().find(|state| state["issuer"] == name).expect("the issuer");
        (status, ready["ready"] == true, ready["degraded"] == true, found)
    };
    let (status, ready, degraded, airflow) = state("airflow");
    assert_eq!((status, ready, &airflow["serving"]), (200, true, &json!("fresh")), "{airflow}");
    // The background's first fetch has failed by then, or is about to.
    let began = Instant::now();
    while state("idp").3["fault"].is_null() && began.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    let (status, ready, _, idp) = state("idp");
    assert_eq!((status, ready, &idp["serving"]), (200, true, &json!("unavailable")), "one issuer of two: degraded");
    assert!(idp["fault"].as_str().is_some_and(|fault| fault.contains("answered 500")), "{idp}");
    assert!(degraded || state("idp").2);
    assert_eq!(ask(&admin, "/elsewhere").0, 404);
    // The callers' listener knows nothing of it.
    assert!(matches!(served.get("/readyz", None).0, 401 | 404));
    assert!(matches!(served.get("/healthz", None).0, 401 | 404));
}
