//! From nothing to a machine and back, with the real programs: an installer is made over HTTP, its package is fetched with
//! curl, run with sh by an ordinary user, used, and taken away. Then all that must not install anything.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use engine::Clock;
use eventstore::Selection;
use eventstore::testing::TestDatabase;
use gatebook::clock::SystemClock;
use nix::unistd::geteuid;
use replay_tests::caller::Caller;
use replay_tests::clocked::ClockedSite;
use replay_tests::fleet::{Fleet, until};
use replay_tests::machine::{
    Cleared, Machine, NOBODY, Said, authority, fetch, installer, key_of, number_of, until_status,
};
use replay_tests::program::Site;
use reqwest::Method;
use serde_json::{Value, json};

/// CLNT-05, CLNT-07, CLNT-25, CLNT-27, INST-05, INST-06, INST-16, INST-26, INST-33, INST-45, INST-46, INST-48, INST-49, INST-50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_comes_is_used_and_goes() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let made = installer(
        &fleet,
        json!({"allow_override_name": true, "allow_override_tag": true}),
    )
    .await?;
    let package = fetch(
        &fleet.https(),
        &authority(&fleet),
        &made,
        None,
        machine.folder.path(),
    )?;
    let directory = machine.path("jumpclient");
    let cleared = Cleared(&machine, directory.clone());
    let words = [
        "--install-dir",
        "jumpclient",
        "--jc-tag",
        "servers",
        "--jc-name",
        "db",
        "one",
    ];
    let told = machine
        .install(&package, &words)?
        .must(0, "init-script' start")?;
    ensure!(
        told.out
            .contains(&format!("\nUser={}\n", machine.user.name)),
        "{}",
        told.out
    );
    ensure!(
        told.out.contains("[Service]") && told.out.contains("-m 644"),
        "{}",
        told.out
    );
    let as_user = format!(
        "runuser -u '{}' -- '{}'",
        machine.user.name,
        directory.join("uninstall").display()
    );
    ensure!(told.out.contains(&as_user), "{}", told.out);
    ensure!(
        fs::metadata(&directory)?.mode() & 0o777 == 0o700,
        "others may look in"
    );
    let script = |word: &str| machine.script(&directory, "init-script", &[word]);
    script("status")?.must(3, "does not run")?;
    script("dance")?.must(2, "start|stop|restart|status")?;

    // Until the site is there it keeps trying.
    server.stop()?;
    script("start")?.must(0, "runs as process")?;
    let log = directory.join("state/agent.log");
    until("it has tried in vain", async || {
        Ok(fs::read_to_string(&log)?.contains("not connected"))
    })
    .await?;
    let server = fleet.site.serve()?;
    let item = until_status(&fleet, "db one", "active").await?;
    ensure!(item["tag"] == "servers", "{item}");
    script("status")?.must(0, "runs as process")?;
    script("start")?.must(0, "runs already")?;
    check_secrets(&directory, &made)?;
    // With an identity it is of no use but to a thief, however long the agent runs.
    let description = directory.join("state/installation.json");
    until("the key is forgotten", async || {
        Ok(!fs::read_to_string(&description)?.contains(key_of(&made)?))
    })
    .await?;

    let path = format!(
        "/api/console/v1/items/{}",
        item["id"].as_str().context("an id")?
    );
    until("the figures are there", async || {
        Ok(fleet.anna.get(&path).await?["figures"].is_object())
    })
    .await?;
    let path = format!("/api/config/v1/jump-client/{}", number_of(&item)?);
    ensure!(fleet.api.get(&path).await?["install_mode"] == "service");
    let session = fleet.jump(&item).await?;
    fleet.end(&session).await?;

    script("restart")?.must(0, "runs as process")?;
    let item = until_status(&fleet, "db one", "active").await?;

    machine
        .script(&directory, "uninstall", &[])?
        .must(0, "removed from")?;
    ensure!(!directory.exists(), "files are left");
    let gone = until_status(&fleet, "db one", "uninstalled").await?;
    ensure!(gone["id"] == item["id"], "{gone}");
    let body = json!({"item": gone["id"]});
    let (status, said) = fleet
        .anna
        .ask(Method::POST, "/api/console/v1/sessions", &body)
        .await?;
    ensure!(
        (400..500).contains(&status),
        "it is visible, not accessible: {status} {said}"
    );
    let events = fleet
        .events(Selection::Category("jump_client".to_owned()))
        .await?;
    ensure!(
        events
            .iter()
            .any(|(name, _)| name == "JumpClientUninstalled"),
        "{events:?}"
    );
    drop(cleared);
    server.stop()
}

/// threat C: neither the command line of the process nor its log shows a secret.
fn check_secrets(directory: &Path, made: &Value) -> Result<()> {
    let key = key_of(made)?;
    let process = fs::read_to_string(directory.join("state/agent.pid"))?;
    let line = fs::read(format!("/proc/{}/cmdline", process.trim()))?;
    let line = String::from_utf8_lossy(&line);
    ensure!(
        line.contains("--installation") && !line.contains(key),
        "{line}"
    );
    let log = fs::read_to_string(directory.join("state/agent.log"))?;
    ensure!(!log.contains(key), "{log}");
    Ok(())
}

/// INST-23, INST-25, INST-27, INST-28, INST-34, INST-51, threat R
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_installed_is_not() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let made = installer(&fleet, json!({"name": "web"})).await?;
    let package = fetch(
        &fleet.https(),
        &authority(&fleet),
        &made,
        None,
        machine.folder.path(),
    )?;
    let directory = machine.path("client");
    let into = |more: &[&str]| -> Result<Said> {
        let words = [&["--install-dir", "client"], more].concat();
        machine.install(&package, &words)
    };
    // Wrong parameters, each by its name; none of them leaves anything.
    into(&["--jc-jump-group", "team:support"])?.must(2, "does not take team:")?;
    into(&["--jc-nmae", "x"])?.must(2, "\"--jc-nmae\" is not a parameter")?;
    into(&["--key-info", "x"])?.must(2, "the package brings its key")?;
    machine
        .install(&package, &[])?
        .must(1, "--install-dir <directory_path> is needed")?;
    into(&["--user", "no-such-user"])?.must(1, "there is no user no-such-user")?;
    ensure!(!directory.exists());
    // Each has its entry in the log, also where no directory is known to be fit.
    let log = fs::read_to_string(machine.path("failures.log"))?;
    for words in [
        "does not take team:",
        "is not a parameter",
        "the package brings its key",
        "is needed",
        "there is no user",
    ] {
        ensure!(log.contains(words), "{words}: {log}");
    }

    // A field that is not marked for override: all of it fails, with an entry in the log.
    into(&["--jc-tag", "servers"])?
        .must(2, "--jc-tag was given, but this installer does not allow")?;
    let log = fs::read_to_string(machine.path("client.log"))?;
    ensure!(
        log.contains("installation failed: --jc-tag was given"),
        "{log}"
    );
    into(&["--jc-public-site-address", "x"])?.must(2, "--jc-public-site-address was given")?;
    let silent = into(&["--jc-tag", "servers", "--silent"])?.must(2, "")?;
    ensure!(
        silent.out.is_empty() && silent.error.is_empty(),
        "{}{}",
        silent.out,
        silent.error
    );
    let log = fs::read_to_string(machine.path("client.log"))?;
    ensure!(log.lines().count() == 3, "{log}");
    ensure!(!directory.exists());
    hostile_directories(&machine, &package)?;
    damaged_packages(&machine, &package)?;
    server.stop()
}

fn hostile_directories(machine: &Machine, package: &Path) -> Result<()> {
    let into = |name: &str| -> Result<Said> {
        let path = machine.path(name);
        machine.install(
            package,
            &["--install-dir", path.to_str().context("a name")?],
        )
    };
    let make = |name: &str, mode: u32| -> Result<()> {
        fs::create_dir(machine.path(name))?;
        chown(machine.path(name), Some(machine.user.uid.as_raw()), None)?;
        fs::set_permissions(machine.path(name), fs::Permissions::from_mode(mode))?;
        Ok(())
    };
    make("there", 0o700)?;
    into("there")?.must(1, "exists already")?;
    symlink("/nowhere", machine.path("dangling"))?;
    into("dangling")?.must(1, "exists already")?;
    symlink(machine.path("there"), machine.path("link"))?;
    into("link/client")?.must(1, "is a symbolic link")?;
    make("open", 0o777)?;
    into("open/client")?.must(1, "has no sticky bit")?;
    into("none/client")?.must(1, "does not exist")?;
    machine
        .install(package, &["--install-dir", "/proc/client"])?
        .must(1, "installation failed")?;
    if geteuid().is_root() {
        make("locked", 0o755)?;
        chown(machine.path("locked"), Some(0), Some(0))?;
        into("locked/client")?.must(1, "you may not write there")?;
        make("of-another", 0o777)?;
        fs::set_permissions(
            machine.path("of-another"),
            fs::Permissions::from_mode(0o1777),
        )?;
        chown(machine.path("of-another"), Some(1), None)?;
        into("of-another/client")?.must(1, "belongs to another user")?;
        make("of-a-group", 0o770)?;
        chown(machine.path("of-a-group"), None, Some(1))?;
        into("of-a-group/client")?.must(1, "is writable for a group")?;
    }
    for name in ["there", "open", "locked", "of-another", "of-a-group"] {
        let path = machine.path(name);
        ensure!(
            !path.exists() || fs::read_dir(&path)?.next().is_none(),
            "something is in {name}"
        );
    }
    Ok(())
}

fn damaged_packages(machine: &Machine, package: &Path) -> Result<()> {
    let whole = fs::read(package)?;
    let try_it = |bytes: &[u8], words: &str| -> Result<()> {
        let path = machine.path("damaged.bin");
        fs::write(&path, bytes)?;
        let said = machine.install(&path, &["--install-dir", "client"])?;
        ensure!(said.code != Some(0), "a damaged package was installed");
        ensure!(
            said.error.contains(words),
            "\"{words}\" was expected: {}",
            said.error
        );
        ensure!(!machine.path("client").exists(), "something was left");
        let log = fs::read_to_string(machine.path("failures.log"))?;
        ensure!(log.contains(words), "\"{words}\" was expected: {log}");
        Ok(())
    };
    let flipped = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x20;
        bytes
    };
    try_it(&flipped(whole.len() / 2), "altered or damaged")?;
    try_it(&flipped(whole.len() - 10), "altered or damaged")?;
    let descriptor = whole
        .windows(13)
        .position(|window| window == b"\"may_override")
        .context("the description")?;
    try_it(&flipped(descriptor), "altered or damaged")?;
    try_it(&whole[..whole.len() - 1], "incomplete or was altered")?;
    try_it(&whole[..whole.len() / 2], "incomplete or was altered")?;
    // Cut inside the script: the shell finds no end of it, and runs none of it.
    try_it(&whole[..1_500], "")?;
    Ok(())
}

/// INST-44, INST-46, INST-47, CLNT-06, CLNT-08, CLNT-09, CLNT-10, threat R. Only root can try what root may not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_root_installs_does_not_run_as_root() -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let made = installer(&fleet, json!({"name": "served"})).await?;
    let url = fleet.https();
    let package = fetch(&url, &authority(&fleet), &made, None, machine.folder.path())?;
    let desktop = fetch(
        &url,
        &authority(&fleet),
        &made,
        Some("linux-64"),
        machine.folder.path(),
    )?;
    let roots = tempfile::tempdir()?;
    fs::set_permissions(roots.path(), fs::Permissions::from_mode(0o755))?;
    let install = |package: &Path, directory: &Path, more: &[&str]| -> Result<Said> {
        let mut command = machine.command_of_root("sh");
        command
            .arg(package)
            .arg("--install-dir")
            .arg(directory)
            .args(more);
        Ok(Said::of(command.output()?))
    };
    let name = machine.user.name.as_str();
    // A headless client needs a name; one in the user's own folder is the user's altogether.
    let own = machine.path("own");
    install(&package, &own, &[])?.must(1, "warning: it is not recommended")?;
    ensure!(!own.exists());
    install(&package, &own, &["--user", "root"])?.must(1, "is not to run as root")?;
    ensure!(!own.exists());
    let roots_own = roots.path().join("roots-own");
    install(&package, &roots_own, &["--user", "root", "--allow-root"])?.must(0, "\nUser=root\n")?;
    let mut command = machine.command_of_root("sh");
    Said::of(command.arg(roots_own.join("uninstall")).output()?).must(0, "removed from")?;
    install(&package, &own, &["--user", name])?.must(0, &format!("\nUser={name}\n"))?;
    for part in [
        "",
        "gatebook-agent",
        "init-script",
        "uninstall",
        "state",
        "state/installation.json",
    ] {
        ensure!(
            fs::metadata(own.join(part))?.uid() == NOBODY,
            "{part} is not the user's"
        );
    }
    // In service mode its programs are root's, so that nobody else decides what root runs.
    let service = roots.path().join("client");
    install(&desktop, &service, &[])?.must(1, "the service itself must not run as root")?;
    install(&desktop, &service, &["--user", "root"])?.must(1, "must not run as root")?;
    ensure!(!service.exists());
    let cleared = Cleared(&machine, service.clone());
    let said =
        install(&desktop, &service, &["--user", name])?.must(0, &format!("runs as {name}"))?;
    let comes_back = Path::new("/run/systemd/system").is_dir();
    ensure!(
        said.out.contains("does not come back after a reboot") != comes_back,
        "{}",
        said.out
    );
    for part in ["", "gatebook-agent", "init-script", "uninstall"] {
        ensure!(
            fs::metadata(service.join(part))?.uid() == 0,
            "{part} is not root's"
        );
    }
    let process = fs::read_to_string(service.join("state/agent.pid"))?;
    let process = PathBuf::from(format!("/proc/{}", process.trim()));
    ensure!(fs::metadata(&process)?.uid() == NOBODY, "it runs as root");
    let item = until_status(&fleet, "served", "active").await?;
    // Nobody is logged on at it, and there is a session all the same.
    let path = format!("/api/config/v1/jump-client/{}", number_of(&item)?);
    let client = fleet.api.get(&path).await?;
    ensure!(client["install_mode"] == "service", "{client}");
    let session = fleet.jump(&item).await?;
    fleet.end(&session).await?;
    // Its user may not take away what root installed; root may.
    machine
        .script(&service, "uninstall", &[])?
        .must(4, "only root may do that")?;
    let mut command = machine.command_of_root("sh");
    Said::of(command.arg(service.join("uninstall")).output()?).must(0, "removed from")?;
    ensure!(!service.exists(), "its files are still there");
    // A process that has ended may stay in the list until somebody asks for its status; it has no program then.
    ensure!(fs::read_link(process.join("exe")).is_err(), "it still runs");
    let gone = until_status(&fleet, "served", "uninstalled").await?;
    ensure!(gone["id"] == item["id"]);
    // The other one was never started: root may take it away as well.
    let mut command = machine.command_of_root("sh");
    Said::of(command.arg(own.join("uninstall")).output()?).must(0, "removed from")?;
    ensure!(!own.exists());
    drop(cleared);
    server.stop()
}

/// CLNT-26, INST-04, INST-05
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installer_that_ran_out_installs_nothing_and_takes_back_what_never_came() -> Result<()> {
    let machine = Machine::new()?;
    let now = SystemClock.now();
    // On this site's clock it is ten minutes ago, less a few seconds: the shortest installer runs out soon.
    let left = Duration::from_secs(12);
    let site = ClockedSite::start(now.plus(i64::try_from(left.as_micros())? - 600_000_000)).await?;
    let api = site.api().await?;
    let make = async |path: &str, body: Value| {
        api.send(Method::POST, &format!("/api/config/v1/{path}"), &body)
            .await
    };
    let group = make("jump-group", json!({"name": "Web Servers"})).await?;
    let body = json!({"jump_group_id": group["id"], "valid_duration": 10});
    let made = make("jump-client/installer", body).await?;
    let package = fetch(
        &site.agent_url(),
        &site.anchor()?,
        &made,
        None,
        machine.folder.path(),
    )?;
    let directory = machine.path("late");
    let cleared = Cleared(&machine, directory.clone());
    machine
        .install(&package, &["--install-dir", "late"])?
        .must(0, "init-script' start")?;
    site.stop().await?;
    machine
        .script(&directory, "init-script", &["start"])?
        .must(0, "runs as process")?;
    until("it took itself away", async || Ok(!directory.exists())).await?;
    let log = fs::read_to_string(machine.path("late.log"))?;
    ensure!(
        log.contains("could not connect while its installer was valid"),
        "{log}"
    );
    machine
        .install(&package, &["--install-dir", "later"])?
        .must(1, "by this machine's clock it is 20")?;
    ensure!(!machine.path("later").exists());
    drop(cleared);
    Ok(())
}

/// INST-06, threat N: a client of one site does not come to another that answers at the same address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_of_another_site_brings_no_client() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let made = installer(&fleet, json!({"name": "lost"})).await?;
    let package = fetch(
        &fleet.https(),
        &authority(&fleet),
        &made,
        None,
        machine.folder.path(),
    )?;
    let directory = machine.path("lost");
    let cleared = Cleared(&machine, directory.clone());
    machine
        .install(&package, &["--install-dir", "lost"])?
        .must(0, "")?;
    server.stop()?;
    let database = TestDatabase::sqlite();
    let mut other = Site::at(database.location(), database.directory())?;
    (other.https, other.http) = (fleet.site.https, fleet.site.http);
    let server = other.serve()?;
    machine
        .script(&directory, "init-script", &["start"])?
        .must(0, "runs as process")?;
    let log = directory.join("state/agent.log");
    until("it knows its own site", async || {
        Ok(fs::read_to_string(&log)?.contains("certificate"))
    })
    .await?;
    let api = Caller::first_account(&other.url(), &other.first_run()?).await?;
    let clients = api.get("/api/config/v1/jump-client").await?;
    ensure!(clients == json!([]), "{clients}");
    machine
        .script(&directory, "init-script", &["stop"])?
        .must(0, "stopped")?;
    drop(cleared);
    server.stop()
}

/// INST-04, INST-13, INST-23: refused at its first start, it takes itself away. CLNT-26: one whose item is removed keeps its files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_client_that_is_refused_at_first_goes_and_one_that_is_removed_stays()
-> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let machine = Machine::new()?;
    let made = installer(&fleet, json!({"name": "kept"})).await?;
    let package = fetch(
        &fleet.https(),
        &authority(&fleet),
        &made,
        None,
        machine.folder.path(),
    )?;
    let kept = machine.path("kept");
    let first = Cleared(&machine, kept.clone());
    machine
        .install(&package, &["--install-dir", "kept"])?
        .must(0, "")?;
    machine
        .script(&kept, "init-script", &["start"])?
        .must(0, "runs as process")?;
    let item = until_status(&fleet, "kept", "active").await?;
    let refused = machine.path("refused");
    machine
        .install(&package, &["--install-dir", "refused"])?
        .must(0, "")?;
    let path = format!("/api/config/v1/jump-client/installer/{}", made["id"]);
    let deleted = fleet.api.request(Method::DELETE, &path).send().await?;
    ensure!(deleted.status() == 204, "{}", deleted.status());
    // Whether it ends before or after the script has seen it run depends on the machine.
    machine.script(&refused, "init-script", &["start"])?;
    until("the refused one took itself away", async || {
        Ok(!refused.exists())
    })
    .await?;
    let log = fs::read_to_string(machine.path("refused.log"))?;
    ensure!(
        log.contains("the Jump Client ended and was removed"),
        "{log}"
    );

    // The first one came in time and stays, until its item is removed; its files stay even then.
    let number = number_of(&item)?;
    let path = format!("/api/config/v1/jump-client/{number}");
    let deleted = fleet.api.request(Method::DELETE, &path).send().await?;
    ensure!(deleted.status() == 204, "{}", deleted.status());
    until("its agent ended", async || {
        let status = machine.script(&kept, "init-script", &["status"])?;
        Ok(status.code == Some(3))
    })
    .await?;
    ensure!(kept.join("gatebook-agent").exists(), "its files are gone");
    machine
        .script(&kept, "uninstall", &[])?
        .must(0, "removed from")?;
    ensure!(!kept.exists());
    drop(first);
    server.stop()
}

/// CLNT-14, CLNT-26: a headless client that was away for as long as the site's own rule allows is deleted there, and takes itself off
/// the machine when it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_client_that_was_deleted_for_being_away_uninstalls_itself() -> Result<()> {
    const DAYS: i64 = 181;
    let machine = Machine::new()?;
    let site = ClockedSite::start(SystemClock.now()).await?;
    let api = site.api().await?;
    let make = async |path: &str, body: Value| {
        api.send(Method::POST, &format!("/api/config/v1/{path}"), &body)
            .await
    };
    let group = make("jump-group", json!({"name": "Web Servers"})).await?;
    let body = json!({"jump_group_id": group["id"], "name": "away"});
    let made = make("jump-client/installer", body).await?;
    let package = fetch(
        &site.agent_url(),
        &site.anchor()?,
        &made,
        None,
        machine.folder.path(),
    )?;
    let directory = machine.path("away");
    let cleared = Cleared(&machine, directory.clone());
    machine
        .install(&package, &["--install-dir", "away"])?
        .must(0, "init-script' start")?;
    machine
        .script(&directory, "init-script", &["start"])?
        .must(0, "runs as process")?;
    let identity = directory.join("state/identity.json");
    let held = || -> Result<Value> { Ok(serde_json::from_slice(&fs::read(&identity)?)?) };
    until("it knows how long it may be away", async || {
        Ok(held()?["settings"]["remove_after_minutes"].is_u64())
    })
    .await?;
    machine
        .script(&directory, "init-script", &["stop"])?
        .must(0, "stopped")?;

    // Half a year goes by for the machine and for the site.
    let mut state = held()?;
    let seen_at = state["seen_at"].as_i64().context("when it was seen")?;
    state["seen_at"] = json!(seen_at - DAYS * 86_400);
    fs::write(&identity, serde_json::to_vec(&state)?)?;
    let path = "/api/config/v1/jump-client";
    until("the site knows it is offline", async || {
        Ok(api.get(path).await?[0]["last_disconnect_timestamp"].is_string())
    })
    .await?;
    site.clock.advance(DAYS * 86_400_000_000);
    let api = site.api().await?;
    until("the site has deleted it", async || {
        Ok(api.get(path).await? == json!([]))
    })
    .await?;
    machine.script(&directory, "init-script", &["start"])?;
    until("it took itself away", async || Ok(!directory.exists())).await?;
    let log = fs::read_to_string(machine.path("away.log"))?;
    ensure!(log.contains("ended and was removed"), "{log}");
    drop(cleared);
    site.stop().await?;
    Ok(())
}
