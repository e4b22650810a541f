//! The audit log: entry format, sequencer with group commit, tiles on disk, recovery, verification.
#![allow(missing_docs, clippy::todo)]
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Where and how one node's log lives.
#[derive(Debug, Clone)]
pub struct LogConfig {
    pub folder: PathBuf,
    /// The log's name in checkpoints (C2SP origin line), for example `gw.example/audit`.
    pub origin: String,
    pub publish_interval: Duration,
    pub segment_bytes: u64,
    /// Most entries that may wait for the disk; one more is refused.
    pub queue_max: usize,
    /// Longest that a caller waits for its entry to be durable.
    pub append_timeout: Duration,
}

/// The log's Ed25519 signing key. `Debug` shows the key id only.
pub struct LogKey;
impl LogKey {
    /// Reads the PKCS#8 PEM at `path` (mode must be 0600 or stricter), or makes one there, durably.
    pub fn load_or_create(path: &std::path::Path, origin: &str) -> Result<Self, AuditError> { let _ = (path, origin); todo!() }
    /// `<origin>+<key id>+<base64 of 0x01 || key>`: the signed-note verifier key.
    pub fn verifier_key(&self) -> String { todo!() }
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError { #[error("stub")] Stub }

/// The log can't take an entry now; the request must be refused with 503. (`reason` is for our own log.)
#[derive(Debug, thiserror::Error)]
#[error("the audit log is unavailable: {reason}")]
pub struct Unavailable { pub reason: String }

/// What was found and mended when the log was opened.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Recovery { pub size: u64, pub torn_bytes_removed: u64, pub intents_closed: u64 }

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Job { pub dag_id: String, pub run_id: String, pub task_id: String, pub map_index: i64, pub try_number: i64, pub ti_id: Option<String> }

/// The verified party a request is about, in the log's words.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Subject {
    pub issuer: String,
    pub subject: String,
    pub assurance: String,
    pub token_id: Option<String>,
    /// Hex SHA-256 of the token: names it without showing it.
    pub token_sha256: String,
    pub job: Option<Job>,
}

/// What every entry about one request says.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Call {
    pub request_id: String,
    pub client_request_id: Option<String>,
    pub traceparent: Option<String>,
    pub peer: String,
    pub listener: String,
    pub host: Option<String>,
    pub method: String,
    /// The canonical path, the very bytes that are forwarded; for a refused path, what was sent, escaped and cut.
    pub path: String,
    /// Hex SHA-256 of the query string, where there is one: a query may hold secrets.
    pub query_sha256: Option<String>,
    pub route: Option<String>,
    pub upstream: Option<String>,
    pub principal: Option<Subject>,
    pub grant: Option<String>,
    pub role: Option<String>,
    pub sign_in: Option<String>,
    pub windows_identity: Option<String>,
    /// Stable code: `permitted`, or the refusal's code.
    pub code: String,
    /// The whole reason, for the log's reader.
    pub reason: String,
    /// The answer's status, for a refusal; none in an intent.
    pub status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending { Completed, ClientDisconnected, UpstreamFailed, TimedOut, Refused, Abandoned, GatewayStopped }

/// How a recorded request ended.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    pub ending: Ending,
    /// What the caller saw; none where it saw nothing.
    pub status: Option<u16>,
    /// What the upstream answered; none where it answered nothing.
    pub upstream_status: Option<u16>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration_us: u64,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// One node's log. Dropping it without `close` is like a crash: nothing is lost, the next `open` recovers.
pub struct AuditLog;
impl AuditLog {
    pub fn open(config: LogConfig, key: LogKey) -> Result<(Self, Recovery), AuditError> { let _ = (config, key); todo!() }
    pub fn writer(&self) -> AuditWriter { todo!() }
    /// Writes what waits, integrates, publishes a last checkpoint.
    pub fn close(self) -> Result<(), AuditError> { todo!() }
}

/// Cheap to clone; used from any thread and any runtime.
#[derive(Clone)]
pub struct AuditWriter(#[allow(dead_code)] Arc<()>);
impl AuditWriter {
    /// A permitted request, before anything is sent upstream. Returns when the entry is durable.
    pub async fn intent(&self, call: Call) -> Result<OpenEntry, Unavailable> { let _ = call; todo!() }
    /// A refused request: one entry, no outcome follows. Returns its index when it is durable.
    pub async fn refusal(&self, call: Call) -> Result<u64, Unavailable> { let _ = call; todo!() }
}

/// A durable intent that still owes its outcome. Dropped unclosed, it is closed as `Abandoned`: exactly one outcome follows.
pub struct OpenEntry(());
impl OpenEntry {
    pub fn index(&self) -> u64 { todo!() }
    pub fn close(self, outcome: Outcome) { let _ = outcome; todo!() }
}
