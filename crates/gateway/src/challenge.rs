//! What a refused caller is told in `WWW-Authenticate`: RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1.

use crate::{metadata, refusal::Refusal, route::Route};
use airgate_identity::{Challenge, DPOP_ALGORITHMS, ProofRule};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What of a request a challenge needs to know.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Where a route was found.
    pub(crate) route: Option<Arc<Route>>,
    /// Host and port, as the caller named them.
    pub(crate) authority: String,
    pub(crate) scheme: &'static str,
    /// The caller used the scheme `DPoP`.
    pub(crate) is_dpop: bool,
}

impl Asked {
    pub(crate) fn is_dpop(headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        value.len() > 5 && value[..5].eq_ignore_ascii_case(b"dpop ")
    }
}

/// Sets the fields that a refusal owes its caller: challenges for 401 and 403, and the nonce that was missing.
pub(crate) fn set(fields: &mut HeaderMap, refusal: &Refusal, asked: &Asked) {
    let error = match refusal {
        Refusal::Token(error) => match error.challenge() {
            Challenge::Bare => None,
            Challenge::InvalidRequest => Some("invalid_request"),
            Challenge::InvalidToken => Some("invalid_token"),
            Challenge::InvalidDpopProof => Some("invalid_dpop_proof"),
            Challenge::UseDpopNonce => Some("use_dpop_nonce"),
            Challenge::Unavailable => return,
        },
        // RFC 6750 §3.1: the token is good, what it allows is less than what was asked for.
        Refusal::Denied(_) => Some("insufficient_scope"),
        _ => return,
    };
    if let Refusal::Token(error) = refusal
        && let Some(nonce) = error.nonce()
    {
        set_nonce(fields, nonce);
    }
    let rule = asked.route.as_ref().map_or(ProofRule::AsBound, |route| route.accepts.proof);
    let metadata =
        asked.route.as_ref().map(|route| metadata::address(route, asked.scheme, &asked.authority)).unwrap_or_default();
    let fault = error.map(|error| (error, refusal.public()));
    // RFC 9449 §7.2: both schemes are offered where both are taken; the error goes with the one that was used.
    let (takes_bearer, error_on_dpop) = (rule != ProofRule::Dpop, asked.is_dpop || rule == ProofRule::Dpop);
    if takes_bearer {
        append(fields, "Bearer", fault.as_ref().filter(|_| !error_on_dpop), &metadata, None);
    }
    if rule != ProofRule::Mtls {
        let algorithms = DPOP_ALGORITHMS.map(|one| one.as_str()).join(" ");
        append(fields, "DPoP", fault.as_ref().filter(|_| error_on_dpop), &metadata, Some(&algorithms));
    }
}

/// RFC 9449 §8.2: a nonce for the next proof. An answer that holds one is for this caller alone.
pub(crate) fn set_nonce(fields: &mut HeaderMap, nonce: &str) {
    if let Ok(nonce) = HeaderValue::from_str(nonce) {
        fields.insert(DPOP_NONCE, nonce);
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

fn append(
    fields: &mut HeaderMap,
    scheme: &str,
    fault: Option<&(&'static str, String)>,
    metadata: &str,
    algorithms: Option<&str>,
) {
    let mut challenge = format!("{scheme} realm=\"airgate\"");
    let mut add = |name: &str, value: &str| challenge.push_str(&format!(", {name}=\"{}\"", quotable(value)));
    if let Some((error, description)) = fault {
        add("error", error);
        add("error_description", description);
    }
    if !metadata.is_empty() {
        add("resource_metadata", metadata);
    }
    if let Some(algorithms) = algorithms {
        add("algs", algorithms);
    }
    if let Ok(value) = HeaderValue::from_str(&challenge) {
        fields.append(header::WWW_AUTHENTICATE, value);
    }
}

/// RFC 6750 §3: printable ASCII without `"` and `\`.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}
