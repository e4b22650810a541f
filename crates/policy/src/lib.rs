//! From an access request to a decision with its reasons. Pure: no clock, no input or output.
//!
//! Roles and grants are compiled to Cedar policies once; Cedar takes each decision. What is not granted is denied, a
//! `forbid` of a policy file wins over any grant, and whatever Cedar could not evaluate denies.

mod compile;
mod decide;
mod decision;
mod explain;
mod files;
mod generate;
mod pattern;
mod request;
mod slices;
mod text;

pub use decision::{Decision, Denial, Permit};

use airgate_identity::VerifiedToken;
use slices::Slices;
use std::collections::BTreeMap;

/// One thing a role allows: these methods on these paths of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// The route's name in the configuration.
    pub route: String,
    /// Upper-case; `*` for all that HTTP servers on IIS know.
    pub methods: Vec<String>,
    /// `/api/orders/**`, `/api/*/lines`, exact paths; compared without case.
    pub paths: Vec<String>,
}

/// What a grant gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The name in the configuration.
    pub name: String,
    /// Anything here is allowed.
    pub allow: Vec<Allow>,
}

/// Who has a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The name in the configuration.
    pub name: String,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Claim name -> accepted values; all must hold.
    pub conditions: BTreeMap<String, Vec<String>>,
    /// The role's name.
    pub role: String,
    /// As whom the gateway signs in upstream.
    pub windows_identity: Option<String>,
}

/// A Cedar file beside the configuration, for what grants cannot say (forbid rules).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// The file's name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What is wrong with the roles, grants or policy files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct PolicyError {
    /// `role.orders-writer.allow[0].paths[1]`, `policies.cedar:3:1`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub help: String,
}

/// What is to be decided.
#[derive(Debug)]
pub struct AccessRequest<'a> {
    /// Who asks.
    pub token: &'a VerifiedToken,
    /// The route's name in the configuration.
    pub route: &'a str,
    /// As sent: methods are compared with case (RFC 9110 §9.1).
    pub method: &'a str,
    /// Canonical.
    pub path: &'a str,
}

/// All roles, grants and policy files, compiled.
pub struct Policy {
    roles: BTreeMap<String, compile::CompiledRole>,
    grants: Vec<Grant>,
    slices: Slices,
    forbids: Option<files::Forbids>,
    authorizer: cedar_policy::Authorizer,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("roles", &self.roles.len())
            .field("grants", &self.grants.len())
            .finish_non_exhaustive()
    }
}

/// The methods that a role can allow, and that `*` means: HTTP's own (RFC 9110, RFC 5789) and those of WebDAV and OData.
/// `TRACE` and `CONNECT` are not for an application.
pub(crate) const METHODS: [&str; 21] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "ACL",
    "MERGE",
    "VERSION-CONTROL",
    "CHECKOUT",
    "CHECKIN",
];
