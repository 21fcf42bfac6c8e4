//! The ways a session ends.

use super::*;
use crate::policy::schedule::ScheduleEntry;
use crate::testing::{MONDAY, THURSDAY};

const LSID: Lsid = Lsid(5);

fn running() -> Given {
    ready().and(session(LSID, ANNA, PC1))
}

/// REP-28: ended by its owner, an administrator, an API account with full command access, or the endpoint.
#[test]
fn a_session_is_ended_by_those_who_may() {
    let site = running().and([person(BERT), member(WEB_SERVERS, BERT, ADMINISTRATOR)]);
    for (who, reason) in [
        (Actor::User(ANNA), EndReason::Owner),
        (Actor::User(ADMIN), EndReason::Administrator),
        (Actor::ApiAccount(API), EndReason::Api),
    ] {
        let after = site
            .clone()
            .when(who, end(LSID))
            .then([ended(LSID, reason, "")]);
        assert!(after.world().sessions.is_empty());
        assert_eq!(after.world().session_on(ITEM), None);
        after
            .when(ANNA, end(LSID))
            .then_refused(Refusal::SessionNotActive);
        assert!(!reason.is_abnormal());
    }
    // A member who is not the owner is told who may, whether or not they see the item (SESS-21).
    let with_a_guest = running().and([
        person(BERT),
        Happened::AccessSession(
            LSID,
            Event::Joined(super::super::Joined {
                representative: Representative {
                    user_id: BERT,
                    gsnumber: 20,
                    ..Representative::default()
                },
                invited: true,
                grant: None,
                jump_policy_id: None,
                access_request_id: None,
            }),
        ),
    ]);
    with_a_guest
        .when(BERT, end(LSID))
        .then_refused(Refusal::NotTheOwner);
    // Whoever else sees the item is told no; whoever does not, learns nothing.
    site.clone()
        .when(BERT, end(LSID))
        .then_refused(Refusal::NotYourSession);
    running()
        .and([person(BERT)])
        .when(BERT, end(LSID))
        .then_refused(Refusal::SessionNotActive);
    running()
        .when(Actor::Stranger, end(LSID))
        .then_refused(Refusal::NotYourSession);
}

/// AUTH-22, AUTH-28
#[test]
fn an_account_without_full_command_access_ends_nothing() {
    for access in ["deny", "read_only"] {
        running()
            .when(
                ADMIN,
                change::<site::api_account::ApiAccount>(API, json!({"perm_command": access})),
            )
            .then_something()
            .when(API, end(LSID))
            .then_refused(Refusal::ApiPermissionNeeded {
                permission: "Command API: Full Access",
            });
    }
}

/// SESS-19: only the endpoint of the session speaks for it.
#[test]
fn the_endpoint_ends_its_own_session_and_no_other() {
    let by = |client| Command::EndByEndpoint {
        lsid: LSID,
        client,
        reason: "logged off".to_owned(),
    };
    running()
        .when(PC2, by(PC2))
        .then_refused(Refusal::SessionNotActive)
        .when(
            PC2,
            Command::Establish {
                lsid: LSID,
                client: PC2,
            },
        )
        .then_refused(Refusal::SessionNotActive)
        .when(PC1, by(PC1))
        .then([ended(LSID, EndReason::Endpoint, "logged off")]);
    // A failure told late, when the session is up already, ends it.
    running()
        .when(
            PC1,
            Command::Fail {
                lsid: LSID,
                client: PC1,
                reason: "crash".to_owned(),
            },
        )
        .then([ended(LSID, EndReason::Endpoint, "crash")]);
    ready()
        .and([starting(LSID, ANNA, PC1)])
        .when(PC1, by(PC1))
        .then([failed(LSID, Failure::Agent, "logged off")]);
}

/// REP-28: an agent that stays away ends the session abnormally.
#[test]
fn a_lost_agent_ends_the_session_after_the_sites_wait() {
    let abandon = || Command::Abandon { lsid: LSID };
    let lost = || fleet::jump_client::Command::Disconnect {
        client: PC1,
        link: LinkId {
            node: NODE,
            connection: 1,
        },
        reason: "closed".to_owned(),
    };
    let due = MONDAY.plus(120 * SECOND);
    running()
        .when(Actor::System, abandon())
        .then_nothing()
        .when(PC1, lost())
        .then_something()
        .at(due.plus(-1))
        .when(Actor::System, abandon())
        .then_nothing()
        .at(due)
        .when(Actor::System, abandon())
        .then([ended(LSID, EndReason::AgentLost, "")])
        .when(Actor::System, abandon())
        .then_nothing();
    assert!(EndReason::AgentLost.is_abnormal());
    // One that came back keeps its session.
    running()
        .when(PC1, lost())
        .then_something()
        .and([connected(PC1, 2)])
        .at(due)
        .when(Actor::System, abandon())
        .then_nothing();
    // One that never came up has failed.
    ready()
        .and([starting(LSID, ANNA, PC1)])
        .when(PC1, lost())
        .then_something()
        .at(due)
        .when(Actor::System, abandon())
        .then([failed(LSID, Failure::Disconnected, "")]);
}

/// GRP-31, CLNT-05: a session on a deleted item goes on, and its agent is served for as long; only its owner, its endpoint or its
/// loss end it.
#[test]
fn a_session_outlives_its_item() {
    let site = running()
        .when(API, delete::<Properties>(PC1))
        .then_something()
        .after(24 * HOUR)
        .when(Actor::System, Command::Abandon { lsid: LSID })
        .then_nothing();
    assert!(site.world().sessions.contains(&LSID));
    assert!(site.world().endpoint(PC1).is_some(), "its agent is served");
    assert_eq!(site.world().items_of_endpoint(PC1), []);
    // Nobody jumps to it any more.
    site.clone()
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::JumpClientGone);
    let over = site
        .clone()
        .when(ANNA, end(LSID))
        .then([ended(LSID, EndReason::Owner, "")]);
    assert!(over.world().endpoint(PC1).is_none(), "and is let go");
    site.clone()
        .when(
            PC1,
            Command::EndByEndpoint {
                lsid: LSID,
                client: PC1,
                reason: "logged off".to_owned(),
            },
        )
        .then([ended(LSID, EndReason::Endpoint, "logged off")]);
    // An agent that stays away ends it as any other.
    let link = LinkId {
        node: NODE,
        connection: 1,
    };
    let lost = fleet::jump_client::Command::Disconnect {
        client: PC1,
        link,
        reason: "closed".to_owned(),
    };
    site.when(PC1, lost)
        .then_something()
        .after(120 * SECOND)
        .when(Actor::System, Command::Abandon { lsid: LSID })
        .then([ended(LSID, EndReason::AgentLost, "")]);
}

fn under_a_schedule(strict: bool) -> Given {
    let thursday = |start_minute, end_minute| ScheduleEntry {
        start_day: 3,
        start_minute,
        end_day: 3,
        end_minute,
    };
    let touching = [thursday(480, 720), thursday(720, 1020)];
    ready()
        .and([
            policy(THURSDAYS, |policy| {
                policy.schedule_enabled = true;
                policy.schedule_strict = strict;
            }),
            schedule(THURSDAYS, "UTC", &touching),
            member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
        ])
        .at(THURSDAY)
        .when(ANNA, start(ANNA, PC1))
        .then_something()
        .when(PC1, establish(FIRST))
        .then_something()
}

/// POL-12, POL-17, SESS-25: with the reason in the event that ends it.
#[test]
fn a_strict_schedule_ends_the_session_when_it_closes_and_a_lenient_one_does_not() {
    let by_schedule = || Command::EndBySchedule { lsid: FIRST };
    let noon = THURSDAY.plus(2 * HOUR);
    let evening = THURSDAY.plus(7 * HOUR);
    under_a_schedule(true)
        .at(noon)
        .when(Actor::System, by_schedule())
        .then_nothing()
        .at(evening.plus(-1))
        .when(Actor::System, by_schedule())
        .then_nothing()
        .at(evening)
        .when(Actor::System, by_schedule())
        .then([ended(FIRST, EndReason::ScheduleClosed, "")])
        .when(Actor::System, by_schedule())
        .then_nothing();
    under_a_schedule(false)
        .at(evening)
        .when(Actor::System, by_schedule())
        .then_nothing();
    running()
        .when(Actor::System, Command::EndBySchedule { lsid: LSID })
        .then_nothing();
}

/// POL-13: after the window every jump is refused, also for the one who was in.
#[test]
fn after_the_window_nobody_comes_back() {
    let evening = THURSDAY.plus(7 * HOUR);
    let refused = Refusal::OutsideSchedule {
        policy: "Policy 1".to_owned(),
        next_open: Some(THURSDAY.plus(7 * 24 * HOUR - 2 * HOUR)),
        zone: "UTC".to_owned(),
    };
    under_a_schedule(false)
        .at(evening)
        .when(ANNA, end(FIRST))
        .then([ended(FIRST, EndReason::Owner, "")])
        .when(ANNA, start(ANNA, PC1))
        .then_refused(refused);
}
