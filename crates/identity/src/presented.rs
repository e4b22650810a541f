//! A token as the caller sent it.

use crate::TokenError;
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;

/// Longer tokens are refused unread.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A token as the caller sent it. No `Display`, no `Serialize`; `Debug` shows `Secret(..)`.
pub struct PresentedToken(SecretString);

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedToken(Secret(..))")
    }
}

impl PresentedToken {
    /// From the request's headers: exactly one `Authorization: Bearer`.
    ///
    /// # Errors
    /// [`TokenError::Missing`] without the header or with another scheme, [`TokenError::Repeated`] with more than one
    /// (whatever their schemes), [`TokenError::Malformed`] where the rest is not an RFC 6750 §2.1 `b64token`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, TokenError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(TokenError::Missing)?;
        let more = values.count();
        if more > 0 {
            return Err(TokenError::Repeated { count: more + 1 });
        }
        let value = value.to_str().map_err(|_| malformed("the `Authorization` header is not ASCII text"))?;
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Missing);
        }
        // RFC 9110 §11.4: one or more spaces between the scheme and the token.
        let token = rest.trim_start_matches(' ');
        if token.is_empty() {
            return Err(malformed("there is no token after `Bearer`"));
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(malformed("it is longer than 8 KiB"));
        }
        if !is_b64token(token) {
            return Err(malformed("it holds characters that no bearer token has"));
        }
        Ok(Self(SecretString::from(token)))
    }

    pub(crate) fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

fn malformed(problem: &'static str) -> TokenError {
    TokenError::Malformed { problem }
}

/// RFC 6750 §2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn from(values: &[&[u8]]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header value"));
        }
        PresentedToken::from_headers(&headers).map(|t| t.expose_secret().to_owned()).map_err(|e| e.code())
    }

    #[test]
    fn takes_exactly_one_bearer_token() {
        let long = [b"Bearer ".as_slice(), &vec![b'a'; TOKEN_BYTES_MAX]].concat();
        let too_long = [b"Bearer ".as_slice(), &vec![b'a'; TOKEN_BYTES_MAX + 1]].concat();
        assert_eq!(from(&[&long]).map(|t| t.len()), Ok(TOKEN_BYTES_MAX));
        assert_eq!(from(&[&too_long]), Err("token_malformed"));
        for (values, expected) in [
            (vec![b"Bearer a.b.c".as_slice()], Ok("a.b.c")),
            (vec![b"bEaReR  a-b._~+/c=="], Ok("a-b._~+/c==")),
            (vec![], Err("token_missing")),
            (vec![b""], Err("token_missing")),
            (vec![b"Basic dXNlcjpwYXNz"], Err("token_missing")),
            (vec![b"Negotiate YII="], Err("token_missing")),
            (vec![b"Bearera.b.c"], Err("token_missing")),
            (vec![b"Bearer\ta.b.c"], Err("token_missing")),
            (vec![b"Bearer"], Err("token_malformed")),
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
            (vec![b"Basic x", b"Bearer a.b.c"], Err("token_repeated")),
        ] {
            assert_eq!(from(&values), expected.map(str::to_owned), "{values:?}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
        let token = PresentedToken::from_headers(&headers).expect("a token");
        assert_eq!(format!("{token:?}"), "PresentedToken(Secret(..))");
    }
}
