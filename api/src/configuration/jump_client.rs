//! `jump-client`: Jump Clients read, changed and deleted; they are made by registering (CLNT-48). Lists have those of shared
//! Jump Groups (config-api.md 7.2).

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use domain::fleet::jump_client::{self, JumpClient, Properties};
use domain::ids::{JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, UserId};
use domain::record::{self, Field, Kind, Object, Record};
use domain::world::ItemText;
use domain::{Command, Event, Timestamp, World};
use serde_json::Value;

use super::listing::{Filters, filter_text};
use super::resource::{self, PathId, Resource};
use super::shell_jump::{COPIED_SCHEMA, COPY_SCHEMA, copied, without_id};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::change::Change;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;
use crate::unbound;

impl Resource for Properties {
    const PATH: &'static str = "jump-client";
    const SCHEMA: &'static str = "JumpClient";
    // Unlike of any other text, the empty one asks for something: the machines where nobody is signed in.
    const FILTERS_ALONE: &'static [Field] = &[Field::new(
        "console_user",
        Kind::Text { min: 0, max: 4096 },
        "Who is signed in at the machine.",
    )];

    // Of the sister product and of the published versions up to 1.7.
    const SENT_BY_CLIENTS: &'static [&'static str] = &[
        "is_quiet",
        "attended_session_policy_id",
        "unattended_session_policy_id",
        "customer_client_start_mode",
    ];

    fn rows(world: &World) -> impl Iterator<Item = (JumpClientId, &Self)> {
        world
            .jump_clients
            .iter()
            .map(|(id, client)| (*id, &client.properties))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::JumpClient(match command {
            record::Command::Change(id, body) | record::Command::ChangePermissions(id, body) => {
                jump_client::Command::Change(id, body)
            }
            record::Command::Delete(id) => jump_client::Command::Delete(id),
            // No route makes one; a change of no client is refused as not found.
            record::Command::Create(body) => jump_client::Command::Change(JumpClientId(0), body),
        })
    }

    fn warnings(
        &self,
        world: &World,
        _id: JumpClientId,
        events: &[Event],
    ) -> Vec<Cow<'static, str>> {
        unbound::warning(world, events)
            .map(Cow::Owned)
            .into_iter()
            .collect()
    }

    /// A client is made by registering, never by a body.
    fn made(_event: &Event) -> Option<(JumpClientId, &Self)> {
        None
    }

    fn is_listed(&self) -> bool {
        self.jump_group_type == "shared"
    }

    fn show(&self, site: &Site, world: &World, id: JumpClientId) -> Object {
        let mut shown = record::render(id, self);
        if let Some(client) = world.jump_clients.get(&id) {
            let now = site.engine.clock().now();
            for field in Self::COMPUTED {
                let value = computed(site, world, client, field.name, now);
                // A time that has not come has no value: the published types have no null.
                if !value.is_null() {
                    shown.insert(field.name.to_owned(), value);
                }
            }
        }
        shown
    }

    fn text_of<'r>(&'r self, world: &'r World, id: JumpClientId, member: &str) -> Cow<'r, str> {
        let client = world.jump_clients.get(&id);
        let facts = client.map(|client| &client.facts);
        let text = match (member, client, facts) {
            ("name", ..) => &self.name,
            ("tag", ..) => &self.tag,
            ("jump_group_type", ..) => &self.jump_group_type,
            ("jump_group_id", ..) => return self.jump_group_id.to_string().into(),
            ("hostname", _, Some(facts)) => &facts.hostname,
            ("fqdn", _, Some(facts)) => &facts.fqdn,
            ("console_user", _, Some(facts)) => &facts.console_user,
            ("private_ip", _, Some(facts)) => &facts.private_ip,
            ("connection_type", Some(client), _) => &client.connection_type,
            ("public_ip", Some(client), _) => return address_of(&client.public_ip).into(),
            _ => return filter_text(record::to_object(self).get(member)).into(),
        };
        text.as_str().into()
    }

    fn indexed(world: &World, filters: &Filters) -> Option<Vec<JumpClientId>> {
        items_indexed(world, filters, JumpItemRef::jump_client)
    }
}

/// The items of one kind, in their order, among which are all that the filters can find: by the first text that is indexed, else
/// by the Jump Group.
pub(super) fn items_indexed<I: Ord>(
    world: &World,
    filters: &Filters,
    of_kind: impl Fn(JumpItemRef) -> Option<I>,
) -> Option<Vec<I>> {
    let texts = [
        ("hostname", ItemText::Hostname),
        ("name", ItemText::Name),
        ("tag", ItemText::Tag),
    ];
    let by_text = texts
        .into_iter()
        .filter_map(|(member, text)| Some((text, filters.wanted(member)?)))
        .find_map(|(text, wanted)| world.items_with_text(text, wanted));
    if let Some(items) = by_text {
        return Some(items.filter_map(of_kind).collect());
    }
    // A number that no group has finds nothing.
    let number = filters.wanted("jump_group_id")?.parse().ok()?;
    let shared = world.items_of(JumpGroupRef::Shared(JumpGroupId(number)));
    let personal = world.items_of(JumpGroupRef::Personal(UserId(number)));
    let mut items: Vec<I> = shared.chain(personal).filter_map(of_kind).collect();
    items.sort_unstable();
    Some(items)
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<Properties>(site);
    let routes = resource::change_route::<Properties>(routes);
    let routes = resource::delete_route::<Properties>(routes);
    routes.route(
        Method::POST,
        &format!("{}/{{id}}/copy", resource::path_of::<Properties>()),
        resource::ACCESS,
        About::new("Makes a second item for the same endpoint.")
            .takes(COPY_SCHEMA)
            .gives(Gives::One(COPIED_SCHEMA)),
        copy,
    )
}

async fn copy(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(client): PathId<JumpClientId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = jump_client::Command::Copy(client, without_id(&change.body));
    let done = site
        .execute(&caller, &change, Command::JumpClient(command), None)
        .await?;
    let made = done.events.iter().find_map(|event| match event {
        Event::JumpClient(id, jump_client::Event::Copied(_)) => Some(id.0),
        _ => None,
    });
    let made = made.ok_or_else(Problem::internal)?;
    Ok(Answer::done(&done, copied(made)))
}

/// The members that are shown and not stored.
fn computed(
    site: &Site,
    world: &World,
    client: &JumpClient,
    member: &str,
    now: Timestamp,
) -> Value {
    let offline_since = world.offline_since(client);
    let moment = |at: Option<Timestamp>| at.map_or(Value::Null, |at| at.to_rfc3339().into());
    match member {
        "hostname" => client.facts.hostname.as_str().into(),
        "fqdn" => client.facts.fqdn.as_str().into(),
        "install_mode" => match client.facts.install_mode.as_str() {
            mode @ ("user" | "service") => mode.into(),
            _ => "unknown".into(),
        },
        "connection_type" => client.connection_type.as_str().into(),
        "last_connect_timestamp" => moment(Some(client.last_connect_at)),
        // One whose node stopped never said goodbye: it went when the node did.
        "last_disconnect_timestamp" => moment(offline_since.or(client.last_disconnect_at)),
        "is_lost" => world.is_lost(client, now).into(),
        "expiration_timestamp" => moment(world.deletion_at(client)),
        "needs_update" => is_older(&client.facts.agent_version, &site.version).into(),
        "unavailable_reason" if client.facts.disabled => "disabled".into(),
        "unavailable_reason" => "none".into(),
        "operating_system" => client.facts.operating_system.as_str().into(),
        "public_ip" => address_of(&client.public_ip).into(),
        "private_ip" => client.facts.private_ip.as_str().into(),
        "console_user" if world.settings.collects("console_user") => {
            client.facts.console_user.as_str().into()
        }
        // A statistic that is not collected is not shown either (CLNT-31).
        "console_user" => "".into(),
        "last_access_timestamp" => moment(client.last_access_at),
        _ => Value::Null,
    }
}

/// `address:port` without the port.
fn address_of(public_ip: &str) -> String {
    public_ip
        .parse::<SocketAddr>()
        .map_or_else(|_| public_ip.to_owned(), |address| address.ip().to_string())
}

/// Whether one version of digits and dots comes before the other; what can't be read is not older.
fn is_older(agent: &str, site: &str) -> bool {
    let parts = |version: &str| -> Option<Vec<u64>> {
        let number = version.split(['-', '+']).next()?;
        number.split('.').map(|part| part.parse().ok()).collect()
    };
    matches!((parts(agent), parts(site)), (Some(agent), Some(site)) if agent < site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_agent_needs_an_update() {
        // agent, site, older
        let cases = [
            ("0.1.0", "0.2.0", true),
            ("0.2.0", "0.2.0", false),
            ("0.10.0", "0.9.0", false),
            ("0.9.0-dev", "0.10.0", true),
            ("1.0", "1.0.0", true),
            ("", "1.0.0", false),
            ("nightly", "1.0.0", false),
        ];
        for (agent, site, older) in cases {
            assert_eq!(is_older(agent, site), older, "{agent} {site}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_port() {
        // stored, shown
        let cases = [
            ("192.0.2.1:5123", "192.0.2.1"),
            ("[2001:db8::1]:5123", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
        ];
        for (stored, shown) in cases {
            assert_eq!(address_of(stored), shown);
        }
    }
}
