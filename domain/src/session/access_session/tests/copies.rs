//! Sessions on copies of one Jump Client: which a Jump joins, and what of the item a session takes along.

use super::super::{Start, readiness, would_join};
use super::*;
use crate::fleet::jump_client::{self, Copied};
use crate::ids::{JumpGroupId, JumpPolicyId};
use crate::policy::gates::Supplied;

const LSID: Lsid = Lsid(5);
const COPY: JumpClientId = JumpClientId(7);
const COPY_ITEM: JumpItemRef = JumpItemRef::JumpClient(COPY);
const JOINS: JumpPolicyId = JumpPolicyId(8);
const ELSEWHERE: JumpGroupId = JumpGroupId(9);

/// PC1 and a copy of it under a policy with `join`; Bert may start sessions in both groups.
fn site(applies_to_copies: bool) -> Given {
    ready().and([
        person(BERT),
        member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
        group(ELSEWHERE, "Elsewhere"),
        member(ELSEWHERE, BERT, START_SESSIONS_ONLY),
        policy(JOINS, |policy| {
            policy.simultaneous_jumps = "join".to_owned();
            policy.simultaneous_jump_behavior_applies_to_copies = applies_to_copies;
        }),
        Happened::JumpClient(
            COPY,
            jump_client::Event::Copied(Copied {
                endpoint: PC1,
                properties: Properties {
                    name: "copy".to_owned(),
                    jump_group_id: ELSEWHERE.0,
                    jump_policy_id: Some(JOINS),
                    ..Properties::default()
                },
            }),
        ),
    ])
}

fn jump(user: UserId, item: JumpItemRef) -> Command {
    let unknown = || "Unknown".to_owned();
    Command::Start(Start::new(user, item, unknown(), unknown()))
}

fn joins(site: &Given) {
    let joined = site
        .clone()
        .when(BERT, jump(BERT, COPY_ITEM))
        .then_something();
    let session = joined.world().sessions.get(&LSID).expect("it runs");
    assert!(session.member(BERT).is_some());
    assert_eq!(joined.world().sessions.iter().count(), 1);
    assert_eq!(would_join(site.world(), BERT, COPY_ITEM), Some(LSID));
}

fn begins_anew(site: &Given) {
    assert_eq!(would_join(site.world(), BERT, COPY_ITEM), None);
    let begun = site
        .clone()
        .when(BERT, jump(BERT, COPY_ITEM))
        .then_something();
    let session = begun.world().sessions.get(&LSID).expect("it runs");
    assert!(session.member(BERT).is_none());
    assert_eq!(begun.world().sessions.iter().count(), 2);
}

/// SESS-22, CLNT-50, CLNT-53: a Jump to a copy joins the session that runs on another item of its endpoint where the Jump
/// Policy says that its behavior applies to copies; else each item has its own.
#[test]
fn a_policy_lets_users_join_on_copies() {
    let everybody_joins =
        change::<SiteSettings>(SiteSettingsId(1), json!({"simultaneous_jumps": "join"}));
    let with = |applies| {
        site(applies)
            .when(ADMIN, everybody_joins.clone())
            .then_something()
            .and(session(LSID, ANNA, PC1))
    };
    joins(&with(true));
    begins_anew(&with(false));
    // The session that runs has to let others in, too: here the site does not.
    begins_anew(&site(true).and(session(LSID, ANNA, PC1)));
    // Twice is once.
    with(true)
        .when(BERT, jump(BERT, COPY_ITEM))
        .then_something()
        .when(BERT, jump(BERT, COPY_ITEM))
        .then_nothing();
}

/// ROLE-20, ROLE-31: a copy opens no door to a session on an item that the user may not jump to.
#[test]
fn a_copy_opens_no_door_to_another_item() {
    let everybody_joins =
        change::<SiteSettings>(SiteSettingsId(1), json!({"simultaneous_jumps": "join"}));
    for withheld in [NO_ACCESS, JumpItemRoleId(4)] {
        let site = site(true)
            .when(ADMIN, everybody_joins.clone())
            .then_something()
            .and([
                role(JumpItemRoleId(4), |role| role.perm_edit_tag = true),
                member(WEB_SERVERS, BERT, withheld),
            ])
            .and(session(LSID, ANNA, PC1));
        begins_anew(&site);
    }
}

/// POL-50: the session policy of the very item counts, be it the original's or the copy's, as it is when the session starts.
#[test]
fn a_session_runs_under_the_session_policy_of_its_item() {
    let of_item = |client: JumpClientId, policy: Option<u32>| {
        let site = site(false).and([crate::testing::session_policy(crate::ids::SessionPolicyId(
            2,
        ))]);
        let site = match policy {
            Some(policy) => site
                .when(
                    ADMIN,
                    crate::Command::JumpClient(jump_client::Command::Change(
                        client,
                        [("session_policy_id".to_owned(), json!(policy))]
                            .into_iter()
                            .collect(),
                    )),
                )
                .then_something(),
            None => site,
        };
        let item = JumpItemRef::JumpClient(client);
        let started = site.when(BERT, jump(BERT, item));
        match started.decision().as_deref() {
            Ok([Happened::AccessSession(_, Event::Started(started))]) => started.session_policy_id,
            other => panic!("{other:?}"),
        }
    };
    for client in [PC1, COPY] {
        assert_eq!(of_item(client, Some(2)), Some(2));
        assert_eq!(of_item(client, None), None);
    }
}

/// SESS-17: asking what a Jump needs passes the same rule.
#[test]
fn what_a_jump_needs_is_told_of_copies_too() {
    let site = site(true).and(session(LSID, ANNA, PC1));
    let needs = |item| {
        let supplied = Supplied::default();
        readiness(
            site.world(),
            BERT,
            item,
            &supplied,
            crate::Timestamp::default(),
        )
        .map(drop)
    };
    assert_eq!(needs(ITEM), Err(Refusal::JoinDenied));
    assert_eq!(needs(COPY_ITEM), Ok(()));
}
