//! Log lines of the program, on stderr. What is logged holds no secret: secrets have types that do not show themselves.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::configuration::LogFormat;

/// What is logged unless `RUST_LOG` says otherwise. sqlx logs statements, which nobody asked for.
const DEFAULT: &str = "info,sqlx=warn";

/// Begins to write log lines. A second call changes nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let begun = match format {
        LogFormat::Text => lines.with_target(false).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    if let Err(error) = begun {
        tracing::debug!(%error, "log lines are written already");
    }
}
