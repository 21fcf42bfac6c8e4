//! Child processes: run and waited for, ended by their process id, and never left behind by Ctrl-C.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long between two looks at a child.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How long a child that the terminal's Ctrl-C reached, too, may take to end by itself.
const OWN_END_MAX: Duration = Duration::from_secs(20);

/// Remembers that we were asked to stop, so that everything started is stopped in order before we end.
pub(crate) struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on Ctrl-C, a termination request and a closed terminal are remembered and end nothing by themselves.
    pub(crate) fn install() -> Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let value = usize::try_from(number).context("a signal has a positive number")?;
            signal_hook::flag::register_usize(number, Arc::clone(&signal), value)
                .context("installing the signal handler")?;
        }
        Ok(Self { signal })
    }

    /// Whether we were asked to stop.
    pub(crate) fn came(&self) -> bool {
        self.signal.load(Ordering::SeqCst) != 0
    }

    /// Refuses to begin anything new once we were asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.came() {
            bail!("interrupted")
        } else {
            Ok(())
        }
    }

    /// The terminal sends Ctrl-C to our children as well; other signals reach only us.
    fn reached_children(&self) -> bool {
        usize::try_from(SIGINT)
            .is_ok_and(|interrupt| self.signal.load(Ordering::SeqCst) == interrupt)
    }
}

/// Runs a command to its end and says how it ended.
///
/// # Errors
/// When it cannot be started, or when we were asked to stop (the child has ended then).
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt) -> Result<ExitStatus> {
    run_within(command, interrupt, None)?.context("a command without a limit came to its limit")
}

/// Runs a command that must succeed.
pub(crate) fn must(command: &mut Command, interrupt: &Interrupt) -> Result<()> {
    let status = run(command, interrupt)?;
    if !status.success() {
        bail!("{} ended with {status}", spelled(command));
    }
    Ok(())
}

/// Like [`run`], but ends the child at the limit and answers `None` then.
pub(crate) fn run_within(
    command: &mut Command,
    interrupt: &Interrupt,
    limit: Option<Duration>,
) -> Result<Option<ExitStatus>> {
    interrupt.check()?;
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {}", spelled(command)))?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a child")? {
            interrupt.check()?;
            return Ok(Some(status));
        }
        if interrupt.came() {
            let patience = if interrupt.reached_children() {
                OWN_END_MAX
            } else {
                Duration::ZERO
            };
            if ended_within(&mut child, patience)?.is_none() {
                end(&mut child, &[(Signal::SIGTERM, OWN_END_MAX)])?;
            }
            bail!("interrupted");
        }
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            end(&mut child, &[(Signal::SIGTERM, Duration::from_secs(5))])?;
            return Ok(None);
        }
        pause();
    }
}

/// Whether a command can be run and succeeds, without showing what it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Starts a long-running child in a process group of its own, so that only we decide when it ends.
pub(crate) fn start_apart(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {}", spelled(command)))
}

/// Waits at most so long for a child to end by itself.
pub(crate) fn ended_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a child")? {
            return Ok(Some(status));
        }
        if started.elapsed() >= limit {
            return Ok(None);
        }
        pause();
    }
}

/// Ends a child by its process id: each signal in turn with the time it is given, at last by force.
pub(crate) fn end(child: &mut Child, ways: &[(Signal, Duration)]) -> Result<ExitStatus> {
    for (signal, patience) in ways {
        if let Some(status) = child.try_wait().context("waiting for a child")? {
            return Ok(status);
        }
        let id = i32::try_from(child.id()).context("a process id fits")?;
        // The child is ours and not yet waited for, so its id can't have gone to anybody else.
        kill(Pid::from_raw(id), *signal)
            .with_context(|| format!("sending {signal} to process {id}"))?;
        if let Some(status) = ended_within(child, *patience)? {
            return Ok(status);
        }
    }
    child.kill().context("killing a child")?;
    child.wait().context("waiting for a killed child")
}

/// Lets a moment pass between two looks at something outside.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask has no async runtime, and this is its only thread"
)]
pub(crate) fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm() -> Interrupt {
        Interrupt {
            signal: Arc::new(AtomicUsize::new(0)),
        }
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let error = must(Command::new("sh").args(["-c", "exit 3"]), &calm()).unwrap_err();
        assert!(error.to_string().contains("sh -c exit 3"), "{error}");
    }

    #[test]
    fn a_child_is_ended_at_its_limit() {
        let ended = run_within(
            Command::new("sleep").arg("60"),
            &calm(),
            Some(Duration::from_millis(50)),
        )
        .unwrap();
        assert!(ended.is_none());
    }

    #[test]
    fn a_child_that_ignores_us_is_ended_by_force() {
        let mut child =
            start_apart(Command::new("sh").args(["-c", "trap '' TERM; while :; do sleep 1; done"]))
                .unwrap();
        let status = end(&mut child, &[(Signal::SIGTERM, Duration::from_millis(50))]).unwrap();
        assert!(!status.success());
    }

    #[test]
    fn nothing_begins_after_an_interrupt() {
        let interrupt = calm();
        interrupt.signal.store(2, Ordering::SeqCst);
        assert!(run(&mut Command::new("true"), &interrupt).is_err());
    }
}
