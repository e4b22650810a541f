//! Every section and key of the configuration: the reader takes its keys, defaults and bounds from here, and the reference page
//! is printed from here. A key that is not here is refused; a default that is not here does not exist.

mod issuer;

pub(crate) use issuer::{INTROSPECTION, ISSUER, REQUIRE};

/// What a key's value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// Relative to the configuration file's folder.
    Path,
    Flag,
    /// One text, or a list of them.
    TextList,
    OneOf(&'static [&'static str]),
    SomeOf(&'static [&'static str]),
    /// `"500ms"`, `"5s"`, `"2m"`, `"1h"`; shortest, longest.
    Duration(&'static str, &'static str),
    /// Bytes: a number, or `"64KiB"`; least, most.
    Size(u64, u64),
    /// Least, most.
    Count(u64, u64),
    /// A table of its own; the section that describes it.
    Table(&'static str),
    /// A table of claim names and accepted values.
    Claims,
    /// The names that lead to a claim.
    ClaimPath,
    /// A table of names, each with the claim that it stands for.
    ClaimPaths,
    /// A list of tables; the section that describes one.
    Tables(&'static str),
    /// `"none"`, or a table with the one key `kerberos` or `bearer_assertion`.
    SignIn,
}

/// What holds where a key is absent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Absent {
    /// An error; the text is an example of the value, as TOML.
    Refused(&'static str),
    /// Read as if it said this.
    Means(&'static str),
    /// Told in words.
    Told(&'static str),
}

/// One key.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) absent: Absent,
    pub(crate) about: &'static str,
}

/// One section.
#[derive(Debug)]
pub(crate) struct Schema {
    /// As in the file: `listener.NAME`.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) fields: &'static [Field],
}

impl Schema {
    pub(crate) fn field(&self, key: &str) -> &'static Field {
        self.fields.iter().find(|field| field.key == key).expect("the reader asks for keys of the schema only")
    }
}

const fn field(key: &'static str, kind: Kind, absent: Absent, about: &'static str) -> Field {
    Field { key, kind, absent, about }
}

use Absent::{Means, Refused, Told};
use Kind::{Claims, Count, Duration, Flag, OneOf, Path, SignIn, Size, SomeOf, Text, TextList};

pub(crate) static ROOT: Schema = Schema {
    name: "(top)",
    about: "The file's first lines, before any section.",
    fields: &[
        field(
            "threads",
            Count(1, 256),
            Told("one per core"),
            "Data-plane threads, each with a runtime and connections of its own.",
        ),
        field(
            "listener",
            Kind::Table("listener.NAME"),
            Refused("{ main = { … } }"),
            "Addresses that callers connect to.",
        ),
        field("issuer", Kind::Table("issuer.NAME"), Refused("{ airflow = { … } }"), "Who may vouch for a caller."),
        field("upstream", Kind::Table("upstream.NAME"), Refused("{ orders = { … } }"), "Apps and APIs on IIS."),
        field("route", Kind::Table("route.NAME"), Refused("{ orders = { … } }"), "From a host or path to an upstream."),
        field("role", Kind::Table("role.NAME"), Told("no role"), "What may be done, by nobody in particular."),
        field(
            "grant",
            Kind::Table("grant.NAME"),
            Told("no grant: every request is denied"),
            "Who has which role, as which Windows identity.",
        ),
        field("policy", Kind::Table("policy"), Told("no policy files"), "Cedar policies for what grants cannot say."),
        field("audit", Kind::Table("audit"), Refused("{ … }"), "The tamper-evident log."),
        field("dpop", Kind::Table("dpop"), Told("the defaults below"), "Proofs of possession by DPoP."),
        field("admin", Kind::Table("admin"), Told("nothing listens"), "Health and readiness, for operators."),
        field("limits", Kind::Table("limits"), Told("the defaults below"), "Bounds on all that a peer controls."),
    ],
};

pub(crate) static LISTENER: Schema = Schema {
    name: "listener.NAME",
    about: "An address that callers connect to. At least one.",
    fields: &[
        field("address", Text, Refused("\"0.0.0.0:8443\""), "Address and port. Port 0 takes a free one."),
        field(
            "tls",
            Kind::Table("listener.NAME.tls"),
            Told("refused, unless `danger_plaintext = true`"),
            "The certificate that it shows.",
        ),
        field("danger_plaintext", Flag, Means("false"), "Serve without TLS: every token crosses the network in clear."),
    ],
};

pub(crate) static TLS: Schema = Schema {
    name: "listener.NAME.tls",
    about: "The files are PEM.",
    fields: &[
        field("certificate", Path, Refused("\"gateway.pem\""), "The chain, leaf first."),
        field(
            "key",
            Path,
            Refused("\"gateway.key\""),
            "Its private key (PKCS#8, SEC 1 or PKCS#1). Not readable by everybody.",
        ),
        field(
            "client_ca_file",
            Path,
            Told("callers are not asked for a certificate"),
            "PEM roots that the certificates of callers must lead to. Sessions are not resumed then: each handshake checks.",
        ),
        field(
            "client_certificates",
            OneOf(&["optional", "required"]),
            Means("optional"),
            "Whether a caller without a certificate is refused in the handshake. A token that is bound to one needs it anyway.",
        ),
    ],
};

pub(crate) static UPSTREAM: Schema = Schema {
    name: "upstream.NAME",
    about: "An app or API on IIS.",
    fields: &[
        field(
            "url",
            Text,
            Refused("\"https://iis01.corp.example\""),
            "Scheme, host and, where it is not the default, port. No path.",
        ),
        field("ca_file", Path, Told("the platform's roots"), "PEM roots that its certificate must lead to."),
        field("sign_in", SignIn, Refused("\"none\""), "How the gateway signs in there."),
        field(
            "connect_timeout",
            Duration("10ms", "2m"),
            Means("5s"),
            "Longest wait for name resolution, TCP and TLS together.",
        ),
        field(
            "answer_timeout",
            Duration("10ms", "1h"),
            Means("60s"),
            "Longest wait for the answer's head, from the request's last byte.",
        ),
        field("connections_max", Count(1, 10_000), Means("64"), "Most connections per data-plane thread and identity."),
        field("danger_plaintext", Flag, Means("false"), "Allow an `http` URL: credentials cross the network in clear."),
    ],
};

pub(crate) static SIGN_IN: Schema = Schema {
    name: "upstream.NAME.sign_in",
    about: "`\"none\"`, or a table with exactly one of these.",
    fields: &[
        field(
            "kerberos",
            Kind::Table("upstream.NAME.sign_in.kerberos"),
            Told("another way is given"),
            "As a Windows identity, by Kerberos delegation.",
        ),
        field(
            "bearer_assertion",
            Kind::Table("upstream.NAME.sign_in.bearer_assertion"),
            Told("another way is given"),
            "With a signed assertion about the caller.",
        ),
    ],
};

pub(crate) static KERBEROS: Schema = Schema {
    name: "upstream.NAME.sign_in.kerberos",
    about: "Sign in as the grant's Windows identity by constrained delegation (S4U2Self and S4U2Proxy).",
    fields: &[
        field(
            "spn",
            Text,
            Refused("\"HTTP/iis01.corp.example@CORP.EXAMPLE\""),
            "The upstream's service principal, with its realm.",
        ),
        field(
            "keytab",
            Path,
            Refused("\"gateway.keytab\""),
            "The key of the gateway's own account. Readable by its owner alone.",
        ),
        field("principal", Text, Refused("\"svc-gw@CORP.EXAMPLE\""), "The gateway's own account in the keytab."),
        field("kdc_timeout", Duration("100ms", "1m"), Means("5s"), "Longest that one request waits for the KDC."),
        field(
            "credential_lifetime_max",
            Duration("10s", "10h"),
            Means("15m"),
            "Longest that an identity's credential is used before it is made anew: how late a disabled account is noticed.",
        ),
    ],
};

pub(crate) static ASSERTION: Schema = Schema {
    name: "upstream.NAME.sign_in.bearer_assertion",
    about: "Sign in with a short-lived signed JSON Web Token; its public keys are served at `/.well-known/jwks.json`.",
    fields: &[
        field(
            "audience",
            Text,
            Refused("\"https://iis01.corp.example\""),
            "The `aud` claim: who the assertion is for.",
        ),
        field(
            "key",
            Path,
            Refused("\"assertion.key\""),
            "PKCS#8 PEM, Ed25519 or P-256. Made if absent. Readable by its owner alone.",
        ),
        field("issuer", Text, Refused("\"https://gw.example\""), "The `iss` claim: the gateway's own URL."),
        field("lifetime", Duration("5s", "5m"), Means("60s"), "From issue to expiry."),
    ],
};

pub(crate) static ROUTE: Schema = Schema {
    name: "route.NAME",
    about: "From a host or a path to an upstream: exactly one of `host` and `path`. Hosts win over paths; the longest path wins.",
    fields: &[
        field("host", Text, Told("the route is by `path`"), "The request's host, without port."),
        field(
            "path",
            Text,
            Told("the route is by `host`"),
            "Leading whole segments: `/orders` takes `/orders/7`, not `/orders2`.",
        ),
        field("upstream", Text, Refused("\"orders\""), "The name of an upstream."),
        field("issuers", TextList, Told("all issuers"), "The names of the issuers whose tokens it takes."),
        field(
            "proof",
            OneOf(&["dpop", "mtls", "either"]),
            Told("a bearer token will do; a bound one is always proven"),
            "The proof of possession that it asks for: tokens that are not bound to their holder's key are refused.",
        ),
        field(
            "dpop_nonce",
            Flag,
            Means("false"),
            "DPoP proofs must hold a nonce of ours, so that none made before a restart, or for another node, is good.",
        ),
        field(
            "app_tokens",
            SomeOf(&["query", "cookie"]),
            Told("a token there is refused"),
            "Where tokens of the app's own may be. They are never taken for the caller's, and the caller's is refused there.",
        ),
        field(
            "origin",
            Text,
            Told("as the request says"),
            "Scheme, host and port as callers know them, behind a proxy that ends TLS: for DPoP and for metadata.",
        ),
    ],
};

pub(crate) static ROLE: Schema = Schema {
    name: "role.NAME",
    about: "What may be done.",
    fields: &[field(
        "allow",
        Kind::Table("role.NAME.allow[]"),
        Refused("[{ route = \"orders\", methods = [\"GET\"], paths = [\"/api/orders/**\"] }]"),
        "A list of what is allowed; nothing else is.",
    )],
};

pub(crate) static ALLOW: Schema = Schema {
    name: "role.NAME.allow[]",
    about: "One thing that the role allows.",
    fields: &[
        field("route", Text, Refused("\"orders\""), "The name of a route."),
        field("methods", TextList, Refused("[\"GET\"]"), "HTTP methods; `*` is all of them."),
        field(
            "paths",
            TextList,
            Refused("[\"/api/orders/**\"]"),
            "Paths: `*` is one segment, a last `**` is any rest, also none. Compared without case.",
        ),
    ],
};

pub(crate) static GRANT: Schema = Schema {
    name: "grant.NAME",
    about: "Who has a role.",
    fields: &[
        field("issuer", Text, Refused("\"airflow\""), "The name of an issuer."),
        field(
            "where",
            Claims,
            Refused("{ dag_id = \"nightly_orders\" }"),
            "Claim = value, or list of values. All must hold.",
        ),
        field("role", Text, Refused("\"orders-writer\""), "The name of a role."),
        field(
            "windows_identity",
            Text,
            Told("none; refused where the role reaches an upstream with Kerberos"),
            "Whom IIS sees: `user@REALM`.",
        ),
    ],
};

pub(crate) static POLICY: Schema = Schema {
    name: "policy",
    about: "Cedar policies for what grants cannot say. They can only forbid.",
    fields: &[field(
        "files",
        TextList,
        Refused("[\"freeze.cedar\"]"),
        "Files in Cedar, relative to the configuration file's folder.",
    )],
};

pub(crate) static AUDIT: Schema = Schema {
    name: "audit",
    about: "The tamper-evident log. Without it nothing is served.",
    fields: &[
        field("folder", Path, Refused("\"audit\""), "Where the log lives. Made if absent; its parent is not."),
        field(
            "key",
            Path,
            Refused("\"audit.key\""),
            "The Ed25519 key that signs checkpoints, PKCS#8 PEM. Made if absent. Readable by its owner alone.",
        ),
        field(
            "origin",
            Text,
            Refused("\"gw.example/audit\""),
            "The log's name in its checkpoints. Never change it in a log's life.",
        ),
        field(
            "publish_interval",
            Duration("10ms", "10m"),
            Means("1s"),
            "How often a checkpoint is signed, where there is something new.",
        ),
        field("segment_bytes", Size(64 * 1024, 1 << 30), Means("16MiB"), "Size of a journal segment."),
        field(
            "queue_max",
            Count(1, 1_000_000),
            Means("4096"),
            "Most entries that may wait for the disk; one more is refused.",
        ),
        field(
            "append_timeout",
            Duration("10ms", "1m"),
            Means("2s"),
            "Longest that a request waits for its entry to be durable.",
        ),
    ],
};

pub(crate) static LIMITS: Schema = Schema {
    name: "limits",
    about: "Bounds on all that a peer controls.",
    fields: &[
        field(
            "connections_max",
            Count(1, 1_000_000),
            Means("10000"),
            "Connections open at a time, over all listeners; one more is closed at once.",
        ),
        field("handshake_timeout", Duration("100ms", "2m"), Means("10s"), "Longest TLS handshake."),
        field(
            "header_timeout",
            Duration("100ms", "10m"),
            Means("30s"),
            "Longest wait for a whole request head, and for the next request on an idle connection.",
        ),
        field("header_bytes_max", Size(8 * 1024, 1024 * 1024), Means("64KiB"), "Request head."),
        field("headers_max", Count(8, 1000), Means("100"), "Header fields in a request."),
        field(
            "uri_bytes_max",
            Size(256, 64 * 1024),
            Means("6KiB"),
            "Path and query (IIS: `maxUrl` 4096 and `maxQueryString` 2048).",
        ),
        field("body_bytes_max", Size(0, 1 << 40), Means("1GiB"), "Request body."),
        field(
            "body_idle_timeout",
            Duration("100ms", "1h"),
            Means("60s"),
            "Longest time without a byte of a body, either way.",
        ),
        field("streams_max", Count(1, 10_000), Means("100"), "HTTP/2 streams at a time per connection."),
        field(
            "upstream_idle_timeout",
            Duration("1s", "1h"),
            Means("60s"),
            "Longest time that an unused upstream connection is kept.",
        ),
        field(
            "drain_timeout",
            Duration("0s", "1h"),
            Means("30s"),
            "Longest time that requests in flight may take to end after SIGTERM.",
        ),
        field(
            "tokens_cached_max",
            Count(0, 1_000_000),
            Means("10000"),
            "Verified tokens that are remembered until they expire; 0 verifies each anew.",
        ),
    ],
};

pub(crate) static DPOP: Schema = Schema {
    name: "dpop",
    about: "Proofs of possession by DPoP (RFC 9449).",
    fields: &[
        field("age_max", Duration("5s", "10m"), Means("60s"), "How old a proof may be."),
        field("leeway", Duration("0s", "1m"), Means("5s"), "How far the caller's clock may be ahead."),
        field(
            "replays_max",
            Count(8, 10_000_000),
            Means("200000"),
            "Proofs that are remembered so that none is used twice. Where there is no room, requests are refused with 503; one key may take an eighth.",
        ),
        field(
            "nonce_lifetime",
            Duration("10s", "1h"),
            Means("5m"),
            "How long a nonce is current; it is good once more as long.",
        ),
    ],
};

pub(crate) static ADMIN: Schema = Schema {
    name: "admin",
    about: "A listener for operators, apart from the callers': `GET /healthz` and `GET /readyz`, without a token.",
    fields: &[
        field(
            "address",
            Text,
            Refused("\"127.0.0.1:9440\""),
            "Address and port. Only loopback, unless `danger_expose = true`.",
        ),
        field("danger_expose", Flag, Means("false"), "Let it listen on another address than loopback."),
    ],
};

/// In the order of the reference page.
pub(crate) static ALL: &[&Schema] = &[
    &ROOT,
    &LISTENER,
    &TLS,
    &ISSUER,
    &REQUIRE,
    &INTROSPECTION,
    &UPSTREAM,
    &SIGN_IN,
    &KERBEROS,
    &ASSERTION,
    &ROUTE,
    &ROLE,
    &ALLOW,
    &GRANT,
    &POLICY,
    &AUDIT,
    &DPOP,
    &ADMIN,
    &LIMITS,
];
