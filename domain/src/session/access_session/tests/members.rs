//! Who is in a session: joining by Jump and by invitation, leaving, owners, inactivity.

use super::super::{
    CONNECTIONS_MAX, Departed, Departure, INVITATIONS_MAX, InvitationClosed, Invited, Join, Joined,
    MemberActive, OwnerChanged,
};
use super::*;
use crate::testing::CARA;

const LSID: Lsid = Lsid(5);

/// Anna's session runs; Bert may start sessions on the item, Cara may not even see it.
fn running() -> Given {
    ready()
        .and([
            person(BERT),
            member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
            person(CARA),
        ])
        .and(session(LSID, ANNA, PC1))
}

fn site_says(simultaneous: &str) -> crate::Command {
    change::<SiteSettings>(
        SiteSettingsId(1),
        json!({"simultaneous_jumps": simultaneous}),
    )
}

fn joining() -> Given {
    running().when(ADMIN, site_says("join")).then_something()
}

fn of_session(event: Event) -> Happened {
    Happened::AccessSession(LSID, event)
}

fn joined(user: UserId, gsnumber: u32, invited: bool) -> Happened {
    of_session(Event::Joined(Joined {
        representative: Representative {
            user_id: user,
            gsnumber,
            username: format!("user-{user}"),
            public_display_name: format!("User {user}"),
            private_display_name: format!("Private {user}"),
            public_ip: "192.0.2.10:50000".to_owned(),
            os: "Linux".to_owned(),
        },
        invited,
        grant: (!invited).then_some(Grant::Member),
        jump_policy_id: None,
        access_request_id: None,
    }))
}

fn departed(user_id: UserId, gsnumber: u32, reason: Departure) -> Happened {
    of_session(Event::Departed(Departed {
        user_id,
        gsnumber,
        reason,
        detail: String::new(),
    }))
}

fn owned_by(user: UserId, gsnumber: u32) -> Happened {
    of_session(Event::OwnerChanged(OwnerChanged {
        user_id: user,
        gsnumber,
        public_display_name: format!("User {user}"),
        private_display_name: format!("Private {user}"),
    }))
}

fn invite(user: UserId) -> Command {
    Command::Invite { lsid: LSID, user }
}

fn accept() -> Command {
    Command::AcceptInvitation {
        lsid: LSID,
        address: "192.0.2.10:50000".to_owned(),
        user_system: "Linux".to_owned(),
    }
}

fn leave() -> Command {
    Command::Leave { lsid: LSID }
}

fn members(site: &Given) -> Vec<UserId> {
    let session = site.world().sessions.get(&LSID).expect("it runs");
    session.members.iter().map(|member| member.user).collect()
}

/// CLNT-52, CLNT-53, SESS-21, SESS-22, SESS-24: the site's setting lets a second user in by a Jump; the owner stays the owner.
#[test]
fn a_second_user_joins_by_a_jump_where_the_site_lets_them() {
    running()
        .when(BERT, start(BERT, PC1))
        .then_refused(Refusal::JoinDenied);
    let site = joining()
        .after(SECOND)
        .when(BERT, start(BERT, PC1))
        .then([joined(BERT, 1, false)]);
    assert_eq!(members(&site), [ANNA, BERT]);
    let client = site.world().jump_clients.get(&PC1).expect("there");
    assert_eq!(client.last_access_at, Some(site.now()));
    let session = site.world().sessions.get(&LSID).expect("it runs");
    assert_eq!(session.owner, ANNA);
    // Who is in already is in.
    site.when(BERT, start(BERT, PC1))
        .then_nothing()
        .when(ANNA, start(ANNA, PC1))
        .then_nothing();
}

/// CLNT-54, SESS-22: a Jump Policy has the last word, and both policies must let the newcomer in.
#[test]
fn a_policy_overrides_the_sites_setting_and_the_stricter_counts() {
    // site, owner's policy, newcomer's policy, whether they come in
    for (site, owners, newcomers, comes_in) in [
        ("disallow", "global", "global", false),
        ("disallow", "join", "join", true),
        ("disallow", "join", "global", false),
        ("join", "global", "global", true),
        ("join", "disallow", "join", false),
        ("join", "join", "disallow", false),
        ("join", "global", "join", true),
    ] {
        let set = |policy: &'static str| {
            move |record: &mut crate::policy::jump_policy::JumpPolicy| {
                record.simultaneous_jumps = policy.to_owned();
            }
        };
        let outcome = ready()
            .and([
                policy(THURSDAYS, set(owners)),
                policy(ALWAYS, set(newcomers)),
                person(BERT),
                member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
                member_under(WEB_SERVERS, BERT, START_SESSIONS_ONLY, ALWAYS),
            ])
            .when(
                ADMIN,
                change::<SiteSettings>(
                    SiteSettingsId(1),
                    json!({"simultaneous_jumps": site, "company_name": "Acme"}),
                ),
            )
            .then_something()
            .when(ANNA, start(ANNA, PC1))
            .then_something()
            .when(BERT, start(BERT, PC1));
        assert_eq!(
            outcome.decision().is_ok(),
            comes_in,
            "{site} {owners} {newcomers}: {:?}",
            outcome.decision()
        );
        if !comes_in {
            outcome.then_refused(Refusal::JoinDenied);
        }
    }
}

/// POL-13: outside the schedule nobody joins by a Jump; by invitation they do.
#[test]
fn the_schedule_binds_who_joins_by_a_jump_but_not_who_is_invited() {
    let closed = policy(THURSDAYS, |policy| {
        policy.schedule_enabled = true;
        policy.display_name = "Closed".to_owned();
    });
    joining()
        .and([
            closed,
            member_under(WEB_SERVERS, BERT, START_SESSIONS_ONLY, THURSDAYS),
        ])
        .when(BERT, start(BERT, PC1))
        .then_refused(Refusal::OutsideSchedule {
            policy: "Closed".to_owned(),
            next_open: None,
            zone: "UTC".to_owned(),
        })
        .when(ANNA, invite(BERT))
        .then_something()
        .when(BERT, accept())
        .then([joined(BERT, 1, true)]);
}

/// SESS-34, CLNT-52: without the simultaneous setting only the owner's invitation lets a second user in, whatever their role.
#[test]
fn the_owner_invites_and_the_invited_comes_in() {
    let invited = |user| {
        of_session(Event::Invited(Invited {
            user_id: user,
            by: ANNA,
        }))
    };
    let site = running()
        .when(CARA, accept())
        .then_refused(Refusal::SessionNotActive)
        .when(BERT, invite(CARA))
        .then_refused(Refusal::SessionNotActive)
        .when(ANNA, invite(UserId(99)))
        .then_refused(Refusal::not_found("User"))
        .when(ANNA, invite(CARA))
        .then([invited(CARA)])
        .when(ANNA, invite(CARA))
        .then_nothing()
        .when(CARA, accept())
        .then([joined(CARA, 1, true)])
        .when(CARA, accept())
        .then_nothing()
        .when(ANNA, invite(CARA))
        .then_nothing();
    assert_eq!(members(&site), [ANNA, CARA]);
    // The invited is no owner.
    site.when(CARA, invite(BERT))
        .then_refused(Refusal::NotTheOwner)
        .when(Actor::Stranger, accept())
        .then_refused(Refusal::NotYourSession);
    // Who may not be in sessions at all can't be invited, nor come in when that changes.
    running()
        .and([user(CARA, |_| {})])
        .when(ANNA, invite(CARA))
        .then_refused(Refusal::EndpointAccessNotAllowed);
    running()
        .when(ANNA, invite(CARA))
        .then([invited(CARA)])
        .and([user(CARA, |_| {})])
        .when(CARA, accept())
        .then_refused(Refusal::EndpointAccessNotAllowed);
}

/// SESS-34, GPOL-17: users of other teams are invited by permission, those of a team of one's own, or of none, without.
#[test]
fn sharing_beyond_ones_own_teams_needs_the_permission() {
    use crate::site::team::TeamRole;
    use crate::testing::{OPERATIONS, team, team_member};
    let in_team = |users: &[UserId]| {
        let members = users
            .iter()
            .map(|user| team_member(OPERATIONS, *user, TeamRole::Member));
        running()
            .and([team(OPERATIONS)])
            .and(members.collect::<Vec<_>>())
    };
    in_team(&[CARA])
        .when(ANNA, invite(CARA))
        .then_refused(Refusal::SharingNotAllowed)
        .when(ANNA, invite(BERT))
        .then_something();
    in_team(&[CARA, ANNA])
        .when(ANNA, invite(CARA))
        .then_something();
    in_team(&[CARA])
        .and([user(ANNA, |user| user.perm_share_other_team = true)])
        .when(ANNA, invite(CARA))
        .then_something();
}

/// SESS-34: an invitation is declined by the invited, withdrawn by the owner, and good for one time.
#[test]
fn an_invitation_is_closed_by_either_side() {
    let close = |user| Command::CloseInvitation { lsid: LSID, user };
    let closed = || {
        of_session(Event::InvitationClosed(InvitationClosed {
            user_id: CARA,
            detail: String::new(),
        }))
    };
    let asked = || running().when(ANNA, invite(CARA)).then_something();
    for who in [CARA, ANNA, ADMIN] {
        asked()
            .when(who, close(CARA))
            .then([closed()])
            .when(ANNA, close(CARA))
            .then_nothing()
            .when(CARA, accept())
            .then_refused(Refusal::SessionNotActive);
    }
    asked()
        .when(BERT, close(CARA))
        .then_refused(Refusal::SessionNotActive);
    asked()
        .when(CARA, accept())
        .then_something()
        .when(CARA, leave())
        .then_something()
        .when(CARA, accept())
        .then_refused(Refusal::SessionNotActive);
}

/// SESS-34: bounded.
#[test]
fn invitations_and_connections_are_bounded() {
    let many = |count: usize| {
        (0..count).map(|number| {
            let user_id = UserId(1_000 + u32::try_from(number).expect("small"));
            of_session(Event::Invited(Invited { user_id, by: ANNA }))
        })
    };
    running()
        .and(many(INVITATIONS_MAX))
        .when(ANNA, invite(CARA))
        .then_refused(Refusal::SessionFull);
    running()
        .and(many(INVITATIONS_MAX - 1))
        .when(ANNA, invite(CARA))
        .then_something();
    let crowd = (1..CONNECTIONS_MAX).map(|number| {
        let number = 1_000 + u32::try_from(number).expect("small");
        joined(UserId(number), number, true)
    });
    joining()
        .and(crowd)
        .when(BERT, start(BERT, PC1))
        .then_refused(Refusal::SessionFull);
}

/// SESS-21: the owner who leaves hands on to the member who is in longest; the last one who leaves ends the session.
#[test]
fn ownership_goes_on_and_the_last_one_ends_the_session() {
    let site = joining()
        .when(BERT, start(BERT, PC1))
        .then_something()
        .when(ANNA, invite(CARA))
        .then_something()
        .when(CARA, accept())
        .then([joined(CARA, 2, true)])
        .when(ANNA, leave())
        .then([departed(ANNA, 10, Departure::Left), owned_by(BERT, 1)]);
    assert_eq!(members(&site), [BERT, CARA]);
    site.when(ANNA, end(LSID))
        .then_refused(Refusal::NotYourSession)
        .when(ANNA, leave())
        .then_refused(Refusal::SessionNotActive)
        .when(CARA, leave())
        .then([departed(CARA, 2, Departure::Left)])
        .when(BERT, leave())
        .then([ended(LSID, EndReason::Owner, "")]);
    // One that never came up has failed.
    ready()
        .and([starting(LSID, ANNA, PC1)])
        .when(ANNA, leave())
        .then([failed(LSID, Failure::Cancelled, "")]);
}

/// SESS-21: the owner or an administrator makes another member the owner.
#[test]
fn ownership_is_handed_over() {
    let to = |to| Command::TransferOwnership { lsid: LSID, to };
    let site = joining()
        .when(BERT, start(BERT, PC1))
        .then_something()
        .when(BERT, to(BERT))
        .then_refused(Refusal::NotTheOwner)
        .when(ANNA, to(CARA))
        .then_refused(Refusal::NotAMember)
        .when(ANNA, to(ANNA))
        .then_nothing()
        .when(ANNA, to(BERT))
        .then([owned_by(BERT, 1)])
        .when(ANNA, to(ANNA))
        .then_refused(Refusal::NotTheOwner)
        .when(ADMIN, to(ANNA))
        .then([owned_by(ANNA, 10)]);
    assert_eq!(site.world().sessions.get(&LSID).expect("runs").owner, ANNA);
}

/// SESS-21, ROLE-20: a guest who could not jump to the item owns nothing: not by hand, and not where the owner goes.
#[test]
fn a_guest_without_the_role_owns_nothing() {
    let with_a_guest = || {
        running()
            .when(ANNA, invite(CARA))
            .then_something()
            .when(CARA, accept())
            .then_something()
    };
    let to = |to| Command::TransferOwnership { lsid: LSID, to };
    for who in [ANNA, ADMIN] {
        with_a_guest()
            .when(who, to(CARA))
            .then_refused(Refusal::MayNotOwn);
    }
    with_a_guest()
        .when(ANNA, leave())
        .then([ended(LSID, EndReason::NoOwner, "")]);
    // One who could jump in owns it, however they came.
    with_a_guest()
        .and([member(WEB_SERVERS, CARA, START_SESSIONS_ONLY)])
        .when(ANNA, to(CARA))
        .then_something();
    with_a_guest()
        .and([member(WEB_SERVERS, CARA, START_SESSIONS_ONLY)])
        .when(ANNA, leave())
        .then([departed(ANNA, 10, Departure::Left), owned_by(CARA, 1)]);
}

/// SESS-34, GPOL-05: an invitation opens no way past the Jump method, nor past the teams its owner may share with.
#[test]
fn an_invitation_needs_the_method_and_the_team() {
    use crate::site::team::TeamRole;
    use crate::testing::{OPERATIONS, team, team_member};
    let without_the_method = user(CARA, |user| {
        user.perm_access_allowed = "full_support".to_owned();
    });
    let refused = Refusal::JumpMethodNotAllowed {
        method: "Jump Clients",
    };
    running()
        .and([without_the_method.clone()])
        .when(ANNA, invite(CARA))
        .then_refused(refused.clone());
    let invited = || running().when(ANNA, invite(CARA)).then_something();
    invited()
        .and([without_the_method])
        .when(CARA, accept())
        .then_refused(refused);
    invited()
        .and([
            team(OPERATIONS),
            team_member(OPERATIONS, CARA, TeamRole::Member),
        ])
        .when(CARA, accept())
        .then_refused(Refusal::InvitationNotValid);
}

/// APPR-20, APPR-21, SESS-34: where the policy asks for approval the invited needs one too: their own, or one that is for anyone
/// permitted to ask.
#[test]
fn an_invitation_opens_no_way_past_an_approval() {
    use crate::ids::AccessRequestId;
    use crate::policy::access_request::{self, Submit};
    for (scope, own, comes_in) in [
        ("requestor", false, false),
        ("requestor", true, true),
        ("anyone", false, true),
    ] {
        let asked = |user| {
            access_request::Command::Submit(Submit {
                user,
                item: ITEM,
                reason: "Disk".to_owned(),
                start_at: crate::testing::MONDAY,
                duration_seconds: 3_600,
            })
        };
        let approve = |number| access_request::Command::Approve {
            request: AccessRequestId(number),
            comment: String::new(),
            speaking_for: None,
        };
        let approved = policy(THURSDAYS, |policy| {
            policy.approval_required = true;
            policy.approval_scope = scope.to_owned();
            policy.approval_max_duration = 120;
            policy.approval_display_name = "Admins".to_owned();
            policy.approval_user_ids = vec![ADMIN.to_string()];
        });
        let site = ready()
            .and([
                approved,
                person(BERT),
                person(CARA),
                member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
                member_under(WEB_SERVERS, BERT, START_SESSIONS_ONLY, THURSDAYS),
            ])
            .when(ANNA, asked(ANNA))
            .then_something()
            .when(ADMIN, approve(1))
            .then_something()
            .when(ANNA, start(ANNA, PC1))
            .then_something();
        let lsid = site.world().session_on(ITEM).expect("it starts");
        let mut site = site.when(PC1, establish(lsid)).then_something();
        if own {
            site = site
                .when(BERT, asked(BERT))
                .then_something()
                .when(ADMIN, approve(2))
                .then_something();
        }
        for user in [BERT, CARA] {
            site = site
                .when(ANNA, Command::Invite { lsid, user })
                .then_something();
        }
        let accept = || Command::AcceptInvitation {
            lsid,
            address: "192.0.2.10:50000".to_owned(),
            user_system: "Linux".to_owned(),
        };
        // Who may not ask for an approval has none.
        site.clone()
            .when(CARA, accept())
            .then_refused(Refusal::JumpClientGone);
        let outcome = site.when(BERT, accept());
        if comes_in {
            let used = AccessRequestId(if own { 2 } else { 1 });
            let [Happened::AccessSession(_, Event::Joined(joined)), use_of] = outcome.events()
            else {
                panic!("{scope}: {outcome:?}");
            };
            assert_eq!(joined.access_request_id, Some(used), "{scope}");
            assert!(matches!(use_of, Happened::AccessRequest(request, _) if *request == used));
        } else {
            let Err(Refusal::StartNeeds { needs }) = outcome.decision() else {
                panic!("{scope}: {outcome:?}");
            };
            assert_eq!(needs.len(), 1);
        }
    }
}

/// LIM-07: who starts counts by the owner, also when another owns the session before it is up.
#[test]
fn a_place_among_those_who_start_goes_with_the_owner() {
    let site = ready()
        .and([
            person(BERT),
            member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
            starting(LSID, ANNA, PC1),
            joined(BERT, 1, false),
        ])
        .when(ANNA, leave())
        .then([departed(ANNA, 10, Departure::Left), owned_by(BERT, 1)]);
    assert_eq!(site.world().starting_users_but(ANNA), 1);
    assert_eq!(site.world().starting_users_but(BERT), 0);
    let site = site
        .when(BERT, leave())
        .then([failed(LSID, Failure::Cancelled, "")]);
    assert_eq!(site.world().starting_users_but(ANNA), 0);
}

/// REP-41, REP-42: coming back without a new sign-in keeps the number, a new sign-in gives another, and none is shared.
#[test]
fn a_connection_keeps_its_number_until_a_new_sign_in() {
    let jump = || start(BERT, PC1);
    let site = joining()
        .when(BERT, jump())
        .then([joined(BERT, 1, false)])
        .after(SECOND)
        .when(BERT, leave())
        .then([departed(BERT, 1, Departure::Left)])
        .after(SECOND)
        .when(BERT, jump())
        .then([joined(BERT, 1, false)])
        .when(BERT, leave())
        .then_something()
        .after(SECOND);
    let signed_in = Happened::User(
        BERT,
        site::user::Event::SignedIn(site::user::sign_in::SignedIn::default()),
    );
    let site = site
        .and([signed_in])
        .when(BERT, jump())
        .then([joined(BERT, 2, false)]);
    // All numbers of the session are free again when it is over.
    let site = site.when(ANNA, end(LSID)).then_something();
    assert_eq!(site.world().free_gsnumbers(), [1, 2]);
}

/// SESS-35: `join_session` by an API account, under the same rules as a Jump.
#[test]
fn an_api_account_brings_a_user_into_a_running_session() {
    let join = |user| {
        Command::Join(Join {
            lsid: LSID,
            user,
            address: "192.0.2.10:50000".to_owned(),
            user_system: "Linux".to_owned(),
            notification_consent: false,
        })
    };
    running()
        .when(API, join(BERT))
        .then_refused(Refusal::JoinDenied);
    joining()
        .when(API, join(CARA))
        .then_refused(Refusal::JumpClientGone)
        .when(API, join(BERT))
        .then([joined(BERT, 1, false)])
        .when(API, join(BERT))
        .then_nothing();
    joining()
        .when(BERT, join(BERT))
        .then([joined(BERT, 1, false)]);
    joining()
        .when(CARA, join(BERT))
        .then_refused(Refusal::NotYourSession);
    joining()
        .when(
            ADMIN,
            change::<site::api_account::ApiAccount>(API, json!({"perm_command": "read_only"})),
        )
        .then_something()
        .when(API, join(BERT))
        .then_refused(Refusal::ApiPermissionNeeded {
            permission: "Command API: Full Access",
        });
    ready()
        .and([starting(LSID, ANNA, PC1)])
        .when(API, join(ANNA))
        .then_refused(Refusal::SessionNotActive);
}

fn idle_for(seconds: i32) -> Given {
    let limited = |id| {
        user(id, |user| {
            user.perm_access_allowed = "full_support".to_owned();
            user.perm_jump_client = true;
            user.perm_session_idle_timeout = seconds;
        })
    };
    joining()
        .and([limited(BERT)])
        .when(BERT, start(BERT, PC1))
        .then_something()
}

/// SESS-26: who does nothing for as long as they may is removed; a sign of life counts, and is written down once a minute.
#[test]
fn an_inactive_user_is_removed() {
    let remove = || Command::RemoveInactive { lsid: LSID };
    let here = || Command::NoteActivity { lsid: LSID };
    let begun = idle_for(300);
    let start = begun.now();
    begun
        .at(start.plus(300 * SECOND - 1))
        .when(Actor::System, remove())
        .then_nothing()
        .at(start.plus(300 * SECOND))
        .when(Actor::System, remove())
        .then([departed(BERT, 1, Departure::Inactive)])
        .when(Actor::System, remove())
        .then_nothing();
    idle_for(300)
        .at(start.plus(59 * SECOND))
        .when(BERT, here())
        .then_nothing()
        .at(start.plus(60 * SECOND))
        .when(BERT, here())
        .then([of_session(Event::MemberActive(MemberActive {
            gsnumber: 1,
        }))])
        .at(start.plus(300 * SECOND))
        .when(Actor::System, remove())
        .then_nothing()
        .at(start.plus(360 * SECOND))
        .when(Actor::System, remove())
        .then([departed(BERT, 1, Departure::Inactive)])
        .when(BERT, here())
        .then_refused(Refusal::SessionNotActive);
    // 0 is never, -1 is what the site says: never, until it says otherwise. Nothing is written where nothing follows of it.
    for unlimited in [0, -1] {
        idle_for(unlimited)
            .after(HOUR)
            .when(BERT, here())
            .then_nothing()
            .when(Actor::System, remove())
            .then_nothing();
    }
    let site_wide = |user: i32| {
        idle_for(user)
            .when(
                ADMIN,
                change::<SiteSettings>(SiteSettingsId(1), json!({"session_idle_seconds": 600})),
            )
            .then_something()
            .after(600 * SECOND)
            .when(Actor::System, remove())
    };
    site_wide(0).then([departed(ANNA, 10, Departure::Inactive), owned_by(BERT, 1)]);
    // With the last one the session ends.
    let after = site_wide(-1).then([ended(LSID, EndReason::Inactive, "")]);
    assert!(after.world().sessions.is_empty());
    assert!(!EndReason::Inactive.is_abnormal());
}

/// LIM-10: one user has sessions with several endpoints at once, each on its own.
#[test]
fn a_user_works_on_several_endpoints_at_once() {
    let site = ready()
        .and(client(PC2, SHARED))
        .when(ANNA, start(ANNA, PC1))
        .then_something()
        .when(ANNA, start(ANNA, PC2))
        .then_something();
    let items: Vec<JumpItemRef> = site
        .world()
        .sessions
        .iter()
        .map(|(_, session)| session.item)
        .collect();
    assert_eq!(items, [ITEM, JumpItemRef::JumpClient(PC2)]);
}
