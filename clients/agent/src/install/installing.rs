//! What an installation writes: all of it, or nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::installation::Installation;
use super::layout::{Layout, of_io};
use super::{InstallError, scripts};

/// An installation that is to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// The new directory.
    pub(super) directory: PathBuf,
    /// What it will know of itself.
    pub(super) installation: Installation,
    /// Whether programs stay root's, and to whom the state is given then: user and group.
    pub(super) state_of: Option<(u32, u32)>,
    /// The home of the user.
    pub(super) home: PathBuf,
}

/// Does the job as the user this process runs as.
///
/// # Errors
/// [`InstallError`]; nothing is left then.
pub(super) fn write(job: &Job, program: &Path) -> Result<(), InstallError> {
    let layout = Layout::of(job.directory.clone());
    let shown = job.directory.display().to_string();
    DirBuilder::new()
        .mode(0o700)
        .create(&job.directory)
        .map_err(|error| InstallError::Place(of_io(shown.clone(), error)))?;
    // A user without a home has no desktop that could start it.
    let autostart =
        scripts::autostart_path(&job.home, &job.installation).filter(|_| job.home.is_dir());
    let written = fill(job, &layout, program, autostart.as_deref());
    if let Err(error) = written {
        // It was made just now, by us, where nobody else could have put anything.
        if let Err(left) = fs::remove_dir_all(&job.directory) {
            tracing::error!(directory = shown, error = %left, "what was begun could not be removed");
        }
        return Err(InstallError::Write(shown, error));
    }
    Ok(())
}

fn fill(job: &Job, layout: &Layout, program: &Path, autostart: Option<&Path>) -> io::Result<()> {
    let by_root = job.state_of.is_some();
    // Where root keeps the programs, the client's user must reach them.
    let (folder, executable, plain) = if by_root {
        (0o755, 0o755, 0o644)
    } else {
        (0o700, 0o700, 0o600)
    };
    fs::set_permissions(&job.directory, fs::Permissions::from_mode(folder))?;
    let installation = &job.installation;
    put(&layout.program(), executable, &mut File::open(program)?)?;
    let script = scripts::init_script(layout, installation);
    put(&layout.init_script(), executable, &mut script.as_bytes())?;
    let script = scripts::uninstall(layout, installation, by_root, autostart);
    put(&layout.uninstall(), executable, &mut script.as_bytes())?;
    let unit = scripts::unit(layout, installation);
    put(&layout.unit(), plain, &mut unit.as_bytes())?;
    DirBuilder::new().mode(0o700).create(layout.state())?;
    installation.write_new(&layout.description())?;
    if let Some((user, group)) = job.state_of {
        chown(layout.description(), Some(user), Some(group))?;
        chown(layout.state(), Some(user), Some(group))?;
    }
    if let Some(path) = autostart {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let text = scripts::autostart(layout, installation);
        put(path, 0o600, &mut text.as_bytes())?;
    }
    File::open(&job.directory)?.sync_all()
}

/// Writes a new file with exactly these permissions.
fn put(path: &Path, mode: u32, from: &mut impl io::Read) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    io::copy(from, &mut file)?;
    file.flush()?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use link_protocol::{Overrides, Secret};

    use super::*;
    use crate::install::installation::{Installed, Kind};

    fn job(directory: PathBuf, kind: Kind, home: &Path) -> Job {
        Job {
            directory,
            installation: Installation::new(Installed {
                kind,
                user: "jsmith".to_owned(),
                site: "access.example.com".to_owned(),
                installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
                key_info: Secret::new("kkkk"),
                overrides: Overrides::default(),
                valid_until_ms: 7,
            }),
            state_of: None,
            home: home.to_owned(),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// INST-25, INST-44, INST-49, threat R
    #[test]
    fn threat_r_an_installation_is_its_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "the agent").unwrap();
        let job = job(folder.path().join("client"), Kind::User, folder.path());
        write(&job, &program).unwrap();
        let layout = Layout::of(job.directory.clone());
        for (path, expected) in [
            (layout.directory().to_owned(), 0o700),
            (layout.program(), 0o700),
            (layout.init_script(), 0o700),
            (layout.uninstall(), 0o700),
            (layout.unit(), 0o600),
            (layout.state(), 0o700),
            (layout.description(), 0o600),
        ] {
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
        assert_eq!(fs::read(layout.program()).unwrap(), b"the agent");
        assert!(
            scripts::autostart_path(folder.path(), &job.installation)
                .unwrap()
                .is_file()
        );
        // Again, into what is there by now.
        let again = write(&job, &program).unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
        assert!(layout.program().is_file(), "what was there stays");
    }

    /// threat R, where root can give files away: programs stay root's, the key and the identity are the user's.
    #[test]
    fn threat_r_programs_that_root_installs_stay_roots() {
        use std::os::unix::fs::MetadataExt;
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "the agent").unwrap();
        let mut job = job(folder.path().join("client"), Kind::Service, folder.path());
        job.state_of = Some((65_534, 65_534));
        write(&job, &program).unwrap();
        let layout = Layout::of(job.directory);
        for (path, owner, expected) in [
            (layout.directory().to_owned(), 0, 0o755),
            (layout.program(), 0, 0o755),
            (layout.init_script(), 0, 0o755),
            (layout.uninstall(), 0, 0o755),
            (layout.unit(), 0, 0o644),
            (layout.state(), 65_534, 0o700),
            (layout.description(), 65_534, 0o600),
        ] {
            assert_eq!(mode(&path), expected, "{}", path.display());
            assert_eq!(
                fs::metadata(&path).unwrap().uid(),
                owner,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn what_can_not_be_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path().join("client"), Kind::Headless, folder.path());
        let error = write(&job, &folder.path().join("no program")).unwrap_err();
        assert!(
            error.to_string().contains("could not be written"),
            "{error}"
        );
        assert!(!job.directory.exists());
        // The very last step can't be done: what was written before goes again.
        let program = folder.path().join("program");
        fs::write(&program, "the agent").unwrap();
        fs::write(folder.path().join(".config"), "in the way").unwrap();
        let job = self::job(folder.path().join("client"), Kind::User, folder.path());
        write(&job, &program).unwrap_err();
        assert!(!job.directory.exists());
    }
}
