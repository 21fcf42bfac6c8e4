//! The agent of an installation: it runs with what was written at install, and takes its installation away when it is over.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use link_protocol::{KeyInfo, KeyInfoError, RefusedCode};
use tokio::sync::watch;

use super::installation::{Installation, InstallationError, remove_if_there};
use super::layout::Layout;
use super::log_file::keep_bounded;
use super::removing::{Left, remove};
use super::system_log;
use crate::agent::{Agent, AgentError, Options, Stopped};
use crate::dial::Dial;
use crate::machine::{DISABLED, Machine};
use crate::store::{Store, StoreError};

/// How long the site is given to hear that a client is uninstalled.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// How an installed agent ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// As any agent does.
    Stopped(Stopped),
    /// It could not connect while its installer was valid, and removed itself (INST-05).
    NotInTime,
}

/// Why an installed agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The installation can't be read.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// Its key can't be read.
    #[error(transparent)]
    Key(#[from] KeyInfoError),
    /// Its state can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The agent can't run.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Its process could not be noted.
    #[error("{0} can't be written")]
    ProcessId(String, #[source] io::Error),
}

/// Runs the agent of the installation in `directory` until `stop` says true or it is over.
///
/// # Errors
/// [`RunError`].
pub async fn run<D: Dial>(
    directory: &Path,
    dial: D,
    stop: watch::Receiver<bool>,
) -> Result<Ended, RunError> {
    let layout = Layout::of(directory.to_owned());
    let mut installation = Installation::load(&layout)?;
    let store = Store::open(layout.state())?;
    note_process(&layout)?;
    let mut registered = store.registered();
    if *registered.borrow() {
        installation.forget_key(&layout)?;
    }
    // The time in the package may have been extended since it was made (INST-12): while the site is there, it decides.
    let until = installation.valid_until_ms.div_ceil(1_000);
    let agent = agent(&layout, &installation, store, dial).await?;
    let mut agent = agent.giving_up_at(i64::try_from(until).unwrap_or(i64::MAX));
    tracing::info!(
        kind = ?installation.kind,
        start_minimized = installation.start_minimized,
        "the Jump Client starts"
    );
    let stopped = {
        let mut running = std::pin::pin!(async {
            tokio::select! {
                stopped = agent.run(stop) => stopped,
                never = keep_bounded(&layout) => match never {},
            }
        });
        // Answers no more than that: what it looks through must not stay locked while the agent goes on.
        let comes = async { registered.wait_for(|is| *is).await.is_ok() };
        tokio::select! {
            stopped = &mut running => stopped?,
            true = comes, if installation.key_info.is_some() => {
                if let Err(error) = installation.forget_key(&layout) {
                    tracing::error!(error = &error as &dyn std::error::Error, "the installer's key is still there");
                }
                running.await?
            }
        }
    };
    drop(agent);
    let registered = *registered.borrow();
    finish(&layout, &mut installation, &stopped, registered)?;
    Ok(match stopped {
        Stopped::NotInTime => Ended::NotInTime,
        stopped => Ended::Stopped(stopped),
    })
}

async fn agent<D: Dial>(
    layout: &Layout,
    installation: &Installation,
    store: Store,
    dial: D,
) -> Result<Agent<D>, RunError> {
    let key = installation.key_info.as_ref();
    let key = key.map(|key| KeyInfo::decode(key.expose())).transpose()?;
    let options = Options {
        key,
        servers: Vec::new(),
        overrides: installation.overrides.clone(),
    };
    let machine = Machine::new(installation.kind.mode()).disabled_by(layout.state().join(DISABLED));
    Ok(Agent::new(dial, store, machine, options).await?)
}

/// What an ended agent leaves.
fn finish(
    layout: &Layout,
    installation: &mut Installation,
    stopped: &Stopped,
    registered: bool,
) -> Result<(), RunError> {
    match stopped {
        Stopped::NotInTime => {
            go(
                layout,
                installation,
                "it could not connect while its installer was valid",
            );
        }
        Stopped::Expired { minutes, .. } => {
            let why = format!("its site was not reached for {minutes} minutes");
            go(layout, installation, &why);
        }
        Stopped::Refused(refused) => {
            // Whatever the site has against a machine that was never its client: there is nothing here to keep, and the key
            // may still be good elsewhere.
            let at_first = !registered;
            let is_gone =
                refused.code == RefusedCode::ClientRemoved && installation.kind.goes_when_removed();
            if at_first || is_gone {
                go(layout, installation, &refused.message);
            } else {
                let message = format!("the Jump Client was refused: {}", refused.message);
                system_log::write(&message, Some(layout.directory()));
                remove_process_id(layout)?;
            }
        }
        Stopped::Told => {
            if registered {
                installation.forget_key(layout)?;
            }
            remove_process_id(layout)?;
        }
    }
    Ok(())
}

/// Takes the installation away, and says why in the system's log.
fn go(layout: &Layout, installation: &Installation, why: &str) {
    let removed = remove(layout, installation);
    let outcome = match &removed {
        Ok(Left::Nothing) => "and was removed".to_owned(),
        Ok(Left::Programs) => format!(
            "and removed what it may; run {} as root",
            layout.uninstall().display()
        ),
        Err(error) => format!("and could not be removed: {error}"),
    };
    let message = format!("installation failed or over: {why}; the Jump Client ended {outcome}");
    tracing::error!(why, outcome, "the Jump Client is over");
    system_log::write(&message, Some(layout.directory()));
}

/// Tells the site that the client in `directory` is uninstalled (CLNT-23). Answers whether it has written that down.
///
/// # Errors
/// [`RunError`].
pub async fn say_uninstalling<D: Dial>(directory: &Path, dial: D) -> Result<bool, RunError> {
    let layout = Layout::of(directory.to_owned());
    let installation = Installation::load(&layout)?;
    let store = Store::open(layout.state())?;
    if store.state().is_none_or(|state| state.client.is_none()) {
        // The site knows of no client.
        return Ok(true);
    }
    let mut agent = agent(&layout, &installation, store, dial).await?;
    Ok(agent.say_uninstalling(TOLD_WITHIN).await?)
}

fn note_process(layout: &Layout) -> Result<(), RunError> {
    let path = layout.process_id();
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    written.map_err(|error| RunError::ProcessId(path.display().to_string(), error))
}

fn remove_process_id(layout: &Layout) -> Result<(), RunError> {
    let path = layout.process_id();
    remove_if_there(&path).map_err(|error| RunError::ProcessId(path.display().to_string(), error))
}
