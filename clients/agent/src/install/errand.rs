//! What root leaves to the client's user: everything in a directory of that user. Whoever owns one of the directories above can put
//! another in its place at any moment, so root must not write, read or remove anything there (threat R).
//!
//! Root starts this program anew as that user and sends it the errand through a pipe: the key goes over no command line. What comes
//! back is believed no more than any other text of that user.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::unistd::{User, getegid, geteuid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::installation::Installation;
use super::installing::{self, Job};
use super::layout::{self, Layout, Who};
use super::{InstallError, OWN_PROGRAM, chain, removing, starting, system_log};

/// Under which word this program does an errand.
pub const AS_USER: &str = "install-as-user";
/// Longest errand that is read. Unit: bytes.
const ERRAND_BYTES_MAX: u64 = 256 * 1024;
/// As much of what the user's part says as is read. Unit: bytes.
const SAID_BYTES_MAX: u64 = 4 * 1024;

/// An errand.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Errand {
    /// Make an installation.
    Write(Job),
    /// Start the client in this directory by its script.
    Start(PathBuf),
    /// Take an installation away.
    Remove(PathBuf, Installation),
}

/// Has `user` do it.
///
/// # Errors
/// [`InstallError::AsUser`], with what the user's part said.
pub(super) fn send(errand: &Errand, user: &User) -> Result<(), InstallError> {
    let failed =
        |error: io::Error| InstallError::AsUser(format!("could not act as {}: {error}", user.name));
    let json = serde_json::to_vec(errand).map(Zeroizing::new);
    let json = json.map_err(|error| failed(io::Error::other(error)))?;
    let mut command = Command::new(OWN_PROGRAM);
    command
        .arg(AS_USER)
        // With no further group: this takes root's away.
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if !matches!(errand, Errand::Start(_)) {
        // Only what is started looks into its environment, for a proxy or a log.
        command.env_clear();
    }
    let mut child = command.spawn().map_err(failed)?;
    let sent = child
        .stdin
        .take()
        .map_or(Ok(()), |mut pipe| pipe.write_all(&json));
    let mut said = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(SAID_BYTES_MAX)
            .read_to_end(&mut said)
            .map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return sent.map_err(failed);
    }
    let said = system_log::tidy(String::from_utf8_lossy(&said).trim());
    Err(InstallError::AsUser(if said.is_empty() {
        format!("the part of {} ended with {status}", user.name)
    } else {
        said
    }))
}

/// Does the errand that comes on standard input; what is wrong is said on standard output.
pub fn run() -> ExitCode {
    let mut json = Zeroizing::new(Vec::new());
    let read = io::stdin()
        .lock()
        .take(ERRAND_BYTES_MAX)
        .read_to_end(&mut json);
    let errand = read
        .map_err(io::Error::other)
        .and_then(|_| serde_json::from_slice(&json).map_err(io::Error::other));
    let done = match errand {
        Ok(errand) => carry_out(errand).map_err(|error| chain(&error)),
        Err(error) => Err(format!("the errand can't be read: {error}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            // Who gave the errand reads it; where they do not, the status says that it failed.
            let _ = output::result(said);
            ExitCode::FAILURE
        }
    }
}

fn carry_out(errand: Errand) -> Result<(), InstallError> {
    match errand {
        Errand::Write(job) => {
            let who = Who {
                uid: geteuid().as_raw(),
                gid: getegid().as_raw(),
            };
            layout::check(&job.directory, who)?;
            installing::write(&job, Path::new(OWN_PROGRAM))
        }
        Errand::Start(directory) => starting::by_script(&Layout::of(directory)),
        Errand::Remove(directory, installation) => {
            removing::take_back(&Layout::of(directory), &installation)
        }
    }
}
