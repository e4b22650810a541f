//! Why a sign-in failed: a closed set, each with a stable code, a sentence for the caller and a detail for the log.

use std::time::Duration;

/// Longest detail kept of what a library or a peer said.
const DETAIL_CHARS_MAX: usize = 300;

/// Why a sign-in failed. `code()` is stable, `public()` what the caller may see, `Display` the detail for the log (the
/// KDC's words included). No variant ever holds a ticket or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The grant maps the principal to no Windows identity, and the upstream needs one.
    #[error("the upstream signs in by Kerberos and the grant names no Windows identity")]
    NoIdentity,
    /// The mapped name is not one that can be looked up without doubt.
    #[error("Windows identity `{identity}`: {detail}")]
    InvalidIdentity {
        /// As the grant has it, shortened.
        identity: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The directory refuses to issue a ticket for this user: unknown, disabled, expired, outside its hours.
    #[error("the KDC refused `{identity}`: {detail}")]
    IdentityRefused {
        /// The mapped name.
        identity: String,
        /// The KDC's words.
        detail: String,
    },
    /// The gateway may not act for this user towards this service.
    #[error("the KDC refused delegation of `{identity}` to `{spn}`: {detail}")]
    DelegationRefused {
        /// The mapped name.
        identity: String,
        /// The upstream's service principal.
        spn: String,
        /// The KDC's words.
        detail: String,
    },
    /// The gateway's own keytab or account.
    #[error("gateway credential `{principal}`: {detail}")]
    GatewayCredential {
        /// The gateway's account.
        principal: String,
        /// What is wrong, and the next step.
        detail: String,
    },
    /// No KDC can be reached, or none answered moments ago.
    #[error("no KDC: {detail}")]
    KdcUnavailable {
        /// The library's words, or that it was not tried again yet.
        detail: String,
    },
    /// The KDC did not answer within `kdc_timeout`.
    #[error("the KDC did not answer within {} ms", .waited.as_millis())]
    KdcTimeout {
        /// How long the request waited.
        waited: Duration,
    },
    /// Too many sign-ins are waiting for the KDC.
    #[error("too many sign-ins wait for the KDC")]
    Busy,
    /// The answer did not prove that it came from the upstream's account.
    #[error("mutual authentication with the upstream failed: {detail}")]
    MutualAuthenticationFailed {
        /// What was missing or wrong.
        detail: String,
    },
    /// The upstream answered 401 to a fresh credential.
    #[error("the upstream refused the sign-in: {detail}")]
    UpstreamRefusedSignIn {
        /// What it said, without tokens.
        detail: String,
    },
    /// The sign-in's configuration.
    #[error("sign-in configuration: {detail}")]
    Configuration {
        /// The value, what is wrong with it, and the next step.
        detail: String,
    },
    /// A library failed in a way that has no better name.
    #[error("sign-in failed: {detail}")]
    Internal {
        /// The library's words.
        detail: String,
    },
}

impl SignInError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoIdentity => "no_identity",
            Self::InvalidIdentity { .. } => "identity_invalid",
            Self::IdentityRefused { .. } => "identity_refused",
            Self::DelegationRefused { .. } => "delegation_refused",
            Self::GatewayCredential { .. } => "gateway_credential",
            Self::KdcUnavailable { .. } => "kdc_unavailable",
            Self::KdcTimeout { .. } => "kdc_timeout",
            Self::Busy => "sign_in_busy",
            Self::MutualAuthenticationFailed { .. } => "mutual_authentication_failed",
            Self::UpstreamRefusedSignIn { .. } => "upstream_refused_sign_in",
            Self::Configuration { .. } => "sign_in_configuration",
            Self::Internal { .. } => "sign_in_failed",
        }
    }

    /// What the caller may see: what failed and what to do, without the KDC's words, paths or the gateway's account.
    #[must_use]
    pub fn public(&self) -> String {
        match self {
            Self::NoIdentity => "this route signs in as a Windows identity and the grant names none: add \
                 `windows_identity` to the grant"
                .to_owned(),
            Self::InvalidIdentity { identity, .. } => format!(
                "the Windows identity `{identity}` of the grant is not a name that can be looked up: write it as \
                 `user@realm`"
            ),
            Self::IdentityRefused { identity, .. } => format!(
                "the directory refused the Windows identity `{identity}`: check that the account exists, is enabled and \
                 has not expired"
            ),
            Self::DelegationRefused { identity, .. } => format!(
                "the directory does not let the gateway act as `{identity}` towards this upstream: check that the \
                 upstream's service principal is in the gateway account's delegation list and that the user is not \
                 marked as sensitive"
            ),
            Self::GatewayCredential { .. } => {
                "the gateway cannot sign in with its own account: its operator finds the cause in the gateway's log"
                    .to_owned()
            }
            Self::KdcUnavailable { .. } => "no domain controller can be reached: try again in a few seconds".to_owned(),
            Self::KdcTimeout { .. } => {
                "the domain controller did not answer in time: try again in a few seconds".to_owned()
            }
            Self::Busy => {
                "too many sign-ins are waiting for the domain controller: try again in a few seconds".to_owned()
            }
            Self::MutualAuthenticationFailed { .. } => {
                "the upstream did not prove its identity, so its answer was dropped: check that the configured service \
                 principal is the account that the upstream runs as"
                    .to_owned()
            }
            Self::UpstreamRefusedSignIn { .. } => {
                "the upstream refused the sign-in: check its authentication settings and its own log".to_owned()
            }
            Self::Configuration { .. } => {
                "the sign-in of this route is not configured rightly: its operator finds the cause in the gateway's log"
                    .to_owned()
            }
            Self::Internal { .. } => "the sign-in failed: the gateway's operator finds the cause in its log".to_owned(),
        }
    }

    /// 503: try again later (the KDC is away or busy). 502: the upstream, the directory or the configuration refused.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::KdcUnavailable { .. } | Self::KdcTimeout { .. } | Self::Busy => 503,
            Self::NoIdentity
            | Self::InvalidIdentity { .. }
            | Self::IdentityRefused { .. }
            | Self::DelegationRefused { .. }
            | Self::GatewayCredential { .. }
            | Self::MutualAuthenticationFailed { .. }
            | Self::UpstreamRefusedSignIn { .. }
            | Self::Configuration { .. }
            | Self::Internal { .. } => 502,
        }
    }

    /// One of each, for the reference page.
    #[must_use]
    pub fn examples() -> Vec<SignInError> {
        let (identity, detail) = ("svc-orders@corp.example".to_owned(), "what the other side said".to_owned());
        let spn = "HTTP/iis01.corp.example@CORP.EXAMPLE".to_owned();
        vec![
            Self::NoIdentity,
            Self::InvalidIdentity { identity: identity.clone(), detail: detail.clone() },
            Self::IdentityRefused { identity: identity.clone(), detail: detail.clone() },
            Self::DelegationRefused { identity, spn, detail: detail.clone() },
            Self::GatewayCredential { principal: "svc-gw@CORP.EXAMPLE".to_owned(), detail: detail.clone() },
            Self::KdcUnavailable { detail: detail.clone() },
            Self::KdcTimeout { waited: Duration::from_secs(5) },
            Self::Busy,
            Self::MutualAuthenticationFailed { detail: detail.clone() },
            Self::UpstreamRefusedSignIn { detail: detail.clone() },
            Self::Configuration { detail: detail.clone() },
            Self::Internal { detail },
        ]
    }
}

/// Text from outside, made fit for one line of a log: no control characters, a bounded length.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().take(DETAIL_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_example_has_a_code_of_its_own_and_a_sentence_without_the_detail() {
        let examples = SignInError::examples();
        let codes: HashSet<_> = examples.iter().map(SignInError::code).collect();
        assert_eq!(codes.len(), examples.len());
        for error in examples {
            assert!(!error.public().contains("what the other side said"), "{}", error.code());
            assert!(matches!(error.status(), 502 | 503));
        }
    }

    #[test]
    fn text_from_outside_stays_on_one_line_and_is_bounded() {
        assert_eq!(one_line("a\r\nb\u{1b}c"), "a  b c");
        assert_eq!(one_line(&"é".repeat(5000)).chars().count(), DETAIL_CHARS_MAX);
    }
}
