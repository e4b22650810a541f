//! The closed set of reasons for which a request gets no answer from its upstream, and what each becomes: a status, an
//! RFC 9457 problem document for the caller, a whole reason for the log.

use crate::path::PathError;
use airgate_audit::{Ending, Unavailable};
use airgate_identity::{Challenge, TokenError};
use airgate_policy::Denial;
use airgate_signin::SignInError;
use http::StatusCode;
use serde::Serialize;
use std::time::Duration;

/// Why there was no answer. No `_` arm below: a new reason must say what it becomes.
#[derive(Debug)]
pub(crate) enum Refusal {
    MethodRefused(String),
    TargetTooLong { bytes: usize, max: usize },
    HeadersTooLarge { bytes: usize, max: usize },
    BadTarget(&'static str),
    BadHost(&'static str),
    Path(PathError),
    RouteUnknown(String),
    BodyTooLarge { max: u64 },
    BodyTimeout(Duration),
    BodyFailed(String),
    Token(TokenError),
    Denied(Denial),
    AuditUnavailable(Unavailable),
    SignIn(SignInError),
    UpstreamRefusedSignIn,
    Upstream(UpstreamError),
}

/// What went wrong between us and an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("all {max} connections of this identity stayed busy")]
    Busy { max: usize },
    #[error("it can't be reached: {0}")]
    Unreachable(String),
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    #[error("it did not accept a connection within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    #[error("it did not answer within {} ms", .0.as_millis())]
    AnswerTimeout(Duration),
    #[error("it took no byte of the body for {} ms", .0.as_millis())]
    Stalled(Duration),
    #[error("it closed the connection or answered what is not HTTP/1.1: {0}")]
    Closed(String),
}

/// A refusal. With an index, an intent holds it as its outcome; without, it becomes an entry of its own.
#[derive(Debug)]
pub struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) index: Option<u64>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, index: None }
    }
}

impl Refusal {
    /// Stable: scripts and dashboards lean on it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::MethodRefused(_) => "method_refused",
            Self::TargetTooLong { .. } => "target_too_long",
            Self::HeadersTooLarge { .. } => "headers_too_large",
            Self::BadTarget(_) => "target_malformed",
            Self::BadHost(_) => "host_malformed",
            Self::Path(_) => "path_not_canonical",
            Self::RouteUnknown(_) => "route_unknown",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTimeout(_) => "body_timeout",
            Self::BodyFailed(_) => "body_failed",
            Self::Token(error) => error.code(),
            Self::Denied(denial) => denial.code,
            Self::AuditUnavailable(_) => "audit_unavailable",
            Self::SignIn(error) => error.code(),
            Self::UpstreamRefusedSignIn => "upstream_refused_sign_in",
            Self::Upstream(error) => match error {
                UpstreamError::Busy { .. } => "upstream_busy",
                UpstreamError::Unreachable(_) => "upstream_unreachable",
                UpstreamError::Tls(_) => "upstream_tls_failed",
                UpstreamError::ConnectTimeout(_) => "upstream_connect_timeout",
                UpstreamError::AnswerTimeout(_) => "upstream_answer_timeout",
                UpstreamError::Stalled(_) => "upstream_stalled",
                UpstreamError::Closed(_) => "upstream_closed",
            },
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::MethodRefused(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BadTarget(_) | Self::BadHost(_) | Self::Path(_) | Self::BodyFailed(_) => StatusCode::BAD_REQUEST,
            Self::RouteUnknown(_) => StatusCode::NOT_FOUND,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Token(error) => match error.challenge() {
                Challenge::InvalidRequest => StatusCode::BAD_REQUEST,
                Challenge::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                Challenge::Bare | Challenge::InvalidToken | Challenge::InvalidDpopProof | Challenge::UseDpopNonce => {
                    StatusCode::UNAUTHORIZED
                }
            },
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::AuditUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::SignIn(error) => StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_GATEWAY),
            Self::UpstreamRefusedSignIn => StatusCode::BAD_GATEWAY,
            Self::Upstream(error) => match error {
                UpstreamError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
                UpstreamError::Unreachable(_) | UpstreamError::Tls(_) | UpstreamError::Closed(_) => {
                    StatusCode::BAD_GATEWAY
                }
                UpstreamError::ConnectTimeout(_) | UpstreamError::AnswerTimeout(_) | UpstreamError::Stalled(_) => {
                    StatusCode::GATEWAY_TIMEOUT
                }
            },
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::MethodRefused(_) => "The method is refused",
            Self::TargetTooLong { .. } => "The request target is too long",
            Self::HeadersTooLarge { .. } => "The request's header fields are too large",
            Self::BadTarget(_) | Self::BadHost(_) => "The request target is malformed",
            Self::Path(_) => "The path is not canonical",
            Self::RouteUnknown(_) => "No route takes this request",
            Self::BodyTooLarge { .. } => "The request body is too large",
            Self::BodyTimeout(_) => "The request body did not arrive in time",
            Self::BodyFailed(_) => "The request body could not be read",
            Self::Token(error) if error.is_unavailable() => "Tokens can't be checked now",
            Self::Token(_) => "The token was not accepted",
            Self::Denied(_) => "Policy does not allow this request",
            Self::AuditUnavailable(_) => "The request can't be recorded now",
            Self::SignIn(_) => "Signing in to the upstream failed",
            Self::UpstreamRefusedSignIn => "The upstream refused the sign-in",
            Self::Upstream(_) => "The upstream did not answer",
        }
    }

    /// What the caller may see: what was refused and why. Never what our network or the KDC said.
    pub(crate) fn public(&self) -> String {
        match self {
            Self::MethodRefused(method) => format!("the method `{}` never passes this gateway", crop(method)),
            Self::TargetTooLong { bytes, max } => format!("path and query have {bytes} bytes; {max} are allowed"),
            Self::HeadersTooLarge { bytes, max } => format!("the header fields have {bytes} bytes; {max} are allowed"),
            Self::BadTarget(why) => format!("the request target is refused: {why}"),
            Self::BadHost(why) => format!("the request's host is refused: {why}"),
            Self::Path(why) => why.to_string(),
            Self::RouteUnknown(host) => format!("no route is configured for host `{}` and this path", crop(host)),
            Self::BodyTooLarge { max } => format!("the request body has more than the {max} bytes that are allowed"),
            Self::BodyTimeout(limit) => format!("no byte of the request body arrived for {} ms", limit.as_millis()),
            Self::BodyFailed(_) => "the request body ended early or is malformed".to_owned(),
            Self::Token(error) => error.public(),
            Self::Denied(denial) => denial.public.clone(),
            Self::AuditUnavailable(_) => {
                "the audit log can't take an entry now, so nothing was sent to the upstream".to_owned()
            }
            Self::SignIn(error) => error.public(),
            Self::UpstreamRefusedSignIn => {
                "the upstream answered 401 to the identity that the gateway signed in".to_owned()
            }
            Self::Upstream(error) => match error {
                UpstreamError::Busy { .. } => "all connections to the upstream for this identity are busy".to_owned(),
                UpstreamError::Unreachable(_) => "the upstream can't be reached".to_owned(),
                UpstreamError::Tls(_) => "the TLS handshake with the upstream failed".to_owned(),
                UpstreamError::ConnectTimeout(_) => "the upstream did not accept a connection in time".to_owned(),
                UpstreamError::AnswerTimeout(_) => "the upstream did not answer in time".to_owned(),
                UpstreamError::Stalled(_) => "the upstream stopped reading the request body".to_owned(),
                UpstreamError::Closed(_) => "the upstream closed the connection before it answered".to_owned(),
            },
        }
    }

    /// What to do next.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::MethodRefused(_) => "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS".to_owned(),
            Self::TargetTooLong { .. } => "shorten the query, or send the data in the body".to_owned(),
            Self::HeadersTooLarge { .. } => "send fewer or shorter header fields, or have `limits.header_bytes_max` raised".to_owned(),
            Self::BadTarget(_) | Self::BadHost(_) => "send the path alone in the request line, and one `Host`".to_owned(),
            Self::Path(_) => {
                "send the path in its plain form: no dot segments, no `//`, no `\\`, `;` or `:`, percent-encoding with upper-case digits and only where needed".to_owned()
            }
            Self::RouteUnknown(_) => "check the host and port of the connection against the gateway's routes (`airgate check`)".to_owned(),
            Self::BodyTooLarge { .. } => "send less, or have `limits.body_bytes_max` raised".to_owned(),
            Self::BodyTimeout(_) => "send the body without long pauses, or have `limits.body_idle_timeout` raised".to_owned(),
            Self::BodyFailed(_) => "send the whole body that the request's framing announces".to_owned(),
            Self::Token(error) => error.help().to_owned(),
            Self::Denied(denial) => denial.help.clone(),
            Self::AuditUnavailable(_) => "try again later; the gateway's operator must make room on, or mend, the audit log's disk".to_owned(),
            Self::SignIn(_) | Self::UpstreamRefusedSignIn => {
                "give the request id to the gateway's operator: its audit log holds the whole cause".to_owned()
            }
            Self::Upstream(_) => "try again if the request is safe to repeat; else give the request id to the gateway's operator".to_owned(),
        }
    }

    /// The whole reason, for the log.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Token(error) => error.to_string(),
            Self::Denied(denial) => denial.detail.clone(),
            Self::AuditUnavailable(error) => error.to_string(),
            Self::SignIn(error) => error.to_string(),
            Self::Upstream(error) => error.to_string(),
            Self::BodyFailed(why) => format!("{}: {why}", self.public()),
            Self::MethodRefused(_)
            | Self::TargetTooLong { .. }
            | Self::HeadersTooLarge { .. }
            | Self::BadTarget(_)
            | Self::BadHost(_)
            | Self::Path(_)
            | Self::RouteUnknown(_)
            | Self::BodyTooLarge { .. }
            | Self::BodyTimeout(_)
            | Self::UpstreamRefusedSignIn => self.public(),
        }
    }

    /// How an intent that met this refusal ended.
    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Upstream(error) => match error {
                UpstreamError::ConnectTimeout(_) | UpstreamError::AnswerTimeout(_) | UpstreamError::Stalled(_) => {
                    Ending::TimedOut
                }
                UpstreamError::Unreachable(_) | UpstreamError::Tls(_) | UpstreamError::Closed(_) => {
                    Ending::UpstreamFailed
                }
                UpstreamError::Busy { .. } => Ending::Refused,
            },
            Self::UpstreamRefusedSignIn => Ending::UpstreamFailed,
            Self::BodyTimeout(_) => Ending::TimedOut,
            Self::BodyFailed(_) => Ending::ClientDisconnected,
            Self::MethodRefused(_)
            | Self::TargetTooLong { .. }
            | Self::HeadersTooLarge { .. }
            | Self::BadTarget(_)
            | Self::BadHost(_)
            | Self::Path(_)
            | Self::RouteUnknown(_)
            | Self::BodyTooLarge { .. }
            | Self::Token(_)
            | Self::Denied(_)
            | Self::AuditUnavailable(_)
            | Self::SignIn(_) => Ending::Refused,
        }
    }

    pub(crate) fn grant(&self) -> Option<&str> {
        if let Self::Denied(denial) = self { denial.grant.as_deref() } else { None }
    }
}

/// A caller's text in a message: short and printable.
fn crop(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// RFC 9457 `application/problem+json`.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    help: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'a str>,
}

impl<'a> Problem<'a> {
    pub(crate) fn new(refusal: &'a Refusal, request_id: &'a str, entry: Option<u64>, route: Option<&'a str>) -> Self {
        Self {
            kind: format!("urn:airgate:problem:{}", refusal.code()),
            title: refusal.title(),
            status: refusal.status().as_u16(),
            detail: refusal.public(),
            code: refusal.code(),
            help: refusal.help(),
            request_id,
            entry,
            route,
            grant: refusal.grant(),
        }
    }
}

/// One code that a problem document of ours can carry, for the reference page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemDoc {
    /// Stable.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Its title.
    pub title: &'static str,
    /// What the caller is told to do.
    pub help: String,
}

/// Every code that a problem document of ours can carry, by status and code.
#[must_use]
pub fn problems() -> Vec<ProblemDoc> {
    let own = [
        Refusal::MethodRefused("TRACE".into()),
        Refusal::TargetTooLong { bytes: 1, max: 0 },
        Refusal::HeadersTooLarge { bytes: 1, max: 0 },
        Refusal::BadTarget("…"),
        Refusal::BadHost("…"),
        Refusal::Path(PathError::DotSegment),
        Refusal::RouteUnknown("…".into()),
        Refusal::BodyTooLarge { max: 0 },
        Refusal::BodyTimeout(Duration::ZERO),
        Refusal::BodyFailed("…".into()),
        Refusal::AuditUnavailable(Unavailable { reason: "…".into() }),
        Refusal::UpstreamRefusedSignIn,
    ];
    let upstream = [
        UpstreamError::Busy { max: 0 },
        UpstreamError::Unreachable("…".into()),
        UpstreamError::Tls("…".into()),
        UpstreamError::ConnectTimeout(Duration::ZERO),
        UpstreamError::AnswerTimeout(Duration::ZERO),
        UpstreamError::Stalled(Duration::ZERO),
        UpstreamError::Closed("…".into()),
    ];
    let denials =
        ["no_grant", "not_in_role", "forbidden_by_policy", "ambiguous_identity", "policy_error"].map(|code| {
            let help = "the problem's own `help` names the grant, the role and the change to make".to_owned();
            Refusal::Denied(Denial { code, public: String::new(), help, grant: None, detail: String::new() })
        });
    let mut all: Vec<ProblemDoc> = own
        .into_iter()
        .chain(upstream.into_iter().map(Refusal::Upstream))
        .chain(denials)
        .chain(TokenError::examples().into_iter().map(Refusal::Token))
        .chain(SignInError::examples().into_iter().map(Refusal::SignIn))
        .map(|r| ProblemDoc { code: r.code(), status: r.status().as_u16(), title: r.title(), help: r.help() })
        .collect();
    all.sort_by(|a, b| (a.status, a.code).cmp(&(b.status, b.code)));
    all.dedup_by(|a, b| a.code == b.code && a.status == b.status);
    all
}
