//! Tokens that are wrong in every way we could think of, and some that are only unusual. What is true of each is for the judges
//! to say.

use super::text::{self, Members, Parts, encode};
use airgate_testkit::TestIssuer;
use aws_lc_rs::hmac;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE},
};
use serde_json::Value;

/// A token, and how it was made.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    pub(crate) kind: &'static str,
    pub(crate) what: String,
    pub(crate) token: Vec<u8>,
}

/// A number for each seed and step, the same on every machine (Steele, Lea, Flood: SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// What mutants are made of.
pub(crate) struct Source {
    pub(crate) random: Random,
    /// Good tokens.
    pub(crate) good: Vec<String>,
    /// Keys that the verifiers trust, to sign what is changed.
    pub(crate) signers: Vec<TestIssuer>,
    /// Public keys as PEM, by `kid`, with their JWKs.
    pub(crate) public: Vec<(Value, String)>,
    pub(crate) audience: String,
    pub(crate) leeway: u64,
    pub(crate) now: u64,
}

/// Of each kind that is drawn by lot.
const DRAWN: usize = 300;

/// JSON texts for any member; some are no JSON.
const ODD_VALUES: [&str; 34] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "1.5",
    "1e3",
    "1E400",
    "-1E400",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "NaN",
    "Infinity",
    "0x10",
    "01",
    "\"\"",
    "\" \"",
    "\"x\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"\u{feff}x\"",
    "[]",
    "[null]",
    "[\"\"]",
    "[[]]",
    "[\"x\",1]",
    "{}",
    "{\"a\":1}",
    "{\"a\":1,\"a\":2}",
];

const CLAIMS: [&str; 14] = [
    "iss",
    "aud",
    "sub",
    "client_id",
    "jti",
    "exp",
    "iat",
    "nbf",
    "scope",
    "cnf",
    "azp",
    "auth_time",
    "__proto__",
    "constructor",
];

const PARAMETERS: [&str; 24] = [
    "alg",
    "kid",
    "typ",
    "cty",
    "crit",
    "b64",
    "zip",
    "enc",
    "jwk",
    "jku",
    "x5u",
    "x5c",
    "x5t",
    "x5t#S256",
    "epk",
    "apu",
    "iv",
    "p2c",
    "url",
    "nonce",
    "iss",
    "svt",
    "__proto__",
    "constructor",
];

impl Source {
    /// All of them.
    pub(crate) fn mutants(&mut self) -> Vec<Mutant> {
        let mut all = Vec::new();
        let kinds: [fn(&mut Self, &mut Vec<Mutant>); 14] = [
            Self::bits,
            Self::swapped,
            Self::cut,
            Self::encodings,
            Self::headers_unsigned,
            Self::headers_signed,
            Self::algorithms,
            Self::forged_with_public_keys,
            Self::claims_unsigned,
            Self::claims_signed,
            Self::times_signed,
            Self::json_signed,
            Self::bytes_signed,
            Self::signatures,
        ];
        for kind in kinds {
            kind(self, &mut all);
        }
        all
    }

    fn good(&mut self) -> Parts {
        let token = self.random.one(&self.good);
        Parts::read(token)
    }

    /// Header and claims of a good token that this signer could have made.
    fn signable(&mut self) -> (usize, Members, Members) {
        let position = self.random.below(self.signers.len());
        let claims = Members::read(&self.good().claims);
        let mut header = Members::read(self.signers[position].header().to_string().as_bytes());
        header.set("typ", "\"at+jwt\"");
        (position, header, claims)
    }

    fn sign(&self, position: usize, header: &[u8], claims: &[u8]) -> Vec<u8> {
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = self.signers[position].sign(input.as_bytes());
        format!("{input}.{}", encode(&signature)).into_bytes()
    }

    /// Up to three bits of one part, as it is before its encoding; and up to two of the text.
    fn bits(&mut self, all: &mut Vec<Mutant>) {
        for number in 0..DRAWN * 2 {
            let mut parts = self.good();
            let which = self.random.below(3);
            let flips = 1 + self.random.below(3 - number % 2);
            let of_text = number % 2 == 1;
            let mut whole = parts.join().into_bytes();
            let bytes = match which {
                _ if of_text => &mut whole,
                0 => &mut parts.header,
                1 => &mut parts.claims,
                _ => &mut parts.signature,
            };
            for _ in 0..flips {
                let bit = self.random.below(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let (what, token) = if of_text {
                (format!("{flips} bits of the text"), whole)
            } else {
                (format!("{flips} bits of part {which}"), parts.join().into_bytes())
            };
            all.push(Mutant { kind: "bits", what, token });
        }
    }

    fn swapped(&mut self, all: &mut Vec<Mutant>) {
        for _ in 0..DRAWN {
            let (one, mut other) = (self.good(), self.good());
            let which = self.random.below(6);
            match which {
                0 => other.header = one.header,
                1 => other.claims = one.claims,
                2 => other.signature = one.signature,
                3 => std::mem::swap(&mut other.header, &mut other.claims),
                4 => std::mem::swap(&mut other.claims, &mut other.signature),
                _ => std::mem::swap(&mut other.header, &mut other.signature),
            }
            all.push(Mutant { kind: "swapped", what: format!("way {which}"), token: other.join().into_bytes() });
        }
    }

    /// Parts of the text taken out, doubled or put in. Never at the very start: a space there is HTTP's (RFC 9110 §11.4).
    fn cut(&mut self, all: &mut Vec<Mutant>) {
        for _ in 0..DRAWN {
            let mut token = self.good().join().into_bytes();
            let at = 1 + self.random.below(token.len() - 1);
            let length = 1 + self.random.below(8);
            let end = (at + length).min(token.len());
            let what = match self.random.below(5) {
                0 => {
                    token.truncate(at);
                    "cut off"
                }
                1 => {
                    token.drain(at..end);
                    "taken out"
                }
                2 => {
                    let again = token[at..end].to_vec();
                    token.splice(at..at, again);
                    "doubled"
                }
                3 => {
                    token.insert(at, *self.random.one(b"AZaz09-_.+/=~!%, \t\r\n\0\"\\\x7f\x80\xff"));
                    "put in"
                }
                _ => {
                    let dot = *self.random.one(&[".", "..", ".e30", ".e30.", "=", "==", "A", " ", "\n", "."]);
                    token.extend_from_slice(dot.as_bytes());
                    "put behind"
                }
            };
            all.push(Mutant { kind: "cut", what: format!("{length} at {at} {what}"), token });
        }
    }

    /// Other texts for the same bytes.
    fn encodings(&mut self, all: &mut Vec<Mutant>) {
        for number in 0..DRAWN {
            let parts = self.good();
            let mut texts = [encode(&parts.header), encode(&parts.claims), encode(&parts.signature)];
            let bytes = [&parts.header, &parts.claims, &parts.signature];
            let which = self.random.below(3);
            let text = &mut texts[which];
            let what = match number % 6 {
                0 => {
                    *text = URL_SAFE.encode(bytes[which]);
                    "padded"
                }
                1 => {
                    *text = STANDARD_NO_PAD.encode(bytes[which]);
                    "in the other alphabet"
                }
                2 => {
                    text.insert(1 + self.random.below(text.len()), *self.random.one(&['\n', ' ', '\t', '\r']));
                    "with white space"
                }
                3 => {
                    text::set_spare_bits(text, self.random.below(16));
                    "with spare bits set"
                }
                4 => {
                    let more = *self.random.one(&["=", "==", "===", "A", "AA", "AAAA"]);
                    text.push_str(more);
                    "longer"
                }
                _ => {
                    *text = text.replace('_', "%5F").replace('-', "\u{2212}");
                    "in another's escapes"
                }
            };
            all.push(Mutant { kind: "encodings", what: format!("part {which} {what}"), token: texts.join(".").into() });
        }
    }

    fn headers_unsigned(&mut self, all: &mut Vec<Mutant>) {
        for _ in 0..DRAWN {
            let mut parts = self.good();
            let mut header = Members::read(&parts.header);
            let what = self.change(&mut header, &PARAMETERS);
            parts.header = header.text().into_bytes();
            all.push(Mutant { kind: "headers, not signed anew", what, token: parts.join().into_bytes() });
        }
    }

    /// Each parameter with each value, and taken away, and twice.
    fn headers_signed(&mut self, all: &mut Vec<Mutant>) {
        for name in PARAMETERS {
            for value in self.values(name) {
                let (signer, mut header, claims) = self.signable();
                let what = header.put(name, value.as_deref());
                let token = self.sign(signer, header.text().as_bytes(), claims.text().as_bytes());
                all.push(Mutant { kind: "headers, signed", what, token });
            }
        }
        for _ in 0..DRAWN {
            let (signer, mut header, claims) = self.signable();
            let what = self.change(&mut header, &PARAMETERS);
            let token = self.sign(signer, header.text().as_bytes(), claims.text().as_bytes());
            all.push(Mutant { kind: "headers, signed", what, token });
        }
    }

    /// Every name of an algorithm with every signer's signature: none, and by the key.
    fn algorithms(&mut self, all: &mut Vec<Mutant>) {
        let names = [
            "none",
            "None",
            "nOnE",
            "NONE",
            "HS256",
            "HS384",
            "HS512",
            "RS1",
            "RS256",
            "RS384",
            "RS512",
            "PS256",
            "PS384",
            "PS512",
            "ES256",
            "ES384",
            "ES512",
            "ES256K",
            "EdDSA",
            "Ed25519",
            "Ed448",
            "eddsa",
            "rs256",
            "es256",
            "ML-DSA-44",
            "RSA-OAEP",
            "dir",
            "ESB256",
            "RS256 ",
            " RS256",
            "RS256\\u0000",
            "R\\u0053256",
            "",
        ];
        for name in names {
            for position in 0..self.signers.len() {
                let claims = Members::read(&self.good().claims);
                let mut header = Members::read(self.signers[position].header().to_string().as_bytes());
                header.set("typ", "\"at+jwt\"");
                header.set("alg", &format!("\"{name}\""));
                let mut token = self.sign(position, header.text().as_bytes(), claims.text().as_bytes());
                let kid = self.signers[position].kid();
                let what = format!("alg {name} with {kid}");
                all.push(Mutant { kind: "algorithms", what: format!("{what}, signed"), token: token.clone() });
                token.truncate(token.iter().rposition(|byte| *byte == b'.').expect("a dot") + 1);
                all.push(Mutant { kind: "algorithms", what: format!("{what}, no signature"), token });
            }
        }
    }

    /// HMACs whose secret is what everybody knows: the public key, in each form that somebody might hold it.
    fn forged_with_public_keys(&mut self, all: &mut Vec<Mutant>) {
        let algorithms = [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)];
        for (jwk, pem) in self.public.clone() {
            let member = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
            let raw = text::decode(member(if jwk["kty"] == "RSA" { "n" } else { "x" }).as_bytes());
            let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let secrets: [(&str, Vec<u8>); 7] = [
                ("PEM", pem.clone().into_bytes()),
                ("PEM without its last line end", pem.trim_end().as_bytes().to_vec()),
                ("DER", base64::engine::general_purpose::STANDARD.decode(&der).expect("base64")),
                ("JWK", jwk.to_string().into_bytes()),
                ("the number itself", raw),
                ("its kid", member("kid").into_bytes()),
                ("nothing", Vec::new()),
            ];
            for (form, secret) in secrets {
                let (name, algorithm) = *self.random.one(&algorithms);
                let mut header = Members::default();
                header.set("alg", &format!("\"{name}\""));
                header.set("kid", &jwk["kid"].to_string());
                header.set("typ", "\"at+jwt\"");
                let input = format!("{}.{}", encode(header.text().as_bytes()), encode(&self.good().claims));
                let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), input.as_bytes());
                let token = format!("{input}.{}", encode(tag.as_ref())).into_bytes();
                all.push(Mutant { kind: "HMAC with public keys", what: format!("{name} with {form}"), token });
            }
        }
    }

    fn claims_unsigned(&mut self, all: &mut Vec<Mutant>) {
        for number in 0..DRAWN {
            let mut parts = self.good();
            let mut claims = Members::read(&parts.claims);
            // The same claims in another order, or with white space, are other bytes.
            let what = if number % 10 == 0 {
                claims.turn();
                "in another order".to_owned()
            } else {
                self.change(&mut claims, &CLAIMS)
            };
            parts.claims = claims.text().into_bytes();
            all.push(Mutant { kind: "claims, not signed anew", what, token: parts.join().into_bytes() });
        }
    }

    fn claims_signed(&mut self, all: &mut Vec<Mutant>) {
        for name in CLAIMS {
            for value in self.values(name) {
                let (signer, header, mut claims) = self.signable();
                let what = claims.put(name, value.as_deref());
                let token = self.sign(signer, header.text().as_bytes(), claims.text().as_bytes());
                all.push(Mutant { kind: "claims, signed", what, token });
            }
        }
        for _ in 0..DRAWN {
            let (signer, header, mut claims) = self.signable();
            let what = self.change(&mut claims, &CLAIMS);
            let token = self.sign(signer, header.text().as_bytes(), claims.text().as_bytes());
            all.push(Mutant { kind: "claims, signed", what, token });
        }
    }

    /// Times around each bound.
    fn times_signed(&mut self, all: &mut Vec<Mutant>) {
        let (leeway, hour) = (i64::try_from(self.leeway).expect("small"), 3600);
        let offsets: Vec<i64> = [-2 * hour, -hour, -leeway, 0, leeway, 600, hour, 2 * hour]
            .into_iter()
            .flat_map(|around| [around - 1, around, around + 1])
            .collect();
        for _ in 0..DRAWN * 2 {
            let (signer, header, mut claims) = self.signable();
            let mut what = String::new();
            let changed = 1 + self.random.below(3);
            for _ in 0..changed {
                let name = *self.random.one(&["exp", "iat", "nbf"]);
                let offset = *self.random.one(&offsets);
                let value = i64::try_from(self.now).expect("small") + offset;
                let value = match self.random.below(8) {
                    0 => format!("{value}.0"),
                    1 => format!("{value}.5"),
                    2 => format!("\"{value}\""),
                    _ => value.to_string(),
                };
                claims.set(name, &value);
                what.push_str(&format!("{name} = {value} (now{offset:+}) "));
            }
            let token = self.sign(signer, header.text().as_bytes(), claims.text().as_bytes());
            all.push(Mutant { kind: "times, signed", what, token });
        }
    }

    /// JSON that parsers read differently, signed.
    fn json_signed(&mut self, all: &mut Vec<Mutant>) {
        for is_header in [true, false] {
            for trick in 0..text::TRICKS {
                for _ in 0..4 {
                    let (signer, header, claims) = self.signable();
                    let name = *self.random.one(if is_header { &PARAMETERS[..3] } else { &CLAIMS[..8] });
                    let (mut header, mut claims) = (header.text(), claims.text());
                    let text = if is_header { &mut header } else { &mut claims };
                    *text = text::trick(trick, text, name);
                    let what = format!("{}: {}", if is_header { "header" } else { "claims" }, text);
                    let token = self.sign(signer, header.as_bytes(), claims.as_bytes());
                    all.push(Mutant { kind: "JSON, signed", what, token });
                }
            }
        }
    }

    /// Any byte anywhere in header or claims, signed.
    fn bytes_signed(&mut self, all: &mut Vec<Mutant>) {
        for _ in 0..DRAWN * 2 {
            let (signer, header, claims) = self.signable();
            let (mut header, mut claims) = (header.text().into_bytes(), claims.text().into_bytes());
            let bytes = if self.random.below(3) == 0 { &mut header } else { &mut claims };
            let at = self.random.below(bytes.len());
            let byte =
                *self.random.one(b"\0\t\n\r\x0b\x1f \"',:{}[]\\/0123456789-+.eEnulltrfas\x7f\x80\xc0\xed\xef\xff");
            if self.random.below(2) == 0 {
                bytes[at] = byte
            } else {
                bytes.insert(at, byte)
            }
            let what = format!("{byte:#04x} at {at} of {}", String::from_utf8_lossy(bytes));
            let token = self.sign(signer, &header, &claims);
            all.push(Mutant { kind: "bytes, signed", what, token });
        }
    }

    /// Signatures in other forms: RFC 7518 §3.4 and RFC 8032 §5.1.7 allow one length and one range.
    fn signatures(&mut self, all: &mut Vec<Mutant>) {
        for position in 0..self.signers.len() {
            for _ in 0..4 {
                let claims = Members::read(&self.good().claims);
                let mut header = Members::read(self.signers[position].header().to_string().as_bytes());
                header.set("typ", "\"at+jwt\"");
                let token = self.sign(position, header.text().as_bytes(), claims.text().as_bytes());
                let parts = Parts::read(std::str::from_utf8(&token).expect("ASCII"));
                let alg = self.signers[position].header()["alg"].as_str().expect("a name").to_owned();
                for (what, signature) in text::signatures(&alg, &parts.signature) {
                    let token = Parts { signature, ..parts.clone() }.join().into_bytes();
                    all.push(Mutant { kind: "signatures", what: format!("{alg} {what}"), token });
                }
            }
        }
    }

    /// One member changed, by lot: another value, none, or a second one.
    fn change(&mut self, members: &mut Members, names: &[&str]) -> String {
        let name = *self.random.one(names);
        let values = self.values(name);
        let value = self.random.one(&values).clone();
        match self.random.below(3) {
            0 => members.double(name, value.as_deref().unwrap_or("null")),
            1 => members.rename(name, self.random.below(8)),
            _ => members.put(name, value.as_deref()),
        }
    }

    /// JSON texts for a member; none: it is missing.
    fn values(&mut self, name: &str) -> Vec<Option<String>> {
        let mut out: Vec<Option<String>> = vec![None];
        out.extend(ODD_VALUES.iter().map(|value| Some((*value).to_owned())));
        let own: Vec<String> = match name {
            "aud" => audiences(&self.audience),
            "iss" => text::near(self.signers[0].issuer()),
            "typ" => ["at+jwt", "AT+JWT", "application/at+jwt", "application/AT+jwt", "at+JWT ", "JWT", "jwt", "JOSE"]
                .iter()
                .chain(&["application/application/at+jwt", "application/jwt", "at+jwt;x=1", "a/at+jwt", "dpop+jwt"])
                .chain(&["logout+jwt", "airgate-job+jwt", "application/", "at+\\u006awt", "/at+jwt"])
                .map(|one| format!("\"{one}\""))
                .collect(),
            "kid" => {
                let other = self.random.one(&self.public).0["kid"].as_str().expect("a kid").to_owned();
                let own = self.signers[self.random.below(self.signers.len())].kid().to_owned();
                [text::near(&other), text::near(&own)].concat()
            }
            "crit" => ["[\"exp\"]", "[\"b64\"]", "[\"alg\"]", "[\"typ\",\"typ\"]", "\"exp\"", "[\"nobody-knows\"]"]
                .map(str::to_owned)
                .to_vec(),
            "jwk" => vec![self.random.one(&self.public).0.to_string()],
            "jku" | "x5u" => vec!["\"https://evil.example/keys\"".to_owned()],
            "cty" => ["\"JWT\"", "\"json\""].map(str::to_owned).to_vec(),
            "exp" | "iat" | "nbf" => {
                let now = self.now;
                vec![
                    format!("\"{now}\""),
                    format!("[{now}]"),
                    format!("{now}e0"),
                    format!("{now}000"),
                    format!("-{now}"),
                ]
            }
            _ => Vec::new(),
        };
        out.extend(own.into_iter().map(Some));
        out
    }
}

fn audiences(good: &str) -> Vec<String> {
    let mut out = text::near(good);
    let quoted = Value::from(good).to_string();
    for list in
        ["[G]", "[G,G]", "[\"x\",G]", "[G,1]", "[G,null]", "[G,\"\"]", "[[G]]", "{\"0\":G}", "\"x,G\"", "\"G x\""]
    {
        // Inside a text the quotes are those of the text.
        out.push(if list.starts_with('"') { list.replace('G', good) } else { list.replace('G', &quoted) });
    }
    out
}
