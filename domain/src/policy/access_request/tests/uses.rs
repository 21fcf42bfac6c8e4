//! What an approval is good for, and how a user stands with an item.

use super::super::{StandingKind, standing, usable};
use super::*;
use crate::testing::{ALWAYS, API, change};

fn approved(site: Given) -> Given {
    asked_by(site, ANNA)
        .when(BOSS, approve(FIRST, "be quick"))
        .then_something()
}

fn use_of(site: &Given, user: UserId, at: Timestamp) -> Option<AccessRequestId> {
    usable(site.world(), user, ITEM, THURSDAYS, at)
}

fn pane(site: &Given, user: UserId, at: Timestamp) -> Option<StandingKind> {
    standing(site.world(), user, ITEM, at).map(|standing| standing.kind)
}

/// APPR-22, APPR-23, APPR-36, APPR-39, POL-34
#[test]
fn an_approval_is_good_inside_its_window_and_as_often_as_needed() {
    let site = approved(site(|_| {}));
    let over = NOON.plus(2 * HOUR);
    for (at, good) in [
        (NOON.plus(-1), false),
        (NOON, true),
        (over.plus(-1), true),
        (over, false),
    ] {
        assert_eq!(use_of(&site, ANNA, at), good.then_some(FIRST), "{at}");
    }
    let site = site.and([used(FIRST, Lsid(9), ANNA)]);
    assert_eq!(use_of(&site, ANNA, NOON.plus(HOUR)), Some(FIRST), "again");
    let pending = asked_by(super::site(|_| {}), ANNA);
    assert_eq!(use_of(&pending, ANNA, NOON), None);
}

/// APPR-20, APPR-21
#[test]
fn the_scope_says_whom_an_approval_is_good_for() {
    let site = approved(site(|_| {}));
    assert_eq!(use_of(&site, BERT, NOON), None);
    let site = approved(for_anyone());
    assert_eq!(use_of(&site, BERT, NOON), Some(FIRST));
}

/// POL-34: an approval under one policy opens no other.
#[test]
fn an_approval_is_good_for_its_policy_alone() {
    let site = approved(site(|_| {}));
    assert_eq!(usable(site.world(), ANNA, ITEM, ALWAYS, NOON), None);
}

/// APPR-24: of several the one's own comes first, then the one that lasts longest.
#[test]
fn of_several_approvals_the_best_is_used() {
    let site = approved(site(|_| {}));
    let second = Actor::Approver {
        request: SECOND,
        index: 0,
    };
    let site = ask(site, ANNA, NOON, 3)
        .then_something()
        .when(second, approve(SECOND, ""))
        .then_something();
    assert_eq!(use_of(&site, ANNA, NOON), Some(SECOND));
    assert_eq!(use_of(&site, ANNA, NOON.plus(150 * MINUTE)), Some(SECOND));
}

/// APPR-08, APPR-09, APPR-10
#[test]
fn the_details_pane_says_how_a_user_stands() {
    let none = site(|_| {});
    assert_eq!(pane(&none, ANNA, MONDAY), None);
    let pending = asked_by(none, ANNA);
    assert_eq!(pane(&pending, ANNA, MONDAY), Some(StandingKind::Pending));
    assert_eq!(pane(&pending, BERT, MONDAY), None, "not Bert's");
    let approved = approved(site(|_| {}));
    assert_eq!(pane(&approved, ANNA, MONDAY), Some(StandingKind::Approved));
    assert_eq!(
        pane(&approved, BERT, MONDAY),
        Some(StandingKind::ApprovedForDifferentUser)
    );
    assert_eq!(pane(&approved, ANNA, NOON.plus(2 * HOUR)), None, "over");
    let for_all = super::uses::approved(for_anyone());
    assert_eq!(pane(&for_all, BERT, MONDAY), Some(StandingKind::Approved));
    let denied = asked_by(site(|_| {}), ANNA)
        .when(BOSS, deny(FIRST, ""))
        .then_something();
    assert_eq!(pane(&denied, ANNA, MONDAY), Some(StandingKind::Denied));
    assert_eq!(pane(&denied, BERT, MONDAY), None);
    // What helps most is said: a new request, then its approval.
    let asked_again = ask(denied, ANNA, NOON, 1).then_something();
    assert_eq!(
        pane(&asked_again, ANNA, MONDAY),
        Some(StandingKind::Pending)
    );
    for (kind, label) in [
        (StandingKind::Pending, "Pending"),
        (StandingKind::Approved, "Approved"),
        (
            StandingKind::ApprovedForDifferentUser,
            "Approved only for a different user",
        ),
        (StandingKind::Denied, "Denied"),
    ] {
        assert_eq!(kind.label(), label);
    }
}

/// A cancelled request says nothing, and an approval the policy has since changed under stays what it was.
#[test]
fn what_is_cancelled_says_nothing() {
    let site = approved(site(|_| {}))
        .when(ANNA, cancel(FIRST))
        .then_something();
    assert_eq!(pane(&site, ANNA, MONDAY), None);
    let site = approved(super::site(|_| {}))
        .when(
            API,
            change::<JumpPolicy>(THURSDAYS, json!({"approval_scope": "anyone"})),
        )
        .then_something();
    assert_eq!(
        use_of(&site, BERT, NOON),
        None,
        "the scope it was asked with"
    );
}

/// The state is what the published schema calls it.
#[test]
fn states_have_the_words_of_the_schema() {
    let answer = super::super::Answer {
        by: Approver::default(),
        comment: String::new(),
        at: MONDAY,
    };
    for (state, word) in [
        (State::Pending, "pending"),
        (State::Approved(answer.clone()), "approved"),
        (State::Denied(answer.clone()), "denied"),
        (State::Cancelled(None), "cancelled"),
        (State::InUse(answer), "in_use"),
    ] {
        assert_eq!(state.word(), word);
    }
}
