//! Google: identity tokens of service accounts, which is what services accept; Google's access tokens are opaque.
//!
//! Source: cloud.google.com, "Types of tokens", "Verifying the identity of instances"; IAM credentials API, generateIdToken.

use super::{Given, Preset, Profile, ProfileFault, fault, refused};
use crate::{
    Place, Trap,
    claims::{View, shown_claim},
    error::TokenError,
};

/// Both are documented.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    if let Some(url) = given.url.as_ref().filter(|url| url.as_str() != ISSUERS[0]) {
        let help = "leave `url` out: Google has one issuer";
        return Err(vec![fault("url", format!("`{url}` is not Google's issuer"), help)]);
    }
    let of_sign_in = given.audiences.iter().find(|audience| audience.ends_with(".apps.googleusercontent.com"));
    if let Some(audience) = of_sign_in {
        let help = "name this gateway's own URL: everybody who signs in to that application has such a token";
        return Err(vec![fault("audiences", format!("`{audience}` is the audience of users who sign in"), help)]);
    }
    let issuers = ISSUERS.map(str::to_owned).to_vec();
    let keys = Place::KeySet("https://www.googleapis.com/oauth2/v3/certs".to_owned());
    Ok(Preset::new(Profile::Google, issuers, Some(keys))
        .attribute("project_id", &["google", "compute_engine", "project_id"]))
}

/// An address that was not verified is whatever its owner says.
pub(super) fn check(view: &View<'_>) -> Result<(), TokenError> {
    let is_verified = view.claims.get("email_verified").is_some_and(|flag| flag == true);
    if view.claims.contains_key("email") && !is_verified {
        let problem = format!("`email_verified` is {}", shown_claim(view.claims, "email_verified"));
        return Err(refused(view, problem, Trap::GoogleEmail));
    }
    Ok(())
}
