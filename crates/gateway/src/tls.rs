//! TLS on both sides: rustls with aws-lc-rs.

use crate::{config::TlsFiles, error::GatewayError};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;
use std::{path::Path, sync::Arc};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn unusable(place: &str, path: &Path, why: impl std::fmt::Display) -> GatewayError {
    GatewayError::new(format!("{place}: `{}`: {why}", path.display()), "give a readable PEM file")
}

fn certificates(path: &Path, place: &str) -> Result<Vec<CertificateDer<'static>>, GatewayError> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| unusable(place, path, e))?;
    if found.is_empty() {
        return Err(unusable(place, path, "it holds no certificate"));
    }
    Ok(found)
}

/// TLS 1.2 and 1.3, `h2` and `http/1.1`.
pub(crate) fn server(files: &TlsFiles, place: &str) -> Result<TlsAcceptor, GatewayError> {
    let chain = certificates(&files.certificate, place)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| unusable(place, &files.key, e))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| unusable(place, &files.key, e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// `http/1.1` alone: Windows authentication is bound to HTTP/1.1 connections.
pub(crate) fn client(ca_file: Option<&Path>, place: &str) -> Result<TlsConnector, GatewayError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| GatewayError::new(format!("{place}: {e}"), "this build of the gateway is at fault: report it"))?;
    let mut config = match ca_file {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, place)? {
                roots.add(certificate).map_err(|e| unusable(place, path, e))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => builder
            .with_platform_verifier()
            .map_err(|e| {
                GatewayError::new(format!("{place}: the platform's roots can't be used: {e}"), "give a `ca_file`")
            })?
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
