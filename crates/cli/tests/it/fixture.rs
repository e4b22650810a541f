//! A folder with a configuration and all the files that it names, and the command run in it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A configuration without errors and warnings; cases replace parts of it.
pub(crate) const GOOD: &str = r#"[listener.main]
address = "127.0.0.1:8443"
tls = { certificate = "gateway.pem", key = "gateway.key" }

[audit]
folder = "audit"
key = "audit.key"
origin = "gw.example/audit"

[issuer.airflow]
url = "https://airflow.example/airgate"
audiences = ["https://gw.example"]
assurance = "task"

[upstream.orders]
url = "https://iis01.corp.example"
sign_in = { kerberos = { spn = "HTTP/iis01.corp.example@CORP.EXAMPLE", keytab = "gateway.keytab", principal = "svc-gw@CORP.EXAMPLE" } }

[upstream.open]
url = "https://iis02.corp.example"
sign_in = "none"

[route.orders]
host = "orders.gw.example"
upstream = "orders"

[route.open]
path = "/open"
upstream = "open"

[role.writer]
allow = [
  { route = "orders", methods = ["GET", "POST"], paths = ["/api/orders/**"] },
  { route = "open", methods = ["GET"], paths = ["/open/**"] },
]

[grant.nightly]
issuer = "airflow"
where = { dag_id = "nightly_orders" }
role = "writer"
windows_identity = "svc-orders@CORP.EXAMPLE"
"#;

/// A temporary folder; gone with its value.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// With the files that `GOOD` and the example name, and no configuration yet.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        let (certificate, key) = pair();
        folder.write("gateway.pem", &certificate, 0o644);
        folder.write("gateway.key", &key, 0o600);
        folder.write("gateway.keytab", "\u{5}\u{2}", 0o600);
        folder
    }

    /// And this configuration, as `airgate.toml`.
    pub(crate) fn with(config: &str) -> Self {
        let folder = Self::new();
        folder.write("airgate.toml", config, 0o644);
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The command with these arguments, in this folder.
    pub(crate) fn airgate(&self, args: &[&str]) -> Output {
        airgate().args(args).current_dir(self.path()).output().expect("the command runs")
    }

    /// `airgate check` of `airgate.toml`.
    pub(crate) fn check(&self) -> Output {
        self.airgate(&["check", "--config", "airgate.toml"])
    }
}

/// The command under test, without colours.
pub(crate) fn airgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airgate"));
    command.env("NO_COLOR", "1");
    command
}

/// A certificate and its key, in PEM.
pub(crate) fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["gw.example".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Exit code, standard output where there is any, and standard error.
pub(crate) fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let stdout = if stdout.is_empty() { String::new() } else { format!("--- stdout\n{stdout}") };
    format!(
        "exit code {}\n{stdout}--- stderr\n{stderr}",
        output.status.code().map_or("none".to_owned(), |code| code.to_string())
    )
}

/// `airgate token inspect`, with the token on standard input.
pub(crate) fn inspect(folder: &Folder, token: &str, more: &[&str]) -> Output {
    let mut child = airgate()
        .args(["token", "inspect"])
        .args(more)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("written");
    child.wait_with_output().expect("it ends")
}
