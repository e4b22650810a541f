//! URLs of the configuration: absolute, without user, query or fragment.

use http::Uri;

/// An absolute URL in parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_https: bool,
    /// A DNS name in lower case, or an address (IPv6 without brackets).
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `/` at least.
    pub(crate) path: String,
}

/// Why it is none, as the end of a sentence.
pub(crate) fn parse(text: &str) -> Result<Url, &'static str> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("holds characters that a URL must not have");
    }
    if text.contains(['#', '?']) {
        return Err("has a query or a fragment");
    }
    let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
    let is_https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err("does not start with `https://`"),
    };
    let authority = uri.authority().ok_or("names no host")?;
    if authority.as_str().contains('@') {
        return Err("holds a user name or password");
    }
    let host_text = authority.host();
    let port = match authority.as_str().strip_prefix(host_text) {
        Some("") => Some(if is_https { 443 } else { 80 }),
        Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0),
        None => None,
    };
    let host = host(host_text).ok_or("has no valid host")?;
    let port = port.ok_or("has no valid port")?;
    Ok(Url { is_https, host, port, path: uri.path().to_owned() })
}

/// The text without what may be a password: messages show this.
pub(crate) fn without_user(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    match text.rfind('@') {
        Some(at) if at >= start => format!("{}…{}", &text[..start], &text[at..]),
        _ => text.to_owned(),
    }
}

/// A DNS name in lower case, or an address; IPv6 loses its brackets.
pub(crate) fn host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bare {
        return address.parse::<std::net::Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (text.len() <= 253 && text.split('.').all(is_label)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_absolute_urls_apart() {
        let cases = [
            ("https://iis01.corp.example", (true, "iis01.corp.example", 443, "/")),
            ("https://IIS01.Corp.Example:8443/", (true, "iis01.corp.example", 8443, "/")),
            ("http://127.0.0.1", (false, "127.0.0.1", 80, "/")),
            ("https://[::1]:9443", (true, "::1", 9443, "/")),
            ("https://login.example/t/v2.0", (true, "login.example", 443, "/t/v2.0")),
        ];
        for (text, (is_https, host, port, path)) in cases {
            let expected = Url { is_https, host: host.into(), port, path: path.into() };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let cases = [
            ("https://u:hunter2@h/p", "https://…@h/p"),
            ("https://u:hunt@er2@h", "https://…@h"),
            ("u:hunter2@h", "…@h"),
            ("https://h/p", "https://h/p"),
        ];
        for (text, shown) in cases {
            assert_eq!(without_user(text), shown);
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        let cases = [
            "",
            "iis01",
            "/orders",
            "ftp://a",
            "https://",
            "https://a b",
            "https://user:pw@host",
            "https://a?b",
            "https://a#b",
            "https://a:",
            "https://a:0",
            "https://a:99999",
            "https://a..b",
            "https://-a",
            "https://ä.example",
            "https://[::1",
        ];
        for text in cases {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
