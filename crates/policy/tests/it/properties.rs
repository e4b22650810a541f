//! Against straightforward readings of the same rules.

use crate::rig::*;
use airgate_policy::{Grant, Policy, Role};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Strings only, from the left: shares nothing with the code it checks.
fn reference_path(pattern: &str, path: &str) -> bool {
    fn cut(text: &str) -> (&str, &str) {
        let text = &text[1..];
        text.find('/').map_or((text, ""), |at| text.split_at(at))
    }
    fn matches(pattern: &str, path: &str) -> bool {
        if pattern == "/**" {
            return true;
        }
        if pattern.is_empty() || path.is_empty() {
            return pattern.is_empty() && path.is_empty();
        }
        let ((expected, pattern), (found, path)) = (cut(pattern), cut(path));
        let fits = if expected == "*" { !found.is_empty() } else { expected == found };
        fits && matches(pattern, path)
    }
    matches(&pattern.to_ascii_lowercase(), &path.to_ascii_lowercase())
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[aAb]{1,2}", 2 => Just("*".to_owned()), 1 => Just("s0".to_owned())];
    (prop::collection::vec(segment, 0..5), 0..4_u8).prop_map(|(segments, end)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        match end {
            0 => format!("{path}/**"),
            1 => format!("{path}/"),
            _ if path.is_empty() => "/".to_owned(),
            _ => path,
        }
    })
}

fn path() -> impl Strategy<Value = String> {
    (prop::collection::vec("[aAb]{1,2}|s0|%2A", 0..6), any::<bool>()).prop_map(|(segments, slash)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        if slash || path.is_empty() { format!("{path}/") } else { path }
    })
}

/// Claims and values are few, so that grants overlap, agree and disagree.
fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let values = prop::collection::vec("[12]", 1..3);
    let conditions = prop::collection::btree_map("[pqr]", values, 1..4);
    let grant = (conditions, "[xy]", "[mn]", prop::option::of("[uv]"));
    prop::collection::vec(grant, 0..8).prop_map(|grants| {
        let named = grants.into_iter().enumerate();
        named
            .map(|(at, (conditions, issuer, role, windows_identity))| Grant {
                name: format!("g{at}"),
                issuer,
                conditions,
                role,
                windows_identity,
            })
            .collect()
    })
}

fn two_roles() -> Vec<Role> {
    vec![
        role("m", vec![allow("one", &["GET"], &["/a"]), allow("two", &["*"], &["/**"])]),
        role("n", vec![allow("one", &["GET", "POST"], &["/a", "/b"])]),
    ]
}

fn reference_outcome(
    grants: &[Grant],
    issuer: &str,
    claims: &BTreeMap<String, String>,
    ask: (&str, &str, &str),
) -> String {
    let holding = |grant: &&Grant| {
        grant.issuer == issuer
            && grant.conditions.iter().all(|(claim, values)| claims.get(claim).is_some_and(|v| values.contains(v)))
    };
    let allows = |grant: &&Grant| {
        let (route, method, path) = ask;
        match grant.role.as_str() {
            "m" => route == "two" || ask == ("one", "GET", "/a"),
            _ => route == "one" && ["GET", "POST"].contains(&method) && ["/a", "/b"].contains(&path),
        }
    };
    let held: Vec<&Grant> = grants.iter().filter(holding).collect();
    let mut permits: Vec<&&Grant> = held.iter().filter(|grant| allows(grant)).collect();
    permits.sort_by_key(|grant| &grant.name);
    match permits.first() {
        None if held.is_empty() => "no_grant".to_owned(),
        None => "not_in_role".to_owned(),
        Some(first) if permits.iter().all(|g| g.windows_identity == first.windows_identity) => first.name.clone(),
        Some(_) => "ambiguous_identity".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// INVARIANT: Cedar permits a path exactly where one of the patterns matches it.
    #[test]
    fn paths_match_as_the_reference_says(
        patterns in prop::collection::vec(pattern(), 1..4),
        paths in prop::collection::vec(path(), 1..24),
    ) {
        let texts: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let roles = vec![role("r", vec![allow("x", &["GET"], &texts)])];
        let policy = compiled(roles, vec![grant("g", &[("dag_id", &["d"])], "r", None)], vec![]);
        let token = job("d", "t");
        // Each pattern's own text is a path too, and near to matching.
        let near = patterns.iter().map(|pattern| pattern.replace("**", "a").replace('*', "b"));
        for path in paths.iter().cloned().chain(near) {
            let expected = patterns.iter().any(|pattern| reference_path(pattern, &path));
            let decision = decide(&policy, &token, "x", "GET", &path);
            prop_assert_eq!(outcome(&decision), if expected { "g" } else { "not_in_role" }, "{:?} {}", patterns, path);
        }
    }

    /// INVARIANT: slicing by route, issuer and claim loses no grant and adds none, whatever the order of the grants.
    #[test]
    fn grants_hold_as_the_reference_says(
        grants in grants(),
        issuer in "[xy]",
        claims in prop::collection::btree_map("[pqr]", "[12]", 0..4),
        turn in 0..8_usize,
    ) {
        let values: Map<String, Value> = claims.iter().map(|(claim, value)| (claim.clone(), json!(value))).collect();
        let token = airgate_testkit::verified(&issuer, "client", Value::Object(values));
        let policy = compiled(two_roles(), grants.clone(), vec![]);
        let mut turned = grants.clone();
        turned.rotate_left(if grants.is_empty() { 0 } else { turn % grants.len() });
        let other = compiled(two_roles(), turned, vec![]);
        for ask in [("one", "GET", "/a"), ("one", "POST", "/a"), ("one", "GET", "/b"), ("two", "PUT", "/z"), ("two", "GET", "/a")] {
            let (route, method, path) = ask;
            let decision = decide(&policy, &token, route, method, path);
            prop_assert_eq!(outcome(&decision), reference_outcome(&grants, &issuer, &claims, ask), "{:?}", ask);
            prop_assert_eq!(format!("{decision:?}"), format!("{:?}", decide(&other, &token, route, method, path)));
        }
    }

    #[test]
    fn never_panics(route in ".{0,8}", method in ".{0,8}", path in "/?.{0,40}") {
        let roles = vec![role("r", vec![allow("x", &["GET"], &["/a/*/b/**"])])];
        let policy = compiled(roles, vec![grant("g", &[("dag_id", &["d"])], "r", None)], vec![]);
        let _ = decide(&policy, &job("d", "t"), &route, &method, &path);
    }

    #[test]
    fn patterns_never_panic(pattern in ".{0,24}") {
        let roles = vec![role("r", vec![allow("x", &["GET"], &[&pattern])])];
        let _ = Policy::compile(roles, vec![], vec![]);
    }
}
