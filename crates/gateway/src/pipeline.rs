//! The way of a request, stage by stage. Each stage takes what only the stage before can make.

use crate::{
    accept::Peer,
    authenticate::authenticate,
    authorize::authorize,
    body::{AnswerBody, RequestBody},
    challenge::Asked,
    config::Limits,
    describe,
    forward::{Answer, Outgoing, forward},
    headers, metadata,
    record::record,
    refusal::{Refusal, Refused},
    respond::{refuse, respond},
    route::{RouteTable, route},
    sign_in::sign_in,
};
use airgate_audit::{AuditWriter, Call};
use airgate_identity::Verifier;
use airgate_policy::Policy;
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use hyper::body::{Body, Incoming};
use std::{sync::Arc, time::Instant};

/// All that the stages share, for the life of the process.
pub(crate) struct App {
    pub(crate) routes: RouteTable,
    pub(crate) verifier: Verifier,
    pub(crate) policy: Arc<Policy>,
    pub(crate) audit: AuditWriter,
    pub(crate) limits: Limits,
    pub(crate) jwks: Bytes,
}

/// One request as it came in, and what its entry will say.
pub(crate) struct Arrival {
    pub(crate) call: Call,
    pub(crate) started: Instant,
    pub(crate) peer: Arc<Peer>,
    /// For a challenge, where it is refused.
    pub(crate) asked: Asked,
    /// The nonce for the caller's next DPoP proof, where the one of this request is about to end.
    pub(crate) next_nonce: Option<String>,
}

/// One request, one answer.
pub(crate) async fn handle(app: &App, peer: Arc<Peer>, request: Request<Incoming>) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    if let Some(document) = metadata::document(app, &peer, &head) {
        return document;
    }
    let asked = Asked { scheme: peer.scheme, is_dpop: Asked::is_dpop(&head.headers), ..Asked::default() };
    let call = describe::arrival(&head, &peer);
    let mut arrival = Arrival { call, started: Instant::now(), peer, asked, next_nonce: None };
    match pass(app, &mut arrival, head, body).await {
        Ok(answer) => respond(answer, &arrival, app.limits.body_idle_timeout),
        Err(refused) => refuse(&app.audit, arrival, refused).await,
    }
}

async fn pass(app: &App, arrival: &mut Arrival, head: Parts, body: Incoming) -> Result<Answer, Refused> {
    let routed = route(&app.routes, &app.limits, &head)?;
    describe::routed(&mut arrival.call, &routed);
    arrival.asked.route = Some(Arc::clone(routed.route()));
    routed.authority().clone_into(&mut arrival.asked.authority);
    if body.size_hint().lower() > app.limits.body_bytes_max {
        return Err(Refusal::BodyTooLarge { max: app.limits.body_bytes_max }.into());
    }
    let authenticated = authenticate(&app.verifier, routed, &head, &arrival.peer).await?;
    describe::authenticated(&mut arrival.call, &authenticated);
    arrival.next_nonce = authenticated.token().next_nonce().map(str::to_owned);
    let permitted = authorize(&app.policy, authenticated)?;
    describe::permitted(&mut arrival.call, &permitted);

    let recorded = record(&app.audit, permitted, arrival.call.clone(), arrival.started).await?;
    let (recorded, credential) = sign_in(recorded, &arrival.call.request_id).await?;

    let origin = headers::Origin {
        request_id: &arrival.call.request_id,
        peer_ip: arrival.peer.address.ip(),
        scheme: arrival.peer.scheme,
        host: recorded.get().routed().host(),
    };
    let headers = headers::to_upstream(head.headers, &origin);
    let (body, upload) = RequestBody::new(body, app.limits.body_bytes_max);
    forward(recorded, credential, Outgoing { headers, body, upload, body_idle_timeout: app.limits.body_idle_timeout })
        .await
}
