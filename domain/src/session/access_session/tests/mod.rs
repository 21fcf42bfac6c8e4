//! Access sessions: the gates in their order, the ways a start ends, and the ways a session does.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    Command, Customer, EndReason, Ended, Established, Event, Failed, Failure, Representative,
    SPAWN_TIMEOUT, Started,
};
use crate::access::permission::Grant;
use crate::access::role::{ADMINISTRATOR, JumpItemPermission, NO_ACCESS, START_SESSIONS_ONLY};
use crate::fleet::jump_client::Properties;
use crate::ids::{
    JumpClientId, JumpGroupRef, JumpItemRef, JumpItemRoleId, LinkId, Lsid, SiteSettingsId, UserId,
};
use crate::site::settings::SiteSettings;
use crate::site::user::User;
use crate::testing::{
    ADMIN, ALWAYS, ANNA, API, BERT, FIRST, Given, NODE, PC1, PC2, SHARED, THURSDAYS, WEB_SERVERS,
    change, client, connected, delete, end, given, group, member, member_under, person, policy,
    registered, role, schedule, session, start, starting, user,
};
use crate::time::{HOUR, SECOND};
use crate::{Actor, Event as Happened, Refusal, fleet, site};

mod attributes;
mod closing;
mod copies;
mod ending;
mod gates;
mod members;
mod needs;
mod passive;
mod recent;

const ITEM: JumpItemRef = JumpItemRef::JumpClient(PC1);

/// Anna may start sessions in Web Servers, where PC1 is online.
fn ready() -> Given {
    given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, SHARED))
}

fn established(lsid: Lsid) -> Happened {
    Happened::AccessSession(lsid, Event::Established(Established {}))
}

fn failed(lsid: Lsid, failure: Failure, detail: &str) -> Happened {
    Happened::AccessSession(
        lsid,
        Event::Failed(Failed {
            failure,
            detail: detail.to_owned(),
        }),
    )
}

fn ended(lsid: Lsid, reason: EndReason, detail: &str) -> Happened {
    Happened::AccessSession(
        lsid,
        Event::Ended(Ended {
            reason,
            detail: detail.to_owned(),
        }),
    )
}

fn establish(lsid: Lsid) -> Command {
    Command::Establish { lsid, client: PC1 }
}

/// SESS-18, SESS-19, SESS-20, SESS-21, REP-38, REP-40, REP-42
#[test]
fn a_start_tells_who_jumps_to_what() {
    let started = Started {
        lseq: 1,
        item: ITEM,
        group: SHARED,
        group_name: "Web Servers".to_owned(),
        jump_policy_id: None,
        grant: Grant::Member,
        representative: Representative {
            user_id: ANNA,
            gsnumber: 1,
            username: "user-2".to_owned(),
            public_display_name: "User 2".to_owned(),
            private_display_name: "Private 2".to_owned(),
            public_ip: "192.0.2.10:50000".to_owned(),
            os: "Linux".to_owned(),
        },
        customer: Customer {
            gsnumber: 2,
            name: "pc-1".to_owned(),
            username: "root".to_owned(),
            public_ip: "198.51.100.7:40000".to_owned(),
            private_ip: "10.0.0.1".to_owned(),
            hostname: "host-1".to_owned(),
            os: "Linux".to_owned(),
        },
        attributes: BTreeMap::new(),
        external_key: String::new(),
        session_policy_id: None,
        access_request_id: None,
        approved: None,
        approver_comments: None,
        ticket: None,
        notifications: None,
        schedule_overridden: false,
        recordings_disabled: false,
        closes_at: None,
        inputs: None,
    };
    let site = ready()
        .when(ANNA, start(ANNA, PC1))
        .then([Happened::AccessSession(FIRST, Event::Started(started))]);
    let known = site.world().sessions.get(&FIRST).expect("it is known");
    assert_eq!((known.owner, known.item), (ANNA, ITEM));
    assert!(!known.established);
    let shown = FIRST.to_string();
    assert_eq!(shown.len(), 32);
    assert!(
        shown
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    );
    assert_eq!(shown.parse(), Ok(FIRST));
}

/// SESS-20: whatever is not a session id names no session; it is not a format error.
#[test]
fn any_other_text_names_no_session() {
    for text in [
        "",
        "0123456789abcdef0123456789abcde",
        "x".repeat(32).as_str(),
        "+1",
    ] {
        assert!(text.parse::<Lsid>().is_err(), "{text}");
    }
    ready()
        .when(ANNA, end(Lsid(77)))
        .then_refused(Refusal::SessionNotActive);
}

/// SESS-24
#[test]
fn a_start_updates_when_the_item_was_last_accessed() {
    let site = ready();
    let last_access = |site: &Given| {
        let client = site.world().jump_clients.get(&PC1).expect("there");
        client.last_access_at
    };
    assert_eq!(last_access(&site), None);
    let now = site.now().plus(HOUR);
    let site = site.at(now).when(ANNA, start(ANNA, PC1)).then_something();
    assert_eq!(last_access(&site), Some(now));
}

/// REP-41, REP-42: numbers are the lowest free ones, never shared by two at a time, and free again at the end.
#[test]
fn numbers_of_connections_are_the_lowest_free() {
    let numbers = |site: &Given, lsid| {
        let session = site.world().sessions.get(&lsid).expect("there");
        session.gsnumbers().collect::<Vec<_>>()
    };
    let [first, second, third] = [FIRST, Lsid(2 << 64), Lsid(4 << 64)];
    let site = ready()
        .and([member(WEB_SERVERS, ADMIN, START_SESSIONS_ONLY)])
        .and(client(PC2, SHARED))
        .when(ANNA, start(ANNA, PC1))
        .then_something()
        .when(ADMIN, start(ADMIN, PC2))
        .then_something();
    assert_eq!(numbers(&site, first), [1, 2]);
    assert_eq!(numbers(&site, second), [3, 4]);
    let site = site
        .when(ANNA, end(first))
        .then([failed(first, Failure::Cancelled, "")])
        .when(ANNA, start(ANNA, PC1))
        .then_something();
    assert_eq!(numbers(&site, third), [1, 2]);
}
