//! Which policies can matter to a request at all: Cedar's cost grows with the number it is given.

use crate::{Grant, compile::CompiledRole, generate, text::claim_texts};
use airgate_identity::VerifiedToken;
use cedar_policy::{Policy, PolicyId, PolicySet};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Policies by route and issuer, then by the value of one claim.
///
/// INVARIANT: a policy that a request satisfies is in a set that [`Slices::of`] returns for it. Each policy demands one
/// of a grant's accepted values in the claim it is filed under, and is filed under each of those values.
#[derive(Default)]
pub(crate) struct Slices {
    routes: HashMap<String, HashMap<String, ByClaim>>,
    grants: HashMap<PolicyId, usize>,
    /// Claims that some grant asks for: no other needs to be shown to Cedar.
    pub(crate) claims: BTreeSet<String>,
    /// No policy looks at a segment from here on.
    pub(crate) segments_max: usize,
}

/// Claim -> value -> policies.
type ByClaim = BTreeMap<String, HashMap<String, PolicySet>>;

impl Slices {
    /// # Errors
    /// (Position of the grant, Cedar's words.)
    pub(crate) fn build(grants: &[Grant], roles: &BTreeMap<String, CompiledRole>) -> Result<Self, (usize, String)> {
        let popularity = Popularity::of(grants);
        let mut slices = Self::default();
        for (position, grant) in grants.iter().enumerate() {
            let Some(role) = roles.get(&grant.role) else { continue };
            let Some(claim) = popularity.rarest(grant) else { continue };
            slices.claims.extend(grant.conditions.keys().cloned());
            for (number, allow) in role.allow.iter().enumerate() {
                let id = PolicyId::new(format!("{position}.{number}"));
                let policy = generate::policy(id.clone(), grant, allow).map_err(|words| (position, words))?;
                slices.grants.insert(id, position);
                let deepest = allow.patterns.iter().map(|pattern| pattern.segments.len()).max();
                slices.segments_max = slices.segments_max.max(deepest.unwrap_or(0));
                let by_claim = slices.routes.entry(allow.route.clone()).or_default();
                let by_value = by_claim.entry(grant.issuer.clone()).or_default().entry(claim.to_owned()).or_default();
                file(by_value, &grant.conditions[claim], &policy).map_err(|words| (position, words))?;
            }
        }
        Ok(slices)
    }

    /// The sets that may hold a policy for this request.
    pub(crate) fn of<'a>(&'a self, route: &str, token: &'a VerifiedToken) -> impl Iterator<Item = &'a PolicySet> {
        let by_claim = self.routes.get(route).and_then(|issuers| issuers.get(token.issuer()));
        by_claim.into_iter().flatten().flat_map(|(claim, by_value)| {
            let values = token.attribute(claim).and_then(claim_texts).unwrap_or_default();
            values.into_iter().filter_map(|value| by_value.get(value.as_ref()))
        })
    }

    pub(crate) fn grant(&self, policy: &PolicyId) -> Option<usize> {
        self.grants.get(policy).copied()
    }
}

fn file(by_value: &mut HashMap<String, PolicySet>, values: &[String], policy: &Policy) -> Result<(), String> {
    // A value that is listed twice is one value.
    for value in values.iter().collect::<BTreeSet<_>>() {
        by_value.entry(value.clone()).or_default().add(policy.clone()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// How many grants of an issuer accept a value of a claim.
struct Popularity<'a>(HashMap<(&'a str, &'a str, &'a str), usize>);

impl<'a> Popularity<'a> {
    fn of(grants: &'a [Grant]) -> Self {
        let mut counts = HashMap::new();
        for grant in grants {
            for (claim, values) in &grant.conditions {
                for value in values {
                    *counts.entry((grant.issuer.as_str(), claim.as_str(), value.as_str())).or_insert(0) += 1;
                }
            }
        }
        Self(counts)
    }

    /// The claim whose most popular accepted value is shared with the fewest grants; the first by name of equals.
    fn rarest<'g>(&self, grant: &'g Grant) -> Option<&'g str> {
        let count = |claim: &str, value: &str| self.0.get(&(grant.issuer.as_str(), claim, value)).copied().unwrap_or(0);
        grant
            .conditions
            .iter()
            .min_by_key(|(claim, values)| values.iter().map(|value| count(claim, value)).max())
            .map(|(claim, _)| claim.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allow, Policy, Role};
    use serde_json::{Value, json};

    fn role(name: &str, route: &str) -> Role {
        let allow = Allow { route: route.to_owned(), methods: vec!["GET".to_owned()], paths: vec!["/a/**".to_owned()] };
        Role { name: name.to_owned(), allow: vec![allow] }
    }

    fn grant(name: String, role: &str, conditions: &[(&str, &str)]) -> Grant {
        let conditions =
            conditions.iter().map(|(claim, value)| ((*claim).to_owned(), vec![(*value).to_owned()])).collect();
        Grant { name, issuer: "airflow".to_owned(), conditions, role: role.to_owned(), windows_identity: None }
    }

    fn many(count: usize) -> Vec<Grant> {
        let one = |at: usize| {
            let conditions = [("dag_id", format!("dag{at}")), ("team", "data".to_owned()), ("a", (at % 2).to_string())];
            let conditions: Vec<(&str, &str)> =
                conditions.iter().map(|(claim, value)| (*claim, value.as_str())).collect();
            grant(format!("g{at}"), &format!("r{}", at % 10), &conditions)
        };
        (0..count).map(one).collect()
    }

    /// Cedar's cost is that of the policies it is given: counted, because time on a shared machine says little.
    #[test]
    fn a_request_costs_as_much_as_its_own_grants() {
        let roles = (0..10).map(|at| role(&format!("r{at}"), &format!("route{at}"))).collect();
        let policy = Policy::compile(roles, many(300), vec![]).expect("a policy");
        let count = |route: &str, claims: Value| -> usize {
            let token = airgate_testkit::verified("airflow", "client", claims);
            policy.slices.of(route, &token).map(|set| set.policies().count()).sum()
        };
        assert_eq!(count("route7", json!({ "team": "data", "a": "1", "dag_id": "dag217" })), 1);
        assert_eq!(count("route6", json!({ "team": "data", "a": "1", "dag_id": "dag217" })), 0);
        assert_eq!(count("route7", json!({ "team": "data", "a": "1" })), 0);
        assert_eq!(count("nowhere", json!({ "team": "data", "a": "1", "dag_id": "dag217" })), 0);
    }

    #[test]
    fn ten_thousand_grants_are_filed_under_what_tells_them_apart() {
        let grants = many(10_000);
        let popularity = Popularity::of(&grants);
        assert!(grants.iter().all(|grant| popularity.rarest(grant) == Some("dag_id")));
    }
}
