//! A client in service mode as a service of systemd, where systemd runs (CLNT-06, CLNT-09).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::installation::Installation;
use super::layout::Layout;
use super::{installation, scripts, starting};

/// How long a service is watched after it was started: a client that its site refuses at once ends within that.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where systemd is.
#[derive(Clone, Debug)]
pub struct Systemd {
    /// The folder of unit files.
    pub units: PathBuf,
    /// The program that manages them.
    pub systemctl: PathBuf,
    /// The program that shows what services said.
    pub journalctl: PathBuf,
}

impl Systemd {
    /// That of this machine, if it runs systemd.
    #[must_use]
    pub fn running() -> Option<Self> {
        Self::is_running().then(|| Self {
            units: "/etc/systemd/system".into(),
            systemctl: "systemctl".into(),
            journalctl: "journalctl".into(),
        })
    }

    /// Whether this machine runs systemd (sd_booted(3)).
    #[must_use]
    pub fn is_running() -> bool {
        Path::new("/run/systemd/system").is_dir()
    }

    /// Adds the service and starts it.
    ///
    /// # Errors
    /// What the system says; nothing is left of the service then.
    pub fn add(&self, layout: &Layout, installed: &Installation) -> io::Result<()> {
        let name = format!("{}.service", installed.name(layout));
        let path = self.units.join(&name);
        if runs(&path, layout)? {
            // Left over from a client in a directory of this name, which did not exist until now.
            self.remove(&name, &path)?;
        }
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(scripts::unit(layout, installed).as_bytes())?;
                // Whatever the umask of whoever installs.
                file.set_permissions(fs::Permissions::from_mode(0o644))?;
                file.sync_all()
            });
        if let Err(error) = &written
            && error.kind() == io::ErrorKind::AlreadyExists
        {
            // Another's: it stays.
            return written;
        }
        let added = written
            .and_then(|()| self.say(&["daemon-reload"]))
            .and_then(|()| self.say(&["enable", "--now", &name]));
        if added.is_err() {
            self.remove(&name, &path)?;
        }
        added
    }

    /// Watches the service for the time in which a site refuses a client that comes for the first time.
    ///
    /// # Errors
    /// The last that the service said, where it has ended; nothing is left of the service then.
    #[expect(
        clippy::disallowed_methods,
        reason = "the installer has no runtime, and nothing else to do meanwhile"
    )]
    pub fn watch_first_try(&self, layout: &Layout, installed: &Installation) -> io::Result<()> {
        let name = format!("{}.service", installed.name(layout));
        let mut watched = Duration::ZERO;
        while watched < WATCHED_FOR {
            if self.say(&["is-active", "--quiet", &name]).is_err() {
                let said = self.said_last(&name);
                self.remove(&name, &self.units.join(&name))?;
                return Err(io::Error::other(said));
            }
            sleep(LOOK_EVERY);
            watched += LOOK_EVERY;
        }
        Ok(())
    }

    fn said_last(&self, name: &str) -> String {
        let words = ["--quiet", "--no-pager", "--output", "cat", "--lines", "1"];
        let said = Command::new(&self.journalctl)
            .args(words)
            // What its processes said, and not what systemd says of it.
            .arg(format!("_SYSTEMD_UNIT={name}"))
            .output();
        said.ok()
            .and_then(|said| starting::last_line(&said.stdout))
            .unwrap_or_else(|| format!("it ended; journalctl --unit {name} may say why"))
    }

    /// Removes a service. What systemd says to it does not count: the service may never have got as far as being known.
    fn remove(&self, name: &str, path: &Path) -> io::Result<()> {
        // Before its file is gone: only then does systemd know which links to remove.
        let _ = self.say(&["disable", "--now", name]);
        installation::remove_if_there(path)?;
        let _ = self.say(&["daemon-reload"]);
        Ok(())
    }

    fn say(&self, words: &[&str]) -> io::Result<()> {
        let done = Command::new(&self.systemctl).args(words).output()?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        Err(io::Error::other(format!(
            "systemctl {}: {said}",
            words.join(" ")
        )))
    }
}

/// Whether there is a unit file that runs the client of this directory.
fn runs(path: &Path, layout: &Layout) -> io::Result<bool> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => text?,
    };
    let line = scripts::exec_start(layout);
    Ok(text.lines().any(|found| found == line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::installation::{Kind, played};

    const LINKS: &str = "multi-user.target.wants";

    /// A systemd that makes the links of `enable` and removes those of `disable`, as long as the unit file is there; starting a
    /// service ends with `status`.
    fn played_by(folder: &Path, status: u8) -> Systemd {
        let systemctl = folder.join(format!("systemctl-{status}"));
        let text = format!(
            "#!/bin/sh\ncd '{}' || exit 9\necho \"$@\" >>said\nmkdir -p {LINKS}\n\
             case $1 in\n\
             enable) ln -s \"../$3\" {LINKS}/\"$3\"; exit {status} ;;\n\
             disable) [ -f \"$3\" ] || exit 1; rm -f {LINKS}/\"$3\" ;;\n\
             is-active) [ ! -e ended ] ;;\n\
             esac\n",
            folder.display()
        );
        fs::write(&systemctl, text).unwrap();
        let journalctl = folder.join("journalctl");
        fs::write(
            &journalctl,
            "#!/bin/sh\necho first\necho refused by the server: why\n",
        )
        .unwrap();
        for program in [&systemctl, &journalctl] {
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Systemd {
            units: folder.to_owned(),
            systemctl,
            journalctl,
        }
    }

    fn links(folder: &Path) -> usize {
        fs::read_dir(folder.join(LINKS)).unwrap().count()
    }

    /// CLNT-06, CLNT-09, INST-44, INST-60
    #[test]
    fn a_service_is_added_safely_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let installed = played(Kind::Service);
        let layout = Layout::of("/opt/client".into());
        let name = format!("{}.service", installed.name(&layout));
        let unit = folder.join(&name);
        assert!(played_by(folder, 1).add(&layout, &installed).is_err());
        assert!(!unit.exists(), "nothing is left of it");
        assert_eq!(links(folder), 0, "nor of what starts it at boot");
        fs::remove_file(folder.join("said")).unwrap();
        let systemd = played_by(folder, 0);
        systemd.add(&layout, &installed).unwrap();
        assert_eq!(links(folder), 1);
        assert_eq!(
            fs::metadata(&unit).unwrap().permissions().mode() & 0o777,
            0o644
        );
        assert!(
            fs::read_to_string(&unit)
                .unwrap()
                .contains("\nUser=jsmith\n")
        );
        assert_eq!(
            fs::read_to_string(folder.join("said")).unwrap(),
            format!("daemon-reload\nenable --now {name}\n")
        );
        // What is left over from a client in the same directory gives way.
        systemd.add(&layout, &installed).unwrap();
        assert_eq!(links(folder), 1);
        // One that ends at its first try goes, and what it said last is told (INST-27).
        fs::write(folder.join("ended"), "").unwrap();
        let error = systemd.watch_first_try(&layout, &installed).unwrap_err();
        assert_eq!(error.to_string(), "refused by the server: why");
        assert!(!unit.exists() && links(folder) == 0);
        // Another's unit of that name is not written over.
        fs::write(&unit, "other").unwrap();
        assert!(systemd.add(&layout, &installed).is_err());
        assert_eq!(fs::read_to_string(&unit).unwrap(), "other");
    }
}
