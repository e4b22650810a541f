//! Tokens that are refused though they are good: a list in a file, for the moment when one is stolen.

use crate::{IssuerConfig, IssuerError, source};
use parking_lot::RwLock;
use std::{collections::HashSet, path::PathBuf, sync::Arc};

/// The list of one issuer. Each line is a `jti`, or a token's SHA-256 digest as the audit log shows it; `#` begins a comment.
pub(crate) struct Revoked {
    issuer: String,
    path: Option<PathBuf>,
    lines: RwLock<Arc<HashSet<String>>>,
}

impl Revoked {
    /// # Errors
    /// The file can't be read.
    pub(crate) fn new(config: &IssuerConfig) -> Result<Self, IssuerError> {
        let revoked = Self { issuer: config.name.clone(), path: config.revoked_file.clone(), lines: RwLock::default() };
        revoked.read().map_err(|problem| {
            let help = "make the file, empty at first: one `jti`, or one `token_sha256` of the audit log, a line";
            IssuerError::new(&config.name, "revoked_file", problem, help)
        })?;
        Ok(revoked)
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.path.is_some()
    }

    /// Blocks. A file that can't be read leaves what is known: a revocation is never lost by accident.
    pub(crate) fn reread(&self) {
        if let Err(problem) = self.read() {
            tracing::warn!(issuer = self.issuer, "the list of revoked tokens stays as it was: {problem}");
        }
    }

    fn read(&self) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let unusable = |problem: String| format!("`{}`: {problem}", path.display());
        let bytes = source::read_file(path).map_err(unusable)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable("it is not UTF-8".to_owned()))?;
        let lines: HashSet<String> = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        let before = Arc::clone(&self.lines.read());
        if *before != lines {
            tracing::info!(issuer = self.issuer, revoked = lines.len(), "the list of revoked tokens is new");
            *self.lines.write() = Arc::new(lines);
        }
        Ok(())
    }

    pub(crate) fn holds(&self, token_id: Option<&str>, sha256_hex: &str) -> bool {
        let lines = self.lines.read();
        !lines.is_empty() && (lines.contains(sha256_hex) || token_id.is_some_and(|id| lines.contains(id)))
    }
}
