//! Kerberos delegation: S4U2Self and S4U2Proxy with the gateway's keytab, by MIT's library.
//!
//! The library blocks and knows no time-out, so whatever may ask the KDC runs on a small pool of threads, one flight per
//! identity, behind a circuit breaker; a request waits `kdc_timeout` at most. What is left for the caller's thread, a
//! fresh token per attempt and the check of the answer, is arithmetic on tickets that are here already (about 0.05 ms).

mod breaker;
mod flights;
mod gss;
mod keytab;
mod name;
mod pool;
mod sys;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
use parking_lot::Mutex;

use crate::{KerberosConfig, SignInError, error::one_line, files::Stamp};
use breaker::Breaker;
use flights::{Expires, Flight, Flights, Found};
use gss::{GatewayTicket, UserCredential};
use name::WindowsName;
use pool::Pool;

/// A refused key is not tried again for this long unless the keytab changes: directories lock accounts after a few wrong
/// tries.
const REFUSED_KEY_FOR: Duration = Duration::from_secs(600);
/// A credential that the upstream refuses is made anew if it is older than this: the upstream's key may have changed.
/// Younger, the fault is not its age, and asking the KDC for every refused request would help nobody.
const REMAKE_AFTER: Duration = Duration::from_secs(30);
/// Longest answer token that is looked at.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest wait and longest use that a configuration may ask for.
const KDC_TIMEOUT_MAX: Duration = Duration::from_secs(60);
const CREDENTIAL_LIFETIME_MAX: Duration = Duration::from_secs(10 * 3600);

/// One upstream's Kerberos sign-in.
pub(crate) struct Kerberos {
    spn: String,
    realm: String,
    principal: String,
    keytab: PathBuf,
    kdc_timeout: Duration,
    credential_lifetime_max: Duration,
    gateway: Mutex<Gateway>,
    users: Flights<UserCredential>,
    breaker: Breaker,
    pool: Pool,
}

#[derive(Default)]
struct Gateway {
    ticket: Option<Arc<GatewayTicket>>,
    refused: Option<Refused>,
}

struct Refused {
    keytab: Stamp,
    until: Instant,
    error: SignInError,
}

impl Expires for UserCredential {
    fn usable_until(&self) -> Instant {
        self.usable_until
    }
}

impl Kerberos {
    pub(crate) fn new(upstream: &str, config: KerberosConfig) -> Result<Arc<Self>, SignInError> {
        let realm = check_config(&config)?;
        let checked = keytab::check(&config.keytab, &config.principal)?;
        if checked.weak {
            tracing::warn!(upstream, keytab = %config.keytab.display(), "the keytab also holds RC4 or DES keys: export it with AES keys only");
        }
        Ok(Arc::new(Self {
            spn: config.spn,
            realm,
            principal: config.principal,
            keytab: config.keytab,
            kdc_timeout: config.kdc_timeout,
            credential_lifetime_max: config.credential_lifetime_max,
            gateway: Mutex::default(),
            users: Flights::new(flights::ENTRIES_MAX),
            breaker: Breaker::new(config.kdc_timeout),
            pool: Pool::new(format!("kdc-{}", one_line(upstream).replace(' ', "-"))),
        }))
    }

    pub(crate) async fn credential(self: &Arc<Self>, identity: &str) -> Result<KerberosCredential, SignInError> {
        let name = WindowsName::parse(identity, &self.realm)?;
        let user = self.user(&name).await?;
        Ok(KerberosCredential { kerberos: self.clone(), name, user })
    }

    /// The user's credential: from the cache, or by a flight that this request begins or joins.
    async fn user(self: &Arc<Self>, name: &WindowsName) -> Result<Arc<UserCredential>, SignInError> {
        let now = Instant::now();
        if let Some(user) = self.users.ready(name, now) {
            return Ok(user);
        }
        let flight = match self.users.find(name, now, self.kdc_timeout)? {
            Found::Ready(user) => return Ok(user),
            Found::Making(flight) => flight,
            Found::ToBegin(flight) => {
                self.begin(name, &flight, now);
                flight
            }
        };
        match flight.outcome(self.kdc_timeout).await {
            Some(outcome) => outcome,
            None if flight.is_running() => {
                self.breaker.no_answer(Instant::now());
                Err(SignInError::KdcTimeout { waited: self.kdc_timeout })
            }
            None => Err(SignInError::Busy),
        }
    }

    /// Puts a flight on the pool. One that cannot begin ends at once, for all who joined it.
    fn begin(self: &Arc<Self>, name: &WindowsName, flight: &Arc<Flight<UserCredential>>, now: Instant) {
        let mut landing = Landing {
            kerberos: self.clone(),
            name: name.clone(),
            flight: flight.clone(),
            outcome: Err(SignInError::Busy),
        };
        if let Err(wait) = self.breaker.admit(now) {
            landing.outcome = Err(SignInError::KdcUnavailable {
                detail: format!("it gave no answer moments ago and is asked again in {} ms", wait.as_millis()),
            });
            return;
        }
        if self.pool.submit(move || landing.fly()).is_err() {
            tracing::warn!(spn = %self.spn, "every thread for the KDC is held and its queue is full");
        }
    }

    /// On a thread of the pool.
    fn make(&self, name: &WindowsName, deadline: Instant) -> Result<Arc<UserCredential>, SignInError> {
        let gateway = self.gateway_ticket(deadline)?;
        gss::impersonate(&gateway, name, &self.spn, self.credential_lifetime_max).map(Arc::new)
    }

    /// The gateway's ticket, renewed at four fifths of its life and when the keytab changes. One thread at a time renews
    /// it; the others wait for that thread, but not past their deadline.
    fn gateway_ticket(&self, deadline: Instant) -> Result<Arc<GatewayTicket>, SignInError> {
        let late = || SignInError::KdcTimeout { waited: self.kdc_timeout };
        let mut gateway = self.gateway.try_lock_until(deadline).ok_or_else(late)?;
        let now = Instant::now();
        if now >= deadline {
            return Err(late());
        }
        let stamp = Stamp::of(&self.keytab);
        let current = gateway.ticket.clone().filter(|t| Some(t.keytab) == stamp && now < t.usable_until);
        if let Some(ticket) = current.as_ref().filter(|t| now < t.refresh_at) {
            return Ok(ticket.clone());
        }
        let renewed = match &gateway.refused {
            Some(refused) if Some(refused.keytab) == stamp && now < refused.until => Err(refused.error.clone()),
            _ => self.renew(&mut gateway, now),
        };
        match (renewed, current) {
            // The key is refused, the ticket is still good: there is time to put the keytab right.
            (Err(error @ SignInError::GatewayCredential { .. }), Some(ticket)) => {
                tracing::warn!(%error, "the gateway's ticket could not be renewed early; the old one is used on");
                Ok(ticket)
            }
            (renewed, _) => renewed,
        }
    }

    fn renew(&self, gateway: &mut Gateway, now: Instant) -> Result<Arc<GatewayTicket>, SignInError> {
        // Checked again at every renewal: the file may have been put in place anew, with another mode.
        let checked = keytab::check(&self.keytab, &self.principal)?;
        match gss::acquire_gateway(&self.principal, &self.keytab, checked.stamp) {
            Ok(ticket) => {
                tracing::info!(principal = %self.principal, "acquired the gateway's ticket");
                let ticket = Arc::new(ticket);
                *gateway = Gateway { ticket: Some(ticket.clone()), refused: None };
                Ok(ticket)
            }
            Err(error) => {
                if matches!(error, SignInError::GatewayCredential { .. }) {
                    let until = now + REFUSED_KEY_FOR;
                    gateway.refused = Some(Refused { keytab: checked.stamp, until, error: error.clone() });
                }
                Err(error)
            }
        }
    }

    fn forget_if_old(&self, name: &WindowsName, user: &Arc<UserCredential>) {
        if user.made.elapsed() >= REMAKE_AFTER {
            self.users.forget(name, user);
        }
    }
}

/// Brings a flight to its end, whatever happens to the job: run, panicked, or dropped before its turn.
struct Landing {
    kerberos: Arc<Kerberos>,
    name: WindowsName,
    flight: Arc<Flight<UserCredential>>,
    /// What is said if nothing better comes.
    outcome: Result<Arc<UserCredential>, SignInError>,
}

impl Landing {
    fn fly(mut self) {
        let deadline = self.flight.begun + self.kerberos.kdc_timeout;
        if Instant::now() >= deadline {
            return; // it waited for a thread until nobody waits for it
        }
        self.flight.running.store(true, Ordering::Relaxed);
        self.outcome =
            Err(SignInError::Internal { detail: "the sign-in's thread ended before the sign-in".to_owned() });
        self.outcome = self.kerberos.make(&self.name, deadline);
        match &self.outcome {
            Err(SignInError::KdcUnavailable { .. } | SignInError::KdcTimeout { .. }) => {
                // A failure that comes long after the time is about the past: the KDC may be back.
                let now = Instant::now();
                if now < deadline {
                    self.kerberos.breaker.no_answer(now);
                }
            }
            _ => self.kerberos.breaker.answered(),
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Err(SignInError::Busy));
        self.kerberos.users.land(&self.name, &self.flight, outcome, Instant::now());
    }
}

/// One identity's sign-in to one upstream.
pub(crate) struct KerberosCredential {
    kerberos: Arc<Kerberos>,
    name: WindowsName,
    user: Arc<UserCredential>,
}

impl KerberosCredential {
    /// A fresh token. Asks no KDC while the credential lives; else it is made anew as [`Kerberos::user`] does.
    pub(crate) async fn authorization(&self) -> Result<(HeaderValue, KerberosCheck), SignInError> {
        // INVARIANT: a token is made only from a credential within its time. The library would fetch a ticket that has
        // run out by itself, and block this thread.
        if Instant::now() < self.user.usable_until {
            match self.attempt(self.user.clone()) {
                Ok(made) => return Ok(made),
                Err(error) => {
                    tracing::warn!(%error, "a cached credential made no token; it is made anew");
                    self.kerberos.users.forget(&self.name, &self.user);
                }
            }
        }
        self.attempt(self.kerberos.user(&self.name).await?)
    }

    fn attempt(&self, user: Arc<UserCredential>) -> Result<(HeaderValue, KerberosCheck), SignInError> {
        let (token, pending) = gss::token(&user, &self.kerberos.spn)?;
        let mut header = HeaderValue::try_from(format!("Negotiate {}", STANDARD.encode(token)))
            .map_err(|_| SignInError::Internal { detail: "the token is not a header value".to_owned() })?;
        header.set_sensitive(true);
        Ok((header, KerberosCheck { kerberos: self.kerberos.clone(), name: self.name.clone(), user, pending }))
    }
}

/// Waits for the answer to one token.
pub(crate) struct KerberosCheck {
    kerberos: Arc<Kerberos>,
    name: WindowsName,
    user: Arc<UserCredential>,
    pending: gss::Pending,
}

impl KerberosCheck {
    pub(crate) fn check(self, status: StatusCode, headers: &HeaderMap) -> Result<(), SignInError> {
        if status == StatusCode::UNAUTHORIZED {
            self.kerberos.forget_if_old(&self.name, &self.user);
            return Err(SignInError::UpstreamRefusedSignIn {
                detail: format!("it answered 401 to `{}` and offers {}", self.name.as_str(), schemes(headers)),
            });
        }
        answer_token(headers).and_then(|token| gss::finish(self.pending, &token)).map_err(|detail| {
            self.kerberos.forget_if_old(&self.name, &self.user);
            SignInError::MutualAuthenticationFailed { detail: format!("{detail} (status {})", status.as_u16()) }
        })
    }
}

/// The one token of `WWW-Authenticate: Negotiate <token>` (RFC 4559 §4.2).
fn answer_token(headers: &HeaderMap) -> Result<Vec<u8>, String> {
    let mut tokens = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked("Negotiate".len())?;
        scheme.eq_ignore_ascii_case(b"Negotiate").then(|| token.trim_ascii()).filter(|token| !token.is_empty())
    });
    let token = tokens.next().ok_or("the answer has no `Negotiate` token")?;
    if tokens.next().is_some() {
        return Err("the answer has more than one `Negotiate` token".to_owned());
    }
    if token.len() > ANSWER_BYTES_MAX {
        return Err(format!("the answer's `Negotiate` token has {} bytes", token.len()));
    }
    STANDARD.decode(token).map_err(|_| "the answer's `Negotiate` token is not base64".to_owned())
}

/// The schemes that a 401 offers, without tokens.
fn schemes(headers: &HeaderMap) -> String {
    let offered: Vec<_> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .take(8)
        .map(|value| {
            let scheme = value.as_bytes().split(|b| !b.is_ascii_alphanumeric()).next().unwrap_or_default();
            format!("`{}`", one_line(&String::from_utf8_lossy(&scheme[..scheme.len().min(32)])))
        })
        .collect();
    if offered.is_empty() { "no scheme".to_owned() } else { offered.join(", ") }
}

/// Refuses what cannot work. Returns the gateway's realm.
fn check_config(config: &KerberosConfig) -> Result<String, SignInError> {
    let refuse = |detail: String| Err(SignInError::Configuration { detail });
    let plain =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\');
    match config.spn.split_once('@').map(|(service, realm)| (service.split_once('/'), realm)) {
        Some((Some((class, host)), realm))
            if [class, host, realm].iter().all(|part| plain(part)) && !realm.contains('@') => {}
        _ => {
            return refuse(format!(
                "`spn` is `{}`: write it as `HTTP/host.domain@REALM`, exactly as it is registered",
                one_line(&config.spn)
            ));
        }
    }
    let realm = match config.principal.split_once('@') {
        Some((account, realm)) if plain(account) && plain(realm) && !realm.contains('@') => realm.to_owned(),
        _ => {
            return refuse(format!(
                "`principal` is `{}`: write it as `account@REALM`, as the keytab has it",
                one_line(&config.principal)
            ));
        }
    };
    for (name, value, max) in [
        ("kdc_timeout", config.kdc_timeout, KDC_TIMEOUT_MAX),
        ("credential_lifetime_max", config.credential_lifetime_max, CREDENTIAL_LIFETIME_MAX),
    ] {
        if value < Duration::from_millis(100) || value > max {
            return refuse(format!("`{name}` is {value:?}: choose 100 ms to {} s", max.as_secs()));
        }
    }
    Ok(realm)
}
