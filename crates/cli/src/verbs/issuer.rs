//! `airgate issuer check`: the way to the issuers' keys, step by step.

use super::{print, print_json, runtime, tell_all, tell_error, unix_now};
use crate::{
    Exit,
    args::IssuerCheck,
    config::{self, Config, report::listed},
    terminal::{Paint, table},
};
use airgate_identity::{Probe, ProbeStep};
use serde::Serialize;
use std::time::{Duration, UNIX_EPOCH};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate that ends sooner is told.
const CERTIFICATE_DAYS_MIN: i64 = 14;
/// A clock that is further off is told; tokens are refused beyond the issuer's `leeway`.
const CLOCK_SECONDS_MAX: u64 = 5;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    Pass,
    Warn,
    Fail,
}

/// One line of the table.
#[derive(Serialize)]
struct Line {
    issuer: String,
    check: &'static str,
    result: Mark,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(crate) fn check(args: &IssuerCheck) -> Exit {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(diagnostics) => {
            tell_all(&diagnostics);
            return Exit::Usage;
        }
    };
    if let Some(name) = &args.name
        && !config.issuers.iter().any(|issuer| issuer.name == *name)
    {
        let known = listed(config.issuers.iter().map(|issuer| issuer.name.as_str()));
        tell_error(format!("there is no issuer `{name}`"), format!("issuers of the configuration: {known}"));
        return Exit::Usage;
    }
    let now = unix_now();
    let probes = match runtime() {
        Ok(runtime) => runtime.block_on(probe(&config, args.name.as_deref(), now)),
        Err(exit) => return exit,
    };
    let lines: Vec<Line> = probes.iter().flat_map(|probe| lines(&config, probe, now)).collect();
    let failed = lines.iter().any(|line| line.result == Mark::Fail);
    if args.json {
        print_json(&lines);
    } else {
        print(&show(&lines));
    }
    if failed { Exit::Failed } else { Exit::Done }
}

/// All at a time: one that does not answer must not keep the others waiting.
async fn probe(config: &Config, name: Option<&str>, now: u64) -> Vec<Probe> {
    let names = config.issuers.iter().map(|issuer| issuer.name.clone());
    let asked = names.filter(|known| name.is_none_or(|name| name == known)).map(|name| {
        let verifier = config.verifier.clone();
        tokio::spawn(async move { verifier.probe(Some(&name), now).await })
    });
    let mut out = Vec::new();
    for one in asked.collect::<Vec<_>>() {
        out.extend(one.await.unwrap_or_default());
    }
    out
}

fn lines(config: &Config, probe: &Probe, now: u64) -> Vec<Line> {
    let mut out = Vec::new();
    let mut add = |check, result, detail: String, next: Option<&str>| {
        out.push(Line { issuer: probe.issuer.clone(), check, result, detail, next: next.map(str::to_owned) });
    };
    let leeway = config.issuers.iter().find(|issuer| issuer.name == probe.issuer).map_or(0, |one| one.leeway.as_secs());
    for step in &probe.steps {
        if !step.ok {
            add(step.what, Mark::Fail, format!("{}: {}", step.place, step.detail), Some(next_step(step)));
            continue;
        }
        let detail =
            if step.detail.is_empty() { step.place.clone() } else { format!("{} ({})", step.place, step.detail) };
        add(step.what, Mark::Pass, detail, None);
        if let Some(version) = &step.tls {
            let (mark, detail) = certificate(version, &step.certificate, now);
            let next = (mark != Mark::Pass).then_some("have the issuer's operator renew it");
            add("TLS", mark, detail, next);
        }
        if let Some(date) = &step.date {
            let (mark, detail) = clock(date, now, leeway);
            let next = (mark != Mark::Pass).then_some("synchronise this machine's clock, or have the issuer's set");
            add("clock", mark, detail, next);
        }
        if let Some(cache) = &step.cache_control {
            add("cache", Mark::Pass, cache.clone(), None);
        }
    }
    if probe.steps.iter().any(|step| step.what == "key set" && step.ok) {
        for (kid, algorithms) in &probe.keys {
            if algorithms.is_empty() {
                let next = Some("add its algorithm to the issuer's `algorithms` if its tokens shall be accepted");
                add("key", Mark::Warn, format!("{kid}: for none of the configured algorithms"), next);
            } else {
                add("key", Mark::Pass, format!("{kid}: {}", algorithms.join(" ")), None);
            }
        }
        if probe.keys.iter().all(|(_, algorithms)| algorithms.is_empty()) {
            let next =
                Some("compare `algorithms` with what the issuer signs with, and `jwks_url` with its documentation");
            add("keys", Mark::Fail, "no key can check a token".to_owned(), next);
        }
        if probe.ignored > 0 {
            add("keys", Mark::Pass, format!("{} for something else than tokens", probe.ignored), None);
        }
    }
    for refused in &probe.refused {
        add("key", Mark::Warn, refused.clone(), Some("have the issuer's operator mend or remove this key"));
    }
    out
}

fn next_step(step: &ProbeStep) -> &'static str {
    match step.what {
        "discovery" => "compare `url` with the issuer's documentation; or give `jwks_url`, which needs no discovery",
        "introspection" => "compare `client_id`, `key` and `audience` with how the issuer knows this gateway",
        _ if step.detail.contains("TLS") => "give the issuer's `ca_file`, or have its certificate mended",
        _ => "look at the address, the network, and `ca_file` and `token_file` if it asks for them",
    }
}

fn certificate(version: &str, der: &[u8], now: u64) -> (Mark, String) {
    let version = version.replace('_', ".").replace("TLSv", "TLS ");
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return (Mark::Warn, format!("{version}, a certificate that can't be read"));
    };
    let left = certificate.validity().not_after.timestamp() - i64::try_from(now).unwrap_or(i64::MAX);
    let days = left / 86_400;
    let mark = if days < CERTIFICATE_DAYS_MIN { Mark::Warn } else { Mark::Pass };
    (mark, format!("{version}, the certificate ends in {days} days"))
}

fn clock(date: &str, now: u64, leeway: u64) -> (Mark, String) {
    let Ok(theirs) = httpdate::parse_http_date(date) else {
        return (Mark::Warn, "its `Date` can't be read".to_owned());
    };
    let theirs = theirs.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let off = theirs.abs_diff(now);
    let mark = match off {
        _ if off > leeway.max(CLOCK_SECONDS_MAX) => Mark::Fail,
        _ if off > CLOCK_SECONDS_MAX => Mark::Warn,
        _ => Mark::Pass,
    };
    let way = if theirs > now { "ahead of" } else { "behind" };
    let detail = if off <= 1 { "as ours".to_owned() } else { format!("{off} s {way} ours") };
    (mark, detail)
}

fn show(lines: &[Line]) -> String {
    let word = |mark| match mark {
        Mark::Pass => "pass",
        Mark::Warn => "warn",
        Mark::Fail => "FAIL",
    };
    let mut last = "";
    let rows: Vec<[String; 4]> = lines
        .iter()
        .map(|line| {
            let name = if line.issuer == last { String::new() } else { line.issuer.clone() };
            last = &line.issuer;
            [name, line.check.to_owned(), word(line.result).to_owned(), line.detail.clone()]
        })
        .collect();
    let mut out = table(["issuer", "check", "result", "detail"], rows);
    let paint = Paint::stdout();
    for line in lines {
        if let Some(next) = &line.next {
            out.push_str(&format!("\n{} {}, {}: {next}", paint.faint("next:"), line.issuer, line.check));
        }
    }
    let failed = lines.iter().filter(|line| line.result == Mark::Fail).count();
    let warned = lines.iter().filter(|line| line.result == Mark::Warn).count();
    let verdict = if failed == 0 { paint.good("ok:") } else { paint.error("failed:") };
    out.push_str(&format!(
        "\n{verdict} {}, {}\n",
        super::counted(failed, "failure"),
        super::counted(warned, "warning")
    ));
    out
}
