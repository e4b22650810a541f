//! From the journal into tiles, and under a signed checkpoint.
//!
//! Order, for a crash at any point: bundles and tiles are durable before the checkpoint that covers them; what a checkpoint
//! makes superfluous is removed after it is durable.

use crate::disk::{Disk, Place};
use crate::error::{AuditError, io_error};
use crate::journal::{self, SegmentRef, Step};
use crate::queue::Stop;
use crate::sequencer::ProgressCell;
use airgate_tlog::{
    Checkpoint, Edge, FullTile, Hash, SignerKey, TILE_WIDTH, TilePath, leaf_hash, push_entry, tile_to_bytes,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Read at once from a segment; a batch is always shorter.
const READ_BYTES: u64 = 2 * journal::BATCH_BYTES as u64;

/// Where in the journal the next entry to integrate is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
    /// The index of the batch at `offset`.
    pub(crate) next: u64,
}

/// The tree as far as it is integrated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Integrated {
    pub(crate) edge: Edge,
    /// The unfinished entry bundle.
    pub(crate) bundle: Vec<u8>,
}

pub(crate) struct Publisher {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    signer: SignerKey,
    progress: Arc<ProgressCell>,
    interval: Duration,
    state: Integrated,
    cursor: Cursor,
    /// Size and root of the checkpoint that is on the disk.
    published: Option<(u64, Hash)>,
    folders: BTreeSet<PathBuf>,
}

impl Publisher {
    pub(crate) fn new(
        Place { disk, folder }: Place,
        signer: SignerKey,
        progress: Arc<ProgressCell>,
        interval: Duration,
        state: Integrated,
        cursor: Cursor,
        published: Option<(u64, Hash)>,
    ) -> Self {
        Self { disk, folder, signer, progress, interval, state, cursor, published, folders: BTreeSet::new() }
    }

    /// The thread's body: publishes at once, then at each interval where there is something new, and at an orderly end.
    pub(crate) fn run(mut self) -> Result<(), AuditError> {
        loop {
            let stop = self.progress.progress.lock().stop;
            if stop == Some(Stop::Dropped) {
                return Ok(());
            }
            let result = self.publish();
            if stop == Some(Stop::Orderly) {
                return result;
            }
            if let Err(error) = result {
                tracing::error!(%error, "the audit log can't be published; entries stay in the journal");
            }
            let until = Instant::now() + self.interval;
            let mut progress = self.progress.progress.lock();
            while progress.stop.is_none() && !self.progress.changed.wait_until(&mut progress, until).timed_out() {}
        }
    }

    /// Integrates what is durable, and signs it. After an error, the next call does the same work again, to the same bytes.
    pub(crate) fn publish(&mut self) -> Result<(), AuditError> {
        let durable = self.progress.progress.lock().durable;
        if self.published.is_some() && self.state.edge.size() == durable {
            return Ok(());
        }
        let (mut state, mut cursor) = (self.state.clone(), self.cursor);
        let mut dirty = BTreeSet::new();
        let mut full = Vec::new();
        self.integrate(&mut state, &mut cursor, durable, &mut full, &mut dirty)?;
        self.write_partial(&state, &mut dirty)?;
        for folder in &dirty {
            self.disk.sync_folder(folder).map_err(io_error("sync", folder))?;
        }
        self.sign(state.edge.size(), state.edge.root())?;
        self.state = state;
        self.cursor = cursor;
        self.tidy(&full);
        Ok(())
    }

    fn integrate(
        &mut self,
        state: &mut Integrated,
        cursor: &mut Cursor,
        durable: u64,
        all_full: &mut Vec<TilePath>,
        dirty: &mut BTreeSet<PathBuf>,
    ) -> Result<(), AuditError> {
        let mut full = Vec::new();
        while state.edge.size() < durable {
            for entry in self.read(cursor, state.edge.size(), durable)? {
                let index = state.edge.size();
                state.edge.push(leaf_hash(&entry), &mut full);
                push_entry(&mut state.bundle, &entry)
                    .map_err(|error| self.damaged(*cursor, format!("entry {index}: {error}")))?;
                for FullTile { level, index, hashes } in full.drain(..) {
                    if level == 0 {
                        let path = TilePath::Entries { index, width: TILE_WIDTH as u16 };
                        self.write(&path.to_string(), &std::mem::take(&mut state.bundle), dirty)?;
                        all_full.push(path);
                    }
                    let path = TilePath::Hashes { level, index, width: TILE_WIDTH as u16 };
                    self.write(&path.to_string(), &tile_to_bytes(&hashes), dirty)?;
                    all_full.push(path);
                }
            }
        }
        Ok(())
    }

    /// Reads batches from the journal, and gives those of their entries that are in `[from, durable)`.
    fn read(&self, cursor: &mut Cursor, from: u64, durable: u64) -> Result<Vec<Vec<u8>>, AuditError> {
        let successor = self.successor(cursor.sequence);
        if let Some(segment) = successor
            && cursor.next >= segment.first
        {
            let header = self.segment_header(segment)?;
            *cursor = Cursor { sequence: segment.sequence, offset: header as u64, next: segment.first };
            return Ok(Vec::new());
        }
        // INVARIANT of the journal: a segment counts up to the first index of the one after it. And what became durable
        // after this publication began is not for it: the checkpoint is signed for `durable` entries.
        let limit = successor.map_or(durable, |segment| segment.first.min(durable));
        let path = journal::segment_path(&self.folder, cursor.sequence);
        let bytes = self
            .disk
            .read(&path, cursor.offset, READ_BYTES)
            .map_err(io_error("read", &path))?
            .ok_or_else(|| self.damaged(*cursor, "the segment is gone".to_owned()))?;
        let (mut offset, mut entries, start) = (0, Vec::new(), cursor.next);
        while cursor.next < limit {
            match journal::batch_at(&bytes, offset, cursor.next) {
                Step::Batch(batch) => {
                    for (index, entry) in (batch.first..).zip(&batch.entries) {
                        if index >= from {
                            entries.push(entry.to_vec());
                        }
                    }
                    cursor.next += batch.entries.len() as u64;
                    offset = batch.end;
                }
                // A batch that does not fit into what was read; it fits when it comes first.
                Step::Bad(_) | Step::End if cursor.next > start => break,
                Step::Bad(detail) => return Err(self.damaged(*cursor, detail.to_owned())),
                Step::End => return Err(self.damaged(*cursor, "entries are missing".to_owned())),
            }
        }
        cursor.offset += offset as u64;
        Ok(entries)
    }

    /// The last of the segments after `sequence` that start at the same index: the others are undone.
    fn successor(&self, sequence: u64) -> Option<SegmentRef> {
        let progress = self.progress.progress.lock();
        let mut after = progress.segments.iter().filter(|segment| segment.sequence > sequence);
        let first = *after.next()?;
        Some(after.take_while(|segment| segment.first == first.first).last().copied().unwrap_or(first))
    }

    fn segment_header(&self, segment: SegmentRef) -> Result<usize, AuditError> {
        let path = journal::segment_path(&self.folder, segment.sequence);
        let bytes = self.disk.read(&path, 0, journal::SEGMENT_HEADER_MAX).map_err(io_error("read", &path))?;
        match bytes.as_deref().and_then(journal::parse_segment_header) {
            Some(header) if header.first == segment.first => Ok(header.length),
            _ => Err(AuditError::Damaged { file: path, offset: 0, detail: "the segment's header is wrong".to_owned() }),
        }
    }

    fn damaged(&self, cursor: Cursor, detail: String) -> AuditError {
        let file = journal::segment_path(&self.folder, cursor.sequence);
        AuditError::Damaged { file, offset: cursor.offset, detail }
    }

    fn write_partial(&mut self, state: &Integrated, dirty: &mut BTreeSet<PathBuf>) -> Result<(), AuditError> {
        for (level, index, hashes) in state.edge.partial_tiles() {
            let width = hashes.len() as u16;
            if level == 0 {
                self.write(&TilePath::Entries { index, width }.to_string(), &state.bundle, dirty)?;
            }
            self.write(&TilePath::Hashes { level, index, width }.to_string(), &tile_to_bytes(hashes), dirty)?;
        }
        Ok(())
    }

    /// INVARIANT: sizes only grow, and one size has one root. What would break this is not signed.
    fn sign(&mut self, size: u64, root: Hash) -> Result<(), AuditError> {
        if let Some((before, before_root)) = self.published
            && (size < before || (size == before && root != before_root))
        {
            let detail = format!("a checkpoint for size {size} would contradict the published one for {before}");
            return Err(AuditError::Contradiction { folder: self.folder.clone(), detail });
        }
        let origin = self.signer.verifier().name().to_owned();
        let note = Checkpoint { origin, size, root, extensions: Vec::new() }.sign(&self.signer);
        let mut dirty = BTreeSet::new();
        self.write("checkpoint", note.as_bytes(), &mut dirty)?;
        // From here on a reader may have seen it. Where the sync fails, the same checkpoint is written once more.
        self.published = Some((size, root));
        self.disk.sync_folder(&self.folder).map_err(io_error("sync", &self.folder))
    }

    /// Writes beside, syncs, and puts it in place. The caller syncs the folders in `dirty`.
    fn write(&mut self, name: &str, bytes: &[u8], dirty: &mut BTreeSet<PathBuf>) -> Result<(), AuditError> {
        let path = self.folder.join(name);
        let parent = path.parent().unwrap_or(&self.folder).to_owned();
        self.make_folders(&parent)?;
        let beside = journal::journal_folder(&self.folder).join("publish.new");
        let mut file = self.disk.create(&beside).map_err(io_error("create", &beside))?;
        file.write_at(bytes, 0).and_then(|()| file.sync()).map_err(io_error("write", &beside))?;
        drop(file);
        self.disk.rename(&beside, &path).map_err(io_error("rename to", &path))?;
        dirty.insert(parent);
        Ok(())
    }

    fn make_folders(&mut self, path: &Path) -> Result<(), AuditError> {
        if path == self.folder || self.folders.contains(path) {
            return Ok(());
        }
        let Some(parent) = path.parent() else { return Ok(()) };
        self.make_folders(parent)?;
        self.disk.create_folder(path).map_err(io_error("create", path))?;
        self.disk.sync_folder(parent).map_err(io_error("sync", parent))?;
        self.folders.insert(path.to_owned());
        Ok(())
    }

    /// Removes partial forms of full tiles, and journal segments that the checkpoint covers. What can't be removed now is of
    /// no harm: readers never look at it, and the next opening removes segments again.
    fn tidy(&mut self, full: &[TilePath]) {
        for tile in full {
            let partial = self.folder.join(tile.partial_folder());
            self.folders.remove(&partial);
            let _ = self.disk.remove_folder(&partial);
        }
        let size = self.state.edge.size();
        let mut removed = false;
        loop {
            let mut progress = self.progress.progress.lock();
            let (Some(oldest), Some(second)) = (progress.segments.front().copied(), progress.segments.get(1).copied())
            else {
                break;
            };
            if second.first > size || oldest.sequence >= self.cursor.sequence {
                break;
            }
            progress.segments.pop_front();
            drop(progress);
            removed = self.disk.remove(&journal::segment_path(&self.folder, oldest.sequence)).is_ok() || removed;
        }
        if removed {
            let _ = self.disk.sync_folder(&journal::journal_folder(&self.folder));
        }
    }
}
