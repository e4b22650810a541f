//! Whose tokens are accepted.

use super::{
    Absent::{Means, Refused, Told},
    Kind::{self, ClaimPath, ClaimPaths, Count, Duration, Flag, OneOf, Path, SomeOf, Tables, Text, TextList},
    Schema, field,
};
use airgate_identity::{Algorithm, ProfileName};

const fn algorithm_names() -> [&'static str; Algorithm::ALL.len()] {
    let mut names = [""; Algorithm::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Algorithm::ALL[at].as_str();
        at += 1;
    }
    names
}

const fn profile_names() -> [&'static str; ProfileName::ALL.len()] {
    let mut names = [""; ProfileName::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = ProfileName::ALL[at].as_str();
        at += 1;
    }
    names
}

/// Signature algorithms, by their names in JOSE.
const ALGORITHMS: &[&str] = &algorithm_names();
/// Ready-made knowledge of providers.
const PROFILES: &[&str] = &profile_names();
/// Kinds of token, by their `typ`.
const TOKEN_TYPES: &[&str] = &["at+jwt", "JWT", "airgate-job+jwt"];
/// What a token of an issuer may prove.
const ASSURANCES: &[&str] = &["task", "worker", "client"];

pub(crate) static ISSUER: Schema = Schema {
    name: "issuer.NAME",
    about: "A party whose tokens are accepted. Its `profile` knows the provider; what is given here wins. Its name (`url`), the \
            address of its key set and that of its discovery document are three things: give the one that you know.",
    fields: &[
        field(
            "profile",
            OneOf(PROFILES),
            Told("`airflow` where `assurance = \"task\"`, else `oidc`"),
            "What is known of the provider: where its keys are, what its access tokens look like, which mistakes are common.",
        ),
        field(
            "url",
            Text,
            Told("the profile's own; refused where it knows none"),
            "The exact `iss` claim of its tokens. Example: `\"https://airflow.example/airgate\"`",
        ),
        field("audiences", TextList, Refused("[\"https://gw.example\"]"), "A token must name one of these."),
        field(
            "assurance",
            OneOf(ASSURANCES),
            Means("client"),
            "What its tokens prove: the one `task` instance, a `worker`, or no more than a `client`. Profile `airflow`: `task`.",
        ),
        field(
            "tenants",
            TextList,
            Told("`url` names one"),
            "Profile `entra`: ids of the tenants, both versions of tokens.",
        ),
        field(
            "app_only",
            Flag,
            Means("true"),
            "Profile `entra`: refuse tokens on behalf of users; applications' own are accepted.",
        ),
        field(
            "owners",
            TextList,
            Told("refused with profile `github`"),
            "Profile `github`: whose repositories, by owner id (or by name, which can be registered again).",
        ),
        field("accounts", TextList, Told("any account of the issuer"), "Profile `aws-iam`: account ids."),
        field(
            "namespaces",
            TextList,
            Told("any namespace"),
            "Profiles `kubernetes` and `eks`: namespaces of service accounts.",
        ),
        field(
            "pod_bound",
            Flag,
            Means("true"),
            "Profiles `kubernetes` and `eks`: refuse tokens that are bound to no pod.",
        ),
        field(
            "trust_domain",
            Text,
            Told("refused with profile `spiffe`"),
            "Profile `spiffe`: the host part of its SPIFFE IDs.",
        ),
        field(
            "client",
            Text,
            Told("the realm's roles"),
            "Profile `keycloak`: the client whose roles count (`resource_access`).",
        ),
        field(
            "algorithms",
            SomeOf(ALGORITHMS),
            Told("the profile's; refused with profile `oidc`"),
            "Signature algorithms that are accepted: name what the issuer uses, no more.",
        ),
        field(
            "token_types",
            SomeOf(TOKEN_TYPES),
            Told("the profile's; `at+jwt` with profile `oidc`"),
            "Accepted `typ`s. `JWT` stands for a token that does not say what it is: then `require` must tell an access token from an ID token.",
        ),
        field(
            "audience_claim",
            ClaimPath,
            Told("`aud`; `client_id` with profile `cognito`"),
            "The claim that names whom a token is for.",
        ),
        field(
            "require",
            Tables("issuer.NAME.require[]"),
            Told("no more than the profile asks for"),
            "What its tokens must say besides. All must hold.",
        ),
        field(
            "roles_claim",
            ClaimPath,
            Told("the profile's, if it has one"),
            "The claim that holds roles: grants ask for them as `where = { roles = \"…\" }`.",
        ),
        field(
            "attributes",
            ClaimPaths,
            Told("the profile's, and every claim at the top under its own name"),
            "Names for grants to use, each with the claim that it stands for. A claim of the same name at the top is not looked at.",
        ),
        field(
            "kid_optional",
            Flag,
            Means("false"),
            "Accept a token without `kid` where exactly one key fits its algorithm.",
        ),
        field("jwks_url", Text, Told("the profile's, or the discovery document's"), "The address of its key set."),
        field(
            "discovery_url",
            Text,
            Told("`url` with `/.well-known/openid-configuration` after it, or else as RFC 8414 says"),
            "The address of its discovery document (OpenID Connect Discovery, RFC 8414).",
        ),
        field("jwks_file", Path, Told("keys are fetched"), "A JSON Web Key Set on disk. Read again when it changes."),
        field(
            "hosts",
            TextList,
            Told("the host of the configured address"),
            "Further hosts to which its discovery document or a redirect may lead.",
        ),
        field("redirects_max", Count(0, 5), Means("0"), "Redirects that are followed, each to one of the hosts."),
        field("ca_file", Path, Told("the platform's roots"), "PEM roots that its certificate must lead to."),
        field(
            "token_file",
            Path,
            Told("none is sent"),
            "A bearer token for fetching its keys: a Kubernetes API server asks for one. Sent to the configured host alone.",
        ),
        field("fetch_timeout", Duration("100ms", "1m"), Means("5s"), "Longest that one exchange with it may take."),
        field(
            "refresh_min",
            Duration("1s", "1h"),
            Means("1m"),
            "Its keys are fetched no more often than this, whatever its `Cache-Control` says.",
        ),
        field(
            "refresh_max",
            Duration("1s", "24h"),
            Means("1h"),
            "And no less often: how late a removed key is noticed. Where the answer names no time, they are fetched every 5 minutes.",
        ),
        field(
            "stale_max",
            Duration("0s", "24h"),
            Means("1h"),
            "How long known keys serve after they should have been fetched again; then its tokens are refused.",
        ),
        field(
            "cool_down",
            Duration("1s", "10m"),
            Means("10s"),
            "Least time between two fetches that unknown `kid`s cause in vain.",
        ),
        field("leeway", Duration("0s", "5m"), Means("30s"), "How far its clock may be off."),
        field(
            "lifetime_max",
            Duration("1s", "30h"),
            Told("`15m` with profiles `airflow` and `github`, `2h` with `entra`, else `1h`"),
            "Longest life of a token, from its issue to its expiry.",
        ),
        field(
            "revoked_file",
            Path,
            Told("none is revoked here"),
            "Tokens to refuse: a `jti`, or a `token_sha256` of the audit log, a line. Read again within a second of a change.",
        ),
        field(
            "introspection",
            Kind::Table("issuer.NAME.introspection"),
            Told("opaque tokens are refused"),
            "Whom to ask about opaque tokens (RFC 7662).",
        ),
        field(
            "danger_allow_http",
            Flag,
            Means("false"),
            "Fetch keys over plain HTTP: who is on the path can forge every token.",
        ),
    ],
};

pub(crate) static REQUIRE: Schema = Schema {
    name: "issuer.NAME.require[]",
    about: "One claim, and exactly one of `equals`, `one_of` and `prefix`. Texts compare with case; whole numbers and booleans by \
            their JSON text; a list holds where one of its members does.",
    fields: &[
        field("claim", ClaimPath, Refused("\"token_use\""), "Which claim."),
        field("equals", Text, Told("another is given"), "It is this."),
        field("one_of", TextList, Told("another is given"), "It is one of these."),
        field("prefix", Text, Told("another is given"), "It starts so."),
    ],
};

pub(crate) static INTROSPECTION: Schema = Schema {
    name: "issuer.NAME.introspection",
    about: "An introspection endpoint (RFC 7662). We authenticate by `key` (`private_key_jwt`) or by `certificate`; there are no \
            shared secrets. At most one issuer of a route may have one: an opaque token does not say whose it is.",
    fields: &[
        field("url", Text, Refused("\"https://id.corp.example/introspect\""), "The endpoint."),
        field("client_id", Text, Refused("\"airgate\""), "Our name there."),
        field(
            "key",
            Path,
            Told("`certificate` authenticates us"),
            "PKCS#8 PEM: Ed25519, P-256 or RSA. Readable by its owner alone.",
        ),
        field("key_id", Text, Told("none is sent"), "The `kid` of our assertions."),
        field("audience", Text, Told("the issuer's `url`"), "The `aud` of our assertions."),
        field(
            "certificate",
            Path,
            Told("`key` authenticates us"),
            "PEM: our certificate for mutual TLS (RFC 8705 §2).",
        ),
        field(
            "certificate_key",
            Path,
            Told("`key` authenticates us"),
            "PEM: its private key. Readable by its owner alone.",
        ),
        field(
            "ca_file",
            Path,
            Told("the issuer's `ca_file`"),
            "PEM roots that the endpoint's certificate must lead to.",
        ),
        field(
            "cache_max",
            Duration("0s", "5m"),
            Means("30s"),
            "Longest that an answer is remembered, and so how late a revocation is noticed. Never longer than the token lives.",
        ),
        field(
            "concurrency_max",
            Count(1, 1000),
            Means("32"),
            "Questions under way at a time; one more is refused with 503.",
        ),
        field(
            "all_tokens",
            Flag,
            Means("false"),
            "Ask about JSON Web Tokens of this issuer too; its keys are not fetched.",
        ),
    ],
};
