//! Which header fields cross the gateway. Nothing that a caller says about identity survives; ours are set last.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The request id, to the upstream (IIS logs it as a custom field).
pub(crate) const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-airgate-request-id");
/// The request id, to the caller.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("airgate-request-id");
/// The index of the request's entry in the audit log, to the caller.
pub(crate) const ENTRY: HeaderName = HeaderName::from_static("airgate-entry");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// RFC 9110 §7.6.1, and what proxies in the field treat alike.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Folded names that say who the caller is, or where it came from, in some product of the field.
const IDENTITY: [&str; 10] = [
    "authorization",
    "dpop",
    "forwarded",
    "remote-user",
    "auth-user",
    "logon-user",
    "via",
    "true-client-ip",
    "client-ip",
    "ssl-client-cert",
];

/// Folded prefixes of the same.
const IDENTITY_PREFIXES: [&str; 14] = [
    "airgate-",
    "x-airgate-",
    "x-forwarded",
    "x-original-",
    "x-rewrite-",
    "x-remote-",
    "x-real-ip",
    "x-client-",
    "x-iis-",
    "x-arr-",
    "x-ms-client-principal",
    "x-ms-token-",
    "ms-aspnetcore-",
    "x-auth-",
];

/// How servers behind us may fold a name: CGI and IIS turn `-` into `_`, so `X_Foo`, `X.Foo` and `X-Foo` are one.
fn fold(name: &HeaderName) -> String {
    name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn speaks_of_identity(name: &HeaderName) -> bool {
    let folded = fold(name);
    IDENTITY.contains(&folded.as_str()) || IDENTITY_PREFIXES.iter().any(|p| folded.starts_with(p))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|n| HeaderName::from_bytes(n.trim().as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// What the upstream is told about where a request came from.
pub(crate) struct Origin<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) peer_ip: std::net::IpAddr,
    pub(crate) scheme: &'static str,
    pub(crate) host: &'a str,
}

/// A caller's fields made fit for the upstream: hop-by-hop fields, framing, identity and its aliases removed, ours set.
pub(crate) fn to_upstream(mut headers: HeaderMap, origin: &Origin<'_>) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    let aliases: Vec<HeaderName> = headers.keys().filter(|n| speaks_of_identity(n)).cloned().collect();
    for name in &aliases {
        headers.remove(name);
    }
    // The body is re-framed by our own client; `Expect` has been answered by our own server.
    for name in [header::CONTENT_LENGTH, header::HOST, header::EXPECT] {
        headers.remove(name);
    }
    // Ours come last, after `Connection` had its say: nothing of the caller's can remove them.
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(UPSTREAM_REQUEST_ID, origin.request_id);
    set(FORWARDED_FOR, &origin.peer_ip.to_string());
    set(FORWARDED_PROTO, origin.scheme);
    set(FORWARDED_HOST, origin.host);
    headers
}

/// An upstream's fields made fit for the caller: hop-by-hop fields, sign-in traffic and names of ours removed.
pub(crate) fn to_downstream(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|n| {
            let folded = fold(n);
            folded.starts_with("airgate-") || folded.starts_with("x-airgate-")
        })
        .cloned()
        .collect();
    for name in &ours {
        headers.remove(name);
    }
    for name in [header::WWW_AUTHENTICATE, header::ALT_SVC] {
        headers.remove(name);
    }
    headers.remove("dpop-nonce");
    headers.remove("persistent-auth");
    headers.remove("authentication-info");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let origin =
            Origin { request_id: "id-1", peer_ip: [192, 0, 2, 1].into(), scheme: "https", host: "orders.example" };
        to_upstream(headers, &origin)
    }

    #[test]
    fn no_alias_of_an_identity_field_survives() {
        for name in [
            "X-Airgate-Request-Id",
            "x_airgate_request_id",
            "X.Airgate.Request.Id",
            "x-airgate_request-id",
            "Airgate-Entry",
            "airgate_user",
            "Authorization",
            "DPoP",
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded-User",
            "X-Forwarded-Host",
            "Forwarded",
            "X-Original-URL",
            "X_Original_URL",
            "X-Rewrite-Url",
            "Remote-User",
            "REMOTE_USER",
            "X-Remote-User",
            "X-IIS-WindowsAuthToken",
            "MS-ASPNETCORE-TOKEN",
            "MS_ASPNETCORE_WINAUTHTOKEN",
            "X-MS-Client-Principal-Name",
            "X-ARR-ClientCert",
            "X-Real-IP",
            "X-Client-Cert",
            "X-Auth-User",
            "Via",
            "Proxy-Authorization",
            "Auth-User",
            "LOGON_USER",
        ] {
            let out = cleaned(&[(name, "evil"), (name, "evil"), ("accept", "*/*")]);
            assert!(!out.values().any(|v| v == "evil"), "{name}: {out:?}");
            assert_eq!(out.get("accept").unwrap(), "*/*");
            assert_eq!(out.get_all(UPSTREAM_REQUEST_ID).iter().count(), 1);
        }
    }

    #[test]
    fn connection_cannot_remove_ours() {
        let out =
            cleaned(&[("connection", "close, X-Airgate-Request-Id, x-forwarded-for, x-secret"), ("x-secret", "s")]);
        assert_eq!(out.get(UPSTREAM_REQUEST_ID).unwrap(), "id-1");
        assert_eq!(out.get("x-forwarded-for").unwrap(), "192.0.2.1");
        assert!(out.get("x-secret").is_none() && out.get("connection").is_none());
    }

    #[test]
    fn framing_is_ours() {
        let out = cleaned(&[
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("host", "x"),
            ("upgrade", "h2c"),
        ]);
        for name in ["content-length", "transfer-encoding", "te", "expect", "host", "upgrade"] {
            assert!(out.get(name).is_none(), "{name}");
        }
    }

    #[test]
    fn sign_in_traffic_stays_inside() {
        let mut headers = HeaderMap::new();
        for name in [
            "www-authenticate",
            "persistent-auth",
            "dpop-nonce",
            "airgate-entry",
            "x_airgate_x",
            "connection",
            "alt-svc",
            "content-type",
        ] {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
        }
        to_downstream(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("content-type"));
    }
}
