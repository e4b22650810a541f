//! Messages about the configuration: what is wrong, where it stands, the next step.

use crate::terminal::{Paint, printable};
use serde::Serialize;
use std::{cell::RefCell, fmt::Write as _};

/// How much a message weighs: an error refuses the configuration, a warning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// Where in which file, both counted from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Diagnostic {
    pub(crate) severity: Severity,
    pub(crate) message: String,
    #[serde(flatten)]
    pub(crate) place: Option<Place>,
    pub(crate) help: Option<String>,
}

impl Diagnostic {
    /// An error without a place in a configuration file.
    pub(crate) fn error(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), place: None, help: Some(help.into()) }
    }

    /// The message as a person reads it, of up to three lines, each ended.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        let head = match self.severity {
            Severity::Error => paint.error("error:"),
            Severity::Warning => paint.warning("warning:"),
        };
        let _ = writeln!(out, "{head} {}", printable(&self.message));
        if let Some(place) = &self.place {
            let _ = writeln!(out, "{} {}:{}:{}", paint.faint(" -->"), printable(&place.file), place.line, place.column);
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "{} {}", paint.faint("help:"), printable(help));
        }
        out
    }
}

/// A byte offset in the configuration's text: where a key or a value starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct At(pub(crate) usize);

/// The text under reading, and all that was found wrong with it so far.
pub(crate) struct Report {
    file: String,
    line_starts: Vec<usize>,
    text: String,
    found: RefCell<Vec<(At, Diagnostic)>>,
}

impl Report {
    pub(crate) fn new(file: String, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, line_starts, text, found: RefCell::default() }
    }

    pub(crate) fn place(&self, at: At) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= at.0).max(1);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..at.0).map_or(1, |before| before.chars().count() + 1);
        Place { file: self.file.clone(), line, column }
    }

    pub(crate) fn error(&self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, at, message.into(), help.into());
    }

    pub(crate) fn warning(&self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, at, message.into(), help.into());
    }

    fn add(&self, severity: Severity, at: At, message: String, help: String) {
        let place = Some(self.place(at));
        self.found.borrow_mut().push((at, Diagnostic { severity, message, place, help: Some(help) }));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(|(_, diagnostic)| diagnostic.severity == Severity::Error)
    }

    /// All messages, in the file's order.
    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }
}

/// `` `a`, `b`, `c` ``, or `none`.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// The name that the writer may have meant, where one is near enough.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (wanted.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(wanted, name), name))
        .filter(|(far, _)| *far <= bound)
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let report = Report::new("f".into(), "a = 1\nß = \"é\" x\n".into());
        let cases = [(0, (1, 1)), (4, (1, 5)), (6, (2, 1)), (8, (2, 2)), (17, (2, 10)), (18, (3, 1))];
        for (at, (line, column)) in cases {
            let place = report.place(At(at));
            assert_eq!((place.line, place.column), (line, column), "offset {at}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("audience", ["audiences", "algorithms"]), Some("audiences"));
        assert_eq!(nearest("upsteam", ["upstream", "host"]), Some("upstream"));
        assert_eq!(nearest("zzz", ["upstream", "host"]), None);
    }

    #[test]
    fn control_characters_of_a_value_do_not_reach_the_terminal() {
        let text = Diagnostic::error("value `\u{1b}[31m\u{202e}`", "mend it").render(Paint::plain());
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }
}
