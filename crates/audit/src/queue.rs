//! Between callers and the sequencer: a bounded queue, and the handles that callers hold.

use crate::clock;
use crate::entry::{Call, Ending, Outcome, encode_intent, encode_outcome, encode_refusal};
use crate::error::Unavailable;
use crate::journal::OPEN_MAX;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What waits for the sequencer. The bytes are the finished entry.
pub(crate) enum Item {
    Intent { bytes: Vec<u8>, reply: oneshot::Sender<Result<OpenEntry, Unavailable>> },
    Refusal { bytes: Vec<u8>, reply: oneshot::Sender<Result<u64, Unavailable>> },
    Outcome { intent: u64, bytes: Vec<u8> },
}

impl Item {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Intent { bytes, .. } | Self::Refusal { bytes, .. } | Self::Outcome { bytes, .. } => bytes,
        }
    }

    /// Whether its caller has gone, so that it need not be written. Outcomes are always owed.
    pub(crate) fn is_given_up(&self) -> bool {
        match self {
            Self::Intent { reply, .. } => reply.is_closed(),
            Self::Refusal { reply, .. } => reply.is_closed(),
            Self::Outcome { .. } => false,
        }
    }

    pub(crate) fn fail(self, why: &Unavailable) {
        match self {
            Self::Intent { reply, .. } => drop(reply.send(Err(why.clone()))),
            Self::Refusal { reply, .. } => drop(reply.send(Err(why.clone()))),
            Self::Outcome { .. } => {}
        }
    }
}

/// How the sequencer is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Write what waits, close what is open, say so in the log.
    Orderly,
    /// Write what waits.
    Dropped,
}

#[derive(Default)]
pub(crate) struct Queue {
    /// Intents and refusals: at most `queue_max`.
    pub(crate) calls: VecDeque<Item>,
    /// Outcomes: at most one for each open intent.
    pub(crate) outcomes: VecDeque<Item>,
    /// Intents that are durable and have no durable outcome, at most [`OPEN_MAX`].
    pub(crate) open: usize,
    /// Calls that the sequencer has taken and perhaps not yet counted in `open`.
    pub(crate) taken: usize,
    /// While the disk refuses: why, and until when calls are refused without trying again.
    pub(crate) failed: Option<(Unavailable, Instant)>,
    pub(crate) stop: Option<Stop>,
    pub(crate) closed: bool,
    /// The sequencer waits for `work`.
    pub(crate) idle: bool,
}

pub(crate) struct Shared {
    pub(crate) queue: Mutex<Queue>,
    pub(crate) work: Condvar,
    queue_max: usize,
    append_timeout: Duration,
}

impl Shared {
    pub(crate) fn new(queue_max: usize, append_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::new(Queue::default()), work: Condvar::new(), queue_max, append_timeout })
    }

    fn push_call(&self, item: Item) -> Result<(), Unavailable> {
        let mut queue = self.queue.lock();
        if queue.closed || queue.stop.is_some() {
            return Err(Unavailable::new("the log is closed"));
        }
        if let Some((why, until)) = &queue.failed
            && Instant::now() < *until
        {
            return Err(why.clone());
        }
        if queue.calls.len() >= self.queue_max {
            return Err(Unavailable::new(format!("{} entries wait for the disk already", self.queue_max)));
        }
        if queue.open + queue.taken + queue.calls.len() >= OPEN_MAX {
            return Err(Unavailable::new(format!("{OPEN_MAX} requests are open already")));
        }
        queue.calls.push_back(item);
        self.wake(&mut queue);
        Ok(())
    }

    fn push_outcome(&self, item: Item) {
        let mut queue = self.queue.lock();
        // After the end, the next start closes the intent as `gateway_stopped`, or the close has done so.
        if queue.closed {
            return;
        }
        queue.outcomes.push_back(item);
        self.wake(&mut queue);
    }

    /// One wake a batch: nothing is signalled while the sequencer is at work.
    fn wake(&self, queue: &mut Queue) {
        if queue.idle {
            queue.idle = false;
            self.work.notify_one();
        }
    }

    pub(crate) fn stop(&self, stop: Stop) {
        let mut queue = self.queue.lock();
        queue.stop = Some(stop);
        queue.idle = false;
        self.work.notify_one();
    }
}

/// Waits for the sequencer's word. An answer that comes at the very last moment counts.
async fn wait<T>(mut reply: oneshot::Receiver<Result<T, Unavailable>>, limit: Duration) -> Result<T, Unavailable> {
    match tokio::time::timeout(limit, &mut reply).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Unavailable::new("the log's writer has ended")),
        Err(_) => {
            reply.close();
            reply.try_recv().unwrap_or_else(|_| {
                Err(Unavailable::new(format!("the disk took longer than {} ms", limit.as_millis())))
            })
        }
    }
}

/// Cheap to clone; used from any thread and any runtime.
#[derive(Clone)]
pub struct AuditWriter(pub(crate) Arc<Shared>);

impl AuditWriter {
    /// For readiness: whether the log would take an entry now, as far as is known without trying.
    ///
    /// # Errors
    /// Why it would not.
    pub fn is_available(&self) -> Result<(), Unavailable> {
        let queue = self.0.queue.lock();
        if queue.closed || queue.stop.is_some() {
            return Err(Unavailable::new("the log is closed"));
        }
        // Also where the time to try again has come: nothing has succeeded since.
        queue.failed.as_ref().map_or(Ok(()), |(why, _)| Err(why.clone()))
    }

    /// A permitted request, before anything is sent upstream. Returns when the entry is durable.
    pub async fn intent(&self, call: Call) -> Result<OpenEntry, Unavailable> {
        let bytes = encode_intent(clock::now(), call);
        let (reply, answer) = oneshot::channel();
        self.0.push_call(Item::Intent { bytes, reply })?;
        wait(answer, self.0.append_timeout).await
    }

    /// A refused request: one entry, no outcome follows. Returns its index when it is durable.
    pub async fn refusal(&self, call: Call) -> Result<u64, Unavailable> {
        let bytes = encode_refusal(clock::now(), call);
        let (reply, answer) = oneshot::channel();
        self.0.push_call(Item::Refusal { bytes, reply })?;
        wait(answer, self.0.append_timeout).await
    }
}

impl fmt::Debug for AuditWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditWriter")
    }
}

/// A durable intent that still owes its outcome. Dropped unclosed, it is closed as `Abandoned`: exactly one outcome follows.
pub struct OpenEntry {
    index: u64,
    since: Instant,
    /// Taken by the outcome.
    shared: Option<Arc<Shared>>,
}

impl OpenEntry {
    pub(crate) fn new(index: u64, shared: Arc<Shared>) -> Self {
        Self { index, since: Instant::now(), shared: Some(shared) }
    }

    /// The intent's index.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hands over the outcome. It is written even where the disk refuses now: it waits in memory.
    pub fn close(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    /// Closes an intent whose caller was not told that it is durable, so that nothing was sent upstream for it.
    pub(crate) fn refuse(mut self) {
        self.end(Outcome::ended(Ending::Refused, self.duration_us(), "the caller no longer waited for the entry"));
    }

    fn duration_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(shared) = self.shared.take() {
            let bytes = encode_outcome(clock::now(), self.index, outcome);
            shared.push_outcome(Item::Outcome { intent: self.index, bytes });
        }
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        if self.shared.is_some() {
            self.end(Outcome::ended(Ending::Abandoned, self.duration_us(), "given up without an outcome"));
        }
    }
}

impl fmt::Debug for OpenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenEntry({})", self.index)
    }
}
