//! The keys of one issuer over time: one fetch for all that wait, a cool-down, a bounded life without the endpoint.

use crate::{
    Algorithm, IssuerConfig, IssuerError, KeySource, MonotonicClock, Timing,
    jwk::{self, Key, KeySet, Selection},
    source::{self, Loaded, Source},
    state::{IssuerState, Serving},
};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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

/// Which key of a set a token means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    Named(&'a str),
    /// The token names none: the one that fits, where exactly one does.
    Single(Algorithm),
}

/// The runtime that fetches: the one given to `start`, so that no caller's end cuts off what others wait for.
pub(crate) type Background = Arc<RwLock<Option<Handle>>>;

pub(crate) struct KeyStore {
    issuer: String,
    pub(crate) source: Source,
    pub(crate) timing: Timing,
    selection: Selection,
    clock: MonotonicClock,
    background: Background,
    known: RwLock<Arc<Known>>,
    flights: Mutex<Flights>,
    is_offline: AtomicBool,
}

/// What the last good answer said. Replaced as a whole.
#[derive(Clone, Default)]
struct Known {
    set: Arc<KeySet>,
    bytes: Bytes,
    loaded_at: Option<Instant>,
    /// From `loaded_at` to the next fetch that nobody asks for.
    refresh_after: Duration,
    /// Why the last attempt failed, if it did.
    fault: Option<String>,
    /// The flight that brought it.
    flight: u64,
    /// Counts the sets that differed from the one before: what was verified under another is verified no more.
    generation: u64,
}

#[derive(Default)]
struct Flights {
    number: u64,
    running: Option<Running>,
    ended_at: Option<Instant>,
    /// When a fetch that an unknown `kid` caused last ended without a change of keys.
    in_vain_at: Option<Instant>,
}

struct Running {
    number: u64,
    started_at: Instant,
    /// Closed when the flight has ended, however it did.
    ended: watch::Receiver<()>,
}

/// Why keys are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It is time.
    Due,
    /// A token names a key that is not known.
    UnknownKey,
}

/// A flight to wait for, and whether this caller began it.
struct Boarded {
    ended: watch::Receiver<()>,
    is_own: bool,
}

impl KeyStore {
    /// # Errors
    /// Why the source can't be used. A file is read at once.
    pub(crate) fn new(
        config: &IssuerConfig,
        clock: MonotonicClock,
        background: Background,
    ) -> Result<Self, IssuerError> {
        let store = Self {
            issuer: config.name.clone(),
            source: Source::new(config)?,
            timing: config.timing.clone(),
            selection: config.profile.key_selection(config.kid_optional),
            clock,
            background,
            known: RwLock::default(),
            flights: Mutex::default(),
            is_offline: AtomicBool::new(false),
        };
        if let KeySource::File(path) = &config.keys {
            let unusable = |problem: String| {
                let help = "give a JSON Web Key Set with public signing keys that have a `kid`: {\"keys\": [...]}";
                let problem = format!("the key set `{}` can't be used: {problem}", path.display());
                IssuerError::new(&config.name, "jwks_file", problem, help)
            };
            let body = source::read_file(path).map_err(unusable)?;
            store.install(0, Ok(Loaded { body, freshness: None }));
            let known = store.known.read();
            if let Some(fault) = &known.fault {
                return Err(unusable(fault.clone()));
            }
            if known.set.is_empty() {
                return Err(unusable(format!("it holds no usable key ({})", known.set.refused.join("; "))));
            }
        }
        Ok(store)
    }

    /// The key that is wanted, after a fetch where that may help, with the generation of the set that it is in.
    pub(crate) async fn key(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<(Arc<Key>, u64), KeyFault> {
        self.maintain().await;
        if let Ok(found) = self.look_up(wanted) {
            return Ok(found);
        }
        // A flight that somebody else began may have left before the key was published: then one of our own may go.
        for _ in 0..2 {
            let Some(boarded) = self.board(Cause::UnknownKey) else { break };
            let is_own = boarded.is_own;
            self.wait(boarded).await;
            if is_own || self.look_up(wanted).is_ok() {
                break;
            }
        }
        self.look_up(wanted)
    }

    /// The generation of the keys that serve now; none where they are too old to serve.
    pub(crate) async fn generation(self: &Arc<Self>) -> Option<u64> {
        self.maintain().await;
        let known = Arc::clone(&self.known.read());
        self.serves(&known).then_some(known.generation)
    }

    /// Starts what is due. Waits for a file, never for an endpoint whose keys serve.
    async fn maintain(self: &Arc<Self>) {
        let (age, refresh_after) = {
            let known = self.known.read();
            (self.age(&known), known.refresh_after)
        };
        match &self.source {
            Source::None => {}
            // A key that was taken out of the file is gone with the next request a second later.
            Source::File(_) => {
                if let Some(boarded) = self.board(Cause::Due) {
                    self.wait(boarded).await;
                }
            }
            // Nobody waits for it: the known keys serve.
            Source::Remote(_) if age.is_some_and(|age| age >= refresh_after) => drop(self.board(Cause::Due)),
            Source::Remote(_) => {}
        }
    }

    fn look_up(&self, wanted: Wanted<'_>) -> Result<(Arc<Key>, u64), KeyFault> {
        let known = Arc::clone(&self.known.read());
        let fault = known.fault.as_deref().unwrap_or("no key set has been fetched in time").to_owned();
        if !self.serves(&known) {
            return Err(KeyFault::Unavailable(fault));
        }
        let key = match wanted {
            Wanted::Named(kid) => known.set.keys.get(kid),
            Wanted::Single(algorithm) => known.set.single(algorithm),
        };
        match key {
            Some(key) => Ok((Arc::clone(key), known.generation)),
            // It may be in the set that we can't have.
            None if known.fault.is_some() => Err(KeyFault::Unavailable(fault)),
            None => Err(KeyFault::Unknown),
        }
    }

    fn serves(&self, known: &Known) -> bool {
        self.age(known).is_some_and(|age| age < self.serves_for(known))
    }

    /// From the last good answer on. A key set may be kept until it is due; what counts as stale begins there.
    fn serves_for(&self, known: &Known) -> Duration {
        let fresh = if self.source.is_remote() { known.refresh_after } else { Duration::ZERO };
        fresh.saturating_add(self.timing.stale_max)
    }

    fn age(&self, known: &Known) -> Option<Duration> {
        known.loaded_at.map(|loaded_at| (self.clock)().saturating_duration_since(loaded_at))
    }

    /// Fetches now, whatever was fetched when. Waits for the end.
    pub(crate) async fn refresh(self: &Arc<Self>) {
        if let Some(boarded) = self.depart(|_, _| false, Cause::Due) {
            self.wait(boarded).await;
        }
    }

    /// Fetches nothing from now on.
    pub(crate) fn stay_offline(&self) {
        self.is_offline.store(true, Ordering::Release);
    }

    /// How long the background may sleep.
    pub(crate) fn refresh_in(&self) -> Duration {
        let known = Arc::clone(&self.known.read());
        match self.age(&known) {
            Some(age) if known.fault.is_none() => {
                known.refresh_after.saturating_sub(age).max(self.timing.retry_interval)
            }
            Some(_) | None => self.timing.cool_down,
        }
    }

    async fn wait(&self, mut boarded: Boarded) {
        // `changed` fails when the flight has dropped its end. The limit is for a runtime that is alive but not driven.
        drop(tokio::time::timeout(self.flight_max(), boarded.ended.changed()).await);
    }

    /// Discovery and key set, each with one time-out, and as much again.
    fn flight_max(&self) -> Duration {
        self.timing.fetch_timeout * 4
    }

    /// Joins the running fetch or starts one; `None` while cooling down.
    fn board(self: &Arc<Self>, cause: Cause) -> Option<Boarded> {
        self.depart(|flights, now| self.is_cooling_down(flights, now, cause), cause)
    }

    /// A flood of invented `kid`s costs one fetch per cool-down. A fetch that brought other keys starts none: an issuer that
    /// changes its keys often is no flood, and nobody else can make its keys change.
    fn is_cooling_down(&self, flights: &Flights, now: Instant, cause: Cause) -> bool {
        let within =
            |at: Option<Instant>, time: Duration| at.is_some_and(|at| now.saturating_duration_since(at) < time);
        match (&self.source, cause) {
            (Source::None, _) => true,
            (Source::File(_), _) => within(flights.ended_at, self.timing.file_interval),
            (Source::Remote(_), Cause::Due) => within(flights.ended_at, self.timing.cool_down),
            // An endpoint that has just come up is soon found.
            (Source::Remote(_), Cause::UnknownKey) if self.known.read().fault.is_some() => {
                within(flights.ended_at, self.timing.retry_interval)
            }
            (Source::Remote(_), Cause::UnknownKey) => within(flights.in_vain_at, self.timing.cool_down),
        }
    }

    fn depart(self: &Arc<Self>, is_too_soon: impl Fn(&Flights, Instant) -> bool, cause: Cause) -> Option<Boarded> {
        let now = (self.clock)();
        let handle = self.background.read().clone().or_else(|| Handle::try_current().ok())?;
        let (flight, ended) = {
            let mut flights = self.flights.lock();
            if let Some(running) = &flights.running
                && now.saturating_duration_since(running.started_at) < self.flight_max()
            {
                return Some(Boarded { ended: running.ended.clone(), is_own: false });
            }
            if is_too_soon(&flights, now) || (self.source.is_remote() && self.is_offline.load(Ordering::Acquire)) {
                return None;
            }
            let (landing, ended) = watch::channel(());
            flights.number += 1;
            let number = flights.number;
            flights.running = Some(Running { number, started_at: now, ended: ended.clone() });
            let store = Arc::clone(self);
            (Flight { store, number, cause, changed: false, landed: false, _landing: landing }, ended)
        };
        // INVARIANT: no lock is held here. A runtime that is shutting down drops the flight at once, and that locks.
        handle.spawn(async move {
            let mut flight = flight;
            let loaded = flight.store.source.load(flight.store.timing.fetch_timeout).await;
            flight.landed = true;
            flight.changed = flight.store.install(flight.number, loaded);
        });
        Some(Boarded { ended, is_own: true })
    }

    /// A good answer replaces the keys; a bad one leaves them, and is remembered. True: the keys are others than before.
    fn install(&self, flight: u64, loaded: Result<Loaded, String>) -> bool {
        let before = Arc::clone(&self.known.read());
        let read = loaded.and_then(|loaded| {
            if before.loaded_at.is_some() && before.bytes == loaded.body {
                return Ok((Arc::clone(&before.set), loaded, false));
            }
            let set = jwk::read_set(&loaded.body, self.selection).map_err(str::to_owned)?;
            Ok((Arc::new(set), loaded, true))
        });
        let (after, changed) = match read {
            Ok((set, loaded, changed)) => {
                if changed {
                    self.tell(&set);
                }
                let Timing { refresh_interval, refresh_min, refresh_max, .. } = self.timing;
                let refresh_after = loaded.freshness.unwrap_or(refresh_interval).clamp(refresh_min, refresh_max);
                let generation = before.generation + u64::from(changed);
                let loaded_at = Some((self.clock)());
                (Known { set, bytes: loaded.body, loaded_at, refresh_after, fault: None, flight, generation }, changed)
            }
            Err(fault) => {
                tracing::warn!(issuer = self.issuer, "no new key set: {fault}");
                (Known { fault: Some(fault), flight, ..Known::clone(&before) }, false)
            }
        };
        let mut known = self.known.write();
        // A flight that was given up may land after its successor.
        if known.flight > flight {
            return false;
        }
        *known = Arc::new(after);
        changed
    }

    fn tell(&self, set: &KeySet) {
        for refused in &set.refused {
            tracing::warn!(issuer = self.issuer, "key refused: {refused}");
        }
        let mut kids: Vec<&str> = set.keys.keys().map(String::as_str).collect();
        kids.sort_unstable();
        tracing::info!(issuer = self.issuer, keys = ?kids, ignored = set.ignored, "the issuer's keys are new here");
    }

    /// For readiness, and for people.
    pub(crate) fn state(&self) -> IssuerState {
        let known = Arc::clone(&self.known.read());
        let age = self.age(&known);
        let serving = match &self.source {
            Source::None => Serving::Introspection,
            _ if !self.serves(&known) => Serving::Unavailable,
            _ if known.fault.is_some() => Serving::Stale,
            _ => Serving::Fresh,
        };
        let mut kids: Vec<String> = known.set.keys.keys().cloned().collect();
        kids.sort_unstable();
        IssuerState {
            issuer: self.issuer.clone(),
            serving,
            kids,
            refused: known.set.refused.clone(),
            age_s: age.map(|age| age.as_secs()),
            serves_for_s: age.map(|age| self.serves_for(&known).saturating_sub(age).as_secs()),
            fault: known.fault.clone(),
        }
    }

    /// Which keys of a set are meant, for those that look at one by themselves.
    pub(crate) fn selection(&self) -> Selection {
        self.selection
    }
}

/// Ends, for all that wait, when it is dropped: landed, failed, panicked or cut off.
struct Flight {
    store: Arc<KeyStore>,
    number: u64,
    cause: Cause,
    changed: bool,
    landed: bool,
    _landing: watch::Sender<()>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.store.install(self.number, Err("the fetch was cut off".to_owned()));
        }
        let now = (self.store.clock)();
        let mut flights = self.store.flights.lock();
        if flights.running.as_ref().is_some_and(|running| running.number == self.number) {
            flights.running = None;
            flights.ended_at = Some(now);
            if self.cause == Cause::UnknownKey && !self.changed {
                flights.in_vain_at = Some(now);
            }
        }
    }
}
