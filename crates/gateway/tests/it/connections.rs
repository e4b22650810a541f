//! Callers that are slow, that vanish, that are many; HTTP/2; the end of serving.

use crate::rig::{HOST, Options, Rig, Tls, outcome, read_answer};
use airgate_gateway::Limits;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use std::{
    io::{BufReader, Read, Write},
    time::{Duration, Instant},
};

#[test]
fn a_caller_that_leaves_is_an_outcome() {
    let mut rig = Rig::start();
    let mut stream = rig.connect();
    stream.write_all(rig.request("GET", "/silent", "").as_bytes()).unwrap();
    while rig.upstream.received().is_empty() {
        std::thread::yield_now();
    }
    drop(stream);
    let entries = rig.entries();
    let intent = entries.iter().position(|e| e["kind"] == "intent").unwrap();
    assert_eq!(outcome(&entries, intent as u64)["ending"], "client_disconnected");
}

#[test]
fn a_caller_that_stops_sending_its_body_is_408_in_time() {
    let mut rig = Rig::start();
    let mut stream = rig.connect();
    stream.write_all(rig.request("POST", "/api/x", "Content-Length: 100\r\n").as_bytes()).unwrap();
    stream.write_all(b"some").unwrap();
    let answer = read_answer(&mut BufReader::new(stream), false).unwrap();
    assert_eq!((answer.status, answer.problem()["code"].as_str()), (408, Some("body_timeout")));
    let entries = rig.entries();
    assert_eq!(outcome(&entries, answer.entry())["bytes_in"], 4);
}

#[test]
fn a_caller_that_stops_reading_is_cut_off() {
    let mut rig = Rig::start();
    let mut stream = rig.connect();
    stream.write_all(rig.request("GET", "/big/67108864", "").as_bytes()).unwrap();
    let mut some = [0; 1024];
    stream.read_exact(&mut some).unwrap();
    let started = Instant::now();
    // The gateway gives up on its own: the upstream's connection closes while ours stays open, unread.
    let closed = loop {
        if rig.upstream.received().len() == 1 && Instant::now() > started + Duration::from_secs(3) {
            break true;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert!(closed);
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    assert!(end.is_err() || rest.len() < 60 << 20, "the answer was cut");
    let entries = rig.entries();
    let intent = entries.iter().position(|e| e["kind"] == "intent").unwrap();
    assert_eq!(outcome(&entries, intent as u64)["ending"], "client_disconnected");
}

#[test]
fn a_slow_head_is_cut_off_in_time() {
    let rig = Rig::with(Options {
        limits: Limits { header_timeout: Duration::from_millis(400), ..Limits::default() },
        ..Options::default()
    });
    let mut stream = rig.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: or").unwrap();
    let started = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let rig = Rig::with(Options { limits: Limits { connections_max: 2, ..Limits::default() }, ..Options::default() });
    let keep: Vec<_> = (0..2)
        .map(|_| {
            let stream = rig.connect();
            (&stream).write_all(rig.request("GET", "/api/x", "").as_bytes()).unwrap();
            assert_eq!(read_answer(&mut BufReader::new(stream.try_clone().unwrap()), false).unwrap().status, 200);
            stream
        })
        .collect();
    let mut third = rig.connect();
    let mut nothing = Vec::new();
    let _ = third.write_all(rig.request("GET", "/api/x", "").as_bytes());
    // Closed, not merely left waiting: that would end in a time-out here.
    match third.read_to_end(&mut nothing) {
        Ok(read) => assert_eq!(read, 0, "answered: {}", String::from_utf8_lossy(&nothing)),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    drop(keep);
}

#[test]
fn requests_in_flight_end_before_the_gateway_does() {
    let mut rig = Rig::with(Options { answer_timeout: Duration::from_secs(10), ..Options::default() });
    let mut stream = rig.connect();
    // Half a body: the request is in flight until we send the rest.
    stream.write_all(rig.request("POST", "/api/x", "Content-Length: 10\r\n").as_bytes()).unwrap();
    stream.write_all(b"01234").unwrap();
    while rig.upstream.received().is_empty() {
        std::thread::yield_now();
    }
    rig.begin_stop();
    // No new connection gets through any more ...
    let refused = (0..200).any(|_| {
        std::thread::park_timeout(Duration::from_millis(5));
        std::net::TcpStream::connect(rig.address).is_err()
    });
    assert!(refused, "the listener is still open");
    // ... but this one ends as it should.
    stream.write_all(b"56789").unwrap();
    let answer = read_answer(&mut BufReader::new(stream), false).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"0123456789".as_slice()));
    assert!(rig.stop(), "drained in time");
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let limits = Limits { drain_timeout: Duration::from_millis(300), ..Options::default().limits };
    let mut rig = Rig::with(Options { limits, answer_timeout: Duration::from_secs(60), ..Options::default() });
    let mut stream = rig.connect();
    stream.write_all(rig.request("GET", "/silent", "").as_bytes()).unwrap();
    while rig.upstream.received().is_empty() {
        std::thread::yield_now();
    }
    let started = Instant::now();
    assert!(!rig.stop(), "a request was still in flight");
    assert!(started.elapsed() < Duration::from_secs(3));
    let entries = rig.entries();
    let intent = entries.iter().position(|e| e["kind"] == "intent").unwrap();
    assert_eq!(outcome(&entries, intent as u64)["ending"], "client_disconnected");
}

fn tls_rig() -> (Rig, Tls) {
    let tls = Tls::new();
    (Rig::with(Options { tls: Some(tls.files.clone()), ..Options::default() }), tls)
}

async fn tls_connect(rig: &Rig, tls: &Tls, alpn: &[u8]) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let tcp = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from(HOST).unwrap();
    tokio_rustls::TlsConnector::from(tls.caller(alpn, None)).connect(name, tcp).await.unwrap()
}

#[tokio::test]
async fn http2_over_tls_carries_many_requests_at_a_time() {
    let (rig, tls) = tls_rig();
    let stream = tls_connect(&rig, &tls, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let executor = hyper_util::rt::TokioExecutor::new();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut all = Vec::new();
    for n in 0..50 {
        let mut sender = sender.clone();
        let request = http::Request::post(format!("https://{HOST}/api/{n}"))
            .header("authorization", format!("Bearer {}", rig.token()))
            .body(Full::new(Bytes::from(format!("body {n}"))))
            .unwrap();
        all.push(tokio::spawn(async move {
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(answer.headers().contains_key("airgate-entry"));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("body {n}"));
        }));
    }
    for one in all {
        one.await.unwrap();
    }
    for received in rig.upstream.received() {
        let path = received.head.split(' ').nth(1).unwrap();
        assert_eq!(
            format!("/api/{}", std::str::from_utf8(&received.body).unwrap().strip_prefix("body ").unwrap()),
            path
        );
    }
}

#[tokio::test]
async fn http2_refusals_are_problem_documents_too() {
    let (rig, tls) = tls_rig();
    let stream = tls_connect(&rig, &tls, b"h2").await;
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (uri, status) in [
        ("https://orders.example/api/%2E%2E/x", 400),
        ("https://nowhere.example/api/x", 404),
        ("https://orders.example/api/x", 401),
    ] {
        let answer = sender.send_request(http::Request::get(uri).body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{uri}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn http1_over_tls() {
    let (rig, tls) = tls_rig();
    let stream = tls_connect(&rig, &tls, b"http/1.1").await;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::get("/api/x").header("host", HOST).header("authorization", format!("Bearer {}", rig.token()));
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(rig.upstream.received()[0].field("x-forwarded-proto"), vec!["https"]);
}
