//! What is permitted, what is denied, and what the denial says.

use crate::rig::*;
use airgate_policy::Policy;
use serde_json::json;

const IDENTITY: Option<&str> = Some("svc-orders@CORP.EXAMPLE");

fn orders() -> Policy {
    let roles = vec![
        role("orders-writer", vec![allow("orders", &["GET", "POST"], &["/api/orders/**", "/api/*/lines"])]),
        role("payroll-reader", vec![allow("orders", &["GET"], &["/api/payroll"]), allow("hr", &["*"], &["/**"])]),
    ];
    let nightly: &[(&str, &[&str])] = &[("dag_id", &["nightly_orders"]), ("task_id", &["load", "reconcile"])];
    compiled(roles, vec![grant("nightly", nightly, "orders-writer", IDENTITY)], vec![])
}

#[test]
fn permits_what_the_role_of_a_matching_grant_allows_and_nothing_else() {
    let policy = orders();
    let load = job("nightly_orders", "load");
    let other_task = job("nightly_orders", "drop");
    let other_dag = job("nightly_orders2", "load");
    for (token, route, method, path, expected) in [
        (&load, "orders", "GET", "/api/orders", "nightly"),
        (&load, "orders", "GET", "/api/orders/", "nightly"),
        (&load, "orders", "POST", "/api/orders/1/lines", "nightly"),
        (&load, "orders", "GET", "/API/Orders/1", "nightly"),
        (&load, "orders", "GET", "/api/7/lines", "nightly"),
        (&load, "orders", "GET", "/api/7/lines/", "not_in_role"),
        (&load, "orders", "GET", "/api//lines", "not_in_role"),
        (&load, "orders", "GET", "/api/7/8/lines", "not_in_role"),
        (&load, "orders", "GET", "/api/ordersx", "not_in_role"),
        (&load, "orders", "GET", "/api", "not_in_role"),
        (&load, "orders", "GET", "/api/payroll", "not_in_role"),
        (&load, "orders", "GET", "/", "not_in_role"),
        (&load, "orders", "GET", "/x/api/orders", "not_in_role"),
        (&load, "orders", "DELETE", "/api/orders", "not_in_role"),
        (&load, "orders", "get", "/api/orders", "not_in_role"),
        (&load, "orders", "FROB", "/api/orders", "not_in_role"),
        (&load, "orders2", "GET", "/api/orders", "not_in_role"),
        (&load, "Orders", "GET", "/api/orders", "not_in_role"),
        (&load, "hr", "GET", "/api/orders", "not_in_role"),
        (&other_task, "orders", "GET", "/api/orders", "no_grant"),
        (&other_dag, "orders", "GET", "/api/orders", "no_grant"),
    ] {
        assert_eq!(outcome(&decide(&policy, token, route, method, path)), expected, "{route} {method} {path}");
    }
    let permit = permit(decide(&policy, &load, "orders", "GET", "/api/orders"));
    assert_eq!((permit.role(), permit.windows_identity()), ("orders-writer", IDENTITY));
    assert_eq!(
        permit.reason(),
        "GET `/api/orders` on route `orders` is allowed by grant `nightly` (role `orders-writer`)"
    );
}

#[test]
fn refuses_the_same_claims_of_another_issuer() {
    let claims =
        json!({ "dag_id": "nightly_orders", "task_id": "load", "run_id": "r", "map_index": -1, "try_number": 1 });
    let token = airgate_testkit::verified("partner", "task", claims);
    assert_eq!(outcome(&decide(&orders(), &token, "orders", "GET", "/api/orders")), "no_grant");
}

#[test]
fn any_method_is_any_known_method() {
    let all = vec![role("all", vec![allow("hr", &["*"], &["/**"])])];
    let policy = compiled(all, vec![grant("g", &[("dag_id", &["d"])], "all", None)], vec![]);
    let token = job("d", "t");
    for (method, expected) in [
        ("GET", "g"),
        ("DELETE", "g"),
        ("PROPFIND", "g"),
        ("TRACE", "not_in_role"),
        ("*", "not_in_role"),
        ("", "not_in_role"),
    ] {
        assert_eq!(outcome(&decide(&policy, &token, "hr", method, "/")), expected, "{method}");
    }
}

#[test]
fn conditions_compare_strings_integers_booleans_and_lists_of_them() {
    for (value, accepted, holds) in [
        (json!("a"), "a", true),
        (json!("A"), "a", false),
        (json!(""), "", true),
        (json!(7), "7", true),
        (json!(-7), "-7", true),
        (json!(18_446_744_073_709_551_615_u64), "18446744073709551615", true),
        (json!(true), "true", true),
        (json!("true"), "true", true),
        (json!(7.0), "7.0", false),
        (json!(7.5), "7.5", false),
        (json!(null), "null", false),
        (json!(["a"]), "a", true),
        (json!(["b", "a", 7]), "7", true),
        (json!(["A"]), "a", false),
        (json!([]), "a", false),
        (json!(["a", {}]), "a", false),
        (json!(["a", null]), "a", false),
        (json!([["a"]]), "a", false),
        (json!(["a"]), "[\"a\"]", false),
        (json!({}), "{}", false),
        (json!("\"; permit(principal,action,resource);//"), "\"; permit(principal,action,resource);//", true),
        (json!("a*"), "*", false),
        (json!("é\u{0}\n"), "é\u{0}\n", true),
    ] {
        let roles = vec![role("r", vec![allow("x", &["GET"], &["/**"])])];
        let policy = compiled(roles, vec![grant("g", &[("claim", &[accepted, "other"])], "r", None)], vec![]);
        let token = airgate_testkit::verified("airflow", "client", json!({ "claim": value }));
        assert_eq!(outcome(&decide(&policy, &token, "x", "GET", "/")) == "g", holds, "{value} {accepted}");
    }
}

#[test]
fn claims_with_odd_names_are_only_names() {
    for claim in ["", "a b", "\"", "https://example/claims/x", "has", "é", "s0", "issuer"] {
        let roles = vec![role("r", vec![allow("x", &["GET"], &["/**"])])];
        let policy = compiled(roles, vec![grant("g", &[(claim, &["v"])], "r", None)], vec![]);
        let with = airgate_testkit::verified("airflow", "client", json!({ claim: "v" }));
        let without = airgate_testkit::verified("airflow", "client", json!({}));
        assert_eq!(outcome(&decide(&policy, &with, "x", "GET", "/")), "g", "{claim}");
        assert_eq!(outcome(&decide(&policy, &without, "x", "GET", "/")), "no_grant", "{claim}");
    }
}

#[test]
fn several_grants_must_agree_on_the_windows_identity() {
    let with = |one: Option<&str>, other: Option<&str>| {
        let roles = vec![role("r", vec![allow("x", &["GET"], &["/**"])])];
        let grants = vec![
            grant("b", &[("dag_id", &["d"])], "r", one),
            grant("a", &[("task_id", &["t"]), ("dag_id", &["d"])], "r", other),
        ];
        decide(&compiled(roles, grants, vec![]), &job("d", "t"), "x", "GET", "/")
    };
    for (one, other, expected) in [
        (Some("x@Y"), Some("x@Y"), "a"),
        (Some("X@y"), Some("x@Y"), "a"),
        (None, None, "a"),
        (Some("x@Y"), Some("z@Y"), "ambiguous_identity"),
        (Some("x@Y"), None, "ambiguous_identity"),
    ] {
        assert_eq!(outcome(&with(one, other)), expected, "{one:?} {other:?}");
    }
    let reason = permit(with(None, None)).reason().to_owned();
    assert!(reason.contains("grant `a`") && reason.contains("grant `b`"), "{reason}");
    let denial = denial(with(Some("x@Y"), Some("z@Y")));
    assert!(denial.public.contains("`a`, `b`") && !denial.public.contains("@Y"), "{denial:?}");
    assert!(
        denial.detail.contains("`a` signs in as `z@Y`") && denial.detail.contains("`b` signs in as `x@Y`"),
        "{denial:?}"
    );
}

#[test]
fn not_in_role_says_what_is_allowed_and_what_to_add() {
    let denial = denial(decide(&orders(), &job("nightly_orders", "load"), "orders", "GET", "/api/payroll"));
    assert_eq!(denial.code, "not_in_role");
    assert_eq!(denial.grant.as_deref(), Some("nightly"));
    assert_eq!(
        denial.public,
        "grant `nightly` gives role `orders-writer`, which does not allow GET `/api/payroll` on route `orders`"
    );
    assert_eq!(
        denial.help,
        "grant `nightly` gives role `orders-writer`, which allows GET, POST on `/api/orders/**`, `/api/*/lines`; to allow \
         this, add `{ route = \"orders\", methods = [\"GET\"], paths = [\"/api/payroll\"] }` to `allow` of \
         `[role.orders-writer]`, or grant a role that allows it: `payroll-reader`"
    );
}

#[test]
fn no_grant_names_the_near_miss_in_help_and_detail_but_not_in_public() {
    let denial = denial(decide(&orders(), &job("nightly_orders", "read_payroll"), "orders", "GET", "/api/payroll"));
    assert_eq!(denial.code, "no_grant");
    assert_eq!(denial.grant.as_deref(), Some("nightly"));
    assert_eq!(
        denial.public,
        "no grant names task `read_payroll` of DAG `nightly_orders` (issuer `airflow`), which asked for GET \
         `/api/payroll` on route `orders`"
    );
    let near = "grant `nightly` accepts `task_id` `load`, `reconcile`, the token says `read_payroll`";
    assert!(denial.help.contains(near) && denial.detail.contains(near), "{denial:?}");
    assert!(
        denial.help.contains("`where = { dag_id = \"nightly_orders\", task_id = \"read_payroll\" }`"),
        "{denial:?}"
    );
    assert!(denial.help.contains("`role = \"payroll-reader\"`"), "{denial:?}");
    let far = crate::rig::denial(decide(&orders(), &job("x", "y"), "orders", "GET", "/api/orders"));
    assert!(far.grant.is_none() && !format!("{far:?}").contains("nightly"), "{far:?}");
}

#[test]
fn denials_of_hostile_claims_are_one_short_printable_line() {
    let long = "x".repeat(4000);
    let hostile = "a\r\n\u{1b}[31m`\"";
    for claims in [json!({ "sub": hostile }), json!({ "sub": long }), json!({ "sub": "s", "claim": hostile })] {
        let token = airgate_testkit::verified("airflow", "client", claims);
        let near: &[(&str, &[&str])] = &[("claim", &["x"]), ("sub", &["s"])];
        let roles = vec![role("r", vec![allow("x", &["GET"], &["/**"])])];
        let denial =
            denial(decide(&compiled(roles, vec![grant("g", near, "r", None)], vec![]), &token, "x", "GET", "/"));
        for text in [&denial.public, &denial.help, &denial.detail] {
            assert!(!text.chars().any(char::is_control), "{text}");
            assert!(text.len() < 2000, "{}", text.len());
        }
    }
}

#[test]
fn forbid_wins_over_a_grant_and_is_named() {
    let roles = || vec![role("r", vec![allow("x", &["GET", "DELETE"], &["/**"])])];
    let grants = || vec![grant("g", &[("dag_id", &["d"])], "r", None)];
    let rules = "@id(\"no-deletes\")\n\
        forbid(principal, action == Airgate::Action::\"DELETE\", resource == Airgate::Route::\"x\");\n\
        forbid(principal, action, resource)\n\
        when { principal.hasTag(\"env\") && principal.getTag(\"env\") == \"dev\" };\n\
        forbid(principal, action, resource) when { context.segments has s0 && context.segments.s0 == \"admin\" };\n\
        forbid(principal, action, resource) when { context.path like \"/secret/*\" };";
    let policy = compiled(roles(), grants(), vec![file("rules.cedar", rules)]);
    let token = job("d", "t");
    for (method, path, expected) in [
        ("GET", "/a", "g"),
        ("DELETE", "/a", "forbidden_by_policy"),
        ("GET", "/Admin/x", "forbidden_by_policy"),
        ("GET", "/Secret/x", "forbidden_by_policy"),
    ] {
        assert_eq!(outcome(&decide(&policy, &token, "x", method, path)), expected, "{method} {path}");
    }
    let denial = denial(decide(&policy, &token, "x", "DELETE", "/a"));
    assert_eq!(denial.public, "grant `g` allows this, but `no-deletes` forbids it");
    let claims = json!({ "dag_id": "d", "env": "dev" });
    let dev = airgate_testkit::verified("airflow", "client", claims);
    assert_eq!(outcome(&decide(&policy, &dev, "x", "GET", "/a")), "forbidden_by_policy");
    // A rule never helps who has no grant.
    assert_eq!(outcome(&decide(&policy, &job("e", "t"), "x", "GET", "/a")), "no_grant");
}

#[test]
fn a_rule_that_errors_denies() {
    let roles = vec![role("r", vec![allow("x", &["GET"], &["/**"])])];
    let grants = vec![grant("g", &[("dag_id", &["d"])], "r", None)];
    let rule = "forbid(principal, action, resource) when { context.depth * 9223372036854775807 == 0 };";
    let policy = compiled(roles, grants, vec![file("rules.cedar", rule)]);
    assert_eq!(outcome(&decide(&policy, &job("d", "t"), "x", "GET", "/a")), "g");
    let denial = denial(decide(&policy, &job("d", "t"), "x", "GET", "/a/b"));
    assert_eq!(denial.code, "policy_error");
    assert!(denial.detail.contains("overflow") && !denial.public.contains("overflow"), "{denial:?}");
}

#[test]
fn a_path_that_is_no_path_is_denied() {
    for path in ["", "api/orders", "*", "http://x/api/orders"] {
        assert_eq!(
            outcome(&decide(&orders(), &job("nightly_orders", "load"), "orders", "GET", path)),
            "policy_error",
            "{path}"
        );
    }
}

/// Attributes come from where the issuer's configuration says; a claim of the same name elsewhere is no substitute.
#[test]
fn an_attribute_is_what_the_configuration_says_and_nothing_else() {
    let roles = vec![role("r", vec![allow("x", &["GET"], &["/**"])])];
    let grants = vec![grant("g", &[("roles", &["Orders.Write"])], "r", None)];
    let policy = compiled(roles, grants, vec![]);
    let path: &[(&str, &[&str])] = &[("roles", &["resource_access", "airgate", "roles"])];
    for (claims, expected) in [
        (json!({ "resource_access": { "airgate": { "roles": ["Orders.Read", "Orders.Write"] } } }), "g"),
        (json!({ "resource_access": { "airgate": { "roles": "Orders.Write" } } }), "g"),
        (json!({ "resource_access": { "airgate": { "roles": [] } } }), "no_grant"),
        (json!({ "resource_access": { "other": { "roles": ["Orders.Write"] } } }), "no_grant"),
        (json!({ "roles": ["Orders.Write"] }), "no_grant"),
    ] {
        let token = airgate_testkit::verified_with("airflow", "client", claims.clone(), path);
        assert_eq!(outcome(&decide(&policy, &token, "x", "GET", "/")), expected, "{claims}");
    }
}

#[test]
fn rules_see_roles() {
    let roles = vec![role("r", vec![allow("x", &["GET"], &["/**"])])];
    let grants = vec![grant("g", &[("roles", &["a", "b"])], "r", None)];
    let rule = "@id(\"no-b\") forbid(principal, action, resource) when { principal.roles.contains(\"b\") };";
    let policy = compiled(roles, grants, vec![file("rules.cedar", rule)]);
    for (roles, expected) in
        [(json!(["a"]), "g"), (json!(["a", "b"]), "forbidden_by_policy"), (json!("b"), "forbidden_by_policy")]
    {
        let token = airgate_testkit::verified("airflow", "client", json!({ "roles": roles }));
        assert_eq!(outcome(&decide(&policy, &token, "x", "GET", "/")), expected, "{roles}");
    }
}
