//! Who answers a request, what counts, and who takes it back.

use super::super::{approvers, may_cancel};
use super::*;
use crate::access::role::NO_ACCESS;
use crate::policy::gates::Need;
use crate::session::access_session;
use crate::testing::{API, change, end, member, start};
use crate::{Refusal, RefusalClass};

fn by(index: u32) -> Approver {
    Approver {
        index,
        address: ["boss@example.com", "deputy@example.com"][index as usize].to_owned(),
        ..Approver::default()
    }
}

fn answered(index: u32, comment: &str) -> Answered {
    Answered {
        by: by(index),
        comment: comment.to_owned(),
    }
}

fn happened(event: Event) -> [Happened; 1] {
    [Happened::AccessRequest(FIRST, event)]
}

fn pending() -> Given {
    asked_by(site(|_| {}), ANNA)
}

fn approved() -> Given {
    pending()
        .when(BOSS, approve(FIRST, "be quick"))
        .then(happened(Event::Approved(answered(0, "be quick"))))
}

fn in_use() -> Given {
    let jump = approved().at(NOON).when(ANNA, start(ANNA, PC1));
    let begun = jump.events();
    let uses = begun.iter().any(|event| {
        matches!(event, Happened::AccessRequest(FIRST, Event::Used(used)) if used.user == ANNA)
    });
    assert!(uses, "{begun:?}");
    let site = jump.then_something();
    let lsid = running(&site);
    site.when(
        PC1,
        access_session::Command::Establish { lsid, client: PC1 },
    )
    .then_something()
}

/// The session that runs.
fn running(site: &Given) -> Lsid {
    let mut sessions = site.world().sessions.iter();
    *sessions.next().expect("one runs").0
}

/// APPR-11, APPR-15: one answer settles it, and says by which approver.
#[test]
fn the_first_answer_settles_a_request() {
    let site = approved();
    assert_eq!(state_of(&site, FIRST), "approved");
    // Another yes, and a repeated one, change nothing.
    let site = site
        .when(DEPUTY, approve(FIRST, "me too"))
        .then_nothing()
        .when(BOSS, approve(FIRST, "be quick"))
        .then_nothing();
    let request = site.world().access_requests.get(&FIRST).expect("there");
    let answer = request.state.answer().expect("answered");
    assert_eq!(
        (answer.by.label(), answer.comment.as_str()),
        ("boss@example.com", "be quick")
    );
    let site = pending()
        .when(DEPUTY, deny(FIRST, " no "))
        .then(happened(Event::Denied(answered(1, "no"))));
    assert_eq!(state_of(&site, FIRST), "denied");
}

/// APPR-12, APPR-13: a yes may be overridden by a no, a no by nothing.
#[test]
fn a_denial_overrides_an_approval_and_nothing_overrides_a_denial() {
    let denied = approved()
        .when(DEPUTY, deny(FIRST, "not today"))
        .then(happened(Event::Denied(answered(1, "not today"))));
    assert_eq!(state_of(&denied, FIRST), "denied");
    for who in [BOSS, DEPUTY] {
        denied
            .clone()
            .when(who.clone(), approve(FIRST, ""))
            .then_refused(Refusal::RequestDenied)
            .when(who, deny(FIRST, "still"))
            .then_nothing();
    }
    // The others still see it.
    let request = denied.world().access_requests.get(&FIRST).expect("there");
    assert!(approvers::is_still_one(denied.world(), request, 0));
}

/// APPR-14, APPR-31: an access that is used can't be denied any more, only given up: what runs goes on, and nothing new begins.
#[test]
fn what_is_in_use_can_not_be_denied_any_more() {
    let site = in_use();
    assert_eq!(state_of(&site, FIRST), "in_use");
    let lsid = running(&site);
    let site = site
        .when(DEPUTY, deny(FIRST, ""))
        .then_refused(Refusal::RequestInUse)
        .when(DEPUTY, approve(FIRST, ""))
        .then_nothing()
        .when(ANNA, cancel(FIRST))
        .then(happened(Event::Cancelled(Cancelled { user: ANNA })));
    assert_eq!(running(&site), lsid, "what runs goes on");
    let site = site.when(ANNA, end(lsid)).then_something();
    assert!(site.world().sessions.is_empty());
    let again = site.when(ANNA, start(ANNA, PC1));
    let Err(Refusal::StartNeeds { needs }) = again.decision() else {
        panic!("{again:?}");
    };
    assert!(
        matches!(needs.as_slice(), [Need::Approval(_)]),
        "a new start needs a new approval: {needs:?}"
    );
}

/// APPR-32, APPR-37: only those who were asked, each for their own request, and never the requester.
#[test]
fn nobody_else_answers() {
    let refused = |who: Actor, refusal: Refusal| {
        for command in [approve(FIRST, ""), deny(FIRST, "")] {
            pending()
                .when(who.clone(), command)
                .then_refused(refusal.clone());
        }
    };
    refused(Actor::User(ANNA), Refusal::SelfApproval);
    refused(Actor::User(BERT), Refusal::not_found("Access request"));
    refused(Actor::User(ADMIN), Refusal::not_found("Access request"));
    refused(
        Actor::Approver {
            request: FIRST,
            index: 2,
        },
        Refusal::NotAnApprover,
    );
    refused(
        Actor::Approver {
            request: SECOND,
            index: 0,
        },
        Refusal::NotAnApprover,
    );
    refused(Actor::ApiAccount(API), Refusal::NotAnApprover);
    refused(Actor::Stranger, Refusal::AdministratorNeeded);
    refused(Actor::JumpClient(PC1), Refusal::AdministratorNeeded);
    pending()
        .when(BOSS, approve(SECOND, ""))
        .then_refused(Refusal::not_found("Access request"));
    // Who may know of the request is told that they are no approver.
    asked_by(for_anyone(), ANNA)
        .when(BERT, approve(FIRST, ""))
        .then_refused(Refusal::NotAnApprover);
    assert_eq!(Refusal::NotAnApprover.class(), RefusalClass::Forbidden);
}

/// APPR-37: a user who was named answers on the console; the published API answers for one.
#[test]
fn a_user_who_is_an_approver_answers_without_a_link() {
    let site = || {
        let site = site(|policy| policy.approval_user_ids = vec![CARA.to_string()]);
        asked_by(site.and([user(CARA, |_| {})]), ANNA)
    };
    site().when(CARA, approve(FIRST, "")).then_something();
    let speaking = |user| Command::Deny {
        request: FIRST,
        comment: String::new(),
        speaking_for: Some(user),
    };
    site().when(API, speaking(CARA)).then_something();
    site()
        .when(API, speaking(ANNA))
        .then_refused(Refusal::SelfApproval);
    site()
        .when(API, speaking(BERT))
        .then_refused(Refusal::not_found("Access request"));
    // A user does not speak for another.
    site()
        .when(BERT, speaking(CARA))
        .then_refused(Refusal::not_found("Access request"));
    // One who was switched off since answers by neither way.
    let gone = site().and([user(CARA, |user| user.enabled = false)]);
    let link = Actor::Approver {
        request: FIRST,
        index: 0,
    };
    gone.clone()
        .when(CARA, approve(FIRST, ""))
        .then_refused(Refusal::UserDisabled);
    gone.when(link, approve(FIRST, ""))
        .then_refused(Refusal::NotAnApprover);
}

/// APPR-37: whom the policy names no more has a link that answers nothing.
#[test]
fn an_approver_who_was_taken_off_the_policy_answers_no_more() {
    let only = |address: &str| {
        change::<JumpPolicy>(THURSDAYS, json!({"approval_email_addresses": [address]}))
    };
    let site = pending()
        .when(API, only("deputy@example.com"))
        .then_something()
        .when(BOSS, approve(FIRST, ""))
        .then_refused(Refusal::NotAnApprover);
    site.when(DEPUTY, approve(FIRST, "")).then_something();
}

/// APPR-32: an address that has become the requester's own answers nothing, unless the policy lets requesters approve.
#[test]
fn nobody_approves_their_own_request_by_mail_either() {
    let mine = || {
        pending()
            .when(
                API,
                change::<crate::site::user::User>(
                    ANNA,
                    json!({"email_address": "Boss@Example.com"}),
                ),
            )
            .then_something()
    };
    mine()
        .when(BOSS, approve(FIRST, ""))
        .then_refused(Refusal::SelfApproval);
    mine()
        .when(
            API,
            change::<JumpPolicy>(THURSDAYS, json!({"approval_approver_scope": "anyone"})),
        )
        .then_something()
        .when(BOSS, approve(FIRST, ""))
        .then_something();
}

/// APPR-33, APPR-37: when the window is over nothing is answered, and the request leaves.
#[test]
fn a_request_whose_time_has_passed_is_answered_no_more() {
    let over = NOON.plus(2 * HOUR);
    let expire = || Command::Expire { request: FIRST };
    let site = pending()
        .at(over.plus(-1))
        .when(Actor::System, expire())
        .then_nothing()
        .at(over)
        .when(BOSS, approve(FIRST, ""))
        .then_refused(Refusal::RequestOver)
        .when(ANNA, cancel(FIRST))
        .then_refused(Refusal::RequestOver)
        .when(Actor::System, expire())
        .then(happened(Event::Expired(Over {})))
        .when(Actor::System, expire())
        .then_nothing()
        .when(BOSS, approve(FIRST, ""))
        .then_refused(Refusal::not_found("Access request"));
    let world = site.world();
    assert!(world.access_requests.is_empty());
    assert_eq!(
        world.requests_of(ANNA).count() + world.requests_for(ITEM).count(),
        0
    );
    // An id is never used twice.
    let site = ask(site, ANNA, over, 1).then_something();
    assert_eq!(state_of(&site, SECOND), "pending");
    for settled in [
        approved(),
        in_use(),
        pending().when(BOSS, deny(FIRST, "")).then_something(),
        pending().when(ANNA, cancel(FIRST)).then_something(),
    ] {
        settled
            .at(over)
            .when(Actor::System, expire())
            .then(happened(Event::Closed(Over {})));
    }
    pending()
        .at(over)
        .when(ADMIN, expire())
        .then_refused(Refusal::AdministratorNeeded);
}

/// APPR-28, APPR-29, APPR-30, APPR-38
#[test]
fn who_cancels_follows_the_state_and_the_scope() {
    let allowed = |site: Given, who: UserId| {
        let event = Event::Cancelled(Cancelled { user: who });
        let site = site.when(who, cancel(FIRST)).then(happened(event));
        assert_eq!(state_of(&site, FIRST), "cancelled");
        // Twice is as once.
        site.when(who, cancel(FIRST)).then_nothing()
    };
    let anyone_pending = || asked_by(for_anyone(), ANNA);
    let anyone_approved = || {
        anyone_pending()
            .when(BOSS, approve(FIRST, ""))
            .then_something()
    };
    // Pending: the requester alone, in both scopes.
    allowed(pending(), ANNA);
    allowed(anyone_pending(), ANNA);
    anyone_pending()
        .when(BERT, cancel(FIRST))
        .then_refused(Refusal::CancelNotAllowed);
    // Approved: the requester, or with scope anyone whoever may start.
    allowed(approved(), ANNA);
    allowed(anyone_approved(), ANNA);
    allowed(anyone_approved(), BERT);
    approved()
        .when(BERT, cancel(FIRST))
        .then_refused(Refusal::not_found("Access request"));
    let known = approved();
    let request = known.world().access_requests.get(&FIRST).expect("there");
    assert!(
        !may_cancel(known.world(), request, BERT),
        "the option is disabled"
    );
    // Who may see the item and not start there knows of no request of others (ROLE-26), nor does who may not see it.
    anyone_approved()
        .and([user(BERT, |_| {})])
        .when(BERT, cancel(FIRST))
        .then_refused(Refusal::not_found("Access request"));
    anyone_approved()
        .and([member(WEB_SERVERS, BERT, NO_ACCESS)])
        .when(BERT, cancel(FIRST))
        .then_refused(Refusal::not_found("Access request"));
    // By link nobody cancels: approvers deny.
    approved()
        .when(BOSS, cancel(FIRST))
        .then_refused(Refusal::AdministratorNeeded);
    approved()
        .when(API, cancel(FIRST))
        .then_refused(Refusal::CancelNotAllowed);
    // Denied stays denied; cancelled is answered no more.
    let denied = pending().when(BOSS, deny(FIRST, "")).then_something();
    denied
        .when(ANNA, cancel(FIRST))
        .then_refused(Refusal::RequestDenied);
    let cancelled = allowed(pending(), ANNA);
    for command in [approve(FIRST, ""), deny(FIRST, "")] {
        cancelled
            .clone()
            .when(BOSS, command)
            .then_refused(Refusal::RequestCancelled);
    }
}

/// A comment has the length of a reason.
#[test]
fn a_comment_that_does_not_fit_is_refused() {
    for comment in ["x".repeat(2_049), "a\0b".to_owned()] {
        pending()
            .when(BOSS, approve(FIRST, &comment))
            .then_invalid(&["comments"]);
        pending()
            .when(BOSS, deny(FIRST, &comment))
            .then_invalid(&["comments"]);
    }
    pending()
        .when(BOSS, approve(FIRST, &"ü".repeat(2_048)))
        .then_something();
}
