//! Folders that are made on the way to an installation, and go again where it fails.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The folders that were made, the outermost first.
#[derive(Debug, Default)]
pub(super) struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Makes `folder` and what is missing above it, each with exactly these permissions whatever the umask is.
    ///
    /// # Errors
    /// What the system says; nothing of it is left then.
    pub(super) fn make(folder: &Path, mode: u32) -> io::Result<Self> {
        // What is there but can't be looked at fails when something is made in it.
        let is_missing = |path: &&Path| fs::symlink_metadata(path).is_err();
        let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
        let mut made = Self::default();
        for path in missing.into_iter().rev() {
            match DirBuilder::new().mode(mode).create(path) {
                // Somebody else made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    made.undo();
                    return Err(error);
                }
                Ok(()) => made.0.push(path.to_owned()),
            }
            if let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
                made.undo();
                return Err(error);
            }
        }
        Ok(made)
    }

    /// Removes them again, as far as nothing is in them by now.
    pub(super) fn undo(self) {
        for path in self.0.iter().rev() {
            if let Err(error) = fs::remove_dir(path) {
                tracing::debug!(path = %path.display(), %error, "a folder stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INST-25: what was made goes, what was there or came meanwhile stays.
    #[test]
    fn folders_have_the_mode_asked_for_and_go_again_where_they_are_empty() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("one/two");
        let made = MadeFolders::make(&folder, 0o711).unwrap();
        for path in [above.path().join("one"), folder.clone()] {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o711, "{}", path.display());
        }
        MadeFolders::make(&folder, 0o755).unwrap().undo();
        assert!(folder.is_dir(), "it was there before");
        fs::write(above.path().join("one/file"), "").unwrap();
        made.undo();
        assert!(!folder.exists() && above.path().join("one/file").exists());

        fs::write(above.path().join("file"), "").unwrap();
        assert!(MadeFolders::make(&above.path().join("file/deeper"), 0o755).is_err());
    }
}
