//! INVARIANT 1 of the design: no record, no request.

use crate::rig::{Options, Rig};
use std::{path::Path, process::Command};

/// A small file system of its own, so that it can be filled or turned read-only. None where we may not mount.
struct SmallDisk {
    mounted: tempfile::TempDir,
    _image: Option<tempfile::NamedTempFile>,
}

impl SmallDisk {
    /// In memory; it fills up.
    fn tmpfs(kib: u32) -> Option<Self> {
        let options = format!("size={kib}k,mode=700");
        Self::mount(&["-t", "tmpfs", "-o", &options, "airgate-test"], None)
    }

    /// An ext4 in a file; it can turn read-only under open files, as a disk does whose controller fails.
    fn ext4(mib: u64) -> Option<Self> {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(mib << 20).unwrap();
        let path = image.path().to_str().unwrap().to_owned();
        let made = Command::new("/usr/sbin/mkfs.ext4").args(["-q", &path]).status();
        assert!(made.is_ok_and(|s| s.success()), "mkfs.ext4 is part of Debian's e2fsprogs");
        Self::mount(&["-o", "loop", &path], Some(image))
    }

    fn mount(arguments: &[&str], image: Option<tempfile::NamedTempFile>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(arguments).arg(folder.path()).status();
        if mounted.is_ok_and(|s| s.success()) {
            return Some(Self { mounted: folder, _image: image });
        }
        println!("skipped: mounting needs root, and loop devices for an image");
        None
    }

    fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// From now on every write fails with EROFS, also to files that are open.
    fn fail(&self) {
        assert!(Command::new("mount").args(["-o", "remount,abort"]).arg(self.path()).status().unwrap().success());
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
    let Some(disk) = SmallDisk::tmpfs(2048) else { return };
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
    let Some(disk) = SmallDisk::ext4(32) else { return };
    let rig = Rig::with(Options { log_folder: Some(disk.path().join("log")), ..Options::default() });
    assert_eq!(rig.get("/api/x").status, 200);
    disk.fail();
    for _ in 0..3 {
        expect_unavailable(&rig, &rig.get("/api/x"), 1);
    }
    // Refusals can't be recorded either: they are 503 as well, without a word about what would have been refused.
    expect_unavailable(&rig, &rig.get("/payroll"), 1);
}
