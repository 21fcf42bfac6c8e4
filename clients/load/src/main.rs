//! The program `gatebook-load`: reads the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser;
use load::herd;
use load::options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    match herd::run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::message(format_args!("gatebook-load: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
