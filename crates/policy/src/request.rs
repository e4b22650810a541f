//! An access request as Cedar sees it.

use crate::{
    AccessRequest, METHODS,
    generate::{ACTION, PRINCIPAL, ROUTE, segment_name},
    pattern,
    slices::Slices,
    text::claim_texts,
};
use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression};
use std::{str::FromStr as _, sync::LazyLock};

/// The names of the entity types, parsed once. `None` never happens (a test looks), and denies.
static TYPES: LazyLock<Option<[EntityTypeName; 3]>> = LazyLock::new(|| {
    let parse = |name| EntityTypeName::from_str(name).ok();
    Some([parse(PRINCIPAL)?, parse(ACTION)?, parse(ROUTE)?])
});

/// (principal, action, resource)
///
/// # Errors
/// Why there is none: the method is none that a policy could speak of.
pub(crate) fn entities(request: &AccessRequest<'_>) -> Result<[EntityUid; 3], String> {
    let [principal, action, route] = TYPES.as_ref().ok_or("the entity types have no names")?;
    let uid = |kind: &EntityTypeName, id: String| EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
    // Keyed by (issuer, subject), the issuer being the `iss` itself: one section of the configuration may trust several. The
    // length makes the pair unambiguous.
    let (issuer, subject) = (request.token.iss(), request.token.subject());
    Ok([
        uid(principal, format!("{}:{issuer}:{subject}", issuer.len())),
        uid(action, request.method.to_owned()),
        uid(route, request.route.to_owned()),
    ])
}

/// No server of ours knows the method, so no role allows it.
pub(crate) fn is_known_method(method: &str) -> bool {
    METHODS.contains(&method)
}

/// For the policies that grants were compiled to.
///
/// # Errors
/// Why the request can't be shown to Cedar.
pub(crate) fn for_grants(request: &AccessRequest<'_>, slices: &Slices) -> Result<Request, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let segments = pattern::split(request.path).ok_or("the path does not start with `/`")?;
    let depth = i64::try_from(segments.len()).map_err(|error| words(&error))?;
    let segments = segments
        .into_iter()
        .take(slices.segments_max)
        .enumerate()
        .map(|(position, segment)| (segment_name(position), RestrictedExpression::new_string(segment)));
    let token = request.token;
    let claims = slices.claims.iter().filter_map(|claim| {
        let values = claim_texts(token.attribute(claim)?)?.into_iter();
        let values = values.map(|value| RestrictedExpression::new_string(value.into_owned()));
        Some((claim.clone(), RestrictedExpression::new_set(values)))
    });
    let context = Context::from_pairs([
        ("issuer".to_owned(), RestrictedExpression::new_string(token.issuer().to_owned())),
        ("claims".to_owned(), RestrictedExpression::new_record(claims).map_err(|error| words(&error))?),
        ("depth".to_owned(), RestrictedExpression::new_long(depth)),
        ("segments".to_owned(), RestrictedExpression::new_record(segments).map_err(|error| words(&error))?),
    ])
    .map_err(|error| words(&error))?;
    let [principal, action, resource] = entities(request)?;
    Request::new(principal, action, resource, context, None).map_err(|error| words(&error))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_entity_types_have_names() {
        assert!(super::TYPES.is_some());
    }
}
