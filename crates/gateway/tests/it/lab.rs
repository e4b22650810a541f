//! Against a real domain controller and a real Negotiate acceptor (Samba and Apache, not Active Directory and IIS).
//!
//! Runs where `AIRGATE_LAB` names a lab's state folder and the test is inside its namespace; `make test` does both.

use crate::rig::{AUDIENCE, Answer, Options, Rig, read_answer, unix_now};
use airgate_gateway::{Accepts, Match, RouteConfig, Scheme, UpstreamConfig};
use airgate_policy::{Allow, Grant, Policy, Role};
use airgate_signin::{KerberosConfig, SignInConfig};
use serde_json::Value;
use std::{
    collections::HashSet,
    io::{BufReader, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

const KDC_TIMEOUT: Duration = Duration::from_secs(2);

/// The lab's description, or one line that says why the test did nothing.
fn lab() -> Option<Value> {
    #[allow(clippy::disallowed_methods)]
    let Ok(folder) = std::env::var("AIRGATE_LAB") else {
        println!("skipped: AIRGATE_LAB does not name a running lab");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(PathBuf::from(folder).join("lab.json")).unwrap()).unwrap())
}

fn text(lab: &Value, name: &str) -> String {
    lab[name].as_str().unwrap_or_else(|| panic!("lab.json has no `{name}`")).to_owned()
}

/// Routes `per-request`, `bound` and `open` (which asks for no sign-in, and so proves no identity); DAG `alice` is LAB\alice there, `bob` LAB\bob, and so on.
fn rig(lab: &Value) -> Rig {
    let upstream = |name: &str, port| UpstreamConfig {
        name: name.into(),
        scheme: Scheme::Https,
        host: "iis.lab.test".into(),
        port,
        ca_file: Some(text(lab, "ca").into()),
        sign_in: SignInConfig::Kerberos(KerberosConfig {
            spn: text(lab, "spn"),
            keytab: text(lab, "keytab").into(),
            principal: text(lab, "principal"),
            kdc_timeout: KDC_TIMEOUT,
            credential_lifetime_max: Duration::from_secs(900),
        }),
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(20),
        connections_max: 64,
    };
    let route = |name: &str| RouteConfig {
        name: name.into(),
        matches: Match::Host(format!("{name}.example")),
        upstream: name.into(),
        accepts: Accepts::default(),
    };
    let allow = |route: &str| Allow { route: route.into(), methods: vec!["GET".into()], paths: vec!["/echo".into()] };
    let grant = |user: &str| Grant {
        name: user.into(),
        issuer: "airflow".into(),
        conditions: [("dag_id".to_owned(), vec![user.to_owned()])].into(),
        role: "reader".into(),
        windows_identity: Some(format!("{user}@LAB.TEST")),
    };
    let grants =
        ["alice", "bob", "svc-orders", "svc-reports", "disabled", "admin-sensitive", "nobody-here"].map(grant).to_vec();
    let roles = vec![Role { name: "reader".into(), allow: ["per-request", "bound", "open"].map(allow).to_vec() }];
    let policy = Policy::compile(roles, grants, vec![]).unwrap();
    let upstreams = vec![upstream("per-request", 8443), upstream("bound", 8444), upstream("open", 8445)];
    let world = (upstreams, ["per-request", "bound", "open"].map(route).to_vec(), policy);
    Rig::with(Options { world: Some(world), threads: 2, ..Options::default() })
}

fn request(rig: &Rig, host: &str, user: &str) -> String {
    let token = rig.issuer.token(rig.issuer.job_claims(user, "load", AUDIENCE, unix_now()));
    format!("GET /echo HTTP/1.1\r\nHost: {host}.example\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn ask(rig: &Rig, host: &str, user: &str) -> Answer {
    rig.send(&request(rig, host, user))
}

fn user_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{} {}", answer.head, String::from_utf8_lossy(&answer.body));
    serde_json::from_slice::<Value>(&answer.body).unwrap()["user"].as_str().unwrap_or("-").to_owned()
}

/// Pauses, continues, stops or starts the lab's KDC.
fn kdc(lab: &Value, action: &str) {
    let control: Vec<&str> = lab["control"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    let done = Command::new(control[0]).args(&control[1..]).args(["kdc", action]).output().unwrap();
    assert!(done.status.success(), "kdc {action}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_upstream_sees_the_mapped_identity_and_the_record_says_so() {
    let Some(lab) = lab() else { return };
    let mut rig = rig(&lab);
    for host in ["per-request", "bound"] {
        assert_eq!(user_of(&ask(&rig, host, "alice")), "alice@LAB.TEST");
        assert_eq!(user_of(&ask(&rig, host, "svc-orders")), "svc-orders@LAB.TEST");
    }
    let entries = rig.entries();
    let named: HashSet<&str> = entries.iter().filter_map(|e| e["windows_identity"].as_str()).collect();
    assert_eq!(named, HashSet::from(["alice@LAB.TEST", "svc-orders@LAB.TEST"]));
}

/// Whoever answers without proving that it holds the service's key may be anybody: its answer is not handed on.
#[test]
fn an_upstream_that_does_not_prove_itself_is_502() {
    let Some(lab) = lab() else { return };
    let mut rig = rig(&lab);
    let answer = ask(&rig, "open", "alice");
    assert_eq!((answer.status, answer.problem()["code"].as_str()), (502, Some("mutual_authentication_failed")));
    assert!(!String::from_utf8_lossy(&answer.body).contains("echo"), "nothing of the upstream's answer comes through");
    let entries = rig.entries();
    let end = crate::rig::outcome(&entries, answer.entry());
    assert_eq!((end["upstream_status"].as_u64(), end["status"].as_u64()), (Some(200), Some(502)));
}

/// INVARIANT 4 of the design, where it would hurt: an upstream that takes a whole connection as signed in.
#[test]
fn two_identities_interleaved_over_a_connection_bound_upstream_never_meet() {
    const WORKERS: usize = 8;
    const EACH: usize = 250;
    let Some(lab) = lab() else { return };
    let rig = rig(&lab);
    let ports: Vec<HashSet<(String, String)>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let rig = &rig;
                scope.spawn(move || {
                    let stream: TcpStream = rig.connect();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut seen = HashSet::new();
                    for n in 0..EACH {
                        let user = if (n + worker) % 2 == 0 { "alice" } else { "bob" };
                        (&stream).write_all(request(rig, "bound", user).as_bytes()).unwrap();
                        let answer = read_answer(&mut reader, false).unwrap();
                        assert_eq!(user_of(&answer), format!("{user}@LAB.TEST"));
                        let body: Value = serde_json::from_slice(&answer.body).unwrap();
                        seen.insert((body["connection"].as_str().unwrap().to_owned(), user.to_owned()));
                    }
                    seen
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let all: HashSet<(String, String)> = ports.into_iter().flatten().collect();
    let connections: HashSet<&String> = all.iter().map(|(port, _)| port).collect();
    assert_eq!(connections.len(), all.len(), "a connection served two identities");
    assert!(connections.len() < 100, "connections were kept: {} for {} requests", connections.len(), WORKERS * EACH);
}

#[test]
fn identities_that_the_domain_refuses_have_their_reason() {
    let Some(lab) = lab() else { return };
    let mut rig = rig(&lab);
    for (user, code) in [
        ("disabled", "identity_refused"),
        ("nobody-here", "identity_refused"),
        ("admin-sensitive", "delegation_refused"),
    ] {
        let answer = ask(&rig, "per-request", user);
        assert_eq!(answer.problem()["code"], code, "{user}: {}", answer.problem());
        assert!(answer.status == 502 || answer.status == 403, "{user}: {}", answer.status);
    }
    let entries = rig.entries();
    assert_eq!(entries.iter().filter(|e| e["kind"] == "outcome" && e["ending"] == "refused").count(), 3);
}

#[test]
fn silent_kdc_is_503_in_time_and_leaves_other_identities_working() {
    let Some(lab) = lab() else { return };
    let rig = rig(&lab);
    assert_eq!(user_of(&ask(&rig, "per-request", "alice")), "alice@LAB.TEST");
    kdc(&lab, "pause");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let started = Instant::now();
        let refused = ask(&rig, "per-request", "bob");
        let took = started.elapsed();
        assert_eq!(refused.status, 503, "{}", refused.problem());
        assert_eq!(refused.problem()["code"], "kdc_timeout");
        assert!(took < KDC_TIMEOUT + Duration::from_secs(2), "{took:?}");
        for _ in 0..20 {
            assert_eq!(user_of(&ask(&rig, "per-request", "alice")), "alice@LAB.TEST");
        }
    }));
    kdc(&lab, "continue");
    outcome.unwrap();
    recovers(&rig, "bob");
}

#[test]
fn dead_kdc_is_503_in_time_and_leaves_other_identities_working() {
    let Some(lab) = lab() else { return };
    let rig = rig(&lab);
    assert_eq!(user_of(&ask(&rig, "bound", "alice")), "alice@LAB.TEST");
    kdc(&lab, "stop");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let started = Instant::now();
        let refused = ask(&rig, "bound", "svc-reports");
        assert_eq!(refused.status, 503, "{}", refused.problem());
        assert!(started.elapsed() < KDC_TIMEOUT + Duration::from_secs(2));
        assert_eq!(user_of(&ask(&rig, "bound", "alice")), "alice@LAB.TEST");
    }));
    kdc(&lab, "start");
    outcome.unwrap();
    recovers(&rig, "svc-reports");
}

/// By itself, within a bound, once the cause is gone.
fn recovers(rig: &Rig, user: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask(rig, "per-request", user);
        if answer.status == 200 {
            assert_eq!(user_of(&answer), format!("{user}@LAB.TEST"));
            return;
        }
        assert!(Instant::now() < deadline, "still refused: {}", answer.problem());
        std::thread::park_timeout(Duration::from_millis(200));
    }
}
