//! A real mail server for tests: `tests/mail_server.py` in a process of its own. What it makes of a mail depends on the
//! recipient; the script says how.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// The interpreter that has `aiosmtpd`; `cargo xtask test` makes one, and it is the one with `xmlschema`.
const INTERPRETER: &str = "GATEBOOK_TEST_XMLSCHEMA_PYTHON";

/// Longest wait for a line of the mail server.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a mail server is started.
#[derive(Clone, Debug, Default)]
pub struct MailServerOptions {
    /// `none`, `starttls`, `tls`, or `inject` for one that a stranger meddles with.
    pub mode: &'static str,
    /// Certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// `NAME:PASSWORD` that must be shown.
    pub user: Option<&'static str>,
    /// Where it listens; 0 for anywhere.
    pub port: u16,
}

/// A mail server that runs until this is dropped.
pub struct MailServer {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl MailServer {
    /// In clear and without a user.
    pub async fn plain() -> Self {
        Self::start(MailServerOptions {
            mode: "none",
            ..MailServerOptions::default()
        })
        .await
    }

    /// As the options say.
    ///
    /// # Panics
    /// Where there is no Python with `aiosmtpd`.
    pub async fn start(options: MailServerOptions) -> Self {
        let python = std::env::var(INTERPRETER).unwrap_or_else(|_| {
            panic!(
                "{INTERPRETER} is not set: run cargo xtask test, it makes a Python with aiosmtpd"
            )
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail_server.py");
        let mut command = Command::new(python);
        command.args(["-u", "-I"]).arg(script);
        command.args(["--mode", options.mode]);
        if let Some((certificate, key)) = &options.certificate {
            command.arg("--certificate").arg(certificate);
            command.arg("--key").arg(key);
        }
        if let Some(user) = options.user {
            command.args(["--user", user]);
        }
        command.arg("--port").arg(options.port.to_string());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python runs");
        let stdout = child.stdout.take().expect("its output");
        let mut server = Self {
            port: 0,
            lines: BufReader::new(stdout).lines(),
            _child: child,
        };
        server.port = server.next().await["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .expect("a port");
        server
    }

    /// What it says next.
    ///
    /// # Panics
    /// Where it says nothing in time.
    pub async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the mail server says something")
            .expect("its output can be read")
            .expect("the mail server runs");
        serde_json::from_str(&line).expect("a line of JSON")
    }

    /// The next mail it took.
    ///
    /// # Panics
    /// Where none comes in time.
    pub async fn mail(&mut self) -> Value {
        loop {
            let mut line = self.next().await;
            if line.get("mail").is_some() {
                return line["mail"].take();
            }
        }
    }

    /// How it was difficult next.
    ///
    /// # Panics
    /// Where it takes a mail meanwhile, or nothing comes in time.
    pub async fn difficult(&mut self) -> Value {
        let line = self.next().await;
        assert!(line.get("difficult").is_some(), "{line}");
        line
    }

    /// Whether it says nothing more within `pause`.
    pub async fn is_silent_for(&mut self, pause: Duration) -> bool {
        timeout(pause, self.lines.next_line()).await.is_err()
    }
}
