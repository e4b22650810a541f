//! Programs that nobody here wrote, as the other end of a test. `lab/peers.py` installs them; `conformance/identity` drives them.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};
use tempfile::TempDir;

/// Longest wait for one answer: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(60);
const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/identity");

/// The programs, and the drivers that speak with them.
#[derive(Debug)]
pub struct Peers {
    installed: PathBuf,
    drivers: TempDir,
}

/// The programs in the folder that `AIRGATE_PEERS` names.
///
/// `None`, and one line on stderr, where it is not set: they are not part of the project.
///
/// # Panics
/// Where it names a folder that does not hold them: a step that asks for them must not pass without.
#[must_use]
pub fn peers() -> Option<Peers> {
    let Some(installed) = std::env::var_os("AIRGATE_PEERS").map(PathBuf::from) else {
        eprintln!(
            "skipped: no peers (`python3 lab/peers.py` installs them; set AIRGATE_PEERS to the folder it prints)"
        );
        return None;
    };
    assert!(
        installed.join("complete").is_file(),
        "AIRGATE_PEERS: no peers in {}; `python3 lab/peers.py` installs them",
        installed.display()
    );
    // Node looks for a module's packages above its own file, so the drivers lie beside a link to them.
    let drivers = tempfile::tempdir().expect("a temporary folder");
    symlink(installed.join("node_modules"), drivers.path().join("node_modules")).expect("a link");
    for entry in fs::read_dir(DRIVERS).expect("the drivers") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "mjs" || extension == "py") {
            fs::copy(&path, drivers.path().join(path.file_name().expect("a file"))).expect("copied");
        }
    }
    Some(Peers { installed, drivers })
}

impl Peers {
    /// Node with this driver.
    #[must_use]
    pub fn node(&self, driver: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(self.drivers.path().join(driver));
        command
    }

    /// Python, with the installed packages, and this driver.
    #[must_use]
    pub fn python(&self, driver: &str) -> Command {
        let mut command = Command::new(self.installed.join("venv/bin/python"));
        // -I: what the caller's shell says about Python must not change whom we test against.
        command.args([Path::new("-I"), &self.drivers.path().join(driver)]);
        command
    }
}

/// A running driver. It answers each line of JSON with one; it is stopped with its value.
#[derive(Debug)]
pub struct Peer {
    name: String,
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Peer {
    /// # Panics
    /// Where the command can't be run.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name}: {command:?} can't be run: {error}"));
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { name: name.to_owned(), child, input, answers }
    }

    /// Sends a question. Its answer is to be heard before the one to the next.
    ///
    /// # Panics
    /// Where the driver has ended.
    pub fn tell(&mut self, question: &Value) {
        let sent = writeln!(self.input, "{question}").and_then(|()| self.input.flush());
        sent.unwrap_or_else(|error| panic!("{} has ended: {error}", self.name));
    }

    /// The next answer.
    ///
    /// # Panics
    /// Where there is none in time, or the driver failed.
    #[must_use]
    pub fn hear(&self) -> Value {
        let line = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name));
        assert!(answer.get("failed").is_none(), "{}: {}", self.name, answer["failed"]);
        answer
    }

    /// A question and its answer.
    ///
    /// # Panics
    /// As [`Peer::tell`] and [`Peer::hear`].
    #[must_use]
    pub fn ask(&mut self, question: &Value) -> Value {
        self.tell(question);
        self.hear()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
