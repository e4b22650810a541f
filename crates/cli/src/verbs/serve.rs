//! `airgate serve`: the wiring of the whole gateway, from the configuration to the last request's end.

use super::{tell_all, tell_error};
use crate::{
    Exit,
    args::{LogFormat, Serve},
    config::{self, Config, report::Severity},
    health::{self, Health},
    terminal::Paint,
    verbs::check::{sign_in_of, url_of},
};
use airgate_audit::{AuditError, AuditLog, LogKey};
use airgate_gateway::{Gateway, GatewayConfig};
use std::{io, sync::Arc};
use tokio::sync::watch;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// Signals, and the refresh of key sets: never on the data plane's threads.
const CONTROL_THREADS: usize = 2;

pub(crate) fn run(args: &Serve) -> Exit {
    if let Err(exit) = start_log(args) {
        return exit;
    }
    // Every refusal to start is told by the log too: a service's standard error is often all that is kept.
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(diagnostics) => {
            if args.log_format == LogFormat::Text {
                tell_all(&diagnostics);
            } else {
                for diagnostic in diagnostics {
                    let at = diagnostic.place.map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
                    match diagnostic.severity {
                        Severity::Error => error!(at, help = diagnostic.help, "{}", diagnostic.message),
                        Severity::Warning => warn!(at, help = diagnostic.help, "{}", diagnostic.message),
                    }
                }
            }
            return Exit::Usage;
        }
    };
    match serve(config) {
        Ok(true) => {
            info!("stopped: all requests ended");
            Exit::Done
        }
        Ok(false) => {
            warn!("stopped: some requests did not end within `drain_timeout` and were cut off");
            Exit::Failed
        }
        Err(fault) => {
            error!(help = fault.help, "{}", fault.what);
            Exit::Unavailable
        }
    }
}

/// Why the gateway could not start, or not stop cleanly.
struct Fault {
    what: String,
    help: String,
}

impl Fault {
    fn of(what: &'static str, help: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self { what: format!("{what}: {error}"), help: help.to_owned() }
    }
}

impl From<AuditError> for Fault {
    fn from(error: AuditError) -> Self {
        let help = "nothing is served without its log: mend the folder, the disk or the key, then start again";
        Self { what: error.to_string(), help: help.to_owned() }
    }
}

impl From<airgate_gateway::GatewayError> for Fault {
    fn from(error: airgate_gateway::GatewayError) -> Self {
        Self { what: error.to_string(), help: error.help }
    }
}

/// True where all requests ended in time.
fn serve(config: Config) -> Result<bool, Fault> {
    for warning in &config.warnings {
        let at = warning.place.as_ref().map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
        warn!(at, help = warning.help, "{}", warning.message);
    }
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("airgate-control")
        .enable_all()
        .build()
        .map_err(Fault::of("the control runtime cannot start", "look at the limits on threads and open files"))?;
    // Signals first: one that arrives while the log recovers must not be lost.
    let stop = stop_on_signals(&control)?;

    let key = LogKey::load_or_create(&config.audit_key, &config.audit.origin)?;
    let verifier_key = key.verifier_key();
    let folder = config.audit.folder.display().to_string();
    let (log, recovery) = AuditLog::open(config.audit, key)?;
    info!(folder, size = recovery.size, verifier_key, "audit log open");
    if recovery.torn_bytes_removed > 0 {
        warn!(
            bytes = recovery.torn_bytes_removed,
            "audit log: a torn tail of the last run was repaired: it held no answered request"
        );
    }
    if recovery.intents_closed > 0 {
        warn!(
            calls = recovery.intents_closed,
            "audit log: calls that the last run left open were closed as `gateway_stopped`"
        );
    }

    config.verifier.start(control.handle());
    if let Some(address) = config.admin {
        let health = Health { verifier: config.verifier.clone(), audit: log.writer() };
        let bound = control.block_on(health::serve(address, health)).map_err(Fault::of(
            "the listener for operators (`admin.address`) cannot be bound",
            "stop what uses the address, or change it",
        ))?;
        info!(address = %bound, "health and readiness");
    }
    let about = describe(&config.gateway);
    let gateway = Gateway::bind(&config.gateway, config.verifier, Arc::new(config.policy), log.writer())?;
    for line in about {
        info!("{line}");
    }
    for (listener, address) in gateway.addresses() {
        info!(listener, %address, "listening");
    }
    info!(version = env!("CARGO_PKG_VERSION"), "serving");
    let all_ended = gateway.run(&stop);
    // The data plane is gone: what it still owed to the log is in the writer's queue, and `close` waits for it.
    log.close()?;
    Ok(all_ended)
}

fn describe(config: &GatewayConfig) -> Vec<String> {
    let upstreams = config
        .upstreams
        .iter()
        .map(|one| format!("upstream `{}`: {}, sign-in {}", one.name, url_of(one), sign_in_of(one)));
    let routes = config.routes.iter().map(|one| format!("route `{}` leads to upstream `{}`", one.name, one.upstream));
    upstreams.chain(routes).collect()
}

/// The first SIGTERM or SIGINT turns the receiver true; the second ends the process.
#[cfg(unix)]
fn stop_on_signals(control: &tokio::runtime::Runtime) -> Result<watch::Receiver<bool>, Fault> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = watch::channel(false);
    let _context = control.enter();
    let failed = Fault::of("signals cannot be received", "look at the limits on open files");
    let mut terminate = signal(SignalKind::terminate()).map_err(&failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(&failed)?;
    control.spawn(async move {
        let mut is_first = true;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if !is_first {
                error!(signal = name, "ending at once: requests in flight are cut off");
                // Like a crash, which the audit log is made for: the next start closes what is open.
                std::process::exit(1);
            }
            is_first = false;
            info!(signal = name, "draining: no new connections; a second signal ends at once");
            let _ = sender.send(true);
        }
    });
    Ok(receiver)
}

#[cfg(not(unix))]
fn stop_on_signals(control: &tokio::runtime::Runtime) -> Result<watch::Receiver<bool>, Fault> {
    let (sender, receiver) = watch::channel(false);
    control.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            info!("draining: no new connections; a second interrupt ends at once");
            let _ = sender.send(true);
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(1);
        }
        // Without signals the sender must stay: dropping it would stop the gateway.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

fn start_log(args: &Serve) -> Result<(), Exit> {
    let filter = EnvFilter::builder().parse(&args.log).map_err(|_| {
        tell_error(
            format!("`--log {}` is no level", args.log),
            "use `error`, `warn`, `info`, `debug` or `trace`, also per module: `info,airgate_signin=debug`",
        );
        Exit::Usage
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(Paint::stderr().is_on()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
