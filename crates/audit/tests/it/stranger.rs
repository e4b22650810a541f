//! The log read by code that is not ours: Go's own sumdb packages.

use crate::common::{call, done, key, open};
use std::path::Path;
use std::process::Command;

fn run(folder: &Path, verifier_key: &str) -> Option<(bool, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/tlog-go/run.sh");
    let output = Command::new(script).arg(folder.join("log")).arg(verifier_key).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.code() == Some(3) {
        eprintln!("skipped: {text}");
        return None;
    }
    Some((output.status.success(), text))
}

#[tokio::test]
async fn go_opens_the_checkpoint_and_proves_every_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    for n in 0..400 {
        log.writer().intent(call(&format!("r{n}"))).await.unwrap().close(done());
    }
    log.close().unwrap();
    let verifier_key = key(dir.path()).verifier_key();
    let Some((success, text)) = run(dir.path(), &verifier_key) else { return };
    assert!(success && text.contains("802 entries"), "{text}");
    // And sees what was changed.
    let bundle = dir.path().join("log/tile/entries/001");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    let (success, text) = run(dir.path(), &verifier_key).unwrap();
    assert!(!success && text.contains("lead to the root"), "{text}");
}
