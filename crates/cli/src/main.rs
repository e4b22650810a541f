//! The airgate command: configuration, wiring, verbs.

mod args;
mod config;
mod health;
mod terminal;
mod verbs;

use args::{Args, Audit, Issuer, Token, Verb};
use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a verb ended: the command's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// 0
    Done,
    /// 1: a check failed, something was not verified or not found, or requests were cut off at the end.
    Failed,
    /// 2: the command line or the configuration is wrong.
    Usage,
    /// 3: something that is needed is not there now: a disk, an address, a folder.
    Unavailable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => ExitCode::SUCCESS,
            Exit::Failed => ExitCode::from(1),
            Exit::Usage => ExitCode::from(2),
            Exit::Unavailable => ExitCode::from(3),
        }
    }
}

fn main() -> ExitCode {
    let exit = match Args::parse().verb {
        Verb::Serve(args) => verbs::serve::run(&args),
        Verb::Check(args) => verbs::check::run(&args),
        Verb::Audit(Audit::Verify(args)) => verbs::audit::verify(&args),
        Verb::Audit(Audit::Search(args)) => verbs::audit::search(&args),
        Verb::Audit(Audit::Show(args)) => verbs::audit::show(&args),
        Verb::Audit(Audit::Key(args)) => verbs::audit::key(&args),
        Verb::Token(Token::Inspect(args)) => verbs::token::inspect(&args),
        Verb::Issuer(Issuer::Check(args)) => verbs::issuer::check(&args),
        Verb::Reference(args) => verbs::reference::run(args.page),
    };
    exit.into()
}
