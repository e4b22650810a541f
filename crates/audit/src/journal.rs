//! The journal: segments of batches.
//!
//! A segment starts with a header: its first index and the intents that were open then. Batches follow, each written
//! and synced before the next is begun, each with two checksums. The rest of a segment is zeros.
//!
//! INVARIANT: a segment's batches count only up to the first index of the segment after it. A batch whose write failed
//! is thus undone by the next segment's header, whether or not its bytes reached the disk.

use crate::disk::{Disk, DiskFile};
use airgate_tlog::bundle_entries;
use std::io;
use std::path::{Path, PathBuf};

/// Neither magic can occur in an entry: 0xF7 is in no UTF-8 text.
const SEGMENT_MAGIC: [u8; 4] = [0xF7, b'A', b'G', b'S'];
const BATCH_MAGIC: [u8; 4] = [0xF7, b'A', b'G', b'B'];
const FORMAT: u32 = 1;
const SEGMENT_HEADER: usize = 24;
const BATCH_HEADER: usize = 28;
/// Most open intents: each segment's header lists them.
pub(crate) const OPEN_MAX: usize = 65_536;
/// A batch is closed for more entries at this size, so it is never larger than this and one entry.
pub(crate) const BATCH_BYTES: usize = 1 << 20;
const ZEROS: usize = 1 << 20;

/// CRC-32 (IEEE 802.3) over the parts as if they were one.
pub(crate) fn crc32(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// A segment as its name and its successor know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRef {
    pub(crate) sequence: u64,
    pub(crate) first: u64,
}

pub(crate) fn journal_folder(folder: &Path) -> PathBuf {
    folder.join("journal")
}

pub(crate) fn segment_path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join("journal").join(format!("{sequence:016}.seg"))
}

/// The sequence numbers of the segments that are there, in order.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<u64>> {
    let names = disk.list(&journal_folder(folder))?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| name.strip_suffix(".seg")?.parse().ok()).collect();
    sequences.sort_unstable();
    Ok(sequences)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) first: u64,
    pub(crate) open: Vec<u64>,
    /// Bytes of the header: where the first batch starts.
    pub(crate) length: usize,
}

fn segment_header(first: u64, open: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER + 8 * open.len());
    bytes.extend_from_slice(&SEGMENT_MAGIC);
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&first.to_be_bytes());
    bytes.extend_from_slice(&(open.len() as u32).to_be_bytes());
    let list: Vec<u8> = open.iter().flat_map(|index| index.to_be_bytes()).collect();
    let crc = crc32(&[&bytes, &list]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes.extend_from_slice(&list);
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Reads a segment's header; `None` when it is damaged. Headers are durable before their segment has its name.
pub(crate) fn parse_segment_header(bytes: &[u8]) -> Option<SegmentHeader> {
    let count = u32_at(bytes, 16)? as usize;
    if bytes.get(..4)? != SEGMENT_MAGIC || u32_at(bytes, 4)? != FORMAT || count > OPEN_MAX {
        return None;
    }
    let length = SEGMENT_HEADER + 8 * count;
    let list = bytes.get(SEGMENT_HEADER..length)?;
    if u32_at(bytes, 20)? != crc32(&[&bytes[..20], list]) {
        return None;
    }
    let open = (0..count).map(|i| u64_at(list, 8 * i)).collect::<Option<_>>()?;
    Some(SegmentHeader { first: u64_at(bytes, 8)?, open, length })
}

/// Bytes of the header of a segment that lists `open` intents.
pub(crate) fn segment_header_length(open: usize) -> usize {
    SEGMENT_HEADER + 8 * open
}

/// Most bytes a segment's header can have.
pub(crate) const SEGMENT_HEADER_MAX: u64 = (SEGMENT_HEADER + 8 * OPEN_MAX) as u64;

/// One batch: header, then the entries as in a tile's entry bundle.
pub(crate) struct BatchBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl BatchBuilder {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; BATCH_HEADER], count: 0 }
    }

    pub(crate) fn push(&mut self, entry: &[u8]) -> io::Result<()> {
        airgate_tlog::push_entry(&mut self.bytes, entry).map_err(|error| io::Error::other(error.to_string()))?;
        self.count += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self, first: u64) -> Vec<u8> {
        let (header, body) = self.bytes.split_at_mut(BATCH_HEADER);
        header[..4].copy_from_slice(&BATCH_MAGIC);
        header[4..8].copy_from_slice(&(body.len() as u32).to_be_bytes());
        header[8..16].copy_from_slice(&first.to_be_bytes());
        header[16..20].copy_from_slice(&self.count.to_be_bytes());
        header[20..24].copy_from_slice(&crc32(&[body]).to_be_bytes());
        let crc = crc32(&[&header[..24]]);
        header[24..28].copy_from_slice(&crc.to_be_bytes());
        self.bytes
    }
}

pub(crate) struct Batch<'a> {
    pub(crate) first: u64,
    pub(crate) entries: Vec<&'a [u8]>,
    /// Where the batch ends.
    pub(crate) end: usize,
}

pub(crate) enum Step<'a> {
    Batch(Batch<'a>),
    /// Zeros, or the end of the bytes.
    End,
    Bad(&'static str),
}

/// Reads the batch at `offset`, which must start with entry `expected`.
pub(crate) fn batch_at(bytes: &[u8], offset: usize, expected: u64) -> Step<'_> {
    let rest = bytes.get(offset..).unwrap_or_default();
    let head = &rest[..rest.len().min(BATCH_HEADER)];
    if head.iter().all(|byte| *byte == 0) {
        return Step::End;
    }
    let Some((first, length)) = batch_header(head) else { return Step::Bad("a batch's header has a wrong checksum") };
    if first != expected {
        return Step::Bad("a batch starts with another index than the one before it ends with");
    }
    let Some(body) = rest.get(BATCH_HEADER..BATCH_HEADER + length) else { return Step::Bad("a batch is cut short") };
    if u32_at(head, 20) != Some(crc32(&[body])) {
        return Step::Bad("a batch has a wrong checksum");
    }
    match bundle_entries(body) {
        Ok(entries) if u32_at(head, 16) == u32::try_from(entries.len()).ok() => {
            Step::Batch(Batch { first, entries, end: offset + BATCH_HEADER + length })
        }
        _ => Step::Bad("a batch's entries do not fill it"),
    }
}

/// The first index and the body's length.
fn batch_header(head: &[u8]) -> Option<(u64, usize)> {
    if head.get(..4)? != BATCH_MAGIC || u32_at(head, 24)? != crc32(&[&head[..24]]) {
        return None;
    }
    Some((u64_at(head, 8)?, u32_at(head, 4)? as usize))
}

/// Whether a batch with a higher index than `expected` starts behind `offset`. Batches are begun only when the one before
/// is durable, so this tells damage from a torn tail.
pub(crate) fn later_batch_exists(bytes: &[u8], offset: usize, expected: u64) -> bool {
    let mut at = offset + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == BATCH_MAGIC[0])) {
        at += found;
        if let Some(head) = bytes.get(at..at + BATCH_HEADER)
            && batch_header(head).is_some_and(|(first, _)| first > expected)
        {
            return true;
        }
        at += 1;
    }
    false
}

/// Bytes from `offset` to the last one that is not zero.
pub(crate) fn torn_bytes(bytes: &[u8], offset: usize) -> u64 {
    let rest = bytes.get(offset..).unwrap_or_default();
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// A segment that takes batches.
pub(crate) struct Segment {
    file: Box<dyn DiskFile>,
    offset: u64,
    capacity: u64,
}

impl Segment {
    /// Makes a zero-filled segment, durable with its name. Overwriting zeros needs no new blocks: syncs are cheaper, and
    /// a full disk shows here, not in the middle of a batch.
    pub(crate) fn create(
        disk: &dyn Disk,
        folder: &Path,
        reference: SegmentRef,
        open: &[u64],
        capacity_min: u64,
        room: u64,
    ) -> io::Result<Self> {
        let header = segment_header(reference.first, open);
        let capacity = capacity_min.max(header.len() as u64 + room);
        let journal = journal_folder(folder);
        let beside = journal.join("segment.new");
        let mut file = disk.create(&beside)?;
        let zeros = vec![0; ZEROS.min(usize::try_from(capacity).unwrap_or(ZEROS))];
        let mut at = 0;
        while at < capacity {
            let length = (capacity - at).min(zeros.len() as u64);
            file.write_at(&zeros[..length as usize], at)?;
            at += length;
        }
        file.write_at(&header, 0)?;
        file.sync()?;
        disk.rename(&beside, &segment_path(folder, reference.sequence))?;
        disk.sync_folder(&journal)?;
        Ok(Self { file, offset: header.len() as u64, capacity })
    }

    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.offset + bytes as u64 <= self.capacity
    }

    /// Writes a batch; it is durable when this returns `Ok`. After an error the segment takes no more.
    pub(crate) fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        self.file.write_at(batch, self.offset)?;
        self.file.sync()?;
        self.offset += batch.len() as u64;
        Ok(())
    }
}
