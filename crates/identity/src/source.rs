//! Where the bytes of a key set come from.

use crate::{
    IssuerError, KeySource,
    fetch::{self, Endpoint, SET_BYTES_MAX},
};
use bytes::Bytes;
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// A [`KeySource`], checked.
pub(crate) enum Source {
    Url(Endpoint),
    File(PathBuf),
}

impl Source {
    /// # Errors
    /// Why it can never work.
    pub(crate) fn new(issuer: &str, keys: &KeySource) -> Result<Self, IssuerError> {
        match keys {
            KeySource::File(path) => Ok(Self::File(path.clone())),
            KeySource::Url { url, ca_file, danger_allow_http } => {
                let plain = *danger_allow_http && url.starts_with("http:");
                let tls = if plain {
                    tracing::warn!(issuer, "danger_allow_http: the issuer's keys come over plain http");
                    None
                } else {
                    let tls = fetch::tls(ca_file.as_deref());
                    Some(tls.map_err(|problem| IssuerError::Tls { issuer: issuer.to_owned(), problem })?)
                };
                Endpoint::parse(url, *danger_allow_http, tls)
                    .map(Self::Url)
                    .map_err(|problem| IssuerError::KeysUrl { issuer: issuer.to_owned(), problem })
            }
        }
    }

    /// # Errors
    /// Why there is no key set, within `timeout`.
    pub(crate) async fn load(&self, timeout: Duration) -> Result<Bytes, String> {
        match self {
            Self::Url(endpoint) => endpoint.get(timeout).await,
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path));
                match tokio::time::timeout(timeout, read).await {
                    Ok(Ok(read)) => read,
                    Ok(Err(_)) => Err("reading the file was cut off".to_owned()),
                    Err(_) => Err(format!("the file could not be read within {timeout:?}")),
                }
            }
        }
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
    let limit = SET_BYTES_MAX as u64 + 1;
    File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > SET_BYTES_MAX {
        return Err("it is longer than 256 KiB".to_owned());
    }
    Ok(Bytes::from(bytes))
}
