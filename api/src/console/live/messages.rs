//! What one user is told of a digest: never more than they may read by asking.

use std::collections::{BTreeSet, HashMap};

use domain::World;
use domain::access::permission;
use domain::ids::{JumpGroupRef, JumpItemRef, UserId};
use domain::policy::access_request::{AccessRequest, standing};
use serde_json::{Value, json};

use super::digest::{Digest, ITEMS_NAMED_MAX, News, RightsChange, SessionNews};

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// What kind of change.
    pub(super) kind: &'static str,
    /// Which thing.
    pub(super) body: Value,
}

/// Which Jump Groups a user sees, each asked of the permission function once and again after rights have changed.
#[derive(Debug, Default)]
pub(super) struct Sight(HashMap<JumpGroupRef, bool>);

impl Sight {
    fn sees(&mut self, world: &World, user: UserId, group: JumpGroupRef) -> bool {
        *self
            .0
            .entry(group)
            .or_insert_with(|| permission::access_to_group(world, user, group).is_some())
    }
}

/// What `user` is told, and whether their rights may have changed.
pub(super) struct ForUser {
    pub(super) messages: Vec<Message>,
    pub(super) rights: Rights,
}

/// Whether a page has to ask again what its user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// No.
    Unchanged,
    /// By a change that concerns many: pages had better not all ask at once.
    OfMany,
    /// By a change of their own account or membership.
    Own,
}

/// Makes the messages of `digest` for `user`.
pub(super) fn for_user(digest: &Digest, user: UserId, sight: &mut Sight) -> ForUser {
    let now = &digest.now.world;
    if !digest.rights.is_empty() {
        sight.0.clear();
    }
    let mut items = ItemsTold::default();
    let mut messages = Vec::new();
    for (group, changes) in &digest.items {
        if items.read_anew {
            break;
        }
        if sight.sees(now, user, *group) {
            items.read_anew |= changes.read_anew;
            items.changed.extend(&changes.changed);
            items.read_anew |= items.changed.len() > ITEMS_NAMED_MAX;
        }
    }
    for news in &digest.news {
        messages.extend(match news {
            News::Session(news) => session(news, now, user, sight),
            News::AccessRequest {
                id,
                request,
                asked,
                event,
            } => {
                let is_asked = asked.contains(&user);
                access_request(request, is_asked, now, user).map(|mut message| {
                    message.body["id"] = json!(id);
                    message.body["event"] = json!(event);
                    message
                })
            }
            News::Mail {
                id,
                type_name,
                request,
                lsid,
                concerned,
                state,
            } => {
                // Why it did not leave is for administrators to look up: it may name an approver's address.
                let is_administrator = now.is_administrator(user);
                (is_administrator || *concerned == Some(user)).then(|| Message {
                    kind: "mail",
                    body: json!({
                        "id": is_administrator.then(|| id.to_string()),
                        "type": type_name,
                        "access_request_id": request,
                        "lsid": lsid,
                        "state": state,
                    }),
                })
            }
            News::TicketRequest {
                id,
                user: waiting,
                event,
            } => (*waiting == user).then(|| Message {
                kind: "ticket_request",
                body: json!({"id": id, "event": event}),
            }),
            News::StartupGroup(of) => (*of == user).then(|| Message {
                kind: "startup_group",
                body: json!({}),
            }),
        });
    }
    messages.extend(items.messages(digest.all_items));
    let rights = digest
        .rights
        .iter()
        .map(|change| rights(*change, digest, user))
        .fold(Rights::Unchanged, |all, one| match (all, one) {
            (Rights::Own, _) | (_, Rights::Own) => Rights::Own,
            (Rights::OfMany, _) | (_, Rights::OfMany) => Rights::OfMany,
            _ => Rights::Unchanged,
        });
    ForUser { messages, rights }
}

#[derive(Default)]
struct ItemsTold {
    changed: BTreeSet<JumpItemRef>,
    read_anew: bool,
}

impl ItemsTold {
    fn messages(self, all: bool) -> Vec<Message> {
        if self.read_anew || all {
            return vec![Message {
                kind: "items_changed",
                body: json!({}),
            }];
        }
        let named = self.changed.into_iter().map(|item| Message {
            kind: "item",
            body: json!({"id": item.to_string()}),
        });
        named.collect()
    }
}

fn session(news: &SessionNews, now: &World, user: UserId, sight: &mut Sight) -> Option<Message> {
    let is_told = news.involved.contains(&user)
        || (!news.members_only && news.group.is_some_and(|group| sight.sees(now, user, group)));
    if !is_told {
        return None;
    }
    let mut body = json!({
        "lsid": news.lsid,
        "item": news.item.to_string(),
        "event": news.event,
        "mine": news.owner == user,
    });
    if let Some((ends_at, minutes)) = news.ends {
        body["ends_at"] = json!(ends_at.to_rfc3339());
        body["minutes"] = json!(minutes);
    }
    if let Some(why) = &news.why {
        if let Some(gone) = why.user {
            body["user"] = json!(gone);
        }
        if let Some((reason, _)) = &why.reason {
            body["reason"] = reason.clone();
        }
        if let Some(message) = why.message_for(user) {
            body["message"] = json!(message);
        }
    }
    if let Some(failed) = &news.failure
        && news.involved.contains(&user)
    {
        body["reason"] = json!(failed.failure);
        body["message"] = json!(failed.refusal().to_string());
    }
    Some(Message {
        kind: "session",
        body,
    })
}

/// The requester is told what became of it (APPR-17), approvers that there is something to answer. Nobody is told who answered
/// (APPR-16).
fn access_request(
    request: &AccessRequest,
    is_asked: bool,
    now: &World,
    user: UserId,
) -> Option<Message> {
    if !is_asked && !standing::is_known_to(now, request, user) {
        return None;
    }
    Some(Message {
        kind: "access_request",
        body: json!({
            "item": request.item.to_string(),
            "state": request.state.word(),
            "mine": request.requester == user,
            "to_answer": is_asked,
        }),
    })
}

/// Whether a change concerns `user`, before it or after it.
fn rights(change: RightsChange, digest: &Digest, user: UserId) -> Rights {
    let worlds = || [&digest.before.world, &digest.now.world].into_iter();
    let concerned = match change {
        RightsChange::User(of) if of == user => return Rights::Own,
        RightsChange::User(_) => false,
        RightsChange::All => true,
        RightsChange::Role(role) => worlds().any(|world| permission::holds_role(world, user, role)),
        RightsChange::Group(group) => {
            worlds().any(|world| permission::access_to_group(world, user, group).is_some())
        }
        RightsChange::Team(team) => {
            worlds().any(|world| permission::role_in_team(world, user, team).is_some())
        }
        RightsChange::GroupPolicy(policy) => {
            worlds().any(|world| world.policies_of_user(user).contains(&policy))
        }
    };
    if concerned {
        Rights::OfMany
    } else {
        Rights::Unchanged
    }
}
