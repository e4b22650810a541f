//! What operators and balancers ask: is it alive, and what is missing. A listener of its own, never the callers'.

use airgate_audit::AuditWriter;
use airgate_identity::{IssuerState, Serving, Verifier};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tracing::{debug, warn};

/// Connections at a time: a balancer and a few people.
const CONNECTIONS_MAX: usize = 64;
/// A request that is slower is given up, and an idle connection closed.
const PATIENCE: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// All that is asked about.
pub(crate) struct Health {
    pub(crate) verifier: Verifier,
    pub(crate) audit: AuditWriter,
}

/// `GET /readyz`
#[derive(Serialize)]
struct Ready {
    /// Whether requests can be served at all.
    ready: bool,
    /// Whether some of them can't.
    degraded: bool,
    /// In words, what is missing.
    missing: Vec<String>,
    issuers: Vec<IssuerState>,
}

impl Health {
    fn ready(&self) -> Ready {
        let issuers = self.verifier.states();
        let mut missing = Vec::new();
        let can_record = match self.audit.is_available() {
            Ok(()) => true,
            Err(why) => {
                missing.push(format!("the audit log takes no entry: {}", why.reason));
                false
            }
        };
        for state in &issuers {
            let why = state.fault.as_deref().unwrap_or("its keys were never fetched");
            match state.serving {
                Serving::Unavailable => missing.push(format!("issuer `{}`: no keys: {why}", state.issuer)),
                Serving::Stale => missing.push(format!("issuer `{}`: known keys serve: {why}", state.issuer)),
                Serving::Fresh | Serving::Introspection => {}
            }
        }
        // One issuer that is away takes its own tokens with it, and nobody else's.
        let can_verify = issuers.iter().any(|state| state.serving != Serving::Unavailable);
        Ready { ready: can_record && can_verify, degraded: !missing.is_empty(), missing, issuers }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => (StatusCode::OK, r#"{"alive":true}"#.to_owned()),
            (&Method::GET, "/readyz") => {
                let ready = self.ready();
                let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, serde_json::to_string(&ready).unwrap_or_default())
            }
            (&Method::GET, _) => (StatusCode::NOT_FOUND, r#"{"paths":["/healthz","/readyz"]}"#.to_owned()),
            _ => (StatusCode::METHOD_NOT_ALLOWED, r#"{"methods":["GET"]}"#.to_owned()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        fields.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        response
    }
}

/// Binds the listener; it serves until the runtime ends. The address as bound.
///
/// # Errors
/// The address can't be had.
pub(crate) async fn serve(address: SocketAddr, health: Health) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let (health, places) = (Arc::new(health), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    tokio::spawn(async move {
        loop {
            // The place comes first: more callers than places wait in the kernel's queue.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "the listener for operators: accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let health = Arc::clone(&health);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = health.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .max_buf_size(HEAD_BYTES_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    debug!(%error, "the listener for operators: connection ended");
                }
                drop(place);
            });
        }
    });
    Ok(bound)
}
