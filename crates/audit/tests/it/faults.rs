//! One row for each operation on the disk: there the machine stops, or the disk refuses. On every row the whole log is
//! checked again afterwards, and everything the callers were told must be so.

use crate::common::{ORIGIN, call, done};
use crate::sim::{Fault, SimDisk};
use airgate_audit::disk::Disk as _;
use airgate_audit::{
    AuditLog, AuditWriter, Ending, LogConfig, LogKey, Query, Recovery, VerifierKey, VerifyOptions, VerifyReport,
    search_on, verify_on,
};
use airgate_tlog::{Checkpoint, EMPTY_ROOT, Edge, TilePath, bundle_entries, leaf_hash, tile_width};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const FOLDER: &str = "/log";

struct Bench {
    keys: TempDir,
    runtime: Runtime,
}

/// What callers were told.
#[derive(Default)]
struct Told {
    /// By name: the index of a durable intent, and whether its outcome was handed over.
    intents: BTreeMap<String, u64>,
    refusals: BTreeMap<String, u64>,
    unavailable: BTreeSet<String>,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { keys: tempfile::tempdir().unwrap(), runtime }
    }

    fn key(&self) -> LogKey {
        LogKey::load_or_create(&self.keys.path().join("log.key"), ORIGIN).unwrap()
    }

    fn open(&self, disk: &SimDisk) -> Result<(AuditLog, Recovery), airgate_audit::AuditError> {
        let config = LogConfig {
            folder: PathBuf::from(FOLDER),
            origin: ORIGIN.to_owned(),
            publish_interval: Duration::from_millis(1),
            segment_bytes: 4_096,
            queue_max: 64,
            append_timeout: Duration::from_secs(20),
        };
        AuditLog::open_on(Arc::new(disk.clone()), config, self.key())
    }

    /// Rounds of four concurrent intents and a refusal; every fourth intent is dropped without an outcome.
    fn work(&self, writer: &AuditWriter, prefix: &str, rounds: usize, told: &mut Told) {
        for round in 0..rounds {
            let names: Vec<String> = (0..4).map(|n| format!("{prefix}-{round}-{n}")).collect();
            let refused = format!("{prefix}-{round}-refused");
            let (intents, refusal) = self.runtime.block_on(async {
                tokio::join!(
                    async {
                        tokio::join!(
                            writer.intent(call(&names[0])),
                            writer.intent(call(&names[1])),
                            writer.intent(call(&names[2])),
                            writer.intent(call(&names[3])),
                        )
                    },
                    writer.refusal(call(&refused))
                )
            });
            for (name, answer) in names.into_iter().zip(<[_; 4]>::from(intents)) {
                match answer {
                    Ok(entry) => {
                        told.intents.insert(name.clone(), entry.index());
                        if name.ends_with('3') { drop(entry) } else { entry.close(done()) }
                    }
                    Err(_) => drop(told.unavailable.insert(name)),
                }
            }
            match refusal {
                Ok(index) => drop(told.refusals.insert(refused, index)),
                Err(_) => drop(told.unavailable.insert(refused)),
            }
        }
    }

    fn verifier(&self) -> VerifierKey {
        self.key().verifier_key().parse().unwrap()
    }

    fn verify(&self, disk: &SimDisk, since_checkpoint: Option<String>) -> VerifyReport {
        let options = VerifyOptions { since_checkpoint };
        verify_on(disk, Path::new(FOLDER), &self.verifier(), &options).unwrap()
    }

    /// Opens what is left, closes it in good order, and holds it against what the callers were told.
    fn check(&self, disk: &SimDisk, told: &Told, row: &str) -> Recovery {
        let (log, recovery) = self.open(disk).unwrap_or_else(|error| panic!("{row}: {error}"));
        log.close().unwrap_or_else(|error| panic!("{row}: {error}"));
        self.check_closed(disk, told, row);
        recovery
    }

    fn check_closed(&self, disk: &SimDisk, told: &Told, row: &str) {
        let report = self.verify(disk, None);
        assert_eq!(report.open_intents, [0_u64; 0], "{row}");
        assert_eq!(report.intents, report.outcomes, "{row}");
        let found = search_on(disk, Path::new(FOLDER), &Query::default()).unwrap();
        let by_index: BTreeMap<u64, _> = found.iter().map(|found| (found.index, found)).collect();
        assert!(found.iter().all(|found| found.published), "{row}");
        for (name, index) in told.intents.iter().chain(&told.refusals) {
            let entry = by_index.get(index).unwrap_or_else(|| panic!("{row}: entry {index} of {name} is lost"));
            assert_eq!(&entry.call.request_id, name, "{row}: entry {index}");
        }
        let names: BTreeSet<&str> = found.iter().map(|found| found.call.request_id.as_str()).collect();
        assert_eq!(names.len(), found.len(), "{row}: a call was recorded twice");
        for found in found.iter().filter(|found| told.unavailable.contains(&found.call.request_id)) {
            let ending = found.outcome.as_ref().map(|attached| attached.outcome.ending);
            let harmless = [None, Some(Ending::Refused), Some(Ending::GatewayStopped), Some(Ending::Abandoned)];
            assert!(harmless.contains(&ending), "{row}: a refused call ended as {ending:?}");
            assert!(found.kind == "refusal" || ending.is_some(), "{row}: a permitted call without an outcome");
        }
        self.check_checkpoints(disk, row);
    }

    /// INVARIANT: every checkpoint that a reader may ever have seen is one of the log's own past; one size has one root.
    fn check_checkpoints(&self, disk: &SimDisk, row: &str) {
        let size = self.verify(disk, None).size;
        let checkpoints: Vec<Checkpoint> =
            disk.checkpoints().iter().map(|note| Checkpoint::open(note, &self.verifier()).unwrap()).collect();
        let (mut edge, mut roots) = (Edge::default(), BTreeMap::from([(0, EMPTY_ROOT)]));
        for number in 0..size.div_ceil(256) {
            let width = tile_width(0, number, size) as u16;
            let path = TilePath::Entries { index: number, width };
            let bundle = disk.read(&Path::new(FOLDER).join(path.to_string()), 0, u64::MAX).unwrap().unwrap();
            for entry in bundle_entries(&bundle).unwrap() {
                edge.push(leaf_hash(entry), &mut Vec::new());
                if checkpoints.iter().any(|checkpoint| checkpoint.size == edge.size()) {
                    roots.insert(edge.size(), edge.root());
                }
            }
        }
        let mut last = 0;
        for checkpoint in checkpoints {
            let root = roots.get(&checkpoint.size);
            assert_eq!(root, Some(&checkpoint.root), "{row}: the checkpoint of size {}", checkpoint.size);
            assert!(checkpoint.size >= last, "{row}: size {} after {last}", checkpoint.size);
            last = checkpoint.size;
        }
    }

    /// A log that is about to fill its first tile, so that a row crosses every kind of write.
    fn prepared(&self) -> (SimDisk, Told) {
        let (disk, mut told) = (SimDisk::new(), Told::default());
        let (log, _) = self.open(&disk).unwrap();
        self.work(&log.writer(), "before", 26, &mut told);
        log.close().unwrap();
        let size = self.verify(&disk, None).size;
        assert!((230..256).contains(&size), "{size}");
        // The rows check their checkpoints against this last one; the old ones are as good as checked.
        self.check_checkpoints(&disk, "prepared");
        disk.forget_old_checkpoints();
        (disk, told)
    }
}

fn clone_told(told: &Told) -> Told {
    Told { intents: told.intents.clone(), refusals: told.refusals.clone(), unavailable: told.unavailable.clone() }
}

fn crash_row(bench: &Bench, start: &SimDisk, before: &Told, at: u64, seed: u64) {
    let row = format!("crash at operation {at}, seed {seed}");
    let disk = start.copy(Fault::CrashAt(at), seed);
    let mut told = clone_told(before);
    if let Ok((log, _)) = bench.open(&disk) {
        bench.work(&log.writer(), "row", 6, &mut told);
        drop(log);
    }
    bench.check(&disk.after_crash(), &told, &row);
}

fn failure_row(bench: &Bench, start: &SimDisk, before: &Told, from: u64, length: u64, seed: u64) {
    let row = format!("operations {from} to {} fail, seed {seed}", from + length);
    let disk = start.copy(Fault::FailFrom(from, from + length), seed);
    let mut told = clone_told(before);
    // Opening may fail: then nothing was promised, and the next opening does it.
    if let Ok((log, _)) = bench.open(&disk) {
        bench.work(&log.writer(), "row", 6, &mut told);
        // It recovers alone: a call is taken again, within the time that a stretch of failures can last.
        let (limit, mut attempt) = (Instant::now() + Duration::from_secs(20), 0);
        while told.intents.keys().all(|name| !name.starts_with("again")) {
            assert!(Instant::now() < limit, "{row}: did not recover");
            bench.work(&log.writer(), &format!("again{attempt}"), 1, &mut told);
            attempt += 1;
            bench.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
        }
        // The failures may come in the middle of the close: then it says so, and the next opening does the rest.
        let closed = log.close();
        disk.set(Fault::None);
        if closed.is_ok() {
            bench.check_closed(&disk, &told, &row);
        }
    }
    bench.check(&disk.after_crash(), &told, &row);
}

/// How many operations a row has, and that it crosses every kind of them.
fn operations(bench: &Bench, start: &SimDisk) -> u64 {
    let disk = start.copy(Fault::None, 1);
    let mut told = Told::default();
    let (log, _) = bench.open(&disk).unwrap();
    bench.work(&log.writer(), "row", 6, &mut told);
    log.close().unwrap();
    assert!(disk.names().contains(Path::new("/log/tile/0/000")), "the first tile is full");
    assert!(!disk.names().iter().any(|name| name.starts_with("/log/tile/0/000.p")), "and its partial forms are gone");
    disk.operations()
}

#[test]
fn survives_a_crash_at_every_operation() {
    let bench = Bench::new();
    let (start, told) = bench.prepared();
    for at in 1..=operations(&bench, &start) {
        crash_row(&bench, &start, &told, at, at);
    }
}

#[test]
fn survives_a_crash_at_every_operation_of_a_new_log() {
    let bench = Bench::new();
    for at in 1..=60 {
        crash_row(&bench, &SimDisk::new(), &Told::default(), at, at);
    }
}

#[test]
fn recovers_alone_from_a_failure_at_every_operation() {
    let bench = Bench::new();
    let (start, told) = bench.prepared();
    for from in 1..=operations(&bench, &start) {
        failure_row(&bench, &start, &told, from, 1 + from % 3, from);
    }
}

#[test]
fn outcomes_wait_in_memory_while_the_disk_refuses() {
    let bench = Bench::new();
    let disk = SimDisk::new();
    let (log, _) = bench.open(&disk).unwrap();
    let writer = log.writer();
    let open: Vec<_> = (0..5).map(|n| bench.runtime.block_on(writer.intent(call(&format!("r{n}")))).unwrap()).collect();
    disk.set(Fault::FailFrom(0, u64::MAX));
    let refused = bench.runtime.block_on(writer.intent(call("while-full"))).unwrap_err();
    assert!(refused.reason.contains("injected"), "{refused}");
    open.into_iter().for_each(|entry| entry.close(done()));
    let before = Instant::now();
    assert!(bench.runtime.block_on(writer.refusal(call("no"))).is_err());
    assert!(before.elapsed() < Duration::from_secs(5), "refused at once, not after the time limit");
    disk.set(Fault::None);
    // No call comes: the timer alone brings the outcomes to the disk.
    let limit = Instant::now() + Duration::from_secs(10);
    let ended = |disk: &SimDisk| {
        let found = search_on(disk, Path::new(FOLDER), &Query::default()).unwrap();
        found.iter().filter(|found| found.outcome.is_some()).count()
    };
    while ended(&disk) < 5 {
        assert!(Instant::now() < limit, "the outcomes were not written");
        std::thread::sleep(Duration::from_millis(10));
    }
    log.close().unwrap();
    let found = search_on(&disk, Path::new(FOLDER), &Query::default()).unwrap();
    assert_eq!(found.len(), 5, "the calls that were refused are not in the log");
    assert!(found.iter().all(|found| found.outcome.as_ref().unwrap().outcome.ending == Ending::Completed));
    assert_eq!(bench.verify(&disk, None).outcomes, 5);
}

proptest! {
    // A failing case prints its seed, and is kept beside this file.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn survives_any_crash_after_any_failures(seed in any::<u64>(), at in 1_u64..400, length in 0_u64..40) {
        let bench = Bench::new();
        let disk = SimDisk::new().copy(Fault::FailFrom(at, at + length), seed);
        let mut told = Told::default();
        for run in 0..3 {
            if let Ok((log, _)) = bench.open(&disk) {
                bench.work(&log.writer(), &format!("run{run}"), 5, &mut told);
                disk.set(Fault::CrashAt(disk.operations() + 1 + seed % 50));
                bench.work(&log.writer(), &format!("end{run}"), 5, &mut told);
                drop(log);
            }
            let left = disk.after_crash();
            bench.check(&left, &told, &format!("seed {seed}, failures at {at} for {length}, run {run}"));
        }
    }
}
