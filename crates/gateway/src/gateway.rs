//! The data plane: threads, each with a runtime, sockets and a pool of its own.

use crate::{
    accept::{self, Listener},
    config::GatewayConfig,
    error::GatewayError,
    pipeline::App,
    pool,
    route::RouteTable,
    tls,
    upstream::Upstream,
};
use airgate_audit::AuditWriter;
use airgate_identity::Verifier;
use airgate_policy::Policy;
use bytes::Bytes;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::AtomicUsize},
};
use tokio::sync::watch;

/// The data plane, bound and ready to serve.
pub struct Gateway {
    app: Arc<App>,
    /// For each thread, a socket of each listener.
    threads: Vec<Vec<(Listener, TcpListener)>>,
    addresses: Vec<(String, SocketAddr)>,
}

impl Gateway {
    /// Reads certificates, keys and CA files, makes the sign-ins, binds the listeners.
    ///
    /// # Errors
    /// What can't be read, made or bound, with the next step.
    pub fn bind(
        config: &GatewayConfig,
        verifier: Verifier,
        policy: Arc<Policy>,
        audit: AuditWriter,
    ) -> Result<Self, GatewayError> {
        let mut upstreams = Vec::new();
        for (index, upstream) in config.upstreams.iter().enumerate() {
            upstreams.push(Arc::new(Upstream::new(index, upstream, config.limits.header_bytes_max)?));
        }
        let keys: Vec<serde_json::Value> = upstreams.iter().flat_map(|u| u.sign_in.public_jwks()).collect();
        let jwks = Bytes::from(serde_json::json!({ "keys": keys }).to_string());
        let routes = RouteTable::new(&config.routes, &upstreams, &verifier).map_err(|(route, what, name)| {
            GatewayError::new(
                format!("route `{route}`: unknown {what} `{name}`"),
                format!("name an `[{what}.…]` of the configuration"),
            )
        })?;

        let mut threads: Vec<Vec<(Listener, TcpListener)>> = (0..config.threads.max(1)).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for listener in &config.listeners {
            let place = format!("listener `{}`", listener.name);
            let tls = listener.tls.as_ref().map(|files| tls::server(files, &place)).transpose()?;
            let mut resolved = Listener { name: listener.name.clone(), address: listener.address, tls };
            for sockets in &mut threads {
                let socket = accept::bind(&listener.name, resolved.address)?;
                // Port 0: the first socket picks the port for all.
                resolved.address =
                    socket.local_addr().map_err(|e| GatewayError::new(format!("{place}: {e}"), "check `address`"))?;
                sockets.push((resolved.clone(), socket));
            }
            addresses.push((resolved.name, resolved.address));
        }
        let app = Arc::new(App { routes, verifier, policy, audit, limits: config.limits.clone(), jwks });
        Ok(Self { app, threads, addresses })
    }

    /// Name and address of each listener, as bound.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.addresses.clone()
    }

    /// Serves until `stop` turns true or its sender is dropped, then lets requests in flight end within `drain_timeout`.
    /// Blocks. True: all ended in time.
    #[must_use]
    pub fn run(self, stop: &watch::Receiver<bool>) -> bool {
        let open = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = self
            .threads
            .into_iter()
            .enumerate()
            .map(|(n, sockets)| {
                let (app, open, stop) = (Arc::clone(&self.app), Arc::clone(&open), stop.clone());
                std::thread::Builder::new().name(format!("data-{n}")).spawn(move || thread(&app, sockets, &open, &stop))
            })
            .collect();
        workers.into_iter().fold(true, |all, worker| {
            let drained = worker.is_ok_and(|handle| handle.join().unwrap_or(false));
            all && drained
        })
    }
}

fn thread(
    app: &Arc<App>,
    sockets: Vec<(Listener, TcpListener)>,
    open: &Arc<AtomicUsize>,
    stop: &watch::Receiver<bool>,
) -> bool {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a data-plane thread can't start");
            return false;
        }
    };
    let drained = runtime.block_on(async {
        let ticker = tokio::spawn(accept::tick(app.limits.clone()));
        let serving: Vec<_> = sockets
            .into_iter()
            .map(|(listener, socket)| {
                tokio::spawn(accept::serve(Arc::clone(app), listener, socket, Arc::clone(open), stop.clone()))
            })
            .collect();
        let mut all = true;
        for task in serving {
            all &= task.await.unwrap_or(false);
        }
        ticker.abort();
        all
    });
    pool::clear();
    drained
}
