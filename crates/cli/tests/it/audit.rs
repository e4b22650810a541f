//! `airgate audit` over a log that a gateway has written.

use crate::{
    fixture::{Folder, shown},
    serve::{Served, Upstream, folder, token},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Output,
};

/// A stopped gateway's folder, with one permitted call, one denied and one without a token; the file `vkey` holds the public key.
fn written() -> Folder {
    let upstream = Upstream::start();
    let (folder, issuer) = folder(upstream.port);
    let served = Served::start(&folder);
    assert_eq!(served.get("/open/7", Some(&token(&issuer))).0, 200);
    assert_eq!(served.get("/open", None).0, 401);
    let now = u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970");
    let other = issuer.token(issuer.job_claims("other_dag", "load", "https://gw.example", now));
    assert_eq!(served.get("/open/8", Some(&other)).0, 403);
    served.signal("TERM");
    assert_eq!(served.wait().0.code(), Some(0));
    let key = folder.airgate(&["audit", "key", "--config", "airgate.toml"]);
    assert_eq!(key.status.code(), Some(0), "{}", shown(&key));
    folder.write("vkey", &String::from_utf8(key.stdout).expect("UTF-8"), 0o644);
    folder
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", shown(output)))
}

/// The calls that a search finds.
fn found(folder: &Folder, args: &[&str]) -> Vec<Value> {
    let output = folder.airgate(&[&["audit", "search", "--log", "audit", "--json"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    json(&output).as_array().expect("a list").clone()
}

#[test]
fn a_log_verifies_with_its_public_key_alone() {
    let folder = written();
    let sources: &[&[&str]] = &[&["--config", "airgate.toml"], &["--log", "audit", "--key", "@vkey"]];
    for source in sources {
        let output = folder.airgate(&[&["audit", "verify"], *source].concat());
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        assert!(shown(&output).contains("log verified\n"), "{}", shown(&output));
        assert!(shown(&output).contains("permitted      1, 1 of them ended"), "{}", shown(&output));
        let output = folder.airgate(&[&["audit", "verify", "--json"], *source].concat());
        let report = json(&output);
        assert_eq!((&report["ok"], &report["refusals"]), (&Value::Bool(true), &Value::from(2)), "{report}");
    }
}

#[test]
fn a_changed_log_does_not_verify() {
    let folder = written();
    let mut changed = 0;
    for bundle in files(&folder.path().join("audit/tile/entries")) {
        let bytes = std::fs::read(&bundle).expect("a bundle");
        if let Some(at) = bytes.windows(14).position(|window| window == b"nightly_orders") {
            let mut bytes = bytes;
            bytes[at] = b'N';
            std::fs::write(&bundle, bytes).expect("written");
            changed += 1;
        }
    }
    assert!(changed > 0);
    let output = folder.airgate(&["audit", "verify", "--config", "airgate.toml"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains("error: not verified: "), "{}", shown(&output));
    let output = folder.airgate(&["audit", "verify", "--config", "airgate.toml", "--json"]);
    assert_eq!((output.status.code(), &json(&output)["ok"]), (Some(1), &Value::Bool(false)));
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().expect("readable").map(|entry| entry.expect("entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_log_extends_its_older_checkpoint_and_not_another_logs() {
    let (folder, other) = (written(), written());
    for (checkpoint, code) in [(&folder, 0), (&other, 1)] {
        let path = checkpoint.path().join("audit/checkpoint");
        let path = path.to_str().expect("UTF-8");
        let output = folder.airgate(&["audit", "verify", "--config", "airgate.toml", "--since-checkpoint", path]);
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
    }
}

#[test]
fn search_finds_calls_by_what_they_were() {
    let folder = written();
    let cases: &[(&[&str], usize)] = &[
        (&[], 3),
        (&["--dag", "nightly_orders"], 1),
        (&["--dag", "nightly"], 0),
        (&["--task", "load"], 2),
        (&["--code", "permitted"], 1),
        (&["--code", "token_missing"], 1),
        (&["--path", "/open/"], 2),
        (&["--try", "1", "--grant", "nightly"], 1),
        (&["--since", "2200-01-01T00:00:00Z"], 0),
        (&["--until", "2001-01-01T00:00:00Z"], 0),
        (&["--limit", "2"], 2),
    ];
    for (args, number) in cases {
        assert_eq!(found(&folder, args).len(), *number, "{args:?}");
    }
    let output = folder.airgate(&["audit", "search", "--config", "airgate.toml", "--dag", "nightly_orders"]);
    let text = shown(&output);
    let job = "nightly_orders / manual__2026-01-01T00:00:00+00:00 / load / 1";
    assert!(text.contains(job) && text.contains("GET /open/7") && text.contains("completed"), "{text}");
}

#[test]
fn show_proves_an_entry() {
    let folder = written();
    let call = &found(&folder, &["--code", "permitted"])[0];
    let index = call["index"].to_string();
    let output = folder.airgate(&["audit", "show", &index, "--config", "airgate.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    for word in ["proven: in the log of", "its outcome, entry", "\"nightly_orders\""] {
        assert!(shown(&output).contains(word), "{}", shown(&output));
    }
    let output = folder.airgate(&["audit", "show", &index, "--log", "audit", "--key", "@vkey", "--json"]);
    assert_eq!(json(&output)["index"].to_string(), index);
}

#[test]
fn says_what_is_wrong_with_a_source() {
    let folder = written();
    folder.write("notkey", "gw.example/audit+00000000+AAAA\n", 0o644);
    folder.write("empty.toml", "[audit]\nfolder = \"nowhere\"\nkey = \"new.key\"\norigin = \"gw\"\n", 0o644);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["verify", "--log", "audit"], 2, "none is given"),
        (&["verify", "--log", "audit", "--key", "@notkey"], 2, "the verifier key is none"),
        (&["verify", "--log", "audit", "--key", "@missing"], 2, "`--key`: `missing`"),
        (&["verify", "--log", "nowhere", "--key", "@vkey"], 3, "`nowhere` is no log's folder"),
        (&["search", "--log", "."], 3, "`.` is no log's folder"),
        (&["search", "--config", "empty.toml"], 3, "`nowhere` is no log's folder"),
        (&["key", "--config", "empty.toml"], 3, "new.key"),
        (&["key", "--config", "missing.toml"], 2, "no such file"),
        (&["show", "999", "--config", "airgate.toml"], 1, "there is no entry 999"),
    ];
    for (args, code, word) in cases {
        let output = folder.airgate(&[&["audit"], *args].concat());
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {}", shown(&output));
        let text = shown(&output);
        assert!(text.contains(word) && text.contains("\nhelp: "), "{args:?}: {text}");
    }
    assert!(!folder.path().join("new.key").exists(), "reading makes no key");
}

#[test]
fn a_callers_escape_sequences_do_not_reach_the_terminal() {
    let upstream = Upstream::start();
    let (folder, issuer) = folder(upstream.port);
    let served = Served::start(&folder);
    let now = u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970");
    let claims = issuer.job_claims("evil\u{1b}[2J\u{202e}\u{9b}", "load", "https://gw.example", now);
    assert_eq!(served.get("/open/7", Some(&issuer.token(claims))).0, 403);
    served.signal("TERM");
    served.wait();
    for args in [
        &["audit", "search", "--config", "airgate.toml"][..],
        &["audit", "search", "--config", "airgate.toml", "--json"],
        &["audit", "show", "1", "--config", "airgate.toml"],
        &["audit", "show", "1", "--config", "airgate.toml", "--json"],
    ] {
        let text = shown(&folder.airgate(args));
        assert!(text.contains("evil"), "{args:?}: {text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{args:?}: {text:?}");
    }
}
