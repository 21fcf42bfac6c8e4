//! `cargo xtask bench`: the benches of `replay-tests`, optimised, with a PostgreSQL of their own.

use anyhow::{Context, Result};
use clap::Args;

use crate::postgres::{Postgres, URL_VARIABLE};
use crate::process::{Interrupt, must};
use crate::workspace::Workspace;

/// Which benches.
#[derive(Args)]
pub(crate) struct Options {
    /// Names of benches; none is all of them.
    names: Vec<String>,
}

/// Builds and runs the benches; they print their own tables.
pub(crate) fn bench(workspace: &Workspace, interrupt: &Interrupt, options: &Options) -> Result<()> {
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "--bins",
        "--package",
        "gatebook",
        "--package",
        "gatebook-agent",
        "--package",
        "gatebook-load",
        "--package",
        "replay-tests",
    ]);
    must(&mut build, interrupt).context("building")?;
    let program = workspace.built("release", "bench")?;
    let server = workspace.built("release", "gatebook")?;
    let agent = workspace.built("release", "gatebook-agent")?;
    let load = workspace.built("release", "gatebook-load")?;
    let postgres = Postgres::start(workspace, interrupt)?;
    let mut command = workspace.command(program);
    command
        .args(&options.names)
        .env(URL_VARIABLE, postgres.url())
        .env("GATEBOOK_BIN", server)
        .env("GATEBOOK_AGENT_BIN", agent)
        .env("GATEBOOK_LOAD_BIN", load);
    let outcome = must(&mut command, interrupt);
    outcome.and(postgres.stop())
}
