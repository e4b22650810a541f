//! From an issuer's name to its keys, over real TLS: where the documents are, what they may say, how long they keep.

use crate::rig::*;
use airgate_identity::{
    Algorithm, HttpSettings, IssuerConfig, KeySource, Place, Remote, Serving, TokenError, Verifier,
};
use airgate_testkit::{KeyAnswer, KeyServer, TestCa, TestIssuer};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

/// An issuer that is found by its name on a server of its own.
struct Found {
    issuer: TestIssuer,
    server: KeyServer,
    hand: Hand,
    folder: TempDir,
}

impl Found {
    /// Its name is the server's origin and this path. Nothing is published yet.
    fn new(path: &str) -> Self {
        let ca = TestCa::new();
        let server = KeyServer::start(&ca, json!({}));
        server.answer(KeyAnswer::Status(404));
        let issuer = TestIssuer::new(Algorithm::EdDsa).with_issuer(&format!("{}{path}", server.origin()));
        let (folder, _) = trusted(&ca);
        Self { issuer, server, hand: Hand::new(), folder }
    }

    fn http(&self) -> HttpSettings {
        HttpSettings { ca_file: Some(self.folder.path().join("ca.pem")), ..HttpSettings::default() }
    }

    fn config(&self, place: Place, http: HttpSettings) -> IssuerConfig {
        config(&self.issuer, KeySource::Remote(Remote { place, http }))
    }

    fn by_name(&self) -> Verifier {
        timed(self.config(Place::Issuer(self.issuer.issuer().to_owned()), self.http()), &self.hand)
    }

    fn publish(&self, path: &str, document: &Value) {
        self.server.answer_at(path, KeyAnswer::Body(document.to_string()));
    }

    fn document(&self, jwks_uri: &str) -> Value {
        json!({ "issuer": self.issuer.issuer(), "jwks_uri": jwks_uri, "response_types_supported": ["token"] })
    }

    fn token(&self) -> String {
        self.issuer.token(self.issuer.job_claims("d", "t", AUDIENCE, NOW))
    }

    fn error(&self, verifier: &Verifier) -> TokenError {
        verify(verifier, &self.token(), NOW).expect_err("no keys")
    }

    fn paths(&self) -> Vec<String> {
        self.server.asked().into_iter().map(|asked| asked.path).collect()
    }
}

#[test]
fn finds_keys_by_openid_connect_discovery() {
    let found = Found::new("/realms/prod");
    let origin = found.server.origin().to_owned();
    found.publish("/realms/prod/.well-known/openid-configuration", &found.document(&format!("{origin}/keys")));
    found.publish("/keys", &found.issuer.jwks());
    assert_eq!(code(&found.by_name(), &found.token()), "ok");
    assert_eq!(found.paths(), ["/realms/prod/.well-known/openid-configuration", "/keys"]);
}

#[test]
fn finds_keys_by_rfc_8414_where_there_is_no_other_document() {
    let found = Found::new("/realms/prod");
    let origin = found.server.origin().to_owned();
    found.publish("/.well-known/oauth-authorization-server/realms/prod", &found.document(&format!("{origin}/keys")));
    found.publish("/keys", &found.issuer.jwks());
    assert_eq!(code(&found.by_name(), &found.token()), "ok");
    assert_eq!(found.paths().len(), 3);
    // A document that is there and wrong is not passed over for the other one.
    found.publish("/realms/prod/.well-known/openid-configuration", &json!({ "issuer": "https://evil.example" }));
    let error = found.error(&found.by_name());
    assert!(error.is_unavailable() && error.to_string().contains("another issuer"), "{error}");
}

#[test]
fn name_key_set_and_document_are_three_things_and_what_is_given_wins() {
    let found = Found::new("/tenant");
    let origin = found.server.origin().to_owned();
    found.publish("/elsewhere/metadata", &found.document(&format!("{origin}/keys")));
    found.publish("/keys", &found.issuer.jwks());
    let by_document = found.config(Place::Discovery(format!("{origin}/elsewhere/metadata")), found.http());
    assert_eq!(code(&timed(by_document, &found.hand), &found.token()), "ok");
    assert_eq!(found.paths(), ["/elsewhere/metadata", "/keys"]);
    let by_set = found.config(Place::KeySet(format!("{origin}/keys?appid=1")), found.http());
    assert_eq!(code(&timed(by_set, &found.hand), &found.token()), "ok");
    assert_eq!(found.paths()[2..], ["/keys?appid=1"]);
}

#[test]
fn refuses_documents_that_lead_astray() {
    let found = Found::new("");
    let origin = found.server.origin().to_owned();
    let port = origin.rsplit(':').next().expect("a port").to_owned();
    found.publish("/keys", &found.issuer.jwks());
    for (document, part) in [
        (json!({ "issuer": format!("{origin}/"), "jwks_uri": format!("{origin}/keys") }), "another issuer"),
        (found.document("http://localhost/keys"), "not https"),
        (found.document("https://evil.example/keys"), "not one of the issuer's"),
        // The same machine under another name: hosts are pinned by their names.
        (found.document(&format!("https://127.0.0.1:{port}/keys")), "not one of the issuer's"),
        (found.document("https://user:hunter2@localhost/keys"), "user name or password"),
        (found.document("/keys"), "does not start with `https://`"),
        (json!({ "issuer": found.issuer.issuer() }), "no `jwks_uri`"),
        (json!([]), "not a JSON object"),
    ] {
        found.publish("/.well-known/openid-configuration", &document);
        let error = found.error(&found.by_name());
        assert!(error.is_unavailable() && error.to_string().contains(part), "{part}: {error}");
        assert!(!error.to_string().contains("hunter2") && !error.public().contains("localhost"), "{error}");
    }
    assert!(!found.paths().contains(&"/keys".to_owned()), "none of them was followed");
    let named = HttpSettings { hosts: vec!["127.0.0.1".to_owned()], ..found.http() };
    found.publish("/.well-known/openid-configuration", &found.document(&format!("https://127.0.0.1:{port}/keys")));
    let config = found.config(Place::Issuer(found.issuer.issuer().to_owned()), named);
    assert_eq!(code(&timed(config, &found.hand), &found.token()), "ok", "a host that is named");
}

#[test]
fn follows_few_redirects_and_only_to_its_own_hosts() {
    let found = Found::new("");
    let origin = found.server.origin().to_owned();
    let to = |from: &str, place: String| found.server.answer_at(from, KeyAnswer::Redirect(place));
    to("/a", format!("{origin}/b"));
    to("/b", format!("{origin}/keys"));
    to("/loop", format!("{origin}/loop"));
    to("/out", "https://evil.example/keys".to_owned());
    to("/plain", origin.replace("https", "http") + "/keys");
    found.publish("/keys", &found.issuer.jwks());
    for (path, redirects_max, expected) in [
        ("/a", 2, None),
        ("/a", 1, Some("answered 302")),
        ("/a", 0, Some("answered 302")),
        ("/loop", 5, Some("answered 302")),
        ("/out", 5, Some("not one of the issuer's")),
        ("/plain", 5, Some("not https")),
    ] {
        let http = HttpSettings { redirects_max, ..found.http() };
        let verifier = timed(found.config(Place::KeySet(format!("{origin}{path}")), http), &found.hand);
        match (verify(&verifier, &found.token(), NOW), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{path}: {error}"),
            (got, expected) => panic!("{path}: {got:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_bearer_token_for_the_keys_goes_to_the_configured_host_alone() {
    let found = Found::new("");
    let origin = found.server.origin().to_owned();
    let port = origin.rsplit(':').next().expect("a port").to_owned();
    let token_file = found.folder.path().join("token");
    std::fs::write(&token_file, "service-account\n").expect("a written file");
    let http =
        HttpSettings { token_file: Some(token_file.clone()), hosts: vec!["127.0.0.1".to_owned()], ..found.http() };
    found.publish("/.well-known/openid-configuration", &found.document(&format!("https://127.0.0.1:{port}/keys")));
    found.publish("/keys", &found.issuer.jwks());
    let by_name = || timed(found.config(Place::Issuer(found.issuer.issuer().to_owned()), http.clone()), &found.hand);
    assert_eq!(code(&by_name(), &found.token()), "ok");
    let authorizations =
        |found: &Found| found.server.asked().into_iter().map(|asked| asked.authorization).collect::<Vec<_>>();
    assert_eq!(authorizations(&found), [Some("Bearer service-account".to_owned()), None]);
    // It is rotated under us: each fetch reads it anew.
    std::fs::write(&token_file, "rotated").expect("a written file");
    assert_eq!(code(&by_name(), &found.token()), "ok");
    assert_eq!(authorizations(&found)[2], Some("Bearer rotated".to_owned()));
    std::fs::remove_file(&token_file).expect("removed");
    let error = found.error(&by_name());
    assert!(error.is_unavailable() && error.to_string().contains("token_file"), "{error}");
}

/// A set that may be kept for long is not too old the moment it is due: what counts as stale begins there.
#[test]
fn keys_that_are_due_serve_until_they_have_been_fetched() {
    let found = Found::new("");
    let fields = vec![("cache-control", "max-age=86400".to_owned())];
    found.server.answer_at("/keys", KeyAnswer::With(found.issuer.jwks().to_string(), fields));
    let verifier =
        timed(found.config(Place::KeySet(format!("{}/keys", found.server.origin())), found.http()), &found.hand);
    assert_eq!(code(&verifier, &found.token()), "ok");
    found.hand.pass(Duration::from_secs(3600));
    found.server.hold();
    assert_eq!(code(&verifier, &found.token()), "ok", "it serves while it is fetched");
    found.server.release();
}

/// `Cache-Control` is honoured within bounds: not below the least time, not beyond the longest.
#[test]
fn keys_are_fetched_again_when_their_cache_headers_say_so_within_bounds() {
    for (cache_control, fresh_s, due_s) in [
        (Some("max-age=120"), 119, 120),
        (Some("max-age=0"), 59, 60),
        (Some("no-store"), 59, 60),
        (Some("max-age=999999"), 3_599, 3_600),
        (None, 299, 300),
    ] {
        let found = Found::new("");
        let fields = cache_control.map(|value| ("cache-control", value.to_owned()));
        let fields: Vec<_> = fields.into_iter().collect();
        found.server.answer_at("/keys", KeyAnswer::With(found.issuer.jwks().to_string(), fields));
        let mut config = found.config(Place::KeySet(format!("{}/keys", found.server.origin())), found.http());
        config.timing.stale_max = Duration::from_secs(7200);
        let verifier = timed(config, &found.hand);
        let runtime = runtime();
        runtime.block_on(async {
            let fetched = |hits: usize| async move { hits };
            assert!(check(&verifier, &found.token(), NOW).await.is_ok());
            found.hand.pass(Duration::from_secs(fresh_s));
            assert!(check(&verifier, &found.token(), NOW).await.is_ok());
            assert_eq!(fetched(found.server.hits()).await, 1, "{cache_control:?}: not before it is due");
            found.hand.pass(Duration::from_secs(due_s - fresh_s));
            // The known key serves at once; the fetch is in the background.
            assert!(check(&verifier, &found.token(), NOW).await.is_ok());
            let began = std::time::Instant::now();
            while found.server.hits() < 2 {
                assert!(began.elapsed() < Duration::from_secs(10), "{cache_control:?}: never fetched again");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}

#[test]
fn readiness_shows_how_each_issuer_is() {
    let found = Found::new("");
    let keys = format!("{}/keys", found.server.origin());
    let mut config = found.config(Place::KeySet(keys), found.http());
    config.timing.stale_max = Duration::from_secs(600);
    let verifier = timed(config, &found.hand);
    let state = || verifier.states().remove(0);
    assert_eq!((state().serving, state().age_s), (Serving::Unavailable, None), "nothing was fetched yet");
    let mut set = found.issuer.jwks();
    let mut private = TestIssuer::new(Algorithm::EdDsa).with_kid("private").jwk();
    private["d"] = json!("hunter2");
    set["keys"].as_array_mut().expect("keys").push(private);
    found.publish("/keys", &set);
    assert_eq!(code(&verifier, &found.token()), "ok");
    let fresh = state();
    assert_eq!(
        (fresh.serving, fresh.kids.as_slice(), fresh.age_s),
        (Serving::Fresh, &["test-1".to_owned()][..], Some(0))
    );
    assert!(fresh.refused.len() == 1 && fresh.refused[0].contains("private") && !fresh.refused[0].contains("hunter2"));
    found.server.answer_at("/keys", KeyAnswer::Status(500));
    found.hand.pass(Duration::from_secs(301));
    assert_eq!(code(&verifier, &found.token()), "ok", "and fetches in the background");
    found.hand.pass(Duration::from_secs(1));
    let missing = found.issuer.token_with(
        json!({ "alg": "EdDSA", "kid": "other", "typ": "JWT" }),
        found.issuer.job_claims("d", "t", AUDIENCE, NOW),
    );
    assert_eq!(code(&verifier, &missing), "keys_unavailable");
    let stale = state();
    assert_eq!((stale.serving, stale.serves_for_s), (Serving::Stale, Some(598)));
    assert!(stale.fault.as_deref().is_some_and(|fault| fault.contains("answered 500")), "{stale:?}");
    found.hand.pass(Duration::from_secs(600));
    assert_eq!(state().serving, Serving::Unavailable);
    assert_eq!(code(&verifier, &found.token()), "keys_unavailable");
    found.publish("/keys", &set);
    found.hand.pass(Duration::from_secs(2));
    assert_eq!(code(&verifier, &found.token()), "ok");
    assert_eq!(state().serving, Serving::Fresh);
}
