//! What a token is bound to (RFC 7800), and whether the request proves it.

use crate::{
    dpop::{self, DpopState, Facts},
    error::{Fault, TokenError},
    presented::{PresentedToken, Scheme},
    verified::Claimed,
    verifier::Expectation,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// SHA-256 of a client certificate's DER (RFC 8705 §3.1).
pub type CertificateThumbprint = [u8; 32];

/// `cnf`: what the presenter must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Confirmation {
    /// RFC 9449 §6.1: the RFC 7638 thumbprint of a key.
    pub(crate) jkt: Option<[u8; 32]>,
    /// RFC 8705 §3.1
    pub(crate) certificate: Option<CertificateThumbprint>,
}

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProofRule {
    /// A token that is bound to nothing will do. One that is bound must be proven all the same.
    #[default]
    AsBound,
    /// The token must be bound to a DPoP key.
    Dpop,
    /// The token must be bound to a client certificate.
    Mtls,
    /// One of the two.
    Either,
}

/// What the request proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proven {
    /// The key of a DPoP proof.
    pub dpop: bool,
    /// The key of a client certificate.
    pub mtls: bool,
}

impl Confirmation {
    /// # Errors
    /// A binding that is malformed, or of a kind that can't be proven here: it must not be passed over.
    pub(crate) fn read(claims: &Map<String, Value>) -> Result<Self, Fault> {
        let malformed = |problem: &str| Fault::ClaimsMalformed { problem: format!("`cnf` {problem}") };
        let Some(cnf) = claims.get("cnf") else { return Ok(Self::default()) };
        let cnf =
            cnf.as_object().filter(|cnf| !cnf.is_empty()).ok_or_else(|| malformed("is not an object with members"))?;
        let mut out = Self::default();
        for (name, value) in cnf {
            let digest = value
                .as_str()
                .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let place = match name.as_str() {
                "jkt" => &mut out.jkt,
                "x5t#S256" => &mut out.certificate,
                _ => {
                    return Err(malformed(
                        "binds the token in a way that can't be proven here (neither `jkt` nor `x5t#S256`)",
                    ));
                }
            };
            *place = Some(digest.ok_or_else(|| malformed("holds what is no SHA-256 digest in base64url"))?);
        }
        Ok(out)
    }

    fn is_bound(&self) -> bool {
        self.jkt.is_some() || self.certificate.is_some()
    }
}

/// What was proven, and the nonce to prove it with next time.
pub(crate) struct Proof {
    pub(crate) proven: Proven,
    pub(crate) next_nonce: Option<String>,
}

/// # Errors
/// What the request does not prove.
pub(crate) fn check(
    state: &DpopState,
    token: &Claimed,
    presented: &PresentedToken,
    expected: &Expectation,
    facts: &Facts<'_>,
) -> Result<Proof, TokenError> {
    let issuer = || token.issuer.to_string();
    let missing = |problem| TokenError::from(Fault::ProofMissing { issuer: issuer(), problem });
    let bound = &token.confirmation;
    let has_fitting = match expected.proof {
        ProofRule::AsBound => true,
        ProofRule::Dpop => bound.jkt.is_some(),
        ProofRule::Mtls => bound.certificate.is_some(),
        ProofRule::Either => bound.is_bound(),
    };
    if !has_fitting {
        return Err(missing("this route takes only tokens that are bound to their holder's key"));
    }
    let mut proven = Proven::default();
    let mut next_nonce = None;
    match (&bound.certificate, facts.client_certificate) {
        (None, _) => {}
        (Some(_), None) => return Err(missing("the token is bound to a client certificate, and none was shown")),
        (Some(expected), Some(shown)) if expected == shown => proven.mtls = true,
        (Some(_), Some(_)) => {
            return Err(missing("the token is bound to another client certificate than the one shown"));
        }
    }
    match (&bound.jkt, presented.scheme, presented.expose_proof()) {
        // RFC 9449 §7.1: a bound token is presented with the scheme `DPoP`, and no other token is.
        (Some(_), Scheme::Bearer, _) => {
            return Err(missing("the token is bound to a DPoP key; send `Authorization: DPoP`"));
        }
        (Some(_), Scheme::Dpop, None) => {
            return Err(missing("the token is bound to a DPoP key, and there is no `DPoP` header"));
        }
        (Some(jkt), Scheme::Dpop, Some(proof)) => {
            let asked = dpop::Asked {
                token: presented.expose_secret(),
                jkt,
                nonce: expected.dpop_nonce,
                issuer: &token.issuer,
            };
            next_nonce = dpop::check(state, proof, &asked, facts)?;
            proven.dpop = true;
        }
        (None, Scheme::Dpop, _) => {
            let problem = "the token is not bound to a DPoP key (it has no `cnf`)".to_owned();
            return Err(Fault::ProofRefused { issuer: issuer(), problem }.into());
        }
        (None, Scheme::Bearer, Some(_)) => {
            let problem = "there is a `DPoP` header beside a bearer token".to_owned();
            return Err(Fault::ProofRefused { issuer: issuer(), problem }.into());
        }
        (None, Scheme::Bearer, None) => {}
    }
    Ok(Proof { proven, next_nonce })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bindings_that_cannot_be_proven_are_not_passed_over() {
        let digest = URL_SAFE_NO_PAD.encode([7; 32]);
        let read = |cnf: Value| Confirmation::read(json!({ "cnf": cnf }).as_object().expect("claims"));
        assert_eq!(Confirmation::read(&Map::new()), Ok(Confirmation::default()));
        assert_eq!(read(json!({ "jkt": digest })), Ok(Confirmation { jkt: Some([7; 32]), certificate: None }));
        assert_eq!(read(json!({ "x5t#S256": digest })), Ok(Confirmation { jkt: None, certificate: Some([7; 32]) }));
        for bad in [
            json!(null),
            json!({}),
            json!("x"),
            json!([]),
            json!({ "kid": "x" }),
            json!({ "jwk": {} }),
            json!({ "jkt": digest, "jku": "https://x" }),
            json!({ "jkt": 7 }),
            json!({ "jkt": "short" }),
            json!({ "jkt": format!("{digest}=") }),
            json!({ "x5t": digest }),
            json!({ "x5t#S256": "" }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
