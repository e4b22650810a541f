//! DPoP (RFC 9449): that the request was made by the holder of the key that its token is bound to.

use crate::{
    Algorithm, DpopConfig,
    authority::host_and_port,
    confirm::CertificateThumbprint,
    error::{Fault, TokenError, shown},
    jwk,
    jws::{Parts, Typ},
    nonce::{Nonces, Told},
    replay::{Full, Replays},
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::{Map, Value};

/// RFC 9449 §4.2: a `jti` needs 96 bits; nobody needs this many.
const JTI_BYTES_MAX: usize = 256;

/// The algorithms that proofs may be signed with, for `algs` of a challenge and for metadata.
pub const DPOP_ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es384, Algorithm::Ps256, Algorithm::Rs256];

/// The request that a proof must be about, as this gateway understood it.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The method, with case.
    pub method: &'a str,
    /// Where the caller sent it.
    pub target: RequestTarget<'a>,
    /// Of the certificate that the caller showed in the TLS handshake.
    pub client_certificate: Option<&'a CertificateThumbprint>,
    /// Seconds since 1970.
    pub now: u64,
}

/// The request's URL without query and fragment.
#[derive(Debug, Clone, Copy)]
pub struct RequestTarget<'a> {
    /// `https` or `http`.
    pub scheme: &'a str,
    /// Host and, where there is one, port.
    pub authority: &'a str,
    /// Canonical.
    pub path: &'a str,
}

/// What is remembered between proofs.
pub(crate) struct DpopState {
    config: DpopConfig,
    replays: Mutex<Replays>,
    nonces: Nonces,
}

impl DpopState {
    pub(crate) fn new(config: DpopConfig) -> Self {
        let window = config.age_max.as_secs() + config.leeway.as_secs();
        let replays = Mutex::new(Replays::new(window, config.replays_max));
        let nonces = Nonces::new(config.nonce_lifetime.as_secs());
        Self { config, replays, nonces }
    }

    pub(crate) fn nonce(&self, now: u64) -> String {
        self.nonces.current(now)
    }
}

/// What a proof must prove.
pub(crate) struct Asked<'a> {
    /// The token's text, whose digest the proof holds.
    pub(crate) token: &'a str,
    /// The thumbprint of the key that the token is bound to.
    pub(crate) jkt: &'a [u8; 32],
    /// Whether it must hold a nonce of ours.
    pub(crate) nonce: bool,
    /// For messages.
    pub(crate) issuer: &'a str,
}

/// RFC 9449 §4.3, the checks in the order of their cost: who has not the key makes us verify no signature, and only a good
/// proof is remembered. The nonce to use from now on, where the proof's is the one before.
///
/// # Errors
/// The first check that failed.
pub(crate) fn check(
    state: &DpopState,
    proof: &str,
    asked: &Asked<'_>,
    facts: &Facts<'_>,
) -> Result<Option<String>, TokenError> {
    let Asked { token, jkt, nonce, issuer } = *asked;
    let refused = |problem: String| TokenError::from(Fault::ProofRefused { issuer: issuer.to_owned(), problem });
    let proof = Proof::read(proof).map_err(|fault| refused(fault.to_string().replace("token", "DPoP proof")))?;
    if proof.thumbprint != *jkt {
        return Err(refused("its key is not the one that the token is bound to".to_owned()));
    }
    proof.check_request(&state.config, token, facts).map_err(refused)?;
    let next = if nonce { require_nonce(state, &proof, facts.now, issuer)? } else { None };
    proof.verify().map_err(|problem| refused(problem.to_owned()))?;
    // RFC 9449 §11.1: last, so that nobody but the key's owner can fill the memory.
    match state.replays.lock().insert(jkt, &proof.jti, facts.now) {
        Ok(true) => Ok(next),
        Ok(false) => Err(Fault::ProofReplayed { issuer: issuer.to_owned() }.into()),
        Err(Full::All) => Err(Fault::ReplayCacheFull { problem: "all places are taken" }.into()),
        Err(Full::OneKey) => Err(Fault::ReplayCacheFull { problem: "one key has taken its share" }.into()),
    }
}

/// RFC 9449 §9.
fn require_nonce(state: &DpopState, proof: &Proof<'_>, now: u64, issuer: &str) -> Result<Option<String>, TokenError> {
    let again = |problem| Fault::NonceRequired { issuer: issuer.to_owned(), problem, nonce: state.nonces.current(now) };
    match &proof.nonce {
        None => Err(again("holds no nonce").into()),
        Some(nonce) => match state.nonces.tell(nonce, now) {
            Told::Current => Ok(None),
            Told::Previous => Ok(Some(state.nonces.current(now))),
            Told::Unknown => Err(again("holds a nonce that is too old, or not of this gateway").into()),
        },
    }
}

/// A DPoP proof that is well formed; its signature is verified last.
pub(crate) struct Proof<'a> {
    parts: Parts<'a>,
    algorithm: Algorithm,
    key: jwk::Key,
    pub(crate) thumbprint: [u8; 32],
    claims: Map<String, Value>,
    jti: String,
    nonce: Option<String>,
}

impl<'a> Proof<'a> {
    /// # Errors
    /// What is malformed about it.
    pub(crate) fn read(text: &'a str) -> Result<Self, Fault> {
        let header = |problem| Fault::HeaderRefused { problem };
        let parts = Parts::read(text)?;
        parts.refuse_parameters(Some("jwk"))?;
        if parts.typ()? != Typ::Other("dpop+jwt".to_owned()) {
            return Err(header("its `typ` is not `dpop+jwt`"));
        }
        let algorithm = Algorithm::from_jose(parts.algorithm()?)
            .filter(|algorithm| DPOP_ALGORITHMS.contains(algorithm))
            .ok_or_else(|| header("its `alg` is none of ES256, EdDSA, ES384, PS256, RS256"))?;
        let Some(Value::Object(jwk)) = parts.header.get("jwk") else {
            return Err(header("its header has no `jwk`"));
        };
        let key = jwk::read_public(jwk).map_err(|_| header("its `jwk` is no public key that can be used"))?;
        let input = jwk::thumbprint_input(jwk).ok_or_else(|| header("its `jwk` is no public key that can be used"))?;
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, input.as_bytes()).as_ref());
        let claims = parts.claims()?;
        let malformed = |problem: &str| Fault::ClaimsMalformed { problem: problem.to_owned() };
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let jti = text("jti").ok_or_else(|| malformed("`jti` is missing or no text"))?.to_owned();
        if jti.len() > JTI_BYTES_MAX {
            return Err(malformed("`jti` is longer than 256 bytes"));
        }
        let nonce = match claims.get("nonce") {
            None => None,
            Some(Value::String(nonce)) => Some(nonce.clone()),
            Some(_) => return Err(malformed("`nonce` is no text")),
        };
        Ok(Self { parts, algorithm, key, thumbprint, claims, jti, nonce })
    }

    pub(crate) fn verify(&self) -> Result<(), &'static str> {
        self.parts.verify(self.algorithm, &self.key).map_err(|_| "its signature is invalid")
    }

    fn check_request(&self, config: &DpopConfig, token: &str, facts: &Facts<'_>) -> Result<(), String> {
        let text = |name: &str| {
            self.claims.get(name).and_then(Value::as_str).ok_or_else(|| format!("its `{name}` is missing or no text"))
        };
        let htm = text("htm")?;
        if htm != facts.method {
            return Err(format!("its `htm` is {}, not the request's method", shown(htm)));
        }
        let htu = text("htu")?;
        if !is_same_target(htu, &facts.target) {
            return Err(format!("its `htu` is {}, not the request's URL", shown(htu)));
        }
        let issued_at =
            self.claims.get("iat").and_then(Value::as_u64).ok_or("its `iat` is missing or no whole number")?;
        if issued_at > facts.now.saturating_add(config.leeway.as_secs()) {
            return Err(format!("its `iat` lies {} s in the future", issued_at - facts.now));
        }
        if facts.now > issued_at.saturating_add(config.age_max.as_secs()) {
            let age = facts.now - issued_at;
            return Err(format!("it is {age} s old, at most {} s are accepted", config.age_max.as_secs()));
        }
        let expected = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
        if text("ath")? != expected {
            return Err("its `ath` is not the digest of the token".to_owned());
        }
        Ok(())
    }
}

/// RFC 9449 §4.3 (9): without query and fragment, after syntax- and scheme-based normalization (RFC 3986 §6.2). The request's
/// path has one spelling only, so its text is compared.
fn is_same_target(htu: &str, target: &RequestTarget<'_>) -> bool {
    let Ok(uri) = htu.split(['?', '#']).next().unwrap_or("").parse::<http::Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    if !scheme.eq_ignore_ascii_case(target.scheme) {
        return false;
    }
    let is_https = scheme.eq_ignore_ascii_case("https");
    let Some(own) = target.authority.parse().ok().and_then(|own| host_and_port(&own, is_https)) else { return false };
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    host_and_port(authority, is_https) == Some(own) && path == target.path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_compared_without_query_and_by_its_normal_form() {
        let target = RequestTarget { scheme: "https", authority: "gw.example:8443", path: "/api/orders" };
        for (htu, expected) in [
            ("https://gw.example:8443/api/orders", true),
            ("HTTPS://GW.Example:8443/api/orders", true),
            ("https://gw.example:8443/api/orders?x=1#y", true),
            ("https://gw.example:8443/api/orders/", false),
            ("https://gw.example:8443/API/orders", false),
            ("https://gw.example/api/orders", false),
            ("http://gw.example:8443/api/orders", false),
            ("https://evil.example:8443/api/orders", false),
            ("https://gw.example:08443/api/orders", true),
            ("https://gw.example:8443x/api/orders", false),
            ("https://gw.example:+8443/api/orders", false),
            ("https://gw.example:8443@evil.example/api/orders", false),
            ("https://user@gw.example:8443/api/orders", false),
            ("https://gw.example:8443/api/../api/orders", false),
            ("/api/orders", false),
            ("", false),
        ] {
            assert_eq!(is_same_target(htu, &target), expected, "{htu}");
        }
        let default = RequestTarget { scheme: "https", authority: "gw.example", path: "/" };
        for htu in ["https://gw.example", "https://gw.example/", "https://gw.example:/", "https://gw.example:443/"] {
            assert!(is_same_target(htu, &default), "{htu}");
        }
        for htu in ["https://gw.example:443x/", "https://gw.example:65979/", "https://gw.example:-1"] {
            assert!(!is_same_target(htu, &default), "{htu}");
        }
    }
}
