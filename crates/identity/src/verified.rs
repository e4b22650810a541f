//! What a verified token proves.

use crate::{
    confirm::{Confirmation, Proven},
    ledger::Clean,
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// One try of one task instance in Airflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPrincipal {
    /// The DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// The task in it.
    pub task_id: String,
    /// -1 where the task is not mapped.
    pub map_index: i64,
    /// 1 for the first try.
    pub try_number: i64,
    /// The try's own id, where the issuer gives one.
    pub ti_id: Option<String>,
}

/// The verified party. Keyed by (issuer, subject).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A task instance.
    Job(JobPrincipal),
    /// Any other program.
    Workload,
}

/// A token whose every claim was checked; whether its presenter may use it is another question. It holds no token text.
pub(crate) struct Claimed {
    pub(crate) issuer: Arc<str>,
    /// Place among the issuers, and the generation of its keys: what was verified under other keys counts for nothing.
    pub(crate) position: usize,
    pub(crate) generation: u64,
    pub(crate) iss: String,
    pub(crate) assurance: Arc<str>,
    pub(crate) subject: String,
    pub(crate) principal: Principal,
    pub(crate) token_id: Option<String>,
    pub(crate) sha256_hex: String,
    pub(crate) expires_at: u64,
    pub(crate) confirmation: Confirmation,
    /// The configured attributes; `None` where the token has none. They hide claims of the same name.
    pub(crate) attributes: BTreeMap<String, Option<Value>>,
    pub(crate) claims: Map<String, Value>,
    /// Every check passed.
    pub(crate) _clean: Clean,
}

/// Made only by [`Verifier::verify`](crate::Verifier::verify). Cheap to clone.
#[derive(Clone)]
pub struct VerifiedToken(Arc<Claimed>, Proven, Option<String>);

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.0.issuer)
            .field("subject", &self.0.subject)
            .field("sha256", &self.0.sha256_hex)
            .field("expires_at", &self.0.expires_at)
            .finish_non_exhaustive()
    }
}

impl VerifiedToken {
    /// Called only where its presenter has proven what the token is bound to.
    pub(crate) fn new(claimed: Arc<Claimed>, proven: Proven, next_nonce: Option<String>) -> Self {
        Self(claimed, proven, next_nonce)
    }

    /// The issuer's name in the configuration.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }
    /// `iss`: one name in the configuration may stand for several.
    #[must_use]
    pub fn iss(&self) -> &str {
        &self.0.iss
    }
    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }
    /// Who the token speaks for.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }
    /// `task`, `worker` or `client`.
    #[must_use]
    pub fn assurance(&self) -> &str {
        &self.0.assurance
    }
    /// `jti`.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }
    /// The SHA-256 digest of the token's text, in lower-case hexadecimal: names the token without giving it away.
    #[must_use]
    pub fn sha256_hex(&self) -> &str {
        &self.0.sha256_hex
    }
    /// Seconds since 1970.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.0.expires_at
    }
    /// All claims, verified.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.0.claims
    }
    /// What policy looks at under this name: the configured attribute, or else the claim at the top.
    ///
    /// INVARIANT: a configured attribute that the token lacks is absent, whatever claim of its name there is.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        match self.0.attributes.get(name) {
            Some(configured) => configured.as_ref(),
            None => self.0.claims.get(name),
        }
    }
    /// All that policy can look at.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Value)> {
        let configured = self.0.attributes.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?)));
        let claims = self.0.claims.iter().filter(|(name, _)| !self.0.attributes.contains_key(name.as_str()));
        configured.chain(claims.map(|(name, value)| (name.as_str(), value)))
    }
    /// What the presenter proved beyond having the token.
    #[must_use]
    pub fn proven(&self) -> Proven {
        self.1
    }
    /// The nonce for the next DPoP proof, where the one of this proof is about to end.
    #[must_use]
    pub fn next_nonce(&self) -> Option<&str> {
        self.2.as_deref()
    }
}
