//! `sign_in` of an upstream: the word `none`, or a table with exactly one way.

use super::{
    files::{self, Access},
    raw::is_good_url,
    reader::Section,
    schema,
};
use airgate_signin::{AssertionConfig, KerberosConfig, SignInConfig};
use std::path::Path;

/// `None` where a part was wrong.
pub(crate) fn sign_in(section: &Section<'_>, base: &Path) -> Option<SignInConfig> {
    let (at, item) = section.item("sign_in")?;
    if let Some(word) = item.as_str() {
        if word == "none" {
            return Some(SignInConfig::None);
        }
        section.error(
            at,
            format!("`sign_in`: unknown way `{word}`"),
            "known: `\"none\"`, `{ kerberos = { … } }`, `{ bearer_assertion = { … } }`",
        );
        return None;
    }
    let inner = section.section("sign_in", &schema::SIGN_IN)?;
    let kerberos = inner.section("kerberos", &schema::KERBEROS);
    let assertion = inner.section("bearer_assertion", &schema::ASSERTION);
    let config = match (kerberos, assertion) {
        (Some(section), None) => kerberos_config(section, base),
        (None, Some(section)) => assertion_config(section, base),
        _ => {
            inner.error(
                at,
                "it must hold exactly one way to sign in",
                "name one of `kerberos` and `bearer_assertion`, or write `sign_in = \"none\"`",
            );
            None
        }
    };
    inner.finish();
    config
}

fn kerberos_config(section: Section<'_>, base: &Path) -> Option<SignInConfig> {
    let spn = section.text("spn").filter(|text| {
        let is_good = text.value.split_once('@').is_some_and(|(service, realm)| {
            service.split('/').count() == 2 && service.split('/').all(|part| !part.is_empty()) && !realm.is_empty()
        });
        if !is_good {
            section.error(
                text.at,
                format!("`spn`: `{}` is no service principal", text.value),
                "write it as `HTTP/host@REALM`",
            );
        }
        is_good
    });
    let keytab = files::existing(&section, "keytab", base, Access::Owner);
    let principal = section.text("principal").filter(|text| {
        let is_good = text.value.split_once('@').is_some_and(|(name, realm)| !name.is_empty() && !realm.is_empty());
        if !is_good {
            section.error(
                text.at,
                format!("`principal`: `{}` is no principal", text.value),
                "write it as `name@REALM`, as `klist -k` shows it",
            );
        }
        is_good
    });
    let kdc_timeout = section.duration("kdc_timeout");
    let credential_lifetime_max = section.duration("credential_lifetime_max");
    section.finish();
    let (spn, keytab, principal) = (spn?.value, keytab?.value, principal?.value);
    Some(SignInConfig::Kerberos(KerberosConfig { spn, keytab, principal, kdc_timeout, credential_lifetime_max }))
}

fn assertion_config(section: Section<'_>, base: &Path) -> Option<SignInConfig> {
    let audience = section.text("audience");
    let issuer = section.text("issuer").filter(|text| is_good_url(&section, "issuer", text, None));
    let key = files::existing_or_new(&section, "key", base);
    let lifetime = section.duration("lifetime");
    section.finish();
    let config = AssertionConfig { issuer: issuer?.value, audience: audience?.value, key: key?.value, lifetime };
    Some(SignInConfig::BearerAssertion(config))
}
