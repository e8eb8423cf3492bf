//! Which files of somebody's workspace the user has agreed to, by their content.
//!
//! A file that comes with a repository may name programs to start: hooks, servers. It has no effect
//! until the user has seen these very bytes and said yes. What was agreed to is kept in the user's own
//! folder, never in the workspace. Only the file is held, not the programs that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::host::state::{StateError, StateFile};
use crate::host::workspace::WorkspaceError;

/// How the user stands to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// These bytes were agreed to.
    Trusted,
    /// Other bytes of this file were.
    Changed,
    /// The file was never agreed to.
    New,
}

/// What was agreed to: for each file, by its full path, the hash of its content.
#[derive(Clone, Debug)]
pub struct Trust(StateFile<BTreeMap<PathBuf, String>>);

impl Trust {
    /// `file` is where it is kept, in the user's own folder. It is made by the first yes.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self(StateFile::new(file))
    }

    /// How the user stands to these bytes of this file.
    ///
    /// # Errors
    /// What was agreed to cannot be read; nothing is trusted then.
    pub fn standing(&self, file: &Path, bytes: &[u8]) -> Result<Standing, StateError> {
        Ok(match self.0.load()?.get(file) {
            Some(known) if *known == hash(bytes) => Standing::Trusted,
            Some(_) => Standing::Changed,
            None => Standing::New,
        })
    }

    /// The user has seen these bytes of this file, and agrees.
    ///
    /// # Errors
    /// It could not be kept, and so does not hold.
    pub fn agree(&self, file: &Path, bytes: &[u8]) -> Result<(), StateError> {
        if let Some(folder) = self.0.path().parent() {
            let failed =
                |source| WorkspaceError::Io { action: "make", path: folder.into(), source };
            fs::create_dir_all(folder).map_err(failed)?;
        }
        self.0.change(|known| {
            known.insert(file.to_owned(), hash(bytes));
            Ok(())
        })
    }
}

/// SHA-256 of these bytes, in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_holds_for_these_bytes_of_this_file() {
        let home = tempfile::tempdir().unwrap();
        let trust = Trust::new(home.path().join("not/yet/there.json"));
        let (here, there) = (Path::new("/a/hooks.yaml"), Path::new("/b/hooks.yaml"));
        assert_eq!(trust.standing(here, b"one").unwrap(), Standing::New);
        trust.agree(here, b"one").unwrap();
        assert_eq!(trust.standing(here, b"one").unwrap(), Standing::Trusted);
        assert_eq!(trust.standing(here, b"two").unwrap(), Standing::Changed);
        assert_eq!(trust.standing(there, b"one").unwrap(), Standing::New);
        trust.agree(here, b"two").unwrap();
        assert_eq!(trust.standing(here, b"one").unwrap(), Standing::Changed);
    }

    #[test]
    fn what_was_agreed_to_and_is_damaged_is_named_and_trusts_nothing() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("trusted.json");
        std::fs::write(&file, "{\"/a/hooks.yaml\": 1").unwrap();
        let trust = Trust::new(&file);
        let error = trust.standing(Path::new("/a/hooks.yaml"), b"one").unwrap_err().to_string();
        assert!(error.contains("trusted.json\" is damaged"), "{error}");
        assert!(trust.agree(Path::new("/a/hooks.yaml"), b"one").is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"/a/hooks.yaml\": 1");
    }

    #[test]
    fn the_hash_is_sha_256() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(b"abc"), known);
    }
}
