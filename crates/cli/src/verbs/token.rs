//! `airgate token inspect`: what a token holds, and every check that it passes or fails.

use super::{print, print_json, runtime, tell, tell_all, tell_error, unix_now};
use crate::{
    Exit,
    args::Inspect,
    config::{self, Config},
    terminal::{Paint, printable, table},
};
use airgate_identity::{Inspection, Outcome, Verifier};
use serde_json::{Map, Value};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

/// More is no token: the gateway takes 8 KiB.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn inspect(args: &Inspect) -> Exit {
    if !args.misplaced.is_empty() {
        let help = "pipe it in, or name a file that holds it with `--file FILE`; treat this token as known to others";
        tell_error("a token on the command line stays in the shell's history and in the list of processes", help);
        return Exit::Usage;
    }
    let config = match args.config.as_deref().map(config::load).transpose() {
        Ok(config) => config,
        Err(diagnostics) => {
            tell_all(&diagnostics);
            return Exit::Usage;
        }
    };
    let issuers = match (&args.route, &config) {
        (Some(route), Some(config)) => match issuers_of(config, route) {
            Ok(issuers) => issuers,
            Err(exit) => return exit,
        },
        _ => None,
    };
    let token = match read(args.file.as_deref()) {
        Ok(token) => token,
        Err(exit) => return exit,
    };
    let has_config = config.is_some();
    let inspection = match look(&token, config.map(|config| config.verifier), issuers.as_deref(), args.offline) {
        Ok(inspection) => inspection,
        Err(exit) => return exit,
    };
    if args.json {
        print_json(&inspection);
    } else {
        print(&show(&inspection, has_config));
    }
    exit_of(&inspection, has_config)
}

fn issuers_of(config: &Config, route: &str) -> Result<Option<Vec<String>>, Exit> {
    match config.gateway.routes.iter().find(|known| known.name == route) {
        Some(found) => Ok(found.accepts.issuers.clone()),
        None => {
            let names = config.gateway.routes.iter().map(|route| route.name.as_str());
            let help = format!("routes of the configuration: {}", config::report::listed(names));
            tell_error(format!("there is no route `{route}`"), help);
            Err(Exit::Usage)
        }
    }
}

/// The token alone: what people paste around it is taken away.
fn read(file: Option<&Path>) -> Result<String, Exit> {
    let mut text = String::new();
    let read = match file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text)),
        None => {
            if io::stdin().is_terminal() {
                tell("paste the token, then end the input (Ctrl-D)\n");
            }
            io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text)
        }
    };
    if let Err(error) = read {
        let place = file.map_or_else(|| "standard input".to_owned(), |path| format!("`{}`", path.display()));
        tell_error(format!("{place}: {error}"), "give a text file that holds the token");
        return Err(Exit::Usage);
    }
    let mut token = text.trim();
    for before in ["authorization:", "bearer ", "dpop "] {
        if token.get(..before.len()).is_some_and(|start| start.eq_ignore_ascii_case(before)) {
            token = token[before.len()..].trim_start();
        }
    }
    if token.is_empty() {
        tell_error("there is no token", "pipe it in, or name a file that holds it with `--file FILE`");
        return Err(Exit::Usage);
    }
    Ok(token.to_owned())
}

fn look(
    token: &str,
    verifier: Option<Verifier>,
    issuers: Option<&[String]>,
    offline: bool,
) -> Result<Inspection, Exit> {
    let failed = |why: String| {
        tell_error(why, "name issuers of the configuration");
        Exit::Usage
    };
    // Without a configuration there is no issuer: the token is read all the same.
    let verifier = match verifier {
        Some(verifier) => verifier,
        None => Verifier::new(Vec::new()).map_err(|_| failed("no verifier".to_owned()))?,
    };
    if offline {
        verifier.stay_offline();
    }
    runtime()?.block_on(verifier.inspect(token, issuers, unix_now())).map_err(failed)
}

fn exit_of(inspection: &Inspection, has_config: bool) -> Exit {
    let has = |outcome| inspection.checks.iter().any(|line| line.outcome == outcome);
    match () {
        () if !has_config && inspection.claims.is_some() => Exit::Done,
        () if has(Outcome::Fail) => Exit::Failed,
        () if has(Outcome::Unknown) => Exit::Unavailable,
        () if inspection.accepted => Exit::Done,
        () => Exit::Failed,
    }
}

fn show(inspection: &Inspection, has_config: bool) -> String {
    let mut out = String::new();
    let short = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows = |members: &Map<String, Value>| -> Vec<[String; 2]> {
        members.iter().map(|(name, value)| [name.clone(), short(value)]).collect()
    };
    if let Some(header) = &inspection.header {
        let _ = writeln!(out, "{}", table(["header", ""], rows(header)));
    }
    if let Some(claims) = &inspection.claims {
        let _ = writeln!(out, "{}", table(["claim", "value"], rows(claims)));
    }
    let _ = writeln!(out, "sha256  {}", inspection.sha256);
    if !has_config {
        let _ = writeln!(out, "\nnot checked: name the configuration with `--config FILE`");
        return out;
    }
    let issuer = inspection.issuer.as_deref().unwrap_or("none");
    let _ = writeln!(out, "issuer  {}\n", printable(issuer));
    let word = |outcome| match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Unknown => "unknown",
    };
    let lines = inspection.checks.iter().map(|line| {
        [line.check.to_owned(), word(line.outcome).to_owned(), line.code.unwrap_or("").to_owned(), line.detail.clone()]
    });
    let _ = writeln!(out, "{}", table(["check", "result", "code", "detail"], lines));
    let paint = Paint::stdout();
    for line in inspection.checks.iter().filter(|line| line.outcome != Outcome::Pass) {
        if let Some(advice) = &line.advice {
            let _ = writeln!(out, "{} {}: {}", paint.faint("next:"), line.check, printable(advice));
        }
    }
    let verdict = if inspection.accepted { paint.good("accepted") } else { paint.error("not accepted") };
    let _ = writeln!(out, "{verdict}");
    for what in &inspection.bound_to {
        let _ = writeln!(out, "it is bound to {what}: a request must prove it, which is not checked here");
    }
    out
}
