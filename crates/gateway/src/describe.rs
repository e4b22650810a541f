//! What a request's entry says, filled in stage by stage, so that a refusal tells all that was known by then.

use crate::{accept::Peer, authenticate::Authenticated, authorize::Permitted, route::Routed};
use airgate_audit::{Call, Job, Subject};
use airgate_identity::Principal;
use http::{HeaderMap, header, request::Parts};

/// Longest text of a caller's that an entry keeps.
const TEXT_MAX: usize = 256;

pub(crate) fn arrival(head: &Parts, peer: &Peer) -> Call {
    Call {
        // Minted here: a caller who chooses ids could make its entries look like another's.
        request_id: uuid::Uuid::now_v7().to_string(),
        client_request_id: text(&head.headers, "x-request-id").or_else(|| text(&head.headers, "x-correlation-id")),
        traceparent: text(&head.headers, "traceparent").filter(|t| is_traceparent(t)),
        peer: peer.address.to_string(),
        listener: peer.listener.clone(),
        host: head.uri.authority().map(|a| crop(a.as_str())).or_else(|| text(&head.headers, header::HOST.as_str())),
        method: crop(head.method.as_str()),
        path: crop(head.uri.path()),
        ..Call::default()
    }
}

pub(crate) fn routed(call: &mut Call, routed: &Routed) {
    routed.path().as_str().clone_into(&mut call.path);
    call.host = Some(routed.host().to_owned());
    call.query_sha256 = routed.query().map(sha256_hex);
    call.route = Some(routed.route().name.clone());
    call.upstream = Some(routed.route().upstream.name.clone());
    call.sign_in = Some(routed.route().upstream.sign_in.mode().to_owned());
}

pub(crate) fn authenticated(call: &mut Call, authenticated: &Authenticated) {
    let token = authenticated.token();
    let job = match token.principal() {
        Principal::Job(job) => Some(Job {
            dag_id: job.dag_id.clone(),
            run_id: job.run_id.clone(),
            task_id: job.task_id.clone(),
            map_index: job.map_index,
            try_number: job.try_number,
            ti_id: job.ti_id.clone(),
        }),
        Principal::Workload => None,
    };
    call.principal = Some(Subject {
        issuer: token.issuer().to_owned(),
        iss: Some(token.iss().to_owned()),
        subject: token.subject().to_owned(),
        assurance: token.assurance().to_owned(),
        token_id: token.token_id().map(str::to_owned),
        token_sha256: token.sha256_hex().to_owned(),
        proof: match (token.proven().dpop, token.proven().mtls) {
            (false, false) => None,
            (true, false) => Some("dpop".to_owned()),
            (false, true) => Some("mtls".to_owned()),
            (true, true) => Some("dpop+mtls".to_owned()),
        },
        job,
    });
}

pub(crate) fn permitted(call: &mut Call, permitted: &Permitted) {
    let permit = permitted.permit();
    call.grant = Some(permit.grant().to_owned());
    call.role = Some(permit.role().to_owned());
    call.windows_identity = permit.windows_identity().map(str::to_owned);
    "permitted".clone_into(&mut call.code);
    permit.reason().clone_into(&mut call.reason);
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(crop)
}

fn crop(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// W3C Trace Context §3.2: version 00.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex =
        |part: &str, len: usize| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    matches!(parts[..], [v, trace, span, flags] if v == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2))
}

fn sha256_hex(text: &str) -> String {
    use std::fmt::Write;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
