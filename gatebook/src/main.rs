//! The program `gatebook`: reads the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser;
use gatebook::command;
use gatebook::command_line::CommandLine;

#[tokio::main]
async fn main() -> ExitCode {
    command::run(CommandLine::parse()).await
}
