//! Starting a client that was installed just now.

use std::io;
use std::process::{Command, Stdio};

use super::layout::Layout;
use super::{InstallError, own_file, system_log};

/// As much of the end of a log as is looked into. Unit: bytes.
const LOG_BYTES_MAX: u64 = 4 * 1024;

/// Starts it by its own script, as the user of this process.
///
/// # Errors
/// [`InstallError::NotStarted`], with the last that its log says.
pub(super) fn by_script(layout: &Layout) -> Result<(), InstallError> {
    // To a file that is no pipe of ours: the client lives on, and whoever waits for our output must not wait for it.
    let done = Command::new(layout.init_script())
        .arg("start")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if done.map_err(not_started)?.success() {
        return Ok(());
    }
    let last = last_line(layout).unwrap_or_else(|| "it ended at once".to_owned());
    Err(InstallError::NotStarted(last))
}

/// The error of a start that failed for what the system says.
pub(super) fn not_started(error: io::Error) -> InstallError {
    InstallError::NotStarted(error.to_string())
}

fn last_line(layout: &Layout) -> Option<String> {
    let end = own_file::tail(&layout.log(), LOG_BYTES_MAX).ok()?;
    let end = String::from_utf8_lossy(&end);
    let last = end.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(system_log::tidy(last).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// threat R: what a log says is shown without what would be a command for a terminal, and no other file is shown for it.
    #[test]
    fn threat_r_the_last_line_of_a_log_is_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path().to_owned());
        fs::create_dir(layout.state()).unwrap();
        fs::write(layout.init_script(), "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(layout.init_script(), fs::Permissions::from_mode(0o700)).unwrap();
        let said = || by_script(&layout).unwrap_err().to_string();
        assert_eq!(said(), "the client could not be started: it ended at once");
        let text = format!("{}\nbad \u{1b}[31mred\u{7}\n\n", "x".repeat(10_000));
        fs::write(layout.log(), text).unwrap();
        assert_eq!(said(), "the client could not be started: bad  [31mred");
        let secret = folder.path().join("secret");
        fs::rename(layout.log(), &secret).unwrap();
        symlink(&secret, layout.log()).unwrap();
        assert!(said().ends_with("it ended at once"));
        fs::write(layout.init_script(), "#!/bin/sh\nexit 0\n").unwrap();
        by_script(&layout).unwrap();
        fs::remove_file(layout.init_script()).unwrap();
        assert!(by_script(&layout).is_err());
    }
}
