//! An upstream: how to reach it and sign in there.

use crate::{
    body::RequestBody,
    config::{Scheme, UpstreamConfig},
    error::GatewayError,
    pool::Connection,
    refusal::UpstreamError,
    tls,
};
use airgate_signin::SignIn;
use http::HeaderValue;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Shared by all threads; holds no connection.
pub(crate) struct Upstream {
    /// Place in the configuration: part of the pool's key.
    pub(crate) index: usize,
    pub(crate) name: String,
    /// What the upstream sees as `Host`.
    pub(crate) authority: HeaderValue,
    pub(crate) sign_in: SignIn,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) connections_max: usize,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    header_bytes_max: usize,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({})", self.name)
    }
}

impl Upstream {
    pub(crate) fn new(index: usize, config: &UpstreamConfig, header_bytes_max: usize) -> Result<Self, GatewayError> {
        let place = format!("upstream `{}`", config.name);
        let sign_in = SignIn::new(&config.name, config.sign_in.clone())
            .map_err(|e| GatewayError::new(format!("{place}: {e}"), e.public()))?;
        let (tls, default_port) = match config.scheme {
            Scheme::Http => (None, 80),
            Scheme::Https => {
                let name = ServerName::try_from(config.host.clone()).map_err(|_| {
                    GatewayError::new(
                        format!("{place}: `{}` is not a DNS name or address", config.host),
                        "correct its `url`",
                    )
                })?;
                (Some((tls::client(config.ca_file.as_deref(), &place)?, name)), 443)
            }
        };
        let authority =
            if config.port == default_port { config.host.clone() } else { format!("{}:{}", config.host, config.port) };
        let authority = HeaderValue::from_str(&authority).map_err(|_| {
            GatewayError::new(format!("{place}: `{}` is not a host name", config.host), "correct its `url`")
        })?;
        Ok(Self {
            index,
            name: config.name.clone(),
            authority,
            sign_in,
            connect_timeout: config.connect_timeout,
            answer_timeout: config.answer_timeout,
            connections_max: config.connections_max.max(1),
            host: config.host.clone(),
            port: config.port,
            tls,
            header_bytes_max,
        })
    }

    /// A new connection. The caller bounds the time.
    pub(crate) async fn connect(&self) -> Result<Connection, UpstreamError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|e| UpstreamError::Unreachable(e.to_string()))?;
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            None => self.handshake(tcp).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await.map_err(|e| UpstreamError::Tls(e.to_string()))?;
                self.handshake(tls).await
            }
        }
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
    ) -> Result<Connection, UpstreamError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.header_bytes_max.max(8192))
            .handshake::<_, RequestBody>(TokioIo::new(stream))
            .await
            .map_err(|e| UpstreamError::Unreachable(e.to_string()))?;
        let task = tokio::spawn(async move {
            // Its errors reach the exchange that was under way; an idle connection's end is no error.
            let _ = connection.await;
        });
        Ok(Connection::new(sender, task))
    }
}
