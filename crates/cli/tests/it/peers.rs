//! The gateway as a process between parties that nobody here wrote: tokens of `oidc-provider`, sent by `oauth4webapi`.
//!
//! Runs where `AIRGATE_PEERS` names the folder that `lab/peers.py` made.

use crate::{
    fixture::{Folder, inspect, shown},
    serve::Served,
};
use airgate_testkit::{Peer, Peers, TestCa, log, peers, upstream::Upstream};
use serde_json::{Value, json};
use std::{
    process::Output,
    time::{Duration, Instant},
};

const AUDIENCE: &str = "https://api.example.test";
const OTHER_AUDIENCE: &str = "https://other.example.test";
/// How long an answer of the introspection endpoint is remembered.
const CACHE_MAX: Duration = Duration::from_secs(1);

/// Provider, client, upstream, and the gateway between them.
struct Rig {
    provider: Peer,
    client: Peer,
    upstream: Upstream,
    served: Served,
    folder: Folder,
    issuer: String,
}

/// `None` without the peers.
fn rig() -> Option<Rig> {
    let peers = peers()?;
    let ca = TestCa::new();
    let upstream = Upstream::start();
    let folder = Folder::new();
    folder.write("ca.pem", ca.pem(), 0o644);
    for name in ["gateway", "provider"] {
        let (certificate, key) = ca.issue(&["localhost"]);
        folder.write(&format!("{name}.pem"), &certificate, 0o644);
        folder.write(&format!("{name}.key"), &key, 0o600);
    }
    let (provider, client, found) = parties(&peers, &folder);
    let issuer = found["issuer"].as_str().expect("the issuer's name").to_owned();
    let endpoint = found["introspection_endpoint"].as_str().expect("an address");
    folder.write("airgate.toml", &configuration(&issuer, endpoint, &upstream), 0o644);
    let served = Served::start(&folder);
    Some(Rig { provider, client, upstream, served, folder, issuer })
}

/// The provider knows the client and the gateway by their public keys.
fn parties(peers: &Peers, folder: &Folder) -> (Peer, Peer, Value) {
    let path = |name: &str| folder.path().join(name);
    let mut provider =
        Peer::start("provider", peers.node("provider.mjs").args([path("provider.pem"), path("provider.key")]));
    let mut client =
        Peer::start("client", peers.node("client.mjs").env("NODE_EXTRA_CA_CERTS", folder.path().join("ca.pem")));
    let own = client.ask(&json!({ "do": "key" }));
    let mut clients = Vec::new();
    for (name, bound, opaque) in [
        ("service", false, false),
        ("service-bound", true, false),
        ("service-opaque", false, true),
        ("service-bound-opaque", true, true),
    ] {
        clients.push(json!({
            "client_id": name, "bound": bound, "opaque": opaque, "alg": own["alg"], "public_key": own["public_key"],
        }));
    }
    for (alg, kind) in
        [("EdDSA", &rcgen::PKCS_ED25519), ("ES256", &rcgen::PKCS_ECDSA_P256_SHA256), ("RS256", &rcgen::PKCS_RSA_SHA256)]
    {
        let key = rcgen::KeyPair::generate_for(kind).expect("a key");
        folder.write(&format!("introspection-{alg}.key"), &key.serialize_pem(), 0o600);
        clients.push(json!({
            "client_id": format!("gateway-{alg}"), "introspects": true, "alg": alg, "public_key": key.public_key_pem(),
        }));
    }
    let found = provider.ask(&json!({ "do": "start", "clients": clients }));
    let _ = client.ask(&json!({ "do": "discover", "issuer": found["issuer"] }));
    (provider, client, found)
}

fn configuration(issuer: &str, introspection: &str, upstream: &Upstream) -> String {
    format!(
        r#"threads = 1
[listener.main]
address = "127.0.0.1:0"
tls = {{ certificate = "gateway.pem", key = "gateway.key" }}

[audit]
folder = "audit"
key = "audit.key"
origin = "gw.example/audit"
publish_interval = "20ms"

[issuer.op]
profile = "oidc"
url = "{issuer}"
ca_file = "ca.pem"
audiences = ["{AUDIENCE}"]
algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]

[issuer.op.introspection]
url = "{introspection}"
client_id = "gateway-EdDSA"
key = "introspection-EdDSA.key"
cache_max = "{}s"

[upstream.app]
url = "http://{}"
danger_plaintext = true
sign_in = "none"

[route.plain]
path = "/plain"
upstream = "app"

[route.bound]
path = "/bound"
upstream = "app"
proof = "dpop"

[route.fresh]
path = "/fresh"
upstream = "app"
proof = "dpop"
dpop_nonce = true

[role.caller]
allow = [
  {{ route = "plain", methods = ["GET"], paths = ["/plain/**"] }},
  {{ route = "bound", methods = ["GET"], paths = ["/bound/**"] }},
  {{ route = "fresh", methods = ["GET"], paths = ["/fresh/**"] }},
]

[grant.services]
issuer = "op"
where = {{ client_id = ["service", "service-bound", "service-opaque", "service-bound-opaque"], scope = "read" }}
role = "caller"
"#,
        CACHE_MAX.as_secs(),
        upstream.address()
    )
}

/// Status, and the problem's code; `ok` where the upstream answered.
fn outcome(answer: &Value) -> (u64, String) {
    let status = answer["status"].as_u64().expect("a status");
    let body: Value = serde_json::from_str(answer["body"].as_str().expect("a body")).unwrap_or_default();
    (status, body["code"].as_str().unwrap_or("ok").to_owned())
}

fn is(status: u64, code: &str) -> (u64, String) {
    (status, code.to_owned())
}

impl Rig {
    fn url(&self, path: &str) -> String {
        let port = self.served.address.rsplit(':').next().expect("a port");
        format!("https://localhost:{port}{path}")
    }

    /// An access token by client credentials.
    fn token(&mut self, client_id: &str, resource: Option<&str>, proof: Option<&str>) -> String {
        let answer =
            self.client.ask(&json!({ "do": "token", "client_id": client_id, "resource": resource, "proof": proof }));
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// A request as the library makes it.
    fn call(&mut self, path: &str, token: &str, proof: Option<&str>) -> Value {
        let url = self.url(path);
        self.client.ask(&json!({ "do": "call", "url": url, "token": token, "proof": proof }))
    }

    /// A request with these header fields.
    fn send(&mut self, path: &str, headers: &Value) -> Value {
        let url = self.url(path);
        self.client.ask(&json!({ "do": "send", "url": url, "headers": headers }))
    }

    /// Signs with a new key from now on; its `kid`.
    fn rotate(&mut self, alg: &str, keep: bool) -> String {
        let answer = self.provider.ask(&json!({ "do": "rotate", "alg": alg, "keep": keep }));
        answer["kid"].as_str().expect("a kid").to_owned()
    }

    /// Paths that reached the upstream, and no credential with them.
    fn forwarded(&self) -> Vec<String> {
        let path = |request: &airgate_testkit::upstream::Received| {
            for field in ["authorization", "dpop"] {
                assert_eq!(request.field(field), Vec::<&str>::new(), "{}", request.head);
            }
            request.head.split(' ').nth(1).expect("a path").to_owned()
        };
        self.upstream.received().iter().map(path).collect()
    }

    fn inspect(&self, token: &str) -> Output {
        inspect(&self.folder, token, &["--config", "airgate.toml"])
    }

    /// The audit log, after the gateway has ended.
    fn log(self) -> Vec<Value> {
        self.served.signal("TERM");
        assert_eq!(self.served.wait().0.code(), Some(0));
        log::entries(&self.folder.path().join("audit"))
    }
}

/// What the log tells of requests of a path: those that were forwarded, and the refused ones.
fn about<'a>(entries: &'a [Value], path: &str) -> (Vec<&'a Value>, Vec<&'a Value>) {
    let of = |kind: &str| {
        let calls = entries.iter().filter(|one| one["kind"] == kind).map(|one| &one["call"]);
        calls.filter(|call| call["path"] == path).collect()
    };
    (of("intent"), of("refusal"))
}

#[test]
fn an_access_token_opens_what_it_is_for_and_nothing_else() {
    let Some(mut rig) = rig() else { return };
    let good = rig.token("service", Some(AUDIENCE), None);
    assert_eq!(outcome(&rig.call("/plain/1", &good, None)), is(200, "ok"));
    let other = rig.token("service", Some(OTHER_AUDIENCE), None);
    assert_eq!(outcome(&rig.call("/plain/2", &other, None)), is(401, "audience_mismatch"));
    assert_eq!(outcome(&rig.call("/bound/3", &good, None)), is(401, "proof_missing"), "it is bound to nothing");
    assert_eq!(rig.forwarded(), ["/plain/1"]);

    for (token, code, word) in [(&good, 0, "\naccepted"), (&other, 1, "audience_mismatch")] {
        let output = rig.inspect(token);
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
        assert!(shown(&output).contains(word), "{}", shown(&output));
    }
    let entries = rig.log();
    let (forwarded, refused) = about(&entries, "/plain/1");
    assert_eq!((forwarded.len(), refused.len()), (1, 0), "{entries:?}");
    let principal = &forwarded[0]["principal"];
    assert_eq!((&principal["issuer"], &principal["subject"]), (&json!("op"), &json!("service")), "{principal}");
    assert_eq!(principal.get("proof"), None);
    let (_, refused) = about(&entries, "/plain/2");
    assert_eq!(refused[0]["code"], "audience_mismatch");
}

/// RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5, by the client's own reading of them.
#[test]
fn a_client_finds_its_way_from_the_challenge_to_a_token() {
    let Some(mut rig) = rig() else { return };
    let bare = rig.send("/plain/1", &json!({}));
    assert_eq!(outcome(&bare), is(401, "token_missing"));
    let text = bare["challenges"].as_str().expect("a challenge");
    assert!(text.starts_with("Bearer ") && text.contains(", DPoP ") && !text.contains("error"), "{text}");

    let refused = rig.call("/plain/1", "no-token-at-all", None);
    let challenges = refused["challenges"].as_array().expect("challenges that the client can read").clone();
    let schemes: Vec<&Value> = challenges.iter().map(|one| &one["scheme"]).collect();
    assert_eq!(schemes, ["bearer", "dpop"], "{refused}");
    assert_eq!(challenges[0]["parameters"]["error"], "invalid_token");
    assert_eq!(
        challenges[0]["parameters"]["resource_metadata"],
        rig.url("/.well-known/oauth-protected-resource/plain")
    );

    let url = rig.url("/plain");
    let metadata = rig.client.ask(&json!({ "do": "resource", "url": url }));
    assert_eq!(metadata["authorization_servers"], json!([rig.issuer]));
    let _ = rig.client.ask(&json!({ "do": "discover", "issuer": metadata["authorization_servers"][0] }));
    let token = rig.token("service", Some(AUDIENCE), None);
    assert_eq!(outcome(&rig.call("/plain/1", &token, None)), is(200, "ok"));
    let url = rig.url("/bound");
    let metadata = rig.client.ask(&json!({ "do": "resource", "url": url }));
    assert_eq!(metadata["dpop_bound_access_tokens_required"], true);
}

#[test]
fn every_algorithm_that_the_provider_signs_with_is_verified() {
    let Some(mut rig) = rig() else { return };
    for alg in ["RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        rig.rotate(alg, true);
        let token = rig.token("service", Some(AUDIENCE), None);
        assert_eq!(outcome(&rig.call("/plain/1", &token, None)), is(200, "ok"), "{alg}");
    }
    assert_eq!(rig.forwarded().len(), 5);
}

#[test]
fn a_change_of_keys_is_followed_at_once() {
    let Some(mut rig) = rig() else { return };
    let old = rig.token("service", Some(AUDIENCE), None);
    assert_eq!(outcome(&rig.call("/plain/1", &old, None)), is(200, "ok"));
    // The old key stays published: both serve, without a wait.
    rig.rotate("ES256", true);
    let new = rig.token("service", Some(AUDIENCE), None);
    for token in [&new, &old, &new] {
        assert_eq!(outcome(&rig.call("/plain/1", token, None)), is(200, "ok"));
    }
    // It does not: a token of the new key makes the gateway learn of both.
    let last = rig.rotate("ES384", false);
    let newest = rig.token("service", Some(AUDIENCE), None);
    assert_eq!(outcome(&rig.call("/plain/1", &newest, None)), is(200, "ok"));
    for token in [&old, &new] {
        assert_eq!(outcome(&rig.call("/plain/2", token, None)), is(401, "key_unknown"));
    }
    assert_eq!(outcome(&rig.call("/plain/1", &newest, None)), is(200, "ok"));
    let output = rig.folder.airgate(&["issuer", "check", "op", "--config", "airgate.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(shown(&output).contains(&format!("{last}: ES384")), "{}", shown(&output));
    let entries = rig.log();
    assert_eq!(about(&entries, "/plain/1").0.len(), 6);
    assert_eq!(about(&entries, "/plain/2").1.len(), 2);
}

#[test]
fn a_bound_token_is_good_with_a_proof_of_each_kind() {
    let Some(mut rig) = rig() else { return };
    for alg in ["ES256", "ES384", "PS256", "RS256", "EdDSA", "Ed25519"] {
        let token = rig.token("service-bound", Some(AUDIENCE), Some(alg));
        for path in ["/plain/1", "/bound/1"] {
            let answer = rig.call(path, &token, Some(alg));
            assert_eq!((outcome(&answer), &answer["tries"]), (is(200, "ok"), &json!(1)), "{alg} {path}: {answer}");
        }
        // The nonce that the gateway asks for, and then again without being asked.
        for tries in [2, 1] {
            let answer = rig.call("/fresh/1", &token, Some(alg));
            assert_eq!((outcome(&answer), &answer["tries"]), (is(200, "ok"), &json!(tries)), "{alg}: {answer}");
        }
    }
    let entries = rig.log();
    let (forwarded, _) = about(&entries, "/bound/1");
    assert_eq!(forwarded.len(), 6);
    assert!(forwarded.iter().all(|one| one["principal"]["proof"] == "dpop"), "{forwarded:?}");
}

#[test]
fn a_bound_token_is_no_good_without_its_own_fresh_proof() {
    let Some(mut rig) = rig() else { return };
    let token = rig.token("service-bound", Some(AUDIENCE), Some("ES256"));
    let another = rig.token("service-bound", Some(AUDIENCE), Some("ES256"));
    let answer = rig.call("/bound/1", &token, Some("ES256"));
    assert_eq!(outcome(&answer), is(200, "ok"));
    let used = answer["sent"]["dpop"].as_str().expect("a proof").to_owned();
    assert_eq!(outcome(&rig.call("/bound/2", &token, None)), is(401, "proof_missing"), "as a bearer token");
    assert_eq!(outcome(&rig.call("/plain/2", &token, None)), is(401, "proof_missing"), "also where bearers are taken");
    assert_eq!(outcome(&rig.call("/bound/2", &token, Some("EdDSA"))), is(401, "proof_refused"), "another's key");
    for (path, scheme, value, proof, expected) in [
        ("/bound/1", "DPoP", &token, Some(&used), "proof_replayed"),
        ("/bound/3", "DPoP", &token, Some(&used), "proof_refused"),
        ("/bound/1", "DPoP", &another, Some(&used), "proof_refused"),
        ("/bound/1", "DPoP", &token, None, "proof_missing"),
        ("/bound/1", "Bearer", &token, Some(&used), "proof_missing"),
        ("/fresh/1", "DPoP", &token, Some(&used), "proof_refused"),
    ] {
        let mut headers = json!({ "authorization": format!("{scheme} {value}") });
        if let Some(proof) = proof {
            headers["dpop"] = json!(proof);
        }
        assert_eq!(outcome(&rig.send(path, &headers)), is(401, expected), "{path} {scheme}");
    }
    assert_eq!(rig.forwarded(), ["/bound/1"]);
    let entries = rig.log();
    let refused: Vec<&Value> = about(&entries, "/bound/1").1.into_iter().map(|one| &one["code"]).collect();
    assert_eq!(refused, ["proof_replayed", "proof_refused", "proof_missing", "proof_missing"]);
}

#[test]
fn an_opaque_token_is_good_while_its_issuer_says_so() {
    let Some(mut rig) = rig() else { return };
    let token = rig.token("service-opaque", Some(AUDIENCE), None);
    assert!(!token.contains('.'), "{token}");
    assert_eq!(outcome(&rig.call("/plain/1", &token, None)), is(200, "ok"));
    let answered = Instant::now();
    assert_eq!(rig.provider.ask(&json!({ "do": "introspections" }))["count"], 1);
    let _ = rig.client.ask(&json!({ "do": "revoke", "client_id": "service-opaque", "token": token }));
    // What is waited for is the bound itself: from here on the gateway must have asked again.
    std::thread::sleep(CACHE_MAX.saturating_sub(answered.elapsed()));
    assert_eq!(outcome(&rig.call("/plain/2", &token, None)), is(401, "token_inactive"));

    let other = rig.token("service-opaque", Some(OTHER_AUDIENCE), None);
    assert_eq!(outcome(&rig.call("/plain/2", &other, None)), is(401, "audience_mismatch"));
    let nobodys = rig.token("service-opaque", None, None);
    assert_eq!(outcome(&rig.call("/plain/2", &nobodys, None)), is(401, "claims_malformed"), "it names no audience");
    assert_eq!(outcome(&rig.call("/plain/2", "never-issued", None)), is(401, "token_inactive"));
    assert_eq!(rig.forwarded(), ["/plain/1"]);
    let entries = rig.log();
    assert_eq!(about(&entries, "/plain/1").0[0]["principal"]["subject"], "service-opaque");
}

#[test]
fn an_opaque_token_is_bound_as_its_issuer_says() {
    let Some(mut rig) = rig() else { return };
    let token = rig.token("service-bound-opaque", Some(AUDIENCE), Some("EdDSA"));
    assert_eq!(outcome(&rig.call("/fresh/1", &token, Some("EdDSA"))), is(200, "ok"));
    assert_eq!(outcome(&rig.call("/plain/2", &token, None)), is(401, "proof_missing"));
    assert_eq!(outcome(&rig.call("/bound/2", &token, Some("ES256"))), is(401, "proof_refused"), "another's key");
    let unbound = rig.token("service-opaque", Some(AUDIENCE), None);
    assert_eq!(outcome(&rig.call("/bound/2", &unbound, None)), is(401, "proof_missing"));
    let entries = rig.log();
    assert_eq!(about(&entries, "/fresh/1").0[0]["principal"]["proof"], "dpop");
    assert_eq!(about(&entries, "/bound/2").0.len(), 0);
}

/// RFC 7523 §3, with each kind of key that `introspection.key` may hold; and with one that the provider does not know.
#[test]
fn the_provider_takes_the_gateway_for_its_client() {
    let Some(rig) = rig() else { return };
    let good = std::fs::read_to_string(rig.folder.path().join("airgate.toml")).expect("the configuration");
    for (client, key, code) in
        [("EdDSA", "EdDSA", 0), ("ES256", "ES256", 0), ("RS256", "RS256", 0), ("EdDSA", "ES256", 1)]
    {
        let config = good
            .replace("gateway-EdDSA", &format!("gateway-{client}"))
            .replace("introspection-EdDSA", &format!("introspection-{key}"));
        rig.folder.write("other.toml", &config, 0o644);
        let output = rig.folder.airgate(&["issuer", "check", "op", "--config", "other.toml"]);
        assert_eq!(output.status.code(), Some(code), "{client} with {key}: {}", shown(&output));
        for word in ["discovery", "key set", "introspection"] {
            assert!(shown(&output).contains(word), "{}", shown(&output));
        }
    }
}
