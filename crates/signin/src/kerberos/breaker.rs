//! A circuit breaker before the KDC: when it does not answer, the next requests are refused at once instead of each
//! holding a thread until the library gives up (25 s, measured).

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long new KDC work is refused after a KDC gave no answer. Then one request tries.
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(5);

/// Lets work through, or not.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    /// A probe that said nothing for this long counts as failed: its request may have been cancelled.
    probe_for: Duration,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    Probing { until: Instant },
}

impl Breaker {
    pub(crate) fn new(probe_for: Duration) -> Self {
        Self { state: Mutex::new(State::Closed), probe_for }
    }

    /// Whether a new piece of work may begin; if not, how long until one may.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        match *state {
            State::Closed => Ok(()),
            State::Open { until } | State::Probing { until } if now < until => Err(until - now),
            State::Open { .. } | State::Probing { .. } => {
                *state = State::Probing { until: now + self.probe_for };
                Ok(())
            }
        }
    }

    /// The KDC answered, be it by a refusal.
    pub(crate) fn answered(&self) {
        *self.state.lock() = State::Closed;
    }

    /// The KDC gave no answer in time, or could not be reached.
    pub(crate) fn no_answer(&self, now: Instant) {
        *self.state.lock() = State::Open { until: now + OPEN_FOR };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_after_no_answer_then_lets_one_probe_through() {
        let (breaker, start) = (Breaker::new(Duration::from_secs(2)), Instant::now());
        assert!(breaker.admit(start).is_ok() && breaker.admit(start).is_ok());
        breaker.no_answer(start);
        assert_eq!(breaker.admit(start + Duration::from_secs(1)), Err(Duration::from_secs(4)));
        assert!(breaker.admit(start + OPEN_FOR).is_ok(), "the probe");
        assert!(breaker.admit(start + OPEN_FOR).is_err(), "one probe only");
        breaker.answered();
        assert!(breaker.admit(start + OPEN_FOR).is_ok());
    }

    #[test]
    fn a_probe_that_was_cancelled_does_not_close_the_door_for_ever() {
        let (breaker, start) = (Breaker::new(Duration::from_secs(2)), Instant::now());
        breaker.no_answer(start);
        assert!(breaker.admit(start + OPEN_FOR).is_ok());
        assert!(breaker.admit(start + OPEN_FOR + Duration::from_secs(1)).is_err());
        assert!(breaker.admit(start + OPEN_FOR + Duration::from_secs(2)).is_ok());
    }
}
