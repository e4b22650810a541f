//! The gateway as a process: what it does on signals, what it refuses to start with, what it leaves behind.

use crate::fixture::{Folder, airgate, shown};
use airgate_identity::Algorithm;
use airgate_testkit::TestIssuer;
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Longest that any step here may take: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// An upstream that answers 200, but never a path that ends with `/hang`.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    /// A word for each request head that came in.
    pub(crate) seen: Receiver<String>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (sender, seen) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || answer(stream, &sender));
            }
        });
        Self { port, seen }
    }
}

fn answer(stream: TcpStream, seen: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or(0) > 0 && line != "\r\n" {
            line.clear();
        }
        let _ = seen.send(first.clone());
        if !first.contains("/hang") && (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").is_err() {
            return;
        }
    }
}

/// A folder whose configuration can be served on loopback, and the issuer that its grant trusts.
pub(crate) fn folder(upstream: u16) -> (Folder, TestIssuer) {
    let issuer = TestIssuer::new(Algorithm::EdDsa);
    let config = format!(
        r#"threads = 1
[listener.main]
address = "127.0.0.1:0"
danger_plaintext = true

[audit]
folder = "audit"
key = "audit.key"
origin = "gw.example/audit"
publish_interval = "20ms"

[issuer.airflow]
url = "{}"
audiences = ["https://gw.example"]
assurance = "task"
jwks_file = "jwks.json"

[upstream.open]
url = "http://127.0.0.1:{upstream}"
danger_plaintext = true
sign_in = "none"

[route.open]
path = "/open"
upstream = "open"

[role.reader]
allow = [{{ route = "open", methods = ["GET"], paths = ["/open/**"] }}]

[grant.nightly]
issuer = "airflow"
where = {{ dag_id = "nightly_orders" }}
role = "reader"
"#,
        issuer.issuer()
    );
    let folder = Folder::with(&config);
    folder.write("jwks.json", &issuer.jwks().to_string(), 0o644);
    (folder, issuer)
}

/// A token of the DAG `nightly_orders`.
pub(crate) fn token(issuer: &TestIssuer) -> String {
    let now = u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970");
    issuer.token(issuer.job_claims("nightly_orders", "load", "https://gw.example", now))
}

/// `airgate serve`, listening. Killed with its value.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    /// Its log so far, a JSON object a line.
    log: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(folder: &Folder) -> Self {
        let mut child = airgate()
            .args(["serve", "--config", "airgate.toml", "--log-format", "json"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, listening) = mpsc::channel();
        let lines = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("every line of the log is JSON");
                if line["message"] == "listening" {
                    let _ = sender.send(line["address"].as_str().expect("an address").to_owned());
                }
                lines.lock().expect("not poisoned").push(line);
            }
        });
        let address = listening.recv_timeout(PATIENCE);
        let address = address.unwrap_or_else(|_| panic!("it does not listen: {:?}", log.lock().expect("not poisoned")));
        Self { child, address, log, reader: Some(reader) }
    }

    /// Status, and the whole answer. `authorization` may be empty.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let mut stream = self.send(path, token);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
    }

    /// A request, sent; its answer is to be read.
    pub(crate) fn send(&self, path: &str, token: Option<&str>) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nhost: gw.example\r\n{authorization}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        stream
    }

    /// The first line of the log that says this.
    pub(crate) fn logged(&self, word: &str) -> Value {
        let log = self.log.lock().expect("not poisoned");
        let line = log.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains(word)));
        line.unwrap_or_else(|| panic!("no {word:?} in {log:?}")).clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill runs").success());
    }

    /// Waits for its end: how it ended, and its log.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        // The log ends when the process does: then `wait` does not block.
        self.reader.take().expect("once").join().expect("the log is read");
        let status = self.child.wait().expect("it ended");
        let mut stdout = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("read");
        assert_eq!(stdout, "", "nothing goes to standard output");
        (status, self.log.lock().expect("not poisoned").clone())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has(log: &[Value], level: &str, word: &str) -> bool {
    log.iter().any(|line| line["level"] == level && line["message"].as_str().is_some_and(|text| text.contains(word)))
}

#[test]
fn drains_on_a_signal_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let upstream = Upstream::start();
        let (folder, issuer) = folder(upstream.port);
        let served = Served::start(&folder);
        assert_eq!(served.get("/open/7", Some(&token(&issuer))).0, 200);
        served.signal(signal);
        let (status, log) = served.wait();
        assert_eq!(status.code(), Some(0), "{log:?}");
        for (level, word) in [
            ("WARN", "`danger_plaintext` is on: tokens cross"),
            ("INFO", "audit log open"),
            ("INFO", "upstream `open`: http://127.0.0.1:"),
            ("INFO", "draining"),
            ("INFO", "stopped: all requests ended"),
        ] {
            assert!(has(&log, level, word), "{signal}: no {level} {word:?} in {log:?}");
        }
    }
}

#[test]
fn a_second_signal_ends_at_once_and_the_next_start_closes_what_was_open() {
    let upstream = Upstream::start();
    let (folder, issuer) = folder(upstream.port);
    let served = Served::start(&folder);
    let waiting = served.send("/open/hang", Some(&token(&issuer)));
    upstream.seen.recv_timeout(PATIENCE).expect("the request is in flight");
    served.signal("TERM");
    served.signal("INT");
    let (status, log) = served.wait();
    assert_eq!(status.code(), Some(1), "{log:?}");
    assert!(has(&log, "ERROR", "ending at once"), "{log:?}");
    drop(waiting);

    let served = Served::start(&folder);
    served.signal("TERM");
    let (status, log) = served.wait();
    assert_eq!(status.code(), Some(0), "{log:?}");
    assert!(has(&log, "WARN", "closed as `gateway_stopped`"), "{log:?}");
    let output = folder.airgate(&["audit", "search", "--config", "airgate.toml", "--json"]);
    let calls: Value = serde_json::from_slice(&output.stdout).expect("a list");
    assert_eq!(calls[0]["outcome"]["ending"], "gateway_stopped", "{calls}");
    assert_eq!(calls.as_array().map(Vec::len), Some(1), "{calls}");
}

#[test]
fn two_processes_do_not_write_one_log() {
    let upstream = Upstream::start();
    let (folder, _) = folder(upstream.port);
    let _first = Served::start(&folder);
    let second = folder.airgate(&["serve", "--config", "airgate.toml"]);
    assert_eq!(second.status.code(), Some(3), "{}", shown(&second));
    assert!(shown(&second).contains("in use by another process"), "{}", shown(&second));
}

#[test]
fn an_address_that_is_taken_ends_with_3() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (folder, _) = folder(1);
    let config = std::fs::read_to_string(folder.path().join("airgate.toml")).expect("the configuration");
    let config = config.replace("127.0.0.1:0", &taken.local_addr().expect("bound").to_string());
    folder.write("airgate.toml", &config, 0o644);
    let output = folder.airgate(&["serve", "--config", "airgate.toml"]);
    assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
    assert!(shown(&output).contains("ERROR"), "{}", shown(&output));
}
