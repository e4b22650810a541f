//! SPIFFE: JWT-SVIDs, which are trusted by the trust domain in their `sub`, and need have no `iss`.
//!
//! Source: spiffe/spiffe standards, SPIFFE-ID, JWT-SVID, SPIFFE Trust Domain and Bundle.

use super::{Given, Preset, Profile, ProfileFault, fault, refused, text};
use crate::{
    Algorithm, Trap,
    claims::View,
    error::{TokenError, shown},
    jwk::Selection,
};
use serde_json::{Map, Value};

/// SPIFFE-ID §2.3
const ID_BYTES_MAX: usize = 2048;
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    let Some(trust_domain) = &given.trust_domain else {
        let help = "add `trust_domain = \"corp.example\"`: the host part of its SPIFFE IDs";
        return Err(vec![fault("trust_domain", "`trust_domain` is missing", help)]);
    };
    if !is_trust_domain(trust_domain) {
        let help = "write the host part of its SPIFFE IDs alone: lower-case letters, digits, `.`, `-`, `_`";
        return Err(vec![fault("trust_domain", format!("`{trust_domain}` is no trust domain"), help)]);
    }
    let profile = Profile::Spiffe { trust_domain: trust_domain.clone() };
    let mut preset = Preset::new(profile, given.url.iter().cloned().collect(), None);
    preset.algorithms = vec![Algorithm::Es256, Algorithm::Rs256];
    Ok(preset)
}

/// A bundle's keys say `jwt-svid`; those of SPIRE's OIDC discovery provider say `sig` (`set_key_use = true`). One that says
/// nothing may be for certificates, and is not used.
pub(super) fn selection(kid_optional: bool) -> Selection {
    Selection { purposes: &["jwt-svid", "sig"], purpose_required: true, kid_optional }
}

fn is_trust_domain(text: &str) -> bool {
    (1..=TRUST_DOMAIN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b".-_".contains(&b))
}

/// The trust domain of a SPIFFE ID in its one spelling; none where it is no SPIFFE ID.
pub(crate) fn trust_domain_of(id: &str) -> Option<&str> {
    let rest = id.strip_prefix("spiffe://").filter(|_| id.len() <= ID_BYTES_MAX)?;
    let (trust_domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..") && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    };
    let is_good = is_trust_domain(trust_domain) && path.is_none_or(|path| path.split('/').all(is_segment));
    is_good.then_some(trust_domain)
}

pub(super) fn check(view: &View<'_>, trust_domain: &str) -> Result<(), TokenError> {
    let sub = text(view, "sub").unwrap_or_default();
    if trust_domain_of(sub) == Some(trust_domain) {
        return Ok(());
    }
    let problem = format!("`sub` is {}, no SPIFFE ID of `{trust_domain}`", shown(sub));
    Err(refused(view, problem, Trap::SpiffeId))
}

pub(super) fn explain_issuer(claims: &Map<String, Value>) -> Option<Trap> {
    let sub = claims.get("sub").and_then(Value::as_str)?;
    sub.starts_with("spiffe://").then_some(Trap::SpiffeId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_has_one_spelling() {
        for (id, expected) in [
            ("spiffe://corp.example/ns/batch/sa/loader", Some("corp.example")),
            ("spiffe://corp.example", Some("corp.example")),
            ("spiffe://corp.example/", None),
            ("spiffe://corp.example//a", None),
            ("spiffe://corp.example/a/", None),
            ("spiffe://corp.example/a/../b", None),
            ("spiffe://corp.example/a/./b", None),
            ("spiffe://corp.example/a%2fb", None),
            ("spiffe://corp.example/a?b", None),
            ("spiffe://corp.example/a#b", None),
            ("spiffe://corp.example:443/a", None),
            ("spiffe://user@corp.example/a", None),
            ("spiffe://Corp.example/a", None),
            ("SPIFFE://corp.example/a", None),
            ("spiffe:///a", None),
            ("https://corp.example/a", None),
        ] {
            assert_eq!(trust_domain_of(id), expected, "{id}");
        }
        assert_eq!(trust_domain_of(&format!("spiffe://corp.example/{}", "a".repeat(2048))), None);
    }
}
