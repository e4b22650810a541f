//! From an access request to a decision with its reasons. Pure: no clock, no input or output.
#![allow(missing_docs, clippy::todo)]
use airgate_identity::VerifiedToken;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Allow { pub route: String, pub methods: Vec<String>, /// `/api/orders/**`, `/api/*/lines`, exact paths; compared without case.
    pub paths: Vec<String> }
#[derive(Debug, Clone)]
pub struct Role { pub name: String, pub allow: Vec<Allow> }
#[derive(Debug, Clone)]
pub struct Grant {
    pub name: String,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Claim name -> accepted values; all must hold.
    pub conditions: BTreeMap<String, Vec<String>>,
    pub role: String,
    pub windows_identity: Option<String>,
}
/// A Cedar file beside the configuration, for what grants cannot say (forbid rules).
#[derive(Debug, Clone)]
pub struct PolicyFile { pub name: String, pub text: String }

#[derive(Debug, Clone, thiserror::Error)]
#[error("{place}: {message}")]
pub struct PolicyError { pub place: String, pub message: String, pub help: String }

#[derive(Debug)]
pub struct AccessRequest<'a> { pub token: &'a VerifiedToken, pub route: &'a str, pub method: &'a str, /// canonical
    pub path: &'a str }

#[derive(Debug, Clone)]
pub enum Decision { Permit(Permit), Deny(Denial) }
/// Made only by `Policy::decide`.
#[derive(Debug, Clone)]
pub struct Permit(());
impl Permit {
    pub fn grant(&self) -> &str { todo!() }
    pub fn role(&self) -> &str { todo!() }
    pub fn windows_identity(&self) -> Option<&str> { let () = self.0; todo!() }
    pub fn reason(&self) -> &str { todo!() }
}
#[derive(Debug, Clone)]
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

pub struct Policy(());
impl Policy {
    pub fn compile(roles: Vec<Role>, grants: Vec<Grant>, files: Vec<PolicyFile>) -> Result<Self, Vec<PolicyError>> { let _ = (roles, grants, files); todo!() }
    pub fn decide(&self, request: &AccessRequest<'_>) -> Decision { let _ = request; let () = self.0; todo!() }
}
