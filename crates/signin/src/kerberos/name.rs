//! What a mapped Windows identity means: a user principal name, an account's name, or a domain and an account's name.

use crate::{SignInError, error::one_line};

/// Longest name looked up. Active Directory takes 20 characters before the `@` for accounts, and 1024 for a UPN; names
/// of people and services stay far below this.
const NAME_BYTES_MAX: usize = 256;

/// A name that can be looked up in one way only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum WindowsName {
    /// An account of the gateway's own realm by its sAMAccountName: `svc-orders@CORP.EXAMPLE`.
    Account(String),
    /// A user principal name whose suffix is not the realm: the directory finds the account (RFC 6806 §5).
    Enterprise(String),
}

impl WindowsName {
    /// Reads `user`, `user@realm`, `user@suffix` or `DOMAIN\user`.
    ///
    /// `user@realm`, in any case, is the account's own name in the realm (the implicit UPN). A UPN and an account's name
    /// are not interchangeable: only another suffix is looked up as a UPN. A domain is accepted only if it is the realm
    /// or its first label, because the account of that name in *our* realm is what would be signed in.
    pub(crate) fn parse(identity: &str, realm: &str) -> Result<Self, SignInError> {
        let refuse = |detail: &str| {
            let mut shown = one_line(identity);
            shown.truncate(shown.char_indices().nth(64).map_or(shown.len(), |(at, _)| at));
            Err(SignInError::InvalidIdentity { identity: shown, detail: detail.to_owned() })
        };
        if identity.len() > NAME_BYTES_MAX {
            return refuse("longer than 256 bytes");
        }
        let (domain, rest) = match identity.split_once('\\') {
            Some((domain, rest)) => (Some(domain), rest),
            None => (None, identity),
        };
        let (user, suffix) = match rest.split_once('@') {
            Some((user, suffix)) => (user, Some(suffix)),
            None => (rest, None),
        };
        if let Err(detail) = check_part(user, "the user's name").and_then(|()| match suffix.or(domain) {
            Some(part) => check_part(part, "the domain"),
            None => Ok(()),
        }) {
            return refuse(&detail);
        }
        match (domain, suffix) {
            (Some(_), Some(_)) => refuse("has both a domain before `\\` and a suffix after `@`: use one"),
            (Some(domain), None) => {
                let label = realm.split('.').next().unwrap_or(realm);
                if domain.eq_ignore_ascii_case(realm) || domain.eq_ignore_ascii_case(label) {
                    Ok(Self::Account(format!("{user}@{realm}")))
                } else {
                    refuse("is of another domain than the gateway's: write it as `user@realm`")
                }
            }
            (None, Some(suffix)) if !suffix.eq_ignore_ascii_case(realm) => {
                Ok(Self::Enterprise(format!("{user}@{suffix}")))
            }
            (None, Some(_) | None) => Ok(Self::Account(format!("{user}@{realm}"))),
        }
    }

    /// The name as it is looked up.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Account(name) | Self::Enterprise(name) => name,
        }
    }
}

/// Refuses what Active Directory refuses in a name (`"/\[]:;|=,+*?<>`) and what Kerberos would read as syntax.
fn check_part(part: &str, what: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if part.trim() != part || part.chars().any(|c| c.is_control() || "\"/\\[]:;|=,+*?<>@".contains(c)) {
        return Err(format!("{what} has a character that no account's name has"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REALM: &str = "CORP.EXAMPLE";

    #[test]
    fn tells_account_names_from_user_principal_names() {
        let account = |name: &str| WindowsName::Account(name.to_owned());
        let enterprise = |name: &str| WindowsName::Enterprise(name.to_owned());
        for (identity, wanted) in [
            ("svc-orders", account("svc-orders@CORP.EXAMPLE")),
            ("svc-orders@CORP.EXAMPLE", account("svc-orders@CORP.EXAMPLE")),
            ("svc-orders@corp.example", account("svc-orders@CORP.EXAMPLE")),
            ("CORP\\svc-orders", account("svc-orders@CORP.EXAMPLE")),
            ("corp\\svc-orders", account("svc-orders@CORP.EXAMPLE")),
            ("corp.example\\svc-orders", account("svc-orders@CORP.EXAMPLE")),
            ("host01$", account("host01$@CORP.EXAMPLE")),
            ("Svc Orders", account("Svc Orders@CORP.EXAMPLE")),
            ("carol.long@sales.example", enterprise("carol.long@sales.example")),
            ("carol@emea.corp.example", enterprise("carol@emea.corp.example")),
        ] {
            assert_eq!(WindowsName::parse(identity, REALM).unwrap(), wanted, "{identity}");
        }
    }

    #[test]
    fn refuses_names_that_could_mean_another_account() {
        let long = "a".repeat(300);
        for identity in [
            "",
            "@corp.example",
            "svc-orders@",
            "CORP\\",
            "\\svc-orders",
            "OTHER\\svc-orders",
            "CORP\\svc-orders@corp.example",
            "svc@orders@corp.example",
            "CORP\\a\\b",
            "HTTP/iis.corp.example",
            "svc-orders\n@corp.example",
            "svc\0",
            " svc-orders",
            "a*",
            long.as_str(),
        ] {
            let error = WindowsName::parse(identity, REALM).unwrap_err();
            assert_eq!(error.code(), "identity_invalid", "{identity:?}");
        }
    }
}
