//! `cargo xtask lint`: every check, each run to its end, and a verdict over all of them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::process::{Interrupt, run, run_within};
use crate::tools::{DENY, MACHETE};
use crate::workspace::Workspace;

/// How long the advisory database may take to come before the check is skipped.
const FETCH_MAX: Duration = Duration::from_secs(60);

/// Runs all checks; a failed one does not hide the next.
///
/// # Errors
/// When a check failed, with the names of all that did.
pub(crate) fn lint(workspace: &Workspace, interrupt: &Interrupt) -> Result<()> {
    let mut checks = Checks {
        interrupt,
        failed: Vec::new(),
    };
    checks.check(
        "format",
        workspace.cargo().args(["fmt", "--all", "--check"]),
    )?;
    let mut tidy = workspace.cargo();
    tidy.args([
        "test",
        "--quiet",
        "--locked",
        "--package",
        "xtask",
        "--test",
        "tidy",
    ]);
    // The findings are the message; where in the checker they were found helps nobody.
    checks.check("tidy", tidy.env("RUST_BACKTRACE", "0"))?;
    checks.check(
        "clippy",
        workspace.cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    )?;

    let machete = MACHETE.installed(workspace, interrupt)?;
    checks.check(
        "unused dependencies",
        workspace.command(machete).args(["--skip-target-dir", "."]),
    )?;

    let deny = DENY.installed(workspace, interrupt)?;
    let cargo_deny = |words: &str| {
        let mut command = workspace.command(&deny);
        command.args(["--locked", "--log-level", words]);
        command
    };
    checks.check(
        "licences, bans, sources",
        cargo_deny("error").args(["check", "licenses", "bans", "sources"]),
    )?;
    title("advisories");
    match run_within(
        cargo_deny("off").args(["fetch", "db"]),
        interrupt,
        Some(FETCH_MAX),
    )? {
        Some(status) if status.success() => checks.check(
            "advisories",
            cargo_deny("error").args(["check", "--disable-fetch", "advisories"]),
        )?,
        _ => eprintln!("SKIPPED: the advisory database can't be reached from here"),
    }

    if !checks.failed.is_empty() {
        bail!("these checks failed: {}", checks.failed.join("; "));
    }
    Ok(())
}

struct Checks<'a> {
    interrupt: &'a Interrupt,
    failed: Vec<&'static str>,
}

impl Checks<'_> {
    fn check(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        title(name);
        if !run(command, self.interrupt)?.success() {
            eprintln!("FAILED: {name}");
            self.failed.push(name);
        }
        Ok(())
    }
}

fn title(name: &str) {
    eprintln!("--- {name}");
}
