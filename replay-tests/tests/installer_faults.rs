//! Installations that go wrong on the way, come late, or are meddled with; and clients in user mode, from installing to their end.
//! With the real programs, as `installer.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use engine::Clock;
use gatebook::clock::SystemClock;
use nix::libc;
use nix::unistd::geteuid;
use replay_tests::clocked::ClockedSite;
use replay_tests::fleet::{Fleet, until};
use replay_tests::machine::{
    Cleared, Machine, NOBODY, Said, authority, fetch, installer, number_of, until_status,
};
use replay_tests::program::built;
use reqwest::Method;
use serde_json::{Value, json};

/// Names certificates that an agent trusts on top of others. One that names no such file ends it at once.
const TRUST_FILE: &str = "GATEBOOK_AGENT_TRUST_FILE";

/// An installer with the name `name` for its clients, and its packages: for machines without a desktop, and with one.
async fn packages(
    fleet: &Fleet,
    machine: &Machine,
    name: &str,
) -> Result<(Value, PathBuf, PathBuf)> {
    let made = installer(fleet, json!({"name": name})).await?;
    let fetch = |platform| {
        let (url, authority) = (fleet.https(), authority(fleet));
        fetch(&url, &authority, &made, platform, machine.folder.path())
    };
    let (headless, desktop) = (fetch(None)?, fetch(Some("linux-64"))?);
    Ok((made, headless, desktop))
}

/// The entries by which the user's desktop starts clients.
fn entries(machine: &Machine) -> Result<Vec<PathBuf>> {
    let folder = machine.path(".config/autostart");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

async fn delete(fleet: &Fleet, item: &Value) -> Result<()> {
    let path = format!("/api/config/v1/jump-client/{}", number_of(item)?);
    let deleted = fleet.api.request(Method::DELETE, &path).send().await?;
    ensure!(deleted.status() == 204, "{}", deleted.status());
    Ok(())
}

/// CLNT-06, CLNT-07, CLNT-60, INST-44, INST-57: a user-mode client comes back when its user logs on, and goes when its item is removed;
/// one installer run into another directory is another client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_mode_clients_come_with_their_user_and_go_with_their_items() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (_, _, package) = packages(&fleet, &machine, "desk").await?;
    let told = format!("runs as {}", machine.user.name);
    let first = Cleared(&machine, machine.path("desk"));
    machine
        .install(&package, &["--install-dir", "desk"])?
        .must(0, &told)?;
    let item = until_status(&fleet, "desk", "active").await?;
    let path = format!("/api/config/v1/jump-client/{}", number_of(&item)?);
    ensure!(fleet.api.get(&path).await?["install_mode"] == "user");
    let own = entries(&machine)?;
    ensure!(own.len() == 1, "{own:?}");

    // The user logs off, and on again: the desktop runs what stands in its entry.
    machine
        .script(&first.1, "init-script", &["stop"])?
        .must(0, "stopped")?;
    let entry = fs::read_to_string(&own[0])?;
    let line = entry.lines().find_map(|line| line.strip_prefix("Exec="));
    let mut shell = machine.command("sh");
    shell.args(["-c", line.context("what to run")?]);
    Said::of(shell.output()?).must(0, "runs as process")?;
    until_status(&fleet, "desk", "active").await?;

    let second = Cleared(&machine, machine.path("other"));
    machine
        .install(&package, &["--install-dir", "other"])?
        .must(0, &told)?;
    ensure!(entries(&machine)?.len() == 2, "they share an entry");
    until("there are two", async || {
        let items = fleet.items().await?;
        let active = |item: &&Value| item["name"] == "desk" && item["status"] == "active";
        Ok(items.iter().filter(active).count() == 2)
    })
    .await?;
    delete(&fleet, &item).await?;
    until("the first took itself away", async || Ok(!first.1.exists())).await?;
    until("its entry is gone", async || Ok(!own[0].exists())).await?;
    ensure!(entries(&machine)?.len() == 1, "the other one lost its own");
    machine
        .script(&second.1, "uninstall", &[])?
        .must(0, "removed from")?;
    ensure!(!second.1.exists() && entries(&machine)?.is_empty());
    drop((first, second));
    server.stop()
}

/// CLNT-06: what does not start is not installed, and nothing of it is in the way of the next try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_start_leaves_nothing() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (_, _, package) = packages(&fleet, &machine, "desk").await?;
    let cleared = Cleared(&machine, machine.path("desk"));
    let mut command = machine.command("sh");
    command
        .arg(&package)
        .args(["--install-dir", "desk"])
        .env(TRUST_FILE, machine.path("no-such-file"));
    Said::of(command.output()?).must(1, "could not read certificates")?;
    ensure!(!cleared.1.exists() && entries(&machine)?.is_empty());
    let told = format!("runs as {}", machine.user.name);
    machine
        .install(&package, &["--install-dir", "desk"])?
        .must(0, &told)?;
    until_status(&fleet, "desk", "active").await?;
    ensure!(entries(&machine)?.len() == 1);
    drop(cleared);
    server.stop()
}

/// INST-23, INST-27, INST-59, CLNT-29: what the site has against a machine is said by what started its client: the installer of a client
/// that runs at once, the start of a headless one. What a switch at the machine does, the switch says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_client_is_refused_is_said_where_it_was_started() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let made = installer(
        &fleet,
        json!({"name": "lost", "allow_override_jump_group": true}),
    )
    .await?;
    let (url, authority) = (fleet.https(), authority(&fleet));
    let fetch = |platform| fetch(&url, &authority, &made, platform, machine.folder.path());
    let (headless, desktop) = (fetch(None)?, fetch(Some("linux-64"))?);
    let why = "There is no Jump Group \"jumpgroup:nowhere\"";
    let words = |directory| {
        [
            "--install-dir",
            directory,
            "--jc-jump-group",
            "jumpgroup:nowhere",
        ]
    };

    let directory = machine.path("desk");
    machine.install(&desktop, &words("desk"))?.must(1, why)?;
    ensure!(!directory.exists() && entries(&machine)?.is_empty());
    ensure!(!machine.path(".config").exists(), "a folder was left");
    let log = fs::read_to_string(machine.path("desk.log"))?;
    ensure!(log.contains(why), "{log}");

    let directory = machine.path("server");
    machine.install(&headless, &words("server"))?.must(
        0,
        "Whether its site takes what was passed here, that start says.",
    )?;
    let said = machine
        .script(&directory, "init-script", &["start"])?
        .must(1, why)?;
    ensure!(said.out.contains("status 3"), "{}", said.out);
    ensure!(!directory.exists());
    let log = fs::read_to_string(machine.path("server.log"))?;
    ensure!(log.contains(why), "{log}");

    let directory = machine.path("kept");
    let kept = Cleared(&machine, directory.clone());
    machine
        .install(&headless, &["--install-dir", "kept"])?
        .must(0, "init-script' start")?;
    machine
        .script(&directory, "init-script", &["start"])?
        .must(0, "runs as process")?;
    let item = until_status(&fleet, "lost", "active").await?;
    let path = format!(
        "/api/console/v1/items/{}",
        item["id"].as_str().context("an id")?
    );
    for (word, is) in [("disable", "off"), ("enable", "on")] {
        let mut command = machine.command(directory.join("gatebook-agent"));
        command
            .arg(word)
            .arg("--state")
            .arg(directory.join("state"));
        let told = format!("is switched {is}. Its site knows within seconds");
        Said::of(command.output()?).must(0, &told)?;
        until(word, async || {
            let item = fleet.anna.get(&path).await?;
            Ok((item["status"] == "active") == (word == "enable"))
        })
        .await?;
    }
    drop(kept);
    server.stop()
}

/// INST-25: an installer that is ended while it writes, here for want of room, is in nobody's way: the same again installs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_that_was_interrupted_can_be_repeated() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (_, package, _) = packages(&fleet, &machine, "again").await?;
    let directory = machine.path("again");
    let cleared = Cleared(&machine, directory.clone());
    let agent = machine.path("agent");
    fs::copy(built("gatebook-agent", "GATEBOOK_AGENT_BIN")?, &agent)?;
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755))?;
    // The system ends a process that writes a file beyond this size.
    let mut shell = machine.command("sh");
    shell
        .args(["-c", "ulimit -f 64; ulimit -c 0; exec \"$@\"", "sh"])
        .arg(&agent)
        .args(["install", "--package"])
        .arg(&package)
        .args(["--install-dir", "again"]);
    let ended = Said::of(shell.output()?);
    ensure!(
        ended.code != Some(0) && !ended.error.contains("installation failed"),
        "{}",
        ended.error
    );
    ensure!(!directory.exists(), "half of it has its name already");
    machine
        .install(&package, &["--install-dir", "again"])?
        .must(0, "init-script' start")?;
    machine
        .script(&directory, "init-script", &["start"])?
        .must(0, "runs as process")?;
    until_status(&fleet, "again", "active").await?;
    machine
        .script(&directory, "uninstall", &[])?
        .must(0, "removed from")?;
    let left: Vec<_> = fs::read_dir(machine.folder.path())?.collect::<Result<_, _>>()?;
    ensure!(
        !left
            .iter()
            .any(|entry| entry.file_name().as_encoded_bytes().starts_with(b".bomgar")),
        "{left:?}"
    );
    drop(cleared);
    server.stop()
}

/// CLNT-06, INST-25: root installs where it is told nothing, under a narrow umask, and where programs can't be run. In a file system of
/// its own below `/opt`, which only root can have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_installs_into_the_folder_of_services() -> Result<()> {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !geteuid().is_root() || !may_mount.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (made, _, package) = packages(&fleet, &machine, "opt").await?;
    let uid = made["installer_id"].as_str().context("an id")?;
    let script = "umask 077; mount -t tmpfs -o $1 tmpfs /opt && chmod 755 /opt || exit 99\n\
        sh \"$2\" --user \"$3\" && stat -c 'mode %a' /opt/bomgar && sh \"$4/uninstall\"\n\
        echo \"status $?\"; ls -A /opt";
    let inside = |options: &str| -> Result<Said> {
        let mut command = machine.command_of_root("unshare");
        command
            .args(["--mount", "sh", "-c", script, "sh", options])
            .arg(&package)
            .arg(&machine.user.name)
            .arg(format!("/opt/bomgar/bomgar-pec-{uid}"));
        Ok(Said::of(command.output()?))
    };
    let said = inside("exec")?.must(0, "removed from /opt/bomgar/")?;
    ensure!(
        said.out.contains("mode 755\n") && said.out.contains("status 0"),
        "{}",
        said.out
    );
    until_status(&fleet, "opt", "uninstalled").await?;
    let said = inside("noexec")?.must(0, "on a file system that is mounted noexec")?;
    ensure!(
        said.out.ends_with("status 1\n"),
        "something is in /opt: {}",
        said.out
    );
    server.stop()
}

/// Opens a pipe for writing as soon as somebody waits to read from it.
async fn writer(pipe: &Path) -> Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        options.open(pipe)
    };
    until("somebody reads from the pipe", async || Ok(open().is_ok())).await?;
    Ok(open()?)
}

/// threat R: root installs into a folder of the user, who puts a link in its place while the client starts. When it does not start,
/// root neither removes nor shows what the link leads to. Only root can try what root must not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_r_root_follows_no_link_into_which_a_folder_was_turned() -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (_, _, package) = packages(&fleet, &machine, "swapped").await?;
    let precious = tempfile::tempdir()?;
    fs::set_permissions(precious.path(), fs::Permissions::from_mode(0o755))?;
    let kept = precious.path().join("client");
    fs::create_dir_all(kept.join("state"))?;
    fs::write(kept.join("gatebook-agent"), "root's")?;
    fs::write(kept.join("state/agent.log"), "a secret of root\n")?;
    fs::set_permissions(kept.join("state"), fs::Permissions::from_mode(0o700))?;
    let parent = machine.path("parent");
    fs::create_dir(&parent)?;
    std::os::unix::fs::chown(&parent, Some(NOBODY), Some(NOBODY))?;
    // The agent waits here, until the user has done what it takes.
    let pipe = machine.path("trust");
    let made = Command::new("mkfifo")
        .args(["-m", "666"])
        .arg(&pipe)
        .status()?;
    ensure!(made.success(), "no pipe");
    let child = machine
        .command_of_root("sh")
        .arg(&package)
        .arg("--install-dir")
        .arg(parent.join("client"))
        .args(["--user", &machine.user.name])
        .env(TRUST_FILE, &pipe)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut writer = writer(&pipe).await?;
    fs::rename(&parent, machine.path("moved"))?;
    symlink(precious.path(), &parent)?;
    writer.write_all(b"no certificate\n")?;
    drop(writer);
    let said = Said::of(child.wait_with_output()?).must(1, "could not be started")?;
    ensure!(
        !said.error.contains("secret") && !said.out.contains("secret"),
        "{}",
        said.error
    );
    ensure!(kept.join("gatebook-agent").exists(), "root removed it");
    ensure!(kept.join("state/agent.log").exists(), "root removed it");
    server.stop()
}

/// threat R, INST-46: where the user meddles with nothing, what root began in the user's folder is gone after a failed start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_root_began_is_gone_where_it_does_not_start() -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (_, _, package) = packages(&fleet, &machine, "failed").await?;
    let roots = tempfile::tempdir()?;
    fs::set_permissions(roots.path(), fs::Permissions::from_mode(0o755))?;
    for directory in [machine.path("client"), roots.path().join("client")] {
        let mut command = machine.command_of_root("sh");
        command
            .arg(&package)
            .arg("--install-dir")
            .arg(&directory)
            .args(["--user", &machine.user.name])
            .env(TRUST_FILE, machine.path("no-such-file"));
        Said::of(command.output()?).must(1, "could not read certificates")?;
        ensure!(!directory.exists(), "{}", directory.display());
    }
    server.stop()
}

/// INST-57: whatever the site has against a machine that was never its client, nothing of it stays there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_the_site_refuses_as_a_duplicate_keeps_nothing() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (_, package, _) = packages(&fleet, &machine, "only").await?;
    let first = Cleared(&machine, machine.path("first"));
    let second = Cleared(&machine, machine.path("second"));
    for directory in ["first", "second"] {
        machine
            .install(&package, &["--install-dir", directory])?
            .must(0, "init-script' start")?;
    }
    machine
        .script(&first.1, "init-script", &["start"])?
        .must(0, "runs as process")?;
    until_status(&fleet, "only", "active").await?;
    let settings = json!({"duplicate_machines": "refuse"});
    let path = "/api/console/v1/site/settings";
    fleet
        .administrator
        .send(Method::PATCH, path, &settings)
        .await?;
    // Whether it ends before or after the script has seen it run depends on the machine.
    machine.script(&second.1, "init-script", &["start"])?;
    until("it took itself away", async || Ok(!second.1.exists())).await?;
    let log = fs::read_to_string(machine.path("second.log"))?;
    ensure!(log.contains("ended and was removed"), "{log}");
    machine
        .script(&first.1, "init-script", &["status"])?
        .must(0, "runs as process")?;
    drop((first, second));
    server.stop()
}

/// CLNT-60, INST-13: a service that is left over finds nothing to run, and says so for good: systemd does not start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_client_is_any_more_a_service_is_not_started_again() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let (_, package, _) = packages(&fleet, &machine, "gone").await?;
    let directory = machine.path("gone");
    machine
        .install(&package, &["--install-dir", "gone"])?
        .must(0, "init-script' start")?;
    fs::remove_file(directory.join("state/installation.json"))?;
    let unit = fs::read_to_string(directory.join("example.service"))?;
    let condition = format!(
        "\nConditionPathExists={}/state/installation.json\n",
        directory.display()
    );
    ensure!(unit.contains(&condition), "{unit}");
    let mut command = machine.command(directory.join("gatebook-agent"));
    command.args(["run", "--installation"]).arg(&directory);
    let said = Said::of(command.output()?).must(3, "there is no Jump Client installed")?;
    let prevented = unit
        .lines()
        .find_map(|line| line.strip_prefix("RestartPreventExitStatus="))
        .context("what is not started again")?;
    let code = said.code.context("a status")?.to_string();
    ensure!(prevented.split(' ').any(|status| status == code), "{unit}");
    server.stop()
}

/// INST-05, INST-12: after the time that was written into a package the site decides: it takes clients of an installer that was extended,
/// and refuses those of one that was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_an_installer_that_was_extended_are_still_good() -> Result<()> {
    let machine = Machine::new()?;
    let now = SystemClock.now();
    // On this site's clock it is ten minutes ago, less a few seconds: the shortest installers run out soon.
    let left = i64::try_from(Duration::from_secs(15).as_micros())?;
    let site = ClockedSite::start(now.plus(left - 600_000_000)).await?;
    let (api, administrator) = (site.api().await?, site.administrator().await?);
    let make = async |path: &str, body: Value| {
        api.send(Method::POST, &format!("/api/config/v1/{path}"), &body)
            .await
    };
    let group = make("jump-group", json!({"name": "Web Servers"})).await?;
    let mut cleared = Vec::new();
    for name in ["extended", "over"] {
        let body = json!({"jump_group_id": group["id"], "valid_duration": 10, "name": name});
        let made = make("jump-client/installer", body).await?;
        let (url, anchor) = (site.agent_url(), site.anchor()?);
        let package = fetch(&url, &anchor, &made, None, machine.folder.path())?;
        cleared.push(Cleared(&machine, machine.path(name)));
        machine
            .install(&package, &["--install-dir", name])?
            .must(0, "init-script' start")?;
        if name == "extended" {
            let path = "/api/console/v1/jump-client-installers";
            let path = format!("{path}/{}/extend", made["id"]);
            let longer = json!({"valid_duration": 120});
            administrator.send(Method::POST, &path, &longer).await?;
        }
    }
    site.clock.advance(660_000_000);
    let end = now.plus(left);
    until("the time of the packages is over", async || {
        Ok(SystemClock.now() > end.plus(1_000_000))
    })
    .await?;
    for name in ["extended", "over"] {
        machine.script(&machine.path(name), "init-script", &["start"])?;
    }
    until("the extended one is there", async || {
        let clients = api.get("/api/config/v1/jump-client").await?;
        let clients = clients.as_array().context("a list")?;
        Ok(clients.len() == 1 && clients[0]["name"] == "extended")
    })
    .await?;
    let over = machine.path("over");
    until(
        "the other one took itself away",
        async || Ok(!over.exists()),
    )
    .await?;
    let log = fs::read_to_string(machine.path("over.log"))?;
    ensure!(log.contains("ended and was removed"), "{log}");
    machine
        .script(&machine.path("extended"), "init-script", &["status"])?
        .must(0, "runs as process")?;
    drop(cleared);
    site.stop().await?;
    Ok(())
}
