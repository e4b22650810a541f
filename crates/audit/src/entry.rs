//! The entry format, version 1. One entry is one JSON object on one line, less than 65,536 bytes:
//!
//! ```json
//! {"v":1,"kind":"intent","time":"2026-01-02T03:04:05.000006Z","call":{…}}
//! {"v":1,"kind":"outcome","time":"…","intent":41,"outcome":{…}}
//! {"v":1,"kind":"refusal","time":"…","call":{…}}
//! {"v":1,"kind":"gateway","time":"…","gateway":{"event":"started",…}}
//! ```
//! An entry's index is its place in the log and not written in it. An outcome's `intent` is the index of the intent it
//! ends; every intent has exactly one outcome. A fact that is not known is left out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use std::borrow::Cow;
use std::io;

/// The version of the entry format that this crate writes, and the only one it reads.
pub const ENTRY_VERSION: u8 = 1;

/// Longest JSON spelling of a string, in bytes. The sum over all strings of an entry stays below 65,536 bytes:
/// 29 short ones, a path and three long ones, and less than 2,048 bytes of names and numbers.
const SHORT_BYTES_MAX: usize = 1_024;
const PATH_BYTES_MAX: usize = 16_384;
const LONG_BYTES_MAX: usize = 4_096;

/// The Airflow task instance that a request was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// The task in it.
    pub task_id: String,
    /// Which of a mapped task; -1 where it is not mapped.
    pub map_index: i64,
    /// Which try, from 1.
    pub try_number: i64,
    /// Airflow's own id of the task instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ti_id: Option<String>,
}

/// The verified party a request is about, in the log's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Who issued its token.
    pub issuer: String,
    /// How the issuer calls itself (`iss`): one configured issuer may stand for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its name at the issuer.
    pub subject: String,
    /// `task`, `worker` or `client`.
    pub assurance: String,
    /// The token's `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// Hex SHA-256 of the token: names it without showing it.
    pub token_sha256: String,
    /// What the presenter proved beyond having the token: `dpop`, `mtls`, or both with a `+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The task instance, where the token names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// What every entry about one request says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Call {
    /// Minted by the gateway.
    pub request_id: String,
    /// What the caller called it: never to be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// The caller's W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Address and port of the other end of the connection.
    pub peer: String,
    /// The configured listener that took it.
    pub listener: String,
    /// The host that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The canonical path, the very bytes that are forwarded; for a refused path, what was sent, escaped and cut.
    pub path: String,
    /// Hex SHA-256 of the query string, where there is one: a query may hold secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_sha256: Option<String>,
    /// The route that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The upstream it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Who asks, verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Subject>,
    /// The grant that permits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The role that the grant gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How the gateway signs in to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<String>,
    /// As whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows_identity: Option<String>,
    /// Stable code: `permitted`, or the refusal's code.
    pub code: String,
    /// The whole reason, for the log's reader.
    pub reason: String,
    /// The answer's status, for a refusal; none in an intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// How a recorded request came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Answered to the last byte.
    Completed,
    /// The caller went away first.
    ClientDisconnected,
    /// The upstream failed.
    UpstreamFailed,
    /// A limit on time was reached.
    TimedOut,
    /// Refused after its intent was recorded: nothing was sent upstream.
    Refused,
    /// Given up without a word on how it ended.
    Abandoned,
    /// The gateway stopped or was killed: what the upstream saw is not known.
    GatewayStopped,
}

/// How a recorded request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The kind of end.
    pub ending: Ending,
    /// What the caller saw; none where it saw nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the upstream answered; none where it answered nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Body bytes from the caller.
    pub bytes_in: u64,
    /// Body bytes to the caller.
    pub bytes_out: u64,
    /// From the request's arrival to its end, in microseconds.
    pub duration_us: u64,
    /// Stable code of what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Detail for the log's reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Outcome {
    pub(crate) fn ended(ending: Ending, duration_us: u64, detail: &str) -> Self {
        let detail = Some(detail.to_owned());
        Self { ending, status: None, upstream_status: None, bytes_in: 0, bytes_out: 0, duration_us, code: None, detail }
    }
}

/// What the gateway says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayEvent {
    /// The log was opened. Every intent before this entry has its outcome before it, too.
    Started,
    /// The log was closed in good order.
    Stopped,
}

/// A `gateway` entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayNote {
    /// What happened.
    pub event: GatewayEvent,
    /// The software's version.
    pub version: String,
    /// At a start: bytes of an unfinished write that were left out. They were never acknowledged.
    #[serde(default)]
    pub torn_bytes_removed: u64,
    /// At a start: intents of the run before that were closed as `gateway_stopped`.
    #[serde(default)]
    pub intents_closed: u64,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryBody {
    /// A permitted request, before anything is sent upstream.
    Intent(Call),
    /// How the request of an earlier intent ended.
    Outcome {
        /// The intent's index.
        intent: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A refused request; no outcome follows.
    Refusal(Call),
    /// About the gateway itself.
    Gateway(GatewayNote),
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was made, in microseconds. Entries are ordered by their index, not by this.
    pub time: Timestamp,
    /// What it says.
    pub body: EntryBody,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not the JSON that the format describes.
    #[error("not an entry: {0}")]
    Malformed(String),
    /// A version that this software can't read.
    #[error("entry format version {0} is not known to this version of the software")]
    Version(u64),
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Intent,
    Outcome,
    Refusal,
    Gateway,
}

#[derive(Serialize)]
struct RawOut<'a> {
    v: u8,
    kind: Kind,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<&'a GatewayNote>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIn {
    v: u64,
    kind: Kind,
    time: String,
    call: Option<Call>,
    intent: Option<u64>,
    outcome: Option<Outcome>,
    gateway: Option<GatewayNote>,
}

#[derive(Deserialize)]
struct RawLink {
    kind: Kind,
    intent: Option<u64>,
}

/// What an entry means for the count of open intents.
pub(crate) enum Link {
    Intent,
    Outcome(u64),
    Other,
}

impl Entry {
    /// Reads one entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let malformed = |detail: String| EntryError::Malformed(detail);
        let raw: RawIn = match serde_json::from_slice(bytes) {
            Ok(raw) => raw,
            Err(error) => {
                return Err(match version_of(bytes) {
                    Some(other) if other != u64::from(ENTRY_VERSION) => EntryError::Version(other),
                    _ => malformed(error.to_string()),
                });
            }
        };
        if raw.v != u64::from(ENTRY_VERSION) {
            return Err(EntryError::Version(raw.v));
        }
        let time: Timestamp = raw.time.parse().map_err(|_| malformed("`time` is not RFC 3339".to_owned()))?;
        let body = match (raw.kind, raw.call, raw.intent, raw.outcome, raw.gateway) {
            (Kind::Intent, Some(call), None, None, None) => EntryBody::Intent(call),
            (Kind::Refusal, Some(call), None, None, None) => EntryBody::Refusal(call),
            (Kind::Outcome, None, Some(intent), Some(outcome), None) => EntryBody::Outcome { intent, outcome },
            (Kind::Gateway, None, None, None, Some(note)) => EntryBody::Gateway(note),
            _ => return Err(malformed("the members do not fit the `kind`".to_owned())),
        };
        Ok(Self { time, body })
    }

    /// `intent`, `outcome`, `refusal` or `gateway`.
    pub fn kind(&self) -> &'static str {
        match self.body {
            EntryBody::Intent(_) => "intent",
            EntryBody::Outcome { .. } => "outcome",
            EntryBody::Refusal(_) => "refusal",
            EntryBody::Gateway(_) => "gateway",
        }
    }
}

fn version_of(bytes: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(bytes).ok()?.get("v")?.as_u64()
}

/// Reads only what recovery needs.
pub(crate) fn link(bytes: &[u8]) -> Result<Link, EntryError> {
    let raw: RawLink = serde_json::from_slice(bytes).map_err(|error| EntryError::Malformed(error.to_string()))?;
    Ok(match (raw.kind, raw.intent) {
        (Kind::Intent, None) => Link::Intent,
        (Kind::Outcome, Some(intent)) => Link::Outcome(intent),
        (Kind::Refusal | Kind::Gateway, None) => Link::Other,
        _ => return Err(EntryError::Malformed("the members do not fit the `kind`".to_owned())),
    })
}

/// Microseconds, always written: entries of one log sort and align.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.6}")
}

pub(crate) fn encode_intent(time: Timestamp, mut call: Call) -> Vec<u8> {
    cut_call(&mut call);
    encode(&RawOut { call: Some(&call), ..raw(Kind::Intent, time) })
}

pub(crate) fn encode_refusal(time: Timestamp, mut call: Call) -> Vec<u8> {
    cut_call(&mut call);
    encode(&RawOut { call: Some(&call), ..raw(Kind::Refusal, time) })
}

pub(crate) fn encode_outcome(time: Timestamp, intent: u64, mut outcome: Outcome) -> Vec<u8> {
    cut_option(&mut outcome.code, SHORT_BYTES_MAX);
    cut_option(&mut outcome.detail, LONG_BYTES_MAX);
    encode(&RawOut { intent: Some(intent), outcome: Some(&outcome), ..raw(Kind::Outcome, time) })
}

pub(crate) fn encode_gateway(time: Timestamp, mut note: GatewayNote) -> Vec<u8> {
    cut(&mut note.version, SHORT_BYTES_MAX);
    encode(&RawOut { gateway: Some(&note), ..raw(Kind::Gateway, time) })
}

fn raw<'a>(kind: Kind, time: Timestamp) -> RawOut<'a> {
    RawOut { v: ENTRY_VERSION, kind, time: rfc3339(time), call: None, intent: None, outcome: None, gateway: None }
}

fn encode(raw: &RawOut<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1_024);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, OneLine);
    // Writing plain structs of strings and numbers to memory has no way to fail.
    let done = raw.serialize(&mut serializer);
    debug_assert!(done.is_ok());
    bytes
}

/// Cuts every string of a call that a peer, a token or a configuration chose.
fn cut_call(call: &mut Call) {
    for text in [&mut call.request_id, &mut call.peer, &mut call.listener, &mut call.method, &mut call.code] {
        cut(text, SHORT_BYTES_MAX);
    }
    cut(&mut call.path, PATH_BYTES_MAX);
    cut(&mut call.reason, LONG_BYTES_MAX);
    for text in [
        &mut call.client_request_id,
        &mut call.traceparent,
        &mut call.host,
        &mut call.query_sha256,
        &mut call.route,
        &mut call.upstream,
        &mut call.grant,
        &mut call.role,
        &mut call.sign_in,
        &mut call.windows_identity,
    ] {
        cut_option(text, SHORT_BYTES_MAX);
    }
    let Some(principal) = &mut call.principal else { return };
    for text in [&mut principal.issuer, &mut principal.subject, &mut principal.assurance, &mut principal.token_sha256] {
        cut(text, SHORT_BYTES_MAX);
    }
    for text in [&mut principal.iss, &mut principal.token_id, &mut principal.proof] {
        cut_option(text, SHORT_BYTES_MAX);
    }
    let Some(job) = &mut principal.job else { return };
    for text in [&mut job.dag_id, &mut job.run_id, &mut job.task_id] {
        cut(text, SHORT_BYTES_MAX);
    }
    cut_option(&mut job.ti_id, SHORT_BYTES_MAX);
}

fn cut_option(text: &mut Option<String>, bytes_max: usize) {
    if let Some(text) = text {
        cut(text, bytes_max);
    }
}

/// Cuts `text` so that its JSON spelling has at most `bytes_max` bytes, and says so at its end.
fn cut(text: &mut String, bytes_max: usize) {
    // No character's spelling is longer than six times its UTF-8 bytes.
    if text.len() * 6 <= bytes_max || spelled(text) <= bytes_max {
        return;
    }
    let mark = format!("[cut: {} bytes]", text.len());
    let room = bytes_max - mark.len();
    let (mut used, mut end) = (0, 0);
    for c in text.chars() {
        used += spelled_char(c);
        if used > room {
            break;
        }
        end += c.len_utf8();
    }
    text.truncate(end);
    text.push_str(&mark);
}

fn spelled(text: &str) -> usize {
    text.chars().map(spelled_char).sum()
}

fn spelled_char(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' || acts_on_terminals(c) => 6,
        c => c.len_utf8(),
    }
}

/// Characters that JSON may hold as they are, and that act on a terminal or turn a line's reading order around.
fn acts_on_terminals(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON on one line, with every character escaped that could act on the terminal of who reads the raw log.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|b| b < 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut start = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| acts_on_terminals(*c)) {
            writer.write_all(&fragment.as_bytes()[start..at])?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            start = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[start..])
    }
}

/// An entry's bytes as text for people and reports; entries are JSON, so nothing is lost.
pub(crate) fn as_value(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| serde_json::Value::String(Cow::into_owned(String::from_utf8_lossy(bytes))))
}
