//! The pipeline of a request: accept, route, authenticate, authorize, record, sign in, forward, respond.
//!
//! One file and one function a stage; `pipeline.rs` fits one screen. A stage takes what only the stage before it can
//! make, so leaving one out does not compile: [`forward`] wants a [`Recorded`]`<`[`Permitted`]`>`.

mod accept;
mod authenticate;
mod authorize;
mod body;
mod challenge;
mod clock;
mod config;
mod describe;
mod error;
mod forward;
mod gateway;
mod headers;
mod metadata;
mod path;
mod pipeline;
mod pool;
mod record;
mod refusal;
mod respond;
mod route;
mod sign_in;
mod tls;
mod upstream;

pub use authenticate::Authenticated;
pub use authorize::Permitted;
pub use config::{
    Accepts, ClientCertificates, GatewayConfig, Limits, ListenerConfig, Match, RouteConfig, Scheme, TlsFiles,
    UpstreamConfig,
};
pub use error::GatewayError;
pub use forward::{Answer, Outgoing, forward};
pub use gateway::Gateway;
pub use path::{CanonicalPath, PathError};
pub use record::Recorded;
pub use refusal::{ProblemDoc, Refused, problems};
pub use route::Routed;
