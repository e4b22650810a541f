//! All issuers, and the way from a presented token to a verified one.

use crate::{
    Algorithm, IssuerConfig, IssuerError, PresentedToken, TokenError, VerifiedToken, claims,
    error::shown,
    json::strict_object,
    jws::{self, SignatureFault},
    key_store::{Background, KeyFault, KeyStore},
    verified::Inner,
};
use aws_lc_rs::digest;
use parking_lot::RwLock;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Where elapsed time comes from.
pub type MonotonicClock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// How often key sets are fetched, and how long they serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// A fetch that takes longer has failed. 5 s.
    pub fetch_timeout: Duration,
    /// The least time between two fetches that unknown `kid`s cause. 10 s.
    pub cool_down: Duration,
    /// The same after a fetch that failed. 1 s.
    pub retry_interval: Duration,
    /// How often a key URL is fetched without a cause. 5 min.
    pub refresh_interval: Duration,
    /// How often a key file may be looked at. 1 s.
    pub file_interval: Duration,
    /// How long known keys serve while the source can't be had. 1 h.
    pub stale_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            fetch_timeout: Duration::from_secs(5),
            cool_down: Duration::from_secs(10),
            retry_interval: Duration::from_secs(1),
            refresh_interval: Duration::from_mins(5),
            file_interval: Duration::from_secs(1),
            stale_max: Duration::from_hours(1),
        }
    }
}

struct Issuer {
    config: IssuerConfig,
    name: Arc<str>,
    assurance: Arc<str>,
    keys: Arc<KeyStore>,
}

struct Shared {
    /// By the exact `iss` claim.
    issuers: HashMap<String, Issuer>,
    timing: Timing,
    background: Background,
}

/// All issuers with their key sets. Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("issuers", &self.0.issuers.keys()).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Reads key files at once; key URLs are fetched by `start` and on an unknown `kid`.
    ///
    /// # Errors
    /// Everything that is wrong with the issuers, not only the first thing.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, Vec<IssuerError>> {
        Self::with_timing(issuers, Timing::default(), Arc::new(Instant::now))
    }

    /// As [`Verifier::new`], with other times than the defaults.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with_timing(
        configs: Vec<IssuerConfig>,
        timing: Timing,
        clock: MonotonicClock,
    ) -> Result<Self, Vec<IssuerError>> {
        let background: Background = Arc::new(RwLock::new(None));
        let mut errors = Vec::new();
        let mut names = HashSet::new();
        let mut issuers = HashMap::new();
        for config in configs {
            errors.extend(faults(&config));
            if !names.insert(config.name.clone()) {
                let (issuer, value) = (config.name.clone(), config.name.clone());
                errors.push(IssuerError::Duplicate { issuer, what: "name", value });
            }
            if issuers.contains_key(&config.issuer) {
                let (issuer, value) = (config.name.clone(), config.issuer.clone());
                errors.push(IssuerError::Duplicate { issuer, what: "url", value });
                continue;
            }
            match KeyStore::new(&config, &timing, Arc::clone(&clock), Arc::clone(&background)) {
                Ok(keys) => {
                    let (name, assurance) = (config.name.as_str().into(), config.assurance.as_str().into());
                    issuers.insert(config.issuer.clone(), Issuer { config, name, assurance, keys: Arc::new(keys) });
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self(Arc::new(Shared { issuers, timing, background }))) } else { Err(errors) }
    }

    /// Background refresh on the given runtime, until the handle is dropped with it.
    ///
    /// All fetches run there from now on, whichever runtime asks for them. Key URLs are fetched at once.
    pub fn start(&self, runtime: &Handle) {
        *self.0.background.write() = Some(runtime.clone());
        for issuer in self.0.issuers.values() {
            // Weak: the refresh must not keep a verifier alive that a reload has replaced.
            let keys = Arc::downgrade(&issuer.keys);
            let Timing { refresh_interval, cool_down, .. } = self.0.timing;
            runtime.spawn(async move {
                while let Some(store) = keys.upgrade() {
                    store.refresh(Duration::ZERO).await;
                    let interval = if store.is_faulty() { cool_down } else { refresh_interval };
                    drop(store);
                    tokio::time::sleep(interval).await;
                }
            });
        }
    }

    /// Checks everything about a token; a [`VerifiedToken`] is the proof. `now`: seconds since 1970.
    ///
    /// Needs a tokio runtime with its timer enabled. Waits only where the key is not known yet.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn verify(&self, token: &PresentedToken, now: u64) -> Result<VerifiedToken, TokenError> {
        let text = token.expose_secret();
        let unverified = jws::read(text)?;
        let claims = strict_object(&unverified.payload)
            .ok_or(TokenError::Malformed { problem: "its claims are not a JSON object, or have a member twice" })?;
        let iss = claims::issuer(&claims)?;
        // INVARIANT: only this issuer's keys are looked at; `iss` is signed with the rest.
        let issuer = self.0.issuers.get(iss).ok_or_else(|| TokenError::IssuerUnknown { iss: shown(iss) })?;
        let config = &issuer.config;
        let name = || config.name.clone();
        let not_allowed = |problem| TokenError::AlgorithmNotAllowed {
            issuer: name(),
            algorithm: shown(&unverified.algorithm),
            problem,
        };
        let algorithm = Algorithm::from_jose(&unverified.algorithm)
            .filter(|algorithm| config.algorithms.contains(algorithm))
            .ok_or_else(|| not_allowed("it is not in the issuer's list"))?;
        let kid = || shown(&unverified.kid);
        let key = issuer.keys.key(&unverified.kid).await.map_err(|fault| match fault {
            KeyFault::Unknown => TokenError::KeyUnknown { issuer: name(), kid: kid() },
            KeyFault::Unavailable(cause) => TokenError::KeysUnavailable { issuer: name(), cause },
        })?;
        unverified.verify(algorithm, &key).map_err(|fault| match fault {
            SignatureFault::KeyUnfit => not_allowed("the key is for another algorithm"),
            SignatureFault::Invalid => TokenError::SignatureInvalid { issuer: name(), kid: kid() },
        })?;
        let checked = claims::check(&claims, config, now)?;
        Ok(VerifiedToken::new(Inner {
            issuer: Arc::clone(&issuer.name),
            assurance: Arc::clone(&issuer.assurance),
            subject: checked.subject,
            principal: checked.principal,
            token_id: checked.token_id,
            sha256_hex: hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()),
            expires_at: checked.expires_at,
            claims,
        }))
    }
}

fn faults(config: &IssuerConfig) -> Vec<IssuerError> {
    let issuer = || config.name.clone();
    let mut errors = Vec::new();
    for (setting, empty) in [
        ("name", config.name.is_empty()),
        ("url", config.issuer.is_empty()),
        ("audiences", config.audiences.is_empty() || config.audiences.iter().any(String::is_empty)),
        ("algorithms", config.algorithms.is_empty()),
        ("lifetime_max", config.lifetime_max.as_secs() == 0),
    ] {
        if empty {
            errors.push(IssuerError::Empty { issuer: issuer(), setting });
        }
    }
    if !matches!(config.assurance.as_str(), "task" | "worker" | "client") {
        errors.push(IssuerError::AssuranceUnknown { issuer: issuer(), assurance: config.assurance.clone() });
    }
    errors
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String never fails.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
