//! Why a token is refused, and why a set of issuers is.

use std::path::PathBuf;

/// Why a token was refused: a closed set. `code()` is stable (`token_expired`), `public()` is what the caller may
/// see (names the failed check), `Display` is the whole detail for the log. No variant ever holds token text; claims and
/// header values that help to find the fault are escaped and cut short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No `Authorization` header, or one of another scheme.
    #[error("the request has no `Authorization: Bearer` header")]
    Missing,
    /// More than one `Authorization` header: which one is checked must not be left to chance.
    #[error("the request has {count} `Authorization` headers")]
    Repeated {
        /// How many there were.
        count: usize,
    },
    /// Not a compact JWS as RFC 7515 §7.1 says.
    #[error("the token is malformed: {problem}")]
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header parameter that is never accepted: `crit`, an embedded key, another token type.
    #[error("the token's header is refused: {problem}")]
    HeaderRefused {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No issuer of the configuration has this `iss`.
    #[error("no configured issuer has the `iss` {iss}")]
    IssuerUnknown {
        /// The claim, escaped and cut short.
        iss: String,
    },
    /// `alg` is not in the issuer's list, or does not fit the key.
    #[error("issuer `{issuer}`: the algorithm {algorithm} is refused: {problem}")]
    AlgorithmNotAllowed {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The header's `alg`, escaped and cut short.
        algorithm: String,
        /// Which check refused it.
        problem: &'static str,
    },
    /// The key set is up to date and has no usable key with this `kid`.
    #[error("issuer `{issuer}`: no usable key has the `kid` {kid}")]
    KeyUnknown {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The header's `kid`, escaped and cut short.
        kid: String,
    },
    /// The key set can't be had, and what is known of it is too old or lacks the key.
    #[error("issuer `{issuer}`: its keys are unavailable: {cause}")]
    KeysUnavailable {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Why the last attempt failed.
        cause: String,
    },
    /// The signature is not the key's over this token.
    #[error("issuer `{issuer}`: the signature is invalid under the key {kid}")]
    SignatureInvalid {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The header's `kid`, escaped and cut short.
        kid: String,
    },
    /// A mandatory claim is missing or a claim has the wrong type.
    #[error("the token's claims are malformed: {problem}")]
    ClaimsMalformed {
        /// Which claim, and what is wrong with it.
        problem: String,
    },
    /// `aud` names none of the issuer's audiences.
    #[error("issuer `{issuer}`: the `aud` {presented} names none of the accepted audiences {accepted}")]
    AudienceMismatch {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The claim, escaped and cut short.
        presented: String,
        /// What the configuration accepts.
        accepted: String,
    },
    /// `exp` has passed.
    #[error("issuer `{issuer}`: the token expired at {expired_at}, {seconds} s ago")]
    Expired {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Seconds since 1970.
        expired_at: u64,
        /// How long ago.
        seconds: u64,
    },
    /// `nbf` or `iat` lies in the future.
    #[error("issuer `{issuer}`: the token's `{claim}` lies {seconds} s in the future")]
    NotYetValid {
        /// The issuer's name in the configuration.
        issuer: String,
        /// `nbf` or `iat`.
        claim: &'static str,
        /// How far.
        seconds: u64,
    },
    /// The token lives longer than the issuer's tokens may.
    #[error("issuer `{issuer}`: the token lives {lifetime} s, at most {lifetime_max} s are accepted")]
    TooLongLived {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Seconds from `iat` (or from now, without one) to `exp`.
        lifetime: u64,
        /// The configured limit in seconds.
        lifetime_max: u64,
    },
}

impl TokenError {
    /// Stable, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Repeated { .. } => "token_repeated",
            Self::Malformed { .. } => "token_malformed",
            Self::HeaderRefused { .. } => "token_header_refused",
            Self::IssuerUnknown { .. } => "issuer_unknown",
            Self::AlgorithmNotAllowed { .. } => "algorithm_not_allowed",
            Self::KeyUnknown { .. } => "key_unknown",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::SignatureInvalid { .. } => "signature_invalid",
            Self::ClaimsMalformed { .. } => "claims_malformed",
            Self::AudienceMismatch { .. } => "audience_mismatch",
            Self::Expired { .. } => "token_expired",
            Self::NotYetValid { .. } => "token_not_yet_valid",
            Self::TooLongLived { .. } => "token_too_long_lived",
        }
    }

    /// What the caller may see: the failed check, and nothing of the configuration.
    #[must_use]
    pub fn public(&self) -> String {
        match self {
            Self::Missing => "the request carries no bearer token; send `Authorization: Bearer <token>`".to_owned(),
            Self::Repeated { .. } => "the request carries more than one `Authorization` header; send one".to_owned(),
            Self::Malformed { problem } => format!("the token is malformed: {problem}"),
            Self::HeaderRefused { problem } => format!("the token's header is refused: {problem}"),
            Self::IssuerUnknown { .. } => "the token's issuer (`iss`) is not trusted here".to_owned(),
            Self::AlgorithmNotAllowed { .. } => {
                "the token's algorithm (`alg`) is not accepted from this issuer or does not fit its key".to_owned()
            }
            Self::KeyUnknown { .. } => "the token's key (`kid`) is not among the issuer's keys".to_owned(),
            Self::KeysUnavailable { .. } => "the issuer's keys can't be had at the moment; try again later".to_owned(),
            Self::SignatureInvalid { .. } => "the token's signature is invalid".to_owned(),
            Self::ClaimsMalformed { problem } => format!("the token's claims are malformed: {problem}"),
            Self::AudienceMismatch { .. } => "the token is meant for another audience (`aud`)".to_owned(),
            Self::Expired { seconds, .. } => format!("the token expired {seconds} s ago; get a new one"),
            Self::NotYetValid { claim, .. } => format!("the token is not valid yet (`{claim}` lies in the future)"),
            Self::TooLongLived { lifetime, lifetime_max, .. } => {
                format!("the token lives {lifetime} s, longer than the {lifetime_max} s accepted from its issuer")
            }
        }
    }

    /// True where the fault is ours (key set unreachable and stale): 503 instead of 401.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::KeysUnavailable { .. } => true,
            Self::Missing
            | Self::Repeated { .. }
            | Self::Malformed { .. }
            | Self::HeaderRefused { .. }
            | Self::IssuerUnknown { .. }
            | Self::AlgorithmNotAllowed { .. }
            | Self::KeyUnknown { .. }
            | Self::SignatureInvalid { .. }
            | Self::ClaimsMalformed { .. }
            | Self::AudienceMismatch { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::TooLongLived { .. } => false,
        }
    }

    /// One of each variant, for the generated reference page and exhaustive tests.
    #[must_use]
    pub fn examples() -> Vec<TokenError> {
        let issuer = || "airflow".to_owned();
        vec![
            Self::Missing,
            Self::Repeated { count: 2 },
            Self::Malformed { problem: "it is not three parts joined by dots" },
            Self::HeaderRefused { problem: "`crit` is not supported" },
            Self::IssuerUnknown { iss: "\"https://elsewhere.example\"".to_owned() },
            Self::AlgorithmNotAllowed {
                issuer: issuer(),
                algorithm: "\"HS256\"".to_owned(),
                problem: "it is not in the issuer's list",
            },
            Self::KeyUnknown { issuer: issuer(), kid: "\"2026-01\"".to_owned() },
            Self::KeysUnavailable { issuer: issuer(), cause: "no answer within 5 s".to_owned() },
            Self::SignatureInvalid { issuer: issuer(), kid: "\"2026-01\"".to_owned() },
            Self::ClaimsMalformed { problem: "`exp` is missing".to_owned() },
            Self::AudienceMismatch {
                issuer: issuer(),
                presented: "\"api://other\"".to_owned(),
                accepted: "[\"api://airgate\"]".to_owned(),
            },
            Self::Expired { issuer: issuer(), expired_at: 1_767_225_600, seconds: 42 },
            Self::NotYetValid { issuer: issuer(), claim: "nbf", seconds: 300 },
            Self::TooLongLived { issuer: issuer(), lifetime: 86_400, lifetime_max: 3_600 },
        ]
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

/// What is wrong with a configured issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// A setting that must not be empty, is.
    #[error("issuer `{issuer}`: `{setting}` is empty")]
    Empty {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Which setting.
        setting: &'static str,
    },
    /// Two issuers have the same name or the same `iss`.
    #[error("issuer `{issuer}`: another issuer has the same {what} `{value}`")]
    Duplicate {
        /// The issuer's name in the configuration.
        issuer: String,
        /// `name` or `url`.
        what: &'static str,
        /// The value they share.
        value: String,
    },
    /// Neither `task`, `worker` nor `client`.
    #[error("issuer `{issuer}`: unknown assurance `{assurance}`")]
    AssuranceUnknown {
        /// The issuer's name in the configuration.
        issuer: String,
        /// What is configured.
        assurance: String,
    },
    /// The key set's URL can't be used.
    #[error("issuer `{issuer}`: the key set's URL can't be used: {problem}")]
    KeysUrl {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Why.
        problem: &'static str,
    },
    /// The key set's file can't be read, or holds no usable key.
    #[error("issuer `{issuer}`: the key set `{path}` can't be used: {problem}")]
    KeysFile {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The certificates to trust can't be used.
    #[error("issuer `{issuer}`: can't set up TLS for the key set: {problem}")]
    Tls {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Why.
        problem: String,
    },
}

impl IssuerError {
    /// The issuer's name in the configuration.
    #[must_use]
    pub fn issuer(&self) -> &str {
        match self {
            Self::Empty { issuer, .. }
            | Self::Duplicate { issuer, .. }
            | Self::AssuranceUnknown { issuer, .. }
            | Self::KeysUrl { issuer, .. }
            | Self::KeysFile { issuer, .. }
            | Self::Tls { issuer, .. } => issuer,
        }
    }

    /// The next step.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Empty { setting, .. } => {
                format!("give at least one value for `{setting}`: a token is never accepted without that check")
            }
            Self::Duplicate { .. } => {
                "merge the two, or remove one: a token must lead to exactly one issuer".to_owned()
            }
            Self::AssuranceUnknown { .. } => "use `task`, `worker` or `client`".to_owned(),
            Self::KeysUrl { .. } => {
                "give the full https URL of the key set (`jwks_uri` in the issuer's discovery document)".to_owned()
            }
            Self::KeysFile { .. } => {
                "give a JSON Web Key Set with public signing keys that have a `kid`: {\"keys\": [...]}".to_owned()
            }
            Self::Tls { .. } => "give a PEM file with at least one certificate authority".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, mem::discriminant};

    /// Grows with the enum: a new variant does not compile until it is counted here.
    fn position(error: &TokenError) -> usize {
        match error {
            TokenError::Missing => 0,
            TokenError::Repeated { .. } => 1,
            TokenError::Malformed { .. } => 2,
            TokenError::HeaderRefused { .. } => 3,
            TokenError::IssuerUnknown { .. } => 4,
            TokenError::AlgorithmNotAllowed { .. } => 5,
            TokenError::KeyUnknown { .. } => 6,
            TokenError::KeysUnavailable { .. } => 7,
            TokenError::SignatureInvalid { .. } => 8,
            TokenError::ClaimsMalformed { .. } => 9,
            TokenError::AudienceMismatch { .. } => 10,
            TokenError::Expired { .. } => 11,
            TokenError::NotYetValid { .. } => 12,
            TokenError::TooLongLived { .. } => 13,
        }
    }

    #[test]
    fn examples_hold_each_variant_once_with_a_code_of_its_own() {
        let examples = TokenError::examples();
        let positions: Vec<usize> = examples.iter().map(position).collect();
        assert_eq!(positions, (0..14).collect::<Vec<_>>());
        assert_eq!(examples.iter().map(discriminant).collect::<HashSet<_>>().len(), 14);
        assert_eq!(examples.iter().map(TokenError::code).collect::<HashSet<_>>().len(), 14);
        assert!(examples.iter().all(|e| !e.public().is_empty()));
        assert_eq!(
            examples.iter().filter(|e| e.is_unavailable()).map(TokenError::code).collect::<Vec<_>>(),
            ["keys_unavailable"]
        );
    }

    #[test]
    fn values_of_peers_cannot_forge_a_log_line() {
        let text = shown("a\r\nb\u{1b}[31m\u{202e}");
        assert!(!text.contains(['\r', '\n', '\u{1b}', '\u{202e}']), "{text}");
        assert!(shown(&"x".repeat(10_000)).chars().count() < 100);
    }
}
