//! The machine's wall clock, which tests replace: by it a client knows for how long its site was away. And a clock beside it
//! that nobody sets, by which it knows when the wall clock was.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// What tells the time of day.
#[derive(Clone)]
pub struct WallClock {
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    running: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl WallClock {
    /// A clock that says what `now` says, in seconds since 1970 UTC.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let begun = Instant::now();
        Self {
            now: Arc::new(now),
            running: Arc::new(move || begun.elapsed()),
        }
    }

    /// Seconds since 1970 UTC.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.now)()
    }

    /// How long since some moment before this program began, the machine's sleep included; it never goes back.
    #[must_use]
    pub fn running(&self) -> Duration {
        (self.running)()
    }
}

impl Default for WallClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the machine's own clock, which tests replace"
    )]
    fn default() -> Self {
        let clock = Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            // A clock before 1970 is a machine without one.
            since.map_or(0, |since| {
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
            })
        });
        let since_start = Arc::clone(&clock.running);
        Self {
            running: Arc::new(move || since_boot().unwrap_or_else(|| since_start())),
            ..clock
        }
    }
}

/// The ordinary monotonic clock stands still while the machine sleeps; this one does not.
#[cfg(target_os = "linux")]
fn since_boot() -> Option<Duration> {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .ok()
        .map(Duration::from)
}

/// Where there is none, sleep is taken for a wall clock that was set: a client then waits longer.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Option<Duration> {
    None
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_clocks_go() {
        let clock = WallClock::default();
        let running = clock.running();
        assert!(clock.now() > 1_700_000_000);
        assert!(running > Duration::ZERO);
        assert!(clock.running() >= running);
    }
}
