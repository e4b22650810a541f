//! Signed notes against Go's own example and the `signed_note` crate.

use airgate_tlog::{NoteError, SignerKey, VerifierKey, VerifierKeyError, open_note};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// From golang.org/x/mod/sumdb/note's tests: a published key pair, its text and its note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn peter() -> SignerKey {
    let seed = STANDARD.decode(PETER_SEED).unwrap();
    SignerKey::new("PeterNeumann", Ed25519KeyPair::from_seed_unchecked(&seed[1..]).unwrap()).unwrap()
}

#[test]
fn signs_to_the_bytes_that_go_signs_to() {
    assert_eq!(peter().verifier().to_string(), PETER);
    assert_eq!(peter().sign(TEXT), format!("{TEXT}\n{SIGNATURE}"));
}

#[test]
fn opens_the_note_that_go_signed_and_no_other() {
    let key: VerifierKey = PETER.parse().unwrap();
    let note = format!("{TEXT}\n{SIGNATURE}");
    assert_eq!(open_note(&note, &key), Ok(TEXT));
    let other = SignerKey::new("PeterNeumann", Ed25519KeyPair::generate().unwrap()).unwrap();
    for (name, bad, error) in [
        ("another key", other.sign(TEXT), NoteError::NotSigned),
        ("changed text", note.replacen("answer", "Answer", 1), NoteError::BadSignature),
        ("changed signature", note.replacen("x08go/Z", "x08go/A", 1), NoteError::BadSignature),
        ("no signature", TEXT.to_owned(), NoteError::Malformed),
        ("no blank line", format!("{TEXT}{SIGNATURE}"), NoteError::Malformed),
        ("no last newline", note.trim_end().to_owned(), NoteError::Malformed),
        ("a control character", note.replacen("answer", "ans\rwer", 1), NoteError::Malformed),
        ("a line that is no signature", format!("{note}word\n"), NoteError::Malformed),
        ("empty", String::new(), NoteError::Malformed),
    ] {
        assert_eq!(open_note(&bad, &key), Err(error), "{name}");
    }
    let both = format!("{note}{}", other.sign(TEXT).rsplit_once("\n\n").unwrap().1);
    assert_eq!(open_note(&both, &key), Ok(TEXT), "other parties' signatures are ignored");
}

#[test]
fn another_implementation_opens_our_notes() {
    let signer = SignerKey::new("gw.test/audit", Ed25519KeyPair::generate().unwrap()).unwrap();
    let verifier = signed_note::StandardVerifier::new(&signer.verifier().to_string()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let note = signed_note::Note::from_bytes(signer.sign("gw.test/audit\n1\nAAAA\n").as_bytes()).unwrap();
    let (verified, unverified) = note.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
}

#[test]
fn refuses_malformed_verifier_keys() {
    for (bad, error) in [
        ("", VerifierKeyError::Malformed),
        ("name+c74f20a3", VerifierKeyError::Malformed),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", VerifierKeyError::Hash),
        ("PeterNeumanN+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", VerifierKeyError::Hash),
        ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", VerifierKeyError::Algorithm),
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==", VerifierKeyError::Malformed),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", VerifierKeyError::Name),
        ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", VerifierKeyError::Name),
        ("PeterNeumann+c74f20a+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", VerifierKeyError::Malformed),
    ] {
        assert_eq!(bad.parse::<VerifierKey>(), Err(error), "{bad}");
    }
}

#[test]
fn refuses_names_that_a_note_can_not_carry() {
    for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
        let pair = Ed25519KeyPair::generate().unwrap();
        assert_eq!(SignerKey::new(name, pair).unwrap_err(), VerifierKeyError::Name, "{name:?}");
    }
}

#[test]
fn debug_does_not_show_the_key() {
    assert_eq!(format!("{:?}", peter()), "SignerKey(PeterNeumann+c74f20a3)");
}
