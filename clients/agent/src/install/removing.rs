//! Taking an installation away again, from inside: when its installer ran out before it could connect (INST-05), when it was
//! refused for good at its first start (INST-23), when its item was removed or it was away too long (CLNT-19, CLNT-60).

use std::fs;
use std::io;
use std::path::Path;

use super::installation::{Installation, remove_if_there};
use super::layout::Layout;
use super::scripts;

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
    if let Some(path) = home().and_then(|home| scripts::autostart_path(&home, installation)) {
        remove_if_there(&path)?;
    }
    match fs::remove_dir_all(layout.directory()) {
        Ok(()) => Ok(Left::Nothing),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Left::Programs),
        Err(error) => Err(error),
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

/// The home of the user this process runs as, from the system and not from the environment.
pub(super) fn home() -> Option<std::path::PathBuf> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    Some(user.dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use link_protocol::{Overrides, Secret};

    use super::*;
    use crate::install::installation::{Installed, Kind};

    /// INST-05, CLNT-60, threat R
    #[test]
    fn threat_r_it_removes_itself_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path().join("client"));
        fs::create_dir_all(layout.state().join("deeper")).unwrap();
        let installation = Installation::new(Installed {
            kind: Kind::Headless,
            user: "jsmith".to_owned(),
            site: "access.example.com".to_owned(),
            installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
            key_info: Secret::new("kkkk"),
            overrides: Overrides::default(),
            valid_until_ms: 7,
        });
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
        assert!(!layout.directory().exists());
        assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "kept");
        assert!(remove(&layout, &installation).is_err());
    }
}
