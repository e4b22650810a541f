//! Why the gateway can't start.

/// What is wrong and where, and the next step.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct GatewayError {
    /// What is wrong, with the place and the value.
    pub what: String,
    /// The next step.
    pub help: String,
}

impl GatewayError {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}
