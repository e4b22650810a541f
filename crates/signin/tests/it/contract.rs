//! What holds for every mode, without a lab.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use airgate_signin::{Credential, KerberosConfig, OnBehalfOf, SignIn, SignInConfig, SignInError};
use http::{HeaderMap, StatusCode};

fn kerberos(keytab: &std::path::Path) -> KerberosConfig {
    KerberosConfig {
        spn: "HTTP/iis01.corp.example@CORP.EXAMPLE".to_owned(),
        keytab: keytab.to_owned(),
        principal: "svc-gw@CORP.EXAMPLE".to_owned(),
        kdc_timeout: Duration::from_secs(5),
        credential_lifetime_max: Duration::from_secs(900),
    }
}

/// A keytab with one AES256 key of zeros: right in form, and of no account anywhere.
fn keytab(folder: &std::path::Path) -> std::path::PathBuf {
    let text = |s: &[u8]| [&u16::try_from(s.len()).unwrap().to_be_bytes(), s].concat();
    let body = [
        1_u16.to_be_bytes().to_vec(),
        text(b"CORP.EXAMPLE"),
        text(b"svc-gw"),
        vec![0; 8],
        vec![1],
        18_u16.to_be_bytes().to_vec(),
        text(&[0; 32]),
    ]
    .concat();
    let path = folder.join("gw.keytab");
    std::fs::write(&path, [&[5, 2][..], &i32::try_from(body.len()).unwrap().to_be_bytes(), &body].concat()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn is_shareable<T: Send + Sync + Clone>(_: &T) {}
fn is_sendable<T: Send>(_: &T) {}

#[tokio::test]
async fn none_sends_no_header_and_takes_any_answer() {
    let sign_in = SignIn::new("open", SignInConfig::None).unwrap();
    is_shareable(&sign_in);
    assert_eq!(sign_in.mode(), "none");
    assert!(sign_in.public_jwks().is_empty());
    let claims = serde_json::Map::new();
    let who =
        OnBehalfOf { windows_identity: None, issuer: "i", subject: "s", claims: &claims, request_id: "r", now: 1 };
    let credential: Credential = sign_in.credential(&who).await.unwrap();
    let (header, check) = credential.authorization().await.unwrap();
    is_sendable(&check);
    assert!(header.is_none());
    check.check(StatusCode::UNAUTHORIZED, &HeaderMap::new()).unwrap();
}

#[tokio::test]
async fn kerberos_without_an_identity_is_refused_before_any_kdc() {
    let folder = tempfile::tempdir().unwrap();
    let sign_in = SignIn::new("orders", SignInConfig::Kerberos(kerberos(&keytab(folder.path())))).unwrap();
    assert_eq!(sign_in.mode(), "kerberos");
    let claims = serde_json::Map::new();
    let mut who =
        OnBehalfOf { windows_identity: None, issuer: "i", subject: "s", claims: &claims, request_id: "r", now: 1 };
    assert_eq!(sign_in.credential(&who).await.unwrap_err(), SignInError::NoIdentity);
    who.windows_identity = Some("OTHER\\svc-orders");
    assert_eq!(sign_in.credential(&who).await.unwrap_err().code(), "identity_invalid");
}

#[test]
fn a_wrong_configuration_says_which_value_and_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let right = kerberos(&keytab(folder.path()));
    let said = |config: KerberosConfig| SignIn::new("orders", SignInConfig::Kerberos(config)).unwrap_err().to_string();
    for spn in
        ["HTTP/iis01.corp.example", "iis01@CORP.EXAMPLE", "HTTP/@R", "/h@R", "HTTP/h@", "HTTP/h@R@R", "HTTP/a b@R"]
    {
        let message = said(KerberosConfig { spn: spn.to_owned(), ..right.clone() });
        assert!(message.contains("`spn`") && message.contains(spn), "{message}");
    }
    for principal in ["svc-gw", "@R", "svc-gw@", "a@b@c"] {
        let message = said(KerberosConfig { principal: principal.to_owned(), ..right.clone() });
        assert!(message.contains("`principal`"), "{message}");
    }
    for (seconds, lifetime) in [(0, 900), (61, 900), (5, 0), (5, 36_001)] {
        let message = said(KerberosConfig {
            kdc_timeout: Duration::from_secs(seconds),
            credential_lifetime_max: Duration::from_secs(lifetime),
            ..right.clone()
        });
        assert!(message.contains("choose"), "{message}");
    }
    let message = said(KerberosConfig { keytab: folder.path().join("none"), ..right.clone() });
    assert!(message.contains("does not exist"), "{message}");
    let message = said(KerberosConfig { principal: "svc-other@CORP.EXAMPLE".to_owned(), ..right });
    assert!(message.contains("svc-gw@CORP.EXAMPLE"), "{message}");
}

#[test]
fn debug_shows_the_mode_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let sign_in = SignIn::new("orders", SignInConfig::Kerberos(kerberos(&keytab(folder.path())))).unwrap();
    assert_eq!(format!("{sign_in:?}"), "SignIn(kerberos)");
}
