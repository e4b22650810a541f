use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// C2SP signed-note: the signature type of plain Ed25519.
const ED25519_TYPE: u8 = 0x01;
const NOTE_BYTES_MAX: usize = 1_000_000;
const SIGNATURES_MAX: usize = 100;
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a text is no verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// Not `name+hash+base64`.
    #[error("not a verifier key: expected `name+hash+base64`")]
    Malformed,
    /// The name is empty, or holds a space or a `+`.
    #[error("the key's name is empty, or holds a space, a control character or a `+`")]
    Name,
    /// Another signature type than Ed25519.
    #[error("the key is not an Ed25519 key")]
    Algorithm,
    /// The hash is not the one of this name and key.
    #[error("the key's hash does not belong to its name and bytes")]
    Hash,
}

/// Why a note is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not text, a blank line and signature lines; or too long.
    #[error("the note is malformed")]
    Malformed,
    /// No signature by the key that was asked for.
    #[error("the note is not signed by this key")]
    NotSigned,
    /// A signature that claims to be by this key, and isn't.
    #[error("the note's signature is wrong")]
    BadSignature,
}

fn name_is_valid(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// C2SP signed-note: the first four bytes of `SHA-256(name || "\n" || type || key)`.
fn key_id(name: &str, public_key: &[u8]) -> u32 {
    let mut context = Context::new(&SHA256);
    context.update(name.as_bytes());
    context.update(b"\n");
    context.update(&[ED25519_TYPE]);
    context.update(public_key);
    let digest = context.finish();
    let digest = digest.as_ref();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// A public key in signed-note form, `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The key's name; a log's key is named as its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id of its signature lines.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The raw Ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        // The name has no `+`; base64 may.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Malformed);
        };
        if !name_is_valid(name) {
            return Err(VerifierKeyError::Name);
        }
        if hash.len() != 8 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(VerifierKeyError::Malformed);
        }
        let id = u32::from_str_radix(hash, 16).map_err(|_| VerifierKeyError::Malformed)?;
        let bytes = STANDARD.decode(key).map_err(|_| VerifierKeyError::Malformed)?;
        let (&kind, public_key) = bytes.split_first().ok_or(VerifierKeyError::Malformed)?;
        if kind != ED25519_TYPE {
            return Err(VerifierKeyError::Algorithm);
        }
        let public_key: [u8; 32] = public_key.try_into().map_err(|_| VerifierKeyError::Malformed)?;
        if key_id(name, &public_key) != id {
            return Err(VerifierKeyError::Hash);
        }
        Ok(Self { name: name.to_owned(), id, public_key })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [ED25519_TYPE; 33];
        key[1..].copy_from_slice(&self.public_key);
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

/// An Ed25519 key that signs notes under a name. `Debug` shows the name and the key id only.
pub struct SignerKey {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl SignerKey {
    /// Names `pair`. Refuses a name that a note can't carry.
    pub fn new(name: &str, pair: Ed25519KeyPair) -> Result<Self, VerifierKeyError> {
        if !name_is_valid(name) {
            return Err(VerifierKeyError::Name);
        }
        let public_key: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| VerifierKeyError::Algorithm)?;
        let id = key_id(name, &public_key);
        Ok(Self { verifier: VerifierKey { name: name.to_owned(), id, public_key }, pair })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note of `text`, which ends with a newline.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = self.verifier.id.to_be_bytes().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{SIGNATURE_PREFIX}{} {}\n", self.verifier.name, STANDARD.encode(signature))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}+{:08x})", self.verifier.name, self.verifier.id)
    }
}

/// Checks that `note` is signed by `key` and gives its text (with the last newline). Signatures by other keys are
/// ignored, as C2SP signed-note says.
pub fn open_note<'a>(note: &'a str, key: &VerifierKey) -> Result<&'a str, NoteError> {
    if note.len() > NOTE_BYTES_MAX || note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(NoteError::Malformed);
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = (&note[..=split], &note[split + 2..]);
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let mut signed = false;
    for (count, line) in signatures.split('\n').enumerate() {
        let (name, value) =
            line.strip_prefix(SIGNATURE_PREFIX).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
        let value = STANDARD.decode(value).map_err(|_| NoteError::Malformed)?;
        let (id, signature) = value.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        if count >= SIGNATURES_MAX || !name_is_valid(name) || signature.is_empty() {
            return Err(NoteError::Malformed);
        }
        if name != key.name || u32::from_be_bytes(*id) != key.id {
            continue;
        }
        UnparsedPublicKey::new(&ED25519, key.public_key)
            .verify(text.as_bytes(), signature)
            .map_err(|_| NoteError::BadSignature)?;
        signed = true;
    }
    if signed { Ok(text) } else { Err(NoteError::NotSigned) }
}
