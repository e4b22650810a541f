//! The only place of this crate where wall-clock time enters.

/// Seconds since 1970; 0 where the clock stands before that (every token is then not yet valid: closed).
#[allow(clippy::disallowed_methods)]
pub(crate) fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
