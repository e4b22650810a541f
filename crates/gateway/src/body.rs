//! Bodies, streamed both ways: a frame is read from one side only when the other side has room for it.

use crate::{pool::Lease, record::Entry};
use airgate_audit::Ending;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::Sleep};

/// Why a body was cut off; the peer sees a broken connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request body has more than {0} bytes")]
    TooLarge(u64),
    #[error("{0}")]
    Peer(#[from] hyper::Error),
    #[error("no byte of the answer's body arrived for {} ms", .0.as_millis())]
    Idle(Duration),
}

/// Why an upload failed on the caller's side.
#[derive(Debug, Clone)]
pub(crate) enum UploadFault {
    TooLarge(u64),
    Caller(String),
}

/// How far a request body has come: shared by the body, which hyper owns, and the stage that waits for the answer.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    bytes: AtomicU64,
    /// The last poll found nothing to read: we wait for the caller, not for the upstream.
    starved: AtomicBool,
    ended: OnceLock<Instant>,
    fault: OnceLock<UploadFault>,
    changed: Notify,
}

impl Upload {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
    pub(crate) fn starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed)
    }
    /// When the last byte was handed on.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }
    pub(crate) fn fault(&self) -> Option<&UploadFault> {
        self.fault.get()
    }
    /// Wakes when the body has ended.
    pub(crate) async fn end(&self) {
        if self.ended().is_none() {
            self.changed.notified().await;
        }
    }
    fn finish(&self) {
        if self.ended.set(Instant::now()).is_ok() {
            self.changed.notify_one();
        }
    }
}

/// A caller's body on its way to the upstream: bounded, counted, without trailers.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Incoming,
    max: u64,
    upload: Arc<Upload>,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, max: u64) -> (Self, Arc<Upload>) {
        let upload = Arc::new(Upload::default());
        if inner.is_end_stream() {
            upload.finish();
        }
        (Self { inner, max, upload: Arc::clone(&upload) }, upload)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let polled = Pin::new(&mut self.inner).poll_frame(cx);
            self.upload.starved.store(polled.is_pending(), Ordering::Relaxed);
            match std::task::ready!(polled) {
                None => {
                    self.upload.finish();
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    let _ = self.upload.fault.set(UploadFault::Caller(error.to_string()));
                    return Poll::Ready(Some(Err(error.into())));
                }
                // Trailers end here: a field that arrives after the decision was never decided on.
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let so_far = self.upload.bytes.fetch_add(data.len() as u64, Ordering::Relaxed) + data.len() as u64;
                    if so_far > self.max {
                        let _ = self.upload.fault.set(UploadFault::TooLarge(self.max));
                        return Poll::Ready(Some(Err(BodyError::TooLarge(self.max))));
                    }
                    if self.inner.is_end_stream() {
                        self.upload.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// When bytes of one answer last moved towards the caller; the connection's watch reads it.
#[derive(Debug)]
pub(crate) struct Progress {
    base: Instant,
    last_ms: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { base: Instant::now(), last_ms: AtomicU64::new(0) })
    }
    fn touch(&self) {
        self.last_ms.store(u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    pub(crate) fn idle(&self) -> Duration {
        self.base.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// An upstream's body on its way to the caller. Owes the entry its outcome and the pool its connection.
#[derive(Debug)]
pub(crate) struct Relay {
    inner: Incoming,
    entry: Entry,
    lease: Option<Lease>,
    upload: Arc<Upload>,
    status: u16,
    idle_limit: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

impl Relay {
    pub(crate) fn new(
        inner: Incoming,
        entry: Entry,
        lease: Lease,
        upload: Arc<Upload>,
        status: u16,
        idle_limit: Duration,
    ) -> Self {
        let mut relay = Self {
            inner,
            entry,
            lease: Some(lease),
            upload,
            status,
            idle_limit,
            idle: None,
            progress: Progress::new(),
        };
        // hyper does not poll a body that has nothing in it.
        if relay.inner.is_end_stream() {
            relay.complete();
        }
        relay
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn complete(&mut self) {
        self.end(Ending::Completed, None, None);
        // A connection whose upload is not done, or whose exchange broke, is closed rather than kept.
        if let Some(lease) = self.lease.take().filter(|_| self.upload.ended().is_some()) {
            lease.put_back();
        }
    }

    fn end(&mut self, ending: Ending, code: Option<&str>, detail: Option<String>) {
        self.entry.bytes_in = self.upload.bytes();
        self.entry.close(ending, Some(self.status), code, detail);
        if ending != Ending::Completed {
            self.lease = None;
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let limit = self.idle_limit;
        let sleep = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        std::task::ready!(sleep.as_mut().poll(cx));
        let error = BodyError::Idle(limit);
        self.end(Ending::TimedOut, Some("upstream_body_timeout"), Some(error.to_string()));
        Poll::Ready(Some(Err(error)))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.complete();
        } else {
            self.end(Ending::ClientDisconnected, Some("client_disconnected"), None);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Pending => return self.poll_idle(cx),
                Poll::Ready(None) => {
                    self.complete();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.end(Ending::UpstreamFailed, Some("upstream_closed"), Some(error.to_string()));
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.idle = None;
                    self.progress.touch();
                    self.entry.bytes_out += data.len() as u64;
                    if self.inner.is_end_stream() {
                        self.complete();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a caller gets: a relayed body or one of our own.
pub(crate) type AnswerBody = http_body_util::Either<
    Relay,
    http_body_util::combinators::MapErr<Full<Bytes>, fn(std::convert::Infallible) -> BodyError>,
>;

/// A body of our own.
pub(crate) fn own(bytes: impl Into<Bytes>) -> AnswerBody {
    let never: fn(std::convert::Infallible) -> BodyError = |never| match never {};
    http_body_util::Either::Right(Full::new(bytes.into()).map_err(never))
}
