//! All issuers, and the way from a presented token to a verified one.

use crate::{
    Algorithm, DpopConfig, IssuerConfig, IssuerError, KeySource, PresentedToken, ProofRule, TokenError, TokenType,
    Tolerance, VerifiedToken,
    claims::{self, View},
    confirm,
    dpop::{DpopState, Facts},
    error::{Fault, Trap, shown},
    introspection::Introspector,
    jws::{self, SignatureFault, Typ, Unverified},
    key_store::{Background, KeyFault, KeyStore, Wanted},
    ledger::{Check, FirstFault, Ledger},
    presented::Scheme,
    profile::spiffe_trust_domain,
    revoked::Revoked,
    state::IssuerState,
    verified::Claimed,
};
use aws_lc_rs::digest;
use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
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

    /// How each issuer is, in the order of the configuration.
    #[must_use]
    pub fn states(&self) -> Vec<IssuerState> {
        self.0.issuers.iter().map(|issuer| issuer.keys.state()).collect()
    }

    /// The names by which the issuers that are expected call themselves, for metadata (RFC 9728).
    #[must_use]
    pub fn issuer_names(&self, expected: &Expectation) -> Vec<String> {
        let all = self.0.issuers.iter().enumerate().filter(|(position, _)| expected.accepts(*position));
        all.filter_map(|(_, issuer)| issuer.config.issuers.first()).filter(|iss| iss.contains("://")).cloned().collect()
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
        let sha256 = sha256(presented.expose_secret());
        let key = TokenKey {
            sha256,
            set: expected.set,
            scheme: presented.scheme,
            certificate: facts.client_certificate.copied(),
        };
        let claimed = match self.0.remembered(&key, facts.now).await {
            Some(claimed) => claimed,
            None => self.fresh(presented, &key, expected, facts.now).await?,
        };
        let proof = confirm::check(&self.0.dpop, &claimed, presented, expected, facts)?;
        Ok(VerifiedToken::new(claimed, proof.proven, proof.next_nonce))
    }

    async fn fresh(
        &self,
        presented: &PresentedToken,
        key: &TokenKey,
        expected: &Expectation,
        now: u64,
    ) -> Result<Arc<Claimed>, TokenError> {
        let mut ledger = FirstFault::new();
        let examined = self.examine(presented.expose_secret(), &key.sha256, expected, now, &mut ledger).await?;
        // `None` only where a ledger goes on after a fault; this one does not.
        let Some(examined) = examined else { return Err(Fault::Malformed { problem: "it was not examined" }.into()) };
        let is_lasting = examined.is_lasting;
        let claimed = Arc::new(examined.claimed(ledger.finish(), &key.sha256));
        if is_lasting && let Some(tokens) = &self.0.tokens {
            tokens.insert(key.clone(), Arc::clone(&claimed));
        }
        Ok(claimed)
    }

    /// Every check of a token alone, in order, each told to the ledger. `None` only where the ledger went on after a fault.
    ///
    /// # Errors
    /// As the ledger says.
    pub(crate) async fn examine<L: Ledger>(
        &self,
        text: &str,
        sha256: &[u8; 32],
        expected: &Expectation,
        now: u64,
        ledger: &mut L,
    ) -> Result<Option<Examined<'_>>, TokenError> {
        if !jws::looks_like_jws(text) {
            return self.examine_opaque(text, sha256, expected, now, ledger).await;
        }
        let read = jws::read(text).map_err(|fault| self.0.explain_form(fault, text, expected));
        let Some(unverified) = ledger.note(Check::Form, read)? else { return Ok(None) };
        let Some(claims) = ledger.note(Check::Claims, unverified.parts.claims())? else { return Ok(None) };
        let found = self.0.issuer_of(&claims, expected);
        let Some((position, iss)) = ledger.note(Check::Issuer, found)? else { return Ok(None) };
        let issuer = &self.0.issuers[position];
        ledger.note(Check::Type, claims::token_type(&issuer.config, &unverified.typ))?;
        let generation = match (&issuer.config.keys, &issuer.introspector) {
            (KeySource::Introspection, Some(introspector)) => {
                let answer = introspector.ask(text, sha256, now).await;
                let Some(answer) = ledger.note(Check::Introspection, answer)? else { return Ok(None) };
                let said = Said { position, iss, claims: Map::clone(&answer), typ: None, generation: 0 };
                return self.conclude(said, sha256, now, ledger);
            }
            _ => issuer.vouch(&unverified, &iss, &claims, ledger).await?,
        };
        let said = Said { position, iss, claims, typ: Some(unverified.typ), generation };
        self.conclude(said, sha256, now, ledger)
    }

    /// No JSON Web Signature: the one issuer that can be asked about such tokens is asked.
    async fn examine_opaque<L: Ledger>(
        &self,
        text: &str,
        sha256: &[u8; 32],
        expected: &Expectation,
        now: u64,
        ledger: &mut L,
    ) -> Result<Option<Examined<'_>>, TokenError> {
        let accepted = || self.0.issuers.iter().enumerate().filter(|(position, _)| expected.accepts(*position));
        let mut asked = accepted().filter_map(|(position, issuer)| Some((position, issuer.introspector.as_ref()?)));
        // Two that could be asked: the token of one would be shown to the other. The configuration refuses that.
        let (Some((position, introspector)), None) = (asked.next(), asked.next()) else {
            let fault = jws::read(text).err().unwrap_or(Fault::Malformed { problem: "it is no JSON Web Token" });
            ledger.note::<(), _>(Check::Form, Err(self.0.explain_form(fault, text, expected)))?;
            return Ok(None);
        };
        let answer = introspector.ask(text, sha256, now).await;
        let Some(answer) = ledger.note(Check::Introspection, answer)? else { return Ok(None) };
        let issuer = &self.0.issuers[position];
        let iss = match answer.get("iss") {
            None => Ok(issuer.config.issuers.first().cloned().unwrap_or_default()),
            Some(Value::String(iss)) if issuer.config.issuers.contains(iss) => Ok(iss.clone()),
            Some(other) => Err(Fault::IssuerUnknown { iss: shown(&other.to_string()) }),
        };
        let Some(iss) = ledger.note(Check::Issuer, iss)? else { return Ok(None) };
        let said = Said { position, iss, claims: Map::clone(&answer), typ: None, generation: 0 };
        self.conclude(said, sha256, now, ledger)
    }

    /// The claims, once somebody has vouched for them.
    fn conclude<L: Ledger>(
        &self,
        said: Said,
        sha256: &[u8; 32],
        now: u64,
        ledger: &mut L,
    ) -> Result<Option<Examined<'_>>, TokenError> {
        let issuer = &self.0.issuers[said.position];
        let view = View { claims: &said.claims, config: &issuer.config, typ: said.typ.as_ref(), now };
        let checked = claims::check(&view, ledger)?;
        let token_id = said.claims.get("jti").and_then(Value::as_str);
        let is_revoked = issuer.revoked.holds(token_id, &hex(sha256));
        let revocation = if is_revoked { Err(Fault::Revoked { issuer: issuer.config.name.clone() }) } else { Ok(()) };
        ledger.note(Check::Revocation, revocation)?;
        let is_lasting = said.typ.is_some();
        Ok(checked.map(|checked| Examined { issuer, said, checked, is_lasting }))
    }

    pub(crate) fn issuers(&self) -> &[Issuer] {
        &self.0.issuers
    }
}

/// Claims that somebody vouched for.
struct Said {
    position: usize,
    iss: String,
    claims: Map<String, Value>,
    /// `None`: an introspection endpoint said them.
    typ: Option<Typ>,
    generation: u64,
}

/// A token whose checks are over. Nothing can be done with it without the ledger's word that all passed.
pub(crate) struct Examined<'a> {
    issuer: &'a Issuer,
    said: Said,
    checked: claims::Checked,
    /// May be remembered until it expires.
    is_lasting: bool,
}

impl Examined<'_> {
    fn claimed(self, clean: crate::ledger::Clean, sha256: &[u8; 32]) -> Claimed {
        let Self { issuer, said, checked, .. } = self;
        Claimed {
            issuer: Arc::clone(&issuer.name),
            position: said.position,
            generation: said.generation,
            iss: said.iss,
            assurance: Arc::clone(&issuer.assurance),
            subject: checked.subject,
            principal: checked.principal,
            token_id: checked.token_id,
            sha256_hex: hex(sha256),
            expires_at: checked.expires_at,
            confirmation: checked.confirmation,
            attributes: checked.attributes,
            claims: said.claims,
            _clean: clean,
        }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer.config.name
    }
}

impl Shared {
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

    /// INVARIANT: only this issuer's keys are looked at; `iss` is signed with the rest.
    fn issuer_of(&self, claims: &Map<String, Value>, expected: &Expectation) -> Result<(usize, String), TokenError> {
        let iss = claims::text(claims, "iss")?;
        let found = match iss {
            Some(iss) => self.by_iss.get(iss).map(|position| (*position, iss.to_owned())),
            // JWT-SVID §3: the trust domain in `sub` says whose keys count. Where the configuration names an `iss`, it is wanted.
            None => spiffe_trust_domain(claims)
                .and_then(|domain| self.by_trust_domain.get(&domain).map(|position| (*position, domain)))
                .filter(|(position, _)| self.issuers[*position].config.issuers.is_empty())
                .map(|(position, domain)| (position, format!("spiffe://{domain}"))),
        };
        if let Some((position, iss)) = found.filter(|(position, _)| expected.accepts(*position)) {
            return Ok((position, iss));
        }
        let accepted = self.issuers.iter().enumerate().filter(|(position, _)| expected.accepts(*position));
        let trap = accepted
            .filter_map(|(_, issuer)| {
                issuer.config.profile.explain_issuer(&issuer.config, iss.unwrap_or_default(), claims)
            })
            .next();
        let fault = match iss {
            Some(iss) => Fault::IssuerUnknown { iss: shown(iss) },
            None => Fault::ClaimsMalformed { problem: "`iss` is missing".to_owned() },
        };
        Err(TokenError::with_trap(fault, trap))
    }

    fn explain_form(&self, fault: Fault, text: &str, expected: &Expectation) -> TokenError {
        let accepted = self.issuers.iter().enumerate().filter(|(position, _)| expected.accepts(*position));
        let known = accepted.filter_map(|(_, issuer)| issuer.config.profile.explain_opaque(text)).next();
        let is_opaque = matches!(fault, Fault::Malformed { .. }) && !text.contains('.');
        TokenError::with_trap(fault, known.or_else(|| is_opaque.then_some(Trap::Opaque)))
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

impl Issuer {
    /// Algorithm, key and signature: the generation of the keys that vouched.
    async fn vouch<L: Ledger>(
        &self,
        unverified: &Unverified<'_>,
        iss: &str,
        claims: &Map<String, Value>,
        ledger: &mut L,
    ) -> Result<u64, TokenError> {
        let name = || self.config.name.clone();
        let not_allowed =
            |problem| Fault::AlgorithmNotAllowed { issuer: name(), algorithm: shown(&unverified.algorithm), problem };
        let algorithm = Algorithm::from_jose(&unverified.algorithm)
            .filter(|algorithm| self.config.algorithms.contains(algorithm))
            .ok_or_else(|| not_allowed("it is not in the issuer's list"));
        let Some(algorithm) = ledger.note(Check::Algorithm, algorithm)? else { return Ok(0) };
        let wanted = match &unverified.kid {
            Some(kid) => Ok(Wanted::Named(kid)),
            None if self.config.kid_optional => Ok(Wanted::Single(algorithm)),
            None => Err(Fault::Malformed { problem: "its header has no `kid`" }),
        };
        let Some(wanted) = ledger.note(Check::Form, wanted)? else { return Ok(0) };
        let kid = || unverified.kid.as_deref().map_or_else(|| "(none)".to_owned(), shown);
        let key = self.keys.key(wanted).await.map_err(|fault| match fault {
            KeyFault::Unknown => Fault::KeyUnknown { issuer: name(), kid: kid() },
            KeyFault::Unavailable(cause) => Fault::KeysUnavailable { issuer: name(), cause },
        });
        let key = key.and_then(|(key, generation)| {
            let fits = self.config.profile.key_fits(&key, iss, claims);
            if fits { Ok((key, generation)) } else { Err(Fault::KeyUnknown { issuer: name(), kid: kid() }) }
        });
        let Some((key, generation)) = ledger.note(Check::Key, key)? else { return Ok(0) };
        let signature = unverified.parts.verify(algorithm, &key).map_err(|fault| {
            let fault = match fault {
                SignatureFault::KeyUnfit => not_allowed("the key is for another algorithm"),
                SignatureFault::Invalid => Fault::SignatureInvalid { issuer: name(), kid: kid() },
            };
            TokenError::with_trap(fault, self.config.profile.explain_signature(&unverified.parts.header))
        });
        ledger.note(Check::Signature, signature)?;
        Ok(generation)
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
