//! The audit log: entry format, sequencer with group commit, tiles on disk, recovery, verification.
//!
//! An entry is *sequenced* (durable in the journal, has its index), *integrated* (in the tree's tiles), then *published*
//! (under a signed checkpoint). One thread sequences, one publishes; callers hand over finished bytes and wait.
//!
//! The folder:
//! ```text
//! checkpoint                     the signed tree head (C2SP tlog-checkpoint)
//! tile/<L>/<N>[.p/<W>]           hashes          tile/entries/<N>[.p/<W>]   entries (C2SP tlog-tiles)
//! journal/<sequence>.seg         what is durable and not yet published; of no interest to a verifier
//! lock                           held while a process has the log open
//! ```

mod clock;
pub mod disk;
mod entry;
mod error;
mod journal;
mod key;
mod log;
mod publish;
mod queue;
mod read;
mod recover;
mod sequencer;
mod tiles;

pub use airgate_tlog::VerifierKey;
pub use entry::{
    Call, ENTRY_VERSION, Ending, Entry, EntryBody, EntryError, GatewayEvent, GatewayNote, Job, Outcome, Subject,
};
pub use error::{AuditError, Unavailable};
pub use key::LogKey;
pub use log::{AuditLog, LogConfig, Recovery};
pub use queue::{AuditWriter, OpenEntry};
pub use read::{
    Attached, FoundCall, Inclusion, Query, ReadError, ShownEntry, VerifyError, VerifyOptions, VerifyReport, search,
    search_on, show, show_on, verify, verify_on,
};
