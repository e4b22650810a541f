//! TLS on both sides: rustls with aws-lc-rs.

use crate::{
    config::{ClientCertificates, TlsFiles},
    error::GatewayError,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
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
    let clients = files.clients.as_ref().map(|clients| client_verifier(clients, place)).transpose()?;
    let has_clients = clients.is_some();
    let clients = clients.unwrap_or_else(|| Arc::new(NoClientAuth));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(|e| unusable(place, &files.key, e))?;
    if has_clients {
        // A resumed session brings back a certificate that nobody checks again: it may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn roots(path: &Path, place: &str) -> Result<RootCertStore, GatewayError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, place)? {
        roots.add(certificate).map_err(|e| unusable(place, path, e))?;
    }
    Ok(roots)
}

fn client_verifier(clients: &ClientCertificates, place: &str) -> Result<Arc<dyn ClientCertVerifier>, GatewayError> {
    let roots = Arc::new(roots(&clients.ca_file, place)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|e| unusable(place, &clients.ca_file, e))
}

/// `http/1.1` alone: Windows authentication is bound to HTTP/1.1 connections.
pub(crate) fn client(ca_file: Option<&Path>, place: &str) -> Result<TlsConnector, GatewayError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| GatewayError::new(format!("{place}: {e}"), "this build of the gateway is at fault: report it"))?;
    let mut config = match ca_file {
        Some(path) => builder.with_root_certificates(roots(path, place)?).with_no_client_auth(),
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
