//! `airgate audit`: the log's reading side on the command line. The logic is the library's.

use super::{print, print_json, tell, tell_all, tell_error};
use crate::{
    Exit,
    args::{Key, Search, Show, Source, Verify},
    config,
    terminal::{Paint, printable_json, table},
};
use airgate_audit::{
    AuditError, FoundCall, LogKey, Query, ReadError, ShownEntry, VerifierKey, VerifyError, VerifyOptions, VerifyReport,
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    io::Read as _,
    path::{Path, PathBuf},
};

/// A verifier key and a checkpoint are a few lines: more is not read.
const NOTE_BYTES_MAX: u64 = 64 * 1024;

/// Told already; the exit code is left.
struct Told(Exit);

/// The log's folder, and the key where only the configuration says it.
struct Log {
    folder: PathBuf,
    key: Option<(PathBuf, String)>,
}

impl Log {
    fn at(source: &Source) -> Result<Self, Told> {
        let log = match (&source.log, &source.config) {
            (Some(folder), _) => Self { folder: folder.clone(), key: None },
            (None, Some(path)) => {
                let (log, key) = config::load_audit(path).map_err(|diagnostics| {
                    tell_all(&diagnostics);
                    Told(Exit::Usage)
                })?;
                Self { folder: log.folder, key: Some((key, log.origin)) }
            }
            (None, None) => unreachable!("the command line asks for one of the two"),
        };
        let is_log = ["checkpoint", "journal", "tile"].iter().any(|name| log.folder.join(name).exists());
        if !is_log {
            tell_error(
                format!("`{}` is no log's folder", log.folder.display()),
                "name the folder that `[audit] folder` names; the gateway makes it at its first start",
            );
            return Err(Told(Exit::Unavailable));
        }
        Ok(log)
    }

    /// The key given, or else the configuration's own.
    fn key(&self, given: Option<&str>) -> Result<VerifierKey, Told> {
        let text = match (given, &self.key) {
            (Some(given), _) => match given.strip_prefix('@') {
                Some(path) => read_note(Path::new(path), "--key")?,
                None => given.to_owned(),
            },
            (None, Some((path, origin))) => own_key(path, origin)?.verifier_key(),
            (None, None) => {
                let help = "add `--key VKEY` or `--key @FILE`: `airgate audit key` prints it where the gateway runs";
                tell_error("a log is verified with its public key, and none is given", help);
                return Err(Told(Exit::Usage));
            }
        };
        text.trim().parse().map_err(|error| {
            tell_error(
                format!("the verifier key is none: {error}"),
                "it has the form `NAME+HASH+BASE64`: give it whole, in quotes",
            );
            Told(Exit::Usage)
        })
    }
}

fn own_key(path: &Path, origin: &str) -> Result<LogKey, Told> {
    LogKey::load(path, origin).map_err(|error| {
        let exit = if matches!(error, AuditError::Io { .. }) { Exit::Unavailable } else { Exit::Usage };
        tell_error(
            error.to_string(),
            "the gateway makes the key at its first start; or name the public key with `--key`",
        );
        Told(exit)
    })
}

fn read_note(path: &Path, option: &str) -> Result<String, Told> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(NOTE_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| {
        tell_error(format!("`{option}`: `{}`: {error}", path.display()), "name a text file that can be read");
        Told(Exit::Usage)
    })
}

/// What `--json` prints where the answer is no.
#[derive(Serialize)]
struct No<'a> {
    ok: bool,
    error: &'a str,
}

/// Tells why a log cannot be read or is not right; in JSON on standard output where that was asked for.
fn refuse(json: bool, message: &str, help: &str, exit: Exit) -> Exit {
    if json {
        print_json(&No { ok: false, error: message });
    } else {
        tell_error(message, help);
    }
    exit
}

/// Not there now, or wrong.
fn exit_of(error: &ReadError) -> Exit {
    match error {
        ReadError::Io { .. } | ReadError::NoCheckpoint { .. } => Exit::Unavailable,
        ReadError::Checkpoint(_)
        | ReadError::Tile { .. }
        | ReadError::NoEntry { .. }
        | ReadError::NotIncluded { .. } => Exit::Failed,
    }
}

fn help_of(error: &ReadError) -> &'static str {
    match error {
        ReadError::Io { .. } => "look at the folder, its access rights and its disk",
        ReadError::NoCheckpoint { .. } => {
            "wait for the first checkpoint (`publish_interval`), or name the right folder"
        }
        ReadError::NoEntry { .. } => "indices count from 0",
        ReadError::Checkpoint(_) => {
            "compare the key with `airgate audit key`; if it is the right one, the log was changed"
        }
        ReadError::Tile { .. } | ReadError::NotIncluded { .. } => {
            "the log was changed or is damaged: run `airgate audit verify`, and keep the folder as it is"
        }
    }
}

pub(crate) fn verify(args: &Verify) -> Exit {
    let prepared = Log::at(&args.source).and_then(|log| {
        let key = log.key(args.key.as_deref())?;
        let since_checkpoint =
            args.since_checkpoint.as_deref().map(|path| read_note(path, "--since-checkpoint")).transpose()?;
        Ok((log, key, VerifyOptions { since_checkpoint }))
    });
    let (log, key, options) = match prepared {
        Ok(prepared) => prepared,
        Err(Told(exit)) => return exit,
    };
    match airgate_audit::verify(&log.folder, &key, &options) {
        Ok(report) => {
            if args.json {
                #[derive(Serialize)]
                struct Yes<'a> {
                    ok: bool,
                    #[serde(flatten)]
                    report: &'a VerifyReport,
                }
                print_json(&Yes { ok: true, report: &report });
            } else {
                print(&show_report(&report));
            }
            Exit::Done
        }
        Err(VerifyError::Read(error)) => {
            let message = format!("not verified: {error}");
            refuse(args.json, &message, help_of(&error), exit_of(&error))
        }
        Err(error) => {
            let help = "the log was changed or is damaged: keep the folder as it is, and compare it with a copy";
            refuse(args.json, &format!("not verified: {error}"), help, Exit::Failed)
        }
    }
}

fn show_report(report: &VerifyReport) -> String {
    let none = || "none".to_owned();
    let open = match report.open_intents.as_slice() {
        [] => none(),
        all if all.len() <= 10 => all.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        all => format!("{} of them, the first is {}", all.len(), all[0]),
    };
    let mut rows = vec![
        ["entries".to_owned(), report.size.to_string()],
        ["root".to_owned(), report.root.clone()],
        ["first".to_owned(), report.first_time.clone().unwrap_or_else(none)],
        ["last".to_owned(), report.last_time.clone().unwrap_or_else(none)],
        ["permitted".to_owned(), format!("{}, {} of them ended", report.intents, report.outcomes)],
        ["not ended".to_owned(), open],
        ["refused".to_owned(), report.refusals.to_string()],
        ["gateway's own".to_owned(), report.gateway.to_string()],
    ];
    if let Some(size) = report.extends_size {
        rows.push(["extends".to_owned(), format!("the older checkpoint of {size} entries")]);
    }
    let head = Paint::stdout().good("log verified");
    let body = table(["log", &report.origin], rows);
    format!("{head}\n{body}")
}

pub(crate) fn search(args: &Search) -> Exit {
    let log = match Log::at(&args.source) {
        Ok(log) => log,
        Err(Told(exit)) => return exit,
    };
    let query = Query {
        dag_id: args.dag.clone(),
        run_id: args.run.clone(),
        task_id: args.task.clone(),
        try_number: args.r#try,
        request_id: args.request_id.clone(),
        subject: args.subject.clone(),
        route: args.route.clone(),
        grant: args.grant.clone(),
        code: args.code.clone(),
        kind: None,
        windows_identity: args.windows_identity.clone(),
        path_prefix: args.path.clone(),
        since: args.since,
        until: args.until,
        limit: usize::try_from(args.limit).ok(),
    };
    let found = match airgate_audit::search(&log.folder, &query) {
        Ok(found) => found,
        Err(error) => return refuse(args.json, &error.to_string(), help_of(&error), exit_of(&error)),
    };
    if args.json {
        print_json(&found);
        return Exit::Done;
    }
    print(&show_found(&found));
    let more = if found.len() as u64 == args.limit { ": the latest; raise `--limit` for more" } else { "" };
    tell(&format!("{} found{more}\n", super::counted(found.len(), "call")));
    Exit::Done
}

fn show_found(found: &[FoundCall]) -> String {
    let row = |found: &FoundCall| {
        let call = &found.call;
        let principal = call.principal.as_ref();
        let who = match principal.and_then(|principal| principal.job.as_ref()) {
            Some(job) if job.map_index >= 0 => {
                format!("{} / {} / {}[{}] / {}", job.dag_id, job.run_id, job.task_id, job.map_index, job.try_number)
            }
            Some(job) => format!("{} / {} / {} / {}", job.dag_id, job.run_id, job.task_id, job.try_number),
            None => principal.map_or_else(|| "-".to_owned(), |principal| principal.subject.clone()),
        };
        let outcome = found.outcome.as_ref().map(|attached| &attached.outcome);
        let status = outcome.and_then(|outcome| outcome.status).or(call.status);
        let ended = match outcome {
            Some(outcome) => word(&outcome.ending),
            None if found.kind == "refusal" => "refused".to_owned(),
            None => "open".to_owned(),
        };
        let code = outcome.and_then(|outcome| outcome.code.clone()).unwrap_or_else(|| call.code.clone());
        [
            found.index.to_string(),
            found.time.clone(),
            who,
            code,
            call.windows_identity.clone().unwrap_or_else(|| "-".to_owned()),
            format!("{} {}", call.method, call.path),
            status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
            ended,
        ]
    };
    if found.is_empty() {
        return String::new();
    }
    table(["entry", "time", "principal", "code", "windows identity", "request", "status", "end"], found.iter().map(row))
}

/// A unit variant by its name in the log.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

pub(crate) fn show(args: &Show) -> Exit {
    let prepared = Log::at(&args.source).and_then(|log| Ok((log.key(args.key.as_deref())?, log)));
    let (key, log) = match prepared {
        Ok(prepared) => prepared,
        Err(Told(exit)) => return exit,
    };
    match airgate_audit::show(&log.folder, &key, args.index) {
        Ok(shown) => {
            if args.json {
                print_json(&shown);
            } else {
                print(&show_entry(&shown));
            }
            Exit::Done
        }
        Err(error) => refuse(args.json, &error.to_string(), help_of(&error), exit_of(&error)),
    }
}

fn show_entry(shown: &ShownEntry) -> String {
    let pretty = |value: &serde_json::Value| printable_json(&serde_json::to_string_pretty(value).unwrap_or_default());
    let mut out = format!("entry {}\n{}\n", shown.index, pretty(&shown.entry));
    if let (Some(index), Some(partner)) = (shown.partner_index, &shown.partner) {
        let what = if index > shown.index { "its outcome" } else { "its intent" };
        let _ = write!(out, "\n{what}, entry {index}\n{}\n", pretty(partner));
    }
    let paint = Paint::stdout();
    let _ = match &shown.inclusion {
        Some(inclusion) => {
            let proven = paint.good("proven");
            let (size, root) = (inclusion.size, &inclusion.root);
            write!(
                out,
                "\n{proven}: in the log of {size} entries with the root {root}\n       leaf {}\n",
                shown.leaf_hash
            )
        }
        None => {
            let open = paint.warning("not yet published");
            write!(
                out,
                "\n{open}: durable, and not yet under a signed checkpoint; ask again after `publish_interval`\n"
            )
        }
    };
    out
}

pub(crate) fn key(args: &Key) -> Exit {
    let read = config::load_audit(&args.config).map_err(|diagnostics| {
        tell_all(&diagnostics);
        Told(Exit::Usage)
    });
    let key = read.and_then(|(log, path)| Ok((own_key(&path, &log.origin)?.verifier_key(), log.origin)));
    match key {
        Ok((verifier_key, origin)) => {
            if args.json {
                print_json(&serde_json::json!({ "origin": origin, "verifier_key": verifier_key }));
            } else {
                print(&format!("{verifier_key}\n"));
            }
            Exit::Done
        }
        Err(Told(exit)) => exit,
    }
}
