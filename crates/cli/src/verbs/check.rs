//! `airgate check`: every error at once, or what would be served.

use super::{counted, print, print_json, tell, tell_all};
use crate::{
    Exit, args,
    config::{
        self, Config,
        report::{Diagnostic, Severity},
    },
    terminal::{Paint, table},
};
use airgate_gateway::{Match, Scheme, UpstreamConfig};
use airgate_identity::{KeySource, Place, ProofRule};
use airgate_signin::SignInConfig;
use serde::Serialize;
use std::path::Path;

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    config: String,
    errors: Vec<&'a Diagnostic>,
    warnings: Vec<&'a Diagnostic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serves: Option<Serves>,
}

/// What would be served, in words.
#[derive(Serialize)]
struct Serves {
    listeners: Vec<Listener>,
    issuers: Vec<Issuer>,
    routes: Vec<Route>,
    upstreams: Vec<Upstream>,
    grants: Vec<Grant>,
    audit: Audit,
    threads: usize,
}

#[derive(Serialize)]
struct Listener {
    name: String,
    address: String,
    tls: bool,
}

#[derive(Serialize)]
struct Issuer {
    name: String,
    profile: &'static str,
    url: String,
    audiences: Vec<String>,
    assurance: String,
    algorithms: Vec<&'static str>,
    token_types: Vec<&'static str>,
    required: Vec<String>,
    attributes: Vec<String>,
    keys: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection: Option<String>,
}

#[derive(Serialize)]
struct Route {
    name: String,
    matches: String,
    upstream: String,
    issuers: String,
    proof: &'static str,
}

#[derive(Serialize)]
struct Upstream {
    name: String,
    url: String,
    sign_in: &'static str,
    roots: String,
}

#[derive(Serialize)]
struct Grant {
    name: String,
    issuer: String,
    r#where: String,
    role: String,
    windows_identity: Option<String>,
}

#[derive(Serialize)]
struct Audit {
    folder: String,
    key: String,
    origin: String,
}

pub(crate) fn run(args: &args::Check) -> Exit {
    let (diagnostics, serves) = match config::load(&args.config) {
        Ok(config) => {
            let serves = serves(&config);
            (config.warnings, Some(serves))
        }
        Err(diagnostics) => (diagnostics, None),
    };
    let exit = if serves.is_some() { Exit::Done } else { Exit::Usage };
    if args.json {
        let of = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).collect();
        let config = args.config.display().to_string();
        print_json(&Answer {
            ok: serves.is_some(),
            config,
            errors: of(Severity::Error),
            warnings: of(Severity::Warning),
            serves,
        });
        return exit;
    }
    if let Some(serves) = &serves {
        print(&show(serves));
    }
    tell_all(&diagnostics);
    conclude(&args.config, &diagnostics);
    exit
}

/// The last line: how many errors and warnings.
fn conclude(path: &Path, diagnostics: &[Diagnostic]) {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let paint = Paint::stderr();
    let mark = if errors == 0 { paint.good("ok:") } else { paint.error("failed:") };
    let gap = if diagnostics.is_empty() { "" } else { "\n" };
    tell(&format!("{gap}{mark} {}: {}, {}\n", path.display(), counted(errors, "error"), counted(warnings, "warning")));
}

pub(crate) fn url_of(upstream: &UpstreamConfig) -> String {
    let scheme = match upstream.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let host = if upstream.host.contains(':') { format!("[{}]", upstream.host) } else { upstream.host.clone() };
    format!("{scheme}://{host}:{}", upstream.port)
}

pub(crate) fn sign_in_of(upstream: &UpstreamConfig) -> &'static str {
    match upstream.sign_in {
        SignInConfig::None => "none",
        SignInConfig::Kerberos(_) => "kerberos",
        SignInConfig::BearerAssertion(_) => "bearer_assertion",
    }
}

fn keys_of(keys: &KeySource) -> String {
    match keys {
        KeySource::File(path) => path.display().to_string(),
        KeySource::Introspection => "none: each token is introspected".to_owned(),
        KeySource::Remote(remote) => match &remote.place {
            Place::KeySet(url) => url.clone(),
            Place::Discovery(url) => format!("by {url}"),
            Place::Issuer(_) => "by discovery".to_owned(),
        },
    }
}

fn proof_of(rule: ProofRule) -> &'static str {
    match rule {
        ProofRule::AsBound => "as bound",
        ProofRule::Dpop => "dpop",
        ProofRule::Mtls => "mtls",
        ProofRule::Either => "dpop or mtls",
    }
}

fn serves(config: &Config) -> Serves {
    let gateway = &config.gateway;
    let issuer = |issuer: &airgate_identity::IssuerConfig| Issuer {
        name: issuer.name.clone(),
        profile: issuer.profile.name().as_str(),
        url: issuer.issuers.join(" "),
        audiences: issuer.audiences.clone(),
        assurance: issuer.assurance.clone(),
        algorithms: issuer.algorithms.iter().map(|one| one.as_str()).collect(),
        token_types: issuer.token_types.iter().map(|one| one.as_str()).collect(),
        required: issuer.required.iter().map(|one| format!("{} {}", one.claim, one.must.wanted())).collect(),
        attributes: issuer.attributes.iter().map(|(name, path)| format!("{name} = {path}")).collect(),
        keys: keys_of(&issuer.keys),
        introspection: issuer.introspection.as_ref().map(|introspection| introspection.url.clone()),
    };
    let route = |route: &airgate_gateway::RouteConfig| Route {
        name: route.name.clone(),
        matches: match &route.matches {
            Match::Host(host) => format!("host {host}"),
            Match::Path(path) => format!("path {path}"),
        },
        upstream: route.upstream.clone(),
        issuers: route.accepts.issuers.as_ref().map_or_else(|| "all".to_owned(), |names| names.join(" ")),
        proof: proof_of(route.accepts.proof),
    };
    let upstream = |upstream: &UpstreamConfig| Upstream {
        name: upstream.name.clone(),
        url: url_of(upstream),
        sign_in: sign_in_of(upstream),
        roots: upstream.ca_file.as_ref().map_or_else(|| "the platform's".to_owned(), |path| path.display().to_string()),
    };
    let grant = |grant: &airgate_policy::Grant| Grant {
        name: grant.name.clone(),
        issuer: grant.issuer.clone(),
        r#where: grant
            .conditions
            .iter()
            .map(|(claim, values)| format!("{claim} = {}", values.join(" | ")))
            .collect::<Vec<_>>()
            .join(", "),
        role: grant.role.clone(),
        windows_identity: grant.windows_identity.clone(),
    };
    Serves {
        listeners: gateway
            .listeners
            .iter()
            .map(|one| Listener { name: one.name.clone(), address: one.address.to_string(), tls: one.tls.is_some() })
            .collect(),
        issuers: config.issuers.iter().map(issuer).collect(),
        routes: gateway.routes.iter().map(route).collect(),
        upstreams: gateway.upstreams.iter().map(upstream).collect(),
        grants: config.grants.iter().map(grant).collect(),
        audit: Audit {
            folder: config.audit.folder.display().to_string(),
            key: config.audit_key.display().to_string(),
            origin: config.audit.origin.clone(),
        },
        threads: gateway.threads,
    }
}

fn show(serves: &Serves) -> String {
    let dash = || "-".to_owned();
    let tables = [
        table(
            ["listener", "address", "tls"],
            serves
                .listeners
                .iter()
                .map(|one| [one.name.clone(), one.address.clone(), if one.tls { "yes" } else { "NO" }.to_owned()]),
        ),
        table(
            ["issuer", "profile", "url", "assurance", "algorithms", "audiences"],
            serves.issuers.iter().map(|one| {
                [
                    one.name.clone(),
                    one.profile.to_owned(),
                    one.url.clone(),
                    one.assurance.clone(),
                    one.algorithms.join(" "),
                    one.audiences.join(" "),
                ]
            }),
        ),
        table(
            ["route", "matches", "upstream", "issuers", "proof"],
            serves.routes.iter().map(|one| {
                [one.name.clone(), one.matches.clone(), one.upstream.clone(), one.issuers.clone(), one.proof.to_owned()]
            }),
        ),
        table(
            ["upstream", "url", "sign-in", "roots"],
            serves
                .upstreams
                .iter()
                .map(|one| [one.name.clone(), one.url.clone(), one.sign_in.to_owned(), one.roots.clone()]),
        ),
        table(
            ["grant", "issuer", "where", "role", "windows identity"],
            serves.grants.iter().map(|one| {
                let identity = one.windows_identity.clone().unwrap_or_else(dash);
                [one.name.clone(), one.issuer.clone(), one.r#where.clone(), one.role.clone(), identity]
            }),
        ),
        table(
            ["audit log", "origin", "key"],
            [[serves.audit.folder.clone(), serves.audit.origin.clone(), serves.audit.key.clone()]],
        ),
    ];
    tables.join("\n") + "\n"
}
