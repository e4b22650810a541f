//! Ready-made profiles: what is known of a provider, so that a few lines of configuration are enough, and its traps.
//!
//! One file a provider. Each says what its access tokens look like (defaults that the configuration can replace), which of
//! its claims must agree, and which known mistake a refused token is likely to be.

mod airflow;
mod aws;
mod entra;
mod github;
mod google;
mod keycloak;
mod kubernetes;
mod oidc;
mod okta;
mod spiffe;

use crate::{
    Algorithm, ClaimPath, HttpSettings, IssuerConfig, IssuerError, KeySource, Must, Place, Remote, Requirement, Timing,
    TokenType, Trap,
    claims::View,
    error::{Fault, TokenError},
    jwk::{Key, Selection},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// The name of a profile in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileName {
    /// Any OpenID Connect or OAuth 2.0 issuer.
    Oidc,
    /// The job assertions of our own provider for Airflow.
    Airflow,
    /// Microsoft Entra ID.
    Entra,
    /// An Okta custom authorization server.
    Okta,
    /// An AWS Cognito user pool.
    Cognito,
    /// AWS IAM outbound identity federation.
    AwsIam,
    /// Service accounts of an EKS cluster.
    Eks,
    /// A Keycloak realm.
    Keycloak,
    /// Identity tokens of Google service accounts.
    Google,
    /// GitHub Actions.
    Github,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// JWT-SVIDs of a SPIFFE trust domain.
    Spiffe,
}

/// What the configuration says, before the profile adds what it knows.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The exact `iss`.
    pub url: Option<String>,
    /// Accepted audiences.
    pub audiences: Vec<String>,
    /// Where keys come from, if the configuration says so: it wins over the profile.
    pub keys: Option<KeySource>,
    /// How the profile's own address is fetched.
    pub http: HttpSettings,
    /// Entra ID: tenants, by id.
    pub tenants: Vec<String>,
    /// Entra ID: only tokens of applications, none on behalf of users.
    pub app_only: bool,
    /// GitHub: owners of repositories, by id or name.
    pub owners: Vec<String>,
    /// AWS IAM: account ids.
    pub accounts: Vec<String>,
    /// Kubernetes, EKS: namespaces.
    pub namespaces: Vec<String>,
    /// Kubernetes, EKS: only tokens that are bound to a pod.
    pub pod_bound: bool,
    /// SPIFFE: the trust domain.
    pub trust_domain: Option<String>,
    /// Keycloak: the client whose roles count.
    pub client: Option<String>,
}

/// What a profile knows, with what the configuration says.
struct Preset {
    profile: Profile,
    issuers: Vec<String>,
    keys: Option<Place>,
    hosts: Vec<&'static str>,
    audience_claim: ClaimPath,
    algorithms: Vec<Algorithm>,
    token_types: Vec<TokenType>,
    required: Vec<Requirement>,
    attributes: BTreeMap<String, ClaimPath>,
    assurance: &'static str,
    lifetime_max: Duration,
}

impl Preset {
    fn new(profile: Profile, issuers: Vec<String>, keys: Option<Place>) -> Self {
        Self {
            profile,
            issuers,
            keys,
            hosts: Vec::new(),
            audience_claim: ClaimPath::top("aud"),
            algorithms: vec![Algorithm::Rs256],
            token_types: vec![TokenType::Jwt],
            required: Vec::new(),
            attributes: BTreeMap::new(),
            assurance: "client",
            lifetime_max: Duration::from_hours(1),
        }
    }

    fn require(mut self, claim: &[&str], must: Must) -> Self {
        self.required.push(Requirement::new(ClaimPath::of(claim), must));
        self
    }

    fn attribute(mut self, name: &str, claim: &[&str]) -> Self {
        self.attributes.insert(name.to_owned(), ClaimPath::of(claim));
        self
    }
}

/// Something that the configuration says wrongly, or not at all, under this profile.
struct ProfileFault {
    key: &'static str,
    problem: String,
    help: String,
}

fn fault(key: &'static str, problem: impl Into<String>, help: impl Into<String>) -> ProfileFault {
    ProfileFault { key, problem: problem.into(), help: help.into() }
}

/// The exact `iss`, which the configuration must say.
fn required_url(given: &Given, example: &str) -> Result<String, ProfileFault> {
    given
        .url
        .clone()
        .ok_or_else(|| fault("url", "`url` is missing", format!("add the issuer's name: `url = \"{example}\"`")))
}

impl ProfileName {
    /// All of them, in the order of the reference page.
    pub const ALL: [Self; 12] = [
        Self::Oidc,
        Self::Airflow,
        Self::Entra,
        Self::Okta,
        Self::Cognito,
        Self::AwsIam,
        Self::Eks,
        Self::Keycloak,
        Self::Google,
        Self::Github,
        Self::Kubernetes,
        Self::Spiffe,
    ];

    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Airflow => "airflow",
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Cognito => "cognito",
            Self::AwsIam => "aws-iam",
            Self::Eks => "eks",
            Self::Keycloak => "keycloak",
            Self::Google => "google",
            Self::Github => "github",
            Self::Kubernetes => "kubernetes",
            Self::Spiffe => "spiffe",
        }
    }

    /// The keys of the configuration that only some profiles have.
    #[must_use]
    pub fn own_keys(self) -> &'static [&'static str] {
        match self {
            Self::Entra => &["tenants", "app_only"],
            Self::AwsIam => &["accounts"],
            Self::Eks | Self::Kubernetes => &["namespaces", "pod_bound"],
            Self::Keycloak => &["client"],
            Self::Github => &["owners"],
            Self::Spiffe => &["trust_domain"],
            Self::Oidc | Self::Airflow | Self::Okta | Self::Cognito | Self::Google => &[],
        }
    }

    /// The profile that a provider's address asks for, so that its traps are not met by accident.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let host = url.split("://").nth(1)?.split(['/', ':']).next()?.to_ascii_lowercase();
        let ends = |suffix: &str| host.ends_with(suffix);
        match host.as_str() {
            "accounts.google.com" => Some(Self::Google),
            "token.actions.githubusercontent.com" => Some(Self::Github),
            _ if entra::is_host(&host) => Some(Self::Entra),
            _ if host.starts_with("cognito-idp.") && ends(".amazonaws.com") => Some(Self::Cognito),
            _ if host.starts_with("oidc.eks.") && ends(".amazonaws.com") => Some(Self::Eks),
            _ if ends(".tokens.sts.global.api.aws") => Some(Self::AwsIam),
            _ if ends(".okta.com") || ends(".oktapreview.com") || ends(".okta-emea.com") => Some(Self::Okta),
            _ => None,
        }
    }

    /// A whole issuer from the few lines that the configuration has.
    ///
    /// # Errors
    /// Everything that is wrong or missing under this profile.
    pub fn config(self, name: &str, given: &Given) -> Result<IssuerConfig, Vec<IssuerError>> {
        let preset = match self {
            Self::Oidc => oidc::preset(given),
            Self::Airflow => airflow::preset(given),
            Self::Entra => entra::preset(given),
            Self::Okta => okta::preset(given),
            Self::Cognito => aws::cognito(given),
            Self::AwsIam => aws::iam(given),
            Self::Eks => aws::eks(given),
            Self::Keycloak => keycloak::preset(given),
            Self::Google => google::preset(given),
            Self::Github => github::preset(given),
            Self::Kubernetes => kubernetes::preset(given),
            Self::Spiffe => spiffe::preset(given),
        };
        let preset = preset.map_err(|faults| {
            faults
                .into_iter()
                .map(|ProfileFault { key, problem, help }| IssuerError::new(name, key, problem, help))
                .collect::<Vec<_>>()
        })?;
        let keys = match (given.keys.clone(), preset.keys) {
            (Some(keys), _) => keys,
            (None, Some(place)) => {
                let mut http = given.http.clone();
                http.hosts.extend(preset.hosts.iter().map(|host| (*host).to_owned()));
                KeySource::Remote(Remote { place, http })
            }
            (None, None) => {
                let help = "add `jwks_url = \"https://…\"` or `jwks_file = \"…\"`";
                let problem = format!("profile `{}` does not know where its keys are", self.as_str());
                return Err(vec![IssuerError::new(name, "jwks_url", problem, help)]);
            }
        };
        Ok(IssuerConfig {
            name: name.to_owned(),
            profile: preset.profile,
            issuers: preset.issuers,
            audiences: given.audiences.clone(),
            audience_claim: preset.audience_claim,
            algorithms: preset.algorithms,
            token_types: preset.token_types,
            kid_optional: false,
            keys,
            introspection: None,
            required: preset.required,
            attributes: preset.attributes,
            assurance: preset.assurance.to_owned(),
            leeway: Duration::from_secs(30),
            lifetime_max: preset.lifetime_max,
            revoked_file: None,
            timing: Timing::default(),
        })
    }
}

/// A profile with what it needs to check a token.
#[derive(Debug, Clone)]
pub enum Profile {
    /// [`ProfileName::Oidc`]
    Oidc,
    /// [`ProfileName::Airflow`]
    Airflow,
    /// [`ProfileName::Entra`]
    Entra {
        /// Refuse tokens on behalf of users.
        app_only: bool,
    },
    /// [`ProfileName::Okta`]
    Okta,
    /// [`ProfileName::Cognito`]
    Cognito,
    /// [`ProfileName::AwsIam`]
    AwsIam,
    /// [`ProfileName::Eks`], [`ProfileName::Kubernetes`]
    Kubernetes {
        /// Which of the two.
        is_eks: bool,
        /// Refuse tokens that are bound to no pod.
        pod_bound: bool,
    },
    /// [`ProfileName::Keycloak`]
    Keycloak,
    /// [`ProfileName::Google`]
    Google,
    /// [`ProfileName::Github`]
    Github,
    /// [`ProfileName::Spiffe`]
    Spiffe {
        /// The trust domain, lower case.
        trust_domain: String,
    },
}

impl Profile {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> ProfileName {
        match self {
            Self::Oidc => ProfileName::Oidc,
            Self::Airflow => ProfileName::Airflow,
            Self::Entra { .. } => ProfileName::Entra,
            Self::Okta => ProfileName::Okta,
            Self::Cognito => ProfileName::Cognito,
            Self::AwsIam => ProfileName::AwsIam,
            Self::Kubernetes { is_eks: true, .. } => ProfileName::Eks,
            Self::Kubernetes { is_eks: false, .. } => ProfileName::Kubernetes,
            Self::Keycloak => ProfileName::Keycloak,
            Self::Google => ProfileName::Google,
            Self::Github => ProfileName::Github,
            Self::Spiffe { .. } => ProfileName::Spiffe,
        }
    }

    /// The trust domain that leads here, where there is one.
    pub(crate) fn trust_domain(&self) -> Option<&str> {
        if let Self::Spiffe { trust_domain } = self { Some(trust_domain) } else { None }
    }

    /// Which keys of the set are meant.
    pub(crate) fn key_selection(&self, kid_optional: bool) -> Selection {
        match self {
            Self::Spiffe { .. } => spiffe::selection(kid_optional),
            _ => Selection { kid_optional, ..Selection::default() },
        }
    }

    /// `JOSE` as `typ`.
    pub(crate) fn takes_jose(&self) -> bool {
        matches!(self, Self::Spiffe { .. })
    }

    /// Claims that only this provider's ID tokens have.
    pub(crate) fn id_token_markers(&self) -> &'static [&'static str] {
        match self {
            // Its identity tokens are what services accept.
            Self::Google => &[],
            // Told apart by a claim of their own; old versions put `nonce` into access tokens.
            Self::Keycloak | Self::Cognito => &["at_hash", "c_hash", "s_hash"],
            _ => &["at_hash", "c_hash", "s_hash", "nonce"],
        }
    }

    /// Whether the key may sign for this tenant.
    pub(crate) fn key_fits(&self, key: &Key, iss: &str) -> bool {
        match (self, &key.issuer) {
            (Self::Entra { .. }, Some(issuer)) => entra::key_fits(issuer, iss),
            _ => true,
        }
    }

    /// What must agree in this provider's tokens.
    ///
    /// # Errors
    /// What does not.
    pub(crate) fn check(&self, view: &View<'_>) -> Result<(), TokenError> {
        match self {
            Self::Entra { app_only } => entra::check(view, *app_only),
            Self::Okta => okta::check(view),
            Self::AwsIam => aws::check_iam(view),
            Self::Kubernetes { pod_bound, .. } => kubernetes::check(view, *pod_bound),
            Self::Google => google::check(view),
            Self::Spiffe { trust_domain } => spiffe::check(view, trust_domain),
            Self::Oidc | Self::Airflow | Self::Cognito | Self::Keycloak | Self::Github => Ok(()),
        }
    }

    /// The known mistake that a fault is likely to be.
    pub(crate) fn explain(&self, fault: &Fault, view: &View<'_>) -> Option<Trap> {
        match self {
            Self::Cognito => aws::explain_cognito(fault, view),
            Self::Keycloak => keycloak::explain(fault, view),
            Self::Github => github::explain(fault, view),
            Self::Kubernetes { is_eks, .. } => kubernetes::explain(fault, view, *is_eks),
            Self::Entra { .. } => entra::explain(fault, view),
            Self::Oidc | Self::Airflow | Self::Okta | Self::AwsIam | Self::Google | Self::Spiffe { .. } => None,
        }
    }

    /// The known mistake that a header parameter or a signature's failure is likely to be.
    pub(crate) fn explain_signature(&self, header: &Map<String, Value>) -> Option<Trap> {
        match self {
            Self::Entra { .. } if header.contains_key("nonce") => Some(Trap::EntraGraphToken),
            _ => None,
        }
    }

    /// The known mistake that an unknown `iss` is likely to be, where this issuer is configured.
    pub(crate) fn explain_issuer(&self, config: &IssuerConfig, iss: &str, claims: &Map<String, Value>) -> Option<Trap> {
        match self {
            Self::Entra { .. } => entra::explain_issuer(config, iss),
            Self::Okta => okta::explain_issuer(config, iss),
            Self::Keycloak => keycloak::explain_issuer(config, iss),
            Self::Kubernetes { .. } => kubernetes::explain_issuer(iss),
            Self::Airflow => airflow::explain_issuer(claims),
            Self::Spiffe { .. } => spiffe::explain_issuer(claims),
            Self::Oidc | Self::Cognito | Self::AwsIam | Self::Google | Self::Github => None,
        }
    }

    /// The known mistake that an opaque token is likely to be.
    pub(crate) fn explain_opaque(&self, token: &str) -> Option<Trap> {
        match self {
            Self::Google if token.starts_with("ya29.") => Some(Trap::GoogleAccessToken),
            _ => None,
        }
    }
}

/// The trust domain of the SPIFFE ID in `sub`, where it is one.
pub(crate) fn spiffe_trust_domain(claims: &Map<String, Value>) -> Option<String> {
    spiffe::trust_domain_of(claims.get("sub")?.as_str()?).map(str::to_owned)
}

/// A claim that is a text, for checks of profiles.
fn text<'a>(view: &View<'a>, claim: &str) -> Option<&'a str> {
    view.claims.get(claim).and_then(Value::as_str)
}

/// A claim of the provider's that is not as it must be.
fn refused(view: &View<'_>, problem: impl Into<String>, trap: Trap) -> TokenError {
    TokenError::with_trap(Fault::ClaimRefused { issuer: view.config.name.clone(), problem: problem.into() }, Some(trap))
}

/// A token of another kind of the provider's.
fn wrong_kind(view: &View<'_>, problem: impl Into<String>, trap: Trap) -> TokenError {
    TokenError::with_trap(Fault::TypeRefused { issuer: view.config.name.clone(), problem: problem.into() }, Some(trap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_known_providers_ask_for_their_profile() {
        for (url, expected) in [
            ("https://login.microsoftonline.com/x/v2.0", Some(ProfileName::Entra)),
            ("https://sts.windows.net/x/", Some(ProfileName::Entra)),
            ("https://acme.okta.com/oauth2/default", Some(ProfileName::Okta)),
            ("https://cognito-idp.eu-west-1.amazonaws.com/p", Some(ProfileName::Cognito)),
            ("https://oidc.eks.eu-west-1.amazonaws.com/id/X", Some(ProfileName::Eks)),
            ("https://a.tokens.sts.global.api.aws", Some(ProfileName::AwsIam)),
            ("https://accounts.google.com", Some(ProfileName::Google)),
            ("https://token.actions.githubusercontent.com", Some(ProfileName::Github)),
            ("https://id.corp.example/realms/x", None),
            ("https://okta.com.evil.example", None),
            ("https://accounts.google.com.evil.example", None),
        ] {
            assert_eq!(ProfileName::of_url(url), expected, "{url}");
        }
    }
}
