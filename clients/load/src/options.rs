//! The command line.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use link_protocol::KeyInfo;

use crate::role::Shares;

/// Most machines of one process: each holds a file.
pub const AGENTS_PER_PROCESS_MAX: u32 = 19_500;

/// A fleet of simulated machines. Orders are read from the standard input, a line each: `more`, `mark`, `report`, `storm`,
/// `calm`, `who`, `stop`; answers are lines of JSON, and so is the report at the end.
#[derive(Clone, Debug, Parser)]
#[command(name = "gatebook-load", version)]
pub struct Options {
    /// Address of the server: https://host[:port]; instead of those in the key.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The installer's key (KEY_INFO), or a file that holds it.
    #[arg(long, value_name = "KEY|FILE")]
    pub key_info: String,
    /// How many machines.
    #[arg(long, default_value_t = 100)]
    pub agents: u32,
    /// How many machines begin a second; 0: all at once.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// How many machines begin at first; the others after the order `more`.
    #[arg(long)]
    pub first: Option<u32>,
    /// Everything that is chosen is chosen by it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long to go on, in seconds; without it until `stop` or the end of the standard input.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Over how many processes to spread the machines.
    #[arg(long, default_value_t = 1)]
    pub processes: u32,
    /// Keeps the identities: a second run with the same file resumes.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// First of the source addresses, such as 127.0.0.2: one address has some 28,000 ports.
    #[arg(long, value_name = "IP")]
    pub from: Option<Ipv4Addr>,
    /// How many source addresses there are, from that one on; each process takes turns over all of them.
    #[arg(long, default_value_t = 1)]
    pub sources: u32,
    /// Share of machines that come and go, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub churn: f64,
    /// How long those stay on average, in seconds.
    #[arg(long, default_value_t = 10)]
    pub churn_seconds: u64,
    /// Share of machines that stop reading for minutes.
    #[arg(long, default_value_t = 0.0)]
    pub slow: f64,
    /// Share of machines whose clock goes wrong.
    #[arg(long, default_value_t = 0.0)]
    pub skewed: f64,
    /// Share of machines that are copied: a second one shows the same identity.
    #[arg(long, default_value_t = 0.0)]
    pub clones: f64,
    /// Connections without a hello beside the machines, as a share of their number.
    #[arg(long, default_value_t = 0.0)]
    pub half_open: f64,
    /// Cuts all connections at once after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub storm_after: Option<u64>,
    /// A process whose cost is reported: the server, on the same machine.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Prints how many are online every so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub progress: Option<u64>,
    /// Which of the processes this is; given by the first one to the others.
    #[arg(long, hide = true)]
    pub part: Option<u32>,
}

impl Options {
    /// Checks what the parser can't.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<()> {
        ensure!(self.processes >= 1, "--processes: at least 1");
        ensure!(self.sources >= 1, "--sources: at least 1");
        let each = self.agents.div_ceil(self.processes);
        ensure!(
            each <= AGENTS_PER_PROCESS_MAX,
            "--agents: at most {AGENTS_PER_PROCESS_MAX} a process; give more --processes"
        );
        let shares = self.shares();
        for (name, share) in [
            ("--churn", shares.churn),
            ("--slow", shares.slow),
            ("--skewed", shares.skewed),
            ("--clones", shares.clones),
            ("--half-open", self.half_open),
        ] {
            ensure!((0.0..=1.0).contains(&share), "{name}: 0 to 1");
        }
        let all = shares.churn + shares.slow + shares.skewed + shares.clones;
        ensure!(
            all <= 1.0,
            "the shares of machines are {all} together: at most 1"
        );
        if self.from.is_some_and(|from| !from.is_loopback()) {
            bail!("--from: a loopback address, such as 127.0.0.2");
        }
        Ok(())
    }

    /// The key, read from the file where it is one.
    ///
    /// # Errors
    /// It can't be read or is no key. The text is never quoted: it holds a secret.
    pub fn key(&self) -> Result<KeyInfo> {
        let text = if std::path::Path::new(&self.key_info).is_file() {
            std::fs::read_to_string(&self.key_info).context("reading the file of --key-info")?
        } else {
            self.key_info.clone()
        };
        Ok(KeyInfo::decode(&text)?)
    }

    /// Who behaves how.
    #[must_use]
    pub const fn shares(&self) -> Shares {
        Shares {
            churn: self.churn,
            slow: self.slow,
            skewed: self.skewed,
            clones: self.clones,
        }
    }

    /// How long a machine that comes and goes stays on average.
    #[must_use]
    pub const fn churn_every(&self) -> Duration {
        Duration::from_secs(self.churn_seconds)
    }

    /// How many of the `here` machines of one part begin at first.
    #[must_use]
    pub fn first_of(&self, here: usize) -> usize {
        let Some(first) = self.first.filter(|first| *first < self.agents) else {
            return here;
        };
        (here as u64 * u64::from(first)).div_ceil(u64::from(self.agents)) as usize
    }

    /// The numbers of the machines of part `part` of the fleet.
    #[must_use]
    pub fn numbers(&self, part: u32) -> std::ops::Range<u32> {
        let share = |part: u32| {
            let all = u64::from(self.agents) * u64::from(part) / u64::from(self.processes);
            u32::try_from(all).unwrap_or(u32::MAX)
        };
        share(part)..share(part + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(more: &[&str]) -> Options {
        let given = ["gatebook-load", "--key-info", "KEY"];
        Options::parse_from(given.iter().chain(more))
    }

    #[test]
    fn the_parts_of_a_fleet_are_the_fleet() {
        let options = options(&["--agents", "10", "--processes", "3"]);
        let parts: Vec<u32> = (0..3).flat_map(|part| options.numbers(part)).collect();
        assert_eq!(parts, (0..10).collect::<Vec<u32>>());
        assert_eq!(options.first_of(10), 10);
        let options = super::tests::options(&["--agents", "19000", "--first", "5000"]);
        assert_eq!(options.first_of(9_500), 2_500);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for (more, good) in [
            (&["--churn", "0.5", "--slow", "0.5"][..], true),
            (&["--churn", "0.6", "--slow", "0.5"], false),
            (&["--half-open", "1.5"], false),
            (&["--agents", "19500"], true),
            (&["--agents", "19501"], false),
            (&["--agents", "36000", "--processes", "2"], true),
            (&["--processes", "0"], false),
            (&["--from", "127.0.0.2"], true),
            (&["--from", "10.0.0.2"], false),
        ] {
            assert_eq!(options(more).check().is_ok(), good, "{more:?}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_not_quoted() {
        let error = options(&[]).key().unwrap_err();
        assert!(!format!("{error:#}").contains("KEY\""), "{error:#}");
    }
}
