//! A real process, killed while it writes.

use crate::common::{call, done, open, verifier};
use airgate_audit::{Query, VerifyOptions, search, verify};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FOLDER: &str = "AIRGATE_TEST_KILL_FOLDER";

/// Not a test of its own: the process that is killed. Prints each index once it is told that the entry is durable.
#[test]
fn child_writes_until_it_is_killed() {
    let Some((_, folder)) = std::env::vars_os().find(|(key, _)| key == FOLDER) else { return };
    let (log, _) = open(&PathBuf::from(folder));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for task in 0..8 {
        let writer = log.writer();
        let process = std::process::id();
        runtime.spawn(async move {
            for n in 0_u64.. {
                let name = format!("{process}-{task}-{n}");
                let entry = writer.intent(call(&name)).await.unwrap();
                let line = format!("durable {} {name}\n", entry.index());
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                if n % 5 == 0 { drop(entry) } else { entry.close(done()) }
            }
        });
    }
    runtime.block_on(std::future::pending::<()>());
}

fn run_and_kill(folder: &Path, after: usize, told: &mut BTreeMap<u64, String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut count = 0;
    while count < after {
        let line = lines.next().expect("the child ended by itself").unwrap();
        count += usize::from(note(&line, told));
    }
    child.kill().unwrap();
    // What was printed before the kill counts, but for a last line that is cut short.
    for line in lines.map_while(Result::ok) {
        note(&line, told);
    }
    child.wait().unwrap();
}

fn note(line: &str, told: &mut BTreeMap<u64, String>) -> bool {
    let Some(at) = line.find("durable ") else { return false };
    let mut words = line[at..].split(' ').skip(1);
    let (Some(index), Some(name)) = (words.next(), words.next()) else { return false };
    if name.matches('-').count() == 2 && !name.ends_with('-') {
        told.insert(index.parse().unwrap(), name.to_owned());
    }
    true
}

#[test]
fn every_index_that_was_told_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut checkpoint = None;
    for round in 0..6 {
        run_and_kill(dir.path(), 50 + 130 * round, &mut told);
        let (log, recovery) = open(dir.path());
        log.close().unwrap();
        let folder = dir.path().join("log");
        let options = VerifyOptions { since_checkpoint: checkpoint.take() };
        let report = verify(&folder, &verifier(dir.path()), &options).unwrap();
        checkpoint = Some(std::fs::read_to_string(folder.join("checkpoint")).unwrap());
        assert!(report.open_intents.is_empty(), "{recovery:?}");
        assert_eq!(report.intents, report.outcomes);
        let found: BTreeMap<u64, String> = search(&folder, &Query::default())
            .unwrap()
            .into_iter()
            .map(|found| (found.index, found.call.request_id))
            .collect();
        for (index, name) in &told {
            // The very last line of a round may be cut by the kill.
            let recorded = found.get(index).unwrap_or_else(|| panic!("round {round}: entry {index} is lost"));
            assert!(recorded.starts_with(name.as_str()), "round {round}: entry {index} is {recorded}, not {name}");
        }
    }
    assert!(told.len() > 1_000, "{}", told.len());
}
