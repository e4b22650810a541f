//! The credentials of one upstream, one per identity: cached, made once however many ask at the same time, and bounded.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use tokio::sync::watch;

use super::name::WindowsName;
use crate::SignInError;

/// Identities kept at most. A credential takes about 10 KiB.
pub(super) const ENTRIES_MAX: usize = 10_000;
/// A refusal by the directory is repeated for this long without asking it again.
pub(super) const REFUSAL_FOR: Duration = Duration::from_secs(5);

type Outcome<T> = Result<Arc<T>, SignInError>;

/// What is cached ends at a time.
pub(super) trait Expires {
    fn usable_until(&self) -> Instant;
}

/// One attempt to make a credential, and all who wait for it.
pub(super) struct Flight<T> {
    pub(super) begun: Instant,
    /// A thread took it up: from here on the KDC is what is waited for.
    pub(super) running: AtomicBool,
    outcome: watch::Sender<Option<Outcome<T>>>,
}

enum Slot<T> {
    Ready(Arc<T>),
    Refused { error: SignInError, until: Instant },
    Making(Arc<Flight<T>>),
}

pub(super) struct Flights<T> {
    slots: RwLock<HashMap<WindowsName, Slot<T>>>,
    entries_max: usize,
}

/// What there is for an identity.
pub(super) enum Found<T> {
    Ready(Arc<T>),
    Making(Arc<Flight<T>>),
    ToBegin(Arc<Flight<T>>),
}

impl<T: Expires> Flights<T> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { slots: RwLock::default(), entries_max }
    }

    /// The credential if it is there: one short shared lock.
    pub(super) fn ready(&self, name: &WindowsName, now: Instant) -> Option<Arc<T>> {
        match self.slots.read().get(name) {
            Some(Slot::Ready(value)) if now < value.usable_until() => Some(value.clone()),
            _ => None,
        }
    }

    /// The credential, the flight that makes it, or a flight that the caller has to begin and bring to its end. A flight
    /// older than `patience` is not joined: who waited for it has given up.
    pub(super) fn find(&self, name: &WindowsName, now: Instant, patience: Duration) -> Result<Found<T>, SignInError> {
        let mut slots = self.slots.write();
        match slots.get(name) {
            Some(Slot::Ready(value)) if now < value.usable_until() => return Ok(Found::Ready(value.clone())),
            Some(Slot::Refused { error, until }) if now < *until => return Err(error.clone()),
            Some(Slot::Making(flight)) if now.saturating_duration_since(flight.begun) < patience => {
                return Ok(Found::Making(flight.clone()));
            }
            _ => {}
        }
        let flight =
            Arc::new(Flight { begun: now, running: AtomicBool::new(false), outcome: watch::Sender::new(None) });
        if slots.len() >= self.entries_max && !slots.contains_key(name) {
            make_room(&mut slots, now);
        }
        slots.insert(name.clone(), Slot::Making(flight.clone()));
        Ok(Found::ToBegin(flight))
    }

    /// Ends a flight: who waits for it has the outcome, and a credential or refusal is kept. A late credential is kept as
    /// well, unless a later flight has its place.
    pub(super) fn land(&self, name: &WindowsName, flight: &Arc<Flight<T>>, outcome: Outcome<T>, now: Instant) {
        {
            let mut slots = self.slots.write();
            if matches!(slots.get(name), Some(Slot::Making(current)) if Arc::ptr_eq(current, flight)) {
                match &outcome {
                    Ok(value) => {
                        slots.insert(name.clone(), Slot::Ready(value.clone()));
                    }
                    Err(error @ (SignInError::IdentityRefused { .. } | SignInError::DelegationRefused { .. })) => {
                        let refused = Slot::Refused { error: error.clone(), until: now + REFUSAL_FOR };
                        slots.insert(name.clone(), refused);
                    }
                    Err(_) => {
                        slots.remove(name);
                    }
                }
            }
        }
        flight.outcome.send_replace(Some(outcome));
    }

    /// Drops a cached credential if it is still this one.
    pub(super) fn forget(&self, name: &WindowsName, value: &Arc<T>) {
        let mut slots = self.slots.write();
        if matches!(slots.get(name), Some(Slot::Ready(current)) if Arc::ptr_eq(current, value)) {
            slots.remove(name);
        }
    }
}

/// Drops what has ended; if that is nothing, the credential that ends first. A flight always keeps its place: their
/// number is bounded by the pool's.
fn make_room<T: Expires>(slots: &mut HashMap<WindowsName, Slot<T>>, now: Instant) {
    let before = slots.len();
    slots.retain(|_, slot| match slot {
        Slot::Ready(value) => now < value.usable_until(),
        Slot::Refused { until, .. } => now < *until,
        Slot::Making(_) => true,
    });
    if slots.len() < before {
        return;
    }
    let first = slots
        .iter()
        .filter_map(|(name, slot)| match slot {
            Slot::Ready(value) => Some((value.usable_until(), name)),
            Slot::Refused { until, .. } => Some((*until, name)),
            Slot::Making(_) => None,
        })
        .min_by_key(|(until, _)| *until)
        .map(|(_, name)| name.clone());
    if let Some(name) = first {
        slots.remove(&name);
    }
}

impl<T> Flight<T> {
    /// The outcome, waited for no longer than `patience`.
    pub(super) async fn outcome(&self, patience: Duration) -> Option<Outcome<T>> {
        let mut receiver = self.outcome.subscribe();
        let landed = tokio::time::timeout(patience, receiver.wait_for(Option::is_some)).await;
        match landed {
            Ok(Ok(outcome)) => (*outcome).clone(),
            // The sender lives in this flight, so it is not gone.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Until(Instant);

    impl Expires for Until {
        fn usable_until(&self) -> Instant {
            self.0
        }
    }

    const PATIENCE: Duration = Duration::from_secs(5);

    fn name(user: &str) -> WindowsName {
        WindowsName::parse(user, "CORP.EXAMPLE").unwrap()
    }

    fn begin(flights: &Flights<Until>, user: &str, now: Instant) -> Option<Arc<Flight<Until>>> {
        match flights.find(&name(user), now, PATIENCE).unwrap() {
            Found::Ready(_) | Found::Making(_) => None,
            Found::ToBegin(flight) => Some(flight),
        }
    }

    fn land(flights: &Flights<Until>, user: &str, flight: &Arc<Flight<Until>>, until: Instant, now: Instant) {
        flights.land(&name(user), flight, Ok(Arc::new(Until(until))), now);
    }

    #[test]
    fn all_who_ask_at_once_share_one_flight() {
        let (flights, now) = (Flights::new(10), Instant::now());
        let first = begin(&flights, "alice", now).unwrap();
        let Found::Making(second) = flights.find(&name("alice"), now, PATIENCE).unwrap() else { panic!("not joined") };
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &begin(&flights, "bob", now).unwrap()));
        land(&flights, "alice", &first, now + PATIENCE, now);
        assert!(flights.ready(&name("alice"), now).is_some());
        assert!(flights.ready(&name("alice"), now + PATIENCE).is_none(), "its time is over");
        assert!(begin(&flights, "alice", now + PATIENCE).is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_the_outcome_or_gives_up() {
        let (flights, now) = (Flights::new(10), Instant::now());
        let flight = begin(&flights, "alice", now).unwrap();
        assert!(flight.outcome(Duration::from_millis(10)).await.is_none());
        land(&flights, "alice", &flight, now + PATIENCE, now);
        assert!(flight.outcome(PATIENCE).await.unwrap().is_ok());
    }

    #[test]
    fn a_flight_that_hangs_is_replaced_and_its_late_end_takes_nothing_away() {
        let (flights, now) = (Flights::new(10), Instant::now());
        let hung = begin(&flights, "alice", now).unwrap();
        let next = begin(&flights, "alice", now + PATIENCE).unwrap();
        assert!(!Arc::ptr_eq(&hung, &next));
        land(&flights, "alice", &next, now + 9 * PATIENCE, now);
        flights.land(&name("alice"), &hung, Err(SignInError::Busy), now);
        assert!(flights.ready(&name("alice"), now).is_some());
    }

    #[test]
    fn a_refusal_is_repeated_for_a_while_and_a_silent_kdc_is_not() {
        let (flights, now) = (Flights::<Until>::new(10), Instant::now());
        let refused = SignInError::IdentityRefused { identity: "alice".to_owned(), detail: String::new() };
        let flight = begin(&flights, "alice", now).unwrap();
        flights.land(&name("alice"), &flight, Err(refused.clone()), now);
        let again = flights.find(&name("alice"), now, PATIENCE);
        assert!(matches!(again, Err(error) if error == refused));
        assert!(begin(&flights, "alice", now + REFUSAL_FOR).is_some());

        let flight = begin(&flights, "bob", now).unwrap();
        flights.land(&name("bob"), &flight, Err(SignInError::Busy), now);
        assert!(begin(&flights, "bob", now).is_some());
    }

    #[test]
    fn forgets_only_the_very_credential_that_failed() {
        let (flights, now) = (Flights::new(10), Instant::now());
        let flight = begin(&flights, "alice", now).unwrap();
        land(&flights, "alice", &flight, now + PATIENCE, now);
        let kept = flights.ready(&name("alice"), now).unwrap();
        flights.forget(&name("alice"), &Arc::new(Until(now)));
        assert!(flights.ready(&name("alice"), now).is_some());
        flights.forget(&name("alice"), &kept);
        assert!(flights.ready(&name("alice"), now).is_none());
    }

    #[test]
    fn the_number_of_identities_is_bounded() {
        let (flights, now) = (Flights::new(3), Instant::now());
        for (seconds, user) in [(30, "a"), (10, "b"), (20, "c"), (40, "d"), (50, "e")] {
            let flight = begin(&flights, user, now).unwrap();
            land(&flights, user, &flight, now + Duration::from_secs(seconds), now);
        }
        assert_eq!(flights.slots.read().len(), 3);
        for (user, kept) in [("a", true), ("b", false), ("c", false), ("d", true), ("e", true)] {
            assert_eq!(flights.ready(&name(user), now).is_some(), kept, "{user}");
        }
    }
}
