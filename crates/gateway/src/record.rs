//! Stage 5: the intent is durable before anything is sent upstream, and its outcome follows exactly once.

use crate::{
    authorize::Permitted,
    refusal::{Refusal, Refused},
};
use airgate_audit::{AuditWriter, Call, Ending, OpenEntry, Outcome};
use std::time::Instant;

/// Proof that the intent of `T` is durable in the audit log. Made only by [`record`].
#[derive(Debug)]
pub struct Recorded<T> {
    inner: T,
    entry: Entry,
}

impl<T> Recorded<T> {
    pub(crate) fn get(&self) -> &T {
        &self.inner
    }

    /// Gives up the proof: what remains owes the outcome.
    pub(crate) fn into_entry(self) -> Entry {
        self.entry
    }

    /// Closes the entry with a refusal that came after the intent.
    pub(crate) fn refuse(self, refusal: Refusal) -> Refused {
        self.entry.refuse(refusal)
    }
}

/// # Errors
/// The log can't take the entry: nothing may be sent.
pub(crate) async fn record(
    audit: &AuditWriter,
    permitted: Permitted,
    call: Call,
    started: Instant,
) -> Result<Recorded<Permitted>, Refusal> {
    let open = audit.intent(call).await.map_err(Refusal::AuditUnavailable)?;
    Ok(Recorded {
        inner: permitted,
        entry: Entry {
            index: open.index(),
            open: Some(open),
            started,
            bytes_in: 0,
            bytes_out: 0,
            upstream_status: None,
        },
    })
}

/// An entry that owes its outcome. Dropped unclosed, its request lost its caller.
pub(crate) struct Entry {
    index: u64,
    open: Option<OpenEntry>,
    started: Instant,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) upstream_status: Option<u16>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({})", self.index)
    }
}

impl Entry {
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn refuse(mut self, refusal: Refusal) -> Refused {
        self.close(refusal.ending(), Some(refusal.status().as_u16()), Some(refusal.code()), Some(refusal.detail()));
        Refused { refusal, index: Some(self.index) }
    }

    /// The first call counts; later ones, and the drop, do nothing.
    pub(crate) fn close(&mut self, ending: Ending, status: Option<u16>, code: Option<&str>, detail: Option<String>) {
        let Some(open) = self.open.take() else { return };
        open.close(Outcome {
            ending,
            status,
            upstream_status: self.upstream_status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            code: code.map(str::to_owned),
            detail,
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close(Ending::ClientDisconnected, None, Some("client_disconnected"), None);
    }
}
