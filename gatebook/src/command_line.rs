//! The command line, as clap reads it. What a flag means stands in its help; what it is merged with, in
//! [`crate::configuration`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use domain::ids::JumpClientId;
use ipnet::IpNet;
use serde::Serialize;

/// Gatebook: privileged remote access on top of a log of every coming and going.
///
/// Each flag can also be given in the environment and, where it names no single action, in a TOML file (--config). A
/// flag beats the environment, the environment beats the file.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 the log is damaged, foreign or of another version, 4
/// the log can't be reached or written, 5 verification found faults, 6 a part of the server ended by itself.
#[derive(Parser)]
#[command(name = "gatebook", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can be told to do.
#[derive(Subcommand)]
pub enum Command {
    /// Run the server until it is told to stop (SIGTERM, SIGINT).
    ///
    /// On an empty log the site is made first, and its credentials are written to DIR/first-run.json.
    Serve(ServeOptions),
    /// Make a site and print its first credentials, once, as JSON on stdout.
    Init(PlaceOptions),
    /// Make a small demonstration site with a fleet and three weeks of sessions.
    Demo(DemoOptions),
    /// Help an administrator who lost the password.
    #[command(subcommand)]
    Administrator(AdministratorCommand),
    /// Read, follow, export or verify the log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Read models.
    #[command(subcommand)]
    Projections(ProjectionsCommand),
    /// Print a completion script for a shell.
    #[command(hide = true)]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(hide = true)]
    Manual,
}

/// Where a site is kept.
#[derive(Args, Serialize, Clone, Default)]
pub struct PlaceOptions {
    /// The site's directory on this node: the log (SQLite), the key file, the authority's certificate, snapshots.
    #[arg(long, value_name = "DIR", env = "GATEBOOK_DATA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Keep the log in this PostgreSQL database and not in DIR: postgres://USER@HOST/DATABASE.
    #[arg(
        long,
        value_name = "URL",
        env = "GATEBOOK_DATABASE",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The key file, shared by all nodes of the site. [default: DIR/key]
    #[arg(long, value_name = "FILE", env = "GATEBOOK_KEY_FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// A TOML file with the same names as the flags, `_` for `-`.
    #[arg(long, value_name = "FILE", env = "GATEBOOK_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// How the server runs.
#[derive(Args, Serialize, Clone, Default)]
pub struct ServeOptions {
    /// Where the site is kept.
    #[command(flatten)]
    #[serde(flatten)]
    pub place: PlaceOptions,
    /// The node's name, different on every node of a site. [default: the machine's host name]
    #[arg(long, value_name = "NAME", env = "GATEBOOK_NODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The URL under which agents and people reach this node. [default: https://localhost and the port of --listen]
    #[arg(long, value_name = "URL", env = "GATEBOOK_URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Address and port of the HTTPS listener. [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS", env = "GATEBOOK_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// A certificate chain (PEM) in place of the one that the site's authority issues. Read again when it changes.
    #[arg(
        long,
        value_name = "FILE",
        env = "GATEBOOK_TLS_CERT",
        requires = "tls_key"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The private key (PEM) of --tls-cert.
    #[arg(
        long,
        value_name = "FILE",
        env = "GATEBOOK_TLS_KEY",
        requires = "tls_cert"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// A second listener without TLS, for a proxy that ends TLS: loopback only, unless --trusted-proxy is given.
    #[arg(long, value_name = "ADDRESS", env = "GATEBOOK_LISTEN_HTTP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_http: Option<SocketAddr>,
    /// A network of proxies that end TLS: its members may connect without TLS and are believed who they forward for. Repeatable.
    #[arg(
        long,
        value_name = "NETWORK",
        env = "GATEBOOK_TRUSTED_PROXY",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxy: Vec<IpNet>,
    /// What agents of a new site are told to trust: `site` (the site's own authority), `system` (the roots of their operating
    /// systems), or a PEM file of authorities. A site that has trust anchors keeps them: they are changed in the console API.
    /// [default: site; needed with --tls-cert]
    #[arg(long, value_name = "site|system|FILE", env = "GATEBOOK_AGENT_TRUST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_trust: Option<String>,
    /// The agent programs that installers are made of: DIR/linux-64/gatebook-agent and so on. [default: the gatebook-agent
    /// beside this program, for linux-64]
    #[arg(long, value_name = "DIR", env = "GATEBOOK_AGENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents: Option<PathBuf>,
    /// How log lines are written: `text` or `json`. [default: text]
    #[arg(long, value_name = "FORM", env = "GATEBOOK_LOG_FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
}

/// Where the demonstration is made.
#[derive(Args, Clone)]
pub struct DemoOptions {
    /// Where the site is kept.
    #[command(flatten)]
    pub place: PlaceOptions,
    /// The URL under which the demonstration will be served.
    #[arg(
        long,
        value_name = "URL",
        env = "GATEBOOK_URL",
        default_value = "https://127.0.0.1:8443"
    )]
    pub url: String,
    /// The seed of its past: the same seed tells the same story.
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    pub seed: u64,
}

/// What can be done for an administrator.
#[derive(Subcommand)]
pub enum AdministratorCommand {
    /// Set a new random password and print it once, as JSON on stdout. Needs the key file; is an event.
    Reset {
        /// Where the site is kept.
        #[command(flatten)]
        place: PlaceOptions,
        /// Which administrator. [default: the first one]
        #[arg(long, value_name = "NAME")]
        username: Option<String>,
    },
}

/// What can be done with the log. All of these work beside a running server.
#[derive(Subcommand)]
pub enum LogCommand {
    /// Print events as JSON Lines.
    Read {
        /// Where the site is kept.
        #[command(flatten)]
        place: PlaceOptions,
        /// Which events.
        #[command(flatten)]
        filter: FilterOptions,
        /// At most this many.
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
    },
    /// Print the newest events and then each new one as it comes.
    Tail {
        /// Where the site is kept.
        #[command(flatten)]
        place: PlaceOptions,
        /// Which events.
        #[command(flatten)]
        filter: FilterOptions,
        /// How many of the newest events come first.
        #[arg(long, value_name = "NUMBER", default_value_t = 10)]
        lines: usize,
    },
    /// Write events to a file that appears whole or not at all.
    Export {
        /// Where the site is kept.
        #[command(flatten)]
        place: PlaceOptions,
        /// Which events.
        #[command(flatten)]
        filter: FilterOptions,
        /// The file to write; it must not exist. Without it, stdout.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check positions, revisions and hashes of the whole log.
    Verify {
        /// Where the site is kept.
        #[command(flatten)]
        place: PlaceOptions,
    },
}

/// Which events of the log. All that is given must hold.
#[derive(Args, Clone, Default)]
pub struct FilterOptions {
    /// From this position on.
    #[arg(long, value_name = "POSITION")]
    pub from: Option<u64>,
    /// Up to and with this position.
    #[arg(long, value_name = "POSITION")]
    pub to: Option<u64>,
    /// Of this stream, such as `jump_client-3`.
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Of this type, such as `AccessSessionStarted`. Repeatable.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Vec<String>,
    /// Of all streams of this category, such as `access_session`.
    #[arg(long, value_name = "CATEGORY")]
    pub category: Option<String>,
    /// Recorded at or after this time, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Recorded before this time, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// All that concerns this Jump Client: its own events, every check-in, its sessions.
    #[arg(long, value_name = "ID", value_parser = client_id)]
    pub client: Option<JumpClientId>,
}

fn client_id(text: &str) -> Result<JumpClientId, std::num::ParseIntError> {
    text.parse()
}

/// What can be done with read models.
#[derive(Subcommand)]
pub enum ProjectionsCommand {
    /// Drop a read model and fold it from the log again; asks a running server, else does it itself.
    Rebuild {
        /// Which one: `report`.
        name: String,
        /// Where the site is kept.
        #[command(flatten)]
        place: PlaceOptions,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }
}
