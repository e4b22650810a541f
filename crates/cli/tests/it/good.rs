//! Configurations that can be served.

use crate::fixture::{Folder, GOOD, root, shown};

#[test]
fn shows_what_it_would_serve() {
    let config = format!("threads = 2\n{GOOD}");
    let output = Folder::with(&config).check();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    insta::assert_snapshot!("shows_what_it_would_serve", shown(&output));
}

#[test]
fn shows_what_it_would_serve_as_json() {
    let config = format!("threads = 2\n{GOOD}");
    let output = Folder::with(&config).airgate(&["check", "--config", "airgate.toml", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    insta::assert_snapshot!("shows_what_it_would_serve_as_json", serde_json::to_string_pretty(&answer).expect("JSON"));
}

#[test]
fn warns_of_weak_modes_and_of_what_nobody_may_use() {
    let config = GOOD
        .replace("tls = { certificate = \"gateway.pem\", key = \"gateway.key\" }", "danger_plaintext = true")
        .replace("url = \"https://iis02.corp.example\"", "url = \"http://iis02.corp.example\"\ndanger_plaintext = true")
        .replace("assurance = \"task\"", "assurance = \"task\"\ndanger_allow_http = true")
        .replace("  { route = \"open\", methods = [\"GET\"], paths = [\"/open/**\"] },\n", "");
    let output = Folder::with(&config).check();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    insta::assert_snapshot!(
        "warns_of_weak_modes_and_of_what_nobody_may_use",
        String::from_utf8(output.stderr).expect("UTF-8")
    );
}

#[test]
fn the_example_is_without_errors_and_warnings() {
    let example = std::fs::read_to_string(root().join("examples/quickstart/airgate.toml")).expect("the example");
    let output = Folder::with(&example).check();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(shown(&output).ends_with("ok: airgate.toml: 0 errors, 0 warnings\n"), "{}", shown(&output));
}

#[test]
fn checking_makes_and_changes_nothing() {
    let folder = Folder::with(GOOD);
    let names = || {
        let mut all: Vec<_> =
            folder.path().read_dir().expect("readable").map(|entry| entry.expect("entry").file_name()).collect();
        all.sort();
        all
    };
    let before = names();
    assert_eq!(folder.check().status.code(), Some(0));
    assert_eq!(names(), before);
}

#[test]
fn paths_are_relative_to_the_configuration_files_folder() {
    let folder = Folder::with(GOOD);
    let path = folder.path().join("airgate.toml");
    let output =
        crate::fixture::airgate().args(["check", "--config"]).arg(&path).current_dir("/").output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
}
