//! A disk in memory that forgets: what was not synced may be lost, torn or kept when it crashes; any operation can fail.

use airgate_audit::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// Writes since the last sync, in order.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, PartialEq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, Node),
    /// With the file, whose old name need not be durable yet.
    Rename(PathBuf, PathBuf, usize),
    Unlink(PathBuf),
}

impl NameChange {
    fn folder(&self) -> &Path {
        match self {
            Self::Link(path, _) | Self::Rename(_, path, _) | Self::Unlink(path) => path.parent().unwrap(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Link(path, node) => drop(names.insert(path.clone(), node.clone())),
            Self::Rename(from, to, inode) => {
                if names.get(from) == Some(&Node::File(*inode)) {
                    names.remove(from);
                }
                names.insert(to.clone(), Node::File(*inode));
            }
            Self::Unlink(path) => names.retain(|name, _| !name.starts_with(path)),
        }
    }
}

/// What happens at which operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// The machine stops at this operation; it may have half happened.
    CrashAt(u64),
    /// Operations from the first number up to the second fail; each may have half happened.
    FailFrom(u64, u64),
}

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    changes: Vec<NameChange>,
    /// Every content that `checkpoint` has ever had in view of a reader.
    checkpoints: Vec<String>,
    operations: u64,
    dead: bool,
    random: u64,
}

#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    fault: Arc<Mutex<Fault>>,
    locked: Arc<AtomicBool>,
}

impl State {
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn file(&self, path: &Path) -> Option<usize> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Some(*inode),
            _ => None,
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Folder)]);
        let state = State { names: root.clone(), durable_names: root, random: 1, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), fault: Arc::new(Mutex::new(Fault::None)), locked: Arc::default() }
    }

    /// The same content on another disk, with its own faults, counted from here.
    pub(crate) fn copy(&self, fault: Fault, seed: u64) -> Self {
        let mut state = self.state.lock().clone();
        state.operations = 0;
        state.random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { state: Arc::new(Mutex::new(state)), fault: Arc::new(Mutex::new(fault)), locked: Arc::default() }
    }

    /// What is found after power comes back: names up to some point of what was not synced, and any part of unsynced writes.
    pub(crate) fn after_crash(&self) -> Self {
        let mut state = self.state.lock().clone();
        let changes = std::mem::take(&mut state.changes);
        let kept = state.random(changes.len() as u64 + 1) as usize;
        for change in &changes[..kept] {
            change.apply(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        for at in 0..state.inodes.len() {
            let pending = std::mem::take(&mut state.inodes[at].pending);
            let mut content = state.inodes[at].durable.clone();
            for (offset, bytes) in pending {
                let length = match state.random(3) {
                    0 => 0,
                    1 => bytes.len(),
                    _ => state.random(bytes.len() as u64 + 1) as usize,
                };
                put(&mut content, offset, &bytes[..length]);
            }
            state.inodes[at].durable.clone_from(&content);
            state.inodes[at].current = content;
        }
        state.dead = false;
        let fault = Arc::new(Mutex::new(Fault::None));
        Self { state: Arc::new(Mutex::new(state)), fault, locked: Arc::default() }
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    pub(crate) fn checkpoints(&self) -> Vec<String> {
        self.state.lock().checkpoints.clone()
    }

    /// Keeps the latest only.
    pub(crate) fn forget_old_checkpoints(&self) {
        let checkpoints = &mut self.state.lock().checkpoints;
        checkpoints.drain(..checkpoints.len().saturating_sub(1));
    }

    pub(crate) fn names(&self) -> BTreeSet<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// Counts an operation; `half` is what it may have done where it fails.
    fn operate<T>(
        &self,
        half: impl FnOnce(&mut State),
        whole: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(io::Error::other("the machine is off"));
        }
        state.operations += 1;
        let at = state.operations;
        let fault = *self.fault.lock();
        let fails = match fault {
            Fault::None => false,
            Fault::CrashAt(number) => at >= number,
            Fault::FailFrom(from, to) => at >= from && at < to,
        };
        if !fails {
            return whole(&mut state);
        }
        if state.random(2) == 0 {
            half(&mut state);
        }
        if matches!(fault, Fault::CrashAt(_)) {
            state.dead = true;
        }
        Err(io::Error::other(format!("injected failure at operation {at}")))
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (inode, offset) = (self.inode, offset as usize);
        let write = move |state: &mut State, bytes: &[u8]| {
            put(&mut state.inodes[inode].current, offset, bytes);
            state.inodes[inode].pending.push((offset, bytes.to_vec()));
        };
        self.disk.operate(
            |state| {
                let length = state.random(bytes.len() as u64 + 1) as usize;
                write(state, &bytes[..length]);
            },
            |state| {
                write(state, bytes);
                Ok(())
            },
        )
    }

    fn sync(&mut self) -> io::Result<()> {
        let inode = self.inode;
        let sync = move |state: &mut State| {
            let inode = &mut state.inodes[inode];
            inode.durable.clone_from(&inode.current);
            inode.pending.clear();
        };
        self.disk.operate(sync, |state| {
            sync(state);
            Ok(())
        })
    }
}

struct SimLock(Arc<AtomicBool>);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for SimDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let make = |state: &mut State| {
            if state.names.get(path.parent().unwrap()) != Some(&Node::Folder) {
                return Err(not_found());
            }
            if !state.names.contains_key(path) {
                state.change(NameChange::Link(path.to_owned(), Node::Folder));
            }
            Ok(())
        };
        self.operate(|state| drop(make(state)), make)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.operate(
            |_| {},
            |state| {
                let inside = state.names.keys().filter(|name| name.parent() == Some(folder));
                Ok(inside.map(|name| name.file_name().unwrap().to_string_lossy().into_owned()).collect())
            },
        )
    }

    fn read(&self, path: &Path, offset: u64, length_max: u64) -> io::Result<Option<Vec<u8>>> {
        self.operate(
            |_| {},
            |state| {
                let Some(inode) = state.file(path) else { return Ok(None) };
                let content = &state.inodes[inode].current;
                let start = (offset as usize).min(content.len());
                let end = start + length_max.min((content.len() - start) as u64) as usize;
                Ok(Some(content[start..end].to_vec()))
            },
        )
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let make = |state: &mut State| {
            state.inodes.push(Inode::default());
            let inode = state.inodes.len() - 1;
            state.change(NameChange::Link(path.to_owned(), Node::File(inode)));
            Ok(inode)
        };
        let inode = self.operate(|state| drop(make(state)), make)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.operate(|_| {}, |state| state.file(path).ok_or_else(not_found))?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |state: &mut State| {
            let inode = state.file(from).ok_or_else(not_found)?;
            if to.file_name().unwrap() == "checkpoint" {
                let note = String::from_utf8(state.inodes[inode].current.clone()).unwrap();
                state.checkpoints.push(note);
            }
            state.change(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
            Ok(())
        };
        self.operate(|state| drop(rename(state)), rename)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let remove = |state: &mut State| {
            state.change(NameChange::Unlink(path.to_owned()));
            Ok(())
        };
        self.operate(|state| drop(remove(state)), remove)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let sync = |state: &mut State| {
            let (synced, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.changes).into_iter().partition(|change| change.folder() == path);
            for change in &synced {
                change.apply(&mut state.durable_names);
            }
            state.changes = rest;
            Ok(())
        };
        self.operate(|state| drop(sync(state)), sync)
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        if self.locked.swap(true, Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        Ok(Box::new(SimLock(Arc::clone(&self.locked))))
    }
}
