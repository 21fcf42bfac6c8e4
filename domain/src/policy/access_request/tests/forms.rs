//! What a request must say, whom it asks, and which others it meets.

use super::super::{
    MAILS_PER_HOUR_MAX, PENDING_MAX, WAITING_PER_USER_MAX, approvers, duration_text,
};
use super::*;
use crate::ids::JumpGroupRef;
use crate::site::team::TeamRole;
use crate::site::user::User;
use crate::testing::{API, OPERATIONS, change, delete, team, team_member};
use crate::{FieldErrors, Refusal};

/// Who is asked by a request.
fn approvers_of(site: &Given, request: AccessRequestId) -> impl Iterator<Item = &Approver> {
    let request = site.world().access_requests.get(&request);
    site.world().approvers_of(request.expect("there"))
}

fn boss() -> Approver {
    Approver {
        index: 0,
        address: "boss@example.com".to_owned(),
        ..Approver::default()
    }
}

/// APPR-04, APPR-06, APPR-08, APPR-35, POL-34, POL-40, POL-29: everything a mail says is fixed in the event.
#[test]
fn a_request_keeps_what_was_asked_and_whom() {
    let submitted = Submitted {
        requester: ANNA,
        requester_name: "User 2".to_owned(),
        item: ITEM,
        item_name: "pc-1".to_owned(),
        group: SHARED,
        group_name: "Web Servers".to_owned(),
        jump_policy_id: THURSDAYS,
        jump_policy_name: "Authorization Required".to_owned(),
        approvers_name: "Manager".to_owned(),
        language: "de".to_owned(),
        scope: Scope::Requestor,
        reason: "patch the kernel".to_owned(),
        start_at: NOON,
        ends_at: NOON.plus(2 * HOUR),
        approvers: vec![
            boss(),
            Approver {
                index: 1,
                address: "deputy@example.com".to_owned(),
                ..Approver::default()
            },
        ],
        approvers_of: None,
        except: Vec::new(),
    };
    let site = site(|_| {})
        .when(ANNA, Command::Submit(form(ANNA)))
        .then([Happened::AccessRequest(FIRST, Event::Submitted(submitted))]);
    assert_eq!(state_of(&site, FIRST), "pending");
    let request = site.world().access_requests.get(&FIRST).expect("there");
    assert_eq!(request.duration_seconds(), 7_200);
    assert_eq!(request.submitted_at, MONDAY);
}

/// APPR-02
#[test]
fn durations_are_written_in_the_style_of_the_form() {
    for (seconds, text) in [
        (7_200, "2 Hour(s)"),
        (3_600, "1 Hour(s)"),
        (5_400, "90 Minute(s)"),
        (86_400, "1 Day(s)"),
        (90, "90 Second(s)"),
        (0, "0 Second(s)"),
    ] {
        assert_eq!(duration_text(seconds), text);
    }
}

/// APPR-03, POL-37
#[test]
fn a_scope_is_named_as_on_the_form() {
    assert_eq!(Scope::Requestor.label(), "Yourself Only");
    assert_eq!(Scope::Anyone.label(), "Anyone Permitted to Request");
}

/// APPR-04, APPR-05, POL-35
#[test]
fn a_form_that_is_not_right_is_refused() {
    let changed = |change: fn(&mut Submit)| {
        let mut submit = form(ANNA);
        change(&mut submit);
        Command::Submit(submit)
    };
    let cases: [(Command, &[&str]); 9] = [
        (changed(|form| form.reason = " \n".to_owned()), &["reason"]),
        (changed(|form| form.reason = "x".repeat(2_049)), &["reason"]),
        (changed(|form| form.reason = "a\0b".to_owned()), &["reason"]),
        (changed(|form| form.duration_seconds = 59), &["duration"]),
        (
            changed(|form| form.duration_seconds = 180 * 60 + 1),
            &["duration"],
        ),
        (
            changed(|form| form.duration_seconds = u32::MAX),
            &["duration"],
        ),
        (
            changed(|form| form.start_at = MONDAY.plus(-2 * HOUR)),
            &["start"],
        ),
        (
            changed(|form| form.start_at = Timestamp(i64::MAX)),
            &["start"],
        ),
        (changed(|form| form.start_at = Timestamp(-1)), &["start"]),
    ];
    for (command, wrong) in cases {
        site(|_| {}).when(ANNA, command).then_invalid(wrong);
    }
    for good in [
        changed(|form| form.reason = "ü".repeat(2_048)),
        changed(|form| form.duration_seconds = 60),
        changed(|form| form.duration_seconds = 180 * 60),
        changed(|form| form.start_at = MONDAY.plus(-HOUR)),
    ] {
        site(|_| {}).when(ANNA, good).then_something();
    }
    let too_long = changed(|form| form.duration_seconds = 4 * 3_600);
    site(|_| {})
        .when(ANNA, too_long)
        .then_refused(Refusal::Invalid(FieldErrors::one(
            "duration",
            "The duration must not be greater than 3 Hour(s).",
        )));
    // The published API may leave the reason out.
    site(|_| {})
        .when(API, changed(|form| form.reason = String::new()))
        .then_something();
}

/// APPR-01, GPOL-04, SESS-17: only who could start a session asks for one, and only where approval is needed.
#[test]
fn only_who_may_start_asks() {
    let request = |who: UserId| Command::Submit(form(who));
    site(|_| {})
        .and([person(CARA)])
        .when(CARA, request(CARA))
        .then_refused(Refusal::JumpClientGone);
    site(|_| {})
        .and([user(ANNA, |_| {})])
        .when(ANNA, request(ANNA))
        .then_refused(Refusal::EndpointAccessNotAllowed);
    site(|_| {})
        .and([user(ANNA, |user| {
            user.perm_access_allowed = "full_support".to_owned();
        })])
        .when(ANNA, request(ANNA))
        .then_refused(Refusal::JumpMethodNotAllowed {
            method: "Jump Clients",
        });
    site(|policy| policy.approval_required = false)
        .when(ANNA, request(ANNA))
        .then_refused(Refusal::ApprovalNotNeeded);
    // For somebody else: administrators and the published API.
    site(|_| {})
        .when(BERT, request(ANNA))
        .then_refused(Refusal::AdministratorNeeded);
    site(|_| {}).when(ADMIN, request(ANNA)).then_something();
    site(|_| {}).when(API, request(ANNA)).then_something();
    site(|_| {})
        .when(Actor::Stranger, request(ANNA))
        .then_refused(Refusal::AdministratorNeeded);
    site(|_| {})
        .when(BOSS, request(ANNA))
        .then_refused(Refusal::AdministratorNeeded);
}

/// POL-38, POL-39, APPR-06: addresses, user names, users and teams; each address once, whoever is not there not at all.
#[test]
fn approvers_are_addresses_users_and_teams() {
    let named = |id: UserId, address: &str, enabled: bool| {
        let address = address.to_owned();
        user(id, move |user| {
            user.email_address = address;
            user.enabled = enabled;
        })
    };
    let site = site(|policy| {
        policy.approval_email_addresses = vec![
            "BOSS@example.com".to_owned(),
            "boss@example.com".to_owned(),
            "user-4".to_owned(),
            "nobody-of-this-name".to_owned(),
        ];
        policy.approval_user_ids = vec!["5".to_owned(), "6".to_owned(), "99".to_owned()];
        policy.approval_team_ids = vec![OPERATIONS.to_string(), "98".to_owned()];
    })
    .and([
        named(CARA, "cara@example.com", true),
        named(UserId(5), "CARA@example.com", true),
        named(UserId(6), "gone@example.com", false),
        named(UserId(7), "", true),
        team(OPERATIONS),
        team_member(OPERATIONS, UserId(7), TeamRole::Member),
        team_member(OPERATIONS, CARA, TeamRole::Lead),
    ]);
    let site = asked_by(site, ANNA);
    let asked: Vec<&Approver> = approvers_of(&site, FIRST).collect();
    let found: Vec<(u32, &str, Option<UserId>)> = asked
        .iter()
        .map(|by| (by.index, by.address.as_str(), by.user_id))
        .collect();
    assert_eq!(
        found,
        [
            (0, "cara@example.com", Some(CARA)),
            // Shares a mailbox with the one before: one mail to each address.
            (1, "", Some(UserId(5))),
            (2, "", Some(UserId(7))),
            (3, "BOSS@example.com", None),
        ]
    );
    assert_eq!(asked[2].label(), "User 7");
    assert_eq!(asked[3].label(), "BOSS@example.com");
    // Who is an approver finds it.
    let finds = |user| site.world().requests_to_answer(user).count();
    assert_eq!(
        (finds(CARA), finds(UserId(7)), finds(UserId(6)), finds(ANNA)),
        (1, 1, 0, 0)
    );
}

/// POL-39: what has the form of an address is one, whatever users are called; a user called like that is named by id.
#[test]
fn a_user_called_like_an_address_does_not_take_its_place() {
    let site = site(|_| {}).and([user(CARA, |user| {
        user.username = "Boss@Example.com".to_owned();
        user.email_address = "cara@example.org".to_owned();
    })]);
    let site = asked_by(site, ANNA);
    let asked: Vec<(&str, Option<UserId>)> = approvers_of(&site, FIRST)
        .map(|by| (by.address.as_str(), by.user_id))
        .collect();
    assert_eq!(
        asked,
        [("boss@example.com", None), ("deputy@example.com", None)]
    );
    site.clone()
        .when(CARA, approve(FIRST, ""))
        .then_refused(Refusal::not_found("Access request"));
    site.when(BOSS, approve(FIRST, "")).then_something();
}

/// POL-39: several addresses in one text are each asked.
#[test]
fn approvers_may_be_written_in_one_text() {
    let site = site(|_| {})
        .when(
            API,
            change::<JumpPolicy>(
                THURSDAYS,
                json!({"approval_email_addresses": ["boss@example.com; deputy@example.com", "user-4"]}),
            ),
        )
        .then_invalid(&["approval_email_addresses"])
        .and([user(CARA, |_| {})])
        .when(
            API,
            change::<JumpPolicy>(
                THURSDAYS,
                json!({"approval_email_addresses": ["boss@example.com;deputy@example.com", "user-4"]}),
            ),
        )
        .then_something();
    let policy = site.world().jump_policies.get(&THURSDAYS).expect("there");
    assert_eq!(
        policy.approval_email_addresses,
        ["boss@example.com", "deputy@example.com", "user-4"]
    );
    let site = asked_by(site, ANNA);
    assert_eq!(approvers_of(&site, FIRST).count(), 3);
}

/// APPR-32: requesters are not asked, by name or by address, unless the policy says so; with nobody else left it fails closed.
#[test]
fn requesters_are_not_among_their_own_approvers() {
    let with = |scope: &'static str| {
        site(move |policy| {
            policy.approval_email_addresses = vec!["Anna@Example.com".to_owned()];
            policy.approval_user_ids = vec!["2".to_owned()];
            policy.approval_approver_scope = scope.to_owned();
        })
        .when(
            API,
            change::<User>(ANNA, json!({"email_address": "anna@example.com"})),
        )
        .then_something()
    };
    let nobody = Refusal::NoApprover {
        policy: "Authorization Required".to_owned(),
    };
    with("not_requestor")
        .when(ANNA, Command::Submit(form(ANNA)))
        .then_refused(nobody.clone());
    // For somebody else she is there.
    let site = asked_by(with("not_requestor"), BERT);
    assert_eq!(approvers_of(&site, FIRST).count(), 1);
    let site = asked_by(with("anyone"), ANNA);
    let asked = approvers_of(&site, FIRST).next().expect("one");
    assert_eq!(asked.user_id, Some(ANNA));
    // All approvers are gone.
    with("not_requestor")
        .and([user(ANNA, |user| user.enabled = false)])
        .when(
            API,
            change::<JumpPolicy>(THURSDAYS, json!({"approval_email_addresses": []})),
        )
        .then_something()
        .when(BERT, Command::Submit(form(BERT)))
        .then_refused(nobody);
}

/// Each approver may be a mail: a team of thousands is not asked as a whole.
#[test]
fn the_number_of_approvers_is_bounded() {
    let ids: Vec<UserId> = (1_000..1_600).map(UserId).collect();
    let site = site(|policy| policy.approval_team_ids = vec![OPERATIONS.to_string()])
        .and([team(OPERATIONS)])
        .and(ids.iter().map(|id| user(*id, |_| {})))
        .and(
            ids.iter()
                .map(|id| team_member(OPERATIONS, *id, TeamRole::Member)),
        );
    let site = asked_by(site, ANNA);
    assert_eq!(approvers_of(&site, FIRST).count(), approvers::APPROVERS_MAX);
}

/// APPR-24, APPR-25, APPR-36
#[test]
fn a_requestors_own_times_may_overlap() {
    let site = ask(site(|_| {}), ANNA, NOON, 2).then_something();
    let site = ask(site, ANNA, NOON, 2).then_something();
    let site = ask(site, ANNA, NOON.plus(HOUR), 2).then_something();
    let site = ask(site, BERT, NOON, 2).then_something();
    assert_eq!(site.world().requests_for(ITEM).count(), 4);
}

/// APPR-24, APPR-26, APPR-39: start inclusive, end exclusive, so times that touch do not overlap.
#[test]
fn times_for_anyone_do_not_overlap() {
    let two_hours_from_noon = || ask(for_anyone(), ANNA, NOON, 2).then_something();
    for (offset_minutes, hours, fits) in [
        (0, 2, false),
        (60, 2, false),
        (-60, 2, false),
        (30, 1, false),
        (-30, 3, false),
        (-119, 2, false),
        (119, 1, false),
        (-120, 2, true),
        (120, 2, true),
        (-180, 3, true),
        (600, 1, true),
    ] {
        let other = ask(
            two_hours_from_noon(),
            BERT,
            NOON.plus(offset_minutes * MINUTE),
            hours,
        );
        if fits {
            other.then_something();
        } else {
            other.then_refused(Refusal::RequestOverlaps);
        }
    }
    // An approved one stands in the way too; another item's doesn't.
    let site = two_hours_from_noon()
        .when(BOSS, approve(FIRST, ""))
        .then_something();
    ask(site, BERT, NOON, 2).then_refused(Refusal::RequestOverlaps);
    let other = crate::ids::JumpClientId(2);
    let site = two_hours_from_noon().and(client(other, SHARED));
    let submit = Submit {
        item: JumpItemRef::JumpClient(other),
        ..form(BERT)
    };
    site.when(BERT, Command::Submit(submit)).then_something();
}

/// APPR-27, APPR-38: what was denied or cancelled frees the time, in both scopes.
#[test]
fn a_denied_or_cancelled_time_is_free_again() {
    for site in [site(|_| {}), for_anyone()] {
        let site = asked_by(site, ANNA);
        let denied = site.clone().when(BOSS, deny(FIRST, "")).then_something();
        ask(denied, ANNA, NOON, 2).then_something();
        let cancelled = site.when(ANNA, cancel(FIRST)).then_something();
        ask(cancelled, BERT, NOON, 2).then_something();
    }
}

/// A list of approvers is written once for all requests that ask the same; the requester's own place is left out.
#[test]
fn requests_that_ask_the_same_share_a_list() {
    let of = |outcome: &Outcome| match outcome.events() {
        [Happened::AccessRequest(_, Event::Submitted(submitted))] => submitted.clone(),
        other => panic!("{other:?}"),
    };
    let site = site(|policy| policy.approval_user_ids = vec![ANNA.to_string(), CARA.to_string()])
        .and([user(CARA, |_| {})]);
    let first = ask(site, ANNA, NOON, 2);
    assert_eq!(of(&first).approvers.len(), 4);
    assert_eq!(
        (of(&first).approvers_of, of(&first).except),
        (None, vec![0])
    );
    let second = ask(first.then_something(), BERT, NOON, 3);
    assert_eq!(of(&second).approvers, []);
    assert_eq!(
        (of(&second).approvers_of, of(&second).except),
        (Some(FIRST), vec![])
    );
    let site = second.then_something();
    let to_answer = |site: &Given, user| {
        let requests = site.world().requests_to_answer(user);
        requests.map(|(id, _)| id.0).collect::<Vec<_>>()
    };
    assert_eq!(to_answer(&site, CARA), [1, 2]);
    assert_eq!(to_answer(&site, ANNA), [2], "not her own");
    // Whoever is asked anew makes another list; the one of before stays as long as somebody needs it.
    let site = site
        .when(
            API,
            change::<JumpPolicy>(THURSDAYS, json!({"approval_user_ids": [CARA.to_string()]})),
        )
        .then_something();
    let third = ask(site, BERT, NOON, 1);
    assert_eq!(of(&third).approvers.len(), 3);
    let expire = |request: u32| Command::Expire {
        request: AccessRequestId(request),
    };
    let site = third
        .then_something()
        .at(NOON.plus(2 * HOUR))
        .when(Actor::System, expire(1))
        .then_something();
    assert_eq!(to_answer(&site, CARA), [2, 3]);
    let second = Actor::Approver {
        request: SECOND,
        index: 2,
    };
    let site = site.when(second, approve(SECOND, "")).then_something();
    let site = site
        .at(NOON.plus(3 * HOUR))
        .when(Actor::System, expire(2))
        .then_something()
        .when(Actor::System, expire(3))
        .then_something();
    assert!(site.world().approver_lists.is_empty());
    assert_eq!(to_answer(&site, CARA), [0; 0]);
}

/// Each request is a mail to every approver, whatever the item.
#[test]
fn requests_of_one_user_are_bounded_over_all_items() {
    let items = 1..=4_u32;
    let mut site = site(|_| {});
    for number in items.clone().skip(1) {
        site = site.and(client(crate::ids::JumpClientId(number), SHARED));
    }
    let form = |user, number| Submit {
        item: JumpItemRef::JumpClient(crate::ids::JumpClientId(number)),
        ..form(user)
    };
    let mut made = 0;
    for number in items.cycle() {
        let outcome = site.clone().when(ANNA, Command::Submit(form(ANNA, number)));
        if outcome.decision().is_err() {
            outcome.then_refused(Refusal::TooManyPendingInAll);
            break;
        }
        site = outcome.then_something();
        made += 1;
    }
    assert_eq!(made, WAITING_PER_USER_MAX);
    // Taking them back makes no room for more mails within the hour.
    for number in 1..=3 {
        site = site
            .when(ANNA, cancel(AccessRequestId(number)))
            .then_something();
    }
    let site = site
        .when(ANNA, Command::Submit(form(ANNA, 1)))
        .then_refused(Refusal::TooManyRequests)
        .when(BERT, Command::Submit(form(BERT, 1)))
        .then_something()
        .after(HOUR);
    site.when(ANNA, Command::Submit(form(ANNA, 1)))
        .then_something();
}

/// A list of hundreds of approvers is asked a few times an hour.
#[test]
fn the_mails_of_one_users_requests_are_bounded() {
    let ids: Vec<UserId> = (1_000..1_500).map(UserId).collect();
    let mut site = site(|policy| {
        policy.approval_email_addresses = Vec::new();
        policy.approval_team_ids = vec![OPERATIONS.to_string()];
    })
    .and([team(OPERATIONS)])
    .and(ids.iter().map(|id| {
        user(*id, |user| {
            user.email_address = format!("a{id}@example.com")
        })
    }))
    .and(
        ids.iter()
            .map(|id| team_member(OPERATIONS, *id, TeamRole::Member)),
    );
    for _ in 0..MAILS_PER_HOUR_MAX / ids.len() {
        site = asked_by(site, ANNA);
    }
    site.when(ANNA, Command::Submit(form(ANNA)))
        .then_refused(Refusal::TooManyRequests)
        .when(BERT, Command::Submit(form(BERT)))
        .then_something();
}

/// An inbox that many fill is shared out: whoever has few requests in it may add one, whoever has many may not.
#[test]
fn an_approvers_inbox_is_shared_out() {
    let crowd: Vec<UserId> = (10..14).map(UserId).collect();
    let mut site = site(|_| {}).and(crowd.iter().map(|id| person(*id))).and(
        crowd
            .iter()
            .map(|id| member_under(WEB_SERVERS, *id, START_SESSIONS_ONLY, THURSDAYS)),
    );
    for number in 2..=4 {
        site = site.and(client(crate::ids::JumpClientId(number), SHARED));
    }
    // 50 each, 200 in all: on three items, so that no other bound is met.
    for user in &crowd {
        for number in 0..50_u32 {
            let submit = Submit {
                item: JumpItemRef::JumpClient(crate::ids::JumpClientId(1 + number % 3)),
                ..form(*user)
            };
            site = site.when(*user, Command::Submit(submit)).then_something();
        }
    }
    let other = Submit {
        item: JumpItemRef::JumpClient(crate::ids::JumpClientId(4)),
        ..form(crowd[0])
    };
    let site = site
        .when(crowd[0], Command::Submit(other.clone()))
        .then_refused(Refusal::InboxFull);
    let site = asked_by(site, ANNA);
    // One is answered: still more than an equal part.
    let site = site.when(BOSS, deny(FIRST, "")).then_something();
    site.when(crowd[0], Command::Submit(other))
        .then_refused(Refusal::InboxFull);
}

/// Each request is a mail to every approver.
#[test]
fn pending_requests_of_one_user_for_one_item_are_bounded() {
    let mut site = site(|_| {});
    for _ in 0..PENDING_MAX {
        site = asked_by(site, ANNA);
    }
    let site = site
        .when(ANNA, Command::Submit(form(ANNA)))
        .then_refused(Refusal::TooManyPending);
    let site = asked_by(site, BERT);
    let answered = site.when(BOSS, deny(FIRST, "")).then_something();
    ask(answered, ANNA, NOON, 2).then_something();
}

/// What is stored stays as it was, whatever becomes of the policy and the names.
#[test]
fn a_changed_policy_does_not_move_a_request() {
    let site = asked_by(site(|_| {}), ANNA)
        .when(
            API,
            change::<JumpPolicy>(
                THURSDAYS,
                json!({"approval_max_duration": 1, "approval_scope": "anyone", "display_name": "Else"}),
            ),
        )
        .then_something();
    let request = site.world().access_requests.get(&FIRST).expect("there");
    assert_eq!(request.scope, Scope::Requestor);
    assert_eq!(request.ends_at, NOON.plus(2 * HOUR));
    assert_eq!(request.jump_policy_name, "Authorization Required");
    assert_eq!(request.group, JumpGroupRef::Shared(WEB_SERVERS));
    site.when(ADMIN, delete::<User>(ANNA)).then_something();
}
