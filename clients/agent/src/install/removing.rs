//! Taking an installation away again, from inside: when its installer ran out before it could connect (INST-05), when it was
//! refused for good at its first start (INST-23), when its item was removed or it was away too long (CLNT-19, CLNT-60).

use std::fs;
use std::io;
use std::path::Path;

use super::InstallError;
use super::installation::{Installation, remove_if_there};
use super::layout::Layout;

/// What is left of an installation that removed itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// The programs, which are root's; root runs `uninstall`.
    Programs,
}

/// Removes all that the user of this process may: nothing that is followed through a link, and nothing that is no installation.
///
/// # Errors
/// What the system says. The key and the identity are gone before anything else is tried.
pub fn remove(layout: &Layout, installation: &Installation) -> io::Result<Left> {
    if !layout.description().is_file() && !layout.program().is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    empty(&layout.state())?;
    if let Some(path) = &installation.autostart {
        remove_if_there(path)?;
    }
    match fs::remove_dir_all(layout.directory()) {
        Ok(()) => Ok(Left::Nothing),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Left::Programs),
        Err(error) => Err(error),
    }
}

/// Removes an installation that was made just now and does not start. One that has removed itself by then is gone as well.
///
/// # Errors
/// [`InstallError::Write`].
pub(super) fn take_back(layout: &Layout, installation: &Installation) -> Result<(), InstallError> {
    match remove(layout, installation) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InstallError::Write(
            layout.directory().display().to_string(),
            error,
        )),
        _ => Ok(()),
    }
}

/// Removes what is in the folder, and leaves the folder.
fn empty(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::install::installation::{Kind, played};

    /// INST-05, CLNT-60, threat R
    #[test]
    fn threat_r_it_removes_itself_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path().join("client"));
        fs::create_dir_all(layout.state().join("deeper")).unwrap();
        let mut installation = played(Kind::User);
        let autostart = folder.path().join("client.desktop");
        fs::write(&autostart, "").unwrap();
        installation.autostart = Some(autostart.clone());
        let precious = folder.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "kept").unwrap();
        assert!(
            remove(&layout, &installation).is_err(),
            "there is no installation there"
        );
        assert!(layout.state().exists());
        installation.write_new(&layout.description()).unwrap();
        symlink(&precious, layout.state().join("link")).unwrap();
        symlink(&precious, layout.directory().join("link")).unwrap();
        assert_eq!(remove(&layout, &installation).unwrap(), Left::Nothing);
        assert!(!layout.directory().exists() && !autostart.exists());
        assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "kept");
        assert!(remove(&layout, &installation).is_err());
    }
}
