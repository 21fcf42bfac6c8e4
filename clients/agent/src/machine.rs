//! Facts and figures of this machine, by the crate sysinfo.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Offset, TimeZone};
use link_protocol::limits::{DISKS_MAX, NUMBER_MAX, TEXT_CHARS_MAX, WORD_CHARS_MAX};
use link_protocol::{Disk, Facts, Figures, InstallMode};
use sha2::{Digest, Sha256};
use sysinfo::{Disks, MINIMUM_CPU_UPDATE_INTERVAL, System};

use crate::logged_on;

/// The file in an agent's state folder that is there while the client is switched off.
pub const DISABLED: &str = "disabled";

/// How soon a switch is noticed.
const SWITCH_NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// What stands in the place of a machine id on a machine that has none yet (machine-id(5)): an image that is not set up.
const UNINITIALIZED: &str = "uninitialized";
/// How long a machine id is. Unit: characters.
const MACHINE_ID_CHARS: usize = 32;

/// How long the domain name is kept before the resolver, which may hang, is asked again.
const FQDN_FOR: Duration = Duration::from_secs(3_600);

/// What a machine is like at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What seldom changes; without the private address, which only a connection knows.
    pub facts: Facts,
    /// What always changes.
    pub figures: Figures,
}

/// This machine. Clones read the same one.
#[derive(Clone, Debug)]
pub struct Machine {
    install_mode: InstallMode,
    /// The file that is there while the user has switched the client off (CLNT-29).
    disabled: Option<PathBuf>,
    /// The system can take its time to answer, in which it is asked no second question.
    probe: Arc<tokio::sync::Mutex<Probe>>,
    /// The facts as they were read last.
    known: Arc<Mutex<Facts>>,
}

#[derive(Debug)]
struct Probe {
    system: System,
    disks: Disks,
    /// When the processors' counters were last read: load is what happened since.
    cpu_read_at: Instant,
    fqdn: Option<(Instant, String, Option<String>)>,
}

impl Machine {
    /// Gets ready to read; the first load is measured from here on.
    #[must_use]
    pub fn new(install_mode: InstallMode) -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        let probe = Probe {
            system,
            disks: Disks::new(),
            cpu_read_at: Instant::now(),
            fqdn: None,
        };
        Self {
            install_mode,
            disabled: None,
            probe: Arc::new(tokio::sync::Mutex::new(probe)),
            known: Arc::new(Mutex::new(Facts {
                install_mode: Some(install_mode),
                ..Facts::default()
            })),
        }
    }

    /// The same machine, whose user switches the client off by a file at `path`.
    #[must_use]
    pub fn disabled_by(mut self, path: PathBuf) -> Self {
        self.disabled = Some(path);
        self
    }

    /// Whether the user has switched the client off.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled.as_deref().is_some_and(Path::exists)
    }

    /// Resolves once the user has switched the client on or off since the facts were read last; never, where nobody can.
    pub async fn switched(&self) {
        if self.disabled.is_none() {
            return std::future::pending().await;
        }
        while self.is_disabled() == self.known().disabled.unwrap_or(false) {
            tokio::time::sleep(SWITCH_NOTICED_WITHIN).await;
        }
    }

    /// Reads facts and figures on a thread for blocking work: files are read and the resolver is asked.
    ///
    /// # Panics
    /// If reading panicked, which would be a fault of this program.
    pub async fn read(&self) -> Reading {
        let (mode, disabled) = (self.install_mode, self.is_disabled());
        // Two readings too close together say nothing about the load.
        let read_at = self.probe.lock().await.cpu_read_at;
        if let Some(rest) = MINIMUM_CPU_UPDATE_INTERVAL.checked_sub(read_at.elapsed()) {
            tokio::time::sleep(rest).await;
        }
        let reading = self
            .probed(move |probe| Reading {
                facts: probe.facts(mode, disabled),
                figures: probe.figures(),
            })
            .await;
        self.known().clone_from(&reading.facts);
        reading
    }

    /// Reads the facts alone, which takes less time than the figures.
    ///
    /// # Panics
    /// As [`Machine::read`].
    pub async fn facts(&self) -> Facts {
        let (mode, disabled) = (self.install_mode, self.is_disabled());
        let facts = self.probed(move |probe| probe.facts(mode, disabled)).await;
        self.known().clone_from(&facts);
        facts
    }

    /// The facts, or where reading them takes longer than `limit` those that were read last: a resolver that hangs keeps no
    /// machine away from its site.
    ///
    /// # Panics
    /// As [`Machine::read`].
    pub async fn facts_within(&self, limit: Duration) -> Facts {
        if let Ok(facts) = tokio::time::timeout(limit, self.facts()).await {
            return facts;
        }
        tracing::warn!(?limit, "the machine's facts could not be read in time");
        Facts {
            disabled: Some(self.is_disabled()),
            ..self.known().clone()
        }
    }

    fn known(&self) -> MutexGuard<'_, Facts> {
        // What is under it is replaced as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn probed<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Probe) -> T + Send + 'static,
    ) -> T {
        // Taken before the thread is: who gives up waiting leaves no thread behind that waits.
        let mut probe = Arc::clone(&self.probe).lock_owned().await;
        let done = tokio::task::spawn_blocking(move || read(&mut probe));
        done.await
            .expect("reading the machine neither panics nor is cancelled")
    }
}

impl Probe {
    fn facts(&mut self, install_mode: InstallMode, disabled: bool) -> Facts {
        let hostname = System::host_name().map(|name| tidy(&name, TEXT_CHARS_MAX));
        let fqdn = hostname.as_deref().and_then(|name| self.fqdn(name));
        let zone = iana_time_zone::get_timezone().ok();
        Facts {
            fqdn: fqdn.map(|name| tidy(&name, TEXT_CHARS_MAX)),
            hostname,
            operating_system: System::long_os_version().map(|name| {
                tidy(
                    &format!("{} ({})", name.trim(), System::cpu_arch()),
                    TEXT_CHARS_MAX,
                )
            }),
            private_ip: None,
            console_user: logged_on::console_user().map(|names| tidy(&names, TEXT_CHARS_MAX)),
            install_mode: Some(install_mode),
            machine_id: machine_id(),
            utc_offset_minutes: zone
                .as_deref()
                .and_then(|zone| utc_offset_minutes(zone, clock())),
            time_zone: zone.map(|zone| tidy(&zone, WORD_CHARS_MAX)),
            disabled: Some(disabled),
            listen_port: None,
        }
    }

    fn fqdn(&mut self, hostname: &str) -> Option<String> {
        match &self.fqdn {
            Some((asked_at, name, fqdn)) if name == hostname && asked_at.elapsed() < FQDN_FOR => {
                fqdn.clone()
            }
            _ => {
                let fqdn = resolve_fqdn(hostname);
                self.fqdn = Some((Instant::now(), hostname.to_owned(), fqdn.clone()));
                fqdn
            }
        }
    }

    fn figures(&mut self) -> Figures {
        self.system.refresh_cpu_usage();
        self.cpu_read_at = Instant::now();
        self.system.refresh_memory();
        self.disks.refresh(true);
        let disks = self.disks.list().iter().map(|disk| Disk {
            mount: tidy(&disk.mount_point().to_string_lossy(), TEXT_CHARS_MAX),
            total_bytes: disk.total_space().min(NUMBER_MAX),
            free_bytes: disk.available_space().min(NUMBER_MAX),
        });
        let load = self.system.global_cpu_usage().clamp(0.0, 100.0);
        bounded(Figures {
            // In range by the clamp; the cast takes care of what is not a number.
            cpu_permille: Some((load * 10.0).round() as u32),
            uptime_seconds: Some(System::uptime()),
            memory_total_bytes: Some(self.system.total_memory().min(NUMBER_MAX)),
            memory_used_bytes: Some(self.system.used_memory().min(NUMBER_MAX)),
            // A picture of the screen comes with the programs that show one.
            screen_png: None,
            disks: disks.collect(),
        })
    }
}

/// Leaves out the smallest disks of a machine that has more than fit.
fn bounded(mut figures: Figures) -> Figures {
    figures
        .disks
        .sort_by_key(|disk| std::cmp::Reverse(disk.total_bytes));
    figures.disks.truncate(DISKS_MAX);
    while figures.check().is_err() && figures.disks.pop().is_some() {}
    figures
}

/// Text as the protocol takes it: without control characters, and not too long.
fn tidy(text: &str, chars_max: usize) -> String {
    let bad = |c: &char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().filter(|c| !bad(c)).take(chars_max).collect()
}

#[cfg(unix)]
fn resolve_fqdn(hostname: &str) -> Option<String> {
    if hostname.contains('.') {
        return Some(hostname.to_owned());
    }
    let hints = dns_lookup::AddrInfoHints {
        flags: libc::AI_CANONNAME,
        ..Default::default()
    };
    let answers = dns_lookup::getaddrinfo(Some(hostname), None, Some(hints)).ok()?;
    let name = answers
        .filter_map(Result::ok)
        .find_map(|answer| answer.canonname)?;
    // The resolver gives the name back as it was when it knows no longer one.
    Some(name).filter(|name| name.contains('.'))
}

#[cfg(not(unix))]
fn resolve_fqdn(hostname: &str) -> Option<String> {
    hostname.contains('.').then(|| hostname.to_owned())
}

/// A hash of the system's machine id, which is meant to stay on the machine (machine-id(5)).
fn machine_id() -> Option<String> {
    hashed_machine_id(&fs::read_to_string("/etc/machine-id").ok()?)
}

/// The hash of what stands in the file; none for a placeholder, which many machines have in common.
fn hashed_machine_id(text: &str) -> Option<String> {
    let id = text.trim();
    let first = id.chars().next()?;
    let is_id = id.len() == MACHINE_ID_CHARS
        && id.chars().all(|c| c.is_ascii_hexdigit())
        && id.chars().any(|c| c != first);
    if id == UNINITIALIZED || !is_id {
        return None;
    }
    let hash = Sha256::new()
        .chain_update(b"gatebook machine id\0")
        .chain_update(id)
        .finalize();
    Some(hex::encode(&hash[..16]))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the agent is a program of its own, on a machine of its own"
)]
fn clock() -> SystemTime {
    SystemTime::now()
}

fn utc_offset_minutes(zone: &str, at: SystemTime) -> Option<i32> {
    let zone: chrono_tz::Tz = zone.parse().ok()?;
    let seconds = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let at = DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)?;
    Some(
        zone.offset_from_utc_datetime(&at.naive_utc())
            .fix()
            .local_minus_utc()
            / 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_is_told_within_the_limits() {
        let machine = Machine::new(InstallMode::Service);
        let Reading { facts, figures } = machine.read().await;
        facts.check().unwrap();
        figures.check().unwrap();
        assert!(facts.hostname.is_some_and(|name| !name.is_empty()));
        assert!(
            facts
                .operating_system
                .is_some_and(|name| name.contains(std::env::consts::ARCH))
        );
        assert!(figures.memory_total_bytes.is_some_and(|bytes| bytes > 0));
        assert!(figures.memory_used_bytes.is_some_and(|bytes| bytes > 0));
        assert!(figures.uptime_seconds.is_some_and(|seconds| seconds > 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_system_that_does_not_answer_is_waited_for_only_so_long() {
        let machine = Machine::new(InstallMode::Service);
        let hangs = machine.probe.lock().await;
        let nothing = machine.facts_within(Duration::from_secs(5)).await;
        assert_eq!(nothing.install_mode, Some(InstallMode::Service));
        assert_eq!(nothing.disabled, Some(false));
        drop(hangs);
        let facts = machine.facts_within(Duration::from_secs(5)).await;
        assert!(facts.hostname.is_some());
        let _hangs = machine.probe.lock().await;
        let known = machine.facts_within(Duration::from_secs(5)).await;
        assert_eq!(known.hostname, facts.hostname);
    }

    /// INST-57
    #[test]
    fn a_placeholder_is_no_machine_id() {
        let zeros = "0".repeat(32);
        let ones = "f".repeat(32);
        for text in [
            "",
            "\n",
            "uninitialized\n",
            zeros.as_str(),
            ones.as_str(),
            "0123",
            "not an id",
        ] {
            assert_eq!(hashed_machine_id(text), None, "{text}");
        }
        let id = "0123456789abcdef0123456789abcdef";
        let hash = hashed_machine_id(&format!("{id}\n")).unwrap();
        assert!(hash.len() == 32 && hash != id);
        assert_eq!(hashed_machine_id(id), Some(hash));
    }

    #[test]
    fn offsets_follow_the_zone_through_the_year() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (zone, seconds, minutes) in [
            ("Europe/Vienna", 1_704_067_200, Some(60)),
            ("Europe/Vienna", 1_719_792_000, Some(120)),
            ("America/St_Johns", 1_704_067_200, Some(-210)),
            ("Asia/Kathmandu", 1_704_067_200, Some(345)),
            ("UTC", 1_704_067_200, Some(0)),
            ("Mars/Olympus", 1_704_067_200, None),
        ] {
            assert_eq!(utc_offset_minutes(zone, at(seconds)), minutes, "{zone}");
        }
    }

    #[test]
    fn hostile_names_are_made_fit_to_send() {
        assert_eq!(tidy("a\u{0}b\n\u{1b}c\u{ffff}", 255), "abc");
        assert_eq!(tidy(&"\u{1f980}".repeat(300), 255).chars().count(), 255);
    }

    #[test]
    fn a_machine_with_too_many_disks_tells_the_largest() {
        let disk = |number: u64| Disk {
            mount: "\u{1f980}".repeat(255),
            total_bytes: number,
            free_bytes: 0,
        };
        let figures = bounded(Figures {
            disks: (0..100).map(disk).collect(),
            ..Figures::default()
        });
        figures.check().unwrap();
        assert_eq!(figures.disks[0].total_bytes, 99);
        assert!(figures.disks.len() > 20);
    }
}
