//! Host and port of a URL, in their one form.

use http::uri::Authority;

/// RFC 3986 §6.2.2.1, §6.2.3: the host without case, and the port, which may be left out where it is the scheme's. `None`
/// where what follows the host is no port, or a user's name comes before it.
pub(crate) fn host_and_port(authority: &Authority, is_https: bool) -> Option<(String, u16)> {
    let host = authority.host();
    let port = match authority.as_str().strip_prefix(host)? {
        "" | ":" if is_https => 443,
        "" | ":" => 80,
        port => port.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?,
    };
    Some((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_the_schemes_own() {
        for (authority, expected) in [
            ("gw.example", Some(("gw.example", 443))),
            ("GW.Example:", Some(("gw.example", 443))),
            ("gw.example:0443", Some(("gw.example", 443))),
            ("gw.example:8443", Some(("gw.example", 8443))),
            ("[::1]:8443", Some(("[::1]", 8443))),
            ("gw.example:443x", None),
            ("gw.example:65979", None),
            ("gw.example:-1", None),
            ("user@gw.example", None),
            ("gw.example:8443@evil.example", None),
        ] {
            let parsed = authority.parse().expect("an authority");
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_and_port(&parsed, true), expected, "{authority}");
        }
        let parsed = "gw.example".parse().expect("an authority");
        assert_eq!(host_and_port(&parsed, false), Some(("gw.example".to_owned(), 80)));
    }
}
