//! For people: what a token holds, which checks it passes, and how an issuer's keys are reached.

use crate::{
    Algorithm, TokenError, Verifier,
    error::seconds,
    http_client::Tls,
    jwk,
    jws::Parts,
    ledger::{All, Check},
    presented::PresentedToken,
    source::{Loaded, Source, Step},
    verifier::Question,
};
use serde::Serialize;
use serde_json::{Map, Value};

/// Longer texts in claims are cut.
const TEXT_CHARS_MAX: usize = 200;

/// One check of a token, for a table.
#[derive(Debug, Clone, Serialize)]
pub struct CheckLine {
    /// Which.
    pub check: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// The refusal's stable code, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was found.
    pub detail: String,
    /// The next step, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It passed.
    Pass,
    /// It failed: the gateway refuses the token.
    Fail,
    /// It could not be made (no network was asked for, or another check had to pass first).
    Unknown,
}

/// Everything about one token.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The JOSE header; none where the token is opaque or malformed.
    pub header: Option<Map<String, Value>>,
    /// The claims, with what could be a secret cut out.
    pub claims: Option<Map<String, Value>>,
    /// The SHA-256 digest of the token, by which the audit log names it.
    pub sha256: String,
    /// The issuer of the configuration that it matched.
    pub issuer: Option<String>,
    /// Each check.
    pub checks: Vec<CheckLine>,
    /// True where the gateway accepts the token, apart from a proof of possession.
    pub accepted: bool,
    /// What it is bound to, so that a request must prove it.
    pub bound_to: Vec<&'static str>,
}

impl Verifier {
    /// Every check of a token, the failed ones with the next step. `offline`: fetches nothing.
    ///
    /// # Errors
    /// A route's issuers that the configuration does not have.
    pub async fn inspect(&self, token: &str, issuers: Option<&[String]>, now: u64) -> Result<Inspection, String> {
        let expected = self.expect(issuers).map_err(|name| format!("unknown issuer `{name}`"))?;
        let token = token.trim();
        let question = Question::new(token, &expected, now);
        let parts = Parts::read(token).ok();
        let claims = parts.as_ref().and_then(|parts| parts.claims().ok());
        let mut ledger = All::default();
        let mut issuer = None;
        if let Err(error) = PresentedToken::bare(token) {
            ledger.0.push((Check::Form, Some(error)));
        } else {
            let examined = self.examine(&question, &mut ledger).await;
            issuer = examined.ok().flatten().map(|examined| examined.issuer().to_owned());
        }
        let issuer = issuer.or_else(|| self.issuer_named(claims.as_ref()?));
        let accepted = !ledger.0.is_empty() && ledger.0.iter().all(|(_, fault)| fault.is_none());
        Ok(Inspection {
            header: parts.map(|parts| parts.header),
            bound_to: bound_to(claims.as_ref()),
            claims: claims.map(|claims| cut(claims, now)),
            sha256: crate::verifier::hex(&question.sha256),
            issuer,
            checks: lines(ledger),
            accepted,
        })
    }

    fn issuer_named(&self, claims: &Map<String, Value>) -> Option<String> {
        let iss = claims.get("iss")?.as_str()?;
        let found = self.issuers().iter().find(|issuer| issuer.config.issuers.iter().any(|known| known == iss))?;
        Some(found.config.name.clone())
    }
}

/// The checks that were made, each once: the worst outcome of those with one name.
fn lines(ledger: All) -> Vec<CheckLine> {
    let mut out: Vec<CheckLine> = Vec::new();
    for (check, fault) in ledger.0 {
        let line = line(check, fault.as_ref());
        match out.iter_mut().find(|known| known.check == line.check) {
            Some(known) if known.outcome == Outcome::Pass => *known = line,
            Some(_) => {}
            None => out.push(line),
        }
    }
    out
}

fn line(check: Check, fault: Option<&TokenError>) -> CheckLine {
    match fault {
        None => {
            CheckLine { check: check.name(), outcome: Outcome::Pass, code: None, detail: String::new(), advice: None }
        }
        Some(error) => CheckLine {
            check: check.name(),
            // Our own inability says nothing about the token.
            outcome: if error.is_unavailable() { Outcome::Unknown } else { Outcome::Fail },
            code: Some(error.code()),
            detail: error.to_string(),
            advice: Some(error.advice().to_owned()),
        },
    }
}

fn bound_to(claims: Option<&Map<String, Value>>) -> Vec<&'static str> {
    let Some(cnf) = claims.and_then(|claims| claims.get("cnf")) else { return Vec::new() };
    [("jkt", "a DPoP key"), ("x5t#S256", "a client certificate")]
        .into_iter()
        .filter_map(|(name, what)| cnf.get(name).map(|_| what))
        .collect()
}

/// The claims as a person may see them: what could be used as a credential is cut out, long texts are cut short, times are
/// told in words beside the number.
fn cut(claims: Map<String, Value>, now: u64) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in claims {
        let time = value.as_u64().filter(|_| matches!(name.as_str(), "exp" | "nbf" | "iat" | "auth_time"));
        let value = match time {
            Some(time) => Value::String(format!("{time} ({})", ago(time, now))),
            None => cut_value(&name, value),
        };
        out.insert(name, value);
    }
    out
}

fn ago(time: u64, now: u64) -> String {
    let span = |seconds: u64| seconds_in_words(seconds);
    if time > now { format!("in {}", span(time - now)) } else { format!("{} ago", span(now - time)) }
}

fn seconds_in_words(all: u64) -> String {
    match all {
        0..120 => seconds(std::time::Duration::from_secs(all)),
        120..7_200 => format!("{} min", all / 60),
        7_200..172_800 => format!("{} h", all / 3_600),
        _ => format!("{} d", all / 86_400),
    }
}

fn cut_value(name: &str, value: Value) -> Value {
    let lower = name.to_ascii_lowercase();
    let is_secret = ["secret", "password", "passwd", "token", "assertion", "nonce", "credential", "api_key", "apikey"]
        .iter()
        .any(|word| lower.contains(word) && lower != "token_use" && lower != "token_type");
    match value {
        Value::String(text) if is_secret || Parts::read(&text).is_ok() => {
            Value::String(format!("(cut: {} characters)", text.chars().count()))
        }
        Value::String(text) if text.chars().count() > TEXT_CHARS_MAX => {
            let more = text.chars().count() - TEXT_CHARS_MAX;
            Value::String(format!(
                "{}… ({more} more characters)",
                text.chars().take(TEXT_CHARS_MAX).collect::<String>()
            ))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| cut_value(name, item)).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name.clone(), cut_value(&name, value))).collect())
        }
        other => other,
    }
}

/// One exchange on the way to an issuer's keys.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeStep {
    /// `discovery`, `key set`, `introspection`.
    pub what: &'static str,
    /// The address, or the file.
    pub place: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// What was found, or what failed.
    pub detail: String,
    /// The version of TLS, where it was spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// The server's certificate, in DER.
    #[serde(skip)]
    pub certificate: Vec<u8>,
    /// The answer's `Date`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The answer's `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
}

/// How the way to an issuer's keys is.
#[derive(Debug, Clone, Serialize)]
pub struct Probe {
    /// The name in the configuration.
    pub issuer: String,
    /// Each exchange, in order.
    pub steps: Vec<ProbeStep>,
    /// Usable keys, and the algorithms each can be used with that the issuer's configuration names too.
    pub keys: Vec<(String, Vec<&'static str>)>,
    /// A word about each key that is at fault.
    pub refused: Vec<String>,
    /// Keys for something else than checking tokens.
    pub ignored: usize,
}

impl Verifier {
    /// Goes the way to the keys of the issuers anew, whatever is known: of all, or of the one that is named.
    pub async fn probe(&self, name: Option<&str>, now: u64) -> Vec<Probe> {
        let mut out = Vec::new();
        for issuer in self.issuers().iter().filter(|issuer| name.is_none_or(|name| issuer.config.name == name)) {
            let mut probe = Probe {
                issuer: issuer.config.name.clone(),
                steps: Vec::new(),
                keys: Vec::new(),
                refused: Vec::new(),
                ignored: 0,
            };
            let timeout = issuer.config.timing.fetch_timeout;
            let loaded = match &issuer.keys.source {
                Source::Remote(remote) => remote.load(timeout, &mut |step| probe.steps.push(told(step))).await.ok(),
                Source::File(path) => {
                    let read = issuer.keys.source.load(timeout).await;
                    let (ok, detail) = match &read {
                        Ok(_) => (true, "read".to_owned()),
                        Err(problem) => (false, problem.clone()),
                    };
                    probe.steps.push(plain("key set", path.display().to_string(), ok, detail));
                    read.ok()
                }
                Source::None => None,
            };
            if let Some(loaded) = loaded {
                probe.read_keys(&loaded, issuer.keys.selection(), &issuer.config.algorithms);
            }
            if let Some(introspector) = &issuer.introspector {
                let (ok, detail) = match introspector.probe(now).await {
                    Ok(()) => (true, "it takes us for its client".to_owned()),
                    Err(problem) => (false, problem),
                };
                probe.steps.push(plain("introspection", introspector.url().to_owned(), ok, detail));
            }
            out.push(probe);
        }
        out
    }
}

impl Probe {
    fn read_keys(&mut self, loaded: &Loaded, selection: jwk::Selection, algorithms: &[Algorithm]) {
        match jwk::read_set(&loaded.body, selection) {
            Ok(set) => {
                let names = |key: &jwk::Key| {
                    key.algorithms().filter(|one| algorithms.contains(one)).map(Algorithm::as_str).collect()
                };
                self.keys = set.keys.iter().map(|(kid, key)| (kid.clone(), names(key))).collect();
                self.keys.sort();
                (self.refused, self.ignored) = (set.refused, set.ignored);
            }
            Err(problem) => {
                if let Some(last) = self.steps.last_mut() {
                    (last.ok, last.detail) = (false, format!("it is no key set: {problem}"));
                }
            }
        }
    }
}

fn plain(what: &'static str, place: String, ok: bool, detail: String) -> ProbeStep {
    ProbeStep { what, place, ok, detail, tls: None, certificate: Vec::new(), date: None, cache_control: None }
}

fn told(step: Step) -> ProbeStep {
    let seen = match step.outcome {
        Ok(seen) => seen,
        Err(problem) => return plain(step.what, step.url, false, problem),
    };
    let field =
        |name: http::HeaderName| seen.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (tls, certificate) = match seen.tls.clone() {
        Some(Tls { version, leaf }) => (Some(version), leaf),
        None => (None, Vec::new()),
    };
    ProbeStep {
        tls,
        certificate,
        date: field(http::header::DATE),
        cache_control: field(http::header::CACHE_CONTROL),
        ..plain(step.what, step.url, true, seen.note)
    }
}
