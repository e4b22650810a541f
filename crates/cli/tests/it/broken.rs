//! Broken configurations, a row a kind of error: exit code and every word on standard error.

use crate::fixture::{Folder, GOOD, pair, shown};

/// A name, and what is replaced in the good configuration.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("refuses_what_is_no_toml", &[("folder = \"audit\"", "folder = audit")]),
    ("refuses_a_key_given_twice", &[("folder = \"audit\"", "folder = \"audit\"\nfolder = \"other\"")]),
    (
        "refuses_unknown_sections_and_keys",
        &[
            ("[route.open]", "[rout.open]"),
            ("audiences = [", "audience = ["),
            ("origin =", "colour = \"red\"\norigin ="),
            ("principal = \"svc-gw@CORP.EXAMPLE\"", "principal = \"svc-gw@CORP.EXAMPLE\", password = \"hunter2\""),
        ],
    ),
    (
        "refuses_missing_keys",
        &[
            ("address = \"127.0.0.1:8443\"\n", ""),
            ("origin = \"gw.example/audit\"\n", ""),
            ("audiences = [\"https://gw.example\"]\n", ""),
            ("sign_in = \"none\"\n", ""),
            ("upstream = \"open\"\n", ""),
            ("role = \"writer\"\n", ""),
            (", paths = [\"/open/**\"]", ""),
            (", principal = \"svc-gw@CORP.EXAMPLE\"", ""),
        ],
    ),
    ("refuses_a_file_without_sections", &[(GOOD, "threads = 2\n")]),
    (
        "refuses_wrong_types",
        &[
            ("address = \"127.0.0.1:8443\"", "address = 8443"),
            ("audiences = [\"https://gw.example\"]", "audiences = [1, \"https://gw.example\"]"),
            ("host = \"orders.gw.example\"", "host = [\"orders.gw.example\"]"),
            ("where = { dag_id = \"nightly_orders\" }", "where = \"nightly_orders\""),
            ("{ route = \"open\", methods = [\"GET\"], paths = [\"/open/**\"] },", "\"open\","),
            ("sign_in = \"none\"", "sign_in = false\nconnections_max = \"many\"\nconnect_timeout = 5"),
        ],
    ),
    (
        "refuses_values_out_of_bounds",
        &[
            ("[listener.main]", "threads = 0\n[listener.main]"),
            ("assurance = \"task\"", "assurance = \"task\"\nleeway = \"6m\"\nlifetime_max = \"2 days\""),
            (
                "[route.orders]",
                "[limits]\nheader_bytes_max = \"64KB\"\nheaders_max = -1\nbody_idle_timeout = \"0s\"\nuri_bytes_max = \"1MiB\"\n\n[route.orders]",
            ),
        ],
    ),
    (
        "refuses_values_it_cannot_read",
        &[
            ("127.0.0.1:8443", "localhost"),
            ("gw.example/audit", "gw example+audit"),
            ("assurance = \"task\"", "assurance = \"absolute\"\nalgorithms = [\"HS256\", \"none\", \"ES256\"]"),
            ("orders.gw.example", "https://orders.gw.example/"),
            ("path = \"/open\"", "path = \"/open/../admin\""),
            ("https://iis02.corp.example", "https://user:hunter2@iis02.corp.example"),
            ("HTTP/iis01.corp.example@CORP.EXAMPLE", "iis01"),
        ],
    ),
    (
        "refuses_names_that_are_not_declared",
        &[
            ("upstream = \"orders\"", "upstream = \"order\""),
            ("upstream = \"open\"", "upstream = \"payroll\""),
            ("issuer = \"airflow\"", "issuer = \"corp-idp\""),
            ("role = \"writer\"", "role = \"writers\""),
            ("{ route = \"open\"", "{ route = \"opened\""),
        ],
    ),
    (
        "refuses_what_is_taken",
        &[
            ("path = \"/open\"", "host = \"ORDERS.gw.example\""),
            ("[audit]", "[listener.second]\naddress = \"127.0.0.1:8443\"\ndanger_plaintext = true\n\n[audit]"),
            (
                "[upstream.orders]",
                "[issuer.again]\nurl = \"https://airflow.example/airgate\"\naudiences = \"other\"\nalgorithms = \"ES256\"\n\n[upstream.orders]",
            ),
        ],
    ),
    (
        "refuses_two_where_one_is_meant",
        &[
            ("key = \"gateway.key\" }", "key = \"gateway.key\" }\ndanger_plaintext = true"),
            (
                "assurance = \"task\"",
                "assurance = \"task\"\njwks_url = \"https://airflow.example/keys\"\njwks_file = \"gateway.pem\"",
            ),
            ("path = \"/open\"", "path = \"/open\"\nhost = \"open.gw.example\""),
            ("sign_in = \"none\"", "sign_in = { kerberos = {}, bearer_assertion = {} }"),
        ],
    ),
    ("refuses_neither_host_nor_path", &[("path = \"/open\"\n", "")]),
    (
        "refuses_ways_to_sign_in_that_it_does_not_know",
        &[("sign_in = \"none\"", "sign_in = \"ntlm\""), ("sign_in = { kerberos =", "sign_in = { kerbeross =")],
    ),
    (
        "refuses_weak_modes_that_are_not_named",
        &[
            ("tls = { certificate = \"gateway.pem\", key = \"gateway.key\" }\n", ""),
            ("https://iis02.corp.example", "http://iis02.corp.example"),
            ("https://airflow.example/airgate", "http://airflow.example/airgate"),
        ],
    ),
    ("refuses_an_issuer_that_does_not_say_how_it_signs", &[("assurance = \"task\"\n", "")]),
    (
        "refuses_files_that_are_not_there",
        &[
            ("gateway.pem", "missing.pem"),
            ("gateway.keytab", "missing.keytab"),
            ("key = \"audit.key\"", "key = \"no/such/folder/audit.key\""),
            ("folder = \"audit\"", "folder = \"gateway.pem\""),
            ("[route.orders]", "[policy]\nfiles = [\"missing.cedar\"]\n\n[route.orders]"),
        ],
    ),
    ("refuses_secrets_that_others_can_read", &[("gateway.keytab", "open.keytab"), ("gateway.key\"", "open.key\"")]),
    ("refuses_a_certificate_of_another_key", &[("gateway.pem", "other.pem")]),
    (
        "refuses_pem_that_holds_something_else",
        &[
            ("key = \"gateway.key\"", "key = \"gateway.pem\""),
            ("assurance = \"task\"", "assurance = \"task\"\nca_file = \"gateway.keytab\""),
        ],
    ),
    ("refuses_kerberos_without_a_windows_identity", &[("windows_identity = \"svc-orders@CORP.EXAMPLE\"\n", "")]),
    ("refuses_a_grant_to_everybody", &[("where = { dag_id = \"nightly_orders\" }", "where = {}")]),
    ("refuses_names_that_could_deceive", &[("[grant.nightly]", "[grant.\"nightly\\u001b[2J\"]")]),
    ("refuses_bad_paths_and_methods_of_roles", &[("/api/orders/**", "api/**/orders"), ("\"POST\"", "\"post\"")]),
    (
        "refuses_policies_that_are_no_cedar",
        &[("[route.orders]", "[policy]\nfiles = [\"bad.cedar\"]\n\n[route.orders]")],
    ),
    (
        "refuses_issuers_that_say_too_little",
        &[(
            "[upstream.orders]",
            r#"[issuer.entra]
profile = "entra"
audiences = "api://airgate"

[issuer.github]
profile = "github"
audiences = "https://gw.example"

[issuer.mesh]
profile = "spiffe"
audiences = "https://gw.example"
trust_domain = "corp.example"

[issuer.plain]
url = "https://id.corp.example"
audiences = "https://gw.example"
algorithms = "RS256"
token_types = "JWT"
jwks_url = "https://id.corp.example/keys"

[issuer.org]
profile = "okta"
url = "https://acme.okta.com"
audiences = "https://gw.example"

[issuer.known]
url = "https://token.actions.githubusercontent.com"
audiences = "https://gw.example"
algorithms = "RS256"

[upstream.orders]"#,
        )],
    ),
    (
        "refuses_issuer_settings_that_do_not_fit",
        &[
            (
                "assurance = \"task\"",
                r#"assurance = "task"
tenants = ["x"]"#,
            ),
            (
                "[upstream.orders]",
                r#"[issuer.plain]
url = "https://id.corp.example"
audiences = "https://gw.example"
algorithms = "RS256"
jwks_url = "https://id.corp.example/keys"
discovery_url = "https://id.corp.example/metadata"
audience_claim = "https://sts.amazonaws.com/"
roles_claim = "kubernetes.io.roles"
attributes = { roles = "roles", team = 7 }
require = [
  { claim = "a" },
  { claim = "b", equals = "x", prefix = "y" },
  { claim = ["c", 7], one_of = ["x"] },
  { clam = "d", equals = "x" },
]
refresh_min = "10m"
refresh_max = "5m"
introspection = { url = "http://id.corp.example/introspect", client_id = "airgate", certificate = "gateway.pem" }

[upstream.orders]"#,
            ),
        ],
    ),
    (
        "refuses_routes_that_ask_for_what_there_is_not",
        &[
            (
                "path = \"/open\"",
                "path = \"/open\"\nproof = \"mtls\"\nissuers = [\"airflow\", \"okta\"]\norigin = \"https://a/b\"",
            ),
            (
                "host = \"orders.gw.example\"",
                "host = \"orders.gw.example\"\nproof = \"token\"\napp_tokens = [\"body\"]",
            ),
        ],
    ),
    (
        "refuses_two_issuers_that_could_be_asked_about_one_token",
        &[(
            "[upstream.orders]",
            r#"[issuer.one]
url = "https://one.example"
audiences = "https://gw.example"
introspection = { url = "https://one.example/introspect", client_id = "airgate", key = "gateway.key", all_tokens = true }

[issuer.two]
url = "https://two.example"
audiences = "https://gw.example"
introspection = { url = "https://two.example/introspect", client_id = "airgate", key = "gateway.key", all_tokens = true }

[upstream.orders]"#,
        )],
    ),
    (
        "refuses_listeners_that_are_open_by_accident",
        &[
            ("key = \"gateway.key\" }", "key = \"gateway.key\", client_certificates = \"required\" }"),
            (
                "[upstream.orders]",
                "[admin]\naddress = \"0.0.0.0:9440\"\n\n[dpop]\nage_max = \"1h\"\n\n[upstream.orders]",
            ),
        ],
    ),
    ("refuses_key_sets_that_are_none", &[("assurance = \"task\"", "assurance = \"task\"\njwks_file = \"bad.json\"")]),
];

fn broken(replacements: &[(&str, &str)]) -> String {
    let mut config = GOOD.to_owned();
    for (from, to) in replacements {
        assert!(config.contains(from), "the good configuration holds {from:?}");
        config = config.replace(from, to);
    }
    config
}

fn folder(replacements: &[(&str, &str)]) -> Folder {
    let folder = Folder::with(&broken(replacements));
    let (other, key) = pair();
    folder.write("other.pem", &other, 0o644);
    folder.write("open.key", &key, 0o644);
    folder.write("open.keytab", "\u{5}\u{2}", 0o640);
    folder.write("bad.cedar", "forbid (principal, action resource);", 0o644);
    folder.write("bad.json", "{\"keys\": 7}", 0o644);
    folder
}

#[test]
fn every_kind_of_error_is_told_with_its_place_and_the_next_step() {
    for (name, replacements) in CASES {
        let output = folder(replacements).check();
        assert_eq!(output.status.code(), Some(2), "{name}: {}", shown(&output));
        assert!(!shown(&output).contains("hunter2"), "{name}: a secret is shown");
        insta::assert_snapshot!(*name, shown(&output));
    }
}

#[test]
fn every_error_has_a_place_and_help() {
    for (name, replacements) in CASES {
        let output = folder(replacements).airgate(&["check", "--config", "airgate.toml", "--json"]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(answer["ok"], false, "{name}");
        let errors = answer["errors"].as_array().expect("a list");
        assert!(!errors.is_empty(), "{name}");
        for error in errors {
            assert!(error["line"].as_u64().is_some_and(|line| line > 0), "{name}: {error}");
            assert!(error["help"].as_str().is_some_and(|help| !help.is_empty()), "{name}: {error}");
        }
        assert!(output.stderr.is_empty(), "{name}: with --json, nothing but JSON");
    }
}

#[test]
fn serve_refuses_a_broken_configuration_with_the_same_words() {
    let folder = folder(&[("upstream = \"open\"", "upstream = \"payroll\"")]);
    let (check, serve) = (folder.check(), folder.airgate(&["serve", "--config", "airgate.toml"]));
    assert_eq!(serve.status.code(), Some(2), "{}", shown(&serve));
    let check = String::from_utf8(check.stderr).expect("UTF-8");
    let serve = String::from_utf8(serve.stderr).expect("UTF-8");
    assert!(check.starts_with(&serve) && serve.contains("unknown upstream `payroll`"), "{check}\n{serve}");
    assert!(!folder.path().join("audit").exists(), "nothing was made");
}

#[test]
fn refuses_a_configuration_that_is_not_there() {
    let folder = Folder::new();
    for verb in ["check", "serve"] {
        let output = folder.airgate(&[verb, "--config", "nowhere.toml"]);
        assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(stderr.contains("configuration `nowhere.toml`: no such file"), "{stderr}");
    }
}

#[test]
fn no_word_of_a_key_file_is_shown() {
    let folder = folder(&[("gateway.key\"", "garbled.key\"")]);
    folder.write("garbled.key", "-----BEGIN PRIVATE KEY-----\nhunter2-hunter2\n-----END PRIVATE KEY-----\n", 0o600);
    let text = shown(&folder.check());
    assert!(text.contains("holds no private key") && !text.contains("hunter2"), "{text}");
}
