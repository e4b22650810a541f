//! The holder of a DPoP key (RFC 9449).

use crate::TestIssuer;
use airgate_identity::Algorithm;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

static PROOFS: AtomicU64 = AtomicU64::new(0);

/// Makes proofs with one key.
#[derive(Debug)]
pub struct Prover(TestIssuer);

impl Prover {
    /// A new key.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(TestIssuer::new(algorithm))
    }

    /// `jkt` of a token that is bound to this key (RFC 7638), made here of the JWK's members in their order.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // RFC 7638 §3.2: in lexicographic order, without white space.
        let jwk = self.0.bare_jwk();
        let members: BTreeMap<&String, &Value> = jwk.as_object().expect("an object").iter().collect();
        let canonical = serde_json::to_string(&members).expect("JSON");
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }

    /// A good proof for this request, never the same twice.
    #[must_use]
    pub fn proof(&self, method: &str, url: &str, token: &str, now: u64) -> String {
        self.proof_with(&self.header(), &self.claims(method, url, token, now))
    }

    /// The header of a good proof.
    #[must_use]
    pub fn header(&self) -> Value {
        let alg = self.0.header()["alg"].clone();
        json!({ "typ": "dpop+jwt", "alg": alg, "jwk": self.0.bare_jwk() })
    }

    /// The claims of a good proof.
    #[must_use]
    pub fn claims(&self, method: &str, url: &str, token: &str, now: u64) -> Value {
        let number = PROOFS.fetch_add(1, Ordering::Relaxed);
        let ath = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
        json!({ "jti": format!("proof-{number}"), "htm": method, "htu": url, "iat": now, "ath": ath })
    }

    /// A proof with this header and these claims, signed with the key.
    #[must_use]
    pub fn proof_with(&self, header: &Value, claims: &Value) -> String {
        self.0.token_raw(&header.to_string(), &claims.to_string())
    }
}
