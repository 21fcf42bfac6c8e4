//! Where the files of an installation are, and which directories are fit for one.
//!
//! Whoever can change a directory above an installation can put other programs in its place. So each of them must belong to
//! root or to the user who installs, and none may be open to everyone, or to a group of others, without the sticky bit (threat R).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

/// The files of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// That of the installation in `directory`.
    #[must_use]
    pub fn of(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// All of it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it is written before it is renamed to its own name: beside, so that what is left when somebody ends the
    /// installer has another name, and is known by it the next time.
    #[must_use]
    pub(super) fn unfinished(&self) -> Self {
        let hash = Sha256::digest(self.directory.as_os_str().as_encoded_bytes());
        let name = format!(".bomgar-pec-{}.new", hex::encode(&hash[..8]));
        Self::of(self.directory.with_file_name(name))
    }

    /// The agent program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.directory.join("gatebook-agent")
    }

    /// Starts and stops the agent (INST-49).
    #[must_use]
    pub fn init_script(&self) -> PathBuf {
        self.directory.join("init-script")
    }

    /// Takes the client away.
    #[must_use]
    pub fn uninstall(&self) -> PathBuf {
        self.directory.join("uninstall")
    }

    /// The example of a systemd service (INST-50).
    #[must_use]
    pub fn unit(&self) -> PathBuf {
        self.directory.join("example.service")
    }

    /// What the agent itself writes; its user's alone.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// What the installation knows of itself.
    #[must_use]
    pub fn description(&self) -> PathBuf {
        self.state().join("installation.json")
    }

    /// What the agent says.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.state().join("agent.log")
    }

    /// The process that runs.
    #[must_use]
    pub fn process_id(&self) -> PathBuf {
        self.state().join("agent.pid")
    }
}

/// For whom a directory is to be fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The user.
    pub uid: u32,
    /// The user's primary group: on many systems one of their own.
    pub gid: u32,
}

impl Who {
    /// Root.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// A directory that an installation may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// It: absolute, with nothing in it that leads elsewhere.
    pub directory: PathBuf,
    /// Whether root alone can change what lies above it.
    pub is_roots: bool,
}

/// Why a directory is not fit for an installation (INST-25).
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Not the name of a directory.
    #[error("{0} can't be the name of an install directory")]
    Name(String),
    /// Something is there, if only a link that leads nowhere.
    #[error("the install directory {0} exists already; name one that does not")]
    Exists(String),
    /// There is nothing to make it in.
    #[error("the directory {0}, in which to install, does not exist")]
    NoParent(String),
    /// Something else is in the way.
    #[error("{0} is not a directory")]
    NotADirectory(String),
    /// It leads elsewhere.
    #[error("{0} is a symbolic link; name the directory that it leads to")]
    Link(String),
    /// Everyone may replace what is in it.
    #[error("{0} is writable for everyone and has no sticky bit; nothing is installed below it")]
    OpenToEveryone(String),
    /// The members of a group may replace what is in it.
    #[error(
        "{0} is writable for a group and has no sticky bit; nothing is installed below it, because each member could replace it"
    )]
    OpenToGroup(String),
    /// Another user may replace what is in it.
    #[error("{0} belongs to another user, who could replace what is installed below it")]
    OfAnother(String),
    /// It can't be written to.
    #[error("the install directory {0} can't be made: you may not write there")]
    NotWritable(String),
    /// The system says something else.
    #[error("{0} can't be used")]
    Io(String, #[source] io::Error),
}

/// Checks the directory that an installation is to make, for `who`.
///
/// # Errors
/// [`PlaceError`].
pub fn check(wished: &Path, who: Who) -> Result<Place, PlaceError> {
    let directory = absolute(wished)?;
    let shown = directory.display().to_string();
    let parent = directory
        .parent()
        .ok_or_else(|| PlaceError::Name(shown.clone()))?;
    let mut is_roots = true;
    // From the root down: what is above has been found fit before anything below is asked about.
    for above in parent.ancestors().collect::<Vec<_>>().into_iter().rev() {
        is_roots &= check_above(above, who)?;
    }
    match fs::symlink_metadata(&directory) {
        Ok(_) => Err(PlaceError::Exists(shown)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place {
            directory,
            is_roots,
        }),
        Err(error) => Err(of_io(shown, error)),
    }
}

/// The name, from the root on and without detours.
fn absolute(wished: &Path) -> Result<PathBuf, PlaceError> {
    let name = || PlaceError::Name(wished.display().to_string());
    let whole = if wished.is_absolute() {
        wished.to_owned()
    } else {
        let here =
            std::env::current_dir().map_err(|error| PlaceError::Io(".".to_owned(), error))?;
        here.join(wished)
    };
    let text = whole.to_str().ok_or_else(name)?;
    if text.chars().any(char::is_control) {
        return Err(name());
    }
    let mut clean = PathBuf::new();
    for component in whole.components() {
        match component {
            Component::RootDir => clean.push("/"),
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(name()),
        }
    }
    Ok(clean)
}

/// Checks one directory above; answers whether root alone can change it.
fn check_above(above: &Path, who: Who) -> Result<bool, PlaceError> {
    let shown = above.display().to_string();
    let metadata = match fs::symlink_metadata(above) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PlaceError::NoParent(shown));
        }
        Err(error) => return Err(of_io(shown, error)),
    };
    if metadata.file_type().is_symlink() {
        return Err(PlaceError::Link(shown));
    }
    if !metadata.is_dir() {
        return Err(PlaceError::NotADirectory(shown));
    }
    let is_sticky = metadata.mode() & 0o1000 != 0;
    if metadata.mode() & 0o002 != 0 && !is_sticky {
        return Err(PlaceError::OpenToEveryone(shown));
    }
    if metadata.uid() != 0 && metadata.uid() != who.uid {
        return Err(PlaceError::OfAnother(shown));
    }
    let group_may = metadata.mode() & 0o020 != 0 && !is_sticky;
    if group_may && !trusts_group(who, metadata.gid()) {
        return Err(PlaceError::OpenToGroup(shown));
    }
    Ok(metadata.uid() == 0 && !group_may)
}

/// Whether `who` lets the members of a group replace what they install: their own primary group, which is nobody else's where each
/// user has one. Root trusts none.
fn trusts_group(who: Who, gid: u32) -> bool {
    who.uid != 0 && gid == who.gid
}

pub(super) fn of_io(shown: String, error: io::Error) -> PlaceError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            PlaceError::NotWritable(shown)
        }
        io::ErrorKind::AlreadyExists => PlaceError::Exists(shown),
        _ => PlaceError::Io(shown, error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn own() -> Who {
        Who {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refused(path: &Path) -> String {
        check(path, own()).unwrap_err().to_string()
    }

    /// INST-25
    #[test]
    fn the_directory_must_not_exist_and_what_is_above_must() {
        let folder = tempfile::tempdir().unwrap();
        let free = folder.path().join("client");
        assert_eq!(check(&free, own()).unwrap().directory, free);
        assert_eq!(
            check(&folder.path().join("./client/"), own())
                .unwrap()
                .directory,
            free
        );
        fs::create_dir(&free).unwrap();
        assert!(refused(&free).contains("exists already"));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refused(&file).contains("exists already"));
        assert!(refused(&file.join("client")).contains("is not a directory"));
        assert!(refused(&folder.path().join("none/client")).contains("does not exist"));
        for name in ["/", "", "a/../b", "../b"] {
            assert!(check(Path::new(name), own()).is_err(), "{name}");
        }
        assert!(refused(&folder.path().join("a\nb")).contains("can't be the name"));
    }

    /// INST-37, INST-40: every spelling of the directory leads to the same check.
    #[test]
    fn a_directory_that_exists_aborts_an_msi_as_well() {
        use link_protocol::parameters::{Spelling, System, parse};
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().display().to_string();
        let exe = ["--install-dir".to_owned(), there.clone()];
        let msi = ["KEY_INFO=k".to_owned(), format!("INSTALLDIR={there}")];
        for (spelling, words) in [(Spelling::Dashes, &exe), (Spelling::Msi, &msi)] {
            let given = parse(spelling, System::Windows, words).unwrap();
            let wished = given.install_dir.unwrap();
            assert!(
                refused(Path::new(&wished)).contains("exists already"),
                "{words:?}"
            );
        }
    }

    /// threat R
    #[test]
    fn threat_r_links_and_open_directories_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        fs::create_dir(&real).unwrap();
        let link = folder.path().join("link");
        symlink(&real, &link).unwrap();
        assert!(refused(&link.join("client")).contains("symbolic link"));
        assert!(refused(&link).contains("exists already"));
        let dangling = folder.path().join("dangling");
        symlink("/nowhere/at/all", &dangling).unwrap();
        assert!(refused(&dangling).contains("exists already"));
        mode(&real, 0o777);
        assert!(refused(&real.join("client")).contains("no sticky bit"));
        fs::create_dir(real.join("deeper")).unwrap();
        assert!(refused(&real.join("deeper/client")).contains("no sticky bit"));
        mode(&real, 0o1777);
        assert!(check(&real.join("client"), own()).is_ok());
        mode(&real, 0o755);
        assert!(check(&real.join("client"), own()).is_ok());
    }

    /// threat R: files of others. Only root can give a directory away, so others skip the second half.
    #[test]
    fn threat_r_a_directory_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let client = folder.path().join("client");
        let stranger = Who {
            uid: own().uid + 1,
            gid: own().gid,
        };
        if own() == Who::ROOT {
            assert!(
                check(&client, stranger).is_ok(),
                "what is root's is fit for everyone"
            );
            chown(folder.path(), Some(65_534), None).unwrap();
            assert!(refused(&client).contains("belongs to another user"));
            let nobody = Who {
                uid: 65_534,
                gid: 65_534,
            };
            assert!(!check(&client, nobody).unwrap().is_roots);
            // The sticky bit does not bind the directory's own owner.
            mode(folder.path(), 0o1777);
            assert!(refused(&client).contains("belongs to another user"));
        } else {
            let error = check(&client, stranger).unwrap_err().to_string();
            assert!(error.contains("belongs to another user"), "{error}");
        }
    }

    /// threat R: whoever is in the group of a directory could replace what is in it.
    #[test]
    fn threat_r_a_directory_that_a_group_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (above, client) = (folder.path(), folder.path().join("client"));
        let owner = fs::metadata(above).unwrap();
        let (uid, gid) = (owner.uid(), owner.gid());
        let of = |uid, gid| Who { uid, gid };
        for (bits, who, is_fit) in [
            (0o755, of(uid, gid), true),
            (0o775, of(uid, gid), uid != 0),
            (0o775, of(uid, gid + 1), false),
            (0o2775, of(uid, gid + 1), false),
            (0o1775, of(uid, gid), true),
            (0o1775, of(uid, gid + 1), true),
        ] {
            mode(above, bits);
            let found = check(&client, who);
            assert_eq!(found.is_ok(), is_fit, "{bits:o} {who:?} {found:?}");
            if let Err(error) = found {
                assert!(error.to_string().contains("for a group"), "{error}");
            }
        }
        // Root's own directory, open to the group of somebody who installs: theirs to choose, and not root's alone any more.
        if uid == 0 {
            mode(above, 0o775);
            let place = check(&client, of(65_534, gid)).unwrap();
            assert!(!place.is_roots);
            assert!(check(&client, of(65_534, gid + 1)).is_err());
        }
        mode(above, 0o700);
    }
}
