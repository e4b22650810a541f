//! What is durable and not yet published: read from the journal, for information only.

use crate::disk::Disk;
use crate::journal::{self, Step};
use std::io;
use std::path::Path;

/// Calls `each` with every entry of the journal from index `from` on. On a live log the last batch may be in the middle of
/// being written, and segments may go away: what can't be read is left out.
pub(super) fn read(disk: &dyn Disk, folder: &Path, from: u64, mut each: impl FnMut(u64, &[u8])) -> io::Result<()> {
    let mut segments = Vec::new();
    for sequence in journal::list(disk, folder)? {
        let path = journal::segment_path(folder, sequence);
        let bytes = disk.read(&path, 0, journal::SEGMENT_HEADER_MAX)?;
        if let Some(header) = bytes.as_deref().and_then(journal::parse_segment_header) {
            segments.push((path, header));
        }
    }
    let Some(start) = segments.iter().rposition(|(_, header)| header.first <= from) else { return Ok(()) };
    let mut next = segments[start].1.first;
    for (at, (path, header)) in segments.iter().enumerate().skip(start) {
        let limit = segments.get(at + 1).map_or(u64::MAX, |(_, header)| header.first);
        let Some(bytes) = disk.read(path, 0, u64::MAX)? else { return Ok(()) };
        let mut offset = header.length;
        while next < limit {
            // A segment that is torn ends here; only where its successor starts at this index does the log go on.
            let Step::Batch(batch) = journal::batch_at(&bytes, offset, next) else { return Ok(()) };
            for entry in &batch.entries {
                if next >= from {
                    each(next, entry);
                }
                next += 1;
            }
            offset = batch.end;
        }
    }
    Ok(())
}
