//! What a log promises while nothing goes wrong.

use crate::common::{call, config, done, key, open, verifier};
use airgate_audit::{
    AuditError, AuditLog, Ending, LogKey, Query, ReadError, VerifyError, VerifyOptions, search, show, verify,
};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::tempdir;

fn check(folder: &Path) -> airgate_audit::VerifyReport {
    verify(&folder.join("log"), &verifier(folder), &VerifyOptions::default()).unwrap()
}

#[tokio::test]
async fn writes_publishes_and_verifies() {
    let dir = tempdir().unwrap();
    let (log, recovery) = open(dir.path());
    assert_eq!((recovery.size, recovery.torn_bytes_removed, recovery.intents_closed), (1, 0, 0));
    let writer = log.writer();
    for n in 0..600 {
        let entry = writer.intent(call(&format!("r{n}"))).await.unwrap();
        assert_eq!(entry.index(), 1 + 2 * n);
        entry.close(done());
    }
    let refused = writer.refusal(airgate_audit::Call { status: Some(403), ..call("no") }).await.unwrap();
    log.close().unwrap();
    let report = check(dir.path());
    assert_eq!((report.intents, report.outcomes, report.refusals, report.gateway), (600, 600, 1, 2));
    assert_eq!(report.size, refused + 2, "the stop is noted last");
    assert!(report.open_intents.is_empty());
}
