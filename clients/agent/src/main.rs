//! `gatebook-agent`: the Jump Client agent as a program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agent::proxy::Proxy;
use agent::{Agent, DISABLED, Endpoint, Machine, Options, Stopped, Store, TlsDial};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use link_protocol::parameters::{MayOverride, Parameters, Spelling, System, parse};
use link_protocol::{InstallMode, KeyInfo};
use tokio::sync::watch;

/// The status of a program that was refused for good; a service should not be started again then
/// (systemd: `RestartPreventExitStatus=3`).
const REFUSED: u8 = 3;

/// The status of a program whose site was away for longer than the client may live without it (CLNT-19).
const EXPIRED: u8 = 4;

/// How long the program's threads may take to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(3);

/// The state folder of an install directory.
#[cfg(unix)]
const STATE: &str = "state";

#[derive(Parser)]
#[command(
    name = "gatebook-agent",
    version,
    about = "Keeps this machine reachable through Gatebook"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Register if need be, and stay connected until SIGTERM.
    ///
    /// The parameters of an installation, such as --jc-name or --jc-tag, can be given as well.
    Run(Box<Run>),
    /// Switch the client off: no session starts here until it is switched on again (CLNT-29).
    Disable(Switch),
    /// Switch the client on again.
    Enable(Switch),
    /// Install from a package; `sh bomgar-pec-{uid}.bin` runs this.
    #[cfg(unix)]
    Install {
        /// The package.
        #[arg(long, value_name = "FILE")]
        package: PathBuf,
    },
    /// The part of an installation that root leaves to the client's user.
    #[cfg(unix)]
    #[command(hide = true, name = agent::install::AS_USER)]
    InstallAsUser,
    /// Tell the site that this client is uninstalled; the script `uninstall` runs this.
    #[cfg(unix)]
    Uninstall {
        /// The install directory.
        #[arg(long, value_name = "DIR")]
        installation: PathBuf,
        /// PEM file of certificates to trust on top of those the key names.
        #[arg(long, value_name = "FILE", env = "GATEBOOK_AGENT_TRUST_FILE")]
        trust_file: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Switch {
    /// Folder with this machine's identity; `state` in an install directory.
    #[arg(long, value_name = "DIR", env = "GATEBOOK_AGENT_STATE")]
    state: PathBuf,
}

impl Switch {
    /// Puts the file there, or takes it away, that says that the client is switched off.
    fn set(&self, disabled: bool) -> anyhow::Result<()> {
        let file = self.state.join(DISABLED);
        let done = if disabled {
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&file)
                .map(drop)
        } else {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        };
        done.with_context(|| format!("could not change {}", file.display()))?;
        let is = if disabled { "off" } else { "on" };
        // Whoever closed the output does not want to know.
        let _ = output::result(format_args!(
            "The Jump Client is switched {is}. Its site knows within seconds if the client is connected, else when it connects next."
        ));
        Ok(())
    }
}

#[derive(Args)]
struct Run {
    /// Address of the server instead of those in the key: https://host[:port]. May be repeated.
    #[arg(
        long,
        value_name = "URL",
        env = "GATEBOOK_AGENT_SERVER",
        value_delimiter = ','
    )]
    server: Vec<String>,
    /// The installer's key; needed until this machine has an identity.
    #[arg(
        long,
        value_name = "KEY_INFO",
        env = "GATEBOOK_AGENT_KEY",
        hide_env_values = true
    )]
    key: Option<String>,
    /// Folder for this machine's identity. One agent at a time uses it.
    #[arg(
        long,
        value_name = "DIR",
        env = "GATEBOOK_AGENT_STATE",
        required_unless_present = "installation"
    )]
    state: Option<PathBuf>,
    /// Run what was installed in this directory; everything else was said at install.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "key", "state"])]
    installation: Option<PathBuf>,
    /// PEM file of certificates to trust on top of those the key names.
    #[arg(long, value_name = "FILE", env = "GATEBOOK_AGENT_TRUST_FILE")]
    trust_file: Option<PathBuf>,
    /// How the agent was installed.
    #[arg(long, value_enum, default_value = "service")]
    install_mode: Mode,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Service,
    User,
}

fn main() -> ExitCode {
    let (words, parameters) = split(std::env::args());
    let command = Cli::parse_from(words).command;
    output::log::start(output::log::Format::Text, "info");
    let ended = match command {
        Command::Disable(switch) => switch.set(true).map(|()| Ended::Well),
        Command::Enable(switch) => switch.set(false).map(|()| Ended::Well),
        #[cfg(unix)]
        Command::Install { package } => return agent::install::run(&package, &parameters),
        #[cfg(unix)]
        Command::InstallAsUser => return agent::install::run_as_user(),
        #[cfg(unix)]
        Command::Uninstall {
            installation,
            trust_file,
        } => finished(uninstalling(&installation, trust_file.as_deref())),
        #[cfg(unix)]
        Command::Run(run) if run.installation.is_some() => finished(installed(*run, &parameters)),
        Command::Run(run) => finished(start(*run, &parameters)).map(Ended::Agent),
    };
    match ended {
        Ok(Ended::Well | Ended::Agent(Stopped::Told)) => ExitCode::SUCCESS,
        Ok(Ended::NotInTime | Ended::Agent(Stopped::NotInTime)) => {
            output::message(
                "gatebook-agent: the installer ran out before this client could connect; it was removed",
            );
            ExitCode::from(REFUSED)
        }
        #[cfg(unix)]
        Ok(Ended::NotInstalled(error)) => {
            output::message(format_args!("gatebook-agent: {error}"));
            ExitCode::from(REFUSED)
        }
        Ok(Ended::Agent(Stopped::Refused(refused))) => {
            output::message(format_args!(
                "gatebook-agent: refused by the server: {}",
                refused.message
            ));
            ExitCode::from(REFUSED)
        }
        Ok(Ended::Agent(Stopped::Expired { minutes, .. })) => {
            output::message(format_args!(
                "gatebook-agent: the site was not reached for {minutes} minutes, the longest it allows; this client is over"
            ));
            ExitCode::from(EXPIRED)
        }
        Err(error) => {
            output::message(format_args!("gatebook-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// How a command ended that did not fail.
enum Ended {
    /// All is done.
    Well,
    /// An agent ran.
    Agent(Stopped),
    /// An installed agent could not connect in time, and is gone (INST-05).
    NotInTime,
    /// There is none any more; a service that is still there is not to start it again.
    #[cfg(unix)]
    NotInstalled(agent::install::installation::InstallationError),
}

/// Takes the parameters of an installation out of a command line: for `install` all that is not its own, else all that begin
/// with `--jc-`, each with the words up to the next option. They have a parser of their own, the same for every package.
fn split(words: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let (mut own, mut parameters) = (Vec::new(), Vec::new());
    let mut words = words.peekable();
    let mut is_install = false;
    while let Some(word) = words.next() {
        let is_second = own.len() == 1 && parameters.is_empty();
        is_install |= is_second && word == "install";
        let is_own = own.len() < 2
            || (is_install && own.len() < 4)
            || (!is_install && !word.starts_with("--jc-"));
        if is_own {
            own.push(word);
            continue;
        }
        parameters.push(word);
        while let Some(word) = words.next_if(|word| !word.starts_with("--")) {
            parameters.push(word);
        }
    }
    (own, parameters)
}

/// What `run` was told of the installation's parameters. Whether they may be set, the server says.
fn read_parameters(words: &[String]) -> anyhow::Result<Parameters> {
    let given = parse(Spelling::Dashes, System::Linux, words)?;
    let all = MayOverride {
        name: true,
        jump_group: true,
        jump_policy: true,
        session_policy: true,
        max_offline_minutes: true,
        tag: true,
        comments: true,
    };
    all.check(&given, Spelling::Dashes)?;
    Ok(given)
}

/// Connections that trust what was said at start, and go through the proxy of the folder's `settings.ini`.
fn dial(trust_file: Option<&Path>, folder: &Path) -> anyhow::Result<TlsDial> {
    let dial = match trust_file {
        None => TlsDial::default(),
        Some(path) => TlsDial::trusting_file(path)
            .with_context(|| format!("could not read certificates from {}", path.display()))?,
    };
    Ok(dial.through(Proxy::of(folder)?))
}

/// Does `work`, and waits at its end only so long for threads that nothing can stop, such as one in which a resolver hangs.
fn finished<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads could be started")?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(STOPPED_WITHIN);
    done
}

#[cfg(unix)]
async fn installed(run: Run, parameters: &[String]) -> anyhow::Result<Ended> {
    use agent::install::installation::InstallationError;
    use agent::install::running::{self, RunError};
    anyhow::ensure!(
        parameters.is_empty(),
        "{} was said at install and can't be changed by starting",
        parameters[0]
    );
    let directory = run.installation.context("the install directory")?;
    let dial = dial(run.trust_file.as_deref(), &directory.join(STATE))?;
    let (stop, told) = watch::channel(false);
    let signals = tokio::spawn(stop_on_signal(stop));
    let ended = running::run(&directory, dial, told).await;
    signals.abort();
    Ok(match ended {
        Err(RunError::Installation(none @ InstallationError::None(_))) => Ended::NotInstalled(none),
        ended => match ended? {
            running::Ended::Stopped(stopped) => Ended::Agent(stopped),
            running::Ended::NotInTime => Ended::NotInTime,
        },
    })
}

#[cfg(unix)]
async fn uninstalling(directory: &Path, trust_file: Option<&Path>) -> anyhow::Result<Ended> {
    let told = agent::install::running::say_uninstalling(
        directory,
        dial(trust_file, &directory.join(STATE))?,
    )
    .await?;
    if !told {
        output::message(
            "gatebook-agent: the site could not be reached; its item stays there, offline, until it is removed",
        );
    }
    Ok(Ended::Well)
}

async fn start(run: Run, parameters: &[String]) -> anyhow::Result<Stopped> {
    let overrides = read_parameters(parameters)?.overrides;
    let key = run.key.as_deref().map(KeyInfo::decode).transpose()?;
    let servers: Vec<Endpoint> = run
        .server
        .iter()
        .map(|url| {
            url.parse()
                .with_context(|| format!("the server address {url} is not usable"))
        })
        .collect::<anyhow::Result<_>>()?;
    let mode = match run.install_mode {
        Mode::Service => InstallMode::Service,
        Mode::User => InstallMode::User,
    };
    let state = run.state.context("the state folder")?;
    let dial = dial(run.trust_file.as_deref(), &state)?;
    // There while the user has switched the client off: `gatebook-agent disable`.
    let disabled = state.join(DISABLED);
    let store = Store::open(state)?;
    let options = Options {
        key,
        servers,
        overrides,
    };
    let mut agent = Agent::new(
        dial,
        store,
        Machine::new(mode).disabled_by(disabled),
        options,
    )
    .await?;
    let (stop, told) = watch::channel(false);
    let signals = tokio::spawn(stop_on_signal(stop));
    let stopped = agent.run(told).await;
    signals.abort();
    Ok(stopped?)
}

/// Says stop at the first SIGTERM or SIGINT. A second SIGINT or SIGTERM does nothing more: goodbye is
/// bounded in time.
async fn stop_on_signal(stop: watch::Sender<bool>) {
    if let Err(error) = asked_to_stop().await {
        tracing::error!(%error, "signals can't be received; the agent stops only when killed");
        std::future::pending::<()>().await;
    }
    tracing::info!("stopping");
    // Nobody listens any more only when the agent has stopped by itself.
    let _ = stop.send(true);
    // Kept alive: dropping it would mean stop as well, but so does this.
    stop.closed().await;
}

#[cfg(unix)]
async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn asked_to_stop() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// INST-36: one parser for every package, and for an agent that is run without one.
    #[test]
    fn parameters_are_told_from_options_wherever_they_stand() {
        for (line, own, parameters) in [
            ("a run --state s", "a run --state s", ""),
            (
                "a run --jc-name web 1 --state s --jc-ephemeral --key k",
                "a run --state s --key k",
                "--jc-name web 1 --jc-ephemeral",
            ),
            (
                "a install --package p --install-dir d --jc-tag t --silent",
                "a install --package p",
                "--install-dir d --jc-tag t --silent",
            ),
            (
                "a install --package p stray",
                "a install --package p",
                "stray",
            ),
            ("a --version", "a --version", ""),
        ] {
            let (found, given) = split(words(line).into_iter());
            assert_eq!((found, given), (words(own), words(parameters)), "{line}");
        }
    }

    /// INST-32, INST-51
    #[test]
    fn ephemeral_is_five_offline_minutes_and_contradicts_any_other_number() {
        for (line, minutes) in [
            ("", Some(None)),
            ("--jc-ephemeral", Some(Some(5))),
            ("--jc-max-offline-minutes 7", Some(Some(7))),
            ("--jc-ephemeral --jc-max-offline-minutes 5", Some(Some(5))),
            ("--jc-ephemeral --jc-max-offline-minutes 7", None),
            ("--jc-public-site-address x", None),
        ] {
            let read = read_parameters(&words(line)).ok();
            let found = read.map(|read| read.overrides.max_offline_minutes);
            assert_eq!(found, minutes, "{line}");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
