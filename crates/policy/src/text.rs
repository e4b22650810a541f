//! Values in messages.

use serde_json::Value;
use std::borrow::Cow;

/// How many grants, roles or values a message lists before it says how many more there are.
const LISTED_MAX: usize = 5;
const CHARS_MAX: usize = 200;

/// A claim as grants compare it: strings as they are, integers and booleans by their JSON text. Nothing else compares.
pub(crate) fn claim_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(Cow::Owned(number.to_string())),
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value that a peer chose: control characters escaped (no forged lines), cut short.
pub(crate) fn shown(value: &str) -> String {
    let escaped = |c: char| (c != '\'').then(|| c.escape_debug()).into_iter().flatten().chain((c == '\'').then_some(c));
    let mut cut: String = value.chars().take(CHARS_MAX).flat_map(escaped).collect();
    if value.chars().nth(CHARS_MAX).is_some() {
        cut.push('…');
    }
    // `escape_debug` also escapes quotes, which is what a TOML string wants.
    cut
}

/// All that grants compare of an attribute: its text, or that of each member of a list. `None` where any part of it does not
/// compare: a list that is understood in part would be matched in part.
pub(crate) fn claim_texts(value: &Value) -> Option<Vec<Cow<'_, str>>> {
    match value {
        Value::Array(items) => items.iter().map(claim_text).collect(),
        one => claim_text(one).map(|text| vec![text]),
    }
}

/// "`a`, `b` and 3 more".
pub(crate) fn list<I: IntoIterator<Item = String>>(items: I) -> String {
    let items: Vec<String> = items.into_iter().collect();
    let more = items.len().saturating_sub(LISTED_MAX);
    let shown = items[..items.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// `["a", "b"]` as TOML writes it.
pub(crate) fn toml_array<'a, I: IntoIterator<Item = &'a str>>(items: I) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", shown(item))).collect();
    format!("[{}]", items.join(", "))
}
