//! Everything that is wrong is said at once, with its place and the next step.

use crate::rig::*;
use airgate_policy::{Grant, Policy, PolicyFile, Role};

fn errors(roles: Vec<Role>, grants: Vec<Grant>, files: Vec<PolicyFile>) -> Vec<String> {
    let errors = Policy::compile(roles, grants, files).expect_err("a policy that does not compile");
    assert!(errors.iter().all(|error| !error.help.is_empty()), "{errors:?}");
    errors.iter().map(ToString::to_string).collect()
}

fn good() -> Role {
    role("good", vec![allow("x", &["GET"], &["/**"])])
}

#[test]
fn collects_every_error_with_its_place() {
    let bad =
        role("bad", vec![allow("x", &["get", "FROB"], &["/a/**/b", "/ok", "b", "/a/../b", "//"]), allow("", &[], &[])]);
    let no_values = grant("mute", &[("sub", &[])], "good", Some(" "));
    let grants =
        vec![grant("lost", &[("sub", &["s"])], "gone", None), grant("everybody", &[], "good", None), no_values];
    assert_eq!(
        errors(vec![good(), bad, role("empty", vec![])], grants, vec![]),
        [
            "role.bad.allow[0].methods[0]: unknown method `get`",
            "role.bad.allow[0].methods[1]: unknown method `FROB`",
            "role.bad.allow[0].paths[0]: the pattern `/a/**/b` has `**` before its end",
            "role.bad.allow[0].paths[2]: the pattern `b` does not start with `/`",
            "role.bad.allow[0].paths[3]: the pattern `/a/../b` has a dot segment (`.` or `..`)",
            "role.bad.allow[0].paths[4]: the pattern `//` has an empty segment (`//`)",
            "role.bad.allow[1].route: `route` is empty",
            "role.bad.allow[1].methods: `methods` is empty",
            "role.bad.allow[1].paths: `paths` is empty",
            "role.empty: allows nothing: `allow` is empty",
            "grant.lost.role: unknown role `gone`",
            "grant.everybody.where: has no condition: it would hold for every token of issuer `airflow`",
            "grant.mute.where.sub: the claim `sub` has no accepted value: the grant could never hold",
            "grant.mute.windows_identity: `windows_identity` is empty",
        ]
    );
}

#[test]
fn refuses_two_of_one_name() {
    let one = || grant("g", &[("sub", &["s"])], "good", None);
    assert_eq!(
        errors(vec![good(), good()], vec![one(), one()], vec![]),
        ["role.good: another role has the same name `good`", "grant.g: another grant has the same name `g`"]
    );
}

#[test]
fn refuses_policy_files_that_are_not_sound_forbid_rules() {
    let with = |text: &str| errors(vec![good()], vec![], vec![file("rules.cedar", text)]);
    for (text, part) in [
        ("forbid(principal, action, resource", "rules.cedar: is not valid Cedar"),
        ("permit(principal, action, resource);", "rules.cedar: policy0: holds a `permit`"),
        ("forbid(principal == ?principal, action, resource);", "rules.cedar: holds a template"),
        ("forbid(principal, action == Airgate::Action::\"FROB\", resource);", "FROB"),
        ("forbid(principal, action, resource) when { context.pfad == \"/x\" };", "pfad"),
        ("forbid(principal, action, resource) when { principal.getTag(\"env\") == \"dev\" };", "env"),
        ("forbid(principal, action, resource) when { context.segments.s0 == \"admin\" };", "s0"),
        ("forbid(principal, action, resource == Airgate::Rout::\"x\");", "Rout"),
    ] {
        let errors = with(text);
        assert!(errors.iter().any(|error| error.contains(part)), "{text}: {errors:?}");
        assert!(errors.iter().all(|error| !error.contains('\u{0}')), "{errors:?}");
    }
    let twice = vec![file("a.cedar", "forbid(principal, action, resource);"); 2];
    assert_eq!(errors(vec![good()], vec![], twice), ["a.cedar: is listed twice"]);
}

#[test]
fn accepts_empty_policy_and_empty_files() {
    let policy = compiled(vec![], vec![], vec![file("empty.cedar", "// nothing\n")]);
    assert_eq!(outcome(&decide(&policy, &job("d", "t"), "x", "GET", "/")), "no_grant");
}
