//! `kill -9` under load: every request that got an answer has its entry, the log verifies, a torn tail is repaired.

use crate::{
    fixture::{Folder, shown},
    serve::{Served, folder, token},
};
use airgate_testkit::{log, upstream::Upstream};
use serde_json::Value;
use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

const CALLERS: usize = 8;
const ROUNDS: usize = 3;
/// Answers of one round before the kill.
const ANSWERS: usize = 400;

/// What a caller was told: the entry's index, and the request's id.
type Told = (usize, String);

/// Requests on one connection until it breaks; what each whole answer said.
fn call(address: &str, token: &str, all: &AtomicUsize) -> Vec<Told> {
    let mut told = Vec::new();
    let Ok(stream) = TcpStream::connect(address) else { return told };
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    let request = format!("GET /open/x HTTP/1.1\r\nhost: gw.example\r\nauthorization: Bearer {token}\r\n\r\n");
    while (&stream).write_all(request.as_bytes()).is_ok() {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return told;
            }
        }
        let field = |name: &str| {
            let line =
                head.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {head}"));
            line[name.len()..].trim_start_matches(':').trim().to_owned()
        };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut body = vec![0; field("content-length").parse().expect("a length")];
        if reader.read_exact(&mut body).is_err() {
            return told;
        }
        told.push((field("airgate-entry").parse().expect("an index"), field("airgate-request-id")));
        all.fetch_add(1, Ordering::Relaxed);
    }
    told
}

/// Serves under load, then kills; what all callers were told.
fn round(folder: &Folder, token: &str) -> Vec<Told> {
    let served = Served::start(folder);
    let answers = AtomicUsize::new(0);
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut told = Vec::new();
                    while !killed.load(Ordering::Acquire) {
                        told.extend(call(&served.address, token, &answers));
                    }
                    told
                })
            })
            .collect();
        while answers.load(Ordering::Relaxed) < ANSWERS {
            std::thread::yield_now();
        }
        served.signal("KILL");
        killed.store(true, Ordering::Release);
        callers.into_iter().flat_map(|caller| caller.join().expect("no answer was wrong")).collect()
    })
}

/// Starts and stops in good order; the start's log.
fn restart(folder: &Folder) -> Vec<Value> {
    let served = Served::start(folder);
    served.signal("TERM");
    let (status, said) = served.wait();
    assert!(status.success(), "{said:?}");
    said
}

fn verify(folder: &Folder) {
    let key = folder.airgate(&["audit", "key", "--config", "airgate.toml"]);
    folder.write("log.vkey", &String::from_utf8(key.stdout).expect("UTF-8"), 0o644);
    let verified = folder.airgate(&["audit", "verify", "--log", "audit", "--key", "@log.vkey"]);
    assert_eq!(verified.status.code(), Some(0), "{}", shown(&verified));
}

#[test]
fn every_answer_has_its_entry_after_a_kill() {
    let upstream = Upstream::start();
    let (folder, issuer) = folder(upstream.address().port());
    let token = token(&issuer);
    let mut told = Vec::new();
    for _ in 0..ROUNDS {
        told.extend(round(&folder, &token));
    }
    restart(&folder);
    verify(&folder);

    let entries = log::entries(&folder.path().join("audit"));
    assert!(told.len() >= ROUNDS * ANSWERS);
    for (index, request_id) in &told {
        assert_eq!(entries[*index]["kind"], "intent");
        assert_eq!(entries[*index]["call"]["request_id"], request_id.as_str(), "entry {index}");
    }
    let mut outcomes = vec![0; entries.len()];
    for entry in entries.iter().filter(|entry| entry["kind"] == "outcome") {
        outcomes[usize::try_from(entry["intent"].as_u64().expect("an index")).expect("small")] += 1;
    }
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(outcomes[index], usize::from(entry["kind"] == "intent"), "outcomes of entry {index}: {entry}");
    }
    // What reached the upstream was recorded first, answered or not.
    let recorded: std::collections::HashSet<&str> =
        entries.iter().filter_map(|entry| entry["call"]["request_id"].as_str()).collect();
    for received in upstream.received() {
        assert!(
            recorded.contains(received.field("x-airgate-request-id")[0]),
            "forwarded without a record: {}",
            received.head
        );
    }
}

#[test]
fn a_torn_tail_is_repaired_with_a_word_about_it() {
    let upstream = Upstream::start();
    let (folder, issuer) = folder(upstream.address().port());
    let told = round(&folder, &token(&issuer));
    // The kill alone tears nothing that the kernel had taken; a power cut would have: half a batch after the last.
    let newest = std::fs::read_dir(folder.path().join("audit/journal"))
        .expect("a journal")
        .map(|file| file.expect("listed").path())
        // The kill may have caught the publisher before a rename: `publish.new` is no segment.
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .max();
    let newest = newest.expect("a segment");
    let bytes = std::fs::read(&newest).expect("read");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something is written") + 1;
    // It starts as a batch starts, with the magic of the last one, and breaks off.
    let start = bytes.windows(4).rposition(|four| four == [0xF7, b'A', b'G', b'B']).expect("a batch");
    let torn = &bytes[start..start + (end - start) * 2 / 3];
    OpenOptions::new().write(true).open(&newest).expect("opened").write_all_at(torn, end as u64).expect("written");

    let said = restart(&folder);
    let word = said.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains("torn tail")));
    assert!(word.is_some_and(|line| line["bytes"].as_u64() > Some(0)), "{said:?}");
    verify(&folder);
    let entries = log::entries(&folder.path().join("audit"));
    for (index, request_id) in &told {
        assert_eq!(entries[*index]["call"]["request_id"], request_id.as_str(), "entry {index}");
    }
}
