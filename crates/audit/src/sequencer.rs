//! The one writer of the journal. It gives entries their indices, and answers when they are durable.

use crate::clock;
use crate::disk::{Disk, Place};
use crate::entry::{Ending, GatewayEvent, GatewayNote, Outcome, encode_gateway, encode_outcome};
use crate::error::Unavailable;
use crate::journal::{BATCH_BYTES, BatchBuilder, Segment, SegmentRef};
use crate::queue::{Item, OpenEntry, Queue, Shared, Stop};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long calls are refused unseen after a failed write, and how often the disk is tried anew meanwhile.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_TIMER: Duration = Duration::from_millis(250);

/// What the publisher needs to know of the sequencer.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Entries that are durable.
    pub(crate) durable: u64,
    pub(crate) segments: VecDeque<SegmentRef>,
    pub(crate) stop: Option<Stop>,
}

#[derive(Default)]
pub(crate) struct ProgressCell {
    pub(crate) progress: Mutex<Progress>,
    pub(crate) changed: Condvar,
}

pub(crate) struct Sequencer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    segment_bytes: u64,
    shared: Arc<Shared>,
    progress: Arc<ProgressCell>,
    /// The index of the next entry.
    next: u64,
    /// Durable intents without a durable outcome.
    open: BTreeSet<u64>,
    /// `None` after a failed write: what reached the disk is unknown, and the next segment's header undoes it.
    segment: Option<Segment>,
    next_sequence: u64,
    /// Outcomes that are owed and not yet durable, oldest first.
    owed: VecDeque<Item>,
}

impl Sequencer {
    pub(crate) fn new(
        Place { disk, folder }: Place,
        segment_bytes: u64,
        shared: Arc<Shared>,
        progress: Arc<ProgressCell>,
        next: u64,
        open: BTreeSet<u64>,
        next_sequence: u64,
    ) -> Self {
        Self {
            disk,
            folder,
            segment_bytes,
            shared,
            progress,
            next,
            open,
            segment: None,
            next_sequence,
            owed: VecDeque::new(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.next
    }

    /// Closes what the run before left open, then notes the start: in this order, so that a verifier may take a `started`
    /// note as the promise that nothing before it is open.
    pub(crate) fn start(&mut self, torn_bytes_removed: u64) -> io::Result<u64> {
        let closed = self.close_open("the gateway stopped before the request ended")?;
        self.note(GatewayEvent::Started, torn_bytes_removed, closed)?;
        Ok(closed)
    }

    fn close_open(&mut self, detail: &str) -> io::Result<u64> {
        let open: Vec<u64> = self.open.iter().copied().collect();
        for part in open.chunks(1_024) {
            let items = part.iter().map(|intent| {
                let outcome = Outcome::ended(Ending::GatewayStopped, 0, detail);
                Item::Outcome { intent: *intent, bytes: encode_outcome(clock::now(), *intent, outcome) }
            });
            let items: Vec<Item> = items.collect();
            self.append(items.iter().map(Item::bytes))?;
            self.settle(items);
        }
        Ok(open.len() as u64)
    }

    fn note(&mut self, event: GatewayEvent, torn_bytes_removed: u64, intents_closed: u64) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let note = GatewayNote { event, version, torn_bytes_removed, intents_closed };
        let bytes = encode_gateway(clock::now(), note);
        self.append(std::iter::once(bytes.as_slice()))?;
        self.settle(Vec::new());
        Ok(())
    }

    /// The thread's body. Returns why the last entries could not be written, if so.
    pub(crate) fn run(mut self) -> Result<(), Unavailable> {
        loop {
            let (calls, stop) = self.take();
            let result = self.commit(calls);
            if let Some(stop) = stop {
                return self.finish(stop, result);
            }
            if let Err(error) = result {
                self.fail(&error);
            }
        }
    }

    /// Waits for work, and takes one batch of calls; outcomes go to `owed`.
    fn take(&mut self) -> (Vec<Item>, Option<Stop>) {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue.lock();
        while queue.calls.is_empty() && queue.outcomes.is_empty() && queue.stop.is_none() {
            queue.idle = true;
            if queue.failed.is_some() {
                let timed_out = shared.work.wait_for(&mut queue, RETRY_TIMER).timed_out();
                queue.idle = false;
                if timed_out {
                    break;
                }
            } else if !self.owed.is_empty() {
                break;
            } else {
                shared.work.wait(&mut queue);
            }
        }
        queue.idle = false;
        self.owed.append(&mut queue.outcomes);
        let stop = queue.stop;
        let calls = take_calls(&mut queue, stop.is_some());
        queue.taken = calls.len();
        (calls, stop)
    }

    /// Writes one batch: outcomes first, for they let go of something.
    fn commit(&mut self, calls: Vec<Item>) -> io::Result<()> {
        let mut calls: VecDeque<Item> = calls.into_iter().filter(|item| !item.is_given_up()).collect();
        loop {
            let mut items = Vec::with_capacity(self.owed.len() + calls.len());
            let mut bytes = 0;
            while bytes < BATCH_BYTES {
                let Some(item) = self.owed.pop_front().or_else(|| calls.pop_front()) else { break };
                bytes += item.bytes().len() + 2;
                items.push(item);
            }
            let appended = if items.is_empty() { self.probe() } else { self.append(items.iter().map(Item::bytes)) };
            if let Err(error) = appended {
                self.give_back(items, calls, &error);
                return Err(error);
            }
            self.settle(items);
            if self.owed.is_empty() && calls.is_empty() {
                return Ok(());
            }
        }
    }

    /// With nothing to write: after a failure, tries whether the disk takes a segment again.
    fn probe(&mut self) -> io::Result<()> {
        if self.segment.is_none() { self.roll(0) } else { Ok(()) }
    }

    fn append<'a>(&mut self, entries: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut batch = BatchBuilder::new();
        let mut count = 0;
        for entry in entries {
            batch.push(entry)?;
            count += 1;
        }
        let batch = batch.finish(self.next);
        if !self.segment.as_ref().is_some_and(|segment| segment.has_room(batch.len())) {
            self.roll(batch.len() as u64)?;
        }
        let Some(segment) = &mut self.segment else { return Err(io::Error::other("no segment")) };
        if let Err(error) = segment.append(&batch) {
            // What of the batch reached the disk is unknown: only a new segment's header tells it apart from the log.
            self.segment = None;
            return Err(error);
        }
        self.next += count;
        Ok(())
    }

    fn roll(&mut self, room: u64) -> io::Result<()> {
        self.segment = None;
        // A number is used once, even where the attempt fails after the rename.
        let reference = SegmentRef { sequence: self.next_sequence, first: self.next };
        self.next_sequence += 1;
        let open: Vec<u64> = self.open.iter().copied().collect();
        let segment = Segment::create(&*self.disk, &self.folder, reference, &open, self.segment_bytes, room)?;
        self.segment = Some(segment);
        self.progress.progress.lock().segments.push_back(reference);
        Ok(())
    }

    /// After a durable batch that ends at `next`: books it, and answers.
    fn settle(&mut self, items: Vec<Item>) {
        let first = self.next - items.len() as u64;
        self.progress.progress.lock().durable = self.next;
        for (index, item) in (first..).zip(&items) {
            match item {
                Item::Intent { .. } => drop(self.open.insert(index)),
                Item::Outcome { intent, .. } => drop(self.open.remove(intent)),
                Item::Refusal { .. } => {}
            }
        }
        {
            let mut queue = self.shared.queue.lock();
            queue.open = self.open.len();
            if queue.failed.take().is_some() {
                tracing::info!(size = self.next, "the audit log takes entries again");
            }
        }
        for (index, item) in (first..).zip(items) {
            match item {
                Item::Intent { reply, .. } => {
                    let answer = Ok(OpenEntry::new(index, Arc::clone(&self.shared)));
                    if let Err(Ok(unseen)) = reply.send(answer) {
                        unseen.refuse();
                    }
                }
                // A refusal whose caller has gone stays true: the request was refused.
                Item::Refusal { reply, .. } => drop(reply.send(Ok(index))),
                Item::Outcome { .. } => {}
            }
        }
    }

    /// After a failed batch: outcomes stay owed in their order, callers are told.
    fn give_back(&mut self, items: Vec<Item>, calls: VecDeque<Item>, error: &io::Error) {
        let why = Unavailable::new(error.to_string());
        let mut outcomes = VecDeque::new();
        for item in items.into_iter().chain(calls) {
            if matches!(item, Item::Outcome { .. }) { outcomes.push_back(item) } else { item.fail(&why) }
        }
        outcomes.append(&mut self.owed);
        self.owed = outcomes;
    }

    fn fail(&mut self, error: &io::Error) {
        let why = Unavailable::new(error.to_string());
        let mut queue = self.shared.queue.lock();
        if queue.failed.is_none() {
            tracing::error!(%error, owed = self.owed.len(), "the audit log can't be written: requests are refused");
        }
        queue.failed = Some((why.clone(), Instant::now() + RETRY_MIN));
        let waiting: Vec<Item> = queue.calls.drain(..).collect();
        drop(queue);
        for item in waiting {
            item.fail(&why);
        }
    }

    /// Writes the outcomes that came meanwhile, and takes no more: exactly one of them and the close writes each outcome.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            let mut queue = self.shared.queue.lock();
            if queue.outcomes.is_empty() {
                queue.closed = true;
                return Ok(());
            }
            self.owed.append(&mut queue.outcomes);
            drop(queue);
            self.commit(Vec::new())?;
        }
    }

    fn finish(mut self, stop: Stop, written: io::Result<()>) -> Result<(), Unavailable> {
        let result = written.and_then(|()| {
            self.drain()?;
            if stop == Stop::Orderly {
                let closed = self.close_open("the gateway stopped before the request ended")?;
                self.note(GatewayEvent::Stopped, 0, closed)?;
            }
            Ok(())
        });
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        let waiting: Vec<Item> = queue.calls.drain(..).collect();
        drop(queue);
        for item in waiting {
            item.fail(&Unavailable::new("the log is closed"));
        }
        result.map_err(|error| Unavailable::new(error.to_string()))
    }
}

/// As many calls as one batch takes; all of them at the end.
fn take_calls(queue: &mut Queue, all: bool) -> Vec<Item> {
    let mut bytes = 0;
    let mut calls = Vec::new();
    while (bytes < BATCH_BYTES || all)
        && let Some(item) = queue.calls.pop_front()
    {
        bytes += item.bytes().len();
        calls.push(item);
    }
    calls
}
