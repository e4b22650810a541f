//! Kubernetes: projected service-account tokens, bound to a pod.
//!
//! Source: kubernetes.io, "Managing Service Accounts"; kubernetes/kubernetes pkg/serviceaccount.

use super::{Given, Preset, Profile, ProfileFault, required_url, text, wrong_kind};
use crate::{
    Must, Place, Trap,
    claims::View,
    error::{Fault, TokenError, shown},
};
use serde_json::Value;

/// The member that holds what the cluster says; the dot belongs to the name.
const OWN: &str = "kubernetes.io";
/// AWS's token service: what the tokens of pods with an IAM role are for.
pub(super) const STS_AUDIENCE: &str = "sts.amazonaws.com";
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    let url = required_url(given, "https://kubernetes.default.svc.cluster.local").map_err(|fault| vec![fault])?;
    let keys = Place::Issuer(url.clone());
    Ok(service_accounts(given, url, Some(keys), false))
}

pub(super) fn service_accounts(given: &Given, url: String, keys: Option<Place>, is_eks: bool) -> Preset {
    let profile = Profile::Kubernetes { is_eks, pod_bound: given.pod_bound };
    let preset = Preset::new(profile, vec![url], keys)
        .attribute("namespace", &[OWN, "namespace"])
        .attribute("service_account", &[OWN, "serviceaccount", "name"])
        .attribute("pod", &[OWN, "pod", "name"]);
    if given.namespaces.is_empty() {
        return preset;
    }
    preset.require(&[OWN, "namespace"], Must::BeOneOf(given.namespaces.clone()))
}

pub(super) fn check(view: &View<'_>, pod_bound: bool) -> Result<(), TokenError> {
    let own = |names: &[&str]| {
        names.iter().try_fold(view.claims.get(OWN)?, |value, name| value.get(*name)).and_then(Value::as_str)
    };
    let (namespace, account) = (own(&["namespace"]), own(&["serviceaccount", "name"]));
    let expected = format!("system:serviceaccount:{}:{}", namespace.unwrap_or_default(), account.unwrap_or_default());
    if namespace.is_none() || account.is_none() || text(view, "sub") != Some(expected.as_str()) {
        let problem = format!(
            "its `sub` is {}, and `kubernetes.io` does not say the same",
            shown(text(view, "sub").unwrap_or_default())
        );
        return Err(wrong_kind(view, problem, Trap::OtherToken));
    }
    if pod_bound && own(&["pod", "uid"]).is_none() {
        return Err(wrong_kind(view, "`kubernetes.io` names no pod", Trap::KubernetesUnbound));
    }
    Ok(())
}

pub(super) fn explain(fault: &Fault, view: &View<'_>, is_eks: bool) -> Option<Trap> {
    let audiences: Vec<&str> = match view.claims.get("aud") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    };
    match fault {
        Fault::AudienceMismatch { .. } if is_eks && audiences.contains(&STS_AUDIENCE) => Some(Trap::EksStsAudience),
        Fault::AudienceMismatch { .. } if audiences.iter().any(|aud| is_api_server(aud, view)) => {
            Some(Trap::KubernetesAudience)
        }
        Fault::TooLongLived { .. } => Some(Trap::KubernetesLifetime),
        Fault::ClaimsMalformed { .. } if view.claims.keys().any(|name| name.starts_with("kubernetes.io/")) => {
            Some(Trap::KubernetesLegacy)
        }
        _ => None,
    }
}

fn is_api_server(audience: &str, view: &View<'_>) -> bool {
    let host = audience.split("://").nth(1).unwrap_or(audience);
    view.config.issuers.iter().any(|iss| iss == audience)
        || host == "kubernetes.default.svc"
        || host.starts_with("kubernetes.default.svc.")
        || host == "k3s"
}

pub(super) fn explain_issuer(iss: &str) -> Option<Trap> {
    (iss == LEGACY_ISSUER).then_some(Trap::KubernetesLegacy)
}
