//! Log lines of the program, on stderr. What is logged holds no secret: secrets have types that do not show themselves.

use crate::configuration::LogFormat;

/// What is logged unless `RUST_LOG` says otherwise. sqlx logs statements, which nobody asked for.
const DEFAULT: &str = "info,sqlx=warn";

/// Begins to write log lines. A second call changes nothing.
pub fn start(format: LogFormat) {
    let format = match format {
        LogFormat::Text => output::log::Format::Text,
        LogFormat::Json => output::log::Format::Json,
    };
    output::log::start(format, DEFAULT);
}
