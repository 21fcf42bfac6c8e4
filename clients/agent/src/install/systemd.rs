//! A client in service mode as a service of systemd, where systemd runs (CLNT-06, CLNT-09).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use super::installation::Installation;
use super::layout::Layout;
use super::{installation, scripts};

/// Where systemd is.
#[derive(Clone, Debug)]
pub struct Systemd {
    /// The folder of unit files.
    pub units: PathBuf,
    /// The program that manages them.
    pub systemctl: PathBuf,
}

impl Systemd {
    /// That of this machine, if it runs systemd.
    #[must_use]
    pub fn running() -> Option<Self> {
        let runs = std::path::Path::new("/run/systemd/system").is_dir();
        runs.then(|| Self {
            units: "/etc/systemd/system".into(),
            systemctl: "systemctl".into(),
        })
    }

    /// Adds the service and starts it.
    ///
    /// # Errors
    /// What the system says; nothing is left of the service then.
    pub fn add(&self, layout: &Layout, installed: &Installation) -> io::Result<()> {
        let name = format!("{}.service", installed.name());
        let path = self.units.join(&name);
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
            installation::remove_if_there(&path)?;
            // Tells systemd that it is gone; why the service could not be added is what counts.
            let _ = self.say(&["daemon-reload"]);
        }
        added
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

#[cfg(test)]
mod tests {
    use link_protocol::{Overrides, Secret};

    use super::*;
    use crate::install::installation::{Installed, Kind};

    fn played(folder: &std::path::Path, status: u8) -> Systemd {
        let systemctl = folder.join(format!("systemctl-{status}"));
        let log = folder.join("said");
        let text = format!(
            "#!/bin/sh\necho \"$@\" >>'{}'\nexit {status}\n",
            log.display()
        );
        fs::write(&systemctl, text).unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        Systemd {
            units: folder.to_owned(),
            systemctl,
        }
    }

    /// CLNT-06, CLNT-09, INST-44, INST-60
    #[test]
    fn a_service_is_added_safely_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let installed = Installation::new(Installed {
            kind: Kind::Service,
            user: "jsmith".to_owned(),
            site: "access.example.com".to_owned(),
            installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
            key_info: Secret::new("kkkk"),
            overrides: Overrides::default(),
            valid_until_ms: 7,
        });
        let layout = Layout::of("/opt/client".into());
        let unit = folder
            .path()
            .join("bomgar-pec-0123456789abcdef0123456789abcdef.service");
        assert!(played(folder.path(), 1).add(&layout, &installed).is_err());
        assert!(!unit.exists(), "nothing is left of it");
        fs::remove_file(folder.path().join("said")).unwrap();
        let systemd = played(folder.path(), 0);
        systemd.add(&layout, &installed).unwrap();
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
            fs::read_to_string(folder.path().join("said")).unwrap(),
            "daemon-reload\nenable --now bomgar-pec-0123456789abcdef0123456789abcdef.service\n"
        );
        // Another's unit of that name is not written over.
        fs::write(&unit, "other").unwrap();
        assert!(systemd.add(&layout, &installed).is_err());
        assert_eq!(fs::read_to_string(&unit).unwrap(), "other");
    }
}
