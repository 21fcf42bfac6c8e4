//! `gatebook-agent`: the Jump Client agent as a program.

use std::path::PathBuf;
use std::process::ExitCode;

use agent::{Agent, Endpoint, Machine, Options, Stopped, Store, TlsDial};
use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use link_protocol::{InstallMode, KeyInfo, Overrides};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// The status of a program that was refused for good; a service should not be started again then
/// (systemd: `RestartPreventExitStatus=3`).
const REFUSED: u8 = 3;

/// What `--jc-ephemeral` stands for (INST-32). Unit: minutes.
const EPHEMERAL_OFFLINE_MINUTES: u32 = 5;

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
    Run(Box<Run>),
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
    #[arg(long, value_name = "DIR", env = "GATEBOOK_AGENT_STATE")]
    state: PathBuf,
    /// PEM file of certificates to trust on top of those the key names.
    #[arg(long, value_name = "FILE", env = "GATEBOOK_AGENT_TRUST_FILE")]
    trust_file: Option<PathBuf>,
    /// How the agent was installed.
    #[arg(long, value_enum, default_value = "service")]
    install_mode: Mode,
    /// Name of the client, if the installer allows another.
    #[arg(long)]
    jc_name: Option<String>,
    /// `user:<username>` or `jumpgroup:<code name>`, if the installer allows another.
    #[arg(long)]
    jc_jump_group: Option<String>,
    /// Code name of the Jump Policy, if the installer allows another.
    #[arg(long)]
    jc_jump_policy: Option<String>,
    /// Code name of the session policy, if the installer allows another.
    #[arg(long)]
    jc_session_policy: Option<String>,
    /// Minutes offline before the client is deleted, if the installer allows another value.
    #[arg(long)]
    jc_max_offline_minutes: Option<u32>,
    /// The same as --jc-max-offline-minutes 5.
    #[arg(long)]
    jc_ephemeral: bool,
    /// Tag, if the installer allows another.
    #[arg(long)]
    jc_tag: Option<String>,
    /// Comments, if the installer allows others.
    #[arg(long)]
    jc_comments: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Service,
    User,
}

fn main() -> ExitCode {
    let Command::Run(run) = Cli::parse().command;
    // Only `tracing`, not the records of the crate `log`: there the WebSocket library writes whole
    // frames, tokens and all, when somebody asks for traces.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .finish();
    tracing::subscriber::set_global_default(log).expect("nothing has set another one before");
    match start(*run) {
        Ok(Stopped::Told) => ExitCode::SUCCESS,
        Ok(Stopped::Refused(refused)) => {
            eprintln!("gatebook-agent: refused by the server: {}", refused.message);
            ExitCode::from(REFUSED)
        }
        Err(error) => {
            eprintln!("gatebook-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn start(run: Run) -> anyhow::Result<Stopped> {
    let overrides = overrides(&run)?;
    let key = run.key.as_deref().map(KeyInfo::decode).transpose()?;
    let servers: Vec<Endpoint> = run
        .server
        .iter()
        .map(|url| {
            url.parse()
                .with_context(|| format!("the server address {url} is not usable"))
        })
        .collect::<anyhow::Result<_>>()?;
    let dial = match &run.trust_file {
        None => TlsDial::default(),
        Some(path) => TlsDial::trusting_file(path)
            .with_context(|| format!("could not read certificates from {}", path.display()))?,
    };
    let mode = match run.install_mode {
        Mode::Service => InstallMode::Service,
        Mode::User => InstallMode::User,
    };
    let store = Store::open(run.state)?;
    let options = Options {
        key,
        servers,
        overrides,
    };
    let mut agent = Agent::new(dial, store, Machine::new(mode), options).await?;
    let (stop, told) = watch::channel(false);
    let signals = tokio::spawn(stop_on_signal(stop));
    let stopped = agent.run(told).await;
    signals.abort();
    Ok(stopped?)
}

fn overrides(run: &Run) -> anyhow::Result<Overrides> {
    let max_offline_minutes = match (run.jc_ephemeral, run.jc_max_offline_minutes) {
        (true, None | Some(EPHEMERAL_OFFLINE_MINUTES)) => Some(EPHEMERAL_OFFLINE_MINUTES),
        (true, Some(_)) => {
            bail!("--jc-ephemeral and --jc-max-offline-minutes contradict each other")
        }
        (false, minutes) => minutes,
    };
    Ok(Overrides {
        name: run.jc_name.clone(),
        jump_group: run.jc_jump_group.clone(),
        jump_policy: run.jc_jump_policy.clone(),
        session_policy: run.jc_session_policy.clone(),
        max_offline_minutes,
        tag: run.jc_tag.clone(),
        comments: run.jc_comments.clone(),
    })
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

    fn run(arguments: &[&str]) -> Run {
        let arguments = ["gatebook-agent", "run", "--state", "s"]
            .iter()
            .chain(arguments);
        let Command::Run(run) = Cli::try_parse_from(arguments).unwrap().command;
        *run
    }

    /// INST-32
    #[test]
    fn ephemeral_is_five_offline_minutes_and_contradicts_any_other_number() {
        for (arguments, minutes) in [
            (&[][..], Some(None)),
            (&["--jc-ephemeral"], Some(Some(5))),
            (&["--jc-max-offline-minutes", "7"], Some(Some(7))),
            (
                &["--jc-ephemeral", "--jc-max-offline-minutes", "5"],
                Some(Some(5)),
            ),
            (&["--jc-ephemeral", "--jc-max-offline-minutes", "7"], None),
        ] {
            let overrides = overrides(&run(arguments)).ok();
            assert_eq!(
                overrides.map(|o| o.max_offline_minutes),
                minutes,
                "{arguments:?}"
            );
        }
    }
}
