//! The configuration: one TOML file, read whole, checked across its sections, resolved into what the other crates take.
//!
//! Every error is told at once, with its place, the value and the next step. No key is silently ignored.

mod cross;
mod files;
mod issuer;
mod raw;
mod reader;
pub(crate) mod report;
pub(crate) mod schema;
mod sign_in;
mod units;
mod url;

use airgate_audit::LogConfig;
use airgate_gateway::{GatewayConfig, Limits, RouteConfig, UpstreamConfig};
use airgate_identity::{DpopConfig, IssuerConfig, Verifier, VerifierConfig};
use airgate_policy::{Grant, Policy, PolicyFile};
use reader::Section;
use report::{At, Diagnostic, Report};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
pub(crate) use units::show_size;

/// Most bytes of a configuration file.
const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A configuration without errors.
pub(crate) struct Config {
    pub(crate) gateway: GatewayConfig,
    pub(crate) issuers: Vec<IssuerConfig>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) audit: LogConfig,
    pub(crate) audit_key: PathBuf,
    pub(crate) policy: Policy,
    pub(crate) verifier: Verifier,
    /// Where operators find out how it is.
    pub(crate) admin: Option<SocketAddr>,
    /// Weaker modes, and what is declared and never used.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Reads and checks the whole file. `Err` holds every message, warnings too; at least one is an error.
pub(crate) fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    let (report, document) = open(path)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let item = document.as_item();
    let config =
        Section::open(&report, &schema::ROOT, String::new(), "", At(0), item).and_then(|root| resolve(root, base));
    match config {
        Some(config) if !report.has_errors() => Ok(Config { warnings: report.into_diagnostics(), ..config }),
        _ => Err(report.into_diagnostics()),
    }
}

/// The audit log's part alone: reading a log needs nothing else of the configuration to be right.
pub(crate) fn load_audit(path: &Path) -> Result<(LogConfig, PathBuf), Vec<Diagnostic>> {
    let (report, document) = open(path)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let audit = Section::open(&report, &schema::ROOT, String::new(), "", At(0), document.as_item())
        .and_then(|root| root.section("audit", &schema::AUDIT))
        .and_then(|section| raw::audit(section, base));
    match audit {
        Some(audit) if !report.has_errors() => Ok((audit.log, audit.key)),
        _ => Err(report.into_diagnostics()),
    }
}

fn open(path: &Path) -> Result<(Report, toml_edit::Document<String>), Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let fail = |why: String, help: &str| vec![Diagnostic::error(format!("configuration `{shown}`: {why}"), help)];
    let metadata =
        std::fs::metadata(path).map_err(|error| fail(unreadable(&error), "name the file with `--config FILE`"))?;
    if metadata.len() > CONFIG_BYTES_MAX {
        return Err(fail("larger than 16 MiB".into(), "name the right file with `--config FILE`"));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| fail(unreadable(&error), "name a text file in UTF-8 with `--config FILE`"))?;
    let report = Report::new(shown, text.clone());
    match toml_edit::Document::parse(text) {
        Ok(document) => Ok((report, document)),
        Err(error) => {
            let at = At(error.span().map_or(0, |span| span.start));
            let message = error.message().trim().replace('\n', ": ");
            report.error(at, format!("not TOML: {message}"), "mend this place first: what follows could not be read");
            Err(report.into_diagnostics())
        }
    }
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::InvalidData => "not UTF-8".into(),
        _ => error.to_string(),
    }
}

/// Reads every section before anything is given up, so that all errors are told.
fn resolve(root: Section<'_>, base: &Path) -> Option<Config> {
    let report = root.report;
    let threads = raw::count(
        root.number_or("threads", std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(256)),
    );
    let listeners: Vec<_> = root
        .sections("listener", &schema::LISTENER, "listener")
        .into_iter()
        .filter_map(|section| raw::listener(section, base))
        .collect();
    let issuer_sections = root.sections("issuer", &schema::ISSUER, "issuer");
    let issuer_names: Vec<String> = issuer_sections.iter().map(|section| section.name.clone()).collect();
    let issuers: Vec<_> = issuer_sections.into_iter().filter_map(|section| issuer::issuer(section, base)).collect();
    let upstreams: Vec<_> = root
        .sections("upstream", &schema::UPSTREAM, "upstream")
        .into_iter()
        .map(|section| raw::upstream(section, base))
        .collect();
    let routes: Vec<_> = root.sections("route", &schema::ROUTE, "route").into_iter().map(raw::route).collect();
    let roles: Vec<_> = root.sections("role", &schema::ROLE, "role").into_iter().map(raw::role).collect();
    let grants: Vec<_> = root.sections("grant", &schema::GRANT, "grant").into_iter().map(raw::grant).collect();
    let policy_files =
        root.section("policy", &schema::POLICY).map(|section| policy_files(section, base)).unwrap_or_default();
    let audit = root.section("audit", &schema::AUDIT).and_then(|section| raw::audit(section, base));
    let defaults = || (Limits::default(), VerifierConfig::default().tokens_max);
    let (limits, tokens_max) = root.section("limits", &schema::LIMITS).map_or_else(defaults, raw::limits);
    let dpop = root.section("dpop", &schema::DPOP).map_or_else(DpopConfig::default, raw::dpop);
    let admin = root.section("admin", &schema::ADMIN).and_then(raw::admin);
    root.finish();

    let names = cross::Names { issuers: &issuer_names, upstreams: &upstreams, routes: &routes, roles: &roles };
    cross::listeners(report, &listeners);
    cross::issuers(report, &issuers);
    cross::routes(report, &names);
    cross::roles(report, &names);
    cross::grants(report, &names, &grants);
    cross::proofs(report, &names, &listeners, &issuers);
    let verifier = cross::verifier(report, &issuers, VerifierConfig { dpop, tokens_max });
    cross::unused_routes(report, &names, &grants);
    let (policy, grants) = cross::policy(report, &names, &grants, policy_files);
    if report.has_errors() {
        return None;
    }

    let audit = audit?;
    let gateway = GatewayConfig {
        listeners: listeners.into_iter().map(|listener| listener.value).collect(),
        upstreams: upstreams.into_iter().map(upstream).collect::<Option<_>>()?,
        routes: routes.into_iter().map(route).collect::<Option<_>>()?,
        limits,
        threads,
    };
    Some(Config {
        gateway,
        issuers: issuers.into_iter().map(|issuer| issuer.config).collect(),
        grants,
        audit: audit.log,
        audit_key: audit.key,
        policy: policy?,
        verifier: verifier?,
        admin,
        warnings: Vec::new(),
    })
}

fn upstream(raw: raw::Upstream) -> Option<UpstreamConfig> {
    let (scheme, host, port) = raw.address?;
    Some(UpstreamConfig {
        name: raw.name,
        scheme,
        host,
        port,
        ca_file: raw.ca_file,
        sign_in: raw.sign_in?,
        connect_timeout: raw.connect_timeout,
        answer_timeout: raw.answer_timeout,
        connections_max: raw.connections_max,
    })
}

fn route(raw: raw::Route) -> Option<RouteConfig> {
    Some(RouteConfig {
        name: raw.name,
        matches: raw.matches?.value,
        upstream: raw.upstream?.value,
        accepts: raw.accepts,
    })
}

fn policy_files(section: Section<'_>, base: &Path) -> Vec<reader::Placed<PolicyFile>> {
    let mut all = Vec::new();
    for name in section.texts("files").unwrap_or_default() {
        match std::fs::read_to_string(base.join(&name.value)) {
            Ok(text) => all.push(reader::Placed::new(PolicyFile { name: name.value, text }, name.at)),
            Err(error) => {
                let message = format!("`files`: `{}`: {}", name.value, unreadable(&error));
                section.error(
                    name.at,
                    message,
                    "make the file or mend the path: paths are relative to the configuration file's folder",
                );
            }
        }
    }
    section.finish();
    all
}
