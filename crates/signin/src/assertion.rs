//! Bearer assertions: a signed JWT about the principal, for an app that checks it with any OIDC library.
//!
//! Header: `typ` `airgate-assertion+jwt`, `alg` `ES256` or `EdDSA`, `kid` the key's RFC 7638 thumbprint. Claims:
//!
//! | claim | |
//! |---|---|
//! | `iss`, `aud`, `iat`, `nbf`, `exp` | the gateway, the app, and at most five minutes between `iat` and `exp` |
//! | `sub` | `<issuer>\|<subject>` of the principal: one string that no two issuers can share (a `\|` in the issuer is `%7C`) |
//! | `jti` | 128 random bits, new for every attempt |
//! | `txn` | the gateway's request id |
//! | `windows_identity` | the mapped identity, if the grant names one |
//! | `dag_id`, `run_id`, `task_id`, `map_index`, `try_number` | the job, as far as the principal's token says |

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    digest, rand,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{AssertionConfig, OnBehalfOf, SignInError, files};

/// The claims about the job that are handed on, under their own names.
pub const JOB_CLAIMS: [&str; 5] = ["dag_id", "run_id", "task_id", "map_index", "try_number"];
/// Longest `lifetime`.
pub const LIFETIME_MAX: Duration = Duration::from_secs(300);
/// Longest text of one claim: longer ones are left out, so that the header stays within what IIS takes.
const CLAIM_BYTES_MAX: usize = 1024;

/// What one request's assertions say, kept until they are made.
pub(crate) struct Subject {
    subject: String,
    windows_identity: Option<String>,
    job: Map<String, Value>,
    request_id: String,
    now: u64,
    taken: Instant,
}

impl Subject {
    pub(crate) fn new(who: &OnBehalfOf<'_>) -> Self {
        let short = |value: &Value| match value {
            Value::String(text) => text.len() <= CLAIM_BYTES_MAX,
            Value::Number(_) => true,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
        };
        let job = JOB_CLAIMS.iter().filter_map(|name| {
            who.claims.get(*name).filter(|value| short(value)).map(|value| ((*name).to_owned(), value.clone()))
        });
        Self {
            subject: format!("{}|{}", who.issuer.replace('|', "%7C"), who.subject),
            windows_identity: who.windows_identity.map(str::to_owned),
            job: job.collect(),
            request_id: who.request_id.to_owned(),
            now: who.now,
            taken: Instant::now(),
        }
    }
}

enum SigningKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// Makes the assertions of one upstream.
pub(crate) struct AssertionSigner {
    issuer: String,
    audience: String,
    lifetime_s: u64,
    key: SigningKey,
    jwk: Value,
    /// The encoded header: the same for every assertion of a key.
    header: String,
}

impl AssertionSigner {
    pub(crate) fn new(config: AssertionConfig) -> Result<Self, SignInError> {
        let configuration = |detail: String| SignInError::Configuration { detail };
        for (name, value) in [("issuer", &config.issuer), ("audience", &config.audience)] {
            if value.is_empty() {
                return Err(configuration(format!(
                    "`{name}` of a bearer assertion is empty: no claim of it is optional"
                )));
            }
        }
        if config.lifetime < Duration::from_secs(1) || config.lifetime > LIFETIME_MAX {
            return Err(configuration(format!(
                "`lifetime` of a bearer assertion is {:?}: choose 1 s to {} s",
                config.lifetime,
                LIFETIME_MAX.as_secs()
            )));
        }
        let key = load_or_make_key(&config.key).map_err(configuration)?;
        let (jwk, kid) = public_jwk(&key);
        let header = json!({"alg": key.algorithm(), "kid": kid, "typ": "airgate-assertion+jwt"});
        Ok(Self {
            issuer: config.issuer,
            audience: config.audience,
            lifetime_s: config.lifetime.as_secs(),
            key,
            jwk,
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
        })
    }

    pub(crate) fn public_jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// `Bearer <assertion>`, new at every call.
    pub(crate) fn authorization(&self, subject: &Subject) -> Result<HeaderValue, SignInError> {
        let internal = |detail: &str| SignInError::Internal { detail: detail.to_owned() };
        let mut nonce = [0_u8; 16];
        rand::fill(&mut nonce).map_err(|_| internal("no random bytes"))?;
        let now = subject.now.saturating_add(subject.taken.elapsed().as_secs());
        // The job's claims first: ours are set over them and cannot be replaced.
        let mut claims = subject.job.clone();
        let ours = [
            ("iss", json!(self.issuer)),
            ("aud", json!(self.audience)),
            ("sub", json!(subject.subject)),
            ("iat", json!(now)),
            ("nbf", json!(now)),
            ("exp", json!(now.saturating_add(self.lifetime_s))),
            ("jti", json!(URL_SAFE_NO_PAD.encode(nonce))),
            ("txn", json!(subject.request_id)),
        ];
        claims.extend(ours.map(|(name, value)| (name.to_owned(), value)));
        if let Some(identity) = &subject.windows_identity {
            claims.insert("windows_identity".to_owned(), json!(identity));
        }
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string()));
        let signature =
            self.key.sign(signed.as_bytes()).ok_or_else(|| internal("the assertion could not be signed"))?;
        let mut header = HeaderValue::try_from(format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
            .map_err(|_| internal("the assertion is not a header value"))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

impl SigningKey {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Es256(key) => {
                key.sign(&rand::SystemRandom::new(), message).ok().map(|signature| signature.as_ref().to_vec())
            }
            Self::EdDsa(key) => Some(key.sign(message).as_ref().to_vec()),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Self::Es256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self::EdDsa))
            .ok()
    }
}

/// The JWK and its RFC 7638 thumbprint: SHA-256 over the required members, in order of name, without spaces.
fn public_jwk(key: &SigningKey) -> (Value, String) {
    let mut members = match key {
        SigningKey::Es256(key) => {
            // An uncompressed point (SEC 1 §2.3.3): 0x04, x, y.
            let (x, y) = key.public_key().as_ref()[1..].split_at(32);
            json!({"crv": "P-256", "kty": "EC", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
        }
        SigningKey::EdDsa(key) => {
            json!({"crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(key.public_key())})
        }
    };
    let ordered: std::collections::BTreeMap<_, _> = members.as_object().into_iter().flatten().collect();
    let canonical = json!(ordered).to_string();
    let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
    members["kid"] = json!(kid);
    members["alg"] = json!(key.algorithm());
    members["use"] = json!("sig");
    (members, kid)
}

fn load_or_make_key(path: &Path) -> Result<SigningKey, String> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => make_key(path)?,
        _ => {}
    }
    let (pem, _) = files::read_private(path)?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| {
        format!(
            "`{}` holds no PKCS#8 private key in PEM: convert it with `openssl pkcs8 -topk8 -nocrypt`",
            path.display()
        )
    })?;
    SigningKey::from_pkcs8(der.secret_pkcs8_der()).ok_or_else(|| {
        format!(
            "`{}` is neither an Ed25519 nor a P-256 key: make one with `openssl genpkey -algorithm EC -pkeyopt \
             ec_paramgen_curve:P-256`, or remove the file and one is made",
            path.display()
        )
    })
}

/// Makes a P-256 key: ES256 is what .NET's token libraries check out of the box, EdDSA is not.
///
/// The file appears under its name complete or not at all, and never replaces one that another process made meanwhile.
fn make_key(path: &Path) -> Result<(), String> {
    let failed = |what: &str, e: &dyn std::fmt::Display| format!("`{}`: {what} ({e})", path.display());
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rand::SystemRandom::new())
        .map_err(|e| failed("a key could not be made", &e))?;
    let encoded = Zeroizing::new(STANDARD.encode(document.as_ref()));
    let mut pem = Zeroizing::new(String::with_capacity(encoded.len() + 128));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");

    let temporary = path.with_extension(format!("new.{}", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)
    })();
    let _ = fs::remove_file(&temporary);
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(failed("the key could not be written: let the gateway's account write to its folder", &e))
        }
        _ => Ok(()),
    }
}
