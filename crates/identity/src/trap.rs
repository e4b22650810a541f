//! Mistakes that are common with a provider, each with its explanation: for the caller, and for the operator.

/// A known way to go wrong with the tokens of one provider: said with the fault, so that it is found in one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trap {
    /// Entra ID: the token is for Microsoft Graph; its `nonce` in the header keeps others from checking it.
    EntraGraphToken,
    /// Entra ID: a token of version 1.0 where 2.0 is configured, or the other way round.
    EntraVersion,
    /// Entra ID: a tenant that is not on the list.
    EntraTenant,
    /// Entra ID: more groups than a token holds; it names an address to ask instead.
    EntraGroupsOverage,
    /// Entra ID: a token on behalf of a user where only those of applications are accepted.
    EntraUserToken,
    /// Entra ID: the `tid` is not the tenant that `iss` names.
    EntraTenantMismatch,
    /// Okta: a token of the org authorization server, which nobody but Okta can check.
    OktaOrgServer,
    /// Cognito: the issuer has no `aud` in access tokens: `audiences` must list client ids.
    CognitoAudience,
    /// EKS: a token for AWS's own token service.
    EksStsAudience,
    /// Keycloak: `aud` is `account`, because no audience mapper is set.
    KeycloakAudience,
    /// Keycloak: no `sub`, because the client lacks the scope `basic`.
    KeycloakSubject,
    /// Keycloak: another host name than the configured one in `iss`.
    KeycloakHostname,
    /// Google: an opaque access token (`ya29.…`).
    GoogleAccessToken,
    /// Google: an e-mail address that was not verified.
    GoogleEmail,
    /// GitHub: the default audience, which names the owner and not this gateway.
    GithubAudience,
    /// GitHub: another owner than the configured ones.
    GithubOwner,
    /// Kubernetes: a legacy token out of a Secret, which never expires.
    KubernetesLegacy,
    /// Kubernetes: a token that is bound to no pod.
    KubernetesUnbound,
    /// Kubernetes: the API server's own audience.
    KubernetesAudience,
    /// Kubernetes: a long life, as of the token that every pod has by default.
    KubernetesLifetime,
    /// SPIFFE: the `sub` is no SPIFFE ID of the trust domain.
    SpiffeId,
    /// Airflow: Airflow's own task token, which must never leave Airflow.
    AirflowTaskToken,
    /// An ID token: it tells a client who signed in, and opens nothing.
    IdToken,
    /// A refresh, log-out or another token that no API takes.
    OtherToken,
    /// An opaque token, and no issuer of the route has introspection.
    Opaque,
}

impl Trap {
    /// All of them, for tests and pages.
    pub const ALL: [Self; 25] = [
        Self::EntraGraphToken,
        Self::EntraVersion,
        Self::EntraTenant,
        Self::EntraGroupsOverage,
        Self::EntraUserToken,
        Self::EntraTenantMismatch,
        Self::OktaOrgServer,
        Self::CognitoAudience,
        Self::EksStsAudience,
        Self::KeycloakAudience,
        Self::KeycloakSubject,
        Self::KeycloakHostname,
        Self::GoogleAccessToken,
        Self::GoogleEmail,
        Self::GithubAudience,
        Self::GithubOwner,
        Self::KubernetesLegacy,
        Self::KubernetesUnbound,
        Self::KubernetesAudience,
        Self::KubernetesLifetime,
        Self::SpiffeId,
        Self::AirflowTaskToken,
        Self::IdToken,
        Self::OtherToken,
        Self::Opaque,
    ];

    /// What the caller may see: about the provider, nothing about this gateway's configuration.
    #[must_use]
    pub fn public(self) -> &'static str {
        match self {
            Self::EntraGraphToken => "it is a token for Microsoft Graph, which only Microsoft Graph can check",
            Self::EntraVersion => "it is an Entra ID token of the other version (v1.0 and v2.0 have different issuers)",
            Self::EntraTenant => "its Entra ID tenant is not accepted here",
            Self::EntraGroupsOverage => {
                "it belongs to more groups than a token holds, so it lists none of them (groups overage)"
            }
            Self::EntraUserToken => "it was issued on behalf of a user, not to an application",
            Self::EntraTenantMismatch => "its `tid` is not the tenant that its `iss` names",
            Self::OktaOrgServer => {
                "it is a token of Okta's org authorization server, which only Okta itself can check; use a custom authorization server"
            }
            Self::CognitoAudience => "Cognito's access tokens name their audience in `client_id`",
            Self::EksStsAudience => "it is meant for AWS's own token service (`sts.amazonaws.com`)",
            Self::KeycloakAudience => {
                "its `aud` is Keycloak's default; the client needs an audience mapper for this gateway"
            }
            Self::KeycloakSubject => "it has no `sub`: the client lacks Keycloak's client scope `basic`",
            Self::KeycloakHostname => "its `iss` names the realm under another host name than the one trusted here",
            Self::GoogleAccessToken => {
                "it is an opaque Google access token; send an identity token with this gateway as audience"
            }
            Self::GoogleEmail => "its e-mail address is not verified",
            Self::GithubAudience => "its audience is GitHub's default; ask for the token with this gateway as audience",
            Self::GithubOwner => "its repository belongs to an owner that is not accepted here",
            Self::KubernetesLegacy => "it is a legacy service-account token out of a Secret; use a projected one",
            Self::KubernetesUnbound => "it is not bound to a pod; use a projected service-account token",
            Self::KubernetesAudience => "it is meant for the cluster's own API server",
            Self::KubernetesLifetime => "it is the long-lived token that every pod has; project one with a short life",
            Self::SpiffeId => "its `sub` is no SPIFFE ID of the trust domain",
            Self::AirflowTaskToken => "it is Airflow's own task token, which must never leave Airflow",
            Self::IdToken => "it is an ID token, which is for the client that signed a user in; send an access token",
            Self::OtherToken => "it is a token of another kind (refresh, log-out, proof or receipt)",
            Self::Opaque => {
                "it is opaque (no JSON Web Token), and no issuer that is trusted here can be asked about it"
            }
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::EntraGraphToken => "ask for the scope `<your API>/.default` instead of Microsoft Graph's",
            Self::EntraVersion => {
                "set `requestedAccessTokenVersion` in the API's app registration, or name the tenant in `tenants`, which accepts both versions"
            }
            Self::EntraTenant => "add the tenant's id to `tenants` if it shall be trusted",
            Self::EntraGroupsOverage => {
                "use app roles (`roles`) instead of groups, or have only the groups assigned to the application put into its tokens"
            }
            Self::EntraUserToken => {
                "use the client-credentials flow, or set `app_only = false` and grant users with care"
            }
            Self::EntraTenantMismatch => "this is not how Entra ID issues tokens: treat it as an attack",
            Self::OktaOrgServer => {
                "have the client ask `https://<domain>/oauth2/<server id>/v1/token`, and set `url` to that server's issuer"
            }
            Self::CognitoAudience => "list the app client's id in `audiences`",
            Self::EksStsAudience => {
                "project a token of its own into the pod: `serviceAccountToken = { audience = <one of `audiences`> }`"
            }
            Self::KeycloakAudience => {
                "add a mapper `Audience` to a client scope of the client, with one of `audiences`"
            }
            Self::KeycloakSubject => "add the client scope `basic` to the client, or a mapper `Subject (sub)`",
            Self::KeycloakHostname => {
                "set Keycloak's `hostname`, or set `url` to the `iss` that its discovery document names"
            }
            Self::GoogleAccessToken => {
                "use `gcloud auth print-identity-token --audiences=…`, or the metadata server's `identity?audience=…`"
            }
            Self::GoogleEmail => "grant by `sub`, or have the address verified",
            Self::GithubAudience => "use `core.getIDToken(\"<one of `audiences`>\")` in the workflow",
            Self::GithubOwner => {
                "add the owner's id to `owners` if it shall be trusted: every repository in the world can get a token"
            }
            Self::KubernetesLegacy => {
                "project a token: `volumes.projected.sources.serviceAccountToken` with `audience` and `expirationSeconds`"
            }
            Self::KubernetesUnbound => {
                "project a token into the pod, or set `pod_bound = false` for tokens of `kubectl create token`"
            }
            Self::KubernetesAudience => "project a token with `audience` set to one of `audiences`",
            Self::KubernetesLifetime => "project a token with `expirationSeconds: 600`, or raise `lifetime_max`",
            Self::SpiffeId => "set `trust_domain` to the one in the token's `sub`, or fetch a JWT-SVID of this one",
            Self::AirflowTaskToken => {
                "find out how it left Airflow, and rotate Airflow's JWT secret; tasks get an assertion from the connection"
            }
            Self::IdToken => "ask the issuer for an access token for this gateway's audience",
            Self::OtherToken => "send the access token",
            Self::Opaque => "have the issuer make JSON Web Tokens, or give the issuer an `introspection` section",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_trap_is_explained_once() {
        let all: HashSet<_> = Trap::ALL.into_iter().collect();
        assert_eq!(all.len(), Trap::ALL.len());
        assert_eq!(Trap::ALL.iter().map(|trap| trap.public()).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(Trap::ALL.iter().map(|trap| trap.advice()).collect::<HashSet<_>>().len(), all.len());
    }
}
