//! Reads tables key by key against their schema, and reports instead of stopping: wrong types, bad values, absent and unknown
//! keys are all told at once, each at its place.

use super::{
    report::{At, Report, listed, nearest},
    schema::{Absent, Kind, Schema},
    units,
};
use airgate_identity::ClaimPath;
use std::{cell::RefCell, collections::BTreeSet, time::Duration};
use toml_edit::{Item, Key, TableLike, Value};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

impl<T> Placed<T> {
    pub(crate) fn new(value: T, at: At) -> Self {
        Self { value, at }
    }
}

/// One table under reading.
pub(crate) struct Section<'a> {
    /// For messages: `` route `payroll` ``.
    pub(crate) label: String,
    /// The name in the configuration, for named sections.
    pub(crate) name: String,
    /// Where it starts: absent keys are told here.
    pub(crate) at: At,
    pub(crate) report: &'a Report,
    schema: &'static Schema,
    table: &'a dyn TableLike,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// Where an item starts; tables made by dotted keys have no place of their own, their key has.
pub(crate) fn at_of(key: Option<&Key>, item: &Item) -> At {
    let own = match item {
        Item::Value(_) => item.span(),
        _ => None,
    };
    let span = own.or_else(|| key.and_then(Key::span)).or_else(|| item.span());
    At(span.map_or(0, |span| span.start))
}

/// The kind of value that an item holds, in TOML's words.
fn kind_of(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Table(_) | Item::Value(Value::InlineTable(_)) => "a table",
        Item::ArrayOfTables(_) | Item::Value(Value::Array(_)) => "a list",
        Item::Value(Value::String(_)) => "a text",
        Item::Value(Value::Integer(_)) => "a whole number",
        Item::Value(Value::Float(_)) => "a number with a fraction",
        Item::Value(Value::Boolean(_)) => "a boolean",
        Item::Value(Value::Datetime(_)) => "a date or time",
    }
}

impl<'a> Section<'a> {
    /// Reports and gives none where the item is no table.
    pub(crate) fn open(
        report: &'a Report,
        schema: &'static Schema,
        label: String,
        name: &str,
        at: At,
        item: &'a Item,
    ) -> Option<Self> {
        let Some(table) = item.as_table_like() else {
            report.error(
                at,
                format!("{label}: expected a table, found {}", kind_of(item)),
                format!("write it as `[{}]`", schema.name),
            );
            return None;
        };
        Some(Self { label, name: name.to_owned(), at, report, schema, table, asked: RefCell::default() })
    }

    pub(crate) fn error(&self, at: At, message: impl std::fmt::Display, help: impl Into<String>) {
        self.report.error(at, self.says(&message), help);
    }

    pub(crate) fn warning(&self, at: At, message: impl std::fmt::Display, help: impl Into<String>) {
        self.report.warning(at, self.says(&message), help);
    }

    fn says(&self, message: &dyn std::fmt::Display) -> String {
        if self.label.is_empty() { message.to_string() } else { format!("{}: {message}", self.label) }
    }

    fn wrong_type(&self, key: &str, at: At, expected: &str, item: &Item) {
        let help = match self.schema.field(key).absent {
            Absent::Refused(example) => format!("for example `{key} = {example}`"),
            Absent::Means(default) => format!("without it, `{default}` holds"),
            Absent::Told(_) => format!("write {expected}"),
        };
        self.error(at, format!("`{key}` must be {expected}, not {}", kind_of(item)), help);
    }

    /// The item of a key; tells of an absent one that must be there.
    pub(crate) fn item(&self, key: &'static str) -> Option<(At, &'a Item)> {
        let field = self.schema.field(key);
        self.asked.borrow_mut().insert(field.key);
        let found = self.table.get_key_value(key).filter(|(_, item)| !item.is_none());
        if found.is_none()
            && let Absent::Refused(example) = field.absent
        {
            let about = field.about.trim_end_matches('.');
            let help = match field.kind {
                Kind::Table(section) if !section.ends_with("[]") => format!("add a section `[{section}]`: {about}"),
                _ => format!("add `{key} = {example}`: {about}"),
            };
            self.error(self.at, format!("`{key}` is missing"), help);
        }
        found.map(|(key, item)| (at_of(Some(key), item), item))
    }

    /// Where a key stands; the section's own place where it is absent.
    pub(crate) fn place(&self, key: &str) -> At {
        self.table.get_key_value(key).map_or(self.at, |(key, item)| at_of(Some(key), item))
    }

    /// The keys that the file gives.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        self.schema.fields.iter().map(|field| field.key).filter(|key| self.has(key)).collect()
    }

    /// The names that lead to a claim: a text with a `.` between two names, or a list of names. None where absent or wrong.
    pub(crate) fn claim_path(&self, key: &'static str) -> Option<Placed<ClaimPath>> {
        let (at, item) = self.item(key)?;
        self.read_claim_path(key, at, item)
    }

    /// As `claim_path`, of any item.
    pub(crate) fn read_claim_path(&self, key: &str, at: At, item: &Item) -> Option<Placed<ClaimPath>> {
        let names: Option<Vec<String>> = match item {
            Item::Value(Value::String(text)) => claim_names(text.value()),
            Item::Value(Value::Array(list)) => list.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let path = names.and_then(ClaimPath::new);
        if path.is_none() {
            let help = "write `\"roles\"`, `\"realm_access.roles\"`, or a list of names where a name holds a `.`: `[\"kubernetes.io\", \"namespace\"]`";
            self.error(at, format!("`{key}` does not lead to a claim"), help);
        }
        path.map(|path| Placed::new(path, at))
    }

    /// The tables of a list of tables, inline or not, each read by `schema`. None where absent or wrong.
    pub(crate) fn list(&self, key: &'static str, schema: &'static Schema, example: &str) -> Option<Vec<Section<'a>>> {
        let (at, item) = self.item(key)?;
        let Some(entries) = tables_of(item) else {
            self.error(at, format!("`{key}` must be a list of tables"), format!("write `{key} = {example}`"));
            return None;
        };
        let label = format!("{}, `{key}`", self.label);
        let open = |(at, table)| Section {
            label: label.clone(),
            name: self.name.clone(),
            at,
            report: self.report,
            schema,
            table,
            asked: RefCell::default(),
        };
        Some(entries.into_iter().map(open).collect())
    }

    /// True where the file gives the key, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|item| !item.is_none())
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<Placed<String>> {
        let (at, item) = self.item(key)?;
        let Some(text) = item.as_str() else {
            self.wrong_type(key, at, "a text", item);
            return None;
        };
        self.checked_text(key, at, text)
    }

    fn checked_text(&self, key: &str, at: At, text: &str) -> Option<Placed<String>> {
        if text.is_empty() || text.len() > 4096 || text.chars().any(char::is_control) {
            let why =
                if text.is_empty() { "is empty" } else { "is longer than 4096 bytes or holds a control character" };
            self.error(at, format!("`{key}` {why}"), "give it a plain text");
            return None;
        }
        Some(Placed::new(text.to_owned(), at))
    }

    /// One text or a list of them, never an empty list. None where absent or wrong.
    pub(crate) fn texts(&self, key: &'static str) -> Option<Vec<Placed<String>>> {
        let (at, item) = self.item(key)?;
        let all: Vec<Placed<String>> = match item {
            Item::Value(Value::String(text)) => self.checked_text(key, at, text.value()).into_iter().collect(),
            Item::Value(Value::Array(list)) => {
                if list.is_empty() {
                    self.error(
                        at,
                        format!("`{key}` is an empty list"),
                        "name at least one, or leave the key out where it may be absent",
                    );
                }
                list.iter().filter_map(|value| self.listed_text(key, value)).collect()
            }
            _ => {
                self.wrong_type(key, at, "a text or a list of texts", item);
                return None;
            }
        };
        (!all.is_empty()).then_some(all)
    }

    fn listed_text(&self, key: &'static str, value: &Value) -> Option<Placed<String>> {
        let at = At(value.span().map_or(0, |span| span.start));
        match value.as_str() {
            Some(text) => self.checked_text(key, at, text),
            None => {
                self.wrong_type(key, at, "a list of texts", &Item::Value(value.clone()));
                None
            }
        }
    }

    /// One of the schema's words, or its default.
    pub(crate) fn word(&self, key: &'static str) -> Option<Placed<&'static str>> {
        let Kind::OneOf(words) = self.schema.field(key).kind else { return None };
        if !self.has(key) && matches!(self.schema.field(key).absent, Absent::Told(_)) {
            self.item(key);
            return None;
        }
        if !self.has(key)
            && let Absent::Means(default) = self.schema.field(key).absent
        {
            self.item(key);
            return words.iter().find(|word| **word == default).map(|word| Placed::new(*word, self.at));
        }
        let text = self.text(key)?;
        self.known_word(key, &text, words)
    }

    /// Some of the schema's words, or none where absent or wrong.
    pub(crate) fn words(&self, key: &'static str) -> Option<Vec<Placed<&'static str>>> {
        let Kind::SomeOf(words) = self.schema.field(key).kind else { return None };
        let texts = self.texts(key)?;
        Some(texts.iter().filter_map(|text| self.known_word(key, text, words)).collect())
    }

    fn known_word(
        &self,
        key: &str,
        text: &Placed<String>,
        words: &'static [&'static str],
    ) -> Option<Placed<&'static str>> {
        let found = words.iter().find(|word| **word == text.value);
        if found.is_none() {
            self.error(
                text.at,
                format!("`{key}`: unknown value `{}`", text.value),
                format!("known: {}", listed(words.iter().copied())),
            );
        }
        found.map(|word| Placed::new(*word, text.at))
    }

    pub(crate) fn flag(&self, key: &'static str) -> Option<Placed<bool>> {
        let (at, item) = self.item(key)?;
        let Some(value) = item.as_bool() else {
            self.wrong_type(key, at, "`true` or `false`", item);
            return None;
        };
        Some(Placed::new(value, at))
    }

    /// The key's value, or the schema's default; the default too where the value is wrong (an error is on record then).
    pub(crate) fn duration(&self, key: &'static str) -> Duration {
        let Absent::Means(default) = self.schema.field(key).absent else { return Duration::ZERO };
        self.duration_or(key, units::duration(default).expect("the schema's defaults are valid"))
    }

    /// As `duration`, with a default that depends on other keys.
    pub(crate) fn duration_or(&self, key: &'static str, default: Duration) -> Duration {
        let Kind::Duration(shortest, longest) = self.schema.field(key).kind else { return default };
        let Some((at, item)) = self.item(key) else { return default };
        let Some(text) = item.as_str() else {
            let help = format!("write a number with its unit, from `\"{shortest}\"` to `\"{longest}\"`");
            self.error(at, format!("`{key}` must be a duration in quotes, not {}", kind_of(item)), help);
            return default;
        };
        let Some(value) = units::duration(text) else {
            let help = "write a whole number and a unit: `\"500ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`";
            self.error(at, format!("`{key}`: `{text}` is no duration"), help);
            return default;
        };
        let bound = |text| units::duration(text).expect("the schema's bounds are valid");
        if value < bound(shortest) || value > bound(longest) {
            self.error(
                at,
                format!("`{key}`: `{text}` is out of bounds"),
                format!("choose from `{shortest}` to `{longest}`"),
            );
            return default;
        }
        value
    }

    /// A size in bytes or a plain count, by the schema's kind; the default where absent or wrong.
    pub(crate) fn number(&self, key: &'static str) -> u64 {
        let Absent::Means(default) = self.schema.field(key).absent else { return 0 };
        self.number_or(key, units::size(default).expect("the schema's defaults are valid"))
    }

    /// As `number`, with a default from elsewhere.
    pub(crate) fn number_or(&self, key: &'static str, default: u64) -> u64 {
        let (least, most, is_size) = match self.schema.field(key).kind {
            Kind::Size(least, most) => (least, most, true),
            Kind::Count(least, most) => (least, most, false),
            _ => return default,
        };
        let Some((at, item)) = self.item(key) else { return default };
        let value = match item {
            Item::Value(Value::Integer(number)) => u64::try_from(*number.value()).ok(),
            Item::Value(Value::String(text)) if is_size => units::size(text.value()),
            _ => {
                let expected = if is_size { "a number of bytes or a text such as \"64KiB\"" } else { "a whole number" };
                self.wrong_type(key, at, expected, item);
                return default;
            }
        };
        match value {
            Some(value) if (least..=most).contains(&value) => value,
            _ => {
                let shown = item.to_string();
                let help = if is_size {
                    format!("choose from `{}` to `{}`", units::show_size(least), units::show_size(most))
                } else {
                    format!("choose from `{least}` to `{most}`")
                };
                self.error(at, format!("`{key}`: `{}` is out of bounds or no such number", shown.trim()), help);
                default
            }
        }
    }

    /// The tables of a table, or of a list of tables.
    pub(crate) fn sections(&self, key: &'static str, schema: &'static Schema, label: &str) -> Vec<Section<'a>> {
        let Some((at, item)) = self.item(key) else { return Vec::new() };
        let Some(table) = item.as_table_like() else {
            self.wrong_type(key, at, "a table of named tables", item);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (name, item) in table.iter() {
            let at = at_of(table.key(name), item);
            if !is_name(name) {
                let help = "use letters, digits, `-`, `_` and `.`, at most 64 of them";
                self.report.error(at, format!("{label} `{name}`: not a name"), help);
                continue;
            }
            all.extend(Section::open(self.report, schema, format!("{label} `{name}`"), name, at, item));
        }
        if all.is_empty() && matches!(self.schema.field(key).absent, Absent::Refused(_)) && !self.report.has_errors() {
            self.report.error(at, format!("no {label} is declared"), format!("add a section `[{}]`", schema.name));
        }
        all
    }

    /// A table of its own under a key.
    pub(crate) fn section(&self, key: &'static str, schema: &'static Schema) -> Option<Section<'a>> {
        let (at, item) = self.item(key)?;
        let label = if self.label.is_empty() { format!("`{key}`") } else { format!("{}, `{key}`", self.label) };
        Section::open(self.report, schema, label, &self.name, at, item)
    }

    /// Tells of every key that the schema does not know. INVARIANT: every key of the schema was asked for.
    pub(crate) fn finish(self) {
        let asked = self.asked.borrow();
        for field in self.schema.fields {
            debug_assert!(asked.contains(field.key), "`{}` of `{}` is never read", field.key, self.schema.name);
        }
        for (name, item) in self.table.iter() {
            if item.is_none() || self.schema.fields.iter().any(|field| field.key == name) {
                continue;
            }
            let at = self.table.key(name).and_then(Key::span).map_or(self.at, |span| At(span.start));
            let known = || self.schema.fields.iter().map(|field| field.key);
            let help = match nearest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", listed(known())),
            };
            self.error(at, format!("unknown key `{name}`"), help);
        }
    }
}

/// The tables of an array, inline or not. None where it holds anything else.
fn tables_of(item: &Item) -> Option<Vec<(At, &dyn TableLike)>> {
    let start = |span: Option<std::ops::Range<usize>>| At(span.map_or(0, |span| span.start));
    match item {
        Item::ArrayOfTables(tables) => {
            Some(tables.iter().map(|table| (start(table.span()), table as &dyn TableLike)).collect())
        }
        Item::Value(Value::Array(list)) => list
            .iter()
            .map(|value| value.as_inline_table().map(|table| (start(value.span()), table as &dyn TableLike)))
            .collect(),
        _ => None,
    }
}

/// A text with dots between names. None where dots may belong to a name: nothing is guessed.
fn claim_names(text: &str) -> Option<Vec<String>> {
    let is_ambiguous = text.contains('.') && (text.contains(['/', ':']) || text.starts_with("kubernetes.io"));
    (!is_ambiguous).then(|| text.split('.').map(str::to_owned).collect())
}

/// Names go into logs, metrics and policies: plain characters only.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
