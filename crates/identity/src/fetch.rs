//! One GET of a key set: https, no redirect, bounded in size and time.

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A longer key set is refused.
pub(crate) const SET_BYTES_MAX: usize = 256 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Where a key set is, checked once.
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    authority: String,
    path: String,
    /// `None`: plain http.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Endpoint {
    /// # Errors
    /// Why the URL can't be used.
    pub(crate) fn parse(url: &str, danger_allow_http: bool, tls: Option<TlsConnector>) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if danger_allow_http => false,
            Some("http") => return Err("it is not https (`danger_allow_http` would accept it)"),
            Some(_) | None => return Err("it does not start with `https://`"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name or password");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("it has no host");
        }
        let server_name = ServerName::try_from(host.clone()).map_err(|_| "its host is not a valid name");
        let tls = match (secure, tls) {
            (true, Some(tls)) => Some((tls, server_name?)),
            (true, None) => return Err("TLS is not set up"),
            (false, _) => None,
        };
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            tls,
        })
    }

    /// # Errors
    /// Why there is no key set, within `timeout`.
    pub(crate) async fn get(&self, timeout: Duration) -> Result<Bytes, String> {
        tokio::time::timeout(timeout, self.get_unbounded())
            .await
            .unwrap_or_else(|_| Err(format!("no complete answer from `{}` within {timeout:?}", self.authority)))
    }

    async fn get_unbounded(&self) -> Result<Bytes, String> {
        let place = &self.authority;
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| format!("can't connect to `{place}`: {error}"))?;
        match &self.tls {
            None => self.exchange(stream).await,
            Some((tls, name)) => {
                let stream = tls
                    .connect(name.clone(), stream)
                    .await
                    .map_err(|error| format!("no TLS with `{place}`: {error}"))?;
                self.exchange(stream).await
            }
        }
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S) -> Result<Bytes, String> {
        let place = &self.authority;
        let broken = |error: hyper::Error| format!("no answer from `{place}`: {error}");
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let request = Request::get(&self.path)
            .header(header::HOST, place)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| format!("can't ask `{place}`: {error}"))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            // A redirect is an answer other than 200: where keys come from is the configuration's to say.
            if response.status() != StatusCode::OK {
                return Err(format!("`{place}` answered {}", response.status()));
            }
            if response.headers().contains_key(header::CONTENT_ENCODING) {
                return Err(format!("`{place}` answered with a content encoding"));
            }
            let body = Limited::new(response.into_body(), SET_BYTES_MAX).collect().await;
            body.map(|body| body.to_bytes())
                .map_err(|error| format!("the answer of `{place}` is cut off or longer than 256 KiB: {error}"))
        };
        tokio::pin!(answer);
        tokio::pin!(connection);
        // The connection is driven here, not by a task: when this future is dropped (a timeout), so is the connection.
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    }
}

/// # Errors
/// Why no certificate can be checked.
pub(crate) fn tls(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = match ca_file {
        None => builder.with_platform_verifier().map_err(|error| error.to_string())?.with_no_client_auth(),
        Some(path) => builder.with_root_certificates(roots(path)?).with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("can't use `{}`: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"it holds no certificate"));
    }
    Ok(roots)
}
