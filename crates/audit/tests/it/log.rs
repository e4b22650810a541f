//! What a log promises while nothing goes wrong.

use crate::common::{call, config, done, key, open, verifier};
use airgate_audit::{
    AuditError, AuditLog, Call, Ending, Job, LogConfig, LogKey, Outcome, Query, ReadError, Subject, VerifyError,
    VerifyOptions,
    disk::{Disk, DiskFile, RealDisk},
    search, search_on, show, verify,
};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::tempdir;

fn check(folder: &Path) -> airgate_audit::VerifyReport {
    verify(&folder.join("log"), &verifier(folder), &VerifyOptions::default()).unwrap()
}

#[tokio::test]
async fn writes_publishes_and_verifies() {
    let dir = tempdir().unwrap();
    let (log, recovery) = open(dir.path());
    assert_eq!((recovery.size, recovery.torn_bytes_removed, recovery.intents_closed), (1, 0, 0));
    let writer = log.writer();
    for n in 0..600 {
        let entry = writer.intent(call(&format!("r{n}"))).await.unwrap();
        assert_eq!(entry.index(), 1 + 2 * n);
        entry.close(done());
    }
    let refused = writer.refusal(Call { status: Some(403), ..call("no") }).await.unwrap();
    log.close().unwrap();
    let report = check(dir.path());
    assert_eq!((report.intents, report.outcomes, report.refusals, report.gateway), (600, 600, 1, 2));
    assert_eq!(report.size, refused + 2, "the stop is noted last");
    assert!(report.open_intents.is_empty());
    let report = serde_json::to_value(&report).unwrap();
    assert_eq!(report["origin"], "gw.test/audit");
}

#[tokio::test]
async fn goes_on_where_it_stopped() {
    let dir = tempdir().unwrap();
    let mut size = 0;
    for run in 0..3 {
        let (log, recovery) = open(dir.path());
        assert_eq!(recovery.size, size + 1);
        let entry = log.writer().intent(call(&format!("r{run}"))).await.unwrap();
        assert_eq!(entry.index(), recovery.size);
        entry.close(done());
        log.close().unwrap();
        let report = check(dir.path());
        assert!(report.size > size);
        size = report.size;
    }
}

#[tokio::test]
async fn one_folder_has_one_writer() {
    let dir = tempdir().unwrap();
    let (log, _) = open(dir.path());
    let error = AuditLog::open(config(dir.path()), key(dir.path())).unwrap_err();
    assert!(matches!(error, AuditError::Locked { .. }), "{error}");
    log.close().unwrap();
    open(dir.path()).0.close().unwrap();
}

#[tokio::test]
async fn dropped_entries_are_abandoned_and_open_ones_closed_at_the_stop() {
    let dir = tempdir().unwrap();
    let (log, _) = open(dir.path());
    let writer = log.writer();
    drop(writer.intent(call("dropped")).await.unwrap());
    let open_entry = writer.intent(call("open")).await.unwrap();
    log.close().unwrap();
    open_entry.close(done());
    let error = writer.intent(call("late")).await.unwrap_err();
    assert_eq!(error.reason, "the log is closed");
    let found = search(&dir.path().join("log"), &Query::default()).unwrap();
    let endings: Vec<_> = found.iter().map(|found| found.outcome.as_ref().unwrap().outcome.ending).collect();
    assert_eq!(endings, [Ending::Abandoned, Ending::GatewayStopped]);
    assert!(check(dir.path()).open_intents.is_empty());
}

#[tokio::test]
async fn a_dropped_log_is_recovered() {
    let dir = tempdir().unwrap();
    let (log, _) = open(dir.path());
    let entry = log.writer().intent(call("open")).await.unwrap();
    drop(log);
    drop(entry);
    let (log, recovery) = open(dir.path());
    assert_eq!(recovery.intents_closed, 1);
    log.close().unwrap();
    assert_eq!(check(dir.path()).outcomes, 1);
}

#[tokio::test]
async fn a_caller_that_gave_up_leaves_no_open_intent() {
    let dir = tempdir().unwrap();
    let (log, _) = open(dir.path());
    let writer = log.writer();
    for n in 0..200 {
        let name = format!("r{n}");
        let intent = writer.intent(call(&name));
        // Given up at any point: before it is queued, while it is written, when the answer is there.
        let _ = tokio::time::timeout(Duration::from_micros(n * 10), intent).await;
    }
    log.close().unwrap();
    let report = check(dir.path());
    assert_eq!(report.intents, report.outcomes);
    for found in search(&dir.path().join("log"), &Query::default()).unwrap() {
        let ending = found.outcome.unwrap().outcome.ending;
        assert!(matches!(ending, Ending::Refused | Ending::Abandoned), "{ending:?}");
    }
}

#[tokio::test]
async fn too_long_a_wait_is_unavailable() {
    let dir = tempdir().unwrap();
    let config = LogConfig { append_timeout: Duration::ZERO, ..config(dir.path()) };
    let (log, _) = AuditLog::open(config, key(dir.path())).unwrap();
    let refused = log.writer().intent(call("r")).await;
    log.close().unwrap();
    let report = check(dir.path());
    assert_eq!(report.intents, report.outcomes, "{refused:?}");
}

#[tokio::test]
async fn a_full_queue_is_unavailable() {
    let dir = tempdir().unwrap();
    let config = LogConfig { queue_max: 0, ..config(dir.path()) };
    let (log, _) = AuditLog::open(config, key(dir.path())).unwrap();
    assert!(log.writer().intent(call("r")).await.unwrap_err().reason.contains("wait for the disk"));
    log.close().unwrap();
}

#[tokio::test]
async fn what_a_peer_says_stays_in_its_string_and_in_bounds() {
    let dir = tempdir().unwrap();
    let (log, _) = open(dir.path());
    let writer = log.writer();
    let huge = "\u{1}\u{9b}\"\\é".repeat(100_000);
    let subject = Subject {
        issuer: huge.clone(),
        iss: Some(huge.clone()),
        subject: huge.clone(),
        assurance: huge.clone(),
        token_id: Some(huge.clone()),
        token_sha256: huge.clone(),
        proof: Some(huge.clone()),
        job: Some(Job {
            dag_id: huge.clone(),
            run_id: huge.clone(),
            task_id: huge.clone(),
            map_index: i64::MIN,
            try_number: i64::MIN,
            ti_id: Some(huge.clone()),
        }),
    };
    let some = Some(huge.clone());
    let call = Call {
        request_id: huge.clone(),
        client_request_id: some.clone(),
        traceparent: some.clone(),
        peer: huge.clone(),
        listener: huge.clone(),
        host: some.clone(),
        method: huge.clone(),
        path: format!("/a\r\n{{\"v\":1}}\u{1b}[2J\u{202e}{huge}"),
        query_sha256: some.clone(),
        route: some.clone(),
        upstream: some.clone(),
        principal: Some(subject),
        grant: some.clone(),
        role: some.clone(),
        sign_in: some.clone(),
        windows_identity: some.clone(),
        code: huge.clone(),
        reason: huge.clone(),
        status: Some(u16::MAX),
    };
    let entry = writer.intent(call.clone()).await.unwrap();
    entry.close(Outcome { code: some.clone(), detail: some, bytes_in: u64::MAX, ..done() });
    writer.refusal(call).await.unwrap();
    log.close().unwrap();
    assert_eq!(check(dir.path()).intents, 1);
    let bundle = fs::read(dir.path().join("log/tile/entries/000.p/5")).unwrap();
    let entries = airgate_tlog::bundle_entries(&bundle).unwrap();
    assert_eq!(entries.len(), 5);
    for entry in entries {
        let text = std::str::from_utf8(entry).unwrap();
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{}", &text[..200]);
        assert!(entry.len() < 65_536, "{}", entry.len());
    }
    let found = search(&dir.path().join("log"), &Query::default()).unwrap();
    assert!(found[0].call.path.starts_with("/a\r\n{\"v\":1}\u{1b}[2J\u{202e}\u{1}"));
    assert!(
        found[0].call.path.ends_with(&format!("[cut: {} bytes]", huge.len() + 18)),
        "{:?}",
        found[0].call.path.len()
    );
}

#[tokio::test]
async fn finds_calls_and_joins_their_outcome() {
    let dir = tempdir().unwrap();
    let (log, _) = open(dir.path());
    let writer = log.writer();
    for n in 0..300 {
        writer.intent(call(&format!("r{n}"))).await.unwrap().close(done());
    }
    let refusal = Call {
        path: "/api/payroll".to_owned(),
        code: "not_granted".to_owned(),
        client_request_id: Some("mine".to_owned()),
        status: Some(403),
        ..call("refused")
    };
    writer.refusal(refusal).await.unwrap();
    let failed = Outcome { code: Some("upstream_refused".to_owned()), ending: Ending::UpstreamFailed, ..done() };
    writer.intent(call("failed")).await.unwrap().close(failed);
    let some = |text: &str| Some(text.to_owned());
    let folder = dir.path().join("log");
    for (query, count) in [
        (Query::default(), 302),
        (Query { request_id: some("r7"), ..Query::default() }, 1),
        (Query { request_id: some("mine"), ..Query::default() }, 1),
        (Query { kind: some("refusal"), ..Query::default() }, 1),
        (Query { code: some("upstream_refused"), ..Query::default() }, 1),
        (Query { code: some("not_granted"), ..Query::default() }, 1),
        (Query { path_prefix: some("/api/pay"), ..Query::default() }, 1),
        (Query { dag_id: some("nightly_orders"), task_id: some("read_orders"), ..Query::default() }, 302),
        (Query { dag_id: some("another"), ..Query::default() }, 0),
        (Query { try_number: Some(2), ..Query::default() }, 0),
        (Query { limit: Some(10), ..Query::default() }, 10),
        (Query { until: Some(jiff::Timestamp::UNIX_EPOCH), ..Query::default() }, 0),
        (Query { since: Some(jiff::Timestamp::UNIX_EPOCH), ..Query::default() }, 302),
    ] {
        // On the live log: what is not published yet is found in the journal.
        assert_eq!(search(&folder, &query).unwrap().len(), count, "{query:?}");
    }
    log.close().unwrap();
    let latest = search(&folder, &Query { limit: Some(2), ..Query::default() }).unwrap();
    assert_eq!(latest[0].call.request_id, "refused");
    assert_eq!(latest[1].outcome.as_ref().unwrap().outcome.ending, Ending::UpstreamFailed);
    assert!(latest[1].published);
}

#[tokio::test]
async fn shows_an_entry_with_its_partner_and_its_proof() {
    let dir = tempdir().unwrap();
    let quiet = LogConfig { publish_interval: Duration::from_secs(3_600), ..config(dir.path()) };
    let (log, _) = AuditLog::open(config(dir.path()), key(dir.path())).unwrap();
    for n in 0..300 {
        log.writer().intent(call(&format!("r{n}"))).await.unwrap().close(done());
    }
    log.close().unwrap();
    let (folder, verifier) = (dir.path().join("log"), verifier(dir.path()));
    for (index, partner) in [(0, None), (1, Some(2)), (2, Some(1)), (255, Some(256)), (256, Some(255)), (601, None)] {
        let shown = show(&folder, &verifier, index).unwrap();
        assert_eq!(shown.partner_index, partner, "entry {index}");
        assert_eq!(shown.inclusion.unwrap().size, 602);
    }
    let (log, _) = AuditLog::open(quiet, key(dir.path())).unwrap();
    let size = check(dir.path()).size;
    let entry = log.writer().intent(call("new")).await.unwrap();
    let index = entry.index();
    let shown = show(&folder, &verifier, index).unwrap();
    assert_eq!(shown.entry["call"]["request_id"], "new");
    assert!(index < size || shown.inclusion.is_none(), "durable, and not yet published");
    let error = show(&folder, &verifier, 10_000).unwrap_err();
    assert!(matches!(error, ReadError::NoEntry { index: 10_000, .. }), "{error}");
    drop(entry);
    log.close().unwrap();
}

/// A closed log of a little more than one tile.
async fn written(dir: &Path) {
    let (log, _) = open(dir);
    for n in 0..150 {
        log.writer().intent(call(&format!("r{n}"))).await.unwrap().close(done());
    }
    log.close().unwrap();
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn verify_names_what_was_changed() {
    let dir = tempdir().unwrap();
    written(dir.path()).await;
    let folder = dir.path().join("log");
    let size = check(dir.path()).size;
    let rest = size - 256;
    let flip = |at: usize| move |bytes: &mut Vec<u8>| bytes[at] ^= 1;
    let offset =
        fs::read(folder.join("tile/entries/000")).unwrap().windows(8).position(|w| w == b"\"r10\",\"p").unwrap();
    for (name, expected) in [
        ("tile/entries/000", "entry 21: its bytes in `tile/entries/000` do not match `tile/0/000`"),
        ("tile/0/000", "entry 0: its bytes in `tile/entries/000` do not match `tile/0/000`"),
        ("tile/1/000.p/1", "`tile/1/000.p/1` does not follow from the tiles below it"),
        ("checkpoint", "`checkpoint`: the note's signature is wrong"),
    ] {
        let path = folder.join(name);
        let before = fs::read(&path).unwrap();
        change(
            &path,
            flip(match name {
                "tile/entries/000" => offset + 3,
                "checkpoint" => "gw.test/audit\n".len(),
                _ => 0,
            }),
        );
        let error = verify(&folder, &verifier(dir.path()), &VerifyOptions::default()).unwrap_err().to_string();
        assert_eq!(error, expected);
        fs::remove_file(&path).unwrap();
        let error = verify(&folder, &verifier(dir.path()), &VerifyOptions::default()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        fs::write(&path, before).unwrap();
    }
    assert!(folder.join(format!("tile/0/001.p/{rest}")).exists());
    assert_eq!(check(dir.path()).size, size);
    let other = LogKey::load_or_create(&dir.path().join("other.key"), "gw.test/audit").unwrap();
    let error = verify(&folder, &other.verifier_key().parse().unwrap(), &VerifyOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "`checkpoint`: the note is not signed by this key");
}

#[tokio::test]
async fn verify_tells_a_rewritten_log_from_a_grown_one() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    written(dir.path()).await;
    let old = fs::read_to_string(dir.path().join("log/checkpoint")).unwrap();
    open(dir.path()).0.close().unwrap();
    let options = VerifyOptions { since_checkpoint: Some(old.clone()) };
    let report = verify(&dir.path().join("log"), &verifier(dir.path()), &options).unwrap();
    assert_eq!(report.extends_size, Some(302));
    // The same key signs another history.
    fs::copy(dir.path().join("log.key"), other.path().join("log.key")).unwrap();
    written(other.path()).await;
    open(other.path()).0.close().unwrap();
    let error = verify(&other.path().join("log"), &verifier(dir.path()), &options).unwrap_err();
    assert!(matches!(error, VerifyError::Rewritten { old_size: 302, .. }), "{error}");
}

#[tokio::test]
async fn refuses_to_open_what_contradicts_itself() {
    let dir = tempdir().unwrap();
    written(dir.path()).await;
    let log = dir.path().join("log");
    let refused = |expected: &str| {
        let error = AuditLog::open(config(dir.path()), key(dir.path())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nexpected: {expected}");
    };
    let restored = |path: &Path, expected: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let before = fs::read(path).unwrap();
        change(path, damage);
        refused(expected);
        fs::write(path, before).unwrap();
    };
    restored(&log.join("checkpoint"), "is not this log's", &|bytes| bytes[0] ^= 1);
    let partial = fs::read_dir(log.join("tile/0/001.p"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| path.file_name().unwrap().to_string_lossy().parse::<u64>().unwrap());
    restored(&partial.unwrap(), "entry 256 of the journal is not the one that was published", &|bytes| bytes[3] ^= 1);
    fs::rename(log.join("journal"), dir.path().join("aside")).unwrap();
    refused("the checkpoint covers 302 entries, and the journal starts with nothing");
    fs::remove_dir_all(log.join("journal")).unwrap();
    fs::rename(dir.path().join("aside"), log.join("journal")).unwrap();
    fs::rename(log.join("checkpoint"), dir.path().join("checkpoint")).unwrap();
    refused("the checkpoint covers 0 entries");
    fs::rename(dir.path().join("checkpoint"), log.join("checkpoint")).unwrap();
    let (log, recovery) = open(dir.path());
    assert_eq!(recovery.torn_bytes_removed, 0);
    log.close().unwrap();
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir.join("log/journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

#[tokio::test]
async fn a_torn_tail_is_left_out_and_damage_before_it_is_an_error() {
    let dir = tempdir().unwrap();
    let quiet = LogConfig { publish_interval: Duration::from_secs(3_600), ..config(dir.path()) };
    let (log, _) = AuditLog::open(quiet.clone(), key(dir.path())).unwrap();
    for n in 0..10 {
        log.writer().intent(call(&format!("r{n}"))).await.unwrap().close(done());
    }
    log.writer().refusal(call("last")).await.unwrap();
    drop(log);
    let segment = segments(dir.path()).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let last = whole.windows(4).rposition(|w| w == b"\xF7AGB").unwrap();
    // Lengths of a torn last batch, each one in its header, the rest zeros as in a segment that was made ahead.
    for cut in (last..last + 32).chain((last + 32..end).step_by(23)) {
        let copy = tempdir().unwrap();
        copy_folder(dir.path(), copy.path());
        change(&copy.path().join(segment.strip_prefix(dir.path()).unwrap()), |bytes| bytes[cut..].fill(0));
        let (log, recovery) = AuditLog::open(quiet.clone_to(copy.path()), key(copy.path())).unwrap();
        assert_eq!(
            recovery.torn_bytes_removed,
            (whole[last..cut].iter().rposition(|b| *b != 0)).map_or(0, |at| at as u64 + 1)
        );
        if cut % 8 == 0 {
            log.close().unwrap();
            assert!(
                search(&copy.path().join("log"), &Query { request_id: Some("last".to_owned()), ..Query::default() })
                    .unwrap()
                    .is_empty()
            );
            assert_eq!(check(copy.path()).intents, 10);
        }
    }
    // One bit anywhere before the last batch is damage: it is named, and nothing is left out.
    let header = 24;
    for at in (header..last).step_by(97) {
        fs::write(&segment, &whole).unwrap();
        change(&segment, |bytes| bytes[at] ^= 0x10);
        let error = AuditLog::open(quiet.clone(), key(dir.path())).unwrap_err();
        let AuditError::Damaged { file, offset, .. } = &error else { panic!("byte {at}: {error}") };
        assert_eq!(file, &segment);
        assert!(*offset <= at as u64, "byte {at}: {error}");
    }
}

trait CloneTo {
    fn clone_to(&self, folder: &Path) -> Self;
}

impl CloneTo for LogConfig {
    fn clone_to(&self, folder: &Path) -> Self {
        Self { folder: folder.join("log"), ..self.clone() }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn the_key_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempdir().unwrap();
    let path = dir.path().join("log.key");
    let made = key(dir.path());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(key(dir.path()).verifier_key(), made.verifier_key(), "it is made once");
    let secret = fs::read_to_string(&path).unwrap();
    assert!(!format!("{made:?}").contains(secret.lines().nth(1).unwrap()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = LogKey::load_or_create(&path, "gw.test/audit").unwrap_err().to_string();
    assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for bad in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        fs::write(&path, bad).unwrap();
        let error = LogKey::load_or_create(&path, "gw.test/audit").unwrap_err();
        assert!(matches!(error, AuditError::KeyMalformed { .. }), "{error}");
    }
    let error = LogKey::load_or_create(&dir.path().join("new.key"), "no spaces").unwrap_err();
    assert!(matches!(error, AuditError::Origin { .. }), "{error}");
    assert!(!dir.path().join("new.key").exists());
}

/// The machine's disk, on which something happens right after the checkpoint was read for the first time.
struct Between(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Disk for Between {
    fn read(&self, path: &Path, offset: u64, length_max: u64) -> std::io::Result<Option<Vec<u8>>> {
        let read = RealDisk.read(path, offset, length_max);
        if path.ends_with("checkpoint")
            && let Some(happens) = self.0.lock().unwrap().take()
        {
            happens();
        }
        read
    }
    fn list(&self, folder: &Path) -> std::io::Result<Vec<String>> {
        RealDisk.list(folder)
    }
    fn create_folder(&self, _: &Path) -> std::io::Result<()> {
        unreachable!("readers never write")
    }
    fn create(&self, _: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        unreachable!("readers never write")
    }
    fn open(&self, _: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        unreachable!("readers never write")
    }
    fn rename(&self, _: &Path, _: &Path) -> std::io::Result<()> {
        unreachable!("readers never write")
    }
    fn remove(&self, _: &Path) -> std::io::Result<()> {
        unreachable!("readers never write")
    }
    fn remove_folder(&self, _: &Path) -> std::io::Result<()> {
        unreachable!("readers never write")
    }
    fn sync_folder(&self, _: &Path) -> std::io::Result<()> {
        unreachable!("readers never write")
    }
    fn lock(&self, _: &Path) -> std::io::Result<Box<dyn Send + Sync>> {
        unreachable!("readers never lock")
    }
}

/// What is published between two looks of a reader, and leaves the journal, is found all the same.
#[tokio::test]
async fn a_reader_misses_nothing_that_is_published_meanwhile() {
    let dir = tempdir().unwrap();
    let slow = LogConfig { publish_interval: Duration::from_secs(600), ..config(dir.path()) };
    let (log, _) = AuditLog::open(slow, key(dir.path())).unwrap();
    let writer = log.writer();
    for n in 0..300 {
        writer.intent(call(&format!("r{n}"))).await.unwrap().close(done());
    }
    writer.refusal(call("last")).await.unwrap();
    let folder = dir.path().join("log");
    let publish: Box<dyn FnOnce() + Send> = Box::new(move || log.close().unwrap());
    let disk = Between(Mutex::new(Some(publish)));
    assert_eq!(search_on(&disk, &folder, &Query::default()).unwrap().len(), 301);
    assert!(disk.0.lock().unwrap().is_none(), "it was published meanwhile");
}
