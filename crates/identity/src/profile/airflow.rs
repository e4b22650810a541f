//! The job assertions that our provider mints inside Airflow's API server.

use super::{Given, Preset, Profile, ProfileFault, required_url};
use crate::{Algorithm, Place, TokenType, Trap};
use serde_json::{Map, Value};
use std::time::Duration;

pub(super) fn preset(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    let url = required_url(given, "https://airflow.example/airgate").map_err(|fault| vec![fault])?;
    let keys = Place::KeySet(format!("{}/jwks.json", url.trim_end_matches('/')));
    let mut preset = Preset::new(Profile::Airflow, vec![url], Some(keys));
    preset.algorithms = vec![Algorithm::EdDsa, Algorithm::Es256];
    preset.token_types = vec![TokenType::JobAssertion];
    preset.assurance = "task";
    preset.lifetime_max = Duration::from_mins(15);
    Ok(preset)
}

/// Airflow's own token for the task: full impersonation of it towards Airflow.
pub(super) fn explain_issuer(claims: &Map<String, Value>) -> Option<Trap> {
    let names = |value: &Value| value.as_str().is_some_and(|aud| aud.starts_with("urn:airflow.apache.org:"));
    let is_airflows = match claims.get("aud")? {
        Value::Array(all) => all.iter().any(names),
        one => names(one),
    };
    is_airflows.then_some(Trap::AirflowTaskToken)
}
