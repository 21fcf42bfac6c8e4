//! What an installation writes: all of it, or nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::installation::{Installation, remove_if_there};
use super::layout::{Layout, of_io};
use super::scripts::{self, Owner};
use super::{InstallError, own_file};

/// Longest desktop entry that is read. Unit: bytes.
const ENTRY_BYTES_MAX: u64 = 64 * 1024;

/// An installation that is to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// The new directory.
    pub(super) directory: PathBuf,
    /// What it will know of itself.
    pub(super) installation: Installation,
    /// Whether programs stay root's, and to whom the state is given then: user and group.
    pub(super) state_of: Option<(u32, u32)>,
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
    let mut autostart = None;
    let written = fill(job, &layout, program, &mut autostart);
    if let Err(error) = written {
        // All of it was made just now, by us, where nobody else could have put anything.
        let left = autostart.as_deref().map_or(Ok(()), remove_if_there);
        if let Err(left) = left.and(fs::remove_dir_all(&job.directory)) {
            tracing::error!(directory = shown, error = %left, "what was begun could not be removed");
        }
        return Err(InstallError::Write(shown, error));
    }
    Ok(())
}

/// Writes all the files; the one by which a desktop starts the client is noted in `autostart` once it is made.
fn fill(
    job: &Job,
    layout: &Layout,
    program: &Path,
    autostart: &mut Option<PathBuf>,
) -> io::Result<()> {
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
    let owner = if by_root { Owner::Root } else { Owner::User };
    let script = scripts::uninstall(layout, installation, owner);
    put(&layout.uninstall(), executable, &mut script.as_bytes())?;
    let unit = scripts::unit(layout, installation);
    put(&layout.unit(), plain, &mut unit.as_bytes())?;
    DirBuilder::new().mode(0o700).create(layout.state())?;
    installation.write_new(&layout.description())?;
    if let Some((user, group)) = job.state_of {
        chown(layout.description(), Some(user), Some(group))?;
        chown(layout.state(), Some(user), Some(group))?;
    }
    if let Some(path) = &installation.autostart {
        put_autostart(path, layout, installation)?;
        *autostart = Some(path.clone());
    }
    File::open(&job.directory)?.sync_all()
}

fn put_autostart(path: &Path, layout: &Layout, installation: &Installation) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let text = scripts::autostart(layout, installation);
    match put(path, 0o600, &mut text.as_bytes()) {
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists && starts_nothing(path, layout) =>
        {
            remove_if_there(path)?;
            put(path, 0o600, &mut text.as_bytes())
        }
        done => done,
    }
}

/// Whether a desktop entry was left over from a client that is gone: what it starts is not there, or is what was written just now
/// into a directory that did not exist before.
fn starts_nothing(path: &Path, layout: &Layout) -> bool {
    let entry = own_file::head(path, ENTRY_BYTES_MAX);
    let program = entry
        .ok()
        .and_then(|entry| scripts::started_by(&String::from_utf8_lossy(&entry)));
    program.is_some_and(|program| {
        let there = fs::symlink_metadata(&program);
        let is_gone = there.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        is_gone || program == layout.init_script()
    })
}

/// Writes a new file with exactly these permissions; all of it, or none.
fn put(path: &Path, mode: u32, from: &mut impl io::Read) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    let written = io::copy(from, &mut file).and_then(|_| {
        file.flush()?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()
    });
    if written.is_err() {
        remove_if_there(path)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::installation::{Kind, played};

    fn job(directory: PathBuf, kind: Kind, home: &Path) -> Job {
        let mut installation = played(kind);
        let layout = Layout::of(directory.clone());
        installation.autostart = scripts::autostart_path(home, &layout, &installation);
        Job {
            directory,
            installation,
            state_of: None,
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
        let autostart = job.installation.autostart.clone().unwrap();
        assert!(autostart.is_file());
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

    /// CLNT-06: what a client that is gone left in the desktop's folder is in nobody's way; what starts another program stays.
    #[test]
    fn a_desktop_entry_that_starts_nothing_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "the agent").unwrap();
        let job = job(folder.path().join("client"), Kind::User, folder.path());
        let entry = job.installation.autostart.clone().unwrap();
        let layout = Layout::of(job.directory.clone());
        write(&job, &program).unwrap();
        fs::remove_dir_all(&job.directory).unwrap();
        // Its own, left over; then one of another directory that is gone.
        write(&job, &program).unwrap();
        fs::remove_dir_all(&job.directory).unwrap();
        let other = Layout::of(folder.path().join("gone"));
        fs::write(&entry, scripts::autostart(&other, &job.installation)).unwrap();
        write(&job, &program).unwrap();
        let text = scripts::autostart(&layout, &job.installation);
        assert_eq!(fs::read_to_string(&entry).unwrap(), text);
        fs::remove_dir_all(&job.directory).unwrap();

        let kept = format!("Exec=\"{}\" start\n", program.display());
        for text in [kept.as_str(), "Exec=something else\n"] {
            fs::write(&entry, text).unwrap();
            write(&job, &program).unwrap_err();
            assert!(!job.directory.exists());
            assert_eq!(fs::read_to_string(&entry).unwrap(), text);
        }
        // Not through a link.
        let precious = folder.path().join("precious");
        fs::write(&precious, scripts::autostart(&other, &job.installation)).unwrap();
        fs::remove_file(&entry).unwrap();
        std::os::unix::fs::symlink(&precious, &entry).unwrap();
        write(&job, &program).unwrap_err();
        assert!(entry.is_symlink() && precious.exists());
    }
}
