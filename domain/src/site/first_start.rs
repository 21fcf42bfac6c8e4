//! The first start of a site: the seeded roles and settings, the first administrator, the first API account.
//!
//! States: no site → site. It happens once; the stream `site` must not exist.

use serde::{Deserialize, Serialize};

use crate::access::role;
use crate::ids::{ApiAccountId, SecretRef, UserId};
use crate::record;
use crate::site::api_account::{self, ApiAccount};
use crate::site::settings::{SETTINGS, SiteSettings};
use crate::site::upgrade::{self, Upgraded};
use crate::site::user::{self, User};
use crate::{Context, Decision, Event as Happened, Refusal, World};

/// Make the site.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Name of the first administrator.
    pub username: String,
    /// The sealed hash of the first administrator's password.
    pub password: SecretRef,
    /// The sealed secret of the first API account.
    pub client_secret: SecretRef,
    /// Shown in `get_api_info`; may be empty.
    pub company_name: String,
}

/// The site was made. Expected rate: once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteCreated {
    /// Names the site among others: 32 lower-case hex digits, the appliance GUID of the XML APIs (HLTH-02).
    pub site_id: String,
}

/// What happens to the site itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// It was made.
    Created(SiteCreated),
    /// A build of the program ran for the first time.
    Upgraded(Upgraded),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &["SiteCreated", "SiteUpgraded"];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Created(_) => "SiteCreated",
            Self::Upgraded(_) => "SiteUpgraded",
        }
    }

    /// Reads an event back; `None` if the name is not one of the site's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "SiteCreated" => serde_json::from_slice(text).map(|event| Some(Self::Created(event))),
            "SiteUpgraded" => serde_json::from_slice(text).map(|event| Some(Self::Upgraded(event))),
            _ => Ok(None),
        }
    }
}

/// What is known of the site itself.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Site {
    /// 32 lower-case hex digits.
    pub site_id: String,
    /// The builds of the program that have run, the newest last; see [`upgrade`].
    pub builds: Vec<String>,
    /// How often a build ran for the first time.
    pub upgrades: u32,
}

/// The index in [`crate::Fresh`] of the site's id; 0 and 1 make the API account's client id.
const FRESH_SITE_ID: usize = 2;

/// Decides what becomes of the first start.
///
/// # Errors
/// [`Refusal::SiteExists`] where it happened already.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    if world.site.is_some() {
        return Err(Refusal::SiteExists);
    }
    let mut administrator = User {
        username: command.username.clone(),
        public_display_name: "Administrator".to_owned(),
        private_display_name: "Administrator".to_owned(),
        password: Some(command.password.clone()),
        created_at: context.now,
        ..User::default()
    };
    administrator.allow_everything();
    let mut account = ApiAccount {
        name: "First API account".to_owned(),
        client_id: format!("{}{}", context.fresh.hex(0), &context.fresh.hex(1)[..8]),
        client_secret: Some(command.client_secret.clone()),
        ..ApiAccount::default()
    };
    account.allow_everything();
    let settings = SiteSettings {
        company_name: command.company_name.clone(),
        ..SiteSettings::default()
    };

    let created = Event::Created(SiteCreated {
        site_id: context.fresh.hex(FRESH_SITE_ID),
    });
    let mut events = vec![Happened::Site(created)];
    events.push(Happened::SiteSettings(
        SETTINGS,
        record::Event::Created(settings),
    ));
    events.extend(
        role::built_in().map(|(id, role)| Happened::JumpItemRole(id, record::Event::Created(role))),
    );
    events.push(Happened::User(
        UserId(1),
        user::Event::Record(record::Event::Created(administrator)),
    ));
    events.push(Happened::ApiAccount(
        ApiAccountId(1),
        api_account::Event::Record(record::Event::Created(account)),
    ));
    Ok(events)
}

/// Folds one event into the world.
pub fn apply(world: &mut World, event: &Event) {
    match event {
        Event::Created(created) => {
            world.site = Some(Site {
                site_id: created.site_id.clone(),
                builds: Vec::new(),
                upgrades: 0,
            });
        }
        Event::Upgraded(upgraded) => upgrade::apply(world, upgraded),
    }
}
