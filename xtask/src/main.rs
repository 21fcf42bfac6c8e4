//! `cargo xtask`: the commands of everyday work. `run` starts a demo site to look at, `test` runs the suites with all they
//! need, `lint` holds the rules of the house, `bench` measures.
//!
//! It installs nothing on the machine: tools and servers are fetched by package name and version into `target/`. It knows
//! nothing of the product's crates and must stay quick to build, because everything waits for it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands of everyday work, at a terminal"
)]

mod bench;
mod lint;
mod postgres;
mod process;
mod run;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::process::Interrupt;
use crate::workspace::Workspace;

/// The commands of everyday work on Gatebook.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the tests; fetches what they need into target/ and starts a PostgreSQL for them.
    Test(test::Options),
    /// Check formatting, lints, licences, advisories, unused dependencies and the tidy rules.
    Lint,
    /// Build, make the demo site if it is new, serve it with two agents; Ctrl-C stops all of it.
    Run(run::Options),
    /// Start the tests' PostgreSQL, print its address and keep it until Ctrl-C: for running single tests by hand.
    Postgres,
    /// Measure, with optimised programs, and print the figures.
    Bench(bench::Options),
}

impl Task {
    fn name(&self) -> &'static str {
        match self {
            Task::Test(_) => "test",
            Task::Lint => "lint",
            Task::Run(_) => "run",
            Task::Postgres => "postgres",
            Task::Bench(_) => "bench",
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let name = arguments.task.name();
    let outcome = perform(&arguments.task);
    let took = spoken(started.elapsed());
    match outcome {
        Ok(()) => {
            eprintln!("cargo xtask {name}: done in {took}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cargo xtask {name}: failed after {took}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<()> {
    let workspace = Workspace::find()?;
    let interrupt = Interrupt::install()?;
    match task {
        Task::Test(options) => test::test(&workspace, &interrupt, options),
        Task::Lint => lint::lint(&workspace, &interrupt),
        Task::Run(options) => run::run(&workspace, &interrupt, options),
        Task::Postgres => postgres::hold(&workspace, &interrupt),
        Task::Bench(options) => bench::bench(&workspace, &interrupt, options),
    }
}

/// A duration as people say it: `3 min 7 s`, or `2.4 s` below ten seconds.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken() {
        for (millis, words) in [
            (900, "0.9 s"),
            (42_999, "42 s"),
            (187_000, "3 min 7 s"),
            (3_600_000, "60 min 0 s"),
        ] {
            assert_eq!(spoken(Duration::from_millis(millis)), words);
        }
    }
}
