//! GitHub Actions: every repository of the world gets tokens of this issuer, for any audience it asks for.
//!
//! Source: docs.github.com, "OpenID Connect reference".

use super::{Given, Preset, Profile, ProfileFault, fault};
use crate::{Must, Place, claims::View, error::Fault, trap::Trap};
use serde_json::Value;
use std::time::Duration;

const ISSUER: &str = "https://token.actions.githubusercontent.com";

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    let (ids, names): (Vec<String>, Vec<String>) =
        given.owners.iter().cloned().partition(|owner| owner.bytes().all(|b| b.is_ascii_digit()));
    let (claim, accepted) = match (ids.is_empty(), names.is_empty()) {
        (false, true) => ("repository_owner_id", ids),
        (true, false) => ("repository_owner", names),
        (true, true) => {
            let help =
                "add `owners = [\"<the owner's id>\"]`: every repository of the world can get a token for this gateway";
            return Err(vec![fault("owners", "`owners` is missing", help)]);
        }
        (false, false) => {
            let help = "use ids for all of them: a name can be registered again by somebody else";
            return Err(vec![fault("owners", "`owners` mixes ids and names", help)]);
        }
    };
    if let Some(audience) = given.audiences.iter().find(|audience| audience.starts_with("https://github.com/")) {
        let help =
            "name this gateway's own URL, and have workflows ask for it: `core.getIDToken(\"https://gw.example\")`";
        return Err(vec![fault(
            "audiences",
            format!("`{audience}` is the audience of every token that names none"),
            help,
        )]);
    }
    let url = given.url.clone().unwrap_or_else(|| ISSUER.to_owned());
    let keys = Place::KeySet(format!("{}/.well-known/jwks", url.trim_end_matches('/')));
    let mut preset = Preset::new(Profile::Github, vec![url], Some(keys)).require(&[claim], Must::BeOneOf(accepted));
    preset.lifetime_max = Duration::from_mins(15);
    Ok(preset)
}

pub(super) fn explain(fault: &Fault, view: &View<'_>) -> Option<Trap> {
    match fault {
        Fault::AudienceMismatch { .. } => {
            let is_default = view
                .claims
                .get("aud")
                .and_then(Value::as_str)
                .is_some_and(|aud| aud.starts_with("https://github.com/"));
            is_default.then_some(Trap::GithubAudience)
        }
        Fault::ClaimRefused { problem, .. } if problem.starts_with("`repository_owner") => Some(Trap::GithubOwner),
        _ => None,
    }
}
