//! Path patterns: literal segments, `*` for exactly one, `**` at the end for any rest.

/// What one segment of a path must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This, in ASCII lower case. Empty only as the last one: the path ends in `/`.
    Literal(String),
    /// Anything but nothing.
    Any,
}

/// A pattern, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) segments: Vec<Segment>,
    /// `/**` at the end: any rest, and none.
    pub(crate) open_end: bool,
}

/// What is wrong with a pattern, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PatternError {
    pub(crate) message: &'static str,
    pub(crate) help: &'static str,
}

impl Pattern {
    /// # Errors
    /// What is wrong: also a pattern that no canonical path could ever match.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PatternError {
                message: "does not start with `/`",
                help: "write the whole path, from its first `/`",
            });
        };
        let mut parts: Vec<&str> = rest.split('/').collect();
        let open_end = parts.last() == Some(&"**");
        if open_end {
            parts.pop();
        }
        let last = parts.len().saturating_sub(1);
        let mut segments = Vec::with_capacity(parts.len());
        for (position, part) in parts.iter().enumerate() {
            if part.is_empty() && (open_end || position < last) {
                return Err(PatternError {
                    message: "has an empty segment (`//`)",
                    help: "no canonical path has one; remove the extra `/`",
                });
            }
            segments.push(segment(part)?);
        }
        Ok(Self { segments, open_end })
    }
}

fn segment(part: &str) -> Result<Segment, PatternError> {
    match part {
        "*" => return Ok(Segment::Any),
        "**" => {
            return Err(PatternError {
                message: "has `**` before its end",
                help: "`**` stands only at the end; use `*` for exactly one segment",
            });
        }
        "." | ".." => {
            return Err(PatternError {
                message: "has a dot segment (`.` or `..`)",
                help: "write the path that the dots lead to",
            });
        }
        _ if part.contains('*') => {
            return Err(PatternError {
                message: "has `*` within a segment",
                help: "`*` stands for one whole segment, `**` at the end for any rest",
            });
        }
        _ => {}
    }
    check_characters(part)?;
    Ok(Segment::Literal(part.to_ascii_lowercase()))
}

/// A literal that is not spelt as canonical paths are would never match, and its author would not know why.
fn check_characters(part: &str) -> Result<(), PatternError> {
    let bytes = part.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let plain = bytes[at].is_ascii_alphanumeric() || b"-._~!$&'()+,=@".contains(&bytes[at]);
        let hex = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b));
        if bytes[at] == b'%' && hex(bytes.get(at + 1)) && hex(bytes.get(at + 2)) {
            at += 3;
        } else if plain {
            at += 1;
        } else {
            return Err(PatternError {
                message: "holds a character that no canonical path has",
                help: "encode it as `%` and two upper-case hexadecimal digits (a space is `%20`); a query is not part of the path",
            });
        }
    }
    Ok(())
}

/// The segments of a canonical path, in ASCII lower case. `/a/` has two: `a` and nothing.
pub(crate) fn split(path: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix('/')?;
    Some(rest.split('/').map(str::to_ascii_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_patterns() {
        let literal = |text: &str| Segment::Literal(text.to_owned());
        for (text, segments, open_end) in [
            ("/", vec![literal("")], false),
            ("/**", vec![], true),
            ("/*", vec![Segment::Any], false),
            ("/API/Orders", vec![literal("api"), literal("orders")], false),
            ("/api/orders/", vec![literal("api"), literal("orders"), literal("")], false),
            ("/api/*/lines/**", vec![literal("api"), Segment::Any, literal("lines")], true),
            ("/a%20b/caf%C3%A9", vec![literal("a%20b"), literal("caf%c3%a9")], false),
        ] {
            assert_eq!(Pattern::parse(text), Ok(Pattern { segments, open_end }), "{text}");
        }
    }

    #[test]
    fn refuses_patterns_that_are_wrong_or_can_never_match() {
        for (text, message) in [
            ("", "does not start with `/`"),
            ("api/**", "does not start with `/`"),
            ("**", "does not start with `/`"),
            ("*", "does not start with `/`"),
            ("//", "has an empty segment (`//`)"),
            ("/api//orders", "has an empty segment (`//`)"),
            ("/api//**", "has an empty segment (`//`)"),
            ("//**", "has an empty segment (`//`)"),
            ("/**/orders", "has `**` before its end"),
            ("/api/**/", "has `**` before its end"),
            ("/api/../x", "has a dot segment (`.` or `..`)"),
            ("/api/./x", "has a dot segment (`.` or `..`)"),
            ("/api/ord*", "has `*` within a segment"),
            ("/api/***", "has `*` within a segment"),
            ("/api?x=1", "holds a character that no canonical path has"),
            ("/a b", "holds a character that no canonical path has"),
            ("/a;x", "holds a character that no canonical path has"),
            ("/a\\b", "holds a character that no canonical path has"),
            ("/a%2", "holds a character that no canonical path has"),
            ("/caf%c3%a9", "holds a character that no canonical path has"),
            ("/café", "holds a character that no canonical path has"),
        ] {
            assert_eq!(Pattern::parse(text).map_err(|e| e.message), Err(message), "{text}");
        }
    }
}
