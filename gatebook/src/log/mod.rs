//! `gatebook log`: the log as JSON Lines, and the proof that it is whole. Everything here reads beside a running server.

mod filter;
mod line;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use eventstore::{Direction, EventStore, RecordedEvent, Selection};
use serde::Serialize;

use crate::command_line::FilterOptions;
use crate::log::filter::Filter;
use crate::place::{self, Place};

/// Events read with one statement.
const PAGE: usize = 1_000;

/// Prints the events that pass, oldest first, at most `limit`.
///
/// # Errors
/// The log can't be read, or stdout not written. A reader that has seen enough (a closed pipe) is no error.
pub async fn read(place: &Place, options: &FilterOptions, limit: Option<u64>) -> Result<()> {
    let store = place.open_for_reading().await?;
    let mut output = BufWriter::new(io::stdout().lock());
    let outcome = async {
        let mut left = limit.unwrap_or(u64::MAX);
        let mut walk = Walk::start(&store, options).await?;
        while left > 0
            && let Some(events) = walk.next().await?
        {
            for event in events
                .iter()
                .take(usize::try_from(left).unwrap_or(usize::MAX))
            {
                line::write(&mut output, event)?;
                left -= 1;
            }
        }
        output.flush()?;
        Ok(())
    };
    let outcome = outcome.await;
    store.close().await;
    quiet_about_a_closed_pipe(outcome)
}

/// Prints the newest `lines` events that pass, then each new one as it comes, until stdout is closed or the process is
/// told to stop.
///
/// # Errors
/// As [`read`].
pub async fn tail(place: &Place, options: &FilterOptions, lines: usize) -> Result<()> {
    let store = place.open_for_reading().await?;
    let outcome = follow(&store, options, lines).await;
    store.close().await;
    quiet_about_a_closed_pipe(outcome)
}

async fn follow(store: &EventStore, options: &FilterOptions, lines: usize) -> Result<()> {
    let mut newest = VecDeque::new();
    let mut walk = Walk::start(store, options).await?;
    while let Some(events) = walk.next().await? {
        for event in events {
            newest.push_back(event);
            if newest.len() > lines {
                newest.pop_front();
            }
        }
    }
    let mut output = io::stdout();
    for event in &newest {
        line::write(&mut output, event)?;
    }
    output.flush()?;
    let Walk {
        mut filter,
        position: after,
        ..
    } = walk;
    let mut subscription = store.subscribe(after, Selection::All);
    loop {
        let events = tokio::select! {
            events = subscription.next() => events.context("following the log")?,
            stopped = tokio::signal::ctrl_c() => return stopped.context("waiting for Ctrl-C"),
        };
        for event in events {
            if filter.is_past(&event) {
                return Ok(());
            }
            if filter.admits(&event) {
                line::write(&mut output, &event)?;
            }
        }
        output.flush()?;
    }
}

/// Writes the events that pass to `output`, which must not exist and appears whole, or to stdout.
///
/// # Errors
/// As [`read`]; the file is there already or can't be written.
pub async fn export(place: &Place, options: &FilterOptions, output: Option<&Path>) -> Result<()> {
    let Some(path) = output else {
        return read(place, options, None).await;
    };
    ensure!(
        !path.exists(),
        "{} exists already and is not overwritten",
        path.display()
    );
    let mut name = path
        .file_name()
        .context("--output names no file")?
        .to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let store = place.open_for_reading().await?;
    let outcome = async {
        let file = File::create(&part).with_context(|| format!("making {}", part.display()))?;
        let mut output = BufWriter::new(file);
        let mut walk = Walk::start(&store, options).await?;
        let mut count = 0_u64;
        while let Some(events) = walk.next().await? {
            for event in &events {
                line::write(&mut output, event)?;
                count += 1;
            }
        }
        let file = output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        place::sync_folder_of(path)?;
        output::message(format_args!("{count} events are in {}", path.display()));
        Ok(())
    };
    let outcome: Result<()> = outcome.await;
    store.close().await;
    if outcome.is_err() {
        // What failed is reported; the rest of a file may or may not be there.
        let _ = std::fs::remove_file(&part);
    }
    outcome.with_context(|| format!("writing {}", path.display()))
}

/// What a verification found, as it is printed.
#[derive(Serialize)]
struct Verified {
    whole: bool,
    events: u64,
    streams: u64,
    position: u64,
    epoch: i64,
    tail_hash: String,
    faults_count: u64,
    faults: Vec<String>,
}

/// Checks positions, revisions and hashes; prints what was found as JSON, progress on stderr. Returns whether the log is
/// whole.
///
/// # Errors
/// The log can't be read.
pub async fn verify(place: &Place) -> Result<bool> {
    let store = place.open_for_reading().await?;
    let head = store.head().await?.position.max(1);
    let mut told = 0;
    let verification = store
        .verify(|position| {
            let percent = position.saturating_mul(100) / head;
            if percent > told {
                told = percent;
                output::message(format_args!(
                    "verified up to position {position} ({percent} %)"
                ));
            }
        })
        .await;
    store.close().await;
    let found = verification.context("reading the log")?;
    let printed = Verified {
        whole: found.is_whole(),
        events: found.events,
        streams: found.streams,
        position: found.head.position,
        epoch: found.head.epoch,
        tail_hash: hex::encode(found.head.tail_hash),
        faults_count: found.faults_count,
        faults: found.faults.iter().map(ToString::to_string).collect(),
    };
    output::result(serde_json::to_string(&printed)?).context("printing what was found")?;
    Ok(printed.whole)
}

/// Goes through the log as it is now, page by page.
struct Walk {
    store: EventStore,
    filter: Filter,
    selection: Selection,
    /// Where the next page begins: a position, or a revision where one stream is read.
    next: u64,
    /// The head when the walk began; what comes later is left to whoever follows.
    position: u64,
    done: bool,
}

impl Walk {
    async fn start(store: &EventStore, options: &FilterOptions) -> Result<Self> {
        let filter = Filter::new(options)?;
        let head = store.head().await?.position;
        let selection = filter.selection();
        let next = match selection {
            Selection::Stream(_) => 0,
            // Whose sessions are told apart has to see them begin.
            _ if filter.needs_history() => 1,
            _ => filter.from.max(match filter.since {
                Some(since) => first_at(store, since, head).await?,
                None => 1,
            }),
        };
        Ok(Self {
            store: store.clone(),
            filter,
            selection,
            next,
            position: head,
            done: false,
        })
    }

    /// The events of the next page that pass, possibly none of them; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<RecordedEvent>>> {
        if self.done {
            return Ok(None);
        }
        let mut page = self
            .store
            .read(&self.selection, self.next, Direction::Forward, PAGE)
            .await
            .context("reading the log")?;
        self.done = page.len() < PAGE;
        if let Some(last) = page.last() {
            self.next = 1 + match self.selection {
                Selection::Stream(_) => last.revision,
                _ => last.position,
            };
            self.done |= last.position >= self.position || self.filter.is_past(last);
        }
        page.retain(|event| event.position <= self.position && self.filter.admits(event));
        Ok(Some(page))
    }
}

/// The first position whose event was recorded at or after `since`: time in the log never goes back.
async fn first_at(store: &EventStore, since: i64, head: u64) -> Result<u64> {
    let (mut low, mut high) = (1, head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let event = store
            .read(&Selection::All, middle, Direction::Forward, 1)
            .await
            .context("reading the log")?;
        match event.first() {
            Some(event) if event.recorded_at < since => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

fn quiet_about_a_closed_pipe(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}
