//! A real ticket system for tests: `tests/ticket_system.py` in a process of its own, over HTTP, or over HTTPS under an authority
//! of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Longest wait for a line of the ticket system.
const PATIENCE: Duration = Duration::from_secs(30);

/// An authority that vouches for servers of `localhost` and 127.0.0.1.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes certificate and key of a server to `folder`.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn issue(&self, folder: &Path, names: &[&str]) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let paths = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&paths.0, certificate.pem()).expect("a file");
        std::fs::write(&paths.1, key.serialize_pem()).expect("a file");
        paths
    }
}

/// A ticket system that runs until this is dropped.
pub struct TicketSystem {
    /// Where it listens.
    pub port: u16,
    scheme: &'static str,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl TicketSystem {
    /// Over HTTP; `trust` is what it trusts when it answers.
    pub async fn http(trust: Option<&Path>) -> Self {
        Self::start("http", None, trust).await
    }

    /// Over HTTPS with this certificate and key.
    pub async fn https(server: &(PathBuf, PathBuf), trust: Option<&Path>) -> Self {
        Self::start("https", Some(server), trust).await
    }

    async fn start(
        scheme: &'static str,
        server: Option<&(PathBuf, PathBuf)>,
        trust: Option<&Path>,
    ) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ticket_system.py");
        let mut command = Command::new("python3");
        command.arg("-u").arg(script);
        if let Some((certificate, key)) = server {
            command.arg("--certificate").arg(certificate);
            command.arg("--key").arg(key);
        }
        if let Some(trust) = trust {
            command.arg("--trust").arg(trust);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 runs");
        let stdout = child.stdout.take().expect("its output");
        let mut system = Self {
            port: 0,
            scheme,
            lines: BufReader::new(stdout).lines(),
            _child: child,
        };
        let first = system.next().await;
        system.port = first["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .expect("a port");
        system
    }

    /// The URL that makes it do `what`; see the script.
    #[must_use]
    pub fn url(&self, what: &str) -> String {
        format!("{}://127.0.0.1:{}/{what}", self.scheme, self.port)
    }

    /// The same with a host name.
    #[must_use]
    pub fn url_at(&self, host: &str, what: &str) -> String {
        format!("{}://{host}:{}/{what}", self.scheme, self.port)
    }

    /// What it says next.
    pub async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the ticket system says something")
            .expect("its output can be read")
            .expect("the ticket system runs");
        serde_json::from_str(&line).expect("a line of JSON")
    }

    /// The next line that has this member.
    pub async fn next_with(&mut self, member: &str) -> Value {
        loop {
            let line = self.next().await;
            if line.get(member).is_some() {
                return line;
            }
        }
    }

    /// Whether it says nothing more within `pause`.
    pub async fn is_silent_for(&mut self, pause: Duration) -> bool {
        timeout(pause, self.lines.next_line()).await.is_err()
    }
}
