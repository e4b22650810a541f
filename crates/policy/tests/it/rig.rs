//! Short ways to say what a test is about.

use airgate_identity::VerifiedToken;
use airgate_policy::{AccessRequest, Allow, Decision, Denial, Grant, Permit, Policy, PolicyFile, Role};
use serde_json::json;

pub(crate) fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

pub(crate) fn allow(route: &str, methods: &[&str], paths: &[&str]) -> Allow {
    Allow { route: route.to_owned(), methods: strings(methods), paths: strings(paths) }
}

pub(crate) fn role(name: &str, allow: Vec<Allow>) -> Role {
    Role { name: name.to_owned(), allow }
}

pub(crate) fn grant(name: &str, conditions: &[(&str, &[&str])], role: &str, identity: Option<&str>) -> Grant {
    Grant {
        name: name.to_owned(),
        issuer: "airflow".to_owned(),
        conditions: conditions.iter().map(|(claim, values)| ((*claim).to_owned(), strings(values))).collect(),
        role: role.to_owned(),
        windows_identity: identity.map(str::to_owned),
    }
}

pub(crate) fn file(name: &str, text: &str) -> PolicyFile {
    PolicyFile { name: name.to_owned(), text: text.to_owned() }
}

pub(crate) fn compiled(roles: Vec<Role>, grants: Vec<Grant>, files: Vec<PolicyFile>) -> Policy {
    Policy::compile(roles, grants, files).expect("a policy that compiles")
}

pub(crate) fn job(dag_id: &str, task_id: &str) -> VerifiedToken {
    let claims = json!({ "dag_id": dag_id, "task_id": task_id, "run_id": "r1", "map_index": -1, "try_number": 1 });
    airgate_testkit::verified("airflow", "task", claims)
}

pub(crate) fn decide(policy: &Policy, token: &VerifiedToken, route: &str, method: &str, path: &str) -> Decision {
    policy.decide(&AccessRequest { token, route, method, path })
}

pub(crate) fn permit(decision: Decision) -> Permit {
    match decision {
        Decision::Permit(permit) => permit,
        Decision::Deny(denial) => panic!("denied: {denial:?}"),
    }
}

pub(crate) fn denial(decision: Decision) -> Denial {
    match decision {
        Decision::Permit(permit) => panic!("permitted: {permit:?}"),
        Decision::Deny(denial) => denial,
    }
}

/// `grant` or the denial's code.
pub(crate) fn outcome(decision: &Decision) -> &str {
    match decision {
        Decision::Permit(permit) => permit.grant(),
        Decision::Deny(denial) => denial.code,
    }
}
