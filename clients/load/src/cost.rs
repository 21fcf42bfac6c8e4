//! What a process costs, from `/proc`.

use std::fs;

use serde::Serialize;

/// What Linux counts a process's time in: USER_HZ, 100 on every architecture it still runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process costs at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Resident memory.
    pub resident_bytes: u64,
    /// The most it ever was.
    pub resident_bytes_max: u64,
    /// Time on processors since the process began.
    pub cpu_seconds: f64,
    /// Open files.
    pub open_files: u64,
}

impl Cost {
    /// Of the process `pid`; none where it is gone or can't be looked into.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Self {
            resident_bytes: kibibytes(&status, "VmRSS:")? * 1024,
            resident_bytes_max: kibibytes(&status, "VmHWM:")? * 1024,
            cpu_seconds: cpu_seconds(&stat)?,
            open_files: files as u64,
        })
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            resident_bytes: self.resident_bytes + other.resident_bytes,
            resident_bytes_max: self.resident_bytes_max + other.resident_bytes_max,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            open_files: self.open_files + other.open_files,
        }
    }
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// User and system time: fields 14 and 15. The second one is the program's name in brackets and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read() {
        let status = "Name:\tx\nVmHWM:\t  2000 kB\nVmRSS:\t  1500 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(1500));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 100";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        let own = Cost::of(std::process::id()).expect("this process is there");
        assert!(own.resident_bytes > 100_000 && own.open_files > 2);
        assert_eq!(Cost::of(u32::MAX), None);
    }
}
