//! One HTTP exchange with an issuer: https, pinned hosts, few redirects, bounded in size and time.

use crate::{HttpSettings, authority::host_and_port};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A longer answer is refused.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// A bearer token for the issuer's own endpoints is no longer.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// An address, checked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    is_https: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    /// # Errors
    /// Why the address can't be used.
    pub(crate) fn parse(url: &str, danger_allow_http: bool) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if danger_allow_http => false,
            Some("http") => return Err("it is not https (`danger_allow_http` would accept it)"),
            Some(_) | None => return Err("it does not start with `https://`"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name or password");
        }
        let (host, port) = host_and_port(authority, is_https).ok_or("its port is not a number up to 65535")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("it has no host");
        }
        if ServerName::try_from(host.clone()).is_err() {
            return Err("its host is not a valid name");
        }
        Ok(Self {
            is_https,
            host,
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", if self.is_https { "https" } else { "http" }, self.authority, self.path)
    }
}

/// What is sent.
pub(crate) enum Ask {
    Get,
    /// `application/x-www-form-urlencoded`.
    Post(Bytes),
}

/// A good answer: 200 with a whole body.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    /// `TLSv1_3`, and the certificates that were shown; none over plain http.
    pub(crate) tls: Option<Tls>,
}

/// What was seen of the TLS connection.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) version: String,
    pub(crate) leaf: Vec<u8>,
}

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpFault {
    /// Another status than 200.
    Status(String, StatusCode),
    /// Everything else.
    Other(String),
}

impl std::fmt::Display for HttpFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(place, status) => write!(f, "`{place}` answered {status}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// Speaks to the hosts of one issuer, and to no other.
pub(crate) struct HttpClient {
    tls: TlsConnector,
    hosts: Vec<String>,
    redirects_max: usize,
    danger_allow_http: bool,
    token_file: Option<PathBuf>,
}

impl HttpClient {
    /// `first`: the configured address, whose host needs no naming.
    ///
    /// # Errors
    /// Why TLS can't be set up.
    pub(crate) fn new(settings: &HttpSettings, first: &Target) -> Result<Self, String> {
        let mut hosts: Vec<String> = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        hosts.push(first.host.clone());
        Ok(Self {
            tls: tls(settings)?,
            hosts,
            redirects_max: settings.redirects_max,
            danger_allow_http: settings.danger_allow_http,
            token_file: settings.token_file.clone(),
        })
    }

    /// An address out of a discovery document or a redirect.
    ///
    /// # Errors
    /// Why it is not followed.
    pub(crate) fn follow(&self, url: &str) -> Result<Target, String> {
        let target = Target::parse(url, self.danger_allow_http).map_err(str::to_owned)?;
        if !self.hosts.contains(&target.host) {
            return Err(format!("its host `{}` is not one of the issuer's (`hosts`)", target.host));
        }
        Ok(target)
    }

    /// # Errors
    /// Why there is no good answer within `timeout`.
    pub(crate) async fn exchange(&self, target: &Target, ask: Ask, timeout: Duration) -> Result<Good, HttpFault> {
        tokio::time::timeout(timeout, self.exchange_unbounded(target, ask)).await.unwrap_or_else(|_| {
            Err(HttpFault::Other(format!("no complete answer from `{}` within {timeout:?}", target.authority)))
        })
    }

    async fn exchange_unbounded(&self, target: &Target, ask: Ask) -> Result<Good, HttpFault> {
        let mut target = target.clone();
        for left in (0..=self.redirects_max).rev() {
            let token = self.token(&target).await.map_err(HttpFault::Other)?;
            let stream = TcpStream::connect((target.host.as_str(), target.port))
                .await
                .map_err(|error| HttpFault::Other(format!("can't connect to `{}`: {error}", target.authority)))?;
            let outcome = if target.is_https {
                let (stream, tls) = self.secure(&target, stream).await.map_err(HttpFault::Other)?;
                speak(stream, &target, &ask, token.as_deref(), Some(tls)).await?
            } else {
                speak(stream, &target, &ask, token.as_deref(), None).await?
            };
            match outcome {
                Outcome::Good(good) => return Ok(good),
                // What was posted is for the configured address alone.
                Outcome::Redirect(status, location) if left > 0 && matches!(ask, Ask::Get) => {
                    let place = &target.authority;
                    target = self.follow(&location).map_err(|why| {
                        HttpFault::Other(format!("`{place}` answered {status}, to an address that is refused: {why}"))
                    })?;
                }
                Outcome::Redirect(status, _) => return Err(HttpFault::Status(target.authority, status)),
            }
        }
        Err(HttpFault::Other(format!("`{}`: too many redirects", target.authority)))
    }

    async fn secure(
        &self,
        target: &Target,
        stream: TcpStream,
    ) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, Tls), String> {
        let place = &target.authority;
        let name = ServerName::try_from(target.host.clone()).map_err(|_| format!("`{place}` is not a valid name"))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| format!("no TLS with `{place}`: {error}"))?;
        let session = stream.get_ref().1;
        let version = session.protocol_version().map_or_else(|| "unknown".to_owned(), |version| format!("{version:?}"));
        let leaf =
            session.peer_certificates().and_then(|all| all.first()).map(|leaf| leaf.to_vec()).unwrap_or_default();
        Ok((stream, Tls { version, leaf }))
    }

    /// The bearer token for the configured host; read anew each time, because it is rotated under us.
    async fn token(&self, target: &Target) -> Result<Option<String>, String> {
        let Some(path) = self.token_file.clone() else { return Ok(None) };
        if self.hosts.last() != Some(&target.host) || !target.is_https {
            return Ok(None);
        }
        let shown = path.display().to_string();
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            std::fs::File::open(&path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
            Ok::<_, std::io::Error>(text.trim().to_owned())
        });
        match read.await {
            Ok(Ok(token)) => Ok(Some(token)),
            Ok(Err(error)) => Err(format!("`token_file` `{shown}`: {error}")),
            Err(_) => Err(format!("`token_file` `{shown}`: reading was cut off")),
        }
    }
}

enum Outcome {
    Good(Good),
    Redirect(StatusCode, String),
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    target: &Target,
    ask: &Ask,
    token: Option<&str>,
    tls: Option<Tls>,
) -> Result<Outcome, HttpFault> {
    let place = &target.authority;
    let broken = |error: hyper::Error| HttpFault::Other(format!("no answer from `{place}`: {error}"));
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEADER_BYTES_MAX).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = request(target, ask, token)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        if let Some(location) = redirect(&response) {
            return Ok(Outcome::Redirect(response.status(), location));
        }
        if response.status() != StatusCode::OK {
            return Err(HttpFault::Status(place.clone(), response.status()));
        }
        if response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(HttpFault::Other(format!("`{place}` answered with a content encoding")));
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
            HttpFault::Other(format!("the answer of `{place}` is cut off or longer than 256 KiB: {error}"))
        })?;
        Ok(Outcome::Good(Good { body: body.to_bytes(), headers: head.headers, tls }))
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    // The connection is driven here, not by a task: when this future is dropped (a timeout), so is the connection.
    tokio::select! {
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

fn request(target: &Target, ask: &Ask, token: Option<&str>) -> Result<Request<Full<Bytes>>, HttpFault> {
    let (method, body) = match ask {
        Ask::Get => (Method::GET, Bytes::new()),
        Ask::Post(form) => (Method::POST, form.clone()),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::ACCEPT, "application/json, application/jwk-set+json")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close");
    if matches!(ask, Ask::Post(_)) {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    if let Some(token) = token {
        let mut value = http::HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| HttpFault::Other("the token in `token_file` is none".to_owned()))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request
        .body(Full::new(body))
        .map_err(|error| HttpFault::Other(format!("can't ask `{}`: {error}", target.authority)))
}

fn redirect(response: &Response<Incoming>) -> Option<String> {
    let status = response.status();
    let is_redirect = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    is_redirect.then(|| location.to_owned())
}

/// # Errors
/// Why no certificate can be checked, or none shown.
fn tls(settings: &HttpSettings) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &settings.ca_file {
        None => builder.with_platform_verifier().map_err(|error| error.to_string())?,
        Some(path) => builder.with_root_certificates(roots(path)?),
    };
    let mut config = match &settings.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            // The parser's own words could hold parts of the file: they are not shown.
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|_| format!("can't use `{}`: it holds no private key", key.display()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("can't use `{}`: {error}", path.display());
    let all: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unusable(&error))?;
    if all.is_empty() {
        return Err(unusable(&"it holds no certificate"));
    }
    Ok(all)
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("can't use `{}`: {error}", path.display()))?;
    }
    Ok(roots)
}

/// How long the answer may be kept, by its own word (RFC 9111 §4.2.1: `max-age`, else `Expires`): none where it says nothing.
pub(crate) fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut lifetime: Option<u64> = None;
    for directive in directives.flat_map(|line| line.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") {
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            // Two different lives: the shorter.
            lifetime = Some(lifetime.map_or(seconds, |known| known.min(seconds)));
        }
    }
    let lifetime = lifetime.or_else(|| by_expires(headers));
    let age: u64 = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    lifetime.map(|lifetime| Duration::from_secs(lifetime.saturating_sub(age)))
}

/// From `Date` to `Expires`, so that our clock has no part in it. RFC 9111 §5.3: what is no date has passed.
fn by_expires(headers: &HeaderMap) -> Option<u64> {
    let date = |name| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok();
    headers.get(header::EXPIRES)?;
    let lifetime = date(header::EXPIRES).and_then(|expires| expires.duration_since(date(header::DATE)?).ok());
    Some(lifetime.unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "Mon, 02 Nov 2026 12:00:00 GMT";

    #[test]
    fn answers_say_how_long_they_may_be_kept() {
        for (fields, expected) in [
            (&[][..], None),
            (&[("cache-control", "public, max-age=3600")], Some(3600)),
            (&[("cache-control", "max-age=\"60\"")], Some(60)),
            (&[("cache-control", "max-age=60"), ("cache-control", "max-age=30")], Some(30)),
            (&[("cache-control", "max-age=60"), ("age", "50")], Some(10)),
            (&[("cache-control", "max-age=60"), ("age", "70")], Some(0)),
            (&[("cache-control", "no-store, max-age=60")], Some(0)),
            (&[("cache-control", "No-Cache")], Some(0)),
            (&[("cache-control", "max-age=soon")], None),
            (&[("cache-control", "s-maxage=60")], None),
            (&[("cache-control", "max-age=99999999999999999999")], None),
            (&[("date", NOON), ("expires", "Mon, 02 Nov 2026 13:00:00 GMT")], Some(3600)),
            (&[("date", NOON), ("expires", "Mon, 02 Nov 2026 11:00:00 GMT")], Some(0)),
            (&[("date", NOON), ("expires", "0")], Some(0)),
            (&[("expires", "Mon, 02 Nov 2026 13:00:00 GMT")], Some(0)),
            (
                &[("date", NOON), ("expires", "Mon, 02 Nov 2026 13:00:00 GMT"), ("cache-control", "max-age=60")],
                Some(60),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().expect("a header value"));
            }
            assert_eq!(freshness(&headers), expected.map(Duration::from_secs), "{fields:?}");
        }
    }
}
