use crate::hash::Hash;
use crate::note::{NoteError, SignerKey, VerifierKey, open_note};

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The signed note itself is not accepted.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not origin, size and root.
    #[error("the checkpoint's text is malformed")]
    Malformed,
    /// Another log's checkpoint.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    Origin {
        /// The origin in the checkpoint.
        found: String,
        /// The name of the verifier key.
        expected: String,
    },
}

/// A tree head (C2SP tlog-checkpoint): origin, size, root, and extension lines, which are kept and not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Entries in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Extension lines, without their newlines.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The unsigned text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root);
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the unsigned text.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Malformed)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Malformed);
        };
        let parsed: u64 = size.parse().map_err(|_| CheckpointError::Malformed)?;
        // C2SP tlog-checkpoint: decimal without leading zeros (or a sign, which Rust's parser would take).
        if origin.is_empty() || parsed.to_string() != size {
            return Err(CheckpointError::Malformed);
        }
        let root = Hash::from_base64(root).ok_or(CheckpointError::Malformed)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Malformed);
        }
        Ok(Self { origin: origin.to_owned(), size: parsed, root, extensions })
    }

    /// The signed note.
    pub fn sign(&self, key: &SignerKey) -> String {
        key.sign(&self.to_text())
    }

    /// Reads a signed checkpoint **without checking its signature**: to find one's way, never to trust it.
    pub fn peek_unverified(note: &str) -> Result<Self, CheckpointError> {
        let split = note.rfind("\n\n").ok_or(CheckpointError::Malformed)?;
        Self::from_text(&note[..=split])
    }

    /// Opens a signed checkpoint: the signature must be by `key`, and the origin must be its name.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::from_text(open_note(note, key)?)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin { found: checkpoint.origin, expected: key.name().to_owned() });
        }
        Ok(checkpoint)
    }
}
