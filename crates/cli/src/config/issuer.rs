//! One `[issuer.NAME]`: what its profile knows, replaced by what is given.

use super::{
    files::{self, Access},
    raw::{count, is_good_url},
    reader::{Placed, Section},
    report::At,
    schema,
};
use airgate_identity::{
    Algorithm, ClaimPath, Given, HttpSettings, IntrospectionConfig, IssuerConfig, KeySource, Must, Place, ProfileName,
    Remote, Requirement, Timing, TokenType,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// An issuer without errors of its own, and where its keys stand.
pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    pub(crate) at: At,
    places: BTreeMap<&'static str, At>,
}

impl Issuer {
    /// Where a setting stands; the section's own place where it is absent.
    pub(crate) fn place(&self, key: &str) -> At {
        self.places.get(key).copied().unwrap_or(self.at)
    }
}

/// `None` where a part was wrong: that is on record already.
pub(crate) fn issuer(section: Section<'_>, base: &Path) -> Option<Issuer> {
    let assurance = section.word("assurance");
    let profile = profile(&section, assurance.as_ref().is_some_and(|word| word.value == "task"));
    let given = given(&section, base);
    let changes = Changes::read(&section, base, given.as_ref(), assurance);
    let (at, name) = (section.at, section.name.clone());
    let places = section.given().into_iter().map(|key| (key, section.place(key))).collect();
    let config = match (profile, given) {
        (Some(profile), Some(given)) => match profile.config(&name, &given) {
            Ok(config) => Some((profile, config)),
            Err(errors) => {
                for error in errors {
                    section.error(section.place(error.key), error.problem, error.help);
                }
                None
            }
        },
        _ => None,
    };
    let config = config.and_then(|(profile, config)| changes?.apply(&section, profile, config));
    section.finish();
    Some(Issuer { config: config?, at, places })
}

/// The job assertions of Airflow, where the issuer speaks for tasks; else any issuer.
fn profile(section: &Section<'_>, is_task: bool) -> Option<ProfileName> {
    let word = section.word("profile");
    let profile = match &word {
        Some(word) => ProfileName::ALL.into_iter().find(|known| known.as_str() == word.value)?,
        None if section.has("profile") => return None,
        None if is_task => ProfileName::Airflow,
        None => ProfileName::Oidc,
    };
    for key in ProfileName::ALL.iter().flat_map(|other| other.own_keys()) {
        if section.has(key) && !profile.own_keys().contains(key) {
            let owners: Vec<String> = ProfileName::ALL
                .iter()
                .filter(|other| other.own_keys().contains(key))
                .map(|other| format!("`{}`", other.as_str()))
                .collect();
            let message = format!("`{key}` belongs to profile {}", owners.join(" and "));
            let help = format!("remove it: the issuer's profile is `{}`", profile.as_str());
            section.error(section.place(key), message, help);
            return None;
        }
    }
    Some(profile)
}

/// `None` where a part was wrong.
fn given(section: &Section<'_>, base: &Path) -> Option<Given> {
    let danger = section.flag("danger_allow_http").filter(|flag| flag.value);
    if let Some(flag) = &danger {
        let message = "`danger_allow_http` is on: who is on the path to its keys can forge every token";
        section.warning(flag.at, message, "serve its keys over `https`");
    }
    let allow_http = danger.is_some();
    let has_url = section.has("url");
    let url = section.text("url").filter(|text| is_good_url(section, "url", text, Some(allow_http)));
    let audiences = section.texts("audiences");
    let http = http_settings(section, base, allow_http);
    let texts = |key: &'static str| {
        section.texts(key).unwrap_or_default().into_iter().map(|one| one.value).collect::<Vec<String>>()
    };
    let is_on = |key: &'static str| section.flag(key).is_none_or(|flag| flag.value);
    let mut out = Given {
        tenants: texts("tenants"),
        owners: texts("owners"),
        accounts: texts("accounts"),
        namespaces: texts("namespaces"),
        app_only: is_on("app_only"),
        pod_bound: is_on("pod_bound"),
        trust_domain: section.text("trust_domain").map(|text| text.value),
        client: section.text("client").map(|text| text.value),
        ..Given::default()
    };
    let keys = keys(section, base, http.as_ref(), allow_http);
    if has_url && url.is_none() {
        return None;
    }
    out.url = url.map(|text| text.value);
    out.audiences = audiences?.into_iter().map(|one| one.value).collect();
    out.http = http?;
    out.keys = keys?;
    Some(out)
}

fn http_settings(section: &Section<'_>, base: &Path, danger_allow_http: bool) -> Option<HttpSettings> {
    let ca_file = files::existing(section, "ca_file", base, Access::Anyone);
    let ca_is_good = ca_file.as_ref().is_none_or(|path| files::certificates(section, "ca_file", path).is_some());
    let token_file = files::existing(section, "token_file", base, Access::Anyone);
    let hosts = section.texts("hosts").unwrap_or_default();
    let redirects_max = count(section.number("redirects_max"));
    let is_whole = |key: &str, is_read: bool| !section.has(key) || is_read;
    if !ca_is_good || !is_whole("ca_file", ca_file.is_some()) || !is_whole("token_file", token_file.is_some()) {
        return None;
    }
    Some(HttpSettings {
        ca_file: ca_file.map(|path| path.value),
        hosts: hosts.into_iter().map(|host| host.value).collect(),
        redirects_max,
        danger_allow_http,
        token_file: token_file.map(|path| path.value),
        certificate: None,
    })
}

/// Where keys come from, if the file says so. The outer `None`: a part was wrong.
fn keys(
    section: &Section<'_>,
    base: &Path,
    http: Option<&HttpSettings>,
    allow_http: bool,
) -> Option<Option<KeySource>> {
    let by_set = section.text("jwks_url");
    let by_discovery = section.text("discovery_url");
    let by_file = files::existing(section, "jwks_file", base, Access::Anyone);
    let given: Vec<&str> =
        ["jwks_file", "jwks_url", "discovery_url"].into_iter().filter(|key| section.has(key)).collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("both `{first}` and `{second}` are given");
        section.error(section.place(second), message, "keys come from one place: remove one of the two");
        return None;
    }
    if section.has("jwks_file") {
        let unused = ["ca_file", "token_file", "hosts", "redirects_max"].into_iter().find(|key| section.has(key));
        if let Some(key) = unused {
            let message = format!("both `jwks_file` and `{key}` are given");
            section.error(section.place(key), message, "keys come from one place: remove one of the two");
            return None;
        }
        return by_file.map(|path| Some(KeySource::File(path.value)));
    }
    // These may have a query (Entra ID's `?appid=…`), which an issuer's name may not.
    let is_good = |key: &str, text: &Placed<String>| {
        let bare = Placed::new(text.value.split('?').next().unwrap_or_default().to_owned(), text.at);
        is_good_url(section, key, &bare, Some(allow_http))
    };
    let place = match (by_set, by_discovery) {
        (Some(text), _) => is_good("jwks_url", &text).then_some(Place::KeySet(text.value))?,
        (None, Some(text)) => is_good("discovery_url", &text).then_some(Place::Discovery(text.value))?,
        (None, None) if section.has("jwks_url") || section.has("discovery_url") => return None,
        (None, None) => return Some(None),
    };
    Some(Some(KeySource::Remote(Remote { place, http: http?.clone() })))
}

/// What is given beside the profile's own settings.
struct Changes {
    assurance: Placed<&'static str>,
    algorithms: Option<Vec<Algorithm>>,
    token_types: Option<Vec<TokenType>>,
    audience_claim: Option<ClaimPath>,
    kid_optional: bool,
    required: Vec<Requirement>,
    attributes: BTreeMap<String, ClaimPath>,
    introspection: Option<Introspection>,
    leeway: Duration,
    /// None: the profile's.
    lifetime_max: Option<Duration>,
    revoked_file: Option<PathBuf>,
    timing: Timing,
}

/// `[issuer.NAME.introspection]`
struct Introspection {
    config: IntrospectionConfig,
    all_tokens: bool,
    has_audience: bool,
}

impl Changes {
    fn read(
        section: &Section<'_>,
        base: &Path,
        given: Option<&Given>,
        assurance: Option<Placed<&'static str>>,
    ) -> Option<Self> {
        let algorithms = section
            .words("algorithms")
            .map(|words| words.iter().filter_map(|word| Algorithm::from_jose(word.value)).collect::<Vec<Algorithm>>());
        let token_types = section.words("token_types").map(|words| {
            let all = [TokenType::AccessToken, TokenType::Jwt, TokenType::JobAssertion];
            words.iter().filter_map(|word| all.into_iter().find(|one| one.as_str() == word.value)).collect()
        });
        let audience_claim = section.claim_path("audience_claim").map(|path| path.value);
        let kid_optional = section.flag("kid_optional").is_some_and(|flag| flag.value);
        let required = requirements(section);
        let attributes = attributes(section);
        let introspection = introspection(section, base, given.map(|given| &given.http));
        let leeway = section.duration("leeway");
        // Shorter than its least value: absent.
        let lifetime_max = Some(section.duration_or("lifetime_max", Duration::ZERO)).filter(|time| !time.is_zero());
        let revoked_file = files::existing(section, "revoked_file", base, Access::Anyone).map(|path| path.value);
        let defaults = Timing::default();
        let timing = Timing {
            fetch_timeout: section.duration("fetch_timeout"),
            cool_down: section.duration("cool_down"),
            refresh_min: section.duration("refresh_min"),
            refresh_max: section.duration("refresh_max"),
            stale_max: section.duration("stale_max"),
            ..defaults
        };
        if timing.refresh_min > timing.refresh_max {
            let help = "give `refresh_max` the longer time";
            section.error(section.place("refresh_min"), "`refresh_min` is longer than `refresh_max`", help);
            return None;
        }
        let is_whole = |key: &str, is_read: bool| !section.has(key) || is_read;
        if !is_whole("revoked_file", revoked_file.is_some())
            || !is_whole("algorithms", algorithms.is_some())
            || !is_whole("token_types", token_types.is_some())
            || !is_whole("audience_claim", audience_claim.is_some())
        {
            return None;
        }
        Some(Self {
            assurance: assurance?,
            algorithms,
            token_types,
            audience_claim,
            kid_optional,
            required: required?,
            attributes: attributes?,
            introspection: introspection?,
            leeway,
            lifetime_max,
            revoked_file,
            timing,
        })
    }

    /// What is given wins. `None` where something is missing then.
    fn apply(self, section: &Section<'_>, profile: ProfileName, mut config: IssuerConfig) -> Option<IssuerConfig> {
        if section.has("assurance") {
            self.assurance.value.clone_into(&mut config.assurance);
        }
        if let Some(algorithms) = self.algorithms {
            config.algorithms = algorithms;
        }
        if let Some(token_types) = self.token_types {
            config.token_types = token_types;
        }
        if let Some(audience_claim) = self.audience_claim {
            config.audience_claim = audience_claim;
        }
        config.kid_optional = self.kid_optional;
        config.required.extend(self.required);
        config.attributes.extend(self.attributes);
        config.leeway = self.leeway;
        config.lifetime_max = self.lifetime_max.unwrap_or(config.lifetime_max);
        config.revoked_file = self.revoked_file;
        config.timing = self.timing;
        let mut asks_always = false;
        if let Some(Introspection { config: mut introspection, all_tokens, has_audience }) = self.introspection {
            if !has_audience {
                introspection.audience = config.issuers.first().cloned().unwrap_or_default();
            }
            if all_tokens {
                config.keys = KeySource::Introspection;
            }
            asks_always = all_tokens;
            config.introspection = Some(introspection);
        }
        if config.algorithms.is_empty() && !asks_always {
            let known: Vec<String> = Algorithm::ALL.iter().map(|one| format!("`{}`", one.as_str())).collect();
            let help =
                format!("add `algorithms = [\"RS256\"]`, naming what this issuer signs with: {}", known.join(", "));
            section.error(section.at, "`algorithms` is missing", help);
            return None;
        }
        debug_assert!(profile == config.profile.name());
        Some(config)
    }
}

/// `None` where one was wrong.
fn requirements(section: &Section<'_>) -> Option<Vec<Requirement>> {
    if !section.has("require") {
        section.item("require");
        return Some(Vec::new());
    }
    let example = "[{ claim = \"repository\", equals = \"corp/etl\" }]";
    // All of them, so that each wrong one is told.
    let all: Vec<_> = section.list("require", &schema::REQUIRE, example)?.into_iter().map(requirement).collect();
    all.into_iter().collect()
}

fn requirement(section: Section<'_>) -> Option<Requirement> {
    let claim = section.claim_path("claim");
    let equals = section.text("equals").map(|text| Must::Equal(text.value));
    let one_of = section.texts("one_of").map(|all| Must::BeOneOf(all.into_iter().map(|one| one.value).collect()));
    let prefix = section.text("prefix").map(|text| Must::StartWith(text.value));
    let (at, given) = (section.at, ["equals", "one_of", "prefix"].iter().filter(|key| section.has(key)).count());
    if given != 1 {
        let help = "say what the claim must be: `equals = \"…\"`, `one_of = [\"…\"]` or `prefix = \"…\"`";
        section.error(at, "it must hold exactly one of `equals`, `one_of` and `prefix`", help);
    }
    section.finish();
    Some(Requirement { claim: claim?.value, must: equals.or(one_of).or(prefix).filter(|_| given == 1)? })
}

/// With `roles_claim` as the attribute `roles`. `None` where one was wrong.
fn attributes(section: &Section<'_>) -> Option<BTreeMap<String, ClaimPath>> {
    let roles = section.claim_path("roles_claim");
    let mut all = BTreeMap::new();
    let mut is_good = true;
    if let Some((at, item)) = section.item("attributes") {
        let Some(table) = item.as_table_like() else {
            let help = "write `attributes = { team = \"team\", namespace = [\"kubernetes.io\", \"namespace\"] }`";
            section.error(at, "`attributes` must be a table of claims", help);
            return None;
        };
        for (name, item) in table.iter() {
            let at = super::reader::at_of(table.key(name), item);
            match section.read_claim_path(&format!("attributes.{name}"), at, item) {
                Some(path) => drop(all.insert(name.to_owned(), path.value)),
                None => is_good = false,
            }
        }
    }
    if let Some(path) = roles {
        if all.insert("roles".to_owned(), path.value).is_some() {
            let help = "keep one of the two";
            section.error(path.at, "both `roles_claim` and `attributes.roles` are given", help);
            return None;
        }
    } else if section.has("roles_claim") {
        return None;
    }
    is_good.then_some(all)
}

/// The outer `None`: a part was wrong.
fn introspection(section: &Section<'_>, base: &Path, http: Option<&HttpSettings>) -> Option<Option<Introspection>> {
    let Some(inner) = section.section("introspection", &schema::INTROSPECTION) else {
        return (!section.has("introspection")).then_some(None);
    };
    let allow_http = http.is_some_and(|http| http.danger_allow_http);
    let url = inner.text("url").filter(|text| is_good_url(&inner, "url", text, Some(allow_http)));
    let client_id = inner.text("client_id");
    let key = files::existing(&inner, "key", base, Access::Owner);
    let key_id = inner.text("key_id").map(|text| text.value);
    let certificate = files::existing(&inner, "certificate", base, Access::Anyone);
    let certificate_key = files::existing(&inner, "certificate_key", base, Access::Owner);
    let audience = inner.text("audience").map(|text| text.value);
    let ca_file = files::existing(&inner, "ca_file", base, Access::Anyone);
    let cache_max = inner.duration("cache_max");
    let concurrency_max = count(inner.number("concurrency_max"));
    let all_tokens = inner.flag("all_tokens").is_some_and(|flag| flag.value);
    let certificate = match (certificate, certificate_key) {
        (Some(certificate), Some(key)) => {
            files::check_pair(&inner, &certificate, &key);
            Some((certificate.value, key.value))
        }
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            inner.error(one.at, "`certificate` and `certificate_key` go together", "give both, or none");
            return None;
        }
    };
    let is_whole = ["key", "certificate", "ca_file"].into_iter().all(|name| match name {
        "key" => !inner.has(name) || key.is_some(),
        "certificate" => !inner.has(name) || certificate.is_some(),
        _ => !inner.has(name) || ca_file.is_some(),
    });
    inner.finish();
    if !is_whole {
        return None;
    }
    let mut http = http?.clone();
    (http.token_file, http.certificate) = (None, certificate);
    if let Some(path) = ca_file {
        http.ca_file = Some(path.value);
    }
    let has_audience = audience.is_some();
    let config = IntrospectionConfig {
        url: url?.value,
        http,
        client_id: client_id?.value,
        key: key.map(|path| path.value),
        key_id,
        audience: audience.unwrap_or_default(),
        cache_max,
        concurrency_max,
    };
    Some(Some(Introspection { config, all_tokens, has_audience }))
}
