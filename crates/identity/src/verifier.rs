//! All issuers, and the way from a presented token to a verified one.

mod examine;

pub(crate) use examine::Question;

use crate::{
    DpopConfig, IssuerConfig, IssuerError, KeySource, PresentedToken, ProofRule, TokenError, TokenType, Tolerance,
    VerifiedToken, confirm,
    dpop::{DpopState, Facts},
    error::Fault,
    introspection::Introspector,
    key_store::{Background, KeyStore},
    ledger::FirstFault,
    presented::Scheme,
    revoked::Revoked,
    state::IssuerState,
    verified::Claimed,
};
use aws_lc_rs::digest;
use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Where elapsed time comes from.
pub type MonotonicClock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// How often the lists of revoked tokens are looked at: a revocation is honoured within a second.
const REVOKED_INTERVAL: Duration = Duration::from_millis(500);

/// What holds for all issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierConfig {
    /// Proofs of possession by DPoP.
    pub dpop: DpopConfig,
    /// Verified tokens that are remembered; 0: none. 10,000.
    pub tokens_max: usize,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self { dpop: DpopConfig::default(), tokens_max: 10_000 }
    }
}

pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    name: Arc<str>,
    assurance: Arc<str>,
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) introspector: Option<Introspector>,
    revoked: Arc<Revoked>,
}

struct Shared {
    issuers: Vec<Issuer>,
    /// By the exact `iss` claim.
    by_iss: HashMap<String, usize>,
    /// By a SPIFFE ID's trust domain, for tokens without `iss`.
    by_trust_domain: HashMap<String, usize>,
    background: Background,
    dpop: DpopState,
    tokens: Option<Cache<TokenKey, Arc<Claimed>>>,
    /// Sets of issuers that routes accept, each once: part of the cache's key.
    sets: Mutex<Vec<Option<BTreeSet<usize>>>>,
}

/// INVARIANT: a token that was verified for one set of issuers and audiences, or under one binding, is no hit under another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    sha256: [u8; 32],
    /// Which issuers, and with them which audiences, were accepted.
    set: usize,
    scheme: Scheme,
    certificate: Option<[u8; 32]>,
}

/// What a route accepts. Made by [`Verifier::expect`].
#[derive(Debug, Clone)]
pub struct Expectation {
    set: usize,
    /// None: all.
    issuers: Option<BTreeSet<usize>>,
    /// Which proof of possession it asks for.
    pub proof: ProofRule,
    /// Whether DPoP proofs must hold a nonce of ours.
    pub dpop_nonce: bool,
    /// Which tokens besides the caller's may be in a request.
    pub tolerance: Tolerance,
}

impl Expectation {
    fn accepts(&self, issuer: usize) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.contains(&issuer))
    }
}

/// All issuers with their key sets. Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("issuers", &self.0.by_iss.keys()).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Reads key files at once; key URLs are fetched by `start` and on an unknown `kid`.
    ///
    /// # Errors
    /// Everything that is wrong with the issuers, not only the first thing.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, Vec<IssuerError>> {
        Self::with(issuers, VerifierConfig::default(), Arc::new(Instant::now))
    }

    /// As [`Verifier::new`], with other settings than the defaults.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with(
        configs: Vec<IssuerConfig>,
        settings: VerifierConfig,
        clock: MonotonicClock,
    ) -> Result<Self, Vec<IssuerError>> {
        let background: Background = Arc::new(RwLock::new(None));
        let mut errors = Vec::new();
        let mut shared = Shared {
            issuers: Vec::new(),
            by_iss: HashMap::new(),
            by_trust_domain: HashMap::new(),
            background: Arc::clone(&background),
            dpop: DpopState::new(settings.dpop),
            tokens: (settings.tokens_max > 0).then(|| Cache::new(settings.tokens_max)),
            sets: Mutex::new(vec![None]),
        };
        let mut names = HashSet::new();
        for config in configs {
            errors.extend(faults(&config));
            if !names.insert(config.name.clone()) {
                let problem = format!("another issuer has the same name `{}`", config.name);
                errors.push(IssuerError::new(&config.name, "name", problem, "rename one of them"));
            }
            match issuer(config, &clock, &background) {
                Ok(issuer) => shared.add(issuer, &mut errors),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(Self(Arc::new(shared))) } else { Err(errors) }
    }

    /// What a route accepts. `issuers`: names of the configuration; none is all.
    ///
    /// # Errors
    /// A name that no issuer has.
    pub fn expect(&self, issuers: Option<&[String]>) -> Result<Expectation, String> {
        let find = |name: &String| {
            self.0.issuers.iter().position(|issuer| issuer.config.name == *name).ok_or_else(|| name.clone())
        };
        let issuers: Option<BTreeSet<usize>> = issuers.map(|names| names.iter().map(find).collect()).transpose()?;
        let mut sets = self.0.sets.lock();
        let set = sets.iter().position(|known| *known == issuers).unwrap_or_else(|| {
            sets.push(issuers.clone());
            sets.len() - 1
        });
        let (proof, tolerance) = (ProofRule::AsBound, Tolerance::default());
        Ok(Expectation { set, issuers, proof, dpop_nonce: false, tolerance })
    }

    /// Background refresh on the given runtime, until the handle is dropped with it.
    ///
    /// All fetches run there from now on, whichever runtime asks for them. Key URLs are fetched at once.
    pub fn start(&self, runtime: &Handle) {
        *self.0.background.write() = Some(runtime.clone());
        for issuer in &self.0.issuers {
            // Weak: the refresh must not keep a verifier alive that a reload has replaced.
            if issuer.keys.source.is_remote() {
                let keys = Arc::downgrade(&issuer.keys);
                runtime.spawn(async move {
                    while let Some(store) = keys.upgrade() {
                        store.refresh().await;
                        let interval = store.refresh_in();
                        drop(store);
                        tokio::time::sleep(interval).await;
                    }
                });
            }
            if issuer.revoked.is_configured() {
                let revoked = Arc::downgrade(&issuer.revoked);
                runtime.spawn(async move {
                    while let Some(list) = revoked.upgrade() {
                        if tokio::task::spawn_blocking(move || list.reread()).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(REVOKED_INTERVAL).await;
                    }
                });
            }
        }
    }

    /// Fetches nothing from now on: what is not known stays so. For looking at a token without a network.
    pub fn stay_offline(&self) {
        for issuer in &self.0.issuers {
            issuer.keys.stay_offline();
        }
    }

    pub(crate) fn issuers(&self) -> &[Issuer] {
        &self.0.issuers
    }

    /// How each issuer is, in the order of the configuration.
    #[must_use]
    pub fn states(&self) -> Vec<IssuerState> {
        self.0.issuers.iter().map(|issuer| issuer.keys.state()).collect()
    }

    /// The names by which the issuers that are expected call themselves, for metadata (RFC 9728).
    #[must_use]
    pub fn issuer_names(&self, expected: &Expectation) -> Vec<String> {
        self.0
            .accepted(expected)
            .filter_map(|(_, issuer)| issuer.config.issuers.first())
            .filter(|iss| iss.contains("://"))
            .cloned()
            .collect()
    }

    /// A nonce for DPoP proofs, good from now on.
    #[must_use]
    pub fn dpop_nonce(&self, now: u64) -> String {
        self.0.dpop.nonce(now)
    }

    /// Checks everything about a token and its presenter; a [`VerifiedToken`] is the proof.
    ///
    /// Needs a tokio runtime with its timer enabled. Waits only where a key is not known yet, or a token is opaque.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn verify(
        &self,
        presented: &PresentedToken,
        expected: &Expectation,
        facts: &Facts<'_>,
    ) -> Result<VerifiedToken, TokenError> {
        let question = Question::new(presented.expose_secret(), expected, facts.now);
        let key = TokenKey {
            sha256: question.sha256,
            set: expected.set,
            scheme: presented.scheme,
            certificate: facts.client_certificate.copied(),
        };
        let claimed = match self.0.remembered(&key, facts.now).await {
            Some(claimed) => claimed,
            None => self.fresh(&question, key).await?,
        };
        let proof = confirm::check(&self.0.dpop, &claimed, presented, expected, facts)?;
        Ok(VerifiedToken::new(claimed, proof.proven, proof.next_nonce))
    }

    async fn fresh(&self, question: &Question<'_>, key: TokenKey) -> Result<Arc<Claimed>, TokenError> {
        let mut ledger = FirstFault::new();
        let examined = self.examine(question, &mut ledger).await?;
        // `None` only where a ledger goes on after a fault; this one does not.
        let Some(examined) = examined else { return Err(Fault::Malformed { problem: "it was not examined" }.into()) };
        let is_lasting = examined.is_lasting;
        let claimed = Arc::new(examined.claimed(ledger.finish(), &question.sha256));
        if is_lasting && let Some(tokens) = &self.0.tokens {
            tokens.insert(key, Arc::clone(&claimed));
        }
        Ok(claimed)
    }
}

impl Shared {
    /// The issuers that a route accepts, each with its position.
    fn accepted(&self, expected: &Expectation) -> impl Iterator<Item = (usize, &Issuer)> {
        self.issuers.iter().enumerate().filter(|(position, _)| expected.accepts(*position))
    }

    fn add(&mut self, issuer: Issuer, errors: &mut Vec<IssuerError>) {
        let position = self.issuers.len();
        let mut taken = |what: &str, value: &str, is_taken: bool| {
            if is_taken {
                let problem = format!("another issuer has the same {what} `{value}`");
                let help = "merge the two, or remove one: a token must lead to exactly one issuer";
                errors.push(IssuerError::new(&issuer.config.name, "url", problem, help));
            }
        };
        for iss in &issuer.config.issuers {
            taken("url", iss, self.by_iss.insert(iss.clone(), position).is_some());
        }
        if let Some(domain) = issuer.config.profile.trust_domain() {
            taken("trust domain", domain, self.by_trust_domain.insert(domain.to_owned(), position).is_some());
        }
        self.issuers.push(issuer);
    }

    /// A token that was verified before, is verified no more when it has expired, its issuer's keys have changed or are too
    /// old, or it was revoked.
    async fn remembered(&self, key: &TokenKey, now: u64) -> Option<Arc<Claimed>> {
        let tokens = self.tokens.as_ref()?;
        let claimed = tokens.get(key)?;
        let issuer = self.issuers.get(claimed.position)?;
        let is_live = now < claimed.expires_at.saturating_add(issuer.config.leeway.as_secs());
        let is_current = issuer.keys.generation().await == Some(claimed.generation);
        let is_revoked = issuer.revoked.holds(claimed.token_id.as_deref(), &claimed.sha256_hex);
        if is_live && is_current && !is_revoked {
            return Some(claimed);
        }
        tokens.remove(key);
        None
    }
}

fn issuer(config: IssuerConfig, clock: &MonotonicClock, background: &Background) -> Result<Issuer, Vec<IssuerError>> {
    let keys = KeyStore::new(&config, Arc::clone(clock), Arc::clone(background));
    let introspector = config
        .introspection
        .as_ref()
        .map(|introspection| Introspector::new(&config, introspection, Arc::clone(clock), Arc::clone(background)));
    match (keys, introspector.transpose(), Revoked::new(&config)) {
        (Ok(keys), Ok(introspector), Ok(revoked)) => {
            let (name, assurance) = (config.name.as_str().into(), config.assurance.as_str().into());
            let (keys, revoked) = (Arc::new(keys), Arc::new(revoked));
            Ok(Issuer { config, name, assurance, keys, introspector, revoked })
        }
        (keys, introspector, revoked) => {
            Err([keys.err(), introspector.err(), revoked.err()].into_iter().flatten().collect())
        }
    }
}

fn faults(config: &IssuerConfig) -> Vec<IssuerError> {
    let mut errors = Vec::new();
    let mut error = |key, problem: &str, help: &str| errors.push(IssuerError::new(&config.name, key, problem, help));
    let no_iss = config.issuers.is_empty() && config.profile.trust_domain().is_none();
    let by_introspection = matches!(config.keys, KeySource::Introspection);
    for (key, is_empty) in [
        ("name", config.name.is_empty()),
        ("url", no_iss || config.issuers.iter().any(String::is_empty)),
        ("audiences", config.audiences.is_empty() || config.audiences.iter().any(String::is_empty)),
        ("algorithms", config.algorithms.is_empty() && !by_introspection),
        ("token_types", config.token_types.is_empty()),
        ("lifetime_max", config.lifetime_max.as_secs() == 0),
    ] {
        if is_empty {
            let help = format!("give at least one value for `{key}`: a token is never accepted without that check");
            error(key, &format!("`{key}` is empty"), &help);
        }
    }
    if !matches!(config.assurance.as_str(), "task" | "worker" | "client") {
        error("assurance", &format!("unknown assurance `{}`", config.assurance), "use `task`, `worker` or `client`");
    }
    let is_plain = matches!(config.profile, crate::Profile::Oidc);
    if is_plain && config.token_types.contains(&TokenType::Jwt) && config.required.is_empty() && !by_introspection {
        let help = "add a claim that only its access tokens have: `require = [{ claim = \"token_use\", equals = \"access\" }]`";
        error("token_types", "a token of type `JWT` may be an ID token, and nothing tells them apart", help);
    }
    if by_introspection && config.introspection.is_none() {
        error("introspection", "it has neither keys nor an introspection endpoint", "give it one of the two");
    }
    errors
}

pub(crate) fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String never fails.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        RequestTarget,
        fuzz::{NOW, Rig, as_token},
    };
    use http::{HeaderMap, header::AUTHORIZATION};

    /// Beside the proof, which is asked for at each use: what was verified under one binding is no hit under another.
    #[test]
    fn a_token_is_remembered_apart_for_each_binding() {
        let rig = Rig::new();
        let good = include_bytes!("../../../fuzz/seeds/token/good");
        let (token, _) = as_token(good).expect("a token");
        let expected = rig.verifier.expect(None).expect("an expectation");
        let target = RequestTarget { scheme: "https", authority: "gw.test", path: "/" };
        let remembered = || rig.verifier.0.tokens.as_ref().map(Cache::len);
        for (scheme, client_certificate, count) in [
            ("Bearer", None, 1),
            ("Bearer", None, 1),
            ("Bearer", Some(&[1; 32]), 2),
            ("Bearer", Some(&[2; 32]), 3),
            ("DPoP", None, 4),
            ("DPoP", Some(&[2; 32]), 5),
        ] {
            let value = format!("{scheme} {token}").parse().expect("a value");
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let presented = PresentedToken::from_request(&headers, None, Tolerance::default()).expect("a token");
            let facts = Facts { method: "GET", target, client_certificate, now: NOW };
            let outcome = rig.runtime.block_on(rig.verifier.verify(&presented, &expected, &facts));
            assert_eq!((outcome.is_ok(), remembered()), (scheme == "Bearer", Some(count)), "{scheme}");
        }
    }
}
