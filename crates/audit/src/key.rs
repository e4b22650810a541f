use crate::error::{AuditError, io_error};
use airgate_tlog::SignerKey;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
const PEM_BYTES_MAX: u64 = 4096;

/// The log's Ed25519 signing key. `Debug` shows the key id only.
#[derive(Debug)]
pub struct LogKey {
    pub(crate) signer: SignerKey,
}

impl LogKey {
    /// Reads the PKCS#8 PEM at `path` (mode must be 0600 or stricter), or makes one there, durably.
    pub fn load_or_create(path: &Path, origin: &str) -> Result<Self, AuditError> {
        match Self::load(path, origin) {
            Err(AuditError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let generate =
            || Ed25519KeyPair::generate().map_err(|_| AuditError::Thread("the system gave no randomness".to_owned()));
        // The name is tried first: an origin that no key can carry leaves no key file behind.
        SignerKey::new(origin, generate()?)
            .map_err(|source| AuditError::Origin { origin: origin.to_owned(), source })?;
        let pair = generate()?;
        write_new(path, &pair)?;
        Self::load(path, origin)
    }

    /// Reads the key at `path`; it must be there.
    pub fn load(path: &Path, origin: &str) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        check_mode(&file, path)?;
        let mut pem = Zeroizing::new(String::new());
        io::Read::read_to_string(&mut io::Read::take(file, PEM_BYTES_MAX), &mut pem).map_err(io_error("read", path))?;
        let malformed = || AuditError::KeyMalformed { path: path.to_owned() };
        let body =
            pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END)).ok_or_else(malformed)?;
        let base64: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = Zeroizing::new(STANDARD.decode(base64.as_bytes()).map_err(|_| malformed())?);
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| malformed())?;
        let signer =
            SignerKey::new(origin, pair).map_err(|source| AuditError::Origin { origin: origin.to_owned(), source })?;
        Ok(Self { signer })
    }

    /// `<origin>+<key id>+<base64 of 0x01 || key>`: the signed-note verifier key.
    pub fn verifier_key(&self) -> String {
        self.signer.verifier().to_string()
    }
}

#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> Result<(), AuditError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_err(io_error("read", path))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(AuditError::KeyMode { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_file: &File, _path: &Path) -> Result<(), AuditError> {
    Ok(())
}

/// Writes beside, then links into place: a crash leaves no half-written key, and of two processes one wins.
fn write_new(path: &Path, pair: &Ed25519KeyPair) -> Result<(), AuditError> {
    let der = pair.to_pkcs8v1().map_err(|_| AuditError::KeyMalformed { path: path.to_owned() })?;
    let base64 = Zeroizing::new(STANDARD.encode(der.as_ref()));
    let pem = Zeroizing::new(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", *base64));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside).map_err(io_error("create", &beside))?;
    let written = file
        .write_all(pem.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&beside, path) {
            // Another process made the key in the meantime: that one counts.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        })
        .map_err(io_error("write", path));
    fs::remove_file(&beside).map_err(io_error("remove", &beside))?;
    written?;
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync", folder))?;
    }
    Ok(())
}
