//! Who is told of what: from an event of the log to the mails that follow from it.
//!
//! Approvers are told of a request, each by a mail of their own (APPR-06); its requester of every decision (APPR-18); the
//! recipients that a policy names of sessions that start and end, one mail an address (POL-23, POL-24). A session has started when
//! it is up: one that never came up is told to nobody.

use domain::ids::{AccessRequestId, JumpItemRef, Lsid};
use domain::policy::access_request::{self, Answered, Submitted};
use domain::session::access_session::{self, Started};
use domain::site::mail_delivery::{
    ApproverAsked, Mail, Message, RequestTold, RequesterTold, SessionTold,
};
use domain::{Event, Timestamp, World, time};
use eventstore::{Direction, EventStore, Selection};
use projections::Recorded;

use super::outbox::Broken;

/// Stored names of the events that someone may be told of.
const CONCERNS: &[&str] = &[
    "AccessRequestSubmitted",
    "AccessRequestApproved",
    "AccessRequestDenied",
    "AccessSessionEstablished",
    "AccessSessionEnded",
];

/// News older than this is not told any more. A repeat within it is recognised by the engine, so nothing is told twice even
/// where the cursor was lost. Unit: microseconds.
const NEWS_MAX: i64 = 23 * time::HOUR;

/// Whether an event of this stored name can have mails.
pub(super) fn concerns(stored_name: &str) -> bool {
    CONCERNS.contains(&stored_name)
}

/// Whether an event is too old to be told.
pub(super) fn is_old_news(recorded: &Recorded, now: Timestamp) -> bool {
    now.since(recorded.decided_at) > NEWS_MAX
}

/// The mails that follow from an event, given the world after it. The same again for the same event, in the same order.
pub(super) async fn mails_of(
    store: &EventStore,
    world: &World,
    recorded: &Recorded,
) -> Result<Vec<Mail>, Broken> {
    let at = recorded.decided_at;
    match &recorded.event {
        Event::AccessRequest(id, access_request::Event::Submitted(submitted)) => {
            Ok(to_approvers(world, *id, submitted))
        }
        Event::AccessRequest(id, access_request::Event::Approved(answered)) => {
            let told = to_requester(store, world, *id, answered).await?;
            Ok(told
                .map(|(to, told)| mail(to, Message::RequestApproved(told)))
                .into_iter()
                .collect())
        }
        Event::AccessRequest(id, access_request::Event::Denied(answered)) => {
            let told = to_requester(store, world, *id, answered).await?;
            Ok(told
                .map(|(to, told)| mail(to, Message::RequestDenied(told)))
                .into_iter()
                .collect())
        }
        Event::AccessSession(lsid, access_session::Event::Established(_)) => {
            let started = start_of(store, *lsid).await?;
            Ok(started.map_or_else(Vec::new, |started| {
                of_session(world, *lsid, &started, at, Moment::Start)
            }))
        }
        Event::AccessSession(lsid, access_session::Event::Ended(_)) => {
            let started = start_of(store, *lsid).await?;
            Ok(started.map_or_else(Vec::new, |started| {
                of_session(world, *lsid, &started, at, Moment::End)
            }))
        }
        _ => Ok(Vec::new()),
    }
}

/// Where a mail goes, in which language.
struct To {
    recipient: String,
    language: String,
}

fn mail(to: To, message: Message) -> Mail {
    Mail {
        recipient: to.recipient,
        language: to.language,
        message,
    }
}

// --- requests ---

/// None where the request has left the world since: its window is over, and there is nothing to answer.
fn to_approvers(world: &World, id: AccessRequestId, submitted: &Submitted) -> Vec<Mail> {
    let asked = world.access_requests.get(&id);
    asked
        .into_iter()
        .flat_map(|request| world.approvers_of(request))
        // A user without an address answers on the console.
        .filter(|approver| !approver.address.is_empty())
        .map(|approver| {
            let asked = ApproverAsked {
                approver: approver.index,
                request: request(id, submitted),
            };
            let to = To {
                recipient: approver.address.clone(),
                language: submitted.language.clone(),
            };
            mail(to, Message::ApprovalRequested(asked))
        })
        .collect()
}

/// None where the requester has no address, or is gone (APPR-18). Who answered is not part of it (APPR-16).
async fn to_requester(
    store: &EventStore,
    world: &World,
    id: AccessRequestId,
    answered: &Answered,
) -> Result<Option<(To, RequesterTold)>, Broken> {
    let first = first_of(store, format!("access_request-{id}")).await?;
    let Some(Event::AccessRequest(_, access_request::Event::Submitted(submitted))) = first else {
        return Ok(None);
    };
    let requester = world.users.get(&submitted.requester);
    let Some(requester) = requester.filter(|user| !user.email_address.is_empty()) else {
        return Ok(None);
    };
    let to = To {
        recipient: requester.email_address.clone(),
        language: submitted.language.clone(),
    };
    let told = RequesterTold {
        comment: answered.comment.clone(),
        request: request(id, &submitted),
    };
    Ok(Some((to, told)))
}

fn request(id: AccessRequestId, submitted: &Submitted) -> RequestTold {
    let length = submitted.ends_at.since(submitted.start_at);
    let number = |length: i64| u32::try_from(length).unwrap_or(0);
    RequestTold {
        id,
        creator_display_name: submitted.requester_name.clone(),
        item_name: submitted.item_name.clone(),
        start_at: submitted.start_at,
        duration_minutes: number(length / time::MINUTE),
        duration_seconds: Some(number(length / time::SECOND)),
        reason: submitted.reason.clone(),
    }
}

// --- sessions ---

#[derive(Clone, Copy)]
enum Moment {
    Start,
    End,
}

fn of_session(
    world: &World,
    lsid: Lsid,
    started: &Started,
    at: Timestamp,
    moment: Moment,
) -> Vec<Mail> {
    let Some(notifications) = &started.notifications else {
        return Vec::new();
    };
    let is_wanted = match moment {
        Moment::Start => notifications.at_start,
        Moment::End => notifications.at_end,
    };
    if !is_wanted {
        return Vec::new();
    }
    let told = SessionTold {
        lsid,
        item_name: started.customer.name.clone(),
        item_fqdn: fqdn(world, started),
        group_name: started.group_name.clone(),
        user_display_name: started.representative.public_display_name.clone(),
        user: Some(started.representative.user_id),
        at,
    };
    notifications
        .addresses
        .iter()
        .map(|address| {
            let to = To {
                recipient: address.clone(),
                language: notifications.language.clone(),
            };
            let message = match moment {
                Moment::Start => Message::SessionStarted(told.clone()),
                Moment::End => Message::SessionEnded(told.clone()),
            };
            mail(to, message)
        })
        .collect()
}

/// The item's full name in the network, where it is still there and said one; else its host name as of the start.
fn fqdn(world: &World, started: &Started) -> String {
    let said = match started.item {
        JumpItemRef::JumpClient(client) => world
            .jump_clients
            .get(&client)
            .map(|client| client.facts.fqdn.clone()),
        JumpItemRef::ShellJump(_) => None,
    };
    said.filter(|fqdn| !fqdn.is_empty())
        .unwrap_or_else(|| started.customer.hostname.clone())
}

/// How a session began: it may have left the world.
async fn start_of(store: &EventStore, lsid: Lsid) -> Result<Option<Started>, Broken> {
    match first_of(store, format!("access_session-{lsid}")).await? {
        Some(Event::AccessSession(_, access_session::Event::Started(started))) => Ok(Some(started)),
        _ => Ok(None),
    }
}

async fn first_of(store: &EventStore, stream: String) -> Result<Option<Event>, Broken> {
    let stream = Selection::Stream(stream);
    let stored = store.read(&stream, 0, Direction::Forward, 1).await?;
    let first = stored.first().map(Recorded::from_stored).transpose()?;
    Ok(first.map(|recorded| recorded.event))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that no event has would never be told of.
    #[test]
    fn every_name_is_one_of_the_logs() {
        for name in CONCERNS {
            assert!(Event::stored_names().contains(name), "{name}");
        }
    }
}
