//! Why a token is refused: a closed set of faults.

use crate::Trap;
use std::time::Duration;

/// Why a token was refused. `code()` is stable (`token_expired`), `public()` and `help()` are what the caller may see,
/// `Display` and `advice()` are the whole detail for the operator. No part ever holds token text; claims and header values
/// that help to find the fault are escaped and cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenError {
    pub(crate) fault: Fault,
    pub(crate) trap: Option<Trap>,
}

/// The failed check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the request has no `Authorization: Bearer` or `DPoP` header")]
    Missing,
    #[error("the request has {count} `{field}` headers")]
    Repeated { field: &'static str, count: usize },
    #[error("the request carries a token in its {place} ({name})")]
    Elsewhere { place: &'static str, name: String },
    #[error("the token is malformed: {problem}")]
    Malformed { problem: &'static str },
    #[error("the token's header is refused: {problem}")]
    HeaderRefused { problem: &'static str },
    #[error("issuer `{issuer}`: the token is of the wrong type: {problem}")]
    TypeRefused { issuer: String, problem: String },
    #[error("no issuer that is trusted here has the `iss` {iss}")]
    IssuerUnknown { iss: String },
    #[error("issuer `{issuer}`: the algorithm {algorithm} is refused: {problem}")]
    AlgorithmNotAllowed { issuer: String, algorithm: String, problem: &'static str },
    #[error("issuer `{issuer}`: no usable key has the `kid` {kid}")]
    KeyUnknown { issuer: String, kid: String },
    #[error("issuer `{issuer}`: its keys are unavailable: {cause}")]
    KeysUnavailable { issuer: String, cause: String },
    #[error("issuer `{issuer}`: the signature is invalid under the key {kid}")]
    SignatureInvalid { issuer: String, kid: String },
    #[error("the token's claims are malformed: {problem}")]
    ClaimsMalformed { problem: String },
    #[error("issuer `{issuer}`: the claim {problem}")]
    ClaimRefused { issuer: String, problem: String },
    #[error("issuer `{issuer}`: `{claim}` {presented} names none of the accepted audiences {accepted}")]
    AudienceMismatch { issuer: String, claim: String, presented: String, accepted: String },
    #[error("issuer `{issuer}`: the token expired at {expired_at}, {seconds} s ago")]
    Expired { issuer: String, expired_at: u64, seconds: u64 },
    #[error("issuer `{issuer}`: the token's `{claim}` lies {seconds} s in the future")]
    NotYetValid { issuer: String, claim: &'static str, seconds: u64 },
    #[error("issuer `{issuer}`: the token lives {lifetime} s, at most {lifetime_max} s are accepted")]
    TooLongLived { issuer: String, lifetime: u64, lifetime_max: u64 },
    #[error("issuer `{issuer}`: the token was revoked here (`revoked_file`)")]
    Revoked { issuer: String },
    #[error("issuer `{issuer}`: its introspection endpoint says that the token is not active")]
    Inactive { issuer: String },
    #[error("issuer `{issuer}`: the token can't be introspected: {cause}")]
    IntrospectionUnavailable { issuer: String, cause: String },
    #[error("issuer `{issuer}`: no proof of possession: {problem}")]
    ProofMissing { issuer: String, problem: &'static str },
    #[error("issuer `{issuer}`: the proof of possession is refused: {problem}")]
    ProofRefused { issuer: String, problem: String },
    #[error("issuer `{issuer}`: the DPoP proof was used before")]
    ProofReplayed { issuer: String },
    #[error("issuer `{issuer}`: the DPoP proof {problem}")]
    NonceRequired { issuer: String, problem: &'static str, nonce: String },
    #[error("the memory of used DPoP proofs is full: {problem}")]
    ReplayCacheFull { problem: &'static str },
}

impl From<Fault> for TokenError {
    fn from(fault: Fault) -> Self {
        Self { fault, trap: None }
    }
}

impl std::fmt::Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault.fmt(f)?;
        match self.trap {
            Some(trap) => write!(f, "; {}", trap.public()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TokenError {}

/// What RFC 6750 §3.1, RFC 9449 §7.1 call a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// There was no credential: the challenge names no error.
    Bare,
    /// 400
    InvalidRequest,
    /// 401
    InvalidToken,
    /// 401
    InvalidDpopProof,
    /// 401, with a nonce in `DPoP-Nonce`.
    UseDpopNonce,
    /// Not the caller's fault: 503, no challenge.
    Unavailable,
}

impl TokenError {
    pub(crate) fn with_trap(fault: Fault, trap: Option<Trap>) -> Self {
        Self { fault, trap }
    }

    /// Stable, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.fault {
            Fault::Missing => "token_missing",
            Fault::Repeated { .. } => "token_repeated",
            Fault::Elsewhere { .. } => "token_misplaced",
            Fault::Malformed { .. } => "token_malformed",
            Fault::HeaderRefused { .. } => "token_header_refused",
            Fault::TypeRefused { .. } => "token_type_refused",
            Fault::IssuerUnknown { .. } => "issuer_unknown",
            Fault::AlgorithmNotAllowed { .. } => "algorithm_not_allowed",
            Fault::KeyUnknown { .. } => "key_unknown",
            Fault::KeysUnavailable { .. } => "keys_unavailable",
            Fault::SignatureInvalid { .. } => "signature_invalid",
            Fault::ClaimsMalformed { .. } => "claims_malformed",
            Fault::ClaimRefused { .. } => "claim_refused",
            Fault::AudienceMismatch { .. } => "audience_mismatch",
            Fault::Expired { .. } => "token_expired",
            Fault::NotYetValid { .. } => "token_not_yet_valid",
            Fault::TooLongLived { .. } => "token_too_long_lived",
            Fault::Revoked { .. } => "token_revoked",
            Fault::Inactive { .. } => "token_inactive",
            Fault::IntrospectionUnavailable { .. } => "introspection_unavailable",
            Fault::ProofMissing { .. } => "proof_missing",
            Fault::ProofRefused { .. } => "proof_refused",
            Fault::ProofReplayed { .. } => "proof_replayed",
            Fault::NonceRequired { .. } => "proof_nonce_required",
            Fault::ReplayCacheFull { .. } => "proof_memory_full",
        }
    }

    /// What the caller may see: the failed check, and nothing of the configuration.
    #[must_use]
    pub fn public(&self) -> String {
        let check = match &self.fault {
            Fault::Missing => "the request carries no token; send `Authorization: Bearer <token>`".to_owned(),
            Fault::Repeated { field, .. } => format!("the request carries more than one `{field}` header; send one"),
            Fault::Elsewhere { place, .. } => {
                format!("the request carries a token in its {place}; send it in the `Authorization` header alone")
            }
            Fault::Malformed { problem } => format!("the token is malformed: {problem}"),
            Fault::HeaderRefused { problem } => format!("the token's header is refused: {problem}"),
            Fault::TypeRefused { .. } => "the token is no access token of the kind that is accepted here".to_owned(),
            Fault::IssuerUnknown { .. } => "the token's issuer (`iss`) is not trusted here".to_owned(),
            Fault::AlgorithmNotAllowed { .. } => {
                "the token's algorithm (`alg`) is not accepted from this issuer or does not fit its key".to_owned()
            }
            Fault::KeyUnknown { .. } => "the token's key (`kid`) is not among the issuer's keys".to_owned(),
            Fault::KeysUnavailable { .. } => "the issuer's keys can't be had at the moment; try again later".to_owned(),
            Fault::SignatureInvalid { .. } => "the token's signature is invalid".to_owned(),
            Fault::ClaimsMalformed { problem } => format!("the token's claims are malformed: {problem}"),
            Fault::ClaimRefused { .. } => "the token lacks a claim that is required of its issuer's tokens".to_owned(),
            Fault::AudienceMismatch { claim, .. } => format!("the token is meant for another audience (`{claim}`)"),
            Fault::Expired { seconds, .. } => format!("the token expired {seconds} s ago; get a new one"),
            Fault::NotYetValid { claim, .. } => format!("the token is not valid yet (`{claim}` lies in the future)"),
            Fault::TooLongLived { lifetime, lifetime_max, .. } => {
                format!("the token lives {lifetime} s, longer than the {lifetime_max} s accepted from its issuer")
            }
            Fault::Revoked { .. } => "the token was revoked".to_owned(),
            Fault::Inactive { .. } => "the token is not active: expired, revoked or never issued".to_owned(),
            Fault::IntrospectionUnavailable { .. } => {
                "the token can't be checked at the moment; try again later".to_owned()
            }
            Fault::ProofMissing { problem, .. } => format!("the proof of possession is missing: {problem}"),
            Fault::ProofRefused { problem, .. } => format!("the proof of possession is refused: {problem}"),
            Fault::ProofReplayed { .. } => "the DPoP proof was used before; make a new one for each request".to_owned(),
            Fault::NonceRequired { .. } => "the DPoP proof must hold the nonce of the `DPoP-Nonce` header".to_owned(),
            Fault::ReplayCacheFull { .. } => "too many requests with DPoP proofs; try again later".to_owned(),
        };
        match self.trap {
            Some(trap) => format!("{check}; {}", trap.public()),
            None => check,
        }
    }

    /// What the caller can do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match &self.fault {
            Fault::Missing
            | Fault::Malformed { .. }
            | Fault::Expired { .. }
            | Fault::Revoked { .. }
            | Fault::Inactive { .. } => {
                "get a fresh token for this gateway; in Airflow the connection does that at each call"
            }
            Fault::Repeated { .. } | Fault::Elsewhere { .. } => {
                "send one token, in one `Authorization` header, and none in the query or in a cookie"
            }
            Fault::HeaderRefused { .. }
            | Fault::TypeRefused { .. }
            | Fault::IssuerUnknown { .. }
            | Fault::AlgorithmNotAllowed { .. }
            | Fault::SignatureInvalid { .. }
            | Fault::ClaimsMalformed { .. }
            | Fault::ClaimRefused { .. }
            | Fault::TooLongLived { .. } => {
                "ask for an access token of an issuer that this gateway trusts; its operator sees the whole reason in the audit log"
            }
            Fault::AudienceMismatch { .. } => "ask the issuer for a token whose audience is this gateway",
            Fault::KeyUnknown { .. } => {
                "try again in some seconds if the issuer has just changed its keys; else get a token of the right issuer"
            }
            Fault::KeysUnavailable { .. } | Fault::IntrospectionUnavailable { .. } | Fault::ReplayCacheFull { .. } => {
                "try again later; the gateway's operator finds the cause in its log"
            }
            Fault::NotYetValid { .. } => "set the clock of the machine that issues the token",
            Fault::ProofMissing { .. } | Fault::ProofRefused { .. } | Fault::ProofReplayed { .. } => {
                "prove the key that the token is bound to: a fresh DPoP proof for each request, or the client certificate"
            }
            Fault::NonceRequired { .. } => {
                "make a new proof with the `nonce` that this answer's `DPoP-Nonce` header holds"
            }
        }
    }

    /// What the operator can do, where the whole reason alone does not say it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        if let Some(trap) = self.trap {
            return trap.advice();
        }
        match &self.fault {
            Fault::Missing | Fault::Repeated { .. } | Fault::Malformed { .. } => self.help(),
            Fault::Elsewhere { .. } => {
                "take the token out; where the app behind the route has tokens of its own there, set the route's `app_tokens`"
            }
            Fault::HeaderRefused { .. } => {
                "look at how the issuer signs: these header parameters let a token choose its own key"
            }
            Fault::TypeRefused { .. } => "ask for an access token, or set the issuer's `token_types` to what it issues",
            Fault::IssuerUnknown { .. } => {
                "compare the `iss` with `url` of the issuers, letter by letter; name the issuer in the route's `issuers` if it has any"
            }
            Fault::AlgorithmNotAllowed { .. } => {
                "add the algorithm to the issuer's `algorithms` if the issuer really signs so"
            }
            Fault::KeyUnknown { .. } => "run `airgate issuer check`: it lists the keys that the issuer publishes",
            Fault::KeysUnavailable { .. } => "run `airgate issuer check`: it tells which step to the keys fails",
            Fault::SignatureInvalid { .. } => {
                "the token was changed, or signed by another with the same `kid`: get a fresh one"
            }
            Fault::ClaimsMalformed { .. } => "look at what the issuer puts into its tokens (`airgate token inspect`)",
            Fault::ClaimRefused { .. } => "compare the token with the issuer's `require` (`airgate token inspect`)",
            Fault::AudienceMismatch { .. } => "have the token issued for one of the issuer's `audiences`",
            Fault::Expired { .. } => "get a fresh token; if it is fresh, compare the clocks (`airgate issuer check`)",
            Fault::NotYetValid { .. } => "compare the clocks (`airgate issuer check`)",
            Fault::TooLongLived { .. } => "shorten the life of the issuer's tokens, or raise `lifetime_max`",
            Fault::Revoked { .. } => "take the line out of the issuer's `revoked_file` if it was put in by mistake",
            Fault::Inactive { .. } => "get a fresh token; the issuer's own log says why this one is not active",
            Fault::IntrospectionUnavailable { .. } => {
                "run `airgate issuer check`: it asks the introspection endpoint too"
            }
            Fault::ProofMissing { .. } | Fault::ProofRefused { .. } | Fault::NonceRequired { .. } => self.help(),
            Fault::ProofReplayed { .. } => {
                "if the caller made each proof anew, somebody has repeated its request: look at the peers"
            }
            Fault::ReplayCacheFull { .. } => "look who sends so many proofs, or raise `dpop.replays_max`",
        }
    }

    /// How HTTP calls it.
    #[must_use]
    pub fn challenge(&self) -> Challenge {
        match &self.fault {
            Fault::Missing => Challenge::Bare,
            Fault::Repeated { .. } | Fault::Elsewhere { .. } => Challenge::InvalidRequest,
            Fault::Malformed { .. }
            | Fault::HeaderRefused { .. }
            | Fault::TypeRefused { .. }
            | Fault::IssuerUnknown { .. }
            | Fault::AlgorithmNotAllowed { .. }
            | Fault::KeyUnknown { .. }
            | Fault::SignatureInvalid { .. }
            | Fault::ClaimsMalformed { .. }
            | Fault::ClaimRefused { .. }
            | Fault::AudienceMismatch { .. }
            | Fault::Expired { .. }
            | Fault::NotYetValid { .. }
            | Fault::TooLongLived { .. }
            | Fault::Revoked { .. }
            | Fault::Inactive { .. }
            | Fault::ProofMissing { .. } => Challenge::InvalidToken,
            Fault::ProofRefused { .. } | Fault::ProofReplayed { .. } => Challenge::InvalidDpopProof,
            Fault::NonceRequired { .. } => Challenge::UseDpopNonce,
            Fault::KeysUnavailable { .. } | Fault::IntrospectionUnavailable { .. } | Fault::ReplayCacheFull { .. } => {
                Challenge::Unavailable
            }
        }
    }

    /// True where the fault is ours (key set unreachable and stale): 503 instead of 401.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.challenge() == Challenge::Unavailable
    }

    /// The nonce that the next proof must hold, where that is what is missing.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        if let Fault::NonceRequired { nonce, .. } = &self.fault { Some(nonce) } else { None }
    }

    /// The provider's trap that the token fell into, where it is a known one.
    #[must_use]
    pub fn trap(&self) -> Option<Trap> {
        self.trap
    }

    /// One of each fault, for the generated reference page and exhaustive tests.
    #[must_use]
    pub fn examples() -> Vec<TokenError> {
        let issuer = || "airflow".to_owned();
        let faults = [
            Fault::Missing,
            Fault::Repeated { field: "Authorization", count: 2 },
            Fault::Elsewhere { place: "query", name: "\"access_token\"".to_owned() },
            Fault::Malformed { problem: "it is not three parts joined by dots" },
            Fault::HeaderRefused { problem: "`crit` is not supported" },
            Fault::TypeRefused { issuer: issuer(), problem: "`typ` is \"dpop+jwt\"".to_owned() },
            Fault::IssuerUnknown { iss: "\"https://elsewhere.example\"".to_owned() },
            Fault::AlgorithmNotAllowed {
                issuer: issuer(),
                algorithm: "\"HS256\"".to_owned(),
                problem: "it is not in the issuer's list",
            },
            Fault::KeyUnknown { issuer: issuer(), kid: "\"2026-01\"".to_owned() },
            Fault::KeysUnavailable { issuer: issuer(), cause: "no answer within 5 s".to_owned() },
            Fault::SignatureInvalid { issuer: issuer(), kid: "\"2026-01\"".to_owned() },
            Fault::ClaimsMalformed { problem: "`exp` is missing".to_owned() },
            Fault::ClaimRefused { issuer: issuer(), problem: "`token_use` is \"id\", not \"access\"".to_owned() },
            Fault::AudienceMismatch {
                issuer: issuer(),
                claim: "aud".to_owned(),
                presented: "\"api://other\"".to_owned(),
                accepted: "[\"api://airgate\"]".to_owned(),
            },
            Fault::Expired { issuer: issuer(), expired_at: 1_767_225_600, seconds: 42 },
            Fault::NotYetValid { issuer: issuer(), claim: "nbf", seconds: 300 },
            Fault::TooLongLived { issuer: issuer(), lifetime: 86_400, lifetime_max: 3_600 },
            Fault::Revoked { issuer: issuer() },
            Fault::Inactive { issuer: issuer() },
            Fault::IntrospectionUnavailable { issuer: issuer(), cause: "no answer within 5 s".to_owned() },
            Fault::ProofMissing { issuer: issuer(), problem: "the token is bound to a DPoP key" },
            Fault::ProofRefused { issuer: issuer(), problem: "`htm` is not the request's method".to_owned() },
            Fault::ProofReplayed { issuer: issuer() },
            Fault::NonceRequired { issuer: issuer(), problem: "holds no nonce", nonce: "AAAA".to_owned() },
            Fault::ReplayCacheFull { problem: "all places are taken" },
        ];
        faults.into_iter().map(TokenError::from).collect()
    }
}

/// A value of a peer's, fit for a log: quoted, control characters escaped (no forged lines), cut short.
pub(crate) fn shown(value: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut cut: String = value.chars().take(CHARS_MAX).collect();
    if cut.len() < value.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

/// A JSON value of a peer's, likewise.
pub(crate) fn shown_value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => shown(text),
        other => {
            let text = shown(&other.to_string());
            text.trim_matches('"').replace("\\\"", "\"")
        }
    }
}

/// `30 s`, for messages.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, mem::discriminant};

    /// Grows with the enum: a new variant does not compile until it is counted here.
    fn position(fault: &Fault) -> usize {
        match fault {
            Fault::Missing => 0,
            Fault::Repeated { .. } => 1,
            Fault::Elsewhere { .. } => 2,
            Fault::Malformed { .. } => 3,
            Fault::HeaderRefused { .. } => 4,
            Fault::TypeRefused { .. } => 5,
            Fault::IssuerUnknown { .. } => 6,
            Fault::AlgorithmNotAllowed { .. } => 7,
            Fault::KeyUnknown { .. } => 8,
            Fault::KeysUnavailable { .. } => 9,
            Fault::SignatureInvalid { .. } => 10,
            Fault::ClaimsMalformed { .. } => 11,
            Fault::ClaimRefused { .. } => 12,
            Fault::AudienceMismatch { .. } => 13,
            Fault::Expired { .. } => 14,
            Fault::NotYetValid { .. } => 15,
            Fault::TooLongLived { .. } => 16,
            Fault::Revoked { .. } => 17,
            Fault::Inactive { .. } => 18,
            Fault::IntrospectionUnavailable { .. } => 19,
            Fault::ProofMissing { .. } => 20,
            Fault::ProofRefused { .. } => 21,
            Fault::ProofReplayed { .. } => 22,
            Fault::NonceRequired { .. } => 23,
            Fault::ReplayCacheFull { .. } => 24,
        }
    }

    #[test]
    fn examples_hold_each_fault_once_with_a_code_of_its_own() {
        let examples = TokenError::examples();
        let positions: Vec<usize> = examples.iter().map(|error| position(&error.fault)).collect();
        assert_eq!(positions, (0..25).collect::<Vec<_>>());
        assert_eq!(examples.iter().map(|error| discriminant(&error.fault)).collect::<HashSet<_>>().len(), 25);
        assert_eq!(examples.iter().map(TokenError::code).collect::<HashSet<_>>().len(), 25);
        assert!(examples.iter().all(|e| !e.public().is_empty() && !e.help().is_empty() && !e.advice().is_empty()));
        assert_eq!(
            examples.iter().filter(|e| e.is_unavailable()).map(TokenError::code).collect::<Vec<_>>(),
            ["keys_unavailable", "introspection_unavailable", "proof_memory_full"]
        );
    }

    /// What the caller sees never helps an attacker: no name of the configuration, no value of it, no value of the token's.
    #[test]
    fn callers_see_nothing_of_the_configuration() {
        for error in TokenError::examples() {
            for text in [error.public(), error.help().to_owned()] {
                for secret in
                    ["`airflow`", "api://", "elsewhere", "2026-01", "answer within", "access\\\"", "HS256", "AAAA"]
                {
                    assert!(!text.contains(secret), "{}: {text}", error.code());
                }
            }
        }
    }

    #[test]
    fn values_of_peers_cannot_forge_a_log_line() {
        let text = shown("a\r\nb\u{1b}[31m\u{202e}");
        assert!(!text.contains(['\r', '\n', '\u{1b}', '\u{202e}']), "{text}");
        assert!(shown(&"x".repeat(10_000)).chars().count() < 100);
        let value = serde_json::json!(["a\r\n\u{1b}[31m", 7]);
        assert!(!shown_value(&value).contains(['\r', '\n', '\u{1b}']), "{}", shown_value(&value));
    }
}
