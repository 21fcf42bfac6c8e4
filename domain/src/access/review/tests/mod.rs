//! Rights that are taken away while somebody rests on them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Affected, Command, Due, Event as Review, Finished};
use crate::access::group_policy::{self, GroupPolicy, Of, Row};
use crate::access::jump_group::{self, JumpGroup, Membership};
use crate::access::role::{
    ADMINISTRATOR, JumpItemPermission, JumpItemRole, NO_ACCESS, START_SESSIONS_ONLY,
};
use crate::fleet::jump_client::Properties;
use crate::ids::{
    GroupPolicyId, GroupPolicyMemberId, JumpClientId, JumpGroupRef, JumpItemRoleId, KeyedHash,
    Lsid, TicketRequestId, UserId,
};
use crate::policy::jump_policy::JumpPolicy;
use crate::policy::ticket;
use crate::session::access_session::{
    self, Departed, Departure, EndReason, Ended, Event, Failed, Failure, InvitationClosed, Joined,
    OwnerChanged, Representative, Start,
};
use crate::site::team::{self, TeamRole};
use crate::site::ticket_system::{TICKET_SYSTEM, TicketSystem};
use crate::site::user::{self, User};
use crate::testing::{
    ADMIN, ADMINS, ANNA, API, BERT, CARA, FIRST, Given, OPERATIONS, Outcome, PC1, PC2, SHARED,
    SUPPORT, THURSDAYS, USER_SYSTEMS, USERS, WEB_SERVERS, change, client, delete, given, group,
    group_policy, member, member_under, object, person, policy, policy_member, policy_row, role,
    session, starting, team as a_team, team_member, user as a_user,
};
use crate::{Actor, EVENTS_MAX, Event as Happened, Refusal, record};

const LSID: Lsid = Lsid(5);
const STARTERS: JumpItemRoleId = JumpItemRoleId(9);

/// Anna is at work on PC1, by a membership whose role may start sessions.
fn anna_works() -> Given {
    given([
        person(ANNA),
        person(BERT),
        person(CARA),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        role(STARTERS, |role| role.perm_start = true),
        member(WEB_SERVERS, ANNA, STARTERS),
    ])
    .and(client(PC1, SHARED))
    .and(session(LSID, ANNA, PC1))
}

fn of(lsid: Lsid, event: Event) -> Happened {
    Happened::AccessSession(lsid, event)
}

fn withdrawn(detail: &Refusal) -> Happened {
    of(
        LSID,
        Event::Ended(Ended {
            reason: EndReason::AccessWithdrawn,
            detail: detail.to_string(),
        }),
    )
}

fn departed(user_id: UserId, gsnumber: u32, detail: &Refusal) -> Happened {
    of(
        LSID,
        Event::Departed(Departed {
            user_id,
            gsnumber,
            reason: Departure::AccessWithdrawn,
            detail: detail.to_string(),
        }),
    )
}

fn owned_by(user: UserId, gsnumber: u32) -> Happened {
    of(
        LSID,
        Event::OwnerChanged(OwnerChanged {
            user_id: user,
            gsnumber,
            public_display_name: format!("User {user}"),
            private_display_name: format!("Private {user}"),
        }),
    )
}

/// `user` is in as well: by a Jump or, where `invited`, by an invitation.
fn came(user: UserId, gsnumber: u32, invited: bool) -> Happened {
    of(
        LSID,
        Event::Joined(Joined {
            representative: Representative {
                user_id: user,
                gsnumber,
                public_display_name: format!("User {user}"),
                ..Representative::default()
            },
            invited,
            grant: None,
            jump_policy_id: None,
            access_request_id: None,
        }),
    )
}

fn invited(user_id: UserId, by: UserId) -> Happened {
    of(
        LSID,
        Event::Invited(access_session::Invited { user_id, by }),
    )
}

fn no_start() -> Refusal {
    Refusal::RoleLacks {
        permission: JumpItemPermission::Start,
    }
}

/// What follows from a change, behind the change itself.
#[track_caller]
fn follows(outcome: &Outcome) -> &[Happened] {
    &outcome.events()[1..]
}

fn change_user(id: UserId, changes: Value) -> crate::Command {
    change::<User>(id, changes)
}

fn permit(id: UserId, permissions: Value) -> crate::Command {
    let command = record::Command::ChangePermissions(id, object(permissions));
    crate::Command::User(user::Command::Record(command))
}

/// A group policy that lets its members start sessions in Web Servers, and the same after it in the list that says nothing yet.
fn anna_works_by_policy() -> Given {
    let starts = Row::JumpGroup(Membership {
        jump_item_role_id: Some(STARTERS),
        jump_policy_id: None,
    });
    anna_works()
        .and([
            group_policy(ADMINS, |_| {}),
            group_policy(USERS, |_| {}),
            policy_member(ADMINS, ANNA),
            policy_member(USERS, ANNA),
            policy_row(ADMINS, Of::JumpGroup(WEB_SERVERS), starts),
            policy_row(USERS, Of::JumpGroup(USER_SYSTEMS), Row::Removal),
        ])
        .when(ADMIN, jump_group::Command::RemoveMember(WEB_SERVERS, ANNA))
        .then_something()
}

/// GPOL-04, GPOL-05, ROLE-20, ROLE-31: whatever takes the right to start from the owner ends the session in the same decision,
/// with the words of the gate that is closed now.
#[test]
fn a_session_ends_with_the_right_of_the_only_one_in_it() {
    let gone = || Refusal::JumpClientGone;
    let table: [(&str, crate::Command, Refusal); 10] = [
        (
            "disabled",
            change_user(ANNA, json!({"enabled": false})),
            Refusal::UserDisabled,
        ),
        ("deleted", delete::<User>(ANNA), Refusal::UserDisabled),
        (
            "no endpoints",
            permit(ANNA, json!({"perm_access_allowed": "not_allowed"})),
            Refusal::EndpointAccessNotAllowed,
        ),
        (
            "no method",
            permit(ANNA, json!({"perm_jump_client": false})),
            Refusal::JumpMethodNotAllowed {
                method: "Jump Clients",
            },
        ),
        (
            "another membership",
            jump_group::Command::ChangeMember(
                WEB_SERVERS,
                ANNA,
                Membership {
                    jump_item_role_id: Some(NO_ACCESS),
                    jump_policy_id: None,
                }
                .into(),
            )
            .into(),
            gone(),
        ),
        (
            "no membership",
            jump_group::Command::RemoveMember(WEB_SERVERS, ANNA).into(),
            gone(),
        ),
        (
            "the role withdrawn",
            change::<JumpItemRole>(
                STARTERS,
                json!({"perm_start": false, "perm_edit_tag": true}),
            ),
            no_start(),
        ),
        (
            "the item moved",
            change::<Properties>(PC1, json!({"jump_group_id": USER_SYSTEMS.0})),
            gone(),
        ),
        (
            "a block that allows nothing",
            group_policy::Command::AddMember(ADMINS, ANNA).into(),
            Refusal::EndpointAccessNotAllowed,
        ),
        (
            "a block that is defined now",
            change::<GroupPolicy>(USERS, json!({"access_perm_status": "defined"})),
            Refusal::EndpointAccessNotAllowed,
        ),
    ];
    let site = anna_works().and([
        group_policy(ADMINS, |policy| {
            policy.access_perm_status = "defined".to_owned()
        }),
        group_policy(USERS, |_| {}),
        policy_member(USERS, ANNA),
    ]);
    for (what, command, closed) in table {
        let outcome = site.clone().when(ADMIN, command);
        assert_eq!(follows(&outcome), [withdrawn(&closed)], "{what}");
        let after = outcome.then_something();
        assert!(after.world().sessions.is_empty(), "{what}");
        assert_eq!(
            after
                .world()
                .session_on(crate::ids::JumpItemRef::JumpClient(PC1)),
            None
        );
    }
}

/// GPOL-09, GPOL-10, GPOL-11: what a group policy gives is asked again whatever changes about it.
#[test]
fn a_session_ends_with_what_a_group_policy_gave() {
    let web = Of::JumpGroup(WEB_SERVERS);
    let member = |policy: GroupPolicyId| GroupPolicyMemberId(1_000 * policy.0 + ANNA.0);
    for (what, command) in [
        (
            "no member",
            group_policy::Command::RemoveMember(ADMINS, member(ADMINS)),
        ),
        (
            "the row dropped",
            group_policy::Command::DropRow(ADMINS, web),
        ),
        (
            "taken away below",
            group_policy::Command::AddRemoval(USERS, web),
        ),
    ] {
        let outcome = anna_works_by_policy().when(ADMIN, command);
        let closed = withdrawn(&Refusal::JumpClientGone);
        assert_eq!(follows(&outcome), [closed], "{what}");
    }
    let outcome = anna_works_by_policy().when(ADMIN, delete::<GroupPolicy>(ADMINS));
    assert_eq!(follows(&outcome), [withdrawn(&Refusal::JumpClientGone)]);
    // The removal stands above what gives the membership, and below it once the order is turned.
    let above = anna_works_by_policy().and([policy_row(USERS, web, Row::Removal)]);
    let turned = group_policy::Command::SetOrder(vec![USERS, ADMINS]);
    let outcome = above
        .when(ADMIN, turned)
        .then_something()
        .when(ADMIN, group_policy::Command::SetOrder(vec![ADMINS, USERS]));
    assert_eq!(follows(&outcome), [withdrawn(&Refusal::JumpClientGone)]);
    // A policy that speaks of something else changes nothing.
    let outcome = anna_works_by_policy().when(ADMIN, delete::<GroupPolicy>(USERS));
    assert_eq!(follows(&outcome), []);
}

/// ROLE-12, GRP-16: who works in the list of somebody below them in a team loses that with the team.
#[test]
fn a_session_in_a_personal_list_ends_with_the_team() {
    let site = || {
        given([
            a_user(ANNA, |user| {
                user.perm_access_allowed = "full_support".to_owned();
                user.perm_jump_client = true;
                user.inferior_jump_item_role_id = START_SESSIONS_ONLY;
            }),
            person(BERT),
            a_team(OPERATIONS),
            team_member(OPERATIONS, ANNA, TeamRole::Lead),
            team_member(OPERATIONS, BERT, TeamRole::Member),
        ])
        .and(client(PC1, JumpGroupRef::Personal(BERT)))
        .and(session(LSID, ANNA, PC1))
    };
    let lead = team::Command::ChangeMember {
        team: OPERATIONS,
        user: BERT,
        to: OPERATIONS,
        role: Some(TeamRole::Lead),
    };
    for command in [
        team::Command::RemoveMember(OPERATIONS, ANNA),
        team::Command::RemoveMember(OPERATIONS, BERT),
        lead,
        team::Command::Record(record::Command::Delete(OPERATIONS)),
    ] {
        let outcome = site().when(ADMIN, command.clone());
        let closed = withdrawn(&Refusal::JumpClientGone);
        assert_eq!(follows(&outcome), [closed], "{command:?}");
    }
}

/// SESS-21: the ownership passes on to the member who is in longest and may own; a guest may not.
#[test]
fn the_ownership_passes_on_to_who_may_own() {
    let off = |user| change_user(user, json!({"enabled": false}));
    let site = anna_works().and([
        member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
        invited(CARA, ANNA),
        came(CARA, 20, true),
        came(BERT, 21, false),
    ]);
    let disabled = Refusal::UserDisabled;
    let outcome = site.clone().when(ADMIN, off(ANNA));
    let expected = [departed(ANNA, 10, &disabled), owned_by(BERT, 21)];
    assert_eq!(follows(&outcome), expected);
    // The next one down, and only a guest is left: nobody may own it.
    let outcome = outcome.then_something().when(ADMIN, off(BERT));
    assert_eq!(follows(&outcome), [withdrawn(&disabled)]);
    // Who is no owner departs, and nothing else changes.
    let outcome = site.clone().when(ADMIN, off(CARA));
    assert_eq!(follows(&outcome), [departed(CARA, 20, &disabled)]);
    let outcome = site.when(ADMIN, jump_group::Command::RemoveMember(WEB_SERVERS, BERT));
    let closed = Refusal::JumpClientGone;
    assert_eq!(follows(&outcome), [departed(BERT, 21, &closed)]);
}

/// SESS-34, GPOL-17: who was invited stays for as long as the member who invited them may share the session with them.
#[test]
fn a_guest_goes_when_the_host_may_not_share_any_more() {
    let site = || {
        anna_works().and([
            a_team(OPERATIONS),
            a_team(SUPPORT),
            team_member(OPERATIONS, ANNA, TeamRole::Member),
            team_member(OPERATIONS, BERT, TeamRole::Member),
            invited(BERT, ANNA),
            came(BERT, 20, true),
        ])
    };
    let to_support = || team::Command::ChangeMember {
        team: OPERATIONS,
        user: BERT,
        to: SUPPORT,
        role: Some(TeamRole::Member),
    };
    let outcome = site().when(ADMIN, to_support());
    let departed = departed(BERT, 20, &Refusal::InvitationNotValid);
    assert_eq!(outcome.events().last(), Some(&departed));
    // A right of their own lets them stay.
    let own = site().and([member(WEB_SERVERS, BERT, START_SESSIONS_ONLY)]);
    let outcome = own.when(ADMIN, to_support());
    assert!(!outcome.events().contains(&departed));
    // So does a host who may share with everybody.
    let outcome = site()
        .when(ADMIN, permit(ANNA, json!({"perm_share_other_team": true})))
        .then_something()
        .when(ADMIN, to_support());
    assert!(!outcome.events().contains(&departed));
}

/// SESS-34: an invitation that waits closes with the right of the invited, and with that of who made it.
#[test]
fn an_invitation_closes_with_the_right_it_rests_on() {
    let site = anna_works().and([
        member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
        came(BERT, 20, false),
        invited(CARA, ANNA),
    ]);
    let closed = |detail: &Refusal| {
        of(
            LSID,
            Event::InvitationClosed(InvitationClosed {
                user_id: CARA,
                detail: detail.to_string(),
            }),
        )
    };
    let outcome = site
        .clone()
        .when(ADMIN, permit(CARA, json!({"perm_jump_client": false})));
    let method = Refusal::JumpMethodNotAllowed {
        method: "Jump Clients",
    };
    assert_eq!(follows(&outcome), [closed(&method)]);
    let outcome = site.when(ADMIN, change_user(ANNA, json!({"enabled": false})));
    let expected = [
        departed(ANNA, 10, &Refusal::UserDisabled),
        owned_by(BERT, 20),
        closed(&Refusal::InvitationNotValid),
    ];
    assert_eq!(follows(&outcome), expected);
    assert!(
        outcome
            .then_something()
            .world()
            .sessions_of_user(CARA)
            .next()
            .is_none()
    );
}

/// SESS-17: a start that is under way fails at once, also where its item is gone.
#[test]
fn a_start_fails_with_the_right() {
    let site = || {
        given([
            person(ANNA),
            group(WEB_SERVERS, "Web Servers"),
            member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        ])
        .and(client(PC1, SHARED))
        .and([starting(LSID, ANNA, PC1)])
    };
    let failed = |detail: &Refusal| {
        of(
            LSID,
            Event::Failed(Failed {
                failure: Failure::Withdrawn,
                detail: detail.to_string(),
            }),
        )
    };
    let gone = Refusal::JumpClientGone;
    for (command, closed) in [
        (
            change_user(ANNA, json!({"enabled": false})),
            &Refusal::UserDisabled,
        ),
        (delete::<Properties>(PC1), &gone),
        (delete::<JumpGroup>(WEB_SERVERS), &gone),
    ] {
        let outcome = site().when(ADMIN, command);
        assert_eq!(follows(&outcome), [failed(closed)]);
    }
}

/// TICK-39: a request to the ticket system is refused at once, and a later answer is for a request that is not valid.
#[test]
fn a_waiting_ticket_request_is_refused_with_the_right() {
    let request = TicketRequestId(1);
    let key = || KeyedHash("key".to_owned());
    let site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |policy| policy.ticket_id_required = true),
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
    ])
    .and(client(PC1, SHARED))
    .when(
        ADMIN,
        change::<TicketSystem>(
            TICKET_SYSTEM,
            json!({"url": "https://tickets.example.com/", "user_prompt": "Change?"}),
        ),
    )
    .then_something()
    .when(
        ANNA,
        ticket::Command::Ask(Box::new(ticket::Ask {
            start: Start::new(
                ANNA,
                crate::ids::JumpItemRef::JumpClient(PC1),
                "Unknown".to_owned(),
                "Unknown".to_owned(),
            ),
            ticket_id: ticket::TicketId("C-1".to_owned()),
            answer_key: key(),
            sign_in: None,
        })),
    )
    .then_something();
    let answer = || {
        ticket::Command::Answer(ticket::Answer {
            answer_key: Some(key()),
            response: Some("allow".to_owned()),
            message: None,
            attributes: BTreeMap::new(),
            sign_in_withdrawn: false,
        })
    };
    for (command, closed) in [
        (
            change_user(ANNA, json!({"enabled": false})),
            Refusal::UserDisabled,
        ),
        (
            jump_group::Command::RemoveMember(WEB_SERVERS, ANNA).into(),
            Refusal::JumpClientGone,
        ),
        (delete::<JumpGroup>(WEB_SERVERS), Refusal::JumpClientGone),
    ] {
        let outcome = site.clone().when(ADMIN, command);
        let refused = ticket::Event::StartRefused(ticket::StartRefused {
            code: closed.code().to_owned(),
            message: closed.to_string(),
        });
        assert_eq!(
            follows(&outcome),
            [Happened::TicketRequest(request, refused)]
        );
        outcome
            .then_something()
            .when(Actor::Stranger, answer())
            .then_refused(Refusal::TicketRequestNotValid);
    }
}

/// GRP-31, POL-12, APPR-31: what a running session does not rest on ends nothing when it goes.
#[test]
fn what_a_session_does_not_rest_on_ends_nothing() {
    let under = || {
        anna_works().and([
            policy(THURSDAYS, |_| {}),
            member_under(WEB_SERVERS, ANNA, STARTERS, THURSDAYS),
        ])
    };
    for command in [
        delete::<Properties>(PC1),
        delete::<JumpGroup>(WEB_SERVERS),
        change::<JumpPolicy>(
            THURSDAYS,
            json!({
                "approval_required": true, "approval_display_name": "A",
                "approval_email_addresses": ["a@example.com"],
            }),
        ),
        change_user(ANNA, json!({"private_display_name": "Anna"})),
        change::<Properties>(PC1, json!({"tag": "east"})),
        change_user(BERT, json!({"enabled": false})),
    ] {
        let outcome = under().when(ADMIN, command);
        assert_eq!(follows(&outcome), []);
    }
}

/// GRP-31, ROLE-31: a session that outlived its item rests on the role in the group where it was and, once that is gone too, on
/// the user's own permissions.
#[test]
fn a_session_without_its_item_still_ends_with_the_right() {
    let site = anna_works()
        .when(ADMIN, delete::<Properties>(PC1))
        .then_something();
    let outcome = site
        .clone()
        .when(ADMIN, jump_group::Command::RemoveMember(WEB_SERVERS, ANNA));
    assert_eq!(follows(&outcome), [withdrawn(&no_start())]);
    let site = site
        .when(ADMIN, delete::<JumpGroup>(WEB_SERVERS))
        .then_something();
    let outcome = site.when(ADMIN, permit(ANNA, json!({"perm_jump_client": false})));
    let method = Refusal::JumpMethodNotAllowed {
        method: "Jump Clients",
    };
    assert_eq!(follows(&outcome), [withdrawn(&method)]);
}

/// A role that 1,500 running sessions rest on: one decision holds what it can and says where it stopped, and a due date goes on
/// until none is left.
#[test]
fn what_does_not_fit_into_one_decision_is_continued() {
    let sessions = 1_500;
    let clients = (1..=sessions).map(JumpClientId);
    let mut site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        role(STARTERS, |role| role.perm_start = true),
        member(WEB_SERVERS, ANNA, STARTERS),
    ]);
    for id in clients {
        site = site
            .and(client(id, SHARED))
            .and(session(Lsid(u128::from(id.0)), ANNA, id));
    }
    let withdrawn = change::<JumpItemRole>(STARTERS, json!({"perm_start": false}));
    let outcome = site.when(ADMIN, withdrawn);
    assert_eq!(outcome.events().len(), EVENTS_MAX);
    let first_left = Lsid(999);
    let due = Happened::AccessReview(Review::Due(Due { from: first_left }));
    assert_eq!(outcome.events().last(), Some(&due));
    let site = outcome.then_something();
    assert_eq!(site.world().sessions.len(), 502);
    let finished = Happened::AccessReview(Review::Finished(Finished {}));
    let outcome = site.when(
        Actor::System,
        crate::Command::AccessReview(Command::Continue),
    );
    assert_eq!(outcome.events().last(), Some(&finished));
    let site = outcome.then_something();
    assert!(site.world().sessions.is_empty());
    site.when(
        Actor::System,
        crate::Command::AccessReview(Command::Continue),
    )
    .then_nothing();
}

/// A change that takes nothing away from 1,500 running sessions looks at no more of them at once than others can wait for.
#[test]
fn a_decision_looks_at_so_many_sessions_and_leaves_the_rest_to_the_next() {
    let mut site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        role(STARTERS, |role| role.perm_start = true),
        member(WEB_SERVERS, ANNA, STARTERS),
    ]);
    for id in (1..=1_500).map(JumpClientId) {
        site = site
            .and(client(id, SHARED))
            .and(session(Lsid(u128::from(id.0)), ANNA, id));
    }
    let more = change::<JumpItemRole>(STARTERS, json!({"perm_remove": true}));
    let outcome = site.when(ADMIN, more);
    let due = Happened::AccessReview(Review::Due(Due { from: Lsid(1_001) }));
    assert_eq!(outcome.events()[1..], [due]);
    let site = outcome.then_something();
    let goes_on = crate::Command::AccessReview(Command::Continue);
    let outcome = site.when(Actor::System, goes_on);
    let finished = Happened::AccessReview(Review::Finished(Finished {}));
    assert_eq!(outcome.events(), [finished]);
    assert_eq!(outcome.then_something().world().sessions.len(), 1_500);
}

/// Only the program itself goes on with a review.
#[test]
fn nobody_else_asks_for_a_review() {
    anna_works()
        .when(API, crate::Command::AccessReview(Command::Continue))
        .then_refused(Refusal::AdministratorNeeded);
}

/// A change that concerns one user looks at the sessions of that user alone.
#[test]
fn a_change_of_one_user_looks_at_no_other_session() {
    let site = anna_works()
        .and([member(WEB_SERVERS, BERT, ADMINISTRATOR)])
        .and(client(PC2, SHARED))
        .and(session(FIRST, BERT, PC2));
    let changed = site
        .clone()
        .when(ADMIN, change_user(BERT, json!({"enabled": false})));
    let affected = Affected::by(site.world(), &changed.events()[..1]);
    let sessions: Vec<Lsid> = affected.sessions(site.world()).into_iter().collect();
    assert_eq!(sessions, [FIRST]);
    let named = site.when(ADMIN, change::<Properties>(PC1, json!({"name": "web"})));
    let affected = Affected::by(&crate::World::default(), named.events());
    assert_eq!(affected, Affected::default());
}
