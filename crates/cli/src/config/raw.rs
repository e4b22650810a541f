//! The configuration as it is written: each section read by itself, with places kept for what is checked across sections.

use super::{
    files::{self, Access},
    reader::{Placed, Section},
    report::At,
    schema, sign_in, url,
};
use airgate_audit::LogConfig;
use airgate_gateway::{Accepts, ClientCertificates, Limits, ListenerConfig, Match, Scheme, TlsFiles};
use airgate_identity::{DpopConfig, ProofRule, Tolerance};
use airgate_signin::SignInConfig;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// An upstream; its sign-in and address are absent where they were wrong.
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) address: Option<(Scheme, String, u16)>,
    pub(crate) sign_in: Option<SignInConfig>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) connections_max: usize,
}

pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) matches: Option<Placed<Match>>,
    pub(crate) upstream: Option<Placed<String>>,
    pub(crate) issuers: Option<Vec<Placed<String>>>,
    pub(crate) proof: Option<Placed<ProofRule>>,
    pub(crate) accepts: Accepts,
}

pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) allow: Vec<Allow>,
    /// False where part of it could not be read.
    pub(crate) is_whole: bool,
}

pub(crate) struct Allow {
    pub(crate) route: Placed<String>,
    pub(crate) methods: Vec<Placed<String>>,
    pub(crate) paths: Vec<Placed<String>>,
}

pub(crate) struct Grant {
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) issuer: Option<Placed<String>>,
    pub(crate) conditions: Option<BTreeMap<String, Vec<String>>>,
    pub(crate) role: Option<Placed<String>>,
    pub(crate) windows_identity: Option<Placed<String>>,
}

pub(crate) struct Audit {
    pub(crate) log: LogConfig,
    pub(crate) key: PathBuf,
}

/// `None` where a part was wrong: that is on record already.
pub(crate) fn listener(section: Section<'_>, base: &Path) -> Option<Placed<ListenerConfig>> {
    let address = section.text("address").and_then(|text| {
        let parsed = text.value.parse().ok();
        if parsed.is_none() {
            let help = "write an IP address and a port: `0.0.0.0:8443`, `[::]:8443`";
            section.error(text.at, format!("`address`: `{}` is no address", text.value), help);
        }
        parsed.map(|parsed| Placed::new(parsed, text.at))
    });
    let plaintext = section.flag("danger_plaintext").filter(|flag| flag.value);
    let has_tls = section.has("tls");
    let tls = section.section("tls", &schema::TLS).and_then(|section| tls_files(section, base));
    match (has_tls, &plaintext) {
        (true, Some(flag)) => section.error(flag.at, "both `tls` and `danger_plaintext` are given", "remove `danger_plaintext`"),
        (false, Some(flag)) => {
            section.warning(flag.at, "`danger_plaintext` is on: tokens cross the network in clear", "give it `tls = { certificate = …, key = … }`");
        }
        (false, None) => section.error(
            section.at,
            "`tls` is missing",
            "add `tls = { certificate = \"gateway.pem\", key = \"gateway.key\" }`, or `danger_plaintext = true` on a trusted network",
        ),
        (true, None) => {}
    }
    let name = section.name.clone();
    section.finish();
    let address = address?;
    if has_tls && tls.is_none() {
        return None;
    }
    Some(Placed::new(ListenerConfig { name, address: address.value, tls }, address.at))
}

fn tls_files(section: Section<'_>, base: &Path) -> Option<TlsFiles> {
    let certificate = files::existing(&section, "certificate", base, Access::Anyone);
    let key = files::existing(&section, "key", base, Access::OwnerAndGroup);
    if let (Some(certificate), Some(key)) = (&certificate, &key) {
        files::check_pair(&section, certificate, key);
    }
    let clients = client_certificates(&section, base);
    section.finish();
    Some(TlsFiles { certificate: certificate?.value, key: key?.value, clients: clients? })
}

/// The outer `None`: a part was wrong.
fn client_certificates(section: &Section<'_>, base: &Path) -> Option<Option<ClientCertificates>> {
    let ca_file = files::existing(section, "client_ca_file", base, Access::Anyone);
    let required = section.word("client_certificates");
    if !section.has("client_ca_file") {
        if section.has("client_certificates") {
            let help = "add `client_ca_file = \"clients.pem\"`: the authorities that issue the callers' certificates";
            section.error(section.place("client_certificates"), "`client_certificates` without `client_ca_file`", help);
            return None;
        }
        return Some(None);
    }
    let ca_file = ca_file.filter(|path| files::certificates(section, "client_ca_file", path).is_some())?;
    Some(Some(ClientCertificates { ca_file: ca_file.value, required: required?.value == "required" }))
}

/// `allow_http`: whether `danger_allow_http` is on; none where there is no such key.
pub(crate) fn is_good_url(section: &Section<'_>, key: &str, text: &Placed<String>, allow_http: Option<bool>) -> bool {
    match url::parse(&text.value) {
        Err(why) => {
            let message = format!("`{key}`: `{}` {why}", url::without_user(&text.value));
            section.error(text.at, message, "write it as `https://host/path`");
        }
        Ok(parts) if !parts.is_https && allow_http != Some(true) => {
            let help = match allow_http {
                Some(_) => "use `https`, or set `danger_allow_http = true` in a lab",
                None => "use `https`",
            };
            section.error(text.at, format!("`{key}`: `{}` is not https", text.value), help);
        }
        Ok(_) => return true,
    }
    false
}

/// Always an upstream, so that routes to it are not told to be wrong too.
pub(crate) fn upstream(section: Section<'_>, base: &Path) -> Upstream {
    let plaintext = section.flag("danger_plaintext").filter(|flag| flag.value);
    let address = section.text("url").and_then(|text| upstream_address(&section, &text, plaintext.as_ref()));
    let ca_file = files::existing(&section, "ca_file", base, Access::Anyone);
    if let Some(path) = &ca_file {
        files::certificates(&section, "ca_file", path);
    }
    let sign_in = sign_in::sign_in(&section, base);
    let connect_timeout = section.duration("connect_timeout");
    let answer_timeout = section.duration("answer_timeout");
    let connections_max = count(section.number("connections_max"));
    let name = section.name.clone();
    section.finish();
    let ca_file = ca_file.map(|path| path.value);
    Upstream { name, address, sign_in, ca_file, connect_timeout, answer_timeout, connections_max }
}

fn upstream_address(
    section: &Section<'_>,
    text: &Placed<String>,
    plaintext: Option<&Placed<bool>>,
) -> Option<(Scheme, String, u16)> {
    let parts = match url::parse(&text.value) {
        Ok(parts) => parts,
        Err(why) => {
            section.error(
                text.at,
                format!("`url`: `{}` {why}", url::without_user(&text.value)),
                "write it as `https://host` or `https://host:port`",
            );
            return None;
        }
    };
    if parts.path != "/" || (text.value.ends_with('/') && text.value.matches('/').count() > 3) {
        section.error(
            text.at,
            format!("`url`: `{}` has a path", text.value),
            "name scheme, host and port only: paths are forwarded as they are",
        );
        return None;
    }
    match (parts.is_https, plaintext) {
        (false, None) => {
            section.error(
                text.at,
                format!("`url`: `{}` is not https", text.value),
                "use `https`, or set `danger_plaintext = true` on a trusted network",
            );
            return None;
        }
        (false, Some(flag)) => {
            section.warning(
                flag.at,
                "`danger_plaintext` is on: credentials cross the network in clear",
                "serve the upstream over `https`",
            );
        }
        (true, Some(flag)) => {
            section.warning(flag.at, "`danger_plaintext` is on, and the URL is https", "remove `danger_plaintext`")
        }
        (true, None) => {}
    }
    let scheme = if parts.is_https { Scheme::Https } else { Scheme::Http };
    Some((scheme, parts.host, parts.port))
}

pub(crate) fn route(section: Section<'_>) -> Route {
    let host = section.text("host");
    let path = section.text("path");
    let matches = match (host, path) {
        (Some(host), Some(_)) => {
            section.error(
                host.at,
                "both `host` and `path` are given",
                "keep one: make two routes where both are wanted",
            );
            None
        }
        (Some(host), None) => route_host(&section, &host),
        (None, Some(path)) => route_path(&section, &path),
        (None, None) => {
            if !section.has("host") && !section.has("path") {
                section.error(
                    section.at,
                    "neither `host` nor `path` is given",
                    "add `host = \"orders.gw.example\"` or `path = \"/orders\"`",
                );
            }
            None
        }
    };
    let upstream = section.text("upstream");
    let issuers = section.texts("issuers");
    let proof = section.word("proof").map(|word| {
        let rule = match word.value {
            "dpop" => ProofRule::Dpop,
            "mtls" => ProofRule::Mtls,
            _ => ProofRule::Either,
        };
        Placed::new(rule, word.at)
    });
    let app_tokens = section.words("app_tokens").unwrap_or_default();
    let origin = section.text("origin").filter(|text| is_origin(&section, text));
    let accepts = Accepts {
        issuers: issuers.as_ref().map(|names| names.iter().map(|name| name.value.clone()).collect()),
        proof: proof.as_ref().map_or(ProofRule::AsBound, |rule| rule.value),
        dpop_nonce: section.flag("dpop_nonce").is_some_and(|flag| flag.value),
        app_tokens: Tolerance {
            query: app_tokens.iter().any(|word| word.value == "query"),
            cookie: app_tokens.iter().any(|word| word.value == "cookie"),
        },
        origin: origin.map(|text| text.value.trim_end_matches('/').to_owned()),
    };
    let (name, at) = (section.name.clone(), section.at);
    section.finish();
    Route { name, at, matches, upstream, issuers, proof, accepts }
}

/// Scheme, host and port, and nothing else.
fn is_origin(section: &Section<'_>, text: &Placed<String>) -> bool {
    let problem = match url::parse(&text.value) {
        Err(why) => why,
        Ok(parts) if parts.path != "/" => "has a path",
        Ok(_) => return true,
    };
    let message = format!("`origin`: `{}` {problem}", url::without_user(&text.value));
    section.error(text.at, message, "write scheme, host and port as callers know them: `https://orders.gw.example`");
    false
}

fn route_host(section: &Section<'_>, text: &Placed<String>) -> Option<Placed<Match>> {
    let host = url::host(&text.value);
    if host.is_none() {
        section.error(
            text.at,
            format!("`host`: `{}` is no host name", text.value),
            "write the name alone, without scheme, port and path",
        );
    }
    host.map(|host| Placed::new(Match::Host(host), text.at))
}

/// Canonical, so that it can equal the canonical path of a request.
fn route_path(section: &Section<'_>, text: &Placed<String>) -> Option<Placed<Match>> {
    let path = text.value.as_str();
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b))
    };
    if path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment)) {
        return Some(Placed::new(Match::Path(path.to_owned()), text.at));
    }
    let help = "write whole segments after one `/` each, without a last `/`, `.`, `..` and `%`: `/orders`";
    section.error(text.at, format!("`path`: `{path}` is no canonical path"), help);
    None
}

pub(crate) fn role(section: Section<'_>) -> Role {
    let example = "[{ route = \"orders\", methods = [\"GET\"], paths = [\"/api/orders/**\"] }]";
    let entries = section.list("allow", &schema::ALLOW, example);
    let mut is_whole = entries.is_some();
    let mut allow = Vec::new();
    for entry in entries.unwrap_or_default() {
        let one = allow_entry(entry);
        is_whole &= one.is_some();
        allow.extend(one);
    }
    let (name, at) = (section.name.clone(), section.at);
    section.finish();
    Role { name, at, allow, is_whole }
}

fn allow_entry(section: Section<'_>) -> Option<Allow> {
    let route = section.text("route");
    let methods = section.texts("methods");
    let paths = section.texts("paths");
    section.finish();
    Some(Allow { route: route?, methods: methods?, paths: paths? })
}

pub(crate) fn grant(section: Section<'_>) -> Grant {
    let issuer = section.text("issuer");
    let conditions = conditions(&section);
    let role = section.text("role");
    let windows_identity = section.text("windows_identity");
    let (name, at) = (section.name.clone(), section.at);
    section.finish();
    Grant { name, at, issuer, conditions, role, windows_identity }
}

fn conditions(section: &Section<'_>) -> Option<BTreeMap<String, Vec<String>>> {
    let (at, item) = section.item("where")?;
    let help =
        "write claims and the values they may have: `where = { dag_id = \"nightly_orders\", task_id = [\"load\"] }`";
    let Some(table) = item.as_table_like() else {
        section.error(at, "`where` must be a table of claims", help);
        return None;
    };
    if table.is_empty() {
        section.error(at, "`where` is empty: it would hold for everybody whom the issuer knows", help);
        return None;
    }
    let mut all = BTreeMap::new();
    let mut is_good = true;
    for (claim, item) in table.iter() {
        let at = super::reader::at_of(table.key(claim), item);
        match claim_values(item) {
            Some(values) if !values.is_empty() => {
                all.insert(claim.to_owned(), values);
            }
            _ => {
                is_good = false;
                section.error(
                    at,
                    format!("`where`: `{claim}` must be a text, a whole number, a boolean, or a list of them"),
                    help,
                );
            }
        }
    }
    is_good.then_some(all)
}

fn claim_values(item: &toml_edit::Item) -> Option<Vec<String>> {
    let one = |value: &toml_edit::Value| match value {
        toml_edit::Value::String(text) if !text.value().is_empty() => Some(text.value().clone()),
        toml_edit::Value::Integer(number) => Some(number.value().to_string()),
        toml_edit::Value::Boolean(flag) => Some(flag.value().to_string()),
        _ => None,
    };
    match item {
        toml_edit::Item::Value(toml_edit::Value::Array(list)) => list.iter().map(one).collect(),
        toml_edit::Item::Value(value) => one(value).map(|value| vec![value]),
        _ => None,
    }
}

/// `None` where a part was wrong.
pub(crate) fn audit(section: Section<'_>, base: &Path) -> Option<Audit> {
    let folder = files::folder_or_new(&section, "folder", base);
    let key = files::existing_or_new(&section, "key", base);
    let origin = section.text("origin").filter(|text| {
        // C2SP tlog-checkpoint: the origin is also the name of the signing key, which has no space and no plus.
        let is_good = text.value.len() <= 255 && !text.value.contains('+') && !text.value.contains(char::is_whitespace);
        if !is_good {
            section.error(
                text.at,
                format!("`origin`: `{}` has a space or a `+`, or is too long", text.value),
                "write it as a URL without scheme: `gw.example/audit`",
            );
        }
        is_good
    });
    let publish_interval = section.duration("publish_interval");
    let segment_bytes = section.number("segment_bytes");
    let queue_max = count(section.number("queue_max"));
    let append_timeout = section.duration("append_timeout");
    section.finish();
    let (folder, origin, key) = (folder?.value, origin?.value, key?.value);
    Some(Audit { log: LogConfig { folder, origin, publish_interval, segment_bytes, queue_max, append_timeout }, key })
}

/// And how many verified tokens are remembered.
pub(crate) fn limits(section: Section<'_>) -> (Limits, usize) {
    let limits = Limits {
        connections_max: count(section.number("connections_max")),
        handshake_timeout: section.duration("handshake_timeout"),
        header_timeout: section.duration("header_timeout"),
        header_bytes_max: count(section.number("header_bytes_max")),
        headers_max: count(section.number("headers_max")),
        uri_bytes_max: count(section.number("uri_bytes_max")),
        body_bytes_max: section.number("body_bytes_max"),
        body_idle_timeout: section.duration("body_idle_timeout"),
        streams_max: u32::try_from(section.number("streams_max")).unwrap_or(u32::MAX),
        upstream_idle_timeout: section.duration("upstream_idle_timeout"),
        drain_timeout: section.duration("drain_timeout"),
    };
    let tokens_cached_max = count(section.number("tokens_cached_max"));
    section.finish();
    (limits, tokens_cached_max)
}

pub(crate) fn dpop(section: Section<'_>) -> DpopConfig {
    let config = DpopConfig {
        age_max: section.duration("age_max"),
        leeway: section.duration("leeway"),
        replays_max: count(section.number("replays_max")),
        nonce_lifetime: section.duration("nonce_lifetime"),
    };
    section.finish();
    config
}

/// The address of the listener for operators.
pub(crate) fn admin(section: Section<'_>) -> Option<SocketAddr> {
    let text = section.text("address");
    let danger = section.flag("danger_expose").filter(|flag| flag.value);
    let address = text.and_then(|text| {
        let Ok(address) = text.value.parse::<SocketAddr>() else {
            let help = "write an IP address and a port: `127.0.0.1:9440`";
            section.error(text.at, format!("`address`: `{}` is no address", text.value), help);
            return None;
        };
        if !address.ip().is_loopback() && danger.is_none() {
            let help = "use `127.0.0.1`, or set `danger_expose = true` where only operators reach the address";
            section.error(text.at, format!("`address`: `{address}` is reachable from other machines"), help);
            return None;
        }
        Some(address)
    });
    if let Some(flag) = &danger {
        let help = "bind it to `127.0.0.1`";
        section.warning(flag.at, "`danger_expose` is on: who reaches it learns the issuers' names and faults", help);
    }
    section.finish();
    address
}

/// The schema bounds every count well below this.
pub(crate) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{report::Report, units};

    #[test]
    fn the_documented_limits_are_the_gateways_own() {
        let report = Report::new("f".into(), String::new());
        let item = toml_edit::Item::Table(toml_edit::Table::new());
        let section = Section::open(&report, &schema::LIMITS, String::new(), "", At(0), &item).expect("a table");
        let (limits, tokens_cached_max) = limits(section);
        assert_eq!(format!("{limits:?}"), format!("{:?}", Limits::default()));
        assert_eq!(tokens_cached_max, airgate_identity::VerifierConfig::default().tokens_max);
        let section = Section::open(&report, &schema::DPOP, String::new(), "", At(0), &item).expect("a table");
        assert_eq!(dpop(section), DpopConfig::default());
    }

    #[test]
    fn route_paths_are_canonical() {
        let report = Report::new("f".into(), String::new());
        let item = toml_edit::Item::Table(toml_edit::Table::new());
        let section = Section::open(&report, &schema::ROUTE, String::new(), "", At(0), &item).expect("a table");
        let read = |path: &str| route_path(&section, &Placed::new(path.to_owned(), At(0))).is_some();
        for path in ["/", "/orders", "/orders/v1.0", "/a~b/c@d"] {
            assert!(read(path), "{path}");
        }
        for path in ["", "orders", "/orders/", "//orders", "/a/../b", "/a/./b", "/a%2fb", "/a b", "/a?b", "/a\\b", "/ä"]
        {
            assert!(!read(path), "{path}");
        }
    }

    #[test]
    fn sizes_in_the_schema_read_back() {
        assert_eq!(units::size("1GiB"), Some(Limits::default().body_bytes_max));
    }
}
