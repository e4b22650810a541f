//! `airgate reference`: pages of the reference, printed from the code that they are about.

use super::print;
use crate::{
    Exit,
    args::Page,
    config::schema::{self, Absent, Field, Kind, Schema},
};
use std::fmt::Write as _;

pub(crate) fn run(page: Page) -> Exit {
    print(&match page {
        Page::Problems => problems(),
        Page::Config => configuration(),
    });
    Exit::Done
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn problems() -> String {
    let mut out = String::from(
        "<!-- Printed by `airgate reference problems`: do not edit. -->\n\
         # Problems\n\n\
         A refused request is answered with a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457), content type\n\
         `application/problem+json`). Its `type` is `urn:airgate:problem:` and the code. The codes are stable: a code keeps its\n\
         meaning, and a new reason gets a new code.\n\n\
         | Member | Meaning |\n|---|---|\n\
         | `type`, `code`, `title`, `status` | what kind of refusal it is, the same for every refusal of its kind |\n\
         | `detail` | what was refused, and why |\n\
         | `help` | what to do, or to change |\n\
         | `request_id` | the gateway's id of this request, also in the header `airgate-request-id` |\n\
         | `entry` | the index of the refusal in the audit log, also in the header `airgate-entry`: `airgate audit show ENTRY`. Absent where the log was unavailable |\n\
         | `route`, `grant` | the route that took the request, and the grant that came closest, where there is one |\n\n\
         | Status | Code | Title | What to do |\n|---|---|---|---|\n",
    );
    for problem in airgate_gateway::problems() {
        let _ = writeln!(
            out,
            "| {} | `{}` | {} | {} |",
            problem.status,
            problem.code,
            cell(problem.title),
            cell(&problem.help)
        );
    }
    out
}

fn configuration() -> String {
    let mut out = String::from(
        "<!-- Printed by `airgate reference config`: do not edit. -->\n\
         # Configuration\n\n\
         One TOML file. `airgate check --config FILE` tells every error at once, each with its place and the next step. A key that\n\
         is not on this page is an error. Relative paths are relative to the configuration file's folder. Durations are a whole\n\
         number and a unit (`500ms`, `5s`, `2m`, `1h`) in quotes; sizes are bytes, or a text such as `\"64KiB\"`. Names of sections\n\
         (`NAME`) are letters, digits, `-`, `_` and `.`. A key that starts with `danger_` weakens the gateway and is logged at\n\
         every start.\n\n\
         A whole example with comments is in `examples/quickstart/airgate.toml`.\n",
    );
    for section in schema::ALL {
        write_section(&mut out, section);
    }
    out
}

fn write_section(out: &mut String, section: &Schema) {
    let heading =
        if section.name == "(top)" { "The top of the file".to_owned() } else { format!("`{}`", section.name) };
    let _ = write!(
        out,
        "\n## {heading}\n\n{}\n\n| Key | Value | Where absent | Meaning |\n|---|---|---|---|\n",
        section.about
    );
    for field in section.fields {
        let absent = match field.absent {
            Absent::Refused(_) => "refused".to_owned(),
            Absent::Means(value) => format!("`{value}`"),
            Absent::Told(words) => words.to_owned(),
        };
        let about = match field.absent {
            Absent::Refused(example) if !matches!(field.kind, Kind::Table(_)) => {
                format!("{} Example: `{example}`", field.about)
            }
            _ => field.about.to_owned(),
        };
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", field.key, cell(&kind(field)), cell(&absent), cell(&about));
    }
}

fn kind(field: &Field) -> String {
    let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match field.kind {
        Kind::Text => "text".into(),
        Kind::Path => "path".into(),
        Kind::Flag => "`true` or `false`".into(),
        Kind::TextList => "text, or list of texts".into(),
        Kind::OneOf(all) => format!("one of {}", words(all)),
        Kind::SomeOf(all) => format!("one or more of {}", words(all)),
        Kind::Duration(shortest, longest) => format!("duration, `{shortest}` to `{longest}`"),
        Kind::Size(least, most) => {
            format!("size, `{}` to `{}`", crate::config::show_size(least), crate::config::show_size(most))
        }
        Kind::Count(least, most) => format!("number, {least} to {most}"),
        Kind::Table(name) => format!("table `{name}`"),
        Kind::Claims => "table: claim = value, or list of values".into(),
        Kind::ClaimPath => "claim: `\"a\"`, `\"a.b\"`, or list of names".into(),
        Kind::ClaimPaths => "table: name = claim".into(),
        Kind::Tables(name) => format!("list of tables `{name}`"),
        Kind::SignIn => "`\"none\"`, or table `upstream.NAME.sign_in`".into(),
    }
}
