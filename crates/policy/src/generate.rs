//! A grant as Cedar policies, built as syntax trees: no value ever passes through Cedar's grammar.

use crate::{
    Grant, METHODS,
    compile::CompiledAllow,
    pattern::{Pattern, Segment},
};
use cedar_policy::{Policy, PolicyId};
use serde_json::{Value, json};

pub(crate) const PRINCIPAL: &str = "Airgate::Principal";
pub(crate) const ACTION: &str = "Airgate::Action";
pub(crate) const ROUTE: &str = "Airgate::Route";

/// The attribute of `context.segments` for a position.
pub(crate) fn segment_name(position: usize) -> String {
    format!("s{position}")
}

/// One policy: what `allow` of the grant's role permits.
///
/// # Errors
/// Cedar's own words, for what can't be expressed.
pub(crate) fn policy(id: PolicyId, grant: &Grant, allow: &CompiledAllow) -> Result<Policy, String> {
    let methods: &[&str] = &METHODS;
    let actions: Vec<Value> = methods
        .iter()
        .filter(|method| allow.any_method || allow.methods.iter().any(|allowed| allowed == *method))
        .map(|method| json!({ "type": ACTION, "id": method }))
        .collect();
    let mut conditions = vec![equal(&attribute(&variable("context"), "issuer"), &value(&grant.issuer))];
    let claims = attribute(&variable("context"), "claims");
    for (claim, accepted) in &grant.conditions {
        // Cedar errors on an attribute that is not there; `has` first, and `&&` looks no further.
        conditions.push(json!({ "has": { "left": claims, "attr": claim } }));
        let accepted: Vec<Value> = accepted.iter().map(|one| value(one)).collect();
        conditions.push(json!({ "containsAny": { "left": attribute(&claims, claim), "right": { "Set": accepted } } }));
    }
    let paths = balanced("||", allow.patterns.iter().map(path).collect());
    let policy = json!({
        "effect": "permit",
        "principal": { "op": "All" },
        "action": { "op": "in", "entities": actions },
        "resource": { "op": "==", "entity": { "type": ROUTE, "id": allow.route } },
        "conditions": [
            { "kind": "when", "body": balanced("&&", conditions) },
            { "kind": "when", "body": paths },
        ],
    });
    Policy::from_json(Some(id), policy).map_err(|error| error.to_string())
}

/// INVARIANT: the depth is compared before any segment is looked at, so a shorter path never reaches an attribute that
/// is not there, and a longer one never matches by its beginning.
fn path(pattern: &Pattern) -> Value {
    let depth = attribute(&variable("context"), "depth");
    let expected = json!({ "Value": pattern.segments.len() });
    let segments = attribute(&variable("context"), "segments");
    let mut tests = vec![if pattern.open_end {
        json!({ ">=": { "left": depth, "right": expected } })
    } else {
        equal(&depth, &expected)
    }];
    for (position, segment) in pattern.segments.iter().enumerate() {
        let found = attribute(&segments, &segment_name(position));
        tests.push(match segment {
            Segment::Literal(text) => equal(&found, &value(text)),
            Segment::Any => json!({ "!=": { "left": found, "right": value("") } }),
        });
    }
    balanced("&&", tests)
}

fn variable(name: &str) -> Value {
    json!({ "Var": name })
}

fn value(text: &str) -> Value {
    json!({ "Value": text })
}

fn attribute(of: &Value, name: &str) -> Value {
    json!({ ".": { "left": of, "attr": name } })
}

fn equal(left: &Value, right: &Value) -> Value {
    json!({ "==": { "left": left, "right": right } })
}

/// A tree as flat as it can be: Cedar bounds the depth of what it evaluates. Left operands are still tested first.
fn balanced(operator: &str, mut operands: Vec<Value>) -> Value {
    match operands.len() {
        0 => json!({ "Value": operator == "&&" }),
        1 => operands.swap_remove(0),
        count => {
            let right = balanced(operator, operands.split_off(count / 2));
            let left = balanced(operator, operands);
            json!({ operator: { "left": left, "right": right } })
        }
    }
}
