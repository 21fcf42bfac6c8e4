//! What an installation knows of itself: `state/installation.json`, for the user the client runs as alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use link_protocol::package::PackageKind;
use link_protocol::{InstallMode, Overrides, Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::layout::Layout;

/// The version of the file written here.
const VERSION: u32 = 1;
/// Largest file that is read. Unit: bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How a client is installed on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// On a machine without a desktop.
    Headless,
    /// As a service, by root (INST-44).
    Service,
    /// For one user, while that user is logged on (CLNT-06).
    User,
}

impl Kind {
    /// What a package of a kind becomes, depending on who runs it (INST-44, CLNT-10).
    #[must_use]
    pub fn of(package: PackageKind, by_root: bool) -> Self {
        match (package, by_root) {
            (PackageKind::Headless, _) => Self::Headless,
            (PackageKind::Desktop, true) => Self::Service,
            (PackageKind::Desktop, false) => Self::User,
        }
    }

    /// What "Install Mode" shows (CLNT-07): a headless client depends on nobody who is logged on.
    #[must_use]
    pub fn mode(self) -> InstallMode {
        match self {
            Self::Headless | Self::Service => InstallMode::Service,
            Self::User => InstallMode::User,
        }
    }

    /// Whether a client whose item was removed in the console removes its files by itself: a user-mode client does (CLNT-60),
    /// the others keep them until `uninstall` is run (CLNT-26).
    #[must_use]
    pub fn goes_when_removed(self) -> bool {
        self == Self::User
    }
}

/// An installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    v: u32,
    /// How it is installed.
    pub kind: Kind,
    /// The user the client runs as.
    pub user: String,
    /// That user's number.
    pub uid: u32,
    /// The site's host name, for people.
    pub site: String,
    /// The installer it came with.
    pub installer_id: String,
    /// The installer's KEY_INFO, until there is an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_info: Option<Secret>,
    /// What was set at install.
    #[serde(default)]
    pub overrides: Overrides,
    /// Without an identity by then it removes itself unless its site is there and takes it (INST-05, INST-12). Unit: milliseconds
    /// since 1970-01-01 UTC.
    pub valid_until_ms: u64,
    /// Whether what shows at the machine when a session starts is minimised (INST-22).
    #[serde(default)]
    pub start_minimized: bool,
    /// The file by which a desktop starts it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<PathBuf>,
}

/// What goes into an [`Installation`], beside its version.
pub struct Installed {
    /// See [`Installation`].
    pub kind: Kind,
    /// See [`Installation`].
    pub user: String,
    /// See [`Installation`].
    pub uid: u32,
    /// See [`Installation`].
    pub site: String,
    /// See [`Installation`].
    pub installer_id: String,
    /// See [`Installation`].
    pub key_info: Secret,
    /// See [`Installation`].
    pub overrides: Overrides,
    /// See [`Installation`].
    pub valid_until_ms: u64,
    /// See [`Installation`].
    pub start_minimized: bool,
}

/// Why an installation can't be read.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// There is none.
    #[error("there is no Jump Client installed in {0}")]
    None(String),
    /// Others than its user may read or write it.
    #[error("{0} belongs to another user or is open to others")]
    OpenToOthers(String),
    /// It is no such file, or one of a newer version.
    #[error("{0} is damaged or was written by a newer version")]
    Damaged(String),
    /// Reading or writing failed.
    #[error("could not read or write {0}")]
    Io(String, #[source] io::Error),
}

impl Installation {
    /// An installation of this version.
    #[must_use]
    pub fn new(installed: Installed) -> Self {
        Self {
            v: VERSION,
            kind: installed.kind,
            user: installed.user,
            uid: installed.uid,
            site: installed.site,
            installer_id: installed.installer_id,
            key_info: Some(installed.key_info),
            overrides: installed.overrides,
            valid_until_ms: installed.valid_until_ms,
            start_minimized: installed.start_minimized,
            autostart: None,
        }
    }

    /// The name its service and its other files beside the directory have. One installer can be run into several directories, and
    /// each is a client of its own (INST-57).
    #[must_use]
    pub fn name(&self, layout: &Layout) -> String {
        let directory = layout.directory().as_os_str().as_encoded_bytes();
        let hash = hex::encode(&Sha256::digest(directory)[..4]);
        format!("bomgar-pec-{}-{hash}", self.installer_id)
    }

    /// Reads the installation in `layout`, which must belong to the user who asks.
    ///
    /// # Errors
    /// [`InstallationError`].
    pub fn load(layout: &Layout) -> Result<Self, InstallationError> {
        let path = layout.description();
        let shown = || path.display().to_string();
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(InstallationError::None(
                    layout.directory().display().to_string(),
                ));
            }
            Err(error) => return Err(InstallationError::Io(shown(), error)),
        };
        let metadata = file
            .metadata()
            .map_err(|error| InstallationError::Io(shown(), error))?;
        let own = nix::unistd::geteuid().as_raw();
        if metadata.mode() & 0o077 != 0 || metadata.uid() != own {
            return Err(InstallationError::OpenToOthers(shown()));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| InstallationError::Io(shown(), error))?;
        let read: Self =
            serde_json::from_slice(&bytes).map_err(|_| InstallationError::Damaged(shown()))?;
        if read.v != VERSION {
            return Err(InstallationError::Damaged(shown()));
        }
        Ok(read)
    }

    /// Writes it, for its owner alone. The file must not be there.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_new(&self, path: &Path) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec_pretty(self).map_err(io::Error::other)?);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&text)?;
        file.sync_all()
    }

    /// Takes the key away: with an identity it is of no use but to a thief.
    ///
    /// # Errors
    /// [`InstallationError::Io`]; the key is still there then.
    pub fn forget_key(&mut self, layout: &Layout) -> Result<(), InstallationError> {
        if self.key_info.is_none() {
            return Ok(());
        }
        let mut without = self.clone();
        without.key_info = None;
        let (path, beside) = (
            layout.description(),
            layout.state().join("installation.json.new"),
        );
        let replaced = remove_if_there(&beside)
            .and_then(|()| without.write_new(&beside))
            .and_then(|()| fs::rename(&beside, &path))
            .and_then(|()| File::open(layout.state())?.sync_all());
        replaced.map_err(|error| InstallationError::Io(path.display().to_string(), error))?;
        *self = without;
        Ok(())
    }
}

/// Removes a file that may not be there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// An installation for tests.
#[cfg(test)]
pub(super) fn played(kind: Kind) -> Installation {
    Installation::new(Installed {
        kind,
        user: "jsmith".to_owned(),
        uid: 1_000,
        site: "access.example.com".to_owned(),
        installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
        key_info: Secret::new("kkkk"),
        overrides: Overrides::default(),
        valid_until_ms: 7,
        start_minimized: false,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path().to_owned());
        fs::create_dir(layout.state()).unwrap();
        (folder, layout)
    }

    /// CLNT-07, CLNT-10, CLNT-26, CLNT-60, INST-44
    #[test]
    fn the_kind_follows_from_the_package_and_who_runs_it() {
        for (package, by_root, kind, mode, goes) in [
            (
                PackageKind::Headless,
                false,
                Kind::Headless,
                InstallMode::Service,
                false,
            ),
            (
                PackageKind::Headless,
                true,
                Kind::Headless,
                InstallMode::Service,
                false,
            ),
            (
                PackageKind::Desktop,
                true,
                Kind::Service,
                InstallMode::Service,
                false,
            ),
            (
                PackageKind::Desktop,
                false,
                Kind::User,
                InstallMode::User,
                true,
            ),
        ] {
            let found = Kind::of(package, by_root);
            assert_eq!(found, kind);
            assert_eq!(
                (found.mode(), found.goes_when_removed()),
                (mode, goes),
                "{kind:?}"
            );
        }
    }

    /// INST-57: one installer run into two directories makes two clients, whose files do not meet.
    #[test]
    fn two_directories_have_two_names() {
        let name = |directory: &str| played(Kind::User).name(&Layout::of(directory.into()));
        let one = name("/srv/one");
        assert_ne!(one, name("/srv/two"));
        assert_eq!(one, name("/srv/one"));
        let hash = one.strip_prefix("bomgar-pec-0123456789abcdef0123456789abcdef-");
        assert!(hash.is_some_and(|hash| hash.len() == 8), "{one}");
    }

    /// threat C
    #[test]
    fn threat_c_it_is_its_users_alone_and_forgets_its_key() {
        let (_folder, layout) = layout();
        let mut kept = played(Kind::Headless);
        kept.write_new(&layout.description()).unwrap();
        assert!(
            kept.write_new(&layout.description()).is_err(),
            "never over another"
        );
        let mode = fs::metadata(layout.description())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Installation::load(&layout).unwrap(), kept);
        kept.forget_key(&layout).unwrap();
        let text = fs::read_to_string(layout.description()).unwrap();
        assert!(!text.contains("kkkk"), "{text}");
        assert_eq!(Installation::load(&layout).unwrap().key_info, None);
        kept.forget_key(&layout).unwrap();
    }

    /// threat R
    #[test]
    fn threat_r_a_description_of_others_is_not_believed() {
        let (_folder, layout) = layout();
        assert!(matches!(
            Installation::load(&layout),
            Err(InstallationError::None(_))
        ));
        played(Kind::User).write_new(&layout.description()).unwrap();
        for mode in [0o644, 0o620, 0o606] {
            fs::set_permissions(layout.description(), fs::Permissions::from_mode(mode)).unwrap();
            let read = Installation::load(&layout);
            assert!(
                matches!(read, Err(InstallationError::OpenToOthers(_))),
                "{mode:o}"
            );
        }
        let elsewhere = layout.state().join("elsewhere");
        fs::rename(layout.description(), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, layout.description()).unwrap();
        assert!(matches!(
            Installation::load(&layout),
            Err(InstallationError::Io(..))
        ));
        fs::remove_file(layout.description()).unwrap();
        for text in ["", "{}", "{\"v\":2}"] {
            fs::write(layout.description(), text).unwrap();
            let own = fs::Permissions::from_mode(0o600);
            fs::set_permissions(layout.description(), own).unwrap();
            assert!(matches!(
                Installation::load(&layout),
                Err(InstallationError::Damaged(_))
            ));
        }
    }
}
