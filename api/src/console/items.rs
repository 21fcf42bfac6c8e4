//! The Jump Items that the caller may see (SESS-01, SESS-03 to SESS-08).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::access::permission::{self, Access as Grant, JumpMethod};
use domain::access::role::JumpItemRole;
use domain::fleet::jump_client::DUPLICATES_MAX;
use domain::ids::{JumpGroupRef, JumpItemRef, UserId};
use domain::policy::access_request::standing;
use domain::{FieldErrors, Refusal, Timestamp, World};
use link_protocol::Figures;
use projections::{ConsoleRow, Counts};
use serde_json::{Map, Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known, Principal};
use crate::console::BASE;
use crate::console::item_list::{self, Query};
use crate::console::named::Named;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::GET,
            &format!("{BASE}/items"),
            Access::User,
            About::new("The Jump Items in sight: searched, filtered, sorted, by page")
                .gives(Gives::One("JumpItemPage"))
                .filters(item_list::PARAMETERS.iter().collect()),
            list,
        )
        .route(
            Method::GET,
            &format!("{BASE}/items/{{item}}"),
            Access::User,
            About::new("One Jump Item, with what the caller may do with it")
                .gives(Gives::One("JumpItemDetails")),
            get,
        )
        .route(
            Method::GET,
            &format!("{BASE}/recent-items"),
            Access::User,
            About::new(
                "Recently Used: the items in sight that the caller accessed last, newest first",
            )
            .gives(Gives::One("RecentItems")),
            recent,
        )
}

/// The user who asks; routes of this surface are reached by users only.
///
/// # Errors
/// 401 for anyone else.
pub(super) fn user_of(caller: &Caller) -> Result<UserId, JsonError> {
    match caller.principal {
        Principal::User(user) => Ok(user),
        Principal::ApiAccount(_) => Err(Problem::access_denied().into()),
    }
}

/// Reads `jump_client-5` or `shell_jump-5`.
#[must_use]
pub fn item_named(text: &str) -> Option<JumpItemRef> {
    text.parse().ok()
}

async fn list(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let query = Query::read(parts.uri.query().unwrap_or_default()).map_err(Problem::invalid)?;
    let published = Arc::clone(&known.0);
    let listed = Arc::clone(&site);
    // A large fleet takes a while to search and sort, and a small one costs little on another thread.
    let made = site.scans.run(usize::MAX, move || {
        page(&listed, known.world(), user, &query)
    });
    let body = made.await?.map_err(Problem::invalid)?;
    Ok(Answer::known(&published, body))
}

fn page(site: &Site, world: &World, user: UserId, query: &Query) -> Result<Value, FieldErrors> {
    let now = site.engine.clock().now();
    let view = &site.engine.views().console;
    let groups = permission::visible_groups(world, user);
    let counts: Counts = groups.iter().map(|group| view.counts(*group)).sum();
    // The folders of the group that is looked at; of all groups at once they would be too many.
    let tags: Vec<Value> = groups
        .iter()
        .filter(|group| query.group == Some(**group))
        .flat_map(|group| view.tags(*group))
        .map(|(tag, counts)| json!({"tag": tag, "counts": counts_of(counts)}))
        .collect();
    let page = item_list::page_of(view, world, user, query, now)?;
    let items: Vec<Value> = page
        .rows
        .iter()
        .map(|row| summary(world, row, now))
        .collect();
    let mut body = json!({
        "items": items,
        "by_status": page.by_status,
        "tags": tags,
        "counts": counts_of(counts),
        "footer": counts.to_string(),
        "next": page.next.map(|item| item.to_string()),
    });
    for (name, value) in query.paging.told(page.total) {
        body[name] = value;
    }
    Ok(body)
}

fn counts_of(counts: Counts) -> Value {
    json!({
        "items": counts.items,
        "jump_clients": counts.jump_clients,
        "online": counts.online,
        "offline": counts.offline,
        "passive": counts.passive,
    })
}

async fn recent(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
) -> Result<Answer<Value>, JsonError> {
    let world = known.world();
    let now = site.engine.clock().now();
    let view = &site.engine.views().console;
    let items: Vec<Value> = world
        .recent_items(user_of(&caller)?)
        .filter_map(|item| view.row(item))
        .map(|row| summary(world, &row, now))
        .collect();
    Ok(Answer::known(&known.0, json!({"items": items})))
}

async fn get(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Named(item): Named<JumpItemRef>,
) -> Result<Answer<Value>, JsonError> {
    let world = known.world();
    let user = user_of(&caller)?;
    let grant =
        permission::access_to_item(world, user, item).ok_or_else(|| Refusal::item_gone(item))?;
    let view = &site.engine.views().console;
    let row = view.row(item).ok_or_else(|| Refusal::item_gone(item))?;
    let now = site.engine.clock().now();
    let body = details(world, user, &grant, &row, view.figures(item), now);
    Ok(Answer::known(&known.0, body))
}

/// An item as lists show it (SESS-01).
fn summary(world: &World, row: &ConsoleRow, now: Timestamp) -> Value {
    let status = row.status(now, &world.settings);
    json!({
        "id": row.item.to_string(),
        "type": row.item.type_name(),
        "name": row.texts.name(),
        "hostname": row.texts.hostname(),
        "jump_method": row.jump_method(),
        "comments": row.texts.comments(),
        "group": group(row.group, &row.group_name),
        "tag": row.texts.tag(),
        "status": item_list::status_word(status),
        "status_text": status.words(),
        "offline_since": row.offline_since.map(Timestamp::to_rfc3339),
        "last_access_at": row.last_accessed.map(Timestamp::to_rfc3339),
        "operating_system": row.texts.operating_system(),
        // A statistic that is not collected is not shown either (CLNT-31).
        "console_user": if world.settings.collects("console_user") { row.texts.console_user() } else { "" },
        "public_ip": row.texts.public_ip(),
        "private_ip": row.texts.private_ip(),
        "in_session": world.session_on(row.item).is_some(),
    })
}

/// What the details pane shows beside that (SESS-03), and what the caller may do.
fn details(
    world: &World,
    user: UserId,
    grant: &Grant<'_>,
    row: &ConsoleRow,
    figures: Option<Arc<[u8]>>,
    now: Timestamp,
) -> Value {
    let mut body = summary(world, row, now);
    if let Some(client) = row
        .item
        .jump_client()
        .and_then(|id| world.jump_clients.get(&id))
    {
        body["fqdn"] = json!(client.facts.fqdn);
        body["install_mode"] = json!(client.facts.install_mode);
        body["connection_type"] = json!(client.connection_type);
        body["last_connect_at"] = json!(client.last_connect_at.to_rfc3339());
        body["deletion_at"] = json!(world.deletion_at(client).map(Timestamp::to_rfc3339));
        body["max_offline_minutes"] = json!(client.properties.max_offline_minutes);
        body["agent_version"] = json!(client.facts.agent_version);
        body["duplicate_of"] = duplicates(world, user, row.item);
    }
    if let JumpItemRef::ShellJump(id) = row.item
        && let Some(shell) = world.shell_jumps.get(&id)
    {
        body["jumpoint_id"] = json!(shell.properties.jumpoint_id);
        body["protocol"] = json!(shell.properties.protocol);
        body["port"] = json!(shell.properties.port);
        body["terminal"] = json!(shell.properties.terminal);
        body["username"] = json!(shell.properties.username);
    }
    let values: Map<String, Value> = world
        .custom_values_of(row.item)
        .map(|(code_name, value)| (code_name.to_owned(), value.into()))
        .collect();
    body["custom_fields"] = Value::Object(values);
    let own_policy = world.item_jump_policy(row.item);
    body["jump_policy_id"] = json!(grant.jump_policy_id.or(own_policy));
    body["approval"] =
        standing::standing(world, user, row.item, now).map_or(Value::Null, |standing| {
            json!({
                "status": standing.kind,
                "status_text": standing.kind.label(),
                "request": standing.request,
                "start": standing.start_at.to_rfc3339(),
                "end": standing.ends_at.to_rfc3339(),
            })
        });
    body["session_policy_id"] = json!(world.item_session_policy(row.item));
    body["figures"] = figures.map_or(Value::Null, |figures| {
        // What the hub encoded; figures of another version are as good as none.
        let figures: Figures = serde_json::from_slice(&figures).unwrap_or_default();
        json!(figures.only(|statistic| world.settings.collects(statistic)))
    });
    let role = grant.role;
    let may_jump = permission::effective(world, user)
        .is_some_and(|settings| settings.need_method(JumpMethod::of(row.item)).is_ok());
    body["role"] = json!({"id": grant.role_id, "name": role.name, "from": grant.grant});
    let mut may = permissions(role);
    may["start"] = json!(may_jump && role.perm_start);
    body["may"] = may;
    body
}

/// What a role lets do with an item, beside jumping to it.
pub(super) fn permissions(role: &JumpItemRole) -> Value {
    json!({
        "move_and_copy": role.perm_assign_jump_group,
        "remove": role.perm_remove,
        "edit_tag": role.perm_edit_tag,
        "edit_comments": role.perm_edit_comments,
        "edit_jump_policy": role.perm_edit_jump_policy,
        "edit_session_policy": role.perm_edit_session_policy,
        "edit_connectivity": role.perm_edit_identity,
        "edit_behavior": role.perm_edit_behavior,
        "view_reports": role.perm_view_jump_item_report,
    })
}

/// Other Jump Clients that say they are the same machine (INST-57), as far as the caller may see them.
fn duplicates(world: &World, user: UserId, item: JumpItemRef) -> Value {
    let others = item
        .jump_client()
        .map(|client| world.duplicates_of(client, DUPLICATES_MAX))
        .unwrap_or_default();
    let in_sight = |item: JumpItemRef| permission::access_to_item(world, user, item).is_some();
    others
        .into_iter()
        .filter_map(|endpoint| {
            let items = world.items_of_endpoint(endpoint).into_iter();
            let item = items
                .map(JumpItemRef::JumpClient)
                .find(|item| in_sight(*item))?;
            Some(json!({"id": item.to_string(), "name": world.item_name(item)}))
        })
        .collect()
}

pub(super) fn group(group: JumpGroupRef, name: &str) -> Value {
    json!({"type": group.type_name(), "id": group.number(), "name": name})
}

#[cfg(test)]
mod tests {
    use domain::ids::{JumpClientId, ShellJumpId};

    use super::*;

    #[test]
    fn an_item_is_named_by_type_and_number() {
        let five = JumpItemRef::JumpClient(JumpClientId(5));
        for (text, item) in [
            ("jump_client-5", Some(five)),
            ("jump_client-", None),
            ("jump_client-+5", None),
            ("jump_client--5", None),
            ("shell_jump-5", Some(JumpItemRef::ShellJump(ShellJumpId(5)))),
            ("rdp-5", None),
            ("5", None),
            ("jump_client-99999999999", None),
        ] {
            assert_eq!(item_named(text), item, "{text}");
        }
        assert_eq!(item_named(&five.to_string()), Some(five));
    }
}
