//! The decision: Cedar's, over the slice that can matter.

use crate::{
    AccessRequest, Decision, Denial, Grant, Permit, Policy, explain,
    files::Verdict,
    request,
    text::{list, shown},
};
use cedar_policy::{Entities, Response};
use std::collections::BTreeSet;

impl Policy {
    /// Permits only what a grant's role allows and no file forbids; whatever can't be evaluated is denied.
    #[must_use]
    pub fn decide(&self, access: &AccessRequest<'_>) -> Decision {
        let grants = match self.permitting(access) {
            Ok(grants) => grants,
            Err(words) => return Decision::Deny(policy_error(&words)),
        };
        let Some(first) = grants.first() else { return Decision::Deny(explain::denial(self, access)) };
        if let Some(forbids) = &self.forbids {
            match forbids.judge(&self.authorizer, access) {
                Verdict::Silent => {}
                Verdict::Forbidden(rules) => return Decision::Deny(forbidden(&rules, first)),
                Verdict::Failed(words) => return Decision::Deny(policy_error(&words)),
            }
        }
        if !same_identity(&grants) {
            return Decision::Deny(ambiguous(&grants));
        }
        let reason = format!(
            "{} `{}` on route `{}` is allowed by {}",
            access.method,
            shown(access.path),
            access.route,
            list(grants.iter().map(|grant| format!("grant `{}` (role `{}`)", grant.name, grant.role))),
        );
        let identity = first.windows_identity.clone();
        Decision::Permit(Permit::new(first.name.clone(), first.role.clone(), identity, reason))
    }

    /// The grants that permit, by name.
    fn permitting(&self, access: &AccessRequest<'_>) -> Result<Vec<&Grant>, String> {
        if !request::is_known_method(access.method) {
            return Ok(Vec::new());
        }
        let cedar = request::for_grants(access, &self.slices)?;
        let mut satisfied = BTreeSet::new();
        for policies in self.slices.of(access.route, access.token) {
            let response = self.authorizer.is_authorized(&cedar, policies, &Entities::empty());
            satisfied.extend(self.satisfied(&response)?);
        }
        let mut grants: Vec<&Grant> = satisfied.into_iter().filter_map(|position| self.grants.get(position)).collect();
        grants.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(grants)
    }

    /// Cedar skips a policy that errors; what it says about the others is then not the whole truth.
    fn satisfied(&self, response: &Response) -> Result<Vec<usize>, String> {
        let failed: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        if !failed.is_empty() {
            return Err(failed.join("; "));
        }
        match response.decision() {
            cedar_policy::Decision::Deny => Ok(Vec::new()),
            cedar_policy::Decision::Allow => {
                Ok(response.diagnostics().reason().filter_map(|id| self.slices.grant(id)).collect())
            }
        }
    }
}

/// Windows names compare without case.
fn same_identity(grants: &[&Grant]) -> bool {
    grants.windows(2).all(|pair| match (&pair[0].windows_identity, &pair[1].windows_identity) {
        (None, None) => true,
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (None, Some(_)) | (Some(_), None) => false,
    })
}

fn policy_error(words: &str) -> Denial {
    Denial {
        code: "policy_error",
        public: "the policy could not be evaluated, so the request is denied".to_owned(),
        help: "ask the gateway's operator: the reason is in its log".to_owned(),
        grant: None,
        detail: format!("the policy could not be evaluated: {}", shown(words)),
    }
}

fn forbidden(rules: &[String], grant: &Grant) -> Denial {
    let rules = list(rules.iter().map(|rule| format!("`{rule}`")));
    Denial {
        code: "forbidden_by_policy",
        public: format!("grant `{}` allows this, but {rules} forbids it", grant.name),
        help: format!("change the rule {rules}: a `forbid` wins over every grant"),
        grant: Some(grant.name.clone()),
        detail: format!("grant `{}` (role `{}`) allows it; forbidden by {rules}", grant.name, grant.role),
    }
}

fn ambiguous(grants: &[&Grant]) -> Denial {
    let names = list(grants.iter().map(|grant| format!("`{}`", grant.name)));
    let identities = list(grants.iter().map(|grant| match &grant.windows_identity {
        Some(identity) => format!("`{}` signs in as `{identity}`", grant.name),
        None => format!("`{}` names no Windows identity", grant.name),
    }));
    Denial {
        code: "ambiguous_identity",
        public: format!("several grants allow this with different Windows identities: {names}"),
        help: format!(
            "make the conditions of the grants {names} exclude each other, or give them one `windows_identity`"
        ),
        grant: grants.first().map(|grant| grant.name.clone()),
        detail: format!("several grants allow it with different Windows identities: {identities}"),
    }
}
