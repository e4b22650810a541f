//! The pages under docs/reference are what the code prints.

use crate::fixture::{airgate, root};

#[test]
fn reference_pages_are_up_to_date() {
    for (page, file) in [("problems", "problems.md"), ("config", "configuration.md")] {
        let output = airgate().args(["reference", page]).output().expect("the command runs");
        assert!(output.status.success());
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let kept = std::fs::read_to_string(root().join("docs/reference").join(file)).unwrap_or_default();
        assert!(
            printed == kept,
            "docs/reference/{file} is out of date. Make it anew: cargo run -p airgate -- reference {page} > docs/reference/{file}"
        );
    }
}

#[test]
fn every_problem_is_on_its_page() {
    let output = airgate().args(["reference", "problems"]).output().expect("the command runs");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let problems = airgate_gateway::problems();
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(printed.contains(&format!("| {} | `{}` |", problem.status, problem.code)), "{}", problem.code);
    }
}
