//! The first start of a site, and help for an administrator who lost the password.
//!
//! No default password exists, and nothing here is reachable over the network (threat B): the first credentials are random,
//! shown once to whoever holds the machine, and kept nowhere in clear.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use api::credential::{
    new_client_secret, new_reference, seal_client_secret, seal_password, unguessable,
};
use api::passwords::{Passwords, Source};
use domain::ids::{SecretRef, UserId};
use domain::site::{api_account, first_start, user};
use domain::{Actor, Cause, Command, Context, Event, Refusal, World, record};
use engine::{Engine, ExecuteError, Lane, Side, Submission};
use eventstore::{SideTable, SideWrite};
use secrets::{Sealer, SecretText};
use serde::{Serialize, Serializer};

use crate::clock::SystemFresh;
use crate::place;
use crate::upgrade;

/// What the first administrator is called.
pub const ADMINISTRATOR: &str = "administrator";

/// Length of a password that the program makes. Unit: random bytes, each 4/3 characters.
const PASSWORD_BYTES: usize = 18;

/// What is shown once.
#[derive(Serialize)]
pub struct Credentials {
    /// The first administrator.
    pub administrator: Administrator,
    /// The first API account.
    pub api_account: ApiAccount,
}

/// An administrator's name and password.
#[derive(Serialize)]
pub struct Administrator {
    /// Name to sign in with.
    pub username: String,
    /// The password.
    #[serde(serialize_with = "expose")]
    pub password: SecretText,
}

/// An API account's id and secret.
#[derive(Serialize)]
pub struct ApiAccount {
    /// 40 lower-case hex digits (AUTH-30).
    pub client_id: String,
    /// 44 characters (AUTH-30).
    #[serde(serialize_with = "expose")]
    pub client_secret: SecretText,
}

/// The one place where a credential leaves the program.
fn expose<S: Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// Where the credentials go before anything is appended: a site whose credentials nobody has is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep<'a> {
    /// Into a file of this name, synced; it is removed again where no site is made.
    In(&'a Path),
    /// To whoever reads stdout.
    Print,
}

impl Keep<'_> {
    fn keep(self, credentials: &Credentials) -> Result<()> {
        match self {
            Self::In(file) => {
                let mut text = serde_json::to_vec_pretty(credentials)?;
                text.push(b'\n');
                place::write_private(file, &text)
                    .with_context(|| format!("writing {}", file.display()))
            }
            Self::Print => output::result_shown_once(serde_json::to_string(credentials)?)
                .context("the first credentials can't be printed, and nothing was made"),
        }
    }

    fn take_back(self) -> Result<()> {
        match self {
            Self::In(file) => {
                place::remove_if_there(file).with_context(|| format!("removing {}", file.display()))
            }
            Self::Print => {
                output::message("gatebook: the credentials that were printed are of no site");
                Ok(())
            }
        }
    }
}

/// What became of a first start.
pub enum FirstStart {
    /// The site was made.
    Made(Box<Credentials>),
    /// There is a site already; nothing was changed and no file is left.
    ThereAlready,
}

/// Makes the site. The credentials are where `keep` says before the events are appended.
///
/// # Errors
/// The credentials can't be kept, or the log can't be written.
pub async fn make_site(
    engine: &Engine,
    fresh: &SystemFresh,
    sealer: &Sealer,
    company_name: &str,
    keep: Keep<'_>,
) -> Result<FirstStart> {
    let password = new_password(sealer, fresh).await?;
    let secret_reference = new_reference(&fresh.draw());
    let client_secret = new_client_secret(&fresh.draw());
    let command = Command::FirstStart(first_start::Command {
        username: ADMINISTRATOR.to_owned(),
        password: password.reference.clone(),
        client_secret: secret_reference.clone(),
        company_name: company_name.to_owned(),
    });
    let cause = Cause::program(Actor::Operator);

    // Decided once beforehand with the very values that the engine will be given, to know the client id.
    let pinned = fresh.draw();
    let context = Context {
        now: engine.clock().now(),
        cause: &cause,
        fresh: &pinned,
    };
    let events = match domain::decide(&engine.published().world, &command, &context) {
        Ok(events) => events,
        Err(Refusal::SiteExists) => return Ok(FirstStart::ThereAlready),
        Err(refusal) => return Err(refusal).context("making the site"),
    };
    let credentials = Credentials {
        administrator: Administrator {
            username: ADMINISTRATOR.to_owned(),
            password: password.text,
        },
        api_account: ApiAccount {
            client_id: client_id(&events).context("the first start makes an API account")?,
            client_secret,
        },
    };
    let sealed = vec![
        (password.reference, password.sealed),
        (
            secret_reference.clone(),
            seal_client_secret(
                sealer,
                &secret_reference,
                &credentials.api_account.client_secret,
            ),
        ),
    ];
    let submission = Submission::new(command, cause, Lane::People).with_side(put_away(sealed));

    keep.keep(&credentials)?;
    fresh.pin(pinned);
    let done = engine.execute(submission).await;
    fresh.unpin();
    let error = match done {
        Ok(done)
            if client_id(&done.events).as_ref() == Some(&credentials.api_account.client_id) =>
        {
            // What is made from here on is of this build. The credentials are shown now or never, whatever comes of it; a server
            // that starts says it too.
            if let Err(error) = upgrade::note_build(engine).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "which build made the site was not written down"
                );
            }
            return Ok(FirstStart::Made(Box::new(credentials)));
        }
        Ok(_) => bail!(
            "the site was made with another client id than was shown: this is a fault of the program"
        ),
        Err(error) => error,
    };
    keep.take_back()?;
    match error {
        ExecuteError::Refused {
            refusal: Refusal::SiteExists,
            ..
        } => Ok(FirstStart::ThereAlready),
        error => Err(error).context("making the site"),
    }
}

/// Removes a file of first credentials that is not of this site: left by a start that was killed when it had already lost
/// the race. Whether it is, its client id tells.
///
/// # Errors
/// The file can't be read or removed.
pub fn remove_foreign_credentials(file: &Path, world: &World) -> Result<()> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let known = json["api_account"]["client_id"]
        .as_str()
        .is_some_and(|id| world.api_account_with(id).is_some());
    // An account that was deleted since makes the file useless too, but that is for its owner to judge.
    let ever_there = world.next_id("api_account") > 2 || world.api_accounts.iter().next().is_none();
    if !known && !ever_there {
        tracing::warn!(file = %file.display(), "removed credentials that were never of this site");
        place::remove_if_there(file).with_context(|| format!("removing {}", file.display()))?;
    }
    Ok(())
}

/// A new password for an administrator, ready to be put in place.
pub struct NewPassword {
    /// The password itself.
    pub text: SecretText,
    /// The reference its hash is kept under.
    pub reference: SecretRef,
    /// The sealed hash.
    pub sealed: Vec<u8>,
}

/// Makes a random password and seals its hash.
///
/// # Errors
/// Hashing failed.
pub async fn new_password(sealer: &Sealer, fresh: &SystemFresh) -> Result<NewPassword> {
    let text = unguessable(&fresh.draw(), PASSWORD_BYTES);
    let reference = new_reference(&fresh.draw());
    let hash = Passwords::new(1, 1)
        .hash(
            text.clone(),
            &fresh.draw(),
            &Source::Proven("operator".to_owned()),
        )
        .await
        .map_err(|_| anyhow::anyhow!("hashing a password failed"))?;
    let sealed = seal_password(sealer, &reference, &hash);
    Ok(NewPassword {
        text,
        reference,
        sealed,
    })
}

/// The administrator with this name, or, without a name, the one made first.
///
/// # Errors
/// There is none.
pub fn administrator(world: &World, username: Option<&str>) -> Result<(UserId, String)> {
    let found = match username {
        Some(name) => world
            .user_named(name)
            .with_context(|| format!("there is no user named {name:?}"))?,
        None => world
            .users
            .iter()
            .find(|(_, user)| user.perm_admin)
            .map(|(id, _)| *id)
            .context("this site has no administrator: has it been set up?")?,
    };
    let user = world.users.get(&found).context("the user is there")?;
    if !user.perm_admin {
        bail!("{:?} is no administrator", user.username);
    }
    Ok((found, user.username.clone()))
}

/// Puts a new password in place, as an event of whoever holds the machine.
///
/// # Errors
/// The user is no administrator, or the log can't be written.
pub async fn reset(
    engine: &Engine,
    user: UserId,
    reference: SecretRef,
    sealed: Vec<u8>,
) -> Result<()> {
    let command = Command::User(user::Command::ResetAdministrator {
        user,
        password: reference.clone(),
    });
    let submission = Submission::new(command, Cause::program(Actor::Operator), Lane::People)
        .with_side(put_away(vec![(reference, sealed)]));
    engine
        .execute(submission)
        .await
        .context("resetting the password")?;
    Ok(())
}

/// Sealed secrets, committed with the events that name them.
pub(crate) fn put_away(sealed: Vec<(SecretRef, Vec<u8>)>) -> Side {
    Side::writing(move |_| {
        sealed
            .into_iter()
            .map(|(reference, value)| SideWrite::Insert {
                table: SideTable::Secret,
                key: reference.0,
                value,
            })
            .collect()
    })
}

fn client_id(events: &[Event]) -> Option<String> {
    events.iter().find_map(|event| match event {
        Event::ApiAccount(_, api_account::Event::Record(record::Event::Created(account))) => {
            Some(account.client_id.clone())
        }
        _ => None,
    })
}
