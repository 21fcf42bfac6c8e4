//! Runs the built program: short commands to their end, servers until they are stopped.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventstore::Location;
use eventstore::testing::TestDatabase;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, told nothing by the environment of whoever runs the tests.
pub(crate) fn gatebook(arguments: &[&str]) -> Command {
    program(Path::new(PROGRAM), arguments)
}

/// The program that was built.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gatebook");

/// A program that stands elsewhere, as [`gatebook`].
fn program(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(file);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GATEBOOK_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Stdout as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Stdout as JSON Lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.stdout.lines().map(line).collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: &[&str]) -> Ran {
    finish(gatebook(arguments)).await
}

/// Runs a command to its end.
pub(crate) async fn finish(mut command: Command) -> Ran {
    let output = timeout(PATIENCE, command.output())
        .await
        .expect("it ends in time");
    output.expect("the program runs").into()
}

/// Runs a command that must do well.
pub(crate) async fn done(arguments: &[&str]) -> Ran {
    let ran = run(arguments).await;
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    ran
}

/// The path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// The URL of a PostgreSQL database.
pub(crate) fn url_of(database: &TestDatabase) -> &str {
    match database.location() {
        Location::Postgres { url } => url,
        Location::Sqlite { .. } => panic!("a PostgreSQL database was made"),
    }
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    /// The HTTPS listener.
    pub(crate) https: SocketAddr,
    /// The HTTP listener, if there is one.
    pub(crate) http: Option<SocketAddr>,
    /// Everything it has written to stderr so far.
    pub(crate) written: Arc<Mutex<Vec<String>>>,
    certificate: std::path::PathBuf,
    reading: JoinHandle<()>,
}

impl Server {
    /// Serves the site in `data` on a port of its own and waits until it says so.
    pub(crate) async fn start(data: &Path, more: &[&str]) -> Self {
        match Self::try_start(data, more).await {
            Ok(server) => server,
            Err(ran) => panic!("it does not serve: {}", ran.stderr),
        }
    }

    /// As [`Server::start`]; what it came to if it ends before it serves.
    pub(crate) async fn try_start(data: &Path, more: &[&str]) -> Result<Self, Ran> {
        Self::try_start_of(Path::new(PROGRAM), data, more).await
    }

    /// As [`Server::try_start`], of a program that stands elsewhere.
    pub(crate) async fn try_start_of(file: &Path, data: &Path, more: &[&str]) -> Result<Self, Ran> {
        let serve = ["serve", "--data", text(data), "--listen", "127.0.0.1:0"];
        let mut command = program(file, &serve);
        command.args(["--log-format", "json"]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let written = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let (addresses, mut said) = mpsc::channel(4);
        let kept = Arc::clone(&written);
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                let address = json["address"]
                    .as_str()
                    .and_then(|address| address.parse().ok());
                let message = json["message"].as_str().unwrap_or_default().to_owned();
                kept.lock().unwrap().push(line);
                // Nobody listens any more once it serves.
                let _ = addresses.send((message, address)).await;
            }
        });
        let wants_http = more.contains(&"--listen-http");
        let (mut https, mut http) = (None, None);
        let waiting = async {
            while let Some((message, address)) = said.recv().await {
                match message.as_str() {
                    "serving HTTPS" => https = address,
                    "serving HTTP for loopback and trusted proxies" => http = address,
                    _ => {}
                }
                if https.is_some() && (http.is_some() || !wants_http) {
                    return;
                }
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .expect("it serves or ends in time");
        drop(said);
        match https {
            Some(https) => Ok(Self {
                child,
                https,
                http,
                written,
                certificate: data.join("site-ca.pem"),
                reading,
            }),
            None => {
                let status = child.wait().await.expect("it ends");
                reading.await.expect("stderr was read");
                Err(Ran {
                    code: status.code().unwrap_or(-1),
                    stdout: String::new(),
                    stderr: written.lock().unwrap().join("\n"),
                })
            }
        }
    }

    /// A client that trusts the site's authority and nothing else.
    pub(crate) fn client(&self) -> reqwest::Client {
        client_trusting(&std::fs::read(&self.certificate).expect("site-ca.pem is there"))
    }

    /// An URL on the server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https.port())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        kill(
            Pid::from_raw(i32::try_from(id).expect("ids are small")),
            signal,
        )
        .expect("it can be signalled");
    }

    /// Asks it to stop and waits.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it stops in time")
            .expect("it ends")
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Ran {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends in time")
            .expect("it ends");
        self.reading.await.expect("stderr was read");
        Ran {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: self.written.lock().unwrap().join("\n"),
        }
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// A token of the API account, or the status of the refusal.
    pub(crate) async fn token(&self, credentials: &Value) -> Result<String, u16> {
        let account = &credentials["api_account"];
        let answer = self
            .client()
            .post(self.url("/oauth2/token"))
            .basic_auth(
                account["client_id"].as_str().unwrap(),
                account["client_secret"].as_str(),
            )
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .expect("the server answers");
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let answer: Value = answer.json().await.unwrap();
        Ok(answer["access_token"].as_str().unwrap().to_owned())
    }

    /// Whether somebody can sign in to the console.
    pub(crate) async fn signs_in(&self, username: &str, password: &str) -> bool {
        let body = serde_json::json!({"bearer": true, "username": username, "password": password});
        let sent = self
            .client()
            .post(self.url("/api/console/v1/sign-in"))
            .json(&body)
            .send()
            .await;
        sent.expect("the server answers").status().is_success()
    }
}

/// A client that trusts one authority and nothing else.
pub(crate) fn client_trusting(pem: &[u8]) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(pem).expect("it is a certificate")])
        .timeout(PATIENCE)
        .build()
        .expect("a client can be made")
}

/// Waits until `condition` gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let waiting = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"))
}
