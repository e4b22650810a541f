use crate::disk::{Disk, Place, RealDisk};
use crate::error::{AuditError, Unavailable, io_error};
use crate::journal;
use crate::key::LogKey;
use crate::publish::{Cursor, Publisher};
use crate::queue::{AuditWriter, Shared, Stop};
use crate::recover::recover;
use crate::sequencer::{ProgressCell, Sequencer};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where and how one node's log lives.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The log's folder; made where it is missing.
    pub folder: PathBuf,
    /// The log's name in checkpoints (C2SP origin line), for example `gw.example/audit`.
    pub origin: String,
    /// How often a checkpoint is published while there is something new.
    pub publish_interval: Duration,
    /// Size of a journal segment.
    pub segment_bytes: u64,
    /// Most entries that may wait for the disk; one more is refused.
    pub queue_max: usize,
    /// Longest that a caller waits for its entry to be durable.
    pub append_timeout: Duration,
}

/// What was found and mended when the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Recovery {
    /// Entries in the log, with those that the opening itself wrote.
    pub size: u64,
    /// Bytes of an unfinished write at the journal's end that were left out. They were never acknowledged.
    pub torn_bytes_removed: u64,
    /// Intents of the run before that got their outcome, `gateway_stopped`, now.
    pub intents_closed: u64,
}

/// One node's log. Dropping it without `close` is like a crash: nothing is lost, the next `open` recovers.
pub struct AuditLog {
    shared: Arc<Shared>,
    progress: Arc<ProgressCell>,
    sequencer: Option<JoinHandle<Result<(), Unavailable>>>,
    publisher: Option<JoinHandle<Result<(), AuditError>>>,
    /// Dropped last: the folder is free when nothing writes any more.
    _lock: Box<dyn Send + Sync>,
}

impl AuditLog {
    /// Opens the log, or makes it. Repairs what a crash left behind, and refuses what a crash can't explain.
    pub fn open(config: LogConfig, key: LogKey) -> Result<(Self, Recovery), AuditError> {
        Self::open_on(Arc::new(RealDisk), config, key)
    }

    /// [`AuditLog::open`] on another disk than the machine's own.
    pub fn open_on(disk: Arc<dyn Disk>, config: LogConfig, key: LogKey) -> Result<(Self, Recovery), AuditError> {
        if key.signer.verifier().name() != config.origin {
            let key = key.signer.verifier().name().to_owned();
            return Err(AuditError::OriginMismatch { key, config: config.origin });
        }
        let folder = config.folder;
        let journal = journal::journal_folder(&folder);
        make_folder(&*disk, &folder)?;
        let lock = disk.lock(&folder.join("lock")).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => AuditError::Locked { folder: folder.clone() },
            _ => io_error("lock", &folder)(error),
        })?;
        make_folder(&*disk, &journal)?;
        let found = recover(&*disk, &folder, key.signer.verifier())?;

        let shared = Shared::new(config.queue_max, config.append_timeout);
        let progress = Arc::new(ProgressCell::default());
        {
            let mut progress = progress.progress.lock();
            progress.durable = found.size;
            progress.segments = found.segments;
        }
        let place = Place { disk, folder };
        let mut sequencer = Sequencer::new(
            place.clone(),
            config.segment_bytes,
            Arc::clone(&shared),
            Arc::clone(&progress),
            found.size,
            found.open,
            found.next_sequence,
        );
        let intents_closed = sequencer.start(found.torn_bytes).map_err(io_error("write", &journal))?;
        let recovery = Recovery { size: sequencer.size(), torn_bytes_removed: found.torn_bytes, intents_closed };
        let cursor = found.cursor.unwrap_or_else(|| {
            // A new log: its first segment lists nothing open, so that the header's length is the least one.
            let length = journal::segment_header_length(0) as u64;
            Cursor { sequence: found.next_sequence, offset: length, next: 0 }
        });
        let publisher = Publisher::new(
            place,
            key.signer,
            Arc::clone(&progress),
            config.publish_interval,
            found.state,
            cursor,
            found.published,
        );
        let mut log = Self { shared, progress, sequencer: None, publisher: None, _lock: lock };
        log.sequencer = Some(spawn("airgate-audit-sequencer", move || sequencer.run())?);
        log.publisher = Some(spawn("airgate-audit-publisher", move || publisher.run())?);
        Ok((log, recovery))
    }

    /// A handle to write with.
    pub fn writer(&self) -> AuditWriter {
        AuditWriter(Arc::clone(&self.shared))
    }

    /// Writes what waits, integrates, publishes a last checkpoint.
    pub fn close(mut self) -> Result<(), AuditError> {
        self.end(Stop::Orderly)
    }

    fn end(&mut self, stop: Stop) -> Result<(), AuditError> {
        self.shared.stop(stop);
        let written = join(self.sequencer.take());
        {
            self.progress.progress.lock().stop = Some(stop);
            self.progress.changed.notify_all();
        }
        let published = join(self.publisher.take());
        match written? {
            Some(Err(why)) => Err(AuditError::ClosedUnavailable(why.reason)),
            _ => published?.unwrap_or(Ok(())),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        if (self.sequencer.is_some() || self.publisher.is_some())
            && let Err(error) = self.end(Stop::Dropped)
        {
            tracing::error!(%error, "the audit log was dropped");
        }
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditLog")
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AuditError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| AuditError::Thread(format!("can't start the thread `{name}`: {error}")))
}

fn join<T>(thread: Option<JoinHandle<T>>) -> Result<Option<T>, AuditError> {
    let Some(thread) = thread else { return Ok(None) };
    let name = thread.thread().name().unwrap_or("audit").to_owned();
    thread.join().map(Some).map_err(|_| AuditError::Thread(format!("the thread `{name}` has died")))
}

/// Makes a folder with those above it, each durable in the one above.
fn make_folder(disk: &dyn Disk, path: &Path) -> Result<(), AuditError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match disk.create_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = parent else { return Err(io_error("create", path)(error)) };
            make_folder(disk, parent)?;
            disk.create_folder(path).map_err(io_error("create", path))?;
        }
        other => other.map_err(io_error("create", path))?,
    }
    let parent = parent.unwrap_or(Path::new("."));
    disk.sync_folder(parent).map_err(io_error("sync", parent))
}
