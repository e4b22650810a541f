//! Any OpenID Connect or OAuth 2.0 issuer: nothing is known of it but the standards.

use super::{Given, Preset, Profile, ProfileFault, ProfileName, fault, required_url};
use crate::{Algorithm, KeySource, Place, TokenType};

const SUFFIXES: [&str; 2] = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    let url = match (&given.url, &given.keys) {
        (Some(url), _) => url.clone(),
        // The discovery document's address holds the issuer's name.
        (None, Some(KeySource::Remote(remote))) if matches!(remote.place, Place::Discovery(_)) => {
            name_of(remote.place.url()).ok_or_else(|| {
                let help = "add `url`: the exact `iss` of its tokens, which the discovery document calls `issuer`";
                vec![fault("url", "`url` is missing, and `discovery_url` does not end as the standards say", help)]
            })?
        }
        (None, _) => required_url(given, "https://id.corp.example").map_err(|fault| vec![fault])?,
    };
    if let Some(known) = ProfileName::of_url(&url) {
        let help =
            format!("add `profile = \"{}\"`: it knows how this provider's tokens are told apart", known.as_str());
        return Err(vec![fault("url", format!("`{url}` is known, and has a profile of its own"), help)]);
    }
    let mut preset = Preset::new(Profile::Oidc, vec![url.clone()], Some(Place::Issuer(url)));
    // RFC 9068: access tokens that say so themselves. Anything else must be asked for.
    preset.token_types = vec![TokenType::AccessToken];
    preset.algorithms = Vec::<Algorithm>::new();
    Ok(preset)
}

/// The issuer's name, from its discovery document's address.
fn name_of(discovery_url: &str) -> Option<String> {
    if let Some(name) = discovery_url.strip_suffix(SUFFIXES[0]) {
        return Some(name.to_owned());
    }
    // RFC 8414 §3.1: inserted between host and path.
    let (origin, path) = discovery_url.split_once(SUFFIXES[1])?;
    (path.is_empty() || path.starts_with('/')).then(|| format!("{origin}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_address_holds_the_issuers_name() {
        for (url, expected) in [
            ("https://id.example/.well-known/openid-configuration", Some("https://id.example")),
            ("https://id.example/realms/x/.well-known/openid-configuration", Some("https://id.example/realms/x")),
            ("https://id.example/.well-known/oauth-authorization-server/realms/x", Some("https://id.example/realms/x")),
            ("https://id.example/.well-known/oauth-authorization-serverx", None),
            ("https://id.example/metadata", None),
        ] {
            assert_eq!(name_of(url).as_deref(), expected, "{url}");
        }
    }
}
