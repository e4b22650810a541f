//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit codes:
  0  done, verified
  1  a check failed, something was not verified or not found
  2  the command line or the configuration is wrong
  3  something that is needed is not there now (an address, a disk, a folder)";

/// The identity-aware gateway between Apache Airflow and apps on Microsoft IIS.
#[derive(Debug, Parser)]
#[command(name = "airgate", version, arg_required_else_help = true, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Serve requests until SIGTERM or SIGINT, then let those in flight end; a second signal ends at once.
    #[command(after_help = "Examples:
  airgate serve --config /etc/airgate/airgate.toml
  airgate serve --config airgate.toml --log-format json --log info,airgate_signin=debug

It logs to standard error and writes nothing to standard output. It exits with 0 where all requests in flight ended in time,
with 1 where some were cut off, with 2 where the configuration is wrong, and with 3 where it cannot listen or log.")]
    Serve(Serve),
    /// Check a configuration: tell every error at once, or show what would be served.
    #[command(after_help = "Examples:
  airgate check --config airgate.toml
  airgate check --config airgate.toml --json | jq '.errors[] | \"\\(.line): \\(.message)\"'

It exits with 0 where the configuration can be served (warnings may remain), with 2 where it cannot.")]
    Check(Check),
    /// Read and verify the audit log.
    #[command(subcommand, arg_required_else_help = true)]
    Audit(Audit),
    /// Look at tokens.
    #[command(subcommand, arg_required_else_help = true)]
    Token(Token),
    /// Look at issuers.
    #[command(subcommand, arg_required_else_help = true)]
    Issuer(Issuer),
    /// Print a page of the reference, in Markdown.
    #[command(after_help = "Examples:
  airgate reference problems > docs/reference/problems.md
  airgate reference config > docs/reference/configuration.md")]
    Reference(Reference),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// What is logged: a level (error, warn, info, debug, trace), also per module (`info,airgate_signin=debug`).
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: String,
    /// How the log is written.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line per event, for people.
    Text,
    /// A JSON object per line.
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Verify a log with its files and its public key alone.
    #[command(after_help = "Examples:
  airgate audit verify --config airgate.toml
  airgate audit verify --log /var/lib/airgate/audit --key @gw.vkey
  airgate audit verify --log ./copy --key @gw.vkey --since-checkpoint last-week.checkpoint

Exit codes: 0 verified, 1 not verified, 2 wrong command line, configuration or key, 3 no log there.")]
    Verify(Verify),
    /// Find calls in a log, each with its outcome.
    #[command(after_help = "Examples:
  airgate audit search --config airgate.toml --dag nightly_orders --since 2026-01-31T00:00:00Z
  airgate audit search --log ./copy --code not_in_role --json | jq '.[].index'

Exit codes: 0 done (also where nothing was found), 2 wrong command line or configuration, 3 no log there or not readable.")]
    Search(Box<Search>),
    /// Show one entry, its partner, and the proof that it is in the log.
    #[command(after_help = "Examples:
  airgate audit show 42 --config airgate.toml
  airgate audit show 42 --log ./copy --key @gw.vkey --json

Exit codes: 0 shown and proven, or not yet published; 1 no such entry or not proven; 2 wrong command line; 3 no log there.")]
    Show(Show),
    /// Print the key that verifies a log's checkpoints, in signed-note form.
    #[command(after_help = "Examples:
  airgate audit key --config airgate.toml > gw.vkey")]
    Key(Key),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Show what a token holds, which issuer it matches, and which checks it passes.
    ///
    /// The token comes from standard input or a file, never from the command line: that stays in the shell's history. What
    /// could be used as a credential is cut out of what is shown.
    #[command(after_help = "Examples:
  airgate token inspect --file token.txt --config airgate.toml --route orders
  pass show etl/token | airgate token inspect --config airgate.toml
  airgate token inspect --file token.txt --config airgate.toml --offline --json | jq '.checks[] | select(.outcome == \"fail\")'
  airgate token inspect < token.txt

Exit codes: 0 the gateway accepts it (or, without --config, it can be read), 1 it refuses it, 2 wrong command line or
configuration, 3 the issuer's keys cannot be had.")]
    Inspect(Inspect),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Inspect {
    /// The configuration file. Without it, the token is only read.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A file that holds the token, and nothing else. Without it, standard input is read.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Accept only the issuers of this route.
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) route: Option<String>,
    /// Fetch nothing: keys in files are used, others are not.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Caught here, so that no error message repeats it.
    #[arg(hide = true, value_name = "TOKEN")]
    pub(crate) misplaced: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Issuer {
    /// Go the way to the issuers' keys: discovery, TLS, keys, clock, introspection.
    #[command(after_help = "Examples:
  airgate issuer check --config airgate.toml
  airgate issuer check entra --config airgate.toml --json

Exit codes: 0 all is well (warnings may remain), 1 something fails, 2 wrong command line or configuration.")]
    Check(IssuerCheck),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct IssuerCheck {
    /// The issuer's name in the configuration; without it, all.
    pub(crate) name: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Print one JSON list instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the log is.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct Source {
    /// The log's folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) log: Option<PathBuf>,
    /// The configuration file that names the log's folder and key.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The verifier key, or `@` and a file that holds it. Without it, the key of the configuration is used.
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<String>,
    /// An older checkpoint of the same log: prove that nothing before it was changed.
    #[arg(long, value_name = "FILE")]
    pub(crate) since_checkpoint: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Airflow's `dag_id`.
    #[arg(long, value_name = "ID")]
    pub(crate) dag: Option<String>,
    /// Airflow's `run_id`.
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// Airflow's `task_id`.
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Airflow's `try_number`.
    #[arg(long, value_name = "N")]
    pub(crate) r#try: Option<i64>,
    /// The gateway's id of the request.
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// The principal's `sub`.
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// The route's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) route: Option<String>,
    /// The grant's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) grant: Option<String>,
    /// The decision's code: `permitted`, or a refusal's code.
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// The Windows identity that IIS saw.
    #[arg(long, value_name = "USER")]
    pub(crate) windows_identity: Option<String>,
    /// What the path starts with.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) path: Option<String>,
    /// Not before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<jiff::Timestamp>,
    /// Before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<jiff::Timestamp>,
    /// Most calls that are shown.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) limit: u64,
    /// Print one JSON list instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Show {
    /// The entry's index.
    pub(crate) index: u64,
    #[command(flatten)]
    pub(crate) source: Source,
    /// The verifier key, or `@` and a file that holds it. Without it, the key of the configuration is used.
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Key {
    /// The configuration file that names the key.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Reference {
    /// Which page.
    #[arg(value_enum)]
    pub(crate) page: Page,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// Every reason for which a request can be refused.
    Problems,
    /// Every section and key of the configuration.
    Config,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
