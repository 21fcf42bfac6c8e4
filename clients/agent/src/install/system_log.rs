//! Entries in the log of the operating system, for installations that failed while nobody looked (INST-23).

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::folders::MadeFolders;
use super::own_file;

/// Where syslog listens.
const SOCKET: &str = "/dev/log";
/// Names another socket, where syslog listens elsewhere.
pub const SOCKET_VARIABLE: &str = "GATEBOOK_AGENT_LOG_SOCKET";
/// Names another file for what goes neither to syslog nor beside an install directory.
pub const FILE_VARIABLE: &str = "GATEBOOK_AGENT_LOG_FILE";
/// That file, where root installs.
const FILE_OF_ROOT: &str = "/var/log/bomgar-pec.log";
/// That file below the home of any other user.
const FILE_OF_USER: &str = ".local/state/bomgar-pec.log";
/// Facility `user`, severity `error`: 1 * 8 + 3 (RFC 3164).
const PRIORITY: u8 = 11;
/// Longest message. Unit: characters.
const CHARS_MAX: usize = 800;

/// Writes an entry; where no syslog listens, a line into `DIR.log` beside the install directory, or into a file of the user where
/// no directory was found fit. Whether it could is answered: what went wrong is told on standard error as well, so nothing else
/// depends on it.
pub fn write(message: &str, directory: Option<&Path>) -> bool {
    let socket =
        std::env::var_os(SOCKET_VARIABLE).map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
    write_to(&socket, message, directory) || of_user().is_some_and(|file| append_to(&file, message))
}

fn of_user() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(FILE_VARIABLE) {
        return Some(named.into());
    }
    if nix::unistd::geteuid().is_root() {
        return Some(FILE_OF_ROOT.into());
    }
    let home = PathBuf::from(std::env::var_os("HOME")?);
    home.is_absolute().then(|| home.join(FILE_OF_USER))
}

/// Makes the file, and what is missing above it.
fn append_to(file: &Path, message: &str) -> bool {
    let folder = file.parent().map(|folder| MadeFolders::make(folder, 0o700));
    folder.is_none_or(|made| made.is_ok()) && append(file, &tidy(message)).is_ok()
}

fn write_to(socket: &Path, message: &str, directory: Option<&Path>) -> bool {
    let line = tidy(message);
    let entry = format!("<{PRIORITY}>bomgar-pec[{}]: {line}", std::process::id());
    let sent = UnixDatagram::unbound()
        .and_then(|from| from.send_to(entry.as_bytes(), socket))
        .is_ok();
    sent || directory.is_some_and(|directory| append(&beside(directory), &line).is_ok())
}

/// `DIR.log`.
fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".log");
    name.into()
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        // A link or a pipe that somebody laid there is not followed and not waited for.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    own_file::check(&file)?;
    let now = chrono::DateTime::from_timestamp_millis(super::now_ms().cast_signed());
    let now = now.map_or_else(String::new, |now| now.to_rfc3339());
    file.write_all(format!("{now} {line}\n").as_bytes())
}

/// One line, whatever was put into the message.
pub(super) fn tidy(message: &str) -> String {
    message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// INST-23
    #[test]
    fn an_entry_goes_to_syslog_and_to_a_file_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("log");
        let directory = folder.path().join("client");
        assert!(write_to(&socket, "first\nline", Some(&directory)));
        let text = std::fs::read_to_string(folder.path().join("client.log")).unwrap();
        assert!(text.ends_with(" first line\n"), "{text}");

        let syslog = UnixDatagram::bind(&socket).unwrap();
        assert!(write_to(&socket, "second", Some(&directory)));
        let mut bytes = [0; 256];
        let read = syslog.recv(&mut bytes).unwrap();
        let entry = String::from_utf8_lossy(&bytes[..read]).into_owned();
        assert!(
            entry.starts_with("<11>bomgar-pec[") && entry.ends_with("]: second"),
            "{entry}"
        );
        assert!(
            !std::fs::read_to_string(folder.path().join("client.log"))
                .unwrap()
                .contains("second")
        );
    }

    /// INST-23: a failure before any directory is known leaves its entry all the same.
    #[test]
    fn without_syslog_and_directory_the_entry_goes_into_the_users_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/deeper/bomgar-pec.log");
        assert!(append_to(&file, "one\ntwo"));
        assert!(append_to(&file, "three"));
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].ends_with(" one two") && lines[1].ends_with(" three"),
            "{text}"
        );
        assert!(!append_to(&file.join("below"), "lost"));
    }

    /// threat R
    #[test]
    fn threat_r_a_link_in_the_place_of_the_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "kept").unwrap();
        let directory = folder.path().join("client");
        symlink(&precious, folder.path().join("client.log")).unwrap();
        assert!(!write_to(
            &folder.path().join("none"),
            "lost",
            Some(&directory)
        ));
        std::fs::remove_file(folder.path().join("client.log")).unwrap();
        std::fs::hard_link(&precious, folder.path().join("client.log")).unwrap();
        assert!(!write_to(
            &folder.path().join("none"),
            "lost",
            Some(&directory)
        ));
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "kept");
    }
}
