//! An issuer that changes its keys under load, and one whose endpoint dies.

use crate::rig::{AUDIENCE, HOST, Options, Rig, read_answer, unix_now};
use airgate_identity::{Algorithm, HttpSettings, KeySource, Place, Remote, Timing, Verifier};
use airgate_testkit::{KeyServer, TestCa, TestIssuer};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{BufReader, Write as _},
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const SWAP: Duration = Duration::from_secs(2);
const DRILL: Duration = Duration::from_secs(60);
/// Known keys serve so long once the endpoint is dead.
const STALE_MAX: Duration = Duration::from_secs(3);
const CALLERS: usize = 4;
/// Between two requests of one caller: load, but not all of the machine's.
const PACE: Duration = Duration::from_millis(8);

/// The key that signs now, and the one before, whose tokens are still about.
struct Keys {
    current: TestIssuer,
    previous: Option<TestIssuer>,
}

/// One caller until `stop`: tokens of the current key and of the one before in turn, each used once. Counts the answers.
fn call(rig: &Rig, keys: &RwLock<Keys>, stop: &AtomicBool, answers: &Mutex<BTreeMap<String, usize>>) {
    let mut reader = BufReader::new(rig.connect());
    let mut number = 0;
    while !stop.load(Ordering::Acquire) {
        number += 1;
        let token = {
            let keys = keys.read().unwrap_or_else(PoisonError::into_inner);
            let issuer = keys.previous.as_ref().filter(|_| number % 2 == 0).unwrap_or(&keys.current);
            let mut claims = issuer.job_claims("nightly_orders", "load", AUDIENCE, unix_now());
            claims["jti"] = json!(format!("{:?}-{number}", std::thread::current().id()));
            issuer.token(claims)
        };
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n");
        reader.get_mut().write_all(request.as_bytes()).unwrap();
        let answer = read_answer(&mut reader, false).unwrap();
        let said = if answer.status == 200 { "200".to_owned() } else { answer.problem()["code"].to_string() };
        *answers.lock().unwrap_or_else(PoisonError::into_inner).entry(said).or_default() += 1;
        std::thread::sleep(PACE);
    }
}

fn publish(server: &KeyServer, keys: &Keys) {
    let all: Vec<_> = std::iter::once(&keys.current).chain(&keys.previous).map(TestIssuer::jwk).collect();
    server.answer_keys(&json!({ "keys": all }));
}

/// An issuer whose keys are fetched, a gateway that trusts it, and what keeps both alive.
struct Fetched {
    rig: Rig,
    server: KeyServer,
    _background: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

fn fetched(issuer: &TestIssuer, timing: Timing) -> Fetched {
    let (ca, folder) = (TestCa::new(), tempfile::tempdir().unwrap());
    let server = issuer.serve(&ca);
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca.pem()).unwrap();
    let http = HttpSettings { ca_file: Some(ca_file), ..HttpSettings::default() };
    let keys = KeySource::Remote(Remote { place: Place::KeySet(server.url().to_owned()), http });
    let mut config = issuer.config("airflow", AUDIENCE, keys);
    config.timing = timing;
    let verifier = Verifier::new(vec![config]).unwrap();
    let background = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    verifier.start(background.handle());
    let rig = Rig::with(Options { verifier: Some(verifier), ..Options::default() });
    Fetched { rig, server, _background: background, _folder: folder }
}

/// With the settings that everybody gets: no valid request is refused, though each new key is used the moment it is published.
#[test]
fn keys_that_change_every_two_seconds_under_load_refuse_nobody() {
    let first = TestIssuer::new(Algorithm::EdDsa).with_kid("key-0");
    let Fetched { rig, server, .. } = &fetched(&first, Timing::default());
    let keys = RwLock::new(Keys { current: first, previous: None });
    let (stop, answers) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    let mut swaps = 0;
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| call(rig, &keys, &stop, &answers));
        }
        let began = Instant::now();
        while began.elapsed() < DRILL {
            std::thread::sleep(SWAP);
            swaps += 1;
            let next = TestIssuer::new(Algorithm::EdDsa).with_kid(&format!("key-{swaps}"));
            let mut keys = keys.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut keys.current, next);
            keys.previous = Some(before);
            // Published with the one before, and used from this moment on: the lock is let go after it.
            publish(server, &keys);
        }
        stop.store(true, Ordering::Release);
    });
    let answers = answers.into_inner().unwrap();
    eprintln!("{swaps} changes of keys, answers {answers:?}, {} fetches", server.hits());
    assert!(swaps >= 29 && answers.get("200").is_some_and(|served| *served > 1_000), "{swaps} {answers:?}");
    assert_eq!(answers.len(), 1, "{answers:?}");
    // One fetch finds each new key, whoever waits for it; a refresh or two come on top.
    assert!(server.hits() <= swaps + 3, "{} fetches for {swaps} changes", server.hits());
}

#[test]
fn a_dead_endpoint_serves_for_the_bound_and_then_refuses_with_that_reason() {
    let second = Duration::from_secs(1);
    let timing = Timing { refresh_min: second, refresh_max: second, stale_max: STALE_MAX, ..Timing::default() };
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let mut fetched = fetched(&issuer, timing);
    let ask = |rig: &Rig| {
        let token = issuer.token(issuer.job_claims("nightly_orders", "load", AUDIENCE, unix_now()));
        rig.send(&format!("GET /api/orders HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n"))
    };
    assert_eq!(ask(&fetched.rig).status, 200);
    fetched.server.stop();
    let dead = Instant::now();
    let mut last = ask(&fetched.rig);
    assert_eq!(last.status, 200, "known keys serve");
    while last.status == 200 && dead.elapsed() < STALE_MAX * 4 {
        std::thread::sleep(PACE);
        last = ask(&fetched.rig);
    }
    let served_for = dead.elapsed();
    assert_eq!((last.status, &last.problem()["code"]), (503, &json!("keys_unavailable")));
    assert_eq!(last.field("retry-after"), Some("5"));
    // The last good answer came at most a refresh before the end of the endpoint, and was fresh for one refresh.
    let bounds = STALE_MAX.saturating_sub(second)..STALE_MAX + second * 2;
    assert!(bounds.contains(&served_for), "{served_for:?}");
}
