//! Compact JWS (RFC 7515 §7.1): strict reading, and the signature check.

use crate::{
    Algorithm, TokenType,
    error::{Fault, shown},
    json::strict_object,
    jwk::Key,
    presented::TOKEN_BYTES_MAX,
};
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

/// Registered parameters that are not used here. RFC 7515 §5.2 (5): what is understood must have the syntax that it should.
const TEXTS: [(&str, &str); 3] = [
    ("cty", "its header's `cty` is not a string"),
    ("x5t", "its header's `x5t` is not a string"),
    ("x5t#S256", "its header's `x5t#S256` is not a string"),
];

/// The three parts of a compact JWS, decoded; the header's parameters are not looked at yet.
pub(crate) struct Parts<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) payload: Vec<u8>,
    signing_input: &'a [u8],
    signature: Vec<u8>,
}

/// A token that is well formed. Nothing in it has been verified.
pub(crate) struct Unverified<'a> {
    pub(crate) parts: Parts<'a>,
    pub(crate) algorithm: String,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Typ,
}

/// The header's `typ`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typ {
    Known(TokenType),
    /// `JOSE`, which RFC 7515 §4.1.9 and JWT-SVID §2.2 allow.
    Jose,
    /// Lower case, without `application/`.
    Other(String),
}

fn malformed(problem: &'static str) -> Fault {
    Fault::Malformed { problem }
}

/// No padding, no line breaks, no bits left over: one text for each value (RFC 7515 §2).
fn decode(part: &str, problem: &'static str) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(problem))
}

/// Whether it can only be meant as a JSON Web Signature, however badly made: it is never shown to an introspection endpoint.
pub(crate) fn looks_like_jws(token: &str) -> bool {
    token.bytes().filter(|b| *b == b'.').count() == 2
}

impl<'a> Parts<'a> {
    /// # Errors
    /// What is malformed about the token's form.
    pub(crate) fn read(token: &'a str) -> Result<Self, Fault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(malformed("it is longer than 8 KiB"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it is not three parts joined by dots"));
        };
        let signing_input = &token.as_bytes()[..header.len() + 1 + payload.len()];
        let header = decode(header, "its header is not base64url without padding")?;
        let payload = decode(payload, "its claims are not base64url without padding")?;
        let signature = decode(signature, "its signature is not base64url without padding")?;
        let header = strict_object(&header)
            .ok_or_else(|| malformed("its header is not a JSON object, or has a member twice"))?;
        Ok(Self { header, payload, signing_input, signature })
    }

    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Fault> {
        strict_object(&self.payload)
            .ok_or_else(|| malformed("its claims are not a JSON object, or have a member twice"))
    }

    /// A header parameter that must be a text, where it is there.
    pub(crate) fn text(&self, name: &str, wrong: &'static str) -> Result<Option<&str>, Fault> {
        match self.header.get(name) {
            None => Ok(None),
            Some(Value::String(value)) if !value.is_empty() => Ok(Some(value)),
            Some(_) => Err(malformed(wrong)),
        }
    }

    pub(crate) fn algorithm(&self) -> Result<&str, Fault> {
        self.text("alg", "its header's `alg` is not a string")?.ok_or_else(|| malformed("its header has no `alg`"))
    }

    /// Whether the key made the signature.
    pub(crate) fn verify(&self, algorithm: Algorithm, key: &Key) -> Result<(), SignatureFault> {
        let is_called = self.algorithm().is_ok_and(|name| key.is_called(name));
        let public = key.for_algorithm(algorithm).filter(|_| is_called).ok_or(SignatureFault::KeyUnfit)?;
        public.verify_sig(self.signing_input, &self.signature).map_err(|_| SignatureFault::Invalid)
    }

    /// `crit`, what lets a token choose its key, and what is no text though it must be; `but` is the parameter that this kind of
    /// token must have.
    pub(crate) fn refuse_parameters(&self, but: Option<&str>) -> Result<(), Fault> {
        for (name, problem) in REFUSED_PARAMETERS {
            if self.header.contains_key(name) && but != Some(name) {
                return Err(Fault::HeaderRefused { problem });
            }
        }
        for (name, wrong) in TEXTS {
            self.text(name, wrong)?;
        }
        Ok(())
    }

    pub(crate) fn typ(&self) -> Result<Typ, Fault> {
        let found = match self.header.get("typ") {
            None => return Ok(Typ::Known(TokenType::Jwt)),
            Some(Value::String(found)) => found.to_ascii_lowercase(),
            Some(_) => return Err(malformed("its header's `typ` is not a string")),
        };
        // RFC 7515 §4.1.9: `application/` may be left out; media types compare without case.
        let short = found.strip_prefix("application/").unwrap_or(&found);
        let known = [TokenType::AccessToken, TokenType::Jwt, TokenType::JobAssertion]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(short));
        Ok(match known {
            Some(known) => Typ::Known(known),
            None if short == "jose" => Typ::Jose,
            None => Typ::Other(short.to_owned()),
        })
    }
}

impl std::fmt::Display for Typ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(known) => f.write_str(known.as_str()),
            Self::Jose => f.write_str("JOSE"),
            Self::Other(other) => f.write_str(&shown(other)),
        }
    }
}

/// # Errors
/// What is malformed or refused about the token's form or header.
pub(crate) fn read(token: &str) -> Result<Unverified<'_>, Fault> {
    let parts = Parts::read(token)?;
    parts.refuse_parameters(None)?;
    let typ = parts.typ()?;
    let algorithm = parts.algorithm()?.to_owned();
    let kid = parts.text("kid", "its header's `kid` is not a string")?.map(str::to_owned);
    Ok(Unverified { parts, algorithm, kid, typ })
}

/// Why a key does not vouch for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// The key is not made for this algorithm.
    KeyUnfit,
    /// The signature is not the key's.
    Invalid,
}
