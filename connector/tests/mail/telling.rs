//! From what happens to the mails that follow from it: who is told, and who is not.

use connector::approver_link;
use connector::mail::testing::MailServer;
use domain::fleet::jump_client::Properties;
use domain::ids::{
    AccessRequestId, JumpClientId, JumpGroupId, JumpItemRef, JumpItemRoleId, UserId,
};
use domain::policy::access_request::{self, Submit};
use domain::policy::jump_policy::JumpPolicy;
use domain::record;
use domain::session::access_session::{self, Start};
use domain::site::user::{self, User};
use domain::testing::{INSTALLER, NODE, add_member, change, create, register};
use domain::{Actor, Command, node};
use serde_json::{Value, json};

use crate::site::Site;

const ANNA: UserId = UserId(2);
const CLIENT: JumpClientId = JumpClientId(1);

/// A site with anna, who may jump to one machine under a policy of these members.
async fn with_a_machine(server: &MailServer, anna: Value, policy: Value) -> Site {
    use domain::access::jump_group::JumpGroup;
    use domain::fleet::installer::JumpClientInstaller;

    let site = Site::mailing(server).await;
    let group = JumpGroupId(1);
    let permissions = json!({"perm_access_allowed": "full_support", "perm_jump_client": true});
    let permissions = permissions.as_object().expect("an object").clone();
    for command in [
        Command::Node(node::Command::Start {
            epoch: NODE,
            name: "node-1".to_owned(),
            url: None,
        }),
        create::<User>(anna),
        Command::User(user::Command::Record(record::Command::ChangePermissions(
            ANNA,
            permissions,
        ))),
        create::<JumpGroup>(json!({"name": "Web Servers"})),
        add_member(group, ANNA, Some(JumpItemRoleId(2))),
        create::<JumpClientInstaller>(json!({"jump_group_id": 1, "secret_hash": "0".repeat(64)})),
        register(INSTALLER, 1).into(),
        create::<JumpPolicy>(policy),
        change::<Properties>(CLIENT, json!({"name": "web01", "jump_policy_id": 1})),
    ] {
        site.run(command).await;
    }
    site
}

fn anna() -> Value {
    json!({"username": "anna", "public_display_name": "Anna", "email_address": "anna@example.com"})
}

fn needs_approval() -> Value {
    json!({
        "display_name": "Ask", "schedule_enabled": false, "approval_required": true,
        "approval_email_addresses": ["boss@example.com", "deputy@example.com"],
        "approval_display_name": "Manager", "approval_email_language": "de",
    })
}

/// That `server` got no mails but those it was asked for. What happens is told in its order, so once a last thing was told and
/// all mails have left, the next one is a mail that is queued only then.
async fn nobody_else_is_told(site: &Site, server: &mut MailServer) {
    let machine = JumpClientId(2);
    for command in [
        register(INSTALLER, 2).into(),
        create::<JumpPolicy>(json!({
            "display_name": "Last", "schedule_enabled": false, "approval_required": true,
            "approval_email_addresses": ["last@example.com"], "approval_display_name": "Last",
        })),
        change::<Properties>(machine, json!({"name": "last", "jump_policy_id": 2})),
    ] {
        site.run(command).await;
    }
    submit_for(site, machine).await;
    assert_eq!(server.mail().await["to"], json!(["last@example.com"]));
    site.until("all mails leave", |world| world.mail_deliveries.is_empty())
        .await;
    site.queue(1, "behind@example.com").await;
    assert_eq!(server.mail().await["to"], json!(["behind@example.com"]));
}

async fn submit(site: &Site) -> AccessRequestId {
    submit_for(site, CLIENT).await
}

async fn submit_for(site: &Site, machine: JumpClientId) -> AccessRequestId {
    let submit = access_request::Command::Submit(Submit {
        user: ANNA,
        item: JumpItemRef::JumpClient(machine),
        reason: "Platte <voll>".to_owned(),
        start_at: site.engine.clock().now(),
        duration_seconds: 7_200,
    });
    let events = site
        .run_as(Actor::User(ANNA), Command::AccessRequest(submit))
        .await;
    match events.as_slice() {
        [domain::Event::AccessRequest(id, _)] => *id,
        other => panic!("{other:?}"),
    }
}

/// APPR-06, APPR-07, APPR-35, POL-29
#[tokio::test(flavor = "multi_thread")]
async fn every_approver_is_asked_in_the_policys_language_by_a_link_of_their_own() {
    let mut server = MailServer::plain().await;
    let site = with_a_machine(&server, anna(), needs_approval()).await;
    let request = submit(&site).await;
    let mut mails = [server.mail().await, server.mail().await];
    mails.sort_by_key(|mail| mail["to"].to_string());
    for ((index, address), mail) in (0..)
        .zip(["boss@example.com", "deputy@example.com"])
        .zip(&mails)
    {
        assert_eq!(mail["to"], json!([address]));
        assert_eq!(
            mail["subject"],
            format!("Sitzungsfreigabe, Anfrage {request} - web01 - Offen")
        );
        let url = "https://access.example.com";
        let link = approver_link::link(&site.sealer, url, request, index, address);
        let body = mail["body"].as_str().expect("text");
        assert!(body.contains(&link), "{body}");
        for part in ["Anna", "web01", "Dauer 2 Stunde(n)", "Platte &lt;voll&gt;"] {
            assert!(body.contains(part), "{part} {body}");
        }
    }
    assert_ne!(mails[0]["message_id"], mails[1]["message_id"]);
    nobody_else_is_told(&site, &mut server).await;
}

fn approve(request: AccessRequestId) -> Command {
    Command::AccessRequest(access_request::Command::Approve {
        request,
        comment: "only today".to_owned(),
        speaking_for: None,
    })
}

/// APPR-16, APPR-18
#[tokio::test(flavor = "multi_thread")]
async fn the_requester_is_told_of_each_decision_and_never_by_whom() {
    let mut server = MailServer::plain().await;
    let site = with_a_machine(&server, anna(), needs_approval()).await;
    let request = submit(&site).await;
    server.mail().await;
    server.mail().await;
    let boss = Actor::Approver { request, index: 0 };
    site.run_as(boss, approve(request)).await;
    let mail = server.mail().await;
    assert_eq!(mail["to"], json!(["anna@example.com"]));
    assert!(
        mail["subject"]
            .as_str()
            .expect("text")
            .ends_with("Freigegeben")
    );
    assert!(
        mail["body"]
            .as_str()
            .expect("text")
            .contains("Bemerkungen: only today")
    );
    let deny = access_request::Command::Deny {
        request,
        comment: String::new(),
        speaking_for: None,
    };
    let deputy = Actor::Approver { request, index: 1 };
    site.run_as(deputy, Command::AccessRequest(deny)).await;
    let denied = server.mail().await;
    assert!(
        denied["subject"]
            .as_str()
            .expect("text")
            .ends_with("Abgelehnt")
    );
    for mail in [mail, denied] {
        for secret in ["boss", "deputy", "/approve/"] {
            assert!(!mail.to_string().contains(secret), "{secret} {mail}");
        }
    }
}

/// APPR-18
#[tokio::test(flavor = "multi_thread")]
async fn a_requester_without_an_address_gets_no_mail() {
    let mut server = MailServer::plain().await;
    let mut anna = anna();
    anna["email_address"] = "".into();
    let site = with_a_machine(&server, anna, needs_approval()).await;
    let request = submit(&site).await;
    server.mail().await;
    server.mail().await;
    let boss = Actor::Approver { request, index: 0 };
    site.run_as(boss, approve(request)).await;
    nobody_else_is_told(&site, &mut server).await;
}

/// APPR-06, POL-31: a node that ends and begins anew, even with its cursor lost, asks nobody twice; what happened meanwhile is
/// told once it runs.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_twice_and_nothing_is_missed() {
    let mut server = MailServer::plain().await;
    let mut site = with_a_machine(&server, anna(), needs_approval()).await;
    let request = submit(&site).await;
    server.mail().await;
    server.mail().await;
    site.until("both have left", |world| world.mail_deliveries.is_empty())
        .await;
    site.end().await;
    let boss = Actor::Approver { request, index: 0 };
    site.run_as(boss, approve(request)).await;
    site.begin().await;
    assert_eq!(server.mail().await["to"], json!(["anna@example.com"]));
    nobody_else_is_told(&site, &mut server).await;
}

/// POL-31: without a mail server a request stays pending, and whoever shows it finds out why nobody was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_where_its_mail_can_not_leave() {
    let server = MailServer::plain().await;
    let site = with_a_machine(&server, anna(), needs_approval()).await;
    site.configure(1, json!({"host": "", "from_address": ""}))
        .await;
    let request = submit(&site).await;
    site.until("both are parked", |world| world.parked_mails().count() == 2)
        .await;
    let published = site.engine.published();
    let about = domain::site::mail_delivery::About::Request(request);
    for (_, delivery) in published.world.mails_about(about) {
        assert_eq!(delivery.reason, "No mail server is configured.");
    }
    assert_eq!(published.world.mails_about(about).count(), 2);
    let kept = published
        .world
        .access_requests
        .get(&request)
        .expect("there");
    assert_eq!(kept.state.word(), "pending");
}

fn notifies(start: bool, end: bool) -> Value {
    json!({
        "display_name": "Tell", "schedule_enabled": false,
        "session_start_notification": start, "session_end_notification": end,
        "notification_email_addresses": ["boss@example.com", "deputy@example.com"],
        "notification_display_name": "Manager",
    })
}

fn jump(notification_consent: bool) -> Command {
    let item = JumpItemRef::JumpClient(CLIENT);
    let start = Start {
        notification_consent,
        ..Start::new(
            ANNA,
            item,
            "192.0.2.10:50000".to_owned(),
            "Linux".to_owned(),
        )
    };
    Command::AccessSession(access_session::Command::Start(start))
}

/// Jumps with consent, and ends in good order.
async fn session(site: &Site) {
    let events = site.run_as(Actor::User(ANNA), jump(true)).await;
    let lsid = events
        .iter()
        .find_map(|event| match event {
            domain::Event::AccessSession(lsid, _) => Some(*lsid),
            _ => None,
        })
        .expect("a session");
    let client = CLIENT;
    let up = access_session::Command::Establish { lsid, client };
    site.run_as(Actor::JumpClient(CLIENT), Command::AccessSession(up))
        .await;
    let end = access_session::Command::End { lsid };
    site.run_as(Actor::User(ANNA), Command::AccessSession(end))
        .await;
}

/// POL-23, POL-24, POL-45, POL-53: one mail to each address when a session starts, and one when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_recipients_of_a_policy_are_told_of_start_and_end() {
    let mut server = MailServer::plain().await;
    let site = with_a_machine(&server, anna(), notifies(true, true)).await;
    session(&site).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let mail = server.mail().await;
        let body = mail["body"].as_str().expect("text").to_owned();
        for part in ["System Name: web01<", "Group: Web Servers<", "Name: Anna<"] {
            assert!(body.contains(part), "{part} {body}");
        }
        told.push(format!("{} {}", mail["to"][0], mail["subject"]));
    }
    told.sort();
    assert_eq!(
        told,
        [
            "\"boss@example.com\" \"Session End Notification - web01\"",
            "\"boss@example.com\" \"Session Start Notification - web01\"",
            "\"deputy@example.com\" \"Session End Notification - web01\"",
            "\"deputy@example.com\" \"Session Start Notification - web01\"",
        ]
    );
    nobody_else_is_told(&site, &mut server).await;
}

/// POL-23, POL-24: only what the policy says.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_end_is_told_where_the_policy_says_so() {
    let mut server = MailServer::plain().await;
    let site = with_a_machine(&server, anna(), notifies(false, true)).await;
    session(&site).await;
    for _ in 0..2 {
        let mail = server.mail().await;
        assert_eq!(mail["subject"], "Session End Notification - web01");
    }
    nobody_else_is_told(&site, &mut server).await;
}

/// POL-25, POL-26: who does not agree to be told of starts no session, and nobody gets a mail.
#[tokio::test(flavor = "multi_thread")]
async fn without_consent_nothing_starts_and_nothing_is_sent() {
    let mut server = MailServer::plain().await;
    for policy in [notifies(true, false), notifies(false, true)] {
        let site = with_a_machine(&server, anna(), policy).await;
        let refused = site.refused_as(Actor::User(ANNA), jump(false)).await;
        assert_eq!(refused.code(), "start_needs");
        assert!(site.engine.published().world.sessions.is_empty());
        nobody_else_is_told(&site, &mut server).await;
    }
}

/// POL-31: a notification that can't leave does not keep the session from starting.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_starts_where_its_mail_can_not_leave() {
    let server = MailServer::plain().await;
    let site = with_a_machine(&server, anna(), notifies(true, true)).await;
    site.configure(1, json!({"host": "", "from_address": ""}))
        .await;
    session(&site).await;
    site.until("all four are parked", |world| {
        world.parked_mails().count() == 4
    })
    .await;
}

/// POL-23: a session that never came up is told to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_never_came_up_is_told_to_nobody() {
    let mut server = MailServer::plain().await;
    let site = with_a_machine(&server, anna(), notifies(true, true)).await;
    let events = site.run_as(Actor::User(ANNA), jump(true)).await;
    let Some(domain::Event::AccessSession(lsid, _)) = events.first() else {
        panic!("{events:?}");
    };
    let fail = access_session::Command::Fail {
        lsid: *lsid,
        client: CLIENT,
        reason: "no shell".to_owned(),
    };
    site.run_as(Actor::JumpClient(CLIENT), Command::AccessSession(fail))
        .await;
    nobody_else_is_told(&site, &mut server).await;
}
