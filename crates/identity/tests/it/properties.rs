//! What holds for every token.

use crate::rig::*;
use airgate_identity::Algorithm;
use proptest::prelude::*;
use std::sync::LazyLock;

static RIGS: LazyLock<Vec<(Rig, String)>> = LazyLock::new(|| {
    [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256, Algorithm::Ps384]
        .into_iter()
        .map(|algorithm| {
            let rig = Rig::new(algorithm);
            let token = rig.issuer.token(rig.claims());
            (rig, token)
        })
        .collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// INVARIANT: one changed character anywhere, and the token is no longer good.
    #[test]
    fn a_changed_token_never_verifies(which in 0..5_usize, at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.~+/-]") {
        let (rig, token) = &RIGS[which];
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != *token);
        prop_assert_ne!(rig.code(&changed), "ok");
        prop_assert_eq!(rig.code(token), "ok");
    }

    #[test]
    fn a_cut_or_longer_token_never_verifies(which in 0..5_usize, at in any::<prop::sample::Index>(), more in "[A-Za-z0-9]{1,4}") {
        let (rig, token) = &RIGS[which];
        let at = at.index(token.len());
        prop_assert_ne!(rig.code(&token[..at.max(1)]), "ok");
        prop_assert_ne!(rig.code(&format!("{}{more}{}", &token[..at], &token[at..])), "ok");
    }

    #[test]
    fn never_panics_on_any_header_and_claims(header in ".{0,200}", claims in ".{0,200}") {
        let (rig, _) = &RIGS[0];
        prop_assert_ne!(rig.code(&rig.issuer.token_raw(&header, &claims)), "ok");
    }
}
