use airgate_audit::{AuditLog, Call, Ending, Job, LogConfig, LogKey, Outcome, Recovery, Subject, VerifierKey};
use std::path::Path;
use std::time::Duration;

pub(crate) const ORIGIN: &str = "gw.test/audit";

pub(crate) fn config(folder: &Path) -> LogConfig {
    LogConfig {
        folder: folder.join("log"),
        origin: ORIGIN.to_owned(),
        publish_interval: Duration::from_millis(20),
        segment_bytes: 64 * 1024,
        queue_max: 4_096,
        append_timeout: Duration::from_secs(5),
    }
}

pub(crate) fn key(folder: &Path) -> LogKey {
    LogKey::load_or_create(&folder.join("log.key"), ORIGIN).unwrap()
}

pub(crate) fn verifier(folder: &Path) -> VerifierKey {
    key(folder).verifier_key().parse().unwrap()
}

pub(crate) fn open(folder: &Path) -> (AuditLog, Recovery) {
    AuditLog::open(config(folder), key(folder)).unwrap()
}

pub(crate) fn call(name: &str) -> Call {
    Call {
        request_id: name.to_owned(),
        peer: "127.0.0.1:50000".to_owned(),
        listener: "main".to_owned(),
        method: "GET".to_owned(),
        path: format!("/api/orders/{name}"),
        route: Some("orders".to_owned()),
        principal: Some(Subject {
            issuer: "airflow".to_owned(),
            iss: None,
            subject: "task".to_owned(),
            assurance: "task".to_owned(),
            token_id: None,
            token_sha256: "00".repeat(32),
            proof: None,
            job: Some(Job {
                dag_id: "nightly_orders".to_owned(),
                run_id: "run-1".to_owned(),
                task_id: "read_orders".to_owned(),
                map_index: -1,
                try_number: 1,
                ti_id: None,
            }),
        }),
        code: "permitted".to_owned(),
        reason: "granted".to_owned(),
        ..Call::default()
    }
}

pub(crate) fn done() -> Outcome {
    Outcome {
        ending: Ending::Completed,
        status: Some(200),
        upstream_status: Some(200),
        bytes_in: 0,
        bytes_out: 17,
        duration_us: 1_234,
        code: None,
        detail: None,
    }
}
