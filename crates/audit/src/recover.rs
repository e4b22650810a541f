//! What is done when the log is opened: the journal is read to its end, and must agree with what was published.

use crate::disk::Disk;
use crate::entry::{Link, link};
use crate::error::{AuditError, io_error};
use crate::journal::{self, SegmentHeader, SegmentRef, Step};
use crate::publish::{Cursor, Integrated};
use crate::tiles;
use airgate_tlog::{Checkpoint, Edge, Hash, TILE_WIDTH, VerifierKey, leaf_hash, push_entry};
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// The log as it was found.
pub(crate) struct Recovered {
    pub(crate) size: u64,
    pub(crate) open: BTreeSet<u64>,
    pub(crate) torn_bytes: u64,
    pub(crate) next_sequence: u64,
    pub(crate) segments: VecDeque<SegmentRef>,
    pub(crate) state: Integrated,
    /// Where the publisher goes on; `None` in a new log, whose first segment is not there yet.
    pub(crate) cursor: Option<Cursor>,
    pub(crate) published: Option<(u64, Hash)>,
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    published: u64,
    /// The published level 0 tile that was read last.
    tile: Option<(u64, Vec<Hash>)>,
    open: BTreeSet<u64>,
    next: u64,
    torn_bytes: u64,
    /// File, offset and bytes of the last batch of the last segment.
    last_batch: Option<(PathBuf, u64, Vec<u8>)>,
}

pub(crate) fn recover(disk: &dyn Disk, folder: &Path, key: &VerifierKey) -> Result<Recovered, AuditError> {
    let journal = journal::journal_folder(folder);
    let published = read_checkpoint(disk, folder, key)?;
    let size = published.map_or(0, |(size, _)| size);
    let segments = read_segments(disk, folder)?;
    let next_sequence = segments.last().map_or(0, |(segment, _)| segment.sequence + 1);
    // The latest segment that leaves no gap to what is published; its header names what was open then.
    let start = segments.iter().rposition(|(segment, _)| segment.first <= size);
    let Some(start) = start else {
        if size > 0 || !segments.is_empty() {
            let first =
                segments.first().map_or("nothing".to_owned(), |(segment, _)| format!("entry {}", segment.first));
            let detail = format!("the checkpoint covers {size} entries, and the journal starts with {first}");
            return Err(AuditError::Contradiction { folder: folder.to_owned(), detail });
        }
        return Ok(Recovered {
            size: 0,
            open: BTreeSet::new(),
            torn_bytes: 0,
            next_sequence,
            segments: VecDeque::new(),
            state: Integrated::default(),
            cursor: None,
            published,
        });
    };
    let (old, live) = segments.split_at(start);
    let mut recovery = Recovery {
        disk,
        folder,
        published: size,
        tile: None,
        open: live[0].1.open.iter().copied().collect(),
        next: live[0].0.first,
        torn_bytes: 0,
        last_batch: None,
    };
    for (at, (segment, header)) in live.iter().enumerate() {
        recovery.segment(*segment, header, live.get(at + 1).map(|(next, _)| next.first))?;
    }
    if recovery.next < size {
        let detail = format!("the checkpoint covers {size} entries, the journal has {}", recovery.next);
        return Err(AuditError::Contradiction { folder: folder.to_owned(), detail });
    }
    let state = integrated(disk, folder, published)?;
    // A process that died may have left the last batch in the page cache only, or a failed sync may have marked its pages
    // clean: written again, a sync speaks for it. All batches before it were synced before it was begun.
    if let Some((path, offset, bytes)) = recovery.last_batch {
        let mut file = disk.open(&path).map_err(io_error("open", &path))?;
        file.write_at(&bytes, offset).and_then(|()| file.sync()).map_err(io_error("write", &path))?;
    }
    for (segment, _) in old {
        let _ = disk.remove(&journal::segment_path(folder, segment.sequence));
    }
    disk.sync_folder(&journal).map_err(io_error("sync", &journal))?;
    let (first, header) = &live[0];
    Ok(Recovered {
        size: recovery.next,
        open: recovery.open,
        torn_bytes: recovery.torn_bytes,
        next_sequence,
        segments: live.iter().map(|(segment, _)| *segment).collect(),
        state,
        cursor: Some(Cursor { sequence: first.sequence, offset: header.length as u64, next: first.first }),
        published,
    })
}

fn read_checkpoint(disk: &dyn Disk, folder: &Path, key: &VerifierKey) -> Result<Option<(u64, Hash)>, AuditError> {
    let path = folder.join("checkpoint");
    let Some(note) = tiles::checkpoint(disk, folder).map_err(io_error("read", &path))? else { return Ok(None) };
    let checkpoint =
        Checkpoint::open(&note, key).map_err(|source| AuditError::Checkpoint { folder: folder.to_owned(), source })?;
    Ok(Some((checkpoint.size, checkpoint.root)))
}

/// The headers of all segments, in order.
fn read_segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<(SegmentRef, SegmentHeader)>, AuditError> {
    let journal = journal::journal_folder(folder);
    let mut segments: Vec<(SegmentRef, SegmentHeader)> = Vec::new();
    for sequence in journal::list(disk, folder).map_err(io_error("list", &journal))? {
        let path = journal::segment_path(folder, sequence);
        let damaged = |detail: &str| AuditError::Damaged { file: path.clone(), offset: 0, detail: detail.to_owned() };
        let bytes = disk.read(&path, 0, journal::SEGMENT_HEADER_MAX).map_err(io_error("read", &path))?;
        let header = bytes
            .as_deref()
            .and_then(journal::parse_segment_header)
            .ok_or_else(|| damaged("the segment's header is wrong"))?;
        if segments.last().is_some_and(|(before, _)| before.first > header.first) {
            return Err(damaged("the segment starts before the one that precedes it"));
        }
        segments.push((SegmentRef { sequence, first: header.first }, header));
    }
    Ok(segments)
}

impl Recovery<'_> {
    /// Reads one segment, up to the first index of its successor; the last one up to its end, which may be torn.
    fn segment(&mut self, segment: SegmentRef, header: &SegmentHeader, limit: Option<u64>) -> Result<(), AuditError> {
        let path = journal::segment_path(self.folder, segment.sequence);
        let damaged = |offset: usize, detail: &str| AuditError::Damaged {
            file: path.clone(),
            offset: offset as u64,
            detail: detail.to_owned(),
        };
        if !header.open.iter().eq(&self.open) {
            return Err(damaged(0, "the segment's header names other open intents than the entries before it leave"));
        }
        let bytes = self
            .disk
            .read(&path, 0, u64::MAX)
            .map_err(io_error("read", &path))?
            .ok_or_else(|| damaged(0, "the segment is gone"))?;
        let mut offset = header.length;
        while limit.is_none_or(|limit| self.next < limit) {
            let problem = match journal::batch_at(&bytes, offset, self.next) {
                Step::Batch(batch) => {
                    if limit.is_some_and(|limit| batch.first + batch.entries.len() as u64 > limit) {
                        return Err(damaged(offset, "a batch reaches over the start of the next segment"));
                    }
                    for entry in &batch.entries {
                        self.entry(entry)?;
                    }
                    if limit.is_none() {
                        self.last_batch = Some((path.clone(), offset as u64, bytes[offset..batch.end].to_vec()));
                    }
                    offset = batch.end;
                    continue;
                }
                Step::End => "entries are missing",
                Step::Bad(detail) => detail,
            };
            if limit.is_some() || journal::later_batch_exists(&bytes, offset, self.next) {
                return Err(damaged(offset, problem));
            }
            self.torn_bytes = journal::torn_bytes(&bytes, offset);
            break;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &[u8]) -> Result<(), AuditError> {
        let index = self.next;
        self.next += 1;
        let contradiction = |detail: String| AuditError::Contradiction { folder: self.folder.to_owned(), detail };
        match link(entry).map_err(|source| AuditError::Entry { index, source })? {
            Link::Intent => drop(self.open.insert(index)),
            Link::Outcome(intent) if !self.open.remove(&intent) => {
                return Err(contradiction(format!("entry {index} ends intent {intent}, which is not open")));
            }
            Link::Outcome(_) | Link::Other => {}
        }
        if index < self.published && self.published_leaf(index)? != leaf_hash(entry) {
            return Err(contradiction(format!("entry {index} of the journal is not the one that was published")));
        }
        Ok(())
    }

    fn published_leaf(&mut self, index: u64) -> Result<Hash, AuditError> {
        let number = index / TILE_WIDTH as u64;
        if self.tile.as_ref().is_none_or(|(at, _)| *at != number) {
            self.tile = Some((number, tile(self.disk, self.folder, 0, number, self.published)?));
        }
        let hashes = self.tile.as_ref().map(|(_, hashes)| hashes.as_slice()).unwrap_or_default();
        hashes.get((index % TILE_WIDTH as u64) as usize).copied().ok_or_else(|| AuditError::Contradiction {
            folder: self.folder.to_owned(),
            detail: format!("the tile of entry {index} is too short"),
        })
    }
}

fn tile(disk: &dyn Disk, folder: &Path, level: u8, index: u64, size: u64) -> Result<Vec<Hash>, AuditError> {
    let (path, hashes) = tiles::hashes(disk, folder, level, index, size).map_err(io_error("read tiles in", folder))?;
    hashes.ok_or_else(|| AuditError::Contradiction {
        folder: folder.to_owned(),
        detail: format!("the checkpoint covers {size} entries, and `{path}` is missing or too short"),
    })
}

/// The tree's right edge at the published size. It must have the published root.
fn integrated(disk: &dyn Disk, folder: &Path, published: Option<(u64, Hash)>) -> Result<Integrated, AuditError> {
    let Some((size, root)) = published else { return Ok(Integrated::default()) };
    let contradiction = |detail: String| AuditError::Contradiction { folder: folder.to_owned(), detail };
    let edge = Edge::from_tiles(size, |level, index, _| tile(disk, folder, level, index, size))?
        .ok_or_else(|| contradiction("a tile has the wrong width".to_owned()))?;
    if edge.root() != root {
        return Err(contradiction(format!("the tiles do not lead to the checkpoint's root for {size} entries")));
    }
    let mut bundle = Vec::new();
    let width = size % TILE_WIDTH as u64;
    if width > 0 {
        let index = size / TILE_WIDTH as u64;
        let (path, entries) = tiles::entries(disk, folder, index, size).map_err(io_error("read tiles in", folder))?;
        let entries = entries.ok_or_else(|| contradiction(format!("`{path}` is missing or too short")))?;
        let leaves = tile(disk, folder, 0, index, size)?;
        for (entry, leaf) in entries.iter().zip(&leaves) {
            if leaf_hash(entry) != *leaf || push_entry(&mut bundle, entry).is_err() {
                return Err(contradiction(format!("`{path}` holds other entries than its tile says")));
            }
        }
    }
    Ok(Integrated { edge, bundle })
}
