//! AWS: Cognito user pools, IAM outbound identity federation, service accounts of EKS.
//!
//! Sources: Cognito developer guide, "Using the access token"; IAM user guide, "Understanding token claims" of outbound
//! identity federation; EKS user guide, "Fetch signing keys".

use super::{Given, Preset, Profile, ProfileFault, fault, kubernetes, refused, required_url, text};
use crate::{
    Algorithm, ClaimPath, Must, Place, Trap,
    claims::{View, shown_claim},
    error::{Fault, TokenError},
};

/// `https://<host>/<one segment>`, whose host starts and ends so.
fn is_of(url: &str, start: &str, end: &str) -> bool {
    let host = url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    host.starts_with(start) && host.ends_with(end) && host.len() > start.len() + end.len()
}

pub(super) fn cognito(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    const EXAMPLE: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI";
    let url = required_url(given, EXAMPLE).map_err(|fault| vec![fault])?;
    if !is_of(&url, "cognito-idp.", ".amazonaws.com") || url.split('/').count() != 4 || url.ends_with('/') {
        let help = format!("write the user pool's issuer: `{EXAMPLE}`");
        return Err(vec![fault("url", format!("`{url}` is no user pool of Cognito"), help)]);
    }
    let keys = Place::KeySet(format!("{url}/.well-known/jwks.json"));
    let mut preset = Preset::new(Profile::Cognito, vec![url], Some(keys))
        .require(&["token_use"], Must::Equal("access".to_owned()))
        .attribute("roles", &["cognito:groups"]);
    // Access tokens have no `aud`: the app client is whom they are for.
    preset.audience_claim = ClaimPath::top("client_id");
    Ok(preset)
}

pub(super) fn explain_cognito(fault: &Fault, view: &View<'_>) -> Option<Trap> {
    match fault {
        _ if text(view, "token_use") == Some("id") => Some(Trap::IdToken),
        Fault::AudienceMismatch { .. } => Some(Trap::CognitoAudience),
        _ => None,
    }
}

/// Where AWS keeps its own claims; the slash belongs to the name.
const STS: &str = "https://sts.amazonaws.com/";

pub(super) fn iam(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    const EXAMPLE: &str = "https://<account's own id>.tokens.sts.global.api.aws";
    let url = required_url(given, EXAMPLE).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    if !is_of(&url, "", ".tokens.sts.global.api.aws") || url.split('/').count() != 3 {
        let help = format!(
            "write the account's issuer, as `aws iam get-outbound-web-identity-federation-info` shows it: `{EXAMPLE}`"
        );
        faults.push(fault("url", format!("`{url}` is no issuer of outbound identity federation"), help));
    }
    for account in given.accounts.iter().filter(|id| id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit())) {
        faults.push(fault("accounts", format!("`{account}` is no account id"), "write its 12 digits, in quotes"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut preset = Preset::new(Profile::AwsIam, vec![url.clone()], Some(Place::Issuer(url)))
        .attribute("aws_account", &[STS, "aws_account"])
        .attribute("org_id", &[STS, "org_id"])
        .attribute("principal_id", &[STS, "principal_id"]);
    if !given.accounts.is_empty() {
        preset = preset.require(&[STS, "aws_account"], Must::BeOneOf(given.accounts.clone()));
    }
    preset.algorithms = vec![Algorithm::Rs256, Algorithm::Es384];
    Ok(preset)
}

/// In its other subject mode the caller has a say in `sub`; it never begins with `arn:` then.
pub(super) fn check_iam(view: &View<'_>) -> Result<(), TokenError> {
    if text(view, "sub").is_some_and(|sub| sub.starts_with("arn:aws")) {
        return Ok(());
    }
    let problem = format!("`sub` is {}, not the ARN of a principal", shown_claim(view.claims, "sub"));
    Err(refused(view, problem, Trap::OtherToken))
}

pub(super) fn eks(given: &Given) -> Result<Preset, Vec<ProfileFault>> {
    const EXAMPLE: &str = "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";
    let url = required_url(given, EXAMPLE).map_err(|fault| vec![fault])?;
    if !is_of(&url, "oidc.eks.", ".amazonaws.com") || !url.contains("/id/") || url.ends_with('/') {
        let help = format!("write the cluster's OpenID Connect provider URL: `{EXAMPLE}`");
        return Err(vec![fault("url", format!("`{url}` is no cluster of EKS"), help)]);
    }
    if given.audiences.iter().any(|audience| audience == kubernetes::STS_AUDIENCE) {
        let help =
            "name an audience of this gateway's own: every pod with an IAM role has tokens for AWS's token service";
        return Err(vec![fault("audiences", format!("`{}` is AWS's own audience", kubernetes::STS_AUDIENCE), help)]);
    }
    let keys = Place::KeySet(format!("{url}/keys"));
    Ok(kubernetes::service_accounts(given, url, Some(keys), true))
}
