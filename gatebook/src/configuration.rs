//! What the program is told: flags, then the environment (both read by clap), then a TOML file, then defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use api::{AgentPrograms, MacSigning};
use chrono_tz::Tz;
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use ipnet::IpNet;
use serde::Deserialize;

use crate::command_line::{PlaceOptions, ServeOptions};
use crate::cron_schedule::CronSchedule;
use crate::place::Place;

/// Where the HTTPS listener is unless told otherwise.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// Connections at once unless told otherwise: what a process may have open on common systems (20,000 files), less a
/// share for the database and files. With 19,000 agents there is still room for people.
const CONNECTIONS_MAX_DEFAULT: usize = 19_700;

/// Everything a TOML file may say. A name that is not here is refused, so a slip of the pen is seen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    data: Option<PathBuf>,
    database: Option<String>,
    key_file: Option<PathBuf>,
    node: Option<String>,
    url: Option<String>,
    listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    listen_http: Option<SocketAddr>,
    #[serde(default)]
    trusted_proxy: Vec<IpNet>,
    agent_trust: Option<String>,
    agents: Option<PathBuf>,
    mac_signing: Option<SaidMacSigning>,
    log_format: Option<String>,
    #[serde(default)]
    maintenance: SaidMaintenance,
    #[serde(default)]
    limits: SaidLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SaidMaintenance {
    snapshot: String,
    sweep: String,
    zone: String,
}

impl Default for SaidMaintenance {
    fn default() -> Self {
        Self {
            snapshot: "0 */10 * * * *".to_owned(),
            sweep: "0 30 3 * * *".to_owned(),
            zone: "UTC".to_owned(),
        }
    }
}

/// How the macOS client is signed (INST-55).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidMacSigning {
    identifier: String,
    team_identifier: String,
    code_requirement: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SaidLimits {
    connections_max: usize,
}

impl Default for SaidLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX_DEFAULT,
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What agents are told to trust (architecture.md, "Trust between server and agents").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentTrust {
    /// The site's own authority.
    Site,
    /// The roots of the agent's operating system.
    System,
    /// The authorities in this PEM file.
    File(PathBuf),
}

/// When repeating maintenance runs.
#[derive(Clone)]
pub struct Maintenance {
    /// Snapshots of the World and the in-memory views.
    pub snapshot: CronSchedule,
    /// Deletion of expired tokens, sign-ins and idempotency keys.
    pub sweep: CronSchedule,
}

/// Everything `serve` is told.
pub struct Configuration {
    /// Where the site is kept.
    pub place: Place,
    /// The node's name.
    pub node: String,
    /// Under which URL the node is reached, without a slash at the end; none is [`url_of`] the listener.
    pub url: Option<String>,
    /// The HTTPS listener.
    pub listen: SocketAddr,
    /// Certificate chain and key, where not the site's authority issues them.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The listener without TLS.
    pub listen_http: Option<SocketAddr>,
    /// Peers that may use it beside loopback.
    pub trusted_proxies: Vec<IpNet>,
    /// What agents of a new site are told to trust; a site that has trust anchors keeps them.
    pub agent_trust: Option<AgentTrust>,
    /// The agent programs that installers are made of.
    pub agent_programs: AgentPrograms,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// When maintenance runs.
    pub maintenance: Maintenance,
    /// Connections at once, over both listeners.
    pub connections_max: usize,
}

/// What the program was told makes no sense; nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Misconfigured(anyhow::Error);

impl Misconfigured {
    /// What is wrong, and what to say instead.
    #[must_use]
    pub fn because(words: &'static str) -> Self {
        Self(anyhow::anyhow!(words))
    }
}

/// Where the site is, from flags, environment and file.
///
/// # Errors
/// The file can't be read or says what is not understood; no directory was named.
pub fn place(options: &PlaceOptions) -> Result<Place, Misconfigured> {
    read_place(options).map_err(Misconfigured)
}

/// All that `serve` needs, from flags, environment and file.
///
/// # Errors
/// The file can't be read; something said is not understood or contradicts something else.
pub fn serve(options: &ServeOptions) -> Result<Configuration, Misconfigured> {
    read_serve(options).map_err(Misconfigured)
}

fn read_place(options: &PlaceOptions) -> Result<Place> {
    let said: Said = merged(options.config.as_deref(), Serialized::defaults(options))?;
    place_of(said.data, said.database, said.key_file)
}

fn read_serve(options: &ServeOptions) -> Result<Configuration> {
    let said: Said = merged(
        options.place.config.as_deref(),
        Serialized::defaults(options),
    )?;
    let listen = said.listen.unwrap_or(LISTEN_DEFAULT);
    let tls = match (said.tls_cert, said.tls_key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => bail!("tls_cert and tls_key belong together: give both or none"),
    };
    if let Some(plain) = said.listen_http {
        ensure!(
            plain.ip().is_loopback() || !said.trusted_proxy.is_empty(),
            "listen_http {plain} is not a loopback address: API accounts may only come over HTTPS (AUTH-20). Name the \
             networks of the proxies that end TLS with --trusted-proxy, or listen on 127.0.0.1"
        );
    }
    let agent_trust = said.agent_trust.map(|said| match said.as_str() {
        "site" => AgentTrust::Site,
        "system" => AgentTrust::System,
        file => AgentTrust::File(PathBuf::from(file)),
    });
    let zone: Tz = said.maintenance.zone.parse().map_err(|_| {
        anyhow::anyhow!(
            "maintenance.zone {:?} is no IANA time zone such as Europe/Berlin",
            said.maintenance.zone
        )
    })?;
    let node = match said.node {
        Some(name) => name,
        None => host_name()?,
    };
    ensure!(
        (1..=64).contains(&node.chars().count()) && !node.chars().any(char::is_control),
        "node must be a name of 1 to 64 characters"
    );
    let log_format = match said.log_format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => bail!("log_format {other:?} is neither text nor json"),
    };
    let agent_programs = agent_programs(said.agents, said.mac_signing)?;
    Ok(Configuration {
        place: place_of(said.data, said.database, said.key_file)?,
        node,
        url: said.url.map(server_url).transpose()?,
        listen,
        tls,
        listen_http: said.listen_http,
        trusted_proxies: said.trusted_proxy,
        agent_trust,
        agent_programs,
        log_format,
        maintenance: Maintenance {
            snapshot: CronSchedule::parse(&said.maintenance.snapshot, zone)
                .context("reading maintenance.snapshot")?,
            sweep: CronSchedule::parse(&said.maintenance.sweep, zone)
                .context("reading maintenance.sweep")?,
        },
        connections_max: said.limits.connections_max.max(1),
    })
}

fn agent_programs(
    folder: Option<PathBuf>,
    mac_signing: Option<SaidMacSigning>,
) -> Result<AgentPrograms> {
    if let Some(folder) = &folder {
        ensure!(
            folder.is_dir(),
            "agents {} is no folder: it holds agent programs, such as linux-64/gatebook-agent",
            folder.display()
        );
    }
    let mac_signing = mac_signing.map(|said| MacSigning {
        identifier: said.identifier,
        team_identifier: said.team_identifier,
        code_requirement: said.code_requirement,
    });
    Ok(AgentPrograms {
        folder,
        beside: std::env::current_exe()
            .ok()
            .and_then(|own| agent_beside(&own)),
        mac_signing,
    })
}

/// The agent program in the folder of the server's program; in that above for programs of tests, which lie one folder deeper.
fn agent_beside(own: &Path) -> Option<PathBuf> {
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("gatebook-agent"))
        .find(|agent| agent.is_file())
}

fn merged<T: serde::Serialize>(file: Option<&Path>, flags: Serialized<T>) -> Result<Said> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        // A file that was named and is not there is a mistake; figment alone would read it as empty.
        ensure!(
            file.is_file(),
            "the configuration file {} does not exist",
            file.display()
        );
        figment = figment.merge(Toml::file_exact(file));
    }
    figment
        .merge(flags)
        .extract()
        .context("reading the configuration")
}

fn place_of(
    data: Option<PathBuf>,
    database: Option<String>,
    key_file: Option<PathBuf>,
) -> Result<Place> {
    let data = data.context(
        "no directory was named: give --data DIR, GATEBOOK_DATA, or `data` in the configuration file",
    )?;
    Ok(Place::new(data, database, key_file))
}

/// The URL of a node that was given none: it is reached under the name every machine has for itself.
#[must_use]
pub fn url_of(listen: SocketAddr) -> String {
    let host = if listen.ip().is_unspecified() || listen.ip().is_loopback() {
        "localhost".to_owned()
    } else {
        match listen.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    };
    format!("https://{host}:{}", listen.port())
}

/// Checks that `url` is a scheme, a host and perhaps a port, and takes a slash at the end away.
///
/// # Errors
/// It is something else.
pub fn server_url(url: String) -> Result<String> {
    let parsed = url::Url::parse(&url).with_context(|| format!("url {url:?} can't be read"))?;
    ensure!(
        matches!(parsed.scheme(), "https" | "http")
            && parsed.host_str().is_some()
            && parsed.path() == "/"
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none(),
        "url {url:?} must be https://HOST or https://HOST:PORT and nothing more"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// The machine's host name, cut to what a node's name may be.
fn host_name() -> Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().chars().take(64).collect::<String>())
        .filter(|name| !name.is_empty());
    name.context("the machine's host name is not known: give --node NAME")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command_line::{Command, CommandLine};

    fn read(arguments: &[&str]) -> Result<Configuration, Misconfigured> {
        let line =
            CommandLine::try_parse_from(["gatebook", "serve"].iter().chain(arguments)).unwrap();
        let Command::Serve(options) = line.command else {
            panic!("serve was asked for")
        };
        serve(&options)
    }

    fn refused(arguments: &[&str]) -> String {
        match read(arguments) {
            Ok(_) => panic!("{arguments:?} was taken"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gatebook.toml");
        std::fs::write(
            &file,
            "data = '/srv/site'\nnode = 'from-file'\nlisten = '127.0.0.1:9000'\ntrusted_proxy = ['10.0.0.0/8']\n\
             [maintenance]\nsnapshot = '0 0 * * * *'\nzone = 'Europe/Berlin'\n",
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let read = read(&["--config", file, "--node", "from-flag"]).unwrap();
        assert_eq!(read.node, "from-flag");
        assert_eq!(read.listen.port(), 9000);
        assert_eq!(read.url, None);
        assert_eq!(read.place.directory(), Path::new("/srv/site"));
        assert_eq!(read.trusted_proxies.len(), 1);
        assert_eq!(read.connections_max, CONNECTIONS_MAX_DEFAULT);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gatebook.toml");
        let path = file.to_str().unwrap().to_owned();
        // What the file says, and the word that the refusal must have.
        for (text, word) in [
            ("lisen = '127.0.0.1:1'", "lisen"),
            ("listen = 'here'", "listen"),
            ("tls_cert = 'c.pem'", "tls_key"),
            ("url = 'https://host/path'", "https://HOST"),
            ("[maintenance]\nsnapshot = 'hourly'", "maintenance.snapshot"),
            ("[maintenance]\nzone = 'Berlin'", "maintenance.zone"),
            ("[limits]\nfiles = 1", "files"),
            ("log_format = 'xml'", "log_format"),
            ("agents = '/nowhere'", "agents"),
            ("[mac_signing]\nidentifier = 'x'", "team_identifier"),
            ("node = ''", "node"),
        ] {
            std::fs::write(&file, text).unwrap();
            let message = refused(&["--data", "d", "--config", &path]);
            assert!(message.contains(word), "{text}: {message}");
        }
        assert!(refused(&["--data", "d", "--config", "nowhere.toml"]).contains("does not exist"));
        assert!(refused(&[]).contains("--data"));
    }

    /// AUTH-20
    #[test]
    fn plain_http_beyond_loopback_needs_a_named_proxy() {
        let outside = ["--data", "d", "--listen-http", "0.0.0.0:80"];
        assert!(refused(&outside).contains("AUTH-20"));
        let named = [
            &outside[..],
            &["--trusted-proxy", "10.0.0.0/8,192.168.1.7/32"],
        ]
        .concat();
        assert_eq!(read(&named).unwrap().trusted_proxies.len(), 2);
        assert!(read(&["--data", "d", "--listen-http", "127.0.0.1:80"]).is_ok());
        assert!(read(&["--data", "d", "--listen-http", "[::1]:80"]).is_ok());
    }

    #[test]
    fn what_agents_trust_is_never_guessed_from_a_certificate() {
        let trust = |more: &[&str]| {
            read(&[&["--data", "d"], more].concat())
                .unwrap()
                .agent_trust
        };
        let given = ["--tls-cert", "c", "--tls-key", "k"];
        assert_eq!(trust(&[]), None);
        assert_eq!(trust(&given), None);
        assert_eq!(
            trust(&[&given[..], &["--agent-trust", "site"]].concat()),
            Some(AgentTrust::Site)
        );
        assert_eq!(
            trust(&["--agent-trust", "ca.pem"]),
            Some(AgentTrust::File(PathBuf::from("ca.pem")))
        );
    }
}
