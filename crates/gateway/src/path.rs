//! One spelling for each path: what policy decides on is, byte for byte, what IIS receives.

/// A path in its only accepted spelling. Made only by [`CanonicalPath::parse`].
///
/// Refused rather than rewritten is everything that some server reads as another path: dot segments, empty segments,
/// backslashes, path parameters, encoded separators, encodings of what needs none, double encodings, overlong UTF-8,
/// trailing dots and spaces, 8.3 short names, alternate data streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath(String);

/// Why a path is not canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not of the form `/…`.
    #[error("the path must start with `/`")]
    NotAbsolute,
    /// `//`.
    #[error("the path has an empty segment (`//`)")]
    EmptySegment,
    /// `.` or `..`, however spelt.
    #[error("the path has a dot segment (`.` or `..`)")]
    DotSegment,
    /// `report.` is `report` to Windows.
    #[error("a segment of the path ends in a dot or a space, which Windows cuts off")]
    TrailingDotOrSpace,
    /// `PROGRA~1`.
    #[error("a segment of the path looks like an 8.3 short name (`~` and a digit)")]
    ShortName,
    /// A character that has no place in a path to IIS, raw or encoded.
    #[error("the path holds `{0}`, raw or encoded, which servers read in different ways")]
    Forbidden(char),
    /// A control character or NUL, raw or encoded.
    #[error("the path holds a control character")]
    Control,
    /// `%` without two hexadecimal digits after it.
    #[error("the path holds a `%` that is not followed by two hexadecimal digits")]
    BadEncoding,
    /// `%2e`, `%41`, `%c3`: a character that needs no encoding, or lower-case digits.
    #[error("the path encodes a character that needs no encoding, or with lower-case digits")]
    NeedlessEncoding,
    /// The decoded bytes are not UTF-8 (overlong forms included).
    #[error("the path is not UTF-8 once decoded")]
    NotUtf8,
}

impl CanonicalPath {
    /// # Errors
    /// The first reason why `raw` is not canonical.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let rest = raw.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let mut segments = rest.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() {
                // One trailing slash is a path of its own; anything else empty is not.
                if segments.peek().is_none() {
                    break;
                }
                return Err(PathError::EmptySegment);
            }
            check_segment(segment)?;
        }
        Ok(Self(raw.to_owned()))
    }

    /// The path, as decided and as sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    let mut decoded = Vec::with_capacity(segment.len());
    let bytes = segment.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'%' {
            decoded.push(decode(bytes.get(at + 1), bytes.get(at + 2))?);
            at += 3;
        } else {
            check_raw(byte)?;
            decoded.push(byte);
            at += 1;
        }
    }
    let text = std::str::from_utf8(&decoded).map_err(|_| PathError::NotUtf8)?;
    // U+0080 to U+009F are control characters too; U+FF0E, U+FF0F, U+FF3C become `.`, `/`, `\` in best-fit mappings.
    if let Some(odd) = text.chars().find(|c| c.is_control() || matches!(c, '\u{FF0E}' | '\u{FF0F}' | '\u{FF3C}')) {
        return Err(if odd.is_control() { PathError::Control } else { PathError::Forbidden(odd) });
    }
    if text == "." || text == ".." {
        return Err(PathError::DotSegment);
    }
    if text.ends_with(['.', ' ']) {
        return Err(PathError::TrailingDotOrSpace);
    }
    if decoded.windows(2).any(|pair| pair[0] == b'~' && pair[1].is_ascii_digit()) {
        return Err(PathError::ShortName);
    }
    Ok(())
}

/// What may stand in a path as it is: RFC 3986 `pchar` without `;`, `:` and `*`.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=@".contains(&byte)
}

fn check_raw(byte: u8) -> Result<(), PathError> {
    if is_plain(byte) {
        return Ok(());
    }
    Err(if byte.is_ascii_control() || !byte.is_ascii() {
        PathError::Control
    } else {
        PathError::Forbidden(char::from(byte))
    })
}

fn decode(high: Option<&u8>, low: Option<&u8>) -> Result<u8, PathError> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let (Some(h), Some(l)) = (digit(high), digit(low)) else { return Err(PathError::BadEncoding) };
    let byte = h << 4 | l;
    if byte.is_ascii_control() {
        return Err(PathError::Control);
    }
    // `%25` is how a second decoding would start; IIS refuses it too (`allowDoubleEscaping=false`).
    if b"/\\%?#;:*<>|\"".contains(&byte) {
        return Err(PathError::Forbidden(char::from(byte)));
    }
    let upper = [high, low].into_iter().flatten().all(|b| !b.is_ascii_lowercase());
    if is_plain(byte) || !upper {
        return Err(PathError::NeedlessEncoding);
    }
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_canonical_paths() {
        for path in [
            "/",
            "/api/orders",
            "/api/orders/",
            "/a%20b/c",
            "/caf%C3%A9",
            "/~alice/x",
            "/a.b/c..d",
            "/x(1)'!$&+,=@",
            "/%5Ba%5D",
        ] {
            assert_eq!(CanonicalPath::parse(path).map(|p| p.0), Ok(path.to_owned()), "{path}");
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        use PathError::*;
        for (path, why) in [
            ("", NotAbsolute),
            ("api", NotAbsolute),
            ("*", NotAbsolute),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/a/../b", DotSegment),
            ("/a/..", DotSegment),
            ("/./a", DotSegment),
            ("/a/%2e%2e/b", NeedlessEncoding),
            ("/a/%2E%2E/b", NeedlessEncoding),
            ("/a%2fb", Forbidden('/')),
            ("/a%2Fb", Forbidden('/')),
            ("/a%5cb", Forbidden('\\')),
            ("/a\\b", Forbidden('\\')),
            ("/a;x=1/b", Forbidden(';')),
            ("/a%3Bx/b", Forbidden(';')),
            ("/a%252e", Forbidden('%')),
            ("/a%00b", Control),
            ("/a%0d%0aX", Control),
            ("/a%7F", Control),
            ("/a%C2%85", Control),
            ("/a%23b", Forbidden('#')),
            ("/a%3Fb", Forbidden('?')),
            ("/web.config::$DATA", Forbidden(':')),
            ("/web.config%3A%3A$DATA", Forbidden(':')),
            ("/a*b", Forbidden('*')),
            ("/a.", TrailingDotOrSpace),
            ("/a./b", TrailingDotOrSpace),
            ("/a%20/b", TrailingDotOrSpace),
            ("/...", TrailingDotOrSpace),
            ("/PROGRA~1/x", ShortName),
            ("/a%c3%a9", NeedlessEncoding),
            ("/%61", NeedlessEncoding),
            ("/a%27b", NeedlessEncoding),
            ("/%C0%AE%C0%AE/x", NotUtf8),
            ("/%C0%AF", NotUtf8),
            ("/%FF", NotUtf8),
            ("/%u0041", BadEncoding),
            ("/a%", BadEncoding),
            ("/a%4", BadEncoding),
            ("/%EF%BC%8F", Forbidden('\u{FF0F}')),
            ("/caf\u{e9}", Control),
            ("/a b", Forbidden(' ')),
        ] {
            assert_eq!(CanonicalPath::parse(path).err(), Some(why), "{path}");
        }
    }

    /// How IIS reads a path: decode, `\` to `/`, resolve dots, cut trailing dots and spaces, fold case.
    fn as_iis_reads(path: &str) -> Vec<String> {
        let mut bytes = Vec::new();
        let mut rest = path.as_bytes();
        while let [first, tail @ ..] = rest {
            let hex = |b: &[u8]| std::str::from_utf8(b).ok().and_then(|s| u8::from_str_radix(s, 16).ok());
            match (first, tail.get(..2).and_then(hex)) {
                (b'%', Some(byte)) => {
                    bytes.push(byte);
                    rest = &tail[2..];
                }
                _ => {
                    bytes.push(*first);
                    rest = tail;
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes).replace('\\', "/").to_lowercase();
        let mut out: Vec<String> = Vec::new();
        for segment in text.split('/') {
            match segment.trim_end_matches(['.', ' ']) {
                _ if segment == ".." => {
                    out.pop();
                }
                "" => {}
                name => out.push(name.to_owned()),
            }
        }
        out
    }

    proptest! {
        /// INVARIANT: a canonical path has as many segments, with the same text, for us as for IIS.
        #[test]
        fn no_accepted_path_reads_otherwise(path in r"(/|[a-zA-Z0-9%.~\\;: _-]|%2[EeFf0-9]|%5[Cc]|\.\.|%[0-9A-Fa-f]{2}){1,24}") {
            if let Ok(ok) = CanonicalPath::parse(&path) {
                let ours: Vec<String> = ok.as_str().split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
                let iis = as_iis_reads(ok.as_str());
                prop_assert_eq!(ours.len(), iis.len());
                for (mine, theirs) in ours.iter().zip(&iis) {
                    prop_assert_eq!(as_iis_reads(mine), vec![theirs.clone()]);
                }
            }
        }

        #[test]
        fn never_panics(path in ".{0,64}") {
            let _ = CanonicalPath::parse(&path);
        }
    }
}
