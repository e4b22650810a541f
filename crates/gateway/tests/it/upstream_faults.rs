//! What an upstream can do to us: each has its status, its time bound and its outcome entry.

use crate::rig::{Options, Rig, outcome, read_answer};
use serde_json::Value;
use std::{
    io::{BufReader, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

fn expect(rig: &mut Rig, answer: &crate::rig::Answer, status: u16, code: &str, ending: &str) {
    assert_eq!((answer.status, answer.problem()["code"].as_str()), (status, Some(code)), "{answer:?}");
    let entries = rig.entries();
    let end: &Value = outcome(&entries, answer.entry());
    assert_eq!(
        (end["ending"].as_str(), end["code"].as_str(), end["status"].as_u64()),
        (Some(ending), Some(code), Some(u64::from(status))),
        "{end}"
    );
}

#[test]
fn refused_connection_is_502() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut rig = Rig::with(Options { upstream: Some(closed), ..Options::default() });
    let answer = rig.get("/api/x");
    expect(&mut rig, &answer, 502, "upstream_unreachable", "upstream_failed");
}

#[test]
fn connection_that_is_never_accepted_is_504_in_time() {
    // A listener whose backlog is full: the kernel drops further SYNs.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let fill: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))).collect();
    let mut rig = Rig::with(Options {
        upstream: Some(address),
        connect_timeout: Duration::from_millis(500),
        ..Options::default()
    });
    let started = Instant::now();
    let answer = rig.get("/api/x");
    assert!(started.elapsed() < Duration::from_secs(3));
    expect(&mut rig, &answer, 504, "upstream_connect_timeout", "timed_out");
    drop(fill);
}

#[test]
fn silence_is_504_in_time() {
    let mut rig = Rig::start();
    let started = Instant::now();
    let answer = rig.get("/silent");
    assert!(
        started.elapsed() >= Duration::from_millis(600) && started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    expect(&mut rig, &answer, 504, "upstream_answer_timeout", "timed_out");
}

#[test]
fn reset_before_the_answer_is_502() {
    let mut rig = Rig::start();
    let answer = rig.get("/reset-before-head");
    expect(&mut rig, &answer, 502, "upstream_closed", "upstream_failed");
}

#[test]
fn reset_in_the_middle_of_an_upload_is_502() {
    let mut rig = Rig::start();
    let body = "x".repeat(4096);
    let answer = rig.send(&format!("{}{body}", rig.request("POST", "/reset-mid-upload", "Content-Length: 4096\r\n")));
    expect(&mut rig, &answer, 502, "upstream_closed", "upstream_failed");
}

#[test]
fn upstream_that_does_not_read_is_504_in_time() {
    let mut rig = Rig::start();
    const SIZE: usize = 64 << 20;
    let mut stream = rig.connect();
    let request = rig.request("POST", "/unread", &format!("Content-Length: {SIZE}\r\n"));
    let reader = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let _ = stream.write_all(request.as_bytes());
        let block = vec![b'x'; 1 << 20];
        while stream.write_all(&block).is_ok() {}
    });
    let answer = read_answer(&mut BufReader::new(reader), false).unwrap();
    expect(&mut rig, &answer, 504, "upstream_stalled", "timed_out");
    writing.join().unwrap();
}

#[test]
fn reset_in_the_middle_of_an_answer_cuts_the_answer_and_closes_the_entry() {
    let mut rig = Rig::start();
    let answer = rig.get("/reset-mid-answer");
    assert!(answer.cut && answer.status == 200, "{answer:?}");
    let entries = rig.entries();
    let end = outcome(&entries, answer.entry());
    assert_eq!((end["ending"].as_str(), end["code"].as_str()), (Some("upstream_failed"), Some("upstream_closed")));
}

#[test]
fn stall_in_the_middle_of_an_answer_is_cut_in_time() {
    let mut rig = Rig::start();
    let started = Instant::now();
    let answer = rig.get("/stall-answer");
    assert!(answer.cut && started.elapsed() < Duration::from_secs(4));
    let entries = rig.entries();
    let end = outcome(&entries, answer.entry());
    assert_eq!(
        (end["ending"].as_str(), end["code"].as_str(), end["bytes_out"].as_u64()),
        (Some("timed_out"), Some("upstream_body_timeout"), Some(10))
    );
}

#[test]
fn a_401_of_the_upstream_is_not_ours() {
    let mut rig = Rig::start();
    let answer = rig.get("/unauthorized");
    assert_eq!(answer.field("www-authenticate"), None);
    expect(&mut rig, &answer, 502, "upstream_refused_sign_in", "upstream_failed");
}

#[test]
fn a_protocol_switch_that_nobody_asked_for_is_502() {
    let mut rig = Rig::start();
    let answer = rig.send(&rig.request("GET", "/switch", "Connection: upgrade\r\nUpgrade: raw\r\n"));
    assert!(rig.upstream.received()[0].field("upgrade").is_empty());
    expect(&mut rig, &answer, 502, "upstream_closed", "upstream_failed");
}

#[test]
fn after_a_failure_the_next_request_has_a_connection_of_its_own() {
    let rig = Rig::start();
    for path in ["/reset-before-head", "/unauthorized", "/stall-answer"] {
        rig.get(path);
        let before = rig.upstream.connections();
        assert_eq!(rig.get("/api/x").status, 200);
        assert_eq!(rig.upstream.connections(), before + 1, "{path}");
        rig.upstream.hang_up();
    }
}
