//! What is done with installers once they are made: extended, deleted, mailed, and by whom.

use super::*;
use crate::access::role::ADMINISTRATOR;
use crate::fleet::installer::{Command, MailLink, RECIPIENTS_MAX, Standing, may_handle};
use crate::fleet::jump_client::Properties;
use crate::ids::{JumpClientInstallerId, MailDeliveryId, MailSettingsId, UserId};
use crate::site::mail_delivery::{self, InstallerOffered, Mail, Message};
use crate::site::mail_settings::MailSettings;
use crate::testing::{ADMIN, CARA, MONDAY, PC1, change, register};
use crate::time::DAY;
use crate::{Actor, Timestamp};

const YEAR: i64 = 525_600;

/// ANNA may deploy into the installer's group, BERT sees it, CARA does not; ADMIN is no member.
fn handled() -> Given {
    given([
        person(ANNA),
        person(BERT),
        person(CARA),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, ADMINISTRATOR),
        member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
        installer(INSTALLER, SHARED, |_| {}),
    ])
}

fn extend(valid_minutes: i64) -> crate::Command {
    crate::Command::Installer(Command::Extend {
        installer: INSTALLER,
        valid_minutes,
    })
}

fn end(site: &Given) -> Timestamp {
    let installer = site.world().installers.get(&INSTALLER);
    installer.expect("it is there").expiration_timestamp
}

/// INST-12: only later, at most a year from now.
#[test]
fn an_installer_is_extended_to_at_most_a_year_from_now() {
    let site = handled();
    assert_eq!(end(&site), MONDAY.plus(DAY));
    let asked = site.clone().when(ANNA, extend(YEAR));
    let [Event::JumpClientInstaller(INSTALLER, record::Event::Changed(changes))] = asked.events()
    else {
        panic!("{asked:?}");
    };
    assert_eq!(
        changes.keys().collect::<Vec<_>>(),
        ["expiration_timestamp"],
        "nothing else changes"
    );
    let extended = asked.then_something();
    assert_eq!(end(&extended), MONDAY.plus(YEAR * MINUTE));
    for (minutes, what) in [
        (YEAR + 1, "too late"),
        (9, "too short"),
        (-5, "in the past"),
        (1_439, "earlier than now"),
        (1_440, "as now"),
        (i64::MAX, "out of the world"),
    ] {
        let asked = site.clone().when(ANNA, extend(minutes));
        let asked = asked.then_invalid(&["valid_duration"]);
        assert_eq!(end(&asked), MONDAY.plus(DAY), "{what}");
    }
    let site = site.when(ANNA, extend(1_441)).then_something();
    assert_eq!(end(&site), MONDAY.plus(1_441 * MINUTE));
    // The new end counts for who registers.
    site.clone()
        .after(DAY)
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something();
}

/// INST-04, INST-12: what is over is over.
#[test]
fn an_expired_installer_is_not_extended() {
    let site = handled().after(DAY);
    let installer = site
        .world()
        .installers
        .get(&INSTALLER)
        .expect("it is there");
    assert_eq!(
        installer.standing(site.world(), site.now()),
        Standing::Expired
    );
    site.when(ANNA, extend(YEAR))
        .then_refused(Refusal::InstallerExpired);
}

/// INST-02, INST-11: an installer whose Jump Group is gone brings nothing, is handed to nobody and can be deleted.
#[test]
fn an_installer_without_its_group_is_not_used() {
    let gone = || Refusal::NoSuchJumpGroup { group: SHARED };
    let site = handled()
        .when(
            ADMIN,
            delete::<crate::access::jump_group::JumpGroup>(WEB_SERVERS),
        )
        .then_something();
    let installer = site.world().installers.get(&INSTALLER);
    let installer = installer.expect("it is there");
    assert_eq!(installer.usable(site.world(), site.now()), Err(gone()));
    assert_eq!(
        installer.standing(site.world(), site.now()),
        Standing::Invalidated
    );
    site.clone().when(ADMIN, extend(YEAR)).then_refused(gone());
    site.clone()
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_refused(gone());
    site.when(ADMIN, delete::<JumpClientInstaller>(INSTALLER))
        .then_something();
}

/// ROLE-33: an installer that is over uses no policy any more.
#[test]
fn what_is_over_keeps_no_policy() {
    use crate::ids::JumpPolicyId;
    use crate::policy::jump_policy::JumpPolicy;
    use crate::policy::session_policy::SessionPolicy;
    use crate::testing::{policy, session_policy};

    let hours = JumpPolicyId(7);
    let watched = crate::ids::SessionPolicyId(5);
    let site = given([
        group(WEB_SERVERS, "Web Servers"),
        policy(hours, |_| {}),
        session_policy(watched),
        installer(INSTALLER, SHARED, |installer| {
            installer.jump_policy_id = Some(hours);
            installer.session_policy_id = Some(watched.0);
        }),
    ]);
    let asks = || -> [crate::Command; 2] {
        [
            delete::<JumpPolicy>(hours),
            delete::<SessionPolicy>(watched),
        ]
    };
    for (ask, what) in asks().into_iter().zip(["Jump Policy", "Session Policy"]) {
        let by = vec!["installer 1".to_owned()];
        site.clone()
            .when(ADMIN, ask)
            .then_refused(Refusal::InUse { what, by });
    }
    let late = site.after(DAY);
    for ask in asks() {
        late.clone().when(ADMIN, ask).then_something();
    }
}

/// INST-26: the name of an installer is a line, as one that is passed at install is.
#[test]
fn a_name_is_one_line_however_it_is_given() {
    let bad = [
        "\u{1b}[31mred",
        "two\nlines",
        "\u{202e}exe.pc",
        "a\u{2066}b",
        "\u{85}",
    ];
    let site = handled().and([installer(JumpClientInstallerId(2), SHARED, |installer| {
        installer.allow_override_name = true;
    })]);
    for name in bad {
        let made = crate::testing::create::<JumpClientInstaller>(serde_json::json!({
            "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64), "name": name,
        }));
        site.clone().when(API, made).then_invalid(&["name"]);
        let mut passed = register(JumpClientInstallerId(2), 1);
        passed.overrides.name = Some(name.to_owned());
        site.clone()
            .when(Actor::NewJumpClient, passed)
            .then_invalid(&["name"]);
        site.clone()
            .and([crate::testing::registered(PC1, SHARED, |_| {})])
            .when(
                ADMIN,
                change::<Properties>(PC1, serde_json::json!({"name": name})),
            )
            .then_invalid(&["name"]);
    }
    // Right-to-left names themselves are names.
    let made = crate::testing::create::<JumpClientInstaller>(serde_json::json!({
        "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64), "name": "\u{5e9}\u{5e8}\u{5ea}",
    }));
    site.when(API, made).then_something();
}

/// INST-11, INST-62: administrators and those who may deploy into the group; nobody else, and nobody learns of what they do
/// not see.
#[test]
fn installers_are_handled_by_administrators_and_who_may_deploy() {
    let lacks = || Refusal::RoleLacks {
        permission: JumpItemPermission::CreateAndDeploy,
    };
    let unseen = || Refusal::NoSuchJumpGroup { group: SHARED };
    type Asks = fn() -> crate::Command;
    let asks: [Asks; 2] = [|| extend(YEAR), || delete::<JumpClientInstaller>(INSTALLER)];
    for ask in asks {
        for who in [ANNA, ADMIN] {
            handled().when(who, ask()).then_something();
        }
        handled().when(API, ask()).then_something();
        handled().when(BERT, ask()).then_refused(lacks());
        handled().when(CARA, ask()).then_refused(unseen());
    }
    let site = handled();
    let may = |user: UserId| may_handle(site.world(), user, SHARED).is_ok();
    assert_eq!(
        [ANNA, BERT, CARA, ADMIN].map(may),
        [true, false, false, true]
    );
    let gone = crate::Command::Installer(Command::Extend {
        installer: JumpClientInstallerId(9),
        valid_minutes: YEAR,
    });
    site.when(ADMIN, gone)
        .then_refused(Refusal::not_found("Jump Client Installer"));
}

/// INST-13, INST-14: the list's actions are on installers: deleting one stops its further runs, and clients stay.
#[test]
fn deleting_an_installer_leaves_its_clients() {
    let site = handled()
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something()
        .when(ANNA, delete::<JumpClientInstaller>(INSTALLER))
        .then_something();
    assert!(site.world().jump_clients.contains(&PC1));
    site.when(Actor::NewJumpClient, register(INSTALLER, 2))
        .then_refused(Refusal::InstallerInvalid)
        .when(ADMIN, delete::<Properties>(PC1))
        .then_something();
}

/// INST-07: how long its installer is valid has no effect on a client.
#[test]
fn an_extended_or_expired_installer_is_nothing_to_its_clients() {
    let site = handled()
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something()
        .after(2 * DAY);
    let client = site.world().jump_clients.get(&PC1).expect("it is there");
    assert!(site.world().is_online(client));
}

/// INST-01, INST-22: the wizard's options; the minimised start is kept with the rest.
#[test]
fn the_option_to_start_minimized_is_kept() {
    let body = |minimized: Value| body(json!({"start_customer_client_minimized": minimized}));
    let asked = site().when(API, create::<JumpClientInstaller>(body(json!(true))));
    assert!(made(&asked).start_customer_client_minimized);
    assert!(
        !made(&site().when(API, create::<JumpClientInstaller>(super::body(json!({})))))
            .start_customer_client_minimized
    );
    site()
        .when(API, create::<JumpClientInstaller>(body(json!("yes"))))
        .then_invalid(&["start_customer_client_minimized"]);
}

// --- mail ---

fn with_mail() -> Given {
    handled()
        .when(
            ADMIN,
            change::<MailSettings>(
                MailSettingsId(1),
                json!({"host": "mail.example.com", "from_address": "gatebook@example.com"}),
            ),
        )
        .then_something()
}

fn link(recipients: &[&str]) -> MailLink {
    MailLink {
        installer: INSTALLER,
        platform: "linux-64".to_owned(),
        platform_title: "Linux".to_owned(),
        recipients: recipients
            .iter()
            .map(|&address| address.to_owned())
            .collect(),
        language: "en-us".to_owned(),
    }
}

fn mail(link: MailLink) -> crate::Command {
    crate::Command::Installer(Command::Mail(link))
}

/// INST-16: one mail each, to one or more recipients, all with the same installer.
#[test]
fn the_link_is_mailed_to_every_recipient() {
    let site = with_mail();
    let mut draw = 0;
    let asked = site.clone().when(
        ANNA,
        mail(link(&["a@example.com", "b@example.com", "A@example.com"])),
    );
    let expected: Vec<Event> = ["a@example.com", "b@example.com"]
        .into_iter()
        .map(|recipient| {
            let offered = InstallerOffered {
                installer: INSTALLER,
                platform: "linux-64".to_owned(),
                platform_title: "Linux".to_owned(),
                sender: "User 2".to_owned(),
                valid_until: MONDAY.plus(DAY),
            };
            let mail = Mail {
                recipient: recipient.to_owned(),
                language: "en-us".to_owned(),
                message: Message::InstallerOffered(offered),
            };
            let Event::MailDelivery(id, _) = &asked.events()[draw] else {
                panic!("{asked:?}");
            };
            assert_ne!(*id, MailDeliveryId(0));
            draw += 1;
            Event::MailDelivery(*id, mail_delivery::Event::Queued(mail))
        })
        .collect();
    let told = asked.then(expected);
    assert_eq!(told.world().mails_due(told.now()).count(), 2);
    // Both install from it.
    told.when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something()
        .when(Actor::NewJumpClient, register(INSTALLER, 2))
        .then_something();
}

/// INST-16, INST-62: bounded, checked, and only while the installer can be used, by who may handle it.
#[test]
fn a_link_is_mailed_only_where_it_is_of_use() {
    let many: Vec<String> = (0..=RECIPIENTS_MAX)
        .map(|n| format!("{n}@example.com"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for recipients in [
        &[][..],
        &many[..],
        &["a@example.com", "nobody"],
        &["a b@example.com"],
        &["a@example.com\r\nBcc: eve@example.com"],
        &[""],
    ] {
        with_mail()
            .when(ANNA, mail(link(recipients)))
            .then_invalid(&["recipients"]);
    }
    with_mail()
        .when(ANNA, mail(link(&many[..RECIPIENTS_MAX])))
        .then_something();
    let mut other = link(&["a@example.com"]);
    other.language = "../x".to_owned();
    with_mail()
        .when(ANNA, mail(other))
        .then_invalid(&["language"]);

    let good = || mail(link(&["a@example.com"]));
    handled()
        .when(ANNA, good())
        .then_refused(Refusal::NoMailServer);
    with_mail()
        .after(DAY)
        .when(ANNA, good())
        .then_refused(Refusal::InstallerExpired);
    with_mail()
        .when(BERT, good())
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::CreateAndDeploy,
        });
    with_mail()
        .when(CARA, good())
        .then_refused(Refusal::NoSuchJumpGroup { group: SHARED });
    with_mail().when(ADMIN, good()).then_something();
}
