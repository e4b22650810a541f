//! Checks across sections: names that must be declared, identities that must be given, and what is declared and never used.

use super::{
    issuer::Issuer,
    raw,
    reader::Placed,
    report::{At, Report, listed, nearest},
};
use airgate_gateway::{ListenerConfig, Match};
use airgate_identity::{ProofRule, Verifier, VerifierConfig};
use airgate_policy::{Allow, Grant, Policy, PolicyFile, Role};
use airgate_signin::SignInConfig;
use std::time::Instant;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Everything that another section may name, also where it has errors of its own.
pub(crate) struct Names<'a> {
    pub(crate) issuers: &'a [String],
    pub(crate) upstreams: &'a [raw::Upstream],
    pub(crate) routes: &'a [raw::Route],
    pub(crate) roles: &'a [raw::Role],
}

impl Names<'_> {
    fn role(&self, name: &str) -> Option<&raw::Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The upstreams with Kerberos that a role reaches, each with the route that leads there.
    fn kerberos_of(&self, role: &raw::Role) -> Option<(&str, &str)> {
        let routes =
            role.allow.iter().filter_map(|allow| self.routes.iter().find(|route| route.name == allow.route.value));
        routes
            .filter_map(|route| {
                let upstream = self
                    .upstreams
                    .iter()
                    .find(|upstream| Some(&upstream.name) == route.upstream.as_ref().map(|name| &name.value))?;
                matches!(upstream.sign_in, Some(SignInConfig::Kerberos(_)))
                    .then_some((route.name.as_str(), upstream.name.as_str()))
            })
            .next()
    }
}

/// Tells of a name that is not declared.
fn must_be_declared<'a>(
    report: &Report,
    who: &str,
    kind: &str,
    name: &Placed<String>,
    known: impl Iterator<Item = &'a str> + Clone,
) {
    if known.clone().any(|known| known == name.value) {
        return;
    }
    let help = match nearest(&name.value, known.clone()) {
        Some(near) => format!("did you mean `{near}`? declared {kind}s: {}", listed(known)),
        None => format!("declared {kind}s: {}", listed(known)),
    };
    report.error(name.at, format!("{who}: unknown {kind} `{}`", name.value), help);
}

pub(crate) fn listeners(report: &Report, listeners: &[Placed<ListenerConfig>]) {
    let mut taken = BTreeMap::new();
    for Placed { value: listener, at } in listeners {
        if listener.address.port() == 0 {
            continue;
        }
        if let Some(other) = taken.insert(listener.address, &listener.name) {
            let message =
                format!("listener `{}`: `{}` is taken by listener `{other}`", listener.name, listener.address);
            report.error(*at, message, "give each listener an address of its own");
        }
    }
}

/// Two issuers with one `iss` would make it a matter of luck which keys count.
pub(crate) fn issuers(report: &Report, issuers: &[Issuer]) {
    let mut taken = BTreeMap::new();
    for issuer in issuers {
        for iss in &issuer.config.issuers {
            if let Some(other) = taken.insert(iss.as_str(), &issuer.config.name) {
                let message = format!("issuer `{}`: `{iss}` is the url of issuer `{other}` too", issuer.config.name);
                let help = "declare each issuer once: put all its audiences into one section";
                report.error(issuer.at, message, help);
            }
        }
    }
}

/// What a route asks of tokens can be had: certificates are asked for somewhere, and an opaque token leads to one issuer.
pub(crate) fn proofs(report: &Report, names: &Names<'_>, listeners: &[Placed<ListenerConfig>], issuers: &[Issuer]) {
    let asks_for_certificates =
        listeners.iter().any(|listener| listener.value.tls.as_ref().is_some_and(|tls| tls.clients.is_some()));
    for route in names.routes {
        let who = format!("route `{}`", route.name);
        for issuer in route.issuers.iter().flatten() {
            must_be_declared(report, &who, "issuer", issuer, names.issuers.iter().map(String::as_str));
        }
        if let Some(rule) = route.proof.as_ref().filter(|rule| rule.value == ProofRule::Mtls)
            && !asks_for_certificates
        {
            let message = format!("{who}: `proof = \"mtls\"`, and no listener asks for certificates");
            let help = "add `client_ca_file` to the `tls` of a listener, or use `proof = \"dpop\"`";
            report.error(rule.at, message, help);
        }
        let asked: Vec<&str> = issuers
            .iter()
            .filter(|issuer| issuer.config.introspection.is_some())
            .map(|issuer| issuer.config.name.as_str())
            .filter(|name| route.issuers.as_ref().is_none_or(|names| names.iter().any(|known| known.value == *name)))
            .collect();
        if asked.len() > 1 {
            let message =
                format!("{who}: {} issuers could be asked about an opaque token: {}", asked.len(), listed(asked));
            let help = "name one of them in the route's `issuers`: a token must not be shown to somebody else's issuer";
            report.error(route.at, message, help);
        }
    }
}

pub(crate) fn routes(report: &Report, names: &Names<'_>) {
    let upstreams = names.upstreams.iter().map(|upstream| upstream.name.as_str());
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for route in names.routes {
        let who = format!("route `{}`", route.name);
        if let Some(upstream) = &route.upstream {
            must_be_declared(report, &who, "upstream", upstream, upstreams.clone());
        }
        if let Some(Placed { value, at }) = &route.matches {
            // Paths are compared without case, as IIS does: two routes must not differ by case alone.
            let (key, shown) = match value {
                Match::Host(host) => (host.clone(), format!("host `{host}`")),
                Match::Path(path) => (path.to_ascii_lowercase(), format!("path `{path}`")),
            };
            if let Some(other) = taken.insert(key, &route.name) {
                report.error(
                    *at,
                    format!("{who}: {shown} is taken by route `{other}`"),
                    "give each route a host or path of its own",
                );
            }
        }
    }
}

/// Told where all else is right: with an error in a grant or role, it would be the error's echo.
pub(crate) fn unused_routes(report: &Report, names: &Names<'_>, grants: &[raw::Grant]) {
    if report.has_errors() {
        return;
    }
    let granted_roles: BTreeSet<&str> =
        grants.iter().filter_map(|grant| grant.role.as_ref()).map(|role| role.value.as_str()).collect();
    let granted_routes: BTreeSet<&str> = names
        .roles
        .iter()
        .filter(|role| granted_roles.contains(role.name.as_str()))
        .flat_map(|role| role.allow.iter().map(|allow| allow.route.value.as_str()))
        .collect();
    for route in names.routes.iter().filter(|route| !granted_routes.contains(route.name.as_str())) {
        let name = &route.name;
        let help = format!(
            "let a granted role allow it: `allow = [{{ route = \"{name}\", methods = [\"GET\"], paths = [\"/**\"] }}]`"
        );
        report.warning(route.at, format!("route `{name}`: nobody is granted it, every request is denied"), help);
    }
}

pub(crate) fn roles(report: &Report, names: &Names<'_>) {
    for role in names.roles {
        let who = format!("role `{}`", role.name);
        for allow in &role.allow {
            must_be_declared(report, &who, "route", &allow.route, names.routes.iter().map(|route| route.name.as_str()));
        }
    }
}

pub(crate) fn grants(report: &Report, names: &Names<'_>, grants: &[raw::Grant]) {
    for grant in grants {
        let who = format!("grant `{}`", grant.name);
        if let Some(issuer) = &grant.issuer {
            must_be_declared(report, &who, "issuer", issuer, names.issuers.iter().map(String::as_str));
        }
        let Some(role) = &grant.role else { continue };
        must_be_declared(report, &who, "role", role, names.roles.iter().map(|role| role.name.as_str()));
        let kerberos = names.role(&role.value).and_then(|role| names.kerberos_of(role));
        if grant.windows_identity.is_none()
            && let Some((route, upstream)) = kerberos
        {
            let message = format!(
                "{who}: `windows_identity` is missing: role `{}` reaches upstream `{upstream}` (by route `{route}`), which signs in by Kerberos",
                role.value
            );
            report.error(grant.at, message, "add `windows_identity = \"user@REALM\"`: whom IIS shall see");
        }
    }
}

/// Each issuer by itself first, so that every error has its place.
pub(crate) fn verifier(report: &Report, issuers: &[Issuer], settings: VerifierConfig) -> Option<Verifier> {
    let make = |configs| Verifier::with(configs, settings.clone(), Arc::new(Instant::now));
    let mut is_good = true;
    for issuer in issuers {
        for error in make(vec![issuer.config.clone()]).err().unwrap_or_default() {
            is_good = false;
            report.error(issuer.place(error.key), error.to_string(), error.help);
        }
    }
    if !is_good || report.has_errors() {
        return None;
    }
    match make(issuers.iter().map(|issuer| issuer.config.clone()).collect()) {
        Ok(verifier) => Some(verifier),
        Err(errors) => {
            for error in errors {
                let issuer = issuers.iter().find(|issuer| issuer.config.name == error.issuer);
                report.error(issuer.map_or(At(0), |issuer| issuer.place(error.key)), error.to_string(), error.help);
            }
            None
        }
    }
}

/// Compiles what was read: a grant with errors of its own is left out, so that none is told twice.
pub(crate) fn policy(
    report: &Report,
    names: &Names<'_>,
    grants: &[raw::Grant],
    files: Vec<Placed<PolicyFile>>,
) -> (Option<Policy>, Vec<Grant>) {
    let roles: Vec<&raw::Role> = names.roles.iter().filter(|role| role.is_whole || !role.allow.is_empty()).collect();
    let whole: Vec<Grant> = grants
        .iter()
        .filter_map(|grant| {
            let role = grant.role.as_ref().filter(|name| roles.iter().any(|role| role.name == name.value))?;
            Some(Grant {
                name: grant.name.clone(),
                issuer: grant.issuer.as_ref()?.value.clone(),
                conditions: grant.conditions.clone()?,
                role: role.value.clone(),
                windows_identity: grant.windows_identity.as_ref().map(|identity| identity.value.clone()),
            })
        })
        .collect();
    let policy_files = files.iter().map(|file| file.value.clone()).collect();
    match Policy::compile(roles.iter().map(|role| policy_role(role)).collect(), whole.clone(), policy_files) {
        Ok(policy) => (Some(policy), whole),
        Err(errors) => {
            for error in errors {
                let (at, who) = place(&error.place, names.roles, grants, &files);
                report.error(at, format!("{who}: {}", error.message), error.help);
            }
            (None, whole)
        }
    }
}

fn policy_role(role: &raw::Role) -> Role {
    let values = |all: &[Placed<String>]| all.iter().map(|one| one.value.clone()).collect();
    let allow = |one: &raw::Allow| Allow {
        route: one.route.value.clone(),
        methods: values(&one.methods),
        paths: values(&one.paths),
    };
    Role { name: role.name.clone(), allow: role.allow.iter().map(allow).collect() }
}

/// Where a place of the policy's own (`role.writer.allow[0].paths[1]`, `grant.nightly.where`, a file's name) is in the
/// configuration, and what to call it.
fn place(place: &str, roles: &[raw::Role], grants: &[raw::Grant], files: &[Placed<PolicyFile>]) -> (At, String) {
    // Names may hold dots: the longest one that fits is meant.
    let inside = |kind: &str, name: &str| {
        let rest = place.strip_prefix(kind)?.strip_prefix('.')?.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| rest.to_owned())
    };
    let role = roles
        .iter()
        .filter_map(|role| Some((role, inside("role", &role.name)?)))
        .max_by_key(|(role, _)| role.name.len());
    if let Some((role, rest)) = role {
        return (within_role(role, &rest).unwrap_or(role.at), format!("role `{}`", role.name));
    }
    let grant =
        grants.iter().filter(|grant| inside("grant", &grant.name).is_some()).max_by_key(|grant| grant.name.len());
    if let Some(grant) = grant {
        return (grant.at, format!("grant `{}`", grant.name));
    }
    let file = files.iter().filter(|file| place.starts_with(&file.value.name)).max_by_key(|file| file.value.name.len());
    (file.or(files.first()).map_or(At(0), |file| file.at), format!("policy `{place}`"))
}

/// `.allow[0].paths[1]`
fn within_role(role: &raw::Role, rest: &str) -> Option<At> {
    let mut numbers = rest
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse::<usize>().ok());
    let allow = role.allow.get(numbers.next()??)?;
    let within = if rest.contains(".methods[") { &allow.methods } else { &allow.paths };
    Some(numbers.next().flatten().and_then(|number| within.get(number)).map_or(allow.route.at, |value| value.at))
}
