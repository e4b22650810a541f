//! The claims of a token whose signature is valid.

use crate::{
    IssuerConfig, TokenError,
    error::shown,
    verified::{JobPrincipal, Principal},
};
use serde_json::{Map, Value};

/// The claims that a verified token keeps apart from the rest.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) subject: String,
    pub(crate) token_id: Option<String>,
    pub(crate) expires_at: u64,
    pub(crate) principal: Principal,
}

fn malformed(claim: &str, problem: &str) -> TokenError {
    TokenError::ClaimsMalformed { problem: format!("`{claim}` {problem}") }
}

/// A non-empty string, if the claim is there.
fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<Option<&'a str>, TokenError> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(value)) if value.is_empty() => Err(malformed(claim, "is empty")),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(malformed(claim, "is not a string")),
    }
}

/// RFC 7519 §2 allows fractions; no issuer we trust needs them, and a `"exp": "…"` read leniently never expires.
fn seconds(claims: &Map<String, Value>, claim: &str) -> Result<Option<u64>, TokenError> {
    match claims.get(claim) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| malformed(claim, "is not a whole number of seconds")),
    }
}

/// The `iss` claim: it chooses the issuer whose keys the token is checked with, so it is read before the signature is.
pub(crate) fn issuer(claims: &Map<String, Value>) -> Result<&str, TokenError> {
    text(claims, "iss")?.ok_or_else(|| malformed("iss", "is missing"))
}

/// # Errors
/// The first check that fails. `now`: seconds since 1970.
pub(crate) fn check(claims: &Map<String, Value>, config: &IssuerConfig, now: u64) -> Result<Checked, TokenError> {
    let subject = text(claims, "sub")?.ok_or_else(|| malformed("sub", "is missing"))?.to_owned();
    let token_id = text(claims, "jti")?.map(str::to_owned);
    check_audience(claims, config)?;
    let expires_at = check_times(claims, config, now)?;
    let principal = principal(claims, &config.assurance)?;
    Ok(Checked { subject, token_id, expires_at, principal })
}

fn check_audience(claims: &Map<String, Value>, config: &IssuerConfig) -> Result<(), TokenError> {
    let wrong_type = || malformed("aud", "is neither a string nor an array of strings");
    let presented: Vec<&str> = match claims.get("aud") {
        None => return Err(malformed("aud", "is missing")),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            many.iter().map(|one| one.as_str().ok_or_else(wrong_type)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong_type()),
    };
    if presented.iter().any(|one| config.audiences.iter().any(|accepted| accepted == one)) {
        return Ok(());
    }
    Err(TokenError::AudienceMismatch {
        issuer: config.name.clone(),
        presented: shown(&presented.join(" ")),
        accepted: format!("{:?}", config.audiences),
    })
}

fn check_times(claims: &Map<String, Value>, config: &IssuerConfig, now: u64) -> Result<u64, TokenError> {
    let issuer = || config.name.clone();
    let leeway = config.leeway.as_secs();
    let lifetime_max = config.lifetime_max.as_secs();
    let expires_at = seconds(claims, "exp")?.ok_or_else(|| malformed("exp", "is missing"))?;
    // RFC 7519 §4.1.4: on or after `exp` is too late.
    if now >= expires_at.saturating_add(leeway) {
        return Err(TokenError::Expired { issuer: issuer(), expired_at: expires_at, seconds: now - expires_at });
    }
    let issued_at = seconds(claims, "iat")?;
    for (claim, time) in [("nbf", seconds(claims, "nbf")?), ("iat", issued_at)] {
        if let Some(time) = time
            && time > now.saturating_add(leeway)
        {
            return Err(TokenError::NotYetValid { issuer: issuer(), claim, seconds: time - now });
        }
    }
    let lifetime = expires_at.saturating_sub(issued_at.unwrap_or(now));
    if lifetime > lifetime_max {
        return Err(TokenError::TooLongLived { issuer: issuer(), lifetime, lifetime_max });
    }
    Ok(expires_at)
}

/// A job where the issuer can speak for jobs and names one in full; a workload where it names none. A job named in part
/// is neither: something is wrong with the issuer, and half an identity must match no rule.
fn principal(claims: &Map<String, Value>, assurance: &str) -> Result<Principal, TokenError> {
    const JOB: [&str; 5] = ["dag_id", "run_id", "task_id", "map_index", "try_number"];
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
