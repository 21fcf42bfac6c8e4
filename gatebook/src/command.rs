//! What the program does for each command of its command line, and with which code it exits.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use engine::Clock;
use eventstore::OpenError;

use crate::clock::SystemClock;
use crate::command_line::{
    AdministratorCommand, Command, CommandLine, LogCommand, PlaceOptions, ProjectionsCommand,
};
use crate::configuration::{self, LogFormat, Misconfigured};
use crate::essential::TaskEnded;
use crate::first_start::{self, FirstStart, Keep};
use crate::opening::OpenSite;
use crate::tls::SiteAuthority;
use crate::{administrator, demo, log, logging, place, projections, serve};

/// What the program was told makes no sense; clap exits with the same for flags it does not know.
const MISCONFIGURED: u8 = 2;
/// The log is damaged, foreign, or of another version.
const LOG_REFUSED: u8 = 3;
/// The log can't be reached or written.
const LOG_AWAY: u8 = 4;
/// A part of the server ended that it can't do without: a supervisor starts it again.
const PART_ENDED: u8 = 6;
/// Verification found faults.
const LOG_FAULTY: u8 = 5;

/// Carries a command out and says with which code the program exits.
pub async fn run(line: CommandLine) -> ExitCode {
    match carry_out(line.command).await {
        Ok(code) => code,
        Err(error) => {
            output::message(format_args!("gatebook: {error:#}"));
            code_of(&error)
        }
    }
}

async fn carry_out(command: Command) -> Result<ExitCode> {
    if !matches!(command, Command::Serve(_)) {
        logging::start(LogFormat::Text);
    }
    match command {
        Command::Serve(options) => serve::serve(&options).await?,
        Command::Init(options) => init(&options).await?,
        Command::Demo(options) => demo::make(&options).await?,
        Command::Administrator(AdministratorCommand::Reset { place, username }) => {
            administrator::reset(&configuration::place(&place)?, username.as_deref()).await?;
        }
        Command::Log(command) => return log_command(command).await,
        Command::Projections(ProjectionsCommand::Rebuild { name, place }) => {
            projections::rebuild_in(&configuration::place(&place)?, &name).await?;
        }
        Command::Completions { shell } => {
            let mut command = CommandLine::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "gatebook", &mut script);
            print(&script).context("writing the script")?;
        }
        Command::Manual => {
            let mut page = Vec::new();
            clap_mangen::Man::new(CommandLine::command())
                .render(&mut page)
                .context("making the manual page")?;
            print(&page).context("writing the manual page")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &[u8]) -> std::io::Result<()> {
    output::result(String::from_utf8_lossy(text).trim_end())
}

async fn log_command(command: LogCommand) -> Result<ExitCode> {
    match command {
        LogCommand::Read {
            place,
            filter,
            limit,
        } => {
            log::read(&configuration::place(&place)?, &filter, limit).await?;
        }
        LogCommand::Tail {
            place,
            filter,
            lines,
        } => {
            log::tail(&configuration::place(&place)?, &filter, lines).await?;
        }
        LogCommand::Export {
            place,
            filter,
            output,
        } => {
            log::export(&configuration::place(&place)?, &filter, output.as_deref()).await?;
        }
        LogCommand::Verify { place } => {
            if !log::verify(&configuration::place(&place)?).await? {
                output::message(
                    "gatebook: the log is not whole: restore the newest backup, and keep this one for examination",
                );
                return Ok(ExitCode::from(LOG_FAULTY));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a site; its first credentials are printed, once, before it is made.
async fn init(options: &PlaceOptions) -> Result<()> {
    let place = configuration::place(options)?;
    let site = OpenSite::open(&place).await?;
    let made = async {
        let made = first_start::make_site(&site.engine, &site.fresh, &site.sealer, "", Keep::Print)
            .await?;
        if matches!(made, FirstStart::Made(_)) {
            // From now on a key file that is not this site's is recognised.
            let authority =
                SiteAuthority::load_or_make(&site.store, &site.sealer, SystemClock.now()).await?;
            place::write_certificate(&place, authority.certificate_pem())?;
        }
        anyhow::Ok(made)
    }
    .await;
    site.close().await;
    match made? {
        FirstStart::Made(_) => Ok(()),
        FirstStart::ThereAlready => bail!(
            "this site has been set up already. `gatebook administrator reset` helps who lost the password"
        ),
    }
}

fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<Misconfigured>() {
        return ExitCode::from(MISCONFIGURED);
    }
    if error.is::<TaskEnded>() {
        return ExitCode::from(PART_ENDED);
    }
    let refused = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<OpenError>());
    match refused {
        None => ExitCode::FAILURE,
        Some(
            OpenError::Corrupt { .. }
            | OpenError::Foreign { .. }
            | OpenError::Newer { .. }
            | OpenError::Older { .. },
        ) => ExitCode::from(LOG_REFUSED),
        Some(_) => ExitCode::from(LOG_AWAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_can_tell_why_the_program_ended() {
        let ended = TaskEnded::of("the engine", Err("it panicked"));
        assert_eq!(
            ended.to_string(),
            "the engine ended without being told to (it panicked); the server has to be started again"
        );
        for (error, code) in [
            (anyhow::Error::from(ended), ExitCode::from(PART_ENDED)),
            (anyhow::anyhow!("anything"), ExitCode::FAILURE),
        ] {
            assert_eq!(code_of(&error), code, "{error}");
        }
    }
}
