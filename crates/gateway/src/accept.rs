//! Stage 1: listeners, TLS, connections and their limits.

use crate::{
    body::Progress,
    config::Limits,
    error::GatewayError,
    pipeline::{App, handle},
    pool,
};
use airgate_identity::CertificateThumbprint;
use aws_lc_rs::digest::{SHA256, digest};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Connections that the kernel may hold for us.
const BACKLOG: i32 = 1024;
/// Pause after an `accept` that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) listener: String,
    pub(crate) scheme: &'static str,
    /// SHA-256 of the certificate that it showed, checked in the handshake.
    pub(crate) certificate: Option<CertificateThumbprint>,
    /// Answers under way on this connection.
    answers: parking_lot::Mutex<Vec<Weak<Progress>>>,
}

impl Peer {
    /// Has the connection's watch look after an answer.
    pub(crate) fn watch(&self, progress: &Arc<Progress>) {
        let mut answers = self.answers.lock();
        // Forget the ended ones before the list would grow: it stays as long as twice the answers under way.
        if answers.len() == answers.capacity() {
            answers.retain(|answer| answer.strong_count() > 0);
        }
        answers.push(Arc::downgrade(progress));
    }

    /// Whether an answer has not moved for `limit`: its reader has stalled, at TCP's or at HTTP/2's window.
    fn stalled(&self, limit: Duration) -> bool {
        let mut answers = self.answers.lock();
        answers.retain(|answer| answer.strong_count() > 0);
        answers.iter().filter_map(Weak::upgrade).any(|answer| answer.idle() > limit)
    }
}

/// A listener as configured, its socket options set on every thread's socket.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// One socket of a listener; each thread has its own (`SO_REUSEPORT`), so that the kernel spreads connections.
pub(crate) fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, GatewayError> {
    let attempt = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    attempt().map_err(|e| {
        GatewayError::new(
            format!("listener `{name}`: can't listen on {address}: {e}"),
            "stop what uses the address, or change `address`",
        )
    })
}

/// Serves one socket until `stop`, then lets its connections end within the drain limit. True: all ended in time.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: Listener,
    socket: TcpListener,
    open: Arc<AtomicUsize>,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(listener = listener.name, %error, "the listener can't be used");
            return false;
        }
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = socket.accept() => match accepted {
                Ok((stream, address)) => {
                    if let Some(permit) = Permit::take(&open, app.limits.connections_max) {
                        connections.spawn(connection(Arc::clone(&app), listener.clone(), stream, address, stop.clone(), permit));
                    } else {
                        tracing::warn!(listener = listener.name, %address, max = app.limits.connections_max, "connection refused: too many are open");
                    }
                }
                Err(error) => {
                    tracing::warn!(listener = listener.name, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(socket);
    let drained =
        tokio::time::timeout(app.limits.drain_timeout, async { while connections.join_next().await.is_some() {} })
            .await
            .is_ok();
    connections.shutdown().await;
    drained
}

/// Returns when serving must end; also when its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A place among the connections that may be open.
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1)).ok()?;
        Some(Self(Arc::clone(open)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn connection(
    app: Arc<App>,
    listener: Listener,
    stream: TcpStream,
    address: SocketAddr,
    stop: watch::Receiver<bool>,
    _permit: Permit,
) {
    let _ = stream.set_nodelay(true);
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    let name = listener.name;
    let peer = |certificate| {
        Arc::new(Peer { address, listener: name, scheme, certificate, answers: parking_lot::Mutex::default() })
    };
    match listener.tls {
        None => speak(app, peer(None), stream, false, stop).await,
        Some(acceptor) => match tokio::time::timeout(app.limits.handshake_timeout, acceptor.accept(stream)).await {
            Ok(Ok(tls)) => {
                let session = tls.get_ref().1;
                let h2 = session.alpn_protocol() == Some(b"h2");
                let certificate = session.peer_certificates().and_then(|all| all.first()).map(|leaf| thumbprint(leaf));
                speak(app, peer(certificate), tls, h2, stop).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        },
    }
}

/// RFC 8705 §3.1
fn thumbprint(der: &[u8]) -> CertificateThumbprint {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, der).as_ref());
    out
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    app: Arc<App>,
    peer: Arc<Peer>,
    stream: S,
    h2: bool,
    stop: watch::Receiver<bool>,
) {
    let limits = app.limits.clone();
    let service = {
        let peer = Arc::clone(&peer);
        service_fn(move |request: http::Request<Incoming>| {
            let (app, peer) = (Arc::clone(&app), Arc::clone(&peer));
            async move { Ok::<_, std::convert::Infallible>(handle(&app, peer, request).await) }
        })
    };
    let stream = TokioIo::new(stream);
    if h2 {
        drive(http2_builder(&limits).serve_connection(stream, service), &peer, &limits, stop).await;
    } else {
        drive(http1_builder(&limits).serve_connection(stream, service), &peer, &limits, stop).await;
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes_max.max(8192))
        .max_headers(limits.headers_max);
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.handshake_timeout);
    builder
}

/// What HTTP/1.1 and HTTP/2 connections have in common.
trait Served: Future<Output = hyper::Result<()>> {
    fn shut_down(self: Pin<&mut Self>);
}

impl<I, B, S> Served for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, B, S, E> Served for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs a connection to its end, watches for stalled readers, lets it end gracefully on `stop`.
async fn drive<C: Served>(connection: C, peer: &Peer, limits: &Limits, mut stop: watch::Receiver<bool>) {
    tokio::pin!(connection);
    let mut stopping = false;
    let mut watch =
        tokio::time::interval_at((Instant::now() + limits.body_idle_timeout).into(), limits.body_idle_timeout);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(address = %peer.address, %error, "connection ended");
                }
                return;
            }
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                connection.as_mut().shut_down();
            }
            _ = watch.tick() => {
                if peer.stalled(limits.body_idle_timeout) {
                    tracing::info!(address = %peer.address, "connection closed: its reader stalled");
                    return;
                }
            }
        }
    }
}

/// Each thread's own ticker: closes idle upstream connections.
pub(crate) async fn tick(limits: Limits) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        pool::sweep(limits.upstream_idle_timeout);
    }
}
