//! What reaches the upstream, byte for byte, and what comes back.

use crate::rig::{HOST, Options, Rig, outcome, read_answer};
use serde_json::Value;
use std::io::{BufReader, Write};

#[test]
fn a_permitted_request_arrives_as_decided_and_the_record_tells_it() {
    let mut rig = Rig::start();
    let token = rig.token();
    let answer = rig.send(&format!(
        "POST /api/orders?day=1 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nContent-Length: 5\r\nX-Request-Id: mine\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nX_Airgate_Request_Id: forged\r\nX-Forwarded-For: 6.6.6.6\r\n\
         Connection: X-Airgate-Request-Id\r\n\r\nhello"
    ));
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
    let received = rig.upstream.received();
    assert_eq!(received.len(), 1);
    let arrived = &received[0];
    assert!(arrived.head.starts_with("POST /api/orders?day=1 HTTP/1.1\r\n"), "{}", arrived.head);
    assert_eq!(arrived.body, b"hello");
    assert_eq!(arrived.field("x-airgate-request-id"), vec![answer.field("airgate-request-id").unwrap()]);
    assert_eq!(arrived.field("host"), vec![rig.upstream.address().to_string()]);
    assert_eq!(arrived.field("x-forwarded-for"), vec!["127.0.0.1"]);
    assert_eq!(arrived.field("authorization"), Vec::<&str>::new());
    assert!(!arrived.head.contains("forged") && !arrived.head.contains(&token));

    let index = answer.entry();
    let entries = rig.entries();
    let intent = &entries[usize::try_from(index).unwrap()];
    assert_eq!(intent["kind"], "intent");
    assert_eq!(intent["path"], "/api/orders");
    assert_eq!(intent["client_request_id"], "mine");
    assert_eq!(intent["windows_identity"], "svc-orders@corp.example");
    assert_eq!(intent["principal"]["job"]["task_id"], "load");
    assert_eq!(intent["grant"], "nightly-orders");
    assert_eq!(intent["code"], "permitted");
    assert!(intent["traceparent"].as_str().unwrap().contains("4bf92f3577b34da6a3ce929d0e0e4736"));
    let end = outcome(&entries, index);
    assert_eq!(
        (&end["ending"], &end["status"], &end["bytes_in"], &end["bytes_out"]),
        (&"completed".into(), &200.into(), &5.into(), &5.into())
    );
    assert!(!serde_json::to_string(&entries).unwrap().contains(&token[20..60]));
}

#[test]
fn the_intent_is_durable_before_the_upstream_sees_anything() {
    let rig = Rig::start();
    let mut stream = rig.connect();
    stream.write_all(rig.request("GET", "/silent", "").as_bytes()).unwrap();
    while rig.upstream.received().is_empty() {
        std::thread::yield_now();
    }
    // The upstream has it and has not answered: a reader of the log's files alone must find the intent already.
    let request_id = Some(rig.upstream.received()[0].field("x-airgate-request-id")[0].to_owned());
    let query = airgate_audit::Query { request_id, ..airgate_audit::Query::default() };
    let found = airgate_audit::search(&rig.folder.path().join("log"), &query).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind, &found[0].outcome), ("intent", &None));
}

#[test]
fn nothing_of_the_sign_in_or_of_our_names_comes_back() {
    let rig = Rig::start();
    let answer = rig.get("/chatty");
    assert_eq!((answer.status, answer.field("x-app")), (200, Some("yes")));
    for name in ["x-hop", "keep-alive", "persistent-auth", "www-authenticate", "x_airgate_request_id"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_ne!(answer.field("airgate-entry"), Some("7"));
}

#[test]
fn connections_are_kept_on_both_sides() {
    let rig = Rig::start();
    let stream = rig.connect();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..20 {
        (&stream).write_all(rig.request("GET", "/api/x", "").as_bytes()).unwrap();
        assert_eq!(read_answer(&mut reader, false).unwrap().status, 200);
    }
    assert_eq!(rig.upstream.connections(), 1);
}

#[test]
fn an_idle_connection_that_the_upstream_closed_is_replaced_unseen() {
    let rig = Rig::start();
    for _ in 0..20 {
        assert_eq!(rig.get("/api/x").status, 200);
        rig.upstream.hang_up();
        assert_eq!(rig.send(&format!("{}hello", rig.request("POST", "/api/x", "Content-Length: 5\r\n"))).status, 200);
        assert_eq!(rig.get("/close").status, 200);
    }
}

#[test]
fn chunked_bodies_are_reframed() {
    let rig = Rig::start();
    let request = rig.request("POST", "/api/x", "Transfer-Encoding: chunked\r\n");
    let answer = rig.send(&format!("{request}5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: evil\r\n\r\n"));
    assert_eq!(answer.body, b"hello world");
    let head = rig.upstream.received()[0].head.to_lowercase();
    assert!(!head.contains("ext=1") && !head.contains("trailer"), "{head}");
}

#[test]
fn large_bodies_stream_in_constant_memory() {
    const SIZE: usize = 64 << 20;
    let rig = Rig::start();
    let before = resident_kib();
    let answer = rig.get(&format!("/big/{SIZE}"));
    assert_eq!(answer.body.len(), SIZE);
    drop(answer);
    // Upload: the upstream stops reading after 1 KiB; a gateway that buffered would take all that we write.
    let mut stream = rig.connect();
    stream.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    stream.write_all(rig.request("POST", "/unread", &format!("Content-Length: {SIZE}\r\n")).as_bytes()).unwrap();
    let block = vec![b'x'; 1 << 20];
    let taken = (0..64).take_while(|_| stream.write_all(&block).is_ok()).count();
    assert!(taken < 32, "the gateway took {taken} MiB of a body that nobody reads");
    assert!(resident_kib() < before + 200 * 1024, "grew from {before} KiB to {} KiB", resident_kib());
}

fn resident_kib() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
}

#[test]
fn assertions_are_signed_for_the_upstream_and_their_keys_are_served() {
    let rig = Rig::with(Options { assertion: true, ..Options::default() });
    assert_eq!(rig.get("/api/x").status, 200);
    assert_eq!(rig.get("/api/x").status, 200);
    let keys = rig.send(&format!("GET /.well-known/jwks.json HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    let keys: Value = serde_json::from_slice(&keys.body).unwrap();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys).unwrap();
    let mut ids = std::collections::HashSet::new();
    for received in rig.upstream.received() {
        let token = received.field("authorization")[0].strip_prefix("Bearer ").unwrap().to_owned();
        let head = jsonwebtoken::decode_header(&token).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&head.kid.unwrap()).unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(head.alg);
        rules.set_audience(&["https://iis.example"]);
        rules.set_issuer(&["https://gw.example"]);
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &rules).unwrap().claims;
        assert_eq!(claims["dag_id"], "nightly_orders");
        assert_eq!(claims["windows_identity"], "svc-orders@corp.example");
        assert!(claims["exp"].as_u64().unwrap() <= crate::rig::unix_now() + 300);
        ids.insert(claims["jti"].to_string());
    }
    assert_eq!(ids.len(), 2, "a fresh assertion for each request");
}
