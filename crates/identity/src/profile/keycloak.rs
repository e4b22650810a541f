//! Keycloak: access tokens of a realm.
//!
//! Source: keycloak/keycloak TokenUtil, server administration guide ("Audience support", "Protocol mappers"), upgrading
//! guide of 25.0.

use super::{Given, Preset, Profile, ProfileFault, fault, required_url, text};
use crate::{IssuerConfig, Must, Place, TokenType, claims::View, error::Fault, trap::Trap};
use serde_json::Value;

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    const EXAMPLE: &str = "https://id.corp.example/realms/prod";
    let url = required_url(given, EXAMPLE).map_err(|fault| vec![fault])?;
    if realm_of(&url).is_none() {
        let help = format!("write the realm's issuer, without a last `/`: `{EXAMPLE}`");
        return Err(vec![fault("url", format!("`{url}` names no realm of Keycloak"), help)]);
    }
    if given.audiences.iter().any(|audience| audience == "account") {
        let help = "add an audience mapper for this gateway in Keycloak, and name that audience";
        let problem = "`account` is in nearly every token of the realm: it says nothing about whom a token is for";
        return Err(vec![fault("audiences", problem, help)]);
    }
    let keys = Place::KeySet(format!("{url}/protocol/openid-connect/certs"));
    let mut preset = Preset::new(Profile::Keycloak, vec![url], Some(keys))
        // `typ` is a claim here, besides the header parameter: ID and refresh tokens say so too.
        .require(&["typ"], Must::BeOneOf(vec!["Bearer".to_owned(), "DPoP".to_owned()]));
    preset = match &given.client {
        Some(client) => preset.attribute("roles", &["resource_access", client, "roles"]),
        None => preset.attribute("roles", &["realm_access", "roles"]),
    };
    preset.token_types = vec![TokenType::Jwt, TokenType::AccessToken];
    Ok(preset)
}

/// The part that is the same under every host name.
fn realm_of(url: &str) -> Option<&str> {
    let (_, realm) = url.split_once("/realms/")?;
    (!realm.is_empty() && !realm.contains('/')).then_some(realm)
}

pub(super) fn explain(fault: &Fault, view: &View<'_>) -> Option<Trap> {
    match text(view, "typ") {
        Some("ID") => return Some(Trap::IdToken),
        Some("Refresh" | "Offline" | "Logout" | "Serialized-ID") => return Some(Trap::OtherToken),
        _ => {}
    }
    match fault {
        Fault::AudienceMismatch { .. } => Some(Trap::KeycloakAudience),
        Fault::ClaimsMalformed { .. } if !view.claims.contains_key("aud") && view.claims.contains_key("sub") => {
            Some(Trap::KeycloakAudience)
        }
        Fault::ClaimsMalformed { .. } if !matches!(view.claims.get("sub"), Some(Value::String(_))) => {
            Some(Trap::KeycloakSubject)
        }
        _ => None,
    }
}

pub(super) fn explain_issuer(config: &IssuerConfig, iss: &str) -> Option<Trap> {
    let realm = realm_of(iss)?;
    let is_ours = config.issuers.iter().any(|known| realm_of(known) == Some(realm));
    is_ours.then_some(Trap::KeycloakHostname)
}
