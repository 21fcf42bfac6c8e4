//! Installing a Jump Client on Linux, from inside the agent program, and taking it away (INST-44 to INST-50).
//!
//! The package (`link_protocol::package`) unpacks this program and runs `gatebook-agent install`. Nothing is written before
//! all that can be checked is checked, and nothing is left where something fails. The installer's key goes from the package
//! into a file of the client's user, never over a command line.
//!
//! - [`package_file`]: reading a package; [`layout`]: where files are, and which directories are fit
//! - [`installation`]: what an installation knows of itself; [`installing`]: writing it
//! - [`scripts`]: `init-script`, `uninstall`, the unit file; [`systemd`]: service mode; [`starting`]: the first start
//! - [`errand`]: what root leaves to the client's user; [`own_file`]: reading what somebody else may have put there
//! - [`running`]: the agent of an installation; [`removing`]: taking it away from inside; [`system_log`]: telling the operating system's log

pub mod installation;
pub mod layout;
pub mod package_file;
pub mod removing;
pub mod running;
pub mod scripts;
pub mod system_log;
pub mod systemd;

mod errand;
mod installing;
mod own_file;
mod starting;

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::DateTime;
use link_protocol::package::{Descriptor, PackageKind};
use link_protocol::parameters::{self, NotAllowed, ParameterError, Parameters, Spelling, System};
use nix::unistd::{Uid, User, geteuid};

use errand::Errand;
use installation::{Installation, Installed, Kind};
use installing::Job;
use layout::{Layout, Place, PlaceError, Who};
use package_file::PackageFileError;
use scripts::Owner;
use systemd::Systemd;

use crate::wall_clock::WallClock;

pub use errand::{AS_USER, run as run_as_user};

/// The status of an installation that was refused for what was said on its command line.
const WRONG_PARAMETERS: u8 = 2;
/// This program, also for a user who may not enter the folder it lies in.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Where service-mode clients go unless told otherwise, as the guide shows it.
const SERVICE_FOLDER: &str = "/opt/bomgar";
/// Where user-mode clients go unless told otherwise, below the user's home.
const USER_FOLDER: &str = ".local/share";

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The package is not whole.
    #[error(transparent)]
    Package(#[from] PackageFileError),
    /// Something on the command line is wrong.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// Something on the command line may not be set (INST-23).
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The installer's time is over (INST-04).
    #[error(
        "this installer was valid until {0}; if its time was extended, download it again, else create a new one"
    )]
    Expired(String),
    /// A headless client goes where it is told to.
    #[error("--install-dir <directory_path> is needed")]
    NoDirectory,
    /// Root installs for nobody in particular (INST-47).
    #[error(
        "warning: it is not recommended to run the Jump Client as root. Name the user that it is to run as: --user <username>"
    )]
    RootWithoutUser,
    /// Nobody is to run the service (CLNT-09).
    #[error(
        "root installs in service mode, and the service itself must not run as root. Name the user that it is to run as: --user <username>"
    )]
    ServiceWithoutUser,
    /// The user is not there (INST-46).
    #[error("there is no user {0}")]
    NoSuchUser(String),
    /// Only root may act for others.
    #[error("only root can install for another user, {0}")]
    AnotherUser(String),
    /// The directory is not fit.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Files could not be written.
    #[error("the files in {0} could not be written")]
    Write(String, #[source] io::Error),
    /// The part that the user does failed, with what it said.
    #[error("{0}")]
    AsUser(String),
    /// The client was installed and does not start; it was removed again.
    #[error("the client could not be started: {0}")]
    NotStarted(String),
    /// Users can't be looked up.
    #[error("the users of this machine can't be read")]
    Users(#[source] nix::Error),
}

/// Milliseconds since 1970-01-01 UTC, by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(WallClock::default().now()).unwrap_or(0) * 1_000
}

/// Runs `install --package FILE` with the words of the package's command line.
pub fn run(package: &Path, words: &[String]) -> ExitCode {
    let silent = words.iter().any(|word| word == "--silent");
    match install(package, words) {
        Ok(told) => {
            if !silent {
                // Whoever closed the output does not want to know.
                let _ = io::stdout().write_all(told.as_bytes());
            }
            ExitCode::SUCCESS
        }
        Err((error, directory)) => {
            let message = chain(&error);
            system_log::write(
                &format!("installation failed: {message}"),
                directory.as_deref(),
            );
            if !silent {
                output::message(format_args!("bomgar-pec: installation failed: {message}"));
            }
            match error {
                InstallError::Parameters(_) | InstallError::NotAllowed(_) => {
                    ExitCode::from(WRONG_PARAMETERS)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Installs; answers what to tell. An error comes with the directory beside which it may be logged.
fn install(package: &Path, words: &[String]) -> Result<String, (InstallError, Option<PathBuf>)> {
    let nowhere = |error: InstallError| (error, None);
    let descriptor = package_file::read(package).map_err(|error| nowhere(error.into()))?;
    let given = parameters::parse(Spelling::Dashes, System::Linux, words)
        .map_err(|error| nowhere(error.into()))?;
    let me = Me::now();
    let user = user_of(descriptor.kind, &given, &me).map_err(nowhere)?;
    let kind = Kind::of(descriptor.kind, me.uid == 0);
    let home = home_of(&user, &me, std::env::var_os("HOME").map(PathBuf::from));
    let users = Who {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    };
    let checked = |wished: &Path| -> Result<Place, InstallError> {
        let mine = if me.uid == 0 { Who::ROOT } else { users };
        let place = layout::check(wished, mine).or_else(|error| match error {
            // Root may be asked to install where the user alone may write: the user does that part then.
            PlaceError::OfAnother(_) if me.uid == 0 => layout::check(wished, users),
            error => Err(error),
        });
        Ok(place?)
    };
    let wished = given.install_dir.as_deref().map(Path::new).map(&checked);
    let wished = wished.transpose().map_err(nowhere)?;
    // Beside a directory that was found fit; as root only where nobody else can lay a trap.
    let logged_at = wished
        .as_ref()
        .filter(|_| me.uid != 0 || user.uid.is_root())
        .map(|place| place.directory.clone());
    let until = may_install(&descriptor, &given).map_err(|error| (error, logged_at.clone()))?;
    let place = match (wished, kind) {
        (Some(place), _) => place,
        (None, Kind::Headless) => return Err(nowhere(InstallError::NoDirectory)),
        (None, Kind::Service) => {
            default_place(Path::new(SERVICE_FOLDER), &descriptor, checked).map_err(nowhere)?
        }
        (None, Kind::User) => {
            default_place(&home.join(USER_FOLDER), &descriptor, checked).map_err(nowhere)?
        }
    };
    let job = Order {
        descriptor: &descriptor,
        given: &given,
        kind,
        by_root: me.uid == 0,
        user: &user,
        home: &home,
    };
    job.carry_out(place, &until)
        .map_err(|error| (error, logged_at))
}

/// Whether the installer lets all that be (INST-04, INST-23); answers until when it is good.
fn may_install(descriptor: &Descriptor, given: &Parameters) -> Result<String, InstallError> {
    descriptor.may_override.check(given, Spelling::Dashes)?;
    let until = DateTime::from_timestamp_millis(descriptor.valid_until_ms.cast_signed());
    let until = until.map_or_else(String::new, |until| {
        until.format("%Y-%m-%d %H:%M UTC").to_string()
    });
    if now_ms() >= descriptor.valid_until_ms {
        return Err(InstallError::Expired(until));
    }
    Ok(until)
}

/// The place of a client that was told none; its folder is made.
fn default_place(
    folder: &Path,
    descriptor: &Descriptor,
    checked: impl Fn(&Path) -> Result<Place, InstallError>,
) -> Result<Place, InstallError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| InstallError::Write(folder.display().to_string(), error))?;
    checked(&folder.join(format!("bomgar-pec-{}", descriptor.installer_id)))
}

/// Who installs.
struct Me {
    uid: u32,
    /// The user who became root by sudo.
    sudo: Option<u32>,
}

impl Me {
    fn now() -> Self {
        let sudo = std::env::var("SUDO_UID")
            .ok()
            .and_then(|uid| uid.parse().ok());
        Self {
            uid: geteuid().as_raw(),
            sudo,
        }
    }
}

/// The user the client is to run as (INST-46, INST-47, CLNT-09).
fn user_of(kind: PackageKind, given: &Parameters, me: &Me) -> Result<User, InstallError> {
    let is_service = kind == PackageKind::Desktop && me.uid == 0;
    let by_id = |uid: u32| -> Result<User, InstallError> {
        let user = User::from_uid(Uid::from_raw(uid)).map_err(InstallError::Users)?;
        user.ok_or_else(|| InstallError::NoSuchUser(uid.to_string()))
    };
    let user = match &given.user {
        Some(name) => User::from_name(name)
            .map_err(InstallError::Users)?
            .ok_or_else(|| InstallError::NoSuchUser(name.clone()))?,
        None if me.uid != 0 => by_id(me.uid)?,
        // Whoever became root to install is who it is for.
        None if is_service => match me.sudo.filter(|uid| *uid != 0) {
            Some(uid) => by_id(uid)?,
            None => return Err(InstallError::ServiceWithoutUser),
        },
        None => return Err(InstallError::RootWithoutUser),
    };
    if me.uid != 0 && user.uid.as_raw() != me.uid {
        return Err(InstallError::AnotherUser(user.name));
    }
    if is_service && user.uid.is_root() {
        return Err(InstallError::ServiceWithoutUser);
    }
    Ok(user)
}

/// The home of the user. Whoever installs for themselves may have said where it is, as every program of theirs believes it.
fn home_of(user: &User, me: &Me, said: Option<PathBuf>) -> PathBuf {
    let is_own = |home: &PathBuf| {
        let metadata = std::fs::symlink_metadata(home);
        home.is_absolute()
            && home
                .to_str()
                .is_some_and(|home| !home.chars().any(char::is_control))
            && metadata.is_ok_and(|home| home.is_dir() && home.uid() == me.uid)
    };
    said.filter(|_| me.uid != 0)
        .filter(is_own)
        .unwrap_or_else(|| user.dir.clone())
}

/// An installation that may be.
struct Order<'a> {
    descriptor: &'a Descriptor,
    given: &'a Parameters,
    kind: Kind,
    by_root: bool,
    user: &'a User,
    home: &'a Path,
}

impl Order<'_> {
    fn carry_out(&self, place: Place, until: &str) -> Result<String, InstallError> {
        let layout = Layout::of(place.directory.clone());
        let mut installed = Installation::new(Installed {
            kind: self.kind,
            user: self.user.name.clone(),
            uid: self.user.uid.as_raw(),
            site: self.descriptor.site.clone(),
            installer_id: self.descriptor.installer_id.clone(),
            key_info: self.descriptor.key_info.clone(),
            overrides: self.given.overrides.clone(),
            valid_until_ms: self.descriptor.valid_until_ms,
            start_minimized: self.descriptor.start_minimized,
        });
        // A user without a home has no desktop that could start it.
        installed.autostart =
            scripts::autostart_path(self.home, &layout, &installed).filter(|_| self.home.is_dir());
        let keeps_programs = self.other().is_some() && place.is_roots;
        let job = Job {
            directory: place.directory,
            installation: installed.clone(),
            state_of: keeps_programs.then(|| (self.user.uid.as_raw(), self.user.gid.as_raw())),
        };
        match self.other() {
            Some(user) if !keeps_programs => errand::send(&Errand::Write(job), user)?,
            _ => installing::write(&job, Path::new(OWN_PROGRAM))?,
        }
        if self.kind == Kind::Headless {
            let is_roots = keeps_programs || self.user.uid.is_root();
            let owner = if is_roots { Owner::Root } else { Owner::User };
            return Ok(scripts::farewell(&layout, &installed, until, owner));
        }
        self.start(&layout, &installed)
            .inspect_err(|_| self.take_back(&layout, &installed, keeps_programs))?;
        Ok(format!(
            "The Jump Client of {} is installed in {} and runs as {}.\n",
            installed.site,
            layout.directory().display(),
            installed.user
        ))
    }

    /// The user, where root installs for somebody else.
    fn other(&self) -> Option<&User> {
        (self.by_root && !self.user.uid.is_root()).then_some(self.user)
    }

    /// Starts a client that is not headless: as a service of systemd where that runs, else by its own script.
    fn start(&self, layout: &Layout, installed: &Installation) -> Result<(), InstallError> {
        if installed.kind == Kind::Service
            && let Some(systemd) = Systemd::running()
        {
            return systemd
                .add(layout, installed)
                .map_err(starting::not_started);
        }
        match self.other() {
            // Its log and its process are the user's, wherever its programs are.
            Some(user) => errand::send(&Errand::Start(layout.directory().to_owned()), user),
            None => starting::by_script(layout),
        }
    }

    /// Takes away what does not start.
    fn take_back(&self, layout: &Layout, installed: &Installation, keeps_programs: bool) {
        let directory = layout.directory().to_owned();
        let gone = match self.other() {
            // All above is root's alone, and so is the directory.
            Some(_) if keeps_programs => std::fs::remove_dir_all(&directory)
                .map_err(|error| InstallError::Write(directory.display().to_string(), error)),
            // The user may have put anything in the place of a directory above by now.
            Some(user) => errand::send(&Errand::Remove(directory, installed.clone()), user),
            None => removing::take_back(layout, installed),
        };
        if let Err(error) = gone {
            tracing::error!(error = chain(&error), "what was begun could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(user: Option<&str>) -> Parameters {
        Parameters {
            user: user.map(str::to_owned),
            ..Parameters::default()
        }
    }

    fn name(
        kind: PackageKind,
        user: Option<&str>,
        uid: u32,
        sudo: Option<u32>,
    ) -> Result<String, String> {
        user_of(kind, &given(user), &Me { uid, sudo })
            .map(|user| user.name)
            .map_err(|error| error.to_string())
    }

    /// CLNT-06: whoever installs for themselves says where their home is, and nobody says where another's is.
    #[test]
    fn a_home_is_said_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let own = home.metadata().unwrap().uid();
        let mut user = User::from_uid(Uid::from_raw(65_534)).unwrap().unwrap();
        user.dir = "/nonexistent".into();
        let found = |uid: u32, said: &Path| {
            home_of(&user, &Me { uid, sudo: None }, Some(said.to_owned())) == said
        };
        // The folder belongs to whoever runs this; root's own word does not count.
        assert_eq!(found(own, &home), own != 0);
        assert!(!found(own + 1, &home));
        assert!(!found(own, Path::new("relative")));
        assert!(!found(own, &home.join("none")));
        let me = Me {
            uid: own,
            sudo: None,
        };
        assert_eq!(home_of(&user, &me, None), user.dir);
    }

    /// INST-44, INST-46, INST-47, CLNT-09
    #[test]
    fn a_client_runs_as_who_was_named_and_as_root_only_if_root_was() {
        use PackageKind::{Desktop, Headless};
        let nobody = 65_534;
        let cases = [
            (Headless, None, nobody, None, Ok("nobody")),
            (Headless, Some("nobody"), nobody, None, Ok("nobody")),
            (Headless, Some("nobody"), 0, None, Ok("nobody")),
            (Headless, Some("root"), 0, None, Ok("root")),
            (
                Headless,
                None,
                0,
                None,
                Err("not recommended to run the Jump Client as root"),
            ),
            (Headless, None, 0, Some(nobody), Err("--user <username>")),
            (
                Headless,
                Some("no-such-user"),
                0,
                None,
                Err("there is no user no-such-user"),
            ),
            (
                Headless,
                Some("root"),
                nobody,
                None,
                Err("only root can install for another user"),
            ),
            (Desktop, None, nobody, None, Ok("nobody")),
            (Desktop, Some("nobody"), 0, None, Ok("nobody")),
            (Desktop, None, 0, Some(nobody), Ok("nobody")),
            (Desktop, None, 0, None, Err("must not run as root")),
            (Desktop, None, 0, Some(0), Err("must not run as root")),
            (Desktop, Some("root"), 0, None, Err("must not run as root")),
        ];
        for (kind, user, uid, sudo, expected) in cases {
            let found = name(kind, user, uid, sudo);
            match expected {
                Ok(expected) => {
                    assert_eq!(found.as_deref(), Ok(expected), "{kind:?} {user:?} {uid}")
                }
                Err(said) => {
                    let error = found.unwrap_err();
                    assert!(error.contains(said), "{kind:?} {user:?} {uid}: {error}");
                }
            }
        }
    }
}
