//! Who is logged on at this machine. The crate for facts and figures knows accounts, not log-ons.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where systemd-logind keeps one small text file a session.
const SESSIONS: &str = "/run/systemd/sessions";

/// Where older systems keep their log-ons.
const UTMP: &str = "/run/utmp";

/// Length of a record of utmp on Linux, and where in it type and user stand.
const RECORD_BYTES: usize = 384;
const USER: std::ops::Range<usize> = 44..76;

/// The type of a record that stands for a logged-on user.
const USER_PROCESS: i16 = 7;

/// Most names that are told; a terminal server may have hundreds.
const NAMES_MAX: usize = 8;

/// Names of those logged on, joined by `, `; empty if there is nobody, none if it can't be told.
pub(crate) fn console_user() -> Option<String> {
    let names =
        from_sessions(Path::new(SESSIONS)).or_else(|| fs::read(UTMP).ok().map(|b| from_utmp(&b)));
    names.map(|names| {
        names
            .into_iter()
            .take(NAMES_MAX)
            .collect::<Vec<_>>()
            .join(", ")
    })
}

fn from_sessions(folder: &Path) -> Option<BTreeSet<String>> {
    let entries = fs::read_dir(folder).ok()?;
    // Beside each session's file lies a pipe, `<id>.ref`, which must not be read.
    let files = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_file()));
    Some(
        files
            .filter_map(|entry| user_of_session(&fs::read_to_string(entry.path()).ok()?))
            .collect(),
    )
}

/// The user of a session of a person that is not closing; greeters and background sessions are none.
fn user_of_session(text: &str) -> Option<String> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let counts = value("CLASS").is_some_and(|class| class.starts_with("user"))
        && value("STATE").is_some_and(|state| state != "closing");
    if counts {
        value("USER").map(str::to_owned)
    } else {
        None
    }
}

fn from_utmp(bytes: &[u8]) -> BTreeSet<String> {
    let records = bytes.chunks_exact(RECORD_BYTES);
    let users = records.filter(|record| i16::from_ne_bytes([record[0], record[1]]) == USER_PROCESS);
    users
        .filter_map(|record| {
            let name = record[USER].split(|byte| *byte == 0).next()?;
            Some(String::from_utf8_lossy(name).into_owned()).filter(|name| !name.is_empty())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_people_count_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "1",
                "UID=1000\nUSER=anna\nACTIVE=1\nSTATE=active\nCLASS=user\n",
            ),
            ("2", "UID=1000\nUSER=anna\nSTATE=online\nCLASS=user\n"),
            ("3", "UID=1001\nUSER=bert\nSTATE=closing\nCLASS=user\n"),
            ("c1", "UID=42\nUSER=gdm\nSTATE=active\nCLASS=greeter\n"),
            ("4", "UID=0\nUSER=root\nSTATE=active\nCLASS=background\n"),
            ("5", "garbage"),
            ("6", "USER=carl\nSTATE=active\nCLASS=user-early\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let names: Vec<_> = from_sessions(folder.path()).unwrap().into_iter().collect();
        assert_eq!(names, ["anna", "carl"]);
        assert!(from_sessions(&folder.path().join("none")).is_none());
    }

    #[test]
    fn utmp_records_of_users_count_and_no_others() {
        let record = |kind: i16, user: &str| {
            let mut record = vec![0; RECORD_BYTES];
            record[..2].copy_from_slice(&kind.to_ne_bytes());
            record[USER.start..USER.start + user.len()].copy_from_slice(user.as_bytes());
            record
        };
        let bytes = [
            record(2, "reboot"),
            record(7, "anna"),
            record(8, "gone"),
            record(7, ""),
            vec![7; 100],
        ]
        .concat();
        assert_eq!(from_utmp(&bytes).into_iter().collect::<Vec<_>>(), ["anna"]);
    }
}
