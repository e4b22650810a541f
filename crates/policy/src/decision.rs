//! What was decided, and why.

/// The outcome of [`Policy::decide`](crate::Policy::decide).
#[derive(Debug, Clone)]
pub enum Decision {
    /// Go ahead.
    Permit(Permit),
    /// Don't.
    Deny(Denial),
}

/// Made only by [`Policy::decide`](crate::Policy::decide).
#[derive(Debug, Clone)]
pub struct Permit {
    grant: String,
    role: String,
    windows_identity: Option<String>,
    reason: String,
}

impl Permit {
    /// Called only where Cedar permitted.
    pub(crate) fn new(grant: String, role: String, windows_identity: Option<String>, reason: String) -> Self {
        Self { grant, role, windows_identity, reason }
    }

    /// The grant; the first by name where several permit.
    #[must_use]
    pub fn grant(&self) -> &str {
        &self.grant
    }
    /// The role it gives.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }
    /// As whom to sign in upstream.
    #[must_use]
    pub fn windows_identity(&self) -> Option<&str> {
        self.windows_identity.as_deref()
    }
    /// For people: every grant that permits.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// A refusal with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Stable: `no_grant`, `not_in_role`, `forbidden_by_policy`, `ambiguous_identity`, `policy_error`.
    pub code: &'static str,
    /// What was refused and why, for people: also the caller.
    pub public: String,
    /// What to change, for people: also the caller.
    pub help: String,
    /// The grant that came closest, where one did.
    pub grant: Option<String>,
    /// The whole reason, for the log.
    pub detail: String,
}
