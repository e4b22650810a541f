//! Stage 7: the request goes to the upstream, over a connection of its own identity, as it was decided and recorded.

use crate::{
    authorize::Permitted,
    body::{RequestBody, Upload, UploadFault},
    pool::{self, Lease, PoolKey},
    record::{Entry, Recorded},
    refusal::{Refusal, Refused, UpstreamError},
    upstream::Upstream,
};
use airgate_signin::{AnswerCheck, Credential};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Connections that may turn out closed before our request is on them.
const ATTEMPTS_MAX: usize = 3;

/// What goes along with a recorded request: cleaned fields and the body.
#[derive(Debug)]
pub struct Outgoing {
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    pub(crate) upload: Arc<Upload>,
    pub(crate) body_idle_timeout: Duration,
}

/// The upstream's answer, its body unread.
#[derive(Debug)]
pub struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) entry: Entry,
    pub(crate) lease: Lease,
    pub(crate) upload: Arc<Upload>,
}

/// The only way to an upstream. It takes the proof that the request was permitted *and* recorded.
///
/// # Errors
/// Why there is no answer; the entry is closed with it.
pub async fn forward(
    recorded: Recorded<Permitted>,
    credential: Credential,
    outgoing: Outgoing,
) -> Result<Answer, Refused> {
    let Outgoing { headers, body, upload, body_idle_timeout } = outgoing;
    let permitted = recorded.get();
    let upstream = Arc::clone(&permitted.routed().route().upstream);
    let key = PoolKey::new(&upstream, permitted.permit().windows_identity());
    let request = match assemble(permitted, &upstream, headers, body) {
        Ok(request) => request,
        Err(refusal) => return Err(recorded.refuse(refusal)),
    };
    let mut entry = recorded.into_entry();
    match exchange(&upstream, &key, &credential, request, &upload, body_idle_timeout).await {
        Ok((response, check, lease)) => {
            entry.upstream_status = Some(response.status().as_u16());
            entry.bytes_in = upload.bytes();
            if let Err(error) = check.check(response.status(), response.headers()) {
                return Err(entry.refuse(Refusal::SignIn(error)));
            }
            if response.status() == StatusCode::UNAUTHORIZED {
                return Err(entry.refuse(Refusal::UpstreamRefusedSignIn));
            }
            // RFC 9110 §7.8: we sent no `Upgrade`. Whatever speaks next on this connection is not HTTP/1.1.
            if response.status().is_informational() {
                let why = format!("it switched protocols ({}) without being asked", response.status().as_u16());
                return Err(entry.refuse(Refusal::Upstream(UpstreamError::Closed(why))));
            }
            Ok(Answer { response, entry, lease, upload })
        }
        Err(refusal) => {
            entry.bytes_in = upload.bytes();
            Err(entry.refuse(refusal))
        }
    }
}

/// INVARIANT: method and path are those of the permit, not of the request as it came in.
fn assemble(
    permitted: &Permitted,
    upstream: &Upstream,
    headers: HeaderMap,
    body: RequestBody,
) -> Result<Request<RequestBody>, Refusal> {
    let routed = permitted.routed();
    let target = match routed.query() {
        Some(query) => format!("{}?{query}", routed.path().as_str()),
        None => routed.path().as_str().to_owned(),
    };
    let uri = Uri::try_from(target).map_err(|_| Refusal::BadTarget("it is not a path and query"))?;
    let mut request = Request::new(body);
    *request.method_mut() = routed.method().clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::HOST, upstream.authority.clone());
    Ok(request)
}

async fn exchange(
    upstream: &Upstream,
    key: &PoolKey,
    credential: &Credential,
    mut request: Request<RequestBody>,
    upload: &Upload,
    body_idle_timeout: Duration,
) -> Result<(Response<Incoming>, AnswerCheck, Lease), Refusal> {
    for attempt in 1..=ATTEMPTS_MAX {
        let mut lease = pool::lease(upstream, key).await.map_err(Refusal::Upstream)?;
        // A new header for each attempt: acceptors remember tokens and refuse the second use.
        let (authorization, check) = credential.authorization().await.map_err(Refusal::SignIn)?;
        match authorization {
            Some(value) => request.headers_mut().insert(header::AUTHORIZATION, value),
            None => request.headers_mut().remove(header::AUTHORIZATION),
        };
        let sending = lease.connection.sender.try_send_request(request);
        match wait(sending, upstream, upload, body_idle_timeout).await? {
            Ok(response) => return Ok((response, check, lease)),
            Err(mut error) => match error.take_message() {
                // Not a byte of it was written: the idle connection had been closed.
                Some(unsent) if lease.reused && attempt < ATTEMPTS_MAX => request = unsent,
                _ => return Err(failure(upload, &error.into_error())),
            },
        }
    }
    Err(Refusal::Upstream(UpstreamError::Closed("every idle connection turned out closed".to_owned())))
}

fn failure(upload: &Upload, error: &hyper::Error) -> Refusal {
    match upload.fault() {
        Some(UploadFault::TooLarge(max)) => Refusal::BodyTooLarge { max: *max },
        Some(UploadFault::Caller(why)) => Refusal::BodyFailed(why.clone()),
        None => Refusal::Upstream(UpstreamError::Closed(error.to_string())),
    }
}

/// Waits for the answer's head: without limit in all while the body moves, never long without a byte.
async fn wait<F: Future>(
    sending: F,
    upstream: &Upstream,
    upload: &Upload,
    body_idle_timeout: Duration,
) -> Result<F::Output, Refusal> {
    tokio::pin!(sending);
    let mut seen = upload.bytes();
    let mut moved = Instant::now();
    loop {
        let deadline = match upload.ended() {
            Some(ended) => ended + upstream.answer_timeout,
            None => moved + body_idle_timeout,
        };
        let uploading = upload.ended().is_none();
        tokio::select! {
            biased;
            answer = &mut sending => return Ok(answer),
            () = upload.end(), if uploading => continue,
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        if upload.ended().is_some() {
            return Err(Refusal::Upstream(UpstreamError::AnswerTimeout(upstream.answer_timeout)));
        }
        if upload.bytes() == seen {
            return Err(if upload.starved() {
                Refusal::BodyTimeout(body_idle_timeout)
            } else {
                Refusal::Upstream(UpstreamError::Stalled(body_idle_timeout))
            });
        }
        seen = upload.bytes();
        moved = Instant::now();
    }
}
