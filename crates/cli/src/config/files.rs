//! The files that a configuration names: there, readable, of the right kind, and secret where they must be.

use super::reader::{Placed, Section};
use rustls::{crypto::aws_lc_rs::sign::any_supported_type, pki_types::pem::PemObject, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Most bytes that are read of one file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Who may have access to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Public data.
    Anyone,
    /// A secret that a group of the system may share.
    OwnerAndGroup,
    /// A secret of the gateway's own account.
    Owner,
}

/// The path under a key, made relative to the configuration file's folder. Not checked further.
pub(crate) fn path(section: &Section<'_>, key: &'static str, base: &Path) -> Option<Placed<PathBuf>> {
    let text = section.text(key)?;
    Some(Placed::new(base.join(&text.value), text.at))
}

/// As `path`, and the file is there, readable, with fitting access rights.
pub(crate) fn existing(
    section: &Section<'_>,
    key: &'static str,
    base: &Path,
    access: Access,
) -> Option<Placed<PathBuf>> {
    let path = path(section, key, base)?;
    check(section, key, &path, access).then_some(path)
}

/// As `existing`, for a secret that is made where it is absent: then its folder must be there.
pub(crate) fn existing_or_new(section: &Section<'_>, key: &'static str, base: &Path) -> Option<Placed<PathBuf>> {
    let path = path(section, key, base)?;
    let is_there = path.value.symlink_metadata().is_ok();
    let is_good = if is_there { check(section, key, &path, Access::Owner) } else { has_parent(section, key, &path) };
    is_good.then_some(path)
}

/// A folder that is made where it is absent: then its parent must be there.
pub(crate) fn folder_or_new(section: &Section<'_>, key: &'static str, base: &Path) -> Option<Placed<PathBuf>> {
    let path = path(section, key, base)?;
    if path.value.is_dir() {
        return Some(path);
    }
    if path.value.symlink_metadata().is_ok() {
        section.error(
            path.at,
            format!("`{key}`: `{}` is not a folder", path.value.display()),
            "name a folder of its own",
        );
        return None;
    }
    has_parent(section, key, &path).then_some(path)
}

fn has_parent(section: &Section<'_>, key: &str, path: &Placed<PathBuf>) -> bool {
    let parent = path.value.parent().unwrap_or(Path::new(""));
    let is_there = parent.as_os_str().is_empty() || parent.is_dir();
    if !is_there {
        let message = format!("`{key}`: there is no folder `{}`", parent.display());
        section.error(path.at, message, "make the folder, owned by the gateway's account");
    }
    is_there
}

fn check(section: &Section<'_>, key: &str, path: &Placed<PathBuf>, access: Access) -> bool {
    match read_checked(&path.value) {
        Ok(metadata) => check_mode(section, key, path, &metadata, access),
        Err(error) => {
            tell_unreadable(section, key, path, &error);
            false
        }
    }
}

fn tell_unreadable(section: &Section<'_>, key: &str, path: &Placed<PathBuf>, error: &io::Error) {
    let shown = path.value.display();
    let (what, help) = match error.kind() {
        io::ErrorKind::NotFound => {
            ("is not there", "make the file or mend the path: paths are relative to the configuration file's folder")
        }
        io::ErrorKind::PermissionDenied => ("cannot be read", "let the gateway's account read it"),
        io::ErrorKind::IsADirectory => ("is a folder", "name a file"),
        io::ErrorKind::FileTooLarge => ("is larger than 1 MiB", "name the right file"),
        _ => ("cannot be read", "look at the file and the disk it is on"),
    };
    section.error(path.at, format!("`{key}`: `{shown}` {what}"), help);
}

fn read_checked(path: &Path) -> io::Result<std::fs::Metadata> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    std::fs::File::open(path)?;
    Ok(metadata)
}

#[cfg(unix)]
fn check_mode(
    section: &Section<'_>,
    key: &str,
    path: &Placed<PathBuf>,
    metadata: &std::fs::Metadata,
    access: Access,
) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (mask, whom, wanted) = match access {
        Access::Anyone => return true,
        Access::OwnerAndGroup => (0o007, "everybody", "640"),
        Access::Owner => (0o077, "others than its owner", "600"),
    };
    let mode = metadata.mode() & 0o777;
    if mode & mask == 0 {
        return true;
    }
    let shown = path.value.display();
    section.error(
        path.at,
        format!("`{key}`: `{shown}` is a secret that {whom} can reach (mode {mode:03o})"),
        format!("chmod {wanted} {shown}"),
    );
    false
}

#[cfg(not(unix))]
fn check_mode(_: &Section<'_>, _: &str, _: &Placed<PathBuf>, _: &std::fs::Metadata, _: Access) -> bool {
    true
}

/// At least one certificate, and nothing that looks like one and is none.
pub(crate) fn certificates(
    section: &Section<'_>,
    key: &str,
    path: &Placed<PathBuf>,
) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&path.value).and_then(Iterator::collect);
    match read {
        Ok(all) if !all.is_empty() => Some(all),
        Ok(_) => {
            section.error(
                path.at,
                format!("`{key}`: `{}` holds no certificate", path.value.display()),
                "name a PEM file with `BEGIN CERTIFICATE`",
            );
            None
        }
        Err(error) => {
            let message = format!("`{key}`: `{}` is not PEM: {error}", path.value.display());
            section.error(path.at, message, "name a PEM file with `BEGIN CERTIFICATE`");
            None
        }
    }
}

/// The listener's chain and key can be read and belong together.
pub(crate) fn check_pair(section: &Section<'_>, certificate: &Placed<PathBuf>, key: &Placed<PathBuf>) {
    let Some(chain) = certificates(section, "certificate", certificate) else { return };
    let shown = key.value.display();
    // The parser's own words could hold parts of the file: they are not shown.
    let Ok(private) = PrivateKeyDer::from_pem_file(&key.value) else {
        section.error(
            key.at,
            format!("`key`: `{shown}` holds no private key"),
            "name a PEM file with an unencrypted `BEGIN PRIVATE KEY`",
        );
        return;
    };
    let Ok(signer) = any_supported_type(&private) else {
        section.error(
            key.at,
            format!("`key`: `{shown}` is of a kind that TLS does not use"),
            "use an ECDSA (P-256), Ed25519 or RSA key",
        );
        return;
    };
    match CertifiedKey::new(chain, signer).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            let message =
                format!("`certificate`: `{}` does not belong to the key `{shown}`", certificate.value.display());
            section.error(certificate.at, message, "name the certificate that was made for this key, leaf first");
        }
    }
}
