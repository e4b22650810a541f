//! The documents of our own, which need no token: the keys of our assertions, and who protects a route (RFC 9728).

use crate::{
    accept::Peer,
    body::{self, AnswerBody},
    pipeline::App,
    route::{self, Route},
};
use airgate_identity::{DPOP_ALGORITHMS, ProofRule};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header, request::Parts};
use serde_json::json;

/// The public keys of our assertions.
const KEY_SET: &str = "/.well-known/jwks.json";
const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// The document that is asked for, where it is one of ours.
pub(crate) fn document(app: &App, peer: &Peer, head: &Parts) -> Option<Response<AnswerBody>> {
    if head.method != Method::GET {
        return None;
    }
    match head.uri.path() {
        KEY_SET => Some(answer("application/jwk-set+json", app.jwks.clone())),
        path => protected_resource(app, peer, head, path.strip_prefix(PROTECTED_RESOURCE)?),
    }
}

fn answer(kind: &'static str, body: Bytes) -> Response<AnswerBody> {
    let mut out = Response::new(body::own(body));
    out.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    out.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    out
}

/// Where the document about a route is (RFC 9728 §3: the well-known path stands between the host and the route's own path).
pub(crate) fn address(route: &Route, scheme: &str, authority: &str) -> String {
    let (scheme, authority) = route.origin(scheme, authority);
    format!("{scheme}://{authority}{PROTECTED_RESOURCE}{}", route.prefix)
}

/// `prefix`: the route's own path, which follows the well-known one; none where it is by host.
fn protected_resource(app: &App, peer: &Peer, head: &Parts, prefix: &str) -> Option<Response<AnswerBody>> {
    let (host, authority) = route::host(head).ok()?;
    let route = app.routes.exactly(&host, prefix.strip_suffix('/').unwrap_or(prefix))?;
    let (scheme, authority) = route.origin(peer.scheme, &authority);
    let mut document = json!({
        "resource": format!("{scheme}://{authority}{}", route.prefix),
        "authorization_servers": app.verifier.issuer_names(&route.accepts),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": DPOP_ALGORITHMS.map(|one| one.as_str()),
    });
    // RFC 9728 §2: false where absent.
    match route.accepts.proof {
        ProofRule::Dpop => document["dpop_bound_access_tokens_required"] = json!(true),
        ProofRule::Mtls => document["tls_client_certificate_bound_access_tokens"] = json!(true),
        ProofRule::AsBound | ProofRule::Either => {}
    }
    Some(answer("application/json", document.to_string().into()))
}
