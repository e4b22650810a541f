//! An issuer of tokens, good and bad.

use crate::{KeyServer, TestCa};
use airgate_identity::{Algorithm, Given, IssuerConfig, KeySource, ProfileName};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

enum Key {
    EdDsa(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// Signs whatever it is told to, with one key of one algorithm.
pub struct TestIssuer {
    issuer: String,
    kid: String,
    algorithm: Algorithm,
    key: Key,
}

impl std::fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestIssuer").field("issuer", &self.issuer).field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl TestIssuer {
    /// A new key, `kid` = `test-1`, `iss` = `https://issuer.test`.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let key = match algorithm {
            Algorithm::EdDsa => Key::EdDsa(Ed25519KeyPair::generate().expect("a key")),
            Algorithm::Es256 => {
                Key::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
            }
            Algorithm::Es384 => {
                Key::Ec(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key"))
            }
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
        };
        Self { issuer: "https://issuer.test".to_owned(), kid: "test-1".to_owned(), algorithm, key }
    }

    /// The same key under another `kid`.
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self
    }

    /// The same key under another `iss`.
    #[must_use]
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        issuer.clone_into(&mut self.issuer);
        self
    }

    /// The `iss` of [`TestIssuer::job_claims`].
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The `kid` of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The header of a good job assertion.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm.as_str(), "kid": self.kid, "typ": "airgate-job+jwt" })
    }

    /// A job assertion with these claims, as they are, and a good header.
    #[must_use]
    pub fn token(&self, claims: Value) -> String {
        self.token_with(self.header(), claims)
    }

    /// A token of another type than a job assertion; `None`: no `typ`.
    #[must_use]
    pub fn token_of(&self, typ: Option<&str>, claims: Value) -> String {
        let mut header = json!({ "alg": self.algorithm.as_str(), "kid": self.kid });
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        self.token_with(header, claims)
    }

    /// A token with this header and these claims, as they are, signed with the issuer's key and algorithm, whatever
    /// the header says.
    #[must_use]
    pub fn token_with(&self, header: Value, claims: Value) -> String {
        self.token_raw(&header.to_string(), &claims.to_string())
    }

    /// A token of these very texts (duplicate members, broken JSON), correctly encoded and signed.
    #[must_use]
    pub fn token_raw(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = encode(&self.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// The raw JWS signature of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            Key::Ec(key) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Key::Rsa(key) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).expect("a signature");
                signature
            }
        }
    }

    /// The public key as a JSON Web Key, with `kid`, `use` and `alg`.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm.as_str());
        jwk
    }

    /// The members that define the public key, and no other.
    #[must_use]
    pub fn bare_jwk(&self) -> Value {
        match &self.key {
            Key::EdDsa(key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) }),
            Key::Ec(key) => {
                // SEC 1 §2.3.3: 0x04, then x and y of the same length.
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if self.algorithm == Algorithm::Es384 { "P-384" } else { "P-256" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Key::Rsa(key) => json!({
                "kty": "RSA",
                "n": encode(key.public_key().modulus().big_endian_without_leading_zero()),
                "e": encode(key.public_key().exponent().big_endian_without_leading_zero()),
            }),
        }
    }

    /// The key set that holds this key alone.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    /// The claims of a good job assertion, issued now and good for two minutes.
    #[must_use]
    pub fn job_claims(&self, dag_id: &str, task_id: &str, audience: &str, now: u64) -> Value {
        json!({
            "iss": self.issuer,
            "aud": audience,
            "sub": format!("airflow:dag:{dag_id}:task:{task_id}"),
            "jti": format!("{dag_id}-{task_id}-{now}"),
            "iat": now,
            "nbf": now,
            "exp": now + 120,
            "ti_id": "0198c0de-0000-7000-8000-000000000001",
            "dag_id": dag_id,
            "run_id": "manual__2026-01-01T00:00:00+00:00",
            "task_id": task_id,
            "map_index": -1,
            "try_number": 1,
        })
    }

    /// This issuer as the configuration's `name`, by the profile `airflow`, with its own algorithm.
    #[must_use]
    pub fn config(&self, name: &str, audience: &str, keys: KeySource) -> IssuerConfig {
        let given = Given {
            url: Some(self.issuer.clone()),
            audiences: vec![audience.to_owned()],
            keys: Some(keys),
            ..Given::default()
        };
        let mut config = ProfileName::Airflow.config(name, &given).expect("a good issuer");
        config.algorithms = vec![self.algorithm];
        config
    }

    /// Serves the key set over https on loopback.
    #[must_use]
    pub fn serve(&self, ca: &TestCa) -> KeyServer {
        KeyServer::start(ca, self.jwks())
    }
}
