//! Starting a client that was installed just now.

use std::io::{self, Read};
use std::process::{Command, Stdio};

use super::layout::Layout;
use super::{InstallError, own_file, system_log};

/// As much of what a script says, or of the end of a log, as is looked into. Unit: bytes.
const SAID_BYTES_MAX: u64 = 4 * 1024;

/// Starts it by its own script, as the user of this process. The script waits for what comes of the client's first try.
///
/// # Errors
/// [`InstallError::NotStarted`], with the last that the script or the client's log says.
pub(super) fn by_script(layout: &Layout) -> Result<(), InstallError> {
    let mut script = Command::new(layout.init_script())
        .arg("start")
        .current_dir("/")
        .stdin(Stdio::null())
        // The client writes into its log alone and holds nothing of this pipe: whoever waits for the script does not wait for it.
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(not_started)?;
    let mut said = Vec::new();
    if let Some(pipe) = script.stdout.take() {
        pipe.take(SAID_BYTES_MAX)
            .read_to_end(&mut said)
            .map_err(not_started)?;
    }
    if script.wait().map_err(not_started)?.success() {
        return Ok(());
    }
    let last = last_line(&said).or_else(|| {
        let end = own_file::tail(&layout.log(), SAID_BYTES_MAX).ok()?;
        last_line(&end)
    });
    Err(InstallError::NotStarted(
        last.unwrap_or_else(|| "it ended at once".to_owned()),
    ))
}

/// The error of a start that failed for what the system says.
pub(super) fn not_started(error: io::Error) -> InstallError {
    InstallError::NotStarted(error.to_string())
}

/// The last line in which something stands.
pub(super) fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
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
        fs::write(layout.init_script(), "#!/bin/sh\necho why\nexit 1\n").unwrap();
        assert_eq!(said(), "the client could not be started: why");
        fs::write(layout.init_script(), "#!/bin/sh\nexit 0\n").unwrap();
        by_script(&layout).unwrap();
        fs::remove_file(layout.init_script()).unwrap();
        assert!(by_script(&layout).is_err());
    }
}
