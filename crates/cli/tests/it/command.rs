//! The command line itself.

use crate::fixture::{airgate, shown};

#[test]
fn every_verb_has_help_with_examples() {
    let verbs: &[&[&str]] = &[
        &["serve"],
        &["check"],
        &["audit", "verify"],
        &["audit", "search"],
        &["audit", "show"],
        &["audit", "key"],
        &["token", "inspect"],
        &["issuer", "check"],
        &["reference"],
    ];
    for verb in verbs {
        let output = airgate().args(*verb).arg("--help").output().expect("the command runs");
        let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{verb:?}");
        assert!(text.contains("Examples:\n  airgate "), "{verb:?}: {text}");
    }
}

#[test]
fn prints_its_version() {
    let output = airgate().arg("--version").output().expect("the command runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), format!("airgate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let lines: &[&[&str]] = &[
        &[],
        &["serve"],
        &["check", "--confg", "x"],
        &["audit", "verify"],
        &["audit", "verify", "--log", "a", "--config", "b"],
        &["audit", "show", "minus-one", "--log", "a"],
        &["audit", "search", "--log", "a", "--since", "yesterday"],
        &["serve", "--config", "x", "--log", "loud=="],
    ];
    for line in lines {
        let output = airgate().args(*line).output().expect("the command runs");
        assert_eq!(output.status.code(), Some(2), "{line:?}: {}", shown(&output));
        assert!(output.stdout.is_empty(), "{line:?}: {}", shown(&output));
    }
}
