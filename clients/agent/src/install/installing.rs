//! What an installation writes: all of it, or nothing.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::installation::{Installation, remove_if_there};
use super::layout::{Layout, PlaceError, of_io};
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

/// Does the job as the user this process runs as: beside the directory first, which gets its name when all of it is there. The
/// folder of a desktop entry must exist.
///
/// # Errors
/// [`InstallError`]; nothing is left then. Where the process itself is ended on the way, what it leaves is out of the way of the
/// next one.
pub(super) fn write(job: &Job, program: &Path) -> Result<(), InstallError> {
    let layout = Layout::of(job.directory.clone());
    let shown = job.directory.display().to_string();
    if fs::symlink_metadata(&job.directory).is_ok() {
        return Err(PlaceError::Exists(shown).into());
    }
    let unfinished = Unfinished::begin(&layout)?;
    let mut autostart = None;
    let written = fill(job, &layout, &unfinished.layout, program)
        .map_err(|error| InstallError::Write(shown.clone(), error))
        .and_then(|()| check_runs(&unfinished.layout, &shown))
        .and_then(|()| {
            let finished = put_autostart(&layout, &job.installation, &mut autostart)
                .and_then(|()| unfinished.finish(&job.directory));
            finished.map_err(|error| InstallError::Write(shown.clone(), error))
        });
    if written.is_err() {
        // All of it was made just now, by us, where nobody else could have put anything.
        let left = autostart.as_deref().map_or(Ok(()), remove_if_there);
        if let Err(left) = left.and(unfinished.remove()) {
            tracing::error!(directory = shown, error = %left, "what was begun could not be removed");
        }
    }
    written
}

/// An installation under its provisional name, which one process at a time works on.
struct Unfinished {
    layout: Layout,
    /// Held for its lock.
    _lock: File,
}

impl Unfinished {
    /// Makes the folder, in the place of one that an interrupted installation left.
    fn begin(layout: &Layout) -> Result<Self, InstallError> {
        let shown = layout.directory().display().to_string();
        let unfinished = layout.unfinished();
        let path = unfinished.directory();
        let place = |error| InstallError::Place(of_io(shown.clone(), error));
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(place(error)),
            Ok(found) if found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() => {
                let _lock = locked(path, &shown)?;
                fs::remove_dir_all(path).map_err(place)?;
            }
            Ok(_) => return Err(PlaceError::Exists(path.display().to_string()).into()),
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(InstallError::UnderWay(shown));
            }
            made => made.map_err(place)?,
        }
        Ok(Self {
            _lock: locked(path, &shown)?,
            layout: unfinished,
        })
    }

    /// Gives it its name.
    fn finish(&self, directory: &Path) -> io::Result<()> {
        fs::rename(self.layout.directory(), directory)?;
        directory
            .parent()
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.layout.directory()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// The lock of a folder that an installation is written into.
fn locked(path: &Path, shown: &str) -> Result<File, InstallError> {
    let folder = File::open(path);
    let folder = folder.map_err(|error| InstallError::Place(of_io(shown.to_owned(), error)))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(InstallError::UnderWay(shown.to_owned())),
        Err(TryLockError::Error(error)) => Err(InstallError::Write(shown.to_owned(), error)),
    }
}

/// Writes all the files into `to`, of an installation that will be in `layout`.
fn fill(job: &Job, layout: &Layout, to: &Layout, program: &Path) -> io::Result<()> {
    let by_root = job.state_of.is_some();
    // Where root keeps the programs, the client's user must reach them.
    let (folder, executable, plain) = if by_root {
        (0o755, 0o755, 0o644)
    } else {
        (0o700, 0o700, 0o600)
    };
    fs::set_permissions(to.directory(), fs::Permissions::from_mode(folder))?;
    let installation = &job.installation;
    put(&to.program(), executable, &mut File::open(program)?)?;
    let script = scripts::init_script(layout, installation);
    put(&to.init_script(), executable, &mut script.as_bytes())?;
    let owner = if by_root { Owner::Root } else { Owner::User };
    let script = scripts::uninstall(layout, installation, owner);
    put(&to.uninstall(), executable, &mut script.as_bytes())?;
    let unit = scripts::unit(layout, installation);
    put(&to.unit(), plain, &mut unit.as_bytes())?;
    DirBuilder::new().mode(0o700).create(to.state())?;
    fs::set_permissions(to.state(), fs::Permissions::from_mode(0o700))?;
    installation.write_new(&to.description())?;
    if let Some((user, group)) = job.state_of {
        chown(to.description(), Some(user), Some(group))?;
        chown(to.state(), Some(user), Some(group))?;
    }
    File::open(to.directory())?.sync_all()
}

/// Whether the program that was written can be run where it is.
fn check_runs(written: &Layout, shown: &str) -> Result<(), InstallError> {
    let tried = Command::new(written.program())
        .arg("--version")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let failed = |error| InstallError::DoesNotRun(shown.to_owned(), error);
    let status = tried.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(failed(io::Error::other(status.to_string())))
}

/// Writes the file by which a desktop starts the client, where it has one; noted in `autostart` once it is made.
fn put_autostart(
    layout: &Layout,
    installation: &Installation,
    autostart: &mut Option<PathBuf>,
) -> io::Result<()> {
    let Some(path) = &installation.autostart else {
        return Ok(());
    };
    let text = scripts::autostart(layout, installation);
    match put(path, 0o600, &mut text.as_bytes()) {
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists && starts_nothing(path, layout) =>
        {
            remove_if_there(path)?;
            put(path, 0o600, &mut text.as_bytes())?;
        }
        done => done?,
    }
    *autostart = Some(path.clone());
    Ok(())
}

/// Whether a desktop entry was left over from a client that is gone: what it starts is not there, or is what is being installed
/// into a directory that does not exist yet.
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
        fs::create_dir_all(home.join(".config/autostart")).unwrap();
        Job {
            directory,
            installation,
            state_of: None,
        }
    }

    const PROGRAM: &str = "#!/bin/sh\nexit 0\n";

    fn played_program(path: &Path) {
        fs::write(path, PROGRAM).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// INST-25, INST-44, INST-49, threat R
    #[test]
    fn threat_r_an_installation_is_its_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        played_program(&program);
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
        assert_eq!(fs::read_to_string(layout.program()).unwrap(), PROGRAM);
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
        played_program(&program);
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
        played_program(&program);
        let job = self::job(folder.path().join("client"), Kind::User, folder.path());
        fs::remove_dir_all(folder.path().join(".config")).unwrap();
        fs::write(folder.path().join(".config"), "in the way").unwrap();
        write(&job, &program).unwrap_err();
        assert!(!job.directory.exists());
        assert_eq!(names(folder.path()), [".config", "program"]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// INST-25: where programs can't be run, nothing is installed.
    #[test]
    fn a_program_that_does_not_run_there_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let job = job(folder.path().join("client"), Kind::Headless, folder.path());
        for (text, words) in [
            ("no program at all", "noexec"),
            ("#!/bin/sh\nexit 7\n", "exit status: 7"),
        ] {
            fs::write(&program, text).unwrap();
            let error = crate::install::chain(&write(&job, &program).unwrap_err());
            assert!(error.contains(words), "{error}");
            assert_eq!(names(folder.path()), [".config", "program"]);
        }
    }

    /// INST-25: what an installer that was ended on the way has left is in nobody's way; one at work is.
    #[test]
    fn what_was_left_unfinished_gives_way_and_what_is_under_way_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        played_program(&program);
        let job = job(folder.path().join("client"), Kind::Headless, folder.path());
        let layout = Layout::of(job.directory.clone());
        let at_work = Unfinished::begin(&layout).unwrap();
        fs::write(at_work.layout.program(), "half").unwrap();
        let error = write(&job, &program).unwrap_err();
        assert!(matches!(error, InstallError::UnderWay(_)), "{error}");
        // Its process ends, and its lock with it.
        drop(at_work);
        write(&job, &program).unwrap();
        assert_eq!(names(folder.path()), [".config", "client", "program"]);
        // Neither a link nor a file of that name is taken for one.
        fs::remove_dir_all(&job.directory).unwrap();
        let precious = folder.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "kept").unwrap();
        std::os::unix::fs::symlink(&precious, layout.unfinished().directory()).unwrap();
        let error = write(&job, &program).unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        assert!(precious.join("file").exists());
    }

    /// CLNT-06: what a client that is gone left in the desktop's folder is in nobody's way; what starts another program stays.
    #[test]
    fn a_desktop_entry_that_starts_nothing_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        played_program(&program);
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
