//! The tour of the README runs as it is printed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::{User, geteuid};
use replay_tests::program::{built, free_port};

#[test]
fn the_commands_of_the_tour_tell_the_story_they_promise() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace")?;
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    let script = commands(&readme).replace("8443", &free_port()?.to_string());
    ensure!(
        script.contains("generate_report=AccessSession"),
        "the tour has lost its report"
    );

    let folder = tempfile::tempdir()?;
    let server = built("gatebook", "GATEBOOK_BIN")?;
    let agent = built("gatebook-agent", "GATEBOOK_AGENT_BIN")?;
    let folders = [server.parent(), agent.parent()]
        .map(|f| f.map(|f| f.display().to_string()).unwrap_or_default());
    let path = format!(
        "{}:{}",
        folders.join(":"),
        std::env::var("PATH").unwrap_or_default()
    );
    // The shell ends what it started, by process id and by the client's own script, however it ends.
    let script = format!(
        "set -euo pipefail\n\
         trap 'test -x jumpclient/init-script && jumpclient/init-script stop; kill $(jobs -p) 2>/dev/null; wait' EXIT\n{script}"
    );
    let mut command = as_ordinary_user(folder.path())?;
    let done = command
        .args(["timeout", "120", "bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .output()?;
    let said = String::from_utf8_lossy(&done.stdout);
    let complained = String::from_utf8_lossy(&done.stderr);
    ensure!(
        done.status.success(),
        "{}\n{said}\n{complained}",
        done.status
    );

    for told in [
        "<session_type>support</session_type>",
        "event_type=\"Session Start\"",
        "event_type=\"Session End\"",
        "web-1",
        "\"tag\":\"servers\"",
        "[Service]",
        "removed from",
        "AccessSessionStarted",
        "AccessSessionEstablished",
        "AccessSessionEnded",
    ] {
        ensure!(
            said.contains(told),
            "the tour does not show {told}:\n{said}\n{complained}"
        );
    }
    Ok(())
}

/// What runs a program in `folder` as an ordinary user: installers refuse root.
fn as_ordinary_user(folder: &Path) -> Result<Command> {
    if !geteuid().is_root() {
        return Ok(Command::new("env"));
    }
    let nobody = User::from_name("nobody")?.context("a user without rights")?;
    std::os::unix::fs::chown(folder, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw()))?;
    let mut command = Command::new("runuser");
    command.args(["-u", "nobody", "--"]);
    Ok(command)
}

/// The `sh` blocks of the README, one after another.
fn commands(readme: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside => {
                script.push_str(command);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}
