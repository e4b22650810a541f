//! One file a verb.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod issuer;
pub(crate) mod reference;
pub(crate) mod serve;
pub(crate) mod token;

use crate::{
    config::report::Diagnostic,
    terminal::{Paint, printable_json},
};
use std::io::Write as _;

/// Data for standard output. A reader that went away (`| head`) is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Messages for standard error.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// All messages, an empty line between two.
fn tell_all(diagnostics: &[Diagnostic]) {
    let all: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(Paint::stderr())).collect();
    tell(&all.join("\n"));
}

/// One message without a place.
fn tell_error(message: impl Into<String>, help: impl Into<String>) {
    tell(&Diagnostic::error(message, help).render(Paint::stderr()));
}

/// One line of JSON.
fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => print(&format!("{}\n", printable_json(&text))),
        Err(error) => tell_error(format!("the answer cannot be written as JSON: {error}"), "leave `--json` out"),
    }
}

/// A runtime for a verb that asks somebody, on this thread alone.
fn runtime() -> Result<tokio::runtime::Runtime, crate::Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        tell_error(format!("no runtime: {error}"), "look at the limits on threads and open files");
        crate::Exit::Unavailable
    })
}

/// Seconds since 1970.
fn unix_now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

/// `1 error`, `2 errors`.
fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
