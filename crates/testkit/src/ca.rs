//! A certificate authority for one test.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority with a key of its own.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl std::fmt::Debug for TestCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestCa")
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}

impl TestCa {
    /// A new authority (ECDSA P-256).
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters without names");
        params.distinguished_name.push(DnType::CommonName, "airgate test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("a self-signed certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for these DNS names or IP addresses: (certificate PEM, key PEM).
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.make(names, "airgate test server", ExtendedKeyUsagePurpose::ServerAuth);
        (certificate.pem(), key)
    }

    /// A client certificate: (certificate PEM, key PEM, SHA-256 of its DER).
    #[must_use]
    pub fn issue_client(&self, name: &str) -> (String, String, [u8; 32]) {
        let (certificate, key) = self.make(&[], name, ExtendedKeyUsagePurpose::ClientAuth);
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, certificate.der()).as_ref());
        (certificate.pem(), key, thumbprint)
    }

    fn make(&self, names: &[&str], common_name: &str, purpose: ExtendedKeyUsagePurpose) -> (Certificate, String) {
        let key = KeyPair::generate().expect("a key pair");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        (certificate, key.serialize_pem())
    }
}
