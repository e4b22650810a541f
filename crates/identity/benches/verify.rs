//! What a token costs: verified anew, remembered, with a proof; and the crate `jsonwebtoken` beside it, in the same run.
//!
//! `cargo bench -p airgate-identity --bench verify`. Each figure is the median of rounds in which all cases take turns.

use airgate_identity::{
    Algorithm, DpopConfig, Expectation, Facts, KeySource, PresentedToken, RequestTarget, Tolerance, Verifier,
    VerifierConfig,
};
use airgate_testkit::{Prover, TestIssuer};
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value, json};
use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const AUDIENCE: &str = "https://gw.example";
const URL: &str = "https://gw.example/api/orders";
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(100);
const ALGORITHMS: [Algorithm; 3] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];

/// A name, and one operation.
type Case = (String, Box<dyn FnMut()>);

fn unix_now() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "`jsonwebtoken` reads this clock too")]
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

struct Gateway {
    verifier: Verifier,
    expected: Expectation,
    runtime: tokio::runtime::Runtime,
}

impl Gateway {
    fn new(issuer: &TestIssuer, folder: &Path, tokens_max: usize) -> Self {
        let path = folder.join(format!("{}.json", issuer.kid()));
        std::fs::write(&path, issuer.jwks().to_string()).expect("a file");
        let config = issuer.config("airflow", AUDIENCE, KeySource::File(path));
        let dpop = DpopConfig { replays_max: 10_000_000, ..DpopConfig::default() };
        let verifier = Verifier::with(vec![config], VerifierConfig { dpop, tokens_max }, Arc::new(Instant::now));
        let verifier = verifier.expect("a verifier");
        let expected = verifier.expect(None).expect("an expectation");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { verifier, expected, runtime }
    }

    /// As the gateway does with each request: read the headers, then verify.
    fn verify(&self, headers: &HeaderMap, now: u64) {
        let presented = PresentedToken::from_request(headers, None, Tolerance::default()).expect("a token");
        let target = RequestTarget { scheme: "https", authority: "gw.example", path: "/api/orders" };
        let facts = Facts { method: "GET", target, client_certificate: None, now };
        let verified = self.runtime.block_on(self.verifier.verify(&presented, &self.expected, &facts));
        black_box(verified.expect("a good token"));
    }
}

fn headers(scheme: &str, token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("{scheme} {token}").parse().expect("a value"));
    headers
}

fn peer(issuer: &TestIssuer, algorithm: Algorithm, token: String) -> impl FnMut() + use<> {
    let jwk = serde_json::from_value(issuer.jwk()).expect("a key");
    let key = DecodingKey::from_jwk(&jwk).expect("a key");
    let mut validation = Validation::new(algorithm.as_str().parse().expect("an algorithm"));
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[issuer.issuer()]);
    validation.validate_nbf = true;
    move || {
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(&token, &key, &validation);
        black_box(decoded.expect("a good token"));
    }
}

fn cases(folder: &Path) -> Vec<Case> {
    let now = unix_now();
    let mut cases: Vec<Case> = Vec::new();
    for algorithm in ALGORITHMS {
        let name = algorithm.as_str();
        let issuer = TestIssuer::new(algorithm).with_kid(name);
        let token = issuer.token(issuer.job_claims("nightly_orders", "load", AUDIENCE, now));
        let sent = headers("Bearer", &token);
        for (what, tokens_max) in [("verified anew", 0), ("remembered", 1000)] {
            let (gateway, sent) = (Gateway::new(&issuer, folder, tokens_max), sent.clone());
            cases.push((format!("{name}, {what}"), Box::new(move || gateway.verify(&sent, now))));
        }
        cases.push((format!("{name}, jsonwebtoken"), Box::new(peer(&issuer, algorithm, token))));
    }
    cases.push(("EdDSA remembered, DPoP proof ES256".to_owned(), Box::new(with_proof(folder, now))));
    cases
}

/// A remembered token; each proof is new, and was made beforehand.
fn with_proof(folder: &Path, now: u64) -> impl FnMut() + use<> {
    let issuer = TestIssuer::new(Algorithm::EdDsa).with_kid("bound");
    let prover = Prover::new(Algorithm::Es256);
    let mut claims = issuer.job_claims("nightly_orders", "load", AUDIENCE, now);
    claims["cnf"] = json!({ "jkt": prover.thumbprint() });
    let token = issuer.token(claims);
    let gateway = Gateway::new(&issuer, folder, 1000);
    let base = headers("DPoP", &token);
    let mut proofs: Vec<String> = (0..60_000).map(|_| prover.proof("GET", URL, &token, now)).collect();
    move || {
        let mut sent = base.clone();
        let proof = proofs.pop().expect("enough proofs");
        sent.insert(HeaderName::from_static("dpop"), proof.parse().expect("a value"));
        gateway.verify(&sent, now);
    }
}

/// Microseconds for one operation.
fn time(case: &mut dyn FnMut()) -> f64 {
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < ROUND {
        for _ in 0..16 {
            case();
        }
        count += 16;
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cases = cases(folder.path());
    let mut figures = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, case), figures) in cases.iter_mut().zip(&mut figures) {
            figures.push(time(case));
        }
    }
    println!("{:<36} {:>9} {:>9} {:>9}", "", "median µs", "least", "most");
    for ((name, _), figures) in cases.iter().zip(&mut figures) {
        figures.sort_by(f64::total_cmp);
        let (least, median, most) = (figures[0], figures[figures.len() / 2], figures[figures.len() - 1]);
        println!("{name:<36} {median:>9.2} {least:>9.2} {most:>9.2}");
    }
}
