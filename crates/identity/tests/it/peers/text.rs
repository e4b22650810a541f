//! Tokens and JSON as texts: what a library that knows better would not let us write.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

/// The three parts of a good token, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) header: Vec<u8>,
    pub(crate) claims: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Parts {
    pub(crate) fn read(token: &str) -> Self {
        Self::try_read(token.as_bytes()).expect("a token")
    }

    pub(crate) fn try_read(token: &[u8]) -> Option<Self> {
        let mut parts = token.split(|byte| *byte == b'.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let mut next = || parts.next().flatten();
        Some(Self { header: next()?, claims: next()?, signature: next()? })
    }

    pub(crate) fn join(&self) -> String {
        [&self.header, &self.claims, &self.signature].map(|part| encode(part)).join(".")
    }
}

/// A JSON object, member by member, each value as its text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members(Vec<(String, String)>);

impl Members {
    pub(crate) fn read(text: &[u8]) -> Self {
        let map: Map<String, Value> = serde_json::from_slice(text).expect("an object");
        Self(map.into_iter().map(|(name, value)| (Value::from(name).to_string(), value.to_string())).collect())
    }

    pub(crate) fn text(&self) -> String {
        let members: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let _ = self.put(name, Some(value));
    }

    /// This value, or none. Says what was done.
    pub(crate) fn put(&mut self, name: &str, value: Option<&str>) -> String {
        let quoted = format!("\"{name}\"");
        match (value, self.0.iter().position(|(known, _)| *known == quoted)) {
            (Some(value), Some(at)) => value.clone_into(&mut self.0[at].1),
            (Some(value), None) => self.0.push((quoted, value.to_owned())),
            (None, Some(at)) => drop(self.0.remove(at)),
            (None, None) => {}
        }
        format!("{name} = {}", value.unwrap_or("(missing)"))
    }

    /// A second member of the name, before or behind the first.
    pub(crate) fn double(&mut self, name: &str, value: &str) -> String {
        let first = self.0.iter().position(|(known, _)| *known == format!("\"{name}\""));
        let member = (format!("\"{name}\""), value.to_owned());
        if value.len().is_multiple_of(2) {
            self.0.push(member)
        } else {
            self.0.insert(first.unwrap_or(0), member)
        }
        format!("{name} twice, once {value}")
    }

    /// The same value under a name that is nearly the same.
    pub(crate) fn rename(&mut self, name: &str, way: usize) -> String {
        let escaped = |c: char| format!("\\u{:04x}", u32::from(c));
        let (start, rest) = name.split_at(1);
        let near = match way {
            0 => format!("{}{rest}", escaped(start.chars().next().expect("a name"))),
            1 => name.chars().map(escaped).collect(),
            2 => name.to_uppercase(),
            3 => format!("{name} "),
            4 => format!("{name}\\u0000"),
            5 => format!("\\ufeff{name}"),
            6 => format!("{name}\\u200b"),
            _ => format!("{start}\\u0301{rest}"),
        };
        for member in &mut self.0 {
            if member.0 == format!("\"{name}\"") {
                member.0 = format!("\"{near}\"");
            }
        }
        format!("{name} named {near}")
    }

    pub(crate) fn turn(&mut self) {
        self.0.rotate_left(1);
    }
}

/// JSON texts of strings that a careless reader takes for this one.
pub(crate) fn near(good: &str) -> Vec<String> {
    let quoted = |text: &str| format!("\"{text}\"");
    let first = good.chars().next().expect("a text");
    vec![
        quoted(good),
        quoted(&format!("{good} ")),
        quoted(&format!(" {good}")),
        quoted(&format!("{good}/")),
        quoted(&format!("{good}\\u0000")),
        quoted(&format!("{good}\\n")),
        quoted(&format!("{good}#")),
        quoted(&format!("{good}\\ud800")),
        quoted(&format!("{good}.evil.example")),
        quoted(&good.to_uppercase()),
        quoted(&good[..good.len() - 1]),
        quoted(&good.replace('e', "\u{435}")),
        quoted(&good.replacen(first, &format!("\\u{:04x}", u32::from(first)), 1)),
        format!("[\"{good}\"]"),
        format!("{{\"{good}\":1}}"),
    ]
}

/// How many [`trick`]s there are.
pub(crate) const TRICKS: usize = 38;

/// The object's text, changed; `name` is one of its members, or could be.
pub(crate) fn trick(number: usize, text: &str, name: &str) -> String {
    let inner = &text[1..text.len() - 1];
    let deep = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    match number {
        0 => format!("\u{feff}{text}"),
        1 => format!(" \t\r\n{text} \t\r\n"),
        2 => format!("{text}\0"),
        3 => format!("{text}x"),
        4 => format!("{text}{text}"),
        5 => format!("{text}//comment"),
        6 => format!("/**/{text}"),
        7 => format!("{{{inner},}}"),
        8 => format!("{{,{inner}}}"),
        9 => format!("[{text}]"),
        10 => Value::from(text).to_string(),
        11 => text.replace('"', "'"),
        12 => text.replace(':', " :\n\t"),
        13 => text.replace(',', ",\u{a0}"),
        14 => text.replace(',', ",\u{c}"),
        15 => format!("{{{inner},\"{name}\":null}}"),
        16 => format!("{{\"{name}\":null,{inner}}}"),
        17 => format!("{{{inner},\"x\":{{\"a\":1,\"a\":2}}}}"),
        18 => format!("{{{inner},\"x\":[{{\"a\":1,\"a\":1}}]}}"),
        19 => format!("{{{inner},\"x\":{}}}", deep("[", "]", 100)),
        20 => format!("{{{inner},\"x\":{}}}", deep("[", "]", 130)),
        21 => format!("{{{inner},\"x\":{}}}", deep("[", "]", 2000)),
        22 => format!("{{{inner},\"x\":{}}}", deep("{\"a\":", "}", 700)),
        23 => format!("{{{inner},\"x\":NaN}}"),
        24 => format!("{{{inner},\"x\":-Infinity}}"),
        25 => format!("{{{inner},\"x\":1e999}}"),
        26 => format!("{{{inner},\"x\":0.{}1}}", "0".repeat(400)),
        27 => format!("{{{inner},\"x\":{}}}", "9".repeat(1000)),
        28 => format!("{{{inner},\"x\":\"\\ud800\"}}"),
        29 => format!("{{{inner},\"x\":\"\\udc00\\ud800\"}}"),
        30 => format!("{{{inner},\"x\":\"\\ud83d\\ude00\"}}"),
        31 => format!("{{{inner},\"\\ud800\":1}}"),
        32 => format!("{{{inner},\"x\":\"a\tb\"}}"),
        33 => format!("{{{inner},\"x\":\"\\x41\"}}"),
        34 => format!("{{{inner},\"\":1}}"),
        35 => format!("{{{inner},\"__proto__\":{{\"{name}\":\"x\"}}}}"),
        36 => format!("{{{inner},\"x\":\"{}\"}}", "y".repeat(1200)),
        _ => format!("{{{inner},\"{name}{name}\":1.0}}"),
    }
}

/// Sets bits of the last character that stand for nothing.
pub(crate) fn set_spare_bits(text: &mut String, bits: usize) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spare = match text.len() % 4 {
        2 => 15,
        3 => 3,
        _ => 0,
    };
    let last = text.pop().expect("a character");
    let value = ALPHABET.iter().position(|one| char::from(*one) == last).expect("base64url");
    text.push(char::from(ALPHABET[value | (bits & spare)]));
}

/// The group orders of P-256 and P-384 (SEC 2 §2.4.2, §2.5.1), big-endian, and of edwards25519 (RFC 8032 §5.1), little-endian.
const P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
const ED25519: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// Other signatures that stand for the same, or that careless arithmetic takes for it.
pub(crate) fn signatures(alg: &str, good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let half = good.len() / 2;
    let (r, s) = good.split_at(half);
    let zero = vec![0; half];
    let mut out = vec![
        ("with a zero before it", [&[0], good].concat()),
        ("with a zero behind it", [good, &[0]].concat()),
        ("without its last byte", good[..good.len() - 1].to_vec()),
        ("without its first byte", good[1..].to_vec()),
        ("empty", Vec::new()),
        ("all zero", vec![0; good.len()]),
        ("all ones", vec![0xff; good.len()]),
        ("twice", good.repeat(2)),
    ];
    match alg {
        "ES256" | "ES384" => {
            let order = unhex(if alg == "ES256" { P256 } else { P384 });
            let one: Vec<u8> = [&zero[1..], &[1]].concat();
            out.extend([
                // ECDSA's own: (r, n - s) is as good as (r, s). JWS does not forbid it (RFC 7515 §10.10 knows).
                ("with n - s", [r, &subtract(&order, s)].concat()),
                ("halves swapped", [s, r].concat()),
                ("with s = 0", [r, &zero].concat()),
                ("with r = 0", [&zero, s].concat()),
                ("with r = n, s = n", [&order[..], &order].concat()),
                ("with r = n, s = 1", [&order[..], &one].concat()),
                ("with r = s = 1", one.repeat(2)),
                ("in DER", der(r, s)),
            ]);
        }
        "EdDSA" => {
            let order = unhex(ED25519);
            out.extend([
                ("with S + L", [r, &add_little_endian(s, &order)].concat()),
                ("with S = 0", [r, &zero].concat()),
                ("with S = L", [r, &order].concat()),
                // The neutral element, and its encoding with the sign bit set.
                ("with R neutral, S = 0", [&[1], &zero[1..], &zero].concat()),
                ("with R neutral and signed", [&[1], &zero[2..], &[0x80], &zero[..]].concat()),
            ]);
        }
        _ => {}
    }
    out
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Big-endian; `one` is the greater.
fn subtract(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = one.to_vec();
    let mut borrow = false;
    for (digit, less) in out.iter_mut().zip(other).rev() {
        let (value, first) = digit.overflowing_sub(*less);
        let (value, second) = value.overflowing_sub(u8::from(borrow));
        (*digit, borrow) = (value, first || second);
    }
    out
}

fn add_little_endian(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let sum = one.iter().zip(other).map(|(one, other)| {
        carry += u16::from(*one) + u16::from(*other);
        let [high, low] = carry.to_be_bytes();
        carry = u16::from(high);
        low
    });
    sum.collect()
}

/// ECDSA-Sig-Value (RFC 3279 §2.2.3).
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        let mut value = bytes[start..].to_vec();
        if value[0] >= 0x80 {
            value.insert(0, 0);
        }
        [&[2, u8::try_from(value.len()).expect("short")], &value[..]].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).expect("short")], &both[..]].concat()
}
