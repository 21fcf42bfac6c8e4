//! Which build of the program this is, and saying on the site that it runs: the first start of a build is an upgrade (INST-08).

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, Result};
use domain::site::upgrade;
use domain::{Actor, Cause, Command};
use engine::{Engine, Lane, Submission};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

/// The build of this process: its file can't change under it, so it is read once.
static BUILD: OnceCell<String> = OnceCell::const_new();

/// Bytes that are read at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// Says on the site that this build runs. Nothing is written where it ran before.
///
/// # Errors
/// The program's file can't be read, or the log can't be written.
pub async fn note_build(engine: &Engine) -> Result<()> {
    let build = BUILD.get_or_try_init(build_of_this_program).await?;
    let published = engine
        .as_fresh_as_the_log()
        .await
        .context("reading the log")?;
    let site = published.world.site.as_ref();
    if site.is_some_and(|site| site.builds.contains(build)) {
        return Ok(());
    }
    let had_builds = published.world.site_builds() > 0;
    let command = Command::Upgrade(upgrade::Command {
        build: build.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let cause = Cause::program(Actor::Operator);
    engine
        .execute(Submission::new(command, cause, Lane::People))
        .await
        .context("writing down which build of the program runs")?;
    if had_builds {
        tracing::info!(
            "this build of the program runs on the site for the first time: installers that were made before are not valid any more"
        );
    }
    Ok(())
}

async fn build_of_this_program() -> Result<String> {
    tokio::task::spawn_blocking(|| {
        let file = open_this_program().context("opening the program's own file")?;
        hash(file).context("reading the program's own file")
    })
    .await
    .context("hashing the program's own file")?
}

/// Under Linux the very file that runs, also where another was put in its place meanwhile.
fn open_this_program() -> io::Result<File> {
    match File::open("/proc/self/exe") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::open(std::env::current_exe()?)
        }
        opened => opened,
    }
}

fn hash(mut file: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INST-08: a program that differs in one byte is another build, whatever version it says it is.
    #[test]
    fn a_build_is_known_by_every_byte_of_its_program() {
        let program = vec![7; 3 * PIECE_BYTES + 5];
        let mut rebuilt = program.clone();
        rebuilt[2 * PIECE_BYTES] = 8;
        let build = hash(&program[..]).expect("a hash");
        assert_eq!(build.len(), 64);
        assert_eq!(hash(&program[..]).expect("a hash"), build);
        assert_ne!(hash(&rebuilt[..]).expect("a hash"), build);
        assert_ne!(hash(&program[1..]).expect("a hash"), build);
    }

    /// INST-08: the same program is the same build at every start.
    #[tokio::test]
    async fn this_program_is_one_build() {
        let first = build_of_this_program().await.expect("a hash");
        assert_eq!(build_of_this_program().await.expect("a hash"), first);
    }
}
