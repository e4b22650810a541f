//! From the configuration's roles, grants and files to a policy, or to everything that is wrong with them.

use crate::{
    Allow, Grant, METHODS, Policy, PolicyError, PolicyFile, Role, files, pattern::Pattern, slices::Slices, text,
};
use std::collections::{BTreeMap, HashSet};

/// A role whose patterns have been read.
#[derive(Debug, Clone)]
pub(crate) struct CompiledRole {
    pub(crate) allow: Vec<CompiledAllow>,
}

/// An [`Allow`] whose patterns have been read.
#[derive(Debug, Clone)]
pub(crate) struct CompiledAllow {
    pub(crate) route: String,
    pub(crate) methods: Vec<String>,
    pub(crate) any_method: bool,
    pub(crate) paths: Vec<String>,
    pub(crate) patterns: Vec<Pattern>,
}

fn error(place: String, message: String, help: impl Into<String>) -> PolicyError {
    PolicyError { place, message, help: help.into() }
}

impl Policy {
    /// # Errors
    /// Everything that is wrong, not only the first thing.
    pub fn compile(
        roles: Vec<Role>,
        grants: Vec<Grant>,
        policy_files: Vec<PolicyFile>,
    ) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut compiled = BTreeMap::new();
        for role in roles {
            let allow = compile_role(&role, &mut errors);
            if compiled.insert(role.name.clone(), CompiledRole { allow }).is_some() {
                let message = format!("another role has the same name `{}`", role.name);
                errors.push(error(format!("role.{}", role.name), message, "rename one of them"));
            }
        }
        let mut names = HashSet::new();
        for grant in &grants {
            check_grant(grant, &compiled, &mut errors);
            if !names.insert(&grant.name) {
                let message = format!("another grant has the same name `{}`", grant.name);
                errors.push(error(format!("grant.{}", grant.name), message, "rename one of them"));
            }
        }
        let forbids = files::read(policy_files, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let slices = Slices::build(&grants, &compiled).map_err(|(position, words)| {
            let message = format!("can't be expressed as a policy: {words}");
            vec![error(
                format!("grant.{}", grants[position].name),
                message,
                "report this: it is a fault of the gateway",
            )]
        })?;
        Ok(Self { roles: compiled, grants, slices, forbids, authorizer: cedar_policy::Authorizer::new() })
    }
}

fn compile_role(role: &Role, errors: &mut Vec<PolicyError>) -> Vec<CompiledAllow> {
    let place = format!("role.{}", role.name);
    if role.allow.is_empty() {
        let help = "add `allow = [{ route = \"…\", methods = [\"GET\"], paths = [\"/…\"] }]`, or remove the role";
        errors.push(error(place.clone(), "allows nothing: `allow` is empty".to_owned(), help));
    }
    let entries = role.allow.iter().enumerate();
    entries.map(|(number, allow)| compile_allow(&format!("{place}.allow[{number}]"), allow, errors)).collect()
}

fn compile_allow(place: &str, allow: &Allow, errors: &mut Vec<PolicyError>) -> CompiledAllow {
    for (setting, empty, help) in [
        ("route", allow.route.is_empty(), "name a route of the configuration"),
        ("methods", allow.methods.is_empty(), "name the methods, such as `[\"GET\"]`, or `[\"*\"]` for all"),
        ("paths", allow.paths.is_empty(), "name the paths, such as `[\"/api/orders/**\"]`, or `[\"/**\"]` for all"),
    ] {
        if empty {
            errors.push(error(format!("{place}.{setting}"), format!("`{setting}` is empty"), help));
        }
    }
    for (number, method) in allow.methods.iter().enumerate() {
        if method != "*" && !METHODS.contains(&method.as_str()) {
            let upper = method.to_ascii_uppercase();
            let help = if METHODS.contains(&upper.as_str()) {
                format!("methods have case: write `{upper}`")
            } else {
                format!("known methods: {}, or `*` for all", METHODS.map(|known| format!("`{known}`")).join(", "))
            };
            let message = format!("unknown method `{}`", text::shown(method));
            errors.push(error(format!("{place}.methods[{number}]"), message, help));
        }
    }
    let mut patterns = Vec::with_capacity(allow.paths.len());
    for (number, path) in allow.paths.iter().enumerate() {
        match Pattern::parse(path) {
            Ok(pattern) => patterns.push(pattern),
            Err(wrong) => {
                let message = format!("the pattern `{}` {}", text::shown(path), wrong.message);
                errors.push(error(format!("{place}.paths[{number}]"), message, wrong.help));
            }
        }
    }
    CompiledAllow {
        route: allow.route.clone(),
        methods: allow.methods.clone(),
        any_method: allow.methods.iter().any(|method| method == "*"),
        paths: allow.paths.clone(),
        patterns,
    }
}

fn check_grant(grant: &Grant, roles: &BTreeMap<String, CompiledRole>, errors: &mut Vec<PolicyError>) {
    let place = format!("grant.{}", grant.name);
    if !roles.contains_key(&grant.role) {
        let help = match roles.len() {
            0 => "no role is declared: add `[role.<name>]`".to_owned(),
            _ => format!("declared roles: {}", text::list(roles.keys().map(|name| format!("`{name}`")))),
        };
        errors.push(error(format!("{place}.role"), format!("unknown role `{}`", grant.role), help));
    }
    if grant.issuer.is_empty() {
        let message = "`issuer` is empty".to_owned();
        errors.push(error(format!("{place}.issuer"), message, "name an issuer of the configuration"));
    }
    if grant.conditions.is_empty() {
        let message = format!("has no condition: it would hold for every token of issuer `{}`", grant.issuer);
        errors.push(error(
            format!("{place}.where"),
            message,
            "add at least one claim, such as `where = { sub = \"…\" }`",
        ));
    }
    for (claim, values) in &grant.conditions {
        if values.is_empty() {
            let message = format!("the claim `{claim}` has no accepted value: the grant could never hold");
            errors.push(error(format!("{place}.where.{claim}"), message, "give a value or a list of values"));
        }
    }
    if grant.windows_identity.as_deref().is_some_and(|name| name.trim().is_empty()) {
        let message = "`windows_identity` is empty".to_owned();
        errors.push(error(
            format!("{place}.windows_identity"),
            message,
            "give a name such as `svc-orders@CORP.EXAMPLE`, or leave it out",
        ));
    }
}
