//! Each provider by tokens of its exact shape, and each of its traps by its name.
//!
//! Shapes: the providers' own documentation where it shows one, tokens seen elsewhere where it does not (said at each).

use crate::rig::*;
use airgate_identity::{
    Algorithm, Given, IssuerConfig, KeySource, ProfileName, TokenError, Trap, VerifiedToken, Verifier,
};
use airgate_testkit::TestIssuer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A provider with one key, and a gateway that trusts it by its profile.
struct Provider {
    issuer: TestIssuer,
    verifier: Verifier,
    typ: Option<&'static str>,
    _folder: TempDir,
}

impl Provider {
    fn new(profile: ProfileName, algorithm: Algorithm, typ: Option<&'static str>, given: Given) -> Self {
        Self::with(profile, algorithm, typ, given, |_| {})
    }

    fn with(
        profile: ProfileName,
        algorithm: Algorithm,
        typ: Option<&'static str>,
        given: Given,
        change: impl FnOnce(&mut IssuerConfig),
    ) -> Self {
        let issuer = TestIssuer::new(algorithm);
        let mut keys = issuer.jwks();
        if profile == ProfileName::Spiffe {
            keys["keys"][0]["use"] = json!("jwt-svid");
        }
        let (folder, path) = key_file(&keys);
        let given = Given { keys: Some(KeySource::File(path)), ..given };
        let mut config = profile.config("idp", &given).expect("a good issuer");
        change(&mut config);
        let verifier = Verifier::new(vec![config]).expect("a verifier");
        Self { issuer, verifier, typ, _folder: folder }
    }

    fn verify(&self, claims: Value) -> Result<VerifiedToken, TokenError> {
        verify(&self.verifier, &self.issuer.token_of(self.typ, claims), NOW)
    }

    fn good(&self, claims: Value) -> VerifiedToken {
        self.verify(claims).expect("a good token")
    }

    /// The code of the refusal, and the trap that it names.
    fn trap(&self, claims: Value) -> (&'static str, Option<Trap>) {
        let error = self.verify(claims).expect_err("a token that is refused");
        if let Some(trap) = error.trap() {
            assert!(error.public().contains(trap.public()), "{error}");
            assert_eq!(error.advice(), trap.advice());
        }
        (error.code(), error.trap())
    }
}

/// The claims, but for these; `null` takes one away.
fn but(claims: &Value, changes: Value) -> Value {
    let mut out = claims.clone();
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            out.as_object_mut().expect("an object").remove(name);
        } else {
            out[name] = value.clone();
        }
    }
    out
}

fn given(url: &str) -> Given {
    let url = (!url.is_empty()).then(|| url.to_owned());
    Given { url, audiences: vec![AUDIENCE.to_owned()], app_only: true, pod_bound: true, ..Given::default() }
}

/// What is wrong with these lines of configuration: the key, and the words.
fn refused(profile: ProfileName, given: &Given) -> Vec<(&'static str, String)> {
    let given = Given { keys: given.keys.clone().or(Some(KeySource::File("keys.json".into()))), ..given.clone() };
    let errors = profile.config("idp", &given).expect_err("a configuration that is refused");
    assert!(errors.iter().all(|error| error.help.len() > 10), "{errors:?}");
    errors.into_iter().map(|error| (error.key, error.problem)).collect()
}

const TENANT: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
const OTHER_TENANT: &str = "bbbbcccc-1111-dddd-2222-eeee3333ffff";

/// learn.microsoft.com, Q&A 256281: version 2.0, client credentials.
fn entra_v2() -> Value {
    json!({
        "aud": AUDIENCE, "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        "iat": NOW - 300, "nbf": NOW - 300, "exp": NOW + 3600, "aio": "E2ZgYPj…", "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "azpacr": "1", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "rh": "0.AS8A…", "roles": ["Orders.Read", "Orders.Write"],
        "sub": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "tid": TENANT, "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0",
    })
}

/// Version 1.0, client credentials, with the optional claim `idtyp`.
fn entra_v1() -> Value {
    json!({
        "aud": AUDIENCE, "iss": format!("https://sts.windows.net/{TENANT}/"), "iat": NOW - 300, "nbf": NOW - 300,
        "exp": NOW + 4500, "aio": "E2ZgYPj…", "appid": "1671f074-56e2-4c37-873b-b7b07a120b18", "appidacr": "1",
        "idp": format!("https://sts.windows.net/{TENANT}/"), "idtyp": "app", "oid": "72243241-f194-45f3-987d-eeb347b83b69",
        "rh": "0.Aa4A…", "roles": ["Orders.Read"], "sub": "72243241-f194-45f3-987d-eeb347b83b69", "tid": TENANT,
        "uti": "FVsGxYXI30-TuikuuUoFAA", "ver": "1.0",
    })
}

fn entra(tenants: &[&str]) -> Given {
    Given { tenants: tenants.iter().map(|one| (*one).to_owned()).collect(), ..given("") }
}

#[test]
fn entra_takes_applications_of_its_tenants_in_both_versions() {
    let provider = Provider::new(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), entra(&[TENANT]));
    let v2 = provider.good(entra_v2());
    assert_eq!(v2.iss(), format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
    assert_eq!(v2.attribute("roles"), Some(&json!(["Orders.Read", "Orders.Write"])));
    assert_eq!(provider.good(entra_v1()).iss(), format!("https://sts.windows.net/{TENANT}/"));
    // One tenant's application is not another's, whatever its subject.
    let both = Provider::new(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), entra(&[TENANT, OTHER_TENANT]));
    let of_other =
        json!({ "tid": OTHER_TENANT, "iss": format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0") });
    let (one, other) = (both.good(entra_v2()), both.good(but(&entra_v2(), of_other)));
    assert_eq!((one.issuer(), one.subject()), (other.issuer(), other.subject()));
    assert_ne!(one.iss(), other.iss());
}

#[test]
fn entra_names_its_traps() {
    let provider = Provider::new(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), entra(&[TENANT]));
    let trap = |changes: Value| provider.trap(but(&entra_v2(), changes));
    let iss = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    assert_eq!(
        trap(json!({ "iss": iss(OTHER_TENANT), "tid": OTHER_TENANT })),
        ("issuer_unknown", Some(Trap::EntraTenant))
    );
    assert_eq!(trap(json!({ "tid": OTHER_TENANT })), ("claim_refused", Some(Trap::EntraTenantMismatch)));
    assert_eq!(trap(json!({ "ver": "1.0" })), ("claim_refused", Some(Trap::EntraVersion)));
    assert_eq!(
        trap(json!({ "aud": "https://graph.microsoft.com" })),
        ("audience_mismatch", Some(Trap::EntraGraphToken))
    );
    // An ID token of version 2.0: it names no client.
    let id_token = json!({ "azp": null, "azpacr": null, "roles": null, "name": "Abe", "preferred_username": "abe@x" });
    assert_eq!(trap(id_token.clone()), ("token_type_refused", Some(Trap::IdToken)));
    let with_nonce = but(&id_token, json!({ "nonce": "123" }));
    assert_eq!(trap(with_nonce), ("token_type_refused", Some(Trap::IdToken)));
    // On behalf of a user.
    let user = json!({ "scp": "access_as_user", "roles": null, "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ" });
    assert_eq!(trap(user.clone()), ("claim_refused", Some(Trap::EntraUserToken)));
    assert_eq!(trap(json!({ "idtyp": "user" })), ("claim_refused", Some(Trap::EntraUserToken)));
    assert_eq!(trap(json!({ "sub": "somebody-else" })), ("claim_refused", Some(Trap::EntraUserToken)));
    let users =
        Provider::new(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), Given { app_only: false, ..entra(&[TENANT]) });
    assert!(users.verify(but(&entra_v2(), user)).is_ok(), "where users are wanted");
    // Only one version configured.
    let one_version = Provider::new(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), given(&iss(TENANT)));
    assert!(one_version.verify(entra_v2()).is_ok());
    assert_eq!(one_version.trap(entra_v1()), ("issuer_unknown", Some(Trap::EntraVersion)));
}

#[test]
fn entra_tells_groups_overage_where_groups_matter() {
    let overage = but(
        &entra_v2(),
        json!({
            "_claim_names": { "groups": "src1" },
            "_claim_sources": { "src1": { "endpoint": format!("https://graph.windows.net/{TENANT}/users/x/getMemberObjects") } },
        }),
    );
    let indifferent = Provider::new(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), entra(&[TENANT]));
    assert!(indifferent.verify(overage.clone()).is_ok());
    let by_groups = Provider::with(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), entra(&[TENANT]), |config| {
        config.attributes.insert("groups".to_owned(), airgate_identity::ClaimPath::new(["groups"]).expect("a path"));
    });
    assert_eq!(by_groups.trap(overage), ("claim_refused", Some(Trap::EntraGroupsOverage)));
    let implicit = but(&entra_v2(), json!({ "hasgroups": true }));
    assert_eq!(by_groups.trap(implicit), ("claim_refused", Some(Trap::EntraGroupsOverage)));
    let listed = but(&entra_v2(), json!({ "groups": ["0f1e2d3c-0000-0000-0000-000000000001"] }));
    assert_eq!(by_groups.good(listed).attribute("groups"), Some(&json!(["0f1e2d3c-0000-0000-0000-000000000001"])));
}

/// The signature of a Graph token is over another header than the one it shows; nobody else can check it.
#[test]
fn entra_explains_a_graph_token_whose_signature_fails() {
    let provider = Provider::new(ProfileName::Entra, Algorithm::Rs256, Some("JWT"), entra(&[TENANT]));
    let good = provider.issuer.token_of(Some("JWT"), entra_v2());
    let (signed, signature) = good.rsplit_once('.').expect("a token");
    let (_, claims) = signed.split_once('.').expect("a token");
    let header = json!({ "alg": "RS256", "kid": provider.issuer.kid(), "typ": "JWT", "nonce": "AQAB" });
    let shown = provider.issuer.token_with(header, json!({}));
    let error = verify(
        &provider.verifier,
        &format!("{}.{claims}.{signature}", shown.split('.').next().expect("a header")),
        NOW,
    );
    let error = error.expect_err("a signature over another header");
    assert_eq!((error.code(), error.trap()), ("signature_invalid", Some(Trap::EntraGraphToken)));
}

#[test]
fn entra_keys_of_another_tenant_sign_for_nobody_else() {
    let issuer = TestIssuer::new(Algorithm::Rs256);
    for (key_issuer, expected) in [
        ("https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(), "ok"),
        (format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "ok"),
        ("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0".to_owned(), "key_unknown"),
        ("nonsense".to_owned(), "key_unknown"),
    ] {
        let mut keys = issuer.jwks();
        keys["keys"][0]["issuer"] = json!(key_issuer);
        keys["keys"][0].as_object_mut().expect("a key").remove("alg");
        let (_folder, path) = key_file(&keys);
        let given = Given { keys: Some(KeySource::File(path)), ..entra(&[TENANT]) };
        let config = ProfileName::Entra.config("idp", &given).expect("a good issuer");
        let verifier = Verifier::new(vec![config]).expect("a verifier");
        assert_eq!(code(&verifier, &issuer.token_of(Some("JWT"), entra_v2())), expected, "{key_issuer}");
    }
}

#[test]
fn entra_wants_its_tenants_named() {
    for (given, key, part) in [
        (entra(&[]), "tenants", "`tenants` is missing"),
        (entra(&["common"]), "tenants", "no tenant's id"),
        (entra(&["corp.onmicrosoft.com"]), "tenants", "no tenant's id"),
        (given("https://login.microsoftonline.com/common/v2.0"), "url", "no issuer of Entra ID"),
        (given("https://login.microsoftonline.com/"), "url", "no issuer of Entra ID"),
        (given(&format!("https://login.evil.example/{TENANT}/v2.0")), "url", "no issuer of Entra ID"),
        (
            Given { tenants: vec![TENANT.to_owned()], ..given(&format!("https://sts.windows.net/{TENANT}/")) },
            "url",
            "both",
        ),
    ] {
        let told = refused(ProfileName::Entra, &given);
        assert!(told[0].0 == key && told[0].1.contains(part), "{told:?}");
    }
    for (tenants, keys) in [
        (&[TENANT][..], format!("https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys")),
        (&[TENANT, OTHER_TENANT], "https://login.microsoftonline.com/common/discovery/v2.0/keys".to_owned()),
    ] {
        let config = ProfileName::Entra.config("idp", &entra(tenants)).expect("a good issuer");
        let KeySource::Remote(remote) = config.keys else { panic!("{:?}", config.keys) };
        assert_eq!(remote.place.url(), keys);
    }
    let china = given(&format!("https://login.partner.microsoftonline.cn/{TENANT}/v2.0"));
    let config = ProfileName::Entra.config("idp", &china).expect("a national cloud");
    let KeySource::Remote(remote) = config.keys else { panic!("{:?}", config.keys) };
    assert!(remote.place.url().starts_with("https://login.partner.microsoftonline.cn/"), "{:?}", remote.place);
}

const OKTA: &str = "https://acme.okta.com/oauth2/default";

/// developer.okta.com, OAuth 2.0 overview: an access token of client credentials has no `uid`.
fn okta() -> Value {
    json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": OKTA, "aud": AUDIENCE,
        "sub": "0oanmdP1fcyvdVO11AL7", "iat": NOW, "exp": NOW + 3600, "cid": "0oanmdP1fcyvdVO11AL7", "scp": ["orders.read"],
    })
}

#[test]
fn okta_takes_access_tokens_of_a_custom_server_and_names_its_traps() {
    let provider = Provider::new(ProfileName::Okta, Algorithm::Rs256, None, given(OKTA));
    assert_eq!(provider.good(okta()).attribute("scp"), Some(&json!(["orders.read"])));
    let org = but(&okta(), json!({ "iss": "https://acme.okta.com", "aud": "https://acme.okta.com" }));
    assert_eq!(provider.trap(org), ("issuer_unknown", Some(Trap::OktaOrgServer)));
    let id_token = but(
        &okta(),
        json!({ "jti": "ID.4eAWJOCMB3SX8XewDfVR", "cid": null, "scp": null, "amr": ["pwd"], "auth_time": NOW }),
    );
    assert_eq!(provider.trap(id_token.clone()).0, "claim_refused", "it has no `cid`");
    assert_eq!(provider.trap(but(&id_token, json!({ "cid": "x" }))), ("token_type_refused", Some(Trap::IdToken)));
    assert_eq!(provider.trap(but(&id_token, json!({ "at_hash": "x" }))), ("token_type_refused", Some(Trap::IdToken)));
    assert_eq!(provider.trap(but(&okta(), json!({ "jti": "x" }))), ("token_type_refused", Some(Trap::OtherToken)));
    assert_eq!(provider.trap(but(&okta(), json!({ "jti": null }))), ("token_type_refused", Some(Trap::OtherToken)));
    for url in [
        "https://acme.okta.com",
        "https://acme.okta.com/oauth2/",
        "https://acme.okta.com/oauth2/a/b",
        "http://acme.okta.com/oauth2/x",
    ] {
        let told = refused(ProfileName::Okta, &given(url));
        assert!(told[0].1.contains("not a custom authorization server"), "{told:?}");
    }
}

const COGNITO: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI";

/// AWS, Cognito developer guide, "Using the access token".
fn cognito() -> Value {
    json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["loaders"], "token_use": "access",
        "scope": "orders/read", "auth_time": NOW, "iss": COGNITO, "exp": NOW + 3600, "iat": NOW, "version": 2,
        "origin_jti": "aaaaaaaa-0000-0000-0000-000000000000", "jti": "aaaaaaaa-0000-0000-0000-000000000001",
        "client_id": AUDIENCE, "username": "janedoe@example.com",
    })
}

#[test]
fn cognito_has_no_aud_and_tells_tokens_apart_by_use() {
    let provider = Provider::new(ProfileName::Cognito, Algorithm::Rs256, None, given(COGNITO));
    assert_eq!(provider.good(cognito()).attribute("roles"), Some(&json!(["loaders"])));
    let m2m = but(&cognito(), json!({ "sub": AUDIENCE, "username": null, "cognito:groups": null }));
    assert_eq!(provider.good(m2m).attribute("roles"), None);
    let id_token =
        json!({ "token_use": "id", "aud": AUDIENCE, "client_id": null, "scope": null, "email_verified": true });
    assert_eq!(provider.trap(but(&cognito(), id_token)), ("claims_malformed", Some(Trap::IdToken)));
    assert_eq!(provider.trap(but(&cognito(), json!({ "token_use": "id" }))), ("claim_refused", Some(Trap::IdToken)));
    assert_eq!(
        provider.trap(but(&cognito(), json!({ "client_id": "another" }))),
        ("audience_mismatch", Some(Trap::CognitoAudience))
    );
    for url in [
        "https://cognito-idp.amazonaws.com/x",
        "https://evil.example/eu_x",
        &format!("{COGNITO}/"),
        "https://cognito-idp.eu.amazonaws.com",
    ] {
        assert!(refused(ProfileName::Cognito, &given(url))[0].1.contains("no user pool"), "{url}");
    }
}

const AWS: &str = "https://abc12345-def4-5678-90ab-cdef12345678.tokens.sts.global.api.aws";

/// AWS, IAM user guide, token claims of outbound identity federation.
fn aws() -> Value {
    json!({
        "iss": AWS, "aud": AUDIENCE, "sub": "arn:aws:iam::123456789012:role/DataProcessingRole", "iat": NOW, "exp": NOW + 900,
        "jti": "7a6b5c4d-0000-0000-0000-000000000000",
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012", "source_region": "us-east-1", "org_id": "o-abc1234567",
            "ou_path": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"], "principal_id": "arn:aws:iam::123456789012:role/DataProcessingRole",
            "principal_tags": { "environment": "production", "team": "data-engineering" },
            "lambda_source_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:process-data",
            "request_tags": { "job-id": "job-2024-001" },
        },
    })
}

#[test]
fn aws_iam_reads_nested_claims_by_path() {
    let given = || Given { accounts: vec!["123456789012".to_owned()], ..given(AWS) };
    for algorithm in [Algorithm::Rs256, Algorithm::Es384] {
        let provider = Provider::with(ProfileName::AwsIam, algorithm, Some("JWT"), given(), |config| {
            let team = ["https://sts.amazonaws.com/", "principal_tags", "team"];
            config.attributes.insert("team".to_owned(), airgate_identity::ClaimPath::new(team).expect("a path"));
        });
        let token = provider.good(aws());
        assert_eq!(token.attribute("aws_account"), Some(&json!("123456789012")));
        assert_eq!(token.attribute("org_id"), Some(&json!("o-abc1234567")));
        assert_eq!(token.attribute("team"), Some(&json!("data-engineering")));
    }
    let provider = Provider::new(ProfileName::AwsIam, Algorithm::Es384, Some("JWT"), given());
    let mut other = aws();
    other["https://sts.amazonaws.com/"]["aws_account"] = json!("999999999999");
    assert_eq!(provider.trap(other).0, "claim_refused");
    // The account at the top, where nothing of AWS's is, is no account.
    let moved = but(&aws(), json!({ "https://sts.amazonaws.com/": null, "aws_account": "123456789012" }));
    assert_eq!(provider.trap(moved).0, "claim_refused");
    // The other subject mode, in which the caller has a say in `sub`.
    let chosen = but(&aws(), json!({ "sub": "job-4711" }));
    assert_eq!(provider.trap(chosen), ("claim_refused", Some(Trap::OtherToken)));
    for (url, accounts, part) in [
        ("https://tokens.sts.global.api.aws", vec![], "no issuer of outbound"),
        ("https://evil.example", vec![], "no issuer of outbound"),
        (AWS, vec!["12345".to_owned()], "no account id"),
    ] {
        let told = refused(ProfileName::AwsIam, &Given { accounts, ..crate::profiles::given(url) });
        assert!(told[0].1.contains(part), "{told:?}");
    }
}

/// kubernetes.io, "Managing Service Accounts": a projected token, bound to a pod.
fn pod(iss: &str) -> Value {
    json!({
        "aud": [AUDIENCE], "exp": NOW + 3600, "iat": NOW, "iss": iss, "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
        "kubernetes.io": {
            "namespace": "batch", "node": { "name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
            "pod": { "name": "loader-7d5f", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
            "serviceaccount": { "name": "loader", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
        },
        "nbf": NOW, "sub": "system:serviceaccount:batch:loader",
    })
}

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const EKS: &str = "https://oidc.eks.us-west-2.amazonaws.com/id/D43CF17C27A865933144EA99A26FB128";

#[test]
fn kubernetes_takes_tokens_of_pods_in_the_named_namespaces() {
    for (profile, url, typ) in [
        (ProfileName::Kubernetes, CLUSTER, None),
        (ProfileName::Kubernetes, CLUSTER, Some("JWT")),
        (ProfileName::Eks, EKS, None),
    ] {
        let given = Given { namespaces: vec!["batch".to_owned(), "etl".to_owned()], ..given(url) };
        let provider = Provider::new(profile, Algorithm::Rs256, typ, given);
        let token = provider.good(pod(url));
        assert_eq!(token.attribute("namespace"), Some(&json!("batch")));
        assert_eq!(token.attribute("service_account"), Some(&json!("loader")));
        assert_eq!(token.attribute("pod"), Some(&json!("loader-7d5f")));
        let mut elsewhere = pod(url);
        elsewhere["kubernetes.io"]["namespace"] = json!("default");
        elsewhere["sub"] = json!("system:serviceaccount:default:loader");
        assert_eq!(provider.trap(elsewhere.clone()).0, "claim_refused");
        // Its two ways to say who it is must agree.
        elsewhere["kubernetes.io"]["namespace"] = json!("batch");
        assert_eq!(provider.trap(elsewhere), ("token_type_refused", Some(Trap::OtherToken)));
    }
}

#[test]
fn kubernetes_names_its_traps() {
    let provider = Provider::new(ProfileName::Kubernetes, Algorithm::Rs256, None, given(CLUSTER));
    let mut unbound = pod(CLUSTER);
    unbound["kubernetes.io"].as_object_mut().expect("an object").remove("pod");
    assert_eq!(provider.trap(unbound.clone()), ("token_type_refused", Some(Trap::KubernetesUnbound)));
    let loose = Given { pod_bound: false, ..given(CLUSTER) };
    assert!(Provider::new(ProfileName::Kubernetes, Algorithm::Rs256, None, loose).verify(unbound).is_ok());
    let for_api_server = but(&pod(CLUSTER), json!({ "aud": [CLUSTER] }));
    assert_eq!(provider.trap(for_api_server), ("audience_mismatch", Some(Trap::KubernetesAudience)));
    // The token that every pod has by default lives a year.
    let default = but(&pod(CLUSTER), json!({ "exp": NOW + 31_536_000 }));
    assert_eq!(provider.trap(default), ("token_too_long_lived", Some(Trap::KubernetesLifetime)));
    // A legacy token out of a Secret.
    let legacy = json!({
        "iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/secret.name": "default-token-abcde",
        "kubernetes.io/serviceaccount/service-account.name": "default",
        "kubernetes.io/serviceaccount/service-account.uid": "3b0d…", "sub": "system:serviceaccount:default:default",
    });
    assert_eq!(provider.trap(legacy), ("issuer_unknown", Some(Trap::KubernetesLegacy)));
    let eks = Provider::new(ProfileName::Eks, Algorithm::Rs256, None, given(EKS));
    let for_sts = but(&pod(EKS), json!({ "aud": ["sts.amazonaws.com"] }));
    assert_eq!(eks.trap(for_sts), ("audience_mismatch", Some(Trap::EksStsAudience)));
    let sts = Given { audiences: vec!["sts.amazonaws.com".to_owned()], ..given(EKS) };
    assert!(refused(ProfileName::Eks, &sts)[0].1.contains("AWS's own audience"));
    assert!(
        refused(ProfileName::Eks, &given("https://oidc.eks.us-west-2.amazonaws.com/x"))[0].1.contains("no cluster")
    );
}

const REALM: &str = "https://id.corp.example/realms/prod";

/// A client-credentials token of Keycloak 26.
fn keycloak() -> Value {
    json!({
        "exp": NOW + 300, "iat": NOW, "jti": "trrtcc:37b03598-ee15-eb87-c04c-d3b9703734b8", "iss": REALM,
        "aud": [AUDIENCE, "account"], "sub": "819d4ee5-8b1f-4d7c-9c1d-000000000000", "typ": "Bearer", "azp": "etl", "acr": "1",
        "realm_access": { "roles": ["default-roles-prod", "orders-reader"] },
        "resource_access": { "air.gate": { "roles": ["orders-writer"] }, "account": { "roles": ["view-profile"] } },
        "scope": "profile email", "clientHost": "172.17.0.1", "email_verified": false,
        "preferred_username": "service-account-etl", "clientAddress": "172.17.0.1", "client_id": "etl",
    })
}

#[test]
fn keycloak_reads_roles_of_the_realm_or_of_one_client() {
    for typ in ["JWT", "at+jwt"] {
        let of_realm = Provider::new(ProfileName::Keycloak, Algorithm::Rs256, Some(typ), given(REALM));
        let roles = json!(["default-roles-prod", "orders-reader"]);
        assert_eq!(of_realm.good(keycloak()).attribute("roles"), Some(&roles), "{typ}");
    }
    let client = Given { client: Some("air.gate".to_owned()), ..given(REALM) };
    let of_client = Provider::new(ProfileName::Keycloak, Algorithm::Rs256, Some("JWT"), client);
    assert_eq!(of_client.good(keycloak()).attribute("roles"), Some(&json!(["orders-writer"])));
    let without = but(&keycloak(), json!({ "resource_access": { "account": { "roles": ["orders-writer"] } } }));
    assert_eq!(of_client.good(without).attribute("roles"), None);
    let dpop = but(&keycloak(), json!({ "typ": "DPoP" }));
    assert!(of_client.verify(dpop).is_ok());
}

#[test]
fn keycloak_names_its_traps() {
    let provider = Provider::new(ProfileName::Keycloak, Algorithm::Rs256, Some("JWT"), given(REALM));
    let trap = |changes: Value| provider.trap(but(&keycloak(), changes));
    assert_eq!(trap(json!({ "aud": "account" })), ("audience_mismatch", Some(Trap::KeycloakAudience)));
    assert_eq!(trap(json!({ "aud": null })), ("claims_malformed", Some(Trap::KeycloakAudience)));
    assert_eq!(trap(json!({ "sub": null })), ("claims_malformed", Some(Trap::KeycloakSubject)));
    assert_eq!(trap(json!({ "typ": "ID" })), ("claim_refused", Some(Trap::IdToken)));
    assert_eq!(trap(json!({ "typ": "Refresh" })), ("claim_refused", Some(Trap::OtherToken)));
    assert_eq!(trap(json!({ "typ": null })).0, "claim_refused");
    assert_eq!(
        trap(json!({ "iss": "http://keycloak.internal:8080/realms/prod" })),
        ("issuer_unknown", Some(Trap::KeycloakHostname))
    );
    assert_eq!(trap(json!({ "iss": "https://id.corp.example/realms/other" })), ("issuer_unknown", None));
    for url in ["https://id.corp.example", "https://id.corp.example/realms/", "https://id.corp.example/realms/prod/"] {
        assert!(refused(ProfileName::Keycloak, &given(url))[0].1.contains("names no realm"), "{url}");
    }
    let account = Given { audiences: vec!["account".to_owned()], ..given(REALM) };
    assert!(refused(ProfileName::Keycloak, &account)[0].1.contains("`account`"));
}

/// cloud.google.com, "Verifying the identity of instances", format=full.
fn google() -> Value {
    json!({
        "aud": AUDIENCE, "azp": "105271527809661757734", "email": "etl@proj.iam.gserviceaccount.com", "email_verified": true,
        "exp": NOW + 3600, "iat": NOW, "iss": "https://accounts.google.com", "sub": "105271527809661757734",
        "google": { "compute_engine": {
            "instance_creation_timestamp": 1_744_730_390, "instance_id": "1888435224091805695", "instance_name": "etl-1",
            "project_id": "proj", "project_number": 411_143_357_921_u64, "zone": "us-central1-c",
        } },
    })
}

#[test]
fn google_takes_identity_tokens_and_names_its_traps() {
    let provider = Provider::new(ProfileName::Google, Algorithm::Rs256, Some("JWT"), given(""));
    assert_eq!(provider.good(google()).attribute("project_id"), Some(&json!("proj")));
    assert!(provider.verify(but(&google(), json!({ "iss": "accounts.google.com" }))).is_ok());
    assert!(provider.verify(but(&google(), json!({ "email": null, "email_verified": null, "google": null }))).is_ok());
    for flag in [json!(false), json!(null), json!("true"), json!(1)] {
        let unverified = but(&google(), json!({ "email_verified": flag }));
        assert_eq!(provider.trap(unverified), ("claim_refused", Some(Trap::GoogleEmail)), "{flag}");
    }
    let opaque = verify(&provider.verifier, "ya29.c.b0Aaekm1K_opaque", NOW).expect_err("an opaque token");
    assert_eq!((opaque.code(), opaque.trap()), ("token_malformed", Some(Trap::GoogleAccessToken)));
    let sign_in = Given { audiences: vec!["32555940559.apps.googleusercontent.com".to_owned()], ..given("") };
    assert!(refused(ProfileName::Google, &sign_in)[0].1.contains("users who sign in"));
    assert_eq!(refused(ProfileName::Google, &given("https://accounts.google.com.evil.example"))[0].0, "url");
}

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// docs.github.com, "OpenID Connect reference".
fn github() -> Value {
    json!({
        "jti": "example-id", "sub": "repo:octo-org@65/octo-repo@74:environment:prod", "environment": "prod", "aud": AUDIENCE,
        "ref": "refs/heads/main", "sha": "example-sha", "repository": "octo-org/octo-repo", "repository_owner": "octo-org",
        "actor_id": "12", "repository_visibility": "private", "repository_id": "74", "repository_owner_id": "65",
        "run_id": "example-run-id", "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted",
        "actor": "octocat", "workflow": "example-workflow", "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch",
        "enterprise": "avocado-corp", "enterprise_id": "2", "ref_type": "branch",
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main", "iss": GITHUB,
        "nbf": NOW - 600, "exp": NOW + 300, "iat": NOW,
    })
}

#[test]
fn github_takes_repositories_of_the_named_owners_alone() {
    let owners = |all: &[&str]| Given { owners: all.iter().map(|one| (*one).to_owned()).collect(), ..given("") };
    for own in [&["65"][..], &["64", "65"], &["octo-org"]] {
        let provider = Provider::new(ProfileName::Github, Algorithm::Rs256, Some("JWT"), owners(own));
        assert!(provider.verify(github()).is_ok(), "{own:?}");
        let stranger = but(&github(), json!({ "repository_owner": "evil", "repository_owner_id": "666" }));
        assert_eq!(provider.trap(stranger), ("claim_refused", Some(Trap::GithubOwner)), "{own:?}");
    }
    let provider = Provider::new(ProfileName::Github, Algorithm::Rs256, Some("JWT"), owners(&["65"]));
    // The name of an owner that was registered again.
    let renamed = but(&github(), json!({ "repository_owner_id": "666" }));
    assert_eq!(provider.trap(renamed).0, "claim_refused");
    let default = but(&github(), json!({ "aud": "https://github.com/octo-org" }));
    assert_eq!(provider.trap(default), ("audience_mismatch", Some(Trap::GithubAudience)));
    for (given, key) in [
        (owners(&[]), "owners"),
        (owners(&["65", "octo-org"]), "owners"),
        (Given { audiences: vec!["https://github.com/octo-org".to_owned()], ..owners(&["65"]) }, "audiences"),
    ] {
        assert_eq!(refused(ProfileName::Github, &given)[0].0, key);
    }
}

/// JWT-SVID, as SPIRE issues it.
fn svid() -> Value {
    json!({ "aud": [AUDIENCE], "exp": NOW + 300, "iat": NOW, "sub": "spiffe://corp.example/ns/batch/sa/loader" })
}

#[test]
fn spiffe_trusts_by_the_trust_domain_of_the_subject() {
    let domain = || Given { trust_domain: Some("corp.example".to_owned()), ..given("") };
    for typ in [None, Some("JWT"), Some("JOSE")] {
        let provider = Provider::new(ProfileName::Spiffe, Algorithm::Es256, typ, domain());
        let token = provider.good(svid());
        assert_eq!(
            (token.iss(), token.subject()),
            ("spiffe://corp.example", "spiffe://corp.example/ns/batch/sa/loader")
        );
        for sub in [
            "spiffe://evil.example/ns/batch/sa/loader",
            "spiffe://corp.example.evil/x",
            "spiffe://corp.example/a/../b",
            "loader",
        ] {
            let code = provider.trap(but(&svid(), json!({ "sub": sub }))).0;
            assert_eq!(code, "claims_malformed", "{sub}: no issuer");
        }
        assert_eq!(provider.trap(but(&svid(), json!({ "iss": "https://spire.corp.example" }))).0, "issuer_unknown");
        assert_eq!(provider.trap(but(&svid(), json!({ "aud": null }))).0, "claims_malformed");
        assert_eq!(provider.trap(but(&svid(), json!({ "exp": null }))).0, "claims_malformed");
    }
    // Where the configuration names an `iss`, it is wanted.
    let named = Given { url: Some("https://spire.corp.example".to_owned()), ..domain() };
    let provider = Provider::new(ProfileName::Spiffe, Algorithm::Es256, Some("JWT"), named);
    assert!(provider.verify(but(&svid(), json!({ "iss": "https://spire.corp.example" }))).is_ok());
    assert_eq!(provider.trap(svid()), ("claims_malformed", Some(Trap::SpiffeId)));
    let other = but(&svid(), json!({ "iss": "https://spire.corp.example", "sub": "spiffe://evil.example/x" }));
    assert_eq!(provider.trap(other), ("claim_refused", Some(Trap::SpiffeId)));
    for bad in ["", "Corp.Example", "spiffe://corp.example", "corp.example/x", "corp example"] {
        let told = refused(ProfileName::Spiffe, &Given { trust_domain: Some(bad.to_owned()), ..given("") });
        assert_eq!(told[0].0, "trust_domain", "{bad}");
    }
    assert_eq!(refused(ProfileName::Spiffe, &given(""))[0].0, "trust_domain");
    // It does not know where the bundle is.
    let no_keys = ProfileName::Spiffe.config("idp", &domain()).expect_err("no keys");
    assert_eq!(no_keys[0].key, "jwks_url");
}

/// SPIFFE Trust Domain and Bundle §4: keys for certificates are not for tokens, and a key that says nothing is not used.
#[test]
fn spiffe_bundles_hold_keys_for_other_things() {
    let issuer = TestIssuer::new(Algorithm::Es256);
    for (usage, expected) in [
        (json!("jwt-svid"), "ok"),
        (json!("sig"), "ok"),
        (json!("x509-svid"), "key_unknown"),
        (json!("JWT-SVID"), "key_unknown"),
        (json!(null), "key_unknown"),
    ] {
        let spare = TestIssuer::new(Algorithm::Es256).with_kid("spare");
        let (mut key, mut other) = (issuer.jwk(), spare.jwk());
        other["use"] = json!("jwt-svid");
        match usage.as_str() {
            Some(usage) => key["use"] = json!(usage),
            None => drop(key.as_object_mut().expect("a key").remove("use")),
        }
        let bundle = json!({ "spiffe_sequence": 12, "spiffe_refresh_hint": 300, "keys": [key, other] });
        let (_folder, path) = key_file(&bundle);
        let given =
            Given { keys: Some(KeySource::File(path)), trust_domain: Some("corp.example".to_owned()), ..given("") };
        let config = ProfileName::Spiffe.config("mesh", &given).expect("a good issuer");
        let verifier = Verifier::new(vec![config]).expect("a verifier");
        assert_eq!(code(&verifier, &issuer.token_of(None, svid())), expected, "{usage}");
    }
}

#[test]
fn airflow_takes_job_assertions_and_never_its_own_task_tokens() {
    const AIRFLOW: &str = "https://airflow.example/airgate";
    let provider = Provider::new(ProfileName::Airflow, Algorithm::EdDsa, Some("airgate-job+jwt"), given(AIRFLOW));
    let job = TestIssuer::new(Algorithm::EdDsa).with_issuer(AIRFLOW).job_claims("nightly", "load", AUDIENCE, NOW);
    assert_eq!(provider.good(job.clone()).assurance(), "task");
    for typ in [None, Some("JWT"), Some("at+jwt")] {
        let other = provider.issuer.token_of(typ, job.clone());
        assert_eq!(code(&provider.verifier, &other), "token_type_refused", "{typ:?}");
    }
    let own = json!({
        "sub": "0198c0de-0000-7000-8000-000000000001", "scope": "execution", "aud": "urn:airflow.apache.org:task",
        "iss": "airflow", "exp": NOW + 600, "iat": NOW, "nbf": NOW,
    });
    assert_eq!(provider.trap(own), ("issuer_unknown", Some(Trap::AirflowTaskToken)));
}

#[test]
fn a_plain_issuer_takes_access_tokens_that_say_so() {
    const PLAIN: &str = "https://id.corp.example";
    let rfc9068 = json!({
        "iss": PLAIN, "aud": AUDIENCE, "sub": "etl", "client_id": "etl", "iat": NOW, "exp": NOW + 600, "jti": "1", "scope": "read",
    });
    let plain = |typ| {
        Provider::with(ProfileName::Oidc, Algorithm::Es256, typ, given(PLAIN), |config| {
            config.algorithms = vec![Algorithm::Es256]
        })
    };
    assert!(plain(Some("at+jwt")).verify(rfc9068.clone()).is_ok());
    assert!(plain(Some("application/at+jwt")).verify(rfc9068.clone()).is_ok());
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let code = plain(Some("at+jwt")).trap(but(&rfc9068, json!({ claim: null }))).0;
        assert_eq!(code, "claims_malformed", "{claim}");
    }
    for value in [json!(null), json!(""), json!(7), json!([]), json!({})] {
        let mut claims = rfc9068.clone();
        claims["client_id"] = value.clone();
        assert_eq!(plain(Some("at+jwt")).trap(claims).0, "claims_malformed", "{value}");
    }
    for (typ, trap) in [
        (None, None),
        (Some("JWT"), None),
        (Some("dpop+jwt"), Some(Trap::OtherToken)),
        (Some("logout+jwt"), Some(Trap::OtherToken)),
        (Some("airgate-receipt+jwt"), Some(Trap::OtherToken)),
        (Some("airgate-job+jwt"), None),
    ] {
        assert_eq!(plain(typ).trap(rfc9068.clone()), ("token_type_refused", trap), "{typ:?}");
    }
    // Where it issues tokens that do not say what they are, a claim must tell.
    let told_apart = Provider::with(ProfileName::Oidc, Algorithm::Es256, Some("JWT"), given(PLAIN), |config| {
        config.algorithms = vec![Algorithm::Es256];
        config.token_types = vec![airgate_identity::TokenType::Jwt];
        let claim = airgate_identity::ClaimPath::new(["scope"]).expect("a path");
        let must = airgate_identity::Must::StartWith("read".to_owned());
        config.required.push(airgate_identity::Requirement { claim, must });
    });
    assert!(told_apart.verify(rfc9068.clone()).is_ok());
    assert_eq!(told_apart.trap(but(&rfc9068, json!({ "scope": "openid" }))).0, "claim_refused");
    for marker in ["at_hash", "c_hash", "s_hash", "nonce"] {
        let id_token = but(&rfc9068, json!({ marker: "x" }));
        assert_eq!(told_apart.trap(id_token), ("token_type_refused", Some(Trap::IdToken)), "{marker}");
    }
    // A provider that is known is not to be trusted by less than what is known of it.
    let told = refused(ProfileName::Oidc, &given(GITHUB));
    assert!(told[0].1.contains("has a profile of its own"), "{told:?}");
}
