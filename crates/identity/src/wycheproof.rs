//! C2SP/wycheproof's JSON Web Signatures and Keys against our reading of both.

use crate::{Algorithm, jwk, jws};
use serde_json::Value;

/// Labels that contradict the vectors themselves: 367 and 370 are good signatures labelled invalid, 372 and 373 hold a
/// `?` in their base64url and are labelled valid. All four are HS256, which no key here can be.
const MISLABELLED: [u64; 4] = [367, 370, 372, 373];

fn verify(keys: &Value, token: &str) -> Result<(), String> {
    let set = if keys.get("keys").is_some() { keys.clone() } else { serde_json::json!({ "keys": [keys] }) };
    let set = jwk::read_set(set.to_string().as_bytes())?;
    let token = jws::read(token).map_err(|error| error.to_string())?;
    let algorithm = Algorithm::from_jose(&token.algorithm).ok_or("algorithm")?;
    let key = set.keys.get(&token.kid).ok_or_else(|| format!("no key: {:?}", set.refused))?;
    token.verify(algorithm, key).map_err(|fault| format!("{fault:?}"))
}

/// (accepted as labelled, valid ones refused with the reason)
fn run(file: &str) -> Option<(usize, Vec<(u64, String)>)> {
    let folder = airgate_testkit::vectors("jose")?;
    let text = std::fs::read_to_string(folder.join(file)).expect("the vectors");
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let (mut accepted, mut refused) = (0, Vec::new());
    for group in vectors["testGroups"].as_array().expect("groups") {
        let keys = group.get("public").or_else(|| group.get("private")).expect("a key");
        for test in group["tests"].as_array().expect("tests") {
            let id = test["tcId"].as_u64().expect("an id");
            let token = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            let outcome = verify(keys, &token);
            match (test["result"].as_str(), outcome) {
                (Some("valid"), Ok(())) => accepted += 1,
                (Some("valid"), Err(reason)) => refused.push((id, reason)),
                (_, Ok(())) => panic!("{file}: tcId {id} is bad and was accepted: {}", test["comment"]),
                (_, Err(_)) => {}
            }
        }
    }
    Some((accepted, refused))
}

#[test]
fn accepts_no_bad_signature_and_refuses_good_ones_only_by_rule() {
    let Some((accepted, refused)) = run("json_web_signature_test.json") else { return };
    assert!(accepted >= 10, "{accepted}");
    for (id, reason) in refused {
        let by_rule = MISLABELLED.contains(&id) || reason == "algorithm" || reason.starts_with("no key:");
        assert!(by_rule, "tcId {id}: {reason}");
    }
}

#[test]
fn accepts_no_bad_key() {
    let Some((accepted, refused)) = run("json_web_key_test.json") else { return };
    assert_eq!(accepted, 1, "the one good RS256 key; the other good ones are symmetric");
    assert!(refused.iter().all(|(_, reason)| reason == "algorithm"), "{refused:?}");
}
