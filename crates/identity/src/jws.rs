//! Compact JWS (RFC 7515 §7.1): strict reading, and the signature check.

use crate::{Algorithm, TokenError, json::strict_object, jwk::Key, presented::TOKEN_BYTES_MAX};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Header parameters that would let the token choose its own key, or change what is signed.
const REFUSED_PARAMETERS: [(&str, &str); 9] = [
    // RFC 7515 §4.1.11: what is critical and not understood must be refused. We understand no extension.
    ("crit", "`crit` is not supported"),
    ("jwk", "`jwk`: a token can't bring its own key"),
    ("jku", "`jku`: a token can't say where its key is"),
    ("x5u", "`x5u`: a token can't say where its certificate is"),
    ("x5c", "`x5c`: a token can't bring its own certificate"),
    // RFC 7797 §6 wants `crit` beside it; without, readers differ about the signed bytes.
    ("b64", "`b64` is not supported"),
    ("zip", "`zip`: compressed tokens are not supported"),
    ("enc", "`enc`: encrypted tokens are not supported"),
    ("epk", "`epk`: key agreement has no place in a signed token"),
];

/// RFC 8725 §3.11: a token of another type (a DPoP proof, a log-out token, one of our receipts) is not a bearer token.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "airgate-job+jwt"];

/// A token that is well formed. Nothing in it has been verified.
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: String,
    pub(crate) kid: String,
    pub(crate) payload: Vec<u8>,
    signing_input: &'a [u8],
    signature: Vec<u8>,
}

fn malformed(problem: &'static str) -> TokenError {
    TokenError::Malformed { problem }
}

/// No padding, no line breaks, no bits left over: one text for each value (RFC 7515 §2).
fn decode(part: &str, problem: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(problem))
}

/// # Errors
/// What is malformed or refused about the token's form or header.
pub(crate) fn read(token: &str) -> Result<Unverified<'_>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(malformed("it is longer than 8 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it is not three parts joined by dots"));
    };
    let signing_input = &token.as_bytes()[..header.len() + 1 + payload.len()];
    let header = decode(header, "its header is not base64url without padding")?;
    let payload = decode(payload, "its claims are not base64url without padding")?;
    let signature = decode(signature, "its signature is not base64url without padding")?;
    let header =
        strict_object(&header).ok_or_else(|| malformed("its header is not a JSON object, or has a member twice"))?;
    let (algorithm, kid) = check_header(&header)?;
    Ok(Unverified { algorithm, kid, payload, signing_input, signature })
}

fn check_header(header: &Map<String, Value>) -> Result<(String, String), TokenError> {
    for (name, problem) in REFUSED_PARAMETERS {
        if header.contains_key(name) {
            return Err(TokenError::HeaderRefused { problem });
        }
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(found)) => {
            // RFC 7515 §4.1.9: `application/` may be left out; media types compare without case.
            let short =
                if found.len() > 12 && found.is_char_boundary(12) && found[..12].eq_ignore_ascii_case("application/") {
                    &found[12..]
                } else {
                    found
                };
            if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(short)) {
                return Err(TokenError::HeaderRefused {
                    problem: "`typ` is none of `JWT`, `at+jwt` and `airgate-job+jwt`",
                });
            }
        }
        Some(_) => return Err(malformed("its header's `typ` is not a string")),
    }
    let text = |name: &str, missing, wrong| match header.get(name) {
        None => Err(malformed(missing)),
        Some(Value::String(value)) if !value.is_empty() => Ok(value.clone()),
        Some(_) => Err(malformed(wrong)),
    };
    let algorithm = text("alg", "its header has no `alg`", "its header's `alg` is not a string")?;
    let kid = text("kid", "its header has no `kid`", "its header's `kid` is not a string")?;
    Ok((algorithm, kid))
}

/// Why a key does not vouch for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// The key is not made for this algorithm.
    KeyUnfit,
    /// The signature is not the key's.
    Invalid,
}

impl Unverified<'_> {
    pub(crate) fn verify(&self, algorithm: Algorithm, key: &Key) -> Result<(), SignatureFault> {
        let public = key.for_algorithm(algorithm).ok_or(SignatureFault::KeyUnfit)?;
        public.verify_sig(self.signing_input, &self.signature).map_err(|_| SignatureFault::Invalid)
    }
}
