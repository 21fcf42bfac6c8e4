//! The agent of an installation: it runs with what was written at install, and takes its installation away when it is over.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use link_protocol::{KeyInfo, KeyInfoError, RefusedCode};
use tokio::sync::watch;
use tokio::time::sleep;

use super::installation::{Installation, InstallationError, remove_if_there};
use super::layout::Layout;
use super::removing::{Left, remove};
use super::{now_ms, system_log};
use crate::agent::{Agent, AgentError, Options, Stopped};
use crate::dial::Dial;
use crate::machine::Machine;
use crate::store::{Store, StoreError};

/// Longest sleep before the clock is asked again: a machine that slept has another time of day.
const LOOK_EVERY: Duration = Duration::from_secs(30);
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
    let has_identity = |store: &Store| store.state().is_some_and(|state| state.client.is_some());
    let is_new = !has_identity(&store);
    if is_new && is_over(&installation) {
        go(
            &layout,
            &installation,
            "its installer ran out before it was started",
        );
        return Ok(Ended::NotInTime);
    }
    if !is_new {
        installation.forget_key(&layout)?;
    }
    let mut agent = agent(&layout, &installation, store, dial).await?;
    let ended = {
        let mut running = std::pin::pin!(agent.run(stop));
        let mut waits = is_new;
        loop {
            tokio::select! {
                stopped = &mut running => break Ended::Stopped(stopped?),
                () = sleep(until_over(&installation)), if waits => {
                    if registered(&layout) {
                        waits = false;
                    } else if is_over(&installation) {
                        break Ended::NotInTime;
                    }
                }
            }
        }
    };
    drop(agent);
    finish(&layout, &mut installation, &ended)?;
    Ok(ended)
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
    let machine =
        Machine::new(installation.kind.mode()).disabled_by(layout.state().join("disabled"));
    Ok(Agent::new(dial, store, machine, options).await?)
}

/// What an ended agent leaves.
fn finish(layout: &Layout, installation: &mut Installation, ended: &Ended) -> Result<(), RunError> {
    match ended {
        Ended::NotInTime => {
            go(
                layout,
                installation,
                "it could not connect while its installer was valid",
            );
        }
        Ended::Stopped(Stopped::Expired { minutes, .. }) => {
            let why = format!("its site was not reached for {minutes} minutes");
            go(layout, installation, &why);
        }
        Ended::Stopped(Stopped::Refused(refused)) => {
            let at_first = matches!(
                refused.code,
                RefusedCode::InstallerNotValid | RefusedCode::OverrideNotAllowed
            ) && !registered(layout);
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
        Ended::Stopped(Stopped::Told) => {
            if registered(layout) {
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

fn is_over(installation: &Installation) -> bool {
    now_ms() >= installation.valid_until_ms
}

fn until_over(installation: &Installation) -> Duration {
    let left = installation.valid_until_ms.saturating_sub(now_ms());
    Duration::from_millis(left.max(1)).min(LOOK_EVERY)
}

/// Whether there is an identity on disk by now.
fn registered(layout: &Layout) -> bool {
    crate::store::has_identity(&layout.state())
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
