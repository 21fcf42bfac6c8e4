//! `cargo xtask bench`: figures of this machine, as ratios within one run.
//!
//! Machines are noisy: what counts is the ratio of two figures that were measured in turns in the same run. The commands and
//! the figures of one run are kept in `docs/performance.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints figures, at a terminal"
)]

mod append;
mod approvals;
mod bare;
mod console;
mod deletions;
mod due_dates;
mod fleet;
mod freshness;
mod links;
mod permission;
mod startup;

use anyhow::{Result, bail};
use eventstore::Location;
use eventstore::testing::TestDatabase;

#[tokio::main]
async fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| !ALL.contains(&name.as_str())) {
        bail!(
            "no bench is called {unknown}; there are: {}",
            ALL.join(", ")
        );
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    if wanted("append") {
        append::run().await?;
    }
    if wanted("startup") {
        startup::run().await?;
    }
    if wanted("freshness") {
        freshness::run().await?;
    }
    if wanted("permission") {
        permission::run()?;
    }
    if wanted("lists") {
        console::lists().await?;
    }
    if wanted("consoles") {
        console::consoles().await?;
    }
    if wanted("approvals") {
        approvals::run()?;
    }
    if wanted("due_dates") {
        due_dates::run().await?;
    }
    if wanted("deletions") {
        deletions::run().await?;
    }
    if wanted("fleet") {
        links::one_server().await?;
    }
    if wanted("two_servers") {
        links::two_servers().await?;
    }
    Ok(())
}

/// The benches by name, in the order they run.
const ALL: &[&str] = &[
    "append",
    "startup",
    "freshness",
    "permission",
    "lists",
    "consoles",
    "approvals",
    "due_dates",
    "deletions",
    "fleet",
    "two_servers",
];

/// The middle one of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a database is called in the tables.
fn kind(database: &TestDatabase) -> &'static str {
    match database.location() {
        Location::Sqlite { .. } => "sqlite",
        Location::Postgres { .. } => "postgres",
    }
}
