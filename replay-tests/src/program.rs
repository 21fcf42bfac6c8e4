//! The real programs as processes of their own, on loopback, ended by their process id.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use eventstore::Location;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Where the built program `name` is: `cargo xtask` says so in `variable`; else beside this test's own folder.
///
/// # Errors
/// When it was not built.
pub fn built(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("this program has no path")?;
    let folder = own
        .ancestors()
        .find(|folder| folder.join(name).is_file())
        .with_context(|| format!("{name} is not built: run cargo xtask test"))?;
    Ok(folder.join(name))
}

/// A free port on loopback, as far as anyone can tell.
///
/// # Errors
/// When loopback can't be bound at all.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A process that is ended when this value goes.
pub struct Running {
    child: Child,
    /// What it is called in messages.
    name: String,
}

impl Running {
    /// Starts `command`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    /// What it writes on stderr, where that is a pipe.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("a process id is small")?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("{} can't be signalled", self.name))
    }

    /// Ends it at once, as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.end_at_once()
    }

    fn end_at_once(&mut self) -> Result<()> {
        // It may have ended by itself; waiting tells.
        let _ = self.child.kill();
        self.child
            .wait()
            .with_context(|| format!("{} can't be waited for", self.name))?;
        Ok(())
    }

    /// Asks it to end and waits.
    ///
    /// # Errors
    /// When it does not end within half a minute, or ends badly.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("{} ended with {status}", self.name);
            }
            pause();
        }
        bail!("{} did not end when asked", self.name)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the process can't be asked.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end_at_once() {
            eprintln!("{error:#}");
        }
    }
}

/// How a node of a site is started: always the same folder, database and ports.
pub struct Site {
    /// The node's folder.
    pub data: PathBuf,
    /// The log, where it is not in the folder.
    pub database: Option<String>,
    /// A key file shared with other nodes.
    pub key_file: Option<PathBuf>,
    /// The node's name.
    pub node: String,
    /// HTTPS.
    pub https: SocketAddr,
    /// Plain HTTP for tests.
    pub http: SocketAddr,
}

impl Site {
    /// A site whose log is at `location`, with files in `folder`.
    ///
    /// # Errors
    /// When there are no free ports.
    pub fn at(location: &Location, folder: &Path) -> Result<Self> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (data, database) = match location {
            Location::Sqlite { directory } => (directory.clone(), None),
            Location::Postgres { url } => (folder.join("node"), Some(url.clone())),
        };
        Ok(Self {
            data,
            database,
            key_file: None,
            node: "one".to_owned(),
            https: local(free_port()?),
            http: local(free_port()?),
        })
    }

    /// A further node of the same PostgreSQL site.
    ///
    /// # Errors
    /// When there are no free ports.
    pub fn further_node(&self, folder: &Path, name: &str) -> Result<Self> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self {
            data: folder.join(name),
            database: self.database.clone(),
            key_file: Some(
                self.key_file
                    .clone()
                    .unwrap_or_else(|| self.data.join("key")),
            ),
            node: name.to_owned(),
            https: local(free_port()?),
            http: local(free_port()?),
        })
    }

    /// Starts the node and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn serve(&self) -> Result<Running> {
        self.serve_by(&[])
    }

    /// Starts the node by a program that becomes it, with the program's own arguments, and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn serve_by(&self, starter: &[&str]) -> Result<Running> {
        let mut running = Running::start("gatebook serve", &mut self.serve_command(starter)?)?;
        self.wait_until_ready(&mut running)?;
        Ok(running)
    }

    /// Starts the node with its log written to `stderr`, and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn serve_logging(&self, level: &str, stderr: Stdio) -> Result<Running> {
        self.serve_logging_by(&[], level, stderr)
    }

    /// The same by a program that becomes it; see [`Site::serve_by`].
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn serve_logging_by(
        &self,
        starter: &[&str],
        level: &str,
        stderr: Stdio,
    ) -> Result<Running> {
        let mut command = self.serve_command(starter)?;
        command.env("RUST_LOG", level).stderr(stderr);
        let mut running = Running::start("gatebook serve", &mut command)?;
        self.wait_until_ready(&mut running)?;
        Ok(running)
    }

    fn serve_command(&self, starter: &[&str]) -> Result<Command> {
        let gatebook = built("gatebook", "GATEBOOK_BIN")?;
        let mut command = match starter {
            [] => Command::new(gatebook),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(gatebook);
                command
            }
        };
        command
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .args(["--node", &self.node])
            .args(["--listen", &self.https.to_string()])
            .args(["--listen-http", &self.http.to_string()])
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()),
            );
        if let Some(database) = &self.database {
            command.args(["--database", database]);
        }
        if let Some(key_file) = &self.key_file {
            command.arg("--key-file").arg(key_file);
        }
        Ok(command)
    }

    fn wait_until_ready(&self, running: &mut Running) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until {
            if !running.is_running()? {
                bail!("the server ended before it answered");
            }
            if healthy(self.http) {
                return Ok(());
            }
            pause();
        }
        bail!("the server does not answer at {}", self.http)
    }

    /// What the first start left in `first-run.json`.
    ///
    /// # Errors
    /// When the file is not there or not readable.
    pub fn first_run(&self) -> Result<Value> {
        let file = self.data.join("first-run.json");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("reading {}", file.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The plain HTTP address, as a URL without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }
}

/// Whether `/check_health` answers 200, asked over a bare socket so that no client has to be made for it.
fn healthy(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))
    else {
        return false;
    };
    let request =
        format!("GET /check_health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .is_ok()
        && stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// An agent for the server at `url`, with its identity in `state`.
///
/// # Errors
/// When it can't be started.
pub fn agent(url: &str, key_info: &str, state: &Path) -> Result<Running> {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    agent_logging(url, key_info, state, &level, Stdio::inherit())
}

/// The same with its log written to `stderr`.
///
/// # Errors
/// When it can't be started.
pub fn agent_logging(
    url: &str,
    key_info: &str,
    state: &Path,
    level: &str,
    stderr: Stdio,
) -> Result<Running> {
    let mut command = Command::new(built("gatebook-agent", "GATEBOOK_AGENT_BIN")?);
    command
        .arg("run")
        .args(["--server", url, "--state"])
        .arg(state)
        .env("GATEBOOK_AGENT_KEY", key_info)
        .env("RUST_LOG", level)
        .stderr(stderr);
    Running::start("gatebook-agent", &mut command)
}

/// An agent that has its identity in `state` already, for the server at `url`.
///
/// # Errors
/// When it can't be started.
pub fn resumed_agent(url: &str, state: &Path) -> Result<Running> {
    let mut command = Command::new(built("gatebook-agent", "GATEBOOK_AGENT_BIN")?);
    command
        .args(["run", "--server", url, "--state"])
        .arg(state)
        .env("RUST_LOG", "warn");
    Running::start("gatebook-agent", &mut command)
}

/// Waits a little for another process. Tests call this on threads of their own or before their runtime has other work.
#[allow(
    clippy::disallowed_methods,
    reason = "these functions are not async: they also serve tests without a runtime"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
