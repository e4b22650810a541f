//! Where the bytes of a key set come from.

use crate::{
    IssuerConfig, IssuerError, KeySource, Place, Remote, discovery,
    http_client::{ANSWER_BYTES_MAX, Ask, Good, HttpClient, HttpFault, Target, Tls, freshness},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// A [`KeySource`], checked.
pub(crate) enum Source {
    Remote(Box<RemoteSource>),
    File(PathBuf),
    /// There are no keys: tokens are introspected.
    None,
}

/// A remote key set.
pub(crate) struct RemoteSource {
    http: HttpClient,
    start: Start,
    /// The names that a discovery document may have.
    issuers: Vec<String>,
}

enum Start {
    KeySet(Target),
    /// The first that is there.
    Discovery(Vec<Target>),
}

/// A key set as it came.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) body: Bytes,
    /// How long it may be kept, where its source says so.
    pub(crate) freshness: Option<Duration>,
}

/// One exchange on the way to the keys, for people.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) what: &'static str,
    pub(crate) url: String,
    pub(crate) outcome: Result<Seen, String>,
}

/// What was seen in a step that succeeded.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) tls: Option<Tls>,
    pub(crate) headers: HeaderMap,
    /// `issuer` of a discovery document.
    pub(crate) note: String,
}

impl Source {
    /// # Errors
    /// Why it can never work.
    pub(crate) fn new(config: &IssuerConfig) -> Result<Self, IssuerError> {
        match &config.keys {
            KeySource::File(path) => Ok(Self::File(path.clone())),
            KeySource::Introspection => Ok(Self::None),
            KeySource::Remote(remote) => RemoteSource::new(config, remote).map(|source| Self::Remote(Box::new(source))),
        }
    }

    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// # Errors
    /// Why there is no key set, within `timeout` for each exchange.
    pub(crate) async fn load(&self, timeout: Duration) -> Result<Loaded, String> {
        match self {
            Self::Remote(source) => source.load(timeout, &mut |_| {}).await,
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path));
                match tokio::time::timeout(timeout, read).await {
                    Ok(Ok(read)) => read.map(|body| Loaded { body, freshness: None }),
                    Ok(Err(_)) => Err("reading the file was cut off".to_owned()),
                    Err(_) => Err(format!("the file could not be read within {timeout:?}")),
                }
            }
            Self::None => Err("the issuer has no keys here: its tokens are introspected".to_owned()),
        }
    }
}

impl RemoteSource {
    fn new(config: &IssuerConfig, remote: &Remote) -> Result<Self, IssuerError> {
        let help = "give a full https URL: `jwks_url` (`jwks_uri` in the issuer's discovery document), `discovery_url`, or `url`";
        let key = match remote.place {
            Place::KeySet(_) => "jwks_url",
            Place::Discovery(_) => "discovery_url",
            Place::Issuer(_) => "url",
        };
        let allow_http = remote.http.danger_allow_http;
        let unusable =
            |problem: &str| IssuerError::new(&config.name, key, format!("`{}`: {problem}", place_shown(remote)), help);
        let start = match &remote.place {
            Place::KeySet(url) => Start::KeySet(Target::parse(url, allow_http).map_err(unusable)?),
            Place::Discovery(url) => Start::Discovery(vec![Target::parse(url, allow_http).map_err(unusable)?]),
            Place::Issuer(name) => {
                Start::Discovery(discovery::addresses(name, allow_http).map_err(unusable)?.into_iter().collect())
            }
        };
        let first = match &start {
            Start::KeySet(target) => target,
            Start::Discovery(targets) => targets.first().ok_or_else(|| unusable("no address"))?,
        };
        let http = HttpClient::new(&remote.http, first).map_err(|problem| {
            let help = "give PEM files: at least one certificate authority, and a certificate with its key";
            IssuerError::new(&config.name, "ca_file", format!("can't set up TLS for its keys: {problem}"), help)
        })?;
        if allow_http && remote.place.url().starts_with("http:") {
            tracing::warn!(issuer = config.name, "danger_allow_http: the issuer's keys come over plain http");
        }
        Ok(Self { http, start, issuers: config.issuers.clone() })
    }

    /// Each exchange is told, succeeded or not.
    ///
    /// # Errors
    /// Why there is no key set.
    pub(crate) async fn load(&self, timeout: Duration, tell: &mut (dyn FnMut(Step) + Send)) -> Result<Loaded, String> {
        let target = match &self.start {
            Start::KeySet(target) => target.clone(),
            Start::Discovery(targets) => self.discover(targets, timeout, tell).await?,
        };
        let answer = self.http.exchange(&target, Ask::Get, timeout).await;
        tell(step("key set", &target, &answer, String::new()));
        let Good { body, headers, .. } = answer.map_err(|fault| fault.to_string())?;
        Ok(Loaded { body, freshness: freshness(&headers) })
    }

    async fn discover(
        &self,
        targets: &[Target],
        timeout: Duration,
        tell: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Target, String> {
        let mut last = "no address".to_owned();
        for target in targets {
            let answer = self.http.exchange(target, Ask::Get, timeout).await;
            let read = match &answer {
                Ok(good) => discovery::read(&good.body, &self.issuers).and_then(|document| {
                    let uri = self.http.follow(&document.jwks_uri);
                    uri.map_err(|why| format!("the discovery document's `jwks_uri` is refused: {why}"))
                        .map(|uri| (document, uri))
                }),
                Err(fault) => Err(fault.to_string()),
            };
            match read {
                Ok((document, uri)) => {
                    tell(step("discovery", target, &answer, document.issuer));
                    return Ok(uri);
                }
                Err(why) => {
                    // Only "not here" leads on to the other place: a document that is wrong is not passed over.
                    let is_absent = matches!(&answer, Err(HttpFault::Status(_, status))
                        if matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE));
                    tell(Step { what: "discovery", url: target.url(), outcome: Err(why.clone()) });
                    last = why;
                    if !is_absent {
                        break;
                    }
                }
            }
        }
        Err(last)
    }
}

fn step(what: &'static str, target: &Target, answer: &Result<Good, HttpFault>, note: String) -> Step {
    let outcome = match answer {
        Ok(good) => Ok(Seen { tls: good.tls.clone(), headers: good.headers.clone(), note }),
        Err(fault) => Err(fault.to_string()),
    };
    Step { what, url: target.url(), outcome }
}

/// A URL may hold a password: it is not shown.
fn place_shown(remote: &Remote) -> String {
    let url = remote.place.url();
    match (url.find("://"), url.rfind('@')) {
        (Some(start), Some(at)) if at > start => format!("{}…{}", &url[..start + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

/// # Errors
/// Why the file can't be read; one that is too long, or is no file, can't.
pub(crate) fn read_file(path: &Path) -> Result<Bytes, String> {
    let unreadable = |error: std::io::Error| error.to_string();
    // Opening a FIFO would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let limit = ANSWER_BYTES_MAX as u64 + 1;
    File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err("it is longer than 256 KiB".to_owned());
    }
    Ok(Bytes::from(bytes))
}
