//! Where in a token's claims a value is, and what it must be.

use crate::error::{Fault, shown, shown_value};
use serde_json::{Map, Value};
use std::fmt;

/// Names of members, from the outside in: `["realm_access", "roles"]`. Never empty.
///
/// A list of names rather than one text, because claims have dots and slashes in their names (`kubernetes.io`,
/// `https://sts.amazonaws.com/`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// Deeper paths are refused.
    pub const DEPTH_MAX: usize = 8;

    /// From names, as a configuration lists them. None where there is none, an empty one, or too many.
    #[must_use]
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(names: I) -> Option<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let is_good = (1..=Self::DEPTH_MAX).contains(&names.len()) && names.iter().all(|name| !name.is_empty());
        is_good.then_some(Self(names))
    }

    /// One name, at the top.
    pub(crate) fn top(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The value there, if all on the way are objects.
    #[must_use]
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }

    /// The outermost name.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" › "))
    }
}

/// What a claim must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Where it is.
    pub claim: ClaimPath,
    /// What it must be.
    pub must: Must,
}

/// Compared by text: strings as they are, whole numbers and booleans by their JSON text. A list fulfils it where one of its
/// members does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Must {
    /// It is there, whatever its value, but not `null` and not empty.
    Exist,
    /// It is this.
    Equal(String),
    /// It is one of these.
    BeOneOf(Vec<String>),
    /// It begins so.
    StartWith(String),
}

impl Requirement {
    pub(crate) fn new(claim: ClaimPath, must: Must) -> Self {
        Self { claim, must }
    }

    /// # Errors
    /// What is there instead.
    pub(crate) fn check(&self, issuer: &str, claims: &Map<String, Value>) -> Result<(), Fault> {
        let refused = |problem: String| Fault::ClaimRefused {
            issuer: issuer.to_owned(),
            problem: format!("`{}` {problem}", self.claim),
        };
        let Some(value) = self.claim.find(claims).filter(|value| !value.is_null()) else {
            return Err(refused("is missing".to_owned()));
        };
        let holds = match value {
            Value::Array(items) => items.iter().any(|item| self.must.holds(item)),
            one => self.must.holds(one),
        };
        if holds { Ok(()) } else { Err(refused(format!("is {}, {}", shown_value(value), self.must))) }
    }
}

impl Must {
    /// In words, after the claim's name: `is "access"`.
    #[must_use]
    pub fn wanted(&self) -> String {
        match self {
            Self::Exist => "is there".to_owned(),
            Self::Equal(value) => format!("is {}", shown(value)),
            Self::BeOneOf(all) => {
                format!("is one of {}", all.iter().map(|one| shown(one)).collect::<Vec<_>>().join(", "))
            }
            Self::StartWith(start) => format!("starts with {}", shown(start)),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        let text = scalar(value);
        match self {
            Self::Exist => match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Object(members) => !members.is_empty(),
                Value::Array(_) | Value::Bool(_) | Value::Number(_) => true,
            },
            Self::Equal(expected) => text.is_some_and(|text| text == *expected),
            Self::BeOneOf(all) => text.is_some_and(|text| all.contains(&text)),
            Self::StartWith(start) => text.is_some_and(|text| text.starts_with(start.as_str())),
        }
    }
}

impl fmt::Display for Must {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exist => f.write_str("which is empty"),
            Self::Equal(value) => write!(f, "not {}", shown(value)),
            Self::BeOneOf(all) => {
                let some: Vec<String> = all.iter().take(5).map(|one| shown(one)).collect();
                let more = if all.len() > 5 { format!(" or {} more", all.len() - 5) } else { String::new() };
                write!(f, "none of {}{more}", some.join(", "))
            }
            Self::StartWith(start) => write!(f, "which does not start with {}", shown(start)),
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The value of an attribute: a text, a whole number, a boolean, or a list of them.
///
/// # Errors
/// The claim has another type: half of a list must match no rule.
pub(crate) fn attribute(path: &ClaimPath, claims: &Map<String, Value>) -> Result<Option<Value>, Fault> {
    let is_scalar = |value: &Value| scalar(value).is_some();
    match path.find(claims) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) if items.iter().all(is_scalar) => Ok(Some(Value::Array(items.clone()))),
        Some(value) if is_scalar(value) => Ok(Some(value.clone())),
        Some(_) => Err(Fault::ClaimsMalformed {
            problem: format!("`{path}` is neither a text, a whole number, a boolean nor a list of them"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn holds(must: Must, value: Value) -> bool {
        let requirement = Requirement::new(ClaimPath::of(&["a", "b.c"]), must);
        requirement.check("x", &claims(json!({ "a": { "b.c": value } }))).is_ok()
    }

    #[test]
    fn finds_values_by_names_that_hold_dots_and_slashes() {
        let all = claims(json!({ "kubernetes.io": { "pod": { "name": "p" } }, "https://x/": { "a.b": 1 }, "s": "t" }));
        let find = |names: &[&str]| ClaimPath::of(names).find(&all).cloned();
        assert_eq!(find(&["kubernetes.io", "pod", "name"]), Some(json!("p")));
        assert_eq!(find(&["https://x/", "a.b"]), Some(json!(1)));
        assert_eq!(find(&["s"]), Some(json!("t")));
        for absent in [&["kubernetes", "io"][..], &["kubernetes.io", "node"], &["s", "t"], &["https://x/", "a", "b"]] {
            assert_eq!(find(absent), None, "{absent:?}");
        }
        assert_eq!(ClaimPath::new(Vec::<String>::new()), None);
        assert_eq!(ClaimPath::new(["a", ""]), None);
        assert_eq!(ClaimPath::new(vec!["a"; ClaimPath::DEPTH_MAX + 1]), None);
    }

    #[test]
    fn requirements_compare_whole_values_with_case() {
        let equal = |text: &str| Must::Equal(text.to_owned());
        let one_of = || Must::BeOneOf(vec!["x".to_owned(), "7".to_owned()]);
        let start = || Must::StartWith("repo:org/".to_owned());
        for (must, value, expected) in [
            (equal("x"), json!("x"), true),
            (equal("x"), json!("X"), false),
            (equal("x"), json!("x "), false),
            (equal("x"), json!(["y", "x"]), true),
            (equal("x"), json!([]), false),
            (equal("x"), json!([["x"]]), false),
            (equal("x"), json!({ "x": 1 }), false),
            (equal("true"), json!(true), true),
            (equal("7"), json!(7), true),
            (equal("7"), json!(7.0), false),
            (one_of(), json!(7), true),
            (one_of(), json!("xx"), false),
            (start(), json!("repo:org/app:ref"), true),
            (start(), json!("repo:org"), false),
            (start(), json!("REPO:ORG/app"), false),
            (start(), json!(7), false),
            (Must::Exist, json!(""), false),
            (Must::Exist, json!({}), false),
            (Must::Exist, json!(false), true),
            (Must::Exist, json!({ "name": "p" }), true),
            (Must::Exist, json!(null), false),
        ] {
            assert_eq!(holds(must.clone(), value.clone()), expected, "{must:?} {value}");
        }
        let absent = Requirement::new(ClaimPath::top("x"), equal("x")).check("x", &claims(json!({})));
        assert!(absent.is_err());
    }

    #[test]
    fn attributes_have_types() {
        let all = claims(json!({ "s": "t", "l": ["a", 1, true], "m": ["a", {}], "o": {}, "f": 1.5, "n": null }));
        let read = |name: &str| attribute(&ClaimPath::top(name), &all);
        assert_eq!(read("s"), Ok(Some(json!("t"))));
        assert_eq!(read("l"), Ok(Some(json!(["a", 1, true]))));
        assert_eq!((read("n"), read("absent")), (Ok(None), Ok(None)));
        for wrong in ["m", "o", "f"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
