//! Opaque tokens: their issuer is asked about each (RFC 7662), and remembered for a short time.

use crate::{
    IntrospectionConfig, IssuerConfig, IssuerError, MonotonicClock,
    error::Fault,
    http_client::{Ask, HttpClient, Target},
    json::strict_object,
    key_store::Background,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::Semaphore};

/// Answers that are remembered, good and bad.
const ANSWERS_MAX: usize = 10_000;
/// "Not active" is remembered no longer: a token may have been asked about before it was known everywhere.
const INACTIVE_MAX: Duration = Duration::from_secs(10);
/// RFC 7523 §3: the assertion that authenticates us.
const ASSERTION_LIFETIME_S: u64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The introspection endpoint of one issuer.
pub(crate) struct Introspector {
    issuer: String,
    config: IntrospectionConfig,
    timeout: Duration,
    http: Arc<HttpClient>,
    target: Target,
    signer: Option<Signer>,
    places: Arc<Semaphore>,
    answers: Cache<[u8; 32], Arc<Answer>>,
    clock: MonotonicClock,
    background: Background,
}

/// What the endpoint said.
struct Answer {
    /// `None`: not active.
    claims: Option<Arc<Map<String, Value>>>,
    until: Instant,
}

struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Introspector {
    /// # Errors
    /// Why the endpoint can't be asked.
    pub(crate) fn new(
        config: &IssuerConfig,
        introspection: &IntrospectionConfig,
        clock: MonotonicClock,
        background: Background,
    ) -> Result<Self, IssuerError> {
        let name = &config.name;
        let target = Target::parse(&introspection.url, introspection.http.danger_allow_http).map_err(|problem| {
            let help = "give the full https URL (`introspection_endpoint` in the issuer's discovery document)";
            IssuerError::new(name, "introspection", format!("`url`: {problem}"), help)
        })?;
        let http = HttpClient::new(&introspection.http, &target).map_err(|problem| {
            let help = "give PEM files: at least one certificate authority, and a certificate with its key";
            IssuerError::new(name, "introspection", format!("can't set up TLS: {problem}"), help)
        })?;
        let signer = introspection.key.as_deref().map(Signer::read).transpose().map_err(|problem| {
            let help = "give an unencrypted private key in PEM (PKCS #8): Ed25519, P-256 or RSA";
            IssuerError::new(name, "introspection", problem, help)
        })?;
        if signer.is_none() && introspection.http.certificate.is_none() {
            let help = "add `key` (private_key_jwt), or `certificate` and `certificate_key` (mTLS)";
            return Err(IssuerError::new(name, "introspection", "it says not how to authenticate", help));
        }
        Ok(Self {
            issuer: name.clone(),
            config: introspection.clone(),
            timeout: config.timing.fetch_timeout,
            http: Arc::new(http),
            target,
            signer,
            places: Arc::new(Semaphore::new(introspection.concurrency_max)),
            answers: Cache::new(ANSWERS_MAX),
            clock,
            background,
        })
    }

    /// What the issuer says of an active token. One question for all that wait; `digest`: SHA-256 of the token.
    ///
    /// # Errors
    /// It is not active, or the endpoint can't be asked.
    pub(crate) async fn ask(&self, token: &str, digest: &[u8; 32], now: u64) -> Result<Arc<Map<String, Value>>, Fault> {
        let inactive = || Fault::Inactive { issuer: self.issuer.clone() };
        if let Some(answer) = self.answers.get(digest) {
            if (self.clock)() < answer.until {
                return answer.claims.clone().ok_or_else(inactive);
            }
            self.answers.remove(digest);
        }
        match self.answers.get_value_or_guard_async(digest).await {
            Ok(answer) if (self.clock)() < answer.until => answer.claims.clone().ok_or_else(inactive),
            // It ended while we waited for it: it may not serve, not even once.
            Ok(_) => Err(self.unavailable("the answer was too old at once")),
            Err(guard) => {
                let claims = self.question(token, now).await?;
                let cache_max =
                    if claims.is_some() { self.config.cache_max } else { self.config.cache_max.min(INACTIVE_MAX) };
                // RFC 7662 §4: never longer than the token lives.
                let left =
                    claims.as_ref().and_then(|claims| claims.get("exp")?.as_u64()).map(|exp| exp.saturating_sub(now));
                let keep = left.map_or(cache_max, |left| cache_max.min(Duration::from_secs(left)));
                let answer = Answer { claims: claims.map(Arc::new), until: (self.clock)() + keep };
                let claims = answer.claims.clone();
                if !keep.is_zero() {
                    let _ = guard.insert(Arc::new(answer));
                }
                claims.ok_or_else(inactive)
            }
        }
    }

    fn unavailable(&self, cause: impl Into<String>) -> Fault {
        Fault::IntrospectionUnavailable { issuer: self.issuer.clone(), cause: cause.into() }
    }

    /// `None`: not active.
    async fn question(&self, token: &str, now: u64) -> Result<Option<Map<String, Value>>, Fault> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let max = self.config.concurrency_max;
            return Err(self.unavailable(format!("{max} questions are under way (`concurrency_max`)")));
        };
        let form = self.form(token, now).map_err(|problem| self.unavailable(problem))?;
        let handle = self.background.read().clone().or_else(|| Handle::try_current().ok());
        let handle = handle.ok_or_else(|| self.unavailable("there is no runtime"))?;
        let (http, target, timeout) = (Arc::clone(&self.http), self.target.clone(), self.timeout);
        // There, so that the end of this caller does not cut off what others wait for.
        let asked = handle.spawn(async move {
            let answer = http.exchange(&target, Ask::Post(form.expose_secret().to_owned().into()), timeout).await;
            drop(place);
            answer
        });
        let answer = asked.await.map_err(|_| self.unavailable("the question was cut off"))?;
        let answer = answer.map_err(|fault| self.unavailable(fault.to_string()))?;
        let claims = strict_object(&answer.body)
            .ok_or_else(|| self.unavailable("the answer is not a JSON object, or has a member twice"))?;
        match claims.get("active") {
            Some(Value::Bool(true)) => Ok(Some(claims)),
            Some(Value::Bool(false)) => Ok(None),
            _ => Err(self.unavailable("the answer has no boolean `active`")),
        }
    }

    fn form(&self, token: &str, now: u64) -> Result<SecretString, String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        form.append_pair("client_id", &self.config.client_id);
        if let Some(signer) = &self.signer {
            let assertion = signer.assertion(&self.config, now)?;
            form.append_pair("client_assertion_type", ASSERTION_TYPE).append_pair("client_assertion", &assertion);
        }
        Ok(SecretString::from(form.finish()))
    }

    /// For people: asks about a token that cannot exist. `Ok`: the endpoint took us for its client.
    ///
    /// # Errors
    /// Why it did not answer as RFC 7662 says.
    pub(crate) async fn probe(&self, now: u64) -> Result<(), String> {
        self.question("airgate-issuer-check", now).await.map(|_| ()).map_err(|fault| fault.to_string())
    }

    pub(crate) fn url(&self) -> &str {
        &self.config.url
    }
}

impl Signer {
    fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let pem = crate::source::read_file(path).map_err(|problem| format!("`key` `{shown}`: {problem}"))?;
        // The parser's own words could hold parts of the file: they are not shown.
        let read = |read: fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>, algorithm| {
            read(&pem).ok().map(|key| Self { key, algorithm }).filter(|signer| signer.sign(&json!({})).is_ok())
        };
        read(EncodingKey::from_ed_pem, Algorithm::EdDSA)
            .or_else(|| read(EncodingKey::from_ec_pem, Algorithm::ES256))
            .or_else(|| read(EncodingKey::from_rsa_pem, Algorithm::RS256))
            .ok_or_else(|| format!("`key` `{shown}`: it holds no private key that can be used"))
    }

    fn sign(&self, claims: &Value) -> jsonwebtoken::errors::Result<String> {
        jsonwebtoken::encode(&Header::new(self.algorithm), claims, &self.key)
    }

    /// RFC 7523 §3: for this issuer alone, for a minute, and never twice.
    fn assertion(&self, config: &IntrospectionConfig, now: u64) -> Result<String, String> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&config.key_id);
        let claims = json!({
            "iss": config.client_id,
            "sub": config.client_id,
            "aud": config.audience,
            "jti": uuid::Uuid::now_v7().to_string(),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME_S,
        });
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| "our assertion can't be signed".to_owned())
    }
}
