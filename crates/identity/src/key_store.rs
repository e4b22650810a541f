//! The keys of one issuer over time: one fetch for all that wait, a cool-down, a bounded life without the endpoint.

use crate::{
    IssuerConfig, IssuerError, KeySource, MonotonicClock, Timing,
    jwk::{self, Key, KeySet},
    source::{self, Source},
};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::watch};

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyFault {
    /// The set is up to date and lacks it.
    Unknown,
    /// The set can't be had.
    Unavailable(String),
}

/// The runtime that fetches: the one given to `start`, so that no caller's end cuts off what others wait for.
pub(crate) type Background = Arc<RwLock<Option<Handle>>>;

pub(crate) struct KeyStore {
    issuer: String,
    source: Source,
    timing: Timing,
    clock: MonotonicClock,
    background: Background,
    known: RwLock<Arc<Known>>,
    flights: Mutex<Flights>,
}

/// What the last good answer said. Replaced as a whole.
#[derive(Clone, Default)]
struct Known {
    set: Arc<KeySet>,
    bytes: Bytes,
    loaded_at: Option<Instant>,
    /// Why the last attempt failed, if it did.
    fault: Option<String>,
    generation: u64,
}

#[derive(Default)]
struct Flights {
    generation: u64,
    running: Option<Running>,
    ended_at: Option<Instant>,
}

struct Running {
    generation: u64,
    started_at: Instant,
    /// Closed when the flight has ended, however it did.
    ended: watch::Receiver<()>,
}

impl KeyStore {
    /// # Errors
    /// Why the source can't be used. A file is read at once.
    pub(crate) fn new(
        config: &IssuerConfig,
        timing: &Timing,
        clock: MonotonicClock,
        background: Background,
    ) -> Result<Self, IssuerError> {
        let store = Self {
            issuer: config.name.clone(),
            source: Source::new(&config.name, &config.keys)?,
            timing: timing.clone(),
            clock,
            background,
            known: RwLock::default(),
            flights: Mutex::default(),
        };
        if let KeySource::File(path) = &config.keys {
            let unusable =
                |problem: String| IssuerError::KeysFile { issuer: config.name.clone(), path: path.clone(), problem };
            let bytes = source::read_file(path).map_err(unusable)?;
            store.install(0, Ok(bytes));
            let known = store.known.read();
            if let Some(fault) = &known.fault {
                return Err(unusable(fault.clone()));
            }
            if known.set.keys.is_empty() {
                return Err(unusable(format!("it holds no usable key ({})", known.set.refused.join("; "))));
            }
        }
        Ok(store)
    }

    /// The key with this `kid`, after a fetch where that may help.
    pub(crate) async fn key(self: &Arc<Self>, kid: &str) -> Result<Arc<Key>, KeyFault> {
        let is_file = matches!(self.source, Source::File(_));
        if is_file {
            // A key that was taken out of the file is gone with the next request a second later.
            self.refresh(self.timing.file_interval).await;
        }
        let known = Arc::clone(&self.known.read());
        let age = self.age(&known);
        if let Some(key) = known.set.keys.get(kid)
            && age.is_some_and(|age| age < self.timing.stale_max)
        {
            if !is_file && age.is_some_and(|age| age >= self.timing.refresh_interval) {
                // Nobody waits for it: the known key serves.
                drop(self.fetch(self.timing.cool_down));
            }
            return Ok(Arc::clone(key));
        }
        // A flood of invented `kid`s costs one fetch per cool-down; an endpoint that has just come up is soon found.
        let cool_down = if is_file {
            self.timing.file_interval
        } else if known.fault.is_some() {
            self.timing.retry_interval
        } else {
            self.timing.cool_down
        };
        self.refresh(cool_down).await;
        self.look_up(kid)
    }

    fn look_up(&self, kid: &str) -> Result<Arc<Key>, KeyFault> {
        let known = Arc::clone(&self.known.read());
        let fault = known.fault.as_deref().unwrap_or("no key set has been fetched in time").to_owned();
        if self.age(&known).is_none_or(|age| age >= self.timing.stale_max) {
            return Err(KeyFault::Unavailable(fault));
        }
        match known.set.keys.get(kid) {
            Some(key) => Ok(Arc::clone(key)),
            // It may be in the set that we can't have.
            None if known.fault.is_some() => Err(KeyFault::Unavailable(fault)),
            None => Err(KeyFault::Unknown),
        }
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.known.read().fault.is_some()
    }

    fn age(&self, known: &Known) -> Option<Duration> {
        known.loaded_at.map(|loaded_at| (self.clock)().saturating_duration_since(loaded_at))
    }

    /// Waits for the running fetch, or for a new one unless the last ended less than `cool_down` ago.
    pub(crate) async fn refresh(self: &Arc<Self>, cool_down: Duration) {
        let Some(mut ended) = self.fetch(cool_down) else { return };
        // `changed` fails when the flight has dropped its end. The limit is for a runtime that is alive but not driven.
        drop(tokio::time::timeout(self.flight_max(), ended.changed()).await);
    }

    fn flight_max(&self) -> Duration {
        self.timing.fetch_timeout * 2
    }

    /// Joins the running fetch or starts one; `None` while cooling down.
    fn fetch(self: &Arc<Self>, cool_down: Duration) -> Option<watch::Receiver<()>> {
        let now = (self.clock)();
        let (flight, handle, ended) = {
            let mut flights = self.flights.lock();
            if let Some(running) = &flights.running
                && now.saturating_duration_since(running.started_at) < self.flight_max()
            {
                return Some(running.ended.clone());
            }
            if flights.ended_at.is_some_and(|ended_at| now.saturating_duration_since(ended_at) < cool_down) {
                return None;
            }
            let handle = self.background.read().clone().or_else(|| Handle::try_current().ok())?;
            let (landing, ended) = watch::channel(());
            flights.generation += 1;
            let generation = flights.generation;
            flights.running = Some(Running { generation, started_at: now, ended: ended.clone() });
            (Flight { store: Arc::clone(self), generation, landed: false, _landing: landing }, handle, ended)
        };
        // INVARIANT: no lock is held here. A runtime that is shutting down drops the flight at once, and that locks.
        handle.spawn(async move {
            let mut flight = flight;
            let loaded = flight.store.source.load(flight.store.timing.fetch_timeout).await;
            flight.landed = true;
            flight.store.install(flight.generation, loaded);
        });
        Some(ended)
    }

    /// A good answer replaces the keys; a bad one leaves them, and is remembered.
    fn install(&self, generation: u64, loaded: Result<Bytes, String>) {
        let before = Arc::clone(&self.known.read());
        let read = loaded.and_then(|bytes| {
            if before.loaded_at.is_some() && before.bytes == bytes {
                return Ok((Arc::clone(&before.set), bytes));
            }
            jwk::read_set(&bytes).map(|set| (Arc::new(set), bytes)).map_err(str::to_owned)
        });
        let after = match read {
            Ok((set, bytes)) => {
                if !Arc::ptr_eq(&set, &before.set) {
                    for refused in &set.refused {
                        tracing::warn!(issuer = self.issuer, "key refused: {refused}");
                    }
                }
                Known { set, bytes, loaded_at: Some((self.clock)()), fault: None, generation }
            }
            Err(fault) => {
                tracing::warn!(issuer = self.issuer, "no new key set: {fault}");
                Known { fault: Some(fault), generation, ..Known::clone(&before) }
            }
        };
        let mut known = self.known.write();
        // A flight that was given up may land after its successor.
        if known.generation <= generation {
            *known = Arc::new(after);
        }
    }
}

/// Ends, for all that wait, when it is dropped: landed, failed, panicked or cut off.
struct Flight {
    store: Arc<KeyStore>,
    generation: u64,
    landed: bool,
    _landing: watch::Sender<()>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.store.install(self.generation, Err("the fetch was cut off".to_owned()));
        }
        let now = (self.store.clock)();
        let mut flights = self.store.flights.lock();
        if flights.running.as_ref().is_some_and(|running| running.generation == self.generation) {
            flights.running = None;
            flights.ended_at = Some(now);
        }
    }
}
