//! Stage 2: host and canonical path to a route.

use crate::{
    config::{Accepts, Limits, Match, RouteConfig},
    path::CanonicalPath,
    refusal::Refusal,
    upstream::Upstream,
};
use airgate_identity::{Expectation, RequestTarget, Verifier};
use http::{Method, Uri, Version, header, request::Parts};
use std::{collections::HashMap, sync::Arc};

/// A route with its upstream.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) accepts: Expectation,
    /// Its own path; empty where it is by host.
    pub(crate) prefix: String,
    /// (scheme, host and port) as callers know them, where requests do not say so.
    origin: Option<(String, String)>,
}

impl Route {
    /// Scheme, and host with port, by which the caller reached this route.
    pub(crate) fn origin<'a>(&'a self, scheme: &'a str, authority: &'a str) -> (&'a str, &'a str) {
        self.origin.as_ref().map_or((scheme, authority), |(scheme, authority)| (scheme, authority))
    }
}

fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_owned()))
}

/// All routes: one look-up by host, then by the longest path. Its cost does not grow with the number of hosts.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    hosts: HashMap<String, Arc<Route>>,
    /// Longest first.
    paths: Vec<(String, Arc<Route>)>,
}

impl RouteTable {
    /// The first name of an upstream or issuer that there is none of, as an error: (route, what, name).
    pub(crate) fn new(
        routes: &[RouteConfig],
        upstreams: &[Arc<Upstream>],
        verifier: &Verifier,
    ) -> Result<Self, (String, &'static str, String)> {
        let mut table = Self::default();
        for route in routes {
            let upstream = upstreams
                .iter()
                .find(|u| u.name == route.upstream)
                .ok_or_else(|| (route.name.clone(), "upstream", route.upstream.clone()))?;
            let entry = Arc::new(Route {
                name: route.name.clone(),
                upstream: Arc::clone(upstream),
                accepts: expectation(verifier, &route.accepts).map_err(|name| (route.name.clone(), "issuer", name))?,
                prefix: match &route.matches {
                    Match::Host(_) => String::new(),
                    Match::Path(prefix) => prefix.trim_end_matches('/').to_owned(),
                },
                origin: route.accepts.origin.as_deref().and_then(origin),
            });
            match &route.matches {
                Match::Host(host) => {
                    table.hosts.insert(host.to_ascii_lowercase(), entry);
                }
                Match::Path(_) => table.paths.push((entry.prefix.clone(), entry)),
            }
        }
        table.paths.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(table)
    }

    fn find(&self, host: &str, path: &CanonicalPath) -> Option<&Arc<Route>> {
        self.hosts
            .get(host)
            .or_else(|| self.paths.iter().find(|(prefix, _)| covers(prefix, path.as_str())).map(|(_, r)| r))
    }

    /// The route whose own path this is, neither more nor less.
    pub(crate) fn exactly(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        match self.hosts.get(host) {
            Some(route) => Some(route).filter(|_| path.is_empty()),
            None => self.paths.iter().find(|(prefix, _)| prefix == path).map(|(_, route)| route),
        }
    }
}

fn expectation(verifier: &Verifier, accepts: &Accepts) -> Result<Expectation, String> {
    let mut expected = verifier.expect(accepts.issuers.as_deref())?;
    expected.proof = accepts.proof;
    expected.dpop_nonce = accepts.dpop_nonce;
    expected.tolerance = accepts.app_tokens;
    Ok(expected)
}

/// Whole segments, without case: IIS has none either.
fn covers(prefix: &str, path: &str) -> bool {
    let (Some(head), Some(rest)) = (path.get(..prefix.len()), path.get(prefix.len()..)) else { return false };
    head.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with('/'))
}

/// A request whose target is canonical and known. Made only by [`route`]; what it holds is what is decided and sent.
#[derive(Debug)]
pub struct Routed {
    route: Arc<Route>,
    host: String,
    authority: String,
    method: Method,
    path: CanonicalPath,
    query: Option<String>,
}

impl Routed {
    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.route
    }
    /// Host and port, as the caller named them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
    /// The URL that the caller meant, without its query.
    pub(crate) fn target<'a>(&'a self, scheme: &'a str) -> RequestTarget<'a> {
        let (scheme, authority) = self.route.origin(scheme, &self.authority);
        RequestTarget { scheme, authority, path: self.path.as_str() }
    }
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }
    pub(crate) fn path(&self) -> &CanonicalPath {
        &self.path
    }
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// # Errors
/// A target, host or method that is refused, or no route for it.
pub(crate) fn route(table: &RouteTable, limits: &Limits, head: &Parts) -> Result<Routed, Refusal> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodRefused(head.method.to_string()));
    }
    let target = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    if target.len() > limits.uri_bytes_max {
        return Err(Refusal::TargetTooLong { bytes: target.len(), max: limits.uri_bytes_max });
    }
    // HTTP's own parser stops reading somewhere beyond the limit; this is the limit.
    let bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.header_bytes_max {
        return Err(Refusal::HeadersTooLarge { bytes, max: limits.header_bytes_max });
    }
    let (host, authority) = host(head)?;
    let path = CanonicalPath::parse(head.uri.path()).map_err(Refusal::Path)?;
    let query = head.uri.query().map(str::to_owned);
    if query.as_ref().is_some_and(|q| !q.bytes().all(|b| b.is_ascii_graphic())) {
        return Err(Refusal::BadTarget("the query holds a character that must be percent-encoded"));
    }
    let route = table.find(&host, &path).ok_or_else(|| Refusal::RouteUnknown(host.clone()))?;
    Ok(Routed { route: Arc::clone(route), host, authority, method: head.method.clone(), path, query })
}

/// The one host that the request names: lower case, without port; and as it was named.
pub(crate) fn host(head: &Parts) -> Result<(String, String), Refusal> {
    let mut named = head.headers.get_all(header::HOST).iter();
    let field = named.next().map(|v| v.to_str().map_err(|_| Refusal::BadHost("it is not ASCII"))).transpose()?;
    if named.next().is_some() {
        return Err(Refusal::BadHost("there is more than one `Host`"));
    }
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let value = match (head.version, authority, field) {
        // RFC 9113 §8.3.1: a `Host` that differs from `:authority` is two answers to one question.
        (Version::HTTP_2, Some(a), None) => a,
        (Version::HTTP_2, Some(a), Some(h)) if a.eq_ignore_ascii_case(h) => a,
        (Version::HTTP_2, Some(_), Some(_)) => return Err(Refusal::BadHost("`Host` and `:authority` differ")),
        (_, Some(_), _) => return Err(Refusal::BadTarget("it is in absolute form; send the path alone, and `Host`")),
        (_, None, Some(h)) => h,
        (_, None, None) => return Err(Refusal::BadHost("there is none")),
    };
    let parsed: http::uri::Authority = value.parse().map_err(|_| Refusal::BadHost("it is not a host and port"))?;
    if value.contains('@') || parsed.host().is_empty() {
        return Err(Refusal::BadHost("it is not a host and port"));
    }
    Ok((parsed.host().to_ascii_lowercase(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_routes_take_whole_segments() {
        assert!(covers("/orders", "/orders") && covers("/orders", "/Orders/7") && covers("", "/x"));
        assert!(!covers("/orders", "/orders2") && !covers("/orders", "/order") && !covers("/orders", "/x/orders"));
    }

    fn head(version: Version, uri: &str, hosts: &[&str]) -> Parts {
        let mut request = http::Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn exactly_one_host() {
        let ok = |v, uri, hosts: &[&str]| host(&head(v, uri, hosts)).ok().map(|(host, _)| host);
        assert_eq!(ok(Version::HTTP_11, "/", &["Orders.Example:8443"]).as_deref(), Some("orders.example"));
        assert_eq!(ok(Version::HTTP_2, "https://orders.example/", &[]).as_deref(), Some("orders.example"));
        assert_eq!(
            ok(Version::HTTP_2, "https://orders.example/", &["orders.example"]).as_deref(),
            Some("orders.example")
        );
        for (version, uri, hosts) in [
            (Version::HTTP_11, "/", &[][..]),
            (Version::HTTP_11, "/", &["a", "b"][..]),
            (Version::HTTP_11, "/", &["a", "a"][..]),
            (Version::HTTP_11, "/", &["user@a"][..]),
            (Version::HTTP_11, "/", &["a/b"][..]),
            (Version::HTTP_11, "/", &[""][..]),
            (Version::HTTP_11, "http://a/", &["a"][..]),
            (Version::HTTP_2, "https://a/", &["b"][..]),
        ] {
            assert_eq!(ok(version, uri, hosts), None, "{version:?} {uri} {hosts:?}");
        }
    }
}
