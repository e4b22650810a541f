//! From an issuer's name to its key set's address: OpenID Connect Discovery 1.0 §4, RFC 8414 §3.

use crate::{error::shown, http_client::Target, json::strict_object};
use serde_json::Value;

/// Where a discovery document may be, in the order in which they are tried.
///
/// # Errors
/// Why the name can't be made into an address.
pub(crate) fn addresses(issuer: &str, danger_allow_http: bool) -> Result<[Target; 2], &'static str> {
    let parse = |url: &str| Target::parse(url, danger_allow_http);
    if issuer.contains(['?', '#']) {
        return Err("an issuer's name has no query and no fragment");
    }
    parse(issuer)?;
    let base = issuer.trim_end_matches('/');
    // OpenID Connect Discovery §4.1: appended to the issuer, after a terminating slash is removed.
    let appended = format!("{base}/.well-known/openid-configuration");
    // RFC 8414 §3.1: inserted between the host and the path.
    let path_at = base.find("://").map(|at| at + 3).and_then(|start| base[start..].find('/').map(|at| start + at));
    let (origin, path) = base.split_at(path_at.unwrap_or(base.len()));
    let inserted = format!("{origin}/.well-known/oauth-authorization-server{path}");
    Ok([parse(&appended)?, parse(&inserted)?])
}

/// What of a discovery document is used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) issuer: String,
    pub(crate) jwks_uri: String,
}

/// # Errors
/// What is wrong with the document. `expected`: the issuer's names; an Entra ID document for many tenants has a template.
pub(crate) fn read(body: &[u8], expected: &[String]) -> Result<Document, String> {
    let document = strict_object(body).ok_or("the discovery document is not a JSON object, or has a member twice")?;
    let text = |name: &str| match document.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(format!("the discovery document's `{name}` is not a text")),
        None => Err(format!("the discovery document has no `{name}`")),
    };
    let issuer = text("issuer")?;
    // OpenID Connect Discovery §4.3, RFC 8414 §3.3: identical, or the document must not be used.
    if !expected.contains(&issuer) {
        return Err(format!(
            "the discovery document is that of another issuer: it says {}, `url` is {}",
            shown(&issuer),
            expected.iter().map(|name| shown(name)).collect::<Vec<_>>().join(" or "),
        ));
    }
    Ok(Document { issuer, jwks_uri: text("jwks_uri")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_where_the_standards_put_them() {
        for (issuer, appended, inserted) in [
            (
                "https://id.example",
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example/",
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example:8443/realms/prod",
                "https://id.example:8443/realms/prod/.well-known/openid-configuration",
                "https://id.example:8443/.well-known/oauth-authorization-server/realms/prod",
            ),
        ] {
            let found = addresses(issuer, false).expect("addresses").map(|target| target.url());
            assert_eq!(found, [appended, inserted], "{issuer}");
        }
        for issuer in ["http://id.example", "id.example", "https://id.example?x=1", "https://a@id.example"] {
            assert!(addresses(issuer, false).is_err(), "{issuer}");
        }
    }

    #[test]
    fn a_document_of_another_issuer_is_refused() {
        let expected = ["https://id.example".to_owned()];
        let good = br#"{"issuer":"https://id.example","jwks_uri":"https://id.example/keys"}"#;
        assert_eq!(read(good, &expected).map(|document| document.jwks_uri), Ok("https://id.example/keys".to_owned()));
        for (body, part) in [
            (r#"{"issuer":"https://id.example/","jwks_uri":"https://id.example/keys"}"#, "another issuer"),
            (r#"{"issuer":"https://evil.example","jwks_uri":"https://id.example/keys"}"#, "another issuer"),
            (r#"{"issuer":7,"jwks_uri":"x"}"#, "`issuer` is not a text"),
            (r#"{"jwks_uri":"x"}"#, "no `issuer`"),
            (r#"{"issuer":"https://id.example"}"#, "no `jwks_uri`"),
            (r#"{"issuer":"https://id.example","jwks_uri":[]}"#, "`jwks_uri` is not a text"),
            (r#"{"issuer":"https://id.example","issuer":"https://id.example","jwks_uri":"x"}"#, "a member twice"),
            ("<html>", "not a JSON object"),
        ] {
            let error = read(body.as_bytes(), &expected).expect_err(body);
            assert!(error.contains(part), "{body}: {error}");
        }
    }
}
