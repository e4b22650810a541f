//! A flood of tokens whose `kid` nobody knows: how often the issuer is asked for its keys, and what the other callers notice.
//!
//! `cargo bench -p airgate-gateway --bench flood`. Exit code 1 where the issuer is asked more than once per cool-down, or where
//! the other callers' p99 more than doubles.

#[path = "../tests/it/rig.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "made for the tests, which use more of it"
)]
mod rig;

use airgate_identity::{Algorithm, HttpSettings, KeySource, Place, Remote, Timing, Verifier};
use airgate_testkit::{KeyServer, TestCa, TestIssuer};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rig::{AUDIENCE, HOST, Options, Rig, read_answer, unix_now};
use serde_json::json;
use std::{
    io::{BufReader, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

const ROUNDS: usize = 6;
/// Of each half of a round: quiet, then flooded.
const HALF: Duration = Duration::from_secs(5);
const CALLERS: usize = 4;
/// A caller sends this often, whether or not it was answered in time.
const CALL_EVERY: Duration = Duration::from_millis(4);
const FLOODERS: usize = 8;
const FLOOD_EVERY: Duration = Duration::from_millis(8);
/// What the others may notice of it.
const RATIO_MAX: f64 = 2.0;

/// What the callers and the flood were answered in one half.
struct Half {
    latencies: Vec<Duration>,
    refused: usize,
}

/// Sends the tokens on one connection, each at its time. Gives the latencies, counted from when a request was due, so that one
/// slow answer counts for all that it holds up.
fn send(rig: &Rig, every: Duration, tokens: &[String], status: u16) -> Vec<Duration> {
    let mut reader = BufReader::new(rig.connect());
    let began = Instant::now();
    let sent = tokens.iter().zip(0_u32..).map(|(token, position)| {
        let due = began + every * position;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n");
        reader.get_mut().write_all(request.as_bytes()).expect("the gateway reads");
        let answer = read_answer(&mut reader, false).expect("the gateway answers");
        assert_eq!(answer.status, status, "{answer:?}");
        due.elapsed()
    });
    sent.collect()
}

/// A job's token, and one of a key that nobody has. Its signature is never looked at: there is no key to check it with.
fn token(issuer: &TestIssuer, unknown_kid: Option<usize>) -> String {
    let token = issuer.token(issuer.job_claims("nightly_orders", "load", AUDIENCE, unix_now()));
    let Some(number) = unknown_kid else { return token };
    let mut header = issuer.header();
    header["kid"] = json!(format!("unknown-{number}"));
    let (_, rest) = token.split_once('.').expect("a token");
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

fn calls(every: Duration) -> usize {
    usize::try_from(HALF.as_micros() / every.as_micros()).expect("a count")
}

fn half(rig: &Rig, issuer: &TestIssuer, flooders: usize, numbers: &mut std::ops::RangeFrom<usize>) -> Half {
    // Made beforehand: making them must not weigh on what is measured.
    let good: Vec<Vec<String>> = (0..CALLERS).map(|_| vec![token(issuer, None); calls(CALL_EVERY)]).collect();
    let bad: Vec<Vec<String>> = (0..flooders)
        .map(|_| numbers.by_ref().take(calls(FLOOD_EVERY)).map(|number| token(issuer, Some(number))).collect())
        .collect();
    std::thread::scope(|scope| {
        let flood: Vec<_> = bad.iter().map(|tokens| scope.spawn(|| send(rig, FLOOD_EVERY, tokens, 401))).collect();
        let callers: Vec<_> = good.iter().map(|tokens| scope.spawn(|| send(rig, CALL_EVERY, tokens, 200))).collect();
        Half {
            latencies: callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect(),
            refused: flood.into_iter().map(|flooder| flooder.join().expect("a flooder").len()).sum(),
        }
    })
}

fn percentile(latencies: &mut [Duration], percent: usize) -> Duration {
    latencies.sort_unstable();
    latencies[(latencies.len() * percent).div_ceil(100).max(1) - 1]
}

/// An issuer whose keys are fetched over TLS, with the settings that everybody gets.
fn fetched(server: &KeyServer, ca: &TestCa, issuer: &TestIssuer, folder: &std::path::Path) -> Verifier {
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, ca.pem()).expect("a file");
    let http = HttpSettings { ca_file: Some(ca_file), ..HttpSettings::default() };
    let keys = KeySource::Remote(Remote { place: Place::KeySet(server.url().to_owned()), http });
    Verifier::new(vec![issuer.config("airflow", AUDIENCE, keys)]).expect("an issuer")
}

fn main() -> ExitCode {
    let (ca, folder) = (TestCa::new(), tempfile::tempdir().expect("a folder"));
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let server = issuer.serve(&ca);
    let verifier = fetched(&server, &ca, &issuer, folder.path());
    let background = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let background = background.expect("a runtime");
    verifier.start(background.handle());
    let rig = Rig::with(Options { verifier: Some(verifier), ..Options::default() });
    let mut numbers = 0..;
    half(&rig, &issuer, 0, &mut numbers);

    let mut rounds = Vec::new();
    let (fetches, began) = (server.hits(), Instant::now());
    for round in 1..=ROUNDS {
        eprint!("\rround {round} of {ROUNDS}");
        let quiet = half(&rig, &issuer, 0, &mut numbers);
        rounds.push([quiet, half(&rig, &issuer, FLOODERS, &mut numbers)]);
    }
    let (took, fetches) = (began.elapsed(), server.hits() - fetches);
    eprintln!();
    let late = report(&mut rounds);
    let cool_down = Timing::default().cool_down;
    let fetches_max = usize::try_from(took.as_secs() / cool_down.as_secs()).expect("a count") + 1;
    let flooded: usize = rounds.iter().map(|[_, flooded]| flooded.refused).sum();
    let ratio = late[1].as_secs_f64() / late[0].as_secs_f64();
    let holds = (1..=fetches_max).contains(&fetches) && ratio <= RATIO_MAX;
    println!("{flooded} unknown keys in {:.0} s: {fetches} fetches, at most {fetches_max}", took.as_secs_f64());
    let verdict = if holds { "holds" } else { "FAILS" };
    println!("p99 of the others, median of the rounds: {ratio:.2} of the quiet one, at most {RATIO_MAX:.2}: {verdict}");
    ExitCode::from(u8::from(!holds))
}

/// A line for each half. The median of the rounds' p99, quiet and flooded: one stall of the disk decides nothing.
fn report(rounds: &mut [[Half; 2]]) -> [Duration; 2] {
    println!("{:<16} {:>8} {:>8} {:>8} {:>8}", "", "answers", "p50 µs", "p99 µs", "refused");
    let mut late = [Vec::new(), Vec::new()];
    for (round, halves) in rounds.iter_mut().enumerate() {
        for (side, half) in halves.iter_mut().enumerate() {
            let (median, p99) = (percentile(&mut half.latencies, 50), percentile(&mut half.latencies, 99));
            let name = format!("{} {}", round + 1, ["quiet", "flooded"][side]);
            let (answers, refused) = (half.latencies.len(), half.refused);
            println!("{name:<16} {answers:>8} {:>8} {:>8} {refused:>8}", median.as_micros(), p99.as_micros());
            late[side].push(p99);
        }
    }
    late.map(|mut late| percentile(&mut late, 50))
}
