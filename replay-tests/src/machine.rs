//! A machine with an ordinary user who fetches packages, installs Jump Clients from them and uses their scripts.
//!
//! Where the tests run as root, the ordinary user is `nobody`, and the machine's folder is their home.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use nix::unistd::{User, geteuid};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::fleet::{Fleet, until};

/// The unprivileged user of the machine, where the tests run as root.
pub const NOBODY: u32 = 65_534;

/// A machine with one ordinary user who has a folder of their own.
pub struct Machine {
    /// Theirs, and their home.
    pub folder: TempDir,
    /// They.
    pub user: User,
}

/// What a program said and how it ended.
pub struct Said {
    /// The exit status.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub error: String,
}

impl Said {
    /// What a program that ended has said.
    #[must_use]
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have ended with this status and said these words.
    ///
    /// # Errors
    /// When it did not.
    pub fn must(self, code: i32, words: &str) -> Result<Self> {
        let (out, error) = (&self.out, &self.error);
        ensure!(
            self.code == Some(code) && (out.contains(words) || error.contains(words)),
            "{code} and \"{words}\" were expected: {:?}\n{out}\n{error}",
            self.code
        );
        Ok(self)
    }
}

impl Machine {
    /// A machine with an empty folder.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let own = geteuid();
        let user = if own.is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
            User::from_uid(NOBODY.into())?
        } else {
            User::from_uid(own)?
        };
        let user = user.context("the user has a name")?;
        Ok(Self { folder, user })
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program that the ordinary user runs.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("runuser");
            command
                .args(["-u", &self.user.name, "--", "env"])
                // It has put the home of the system's list in the place of ours.
                .arg(format!("HOME={}", self.folder.path().display()))
                .arg(program.as_ref());
            command
        } else {
            Command::new(program.as_ref())
        };
        self.prepare(&mut command);
        command
    }

    /// A program that root runs.
    #[must_use]
    pub fn command_of_root(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.prepare(&mut command);
        command.env_remove("SUDO_UID");
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env("RUST_LOG", "info")
            .env("HOME", self.folder.path())
            // No syslog listens here: entries go beside the install directory.
            .env("GATEBOOK_AGENT_LOG_SOCKET", self.path("no-syslog"))
            // Those without such a directory.
            .env("GATEBOOK_AGENT_LOG_FILE", self.path("failures.log"));
    }

    /// Runs a package with sh, as its user.
    ///
    /// # Errors
    /// When that can't be run.
    pub fn install(&self, package: &Path, words: &[&str]) -> Result<Said> {
        let mut command = self.command("sh");
        Ok(Said::of(command.arg(package).args(words).output()?))
    }

    /// Runs a script of an installation, as its user.
    ///
    /// # Errors
    /// When that can't be run.
    pub fn script(&self, directory: &Path, name: &str, words: &[&str]) -> Result<Said> {
        let mut command = self.command(directory.join(name));
        Ok(Said::of(command.args(words).output()?))
    }
}

/// Ends the agent of an installation that is still there when a test is over, by its own script.
pub struct Cleared<'m>(pub &'m Machine, pub PathBuf);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        if self.1.join("init-script").exists()
            && let Err(error) = self.0.script(&self.1, "init-script", &["stop"])
        {
            eprintln!("{error:#}");
        }
    }
}

/// Makes an installer.
///
/// # Errors
/// When it is not made.
pub async fn installer(fleet: &Fleet, mut body: Value) -> Result<Value> {
    body["jump_group_id"] = fleet.group.into();
    let path = "/api/config/v1/jump-client/installer";
    fleet.api.send(Method::POST, path, &body).await
}

/// Fetches the package for a machine without a desktop by the Direct Download Link, with curl, which keeps the name it is sent.
///
/// # Errors
/// When it is not sent, or under another name.
pub fn fetch(
    url: &str,
    authority: &Path,
    made: &Value,
    platform: Option<&str>,
    to: &Path,
) -> Result<PathBuf> {
    let path = made["key_info"]["linux64-x86"]["installerPath"]
        .as_str()
        .context("a link")?;
    let link = path.rsplit_once('/').context("a platform")?.0;
    let link = platform.map_or_else(|| link.to_owned(), |platform| format!("{link}/{platform}"));
    let done = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--location",
            "--remote-name",
            "--remote-header-name",
        ])
        .arg("--cacert")
        .arg(authority)
        .arg("--output-dir")
        .arg(to)
        .arg(format!("{url}{link}"))
        .output()?;
    ensure!(
        done.status.success(),
        "curl: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let uid = made["installer_id"].as_str().context("an id")?;
    let suffix = if platform == Some("linux-64") {
        "desktop"
    } else {
        "bin"
    };
    let package = to.join(format!("bomgar-pec-{uid}.{suffix}"));
    ensure!(
        package.is_file(),
        "curl kept no file of the name that was sent"
    );
    fs::set_permissions(&package, fs::Permissions::from_mode(0o644))?;
    Ok(package)
}

/// The certificate of the site's own authority.
#[must_use]
pub fn authority(fleet: &Fleet) -> PathBuf {
    fleet.site.data.join("site-ca.pem")
}

/// The item of this name that the user sees.
///
/// # Errors
/// When the list is refused.
pub async fn item_of(fleet: &Fleet, name: &str) -> Result<Option<Value>> {
    let items = fleet.items().await?;
    Ok(items.into_iter().find(|item| item["name"] == name))
}

/// Waits until the item of this name has a status.
///
/// # Errors
/// When it does not get it.
pub async fn until_status(fleet: &Fleet, name: &str, status: &str) -> Result<Value> {
    until(&format!("{name} is {status}"), async || {
        let item = item_of(fleet, name).await?;
        Ok(item.is_some_and(|item| item["status"] == status))
    })
    .await?;
    item_of(fleet, name).await?.context("the item")
}

/// KEY_INFO of an installer.
///
/// # Errors
/// When there is none.
pub fn key_of(made: &Value) -> Result<&str> {
    let key = made["key_info"]["linux64-x86"]["encodedInfo"].as_str();
    key.context("a key")
}

/// The number in an item's id.
///
/// # Errors
/// When there is none.
pub fn number_of(item: &Value) -> Result<String> {
    let id = item["id"].as_str().context("an id")?;
    Ok(id.rsplit('-').next().context("a number")?.to_owned())
}
