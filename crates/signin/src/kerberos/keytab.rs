//! What a keytab holds, without its keys: enough to say at start what is wrong with it.

use std::path::Path;

use zeroize::Zeroizing;

use crate::{SignInError, error::one_line, files};

/// Format 2 of a keytab: big-endian, the only one written for twenty years.
const VERSION: [u8; 2] = [5, 2];
/// AES128 and AES256, by RFC 3962 and RFC 8009.
const AES: [u16; 4] = [17, 18, 19, 20];

/// A keytab that passed the checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked {
    pub(crate) stamp: files::Stamp,
    /// It also has a key of an outdated kind (RC4, DES) for the principal.
    pub(crate) weak: bool,
}

/// Refuses a keytab that is missing, open to others, broken, without the principal, or without an AES key for it.
///
/// # Errors
/// [`SignInError::GatewayCredential`] with the next step.
pub(crate) fn check(path: &Path, principal: &str) -> Result<Checked, SignInError> {
    let refuse = |detail: String| SignInError::GatewayCredential { principal: principal.to_owned(), detail };
    let (content, stamp) = files::read_private(path).map_err(|e| refuse(format!("keytab {e}")))?;
    let shown = path.display();
    let entries = parse(&content).ok_or_else(|| refuse(format!("`{shown}` is not a keytab: export it anew")))?;
    let kinds: Vec<u16> = entries.iter().filter(|e| e.principal == principal).map(|e| e.kind).collect();
    if kinds.is_empty() {
        let mut held: Vec<String> = entries.into_iter().map(|e| one_line(&e.principal)).collect();
        held.dedup();
        held.truncate(5);
        return Err(refuse(format!(
            "keytab `{shown}` has no key for it but for {held:?}: correct `principal` or export the keytab anew"
        )));
    }
    if !kinds.iter().any(|kind| AES.contains(kind)) {
        return Err(refuse(format!(
            "keytab `{shown}` has no AES key for it: allow AES for the account and export the keytab anew"
        )));
    }
    Ok(Checked { stamp, weak: !kinds.iter().all(|kind| AES.contains(kind)) })
}

struct Entry {
    principal: String,
    kind: u16,
}

/// The entries of a keytab, None if it is not one. Holes (records of negative size) are skipped.
fn parse(content: &Zeroizing<Vec<u8>>) -> Option<Vec<Entry>> {
    let mut rest = content.strip_prefix(&VERSION)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let size = i32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let record = take(&mut rest, usize::try_from(size.unsigned_abs()).ok()?)?;
        match size {
            0 => break, // the end, where the file was cut short and filled with zeros
            1.. => entries.push(entry(record)?),
            _ => {}
        }
    }
    Some(entries)
}

fn entry(mut record: &[u8]) -> Option<Entry> {
    let components = short(&mut record)?;
    let realm = counted(&mut record)?;
    let mut names = Vec::new();
    for _ in 0..components {
        names.push(counted(&mut record)?);
    }
    // name type (4), timestamp (4), key version (1)
    take(&mut record, 9)?;
    let kind = short(&mut record)?;
    Some(Entry { principal: format!("{}@{realm}", names.join("/")), kind })
}

fn counted(rest: &mut &[u8]) -> Option<String> {
    let length = short(rest)?;
    Some(String::from_utf8_lossy(take(rest, usize::from(length))?).into_owned())
}

fn short(rest: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take(rest, 2)?.try_into().ok()?))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(taken)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        fs,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
    };

    use super::*;

    fn record(principal: &str, kind: u16) -> Vec<u8> {
        let (name, realm) = principal.split_once('@').unwrap();
        let text = |s: &str| [&u16::try_from(s.len()).unwrap().to_be_bytes(), s.as_bytes()].concat();
        let names: Vec<_> = name.split('/').collect();
        let mut body = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
        body.extend(text(realm));
        names.iter().for_each(|n| body.extend(text(n)));
        body.extend([0; 8]);
        body.push(1);
        body.extend(kind.to_be_bytes());
        body.extend(text("0123456789abcdef"));
        [&i32::try_from(body.len()).unwrap().to_be_bytes(), body.as_slice()].concat()
    }

    pub(crate) fn keytab(folder: &Path, entries: &[(&str, u16)]) -> PathBuf {
        let mut content = VERSION.to_vec();
        content.extend([(-4_i32).to_be_bytes(), [0; 4]].concat()); // a hole
        entries.iter().for_each(|(principal, kind)| content.extend(record(principal, *kind)));
        write(folder, &content, 0o600)
    }

    fn write(folder: &Path, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.join("gateway.keytab");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn refusal(path: &Path) -> String {
        check(path, "svc-gw@CORP.EXAMPLE").unwrap_err().to_string()
    }

    #[test]
    fn takes_a_keytab_with_an_aes_key_for_the_principal() {
        let folder = tempfile::tempdir().unwrap();
        let path = keytab(folder.path(), &[("HTTP/gw.corp.example@CORP.EXAMPLE", 18), ("svc-gw@CORP.EXAMPLE", 18)]);
        assert!(!check(&path, "svc-gw@CORP.EXAMPLE").unwrap().weak);
        let path = keytab(folder.path(), &[("svc-gw@CORP.EXAMPLE", 18), ("svc-gw@CORP.EXAMPLE", 23)]);
        assert!(check(&path, "svc-gw@CORP.EXAMPLE").unwrap().weak);
    }

    #[test]
    fn refuses_a_keytab_that_others_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = keytab(folder.path(), &[("svc-gw@CORP.EXAMPLE", 18)]);
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(refusal(&path).contains("chmod 600"), "{mode:o}");
        }
    }

    #[test]
    fn refuses_a_keytab_that_is_missing_broken_or_of_another_account() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(&folder.path().join("none")).contains("does not exist"));
        assert!(refusal(folder.path()).contains("regular file") || refusal(folder.path()).contains("mode"));
        let whole = fs::read(keytab(folder.path(), &[("svc-gw@CORP.EXAMPLE", 18)])).unwrap();
        for cut in [0, 1, 3, 12, 20, whole.len() - 1] {
            let said = refusal(&write(folder.path(), &whole[..cut], 0o600));
            assert!(said.contains("not a keytab"), "{cut}: {said}");
        }
        let said = refusal(&keytab(folder.path(), &[("other@CORP.EXAMPLE", 18)]));
        assert!(said.contains("no key for it") && said.contains("other@CORP.EXAMPLE"), "{said}");
        assert!(refusal(&keytab(folder.path(), &[("svc-gw@CORP.EXAMPLE", 23)])).contains("no AES key"));
    }

    #[test]
    fn sees_that_a_keytab_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = keytab(folder.path(), &[("svc-gw@CORP.EXAMPLE", 18)]);
        let before = check(&path, "svc-gw@CORP.EXAMPLE").unwrap().stamp;
        assert_eq!(files::Stamp::of(&path), Some(before));
        let other = keytab(folder.path(), &[("svc-gw@CORP.EXAMPLE", 18), ("svc-gw@CORP.EXAMPLE", 17)]);
        assert_ne!(files::Stamp::of(&other), Some(before));
    }
}
