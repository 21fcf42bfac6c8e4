//! `gatebook administrator reset`: a new password for an administrator, for whoever holds the machine and the key file.

use anyhow::{Context, Result};
use secrets::{Sealer, SecretText};

use crate::clock::SystemFresh;
use crate::control::{self, Order};
use crate::first_start::{self, Administrator};
use crate::opening::OpenSite;
use crate::place::Place;

/// Sets a new random password and prints it once. A running server is asked to append the event; a stopped site is worked
/// on directly.
///
/// # Errors
/// The key file is missing or not this site's, there is no such administrator, or the log can't be written.
pub async fn reset(place: &Place, username: Option<&str>) -> Result<()> {
    let sealer = Sealer::load(place.key_file())?;
    let password = first_start::new_password(&sealer, &SystemFresh::default()).await?;
    let running = match place.try_lock() {
        Ok(lock) => lock.is_none(),
        Err(error) => return Err(error),
    };
    if running {
        // The names are in the log, which can be read beside the server.
        let (user, name) = find(place, username).await?;
        show(&name, password.text)?;
        let order = Order::ResetAdministrator {
            user,
            reference: password.reference,
            sealed: password.sealed,
        };
        let given = control::give(&place.control_socket(), &order, |_| {})
            .await
            .context(NOT_IN_PLACE)?;
        anyhow::ensure!(
            given,
            "another gatebook runs in {} and takes no orders: stop it first. {NOT_IN_PLACE}",
            place.directory().display()
        );
    } else {
        let site = OpenSite::open(place).await?;
        let outcome = async {
            let (user, name) =
                first_start::administrator(&site.engine.published().world, username)?;
            show(&name, password.text)?;
            first_start::reset(&site.engine, user, password.reference, password.sealed)
                .await
                .context(NOT_IN_PLACE)
        }
        .await;
        site.close().await;
        outcome?;
    }
    Ok(())
}

/// What is said where a password was printed that then could not be set.
const NOT_IN_PLACE: &str = "the password that was printed is not set";

/// Prints the password before it is set: one that nobody has would lock the administrator out.
fn show(username: &str, password: SecretText) -> Result<()> {
    let shown = Administrator {
        username: username.to_owned(),
        password,
    };
    output::result_shown_once(serde_json::to_string(&shown)?)
        .context("the new password can't be printed, and was not set")
}

/// Folds the log far enough to know its users.
async fn find(place: &Place, username: Option<&str>) -> Result<(domain::ids::UserId, String)> {
    let store = place.open_for_reading().await?;
    let outcome = async {
        let head = store.head().await?.position;
        let mut world = domain::World::default();
        let mut replay = store.replay(0, head);
        while let Some(events) = replay.next().await {
            for event in events? {
                let recorded = projections::Recorded::from_stored(&event)?;
                world.apply(&recorded.event, recorded.decided_at);
            }
        }
        first_start::administrator(&world, username)
    }
    .await;
    store.close().await;
    outcome
}
