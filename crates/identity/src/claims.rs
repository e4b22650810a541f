//! The claims of a token whose signature is valid.

use crate::{
    IssuerConfig, TokenType, Trap,
    confirm::Confirmation,
    error::{Fault, TokenError, shown, shown_value},
    jws::Typ,
    ledger::{Check, Ledger, Outcome},
    path,
    verified::{JobPrincipal, Principal},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Claims under examination, with all that the checks look at.
pub(crate) struct View<'a> {
    pub(crate) claims: &'a Map<String, Value>,
    pub(crate) config: &'a IssuerConfig,
    /// `None` for what an introspection endpoint said.
    pub(crate) typ: Option<&'a Typ>,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What a verified token keeps apart from its other claims.
pub(crate) struct Checked {
    pub(crate) subject: String,
    pub(crate) token_id: Option<String>,
    pub(crate) expires_at: u64,
    pub(crate) principal: Principal,
    /// The configured attributes; `None` where the token has none.
    pub(crate) attributes: BTreeMap<String, Option<Value>>,
    pub(crate) confirmation: Confirmation,
}

fn malformed(claim: &str, problem: &str) -> Fault {
    Fault::ClaimsMalformed { problem: format!("`{claim}` {problem}") }
}

/// A non-empty string, if the claim is there.
pub(crate) fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Outcome<Option<&'a str>> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(value)) if value.is_empty() => Err(malformed(claim, "is empty")),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(malformed(claim, "is not a string")),
    }
}

/// RFC 7519 §2 allows fractions; no issuer we trust needs them, and a `"exp": "…"` read leniently never expires.
fn seconds(claims: &Map<String, Value>, claim: &str) -> Outcome<Option<u64>> {
    match claims.get(claim) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| malformed(claim, "is not a whole number of seconds")),
    }
}

/// Every check of the claims. `None` only where the ledger went on after a fault.
///
/// # Errors
/// As the ledger says.
pub(crate) fn check<L: Ledger>(view: &View<'_>, ledger: &mut L) -> Result<Option<Checked>, TokenError> {
    let explained = |fault: Fault| {
        let trap = view.config.profile.explain(&fault, view);
        TokenError::with_trap(fault, trap)
    };
    let subject = ledger.note(Check::Subject, subject(view).map_err(explained))?;
    ledger.note(Check::Audience, audience(view).map_err(explained))?;
    let expires_at = ledger.note(Check::Expiry, expiry(view).map_err(explained))?;
    ledger.note(Check::NotBefore, not_before(view))?;
    ledger.note(Check::Lifetime, lifetime(view).map_err(explained))?;
    ledger.note(Check::AccessToken, access_token(view))?;
    for requirement in &view.config.required {
        let outcome = requirement.check(&view.config.name, view.claims).map_err(explained);
        ledger.note(Check::Required, outcome)?;
    }
    ledger.note(Check::Profile, view.config.profile.check(view))?;
    let attributes = ledger.note(Check::Attributes, attributes(view))?;
    let principal = ledger.note(Check::Job, principal(view.claims, &view.config.assurance))?;
    let confirmation = ledger.note(Check::Confirmation, Confirmation::read(view.claims))?;
    let (Some((subject, token_id)), Some(expires_at)) = (subject, expires_at) else { return Ok(None) };
    let (Some(attributes), Some(principal), Some(confirmation)) = (attributes, principal, confirmation) else {
        return Ok(None);
    };
    Ok(Some(Checked { subject, token_id, expires_at, principal, attributes, confirmation }))
}

/// (`sub`, `jti`)
fn subject(view: &View<'_>) -> Outcome<(String, Option<String>)> {
    let mut subject = text(view.claims, "sub")?;
    // RFC 7662 §2.2 makes `sub` optional: where a client acts for itself, its name is all there is (RFC 9068 §2.2 says so too).
    if subject.is_none() && view.typ.is_none() {
        subject = text(view.claims, "client_id")?;
    }
    let subject = subject.ok_or_else(|| malformed("sub", "is missing"))?.to_owned();
    Ok((subject, text(view.claims, "jti")?.map(str::to_owned)))
}

fn audience(view: &View<'_>) -> Outcome<()> {
    let claim = &view.config.audience_claim;
    let name = claim.to_string();
    let wrong_type = || malformed(&name, "is neither a string nor an array of strings");
    let presented: Vec<&str> = match claim.find(view.claims) {
        None => return Err(malformed(&name, "is missing")),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            many.iter().map(|one| one.as_str().ok_or_else(wrong_type)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong_type()),
    };
    if presented.iter().any(|one| view.config.audiences.iter().any(|accepted| accepted == one)) {
        return Ok(());
    }
    Err(Fault::AudienceMismatch {
        issuer: view.config.name.clone(),
        claim: name,
        presented: shown(&presented.join(" ")),
        accepted: format!("{:?}", view.config.audiences),
    })
}

fn expiry(view: &View<'_>) -> Outcome<u64> {
    let expires_at = seconds(view.claims, "exp")?.ok_or_else(|| malformed("exp", "is missing"))?;
    // RFC 7519 §4.1.4: on or after `exp` is too late.
    if view.now >= expires_at.saturating_add(view.config.leeway.as_secs()) {
        let (issuer, seconds) = (view.config.name.clone(), view.now.saturating_sub(expires_at));
        return Err(Fault::Expired { issuer, expired_at: expires_at, seconds });
    }
    Ok(expires_at)
}

fn not_before(view: &View<'_>) -> Outcome<()> {
    for claim in ["nbf", "iat"] {
        if let Some(time) = seconds(view.claims, claim)?
            && time > view.now.saturating_add(view.config.leeway.as_secs())
        {
            let issuer = view.config.name.clone();
            return Err(Fault::NotYetValid { issuer, claim, seconds: time - view.now });
        }
    }
    Ok(())
}

fn lifetime(view: &View<'_>) -> Outcome<()> {
    let lifetime_max = view.config.lifetime_max.as_secs();
    let Some(expires_at) = seconds(view.claims, "exp")? else { return Err(malformed("exp", "is missing")) };
    let lifetime = expires_at.saturating_sub(seconds(view.claims, "iat")?.unwrap_or(view.now));
    if lifetime > lifetime_max {
        return Err(Fault::TooLongLived { issuer: view.config.name.clone(), lifetime, lifetime_max });
    }
    Ok(())
}

/// The kinds of token that `typ` can announce and that no API takes, whatever the issuer.
const OTHER_TYPES: [&str; 8] = [
    "dpop+jwt",
    "logout+jwt",
    "rt+jwt",
    "secevent+jwt",
    "token-introspection+jwt",
    "kb+jwt",
    "oauth-authz-req+jwt",
    "airgate-receipt+jwt",
];

/// RFC 8725 §3.11: the header says of what type a token is, before anything else of it counts.
pub(crate) fn token_type(config: &IssuerConfig, typ: &Typ) -> Result<(), TokenError> {
    let refused = |trap: Option<Trap>| {
        let accepted: Vec<&str> = config.token_types.iter().map(|one| one.as_str()).collect();
        let problem = format!("`typ` is {typ}, accepted: {}", accepted.join(", "));
        TokenError::with_trap(Fault::TypeRefused { issuer: config.name.clone(), problem }, trap)
    };
    match typ {
        Typ::Known(known) if config.token_types.contains(known) => Ok(()),
        Typ::Jose if config.profile.takes_jose() => Ok(()),
        Typ::Other(other) if OTHER_TYPES.contains(&other.as_str()) => Err(refused(Some(Trap::OtherToken))),
        Typ::Known(TokenType::JobAssertion | TokenType::AccessToken | TokenType::Jwt) | Typ::Jose | Typ::Other(_) => {
            Err(refused(None))
        }
    }
}

/// That the token is for an API, and not for the client that got it.
fn access_token(view: &View<'_>) -> Result<(), TokenError> {
    match view.typ {
        // RFC 9068 §2.2: an access token that says it is one has all of these.
        Some(Typ::Known(TokenType::AccessToken)) => {
            for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
                if !view.claims.contains_key(claim) {
                    return Err(malformed(claim, "is missing in a token of type `at+jwt` (RFC 9068 §2.2)").into());
                }
            }
            // RFC 8693 §4.3: a text. Of the others, each has been read by then.
            text(view.claims, "client_id")?;
            Ok(())
        }
        Some(Typ::Known(TokenType::Jwt) | Typ::Jose) => {
            let marker = view.config.profile.id_token_markers().iter().find(|name| view.claims.contains_key(**name));
            match marker {
                None => Ok(()),
                Some(marker) => {
                    let problem = format!("it holds `{marker}`, which only ID tokens have");
                    let fault = Fault::TypeRefused { issuer: view.config.name.clone(), problem };
                    Err(TokenError::with_trap(fault, Some(Trap::IdToken)))
                }
            }
        }
        Some(Typ::Known(TokenType::JobAssertion) | Typ::Other(_)) | None => Ok(()),
    }
}

fn attributes(view: &View<'_>) -> Outcome<BTreeMap<String, Option<Value>>> {
    let read = |(name, path): (&String, &path::ClaimPath)| Ok((name.clone(), path::attribute(path, view.claims)?));
    view.config.attributes.iter().map(read).collect()
}

/// A job where the issuer can speak for jobs and names one in full; a workload where it names none. A job named in part
/// is neither: something is wrong with the issuer, and half an identity must match no rule.
fn principal(claims: &Map<String, Value>, assurance: &str) -> Outcome<Principal> {
    const JOB: [&str; 6] = ["dag_id", "run_id", "task_id", "map_index", "try_number", "ti_id"];
    if !matches!(assurance, "task" | "worker") || !JOB.iter().any(|claim| claims.contains_key(*claim)) {
        return Ok(Principal::Workload);
    }
    let name = |claim| text(claims, claim)?.map(str::to_owned).ok_or_else(|| malformed(claim, "is missing"));
    let number = |claim, least: i64| match claims.get(claim) {
        None => Err(malformed(claim, "is missing")),
        Some(value) => match value.as_i64() {
            Some(number) if number >= least => Ok(number),
            Some(_) => Err(malformed(claim, "is out of range")),
            None => Err(malformed(claim, "is not a whole number")),
        },
    };
    Ok(Principal::Job(JobPrincipal {
        dag_id: name("dag_id")?,
        run_id: name("run_id")?,
        task_id: name("task_id")?,
        map_index: number("map_index", -1)?,
        try_number: number("try_number", 0)?,
        ti_id: text(claims, "ti_id")?.map(str::to_owned),
    }))
}

/// For messages: a claim's value, or that there is none.
pub(crate) fn shown_claim(claims: &Map<String, Value>, claim: &str) -> String {
    claims.get(claim).map_or_else(|| "missing".to_owned(), shown_value)
}
