//! Stage 8: the answer goes back, stripped of sign-in traffic; its body carries the outcome entry.

use crate::{
    body::{self, AnswerBody, Relay},
    challenge,
    forward::Answer,
    headers,
    pipeline::Arrival,
    refusal::{Problem, Refusal, Refused},
};
use airgate_audit::AuditWriter;
use http::{HeaderValue, Response, header};
use std::time::Duration;

/// An upstream's answer, for the caller.
pub(crate) fn respond(answer: Answer, arrival: &Arrival, idle_limit: Duration) -> Response<AnswerBody> {
    let Answer { response, entry, lease, upload } = answer;
    let (mut head, incoming) = response.into_parts();
    headers::to_downstream(&mut head.headers);
    let index = entry.index();
    let relay = Relay::new(incoming, entry, lease, upload, head.status.as_u16(), idle_limit);
    arrival.peer.watch(relay.progress());
    let mut out = Response::new(http_body_util::Either::Left(relay));
    *out.status_mut() = head.status;
    *out.headers_mut() = head.headers;
    mark(&mut out, &arrival.call.request_id, Some(index));
    if let Some(nonce) = &arrival.next_nonce {
        challenge::set_nonce(out.headers_mut(), nonce);
    }
    out
}

/// A refusal, for the caller: recorded first, unless it is the log itself that fails.
pub(crate) async fn refuse(audit: &AuditWriter, mut arrival: Arrival, refused: Refused) -> Response<AnswerBody> {
    let (refusal, index) = match refused {
        Refused { refusal, index: Some(index) } => (refusal, Some(index)),
        Refused { refusal: refusal @ Refusal::AuditUnavailable(_), index: None } => (refusal, None),
        Refused { refusal, index: None } => {
            refusal.code().clone_into(&mut arrival.call.code);
            arrival.call.reason = refusal.detail();
            arrival.call.status = Some(refusal.status().as_u16());
            arrival.call.grant = refusal.grant().map(str::to_owned);
            match audit.refusal(arrival.call.clone()).await {
                Ok(index) => (refusal, Some(index)),
                Err(unavailable) => (Refusal::AuditUnavailable(unavailable), None),
            }
        }
    };
    if let Refusal::AuditUnavailable(error) = &refusal {
        tracing::error!(request_id = %arrival.call.request_id, %error, "refused: no record, no request");
    }
    problem(&refusal, &arrival, index)
}

fn problem(refusal: &Refusal, arrival: &Arrival, index: Option<u64>) -> Response<AnswerBody> {
    let document = Problem::new(refusal, &arrival.call.request_id, index, arrival.call.route.as_deref());
    let bytes = serde_json::to_vec(&document).unwrap_or_default();
    let mut out = Response::new(body::own(bytes));
    *out.status_mut() = refusal.status();
    let fields = out.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    challenge::set(fields, refusal, &arrival.asked);
    if refusal.status() == http::StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if refusal.status() == http::StatusCode::METHOD_NOT_ALLOWED {
        fields.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    mark(&mut out, &arrival.call.request_id, index);
    out
}

/// The names by which Airflow's task log and a person find the entry.
fn mark(response: &mut Response<AnswerBody>, request_id: &str, index: Option<u64>) {
    let fields = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        fields.insert(headers::REQUEST_ID, id);
    }
    if let Some(index) = index {
        fields.insert(headers::ENTRY, HeaderValue::from(index));
    }
}
