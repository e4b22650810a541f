//! Okta: access tokens of a custom authorization server. Those of the org server are nobody's but Okta's.
//!
//! Source: developer.okta.com, "Authorization servers" and the OAuth 2.0 overview.

use super::{Given, Preset, Profile, ProfileFault, fault, required_url, text, wrong_kind};
use crate::{
    IssuerConfig, Must, Place, Trap,
    claims::View,
    error::{TokenError, shown},
};

const EXAMPLE: &str = "https://acme.okta.com/oauth2/default";

/// The part before `/oauth2/<id>`: what the org server calls itself.
fn org_of(url: &str) -> Option<&str> {
    let (org, id) = url.split_once("/oauth2/")?;
    let is_good = !id.is_empty() && !id.contains('/') && org.starts_with("https://");
    is_good.then_some(org)
}

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    let url = required_url(given, EXAMPLE).map_err(|fault| vec![fault])?;
    if org_of(&url).is_none() {
        let problem = format!("`{url}` is not a custom authorization server of Okta");
        let help = format!(
            "write it as `{EXAMPLE}`: tokens of the org server (without `/oauth2/<id>`) can be checked by Okta alone"
        );
        return Err(vec![fault("url", problem, help)]);
    }
    let keys = Place::KeySet(format!("{url}/v1/keys"));
    Ok(Preset::new(Profile::Okta, vec![url], Some(keys)).require(&["cid"], Must::Exist))
}

pub(super) fn check(view: &View<'_>) -> Result<(), TokenError> {
    match text(view, "jti") {
        Some(jti) if jti.starts_with("AT.") => Ok(()),
        Some(jti) if jti.starts_with("ID.") => {
            Err(wrong_kind(view, format!("its `jti` is {}", shown(jti)), Trap::IdToken))
        }
        Some(jti) => {
            let problem = format!("its `jti` is {}, not that of an access token (`AT.…`)", shown(jti));
            Err(wrong_kind(view, problem, Trap::OtherToken))
        }
        None => Err(wrong_kind(view, "it has no `jti`, which every access token has", Trap::OtherToken)),
    }
}

pub(super) fn explain_issuer(config: &IssuerConfig, iss: &str) -> Option<Trap> {
    let is_org = config.issuers.iter().filter_map(|known| org_of(known)).any(|org| org == iss.trim_end_matches('/'));
    is_org.then_some(Trap::OktaOrgServer)
}
