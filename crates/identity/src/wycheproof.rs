//! C2SP/wycheproof's JSON Web Signatures and Keys against our reading of both.

use crate::{
    Algorithm,
    jwk::{self, Selection},
    jws,
};
use serde_json::Value;

/// The good signatures that are refused all the same, with the reason. Anything else that is refused fails the test.
const EXCLUSIONS: [(&[u64], &str, &str); 4] = [
    (&[1, 348, 352, 357, 358, 359, 376, 377], "algorithm", "HS256: who can check such a token can make one"),
    (&[347, 351], "algorithm", "ES512: on no issuer's list"),
    (&[346, 350], "KeyUnfit", "signed as PS384 with a key whose own `alg` says PS256"),
    (&[372, 373], "base64url", "mislabelled: they hold a `?` in their base64url"),
];

fn verify(keys: &Value, token: &str) -> Result<(), String> {
    let set = if keys.get("keys").is_some() { keys.clone() } else { serde_json::json!({ "keys": [keys] }) };
    let set = jwk::read_set(set.to_string().as_bytes(), Selection::default())?;
    let token = jws::read(token).map_err(|error| error.to_string())?;
    let algorithm = Algorithm::from_jose(&token.algorithm).ok_or("algorithm")?;
    let kid = token.kid.as_deref().ok_or("kid")?;
    let key = set.keys.get(kid).ok_or_else(|| format!("no key: {:?}", set.refused))?;
    token.parts.verify(algorithm, key).map_err(|fault| format!("{fault:?}"))
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
    assert_eq!(accepted, 32, "all other good ones");
    assert_eq!(refused.len(), EXCLUSIONS.iter().map(|(ids, ..)| ids.len()).sum::<usize>(), "each exclusion is met");
    for (id, reason) in refused {
        let known = EXCLUSIONS.iter().find(|(ids, ..)| ids.contains(&id));
        assert!(known.is_some_and(|(_, part, _)| reason.contains(part)), "tcId {id}: {reason}");
    }
}

#[test]
fn accepts_no_bad_key() {
    let Some((accepted, refused)) = run("json_web_key_test.json") else { return };
    assert_eq!(accepted, 1, "the one good RS256 key; the other good ones are symmetric");
    assert!(refused.iter().all(|(_, reason)| reason == "algorithm"), "{refused:?}");
}
