//! What is durable and not yet published: read from the journal, for information only.

use crate::disk::Disk;
use crate::journal::{self, Step};
use std::io;
use std::path::Path;

/// The entries of the journal from index `from` on, in order. On a live log the last batch may be in the middle of being
/// written, and segments may go away: what can't be read is left out.
///
/// INVARIANT: a segment goes away only when a checkpoint that covers it is durable. So whoever reads the journal first and the
/// checkpoint after it misses nothing: what is not in the one is under the other.
pub(super) fn read(disk: &dyn Disk, folder: &Path, from: u64) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let mut entries = Vec::new();
    let mut segments = Vec::new();
    for sequence in journal::list(disk, folder)? {
        let path = journal::segment_path(folder, sequence);
        let bytes = disk.read(&path, 0, journal::SEGMENT_HEADER_MAX)?;
        if let Some(header) = bytes.as_deref().and_then(journal::parse_segment_header) {
            segments.push((path, header));
        }
    }
    // Where none begins so early, those that did are gone.
    let start = segments.iter().rposition(|(_, header)| header.first <= from).unwrap_or(0);
    let mut next = segments.get(start).map_or(0, |(_, header)| header.first);
    for (at, (path, header)) in segments.iter().enumerate().skip(start) {
        let limit = segments.get(at + 1).map_or(u64::MAX, |(_, header)| header.first);
        let Some(bytes) = disk.read(path, 0, u64::MAX)? else {
            next = limit;
            continue;
        };
        let mut offset = header.length;
        while next < limit {
            // A segment that is torn ends here; only where its successor starts at this index does the log go on.
            let Step::Batch(batch) = journal::batch_at(&bytes, offset, next) else { return Ok(entries) };
            for entry in batch.entries {
                if next >= from {
                    entries.push((next, entry.to_vec()));
                }
                next += 1;
            }
            offset = batch.end;
        }
    }
    Ok(entries)
}
