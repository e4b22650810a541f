//! Connections to upstreams, one pool per data-plane thread: no lock, no sharing.
//!
//! INVARIANT: a connection serves one (upstream, sign-in, Windows identity) for all its life. IIS may treat a connection
//! as signed in (`Persistent-Auth`), so lending it to another identity would answer one as the other.

use crate::{body::RequestBody, refusal::UpstreamError, upstream::Upstream};
use hyper::client::conn::http1::SendRequest;
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

/// What a connection belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    upstream: usize,
    sign_in: &'static str,
    identity: Option<String>,
}

impl PoolKey {
    /// Windows names have no case: `LAB\Alice` and `lab\alice` are one identity.
    pub(crate) fn new(upstream: &Upstream, identity: Option<&str>) -> Self {
        Self { upstream: upstream.index, sign_in: upstream.sign_in.mode(), identity: identity.map(str::to_lowercase) }
    }
}

/// An open connection. Dropping it closes the socket at once, whatever it was doing.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<RequestBody>,
    task: JoinHandle<()>,
}

impl Connection {
    pub(crate) fn new(sender: SendRequest<RequestBody>, task: JoinHandle<()>) -> Self {
        Self { sender, task }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Slot {
    idle: Vec<Idle>,
    in_use: Arc<Semaphore>,
}

thread_local! {
    static POOL: RefCell<HashMap<PoolKey, Slot>> = RefCell::new(HashMap::new());
}

/// A connection on loan. `put_back` returns it; dropping closes it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    key: PoolKey,
    _permit: OwnedSemaphorePermit,
    /// Whether it has served before: then its closing may have crossed our request.
    pub(crate) reused: bool,
}

impl Lease {
    /// For the next request of the same identity. Only for a connection whose last exchange ended as it should.
    pub(crate) fn put_back(self) {
        if self.connection.sender.is_closed() {
            return;
        }
        let Self { connection, key, .. } = self;
        // The thread may be going away: then the connection simply closes.
        let _ = POOL.try_with(|pool| {
            if let Some(slot) = pool.borrow_mut().get_mut(&key) {
                slot.idle.push(Idle { connection, since: Instant::now() });
            }
        });
    }
}

/// An idle connection of this very key, or a new one, within `connect_timeout`; at most `connections_max` are out.
///
/// # Errors
/// All connections stay busy, or the upstream can't be reached.
pub(crate) async fn lease(upstream: &Upstream, key: &PoolKey) -> Result<Lease, UpstreamError> {
    let deadline = tokio::time::Instant::now() + upstream.connect_timeout;
    let in_use = POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        let slot = pool
            .entry(key.clone())
            .or_insert_with(|| Slot { idle: Vec::new(), in_use: Arc::new(Semaphore::new(upstream.connections_max)) });
        Arc::clone(&slot.in_use)
    });
    let permit = match tokio::time::timeout_at(deadline, in_use.acquire_owned()).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) | Err(_) => return Err(UpstreamError::Busy { max: upstream.connections_max }),
    };
    while let Some(mut connection) = pop(key) {
        // A connection that the upstream closed while it was idle says so here; one that is not ready at once after
        // its last exchange needs a turn of the loop at most.
        let ready = tokio::time::timeout(Duration::from_secs(1), connection.sender.ready()).await;
        if matches!(ready, Ok(Ok(()))) {
            return Ok(Lease { connection, key: key.clone(), _permit: permit, reused: true });
        }
    }
    let connection = tokio::time::timeout_at(deadline, upstream.connect())
        .await
        .map_err(|_| UpstreamError::ConnectTimeout(upstream.connect_timeout))??;
    Ok(Lease { connection, key: key.clone(), _permit: permit, reused: false })
}

fn pop(key: &PoolKey) -> Option<Connection> {
    POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        let slot = pool.get_mut(key)?;
        while let Some(idle) = slot.idle.pop() {
            if !idle.connection.sender.is_closed() {
                return Some(idle.connection);
            }
        }
        None
    })
}

/// Closes what was idle for longer than `limit`; forgets keys that hold nothing. Called by each thread's own ticker.
pub(crate) fn sweep(limit: Duration) {
    let now = Instant::now();
    POOL.with(|pool| {
        pool.borrow_mut().retain(|_, slot| {
            slot.idle.retain(|idle| !idle.connection.sender.is_closed() && now.duration_since(idle.since) < limit);
            // A slot whose semaphore someone holds is in use or waited for.
            !slot.idle.is_empty() || Arc::strong_count(&slot.in_use) > 1
        });
    });
}

/// Closes every idle connection of this thread.
pub(crate) fn clear() {
    POOL.with(|pool| pool.borrow_mut().clear());
}
