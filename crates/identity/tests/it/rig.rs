//! An issuer, its configuration, and short ways to ask.

use airgate_identity::{
    Algorithm, IssuerConfig, KeySource, MonotonicClock, PresentedToken, Timing, TokenError, VerifiedToken, Verifier,
};
use airgate_testkit::TestIssuer;
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

pub(crate) fn config(issuer: &TestIssuer, algorithm: Algorithm, keys: KeySource) -> IssuerConfig {
    IssuerConfig {
        name: "airflow".to_owned(),
        issuer: issuer.issuer().to_owned(),
        audiences: vec!["other".to_owned(), AUDIENCE.to_owned()],
        algorithms: vec![algorithm],
        keys,
        assurance: "task".to_owned(),
        leeway: Duration::from_secs(30),
        lifetime_max: Duration::from_secs(300),
    }
}

/// A folder with the file `keys.json`.
pub(crate) fn key_file(keys: &Value) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("keys.json");
    std::fs::write(&path, keys.to_string()).expect("a written file");
    (folder, path)
}

pub(crate) fn presented(token: &str) -> PresentedToken {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().expect("a header value"));
    PresentedToken::from_headers(&headers).expect("a bearer token")
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn verify(verifier: &Verifier, token: &str, now: u64) -> Result<VerifiedToken, TokenError> {
    runtime().block_on(verifier.verify(&presented(token), now))
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
        let mut config = config(&issuer, algorithm, KeySource::File(path));
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
        verify(&self.verifier, token, NOW).map_or_else(|error| error.code(), |_| "ok")
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
    Verifier::with_timing(vec![config], Timing::default(), hand.clock()).expect("a verifier")
}
