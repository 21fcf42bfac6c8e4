//! The identities of the machines, kept in a file for a second run.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use link_protocol::Secret;
use serde::{Deserialize, Serialize};

/// What a machine was given by the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its number on the site.
    pub client_id: u64,
    /// Its newest token.
    pub token: Secret,
}

/// Machines by their number in the fleet.
pub type Identities = BTreeMap<u32, Known>;

/// Reads the file; nothing where it is not there yet.
///
/// # Errors
/// It can't be read.
pub fn read(path: &Path) -> Result<Identities> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).context("reading the file of --state"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Identities::new()),
        Err(error) => Err(error).context("opening the file of --state"),
    }
}

/// Writes the file for its owner alone: whoever has it is the fleet.
///
/// # Errors
/// It can't be written.
pub fn write(path: &Path, identities: &Identities) -> Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .context("making the file of --state")?;
    let text = serde_json::to_vec(identities)?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .context("writing the file of --state")?;
    std::fs::rename(&beside, path).context("keeping the file of --state")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_nobody_else_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet");
        assert_eq!(read(&path).unwrap(), Identities::new());
        let known = Known {
            client_id: 7,
            token: Secret::new("t".repeat(43)),
        };
        let identities = Identities::from([(3, known)]);
        write(&path, &identities).unwrap();
        assert_eq!(read(&path).unwrap(), identities);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
