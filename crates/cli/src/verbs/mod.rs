//! One file a verb.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod reference;
pub(crate) mod serve;

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

/// `1 error`, `2 errors`.
fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
