//! Tickets and tokens by GSS-API, and what its failures mean. Everything here but [`token`] and [`finish`] may block on
//! the KDC for as long as the library likes, so it runs on the pool only.

use std::{
    ffi::CString,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use libgssapi::{
    context::{ClientCtx, CtxFlags, SecurityContext},
    credential::{Cred, CredUsage},
    error::Error,
    name::Name,
    oid::{
        GSS_MECH_KRB5, GSS_MECH_SPNEGO, GSS_NT_KRB5_ENTERPRISE_NAME, GSS_NT_KRB5_PRINCIPAL, GSS_NT_USER_NAME, OidSet,
    },
};

use super::{
    name::WindowsName,
    sys::{self, TicketCache},
};
use crate::{SignInError, error::one_line, files::Stamp};

/// A ticket this close to its end is not used: the KDC's clock, the upstream's and ours differ.
const MARGIN: Duration = Duration::from_secs(60);

/// The gateway's own credential.
pub(super) struct GatewayTicket {
    credential: Cred,
    pub(super) keytab: Stamp,
    /// From here on a new one is tried for.
    pub(super) refresh_at: Instant,
    /// From here on it is not used.
    pub(super) usable_until: Instant,
    /// Destroyed with the ticket, after the credential that reads it.
    _cache: TicketCache,
}

/// One user's credential towards the one upstream, its service ticket fetched.
pub(super) struct UserCredential {
    credential: Cred,
    pub(super) made: Instant,
    pub(super) usable_until: Instant,
}

/// The longest that a ticket of this lifetime is used.
fn usable_for(lifetime: Duration) -> Duration {
    lifetime - MARGIN.min(lifetime / 5)
}

/// The gateway's ticket, by the keytab.
pub(super) fn acquire_gateway(principal: &str, keytab: &Path, stamp: Stamp) -> Result<GatewayTicket, SignInError> {
    let now = Instant::now();
    let failed = |error: Error| classify(&Phase::Gateway { principal }, &error);
    let internal = |detail: &str| SignInError::Internal { detail: detail.to_owned() };
    let keytab = CString::new(keytab.as_os_str().as_bytes()).map_err(|_| internal("the keytab's path has a NUL"))?;
    let mut unique = [0_u8; 8];
    rand::fill(&mut unique).map_err(|_| internal("no random bytes"))?;
    let cache = TicketCache::new(&u64::from_ne_bytes(unique).to_string()).ok_or_else(|| internal("ticket cache"))?;
    // First by the Kerberos mechanism, whose errors name their cause: SPNEGO would say only that there is no credential.
    // Asking for the lifetime makes the library fetch the ticket now. SPNEGO's credential then finds it in the cache.
    let kerberos = sys::acquire_from_keytab(principal, &keytab, &cache, sys::MECH_KRB5).map_err(failed)?;
    let lifetime = kerberos.lifetime().map_err(failed)?;
    let credential = sys::acquire_from_keytab(principal, &keytab, &cache, sys::MECH_SPNEGO).map_err(failed)?;
    Ok(GatewayTicket {
        credential,
        keytab: stamp,
        refresh_at: now + lifetime.mul_f64(0.8),
        usable_until: now + usable_for(lifetime),
        _cache: cache,
    })
}

/// S4U2Self for the user, then S4U2Proxy to the upstream ([MS-SFU] §3.1.5.1 and §3.1.5.2).
pub(super) fn impersonate(
    gateway: &GatewayTicket,
    user: &WindowsName,
    spn: &str,
    lifetime_max: Duration,
) -> Result<UserCredential, SignInError> {
    let made = Instant::now();
    let kind = match user {
        WindowsName::Account(_) => GSS_NT_USER_NAME,
        WindowsName::Enterprise(_) => GSS_NT_KRB5_ENTERPRISE_NAME,
    };
    let refused = |error: Error| classify(&Phase::Impersonate { user: user.as_str() }, &error);
    let name = Name::new(user.as_str().as_bytes(), Some(kind)).map_err(refused)?;
    // SPNEGO alone: with the Kerberos mechanism beside it, the same ticket would be asked for twice.
    let mut mechanisms = OidSet::new();
    mechanisms.add(GSS_MECH_SPNEGO).map_err(refused)?;
    let credential =
        gateway.credential.impersonate(&name, None, CredUsage::Initiate, Some(&mechanisms)).map_err(refused)?;

    // The first context fetches the service ticket into the credential's cache: later ones need no KDC. It asks for no
    // mutual authentication, so that the Kerberos context in it is complete and can tell the service ticket's lifetime.
    // Its token is thrown away.
    let refused = |error: Error| classify(&Phase::Delegate { user: user.as_str(), spn }, &error);
    let mut context = context(&credential, spn, CtxFlags::empty()).map_err(refused)?;
    context.step(None, None).map_err(refused)?;
    let lifetime = context.lifetime().map_err(refused)?.min(credential.lifetime().map_err(refused)?);
    Ok(UserCredential { credential, made, usable_until: made + lifetime_max.min(usable_for(lifetime)) })
}

fn context(credential: &Cred, spn: &str, flags: CtxFlags) -> Result<ClientCtx, Error> {
    // A principal, not a host-based name: the library would look that up in DNS.
    let target = Name::new(spn.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    Ok(ClientCtx::new(Some(credential.clone()), target, flags, Some(GSS_MECH_SPNEGO)))
}

/// A context that waits for the upstream's answer.
pub(super) struct Pending(ClientCtx);

/// A token for one attempt. No I/O: the service ticket is in the credential's cache.
pub(super) fn token(user: &UserCredential, spn: &str) -> Result<(Vec<u8>, Pending), SignInError> {
    let internal = |error: Error| SignInError::Internal { detail: one_line(&error.to_string()) };
    let mut context = context(&user.credential, spn, CtxFlags::GSS_C_MUTUAL_FLAG).map_err(internal)?;
    let token = context
        .step(None, None)
        .map_err(internal)?
        .ok_or_else(|| SignInError::Internal { detail: "the library made no token".to_owned() })?;
    Ok((token.to_vec(), Pending(context)))
}

/// Takes the upstream's token. Ok only if the upstream has proven that it holds the key of the service principal.
pub(super) fn finish(pending: Pending, answer: &[u8]) -> Result<(), String> {
    let Pending(mut context) = pending;
    let said = |error: Error| one_line(&error.to_string());
    if context.step(Some(answer), None).map_err(said)?.is_some() {
        return Err("the upstream's token asks for another leg".to_owned());
    }
    // SPNEGO could complete with another mechanism, or without the proof: ask the finished context, not our request.
    if !context.flags().map_err(said)?.contains(CtxFlags::GSS_C_MUTUAL_FLAG) {
        return Err("the upstream's token holds no proof of its identity".to_owned());
    }
    if context.mechanism().map_err(said)? != GSS_MECH_KRB5 {
        return Err("the upstream chose another mechanism than Kerberos".to_owned());
    }
    Ok(())
}

/// What was being asked for when it failed.
enum Phase<'a> {
    Gateway { principal: &'a str },
    Impersonate { user: &'a str },
    Delegate { user: &'a str, spn: &'a str },
}

fn classify(phase: &Phase<'_>, error: &Error) -> SignInError {
    // The library keeps the text of the last error for this thread: it is read before the next call.
    classify_code(phase, error.minor.cast_signed(), &one_line(&error.to_string()))
}

/// Kerberos error codes (RFC 4120 §7.5.9) as com_err numbers them, and those of the library itself.
mod code {
    const BASE: i32 = -1_765_328_384;
    pub(super) const CLIENT_UNKNOWN: i32 = BASE + 6;
    pub(super) const SERVER_UNKNOWN: i32 = BASE + 7;
    pub(super) const POLICY: i32 = BASE + 12;
    pub(super) const BAD_OPTION: i32 = BASE + 13;
    pub(super) const CLIENT_REVOKED: i32 = BASE + 18;
    pub(super) const KEY_EXPIRED: i32 = BASE + 23;
    pub(super) const PREAUTH_FAILED: i32 = BASE + 24;
    pub(super) const SERVICE_UNAVAILABLE: i32 = BASE + 29;
    pub(super) const SKEW: i32 = BASE + 37;
    pub(super) const WRONG_REALM: i32 = BASE + 68;
    pub(super) const NO_SUCH_REALM: i32 = -1_765_328_230;
    pub(super) const KDC_UNREACHABLE: i32 = -1_765_328_228;
    pub(super) const KEYTAB_NOT_FOUND: i32 = -1_765_328_203;
}

/// Whether the KDC was not there, whatever was asked.
fn means_no_kdc(minor: i32, text: &str) -> bool {
    matches!(minor, code::KDC_UNREACHABLE | code::SERVICE_UNAVAILABLE) || text.contains("Cannot contact any KDC")
}

fn classify_code(phase: &Phase<'_>, minor: i32, text: &str) -> SignInError {
    let detail = text.to_owned();
    if means_no_kdc(minor, text) {
        return SignInError::KdcUnavailable { detail };
    }
    match *phase {
        Phase::Gateway { principal } => {
            let next = match minor {
                code::PREAUTH_FAILED => "the keytab's key is not the account's: export the keytab anew",
                code::CLIENT_UNKNOWN => "the account does not exist: correct `principal`",
                code::CLIENT_REVOKED | code::POLICY => "the account is disabled or locked",
                code::KEY_EXPIRED => "the account's password has expired",
                code::SKEW => "this machine's clock differs from the KDC's: set up NTP",
                code::KEYTAB_NOT_FOUND => "the keytab has no key of a kind that is permitted: export it anew",
                code::NO_SUCH_REALM => "krb5.conf names no KDC of the realm",
                _ => "see the KDC's words",
            };
            SignInError::GatewayCredential { principal: principal.to_owned(), detail: format!("{next} ({detail})") }
        }
        Phase::Impersonate { user } => match minor {
            code::CLIENT_UNKNOWN | code::POLICY | code::CLIENT_REVOKED | code::KEY_EXPIRED | code::WRONG_REALM => {
                SignInError::IdentityRefused { identity: user.to_owned(), detail }
            }
            _ if ["not found in Kerberos database", "KDC policy rejects", "have been revoked"]
                .iter()
                .any(|words| text.contains(words)) =>
            {
                SignInError::IdentityRefused { identity: user.to_owned(), detail }
            }
            _ => SignInError::Internal { detail: one_line(&format!("S4U2Self of `{user}`: {detail}")) },
        },
        Phase::Delegate { user, spn } => match minor {
            code::BAD_OPTION | code::SERVER_UNKNOWN | code::POLICY | code::CLIENT_REVOKED => {
                SignInError::DelegationRefused { identity: user.to_owned(), spn: spn.to_owned(), detail }
            }
            _ if ["can't fulfill requested option", "not found in Kerberos database", "not allowed to delegate"]
                .iter()
                .any(|words| text.contains(words)) =>
            {
                SignInError::DelegationRefused { identity: user.to_owned(), spn: spn.to_owned(), detail }
            }
            _ => SignInError::Internal { detail: one_line(&format!("S4U2Proxy of `{user}` to `{spn}`: {detail}")) },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_cause_by_what_was_asked_and_what_was_answered() {
        let gateway = Phase::Gateway { principal: "svc-gw@CORP.EXAMPLE" };
        let user = Phase::Impersonate { user: "alice@CORP.EXAMPLE" };
        let proxy = Phase::Delegate { user: "alice@CORP.EXAMPLE", spn: "HTTP/iis@CORP.EXAMPLE" };
        for (phase, minor, text, wanted) in [
            (&gateway, code::PREAUTH_FAILED, "Preauthentication failed", "gateway_credential"),
            (&gateway, code::CLIENT_UNKNOWN, "Client not found", "gateway_credential"),
            (&gateway, code::SKEW, "Clock skew too great", "gateway_credential"),
            (&gateway, 1, "something new", "gateway_credential"),
            (&gateway, code::KDC_UNREACHABLE, "", "kdc_unavailable"),
            (&gateway, 100_001, "Cannot contact any KDC for realm 'CORP.EXAMPLE'", "kdc_unavailable"),
            (&user, code::CLIENT_UNKNOWN, "", "identity_refused"),
            (&user, code::POLICY, "KDC policy rejects request", "identity_refused"),
            (&user, code::CLIENT_REVOKED, "", "identity_refused"),
            (&user, 100_001, "Client 'x' not found in Kerberos database", "identity_refused"),
            (&user, code::KDC_UNREACHABLE, "", "kdc_unavailable"),
            (&user, 1, "something new", "sign_in_failed"),
            (&proxy, code::BAD_OPTION, "KDC can't fulfill requested option", "delegation_refused"),
            (&proxy, 100_001, "KDC can't fulfill requested option", "delegation_refused"),
            (&proxy, code::SERVER_UNKNOWN, "", "delegation_refused"),
            (&proxy, code::KDC_UNREACHABLE, "", "kdc_unavailable"),
            (&proxy, 1, "something new", "sign_in_failed"),
        ] {
            assert_eq!(classify_code(phase, minor, text).code(), wanted, "{minor} {text}");
        }
    }

    #[test]
    fn keeps_a_margin_before_the_end_of_a_ticket() {
        assert_eq!(usable_for(Duration::from_secs(36_000)), Duration::from_secs(35_940));
        assert_eq!(usable_for(Duration::from_secs(100)), Duration::from_secs(80));
    }
}
