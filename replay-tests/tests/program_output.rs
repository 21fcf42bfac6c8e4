//! What the programs write: never what is secret, and nothing that anything depends on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use eventstore::testing::TestDatabase;
use replay_tests::caller::Caller;
use replay_tests::fleet::{Fleet, until};
use replay_tests::program::{Running, Site, agent_logging, built};
use reqwest::Method;
use serde_json::{Value, json};

/// Turns the signal that a file got too large into an error of the write, as a full disk gives one.
const WITHOUT_THE_SIGNAL: [&str; 3] = ["sh", "-c", r#"trap "" XFSZ; exec "$0" "$@""#];

fn full() -> Result<File> {
    Ok(OpenOptions::new().write(true).open("/dev/full")?)
}

/// A site whose server writes its log to `stderr`.
async fn logging_to(stderr: Stdio) -> Result<(Fleet, Running)> {
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve_logging("debug", stderr)?;
    Ok((Fleet::on(database, site).await?, server))
}

/// The server writes, an agent comes, both stop in order when they are told to.
async fn all_goes_on(
    fleet: &Fleet,
    server: Running,
    stderr: impl Fn() -> Result<Stdio>,
) -> Result<()> {
    let state = fleet.database.directory().join("agent");
    let agent = agent_logging(&fleet.https(), &fleet.key, &state, "debug", stderr()?)?;
    fleet.until_online(1).await?;
    agent.stop()?;
    fleet.until_online(0).await?;
    let path = "/api/config/v1/jump-group";
    let body = json!({"name": "More"});
    fleet.api.send(Method::POST, path, &body).await?;
    server.stop()?;
    let store = fleet.database.open().await;
    let log = store
        .read(
            &eventstore::Selection::All,
            1,
            eventstore::Direction::Forward,
            1_000,
        )
        .await?;
    store.close().await;
    let last = log.last().context("an event")?;
    ensure!(last.event_type == "NodeStopped", "{}", last.event_type);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_a_full_disk_costs_nothing_but_its_lines() -> Result<()> {
    let (fleet, server) = logging_to(full()?.into()).await?;
    all_goes_on(&fleet, server, || Ok(full()?.into())).await
}

/// `gatebook serve 2>&1 | head -1`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_any_more_costs_nothing_but_its_lines() -> Result<()> {
    let (fleet, mut server) = logging_to(Stdio::piped()).await?;
    let mut first = String::new();
    BufReader::new(server.take_stderr().context("a pipe")?).read_line(&mut first)?;
    ensure!(!first.is_empty());
    // The agent's pipe is closed before its first line.
    all_goes_on(&fleet, server, || {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        Ok(writer.into())
    })
    .await
}

/// Runs a command of the program with stdout on a full disk.
fn on_full_stdout(site: &Path, words: &[&str]) -> Result<Output> {
    let program = built("gatebook", "GATEBOOK_BIN")?;
    let output = Command::new(program)
        .args(words)
        .arg("--data")
        .arg(site)
        .stdout(full()?)
        .stderr(Stdio::piped())
        .output()?;
    Ok(output)
}

fn init(site: &Path) -> Result<Output> {
    let program = built("gatebook", "GATEBOOK_BIN")?;
    Ok(Command::new(program)
        .args(["init", "--data"])
        .arg(site)
        .output()?)
}

/// Threat B: what is shown once is shown before it is true.
#[tokio::test]
async fn credentials_that_can_not_be_shown_are_not_put_in_place() -> Result<()> {
    let database = TestDatabase::sqlite();
    let folder = database.directory().join("site");
    let refused = |output: Output, words: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
        ensure!(
            said.contains(words) && said.contains("No space left"),
            "{said}"
        );
        anyhow::Ok(())
    };
    refused(on_full_stdout(&folder, &["init"])?, "nothing was made")?;
    // As some supervisors start programs.
    let closed = Command::new("sh")
        .args(["-c", "exec \"$@\" >&-", "sh"])
        .arg(built("gatebook", "GATEBOOK_BIN")?)
        .args(["init", "--data"])
        .arg(&folder)
        .output()?;
    let said = String::from_utf8_lossy(&closed.stderr);
    ensure!(closed.status.code() == Some(1), "{}: {said}", closed.status);
    ensure!(
        said.contains("nothing was made") && said.contains("standard output is closed"),
        "{said}"
    );
    let store = database.open().await;
    ensure!(store.head().await?.position == 0, "the site was made");
    store.close().await;

    let made = init(&folder)?;
    ensure!(made.status.success(), "{made:?}");
    let credentials: Value = serde_json::from_slice(&made.stdout)?;
    refused(
        on_full_stdout(&folder, &["administrator", "reset"])?,
        "was not set",
    )?;
    for words in [&["log", "verify"][..], &["log", "read"], &["log", "export"]] {
        refused(on_full_stdout(&folder, words)?, "gatebook: ")?;
    }

    // The password of then is still the one, with a server that runs as well.
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve()?;
    refused(
        on_full_stdout(&folder, &["administrator", "reset"])?,
        "was not set",
    )?;
    let text = |name: &str| {
        credentials["administrator"][name]
            .as_str()
            .context("a text")
    };
    Caller::console(&site.url(), text("username")?, text("password")?).await?;
    server.stop()
}

fn contents(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Threat C: whatever is asked of the log, no frame, header or statement with a secret in it is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_c_no_level_of_the_log_shows_a_secret() -> Result<()> {
    let database = TestDatabase::sqlite();
    let logs = ["server.log", "agent.log"].map(|name| database.directory().join(name));
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve_logging("trace", File::create(&logs[0])?.into())?;
    let fleet = Fleet::on(database, site).await?;
    let state = fleet.database.directory().join("agent");
    let log = File::create(&logs[1])?.into();
    let agent = agent_logging(&fleet.https(), &fleet.key, &state, "trace", log)?;
    fleet.until_online(1).await?;
    let item = fleet.anna.get("/api/console/v1/items").await?["items"][0].clone();
    let session = fleet.jump(&item).await?;
    fleet.end(&session).await?;
    let identity: Value = serde_json::from_str(&contents(&state.join("identity.json"))?)?;
    agent.stop()?;
    server.stop()?;

    let key = fleet.key.as_bytes();
    let key = URL_SAFE_NO_PAD
        .decode(key)
        .or_else(|_| STANDARD.decode(key))?;
    let key: Value = serde_json::from_slice(&key)?;
    let first_run = fleet.site.first_run()?;
    let secrets = [
        ("the installer's secret", &key["secret"]),
        ("the agent's token", &identity["client"]["token"]),
        (
            "the administrator's password",
            &first_run["administrator"]["password"],
        ),
        (
            "the client secret",
            &first_run["api_account"]["client_secret"],
        ),
        ("a user's password", &json!("correct horse battery")),
        ("a sign-in", &json!(fleet.anna.token())),
        ("an API token", &json!(fleet.api.token())),
    ];
    for log in &logs {
        let text = contents(log)?;
        ensure!(text.lines().count() >= 3, "{log:?} says little: {text}");
        for (what, secret) in secrets {
            let secret = secret
                .as_str()
                .with_context(|| format!("{what} is no text"))?;
            ensure!(secret.len() > 10, "{what}: {secret}");
            ensure!(!text.contains(secret), "{what} is in {}", log.display());
        }
    }
    Ok(())
}

/// A log line that found no room is counted, and the count is told when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_were_dropped_are_told_when_there_is_room_again() -> Result<()> {
    let database = TestDatabase::sqlite();
    let file = database.directory().join("server.log");
    // So far behind the log's own files that a bound between them stops its lines and nothing else.
    File::create(&file)?.set_len(1 << 30)?;
    let site = Site::at(database.location(), database.directory())?;
    let log = OpenOptions::new().append(true).open(&file)?;
    let server = site.serve_logging_by(&WITHOUT_THE_SIGNAL, "debug", log.into())?;
    let grow_to = |bound: &str| {
        let process = server.id().to_string();
        let bound = format!("--fsize={bound}:");
        let done = Command::new("prlimit")
            .args(["--pid", &process, &bound])
            .status();
        ensure!(done.context("prlimit of util-linux is needed")?.success());
        anyhow::Ok(())
    };
    let no_handshake = || {
        let mut stream = TcpStream::connect(site.https)?;
        stream.write_all(b"no handshake\n")?;
        // Closed by the server, which logs why; as a reset where it has not read all of this.
        match stream.read_to_end(&mut Vec::new()) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            read => read.map(drop),
        }
    };
    grow_to("536870912")?;
    for _ in 0..3 {
        no_handshake()?;
    }
    let before = std::fs::metadata(&file)?.len();
    grow_to("unlimited")?;
    until("the count of dropped lines is told", async || {
        no_handshake()?;
        let mut log = File::open(&file)?;
        log.seek(SeekFrom::Start(before))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        Ok(text.contains("lines of the log that could not be written: "))
    })
    .await?;
    server.stop()
}
