//! The program's log: `tracing` and the crate `log`, on stderr, as `RUST_LOG` asks.

use std::io::{IsTerminal, stderr};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, registry};

use crate::log_lines::LogLines;

/// The first names of our own targets.
const OURS: &[&str] = &[
    "agent",
    "api",
    "connector",
    "domain",
    "engine",
    "eventstore",
    "gatebook",
    "gatebook_agent",
    "gatebook_load",
    "link_protocol",
    "load",
    "output",
    "projections",
    "secrets",
];

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to write log lines: what `RUST_LOG` asks for, `default` where it asks for nothing that can be read. A second call
/// changes nothing.
pub fn start(format: Format, default: &str) {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = fmt::layer()
        // A log file has no use for colours.
        .with_ansi(stderr().is_terminal())
        .with_writer(LogLines::new(stderr(), format))
        // Else it says on stderr, and panics where it can't, that a line could not be written.
        .log_internal_errors(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Text => lines.with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let begun = registry()
        .with(lines)
        .with(filter_fn(is_safe))
        .with(asked)
        .try_init();
    if let Err(error) = begun {
        tracing::debug!(%error, "log lines are written already");
    }
}

/// Whether something may be logged, whatever `RUST_LOG` asks for. Below `INFO` libraries write what passes through them: whole
/// frames and headers, with the tokens and secrets in them (threat C). Ours have types for secrets, which do not show them.
#[must_use]
pub fn is_safe(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let first = target.split("::").next().unwrap_or(target);
    *metadata.level() <= Level::INFO || OURS.contains(&first)
}
