//! Cedar files beside the configuration: `forbid` rules, checked against a schema, that win over any grant.

use crate::{
    AccessRequest, METHODS, PolicyError, PolicyFile,
    generate::segment_name,
    pattern, request,
    text::{claim_text, claim_texts, shown},
};
use cedar_policy::{
    Authorizer, Context, Effect, Entities, Entity, Policy, PolicyId, PolicySet, Request, RestrictedExpression, Schema,
    ValidationMode, Validator,
};
use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr as _,
};

/// The rules of all files, in one set.
pub(crate) struct Forbids {
    policies: PolicySet,
    /// Policy id -> `rules.cedar: policy0`, or its `@id`.
    names: HashMap<PolicyId, String>,
}

/// What a rule may look at. Attributes that are no lists are tags: `principal.hasTag("dag_id") && principal.getTag("dag_id")
/// == "…"`; of lists, rules see `roles`.
fn schema_text() -> String {
    let actions: Vec<String> = METHODS.iter().map(|method| format!("\"{method}\"")).collect();
    format!(
        "namespace Airgate {{
            entity Principal = {{ issuer: String, subject: String, assurance: String, roles: Set<String> }} tags String;
            entity Route;
            action {} appliesTo {{
                principal: Principal, resource: Route,
                context: {{ path: String, depth: Long, segments: Segments }}
            }};
            type Segments = {{ {} }};
        }}",
        actions.join(", "),
        (0..SEGMENTS).map(|at| format!("{}?: String", segment_name(at))).collect::<Vec<_>>().join(", "),
    )
}

/// How many segments of a path rules can look at one by one; `context.path` holds all of it.
const SEGMENTS: usize = 16;

/// `None` without any rule. What is wrong is added to `errors`.
pub(crate) fn read(files: Vec<PolicyFile>, errors: &mut Vec<PolicyError>) -> Option<Forbids> {
    let mut forbids = Forbids { policies: PolicySet::new(), names: HashMap::new() };
    for file in &files {
        read_file(file, &mut forbids, errors);
    }
    if forbids.names.is_empty() {
        return None;
    }
    match Schema::from_cedarschema_str(&schema_text()) {
        Ok((schema, _)) => validate(&Validator::new(schema), &forbids, errors),
        Err(error) => errors.push(PolicyError {
            place: "policy files".to_owned(),
            message: format!("the schema for policy files is broken: {error}"),
            help: "report this: it is a fault of the gateway".to_owned(),
        }),
    }
    Some(forbids)
}

fn read_file(file: &PolicyFile, forbids: &mut Forbids, errors: &mut Vec<PolicyError>) {
    let set = match PolicySet::from_str(&file.text) {
        Ok(set) => set,
        Err(error) => {
            errors.push(PolicyError {
                place: file.name.clone(),
                message: format!("is not valid Cedar: {error}"),
                help: "see https://docs.cedarpolicy.com for the syntax".to_owned(),
            });
            return;
        }
    };
    if set.templates().next().is_some() {
        errors.push(PolicyError {
            place: file.name.clone(),
            message: "holds a template (`?principal` or `?resource`)".to_owned(),
            help: "write the rule without slots: nothing here would fill them".to_owned(),
        });
    }
    // Cedar numbers the policies of a file; sorted, messages come in the file's order.
    let rules: BTreeMap<(usize, String), &Policy> =
        set.policies().map(|rule| ((rule.id().to_string().len(), rule.id().to_string()), rule)).collect();
    for ((_, id), rule) in rules {
        let name = rule.annotation("id").map_or_else(|| format!("{}: {id}", file.name), str::to_owned);
        if rule.effect() == Effect::Permit {
            errors.push(PolicyError {
                place: format!("{}: {id}", file.name),
                message: "holds a `permit`".to_owned(),
                help: "say it with a grant and a role: a permit without a grant has no Windows identity".to_owned(),
            });
            continue;
        }
        let unique = PolicyId::new(format!("{}\u{0}{id}", file.name));
        if forbids.policies.add(rule.new_id(unique.clone())).is_err() {
            errors.push(PolicyError {
                place: file.name.clone(),
                message: "is listed twice".to_owned(),
                help: "list each policy file once".to_owned(),
            });
            return;
        }
        forbids.names.insert(unique, name);
    }
}

fn validate(validator: &Validator, forbids: &Forbids, errors: &mut Vec<PolicyError>) {
    let result = validator.validate(&forbids.policies, ValidationMode::Strict);
    for error in result.validation_errors() {
        let place = forbids.names.get(error.policy_id()).cloned().unwrap_or_else(|| "policy files".to_owned());
        errors.push(PolicyError {
            place,
            message: error.to_string().replace('\u{0}', ": "),
            help: "rules can use `Airgate::Action::\"GET\"`, `Airgate::Route::\"…\"`, `principal.issuer`, `.subject`, \
                   `.assurance`, `.roles`, claims as `principal.getTag(\"…\")`, `context.path`, `.depth`, `.segments.s0`"
                .to_owned(),
        });
    }
}

/// What the rules say about a request.
pub(crate) enum Verdict {
    /// No rule forbids it.
    Silent,
    /// These do.
    Forbidden(Vec<String>),
    /// Cedar skips a rule that errors, so a `forbid` may have been skipped.
    Failed(String),
}

impl Forbids {
    pub(crate) fn judge(&self, authorizer: &Authorizer, access: &AccessRequest<'_>) -> Verdict {
        let (request, entities) = match as_cedar(access) {
            Ok(both) => both,
            Err(words) => return Verdict::Failed(words),
        };
        let response = authorizer.is_authorized(&request, &self.policies, &entities);
        let failed: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        if !failed.is_empty() {
            return Verdict::Failed(failed.join("; ").replace('\u{0}', ": "));
        }
        let mut rules: Vec<String> =
            response.diagnostics().reason().filter_map(|id| self.names.get(id)).map(|name| shown(name)).collect();
        rules.sort();
        if rules.is_empty() { Verdict::Silent } else { Verdict::Forbidden(rules) }
    }
}

fn as_cedar(access: &AccessRequest<'_>) -> Result<(Request, Entities), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let token = access.token;
    let segments = pattern::split(access.path).ok_or("the path does not start with `/`")?;
    let depth = i64::try_from(segments.len()).map_err(|error| words(&error))?;
    let segments = segments.iter().take(SEGMENTS).enumerate().map(|(at, segment)| (segment_name(at), text(segment)));
    let context = Context::from_pairs([
        ("path".to_owned(), text(&access.path.to_ascii_lowercase())),
        ("depth".to_owned(), RestrictedExpression::new_long(depth)),
        ("segments".to_owned(), RestrictedExpression::new_record(segments).map_err(|error| words(&error))?),
    ])
    .map_err(|error| words(&error))?;
    let [principal, action, resource] = request::entities(access)?;
    let attributes = [("issuer", token.issuer()), ("subject", token.subject()), ("assurance", token.assurance())];
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), text(value)));
    let roles = token.attribute("roles").and_then(claim_texts).unwrap_or_default();
    let roles = RestrictedExpression::new_set(roles.iter().map(|role| text(role)));
    let attributes = attributes.chain([("roles".to_owned(), roles)]);
    let tags = token.attributes().filter_map(|(name, value)| Some((name.to_owned(), text(&claim_text(value)?))));
    let entity = Entity::new_with_tags(principal.clone(), attributes, [], tags).map_err(|error| words(&error))?;
    let entities = Entities::from_entities([entity], None).map_err(|error| words(&error))?;
    let request = Request::new(principal, action, resource, context, None).map_err(|error| words(&error))?;
    Ok((request, entities))
}
