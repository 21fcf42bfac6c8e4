//! `jump-client/installer`: packages that bring Jump Clients (INST-01). The key with its secret is shown once, in the answer
//! that made the installer; afterwards it is only in the packages that are downloaded, so it is kept sealed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use connector::INSTALLER_SECRET;
use domain::fleet::installer::JumpClientInstaller;
use domain::ids::{JumpClientInstallerId, SecretRef};
use domain::record::{self, Field, Kind, Object};
use domain::{Command, Event, World};
use engine::{Done, Side};
use eventstore::{SideTable, SideWrite};
use secrets::{Sealer, SecretText};
use serde_json::{Value, json};

use super::resource::{self, ACCESS, Resource, accepted, location, made_by, path_of};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::credential::{seal_secret, unguessable};
use crate::download::{self, link, platform};
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Members that no body writes, on whichever surface.
pub(crate) const INTERNAL_ALWAYS: [&str; 5] = [
    "secret_hash",
    "created_by_user_id",
    "created_by_api_account_id",
    "site_builds",
    "installer_id",
];

/// The published description lists filters by the machine, of which an installer has none: nothing matches them.
const FILTERS_ALONE: &[Field] = &[
    Field::new(
        "hostname",
        Kind::Text { min: 1, max: 255 },
        "The machine's host name.",
    ),
    Field::new(
        "fqdn",
        Kind::Text { min: 1, max: 255 },
        "The machine's full name.",
    ),
];

impl Resource for JumpClientInstaller {
    const PATH: &'static str = "jump-client/installer";
    const SCHEMA: &'static str = "JumpClientInstaller";
    const INTERNAL: &'static [&'static str] = &[
        "secret_hash",
        "created_by_user_id",
        "created_by_api_account_id",
        "site_builds",
    ];
    const FILTERS_ALONE: &'static [Field] = FILTERS_ALONE;
    // `key_info` is read-only and clients send it back.
    const FIXED: &'static [(&'static str, resource::Fixed)] =
        &[("key_info", resource::Fixed::Absent)];

    // Of the sister product, whose clients post them to either.
    const SENT_BY_CLIENTS: &'static [&'static str] = &[
        "is_quiet",
        "attended_session_policy_id",
        "unattended_session_policy_id",
        "customer_client_start_mode",
    ];

    fn rows(world: &World) -> impl Iterator<Item = (JumpClientInstallerId, &Self)> {
        world
            .installers
            .iter()
            .map(|(id, installer)| (*id, installer))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::JumpClientInstaller(command)
    }

    fn goes_with(world: &World, id: JumpClientInstallerId) -> Option<Side> {
        forget_secret(world, id)
    }

    fn made(event: &Event) -> Option<(JumpClientInstallerId, &Self)> {
        match event {
            Event::JumpClientInstaller(id, record::Event::Created(installer)) => {
                Some((*id, installer))
            }
            _ => None,
        }
    }

    fn show(&self, site: &Site, _world: &World, id: JumpClientInstallerId) -> Object {
        let mut shown = record::render(id, self);
        shown.insert(
            "key_info".to_owned(),
            key_info(site, &self.installer_id, None),
        );
        shown
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let about = About::new("Creates an installer; its key is in this answer only.")
        .takes(JumpClientInstaller::SCHEMA)
        .gives(Gives::Created(JumpClientInstaller::SCHEMA));
    let routes = resource::read_routes::<JumpClientInstaller>(site).route(
        Method::POST,
        &path_of::<JumpClientInstaller>(),
        ACCESS,
        about,
        create,
    );
    let routes = resource::delete_route::<JumpClientInstaller>(routes);
    download::configuration_route(routes)
}

/// The map by platform, as real sites name them (config-api.md section 0 fact 7). There is one key for all of them; the path is
/// that of the Direct Download Link (INST-16).
fn key_info(site: &Site, installer_id: &str, key: Option<&str>) -> Value {
    let of_platform = |platform: &platform::Platform| {
        let mut members = json!({
            "filename": platform.file_name(installer_id),
            "installerPath": link::path(&site.sealer, installer_id, platform.key),
        });
        if let Some(key) = key {
            members["encodedInfo"] = key.into();
        }
        Some((platform.in_key_info?.to_owned(), members))
    };
    Value::Object(platform::PLATFORMS.iter().filter_map(of_platform).collect())
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = accepted::<JumpClientInstaller>(&change.body, &known)?;
    let made = make(&site, &caller, &change, body).await?;
    let (id, installer) = made_by::<JumpClientInstaller>(&made.done)?;
    let mut shown = record::render(id, installer);
    let encoded = made.key.as_ref().map(link_protocol::Secret::expose);
    shown.insert(
        "key_info".to_owned(),
        key_info(&site, &installer.installer_id, encoded),
    );
    let location = location::<JumpClientInstaller>(&parts, &site, id);
    Ok(Answer::created(&made.done, location, shown))
}

/// An installer that was made.
pub(crate) struct MadeWithKey {
    pub(crate) done: Done,
    /// KEY_INFO; none for a repeated request, whose secret is not the one that was kept with the first.
    pub(crate) key: Option<link_protocol::Secret>,
}

/// Makes an installer with a secret of its own.
pub(crate) async fn make(
    site: &Site,
    caller: &Caller,
    change: &Change,
    mut body: Object,
) -> Result<MadeWithKey, JsonError> {
    let secret = unguessable(&site.engine.fresh(), 32);
    let hash = site
        .sealer
        .keyed_hash(INSTALLER_SECRET, secret.expose().as_bytes());
    body.insert("secret_hash".to_owned(), hex::encode(hash).into());
    let key = |installer_id: &str| {
        let secret = link_protocol::Secret::new(secret.expose());
        download::write_key(site, installer_id, secret)
    };
    // Tried before the installer is made: one whose key can't be written would be of no use.
    key(&"0".repeat(32))?;
    let command = JumpClientInstaller::command(record::Command::Create(body));
    let side = keep_secret(&site.sealer, &secret);
    let done = site.execute(caller, change, command, Some(side)).await?;
    let (_, installer) = made_by::<JumpClientInstaller>(&done)?;
    let key = if done.repeated {
        None
    } else {
        Some(key(&installer.installer_id)?)
    };
    Ok(MadeWithKey { done, key })
}

/// Takes the secret away with its installer: nothing is made of it any more.
pub(crate) fn forget_secret(world: &World, id: JumpClientInstallerId) -> Option<Side> {
    let installer = world.installers.get(&id)?;
    let SecretRef(key) = download::secret_of(&installer.installer_id);
    Some(Side::writing(move |_| {
        let table = SideTable::Secret;
        vec![SideWrite::Delete { table, key }]
    }))
}

/// Keeps the secret, sealed, under the id that the installer is given, so that packages can be made of it.
#[must_use]
pub fn keep_secret(sealer: &Arc<Sealer>, secret: &SecretText) -> Side {
    let (sealer, secret) = (Arc::clone(sealer), secret.clone());
    Side::writing(move |context| {
        let made = context.events.iter().find_map(JumpClientInstaller::made);
        let row = made.map(|(_, installer)| {
            let reference = download::secret_of(&installer.installer_id);
            SideWrite::Insert {
                table: SideTable::Secret,
                value: seal_secret(&sealer, &reference, &secret),
                key: reference.0,
            }
        });
        row.into_iter().collect()
    })
}
