//! INVARIANT 1 of the design: no record, no request.

use crate::rig::{Options, Rig};
use std::{path::Path, process::Command};

/// A small file system of its own, so that it can be filled or turned read-only. None where we may not mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(kib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k,mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "airgate-test"]).arg(folder.path()).status();
        if mounted.is_ok_and(|s| s.success()) {
            return Some(Self(folder));
        }
        println!("skipped: mounting a tmpfs needs root");
        None
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        assert!(Command::new("mount").args(["-o", &option]).arg(self.path()).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Refused with 503 and no entry; nothing reached the upstream.
fn expect_unavailable(rig: &Rig, answer: &crate::rig::Answer, sent_before: usize) {
    assert_eq!((answer.status, answer.problem()["code"].as_str()), (503, Some("audit_unavailable")), "{answer:?}");
    assert!(answer.field("retry-after").is_some());
    assert_eq!(rig.upstream.received().len(), sent_before, "nothing may be forwarded");
}

#[test]
fn full_disk_is_503_and_nothing_is_forwarded_until_there_is_room() {
    let Some(disk) = SmallDisk::new(2048) else { return };
    let mut rig =
        Rig::with(Options { log_folder: Some(disk.path().join("log")), segment_bytes: 64 << 10, ..Options::default() });
    assert_eq!(rig.get("/api/x").status, 200);
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    // What the log had set aside is used up first; then, and from then on, every request is refused.
    let mut answered = 1;
    let refused = loop {
        let answer = rig.get("/api/x");
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 2000, "the log never noticed that the disk is full");
    };
    expect_unavailable(&rig, &refused, answered);
    expect_unavailable(&rig, &rig.get("/api/x"), answered);
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let healed = (0..100).any(|_| {
        std::thread::park_timeout(std::time::Duration::from_millis(50));
        rig.get("/api/x").status == 200
    });
    assert!(healed, "the log did not recover");
    let entries = rig.entries();
    let intents = entries.iter().filter(|e| e["kind"] == "intent").count();
    let outcomes = entries.iter().filter(|e| e["kind"] == "outcome").count();
    assert_eq!(intents, outcomes);
    assert!(intents > answered);
}

#[test]
fn read_only_disk_is_503_and_nothing_is_forwarded() {
    let Some(disk) = SmallDisk::new(8192) else { return };
    let rig =
        Rig::with(Options { log_folder: Some(disk.path().join("log")), segment_bytes: 64 << 10, ..Options::default() });
    assert_eq!(rig.get("/api/x").status, 200);
    // A file that is open for writing keeps a plain remount away; read-only after the segment is full shows the same.
    let _ = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status();
    let read_only = std::fs::write(disk.path().join("probe"), b"x").is_err();
    if !read_only {
        println!("skipped: this kernel does not turn a tmpfs with open files read-only");
        return;
    }
    let mut answered = 1;
    let refused = loop {
        let answer = rig.get("/api/x");
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 2000, "the log never noticed that the disk is read-only");
    };
    expect_unavailable(&rig, &refused, answered);
    disk.remount("rw");
    let healed = (0..100).any(|_| {
        std::thread::park_timeout(std::time::Duration::from_millis(50));
        rig.get("/api/x").status == 200
    });
    assert!(healed, "the log did not recover");
}
