//! Access requests: how they are made, answered, used, cancelled and forgotten.

use serde_json::json;

use super::{
    Answered, Approver, Cancelled, Command, Event, Over, Scope, State, Submit, Submitted, used,
};
use crate::access::role::START_SESSIONS_ONLY;
use crate::ids::{AccessRequestId, JumpItemRef, Lsid, UserId};
use crate::policy::jump_policy::JumpPolicy;
use crate::testing::{
    ADMIN, ANNA, BERT, CARA, Given, MONDAY, Outcome, PC1, SHARED, THURSDAYS, WEB_SERVERS, client,
    given, group, member_under, person, policy, user,
};
use crate::time::{HOUR, MINUTE};
use crate::{Actor, Event as Happened, Timestamp};

mod answers;
mod forms;
mod uses;

const ITEM: JumpItemRef = JumpItemRef::JumpClient(PC1);
const FIRST: AccessRequestId = AccessRequestId(1);
const SECOND: AccessRequestId = AccessRequestId(2);
const BOSS: Actor = Actor::Approver {
    request: FIRST,
    index: 0,
};
const DEPUTY: Actor = Actor::Approver {
    request: FIRST,
    index: 1,
};
/// Noon, three hours after the stories begin.
const NOON: Timestamp = MONDAY.plus(3 * HOUR);

/// A policy under which two addresses approve three hours at most.
fn asks(policy: &mut JumpPolicy) {
    policy.display_name = "Authorization Required".to_owned();
    policy.description = "Third parties".to_owned();
    policy.approval_required = true;
    policy.approval_max_duration = 180;
    policy.approval_display_name = "Manager".to_owned();
    policy.approval_email_language = "de".to_owned();
    policy.approval_email_addresses = vec![
        "boss@example.com".to_owned(),
        "deputy@example.com".to_owned(),
    ];
}

/// Anna and Bert may start sessions on the first client, under a policy that asks for approval.
fn site(change: impl FnOnce(&mut JumpPolicy)) -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |policy| {
            asks(policy);
            change(policy);
        }),
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
        member_under(WEB_SERVERS, BERT, START_SESSIONS_ONLY, THURSDAYS),
    ])
    .and(client(PC1, SHARED))
}

/// The same, and the approval is for anyone.
fn for_anyone() -> Given {
    site(|policy| policy.approval_scope = "anyone".to_owned())
}

/// Two hours from noon.
fn form(user: UserId) -> Submit {
    Submit {
        user,
        item: ITEM,
        reason: "patch the kernel".to_owned(),
        start_at: NOON,
        duration_seconds: 2 * 3_600,
    }
}

fn ask(site: Given, user: UserId, start_at: Timestamp, hours: u32) -> Outcome {
    let submit = Submit {
        start_at,
        duration_seconds: hours * 3_600,
        ..form(user)
    };
    site.when(user, Command::Submit(submit))
}

fn asked_by(site: Given, user: UserId) -> Given {
    site.when(user, Command::Submit(form(user)))
        .then_something()
}

fn approve(request: AccessRequestId, comment: &str) -> Command {
    Command::Approve {
        request,
        comment: comment.to_owned(),
        speaking_for: None,
    }
}

fn deny(request: AccessRequestId, comment: &str) -> Command {
    Command::Deny {
        request,
        comment: comment.to_owned(),
        speaking_for: None,
    }
}

fn cancel(request: AccessRequestId) -> Command {
    Command::Cancel { request }
}

fn state_of(site: &Given, request: AccessRequestId) -> &'static str {
    let request = site.world().access_requests.get(&request);
    request.map_or("gone", |request| request.state.word())
}
