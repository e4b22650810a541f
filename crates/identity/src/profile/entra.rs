//! Microsoft Entra ID: access tokens of versions 1.0 and 2.0, of one tenant or a list of them.
//!
//! Source: learn.microsoft.com/entra/identity-platform, pages access-tokens, access-token-claims-reference,
//! optional-claims-reference.

use super::{Given, Preset, Profile, ProfileFault, fault, refused, text, wrong_kind};
use crate::{
    IssuerConfig, Place, Trap,
    claims::{View, shown_claim},
    error::{Fault, TokenError, shown},
};
use std::time::Duration;

/// (where users sign in, whose name version 1.0 tokens bear)
const CLOUDS: [(&str, &str); 3] = [
    ("login.microsoftonline.com", "sts.windows.net"),
    ("login.microsoftonline.us", "sts.windows.net"),
    ("login.partner.microsoftonline.cn", "sts.chinacloudapi.cn"),
];

pub(super) fn is_host(host: &str) -> bool {
    CLOUDS.iter().any(|(login, sts)| *login == host || *sts == host)
}

fn v1(sts: &str, tenant: &str) -> String {
    format!("https://{sts}/{tenant}/")
}

fn v2(login: &str, tenant: &str) -> String {
    format!("https://{login}/{tenant}/v2.0")
}

/// A tenant's id: tokens never name a tenant otherwise.
fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    let (issuers, keys) = match (&given.url, given.tenants.as_slice()) {
        (Some(url), []) => of_url(url).map_err(|fault| vec![fault])?,
        (Some(_), [_, ..]) => {
            let help = "keep `tenants`, which accepts both versions of its tokens, or `url` for the one that it names";
            return Err(vec![fault("url", "both `url` and `tenants` are given", help)]);
        }
        (None, []) => {
            let help =
                "add `tenants = [\"<directory (tenant) id>\"]`: without a list, every tenant of the world could get in";
            return Err(vec![fault("tenants", "`tenants` is missing", help)]);
        }
        (None, tenants) => of_tenants(tenants)?,
    };
    let mut preset = Preset::new(Profile::Entra { app_only: given.app_only }, issuers, Some(Place::KeySet(keys)))
        .attribute("roles", &["roles"]);
    // A random 60 to 90 minutes, counted from five minutes before the issue.
    preset.lifetime_max = Duration::from_hours(2);
    Ok(preset)
}

/// (accepted `iss`, key set)
fn of_tenants(tenants: &[String]) -> Result<(Vec<String>, String), Vec<ProfileFault>> {
    let (login, sts) = CLOUDS[0];
    let wrong: Vec<ProfileFault> = tenants
        .iter()
        .filter(|tenant| !is_guid(tenant))
        .map(|tenant| {
            let help = "use the directory (tenant) id, in lower case: tokens name no domain, and `common` is no tenant";
            fault("tenants", format!("`{tenant}` is no tenant's id"), help)
        })
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let issuers = tenants.iter().flat_map(|tenant| [v2(login, tenant), v1(sts, tenant)]).collect();
    let of = if let [only] = tenants { only.as_str() } else { "common" };
    Ok((issuers, format!("https://{login}/{of}/discovery/v2.0/keys")))
}

/// What is given wins: the one issuer, in one version, in the cloud that it names.
fn of_url(url: &str) -> Result<(Vec<String>, String), ProfileFault> {
    let found = CLOUDS.iter().find_map(|(login, sts)| {
        let tenant = tenant_of(url)?;
        let is_its = url == v2(login, tenant) || url == v1(sts, tenant);
        (is_guid(tenant) && is_its).then_some((*login, tenant))
    });
    let Some((login, tenant)) = found else {
        let help = "write `https://login.microsoftonline.com/<tenant id>/v2.0`, or `tenants = [\"<tenant id>\"]` instead of `url`";
        return Err(fault("url", format!("`{url}` is no issuer of Entra ID"), help));
    };
    Ok((vec![url.to_owned()], format!("https://{login}/{tenant}/discovery/v2.0/keys")))
}

/// The first segment of the path.
fn tenant_of(iss: &str) -> Option<&str> {
    iss.strip_prefix("https://")?.split('/').nth(1)
}

/// A key of the set for many tenants names whose tokens it signs: `{tenantid}` for any, else the one (that of personal
/// accounts, for one). That `tid` is the tenant of `iss` too, is checked with the claims.
pub(super) fn key_fits(key_issuer: &str, iss: &str) -> bool {
    let of_key = tenant_of(key_issuer);
    of_key == Some("{tenantid}") || (of_key.is_some() && of_key == tenant_of(iss))
}

pub(super) fn check(view: &View<'_>, app_only: bool) -> Result<(), TokenError> {
    let (iss, tid) = (text(view, "iss").unwrap_or_default(), text(view, "tid").unwrap_or_default());
    if tenant_of(iss) != Some(tid) {
        return Err(refused(
            view,
            format!("`tid` is {}, `iss` names another tenant", shown(tid)),
            Trap::EntraTenantMismatch,
        ));
    }
    let expected = if iss.ends_with("/v2.0") { "2.0" } else { "1.0" };
    if text(view, "ver") != Some(expected) {
        let problem = format!("`ver` is {}, not that of its `iss`", shown_claim(view.claims, "ver"));
        return Err(refused(view, problem, Trap::EntraVersion));
    }
    // ID tokens name no client, access tokens always do.
    if text(view, "azp").is_none() && text(view, "appid").is_none() {
        return Err(wrong_kind(view, "it has neither `azp` nor `appid`", Trap::IdToken));
    }
    let wants_groups = view.config.attributes.values().chain(view.config.required.iter().map(|one| &one.claim));
    let has_overage = view.claims.get("_claim_names").is_some_and(|names| names.get("groups").is_some())
        || view.claims.get("hasgroups").is_some();
    if has_overage && wants_groups.into_iter().any(|path| path.first() == "groups") {
        return Err(refused(view, "`groups` was left out by Entra ID", Trap::EntraGroupsOverage));
    }
    if app_only && !is_app(view) {
        return Err(refused(view, "`idtyp` and `scp` say that it is for a user", Trap::EntraUserToken));
    }
    Ok(())
}

/// By `idtyp`, where the API asks for it; else as Microsoft documents: no delegated scope, and the subject is the object.
fn is_app(view: &View<'_>) -> bool {
    match view.claims.get("idtyp") {
        Some(kind) => kind == "app",
        None => {
            let oid = text(view, "oid");
            !view.claims.contains_key("scp") && oid.is_some() && oid == text(view, "sub")
        }
    }
}

pub(super) fn explain(fault: &Fault, view: &View<'_>) -> Option<Trap> {
    const GRAPH: [&str; 3] =
        ["https://graph.microsoft.com", "https://graph.microsoft.com/", "00000003-0000-0000-c000-000000000000"];
    let is_graph = text(view, "aud").is_some_and(|aud| GRAPH.contains(&aud));
    (matches!(fault, Fault::AudienceMismatch { .. }) && is_graph).then_some(Trap::EntraGraphToken)
}

pub(super) fn explain_issuer(config: &IssuerConfig, iss: &str) -> Option<Trap> {
    let tenant = tenant_of(iss).filter(|tenant| is_guid(tenant))?;
    let is_entras = CLOUDS.iter().any(|(login, sts)| iss == v2(login, tenant) || iss == v1(sts, tenant));
    if !is_entras {
        return None;
    }
    let is_known = config.issuers.iter().any(|known| tenant_of(known) == Some(tenant));
    Some(if is_known { Trap::EntraVersion } else { Trap::EntraTenant })
}
