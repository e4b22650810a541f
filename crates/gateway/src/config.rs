//! What the gateway needs to know, resolved and checked: the command line makes it from the configuration file.

use airgate_identity::{ProofRule, Tolerance};
use airgate_signin::SignInConfig;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The whole data plane.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// At least one.
    pub listeners: Vec<ListenerConfig>,
    /// What is behind the gateway.
    pub upstreams: Vec<UpstreamConfig>,
    /// Names are unique; each names an upstream of `upstreams`.
    pub routes: Vec<RouteConfig>,
    /// Bounds on all that a peer controls.
    pub limits: Limits,
    /// Data-plane threads, each with a runtime of its own; at least 1.
    pub threads: usize,
}

/// An address that callers connect to.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// The name in the configuration.
    pub name: String,
    /// Port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key; none only where the configuration says `danger_plaintext = true`.
    pub tls: Option<TlsFiles>,
}

/// PEM files of a listener.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// PKCS#8, SEC 1 or PKCS#1.
    pub key: PathBuf,
    /// Whose certificates callers may show (RFC 8705); none: they are not asked for one.
    pub clients: Option<ClientCertificates>,
}

/// Certificates of callers.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// The authorities that issue them.
    pub ca_file: PathBuf,
    /// A caller without one is refused in the handshake; otherwise only a bound token needs it.
    pub required: bool,
}

/// How to reach an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP: only where the configuration says `danger_plaintext = true`.
    Http,
    /// HTTP over TLS, `http/1.1` alone in ALPN: Windows authentication does not work over HTTP/2.
    Https,
}

/// An app or API on IIS.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// The name in the configuration.
    pub name: String,
    /// From its `url`.
    pub scheme: Scheme,
    /// DNS name or address, from its `url`: also the TLS name and the `Host` that the upstream sees.
    pub host: String,
    /// From its `url`, or the scheme's default.
    pub port: u16,
    /// Roots that its certificate must lead to; none: the platform's.
    pub ca_file: Option<PathBuf>,
    /// How the gateway signs in there.
    pub sign_in: SignInConfig,
    /// Longest wait for name resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest wait for the answer's head, from the request's last byte.
    pub answer_timeout: Duration,
    /// Most connections per data-plane thread and identity, in use or idle.
    pub connections_max: usize,
}

/// What requests a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// By `Host` (or `:authority`), without port, lower case.
    Host(String),
    /// By the path's leading whole segments, for any host: `/orders` takes `/orders` and `/orders/7`, not `/orders2`.
    /// The path is forwarded as it is.
    Path(String),
}

/// From a host or path to an upstream.
#[derive(Debug, Clone)]
pub struct RouteConfig {
    /// The name in the configuration; grants speak of it.
    pub name: String,
    /// Hosts win over paths; the longest path wins.
    pub matches: Match,
    /// The upstream's name.
    pub upstream: String,
    /// Whose tokens it takes, and how they must be presented.
    pub accepts: Accepts,
}

/// Whose tokens a route takes, and how they must be presented.
#[derive(Debug, Clone, Default)]
pub struct Accepts {
    /// Names of issuers; none: all of the configuration.
    pub issuers: Option<Vec<String>>,
    /// Which proof of possession it asks for.
    pub proof: ProofRule,
    /// DPoP proofs must hold a nonce of ours.
    pub dpop_nonce: bool,
    /// Where an app's own tokens may be: they are never taken for the caller's.
    pub app_tokens: Tolerance,
    /// Scheme, host and port as callers know them, where requests do not say so (behind a proxy that ends TLS): for
    /// metadata, and for the `htu` of DPoP proofs.
    pub origin: Option<String>,
}

/// Bounds on all that a peer controls. Every one has a default.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at a time, over all listeners; one more is closed at once.
    pub connections_max: usize,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest wait for a whole request head, and for the next request on an idle connection.
    pub header_timeout: Duration,
    /// Request head in bytes.
    pub header_bytes_max: usize,
    /// Header fields in a request.
    pub headers_max: usize,
    /// Path and query in bytes (IIS: `maxUrl` 4096 + `maxQueryString` 2048).
    pub uri_bytes_max: usize,
    /// Request body in bytes.
    pub body_bytes_max: u64,
    /// Longest time without a byte of a body, either way.
    pub body_idle_timeout: Duration,
    /// HTTP/2 streams at a time per connection.
    pub streams_max: u32,
    /// Longest time an unused upstream connection is kept.
    pub upstream_idle_timeout: Duration,
    /// Longest time that requests in flight may take to end after SIGTERM.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            header_bytes_max: 64 * 1024,
            headers_max: 100,
            uri_bytes_max: 6 * 1024,
            body_bytes_max: 1 << 30,
            body_idle_timeout: Duration::from_secs(60),
            streams_max: 100,
            upstream_idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
