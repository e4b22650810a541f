//! The only place of this crate that reads the wall clock.

use jiff::Timestamp;

/// Now, cut to microseconds: what an entry's `time` can hold.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
