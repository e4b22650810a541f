//! Against a real domain controller and a real Negotiate upstream. Needs the lab (`python3 lab/ad.py up`), whose state
//! folder is in `AIRGATE_LAB`, and runs in the lab's network namespace; without it each test says so and passes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use airgate_signin::{AnswerCheck, Credential, KerberosConfig, OnBehalfOf, SignIn, SignInConfig, SignInError};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Map, Value};

const KDC_TIMEOUT: Duration = Duration::from_millis(1500);

struct Lab(Value);

impl Lab {
    /// The lab, or None with a line that says why the test does nothing.
    fn find() -> Option<Self> {
        #[allow(clippy::disallowed_methods, reason = "where the lab is, is the environment's to say")]
        let folder = std::env::var("AIRGATE_LAB");
        let Ok(folder) = folder else {
            eprintln!("skipped: AIRGATE_LAB names no lab (start one with `python3 lab/ad.py up`)");
            return None;
        };
        let text = std::fs::read_to_string(Path::new(&folder).join("lab.json")).expect("AIRGATE_LAB has a lab.json");
        Some(Self(serde_json::from_str(&text).unwrap()))
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("lab.json has no {pointer}"))
    }

    fn config(&self) -> KerberosConfig {
        KerberosConfig {
            spn: self.text("/spn").to_owned(),
            keytab: PathBuf::from(self.text("/keytab")),
            principal: self.text("/principal").to_owned(),
            kdc_timeout: KDC_TIMEOUT,
            credential_lifetime_max: Duration::from_secs(900),
        }
    }

    fn sign_in(&self) -> SignIn {
        SignIn::new("orders", SignInConfig::Kerberos(self.config())).unwrap()
    }

    fn kdc(&self, action: &str) {
        let mut command: Vec<_> = self.0["control"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        command.extend(["kdc", action]);
        let done = Command::new(command[0]).args(&command[1..]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    async fn connect(&self, vhost: &str) -> Upstream {
        let authority = self.text(&format!("/urls/{vhost}")).strip_prefix("https://").unwrap().to_owned();
        let host = authority.split(':').next().unwrap().to_owned();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.text("/ca")).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = tokio::net::TcpStream::connect(&authority).await.unwrap();
        let name = ServerName::try_from(host).unwrap();
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        Upstream { sender, authority }
    }
}

/// Brings the KDC back when a test ends, however it ends.
struct Without<'a>(&'a Lab, &'static str);

impl<'a> Without<'a> {
    fn kdc(lab: &'a Lab, away: &'static str, back: &'static str) -> Self {
        lab.kdc(away);
        Self(lab, back)
    }
}

impl Drop for Without<'_> {
    fn drop(&mut self) {
        self.0.kdc(self.1);
    }
}

struct Upstream {
    sender: hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    authority: String,
}

impl Upstream {
    async fn get(&mut self, authorization: Option<HeaderValue>) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::get("/echo").header(header::HOST, &self.authority).body(Empty::new()).unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let (parts, body) = self.sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or_default())
    }
}

async fn credential(sign_in: &SignIn, identity: &str) -> Result<Credential, SignInError> {
    let claims = Map::new();
    let who = OnBehalfOf {
        windows_identity: Some(identity),
        issuer: "https://airflow.lab.test",
        subject: "s",
        claims: &claims,
        request_id: "r",
        now: 0,
    };
    sign_in.credential(&who).await
}

async fn attempt(credential: &Credential) -> (HeaderValue, AnswerCheck) {
    let (header, check) = credential.authorization().await.unwrap();
    (header.unwrap(), check)
}

fn code<T>(result: Result<T, SignInError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => {
            eprintln!("{}: {error}", error.code());
            error.code()
        }
    }
}

#[tokio::test]
async fn the_upstream_sees_the_mapped_user_and_proves_itself() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    for (identity, user) in [
        ("svc-orders@LAB.TEST", "svc-orders@LAB.TEST"),
        ("svc-orders@lab.test", "svc-orders@LAB.TEST"),
        ("svc-reports", "svc-reports@LAB.TEST"),
        ("LAB\\alice", "alice@LAB.TEST"),
        ("EMEA01", "EMEA01@LAB.TEST"),
        // Samba leaves the enterprise name in the ticket; Windows names the account by the ticket's PAC.
        ("carol.long@corp.example", "carol.long\\@corp.example@LAB.TEST"),
    ] {
        let credential = credential(&sign_in, identity).await.unwrap();
        for vhost in ["per_request", "per_connection"] {
            let mut upstream = lab.connect(vhost).await;
            for _ in 0..3 {
                let (header, check) = attempt(&credential).await;
                assert!(header.is_sensitive());
                let (status, headers, body) = upstream.get(Some(header)).await;
                assert_eq!(status, 200, "{identity} at {vhost}");
                assert!(body["user"].as_str().unwrap().eq_ignore_ascii_case(user), "{identity} at {vhost}: {body}");
                check.check(status, &headers).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn an_answer_without_the_upstreams_proof_is_refused() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    let alice = credential(&sign_in, "alice").await.unwrap();
    let mut upstream = lab.connect("per_request").await;
    let proof = |headers: &HeaderMap| headers[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    let (header, check) = attempt(&alice).await;
    let (_, other, _) = upstream.get(Some(header)).await;
    check.check(StatusCode::OK, &other).unwrap();
    for name in [
        "missing",
        "empty",
        "not_base64",
        "cut",
        "changed",
        "of_another_request",
        "accepted_without_proof",
        "other_mechanism",
        "twice",
        "server_error",
    ] {
        let (header, check) = attempt(&alice).await;
        let (status, headers, _) = upstream.get(Some(header)).await;
        assert_eq!(status, 200);
        let right = proof(&headers);
        let mut given = HeaderMap::new();
        let mut give = |value: &str| given.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        match name {
            "empty" => _ = give("Negotiate"),
            "not_base64" => _ = give(&format!("{right}!")),
            "cut" => _ = give(&right[..right.len() - 8]),
            "changed" => {
                // The last bytes are the proof's checksum.
                let last = if right[right.len() - 8..].starts_with('A') { "BBBB" } else { "AAAA" };
                let changed = format!("{}{last}{}", &right[..right.len() - 8], &right[right.len() - 4..]);
                _ = give(&changed);
            }
            "of_another_request" => _ = give(&proof(&other)),
            // NegTokenResp (RFC 4178 §4.2.2) by one who knows no key: accept-completed, and a turn to NTLM.
            "accepted_without_proof" => _ = give("Negotiate oQcwBaADCgEA"),
            "other_mechanism" => _ = give("Negotiate oRUwE6ADCgEBoQwGCisGAQQBgjcCAgo="),
            "twice" => {
                give(&right);
                _ = give(&right);
            }
            _ => {}
        }
        let status = if name == "server_error" { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
        assert_eq!(code(check.check(status, &given)), "mutual_authentication_failed", "{name}");
    }
}

#[tokio::test]
async fn a_token_works_once() {
    let Some(lab) = Lab::find() else { return };
    let alice = credential(&lab.sign_in(), "alice").await.unwrap();
    let (header, check) = attempt(&alice).await;
    let (status, headers, _) = lab.connect("per_request").await.get(Some(header.clone())).await;
    check.check(status, &headers).unwrap();
    let (status, headers, _) = lab.connect("per_request").await.get(Some(header)).await;
    assert_eq!(status, 401);
    let (_, check) = attempt(&alice).await;
    assert_eq!(code(check.check(status, &headers)), "upstream_refused_sign_in");
}

#[tokio::test]
async fn two_identities_take_turns_and_are_never_mixed_up() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    let names = ["alice", "bob"];
    let users = [credential(&sign_in, "alice").await.unwrap(), credential(&sign_in, "bob").await.unwrap()];
    let mut upstreams = [lab.connect("per_connection").await, lab.connect("per_connection").await];
    for turn in 0..200 {
        let (header, check) = attempt(&users[turn % 2]).await;
        let (status, headers, body) = upstreams[turn % 2].get(Some(header)).await;
        check.check(status, &headers).unwrap();
        assert_eq!(body["user"], format!("{}@LAB.TEST", names[turn % 2]));
    }
}

#[tokio::test]
async fn what_the_directory_refuses_has_a_code_of_its_own() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    for (identity, wanted) in [
        ("nobody-of-that-name", "identity_refused"),
        ("nobody@corp.example", "identity_refused"),
        ("disabled", "identity_refused"),
        ("admin-sensitive", "delegation_refused"),
        ("alice", "ok"),
    ] {
        assert_eq!(code(credential(&sign_in, identity).await), wanted, "{identity}");
    }
    for spn in [lab.text("/spn_not_delegated").to_owned(), "HTTP/nowhere.lab.test@LAB.TEST".to_owned()] {
        let sign_in = SignIn::new("other", SignInConfig::Kerberos(KerberosConfig { spn, ..lab.config() })).unwrap();
        assert_eq!(code(credential(&sign_in, "alice").await), "delegation_refused");
    }
}

#[tokio::test]
async fn a_keytab_whose_key_is_not_the_accounts_is_tried_once() {
    let Some(lab) = Lab::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let keytab = folder.path().join("stale.keytab");
    // Damage every run of bytes behind the entries' key lengths: the form stays, the keys do not.
    let mut content = std::fs::read(lab.text("/keytab")).unwrap();
    let mut at = 2;
    while at + 4 <= content.len() {
        let size = usize::try_from(i32::from_be_bytes(content[at..at + 4].try_into().unwrap()).unsigned_abs()).unwrap();
        at += 4 + size;
        content[at - 12] ^= 0xff; // within the key: the version number takes the last four bytes
    }
    std::fs::write(&keytab, content).unwrap();
    std::fs::set_permissions(&keytab, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = KerberosConfig { keytab: keytab.clone(), ..lab.config() };
    let sign_in = SignIn::new("stale", SignInConfig::Kerberos(config)).unwrap();
    let first = credential(&sign_in, "alice").await.unwrap_err();
    assert_eq!(first.code(), "gateway_credential");
    assert!(first.to_string().contains("export the keytab anew"), "{first}");
    assert!(!first.public().contains("keytab"), "{}", first.public());
    {
        // The same refusal without a KDC: it was not asked again, so the account is not locked.
        let _silent = Without::kdc(&lab, "pause", "continue");
        assert_eq!(credential(&sign_in, "bob").await.unwrap_err(), first);
    }
    // A right keytab in its place is taken up without a restart.
    let fresh = folder.path().join("fresh");
    std::fs::copy(lab.text("/keytab"), &fresh).unwrap();
    std::fs::rename(&fresh, &keytab).unwrap();
    assert_eq!(code(credential(&sign_in, "carol.long@corp.example").await), "ok");
}

#[tokio::test]
async fn a_silent_kdc_holds_up_new_identities_for_a_bounded_time_and_known_ones_not_at_all() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    let alice = credential(&sign_in, "alice").await.unwrap();
    let mut upstream = lab.connect("per_request").await;
    {
        let _silent = Without::kdc(&lab, "pause", "continue");
        let begun = Instant::now();
        assert_eq!(code(credential(&sign_in, "bob").await), "kdc_timeout");
        let took = begun.elapsed();
        assert!(took >= KDC_TIMEOUT && took < KDC_TIMEOUT + Duration::from_millis(500), "{took:?}");

        // From here on new identities are refused at once, and no thread is spent on them.
        let begun = Instant::now();
        for user in ["bob", "svc-reports", "svc-payroll", "svc-orders", "nobody"] {
            assert_eq!(code(credential(&sign_in, user).await), "kdc_unavailable", "{user}");
        }
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());

        for _ in 0..20 {
            let begun = Instant::now();
            let known = credential(&sign_in, "alice").await.unwrap();
            let (header, check) = attempt(&known).await;
            assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
            let (status, headers, body) = upstream.get(Some(header)).await;
            check.check(status, &headers).unwrap();
            assert_eq!(body["user"], "alice@LAB.TEST");
        }
        let (header, check) = attempt(&alice).await;
        let (status, headers, _) = upstream.get(Some(header)).await;
        check.check(status, &headers).unwrap();
    }
    // The KDC is back: the flight that hung ends by itself and its credential is used, breaker or not.
    let deadline = Instant::now() + Duration::from_secs(6);
    while credential(&sign_in, "bob").await.is_err() {
        assert!(Instant::now() < deadline, "the KDC is back and bob is still refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(code(credential(&sign_in, "svc-reports").await), "ok");
}

#[tokio::test]
async fn many_requests_for_silent_kdc_end_in_time_and_take_few_threads() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    credential(&sign_in, "alice").await.unwrap(); // the gateway's own ticket is here
    let _silent = Without::kdc(&lab, "pause", "continue");
    let begun = Instant::now();
    let tasks: Vec<_> = (0..500)
        .map(|number| {
            let sign_in = sign_in.clone();
            tokio::spawn(async move {
                let result = credential(&sign_in, &format!("user-{}", number % 250)).await;
                result.map_or_else(|error| error.code(), |_| "ok")
            })
        })
        .collect();
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    for task in tasks {
        *seen.entry(task.await.unwrap()).or_default() += 1;
    }
    eprintln!("{seen:?} in {:?}", begun.elapsed());
    assert!(begun.elapsed() < KDC_TIMEOUT + Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(seen.values().sum::<usize>(), 500);
    assert!(seen["sign_in_busy"] > 0 && seen["kdc_timeout"] > 0 && !seen.contains_key("ok"), "{seen:?}");
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let waiting = threads
        .filter_map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with("kdc-"))
        .count();
    assert!(waiting <= 8, "{waiting} threads");
}

#[tokio::test]
async fn without_a_kdc_new_identities_are_refused_and_known_ones_go_on() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    let alice = credential(&sign_in, "alice").await.unwrap();
    {
        let _down = Without::kdc(&lab, "stop", "start");
        let begun = Instant::now();
        let refused = code(credential(&sign_in, "bob").await);
        assert!(["kdc_unavailable", "kdc_timeout"].contains(&refused), "{refused}");
        assert!(begun.elapsed() < KDC_TIMEOUT + Duration::from_millis(500));
        let mut upstream = lab.connect("per_request").await;
        let (header, check) = attempt(&alice).await;
        let (status, headers, _) = upstream.get(Some(header)).await;
        check.check(status, &headers).unwrap();
        // A gateway starts without a KDC, and says what is wrong when it is needed.
        let started = lab.sign_in();
        let refused = code(credential(&started, "alice").await);
        assert!(["kdc_unavailable", "kdc_timeout"].contains(&refused), "{refused}");
    }
    let deadline = Instant::now() + Duration::from_secs(8);
    while credential(&sign_in, "bob").await.is_err() {
        assert!(Instant::now() < deadline, "the KDC is back and bob is still refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn hundreds_of_requests_for_one_identity_ask_the_kdc_once() {
    let Some(lab) = Lab::find() else { return };
    let sign_in = lab.sign_in();
    let begun = Instant::now();
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let sign_in = sign_in.clone();
            tokio::spawn(async move { code(credential(&sign_in, "alice").await) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "ok");
    }
    assert!(begun.elapsed() < KDC_TIMEOUT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_credential_is_made_anew_after_its_longest_use() {
    let Some(lab) = Lab::find() else { return };
    let config = KerberosConfig { credential_lifetime_max: Duration::from_millis(300), ..lab.config() };
    let sign_in = SignIn::new("orders", SignInConfig::Kerberos(config)).unwrap();
    let alice = credential(&sign_in, "alice").await.unwrap();
    let _ = attempt(&alice).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    // Past its time the KDC is asked again: with a silent one that shows.
    let _silent = Without::kdc(&lab, "pause", "continue");
    assert_eq!(code(alice.authorization().await), "kdc_timeout");
    assert_eq!(code(credential(&sign_in, "alice").await), "kdc_unavailable");
}
