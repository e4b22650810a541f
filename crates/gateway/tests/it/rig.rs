//! One gateway with everything around it, and a client that sends and reads raw bytes.

use airgate_audit::{AuditLog, LogConfig, LogKey};
use airgate_gateway::{
    Accepts, ClientCertificates, Gateway, GatewayConfig, Limits, ListenerConfig, Match, RouteConfig, Scheme, TlsFiles,
    UpstreamConfig,
};
use airgate_identity::{Algorithm, KeySource, Verifier};
use airgate_policy::{Allow, Grant, Policy, Role};
use airgate_signin::{AssertionConfig, SignInConfig};
use airgate_testkit::{TestCa, TestIssuer, upstream::Upstream};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::watch;

pub const AUDIENCE: &str = "https://gw.example";
pub const HOST: &str = "orders.example";

/// What a test may want otherwise.
pub struct Options {
    pub limits: Limits,
    pub threads: usize,
    pub connect_timeout: Duration,
    pub answer_timeout: Duration,
    pub tls: Option<TlsFiles>,
    /// Where the audit log lives; default: a folder of the rig's own.
    pub log_folder: Option<PathBuf>,
    /// Instead of the rig's upstream.
    pub upstream: Option<SocketAddr>,
    pub assertion: bool,
    pub segment_bytes: u64,
    /// What the rig's route accepts.
    pub accepts: Accepts,
    /// Instead of one that trusts the rig's issuer.
    pub verifier: Option<Verifier>,
    /// Instead of the one upstream, route and policy of the rig.
    pub world: Option<(Vec<UpstreamConfig>, Vec<RouteConfig>, Policy)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits {
                body_idle_timeout: Duration::from_millis(600),
                drain_timeout: Duration::from_secs(5),
                ..Limits::default()
            },
            threads: 1,
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_millis(600),
            tls: None,
            log_folder: None,
            upstream: None,
            assertion: false,
            segment_bytes: 1 << 20,
            accepts: Accepts::default(),
            verifier: None,
            world: None,
        }
    }
}

pub struct Rig {
    pub address: SocketAddr,
    pub issuer: TestIssuer,
    pub upstream: Upstream,
    pub folder: TempDir,
    log_folder: PathBuf,
    verifier_key: String,
    log: Option<AuditLog>,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<bool>>,
}

/// An answer as it came over the wire.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The connection broke before the announced body was whole.
    pub cut: bool,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|l| l.split_once(':'))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
    }
    pub fn problem(&self) -> Value {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }
    /// Every value of a field that may stand more than once.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|l| l.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
    }
    pub fn entry(&self) -> u64 {
        self.field("airgate-entry").unwrap_or_else(|| panic!("no entry in {self:?}")).parse().unwrap()
    }
}

pub fn unix_now() -> u64 {
    #[allow(clippy::disallowed_methods)]
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

impl Rig {
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(mut options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = TestIssuer::new(Algorithm::EdDsa);
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks().to_string()).unwrap();
        let own = || Verifier::new(vec![issuer.config("airflow", AUDIENCE, KeySource::File(jwks))]).unwrap();
        let verifier = options.verifier.take().unwrap_or_else(own);
        let upstream = Upstream::start();
        let log_folder = options.log_folder.clone().unwrap_or_else(|| folder.path().join("log"));
        let key_path = folder.path().join("log.key");
        let key = LogKey::load_or_create(&key_path, "gw.example/audit").unwrap();
        let verifier_key = key.verifier_key();
        let (log, _) = AuditLog::open(
            LogConfig {
                folder: log_folder.clone(),
                origin: "gw.example/audit".into(),
                publish_interval: Duration::from_millis(100),
                segment_bytes: options.segment_bytes,
                queue_max: 1024,
                append_timeout: Duration::from_secs(2),
            },
            key,
        )
        .unwrap();
        let target = options.upstream.unwrap_or_else(|| upstream.address());
        let world = options.world.take().unwrap_or_else(|| world(&options, target, folder.path()));
        let (config, policy) = config(&options, world);
        let gateway = Gateway::bind(&config, verifier, Arc::new(policy), log.writer()).unwrap();
        let address = gateway.addresses()[0].1;
        let (stop, stopped) = watch::channel(false);
        let serving = Some(std::thread::spawn(move || gateway.run(&stopped)));
        Self { address, issuer, upstream, folder, log_folder, verifier_key, log: Some(log), stop, serving }
    }

    /// A token of the task that the rig's grant names.
    pub fn token(&self) -> String {
        self.issuer.token(self.claims())
    }

    pub fn claims(&self) -> Value {
        self.issuer.job_claims("nightly_orders", "load", AUDIENCE, unix_now())
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// One request on a connection of its own.
    pub fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut BufReader::new(stream), request.starts_with("HEAD ")).unwrap()
    }

    /// One request over TLS, on a connection of its own.
    ///
    /// # Errors
    /// The handshake failed, or there was no whole answer.
    pub fn send_tls(&self, caller: &Arc<rustls::ClientConfig>, request: &str) -> std::io::Result<Answer> {
        let name = rustls_pki_types::ServerName::try_from(HOST).unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(caller), name).map_err(std::io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(session, self.connect());
        stream.write_all(request.as_bytes())?;
        read_answer(&mut BufReader::new(stream), false)
    }

    /// A permitted GET of `path`.
    pub fn get(&self, path: &str) -> Answer {
        self.send(&self.request("GET", path, ""))
    }

    pub fn request(&self, method: &str, path: &str, fields: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {}\r\n{fields}\r\n", self.token())
    }

    /// Stops the gateway and closes the log. True: every request in flight ended in time.
    pub fn stop(&mut self) -> bool {
        self.stop.send_replace(true);
        let drained = self.serving.take().is_some_and(|s| s.join().unwrap());
        if let Some(log) = self.log.take() {
            log.close().unwrap();
        }
        drained
    }

    /// Asks the gateway to drain, without waiting.
    pub fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops, verifies the whole log, returns its entries in order, what they say of call and outcome at their top level.
    pub fn entries(&mut self) -> Vec<Value> {
        self.stop();
        let key = self.verifier_key.parse().unwrap();
        airgate_audit::verify(&self.log_folder, &key, &airgate_audit::VerifyOptions::default()).unwrap();
        airgate_testkit::log::entries(&self.log_folder).into_iter().map(flatten).collect()
    }
}

fn flatten(mut entry: Value) -> Value {
    for part in ["call", "outcome"] {
        if let Some(Value::Object(inner)) = entry.as_object_mut().unwrap().remove(part) {
            entry.as_object_mut().unwrap().extend(inner);
        }
    }
    entry
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// The outcome entry of the intent at `index`; panics where there is not exactly one.
pub fn outcome(entries: &[Value], index: u64) -> &Value {
    let found: Vec<&Value> = entries.iter().filter(|e| e["kind"] == "outcome" && e["intent"] == json!(index)).collect();
    assert_eq!(found.len(), 1, "outcomes of {index}: {found:?}");
    found[0]
}

fn config(
    options: &Options,
    (upstreams, routes, policy): (Vec<UpstreamConfig>, Vec<RouteConfig>, Policy),
) -> (GatewayConfig, Policy) {
    let listener =
        ListenerConfig { name: "main".into(), address: "127.0.0.1:0".parse().unwrap(), tls: options.tls.clone() };
    (
        GatewayConfig {
            listeners: vec![listener],
            upstreams,
            routes,
            limits: options.limits.clone(),
            threads: options.threads,
        },
        policy,
    )
}

/// What a rig's listener shows over TLS, and whom it asks for certificates.
pub struct Tls {
    pub ca: TestCa,
    pub folder: TempDir,
    pub files: TlsFiles,
}

impl Tls {
    pub fn new() -> Self {
        let (ca, folder) = (TestCa::new(), tempfile::tempdir().unwrap());
        let (certificate, key) = ca.issue(&[HOST]);
        let files =
            TlsFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem"), clients: None };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        Self { ca, folder, files }
    }

    /// Asks callers for certificates of this authority.
    pub fn with_clients(mut self, authority: &TestCa, required: bool) -> Self {
        let ca_file = self.folder.path().join("clients.pem");
        std::fs::write(&ca_file, authority.pem()).unwrap();
        self.files.clients = Some(ClientCertificates { ca_file, required });
        self
    }

    /// A caller's side, with a certificate or without one: (certificate PEM, key PEM).
    pub fn caller(&self, alpn: &[u8], certificate: Option<(&str, &str)>) -> Arc<rustls::ClientConfig> {
        use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }
}

fn world(options: &Options, target: SocketAddr, folder: &Path) -> (Vec<UpstreamConfig>, Vec<RouteConfig>, Policy) {
    let sign_in = if options.assertion {
        SignInConfig::BearerAssertion(AssertionConfig {
            issuer: "https://gw.example".into(),
            audience: "https://iis.example".into(),
            key: folder.join("assertion.key"),
            lifetime: Duration::from_secs(60),
        })
    } else {
        SignInConfig::None
    };
    let upstream = UpstreamConfig {
        name: "orders".into(),
        scheme: Scheme::Http,
        host: target.ip().to_string(),
        port: target.port(),
        ca_file: None,
        sign_in,
        connect_timeout: options.connect_timeout,
        answer_timeout: options.answer_timeout,
        connections_max: 64,
    };
    let route = RouteConfig {
        name: "orders".into(),
        matches: Match::Host(HOST.into()),
        upstream: "orders".into(),
        accepts: options.accepts.clone(),
    };
    (vec![upstream], vec![route], policy())
}

/// `nightly_orders` may do anything that the tests' paths need, nothing under `/payroll`.
fn policy() -> Policy {
    let all = |path: &str| Allow { route: "orders".into(), methods: vec!["*".into()], paths: vec![path.into()] };
    let role = |name: &str, allow| Role { name: name.into(), allow };
    let paths = [
        "/",
        "/api/**",
        "/reset-before-head",
        "/reset-mid-upload",
        "/reset-mid-answer",
        "/stall-answer",
        "/silent",
        "/unread",
        "/unauthorized",
        "/chatty",
        "/switch",
        "/close",
        "/big/*",
    ];
    Policy::compile(
        vec![role("writer", paths.map(all).to_vec())],
        vec![Grant {
            name: "nightly-orders".into(),
            issuer: "airflow".into(),
            conditions: [("dag_id".to_owned(), vec!["nightly_orders".to_owned()])].into(),
            role: "writer".into(),
            windows_identity: Some("svc-orders@corp.example".into()),
        }],
        vec![],
    )
    .unwrap()
}

/// Reads one answer; a connection that breaks mid-body gives what came, marked `cut`.
pub fn read_answer(reader: &mut impl BufRead, head_only: bool) -> std::io::Result<Answer> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, format!("no whole head: {head:?}")));
        }
        if head[before..].trim_end().is_empty() {
            break;
        }
    }
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap();
    let mut answer = Answer { status, head, body: Vec::new(), cut: false };
    if head_only || status == 204 || status == 304 {
        return Ok(answer);
    }
    if answer.field("transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            let n = reader.read_line(&mut line);
            let Ok(size) = usize::from_str_radix(line.trim(), 16) else {
                answer.cut = true;
                return n.map(|_| answer.clone()).or(Ok(answer));
            };
            let mut chunk = vec![0; size + 2];
            if reader.read_exact(&mut chunk).is_err() {
                answer.cut = true;
                return Ok(answer);
            }
            if size == 0 {
                return Ok(answer);
            }
            answer.body.extend_from_slice(&chunk[..size]);
        }
    }
    let length: usize = answer.field("content-length").map_or(0, |v| v.parse().unwrap());
    let mut limited = reader.take(length as u64);
    let whole = limited.read_to_end(&mut answer.body);
    answer.cut = whole.is_err() || answer.body.len() < length;
    Ok(answer)
}
