//! A token as the caller sent it, and the proof that it holds the token's key.

use crate::error::{Fault, TokenError, shown};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;

/// Longer tokens are refused unread, and longer proofs.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// A shorter text is found in others by chance, and a token so short could be guessed.
const TELLING_BYTES_MIN: usize = 12;
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Names under which tokens travel in queries and cookies, whatever their value looks like.
const TOKEN_NAMES: [&str; 6] =
    ["access_token", "id_token", "refresh_token", "bearer_token", "client_assertion", "authorization"];

/// How the token is presented (RFC 9110 §11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RFC 6750: whoever has it may use it.
    Bearer,
    /// RFC 9449 §7.1: with a proof of the key that it is bound to.
    Dpop,
}

/// What a route lets pass besides the one token: an app's own tokens, which are never taken for the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tolerance {
    /// Tokens in the query.
    pub query: bool,
    /// Tokens in cookies.
    pub cookie: bool,
}

/// A token as the caller sent it. No `Display`, no `Serialize`; `Debug` shows `Secret(..)`.
pub struct PresentedToken {
    pub(crate) scheme: Scheme,
    token: SecretString,
    proof: Option<SecretString>,
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedToken({:?}, Secret(..))", self.scheme)
    }
}

impl PresentedToken {
    /// From a request: exactly one `Authorization: Bearer` or `DPoP`, at most one `DPoP` proof, and no other token anywhere.
    ///
    /// # Errors
    /// `token_missing` without the header or with another scheme, `token_repeated` with more than one (whatever their
    /// schemes), `token_malformed` where the rest is not an RFC 6750 §2.1 `b64token`, `token_misplaced` with a token in the
    /// query, in a cookie or, once more, in another header.
    pub fn from_request(headers: &HeaderMap, query: Option<&str>, tolerance: Tolerance) -> Result<Self, TokenError> {
        // First: a request with a token in its query alone is told that, not that it has none.
        if !tolerance.query {
            refuse_in_query(query, |name, value| is_token_name(name) || is_jws(value))?;
        }
        if !tolerance.cookie {
            refuse_in_cookies(headers, |name, value| is_token_name(name) || is_jws(value))?;
        }
        let presented = Self::from_headers(headers)?;
        // INVARIANT: the caller's token never goes upstream, also where an app's own tokens may.
        let token = presented.expose_secret();
        if token.len() < TELLING_BYTES_MIN {
            return Ok(presented);
        }
        refuse_in_query(query, |_, value| value.contains(token))?;
        for (name, value) in headers {
            let place = if name == header::COOKIE { "cookie" } else { "header" };
            if name != header::AUTHORIZATION && contains(value, token) {
                return Err(Fault::Elsewhere { place, name: shown(name.as_str()) }.into());
            }
        }
        Ok(presented)
    }

    fn from_headers(headers: &HeaderMap) -> Result<Self, TokenError> {
        let value = only(headers, &header::AUTHORIZATION, "Authorization")?.ok_or(Fault::Missing)?;
        let value = value.to_str().map_err(|_| malformed("the `Authorization` header is not ASCII text"))?;
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        let scheme = if scheme.eq_ignore_ascii_case("bearer") {
            Scheme::Bearer
        } else if scheme.eq_ignore_ascii_case("dpop") {
            Scheme::Dpop
        } else {
            return Err(Fault::Missing.into());
        };
        // RFC 9110 §11.4: one or more spaces between the scheme and the token.
        let token = rest.trim_start_matches(' ');
        if token.is_empty() {
            return Err(malformed("there is no token after the scheme"));
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(malformed("it is longer than 8 KiB"));
        }
        if !is_b64token(token) {
            return Err(malformed("it holds characters that no bearer token has"));
        }
        let proof = only(headers, &DPOP, "DPoP")?.map(proof_text).transpose()?;
        Ok(Self { scheme, token: SecretString::from(token), proof })
    }

    /// A token alone, to be looked at by a person.
    ///
    /// # Errors
    /// As for a token in a request.
    pub(crate) fn bare(token: &str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(malformed("it is longer than 8 KiB"));
        }
        if !is_b64token(token) {
            return Err(malformed("it holds characters that no bearer token has"));
        }
        Ok(Self { scheme: Scheme::Bearer, token: SecretString::from(token), proof: None })
    }

    pub(crate) fn expose_secret(&self) -> &str {
        self.token.expose_secret()
    }

    pub(crate) fn expose_proof(&self) -> Option<&str> {
        self.proof.as_ref().map(|proof| proof.expose_secret())
    }
}

fn malformed(problem: &'static str) -> TokenError {
    Fault::Malformed { problem }.into()
}

fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    field: &'static str,
) -> Result<Option<&'a HeaderValue>, TokenError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    let more = values.count();
    if more > 0 {
        return Err(Fault::Repeated { field, count: more + 1 }.into());
    }
    Ok(first)
}

fn proof_text(value: &HeaderValue) -> Result<SecretString, TokenError> {
    let refused = |problem: &str| Fault::ProofRefused { issuer: "-".to_owned(), problem: problem.to_owned() };
    let text = value.to_str().map_err(|_| refused("the `DPoP` header is not ASCII text"))?;
    if text.len() > TOKEN_BYTES_MAX {
        return Err(refused("the `DPoP` header is longer than 8 KiB").into());
    }
    Ok(SecretString::from(text))
}

/// RFC 6750 §2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

/// As servers fold names: without case, `-` and `.` as `_`.
fn is_token_name(name: &str) -> bool {
    let folded: String =
        name.trim().chars().map(|c| if matches!(c, '-' | '.') { '_' } else { c.to_ascii_lowercase() }).collect();
    TOKEN_NAMES.contains(&folded.as_str())
}

/// Three parts, the first of them the encoding of a JSON object with an `alg`.
fn is_jws(value: &str) -> bool {
    let value = value.trim().trim_matches('"');
    let value =
        value.get(..7).filter(|start| start.eq_ignore_ascii_case("bearer ")).map_or(value, |_| value[7..].trim());
    let mut parts = value.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let decoded = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&decoded)
        .is_ok_and(|header| header.contains_key("alg"))
}

fn refuse_in_query(query: Option<&str>, is_token: impl Fn(&str, &str) -> bool) -> Result<(), TokenError> {
    let Some(query) = query else { return Ok(()) };
    match form_urlencoded::parse(query.as_bytes()).find(|(name, value)| is_token(name, value)) {
        Some((name, _)) => Err(Fault::Elsewhere { place: "query", name: shown(&name) }.into()),
        None => Ok(()),
    }
}

fn refuse_in_cookies(headers: &HeaderMap, is_token: impl Fn(&str, &str) -> bool) -> Result<(), TokenError> {
    for line in headers.get_all(header::COOKIE) {
        let line = String::from_utf8_lossy(line.as_bytes());
        for pair in line.split(';') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if is_token(name.trim(), value.trim()) {
                return Err(Fault::Elsewhere { place: "cookie", name: shown(name.trim()) }.into());
            }
        }
    }
    Ok(())
}

fn contains(value: &HeaderValue, token: &str) -> bool {
    // Linear in both: neither length nor content of what a caller sends may make this slow.
    value.len() >= token.len() && memchr::memmem::find(value.as_bytes(), token.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &[u8])], query: Option<&str>, tolerance: Tolerance) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_bytes(value).expect("a header value"));
        }
        PresentedToken::from_request(&headers, query, tolerance)
            .map(|presented| format!("{:?} {}", presented.scheme, presented.expose_secret()))
            .map_err(|error| error.code())
    }

    fn from(values: &[&[u8]]) -> Result<String, &'static str> {
        let fields: Vec<(&str, &[u8])> = values.iter().map(|value| ("authorization", *value)).collect();
        request(&fields, None, Tolerance::default())
    }

    #[test]
    fn takes_exactly_one_token() {
        let long = [b"Bearer ".as_slice(), &vec![b'a'; TOKEN_BYTES_MAX]].concat();
        let too_long = [b"Bearer ".as_slice(), &vec![b'a'; TOKEN_BYTES_MAX + 1]].concat();
        assert!(from(&[&long]).is_ok());
        assert_eq!(from(&[&too_long]), Err("token_malformed"));
        for (values, expected) in [
            (vec![b"Bearer a.b.c".as_slice()], Ok("Bearer a.b.c")),
            (vec![b"bEaReR  a-b._~+/c=="], Ok("Bearer a-b._~+/c==")),
            (vec![b"dpop a.b.c"], Ok("Dpop a.b.c")),
            (vec![], Err("token_missing")),
            (vec![b""], Err("token_missing")),
            (vec![b"Basic dXNlcjpwYXNz"], Err("token_missing")),
            (vec![b"Negotiate YII="], Err("token_missing")),
            (vec![b"Bearera.b.c"], Err("token_missing")),
            (vec![b"Bearer\ta.b.c"], Err("token_missing")),
            (vec![b"Bearer"], Err("token_malformed")),
            (vec![b"DPoP"], Err("token_malformed")),
            (vec![b"Bearer   "], Err("token_malformed")),
            (vec![b"Bearer ==="], Err("token_malformed")),
            (vec![b"Bearer a=b"], Err("token_malformed")),
            (vec![b"Bearer a b"], Err("token_malformed")),
            (vec![b"Bearer a.b.c, Bearer d.e.f"], Err("token_malformed")),
            (vec![b"Bearer a.b.c,Basic x"], Err("token_malformed")),
            (vec![b"Bearer \"a.b.c\""], Err("token_malformed")),
            (vec![b"Bearer a.b.c\xff"], Err("token_malformed")),
            (vec![b"Bearer a.b.c", b"Bearer a.b.c"], Err("token_repeated")),
            (vec![b"Bearer a.b.c", b"Basic x"], Err("token_repeated")),
            (vec![b"Bearer a.b.c", b"DPoP a.b.c"], Err("token_repeated")),
            (vec![b"Basic x", b"Bearer a.b.c"], Err("token_repeated")),
        ] {
            assert_eq!(from(&values), expected.map(str::to_owned), "{values:?}");
        }
    }

    /// The encoding of `{"alg":"x"}`.
    const JWS: &str = "eyJhbGciOiJ4In0.e30.c2ln";

    #[test]
    fn refuses_tokens_in_the_query() {
        for (query, expected) in [
            ("access_token=x".to_owned(), false),
            ("a=1&Access-Token=x".to_owned(), false),
            ("a=1&%61ccess%5Ftoken=x".to_owned(), false),
            ("id_token".to_owned(), false),
            (format!("t={JWS}"), false),
            (format!("t=Bearer+{JWS}"), false),
            (format!("t={}", JWS.replace('.', "%2E")), false),
            ("t=secret-token".to_owned(), false),
            ("t=not%20the%20token".to_owned(), true),
            ("page_token=abc&version=1.2.3".to_owned(), true),
            ("access_tokens=7".to_owned(), true),
        ] {
            let bearer: &[(&str, &[u8])] = &[("authorization", b"Bearer secret-token")];
            let got = request(bearer, Some(&query), Tolerance::default());
            assert_eq!(got.is_ok(), expected, "{query}: {got:?}");
            assert!(expected || got == Err("token_misplaced"), "{query}");
            let alone = request(&[], Some(&query), Tolerance::default());
            assert!(alone == Err("token_misplaced") || alone == Err("token_missing"), "{query}");
        }
        let tolerant = Tolerance { query: true, cookie: false };
        let bearer: &[(&str, &[u8])] = &[("authorization", b"Bearer secret-token")];
        assert!(request(bearer, Some(&format!("t={JWS}")), tolerant).is_ok(), "an app's own token");
        assert_eq!(request(bearer, Some("t=x-secret-token"), tolerant), Err("token_misplaced"), "the caller's token");
        assert_eq!(request(&[], Some("access_token=x"), tolerant), Err("token_missing"), "never taken as the caller's");
    }

    #[test]
    fn refuses_tokens_in_cookies_and_other_headers() {
        let bearer = ("authorization", b"Bearer secret-token".as_slice());
        let session = format!("theme=dark; session={JWS}");
        for (field, value, expected) in [
            ("cookie", "theme=dark; lang=en", Ok(())),
            ("cookie", "ACCESS_TOKEN=x", Err("token_misplaced")),
            ("cookie", session.as_str(), Err("token_misplaced")),
            ("cookie", "a=\"secret-token\"", Err("token_misplaced")),
            ("x-access", "secret-token", Err("token_misplaced")),
            ("x-access", "Bearer secret-token", Err("token_misplaced")),
            ("x-access", "another-token", Ok(())),
        ] {
            let got = request(&[bearer, (field, value.as_bytes())], None, Tolerance::default());
            assert_eq!(got.map(|_| ()), expected, "{field}: {value}");
        }
        let tolerant = Tolerance { query: false, cookie: true };
        assert!(request(&[bearer, ("cookie", session.as_bytes())], None, tolerant).is_ok(), "an app's own session");
        assert_eq!(request(&[bearer, ("cookie", b"a=secret-token")], None, tolerant), Err("token_misplaced"));
        assert_eq!(request(&[("cookie", session.as_bytes())], None, tolerant), Err("token_missing"));
    }

    #[test]
    fn takes_at_most_one_proof() {
        let token = ("authorization", b"DPoP a.b.c".as_slice());
        assert!(request(&[token, ("dpop", b"d.e.f")], None, Tolerance::default()).is_ok());
        assert_eq!(
            request(&[token, ("dpop", b"d.e.f"), ("dpop", b"d.e.f")], None, Tolerance::default()),
            Err("token_repeated")
        );
        let long = vec![b'a'; TOKEN_BYTES_MAX + 1];
        assert_eq!(request(&[token, ("dpop", &long)], None, Tolerance::default()), Err("proof_refused"));
    }

    #[test]
    fn debug_shows_no_token() {
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("DPoP s3cret"));
        headers.append(DPOP, HeaderValue::from_static("pr00f"));
        let token = PresentedToken::from_request(&headers, None, Tolerance::default()).expect("a token");
        assert_eq!(format!("{token:?}"), "PresentedToken(Dpop, Secret(..))");
    }
}
