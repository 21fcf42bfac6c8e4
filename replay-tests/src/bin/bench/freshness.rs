//! What it costs that no read is ever stale: a read over HTTP on one node, alone and after a write on another.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use eventstore::testing::TestDatabase;
use replay_tests::caller::Caller;
use replay_tests::program::Site;
use reqwest::Method;
use serde_json::json;

use crate::median;

/// Reads of each kind.
const READS: usize = 2_000;

pub(crate) async fn run() -> Result<()> {
    println!("freshness: milliseconds of one read over HTTP, median of {READS}");
    println!("{:<34} {:>10} {:>10}", "case", "median", "99 %");
    let sqlite = TestDatabase::sqlite();
    let site = Site::at(sqlite.location(), sqlite.directory())?;
    let server = site.serve()?;
    let api = caller(&site).await?;
    report("sqlite, quiet", reads(&api, &api, false).await?);
    report("sqlite, each after a write", reads(&api, &api, true).await?);
    server.stop()?;

    let postgres = TestDatabase::postgres().await;
    let first = Site::at(postgres.location(), postgres.directory())?;
    let second = first.further_node(postgres.directory(), "two")?;
    let (one, two) = (first.serve()?, second.serve()?);
    let writer = caller(&first).await?;
    let reader = writer.at(&second.url());
    report("postgres, quiet", reads(&writer, &reader, false).await?);
    report(
        "postgres, after a write elsewhere",
        reads(&writer, &reader, true).await?,
    );
    one.stop()?;
    two.stop()
}

async fn caller(site: &Site) -> Result<Caller> {
    let first_run = site.first_run()?;
    let text = |name: &str| {
        first_run["administrator"][name]
            .as_str()
            .context("the first run names it")
    };
    Caller::console(&site.url(), text("username")?, text("password")?)
        .await?
        .lift_rate_limits(1)
        .await?;
    let api = Caller::first_account(&site.url(), &first_run).await?;
    api.send(
        Method::POST,
        "/api/config/v1/jump-group",
        &json!({"name": "fresh"}),
    )
    .await?;
    Ok(api)
}

async fn reads(writer: &Caller, reader: &Caller, after_writes: bool) -> Result<Vec<Duration>> {
    let path = "/api/config/v1/jump-group/1";
    let mut took = Vec::with_capacity(READS);
    for number in 0..READS {
        if after_writes {
            writer
                .send(
                    Method::PATCH,
                    path,
                    &json!({"comments": number.to_string()}),
                )
                .await?;
        }
        let began = Instant::now();
        reader.get(path).await?;
        took.push(began.elapsed());
    }
    Ok(took)
}

fn report(case: &str, took: Vec<Duration>) {
    let mut milliseconds: Vec<f64> = took
        .iter()
        .map(|took| took.as_secs_f64() * 1_000.0)
        .collect();
    let middle = median(milliseconds.clone());
    milliseconds.sort_by(f64::total_cmp);
    let late = milliseconds
        .get(milliseconds.len() * 99 / 100)
        .copied()
        .unwrap_or(f64::NAN);
    println!("{case:<34} {middle:>10.3} {late:>10.3}");
}
