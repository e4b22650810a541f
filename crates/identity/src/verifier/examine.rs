//! Every check of a token alone, in order, whether for a request or for a person who looks at it.

use super::{Expectation, Issuer, Shared, Verifier, hex, sha256};
use crate::{
    Algorithm, KeySource, TokenError, Trap,
    claims::{self, View},
    error::{Fault, shown},
    jws::{self, SignatureFault, Typ, Unverified},
    key_store::{KeyFault, Wanted},
    ledger::{Check, Clean, Ledger},
    profile::spiffe_trust_domain,
    verified::Claimed,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What is examined, and for which route.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    text: &'a str,
    pub(crate) sha256: [u8; 32],
    expected: &'a Expectation,
    now: u64,
}

impl<'a> Question<'a> {
    pub(crate) fn new(text: &'a str, expected: &'a Expectation, now: u64) -> Self {
        Self { text, sha256: sha256(text), expected, now }
    }
}

impl Verifier {
    /// Each check is told to the ledger. `None` only where the ledger went on after a fault.
    ///
    /// # Errors
    /// As the ledger says.
    pub(crate) async fn examine<L: Ledger>(
        &self,
        question: &Question<'_>,
        ledger: &mut L,
    ) -> Result<Option<Examined<'_>>, TokenError> {
        let Question { text, expected, .. } = *question;
        if !jws::looks_like_jws(text) {
            return self.examine_opaque(question, ledger).await;
        }
        let read = jws::read(text).map_err(|fault| self.0.explain_form(fault, text, expected));
        let Some(unverified) = ledger.note(Check::Form, read)? else { return Ok(None) };
        let Some(claims) = ledger.note(Check::Claims, unverified.parts.claims())? else { return Ok(None) };
        let found = self.0.issuer_of(&claims, expected);
        let Some((position, iss)) = ledger.note(Check::Issuer, found)? else { return Ok(None) };
        let issuer = &self.0.issuers[position];
        ledger.note(Check::Type, claims::token_type(&issuer.config, &unverified.typ))?;
        if matches!(issuer.config.keys, KeySource::Introspection) {
            return self.introspect(question, position, ledger).await;
        }
        let generation = issuer.vouch(&unverified, &iss, ledger).await?;
        let said = Said { position, iss, claims, typ: Some(unverified.typ), generation };
        self.conclude(said, question, ledger)
    }

    /// No JSON Web Signature: the one issuer that can be asked about such tokens is asked.
    async fn examine_opaque<L: Ledger>(
        &self,
        question: &Question<'_>,
        ledger: &mut L,
    ) -> Result<Option<Examined<'_>>, TokenError> {
        let Question { text, expected, .. } = *question;
        let mut asked = self.0.accepted(expected).filter(|(_, issuer)| issuer.introspector.is_some());
        // Two that could be asked: the token of one would be shown to the other. The configuration refuses that.
        let (Some((position, _)), None) = (asked.next(), asked.next()) else {
            let fault = jws::read(text).err().unwrap_or(Fault::Malformed { problem: "it is no JSON Web Token" });
            ledger.note::<(), _>(Check::Form, Err(self.0.explain_form(fault, text, expected)))?;
            return Ok(None);
        };
        self.introspect(question, position, ledger).await
    }

    /// The issuer vouches for the token itself, and says its claims.
    async fn introspect<L: Ledger>(
        &self,
        question: &Question<'_>,
        position: usize,
        ledger: &mut L,
    ) -> Result<Option<Examined<'_>>, TokenError> {
        let issuer = &self.0.issuers[position];
        let answer = match &issuer.introspector {
            Some(introspector) => introspector.ask(question.text, &question.sha256, question.now).await,
            // The configuration refuses that, too.
            None => Err(Fault::Malformed { problem: "there is nobody to ask about it" }),
        };
        let Some(answer) = ledger.note(Check::Introspection, answer)? else { return Ok(None) };
        let iss = match answer.get("iss") {
            None => Ok(issuer.config.issuers.first().cloned().unwrap_or_default()),
            Some(Value::String(iss)) if issuer.config.issuers.contains(iss) => Ok(iss.clone()),
            Some(other) => Err(Fault::IssuerUnknown { iss: shown(&other.to_string()) }),
        };
        let Some(iss) = ledger.note(Check::Issuer, iss)? else { return Ok(None) };
        let said = Said { position, iss, claims: Map::clone(&answer), typ: None, generation: 0 };
        self.conclude(said, question, ledger)
    }

    /// The claims, once somebody has vouched for them.
    fn conclude<L: Ledger>(
        &self,
        said: Said,
        question: &Question<'_>,
        ledger: &mut L,
    ) -> Result<Option<Examined<'_>>, TokenError> {
        let issuer = &self.0.issuers[said.position];
        let view = View { claims: &said.claims, config: &issuer.config, typ: said.typ.as_ref(), now: question.now };
        let checked = claims::check(&view, ledger)?;
        let token_id = said.claims.get("jti").and_then(Value::as_str);
        let is_revoked = issuer.revoked.holds(token_id, &hex(&question.sha256));
        let revocation = if is_revoked { Err(Fault::Revoked { issuer: issuer.config.name.clone() }) } else { Ok(()) };
        ledger.note(Check::Revocation, revocation)?;
        let is_lasting = said.typ.is_some();
        Ok(checked.map(|checked| Examined { issuer, said, checked, is_lasting }))
    }
}

/// Claims that somebody vouched for.
struct Said {
    position: usize,
    iss: String,
    claims: Map<String, Value>,
    /// `None`: an introspection endpoint said them.
    typ: Option<Typ>,
    generation: u64,
}

/// A token whose checks are over. Nothing can be done with it without the ledger's word that all passed.
pub(crate) struct Examined<'a> {
    issuer: &'a Issuer,
    said: Said,
    checked: claims::Checked,
    /// May be remembered until it expires: what an endpoint said is remembered where it was asked.
    pub(super) is_lasting: bool,
}

impl Examined<'_> {
    pub(super) fn claimed(self, clean: Clean, sha256: &[u8; 32]) -> Claimed {
        let Self { issuer, said, checked, .. } = self;
        Claimed {
            issuer: Arc::clone(&issuer.name),
            position: said.position,
            generation: said.generation,
            iss: said.iss,
            assurance: Arc::clone(&issuer.assurance),
            subject: checked.subject,
            principal: checked.principal,
            token_id: checked.token_id,
            sha256_hex: hex(sha256),
            expires_at: checked.expires_at,
            confirmation: checked.confirmation,
            attributes: checked.attributes,
            claims: said.claims,
            _clean: clean,
        }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer.config.name
    }
}

impl Shared {
    /// INVARIANT: only this issuer's keys are looked at; `iss` is signed with the rest.
    fn issuer_of(&self, claims: &Map<String, Value>, expected: &Expectation) -> Result<(usize, String), TokenError> {
        let iss = claims::text(claims, "iss")?;
        let found = match iss {
            Some(iss) => self.by_iss.get(iss).map(|position| (*position, iss.to_owned())),
            // JWT-SVID §3: the trust domain in `sub` says whose keys count. Where the configuration names an `iss`, it is wanted.
            None => spiffe_trust_domain(claims)
                .and_then(|domain| self.by_trust_domain.get(&domain).map(|position| (*position, domain)))
                .filter(|(position, _)| self.issuers[*position].config.issuers.is_empty())
                .map(|(position, domain)| (position, format!("spiffe://{domain}"))),
        };
        if let Some((position, iss)) = found.filter(|(position, _)| expected.accepts(*position)) {
            return Ok((position, iss));
        }
        let accepted = self.accepted(expected);
        let trap = accepted
            .filter_map(|(_, issuer)| {
                issuer.config.profile.explain_issuer(&issuer.config, iss.unwrap_or_default(), claims)
            })
            .next();
        let fault = match iss {
            Some(iss) => Fault::IssuerUnknown { iss: shown(iss) },
            None => Fault::ClaimsMalformed { problem: "`iss` is missing".to_owned() },
        };
        Err(TokenError::with_trap(fault, trap))
    }

    fn explain_form(&self, fault: Fault, text: &str, expected: &Expectation) -> TokenError {
        let known = self.accepted(expected).filter_map(|(_, issuer)| issuer.config.profile.explain_opaque(text)).next();
        let is_opaque = matches!(fault, Fault::Malformed { .. }) && !text.contains('.');
        TokenError::with_trap(fault, known.or_else(|| is_opaque.then_some(Trap::Opaque)))
    }
}

impl Issuer {
    /// Algorithm, key and signature: the generation of the keys that vouched.
    async fn vouch<L: Ledger>(
        &self,
        unverified: &Unverified<'_>,
        iss: &str,
        ledger: &mut L,
    ) -> Result<u64, TokenError> {
        let name = || self.config.name.clone();
        let not_allowed =
            |problem| Fault::AlgorithmNotAllowed { issuer: name(), algorithm: shown(&unverified.algorithm), problem };
        let algorithm = Algorithm::from_jose(&unverified.algorithm)
            .filter(|algorithm| self.config.algorithms.contains(algorithm))
            .ok_or_else(|| not_allowed("it is not in the issuer's list"));
        let Some(algorithm) = ledger.note(Check::Algorithm, algorithm)? else { return Ok(0) };
        let wanted = match &unverified.kid {
            Some(kid) => Ok(Wanted::Named(kid)),
            None if self.config.kid_optional => Ok(Wanted::Single(algorithm)),
            None => Err(Fault::Malformed { problem: "its header has no `kid`" }),
        };
        let Some(wanted) = ledger.note(Check::Form, wanted)? else { return Ok(0) };
        let kid = || unverified.kid.as_deref().map_or_else(|| "(none)".to_owned(), shown);
        let key = self.keys.key(wanted).await.map_err(|fault| match fault {
            KeyFault::Unknown => Fault::KeyUnknown { issuer: name(), kid: kid() },
            KeyFault::Unavailable(cause) => Fault::KeysUnavailable { issuer: name(), cause },
        });
        let key = key.and_then(|(key, generation)| {
            let fits = self.config.profile.key_fits(&key, iss);
            if fits { Ok((key, generation)) } else { Err(Fault::KeyUnknown { issuer: name(), kid: kid() }) }
        });
        let Some((key, generation)) = ledger.note(Check::Key, key)? else { return Ok(0) };
        let signature = unverified.parts.verify(algorithm, &key).map_err(|fault| {
            let fault = match fault {
                SignatureFault::KeyUnfit => not_allowed("the key is for another algorithm"),
                SignatureFault::Invalid => Fault::SignatureInvalid { issuer: name(), kid: kid() },
            };
            TokenError::with_trap(fault, self.config.profile.explain_signature(&unverified.parts.header))
        });
        ledger.note(Check::Signature, signature)?;
        Ok(generation)
    }
}
