//! Verified tokens, for tests of what comes after the verification.

use crate::TestIssuer;
use airgate_identity::{
    Algorithm, ClaimPath, Facts, KeySource, PresentedToken, RequestTarget, TokenError, VerifiedToken, Verifier,
};
use serde_json::{Value, json};
use std::{io::Write as _, sync::LazyLock, time::Duration};

/// Seconds since 1970 at which [`verified`] checks.
const NOW: u64 = 1_800_000_000;
const AUDIENCE: &str = "airgate-test";

static ISSUER: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer::new(Algorithm::EdDsa));

/// A token with these claims of an issuer that the configuration calls `issuer`, through the one way there is to get
/// one. `iss`, `aud`, `exp` and `sub` are added where the claims lack them.
#[must_use]
pub fn verified(issuer: &str, assurance: &str, claims: Value) -> VerifiedToken {
    verified_with(issuer, assurance, claims, &[])
}

/// As [`verified`], of an issuer with these attributes: (name, path of the claim).
#[must_use]
pub fn verified_with(
    issuer: &str,
    assurance: &str,
    mut claims: Value,
    attributes: &[(&str, &[&str])],
) -> VerifiedToken {
    for (claim, value) in [
        ("iss", json!(ISSUER.issuer())),
        ("aud", json!(AUDIENCE)),
        ("exp", json!(NOW + 60)),
        ("sub", json!("test-subject")),
    ] {
        if claims.get(claim).is_none() {
            claims[claim] = value;
        }
    }
    let mut keys = tempfile::NamedTempFile::new().expect("a temporary file");
    keys.write_all(ISSUER.jwks().to_string().as_bytes()).expect("the key set is written");
    let mut config = ISSUER.config(issuer, AUDIENCE, KeySource::File(keys.path().to_owned()));
    assurance.clone_into(&mut config.assurance);
    config.lifetime_max = Duration::from_hours(1);
    for (name, path) in attributes {
        let path = ClaimPath::new(path.iter().copied()).expect("a path");
        config.attributes.insert((*name).to_owned(), path);
    }
    let verifier = Verifier::new(vec![config]).expect("a verifier");
    verify_bearer(&verifier, &ISSUER.token(claims), NOW).expect("claims that an issuer may make")
}

/// A bearer token, checked at a time (seconds since 1970), on a runtime of its own.
///
/// # Errors
/// The verifier's.
pub fn verify_bearer(verifier: &Verifier, token: &str, now: u64) -> Result<VerifiedToken, TokenError> {
    let mut headers = http::HeaderMap::new();
    let value = format!("Bearer {token}").parse().expect("a header value");
    headers.insert(http::header::AUTHORIZATION, value);
    let expected = verifier.expect(None).expect("all issuers");
    let presented = PresentedToken::from_request(&headers, None, expected.tolerance)?;
    let target = RequestTarget { scheme: "https", authority: "gw.example", path: "/" };
    let facts = Facts { method: "GET", target, client_certificate: None, now };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(verifier.verify(&presented, &expected, &facts))
}
