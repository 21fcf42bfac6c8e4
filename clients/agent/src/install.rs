//! Installing a Jump Client on Linux, from inside the agent program, and taking it away (INST-44 to INST-50).
//!
//! The package (`link_protocol::package`) unpacks this program and runs `gatebook-agent install`. Nothing is written before
//! all that can be checked is checked, and nothing is left where something fails. The installer's key goes from the package
//! into a file of the client's user, never over a command line.
//!
//! - [`package_file`]: reading a package; [`layout`]: where files are, and which directories are fit; [`folders`]: making them
//! - [`installation`]: what an installation knows of itself; [`installing`]: writing it
//! - [`scripts`]: `init-script`, `uninstall`, the unit file; [`systemd`]: service mode; [`starting`]: the first start
//! - [`errand`]: what root leaves to the client's user; [`own_file`]: reading what somebody else may have put there
//! - [`running`]: the agent of an installation; [`log_file`]: its own log; [`removing`]: taking it away from inside
//! - [`who`]: the user a client is for; [`system_log`]: telling the operating system's log

pub mod installation;
pub mod layout;
pub mod package_file;
pub mod removing;
pub mod running;
pub mod scripts;
pub mod system_log;
pub mod systemd;

mod errand;
mod folders;
mod installing;
mod log_file;
mod own_file;
mod starting;
mod who;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::DateTime;
use link_protocol::package::Descriptor;
use link_protocol::parameters::{self, NotAllowed, ParameterError, Parameters, Spelling, System};
use nix::unistd::User;

use errand::Errand;
use folders::MadeFolders;
use installation::{Installation, Installed, Kind};
use installing::Job;
use layout::{Layout, Place, PlaceError, Who};
use package_file::PackageFileError;
use scripts::Owner;
use systemd::Systemd;
use who::{Me, home_of, user_of};

use crate::failures::chain;
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
        "this installer was valid until {until}, and by this machine's clock it is {now}; if the clock is wrong, set it; if the installer's time was extended, download it again; else create a new one"
    )]
    Expired {
        /// When it ended.
        until: String,
        /// What this machine's clock shows.
        now: String,
    },
    /// A headless client goes where it is told to.
    #[error("--install-dir <directory_path> is needed")]
    NoDirectory,
    /// Root installs for nobody in particular (INST-47).
    #[error(
        "warning: it is not recommended to run the Jump Client as root. Name the user that it is to run as: --user <username>"
    )]
    RootWithoutUser,
    /// Root is named as the user, and not allowed to be (CLNT-09).
    #[error(
        "the Jump Client is not to run as root: whoever uses it would be root on this machine. Name another user, or add --allow-root if that is meant"
    )]
    RootNotAllowed,
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
    /// Another process installs into the same directory at the moment.
    #[error("another installation into {0} is under way")]
    UnderWay(String),
    /// The program that was written can't be run where it is.
    #[error("programs can't be run from {0}, which may be on a file system that is mounted noexec")]
    DoesNotRun(String, #[source] io::Error),
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
    let (place, made) = match (wished, kind) {
        (Some(place), _) => (place, MadeFolders::default()),
        (None, Kind::Headless) => return Err(nowhere(InstallError::NoDirectory)),
        // The client's user must reach it.
        (None, Kind::Service) => {
            default_place(Path::new(SERVICE_FOLDER), 0o755, &descriptor, checked)
                .map_err(nowhere)?
        }
        (None, Kind::User) => {
            default_place(&home.join(USER_FOLDER), 0o700, &descriptor, checked).map_err(nowhere)?
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
    let done = job.carry_out(place, &until);
    if done.is_err() {
        made.undo();
    }
    done.map_err(|error| (error, logged_at))
}

/// Whether the installer lets all that be (INST-04, INST-23); answers until when it is good.
fn may_install(descriptor: &Descriptor, given: &Parameters) -> Result<String, InstallError> {
    descriptor.may_override.check(given, Spelling::Dashes)?;
    let until = shown_time(descriptor.valid_until_ms);
    let now = now_ms();
    if now >= descriptor.valid_until_ms {
        let now = shown_time(now);
        return Err(InstallError::Expired { until, now });
    }
    Ok(until)
}

fn shown_time(ms: u64) -> String {
    let time = DateTime::from_timestamp_millis(ms.cast_signed());
    time.map_or_else(String::new, |time| {
        time.format("%Y-%m-%d %H:%M UTC").to_string()
    })
}

/// The place of a client that was told none; its folder is made.
fn default_place(
    folder: &Path,
    mode: u32,
    descriptor: &Descriptor,
    checked: impl Fn(&Path) -> Result<Place, InstallError>,
) -> Result<(Place, MadeFolders), InstallError> {
    let made = MadeFolders::make(folder, mode)
        .map_err(|error| InstallError::Write(folder.display().to_string(), error))?;
    match checked(&folder.join(format!("bomgar-pec-{}", descriptor.installer_id))) {
        Ok(place) => Ok((place, made)),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
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
        let entries = installed.autostart.as_deref().and_then(Path::parent);
        let made = match entries {
            Some(folder) => MadeFolders::make(folder, 0o700)
                .map_err(|error| InstallError::Write(folder.display().to_string(), error))?,
            None => MadeFolders::default(),
        };
        let done = self.write_and_start(&place, &layout, &installed);
        if done.is_err() {
            made.undo();
        }
        let owner = done?;
        Ok(match self.kind {
            Kind::Headless => scripts::farewell(&layout, &installed, until, owner),
            Kind::Service | Kind::User => scripts::runs(&layout, &installed, Systemd::is_running()),
        })
    }

    /// Answers whose the programs are.
    fn write_and_start(
        &self,
        place: &Place,
        layout: &Layout,
        installed: &Installation,
    ) -> Result<Owner, InstallError> {
        let keeps_programs = self.other().is_some() && place.is_roots;
        let job = Job {
            directory: place.directory.clone(),
            installation: installed.clone(),
            state_of: keeps_programs.then(|| (self.user.uid.as_raw(), self.user.gid.as_raw())),
        };
        match self.other() {
            Some(user) if !keeps_programs => errand::send(&Errand::Write(job), user)?,
            _ => installing::write(&job, Path::new(OWN_PROGRAM))?,
        }
        if self.kind != Kind::Headless {
            self.start(layout, installed)
                .inspect_err(|_| self.take_back(layout, installed, keeps_programs))?;
        }
        let is_roots = keeps_programs || self.user.uid.is_root();
        Ok(if is_roots { Owner::Root } else { Owner::User })
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
                .and_then(|()| systemd.watch_first_try(layout, installed))
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

    /// CLNT-06: the client's user reaches a service in the folder that root made, whatever root's umask is; what fails leaves none.
    #[test]
    fn the_folder_of_services_is_open_to_their_users() {
        use std::os::unix::fs::PermissionsExt;
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("opt/bomgar");
        let descriptor = played_descriptor();
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let own = Who {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        };
        let found = default_place(&folder, 0o755, &descriptor, |path| {
            Ok(layout::check(path, own)?)
        });
        nix::sys::stat::umask(before);
        let (place, made) = found.unwrap();
        assert_eq!(place.directory.parent(), Some(folder.as_path()));
        let mode = folder.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o755);
        made.undo();
        assert!(!above.path().join("opt").exists());
        let refused = default_place(&folder, 0o755, &descriptor, |_| {
            Err(InstallError::NoDirectory)
        });
        assert!(refused.is_err() && !above.path().join("opt").exists());
    }

    fn played_descriptor() -> Descriptor {
        use link_protocol::package::{Described, PackageKind};
        use link_protocol::parameters::MayOverride;
        Descriptor::new(Described {
            kind: PackageKind::Desktop,
            platform: "linux-64".to_owned(),
            site: "localhost".to_owned(),
            installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
            key_info: link_protocol::Secret::new("key"),
            valid_until_ms: 1_000,
            may_override: MayOverride::default(),
            start_minimized: false,
        })
    }

    /// INST-04: whoever reads it sees whether the machine's clock is what is wrong.
    #[test]
    fn an_installer_that_is_over_shows_the_clock_it_was_judged_by() {
        let error = may_install(&played_descriptor(), &Parameters::default()).unwrap_err();
        let now = shown_time(now_ms());
        let day = now.split(' ').next().unwrap();
        let text = error.to_string();
        assert!(text.contains("valid until 1970-01-01 00:00 UTC"), "{text}");
        assert!(
            text.contains(&format!("by this machine's clock it is {day}")),
            "{text}"
        );
    }
}
