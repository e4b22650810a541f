//! What a verified token proves.

use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

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

/// Made only by [`Verifier::verify`](crate::Verifier::verify). Cheap to clone.
#[derive(Clone)]
pub struct VerifiedToken(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) issuer: Arc<str>,
    pub(crate) assurance: Arc<str>,
    pub(crate) subject: String,
    pub(crate) principal: Principal,
    pub(crate) token_id: Option<String>,
    pub(crate) sha256_hex: String,
    pub(crate) expires_at: u64,
    pub(crate) claims: Map<String, Value>,
}

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
    /// Called only where every check has passed.
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The issuer's name in the configuration.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
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
}
