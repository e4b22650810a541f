//! Why nothing was granted, and what would have to change. Never part of the decision itself.

use crate::{
    AccessRequest, Denial, Grant, Policy,
    compile::{CompiledAllow, CompiledRole},
    pattern::{self, Pattern, Segment},
    text::{claim_texts, list, shown, toml_array},
};
use airgate_identity::{Principal, VerifiedToken};

/// For a request that no grant permits.
pub(crate) fn denial(policy: &Policy, access: &AccessRequest<'_>) -> Denial {
    let mut holding = Vec::new();
    let mut near = Vec::new();
    for grant in policy.grants.iter().filter(|grant| grant.issuer == access.token.issuer()) {
        let mut failing = grant.conditions.iter().filter(|(claim, values)| !holds(access.token, claim, values));
        match (failing.next(), failing.next()) {
            (None, _) => holding.push(grant),
            // A grant that fails in its only condition is not near to anybody.
            (Some((claim, _)), None) if grant.conditions.len() > 1 => near.push((grant, claim.as_str())),
            (Some(_), _) => {}
        }
    }
    holding.sort_by(|one, other| one.name.cmp(&other.name));
    near.sort_by(|one, other| one.0.name.cmp(&other.0.name));
    if holding.is_empty() { no_grant(policy, access, &near) } else { not_in_role(policy, access, &holding) }
}

fn holds(token: &VerifiedToken, claim: &str, values: &[String]) -> bool {
    let found = token.attribute(claim).and_then(claim_texts).unwrap_or_default();
    found.iter().any(|found| values.iter().any(|value| value == found))
}

fn asked(access: &AccessRequest<'_>) -> String {
    format!("{} `{}` on route `{}`", shown(access.method), shown(access.path), shown(access.route))
}

/// (how people call it, how a grant's `where` names it)
fn principal(token: &VerifiedToken) -> (String, String) {
    match token.principal() {
        Principal::Job(job) => (
            format!("task `{}` of DAG `{}` (issuer `{}`)", shown(&job.task_id), shown(&job.dag_id), token.issuer()),
            format!("{{ dag_id = \"{}\", task_id = \"{}\" }}", shown(&job.dag_id), shown(&job.task_id)),
        ),
        Principal::Workload => (
            format!("`{}` (issuer `{}`)", shown(token.subject()), token.issuer()),
            format!("{{ sub = \"{}\" }}", shown(token.subject())),
        ),
    }
}

fn no_grant(policy: &Policy, access: &AccessRequest<'_>, near: &[(&Grant, &str)]) -> Denial {
    let (name, condition) = principal(access.token);
    let asked = asked(access);
    let public = format!("no grant names {name}, which asked for {asked}");
    let role = allowing_roles(policy, access).next().unwrap_or("<role>");
    let mut help = format!(
        "add a grant: `[grant.<name>]` with `issuer = \"{}\"`, `where = {condition}`, `role = \"{}\"`",
        access.token.issuer(),
        shown(role),
    );
    let misses = list(near.iter().map(|(grant, claim)| miss(access.token, grant, claim)));
    if !near.is_empty() {
        help = format!("{help}; or change the one that is close: {misses}");
    }
    let detail = if near.is_empty() {
        format!("{public}; no grant is close")
    } else {
        format!("{public}; grants that fail in one claim only: {misses}")
    };
    Denial { code: "no_grant", public, help, grant: near.first().map(|(grant, _)| grant.name.clone()), detail }
}

fn miss(token: &VerifiedToken, grant: &Grant, claim: &str) -> String {
    let accepted =
        grant.conditions.get(claim).map(|values| list(values.iter().map(|value| format!("`{}`", shown(value)))));
    let accepted = accepted.unwrap_or_default();
    let found = match token.attribute(claim).map(claim_texts) {
        None => "the token has none".to_owned(),
        Some(None) => "the token's is neither text, a whole number nor a list of them".to_owned(),
        Some(Some(found)) => {
            format!("the token says {}", list(found.iter().map(|one| format!("`{}`", shown(one)))))
        }
    };
    format!("grant `{}` accepts `{claim}` {accepted}, {found}", grant.name)
}

fn not_in_role(policy: &Policy, access: &AccessRequest<'_>, holding: &[&Grant]) -> Denial {
    let role_of = |grant: &Grant| policy.roles.get(&grant.role);
    let on_route = |grant: &&&Grant| role_of(grant).is_some_and(|role| allows(role, access.route).next().is_some());
    // One that speaks of the route at all comes closest.
    let closest = holding.iter().find(on_route).or(holding.first());
    let asked = asked(access);
    let gives = |grant: &&Grant| {
        let allowed = role_of(grant).map_or_else(String::new, |role| allowed(role, access.route));
        format!("grant `{}` gives role `{}`, which allows {allowed}", grant.name, grant.role)
    };
    let what = list(holding.iter().map(gives));
    let public = match closest {
        Some(grant) if holding.len() == 1 => {
            format!("grant `{}` gives role `{}`, which does not allow {asked}", grant.name, grant.role)
        }
        _ => format!("none of the {} grants that name this principal allows {asked}", holding.len()),
    };
    let entry = format!(
        "{{ route = \"{}\", methods = {}, paths = {} }}",
        shown(access.route),
        toml_array([access.method]),
        toml_array([access.path]),
    );
    let role = closest.map_or("<role>", |grant| grant.role.as_str());
    let others = list(allowing_roles(policy, access).map(|role| format!("`{role}`")));
    let or = if others.is_empty() { String::new() } else { format!(", or grant a role that allows it: {others}") };
    Denial {
        code: "not_in_role",
        help: format!("{what}; to allow this, add `{entry}` to `allow` of `[role.{role}]`{or}"),
        detail: format!("{public}; {what}"),
        public,
        grant: closest.map(|grant| grant.name.clone()),
    }
}

fn allows<'a>(role: &'a CompiledRole, route: &str) -> impl Iterator<Item = &'a CompiledAllow> {
    role.allow.iter().filter(move |allow| allow.route == route)
}

/// "GET, POST on /api/orders/**", or what it allows elsewhere.
fn allowed(role: &CompiledRole, route: &str) -> String {
    let entry = |allow: &CompiledAllow| {
        let methods = list(allow.methods.iter().cloned());
        let paths = list(allow.paths.iter().map(|path| format!("`{path}`")));
        format!("{methods} on {paths}")
    };
    let here: Vec<String> = allows(role, route).map(entry).collect();
    if here.is_empty() {
        let mut routes: Vec<&str> = role.allow.iter().map(|allow| allow.route.as_str()).collect();
        routes.sort_unstable();
        routes.dedup();
        return format!(
            "nothing on route `{route}` (only on {})",
            list(routes.into_iter().map(|name| format!("`{name}`")))
        );
    }
    here.join(" and ")
}

fn allowing_roles<'a>(policy: &'a Policy, access: &'a AccessRequest<'_>) -> impl Iterator<Item = &'a str> {
    let segments = pattern::split(access.path).unwrap_or_default();
    policy.roles.iter().filter_map(move |(name, role)| {
        let fits = |allow: &CompiledAllow| {
            (allow.any_method || allow.methods.iter().any(|method| method == access.method))
                && allow.patterns.iter().any(|pattern| fits(pattern, &segments))
        };
        allows(role, access.route).any(fits).then_some(name.as_str())
    })
}

/// For advice only: what Cedar decides is generated from the same pattern, not from this.
fn fits(pattern: &Pattern, segments: &[String]) -> bool {
    let enough = if pattern.open_end {
        segments.len() >= pattern.segments.len()
    } else {
        segments.len() == pattern.segments.len()
    };
    enough
        && pattern.segments.iter().zip(segments).all(|(expected, found)| match expected {
            Segment::Literal(text) => text == found,
            Segment::Any => !found.is_empty(),
        })
}
