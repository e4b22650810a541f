//! An https server on loopback for what an issuer publishes (key sets, discovery documents, introspection), that misbehaves
//! on demand.

use crate::TestCa;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;

/// What the endpoint answers.
#[derive(Debug, Clone)]
pub enum KeyAnswer {
    /// 200 with this body.
    Body(String),
    /// 200 with this body and these fields.
    With(String, Vec<(&'static str, String)>),
    /// This status, without a body.
    Status(u16),
    /// 302 to this place.
    Redirect(String),
    /// Accepts, and never answers.
    Silence,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET`, `POST`.
    pub method: String,
    /// With its query.
    pub path: String,
    /// The body, as text.
    pub body: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// Of the certificate that the other side showed.
    pub certificate: Option<[u8; 32]>,
}

struct Shared {
    answer: Mutex<KeyAnswer>,
    by_path: Mutex<HashMap<String, KeyAnswer>>,
    asked: Mutex<Vec<Asked>>,
    hits: AtomicUsize,
    held: watch::Sender<bool>,
}

/// An https server on a thread of its own, until it is dropped.
pub struct KeyServer {
    origin: String,
    url: String,
    ca_pem: String,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for KeyServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyServer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl KeyServer {
    /// Serves `body`, everywhere, under a certificate for `localhost` issued by `ca`; asks for a client certificate of `ca`,
    /// and does without.
    #[must_use]
    pub fn start(ca: &TestCa, body: Value) -> Self {
        let tls = acceptor(ca);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            answer: Mutex::new(KeyAnswer::Body(body.to_string())),
            by_path: Mutex::default(),
            asked: Mutex::default(),
            hits: AtomicUsize::new(0),
            held: watch::Sender::new(false),
        });
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(accept(listener, tls, shared, stopped));
            }
        });
        let origin = format!("https://localhost:{port}");
        Self {
            url: format!("{origin}/jwks.json"),
            origin,
            ca_pem: ca.pem().to_owned(),
            shared,
            stop,
            thread: Some(thread),
        }
    }

    /// `https://localhost:PORT`
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the key set is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority to trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Requests seen so far.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// The requests themselves.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no poisoned lock").clone()
    }

    /// From now on, answers so, where nothing else was said for the path.
    pub fn answer(&self, answer: KeyAnswer) {
        *self.shared.answer.lock().expect("no poisoned lock") = answer;
    }

    /// From now on, answers so at this path.
    pub fn answer_at(&self, path: &str, answer: KeyAnswer) {
        self.shared.by_path.lock().expect("no poisoned lock").insert(path.to_owned(), answer);
    }

    /// From now on, answers 200 with this key set.
    pub fn answer_keys(&self, keys: &Value) {
        self.answer(KeyAnswer::Body(keys.to_string()));
    }

    /// Requests are counted but wait for [`KeyServer::release`].
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Ends [`KeyServer::hold`].
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Closes the port. What was in flight is cut.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server's thread ends without a panic");
        }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread has been printed; a second one while unwinding would abort.
            drop(thread.join());
        }
    }
}

fn acceptor(ca: &TestCa) -> TlsAcceptor {
    let (certificate, key) = ca.issue(&["localhost", "127.0.0.1"]);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate")).expect("an authority");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .expect("a verifier of clients");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .expect("a certificate that fits its key");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let stream = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // A client that goes away or does not trust us is that test's business.
            let Ok(stream) = tls.accept(stream).await else { return };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|all| all.first()).map(|leaf| {
                let mut thumbprint = [0; 32];
                thumbprint.copy_from_slice(digest(&SHA256, leaf).as_ref());
                thumbprint
            });
            let service = service_fn(|request| respond(request, certificate, &shared));
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    certificate: Option<[u8; 32]>,
    shared: &Shared,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = |name: header::HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    shared.asked.lock().expect("no poisoned lock").push(Asked {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        body: String::from_utf8_lossy(&body).into_owned(),
        authorization: text(header::AUTHORIZATION),
        certificate,
    });
    shared.hits.fetch_add(1, Ordering::SeqCst);
    // Err: the server is going away, and so is this connection.
    drop(shared.held.subscribe().wait_for(|held| !*held).await);
    let by_path = shared.by_path.lock().expect("no poisoned lock").get(head.uri.path()).cloned();
    let answer = by_path.unwrap_or_else(|| shared.answer.lock().expect("no poisoned lock").clone());
    let mut response = Response::new(Full::default());
    match answer {
        KeyAnswer::Body(body) => {
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            *response.body_mut() = Full::from(body);
        }
        KeyAnswer::With(body, fields) => {
            for (name, value) in fields {
                response.headers_mut().insert(name, value.parse().expect("a header value"));
            }
            *response.body_mut() = Full::from(body);
        }
        KeyAnswer::Status(status) => *response.status_mut() = StatusCode::from_u16(status).expect("a status"),
        KeyAnswer::Redirect(place) => {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, place.parse().expect("a header value"));
        }
        KeyAnswer::Silence => std::future::pending().await,
    }
    Ok(response)
}
