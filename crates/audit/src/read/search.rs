use super::{ReadError, bundle, io_error, published_size, tail};
use crate::disk::{Disk, RealDisk};
use crate::entry::{Call, Entry, EntryBody, Outcome, rfc3339};
use airgate_tlog::TILE_WIDTH;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Which calls to find. What is `None` is not asked about; the rest must hold together.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The task instance's DAG.
    pub dag_id: Option<String>,
    /// Its run.
    pub run_id: Option<String>,
    /// Its task.
    pub task_id: Option<String>,
    /// Its try.
    pub try_number: Option<i64>,
    /// The gateway's request id, or the caller's own.
    pub request_id: Option<String>,
    /// The principal's name at its issuer.
    pub subject: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The grant.
    pub grant: Option<String>,
    /// The decision's code, or the outcome's.
    pub code: Option<String>,
    /// `intent` or `refusal`.
    pub kind: Option<String>,
    /// As whom the gateway signed in.
    pub windows_identity: Option<String>,
    /// How the path starts.
    pub path_prefix: Option<String>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// At most so many: the latest ones.
    pub limit: Option<usize>,
}

/// How a found call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// The outcome's index.
    pub index: u64,
    /// Its time, RFC 3339.
    pub time: String,
    /// What it says.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A permitted or refused request, joined with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundCall {
    /// The index of its intent or refusal.
    pub index: u64,
    /// `intent` or `refusal`.
    pub kind: &'static str,
    /// Its time, RFC 3339.
    pub time: String,
    /// What was recorded.
    pub call: Call,
    /// How it ended; `None` for a refusal, and while it is open.
    pub outcome: Option<Attached>,
    /// Whether the entry is under a checkpoint; if not, it is durable and **not yet published**.
    pub published: bool,
}

/// The calls that fit, in the order of their indices. Reads entries without checking the tree: [`super::verify`] does that.
pub fn search(folder: &Path, query: &Query) -> Result<Vec<FoundCall>, ReadError> {
    search_on(&RealDisk, folder, query)
}

/// [`search`] on another disk than the machine's own.
pub fn search_on(disk: &dyn Disk, folder: &Path, query: &Query) -> Result<Vec<FoundCall>, ReadError> {
    let unpublished = tail::read(disk, folder, published_size(disk, folder)?).map_err(io_error(folder))?;
    let size = published_size(disk, folder)?;
    let mut found = Found { query, waiting: BTreeMap::new(), done: BTreeMap::new() };
    for number in 0..size.div_ceil(TILE_WIDTH as u64) {
        let first = number * TILE_WIDTH as u64;
        for (index, bytes) in (first..).zip(bundle(disk, folder, number, size)?) {
            found.entry(index, &bytes, true);
        }
    }
    for (index, bytes) in unpublished.iter().filter(|(index, _)| *index >= size) {
        found.entry(*index, bytes, false);
    }
    Ok(found.finish())
}

struct Found<'a> {
    query: &'a Query,
    /// Intents whose outcome has not come yet.
    waiting: BTreeMap<u64, FoundCall>,
    done: BTreeMap<u64, FoundCall>,
}

impl Found<'_> {
    fn entry(&mut self, index: u64, bytes: &[u8], published: bool) {
        // What can't be read can't be found; `verify` names it.
        let Ok(entry) = Entry::parse(bytes) else { return };
        let kind = entry.kind();
        match entry.body {
            EntryBody::Intent(call) if self.query.fits(&call, kind, entry.time) => {
                let time = rfc3339(entry.time);
                self.waiting.insert(index, FoundCall { index, kind, time, call, outcome: None, published });
            }
            EntryBody::Refusal(call) if self.query.fits(&call, kind, entry.time) => {
                let time = rfc3339(entry.time);
                self.keep(FoundCall { index, kind, time, call, outcome: None, published });
            }
            EntryBody::Outcome { intent, outcome } => {
                if let Some(mut call) = self.waiting.remove(&intent) {
                    call.outcome = Some(Attached { index, time: rfc3339(entry.time), outcome });
                    self.keep(call);
                }
            }
            EntryBody::Intent(_) | EntryBody::Refusal(_) | EntryBody::Gateway(_) => {}
        }
    }

    fn keep(&mut self, call: FoundCall) {
        let ended_as = call.outcome.as_ref().and_then(|attached| attached.outcome.code.as_deref());
        if self.query.code.as_deref().is_none_or(|code| code == call.call.code || Some(code) == ended_as) {
            self.done.insert(call.index, call);
            if self.done.len() > self.query.limit.unwrap_or(usize::MAX) {
                self.done.pop_first();
            }
        }
    }

    fn finish(mut self) -> Vec<FoundCall> {
        for (_, open) in std::mem::take(&mut self.waiting) {
            self.keep(open);
        }
        self.done.into_values().collect()
    }
}

impl Query {
    /// All but `code`, which the outcome may answer.
    fn fits(&self, call: &Call, kind: &str, time: Timestamp) -> bool {
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| Some(wanted) == found);
        let principal = call.principal.as_ref();
        let job = principal.and_then(|principal| principal.job.as_ref());
        is(&self.dag_id, job.map(|job| job.dag_id.as_str()))
            && is(&self.run_id, job.map(|job| job.run_id.as_str()))
            && is(&self.task_id, job.map(|job| job.task_id.as_str()))
            && self.try_number.is_none_or(|wanted| job.is_some_and(|job| job.try_number == wanted))
            && (is(&self.request_id, Some(&call.request_id)) || is(&self.request_id, call.client_request_id.as_deref()))
            && is(&self.subject, principal.map(|principal| principal.subject.as_str()))
            && is(&self.route, call.route.as_deref())
            && is(&self.grant, call.grant.as_deref())
            && is(&self.kind, Some(kind))
            && is(&self.windows_identity, call.windows_identity.as_deref())
            && self.path_prefix.as_deref().is_none_or(|prefix| call.path.starts_with(prefix))
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
    }
}
