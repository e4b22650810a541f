//! An issuer, its configuration, and short ways to ask.

use airgate_identity::{
    Algorithm, Expectation, Facts, IssuerConfig, IssuerError, KeySource, MonotonicClock, Place, PresentedToken, Remote,
    RequestTarget, TokenError, TokenType, Tolerance, VerifiedToken, Verifier, VerifierConfig,
};
use airgate_testkit::{TestCa, TestIssuer};
use http::{HeaderMap, header::AUTHORIZATION};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const AUDIENCE: &str = "api://airgate";

pub(crate) fn config(issuer: &TestIssuer, keys: KeySource) -> IssuerConfig {
    let mut config = issuer.config("airflow", AUDIENCE, keys);
    config.audiences = vec!["other".to_owned(), AUDIENCE.to_owned()];
    config.token_types = vec![TokenType::JobAssertion, TokenType::AccessToken, TokenType::Jwt];
    config.lifetime_max = Duration::from_secs(300);
    config
}

/// A key set at a URL, trusted by the authority in a file of its own.
pub(crate) fn remote(place: Place, ca_file: PathBuf) -> KeySource {
    let http = airgate_identity::HttpSettings { ca_file: Some(ca_file), ..Default::default() };
    KeySource::Remote(Remote { place, http })
}

/// The authority's certificate in a file.
pub(crate) fn trusted(ca: &TestCa) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.pem()).expect("a written file");
    (folder, path)
}

/// A folder with the file `keys.json`.
pub(crate) fn key_file(keys: &Value) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("keys.json");
    std::fs::write(&path, keys.to_string()).expect("a written file");
    (folder, path)
}

fn present(token: &str) -> Result<PresentedToken, TokenError> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().expect("a header value"));
    PresentedToken::from_request(&headers, None, Tolerance::default())
}

pub(crate) fn presented(token: &str) -> PresentedToken {
    present(token).expect("a bearer token")
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A GET of `https://gw.example/api/orders`.
pub(crate) fn facts(now: u64) -> Facts<'static> {
    let target = RequestTarget { scheme: "https", authority: "gw.example", path: "/api/orders" };
    Facts { method: "GET", target, client_certificate: None, now }
}

pub(crate) fn everything(verifier: &Verifier) -> Expectation {
    verifier.expect(None).expect("all issuers")
}

/// As a bearer token, on the runtime of the caller.
pub(crate) async fn check(verifier: &Verifier, token: &str, now: u64) -> Result<VerifiedToken, TokenError> {
    verifier.verify(&present(token)?, &everything(verifier), &facts(now)).await
}

pub(crate) fn verify(verifier: &Verifier, token: &str, now: u64) -> Result<VerifiedToken, TokenError> {
    runtime().block_on(check(verifier, token, now))
}

/// `ok`, or the refusal's code.
pub(crate) fn code(verifier: &Verifier, token: &str) -> &'static str {
    verify(verifier, token, NOW).map_or_else(|error| error.code(), |_| "ok")
}

/// An issuer whose keys are in a file, and a verifier that trusts it.
pub(crate) struct Rig {
    pub(crate) issuer: TestIssuer,
    pub(crate) verifier: Verifier,
    _folder: TempDir,
}

impl Rig {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self::with(algorithm, |_| {})
    }

    pub(crate) fn with(algorithm: Algorithm, change: impl FnOnce(&mut IssuerConfig)) -> Self {
        let issuer = TestIssuer::new(algorithm);
        let (folder, path) = key_file(&issuer.jwks());
        let mut config = config(&issuer, KeySource::File(path));
        change(&mut config);
        Self { verifier: Verifier::new(vec![config]).expect("a verifier"), issuer, _folder: folder }
    }

    pub(crate) fn claims(&self) -> Value {
        self.issuer.job_claims("nightly_orders", "load", AUDIENCE, NOW)
    }

    /// The good claims, but for this one; `null` takes it away.
    pub(crate) fn claims_but(&self, claim: &str, value: Value) -> Value {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(claim);
        } else {
            claims[claim] = value;
        }
        claims
    }

    pub(crate) fn code(&self, token: &str) -> &'static str {
        code(&self.verifier, token)
    }
}

/// Elapsed time that passes when the test says so.
#[derive(Clone)]
pub(crate) struct Hand(Arc<Mutex<Instant>>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
    pub(crate) fn pass(&self, time: Duration) {
        *self.0.lock() += time;
    }
    pub(crate) fn clock(&self) -> MonotonicClock {
        let hand = self.0.clone();
        Arc::new(move || *hand.lock())
    }
}

pub(crate) fn timed(config: IssuerConfig, hand: &Hand) -> Verifier {
    Verifier::with(vec![config], VerifierConfig::default(), hand.clock()).expect("a verifier")
}

/// What is wrong with an issuer, in words; each with the next step.
pub(crate) fn errors(configs: Vec<IssuerConfig>) -> Vec<String> {
    told(Verifier::new(configs).expect_err("issuers that can't be trusted"))
}

pub(crate) fn told(errors: Vec<IssuerError>) -> Vec<String> {
    assert!(errors.iter().all(|error| !error.help.is_empty() && !error.key.is_empty()), "{errors:?}");
    errors.iter().map(ToString::to_string).collect()
}

/// The issuer `airflow` and another, each with a key `test-1` of its own.
pub(crate) struct TwoIssuers {
    pub(crate) one: TestIssuer,
    pub(crate) other: TestIssuer,
    pub(crate) verifier: Verifier,
    _folders: [TempDir; 2],
}

impl TwoIssuers {
    pub(crate) fn new() -> Self {
        let (one, other) =
            (TestIssuer::new(Algorithm::EdDsa), TestIssuer::new(Algorithm::EdDsa).with_issuer("https://other.test"));
        let (first, one_keys) = key_file(&one.jwks());
        let (second, other_keys) = key_file(&other.jwks());
        let mut configured = config(&other, KeySource::File(other_keys));
        configured.name = "other".to_owned();
        let verifier = Verifier::new(vec![config(&one, KeySource::File(one_keys)), configured]).expect("a verifier");
        Self { one, other, verifier, _folders: [first, second] }
    }
}
