//! The gates of a start, in the order of SESS-17, and how a start ends.

use super::*;

/// SESS-17, GPOL-04, GPOL-05, ROLE-20: each gate is told before the next one, so opening them one by one shows the order.
#[test]
fn the_gates_are_asked_in_their_order() {
    let site = given([
        user(ANNA, |user| user.enabled = false),
        group(WEB_SERVERS, "Web Servers"),
        role(JumpItemRoleId(4), |role| role.perm_edit_tag = true),
        person(BERT),
    ])
    .and(client(PC1, SHARED))
    .and([Happened::JumpClient(
        PC1,
        fleet::jump_client::Event::Disconnected(fleet::jump_client::Disconnected {
            link: LinkId {
                node: NODE,
                connection: 1,
            },
            reason: "closed".to_owned(),
        }),
    )])
    .and([
        policy(THURSDAYS, |policy| {
            policy.display_name = "Closed".to_owned();
            policy.schedule_enabled = true;
        }),
        starting(Lsid(5), BERT, PC1),
    ])
    .when(
        ADMIN,
        change::<SiteSettings>(SiteSettingsId(1), json!({"starting_users_max": 1})),
    )
    .then_something();
    let ask =
        |site: Given, refusal: Refusal| site.when(ANNA, start(ANNA, PC1)).then_refused(refusal);

    let site = ask(site, Refusal::UserDisabled);
    let site = ask(
        site.and([user(ANNA, |_| {})]),
        Refusal::EndpointAccessNotAllowed,
    );
    let access_only = user(ANNA, |user| {
        user.perm_access_allowed = "full_support".to_owned()
    });
    let site = ask(
        site.and([access_only]),
        Refusal::JumpMethodNotAllowed {
            method: "Jump Clients",
        },
    );
    let site = ask(site.and([person(ANNA)]), Refusal::JumpClientGone);
    let site = ask(
        site.and([member(WEB_SERVERS, ANNA, JumpItemRoleId(4))]),
        Refusal::RoleLacks {
            permission: JumpItemPermission::Start,
        },
    );
    let site = ask(
        site.and([member_under(
            WEB_SERVERS,
            ANNA,
            START_SESSIONS_ONLY,
            THURSDAYS,
        )]),
        Refusal::JumpClientOffline,
    );
    let site = ask(site.and([connected(PC1, 2)]), Refusal::JoinDenied);
    // The other session ends, and Bert is starting one elsewhere.
    let site = site.and(client(PC2, SHARED)).and([
        failed(Lsid(5), Failure::Cancelled, ""),
        starting(Lsid(6), BERT, PC2),
    ]);
    let site = ask(
        site,
        Refusal::OutsideSchedule {
            policy: "Closed".to_owned(),
            next_open: None,
            zone: "UTC".to_owned(),
        },
    );
    let site = ask(
        site.and([policy(THURSDAYS, |_| {})]),
        Refusal::TooManyStarting,
    );
    site.and([established(Lsid(6))])
        .when(ANNA, start(ANNA, PC1))
        .then_something();
}

/// POL-03, POL-04, POL-06, POL-07, GRP-07, GRP-08
#[test]
fn the_memberships_policy_counts_then_the_items_then_none() {
    let closed = |number| {
        policy(number, |policy| {
            policy.ticket_id_required = true;
        })
    };
    let on_item = json!({"jump_policy_id": THURSDAYS.0});
    let site = || ready().and([closed(THURSDAYS), policy(ALWAYS, |_| {})]);
    // The policy is there and applies to nothing.
    site().when(ANNA, start(ANNA, PC1)).then_something();
    // On the item, with "Set on Jump Items" in the membership.
    let with_item = site()
        .when(API, change::<Properties>(PC1, on_item))
        .then_something();
    with_item
        .clone()
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::NoTicketSystem);
    // On the membership: it replaces the item's, whichever of the two is the stricter.
    site()
        .and([member_under(
            WEB_SERVERS,
            ANNA,
            START_SESSIONS_ONLY,
            THURSDAYS,
        )])
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::NoTicketSystem);
    let site = with_item
        .and([member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, ALWAYS)])
        .when(ANNA, start(ANNA, PC1))
        .then_something();
    let started = site.world().sessions.get(&Lsid(2 << 64)).expect("started");
    assert_eq!(started.jump_policy_id, Some(ALWAYS));
}

/// ERR-14, ERR-15, ERR-17, ERR-18, ERR-19, ERR-20, CLNT-29, CLNT-30
#[test]
fn the_state_of_the_client_is_told_in_the_appendix_words() {
    use fleet::jump_client::{CheckedIn, Event as Client, FactsChange, Quarantined};
    let base = || {
        given([
            person(ANNA),
            group(WEB_SERVERS, "Web Servers"),
            member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        ])
    };
    base()
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::JumpClientGone);
    base()
        .and([registered(PC1, SHARED, |_| {})])
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::JumpClientOffline);
    let uninstalled = registered(PC1, SHARED, |registered| {
        registered.connection_type = "uninstalled".to_owned();
    });
    base()
        .and([uninstalled])
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::JumpClientUninstalled);
    let disabled = FactsChange {
        disabled: Some(true),
        ..FactsChange::default()
    };
    ready()
        .and([Happened::JumpClient(
            PC1,
            Client::CheckedIn(CheckedIn { changed: disabled }),
        )])
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::JumpClientDisabled);
    let quarantined = Quarantined {
        evidence: "two boot ids".to_owned(),
    };
    ready()
        .and([Happened::JumpClient(PC1, Client::Quarantined(quarantined))])
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::JumpClientIdentityFailed);
}

/// ERR-08, SESS-22
#[test]
fn nobody_joins_while_simultaneous_access_is_off() {
    let site = ready()
        .and([person(BERT), member(WEB_SERVERS, BERT, START_SESSIONS_ONLY)])
        .when(ANNA, start(ANNA, PC1))
        .then_something();
    for who in [ANNA, BERT] {
        site.clone()
            .when(who, start(who, PC1))
            .then_refused(Refusal::JoinDenied);
    }
}

/// LIM-07, SESS-23, ERR-09
#[test]
fn the_twenty_first_user_who_is_starting_is_told_to_wait() {
    let busy = |count: u32| {
        let others = (1..=count).flat_map(|number| {
            let user = UserId(100 + number);
            let client = JumpClientId(100 + number);
            [
                starting(Lsid(u128::from(number)), user, client),
                // A user with several starts counts once.
                starting(
                    Lsid(1_000 + u128::from(number)),
                    user,
                    JumpClientId(1_000 + number),
                ),
            ]
        });
        ready()
            .when(
                ADMIN,
                change::<SiteSettings>(SiteSettingsId(1), json!({"starting_users_max": 20})),
            )
            .then_something()
            .and(others)
    };
    busy(19).when(ANNA, start(ANNA, PC1)).then_something();
    let site = busy(20)
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::TooManyStarting);
    // A place is free as soon as one start ends, in whichever way.
    site.clone()
        .and([established(Lsid(3)), established(Lsid(1_003))])
        .when(ANNA, start(ANNA, PC1))
        .then_something();
    site.and([
        failed(Lsid(3), Failure::Agent, ""),
        failed(Lsid(1_003), Failure::TimedOut, ""),
    ])
    .when(ANNA, start(ANNA, PC1))
    .then_something();
    // Her own starts don't count against her.
    busy(19)
        .and([starting(Lsid(9_000), ANNA, PC2)])
        .when(ANNA, start(ANNA, PC1))
        .then_something();
}

/// ERR-10, ERR-11, ERR-12, ERR-20, CLNT-29: how a start fails, and what the one who waits is told.
#[test]
fn a_start_that_fails_says_how() {
    let begun = || ready().when(ANNA, start(ANNA, PC1)).then_something();
    let fail = Command::Fail {
        lsid: FIRST,
        client: PC1,
        reason: "no shell".to_owned(),
    };
    let site = begun()
        .when(PC1, fail)
        .then([failed(FIRST, Failure::Agent, "no shell")]);
    assert_eq!(site.world().session_on(ITEM), None);

    let time_out = || Command::TimeOut { lsid: FIRST };
    let due = begun().now().plus(SPAWN_TIMEOUT);
    assert_eq!(SPAWN_TIMEOUT, 30 * SECOND);
    begun()
        .at(due.plus(-1))
        .when(Actor::System, time_out())
        .then_nothing()
        .at(due)
        .when(Actor::System, time_out())
        .then([failed(FIRST, Failure::TimedOut, "")])
        .when(Actor::System, time_out())
        .then_nothing();
    let gone = fleet::jump_client::Command::Disconnect {
        client: PC1,
        link: LinkId {
            node: NODE,
            connection: 1,
        },
        reason: "closed".to_owned(),
    };
    begun()
        .when(PC1, gone)
        .then_something()
        .at(due)
        .when(Actor::System, time_out())
        .then([failed(FIRST, Failure::Disconnected, "")]);
    begun()
        .when(PC1, establish(FIRST))
        .then([established(FIRST)])
        .at(due)
        .when(Actor::System, time_out())
        .then_nothing();

    for (failure, refusal) in [
        (Failure::Agent, Refusal::SpawnFailed),
        (Failure::TimedOut, Refusal::SpawnTimedOut),
        (Failure::Disconnected, Refusal::JumpClientNotConnected),
        (Failure::Disabled, Refusal::JumpClientDisabled),
        (Failure::Cancelled, Refusal::SessionNotActive),
        (Failure::Withdrawn, Refusal::SessionNotActive),
    ] {
        assert_eq!(failure.refusal(), refusal);
    }
    let withdrawn = Failed {
        failure: Failure::Withdrawn,
        detail: "the gate's words".to_owned(),
    };
    assert_eq!(withdrawn.refusal().to_string(), "the gate's words");
}

/// SESS-17, ROLE-31: permission, schedule and item state are asked again when the session is up.
#[test]
fn what_was_withdrawn_meanwhile_ends_the_start() {
    let withdrawn = |refusal: Refusal| [failed(FIRST, Failure::Withdrawn, &refusal.to_string())];
    let begun = || ready().when(ANNA, start(ANNA, PC1)).then_something();
    // What an administrator takes away is noticed at once.
    let outcome = begun().when(ADMIN, change::<User>(ANNA, json!({"enabled": false})));
    let [_, failed_then] = outcome.events() else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        std::slice::from_ref(failed_then),
        withdrawn(Refusal::UserDisabled)
    );
    begun()
        .and([member(WEB_SERVERS, ANNA, NO_ACCESS)])
        .when(PC1, establish(FIRST))
        .then(withdrawn(Refusal::JumpClientGone));
    begun()
        .and([
            policy(THURSDAYS, |policy| policy.ticket_id_required = true),
            member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
        ])
        .when(PC1, establish(FIRST))
        .then(withdrawn(Refusal::NoTicketSystem));
    begun()
        .when(PC1, establish(FIRST))
        .then([established(FIRST)])
        .when(PC1, establish(FIRST))
        .then_nothing();
}

/// ROLE-11, GRP-14: one's own list.
#[test]
fn the_personal_slot_lets_one_jump_to_ones_own_items() {
    let hers = JumpGroupRef::Personal(ANNA);
    let with_slot = |slot| {
        given([
            user(ANNA, |user| {
                user.perm_access_allowed = "full_support".to_owned();
                user.perm_jump_client = true;
                user.private_jump_item_role_id = slot;
            }),
            person(BERT),
        ])
        .and(client(PC1, hers))
    };
    let site = with_slot(ADMINISTRATOR)
        .when(BERT, start(BERT, PC1))
        .then_refused(Refusal::JumpClientGone)
        .when(ANNA, start(ANNA, PC1));
    let [Happened::AccessSession(_, Event::Started(started))] = site.events() else {
        panic!("{site:?}");
    };
    assert_eq!(
        (started.grant, started.group, started.group_name.as_str()),
        (Grant::Personal, hers, "Private 2")
    );
    with_slot(NO_ACCESS)
        .when(ANNA, start(ANNA, PC1))
        .then_refused(Refusal::JumpClientGone);
}
