//! `api-account`: API accounts, to read; they are written in the console API. Their secrets are shown to nobody.

use std::sync::Arc;

use domain::ids::ApiAccountId;
use domain::site::api_account::{self, ApiAccount};
use domain::{Command, Event, World, record};

use super::resource::{self, Resource};
use crate::route::Routes;
use crate::site::Site;

impl Resource for ApiAccount {
    const PATH: &'static str = "api-account";
    const SCHEMA: &'static str = "ApiAccount";
    const INTERNAL: &'static [&'static str] = &["client_secret"];

    fn rows(world: &World) -> impl Iterator<Item = (ApiAccountId, &Self)> {
        world
            .api_accounts
            .iter()
            .map(|(id, account)| (*id, account))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::ApiAccount(api_account::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(ApiAccountId, &Self)> {
        match event {
            Event::ApiAccount(id, api_account::Event::Record(record::Event::Created(account))) => {
                Some((*id, account))
            }
            _ => None,
        }
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    resource::read_routes::<ApiAccount>(site)
}
